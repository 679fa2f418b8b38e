/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved state: all kinds there and back, versions, sections, and streams that lie. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/clock.h>

#include "loop.h"
#include "object.h"
#include "registry.h"
#include "state.h"
#include "wire.h"

struct part {
    uint16_t a;
    bool b;
};

struct thing {
    bool flag;
    uint8_t u8, fifo[16];
    uint16_t u16;
    uint32_t u32, many[4];
    uint64_t u64, newer;
    struct part parts[3];
    struct bp_timer *timer, *no_timer;
    uint32_t rare;
    unsigned loaded_version;
    bool refuse;
};

static const struct bp_state_field part_fields[] = {BP_SAVE(UINT16, struct part, a),
                                                    BP_SAVE(BOOL, struct part, b), BP_SAVE_END};
static const struct bp_state_table part_table = {
    .name = "part", .version = 1, .oldest = 1, .fields = part_fields};

static bool rare_needed(const void *state)
{
    return ((const struct thing *)state)->rare != 0;
}
static const struct bp_state_field rare_fields[] = {BP_SAVE(UINT32, struct thing, rare),
                                                    BP_SAVE_END};
static const struct bp_state_table rare_table = {
    .name = "rare", .version = 1, .oldest = 1, .fields = rare_fields};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct thing *t = state;
    (void)err;
    t->loaded_version = version;
    return t->u8 == 0xee ? -EINVAL : 0;
}

static int before_save(void *state, struct bp_error *err)
{
    return ((struct thing *)state)->refuse ? bp_fail(err, EBUSY, "not now") : 0;
}

#define HEAD                                                                                       \
    BP_SAVE(BOOL, struct thing, flag), BP_SAVE(UINT8, struct thing, u8),                           \
        BP_SAVE_BUFFER(struct thing, fifo), BP_SAVE(UINT16, struct thing, u16),                    \
        BP_SAVE(UINT32, struct thing, u32), BP_SAVE_ARRAY(UINT32, struct thing, many),             \
        BP_SAVE(UINT64, struct thing, u64)
#define TAIL                                                                                       \
    BP_SAVE_STRUCTS(struct thing, parts, &part_table), BP_SAVE(TIMER, struct thing, timer),        \
        BP_SAVE(TIMER, struct thing, no_timer),                                                    \
        {.name = "rare",                                                                           \
         .kind = BP_STATE_SECTION,                                                                 \
         .count = 1,                                                                               \
         .table = &rare_table,                                                                     \
         .needed = rare_needed},                                                                   \
        BP_SAVE_END
static const struct bp_state_field old_fields[] = {HEAD, TAIL};
static const struct bp_state_field new_fields[] = {HEAD,
                                                   {.name = "newer",
                                                    .kind = BP_STATE_UINT64,
                                                    .offset = offsetof(struct thing, newer),
                                                    .count = 1,
                                                    .stride = 8,
                                                    .since = 2},
                                                   TAIL};
static const struct bp_state_table old_table = {.version = 1,
                                                .oldest = 1,
                                                .fields = old_fields,
                                                .before_save = before_save,
                                                .after_load = after_load};
static const struct bp_state_table new_table = {.version = 2,
                                                .oldest = 1,
                                                .fields = new_fields,
                                                .before_save = before_save,
                                                .after_load = after_load};
static const struct bp_state_table newest_table = {.version = 3, .oldest = 2, .fields = new_fields};

static const struct bp_object_class thing_class = {.type = {.size = sizeof(thing_class),
                                                            .name = "thing",
                                                            .state_size = sizeof(struct thing),
                                                            .state = &new_table}};
static const struct bp_object_class plain_class = {
    .type = {.size = sizeof(plain_class), .name = "plain"}};

static void ignore(void *opaque)
{
    (void)opaque;
}

static struct bp_object *new_object(const char *type, const char *id)
{
    struct bp_object *obj = NULL;
    g_assert_cmpint(bp_object_new("object", type, id, "/test", NULL, &obj, NULL), ==, 0);
    if (!strcmp(type, "thing")) {
        struct thing *t = bp_object_state(obj);
        t->timer = bp_timer_new(bp_object_owner(obj), NULL, BP_CLOCK_VIRTUAL, ignore, NULL);
    }
    return obj;
}

static void fill(struct thing *t)
{
    t->flag = true;
    t->u8 = 0x12;
    memcpy(t->fifo, "0123456789abcdef", 16);
    t->u16 = 0x3456;
    t->u32 = 0x789abcde;
    t->u64 = UINT64_C(0xfedcba9876543210);
    t->newer = UINT64_MAX;
    for (unsigned i = 0; i < 4; i++)
        t->many[i] = i * 0x1000001;
    for (unsigned i = 0; i < 3; i++)
        t->parts[i] = (struct part){(uint16_t)(i + 500), i == 1};
    bp_timer_set(t->timer, 123456789);
}

