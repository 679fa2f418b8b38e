# SPDX-License-Identifier: LGPL-2.1-or-later
"""Intel 82540EM by its manual: what it has in common with others (gigabit.py), the wires of its EEPROM."""
import gigabit
from gigabit import EECD, EERD, Gigabit, run, segments_are_cut_with_right_headers
from qtest import Tap


def eeprom_is_read_by_wire(q):
    q.put(EERD, 2 << 8 | 1)
    word = q.get(EERD) >> 16
    q.put(EECD, 0x40)
    assert q.get(EECD) & 0x80, "no grant"
    bits = "110" + format(2, "06b")  # read word 2, by wire
    value = 0
    for bit in bits:
        for clock in (0, 1, 0):
            q.put(EECD, 0x42 | int(bit) << 2 | clock)
    assert not q.get(EECD) & 8, "no zero in front of the data"
    for _ in range(16):
        q.put(EECD, 0x43)
        value = value << 1 | q.get(EECD) >> 3 & 1
        q.put(EECD, 0x42)
    assert value == word, hex(value)


COMMON = tuple(c for c in gigabit.CASES if c is not segments_are_cut_with_right_headers)
run(Tap(), Gigabit, COMMON + (segments_are_cut_with_right_headers, eeprom_is_read_by_wire))
