// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Persistent reservations (SPC-4 5.13, 6.15, 6.16) and RESERVE (6) (SPC-2 7.21). Disks that show the same block node
 * are one logical unit; each of them is a path to it (an I_T nexus: its adapter is the initiator, its SCSI id the
 * target port) with a registration of its own. Reservations last as long as the machine and its saved state
 * do, through resets. Left out: APTPL, SPEC_I_PT, ALL_TG_PT, REGISTER AND MOVE (each refused), and hosts beyond this
 * process.
 */
#include <pthread.h>
#include <stdlib.h>

#include <bp/loop.h>

#include "disk.h"

enum { READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS };
enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE };
enum { APTPL = 1, ALL_TG_PT = 4, SPEC_I_PT = 8 };

#define PARAMETERS 24u
#define SAS_ID 24u      /* a TransportID: 7.6.4.6 */
#define STATUS (24u + SAS_ID)
#define DATA_MAX 65536u /* more does not fit the allocation length */

struct reservations { /* of a logical unit */
    struct reservations *next;
    struct sdisk *paths;
};

/* Of all machines of the process: block nodes are one's only. The lock covers what paths of a set have in common. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct reservations *sets;

static bool is_all_registrants(unsigned type)
{
    return type >= RESERVE_WRITE_ALL;
}

static void abort_others(void *opaque);

/* ---- paths ---- */
/* The initiator's name: an address that the standard leaves to whoever gives it (NAA 3), of the adapter's path. */
static uint64_t initiator_of(const struct sdisk *s)
{
    const char *path = bp_object_path(bp_device_object(sdisk_scsi->adapter(s->unit)));
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (const char *p = path; p && *p; p++)
        hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    return UINT64_C(3) << 60 | hash >> 4;
}

void sdisk_reserve_attach(struct sdisk *s)
{
    struct bp_block_node *node = sdisk_block->find(s->conf.drive);
    struct reservations *set;

    s->nexus.aborts = bp_deferred_new(s->main, NULL, abort_others, s);
    s->nexus.initiator = initiator_of(s);
    pthread_mutex_lock(&lock);
    for (set = sets; set; set = set->next) {
        if (node && sdisk_block->find(set->paths->conf.drive) == node)
            break;
    }
    if (!set) {
        set = calloc(1, sizeof(*set));
        if (set) {
            set->next = sets;
            sets = set;
        }
    } else {
        s->nexus.generation = set->paths->nexus.generation;
    }
    s->nexus.set = set;
    if (set) {
        s->nexus.next = set->paths;
        set->paths = s;
    }
    pthread_mutex_unlock(&lock);
}

static void unregister(struct sdisk *s);

static void forget_set(struct reservations *set)
{
    struct reservations **link = &sets;

    while (*link != set)
        link = &(*link)->next;
    *link = set->next;
    free(set);
}

void sdisk_reserve_detach(struct sdisk *s)
{
    struct reservations *set = s->nexus.set;
    struct sdisk **link;

    if (!set)
        return;
    pthread_mutex_lock(&lock);
    unregister(s);
    for (link = &set->paths; *link != s; link = &(*link)->nexus.next)
        ;
    *link = s->nexus.next;
    s->nexus.set = NULL;
    if (!set->paths)
        forget_set(set);
    else
        for (struct sdisk *p = set->paths; p; p = p->nexus.next)
            bp_deferred_schedule(p->nexus.aborts); /* who waited for it waits no longer */
    pthread_mutex_unlock(&lock);
}

void sdisk_reserve_reset(struct sdisk *s)
{
    if (!s->nexus.set)
        return;
    pthread_mutex_lock(&lock);
    for (struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next)
        p->nexus.legacy = false;
    pthread_mutex_unlock(&lock);
}

/* ---- the set: all under the lock ---- */
static uint8_t held_type(const struct sdisk *s)
{
    for (const struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next) {
        if (p->nexus.held)
            return p->nexus.held;
    }
    return 0;
}

