#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A CD drive of the host, played by a preloaded library (cdrom-shim.c): a guest's IDE and SCSI drives move its tray and
lock its door, and see what a hand does to it.

usage: test-host-cdrom.py SOURCE-ROOT BUILD-ROOT SHIM [CASE...]
"""
import contextlib
import glob
import os
import stat
import struct
import subprocess
import sys
import time

SOURCE, BUILD, SHIM = sys.argv[1:4]
os.environ["BACKPLANE_BUILD"] = BUILD
sys.path[:0] = [os.path.join(SOURCE, "tests", folder) for folder in ("house", "qtest")]
from ata import config  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402
from virtio import Modern, Split, VERSION_1  # noqa: E402

FOLDER = work_folder("host-cdrom-")
DRIVE = os.path.join(FOLDER, "drive")
NO_INFO, NO_DISC, OPEN, SPINS_UP, DISC = range(5)  # linux/cdrom.h
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")


def put(name, data=b""):
    with open(os.path.join(FOLDER, name), "r+b" if name == "drive" and os.path.exists(DRIVE) else "wb") as f:
        f.truncate(0)
        f.write(data)


def disc(seed, sectors):
    """The same drive with these sectors of 2 KiB."""
    data = b"".join(struct.pack(">II", seed, n) * 256 for n in range(sectors))
    put("drive", data)
    return data


def state(digit):
    with open(os.path.join(FOLDER, "status"), "r+b" if os.path.exists(os.path.join(FOLDER, "status")) else "wb") as f:
        f.write(b"%d" % digit)


def status():
    with open(os.path.join(FOLDER, "status"), "rb") as f:
        return int(f.read())


def log():
    try:
        with open(os.path.join(FOLDER, "log"), encoding="ascii") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def until(condition, what):
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextlib.contextmanager
def shimmed():
    os.environ.update(LD_PRELOAD=SHIM, CDROM_SHIM=FOLDER)
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["CDROM_SHIM"]


class Atapi:
    """The drive at the second channel, by programmed I/O."""

    BASE, EMPTY = 0x170, "2/3a01"

    def __init__(self, q):
        self.q = q
        config(q, 0x09, 0x40, 0x80008000)  # both channels decode
        config(q, 0x09, 0x04, 5)
        q.outb(0x376, 2)
        q.outb(self.BASE + 6, 0xA0)

    def idle(self):
        """The status, once the drive has had its (guest's) time and its answer from the host."""
        until(lambda: self.q.clock_step(1000000) and not self.q.inb(self.BASE + 7) & 0x80, "the drive is busy for ever")
        return self.q.inb(self.BASE + 7)

    def packet(self, cdb):
        q, data = self.q, b""
        q.outb(self.BASE + 4, 0xFE)
        q.outb(self.BASE + 5, 0xFF)
        q.outb(self.BASE + 7, 0xA0)
        self.idle()
        for word in struct.unpack("<6H", bytes(cdb).ljust(12, b"\0")):
            q.outw(self.BASE, word)
        while self.idle() & 8:
            count = q.inb(self.BASE + 4) | q.inb(self.BASE + 5) << 8
            data += b"".join(struct.pack("<H", q.inw(self.BASE)) for _ in range((count + 1) // 2))[:count]
        return None if self.q.inb(self.BASE + 7) & 1 else data

    def command(self, *cdb):
        """Data, or the sense key and code."""
        data = self.packet(cdb)
        if data is None:
            sense = self.packet((3, 0, 0, 0, 18))
            return "%x/%02x%02x" % (sense[2], sense[12], sense[13])
        return data


class Scsi:
    """The first target of a virtio SCSI host."""

    HEAD, DATA, RESPONSE, EMPTY = 0x300000, 0x200000, 0x301000, "2/3a00"

    def __init__(self, q):
        self.q = q
        self.queues = [Split(q, 0x100000 + 0x8000 * n, n) for n in range(3)]
        Modern(q).start([VERSION_1, 1, 2], queues=self.queues)

    def command(self, *cdb):
        q, ring, room = self.q, self.queues[2], 65536
        head = bytes([1, 0, 0x40, 0, 0, 0, 0, 0]) + struct.pack("<QBBB", 1, 0, 0, 0) + bytes(cdb).ljust(32, b"\0")
        q.write(self.HEAD, head)
        q.memset(self.RESPONSE, 108, 0xEE)
        ring.add([(self.HEAD, 51, False), (self.RESPONSE, 108, True), (self.DATA, room, True)])
        ring.wait()
        _, residual, _, result, code = struct.unpack("<IIHBB", q.read(self.RESPONSE, 12))
        assert code == 0, code
        if result:
            sense = q.read(self.RESPONSE + 12, 18)
            return "%x/%02x%02x" % (sense[2], sense[12], sense[13])
        return q.read(self.DATA, room - residual) if room > residual else b""


CHAIN = ("-object", "throttle-group,id=g", "-blockdev",
         "driver=throttle,throttle-group=g,node-name=top,read-only=on,file.driver=raw,file.file.driver=blkdebug,"
         "file.file.image.driver=host_cdrom,file.file.image.filename=" + DRIVE)
GUESTS = {"ide": (Atapi, ("-cdrom", DRIVE)),
          "direct": (Atapi, ("-drive", f"file={DRIVE},if=ide,index=2,media=cdrom,cache=none")),
          "scsi": (Scsi, ("-device", "virtio-scsi-pci,addr=5", *CHAIN, "-device", "scsi-cd,drive=top,id=ide1-cd0"))}


class Guest:
    """A machine with the drive; `wait` takes the attentions."""

    def __init__(self, kind, digit=DISC, sectors=20, more=()):
        make, words = GUESTS[kind]
        for name in ("log", "changed", "stuck", "slow"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(FOLDER, name))
        self.data = disc(1, sectors if digit == DISC else 0)
        state(digit)
        with shimmed():
            self.q = QTest(["-M", "pc", "-m", "16", *words, *more])
        self.drive = make(self.q)

    def __enter__(self):
        self.q.__enter__()
        return self

    def __exit__(self, *what):
        self.q.__exit__(*what)

    def command(self, *cdb):
        return self.drive.command(*cdb)

    def ready(self):
        """What TEST UNIT READY says once all attentions were taken, and those."""
        seen = []
        while str(said := self.command(0)).startswith("6/"):
            seen.append(said)
        return said or "ready", seen

    def waits_for(self, what):
        seen = []

        def there():
            said, more = self.ready()
            seen.extend(more)
            return said == what
        until(there, what)
        return seen

    def length(self):
        return struct.unpack(">II", self.command(0x25))

    def reads(self, lba, count):
        return self.command(0x28, 0, *struct.pack(">I", lba), 0, *struct.pack(">H", count))

    def shows(self, data):
        assert self.length() == (len(data) // 2048 - 1, 2048), self.length()
        read = b"".join(self.reads(n, 2) for n in range(0, len(data) // 2048, 2))
        assert read == data

    def block(self):
        return next(b for b in self.q.qmp("query-block") if "qdev" in b and b["removable"])

    def moved(self):
        """Where the tray's events say that it went."""
        self.q.qmp("query-status")
        return [e["data"]["tray-open"] for e in self.q.events if e["event"] == "DEVICE_TRAY_MOVED"]


def said_by(*words):
    with shimmed():
        p = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-M", "none", *words], text=True, timeout=60,
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert p.returncode == 1 and len(p.stderr.splitlines()) == 1, (words, p)
    return p.stderr


def what_is_no_drive_is_refused():
    disc(1, 4)
    state(DISC)
    plain = os.path.join(FOLDER, "plain")
    put("plain", bytes(4096))
    for name in (plain, "/dev/null"):
        said = said_by("-blockdev", "driver=host_cdrom,node-name=n,read-only=on,filename=" + name)
        assert name in said and "no CD drive; driver=file" in said, said
    for name in glob.glob("/dev/loop[0-9]*") + glob.glob("/dev/vd?"):
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
            assert stat.S_ISBLK(os.stat(name).st_mode)
            said = said_by("-blockdev", "driver=host_cdrom,node-name=n,read-only=on,filename=" + name)
            assert "no CD drive; driver=host_device" in said, said
            break
    for more, word in (("", "'filename' is missing"), (",filename=/nonexistent/cdrom", "No such file"),
                       (",filename=%s,aio=native" % DRIVE, "aio=threads"),
                       (",filename=%s,locking=on" % DRIVE, "locking=off"), (",filename=%s,read-only=off" % DRIVE, "read-only=on")):
        said = said_by("-blockdev", "driver=host_cdrom,node-name=n,read-only=on" + more)
        assert word in said, said


def guest_reads_the_disc(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            g.shows(g.data)
            inserted = g.block()["inserted"]
            assert inserted["ro"] and inserted["file"] == DRIVE, inserted
            drivers = {n["drv"] for n in g.q.qmp("query-named-block-nodes")}
            assert {"host_cdrom", "raw"} <= drivers, drivers
        assert log() == []
    return case


def guest_moves_the_tray_and_locks_the_door(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            assert g.command(0x1E, 0, 0, 0, 1) == b""
            until(lambda: log() == ["lock"], log)
            assert g.command(0x1B, 0, 0, 0, 2) == "5/5302"
            assert g.command(0x1E) == b""
            until(lambda: log() == ["lock", "unlock"], log)
            assert g.command(0x1B, 0, 0, 0, 2) == b""
            until(lambda: status() == OPEN, log)
            assert g.ready()[0] == "2/3a02" and g.moved() == [True]
            assert g.block()["tray_open"]
            time.sleep(1.5)  # looking at the drive again does not move it
            assert g.ready()[0] == "2/3a02" and g.moved() == [True] and log() == ["lock", "unlock", "eject"], log()
            data = disc(2, 30)
            assert g.command(0x1B, 0, 0, 0, 3) == b""
            until(lambda: status() == DISC, log)
            assert "6/2800" in g.waits_for("ready")
            g.shows(data)
            assert g.moved() == [True, False] and log() == ["lock", "unlock", "eject", "close"]
    return case


def hand_moves_the_tray(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            state(OPEN)
            g.waits_for("2/3a02")
            block = g.block()
            assert block["tray_open"] and "inserted" not in block and g.moved() == [True]
            data = disc(3, 60)
            state(SPINS_UP)
            g.waits_for(g.drive.EMPTY)
            assert g.moved() == [True, False] and "inserted" not in g.block()
            state(DISC)
            g.waits_for("ready")
            g.shows(data)
            assert "inserted" in g.block() and g.moved() == [True, False]
            disc(4, 0)
            state(NO_DISC)
            g.waits_for(g.drive.EMPTY)
            assert not g.block()["tray_open"] and "none" in g.q.qmp("human-monitor-command",
                                                                    {"command-line": "info block"})
        assert log() == [], log()
    return case


def another_disc_is_noticed(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            data = disc(5, 8)
            put("changed")
            seen = []
            until(lambda: seen.extend(g.ready()[1]) or "6/2800" in seen, "the new disc")
            g.shows(data)
            data = disc(6, 8)  # as long as the one before
            put("changed")
            seen.clear()
            until(lambda: seen.extend(g.ready()[1]) or "6/2800" in seen, "the new disc")
            g.shows(data)
        assert log() == []
    return case


def empty_drives_open(kind):
    def case():
        for digit in (NO_DISC, OPEN, SPINS_UP):
            with Guest(kind, digit) as g:
                g.waits_for("2/3a02" if digit == OPEN else g.drive.EMPTY)
                assert "inserted" not in g.block() and g.block()["tray_open"] == (digit == OPEN)
                data = disc(7, 12)
                state(DISC)
                g.waits_for("ready")
                g.shows(data)
    return case


def disc_goes_while_it_is_read(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            state(OPEN)
            said = g.reads(0, 1)
            assert isinstance(said, str) and said[:4] == "2/3a", said
            g.waits_for("2/3a02")
    return case


def tray_that_is_stuck_stays(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            put("stuck")
            assert g.command(0x1B, 0, 0, 0, 2) == b""
            until(lambda: g.moved() == [True, False], g.moved)
            g.waits_for("ready")
            g.shows(g.data)
            until(lambda: "cannot open the tray of the CD drive '%s': Device or resource busy" % DRIVE in g.q.errors(),
                  g.q.errors)
            assert g.q.errors().count("cannot") == 1 and log() == ["eject"]
    return case


def monitor_moves_it(kind):
    def case():
        with Guest(kind) as g:
            g.waits_for("ready")
            g.q.qmp("blockdev-open-tray", {"id": "ide1-cd0"} if kind == "scsi" else {"device": "ide1-cd0"})
            until(lambda: status() == OPEN, log)
            g.waits_for("2/3a02")
            data = disc(8, 16)
            g.q.qmp("blockdev-close-tray", {"id": "ide1-cd0"} if kind == "scsi" else {"device": "ide1-cd0"})
            until(lambda: status() == DISC, log)
            g.waits_for("ready")
            g.shows(data)
            assert log() == ["eject", "close"] and g.moved() == [True, False], (log(), g.moved())
    return case


def disc_is_read_past_the_hosts_cache():
    with Guest("direct") as g:
        g.waits_for("ready")
        g.shows(g.data)
        assert g.length()[0] == 19 and log() and set(log()) == {"direct"}, log()
        data = disc(5, 24)
        put("changed")
        g.waits_for("ready")
        until(lambda: g.ready()[0] == "ready" and g.length()[0] == 23, "the new disc")
        g.shows(data)
        assert set(log()) == {"direct"} and len(log()) >= 2, log()


def drive_that_says_nothing_is_read_from():
    """The length is what tells whether there is a disc."""
    with Guest("ide", NO_INFO) as g:
        g.waits_for(g.drive.EMPTY)
        data = disc(3, 14)
        g.waits_for("ready")
        g.shows(data)
        disc(4, 0)
        g.waits_for(g.drive.EMPTY)
    assert log() == []


def eject_leaves_the_drive_and_change_takes_it():
    with Guest("ide") as g:
        g.waits_for("ready")
        g.q.qmp("eject", {"device": "ide1-cd0"})
        until(lambda: status() == OPEN, log)
        assert not [n for n in g.q.qmp("query-named-block-nodes") if n["drv"] == "host_cdrom"]
        data = disc(9, 10)
        state(DISC)
        g.q.qmp("blockdev-change-medium", {"device": "ide1-cd0", "filename": DRIVE})
        g.waits_for("ready")
        g.shows(data)
        assert g.command(0x1E, 0, 0, 0, 1) == b""
        until(lambda: log()[-1] == "lock", log)
        g.q.qmp("eject", {"device": "ide1-cd0", "force": True})
        until(lambda: log()[-2:] == ["unlock", "eject"], log)
        assert status() == OPEN


def drive_leaves_while_it_is_looked_at():
    """A slow drive is not left before it has answered."""
    with Guest("ide") as g:
        g.waits_for("ready")
        put("slow")
        for _ in range(4):
            g.command(0x1E, 0, 0, 0, 1)
            g.command(0x1E)
            g.command(0x1B, 0, 0, 0, 2)
            g.q.qmp("eject", {"device": "ide1-cd0"})
            until(lambda: status() == OPEN, log)
            state(DISC)
            g.q.qmp("blockdev-change-medium", {"device": "ide1-cd0", "filename": DRIVE})
            g.waits_for("ready")
        g.shows(g.data)
        os.unlink(os.path.join(FOLDER, "slow"))


def door_is_unlocked_at_the_end():
    with Guest("ide") as g:
        g.waits_for("ready")
        assert g.command(0x1E, 0, 0, 0, 1) == b""
        until(lambda: log() == ["lock"], log)
    assert log() == ["lock", "unlock"], log()
    with Guest("ide") as g:
        g.waits_for("ready")
        g.command(0x1E, 0, 0, 0, 1)
        until(lambda: log() == ["lock"], log)
        g.q.qmp("system_reset")
        until(lambda: log() == ["lock", "unlock"], log)


def disk_without_a_tray_shows_its_length():
    with Guest("ide", more=("-drive", f"file={DRIVE},if=none,id=d", "-device", "virtio-blk-pci,drive=d,addr=6")) as g:
        def length():
            return next(b["inserted"]["image"]["virtual-size"] for b in g.q.qmp("query-block") if b["device"] == "d")

        assert length() == 20 * 2048
        disc(1, 40)
        put("changed")
        until(lambda: length() == 40 * 2048, length)


BOTH = """
guest_reads_the_disc_ide guest_reads_the_disc_scsi
guest_moves_the_tray_and_locks_the_door_ide guest_moves_the_tray_and_locks_the_door_scsi
hand_moves_the_tray_ide hand_moves_the_tray_scsi
another_disc_is_noticed_ide another_disc_is_noticed_scsi
empty_drives_open_ide empty_drives_open_scsi
disc_goes_while_it_is_read_ide disc_goes_while_it_is_read_scsi
tray_that_is_stuck_stays_ide tray_that_is_stuck_stays_scsi
monitor_moves_it_ide monitor_moves_it_scsi
""".split()


def named(name):
    function, _, kind = name.rpartition("_")
    case = globals()[function](kind)
    case.__name__ = name
    return case


CASES = [what_is_no_drive_is_refused, *map(named, BOTH), drive_that_says_nothing_is_read_from,
         disc_is_read_past_the_hosts_cache, eject_leaves_the_drive_and_change_takes_it,
         drive_leaves_while_it_is_looked_at, door_is_unlocked_at_the_end, disk_without_a_tray_shows_its_length]
run([c for c in CASES if not sys.argv[4:] or c.__name__ in sys.argv[4:]])
