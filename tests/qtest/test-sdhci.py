#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The SD host controller and its card as a driver sees them: identification, data by the port, SDMA and ADMA2, what goes
wrong, what public descriptions of vulnerabilities say of such controllers, cards that come and go."""
import os
import random
import struct
import tempfile

from qtest import Failed, QTest, Tap
from virtio import Function, until

BAR, DATA, TABLE = 0xE0000000, 0x200000, 0x100000
SIZE = 8 << 20
COMMAND, TRANSFER, DMA, WRITE_READY, READ_READY, INSERTED, REMOVED = 1, 2, 8, 16, 32, 64, 128
TIMEOUT, DATA_TIMEOUT, ADMA_ERROR = 1 << 16, 1 << 20, 1 << 25
R0, R2, R1, R1B = 0, 1, 2, 3
BY_DMA, COUNT, AUTO, READ, MULTI = 1, 2, 4, 16, 32
SDMA, ADMA2 = 0, 0x10


class Host:
    def __init__(self, q, card=True):
        self.q, self.f = q, Function(q)
        self.f.write(0x10, BAR)
        self.f.write(4, 6, "w")
        q.writeb(BAR + 0x2F, 1)
        q.writel(BAR + 0x34, 0x03FF00FF)
        q.writeb(BAR + 0x29, 0x0F)
        q.writew(BAR + 0x2C, 5)
        assert q.readw(BAR + 0x2C) == 7
        if card:
            self.identify()

    def status(self, clear=True):
        value = self.q.readl(BAR + 0x30)
        if clear:
            self.q.writel(BAR + 0x30, value)
        return value & ~0x8000

    def command(self, index, argument=0, response=R1, mode=0, blocks=0, size=512, data=False):
        q = self.q
        q.writew(BAR + 4, size)
        q.writew(BAR + 6, blocks)
        q.writel(BAR + 8, argument)
        q.writel(BAR + 0xC, mode | (index << 8 | response | (0x20 if data else 0)) << 16)
        self.seen = self.status()
        return self.seen

    def response(self):
        return self.q.readl(BAR + 0x10)

    def app(self, index, argument=0, **more):
        assert self.command(55, self.rca << 16) == COMMAND and self.response() & 0x20
        return self.command(index, argument, **more)

    def identify(self):
        self.rca = 0
        self.command(0, response=R0)
        assert self.command(8, 0x1AA) == COMMAND and self.response() == 0x1AA
        assert self.app(41, 0x00FF8000) == COMMAND and not self.response() >> 31  # high capacity is not spoken of
        assert self.app(41, 0x40FF8000) == COMMAND and self.response() >> 30 == 3
        assert self.command(2, response=R2) == COMMAND
        self.cid = self.q.read(BAR + 0x10, 16)
        assert self.command(3) == COMMAND
        self.rca = self.response() >> 16
        assert self.command(9, self.rca << 16, R2) == COMMAND
        self.csd = self.q.read(BAR + 0x10, 16)[::-1]
        assert self.command(7, self.rca << 16, R1B) == COMMAND | TRANSFER

    def wait(self, wanted):
        """With what the command itself told."""
        got, self.seen = self.seen, 0

        def come():
            nonlocal got
            got |= self.status()
            return got & (wanted | 0x03FF0000)
        until(come, "no interrupt comes")
        return got

    def port_in(self, bytes_, width="l"):
        size = {"b": 1, "w": 2, "l": 4}[width]
        return b"".join(getattr(self.q, "read" + width)(BAR + 0x20).to_bytes(size, "little")
                        for _ in range(bytes_ // size))

    def start(self, index, lba, blocks, mode):
        mode |= (COUNT | MULTI if blocks > 1 else 0)
        return self.command(index, lba, mode=mode, blocks=blocks, data=True)


def with_card(function, drive="", more=()):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-sd-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "32", "-device", "sdhci-pci,addr=5,id=h", "-blockdev",
                        f"driver=file,filename={f.name},node-name=n{drive}", "-device", "sd-card,drive=n,id=c",
                        *more]) as q:
                function(Host(q), f)
    return run


def says_what_it_is(h, f):
    assert h.f.read(0) == 0x00071B36 and h.f.read(8) >> 8 == 0x080501
    caps = h.q.readl(BAR + 0x40)
    assert caps & 1 << 24 and caps & 1 << 22 and caps & 1 << 19 and caps >> 8 & 63 == 50
    assert h.q.readw(BAR + 0xFE) & 255 == 1 and h.q.readl(BAR + 0x24) >> 16 & 15 == 15
    assert h.csd[1] >> 6 == 1 and int.from_bytes(h.csd[8:11], "big") == SIZE // 524288 - 1
    assert h.csd[5] << 4 | h.csd[6] >> 4 == 0x515 and not h.csd[15] & 0x10
    assert h.cid[7:12][::-1] == b"CARD1"
    assert h.app(51, mode=READ, blocks=1, size=8, data=True) & COMMAND
    assert h.port_in(8) == bytes([2, 5, 0x80, 2, 0, 0, 0, 0])
    assert h.wait(TRANSFER) & TRANSFER
    h.command(6, 0x00FFFFF1, mode=READ, blocks=1, size=64, data=True)
    d = h.port_in(64)
    assert d[12:14] == b"\x80\x01" and d[16] == 0x0F and h.wait(TRANSFER)
    assert h.app(13, mode=READ, blocks=1, size=64, data=True) and h.port_in(64)[0] == 0x80
    assert h.wait(TRANSFER) & TRANSFER
    assert h.command(13, h.rca << 16) == COMMAND and h.response() >> 9 & 15 == 4


def data_go_by_the_port(h, f):
    for width, blocks in (("l", 1), ("w", 2), ("b", 1), ("l", 70)):
        data = os.urandom(512 * blocks)
        os.pwrite(f.fileno(), data, 9 * 512)
        h.start(18 if blocks > 1 else 17, 9, blocks, READ | (AUTO if blocks > 1 else 0))
        got = b""
        for _ in range(blocks):
            until(lambda: h.q.readl(BAR + 0x24) & 1 << 11)
            got += h.port_in(512, width)
        assert h.wait(TRANSFER) & TRANSFER and got == data, (width, blocks)
        data = os.urandom(512 * blocks)
        h.start(25 if blocks > 1 else 24, 100, blocks, AUTO if blocks > 1 else 0)
        for at in range(0, len(data), 512):
            until(lambda: h.q.readl(BAR + 0x24) & 1 << 10)
            for n in range(0, 512, 4):
                h.q.writel(BAR + 0x20, int.from_bytes(data[at + n:at + n + 4], "little"))
        assert h.wait(TRANSFER) & TRANSFER and os.pread(f.fileno(), len(data), 51200) == data
        assert h.q.readw(BAR + 6) == 0 and not h.q.readl(BAR + 0x24) & 0x302
    assert h.app(22, mode=READ, blocks=1, size=4, data=True) and h.port_in(4) == struct.pack(">I", 70)


def table(h, pieces):
    """Pieces with a link and a line that does nothing between; the whole is two tables."""
    lines = [struct.pack("<HHI", 0x21, n & 0xFFFF, at) for at, n in pieces]
    half = len(lines) // 2
    h.q.write(TABLE, b"".join(lines[:half]) + struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHI", 0x31, 0, TABLE + 4096))
    lines[-1] = bytes([0x23]) + lines[-1][1:]
    h.q.write(TABLE + 4096, b"".join(lines[half:]))
    h.q.writel(BAR + 0x58, TABLE)
    h.q.writeb(BAR + 0x28, ADMA2)


def data_go_by_tables(h, f):
    for blocks in (4, 8, 100, 256):
        data = os.urandom(512 * blocks)
        pieces = [(DATA + 0x100, 256)] + [(DATA + 0x10000 * n, 512 * blocks // 4) for n in range(1, 4)]
        pieces.append((DATA + 0x80000, 512 * blocks - sum(n for _, n in pieces)))
        os.pwrite(f.fileno(), data, 5 * 512)
        table(h, pieces)
        assert h.start(18 if blocks > 1 else 17, 5, blocks, READ | BY_DMA) & COMMAND
        assert h.wait(TRANSFER) & (TRANSFER | ADMA_ERROR) == TRANSFER
        assert b"".join(h.q.read(at, n) for at, n in pieces) == data, blocks
        data = os.urandom(512 * blocks)
        at = 0
        for where, n in pieces:
            h.q.write(where, data[at:at + n])
            at += n
        table(h, pieces)
        assert h.start(25 if blocks > 1 else 24, 300, blocks, BY_DMA) & COMMAND
        assert h.wait(TRANSFER) & (TRANSFER | ADMA_ERROR) == TRANSFER
        assert os.pread(f.fileno(), len(data), 300 * 512) == data, blocks


def data_go_by_one_address(h, f):
    """SDMA: it stops at each boundary, 4 KiB here, and goes on with the next address."""
    h.q.writeb(BAR + 0x28, SDMA)
    data = os.urandom(512 * 40)
    os.pwrite(f.fileno(), data, 0)
    for write in (False, True):
        if write:
            h.q.write(DATA + 512, data)
        h.q.writel(BAR, DATA + 512)
        h.start(25 if write else 18, 1000 if write else 0, 40, BY_DMA | AUTO | (0 if write else READ))
        stops = 0
        while True:
            if h.wait(TRANSFER | DMA) & TRANSFER:
                break
            assert h.q.readl(BAR) & 4095 == 0
            stops += 1
            h.q.writel(BAR, h.q.readl(BAR))
        assert stops == 5, stops
    assert h.q.read(DATA + 512, len(data)) == data and os.pread(f.fileno(), len(data), 512000) == data
    assert h.q.readl(BAR + 0x1C) >> 9 & 15 == 4  # the response to the STOP that it sent itself


def what_goes_wrong_is_told(h, f):
    end = SIZE // 512
    assert h.start(17, end, 1, READ) == COMMAND | DATA_TIMEOUT and h.response() >> 31
    assert h.start(17, end - 1, 1, READ) & COMMAND and h.wait(READ_READY) & READ_READY and h.port_in(512) == bytes(512)
    assert h.wait(TRANSFER) & TRANSFER  # it comes from the disk, on a thread of its own
    h.status()
    assert h.start(18, end - 1, 2, READ) & COMMAND
    assert h.wait(DATA_TIMEOUT) & DATA_TIMEOUT
    assert h.command(17, 0, mode=READ, blocks=1, size=256, data=True) & DATA_TIMEOUT  # no such blocks
    assert h.start(17, 0, 1, 0) & DATA_TIMEOUT  # the other way
    assert h.command(5, 0) == TIMEOUT and h.command(13, 0x1234 << 16) == TIMEOUT  # SDIO; another card
    assert h.command(13, h.rca << 16) == COMMAND and h.response() & 1 << 22 and not h.response() & 1 << 31
    assert h.command(16, 1024) == COMMAND and h.response() & 1 << 29
    assert h.command(60) == TIMEOUT and h.app(99 & 63) == TIMEOUT
    for line in (0, 0x20, 0x11, 0x31):
        h.q.write(TABLE, struct.pack("<HHI", line, 0, TABLE))
        h.q.writel(BAR + 0x58, TABLE)
        h.q.writeb(BAR + 0x28, ADMA2)
        h.q.writeb(BAR + 0x2F, 4)
        h.start(17, 0, 1, READ | BY_DMA)
        assert h.wait(ADMA_ERROR) & ADMA_ERROR and h.q.readb(BAR + 0x54) == 1, line
    h.q.writew(BAR + 0x2C, 1)
    assert h.command(13, h.rca << 16) == 0  # without a clock
    Host(h.q)


def protected_cards_say_so(h, f):
    assert h.csd[15] & 0x10
    assert not h.q.readl(BAR + 0x24) & 1 << 19
    assert h.start(24, 0, 1, 0) & DATA_TIMEOUT and h.response() & 1 << 26


def interrupts_come_by_the_line(h, f):
    h.q.writel(BAR + 0x38, COMMAND)
    h.q.writel(BAR + 0xC, (13 << 8 | R1) << 16)
    assert h.q.readb(BAR + 0xFC) == 1 and h.f.read(4) >> 19 & 1
    h.status()
    assert h.q.readb(BAR + 0xFC) == 0 and not h.f.read(4) >> 19 & 1


def cards_come_and_go(h, f):
    h.q.qmp("device_del", {"id": "c"})
    until(lambda: h.status() & REMOVED)
    assert not h.q.readl(BAR + 0x24) & 1 << 16 and h.command(0, response=R0) == TIMEOUT
    h.q.qmp("device_add", {"driver": "sd-card", "id": "d", "bus": "h.0", "drive": "n"})
    assert h.wait(INSERTED) & INSERTED
    h.identify()
    assert h.start(17, 0, 1, READ) & COMMAND


def sizes_that_change_under_a_transfer(h, f):
    """CVE-2020-17380, CVE-2020-25085, CVE-2021-3409: the size of blocks, and the direction, change while data go over."""
    for mode in (READ, READ | BY_DMA, 0, BY_DMA):
        for size in (0, 1, 0xFFF, 0x7FFF, 0xFFFF):
            h.q.writel(BAR, DATA + 4096 - 16)
            h.start(18 if mode & READ else 25, 0, 64, mode)
            h.q.writew(BAR + 4, size)
            h.q.writew(BAR + 6, 0xFFFF)
            h.q.writew(BAR + 0xC, mode ^ READ)
            for _ in range(300):
                h.q.writel(BAR + 0x20, 0xFFFFFFFF)
                h.q.readl(BAR + 0x20)
            h.q.writel(BAR, 0xFFFFFFF0)
            h = Host(h.q)


def blocks_larger_than_the_buffer(h, f):
    """CVE-2017-5987, CVE-2017-5667, CVE-2022-3872: no end of blocks, or of bytes in one; the buffer's last byte."""
    for size, count in ((512, 0xFFFF), (0xFFF, 0xFFFF), (0, 0xFFFF), (512, 0)):
        for index, mode in ((18, READ | MULTI), (25, MULTI), (18, READ | MULTI | BY_DMA)):
            h.command(index, 0, mode=mode, blocks=count, size=size, data=True)
            for _ in range(200):
                h.q.writel(BAR + 0x20, 0)
                h.q.readl(BAR + 0x20)
            h = Host(h.q)


