# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The screen as a user and a management program see it: the adapter that a machine has, what firmware draws,
pictures and texts of it, and keys that are typed. Usage: test-display.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import struct
import subprocess
import sys
import time
import zlib

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
VGABIOS = "/usr/share/seabios/vgabios-stdvga.bin"
DIR = tap.work_folder("backplane-display-")
QUIET = ("-display", "none", "-m", "32", "-nic", "none")


def machine(*args, accel="interp"):
    return Emulator(PROGRAM, "-accel", accel, *args, quiet=QUIET)


def text(e):
    reply = e.command("query-screen-text")
    return "\n".join(reply["return"]["lines"]) if "return" in reply else ""


def wait_for(e, words):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        seen = text(e)
        if words in seen:
            return seen
        time.sleep(0.1)
    raise AssertionError("%r does not come: %s" % (words, text(e)))


def functions(e):
    return {d["slot"]: d for bus in e.command("query-pci")["return"] for d in bus["devices"]}


def needs_firmware():
    if not os.path.exists(VGABIOS):
        raise tap.Skip("no VGA BIOS at " + VGABIOS)


def ppm(path):
    with open(path, "rb") as f:
        magic, size, depth, pixels = f.read().split(b"\n", 3)
    assert (magic, depth) == (b"P6", b"255")
    width, height = map(int, size.split())
    assert len(pixels) == 3 * width * height
    return width, height, pixels


