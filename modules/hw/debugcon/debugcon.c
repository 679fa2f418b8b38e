// SPDX-License-Identifier: LGPL-2.1-or-later
/* A port that carries a guest's debug text to a character device; reads give the readback value. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/host/chardev.h>
#include <bp/bus/isa.h>
#include <bp/command.h>
#include <bp/option.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

struct debugcon {
    uint32_t iobase, readback;
    struct bp_object *chardev;
    struct bp_chardev *chr;
};

static uint64_t debugcon_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr;
    (void)size;
    return ((struct debugcon *)opaque)->readback;
}

static void debugcon_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct debugcon *s = opaque;
    uint8_t byte = (uint8_t)value;

    (void)addr;
    (void)size;
    if (s->chr)
        chardev->write(s->chr, &byte, 1, s);
}

static const struct bp_region_ops debugcon_ops = {
    .size = sizeof(debugcon_ops), .read = debugcon_read, .write = debugcon_write, .max_access = 1};
static const struct bp_chardev_handlers handlers = {.size = sizeof(struct bp_chardev_handlers)};

static int debugcon_attach(struct bp_device *dev, struct bp_error *err)
{
    struct debugcon *s = bp_device_state(dev);
    struct bp_chardev *chr;
    int r;

    if (s->iobase > 0xffff)
        return bp_fail(err, EINVAL, "property 'iobase' of isa-debugcon must be at most 0xffff");
    r = isa->add_ports(dev, (uint16_t)s->iobase, 1, "debugcon", &debugcon_ops, s, NULL, err);
    if (r < 0)
        return r;
    if (!s->chardev)
        return bp_fail(err, EINVAL, "isa-debugcon needs a character device: chardev=ID");
    chr = chardev->from_object(s->chardev);
    if (!chr)
        return bp_fail(err, EINVAL, "'%s' is not a character device", bp_object_id(s->chardev));
    r = chardev->connect(chr, &handlers, s, err);
    if (r == 0)
        s->chr = chr;
    return r;
}

static void debugcon_detach(struct bp_device *dev)
{
    struct debugcon *s = bp_device_state(dev);

    if (s->chr)
        chardev->disconnect(s->chr, s);
}

static const struct bp_field debugcon_props[] = {
    BP_PROP("iobase", UINT32, struct debugcon, iobase, "0xe9", "I/O port"),
    BP_PROP("readback", UINT32, struct debugcon, readback, "0xe9", "what a read of the port gives"),
    BP_PROP_LINK("chardev", "chardev", struct debugcon, chardev, "where the text goes"),
    BP_FIELDS_END,
};

BP_DEVICE(debugcon_class, "isa-debugcon", "isa", "Debug text port", struct debugcon,
          debugcon_props, NULL, .category = "misc", .attach = debugcon_attach,
          .detach = debugcon_detach);

/* -debugcon: the port at its usual place, with the back end that a short form names. */
static int option_apply(struct bp_value *args, struct bp_error *err)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_chardev *chr = NULL;
    struct bp_object *back_end;
    struct bp_device *dev;
    const char *text = bp_value_as_string(args);
    const char *name = strncmp(text, "chardev:", 8) == 0 ? text + 8 : "debugcon";
    char path[160];
    int r;

    if (strcmp(text, "none") == 0)
        return 0;
    if (!machine)
        return bp_fail(err, ENODEV, "there is no machine");
    r = chardev->create_legacy(name, text, &chr, err);
    if (r < 0 || !chr)
        return r;
    snprintf(path, sizeof(path), "/chardevs/%s", name);
    back_end = bp_object_resolve(path, "chardev", NULL);
    if (!back_end)
        return bp_fail(err, ENOENT, "there is no character device '%.100s'", name);
    r = bp_device_new(machine, "isa-debugcon", NULL, &dev, err);
    if (r < 0)
        return r;
    r = bp_device_set_link(dev, "chardev", back_end, err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    return bp_device_attach(dev, NULL, err);
}
BP_OPTION(debugcon_option, "debugcon", "where the text that a guest writes to port 0xe9 goes",
          .phase = BP_PHASE_DEVICE, .arg = "dev", .group = "Debug and expert options",
          .apply = option_apply);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1),
                                           BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("hw-debugcon", "Debug text port", imports, {BP_PROVIDE_DEVICE, &debugcon_class},
          {BP_PROVIDE_OPTION, &debugcon_option});
