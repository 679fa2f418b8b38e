# SPDX-License-Identifier: LGPL-2.1-or-later
"""
VDI, Parallels and QED beside Debian's qemu-img: each reads and writes what the other made; kills; damage.
Usage: test-growing-formats.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import (check, content, damage_is_refused, each_reads_the_other,  # noqa: E402
                    grows, killed_writers_leave_it_whole, patch, path, peer, raw, run, scatter, scattered)


def le(number, size=4):
    return number.to_bytes(size, "little")


def facts_agree(form, name):
    ours, theirs = (json.loads(tool("info", "--output=json", name)) for tool in (run, peer))
    for key in ("virtual-size", "cluster-size", "format", "backing-filename", "backing-filename-format"):
        assert key not in theirs or ours.get(key) == theirs[key], (form, key, ours, theirs)


def vdi_goes_both_ways():
    for made in ("", "static=on"):
        facts_agree("vdi", each_reads_the_other("vdi", made)[0])


def parallels_goes_both_ways():
    for made in ("", "cluster_size=65536"):
        facts_agree("parallels", each_reads_the_other("parallels", made)[0])


def vdi_images_become_longer():
    for made in ("", "static=on"):
        grows("vdi", made)


def parallels_images_become_longer():
    for made in ("", "cluster_size=65536"):
        grows("parallels", made, (21 << 20, (200 << 20) + 4096, 2 << 30))


def old_parallels_images_are_read_and_written():
    """Entries of the map that count sectors, at places that are not whole clusters."""
    data = raw("old.raw", 63 * 512 * 8, "old", holes=False)
    cluster = 63 * 512
    head = b"WithoutFreeSpace" + struct.pack("<IIIIIQIIIQ", 2, 16, 1, 63, 8, 63 * 8, 0, 0, 0, 0)
    head = bytearray(head.ljust(512, b"\0"))
    body = b""
    for i in (3, 0, 5):
        head[64 + i * 4:68 + i * 4] = le((512 + len(body)) // 512)
        body += data[i * cluster:(i + 1) * cluster]
    with open(path("old.parallels"), "wb") as f:
        f.write(head + body)
    wanted = bytearray(len(data))
    for i in (3, 0, 5):
        wanted[i * cluster:(i + 1) * cluster] = data[i * cluster:(i + 1) * cluster]
    run("convert", "-O", "raw", "old.parallels", "to.raw")
    assert content("to.raw") == wanted
    scatter("parallels", "old.parallels", 5, 50000, 700, 3)
    scattered(wanted, 5, 50000, 700, 3)
    for tool in (run, peer):
        tool("convert", "-f", "parallels", "-O", "raw", "old.parallels", "to.raw")
        assert content("to.raw") == wanted, tool
    run("check", "-q", "old.parallels")
    run("resize", "-q", "-f", "parallels", "old.parallels", "+64M")  # 2000 more clusters: some lie where their entries go
    wanted += bytes(64 << 20)
    run("check", "-q", "old.parallels")
    for tool in (run, peer):
        tool("convert", "-f", "parallels", "-O", "raw", "old.parallels", "to.raw")
        assert content("to.raw") == wanted, tool


def qed_goes_both_ways():
    for made in ("", "cluster_size=4k,table_size=2"):
        facts_agree("qed", each_reads_the_other("qed", made)[0])


def qed_stands_on_backing_files():
    data = bytearray(raw("base.raw", 3 * 1048576, "base", holes=False))
    for tool, other, name in ((run, peer, "o.qed"), (peer, run, "t.qed")):
        tool("create", "-q", "-f", "qed", "-b", "base.raw", "-F", "raw", name, "4M")
        facts_agree("qed", name)
        scatter("qed", name, 9, 300001, 3000, 5)
        scatter("qed", name, 3, 655360, 131072, 0)
        wanted = bytearray(data) + bytes(1048576)
        scattered(wanted, 9, 300001, 3000, 5)
        scattered(wanted, 3, 655360, 131072, 0)
        for reader in (tool, other):
            reader("convert", "-O", "raw", name, "to.raw")
            assert content("to.raw") == wanted, (name, reader)
        check(name, "qed")
    run("resize", "-q", "o.qed", "+1M")
    assert json.loads(peer("info", "--output=json", "o.qed"))["virtual-size"] == 5 * 1048576
    assert "shorter" in run("resize", "-q", "--shrink", "o.qed", "1M", status=1)
    raw("other.raw", 4 * 1048576, "base", holes=False)
    run("rebase", "-u", "-b", "other.raw", "-F", "raw", "o.qed")
    assert json.loads(peer("info", "--output=json", "o.qed"))["backing-filename"] == "other.raw"


def a_qed_image_that_was_not_closed_is_repaired():
    run("create", "-q", "-f", "qed", "r.qed", "8M")
    scatter("qed", "r.qed", 3, 1000000, 700, 3)
    patch("r.qed", 16, le(2, 8))  # needs a check
    table = struct.unpack("<Q", content("r.qed")[65536:65544])[0]
    patch("r.qed", table + 8 * 100, le(1 << 30, 8))  # leads behind the end
    assert "leads to" in run("check", "r.qed", status=2)
    assert "errno" not in run("bench", "-q", "-t", "unsafe", "-f", "qed", "-w", "-c", "1", "r.qed")
    check("r.qed", "qed")
    assert content("r.qed")[16] == 0
    with open(path("r.qed"), "ab") as f:
        f.write(bytes(3 * 65536))
    assert "3 leaked clusters" in run("check", "r.qed", status=3)
    run("check", "-q", "-r", "leaks", "r.qed")
    check("r.qed", "qed")


def kills_lose_no_table():
    killed_writers_leave_it_whole("vdi", damage=("the header says that",))
    killed_writers_leave_it_whole("parallels", "cluster_size=64k", damage=("was not closed",))
    killed_writers_leave_it_whole("qed")


def parents_and_damage_are_refused():
    run("create", "-q", "-f", "vdi", "d.vdi", "8M")
    damage_is_refused("vdi", "d.vdi", (
        (0x40, b"x", "no VDI header"), (0x44, le(0x20000), "version 2.0"), (0x4c, le(4), "type 4"),
        (0x1b8, b"\1", "differencing"), (0x178, le(1 << 30), "block"), (0x178, le(1048575), "block"),
        (0x154, le(100), "its map is at"), (0x158, le(512), "its map is at"),
        (0x180, le(0xffffffff), "its map is at"), (0x170, le(1 << 40, 8), "does not fit"),
        (0x170, le(2 ** 64 - 1, 8), "does not fit"), (0x184, le(9), "in use"), (0x168, le(4096), "sectors of 4096")))
    run("create", "-q", "-f", "parallels", "d.parallels", "8M")
    damage_is_refused("parallels", "d.parallels", (
        (0, b"x", "no Parallels header"), (16, le(3), "version 3"), (28, le(0), "sectors"),
        (28, le(0xffffffff), "sectors"), (32, le(0xffffffff), "map of"), (32, le(0x3fffffff), "beyond the end"),
        (36, le(2 ** 62, 8), "does not fit")))
    run("create", "-q", "-f", "qed", "d.qed", "8M")
    damage_is_refused("qed", "d.qed", (
        (0, b"x", "no QED header"), (4, le(5000), "cluster"), (4, le(1 << 31), "cluster"), (8, le(3), "table"),
        (12, le(0), "header says"), (12, le(0xffffffff), "header says"), (16, le(8, 8), "features"),
        (40, le(1 << 60, 8), "L1 table"), (40, le(0, 8), "L1 table"), (48, le(2 ** 63, 8), "disk has"),
        (16, le(1, 8), "name")))
    patch("d.parallels", 56, le(4096, 8))
    assert "extensions" in run("bench", "-w", "-c", "1", "-f", "parallels", "d.parallels", status=1)
    run("info", "d.parallels")


def entries_that_lead_astray_are_errors():
    """A map that leads into the header, twice to one place, or beyond the end."""
    for form, at, entry in (("vdi", 512, le(7)), ("vdi", 512, le(100)), ("parallels", 64, le(0x7fffffff)),
                            ("qed", 65536, le(1 << 50, 8)), ("qed", 65536, le(4096, 8))):
        name = "astray." + form
        run("create", "-q", "-f", form, name, "8M")
        scatter(form, name, 8, 1048576, 700, 3)
        patch(name, at, entry)
        assert "ERROR" in run("check", "-f", form, name, status=2), (form, entry)


tap.run([vdi_goes_both_ways, parallels_goes_both_ways, vdi_images_become_longer, parallels_images_become_longer,
         old_parallels_images_are_read_and_written, qed_goes_both_ways,
         qed_stands_on_backing_files, a_qed_image_that_was_not_closed_is_repaired, kills_lose_no_table,
         parents_and_damage_are_refused, entries_that_lead_astray_are_errors])