static void tell(struct sdisk *s, uint16_t news)
{
    __atomic_store_n(&s->nexus.news, news, __ATOMIC_RELEASE);
}

static void tell_registrants(struct sdisk *but, uint16_t news)
{
    for (struct sdisk *p = but->nexus.set->paths; p; p = p->nexus.next) {
        if (p != but && p->nexus.registered)
            tell(p, news);
    }
}

static void release_all(struct sdisk *s)
{
    for (struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next)
        p->nexus.held = 0;
}

static void hold(struct sdisk *s, uint8_t type)
{
    for (struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next)
        p->nexus.held = p == s || (is_all_registrants(type) && p->nexus.registered) ? type : 0;
}

/* 5.13.11.2: a reservation goes with its holder, that of all registrants with the last of them. */
static void unregister(struct sdisk *s)
{
    uint8_t held = s->nexus.held;

    s->nexus.registered = false;
    s->nexus.key = 0;
    s->nexus.held = 0;
    if (held == RESERVE_WRITE_REGISTRANTS || held == RESERVE_REGISTRANTS)
        tell_registrants(s, SCSI_RESERVATIONS_RELEASED);
}

static void next_generation(struct sdisk *s)
{
    uint32_t generation = s->nexus.generation + 1;

    for (struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next)
        p->nexus.generation = generation;
}

/* ---- what is in the way ---- */
/* Under the lock. */
static bool is_reserved_by_another(const struct sdisk *s, const uint8_t *cdb)
{
    uint8_t held = held_type(s);

    if (!s->nexus.held && !sdisk_is_allowed(cdb, held, s->nexus.registered))
        return true;
    for (const struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next) {
        if (p != s && p->nexus.legacy && !sdisk_is_allowed_legacy(cdb))
            return true;
    }
    return false;
}

bool sdisk_may_begin(struct sdisk *s, struct bp_scsi_request *r)
{
    bool conflicts;
    uint16_t news;

    if (!s->nexus.set || r->cdb[0] == SCSI_INQUIRY)
        return true;
    news = __atomic_load_n(&s->nexus.news, __ATOMIC_ACQUIRE) ? __atomic_exchange_n(&s->nexus.news, 0, __ATOMIC_ACQ_REL)
                                                              : 0;
    if (news) {
        sdisk_scsi->fail(r, SCSI_UNIT_ATTENTION, news);
        return false;
    }
    pthread_mutex_lock(&lock);
    conflicts = is_reserved_by_another(s, r->cdb);
    pthread_mutex_unlock(&lock);
    if (conflicts)
        sdisk_scsi->complete(r, BP_SCSI_RESERVATION_CONFLICT);
    return !conflicts;
}

