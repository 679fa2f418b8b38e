/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Microwire EEPROM of 16-bit words, as the data sheets of the 93C46 and 93C66 have it: a start
 * bit, two of the operation, the address; then data out behind a zero, word after word, or sixteen
 * bits in. What is written stands there when the select line falls, if writing was enabled before.
 * It is done at once: never busy.
 */
#include "nic.h"

enum { COMMAND, READING, TAKING, DONE };
enum { OP_EXTENDED, OP_WRITE, OP_READ, OP_ERASE };

static unsigned mask_of(const struct card_eeprom *e)
{
    return (1u << e->address_bits) - 1;
}

static void begin(struct card_eeprom *e)
{
    unsigned extended = e->address >> (e->address_bits - 2) & 3u;

    e->bits = 0;
    e->in = 0;
    e->phase = DONE;
    if (e->operation == OP_READ) {
        e->phase = READING;
        e->out = 0;
    } else if (e->operation == OP_WRITE || (e->operation == OP_EXTENDED && extended == 1)) {
        e->phase = TAKING; /* WRITE, or WRAL: the same word everywhere */
    } else if (e->operation == OP_EXTENDED && (extended == 0 || extended == 3)) {
        e->writable = extended == 3;
    }
}

static void rising(struct card_eeprom *e, bool bit)
{
    switch (e->phase) {
    case COMMAND:
        if (e->bits == 0 && !bit)
            return; /* before the start bit */
        e->in = e->in << 1 | bit;
        if (++e->bits == 3u + e->address_bits) {
            e->operation = (uint8_t)(e->in >> e->address_bits & 3u);
            e->address = (uint16_t)(e->in & mask_of(e));
            begin(e);
        }
        return;
    case READING:
        if (e->bits == 0) {
            e->out = e->words[e->address & mask_of(e)];
            e->address = (uint16_t)((e->address + 1) & mask_of(e));
            e->bits = 16;
        } else {
            e->out = (uint16_t)(e->out << 1);
        }
        e->bits--;
        return;
    case TAKING:
        e->in = e->in << 1 | bit;
        if (++e->bits == 16)
            e->phase = DONE;
        return;
    default:
        return;
    }
}

/* The select line falls. */
static void commit(struct card_eeprom *e)
{
    unsigned mask = mask_of(e), extended = e->address >> (e->address_bits - 2) & 3u;
    uint16_t word = e->operation == OP_WRITE || extended == 1 ? (uint16_t)e->in : 0xffff;

    if (e->phase != DONE || !e->writable)
        return;
    if (e->operation == OP_WRITE && e->bits == 16)
        e->words[e->address & mask] = (uint16_t)e->in;
    else if (e->operation == OP_ERASE)
        e->words[e->address & mask] = 0xffff;
    else if (e->operation == OP_EXTENDED && ((extended == 1 && e->bits == 16) || extended == 2))
        for (unsigned i = 0; i <= mask; i++)
            e->words[i] = word;
}

void card_eeprom_lines(struct card_eeprom *e, bool select, bool clock, bool in)
{
    if (!select) {
        commit(e);
        e->phase = COMMAND;
        e->bits = 0;
        e->in = 0;
    } else if (clock && !e->clock) {
        rising(e, in);
    }
    e->clock = clock;
}

bool card_eeprom_out(const struct card_eeprom *e)
{
    return e->phase != READING || e->out >> 15;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_ARRAY(UINT16, struct card_eeprom, words),
    BP_SAVE_RANGE(UINT8, struct card_eeprom, phase, 0, DONE),
    BP_SAVE_RANGE(UINT8, struct card_eeprom, bits, 0, 16),
    BP_SAVE_RANGE(UINT8, struct card_eeprom, operation, 0, 3),
    BP_SAVE(BOOL, struct card_eeprom, writable),
    BP_SAVE(BOOL, struct card_eeprom, clock),
    BP_SAVE(UINT16, struct card_eeprom, address),
    BP_SAVE(UINT16, struct card_eeprom, out),
    BP_SAVE(UINT32, struct card_eeprom, in),
    BP_SAVE_END};
const struct bp_state_table card_eeprom_table = {
    .name = "eeprom", .version = 1, .oldest = 1, .fields = fields};
