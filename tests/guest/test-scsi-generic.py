#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's drivers on a disk and a tape of the host (scsi-block, scsi-generic), which a preloaded library plays: a file
system, sg3-utils, errors that come and go."""
import os
import subprocess
import tempfile

from console import Tap
from linux import Guest

SHIM = os.path.join(os.environ["BACKPLANE_BUILD"], "tests/qtest/sg-shim.so")
DRIVERS = ("crc32c_generic", "virtio_pci", "virtio_scsi", "sd_mod", "sr_mod", "sg", "st", "ext4")
PROGRAMS = ("sg_inq", "sg_raw", "sg_vpd", "sg_turs", "sg_readcap")


def start(path, drive, device, **more):
    """The emulator alone sees the device."""
    before = dict(os.environ)
    os.environ.update({"LD_PRELOAD": SHIM, "SG_SHIM_FILE": os.path.realpath(path), "SG_SHIM_MAX": "262144",
                       **{"SG_SHIM_" + name.upper(): value for name, value in more.items()}})
    try:
        return Guest("-m", "512", "-drive", f"if=none,id=d,file={path},{drive}", "-device", "virtio-scsi-pci", "-device",
                     device + ",drive=d", drivers=DRIVERS, programs=PROGRAMS)
    finally:
        os.environ.clear()
        os.environ.update(before)


def wait_for(g, name):
    text = g.run(f"i=0; while [ ! -e {name} ] && [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done; ls {name}", 200)
    assert "No such" not in text, text


def disk_has_a_file_system():
    with tempfile.TemporaryDirectory(prefix="backplane-sg-") as folder:
        path = os.path.join(folder, "disk")
        with open(path, "wb") as f:
            f.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)
        with start(path, "driver=host_device", "scsi-block") as g:
            g.run("dmesg -n 1")
            wait_for(g, "/sys/block/sda")
            text = g.run("sg_inq /dev/sda; sg_vpd --page=bl /dev/sda; sg_readcap /dev/sda; sg_turs -v /dev/sda; "
                         "cat /sys/block/sda/queue/max_sectors_kb")
            for words in ("Vendor identification: SHIM", "Unit serial number: shim-7",
                          "Maximum transfer length: 512 blocks", "Number of logical blocks=131072", "\n256\n"):
                assert words in text, words + ":\n" + text
            text = g.run("mkdir -p /m && mount /dev/sda /m && dd if=/dev/urandom of=/tmp/a bs=1M count=8 2>/dev/null && "
                         "cp /tmp/a /m/a && sync && umount /m && echo 3 > /proc/sys/vm/drop_caches && "
                         "mount /dev/sda /m && cmp /tmp/a /m/a && umount /m && echo they are the sa''me", 120)
            assert "they are the same" in text, text
            with open(path + ".ctl", "w", encoding="ascii") as f:
                f.write("28 sense 3 1100\n")
            text = g.run("dd if=/dev/sda of=/dev/null bs=4k count=1 skip=5000 iflag=direct 2>&1; dmesg | tail -20")
            assert "records in" not in text and "Unrecovered read error" in text, text
            os.unlink(path + ".ctl")
            assert "1+0 records in" in g.run("dd if=/dev/sda of=/dev/null bs=4k count=1 skip=5000 iflag=direct 2>&1")
            g.console.type("poweroff -f\n")
            assert g.console.wait(60) == 0
        check = subprocess.run(["/sbin/e2fsck", "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               check=False)
        assert check.returncode == 0, check.stdout


def tape_takes_commands():
    with tempfile.TemporaryDirectory(prefix="backplane-sg-") as folder:
        path = os.path.join(folder, "tape")
        with open(path, "wb") as f:
            f.truncate(1 << 20)
        with start(path, "driver=host_device", "scsi-generic", kind="char", type="1") as g:
            wait_for(g, "/sys/class/scsi_generic/sg0")
            text = g.run("ls /sys/class/scsi_tape; sg_inq /dev/sg0; sg_turs /dev/sg0; sg_raw /dev/sg0 01 00 00 00 00 00; "
                         "sg_raw /dev/sg0 dd 00 00 00 00 00")
            assert "st0" in text and "SCSI Status: Good" in text and "Invalid command operation code" in text, text
        with open(path + ".log", encoding="ascii") as f:
            codes = [line.split()[0] for line in f]
        assert "01" in codes and "dd" in codes, codes


if __name__ == "__main__":
    tap = Tap()
    tap.case("disk_has_a_file_system", disk_has_a_file_system)
    tap.case("tape_takes_commands", tape_takes_commands)
    tap.done()