/* ---- RESERVE (6), RELEASE (6) ---- */
void sdisk_reserve_legacy(struct sdisk *s, struct bp_scsi_request *r, bool reserve)
{
    bool conflicts = false;

    if (r->cdb[1] & 0x11) { /* third parties, extents */
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    pthread_mutex_lock(&lock);
    for (struct sdisk *p = s->nexus.set ? s->nexus.set->paths : NULL; p; p = p->nexus.next)
        conflicts |= p->nexus.registered; /* keys and this do not go together: SPC-2 5.5.1 */
    if (!conflicts && s->nexus.set)
        s->nexus.legacy = reserve;
    pthread_mutex_unlock(&lock);
    sdisk_scsi->complete(r, conflicts ? BP_SCSI_RESERVATION_CONFLICT : BP_SCSI_GOOD);
}

/* ---- PERSISTENT RESERVE IN ---- */
static void put_status(const struct sdisk *s, uint8_t *d)
{
    unsigned channel, target, lun;

    sdisk_scsi->address(s->unit, &channel, &target, &lun);
    scsi_put64(d, s->nexus.key);
    d[12] = s->nexus.held ? 1 : 0; /* R_HOLDER */
    d[13] = s->nexus.held;
    scsi_put16(d + 18, target + 1); /* target ports are counted from 1 */
    scsi_put32(d + 20, SAS_ID);
    d[24] = 6; /* SAS */
    scsi_put64(d + 28, s->nexus.initiator);
}

/* Under the lock: keys, or whole statuses. Returns how long the answer is; what does not fit `d` is not there. */
static uint32_t put_list(const struct sdisk *s, uint8_t *d, bool whole)
{
    uint32_t n = 0, each = whole ? STATUS : 8;

    for (const struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next) {
        if (!p->nexus.registered)
            continue;
        if (8 + n + each <= DATA_MAX && whole)
            put_status(p, d + 8 + n);
        else if (8 + n + each <= DATA_MAX)
            scsi_put64(d + 8 + n, p->nexus.key);
        n += each;
    }
    return n;
}

static uint32_t put_reservation(const struct sdisk *s, uint8_t *d)
{
    const struct sdisk *p = s->nexus.set->paths;

    while (p && !p->nexus.held)
        p = p->nexus.next;
    if (!p)
        return 0;
    if (!is_all_registrants(p->nexus.held))
        scsi_put64(d + 8, p->nexus.key);
    d[8 + 13] = p->nexus.held;
    return 16;
}

static const uint8_t capabilities[8] = {0, 8, 0, 0x80, 0xea, 1}; /* the mask of types; all six */

void sdisk_reserve_in(struct sdisk *s, struct bp_scsi_request *r)
{
    uint8_t action = r->cdb[1] & 31;
    uint32_t n = 0, allocated = scsi_get16(r->cdb + 7);
    uint8_t *d;

    if (action > READ_FULL_STATUS) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    if (action == REPORT_CAPABILITIES) {
        sdisk_answer(r, capabilities, sizeof(capabilities), allocated);
        return;
    }
    d = s->nexus.set ? calloc(1, DATA_MAX) : NULL;
    if (!d) {
        sdisk_scsi->fail(r, SCSI_HARDWARE_ERROR, SCSI_INTERNAL_FAILURE);
        return;
    }
    pthread_mutex_lock(&lock);
    n = action == READ_RESERVATION ? put_reservation(s, d) : put_list(s, d, action == READ_FULL_STATUS);
    scsi_put32(d, s->nexus.generation);
    pthread_mutex_unlock(&lock);
    scsi_put32(d + 4, n);
    sdisk_answer(r, d, 8 + n < DATA_MAX ? 8 + n : DATA_MAX, allocated);
    free(d);
}

/* ---- PERSISTENT RESERVE OUT ---- */
struct change {
    struct sdisk *s;
    uint64_t key, new_key; /* RESERVATION KEY, SERVICE ACTION RESERVATION KEY */
    uint8_t action, type;
    uint16_t sense;        /* out, with CHECK CONDITION: of an illegal request */
    bool aborts;           /* out: commands of other paths are to be aborted first */
};

static uint8_t illegal(struct change *c, uint16_t sense)
{
    c->sense = sense;
    return BP_SCSI_CHECK_CONDITION;
}

static uint8_t register_key(struct change *c)
{
    struct nexus *n = &c->s->nexus;

    if (c->action == REGISTER && c->key != (n->registered ? n->key : 0))
        return BP_SCSI_RESERVATION_CONFLICT;
    if (!n->registered && c->new_key == 0)
        return BP_SCSI_GOOD;
    if (c->new_key == 0) {
        unregister(c->s);
    } else {
        uint8_t held = held_type(c->s);

        if (!n->registered && is_all_registrants(held))
            n->held = held;
        n->registered = true;
        n->key = c->new_key;
    }
    next_generation(c->s);
    return BP_SCSI_GOOD;
}

static uint8_t reserve(struct change *c)
{
    uint8_t held = held_type(c->s);

    if (!sdisk_is_reservation(c->type))
        return illegal(c, SCSI_INVALID_FIELD);
    if (held && (!c->s->nexus.held || held != c->type))
        return BP_SCSI_RESERVATION_CONFLICT;
    hold(c->s, c->type);
    return BP_SCSI_GOOD;
}

static uint8_t release(struct change *c)
{
    uint8_t held = c->s->nexus.held;

    if (!held)
        return BP_SCSI_GOOD;
    if (held != c->type)
        return illegal(c, SCSI_INVALID_RELEASE);
    release_all(c->s);
    if (held >= RESERVE_WRITE_REGISTRANTS)
        tell_registrants(c->s, SCSI_RESERVATIONS_RELEASED);
    return BP_SCSI_GOOD;
}

static uint8_t clear(struct change *c)
{
    tell_registrants(c->s, SCSI_RESERVATIONS_PREEMPTED);
    for (struct sdisk *p = c->s->nexus.set->paths; p; p = p->nexus.next) {
        p->nexus.registered = false;
        p->nexus.key = 0;
        p->nexus.held = 0;
    }
    next_generation(c->s);
    return BP_SCSI_GOOD;
}

static bool holder_has(const struct sdisk *s, uint64_t key)
{
    for (const struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next) {
        if (p->nexus.held && p->nexus.key == key)
            return true;
    }
    return false;
}

/* Registrations with the key go (key 0: all), but not `but`. Returns how many. */
static unsigned remove_keys(struct change *c, const struct sdisk *but)
{
    unsigned n = 0;

    for (struct sdisk *p = c->s->nexus.set->paths; p; p = p->nexus.next) {
        if (p == but || !p->nexus.registered || (c->new_key && p->nexus.key != c->new_key))
            continue;
        unregister(p);
        n++;
        if (p == c->s)
            continue;
        tell(p, SCSI_REGISTRATIONS_PREEMPTED);
        if (c->action == PREEMPT_AND_ABORT) {
            __atomic_store_n(&p->nexus.aborting, true, __ATOMIC_RELEASE);
            c->aborts = true;
        }
    }
    return n;
}

/* 5.13.11.3: the reservation is taken over, or only registrations go. */
static uint8_t preempt(struct change *c)
{
    uint8_t held = held_type(c->s);
    bool all = is_all_registrants(held);

    if (c->new_key == 0 && !all)
        return illegal(c, SCSI_INVALID_PARAMETER);
    if (held && (all ? c->new_key == 0 : holder_has(c->s, c->new_key))) {
        if (!sdisk_is_reservation(c->type))
            return illegal(c, SCSI_INVALID_FIELD);
        release_all(c->s);
        (void)remove_keys(c, c->s);
        hold(c->s, c->type);
        if (held != c->type)
            tell_registrants(c->s, SCSI_RESERVATIONS_RELEASED);
    } else if (remove_keys(c, NULL) == 0) {
        return BP_SCSI_RESERVATION_CONFLICT;
    }
    next_generation(c->s);
    return BP_SCSI_GOOD;
}

/* Under the lock. Returns the status. */
static uint8_t carry_out(struct change *c)
{
    const struct nexus *n = &c->s->nexus;

    if (c->action == REGISTER || c->action == REGISTER_AND_IGNORE)
        return register_key(c);
    if (!n->registered || n->key != c->key)
        return BP_SCSI_RESERVATION_CONFLICT;
    switch (c->action) {
    case RESERVE:
        return reserve(c);
    case RELEASE:
        return release(c);
    case CLEAR:
        return clear(c);
    default:
        return preempt(c);
    }
}

/* False: it has been answered. */
static bool read_parameters(struct change *c, struct bp_scsi_request *r)
{
    uint32_t length = scsi_get32(r->cdb + 5);
    uint8_t d[PARAMETERS], refused = ALL_TG_PT | SPEC_I_PT;
    uint16_t sense = 0;

    c->action = r->cdb[1] & 31;
    c->type = r->cdb[2] & 15;
    if (c->action == REGISTER || c->action == REGISTER_AND_IGNORE)
        refused |= APTPL; /* elsewhere it means nothing */
    else if (r->cdb[2] >> 4)
        sense = SCSI_INVALID_FIELD; /* the scope: the logical unit only */
    if (c->action > REGISTER_AND_IGNORE)
        sense = SCSI_INVALID_FIELD;
    else if (length != PARAMETERS || r->out_bytes < length)
        sense = SCSI_PARAMETER_LENGTH;
    if (sense == 0) {
        scsi_copy(r->out, r->out_count, d, PARAMETERS, false);
        if (d[20] & refused)
            sense = SCSI_INVALID_PARAMETER;
        c->key = scsi_get64(d);
        c->new_key = scsi_get64(d + 8);
    }
    if (sense)
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, sense);
    return sense == 0;
}

