/* SPDX-License-Identifier: MIT */
/*
 * A device that lives outside the Backplane tree: one byte-wide register at an I/O port, kept over
 * save and load, cleared by reset. Copy this folder to begin a module of your own.
 */
#define BP_MODULE_LICENSE "MIT"
#include <bp/bus/isa.h>

struct scratch {
    uint16_t iobase;
    uint8_t value;
};

static const struct bp_field scratch_props[] = {
    BP_PROP("iobase", UINT16, struct scratch, iobase, "0x300", "I/O port"),
    BP_FIELDS_END};
static const struct bp_state_field scratch_fields[] = {
    BP_SAVE(UINT8, struct scratch, value),
    BP_SAVE_END};
static const struct bp_state_table scratch_state = {
    .name = "sample-scratch", .version = 1, .oldest = 1, .fields = scratch_fields};

BP_USE(isa, struct bp_isa_interface, "isa", 1);

static uint64_t scratch_read(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct scratch *)opaque)->value;
}

static void scratch_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct scratch *)opaque)->value = (uint8_t)value;
}

static const struct bp_region_ops scratch_ops = {
    .size = sizeof(scratch_ops), .read = scratch_read, .write = scratch_write, .max_access = 1};

static int scratch_attach(struct bp_device *dev, struct bp_error *err)
{
    struct scratch *s = bp_device_state(dev);

    return isa->add_ports(dev, s->iobase, 1, "sample-scratch", &scratch_ops, s, NULL, err);
}

static void scratch_reset(struct bp_device *dev)
{
    ((struct scratch *)bp_device_state(dev))->value = 0;
}

BP_DEVICE(scratch, "sample-scratch", "isa", "A byte to keep", struct scratch, scratch_props,
          &scratch_state, .attach = scratch_attach, .reset = scratch_reset, .category = "misc");
static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("sample-scratch", "Sample module", imports, {BP_PROVIDE_DEVICE, &scratch});
