# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Nodes that stand before others: blkverify, quorum, preallocate, compress, copy-before-write and snapshot-access, served
by the storage daemon to Debian's qemu-io and qemu-img.
Usage: test-block-filters.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import FOLDER, WAIT, content, patch, path, peer, raw, run  # noqa: E402
from qmp import StorageDaemon  # noqa: E402

DAEMON = os.path.join(sys.argv[2], "backplane-storage-daemon")
SIZE = 2 << 20


def url(name):
    return "nbd+unix:///%s?socket=%s" % (name, path("s"))


class Serving(StorageDaemon):
    """One that comes to its end as it should, so that its images are closed."""

    def __exit__(self, *exception):
        self.command("quit")
        self.process.communicate(timeout=WAIT)


def serving(nodes, writable=(), readable=()):
    """A daemon with these nodes, exported under their names."""
    if os.path.exists(path("s")):
        os.unlink(path("s"))
    args = [a for node in nodes for a in ("--blockdev", json.dumps(node))]
    args += ["--nbd-server", "addr.type=unix,addr.path=" + path("s")]
    for names, on in ((writable, "on"), (readable, "off")):
        for name in names:
            args += ["--export", "nbd,id=e%s,node-name=%s,name=%s,writable=%s" % (name, name, name, on)]
    return Serving(DAEMON, FOLDER, *args)


def file(name, **more):
    return {"driver": "file", "filename": path(name), **more}


def io(name, *commands, status=0, switch=()):
    tool = shutil.which("qemu-io")
    if not tool:
        raise tap.Skip("qemu-io is missing (package qemu-utils)")
    return run(*switch, "-f", "raw", *(a for c in commands for a in ("-c", c)), url(name), tool=tool, status=status)


def read(name):
    peer("convert", "-f", "raw", "-O", "raw", url(name), "got.raw")
    return content("got.raw")


def refused(node, word):
    """A node that is not made, told in one line."""
    with serving([{"driver": "null-co", "node-name": "n", "size": SIZE, "read-zeroes": True},
                  {"driver": "null-co", "node-name": "short", "size": 4096, "read-zeroes": True}]) as daemon:
        reply = daemon.command("blockdev-add", **{"node-name": "x", **node})
        assert word in reply["error"]["desc"], reply


def comparing_finds_the_first_difference():
    data = raw("a.raw", SIZE, "verify")
    shutil.copy(path("a.raw"), path("b.raw"))
    nodes = [{"driver": "blkverify", "node-name": "v", "test": file("a.raw"), "raw": file("b.raw")}]
    with serving(nodes, writable=["v"]):
        io("v", "write -P 5 1000 70000", "write -z 300000 70000", "flush")
        wanted = bytearray(data)
        wanted[1000:71000], wanted[300000:370000] = bytes([5]) * 70000, bytes(70000)
        assert read("v") == wanted
    assert content("a.raw") == content("b.raw") == wanted
    patch("b.raw", 123456, bytes([wanted[123456] ^ 1]))
    with serving(nodes, writable=["v"]):
        io("v", "read 0 65536", "read 196608 65536")
        io("v", "read 65536 65536", status=1)
    refused({"driver": "blkverify", "test": "n", "raw": "short"}, "bytes and 'raw' has")


def most_of_several_disks_are_right():
    data = raw("q0.raw", SIZE, "quorum")
    for name in ("q1.raw", "q2.raw"):
        shutil.copy(path("q0.raw"), path(name))
    patch("q1.raw", 70000, bytes(100))
    patch("q2.raw", 500000, b"\xaa" * 100)
    node = {"driver": "quorum", "node-name": "q", "vote-threshold": 2,
            "children": [file("q%d.raw" % i, **{"node-name": "c%d" % i}) for i in range(3)]}
    with serving([node], writable=["q"]) as daemon:
        assert read("q") == data
        daemon.command("query-version")
        bad = {e["data"]["node-name"] for e in daemon.events if e["event"] == "QUORUM_REPORT_BAD"}
        assert bad and bad <= {"c1", "c2"}, daemon.events
        io("q", "write -P 6 0 65536", "flush")
    assert all(content("q%d.raw" % i)[:65536] == bytes([6]) * 65536 for i in range(3))
    with serving([{**node, "rewrite-corrupted": True}], writable=["q"]):
        read("q")
    assert content("q0.raw") == content("q1.raw") == content("q2.raw")
    patch("q0.raw", 900000, b"\1" * 50)
    patch("q1.raw", 900000, b"\2" * 50)
    patch("q2.raw", 900000, b"\3" * 50)
    with serving([node], writable=["q"]) as daemon:
        io("q", "read 0 65536")
        io("q", "read 899072 4096", status=1)
        daemon.command("query-version")
        assert any(e["event"] == "QUORUM_FAILURE" for e in daemon.events), daemon.events
    with serving([{**node, "read-pattern": "fifo"}], writable=["q"]):
        io("q", "read -P 1 900000 50")
    for keys, word in (({"vote-threshold": 3, "children": ["n", "n"]}, "1 to 2"),
                       ({"vote-threshold": 0, "children": ["n"]}, "1 to 1"),
                       ({"vote-threshold": 1, "children": ["n", "short"]}, "as long"),
                       ({"vote-threshold": 1, "blkverify": True, "children": ["n", "n"]}, "blkverify"),
                       ({"vote-threshold": 1, "children": []}, "no children")):
        refused({"driver": "quorum", **keys}, word)


