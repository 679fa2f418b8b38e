// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Floppy disk controller of a PC: Intel 82078 (order 290468) in AT mode, with the registers of PS/2 mode that
 * software reads. Left out: the SCAN commands, deleted data marks (images have none), timing: heads arrive at once;
 * tapes.
 */
#define BP_SHARED
#include <string.h>

#include <bp/bus/isa.h>
#include <bp/chip/fdc.h>
#include <bp/chip/i8237.h>

#include "fdc.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(dma_import, struct bp_i8237_interface, "i8237", 1);
BP_USE(block_import, struct bp_block_interface, "block", 1);
const struct bp_block_interface *const *const fdc_block = &block_import;
const struct bp_i8237_interface *const *const fdc_dma = &dma_import;

enum { SRA, SRB, DOR, TDR, MSR, FIFO, DIR = 7 };
enum { DOR_RESET = 4, DOR_GATE = 8, DSR_RESET = 0x80 };
enum { MSR_REQUEST = 0x80, MSR_TO_HOST = 0x40, MSR_NO_DMA = 0x20, MSR_BUSY = 0x10 };

static uint8_t main_status(const struct fdc *s)
{
    if (!(s->dor & DOR_RESET))
        return 0;
    switch (s->phase) {
    case PHASE_COMMAND: return MSR_REQUEST;
    case PHASE_PARAMETERS: return MSR_REQUEST | MSR_BUSY;
    case PHASE_RESULT: return MSR_REQUEST | MSR_TO_HOST | MSR_BUSY;
    default:
        if (!s->pio || s->step != STEP_NONE || s->pos >= s->length)
            return MSR_BUSY;
        return (uint8_t)(MSR_REQUEST | MSR_BUSY | MSR_NO_DMA | (s->task == TASK_READ ? MSR_TO_HOST : 0));
    }
}

static uint8_t fifo_read(struct fdc *s)
{
    uint8_t value;

    if (s->phase == PHASE_EXECUTION)
        return transfer_pio_read(s);
    if (s->phase != PHASE_RESULT || s->out_next >= s->out_count)
        return 0;
    if (s->out_next == 0 && !s->seek_done && !s->sense)
        fdc_interrupt(s, false);
    value = s->out[s->out_next++];
    if (s->out_next == s->out_count)
        fdc_result(s, 0);
    return value;
}

static uint64_t reg_read(void *opaque, uint64_t addr, unsigned size)
{
    struct fdc *s = opaque;

    (void)size;
    switch (addr) {
    case SRA: return (s->irq_up ? 0x80u : 0) | 0x40u;
    case SRB: return 0xc0u | (s->dor & 1u) << 5 | (s->dor >> 4 & 3u);
    case DOR: return s->dor;
    case TDR: return s->tdr;
    case MSR: return main_status(s);
    default: return fifo_read(s);
    }
}

static void enter_reset(struct fdc *s)
{
    transfer_stop(s);
    s->sense = 0;
    fdc_interrupt(s, false);
    fdc_command_reset(s);
}

/* It polls its drives, whose ready lines seem to have changed. */
static void leave_reset(struct fdc *s)
{
    s->sense = 4;
    fdc_interrupt(s, true);
}

static void write_dor(struct fdc *s, uint8_t value)
{
    uint8_t was = s->dor;

    s->dor = value;
    if (was & DOR_RESET && !(value & DOR_RESET))
        enter_reset(s);
    else if (!(was & DOR_RESET) && value & DOR_RESET)
        leave_reset(s);
    if ((was ^ value) & DOR_GATE) {
        fdc_interrupt(s, s->irq_up);
        transfer_resume(s);
    }
}

static void fifo_write(struct fdc *s, uint8_t value)
{
    if (!(s->dor & DOR_RESET))
        return;
    if (s->phase == PHASE_EXECUTION)
        transfer_pio_write(s, value);
    else if (s->phase != PHASE_RESULT)
        fdc_command_byte(s, value);
}

