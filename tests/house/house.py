#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules of the house, as TAP cases: who may include what, headers that compile alone, licences,
size budgets, libraries.

usage: house.py SOURCE-ROOT BUILD-ROOT CC
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT, BUILD, CC = sys.argv[1:4]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
# Contexts, coroutines, leaving, levels and RAM back ends are what every machine needs; so are owners of frameworks,
# what follows them, draining a whole context, and what every client asks: 30,000 for the core.
# NUMA nodes and places for memory that devices bring, which every kind of machine has: 34,000.
BUDGETS = {"core": 35000, "catalogue": 4500, "loader": 4500, "program": 2000}
MAX_HEADERS_PER_DEVICE = 15
MAX_LINES = 800
PLAIN_LIBRARIES = {"libc", "libm", "libglib-2.0", "libpcre2-8", "libpcre", "libjson-c", "liburcu-bp",
                   "liburcu-common", "libffi", "libz", "libbackplane", "ld-linux-x86-64",
                   "linux-vdso", "libgcc_s"}
SANITIZERS = {"libasan", "libubsan", "libtsan", "libstdc++", "libm", "librt", "libpthread", "libdl",
              "libgcc_s", "libresolv"}
# Libraries of the core that modules must not see. What a module links, it declares in meson.build.
CORE_LIBRARIES = ("glib", "gio/", "gmodule", "json-c/", "json.h", "urcu", "ffi.h", "gobject/")
LIBC = set("""alloca.h arpa/inet.h assert.h ctype.h dirent.h elf.h endian.h errno.h fcntl.h fenv.h float.h
inttypes.h limits.h linux/ math.h net/ netdb.h netinet/ poll.h pthread.h pty.h pwd.h sched.h setjmp.h
signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h
strings.h sys/ termios.h time.h ucontext.h unistd.h utmp.h""".split())

cases = []


def case(function):
    cases.append(function)
    return function


def files(*folders, suffixes=(".c", ".h")):
    for folder in folders:
        for where, folders_below, names in os.walk(os.path.join(ROOT, folder)):
            folders_below[:] = [f for f in folders_below if not f.startswith((".", "build", "__py"))]
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(where, name), ROOT)


def text(path):
    with open(os.path.join(ROOT, path), errors="replace") as f:
        return f.read()


def includes(path):
    return INCLUDE.findall(text(path))


def is_libc(name):
    return name in LIBC or any(name.startswith(entry) for entry in LIBC if entry.endswith("/"))


def is_api(name):
    return name.startswith("bp/") and os.path.exists(os.path.join(ROOT, "module-api", name))


# What several modules of one family have a part in, and who uses it.
SHARED_PARTS = {
    **{"modules/hw/" + card: "modules/hw/nic" for card in ("i8255x", "ne2000", "pcnet", "tulip")},
    "modules/debug/profile": "modules/debug/names", "modules/accel/x86": "modules/debug/names",
                "modules/accel/interp": "modules/accel/x86", "modules/accel/tcg": "modules/accel/x86",
                "modules/accel/kvm": "modules/accel/x86",
                "modules/chardev": "modules/stream", "modules/ui/vnc": "modules/stream modules/ui/keyboard",
                "modules/ui/spice": "modules/stream modules/ui/gl", "modules/ui/vc": "modules/ui/keyboard",
                "modules/ui/curses": "modules/ui/keyboard",
                **{"modules/ui/" + name: "modules/ui/gl" for name in ("dbus", "egl", "gtk", "sdl")},
                "modules/ui/web": "modules/stream modules/ui/text",
                "modules/block": "modules/block/format",
                **{"modules/block/" + name: "modules/block/format"
                   for name in ("bochs", "cloop", "dmg", "parallels", "qcow2", "qed", "vdi", "vhdx", "vmdk", "vpc")},
                **{"modules/block/" + name: "modules/block/url" for name in ("gluster", "nbd", "nfs")},
                "modules/hw/usb/ehci": "modules/hw/usb", "modules/hw/usb/ohci": "modules/hw/usb",
                "modules/hw/usb/uhci": "modules/hw/usb",
                "modules/hw/lsi53c895a": "modules/hw/scsi-parallel", "modules/hw/am53c974": "modules/hw/scsi-parallel",
                "modules/hw/usb/uas": "modules/hw/scsi-hba", "modules/hw/megasas": "modules/hw/scsi-hba",
                "modules/hw/mptsas": "modules/hw/scsi-hba", "modules/hw/pvscsi": "modules/hw/scsi-hba",
                "modules/hw/gigabit": "modules/hw/ethernet", "modules/hw/vmxnet3": "modules/hw/ethernet",
                **{"modules/hw/" + name: "modules/hw/gigabit" for name in ("e1000", "e1000e", "igb")}}


