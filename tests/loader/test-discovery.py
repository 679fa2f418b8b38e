#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the loader knows of a directory is the same with an index, without one, and with one that is
stale, damaged or foreign; and who serves a name that several modules provide.

usage: test-discovery.py BUILD-ROOT SOURCE-ROOT BROKEN-FOLDER
"""
import glob
import os
import shutil
import struct
import subprocess
import sys
import tempfile

BUILD, SOURCE, BROKEN = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests", "house"))
from tap import run, work_folder  # noqa: E402
import synthetic  # noqa: E402

HERE = os.path.join(BUILD, "tests", "loader")
TEMPLATE = os.path.join(HERE, "synthetic.so")
with open(TEMPLATE, "rb") as template_file:
    PLAIN = template_file.read()


class Folder:
    """A directory with some good and bad modules, gone at the end."""

    def __enter__(self):
        self.path = work_folder("bp-discovery-")
        for number in range(6):
            self.write("m%d.so" % number, synthetic.make(PLAIN, number))
        for name in ("good.so", "wrong-abi.so", "no-table.so", "no-elf.so", "truncated.so"):
            shutil.copy(os.path.join(BROKEN, name), self.path)
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.path)

    def file(self, name):
        return os.path.join(self.path, name)

    def write(self, name, data, mtime=None):
        """Replaces a file; as a package manager does, by renaming."""
        with open(self.file(".new"), "wb") as f:
            f.write(data)
        if mtime is not None:
            os.utime(self.file(".new"), (mtime, mtime))
        os.rename(self.file(".new"), self.file(name))

    def index(self):
        subprocess.run([os.path.join(HERE, "make-index"), self.path], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)

    def unindex(self):
        os.unlink(self.file("modules.idx"))

    def list(self, *things, paths=None, env=None):
        """What list-modules tells, without the lines on how it was learnt; and those."""
        result = subprocess.run([os.path.join(HERE, "list-modules"), paths or self.path, *things],
                                capture_output=True, text=True, timeout=60,
                                env={**os.environ, **(env or {})})
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        self.said = result.stderr
        self.how = [line for line in lines if line.startswith("#")]
        return [line for line in lines if not line.startswith("#")]


def from_index(folder):
    return all("from index" in line for line in folder.how)


def index_and_files_tell_the_same():
    with Folder() as f:
        without = f.list()
        assert f.how and not from_index(f), f.how
        assert any("level=7" in line for line in without), without
        f.index()
        assert f.list() == without
        assert from_index(f), f.how


def build_tree_tells_the_same():
    with Folder() as f:
        for module in glob.glob(os.path.join(BUILD, "modules", "*.so")):
            shutil.copy(module, f.path)
        without = f.list()
        f.index()
        assert f.list() == without
        assert from_index(f), f.how


def other_names_make_an_index_stale():
    with Folder() as f:
        f.index()
        for change in (lambda: f.write("another.so", synthetic.make(PLAIN, 77)),
                       lambda: os.unlink(f.file("m3.so")),
                       lambda: os.rename(f.file("m4.so"), f.file("renamed.so"))):
            change()
            stale = f.list()
            assert not from_index(f), f.how
            shutil.move(f.file("modules.idx"), f.file("kept"))
            assert f.list() == stale
            shutil.move(f.file("kept"), f.file("modules.idx"))
        assert any("synthetic-0077" in line for line in stale)
        assert not any("synthetic-0003" in line for line in stale)


def replaced_file_is_seen():
    with Folder() as f:
        f.index()
        old = os.stat(f.file("m2.so"))
        for mtime in (old.st_mtime + 100, old.st_mtime - 100):  # newer or older makes no difference
            f.write("m2.so", synthetic.make(PLAIN, 82), mtime)
            assert os.stat(f.file("m2.so")).st_size == old.st_size
            listed = f.list()
            assert any("device:synthetic-0082" in line for line in listed), listed
            assert not any("synthetic-0002" in line for line in listed)
            assert "device synthetic-0082: Synthetic device 0082" in f.list("device:synthetic-0082")[0]
            assert "cannot be described" in f.list("device:synthetic-0002")[0]


def replaced_file_of_other_size_and_equal_time_is_seen():
    with Folder() as f:
        f.index()
        when = os.stat(f.file("m2.so")).st_mtime
        f.write("m2.so", synthetic.make(PLAIN, 82) + b"\0", when)
        assert "Synthetic device 0082" in f.list("device:synthetic-0082")[0]


def same_build_with_another_time_is_trusted():
    with Folder() as f:
        f.index()
        before = f.list()
        for name in os.listdir(f.path):
            if name.startswith("m"):
                os.utime(f.file(name), (1, 1))
        os.utime(f.file("modules.idx"), (2, 2))
        assert f.list() == before
        assert from_index(f), f.how


def replaced_module_with_the_same_name_works_at_once():
    """A device that changed its property: the new table is described, not the index's."""
    with Folder() as f:
        f.index()
        f.write("m1.so", synthetic.make(PLAIN, 1).replace(b"a number without a meaning",
                                                          b"a number with another text")
                .replace(b"GNU\x000001", b"GNU\x00zzzz"), 12345)
        told = f.list("device:synthetic-0001")
        assert "a number with another text" in told[1], told


