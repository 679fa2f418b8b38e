# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Disks as users and management tools meet them: options, what is refused and how, images that are in use, full
disks, processes that are killed, media that change. A device for tests (tests/module/block/probe.c) sends
the requests. Usage: test-drives.py SOURCE-ROOT BUILD-ROOT FOLDER-OF-TEST-MODULES
"""
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

SOURCE, BUILD, MODULES = sys.argv[1:4]
os.environ["BACKPLANE_BUILD"] = BUILD
sys.path.insert(0, os.path.join(SOURCE, "tests", "house"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "qtest"))
import tap  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")


def folder_with_direct_io():
    """Where images can be opened with O_DIRECT: not on every tmpfs; the build is somewhere else, maybe."""
    for where in (None, BUILD):
        folder = tap.work_folder("drives", where)
        try:
            os.close(os.open(os.path.join(folder, "try"), os.O_RDWR | os.O_CREAT | os.O_DIRECT))
            break
        except OSError:
            pass
    return folder


WORK = folder_with_direct_io()
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))
READ, WRITE, FLUSH, DISCARD, ZEROES = range(5)
BASE = 0x5D0


def image(name, size=1 << 20, byte=None):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        if byte is None:
            f.truncate(size)
        else:
            f.write(bytes([byte]) * size)
    return path


def machine(*args):
    return QTest(["-module-dir", MODULES, "-M", "pc", *args])


class Disk:
    """The test device at its ports."""

    def __init__(self, q, base=BASE):
        self.q, self.base = q, base

    def start(self, op, sector=0, sectors=1, word=0):
        self.q.outl(self.base + 12, word)
        self.q.outl(self.base + 8, sectors)
        self.q.outl(self.base + 4, sector)
        self.q.outl(self.base, op)

    def flying(self):
        return self.q.inl(self.base)

    def wait(self):
        end = time.monotonic() + 30 * SLOW
        while self.flying():
            assert time.monotonic() < end, "a request does not end"
            time.sleep(0.001)
        return self.q.inl(self.base + 4)

    def do(self, op, sector=0, sectors=1, word=0):
        self.start(op, sector, sectors, word)
        return self.wait()

    def read(self, sector):
        assert self.do(READ, sector) == 0
        return self.q.inl(self.base + 8)


def hmp(q, line):
    return q.qmp("human-monitor-command", {"command-line": line})


def event(q, name):
    end = time.monotonic() + 30 * SLOW
    while True:
        for e in q.events:
            if e["event"] == name:
                q.events.remove(e)
                return e["data"] if "data" in e else {}
        assert time.monotonic() < end, "no event %s" % name
        q.qmp("query-status")
        time.sleep(0.005)


def run(*args):
    return subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-S", *args],
                          capture_output=True, text=True, timeout=60 * SLOW, stdin=subprocess.DEVNULL, check=False)


def refused(*args, names):
    done = run(*args)
    lines = [line for line in done.stderr.strip().splitlines() if "warning:" not in line]
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    for name in names:
        assert name in lines[0], (name, lines[0])
    return lines[0]


def word_at(path, sector):
    with open(path, "rb") as f:
        f.seek(sector * 512)
        return struct.unpack("<I", f.read(4))[0]


# ---- options ----

def a_drive_is_opened_and_listed():
    path = image("a,b.img")
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path.replace(",", ",,"),
                 "-device", "disk-probe,drive=d,id=p") as q:
        (info,) = q.qmp("query-block")
        assert info["device"] == "d" and info["qdev"] == "p" and not info["removable"], info
        assert info["inserted"]["file"] == path and info["inserted"]["drv"] == "raw", info
        assert info["inserted"]["image"]["virtual-size"] == 1 << 20, info
        disk = Disk(q)
        assert disk.do(WRITE, 5, 2, 0x11223344) == 0 and disk.read(6) == 0x11223344
        (stats,) = q.qmp("query-blockstats")
        assert stats["stats"]["wr_operations"] == 1 and stats["stats"]["wr_bytes"] == 1024, stats
        assert stats["stats"]["rd_bytes"] == 512 and stats["parent"]["stats"]["wr_highest_offset"] == 7 * 512, stats
        assert "d (#block" in hmp(q, "info block") and path in hmp(q, "info block")
        assert "wr_bytes=1024" in hmp(q, "info blockstats")
    assert word_at(path, 5) == 0x11223344


def blockdevs_are_made_of_text_and_json():
    path = image("b.img")
    documented = ("-blockdev", "driver=file,node-name=disk_file,filename=%s" % path,
                  "-blockdev", "driver=raw,node-name=disk,file=disk_file")
    nested = ("-blockdev", "driver=raw,node-name=disk,file.driver=file,file.filename=%s" % path)
    typed = ("-blockdev", json.dumps({"driver": "raw", "node-name": "disk",
                                      "file": {"driver": "file", "filename": path}}))
    for args in (documented, nested, typed):
        with machine(*args, "-device", "disk-probe,drive=disk") as q:
            assert Disk(q).do(WRITE, 1, 1, 7) == 0
            nodes = q.qmp("query-named-block-nodes", {"flat": True})
            assert sorted(n["drv"] for n in nodes) == ["file", "raw"], nodes
            (info,) = q.qmp("query-block")
            assert info["device"] == "" and info["inserted"]["node-name"] == "disk", info


def wrong_options_are_one_line():
    path = image("w.img")
    for args, names in (
            (("-drive", "file=/nonexistent/x,if=none"), ("-drive", "/nonexistent/x", "No such file")),
            (("-drive", "file=%s,if=foo" % path), ("if=foo", "virtio")),
            (("-drive", "file=%s,if=none,cache=foo" % path), ("cache=foo", "writethrough")),
            (("-drive", "file=%s,if=none,format=replication" % path), ("replication", "not built")),
            (("-drive", "file=%s,if=none,format=rwa" % path), ("rwa", "raw")),
            (("-drive", "file=%s,if=none,werror=foo" % path), ("werror=foo", "enospc")),
            (("-drive", "file=%s,if=none,rerror=enospc" % path), ("rerror=enospc", "stop")),
            (("-drive", "file=%s,if=none,media=tape" % path), ("media=tape", "cdrom")),
            (("-drive", "file=%s,if=none,aio=foo" % path), ("foo", "io_uring")),
            (("-drive", "file=%s,if=none,aio=native,format=raw" % path), ("aio=native",)),
            (("-drive", "file=%s,if=none,index=1,unit=1" % path), ("index=",)),
            (("-drive", "file=%s,if=none,serial=x" % path), ("serial", "-device")),
            (("-drive", "file=%s,format=raw,if=none,blah=1" % path), ("blah",)),
            (("-drive", "file=%s,format=raw,if=none,discard=maybe" % path), ("discard", "unmap")),
            (("-drive", "file=%s,format=raw,if=none,detect-zeroes=unmap" % path), ("discard=unmap",)),
            (("-drive", "file=%s,if=none,bps=1,bps_rd=1,format=raw" % path), ("bps",)),
            (("-drive", "file=nbd://localhost:1,if=none"), ("nbd", "refused")),
            (("-drive", "file=sheepdog:x,if=none"), ("sheepdog", "not built")),
            (("-drive", "file=%s,if=none,format=raw" % WORK), ("directory",)),
            (("-hda", path, "-drive", "file=%s,index=0" % path), ("index=0",)),
            (("-hdc", path, "-cdrom", path), ("-cdrom", "index=2")),
            (("-blockdev", "driver=file,filename=%s" % path), ("-blockdev", "node-name")),
            (("-blockdev", "node-name=n"), ("-blockdev", "driver")),
            (("-blockdev", "driver=raw,node-name=n,file=x"), ("no node 'x'",)),
            (("-blockdev", "driver=null-co,node-name=n", "-blockdev", "driver=null-co,node-name=n"), ("'n'",)),
            (("-drive", "if=none,id=n", "-blockdev", "driver=null-co,node-name=n"), ("n", "drive")),
            (("-blockdev", "driver=file,node-name=n,filename=%s,force-share=on" % path), ("read-only=on",)),
            (("-blockdev", "driver=file,node-name=n,filename=/proc/version,read-only=on,cache.direct=on"),
             ("/proc/version", "cache.direct=on")),
            (("-blockdev", "driver=file,node-name=n,filename=/dev/fdset/1"), ("/dev/fdset/1",))):
        refused("-M", "none", *args, names=names)


def places_that_a_board_lacks_come_with_the_right_line():
    path = image("p.img")
    line = refused("-M", "none", "-drive", "file=%s,format=raw,if=virtio" % path,
                   names=("if=virtio", "if=none,id=", "-device virtio-blk-pci,drive="))
    assert path in line, line
    refused("-M", "none", "-drive", "file=%s,format=raw" % path, names=("if=ide", "-device ide-hd,drive=ide0-hd0"))
    refused("-M", "none", "-fda", path, names=("if=floppy", "-device floppy,drive=floppy0"))


def options_put_drives_in_their_places():
    a, b, c, d = (image("place-%s.img" % name, 1440 << 10) for name in "abcd")

    def places(*args):
        with QTest(["-M", "pc", *args]) as q:
            reply = q.qmp("query-block")
            assert all("qdev" in info for info in reply), reply
            return {info["device"]: info.get("inserted", {}).get("file") for info in reply}
    assert places("-hda", a, "-hdb", b, "-hdc", c, "-hdd", d) == {
        "ide0-hd0": a, "ide0-hd1": b, "ide1-hd0": c, "ide1-hd1": d}
    assert places("-drive", "file=" + a, "-drive", "file=" + b) == {"ide0-hd0": a, "ide0-hd1": b}
    assert places(a) == {"ide0-hd0": a}
    assert places("-fda", a, "-fdb", b) == places("-drive", "file=%s,index=0,if=floppy" % a, "-drive",
                                                  "file=%s,index=1,if=floppy" % b) == {"floppy0": a, "floppy1": b}
    assert places("-drive", "file=%s,if=ide,index=3,media=disk" % a) == {"ide1-hd1": a}
    assert places("-drive", "file=%s,bus=1,unit=1" % a, "-drive", "file=%s,index=1" % b) == {
        "ide0-hd1": b, "ide1-hd1": a}
    assert places("-cdrom", a) == places("-drive", "file=%s,index=2,media=cdrom" % a) == {"ide1-cd0": a}
    assert places("-drive", "file=%s,if=ide,index=1,media=cdrom" % a) == {"ide0-cd1": a}
    with QTest(["-M", "pc", "-drive", "if=ide,index=1,media=cdrom"]) as q:
        (info,) = q.qmp("query-block")
        assert info["device"] == "ide0-cd1" and info["removable"] and "inserted" not in info, info
        assert hmp(q, "change ide0-cd1 %s raw" % a) == ""
        (info,) = q.qmp("query-block")
        assert info["inserted"]["file"] == a and info["inserted"]["ro"], info
        assert hmp(q, "eject ide0-cd1") == ""


def a_probed_raw_image_is_warned_of():
    path = image("probe.img")
    with machine("-drive", "file=%s,if=none,id=d" % path) as q:
        errors = q.errors()
        assert "warning" in errors and "'d'" in errors and "format=raw" in errors and path in errors, errors
    with machine("-drive", "file=%s,if=none,id=d,format=raw" % path) as q:
        assert "warning" not in q.errors(), q.errors()
    # A machine that is refused says why, and nothing else.
    done = run("-M", "none", "-drive", "file=%s" % path)
    assert "warning" not in done.stderr, done


def flags_of(q, path):
    folder = "/proc/%d/" % q.process.pid
    for fd in os.listdir(folder + "fd"):
        try:
            if os.readlink(folder + "fd/" + fd) == path:
                with open(folder + "fdinfo/" + fd) as f:
                    flags = [int(line.split()[1], 8) for line in f if line.startswith("flags:")][0]
                if flags & os.O_ACCMODE == os.O_RDWR:
                    return flags
        except OSError:
            pass
    return None


def cache_modes_reach_the_host():
    path, log = image("c.img"), image("c.log", 0)
    for mode, writeback, direct, no_flush in (("writeback", True, False, False), ("none", True, True, False),
                                              ("writethrough", False, False, False),
                                              ("directsync", False, True, False), ("unsafe", True, False, True)):
        with machine("-drive", "file=%s,format=raw,if=none,id=d,cache=%s" % (path, mode),
                     "-device", "disk-probe,drive=d") as q:
            (info,) = q.qmp("query-block")
            assert info["inserted"]["cache"] == {"writeback": writeback, "direct": direct, "no-flush": no_flush}, info
            assert bool(flags_of(q, path) & os.O_DIRECT) == direct, mode
    for mode, flags in (("writeback", 0), ("none", 0), ("writethrough", 2), ("directsync", 2)):
        image("c.log", 0)
        with machine("-drive", "driver=blklogwrites,file.driver=file,file.filename=%s,log.driver=file,log.filename=%s,"
                     "if=none,id=d,cache=%s" % (path, log, mode), "-device", "disk-probe,drive=d") as q:
            assert Disk(q).do(WRITE, 3, 1, 9) == 0
        with open(log, "rb") as f:
            f.seek(512)
            assert struct.unpack("<QQQ", f.read(24)) == (3, 1, flags), mode
    for write_cache, flags in (("on", 0), ("off", 2)):
        image("c.log", 0)
        with machine("-blockdev", json.dumps({"driver": "blklogwrites", "node-name": "w",
                                              "file": {"driver": "file", "filename": path},
                                              "log": {"driver": "file", "filename": log}}),
                     "-device", "disk-probe,drive=w,write-cache=%s" % write_cache) as q:
            assert Disk(q).do(WRITE, 3, 1, 9) == 0
        with open(log, "rb") as f:
            f.seek(512)
            assert struct.unpack("<QQQ", f.read(24)) == (3, 1, flags), write_cache


def flushes_reach_the_disk_unless_told_not_to():
    """What the host's kernel is asked for while a guest flushes, seen from outside."""
    path, seen = image("c.img"), os.path.join(WORK, "calls")
    blockdev = '{"driver":"file","node-name":"n","filename":"%s","cache":{"no-flush":%s}}'
    for args, wanted in ((("-drive", "file=%s,format=raw,if=none,id=n,cache=writeback" % path), True),
                         (("-drive", "file=%s,format=raw,if=none,id=n,cache=unsafe" % path), False),
                         (("-blockdev", blockdev % (path, "false")), True), (("-blockdev", blockdev % (path, "true")), False)):
        with machine(*args, "-device", "disk-probe,drive=n") as q:
            with subprocess.Popen(["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,pwrite64,pwritev,pwritev2",
                                   "-o", seen, "-p", str(q.process.pid)], stderr=subprocess.PIPE, text=True) as tracer:
                said = tracer.stderr.readline()
                if "attached" not in said:
                    raise tap.Skip(said.strip())
                for sector in range(3):
                    assert Disk(q).do(WRITE, sector, 1, sector) == 0 and Disk(q).do(FLUSH) == 0
                tracer.send_signal(signal.SIGINT)
                tracer.wait(30 * SLOW)
        with open(seen, encoding="utf-8", errors="replace") as f:
            calls = f.read()
        assert calls.count("pwrite") >= 3, calls
        assert calls.count("sync(") >= 3 if wanted else "sync(" not in calls, (args, calls)


