// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Instructions of the 53C895A that move data (chapter 5.3, 5.6): between the SCSI bus and memory, within memory. Their
 * state stands in DBC and the address registers, so that they go on after the bus or others had their turn.
 */
#include "lsi.h"

/* False: the processor stopped, by a fault or by what the access did to its own registers. */
bool lsi_dma(struct lsi *s, uint64_t address, void *data, uint32_t length, bool to_memory)
{
    uint32_t epoch = s->epoch;
    int r = to_memory ? lsi_pci->dma_write(s->dev, address, data, length)
                      : lsi_pci->dma_read(s->dev, address, data, length);

    if (epoch != s->epoch)
        return false;
    if (r < 0) {
        bp_guest_error("lsi-dma", "lsi53c895a: DMA at %#llx failed: the function is no bus master, or nothing is there",
                       (unsigned long long)address);
        lsi_dma_interrupt(s, DSTAT_BF);
        return false;
    }
    return true;
}

static uint32_t count_of(const struct lsi *s)
{
    return lsi_get32(s, DBC) & 0xffffff;
}

static void set_count(struct lsi *s, uint32_t count)
{
    lsi_put32(s, DBC, (lsi_get32(s, DBC) & 0xff000000u) | count);
}

static void advance(struct lsi *s, uint32_t n)
{
    uint64_t address = (uint64_t)lsi_get32(s, DNAD64) << 32 | lsi_get32(s, DNAD);

    address += n;
    lsi_put32(s, DNAD, (uint32_t)address);
    lsi_put32(s, DNAD64, (uint32_t)(address >> 32));
    set_count(s, count_of(s) - n);
    lsi_put32(s, SBC, (lsi_get32(s, SBC) + n) & 0xffffff);
    lsi_put32(s, CSBC, lsi_get32(s, CSBC) + n);
}

/* The target wants another phase than the instruction: with a jump or an interrupt. */
static bool mismatch(struct lsi *s, unsigned phase)
{
    uint8_t control = s->regs[CCNTL0];
    bool in = phase & 1;

    s->move = MOVE_NONE;
    if (!(control & CCNTL0_ENPMJ) || (phase > SPI_DATA_IN && !(control & CCNTL0_ENNDJ))) {
        lsi_scsi_interrupt(s, SIST0_MA, 0);
        return false;
    }
    lsi_put32(s, RBC, (uint32_t)s->table_top << 24 | count_of(s));
    lsi_put32(s, UA, lsi_get32(s, DNAD));
    lsi_put32(s, ESA, s->entry);
    lsi_put32(s, IA, s->at);
    /* Without PMJCTL the second address is for a byte left over from a wide transfer: there is none here. */
    lsi_put32(s, DSP, lsi_get32(s, (control & CCNTL0_PMJCTL) && in ? PMJAD2 : PMJAD1));
    return true;
}

static bool move_in(struct lsi *s, uint64_t address, uint32_t length)
{
    uint32_t n = spi_get(&s->bus, s->buffer, length);

    if (n == 0)
        return true;
    if (!s->begun)
        s->regs[SFBR] = s->buffer[0];
    s->regs[SIDL] = s->buffer[n - 1];
    advance(s, n);
    return lsi_dma(s, address, s->buffer, n, true);
}

static bool move_out(struct lsi *s, uint64_t address, uint32_t length, unsigned phase)
{
    uint32_t count = count_of(s), n;

    if (!lsi_dma(s, address, s->buffer, length, false))
        return false;
    if (!s->begun && phase != SPI_DATA_OUT)
        s->regs[SFBR] = s->buffer[0];
    n = spi_put(&s->bus, s->buffer, length, length == count);
    /* Firmware gives 16 bytes of whatever command: what the target has no use for counts as gone. */
    if (phase == SPI_COMMAND && n < length && s->bus.phase != SPI_COMMAND)
        n = count;
    advance(s, n);
    return true;
}

static bool wait_for_bus(struct lsi *s)
{
    s->state = LSI_WAITING;
    return false;
}

bool lsi_block_move(struct lsi *s, uint32_t *budget)
{
    unsigned phase = s->regs[DCMD] & 7;

    /* A target that was selected without ATN is told to listen by the first message. */
    if (s->fresh && phase == SPI_MESSAGE_OUT && s->bus.phase == SPI_COMMAND)
        spi_set_atn(&s->bus, true);
    while (count_of(s) > 0) {
        uint64_t address = (uint64_t)lsi_get32(s, DNAD64) << 32 | lsi_get32(s, DNAD);
        uint32_t length = count_of(s) < LSI_CHUNK ? count_of(s) : LSI_CHUNK;

        if (s->no_answer) {
            s->move = MOVE_NONE;
            s->no_answer = false;
            lsi_scsi_interrupt(s, 0, SIST1_STO);
            return false;
        }
        if (s->bus.phase == SPI_WAIT || s->bus.phase == SPI_FREE)
            return wait_for_bus(s);
        if (s->bus.phase != phase)
            return mismatch(s, phase);
        if (*budget < length)
            return false;
        *budget -= length;
        s->fresh = false;
        if (!((phase & 1) ? move_in(s, address, length) : move_out(s, address, length, phase))) {
            s->move = MOVE_NONE;
            return false;
        }
        s->begun = true;
    }
    s->move = MOVE_NONE;
    return true;
}

bool lsi_memory_move(struct lsi *s, uint32_t *budget)
{
    while (count_of(s) > 0) {
        uint32_t length = count_of(s) < LSI_CHUNK ? count_of(s) : LSI_CHUNK;
        uint32_t from = s->from, to = s->to;

        if (*budget < length)
            return false;
        *budget -= length;
        s->from += length;
        s->to += length;
        set_count(s, count_of(s) - length);
        if (!lsi_dma(s, (uint64_t)lsi_get32(s, MMRS) << 32 | from, s->buffer, length, false) ||
            !lsi_dma(s, (uint64_t)lsi_get32(s, MMWS) << 32 | to, s->buffer, length, true)) {
            s->move = MOVE_NONE;
            return false;
        }
    }
    s->move = MOVE_NONE;
    return true;
}
