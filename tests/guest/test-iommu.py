#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's intel_iommu driver: disks behind the IOMMU read and write, by AHCI and by virtio."""
import re
import subprocess
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "ext4")


def disks_work_behind_it(*properties):
    with tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as a, \
         tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as b:
        for f in (a, b):
            f.truncate(64 << 20)
            subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", f.name], check=True)
        with Guest("-M", "q35", "-m", "512", "-device", ",".join(("intel-iommu", *properties)), "-drive",
                   f"if=ide,format=raw,file={a.name}", "-drive", f"if=none,id=d,format=raw,file={b.name}", "-device",
                   "virtio-blk-pci,drive=d,iommu_platform=on,disable-legacy=on", drivers=DRIVERS,
                   append=" intel_iommu=on iommu.passthrough=0") as g:
            text = g.run("dmesg | grep -E 'DMAR|iommu'; cat /sys/class/iommu/dmar0/intel-iommu/cap; "
                         "cat /sys/kernel/iommu_groups/*/type | sort | uniq -c")
            assert "IOMMU enabled" in text and re.search(r"\d+ DMA", text), text
            text = g.run("for d in sda vda; do mount /dev/$d /mnt && dd if=/dev/urandom of=/mnt/a bs=64k count=64 "
                         "2>/dev/null && cp /mnt/a /mnt/b && sync && echo 3 > /proc/sys/vm/drop_caches && "
                         "cmp /mnt/a /mnt/b && echo $d is the sa''me; umount /mnt; done; "
                         "dmesg | grep -iE 'dmar.*fault|i/o error'", 200)
            assert "sda is the same" in text and "vda is the same" in text, text
            assert "fault" not in text.lower() and "error" not in text.lower(), text
            g.console.type("sync; poweroff -f\n")
            assert g.console.wait(60) == 0
        for f in (a, b):
            check = subprocess.run(["/sbin/e2fsck", "-fn", f.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, check=False)
            assert check.returncode == 0, check.stdout


def main():
    tap = Tap()
    tap.case("disks_work_behind_it", disks_work_behind_it)
    tap.case("so_they_do_with_four_levels_and_caching_mode", disks_work_behind_it, "aw-bits=48", "caching-mode=on",
             "device-iotlb=on")
    tap.done()


if __name__ == "__main__":
    main()
