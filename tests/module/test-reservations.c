/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reservations of SCSI disks: three paths to one logical unit, and a disk beside it. What each service action does,
 * what each type lets pass, which unit attentions come, what is saved. SPC-4 5.13, 6.15, 6.16. */
#include <bp/host/scsi.h>

#include "disk/disk.h"

enum { A, B, C, OTHER, PATHS };
enum { GOOD = 0, CHECK = 2, BUSY = 8, CONFLICT = 0x18 };
enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, REGISTER_AND_MOVE };
enum { WRITE_EXCLUSIVE = 1, EXCLUSIVE = 3, WRITE_REGISTRANTS = 5, REGISTRANTS = 6, WRITE_ALL = 7, ALL = 8 };
#define KEY(path) (0x1111111111111111ull * ((path) + 1u))

static struct bp_test_host *host;
static struct bp_device *adapter, *disks[PATHS];
static const struct bp_scsi_interface *scsi;
static struct bp_error err;

/* ---- commands ---- */
struct call {
    struct bp_scsi_request r;
    struct iovec out, in;
    unsigned ends;
};

static uint8_t data[512 * 8];
static uint64_t moved;
static uint16_t sense;

static void ended(struct bp_scsi_request *r)
{
    ((struct call *)r->opaque)->ends++;
}

static void settle(void)
{
    for (unsigned i = 0; i < 20; i++)
        bp_test_step(host, 0);
}

static void submit(struct call *c, unsigned path, const uint8_t *cdb, const void *out, size_t out_bytes)
{
    static uint64_t tag;

    memset(c, 0, sizeof(*c));
    c->out = (struct iovec){(void *)(uintptr_t)out, out_bytes};
    c->in = (struct iovec){data, sizeof(data)};
    c->r = (struct bp_scsi_request){.size = sizeof(c->r), .cdb_length = 16, .tag = ++tag, .out = &c->out,
                                    .out_count = out_bytes ? 1 : 0, .out_bytes = out_bytes, .done = ended, .opaque = c};
    if (!out_bytes) {
        c->r.in = &c->in;
        c->r.in_count = 1;
        c->r.in_bytes = sizeof(data);
    }
    memcpy(c->r.cdb, cdb, 16);
    bp_device_lock(adapter);
    scsi->submit(scsi->of(disks[path]), 0, &c->r);
    bp_device_unlock(adapter);
}

static uint8_t command(unsigned path, const uint8_t *cdb, const void *out, size_t out_bytes)
{
    struct call c;

    submit(&c, path, cdb, out, out_bytes);
    settle();
    g_assert_cmpuint(c.ends, ==, 1);
    moved = c.r.moved;
    sense = c.r.status == CHECK ? (uint16_t)(c.r.sense[12] << 8 | c.r.sense[13]) : 0;
    if (c.r.status == CHECK)
        g_assert_cmpuint(c.r.sense[2], ==, sense >> 8 == 0x2a || sense >> 8 == 0x29 ? 6 : 5);
    return c.r.status;
}

static uint8_t simple(unsigned path, uint8_t opcode, uint8_t fourth)
{
    const uint8_t cdb[16] = {opcode, [4] = fourth, [8] = 1}; /* a block, where there is a number */

    return command(path, cdb, data, opcode == 0x2a || opcode == 0x0a ? 512 : 0);
}

