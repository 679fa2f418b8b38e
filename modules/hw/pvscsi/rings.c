// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rings of the paravirtual SCSI adapter: requests, completions, messages. Indices run freely; a page beside the rings
 * has those of both sides. A descriptor is read once; what it says is bounded by the rings that were set up.
 */
#include <errno.h>

#include <bp/log.h>

#include "pvscsi.h"

enum { /* in the page of the rings' state */
    REQ_PROD = 0,
    REQ_CONS = 4,
    REQ_LOG2 = 8,
    CMP_PROD = 12,
    CMP_CONS = 16,
    CMP_LOG2 = 20,
    CALL_THRESHOLD = 24,
    MSG_PROD = 128,
    MSG_CONS = 132,
    MSG_LOG2 = 136,
};
enum { /* in a request */
    CONTEXT = 0,
    DATA_ADDR = 8,
    DATA_LENGTH = 16,
    SENSE_ADDR = 24,
    SENSE_LENGTH = 32,
    FLAGS = 36,
    CDB = 40,
    CDB_LENGTH = 56,
    LUN = 57,
    BUS = 66,
    TARGET = 67,
};
#define FLAG_SG 1u
#define FLAG_OTHER_CDB 2u
#define FLAG_TO_HOST 8u
#define FLAG_TO_DEVICE 16u
#define SG_CHAIN 1u
#define SG_ELEMENT 16u
#define SG_MAX HBA_PIECES /* elements of a list that are looked at, chains too */
enum { HOST_OK = 0x00, HOST_SELECTION = 0x11, HOST_PARAMETER = 0x1a, HOST_BUS_RESET = 0x25, HOST_ABORTED = 0x26,
       HOST_SOFTWARE = 0x27 };

static bool get(struct pvscsi *s, unsigned offset, uint32_t *ret)
{
    uint8_t raw[4];

    if (hba_read(&s->hba, s->state_page + offset, raw, sizeof(raw)) < 0)
        return false;
    *ret = hba_get32(raw);
    return true;
}

static void put(struct pvscsi *s, unsigned offset, uint32_t value)
{
    uint8_t raw[4];

    hba_put32(raw, value);
    (void)hba_write(&s->hba, s->state_page + offset, raw, sizeof(raw));
}

static uint64_t place(const struct pvscsi_ring *r, uint32_t size)
{
    uint64_t at = (uint64_t)(r->index & (r->entries - 1)) * size;

    return (r->pages[at / PVSCSI_PAGE] << 12) + at % PVSCSI_PAGE;
}

/* ---- setting up ---- */
static void set_ring(struct pvscsi_ring *r, uint32_t count, const uint32_t *numbers, uint32_t size)
{
    memset(r, 0, sizeof(*r));
    for (uint32_t i = 0; i < count; i++)
        r->pages[i] = numbers[2 * i] | (uint64_t)numbers[2 * i + 1] << 32;
    r->entries = count * (PVSCSI_PAGE / size);
}

static bool is_power(uint32_t n, uint32_t most)
{
    return n && n <= most && !(n & (n - 1));
}

static uint32_t log2_of(const struct pvscsi_ring *r)
{
    return (uint32_t)__builtin_ctz(r->entries);
}

bool pvscsi_setup_rings(struct pvscsi *s, const uint32_t *desc)
{
    if (!is_power(desc[0], PVSCSI_RING_PAGES) || !is_power(desc[1], PVSCSI_RING_PAGES)) {
        bp_guest_error("pvscsi-rings", "pvscsi: rings of %u and %u pages", desc[0], desc[1]);
        return false;
    }
    hba_forget(&s->hba, NULL, NULL);
    s->state_page = (desc[2] | (uint64_t)desc[3] << 32) << 12;
    set_ring(&s->requests, desc[0], desc + 4, PVSCSI_REQUEST);
    set_ring(&s->completions, desc[1], desc + 4 + 2 * PVSCSI_RING_PAGES, PVSCSI_COMPLETION);
    s->messages.entries = 0;
    for (unsigned at = REQ_PROD; at <= CALL_THRESHOLD; at += 4)
        put(s, at, 0);
    put(s, REQ_LOG2, log2_of(&s->requests));
    put(s, CMP_LOG2, log2_of(&s->completions));
    return true;
}

