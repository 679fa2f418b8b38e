# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Dirty bitmaps that qcow2 images hold: both ways with qemu-img and qemu-nbd, after a kill, and damaged ones.
Usage: test-bitmaps.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("bitmaps-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 8 << 20
K = 65536


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0):
    program = shutil.which(args[0])
    if not program:
        raise tap.Skip(args[0] + " is missing")
    done = subprocess.run([program, *args[1:]], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False)
    assert (done.returncode == 0) == (status == 0), (args, done)
    return done.stdout if status == 0 else done.stdout + done.stderr


class Disk(Emulator):
    """An image as node `n`, exported to be written to."""

    def __init__(self, name, *more):
        self.sock = path("s%d" % len(os.listdir(FOLDER)))
        super().__init__(PROGRAM, "-M", "none", "-blockdev", "driver=file,node-name=f,filename=" + path(name),
                         "-blockdev", ",".join(("driver=qcow2,node-name=n,file=f",) + more))

    def ok(self, name, /, **arguments):
        reply = self.command(name, **arguments)
        assert "return" in reply, (name, reply)
        return reply["return"]

    def refused(self, name, /, **arguments):
        return self.command(name, **arguments)["error"]["desc"]

    def write(self, *ranges):
        if not os.path.exists(self.sock):
            self.ok("nbd-server-start", addr={"type": "unix", "data": {"path": self.sock}})
            self.ok("block-export-add", id="e", type="nbd", node_name="n", writable=True)
        script = [w for at, length in ranges for w in ("-c", "write -P 7 %d %d" % (at, length))]
        run("qemu-io", "-f", "raw", *script, "nbd+unix:///n?socket=" + self.sock)

    def bitmaps(self):
        node, = (n for n in self.ok("query-named-block-nodes") if n["node-name"] == "n")
        return {b["name"]: b for b in node.get("dirty-bitmaps", [])}

    def end(self):
        self.ok("quit")
        assert self.process.wait(WAIT) == 0


def create(name, options=""):
    run("qemu-img", "create", "-q", "-f", "qcow2", *(("-o", options) if options else ()), name, str(SIZE))


def shown(name):
    """What qemu-img says of an image's bitmaps; the image is whole."""
    run("qemu-img", "check", "-q", name)
    run(TOOL, "check", "-q", name)
    said = [json.loads(run(tool, "info", "--output=json", name))["format-specific"]["data"].get("bitmaps", [])
            for tool in ("qemu-img", TOOL)]
    theirs, ours = ({b["name"]: (b["granularity"], sorted(b["flags"])) for b in s} for s in said)
    assert theirs == ours, (theirs, ours)
    return theirs


def dirty(name, bitmap):
    """The ranges of a bitmap, as qemu-nbd tells them."""
    sock = path("q%d" % len(os.listdir(FOLDER)))
    server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-f", "qcow2", "-k", sock, "-B", bitmap, path(name)])
    try:
        while not os.path.exists(sock):
            assert server.poll() is None
            time.sleep(0.02)
        parts = json.loads(run("nbdinfo", "--json", "--map=qemu:dirty-bitmap:" + bitmap, "nbd+unix:///?socket=" + sock))
    finally:
        server.kill()
        server.wait()
    return [(p["offset"], p["length"]) for p in parts if p["type"]]


