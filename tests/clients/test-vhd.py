# SPDX-License-Identifier: LGPL-2.1-or-later
"""
VHD (vpc) and VHDX beside Debian's qemu-img: each reads and writes what the other made; the log; kills; damage.
Usage: test-vhd.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import (FOLDER, WAIT, check, content, damage_is_refused, each_reads_the_other, grows,  # noqa: E402
                    killed_writers_leave_it_whole, patch, path, peer, raw, run, scatter)

LOG, MAP = 1 << 20, 3 << 20  # of an image of ours


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def reseal_headers(name, offset, data):
    """Other bytes in both headers of a VHDX, with the right checksum."""
    for at in (0x10000, 0x20000):
        head = bytearray(content(name)[at:at + 4096])
        head[offset:offset + len(data)] = data
        head[4:8] = bytes(4)
        head[4:8] = struct.pack("<I", crc32c(head))
        patch(name, at, head)


def reseal_footer(name, at, offset, data):
    foot = bytearray(content(name)[at:][:512])
    foot[offset:offset + len(data)] = data
    foot[64:68] = bytes(4)
    foot[64:68] = struct.pack(">I", ~sum(foot) & 0xffffffff)
    patch(name, at, foot)


def vhd_goes_both_ways():
    for made in ("", "subformat=fixed", "force_size=on"):
        each_reads_the_other("vpc", made)


def vhds_become_longer():
    for made in ("force_size=on", "subformat=fixed,force_size=on", ""):
        grows("vpc", made)


def vhdxs_become_longer():
    for made in ("", "subformat=fixed", "block_size=1048576"):
        grows("vhdx", made)
    run("create", "-q", "-f", "vhdx", "-o", "block_size=1048576", "small.vhdx", "1M")
    said = run("resize", "-q", "-f", "vhdx", "small.vhdx", "200G", status=1)
    assert "has room for" in said, said
    check("small.vhdx", "vhdx")


def vhd_sizes_are_those_of_the_peer():
    for size in ("1", "512", "3M", "130G"):
        for made in ((), ("-o", "force_size=on")):
            run("create", "-q", "-f", "vpc", *made, "o.vpc", size)
            peer("create", "-q", "-f", "vpc", *made, "t.vpc", size)
            sizes = [json.loads(tool("info", "--output=json", "-f", "vpc", name))["virtual-size"]
                     for tool, name in ((run, "o.vpc"), (run, "t.vpc"), (peer, "o.vpc"), (peer, "t.vpc"))]
            if size == "1" and not made:
                assert sizes[0] == sizes[2] > 0, sizes
            else:
                assert len(set(sizes)) == 1, (size, made, sizes)
    assert "room for" in run("create", "-f", "vpc", "o.vpc", "2041G", status=1)


def sectors_that_were_never_written_read_as_zeroes():
    """Bits of a block's bitmap that are not set, whatever lies there; a write sets them."""
    data = raw("from.raw", 1048576, "bits", holes=False)
    run("convert", "-O", "vpc", "from.raw", "bits.vpc")
    block = struct.unpack(">I", content("bits.vpc")[1536:1540])[0] * 512
    patch("bits.vpc", block + 1, b"\x0f")  # sectors 8 to 11 were not
    run("convert", "-O", "raw", "bits.vpc", "to.raw")
    wanted = bytearray(data)
    wanted[8 * 512:12 * 512] = bytes(4 * 512)
    assert content("to.raw")[:len(data)] == wanted
    scatter("vpc", "bits.vpc", 1, 4096, 9 * 512 + 100, 5)
    wanted[:9 * 512 + 100] = bytes([5]) * (9 * 512 + 100)
    run("convert", "-O", "raw", "bits.vpc", "to.raw")
    assert content("to.raw")[:len(data)] == wanted
    assert content("bits.vpc")[block + 1] == 0xff, content("bits.vpc")[block + 1]


