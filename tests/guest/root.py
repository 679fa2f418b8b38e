# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian system on a disk of its own: one raw image that BIOS and UEFI boot alike.

debootstrap makes the tree once (as root: it runs programs of the tree in chroot), mke2fs and mtools put it into
an image without mounting anything. The image has a GPT with three partitions: GRUB's core for BIOS, the EFI system
partition with GRUB, and the root. Kernel parameters come from the machine's user: GRUB takes them from the last
string of SMBIOS type 11 (`parameters()`). Without one systemd starts; `init=/small` is a start in seconds with the
same login. Root's password is `backplane`.

usage: root.py        (makes the image, prints its path)
"""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import uuid
import zlib

from console import TOP
from packages import made_once

CACHE = os.path.join(TOP, ".cache", "guest")
SUITE = "bookworm"
LABEL = "backplane-root"
PACKAGES = ("systemd-sysv", "udev", "kmod", "initramfs-tools", "busybox", "linux-image-amd64", "grub-pc-bin",
            "grub-efi-amd64-bin", "fio", "e2fsprogs", "acpica-tools", "pciutils", "dmidecode", "i2c-tools", "procps",
            "util-linux-extra")
# Drivers that start-up needs are in the initramfs; of the others those stay that our devices can use.
EARLY = ("ata_piix", "ahci", "sd_mod", "sr_mod", "ext4", "crc32c_generic", "virtio_pci", "virtio_blk")
GONE = ("drivers/net", "drivers/media", "drivers/infiniband", "drivers/gpu/drm/amd", "drivers/gpu/drm/i915",
        "drivers/gpu/drm/nouveau", "drivers/gpu/drm/radeon", "drivers/gpu/drm/vmwgfx", "drivers/iio", "drivers/staging",
        "drivers/hwmon", "drivers/isdn", "drivers/crypto", "drivers/md", "drivers/platform", "drivers/hid",
        "drivers/thunderbolt", "drivers/bluetooth", "net", "sound", "fs/xfs", "fs/btrfs", "fs/ocfs2", "fs/nfs",
        "fs/nfsd", "fs/smb", "fs/cifs", "fs/ceph", "fs/f2fs", "fs/gfs2", "fs/jfs", "fs/reiserfs", "fs/ntfs3", "fs/afs")
SECTOR = 512
SIZE = 1 << 30
BIOS_AT, ESP_AT, ROOT_AT = 2048, 6144, 20480  # in sectors

SMALL = """#!/bin/sh
# The shortest way to a login: what a person needs to look around, and nothing that has to be waited for.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=vt100
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mountpoint -q /dev || mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -o remount,rw /
mount -t tmpfs tmpfs /tmp
hostname debian
while :; do
    setsid -w agetty -8 -L ttyS0 115200 vt100
done
"""
GRUB_CFG = """set timeout=0
smbios --type 11 --get-string 4 --set parameters
linux /boot/vmlinuz root=LABEL=%s ro console=tty0 console=ttyS0 $parameters
initrd /boot/initrd.img
boot
""" % LABEL
GRUB_EARLY = """serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
search --no-floppy --label %s --set root
set prefix=($root)/boot/grub
source ($root)/boot/grub/grub.cfg
""" % LABEL
GRUB_MODULES = ("part_gpt ext2 normal linux search search_label configfile smbios serial terminal echo "
                "minicmd test ls cat boot reboot halt").split()


def parameters(text):
    """Options of the emulator with which the system's kernel gets these parameters."""
    return ["-smbios", "type=11,value=" + text.replace(",", ",,")]


def why_not():
    """Why there can be no such image here, if there can't."""
    if os.path.exists(image_path()):
        return None
    if os.geteuid() != 0:
        return "debootstrap and chroot need root"
    for tool in ("debootstrap", "mtools", "mke2fs", "depmod"):
        if not shutil.which(tool) and not os.path.exists("/sbin/" + tool):
            return tool + " is not installed"
    return None


def image_path():
    with open(os.path.abspath(__file__), "rb") as f:
        return os.path.join(CACHE, "debian-%s.img" % hashlib.sha256(f.read()).hexdigest()[:8])


def run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError("%s: status %d\n%s" % (" ".join(command), done.returncode, done.stdout[-4000:]))
    return done.stdout


