/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NOR flash with the Intel command set: Common Flash Memory Interface (JEDEC JESD68.01), command set 0x0001 as in the
 * data sheet of Intel's StrataFlash memory (28F640J3, order 290667): read array, identifier, query and status, byte
 * and word program, buffered program, block erase, lock bits. Several chips side by side (device-width below width)
 * take each command together. Programs and erases end at once; what they change is written behind (store.c).
 *
 * As firmware that looks for such a chip expects it, a cleared status register reads as 0 until the next program
 * or erase. Left out: suspend and resume (nothing lasts), the protection registers, per-block lock bits that hold (all
 * are unlocked), the status pin.
 */
#include "pflash.h"

#include <bp/chip/pflash.h>
#include <bp/log.h>
#include <errno.h>
#include <string.h>

enum {
    READ_ARRAY = 0xff, READ_ID = 0x90, QUERY = 0x98, READ_STATUS = 0x70, CLEAR_STATUS = 0x50, PROGRAM = 0x40,
    PROGRAM_OLD = 0x10, ERASE = 0x20, BUFFERED = 0xe8, CONFIRM = 0xd0, LOCK_SETUP = 0x60, LOCK = 0x01, LOCK_DOWN = 0x2f,
    SUSPEND = 0xb0,
};

#define READY 0x80u
#define ERASE_ERROR 0x20u
#define PROGRAM_ERROR 0x10u
#define LOCKED 0x02u
#define BUFFER 2048u /* bytes of the write buffer */
#define MAX_SIZE (64ull << 20)

enum phase { PHASE_COMMAND, PHASE_DATA, PHASE_ERASE, PHASE_COUNT, PHASE_FILL, PHASE_CONFIRM, PHASE_LOCK };

struct cfi01 {
    struct pflash_store store;
    uint32_t num_blocks, device_width, max_device_width, width;
    uint64_t sector_length;
    bool big_endian, secure;
    uint16_t id[4];
    char *name;

    struct bp_region *region;
    uint64_t size;
    uint8_t mode;  /* what reads give: READ_ARRAY, READ_ID, QUERY or READ_STATUS */
    uint8_t phase; /* of a command of several writes */
    uint8_t status;
    uint32_t left;       /* PHASE_FILL: accesses that are still to come */
    uint64_t block;      /* its first byte */
    uint8_t buffer[BUFFER]; /* PHASE_FILL: what is to be programmed ... */
    uint8_t filled[BUFFER / 8]; /* ... and which bytes of it */
    uint64_t buffer_base;
};

static void set_mode(struct cfi01 *s, uint8_t mode)
{
    s->mode = mode;
    bp_region_rom_device_mode(s->region, mode == READ_ARRAY);
}

/* ---- reading ---- */

static unsigned chips(const struct cfi01 *s)
{
    return s->width / s->device_width;
}

/* Bytes 0x10 to 0x3f of the query (JESD68, tables 1 to 4). */
static uint8_t query_byte(const struct cfi01 *s, uint64_t word)
{
    uint64_t chip = s->size / chips(s), sector = s->sector_length / chips(s);
    unsigned log2 = 0, write_buffer = 11;
    uint8_t table[0x40] = {
        [0x10] = 'Q', 'R', 'Y', 0x01, 0, 0x31, 0, 0, 0, 0, 0, /* command set 1; extended table at 0x31 */
        [0x1b] = 0x45, 0x55, 0, 0, 7, 7, 10, 0, 4, 4, 4, 0,   /* voltages, times and their maxima */
        [0x28] = 2, 0,                                         /* x8 and x16 */
        [0x2c] = 1,                                            /* one kind of block */
        [0x31] = 'P', 'R', 'I', '1', '1',
    };

    while ((1ull << log2) < chip)
        log2++;
    table[0x27] = (uint8_t)log2;
    for (unsigned n = chips(s); n > 1; n /= 2)
        write_buffer--;
    table[0x2a] = (uint8_t)write_buffer;
    table[0x2d] = (uint8_t)(s->num_blocks - 1);
    table[0x2e] = (uint8_t)((s->num_blocks - 1) >> 8);
    table[0x2f] = (uint8_t)(sector >> 8);
    table[0x30] = (uint8_t)(sector >> 16);
    return word < sizeof(table) ? table[word] : 0;
}

/* What each chip puts onto its lanes for a word of the bank. */
static uint64_t chip_word(const struct cfi01 *s, uint64_t word)
{
    switch (s->mode) {
    case READ_ID:
        /* Block-wise: manufacturer, device, lock state (unlocked). */
        switch (word % (s->sector_length / s->width)) {
        case 0:
            return s->id[0] << 8 | s->id[1];
        case 1:
            return s->id[2] << 8 | s->id[3];
        default:
            return 0;
        }
    case QUERY:
        return query_byte(s, word);
    default:
        return s->status;
    }
}