def a_failing_disk_is_outvoted():
    for name in ("q0.raw", "q1.raw"):
        raw(name, SIZE, "fail", holes=False)
    broken = {"driver": "blkdebug", "node-name": "bad", "image": file("q1.raw"),
              "inject-error": [{"event": "none", "errno": 5}]}
    node = {"driver": "quorum", "node-name": "q", "vote-threshold": 1, "children": [file("q0.raw"), broken]}
    with serving([node], writable=["q"]) as daemon:
        io("q", "write -P 9 4096 4096", "read -P 9 4096 4096")
        daemon.command("query-version")
        kinds = {e["data"]["type"] for e in daemon.events if e["event"] == "QUORUM_REPORT_BAD"}
        assert kinds & {"read", "write"}, daemon.events


def room_is_taken_in_advance_and_given_back():
    run("create", "-q", "-f", "qcow2", "p.qcow2", "16M")
    node = {"driver": "qcow2", "node-name": "p", "file": {
        "driver": "preallocate", "prealloc-align": 1 << 20, "prealloc-size": 8 << 20, "file": file("p.qcow2")}}
    with serving([node], writable=["p"]):
        io("p", "write -P 3 1000 5000")
        grown = os.stat(path("p.qcow2"))
        assert grown.st_size >= 8 << 20 and grown.st_size % (1 << 20) == 0, grown
        assert grown.st_blocks * 512 >= 8 << 20, grown
        io("p", "read -P 3 1000 5000", "write -P 4 100000 5000", "flush")
    assert os.path.getsize(path("p.qcow2")) < 1 << 20
    run("check", "-q", "p.qcow2")
    peer("check", "-q", "p.qcow2")
    run("convert", "-O", "raw", "p.qcow2", "to.raw")
    assert content("to.raw")[1000:6000] == bytes([3]) * 5000 and content("to.raw")[100000:105000] == bytes([4]) * 5000
    refused({"driver": "preallocate", "file": "n", "prealloc-align": 1000}, "power of two")


def what_is_written_is_compressed():
    run("create", "-q", "-f", "qcow2", "c.qcow2", "16M")
    node = {"driver": "compress", "node-name": "c", "file": {"driver": "qcow2", "file": file("c.qcow2")}}
    with serving([node], writable=["c"]):
        io("c", "write -P 3 0 1M", "write -P 4 1000 5000", "write -P 5 3000000 100", "flush")
        io("c", "read -P 4 1000 5000", "read -P 3 6000 60000", "read -P 5 3000000 100", "read -P 0 3000100 100")
    kinds = json.loads(run("check", "--output=json", "c.qcow2"))
    assert kinds["compressed-clusters"] >= 16, kinds
    peer("check", "-q", "c.qcow2")
    refused({"driver": "compress", "file": "n"}, "does not write compressed")


def a_snapshot_shows_what_was():
    data = raw("s.raw", SIZE, "snap", holes=False)
    run("create", "-q", "-f", "qcow2", "t.qcow2", str(SIZE))
    nodes = [{"driver": "copy-before-write", "node-name": "w", "file": file("s.raw"),
              "target": {"driver": "qcow2", "file": file("t.qcow2")}},
             {"driver": "snapshot-access", "node-name": "old", "read-only": True, "file": "w"}]
    with serving(nodes, writable=["w"], readable=["old"]):
        io("w", "write -P 7 1000 5000", "write -z 131072 70000", "write -P 8 1000 500",
           "write -P 9 %d 512" % (SIZE - 512))
        assert read("old") == data
        wanted = bytearray(data)
        wanted[1000:6000], wanted[131072:201072] = bytes([7]) * 5000, bytes(70000)
        wanted[1000:1500], wanted[-512:] = bytes([8]) * 500, bytes([9]) * 512
        assert read("w") == wanted
        io("w", "write -P 1 0 %d" % SIZE)
        assert read("old") == data
    refused({"driver": "snapshot-access", "file": {"driver": "copy-before-write", "file": "n", "target": {
        "driver": "null-co", "size": SIZE}}}, "cannot write")
    assert content("s.raw") == bytes([1]) * SIZE


def copies_that_fail_break_what_was_said():
    for choice, writes in (("break-guest-write", False), ("break-snapshot", True)):
        raw("s.raw", SIZE, "snap", holes=False)
        raw("t.raw", SIZE, "target")
        nodes = [{"driver": "copy-before-write", "node-name": "w", "on-cbw-error": choice, "file": file("s.raw"),
                  "target": {"driver": "blkdebug", "image": file("t.raw"),
                             "inject-error": [{"event": "none", "iotype": "write", "errno": 28}]}},
                 {"driver": "snapshot-access", "node-name": "old", "read-only": True, "file": "w"}]
        with serving(nodes, writable=["w"], readable=["old"]):
            io("w", "write -P 7 1000 5000", status=0 if writes else 1)
            io("old", "read 0 4096", status=1 if writes else 0, switch=["-r"])
    refused({"driver": "copy-before-write", "file": "n", "target": "short"}, "shorter")
    refused({"driver": "snapshot-access", "read-only": True, "file": "n"}, "copy-before-write")


tap.run([comparing_finds_the_first_difference, most_of_several_disks_are_right, a_failing_disk_is_outvoted,
         room_is_taken_in_advance_and_given_back, what_is_written_is_compressed, a_snapshot_shows_what_was,
         copies_that_fail_break_what_was_said])