void sdisk_reserve_out(struct sdisk *s, struct bp_scsi_request *r)
{
    struct change c = {.s = s};
    uint8_t status;

    if (!read_parameters(&c, r))
        return;
    if (!s->nexus.set || s->nexus.waiting) { /* one PREEMPT AND ABORT at a time */
        sdisk_scsi->complete(r, BP_SCSI_BUSY);
        return;
    }
    pthread_mutex_lock(&lock);
    status = carry_out(&c);
    pthread_mutex_unlock(&lock);
    if (status == BP_SCSI_CHECK_CONDITION) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, c.sense);
        return;
    }
    r->moved = PARAMETERS;
    if (c.aborts) {
        s->nexus.waiting = r;
        bp_deferred_schedule(s->nexus.aborts);
        return;
    }
    sdisk_scsi->complete(r, status);
}

/* ---- PREEMPT AND ABORT: other adapters' locks are taken on the main loop, with none held ---- */
static void cancel_one(void *opaque, struct bp_scsi_request *r)
{
    struct sdisk *s = opaque;

    if (r != s->nexus.waiting)
        sdisk_scsi->cancel(s->unit, r);
}

struct count {
    const struct sdisk *s;
    unsigned left;
};

static void count_cancelled(void *opaque, struct bp_scsi_request *r)
{
    struct count *c = opaque;

    if (r != c->s->nexus.waiting)
        c->left += r->cancelled;
}

