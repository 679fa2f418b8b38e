/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* isa-cirrus-vga: the CL-GD5446 without what needs PCI: ports, the window at a0000 and its banks.
 */
#include <bp/bus/isa.h>

#include "cirrus.h"

BP_USE(display, struct bp_display_interface, "display", 1);

struct cirrus_isa {
    struct cirrus chip;
    uint32_t vgamem_mb;
};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct cirrus_isa *s = bp_device_state(dev);
    int ret;

    vga_display = display;
    ret = cirrus_init(&s->chip, bp_device_object(dev), s->vgamem_mb, err);
    if (ret == 0)
        cirrus_add_legacy(&s->chip, bp_space_root(bp_device_memory(dev)),
                          bp_space_root(bp_device_io(dev)));
    return ret;
}

static void detach(struct bp_device *dev)
{
    vga_fini(&((struct cirrus_isa *)bp_device_state(dev))->chip.vga);
}

static void reset(struct bp_device *dev)
{
    cirrus_reset(&((struct cirrus_isa *)bp_device_state(dev))->chip);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return cirrus_after_load(&((struct cirrus_isa *)state)->chip, err);
}

static const struct bp_state_field fields[] = {{.name = "chip",
                                                .kind = BP_STATE_STRUCT,
                                                .offset = offsetof(struct cirrus_isa, chip),
                                                .count = 1,
                                                .stride = sizeof(struct cirrus),
                                                .table = &cirrus_state},
                                               BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {BP_PROP("vgamem_mb", UINT32, struct cirrus_isa, vgamem_mb,
                                                "4", "MiB of video memory; the chip knows 4"),
                                        BP_FIELDS_END};

BP_DEVICE(cirrus_class, "isa-cirrus-vga", "isa", "Cirrus Logic CL-GD5446 VGA on ISA",
          struct cirrus_isa, props, &table, .category = "display", .replaces_default = "vga",
          .attach = attach, .detach = detach, .reset = reset);

static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-cirrus-vga-isa", "Cirrus Logic CL-GD5446 on ISA", imports,
          {BP_PROVIDE_DEVICE, &cirrus_class});
