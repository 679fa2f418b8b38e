# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Flash chips of board pc: commands as the data sheet has them, and contents that outlive the process.
Usage: test-pflash.py SOURCE-ROOT BUILD-ROOT
"""
import os
import random
import subprocess
import sys
import time

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("pflash-")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE0, SIZE1, SECTOR = 256 << 10, 64 << 10, 4096
CODE = (1 << 32) - SIZE0
VARS = CODE - SIZE1


def image(name, content):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as f:
        f.write(content)
    return path


def pattern(size, seed=1):
    return random.Random(seed).randbytes(size)


class Chips(QTest):
    """A machine with both chips; the second can be written."""

    def __init__(self, *args, content=None, **keys):
        self.code = image("code", pattern(SIZE0))
        self.vars = image("vars", b"\xff" * SIZE1 if content is None else content)
        super().__init__(["-M", "pc", "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + self.code,
                          "-drive", "if=pflash,unit=1,format=raw,file=" + self.vars, *args], **keys)

    def stored(self, want):
        """Waits until the file is so."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            with open(self.vars, "rb") as f:
                content = f.read()
            if content == want:
                return
            time.sleep(0.02)
        assert content == want, [n for n in range(len(want)) if want[n] != content[n]][:8]

    def program(self, address, data, command=0x10):
        for n, byte in enumerate(data):
            self.writeb(address + n, command)
            self.writeb(address + n, byte)
        self.writeb(address, 0xff)

    def erase(self, address):
        self.writeb(address, 0x20)
        self.writeb(address, 0xd0)
        status = self.readb(address)
        self.writeb(address, 0xff)
        return status


def images_are_where_firmware_is():
    with Chips(content=pattern(SIZE1, 2)) as q:
        assert q.read(CODE, SIZE0) == pattern(SIZE0)
        assert q.read(VARS, SIZE1) == pattern(SIZE1, 2)
        assert q.read(0xe0000, 0x20000) == pattern(SIZE0)[-0x20000:]
        assert q.read(0xfffffff0, 16) == pattern(SIZE0)[-16:]


def pflash_option_and_nodes_name_the_same_chips():
    path = image("whole", pattern(SIZE0, 3))
    for args in (["-pflash", path], ["-machine", "pflash0=node", "-blockdev",
                                     "driver=raw,node-name=node,file.driver=file,file.filename=" + path]):
        with QTest(["-M", "pc", *args]) as q:
            assert q.read(CODE, SIZE0) == pattern(SIZE0, 3), args


def query_describes_the_chip():
    with Chips() as q:
        q.writeb(VARS + 0x55, 0x98)
        query = bytes(q.readb(VARS + n) for n in range(0x40))
        assert query[0x10:0x13] == b"QRY" and query[0x13] == 1, query
        assert 1 << query[0x27] == SIZE1 and query[0x2c] == 1, query
        assert query[0x2d] + (query[0x2e] << 8) + 1 == SIZE1 // SECTOR, query
        assert query[0x2f] + (query[0x30] << 8) << 8 == SECTOR, query
        assert query[0x31:0x34] == b"PRI", query
        q.writeb(VARS, 0x90)
        assert (q.readb(VARS), q.readb(VARS + 1)) == (0x89, 0x18)
        q.writeb(VARS, 0xff)
        assert q.readb(VARS) == 0xff


def firmware_recognises_flash_by_its_status():
    """What OVMF does: neither RAM nor ROM answers so."""
    with Chips(content=pattern(SIZE1, 4)) as q:
        before = q.readb(VARS + 5)
        q.writeb(VARS + 5, 0x50)
        assert q.readb(VARS + 5) == before
        q.writeb(VARS + 5, 0x70)
        assert q.readb(VARS + 5) == 0
        q.writeb(VARS + 5, 0xff)
        assert q.readb(VARS + 5) == before


