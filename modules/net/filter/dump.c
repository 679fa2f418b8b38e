/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-filter-dump`: -object filter-dump writes what passes to a file as libpcap has it (its man page
 * pcap-savefile), each packet at once, so that it can be read while it grows. Packets whose sender left
 * something to do are written as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/log.h>

#include "record.h"

BP_USE(net, struct bp_net_interface, "net", 1);

#define MAGIC 0xa1b2c3d4u
#define ETHERNET 1u

struct dump {
    struct bp_net_filter_conf conf;
    char *file;
    uint32_t maxlen;
    int fd;
    uint8_t *record; /* a header and maxlen bytes */
    bool failed;
};

static bool write_all(struct dump *s, const void *data, size_t length)
{
    const uint8_t *p = data;

    while (length > 0) {
        ssize_t n = write(s->fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (!s->failed)
                bp_warn("filter-dump: %s: %s: no more is written", s->file, strerror(errno));
            s->failed = true;
            return false;
        }
        p += n;
        length -= (size_t)n;
    }
    return true;
}

static bool packet(void *opaque, enum bp_net_direction direction, unsigned queue, const struct bp_net_packet *packet)
{
    struct dump *s = opaque;
    int64_t now = bp_clock_ns(BP_CLOCK_HOST);
    uint32_t kept = packet->length < s->maxlen ? packet->length : s->maxlen;
    uint32_t head[4] = {(uint32_t)(now / 1000000000), (uint32_t)(now / 1000 % 1000000), kept, packet->length};

    (void)direction;
    (void)queue;
    if (s->failed)
        return true;
    memcpy(s->record, head, sizeof(head));
    net->copy(packet, 0, s->record + sizeof(head), kept);
    write_all(s, s->record, sizeof(head) + kept);
    return true;
}

static const struct bp_net_filter_ops ops = {
    .size = sizeof(struct bp_net_filter_ops), .takes = RECORD_TAKES_ALL, .packet = packet};

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct dump *s = bp_object_state(obj);
    uint32_t head[6] = {MAGIC, 2u | 4u << 16, 0, 0, s->maxlen, ETHERNET};
    int r;

    s->fd = -1;
    if (!s->file && s->conf.netdev) {
        s->file = bp_alloc(strlen(s->conf.netdev) + 6);
        sprintf(s->file, "%s.pcap", s->conf.netdev);
    }
    r = net->filter_new(obj, &s->conf, &ops, s, err);
    if (r < 0)
        return r;
    s->fd = open(s->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (s->fd < 0) {
        r = bp_fail(err, errno, "property 'file': %s: %s", s->file, strerror(errno));
        net->filter_free(s->conf.filter);
        return r;
    }
    s->record = bp_alloc(16 + (size_t)s->maxlen);
    write_all(s, head, sizeof(head));
    return 0;
}

static void finalize(struct bp_object *obj)
{
    struct dump *s = bp_object_state(obj);

    if (s->fd < 0 || !s->record)
        return;
    net->filter_free(s->conf.filter);
    close(s->fd);
    free(s->record);
    s->record = NULL;
}

static const struct bp_field props[] = {
    BP_NET_FILTER_PROPS(struct dump, conf),
    BP_PROP("file", STRING, struct dump, file, NULL, "file that is written (default: NETDEV.pcap)"),
    BP_PROP_RANGE("maxlen", UINT32, struct dump, maxlen, "65536", 1, 1u << 20, "bytes of each packet that are kept"),
    BP_FIELDS_END};
BP_NOTE("provides=object:filter-dump;summary=Writes packets to a file");
static const struct bp_object_class dump_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "filter-dump", .summary = "Writes packets to a file",
             .state_size = sizeof(struct dump), .props = props},
    .complete = complete, .finalize = finalize};
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-filter-dump", "Network filter: packets to a file", imports, {BP_PROVIDE_OBJECT, &dump_class});
