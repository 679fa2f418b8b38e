#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel with its own drivers of SCSI host adapters, all in one boot; and SeaBIOS with its own."""
import hashlib
import os
import re
import subprocess
import tempfile
import time

from bootable import disk as bootable
from console import BINARY, SLOW, Console, Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "vmw_pvscsi", "megaraid_sas", "mptsas", "sd_mod", "sr_mod", "ext4")
# Each has two disks and a CD; their numbers on the bus, and what the driver makes of them.
ADAPTERS = {"pvscsi": "pvscsi", "megasas": "megasas", "megasas-gen2": "megasas-gen2,use_jbod=on,msix=off",
            "mptsas1068": "mptsas1068"}
FIND = """disk() { for d in /sys/block/sd*; do grep -q $1 $d/device/vpd_pg80 && echo /dev/${d##*/}; done; }
cd_of() { for c in /sys/block/sr*; do case $(readlink -f $c) in *0000:00:$1.0*) echo /dev/${c##*/};; esac; done; }"""


def images(folder):
    found = {}
    for n, name in enumerate(ADAPTERS):
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.truncate(48 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)
        with open(path + "-cd", "wb") as f:
            f.write(name.encode() * 30000)
            f.truncate(1 << 20)
        with open(path + "-cd", "rb") as f:
            found[name] = n, path, hashlib.md5(f.read()).hexdigest()
    return found


def options(found):
    for name, (n, path, _) in found.items():
        yield from ("-device", f"{ADAPTERS[name]},id=h{n},addr={8 + n:x}", "-drive",
                    f"file={path},format=raw,if=none,id=d{n}", "-device",
                    f"scsi-hd,bus=h{n}.0,drive=d{n},scsi-id=1,serial=first-{n}", "-blockdev",
                    f"driver=null-co,node-name=n{n},size=33554432,read-zeroes=on", "-device",
                    f"scsi-hd,bus=h{n}.0,drive=n{n},scsi-id=4,id=u{n},serial=second-{n}", "-drive",
                    f"file={path}-cd,format=raw,if=none,id=c{n},readonly=on", "-device",
                    f"scsi-cd,bus=h{n}.0,drive=c{n}")


def wait(g, condition, what):
    end = time.monotonic() + 90 * SLOW
    while "yes" not in (text := g.run(f"{condition} && echo y''es")):
        assert time.monotonic() < end, f"{what}: {text}\n{g.run('dmesg | tail -40')}"
        time.sleep(0.3)


def works(g, found, name):
    """Data, a CD, requests of a megabyte and more, resets of a disk, a disk that goes and comes back."""
    n, _, digest = found[name]
    text = g.run(f"D=$(disk first-{n}) S=$(disk second-{n}); md5sum $(cd_of {8 + n:02x}); mount $D /mnt && "
                 "dd if=/dev/urandom of=/mnt/a bs=1M count=6 2>/dev/null && cp /mnt/a /mnt/b && sync && umount /mnt && "
                 "echo 3 > /proc/sys/vm/drop_caches && mount $D /mnt && cmp /mnt/a /mnt/b && echo they are the sa''me; "
                 "umount /mnt; K=/sys/block/${D##*/}/queue; cat $K/max_hw_sectors_kb > $K/max_sectors_kb; "
                 "dd if=$D of=/dev/null bs=4M count=4 iflag=direct 2>&1 | tail -1; "
                 "echo largest $(cat $K/max_sectors_kb)")
    assert "they are the same" in text and digest in text and "4+0 records out" in text, f"{name}: {text}"
    largest = int(re.search(r"largest (\d+)", text).group(1))
    g.qmp("device_del", id=f"u{n}")
    wait(g, f"[ -z \"$(disk second-{n})\" ]", name + ": the second disk does not go")
    g.qmp("device_add", driver="scsi-hd", bus=f"h{n}.0", drive=f"n{n}", id=f"u{n}", serial=f"third-{n}",
          **{"scsi-id": 5})
    wait(g, f"[ -n \"$(disk third-{n})\" ]", name + ": the new disk does not come")
    text = g.run(f"dd if=$(disk third-{n}) bs=1M count=2 2>/dev/null | md5sum")
    assert hashlib.md5(bytes(2 << 20)).hexdigest() in text, f"{name}: {text}"
    return largest


def linux_drives_them():
    with tempfile.TemporaryDirectory(prefix="backplane-hba-") as folder:
        found = images(folder)
        with Guest("-M", "q35", "-m", "512", *options(found), drivers=DRIVERS) as g:
            g.run("dmesg -n 1")  # what drivers say of disks that come is in nobody's way
            g.run(FIND)
            for n in range(len(ADAPTERS)):
                wait(g, f"[ -n \"$(disk first-{n})\" -a -n \"$(disk second-{n})\" -a -n \"$(cd_of {8 + n:02x})\" ]",
                     "disks are missing")
            text = g.run("grep -E 'pvscsi|megasas|ioc0' /proc/interrupts")
            assert text.count("PCI-MSI") == 2 and text.count("megasas") == 2 and "ioc0" in text, text
            assert g.run("cat /sys/class/sas_phy/*/sas_address").count("0x5525400000") == 8
            largest = {name: works(g, found, name) for name in ADAPTERS}
            assert max(largest.values()) >= 1024, largest
            text = g.run("cat /sys/class/scsi_host/host*/proc_name; "
                         "dmesg | grep -iE 'i/o error|timed out|task abort|hostbyte'")
            assert text.split()[:4] == ["vmw_pvscsi", "megaraid_sas", "megaraid_sas", "mptsas"], text
            assert "error" not in text.replace("Synchronize Cache", "").lower() and "abort" not in text, text
            g.console.type("sync; poweroff -f\n")
            assert g.console.wait(120) == 0
        for _, path, _ in found.values():
            check = subprocess.run(["/sbin/e2fsck", "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, check=False)
            assert check.returncode == 0, check.stdout


def firmware_boots_from(adapter, number):
    with tempfile.TemporaryDirectory(prefix="backplane-hba-") as folder:
        first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
        bootable(first, "the wrong disk is booted", 8 << 20)
        bootable(second, "the disk of " + adapter + " is booted", 8 << 20)
        console = Console([BINARY, "-m", "64", "-display", "none", "-serial", "stdio", "-monitor", "none", "-hda",
                           first, "-device", adapter, "-drive", f"file={second},format=raw,if=none,id=d", "-device",
                           f"scsi-hd,drive=d,scsi-id={number},bootindex=0"])
        try:
            console.expect("the disk of " + adapter + " is booted", 60)
        finally:
            console.close()


def main():
    tap = Tap()
    tap.case("linux_drives_them", linux_drives_them)
    tap.case("firmware_boots_from_pvscsi", firmware_boots_from, "pvscsi", 2)
    tap.case("firmware_boots_from_megasas", firmware_boots_from, "megasas", 3)
    tap.case("firmware_boots_from_mptsas1068", firmware_boots_from, "mptsas1068", 1)
    tap.done()


if __name__ == "__main__":
    main()
