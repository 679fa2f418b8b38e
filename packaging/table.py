# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads packages.tsv: the packages, and which of them a module or an installed file belongs to."""
import fnmatch
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(HERE)
PLACES = ("bin", "lib", "modules", "include", "data", "man")
RELATIONS = ("Depends", "Recommends", "Suggests", "Conflicts", "Replaces", "Breaks")


class TableError(Exception):
    """The table is wrong, or something has no place in it."""


class Package:
    def __init__(self, name, section, summary, description, planned):
        self.name, self.section, self.planned = name, section, planned
        self.summary, self.description = summary, description
        self.patterns, self.globs, self.links, self.docs = [], [], [], []
        self.relations = []  # (field, value)
        self.build = []      # (Debian's package, pkg-config name)
        self.modules = []    # those of the source tree

    @property
    def made(self):
        return not self.planned or bool(self.modules)

    @property
    def is_data(self):
        """The same for all architectures."""
        return not (self.patterns or self.globs) or self.section == "doc"


def source_modules(source=SOURCE):
    """Names of the modules that the meson.build files under modules/ add to bp_modules."""
    names = []
    for folder, _, files in os.walk(os.path.join(source, "modules")):
        if "meson.build" not in files:
            continue
        with open(os.path.join(folder, "meson.build"), encoding="utf-8") as f:
            text = re.sub(r"(?m)^\s*#.*$", "", f.read())
        names += re.findall(r"'([\w.-]+)'\s*:\s*\{\s*'sources'", text)
    return sorted(names)


def glob_to_regex(glob):
    parts = re.split(r"(\*\*|\*|\?)", glob)
    middle = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(middle.get(p) or re.escape(p) for p in parts) + r"\Z")


class Table:
    def __init__(self, path=os.path.join(HERE, "packages.tsv"), source=SOURCE):
        self.packages = {}
        self.path = path
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip("\n")
                if line and not line.startswith("#"):
                    try:
                        self._row(line.split("\t"))
                    except (ValueError, KeyError, TableError) as error:
                        raise TableError("%s:%d: %s" % (path, number, error)) from None
        for module in source_modules(source):
            self.package_of_module(module).modules.append(module)

    def _row(self, fields):
        kind, name, rest = fields[0], fields[1], fields[2:]
        name = name[1:] if name.startswith("=") else "backplane-" + name
        if kind in ("package", "planned"):
            if name in self.packages:
                raise TableError("%s is there twice" % name)
            section, summary, description = rest
            self.packages[name] = Package(name, section, summary, description, kind == "planned")
            return
        if name not in self.packages:
            raise TableError("there is no row \"package\" for %s before this one" % name)
        package = self.packages[name]
        if not rest or "" in rest:
            raise TableError("an empty field")
        if kind == "modules":
            package.patterns += rest
        elif kind == "files":
            for glob in rest:
                if not re.match(r"\{(%s)\}/" % "|".join(PLACES), glob):
                    raise TableError("%s does not begin with one of {%s}" %
                                     (glob, "} {".join(PLACES)))
            package.globs += rest
        elif kind == "link":
            package.links.append(tuple(rest[:2]))
        elif kind == "docs":
            package.docs += rest
        elif kind == "relation":
            if rest[0] not in RELATIONS:
                raise TableError("%s is not one of %s" % (rest[0], ", ".join(RELATIONS)))
            package.relations.append((rest[0], rest[1]))
        elif kind == "build":
            package.build.append((rest[0], rest[1]))
        else:
            raise TableError("%s is not a kind of row" % kind)

    @property
    def made(self):
        return [p for p in self.packages.values() if p.made]

    def _best(self, candidates, what):
        """candidates: [(weight, package)]; the heaviest, when there is just one."""
        if not candidates:
            raise TableError("%s belongs to no package: add it to a row of %s" %
                             (what, os.path.relpath(self.path)))
        heaviest = max(weight for weight, _ in candidates)
        names = {p.name for weight, p in candidates if weight == heaviest}
        if len(names) > 1:
            raise TableError("%s belongs to %s as well as to %s in %s" %
                             (what, *sorted(names)[:2], os.path.relpath(self.path)))
        return self.packages[names.pop()]

    def package_of_module(self, module):
        found = []
        for package in self.packages.values():
            for pattern in package.patterns:
                if pattern == module:
                    found.append((1000, package))
                elif fnmatch.fnmatchcase(module, pattern):
                    found.append((len(pattern), package))
        return self._best(found, "module " + module)

    def package_of_file(self, path, libdir):
        """The package of a file, by its path relative to the prefix: "bin/backplane-module"."""
        modules = libdir + "/backplane/"
        if path.startswith(modules) and path.endswith(".so") and "/" not in path[len(modules):]:
            package = self.package_of_module(path[len(modules):-3])
        else:
            found = []
            for package in self.packages.values():
                for glob in package.globs:
                    if glob_to_regex(in_place(glob, libdir)).match(path):
                        found.append((len(glob), package))
            package = self._best(found, "file " + path)
        if not package.made:
            raise TableError("%s belongs to %s, which is only planned in %s" %
                             (path, package.name, os.path.relpath(self.path)))
        return package


def in_place(glob, libdir):
    """A glob of the table as a path relative to the prefix."""
    places = {"bin": "bin", "lib": libdir, "modules": libdir + "/backplane", "include": "include",
              "data": "share", "man": "share/man"}
    place, rest = glob[1:].split("}", 1)
    return places[place] + rest


def installed_files(root):
    """Paths of all files and links under a folder, relative to it."""
    found = []
    for folder, folders, files in os.walk(root):
        links = [d for d in folders if os.path.islink(os.path.join(folder, d))]
        found += [os.path.relpath(os.path.join(folder, f), root) for f in files + links]
    return sorted(found)
