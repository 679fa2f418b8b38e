#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's IPMI drivers and ipmitool in a guest: with the simulated BMC, by each interface, and with OpenIPMI's."""
import shutil
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "ipmi_devintf", "ipmi_si", "ipmi_watchdog")
GUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def boot(*args):
    return Guest("-m", "512", *args, drivers=DRIVERS, programs=("ipmitool",))


def isa_kcs_is_found_and_used():
    with tempfile.NamedTemporaryFile(suffix=".fru") as fru:
        # A board area (FRU 1.0): Backplane, a board, serial number 12345.
        area = bytes([1, 0, 0, 0, 0, 0, 0xc9]) + b"Backplane" + b"\xc7a board" + b"\xc512345" + b"\xc1n\xc0\xc1"
        area += bytes(-(len(area) + 1) % 8)
        area = area[:1] + bytes([(len(area) + 1) // 8]) + area[2:]
        header = bytes([1, 0, 0, 1, 0, 0, 0])
        fru.write(header + bytes([-sum(header) & 255]) + area + bytes([-sum(area) & 255]))
        fru.flush()
        with boot("-device", f"ipmi-bmc-sim,id=b,guid={GUID},frudatafile={fru.name}", "-device",
                  "isa-ipmi-kcs,bmc=b") as g:
            text = g.run("cat /sys/class/ipmi/ipmi0/device/bmc/ipmi_version; grep ipmi /proc/ioports /proc/interrupts; "
                         "dmesg | grep -i ipmi_si")
            assert "2.0" in text and "0ca2" not in text and "0ca0" in text, text
            assert "ipmi_si" in text.split("/proc/interrupts:")[1], text
            text = g.run("ipmitool mc info; ipmitool mc guid; ipmitool fru print; ipmitool sdr elist all; "
                         "ipmitool chassis status; ipmitool sel info", 200)
            for want in ("IPMI Version              : 2.0", "Board Mfg             : Backplane", "Watchdog",
                         "Board Serial          : 12345", "System Power         : on"):
                assert want in text, (want, text)
            assert GUID in text.lower() or "c830d44f" in text.lower(), text
            text = g.run("ipmitool event 1 >/dev/null; ipmitool sel list; ipmitool mc watchdog get", 200)
            assert "Temperature" in text and "Watchdog Timer Is:" in text, text
            g.console.type("ipmitool chassis power off\n")
            assert g.console.wait(60) == 0


def watchdog_resets_a_guest_that_hangs():
    with boot("-device", "ipmi-bmc-sim,id=b", "-device", "isa-ipmi-kcs,bmc=b", "-no-reboot") as g:
        g.run("echo 4 > /sys/module/ipmi_watchdog/parameters/timeout; ls /dev/watchdog")
        g.console.type("(echo x; sleep 100) > /dev/watchdog\n")
        assert g.console.wait(120) == 0
        return "no-reboot ended it"


def block_transfer_works():
    with boot("-device", "ipmi-bmc-sim,id=b", "-device", "isa-ipmi-bt,bmc=b") as g:
        text = g.run("cat /sys/class/ipmi/ipmi0/device/type; ipmitool mc info", 200)
        assert text.startswith("bt") and "IPMI Version              : 2.0" in text, text


def both_are_found_on_pci():
    with boot("-device", "ipmi-bmc-sim,id=b", "-device", "pci-ipmi-kcs,bmc=b", "-device", "ipmi-bmc-sim,id=c",
              "-device", "pci-ipmi-bt,bmc=c") as g:
        text = g.run("cat /sys/class/ipmi/ipmi*/device/type; ipmitool mc info; ipmitool -d 1 mc info", 200)
        assert sorted(text.split()[:2]) == ["bt", "kcs"], text
        assert text.count("IPMI Version              : 2.0") == 2, text


def main():
    tap = Tap()
    for case in (isa_kcs_is_found_and_used, watchdog_resets_a_guest_that_hangs, block_transfer_works,
                 both_are_found_on_pci):
        if shutil.which("ipmitool"):
            tap.case(case.__name__, case)
        else:
            tap.skip(case.__name__, "ipmitool is missing (package ipmitool)")
    tap.done()


if __name__ == "__main__":
    main()
