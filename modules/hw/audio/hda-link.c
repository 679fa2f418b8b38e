/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus "HDA": codecs at addresses, and the way from them to their controller (bp/bus/hda.h). */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>

#include "hda.h"

struct hda_bus {
    char none;
};
struct hda_child {
    uint32_t cad;
};

static const struct bp_field child_props[] = {
    BP_PROP_RANGE("cad", UINT32, struct hda_child, cad, "15", 0, 15, "address on the link, 15: the first free one"),
    BP_FIELDS_END};

static int child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err);
static void child_attached(struct bp_bus *bus, struct bp_device *child);
static void child_detach(struct bp_bus *bus, struct bp_device *child);
static void child_address(struct bp_device *child, char *buf, size_t size);
BP_BUS(hda_bus_class, "HDA", "High Definition Audio link", struct hda_bus, .child_size = sizeof(struct hda_child),
       .child_props = child_props, .child_attach = child_attach, .child_attached = child_attached,
       .child_detach = child_detach, .child_address = child_address);

static struct hda_child *child_of(struct bp_device *codec)
{
    return bp_device_bus_level(codec, &hda_bus_class);
}

static struct hda *controller_of(struct bp_device *codec)
{
    return bp_device_state(bp_bus_bridge(bp_device_bus(codec)));
}

static int child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err)
{
    const struct bp_hda_info *info = bp_device_class(child)->bus_info;
    const char *type = bp_device_class(child)->type.name;
    struct hda *hda = bp_device_state(bp_bus_bridge(bus));
    uint32_t cad = child_of(child)->cad;

    if (!info || info->size < sizeof(*info) || !info->command)
        return bp_fail(err, EINVAL, "%s does not say what it is on an HDA link", type);
    if (cad == BP_HDA_CODECS)
        for (cad = 0; cad < BP_HDA_CODECS && hda->codec[cad]; cad++)
            ;
    if (cad == BP_HDA_CODECS)
        return bp_fail(err, EBUSY, "%s has %u codecs already", bp_bus_name(bus), BP_HDA_CODECS);
    if (hda->codec[cad])
        return bp_fail(err, EBUSY, "%s: property 'cad': there is a codec at %u of %s already", type, cad,
                       bp_bus_name(bus));
    child_of(child)->cad = cad;
    return 0;
}

static void child_attached(struct bp_bus *bus, struct bp_device *child)
{
    struct hda *hda = bp_device_state(bp_bus_bridge(bus));

    hda->codec[child_of(child)->cad] = child;
}

static void child_detach(struct bp_bus *bus, struct bp_device *child)
{
    struct hda *hda = bp_device_state(bp_bus_bridge(bus));

    if (hda->codec[child_of(child)->cad] == child)
        hda->codec[child_of(child)->cad] = NULL;
}

static void child_address(struct bp_device *child, char *buf, size_t size)
{
    snprintf(buf, size, "%u", child_of(child)->cad);
}

static uint32_t transfer(struct bp_device *codec, uint8_t tag, bool output, void *buf, uint32_t bytes,
                         uint32_t frame)
{
    return hda_transfer(controller_of(codec), tag, output, buf, bytes, frame);
}

static bool running(struct bp_device *codec, uint8_t tag, bool output)
{
    return hda_stream_find(controller_of(codec), tag, output) != NULL;
}

static void unsolicited(struct bp_device *codec, uint32_t response)
{
    struct hda *hda = controller_of(codec);

    if (hda->gctl & GCTL_UNSOLICITED)
        hda_respond(hda, child_of(codec)->cad, response, true);
}

static const struct bp_hda_interface table = {.size = sizeof(table), .transfer = transfer, .running = running,
                                              .unsolicited = unsolicited};
BP_INTERFACE(hda_interface, "hda", 1, 0, &table);
