#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""auto-read-only=on, as libvirt gives it to what holds an image's bytes: open for writing only while somebody
writes. What the process has really open is read from /proc.

usage: test-auto-read-only.py SOURCE-ROOT BUILD-ROOT
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
IMG = os.path.join(sys.argv[2], "backplane-img")
WORK = tap.work_folder("auto-read-only")
NOBODY = 65534
SIZE = 1 << 20


def image(name, mode=0o644, owner=None):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.truncate(SIZE)
    os.chmod(path, mode)
    if owner is not None:
        os.chown(path, owner, owner)
    return path


def modes(e, path):
    """How this file is open in the emulator, without the descriptor that only holds locks."""
    folder = "/proc/%d/" % e.process.pid
    found = []
    for fd in os.listdir(folder + "fd"):
        try:
            with open(folder + "fdinfo/" + fd, encoding="ascii") as f:
                info = f.read()
            if os.readlink(folder + "fd/" + fd) == path and "lock:" not in info:
                found.append(int(info.split("flags:")[1].split()[0], 8) & os.O_ACCMODE)
        except FileNotFoundError:
            continue
    return found


def becomes(e, path, mode):
    end = time.monotonic() + 60
    while mode not in modes(e, path) or (mode == os.O_RDONLY and os.O_RDWR in modes(e, path)):
        assert time.monotonic() < end, modes(e, path)
        time.sleep(0.01)


def ok(e, name, **arguments):
    reply = e.command(name, **arguments)
    assert "return" in reply, (name, arguments, reply)
    return reply["return"]


def refused(e, name, **arguments):
    reply = e.command(name, **arguments)
    assert "error" in reply, (name, arguments, reply)
    return reply["error"]["desc"]


def is_read_only(e, node):
    return {n["node-name"]: n["ro"] for n in ok(e, "query-named-block-nodes")}[node]


def machine(path, *more, keys="", user=None):
    return Emulator(PROGRAM, "-M", "pc", "-blockdev", "driver=file,node-name=f,filename=%s,auto-read-only=on%s"
                    % (path, keys), *more, user=user)


def it_is_written_to_only_while_somebody_writes():
    path = image("come.img")
    with machine(path, "-device", "pci-bridge,id=b,chassis_nr=1") as e:
        for _ in range(3):
            becomes(e, path, os.O_RDONLY)
            assert not is_read_only(e, "f")
            ok(e, "nbd-server-start", addr={"type": "unix", "data": {"path": os.path.join(WORK, "nbd")}})
            ok(e, "block-export-add", type="nbd", id="x", **{"node-name": "f"}, writable=False)
            becomes(e, path, os.O_RDONLY)
            ok(e, "block-export-del", id="x")
            e.wait_event("BLOCK_EXPORT_DELETED")
            ok(e, "block-export-add", type="nbd", id="x", **{"node-name": "f"}, writable=True)
            becomes(e, path, os.O_RDWR)
            ok(e, "block-export-del", id="x")
            e.wait_event("BLOCK_EXPORT_DELETED")
            ok(e, "nbd-server-stop")
        becomes(e, path, os.O_RDONLY)
        ok(e, "device_add", driver="virtio-blk-pci", id="d", drive="f")
        becomes(e, path, os.O_RDWR)


def a_format_that_is_reopened_takes_it_along():
    """As libvirt does around a commit into a backing file."""
    path = image("format.img")
    raw = {"driver": "raw", "node-name": "r", "file": "f"}
    with machine(path, "-blockdev", "driver=raw,node-name=r,file=f,read-only=on") as e:
        becomes(e, path, os.O_RDONLY)
        for _ in range(3):
            ok(e, "blockdev-reopen", options=[dict(raw, **{"read-only": False})])
            assert not is_read_only(e, "r")
            ok(e, "device_add", driver="virtio-blk-pci", id="d", drive="r")
            becomes(e, path, os.O_RDWR)
            assert "users that write" in refused(e, "blockdev-reopen", options=[dict(raw, **{"read-only": True})])
            ok(e, "device_del", id="d")
            ok(e, "system_reset")  # qtest's guest lets nothing go
            e.wait_event("DEVICE_DELETED")
            ok(e, "blockdev-reopen", options=[dict(raw, **{"read-only": True})])
            becomes(e, path, os.O_RDONLY)
            assert is_read_only(e, "r")


def a_job_writes_below_and_leaves_it_as_it_was():
    path, above = image("base.img"), os.path.join(WORK, "above.qcow2")
    data = image("data.img")
    with open(data, "r+b") as f:
        f.write(b"\x07" * 65536)
    subprocess.run([IMG, "convert", "-f", "raw", "-O", "qcow2", data, above], check=True, timeout=60)
    with machine(path, "-blockdev", "driver=raw,node-name=r,file=f,read-only=on", "-blockdev",
                 "driver=qcow2,node-name=q,backing=r,file.driver=file,file.filename=" + above) as e:
        ok(e, "block-commit", device="q", **{"job-id": "j"})
        e.wait_event("BLOCK_JOB_READY")
        becomes(e, path, os.O_RDWR)
        ok(e, "block-job-cancel", device="j")
        e.wait_event("BLOCK_JOB_COMPLETED")
        becomes(e, path, os.O_RDONLY)
        assert is_read_only(e, "r")
    with open(path, "rb") as f:
        assert f.read(4) == b"\x07\x07\x07\x07"