static void saved_state_loads_back(void)
{
    struct bp_object *a = new_object("thing", "a"), *b = new_object("thing", "b");
    struct thing *x = bp_object_state(a), *y = bp_object_state(b);
    struct bp_error err = {0};
    for (unsigned round = 0; round < 2; round++) {
        GByteArray *bytes = g_byte_array_new();
        fill(x);
        x->rare = round; /* the second time with the section */
        g_assert_false(bpc_state_equal(a, b));
        g_assert_cmpint(bpc_state_save(a, bytes, &err), ==, 0);
        g_assert_cmpint(bpc_state_load(b, bytes->data, bytes->len, &err), ==, 0);
        g_assert_true(bpc_state_equal(a, b));
        g_assert_cmphex(y->u64, ==, x->u64);
        g_assert_cmpmem(y->fifo, 16, x->fifo, 16);
        g_assert_cmpuint(y->parts[2].a, ==, 502);
        g_assert_cmpint(bp_timer_deadline(y->timer), ==, 123456789);
        g_assert_cmpuint(y->rare, ==, round);
        g_assert_cmpuint(y->loaded_version, ==, 2);
        g_byte_array_unref(bytes);
    }
    bp_timer_cancel(x->timer);
    GByteArray *bytes = g_byte_array_new();
    g_assert_cmpint(bpc_state_save(a, bytes, &err), ==, 0);
    g_assert_cmpint(bpc_state_load(b, bytes->data, bytes->len, &err), ==, 0);
    g_assert_false(bp_timer_pending(y->timer));
    g_byte_array_unref(bytes);
    bp_object_destroy(a);
    bp_object_destroy(b);
}

static void older_versions_load_newer_ones_do_not(void)
{
    struct bp_object *a = new_object("thing", "a");
    struct thing *t = bp_object_state(a);
    struct bp_error err = {0};
    GByteArray *old = g_byte_array_new(), *new = g_byte_array_new();
    fill(t);
    g_assert_cmpint(bpc_state_save_table(&old_table, t, old, &err), ==, 0);
    g_assert_cmpint(bpc_state_save_table(&new_table, t, new, &err), ==, 0);
    t->newer = 5;
    g_assert_cmpint(bpc_state_load_table(&new_table, t, old->data, old->len, &err), ==, 0);
    g_assert_cmpuint(t->newer, ==, 5);
    g_assert_cmpuint(t->loaded_version, ==, 1);
    g_assert_cmpint(bpc_state_load_table(&old_table, t, new->data, new->len, &err), ==, -EINVAL);
    g_assert_cmpint(bpc_state_load_table(&newest_table, t, old->data, old->len, &err), ==, -EINVAL);
    g_assert_cmpstr(err.message, ==, "State is of version 1; accepted are 2 to 3");
    g_byte_array_unref(old);
    g_byte_array_unref(new);
    bp_object_destroy(a);
}

static void refusals_reach_the_caller(void)
{
    struct bp_object *a = new_object("thing", "a"), *plain = new_object("plain", "p");
    struct thing *t = bp_object_state(a);
    struct bp_error err = {0};
    GByteArray *bytes = g_byte_array_new();
    fill(t);
    g_byte_array_append(bytes, (const guint8 *)"x", 1);
    t->refuse = true;
    g_assert_cmpint(bpc_state_save(a, bytes, &err), ==, -EBUSY);
    g_assert_cmpstr(err.message, ==, "Saving the state of '/test/a': not now");
    g_assert_cmpuint(bytes->len, ==, 1);
    g_assert_cmpint(bpc_state_save(plain, bytes, &err), ==, 0);
    g_assert_cmpuint(bytes->len, ==, 1);
    g_assert_cmpint(bpc_state_load(plain, bytes->data, 1, &err), ==, -EINVAL);
    g_assert_cmpint(bpc_state_load(plain, NULL, 0, &err), ==, 0);
    g_byte_array_set_size(bytes, 0);
    t->refuse = false;
    t->u8 = 0xee;
    g_assert_cmpint(bpc_state_save(a, bytes, &err), ==, 0);
    err = (struct bp_error){0};
    g_assert_cmpint(bpc_state_load(a, bytes->data, bytes->len, &err), ==, -EINVAL);
    g_assert_cmpint(err.code, ==, EINVAL);
    g_byte_array_unref(bytes);
    bp_object_destroy(a);
    bp_object_destroy(plain);
}

