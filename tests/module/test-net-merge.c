/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segments that come together are one packet for a NIC that takes long ones; what differs stays apart. */
#include "net-cards.h"

/* What stands for a card that keeps all that it got. */
struct keeper {
    struct card card; /* first */
    uint8_t *frames[64];
    uint32_t lengths[64];
    struct bp_net_offload offloads[64];
    unsigned count, room;
};

static unsigned keep(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct keeper *k = opaque;
    unsigned n = 0;

    for (; n < count && k->count < 64 && k->room > 0; n++, k->count++, k->room--) {
        k->frames[k->count] = g_malloc(packets[n].length);
        k->lengths[k->count] = packets[n].length;
        k->offloads[k->count] = packets[n].offload;
        g_assert_cmpuint(net->copy(&packets[n], 0, k->frames[k->count], packets[n].length), ==, packets[n].length);
    }
    return n;
}

static void forget(struct keeper *k)
{
    for (unsigned i = 0; i < k->count; i++)
        g_free(k->frames[i]);
    k->count = 0;
    k->room = UINT32_MAX;
}

static const struct bp_nic_ops keeps_pieces = {
    .size = sizeof(struct bp_nic_ops), .receive = keep, .ready = ready, .link = link_changed};
static const struct bp_nic_ops keeps_long = {
    .size = sizeof(struct bp_nic_ops), .takes = BP_NET_TAKES_CHECKSUM | BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6,
    .receive = keep, .ready = ready, .link = link_changed};

/* The pieces of a long segment, as another machine would have sent them. */
static unsigned cut(struct card *from, struct keeper *pieces, uint8_t *frame, bool v6, uint32_t payload)
{
    uint32_t headers = 14 + (v6 ? 40 : 20) + 20, length = frame_of(frame, v6, true, payload);
    struct bp_net_offload o = {.flags = BP_NET_NEEDS_CHECKSUM,
                               .segment = v6 ? BP_NET_SEGMENT_TCP6 : BP_NET_SEGMENT_TCP4, .segment_size = 1000,
                               .checksum_start = (uint16_t)(headers - 20), .checksum_offset = 16};

    frame[headers - 20 + 13] = 0x18; /* ACK PSH */
    forget(pieces);
    g_assert_cmpuint(send_to(from, frame, length, o), ==, 1);
    bp_test_step(host, 1);
    return pieces->count;
}

/* In vectors of odd lengths; `verified`: the sender says that their checksums are right. */
static void send_pieces(struct card *from, const struct keeper *pieces, bool verified)
{
    struct bp_net_packet packets[64];
    struct iovec vectors[64][3];

    for (unsigned i = 0; i < pieces->count; i++) {
        uint32_t a = 7 + 2 * i, b = 300;

        vectors[i][0] = (struct iovec){pieces->frames[i], a};
        vectors[i][1] = (struct iovec){pieces->frames[i] + a, b < pieces->lengths[i] - a ? b : 0};
        b = (uint32_t)vectors[i][1].iov_len;
        vectors[i][2] = (struct iovec){pieces->frames[i] + a + b, pieces->lengths[i] - a - b};
        packets[i] = (struct bp_net_packet){vectors[i], 3, pieces->lengths[i],
                                            {.flags = verified ? BP_NET_CHECKSUM_VALID : 0}};
    }
    g_assert_cmpuint(net->nic_send(from->nic, 0, packets, pieces->count), ==, pieces->count);
    bp_test_step(host, 1);
}

static uint16_t word(const uint8_t *f, uint32_t at)
{
    return (uint16_t)(f[at] << 8 | f[at + 1]);
}

/* The lengths are right; the sum that stands in the packet is that of the pseudo header, and makes a right one. */
static void check_left_to_do(const uint8_t *frame, uint32_t length, bool v6)
{
    uint32_t transport = v6 ? 54 : 34, value;
    uint8_t *done = g_malloc(length);

    memcpy(done, frame, length);
    g_assert_cmpuint(v6 ? word(frame, 18) + 54u : word(frame, 16) + 14u, ==, length);
    value = ~plain_sum(frame + transport, length - transport);
    done[transport + 16] = (uint8_t)(value >> 8);
    done[transport + 17] = (uint8_t)value;
    check_sums(done, length, v6, true);
    g_free(done);
}