def what_is_written_stands_in_the_image():
    for n, options in enumerate(("", "cluster_size=4k", "extended_l2=on", "lazy_refcounts=on")):
        name = "a%d.qcow2" % n
        create(name, options)
        with Disk(name) as d:
            for bitmap, more in (("b0", {}), ("b1", {"granularity": 4096}), ("off", {"disabled": True}),
                                 ("gone", {"persistent": False})):
                d.ok("block-dirty-bitmap-add", node="n", name=bitmap, **{"persistent": True, **more})
            d.write((K, K), (5 * K + 100, 3 * K), (SIZE - K, K))
            d.end()
        assert shown(name) == {"b0": (K if n != 1 else 4096, ["auto"]), "b1": (4096, ["auto"]), "off": (
            K if n != 1 else 4096, [])}, shown(name)
        if n != 1:
            assert dirty(name, "b0") == [(K, K), (5 * K, 4 * K), (SIZE - K, K)], dirty(name, "b0")
        assert dirty(name, "b1") == [(K, K), (5 * K, 3 * K + 4096), (SIZE - K, K)], dirty(name, "b1")
        assert dirty(name, "off") == []
        with Disk(name) as d:  # and once more: the new ones take the place of the old
            assert {b: v["count"] for b, v in d.bitmaps().items()}["b1"] == 5 * K + 4096, d.bitmaps()
            assert all(v["persistent"] for v in d.bitmaps().values())
            assert [v["recording"] for v in d.bitmaps().values()].count(False) == 1
            d.write((0, 512))
            d.ok("block-dirty-bitmap-clear", node="n", name="b0")
            d.write((3 * K, 10))
            d.ok("block-dirty-bitmap-remove", node="n", name="off")
            d.end()
        assert sorted(shown(name)) == ["b0", "b1"]
        assert dirty(name, "b1") == [(0, 4096), (K, K), (3 * K, 4096), (5 * K, 3 * K + 4096), (SIZE - K, K)]
        size = os.path.getsize(path(name))
        for _ in range(3):
            with Disk(name) as d:
                d.end()
        assert os.path.getsize(path(name)) <= size + 16 * K
        with Disk(name) as d:
            for bitmap in d.bitmaps():
                d.ok("block-dirty-bitmap-remove", node="n", name=bitmap)
            d.end()
        assert shown(name) == {}


def those_of_others_are_kept_up_to_date():
    create("b.qcow2")
    run("qemu-img", "bitmap", "--add", "-g", "128k", "b.qcow2", "theirs")
    run("qemu-img", "bitmap", "--add", "--disable", "b.qcow2", "still")
    run("qemu-io", "-f", "qcow2", "-c", "write 1M 4k", "b.qcow2")
    with Disk("b.qcow2") as d:
        assert d.bitmaps()["theirs"]["count"] == 128 << 10 and d.bitmaps()["still"]["count"] == 0, d.bitmaps()
        d.write((3 << 20, 4096))
        d.ok("blockdev-reopen", options=[{"driver": "qcow2", "node-name": "n", "file": "f", "read-only": False}])
        d.end()
    assert dirty("b.qcow2", "theirs") == [(1 << 20, 128 << 10), (3 << 20, 128 << 10)]
    run("qemu-io", "-f", "qcow2", "-c", "write 6M 4k", "b.qcow2")
    assert dirty("b.qcow2", "theirs") == [(1 << 20, 128 << 10), (3 << 20, 128 << 10), (6 << 20, 128 << 10)]
    assert shown("b.qcow2") == {"theirs": (128 << 10, ["auto"]), "still": (K, [])}
    run(TOOL, "resize", "-q", "b.qcow2", "9M")
    assert shown("b.qcow2") == {"theirs": (128 << 10, ["auto"]), "still": (K, [])}
    with Disk("b.qcow2", "read-only=on") as d:  # nothing is written
        assert d.bitmaps()["theirs"]["count"] == 384 << 10
        assert "read-only" in d.refused("block-dirty-bitmap-add", node="n", name="x", persistent=True)
        d.end()
    with Disk("b.qcow2") as d:
        with open(path("full"), "wb") as f:
            f.truncate(9 << 20)
        d.ok("blockdev-add", node_name="to", driver="file", filename=path("full"))
        d.ok("blockdev-backup", job_id="j", device="n", target="to", sync="incremental", bitmap="theirs")
        assert "error" not in d.job_ended("j")
        d.end()
    assert dirty("b.qcow2", "theirs") == []


