#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's nvme driver: what it writes is there, in the image too; alone, and behind an IOMMU that comes later on the
command line."""
import subprocess
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "nvme", "ext4")


def disk_works(*args, append=""):
    with tempfile.NamedTemporaryFile(prefix="backplane-nvme-") as f:
        f.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", f.name], check=True)
        with Guest("-M", "q35", "-m", "512", "-drive", f"if=none,id=d,format=raw,file={f.name}", "-device",
                   "nvme,drive=d,serial=backplane-1", *args, drivers=DRIVERS, append=append) as g:
            text = g.run("cat /sys/class/nvme/nvme0/serial /sys/class/nvme/nvme0/model /sys/block/nvme0n1/size; "
                         "grep nvme /proc/interrupts; dmesg | grep -iE 'nvme|dmar'")
            assert "backplane-1" in text and "131072" in text and "nvme0q1" in text, text
            text = g.run("mount /dev/nvme0n1 /mnt && dd if=/dev/urandom of=/mnt/a bs=64k count=256 2>/dev/null && "
                         "cp /mnt/a /mnt/b && sync && echo 3 > /proc/sys/vm/drop_caches && cmp /mnt/a /mnt/b && "
                         "echo they are the sa''me; umount /mnt; dmesg | grep -iE 'dmar.*fault|i/o error|timeout'", 300)
            assert "they are the same" in text, text
            assert "fault" not in text.lower() and "error" not in text.lower() and "timeout" not in text, text
            groups = g.run("ls /sys/kernel/iommu_groups")
            g.console.type("sync; poweroff -f\n")
            assert g.console.wait(60) == 0
        check = subprocess.run(["/sbin/e2fsck", "-fn", f.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, check=False)
        assert check.returncode == 0, check.stdout
    return groups


def disk_works_behind_an_iommu():
    groups = disk_works("-device", "intel-iommu", append=" intel_iommu=on iommu.passthrough=0")
    assert "1" in groups.split(), groups


def main():
    tap = Tap()
    tap.case("disk_works", disk_works)
    tap.case("disk_works_behind_an_iommu", disk_works_behind_an_iommu)
    tap.done()


if __name__ == "__main__":
    main()
