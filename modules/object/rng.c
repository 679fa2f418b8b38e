// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sources of random bytes: the host's generator (getrandom), a file or device of the host, and a daemon that
 * speaks the Entropy Gathering Daemon's protocol over a character device (command 2: a byte with the
 * number of bytes that are wanted, 1..255, which then come).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/host/chardev.h>
#include <bp/host/rng.h>
#include <bp/level.h>
#include <bp/loop.h>
#include <bp/random.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

#define EGD_BLOCKING 2u
#define EGD_MOST 255u

enum rng_kind { RNG_BUILTIN, RNG_FILE, RNG_EGD };

/* The level that all of them have. */
struct rng {
    enum rng_kind kind;
    struct bp_rng_request *first, **last; /* not served yet; of a file and a daemon */
    int fd;
    struct bp_watch *watch;
    struct bp_chardev *chr;
    uint64_t owed;  /* bytes that the daemon still sends for what nobody wants any more */
};

static const struct bp_level_class rng_level;

static struct rng *rng_of(struct bp_object *obj)
{
    return bp_object_level(obj, &rng_level);
}

static int level_init(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct rng *s = state;

    (void)obj, (void)err;
    s->fd = -1;
    s->last = &s->first;
    return 0;
}

BP_NOTE("provides=abstract:rng-backend;summary=Source of random bytes");
static const struct bp_level_class rng_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = BP_RNG_TYPE,
             .summary = "Source of random bytes", .state_size = sizeof(struct rng)},
    .init = level_init};

static struct bp_rng_request *take_first(struct rng *s)
{
    struct bp_rng_request *r = s->first;

    s->first = r->next;
    if (!s->first)
        s->last = &s->first;
    r->next = NULL;
    return r;
}

static void append(struct rng *s, struct bp_rng_request *r)
{
    r->have = 0;
    r->next = NULL;
    *s->last = r;
    s->last = &r->next;
}

static void fail_all(struct rng *s, int ret)
{
    while (s->first) {
        struct bp_rng_request *r = take_first(s);

        r->done(r, ret);
    }
}

/* ---- the generator for guests ---- */
static void fill(struct bp_rng_request *r)
{
    bp_guest_random(r->buf, r->bytes);
    r->done(r, (int)r->bytes);
}

static int builtin_complete(struct bp_object *obj, struct bp_error *err)
{
    (void)err;
    rng_of(obj)->kind = RNG_BUILTIN;
    return 0;
}

/* ---- a file ---- */
struct rng_file {
    char *filename;
};