def each_way_to_the_kernel_serves_a_drive():
    """A way that the host lacks is refused in words; whether it does is asked of the host."""
    libc, path = ctypes.CDLL(None, use_errno=True), image("way.img")
    context, parameters = ctypes.c_ulong(0), ctypes.create_string_buffer(120)
    for way, number, more in (("threads", None, ()), ("native", 206, (ctypes.byref(context),)),
                              ("io_uring", 425, (parameters,))):
        keys = "file=%s,format=raw,if=none,id=d,cache=none,aio=%s" % (path, way)
        module = {"native": "block-aio-native", "io_uring": "block-aio-uring"}.get(way)
        if module and (not os.path.exists(os.path.join(BUILD, "modules", module + ".so")) or
                       libc.syscall(number, 1, *more) < 0):
            refused("-M", "none", "-drive", keys, names=("aio=" + way,))
            continue
        with machine("-drive", keys, "-device", "disk-probe,drive=d") as q:
            disk = Disk(q)
            for i in range(1, 20):
                assert disk.do(WRITE, i * 9, 4, i) == 0 and disk.read(i * 9 + 3) == i, (way, i)
            assert disk.do(FLUSH) == 0
        assert [word_at(path, i * 9) for i in range(1, 20)] == list(range(1, 20)), way
        image("way.img")


