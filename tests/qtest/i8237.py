# SPDX-License-Identifier: LGPL-2.1-or-later
"""Channels of the ISA bus's DMA controllers, as a driver sets them up."""


def dma_channel(q, channel, address, count, to_memory=False):
    """Of bytes (1, 3) or words (5): automatic; so many units."""
    mode = 0x58 if not to_memory else 0x54
    if channel < 4:
        base, page, mask, modes, clear, unit = 2 * channel, {1: 0x83, 3: 0x82}[channel], 0x0A, 0x0B, 0x0C, 1
    else:
        base, page, mask, modes, clear, unit = 0xC4, 0x8B, 0xD4, 0xD6, 0xD8, 2
    q.outb(0xD6, 0xC0)  # the cascade
    q.outb(0xD4, 0)
    q.outb(mask, 4 | channel & 3)
    q.outb(clear, 0)
    q.outb(modes, mode | channel & 3)
    low = address // unit & 0xFFFF
    q.outb(base, low & 0xFF)
    q.outb(base, low >> 8)
    step = 1 if channel < 4 else 2
    q.outb(base + step, count - 1 & 0xFF)
    q.outb(base + step, count - 1 >> 8)
    q.outb(page, address >> 16)
    q.outb(mask, channel & 3)