static void reg_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct fdc *s = opaque;

    (void)size;
    switch (addr) {
    case DOR: write_dor(s, (uint8_t)value); break;
    case TDR: s->tdr = value & 3; break;
    case MSR: /* data rate select */
        s->rate = value & 3;
        if (value & DSR_RESET && s->dor & DOR_RESET) {
            enter_reset(s);
            leave_reset(s);
        }
        break;
    case FIFO: fifo_write(s, (uint8_t)value); break;
    default: break;
    }
}

/* Port 7: digital input, configuration control. 0x3f6 between them is the hard disk's. */
static uint64_t dir_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct fdc *s = opaque;
    const struct floppy *d = fdc_drive(s, s->dor & 3);

    (void)addr, (void)size;
    return d && d->changed ? 0x80 : 0;
}

static void ccr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr, (void)size;
    ((struct fdc *)opaque)->rate = value & 3;
}

static const struct bp_region_ops reg_ops = {
    .size = sizeof(reg_ops), .read = reg_read, .write = reg_write, .max_access = 1};
static const struct bp_region_ops dir_ops = {
    .size = sizeof(dir_ops), .read = dir_read, .write = ccr_write, .max_access = 1};

/* ---- device ---- */

static void again(void *opaque)
{
    transfer_resume(opaque);
}

static int fdc_attach(struct bp_device *dev, struct bp_error *err)
{
    struct fdc *s = bp_device_state(dev);
    int r;

    s->dev = dev;
    if (s->iobase > 0xfff0 || s->irq_number > 15)
        return bp_fail(err, EINVAL, "isa-fdc: iobase is a port up to 0xfff0, irq one of 0 to 15");
    s->again = bp_deferred_new(bp_device_owner(dev), NULL, again, s);
    r = isa->irq(dev, s->irq_number, &s->irq, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, 6, "fdc", &reg_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)(s->iobase + 7), 1, "fdc-input", &dir_ops, s, NULL, err);
    if (r == 0)
        r = bp_bus_new(dev, "floppy-bus", NULL, &s->bus, err);
    return r < 0 ? r : dma->claim(dev, s->dma_channel, transfer_ready, s, err);
}

static void fdc_detach(struct bp_device *dev)
{
    struct fdc *s = bp_device_state(dev);

    dma->release(dev, s->dma_channel);
}