@case
def modules_include_only_the_api_and_their_own_folder():
    for path in files("modules", "samples"):
        own = os.path.dirname(path)
        for kind, name in includes(path):
            if kind == '"':
                # .hex: compiled from the folder's own sources at build time
                folders = [own] + SHARED_PARTS.get(own, "").split()
                good = ".." not in name and (name.endswith(".hex") or any(
                    os.path.exists(os.path.join(ROOT, folder, name)) for folder in folders))
            else:
                good = is_api(name) or (not name.startswith("bp/") and
                                        not name.startswith(CORE_LIBRARIES))
            if not good:
                yield "%s includes %s" % (path, name)


@case
def modules_of_one_folder_do_not_compile_sources_of_another():
    for path in files("modules", suffixes=("meson.build",)):
        for name in re.findall(r"'([^']*\.c)'", text(path)):
            if ".." in name:
                yield "%s compiles %s" % (path, name)


def core_folders():
    return re.search(r"core_folders = \[(.*?)\]", text("core/meson.build"), re.S)[1].replace(
        "'", "").replace(",", " ").split()


@case
def core_folders_include_only_earlier_ones():
    order = core_folders()
    for index, folder in enumerate(order):
        seen = {}
        for earlier in order[:index + 1]:
            for path in files("core/" + earlier, suffixes=(".h",)):
                seen[os.path.basename(path)] = path
        for path in files("core/" + folder):
            for kind, name in includes(path):
                if kind == '"' and name not in seen:
                    yield "%s includes %s" % (path, name)
                if kind == "<" and name.startswith("bp") and not is_api(name):
                    yield "%s includes %s" % (path, name)


@case
def header_names_of_the_core_are_unique():
    seen = {}
    for path in files("core", "catalogue", "loader", "program", suffixes=(".h",)):
        name = os.path.basename(path)
        if name in seen:
            yield "%s and %s" % (seen[name], path)
        seen[name] = path


@case
def catalogue_includes_only_the_api_libc_and_itself():
    own = {os.path.basename(path) for path in files("catalogue", suffixes=(".h",))}
    for path in files("catalogue"):
        for kind, name in includes(path):
            if not (name in own if kind == '"' else is_api(name) or is_libc(name)):
                yield "%s includes %s" % (path, name)


@case
def loader_and_program_include_only_core_catalogue_and_api():
    for folder in ("loader", "program"):
        allowed = {os.path.basename(path)
                   for path in files("core", "catalogue", folder, suffixes=(".h",))}
        for path in files(folder):
            for kind, name in includes(path):
                if (name not in allowed if kind == '"' else
                        name.startswith("bp") and not is_api(name)) or "modules/" in name:
                    yield "%s includes %s" % (path, name)


@case
def only_the_loader_calls_dlopen():
    for path in files("core", "catalogue", "program", "modules", suffixes=(".c",)):
        if re.search(r"\bdl(m?open|sym)\s*\(", text(path)):
            yield path


def symbols(library):
    """The functions and data that a static library defines, and those that it wants from others."""
    run = subprocess.run(["nm", "-P", library], capture_output=True, text=True)
    if run.returncode:
        return None, run.stderr.strip()
    defined, wanted = set(), set()
    for line in run.stdout.splitlines():
        fields = line.split()
        if len(fields) >= 2 and len(fields[1]) == 1:
            (wanted if fields[1] == "U" else defined if fields[1].isupper() else set()).add(fields[0])
    return defined, wanted - defined


