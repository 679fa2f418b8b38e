#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's intel_iommu driver: disks behind the IOMMU read and write, by AHCI and by virtio."""
import re
import subprocess
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "ext4")


def run_disks(*properties):
    """Gives how often the driver had a translation forgotten."""
    with tempfile.NamedTemporaryFile(prefix="backplane-iommu-", mode="r", encoding="utf-8") as log, \
         tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as a, \
         tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as b:
        for f in (a, b):
            f.truncate(64 << 20)
            subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", f.name], check=True)
        with Guest("-M", "q35", "-m", "512", "-device", ",".join(("intel-iommu", *properties)), "-drive",
                   f"if=ide,format=raw,file={a.name}", "-drive", f"if=none,id=d,format=raw,file={b.name}", "-device",
                   "virtio-blk-pci,drive=d,iommu_platform=on,disable-legacy=on",
                   "-trace", "vtd_invalidate", "-D", log.name, drivers=DRIVERS,
                   append=" intremap=on intel_iommu=on iommu.passthrough=0") as g:
            text = g.run("dmesg | grep -E 'DMAR|iommu'; cat /sys/class/iommu/dmar0/intel-iommu/cap; "
                         "cat /sys/kernel/iommu_groups/*/type | sort | uniq -c")
            assert "IOMMU enabled" in text and re.search(r"\d+ DMA", text), text
            text = g.run("dmesg | grep -i remapping; grep -E 'ahci|virtio|ttyS0' /proc/interrupts")
            remaps = "intremap=off" not in properties
            assert ("Enabled IRQ remapping" in text) == remaps and ("IR-" in text) == remaps, text
            assert not remaps or re.search(r"[1-9]\d* +IR-IO-APIC.*ttyS0", text), text
            assert not remaps or re.search(r"[1-9]\d* +IR-PCI-MSI.*ahci", text), text
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
        return log.read().count("vtd_invalidate kind 2 ")


def disks_work_behind_it(*properties):
    run_disks(*properties)


def processors_get_their_interrupts():
    """With two of them, and where x2APIC's numbers are used, which only remapped messages can have in full."""
    with Guest("-M", "q35", "-m", "512", "-smp", "2", "-cpu", "max", "-device", "intel-iommu,intremap=on", "-drive",
               "if=none,id=d,driver=null-co,size=64M", "-device", "nvme,drive=d,serial=1",
               drivers=("crc32c_generic", "nvme")) as g:
        text = g.run("dmesg | grep -i -E 'remapping|x2apic'")
        assert "Enabled IRQ remapping in x2apic mode" in text, text
        text = g.run("for cpu in 0 1; do taskset $((cpu + 1)) dd if=/dev/nvme0n1 of=/dev/null bs=64k count=64 "
                     "iflag=direct 2>/dev/null; done; grep nvme0q /proc/interrupts; dmesg | grep -iE 'timeout|dmar.*fault'")
        assert len(re.findall(r"IR-PCI-MSI.*nvme0q[12]", text)) == 2, text
        assert "timeout" not in text.lower() and "dmar" not in text.lower(), text


def each_mapping_is_told_in_caching_mode():
    """16 MiB to and from two disks are more than a hundred mappings; else a few are forgotten together."""
    without, told = run_disks(), run_disks("caching-mode=on")
    assert told > 200 and told > 3 * without, (without, told)


def main():
    tap = Tap()
    tap.case("disks_work_behind_it", disks_work_behind_it)
    tap.case("each_mapping_is_told_in_caching_mode", each_mapping_is_told_in_caching_mode)
    tap.case("without_remapping_they_do_too", disks_work_behind_it, "intremap=off")
    tap.case("processors_get_their_interrupts", processors_get_their_interrupts)
    tap.case("so_they_do_with_four_levels_and_caching_mode", disks_work_behind_it, "aw-bits=48", "caching-mode=on",
             "device-iotlb=on")
    tap.done()


if __name__ == "__main__":
    main()
