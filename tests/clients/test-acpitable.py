# SPDX-License-Identifier: LGPL-2.1-or-later
"""
-acpitable and the table loader's script: what firmware is given becomes tables that iasl takes apart.
Usage: test-acpitable.py SOURCE-ROOT BUILD-ROOT
"""
import os
import subprocess
import sys

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import fwcfg  # noqa: E402
import tap  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("acpitable-")


def firmware(q):
    """Does what the script says, as firmware would: {signature: [tables]}."""
    memory, files, free = bytearray(4 << 20), {}, 0x10000

    def name(raw):
        return raw.split(b"\0")[0].decode()
    script = fwcfg.file(q, "etc/table-loader")
    assert len(script) % 128 == 0
    for at in range(0, len(script), 128):
        entry = script[at:at + 128]
        kind, first, second = int.from_bytes(entry[:4], "little"), name(entry[4:60]), entry[60:]
        if kind == 1:
            align = int.from_bytes(second[:4], "little")
            assert align & (align - 1) == 0 and second[4] in (1, 2), entry
            content = fwcfg.file(q, first)
            free = (free + align - 1) // align * align
            files[first] = (free, len(content))
            memory[free:free + len(content)] = content
            free += len(content)
        elif kind == 2:
            where, width = int.from_bytes(second[56:60], "little"), second[60]
            assert width in (1, 2, 4, 8) and where + width <= files[first][1], entry
            where += files[first][0]
            value = int.from_bytes(memory[where:where + width], "little") + files[name(second[:56])][0]
            memory[where:where + width] = value.to_bytes(width, "little")
        elif kind == 3:
            at_sum, start, size = (int.from_bytes(second[n:n + 4], "little") for n in (0, 4, 8))
            base, length = files[first]
            assert at_sum < length and start + size <= length, entry
            memory[base + at_sum] = (memory[base + at_sum] - sum(memory[base + start:base + start + size])) & 0xff
        else:
            assert kind in (0, 4), kind
    rsdp, _ = files["etc/acpi/rsdp"]
    assert memory[rsdp:rsdp + 8] == b"RSD PTR " and sum(memory[rsdp:rsdp + 36]) & 0xff == 0
    assert sum(memory[rsdp:rsdp + 20]) & 0xff == 0

    def table(address):
        size = int.from_bytes(memory[address + 4:address + 8], "little")
        data = bytes(memory[address:address + size])
        assert sum(data) & 0xff == 0, data[:4]
        return data
    xsdt = table(int.from_bytes(memory[rsdp + 24:rsdp + 32], "little"))
    rsdt = table(int.from_bytes(memory[rsdp + 16:rsdp + 20], "little"))
    listed = [int.from_bytes(xsdt[n:n + 8], "little") for n in range(36, len(xsdt), 8)]
    assert listed == [int.from_bytes(rsdt[n:n + 4], "little") for n in range(36, len(rsdt), 4)]
    found = {"RSDT": [rsdt], "XSDT": [xsdt]}
    for address in listed:
        data = table(address)
        found.setdefault(data[:4].decode(), []).append(data)
    fadt = found["FACP"][0]
    facs = int.from_bytes(fadt[36:40], "little")
    assert memory[facs:facs + 4] == b"FACS" and facs % 64 == 0
    found["DSDT"] = [table(int.from_bytes(fadt[40:44], "little"))]
    assert int.from_bytes(fadt[40:44], "little") == int.from_bytes(fadt[140:148], "little")
    return found


def tables(*options):
    with QTest(["-M", "pc", *options]) as q:
        return firmware(q)


def write(name, content):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as f:
        f.write(content)
    return path


def refused(*options):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *options],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (options, done)
    return lines[0]


def loader_makes_whole_tables():
    found = tables("-smp", "3", "-device", "isa-serial,chardev=n", "-chardev", "null,id=n")
    assert {"FACP", "APIC", "HPET", "SSDT", "DSDT"} <= set(found), found.keys()
    for signature, several in found.items():
        for number, data in enumerate(several):
            path = write("%s%d.dat" % (signature, number), data)
            done = subprocess.run(["iasl", "-d", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "rror" not in done.stdout, (signature, done)


def tables_are_built_anew_when_the_script_is_read():
    with QTest(["-M", "pc"]) as q:
        first = firmware(q)
        assert firmware(q) == first  # they are not placed twice in one image


def data_get_a_header_of_keys():
    one, two = write("one", b"first "), write("two", b"second")
    table = tables("-acpitable", "sig=TEST,rev=3,oem_id=me,oem_table_id=mytable,oem_rev=0x01020304,asl_compiler_id=abc,"
                   "asl_compiler_rev=7,data=%s:%s" % (one, two))["TEST"][0]
    assert table[36:] == b"first second", table
    assert table[4:8] == (48).to_bytes(4, "little") and table[8] == 3, table
    assert table[10:36] == b"me    mytable \4\3\2\1abc \7\0\0\0", table


def whole_tables_keep_what_no_key_changes():
    whole = b"WHOL" + bytes(4) + b"\2\xff" + b"OEMID1" + b"TABLEID1" + b"\1\0\0\0" + b"COMP" + b"\2\0\0\0" + b"body"
    path = write("whole", whole)
    table = tables("-acpitable", "file=" + path, "-acpitable", "file=%s,sig=OTHR,oem_id=x" % path)
    assert table["WHOL"][0][8:9] == b"\2" and table["WHOL"][0][10:] == bytes(whole[10:]), table["WHOL"]
    assert table["OTHR"][0][10:24] == b"x     TABLEID1" and table["OTHR"][0][36:] == b"body", table["OTHR"]


def slic_gives_its_ids_to_others():
    path = write("slic", bytes(8))
    found = tables("-acpitable", "sig=SLIC,oem_id=SLICID,oem_table_id=SLICTAB1,data=" + path)
    for name in ("RSDT", "XSDT", "FACP", "SLIC"):
        assert found[name][0][10:24] == b"SLICIDSLICTAB1", (name, found[name][0][:36])
    assert found["APIC"][0][10:24] != b"SLICIDSLICTAB1"


def large_tables_are_placed_by_firmware():
    path = write("large", bytes(200000))
    assert len(tables("-acpitable", "sig=LARG,data=" + path)["LARG"][0]) == 200036


def mistakes_name_what_is_right():
    path, short = write("data", b"x"), write("short", b"too short")
    for wrong, right in (("sig=TOOLONG,data=" + path, "4"), ("data=" + path, "sig="), ("sig=TEST", "data="),
                         ("sig=TEST,data=%s,file=%s" % (path, path), "one of"), ("file=" + short, "36"),
                         ("sig=TEST,data=/nonexistent/x", "/nonexistent/x"), ("sig=TEST,rev=256,data=" + path, "255"),
                         ("sig=TEST,oem_id=1234567,data=" + path, "6"), ("sig=TEST,data=%s:" % path, "FILE"),
                         ("sig=TEST,frob=1,data=" + path, "frob"), ("sig=TST,data=" + path, "4")):
        said = refused("-acpitable", wrong)
        assert right in said and "-acpitable" in said, (wrong, said)
    assert "ACPI" in refused("-M", "none", "-acpitable", "sig=TEST,data=" + path)


tap.run([loader_makes_whole_tables, tables_are_built_anew_when_the_script_is_read, data_get_a_header_of_keys,
         whole_tables_keep_what_no_key_changes, slic_gives_its_ids_to_others, large_tables_are_placed_by_firmware,
         mistakes_name_what_is_right])