static void put64(uint8_t *d, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        d[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get(const uint8_t *d, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | d[i];
    return v;
}

static uint8_t out(unsigned path, uint8_t action, uint8_t type, uint64_t key, uint64_t new_key, uint8_t flags)
{
    const uint8_t cdb[16] = {0x5f, action, type, [8] = 24};
    uint8_t d[24] = {[20] = flags};

    put64(d, key);
    put64(d + 8, new_key);
    return command(path, cdb, d, sizeof(d));
}

/* Bytes of the list that PERSISTENT RESERVE IN tells. */
static unsigned in(unsigned path, uint8_t action)
{
    const uint8_t cdb[16] = {0x5e, action, [7] = 2};

    memset(data, 0xee, sizeof(data));
    g_assert_cmpuint(command(path, cdb, NULL, 0), ==, GOOD);
    return (unsigned)get(data + 4, 4);
}

static void has_keys(unsigned count, uint64_t sum)
{
    unsigned n = in(OTHER, 0);
    uint64_t all = 0;

    g_assert_cmpuint(n, ==, 0); /* a disk of its own */
    n = in(A, 0);
    g_assert_cmpuint(n, ==, 8 * count);
    g_assert_cmpuint(moved, ==, 8 + n);
    for (unsigned i = 0; i < count; i++)
        all += get(data + 8 + 8 * i, 8);
    g_assert_cmphex(all, ==, sum);
}

static void is_held(uint8_t type, uint64_t key)
{
    g_assert_cmpuint(in(A, 1), ==, type ? 16 : 0);
    if (!type)
        return;
    g_assert_cmphex(get(data + 8, 8), ==, key);
    g_assert_cmphex(data[21], ==, type);
}

static uint32_t generation(void)
{
    (void)in(A, 0);
    return (uint32_t)get(data, 4);
}

/* The unit attention that waits on a path; 0: none. */
static uint16_t news(unsigned path)
{
    return simple(path, 0, 0) == CHECK ? sense : 0;
}

static void registers(unsigned path)
{
    g_assert_cmpuint(out(path, REGISTER, 0, 0, KEY(path), 0), ==, GOOD);
}

/* ---- the machine ---- */
static void plug(unsigned path)
{
    static const char *const props[] = {"drive=d0,scsi-id=0", "drive=d0,scsi-id=1", "drive=d0,scsi-id=2",
                                        "drive=d1,scsi-id=3"};

    g_assert_cmpint(plug_drive(host, "scsi-hd", "scsi", props[path], &disks[path], &err), ==, 0);
}

static void start(void)
{
    fill_disks();
    g_assert_cmpint(bp_test_device(host, "pvscsi", "addr=5", &adapter, &err), ==, 0);
    for (unsigned i = 0; i < PATHS; i++)
        plug(i);
    bp_test_reset(host);
    bp_test_run(host, true);
    for (unsigned i = 0; i < PATHS; i++)
        g_assert_cmphex(news(i), ==, 0x2900);
}

static void stop(void)
{
    for (unsigned i = 0; i < PATHS; i++)
        bp_device_destroy(disks[i]);
    bp_device_destroy(adapter);
}

/* ---- registrations ---- */
static void keys_are_registered(void)
{
    start();
    has_keys(0, 0);
    g_assert_cmpuint(generation(), ==, 0);
    g_assert_cmpuint(out(A, REGISTER, 0, 5, 7, 0), ==, CONFLICT); /* no such key yet */
    g_assert_cmpuint(out(A, REGISTER, 0, 0, 0, 0), ==, GOOD);     /* nothing to forget */
    g_assert_cmpuint(generation(), ==, 0);
    registers(A);
    g_assert_cmpuint(moved, ==, 24);
    g_assert_cmpuint(generation(), ==, 1);
    has_keys(1, KEY(A));
    g_assert_cmpuint(out(A, REGISTER, 0, 0, 7, 0), ==, CONFLICT);
    g_assert_cmpuint(out(A, REGISTER, 0, KEY(A), 7, 0), ==, GOOD);
    has_keys(1, 7);
    registers(B);
    has_keys(2, 7 + KEY(B));
    g_assert_cmpuint(out(A, REGISTER_AND_IGNORE, 0, 99, 8, 0), ==, GOOD);
    g_assert_cmpuint(out(C, REGISTER_AND_IGNORE, 0, 99, 0, 0), ==, GOOD);
    has_keys(2, 8 + KEY(B));
    g_assert_cmpuint(generation(), ==, 4);
    g_assert_cmpuint(out(A, REGISTER, 0, 8, 0, 0), ==, GOOD);
    has_keys(1, KEY(B));
    g_assert_cmpuint(generation(), ==, 5);
    g_assert_cmpuint(out(B, REGISTER_AND_IGNORE, 0, 1, 0, 0), ==, GOOD);
    has_keys(0, 0);
    stop();
}

static void unregistered_paths_change_nothing(void)
{
    start();
    registers(A);
    g_assert_cmpuint(out(A, RESERVE, REGISTRANTS, KEY(A), 0, 0), ==, GOOD);
    for (uint8_t action = RESERVE; action <= PREEMPT_AND_ABORT; action++) {
        g_assert_cmpuint(out(B, action, REGISTRANTS, 0, KEY(A), 0), ==, CONFLICT);
        g_assert_cmpuint(out(A, action, REGISTRANTS, 3, KEY(A), 0), ==, CONFLICT); /* not its key */
    }
    has_keys(1, KEY(A));
    is_held(REGISTRANTS, KEY(A));
    g_assert_cmpuint(generation(), ==, 1);
    stop();
}

static void wrong_commands_are_refused(void)
{
    static const uint8_t bad_types[] = {0, 2, 4, 9, 15, 0x13};
    uint8_t cdb[16] = {0x5f, REGISTER, 0, [8] = 23}, d[32] = {0};

    start();
    g_assert_cmpuint(command(A, cdb, d, 23), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x1a00);
    cdb[8] = 25;
    g_assert_cmpuint(command(A, cdb, d, 25), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x1a00);
    cdb[8] = 24;
    g_assert_cmpuint(command(A, cdb, d, 23), ==, CHECK); /* less data than it says */
    g_assert_cmphex(sense, ==, 0x1a00);
    for (uint8_t flag = 1; flag <= 8; flag = (uint8_t)(flag == 1 ? 4 : 2 * flag)) { /* APTPL, ALL_TG_PT, SPEC_I_PT */
        g_assert_cmpuint(out(A, REGISTER, 0, 0, 1, flag), ==, CHECK);
        g_assert_cmphex(sense, ==, 0x2600);
        g_assert_cmpuint(out(A, REGISTER_AND_IGNORE, 0, 0, 1, flag), ==, CHECK);
    }
    g_assert_cmpuint(out(A, REGISTER_AND_MOVE, 0, 0, 1, 0), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x2400);
    has_keys(0, 0);
    registers(A);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_types); i++) {
        g_assert_cmpuint(out(A, RESERVE, bad_types[i], KEY(A), 0, 0), ==, CHECK);
        g_assert_cmphex(sense, ==, 0x2400);
    }
    is_held(0, 0);
    g_assert_cmpuint(out(A, RESERVE, ALL, KEY(A), 0, 1), ==, GOOD); /* APTPL means nothing here */
    cdb[0] = 0x5e;
    cdb[1] = 4;
    g_assert_cmpuint(command(A, cdb, NULL, 0), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x2400);
    stop();
}

