#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's standard kernel with its own drivers on virtio devices, by each interface that PCI has for them."""
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time

import disk
from console import BINARY, Console, Tap

BOOT_SECONDS = 400
DRIVERS = ("crc32c_generic", "virtio_pci", "virtio_blk", "virtio_rng", "virtio_console", "virtio_balloon",
           "virtio_input", "evdev", "virtio_scsi", "sd_mod", "sr_mod", "isofs", "ext4")
MKFS, FSCK = "/sbin/mkfs.ext4", "/sbin/e2fsck"


def image(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    subprocess.run([MKFS, "-q", "-F", path], check=True)


def boot(*args):
    kernel, initrd = disk.guest(DRIVERS)
    console = Console([BINARY, "-m", "512", "-nographic", "-nodefaults", "-serial", "mon:stdio", "-kernel", kernel,
                       "-initrd", initrd, "-append", "console=ttyS0 quiet", *args])
    console.expect("Disk guest is up", BOOT_SECONDS)
    console.expect("# ", 60)
    return console


def run(console, command, seconds=200):
    console.type(command + "; echo; echo en''d\n")
    text = console.expect("\nend", seconds)
    console.expect("# ", 60)
    return text.replace("\r", "")


def write_and_read(console, device):
    """Files are written, the medium unmounted, and they are read from it again."""
    text = run(console, f"mount /dev/{device} /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null && "
               "cp /mnt/file /mnt/copy && md5sum /mnt/file && umount /mnt && echo 3 > /proc/sys/vm/drop_caches && "
               f"mount /dev/{device} /mnt && md5sum /mnt/copy && umount /mnt", 400)
    sums = re.findall(r"([0-9a-f]{32})  /mnt/", text)
    assert len(sums) == 2 and sums[0] == sums[1], text


def is_clean(path):
    check = subprocess.run([FSCK, "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert check.returncode == 0, check.stdout


def end(console):
    errors = run(console, "dmesg | grep -iE 'i/o error|buffer i/o|virtio.*(fail|error)' | grep -v grep")
    assert "error" not in errors.split("\n", 1)[1].lower(), errors
    console.type("sync; poweroff -f\n")
    assert console.wait(120) == 0


def disk_works(machine, device, *more):
    def case():
        with tempfile.TemporaryDirectory(prefix="backplane-virtio-") as folder:
            path = os.path.join(folder, "disk.img")
            image(path, 64 << 20)
            console = boot("-machine", machine, "-drive", f"file={path},format=raw,if=none,id=d", "-device",
                           f"{device},drive=d,serial=backplane-7", *more)
            try:
                text = run(console, "cat /sys/block/vda/serial; readlink /sys/block/vda/device/driver")
                assert "backplane-7" in text and "virtio_blk" in text, text
                write_and_read(console, "vda")
                text = run(console, "dd if=/dev/vda of=/dev/null bs=1M iflag=direct 2>&1 | tail -1; "
                           "blkdiscard -h 2>&1 | head -1; cat /sys/block/vda/queue/discard_max_bytes")
                end(console)
            finally:
                console.close()
            is_clean(path)
    return case


def protected_disks_stay_as_they_are():
    """A guest is told that they are write-protected, and what it writes all the same fails."""
    with tempfile.TemporaryDirectory(prefix="backplane-virtio-") as folder:
        paths = [os.path.join(folder, name) for name in ("one.img", "two.img")]
        for path in paths:
            image(path, 8 << 20)
        before = [hashlib.md5(open(path, "rb").read()).hexdigest() for path in paths]
        console = boot("-blockdev", f"driver=file,node-name=one,filename={paths[0]},read-only=on", "-device",
                       "virtio-blk-pci,drive=one", "-device", "virtio-scsi-pci", "-drive",
                       f"file={paths[1]},format=raw,if=none,id=two,readonly=on", "-device", "scsi-hd,drive=two")
        try:
            run(console, "i=0; while [ ! -e /sys/block/sda ] && [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done", 200)
            for name in ("vda", "sda"):
                text = run(console, f"cat /sys/block/{name}/ro; dd if=/dev/zero of=/dev/{name} bs=4k count=1 conv=fsync; "
                           f"echo status-$?; mount -o ro /dev/{name} /mnt && ls /mnt && umount /mnt")
                assert "\n1\n" in text and "status-1" in text and "lost+found" in text, text
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()
        assert before == [hashlib.md5(open(path, "rb").read()).hexdigest() for path in paths]


def scsi_disk_and_cd_work():
    with tempfile.TemporaryDirectory(prefix="backplane-virtio-") as folder:
        path, cd = os.path.join(folder, "disk.img"), os.path.join(folder, "cd.img")
        image(path, 64 << 20)
        with open(cd, "wb") as f:
            f.write(b"backplane" * 100000)
            f.truncate(2 << 20)
        with open(cd, "rb") as f:
            digest = hashlib.md5(f.read()).hexdigest()
        console = boot("-device", "virtio-scsi-pci,id=s", "-drive", f"file={path},format=raw,if=none,id=d", "-device",
                       "scsi-hd,drive=d,serial=backplane-8", "-drive", f"file={cd},format=raw,if=none,id=c,readonly=on",
                       "-device", "scsi-cd,drive=c", "-smp", "2")
        try:
            run(console, "i=0; while [ ! -e /sys/block/sda -o ! -e /sys/block/sr0 ] && [ $i -lt 60 ]; do sleep 1; "
                "i=$((i+1)); done", 200)  # buses are searched beside all else
            text = run(console, "cat /sys/block/sda/device/vpd_pg80; dd if=/dev/sr0 bs=2048 2>/dev/null | md5sum; "
                       "readlink /sys/block/sda")
            assert "backplane-8" in text and digest in text and "virtio" in text, text
            write_and_read(console, "sda")
            text = run(console, "cat /sys/block/sda/queue/discard_max_bytes /sys/block/sda/device/queue_depth")
            assert "\n0\n" not in text, text
            end(console)
        finally:
            console.close()
        is_clean(path)


def ticks(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def disks_share_an_iothread():
    """Three disks of two kinds under load on one -object iothread, whose parameters change meanwhile."""
    with tempfile.TemporaryDirectory(prefix="backplane-virtio-") as folder:
        paths = [os.path.join(folder, name) for name in ("a.img", "b.img", "c.img")]
        for path in paths:
            image(path, 32 << 20)
        console = boot("-object", "iothread,id=io1,poll-max-ns=20000,poll-grow=2,poll-shrink=2,aio-max-batch=4",
                       "-drive", f"file={paths[0]},format=raw,if=none,id=a", "-device",
                       "virtio-blk-pci,drive=a,iothread=io1", "-drive", f"file={paths[1]},format=raw,if=none,id=b",
                       "-device", "virtio-blk-pci,drive=b,iothread=io1", "-device", "virtio-scsi-pci,iothread=io1",
                       "-drive", f"file={paths[2]},format=raw,if=none,id=c", "-device", "scsi-hd,drive=c")

        def monitor(command):
            console.type("\x01c")
            console.expect("(qemu) ", 30)
            console.type(command + "\n")
            text = console.expect("(qemu) ", 30)
            console.type("\x01c\n")
            console.expect("# ", 60)
            return text

        def told():
            """(how often it was called, microseconds that it has polled)"""
            text = monitor("info contexts")
            at = re.search(r"io1: .*?, (\d+) callbacks\s+(?:polls for \d+ ns before it sleeps; "
                           r"has polled for (\d+) us)?", text)
            return int(at[1]), int(at[2] or 0)

        def load(disks):
            text = run(console, f"for d in {disks}; do (dd if=/dev/$d of=/dev/null bs=16k count=200 iflag=direct "
                       "2>/dev/null; echo $? end-of-$d) & done; wait")
            assert text.count("0 end-of-") == len(disks.split()), text

        try:
            run(console, "i=0; while [ ! -e /sys/block/sda ] && [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done", 200)
            thread = int(re.search(r"io1:\s+thread_id=(\d+)", monitor("info iothreads")).group(1))
            before = ticks(console.process.pid, thread)
            for setting, polls in (("poll-max-ns 0", False), ("poll-max-ns 100000", True), ("poll-grow 4", True),
                                   ("poll-shrink 0", True), ("aio-max-batch 1", True)):
                monitor(f"qom-set /objects/io1 {setting}")
                calls, polled = told()
                load("vda vdb sda")
                now = told()
                assert now[0] > calls + 100 and (now[1] > polled) == polls, (setting, calls, polled, now)
            calls = told()[0]
            load("sda")
            assert told()[0] > calls + 100, "the SCSI controller is elsewhere"
            assert ticks(console.process.pid, thread) > before, "the thread did nothing"
            # All are written to at once, and each has what was written to it.
            text = run(console, "for d in vda vdb sda; do mkdir -p /tmp/$d; mount /dev/$d /tmp/$d; "
                       "(dd if=/dev/urandom of=/tmp/$d/file bs=64k count=64 2>/dev/null; cp /tmp/$d/file /tmp/$d/copy; "
                       "md5sum < /tmp/$d/file) & done; wait; for d in vda vdb sda; do umount /tmp/$d; "
                       "mount /dev/$d /tmp/$d; md5sum < /tmp/$d/copy; umount /tmp/$d; done", 400)
            sums = re.findall(r"^([0-9a-f]{32})  -", text, re.M)
            assert len(sums) == 6 and len(set(sums)) == 3 and set(sums[:3]) == set(sums[3:]), text
            end(console)
        finally:
            console.close()
        for path in paths:
            is_clean(path)


def disk_moves_and_leaves_under_load():
    """Under load a disk goes from thread to thread, and another leaves and comes back."""
    with tempfile.TemporaryDirectory(prefix="backplane-virtio-") as folder:
        paths = [os.path.join(folder, name) for name in ("a.img", "b.img")]
        for path in paths:
            image(path, 32 << 20)
        console = boot("-object", "iothread,id=io1", "-object", "iothread,id=io2", "-drive",
                       f"file={paths[0]},format=raw,if=none,id=a", "-device", "virtio-blk-pci,id=stays,drive=a",
                       "-blockdev", f"driver=raw,node-name=b,file.driver=file,file.filename={paths[1]}", "-device",
                       "virtio-blk-pci,id=goes,drive=b", "-smp", "2")

        def monitor(*commands):
            console.type("\x01c")
            console.expect("(qemu) ", 30)
            text = ""
            for command in commands:
                console.type(command + "\n")
                text += console.expect("(qemu) ", 60)
            console.type("\x01c\n")
            console.expect("# ", 60)
            return text

        try:
            run(console, "mount /dev/vda /mnt; (while [ ! -e /tmp/stop ]; do dd if=/dev/urandom of=/mnt/x bs=16k "
                "count=64 conv=fsync 2>/dev/null; done; echo over > /tmp/over) & "
                "(while [ -e /dev/vdb ]; do dd if=/dev/vdb of=/dev/null bs=16k iflag=direct 2>/dev/null; done) & true")
            for target in ("io1", "io2", "''", "io2", "io1"):
                text = monitor(f"qom-set /machine/peripheral/stays iothread {target}".replace("''", '""'))
                assert "rror" not in text, text
                run(console, "sleep 1")
            assert "io1" in monitor("qom-get /machine/peripheral/stays iothread")
            monitor("device_del goes")
            text = run(console, "i=0; while [ -e /dev/vdb ] && [ $i -lt 100 ]; do sleep 1; i=$((i+1)); done; "
                       "ls /dev/vd*")
            assert "/dev/vdb" not in text.split("ls /dev/vd*", 1)[1], text
            for _ in range(60):  # the kernel lets go of its disk first, then the slot is empty
                text = monitor("device_add virtio-blk-pci,id=again,drive=b,iothread=io2")
                if "in use" not in text:
                    break
                time.sleep(0.5)
            assert "rror" not in text, text
            run(console, "i=0; while [ ! -e /dev/vdb ] && [ $i -lt 100 ]; do sleep 1; i=$((i+1)); done")
            run(console, "touch /tmp/stop; while [ ! -e /tmp/over ]; do sleep 1; done; umount /mnt", 300)
            write_and_read(console, "vda")
            write_and_read(console, "vdb")
            end(console)
        finally:
            console.close()
        for path in paths:
            is_clean(path)


def others_work():
    with tempfile.TemporaryDirectory(prefix="backplane-virtio-") as folder:
        out = os.path.join(folder, "port")
        console = boot("-device", "virtio-rng-pci", "-device", "virtio-balloon-pci", "-device", "virtio-serial-pci",
                       "-chardev", f"file,id=c,path={out}", "-device",
                       "virtserialport,chardev=c,name=org.backplane.test", "-device", "virtio-keyboard-pci",
                       "-device", "virtio-tablet-pci")
        try:
            text = run(console, "cat /sys/devices/virtual/misc/hw_random/rng_current; dd if=/dev/hwrng bs=32 count=4 "
                       "2>/dev/null | md5sum; cat /sys/class/virtio-ports/vport*/name; cat /sys/class/input/*/name")
            assert "virtio_rng.0" in text and "org.backplane.test" in text, text
            assert "d41d8cd98f00b204e9800998ecf8427e" not in text, "no random bytes came"
            assert "Virtio Keyboard" in text and "Virtio Tablet" in text, text
            run(console, "for p in /dev/vport*p1; do echo from-the-guest > $p; done")
            before = int(re.search(r"MemTotal: +(\d+)", run(console, "cat /proc/meminfo")).group(1))
            console.type("\x01c")
            console.expect("(qemu) ", 30)
            console.type("balloon 384\n")
            console.expect("(qemu) ", 30)
            console.type("\x01c\n")
            console.expect("# ", 60)
            run(console, "i=0; while [ $i -lt 100 ]; do sleep 1; i=$((i+1)); "
                "[ $(awk '/MemTotal/{print $2}' /proc/meminfo) -lt 345000 ] && break; done", 200)
            after = int(re.search(r"MemTotal: +(\d+)", run(console, "cat /proc/meminfo")).group(1))
            assert 120000 < before - after < 140000, (before, after)
            end(console)
        finally:
            console.close()
        with open(out, "rb") as f:
            assert f.read() == b"from-the-guest\n"


if not os.path.exists(MKFS) or not os.path.exists(FSCK):
    print("1..0 # SKIP mkfs.ext4 and e2fsck are missing (e2fsprogs)")
else:
    try:
        disk.guest(DRIVERS)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"1..0 # SKIP Debian's kernel package cannot be had: {error}")
    else:
        tap = Tap()

        def case(name, function):
            if not sys.argv[1:] or name in sys.argv[1:]:
                tap.case(name, function)

        case("protected_disks_stay_as_they_are", protected_disks_stay_as_they_are)
        case("transitional_disk_is_written_and_read_on_pc", disk_works("pc", "virtio-blk-pci"))
        case("modern_disk_is_written_and_read_on_q35",
             disk_works("q35", "virtio-blk-pci-non-transitional", "-smp", "2"))
        case("legacy_disk_is_written_and_read", disk_works("pc", "virtio-blk-pci,disable-modern=on"))
        case("packed_rings_of_two_processors_are_served",
             disk_works("pc", "virtio-blk-pci,packed=on,num-queues=2", "-smp", "2"))
        case("scsi_disk_and_cd_work", scsi_disk_and_cd_work)
        case("disk_moves_and_leaves_under_load", disk_moves_and_leaves_under_load)
        case("disks_share_an_iothread", disks_share_an_iothread)
        case("entropy_balloon_port_and_input_work", others_work)
        tap.done()