static void segments_of_a_stream_are_one_for_who_takes_long_ones(void)
{
    struct keeper pieces = {.room = UINT32_MAX}, whole = {.room = UINT32_MAX};
    uint8_t frame[70000];
    struct card a;

    hub("abc");
    plug(&a, "a", &takes_all);
    for (unsigned v6 = 0; v6 < 2; v6++) {
        uint32_t headers = 14 + (v6 ? 40 : 20) + 20;

        plug(&pieces.card, "b", &keeps_pieces);
        g_assert_cmpuint(cut(&a, &pieces, frame, v6, 9500), ==, 10);
        unplug(&pieces.card);
        plug(&whole.card, "c", &keeps_long);
        for (unsigned verified = 0; verified < 2; verified++) {
            forget(&whole);
            send_pieces(&a, &pieces, verified);
            g_assert_cmpuint(whole.count, ==, 1);
            g_assert_cmpuint(whole.lengths[0], ==, headers + 9500);
            g_assert_true(memcmp(whole.frames[0] + headers, frame + headers, 9500) == 0);
            g_assert_cmphex(whole.frames[0][headers - 20 + 13], ==, 0x18);
            g_assert_cmphex(whole.offloads[0].segment, ==, v6 ? BP_NET_SEGMENT_TCP6 : BP_NET_SEGMENT_TCP4);
            g_assert_cmphex(whole.offloads[0].flags, ==, BP_NET_NEEDS_CHECKSUM);
            g_assert_cmpuint(whole.offloads[0].segment_size, ==, 1000);
            g_assert_cmpuint(whole.offloads[0].header_length, ==, headers);
            check_left_to_do(whole.frames[0], whole.lengths[0], v6);
        }
        unplug(&whole.card);
        /* Cut again, they are what they were. */
        plug(&pieces.card, "b", &keeps_pieces);
        struct keeper before = pieces;

        pieces.count = 0;
        struct iovec vector = {whole.frames[0], whole.lengths[0]};
        struct bp_net_packet packet = {&vector, 1, whole.lengths[0], whole.offloads[0]};

        g_assert_cmpuint(net->nic_send(a.nic, 0, &packet, 1), ==, 1);
        bp_test_step(host, 1);
        g_assert_cmpuint(pieces.count, ==, before.count);
        for (unsigned i = 0; i < before.count; i++)
            g_assert_cmpmem(pieces.frames[i], pieces.lengths[i], before.frames[i], before.lengths[i]);
        forget(&pieces);
        unplug(&pieces.card);
        forget(&before);
        forget(&whole);
    }
    unplug(&a);
    unhub("abc");
}

static void put_sum(uint8_t *f, uint32_t length, bool v6)
{
    uint32_t ip = v6 ? 40 : 20, s;

    memset(f + 14 + ip + 16, 0, 2);
    s = plain_sum(f + 14 + ip, length - 14 - ip) + plain_sum(f + (v6 ? 22 : 26), v6 ? 32 : 8) + 6 + (length - 14 - ip);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    f[14 + ip + 16] = (uint8_t)~(s >> 8);
    f[14 + ip + 17] = (uint8_t)~s;
}

