/* SPDX-License-Identifier: MIT */
/* @name@: what it is, which specification it follows, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/bus/isa.h>

struct @ident@ {
    uint16_t iobase;
    uint8_t value;
};

static const struct bp_field @ident@_props[] = {
    BP_PROP("iobase", UINT16, struct @ident@, iobase, "0x300", "I/O port"),
    BP_FIELDS_END};
static const struct bp_state_field @ident@_fields[] = {
    BP_SAVE(UINT8, struct @ident@, value),
    BP_SAVE_END};
static const struct bp_state_table @ident@_state = {
    .name = "@name@", .version = 1, .oldest = 1, .fields = @ident@_fields};

BP_USE(isa, struct bp_isa_interface, "isa", 1);

static uint64_t @ident@_read(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct @ident@ *)opaque)->value;
}

static void @ident@_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct @ident@ *)opaque)->value = (uint8_t)value;
}

static const struct bp_region_ops @ident@_ops = {
    .size = sizeof(@ident@_ops), .read = @ident@_read, .write = @ident@_write, .max_access = 1};

static int @ident@_attach(struct bp_device *dev, struct bp_error *err)
{
    struct @ident@ *s = bp_device_state(dev);

    return isa->add_ports(dev, s->iobase, 1, "@name@", &@ident@_ops, s, NULL, err);
}

static void @ident@_reset(struct bp_device *dev)
{
    ((struct @ident@ *)bp_device_state(dev))->value = 0;
}

BP_DEVICE(@ident@, "@name@", "isa", "One line of help", struct @ident@, @ident@_props,
          &@ident@_state, .attach = @ident@_attach, .reset = @ident@_reset, .category = "misc");
static const struct bp_import @ident@_imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@});
