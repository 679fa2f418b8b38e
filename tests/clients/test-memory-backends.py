# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Guest memory from back ends: files, memfd, POSIX shared memory, anonymous; what the kernel shows of it in
/proc, and what another process finds in the file. Usage: test-memory-backends.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import ctypes
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 20 * float(os.environ.get("BACKPLANE_SLOW", "1"))
MIB = 1 << 20
SIZE = 67 * MIB  # nothing else has this size
SHM = tap.work_folder("backends-", "/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
F_GET_SEALS = 1034
F_SEAL_SHRINK, F_SEAL_GROW = 2, 4


def refused(*args):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *args],
                          capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


class Mapping:
    """One mapping of SIZE bytes as /proc/PID/smaps has it."""

    def __init__(self, head, fields):
        self.start = int(head[1], 16)
        self.mode, self.file = head[3], head[4].strip()
        self.flags = fields["VmFlags"].split()
        self.resident = int(fields["Rss"].split()[0]) << 10


def mappings(pid, size=SIZE):
    found, head, fields = [], None, {}
    with open("/proc/%d/smaps" % pid, encoding="utf-8") as file:
        for line in [*file, "0-0 ---p 0 0 0 "]:
            new = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+(.*)", line)
            if not new:
                key, _, value = line.partition(":")
                fields[key] = value.strip()
                continue
            if head and int(head[2], 16) - int(head[1], 16) == size:
                found.append(Mapping(head, fields))
            head, fields = new, {}
    return found


