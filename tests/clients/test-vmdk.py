# SPDX-License-Identifier: LGPL-2.1-or-later
"""
VMDK beside Debian's qemu-img: each kind of image goes both ways; streams; backing files; kills; damage.
Usage: test-vmdk.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import (check, content, damage_is_refused, each_reads_the_other, grows,  # noqa: E402
                    killed_writers_leave_it_whole, patch, path, peer, raw, run, scatter, scattered)


def sparse_images_go_both_ways():
    for made in ("", "zeroed_grain=on,adapter_type=lsilogic"):
        each_reads_the_other("vmdk", made)


def sparse_images_become_longer():
    for made in ("", "zeroed_grain=on"):
        grows("vmdk", made, (21 << 20, (200 << 20) + 4096, 700 << 20, 9 << 30))
    with open(path("grown.vmdk"), "rb") as f:
        assert b"RW %d SPARSE" % (9 << 21) in f.read(4096)
    run("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "1M")
    assert "monolithicSparse" in run("resize", "-q", "-f", "vmdk", "flat.vmdk", "2M", status=1)


def images_of_several_files_go_both_ways():
    for made in ("subformat=twoGbMaxExtentSparse", "subformat=monolithicFlat", "subformat=twoGbMaxExtentFlat"):
        each_reads_the_other("vmdk", made)


def disks_of_more_than_one_extent_are_put_together():
    for kind in ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
        run("create", "-q", "-f", "vmdk", "-o", "subformat=" + kind, "big.vmdk", "5G")
        scatter("vmdk", "big.vmdk", 5, (1 << 30) - 300, 100000, 4)  # two of them across an edge
        assert os.path.exists(path("big-%s003.vmdk" % ("s" if kind.endswith("Sparse") else "f")))
        for tool in (run, peer):
            info = json.loads(tool("info", "--output=json", "big.vmdk"))
            assert info["virtual-size"] == 5 << 30 and info["format-specific"]["data"]["create-type"] == kind
            assert len(info["format-specific"]["data"]["extents"]) == 3
        run("create", "-q", "-f", "raw", "big.raw", "5G")
        scatter("raw", "big.raw", 5, (1 << 30) - 300, 100000, 4)
        peer("compare", "-q", "-f", "raw", "-F", "vmdk", "big.raw", "big.vmdk")
        check("big.vmdk", "vmdk")


def streams_go_both_ways():
    data = raw("from.raw", 6 * 1048576 + 700 * 512, "stream")
    run("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "from.raw", "o.vmdk")
    peer("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "from.raw", "t.vmdk")
    for name in ("o.vmdk", "t.vmdk"):
        check(name, "vmdk")
        for tool in (run, peer):
            tool("convert", "-O", "raw", name, "to.raw")
            assert content("to.raw") == data, (name, tool)
        said = run("bench", "-w", "-c", "1", "-f", "vmdk", name, status=1)
        assert "read-only=on" in said, said
    body = content("o.vmdk")
    assert len(body) < len(data) and body[-512:] == bytes(512), len(body)
    footer = body[-1024:-512]
    assert struct.unpack("<Q", body[56:64])[0] == 2 ** 64 - 1 and footer[:4] == b"KDMV"
    lbas, at = [], 65536
    while True:  # as an importer reads it: marker after marker, grains in order
        lba, size, kind = struct.unpack("<QII", body[at:at + 16])
        if size:
            lbas.append(lba)
            at += (12 + size + 511) // 512 * 512
        elif kind:
            at += 512 + lba * 512
        else:
            break
    assert at == len(body) - 512 and lbas == sorted(lbas) and lbas, (at, lbas)
    run("create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized", "e.vmdk", "100M")
    run("convert", "-O", "raw", "e.vmdk", "to.raw")
    assert not any(content("to.raw"))


def images_stand_on_others():
    raw("base.raw", 3 * 1048576, "vbase", holes=False)
    for tool, other in ((run, peer), (peer, run)):
        run("convert", "-O", "vmdk", "base.raw", "base.vmdk")
        tool("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "top.vmdk")
        scatter("vmdk", "top.vmdk", 9, 300001, 3000, 5)
        wanted = bytearray(content("base.raw"))
        scattered(wanted, 9, 300001, 3000, 5)
        for reader in (tool, other):
            reader("convert", "-O", "raw", "top.vmdk", "to.raw")
            assert content("to.raw") == wanted, (tool, reader)
        parts = json.loads(run("info", "--output=json", "top.vmdk"))["format-specific"]["data"]
        below = json.loads(peer("info", "--output=json", "base.vmdk"))["format-specific"]["data"]
        assert parts["parent-cid"] == below["cid"] and parts["cid"] != below["cid"], (parts, below)
    assert "monolithicSparse" in run("create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "-o",
                                     "subformat=monolithicFlat", "no.vmdk", status=1)


def who_writes_leaves_another_cid():
    run("create", "-q", "-f", "vmdk", "c.vmdk", "8M")
    cid = [json.loads(run("info", "--output=json", "c.vmdk"))["format-specific"]["data"]["cid"]]
    scatter("vmdk", "c.vmdk", 1, 4096, 100, 1)
    cid.append(json.loads(peer("info", "--output=json", "c.vmdk"))["format-specific"]["data"]["cid"])
    assert cid[0] != cid[1], cid


def extents_of_esx_are_read():
    """A flat one at an offset, one of zeroes, and a COWD one."""
    data = raw("flat.bin", 3 * 65536, "esx", holes=False)
    cow = bytearray(512 * 40)
    cow[:32] = struct.pack("<IIIIIIII", 0x44574f43, 1, 0, 256, 128, 4, 1, 0)
    cow[4 * 512:4 * 512 + 4] = struct.pack("<I", 5)
    cow[5 * 512 + 4:5 * 512 + 8] = struct.pack("<I", 40)  # the second grain
    with open(path("cow.bin"), "wb") as f:
        f.write(cow + data[:65536])
    with open(path("esx.vmdk"), "w", encoding="ascii") as f:
        f.write('# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="vmfs"\n'
                'RW 200 VMFS "flat.bin" 3\nRW 100 ZERO\nRW 256 VMFSSPARSE "cow.bin"\n')
    wanted = data[3 * 512:203 * 512] + bytes(100 * 512) + bytes(65536) + data[:65536]
    run("convert", "-O", "raw", "esx.vmdk", "to.raw")
    assert content("to.raw") == wanted


def kills_lose_no_table():
    killed_writers_leave_it_whole("vmdk")


def damage_is_told():
    run("create", "-q", "-f", "vmdk", "d.vmdk", "8M")
    q = struct.Struct("<Q").pack
    damage_is_refused("vmdk", "d.vmdk", (
        (0, b"x", "neither a header"), (4, b"\7", "version 7"), (10, b"\1", "without markers"),
        (20, q(3), "grain has"), (20, q(1 << 50), "too large"), (44, b"\0\0\0\0", "entries"),
        (44, b"\0\0\0\xff", "entries"), (56, q(1 << 40), "too large"), (56, q(1 << 30), "directory of"),
        (48, q(1 << 30), "second directory"), (12, q(2 ** 63), "too long"), (12, q(1 << 40), "directory of"),
        (36, q(1 << 40), "descriptor of"), (56, q(2 ** 64 - 1), "footer"), (28, q(3), "createType")))
    lines = ["# Disk DescriptorFile", "version=1", "CID=1", 'createType="twoGbMaxExtentFlat"']
    for line, word in (("RW x FLAT \"a\"", "length"), ("RW 99999999999999999999 FLAT \"a\"", "length"),
                       ("RW 8 FLAT", "file name"), ("RW 8 SESPARSE \"a\"", "SESPARSE"), ("RW 8 FLAT \"\"", "file name"),
                       ("RW 8 FLAT \"nbd://host/x\"", "plain file"), ("RW 8 FLAT \"nothing\" 0", "nothing"),
                       ("NOACCESS 8 FLAT \"a\"", "NOACCESS"), ("RW 8 FLAT \"flat.bin\" 1000000", "shorter"),
                       ("", "no extents"),
                       ("RW 8 SPARSE \"flat.bin\"", "no header"),
                       ("RW 8 FLAT \"flat.bin\" 99999999999999999", "begin at"),
                       ("RW 9000000000000000 ZERO\nRW 9000000000000000 ZERO\nRW 9000000000000000 ZERO", "too long"),
                       ("RW 1 ZERO\n" * 5000, "extents")):
        with open(path("x.vmdk"), "w", encoding="ascii") as f:
            f.write("\n".join(lines + [line, ""]))
        said = run("info", "-f", "vmdk", "x.vmdk", status=1)
        assert word in said, (line, said)
    scatter("vmdk", "d.vmdk", 3, 65536, 100, 1)
    entry = struct.unpack("<I", content("d.vmdk")[26 * 512:26 * 512 + 4])[0]
    directory = struct.unpack("<Q", content("d.vmdk")[56:64])[0] * 512
    table = struct.unpack("<I", content("d.vmdk")[directory:directory + 4])[0] * 512
    for value in (2 ** 31, entry and struct.unpack("<I", content("d.vmdk")[table + 4:table + 8])[0]):
        patch("d.vmdk", table, struct.pack("<I", value or 2 ** 31))
        assert "ERROR" in run("check", "d.vmdk", status=2)


tap.run([sparse_images_go_both_ways, sparse_images_become_longer, images_of_several_files_go_both_ways,
         disks_of_more_than_one_extent_are_put_together,
         streams_go_both_ways, images_stand_on_others, who_writes_leaves_another_cid, extents_of_esx_are_read,
         kills_lose_no_table, damage_is_told])
