// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The SCRIPTS processor of the 53C895A (chapter 5): fetches instructions from memory and carries them out, a slice at a
 * time, so that a program without an end does not hold up the machine. An instruction that waits for the SCSI bus
 * is carried out again when something has changed there. Left out: the target's role, 64-bit jumps: illegal
 * instructions.
 */
#include "lsi.h"

#define SLICE_INSTRUCTIONS 2000u
#define SLICE_BYTES (1u << 20)
#define REST_NS 100000 /* between slices */

struct instruction {
    uint32_t command, argument;
};

static int32_t signed24(uint32_t v)
{
    return (int32_t)(v << 8) >> 8;
}

static void illegal(struct lsi *s)
{
    bp_guest_error("lsi-illegal", "lsi53c895a: illegal SCRIPTS instruction %08x at %08x", lsi_get32(s, DBC), s->at);
    lsi_dma_interrupt(s, DSTAT_IID);
}

static bool fetch(struct lsi *s, uint32_t *words, unsigned count)
{
    uint32_t dsp = lsi_get32(s, DSP);
    uint8_t bytes[8];

    if (!lsi_dma(s, (uint64_t)lsi_get32(s, SFS) << 32 | dsp, bytes, 4 * count, false))
        return false;
    for (unsigned i = 0; i < count; i++)
        words[i] = bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 |
                   (uint32_t)bytes[4 * i + 3] << 24;
    lsi_put32(s, DSP, dsp + 4 * count);
    return true;
}

static bool fetch_data(struct lsi *s, uint32_t address, uint32_t *words, unsigned count)
{
    uint8_t bytes[8];

    if (!lsi_dma(s, (uint64_t)lsi_get32(s, DRS) << 32 | address, bytes, 4 * count, false))
        return false;
    for (unsigned i = 0; i < count; i++)
        words[i] = bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 |
                   (uint32_t)bytes[4 * i + 3] << 24;
    return true;
}

/* ---- block moves ---- */
/* Upper address bits of a table's entry, by its bits 31 to 24: they are those bits, or say in which register they
 * stand. */
static uint32_t upper_of_table(const struct lsi *s)
{
    static const uint8_t selectors[] = {MMRS, MMWS, SFS, DRS, SBMS, DBMS};
    unsigned n = s->table_top & 0x1f;

    if (!(s->regs[CCNTL1] & CCNTL1_EN64TIBMV))
        return lsi_get32(s, SBMS);
    if (s->regs[CCNTL1] & CCNTL1_64TIMOD)
        return s->table_top;
    if (n < 16)
        return lsi_get32(s, SCRATCHC + 4 * n);
    return n - 16 < BP_COUNT(selectors) ? lsi_get32(s, selectors[n - 16]) : 0;
}

static bool begin_block_move(struct lsi *s, const struct instruction *i)
{
    uint32_t words[2] = {i->command, i->argument}, upper = lsi_get32(s, SBMS);
    bool table = i->command & 0x10000000, indirect = i->command & 0x20000000;

    s->entry = s->at;
    s->table_top = (uint8_t)(i->command >> 24);
    if (table) {
        s->entry = lsi_get32(s, DSA) + (uint32_t)signed24(i->argument);
        if (!fetch_data(s, s->entry, words, 2))
            return false;
        s->table_top = (uint8_t)(words[0] >> 24);
        upper = upper_of_table(s);
    } else if (indirect) {
        if (!fetch_data(s, i->argument, &words[1], 1))
            return false;
    } else if (s->regs[CCNTL1] & CCNTL1_EN64DBMV) {
        if (!fetch(s, &upper, 1))
            return false;
    }
    if (s->regs[SCNTL0] & SCNTL0_TRG) {
        illegal(s);
        return false;
    }
    lsi_put32(s, DBC, (i->command & 0xff000000u) | (words[0] & 0xffffff));
    lsi_put32(s, DNAD, words[1]);
    lsi_put32(s, DNAD64, upper);
    lsi_put32(s, SBC, 0);
    s->begun = false;
    s->move = MOVE_BLOCK;
    return true;
}

/* ---- select, wait, set, clear ---- */
static uint32_t alternate(const struct lsi *s, const struct instruction *i)
{
    return i->command & 0x04000000 ? lsi_get32(s, DSP) + (uint32_t)signed24(i->argument) : i->argument;
}

static void connected(struct lsi *s)
{
    s->regs[SCNTL1] |= SCNTL1_CON;
    s->regs[SCNTL2] |= SCNTL2_SDU;
}

static void wait_again(struct lsi *s)
{
    s->state = LSI_WAITING;
}