def footers_are_found_where_they_are():
    data = raw("from.raw", 3 * 1048576, "foot")
    run("convert", "-O", "vpc", "from.raw", "f.vpc")
    whole = content("f.vpc")
    with open(path("f.vpc"), "wb") as f:
        f.write(whole[:-512])  # cut off: the copy at the beginning counts
    assert "footer" in run("check", "f.vpc", status=2)
    run("check", "-q", "-r", "all", "f.vpc")
    assert content("f.vpc") == whole
    run("convert", "-O", "vpc", "-o", "subformat=fixed", "from.raw", "x.vpc")
    patch("x.vpc", 0, whole[:512])  # what a guest writes is no header
    assert json.loads(run("info", "--output=json", "-f", "vpc", "x.vpc"))["virtual-size"] >= len(data)
    run("convert", "-f", "vpc", "-O", "raw", "x.vpc", "to.raw")
    assert content("to.raw")[:len(data)] == whole[:512] + data[512:]


def damaged_vhds_are_refused():
    run("create", "-q", "-f", "vpc", "d.vpc", "8M")
    damage_is_refused("vpc", "d.vpc", (((0, -512), b"x", "footer"), ((100, -400), b"x", "footer"),
                                       (512, b"x", "damaged"),
                                       (600, b"x", "damaged")))
    end = len(content("d.vpc")) - 512
    for offset, value, word in ((60, 4, "differencing"), (60, 77, "type 77")):
        run("create", "-q", "-f", "vpc", "d.vpc", "8M")
        reseal_footer("d.vpc", 0, offset, struct.pack(">I", value))
        reseal_footer("d.vpc", end, offset, struct.pack(">I", value))
        assert word in run("info", "-f", "vpc", "d.vpc", status=1)
    for offset, data, word in ((16, bytes(7) + b"\1", "cannot be at"), (16, b"\x7f" + bytes(7), "cannot be at"),
                               (28, b"\xff\xff\xff\xff", "do not fit"), (28, bytes(4), "do not fit"),
                               (32, struct.pack(">I", 5000), "block has"), (32, b"\xff\0\0\0", "block has")):
        run("create", "-q", "-f", "vpc", "d.vpc", "8M")
        head = bytearray(content("d.vpc")[512:1536])
        head[offset:offset + len(data)] = data
        head[36:40] = bytes(4)
        head[36:40] = struct.pack(">I", ~sum(head) & 0xffffffff)
        patch("d.vpc", 512, head)
        assert word in run("info", "d.vpc", status=1), (offset, data)


def vhdx_goes_both_ways():
    for made in ("", "block_size=1M", "subformat=fixed"):
        each_reads_the_other("vhdx", made)


def a_log_that_was_left_is_replayed():
    """The map as it was before, and the header that says which log counts: what the log has comes back."""
    run("create", "-q", "-f", "vhdx", "l.vhdx", "64M")
    before = content("l.vhdx")[MAP:MAP + 4096]
    scatter("vhdx", "l.vhdx", 3, 10 << 20, 5000, 6)
    run("convert", "-O", "raw", "l.vhdx", "wanted.raw")
    log = content("l.vhdx")[LOG + 32:LOG + 48]
    assert content("l.vhdx")[LOG:LOG + 4] == b"loge" and any(log)
    patch("l.vhdx", MAP, before)
    run("convert", "-O", "raw", "l.vhdx", "to.raw")
    assert content("to.raw") != content("wanted.raw")
    reseal_headers("l.vhdx", 48, log)
    shutil.copy(path("l.vhdx"), path("theirs.vhdx"))
    shutil.copy(path("l.vhdx"), path("torn.vhdx"))
    shutil.copy(path("l.vhdx"), path("cut.vhdx"))
    os.truncate(path("cut.vhdx"), os.path.getsize(path("cut.vhdx")) - (1 << 20))  # shorter than the log knows it
    assert "cannot be replayed" in run("check", "-r", "all", "cut.vhdx", status=1)
    said = run("convert", "-O", "raw", "l.vhdx", "to.raw", status=1)
    assert "log" in said and "check -r all" in said, said
    assert "log has what" in run("check", "l.vhdx", status=2)
    assert "64 MiB" in run("info", "l.vhdx")
    run("check", "-q", "-r", "all", "l.vhdx")
    peer("check", "-q", "-r", "all", "theirs.vhdx")
    for name in ("l.vhdx", "theirs.vhdx"):
        run("convert", "-O", "raw", name, "to.raw")
        assert content("to.raw") == content("wanted.raw"), name
    check("l.vhdx", "vhdx")
    patch("torn.vhdx", LOG + 5000, b"torn")  # an entry that was not written to its end is none
    run("convert", "-O", "raw", "torn.vhdx", "to.raw")
    assert not any(content("to.raw"))