def without_leave_it_falls_back_until_there_is_leave():
    if os.getuid() != 0:
        raise tap.Skip("needs root, to run it as somebody else")
    os.chmod(WORK, 0o755)
    path = image("leave.img", 0o444, NOBODY)
    raw = {"driver": "raw", "node-name": "r", "file": "f"}
    with machine(path, "-blockdev", "driver=raw,node-name=r,file=f,read-only=on", user=NOBODY) as e:
        assert is_read_only(e, "f")
        ok(e, "blockdev-reopen", options=[dict(raw, **{"read-only": False})])
        said = refused(e, "device_add", driver="virtio-blk-pci", id="d", drive="r")
        assert "cannot be opened for writing: Permission denied" in said and path in said, said
        assert is_read_only(e, "f")
        os.chmod(path, 0o644)
        ok(e, "device_add", driver="virtio-blk-pci", id="d", drive="r")
        becomes(e, path, os.O_RDWR)
        assert not is_read_only(e, "r") and not is_read_only(e, "f")


def leave_is_looked_for_when_the_file_itself_is_reopened():
    if os.getuid() != 0:
        raise tap.Skip("needs root, to run it as somebody else")
    os.chmod(WORK, 0o755)
    path = image("reopen.img", 0o444, NOBODY)
    options = {"driver": "file", "node-name": "f", "filename": path, "auto-read-only": True}
    with machine(path, user=NOBODY) as e:
        ok(e, "blockdev-reopen", options=[options])
        assert is_read_only(e, "f")
        os.chmod(path, 0o644)
        ok(e, "blockdev-reopen", options=[options])
        assert not is_read_only(e, "f")
        becomes(e, path, os.O_RDONLY)
        ok(e, "blockdev-reopen", options=[dict(options, **{"auto-read-only": False})])
        becomes(e, path, os.O_RDWR)
        ok(e, "blockdev-reopen", options=[dict(options, **{"read-only": True})])
        becomes(e, path, os.O_RDONLY)
        assert is_read_only(e, "f")
        ok(e, "blockdev-reopen", options=[dict(options, **{"read-only": False})])
        os.chmod(path, 0o444)
        said = refused(e, "device_add", driver="virtio-blk-pci", id="d", drive="f")
        assert "Permission denied" in said and path in said, said
        becomes(e, path, os.O_RDONLY)
        os.chmod(path, 0o644)
        ok(e, "device_add", driver="virtio-blk-pci", id="d", drive="f")
        becomes(e, path, os.O_RDWR)


def a_format_falls_back_with_its_file():
    if os.getuid() != 0:
        raise tap.Skip("needs root, to run it as somebody else")
    os.chmod(WORK, 0o755)
    path = image("nested.img", 0o444, NOBODY)
    with Emulator(PROGRAM, "-M", "pc", "-blockdev", "driver=raw,node-name=r,auto-read-only=on,file.driver=file,"
                  "file.filename=" + path, user=NOBODY) as e:
        assert is_read_only(e, "r")
        os.chmod(path, 0o644)
        inner = [n["node-name"] for n in ok(e, "query-named-block-nodes") if n["node-name"] != "r"][0]
        ok(e, "blockdev-reopen", options=[{"driver": "raw", "node-name": "r", "auto-read-only": True,
                                           "file": inner}])
        assert not is_read_only(e, "r")
        ok(e, "device_add", driver="virtio-blk-pci", id="d", drive="r")
        becomes(e, path, os.O_RDWR)


def passed_descriptors_are_taken_as_they_fit():
    path = image("passed.img")
    reads, writes = os.open(path, os.O_RDONLY), os.open(path, os.O_RDWR)
    sets = ["-add-fd", "set=1,fd=%d" % reads, "-add-fd", "set=1,fd=%d" % writes]
    with Emulator(PROGRAM, "-M", "pc", *sets, "-blockdev",
                  "driver=file,node-name=f,filename=/dev/fdset/1,auto-read-only=on", pass_fds=(reads, writes)) as e:
        before = modes(e, path)
        ok(e, "device_add", driver="virtio-blk-pci", id="d", drive="f")
        after = modes(e, path)
        assert after.count(os.O_RDWR) == before.count(os.O_RDWR) + 1, (before, after)
    with Emulator(PROGRAM, "-M", "pc", *sets[:2], "-blockdev",
                  "driver=file,node-name=f,filename=/dev/fdset/1,auto-read-only=on", pass_fds=(reads, writes)) as e:
        assert is_read_only(e, "f")
        ok(e, "blockdev-add", driver="raw", file="f", **{"node-name": "r"})
        said = refused(e, "device_add", driver="virtio-blk-pci", id="d", drive="r")
        assert "cannot be opened for writing" in said, said
    os.close(reads)
    os.close(writes)


tap.run([it_is_written_to_only_while_somebody_writes, a_format_that_is_reopened_takes_it_along,
         a_job_writes_below_and_leaves_it_as_it_was, without_leave_it_falls_back_until_there_is_leave,
         leave_is_looked_for_when_the_file_itself_is_reopened, a_format_falls_back_with_its_file,
         passed_descriptors_are_taken_as_they_fit])
