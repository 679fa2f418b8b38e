#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes debian/control and packaging/rpm/backplane.spec from packages.tsv. Run it after a change
of the table or after adding a module; the results are committed.

usage: generate.py [--check]    --check: writes nothing; status 1 when a result is out of date
"""
import glob
import os
import re
import sys
import textwrap

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from packages import rpm_name  # noqa: E402
from table import HERE, RELATIONS, SOURCE, Table, TableError  # noqa: E402

MADE = "# SPDX-License-Identifier: LGPL-2.1-or-later\n" \
    "# Made by packaging/generate.py from packaging/packages.tsv.\n"
# What the core, the tools and the board pc need: Debian's package, and how RPM names it.
BUILD = [("acpica-tools", "acpica-tools"), ("debhelper-compat (= 13)", None), (None, "gcc"),
         ("libffi-dev", "pkgconfig(libffi)"), ("libglib2.0-dev", "pkgconfig(glib-2.0)"),
         ("libjson-c-dev", "pkgconfig(json-c)"), ("liburcu-dev", "pkgconfig(liburcu-bp)"),
         ("meson (>= 1.0.1)", "meson >= 1.0.1"), ("pkg-config", "pkgconfig"),
         ("python3:any", "python3"), ("unifont", "unifont"), ("zlib1g-dev", "pkgconfig(zlib)")]
# Options of meson that are features of a module's package: required in package builds.
FEATURES = {"disassembler": "capstone", "display": "vc", "vnc": "vnc", "block-aio-native": "libaio", "block-aio-uring": "liburing"}
RPM_NAMES = {"xkb-data": "xkeyboard-config", "tigervnc-viewer": "tigervnc",
             "libglib2.0-dev": "pkgconfig(glib-2.0)", "pkg-config": "pkgconfig",
             "gcc | c-compiler": "gcc"}


def read(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as f:
        return f.read()


def version():
    return re.search(r"version: '([^']+)'", read("meson.build")).group(1)


def wrap(text, indent):
    return textwrap.fill(text, 78, initial_indent=indent, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False)


# ---- debian/control ----

def depends_on_core(package):
    return bool(package.modules) and package.name != "backplane-core" and \
        not any(field == "Depends" and value.startswith("backplane-core")
                for field, value in package.relations)


def relations(package):
    """{field: [values]} for dpkg."""
    result = {field: [] for field in RELATIONS}
    if not package.is_data:
        result["Depends"] += ["${shlibs:Depends}"]
    result["Depends"] += ["${misc:Depends}"]
    if package.modules:
        result["Depends"] += ["${backplane:Depends}"]
    if depends_on_core(package):
        result["Depends"] += ["backplane-core"]
    for field, value in package.relations:
        result[field].append(value)
    return result


def control_stanza(package):
    lines = ["Package: " + package.name,
             "Architecture: " + ("all" if package.is_data else "any")]
    if package.section != "otherosfs":
        lines.append("Section: " + package.section)
    if package.name.startswith("lib"):
        lines += ["Multi-Arch: same", "Pre-Depends: ${misc:Pre-Depends}"]
    elif package.section == "doc":
        lines += ["Multi-Arch: foreign", "Build-Profiles: <!nodoc>"]
    for field, values in relations(package).items():
        if values:
            lines.append(field + ":\n " + ",\n ".join(values))
    if package.modules or package.name.startswith("lib"):
        lines.append("Provides:\n ${backplane:Provides}")
    lines.append("Description: " + package.summary)
    lines.append(wrap(package.description, " "))
    return "\n".join(lines) + "\n"


def debian_control(table):
    build = [deb for deb, _ in BUILD if deb]
    build += [deb for p in table.made if p.modules for deb, _ in p.build]
    head = re.sub(r"(?m)^#.*\n", "", read("packaging/debian-source.in")).replace(
        "@BUILD_DEPENDS@", ",\n".join(" " + b for b in sorted(set(build))))
    head = MADE + head
    return head + "".join("\n" + control_stanza(p) for p in table.made)


# ---- RPM ----

def rpm_relation(value):
    value = re.sub(r" \(= \$\{binary:Version\}\)", " = %{version}-%{release}", value)
    name, _, rest = value.partition(" = ")
    name = RPM_NAMES.get(name, rpm_name(name))
    return name + (" = " + rest if rest else "")


def rpm_package(package):
    names = {"Depends": "Requires", "Replaces": None, "Breaks": "Conflicts"}
    name = rpm_name(package.name)
    lines = ["%package -n " + name, "Summary: " + package.summary[0].upper() + package.summary[1:]]
    if package.is_data:
        lines.append("BuildArch: noarch")
    if depends_on_core(package):
        lines.append("Requires: backplane-core")
    for field, value in package.relations:
        field = names.get(field, field)
        if field:
            lines.append("%s: %s" % (field, rpm_relation(value)))
    description = wrap(package.description, "")
    return "\n".join(lines) + "\n\n%%description -n %s\n%s\n" % (name, description)


def rpm_links(package):
    """Those of programs: how manual pages are compressed is rpm's to decide, after they are linked."""
    return [(link.replace("{bin}", "%{_bindir}"), to) for link, to in package.links
            if link.startswith("{bin}/")]