def mapping(pid, size=SIZE):
    found = mappings(pid, size)
    assert len(found) == 1, "%d mappings of %d MiB" % (len(found), size // MIB)
    return found[0]


def backend(kind, keys="", size="67M"):
    return ["-object", ("memory-backend-%s,id=m,size=%s,%s" % (kind, size, keys)).rstrip(",")]


MAIN = ["-machine", "pc,memory-backend=m", "-m", "67"]


def path(name):
    return os.path.join(SHM, name)


def of_file(name, keys=""):
    return backend("file", ("mem-path=%s,%s" % (path(name), keys)).rstrip(","))


def content(name, offset, size):
    with open(path(name), "rb") as file:
        file.seek(offset)
        return file.read(size)


# ---- which memory the machine has ----

def backend_is_the_machines_memory():
    with QTest([*backend("ram"), *MAIN]) as q:
        mapping(q.process.pid)
        q.write(66 * MIB, b"top")
        assert q.read(66 * MIB, 3) == b"top"
    assert "m" in refused("-machine", "pc,memory-backend=m", "-m", "67")
    line = refused(*backend("ram"), "-machine", "pc,memory-backend=m", "-m", "64")
    assert "size" in line or "67" in line, line


def example_of_the_manual_works():
    with QTest(["-object", "memory-backend-file,id=pc.ram,size=67M,mem-path=%s,prealloc=on,share=on" % SHM,
                "-machine", "memory-backend=pc.ram", "-m", "67M"]) as q:
        found = mapping(q.process.pid)
        assert found.resident == SIZE and found.mode == "rw-s" and SHM in found.file, vars(found)
    assert not os.listdir(SHM), "the file in the directory is temporary"


def machines_tell_the_name_of_their_memory():
    with Emulator(PROGRAM, "-M", "none") as machine:
        machines = {m["name"]: m for m in machine.command("query-machines")["return"]}
        names = {name: m.get("default-ram-id") for name, m in machines.items()}
    assert names.pop("none", None) in (None, "ram") and names.pop("microvm") == "microvm.ram", names
    assert len(names) > 50 and set(names.values()) == {"pc.ram"}, names
    # What a client makes with that id is named as what the board makes itself, as saved memory is found by its name.
    tables = []
    for given in ((), ("-object", "memory-backend-ram,id=pc.ram,size=67M", "-machine", "memory-backend=pc.ram")):
        with Emulator(PROGRAM, "-M", "pc", "-m", "67M", *given) as machine:
            text = machine.command("human-monitor-command", command_line="info ramblock")["return"]
            tables.append(re.findall(r"^\s*(\S+) +\d+ KiB +(0x\w+)", text, re.M))
    assert tables[0] == tables[1] and dict(tables[0])["pc.ram"], tables


def mem_path_gives_a_temporary_file():
    for prealloc in ([], ["-mem-prealloc"]):
        with QTest(["-M", "pc", "-m", "67", "-mem-path", SHM, *prealloc]) as q:
            found = mapping(q.process.pid)
            assert SHM in found.file and "(deleted)" in found.file, found.file
            assert (found.resident == SIZE) == bool(prealloc), found.resident
            assert not os.listdir(SHM)
    assert "/nope" in refused("-M", "pc", "-m", "67", "-mem-path", SHM + "/nope/deep")


# ---- files ----

def shared_file_has_the_guests_memory():
    with QTest([*of_file("shared", "share=on"), *MAIN]) as q:
        q.write(0x12345, b"guest")
        assert content("shared", 0x12345, 5) == b"guest"
        with open(path("shared"), "r+b") as file:
            file.seek(0x20000)
            file.write(b"other")
        assert q.read(0x20000, 5) == b"other"
        assert mapping(q.process.pid).mode == "rw-s"
    assert os.stat(path("shared")).st_size == SIZE
    with QTest([*of_file("shared", "share=off"), *MAIN]) as q:
        assert q.read(0x12345, 5) == b"guest"
        q.write(0x12345, b"mine!")
        assert mapping(q.process.pid).mode == "rw-p"
    assert content("shared", 0x12345, 5) == b"guest"
    os.remove(path("shared"))


def data_is_discarded_at_the_end_alone():
    for keys, end, kept in (("", signal.SIGTERM, True), ("discard-data=on", signal.SIGKILL, True),
                            ("discard-data=on", signal.SIGTERM, False)):
        q = QTest([*of_file("data", "share=on," + keys), *MAIN])
        q.write(0x1000, b"data")
        q.process.send_signal(end)
        q.process.wait(WAIT)
        q.close()
        assert (content("data", 0x1000, 4) == b"data") == kept, (keys, end)
        os.remove(path("data"))


def part_of_a_file_begins_at_its_offset():
    with open(path("parts"), "wb") as file:
        file.truncate(2 * SIZE)
        file.seek(SIZE + 0x3000)
        file.write(b"second half")
    with QTest([*of_file("parts", "share=on,offset=67M"), *MAIN]) as q:
        assert q.read(0x3000, 11) == b"second half"
        q.write(0x4000, b"too")
    assert content("parts", SIZE + 0x4000, 3) == b"too" and content("parts", 0x4000, 3) == bytes(3)
    os.remove(path("parts"))


def readonly_files_are_rom_or_private_memory():
    with open(path("image"), "wb") as file:
        file.write(b"original".ljust(SIZE, b"\0"))
    with QTest([*of_file("image", "readonly=on,share=off,rom=off"), *MAIN]) as q:
        assert q.read(0, 8) == b"original"
        q.write(0, b"template")
        assert q.read(0, 8) == b"template"
    assert content("image", 0, 8) == b"original"
    os.chmod(path("image"), 0o444)
    with Emulator(PROGRAM, "-M", "none", *of_file("image", "readonly=on,share=on")) as machine:
        assert mapping(machine.process.pid).mode[:2] == "r-"
    os.chmod(path("image"), 0o644)
    assert "rom" in refused("-M", "none", *of_file("image", "readonly=on,rom=maybe"))
    os.remove(path("image"))


# ---- what the kernel is told ----

def memory_is_merged_dumped_and_preallocated_as_told():
    for keys, flag, there in (("merge=on", "mg", True), ("merge=off", "mg", False), ("dump=on", "dd", False),
                              ("dump=off", "dd", True)):
        for kind in ("ram", "file"):
            args = backend("ram", keys) if kind == "ram" else of_file("flags", keys)
            with Emulator(PROGRAM, "-M", "none", *args) as machine:
                flags = mapping(machine.process.pid).flags
                assert (flag in flags) == there, (kind, keys, flags)
    for kind in ("ram", "memfd", "shm"):
        for prealloc in ("on", "off"):
            with Emulator(PROGRAM, "-M", "none", *backend(kind, "prealloc=" + prealloc)) as machine:
                resident = mapping(machine.process.pid).resident
                assert resident == (SIZE if prealloc == "on" else 0), (kind, prealloc, resident)
    os.remove(path("flags"))


def memory_is_bound_to_nodes_as_told():
    for policy, word in (("bind", "bind:0"), ("preferred", "prefer"), ("interleave", "interleave:0")):
        with Emulator(PROGRAM, "-M", "none", *backend("ram", "host-nodes=0,policy=" + policy)) as machine:
            start = "%x " % mapping(machine.process.pid).start
            try:
                with open("/proc/%d/numa_maps" % machine.process.pid, encoding="utf-8") as file:
                    lines = [line for line in file if line.startswith(start)]
            except OSError as reason:
                raise tap.Skip("numa_maps: %s" % reason) from None
            assert len(lines) == 1 and word in lines[0], (policy, lines)
    for keys, word in (("host-nodes=0", "policy"), ("host-nodes=0,policy=default", "host-nodes"),
                       ("policy=bind", "host-nodes"), ("host-nodes=1023,policy=bind", "1023"),
                       ("policy=best", "policy")):
        line = refused("-M", "none", *backend("ram", keys))
        assert word in line, (keys, line)


def addresses_are_aligned_as_told():
    for align in (2 * MIB, 64 * MIB):
        with Emulator(PROGRAM, "-M", "none", *of_file("align", "align=%dM" % (align // MIB))) as machine:
            assert mapping(machine.process.pid).start % align == 0
    assert "align" in refused("-M", "none", *of_file("align", "align=3000"))
    os.remove(path("align"))


# ---- memfd and shared memory ----

def memfd(pid):
    """A descriptor of our own for its memfd."""
    folder = "/proc/%d/fd" % pid
    for fd in os.listdir(folder):
        if os.readlink(os.path.join(folder, fd)).startswith("/memfd:"):
            mine = os.open(os.path.join(folder, fd), os.O_RDWR)
            if os.fstat(mine).st_size == SIZE:
                return mine
            os.close(mine)
    raise AssertionError("no memfd of %d MiB" % (SIZE // MIB))


def memfd_is_shared_and_sealed():
    for keys, sealed in (("", True), ("seal=on", True), ("seal=off", False)):
        with Emulator(PROGRAM, "-M", "none", *backend("memfd", keys)) as machine:
            assert mapping(machine.process.pid).mode == "rw-s"
            fd = memfd(machine.process.pid)
            seals = fcntl.fcntl(fd, F_GET_SEALS)
            os.close(fd)
            assert bool(seals & F_SEAL_SHRINK and seals & F_SEAL_GROW) == sealed, (keys, seals)
    with Emulator(PROGRAM, "-M", "none", *backend("memfd", "share=off")) as machine:
        assert mapping(machine.process.pid).mode == "rw-p"
    line = refused("-M", "none", *backend("memfd", "hugetlb=on,hugetlbsize=3M", "66M"))
    assert "hugetlbsize" in line, line


@contextlib.contextmanager
def huge_pages(count):
    """Reserves so many more of the kernel's huge pages, and a file system that hands them out."""
    setting = "/proc/sys/vm/nr_hugepages"
    # A container's root may find it read-only.
    if os.geteuid() != 0 or not os.access(setting, os.W_OK):
        raise tap.Skip("reserving huge pages takes root, and a kernel that has them")
    with open(setting, encoding="ascii") as file:
        before = int(file.read())

    def reserve(wanted):
        with open(setting, "w", encoding="ascii") as file:
            file.write(str(wanted))

    folder = path("huge")
    os.mkdir(folder)
    try:
        reserve(before + count)
        if free_huge_pages() < count:
            raise tap.Skip("the kernel cannot set %d huge pages aside now" % count)
        if subprocess.run(["mount", "-t", "hugetlbfs", "none", folder], capture_output=True, check=False).returncode:
            raise tap.Skip("no hugetlbfs can be mounted here")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        os.rmdir(folder)
        reserve(before)


def free_huge_pages():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"HugePages_Free: +(\d+)", file.read())[1])


def reserved_huge_pages_are_used():
    """-mem-path, the manual's example and a memfd, each of 16 pages of 2 MiB that the kernel set aside."""
    with open("/proc/meminfo", encoding="ascii") as file:
        if "Hugepagesize:       2048 kB" not in file.read():
            raise tap.Skip("huge pages are not 2 MiB here")
    pc = ("-M", "pc,memory-backend=m", "-m", "32", "-object")
    with huge_pages(16) as folder:
        for args in (("-M", "pc", "-m", "32", "-mem-path", folder, "-mem-prealloc"),
                     (*pc, "memory-backend-file,id=m,size=32M,mem-path=%s,prealloc=on,share=on" % folder),
                     (*pc, "memory-backend-memfd,id=m,size=32M,hugetlb=on,hugetlbsize=2M,prealloc=on")):
            before = free_huge_pages()
            with Emulator(PROGRAM, "-accel", "qtest", *args):
                assert before - free_huge_pages() == 16, (args, before, free_huge_pages())
            assert free_huge_pages() == before, args
            assert os.listdir(folder) == [], os.listdir(folder)


def shared_memory_is_posix_and_always_shared():
    with Emulator(PROGRAM, "-M", "none", *backend("shm")) as machine:
        found = mapping(machine.process.pid)
        assert found.mode == "rw-s" and found.file.startswith("/dev/shm/"), vars(found)
    assert "share" in refused("-M", "none", *backend("shm", "share=off"))


def locked(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmLck:"))


def without_the_right_to_lock():
    """Also for root: the bounding set loses CAP_IPC_LOCK."""
    ctypes.CDLL(None).prctl(24, 14, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))


def memory_is_locked_when_it_may_be():
    with Emulator(PROGRAM, "-M", "none", "-m", "67M", "-overcommit", "mem-lock=off") as machine:
        assert locked(machine.process.pid) == 0
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    if os.geteuid() == 0 or limit == resource.RLIM_INFINITY:
        with Emulator(PROGRAM, "-M", "none", "-m", "67M", "-overcommit", "mem-lock=on") as machine:
            assert locked(machine.process.pid) >= 67 << 10, locked(machine.process.pid)
            assert mapping(machine.process.pid).resident == SIZE
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-M", "none", "-m", "67M",
                           "-overcommit", "mem-lock=on"], capture_output=True, text=True, timeout=WAIT,
                          stdin=subprocess.DEVNULL, check=False, preexec_fn=without_the_right_to_lock)
    assert done.returncode == 1 and "RLIMIT_MEMLOCK is 64 KiB" in done.stderr, done


def mistakes_are_named():
    for args, word in ((backend("file"), "mem-path"), (["-object", "memory-backend-ram,id=m"], "size"),
                       (backend("ram", size="0"), "size"), (backend("ram", "nope=1"), "nope"),
                       (of_file("no/where"), "no/where")):
        line = refused("-M", "none", *args)
        assert word in line, (args, line)


try:
    tap.run([backend_is_the_machines_memory, example_of_the_manual_works, machines_tell_the_name_of_their_memory,
             mem_path_gives_a_temporary_file, shared_file_has_the_guests_memory,
             data_is_discarded_at_the_end_alone, part_of_a_file_begins_at_its_offset,
             readonly_files_are_rom_or_private_memory, memory_is_merged_dumped_and_preallocated_as_told,
             memory_is_bound_to_nodes_as_told, addresses_are_aligned_as_told, memfd_is_shared_and_sealed,
             reserved_huge_pages_are_used, memory_is_locked_when_it_may_be,
             shared_memory_is_posix_and_always_shared, mistakes_are_named])
finally:
    shutil.rmtree(SHM, ignore_errors=True)