static uint64_t flash_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct cfi01 *s = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint64_t at = addr + i;
        unsigned lane = (unsigned)(at % s->device_width);
        uint8_t byte;

        if (s->mode == READ_ARRAY)
            byte = s->store.memory[at];
        else
            byte = (uint8_t)(chip_word(s, at / s->width) >> 8 * (s->big_endian ? s->device_width - 1 - lane : lane));
        value |= (uint64_t)byte << 8 * (s->big_endian ? size - 1 - i : i);
    }
    return value;
}

/* ---- changing ---- */

static void changed(struct cfi01 *s, uint64_t offset, uint64_t bytes)
{
    bp_region_mark_dirty(s->region, offset, bytes);
    pflash_store_dirty(&s->store, offset, bytes);
}

static bool refuse(struct cfi01 *s, uint8_t error)
{
    if (pflash_store_writable(&s->store))
        return false;
    s->status |= READY | error | LOCKED;
    return true;
}

/* Programming can make bits 0, not 1. */
static void program(struct cfi01 *s, uint64_t addr, uint64_t value, unsigned size)
{
    if (refuse(s, PROGRAM_ERROR))
        return;
    for (unsigned i = 0; i < size; i++)
        s->store.memory[addr + i] &= (uint8_t)(value >> 8 * (s->big_endian ? size - 1 - i : i));
    changed(s, addr, size);
    s->status |= READY;
}

static void erase(struct cfi01 *s)
{
    if (refuse(s, ERASE_ERROR))
        return;
    memset(s->store.memory + s->block, 0xff, s->sector_length);
    changed(s, s->block, s->sector_length);
    s->status |= READY;
}

static void fill(struct cfi01 *s, uint64_t addr, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint64_t at = addr + i;

        if (at / BUFFER * BUFFER != s->buffer_base) { /* the buffer does not reach there */
            s->status |= PROGRAM_ERROR | ERASE_ERROR | READY;
            continue;
        }
        at %= BUFFER;
        s->buffer[at] = (uint8_t)(value >> 8 * (s->big_endian ? size - 1 - i : i));
        s->filled[at / 8] |= (uint8_t)(1u << at % 8);
    }
    s->phase = --s->left ? PHASE_FILL : PHASE_CONFIRM;
}

static void program_buffer(struct cfi01 *s)
{
    if (refuse(s, PROGRAM_ERROR))
        return;
    for (uint32_t i = 0; i < BUFFER && s->buffer_base + i < s->size; i++) {
        if (s->filled[i / 8] >> i % 8 & 1)
            s->store.memory[s->buffer_base + i] &= s->buffer[i];
    }
    changed(s, s->buffer_base, s->size - s->buffer_base < BUFFER ? s->size - s->buffer_base : BUFFER);
    s->status |= READY;
}

/* ---- commands ---- */

/* Two commands at once are both errors: a sequence that is none (data sheet, status register). */
static void bad_sequence(struct cfi01 *s)
{
    bp_guest_error("pflash-sequence", "flash chip '%s': a sequence of commands that is none", s->name ? s->name : "");
    s->status |= READY | PROGRAM_ERROR | ERASE_ERROR;
    s->phase = PHASE_COMMAND;
    set_mode(s, READ_STATUS);
}

static void begin(struct cfi01 *s, enum phase phase, uint64_t addr)
{
    s->phase = (uint8_t)phase;
    s->block = addr / s->sector_length * s->sector_length;
    set_mode(s, READ_STATUS);
}

static void command(struct cfi01 *s, uint64_t addr, uint8_t value)
{
    switch (value) {
    case READ_ARRAY:
    case 0x00: /* what some drivers reset with */
    case 0xf0:
        set_mode(s, READ_ARRAY);
        return;
    case READ_ID:
    case QUERY:
    case READ_STATUS:
        set_mode(s, value);
        return;
    case CLEAR_STATUS:
        s->status = 0;
        set_mode(s, READ_ARRAY);
        return;
    case PROGRAM:
    case PROGRAM_OLD:
        begin(s, PHASE_DATA, addr);
        return;
    case ERASE:
        begin(s, PHASE_ERASE, addr);
        return;
    case BUFFERED:
        begin(s, PHASE_COUNT, addr);
        s->status |= READY; /* the buffer is available */
        return;
    case LOCK_SETUP:
        begin(s, PHASE_LOCK, addr);
        return;
    case SUSPEND:
    case CONFIRM: /* nothing is under way */
        return;
    default:
        bp_guest_error("pflash-command", "flash chip '%s': unknown command 0x%02x", s->name ? s->name : "", value);
        set_mode(s, READ_ARRAY);
    }
}

