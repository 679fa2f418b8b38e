#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's sym53c8xx and am53c974 drivers on all parallel SCSI adapters at once: disks, CDs, units, many and long
requests, resets, disks that leave and come."""
import subprocess
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "sd_mod", "sr_mod", "sg", "ext4", "sym53c8xx", "am53c974")
SIZE = 64 << 20


def drive(path, name, more=""):
    return ["-drive", f"if=none,id={name},format=raw,file={path}{more}", "-device"]


class Parallel(Guest):
    """Finds a unit's block device by its adapter's PCI address, target and unit."""

    def __init__(self, *args):
        super().__init__(*args, drivers=DRIVERS, programs=("sg_reset",))

    def block(self, slot, target, lun=0):
        text = self.run(f"ls -d /sys/bus/pci/devices/0000:00:{slot}.0/host*/target*/*:0:{target}:{lun}/block/*")
        assert text.count("/block/") == 1, text
        return text.split()[0].rsplit("/", 1)[1]


def both_ways(g, disk):
    """A file system, read back from the medium; and eight streams of long direct reads beside one of writes."""
    text = g.run(f"mkdir -p /m/{disk} && mount /dev/{disk} /m/{disk} && cp /tmp/data /m/{disk}/a && cp /m/{disk}/a "
                 f"/m/{disk}/b && sync && echo 3 > /proc/sys/vm/drop_caches && cmp /tmp/data /m/{disk}/b && "
                 "echo they are the sa''me", 200)
    assert "they are the same" in text, text
    text = g.run(f"echo 4096 > /sys/block/{disk}/queue/max_sectors_kb; "
                 f"for n in 1 2 3 4 5 6 7 8; do dd if=/dev/{disk} of=/dev/null bs=4M count=6 skip=$n iflag=direct "
                 f"2>&1 & done; dd if=/tmp/data of=/m/{disk}/c bs=1M oflag=direct; wait; "
                 f"cmp /tmp/data /m/{disk}/c && echo they are the sa''me", 200)
    assert "they are the same" in text and text.count("6+0 records in") == 9, text


def cd_is_read(g, cd, image):
    want = subprocess.run(["md5sum", image], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    assert want in g.run(f"md5sum /dev/{cd}"), cd


def is_reset(g, disk, *kinds):
    for kind in kinds:
        text = g.run(f"sg_reset {kind} /dev/{disk} && dd if=/dev/{disk} of=/dev/null bs=1M count=4 iflag=direct && "
                     "echo it go''es on", 120)
        assert "it goes on" in text, text


def leaves_and_comes(g, slot, bus, disk):
    g.run(f"umount /m/{disk} 2>/dev/null; echo 1 > /sys/block/{disk}/device/delete")
    g.qmp("device_del", id=f"{bus}-leaves")
    g.event("DEVICE_DELETED")
    g.qmp("device_add", driver="scsi-hd", id=f"{bus}-comes", bus=bus + ".0", drive=bus + "-late",
          **{"scsi-id": 4, "lun": 2})
    g.run(f"for h in /sys/bus/pci/devices/0000:00:{slot}.0/host*/scsi_host/host*; do echo '- 4 2' > $h/scan; done", 60)
    came = g.block(slot, 4, 2)
    assert "1048576" in g.run(f"dd if=/dev/{came} bs=1M count=4 2>/dev/null | wc -c; blockdev --getsize64 /dev/{came}")


def adapters_work():
    """The 53C895A is the one that the board makes for if=scsi."""
    names = ("sym", "amd", "old")
    with tempfile.TemporaryDirectory(prefix="backplane-parallel-scsi-") as folder:
        disks = {name: f"{folder}/{name}" for name in (*names, "sym-l", "amd-l", "cd")}
        for name, path in disks.items():
            with open(path, "wb") as f:
                f.truncate(SIZE)
            if name in names:
                subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)
        with open(disks["cd"], "r+b") as f:
            f.write(bytes(range(256)) * 8192)
            f.truncate(8 << 20)
        late = [arg for bus in ("scsi", "amd") for arg in
                ("-blockdev", f"driver=null-co,node-name={bus}-late,size=1048576,read-zeroes=on")]
        with Parallel("-m", "512", "-M", "q35", "-drive", f"if=scsi,index=2,format=raw,file={disks['sym']}", "-device",
                      "am53c974,id=amd,addr=11", "-device", "lsi53c810,id=old,addr=12",
                      *drive(disks["sym-l"], "d1"), "scsi-hd,bus=scsi.0,drive=d1,scsi-id=2,lun=3,id=scsi-leaves",
                      *drive(disks["cd"], "c0", ",readonly=on"), "scsi-cd,bus=scsi.0,drive=c0,scsi-id=12",
                      *drive(disks["amd"], "d2"), "scsi-hd,bus=amd.0,drive=d2,scsi-id=0",
                      *drive(disks["amd-l"], "d3"), "scsi-hd,bus=amd.0,drive=d3,scsi-id=0,lun=7,id=amd-leaves",
                      *drive(disks["cd"], "c1", ",readonly=on,file.locking=off"),
                      "scsi-cd,bus=amd.0,drive=c1,scsi-id=5",
                      *drive(disks["old"], "d4"), "scsi-hd,bus=old.0,drive=d4,scsi-id=6", *late) as g:
            found = {"sym": g.block("0?", 2), "amd": g.block("11", 0), "old": g.block("12", 6)}
            g.run("dd if=/dev/urandom of=/tmp/data bs=1M count=6 2>/dev/null; md5sum /tmp/data")
            for disk in found.values():
                both_ways(g, disk)
            cd_is_read(g, g.block("0?", 12), disks["cd"])
            cd_is_read(g, g.block("11", 5), disks["cd"])
            leaves_and_comes(g, "0?", "scsi", g.block("0?", 2, 3))
            leaves_and_comes(g, "11", "amd", g.block("11", 0, 7))
            text = g.run("dmesg | grep -iE 'sym|esp|53c|sd |sr '")
            assert "is a AM53C974" in text and "<895a>" in text and "<810>" in text, text
            for word in ("abort", "timeout", "timed out", "overrun", "error"):
                assert word not in text.lower(), text
            is_reset(g, found["sym"], "-d")
            is_reset(g, found["amd"], "-b")
            g.run("umount /m/*; sync", 120)
            g.console.type("poweroff -f\n")
            assert g.console.wait(60) == 0
        for name in names:
            check = subprocess.run(["/sbin/e2fsck", "-fn", disks[name]], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, check=False)
            assert check.returncode == 0, check.stdout


if __name__ == "__main__":
    tap = Tap()
    tap.case("adapters_work", adapters_work)
    tap.done()
