#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's standard kernel with its own drivers of USB controllers and devices."""
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

import disk
from console import BINARY, Console, SLOW, Tap

BOOT_SECONDS = 400
DRIVERS = ("xhci_pci", "ehci_pci", "uhci_hcd", "ohci_pci", "ftdi_sio", "usbhid", "hid_generic", "evdev", "usb_storage",
           "uas", "sd_mod", "sr_mod", "crc32c_generic", "ext4", "wacom", "snd_usb_audio", "snd_pcm_oss")
MKFS, FSCK = "/sbin/mkfs.ext4", "/sbin/e2fsck"


class Guest:
    def __init__(self, *args):
        kernel, initrd = disk.guest(DRIVERS)
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-usb-")
        self.path = os.path.join(self.folder.name, "qmp")
        self.console = Console([BINARY, "-m", "512", "-nographic", "-nodefaults", "-serial", "mon:stdio", "-kernel",
                                kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet", "-qmp",
                                f"unix:{self.path},server=on,wait=off", *args])

    def __enter__(self):
        self.console.expect("Disk guest is up", BOOT_SECONDS)
        self.console.expect("# ", 60)
        return self

    def __exit__(self, *_):
        self.console.close()
        self.folder.cleanup()

    def qmp(self, name, **arguments):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(30 * SLOW)
            peer.connect(self.path)
            lines = peer.makefile("r")
            lines.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                peer.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(lines.readline())
                while "event" in answer:
                    answer = json.loads(lines.readline())
                assert "return" in answer, answer

    def run(self, command, seconds=200):
        self.console.type(command + "; echo; echo en''d\n")
        text = self.console.expect("\nend", seconds)
        self.console.expect("# ", 60)
        return text.replace("\r", "").split("en''d\n", 1)[-1]

    def monitor(self, *commands):
        self.console.type("\x01c")
        self.console.expect("(qemu) ", 30)
        text = ""
        for command in commands:
            self.console.type(command + "\n")
            text += self.console.expect("(qemu) ", 60)
        self.console.type("\x01c\n")
        self.console.expect("# ", 60)
        return text

    def until(self, condition, seconds=100):
        """A condition of the guest's shell."""
        text = self.run(f"i=0; until {condition}; do sleep 1; i=$((i+1)); [ $i -gt {seconds} ] && break; done; "
                        f"{condition} && echo it''-is-so", seconds * 3)
        assert "it-is-so" in text, text + self.run("dmesg | tail -30")

    def has_input(self, name):
        self.until(f"grep -q '{name}' /sys/class/input/event*/device/name")

    def events(self, name, act):
        """What comes from a device (type, code, value) when act() was called."""
        self.run(f"for d in /sys/class/input/event*; do grep -q '{name}' $d/device/name && "
                 "e=/dev/input/${d##*/}; done; cat $e > /tmp/events & sleep 1")
        act()
        end = time.monotonic() + 60 * SLOW
        while True:
            text = self.run("hexdump -v -e '12/2 \"%04x \" \"\\n\"' /tmp/events")
            found = [tuple(int(word, 16) for word in line.split()[8:12]) for line in text.split("\n")
                     if len(line.split()) == 12]
            found = [(kind, code, low | high << 16) for kind, code, low, high in found if kind in (1, 2, 3)]
            if found or time.monotonic() > end:
                self.run("kill %% 2>/dev/null; sleep 1")
                return found


def keyboard_and_tablet(*args):
    def case():
        with Guest(*args) as guest:
            for name in ("USB Tablet", "USB Keyboard"):
                guest.has_input(name)
            keys = guest.events("USB Keyboard", lambda: guest.monitor("sendkey q"))
            assert (1, 16, 1) in keys, keys
            moves = guest.events("USB Tablet", lambda: guest.qmp("input-send-event", events=[
                {"type": "abs", "data": {"axis": "x", "value": 1000}},
                {"type": "abs", "data": {"axis": "y", "value": 2000}},
                {"type": "btn", "data": {"button": "left", "down": True}}]))
            assert {(3, 0, 1000), (3, 1, 2000), (1, 0x110, 1)} <= set(moves), moves
            text = guest.monitor("info usb")
            assert "QEMU USB Tablet" in text and "QEMU USB Keyboard" in text, text
    return case


