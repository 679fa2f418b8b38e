# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel with drivers of disks: kernel, an initramfs with the modules, and what guests do with disks."""
import glob
import gzip
import lzma
import os
import re
import shutil
import stat
import subprocess
import zlib

from packages import CACHE, made_once, newer_kernel_tree, package_tree

# Half of a start on the interpreter is ciphers that test themselves, and certificates.
SPARED = "cryptomgr.notests initcall_blacklist=load_system_certificate_list,init_kprobe_trace,crypto_kdf108_init"
DRIVERS = ("crc32c_generic", "ata_piix", "ahci", "sd_mod", "sr_mod", "ext4", "isofs", "floppy", "sg")


def entry(number, name, mode, data=b"", rdev=(0, 0)):
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)


def kernel_tree():
    """Debian's standard kernel, unpacked; the one for clouds has no drivers of such disks."""
    for tree in glob.glob(os.path.join(CACHE, "linux-image-*-amd64")):
        if glob.glob(tree + "/boot/vmlinuz-*"):
            return tree
    out = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    names = [line.split()[-1] for line in out.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise FileNotFoundError("no package linux-image-amd64 in apt's lists")
    return package_tree(names[0])


def module(path):
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as f:
        return f.read()


def modules_in_order(base, drivers):
    """As depmod would have it: each module says what it needs."""
    by_name = {os.path.basename(path).split(".")[0].replace("-", "_"): path
               for path in glob.glob(base + "/kernel/**/*.ko*", recursive=True)}
    order = []

    def add(name):
        path = by_name[name.replace("-", "_")]
        needs = re.search(rb"\0depends=([^\0]*)\0", module(path)).group(1).decode()
        for other in filter(None, needs.split(",")):
            add(other)
        if path not in order:
            order.append(path)

    for name in drivers:
        add(name)
    return order


INIT = """#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /sbin /usr/bin /usr/sbin /mnt
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root PS1='guest# '
for m in $(cat /modules.order); do
    insmod /modules/$m || echo "module $m does not load"
done
cd /root
echo "Disk guest is up"
setsid cttyhack sh
poweroff -f
"""


@made_once
def guest(drivers=DRIVERS, newer=False):
    """Returns the paths of kernel and initramfs; one with other drivers has a name of its own. `newer`: with the kernel
    of Debian's backports, which knows more devices."""
    tree = newer_kernel_tree() if newer else kernel_tree()
    name = "initrd.gz" if drivers == DRIVERS else "initrd-%08x.gz" % zlib.crc32(" ".join(drivers).encode())
    name = ("newer-" if newer else "") + name
    kernel = glob.glob(tree + "/boot/vmlinuz-*")[0]
    initrd = os.path.join(CACHE, name)
    if os.path.exists(initrd) and os.path.getmtime(initrd) > os.path.getmtime(__file__):
        return kernel, initrd
    base = glob.glob(tree + "/lib/modules/*")[0]
    files = [(folder, stat.S_IFDIR | 0o755) for folder in ("bin", "dev", "modules")]
    files += [("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)), ("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)),
              ("bin/sh", stat.S_IFLNK | 0o777, b"busybox"), ("init", stat.S_IFREG | 0o755, INIT.encode())]
    names = []
    for path in modules_in_order(base, drivers):
        names.append(os.path.basename(path).removesuffix(".xz"))
        files.append(("modules/" + names[-1], stat.S_IFREG | 0o644, module(path)))
    files.append(("modules.order", stat.S_IFREG | 0o644, " ".join(names).encode()))
    with open(shutil.which("busybox"), "rb") as f:
        files.append(("bin/busybox", stat.S_IFREG | 0o755, f.read()))
    data = b"".join(entry(n + 1, *f) for n, f in enumerate(files)) + entry(0, "TRAILER!!!", 0)
    with open(initrd + ".new", "wb") as f:
        f.write(gzip.compress(data, 1, mtime=0))
    os.rename(initrd + ".new", initrd)
    return kernel, initrd
