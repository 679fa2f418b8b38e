/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cards on a hub, and frames for them: for tests of the net framework on the fake host. */
#ifndef NET_CARDS_H
#define NET_CARDS_H

#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/host/net.h>
#include <bp/test.h>

static struct bp_test_host *host;
static const struct bp_net_interface *net;

/* What stands for a card: remembers what it got. */
struct card {
    struct bp_device *dev;
    struct bp_net_conf conf;
    struct bp_nic *nic;
    unsigned room, got, readies, links, inside;
    bool answers, nested, up;
    uint32_t lengths[4096];
    uint8_t last[70000];
    struct bp_net_offload offload;
};

G_GNUC_UNUSED static unsigned send_to(struct card *c, const void *bytes, uint32_t length, struct bp_net_offload offload)
{
    struct iovec v[2] = {{(void *)bytes, length / 3}, {(uint8_t *)bytes + length / 3, length - length / 3}};
    struct bp_net_packet p = {v, 2, length, offload};

    return net->nic_send(c->nic, 0, &p, 1);
}

G_GNUC_UNUSED static unsigned receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct card *c = opaque;
    unsigned n = 0;

    c->nested |= c->inside > 0;
    c->inside++;
    for (; n < count && c->room > 0; n++, c->room--) {
        c->lengths[c->got++ % 4096] = packets[n].length;
        c->offload = packets[n].offload;
        net->copy(&packets[n], 0, c->last, sizeof(c->last));
        if (c->answers)
            send_to(c, "answer", 6, (struct bp_net_offload){0});
    }
    c->inside--;
    return n;
}

G_GNUC_UNUSED static void ready(void *opaque, unsigned queue)
{
    ((struct card *)opaque)->readies++;
}

G_GNUC_UNUSED static void link_changed(void *opaque, bool up)
{
    struct card *c = opaque;

    c->links++;
    c->up = up;
}

G_GNUC_UNUSED static const struct bp_nic_ops takes_nothing = {
    .size = sizeof(struct bp_nic_ops), .receive = receive, .ready = ready, .link = link_changed};
G_GNUC_UNUSED static const struct bp_nic_ops takes_all = {
    .size = sizeof(struct bp_nic_ops), .takes = 0x3f, .receive = receive, .ready = ready,
    .link = link_changed};

G_GNUC_UNUSED static void plug(struct card *c, const char *netdev, const struct bp_nic_ops *ops)
{
    struct bp_error err = {0};

    memset(c, 0, sizeof(*c));
    c->room = UINT32_MAX;
    c->conf.netdev = g_strdup(netdev);
    g_assert_cmpint(bp_test_device(host, "edu", NULL, &c->dev, &err), ==, 0);
    net->nic_new(c->dev, &c->conf, 1, ops, c, &c->nic, &err);
    g_assert_cmpstr(err.message, ==, "");
}

G_GNUC_UNUSED static void unplug(struct card *c)
{
    net->nic_free(c->nic);
    bp_device_destroy(c->dev);
    free(c->conf.mac);
    g_free(c->conf.netdev);
}

G_GNUC_UNUSED static void option(const char *name, const char *text)
{
    struct bp_error err = {0};

    bp_test_option(host, name, text, &err);
    g_assert_cmpstr(err.message, ==, "");
}

G_GNUC_UNUSED static void refused(const char *name, const char *text, const char *words)
{
    struct bp_error err = {0};

    g_assert_cmpint(bp_test_option(host, name, text, &err), <, 0);
    g_assert_nonnull(strstr(err.message, words));
}

G_GNUC_UNUSED static void hub(const char *ports) /* "abc": three ports of hub 3 */
{
    for (const char *p = ports; *p; p++) {
        char *text = g_strdup_printf("hubport,id=%c,hubid=3", *p);

        option("netdev", text);
        g_free(text);
    }
}

G_GNUC_UNUSED static void unhub(const char *ports)
{
    for (const char *p = ports; *p; p++) {
        char id[2] = {*p, 0};

        g_assert_cmpint(net->netdev_remove(id, NULL), ==, 0);
    }
}

/* ---- work left undone ---- */

G_GNUC_UNUSED static uint32_t frame_of(uint8_t *f, bool v6, bool tcp, uint32_t payload)
{
    uint32_t ip = v6 ? 40 : 20, transport = tcp ? 20 : 8, at = 14 + ip;

    memset(f, 0, 14 + ip + transport);
    f[12] = v6 ? 0x86 : 0x08;
    f[13] = v6 ? 0xdd : 0x00;
    if (v6) {
        f[14] = 0x60;
        f[20] = tcp ? 6 : 17;
        f[21] = 64;
        memset(f + 22, 0x11, 32);
    } else {
        f[14] = 0x45;
        f[22] = 64;
        f[23] = tcp ? 6 : 17;
        memcpy(f + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
    }
    if (tcp) {
        f[at + 12] = 0x50;
        f[at + 13] = 0x19; /* ACK PSH FIN */
    }
    for (uint32_t i = 0; i < payload; i++)
        f[at + transport + i] = (uint8_t)(i * 31 + 7);
    return at + transport + payload;
}

G_GNUC_UNUSED static uint32_t plain_sum(const uint8_t *p, uint32_t n)
{
    uint32_t s = 0;

    for (uint32_t i = 0; i < n; i++)
        s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

/* The sums over headers and payload are all ones when they are right. */
G_GNUC_UNUSED static void check_sums(const uint8_t *f, uint32_t length, bool v6, bool tcp)
{
    uint32_t ip = v6 ? 40 : 20, s;

    if (!v6)
        g_assert_cmphex(plain_sum(f + 14, 20), ==, 0xffff);
    s = plain_sum(f + 14 + ip, length - 14 - ip) + plain_sum(f + (v6 ? 22 : 26), v6 ? 32 : 8) +
        (tcp ? 6 : 17) + (length - 14 - ip);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    g_assert_cmphex(s, ==, 0xffff);
}

/* ---- a program of them ---- */

static void begin(int *argc, char ***argv)
{
    struct bp_error err = {0};
    const void *table;

    g_test_init(argc, argv, NULL);
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_assert_cmpint(bp_test_interface(host, "net", 1, &table, &err), ==, 0);
    net = table;
    bp_test_run(host, true);
}

static int end(void)
{
    int rc = g_test_run();

    bp_test_host_free(host);
    return rc;
}

#endif
