#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`meson install`: the installed tree works where it is moved to, and the table of packages knows all
of it.

usage: install.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import re
import shutil
import subprocess
import sys

from qmp import Emulator
from tap import Skip, run, work_folder

SOURCE, BUILD = sys.argv[1:3]
WORK = work_folder("backplane-install-")
PACKAGES = os.path.join(SOURCE, "packaging/packages.py")
# What the user has set must not help.
ENV = {k: v for k, v in os.environ.items()
       if k not in ("LD_LIBRARY_PATH", "BACKPLANE_MODULE_PATH", "PKG_CONFIG_PATH")}


def command(*arguments, **options):
    options.setdefault("env", ENV)
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, **options)


def option(name):
    options = json.loads(command("meson", "introspect", "--buildoptions", BUILD).stdout)
    return next(o["value"] for o in options if o["name"] == name)


def install():
    """Installs and moves: nothing of the way that the build knows is left. The first tree keeps
    nothing, so that using it would show."""
    destination = os.path.join(WORK, "destination")
    done = command("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet",
                   "--destdir", destination)
    assert done.returncode == 0, done.stdout + done.stderr
    moved = os.path.join(WORK, "moved here")
    os.rename(destination + option("prefix"), moved)
    shutil.rmtree(destination)
    return moved


LIBDIR = option("libdir")
MOVED = install()
MODULES = os.path.join(MOVED, LIBDIR, "backplane")
PROGRAM = os.path.join(MOVED, "bin/backplane-system-x86_64")


def dynamic(path):
    return command("readelf", "-d", path).stdout


def every_installed_file_belongs_to_one_package():
    done = command(sys.executable, PACKAGES, "check", MOVED, LIBDIR)
    assert done.returncode == 0, done.stderr


def every_built_module_is_read_from_the_build_files():
    """The table learns of modules from the text of the build files; one made otherwise has no package."""
    sys.path.insert(0, os.path.join(SOURCE, "packaging"))
    from table import source_modules
    built = {name[:-3] for name in os.listdir(MODULES) if name.endswith(".so")}
    assert built <= set(source_modules()), built - set(source_modules())


def a_module_without_a_row_is_named():
    copy = os.path.join(WORK, "copy")
    folder = os.path.join(copy, LIBDIR, "backplane")
    os.makedirs(folder)
    for name in ("unheard-of", "board-virt-arm"):
        shutil.copy(os.path.join(MODULES, "isa.so"), os.path.join(folder, name + ".so"))
    done = command(sys.executable, PACKAGES, "check", copy, LIBDIR)
    assert done.returncode != 0
    assert "module unheard-of belongs to no package" in done.stderr, done.stderr
    assert "board-virt-arm.so belongs to backplane-arm, which is only planned" in done.stderr, done.stderr


def packaging_files_fit_the_table():
    done = command(sys.executable, os.path.join(SOURCE, "packaging/generate.py"), "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def the_rpm_spec_parses():
    if not shutil.which("rpmspec"):
        raise Skip("rpmspec is not installed")
    done = command("rpmspec", "-P", os.path.join(SOURCE, "packaging/rpm/backplane.spec"))
    assert done.returncode == 0 and not done.stderr, done.stderr
    for line in ("%files -n backplane-x86 -f backplane-x86.files",
                 "%transfiletriggerin -n backplane-core -- "):
        assert line in done.stdout, line


def libraries_are_found_from_the_program():
    paths = re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", dynamic(PROGRAM))
    assert paths == ["$ORIGIN/../" + LIBDIR], paths
    library = os.path.join(MOVED, LIBDIR, "libbackplane.so.1")
    for path in [library] + [os.path.join(MODULES, m) for m in os.listdir(MODULES)]:
        if ".so" in path:
            assert "PATH)" not in dynamic(path), "%s has a RUNPATH" % path


def the_moved_machine_runs():
    for name in ("backplane-system-x86_64", "backplane-system-i386"):
        with Emulator(os.path.join(MOVED, "bin", name), "-machine", "none", env=clean()) as e:
            assert e.command("query-status")["return"]["status"] == "running"
            files = [m["file"] for m in e.command("query-modules")["return"]["modules"] if m.get("file")]
            assert files and all(os.path.realpath(f).startswith(MOVED) for f in files), files


def clean():
    """For Emulator, which adds to the environment."""
    return {k: "" for k in ("LD_LIBRARY_PATH", "BACKPLANE_MODULE_PATH")}


def the_moved_program_lists_devices():
    done = command(PROGRAM, "-device", "help")
    assert done.returncode == 0 and "isa-serial" in done.stdout, done.stdout + done.stderr


def the_moved_tool_indexes_and_lists():
    tool = os.path.join(MOVED, "bin/backplane-module")
    done = command(tool, "index", MODULES)
    assert done.returncode == 0, done.stderr
    assert os.path.getsize(os.path.join(MODULES, "modules.idx")) > 0
    done = command(tool, "list")
    assert done.returncode == 0 and "hw-serial" in done.stdout, done.stdout + done.stderr


def the_moved_kit_builds_a_module():
    if option("b_sanitize") != "none":
        raise Skip("the library is built with a sanitizer, the sample is not")
    if not option("pkgconfig.relocatable"):
        raise Skip("this build is configured with -Dpkgconfig.relocatable=false")
    folder = os.path.join(WORK, "sample")
    os.mkdir(folder)
    kit = os.path.join(WORK, "kit")  # flags of a path with a space need a careful shell
    os.symlink(MOVED, kit)
    env = {**ENV, "PKG_CONFIG_LIBDIR": os.path.join(kit, LIBDIR, "pkgconfig")}
    flags = command("pkg-config", "--cflags", "--libs", "backplane", env=env)
    assert flags.returncode == 0, flags.stderr
    assert "-I%s/" % kit in flags.stdout and "-L%s/" % kit in flags.stdout, flags.stdout
    done = command(*os.environ.get("CC", "cc").split(), "-shared", "-fPIC", "-fvisibility=hidden",
                   os.path.join(SOURCE, "samples/out-of-tree/sample-scratch.c"),
                   "-o", os.path.join(folder, "sample-scratch.so"), *flags.stdout.split())
    assert done.returncode == 0, done.stderr
    with Emulator(PROGRAM, "-machine", "pc", "-device", "sample-scratch,id=s",
                  env={**clean(), "BACKPLANE_MODULE_PATH": folder}) as e:
        reply = e.command("qom-get", path="/machine/peripheral/s", property="iobase")
        assert reply == {"return": 0x300}, reply


run([every_installed_file_belongs_to_one_package, every_built_module_is_read_from_the_build_files,
     a_module_without_a_row_is_named, packaging_files_fit_the_table, the_rpm_spec_parses,
     libraries_are_found_from_the_program, the_moved_machine_runs, the_moved_program_lists_devices,
     the_moved_tool_indexes_and_lists, the_moved_kit_builds_a_module])
