#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the manual's reference pages, as roff (man) and as Markdown, from what the emulator says of
itself: `PROGRAM -help-json`. No fact about an option, device or command stands here.

usage: manual.py PROGRAM OUTPUT-DIRECTORY"""
import json
import os
import subprocess
import sys


class Roff:
    """A page for man(7)."""

    def __init__(self, title, section, version):
        self.lines = [".\\\" SPDX-License-Identifier: LGPL-2.1-or-later",
                      ".\\\" Written by tools/manual.py from the emulator's own tables.",
                      '.TH "%s" "%d" "" "Backplane %s" "Backplane manual"' % (
                          self.text(title.upper()), section, self.text(version)),
                      ".nh", ".ad l"]

    @staticmethod
    def text(text):
        """Plain text: escapes what roff gives a meaning to."""
        text = "".join(c if c.isprintable() else " " for c in text)
        for character, escape in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("^", "\\(ha"),
                                  ("~", "\\(ti"), ("`", "\\(ga"), ('"', "\\(dq")):
            text = text.replace(character, escape)
        return "\\&" + text if text.startswith(".") else text

    def bold(self, text):
        return "\\fB%s\\fR" % self.text(text)

    def italic(self, text):
        """Long arguments may be broken before a bracket and after a bar."""
        text = self.text(text).replace("[,", "\\:[,").replace("|", "|\\:")
        return "\\fI%s\\fR" % text

    def heading(self, text):
        self.lines.append('.SH "%s"' % self.text(text.upper()))

    def subheading(self, text):
        self.lines.append('.SS "%s"' % self.text(text))

    def paragraph(self, text):
        self.lines += [".PP", text]

    def entry(self, head, body, extra=()):
        """A term with its explanation, and lines below it."""
        self.lines += [".TP", head, body or "\\&"]
        for line in extra:
            self.lines += [".br", line]

    def example(self, text):
        self.lines += [".PP", ".RS 4", self.text(text), ".RE"]

    def indent(self):
        self.lines.append(".RS")

    def outdent(self):
        self.lines.append(".RE")

    def finish(self):
        return "\n".join(self.lines) + "\n"


class Markdown:
    """The same for reading on the web or in an editor."""

    def __init__(self, title, section, version):
        self.level = 0
        self.lines = ["# %s(%d)" % (title, section), "",
                      "Backplane %s. Written by tools/manual.py from the emulator's own tables." %
                      version, ""]

    @staticmethod
    def text(text):
        text = "".join(c if c.isprintable() else " " for c in text)
        for character in "\\`*_<>|[]#":
            text = text.replace(character, "\\" + character)
        return text

    @staticmethod
    def bold(text):
        return "`%s`" % text.replace("`", "'")

    def italic(self, text):
        return "*%s*" % self.text(text)

    def heading(self, text):
        self.lines += ["", "## " + self.text(text), ""]

    def subheading(self, text):
        self.lines += ["", "### " + self.text(text), ""]

    def paragraph(self, text):
        self.lines += [text, ""]

    def entry(self, head, body, extra=()):
        space = "  " * self.level
        self.lines.append("%s- %s%s" % (space, head, ": " + body if body else ""))
        for line in extra:
            self.lines.append("%s  <br>%s" % (space, line))

    def example(self, text):
        self.lines += ["    " + text, ""]

    def indent(self):
        self.level += 1

    def outdent(self):
        self.level -= 1
        if self.level == 0:
            self.lines.append("")

    def finish(self):
        return "\n".join(self.lines).rstrip() + "\n"


# ---- parts of pages ----

def default_text(value):
    return value if isinstance(value, str) else json.dumps(value)


def sentence(text):
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else text + "."


def explain(page, field):
    """Help of a field with its default and what it accepts."""
    words = [page.text(sentence(field["help"]))] if field.get("help") else []
    if field.get("choices"):
        words.append("One of: %s." % ", ".join(page.bold(c) for c in field["choices"]))
    # 32 bits and more are no limits that a reader wants to know.
    if "max" in field and (field["max"] < 65535 or field["min"] not in (0, -2**31, -2**63)):
        words.append("Range: %s." % page.text("%d..%d" % (field["min"], field["max"])))
    if "default" in field and field["default"] not in (None, ""):
        words.append("Default: %s." % page.bold(default_text(field["default"])))
    flags = field.get("flags", [])
    if "write-live" in flags:
        words.append("May be changed while it is in use.")
    if "repeated" in flags:
        words.append("May be given several times.")
    if "deprecated" in flags:
        words.append("Deprecated.")
    return " ".join(words)


def settable(fields):
    return [f for f in fields if not {"hidden", "read-only"} & set(f.get("flags", []))]


def keys(page, fields):
    for field in settable(fields):
        page.entry("%s=%s" % (page.bold(field["name"]), page.italic(field["type"])),
                   explain(page, field))


def things(page, list_):
    for thing in list_:
        names = [thing["name"]] + thing.get("aliases", [])
        notes = ["Default." if thing.get("default") else "",
                 "Module %s." % page.bold(thing["module"])]
        page.entry(", ".join(page.bold(n) for n in names),
                   " ".join([page.text(sentence(thing.get("summary", "")))] + [n for n in notes if n]))
        if settable(thing["properties"]):
            page.indent()
            keys(page, thing["properties"])
            page.outdent()


def grouped(entries, key):
    groups = {}
    for entry in entries:
        groups.setdefault(entry.get(key, ""), []).append(entry)
    return groups


# ---- what is written by hand: tests compare it with the program ----

KEYS = (("h", "print this help"), ("x", "exit emulator"), ("s", "save disk data back to file (if -snapshot)"),
        ("t", "toggle console timestamps"),
        ("b", "send break (magic sysrq)"), ("c", "switch between console and monitor"),
        ("Ctrl-a", "sends Ctrl-a itself"))
EXAMPLES = (
    ("Start Linux with its console on this terminal:",
     'PROGRAM -m 512 -nographic -kernel vmlinuz -initrd initrd.gz -append "console=ttyS0"'),
    ("What is there, and what a device, a board or an option accepts:",
     "PROGRAM -device help; PROGRAM -device isa-serial,help; PROGRAM -machine pc,help; PROGRAM -smp help"),
    ("Two processors, the second serial port in a file, an item for the guest's firmware interface:",
     "PROGRAM -smp 2 -nographic -serial mon:stdio -serial file:log.txt "
     "-fw_cfg name=opt/org.example/greeting,string=hello -kernel vmlinuz"),
    ("In the background, controlled over QMP; nothing runs before the command cont:",
     "PROGRAM -display none -S -daemonize -pidfile vm.pid -qmp unix:vm.sock,server=on,wait=off "
     "-kernel vmlinuz"),
    ("A monitor for people on a TCP port, for those who are on this computer:",
     "PROGRAM -display none -monitor telnet:127.0.0.1:4444,server=on,wait=off -kernel vmlinuz"),
    ("A device from a module of your own, with a log of what the guest does wrong:",
     "PROGRAM -nographic -device ./my-device.so -d guest_errors -D log.txt -kernel vmlinuz"),
)

# ---- pages ----

def system_page(page, facts):
    page.heading("Name")
    page.paragraph(page.text("backplane-system - full-system emulator made of modules"))
    page.heading("Synopsis")
    page.paragraph("%s [%s] [%s]" % (page.bold("backplane-system-" + facts["architecture"]),
                                     page.italic("options"), page.italic("disk image")))
    page.heading("Description")
    page.paragraph(page.text(
        "Emulates a computer: processors, memory and devices, on which an operating system runs "
        "unchanged. Boards, processors, accelerators, devices and back ends are modules that are "
        "loaded when something asks for them; what is listed here was there when this page was "
        "made, and the argument help shows what is there now. The command line and the monitor "
        "protocol (QMP) are those of QEMU %s." % facts["compatible-version"]))
    page.paragraph(page.text(
        "Options begin with one dash or two. Arguments are words key=value with commas between "
        "them; a comma within a value is written twice, and nested keys have dots (a.b=1). Instead, "
        "the whole argument may be a JSON object. With "
        ) + page.bold("help") + page.text(" among its words an option shows what it accepts; ") +
        page.bold("help,format=json") + page.text(" does so for programs."))
    page.heading("Options")
    for group, options in grouped(facts["options"], "group").items():
        page.subheading(group)
        for option in options:
            names = ", ".join(page.bold("-" + n) for n in [option["name"], option.get("alias")] if n)
            argument = " " + page.italic(option["argument"]) if option.get("argument") else ""
            body = page.text(sentence(option["summary"]))
            if option["module"] not in ("core", "loader"):
                body += " Module %s." % page.bold(option["module"])
            page.entry(names + argument, body)
            if option.get("keys"):
                page.indent()
                keys(page, option["keys"])
                page.outdent()
    for title, key, option in (("Machines", "machines", "machine"), ("Processors", "cpus", "cpu"),
                               ("Accelerators", "accelerators", "accel"),
                               ("Objects", "objects", "object")):
        page.heading(title)
        page.paragraph("For %s:" % page.bold("-" + option))
        things(page, facts[key])
    for kind in facts["kinds"]:
        page.heading(kind["summary"])
        if kind.get("option"):
            page.paragraph("For %s:" % page.bold("-" + kind["option"]))
        things(page, kind["members"])
    page.heading("Keys")
    page.paragraph(page.text("Where a serial port and the monitor share a terminal (-nographic, "
                             "mon:stdio), these keys follow Ctrl-a, or what -echr sets instead:"))
    for key, text in KEYS:
        page.entry(page.bold("Ctrl-a " + key), page.text(sentence(text)))
    page.paragraph(page.text("There Ctrl-c goes to the guest. Where only a monitor or a serial port has "
                             "the terminal, it ends the program, as it does while the program still "
                             "waits for a client (wait=on). Within the monitor, Tab completes names, "
                             "the up key brings back earlier lines, and Ctrl-r searches them."))
    page.heading("Examples")
    for text, command in EXAMPLES:
        page.paragraph(page.text(text))
        page.example(command.replace("PROGRAM", "backplane-system-" + facts["architecture"]))
    page.heading("Exit status")
    page.paragraph(page.text("0 when the machine ended as it was meant to, 1 after an error, which one "
                             "line on standard error explains. A guest may choose another one where a "
                             "device offers that."))
    page.heading("See also")
    see(page, ("backplane-devices", 7), ("backplane-qmp", 7), ("backplane-hmp", 7),
        ("backplane-modules", 7), ("backplane-module", 1))


def see(page, *others):
    page.paragraph(", ".join("%s(%d)" % (page.bold(name), section) for name, section in others))


def devices_page(page, facts):
    page.heading("Name")
    page.paragraph(page.text("backplane-devices - devices and their properties"))
    page.heading("Description")
    page.paragraph(page.text("Devices for ") + page.bold("-device") + page.text(
        " and the QMP command ") + page.bold("device_add") + page.text(
        ". Each accepts the keys ") + page.bold("id") + " and " + page.bold("bus") + page.text(
        " besides its own. Those that only boards make are listed for their properties, which ") +
        page.bold("-global") + page.text(" sets, and without being offered to ") +
        page.bold("-device") + ".")
    for category, devices in sorted(grouped(facts["devices"], "category").items()):
        page.heading("%s devices" % (category or "other"))
        for device in devices:
            page.subheading(device["name"])
            words = [page.text(sentence(device.get("summary", "")))]
            words.append("Bus %s, module %s." % (page.bold(device["bus"]), page.bold(device["module"])))
            if device.get("aliases"):
                words.append("Also called %s." % ", ".join(page.bold(a) for a in device["aliases"]))
            if not device["user-creatable"]:
                words.append("Made by boards only.")
            if device["hotpluggable"]:
                words.append("May be plugged in while the machine runs.")
            page.paragraph(" ".join(words))
            keys(page, device["properties"])
    page.heading("See also")
    see(page, ("backplane-system", 1), ("backplane-modules", 7))


def member_list(page, fields, depth=0):
    for field in fields:
        type_ = page.italic(field["type"])
        if "optional" in field.get("flags", []):
            type_ += " (optional)"
        page.entry("%s: %s" % (page.bold(field["name"]), type_), explain(page, field))
        nested(page, field, depth)


def nested(page, field, depth):
    """Members of structures, of list elements and of a union's branches."""
    inner = field
    while "element" in inner:
        inner = inner["element"]
    if depth > 6 or not (inner.get("members") or inner.get("variants")):
        return
    page.indent()
    member_list(page, inner.get("members", []), depth + 1)
    for variant in inner.get("variants", []):
        page.entry("%s %s" % (page.text("with %s" % inner.get("discriminator", "")),
                              page.bold(variant["case"])), "" if variant.get("members") else "Nothing more.")
        if variant.get("members"):
            page.indent()
            member_list(page, variant["members"], depth + 1)
            page.outdent()
    page.outdent()


