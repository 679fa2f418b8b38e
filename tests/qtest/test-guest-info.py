#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What firmware and guests are told of generations (vmgenid), and tell of their crash dump notes
(vmcoreinfo)."""
import struct
import tempfile
import uuid

from qtest import Failed, QTest, Tap

GUID = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"
LE = uuid.UUID(GUID).bytes_le
GPE0 = 0xAFE0


def select(q, name):
    """The key and length of a fw_cfg file."""
    q.outw(0x510, 0x19)
    for _ in range(int.from_bytes(bytes(q.inb(0x511) for _ in range(4)), "big")):
        entry = bytes(q.inb(0x511) for _ in range(64))
        if entry[8:].rstrip(b"\0").decode() == name:
            return int.from_bytes(entry[4:6], "big"), int.from_bytes(entry[:4], "big")
    raise AssertionError("there is no file " + name)


def contents(q, name):
    key, size = select(q, name)
    q.outw(0x510, key)
    return bytes(q.inb(0x511) for _ in range(size))


def put(q, name, data, offset=0):
    """Writes by DMA; True: accepted."""
    key, _ = select(q, name)
    for control, length in ((key << 16 | 8 | 4, offset), (0x10, len(data))):
        q.write(0x7000, struct.pack(">IIQ", control, length, 0x8000))
        q.write(0x8000, data)
        q.outl(0x514, 0)
        q.outl(0x518, 0x00700000)
    return q.readl(0x7000) == 0


def firmware(arguments, function):
    """A pc whose firmware is one that halts."""
    with tempfile.NamedTemporaryFile() as rom:
        rom.write(b"\xf4" * 65536)
        rom.flush()
        with QTest(["-M", "pc", "-bios", rom.name, *arguments]) as q:
            function(q)


# ---- vmcoreinfo ----

def guest_writes_where_its_notes_are(q):
    get = lambda name: q.qmp("qom-get", {"path": "/machine/peripheral/v", "property": name})
    assert contents(q, "etc/vmcoreinfo") == struct.pack("<HHIQ", 1, 0, 0, 0)
    assert (get("guest-format"), get("size"), get("paddr")) == (0, 0, 0)
    assert put(q, "etc/vmcoreinfo", struct.pack("<HHIQ", 0, 1, 0x434, 0x123456789A))
    assert (get("guest-format"), get("size"), get("paddr")) == (1, 0x434, 0x123456789A)
    assert not put(q, "etc/vmcoreinfo", b"x" * 17)
    assert get("size") == 0x434
    q.qmp("system_reset")
    q.qmp("query-status")
    q.qmp("query-status")
    assert (get("guest-format"), get("size"), get("paddr")) == (0, 0, 0)
    assert put(q, "etc/vmcoreinfo", struct.pack("<HHIQ", 0, 1, 5, 6)) and get("size") == 5


def one_is_enough():
    for device in ("vmcoreinfo", "vmgenid"):
        for options, word in ((("-M", "pc", "-device", device, "-device", device), "already"),
                              (("-M", "none", "-device", device), "fw_cfg")):
            try:
                with QTest(list(options)):
                    raise AssertionError("it was accepted")
            except Failed as error:
                assert word in str(error), error


# ---- vmgenid ----

def loader_commands(q):
    """(pointer fields in the tables, what is told): {offset: target}, (file, offset)."""
    script, pointers, told = contents(q, "etc/table-loader"), {}, None
    tables = contents(q, "etc/acpi/tables")
    for at in range(0, len(script), 128):
        command, = struct.unpack_from("<I", script, at)
        names = [script[at + 4 + 56 * i:at + 60 + 56 * i].split(b"\0")[0].decode(errors="replace") for i in range(2)]
        if command == 2 and names == ["etc/acpi/tables"] * 2:
            offset, = struct.unpack_from("<I", script, at + 116)
            size = script[at + 120]
            pointers[offset] = int.from_bytes(tables[offset:offset + size], "little")
        elif command == 4:
            assert told is None and names[1] == "etc/acpi/tables"
            destination, source = struct.unpack_from("<II", script, at + 116)
            assert destination == 0 and script[at + 124] == 8
            told = names[0], source
        elif command == 1 and names[0] == "etc/acpi/tables":
            assert struct.unpack_from("<I", script, at + 60)[0] % 4096 == 0
    return tables, pointers, told


def firmware_places_the_page(q):
    tables, pointers, (file, page) = loader_commands(q)
    assert file == "etc/vmgenid_addr" and page % 4096 == 0
    field = tables.index(b"VGIA\x0c") + 5
    assert pointers[field] == page
    assert tables[page:page + 4096] == bytes(4096)
    # As firmware does: the tables at 2 MiB, and the page's address into the file.
    q.write(0x200000 + page, tables[page:page + 4096])
    assert put(q, file, struct.pack("<Q", 0x200000 + page))
    assert q.read(0x200000 + page, 64) == bytes(40) + LE + bytes(8)


def change_is_written_and_told(q):
    assert q.qmp("query-vm-generation-id") == {"guid": GUID}
    assert q.qmp("human-monitor-command", {"command-line": "info vm-generation-id"}).strip() == GUID
    path = "/machine/peripheral/g"
    new = "00112233-4455-6677-8899-aabbccddeeff"
    q.qmp("qom-set", {"path": path, "property": "guid", "value": new})  # nobody knows where yet
    assert q.inb(GPE0) == 0
    assert put(q, "etc/vmgenid_addr", struct.pack("<Q", 0x300000))
    assert q.read(0x300028, 16) == uuid.UUID(new).bytes_le and q.inb(GPE0) == 0
    q.qmp("qom-set", {"path": path, "property": "guid", "value": GUID.upper()})
    assert q.read(0x300028, 16) == LE and q.inb(GPE0) == 1 << 5
    q.outb(GPE0, 1 << 5)
    q.qmp("qom-set", {"path": path, "property": "guid", "value": "auto"})
    made = q.qmp("query-vm-generation-id")["guid"]
    assert q.read(0x300028, 16) == uuid.UUID(made).bytes_le and uuid.UUID(made).version == 4
    assert made != GUID and q.inb(GPE0) == 1 << 5
    for bad in ("", "324e6eaf", GUID + "0", GUID.replace("-", "_"), GUID.replace("3", "g")):
        try:
            q.qmp("qom-set", {"path": path, "property": "guid", "value": bad})
        except Failed as error:
            assert "UUID" in str(error), error
        else:
            raise AssertionError(bad)
    # Anywhere: its own firmware's registers, where nothing is.
    for address in (0xFEE00000, 0xFFFFFFFFFFFFF000, 0xFFFFFFFFFFFFFFFF):
        assert put(q, "etc/vmgenid_addr", struct.pack("<Q", address))
        q.qmp("qom-set", {"path": path, "property": "guid", "value": "auto"})
    assert q.qmp("query-vm-generation-id")["guid"] != GUID


def without_the_device_nobody_knows(q):
    for command in ("query-vm-generation-id",):
        try:
            q.qmp(command)
        except Failed as error:
            assert "not found" in str(error), error
        else:
            raise AssertionError("it answered")
    assert loader_commands(q)[2] is None and b"VGEN" not in contents(q, "etc/acpi/tables")
    assert b"PEVT" not in contents(q, "etc/acpi/tables")


def pvpanic_is_in_the_tables(q):
    assert b"QEMU0001" in contents(q, "etc/acpi/tables")


tap = Tap()
tap.machine_case("guest_writes_where_its_notes_are", ["-M", "pc", "-device", "vmcoreinfo,id=v"],
                 guest_writes_where_its_notes_are)
tap.case("one_is_enough", one_is_enough)
VMGENID = ["-device", "vmgenid,guid=%s,id=g" % GUID]
tap.case("firmware_places_the_page", firmware, VMGENID, firmware_places_the_page)
tap.machine_case("change_is_written_and_told", ["-M", "pc", *VMGENID], change_is_written_and_told)
tap.case("without_the_device_nobody_knows", firmware, [], without_the_device_nobody_knows)
tap.case("pvpanic_is_in_the_tables", firmware, ["-device", "pvpanic"], pvpanic_is_in_the_tables)
tap.done()