def image(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    subprocess.run([MKFS, "-q", "-F", path], check=True)


def is_clean(path):
    check = subprocess.run([FSCK, "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert check.returncode == 0, check.stdout


def disk_is_written_and_read(blocks, *args):
    def case():
        with tempfile.TemporaryDirectory(prefix="backplane-usb-") as folder:
            path = os.path.join(folder, "disk.img")
            image(path, 64 << 20)
            with Guest(*args, "-drive", f"file={path},format=raw,if=none,id=d", "-device",
                       "usb-storage,drive=d,serial=backplane-9") as guest:
                guest.until("[ -e /dev/sda ]")
                text = guest.run("cat /sys/bus/usb/devices/*/serial")
                assert text.count("backplane-9") == 1, text
                text = guest.run(f"mount /dev/sda /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count={blocks} "
                                 "2>/dev/null && cp /mnt/file /mnt/copy && md5sum /mnt/file && umount /mnt && "
                                 "echo 3 > /proc/sys/vm/drop_caches && mount /dev/sda /mnt && md5sum /mnt/copy && "
                                 "umount /mnt", 400)
                sums = [line.split()[0] for line in text.split("\n") if "  /mnt/" in line]
                assert len(sums) == 2 and sums[0] == sums[1], text
                errors = guest.run("dmesg | grep -ciE 'i/o error|reset .*-speed|timed out'")
                assert errors.strip() == "0", errors + guest.run("dmesg | tail -20")
            is_clean(path)
    return case


def uas_disk_is_written_and_read():
    with tempfile.TemporaryDirectory(prefix="backplane-usb-") as folder:
        path = os.path.join(folder, "disk.img")
        image(path, 64 << 20)
        with Guest("-device", "qemu-xhci", "-device", "usb-uas,id=u", "-drive", f"file={path},format=raw,if=none,id=d",
                   "-device", "scsi-hd,bus=u.0,scsi-id=0,lun=0,drive=d", "-smp", "2") as guest:
            guest.until("[ -e /dev/sda ]")
            text = guest.run("ls -l /sys/bus/usb/devices/*/driver")
            assert "drivers/uas" in text, text
            text = guest.run("mount /dev/sda /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null && "
                             "(for n in 1 2 3 4; do cp /mnt/file /mnt/copy$n & done; wait) && md5sum /mnt/file && "
                             "umount /mnt && echo 3 > /proc/sys/vm/drop_caches && mount /dev/sda /mnt && "
                             "md5sum /mnt/copy? && umount /mnt", 400)
            sums = [line.split()[0] for line in text.split("\n") if "  /mnt/" in line]
            assert len(sums) == 5 and len(set(sums)) == 1, text
            errors = guest.run("dmesg | grep -ciE 'i/o error|reset .*-speed|timed out|uas_eh'")
            assert errors.strip() == "0", errors + guest.run("dmesg | tail -20")
        is_clean(path)


def firmware_uefi_sees_disks():
    """OVMF has drivers of its own."""
    code, variables = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
    for controller in (("-device", "qemu-xhci"), ("-usb",)):
        with tempfile.TemporaryDirectory(prefix="backplane-usb-") as folder:
            path, own = os.path.join(folder, "disk.img"), os.path.join(folder, "vars.fd")
            with open(path, "wb") as f:
                f.truncate(8 << 20)
            with open(variables, "rb") as f, open(own, "wb") as g:
                g.write(f.read())
            console = Console([BINARY, "-M", "q35", "-m", "512", "-nic", "none", "-display", "none", "-monitor", "none",
                               "-serial", "stdio", "-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-drive",
                               f"if=pflash,format=raw,file={own}", *controller, "-device", "usb-kbd", "-drive",
                               f"file={path},format=raw,if=none,id=d", "-device", "usb-storage,drive=d"])
            try:
                console.expect("to skip", BOOT_SECONDS)
                console.type("\033")
                console.expect("Shell> ", 100)
                console.type("map -r\r")
                assert "USB(" in console.expect("Shell> ", 100)
            finally:
                console.close()


def disk_goes_under_load(*args):
    def case():
        with tempfile.NamedTemporaryFile(prefix="backplane-usb-") as f:
            f.truncate(64 << 20)
            with Guest(*args, "-drive", f"file={f.name},format=raw,if=none,id=d", "-device",
                       "usb-storage,drive=d,id=u") as guest:
                for n in range(2):
                    guest.until("[ -e /sys/block/sd* ]")
                    guest.run("(while dd if=/dev/$(ls /sys/block | grep sd) of=/dev/null bs=64k iflag=direct "
                              "2>/dev/null; do :; done; echo over > /tmp/over) & sleep 1")
                    guest.monitor("device_del u")
                    guest.until("[ ! -e /sys/block/sd* -a -e /tmp/over ]")
                    guest.run("rm /tmp/over")
                    text = guest.monitor("device_add usb-storage,drive=d,id=u")
                    assert "rror" not in text, text
                guest.until("[ -e /sys/block/sd* ]")
                text = guest.run("dd if=/dev/$(ls /sys/block | grep sd) of=/dev/null bs=64k count=16 2>&1")
                assert "16+0 records out" in text, text
    return case


def serial_line_carries_bytes():
    with tempfile.TemporaryDirectory(prefix="backplane-usb-") as folder:
        path = os.path.join(folder, "line")
        with Guest("-device", "qemu-xhci", "-chardev", f"socket,id=c,path={path},server=on,wait=off", "-device",
                   "usb-serial,chardev=c") as guest, socket.socket(socket.AF_UNIX) as peer:
            guest.until("[ -e /dev/ttyUSB0 ]")
            peer.settimeout(60 * SLOW)
            peer.connect(path)
            guest.run("stty -F /dev/ttyUSB0 115200 raw -echo; (head -n 1 /dev/ttyUSB0 > /tmp/line) & sleep 2")
            peer.sendall(b"from the line\n")
            guest.until("grep -q 'from the line' /tmp/line")
            guest.run("echo from the guest > /dev/ttyUSB0")
            got = b""
            while b"from the guest" not in got:
                got += peer.recv(100)


def mouse_comes_and_goes():
    with Guest("-device", "qemu-xhci,id=x", "-smp", "2") as guest:
        guest.monitor("device_add usb-mouse,id=m,port=2")
        guest.has_input("USB Mouse")
        moves = guest.events("USB Mouse", lambda: guest.monitor("mouse_move 5 -3"))
        assert (2, 0, 5) in moves and (2, 1, 0xFFFFFFFD) in moves, moves
        guest.monitor("device_del m")
        guest.until("! grep -q 'USB Mouse' /sys/class/input/event*/device/name")
        guest.monitor("device_add usb-kbd,id=k,port=2")
        guest.has_input("USB Keyboard")


def pen_draws(*args):
    """By the driver of such tablets."""
    def case():
        with Guest(*args) as guest:
            guest.has_input("Wacom Penpartner")
            pen = guest.events("Wacom Penpartner", lambda: guest.qmp("input-send-event", events=[
                {"type": "abs", "data": {"axis": "x", "value": 16384}},
                {"type": "abs", "data": {"axis": "y", "value": 8192}},
                {"type": "btn", "data": {"button": "left", "down": True}}]))
            # ABS_X of 5040, ABS_Y of 3780, pressure, BTN_TOOL_PEN, BTN_TOUCH
            assert {(3, 0, 2520), (3, 1, 945), (3, 0x18, 254), (1, 0x140, 1), (1, 0x14A, 1)} <= set(pen), pen
            up = guest.events("Wacom Penpartner", lambda: guest.qmp("input-send-event", events=[
                {"type": "btn", "data": {"button": "right", "down": True}},
                {"type": "btn", "data": {"button": "left", "down": False}}]))
            assert {(1, 0x14A, 0), (1, 0x14B, 1)} <= set(up), up
    return case


def sound_is_heard(*args):
    """A tone of 500 Hz through the kernel's driver, found in a WAV file."""
    def case():
        with tempfile.TemporaryDirectory(prefix="backplane-usb-") as folder:
            path = os.path.join(folder, "out.wav")
            with Guest(*args, "-audiodev", f"wav,id=a,path={path},out.frequency=48000", "-device",
                       "usb-audio,audiodev=a") as guest:
                guest.until("[ -e /dev/dsp ]")
                guest.run("printf '" + "\\040" * 8 + "\\340" * 8 + "' > /tmp/w; for n in 1 2 3 4 5 6 7 8 9 10; do "
                          "cat /tmp/w /tmp/w > /tmp/v; mv /tmp/v /tmp/w; done; cat /tmp/w > /dev/dsp")
                errors = guest.run("dmesg | grep -ciE 'usb.*(error|cannot|timeout)'")
                assert errors.strip() == "0", errors + guest.run("dmesg | tail -20")
            with open(path, "rb") as f:
                data = f.read()[44:]
            left = [low[0] for low in struct.iter_unpack("<hh", data[:len(data) // 4 * 4])]
            loud = [n for n, v in enumerate(left) if abs(v) > 8000]
            assert loud, "nothing is heard"
            left = left[loud[0]:loud[-1]]
            turns = sum((a < 0) != (b < 0) for a, b in zip(left, left[1:]))
            seconds = len(left) / 48000
            assert seconds > 1 and 950 < turns / seconds < 1050, (turns, seconds)
    return case


def mouse_overrides_the_ps2_one():
    with Guest("-usbdevice", "mouse") as guest:
        guest.has_input("USB Mouse")
        text = guest.monitor("info mice")
        assert any("*" in line and "USB Mouse" in line for line in text.split("\n")), text
        moves = guest.events("USB Mouse", lambda: guest.monitor("mouse_move 7 -2", "mouse_button 1"))
        assert {(2, 0, 7), (2, 1, 0xFFFFFFFE), (1, 0x110, 1)} <= set(moves), moves


if __name__ == "__main__":
    try:
        disk.guest(DRIVERS)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"1..0 # SKIP Debian's kernel package cannot be had: {error}")
    else:
        tap = Tap()

        def case(name, function, why_not=None):
            if sys.argv[1:] and name not in sys.argv[1:]:
                return
            if why_not:
                tap.skip(name, why_not)
            else:
                tap.case(name, function)

        case("keyboard_types_and_tablet_moves_on_xhci",
             keyboard_and_tablet("-device", "qemu-xhci", "-device", "usb-tablet", "-device", "usb-kbd"))
        case("keyboard_types_and_tablet_moves_on_nec_xhci",
             keyboard_and_tablet("-machine", "q35", "-device", "nec-usb-xhci", "-device", "usb-tablet,usb_version=1",
                                 "-device", "usb-kbd"))
        case("keyboard_types_and_tablet_moves_on_uhci",
             keyboard_and_tablet("-usbdevice", "tablet", "-usbdevice", "keyboard"))
        case("keyboard_types_and_tablet_moves_on_ehci_and_its_companion",
             keyboard_and_tablet("-machine", "q35,usb=on", "-device", "usb-tablet,usb_version=1", "-device", "usb-kbd"))
        case("keyboard_types_and_tablet_moves_behind_hubs",
             keyboard_and_tablet("-device", "qemu-xhci", "-device", "usb-hub,port=1", "-device", "usb-hub,port=1.2",
                                 "-device", "usb-tablet,port=1.1", "-device", "usb-kbd,port=1.2.8"))
        case("keyboard_types_and_tablet_moves_on_ohci",
             keyboard_and_tablet("-device", "pci-ohci", "-device", "usb-tablet", "-device", "usb-kbd"))
        case("serial_line_carries_bytes", serial_line_carries_bytes)
        firmware = os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd")
        case("firmware_uefi_sees_disks", firmware_uefi_sees_disks, None if firmware else "there is no OVMF (package ovmf)")
        case("mouse_comes_and_goes", mouse_comes_and_goes)
        case("mouse_overrides_the_ps2_one", mouse_overrides_the_ps2_one)
        case("pen_draws_on_uhci", pen_draws("-usbdevice", "wacom-tablet"))
        case("pen_draws_on_xhci", pen_draws("-device", "qemu-xhci", "-device", "usb-wacom-tablet"))
        case("sound_is_heard_on_uhci", sound_is_heard("-usb"))
        case("sound_is_heard_on_ohci", sound_is_heard("-device", "pci-ohci"))
        case("sound_is_heard_on_xhci", sound_is_heard("-device", "qemu-xhci"))
        without = None if os.path.exists(MKFS) and os.path.exists(FSCK) else "mkfs.ext4 and e2fsck are missing (e2fsprogs)"
        xhci, uhci, ehci = ("-device", "qemu-xhci", "-smp", "2"), ("-usb",), ("-machine", "q35", "-usb")
        case("disk_is_written_and_read_on_xhci", disk_is_written_and_read(64, *xhci), without)
        case("disk_is_written_and_read_on_uhci", disk_is_written_and_read(8, *uhci), without)
        case("disk_is_written_and_read_on_ehci", disk_is_written_and_read(64, *ehci), without)
        case("uas_disk_is_written_and_read", uas_disk_is_written_and_read, without)
        case("disk_goes_under_load_on_xhci", disk_goes_under_load(*xhci), without)
        case("disk_goes_under_load_on_uhci", disk_goes_under_load(*uhci), without)
        case("disk_goes_under_load_on_ehci", disk_goes_under_load(*ehci), without)
        tap.done()