static void capabilities_are_told(void)
{
    static const uint8_t cdb[16] = {0x5e, 2, [8] = 255}, less[16] = {0x5e, 2, [8] = 3};

    start();
    g_assert_cmpuint(command(A, cdb, NULL, 0), ==, GOOD);
    g_assert_cmpuint(moved, ==, 8);
    g_assert_cmphex(get(data, 8), ==, 0x00080080ea010000);
    data[3] = 0xee;
    g_assert_cmpuint(command(A, less, NULL, 0), ==, GOOD);
    g_assert_cmpuint(moved, ==, 3);
    g_assert_cmphex(data[3], ==, 0xee);
    stop();
}

static void full_status_names_paths(void)
{
    unsigned holders = 0, ports = 0;

    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(B, RESERVE, EXCLUSIVE, KEY(B), 0, 0), ==, GOOD);
    g_assert_cmpuint(in(A, 3), ==, 96);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *d = data + 8 + 48 * i;
        unsigned path = get(d, 8) == KEY(A) ? A : B;

        g_assert_cmphex(get(d, 8), ==, KEY(path));
        g_assert_cmphex(d[12], ==, path == B);
        g_assert_cmphex(d[13], ==, path == B ? EXCLUSIVE : 0);
        g_assert_cmpuint(get(d + 18, 2), ==, path + 1);
        g_assert_cmpuint(get(d + 20, 4), ==, 24);
        g_assert_cmphex(d[24], ==, 6);
        g_assert_cmphex(d[28] >> 4, ==, 3);
        holders += d[12];
        ports |= 1u << get(d + 18, 2);
    }
    g_assert_cmphex(get(data + 36, 8), ==, get(data + 84, 8)); /* one adapter */
    g_assert_cmpuint(holders, ==, 1);
    g_assert_cmphex(ports, ==, 6);
    stop();
}