/* The last message of a command was taken but not acknowledged: drivers that look at nothing more leave it so. */
static void finish_message(struct lsi *s)
{
    if (s->bus.connected && s->bus.ack && s->bus.leaving)
        spi_acknowledge(&s->bus);
}

static void select_target(struct lsi *s, const struct instruction *i)
{
    uint32_t id = i->command >> 16 & 15, word;

    if (s->regs[SCNTL0] & SCNTL0_TRG) {
        illegal(s);
        return;
    }
    finish_message(s);
    spi_abandon(&s->bus);
    if (i->command & 0x02000000) {
        if (!fetch_data(s, lsi_get32(s, DSA) + (uint32_t)signed24(i->command), &word, 1))
            return;
        s->regs[SCNTL3] = (uint8_t)(word >> 24);
        s->regs[SXFER] = (uint8_t)(word >> 8);
        id = word >> 16 & 15;
    }
    s->regs[SDID] = (uint8_t)id;
    if (!spi_select(&s->bus, id, i->command & 0x01000000)) {
        s->no_answer = true; /* told by the first instruction that needs the target */
        return;
    }
    s->fresh = true;
    connected(s);
}

static void wait_disconnect(struct lsi *s)
{
    finish_message(s);
    if (s->bus.connected)
        wait_again(s);
}

static void wait_reselect(struct lsi *s, const struct instruction *i)
{
    unsigned target;

    finish_message(s);
    if (s->istat & ISTAT_SIGP) {
        lsi_put32(s, DSP, alternate(s, i));
    } else if (spi_reselect(&s->bus, &target)) {
        s->regs[SSID] = (uint8_t)(0x80 | target);
        s->fresh = false;
        connected(s);
    } else {
        wait_again(s);
    }
}

static void set_or_clear(struct lsi *s, uint32_t bits, bool set)
{
    if (bits & 0x400)
        s->carry = set;
    if (bits & 0x200)
        s->regs[SCNTL0] = (uint8_t)((s->regs[SCNTL0] & ~SCNTL0_TRG) | (set ? SCNTL0_TRG : 0));
    if (bits & 0x008)
        spi_set_atn(&s->bus, set);
    if ((bits & 0x040) && !set)
        spi_acknowledge(&s->bus);
}

/* ---- registers ---- */
static uint8_t operate(struct lsi *s, unsigned operator, uint8_t a, uint8_t b)
{
    unsigned sum;

    switch (operator) {
    case 0:
        return b;
    case 1:
        sum = (unsigned)a << 1 | s->carry;
        s->carry = a >> 7;
        return (uint8_t)sum;
    case 2:
        return a | b;
    case 3:
        return a ^ b;
    case 4:
        return a & b;
    case 5:
        sum = a >> 1 | (s->carry ? 0x80u : 0);
        s->carry = a & 1;
        return (uint8_t)sum;
    default:
        sum = (unsigned)a + b + (operator == 7 && s->carry);
        s->carry = sum >> 8;
        return (uint8_t)sum;
    }
}

static void read_write(struct lsi *s, const struct instruction *i)
{
    unsigned reg = (i->command >> 16 & 0x7f) | (i->command & 0x80), operator = i->command >> 24 & 7;
    uint8_t data = i->command & 0x00800000 ? s->regs[SFBR] : (uint8_t)(i->command >> 8);

    switch (i->command >> 27 & 7) {
    case 5:
        lsi_write(s, reg, operate(s, operator, s->regs[SFBR], data));
        break;
    case 6:
        s->regs[SFBR] = operate(s, operator, lsi_read(s, reg), data);
        break;
    default:
        lsi_write(s, reg, operate(s, operator, lsi_read(s, reg), data));
    }
}

static void input_output(struct lsi *s, const struct instruction *i)
{
    switch (i->command >> 27 & 7) {
    case 0:
        select_target(s, i);
        break;
    case 1:
        wait_disconnect(s);
        break;
    case 2:
        wait_reselect(s, i);
        break;
    case 3:
    case 4:
        set_or_clear(s, i->command, (i->command >> 27 & 7) == 3);
        break;
    default:
        read_write(s, i);
    }
}

/* ---- transfer control ---- */
/* False: it waits for a phase, or the target that was selected does not answer. */
static bool phase_is_known(struct lsi *s, uint32_t command)
{
    if (!(command & 0x00020000))
        return true;
    if (s->no_answer) {
        s->no_answer = false;
        lsi_scsi_interrupt(s, 0, SIST1_STO);
        return false;
    }
    if ((command & 0x00010000) && (s->bus.phase == SPI_WAIT || s->bus.phase == SPI_FREE)) {
        wait_again(s);
        return false;
    }
    return true;
}

