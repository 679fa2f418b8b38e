# SPDX-License-Identifier: LGPL-2.1-or-later
"""
-device loader: data and files arrive in memory, again after each reset, and a processor starts there.
Usage: test-loader.py SOURCE-ROOT BUILD-ROOT
"""
import os
import struct
import subprocess
import sys
import time

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("loader-")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))


def write(name, content):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as f:
        f.write(content)
    return path


def elf(wide, big, pieces, entry):
    """pieces: [(address, content, bytes in memory)]"""
    order, header = ">" if big else "<", 64 if wide else 52
    size = 56 if wide else 32
    ident = b"\177ELF" + bytes([2 if wide else 1, 2 if big else 1, 1]) + bytes(9)
    offset, heads, body = header + size * len(pieces), b"", b""
    for address, content, memory in pieces:
        if wide:
            heads += struct.pack(order + "IIQQQQQQ", 1, 7, offset + len(body), 0xdead0000, address,
                len(content), memory, 1)
        else:
            heads += struct.pack(order + "IIIIIIII", 1, offset + len(body), 0xdead0000, address, len(content),
                memory, 7, 1)
        body += content
    return ident + struct.pack(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), 2, 62, 1, entry, header,
        0, 0, header,
                               size, len(pieces), 0, 0, 0) + heads + body


def refused(*options):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-M", "pc", *options],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (options, done)
    return lines[0]


def data_arrive_in_either_order():
    with QTest(["-M", "pc", "-device", "loader,addr=0x10000,data=0x11223344,data-len=4", "-device",
                "loader,addr=0x10010,data=0x11223344,data-len=6,data-be=on", "-device",
                "loader,addr=0x10020,data=0x8877665544332211,data-len=8"]) as q:
        assert q.read(0x10000, 5) == b"\x44\x33\x22\x11\0"
        assert q.read(0x10010, 7) == b"\0\0\x11\x22\x33\x44\0"
        assert q.read(0x10020, 8) == b"\x11\x22\x33\x44\x55\x66\x77\x88"
        q.write(0x10000, bytes(64))
        q.qmp("system_reset")
        end = time.monotonic() + WAIT
        while q.read(0x10020, 1) != b"\x11":
            assert time.monotonic() < end
            time.sleep(0.02)
        assert q.read(0x10000, 4) == b"\x44\x33\x22\x11"


def files_arrive():
    raw = write("raw", b"plain bytes")
    with QTest(["-M", "pc", "-device", "loader,addr=0x100001,file=" + raw]) as q:
        assert q.read(0x100000, 13) == b"\0plain bytes\0"
    for wide in (False, True):
        for big in (False, True):
            path = write("elf", elf(wide, big, [(0x200000, b"code", 4), (0x300000, b"data", 5000)], 0x200000))
            with QTest(["-M", "pc", "-device", "loader,addr=0x300000,data=0xffffffffffffffff,data-len=8", "-device",
                        "loader,file=" + path]) as q:
                assert q.read(0x200000, 4) == b"code", (wide, big)
                assert q.read(0x300000, 9) == b"data" + bytes(5), (wide, big)
    uimage = struct.pack(">IIIIIII4B32s", 0x27051956, 0, 0, 6, 0x400000, 0x400002, 0, 5, 2, 2, 0, b"x") + b"loaded"
    with QTest(["-M", "pc", "-device", "loader,file=" + write("uimage", uimage)]) as q:
        assert q.read(0x400000, 7) == b"loaded\0"
    with QTest(["-M", "pc", "-device", "loader,force-raw=on,addr=0x500000,file=" + write("uimage", uimage)]) as q:
        assert q.read(0x500000, len(uimage)) == uimage


def processor_starts_there():
    """It writes a word where we look for it, and stops."""
    code = b"\xc7\x06\x00\x90\xfe\xca\xf4\xeb\xfd"  # mov word [0x9000], 0xcafe; 1: hlt; jmp 1b
    for options in (["-device", "loader,addr=0x8000,cpu-num=0,file=" + write("code", code)],
                    ["-device", "loader,cpu-num=0,file=" + write("code.elf", elf(False, False, [(0x8000, code,
                        9)], 0x8000))],
                    ["-device", "loader,addr=0x8000,file=" + write("code", code), "-device",
                     "loader,addr=0x8000,cpu-num=1", "-smp", "2", "-bios", write("halt", b"\xf4" * 65536)]):
        with Emulator(PROGRAM, "-M", "pc", *options, quiet=("-nodefaults", "-display", "none", "-accel",
            "interp")) as m:
            end = time.monotonic() + WAIT
            while "0xcafe" not in m.command("human-monitor-command", command_line="xp /1hx 0x9000")["return"]:
                assert time.monotonic() < end, options
                time.sleep(0.05)


def mistakes_name_what_is_right():
    raw = write("raw", b"x")
    bad = elf(True, False, [(0x1000, b"abc", 3)], 0)
    for wrong, right in (("", "file="), ("addr=0x1000,data=1", "data-len"), ("addr=0x1000,data=1,data-len=9", "8"),
                         ("addr=0x1000,data=256,data-len=1", "fit"), ("data=1,data-len=1", "addr="),
                             ("file=" + raw, "addr="),
                         ("file=/nonexistent/x,addr=0", "/nonexistent/x"), ("addr=0x1000,cpu-num=4", "0 to 0"),
                         ("file=%s,addr=0,data=1,data-len=1" % raw, "one of"),
                             ("force-raw=on,addr=0,cpu-num=0", "file="),
                         ("addr=0xfe000000,data=1,data-len=1", "0xfe000000"), ("file=%s,addr=0xfe000000" % raw,
                             "no memory"),
                         ("file=" + write("cut", bad[:-1]), "beyond"), ("file=" + write("head", bad[:40]), "ELF"),
                         ("file=" + write("none", elf(True, False, [], 0)), "nothing to load"),
                         ("file=" + write("short", elf(True, False, [(0x1000, b"abc", 2)], 0)), "in memory"),
                         ("file=" + write("packed", struct.pack(">IIIIIII4B32s", 0x27051956, 0, 0, 1, 0, 0, 0,
                             5, 2, 2, 1,
                                                                b"") + b"x"), "compressed")):
        said = refused("-device", "loader" + ("," + wrong if wrong else ""))
        assert right in said and "loader" in said, (wrong, said)


tap.run([data_arrive_in_either_order, files_arrive, processor_starts_there, mistakes_name_what_is_right])
