#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What a guest has flushed is there: after the process was killed, after every write of a log, after the power was cut.
Any request may fail: the guest sees it, and nothing hangs. A full disk pauses the machine. The disks are an IDE disk of
`pc` and an AHCI disk of `q35`, driven without a guest (tests/qtest/ata.py).

usage: disk-faults.py [KILLS [STEP [CASE...]]]     (default: 10000 kills, every request of the script fails, all cases)
"""
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "house"), os.path.join(TOP, "tests", "qtest")]
import tap  # noqa: E402
from ata import FLUSH, READ, WRITE, WRITE_FUA, Ahci, Ide  # noqa: E402
from qtest import QTest  # noqa: E402

KILLS, STEP = [int(arg) for arg in (*sys.argv[1:2], "10000")[:1] + (*sys.argv[2:3], "1")[:1]]
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))
WORK = tap.work_folder("disk-faults-", os.path.join(os.environ.get("BACKPLANE_BUILD", os.path.join(TOP, "build"))))
SECTORS = 2048
Ide.limit = Ahci.limit = 30 * SLOW
BOARDS = (("pc", Ide, "ide-hd"), ("q35", Ahci, "ide-hd"))


def image(name):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.truncate(SECTORS * 512)
    return path


def block(word):
    return struct.pack("<I", word) * 128


class Model:
    """What each sector may hold: `allowed` of those that were written since they were last known for sure."""

    def __init__(self):
        self.known = {}    # sector: word that was flushed
        self.allowed = {}  # sector: words written since
        self.flying = {}   # tag: (first sector, words)
        self.next = 1

    def free(self, first, count):
        """No request in flight is about these sectors: which of two is the last is anybody's guess."""
        return all(first + count <= other or other + len(words) <= first for other, words in self.flying.values())

    def words(self, count):
        self.next += count
        return list(range(self.next - count, self.next))

    def began(self, tag, first, words):
        self.flying[tag] = (first, words)
        for n, word in enumerate(words):
            self.allowed.setdefault(first + n, {self.known.get(first + n, 0)}).add(word)

    def flushed(self):
        """Of the writes that had ended, the last one of each sector is there."""
        for sector, words in self.allowed.items():
            self.known[sector] = max(words)
        self.allowed = {}

    def sure(self, first, words):
        for n, word in enumerate(words):
            self.known[first + n] = word
            self.allowed.pop(first + n, None)

    def check(self, data, what):
        for sector in range(SECTORS):
            part = data[sector * 512:sector * 512 + 512]
            word = struct.unpack_from("<I", part)[0]
            allowed = self.allowed.get(sector, {self.known.get(sector, 0)})
            assert word in allowed and part == block(word), (what, sector, word, sorted(allowed), part.hex()[:64])

    def found(self, data):
        """This is what the image has: from now on it is known."""
        for sector in self.allowed:
            self.known[sector] = struct.unpack_from("<I", data, sector * 512)[0]
        self.allowed, self.flying = {}, {}


def content(path):
    with open(path, "rb") as f:
        return f.read()


class Guest:
    """Writes and flushes as a seed has it."""

    def __init__(self, disk, model, rng):
        self.disk, self.model, self.rng = disk, model, rng
        self.flushes = 0

    def drain(self):
        """The first error, or 0."""
        error = 0
        for tag in list(self.model.flying):
            error = error or self.disk.wait(tag)
            if error:
                break
            del self.model.flying[tag]
        return error

    def write(self, fua=False):
        first, count = self.rng.randrange(SECTORS - 8), self.rng.randrange(1, 9)
        if len(self.model.flying) >= self.disk.slots or not self.model.free(first, count):
            error = self.drain()
            if error:
                return error
        words = self.model.words(count)
        tag = self.disk.start(WRITE_FUA if fua else WRITE, first, b"".join(map(block, words)))
        self.model.began(tag, first, words)
        if fua:
            error = self.disk.wait(tag)
            if error:
                return error
            del self.model.flying[tag]
            self.model.sure(first, words)
        return 0

    def flush(self):
        error = self.drain() or self.disk.do(FLUSH)
        if not error:
            self.flushes += 1
            self.model.flushed()
        return error

    def step(self):
        kind = self.rng.randrange(10)
        return self.flush() if kind == 0 else self.write(kind == 1)


# ---- kills ----

WAYS = ("aio=threads", "cache=none,aio=native", "cache=none,aio=io_uring", "cache=writethrough", "cache=directsync",
        "aio=io_uring", "discard=unmap,detect-zeroes=unmap", "cache=none,aio=threads")


