# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a module file says of itself: the records of its ELF notes (see <bp/module.h>), read as
data. 64-bit files of either byte order, which is what modules are."""
import re
import struct

# Kinds that the core knows, and what a package calls those whose names people ask for. All others are
# declared by a framework's module, as "kind". Models of processors come with their family, and are too
# many: dpkg allows a field 5000 characters.
KINDS = {"device": "device", "bus": "bus", "board": "machine", "cpu": None, "accel": "accel",
         "object": "object", "interface": "interface", "kind": "kind", "option": None,
         "command": None, "hmp": None, "event": None, "abstract": None, "trace": None}
NOTE_SECTION, NOTE_SEGMENT, OWNER = 7, 4, b"Backplane\0"


class NotAModule(Exception):
    """The file has no notes of a module; the message says why."""


def read_records(path):
    """The "key=value" records in the file's order."""
    with open(path, "rb") as f:
        data = f.read()
    try:
        return _records(data)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise NotAModule("%s is malformed: %s" % (path, error)) from None


def _records(data):
    if data[:4] != b"\x7fELF" or data[4] != 2:
        raise NotAModule("not a 64-bit ELF file")
    order = "<" if data[5] == 1 else ">"
    phoff, = struct.unpack_from(order + "Q", data, 32)
    phentsize, phnum = struct.unpack_from(order + "HH", data, 54)
    records = []
    for i in range(phnum):
        kind, _, offset, _, _, size = struct.unpack_from(order + "IIQQQQ", data,
                                                         phoff + i * phentsize)
        if kind == NOTE_SEGMENT:
            records += _notes(data[offset:offset + size], order)
    return list(dict.fromkeys(records))


def _notes(data, order):
    at, records = 0, []
    while at + 12 <= len(data):
        namesz, descsz, _ = struct.unpack_from(order + "III", data, at)
        name = data[at + 12:at + 12 + namesz]
        start = at + 12 + (namesz + 3 & ~3)
        if name == OWNER:
            records.append(data[start:start + descsz].split(b"\0")[0].decode())
        at = start + (descsz + 3 & ~3)
    return records


class Module:
    """name, tier ("public" or "exact:STAMP"), provides [(kind, name)], requires ["isa/1"]."""

    def __init__(self, path):
        records = read_records(path)
        values = dict(r.split("=", 1) for r in records if "=" in r)
        if "name" not in values:
            raise NotAModule("%s has no notes of a module" % path)
        self.path, self.name, self.tier = path, values["name"], values.get("tier", "")
        self.requires = [r[9:] for r in records if r.startswith("requires=")]
        self.provides = []
        for record in records:
            if record.startswith("provides="):
                kind, name = record[9:].split(";")[0].split(":", 1)
                self.provides.append((kind, name))
            elif record.startswith("alias="):
                kind, name = record[6:].split("=")[0].split(":", 1)
                self.provides.append((kind, name))

    @property
    def exact_stamp(self):
        return self.tier[6:] if self.tier.startswith("exact:") else None

    def virtual_packages(self):
        """Names for Provides: backplane-device-isa-serial, backplane-interface-isa-1."""
        # A board's versions come with the board.
        return [virtual_name(KINDS.get(kind, kind), name) for kind, name in self.provides
                if KINDS.get(kind, kind) and not (kind == "board" and re.search(r"-\d+(\.\d+)+$", name))]

    def needed_packages(self):
        needed = [virtual_name("interface", r) for r in self.requires]
        kinds = {kind for kind, _ in self.provides if kind not in KINDS}
        needed += [virtual_name("kind", k) for k in sorted(kinds) if ("kind", k) not in self.provides]
        return needed + ([virtual_name("exact", self.exact_stamp)] if self.exact_stamp else [])


def virtual_name(kind, name):
    """Both package systems allow small letters, digits, plus, minus and point."""
    return "backplane-%s-%s" % (kind, re.sub(r"[^a-z0-9+.-]", "-", name.lower()))