def png(path):
    """Decoded by hand: eight bits, RGB, no interlace."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert (depth, colour, interlace) == (8, 2, 0)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    raw, lines, stride = zlib.decompress(packed), [], 3 * width
    before = bytearray(stride)
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            a = line[i - 3] if i >= 3 else 0
            b, c = before[i], before[i - 3] if i >= 3 else 0
            p = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = a if p[0] <= p[1] and p[0] <= p[2] else b if p[1] <= p[2] else c
            line[i] = line[i] + (0, a, b, (a + b) // 2, guess)[kind] & 0xFF
        lines.append(bytes(line))
        before = line
    return width, height, b"".join(lines)


def firmware_draws_on_the_default_adapter():
    needs_firmware()
    with machine() as e:
        seen = wait_for(e, "No bootable device")
        assert seen.startswith("SeaBIOS (version "), seen
        monitor = e.command("human-monitor-command", command_line="screen-text")["return"]
        assert monitor.replace("\r\n", "\n").startswith(seen.split("\n", maxsplit=1)[0].rstrip() + "\n")
        assert e.command("stop") == {"return": {}}
        path = os.path.join(DIR, "s")
        assert e.command("screendump", filename=path + ".ppm") == {"return": {}}
        assert e.command("screendump", filename=path + ".png", format="png") == {"return": {}}
        picture = ppm(path + ".ppm")
        assert picture[:2] == (720, 400)
        assert set(zip(*[iter(picture[2])] * 3)) == {(0, 0, 0), (0xAA, 0xAA, 0xAA)}
        assert png(path + ".png") == picture
        said = e.command("human-monitor-command", command_line="screendump %s.2" % path)["return"]
        assert said == "" and ppm(path + ".2") == picture, said


def firmware_draws(vga, bios, vendor, device):
    if not os.path.exists(os.path.join(os.path.dirname(VGABIOS), bios)):
        raise tap.Skip("no VGA BIOS for it")
    with machine("-vga", vga) as e:
        wait_for(e, "No bootable device")
        cards = [d for d in functions(e).values() if d["class_info"]["class"] == 0x300]
        assert [(d["slot"], d["id"]["vendor"], d["id"]["device"]) for d in cards] == [(2, vendor, device)], cards


def firmware_draws_on_virtio_vga():
    firmware_draws("virtio", "vgabios-virtio.bin", 0x1AF4, 0x1050)


def firmware_draws_on_cirrus_vga():
    firmware_draws("cirrus", "vgabios-cirrus.bin", 0x1013, 0x00B8)


def firmware_draws_on_vmware_svga():
    firmware_draws("vmware", "vgabios-vmware.bin", 0x15AD, 0x0405)


def firmware_draws_on_qxl_vga():
    firmware_draws("qxl", "vgabios-qxl.bin", 0x1B36, 0x0100)


def typed_keys_reach_the_firmware():
    needs_firmware()
    with machine("-boot", "menu=on,splash-time=60000") as e:
        wait_for(e, "for boot menu")
        assert e.command("send-key", keys=[{"type": "qcode", "data": "esc"}]) == {"return": {}}
        wait_for(e, "Select boot device:")
        down = {"type": "key", "data": {"down": True, "key": {"type": "number", "data": 1}}}
        up = {"type": "key", "data": {"down": False, "key": {"type": "qcode", "data": "esc"}}}
        end = time.monotonic() + WAIT
        while "Booting from" not in text(e):  # keys that come before it looks are thrown away
            assert e.command("input-send-event", events=[down, up]) == {"return": {}}
            assert time.monotonic() < end, text(e)
            time.sleep(0.5)
    with machine("-boot", "menu=on,splash-time=60000") as e:
        wait_for(e, "for boot menu")
        assert e.command("human-monitor-command", command_line="sendkey esc")["return"] == ""
        wait_for(e, "Select boot device:")


def mistakes_are_told():
    with machine("-vga", "none", "-S", accel="qtest") as e:
        for name, arguments, words in (
                ("screendump", {"filename": DIR + "/x"}, "no screen"), ("query-screen-text", {}, "no screen"),
                ("screendump", {"filename": DIR + "/x", "head": 0}, "device"),
                ("send-key", {"keys": [{"type": "qcode", "data": "a"}]}, "does not run"),
                ("send-key", {"keys": []}, "keys"),
                ("send-key", {"keys": [{"type": "number", "data": 300}]}, "300"),
                ("send-key", {"keys": [{"type": "qcode", "data": "nokey"}]}, "nokey"),
                ("input-send-event", {"events": [{"type": "key", "data": {"down": 1}}]}, "events[0].data")):
            reply = e.command(name, **arguments)
            assert words in reply["error"]["desc"], (name, reply)
        said = e.command("human-monitor-command", command_line="sendkey ctrl-nokey")["return"]
        assert "nokey" in said
        e.command("cont")
        events = [{"type": "abs", "data": {"axis": "x", "value": 5}}]
        assert "tablet" in e.command("input-send-event", events=events)["error"]["desc"]
    with machine("-S", accel="qtest") as e:
        for arguments, words in (({"filename": "/nonexistent/x"}, "/nonexistent/x"), ({"filename": "/dev/full"}, "/dev/full"),
                                 ({"filename": ""}, "filename")):
            assert words in e.command("screendump", **arguments)["error"]["desc"], arguments


def mice_are_listed_and_chosen():
    with machine(accel="qtest") as e:
        mice = e.command("query-mice")["return"]
        assert [(m["name"], m["current"], m["absolute"]) for m in mice] == [("PS/2 Mouse", True, False)]
        said = e.command("human-monitor-command", command_line="info mice")["return"]
        assert said.strip() == "* Mouse #%d: PS/2 Mouse" % mice[0]["index"]
        for line, words in (("mouse_set %d" % mice[0]["index"], ""), ("mouse_set 99", "99"), ("mouse_move 5 -3", ""),
                            ("mouse_move 1 2 1", ""), ("mouse_button 1", ""), ("mouse_button 0", "")):
            said = e.command("human-monitor-command", command_line=line)["return"]
            assert (words in said) if words else said == "", (line, said)


def adapter_is_what_was_asked_for():
    for args, device in (((), "VGA"), (("-vga", "std"), "VGA"), (("-nodefaults", "-vga", "std"), "VGA"),
                         (("-vga", "none"), None), (("-nodefaults",), None),
                         (("-device", "bochs-display"), "bochs-display")):
        with machine("-S", *args, accel="qtest") as e:
            screens = [d for d in functions(e).values() if d["class_info"]["class"] >> 8 == 3]
            assert [d["id"]["device"] for d in screens] == ([0x1111] if device else []), (args, screens)
            if device == "VGA":
                assert screens[0]["slot"] == 2
            assert e.command("query-display-options")["return"] == {"type": "none"}


def refused(*args):
    done = subprocess.run([PROGRAM, "-accel", "qtest", "-display", "none", *args], capture_output=True, text=True,
                          timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


def unknown_adapters_are_refused():
    said = refused("-M", "pc", "-vga", "foo")
    assert "-vga foo" in said and "std" in said and "none" in said, said
    said = refused("-M", "pc", "-vga", "xenfb")
    assert "-vga xenfb" in said and "not built yet" in said and "std" in said, said
    said = refused("-M", "none", "-vga", "std")
    assert "-vga std" in said and "-vga none" in said, said
    said = refused("-M", "pc", "-device", "VGA,vgamem_mb=3")
    assert "vgamem_mb" in said and "3" in said, said


def adapters_are_listed():
    done = subprocess.run([PROGRAM, "-vga", "help"], capture_output=True, text=True, timeout=WAIT, check=True)
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert names[:2] == ["std", "cirrus"] and names[-2:] == ["virtio", "none"], names
    done = subprocess.run([PROGRAM, "-vga", "help,format=json"], capture_output=True, text=True, timeout=WAIT, check=True)
    assert [card["name"] for card in json.loads(done.stdout)] == names


tap.run([firmware_draws_on_the_default_adapter, firmware_draws_on_virtio_vga, firmware_draws_on_cirrus_vga,
         firmware_draws_on_vmware_svga, firmware_draws_on_qxl_vga,
         typed_keys_reach_the_firmware, mistakes_are_told,
         mice_are_listed_and_chosen, adapters_are_listed,
         adapter_is_what_was_asked_for, unknown_adapters_are_refused])