def data_in_its_own_registers(h, f):
    """CVE-2024-3447, and those of DMA that comes back."""
    for at in (BAR, BAR + 0x20, BAR + 0x2C):
        h.q.writeb(BAR + 0x28, SDMA)
        h.q.writel(BAR, at)
        h.start(18, 0, 8, READ | BY_DMA)
        h = Host(h.q)
        h.q.writel(BAR + 0x58, at)
        h.q.writeb(BAR + 0x28, ADMA2)
        h.start(17, 0, 1, READ | BY_DMA)
        h = Host(h.q)


def accesses_by_chance_do_no_harm(h, f):
    rng = random.Random(int(os.environ.get("BP_TEST_SEED", "1")))
    for n in range(int(os.environ.get("BP_TEST_ROUNDS", "6000"))):
        at = rng.choice((0, 4, 6, 8, 0xC, 0xE, 0x20, 0x28, 0x2C, 0x30, 0x54, 0x58, rng.randrange(256)))
        value = rng.choice((0, 1, 0xFF, 0x1F, rng.getrandbits(32), 0x11220037, DATA, TABLE, BAR))
        if rng.random() < 0.3:
            value, at = rng.choice((17, 18, 24, 25, 12, 0, 55, 51, 7, 8)) << 8 | 0x22, 0xE
        width = rng.choice("bwl")
        if rng.random() < 0.3:
            getattr(h.q, "read" + width)(BAR + at)
        else:
            getattr(h.q, "write" + width)(BAR + at, value & (1 << {"b": 8, "w": 16, "l": 32}[width]) - 1)
    h = Host(h.q)
    assert h.start(17, 0, 1, READ) & COMMAND


