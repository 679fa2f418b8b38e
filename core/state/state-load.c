/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading state by tables (state.h has the format). The bytes may come from anybody: a field is
 * taken only where the table wants it, in the table's order, with the table's kind, count and
 * length, and nothing is written beyond what the table names.
 */
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#include "wire.h"

struct reader {
    const uint8_t *p, *end;
    struct bp_error *err;
};

static int cut_off(struct reader *r)
{
    return bp_fail(r->err, EINVAL, "State is cut off");
}

static int get_le(struct reader *r, unsigned width, uint64_t *ret_value)
{
    uint64_t value = 0;
    if ((size_t)(r->end - r->p) < width)
        return cut_off(r);
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)r->p[i] << (8 * i);
    r->p += width;
    *ret_value = value;
    return 0;
}

struct header {
    const uint8_t *name;
    size_t name_len;
    uint64_t kind, count, length;
};

/* 1: a field follows; 0: the table's end. */
static int get_header(struct reader *r, struct header *h)
{
    uint64_t len = 0;
    int ret = get_le(r, 1, &len);
    if (ret < 0 || !len)
        return ret;
    if ((size_t)(r->end - r->p) < len)
        return cut_off(r);
    h->name = r->p;
    h->name_len = (size_t)len;
    r->p += len;
    ret = get_le(r, 1, &h->kind);
    if (!ret)
        ret = get_le(r, 4, &h->count);
    if (!ret)
        ret = get_le(r, 4, &h->length);
    if (ret < 0)
        return ret;
    return (uint64_t)(r->end - r->p) < h->length ? cut_off(r) : 1;
}

static int load_fields(const struct bp_state_table *table, void *state, unsigned depth,
                       struct reader *r);

static int load_timer(struct reader *r, struct bp_timer *timer)
{
    uint64_t raw = 0;
    int ret = get_le(r, 8, &raw);
    if (ret < 0)
        return ret;
    int64_t deadline = (int64_t)raw;
    if (deadline < -1)
        return bp_fail(r->err, EINVAL, "a timer's deadline is before time began");
    if (!timer && deadline >= 0)
        return bp_fail(r->err, EINVAL, "a timer is set that this object does not have");
    if (timer && deadline < 0)
        bp_timer_cancel(timer);
    else if (timer)
        bp_timer_set(timer, deadline);
    return 0;
}

static int load_scalar(struct reader *r, const struct bp_state_field *field, void *at)
{
    static const uint8_t widths[] = {[BP_STATE_BOOL] = 1,
                                     [BP_STATE_UINT8] = 1,
                                     [BP_STATE_UINT16] = 2,
                                     [BP_STATE_UINT32] = 4,
                                     [BP_STATE_UINT64] = 8};
    enum bp_state_kind kind = field->kind;
    uint64_t value = 0;
    if (kind == BP_STATE_TIMER)
        return load_timer(r, *(struct bp_timer **)at);
    int ret = get_le(r, widths[kind], &value);
    if (ret < 0)
        return ret;
    if ((field->min || field->max) && (value < field->min || value > field->max))
        return bp_fail(r->err, ERANGE, "%llu is not in %llu..%llu", (unsigned long long)value,
                       (unsigned long long)field->min, (unsigned long long)field->max);
    switch (kind) {
    case BP_STATE_BOOL:
        if (value > 1)
            return bp_fail(r->err, EINVAL, "a flag is neither 0 nor 1");
        *(bool *)at = value != 0;
        break;
    case BP_STATE_UINT8: *(uint8_t *)at = (uint8_t)value; break;
    case BP_STATE_UINT16: *(uint16_t *)at = (uint16_t)value; break;
    case BP_STATE_UINT32: *(uint32_t *)at = (uint32_t)value; break;
    default: *(uint64_t *)at = value; break;
    }
    return 0;
}

/* All that is left of the field. */
static int load_bytes(const struct bp_state_field *field, struct bp_state_bytes *bytes,
                      struct reader *r)
{
    size_t size = (size_t)(r->end - r->p);
    if (size > field->count)
        return bp_fail(r->err, EINVAL, "%zu bytes, at most %u are possible", size, field->count);
    free(bytes->data);
    *bytes = (struct bp_state_bytes){0};
    if (size) {
        bytes->data = malloc(size);
        if (!bytes->data)
            return bp_fail(r->err, ENOMEM, "no memory for %zu bytes", size);
        memcpy(bytes->data, r->p, size);
        bytes->size = (uint32_t)size;
    }
    r->p = r->end;
    return 0;
}

