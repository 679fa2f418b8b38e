/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random blocks for legacy-compare: instructions of all modes, branches among them, segment loads, changing code. */
#include "legacy-compare.h"

#include <string.h>

struct made_block b;

static void byte(unsigned value)
{
    if (b.length < sizeof(b.bytes))
        b.bytes[b.length++] = (uint8_t)value;
}
static void bytes(uint64_t value, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        byte((unsigned)(value >> (8 * n)) & 0xff);
}

/* Where memory that matters lies, as an offset; or a value that looks for trouble. */
uint32_t offset_value(void)
{
    static const uint32_t edges[] = {
        0,       0xfff,      0xffe,      0x1000,       0x1234,          0x1233,        0xffff,      0xfffe,    0xfffd,
        0x10000, 0xfffffffe, 0xfffffff8, DATA + 0xffe, ABSENT_PAGE - 2, READONLY_PAGE, HIGH + DATA, 0x7fffffff};
    unsigned what = (unsigned)below(100);

    if (what < 8)
        return edges[below(BP_COUNT(edges))];
    if (what < 12)
        return (uint32_t)rng();
    if (mode->wide && (mode->flat || what < 40))
        return (what < 30 ? HIGH : 0) + DATA + (uint32_t)below(what & 1 ? 0x2f00 : 0x8000);
    return (uint32_t)below(mode->wide ? 0x1100 : 0x10000);
}

static uint32_t selector_value(void)
{
    if (mode->real || mode->v86)
        return chance(70) ? (uint32_t)((below(2) ? DATA : STACK) >> 4) + (uint32_t)below(64)
                          : (uint32_t)below(0x10000);
    return chance(10) ? (uint32_t)below(0x100)
                      : (uint32_t)(G_FLAT + below(G_LAST - G_FLAT)) << 3 | (mode->user ? 3 : 0);
}

static void mov_imm(unsigned reg, uint32_t value) /* of 32 bits whatever the default is */
{
    if (!mode->wide)
        byte(0x66);
    byte(0xb8 | reg);
    bytes(value, 4);
}

/* ModRM and what follows; `reg` may be a digit. Returns nothing: addresses are what registers hold. */
static void modrm(unsigned reg, bool memory_only, unsigned address)
{
    unsigned mod = memory_only || chance(60) ? (unsigned)below(3) : 3, rm = (unsigned)below(8);

    byte(mod << 6 | reg << 3 | rm);
    if (mod == 3)
        return;
    if (address == 4 && rm == 4) {
        unsigned sib = (unsigned)below(256);

        byte(sib);
        if ((sib & 7) == 5 && mod == 0) {
            bytes(offset_value(), 4);
            return;
        }
    }
    if (mod == 0 && rm == (address == 4 ? 5u : 6u))
        bytes(offset_value(), address);
    else if (mod == 1)
        byte((unsigned)below(256));
    else if (mod == 2)
        bytes(chance(70) ? below(0x200) : offset_value(), address);
}

static bool undefined_1(unsigned op, unsigned reg)
{
    switch (op) {
    case 0x27:
    case 0x2f:
    case 0x37:
    case 0x3f:
    case 0xd4:
    case 0xd5:
    case 0x69:
    case 0x6b:
    case 0xc0:
    case 0xc1:
    case 0xd0 ... 0xd3:
        return true;
    case 0xf6:
    case 0xf7:
        return reg >= 4;
    }
    return false;
}
static bool undefined_0f(unsigned op)
{
    return (op >= 0xa3 && op <= 0xa5) || (op >= 0xab && op <= 0xad) || op == 0xaf || op == 0xb3 ||
           (op >= 0xba && op <= 0xbd);
}

static bool has_modrm_1(unsigned op)
{
    return (op < 0x40 && (op & 4) == 0) || op == 0x62 || op == 0x63 || op == 0x69 || op == 0x6b ||
           (op >= 0x80 && op <= 0x8f) || op == 0xc0 || op == 0xc1 || (op >= 0xc4 && op <= 0xc7) ||
           (op >= 0xd0 && op <= 0xd3) || op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff;
}

static unsigned immediate_1(unsigned op, unsigned reg, unsigned size, unsigned address)
{
    if (op < 0x40)
        return (op & 7) == 4 ? 1 : (op & 7) == 5 ? size : 0;
    switch (op) {
    case 0x68:
    case 0x69:
    case 0x81:
    case 0xa9:
    case 0xb8 ... 0xbf:
    case 0xc7:
        return size;
    case 0x6a:
    case 0x6b:
    case 0x80:
    case 0x82:
    case 0x83:
    case 0xa8:
    case 0xb0 ... 0xb7:
    case 0xc0:
    case 0xc1:
    case 0xc6:
    case 0xcd:
    case 0xd4:
    case 0xd5:
        return 1;
    case 0xa0 ... 0xa3:
        return address;
    case 0xc2:
        return 2;
    case 0xc8:
        return 3;
    case 0xf6:
        return reg < 2 ? 1 : 0;
    case 0xf7:
        return reg < 2 ? size : 0;
    }
    return 0;
}

