# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian 12 system of its own in a folder, with nothing in it but the essential packages, and a
repository of the packages that were built. debootstrap makes it once; it is kept as a tar file.
Mounts are seen by the test alone: it runs in a mount namespace (enter_namespace())."""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

from qmp import Emulator
from tap import Skip

SUITE = "bookworm"
# Downloaded once into the tar file, so that installing them needs no network: what our packages
# depend on, and what building a module takes.
LIBRARIES = ["libglib2.0-0", "libjson-c5", "liburcu8", "libffi8", "zlib1g", "libcapstone4", "libnettle8", "libxkbcommon0",
             "libjpeg62-turbo", "libpng16-16", "xkb-data", "libaio1", "liburing2"]
BUILD_TOOLS = ["gcc", "libc6-dev", "meson", "pkg-config", "libglib2.0-dev"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
               "DEBIAN_FRONTEND": "noninteractive", "TMPDIR": "/tmp"}
PROGRAM = "/usr/bin/backplane-system-x86_64"
CFLAGS = "-O1 -g0"  # of packages that are only tried: half of the time
HEADLESS = ("-nodefaults", "-display", "none")


def hindrance():
    """None, or why no system can be set up here."""
    if os.geteuid() != 0:
        return "debootstrap and chroot need root"
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"],
                          capture_output=True, text=True)
    if done.returncode:
        return ("mounts of its own need a root directory that is a mount point (in a chroot, bind it on "
                "itself first): " + done.stderr.strip())
    return None


def skipped(case, reason):
    """The case when there are no rights for it."""
    def skip():
        raise Skip(reason)
    skip.__name__ = case.__name__
    return skip


def mapped_modules(emulator):
    with open("/proc/%d/maps" % emulator.process.pid, encoding="utf-8") as f:
        paths = {line.split(None, 5)[5].strip() for line in f if ".so" in line}
    return {os.path.basename(p)[:-3] for p in paths if "/backplane/" in p and p.endswith(".so")}


def enter_namespace():
    """Runs this program again where its mounts are its own. Fails where the kernel forbids it."""
    if os.environ.get("BACKPLANE_NAMESPACE") != "1":
        os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                               *sys.argv], {**os.environ, "BACKPLANE_NAMESPACE": "1"})


def run(*command, **options):
    options.setdefault("timeout", 600)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise AssertionError("%s: status %d\n%s" % (" ".join(command), done.returncode,
                                                       done.stdout[-4000:]))
    return done.stdout


def mirror():
    """The one that this computer takes Debian from."""
    folder, text = "/etc/apt/sources.list.d", ""
    names = [os.path.join(folder, n) for n in sorted(os.listdir(folder))] \
        if os.path.isdir(folder) else []
    for name in ["/etc/apt/sources.list"] + names:
        if os.path.exists(name):
            with open(name, encoding="utf-8", errors="replace") as f:
                text += f.read() + "\n"
    found = re.search(r"(?m)^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(http\S+/debian)/?(?:\s|$)", text)
    return found.group(1) if found else "http://deb.debian.org/debian"


def proxy_settings():
    """apt's own; apt.conf syntax."""
    lines = run("apt-config", "dump").splitlines()
    return "".join(l + "\n" for l in lines if re.match(r"Acquire::https?::Proxy", l))