static void fdc_device_reset(struct bp_device *dev)
{
    struct fdc *s = bp_device_state(dev);

    s->locked = false;
    s->perpendicular = s->specify[0] = s->specify[1] = 0;
    s->rate = 2;
    s->tdr = 0;
    s->dor = 0;
    s->sec = s->head = s->cyl = s->end = 0;
    enter_reset(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct fdc *s = state;

    (void)version;
    if (s->job) { /* of before */
        s->job->let_go = true;
        s->pending++;
        block->cancel(s->job->request);
        s->job = NULL;
    }
    if (transfer_plausible(s))
        return 0;
    enter_reset(s);
    return bp_fail(err, EINVAL, "isa-fdc: the saved state contradicts itself");
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    bp_deferred_schedule(((struct fdc *)state)->again);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct fdc, dor), BP_SAVE(UINT8, struct fdc, tdr), BP_SAVE(UINT8, struct fdc, rate),
    BP_SAVE_BUFFER(struct fdc, specify), BP_SAVE(UINT8, struct fdc, config),
    BP_SAVE(UINT8, struct fdc, precompensation), BP_SAVE(UINT8, struct fdc, perpendicular),
    BP_SAVE(BOOL, struct fdc, locked), BP_SAVE(BOOL, struct fdc, irq_up),
    BP_SAVE_RANGE(UINT8, struct fdc, phase, PHASE_COMMAND, PHASE_RESULT),
    BP_SAVE_RANGE(UINT8, struct fdc, task, TASK_NONE, TASK_FORMAT),
    BP_SAVE_RANGE(UINT8, struct fdc, step, STEP_NONE, STEP_WRITE), BP_SAVE_BUFFER(struct fdc, in),
    BP_SAVE_RANGE(UINT8, struct fdc, in_count, 0, PARAMETERS),
    BP_SAVE_RANGE(UINT8, struct fdc, in_wanted, 0, PARAMETERS), BP_SAVE_BUFFER(struct fdc, out),
    BP_SAVE_RANGE(UINT8, struct fdc, out_count, 0, PARAMETERS),
    BP_SAVE_RANGE(UINT8, struct fdc, out_next, 0, PARAMETERS), BP_SAVE_RANGE(UINT8, struct fdc, sense, 0, 4),
    BP_SAVE_RANGE(UINT8, struct fdc, seek_done, 0, 15), BP_SAVE_BUFFER(struct fdc, seek_st0),
    BP_SAVE_RANGE(UINT8, struct fdc, unit, 0, 3), BP_SAVE_RANGE(UINT8, struct fdc, head, 0, 1),
    BP_SAVE(UINT8, struct fdc, cyl), BP_SAVE(UINT8, struct fdc, sec), BP_SAVE(UINT8, struct fdc, end),
    BP_SAVE(BOOL, struct fdc, multi), BP_SAVE(BOOL, struct fdc, deleted), BP_SAVE(BOOL, struct fdc, track),
    BP_SAVE(BOOL, struct fdc, pio), BP_SAVE(BOOL, struct fdc, count_sectors),
    BP_SAVE(BOOL, struct fdc, ended_by_count), BP_SAVE(UINT8, struct fdc, left),
    BP_SAVE_RANGE(UINT16, struct fdc, pos, 0, SECTOR), BP_SAVE_RANGE(UINT16, struct fdc, length, 0, SECTOR),
    BP_SAVE_BUFFER(struct fdc, buffer), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .after_load = after_load, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

extern const struct bp_schema floppy_type_schema;
static const struct bp_field props[] = {
    BP_PROP("iobase", UINT32, struct fdc, iobase, "0x3f0", "first I/O port"),
    BP_PROP("irq", UINT32, struct fdc, irq_number, "6", "ISA interrupt"),
    BP_PROP("dma", UINT32, struct fdc, dma_channel, "2", "DMA channel"),
    BP_PROP_ENUM("fdtypeA", &floppy_type_schema, struct fdc, fd_type[0], "auto", "type of drive 0"),
    BP_PROP_ENUM("fdtypeB", &floppy_type_schema, struct fdc, fd_type[1], "auto", "type of drive 1"),
    BP_PROP_ENUM("fallback", &floppy_type_schema, struct fdc, fallback, "288",
                 "type of a drive without a medium"),
    BP_FIELDS_END};

BP_DEVICE(fdc_class, "isa-fdc", "isa", "Floppy disk controller", struct fdc, props, &table,
          .category = "storage", .attach = fdc_attach, .detach = fdc_detach, .reset = fdc_device_reset,
          .firmware_name = "fdc");

static uint8_t drive_type(struct bp_device *dev, unsigned unit)
{
    return floppy_cmos_type(fdc_drive(bp_device_state(dev), unit));
}

static const struct bp_fdc_interface fdc_table = {.size = sizeof(struct bp_fdc_interface),
                                                  .drive_type = drive_type};
BP_INTERFACE(fdc_interface, "fdc", 1, 0, &fdc_table);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(isa, "isa", 1, 1), BP_IMPORT(dma_import, "i8237", 1),
                                           BP_IMPORT(block_import, "block", 1), {0}};
BP_MODULE("hw-fdc", "Floppy disk controller and drives", imports, {BP_PROVIDE_DEVICE, &fdc_class},
          {BP_PROVIDE_DEVICE, &floppy_class}, {BP_PROVIDE_BUS, &floppy_bus_class},
          {BP_PROVIDE_INTERFACE, &fdc_interface});
