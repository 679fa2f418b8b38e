# SPDX-License-Identifier: LGPL-2.1-or-later
"""
backplane-io beside Debian's qemu-io: the same commands print the same, and leave the same disk.
Usage: test-io-tool.py SOURCE-ROOT BUILD-ROOT
"""
import os
import random
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import FOLDER, WAIT, content, path, peer  # noqa: E402

IO = os.path.join(sys.argv[2], "backplane-io")
OTHER = shutil.which("qemu-io")


def fresh():
    for name in ("r.raw", "a.qcow2", "top.qcow2"):
        if os.path.exists(path(name)):
            os.unlink(path(name))
    peer("create", "-q", "-f", "raw", "r.raw", "1536K")
    peer("create", "-q", "-f", "qcow2", "a.qcow2", "4M")
    peer("create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "top.qcow2")


def call(tool, *args, data=None):
    if not tool:
        raise tap.Skip("qemu-io is missing (package qemu-utils)")
    done = subprocess.run([tool, *args], capture_output=True, text=True, timeout=WAIT, input=data or "", cwd=FOLDER,
                          check=False)
    out = re.sub(r"[0-9:.]+( sec)? \(\S+ \S+/sec and \S+ ops/sec\)", "T", done.stdout)
    out = re.sub(r"(?m)^(\d+,1),\d+:\d\d:\d\d\.\d\d,\d+\.\d{3},\d+\.\d{3}$", r"\1,T", out)
    return done.returncode, out.replace("backplane-io", "qemu-io"), done.stderr


def commands(*words):
    return [w for c in words for w in ("-c", c)]


def same(*args, image="a.qcow2", form="qcow2", error=True, data=None):
    """Both say and do the same."""
    seen = []
    for tool in (OTHER, IO):
        fresh()
        seen.append(call(tool, "-f", form, *args, image, data=data))
        disk = path("out%d" % len(seen))
        peer("convert", "-f", form, "-O", "raw", image, disk)
    assert seen[0][:2] == seen[1][:2] and (not error or seen[0][2] == seen[1][2].replace("backplane-io", "qemu-io")), \
        (args, seen)
    assert content("out1") == content("out2"), args


def requests_are_summed_up_alike():
    same(*commands("write -P 7 0 64k", "read -P 7 0 64k", "read -P 8 0 4k", "read -C 0 4k", "write -q 1M 4k",
                   "write -C 5k 3", "aio_write -P 3 2M 64k 1k", "aio_flush", "aio_read 0 512", "aio_flush",
                   "readv -v 0 16 512", "writev 3M 512 512", "writev -P 9 3M 512", "discard 0 64k", "flush", "length",
                   "map", "alloc 0 4M", "alloc 1M 1M", "truncate 8M", "length", "write -z 0 64k", "sleep 10",
                   "read -v 1M 48", "read -v 1048575 20", "read -q -v 0 4", "read 4G 512", "write 8190k 3k"))
    same(*commands("write -c -P 4 0 64k", "write -f -P 5 64k 4k", "write -z 128k 10", "write -z -u 128k 64k",
                   "write 0x200 0x200", "read 1.5k 1", "read 1b 1", "read 0 0", "write 0 0", "length", "map"))
    same(*commands("write -P 2 100 5", "read -v 96 16", "map", "alloc 0", "alloc 100 20", "length"), image="r.raw",
         form="raw")
    same(*commands("map", "write 1M 64k", "map", "alloc 0 4M", "read -P 0 0 64k"), image="top.qcow2")


def patterns_come_from_files_and_are_compared_in_part():
    with open(path("pattern"), "wb") as f:
        f.write(b"abcdef")
    same(*commands("write -s pattern 0 16", "read -v 0 16", "write -s pattern 512 3", "read -v 512 16"))
    assert content("out2")[:20] == b"abcdefabcdefabcd" + bytes(4)
    same(*commands("write -P 0xcd 1M 16", "read -P 0xcd -s 0 -l 16 1M 64", "read -P 0xcd -s 8 -l 16 1M 64",
                   "read -P 7 -s 10 0 20", "read -P 0 -l 5 2M 10"))


def what_is_wrong_is_told_alike():
    for wrong in ("nix", "read", "read x 1", "write -P 300 0 1", "writev 0", "read 0 3G", "sleep", "sleep x",
                  "write -P 3 -z 0 512", "read -P 1 -l 700 0 512", "read -P 1 -s 700 0 512", "write -n 0 512",
                  "write -u 0 4k", "readv -P 1 0 512 512", "discard 8M 512", "flush x", "truncate x", "read 1s 1",
                  "open", "close x", "reopen -r -w", "aio_write 8M 512", "aio_write -u 0 512", "help nix",
                  "aio_read -P 9 0 512", "write -z 4095k 2k", "open a.qcow2", "write -s /dev/null 0 512",
                  "write -s no 0 1"):
        same("-c", wrong, "-c", "aio_flush")
    same("-r", *commands("write 0 512", "aio_write 0 512", "discard 0 512", "write -z 0 512", "read 0 512"))
    for args, word in ((("-t", "nix"), "nix"), (("-d", "nix"), "nix"), (("-i", "nix"), "nix"), (("-x",), "invalid"),
                       (("-f", "nix"), "nix"), (("--image-opts", "-f", "raw"), "exclusive")):
        for tool in (OTHER, IO):
            code, out, err = call(tool, *args, "r.raw")
            assert code == 1 and word in out + err, (tool, args, out, err)
    for tool in (OTHER, IO):
        assert call(tool, "-f", "raw", "nofile")[0] == 1
        assert call(tool, "r.raw", "a.qcow2")[0] == 1
    for wrong, word in (("read -b 0 512", "-b"), ("aio_read -i 0 512", "-i"), ("break read_aio a", "not built"),
                        ("truncate -m full 8M", "'full'"), ("wait_break a", "not built"), ("truncate 1", "512")):
        code, out, err = call(IO, "-f", "qcow2", "-c", wrong, "a.qcow2")
        assert code == 1 and word in out + err, (wrong, out, err)


def images_are_opened_as_is_said():
    same(*commands("close", "close", "length", "open -r r.raw", "length", "write 0 512", "reopen -w",
                   "write -P 1 0 512", "reopen -r", "write 0 512", "close", "open -o driver=null-co,size=1M,read-zeroes=on",
                   "read -P 0 0 4k", "close", "open -n -o driver=raw r.raw", "read -P 1 0 512"), image="r.raw",
         form="raw")
    same("-s", *commands("write -P 7 0 512", "read -P 7 0 512"), image="r.raw", form="raw")
    assert not any(content("r.raw"))
    for args in (("-n",), ("-k", "-n"), ("-i", "threads"), ("-m", "-n"), ("-U", "-r"), ("-t", "writethrough"),
                 ("-d", "unmap")):
        same(*args, *commands("read -P 0 0 64k", "length"))
    fresh()
    for tool in (OTHER, IO):
        got = call(tool, "--image-opts", *commands("length", "reopen -c unsafe", "reopen -o size=512", "length"),
                   "driver=raw,file.driver=file,file.filename=r.raw")
        assert got == (0, "1.500 MiB\n512 bytes\n", ""), (tool, got)
    call(IO, "-f", "qcow2", "-c", "write -P 6 0 64k", "a.qcow2")
    code, out, err = call(IO, "-C", "-f", "qcow2", "-c", "read -P 6 0 64k", "top.qcow2")
    assert code == 0, (out, err)
    out = call(OTHER, "-r", "-f", "qcow2", "-c", "map", "top.qcow2")[1]
    assert out.startswith("64 KiB (0x10000) bytes     allocated at offset 0"), "nothing was kept: " + out
    code, out, err = call(IO, "-f", "qcow2", "-c", "info", "a.qcow2")
    assert code == 0 and "format name: qcow2\ncluster size: 64 KiB\n" in out and "    compat: 1.1\n" in out, out


def commands_come_from_standard_input():
    text = "length\nread 0 512\n\nnix\naio_read 0 512\naio_flush\nquit\nlength\n"
    same(data=text)
    same(data="read 0 1k")
    fresh()
    with open(path("script"), "w", encoding="ascii") as f:
        f.write("write -P 5 0 64k\nread -P 5 0 64k\n")
    with open(path("script"), encoding="ascii") as f:
        done = subprocess.run([IO, "-f", "raw", "r.raw"], stdin=f, capture_output=True, text=True, timeout=WAIT,
                              cwd=FOLDER, check=False)
    assert done.returncode == 0 and done.stdout.startswith("backplane-io> wrote 65536/65536"), done
    os.symlink(IO, path("qemu-io"))
    done = subprocess.run([path("qemu-io"), "-f", "raw", "r.raw"], input="length\n", capture_output=True, text=True,
                          timeout=WAIT, cwd=FOLDER, check=False,
                          env={**os.environ, "BACKPLANE_MODULES": os.path.join(sys.argv[2], "modules")})
    assert done.stdout == "qemu-io> 1.500 MiB\nqemu-io> ", done


def it_ends_as_it_is_told():
    fresh()
    for word, number in (("sigraise %d" % signal.SIGTERM, signal.SIGTERM), ("abort", signal.SIGABRT)):
        for tool in (OTHER, IO):
            assert call(tool, "-f", "raw", "-c", "write -P 1 0 512", "-c", word, "r.raw")[0] == -number, (tool, word)
    assert "aio_write" in call(IO, "-c", "help")[1] and "version" in call(IO, "--version")[1]
    assert "-v: shows" in call(IO, "-c", "help read")[1]


def random_sequences_leave_the_same_disk():
    rand = random.Random(5)
    for _ in range(6):
        words = []
        for _ in range(40):
            at, n, byte = rand.randrange(3 << 20), rand.choice((1, 511, 512, 4096, 65536, 300000)), rand.randrange(256)
            words.append(rand.choice(("write -q -P %d %d %d" % (byte, at, n), "write -q -z %d %d" % (at, n),
                                      "write -q -z -u %d %d" % (at, n), "writev -q -P %d %d %d 7" % (byte, at, n),
                                      "aio_write -q -P %d %d %d" % (byte, at, n), "aio_flush", "flush",
                                      "read -v %d 40" % at)))
            if words[-1].startswith("aio"):
                words.append("aio_flush")
        same(*commands(*words), image=rand.choice(("a.qcow2", "top.qcow2")))


tap.run([requests_are_summed_up_alike, patterns_come_from_files_and_are_compared_in_part, what_is_wrong_is_told_alike,
         images_are_opened_as_is_said, commands_come_from_standard_input, it_ends_as_it_is_told,
         random_sequences_leave_the_same_disk])
