#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's drivers of IOMMUs, Intel's and virtio's: disks behind them read and write, by AHCI and by virtio."""
import functools
import re
import subprocess
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "virtio_net", "ext4")


@functools.cache
def run_disks(*properties, card="", also=None):
    """Gives how often the driver had translations forgotten, and how often those of devices. `card`: more properties of
    the virtio disk; `also` is tried with the guest before it ends."""
    with tempfile.NamedTemporaryFile(prefix="backplane-iommu-", mode="r", encoding="utf-8") as log, \
         tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as a, \
         tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as b:
        for f in (a, b):
            f.truncate(64 << 20)
            subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", f.name], check=True)
        with Guest("-M", "q35", "-m", "512", "-device", ",".join(("intel-iommu", *properties)), "-drive",
                   f"if=ide,format=raw,file={a.name}", "-drive", f"if=none,id=d,format=raw,file={b.name}", "-device",
                   "virtio-blk-pci,drive=d,iommu_platform=on,disable-legacy=on" + card,
                   *(("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,iommu_platform=on,disable-legacy=on" +
                      card) if also else ("-nic", "none")),
                   "-trace", "vtd_invalidate", "-D", log.name, drivers=DRIVERS,
                   programs=("lspci",) if also else (), append=" intremap=on intel_iommu=on iommu.passthrough=0") as g:
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
            if also:
                also(g)
            assert "sda is the same" in text and "vda is the same" in text, text
            assert "fault" not in text.lower() and "error" not in text.lower(), text
            g.console.type("sync; poweroff -f\n")
            assert g.console.wait(60) == 0
        for f in (a, b):
            check = subprocess.run(["/sbin/e2fsck", "-fn", f.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, check=False)
            assert check.returncode == 0, check.stdout
        text = log.read()
        return text.count("vtd_invalidate kind 2 "), text.count("vtd_invalidate kind 3 ")


def disks_work_behind_it():
    run_disks()


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


def look_at_ats(g):
    text = g.run("lspci -vv -d 1af4: | grep -A2 -E 'Address Translation'; ip link set eth0 up; "
                 "ip addr add 10.0.2.15/24 dev eth0; ping -c 3 -w 30 10.0.2.2; dmesg | grep -iE 'dmar.*(fault|invalid)'", 200)
    assert len(re.findall(r"ATSCtl:\s*Enable\+", text)) == 2, text
    assert re.search(r"[1-3] packets received", text) and "fault" not in text, text


def with_all_else():
    """One start has the other choices together."""
    return run_disks("intremap=off", "aw-bits=48", "caching-mode=on", "device-iotlb=on", card=",ats=on",
                     also=look_at_ats)


def without_remapping_they_do_too():
    with_all_else()


def each_mapping_is_told_in_caching_mode():
    """16 MiB to and from two disks are more than a hundred mappings; else a few are forgotten together."""
    without, told = run_disks()[0], with_all_else()[0]
    assert told > 200 and told > 3 * without, (without, told)


def devices_keep_translations():
    """Linux switches ATS on for virtio disks and network cards, and has them forget what it unmaps."""
    told = with_all_else()[1]
    assert told > 200, told


def virtio_s_translates():
    """The release's kernel has no driver, that of Debian's backports does: ACPI's VIOT leads it to the device, and with
    boot-bypass=off nothing is reached but what the driver maps."""
    with tempfile.NamedTemporaryFile(prefix="backplane-iommu-") as a:
        a.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", a.name], check=True)
        with Guest("-M", "q35", "-m", "512", "-device", "virtio-iommu-pci,addr=5,boot-bypass=off", "-drive",
                   f"if=none,id=d,format=raw,file={a.name}", "-device",
                   "virtio-blk-pci,drive=d,iommu_platform=on,disable-legacy=on,addr=6", "-drive",
                   "if=none,id=i,driver=null-co,size=64M", "-device", "ide-hd,drive=i", "-nic", "none", newer=True,
                   drivers=("crc32c_generic", "virtio_iommu", "ahci", "sd_mod", "virtio_blk", "ext4"),
                   append=" iommu.passthrough=0 iommu.strict=1") as g:
            text = g.run("dmesg | grep -iE 'iommu|viot'; cat /sys/kernel/iommu_groups/*/type; ls "
                         "/sys/class/iommu/*/devices; readlink /sys/block/vda/device/../iommu_group")
            assert "virtio_iommu virtio0: input address: 39 bits" in text and text.count("\nDMA") >= 3, text
            assert re.search(r"0000:00:06.0: Adding to iommu group", text) and "0000:00:1f.2" in text, text
            text = g.run("mount /dev/vda /mnt && dd if=/dev/urandom of=/mnt/a bs=64k count=64 2>/dev/null && "
                         "cp /mnt/a /mnt/b && sync && echo 3 > /proc/sys/vm/drop_caches && cmp /mnt/a /mnt/b && "
                         "echo it is the sa''me; umount /mnt; dd if=/dev/sda of=/dev/null bs=64k count=64 2>&1; "
                         "dmesg | grep -E 'iommu.* fault|I/O error'", 200)
            assert "it is the same" in text and "64+0 records in" in text and " fault" not in text, text
            assert "error" not in text.lower(), text
            g.console.type("sync; poweroff -f\n")
            assert g.console.wait(60) == 0
        check = subprocess.run(["/sbin/e2fsck", "-fn", a.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, check=False)
        assert check.returncode == 0, check.stdout


def main():
    tap = Tap()
    tap.case("disks_work_behind_it", disks_work_behind_it)
    tap.case("without_remapping_they_do_too", without_remapping_they_do_too)
    tap.case("each_mapping_is_told_in_caching_mode", each_mapping_is_told_in_caching_mode)
    tap.case("devices_keep_translations", devices_keep_translations)
    tap.case("processors_get_their_interrupts", processors_get_their_interrupts)
    tap.case("virtio_s_translates", virtio_s_translates)
    tap.done()


if __name__ == "__main__":
    main()
