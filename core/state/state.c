/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saving by tables (state.h has the format). */
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#include "wire.h"

static void put_u8(GByteArray *out, uint8_t v)
{
    g_byte_array_append(out, &v, 1);
}

static void put_le(GByteArray *out, uint64_t v, unsigned width)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < width; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    g_byte_array_append(out, bytes, width);
}

static int save_fields(const struct bp_state_table *table, void *state, unsigned depth,
                       GByteArray *out, struct bp_error *err);

static void save_scalar(enum bp_state_kind kind, const void *at, GByteArray *out)
{
    switch (kind) {
    case BP_STATE_BOOL: put_u8(out, *(const bool *)at); break;
    case BP_STATE_UINT8: put_u8(out, *(const uint8_t *)at); break;
    case BP_STATE_UINT16: put_le(out, *(const uint16_t *)at, 2); break;
    case BP_STATE_UINT32: put_le(out, *(const uint32_t *)at, 4); break;
    case BP_STATE_UINT64: put_le(out, *(const uint64_t *)at, 8); break;
    case BP_STATE_TIMER: {
        const struct bp_timer *timer = *(struct bp_timer *const *)at;
        put_le(out, (uint64_t)(timer ? bp_timer_deadline(timer) : -1), 8);
        break;
    }
    default: break;
    }
}

static int save_list(const struct bp_state_field *field, void *state, unsigned depth,
                     uint32_t count, GByteArray *out, struct bp_error *err)
{
    void *element = NULL;
    int ret = 0;
    for (uint32_t i = 0; !ret && i < count; i++) {
        element = field->list->next(state, element);
        ret = save_fields(field->table, element, depth + 1, out, err);
    }
    return ret;
}

/* How many elements there are now; -EFBIG: more than the table allows. */
static int count_elements(const struct bp_state_field *field, void *state, uint32_t *ret_count,
                          struct bp_error *err)
{
    uint32_t count = field->count;
    if (field->kind == BP_STATE_SECTION) {
        count = 1;
    } else if (field->kind == BP_STATE_VECTOR) {
        count = *bpc_state_number(field, state);
    } else if (field->kind == BP_STATE_LIST) {
        count = 0;
        for (void *e = field->list->next(state, NULL); e && count <= field->count;
             e = field->list->next(state, e))
            count++;
    }
    if (count > field->count && field->kind != BP_STATE_SECTION)
        return bp_fail(err, EFBIG, "State field '%s' has %u elements, at most %u are possible",
                       field->name, count, field->count);
    *ret_count = count;
    return 0;
}

static int save_payload(const struct bp_state_field *field, void *state, unsigned depth,
                        uint32_t count, GByteArray *out, struct bp_error *err)
{
    char *at = (char *)state + field->offset;
    if (field->kind == BP_STATE_BUFFER) {
        g_byte_array_append(out, (const guint8 *)at, field->count);
        return 0;
    }
    if (field->kind == BP_STATE_BYTES) {
        const struct bp_state_bytes *bytes = (const void *)at;
        if (bytes->size > field->count)
            return bp_fail(err, EFBIG, "State field '%s' has %u bytes, at most %u are possible",
                           field->name, bytes->size, field->count);
        if (bytes->size)
            g_byte_array_append(out, bytes->data, bytes->size);
        return 0;
    }
    if (field->kind == BP_STATE_SECTION)
        return save_fields(field->table, state, depth + 1, out, err);
    if (field->kind == BP_STATE_MEMORY) {
        g_byte_array_append(out, *(const guint8 **)at, *bpc_state_number(field, state));
        return 0;
    }
    if (field->kind == BP_STATE_LIST)
        return save_list(field, state, depth, count, out, err);
    if (field->kind == BP_STATE_VECTOR)
        at = *(char **)at;
    for (uint32_t i = 0; i < count; i++, at += field->stride) {
        if (!field->table) {
            save_scalar(field->kind, at, out);
            continue;
        }
        int ret = save_fields(field->table, at, depth + 1, out, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int save_field(const struct bp_state_field *field, void *state, unsigned depth,
                      GByteArray *out, struct bp_error *err)
{
    size_t name_len = strlen(field->name);
    uint32_t count = 0;
    if (!name_len || name_len > 255 || (unsigned)field->kind > BP_STATE_LIST)
        return bp_fail(err, EINVAL, "State field '%.255s' cannot be written", field->name);
    int ret = count_elements(field, state, &count, err);
    if (ret < 0)
        return ret;
    put_u8(out, (uint8_t)name_len);
    g_byte_array_append(out, (const guint8 *)field->name, (guint)name_len);
    put_u8(out, (uint8_t)field->kind);
    put_le(out, count, 4);
    guint length_at = out->len;
    put_le(out, 0, 4);
    ret = save_payload(field, state, depth, count, out, err);
    if (ret < 0)
        return ret;
    uint32_t length = out->len - length_at - 4;
    for (unsigned i = 0; i < 4; i++)
        out->data[length_at + i] = (guint8)(length >> (8 * i));
    return 0;
}

void bpc_state_free_bytes(const struct bp_state_table *table, void *state)
{
    for (const struct bp_state_field *f = table->fields; f->kind != BP_STATE_END; f++) {
        struct bp_state_bytes *bytes = (void *)((char *)state + f->offset);
        if (f->kind != BP_STATE_BYTES)
            continue;
        free(bytes->data);
        *bytes = (struct bp_state_bytes){0};
    }
}

static int save_fields(const struct bp_state_table *table, void *state, unsigned depth,
                       GByteArray *out, struct bp_error *err)
{
    int ret = 0;
    if (depth > BPC_STATE_DEPTH)
        return bp_fail(err, ELOOP, "State tables are nested deeper than %u", BPC_STATE_DEPTH);
    if (table->before_save)
        ret = table->before_save(state, err);
    put_le(out, table->version, 4);
    for (const struct bp_state_field *f = table->fields; !ret && f->kind != BP_STATE_END; f++) {
        if (f->since > table->version)
            continue;
        if (f->kind == BP_STATE_SECTION && f->needed && !f->needed(state))
            continue;
        ret = save_field(f, state, depth, out, err);
    }
    bpc_state_free_bytes(table, state);
    put_u8(out, 0);
    return ret;
}

int bpc_state_save_table(const struct bp_state_table *table, void *state, GByteArray *out,
                         struct bp_error *err)
{
    guint before = out->len;
    int ret = save_fields(table, state, 0, out, err);
    if (ret < 0)
        g_byte_array_set_size(out, before);
    return ret;
}
