# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Disk images: backplane-img beside Debian's qemu-img in a folder of this run. For tests whose arguments are the source
and the build folder.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import time

import tap

TOOL = os.path.join(sys.argv[2], "backplane-img")
PEER = shutil.which("qemu-img")
FOLDER = tap.work_folder("images-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0, tool=TOOL):
    done = subprocess.run([tool, *args], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False)
    assert done.returncode == status, (args, done)
    return done.stdout if status == 0 else done.stdout + done.stderr


def peer(*args, status=0):
    if not PEER:
        raise tap.Skip("qemu-img is missing (package qemu-utils)")
    return run(*args, status=status, tool=PEER)


def other(name, *args, status=0):
    """As run(), of a program that a package of Debian's brings."""
    program = shutil.which(name)
    if not program:
        raise tap.Skip(name + " is missing")
    return run(*args, status=status, tool=program)


def raw(name, length, seed, holes=True):
    rand, data = random.Random(seed), bytearray(length)
    for at in range(0, length, 65536):
        kind = rand.randrange(4)
        if kind and holes:
            data[at:at + 65536] = (rand.randbytes(65536) if kind == 1 else bytes([kind]) * 65536)[:length - at]
        elif not holes:
            data[at:at + 65536] = rand.randbytes(min(65536, length - at))
    with open(path(name), "wb") as f:
        f.write(data)
    return bytes(data)


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def patch(name, offset, data):
    """Other bytes at an offset of a file; a negative one counts from its end."""
    with open(path(name), "r+b") as f:
        f.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        f.write(data)


def options(text):
    return ("-o", text) if text else ()


def scatter(form, name, count, step, size, byte):
    """Writes `size` times a byte at every `step`-th."""
    run("bench", "-q", "-t", "unsafe", "-f", form, "-w", "-c", str(count), "-S", str(step), "-s", str(size),
        "--pattern=%d" % byte, name)


def scattered(data, count, step, size, byte):
    for i in range(count):
        data[i * step:i * step + size] = bytes([byte]) * size


# Checks of formats that the peer does not check end with this.
NO_CHECK = 63


def check(name, form):
    """Both tools find no fault in an image."""
    run("check", "-q", "-f", form, name)
    done = subprocess.run([PEER, "check", "-f", form, name], capture_output=True, text=True, timeout=WAIT, cwd=FOLDER,
                          check=False)
    assert done.returncode in (0, NO_CHECK), (form, name, done)


def each_reads_the_other(form, made="", extension=None):
    """A raw disk converted by each tool is what the other reads, also after both have written into it."""
    ours, theirs = ("%s.%s" % (who, extension or form) for who in ("ours", "theirs"))
    length = 6 * 1048576 + 512 * 34  # whole cylinders of 34 sectors, for those that round up to them
    data = raw("from.raw", length, form + made)
    run("convert", "-O", form, *options(made), "from.raw", ours)
    peer("convert", "-O", form, *options(made), "from.raw", theirs)
    sizes = []
    for tool, name in ((peer, ours), (run, theirs)):
        check(name, form)
        tool("convert", "-f", form, "-O", "raw", name, "to.raw")
        got = content("to.raw")
        sizes.append(len(got))
        assert got[:length] == data and not any(got[length:]), (form, made, name)
    assert sizes[0] == sizes[1], (form, made, sizes)
    for name in (ours, theirs):
        scatter(form, name, 40, 155555, 777, 9)
        scatter(form, name, 12, 477777, 77777, 0)
        check(name, form)
    wanted = bytearray(data)
    scattered(wanted, 40, 155555, 777, 9)
    scattered(wanted, 12, 477777, 77777, 0)
    for name in (ours, theirs):
        for tool in (peer, run):
            tool("convert", "-f", form, "-O", "raw", name, "to.raw")
            assert content("to.raw")[:length] == wanted[:length], (form, made, name)
    run("-f", form, "-c", "write -P 7 1000000 300000", "-c", "write -z 4000000 200000", ours,
        tool=shutil.which("qemu-io"))
    wanted[1000000:1300000] = bytes([7]) * 300000
    wanted[4000000:4200000] = bytes(200000)
    run("check", "-q", "-f", form, ours)
    run("convert", "-f", form, "-O", "raw", ours, "to.raw")
    assert content("to.raw")[:length] == wanted[:length], (form, made)
    return ours, theirs


def grows(form, made="", steps=(21 << 20, (200 << 20) + 4096, 700 << 20)):
    """An image of each tool becomes longer, with more tables than there was room for: nothing is lost, what is new is
    zeroes and can be written, and it cannot become shorter."""
    io, name = shutil.which("qemu-io"), "grown." + form
    length = 20 << 20
    for maker in (run, peer):
        data = raw("grown.raw", length, form + made)
        maker("convert", "-f", "raw", "-O", form, *options(made), "grown.raw", name)
        have = json.loads(peer("info", "-f", form, "--output=json", name))["virtual-size"]
        assert have >= len(data)
        os.truncate(path("grown.raw"), have)
        for step in steps:
            run("resize", "-q", "-f", form, name, str(step))
            os.truncate(path("grown.raw"), step)
            for tool in (run, peer):
                assert json.loads(tool("info", "-f", form, "--output=json", name))["virtual-size"] == step, (form, made)
                assert "identical" in tool("compare", "-f", "raw", "-F", form, "grown.raw", name), (form, made, step)
            check(name, form)
            scatter(form, name, 9, step // 10, 5000, 7)
            with open(path("grown.raw"), "r+b") as f:
                for i in range(9):
                    f.seek(step // 10 * i)
                    f.write(bytes([7]) * 5000)
            if io:
                for target, kind in ((name, form), ("grown.raw", "raw")):
                    run("-f", kind, "-c", "write -P 9 %d 100000" % (step - 1048576), target, tool=io)
            assert "identical" in peer("compare", "-f", "raw", "-F", form, "grown.raw", name), (form, made, step)
            check(name, form)
        assert "shorter" in run("resize", "-q", "--shrink", "-f", form, name, "1M", status=1)


def killed_writers_leave_it_whole(form, made="", damage=()):
    """kill -9 in the middle of writes: what is found are parts of the file that nobody refers to, at most, or the
    marks that the format wants, and both tools read the same."""
    name = "killed." + form
    for kill in range(2):
        run("create", "-q", "-f", form, *options(made), name, "24M")
        with subprocess.Popen([TOOL, "bench", "-q", "-t", "unsafe", "-f", form, "-w", "-d", "1", "-c", "100000",
                               "-S", "70000", "-s", "5000", "--pattern=7", "--flush-interval=%d" % (3 + kill), name],
                              cwd=FOLDER, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as writer:
            start = os.path.getsize(path(name))
            for _ in range(20000):
                if os.path.getsize(path(name)) > start + (kill << 20) or writer.poll() is not None:
                    break
                time.sleep(0.001)
            writer.kill()
        done = subprocess.run([TOOL, "check", "-r", "all", "-f", form, path(name)], capture_output=True, text=True,
                              timeout=WAIT, check=False)
        assert done.returncode in (0, 3), (form, done)
        for line in done.stderr.splitlines():
            assert line.startswith("Leaked") or any(d in line for d in damage), (form, done)
        check(name, form)
        run("convert", "-f", form, "-O", "raw", name, "one.raw")
        peer("convert", "-f", form, "-O", "raw", name, "two.raw")
        got = content("one.raw")
        assert got == content("two.raw"), form
        assert got.count(0) + got.count(7) == len(got), form
        scatter(form, name, 20, 170000, 5000, 7)
        check(name, form)


def damage_is_refused(form, image, cases):
    """(offset, bytes, word of the message): one field of the header each is another."""
    whole = content(image)
    for offset, data, word in cases:
        for at in offset if isinstance(offset, tuple) else (offset,):
            patch(image, at, data)
        said = run("info", "-f", form, image, status=1)
        assert word in said and "backplane-img: " in said, (form, offset, data, said)
        with open(path(image), "wb") as f:
            f.write(whole)