def rpm_files(package):
    name = rpm_name(package.name)
    has_list = bool(package.modules or package.globs)
    lines = ["%files -n " + name + (" -f %s.files" % package.name if has_list else "")]
    if package.name.startswith("lib"):
        lines.append("%license LICENSE LICENSE.MIT")
    if package.name == "backplane-core":
        lines.append("%ghost %{module_dir}/modules.idx")
    lines += ["%doc " + " ".join(package.docs)] if package.docs else []
    lines += [link for link, _ in rpm_links(package)]
    return "\n".join(lines) + "\n"


def rpm_spec(table):
    build = [rpm for _, rpm in BUILD if rpm]
    build += [pc if pc.endswith("-devel") else "pkgconfig(%s)" % pc for p in table.made if p.modules for _, pc in p.build]
    build = dict.fromkeys(build)  # several packages may want one; in their order
    links = ["ln -s %s %%{buildroot}%s" % (to, link)
             for p in table.made for link, to in rpm_links(p)]
    date = read("debian/changelog").split("\n -- ")[1].split("\n")[0].split(">  ")[1].split()
    values = {"VERSION": version(),
              "BUILD_REQUIRES": "\n".join("BuildRequires: " + b for b in build),
              "PACKAGES": "\n".join(rpm_package(p) for p in table.made),
              "FILES": "\n".join(rpm_files(p) for p in table.made), "LINKS": "\n".join(links),
              "ENABLED": " ".join("-D%s=enabled" % f for f in features(table)),
              "CHANGE_DATE": " ".join([date[0].rstrip(","), date[2], date[1].zfill(2), date[3]])}
    text = read("packaging/rpm/backplane.spec.in")
    head = "# Made by packaging/generate.py from backplane.spec.in and packages.tsv.\n"
    return head + re.sub(r"@([A-Z_]+)@", lambda m: values[m.group(1)], text)


def features(table):
    return [option for name, option in FEATURES.items() if table.packages["backplane-" + name].made]


def check_docs(table):
    for package in table.made:
        for pattern in package.docs:
            if not glob.glob(os.path.join(SOURCE, pattern)):
                raise TableError("%s: there is no file %s" % (package.name, pattern))


def write_lists(table):
    """debian/PACKAGE.docs and .links."""
    result = {}
    for package in table.made:
        if package.docs:
            result["debian/%s.docs" % package.name] = MADE + "\n".join(package.docs) + "\n"
        if package.links:
            result["debian/%s.links" % package.name] = MADE + "".join(
                "usr/%s usr/%s\n" % (os.path.join(os.path.dirname(plain(link)), to), plain(link))
                for link, to in package.links)
    return result


def plain(link):
    return link.replace("{bin}", "bin").replace("{man}", "share/man")


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    try:
        table = Table()
        check_docs(table)
    except TableError as error:
        sys.exit("generate.py: %s" % error)
    results = {"debian/control": debian_control(table),
               "packaging/rpm/backplane.spec": rpm_spec(table), **write_lists(table)}
    stale = [name for name, text in results.items()
             if not os.path.exists(os.path.join(SOURCE, name)) or read(name) != text]
    if arguments:
        for name in stale:
            print("%s is out of date: run packaging/generate.py" % name)
        sys.exit(1 if stale else 0)
    for name in stale:
        with open(os.path.join(SOURCE, name), "w", encoding="utf-8") as f:
            f.write(results[name])
        print("wrote %s" % name)


if __name__ == "__main__":
    main(sys.argv[1:])