bool pvscsi_setup_messages(struct pvscsi *s, const uint32_t *desc)
{
    if (!s->requests.entries || !is_power(desc[0], PVSCSI_MSG_PAGES)) {
        bp_guest_error("pvscsi-messages", "pvscsi: a ring of messages of %u pages, or without the others", desc[0]);
        return false;
    }
    set_ring(&s->messages, desc[0], desc + 2, PVSCSI_MESSAGE);
    put(s, MSG_PROD, 0);
    put(s, MSG_CONS, 0);
    put(s, MSG_LOG2, log2_of(&s->messages));
    return true;
}

static bool ring_possible(const struct pvscsi_ring *r, uint32_t size, uint32_t pages)
{
    return !r->entries || (is_power(r->entries, pages * (PVSCSI_PAGE / size)) && r->entries >= PVSCSI_PAGE / size);
}

/* Of a state that was loaded. */
bool pvscsi_rings_possible(const struct pvscsi *s)
{
    return ring_possible(&s->requests, PVSCSI_REQUEST, PVSCSI_RING_PAGES) &&
           ring_possible(&s->completions, PVSCSI_COMPLETION, PVSCSI_RING_PAGES) &&
           ring_possible(&s->messages, PVSCSI_MESSAGE, PVSCSI_MSG_PAGES) &&
           !s->requests.entries == !s->completions.entries;
}

/* ---- completions ---- */
struct answer {
    uint64_t moved;
    uint32_t sense_length;
    uint16_t host, scsi;
};

static void post(struct pvscsi *s, const uint8_t *frame, const struct answer *a)
{
    uint8_t d[PVSCSI_COMPLETION] = {0};

    if (!s->completions.entries)
        return;
    memcpy(d, frame + CONTEXT, 8);
    hba_put64(d + 8, a->moved);
    hba_put32(d + 16, a->sense_length);
    hba_put16(d + 20, a->host);
    hba_put16(d + 22, a->scsi);
    (void)hba_write(&s->hba, place(&s->completions, PVSCSI_COMPLETION), d, sizeof(d));
    __atomic_thread_fence(__ATOMIC_RELEASE);
    put(s, CMP_PROD, ++s->completions.index);
    pvscsi_raise(s, PVSCSI_INTR_CMPL);
}

static void refuse(struct pvscsi *s, const uint8_t *frame, uint16_t host)
{
    const struct answer a = {.host = host};

    post(s, frame, &a);
}

void pvscsi_done(struct hba *hba, struct hba_command *c)
{
    struct pvscsi *s = bp_device_state(hba->dev);
    const struct bp_scsi_request *q = &c->request;
    struct answer a = {.moved = q->moved, .scsi = q->status};
    uint32_t room = hba_get32(c->frame + SENSE_LENGTH);

    bp_deferred_schedule(s->again); /* there is room for another */
    if (c->forgotten)
        return;
    if (q->cancelled) {
        refuse(s, c->frame, c->waiting ? HOST_ABORTED : HOST_BUS_RESET);
        return;
    }
    if (q->sense_length) {
        a.sense_length = q->sense_length < room ? q->sense_length : room;
        (void)hba_write(hba, hba_get64(c->frame + SENSE_ADDR), q->sense, a.sense_length);
    }
    post(s, c->frame, &a);
}

/* ---- requests ---- */
/* False: the list is impossible. */
static bool add_list(struct hba_command *c, uint64_t at, uint64_t length)
{
    uint8_t e[SG_ELEMENT];

    for (unsigned n = 0; length > 0; n++) {
        uint64_t addr, bytes;

        if (n == SG_MAX || hba_read(c->hba, at, e, sizeof(e)) < 0)
            return false;
        addr = hba_get64(e);
        if (hba_get32(e + 12) & SG_CHAIN) {
            at = addr;
            continue;
        }
        bytes = hba_get32(e + 8);
        if (bytes > length)
            bytes = length;
        if (!hba_add(c, addr, bytes))
            return false;
        length -= bytes;
        at += SG_ELEMENT;
    }
    return true;
}