static bool wanted_1(unsigned op)
{
    if (op < 0x40) /* all but prefixes */
        return (op & 7) < 6 || (op & 7) == 7 || op < 0x20 ? op != 0x0f : false;
    switch (op) {
    case 0x64 ... 0x67:
    case 0x6c ... 0x7f:
    case 0x9a:
    case 0x9b:
    case 0xc2:
    case 0xc3:
    case 0xca:
    case 0xcb:
    case 0xcf:
    case 0xd8 ... 0xdf:
    case 0xe0 ... 0xf4:
        return false; /* prefixes, ports, branches, x87 */
    case 0xc8:
    case 0xcc:
    case 0xcd:
    case 0xce:
        return chance(20);
    case 0x9d:
        return chance(30);
    case 0x0f:
        return false;
    }
    return true;
}

static unsigned prefixes(unsigned *ret_size, unsigned *ret_address)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned size = mode->wide ? 4 : 2, address = size;

    if (chance(20)) {
        byte(0x66);
        size = 6 - size;
    }
    if (chance(10)) {
        byte(0x67);
        address = 6 - address;
    }
    if (chance(12))
        byte(segments[below(6)]);
    *ret_size = size;
    *ret_address = address;
    return size;
}

static void instruction_1(void)
{
    unsigned size, address, op, reg = (unsigned)below(8), imm;

    do
        op = (unsigned)below(256);
    while (!wanted_1(op));
    if (op >= 0xa4 && op <= 0xaf && op != 0xa8 && op != 0xa9 && chance(50)) {
        mov_imm(BP_RCX, (uint32_t)below(40));
        prefixes(&size, &address);
        byte(chance(70) ? 0xf3 : 0xf2);
    } else {
        prefixes(&size, &address);
    }
    if ((op & 0xfe) == 0xf6 && reg >= 6 && chance(70))
        reg -= 4;
    if (op == 0xff && reg >= 2 && reg <= 5) /* branches have their own */
        reg = 6;
    if (op == 0x8e && reg == 1)
        reg = 3;
    if (op < 0x34 && (op & 7) < 2 && chance(5))
        byte(0xf0);
    byte(op);
    imm = immediate_1(op, reg, size, address);
    if (has_modrm_1(op))
        modrm(reg, op == 0xc4 || op == 0xc5 || op == 0x62 || op == 0x8d, address);
    bytes(op >= 0xa0 && op <= 0xa3 ? offset_value() : op == 0xc8 ? below(64) | below(3) << 16 : rng(), imm);
    if (undefined_1(op, reg))
        bytes(0x073c, 2); /* cmp al, 7: nobody may look at them */
}

static void instruction_0f(void)
{
    static const uint8_t list[] = {0x40, 0x45, 0x4c, 0x4f, 0x90, 0x95, 0x9c, 0xa0, 0xa1, 0xa8, 0xa9,
                                   0xa3, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xaf, 0xb0, 0xb1, 0xb2, 0xb3,
                                   0xb4, 0xb5, 0xb6, 0xb7, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0,
                                   0xc1, 0xc7, 0xc8, 0xcb, 0xcc, 0xcf, 0x00, 0x02, 0x03, 0x1f};
    unsigned size, address, op = list[below(sizeof(list))], reg = (unsigned)below(8);
    bool imm = op == 0xa4 || op == 0xac || op == 0xba,
         plain = op == 0xa0 || op == 0xa1 || op == 0xa8 || op == 0xa9 || (op & 0xf8) == 0xc8;

    prefixes(&size, &address);
    if (size == 2 && (op & 0xf6) == 0xa4)
        op = 0xaf; /* undefined results */
    if (op == 0xc7)
        reg = 1;
    if (op == 0x00)
        reg &= 1;
    imm = op == 0xa4 || op == 0xac || op == 0xba;
    byte(0x0f);
    byte(op);
    if (!plain)
        modrm(op == 0xba ? reg | 4 : reg, op == 0xc7 || op == 0xb2 || op == 0xb4 || op == 0xb5, address);
    if (imm)
        byte((unsigned)below(256));
    if (undefined_0f(op))
        bytes(0x073c, 2);
}

