# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages of Debian's that tests take files from: fetched once and unpacked, not installed."""
import glob
import os
import shutil
import subprocess

from console import TOP

CACHE = os.path.join(TOP, ".cache", "disk-guest")


def package_tree(name):
    """The files of a package of Debian's, unpacked."""
    tree = os.path.join(CACHE, name)
    if os.path.isdir(tree):
        return tree
    deb = os.path.join(CACHE, name + ".deb.d")
    os.makedirs(deb, exist_ok=True)
    subprocess.run(["apt-get", "download", "-q", name], cwd=deb, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", glob.glob(deb + "/*.deb")[0], tree + ".new"], check=True)
    shutil.rmtree(deb)
    os.rename(tree + ".new", tree)
    return tree
