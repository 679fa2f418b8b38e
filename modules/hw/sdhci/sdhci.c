// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SD host controller on PCI (SD Host Controller Simplified Specification 2.00) with one slot: data by the port, SDMA,
 * or ADMA2; commands end at once. Left out: suspend and resume, SDIO, 64-bit ADMA2, MMC, clocks and voltages that would
 * not do.
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/level.h>

#include "sdhci.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
const struct bp_block_interface *sd_block;

#define BAR_SIZE 256u
enum { /* registers, 2.1 */
    SDMA = 0x00, BLOCK_SIZE = 0x04, BLOCK_COUNT = 0x06, ARGUMENT = 0x08, MODE = 0x0c, COMMAND = 0x0e, RESPONSE = 0x10,
    PORT = 0x20, PRESENT = 0x24, HOST_CONTROL = 0x28, POWER = 0x29, GAP = 0x2a, WAKEUP = 0x2b, CLOCK = 0x2c,
    TIMEOUT = 0x2e, SOFT_RESET = 0x2f, STATUS = 0x30, STATUS_ENABLE = 0x34, SIGNAL_ENABLE = 0x38, CAPABILITIES = 0x40,
    FORCE = 0x50, ADMA_ERROR = 0x54, ADMA_ADDRESS = 0x58, SLOT_STATUS = 0xfc,
};
enum { /* present state */
    NO_COMMAND = 1u << 0, NO_DATA = 1u << 1, DATA_ACTIVE = 1u << 2, WRITE_ACTIVE = 1u << 8, READ_ACTIVE = 1u << 9,
    WRITE_READY = 1u << 10, READ_READY = 1u << 11, INSERTED = 1u << 16, STABLE = 1u << 17, DETECT = 1u << 18,
    WRITABLE = 1u << 19, LINES_HIGH = 0x1fu << 20,
};
enum { RESET_ALL = 1, RESET_COMMAND = 2, RESET_DATA = 4 };
#define HAS_DATA 0x20u /* of the command register */
#define RESPONSE_KIND 3u
/* 3.3 V, SDMA, 25 MHz and more, ADMA2, base clock and timeout clock 50 MHz */
#define CAN_DO (1u << 24 | 1u << 22 | 1u << 21 | 1u << 19 | 50u << 8 | 1u << 7 | 50u)
#define ALL_STATUS 0x03ff00ffu
#define VERSION_2 0x0001u

static void update(struct sdhci *s)
{
    pci->set_irq(s->dev, (s->status & s->signal_enable & ALL_STATUS) != 0);
}

void sdhci_interrupt(struct sdhci *s, uint32_t bits)
{
    s->status |= bits & s->status_enable;
    update(s);
}

int sdhci_dma(struct sdhci *s, uint64_t address, void *data, uint32_t bytes, bool to_memory)
{
    int ret;

    s->in_dma = true; /* what lies in its own registers does nothing */
    ret = to_memory ? pci->dma_write(s->dev, address, data, bytes) : pci->dma_read(s->dev, address, data, bytes);
    s->in_dma = false;
    return ret;
}

/* ---- commands ---- */
static void put_response(struct sdhci *s, const struct sd_reply *reply)
{
    memset(s->response, 0, 12);
    if (reply->length == 4) {
        for (unsigned i = 0; i < 4; i++)
            s->response[i] = reply->bytes[3 - i];
    } else { /* bits 127 to 8, 2.2.6 */
        for (unsigned i = 0; i < 15; i++)
            s->response[i] = reply->bytes[14 - i];
        s->response[15] = 0;
    }
}

static void issue(struct sdhci *s)
{
    uint8_t index = s->command >> 8 & 0x3f;
    bool has_data = s->command & HAS_DATA, wants = s->command & RESPONSE_KIND;
    struct sd_reply reply;

    if (!(s->clock & 4) || !(s->power & 1))
        return; /* no clock, or no power: nothing moves */
    if (s->data && index != 0 && index != 12 && index != 13)
        return;
    if (index == 0 || index == 12)
        sdhci_stop(s);
    if (!s->card) {
        sdhci_interrupt(s, ERROR_TIMEOUT);
        return;
    }
    sd_command(s->card, index, s->argument, &reply);
    if (wants && reply.length == 0) {
        sdhci_interrupt(s, ERROR_TIMEOUT);
        return;
    }
    if (wants)
        put_response(s, &reply);
    sdhci_interrupt(s, INT_COMMAND);
    if (has_data && reply.data)
        sdhci_begin(s, &reply);
    else if (has_data)
        sdhci_interrupt(s, ERROR_DATA_TIMEOUT);
    else if ((s->command & RESPONSE_KIND) == RESPONSE_KIND) /* it says when it is not busy any more: at once */
        sdhci_interrupt(s, INT_TRANSFER);
}

