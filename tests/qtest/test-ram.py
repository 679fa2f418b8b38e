#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Back ends of guest memory: what lies where, seen from the host: files, descriptors, /proc."""
import fcntl
import os
import re
import subprocess
import sys

from qtest import Failed, QTest, Tap, program

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../house"))
from tap import work_folder  # noqa: E402

WORK = work_folder("backplane-ram-")
MIB = 1 << 20
SEALS = 0x1 | 0x2 | 0x4  # F_SEAL_SEAL, SHRINK, GROW


def machine(kind, props, size=16):
    return ["-M", "none,memory-backend=m", "-m", str(size), "-object",
            "memory-backend-%s,id=m,size=%dM%s" % (kind, size, props)]


def refused(*args):
    run = subprocess.run([program(), "-nodefaults", "-display", "none", "-accel", "qtest", *args],
                         capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert run.returncode == 1, (run.returncode, run.stderr)
    return run.stderr


def mappings(q, size=16):
    """The entries of /proc/PID/smaps of this many MiB: (first line, dict)."""
    with open("/proc/%d/smaps" % q.process.pid, encoding="ascii") as f:
        text = f.read()
    for entry in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)[1:]:
        lines = entry.splitlines()
        first, last = (int(n, 16) for n in lines[0].split()[0].split("-"))
        if last - first == size * MIB:
            yield lines[0], dict(line.split(":", 1) for line in lines[1:])


def the_mapping(q, size=16):
    found = [m for m in mappings(q, size) if "rw" in m[0].split()[1] or "r--" in m[0].split()[1]]
    assert len(found) == 1, found
    return found[0]


def file_of(name, size, byte=0):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.write(bytes([byte]) * size)
    return path


def default_memory_is_private_and_anonymous():
    with QTest(["-M", "none", "-m", "16"]) as q:
        line, about = the_mapping(q)
        assert line.split()[1] == "rw-p" and len(line.split()) == 5, line
        assert int(about["Rss"].split()[0]) < 1024
        assert q.qmp("query-memdev") == []


def flags_reach_the_kernel():
    with QTest(machine("ram", ",merge=on,dump=off")) as q:
        flags = the_mapping(q)[1]["VmFlags"].split()
        assert "dd" in flags, flags
        ksm = os.path.exists("/sys/kernel/mm/ksm")
        assert ("mg" in flags) == ksm, flags
        said = q.qmp("query-memdev")
        assert len(said) == 1 and said[0]["id"] == "m" and said[0]["size"] == 16 * MIB, said
        assert said[0]["merge"] is True and said[0]["dump"] is False and said[0]["share"] is False
    with QTest(machine("ram", ",merge=off")) as q:
        flags = the_mapping(q)[1]["VmFlags"].split()
        assert "mg" not in flags and "dd" not in flags, flags


def prealloc_makes_it_resident():
    for props in (",prealloc=on", ",prealloc=on,prealloc-threads=4,share=on"):
        with QTest(machine("ram", props)) as q:
            assert int(the_mapping(q)[1]["Rss"].split()[0]) >= 16 * 1024
    with QTest(["-M", "none", "-m", "16", "-mem-prealloc"]) as q:
        assert int(the_mapping(q)[1]["Rss"].split()[0]) >= 16 * 1024


def shared_file_shows_what_the_guest_wrote():
    path = os.path.join(WORK, "shared")
    with QTest(machine("file", ",share=on,mem-path=" + path)) as q:
        q.write(0x5000, b"written by the guest")
        with open(path, "r+b") as f:
            f.seek(0x5000)
            assert f.read(20) == b"written by the guest"
            f.seek(0x6000)
            f.write(b"by the host")
            f.flush()
        assert q.read(0x6000, 11) == b"by the host"
    assert os.path.getsize(path) == 16 * MIB
    with QTest(machine("file", ",share=off,mem-path=" + path)) as q:
        assert q.read(0x5000, 7) == b"written"
        q.write(0x5000, b"private")
    with open(path, "rb") as f:
        f.seek(0x5000)
        assert f.read(7) == b"written"


