/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Colours of terminals: a PC's 16, xterm's cube of 6 x 6 x 6 and its 24 greys; and the nearest of a PC. */
#include "vc.h"

/* In the order of ECMA-48: black, red, green, yellow, blue, magenta, cyan, white; then the bright ones. */
static const uint32_t table[16] = {0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa,
                                   0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff};

static uint32_t step(uint32_t n)
{
    return n ? 55 + 40 * n : 0;
}

uint32_t vc_colour(uint32_t colour, bool bold, bool background)
{
    uint32_t n = colour & 0xff;

    if (colour == VC_DEFAULT)
        return background ? 0 : bold ? 0xffffff : 0xaaaaaa;
    if (!(colour & VC_ENTRY))
        return colour;
    if (n < 16)
        return table[n < 8 && bold && !background ? n + 8 : n];
    if (n >= 232)
        return (8 + 10 * (n - 232)) * 0x010101;
    n -= 16;
    return step(n / 36) << 16 | step(n / 6 % 6) << 8 | step(n % 6);
}

static unsigned nearest(uint32_t colour, unsigned count)
{
    unsigned best = 0, least = ~0u;

    for (unsigned i = 0; i < count; i++) {
        int r = (int)(colour >> 16 & 255) - (int)(table[i] >> 16 & 255);
        int g = (int)(colour >> 8 & 255) - (int)(table[i] >> 8 & 255);
        int b = (int)(colour & 255) - (int)(table[i] & 255);
        unsigned distance = (unsigned)(r * r + g * g + b * b);

        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

/* A PC has blue in bit 0 and red in bit 2. */
static uint8_t turned(unsigned n)
{
    return (uint8_t)((n & 10) | (n & 1) << 2 | (n >> 2 & 1));
}

uint8_t vc_attribute(uint32_t foreground, uint32_t background)
{
    return (uint8_t)(turned(nearest(background, 8)) << 4 | turned(nearest(foreground, 16)));
}
