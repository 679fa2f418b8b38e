#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What package builds run on the tree that `meson install` left (docs/packaging.md).

usage: packages.py catalogue ROOT LIBDIR INSTALL  write the catalogue of modules into the tree;
                                                  INSTALL: "apt install %s" or "dnf install %s"
       packages.py check ROOT LIBDIR              does every file belong to one package?
       packages.py debian ROOT LIBDIR DEBIAN      move the files to DEBIAN/PACKAGE/usr and write
                                                  DEBIAN/PACKAGE.substvars, for the packages in
                                                  the list on standard input
       packages.py rpm ROOT LIBDIR OUT            write OUT/PACKAGE.files for %files -f
       packages.py rpm-provides | rpm-requires    dependency generator: file names on standard input

ROOT is the tree with the prefix (debian/tmp/usr), LIBDIR relative to it (lib/x86_64-linux-gnu).
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from notes import Module, NotAModule, virtual_name  # noqa: E402
from table import Table, TableError, installed_files  # noqa: E402


def rpm_name(name):
    return "backplane-devel" if name == "backplane-dev" else name


def modules_in(root, libdir):
    folder = os.path.join(root, libdir, "backplane")
    return [Module(os.path.join(folder, f)) for f in sorted(os.listdir(folder))
            if f.endswith(".so")]


def assign(table, root, libdir):
    """{package name: [path]}; all complaints at once."""
    files, wrong = {}, []
    for path in installed_files(root):
        try:
            files.setdefault(table.package_of_file(path, libdir).name, []).append(path)
        except TableError as error:
            wrong.append(str(error))
    if wrong:
        raise TableError("\n".join(wrong))
    return files


def catalogue(root, libdir, install):
    table, lines = Table(), []
    name_of = rpm_name if install.startswith(("dnf", "zypper", "rpm")) else str
    for module in modules_in(root, libdir):
        package = name_of(table.package_of_file(os.path.relpath(module.path, root), libdir).name)
        lines.append("module:%s\t%s\t%s\n" % (module.name, module.name, package))
        lines += ["%s:%s\t%s\t%s\n" % (kind, name, module.name, package)
                  for kind, name in module.provides]
    path = os.path.join(root, libdir, "backplane", "catalogue")
    with open(path, "w", encoding="utf-8") as f:
        f.write("# What the packages of this version hold, installed or not.\n")
        f.write("install %s\n" % install)
        f.writelines(sorted(set(lines)))


def dependencies(modules):
    """(provides, depends) of the modules of one package, as names."""
    provides = sorted({name for m in modules for name in m.virtual_packages()})
    depends = {name for m in modules for name in m.needed_packages()}
    return provides, sorted(depends - set(provides))


def exact_stamps(modules):
    """The library of this build is the one that exact modules of this build fit."""
    return [virtual_name("exact", s) for s in sorted({m.exact_stamp for m in modules} - {None})]


def debian(root, libdir, out):
    table, wanted = Table(), sys.stdin.read().split()
    files, modules = assign(table, root, libdir), modules_in(root, libdir)
    for name in wanted:
        package = table.packages.get(name)
        if package is None:
            raise TableError("debian/control has the package %s, the table has not" % name)
        paths = files.pop(name, [])
        if package.modules and not any(p.endswith(".so") for p in paths):
            raise TableError("%s is empty: none of its modules was built" % name)
        provides, depends = dependencies([m for m in modules
                                          if os.path.relpath(m.path, root) in paths])
        if name == "libbackplane1":
            provides += exact_stamps(modules)
        with open(os.path.join(out, name + ".substvars"), "a", encoding="utf-8") as f:
            f.write("backplane:Provides=%s\n" %
                    ", ".join(p + " (= ${binary:Version})" for p in provides))
            f.write("backplane:Depends=%s\n" % ", ".join(depends))
        for path in paths:
            target = os.path.join(out, name, "usr", path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(os.path.join(root, path), target)
    for name in files:
        print("packages.py: %s is not built, its files are left out" % name)


def own_folders(paths):
    """Folders with our name. Several packages may have the same one: the last that goes removes it."""
    folders = set()
    for path in paths:
        parts = path.split("/")[:-1]
        first = next((i for i, part in enumerate(parts) if part.startswith("backplane")), len(parts))
        folders |= {"/".join(parts[:i + 1]) for i in range(first, len(parts))}
    return sorted(folders)


def rpm(root, libdir, out):
    for name, paths in assign(Table(), root, libdir).items():
        with open(os.path.join(out, name + ".files"), "w", encoding="utf-8") as f:
            for path in paths:
                manual = path.startswith("share/man/")  # rpm compresses them
                f.write("%s/%s%s\n" % ("%{_prefix}", path, "*" if manual else ""))
            for folder in own_folders(paths):
                f.write("%%dir %%{_prefix}/%s\n" % folder)


def rpm_generator(what):
    for path in sys.stdin.read().splitlines():
        folder, name = os.path.split(path)
        try:
            if name.startswith("libbackplane.so."):
                provides, depends = exact_stamps(modules_in(folder, ".")), []
            else:
                provides, depends = dependencies([Module(path)])
        except (NotAModule, OSError):
            continue  # other files come by here too
        for name in provides if what == "rpm-provides" else depends:
            print(name)


def check(root, libdir):
    files, modules = assign(Table(), root, libdir), modules_in(root, libdir)
    for name in sorted(files):
        print("%-24s %d files" % (name, len(files[name])))
        provides, _ = dependencies([m for m in modules if os.path.relpath(m.path, root) in files[name]])
        length = sum(len(p) + len(" (= 0.10.10), ") for p in provides)
        if length > 5000:
            raise TableError("%s provides %d names, %d characters in all; a field of dpkg has at most 5000: "
                             "split it, or leave names away in notes.py" % (name, len(provides), length))


COMMANDS = {"catalogue": (catalogue, 3), "check": (check, 2), "debian": (debian, 3), "rpm": (rpm, 3),
            "rpm-provides": (lambda: rpm_generator("rpm-provides"), 0),
            "rpm-requires": (lambda: rpm_generator("rpm-requires"), 0)}


def main(arguments):
    command, count = COMMANDS.get(arguments[0] if arguments else "", (None, 0))
    if command is None or len(arguments) != count + 1:
        sys.exit(__doc__)
    try:
        command(*arguments[1:])
    except (TableError, NotAModule, OSError) as error:
        sys.exit("packages.py: %s" % error)


if __name__ == "__main__":
    main(sys.argv[1:])