/* Commands of a path that has to abort them which have not ended yet. */
static unsigned abort_path(struct sdisk *p)
{
    struct bp_device *adapter = sdisk_scsi->adapter(p->unit);
    struct count c = {.s = p};

    bp_device_lock(adapter);
    if (__atomic_load_n(&p->nexus.aborting, __ATOMIC_ACQUIRE)) {
        sdisk_scsi->each_request(p->unit, cancel_one, p);
        sdisk_scsi->each_request(p->unit, count_cancelled, &c);
        if (c.left == 0)
            __atomic_store_n(&p->nexus.aborting, false, __ATOMIC_RELEASE);
    }
    bp_device_unlock(adapter);
    return c.left;
}

/* In the main context, under the machine lock: paths neither come nor go. */
static void abort_others(void *opaque)
{
    struct sdisk *s = opaque;
    struct bp_device *adapter;
    struct bp_scsi_request *r;
    unsigned left = 0;

    if (!s->nexus.set || !s->nexus.waiting)
        return;
    for (struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next)
        left += abort_path(p);
    if (left)
        return; /* the end of the last one schedules this again */
    adapter = sdisk_scsi->adapter(s->unit);
    bp_device_lock(adapter);
    r = s->nexus.waiting;
    s->nexus.waiting = NULL;
    if (r)
        sdisk_scsi->complete(r, r->cancelled ? BP_SCSI_TASK_ABORTED : BP_SCSI_GOOD);
    bp_device_unlock(adapter);
}

void sdisk_reserve_give_up(struct sdisk *s)
{
    s->nexus.waiting = NULL;
}

void sdisk_reserve_ended(struct sdisk *s)
{
    if (!__atomic_load_n(&s->nexus.aborting, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&lock);
    for (struct sdisk *p = s->nexus.set->paths; p; p = p->nexus.next)
        bp_deferred_schedule(p->nexus.aborts);
    pthread_mutex_unlock(&lock);
}