static void readable(void *opaque, unsigned events)
{
    struct rng *s = opaque;
    struct bp_rng_request *r = s->first;
    ssize_t n;
    int ret;

    (void)events;
    if (!r) {
        bp_watch_set(s->watch, 0);
        return;
    }
    n = read(s->fd, r->buf, r->bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ret = n > 0 ? (int)n : n < 0 ? -errno : -ENODATA;
    take_first(s)->done(r, ret);
    if (!s->first)
        bp_watch_set(s->watch, 0);
}

static int file_complete(struct bp_object *obj, struct bp_error *err)
{
    const struct rng_file *f = bp_object_state(obj);
    struct rng *s = rng_of(obj);
    struct stat st;

    s->kind = RNG_FILE;
    if (!f->filename || !*f->filename)
        return bp_fail(err, EINVAL, "rng-random: filename= names no file");
    s->fd = open(f->filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0)
        return bp_fail(err, errno, "rng-random: filename=%s: %s", f->filename, strerror(errno));
    if (fstat(s->fd, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
        close(s->fd);
        s->fd = -1;
        return bp_fail(err, EINVAL, "rng-random: filename=%s is no device, pipe or socket: what it gives would "
                       "come to an end", f->filename);
    }
    s->watch = bp_watch_new(bp_object_owner(obj), NULL, s->fd, 0, readable, s);
    return 0;
}

static void file_finalize(struct bp_object *obj)
{
    struct rng *s = rng_of(obj);

    fail_all(s, -ENODEV);
    bp_watch_free(s->watch);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* ---- a daemon ---- */
struct rng_egd {
    struct bp_object *chardev;
};

static void ask(struct rng *s, const struct bp_rng_request *r)
{
    const uint8_t command[2] = {EGD_BLOCKING, (uint8_t)(r->bytes > EGD_MOST ? EGD_MOST : r->bytes)};

    if (chardev->write(s->chr, command, sizeof(command), s) != sizeof(command))
        fail_all(s, -EPIPE);
}

static size_t egd_can_read(void *opaque)
{
    struct rng *s = opaque;
    const struct bp_rng_request *r = s->first;
    uint64_t wanted = s->owed;

    if (r)
        wanted += (r->bytes > EGD_MOST ? EGD_MOST : r->bytes) - r->have;
    return wanted > 4096 ? 4096 : (size_t)wanted;
}

static void egd_receive(void *opaque, const uint8_t *buf, size_t len)
{
    struct rng *s = opaque;
    struct bp_rng_request *r;
    uint32_t wanted;

    if (s->owed) {
        size_t n = len < s->owed ? len : (size_t)s->owed;

        s->owed -= n;
        buf += n;
        len -= n;
    }
    r = s->first;
    if (!r || len == 0)
        return;
    wanted = r->bytes > EGD_MOST ? EGD_MOST : r->bytes;
    if (len > wanted - r->have)
        len = wanted - r->have;
    memcpy(r->buf + r->have, buf, len);
    r->have += (uint32_t)len;
    if (r->have < wanted)
        return;
    take_first(s);
    if (s->first)
        ask(s, s->first);
    r->done(r, (int)r->have);
}

static void egd_event(void *opaque, enum bp_chardev_event event)
{
    struct rng *s = opaque;

    if (event == BP_CHARDEV_CLOSED)
        s->owed = 0;
    if (s->first)
        s->first->have = 0;
    if (event == BP_CHARDEV_OPENED && s->first)
        ask(s, s->first); /* the daemon is back: it knows nothing of what was asked */
}

static const struct bp_chardev_handlers egd_handlers = {
    .size = sizeof(egd_handlers), .can_read = egd_can_read, .read = egd_receive, .event = egd_event};

static int egd_complete(struct bp_object *obj, struct bp_error *err)
{
    struct rng_egd *e = bp_object_state(obj);
    struct rng *s = rng_of(obj);
    struct bp_chardev *chr;
    int ret;

    s->kind = RNG_EGD;
    if (!e->chardev)
        return bp_fail(err, EINVAL, "rng-egd needs a character device with the daemon: chardev=ID");
    chr = chardev->from_object(e->chardev);
    if (!chr)
        return bp_fail(err, EINVAL, "rng-egd: '%s' is not a character device", bp_object_id(e->chardev));
    ret = chardev->connect(chr, &egd_handlers, s, err);
    if (ret == 0)
        s->chr = chr;
    return ret;
}

static void egd_finalize(struct bp_object *obj)
{
    struct rng *s = rng_of(obj);

    fail_all(s, -ENODEV);
    if (s->chr)
        chardev->disconnect(s->chr, s);
    s->chr = NULL;
}

/* ---- the interface ---- */
static void request(struct bp_object *backend, struct bp_rng_request *r)
{
    struct rng *s = backend ? rng_of(backend) : NULL;
    bool first;

    if (!s || s->kind == RNG_BUILTIN) {
        fill(r);
        return;
    }
    first = !s->first;
    append(s, r);
    if (s->kind == RNG_FILE)
        bp_watch_set(s->watch, BP_WATCH_IN);
    else if (first)
        ask(s, r);
}

static void cancel(struct bp_object *backend, struct bp_rng_request *r)
{
    struct rng *s = backend ? rng_of(backend) : NULL;
    struct bp_rng_request **link = s ? &s->first : NULL;

    while (link && *link && *link != r)
        link = &(*link)->next;
    if (!link || !*link)
        return;
    if (s->kind == RNG_EGD && link == &s->first)
        s->owed += (r->bytes > EGD_MOST ? EGD_MOST : r->bytes) - r->have;
    *link = r->next;
    if (!r->next)
        s->last = link;
    if (s->kind == RNG_EGD && link == &s->first && s->first)
        ask(s, s->first);
}

static const struct bp_rng_interface rng_table = {.size = sizeof(struct bp_rng_interface), .request = request,
                                                  .cancel = cancel};
BP_INTERFACE(rng_interface, "rng", 1, 0, &rng_table);

/* ---- classes ---- */
struct rng_builtin {
    char none;
};
BP_NOTE("provides=object:rng-builtin;summary=Random bytes of the host's generator");
static const struct bp_object_class builtin_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "rng-builtin", .parent = BP_RNG_TYPE,
             .summary = "Random bytes of the host's generator", .state_size = sizeof(struct rng_builtin)},
    .complete = builtin_complete};

static const struct bp_field file_props[] = {
    BP_PROP("filename", STRING, struct rng_file, filename, "/dev/urandom", "device, pipe or socket that gives them"),
    BP_FIELDS_END};
BP_NOTE("provides=object:rng-random;summary=Random bytes of a file of the host");
static const struct bp_object_class file_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "rng-random", .parent = BP_RNG_TYPE,
             .summary = "Random bytes of a file of the host", .state_size = sizeof(struct rng_file),
             .props = file_props},
    .complete = file_complete, .finalize = file_finalize};

static const struct bp_field egd_props[] = {
    BP_PROP_LINK("chardev", "chardev", struct rng_egd, chardev, "where the daemon is"), BP_FIELDS_END};
BP_NOTE("provides=object:rng-egd;summary=Random bytes of an entropy gathering daemon");
static const struct bp_object_class egd_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "rng-egd", .parent = BP_RNG_TYPE,
             .summary = "Random bytes of an entropy gathering daemon", .state_size = sizeof(struct rng_egd),
             .props = egd_props},
    .complete = egd_complete, .finalize = egd_finalize};

static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("object-rng", "Sources of random bytes", imports, {BP_PROVIDE_ABSTRACT, &rng_level},
          {BP_PROVIDE_OBJECT, &builtin_class}, {BP_PROVIDE_OBJECT, &file_class},
          {BP_PROVIDE_OBJECT, &egd_class}, {BP_PROVIDE_INTERFACE, &rng_interface});
