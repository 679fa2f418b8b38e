// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory balloon (Virtual I/O Device 1.2, 5.5): takes memory from the guest and gives it back, tells of the guest's
 * memory, and gives pages to the host that the guest reports as free. Pages are given back on the main loop under
 * the machine lock, and only those of RAM that nobody keeps in its place. Left out: hints of free pages for
 * migration, poison.
 */
#define BP_SHARED
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <bp/dma.h>
#include <bp/run.h>

#include "balloon.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);

#define F_STATS 1
#define F_DEFLATE_ON_OOM 2
#define F_REPORTING 5
#define PAGE 4096u
#define PFNS 256u   /* that are looked at in one go */
#define SECOND 1000000000

enum { CFG_NUM_PAGES = 0, CFG_ACTUAL = 4, CFG_SIZE = 16 };

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

/* ---- pages: in the main context, under the machine lock ---- */
static void discard(struct balloon *s, uint64_t address, uint64_t length)
{
    while (length > 0) {
        struct bp_mapping m = {.size = sizeof(m)};
        uint64_t n;

        bp_space_lookup(bp_device_memory(s->dev), address, &m);
        n = m.length && m.length < length ? m.length : length;
        if (m.region && m.host && !m.readonly)
            (void)bp_ram_discard(m.region, m.offset, n); /* -EBUSY, -EINVAL: the host keeps it */
        address += n;
        length -= n;
    }
}

/* Page numbers of the request in hand, or of the next one; 0: there are no more. [locked] */
/* Hands back what is held. It is let go first: the ring may turn out to be broken, and then all that is held goes. */
static void hand_back(struct bp_virtq *queue, struct bp_virtq_request **held)
{
    struct bp_virtq_request *r = *held;

    *held = NULL;
    if (r)
        virtio->complete(queue, r, 0);
}

static unsigned next_pages(struct balloon *s, uint32_t *pfns)
{
    for (;;) {
        uint64_t n;

        if (!s->taking) {
            s->taking = virtio->pop(s->inflate);
            s->taken = 0;
        }
        if (!s->taking && virtio->kicks(s->inflate, true))
            continue;
        if (!s->taking)
            return 0;
        n = bp_virtq_read(s->taking, s->taken, pfns, PFNS * sizeof(*pfns));
        s->taken += n;
        if (n >= sizeof(*pfns))
            return (unsigned)(n / sizeof(*pfns));
        hand_back(s->inflate, &s->taking);
    }
}

static void inflate(struct balloon *s)
{
    uint32_t pfns[PFNS];
    unsigned n;

    do {
        bp_device_lock(s->dev);
        n = next_pages(s, pfns);
        bp_device_unlock(s->dev);
        for (unsigned i = 0; i < n; i++)
            discard(s, (uint64_t)le32toh(pfns[i]) * PAGE, PAGE);
    } while (n > 0);
}

/* Reported pages are free until the request has ended: the device's lock is held, so that a reset waits. */
static void take_reported(struct balloon *s)
{
    struct bp_virtq_request *r;

    if (!s->reporting)
        return;
    bp_device_lock(s->dev);
    do {
        while ((r = virtio->pop(s->reporting))) {
            for (unsigned i = 0; i < r->in_count; i++)
                discard(s, (uint64_t)(uintptr_t)r->in[i].iov_base, r->in[i].iov_len);
            virtio->complete(s->reporting, r, 0);
        }
    } while (virtio->kicks(s->reporting, true));
    bp_device_unlock(s->dev);
}

static void work(void *opaque)
{
    struct balloon *s = opaque;
    struct bp_value *data;
    bool tell;

    if (!s->virtio)
        return;
    inflate(s);
    take_reported(s);
    bp_device_lock(s->dev);
    tell = s->tell_actual;
    s->tell_actual = false;
    bp_device_unlock(s->dev);
    if (!tell)
        return;
    data = bp_value_dict();
    bp_value_set(data, "actual", bp_value_int((int64_t)balloon_actual(s)));
    bp_event_send(&balloon_event, data);
}

static bool handle_pages(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    bp_deferred_schedule(((struct balloon *)opaque)->work);
    return false;
}

/* Memory comes back by itself when the guest touches it. */
static bool handle_deflate(void *opaque, struct bp_virtq *queue)
{
    struct bp_virtq_request *r;

    (void)opaque;
    while ((r = virtio->pop(queue)))
        virtio->push(queue, r, 0);
    virtio->flush(queue);
    return true;
}

/* ---- statistics ---- */
struct stat {
    uint16_t tag;
    uint64_t value;
} __attribute__((packed));

