/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device type on the fake host (check.h): attach, reset, random accesses, saved state, properties
 * out of range and at their limits, detach, another beside it, and what it leaves behind.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <bp/clock.h>

#include "check.h"
#include "exercise.h"
#include "memory.h"
#include "schema.h"

#define A_WHILE 10000000000ll /* ns */

/* ---- saved state ---- */

static size_t size_of_state_kind(enum bp_state_kind kind)
{
    switch (kind) {
    case BP_STATE_BOOL:
    case BP_STATE_UINT8: return 1;
    case BP_STATE_UINT16: return 2;
    case BP_STATE_UINT32: return 4;
    case BP_STATE_UINT64:
    case BP_STATE_TIMER: return 8;
    case BP_STATE_BUFFER: return 1;
    case BP_STATE_MEMORY:
    case BP_STATE_VECTOR: return sizeof(void *);
    case BP_STATE_BYTES: return sizeof(struct bp_state_bytes);
    default: return 0; /* the size of what a table is over is not known */
    }
}

/* Where in the struct the field ends. `count` of what lies elsewhere is a limit, not a size. */
static size_t end_of_field(const struct bp_state_field *f)
{
    bool elsewhere = f->kind == BP_STATE_MEMORY || f->kind == BP_STATE_VECTOR ||
                     f->kind == BP_STATE_BYTES || f->kind == BP_STATE_LIST;
    size_t end = f->offset + size_of_state_kind(f->kind);

    if (f->kind == BP_STATE_STRUCT)
        end += f->stride;
    if (f->count > 1 && !elsewhere)
        end += (size_t)(f->count - 1) * MAX(f->stride, 1);
    if (f->kind == BP_STATE_MEMORY || f->kind == BP_STATE_VECTOR)
        end = MAX(end, f->number + sizeof(uint32_t));
    return end;
}

/* The table may name bytes that are not the device's. */
static bool check_state_table(const struct bp_device_class *class)
{
    const struct bp_state_table *table = class->type.state;
    bool good = true;

    if (!table || !table->fields)
        return true;
    if (table->oldest > table->version) {
        check_bad("saves version %u and reads %u and later", table->version, table->oldest);
        good = false;
    }
    for (const struct bp_state_field *f = table->fields; f->kind != BP_STATE_END; f++) {
        size_t end = end_of_field(f);

        if (f->kind != BP_STATE_SECTION && end > class->type.state_size) {
            check_bad("the saved field %s ends at byte %zu of a state of %zu bytes",
                      f->name ? f->name : "(without a name)", end, class->type.state_size);
            good = false;
        }
    }
    return good;
}

/* ---- properties ---- */

/* Does an unattached device take this text? */
static bool takes(struct bp_test_host *host, const char *type, const char *property, const char *text)
{
    struct bp_error err = {0};
    struct bp_device *dev;
    int rc;

    if (bp_device_new(bp_test_machine(host), type, NULL, &dev, &err) < 0)
        return false;
    check_phase("while %s was set to %s", property, text);
    rc = bp_device_set(dev, property, text, &err);
    bp_device_destroy(dev);
    return rc == 0;
}

static unsigned refuse(struct bp_test_host *host, const char *type, const char *property,
                       const char *text)
{
    if (!takes(host, type, property, text))
        return 0;
    check_bad("property %s takes %s, which is out of its range", property, text);
    return 1;
}

static void attach_with(struct bp_test_host *host, const char *type, const char *property,
                        const char *text)
{
    char *props = g_strdup_printf("%s=%s", property, text);
    struct bp_device *dev;

    check_phase("while it was attached with %s", props);
    if (bp_test_device(host, type, props, &dev, NULL) == 0) {
        bp_test_reset(host);
        bp_device_destroy(dev);
    }
    g_free(props);
}

static unsigned check_integer(struct bp_test_host *host, const char *type,
                              const struct bp_field *f)
{
    bool is_signed = bpc_schema_is_signed(f->kind);
    unsigned bad = 0;
    char text[32];
    uint64_t max;
    int64_t min;

    bpc_schema_range(f, &min, &max);
    if (max < (is_signed ? (uint64_t)INT64_MAX : UINT64_MAX)) {
        snprintf(text, sizeof(text), "%" PRIu64, max + 1);
        bad += refuse(host, type, f->name, text);
    }
    if (min > INT64_MIN) {
        snprintf(text, sizeof(text), "%" PRId64, min - 1);
        bad += refuse(host, type, f->name, text);
    }
    if (is_signed)
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)max);
    else
        snprintf(text, sizeof(text), "%" PRIu64, max);
    attach_with(host, type, f->name, text);
    snprintf(text, sizeof(text), "%" PRId64, min);
    attach_with(host, type, f->name, text);
    return bad;
}

static void check_properties(struct bp_test_host *host, const struct bp_device_class *class)
{
    const char *type = class->type.name;
    unsigned count = 0, bad = 0;

    for (const struct bp_field *f = class->type.props; f && f->name; f++) {
        if (f->flags & BP_FIELD_READ_ONLY)
            continue;
        count++;
        if (bpc_schema_is_integer(f->kind))
            bad += check_integer(host, type, f);
        if (bpc_schema_is_integer(f->kind) || f->kind == BP_KIND_BOOL || f->kind == BP_KIND_ENUM ||
            f->kind == BP_KIND_ON_OFF_AUTO)
            bad += refuse(host, type, f->name, "?!");
    }
    if (!bad)
        check_ok("its %u properties refuse what is out of range", count);
}

