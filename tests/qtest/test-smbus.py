#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SMBus hosts of PIIX4 (82371AB) and ICH9, the EEPROMs behind them, and what memory modules say of
themselves (JEDEC 21-C, 4.1.2.10)."""
from qtest import Failed, QTest, Tap

QUICK, BYTE, BYTE_DATA, WORD_DATA, CALL, BLOCK = range(6)


class Host:
    """What both have in common; raises OSError when nobody answers."""

    def __init__(self, q, base):
        self.q, self.base = q, base

    def run(self, protocol, address, read, command=0, data=(), block=()):
        q, b = self.q, self.base
        q.outb(b, 0xFF)
        q.outb(b + 4, address << 1 | read)
        q.outb(b + 3, command)
        for n, byte in enumerate(data):
            q.outb(b + 5 + n, byte)
        if block:
            q.inb(b + 2)
            q.outb(b + 5, len(block))
            for byte in block:
                q.outb(b + 7, byte)
        q.outb(b + 2, 0x40 | protocol << 2)
        status = q.inb(b) & 0x1F
        q.outb(b, 0xFF)
        assert q.inb(b) & 0x1F == 0
        if status != 2:
            raise OSError(status)
        if not read:
            return None
        if protocol == BLOCK:
            q.inb(b + 2)
            return bytes(q.inb(b + 7) for _ in range(q.inb(b + 5)))
        return q.inb(b + 5) | (q.inb(b + 6) << 8 if protocol == WORD_DATA else 0)

    def fails(self, *args, **more):
        try:
            self.run(*args, **more)
        except OSError as error:
            return error.args[0]
        raise AssertionError("it did not fail")


def ich9(q):
    at = lambda offset: q.outl(0xCF8, 0x80002800 | offset)
    at(0)
    assert q.inl(0xCFC) == 0x29308086
    at(0x20)
    q.outl(0xCFC, 0xC100)
    at(4)
    q.outw(0xCFC, 1)
    at(0x40)
    q.outb(0xCFC, 1)
    q.outb(0xC100 + 13, 2)  # block buffer
    return Host(q, 0xC100)


def modules(q, host):
    sizes = []
    for address in range(0x50, 0x58):
        try:
            host.run(QUICK, address, 0)
        except OSError:
            continue
        spd = bytes(host.run(BYTE_DATA, address, 1, n) for n in range(256))
        assert spd[:3] == b"\x80\x08\x08" and sum(spd[:63]) & 0xFF == spd[63]
        assert spd[73:91] == b"BACKPLANE DIMM    " and spd[128:] == b"\xff" * 128
        density = spd[31]
        mib = {0x20: 128, 0x40: 256, 0x80: 512, 1: 1024, 2: 2048, 4: 4096, 8: 8192, 0x10: 16384}[density]
        assert 2 ** (spd[3] + spd[4]) * spd[17] * 8 == mib << 20, spd[:32]
        sizes.append(mib)
    return sizes


def piix4_shows_the_memory():
    for size, want in (("128M", [128]), ("64M", []), ("1000M", [512, 256, 128]), ("3G", [2048, 1024])):
        with QTest(["-M", "pc", "-m", size]) as q:
            assert modules(q, Host(q, 0xB100)) == want, size


def nobody_answers_elsewhere(q):
    host = Host(q, 0xB100)
    for protocol in (QUICK, BYTE, BYTE_DATA, WORD_DATA, BLOCK):
        for read in (0, 1):
            assert host.fails(protocol, 0x20, read, block=b"x" if protocol == BLOCK else ()) == 4
    assert host.fails(CALL, 0x50, 0) == 0x10 and host.fails(6, 0x50, 0) == 0x10


def eeprom_protocols(q, host):
    assert host.run(BYTE, 0x50, 0, 0x10) is None  # the address alone
    host.run(BYTE_DATA, 0x50, 0, 0x80, (0xA1,))
    host.run(WORD_DATA, 0x50, 0, 0x81, (0xB2, 0xC3))
    host.run(BYTE, 0x50, 0, 0x80)
    assert [host.run(BYTE, 0x50, 1) for _ in range(4)] == [0xA1, 0xB2, 0xC3, 0xFF]
    assert host.run(WORD_DATA, 0x50, 1, 0x81) == 0xC3B2
    # A block write is the count and its bytes, within a page of eight.
    host.run(BLOCK, 0x50, 0, 0x90, block=b"abcdefghij")
    page = bytes(host.run(BYTE_DATA, 0x50, 1, 0x90 + n) for n in range(9))
    assert page == b"hijcdefg\xff", page
    host.run(BYTE_DATA, 0x50, 0, 0x98, (5,))
    for n, byte in enumerate(b"block"):
        host.run(BYTE_DATA, 0x50, 0, 0x99 + n, (byte,))
    assert host.run(BLOCK, 0x50, 1, 0x98) == b"block"
    for count in (0, 33, 255):
        host.run(BYTE_DATA, 0x50, 0, 0x98, (count,))
        assert host.fails(BLOCK, 0x50, 1, 0x98) == 0x10, count
    q.qmp("system_reset")
    q.qmp("query-status")


def piix4_speaks_every_protocol(q):
    host = Host(q, 0xB100)
    eeprom_protocols(q, host)
    assert host.run(BYTE_DATA, 0x50, 1, 0x80) == 0xA1  # it is no volatile memory


def ich9_speaks_every_protocol(q):
    host = ich9(q)
    eeprom_protocols(q, host)
    host = ich9(q)
    assert host.run(BYTE_DATA, 0x50, 1, 0x80) == 0xA1
    host.run(BYTE_DATA, 0x50, 0, 0x42, (0x34,))
    assert host.run(CALL, 0x50, 1, 0x41, (1, 0x34)) is not None


def ich9_moves_blocks_byte_by_byte(q):
    host, b = ich9(q), 0xC100
    q.outb(b + 13, 0)
    text = b"bytes"
    q.outb(b + 4, 0xA0)
    q.outb(b + 3, 0x60)
    q.outb(b + 5, len(text))
    q.outb(b + 7, text[0])
    q.outb(b + 2, 0x40 | BLOCK << 2)
    for byte in text[1:]:
        assert q.inb(b) & 0x82 == 0x80
        q.outb(b + 7, byte)
        q.outb(b, 0x80)
    assert q.inb(b) & 0x82 == 0x80
    q.outb(b, 0x80)
    assert q.inb(b) & 0x9E == 2
    q.outb(b, 2)
    assert [host.run(BYTE_DATA, 0x50, 1, 0x60 + n) for n in range(6)] == [5, *text]
    q.outb(b + 4, 0xA1)
    q.outb(b + 3, 0x60)
    q.outb(b + 2, 0x40 | BLOCK << 2)
    got = []
    while q.inb(b) & 0x80:
        got.append(q.inb(b + 7))
        q.outb(b, 0x80)
    assert bytes(got) == text and q.inb(b + 5) == 5 and q.inb(b) & 0x1E == 2


def ich9_owner_is_the_first_who_asks(q):
    b = ich9(q).base
    q.outb(b, 0x40)
    assert not q.inb(b) & 0x40 and q.inb(b) & 0x40
    q.outb(b, 0x40)
    assert not q.inb(b) & 0x40


def ich9_interrupts_when_it_may(q):
    ich9(q)
    q.outl(0xCF8, 0x80000860)
    q.outl(0xCFC, 0x0B0B0B0B)
    q.irq_intercept_in("ioapic")
    for control, up in ((0x40, False), (0x41, True)):
        q.irqs.clear()
        q.outb(0xC104, 0xA0)
        q.outb(0xC102, control)
        assert any(q.irqs.values()) == up
        q.outb(0xC100, 0xFF)
        assert not any(q.irqs.values())


def address_that_is_taken_is_refused():
    for options, words in ((("smbus-eeprom",), ("0x50", "already")),
                           (("smbus-eeprom,address=0x78",), ("address",)),
                           (("smbus-eeprom,address=3",), ("address", "0x08"))):
        try:
            with QTest(["-M", "pc", "-device", *options]):
                raise AssertionError("it was accepted")
        except Failed as error:
            assert all(word in str(error) for word in words), error


tap = Tap()
ICH9 = ["-M", "pc", "-m", "64", "-device", "ICH9-SMB,addr=5,id=ich", "-device", "smbus-eeprom,bus=ich.0"]
tap.case("piix4_shows_the_memory", piix4_shows_the_memory)
tap.machine_case("nobody_answers_elsewhere", ["-M", "pc"], nobody_answers_elsewhere)
tap.machine_case("piix4_speaks_every_protocol", ["-M", "pc"], piix4_speaks_every_protocol)
for case in (ich9_speaks_every_protocol, ich9_moves_blocks_byte_by_byte, ich9_owner_is_the_first_who_asks,
             ich9_interrupts_when_it_may):
    tap.machine_case(case.__name__, ICH9, case)
tap.case("address_that_is_taken_is_refused", address_that_is_taken_is_refused)
tap.done()
