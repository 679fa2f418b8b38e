#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's sdhci-pci and mmc_block on an SD card: a file system, a card that is taken out and put in, one that is protected."""
import os
import subprocess
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "sdhci_pci", "mmc_block", "ext4")


def wait_for(g, condition):
    text = g.run(f"i=0; while ! {condition} && [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done; {condition} && echo it i''s so",
                 200)
    assert "it is so" in text, text + g.run("dmesg | tail -30")


def card_has_a_file_system():
    with tempfile.TemporaryDirectory(prefix="backplane-sd-") as folder:
        path, second = os.path.join(folder, "card"), os.path.join(folder, "second")
        for name in (path, second):
            with open(name, "wb") as f:
                f.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)
        with Guest("-m", "512", "-device", "sdhci-pci,id=h", "-blockdev", f"driver=file,filename={path},node-name=n",
                   "-device", "sd-card,drive=n,id=c", "-blockdev",
                   f"driver=file,filename={second},node-name=m,read-only=on", drivers=DRIVERS) as g:
            g.run("dmesg -n 1")
            wait_for(g, "[ -e /sys/block/mmcblk0 ]")
            text = g.run("cat /sys/block/mmcblk0/size /sys/block/mmcblk0/device/type /sys/block/mmcblk0/device/name "
                         "/sys/block/mmcblk0/device/scr; dmesg | grep -i mmc0")
            assert "\n131072\n" in "\n" + text and "SD\n" in text and "CARD1" in text and "02058002" in text and "ADMA" in text, text
            text = g.run("mkdir -p /m && mount /dev/mmcblk0 /m && dd if=/dev/urandom of=/tmp/a bs=1M count=9 2>/dev/null && "
                         "cp /tmp/a /m/a && sync && umount /m && echo 3 > /proc/sys/vm/drop_caches && "
                         "mount /dev/mmcblk0 /m && cmp /tmp/a /m/a && umount /m && echo they are the sa''me", 300)
            assert "they are the same" in text, text + g.run("dmesg | tail -20")
            g.qmp("device_del", id="c")
            g.event("DEVICE_DELETED")
            wait_for(g, "[ ! -e /sys/block/mmcblk0 ]")
            g.qmp("device_add", driver="sd-card", id="other", bus="h.0", drive="m")
            wait_for(g, "[ -e /sys/block/mmcblk0 ]")
            text = g.run("cat /sys/block/mmcblk0/ro; dd if=/dev/mmcblk0 bs=1M count=3 2>/dev/null | wc -c; "
                         "dmesg | grep -iE 'mmc0.*(error|timeout)'")
            assert text.split()[:2] == ["1", "3145728"] and "mmc0" not in text, text
            g.console.type("poweroff -f\n")
            assert g.console.wait(60) == 0
        check = subprocess.run(["/sbin/e2fsck", "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               check=False)
        assert check.returncode == 0, check.stdout


if __name__ == "__main__":
    tap = Tap()
    tap.case("card_has_a_file_system", card_has_a_file_system)
    tap.done()