/* Exactly sized, so that reading one byte too many is seen. */
static int load_copy(struct bp_object *obj, const guint8 *data, size_t len)
{
    guint8 *copy = g_memdup2(data, len);
    struct bp_error err = {0};
    int ret = bpc_state_load(obj, copy, len, &err);
    g_assert_true((ret < 0) == (err.code != 0));
    g_free(copy);
    return ret;
}

static void lying_streams_are_refused(void)
{
    struct bp_object *a = new_object("thing", "a"), *b = new_object("thing", "b");
    struct thing *x = bp_object_state(a);
    GByteArray *bytes = g_byte_array_new();
    fill(x);
    x->rare = 9;
    g_assert_cmpint(bpc_state_save(a, bytes, NULL), ==, 0);
    for (size_t len = 0; len < bytes->len; len++)
        g_assert_cmpint(load_copy(b, bytes->data, len), ==, -EINVAL);
    GRand *rand = g_rand_new_with_seed(3);
    for (size_t at = 0; at < bytes->len; at++) {
        guint8 kept = bytes->data[at];
        for (int i = 0; i < 8; i++) {
            bytes->data[at] = (guint8)(i == 0 ? 0xff : i == 1 ? 0 : g_rand_int(rand));
            load_copy(b, bytes->data, bytes->len);
        }
        bytes->data[at] = kept;
    }
    guint8 noise[256];
    for (int round = 0; round < 5000; round++) {
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (guint8)g_rand_int_range(rand, 0, round & 1 ? 256 : 12);
        g_assert_cmpint(load_copy(b, noise, (size_t)g_rand_int_range(rand, 0, 256)), <, 0);
    }
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    g_assert_cmpint(load_copy(b, bytes->data, bytes->len), ==, -EINVAL);
    g_assert_cmpint(load_copy(b, bytes->data, bytes->len - 1), ==, 0);
    g_assert_true(bpc_state_equal(a, b));
    g_rand_free(rand);
    g_byte_array_unref(bytes);
    bp_object_destroy(a);
    bp_object_destroy(b);
}

static int note(const char *path, struct bp_object *obj, void *opaque)
{
    (void)obj;
    g_string_append_printf(opaque, "%s ", path);
    return 0;
}

static void all_objects_with_state_are_visited(void)
{
    struct bp_object *a = new_object("thing", "a"), *p = new_object("plain", "p"),
                     *b = new_object("thing", "b");
    GString *paths = g_string_new(NULL);
    g_assert_cmpint(bpc_state_each(note, paths), ==, 0);
    g_assert_cmpstr(paths->str, ==, "/test/a /test/b ");
    g_string_free(paths, TRUE);
    bp_object_destroy(a);
    bp_object_destroy(b);
    bp_object_destroy(p);
}

/* ---- bytes whose number varies ---- */
struct sack {
    struct bp_state_bytes bytes;
    uint8_t kept[8]; /* where after_load() copies them */
    uint32_t size, keep;
};

static int fill_sack(void *state, struct bp_error *err)
{
    struct sack *s = state;

    s->bytes.data = s->keep ? g_memdup2(s->kept, s->keep) : NULL;
    s->bytes.size = s->keep;
    return 0;
}

static int empty_sack(void *state, uint32_t version, struct bp_error *err)
{
    struct sack *s = state;

    s->size = s->bytes.size;
    if (s->size)
        memcpy(s->kept, s->bytes.data, s->size);
    return 0;
}

static void bytes_of_any_number_come_back(void)
{
    static const struct bp_state_field fields[] = {BP_SAVE_BYTES(struct sack, bytes, 8),
                                                   BP_SAVE_END};
    static const struct bp_state_table table = {
        .name = "sack", .version = 1, .oldest = 1, .fields = fields, .before_save = fill_sack,
        .after_load = empty_sack};

    for (uint32_t size = 0; size <= 8; size++) {
        struct sack from = {.kept = "abcdefg", .keep = size}, to = {.size = 99};
        GByteArray *out = g_byte_array_new();
        struct bp_error err = {0};

        g_assert_cmpint(bpc_state_save_table(&table, &from, out, &err), ==, 0);
        g_assert_null(from.bytes.data);
        g_assert_cmpint(bpc_state_load_table(&table, &to, out->data, out->len, &err), ==, 0);
        g_assert_null(to.bytes.data);
        g_assert_cmpmem(from.kept, size, to.kept, to.size);
        if (size) /* cut off, and nothing leaks */
            g_assert_cmpint(bpc_state_load_table(&table, &to, out->data, out->len - 1, NULL), <, 0);
        g_byte_array_unref(out);
    }
    struct sack over = {0};
    uint8_t lying[] = {1, 0, 0, 0, 5, 'b', 'y', 't', 'e', 's', BP_STATE_BYTES, 8, 0, 0, 0,
                       9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0};

    g_assert_cmpint(bpc_state_load_table(&table, &over, lying, sizeof(lying), NULL), <, 0);
}