@case
def libraries_use_nothing_of_later_folders():
    """Includes can be got round by a declaration; what is linked cannot."""
    layers = [("core/" + folder, "core/libcore-%s.a" % folder) for folder in core_folders()]
    layers = [layer for layer in layers if any(files(layer[0], suffixes=(".c",)))]
    layers += [("catalogue", "catalogue/libcatalogue.a"), ("loader", "loader/libloader.a")]
    found = {}
    for folder, library in layers:
        defined, wanted = symbols(os.path.join(BUILD, library))
        if defined is None:
            yield "%s: %s" % (library, wanted)
            return
        found[folder] = defined, wanted
    for index, (folder, _) in enumerate(layers):
        for later, _ in layers[index + 1:]:
            for name in sorted(found[folder][1] & found[later][0]):
                yield "%s uses %s, which %s defines" % (folder, name, later)


@case
def catalogue_uses_nothing_of_the_core_that_modules_could_not():
    defined, wanted = symbols(os.path.join(BUILD, "catalogue/libcatalogue.a"))
    if defined is None:
        yield wanted
        return
    exported = set(re.findall(r"\bbp_\w+", text("core/libbackplane.map")))
    for name in sorted(wanted):
        if name.startswith(("bpc_", "g_")) or (name.startswith("bp_") and name not in exported):
            yield "catalogue uses %s" % name


@case
def api_includes_only_libc_and_itself():
    for path in files("module-api"):
        for kind, name in includes(path):
            if kind == '"' or not (is_api(name) or is_libc(name)):
                yield "%s includes %s" % (path, name)