def qmp_page(page, facts):
    page.heading("Name")
    page.paragraph(page.text("backplane-qmp - commands and events of the monitor protocol"))
    page.heading("Description")
    page.paragraph(page.text(
        "QMP is a protocol of JSON objects, one for a line, over a socket or another character "
        "device (-qmp, -mon mode=control). The emulator greets; the client answers with the command "
        "qmp_capabilities, then sends {\"execute\": NAME, \"arguments\": {...}, \"id\": ...} and gets "
        "{\"return\": ..., \"id\": ...} or {\"error\": {\"class\": ..., \"desc\": ...}}. Events come "
        "at any time. The command query-qmp-schema describes all of this to programs."))
    page.heading("Commands")
    for command in facts["commands"]:
        page.subheading(command["name"])
        words = [page.text(sentence(command.get("summary", "")))]
        if command["module"] != "core":
            words.append("Module %s." % page.bold(command["module"]))
        if "preconfig" in command["flags"]:
            words.append("Also before the machine is made.")
        page.paragraph(" ".join(words))
        member_list(page, command["arguments"])
        if command.get("any-arguments"):
            page.entry(page.text("..."), "Properties of what is made.")
        if command.get("returns"):
            page.entry("Returns: %s" % page.italic(command["returns"]["type"]), "")
            nested(page, command["returns"], 0)
    page.heading("Events")
    for event in facts["events"]:
        page.subheading(event["name"])
        words = [page.text(sentence(event.get("summary", "")))]
        if event["module"] != "core":
            words.append("Module %s." % page.bold(event["module"]))
        if event.get("rate-ms"):
            words.append(page.text("At most one in %d ms; the last one is sent." % event["rate-ms"]))
        page.paragraph(" ".join(words))
        member_list(page, event["data"])
    page.heading("See also")
    see(page, ("backplane-system", 1), ("backplane-hmp", 7))