static void flash_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct cfi01 *s = opaque;
    /* Of several chips the one on the lowest lanes is listened to: all get the same. */
    uint8_t code = (uint8_t)(s->big_endian ? value >> 8 * (size - 1 - (size > s->device_width ? s->device_width - 1
                                                                                             : size - 1)) : value);

    switch (s->phase) {
    case PHASE_COMMAND:
        command(s, addr, code);
        return;
    case PHASE_DATA:
        s->phase = PHASE_COMMAND;
        program(s, addr, value, size);
        return;
    case PHASE_ERASE:
        if (code != CONFIRM) {
            bad_sequence(s);
            return;
        }
        s->phase = PHASE_COMMAND;
        erase(s);
        return;
    case PHASE_COUNT:
        s->left = (uint32_t)code + 1;
        s->phase = PHASE_FILL;
        s->buffer_base = addr / BUFFER * BUFFER;
        memset(s->filled, 0, sizeof(s->filled));
        return;
    case PHASE_FILL:
        fill(s, addr, value, size);
        return;
    case PHASE_CONFIRM:
        if (code != CONFIRM || (s->status & PROGRAM_ERROR)) {
            bad_sequence(s);
            return;
        }
        s->phase = PHASE_COMMAND;
        program_buffer(s);
        return;
    default: /* PHASE_LOCK: all blocks are unlocked, and stay so */
        if (code != CONFIRM && code != LOCK && code != LOCK_DOWN) {
            bad_sequence(s);
            return;
        }
        s->phase = PHASE_COMMAND;
        s->status |= READY;
    }
}

/* With secure=on only SMM is listened to: others see what is there, and change nothing. */
static int flash_write_with(void *opaque, uint64_t addr, uint64_t value, unsigned size, const struct bp_access *access)
{
    struct cfi01 *s = opaque;

    if (s->secure && !(access->flags & BP_ACCESS_SECURE))
        bp_guest_error("pflash-secure", "flash chip '%s': written by code that is not SMM's", s->name ? s->name : "");
    else
        flash_write(s, addr, value, size);
    return 0;
}

static const struct bp_region_ops flash_ops = {
    .size = sizeof(flash_ops), .read = flash_read, .write_with = flash_write_with, .max_access = 4, .valid_max = 4};

/* ---- device ---- */

static void cfi01_reset(struct bp_device *dev)
{
    struct cfi01 *s = bp_device_state(dev);

    s->status = READY;
    s->phase = PHASE_COMMAND;
    s->left = 0;
    set_mode(s, READ_ARRAY);
}

static bool is_power(uint64_t n)
{
    return n && !(n & (n - 1));
}

static int check(struct cfi01 *s, uint64_t length, struct bp_error *err)
{
    if (!s->device_width)
        s->device_width = s->width;
    if (!is_power(s->width) || s->width > 4 || !is_power(s->device_width) || s->device_width > s->width)
        return bp_fail(err, EINVAL, "cfi.pflash01: 'width' must be 1, 2 or 4 bytes, 'device-width' one of these up to "
                       "it");
    if (!is_power(s->sector_length) || s->sector_length < 256 * s->width || s->sector_length > 16u << 20)
        return bp_fail(err, EINVAL, "cfi.pflash01: 'sector-length' must be a power of two from %u to 16777216",
                       256 * s->width);
    if (!s->num_blocks && length && length % s->sector_length == 0 && length / s->sector_length <= UINT32_MAX)
        s->num_blocks = (uint32_t)(length / s->sector_length);
    if (!s->num_blocks && length)
        return bp_fail(err, EINVAL, "drive '%s' has %llu bytes: a flash chip has a multiple of %llu",
            s->store.conf.drive,
                       (unsigned long long)length, (unsigned long long)s->sector_length);
    if (!s->num_blocks || s->num_blocks > 65536 || s->num_blocks > MAX_SIZE / s->sector_length)
        return bp_fail(err, EINVAL, "cfi.pflash01: 'num-blocks' must be 1 to %llu for sectors of this length",
                       (unsigned long long)(MAX_SIZE / s->sector_length < 65536 ? MAX_SIZE / s->sector_length : 65536));
    s->size = s->num_blocks * s->sector_length;
    return !length || length == s->size ? 0
           : bp_fail(err, EINVAL, "drive '%s' has %llu bytes, and this flash chip has %llu: the "
                   "image must have as many",
                     s->store.conf.drive, (unsigned long long)length, (unsigned long long)s->size);
}