/* ---- what stays behind ---- */

struct remains {
    unsigned regions;
    bool timer; /* armed */
};

static struct remains count_remains(void)
{
    struct remains r = {0, bp_virtual_next_deadline(NULL) >= 0};

    for (const struct bp_region *region = bpc_region_all(); region; region = region->all_next)
        r.regions++;
    return r;
}

/* Attaches one, lets it run, takes it away, and tells what is there afterwards. */
static bool come_and_go(const char *type, struct remains *ret_remains)
{
    struct bp_test_host *host;
    struct bp_device *dev;
    struct bp_error err = {0};

    check_phase("while it was attached again");
    if (bp_test_host_new(NULL, &host, &err) < 0 ||
        exercise_make_device(host, type, &dev, &err) < 0) {
        check_bad("cannot be attached again: %s", err.message);
        return false;
    }
    bp_test_reset(host);
    bp_test_step(host, 1000000);
    check_phase("while it was detached again");
    bp_device_destroy(dev);
    bp_test_host_free(host);
    *ret_remains = count_remains();
    return true;
}

static void check_remains(const char *type)
{
    struct remains first, second;
    struct bp_test_host *host;
    bool good;

    /* What comes once with the first device of a kind is nobody's leak. */
    if (!come_and_go(type, &first) || !come_and_go(type, &second))
        return;
    good = second.regions <= first.regions && !second.timer;
    if (second.regions > first.regions)
        check_bad("leaves %u memory regions behind when it is detached (owner NULL?)",
                  second.regions - first.regions);
    if (second.timer)
        check_bad("leaves a timer behind that will run after it is detached (owner NULL?)");
    if (!good || bp_test_host_new(NULL, &host, NULL) < 0)
        return;
    check_phase("some time after it was detached");
    bp_test_step(host, A_WHILE);
    check_ok("comes and goes, and leaves nothing behind");
}

/* ---- the whole ---- */

static void check_second(struct bp_test_host *host, const char *type)
{
    struct bp_device *second;

    check_phase("while another was attached beside it");
    if (bp_test_device(host, type, NULL, &second, NULL) < 0)
        return; /* it may want other ports */
    bp_test_reset(host);
    bp_test_step(host, 1000000);
    check_phase("while the other was detached");
    bp_device_destroy(second);
}

static void exercise(const struct check *check, struct bp_test_host *host, struct bp_device *dev,
                     const char *type)
{
    GRand *rand = g_rand_new_with_seed(g_str_hash(type) ^ (guint32)check->seed);
    struct bp_error err = {0};
    struct exercise x;

    check_phase("while it was reset");
    bp_test_reset(host);
    exercise_begin(&x, host, dev, rand);
    check_phase("during random accesses (--seed %lu)", check->seed);
    exercise_accesses(&x, (unsigned)check->accesses);
    check_phase("while its state was saved and loaded (--seed %lu)", check->seed);
    if (exercise_saved_state(&x, &err) < 0)
        check_bad("%s", err.message);
    else
        check_ok("attached, reset, %lu random accesses on %u ranges, saved and loaded",
                 check->accesses, x.count);
    check_phase("while it was saved, used, reset and loaded (--seed %lu)", check->seed);
    if (exercise_forgotten_state(&x, &err) == -EIO)
        check_bad("%s", err.message);
    g_rand_free(rand);
}

/* Is there a property, empty by default, that only its user can fill? A chardev it was given. */
static bool may_need_more(const struct bp_device_class *class)
{
    for (const struct bp_field *f = class->type.props; f && f->name; f++) {
        bool empty = f->kind == BP_KIND_LINK ? strcmp(f->name, "chardev") != 0
                                             : f->kind == BP_KIND_STRING || f->kind > BP_KIND_LINK;

        if (empty && !f->def && !(f->flags & BP_FIELD_READ_ONLY))
            return true;
    }
    return class->type.parent != NULL; /* whose properties are not here */
}

void check_device(const struct check *check, const struct description *thing)
{
    struct bp_test_host *host = check_host(check);
    const struct bp_device_class *class;
    struct bp_error err = {0};
    struct bp_device *dev;
    int ret;

    if (!host)
        return;
    class = bpc_find(BP_PROVIDE_DEVICE, thing->name);
    if (!check_state_table(class))
        return;
    check_phase("while it was attached");
    ret = exercise_make_device(host, thing->name, &dev, &err);
    if (ret < 0) {
        if (class->type.flags & BP_TYPE_NOT_USER_CREATABLE)
            check_skipped("cannot stand alone: %s", err.message);
        else if (ret == -ENOTSUP)
            check_warning("not tried: it is not for this tool's machine: %s", err.message);
        else if (!may_need_more(class))
            check_bad("can never be attached: %s", err.message);
        else
            check_warning("not tried: it cannot be attached with defaults alone: %s", err.message);
        return;
    }
    exercise(check, host, dev, thing->name);
    check_second(host, thing->name);
    check_phase("while it was detached");
    bp_device_destroy(dev);
    if (!(class->type.flags & BP_TYPE_NOT_USER_CREATABLE))
        check_properties(host, class);
    check_phase("when the host went away");
    bp_test_host_free(host);
    check_remains(thing->name);
}