/* ---- memory, vectors, lists, ranges ---- */
struct point {
    uint8_t x;
};

struct node {
    struct node *next;
    uint32_t value;
};

struct box {
    uint8_t *memory;
    uint32_t memory_size, point_count, index;
    struct point *points;
    struct node *first;
};

static void *node_next(void *state, void *element)
{
    return element ? (void *)((struct node *)element)->next : (void *)((struct box *)state)->first;
}

static void node_clear(void *state)
{
    struct box *box = state;
    while (box->first) {
        struct node *node = box->first;
        box->first = node->next;
        g_free(node);
    }
}

static void *node_append(void *state, struct bp_error *err)
{
    struct node **at = &((struct box *)state)->first;
    while (*at)
        at = &(*at)->next;
    return *at = g_new0(struct node, 1);
}

static const struct bp_state_list nodes = {
    .size = sizeof(nodes), .next = node_next, .clear = node_clear, .append = node_append};
static const struct bp_state_field point_fields[] = {BP_SAVE(UINT8, struct point, x), BP_SAVE_END};
static const struct bp_state_table point_table = {.version = 1, .oldest = 1, .fields = point_fields};
static const struct bp_state_field node_fields[] = {BP_SAVE(UINT32, struct node, value), BP_SAVE_END};
static const struct bp_state_table node_table = {.version = 1, .oldest = 1, .fields = node_fields};
static const struct bp_state_field box_fields[] = {
    BP_SAVE_MEMORY(struct box, memory, memory_size),
    BP_SAVE_VECTOR(struct box, points, point_count, 3, &point_table),
    BP_SAVE_LIST("nodes", &nodes, 2, &node_table), BP_SAVE_RANGE(UINT32, struct box, index, 0, 7),
    BP_SAVE_END};
static const struct bp_state_table box_table = {.version = 1, .oldest = 1, .fields = box_fields};

static void elements_of_any_number_come_back(void)
{
    uint8_t there[4] = "abc", here[4] = "";
    struct point points[4] = {{1}, {2}, {3}, {4}};
    struct box from = {there, 4, 2, 5, points, NULL}, to = {here, 4, 0, 0, NULL, NULL};
    GByteArray *out = g_byte_array_new();
    struct bp_error err = {0};
    ((struct node *)node_append(&from, NULL))->value = 7;
    ((struct node *)node_append(&to, NULL))->value = 1; /* replaced */
    ((struct node *)node_append(&to, NULL))->value = 2;
    g_assert_cmpint(bpc_state_save_table(&box_table, &from, out, &err), ==, 0);
    g_assert_cmpint(bpc_state_load_table(&box_table, &to, out->data, out->len, &err), ==, 0);
    g_assert_cmpstr((char *)here, ==, "abc");
    g_assert_cmpuint(to.point_count, ==, 2);
    g_assert_cmpuint(to.points[1].x, ==, 2);
    g_assert_cmpuint(to.first->value, ==, 7);
    g_assert_null(to.first->next);
    /* What was settled at attach must be the same here. */
    to.memory_size = 3;
    g_assert_cmpint(bpc_state_load_table(&box_table, &to, out->data, out->len, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "4 bytes, here there are 3"));
    to.memory_size = 4;
    for (guint len = 0; len < out->len; len++)
        g_assert_cmpint(bpc_state_load_table(&box_table, &to, out->data, len, NULL), <, 0);
    /* More than the table allows is neither saved nor loaded; nor is what is out of range. */
    from.point_count = 4;
    g_assert_cmpint(bpc_state_save_table(&box_table, &from, out, &err), ==, -EFBIG);
    from.point_count = 0;
    node_append(&from, NULL);
    node_append(&from, NULL);
    g_assert_cmpint(bpc_state_save_table(&box_table, &from, out, &err), ==, -EFBIG);
    node_clear(&from);
    from.index = 8;
    g_byte_array_set_size(out, 0);
    g_assert_cmpint(bpc_state_save_table(&box_table, &from, out, &err), ==, 0);
    g_assert_cmpint(bpc_state_load_table(&box_table, &to, out->data, out->len, &err), ==, -ERANGE);
    g_assert_nonnull(strstr(err.message, "8 is not in 0..7"));
    bpc_state_free_vectors(&box_table, &to);
    node_clear(&to);
    g_byte_array_unref(out);
}