static bool condition(const struct lsi *s, uint32_t command)
{
    uint8_t mask = (uint8_t)(command >> 8), data = (uint8_t)command;
    bool holds = true;

    if (command & 0x00200000)
        return s->carry;
    if (command & 0x00020000)
        holds = s->bus.phase == (command >> 24 & 7);
    if (command & 0x00040000)
        holds = holds && ((s->regs[SFBR] ^ data) & ~mask & 0xff) == 0;
    return holds;
}

static void transfer_control(struct lsi *s, const struct instruction *i)
{
    uint32_t next = lsi_get32(s, DSP);
    uint32_t target = i->command & 0x00800000 ? next + (uint32_t)signed24(i->argument) : i->argument;
    unsigned opcode = i->command >> 27 & 7;

    if (opcode > 3 || (i->command & 0x00400000)) {
        illegal(s);
        return;
    }
    if (!phase_is_known(s, i->command) || condition(s, i->command) != !!(i->command & 0x00080000))
        return;
    switch (opcode) {
    case 0:
        lsi_put32(s, DSP, target);
        break;
    case 1:
        lsi_put32(s, TEMP, next);
        lsi_put32(s, DSP, target);
        break;
    case 2:
        lsi_put32(s, DSP, lsi_get32(s, TEMP));
        break;
    default:
        if (i->command & 0x00100000) { /* on the fly */
            s->istat |= ISTAT_INTF;
            lsi_update(s);
        } else {
            lsi_dma_interrupt(s, DSTAT_SIR);
        }
    }
}

/* ---- memory ---- */
static bool begin_memory_move(struct lsi *s, const struct instruction *i)
{
    uint32_t to;

    if ((i->command & 0x3e000000) || (i->command & 0xffffff) == 0) {
        illegal(s);
        return false;
    }
    if (!fetch(s, &to, 1))
        return false;
    s->from = i->argument;
    s->to = to;
    s->move = MOVE_MEMORY;
    return true;
}

static void load_or_store(struct lsi *s, const struct instruction *i)
{
    unsigned reg = i->command >> 16 & 0xff, n = i->command & 7;
    uint32_t address = i->command & 0x10000000 ? lsi_get32(s, DSA) + (uint32_t)signed24(i->argument) : i->argument;
    uint64_t where = (uint64_t)lsi_get32(s, i->command & 0x01000000 ? MMRS : MMWS) << 32 | address;
    uint8_t bytes[4];

    if (n == 0 || n > 4 || reg % 4 + n > 4) {
        illegal(s);
        return;
    }
    if (i->command & 0x01000000) {
        if (!lsi_dma(s, where, bytes, n, false))
            return;
        for (unsigned k = 0; k < n; k++)
            lsi_write(s, reg + k, bytes[k]);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        bytes[k] = lsi_read(s, reg + k);
    (void)lsi_dma(s, where, bytes, n, true);
}

/* ---- the processor ---- */
static void execute(struct lsi *s, uint32_t *budget)
{
    uint32_t words[2];

    s->at = lsi_get32(s, DSP);
    if (!fetch(s, words, 2))
        return;
    lsi_put32(s, DBC, words[0]);
    lsi_put32(s, DSPS, words[1]);

    const struct instruction i = {words[0], words[1]};
    switch (i.command >> 30) {
    case 0:
        if (begin_block_move(s, &i))
            (void)lsi_block_move(s, budget);
        break;
    case 1:
        input_output(s, &i);
        break;
    case 2:
        transfer_control(s, &i);
        break;
    default:
        if (i.command & 0x20000000)
            load_or_store(s, &i);
        else if (begin_memory_move(s, &i))
            (void)lsi_memory_move(s, budget);
    }
}

static void step(struct lsi *s, uint32_t *budget)
{
    if (s->move == MOVE_BLOCK)
        (void)lsi_block_move(s, budget);
    else if (s->move == MOVE_MEMORY)
        (void)lsi_memory_move(s, budget);
    else
        execute(s, budget);
    if (s->state == LSI_RUNNING && s->move == MOVE_NONE && (s->regs[DCNTL] & DCNTL_SSM))
        lsi_dma_interrupt(s, DSTAT_SSI);
}

void lsi_run(void *opaque)
{
    struct lsi *s = opaque;
    uint32_t budget = SLICE_BYTES;

    if (s->state == LSI_STOPPED)
        return;
    if (s->state == LSI_WAITING && s->move == MOVE_NONE)
        lsi_put32(s, DSP, s->at); /* the instruction once more */
    s->state = LSI_RUNNING;
    for (unsigned n = 0; s->state == LSI_RUNNING; n++) {
        if (n == SLICE_INSTRUCTIONS || budget < LSI_CHUNK) {
            bp_timer_set(s->run, bp_timer_now(s->run) + REST_NS);
            return;
        }
        step(s, &budget);
    }
}