def a_kill_leaves_them_marked():
    create("c.qcow2")
    with Disk("c.qcow2") as d:
        d.ok("block-dirty-bitmap-add", node="n", name="b", persistent=True)
        d.write((0, K))
        d.end()
    with Disk("c.qcow2") as d:
        d.write((2 * K, K))
        d.process.kill()
        d.process.wait()
    assert shown("c.qcow2") == {"b": (K, ["auto", "in-use"])}, shown("c.qcow2")
    for _ in range(2):  # it stays so
        with Disk("c.qcow2") as d:
            b = d.bitmaps()["b"]
            assert b["inconsistent"] and not b["recording"] and b["persistent"], b
            for verb in ("clear", "enable", "disable"):
                assert "inconsistent" in d.refused("block-dirty-bitmap-" + verb, node="n", name="b")
            d.ok("block-dirty-bitmap-add", node="n", name="new")
            assert "inconsistent" in d.refused("block-dirty-bitmap-merge", node="n", target="new", bitmaps=["b"])
            assert "inconsistent" in d.refused("block-dirty-bitmap-merge", node="n", target="b", bitmaps=["new"])
            d.write((4 * K, K))
            d.end()
        assert shown("c.qcow2") == {"b": (K, ["auto", "in-use"])}, shown("c.qcow2")
    with Disk("c.qcow2") as d:
        d.ok("block-dirty-bitmap-remove", node="n", name="b")
        d.end()
    assert shown("c.qcow2") == {}


def who_cannot_keep_them_says_so():
    create("v2.qcow2", "compat=0.10")
    with Disk("v2.qcow2") as d:
        assert "cannot keep" in d.refused("block-dirty-bitmap-add", node="f", name="b", persistent=True)
        reply = d.command("block-dirty-bitmap-add", node="n", name="b", persistent=True)
        assert "version 2" in reply["error"]["desc"], reply
        d.end()


def damaged_ones_do_no_harm():
    create("good.qcow2")
    run("qemu-img", "bitmap", "--add", "good.qcow2", "one")
    run("qemu-img", "bitmap", "--add", "-g", "32k", "good.qcow2", "another")
    run("qemu-io", "-f", "qcow2", "-c", "write 1M 2M", "good.qcow2")
    with open(path("good.qcow2"), "rb") as f:
        good = f.read()
    at = good.index(bytes.fromhex("23852875")) + 8
    directory = int.from_bytes(good[at + 16:at + 24], "big")
    table = int.from_bytes(good[directory:directory + 8], "big")
    rand = random.Random(1)
    for n in range(60):
        bad = bytearray(good)
        for _ in range(rand.randrange(1, 4)):
            where = rand.choice((at + rand.randrange(24), directory + rand.randrange(64), table + rand.randrange(8)))
            bad[where] = rand.choice((0, 1, 255, rand.randrange(256)))
        with open(path("bad.qcow2"), "wb") as f:
            f.write(bad)
        for args in (("info",), ("map",), ("check",), ("resize", "-q")):
            done = subprocess.run([TOOL, *args, "bad.qcow2", *(("9M",) if args[0] == "resize" else ())], cwd=FOLDER,
                                  capture_output=True, timeout=WAIT, check=False)
            assert 0 <= done.returncode < 64, (n, args, done)


def bits(name, bitmap):
    """What an emulator says of an image's bitmap."""
    with Disk(name, "read-only=on") as q:
        return dict((b["name"], b) for n in q.ok("query-named-block-nodes", flat=True) if n["node-name"] == "n"
                    for b in n.get("dirty-bitmaps", []))[bitmap]


def told(tool, name):
    data = json.loads(run(tool, "info", "--output=json", name))["format-specific"]["data"]
    return sorted((b["name"], b["granularity"], sorted(b["flags"])) for b in data.get("bitmaps", []))