/* ---- the last pass ---- */
static GString *passes;

struct link {
    uint8_t id;
};

static int link_loaded(void *state, struct bp_error *err)
{
    g_string_append_printf(passes, "%u ", ((struct link *)state)->id);
    return ((struct link *)state)->id == 9 ? bp_fail(err, EIO, "nine is not wanted") : 0;
}

static const struct bp_state_field link_fields[] = {BP_SAVE(UINT8, struct link, id), BP_SAVE_END};
#define LINK(ident, NAME, ORDER) \
    static const struct bp_state_table ident##_table = {.version = 1, .oldest = 1, \
                                                        .fields = link_fields, \
                                                        .loaded = link_loaded, \
                                                        .loaded_order = ORDER}; \
    static const struct bp_object_class ident = {.type = {.size = sizeof(ident), .name = NAME, \
                                                          .state_size = sizeof(struct link), \
                                                          .state = &ident##_table}}
LINK(late_link, "late-link", BP_STATE_ORDER_REQUESTS);
LINK(early_link, "early-link", BP_STATE_ORDER_LINES);

static void last_pass_goes_in_order_when_all_is_loaded(void)
{
    static const char *const types[] = {"late-link", "early-link", "late-link", "early-link"};
    struct bp_object *objs[4], *root;
    GByteArray *out = g_byte_array_new();
    struct bp_error err = {0};
    passes = g_string_new(NULL);
    for (unsigned i = 0; i < 4; i++) {
        char id[2] = {(char)('a' + i), 0};
        objs[i] = new_object(types[i], id);
        ((struct link *)bp_object_state(objs[i]))->id = (uint8_t)i;
    }
    root = bp_object_resolve("/test", NULL, NULL);
    g_assert_cmpint(bpc_state_save_tree(root, out, &err), ==, 0);
    for (unsigned i = 0; i < 4; i++)
        ((struct link *)bp_object_state(objs[i]))->id = 0xff;
    g_assert_cmpint(bpc_state_load_tree(root, out->data, out->len, &err), ==, 0);
    g_assert_cmpstr(passes->str, ==, "1 3 0 2 ");
    for (guint len = 0; len < out->len; len++) {
        guint8 *cut = g_memdup2(out->data, len);
        g_string_truncate(passes, 0);
        g_assert_cmpint(bpc_state_load_tree(root, cut, len, NULL), <, 0);
        g_assert_cmpstr(passes->str, ==, ""); /* not before all is there */
        g_free(cut);
    }
    ((struct link *)bp_object_state(objs[1]))->id = 9;
    g_byte_array_set_size(out, 0);
    g_assert_cmpint(bpc_state_save_tree(root, out, &err), ==, 0);
    g_assert_cmpint(bpc_state_load_tree(root, out->data, out->len, &err), ==, -EIO);
    g_assert_cmpstr(err.message, ==,
                    "'/test/b' cannot go on from the loaded state: nine is not wanted");
    bp_object_destroy(objs[3]); /* the state is that of another machine */
    g_assert_cmpint(bpc_state_load_tree(root, out->data, out->len, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "'/test/d', which is not here"));
    for (unsigned i = 0; i < 3; i++)
        bp_object_destroy(objs[i]);
    g_string_free(passes, TRUE);
    g_byte_array_unref(out);
}

int main(int argc, char **argv)
{
    const struct bp_provide provides[] = {{BP_PROVIDE_OBJECT, &thing_class},
                                          {BP_PROVIDE_OBJECT, &late_link},
                                          {BP_PROVIDE_OBJECT, &early_link},
                                          {BP_PROVIDE_OBJECT, &plain_class},
                                          {BP_PROVIDE_END, NULL}};
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
    g_test_add_func("/state/saved_state_loads_back", saved_state_loads_back);
    g_test_add_func("/state/older_versions_load_newer_ones_do_not",
                    older_versions_load_newer_ones_do_not);
    g_test_add_func("/state/elements_of_any_number_come_back", elements_of_any_number_come_back);
    g_test_add_func("/state/last_pass_goes_in_order_when_all_is_loaded",
                    last_pass_goes_in_order_when_all_is_loaded);
    g_test_add_func("/state/refusals_reach_the_caller", refusals_reach_the_caller);
    g_test_add_func("/state/bytes_of_any_number_come_back", bytes_of_any_number_come_back);
    g_test_add_func("/state/lying_streams_are_refused", lying_streams_are_refused);
    g_test_add_func("/state/all_objects_with_state_are_visited",
                    all_objects_with_state_are_visited);
    return g_test_run();
}
