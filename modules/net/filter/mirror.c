/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-filter-mirror`: -object filter-mirror copies packets to a chardev; -object filter-redirector moves them
 * there, and lets those that come from another chardev go on from where it sits (record.h).
 */
#include <errno.h>
#include <string.h>

#include "record.h"

BP_USE(net, struct bp_net_interface, "net", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

struct mirror {
    struct bp_net_filter_conf conf;
    char *indev, *outdev;
    bool header, redirects;
    struct record_out out;
    struct record_in in;
};

static bool packet(void *opaque, enum bp_net_direction direction, unsigned queue, const struct bp_net_packet *packet)
{
    struct mirror *s = opaque;

    (void)direction;
    (void)queue;
    if (!s->out.chr)
        return true;
    record_write(&s->out, packet);
    return !s->redirects;
}

static const struct bp_net_filter_ops finished = {.size = sizeof(struct bp_net_filter_ops), .packet = packet};
static const struct bp_net_filter_ops as_they_are = {
    .size = sizeof(struct bp_net_filter_ops), .takes = RECORD_TAKES_ALL, .packet = packet};

static void inject(void *opaque, const struct bp_net_packet *packet)
{
    struct mirror *s = opaque;

    if (!s->conf.status)
        return;
    if (s->conf.queue != BP_NET_FILTER_RX)
        net->filter_pass(s->conf.filter, BP_NET_TX, 0, packet);
    if (s->conf.queue != BP_NET_FILTER_TX)
        net->filter_pass(s->conf.filter, BP_NET_RX, 0, packet);
}

static void finish(struct mirror *s)
{
    record_in_close(&s->in);
    record_out_close(&s->out);
    net->filter_free(s->conf.filter);
    s->conf.filter = NULL;
}

static int begin(struct bp_object *obj, struct bp_error *err)
{
    struct mirror *s = bp_object_state(obj);
    int r = net->filter_new(obj, &s->conf, s->header ? &as_they_are : &finished, s, err);

    if (r == 0 && s->outdev)
        r = record_out_open(&s->out, chardev, net, bp_object_owner(obj), "outdev", s->outdev, s->header, err);
    if (r == 0 && s->indev)
        r = record_in_open(&s->in, chardev, "indev", s->indev, s->header, inject, s, err);
    if (r < 0)
        finish(s);
    return r;
}

static int complete_mirror(struct bp_object *obj, struct bp_error *err)
{
    struct mirror *s = bp_object_state(obj);

    if (!s->outdev)
        return bp_fail(err, EINVAL, "property 'outdev' is missing: the chardev that gets the copies");
    return begin(obj, err);
}

static int complete_redirector(struct bp_object *obj, struct bp_error *err)
{
    struct mirror *s = bp_object_state(obj);

    s->redirects = true;
    if (!s->indev && !s->outdev)
        return bp_fail(err, EINVAL, "at least one of the properties 'indev' and 'outdev' is wanted");
    if (s->indev && s->outdev && !strcmp(s->indev, s->outdev))
        return bp_fail(err, EINVAL, "'indev' and 'outdev' must be different chardevs");
    return begin(obj, err);
}

static void finalize(struct bp_object *obj)
{
    finish(bp_object_state(obj));
}

#define COMMON \
    BP_NET_FILTER_PROPS(struct mirror, conf), \
    BP_PROP("outdev", STRING, struct mirror, outdev, NULL, "chardev that packets go to"), \
    BP_PROP("vnet_hdr_support", BOOL, struct mirror, header, "off", "packets have a header of virtio")
static const struct bp_field mirror_props[] = {COMMON, BP_FIELDS_END};
static const struct bp_field redirector_props[] = {
    COMMON, BP_PROP("indev", STRING, struct mirror, indev, NULL, "chardev that packets come from"), BP_FIELDS_END};
BP_NOTE("provides=object:filter-mirror;summary=Copies packets to a chardev");
static const struct bp_object_class mirror_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "filter-mirror", .summary = "Copies packets to a chardev",
             .state_size = sizeof(struct mirror), .props = mirror_props},
    .complete = complete_mirror, .finalize = finalize};
BP_NOTE("provides=object:filter-redirector;summary=Moves packets to a chardev and takes others from one");
static const struct bp_object_class redirector_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "filter-redirector",
             .summary = "Moves packets to a chardev and takes others from one", .state_size = sizeof(struct mirror),
             .props = redirector_props},
    .complete = complete_redirector, .finalize = finalize};
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("net-filter-mirror", "Network filters: mirror and redirector", imports, {BP_PROVIDE_OBJECT, &mirror_class},
          {BP_PROVIDE_OBJECT, &redirector_class});