static bool handle_stats(void *opaque, struct bp_virtq *queue)
{
    struct balloon *s = opaque;
    struct bp_virtq_request *r;
    struct stat stat;

    while ((r = virtio->pop(queue))) {
        hand_back(queue, &s->stats_buffer);
        s->stats_buffer = r;
        for (uint64_t at = 0; bp_virtq_read(r, at, &stat, sizeof(stat)) == sizeof(stat); at += sizeof(stat)) {
            if (le16toh(stat.tag) < BALLOON_STATS)
                s->stat[le16toh(stat.tag)] = le64toh(stat.value);
        }
        s->updated = bp_clock_ns(BP_CLOCK_HOST) / SECOND;
    }
    return true;
}

static void poll_stats(void *opaque)
{
    struct balloon *s = opaque;

    hand_back(s->stats, &s->stats_buffer);
    if (s->interval)
        bp_timer_set(s->poll, bp_timer_now(s->poll) + s->interval * SECOND);
}

static int get_stats(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                     struct bp_error *err);
static int get_interval(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                        struct bp_error *err);
static int set_interval(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                        struct bp_error *err);

/* ---- the target ---- */
uint64_t balloon_actual(struct balloon *s)
{
    uint64_t ram = bp_machine_memory_size(bp_device_machine(s->dev)), taken;

    bp_device_lock(s->dev);
    taken = (uint64_t)get32(virtio->config(s->virtio) + CFG_ACTUAL) * PAGE;
    bp_device_unlock(s->dev);
    return taken < ram ? ram - taken : 0;
}

void balloon_set(struct balloon *s, uint64_t bytes)
{
    uint64_t ram = bp_machine_memory_size(bp_device_machine(s->dev));

    if (bytes > ram)
        bytes = ram;
    bp_device_lock(s->dev);
    put32(virtio->config(s->virtio) + CFG_NUM_PAGES, (uint32_t)((ram - bytes) / PAGE));
    virtio->config_changed(s->virtio);
    bp_device_unlock(s->dev);
}

/* ---- the device ---- */
static uint64_t offer(void *opaque, uint64_t features)
{
    const struct balloon *s = opaque;

    if (!s->deflate_on_oom)
        features &= ~BP_VIRTIO_BIT(F_DEFLATE_ON_OOM);
    return s->free_page_reporting ? features : features & ~BP_VIRTIO_BIT(F_REPORTING);
}

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct balloon *s = opaque;
    uint8_t *c = virtio->config(s->virtio), actual[4];

    (void)offset, (void)size;
    memcpy(actual, c + CFG_ACTUAL, sizeof(actual));
    memcpy(c, old, CFG_SIZE);
    memcpy(c + CFG_ACTUAL, actual, sizeof(actual));
    if (memcmp(actual, old + CFG_ACTUAL, sizeof(actual)) != 0) {
        s->tell_actual = true;
        bp_deferred_schedule(s->work);
    }
}

static void let_go(struct balloon *s)
{
    if (s->taking)
        virtio->drop(s->inflate, s->taking);
    if (s->stats_buffer)
        virtio->drop(s->stats, s->stats_buffer);
    s->taking = s->stats_buffer = NULL;
}

static void forget_stats(struct balloon *s)
{
    memset(s->stat, 0xff, sizeof(s->stat));
    s->updated = 0;
}

static void running(void *opaque, bool on)
{
    if (!on)
        let_go(opaque);
}

static void reset(void *opaque)
{
    struct balloon *s = opaque;

    let_go(s);
    forget_stats(s);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    let_go(opaque);
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 5, .name = "virtio-balloon", .config_size = CFG_SIZE,
    .features = BP_VIRTIO_BIT(F_STATS) | BP_VIRTIO_BIT(F_DEFLATE_ON_OOM) | BP_VIRTIO_BIT(F_REPORTING),
    .offer = offer, .config_written = config_written, .running = running, .reset = reset};
static const struct bp_virtq_info pages_info = {.size = sizeof(pages_info), .entries = 128, .handle = handle_pages,
                                                .reset = reset_queue};
static const struct bp_virtq_info deflate_info = {.size = sizeof(deflate_info), .entries = 128,
                                                  .handle = handle_deflate};
static const struct bp_virtq_info stats_info = {.size = sizeof(stats_info), .entries = 128, .handle = handle_stats,
                                                .reset = reset_queue};
static const struct bp_virtq_info reporting_info = {.size = sizeof(reporting_info), .entries = 32,
                                                    .handle = handle_pages, .flags = BP_VIRTQ_ADDRESSES};