/* A table of no fields takes five bytes: what claims more elements than fit is refused before memory
 * is asked for. */
static int check_count(const struct reader *r, uint32_t count)
{
    return count > (size_t)(r->end - r->p) / 5 ? bp_fail(r->err, EINVAL, "its elements are cut off")
                                               : 0;
}

void bpc_state_free_vectors(const struct bp_state_table *table, void *state)
{
    for (const struct bp_state_field *f = table->fields; f->kind != BP_STATE_END; f++) {
        char *at = (char *)state + f->offset;
        uint32_t count = f->kind == BP_STATE_VECTOR   ? *bpc_state_number(f, state)
                         : f->kind == BP_STATE_STRUCT ? f->count
                                                      : 0;
        char *elements = f->kind == BP_STATE_VECTOR ? *(char **)at : at;
        if (f->kind == BP_STATE_SECTION)
            bpc_state_free_vectors(f->table, state);
        for (uint32_t i = 0; i < count; i++)
            bpc_state_free_vectors(f->table, elements + (size_t)i * f->stride);
        if (f->kind != BP_STATE_VECTOR)
            continue;
        free(elements);
        *(char **)at = NULL;
        *bpc_state_number(f, state) = 0;
    }
}

static int load_vector(const struct bp_state_field *field, void *state, unsigned depth,
                       uint32_t count, struct reader *r)
{
    const struct bp_state_field only[] = {*field, BP_SAVE_END};
    const struct bp_state_table alone = {.fields = only};
    int ret = check_count(r, count);
    if (ret < 0)
        return ret;
    bpc_state_free_vectors(&alone, state); /* what was there before */
    if (!count)
        return 0;
    char *elements = calloc(count, field->stride);
    if (!elements)
        return bp_fail(r->err, ENOMEM, "no memory for %u elements", count);
    *(char **)((char *)state + field->offset) = elements;
    *bpc_state_number(field, state) = count;
    for (uint32_t i = 0; !ret && i < count; i++)
        ret = load_fields(field->table, elements + (size_t)i * field->stride, depth + 1, r);
    return ret;
}

static int load_list(const struct bp_state_field *field, void *state, unsigned depth,
                     uint32_t count, struct reader *r)
{
    int ret = check_count(r, count);
    if (ret < 0)
        return ret;
    field->list->clear(state);
    for (uint32_t i = 0; !ret && i < count; i++) {
        void *element = field->list->append(state, r->err);
        ret = element ? load_fields(field->table, element, depth + 1, r) : -EINVAL;
    }
    return ret;
}

static int load_memory(const struct bp_state_field *field, void *state, struct reader *r)
{
    uint32_t size = *bpc_state_number(field, state);
    if ((size_t)(r->end - r->p) != size)
        return bp_fail(r->err, EINVAL, "%zu bytes, here there are %u", (size_t)(r->end - r->p),
                       size);
    if (size)
        memcpy(*(void **)((char *)state + field->offset), r->p, size);
    r->p = r->end;
    return 0;
}

