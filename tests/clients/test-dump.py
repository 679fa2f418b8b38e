# SPDX-License-Identifier: LGPL-2.1-or-later
"""dump-guest-memory: core files that gdb and readelf read. Usage: test-dump.py SOURCE-ROOT BUILD-ROOT"""
import os
import re
import shutil
import struct
import subprocess
import sys

sys.path[:0] = [os.path.join(sys.argv[1], "tests", "house")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("dump-")
WORDS = bytes(range(256)) * 16
PLACE = 0x180000


def machine(*more):
    image = os.path.join(DIR, "image")
    with open(image, "wb") as f:
        f.write(WORDS)
    return Emulator(PROGRAM, "-M", "pc", "-m", "16", "-smp", "2", "-S", "-device",
                    "loader,file=%s,addr=%#x,force-raw=on" % (image, PLACE), *more)


def core(name):
    return os.path.join(DIR, name)


def dump(e, name, **more):
    arguments = {"paging": False, "protocol": "file:" + core(name), **more}
    return e.command("dump-guest-memory", **arguments)


def segments(path):
    """(type, offset, physical address, bytes) of each."""
    with open(path, "rb") as f:
        head = f.read(64)
        assert head[:4] == b"\x7fELF" and struct.unpack_from("<HH", head, 16) == (4, 62), head
        offset, = struct.unpack_from("<Q", head, 32)
        count, = struct.unpack_from("<H", head, 56)
        f.seek(offset)
        for _ in range(count):
            kind, _, at, _, physical, size, in_memory, _ = struct.unpack("<IIQQQQQQ", f.read(56))
            assert size == in_memory
            yield kind, at, physical, size


def memory_and_registers_are_in_the_file():
    with machine() as e:
        assert dump(e, "whole") == {"return": {}}
        assert e.command("query-dump")["return"]["status"] == "completed"
        said = e.command("human-monitor-command", command_line="info registers -a")["return"]
    loads = [(at, physical, size) for kind, at, physical, size in segments(core("whole")) if kind == 1]
    assert loads[0][1] == 0 and sum(size for *_, size in loads) >= 16 << 20, loads
    at = next(at + PLACE - physical for at, physical, size in loads if physical <= PLACE < physical + size)
    with open(core("whole"), "rb") as f:
        f.seek(at)
        assert f.read(len(WORDS)) == WORDS
    if shutil.which("readelf"):
        notes = subprocess.run(["readelf", "-n", core("whole")], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert notes.count("NT_PRSTATUS") == 2, notes
    if not shutil.which("gdb"):
        raise tap.Skip("gdb is missing (package gdb)")
    out = subprocess.run(["gdb", "-nx", "-batch", "-ex", "core-file " + core("whole"), "-ex", "info registers rip rdx cs",
                          "-ex", "x/2xw %#x" % PLACE, "-ex", "info threads"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=True).stdout
    assert "0x03020100" in out and "0x07060504" in out, out
    for name, word in (("rip", "rip"), ("rdx", "rdx")):
        mine = int(re.search(r"\b%s=([0-9a-f]{16})" % word, said)[1], 16)
        assert int(re.search(r"^%s\s+(0x[0-9a-f]+)" % name, out, re.M)[1], 16) == mine, (name, out, said)
    assert len(re.findall(r"^[* ] +\d+ +(?:Thread|LWP|process)", out, re.M)) == 2, out


def part_is_dumped_and_the_rest_is_refused():
    with machine() as e:
        assert dump(e, "part", begin=PLACE, length=4096) == {"return": {}}
        loads = [(p, s) for kind, _, p, s in segments(core("part")) if kind == 1]
        assert loads == [(PLACE, 4096)], loads
        assert e.command("query-dump-guest-memory-capability") == {"return": {"formats": ["elf"]}}
        for more, word in (({"paging": True}, "paging"), ({"begin": 1}, "together"), ({"length": 1}, "together"),
                           ({"begin": 0, "length": 0}, "length"), ({"begin": 2**63, "length": 2**64 - 1}, "length"),
                           ({"begin": 0xe0000000, "length": 4096}, "no memory"), ({"format": "kdump-zlib"}, "format"),
                           ({"protocol": "file:"}, "protocol"), ({"protocol": "tcp:x"}, "protocol"),
                           ({"protocol": "fd:nosuch"}, "nosuch"), ({"protocol": "file:/no/such/x"}, "/no/such/x")):
            reply = dump(e, "refused", **more)
            assert word in reply.get("error", {}).get("desc", ""), (more, reply)


def machine_stops_meanwhile_and_goes_on():
    with machine() as e:
        e.command("cont")
        e.process.stdin.write('{"execute":"dump-guest-memory","arguments":{"paging":false,"detach":true,"protocol":"file:%s"}}'
                              % core("detached"))
        e.process.stdin.flush()
        seen = []
        while "DUMP_COMPLETED" not in seen or "RESUME" not in seen:
            told = e.read()
            seen.append(told.get("event", "reply"))
            if seen[-1] == "DUMP_COMPLETED":
                assert told["data"]["result"]["status"] == "completed", told
                assert told["data"]["result"]["completed"] == told["data"]["result"]["total"] >= 16 << 20, told
        assert seen.index("STOP") < seen.index("RESUME") and "reply" in seen, seen
        assert e.command("query-status")["return"]["status"] == "running"
        assert os.path.getsize(core("detached")) > 16 << 20
        assert e.command("human-monitor-command", command_line="dump-guest-memory " + core("hmp"))["return"] == ""
        assert os.path.getsize(core("hmp")) == os.path.getsize(core("detached"))
        assert "completed" in e.command("human-monitor-command", command_line="info dump")["return"]
        full = e.command("dump-guest-memory", paging=False, protocol="file:/dev/full")
        assert "space" in full["error"]["desc"], full
        assert e.command("query-dump")["return"]["status"] == "failed"
        assert e.command("query-status")["return"]["status"] == "running"


tap.run([memory_and_registers_are_in_the_file, part_is_dumped_and_the_rest_is_refused,
         machine_stops_meanwhile_and_goes_on])
