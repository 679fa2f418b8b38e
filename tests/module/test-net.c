/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The net framework on the fake host: NICs on a hub, back-pressure, queues, work left undone, filters. */
#include "net-cards.h"

static const struct bp_net_offload nothing;

static void frame_reaches_every_other_port_of_its_hub(void)
{
    struct card a, b, c;

    hub("abc");
    option("netdev", "hubport,id=d,hubid=4");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    plug(&c, "d", &takes_nothing);
    g_assert_cmpuint(send_to(&a, "hello, hub", 10, nothing), ==, 1);
    g_assert_cmpuint(b.got, ==, 1);
    g_assert_cmpmem(b.last, 10, "hello, hub", 10);
    g_assert_cmpuint(a.got, ==, 0);
    g_assert_cmpuint(c.got, ==, 0);
    unplug(&a);
    unplug(&b);
    unplug(&c);
    unhub("abcd");
}

static void answer_from_inside_receive_waits_for_its_receiver(void)
{
    struct card a, b;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    b.answers = true;
    a.inside = 1; /* it is sending */
    send_to(&a, "question", 8, nothing);
    a.inside = 0;
    g_assert_cmpuint(a.got, ==, 0);
    bp_test_step(host, 1);
    bp_test_step(host, 1);
    g_assert_cmpuint(a.got, ==, 1);
    g_assert_false(a.nested);
    g_assert_cmpmem(a.last, 6, "answer", 6);
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

static void full_receiver_gets_a_bounded_queue_then_all_of_it(void)
{
    struct card a, b;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    b.room = 0;
    for (unsigned i = 0; i < 1000; i++)
        send_to(&a, "0123456789", 10, nothing);
    b.room = UINT32_MAX;
    g_assert_cmpuint(b.got, ==, 0);
    net->nic_ready(b.nic, 0);
    bp_test_step(host, 1);
    g_assert_cmpuint(b.got, ==, BP_NET_QUEUE_PACKETS);
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

static void machine_that_stands_gets_its_frames_when_it_runs(void)
{
    struct card a, b;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    bp_test_run(host, false);
    send_to(&a, "late", 4, nothing);
    bp_test_step(host, 1);
    g_assert_cmpuint(b.got, ==, 0);
    bp_test_run(host, true);
    bp_test_step(host, 1);
    g_assert_cmpuint(b.got, ==, 1);
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

static void long_segment_is_cut_for_who_takes_none(void)
{
    static const struct {
        bool v6, tcp;
        uint8_t segment;
    } kinds[] = {{false, true, BP_NET_SEGMENT_TCP4}, {true, true, BP_NET_SEGMENT_TCP6},
                 {false, false, BP_NET_SEGMENT_UDP_L4}, {true, false, BP_NET_SEGMENT_UDP_L4}};
    uint8_t frame[70000];
    struct card a, b;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        uint32_t headers = 14 + (kinds[i].v6 ? 40 : 20) + (kinds[i].tcp ? 20 : 8);
        uint32_t length = frame_of(frame, kinds[i].v6, kinds[i].tcp, 10000);
        struct bp_net_offload o = {.flags = BP_NET_NEEDS_CHECKSUM, .segment = kinds[i].segment,
                                   .segment_size = 1460,
                                   .checksum_start = (uint16_t)(headers - (kinds[i].tcp ? 20 : 8)),
                                   .checksum_offset = kinds[i].tcp ? 16 : 6};

        b.got = 0;
        g_assert_cmpuint(send_to(&a, frame, length, o), ==, 1);
        bp_test_step(host, 1);
        g_assert_cmpuint(b.got, ==, 7);
        g_assert_cmpuint(b.lengths[0], ==, headers + 1460);
        g_assert_cmpuint(b.lengths[6], ==, headers + 10000 - 6 * 1460);
        check_sums(b.last, b.lengths[6], kinds[i].v6, kinds[i].tcp);
        if (kinds[i].tcp) /* the last one alone has FIN; its sequence number is behind the others */
            g_assert_cmphex(b.last[headers - 20 + 13], ==, 0x19);
        if (kinds[i].tcp)
            g_assert_cmphex((unsigned)b.last[headers - 14] << 8 | b.last[headers - 13], ==, 6 * 1460);
    }
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

static void facts_go_whole_to_who_takes_them(void)
{
    uint8_t frame[70000];
    struct card a, b;
    struct bp_net_offload o = {.flags = BP_NET_NEEDS_CHECKSUM, .segment = BP_NET_SEGMENT_TCP4,
                               .segment_size = 1000, .checksum_start = 34, .checksum_offset = 16};

    hub("ab");
    plug(&a, "a", &takes_all);
    plug(&b, "b", &takes_all);
    send_to(&a, frame, frame_of(frame, false, true, 60000), o);
    g_assert_cmpuint(b.got, ==, 1);
    g_assert_cmpuint(b.lengths[0], ==, 60054);
    g_assert_cmpuint(b.offload.segment_size, ==, 1000);
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

/* Every fact of a guest's may be a lie. */
static void random_facts_never_hurt(void)
{
    uint8_t frame[4096];
    GRand *rand = g_rand_new_with_seed(15);
    struct card a, b;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    for (unsigned i = 0; i < 20000; i++) {
        static const uint8_t segments[] = {0, 1, 3, 4, 5, 0x81, 0x84, 2, 0x7f};
        uint32_t length = frame_of(frame, i & 1, i & 2, (uint32_t)g_rand_int_range(rand, 0, 3000));
        struct bp_net_offload o = {
            .flags = (uint8_t)g_rand_int_range(rand, 0, 4),
            .segment = segments[g_rand_int_range(rand, 0, G_N_ELEMENTS(segments))],
            .segment_size = (uint16_t)(g_rand_int(rand) & (i & 4 ? 0xffff : 0x3f)),
            .checksum_start = (uint16_t)g_rand_int_range(rand, 0, 120),
            .checksum_offset = (uint16_t)g_rand_int_range(rand, 0, 40)};

        if (i % 3 == 0)
            frame[g_rand_int_range(rand, 12, 60)] = (uint8_t)g_rand_int(rand);
        if (i % 5 == 0)
            length = (uint32_t)g_rand_int_range(rand, 0, 80);
        if (i % 7 == 0)
            o.checksum_start = (uint16_t)g_rand_int(rand), o.checksum_offset = (uint16_t)g_rand_int(rand);
        g_assert_cmpuint(send_to(&a, frame, length, o), ==, 1);
        if (i % 16 == 0)
            bp_test_step(host, 1);
    }
    g_assert_cmpuint(b.got, >, 1000);
    g_rand_free(rand);
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

/* ---- cables ---- */

static void pulled_cable_is_seen_at_both_ends(void)
{
    struct bp_error err = {0};
    struct card a, b;
    char *text;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    g_assert_true(net->nic_link(a.nic));
    g_assert_cmpint(bp_test_command(host, "set_link", "{\"name\": \"a\", \"up\": false}", NULL, &err), ==, 0);
    g_assert_cmpuint(a.links, ==, 1);
    g_assert_false(a.up);
    g_assert_false(net->nic_link(a.nic));
    text = bp_test_hmp(host, "info network");
    g_assert_nonnull(strstr(text, "(link down)"));
    free(text);
    send_to(&a, "x", 1, nothing);
    g_assert_cmpuint(b.got, ==, 0);
    g_assert_cmpint(bp_test_command(host, "set_link", "{\"name\": \"a\", \"up\": true}", NULL, &err), ==, 0);
    g_assert_true(a.up);
    send_to(&a, "x", 1, nothing);
    g_assert_cmpuint(b.got, ==, 1);
    unplug(&a);
    unplug(&b);
    unhub("ab");
    g_assert_cmpint(bp_test_command(host, "set_link", "{\"name\": \"a\", \"up\": true}", NULL, &err), <, 0);
    g_assert_cmpint(err.kind, ==, BP_ERROR_DEVICE_NOT_FOUND);
}

static void netdev_that_goes_leaves_the_nic_without_a_link(void)
{
    struct card a;

    hub("a");
    plug(&a, "a", &takes_nothing);
    unhub("a");
    g_assert_cmpuint(a.links, ==, 1);
    g_assert_false(a.up);
    g_assert_cmpuint(send_to(&a, "x", 1, nothing), ==, 1);
    unplug(&a);
}

static void addresses_count_up_and_wrong_ones_are_refused(void)
{
    struct bp_error err = {0};
    struct card a, b, c = {0};

    plug(&a, NULL, &takes_nothing);
    plug(&b, NULL, &takes_nothing);
    g_assert_cmpstr(a.conf.mac, ==, "52:54:00:12:34:56");
    g_assert_cmpstr(b.conf.mac, ==, "52:54:00:12:34:57");
    for (unsigned i = 0; i < 4; i++) {
        static const char *const wrong[] = {"01:00:00:00:00:01", "52:54:00:12:34", "52:54:00:12:34:567",
                                            "52:54:00:12:34:5g"};

        c.conf.mac = (char *)wrong[i];
        g_assert_cmpint(net->nic_new(a.dev, &c.conf, 1, &takes_nothing, &c, &c.nic, &err), ==, -EINVAL);
        g_assert_nonnull(strstr(err.message, wrong[i]));
    }
    unplug(&a);
    unplug(&b);
}

static void wrong_options_are_refused_in_words(void)
{
    hub("a");
    refused("netdev", "hubport,id=a,hubid=1", "Duplicate ID 'a'");
    refused("netdev", "hubport,hubid=1", "'id' is missing");
    refused("netdev", "hubport,id=x", "'hubid' is missing");
    refused("netdev", "hubport,id=x,hubid=1,netdev=zz", "no such netdev");
    refused("netdev", "hubport,id=x,hubid=1,colour=red", "colour");
    refused("netdev", "vhost-vdpa,id=x", "not built yet");
    refused("netdev", "id=x", "'type' is missing");
    refused("nic", "none,model=e1000", "none has no keys");
    refused("net", "nic,colour=red", "nic has the keys");
    unhub("a");
}

/* ---- filters ---- */

struct sieve {
    struct bp_object *obj;
    struct bp_net_filter_conf conf;
    char name;
    bool keeps;
};
static GString *seen;

static bool sieve_packet(void *opaque, enum bp_net_direction direction, unsigned queue,
                         const struct bp_net_packet *packet)
{
    struct sieve *s = opaque;

    g_string_append_printf(seen, "%c%c ", s->name, direction == BP_NET_RX ? 'r' : 't');
    return !s->keeps;
}

static const struct bp_net_filter_ops sieve_ops = {.size = sizeof(sieve_ops), .takes = 0x3f,
                                                   .packet = sieve_packet};

static void add_sieve(struct sieve *s, char name, const char *position, int insert)
{
    char id[2] = {name, 0};
    struct bp_error err = {0};

    *s = (struct sieve){.name = name, .conf = {.netdev = (char *)"a", .position = (char *)position,
                                               .insert = insert, .status = true}};
    g_assert_cmpint(bp_test_object(host, "secret", id, "{\"data\": \"x\"}", &s->obj, &err), ==, 0);
    net->filter_new(s->obj, &s->conf, &sieve_ops, s, &err);
    g_assert_cmpstr(err.message, ==, "");
}

static void filters_stand_where_they_were_put(void)
{
    struct bp_net_packet again = {0};
    struct sieve s[4];
    struct card a, b;

    seen = g_string_new(NULL);
    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    add_sieve(&s[0], 'K', "tail", 0);
    add_sieve(&s[1], 'L', "head", 0);
    add_sieve(&s[2], 'M', "id=K", 1);
    add_sieve(&s[3], 'N', "id=K", 0);
    send_to(&b, "to a", 4, nothing); /* the netdev sends: head first */
    g_assert_cmpstr(seen->str, ==, "Lt Mt Kt Nt ");
    g_assert_cmpuint(a.got, ==, 1);
    g_string_truncate(seen, 0);
    send_to(&a, "to b", 4, nothing); /* it is sent to: tail first */
    g_assert_cmpstr(seen->str, ==, "Nr Kr Mr Lr ");
    g_assert_cmpuint(b.got, ==, 1);
    s[0].keeps = true;
    s[1].conf.status = false;
    s[2].conf.queue = BP_NET_FILTER_TX;
    g_string_truncate(seen, 0);
    send_to(&a, "to b", 4, nothing);
    g_assert_cmpstr(seen->str, ==, "Nr Kr ");
    g_assert_cmpuint(b.got, ==, 1);
    s[1].conf.status = true;
    g_string_truncate(seen, 0);
    g_assert_true(net->filter_pass(s[0].conf.filter, BP_NET_RX, 0, &again)); /* on from there */
    g_assert_cmpstr(seen->str, ==, "Lr ");
    g_assert_cmpuint(b.got, ==, 2);
    for (unsigned i = 0; i < 3; i++)
        net->filter_free(s[i].conf.filter);
    unplug(&a);
    unplug(&b);
    unhub("ab");
    g_assert_false(net->filter_pass(s[3].conf.filter, BP_NET_RX, 0, &again));
    net->filter_free(s[3].conf.filter);
    g_string_free(seen, TRUE);
}

static void announcement_names_every_nic(void)
{
    struct bp_error err = {0};
    struct card a, b;

    hub("ab");
    plug(&a, "a", &takes_nothing);
    plug(&b, "b", &takes_nothing);
    g_assert_cmpint(bp_test_command(host, "announce-self", "{\"initial\": 1, \"max\": 1, \"rounds\": 1, \"step\": 0}",
                                    NULL, &err), ==, 0);
    for (unsigned i = 0; i < 1000 && b.got == 0; i++) {
        bp_test_step(host, 1000000);
        g_usleep(1000);
    }
    g_assert_cmpuint(b.got, >=, 1);
    g_assert_cmpuint(b.lengths[0], ==, 60);
    g_assert_cmphex(b.last[12], ==, 0x80);
    g_assert_cmphex(b.last[13], ==, 0x35);
    unplug(&a);
    unplug(&b);
    unhub("ab");
}

int main(int argc, char **argv)
{
    begin(&argc, &argv);
#define CASE(NAME) g_test_add_func("/net/" #NAME, NAME)
    CASE(frame_reaches_every_other_port_of_its_hub);
    CASE(answer_from_inside_receive_waits_for_its_receiver);
    CASE(full_receiver_gets_a_bounded_queue_then_all_of_it);
    CASE(machine_that_stands_gets_its_frames_when_it_runs);
    CASE(long_segment_is_cut_for_who_takes_none);
    CASE(facts_go_whole_to_who_takes_them);
    CASE(random_facts_never_hurt);
    CASE(pulled_cable_is_seen_at_both_ends);
    CASE(netdev_that_goes_leaves_the_nic_without_a_link);
    CASE(addresses_count_up_and_wrong_ones_are_refused);
    CASE(wrong_options_are_refused_in_words);
    CASE(filters_stand_where_they_were_put);
    CASE(announcement_names_every_nic);
    return end();
}