static void instruction_fp(void)
{
    static const uint16_t list[] = {0x0010, 0x0011, 0x0028, 0x0029, 0x0058, 0x0059, 0x0054, 0x0057, 0x00c6,
                                    0x006f, 0x007f, 0x00fe, 0x00ef, 0x6610, 0x6611, 0x666f, 0x667f, 0x66fe,
                                    0x66ef, 0x6662, 0x666e, 0x667e, 0x66d7, 0x6670, 0xf310, 0xf311, 0xf36f,
                                    0xf37f, 0xf32a, 0xf32d, 0xf258, 0xf210, 0xf211, 0x002e, 0x662f};
    unsigned address = mode->wide ? 4 : 2, what = (unsigned)below(100);

    if (what < 50) {
        uint16_t op = list[below(BP_COUNT(list))];

        if (op >> 8)
            byte(op >> 8);
        byte(0x0f);
        byte(op & 0xff);
        modrm((unsigned)below(8), false, address);
        if ((op & 0xff) == 0xc6 || (op & 0xff) == 0x70)
            byte((unsigned)below(256));
    } else {
        unsigned escape = (unsigned)below(8), reg = (unsigned)below(8);

        if (escape == 1 && reg >= 4)
            reg &= 3;
        if (escape == 5 && reg >= 4)
            reg &= 3;
        if (chance(70)) {
            byte(0xd8 | escape);
            modrm(reg, true, address);
        } else {
            static const uint16_t calm[] = {0xc1d8, 0xc0d9, 0xe8d9, 0xeed9, 0xc9d9,
                                            0xc1dc, 0xc9de, 0xe0df, 0xf1db, 0xd9dd};

            bytes(calm[below(BP_COUNT(calm))], 2);
        }
    }
}

static void fix_later(unsigned size)
{
    if (b.fixup_count < BP_COUNT(b.fixup)) {
        b.fixup[b.fixup_count] = b.length;
        b.fixup_size[b.fixup_count++] = size;
    }
    bytes(0, size);
}

static void branch(void)
{
    unsigned size = mode->wide ? 4 : 2, what = (unsigned)below(100);

    if (chance(10)) {
        byte(0x66);
        size = 6 - size;
    }
    if (what < 40) {
        byte(0x70 | (unsigned)below(16));
        fix_later(1);
    } else if (what < 50) {
        byte(0x0f);
        byte(0x80 | (unsigned)below(16));
        fix_later(size);
    } else if (what < 60) {
        byte(0xe8);
        fix_later(size);
    } else if (what < 68) {
        byte(chance(50) ? 0xeb : 0xe9);
        fix_later(b.bytes[b.length - 1] == 0xeb ? 1 : size);
    } else if (what < 80) {
        if (chance(10))
            byte(0x67);
        byte(0xe0 | (unsigned)below(4));
        fix_later(1);
    } else if (what < 90) { /* to an offset in a register or on the stack, right behind it more often than not */
        uint32_t eip = b.eip + b.length + (mode->wide ? 5 : 6);

        mov_imm(BP_RBX, 0);
        if (chance(10))
            eip ^= (uint32_t)1 << below(32);
        eip += chance(90) ? 1 : 2;
        switch (below(3)) {
        case 0:
            bytes(0xe3ff, 2);
            eip += 1;
            break; /* jmp ebx */
        case 1:
            bytes(0xd3ff, 2);
            eip += 1;
            break; /* call ebx */
        default:
            byte(0x53);
            byte(0xc3);
            eip += 1;
            break; /* push ebx; ret */
        }
        memcpy(b.bytes + b.length - 2 - 4, &eip, 4);
    } else if (what < 95) {
        byte(chance(70) ? 0xc3 : 0xc2);
        if (b.bytes[b.length - 1] == 0xc2)
            bytes(below(64), 2);
    } else if (what < 98) { /* far, to the same segment or another one */
        uint32_t selector = mode->real || mode->v86 ? (b.cs_base >> 4) : chance(70) ? b.cs : selector_value();
        uint32_t eip = b.eip + b.length + 1 + size + 2;

        byte(chance(50) ? 0xea : 0x9a);
        bytes(eip, size);
        bytes(selector, 2);
    } else {
        byte(chance(50) ? 0xcb : 0xcf);
    }
}

static void segment_load(void)
{
    static const uint8_t segs[] = {BP_ES, BP_ES, BP_DS, BP_DS, BP_SS, BP_FS, BP_GS};
    unsigned seg = segs[below(sizeof(segs))];

    mov_imm(BP_RAX, selector_value());
    if (chance(50)) {
        byte(0x8e);
        byte(0xc0 | seg << 3);
    } else {
        byte(0x50);
        if (seg >= BP_FS) {
            byte(0x0f);
            byte(seg == BP_FS ? 0xa1 : 0xa9);
        } else {
            byte(seg << 3 | 7);
        }
    }
}