/* What could not be cut into the same frames again stays apart: one thing is wrong with the fifth of ten. */
static void segments_that_differ_stay_apart(void)
{
    static const struct {
        const char *what;
        unsigned offset; /* in the frame, IPv4 */
        uint8_t flip;
        bool sums; /* a right checksum of TCP is made again */
        unsigned expected;
    } wrong[] = {
        {"checksum of TCP", 34 + 17, 1, false, 3},  {"payload", 100, 0x40, false, 3},
        {"source port", 34, 1, true, 3},            {"acknowledgement", 34 + 11, 1, true, 3},
        {"window", 34 + 15, 1, true, 3},            {"sequence", 34 + 7, 1, true, 3},
        {"FIN", 34 + 13, 0x01, true, 3},            {"SYN", 34 + 13, 0x02, true, 3},
        {"URG", 34 + 13, 0x20, true, 3},            {"PSH ends it", 34 + 13, 0x08, true, 2},
        {"identification", 14 + 5, 0x10, false, 3}, {"destination of the frame", 5, 1, false, 3},
        {"type of service", 14 + 1, 4, false, 3},   {"time to live", 14 + 8, 1, false, 3},
        {"length of IP", 14 + 3, 1, false, 3},      {"a fragment", 14 + 6, 0x20, false, 3},
        {"header length of TCP", 34 + 12, 0x10, true, 3},
    };
    struct keeper pieces = {.room = UINT32_MAX}, whole = {.room = UINT32_MAX};
    uint8_t frame[70000];
    struct card a;

    hub("abc");
    plug(&a, "a", &takes_all);
    plug(&pieces.card, "b", &keeps_pieces);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        uint8_t *bad;

        g_assert_cmpuint(cut(&a, &pieces, frame, false, 9500), ==, 10);
        bad = pieces.frames[4];
        bad[wrong[i].offset] ^= wrong[i].flip;
        if (wrong[i].offset >= 14 && wrong[i].offset < 34) { /* a right checksum of IP */
            memset(bad + 24, 0, 2);
            uint32_t s = ~plain_sum(bad + 14, 20);

            bad[24] = (uint8_t)(s >> 8);
            bad[25] = (uint8_t)s;
        }
        if (wrong[i].sums)
            put_sum(bad, pieces.lengths[4], false);
        unplug(&pieces.card);
        plug(&whole.card, "c", &keeps_long);
        forget(&whole);
        send_pieces(&a, &pieces, false);
        if (whole.count != wrong[i].expected)
            g_error("%s: %u packets", wrong[i].what, whole.count);
        if (wrong[i].expected == 3)
            g_assert_cmpmem(whole.frames[1], whole.lengths[1], bad, pieces.lengths[4]);
        unplug(&whole.card);
        plug(&pieces.card, "b", &keeps_pieces);
    }
    unplug(&pieces.card);
    forget(&pieces);
    forget(&whole);
    unplug(&a);
    unhub("abc");
}

/* One more frame of a stream: the next sequence number, `stamp` as an option. */
static void put_frame(struct keeper *k, uint32_t *sequence, uint32_t payload, uint8_t stamp, uint8_t fragment)
{
    uint8_t f[2000], *frame;
    uint32_t length = frame_of(f, false, true, payload + 12), s;

    memmove(f + 66, f + 54, payload);
    memset(f + 54, 1, 12); /* options: no operation */
    f[65] = stamp;
    f[64] = 2, f[63] = 253; /* one for experiments, of two bytes' length: its value is not looked at */
    f[46] = 0x80;
    f[47] = 0x10;
    memcpy(f + 38, (uint8_t[]){*sequence >> 24, *sequence >> 16, *sequence >> 8, *sequence}, 4);
    *sequence += payload;
    f[16] = (uint8_t)((length - 14) >> 8);
    f[17] = (uint8_t)(length - 14);
    f[18] = (uint8_t)(k->count >> 8);
    f[19] = (uint8_t)k->count;
    f[20] = fragment;
    memset(f + 24, 0, 2);
    s = ~plain_sum(f + 14, 20);
    f[24] = (uint8_t)(s >> 8);
    f[25] = (uint8_t)s;
    put_sum(f, length, false);
    frame = g_malloc(length);
    memcpy(frame, f, length);
    k->frames[k->count] = frame;
    k->lengths[k->count++] = length;
}

/* Streams by the lengths of their payloads, and what becomes of them: payloads, 0 at the end. */
static void long_ones_have_one_length_but_for_the_last(void)
{
    static const struct {
        uint32_t sent[8], stamped, fragment, came[8];
    } streams[] = {
        {{1000, 1000, 600, 1000, 1000}, 0, 0, {2600, 2000}},   {{1000, 1400, 1400}, 0, 0, {1000, 2800}},
        {{1000, 1000, 1000}, 3, 0, {2000, 1000}},              {{1000, 1000, 1000}, 0, 0x20, {1000, 1000, 1000}},
        {{7, 7, 7, 7}, 0, 0, {28}},                            {{1000, 1000, 1000, 1}, 0, 0x40, {3001}},
    };
    struct keeper sent = {.room = UINT32_MAX}, came = {.room = UINT32_MAX};
    uint32_t sequence = 0xfffff000, bytes;
    struct card a;

    hub("ac");
    plug(&a, "a", &takes_all);
    plug(&came.card, "c", &keeps_long);
    for (unsigned i = 0; i < G_N_ELEMENTS(streams); i++) {
        forget(&sent);
        forget(&came);
        for (unsigned n = 0; streams[i].sent[n]; n++)
            put_frame(&sent, &sequence, streams[i].sent[n], n + 1 == streams[i].stamped, (uint8_t)streams[i].fragment);
        send_pieces(&a, &sent, false);
        for (unsigned n = 0; n < came.count || streams[i].came[n]; n++)
            g_assert_cmpuint(n < came.count ? came.lengths[n] - 66 : 0, ==, streams[i].came[n]);
    }
    forget(&sent); /* no longer than a packet of IP is */
    forget(&came);
    for (unsigned n = 0; n < 60; n++)
        put_frame(&sent, &sequence, 1400, 0, 0);
    send_pieces(&a, &sent, false);
    bytes = 0;
    for (unsigned n = 0; n < came.count; n++) {
        g_assert_cmpuint(came.lengths[n], <=, 65000);
        g_assert_true(memcmp(came.frames[n] + 66, sent.frames[bytes / 1400] + 66, 1400) == 0);
        bytes += came.lengths[n] - 66;
    }
    g_assert_cmpuint(bytes, ==, 60 * 1400);
    g_assert_cmpuint(came.count, <=, 3);
    unplug(&came.card);
    forget(&sent);
    forget(&came);
    unplug(&a);
    unhub("ac");
}