static int is_another(struct bp_device *dev, void *opaque)
{
    return dev != opaque;
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct balloon *s = state;
    int ret;

    s->dev = bp_device_from_object(obj);
    if (bp_device_each(bp_device_machine(s->dev), BALLOON_TYPE, is_another, s->dev))
        return bp_fail(err, EBUSY, "%s: there is a balloon already", bp_object_type(obj));
    forget_stats(s);
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-balloon", bp_device_id(s->dev), 0);
    s->work = bp_deferred_new(s->main, NULL, work, s);
    s->poll = bp_timer_new(bp_device_owner(s->dev), NULL, BP_CLOCK_VIRTUAL, poll_stats, s);
    ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &pages_info, &s->inflate, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &deflate_info, &s->deflate, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &stats_info, &s->stats, err);
    if (ret == 0 && s->free_page_reporting)
        ret = virtio->add_queue(s->virtio, &reporting_info, &s->reporting, err);
    return ret;
}

static void detach(struct bp_object *obj, void *state)
{
    struct balloon *s = state;

    (void)obj;
    if (s->virtio)
        let_go(s);
    s->virtio = NULL;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT64, struct balloon, taken), BP_SAVE(TIMER, struct balloon, poll),
    BP_SAVE_ARRAY(UINT64, struct balloon, stat), BP_SAVE(UINT64, struct balloon, updated), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

static const struct bp_field props[] = {
    BP_PROP("deflate-on-oom", BOOL, struct balloon, deflate_on_oom, "off",
            "the guest may take memory back when it runs out of it"),
    BP_PROP("free-page-reporting", BOOL, struct balloon, free_page_reporting, "off",
            "pages that the guest reports as free are given to the host"),
    {.name = "guest-stats", .kind = BP_KIND_ANY, .flags = BP_FIELD_READ_ONLY | BP_FIELD_HIDDEN,
     .help = "what the guest told of its memory, and when", .get = get_stats},
    {.name = "guest-stats-polling-interval", .kind = BP_KIND_INT64, .flags = BP_FIELD_WRITE_LIVE,
     .offset = offsetof(struct balloon, interval), .def = "0", .min = 0, .max = UINT32_MAX,
     .help = "seconds between questions for statistics; 0: none", .get = get_interval, .set = set_interval},
    BP_FIELDS_END,
};

static const struct bp_level_class balloon_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = BALLOON_TYPE,
             .summary = "Virtio memory balloon", .state_size = sizeof(struct balloon), .props = props,
             .state = &table},
    .attach = attach, .detach = detach};

struct balloon *balloon_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &balloon_level);
}

static int get_stats(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                     struct bp_error *err)
{
    static const char *const names[BALLOON_STATS] = {
        "stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults", "stat-free-memory",
        "stat-total-memory", "stat-available-memory", "stat-disk-caches", "stat-htlb-pgalloc", "stat-htlb-pgfail"};
    const struct balloon *s = bp_object_level(obj, &balloon_level);
    struct bp_value *stats = bp_value_dict();

    (void)f, (void)err;
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        bp_value_set(stats, names[i], bp_value_uint(s->stat[i]));
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "stats", stats);
    bp_value_set(*ret_value, "last-update", bp_value_int(s->updated));
    return 0;
}

static int get_interval(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                        struct bp_error *err)
{
    const struct balloon *s = bp_object_level(obj, &balloon_level);

    (void)f, (void)err;
    *ret_value = bp_value_int(s->interval);
    return 0;
}

static int set_interval(struct bp_object *obj, const struct bp_field *f, struct bp_value *value, struct bp_error *err)
{
    struct balloon *s = bp_object_level(obj, &balloon_level);

    (void)f, (void)err;
    s->interval = bp_value_as_int(value);
    if (!s->poll)
        return 0;
    if (s->interval)
        bp_timer_set(s->poll, bp_timer_now(s->poll));
    else
        bp_timer_cancel(s->poll);
    return 0;
}

BP_VIRTIO_TRANSITIONAL_NAMES(balloon, "virtio-balloon", 0x00ff, "Virtio memory balloon", &balloon_level,
                             .category = "misc");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), {0}};
BP_MODULE("hw-virtio-balloon", "Virtio memory balloon", imports, {BP_PROVIDE_DEVICE, &balloon_pci},
          {BP_PROVIDE_DEVICE, &balloon_transitional}, {BP_PROVIDE_DEVICE, &balloon_modern},
          {BP_PROVIDE_DEVICE, &balloon_device}, {BP_PROVIDE_COMMAND, &balloon_command},
          {BP_PROVIDE_COMMAND, &balloon_query}, {BP_PROVIDE_HMP, &balloon_hmp}, {BP_PROVIDE_HMP, &balloon_info},
          {BP_PROVIDE_EVENT, &balloon_event});