def killed(number, path, model, rng):
    board, kind, _ = BOARDS[number % 2]
    way = WAYS[number // 2 % len(WAYS)]
    q = QTest(["-M", board, "-drive", "file=%s,format=raw,if=ide,%s" % (path, way)])
    try:
        disk = kind(q)
        guest = Guest(disk, model, rng)
        for sector in rng.sample(sorted(model.known), min(3, len(model.known))):
            tag = disk.start(READ, sector)
            assert disk.wait(tag) == 0
            assert disk.data(tag, 512) == block(model.known[sector]), (number, sector)
        for _ in range(rng.randrange(1, 20)):
            assert guest.step() == 0, (number, board, way)
        if rng.randrange(3) == 0:
            guest.drain()
            disk.start(FLUSH)  # killed in the midst of it
        if rng.randrange(2):
            time.sleep(rng.random() / 1000)
    finally:
        q.process.send_signal(signal.SIGKILL)
        q.process.wait()
        q.close()
    data = content(path)
    model.check(data, "kill %d of %s with %s" % (number, board, way))
    model.found(data)


def kills_lose_nothing_that_was_flushed():
    path, model, rng = image("kill.img"), Model(), random.Random(20261128)
    for number in range(KILLS):
        killed(number, path, model, rng)
    print("# %d kills, %d sectors written" % (KILLS, model.next), flush=True)


# ---- a log of writes, the power ----

def entries(log):
    """(first sector, flags, data) of a log in the format of dm-log-writes."""
    magic, version, count, size = struct.unpack_from("<QQQI", log)
    assert magic == 0x6a736677736872 and version == 1 and size == 512
    at = size
    for _ in range(count):
        first, sectors, flags, length = struct.unpack_from("<QQQQ", log, at)
        at += size
        data = b"" if flags & 4 else log[at:at + sectors * size]
        at += len(data)
        yield first, flags, data or bytes(length)


def every_prefix_of_a_log_has_what_was_flushed():
    for board, kind, _ in BOARDS:
        path, log = image("log.img"), image("log.log")
        model, models = Model(), []
        with QTest(["-M", board, "-drive", "driver=blklogwrites,file.driver=file,file.filename=%s,log.driver=file,"
                    "log.filename=%s,if=ide" % (path, log)]) as q:
            guest = Guest(kind(q), model, random.Random(7))
            for n in range(400):
                # A flush of nothing does not come so far.
                if model.allowed and (guest.rng.randrange(12) == 0 or n == 399):
                    before = dict(model.known), {k: set(v) for k, v in model.allowed.items()}
                    assert guest.flush() == 0
                    models.append(before)
                else:
                    assert guest.write() == 0
            assert not model.allowed
        disk, flushes, count = bytearray(SECTORS * 512), 0, 0
        check = Model()
        for first, flags, data in entries(content(log)):
            disk[first * 512:first * 512 + len(data)] = data
            if flags & 1:
                flushes += 1
                check.known = {**models[flushes - 1][0],
                               **{sector: max(words) for sector, words in models[flushes - 1][1].items()}}
            # What may be there besides: all that was sent before the next flush.
            later = models[flushes][1] if flushes < len(models) else {}
            check.allowed = {sector: {check.known.get(sector, 0)} | words for sector, words in later.items()}
            check.check(disk, "%s, prefix %d" % (board, count))
            count += 1
        assert flushes == len(models) and count > 300, (flushes, len(models), count)
        assert bytes(disk) == content(path), "the log makes another image"


def power_cut_after_any_write_leaves_what_was_flushed():
    for board, kind, _ in BOARDS:
        cuts = 0
        for after in range(1, 10000, STEP):
            path, model = image("cut.img"), Model()
            node = {"driver": "power-cut", "node-name": "d", "seed": after, "cut-after": after, "forget": True,
                    "reorder": True, "file": {"driver": "file", "filename": path}}
            with QTest(["-M", board, "-blockdev", json.dumps(node), "-device",
                        "ide-hd,drive=d,bus=ide.0,werror=report"]) as q:
                guest, error = Guest(kind(q), model, random.Random(after % 7)), 0
                for _ in range(150):
                    error = guest.step()
                    if error:
                        break
                error = error or guest.flush()
            if not error:
                break
            cuts += 1
            model.check(content(path), "%s, power cut in write %d" % (board, after))
        assert cuts > 100 / STEP, cuts


# ---- failures ----

def script(guest, errors):
    """500 requests; what they leave is known but for where one failed."""
    disk, model, rng = guest.disk, guest.model, guest.rng
    for number in range(500):
        first, count = rng.randrange(SECTORS - 8), rng.randrange(1, 9)
        kind = rng.choice((READ, READ, WRITE, WRITE, WRITE, FLUSH, WRITE_FUA))
        if kind == READ:
            tag = disk.start(READ, first, sectors=count)
            error = disk.wait(tag)
            if not error:
                data = disk.data(tag, count * 512)
                for n in range(count):
                    allowed = model.allowed.get(first + n, {model.known.get(first + n, 0)})
                    word = struct.unpack_from("<I", data, n * 512)[0]
                    assert word in allowed and data[n * 512:n * 512 + 512] == block(word), (number, first + n, word)
        elif kind == FLUSH:
            error = disk.do(FLUSH)
        else:
            words = model.words(count)
            error = disk.do(kind, first, b"".join(map(block, words)))
            if error:
                model.began("failed", first, words)
                model.flying = {}
            else:
                model.sure(first, words)
        if error:
            errors.append((number, kind, error))


def failing(board, kind, nth, path, policy):
    rule = {"event": "none", "skip": nth, "once": True}
    node = {"driver": "blkdebug", "node-name": "d", "inject-error": [rule],
            "image": {"driver": "file", "filename": path}}
    errors = []
    with QTest(["-M", board, "-blockdev", json.dumps(node), "-device",
                "ide-hd,drive=d,bus=ide.0,werror=%s,rerror=%s" % (policy, policy)]) as q:
        guest = Guest(kind(q), Model(), random.Random(500))
        if policy == "stop":
            q.qmp("cont")
            resume_when_paused(q, guest.disk)
        script(guest, errors)
        guest.model.flying = {}
        paused = sum(event["event"] == "BLOCK_IO_ERROR" for event in q.events)
    guest.model.check(content(path), "%s, request %d fails" % (board, nth))
    return errors, paused


def resume_when_paused(q, disk):
    """A management tool that goes on at once."""
    ended = disk.ended

    def look(tag):
        done = ended(tag)
        if done is None and q.qmp("query-status")["status"] == "io-error":
            q.qmp("cont")
        return done
    disk.ended = look


def every_request_may_fail():
    for board, kind, _ in BOARDS:
        seen, kinds = 0, set()
        for nth in range(1, 10000, STEP):  # request 0 looks for a partition table, before there is a guest
            errors, _ = failing(board, kind, nth, image("nth.img"), "report")
            if not errors:
                break
            assert len(errors) == 1, (board, nth, errors)
            kinds.add(errors[0][1])
            seen += 1
        assert seen >= 450 // STEP and kinds == {READ, WRITE, FLUSH, WRITE_FUA}, (board, seen, kinds)
        print("# %s: each of %d requests failed in its turn" % (board, seen), flush=True)


def a_machine_that_stops_at_an_error_goes_on():
    for board, kind, _ in BOARDS:
        for nth in range(1, 450, 7 * STEP):  # a flush of nothing is no request
            errors, paused = failing(board, kind, nth, image("stop.img"), "stop")
            assert errors == [] and paused == 1, (board, nth, errors, paused)


def full_disk_pauses_and_loses_nothing():
    folder = os.path.join(WORK, "full")
    os.makedirs(folder)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True,
                      check=False).returncode != 0:
        raise tap.Skip("no file system may be mounted here")
    try:
        for board, kind, _ in BOARDS:
            path, ballast = image("full/disk.img"), os.path.join(folder, "ballast")
            with open(ballast, "wb") as f:
                f.write(b"\1" * 600000)
            with QTest(["-M", board, "-drive", "file=%s,format=raw,if=ide" % path]) as q:
                q.qmp("cont")
                disk, paused = kind(q), False
                for n in range(SECTORS // 64):
                    tag = disk.start(WRITE, n * 64, block(n + 1) * 64)
                    while disk.ended(tag) is None:
                        if q.qmp("query-status")["status"] == "io-error":
                            paused = True
                            os.truncate(ballast, 0)
                            q.qmp("cont")
                assert disk.do(FLUSH) == 0
                data = [event["data"] for event in q.events if event["event"] == "BLOCK_IO_ERROR"]
                assert paused and data and data[0]["nospace"] and data[0]["action"] == "stop", data
            assert content(path) == b"".join(block(n // 64 + 1) for n in range(SECTORS)), board
            os.unlink(path)
    finally:
        subprocess.run(["umount", folder], check=True)


if __name__ == "__main__":
    tap.run([case for case in (
        every_prefix_of_a_log_has_what_was_flushed, power_cut_after_any_write_leaves_what_was_flushed,
        every_request_may_fail, a_machine_that_stops_at_an_error_goes_on, full_disk_pauses_and_loses_nothing,
        kills_lose_nothing_that_was_flushed) if case.__name__ in (sys.argv[3:] or [case.__name__])])