def the_tool_makes_and_changes_them():
    for mine, other in ((TOOL, "qemu-img"), ("qemu-img", TOOL)):
        run(TOOL, "create", "-q", "-f", "qcow2", "t.qcow2", "4M")
        run(mine, "bitmap", "--add", "-g", "128k", "t.qcow2", "a")
        run(mine, "bitmap", "--add", "--disable", "t.qcow2", "b")
        assert told(mine, "t.qcow2") == told(other, "t.qcow2") == [("a", 131072, ["auto"]), ("b", 65536, [])]
        run("qemu-io", "-c", "write 1M 256k", "t.qcow2")
        run(mine, "bitmap", "--merge", "a", "t.qcow2", "b")
        got = [bits("t.qcow2", b)["count"] for b in "ab"]
        assert got == [262144, 262144], (mine, got)
        run(mine, "bitmap", "--clear", "--disable", "t.qcow2", "a")
        assert bits("t.qcow2", "a")["count"] == 0 and not bits("t.qcow2", "a")["recording"]
        run(mine, "bitmap", "--enable", "t.qcow2", "a")
        run(TOOL, "create", "-q", "-f", "qcow2", "u.qcow2", "4M")
        run(mine, "bitmap", "--add", "u.qcow2", "c")
        run(mine, "bitmap", "--merge", "b", "-b", "t.qcow2", "-F", "qcow2", "u.qcow2", "c")
        assert bits("u.qcow2", "c")["count"] == 262144
        run(mine, "bitmap", "--remove", "t.qcow2", "b")
        assert told(other, "t.qcow2") == [("a", 131072, ["auto"])]
        run(other, "check", "-q", "t.qcow2")
    for args, word in ((("t.qcow2", "a"), "--add"), (("--add", "t.qcow2"), "name"), (("--clear", "t.qcow2", "x"), "'x'"),
                       (("--add", "t.qcow2", "a"), "a"), (("--add", "-g", "1000", "t.qcow2", "n"), "granularity"),
                       (("--clear", "-g", "4k", "t.qcow2", "a"), "--add"), (("--add", "-b", "u", "t.qcow2", "n"), "--merge"),
                       (("--merge", "none", "t.qcow2", "a"), "none")):
        assert word in run(TOOL, "bitmap", *args, status=1), args
    assert told(TOOL, "t.qcow2") == [("a", 131072, ["auto"])]


def copies_take_them_along():
    run(TOOL, "create", "-q", "-f", "qcow2", "from.qcow2", "4M")
    run(TOOL, "bitmap", "--add", "-g", "32k", "from.qcow2", "a")
    run("qemu-io", "-c", "write 64k 96k", "from.qcow2")
    run(TOOL, "bitmap", "--disable", "from.qcow2", "a")
    run(TOOL, "bitmap", "--add", "from.qcow2", "b")
    run(TOOL, "convert", "-O", "qcow2", "--bitmaps", "from.qcow2", "to.qcow2")
    assert told(TOOL, "to.qcow2") == told("qemu-img", "to.qcow2") == told(TOOL, "from.qcow2")
    assert bits("to.qcow2", "a")["count"] == 98304 and bits("to.qcow2", "b")["count"] == 0
    run("qemu-img", "compare", "-q", "from.qcow2", "to.qcow2")
    run(TOOL, "convert", "-O", "qcow2", "from.qcow2", "to.qcow2")
    assert told(TOOL, "to.qcow2") == []
    with Disk("from.qcow2") as q:
        q.write((0, K))
        q.process.kill()
        q.process.wait()
    said = run(TOOL, "convert", "-O", "qcow2", "--bitmaps", "from.qcow2", "to.qcow2", status=1)
    assert "inconsistent" in said and "--skip-broken-bitmaps" in said, said
    run(TOOL, "convert", "-O", "qcow2", "--bitmaps", "--skip-broken-bitmaps", "from.qcow2", "to.qcow2")
    assert "b" not in [name for name, _, _ in told(TOOL, "to.qcow2")]
    assert "--bitmaps" in run(TOOL, "convert", "--skip-broken-bitmaps", "from.qcow2", "x", status=1)
    assert "one image" in run(TOOL, "convert", "--bitmaps", "from.qcow2", "from.qcow2", "x", status=1)


tap.run([what_is_written_stands_in_the_image, those_of_others_are_kept_up_to_date, a_kill_leaves_them_marked,
         who_cannot_keep_them_says_so, damaged_ones_do_no_harm,
         the_tool_makes_and_changes_them, copies_take_them_along])