# ---- images in use ----

def an_image_in_use_names_the_process():
    path = image("use.img")
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d") as q:
        again = ("-module-dir", MODULES, "-M", "pc", "-drive", "file=%s,format=raw,if=none,id=d" % path)
        line = refused(*again, "-device", "disk-probe,drive=d",
                       names=("lock", path, "process %d (backplane" % q.process.pid, "-snapshot", "overlay"))
        assert "\n" not in line
        if shutil.which("qemu-io"):  # another program that locks images
            done = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 512", path], capture_output=True, text=True,
                                  check=False)
            assert done.returncode == 1 and "lock" in done.stderr, done
    with machine("-snapshot", "-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d"):
        with machine("-snapshot", "-drive", "file=%s,format=raw,if=none,id=d" % path,
                     "-device", "disk-probe,drive=d") as q:
            assert Disk(q).do(WRITE, 0, 1, 1) == 0


def two_users_of_a_drive_are_both_named():
    path = image("two.img")
    line = refused("-module-dir", MODULES, "-M", "pc", "-blockdev",
                   "driver=file,node-name=n,filename=%s" % path, "-device", "disk-probe,drive=n,id=one",
                   "-device", "disk-probe,drive=n,id=two,iobase=0x640", names=("'n'", "one", "two", "share-rw"))
    assert line
    refused("-module-dir", MODULES, "-M", "pc", "-drive", "file=%s,format=raw,if=none,id=d" % path, "-device",
            "disk-probe,drive=d,id=one", "-device", "disk-probe,drive=d,id=two,iobase=0x640", names=("'d'", "one"))