def programming_clears_bits_and_erasing_sets_a_sector():
    with Chips() as q:
        q.program(VARS + 0x1234, b"hello")
        assert q.read(VARS + 0x1233, 7) == b"\xffhello\xff"
        q.program(VARS + 0x1234, b"\x0f", command=0x40)
        assert q.readb(VARS + 0x1234) == ord("h") & 0x0f
        q.program(VARS + 0x2000, b"\x00")
        assert q.erase(VARS + 0x1ffe) == 0x80
        assert q.read(VARS + 0x1000, SECTOR) == b"\xff" * SECTOR
        assert q.readb(VARS + 0x2000) == 0
        q.writeb(VARS, 0x20)
        q.writeb(VARS, 0xff)  # not confirmed
        assert q.readb(VARS) & 0x30 == 0x30
        q.writeb(VARS, 0x50)
        q.writeb(VARS, 0x70)
        assert q.readb(VARS) == 0


def buffers_are_programmed_at_once():
    with Chips() as q:
        q.writeb(VARS + 0x800, 0xe8)
        assert q.readb(VARS + 0x800) & 0x80
        q.writeb(VARS + 0x800, 15)
        for n in range(16):
            q.writeb(VARS + 0x800 + n, n)
        q.writeb(VARS + 0x800, 0xd0)
        assert q.readb(VARS + 0x800) == 0x80
        q.writeb(VARS, 0xff)
        assert q.read(VARS + 0x7ff, 18) == b"\xff" + bytes(range(16)) + b"\xff"
        q.writeb(VARS, 0xe8)  # data outside of the buffer
        q.writeb(VARS, 0)
        q.writeb(VARS + 0x5000, 1)
        q.writeb(VARS, 0xd0)
        assert q.readb(VARS) & 0x10
        q.writeb(VARS, 0xff)
        assert q.read(VARS + 0x5000, 1) == b"\xff"


def what_is_read_only_stays():
    with Chips() as q:
        q.writeb(CODE, 0x40)
        q.writeb(CODE, 0)
        assert q.readb(CODE) & 0x12 == 0x12
        q.writeb(CODE, 0x50)
        assert q.erase(CODE) & 0x22 == 0x22
        assert q.read(CODE, SIZE0) == pattern(SIZE0)
    with open(os.path.join(FOLDER, "code"), "rb") as f:
        assert f.read() == pattern(SIZE0)


def contents_outlive_the_process():
    want = bytearray(b"\xff" * SIZE1)
    with Chips() as q:
        q.program(VARS + 0x100, b"kept")
        want[0x100:0x104] = b"kept"
    with open(os.path.join(FOLDER, "vars"), "rb") as f:
        assert f.read() == want
    with Chips(content=bytes(want)) as q:
        assert q.read(VARS + 0x100, 4) == b"kept"


def what_a_slow_disk_has_not_taken_yet_is_written_at_the_end():
    code, slow = image("code", pattern(SIZE0)), image("slow", b"\xff" * SIZE1)
    want = bytearray(b"\xff" * SIZE1)
    with QTest(["-M", "pc", "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code,
                "-drive", "if=pflash,unit=1,format=raw,iops=1,file=" + slow]) as q:
        for n in range(0, SIZE1, 8192):
            q.writeb(VARS + n, 0x40)
            q.writeb(VARS + n, n >> 12)
            want[n] = n >> 12
        q.writeb(VARS, 0xff)
    with open(slow, "rb") as f:
        assert f.read() == want


def killed_process_leaves_what_was_programmed():
    want = bytearray(b"\xff" * SIZE1)
    q = Chips()
    try:
        for n in range(0, SIZE1, 8192):
            q.program(VARS + n + 7, b"before the end")
            want[n + 7:n + 21] = b"before the end"
        q.stored(bytes(want))
        q.process.kill()
        q.process.wait(WAIT)
    finally:
        q.close()
    with open(os.path.join(FOLDER, "vars"), "rb") as f:
        assert f.read() == want


def file_is_always_as_the_chip_was_at_some_moment():
    """Bytes are programmed in order; whenever it is killed, the file has a first part of them."""
    for seed in range(8):
        q = Chips()
        try:
            for n in range(20 + 30 * seed):
                q.program(VARS + n * 97, b"\x00")
            q.process.kill()
            q.process.wait(WAIT)
        finally:
            q.close()
        with open(os.path.join(FOLDER, "vars"), "rb") as f:
            content = f.read()
        done = [content[n * 97] == 0 for n in range(20 + 30 * seed)]
        assert done == sorted(done, reverse=True), (seed, done)