/* ---- registers ---- */
static uint32_t present(const struct sdhci *s)
{
    bool busy = s->data || s->request;
    uint32_t v = LINES_HIGH;

    if (s->card)
        v |= INSERTED | STABLE | DETECT | (sd_writable(s->card) ? WRITABLE : 0);
    else
        v |= STABLE;
    if (busy)
        v |= NO_DATA | DATA_ACTIVE;
    if (s->data)
        v |= s->data == SD_WRITE ? WRITE_ACTIVE : READ_ACTIVE;
    if (s->ready)
        v |= s->data == SD_WRITE ? WRITE_READY : READ_READY;
    return v;
}

static uint32_t status_of(const struct sdhci *s)
{
    return s->status | (s->status >> 16 ? INT_ERROR : 0);
}

/* The word that a register lies in. */
static uint32_t word(const struct sdhci *s, unsigned at)
{
    uint32_t v;

    switch (at) {
    case SDMA:
        return s->sdma;
    case BLOCK_SIZE:
        return s->block_size | (uint32_t)s->block_count << 16;
    case ARGUMENT:
        return s->argument;
    case MODE:
        return s->mode | (uint32_t)s->command << 16;
    case PRESENT:
        return present(s);
    case HOST_CONTROL:
        return s->host_control | (uint32_t)s->power << 8 | (uint32_t)s->gap << 16 | (uint32_t)s->wakeup << 24;
    case CLOCK:
        return s->clock | (uint32_t)s->timeout << 16;
    case STATUS:
        return status_of(s);
    case STATUS_ENABLE:
        return s->status_enable;
    case SIGNAL_ENABLE:
        return s->signal_enable;
    case CAPABILITIES:
        return CAN_DO;
    case ADMA_ERROR:
        return s->adma_error;
    case ADMA_ADDRESS:
        return (uint32_t)s->adma;
    case SLOT_STATUS:
        return (uint32_t)((s->status & s->signal_enable & ALL_STATUS) != 0) | VERSION_2 << 16;
    default:
        if (at < RESPONSE || at >= PORT)
            return 0;
        memcpy(&v, s->response + (at - RESPONSE), sizeof(v));
        return v;
    }
}

static uint64_t reg_read(void *opaque, uint64_t addr, unsigned size)
{
    struct sdhci *s = opaque;

    if (s->in_dma)
        return UINT64_MAX;
    if ((addr & ~3ull) == PORT)
        return sdhci_port_read(s, size);
    return word(s, (unsigned)addr & ~3u) >> 8 * (addr & 3);
}

static void soft_reset(struct sdhci *s, uint8_t what)
{
    if (what & (RESET_ALL | RESET_DATA)) {
        sdhci_stop(s);
        s->status &= ~(uint32_t)(INT_TRANSFER | INT_DMA | INT_WRITE_READY | INT_READ_READY);
        s->gap = 0;
    }
    if (what & (RESET_ALL | RESET_COMMAND))
        s->status &= ~(uint32_t)INT_COMMAND;
    if (what & RESET_ALL) {
        s->sdma = s->argument = s->status = s->status_enable = s->signal_enable = 0;
        s->adma = 0;
        s->block_size = s->block_count = s->mode = s->command = s->clock = 0;
        s->host_control = s->power = s->gap = s->wakeup = s->timeout = s->adma_error = 0;
        memset(s->response, 0, sizeof(s->response));
        if (s->card)
            sd_power_on(s->card);
    }
    update(s);
}

static void write_sdma(struct sdhci *s, uint32_t value, uint32_t mask)
{
    if (s->data && !s->paused)
        return;
    s->sdma = (s->sdma & ~mask) | value;
    if (s->paused && mask >> 24) { /* the upper byte starts it again */
        s->paused = false;
        sdhci_go_on(s);
    }
}

static void write_transfer(struct sdhci *s, unsigned at, uint32_t value, uint32_t mask)
{
    if (at == BLOCK_SIZE && !s->data) {
        if (mask & 0xffff)
            s->block_size = (uint16_t)(((s->block_size & ~mask) | value) & 0x7fff);
        if (mask >> 16)
            s->block_count = (uint16_t)(((uint32_t)s->block_count << 16 & ~mask) >> 16 | value >> 16);
    } else if (at == ARGUMENT) {
        s->argument = (s->argument & ~mask) | value;
    } else if (at == MODE) {
        if (mask & 0xffff && !s->data)
            s->mode = (uint16_t)(((s->mode & ~mask) | value) & 0x37);
        s->command = (uint16_t)((((uint32_t)s->command << 16 & ~mask) | (value & 0xffff0000)) >> 16 & 0x3ffb);
        if (mask >> 24)
            issue(s);
    }
}

static void write_control(struct sdhci *s, unsigned at, uint32_t value, uint32_t mask)
{
    uint32_t v = (word(s, at) & ~mask) | value;

    if (at == HOST_CONTROL) {
        s->host_control = (uint8_t)v;
        s->power = (uint8_t)(v >> 8 & 0x0f);
        s->gap = (uint8_t)(v >> 16 & 0x0f);
        s->wakeup = (uint8_t)(v >> 24 & 7);
    } else if (at == CLOCK) {
        s->clock = (uint16_t)((v & 0xff05) | (v & 1 ? 2 : 0)); /* stable as soon as it runs */
        s->timeout = (uint8_t)(v >> 16 & 0x0f);
        if (mask >> 24)
            soft_reset(s, (uint8_t)(value >> 24));
    } else if (at == STATUS_ENABLE) {
        s->status_enable = v & ALL_STATUS;
        s->status &= s->status_enable;
    } else if (at == SIGNAL_ENABLE) {
        s->signal_enable = v & ALL_STATUS;
    } else if (at == ADMA_ADDRESS && !s->data) {
        s->adma = v;
    } else if (at == FORCE) {
        s->status |= value & 0x03ff0000 & s->status_enable;
    }
    update(s);
}

