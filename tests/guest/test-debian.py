#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian system starts from its disk, and finds in the machine what was put into it.

usage: test-debian.py [day|matrix [NAME...]|systemd|faults [COUNT]|compare|reference]
By day: one start (IDE, BIOS) and what programs in the guest say. matrix: every way to connect the disk, firmware and
one or two processors. systemd: the whole system, and that it restarts. faults: one request of a start fails, another
one each time. reference: what Debian's emulator's machine
looks like with the same devices is written to reference/ (run by hand when devices or packages change).
"""
import base64
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

import debian
import root
from console import SLOW, Tap
from debian import DISKS, OVMF, SMALL, WORK, Debian, is_clean

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = os.path.join(HERE, "reference")
CARDS = ["-nodefaults", "-vga", "std", "-serial", "none", "-device", "edu,addr=4", "-device", "i6300esb,addr=5",
         "-device", "pvpanic-pci,addr=6"]
PEER = shutil.which("qemu-system-x86_64")
FIELDS = {  # (type, key): (keyword of dmidecode's output, value)
    0: (("vendor", "Vendor", "Seller"), ("version", "Version", "v7"), ("date", "Release Date", "02/03/2024"),
        ("release", "BIOS Revision", "3.4")),
    1: (("manufacturer", "Manufacturer", "Maker"), ("product", "Product Name", "Thing"), ("version", "Version", "v1"),
        ("serial", "Serial Number", "S-1"), ("uuid", "UUID", "11223344-5566-7788-99aa-bbccddeeff00"),
        ("sku", "SKU Number", "K1"), ("family", "Family", "Tree")),
    2: (("manufacturer", "Manufacturer", "BoardMaker"), ("product", "Product Name", "Board"), ("version", "Version", "v2"),
        ("serial", "Serial Number", "S-2"), ("asset", "Asset Tag", "A-2"), ("location", "Location In Chassis", "L-2")),
    3: (("manufacturer", "Manufacturer", "CaseMaker"), ("version", "Version", "v3"), ("serial", "Serial Number", "S-3"),
        ("asset", "Asset Tag", "A-3"), ("sku", "SKU Number", "K3")),
    4: (("sock_pfx", "Socket Designation", "Sock 0"), ("manufacturer", "Manufacturer", "CpuMaker"),
        ("version", "Version", "v4"), ("serial", "Serial Number", "S-4"), ("asset", "Asset Tag", "A-4"),
        ("part", "Part Number", "P-4"), ("max-speed", "Max Speed", "2900 MHz"),
        ("current-speed", "Current Speed", "2800 MHz")),
    8: (("external_reference", "External Reference Designator", "Ext"),
        ("internal_reference", "Internal Reference Designator", "Int"), ("connector_type", "External Connector Type", "16"),
        ("port_type", "Port Type", "16")),
    9: (("slot_designation", "Designation", "Slot"), ("slot_type", "Type", "PCI"), ("slot_id", "ID", "7")),
    17: (("loc_pfx", "Locator", "Dimm 0"), ("bank", "Bank Locator", "B0"), ("manufacturer", "Manufacturer", "RamMaker"),
         ("serial", "Serial Number", "S-17"), ("asset", "Asset Tag", "A-17"), ("part", "Part Number", "P-17"),
         ("speed", "Speed", "3200 MT/s")),
    41: (("designation", "Reference Designation", "On board"), ("instance", "Type Instance", "3"),
         ("pcidev", "Bus Address", "0000:00:04.0")),
}
GIVEN = {(4, "sock_pfx"): "Sock", (4, "max-speed"): "2900", (4, "current-speed"): "2800", (17, "loc_pfx"): "Dimm",
         (17, "speed"): "3200", (9, "slot_type"): "6", (41, "pcidev"): "card"}
# dmidecode has words for these numbers.
SAID = {(8, "connector_type"): None, (8, "port_type"): None}


def smbios():
    options = []
    for kind, fields in FIELDS.items():
        keys = ["%s=%s" % (key, GIVEN.get((kind, key), value)) for key, _, value in fields]
        options += ["-smbios", ",".join(["type=%d" % kind, *keys])]
    return options


# ---- what a guest sees ----

def reaches_login(d):
    seen = d.login()
    assert "Kernel panic" not in seen and "EXT4-fs error" not in seen, seen
    return "%.0f s to the login" % d.seconds


def pci_is_clean(d):
    for command in ("lspci -vv", "lspci -vvxxxx"):
        text = d.check(command, 600)
        for bad in ("<access denied>", "!!!", "nknown header"):
            assert bad not in text, [line for line in text.splitlines() if bad in line]
    assert text.count("Class") or text.count("Bridge") or "Host bridge" in text


def fields_are_shown(d):
    text = d.check("dmidecode", 600)
    bad = [line for line in text.splitlines()
           if re.search("[Ww]rong|BAD INDEX|OUT OF SPEC|broken|truncated|Invalid", line)]
    assert not bad, bad
    sections = {}
    for part in re.split(r"\n(?=Handle )", text):
        match = re.search(r", DMI type (\d+),", part)
        if match:
            fields = dict(re.findall(r"^\t([^\t:]+):(?: (.*))?$", part, re.M))
            sections.setdefault(int(match.group(1)), []).append(fields)
    for kind, fields in FIELDS.items():
        for key, shown, value in fields:
            values = [section.get(shown, "") for section in sections.get(kind, [])]
            if (kind, key) in SAID:
                assert any(value and value != "None" for value in values), (kind, key, values)
            else:
                assert value in [v.strip() for v in values], (kind, key, value, values)


def drivers_find_devices(d):
    d.check("modprobe -a i6300esb pvpanic-pci qemu_fw_cfg i2c-piix4 i2c-dev bochs")
    text = d.check("for n in /sys/bus/pci/devices/*/driver; do echo $n $(readlink -f $n); done")
    for place, driver in (("00:01.1", "ata_piix"), ("00:01.3", "piix4_smbus"), ("00:05.0", "i6300ESB timer"),
                          ("00:06.0", "pvpanic-pci")):
        assert re.search(r"%s/driver \S*/%s" % (place, driver), text), (place, driver, text)
    assert "i6300ESB timer" in d.check("cat /sys/class/watchdog/*/identity")
    with open(os.path.join(WORK, "my_blob.bin"), "rb") as f:
        digest = hashlib.md5(f.read()).hexdigest()
    assert digest in d.check("md5sum /sys/firmware/qemu_fw_cfg/by_name/opt/com.mycompany/blob/raw")
    # The memory's description on the SMBus.
    number = re.search(r"i2c-(\d+)\s+smbus\s+SMBus PIIX4", d.check("i2cdetect -l"))
    assert number, d.ask("i2cdetect -l")
    assert "50" in d.check("i2cdetect -y %s 0x50 0x57" % number.group(1))
    assert "Maker" in d.check("cat /sys/class/dmi/id/sys_vendor")
    assert "CaseMaker" in d.check("cat /sys/class/dmi/id/chassis_vendor")


def guest_is_told_and_tells(d):
    """A changed generation reaches the kernel's driver; where the notes for a crash dump are reaches the host."""
    d.check("head -c 1 /dev/random > /dev/null")  # before its generator is ready the kernel says nothing
    d.qmp("qom-set", path="/machine/peripheral/generation", property="guid", value="auto")
    d.wait_for("dmesg | grep -q 'crng reseeded due to virtual machine fork'")
    device = "/machine/peripheral/notes"
    assert d.qmp("qom-get", path=device, property="paddr") and d.qmp("qom-get", path=device, property="guest-format") == 1


