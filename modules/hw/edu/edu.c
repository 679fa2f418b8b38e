/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The teaching device edu (1234:11e8), as its public description has it: identification, a register that
 * inverts, factorials, interrupts (INTx or MSI) and DMA between guest memory and 4 KiB of its own. Each
 * computation and each transfer takes a little guest time, so that drivers have something to wait for.
 */
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/clock.h>
#include <bp/log.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);

#define BAR_SIZE 0x100000u
enum {
    ID = 0x00, LIVENESS = 0x04, FACTORIAL = 0x08, STATUS = 0x20, IRQ_STATUS = 0x24, IRQ_RAISE = 0x60,
    IRQ_ACK = 0x64, DMA_SOURCE = 0x80, DMA_DESTINATION = 0x88, DMA_COUNT = 0x90, DMA_COMMAND = 0x98,
};
#define ID_VALUE 0x010000edu
#define STATUS_COMPUTING 0x01u
#define STATUS_INTERRUPT 0x80u
#define IRQ_FACTORIAL 0x001u
#define IRQ_DMA 0x100u
#define DMA_START 0x1u
#define DMA_TO_RAM 0x2u
#define DMA_INTERRUPT 0x4u
#define BUFFER_AT 0x40000u
#define BUFFER_SIZE 4096u
#define FACTORIAL_NS 10000
#define TRANSFER_NS 100000

struct edu {
    uint64_t dma_mask;
    struct bp_timer *factorial_timer, *dma_timer;
    uint32_t liveness, factorial, status, irq_status;
    uint64_t source, destination, count, command;
    uint8_t buffer[BUFFER_SIZE];
};

static void raise(struct edu *s, uint32_t bits)
{
    struct bp_device *dev = bp_device_of_state(s);

    s->irq_status |= bits;
    if (!s->irq_status)
        return;
    if (pci->msi_enabled(dev))
        pci->msi_notify(dev, 0);
    else
        pci->set_irq(dev, 1);
}

static void acknowledge(struct edu *s, uint32_t bits)
{
    s->irq_status &= ~bits;
    if (!s->irq_status && !pci->msi_enabled(bp_device_of_state(s)))
        pci->set_irq(bp_device_of_state(s), 0);
}

/* ---- what takes time ---- */

static void factorial_done(void *opaque)
{
    struct edu *s = opaque;
    uint32_t result = 1;

    /* Modulo 2^32; from 34 on it is 0. */
    for (uint32_t n = s->factorial; n > 1 && result; n--)
        result *= n;
    s->factorial = result;
    s->status &= ~STATUS_COMPUTING;
    if (s->status & STATUS_INTERRUPT)
        raise(s, IRQ_FACTORIAL);
}

/* Where the device's end of a transfer lies in its buffer; NULL: not whole within it. */
static uint8_t *buffer_at(struct edu *s, uint64_t address)
{
    if (address < BUFFER_AT || address - BUFFER_AT > BUFFER_SIZE ||
        s->count > BUFFER_SIZE - (address - BUFFER_AT))
        return NULL;
    return s->buffer + (address - BUFFER_AT);
}

static void transfer(struct edu *s)
{
    bool to_ram = s->command & DMA_TO_RAM;
    uint8_t *mine = buffer_at(s, to_ram ? s->source : s->destination);
    uint64_t ram = to_ram ? s->destination : s->source;
    struct bp_device *dev = bp_device_of_state(s);
    uint8_t bytes[BUFFER_SIZE];
    int r;

    if (!mine) {
        bp_guest_error("edu-dma", "edu: DMA of %llu bytes is not within its buffer",
                       (unsigned long long)s->count);
        return;
    }
    if (ram & ~s->dma_mask)
        bp_guest_error("edu-mask", "edu: DMA address %#llx is beyond its mask %#llx",
                       (unsigned long long)ram, (unsigned long long)s->dma_mask);
    ram &= s->dma_mask;
    /* Its buffer may be written while it is read, through its own registers: copied first. */
    if (to_ram) {
        memcpy(bytes, mine, s->count);
        r = pci->dma_write(dev, ram, bytes, s->count);
    } else {
        r = pci->dma_read(dev, ram, bytes, s->count);
        if (r == 0)
            memcpy(mine, bytes, s->count);
    }
    if (r < 0)
        bp_guest_error("edu-dma-failed", "edu: DMA at %#llx failed: the function is no bus master, or "
                       "nothing is there", (unsigned long long)ram);
}

static void dma_done(void *opaque)
{
    struct edu *s = opaque;

    transfer(s);
    s->command &= ~(uint64_t)DMA_START;
    if (s->command & DMA_INTERRUPT)
        raise(s, IRQ_DMA);
}

/* ---- registers ---- */