def damaged_index_is_only_slower():
    with Folder() as f:
        right = f.list()
        f.index()
        with open(f.file("modules.idx"), "rb") as file:
            good = file.read()
        foreign = bytearray(good)
        foreign[8:12] = foreign[8:12][::-1]
        old = bytearray(good)
        struct.pack_into("<H", old, 12, 99)
        tables, packed = bytearray(good), bytearray(good)
        tables[300] ^= 1
        packed[-20] ^= 1
        for bad, by_index in ((b"", False), (good[:100], False), (good[:-1], False), (foreign, False),
                              (old, False), (tables, False), (b"x" * 5000, False), (packed, True)):
            f.write("modules.idx", bad)
            assert f.list() == right
            assert from_index(f) == by_index, f.how


def index_of_another_directory_is_not_used():
    with Folder() as f, Folder() as other:
        other.write("m9.so", synthetic.make(PLAIN, 9))
        other.index()
        shutil.copy(other.file("modules.idx"), f.path)
        assert not any("synthetic-0009" in line for line in f.list())
        assert not from_index(f)


def first_directory_wins():
    with Folder() as f, Folder() as other:
        listed = f.list(paths=f.path + ":" + other.path)
        lost = [line for line in listed if "is not used" in line]
        assert len(lost) == 8, listed
        assert all(line.startswith(other.path) and f.path in line and "was found first" in line
                   for line in lost), lost
        f.index()
        other.index()
        assert f.list(paths=f.path + ":" + other.path) == listed
        assert from_index(f), f.how


def loser_is_refused_as_a_whole():
    with Folder() as f:
        shutil.copy(os.path.join(BROKEN, "twin.so"), f.path)
        for _ in range(2):
            listed = f.list()
            assert any("twin" in line and "failed" in line and
                       "provides device test-good, which module test-good (" in line
                       for line in listed), listed
            f.index()


def rank_decides_before_order():
    """A module of the same device with a rank note: the version note becomes one."""
    with Folder() as f:
        higher = synthetic.make(PLAIN, 5)
        assert higher.count(b"version=1.0\0") == 1
        higher = higher.replace(b"version=1.0\0", b"rank=500\0\0\0\0").replace(
            b"name=synthetic-0005\0", b"name=synthetic-zzzz\0").replace(
            b"Synthetic device 0005", b"Synthetic device high")
        f.write("z.so", higher)
        for _ in range(2):
            listed = f.list()
            assert any("device:synthetic-0005 by synthetic-zzzz" in line for line in listed), listed
            assert any("is synthetic-zzzz" in line and "rank 500, available" in line
                       for line in listed), listed
            assert any("m5.so is synthetic-0005" in line and "failed" in line and
                       "which module synthetic-zzzz" in line for line in listed), listed
            f.index()


def policy_prefers_ranks_and_denies():
    with Folder() as f, tempfile.TemporaryDirectory() as policy:
        f.write("z.so", synthetic.make(PLAIN, 5).replace(b"name=synthetic-0005\0",
                                                         b"name=synthetic-zzzz\0"))
        env = {"BACKPLANE_MODULE_CONF": policy}

        def with_line(line):
            with open(os.path.join(policy, "x.conf"), "w") as conf:
                conf.write(line + "\n")
            return f.list(env=env)

        for _ in range(2):
            assert any("synthetic-0005 by synthetic-0005" in line for line in with_line("# none"))
            first = f.list(env=env)[-1]
            assert any("synthetic-0005 by synthetic-zzzz" in line
                       for line in with_line("prefer device:synthetic-0005 synthetic-zzzz"))
            assert f.list(env=env)[-1] != first, "the generation tells of the policy too"
            assert any("synthetic-0005 by synthetic-zzzz" in line
                       for line in with_line("rank synthetic-zzzz 3"))
            denied = with_line('deny synthetic-0005 "not here"')
            assert any("synthetic-0005 by synthetic-zzzz" in line for line in denied), denied
            assert any("m5.so is" in line and "x.conf:1" in line and "not here" in line
                       for line in denied), denied
            with_line("alias device:nick synthetic-0003")
            assert "Synthetic device 0003" in f.list("device:nick", env=env)[0]
            f.index()


def generation_tells_of_changes_alone():
    with Folder() as f:
        first = f.list()[-1]
        assert first.startswith("generation ")
        f.index()
        assert f.list()[-1] == first
        f.write("m0.so", synthetic.make(PLAIN, 50), 99)
        assert f.list()[-1] != first
        f.write("m0.so", synthetic.make(PLAIN, 0), 99)
        assert f.list()[-1] == first


def emulator_never_writes_an_index():
    with Folder() as f:
        os.chmod(f.path, 0o755)
        subprocess.run([os.path.join(BUILD, "backplane-system-x86_64"), "-module-dir", f.path,
                        "-device", "help"], check=True, timeout=60, stdout=subprocess.DEVNULL)
        assert not os.path.exists(f.file("modules.idx"))


run([index_and_files_tell_the_same, build_tree_tells_the_same, other_names_make_an_index_stale,
     replaced_file_is_seen, replaced_file_of_other_size_and_equal_time_is_seen,
     same_build_with_another_time_is_trusted, replaced_module_with_the_same_name_works_at_once,
     damaged_index_is_only_slower, index_of_another_directory_is_not_used, first_directory_wins,
     loser_is_refused_as_a_whole, rank_decides_before_order, policy_prefers_ranks_and_denies,
     generation_tells_of_changes_alone, emulator_never_writes_an_index])