static int load_payload(const struct bp_state_field *field, void *state, unsigned depth,
                        uint32_t count, struct reader *r)
{
    char *at = (char *)state + field->offset;
    if (field->kind == BP_STATE_BUFFER) {
        if ((size_t)(r->end - r->p) < field->count)
            return cut_off(r);
        memcpy(at, r->p, field->count);
        r->p += field->count;
        return 0;
    }
    if (field->kind == BP_STATE_BYTES)
        return load_bytes(field, (void *)at, r);
    if (field->kind == BP_STATE_SECTION)
        return load_fields(field->table, state, depth + 1, r);
    if (field->kind == BP_STATE_MEMORY)
        return load_memory(field, state, r);
    if (field->kind == BP_STATE_VECTOR)
        return load_vector(field, state, depth, count, r);
    if (field->kind == BP_STATE_LIST)
        return load_list(field, state, depth, count, r);
    for (uint32_t i = 0; i < field->count; i++, at += field->stride) {
        int ret = field->kind == BP_STATE_STRUCT ? load_fields(field->table, at, depth + 1, r)
                                                 : load_scalar(r, field, at);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static bool is_field(const struct bp_state_field *field, const struct header *h)
{
    return strlen(field->name) == h->name_len && !memcmp(field->name, h->name, h->name_len);
}

static int load_field(const struct bp_state_field *field, void *state, unsigned depth,
                      const struct header *h, struct reader *r)
{
    uint32_t count = field->kind == BP_STATE_SECTION ? 1 : field->count;
    if (h->kind != (uint64_t)field->kind)
        return bp_fail(r->err, EINVAL, "State field '%s' is of another kind", field->name);
    bool varies = field->kind == BP_STATE_VECTOR || field->kind == BP_STATE_LIST;
    if (varies ? h->count > count : h->count != count)
        return bp_fail(r->err, EINVAL,
                       varies ? "State field '%s' has %u elements, at most %u are possible"
                              : "State field '%s' has %u elements, expected %u",
                       field->name, (unsigned)h->count, count);
    struct reader inner = {r->p, r->p + h->length, r->err};
    int ret = load_payload(field, state, depth, (uint32_t)h->count, &inner);
    if (!ret && inner.p != inner.end)
        ret = bp_fail(r->err, EINVAL, "%zu bytes too many", (size_t)(inner.end - inner.p));
    if (ret < 0) {
        bp_error_prefix(r->err, "State field '%s'", field->name);
        return ret;
    }
    r->p = inner.end;
    return 0;
}

static int load_version(const struct bp_state_table *table, struct reader *r, uint32_t *ret_version)
{
    uint64_t version = 0;
    int ret = get_le(r, 4, &version);
    if (ret < 0)
        return ret;
    if (version < table->oldest || version > table->version)
        return bp_fail(r->err, EINVAL, "State is of version %u; accepted are %u to %u",
                       (unsigned)version, table->oldest, table->version);
    *ret_version = (uint32_t)version;
    return 0;
}

static int load_table(const struct bp_state_table *table, void *state, unsigned depth,
                      struct reader *r)
{
    uint32_t version = 0;
    struct header h = {0};
    if (depth > BPC_STATE_DEPTH)
        return bp_fail(r->err, ELOOP, "State is nested deeper than %u", BPC_STATE_DEPTH);
    int ret = load_version(table, r, &version);
    if (ret < 0)
        return ret;
    int more = get_header(r, &h);
    for (const struct bp_state_field *f = table->fields; f->kind != BP_STATE_END; f++) {
        if (more < 0)
            return more;
        if (f->since > version)
            continue;
        if (!more || !is_field(f, &h)) {
            if (f->kind == BP_STATE_SECTION) /* was not needed there */
                continue;
            return bp_fail(r->err, EINVAL, "State field '%s' is missing", f->name);
        }
        ret = load_field(f, state, depth, &h, r);
        if (ret < 0)
            return ret;
        more = get_header(r, &h);
    }
    if (more < 0)
        return more;
    if (more)
        return bp_fail(r->err, EINVAL, "State field '%.*s' is unknown", (int)h.name_len,
                       (const char *)h.name);
    return table->after_load ? table->after_load(state, version, r->err) : 0;
}

static int load_fields(const struct bp_state_table *table, void *state, unsigned depth,
                       struct reader *r)
{
    int ret = load_table(table, state, depth, r);
    bpc_state_free_bytes(table, state);
    return ret;
}

int bpc_state_load_table(const struct bp_state_table *table, void *state, const uint8_t *buf,
                         size_t len, struct bp_error *err)
{
    /* A class may refuse in after_load() without a message of its own. */
    struct bp_error inner = {0};
    struct reader r = {buf, buf + len, &inner};
    int ret = load_fields(table, state, 0, &r);
    if (!ret && r.p != r.end)
        ret = bp_fail(&inner, EINVAL, "%zu bytes follow the state", (size_t)(r.end - r.p));
    if (ret < 0 && !inner.code)
        bp_fail(&inner, -ret, "State is not acceptable");
    if (ret < 0 && err)
        *err = inner;
    return ret;
}
