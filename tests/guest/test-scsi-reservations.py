#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's sg3-utils on a disk that two virtio SCSI hosts show: reservations of all kinds by sg_persist, seen by the
kernel's own reads and writes, and what the disk says of itself."""
import os
import tempfile

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "virtio_pci", "virtio_scsi", "sd_mod", "sr_mod", "sg")
PROGRAMS = ("sg_persist", "sg_inq", "sg_readcap", "sg_luns", "sg_turs", "sg_modes", "sg_requests", "sg_vpd")
TYPES = {1: "Write Exclusive", 3: "Exclusive Access", 5: "Write Exclusive, registrants only",
         6: "Exclusive Access, registrants only", 7: "Write Exclusive, all registrants",
         8: "Exclusive Access, all registrants"}


def persist(g, host, what):
    return g.run(f"sg_persist -n {what} $(disk {host}); echo status $?")


def fine(text):
    assert "status 0" in text, text
    return text


def reads(g, host):
    return "1+0 records in" in g.run(f"dd if=$(disk {host}) of=/dev/null bs=4096 count=1 iflag=direct 2>&1")


def writes(g, host):
    return "1+0 records out" in g.run(f"dd if=/dev/zero of=$(disk {host}) bs=4096 count=1 oflag=direct 2>&1")


def check_type(g, number, name):
    fine(persist(g, 0, f"--out --register --param-sark=0xaaa{number}"))
    fine(persist(g, 1, f"--out --register --param-sark=0xbbb{number}"))
    fine(persist(g, 0, f"--out --reserve --param-rk=0xaaa{number} --prout-type={number}"))
    text = fine(persist(g, 1, "--in --read-reservation"))
    assert f"type: {name}" in text and (number >= 7 or f"Key=0xaaa{number}" in text), text
    assert reads(g, 0) and writes(g, 0), name
    assert writes(g, 1) == (number >= 5) and reads(g, 1) == (number != 3), name
    text = fine(persist(g, 0, "--in --read-full-status"))
    assert text.count("Key=0x") == 2 and text.count("SAS address: 0x3") == 2, text
    fine(persist(g, 1, f"--out --register --param-rk=0xbbb{number}"))  # its key goes
    g.run("sg_turs $(disk 1)")  # takes unit attentions
    assert not writes(g, 1) and reads(g, 1) == (number in (1, 5, 7)), name
    fine(persist(g, 0, f"--out --release --param-rk=0xaaa{number} --prout-type={number}"))
    assert writes(g, 1) and "NO reservation held" in persist(g, 1, "--in --read-reservation"), name
    fine(persist(g, 0, f"--out --clear --param-rk=0xaaa{number}"))
    assert "NO registered reservation keys" in persist(g, 0, "--in --read-keys"), name


def one_takes_over(g):
    fine(persist(g, 0, "--out --register --param-sark=0xa"))
    fine(persist(g, 1, "--out --register-ignore --param-sark=0xb"))
    fine(persist(g, 0, "--out --reserve --param-rk=0xa --prout-type=3"))
    fine(persist(g, 1, "--out --preempt-abort --param-rk=0xb --param-sark=0xa --prout-type=3"))
    g.run("sg_turs $(disk 0)")
    text = fine(persist(g, 0, "--in --read-keys"))
    assert "0xb" in text and "0xa\r" not in text and not reads(g, 0) and writes(g, 1), text
    text = persist(g, 0, "--out --reserve --param-rk=0xa --prout-type=3")
    assert "eservation conflict" in text and "status 24" in text, text
    text = persist(g, 1, "--out --register --param-rk=0xb --param-sark=0xb --param-aptpl")
    assert "Illegal request" in text and "status 5" in text, text
    fine(persist(g, 1, "--out --clear --param-rk=0xb"))


def disk_says_what_it_is(g):
    text = fine(g.run("sg_persist -n --in --report-capabilities $(disk 0); echo status $?"))
    assert "Persist Through Power Loss Capable(PTPL_C): 0" in text and text.count(": 1") >= 7, text
    text = g.run("D=$(disk 0); sg_inq $D; sg_vpd --page=bl $D; sg_readcap --16 $D; sg_luns $D; sg_turs -v $D; "
                 "sg_modes --page=8 $D; sg_requests $D; echo status $?")
    for words in ("QEMU HARDDISK", "Unit serial number: host-0", "Maximum unmap LBA count",
                  "Number of logical blocks=65536", "Lun list length = 8", "Caching", "status 0"):
        assert words in text, words + ":\n" + text


def sg3_utils_work():
    with tempfile.TemporaryDirectory(prefix="backplane-reserve-") as folder:
        path = os.path.join(folder, "disk")
        with open(path, "wb") as f:
            f.truncate(32 << 20)
        with Guest("-m", "512", "-blockdev", f"driver=file,filename={path},node-name=d",
                   *(arg for n in (0, 1) for arg in (
                       "-device", f"virtio-scsi-pci,id=h{n}", "-device",
                       f"scsi-hd,bus=h{n}.0,drive=d,share-rw=on,serial=host-{n}")),
                   drivers=DRIVERS, programs=PROGRAMS) as g:
            g.run("dmesg -n 1")
            g.run("disk() { for d in /sys/block/sd*; do grep -q host-$1 $d/device/vpd_pg80 && echo /dev/${d##*/}; "
                  "done; }")
            g.run("i=0; while [ -z \"$(disk 0)\" -o -z \"$(disk 1)\" ] && [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done",
                  200)
            disk_says_what_it_is(g)
            for number, name in TYPES.items():
                check_type(g, number, name)
            one_takes_over(g)


if __name__ == "__main__":
    tap = Tap()
    tap.case("sg3_utils_work", sg3_utils_work)
    tap.done()