/* ---- what a reservation lets pass ---- */
static const struct pass {
    uint8_t opcode, fourth;
    char passes; /* 'a'lways, 'r'eads, 'w'rites */
} passing[] = {{0x00, 0, 'a'}, {0x12, 36, 'a'}, {0x25, 0, 'a'}, {0x1b, 1, 'a'}, {0x1e, 0, 'a'}, {0x03, 18, 'a'},
               {0x28, 0, 'r'}, {0x08, 1, 'r'}, {0x2f, 0, 'r'}, {0xa8, 0, 'r'}, {0x88, 0, 'r'}, {0x8f, 0, 'r'},
               {0x2a, 0, 'w'}, {0x0a, 1, 'w'}, {0x35, 0, 'w'}, {0x1a, 64, 'w'}, {0x15, 0, 'w'}, {0x1b, 0, 'w'},
               {0x1b, 0x11, 'w'}, {0x1e, 1, 'w'}, {0x42, 0, 'w'}, {0x41, 0, 'w'}, {0x91, 0, 'w'}};

static void check_passes(unsigned path, bool reads, bool writes)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(passing); i++) {
        const struct pass *p = &passing[i];
        bool expected = p->passes == 'a' || (p->passes == 'r' ? reads : writes);
        uint8_t status = simple(path, p->opcode, p->fourth);

        g_assert_true((status != CONFLICT) == expected);
    }
}

static void types_let_pass_what_they_should(void)
{
    static const uint8_t types[] = {WRITE_EXCLUSIVE, EXCLUSIVE, WRITE_REGISTRANTS, REGISTRANTS, WRITE_ALL, ALL};

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        uint8_t t = types[i];
        bool reads = t == WRITE_EXCLUSIVE || t == WRITE_REGISTRANTS || t == WRITE_ALL, shared = t >= WRITE_REGISTRANTS;

        start();
        registers(A);
        registers(B);
        check_passes(C, true, true);
        g_assert_cmpuint(out(A, RESERVE, t, KEY(A), 0, 0), ==, GOOD);
        is_held(t, t >= WRITE_ALL ? 0 : KEY(A));
        check_passes(A, true, true);
        check_passes(B, reads || shared, shared);
        check_passes(C, reads, false);
        check_passes(OTHER, true, true);
        g_assert_cmpuint(out(A, RESERVE, t, KEY(A), 0, 0), ==, GOOD); /* once more */
        g_assert_cmpuint(out(A, RESERVE, t == ALL ? EXCLUSIVE : ALL, KEY(A), 0, 0), ==, CONFLICT);
        g_assert_cmpuint(out(B, RESERVE, t, KEY(B), 0, 0), ==, t >= WRITE_ALL ? GOOD : CONFLICT);
        g_assert_cmpuint(d0->requests[BP_BLOCK_WRITE], >, 0);
        g_assert_cmpuint(out(C, REGISTER, 0, 0, KEY(C), 0), ==, GOOD); /* late */
        check_passes(C, reads || shared, shared);
        is_held(t, t >= WRITE_ALL ? 0 : KEY(A));
        stop();
    }
}