/* Writes the immediate of a MOV that follows. */
static void self_modification(void)
{
    unsigned nops = (unsigned)below(3), wide = mode->wide ? 4 : 2, length = 1 + 2 + wide + 1;
    uint32_t target = b.eip + b.length + length + nops + 1;

    if (!mode->real && !mode->flat)
        return;
    b.modifies = true;
    byte(mode->real ? 0x2e : 0x3e);
    byte(0xc6);
    byte(mode->wide ? 5 : 6);
    bytes(target, wide);
    byte((unsigned)below(256));
    for (unsigned n = 0; n < nops; n++)
        byte(0x90);
    byte(0xb8 | (unsigned)below(4));
    bytes(rng(), wide);
}

static void fix(void)
{
    for (unsigned n = 0; n < b.fixup_count; n++) {
        unsigned at = b.fixup[n], behind = at + b.fixup_size[n], target = b.length, tries = 4;

        while (tries--) {
            unsigned m = b.marks[below(b.mark_count)];

            if (m >= behind && (b.fixup_size[n] > 1 || m - behind < 120)) {
                target = m;
                break;
            }
        }
        if (chance(4))
            target = (unsigned)(behind + below(200) - 100);
        bytes(0, 0);
        if (b.fixup_size[n] == 1 && target - behind > 127 && behind - target > 128)
            target = behind;
        target -= behind;
        memcpy(b.bytes + at, &target, b.fixup_size[n]);
    }
}

static void choose_code(void)
{
    static const uint16_t narrow[] = {G_CS16, G_CS16, G_CS16B, G_CS16LONG}, wide[] = {G_CS32, G_CS32B};
    unsigned at = (unsigned)below(100);
    uint32_t end = 0xffff;

    if (mode->real || mode->v86) {
        b.cs_base = CODE + (chance(50) ? 0 : (uint32_t)below(64) << 4);
        b.cs = b.cs_base >> 4;
    } else {
        unsigned n = mode->flat ? G_CS32 : mode->wide ? wide[below(2)] : narrow[below(4)];

        b.cs = n << 3 | (mode->user ? 3 : 0);
        b.cs_base = n == G_CS32 ? 0 : n == G_CS32B ? CODE - 0x230 : n == G_CS16B ? CODE + 0x238 : CODE;
        end = n == G_CS16B ? 0x8fff : n == G_CS16LONG ? 0x1ffff : 0xffff;
    }
    b.eip = at < 50   ? 0x8000 + (uint32_t)below(0x800)
            : at < 85 ? 0x8fa0 + (uint32_t)below(2) * 0x1000 + (uint32_t)below(96)
            : at < 95 ? end - (uint32_t)below(60)
                      : (uint32_t)below(40);
    if (b.cs_base == 0)
        b.eip += CODE;
    if (b.cs_base < CODE && b.eip < 0x300)
        b.eip += 0x300;
}

static void make_any(uint64_t seed)
{
    unsigned count;

    rng_seed(seed);
    memset(&b, 0, sizeof(b));
    choose_code();
    count = 2 + (unsigned)below(14);
    for (unsigned n = 0; n < count && b.length < 380; n++) {
        unsigned what = (unsigned)below(100);

        b.marks[b.mark_count++] = b.length;
        if (what < 52)
            instruction_1();
        else if (what < 65)
            instruction_0f();
        else if (what < 72)
            mov_imm((unsigned)below(8) & 7, offset_value());
        else if (what < 77)
            instruction_fp();
        else if (what < 90)
            branch();
        else if (what < 96)
            segment_load();
        else
            self_modification();
    }
    fix();
    byte(HLT);
}

/* A jump into an instruction might find what both cannot agree on: time, random numbers, pointers of the x87. */
static bool is_outside(void)
{
    for (unsigned n = 0; n + 1 < b.length; n++) {
        unsigned op = b.bytes[n], next = b.bytes[n + 1];

        if ((op == 0x0f && (next == 0x01 || (next >= 0x30 && next <= 0x33) || next == 0xae)) ||
            (op == 0x0f && next == 0xc7 && b.bytes[n + 2] >= 0xc0) ||
            ((op & 0xfb) == 0xd9 && (next & 0x38) == 0x30 && next < 0xc0))
            return true;
    }
    return false;
}

void make_block(uint64_t seed)
{
    do
        make_any(seed++);
    while (is_outside());
}