def mirror():
    """The one that this computer takes Debian from."""
    folder, text = "/etc/apt/sources.list.d", ""
    names = [os.path.join(folder, name) for name in sorted(os.listdir(folder))] if os.path.isdir(folder) else []
    for name in ["/etc/apt/sources.list"] + names:
        if os.path.exists(name):
            with open(name, encoding="utf-8", errors="replace") as f:
                text += f.read() + "\n"
    found = re.search(r"(?m)^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(http\S+/debian)/?(?:\s|$)", text)
    return found.group(1) if found else "http://deb.debian.org/debian"


def write(tree, path, text, mode=0o644):
    target = os.path.join(tree, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(target, mode)


def chroot(tree, *command):
    return run("chroot", tree, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
               "LC_ALL=C.UTF-8", *command)


def bootstrap(tree):
    """The system's files."""
    settings = run("apt-config", "dump")
    environment = dict(os.environ)
    proxy = re.search(r'Acquire::http::Proxy "([^"]+)"', settings)
    if proxy:
        environment["http_proxy"] = proxy.group(1)
    run("debootstrap", "--variant=minbase", SUITE, tree, mirror(), env=environment)
    write(tree, "etc/apt/sources.list", "deb %s %s main\n" % (mirror(), SUITE))
    write(tree, "etc/apt/apt.conf.d/90test", 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' +
          "".join(line + "\n" for line in settings.splitlines() if re.match(r"Acquire::https?::Proxy", line)))
    write(tree, "etc/dpkg/dpkg.cfg.d/90test", "force-unsafe-io\npath-exclude=/usr/share/doc/*\n"
          "path-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n")
    write(tree, "etc/initramfs-tools/conf.d/test", "MODULES=list\nCOMPRESS=gzip\n")
    write(tree, "etc/initramfs-tools/modules", "".join(name + "\n" for name in EARLY))
    write(tree, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    run("mount", "-t", "proc", "proc", os.path.join(tree, "proc"))
    try:
        chroot(tree, "apt-get", "update", "-q")
        chroot(tree, "apt-get", "install", "-q", "-y", *PACKAGES)
        chroot(tree, "sh", "-c", "echo root:backplane | chpasswd")
        chroot(tree, "apt-get", "clean")
    finally:
        run("umount", os.path.join(tree, "proc"))


def furnish(tree):
    """What makes the tree this test's system, and no larger than it needs be."""
    for name in os.listdir(os.path.join(tree, "lib/modules")):
        for folder in GONE:
            shutil.rmtree(os.path.join(tree, "lib/modules", name, "kernel", folder), ignore_errors=True)
        chroot(tree, "depmod", name)
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "usr/share/zoneinfo"):
        shutil.rmtree(os.path.join(tree, folder), ignore_errors=True)
    os.unlink(os.path.join(tree, "usr/sbin/policy-rc.d"))
    write(tree, "etc/fstab", "LABEL=%s / ext4 defaults 0 1\n" % LABEL)
    write(tree, "etc/hostname", "debian\n")
    write(tree, "small", SMALL, 0o755)
    write(tree, "boot/grub/grub.cfg", GRUB_CFG)
    boot = os.path.join(tree, "boot")
    for link, pattern in (("vmlinuz", "vmlinuz-"), ("initrd.img", "initrd.img-")):
        found = [name for name in os.listdir(boot) if name.startswith(pattern)]
        assert len(found) == 1, found
        os.rename(os.path.join(boot, found[0]), os.path.join(boot, link))
    for variant in ("i386-pc", "x86_64-efi"):
        shutil.copytree(os.path.join(tree, "usr/lib/grub", variant), os.path.join(boot, "grub", variant))


def grub(tree, variant, folder, extra):
    """GRUB's core with what it takes to find the root."""
    write(tree, "tmp/early.cfg", GRUB_EARLY)
    chroot(tree, "grub-mkimage", "-O", variant, "-o", "/tmp/core", "-c", "/tmp/early.cfg", "-p", "/boot/grub",
           *GRUB_MODULES, *extra)
    path = os.path.join(folder, variant)
    os.replace(os.path.join(tree, "tmp/core"), path)
    os.unlink(os.path.join(tree, "tmp/early.cfg"))
    return path


def gpt(size):
    """(sector, bytes) of both tables and the protective MBR's entry."""
    last = size // SECTOR - 1
    kinds = (("21686148-6449-6e6f-744e-656564454649", BIOS_AT, ESP_AT - 1),
             ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", ESP_AT, ROOT_AT - 1),
             ("0fc63daf-8483-4772-8e79-3d69d8477de4", ROOT_AT, last - 2048))
    entries = b"".join(struct.pack("<16s16sQQQ72s", uuid.UUID(kind).bytes_le,
                                   uuid.uuid5(uuid.NAMESPACE_DNS, kind).bytes_le, first, end, 0,
                                   ("part%d" % n).encode("utf-16-le"))
                       for n, (kind, first, end) in enumerate(kinds)).ljust(128 * 128, b"\0")
    disk = uuid.uuid5(uuid.NAMESPACE_DNS, LABEL).bytes_le

    def header(here, other, table):
        def packed(checksum):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, checksum, 0, here, other, 34, last - 33,
                               disk, table, 128, 128, zlib.crc32(entries))
        return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")

    return [(1, header(1, last, 2)), (2, entries), (last - 32, entries), (last, header(last, 1, last - 32))]


