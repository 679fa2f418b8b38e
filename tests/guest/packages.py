# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages of Debian's that tests take files from: fetched once and unpacked, not installed."""
import fcntl
import functools
import glob
import os
import re
import shutil
import subprocess

from console import TOP

CACHE = os.path.join(TOP, ".cache", "disk-guest")


BACKPORTS = ("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian "
             "bookworm-backports main\n")


_depth = 0


def made_once(function):
    """What it makes stays in .cache; of tests that run side by side one makes it."""
    @functools.wraps(function)
    def alone(*args, **options):
        global _depth
        os.makedirs(os.path.dirname(CACHE), exist_ok=True)
        with open(CACHE + ".lock", "wb") as lock:
            if not _depth:
                fcntl.flock(lock, fcntl.LOCK_EX)
            _depth += 1
            try:
                return function(*args, **options)
            finally:
                _depth -= 1
    return alone


def foreign(architecture):
    """Options of apt's for packages of another architecture, with lists of its own: the system's stay as they are."""
    lists = os.path.join(CACHE, "apt-" + architecture)
    for folder in ("state/lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(lists, folder), exist_ok=True)
    settings = ("Dir::State=" + lists + "/state", "Dir::Cache=" + lists + "/cache", "Dir::State::status=/dev/null",
                "APT::Architecture=" + architecture, "APT::Architectures=" + architecture, "APT::Sandbox::User=root")
    return [word for setting in settings for word in ("-o", setting)]


@made_once
def foreign_tree(name, architecture):
    """As package_tree(), of another architecture; of one that only names a kernel, that kernel."""
    tree = os.path.join(CACHE, name + "-" + architecture)
    if os.path.isdir(tree):
        return tree
    options, deb = foreign(architecture), os.path.join(CACHE, name + "-" + architecture + ".deb.d")
    os.makedirs(deb, exist_ok=True)
    subprocess.run(["apt-get", *options, "update", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    needs = subprocess.run(["apt-cache", *options, "depends", name], stdout=subprocess.PIPE, text=True).stdout
    real = needs.split("Depends: ")[1].split()[0] if "Depends: linux-image-" in needs else name
    subprocess.run(["apt-get", *options, "download", "-q", real], cwd=deb, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", glob.glob(deb + "/*.deb")[0], tree + ".new"], check=True)
    shutil.rmtree(deb)
    os.rename(tree + ".new", tree)
    return tree


@made_once
def package_tree(name, options=()):
    """The files of a package of Debian's, unpacked; `options` are apt's."""
    tree = os.path.join(CACHE, name)
    if os.path.isdir(tree):
        return tree
    deb = tree + ".deb.d"
    os.makedirs(deb, exist_ok=True)
    subprocess.run(["apt-get", *options, "download", "-q", os.path.basename(name)], cwd=deb, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", glob.glob(deb + "/*.deb")[0], tree + ".new"], check=True)
    shutil.rmtree(deb)
    os.rename(tree + ".new", tree)
    return tree


@made_once
def newer_kernel_tree():
    """Debian's standard kernel out of its backports, which has drivers that the release's lacks. apt keeps its lists of
    those beside the packages: the computer's own sources stay as they are."""
    for tree in glob.glob(os.path.join(CACHE, "backports", "linux-image-*")):
        if glob.glob(tree + "/boot/vmlinuz-*"):
            return tree
    folder = os.path.join(CACHE, "backports")
    os.makedirs(os.path.join(folder, "lists/partial"), exist_ok=True)
    with open(os.path.join(folder, "sources.list"), "w", encoding="utf-8") as f:
        f.write(BACKPORTS)
    options = ["-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}"]
    subprocess.run(["apt-get", *options, "-q", "update"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    out = subprocess.run(["apt-cache", *options, "depends", "linux-image-amd64"], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    names = re.findall(r"Depends: (linux-image-\S+)", out)
    if not names:
        raise FileNotFoundError("no package linux-image-amd64 in Debian's backports")
    tree = package_tree(os.path.join("backports", names[0]), options)
    return tree
