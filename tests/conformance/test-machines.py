#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest finds on each version of the boards pc and q35 is what tests/conformance/machines.json has: the
functions of the root bus with their configuration space after a reset, the ACPI tables (of those that are
compiled from ASL only the names: the compiler has its own say), the files of fw_cfg with firmware. A version
that was released never changes; what guests shall see differently is a new version's. Each version is a case,
such as pc-q35-2.8_shows_what_it_did.

usage: test-machines.py [--accept]     --accept: write down what is found now, for a version that is not released
"""
import hashlib
import json
import os
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "qtest"))
from qtest import QTest, Tap  # noqa: E402

STORED = os.path.join(HERE, "machines.json")


def bzimage():
    """The least that the 32-bit boot protocol asks of a kernel: a HLT."""
    image = bytearray(1024)
    image[0x1f1] = 1
    image[0x202:0x206] = b"HdrS"
    for at, form, value in ((0x1fe, "<H", 0xaa55), (0x206, "<H", 0x020f), (0x211, "<B", 1), (0x214, "<I", 0x100000),
                            (0x22c, "<I", 0x7fffffff), (0x230, "<I", 0x200000), (0x234, "<B", 1),
                            (0x238, "<I", 2047), (0x258, "<Q", 0x1000000), (0x260, "<I", 0x100000)):
        struct.pack_into(form, image, at, value)
    return bytes(image) + b"\xf4" * 4096


def functions(q):
    found = {}
    for devfn in range(256):
        q.outl(0xCF8, 0x80000000 | devfn << 8)
        if q.inl(0xCFC) == 0xFFFFFFFF:
            continue
        space = b""
        for at in range(0, 256, 4):
            q.outl(0xCF8, 0x80000000 | devfn << 8 | at)
            space += struct.pack("<I", q.inl(0xCFC))
        # Long runs of zeros are left out.
        found["%02x.%d" % (devfn >> 3, devfn & 7)] = {
            "%02x" % at: space[at:at + 16].hex() for at in range(0, 256, 16) if any(space[at:at + 16])}
    return found


def table(q, at):
    size = struct.unpack("<I", q.read(at + 4, 4))[0]
    return q.read(at, size)


def tables(q):
    low = q.read(0xe0000, 0x20000)
    root = table(q, struct.unpack_from("<I", low, low.index(b"RSD PTR ") + 16)[0])
    found = []
    for at, in struct.iter_unpack("<I", root[36:]):
        data = table(q, at)
        name = data[:4].decode() + " " + data[16:24].decode("latin-1").strip("\0 ")
        if data[:4] == b"FACP":  # but for what leads to other tables
            data = data[:36] + data[44:140] + data[148:]
            found.append(name + " " + hashlib.sha256(data[:9] + data[10:]).hexdigest()[:16])
            dsdt = table(q, struct.unpack("<I", q.read(at + 40, 4))[0])
            found.append("DSDT " + dsdt[16:24].decode("latin-1").strip("\0 "))
        elif data[:4] == b"SSDT":
            found.append(name)
        else:
            found.append(name + " " + hashlib.sha256(data).hexdigest()[:16])
    return found


def files(q):
    q.outw(0x510, 0x19)
    count = struct.unpack(">I", bytes(q.inb(0x511) for _ in range(4)))[0]
    listed = []
    for _ in range(count):
        entry = bytes(q.inb(0x511) for _ in range(64))
        name, size = entry[8:].split(b"\0")[0].decode(), struct.unpack_from(">I", entry)[0]
        listed.append(name if any(w in name for w in ("acpi", "loader", "smbios")) else "%s %d" % (name, size))
    return sorted(listed)


def describe(version):
    with tempfile.NamedTemporaryFile(suffix=".bz") as kernel:
        kernel.write(bzimage())
        kernel.flush()
        with QTest(["-M", version, "-kernel", kernel.name]) as q:
            found = {"functions": functions(q), "acpi": tables(q), "properties": properties(version)}
    with tempfile.NamedTemporaryFile(suffix=".bin") as bios:  # no code runs: any firmware will do
        bios.write(bytes(65536))
        bios.flush()
        with QTest(["-M", version, "-bios", bios.name]) as q:
            return {**found, "fw_cfg": files(q)}


def properties(version):
    """What devices that users add are like, and registers that versions differ in."""
    with QTest(["-M", version, "-vga", "std", "-device", "pvpanic,id=p", "-device", "pvpanic-pci,id=pp"]) as q:
        def get(path, name):
            return q.qmp("qom-get", {"path": path, "property": name})

        found = {"pvpanic": get("/machine/peripheral/p", "events"), "pvpanic-pci": get("/machine/peripheral/pp", "events"),
                 "smbios-entry-point-type": get("/machine", "smbios-entry-point-type"),
                 "VGA.edid": get(q.path("VGA"), "edid")}
        if version.startswith("pc-i440fx-"):
            found["isa-fdc.fallback"] = get(q.path("isa-fdc"), "fallback")
        else:
            q.outl(0xCF8, 0x80000050)
            q.outw(0xCFC, 0xFFFF)
            found["mch extended TSEG"] = q.inw(0xCFC)
            found["ICH9-LPC.x-smi-broadcast"] = get(q.path("ICH9-LPC"), "x-smi-broadcast")
        q.writel(0xFEC00000, 1)
        found["I/O APIC"] = "%x" % q.readl(0xFEC00010)
        q.outw(0x510, 1)
        found["fw_cfg"] = q.inb(0x511)
    return found


def versions():
    with QTest(["-M", "none"]) as q:
        return sorted(m["name"] for m in q.qmp("query-machines") if m["name"].startswith(("pc-i440fx-", "pc-q35-")))


def digest(description):
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def differences(old, new, path=""):
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            yield from differences(old.get(key), new.get(key), path + "/" + key)
    elif old != new:
        yield "%s: was %s, is %s" % (path, json.dumps(old), json.dumps(new))


def accept():
    stored = {"descriptions": {}, "versions": {}}
    for version in versions():
        found = describe(version)
        stored["versions"][version] = digest(found)
        stored["descriptions"][digest(found)] = found
    with open(STORED, "w", encoding="ascii") as f:
        json.dump(stored, f, indent=1, sort_keys=True)
        f.write("\n")


def is_as_stored(stored, version):
    assert version in stored["versions"], "a new version: --accept writes it down"
    found = describe(version)
    before = stored["descriptions"][stored["versions"][version]]
    changes = list(differences(before, found))
    assert not changes, "guests of %s see something else:\n%s" % (version, "\n".join(changes[:30]))


def every_stored_version_is_there(stored, there):
    assert not set(stored["versions"]) - set(there), set(stored["versions"]) - set(there)


def main():
    if sys.argv[1:] == ["--accept"]:
        accept()
        return
    with open(STORED, encoding="ascii") as f:
        stored = json.load(f)
    there = versions()
    t = Tap()
    t.case("every_stored_version_is_there", every_stored_version_is_there, stored, there)
    for version in there:
        t.case(version + "_shows_what_it_did", is_as_stored, stored, version)
    t.done()


main()