class Root:
    def __init__(self, cache):
        # A list that has changed makes another system.
        lists = " ".join(LIBRARIES + BUILD_TOOLS).encode()
        self.tar = os.path.join(cache, "root-%s-%s.tar" % (SUITE, hashlib.sha256(lists).hexdigest()[:8]))
        self.path = os.path.join(cache, "root")
        os.makedirs(cache, exist_ok=True)

    # ---- making ----

    def bootstrap(self):
        """The tar file, when it is not there."""
        if os.path.exists(self.tar):
            return
        self.remove()
        environment = {**os.environ}
        proxy = re.search(r'Acquire::http::Proxy "([^"]+)"', proxy_settings())
        if proxy:
            environment["http_proxy"] = proxy.group(1)
        run("debootstrap", "--variant=minbase", SUITE, self.path, mirror(), env=environment)
        self.write("etc/apt/sources.list", "deb %s %s main\n" % (mirror(), SUITE))
        self.write("etc/apt/apt.conf.d/90test", proxy_settings() +
                   'APT::Keep-Downloaded-Packages "true";\nAcquire::Languages "none";\n')
        self.write("etc/dpkg/dpkg.cfg.d/90test", "force-unsafe-io\n")
        self.mount()
        try:
            self.command("apt-get", "update", "-q")
            self.command("apt-get", "install", "-q", "-y", "--no-install-recommends",
                         "--download-only", *LIBRARIES, *BUILD_TOOLS)
        finally:
            self.unmount()
        run("tar", "-C", self.path, "-cf", self.tar + ".new", ".")
        os.rename(self.tar + ".new", self.tar)

    def unpack(self):
        self.remove()
        os.makedirs(self.path)
        run("tar", "-C", self.path, "-xpf", self.tar)
        self.mount()

    def mount(self):
        run("mount", "-t", "proc", "proc", os.path.join(self.path, "proc"))

    def unmount(self):
        run("umount", os.path.join(self.path, "proc"))

    def remove(self):
        if os.path.ismount(os.path.join(self.path, "proc")):
            self.unmount()
        shutil.rmtree(self.path, ignore_errors=True)

    # ---- using ----

    def inside(self, path):
        return os.path.join(self.path, path.lstrip("/"))

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.inside(path)), exist_ok=True)
        with open(self.inside(path), "w", encoding="utf-8") as f:
            f.write(text)

    def result(self, *command, env=None):
        """(status, output) of a command inside."""
        done = subprocess.run(["chroot", self.path, *command], env={**ENVIRONMENT, **(env or {})},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        return done.returncode, done.stdout

    def command(self, *command, env=None):
        status, output = self.result(*command, env=env)
        if status != 0:
            raise AssertionError("%s: status %d\n%s" % (" ".join(command), status, output))
        return output

    def offer(self, debs):
        """These files are the repository now, and apt knows it."""
        folder = self.inside("/srv/backplane")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for deb in debs:
            shutil.copy(deb, folder)
        index = subprocess.run(["dpkg-scanpackages", "--multiversion", "."], cwd=folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        self.write("/srv/backplane/Packages", index)
        self.write("/etc/apt/sources.list.d/backplane.list",
                   "deb [trusted=yes] file:/srv/backplane ./\n")
        self.command("apt-get", "update", "-q", "-o",
                     "Dir::Etc::sourcelist=/etc/apt/sources.list.d/backplane.list", "-o",
                     "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0")

    def install(self, *packages):
        return self.command("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages)

    def purge(self, *packages):
        return self.command("apt-get", "purge", "-q", "-y", *packages)

    def installed(self):
        """Names of our packages that are there, configuration files alone included."""
        text = self.command("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")
        return [line.split()[1] for line in text.splitlines()
                if re.match(r".[^n]", line) and "backplane" in line]

    def leftovers(self):
        """Files with our name that no longer belong to a package."""
        known = ("./srv/", "./var/lib/apt/", "./var/lib/dpkg/", "./var/log/", "./var/cache/",
                 "./etc/apt/", "./proc/")
        found = run("find", ".", "-xdev", "-iname", "*backplane*", cwd=self.path).splitlines()
        return [path for path in found if not path.startswith(known)] + \
            [path for path in run("find", "./var/lib/dpkg", "-name", "*backplane*",
                                  cwd=self.path).splitlines()]

    # ---- Backplane inside ----

    def module_dir(self):
        found = [path for place in ("/usr/lib/*/backplane", "/usr/lib64/backplane")
                 for path in glob.glob(self.inside(place + "/hw-none.so"))]
        return os.path.dirname(found[0])

    def machine(self, *args, program=PROGRAM, env=None):
        """A machine inside. exec all the way: its process is ours."""
        script = self.path + "-start"
        settings = " ".join("%s='%s'" % item for item in {**ENVIRONMENT, **(env or {})}.items())
        with open(script, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec env -i %s chroot '%s' '%s' \"$@\"\n" % (
                settings, self.path, program))
        os.chmod(script, 0o755)
        return Emulator(script, *args, quiet=HEADLESS)

    def devices(self):
        """Names in `-device help`."""
        return self.command(PROGRAM, "-device", "help")

    def refusal(self, *args):
        status, output = self.result(PROGRAM, *HEADLESS, *args)
        assert status == 1, "status %d: %s" % (status, output)
        return output

    def index_is_fresh(self):
        """What the package manager's trigger wrote is what writing it now gives. The modules' files."""
        path = os.path.join(self.module_dir(), "modules.idx")
        with open(path, "rb") as f:
            before = f.read()
        self.command("backplane-module", "index", path[len(self.path):-len("/modules.idx")])
        with open(path, "rb") as f:
            assert f.read() == before, "the trigger left an index that is out of date"
        files = [f for f in os.listdir(self.module_dir()) if f.endswith(".so")]
        assert all(name.encode() in before for name in files)
        return files