static uint64_t edu_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct edu *s = opaque;

    if (addr < DMA_SOURCE && size != 4)
        return UINT64_MAX;
    switch (addr) {
    case ID:
        return ID_VALUE;
    case LIVENESS:
        return s->liveness;
    case FACTORIAL:
        return s->factorial;
    case STATUS:
        return s->status;
    case IRQ_STATUS:
        return s->irq_status;
    case DMA_SOURCE:
        return s->source;
    case DMA_DESTINATION:
        return s->destination;
    case DMA_COUNT:
        return s->count;
    case DMA_COMMAND:
        return s->command;
    default:
        return UINT64_MAX;
    }
}

static void write_dma(struct edu *s, uint64_t addr, uint64_t value)
{
    if (s->command & DMA_START)
        return; /* not while it transfers */
    switch (addr) {
    case DMA_SOURCE:
        s->source = value;
        break;
    case DMA_DESTINATION:
        s->destination = value;
        break;
    case DMA_COUNT:
        s->count = value;
        break;
    case DMA_COMMAND:
        s->command = value & (DMA_START | DMA_TO_RAM | DMA_INTERRUPT);
        if (value & DMA_START)
            bp_timer_set(s->dma_timer, bp_timer_now(s->dma_timer) + TRANSFER_NS);
        break;
    default:
        break;
    }
}

static void edu_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct edu *s = opaque;

    if (addr >= DMA_SOURCE) {
        write_dma(s, addr, value);
        return;
    }
    if (size != 4)
        return;
    switch (addr) {
    case LIVENESS:
        s->liveness = ~(uint32_t)value;
        break;
    case FACTORIAL:
        if (s->status & STATUS_COMPUTING)
            break;
        s->factorial = (uint32_t)value;
        s->status |= STATUS_COMPUTING;
        bp_timer_set(s->factorial_timer, bp_timer_now(s->factorial_timer) + FACTORIAL_NS);
        break;
    case STATUS:
        s->status = (s->status & STATUS_COMPUTING) | ((uint32_t)value & STATUS_INTERRUPT);
        break;
    case IRQ_RAISE:
        raise(s, (uint32_t)value);
        break;
    case IRQ_ACK:
        acknowledge(s, (uint32_t)value);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops edu_ops = {
    .size = sizeof(edu_ops), .read = edu_read, .write = edu_write, .min_access = 4, .max_access = 8,
    .valid_min = 4, .valid_max = 8};

/* ---- the device ---- */

static int edu_attach(struct bp_device *dev, struct bp_error *err)
{
    struct edu *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);

    (void)err;
    s->factorial_timer = bp_timer_new(owner, NULL, BP_CLOCK_VIRTUAL, factorial_done, s);
    s->dma_timer = bp_timer_new(owner, NULL, BP_CLOCK_VIRTUAL, dma_done, s);
    return 0;
}

static void edu_reset(struct bp_device *dev)
{
    struct edu *s = bp_device_state(dev);

    bp_timer_cancel(s->factorial_timer);
    bp_timer_cancel(s->dma_timer);
    s->liveness = s->factorial = s->status = s->irq_status = 0;
    s->source = s->destination = s->count = s->command = 0;
    memset(s->buffer, 0, sizeof(s->buffer));
    pci->set_irq(dev, 0);
}

static const struct bp_state_field edu_fields[] = {
    BP_SAVE(TIMER, struct edu, factorial_timer), BP_SAVE(TIMER, struct edu, dma_timer),
    BP_SAVE(UINT32, struct edu, liveness), BP_SAVE(UINT32, struct edu, factorial),
    BP_SAVE(UINT32, struct edu, status), BP_SAVE(UINT32, struct edu, irq_status),
    BP_SAVE(UINT64, struct edu, source), BP_SAVE(UINT64, struct edu, destination),
    BP_SAVE(UINT64, struct edu, count), BP_SAVE(UINT64, struct edu, command),
    BP_SAVE_BUFFER(struct edu, buffer), BP_SAVE_END,
};
static const struct bp_state_table edu_state = {.version = 1, .oldest = 1, .fields = edu_fields};

static const struct bp_field edu_props[] = {
    BP_PROP("dma_mask", UINT64, struct edu, dma_mask, "0xfffffff", "address bits that its DMA has"),
    BP_FIELDS_END,
};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1234, .device = 0x11e8, .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100, .revision = 0x10, .class_code = 0x00ff, .interrupt_pin = 1, .msi = 1,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "edu-mmio", .ops = &edu_ops}}};

BP_HOTPLUG_DEVICE(edu, "edu", "pci", "Teaching device", struct edu, edu_props, &edu_state,
                  .category = "misc", .bus_info = &info, .attach = edu_attach, .reset = edu_reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), {0}};
BP_MODULE("hw-edu", "Teaching device", imports, {BP_PROVIDE_DEVICE, &edu});