def kernel_draws_by_its_driver(d):
    """bochs-drm, in the preferred mode of the EDID."""
    assert "1280x800" in d.check("cat /sys/class/drm/card0-Virtual-1/modes").split()[0]
    assert "1280,800" in d.check("cat /sys/class/graphics/fb0/virtual_size")
    d.check("dmesg -n 1; echo drawn by the kernel > /dev/tty0")
    path = os.path.join(WORK, "screen.ppm")
    d.qmp("screendump", filename=path)
    with open(path, "rb") as f:
        data = f.read()
    assert data.startswith(b"P6\n1280 800\n255\n") and len(set(data[16:])) > 1, data[:20]
    end = time.monotonic() + 60 * SLOW
    while not any("drawn by the kernel" in line for line in d.qmp("query-screen-text")["lines"]):
        assert time.monotonic() < end, d.qmp("query-screen-text")
        time.sleep(1)


def power_button_is_heard(d):
    d.check("modprobe -a button evdev")
    event = re.search(r"Power Button(?:.*\n)*?H: Handlers=.*?(event\d+)", d.check("cat /proc/bus/input/devices"))
    assert event, d.ask("cat /proc/bus/input/devices")
    d.check("(timeout 120 head -c 24 /dev/input/%s | od -An -tx2 > /tmp/button; touch /tmp/heard) &" % event.group(1))
    d.check("sleep 1")
    d.qmp("system_powerdown")
    d.wait_for("[ -e /tmp/heard ]")
    text = d.check("cat /tmp/button")
    assert re.search(r"\b0001 0074 0001\b", text), text  # KEY_POWER is pressed