def read_only_images_are_never_written():
    path = image("ro.img", byte=3)
    with machine("-blockdev", "driver=file,node-name=n,filename=%s,read-only=on" % path) as q:
        reply = q.qmp("query-named-block-nodes")
        assert reply[0]["ro"], reply
    refused("-module-dir", MODULES, "-M", "pc", "-blockdev", "driver=file,node-name=n,filename=%s,read-only=on" % path,
            "-device", "disk-probe,drive=n", names=("'n'", "read-only"))


# ---- snapshots ----

def snapshots_leave_the_image_alone_until_commit():
    path = image("snap.img", byte=0x21)
    for args in (("-snapshot", "-drive", "file=%s,format=raw,if=none,id=d" % path),
                 ("-drive", "file=%s,format=raw,if=none,id=d,snapshot=on" % path)):
        with machine(*args, "-device", "disk-probe,drive=d") as q:
            disk = Disk(q)
            assert disk.do(WRITE, 7, 8, 0x01020304) == 0 and disk.read(7) == 0x01020304
            assert disk.read(6) == 0x21212121
            assert disk.do(FLUSH) == 0
        with open(path, "rb") as f:
            assert f.read() == b"\x21" * (1 << 20)
    with machine("-snapshot", "-drive", "file=%s,format=raw,if=none,id=d" % path, "-device",
                 "disk-probe,drive=d") as q:
        assert Disk(q).do(WRITE, 7, 8, 0x01020304) == 0
        assert hmp(q, "commit all") == ""
        assert word_at(path, 14) == 0x01020304 and word_at(path, 15) == 0x21212121
        assert Disk(q).do(WRITE, 7, 1, 5) == 0
    assert word_at(path, 7) == 0x01020304