def compiles(header, compiler, options):
    with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
        f.write("#include <%s>\n" % header)
        f.flush()
        run = subprocess.run([*compiler, *options, "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                              "-I", os.path.join(ROOT, "module-api"), f.name],
                             capture_output=True, text=True)
    return run.stderr.strip().splitlines()[:3] if run.returncode else None


def api_headers():
    return [os.path.relpath(path, "module-api") for path in files("module-api", suffixes=(".h",))]


@case
def api_headers_compile_alone_as_c11():
    for header in api_headers():
        wrong = compiles(header, CC.split(), ["-std=c11", "-pedantic-errors", "-xc"])
        if wrong:
            yield "%s: %s" % (header, " | ".join(wrong))


@case
def api_headers_compile_alone_as_cxx20():
    compiler = next((c for c in ("g++", "clang++") if subprocess.run(
        ["sh", "-c", "command -v " + c], capture_output=True).returncode == 0), None)
    if not compiler:
        return "no C++ compiler"
    wrong = []
    for header in api_headers():
        lines = compiles(header, [compiler], ["-std=c++20", "-xc++"])
        if lines:
            wrong.append("%s: %s" % (header, " | ".join(lines)))
    return wrong


def tracked():
    run = shutil.which("git") and subprocess.run(
        ["git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
        capture_output=True, text=True)
    if run and run.returncode == 0:
        return [p for p in run.stdout.splitlines() if os.path.isfile(os.path.join(ROOT, p))]
    return list(files("core", "catalogue", "loader", "program", "modules", "module-api", "tests", "tools", "samples",
                      suffixes=(".c", ".h", ".py", ".build", ".S", ".sh")))


def is_text(path):
    with open(os.path.join(ROOT, path), "rb") as f:
        return b"\0" not in f.read(4096)


def has_spdx_line(path):
    name = os.path.basename(path)
    return not (name.startswith("LICENSE") or name in (".gitignore", ".clang-format",
                                                       "codespell-words") or
                path.startswith(("reference/", "tests/fuzz/corpus/")) or
                path in ("debian/changelog", "debian/copyright", "debian/source/format") or
                path.endswith((".md", ".txt", ".tsv", ".json", ".map", ".bin", ".abi")))


@case
def every_file_names_its_licence():
    for path in tracked():
        if has_spdx_line(path) and is_text(path):
            line = re.search(r"SPDX-License-Identifier: (\S+)", text(path)[:400])
            wanted = ("MIT" if path.startswith(("module-api/", "samples/", "kit/")) and
                      not path.startswith("kit/fakehost/") else
                      "LGPL-2.1-or-later")
            if not line or line[1] != wanted:
                yield "%s: %s" % (path, line[1] if line else "no SPDX line")


@case
def nothing_is_left_to_do_in_the_code():
    for path in files("core", "catalogue", "loader", "program", "modules", "module-api", "tests", "tools", "samples"):
        for number, line in enumerate(text(path).splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                yield "%s:%d: %s" % (path, number, line.strip())


@case
def no_file_knows_a_place_on_this_computer():
    place = os.path.realpath(ROOT)
    if place.count("/") < 2:
        return
    for path in tracked():
        if is_text(path) and re.search(re.escape(place) + r"(/|\b)", text(path)):
            yield path


@case
def folders_keep_their_budgets():
    for folder, budget in BUDGETS.items():
        lines = sum(text(path).count("\n") for path in files(folder))
        print("# %s/: %d lines of %d" % (folder, lines, budget))
        if lines >= budget:
            yield "%s/ has %d lines" % (folder, lines)


def ratchets(kind):
    with open(os.path.join(ROOT, "tests/house/ratchets.txt")) as f:
        entries = [line.split() for line in f if line.startswith(kind + " ")]
    return {path: int(most) for _, path, most in entries}


@case
def lines_fit_the_screen():
    wide = 0
    for path in files("core", "catalogue", "loader", "program", "modules", "module-api", "tests", "samples"):
        lengths = [len(line) for line in text(path).splitlines() if not path.startswith("module-api/abi/")]
        wide += sum(length > 100 for length in lengths)
        if max(lengths, default=0) > 120:
            yield "%s: line %d" % (path, lengths.index(max(lengths)) + 1)
    print("# lines beyond column 100: %d" % wide)


@case
def the_core_has_one_style():
    """Results are called ret, locks are pthread's."""
    for path in files("core", suffixes=(".c",)):
        if re.search(r"\bg_(mutex|cond|thread)_|\bG(Mutex|Cond|Thread|RWLock)\b", text(path)):
            yield "%s: locks and threads are pthread's in the core" % path
    for path in files("core", suffixes=(".c",)):
        if re.search(r"\bint r\b", text(path)):
            yield "%s: a result is called ret" % path


def marked_functions():
    """(name, mark) of each function that its own comment, behind or above it, marks with one mark alone."""
    for path in api_headers():
        for block in re.split(r"\n\s*\n", text("module-api/" + path)):
            above = set()
            for m in re.finditer(r"^[ ]*/\*(.*?)\*/|^[a-z][^;{}\n]*?\*?\b(bp_\w+)\([^;{]*?\)[^;{]*;(?: */\*(.*?)\*/)?",
                                 block, re.S | re.M):
                said = set(re.findall(r"\[(main|vcpu|any|waits)\]", m.group(1) or m.group(3) or ""))
                if m.group(2) is None:
                    above = said
                elif len(said or above) == 1:
                    yield m.group(2), (said or above).pop()


@case
def functions_assert_their_marks():
    """Debug builds assert what the headers promise (docs/contexts.md)."""
    bodies = {}
    for path in files("core"):
        for m in re.finditer(r"^[a-z][^\n;{}=]*?\b\*?(bp_\w+)\([^;{}]*\)\n\{\n(.*?)^\}", text(path), re.S | re.M):
            bodies[m.group(1)] = path, m.group(2)
    wanted = {"main": r"bpc_assert_(main|locked)\(\)", "waits": r"bpc_assert_coroutine\(\)",
              "any": r"^(?!.*bpc_assert_main)"}
    checked = 0
    for name, mark in marked_functions():
        if name in bodies and mark in wanted:
            checked += 1
            if not re.search(wanted[mark], bodies[name][1], re.S):
                yield "%s: %s() is marked [%s] and does not assert it" % (bodies[name][0], name, mark)
    if checked < 50:
        yield "only %d functions with marks were found" % checked


@case
def large_files_are_known():
    known = ratchets("lines")
    for path in files("core", "catalogue", "loader", "program", "modules", "module-api", "tests", "samples"):
        lines = 0 if path.startswith("module-api/abi/") else text(path).count("\n")  # those are generated
        if lines > known.get(path, MAX_LINES):
            yield "%s has %d lines (limit %d; reviewed ones: tests/house/ratchets.txt)" % (
                path, lines, known.get(path, MAX_LINES))


@case
def devices_pull_in_few_headers():
    most, known = 0, ratchets("headers")
    for path in files("modules/hw", suffixes=(".c",)):
        if not re.search(r"\bBP_(HOTPLUG_|BOARD_)?DEVICE\(", text(path)):
            continue
        run = subprocess.run([*CC.split(), "-M", "-I", os.path.join(ROOT, "module-api"),
                              os.path.join(ROOT, path)], capture_output=True, text=True)
        ours = {h for h in re.findall(r"\S+\.h", run.stdout) if h.startswith(ROOT)}
        most = max(most, len(ours))
        if len(ours) > known.get(path, MAX_HEADERS_PER_DEVICE):
            yield "%s: %d headers" % (path, len(ours))
    print("# most headers of a device: %d" % most)


def libraries(path):
    run = subprocess.run(["ldd", path], capture_output=True, text=True)
    for line in run.stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        yield re.split(r"\.so", os.path.basename(name))[0]


@case
def core_needs_only_plain_libraries():
    for name in ("core/libbackplane.so.1", "backplane-system-x86_64"):
        path = os.path.join(BUILD, name)
        if not os.path.exists(path):
            yield "%s is not built" % name
            continue
        needed = set(libraries(path))
        allowed = PLAIN_LIBRARIES | (SANITIZERS if needed & {"libasan", "libtsan", "libubsan"} else
                                     set())
        for library in sorted(needed - allowed):
            yield "%s needs %s" % (name, library)


@case
def smallest_device_fits_in_40_lines():
    lines = text("modules/hw/misc/debug-exit.c").count("\n")
    if lines > 40:
        yield "debug-exit.c has %d lines" % lines


@case
def temporary_folders_of_tests_go_with_them():
    """Two helpers make them; also a test that is killed leaves nothing."""
    for path in files("tests", suffixes=(".py", ".c")):
        if path == "tests/house/house.py":
            continue
        if path != "tests/house/tap.py" and re.search(r"\bmkdtemp\((?!.*dir=WORK)|dir_make_tmp\(",
                                                      text(path)):
            yield "%s: make the folder with work_folder() of tap.py or work-folder.h" % path
    killed = subprocess.run(
        [sys.executable, "-c", "import os, tap\nprint(tap.work_folder('backplane-killed-'), "
         "flush=True)\nos.kill(os.getpid(), 9)"], capture_output=True, text=True,
        cwd=os.path.join(ROOT, "tests/house"))
    folder = killed.stdout.strip()
    end = time.monotonic() + 20
    while os.path.exists(folder) and time.monotonic() < end:
        time.sleep(0.01)
    if not folder or os.path.exists(folder):
        yield "a killed test left %r: %s" % (folder, killed.stderr)


@case
def every_page_is_linked_and_every_link_leads_somewhere():
    pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] + [
        "docs/" + name for name in sorted(os.listdir(os.path.join(ROOT, "docs"))) if name.endswith(".md")]
    linked = {page: set() for page in pages}
    for page in pages:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text(page)):
            path = os.path.normpath(os.path.join(os.path.dirname(page), target))
            linked[page].add(path)
            if not os.path.exists(os.path.join(ROOT, path)):
                yield "%s: %s is not there" % (page, target)
    for index in ("README.md", "docs/README.md"):
        for page in pages:
            if page not in linked[index] | {index, "README.md"}:
                yield "%s does not link %s" % (index, page)


def main():
    print("1..%d" % len(cases))
    bad = 0
    for number, function in enumerate(cases, 1):
        found = function()
        skip = found if isinstance(found, str) else None
        wrong = [] if skip or found is None else list(found)
        for line in wrong:
            print("# " + line)
        print("%sok %d - %s%s" % ("not " if wrong else "", number, function.__name__,
                                  " # SKIP " + skip if skip else ""))
        bad += bool(wrong)
    return 1 if bad else 0


sys.exit(main())