def tables_decompile(d):
    """acpidump's, in the guest; taken apart on both sides."""
    d.check("mkdir -p /tmp/acpi && cd /tmp/acpi && rm -f * && acpidump -b && ls")
    names = d.check("ls /tmp/acpi").split()
    assert {"apic.dat", "dsdt.dat", "facp.dat", "facs.dat", "hpet.dat"} <= set(names), names
    text = d.check("cd /tmp/acpi; for f in *.dat; do base64 -w 0 $f; echo \" $f\"; done", 600)
    folder = os.path.join(WORK, "acpi")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for line in text.splitlines():
        match = re.match(r"(\S+) (\w+\.dat)$", line.strip())
        if match:
            with open(os.path.join(folder, match.group(2)), "wb") as f:
                f.write(base64.b64decode(match.group(1)))
    found = sorted(os.listdir(folder))
    assert found == sorted(names), (found, names)
    for name in found:
        done = subprocess.run(["iasl", "-d", name], cwd=folder, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and not re.search("Error|Warning|Incorrect checksum", said), (name, said)
    inside = d.check("cd /tmp/acpi && iasl -d dsdt.dat 2>&1", 900)
    assert "Error" not in inside and "Disassembly completed" in inside, inside


def explained(name):
    """{line: reason} of a file of lines with a reason in front."""
    found = {}
    with open(os.path.join(REFERENCE, name), encoding="utf-8") as f:
        reason = ""
        for line in f:
            line = line.rstrip("\n")
            if line.startswith("# "):
                reason = line[2:]
            elif line:
                found[line] = reason
    return found


def blanked(text):
    """lspci's lines without what differs from start to start, each with its function in front."""
    found, function = [], ""
    for line in text.splitlines():
        match = re.match(r"([0-9a-f]{2}:[0-9a-f]{2}\.\d) ", line)
        if match:
            function = match.group(1)
        if line.strip():
            found.append("%s | %s" % (function, line.strip() if not match else line[8:]))
    return found


def compared(name, ours):
    """What differs from the reference and has no reason."""
    with open(os.path.join(REFERENCE, name + ".txt"), encoding="utf-8") as f:
        theirs = f.read().splitlines()
    reasons = explained(name + "-differences.txt")
    difference = ["+ " + line for line in ours if line not in theirs] + \
        ["- " + line for line in theirs if line not in ours]
    missing = [line for line in difference if line not in reasons]
    assert not missing, "without a reason in %s-differences.txt:\n%s" % (name, "\n".join(missing))
    gone = [line for line, reason in reasons.items() if line not in difference and not reason.startswith("Sometimes: ")]
    assert not gone, "no difference any more:\n" + "\n".join(gone)


def pci_differs_for_reasons(d, board):
    compared("lspci-" + board, blanked(d.check("lspci -vv -nn", 600)))


def warnings_are_known(d, board):
    compared("dmesg-" + board, sorted(debian.warnings(d.check("dmesg -r", 600))))


def cards_come_and_go_while_the_disk_is_busy(d):
    d.check("modprobe -a acpiphp shpchp pci_hotplug 2>/dev/null; true")
    d.check("(while [ ! -e /tmp/enough ]; do dd if=/dev/zero of=/busy bs=64k count=64 conv=fsync 2>/dev/null; "
            "cat /busy | md5sum >> /tmp/sums; echo 3 > /proc/sys/vm/drop_caches; done) &")
    there = "grep -q 1234:11E8 /sys/bus/pci/devices/0000:00:0a.0/uevent 2>/dev/null"
    for _ in range(3):
        d.qmp("device_add", driver="edu", bus="pci.0", id="guest", addr="a")
        d.wait_for(there)
        d.qmp("device_del", id="guest")
        d.wait_for("! " + there)
        end = time.monotonic() + 60 * SLOW
        while any(part["name"] == "guest" for part in d.qmp("qom-list", path="/machine/peripheral")):
            assert time.monotonic() < end, "the guest let go of it, and it stays"
            time.sleep(0.2)
    d.check("touch /tmp/enough; wait")
    text = d.check("sort /tmp/sums | uniq -c; dmesg | grep -ciE 'i/o error|failed command|exception emask'; true")
    lines = text.split("\n")
    assert len([line for line in lines if re.search("[0-9a-f]{32}", line)]) == 1 and lines[-2:].count("0"), text


def fio_verifies(d):
    for way in ("--direct=1 --ioengine=libaio --iodepth=8", "--ioengine=psync --fsync=8"):
        text = d.check("fio --name=v --filename=/fio.data --size=4m --rw=randwrite --bsrange=4k-64k --verify=crc32c "
                       "--do_verify=1 --verify_fatal=1 %s" % way, 900)
        assert "err= 0" in text, text


def sleeps_and_wakes(d):
    """To RAM while the disk is written to; what was under way ends after it, and all that is read is right."""
    text = d.check("cat /sys/power/mem_sleep; dmesg | grep 'supports S'")
    assert "deep" in text and "S3" in text, text
    work = ("fio --name=s --filename=/fio.sleep --size=4m --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1 "
            "--verify_fatal=1 --direct=1 --ioengine=libaio --iodepth=8 --loops=2 >/fio.log 2>&1")
    d.check("( (%s; echo ended $? >>/fio.log) & )" % work)
    d.console.type("echo mem > /sys/power/state; echo awa''ke\n")
    d.heard("SUSPEND")
    d.qmp("system_wakeup")
    d.console.expect("awake", 400)
    assert d.check("cat /sys/power/suspend_stats/success").strip() == "1"
    d.wait_for("grep -q '^ended 0' /fio.log", 600)
    bad = d.ask("dmesg | grep -E 'BUG|Call Trace|Oops|hung|I/O error|EXT4-fs error|failed command'; rm /fio.sleep")
    assert not bad.strip(), bad


def restarts(d):
    d.console.type("sync; reboot -f\n")
    d.heard("RESET")
    reaches_login(d)


def disk_at(d, place):
    """The guest's name of a disk: they are found in any order."""
    found = re.search(r"%s/\S*/block/(sd\w)" % place, d.check("for n in /sys/block/sd*; do readlink $n; done"))
    assert found, place
    return found.group(1)


def cache_is_seen(d):
    """As -drive and -device say."""
    for place, said in (("target0:0:0", "write back"), ("target0:0:1", "write through"), ("target1:0:1", "write through")):
        assert said in d.check("cat /sys/block/%s/queue/write_cache" % disk_at(d, place)), place


def disk_is_trimmed(d):
    path, second = os.path.join(WORK, "trim.img"), disk_at(d, "target0:0:1")
    d.check("dd if=/dev/urandom of=/dev/%s bs=1M count=8 oflag=direct 2>/dev/null" % second)
    before = os.stat(path).st_blocks
    d.check("blkdiscard /dev/" + second)
    assert before >= 8 << 11 and os.stat(path).st_blocks < before / 4, (before, os.stat(path).st_blocks)


def powers_off_clean(d):
    """Nothing is left for the journal, and what was written is whole."""
    d.check("sync; mount -o remount,ro / || { sleep 3; sync; mount -o remount,ro /; }")
    d.check("fsck.ext4 -fn /dev/disk/by-label/%s 2>/dev/null || e2fsck -fn $(findfs LABEL=%s)" % (root.LABEL, root.LABEL), 600)
    d.powers_off()


def by_day(tap):
    trim = os.path.join(WORK, "trim.img")
    third = os.path.join(WORK, "third.img")
    for path in (trim, third):
        with open(path, "wb") as f:
            f.truncate(16 << 20)
    blob = os.path.join(WORK, "my_blob.bin")
    with open(blob, "wb") as f:
        f.write(bytes(range(256)) * 33 + b"\n")
    options = [*CARDS[5:], *smbios()]
    options = [option.replace("edu,addr=4", "edu,addr=4,id=card") for option in options]
    options += ["-device", "vmgenid,guid=auto,id=generation", "-device", "vmcoreinfo,id=notes"]
    with Debian("ide", *options, "-vga", "std", "-fw_cfg", "name=opt/com.mycompany/blob,file=" + blob, "-drive",
                f"file={third},format=raw,if=ide,index=3,cache.writeback=off", "-drive",
                f"file={trim},format=raw,if=none,id=second,discard=unmap", "-device",
                "ide-hd,drive=second,bus=ide.0,unit=1,write-cache=off", copy=True) as d:
        for name, case in (("reaches_login", reaches_login), ("lspci_is_clean", pci_is_clean),
                           ("every_smbios_field_is_shown", fields_are_shown),
                           ("drivers_find_their_devices", drivers_find_devices),
                           ("guest_is_told_and_tells", guest_is_told_and_tells),
                           ("kernel_draws_by_its_driver", kernel_draws_by_its_driver),
                           ("power_button_is_heard", power_button_is_heard),
                           ("acpi_tables_decompile", tables_decompile),
                           ("write_cache_is_seen", cache_is_seen), ("disk_is_trimmed", disk_is_trimmed),
                           ("cards_come_and_go_while_the_disk_is_busy", cards_come_and_go_while_the_disk_is_busy),
                           ("fio_verifies", fio_verifies), ("powers_off_clean", powers_off_clean)):
            tap.case(name, case, d)


# ---- at night ----

def combination(disk, uefi, cpus):
    with Debian(disk, uefi=uefi, cpus=cpus, copy=True) as d:
        note = reaches_login(d)
        assert d.check("nproc").strip() == str(cpus)
        firmware = "efi" if uefi else "bios"
        assert d.check("test -d /sys/firmware/efi && echo efi || echo bios").strip() == firmware
        fio_verifies(d)
        sleeps_and_wakes(d)
        restarts(d)
        fio_verifies(d)
        powers_off_clean(d)
    return note


def matrix(tap):
    for disk in DISKS:
        for uefi in (False, True):
            if uefi and (disk == "floppy" or not os.path.exists(OVMF[0])):
                continue
            for cpus in (1, 2):
                name = "%s_%s_%d_cpu" % (disk, "uefi" if uefi else "bios", cpus)
                if name in (sys.argv[2:] or [name]):
                    tap.case(name, combination, disk, uefi, cpus)


def whole_system(cpus):
    """systemd's start to the login, restarted by its own means, and off."""
    with Debian("ahci", cpus=cpus, copy=True, parameters="systemd.show_status=1") as d:
        note = reaches_login(d)
        d.check("systemctl is-system-running --wait; systemctl list-units --failed --no-legend | grep . && exit 1; true", 900)
        d.console.type("reboot\n")
        reaches_login(d)
        d.console.type("poweroff\n")
        assert d.console.wait(900) == 0
        is_clean(d.image)
    return note


def systemd(tap):
    tap.case("systemd_reaches_login_restarts_and_powers_off", whole_system, 2)


# What a guest says that has seen an error of its disk.
SEEN = ("I/O error", "i/o error", "failed command", "error: failure reading", "read error", "could not read the boot disk",
        "No bootable device", "Kernel panic", "grub rescue>", "Read Error", "Hard Disk Error", "Geom Error")
FAULTS, LATEST = 30, 600


def start_with_a_fault(number):
    """Request `number` of the disk fails once. The guest says so, or has tried again and is at its login."""
    node = {"driver": "blkdebug", "node-name": "faulty", "inject-error": [{"event": "none", "skip": number, "once": True}],
            "image": {"driver": "file", "filename": "IMAGE"}}
    DISKS["faulty"] = ("pc", ["-blockdev", json.dumps(node), "-device", "ide-hd,drive=faulty"])
    with Debian("faulty", copy=True) as d:
        began = time.monotonic()
        while "debian login: " not in d.console.text and not any(word in d.console.text for word in SEEN):
            quiet = time.monotonic()
            while not d.console.hear(1):
                assert time.monotonic() - quiet < 120 * SLOW, "nothing is heard any more: " + d.console.text[-1500:]
            assert time.monotonic() - began < debian.BOOT_SECONDS * SLOW, d.console.text[-1500:]
        seen = [word for word in SEEN if word in d.console.text]
    return "%s after %.0f s" % (seen[0] if seen else "login", time.monotonic() - began)


def faults(tap):
    count, numbers = int((sys.argv[2:] or [FAULTS])[0]), random.Random(1)
    for number in sorted(numbers.sample(range(LATEST), count)):
        tap.case("request_%d_fails" % number, start_with_a_fault, number)


COMPARED = {"pc": "ide", "q35": "ahci"}


def machine(binary, board):
    """The machine whose lspci and dmesg are compared."""
    return Debian(COMPARED[board], *CARDS[5:], "-vga", "std", "-nic", "none", binary=binary, parameters=SMALL)


def compare(tap):
    for board in COMPARED:
        with machine(debian.BINARY, board) as d:
            tap.case(board + "_reaches_login", reaches_login, d)
            tap.case(board + "_lspci_differs_from_the_peers_for_reasons", pci_differs_for_reasons, d, board)
            tap.case(board + "_kernel_warns_of_nothing_new", warnings_are_known, d, board)


def reference():
    os.makedirs(REFERENCE, exist_ok=True)
    for board in COMPARED:
        with machine(PEER, board) as d:
            d.login()
            for name, lines in (("lspci-", blanked(d.check("lspci -vv -nn", 600))),
                                ("dmesg-", sorted(debian.warnings(d.check("dmesg -r", 600))))):
                with open(os.path.join(REFERENCE, name + board + ".txt"), "w", encoding="utf-8") as f:
                    f.write("\n".join(lines) + "\n")


def main():
    kind = (sys.argv[1:] or ["day"])[0]
    if kind == "reference":
        return reference()
    why = root.why_not()
    if not why:
        try:
            root.make()
        except OSError as error:
            why = "the system cannot be made: " + str(error).replace("\n", " ")[-300:]
    if why:
        print("1..0 # SKIP " + why)
        return None
    tap = Tap()
    {"day": by_day, "matrix": matrix, "systemd": systemd, "faults": faults, "compare": compare}[kind](tap)
    return tap.done()


if __name__ == "__main__":
    main()