def escape_s_saves_what_snapshot_keeps_apart():
    path, where = image("key.img", byte=0x21), os.path.join(WORK, "key.sock")
    with machine("-snapshot", "-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d",
                 "-chardev", "socket,id=line,path=%s,server=on,wait=off,mux=on" % where, "-serial", "chardev:line") as q, \
            socket.socket(socket.AF_UNIX) as line:
        line.connect(where)
        assert Disk(q).do(WRITE, 7, 8, 0x01020304) == 0
        line.sendall(b"s\x01h")
        line.settimeout(30 * SLOW)
        said = b""
        while b"C-a C-a" not in said:
            said += line.recv(4096)
        assert b"C-a s " in said and word_at(path, 7) == 0x21212121, said
        line.sendall(b"\x01s")
        end = time.monotonic() + 30 * SLOW
        while word_at(path, 14) != 0x01020304:
            assert time.monotonic() < end, "it was not written back"
            time.sleep(0.05)
        assert Disk(q).do(WRITE, 1, 1, 5) == 0
    assert word_at(path, 1) == 0x21212121 and word_at(path, 15) == 0x21212121


def escape_s_holds_up_nobody():
    """The image is another machine's, which stands still for a while."""
    path, there, where = image("slow.img", byte=0x21), os.path.join(WORK, "slow.nbd"), os.path.join(WORK, "slow.sock")
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path) as server:
        server.qmp("nbd-server-start", {"addr": {"type": "unix", "data": {"path": there}}})
        server.qmp("nbd-server-add", {"device": "d", "name": "d", "writable": True})
        with machine("-snapshot", "-drive", "file=nbd+unix:///d?socket=%s,format=raw,if=none,id=d" % there, "-device",
                     "disk-probe,drive=d", "-chardev", "socket,id=line,path=%s,server=on,wait=off,mux=on" % where,
                     "-serial", "chardev:line") as q, socket.socket(socket.AF_UNIX) as line:
            line.connect(where)
            line.settimeout(30 * SLOW)
            assert Disk(q).do(WRITE, 7, 8, 0x01020304) == 0
            server.process.send_signal(signal.SIGSTOP)
            line.sendall(b"\x01s\x01s\x01h")
            said = b""
            while b"C-a C-a" not in said:
                said += line.recv(4096)
            assert q.qmp("query-status")["status"]
            assert word_at(path, 7) == 0x21212121
            server.process.send_signal(signal.SIGCONT)
            end = time.monotonic() + 60 * SLOW
            while word_at(path, 14) != 0x01020304:
                assert time.monotonic() < end, "it was not written back"
                time.sleep(0.05)


def drives_may_go_while_all_are_committed():
    path, there, where = image("go.img", byte=0x21), os.path.join(WORK, "go.nbd"), os.path.join(WORK, "go.sock")
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path) as server:
        server.qmp("nbd-server-start", {"addr": {"type": "unix", "data": {"path": there}}})
        server.qmp("nbd-server-add", {"device": "d", "name": "d", "writable": True})
        drives = []
        for name in "abc":
            top = os.path.join(WORK, "go-%s.qcow2" % name)
            subprocess.run([os.path.join(BUILD, "backplane-img"), "create", "-q", "-f", "qcow2", "-u", "-b",
                            "nbd+unix:///d?socket=" + there, "-F", "raw", top, "1M"], check=True)
            drives += ["-drive", "file=%s,if=none,id=%s" % (top, name)]
        with machine(*drives, "-chardev", "socket,id=m,path=%s,server=on,wait=off" % where, "-mon", "chardev=m") as q, \
                socket.socket(socket.AF_UNIX) as line:
            line.connect(where)
            line.settimeout(30 * SLOW)
            server.process.send_signal(signal.SIGSTOP)
            line.sendall(b"commit all\n")
            threading.Timer(0.5, server.process.send_signal, (signal.SIGCONT,)).start()
            for name in "bca":
                hmp(q, "drive_del " + name)
            line.sendall(b"info status\n")
            said = b""
            while b"VM status" not in said:
                said += line.recv(4096)
            assert hmp(q, "info block") == "", hmp(q, "info block")


# ---- errors ----

def debug(path, *rules, **more):
    return ("-blockdev", json.dumps({"driver": "raw", "node-name": "n", "file": {
        "driver": "blkdebug", "inject-error": list(rules), "image": {"driver": "file", "filename": path}}, **more}))


def a_full_disk_pauses_the_machine_until_cont():
    path = image("full.img")
    rule = {"event": "write_aio", "errno": 28, "once": True}
    with machine(*debug(path, rule), "-device", "disk-probe,drive=n,id=p") as q:
        q.qmp("cont")
        disk = Disk(q)
        disk.start(WRITE, 1, 1, 0x77)
        data = event(q, "BLOCK_IO_ERROR")
        assert data["action"] == "stop" and data["nospace"] and data["operation"] == "write", data
        assert data["node-name"] == "n" and data["reason"] and data["qom-path"].endswith("/p"), data
        event(q, "STOP")
        assert q.qmp("query-status")["status"] == "io-error"
        (info,) = q.qmp("query-block")
        assert info["io-status"] == "nospace", info
        assert disk.flying() == 1
        q.qmp("cont")
        assert disk.wait() == 0
        (info,) = q.qmp("query-block")
        assert info["io-status"] == "ok", info
    assert word_at(path, 1) == 0x77