def hmp_page(page, facts):
    page.heading("Name")
    page.paragraph(page.text("backplane-hmp - commands of the human monitor"))
    page.heading("Description")
    page.paragraph(page.text(
        "The monitor reads one command for a line (-monitor, -mon, or Ctrl-a c with -nographic). The "
        "tab key completes names. QMP's human-monitor-command runs the same commands."))
    for title, wanted in (("Commands", False), ("Information", True)):
        page.heading(title)
        for command in facts["monitor-commands"]:
            if command["name"].startswith("info ") != wanted:
                continue
            parameters = command.get("parameters", "")
            body = page.text(sentence(command.get("summary", "")))
            if command["module"] != "core":
                body += " Module %s." % page.bold(command["module"])
            page.entry(page.bold(command["name"]) + (" " + page.italic(parameters) if parameters else ""),
                       body)
            fields = [f for f in command["arguments"] if f.get("help")]
            if fields:
                page.indent()
                for field in fields:
                    page.entry(page.italic(field["name"]), explain(page, field))
                page.outdent()
    page.heading("See also")
    see(page, ("backplane-system", 1), ("backplane-qmp", 7))


PAGES = (("backplane-system", 1, system_page), ("backplane-devices", 7, devices_page),
         ("backplane-qmp", 7, qmp_page), ("backplane-hmp", 7, hmp_page))


def main():
    program, output = sys.argv[1:]
    # A sanitizer's report of memory that is left at exit is no matter of this page.
    environment = {"ASAN_OPTIONS": "detect_leaks=0", **os.environ}
    facts = json.loads(subprocess.run([program, "-help-json"], check=True, env=environment,
                                      stdout=subprocess.PIPE, timeout=120).stdout)
    os.makedirs(output, exist_ok=True)
    for name, section, write in PAGES:
        for kind, ending in ((Roff, "%s.%d" % (name, section)), (Markdown, name + ".md")):
            page = kind(name, section, facts["version"])
            write(page, facts)
            with open(os.path.join(output, ending), "w", encoding="utf-8") as file:
                file.write(page.finish())


if __name__ == "__main__":
    main()
