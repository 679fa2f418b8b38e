# SPDX-License-Identifier: LGPL-2.1-or-later
"""fw_cfg as firmware uses it, over qtest: the directory and files, by the data port or by DMA."""

DMA_AT, DATA_AT = 0x1000, 0x100000
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16


def item(q, key, size):
    q.outw(0x510, key)
    return bytes(q.inb(0x511) for _ in range(size))


def dma(q, control, length, key=None, address=DATA_AT):
    """One command; gives the control word that is left."""
    if key is not None:
        control |= SELECT | key << 16
    q.write(DMA_AT, control.to_bytes(4, "big") + length.to_bytes(4, "big") + address.to_bytes(8, "big"))
    q.outl(0x518, int.from_bytes(DMA_AT.to_bytes(4, "big"), "little"))
    return int.from_bytes(q.read(DMA_AT, 4), "big")


def directory(q):
    """{name: (key, size)}"""
    def read(size):
        assert dma(q, READ, size, 0x19) == 0
        return q.read(DATA_AT, size)

    count = int.from_bytes(read(4), "big")
    entries = read(4 + 64 * count)[4:]
    found = {}
    for at in range(0, len(entries), 64):
        name = entries[at + 8:at + 64].rstrip(b"\0").decode()
        found[name] = (int.from_bytes(entries[at + 4:at + 6], "big"), int.from_bytes(entries[at:at + 4], "big"))
    return found


def file(q, name):
    """Its bytes, or None."""
    key, size = directory(q).get(name, (None, 0))
    if key is None:
        return None
    if size == 0:
        return b""
    assert dma(q, READ, size, key) == 0
    return q.read(DATA_AT, size)