/* What the driver is answered at once, or HOST_OK: it was started. */
static uint16_t carry_out(struct hba_command *c)
{
    const uint8_t *d = c->frame;
    uint32_t flags = hba_get32(d + FLAGS);
    uint64_t length = flags & (FLAG_TO_HOST | FLAG_TO_DEVICE) ? hba_get64(d + DATA_LENGTH) : 0;
    int ret;

    if ((flags & FLAG_OTHER_CDB) || (flags & (FLAG_TO_HOST | FLAG_TO_DEVICE)) == (FLAG_TO_HOST | FLAG_TO_DEVICE) ||
        d[CDB_LENGTH] > 16 || length > HBA_BYTES)
        return HOST_PARAMETER;
    if (d[BUS] || d[TARGET] >= PVSCSI_TARGETS)
        return HOST_SELECTION;
    c->request.cdb_length = d[CDB_LENGTH];
    memcpy(c->request.cdb, d + CDB, 16);
    c->to_guest = flags & FLAG_TO_HOST;
    if (!(flags & FLAG_SG ? add_list(c, hba_get64(d + DATA_ADDR), length)
                          : hba_add(c, hba_get64(d + DATA_ADDR), length)))
        return HOST_PARAMETER;
    ret = hba_start(c, 0, d[TARGET], hba_lun(d + LUN));
    return ret == 0 ? HOST_OK : ret == -ENODEV ? HOST_SELECTION : ret == -EAGAIN ? HOST_SOFTWARE : HOST_PARAMETER;
}

/* False: there is no room for it now. */
static bool take(struct pvscsi *s, const uint8_t *frame)
{
    struct hba_command *c = hba_new(&s->hba, hba_get64(frame + CONTEXT));
    uint16_t host;

    if (!c)
        return false;
    memcpy(c->frame, frame, PVSCSI_REQUEST);
    host = carry_out(c);
    if (host != HOST_OK) {
        hba_drop(c);
        refuse(s, frame, host);
    }
    return true;
}

/* Completions that are not fetched yet, or still to come, have all places. */
static bool completions_are_full(struct pvscsi *s)
{
    uint32_t fetched, under_way = 0;

    for (const struct hba_command *c = s->hba.commands; c; c = c->next)
        under_way += !c->forgotten;
    return !get(s, CMP_CONS, &fetched) || s->completions.index - fetched + under_way >= s->completions.entries;
}

void pvscsi_take_requests(struct pvscsi *s)
{
    uint8_t frame[PVSCSI_REQUEST];
    uint32_t end;

    if (!s->requests.entries || !get(s, REQ_PROD, &end))
        return;
    if (end - s->requests.index > s->requests.entries) {
        bp_guest_error("pvscsi-producer", "pvscsi: %u requests in a ring of %u", end - s->requests.index,
                       s->requests.entries);
        return;
    }
    while (s->requests.entries && s->requests.index != end) {
        if (s->hba.count >= s->hba.most || completions_are_full(s) ||
            hba_read(&s->hba, place(&s->requests, PVSCSI_REQUEST), frame, sizeof(frame)) < 0)
            return; /* the end of another, or the next call looks again */
        put(s, REQ_CONS, ++s->requests.index);
        if (!take(s, frame))
            refuse(s, frame, HOST_SOFTWARE);
    }
}

/* What was under way when the state was saved. */
void pvscsi_replay(struct pvscsi *s)
{
    for (uint32_t i = 0; i < s->hba.saved_count; i++) {
        if (!take(s, s->hba.saved[i].frame))
            refuse(s, s->hba.saved[i].frame, HOST_SOFTWARE);
    }
    s->hba.saved_count = 0;
}

/* ---- messages ---- */
void pvscsi_message(struct pvscsi *s, uint32_t type, struct bp_scsi_unit *unit)
{
    uint8_t d[PVSCSI_MESSAGE] = {0};
    unsigned channel, target, lun;
    uint32_t fetched;

    if (!s->messages.entries || !get(s, MSG_CONS, &fetched))
        return;
    if (s->messages.index - fetched >= s->messages.entries) {
        bp_guest_error("pvscsi-messages-full", "pvscsi: the guest fetches no messages; one is lost");
        return;
    }
    s->hba.scsi->address(unit, &channel, &target, &lun);
    hba_put32(d, type);
    hba_put32(d + 4, channel);
    hba_put32(d + 8, target);
    d[13] = (uint8_t)lun;
    (void)hba_write(&s->hba, place(&s->messages, PVSCSI_MESSAGE), d, sizeof(d));
    __atomic_thread_fence(__ATOMIC_RELEASE);
    put(s, MSG_PROD, ++s->messages.index);
    pvscsi_raise(s, PVSCSI_INTR_MSG);
}