def a_log_of_the_peer_is_replayed():
    peer("create", "-q", "-f", "vhdx", "p.vhdx", "64M")
    tool = shutil.which("qemu-io")
    done = subprocess.run([tool, "-f", "vhdx", "-c", "write -P 5 0 1M", "-c", "write -P 6 20M 1M", "-c", "flush", "-c",
                           "abort", path("p.vhdx")], capture_output=True, cwd=FOLDER, timeout=WAIT, check=False)
    assert done.returncode != 0, done
    run("check", "-q", "-r", "all", "p.vhdx")
    run("convert", "-O", "raw", "p.vhdx", "to.raw")
    got = content("to.raw")
    assert got[:1 << 20] == bytes([5]) * (1 << 20) and got[20 << 20:21 << 20] == bytes([6]) * (1 << 20)
    check("p.vhdx", "vhdx")


def kills_lose_no_table():
    killed_writers_leave_it_whole("vpc", damage=("the footer behind",))
    killed_writers_leave_it_whole("vhdx", "block_size=1M")


def damaged_vhdxs_are_refused():
    run("create", "-q", "-f", "vhdx", "d.vhdx", "8M")
    damage_is_refused("vhdx", "d.vhdx", (
        (0, b"x", "no VHDX header"), ((0x10000, 0x20000), b"x", "both headers"),
        ((0x10100, 0x20100), b"x", "both headers"), ((0x30000, 0x40000), b"x", "both tables"),
        ((0x30010, 0x40010), b"x", "both tables"), (2 << 20, b"x", "metadata"),
        ((2 << 20) + 10, b"\xff\xff", "metadata"),
        ((2 << 20) + 65536, struct.pack("<I", 1 << 30), "block has"), ((2 << 20) + 65540, b"\2", "differencing"),
        ((2 << 20) + 65600, struct.pack("<Q", 1 << 60), "disk has"),
        ((2 << 20) + 65600, struct.pack("<Q", 60 << 40), "does not fit"),
        ((2 << 20) + 65664, struct.pack("<I", 1000), "sector has"), ((2 << 20) + 32 + 16, b"\1\0\0\0", "not there")))
    for offset, data, word in ((66, b"\7\0", "version 7"), (72, struct.pack("<Q", 1 << 62), "where they can be"),
                               (68, struct.pack("<I", 0xfff00000), "where they can be"),
                               (72, struct.pack("<Q", 2 << 20), "where they can be")):
        run("create", "-q", "-f", "vhdx", "d.vhdx", "8M")
        reseal_headers("d.vhdx", offset, data)
        assert word in run("info", "d.vhdx", status=1), (offset, data)
    run("create", "-q", "-f", "vhdx", "d.vhdx", "8M")
    scatter("vhdx", "d.vhdx", 1, 4096, 4096, 3)
    for entry in (6 | 1 << 20, 6 | 1 << 60, 7 | 8 << 20):
        patch("d.vhdx", MAP, struct.pack("<Q", entry))
        assert "ERROR" in run("check", "d.vhdx", status=2)
        run("convert", "-O", "raw", "d.vhdx", "to.raw", status=1)


tap.run([vhds_become_longer, vhdxs_become_longer, vhd_goes_both_ways, vhd_sizes_are_those_of_the_peer, sectors_that_were_never_written_read_as_zeroes,
         footers_are_found_where_they_are, damaged_vhds_are_refused, vhdx_goes_both_ways,
         a_log_that_was_left_is_replayed, a_log_of_the_peer_is_replayed, kills_lose_no_table,
         damaged_vhdxs_are_refused])