/* Of more pieces of memory than are put together. */
static void scattered_segments_lose_nothing(void)
{
    struct keeper sent = {.room = UINT32_MAX}, came = {.room = UINT32_MAX};
    struct bp_net_packet packets[60];
    struct iovec vectors[60][12];
    uint32_t sequence = 1, bytes = 0;
    struct card a;

    hub("ac");
    plug(&a, "a", &takes_all);
    plug(&came.card, "c", &keeps_long);
    for (unsigned n = 0; n < 60; n++) {
        put_frame(&sent, &sequence, 600, 0, 0);
        packets[n] = (struct bp_net_packet){vectors[n], 12, sent.lengths[n], {0}};
        for (unsigned v = 0; v < 12; v++)
            vectors[n][v] = (struct iovec){sent.frames[n] + v * 55, v < 11 ? 55 : sent.lengths[n] - 605};
    }
    g_assert_cmpuint(net->nic_send(a.nic, 0, packets, 60), ==, 60);
    bp_test_step(host, 1);
    for (unsigned n = 0; n < came.count; n++) {
        for (uint32_t at = 66; at < came.lengths[n]; at += 600, bytes += 600)
            g_assert_true(memcmp(came.frames[n] + at, sent.frames[bytes / 600] + 66, 600) == 0);
    }
    g_assert_cmpuint(bytes, ==, 60 * 600);
    g_assert_cmpuint(came.count, <, 60);
    unplug(&came.card);
    forget(&sent);
    forget(&came);
    unplug(&a);
    unhub("ac");
}

/* A NIC that takes a part of them gets the others when it can; none comes twice. */
static void segments_wait_for_a_receiver_that_is_full(void)
{
    struct keeper pieces = {.room = UINT32_MAX}, whole = {.room = UINT32_MAX};
    uint8_t frame[70000];
    uint32_t bytes = 0;
    struct card a;

    hub("abc");
    plug(&a, "a", &takes_all);
    plug(&pieces.card, "b", &keeps_pieces);
    g_assert_cmpuint(cut(&a, &pieces, frame, false, 9500), ==, 10);
    unplug(&pieces.card);
    pieces.frames[4][5] ^= 1; /* three packets, then */
    plug(&whole.card, "c", &keeps_long);
    whole.room = 1;
    send_pieces(&a, &pieces, true);
    g_assert_cmpuint(whole.count, ==, 1);
    g_assert_cmpuint(whole.lengths[0], ==, 54 + 4000);
    whole.room = UINT32_MAX;
    net->nic_ready(whole.card.nic, 0);
    bp_test_step(host, 1);
    for (unsigned i = 0; i < whole.count; i++)
        bytes += whole.lengths[i] - 54;
    g_assert_cmpuint(bytes, ==, 9500);
    g_assert_cmpuint(whole.count, ==, 3);
    unplug(&whole.card);
    forget(&pieces);
    forget(&whole);
    unplug(&a);
    unhub("abc");
}

int main(int argc, char **argv)
{
    begin(&argc, &argv);
#define CASE(NAME) g_test_add_func("/net-merge/" #NAME, NAME)
    CASE(segments_of_a_stream_are_one_for_who_takes_long_ones);
    CASE(segments_that_differ_stay_apart);
    CASE(long_ones_have_one_length_but_for_the_last);
    CASE(scattered_segments_lose_nothing);
    CASE(segments_wait_for_a_receiver_that_is_full);
    return end();
}
