#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Versioned machine types beside those of qemu-system-x86_64, which is looked at from outside only: a small guest
(tests/guest/small/peek.c) tells on both what it finds on the root bus, in fw_cfg and by CPUID, and QMP what devices that
both have are set to. What differs has to stand in versioned-types.txt, with the reason.

usage: versioned-types.py [MACHINE...]    the versions that both have, but for the oldest; --all: what differs, in full
"""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", folder) for folder in ("house", "guest", "qtest")]
from qtest import Tap  # noqa: E402
from small import Guests, lacking  # noqa: E402
from tap import Skip  # noqa: E402
from console import BINARY as OURS, SLOW  # noqa: E402

PEER = shutil.which("qemu-system-x86_64")
EXPLAINED = os.path.join(HERE, "versioned-types.txt")
KERNELS = {}
# Devices that users add, one of each, with what each needs.
ADDED = {
    "virtio-net-pci": "romfile=", "virtio-rng-pci": "", "virtio-balloon-pci": "", "virtio-serial-pci": "", "virtio-scsi-pci": "",
    "virtio-blk-pci": "drive=n0", "virtio-keyboard-pci": "", "virtio-tablet-pci": "", "virtio-crypto-pci": "cryptodev=cb",
    "e1000": "romfile=", "rtl8139": "romfile=", "VGA": "romfile=", "bochs-display": "romfile=", "ahci": "", "piix3-usb-uhci": "", "usb-ehci": "",
    "qemu-xhci": "", "nec-usb-xhci": "", "intel-hda": "", "AC97": "audiodev=a", "ES1370": "audiodev=a", "pvpanic-pci": "", "edu": "",
    "pci-testdev": "", "i6300esb": "", "nvme": "drive=n1,serial=s", "lsi53c895a": "", "megasas": "", "pvscsi": "",
    "mptsas1068": "", "pci-bridge": "chassis_nr=1", "pci-serial": "chardev=c2", "sdhci-pci": "", "isa-serial": "chardev=c1,index=1", "isa-parallel":
    "chardev=c0", "pvpanic": "", "ib700": "", "vmgenid": "", "pcie-root-port": "chassis=2", "ioh3420": "chassis=3",
    "x3130-upstream": "", "i82801b11-bridge": ""}
ONLY_PCIE = {"pcie-root-port", "ioh3420", "x3130-upstream", "i82801b11-bridge"}
MODELS = ["qemu64", "qemu32", "kvm64", "pentium3", "core2duo", "Nehalem", "SandyBridge", "Haswell", "Broadwell",
          "Skylake-Client", "Skylake-Server", "Cascadelake-Server", "EPYC", "EPYC-Rome", "Opteron_G5", "Westmere"]


def multiboot(image, path):
    """The same guest for a loader that would start it in real mode otherwise: Multiboot 0.6.96, 3.1."""
    with open(image, "rb") as f:
        data = bytearray(f.read())
    data[0x202:0x206] = bytes(4)
    magic, flags, at, load = 0x1BADB002, 1 << 16, 0x1f00, 0x100000  # in the padding, and in the first 8 KiB
    assert not any(data[at:at + 32])
    struct.pack_into("<8I", data, at, magic, flags, -(magic + flags) & 0xffffffff, load + at - 0x400, load, 0, 0x180000, load)
    with open(path, "wb") as f:
        f.write(data)


class Machine:
    """Either program with the guest in it; `with`."""

    def __init__(self, program, args, kernel=None):
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-peer-")
        command = [program, "-display", "none", "-nodefaults", "-qmp", "stdio", *args]
        if kernel:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(os.path.join(self.folder.name, "serial"))
            listener.listen(1)
            listener.settimeout(60 * SLOW)
            command += ["-accel", "tcg", "-m", "128", "-kernel", kernel, "-chardev",
                        "socket,id=com,path=" + listener.getsockname(), "-serial", "chardev:com"]
        else:
            command += ["-S"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        try:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            self.qmp("qmp_capabilities")
            if kernel:
                self.serial = listener.accept()[0]
                self.serial.settimeout(60 * SLOW)
                self.lines = self.serial.makefile("r", encoding="latin-1", newline="\n")
                while "peek" not in self.lines.readline():
                    pass
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def qmp(self, name, arguments=None):
        request = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            reply = json.loads(line)
            if "error" in reply:
                raise ValueError(reply["error"]["desc"])
            if "return" in reply:
                return reply["return"]

    def tell(self, *words):
        self.serial.sendall((" ".join(words) + "\n").encode())
        return [int(word, 16) for word in self.lines.readline().split()]

    def inl(self, port):
        return self.tell("i", "4", "%x" % port)[0]

    def inb(self, port):
        return self.tell("i", "1", "%x" % port)[0]

    def outl(self, port, value):
        self.tell("o", "4", "%x" % port, "%x" % value)

    def outw(self, port, value):
        self.tell("o", "2", "%x" % port, "%x" % value)

    def cpuid(self, leaf, subleaf=0):
        return self.tell("c", "%x" % leaf, "%x" % subleaf)


def names(program, command, key="name"):
    with Machine(program, ["-M", "none"]) as q:
        arguments = {"implements": "device", "abstract": False} if command == "qom-list-types" else None
        return {e[key] for e in q.qmp(command, arguments)}


def version_of(name):
    found = re.fullmatch(r"pc-(?:i440fx|q35)-(\d+)\.(\d+)", name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


# ---- what a guest finds ----

class Config:
    def __init__(self, q, devfn):
        self.q, self.devfn = q, devfn

    def address(self, at):
        self.q.outl(0xCF8, 0x80000000 | self.devfn << 8 | (at & 0xfc))

    def get(self, at):
        self.address(at)
        return self.q.inl(0xCFC)

    def put(self, at, value):
        self.address(at)
        self.q.outl(0xCFC, value)


def bars(c, count):
    found = []
    at = 0x10
    while at < 0x10 + 4 * count:
        old = c.get(at)
        c.put(at, 0xffffffff)
        size = c.get(at)
        c.put(at, old)
        if size == 0:
            pass
        elif size & 1:
            found.append("BAR%d io %#x" % ((at - 0x10) // 4, (~(size & ~3) + 1) & 0xffff))
        else:
            found.append("BAR%d memory%s%s %#x" % ((at - 0x10) // 4, "64" if size & 4 else "",
                                                   " prefetchable" if size & 8 else "", (~(size & ~15) + 1) & 0xffffffff))
        at += 8 if size & 7 == 4 else 4
    c.put(0x30 if count == 6 else 0x38, 0xfffff800)
    rom = c.get(0x30 if count == 6 else 0x38)
    c.put(0x30 if count == 6 else 0x38, 0)
    if rom and count:
        found.append("ROM %#x" % ((~(rom & ~0x7ff) + 1) & 0xffffffff))
    return found


LENGTHS = {0x01: 8, 0x05: 4, 0x09: 4, 0x0d: 8, 0x10: 0x3c, 0x11: 12}


def capabilities(c):
    found, at, seen = [], c.get(0x34) & 0xff if c.get(4) >> 16 & 0x10 else 0, set()
    while at and at not in seen:
        seen.add(at)
        head = c.get(at)
        length = head >> 16 & 0xff if head & 0xff == 9 else LENGTHS.get(head & 0xff, 4)
        data = b"".join(struct.pack("<I", c.get(at + n)) for n in range(0, max(length, 4), 4))
        found.append(("%02x" % (head & 0xff) + (".%x" % (head >> 24) if head & 0xff == 9 else ""), data[2:].hex()))
        at = head >> 8 & 0xfc
    return found


def functions(q):
    """By identity and class, since slots are given out in another order."""
    found = {}
    for devfn in range(256):
        c = Config(q, devfn)
        identity = c.get(0)
        if identity == 0xffffffff:
            continue
        kind = c.get(0xc) >> 16 & 0x7f
        facts = {"class and revision": "%08x" % c.get(8), "header": "%02x" % kind, "pin": "%d" % (c.get(0x3c) >> 8 & 0xff),
                 "status": "%04x" % (c.get(4) >> 16)}
        if kind == 0:
            facts["subsystem"] = "%08x" % c.get(0x2c)
        for text in bars(c, 6 if kind == 0 else 2):
            facts[text.split()[0]] = text
        for kind, text in capabilities(c):
            facts["capability " + kind] = text
        key = "%04x:%04x" % (identity & 0xffff, identity >> 16)
        while key in found:
            key += "'"
        found[key] = facts
    return found


def fw_cfg(q):
    q.outw(0x510, 0x19)
    count = struct.unpack(">I", bytes(q.inb(0x511) for _ in range(4)))[0]
    entries = [bytes(q.inb(0x511) for _ in range(64)) for _ in range(count)]
    q.outw(0x510, 1)
    return {"fw_cfg files": ",".join(sorted(e[8:].split(b"\0")[0].decode() for e in entries)),
            "fw_cfg features": "%x" % q.inb(0x511)}


def devices(q, path="/machine", found=None):
    """Paths of devices by type."""
    found = {} if found is None else found
    for entry in q.qmp("qom-list", {"path": path}):
        if not entry["type"].startswith("child<"):
            continue
        kind, below = entry["type"][6:-1], path + "/" + entry["name"]
        if kind.endswith(("memory-region", "irq")) or kind == "bus":
            continue
        found.setdefault(kind, below)
        devices(q, below, found)
    return found


HOST = re.compile(r"^(type|parent_bus|hotplugged|realized|hotpluggable|drive|chardev|netdev|mac|bootindex|addr|bus|id|"
                  r"host_mtu|rng|cryptodev|acpi-table|migration|serial|logical_block_size|physical_block_size|"
                  r"discard_granularity|write-cache|share-rw|num-queues|legacy-.*|x-.*mig.*|queue_.*|romfile|"
                  r"unattached.*|.*-path|iothread|len-.*|child\[.*|guest-stats.*|.*\[\d+\])$")


def settings(q, paths):
    found = {}
    for kind, path in paths.items():
        for entry in q.qmp("qom-list", {"path": path}):
            name = entry["name"]
            if "<" in entry["type"] or HOST.match(name):
                continue
            try:
                found["%s.%s" % (kind, name)] = str(q.qmp("qom-get", {"path": path, "property": name})).lower()
            except ValueError:  # write-only, or computed and not now
                continue
    return found


def models(q):
    found = {}
    for name in MODELS:
        try:
            props = q.qmp("query-cpu-model-expansion", {"type": "full", "model": {"name": name}})["model"]["props"]
        except ValueError:
            continue
        found.update({"cpu %s.%s" % (name, key): str(value).lower() for key, value in props.items()})
    return found


def cpuid(q):
    """What no accelerator decides: names, families, sizes of caches and addresses."""
    found = {}
    for leaf in (0, 2, 4, 0x80000000, 0x80000002, 0x80000003, 0x80000004, 0x80000005, 0x80000006, 0x80000008):
        found["CPUID %x" % leaf] = " ".join("%08x" % v for v in q.cpuid(leaf))
    found["CPUID 1 eax"] = "%08x" % q.cpuid(1)[0]
    return found


ONE_SLOT = ("lsi53c895a", "am53c974", "megasas", "mptsas1068", "pvscsi", "virtio-balloon-pci", "virtio-rng-pci", "edu")


def describe(program, name, added):
    args = ["-M", name, "-blockdev", "null-co,node-name=n0,size=1048576", "-blockdev", "null-co,node-name=n1,size=1048576",
            "-object", "cryptodev-backend-builtin,id=cb", "-audiodev", "none,id=a"]
    for n in range(3):
        args += ["-chardev", "null,id=c%d" % n]
    together = [kind for kind in added if kind in ONE_SLOT]  # else there are more of them than slots
    for n, kind in enumerate(together + [kind for kind in added if kind not in together]):
        args += ["-device", "%s,id=d%d%s%s%s" % (kind, n, "," if ADDED[kind] else "", ADDED[kind],
                                                 ",addr=0x1b.%d,multifunction=on" % n if kind in together else "")]
    with Machine(program, args, KERNELS[program]) as q:
        found = {**fw_cfg(q), **cpuid(q)}
        for key, facts in functions(q).items():
            found.update({"pci %s %s" % (key, fact): value for fact, value in facts.items()})
        settled = settings(q, devices(q))
        settled.update(models(q))
        return found, settled


# ---- comparing ----

def explanations():
    found = []
    with open(EXPLAINED, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                pattern, _, reason = line.rstrip("\n").partition("\t")
                assert reason, line
                found.append([re.compile(pattern), reason, 0])
    return found


def differences(name, added):
    (here, ours), (there, peers) = describe(OURS, name, added), describe(PEER, name, added)
    for key in sorted(set(here) | set(there)):
        if here.get(key) != there.get(key):
            yield "%s: %s, QEMU %s" % (key, here.get(key), there.get(key))
    for key in sorted(set(ours) & set(peers)):  # what only one knows is no guest's matter
        if ours[key] != peers[key]:
            yield "%s: %s, QEMU %s" % (key, ours[key], peers[key])


def main():
    tap = Tap()
    if not PEER or lacking():
        def missing():
            raise Skip(lacking() or "qemu-system-x86_64 is not here")
        tap.case("peer", missing)
        tap.done()
        return
    guests = Guests()
    KERNELS[OURS] = guests.image("peek")
    KERNELS[PEER] = KERNELS[OURS] + "-multiboot"
    multiboot(KERNELS[OURS], KERNELS[PEER])
    both = names(OURS, "query-machines") & names(PEER, "query-machines")
    known = names(OURS, "qom-list-types") & names(PEER, "qom-list-types")
    asked = [a for a in sys.argv[1:] if not a.startswith("--")]
    reasons = explanations()
    for name in sorted((n for n in both if version_of(n) >= (2, 8)), key=lambda n: (n.split("-")[1], version_of(n))):
        if asked and name not in asked:
            continue

        def compare(name=name):
            added = [kind for kind in ADDED if kind in known and ("q35" in name or kind not in ONLY_PCIE)]
            left = []
            for text in differences(name, added):
                for entry in reasons:
                    if entry[0].search("%s %s" % (name, text)):
                        entry[2] += 1
                        break
                else:
                    left.append(text)
            if "--all" in sys.argv:
                print("\n".join("# " + text for text in left))
            assert not left, "%d differences: %s" % (len(left), "; ".join(left)[:4000])
        tap.case(name + " shows what its peer does, or it is explained", compare)

    def reasons_are_needed():
        unused = [entry[0].pattern for entry in reasons if not entry[2]]
        assert not unused, unused
    if not asked:
        tap.case("no explanation is for nothing", reasons_are_needed)
    tap.done()


main()