def fill_until_it_is_full(q, disk):
    count = 0
    while q.qmp("query-status")["status"] != "io-error":
        assert count < 64
        disk.start(WRITE, count * 128, 128, count + 1)
        count += 1
        end = time.monotonic() + 60 * SLOW
        while disk.flying() and q.qmp("query-status")["status"] != "io-error":
            assert time.monotonic() < end, "a request does not end"
            time.sleep(0.001)
    return count


def a_file_system_that_is_full_loses_nothing_either():
    folder = os.path.join(WORK, "full")
    os.makedirs(folder)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True,
                      check=False).returncode != 0:
        raise tap.Skip("no file system may be mounted here")
    try:
        path, ballast = image("full/disk.img", 4 << 20), image("full/ballast", 600000, byte=1)
        with machine("-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d") as q:
            q.qmp("cont")
            disk = Disk(q)
            count = fill_until_it_is_full(q, disk)
            data = event(q, "BLOCK_IO_ERROR")
            assert data["nospace"] and data["action"] == "stop", data
            os.truncate(ballast, 0)
            q.qmp("cont")
            assert disk.wait() == 0
            for i in range(count):
                assert disk.read(i * 128) == i + 1, (i, count)
    finally:
        subprocess.run(["umount", folder], check=True)


def errors_are_reported_ignored_or_stop_the_machine():
    path = image("err.img")
    for keys, op, error, expected, action in (
            ("", WRITE, 5, 5, "report"), ("", READ, 5, 5, "report"), (",werror=ignore", WRITE, 5, 0, "ignore"),
            (",rerror=ignore", READ, 5, 0, "ignore"), (",werror=report", WRITE, 28, 28, "report"),
            (",werror=stop", WRITE, 5, None, "stop"), (",rerror=stop", READ, 5, None, "stop")):
        rule = {"event": "write_aio" if op == WRITE else "read_aio", "errno": error, "once": True}
        with machine(*debug(path, rule), "-device", "disk-probe,drive=n" + keys) as q:
            q.qmp("cont")
            disk = Disk(q)
            disk.start(op, 1)
            data = event(q, "BLOCK_IO_ERROR")
            assert data["action"] == action, (keys, data)
            if expected is None:
                event(q, "STOP")
                q.qmp("cont")
                assert disk.wait() == 0
            else:
                assert disk.wait() == expected, keys


def any_request_may_fail_and_none_hangs():
    path = image("nth.img")
    for nth in range(0, 50):
        rule = {"event": "none", "skip": nth, "once": True}
        with machine(*debug(path, rule), "-device", "disk-probe,drive=n") as q:
            disk, errors = Disk(q), 0
            for i in range(10):
                for op in (WRITE, READ, FLUSH, ZEROES):
                    errors += disk.do(op, i * 3, 1 + i % 4, i) != 0
            assert errors == (1 if nth < 40 else 0), (nth, errors)


def killing_the_process_loses_nothing_that_was_flushed():
    path, rng = image("kill.img"), random.Random(4711)
    expected = {}
    for _ in range(25):
        q = machine("-drive", "file=%s,format=raw,if=none,id=d,aio=threads" % path, "-device", "disk-probe,drive=d")
        try:
            disk, pending = Disk(q), {}
            for sector, word in expected.items():
                assert disk.read(sector) == word, sector
            for i in range(rng.randrange(1, 12)):
                sector, word = rng.randrange(2000), rng.randrange(1 << 32)
                assert disk.do(WRITE, sector, 1, word) == 0
                pending[sector] = word
                if rng.randrange(3) == 0:
                    assert disk.do(FLUSH) == 0
                    expected.update(pending)
                    pending = {}
            for i in range(rng.randrange(20)):
                disk.start(WRITE, 2001 + i, 1, 1)
            # What was overwritten and not flushed may be either.
            for sector in pending:
                expected.pop(sector, None)
        finally:
            q.process.send_signal(signal.SIGKILL)
            q.process.wait()
            q.close()
    for sector, word in expected.items():
        assert word_at(path, sector) == word, sector


def signals_end_with_everything_written():
    """What the guest wrote and never flushed, data and metadata of an image that has both."""
    if not shutil.which("qemu-img"):
        raise tap.Skip("qemu-img is missing")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        path, raw = os.path.join(WORK, "signal.qcow2"), os.path.join(WORK, "signal.raw")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
        q = machine("-drive", "file=%s,format=qcow2,if=none,id=d,cache=writeback" % path, "-device", "disk-probe,drive=d")
        try:
            for i in range(40):
                assert Disk(q).do(WRITE, i * 700, 1, 0x1000 + i) == 0
            q.process.send_signal(number)
            assert q.process.wait(30 * SLOW) == 0
        finally:
            if q.process.poll() is None:
                q.process.kill()
            q.close()
        subprocess.run(["qemu-img", "check", "-q", path], check=True)
        subprocess.run(["qemu-img", "convert", "-O", "raw", path, raw], check=True)
        for i in range(40):
            assert word_at(raw, i * 700) == 0x1000 + i, (number, i)


# ---- media ----

