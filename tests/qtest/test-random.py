#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random accesses to every register of a whole PC: parts that cannot stand alone on the fake host
(bridges, APICs) are driven here. Seeded; nothing may crash, and the machine answers afterwards."""
import random

from qtest import QTest, Tap

ROUNDS = 6000
MMIO = ((0xFEC00000, 0x100), (0xFED00000, 0x400), (0xFEE00000, 0x1000), (0xA0000, 0x60000))
PORTS = ((0x20, 2), (0x40, 4), (0x60, 5), (0x70, 2), (0x92, 1), (0xA0, 2), (0xB2, 2), (0xE9, 1),
         (0x3B4, 7), (0x3C0, 27), (0x1CE, 4), (0x3F8, 8), (0x4D0, 2), (0x510, 2), (0x600, 0x40), (0xCF8, 8), (0xAFE0, 4), (0xB100, 16))


def drive(seed):
    rand = random.Random(seed)
    extra = ["-no-shutdown", "-vga", "std", "-serial", "null", "-chardev", "null,id=log",
             "-device", "isa-debugcon,chardev=log"]
    with QTest(["-M", "pc", *extra]) as q:
        for _ in range(ROUNDS):
            kind = rand.randrange(8)
            value = rand.choice((0, 0xFFFFFFFF, rand.getrandbits(32)))
            if kind < 3:
                base, size = rand.choice(PORTS)
                port = base + rand.randrange(size)
                width = rand.choice("bwl")
                mask = {"b": 0xFF, "w": 0xFFFF, "l": 0xFFFFFFFF}[width]
                if rand.getrandbits(1):
                    getattr(q, "in" + width)(port)
                else:
                    getattr(q, "out" + width)(port, value & mask)
            elif kind < 6:
                base, size = rand.choice(MMIO)
                address = base + rand.randrange(size)
                width = rand.choice("bwlq")
                mask = {"b": 0xFF, "w": 0xFFFF, "l": 0xFFFFFFFF, "q": (1 << 64) - 1}[width]
                if rand.getrandbits(1):
                    getattr(q, "read" + width)(address)
                else:
                    getattr(q, "write" + width)(address, value & mask)
            elif kind == 6:  # a configuration register of a function that is there
                function = rand.choice((0x0000, 0x0800, 0x0B00))
                q.outl(0xCF8, 0x80000000 | function | (rand.randrange(256) & 0xFC))
                q.outl(0xCFC, value)
            else:
                q.clock_step(rand.randrange(1, 5000000))
        assert 0 <= q.inb(0x61) <= 0xFF


tap = Tap()
for seed in (1, 2, 3):
    tap.case(f"random_accesses_with_seed_{seed}_do_no_harm", drive, seed)
tap.done()
