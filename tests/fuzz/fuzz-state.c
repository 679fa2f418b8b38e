/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: the loader of saved state, by a table with every kind of field in it. What it takes is
 * saved and must load again as the same; what it refuses is refused in words.
 */
#include <stdlib.h>
#include <string.h>

#include <bp/base.h>

#include "registry.h"
#include "state.h"
#include "wire.h"

#include "fuzz.h"

struct inner {
    uint16_t a;
    bool b;
    uint8_t *more;
    uint32_t more_count;
};

struct item {
    struct item *next;
    uint32_t value;
};

struct all {
    bool flag;
    uint8_t u8, buffer[8], *memory;
    uint16_t u16, many[3];
    uint32_t u32, memory_size, vector_count, index;
    uint64_t u64, rare;
    struct inner fixed[2], *vector;
    struct item *first;
    struct bp_state_bytes bytes;
    uint8_t kept[16];
    uint32_t kept_size;
};

static const struct bp_state_field byte_fields[] = {
    {.name = "byte", .kind = BP_STATE_UINT8, .count = 1, .stride = 1}, BP_SAVE_END};
static const struct bp_state_table byte_table = {.version = 1, .oldest = 1, .fields = byte_fields};
static const struct bp_state_field inner_fields[] = {
    BP_SAVE(UINT16, struct inner, a), BP_SAVE(BOOL, struct inner, b),
    BP_SAVE_VECTOR(struct inner, more, more_count, 5, &byte_table), BP_SAVE_END};
static const struct bp_state_table inner_table = {.version = 2, .oldest = 1, .fields = inner_fields};

static void *next(void *state, void *element)
{
    return element ? (void *)((struct item *)element)->next : (void *)((struct all *)state)->first;
}

static void clear(void *state)
{
    struct all *s = state;

    while (s->first) {
        struct item *item = s->first;

        s->first = item->next;
        free(item);
    }
}

static void *append(void *state, struct bp_error *err)
{
    struct item **at = &((struct all *)state)->first;

    while (*at)
        at = &(*at)->next;
    *at = calloc(1, sizeof(**at));
    if (!*at)
        bp_fail(err, 12, "no memory");
    return *at;
}

static const struct bp_state_list list = {.size = sizeof(list), .next = next, .clear = clear,
                                          .append = append};
static const struct bp_state_field item_fields[] = {BP_SAVE(UINT32, struct item, value), BP_SAVE_END};
static const struct bp_state_table item_table = {.version = 1, .oldest = 1, .fields = item_fields};

static bool needed(const void *state)
{
    return ((const struct all *)state)->rare != 0;
}
static const struct bp_state_field rare_fields[] = {BP_SAVE(UINT64, struct all, rare), BP_SAVE_END};
static const struct bp_state_table rare_table = {.version = 3, .oldest = 2, .fields = rare_fields};

static int before_save(void *state, struct bp_error *err)
{
    struct all *s = state;

    (void)err;
    s->bytes.data = s->kept_size ? malloc(s->kept_size) : NULL;
    s->bytes.size = s->kept_size;
    if (s->kept_size)
        memcpy(s->bytes.data, s->kept, s->kept_size);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct all *s = state;

    (void)version, (void)err;
    s->kept_size = s->bytes.size;
    if (s->kept_size)
        memcpy(s->kept, s->bytes.data, s->kept_size);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(BOOL, struct all, flag), BP_SAVE(UINT8, struct all, u8), BP_SAVE(UINT16, struct all, u16),
    BP_SAVE(UINT32, struct all, u32), BP_SAVE(UINT64, struct all, u64),
    BP_SAVE_BUFFER(struct all, buffer), BP_SAVE_ARRAY(UINT16, struct all, many),
    BP_SAVE_STRUCTS(struct all, fixed, &inner_table), BP_SAVE_RANGE(UINT32, struct all, index, 1, 9),
    BP_SAVE_MEMORY(struct all, memory, memory_size),
    BP_SAVE_VECTOR(struct all, vector, vector_count, 7, &inner_table),
    BP_SAVE_LIST("list", &list, 6, &item_table), BP_SAVE_BYTES(struct all, bytes, 16),
    {.name = "rare", .kind = BP_STATE_SECTION, .count = 1, .table = &rare_table, .needed = needed},
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .before_save = before_save, .after_load = after_load};

static void finish(struct all *s)
{
    bpc_state_free_vectors(&table, s);
    clear(s);
}

/* What is saved must load, and be saved as the same bytes. */
static void there_and_back(struct all *s)
{
    GByteArray *one = g_byte_array_new(), *two = g_byte_array_new();
    uint8_t memory[5] = {0};
    struct all other = {.memory = memory, .memory_size = sizeof(memory)};

    if (bpc_state_save_table(&table, s, one, NULL) < 0 ||
        bpc_state_load_table(&table, &other, one->data, one->len, NULL) < 0 ||
        bpc_state_save_table(&table, &other, two, NULL) < 0 || one->len != two->len ||
        memcmp(one->data, two->data, one->len) != 0)
        abort();
    finish(&other);
    g_byte_array_unref(one);
    g_byte_array_unref(two);
}

/* ---- objects: parts, and all of them in a tree ---- */
static const struct bp_object_class class = {
    .type = {.size = sizeof(class), .name = "fuzz", .state_size = sizeof(struct inner),
             .state = &inner_table}};

static void load_objects(const uint8_t *data, size_t size)
{
    static const struct bp_provide provides[] = {{BP_PROVIDE_OBJECT, &class}, {BP_PROVIDE_END, NULL}};
    static struct bp_object *obj, *root;
    struct bp_error err = {0};
    int ret;

    if (!obj) {
        if (bpc_register_all("fuzz", provides, NULL) < 0 ||
            bp_object_new("object", "fuzz", "a", "/o", NULL, &obj, NULL) < 0)
            abort();
        root = bp_object_resolve("/o", NULL, NULL);
    }
    ret = bpc_state_load(obj, data, size, &err);
    if ((ret < 0) != (err.code != 0))
        abort();
    err.code = 0;
    ret = bpc_state_load_tree(root, data, size, &err);
    if ((ret < 0) != (err.code != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t memory[5] = {1, 2, 3, 4, 5};
    struct all s = {.memory = memory, .memory_size = sizeof(memory), .index = 1};
    uint8_t *copy = malloc(size + 1); /* exactly as long as it says: a sanitizer sees what lies behind */
    struct bp_error err = {0};
    int ret;

    copy = realloc(copy, size ? size : 1);
    memcpy(copy, data, size);
    ret = bpc_state_load_table(&table, &s, copy, size, &err);
    if ((ret < 0) != (err.code != 0) || (ret < 0 && !*err.message))
        abort();
    if (ret == 0)
        there_and_back(&s);
    finish(&s);
    load_objects(copy, size);
    free(copy);
    return 0;
}