def media_come_and_go():
    first, second = image("m1.img", byte=1), image("m2.img", byte=2)
    with machine("-drive", "if=none,id=cd", "-device", "disk-probe,removable=on,drive=cd,id=p") as q:
        disk = Disk(q)
        (info,) = q.qmp("query-block")
        assert info["removable"] and not info["tray_open"] and "inserted" not in info, info
        assert disk.do(READ) == 123  # ENOMEDIUM
        q.qmp("blockdev-change-medium", {"id": "p", "filename": first, "format": "raw"})
        assert disk.read(0) == 0x01010101
        assert [event(q, "DEVICE_TRAY_MOVED")["tray-open"] for _ in range(2)] == [True, False]
        assert hmp(q, "change cd %s raw" % second) == "" and disk.read(0) == 0x02020202
        q.outl(BASE + 16, 1)  # the guest locks it
        assert "locked" in hmp(q, "eject cd")
        assert disk.read(0) == 0x02020202
        assert hmp(q, "eject -f cd") == "" and disk.do(READ) == 123
        q.qmp("blockdev-add", {"driver": "file", "node-name": "m", "filename": first})
        q.qmp("blockdev-insert-medium", {"id": "p", "node-name": "m"})
        q.qmp("blockdev-close-tray", {"id": "p"})
        assert disk.read(0) == 0x01010101
        q.outl(BASE + 16, 0)
        q.qmp("blockdev-open-tray", {"id": "p"})
        q.qmp("blockdev-remove-medium", {"id": "p"})
        q.qmp("blockdev-del", {"node-name": "m"})


def a_disk_is_made_longer_while_it_is_used():
    path = image("long.img")
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d") as q:
        disk = Disk(q)
        assert disk.do(WRITE, 4000) == 5
        q.qmp("block_resize", {"device": "d", "size": 4 << 20})
        assert disk.do(WRITE, 4000) == 0 and os.path.getsize(path) == 4 << 20
        assert hmp(q, "block_resize d 8M") == "" and os.path.getsize(path) == 8 << 20


def limits_are_set_and_taken_away():
    path = image("lim.img")
    with machine("-drive", "file=%s,format=raw,if=none,id=d,iops=50,bps_wr=1000000,group=g" % path,
                 "-device", "disk-probe,drive=d") as q:
        (info,) = q.qmp("query-block")
        assert info["inserted"]["iops"] == 50 and info["inserted"]["group"] == "g", info
        disk, began = Disk(q), time.monotonic()
        for i in range(20):
            disk.do(WRITE, i)
        assert time.monotonic() - began > 0.2
        none = {"device": "d", **{k: 0 for k in ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")}}
        q.qmp("block_set_io_throttle", none)
        (info,) = q.qmp("query-block")
        assert info["inserted"]["iops"] == 0 and "group" not in info["inserted"], info
        for i in range(300):
            disk.do(WRITE, i)
        q.qmp("block_set_io_throttle", {**none, "bps": 1 << 20, "bps_max": 2 << 20})
        assert q.qmp("query-block")[0]["inserted"]["bps_max"] == 2 << 20


def discards_and_zeroes_give_room_back():
    for keys, freed in (("", False), (",discard=unmap", True), (",discard=on", True), (",discard=off", False)):
        path = image("room.img", byte=5)
        with machine("-drive", "file=%s,format=raw,if=none,id=d%s" % (path, keys),
                     "-device", "disk-probe,drive=d") as q:
            before = os.stat(path).st_blocks
            for sector in range(0, 2048, 128):
                assert Disk(q).do(DISCARD, sector, 128) == 0
            assert (os.stat(path).st_blocks < before / 2) == freed, keys
            assert Disk(q).read(100) == (0 if freed else 0x05050505)
    for keys, freed in (("", False), (",detect-zeroes=on", False), (",discard=unmap,detect-zeroes=unmap", True)):
        path = image("room.img", byte=5)
        with machine("-drive", "file=%s,format=raw,if=none,id=d%s" % (path, keys),
                     "-device", "disk-probe,drive=d") as q:
            before = os.stat(path).st_blocks
            for sector in range(0, 2048, 128):
                assert Disk(q).do(WRITE, sector, 128, 0) == 0
            assert (os.stat(path).st_blocks < before / 2) == freed, keys
            assert Disk(q).read(100) == 0


def drives_of_a_group_share_their_limit():
    def seconds(first, second, count, sectors, op=WRITE):
        with machine("-drive", "file=null-co://,format=null-co,if=none,id=a,%s" % first,
                     "-drive", "file=null-co://,format=null-co,if=none,id=b,%s" % second,
                     "-device", "disk-probe,drive=a", "-device", "disk-probe,drive=b,iobase=0x640") as q:
            began = time.monotonic()
            for i in range(count):
                for base in (BASE, 0x640):
                    assert Disk(q, base).do(op, i, sectors) == 0
            return time.monotonic() - began
    # 60 requests at 100 a second, of which a tenth of a second's come at once.
    assert seconds("iops=100,group=g", "iops=100,group=g", 30, 1) > 0.45
    assert seconds("bps=1000000,group=g", "bps=1000000,group=g", 10, 100) > 0.85  # 1024000 bytes
    assert seconds("iops=100,iops_size=512,group=g", "iops=100,iops_size=512,group=g", 10, 4) > 0.6
    # Limits of one direction hold for it alone: the other would take minutes.
    assert seconds("iops_rd=100,iops_wr=1,group=g", "iops_rd=100,iops_wr=1,group=g", 30, 1, READ) > 0.45
    assert seconds("iops_wr=100,bps_rd=100,group=g", "iops_wr=100,bps_rd=100,group=g", 30, 1) > 0.45
    assert seconds("bps_rd=1000000,iops_wr=1", "bps_rd=1000000,iops_wr=1", 20, 100, READ) > 0.85
    assert seconds("bps_wr=1000000,bps_rd=1", "bps_wr=1000000,bps_rd=1", 20, 100) > 0.85
    # A burst takes them all.
    assert seconds("iops=1,iops_max=1000,group=g", "iops=1,iops_max=1000,group=g", 30, 1) < 30 * SLOW
    assert seconds("bps=1000,bps_max=100000000", "bps=1000,bps_max=100000000", 10, 100) < 30 * SLOW


def a_given_format_is_not_looked_for():
    path = image("fmt.img")
    with open(path, "r+b") as f:
        f.write(b"QFI\xfb\0\0\0\3")
    refused("-M", "none", "-drive", "file=%s,if=none" % path, names=("qcow2", "clusters"))
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d") as q:
        assert Disk(q).read(0) == 0xFB494651
        assert Disk(q).do(WRITE, 0, 1, 0xFB494651) == 0


def blockdevs_are_not_made_temporary():
    path = image("nosnap.img")
    with machine("-snapshot", "-blockdev", "driver=file,node-name=n,filename=%s" % path, "-device",
                 "disk-probe,drive=n") as q:
        assert Disk(q).do(WRITE, 0, 1, 9) == 0
    assert word_at(path, 0) == 9


def read_only_files_are_opened_as_such_when_that_will_do():
    path = image("auto.img")
    os.chmod(path, 0o444)
    unprivileged = {"preexec_fn": lambda: os.setresuid(65534, 65534, 65534)} if os.getuid() == 0 else {}
    os.chmod(WORK, 0o755)

    def started(keys):
        return subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-S", "-M", "none",
                               "-blockdev", "driver=file,node-name=n,filename=%s%s" % (path, keys), "-qmp", "stdio"],
                              input='{"execute": "qmp_capabilities"}{"execute": "query-named-block-nodes"}'
                              '{"execute": "quit"}', capture_output=True, text=True, timeout=60 * SLOW,
                              check=False, **unprivileged)
    probe = subprocess.run([PROGRAM, "-version"], capture_output=True, check=False, **unprivileged)
    if probe.returncode != 0:
        raise tap.Skip("the build is not readable for others")
    assert '"ro": true' in started(",auto-read-only=on").stdout, started(",auto-read-only=on")
    done = started("")
    assert done.returncode == 1 and "Permission denied" in done.stderr, done


