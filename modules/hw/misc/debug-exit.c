/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* isa-debug-exit: a port with which a test guest ends the emulator: writing v gives status 2v+1. */
#include <bp/bus/isa.h>
#include <bp/run.h>

struct debug_exit {
    uint32_t iobase, iosize;
};
static const struct bp_field debug_exit_props[] = {
    BP_PROP_RANGE("iobase", UINT32, struct debug_exit, iobase, "0x501", 0, 0xffff, "first port"),
    BP_PROP_RANGE("iosize", UINT32, struct debug_exit, iosize, "2", 1, 4, "number of ports"),
    BP_FIELDS_END};
BP_USE(isa, struct bp_isa_interface, "isa", 1);

static uint64_t debug_exit_read(void *opaque, uint64_t addr, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    bp_machine_request_exit(bp_device_machine(bp_device_of_state(opaque)),
                            (int)(uint32_t)(value << 1 | 1));
}

static const struct bp_region_ops debug_exit_ops = {
    .size = sizeof(debug_exit_ops), .read = debug_exit_read, .write = debug_exit_write};

static int debug_exit_attach(struct bp_device *dev, struct bp_error *err)
{
    struct debug_exit *s = bp_device_state(dev);
    return isa->add_ports(dev, (uint16_t)s->iobase, s->iosize, "isa-debug-exit", &debug_exit_ops, s,
                          NULL, err);
}

BP_DEVICE(debug_exit, "isa-debug-exit", "isa", "Lets a guest end the emulator", struct debug_exit,
          debug_exit_props, NULL, .attach = debug_exit_attach, .category = "misc");
static const struct bp_import debug_exit_imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-debug-exit", "Debug exit port", debug_exit_imports, {BP_PROVIDE_DEVICE, &debug_exit});
