/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A context with a thread of its own that devices can be put into: -object iothread,id=ID. How long its
 * thread looks for work before it sleeps, how much it does in one go, and how many worker threads
 * it has are properties that may be changed while it runs.
 */
#include <errno.h>

#include <bp/host/iothread.h>

struct iothread {
    int64_t poll_max_ns, poll_grow, poll_shrink, aio_max_batch, pool_min, pool_max;
    struct bp_context *ctx; /* NULL until complete() */
};

/* Once it runs, what is set takes effect at once. */
static int apply(struct iothread *s, struct bp_error *err)
{
    if (!s->ctx)
        return 0;
    bp_context_set_polling(s->ctx, s->poll_max_ns, (unsigned)s->poll_grow, (unsigned)s->poll_shrink);
    bp_context_set_batch(s->ctx, (unsigned)s->aio_max_batch);
    return bp_context_set_workers(s->ctx, (unsigned)s->pool_min, (unsigned)s->pool_max, err);
}

static int set(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
               struct bp_error *err)
{
    struct iothread *s = bp_object_state(obj);
    int64_t *field = (int64_t *)((char *)s + f->offset), before = *field;
    int r;

    *field = bp_value_as_int(value);
    r = apply(s, err);
    if (r < 0)
        *field = before;
    return r;
}

static int get(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
               struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_int(*(int64_t *)((char *)bp_object_state(obj) + f->offset));
    return 0;
}

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct iothread *s = bp_object_state(obj);
    int r = bp_context_new(bp_object_machine(obj), bp_object_id(obj), &s->ctx, err);

    if (r == 0)
        r = apply(s, err);
    if (r < 0) {
        bp_context_free(s->ctx);
        s->ctx = NULL;
    }
    return r;
}

static void finalize(struct bp_object *obj)
{
    struct iothread *s = bp_object_state(obj);

    bp_context_free(s->ctx);
    s->ctx = NULL;
}

static bool can_delete(struct bp_object *obj)
{
    struct iothread *s = bp_object_state(obj);

    return !s->ctx || bp_context_users(s->ctx) == 0;
}

static struct bp_context *context_of(struct bp_object *obj)
{
    return ((struct iothread *)bp_object_state(obj))->ctx;
}

#define LIVE(NAME, FIELD, DEFAULT, MAX, HELP) \
    {.name = NAME, .kind = BP_KIND_INT64, .flags = BP_FIELD_WRITE_LIVE, \
     .offset = offsetof(struct iothread, FIELD), .def = DEFAULT, .help = HELP, .min = 0, .max = MAX, \
     .get = get, .set = set}
static const struct bp_field props[] = {
    LIVE("poll-max-ns", poll_max_ns, "32768", INT64_MAX,
         "how long to look for work before sleeping, in ns; 0: not at all"),
    LIVE("poll-grow", poll_grow, "0", INT32_MAX, "factor by which looking gets longer; 0: 2"),
    LIVE("poll-shrink", poll_shrink, "0", INT32_MAX,
         "divisor by which looking gets shorter; 0: not at all any more at once"),
    LIVE("aio-max-batch", aio_max_batch, "0", INT32_MAX,
         "most requests taken up, and given to the kernel, in one go; 0: all that are there"),
    LIVE("thread-pool-min", pool_min, "0", 4096, "worker threads that are kept"),
    LIVE("thread-pool-max", pool_max, "64", 4096, "most worker threads"),
    BP_FIELDS_END,
};

BP_NOTE("provides=object:iothread;summary=Thread that devices can be put into");
static const struct bp_object_class iothread_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "iothread",
             .summary = "Thread that devices can be put into",
             .state_size = sizeof(struct iothread), .props = props},
    .complete = complete, .finalize = finalize, .can_delete = can_delete,
};

static const struct bp_iothread_interface table = {.size = sizeof(struct bp_iothread_interface),
                                                   .context = context_of};
BP_INTERFACE(iothread_interface, "iothread", 1, 0, &table);

BP_MODULE("object-iothread", "I/O threads", BP_NO_IMPORTS, {BP_PROVIDE_OBJECT, &iothread_class},
          {BP_PROVIDE_INTERFACE, &iothread_interface});
