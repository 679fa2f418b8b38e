#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes docs/compatibility.md, for users, from docs/promises.tsv.

usage: compatibility.py            write it
       compatibility.py --print    print it"""
import os
import sys

import promises

PAGE = os.path.join(promises.TOP, "docs", "compatibility.md")
HEAD = """# What works

Written by `tools/compatibility.py` from `promises.tsv`; don't edit it here.

Backplane takes the command line, QMP and the guest-visible hardware of QEMU 9.1's manual. This page
says for each thing that the manual promises, and for what we promise beyond it, how far it has come.
`./dev promises [AREA]` lists the same from the source tree.

- **works**: a test that can fail does it as a user would. The tests are named in `promises.tsv`.
- **partly**: works in part, or is taken although it has no effect yet; the words beside it say what is
  missing.
- **refused**: not built; the program says so in one line and ends with status 1.
- **planned**: not built, and not yet refused by its name everywhere (a QMP command, a tool).
- **elsewhere**: can only be shown on another kind of host (macOS, Windows, Xen, special hardware).

"""
AREAS = {
    "audio": "Sound", "authz": "Authorisation", "block": "Block nodes", "boot": "Boot order and firmware",
    "chardev": "Character devices", "cpu": "Processors", "cryptodev": "Crypto devices",
    "debug": "Debugging", "display": "Displays", "drive": "Drives", "filter-colo": "Network filters",
    "fsdev": "Shared folders", "fw_cfg": "fw_cfg", "iothread": "I/O threads",
    "kernel-boot": "Starting kernels", "lifecycle": "Life of the process", "machine": "Machines",
    "memory": "Memory", "migration": "Migration", "misc": "General", "network": "Network",
    "numa": "NUMA", "object": "Objects", "rtc-icount": "Clock and instruction counting",
    "sandbox": "Sandbox", "secret": "Secrets", "serial-monitor": "Serial ports and monitors",
    "smbios-acpi": "SMBIOS and ACPI", "spice": "SPICE", "tls": "TLS", "tpm": "TPM", "trace": "Tracing",
    "url-block": "Remote images", "usb": "USB", "vga": "Graphics cards", "vnc": "VNC", "kit": "Module kit",
    "modules": "Modules", "tcg": "Translator", "control": "Control", "run": "Ways to run",
    "state": "State",
}


def escape(text):
    for character in "\\`*_<>|[]":
        text = text.replace(character, "\\" + character)
    return text


def code(text):
    """As code in a table: a bar would end the cell."""
    text = text.replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    return fence + text + fence


def page(rows):
    out = [HEAD]
    of, shown = promises.counts(rows)
    out.append("**%d of %d work**; %s.\n\n" % (of["works"], shown, ", ".join(
        "%d %s" % (of[state], state) for state in promises.STATES[1:])))
    names = sorted({row["area"] for row in rows}, key=lambda area: AREAS.get(area, area).lower())
    out.append("| Area | " + " | ".join(promises.STATES) + " |\n|---|" + "---:|" * len(promises.STATES) +
               "\n")
    for area in names:
        of, _ = promises.counts([row for row in rows if row["area"] == area])
        title = AREAS.get(area, area)
        out.append("| [%s](#%s) | %s |\n" % (
            title, title.lower().replace(" ", "-").replace("/", ""),
            " | ".join(str(of[state] or "") for state in promises.STATES)))
    for area in names:
        out.append("\n## %s\n\n| What | State | |\n|---|---|---|\n" % AREAS.get(area, area))
        for row in rows:
            if row["area"] == area:
                text = escape(row["what_must_work"])
                if row["note"]:
                    text += ". *%s*" % escape(row["note"])
                out.append("| %s | %s | %s |\n" % (code(row["option"]), row["state"], text))
    return "".join(out)


def main(arguments):
    text = page(promises.ledger())
    if arguments == ["--print"]:
        sys.stdout.write(text)
    elif arguments:
        sys.exit(__doc__)
    else:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