static int cfi01_attach(struct bp_device *dev, struct bp_error *err)
{
    struct cfi01 *s = bp_device_state(dev);
    uint64_t length;
    int r = pflash_store_open(&s->store, dev, &length, err);

    if (r == 0)
        r = check(s, length, err);

    if (r == 0)
        r = bp_region_new_rom(bp_device_owner(dev), s->name ? s->name : "pflash", s->size, &flash_ops, s, &s->region,
                              err);
    if (r == 0)
        r = pflash_store_read(&s->store, bp_region_ram(s->region), s->size, err);
    if (r == 0)
        bp_region_mark_dirty(s->region, 0, s->size);
    else if (s->store.blk)
        pflash_store_close(&s->store);
    return r;
}

static void cfi01_detach(struct bp_device *dev)
{
    struct cfi01 *s = bp_device_state(dev);

    if (s->store.blk)
        pflash_store_close(&s->store);
}

static struct bp_region *region_of(struct bp_device *dev)
{
    return ((struct cfi01 *)bp_device_state(dev))->region;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct cfi01, mode),
    BP_SAVE_RANGE(UINT8, struct cfi01, phase, 0, PHASE_LOCK),
    BP_SAVE(UINT8, struct cfi01, status),
    BP_SAVE_RANGE(UINT32, struct cfi01, left, 0, 256),
    BP_SAVE(UINT64, struct cfi01, block),
    BP_SAVE_BUFFER(struct cfi01, buffer),
    BP_SAVE_BUFFER(struct cfi01, filled),
    BP_SAVE(UINT64, struct cfi01, buffer_base),
    BP_SAVE_END,
};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct cfi01 *s = state;

    (void)version;
    if (s->block > s->size - s->sector_length || s->block % s->sector_length || s->buffer_base >= s->size ||
        s->buffer_base % BUFFER || (s->phase == PHASE_FILL && !s->left))
        return bp_fail(err, EINVAL, "cfi.pflash01: saved state is out of range");
    if (s->mode != READ_ARRAY && s->mode != READ_ID && s->mode != QUERY && s->mode != READ_STATUS)
        return bp_fail(err, EINVAL, "cfi.pflash01: saved state is out of range");
    set_mode(s, s->mode);
    return 0;
}

static const struct bp_state_table state_table = {.version = 1, .oldest = 1, .fields = fields,
                                                  .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("drive", STRING, struct cfi01, store.conf.drive, NULL, "block node or drive with its contents"),
    BP_PROP("num-blocks", UINT32, struct cfi01, num_blocks, "0",
        "sectors that can be erased; 0: as many as the drive has"),
    BP_PROP("sector-length", UINT64, struct cfi01, sector_length, "0", "bytes of a sector"),
    BP_PROP("width", UINT32, struct cfi01, width, "1", "bytes that the bank has side by side"),
    BP_PROP("device-width", UINT32, struct cfi01, device_width, "0", "bytes of each chip of it; 0: one chip"),
    BP_PROP("max-device-width", UINT32, struct cfi01, max_device_width, "0", "bytes that a chip could have"),
    BP_PROP("big-endian", BOOL, struct cfi01, big_endian, "off", "byte order of words"),
    BP_PROP("secure", BOOL, struct cfi01, secure, "off", "only SMM can write"),
    BP_PROP("id0", UINT16, struct cfi01, id[0], "0x00", "manufacturer, high byte"),
    BP_PROP("id1", UINT16, struct cfi01, id[1], "0x89", "manufacturer, low byte"),
    BP_PROP("id2", UINT16, struct cfi01, id[2], "0x00", "device, high byte"),
    BP_PROP("id3", UINT16, struct cfi01, id[3], "0x18", "device, low byte"),
    BP_PROP("name", STRING, struct cfi01, name, NULL, "what its memory is called"),
    BP_FIELDS_END,
};

BP_BOARD_DEVICE(cfi01_class, "cfi.pflash01", "system", "NOR flash with the Intel command set", struct cfi01, props,
                &state_table, .category = "storage", .attach = cfi01_attach, .detach = cfi01_detach,
                .reset = cfi01_reset);

static const struct bp_pflash_interface table = {.size = sizeof(struct bp_pflash_interface), .region = region_of};
BP_INTERFACE(pflash_interface, "pflash", 1, 0, &table);

BP_USE(block, struct bp_block_interface, "block", 1);
const struct bp_block_interface *const *const pflash_block = &block;
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("hw-pflash", "Parallel flash chips", imports, {BP_PROVIDE_DEVICE, &cfi01_class},
          {BP_PROVIDE_INTERFACE, &pflash_interface});