static void reg_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct sdhci *s = opaque;
    unsigned at = (unsigned)addr & ~3u, shift = 8 * ((unsigned)addr & 3);
    uint32_t mask = (uint32_t)((UINT64_C(1) << 8 * size) - 1) << shift, v = (uint32_t)value << shift & mask;

    if (s->in_dma)
        return;
    if (at == PORT) {
        sdhci_port_write(s, (uint32_t)value, size);
    } else if (at == SDMA) {
        write_sdma(s, v, mask);
    } else if (at < RESPONSE) {
        write_transfer(s, at, v, mask);
    } else if (at == STATUS) {
        s->status &= ~v;
        update(s);
    } else {
        write_control(s, at, v, mask);
    }
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = reg_read, .write = reg_write, .min_access = 1,
                                         .max_access = 4, .valid_min = 1, .valid_max = 4};

/* ---- cards ---- */
static void card_came(void *opaque, struct sd_card *card)
{
    struct sdhci *s = opaque;

    s->card = card;
    sd_power_on(card);
    sdhci_interrupt(s, INT_INSERTED);
}

static void card_goes(void *opaque)
{
    struct sdhci *s = opaque;

    sdhci_stop(s);
    s->request = NULL; /* nobody hears of its end */
    s->dropped = false;
    s->card = NULL;
    sdhci_interrupt(s, INT_REMOVED);
}

static const struct sd_bus_ops bus_ops = {.came = card_came, .goes = card_goes};

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct sdhci *s = bp_device_state(dev);

    s->dev = dev;
    sd_block = block;
    return sd_bus_new(dev, &bus_ops, s, err);
}

static void reset(struct bp_device *dev)
{
    soft_reset(bp_device_state(dev), RESET_ALL);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct sdhci *s = state;

    (void)version;
    if (s->data == SD_OWN && (s->filled == 0 || s->filled > SD_ANSWER_MAX))
        return bp_fail(err, EINVAL, "sdhci-pci: the saved state has an answer of %u bytes", s->filled);
    if (s->at_medium && (s->filled == 0 || s->filled % SD_BLOCK || s->data < SD_READ))
        return bp_fail(err, EINVAL, "sdhci-pci: the saved state has a request of %u bytes", s->filled);
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct sdhci *s = state;

    (void)err;
    update(s);
    if (s->data && !s->card)
        sdhci_stop(s);
    else if (s->at_medium)
        sdhci_to_medium(s);
    return 0;
}

#define KEPT(KIND, FIELD) BP_SAVE(KIND, struct sdhci, FIELD)
static const struct bp_state_field fields[] = {
    KEPT(UINT32, sdma), KEPT(UINT32, argument), KEPT(UINT32, status), KEPT(UINT32, status_enable),
    KEPT(UINT32, signal_enable), KEPT(UINT64, adma), BP_SAVE_BUFFER(struct sdhci, response), KEPT(UINT16, block_size),
    KEPT(UINT16, block_count), KEPT(UINT16, mode), KEPT(UINT16, command), KEPT(UINT16, clock),
    KEPT(UINT8, host_control), KEPT(UINT8, power), KEPT(UINT8, gap), KEPT(UINT8, wakeup), KEPT(UINT8, timeout),
    KEPT(UINT8, adma_error), BP_SAVE_RANGE(UINT8, struct sdhci, data, SD_NO_DATA, SD_WRITE), KEPT(BOOL, ready),
    KEPT(BOOL, at_medium), KEPT(BOOL, paused), KEPT(UINT32, left), KEPT(UINT64, block), KEPT(UINT64, moved),
    BP_SAVE_RANGE(UINT32, struct sdhci, filled, 0, CHUNK * SD_BLOCK),
    BP_SAVE_RANGE(UINT32, struct sdhci, at, 0, CHUNK * SD_BLOCK), KEPT(UINT32, line_address), KEPT(UINT32, line_left),
    KEPT(BOOL, line_last), BP_SAVE_BUFFER(struct sdhci, buffer), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1b36, .device = 0x0007, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .class_code = 0x0805, .prog_if = 1, .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "sdhci", .ops = &ops}}};

BP_HOTPLUG_DEVICE(sdhci, "sdhci-pci", "pci", "SD host controller", struct sdhci, NULL, &table, .category = "storage",
                  .bus_info = &info, .attach = attach, .reset = reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("hw-sdhci", "SD host controller and cards", imports, {BP_PROVIDE_DEVICE, &sdhci},
          {BP_PROVIDE_BUS, &sd_bus_class}, {BP_PROVIDE_DEVICE, &sd_card_class});
