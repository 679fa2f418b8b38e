# SPDX-License-Identifier: LGPL-2.1-or-later
"""
-smbios: dmidecode takes the tables apart, as firmware gets them and as a kernel without firmware finds them.
Usage: test-smbios.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import subprocess
import sys

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import fwcfg  # noqa: E402
import tap  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("smbios-")
KINDS = ("32", "64")


def decode(anchor, tables, *args):
    """What dmidecode says of them; it has nothing to complain of."""
    anchor = bytearray(anchor)
    if anchor[:5] == b"_SM3_":
        anchor[0x10:0x18] = (32).to_bytes(8, "little")
        anchor[5] = 0
        anchor[5] = -sum(anchor) & 0xff
    else:
        assert anchor[:4] == b"_SM_"
        anchor[0x18:0x1c] = (32).to_bytes(4, "little")
        anchor[0x15] = 0
        anchor[0x15] = -sum(anchor[0x10:]) & 0xff
        anchor[4] = 0
        anchor[4] = -sum(anchor) & 0xff
    path = os.path.join(FOLDER, "dump")
    with open(path, "wb") as f:
        f.write(anchor.ljust(32, b"\0") + tables)
    done = subprocess.run(["dmidecode", "--from-dump", path, *args], capture_output=True, text=True, check=True)
    bad = [line for line in (done.stdout + done.stderr).splitlines()
           if re.search("[Ww]rong|BAD INDEX|OUT OF SPEC|broken|truncated|Invalid", line)]
    assert not bad, bad
    return done.stdout


def by_firmware(*options, kind="32"):
    with QTest(["-M", "pc,smbios-entry-point-type=" + kind, *options]) as q:
        return fwcfg.file(q, "etc/smbios/smbios-anchor"), fwcfg.file(q, "etc/smbios/smbios-tables")


def section(text, kind):
    """{field: value} of each structure of a type."""
    found = []
    for part in re.split(r"\n(?=Handle )", text):
        if ", DMI type %d," % kind in part:
            found.append(dict(re.findall(r"^\t([^\t:]+):(?: (.*))?$", part, re.M)))
    return found


def refused(*options):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *options],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (options, done)
    assert lines[0].count("-smbios") == 1, lines
    return lines[0]


def wants(kind, number, options, wanted):
    seen = section(decode(*by_firmware(*options, kind=kind)), number)
    assert seen, "no structure of type %d" % number
    for name, value in wanted.items():
        assert seen[0].get(name) == value, (name, value, seen[0])


def defaults_describe_the_machine():
    for kind in KINDS:
        text = decode(*by_firmware("-m", "20G", "-smp", "8,sockets=2,cores=2,threads=2", "-uuid",
                                   "00112233-4455-6677-8899-aabbccddeeff", kind=kind))
        assert section(text, 0) == section(text, 2) == [], text
        system = section(text, 1)[0]
        assert system["Manufacturer"] == "QEMU" and system["Version"] == "pc-i440fx-9.1", system
        assert system["Product Name"] == "Standard PC (i440FX + PIIX, 1996)", system
        assert system["UUID"] == "00112233-4455-6677-8899-aabbccddeeff", system
        cpus = section(text, 4)
        assert [c["Socket Designation"] for c in cpus] == ["CPU 0", "CPU 1"], cpus
        assert cpus[0]["Core Count"] == "2" and cpus[0]["Thread Count"] == "4", cpus
        assert cpus[0]["ID"] != "00 00 00 00 00 00 00 00", cpus
        assert [d["Size"] for d in section(text, 17)] == ["16 GB", "4 GB"], text
        assert section(text, 16)[0]["Maximum Capacity"] == "20 GB", text
        maps = section(text, 19)
        assert maps[0]["Starting Address"] == "0x00000000000" and maps[0]["Range Size"] == "3 GB", maps
        assert maps[1]["Starting Address"] == "0x00100000000" and maps[1]["Range Size"] == "17 GB", maps
        assert len(section(text, 127)) == 1, text
    anchor, _ = by_firmware(kind="auto")
    assert anchor[:4] == b"_SM_", anchor


def type0_is_told():
    for uefi in ("on", "off"):
        wants("32", 0, ("-smbios", "type=0,vendor=me,version=1.0,,2,date=01/02/2003,release=12.34,uefi=" + uefi),
              {"Vendor": "me", "Version": "1.0,2", "Release Date": "01/02/2003", "BIOS Revision": "12.34"})
        text = decode(*by_firmware("-smbios", "type=0,uefi=" + uefi))
        assert ("UEFI is supported" in text) == (uefi == "on"), text


def type1_is_told():
    wants("64", 1, ("-smbios", "type=1,manufacturer=m1,product=p,version=v,serial=ds=nocloud", "-smbios",
                    "type=1,manufacturer=m,uuid=01234567-89AB-cdef-0123-456789abcdef,sku=k,family=f"),
          {"Manufacturer": "m", "Product Name": "p", "Version": "v", "Serial Number": "ds=nocloud", "SKU Number": "k",
           "UUID": "01234567-89ab-cdef-0123-456789abcdef", "Family": "f", "Wake-up Type": "Power Switch"})


def type2_is_told():
    wants("32", 2, ("-smbios", "type=2,manufacturer=m,product=p,version=v,serial=s,asset=a,location=l"),
          {"Manufacturer": "m", "Product Name": "p", "Version": "v", "Serial Number": "s", "Asset Tag": "a",
           "Location In Chassis": "l", "Chassis Handle": "0x0300", "Type": "Motherboard"})


def type3_is_told():
    wants("32", 3, ("-smbios", "type=3,manufacturer=m,version=v,serial=s,asset=a,sku=k"),
          {"Manufacturer": "m", "Version": "v", "Serial Number": "s", "Asset Tag": "a", "SKU Number": "k"})


def type4_is_told():
    wants("64", 4, ("-smbios", "type=4,sock_pfx=S,manufacturer=m,version=v,serial=s,asset=a,part=p,max-speed=4000,"
                    "current-speed=3000,processor-family=0xc6,processor-id=0x1122334455667788"),
          {"Socket Designation": "S 0", "Manufacturer": "m", "Version": "v", "Serial Number": "s", "Asset Tag": "a",
           "Part Number": "p", "Max Speed": "4000 MHz", "Current Speed": "3000 MHz", "Family": "Core i7",
           "ID": "88 77 66 55 44 33 22 11"})


def type8_and_9_are_told():
    options = ("-smbios", "type=8,internal_reference=J1,external_reference=USB1,connector_type=0x12,port_type=0x10",
               "-smbios", "type=8,internal_reference=J2", "-device", "edu,id=card,addr=0x12", "-smbios",
               "type=9,slot_designation=Slot1,slot_type=0xa5,slot_data_bus_width=8,current_usage=4,slot_length=4,"
               "slot_id=7,slot_characteristics1=4,slot_characteristics2=1,pci_device=card",
               "-smbios", "type=9,slot_designation=Slot2,slot_characteristics12=2", "-smbios",
               "type=9,slot_designation=Slot3,pcidev=card")
    text = decode(*by_firmware(*options))
    ports, slots = section(text, 8), section(text, 9)
    assert ports[0] == {"Internal Reference Designator": "J1", "Internal Connector Type": "None",
                        "External Reference Designator": "USB1", "External Connector Type": "Access Bus (USB)",
                        "Port Type": "USB"}, ports
    assert ports[1]["Internal Reference Designator"] == "J2", ports
    assert slots[0]["Designation"] == "Slot1" and slots[0]["Type"] == "x1 PCI Express", slots  # 8 is x1, as 7.10.2 has it
    assert "3.3 V is provided" in text and "PME signal is supported" in text, text
    assert slots[0]["Current Usage"] == "In Use" and slots[0]["Length"] == "Long" and slots[0]["ID"] == "7", slots
    assert slots[0]["Bus Address"] == "0000:00:12.0", slots
    assert slots[1]["Designation"] == "Slot2" and "Bus Address" not in slots[1], slots
    assert slots[2]["Designation"] == "Slot3" and slots[2]["Bus Address"] == "0000:00:12.0", slots


def oem_strings_keep_their_order():
    path = os.path.join(FOLDER, "oemstringsdata.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("myapp:some extra data")
    one, two = "cloud-init:ds=nocloud-net;s=http://10.10.0.1:8000/", "anaconda:method=http://dl.fedoraproject.org/x86_64/os"
    text = decode(*by_firmware("-smbios", "type=11,value=%s,value=%s,path=%s" % (one, two, path)), "-t", "11")
    assert "Handle 0x0E00, DMI type 11, 5 bytes" in text, text
    assert re.findall("String [0-9]+: (.*)", text) == [one, two, "myapp:some extra data"], text
    text = decode(*by_firmware("-smbios", "type=11,value=a,path=%s,value=b" % path, "-smbios", "type=11,value=c"))
    assert re.findall("String [0-9]+: (.*)", text) == ["a", "myapp:some extra data", "b", "c"], text
    with open(path, "wb") as f:
        f.write(b"a\0b")
    assert "NUL" in refused("-smbios", "type=11,path=" + path)
    assert "/nonexistent/nope" in refused("-smbios", "type=11,path=/nonexistent/nope")


def type17_is_told():
    wants("32", 17, ("-m", "1G", "-smbios", "type=17,loc_pfx=SLOT,bank=B,manufacturer=m,serial=s,asset=a,part=p,"
                     "speed=3200"),
          {"Locator": "SLOT 0", "Bank Locator": "B", "Manufacturer": "m", "Serial Number": "s", "Asset Tag": "a",
           "Part Number": "p", "Speed": "3200 MT/s", "Size": "1 GB"})


def type41_is_told():
    text = decode(*by_firmware("-device", "edu,id=internet-dev,addr=0x13", "-smbios",
                               "type=41,designation=Onboard LAN,instance=1,kind=ethernet,pcidev=internet-dev",
                               "-smbios", "type=41,designation=second,kind=sas"))
    first, second = section(text, 41)
    assert first == {"Reference Designation": "Onboard LAN", "Type": "Ethernet", "Status": "Enabled",
                     "Type Instance": "1", "Bus Address": "0000:00:13.0"}, first
    assert second["Type"] == "SAS Controller", second
    assert "nosuch" in refused("-smbios", "type=41,pcidev=nosuch")
    assert "root bus" in refused("-device", "pci-bridge,id=br,chassis_nr=1", "-device", "edu,bus=br,addr=1,id=deep",
                                 "-smbios", "type=41,pcidev=deep")
    assert "no PCI device" in refused("-device", "isa-debug-exit,id=isa", "-smbios", "type=41,pcidev=isa")
    assert "ethernet" in refused("-smbios", "type=41,kind=frob")


def files_take_the_place_of_types():
    path = os.path.join(FOLDER, "type.bin")
    with open(path, "wb") as f:  # type 1 with a string, and one that only its vendor knows
        f.write(bytes([1, 0x1b, 0, 1, 1]) + bytes(0x1b - 5) + b"from a file\0\0" + bytes([130, 6, 0, 0x82, 7, 8, 0, 0]))
    for kind in KINDS:
        text = decode(*by_firmware("-smbios", "file=" + path, kind=kind))
        assert [s["Manufacturer"] for s in section(text, 1)] == ["from a file"], text
        assert ", DMI type 130," in text, text
    said = refused("-smbios", "file=" + path, "-smbios", "type=1,serial=x")
    assert "type 1" in said, said
    assert "type=1" in refused("-smbios", "type=1,serial=x", "-smbios", "file=" + path)
    for content in (b"", b"\x82\x06\0", b"\x82\x06\0\0\1\2", b"\x82\x03\0\0\0\0", b"\x82\x06\0\0\1\2text\0", b"\x7f\4\0\0\0\0",
                    bytes(70000)):
        with open(path, "wb") as f:
            f.write(content)
        refused("-smbios", "file=" + path)
    assert "/nonexistent/nope" in refused("-smbios", "file=/nonexistent/nope")


def mistakes_name_what_is_right():
    for wrong, right in (("type=99", "41"), ("type=1,vendor=x", "manufacturer"), ("type=0,release=x", "MAJOR.MINOR"),
                         ("type=0,release=1.256", "255"), ("type=1,uuid=12", "8-4-4-4-12"), ("serial=x", "type="),
                         ("type=17,speed=70000", "65535"), ("file=x,type=1", "alone"), ("type=11,order=x", "order"),
                         ("type=x", "type"), ("type=9,slot_id=-1", "slot_id")):
        assert right in refused("-smbios", wrong), (wrong, refused("-smbios", wrong))
    assert "SMBIOS" in refused("-M", "none", "-smbios", "type=1,serial=x")


def tables_end_at_65535_bytes():
    path = os.path.join(FOLDER, "long")
    with open(path, "w", encoding="ascii") as f:
        f.write("x" * 40000)
    said = refused("-machine", "smbios-entry-point-type=32", "-smbios", "type=11,path=%s" % path, "-smbios",
                   "type=11,path=%s" % path)
    assert "65535" in said and "smbios-entry-point-type=64" in said, said
    for kind in ("64", "auto"):
        anchor, tables = by_firmware("-smbios", "type=11,path=%s" % path, "-smbios", "type=11,path=%s" % path, kind=kind)
        assert anchor[:5] == b"_SM3_" and len(tables) > 80000 and len(section(decode(anchor, tables), 11)) == 1
    _, tables = by_firmware("-smbios", "type=11,path=" + path)
    assert b"x" * 40000 in tables


tap.run([defaults_describe_the_machine, type0_is_told, type1_is_told, type2_is_told, type3_is_told, type4_is_told,
         type8_and_9_are_told, oem_strings_keep_their_order, type17_is_told, type41_is_told,
         files_take_the_place_of_types, mistakes_name_what_is_right, tables_end_at_65535_bytes])