def devices_leave_with_requests_in_flight():
    with machine("-drive", "file=null-co://,format=null-co,if=none,id=d,iops=1", "-blockdev",
                 "driver=null-co,node-name=slow,latency-ns=300000000", "-device", "disk-probe,drive=d,id=p",
                 "-device", "disk-probe,drive=slow,id=s,iobase=0x640") as q:
        for base in (BASE, 0x640):
            for i in range(10):
                Disk(q, base).start(WRITE, i)
    path = image("leave.img")
    with machine("-drive", "file=%s,format=raw,if=none,id=d" % path, "-device", "disk-probe,drive=d") as q:
        for i in range(64):
            Disk(q).start(WRITE, i * 16, 16, i)


tap.run([a_drive_is_opened_and_listed, blockdevs_are_made_of_text_and_json, wrong_options_are_one_line,
         options_put_drives_in_their_places, places_that_a_board_lacks_come_with_the_right_line,
         a_probed_raw_image_is_warned_of,
         cache_modes_reach_the_host, each_way_to_the_kernel_serves_a_drive, an_image_in_use_names_the_process, two_users_of_a_drive_are_both_named,
         read_only_images_are_never_written, snapshots_leave_the_image_alone_until_commit,
         escape_s_saves_what_snapshot_keeps_apart, escape_s_holds_up_nobody, drives_may_go_while_all_are_committed,
         flushes_reach_the_disk_unless_told_not_to,
         a_full_disk_pauses_the_machine_until_cont, a_file_system_that_is_full_loses_nothing_either,
         errors_are_reported_ignored_or_stop_the_machine,
         any_request_may_fail_and_none_hangs, killing_the_process_loses_nothing_that_was_flushed,
         signals_end_with_everything_written,
         media_come_and_go, a_disk_is_made_longer_while_it_is_used, limits_are_set_and_taken_away,
         discards_and_zeroes_give_room_back, drives_of_a_group_share_their_limit, a_given_format_is_not_looked_for,
         blockdevs_are_not_made_temporary, read_only_files_are_opened_as_such_when_that_will_do,
         devices_leave_with_requests_in_flight])