def mbr(boot_code, size):
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, min(size // SECTOR - 1, 0xffffffff))
    return boot_code[:440] + bytes(6) + entry.ljust(64, b"\0") + b"\x55\xaa"


def embedded(tree, folder):
    """GRUB's two parts for BIOS: the boot sector that reads the other at BIOS_AT, and that one, which reads itself."""
    with open(os.path.join(tree, "usr/lib/grub/i386-pc/boot.img"), "rb") as f:
        boot = bytearray(f.read())
    with open(grub(tree, "i386-pc", folder, ["biosdisk"]), "rb") as f:
        core = bytearray(f.read())
    assert len(boot) == SECTOR and len(core) <= (ESP_AT - BIOS_AT) * SECTOR
    floppy = bytes(boot).ljust(SECTOR, b"\0") + bytes(core)
    struct.pack_into("<Q", boot, 0x5c, BIOS_AT)  # where its next part is
    boot[0x66:0x68] = b"\x90\x90"  # it is the BIOS's drive, whichever that is
    struct.pack_into("<Q", core, SECTOR - 12, BIOS_AT + 1)
    return bytes(boot), bytes(core), floppy


def esp(tree, folder):
    """The EFI system partition with GRUB under the name that firmware looks for."""
    path, size = os.path.join(folder, "esp"), (ROOT_AT - ESP_AT) * SECTOR
    with open(path, "wb") as f:
        f.truncate(size)
    run("mformat", "-i", path, "-v", "EFI", "-h", "16", "-s", "63", "-t", str(size // SECTOR // (16 * 63)), "::")
    run("mmd", "-i", path, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", path, grub(tree, "x86_64-efi", folder, []), "::/EFI/BOOT/BOOTX64.EFI")
    return path


def assemble(tree, folder, target):
    boot, core, floppy = embedded(tree, folder)
    system = esp(tree, folder)
    root = os.path.join(folder, "root.ext4")
    sectors = SIZE // SECTOR - 2048 - ROOT_AT
    with open(root, "wb") as f:
        f.truncate(sectors * SECTOR)
    run("mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-d", tree, root)
    with open(target + ".new", "wb") as f:
        f.truncate(SIZE)
        for sector, data in [(0, mbr(boot, SIZE)), (BIOS_AT, core), *gpt(SIZE)]:
            f.seek(sector * SECTOR)
            f.write(data)
    for path, at in ((system, ESP_AT), (root, ROOT_AT)):
        run("dd", "if=" + path, "of=" + target + ".new", "bs=1M", "conv=notrunc,sparse", "oflag=seek_bytes",
            "seek=%d" % (at * SECTOR))
    with open(target.replace(".img", ".floppy"), "wb") as f:
        f.write(floppy.ljust(1440 << 10, b"\0"))
    os.rename(target + ".new", target)


@made_once
def make():
    """The paths of the image and of a floppy disk that starts the system on it."""
    target = image_path()
    if not os.path.exists(target):
        folder = os.path.join(CACHE, "debian-work")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        # The tree is slow to make and changes with its list of packages only.
        key = hashlib.sha256(repr((SUITE, PACKAGES, EARLY)).encode()).hexdigest()[:8]
        tar, tree = os.path.join(CACHE, "debian-%s.tar" % key), os.path.join(folder, "tree")
        if not os.path.exists(tar):
            bootstrap(tree)
            run("tar", "-C", tree, "--one-file-system", "-cf", tar + ".new", ".")
            os.rename(tar + ".new", tar)
        else:
            os.makedirs(tree)
            run("tar", "-C", tree, "-xpf", tar)
        furnish(tree)
        assemble(tree, folder, target)
        shutil.rmtree(folder)
    return target, target.replace(".img", ".floppy")


if __name__ == "__main__":
    print(*make())
    sys.exit(0)