def several_memories_share_a_file_by_offset():
    path = file_of("offset", 32 * MIB, 0x11)
    with QTest(machine("file", ",share=on,offset=16M,mem-path=" + path)) as q:
        q.write(0, b"second half")
    with open(path, "rb") as f:
        assert f.read(11) == b"\x11" * 11
        f.seek(16 * MIB)
        assert f.read(11) == b"second half"


def read_only_file_is_rom_or_a_template():
    path = file_of("template", 16 * MIB, 0x42)
    os.chmod(path, 0o444)
    with QTest(machine("file", ",readonly=on,share=on,mem-path=" + path)) as q:
        q.write(0x1000, b"no")
        assert q.read(0x1000, 2) == b"\x42\x42"
    with QTest(machine("file", ",readonly=on,share=off,rom=off,mem-path=" + path)) as q:
        q.write(0x1000, b"yes")
        assert q.read(0x1000, 4) == b"yes\x42"
    with open(path, "rb") as f:
        assert f.read() == b"\x42" * (16 * MIB)


def shadow_of_what_cannot_be_written_stays():
    """The host bridge's PAM1 has writes at 0xc0000 go to memory and reads to PCI, then both to memory."""
    path = file_of("shadow", 16 * MIB, 0x42)
    for how, expected in (("share=on", b"\x42" * 4), ("share=off,rom=on", b"\x42" * 4), ("share=off,rom=off", b"yes\x42")):
        props = ",readonly=on,%s,mem-path=%s" % (how, path)
        with QTest(["-M", "pc,memory-backend=m", *machine("file", props)[2:]]) as q:
            q.outl(0xcf8, 0x80000058)
            q.outb(0xcfe, 2)
            q.write(0xc0000, b"yes")
            q.outb(0xcfe, 3)
            assert q.read(0xc0000, 4) == expected, how


def discarded_data_leaves_the_file():
    for discard in ("on", "off"):
        path = os.path.join("/dev/shm", "backplane-ram-%d" % os.getpid())
        try:
            q = QTest(machine("file", ",share=on,prealloc=on,discard-data=%s,mem-path=%s" % (discard, path)))
            q.qmp("quit")
            assert q.process.wait(timeout=30) == 0
            q.close()
            blocks = os.stat(path).st_blocks * 512
            assert (blocks < MIB) == (discard == "on"), (discard, blocks)
        finally:
            os.unlink(path)


def mem_path_leaves_no_name_behind():
    before = os.listdir(WORK)
    with QTest(["-M", "none", "-m", "16", "-mem-path", WORK]) as q:
        line, _ = the_mapping(q)
        assert WORK in line and "(deleted)" in line and "rw-p" in line, line
        assert os.listdir(WORK) == before


def memfd_is_shared_and_sealed():
    for kind, name in (("memfd", "memfd:m"), ("shm", "/dev/shm/")):
        with QTest(machine(kind, "")) as q:
            line, _ = the_mapping(q)
            assert name in line and "rw-s" in line, line
    with QTest(machine("memfd", "")) as q:
        folder = "/proc/%d/fd" % q.process.pid
        seals = [fcntl.fcntl(os.open(os.path.join(folder, n), os.O_RDONLY), 1034)  # F_GET_SEALS
                 for n in os.listdir(folder) if "memfd:m" in os.readlink(os.path.join(folder, n))]
        assert seals and seals[0] & SEALS == SEALS, seals
        q.write(0x100, b"seen")
    with QTest(machine("memfd", ",seal=off")) as q:
        folder = "/proc/%d/fd" % q.process.pid
        name = next(n for n in os.listdir(folder) if "memfd:m" in os.readlink(os.path.join(folder, n)))
        fd = os.open(os.path.join(folder, name), os.O_RDWR)
        assert fcntl.fcntl(fd, 1034) & (SEALS & ~1) == 0
        q.write(0x100, b"by descriptor")
        assert os.pread(fd, 13, 0x100) == b"by descriptor"


def nodes_are_bound():
    with QTest(machine("ram", ",host-nodes=0,policy=bind")) as q:
        start = the_mapping(q)[0].split("-")[0]
        with open("/proc/%d/numa_maps" % q.process.pid, encoding="ascii") as f:
            line = next(line for line in f if line.startswith(start))
        assert "bind:0" in line, line
        assert q.qmp("query-memdev")[0]["host-nodes"] == [0]


