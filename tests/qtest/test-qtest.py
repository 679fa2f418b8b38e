#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The qtest protocol itself, on the board without devices."""
import os
import tempfile

from qtest import Failed, QTest, Tap

NONE = ["-M", "none", "-m", "16"]


def refused(function, *args):
    try:
        function(*args)
    except Failed as reason:
        return str(reason)
    raise AssertionError("not refused")


def memory_keeps_values(q):
    for size, put, get in ((1, q.writeb, q.readb), (2, q.writew, q.readw), (4, q.writel, q.readl),
                           (8, q.writeq, q.readq)):
        value = int.from_bytes(bytes(range(0x81, 0x81 + size)), "little")
        put(0x1000, value)
        assert get(0x1000) == value
    assert q.read(0x1000, 4) == b"\x81\x82\x83\x84", "little-endian"
    assert q.command("endianness") == ["little"]


def ranges_move_bytes(q):
    data = bytes(i * 7 & 0xFF for i in range(100001))
    q.write(0x2003, data)
    assert q.read(0x2003, len(data)) == data
    assert q.command("read", "0x2003", 3) == ["0x00070e"]
    q.command("write", "0x3000", 4, "0xdeadBEEF")
    assert q.read(0x3000, 4) == b"\xde\xad\xbe\xef"
    q.memset(0x3001, 2, 0x55)
    assert q.read(0x3000, 4) == b"\xde\x55\x55\xef"


def big_answers_arrive_whole(q):
    q.memset(0, 3 << 20, 0xA5)
    assert q.read(0, 3 << 20) == b"\xa5" * (3 << 20)


def nothing_there_reads_as_ones(q):
    assert q.readl(0xF0000000) == 0xFFFFFFFF
    assert q.inb(0x80) == 0xFF
    assert q.inl(0x1234) == 0xFFFFFFFF
    q.outb(0x80, 1)
    q.writel(0xF0000000, 1)


def time_stands_until_stepped(q):
    assert q.now() == 0
    assert q.clock_step(1000) == 1000
    assert q.clock_step() == 1000, "no timer is pending"
    assert q.clock_set(5000) == 5000
    assert q.now() == 5000
    assert "end of time" in refused(q.clock_step, 1 << 63)
    assert q.qmp("query-status")["running"]


def nonsense_is_answered_with_fail(q):
    assert "Unknown command 'frob'" in refused(q.command, "frob", 1)
    for words in (("outb",), ("outb", "1"), ("outb", "1", "x"), ("inb", "1", "2"), ("readl", "0x"),
                  ("write", "0", 4, "0x12"), ("write", "0", 2, "0xzz11"), ("read", "0", 1 << 40),
                  ("b64write", "0", 3, "AA="), ("b64write", "0", 3, "A=AA"), ("memset", "0", "-1", 0),
                  ("a", "b", "c", "d", "e", "f", "g"), ("outb", "1", "99999999999999999999999"),
                  ("irq_intercept_in", "/nowhere"), ("set_irq_in", "/machine", "x", 0, 1)):
        refused(q.command, *words)
    refused(q.command, "x" * (17 << 20))
    q._socket.sendall(b"\n\r\n  \n\x00\xff\n")
    refused(q.command)
    q.writeb(0, 1)
    assert q.readb(0) == 1, "still in step"


def log_names_both_directions():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        with QTest(NONE + ["-qtest-log", path]) as q:
            q.writeb(0, 1)
        with open(path, encoding="ascii") as log:
            lines = log.read().splitlines()
    assert lines[0].startswith("[R +") and lines[0].endswith("writeb 0x0 0x1"), lines
    assert lines[1].startswith("[S +") and lines[1].endswith("OK"), lines


tap = Tap()
for title, run in (("memory_keeps_values", memory_keeps_values),
                   ("ranges_move_bytes", ranges_move_bytes),
                   ("big_answers_arrive_whole", big_answers_arrive_whole),
                   ("nothing_there_reads_as_ones", nothing_there_reads_as_ones),
                   ("time_stands_until_stepped", time_stands_until_stepped),
                   ("nonsense_is_answered_with_fail", nonsense_is_answered_with_fail)):
    tap.machine_case(title, NONE, run)
tap.case("log_names_both_directions", log_names_both_directions)
tap.done()