def bad_cards_are_refused_in_words():
    with tempfile.NamedTemporaryFile(prefix="backplane-sd-") as f:
        for size, words in ((100000, "a multiple of 512 KiB"), (0, "a multiple of 512 KiB")):
            f.truncate(size)
            try:
                QTest(["-M", "pc", "-device", "sdhci-pci", "-blockdev", f"driver=file,filename={f.name},node-name=n",
                       "-device", "sd-card,drive=n"]).close()
            except Failed as error:
                assert words in str(error), error
            else:
                raise AssertionError("taken")
    for args, words in ((["-device", "sdhci-pci", "-device", "sd-card"], "property 'drive' is missing"),
                        (["-device", "sd-card"], "sd-bus")):
        try:
            QTest(["-M", "pc", *args]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError("taken")


if __name__ == "__main__":
    tap = Tap()
    tap.case("it says what it is", with_card(says_what_it_is))
    tap.case("data go by the port", with_card(data_go_by_the_port))
    tap.case("data go by tables", with_card(data_go_by_tables))
    tap.case("data go by one address", with_card(data_go_by_one_address))
    tap.case("what goes wrong is told", with_card(what_goes_wrong_is_told))
    tap.case("protected cards say so", with_card(protected_cards_say_so, drive=",read-only=on"))
    tap.case("interrupts come by the line", with_card(interrupts_come_by_the_line))
    tap.case("cards come and go", with_card(cards_come_and_go))
    tap.case("CVE-2020-17380, 2020-25085, 2021-3409: sizes that change under a transfer",
             with_card(sizes_that_change_under_a_transfer))
    tap.case("CVE-2017-5987, 2017-5667, 2022-3872: blocks larger than the buffer", with_card(blocks_larger_than_the_buffer))
    tap.case("CVE-2024-3447: data in its own registers", with_card(data_in_its_own_registers))
    tap.case("accesses by chance do no harm", with_card(accesses_by_chance_do_no_harm))
    tap.case("bad cards are refused in words", bad_cards_are_refused_in_words)
    tap.done()