def reset_reads_the_array_again():
    with Chips(content=pattern(SIZE1, 5)) as q:
        q.writeb(VARS, 0x98)
        q.qmp("system_reset")
        end = time.monotonic() + WAIT
        while q.read(VARS, 64) != pattern(SIZE1, 5)[:64]:
            assert time.monotonic() < end
            time.sleep(0.02)


def random_commands_harm_nobody():
    codes = (0xff, 0x90, 0x98, 0x70, 0x50, 0x40, 0x10, 0x20, 0xe8, 0xd0, 0x60, 0x01, 0x2f, 0xb0, 0, 3)
    with Chips() as q:
        dice = random.Random(7)
        for _ in range(1500):
            at, size = VARS + dice.randrange(SIZE1 - 4), dice.choice("bwl")
            value = dice.choice(codes) if dice.random() < 0.7 else dice.getrandbits(32)
            if dice.random() < 0.3:
                getattr(q, "read" + size)(at)
            else:
                getattr(q, "write" + size)(at, value & {"b": 0xff, "w": 0xffff, "l": 0xffffffff}[size])
        q.writeb(VARS, 0xff)  # at worst the last byte of something: then what follows is a command
        for _ in range(300):
            q.writeb(VARS, 0xff)
        array = q.read(VARS, SIZE1)
        q.stored(array)


def refused(*options):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-M", "pc", *options],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and lines, (options, done)
    return lines[-1]


def mistakes_name_what_is_right():
    odd, large = image("odd", bytes(5000)), image("large", bytes((8 << 20) + SECTOR))
    volume = bytes(0x10) + bytes(16) + bytes(8) + b"_FVH" + bytes(SIZE0 - 0x2c)
    code, good = image("alone", volume), image("good", bytes(SIZE0))
    for options, right in ((["-pflash", odd], "4096"), (["-pflash", large], "8 MiB"),
                           (["-drive", "if=pflash,unit=1,format=raw,file=" + good], "unit=0"),
                           (["-drive", "if=pflash,unit=2,format=raw,file=" + good], "unit=1"),
                           (["-pflash", code], "if=pflash,unit=1"), (["-bios", code], "if=pflash,unit=1"),
                           (["-pflash", good, "-bios", good], "one of the two"),
                           (["-machine", "pflash0=nosuch"], "nosuch"),
                           (["-machine", "smm=off", "-global", "driver=cfi.pflash01,property=secure,value=on", "-pflash",
                             good], "smm=on")):
        said = refused(*options)
        assert right in said, (options, said)


def chip_of_smm_listens_to_nobody_else():
    """Accesses from here are no processor's in system management mode."""
    with Chips("-global", "driver=cfi.pflash01,property=secure,value=on") as q:
        for command in (0x90, 0x70, 0x98):
            q.writeb(VARS, command)
            assert q.readb(VARS) == 0xff, hex(q.readb(VARS))
        q.program(VARS, b"\x12\x34")
        assert q.read(VARS, 2) == b"\xff\xff"
    with Chips() as q:
        q.writeb(VARS, 0x70)
        assert q.readb(VARS) != 0xff


tap.run([images_are_where_firmware_is, pflash_option_and_nodes_name_the_same_chips, query_describes_the_chip,
         firmware_recognises_flash_by_its_status, programming_clears_bits_and_erasing_sets_a_sector,
         buffers_are_programmed_at_once, what_is_read_only_stays, contents_outlive_the_process,
         what_a_slow_disk_has_not_taken_yet_is_written_at_the_end, killed_process_leaves_what_was_programmed,
         file_is_always_as_the_chip_was_at_some_moment, reset_reads_the_array_again, chip_of_smm_listens_to_nobody_else, random_commands_harm_nobody, mistakes_name_what_is_right])
