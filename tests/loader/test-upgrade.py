#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages are upgraded or removed while a machine runs: what is pinned can still be loaded; without
pinning a file of the same ABI is taken, and another one is refused in words, and the machine goes on.

usage: test-upgrade.py BUILD-ROOT SOURCE-ROOT
"""
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
from qmp import Emulator, QUIET  # noqa: E402
from tap import run, work_folder  # noqa: E402

WORK = work_folder("backplane-upgrade-")
os.chmod(WORK, 0o755)
# What is needed late, and why the module that has it would be loaded.
LATE = (("object-secret.so", "object-add", {"qom_type": "secret", "id": "s", "data": "x"}),
        ("chardev-ringbuf.so", "chardev-add",
         {"id": "r", "backend": {"type": "ringbuf", "data": {"size": 1024}}}),
        ("hw-debug-exit.so", "module-load", {"name": "hw-debug-exit"}))


def installed():
    """(program, module directory) of a fresh installed tree, with an index as packages make it."""
    first = os.path.join(WORK, "first")
    if not os.path.exists(first):
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir",
                        first], check=True, capture_output=True)
        program, modules = parts(first)
        subprocess.run([os.path.join(os.path.dirname(program), "backplane-module"), "index",
                        modules], check=True, capture_output=True)
    tree = tempfile.mkdtemp(prefix="tree-", dir=WORK)
    os.chmod(tree, 0o755)
    shutil.copytree(first, tree, symlinks=True, dirs_exist_ok=True)
    return parts(tree)


def parts(tree):
    found = {name: os.path.join(folder, name) for folder, _, names in os.walk(tree)
             for name in names if name in ("backplane-system-x86_64", "chardev.so")}
    return found["backplane-system-x86_64"], os.path.dirname(found["chardev.so"])


def machine(program, *args):
    # A tree that is moved finds its modules by its own place; no policy of this computer counts.
    return Emulator(program, "-machine", "pc", "-S", *args,
                    env={"BACKPLANE_MODULE_CONF": "/nonexistent", "BACKPLANE_MODULE_PATH": ""})


def rewrite(path, change, in_place=False):
    """What a package manager does: a new file under the old name; or, wrongly, the old file itself."""
    with open(path, "rb") as f:
        data = change(bytearray(f.read()))
    target = path if in_place else path + ".new"
    with open(target, "r+b" if in_place else "wb") as f:
        f.write(data)
    if not in_place:
        os.chmod(target, 0o644)
        os.rename(target, path)


def other_build(data):
    """Another build of the same ABI: only its build-id tells."""
    at = re.search(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0", data).end()
    data[at] ^= 0xff
    return data


def other_major(data):
    """Built for another core: in its notes and in its table."""
    assert data.count(b"abi=1.0") >= 1
    return bytes(other_build(data)).replace(b"abi=1.0", b"abi=9.0")


def all_modules(modules, change):
    for name in os.listdir(modules):
        if name.endswith(".so"):
            rewrite(os.path.join(modules, name), change)


def maps(e):
    with open("/proc/%d/maps" % e.process.pid) as f:
        return f.read()


def works(e):
    for file, command, arguments in LATE:
        reply = e.command(command, **arguments)
        assert "return" in reply, (file, reply)
        assert file in maps(e), file
    assert e.command("query-status")["return"]["status"] == "prelaunch"


def refused(e, *words):
    for file, command, arguments in LATE:
        reply = e.command(command, **arguments)
        assert "error" in reply, (file, reply)
        for word in words:
            assert word in reply["error"]["desc"], (word, reply)
        assert file not in maps(e), file
    assert e.command("query-status")["return"]["status"] == "prelaunch"
    assert "return" in e.command("qom-list", path="/machine")


def pinned_modules_survive_removal():
    program, modules = installed()
    with machine(program, "-modules", "pin=on") as e:
        known = e.command("query-modules")["return"]["modules"]
        assert all(m["pinned"] for m in known if m["state"] == "available"), known
        shutil.rmtree(modules)
        assert e.command("query-modules")["return"]["modules"] == known
        assert "error" in e.command("object-add", qom_type="nothing", id="n")
        works(e)
        assert re.search(r"object-secret\.so.*\(deleted\)", maps(e))


def pinned_modules_survive_an_upgrade():
    program, modules = installed()
    with machine(program, "-modules", "pin=on") as e:
        all_modules(modules, other_major)
        assert "error" in e.command("object-add", qom_type="nothing", id="n")
        works(e)
        assert len(re.findall(r"chardev-ringbuf\.so \(deleted\)", maps(e))) > 0


def pinned_file_that_is_overwritten_is_refused():
    """Writing into the file reaches the pinned one: no package manager does that."""
    program, modules = installed()
    with machine(program, "-modules", "pin=on") as e:
        for file, _, _ in LATE:
            path = os.path.join(modules, file)
            rewrite(path, lambda data: bytes(data).replace(b"bp_module", b"bq_module"), in_place=True)
            os.utime(path, (1, 1))
        refused(e, "was written over after -modules pin=on had opened it")


def overwritten_file_with_the_old_time_is_refused():
    program, modules = installed()
    with machine(program) as e:
        for file, _, _ in LATE:
            path = os.path.join(modules, file)
            before = os.stat(path)
            rewrite(path, lambda data: bytes(data).replace(b"bp_module", b"bq_module"), in_place=True)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        refused(e, "is damaged: its contents are not those that were indexed")


def another_major_is_refused_in_words():
    program, modules = installed()
    with machine(program) as e:
        all_modules(modules, other_major)
        refused(e, "does not fit this program", "abi major 9 (here 1)")


def another_build_of_the_same_abi_is_taken():
    program, modules = installed()
    with machine(program) as e:
        for file, _, _ in LATE:
            rewrite(os.path.join(modules, file), other_build)
        works(e)


def removed_modules_are_missing():
    program, modules = installed()
    with machine(program) as e:
        before = e.command("query-modules")["return"]
        for file, _, _ in LATE:
            os.unlink(os.path.join(modules, file))
        for file, command, arguments in LATE:
            reply = e.command(command, **arguments)
            assert "error" in reply, (file, reply)
        after = e.command("query-modules")["return"]
        assert after["generation"] != before["generation"]
        assert "object-secret" not in [m["name"] for m in after["modules"]]
        assert "return" in e.command("qom-list", path="/machine")


def added_modules_are_found():
    program, modules = installed()
    aside = os.path.join(WORK, "aside.so")
    os.rename(os.path.join(modules, "hw-debug-exit.so"), aside)
    with machine(program) as e:
        assert "error" in e.command("module-load", name="hw-debug-exit")
        os.rename(aside, os.path.join(modules, "hw-debug-exit.so"))
        reply = e.command("module-load", name="hw-debug-exit")
        assert "return" in reply, reply


def a_directory_that_changes_all_the_time_costs_bounded_memory():
    program, modules = installed()
    extra = os.path.join(modules, "extra.so")

    def resident(e):
        with open("/proc/%d/status" % e.process.pid) as f:
            return int(re.search(r"VmRSS:\s*(\d+)", f.read())[1]) / 1024

    with machine(program) as e:
        first = resident(e)
        for _ in range(300):
            with open(extra, "w"):
                pass
            e.command("query-modules")
            os.unlink(extra)
            e.command("query-modules")
        grown = resident(e) - first
        print("# 600 changes: %.1f MiB more" % grown, flush=True)
        assert grown < 64, grown
        works(e)


def directories_tell_whether_their_index_is_used():
    program, modules = installed()

    def told():
        with machine(program) as e:
            first = e.command("query-modules")["return"]["directories"][0]
            assert first["directory"] == modules and first["origin"] == "system", first
            e.command("quit")
            return first["indexed"], first.get("reason"), e.process.stderr.read()

    index = os.path.join(modules, "modules.idx")
    assert told() == (True, None, "")
    os.rename(os.path.join(modules, "isa.so"), os.path.join(modules, "isa-bus.so"))
    assert told() == (False, "files were added, removed or renamed since it was made", "")
    os.rename(os.path.join(modules, "isa-bus.so"), os.path.join(modules, "isa.so"))
    assert told() == (True, None, "")
    rewrite(os.path.join(modules, "isa.so"), other_build)
    assert told() == (False, "files changed since it was made", "")
    os.truncate(index, 5000)
    indexed, reason, said = told()
    assert not indexed and reason.startswith("is malformed") and index + " is malformed" in said, said
    os.unlink(index)
    assert told() == (False, "there is none", "")


def limited(soft, hard, program, *args):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return subprocess.run([program, *QUIET, "-machine", "none", "-qmp", "stdio", *args],
                          input='{"execute":"qmp_capabilities"}{"execute":"query-modules"}'
                                '{"execute":"quit"}', capture_output=True, text=True, timeout=30,
                          preexec_fn=limit)


def pinning_raises_the_limit_of_open_files():
    program, _ = installed()
    done = limited(24, 4096, program, "-modules", "pin=on")
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    modules = next(r["return"]["modules"] for r in replies if r.get("return"))
    assert sum(m["pinned"] for m in modules) > 20, modules


def pinning_beyond_the_limit_is_refused():
    program, _ = installed()
    done = limited(24, 24, program, "-modules", "pin=on")
    assert done.returncode == 1 and "modules need as many open files; the limit is 24" in done.stderr, \
        done.stderr


def pinning_everything_leaks_nothing_to_children():
    """Descriptors of modules end with exec()."""
    program, _ = installed()
    with machine(program, "-modules", "pin=on") as e:
        folder = "/proc/%d/fd" % e.process.pid
        for fd in os.listdir(folder):
            if ".so" in os.readlink(os.path.join(folder, fd)):
                with open("/proc/%d/fdinfo/%s" % (e.process.pid, fd)) as f:
                    flags = int(re.search(r"flags:\s*(\d+)", f.read())[1], 8)
                assert flags & os.O_CLOEXEC, fd


NAMED = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <bp/log.h>
#include <bp/module.h>
static int start(struct bp_error *err)
{
    Dl_info info;
    (void)err;
    if (dladdr((void *)start, &info))
        bp_info("loaded as %s", info.dli_fname);
    return 0;
}
BP_NOTE("provides=object:named;summary=Tells its file's name");
#include <bp/object.h>
static const struct bp_object_class named = {
    .type = {.size = sizeof(struct bp_object_class), .name = "named", .summary = "Tells", .state_size = 1}};
BP_MODULE_WITH_INIT("named", "Tells its file's name", BP_NO_IMPORTS, start, {BP_PROVIDE_OBJECT, &named});
"""


def debuggers_see_the_real_name():
    path = os.path.join(WORK, "named.so")
    done = subprocess.run(["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-x", "c", "-", "-I",
                           os.path.join(SOURCE, "module-api"), "-o", path, "-L",
                           os.path.join(BUILD, "core"), "-lbackplane"],
                          input=NAMED, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    program, _ = installed()
    with machine(program, "-modules", "preload=" + path) as e:
        e.command("quit")
        told = e.process.stderr.read()
        assert "loaded as %s\n" % path in told, told


CASES = [pinned_modules_survive_removal, pinned_modules_survive_an_upgrade,
         overwritten_file_with_the_old_time_is_refused,
         pinned_file_that_is_overwritten_is_refused, another_major_is_refused_in_words,
         another_build_of_the_same_abi_is_taken, removed_modules_are_missing,
         added_modules_are_found, a_directory_that_changes_all_the_time_costs_bounded_memory,
         directories_tell_whether_their_index_is_used,
         pinning_raises_the_limit_of_open_files,
         pinning_beyond_the_limit_is_refused, pinning_everything_leaks_nothing_to_children,
         debuggers_see_the_real_name]
run(CASES)