def address_has_the_alignment():
    path = os.path.join(WORK, "aligned")
    with QTest(machine("file", ",align=256M,mem-path=" + path)) as q:
        assert int(the_mapping(q)[0].split("-")[0], 16) % (256 * MIB) == 0


def memory_is_named_by_path_or_id():
    for props, name in (("", "m"), (",x-use-canonical-path-for-ramblock-id=on", "/objects/m"),
                        (",x-use-canonical-path-for-ramblock-id=off", "m")):
        with QTest(machine("ram", props)) as q:
            tree = q.qmp("human-monitor-command", {"command-line": "info mtree"})
            assert re.search(r"ram\): %s\r?$" % name, tree, re.M), tree


def memory_in_use_stays():
    with QTest(machine("ram", "")) as q:
        try:
            q.qmp("object-del", {"id": "m"})
        except Failed as reason:
            assert "'m'" in str(reason), reason
        else:
            raise AssertionError("memory of the machine was deleted")
        q.qmp("object-add", {"qom-type": "memory-backend-ram", "id": "other", "size": MIB})
        assert len(q.qmp("query-memdev")) == 2
        q.qmp("object-del", {"id": "other"})
        assert len(q.qmp("query-memdev")) == 1


def impossible_wishes_are_refused_in_words():
    short = file_of("short", MIB)
    for props, words in ((["-object", "memory-backend-ram,id=m"], "'size' is missing"),
                         (["-object", "memory-backend-file,id=m,size=1M"], "'mem-path' is missing"),
                         (["-object", "memory-backend-file,id=m,size=2M,mem-path=" + short], "has 1048576 bytes"),
                         (["-object", "memory-backend-file,id=m,size=1M,pmem=on,mem-path=" + short], "pmem=on"),
                         (["-object", "memory-backend-file,id=m,size=1M,rom=on,mem-path=" + short],
                          "rom=on needs readonly=on"),
                         (["-object", "memory-backend-file,id=m,size=4096,offset=100,mem-path=" + short],
                          "not a multiple of the page size"),
                         (["-object", "memory-backend-file,id=m,size=1M,align=3000,mem-path=" + short],
                          "power of two"),
                         (["-object", "memory-backend-shm,id=m,size=1M,share=off"], "share=off is not possible"),
                         (["-object", "memory-backend-memfd,id=m,size=2M,hugetlbsize=2M"], "hugetlb=on"),
                         (["-object", "memory-backend-memfd,id=m,size=2M,hugetlb=on,hugetlbsize=3M"],
                          "power of two"),
                         (["-object", "memory-backend-ram,id=m,size=1M,policy=bind"], "needs host-nodes"),
                         (["-object", "memory-backend-ram,id=m,size=1M,host-nodes=0"], "needs a policy"),
                         (["-object", "memory-backend-ram,id=m,size=1M,host-nodes=127,policy=bind"],
                          "is there such a node?"),
                         (["-object", "memory-backend-ram,id=m,size=1M,host-nodes=x,policy=bind"],
                          "expects nodes of the host"),
                         (["-M", "none,memory-backend=q"], "no memory back end 'q'"),
                         (["-object", "memory-backend-ram,id=m,size=1M", "-m", "2", "-M",
                           "none,memory-backend=m"], "must be equal"),
                         (["-object", "memory-backend-ram,id=m,size=1M", "-mem-path", WORK, "-M",
                           "none,memory-backend=m"], "-mem-path does not go together")):
        said = refused(*props)
        assert words in said, (props, said)


tap = Tap()
for case in (default_memory_is_private_and_anonymous, flags_reach_the_kernel, prealloc_makes_it_resident,
             shared_file_shows_what_the_guest_wrote, several_memories_share_a_file_by_offset,
             read_only_file_is_rom_or_a_template, shadow_of_what_cannot_be_written_stays,
             discarded_data_leaves_the_file, mem_path_leaves_no_name_behind, memfd_is_shared_and_sealed, nodes_are_bound,
             address_has_the_alignment, memory_is_named_by_path_or_id, memory_in_use_stays,
             impossible_wishes_are_refused_in_words):
    tap.case(case.__name__, case)
tap.done()