/* ---- release, clear, preempt ---- */
static void holders_release(void)
{
    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(A, RELEASE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD); /* there is none */
    g_assert_cmpuint(out(A, RESERVE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, RELEASE, EXCLUSIVE, KEY(B), 0, 0), ==, GOOD); /* not its own */
    is_held(EXCLUSIVE, KEY(A));
    g_assert_cmpuint(out(A, RELEASE, WRITE_EXCLUSIVE, KEY(A), 0, 0), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x2604);
    g_assert_cmpuint(out(A, RELEASE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    is_held(0, 0);
    g_assert_cmphex(news(B), ==, 0);
    g_assert_cmpuint(out(A, RESERVE, WRITE_REGISTRANTS, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(A, RELEASE, WRITE_REGISTRANTS, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmphex(news(A), ==, 0);
    g_assert_cmphex(news(C), ==, 0);
    g_assert_cmphex(news(B), ==, 0x2a04);
    g_assert_cmphex(news(B), ==, 0);
    g_assert_cmpuint(out(A, RESERVE, ALL, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, RELEASE, ALL, KEY(B), 0, 0), ==, GOOD); /* each is a holder */
    g_assert_cmphex(news(A), ==, 0x2a04);
    is_held(0, 0);
    has_keys(2, KEY(A) + KEY(B));
    g_assert_cmpuint(generation(), ==, 2);
    stop();
}

static void unregistering_releases(void)
{
    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(A, RESERVE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, REGISTER, 0, KEY(B), 0, 0), ==, GOOD);
    is_held(EXCLUSIVE, KEY(A));
    registers(B);
    g_assert_cmpuint(out(A, REGISTER, 0, KEY(A), 0, 0), ==, GOOD);
    is_held(0, 0);
    g_assert_cmphex(news(B), ==, 0);
    registers(A);
    g_assert_cmpuint(out(A, RESERVE, REGISTRANTS, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(A, REGISTER, 0, KEY(A), 0, 0), ==, GOOD);
    is_held(0, 0);
    g_assert_cmphex(news(B), ==, 0x2a04);
    registers(A);
    g_assert_cmpuint(out(A, RESERVE, WRITE_ALL, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(A, REGISTER, 0, KEY(A), 0, 0), ==, GOOD);
    is_held(WRITE_ALL, 0); /* the last one takes it along */
    g_assert_cmpuint(out(B, REGISTER, 0, KEY(B), 0, 0), ==, GOOD);
    is_held(0, 0);
    stop();
}

static void clear_is_told(void)
{
    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(A, RESERVE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, CLEAR, 0, KEY(B), 0, 0), ==, GOOD);
    g_assert_cmphex(news(A), ==, 0x2a03);
    g_assert_cmphex(news(B), ==, 0);
    g_assert_cmphex(news(C), ==, 0);
    has_keys(0, 0);
    is_held(0, 0);
    g_assert_cmpuint(generation(), ==, 3);
    stop();
}

static void reservations_are_preempted(void)
{
    start();
    registers(A);
    registers(B);
    registers(C);
    g_assert_cmpuint(out(A, RESERVE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, PREEMPT, 2, KEY(B), KEY(A), 0), ==, CHECK); /* no such type */
    g_assert_cmphex(sense, ==, 0x2400);
    g_assert_cmpuint(out(B, PREEMPT, EXCLUSIVE, KEY(B), 0, 0), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x2600);
    g_assert_cmpuint(out(B, PREEMPT, EXCLUSIVE, KEY(B), 0x77, 0), ==, CONFLICT); /* nobody's */
    is_held(EXCLUSIVE, KEY(A));
    g_assert_cmpuint(generation(), ==, 3);
    g_assert_cmpuint(out(B, PREEMPT, EXCLUSIVE, KEY(B), KEY(A), 0), ==, GOOD);
    g_assert_cmphex(news(A), ==, 0x2a05);
    g_assert_cmphex(news(C), ==, 0);
    is_held(EXCLUSIVE, KEY(B));
    has_keys(2, KEY(B) + KEY(C));
    g_assert_cmpuint(generation(), ==, 4);
    g_assert_cmpuint(simple(A, 0x28, 0), ==, CONFLICT);
    /* another type */
    g_assert_cmpuint(out(B, PREEMPT, WRITE_EXCLUSIVE, KEY(B), KEY(B), 0), ==, GOOD);
    is_held(WRITE_EXCLUSIVE, KEY(B));
    g_assert_cmphex(news(C), ==, 0x2a04);
    has_keys(2, KEY(B) + KEY(C));
    /* registrations alone */
    registers(A);
    g_assert_cmpuint(out(A, PREEMPT, EXCLUSIVE, KEY(A), KEY(C), 0), ==, GOOD);
    is_held(WRITE_EXCLUSIVE, KEY(B));
    has_keys(2, KEY(A) + KEY(B));
    g_assert_cmphex(news(C), ==, 0x2a05);
    stop();
}

static void all_registrants_are_preempted(void)
{
    start();
    registers(A);
    registers(B);
    registers(C);
    g_assert_cmpuint(out(A, RESERVE, ALL, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, PREEMPT, EXCLUSIVE, KEY(B), KEY(A), 0), ==, GOOD); /* one of them goes, no more */
    g_assert_cmphex(news(A), ==, 0x2a05);
    is_held(ALL, 0);
    has_keys(2, KEY(B) + KEY(C));
    g_assert_cmpuint(out(B, PREEMPT, EXCLUSIVE, KEY(B), 0, 0), ==, GOOD);
    is_held(EXCLUSIVE, KEY(B));
    has_keys(1, KEY(B));
    g_assert_cmphex(news(C), ==, 0x2a05);
    stop();
}

static void paths_of_one_key_go_together(void)
{
    start();
    g_assert_cmpuint(out(A, REGISTER, 0, 0, 5, 0), ==, GOOD);
    g_assert_cmpuint(out(B, REGISTER, 0, 0, 5, 0), ==, GOOD);
    registers(C);
    g_assert_cmpuint(out(A, RESERVE, WRITE_REGISTRANTS, 5, 0, 0), ==, GOOD);
    g_assert_cmpuint(out(C, PREEMPT, WRITE_REGISTRANTS, KEY(C), 5, 0), ==, GOOD);
    g_assert_cmphex(news(A), ==, 0x2a05);
    g_assert_cmphex(news(B), ==, 0x2a05);
    has_keys(1, KEY(C));
    is_held(WRITE_REGISTRANTS, KEY(C));
    stop();
}

/* A command of A that the disk holds, and B preempts: A's ends as aborted, first. */
static void commands_are_aborted(void)
{
    static const uint8_t write[16] = {0x2a, [8] = 1}, preempt[16] = {0x5f, PREEMPT_AND_ABORT, EXCLUSIVE, [8] = 24};
    uint8_t d[24] = {0};
    struct call held, own, aborter;

    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(A, RESERVE, WRITE_REGISTRANTS, KEY(A), 0, 0), ==, GOOD);
    put64(d, KEY(B));
    put64(d + 8, KEY(A));
    d0->hold = true;
    submit(&held, A, write, data, 512);
    submit(&own, B, write, data, 512);
    settle();
    submit(&aborter, B, preempt, d, sizeof(d));
    g_assert_cmpuint(aborter.ends + held.ends, ==, 0);
    g_assert_cmpuint(out(B, REGISTER, 0, KEY(B), KEY(B), 0), ==, BUSY); /* one at a time */
    g_assert_cmpuint(held.ends, ==, 1);
    g_assert_cmphex(held.r.status, ==, BP_SCSI_TASK_ABORTED);
    settle();
    g_assert_cmpuint(aborter.ends, ==, 1);
    g_assert_cmphex(aborter.r.status, ==, GOOD);
    g_assert_cmpuint(own.ends, ==, 0);
    g_assert_cmpuint(d0->requests[BP_BLOCK_WRITE], ==, 1);
    d0->hold = false;
    release(d0);
    g_assert_cmpuint(own.ends, ==, 1);
    g_assert_cmphex(own.r.status, ==, GOOD);
    g_assert_cmphex(news(A), ==, 0x2a05);
    is_held(EXCLUSIVE, KEY(B));
    has_keys(1, KEY(B));
    g_assert_cmpuint(out(B, PREEMPT_AND_ABORT, EXCLUSIVE, KEY(B), KEY(A), 0), ==, CONFLICT);
    stop();
}

/* The disk that is preempted, or the one that waits, goes away meanwhile. */
static void paths_that_go_hold_up_nobody(void)
{
    static const uint8_t write[16] = {0x2a, [8] = 1}, preempt[16] = {0x5f, PREEMPT_AND_ABORT, EXCLUSIVE, [8] = 24};
    uint8_t d[24] = {0};
    struct call held, aborter;

    for (unsigned goes = A; goes <= B; goes++) {
        start();
        registers(A);
        registers(B);
        put64(d, KEY(B));
        put64(d + 8, KEY(A));
        d0->hold = true;
        submit(&held, A, write, data, 512);
        settle();
        submit(&aborter, B, preempt, d, sizeof(d));
        bp_device_destroy(disks[goes]);
        settle();
        g_assert_cmpuint(aborter.ends, ==, 1);
        g_assert_cmphex(aborter.r.status, ==, goes == A ? GOOD : BP_SCSI_TASK_ABORTED);
        d0->hold = false;
        plug(goes);
        stop();
    }
}

/* ---- RESERVE (6) ---- */
static void legacy_reservations_exclude(void)
{
    static const uint8_t third_party[16] = {0x16, 0x10}, extent[16] = {0x16, 1};

    start();
    g_assert_cmpuint(simple(A, 0x16, 0), ==, GOOD);
    g_assert_cmpuint(simple(A, 0x16, 0), ==, GOOD);
    g_assert_cmpuint(simple(B, 0x16, 0), ==, CONFLICT);
    g_assert_cmpuint(simple(B, 0x17, 0), ==, GOOD); /* not its own */
    g_assert_cmpuint(simple(B, 0x28, 0), ==, CONFLICT);
    g_assert_cmpuint(simple(B, 0x00, 0), ==, CONFLICT);
    g_assert_cmpuint(out(B, REGISTER, 0, 0, 1, 0), ==, CONFLICT);
    g_assert_cmpuint(simple(B, 0x12, 36), ==, GOOD);
    g_assert_cmpuint(simple(B, 0x1e, 0), ==, GOOD);
    g_assert_cmpuint(simple(B, 0x1e, 1), ==, CONFLICT);
    g_assert_cmpuint(simple(A, 0x2a, 0), ==, GOOD);
    g_assert_cmpuint(simple(OTHER, 0x2a, 0), ==, GOOD);
    g_assert_cmpuint(simple(A, 0x17, 0), ==, GOOD);
    g_assert_cmpuint(simple(B, 0x2a, 0), ==, GOOD);
    g_assert_cmpuint(command(A, third_party, NULL, 0), ==, CHECK);
    g_assert_cmphex(sense, ==, 0x2400);
    g_assert_cmpuint(command(A, extent, NULL, 0), ==, CHECK);
    g_assert_cmpuint(simple(B, 0x16, 0), ==, GOOD);
    bp_device_lock(adapter);
    scsi->reset_unit(scsi->of(disks[A])); /* of the logical unit, whoever does it */
    bp_device_unlock(adapter);
    g_assert_cmphex(news(A), ==, 0x2900);
    g_assert_cmpuint(simple(A, 0x2a, 0), ==, GOOD);
    registers(A);
    g_assert_cmpuint(simple(B, 0x16, 0), ==, CONFLICT);
    g_assert_cmpuint(simple(A, 0x17, 0), ==, CONFLICT);
    stop();
}

/* ---- life ---- */
static void resets_leave_reservations(void)
{
    start();
    registers(A);
    g_assert_cmpuint(out(A, RESERVE, EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    bp_test_reset(host);
    for (unsigned i = 0; i < PATHS; i++)
        g_assert_cmphex(news(i), ==, 0x2900);
    is_held(EXCLUSIVE, KEY(A));
    g_assert_cmpuint(simple(B, 0x28, 0), ==, CONFLICT);
    stop();
}

static void path_that_goes_takes_its_own_along(void)
{
    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(B, RESERVE, REGISTRANTS, KEY(B), 0, 0), ==, GOOD);
    bp_device_destroy(disks[B]);
    g_assert_cmphex(news(A), ==, 0x2a04);
    has_keys(1, KEY(A));
    is_held(0, 0);
    plug(B);
    g_assert_cmphex(news(B), ==, 0x2900);
    has_keys(1, KEY(A));
    registers(B);
    g_assert_cmpuint(generation(), ==, 3);
    stop();
}

static void reservations_are_saved(void)
{
    void *saved[PATHS];
    size_t size[PATHS];

    start();
    registers(A);
    registers(B);
    g_assert_cmpuint(out(A, RESERVE, WRITE_EXCLUSIVE, KEY(A), 0, 0), ==, GOOD);
    g_assert_cmpuint(out(B, REGISTER, 0, KEY(B), 9, 0), ==, GOOD);
    for (unsigned i = 0; i < PATHS; i++)
        g_assert_cmpint(bp_test_save(disks[i], &saved[i], &size[i], &err), ==, 0);
    g_assert_cmpuint(out(A, CLEAR, 0, KEY(A), 0, 0), ==, GOOD);
    has_keys(0, 0);
    for (unsigned i = 0; i < PATHS; i++)
        g_assert_cmpint(bp_test_restore(disks[i], saved[i], size[i], &err), ==, 0);
    has_keys(2, KEY(A) + 9);
    is_held(WRITE_EXCLUSIVE, KEY(A));
    g_assert_cmpuint(generation(), ==, 3);
    g_assert_cmpuint(simple(B, 0x2a, 0), ==, CONFLICT);
    g_assert_cmpuint(simple(A, 0x2a, 0), ==, GOOD);
    for (unsigned i = 0; i < PATHS; i++)
        free(saved[i]);
    stop();
}

#define CASE(name) g_test_add_func("/reservations/" #name, name)

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_assert_cmpint(bp_test_interface(host, "block", 1, (const void **)&fake_block, &err), ==, 0);
    g_assert_cmpint(bp_test_interface(host, "scsi", 1, (const void **)&scsi, &err), ==, 0);
    CASE(keys_are_registered);
    CASE(unregistered_paths_change_nothing);
    CASE(wrong_commands_are_refused);
    CASE(capabilities_are_told);
    CASE(full_status_names_paths);
    CASE(types_let_pass_what_they_should);
    CASE(holders_release);
    CASE(unregistering_releases);
    CASE(clear_is_told);
    CASE(reservations_are_preempted);
    CASE(all_registrants_are_preempted);
    CASE(paths_of_one_key_go_together);
    CASE(commands_are_aborted);
    CASE(paths_that_go_hold_up_nobody);
    CASE(legacy_reservations_exclude);
    CASE(resets_leave_reservations);
    CASE(path_that_goes_takes_its_own_along);
    CASE(reservations_are_saved);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}
