/* SPDX-License-Identifier: MIT */
/* @name@: where its frames go and come from, and what it leaves out. This one sends each back to who sent it. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/host/net.h>

#include <stdio.h>

struct @ident@ {
    bool reverse;
    uint64_t frames;
};

BP_USE(net, struct bp_net_interface, "net", 1);

static int @ident@_open(struct bp_netdev *nd, struct bp_error *err)
{
    return 0;
}

/* Takes everything; a full one returns how many it took, and calls netdev_ready() when there is room. */
static unsigned @ident@_receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                                unsigned count)
{
    struct @ident@ *s = net->netdev_state(nd);

    for (unsigned i = 0; i < count; i++) {
        unsigned n = s->reverse ? count - 1 - i : i;

        s->frames++;
        net->netdev_push(nd, queue, &packets[n], 1);
    }
    return count;
}

/* For `info network`. */
static char *@ident@_info(struct bp_netdev *nd)
{
    const struct @ident@ *s = net->netdev_state(nd);
    char text[64];

    snprintf(text, sizeof(text), "frames=%llu", (unsigned long long)s->frames);
    return bp_strdup(text);
}

static const struct bp_field @ident@_props[] = {
    BP_PROP("reverse", BOOL, struct @ident@, reverse, "off", "the last frame of a batch comes back first"),
    BP_FIELDS_END};
BP_NETDEV(@ident@, "@name@", "One line of help", struct @ident@, @ident@_props, .open = @ident@_open,
          .receive = @ident@_receive, .info = @ident@_info);
static const struct bp_import @ident@_imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_OTHER, &@ident@});
