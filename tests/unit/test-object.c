/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects: properties of each kind, the tree, user-created objects, -global, types. */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/exact/cpu.h>
#include <bp/exact/machine.h>

#include "object.h"
#include "registry.h"
#include "type.h"

struct thing {
    bool flag, finalized, complete;
    uint8_t small;
    uint64_t big;
    int32_t level;
    uint64_t size;
    double ratio;
    char *text;
    int mode, when, live;
    struct bp_object *peer;
    struct bp_value *any, *list;
    int custom;
};

static unsigned finalized;

static const char *const modes[] = {"fast", "safe", NULL};
static const struct bp_schema mode_schema = {
    .name = "ThingMode", .kind = BP_KIND_ENUM, .choices = modes};
static const struct bp_schema list_schema = {.kind = BP_KIND_LIST, .element_kind = BP_KIND_UINT8};

static int get_custom(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                      struct bp_error *err)
{
    (void)f;
    (void)err;
    *ret_value = bp_value_int(((struct thing *)bp_object_state(obj))->custom * 2);
    return 0;
}

static int set_custom(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                      struct bp_error *err)
{
    (void)f;
    if (bp_value_as_int(value) == 13)
        return bp_fail(err, EINVAL, "13 brings bad luck");
    ((struct thing *)bp_object_state(obj))->custom = (int)bp_value_as_int(value);
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("flag", BOOL, struct thing, flag, "on", "a flag"),
    BP_PROP_RANGE("small", UINT8, struct thing, small, "3", 1, 9, "one to nine"),
    BP_PROP("big", UINT64, struct thing, big, "0xffffffffffffffff", "a big number"),
    BP_PROP_RANGE("level", INT32, struct thing, level, "-2", -5, (uint64_t)-1, "below zero"),
    BP_PROP("size", SIZE, struct thing, size, "1.5M", "bytes"),
    BP_PROP("ratio", NUMBER, struct thing, ratio, "0.5", "a ratio"),
    BP_PROP("text", STRING, struct thing, text, "hello", "a text"),
    BP_PROP_ENUM("mode", &mode_schema, struct thing, mode, "safe", "a mode"),
    BP_PROP("when", ON_OFF_AUTO, struct thing, when, NULL, "when"),
    BP_PROP_LINK("peer", "thing", struct thing, peer, "another thing"),
    BP_PROP("any", ANY, struct thing, any, NULL, "anything"),
    {.name = "list",
     .kind = BP_KIND_LIST,
     .offset = offsetof(struct thing, list),
     .schema = &list_schema},
    {.name = "live",
     .kind = BP_KIND_INT32,
     .flags = BP_FIELD_WRITE_LIVE,
     .offset = offsetof(struct thing, live)},
    {.name = "fixed",
     .kind = BP_KIND_BOOL,
     .flags = BP_FIELD_READ_ONLY,
     .offset = offsetof(struct thing, flag)},
    {.name = "custom", .kind = BP_KIND_INT32, .get = get_custom, .set = set_custom},
    BP_FIELDS_END,
};

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct thing *t = bp_object_state(obj);
    if (t->text && !strcmp(t->text, "fail"))
        return bp_fail(err, EIO, "told to fail");
    t->complete = true;
    return 0;
}

static void finalize(struct bp_object *obj)
{
    struct thing *t = bp_object_state(obj);
    g_assert_true(t->complete);
    finalized++;
}

static bool can_delete(struct bp_object *obj)
{
    return ((struct thing *)bp_object_state(obj))->live != 7;
}

static const struct bp_object_class thing_class = {.type = {.size = sizeof(struct bp_object_class),
                                                            .name = "thing",
                                                            .parent = "base-thing",
                                                            .state_size = sizeof(struct thing),
                                                            .props = props},
                                                   .complete = complete,
                                                   .finalize = finalize,
                                                   .can_delete = can_delete};
static const struct bp_object_class hidden_class = {.type = {.size = sizeof(struct bp_object_class),
                                                             .name = "hidden",
                                                             .flags = BP_TYPE_NOT_USER_CREATABLE}};
static const struct bp_type_info base_info = {.size = sizeof(struct bp_type_info),
                                              .name = "base-thing"};
static const struct bp_device_class nic = {
    .type = {.size = sizeof(struct bp_device_class), .name = "nic"}, .bus = "pci"};
static const struct bp_board_class board = {
    .type = {.size = sizeof(struct bp_board_class), .name = "none"}, .arch = "any"};
static const struct bp_accel_class accel = {
    .type = {.size = sizeof(struct bp_accel_class), .name = "interp"}, .arch = "any"};
static const struct bp_cpu_class cpu = {.type = {.size = sizeof(struct bp_cpu_class),
                                                 .name = "qemu64-x86_64-cpu",
                                                 .parent = "x86_64-cpu"},
                                        .arch = "x86_64",
                                        .model = "qemu64"};

static const struct bp_provide provides[] = {{BP_PROVIDE_OBJECT, &thing_class},
                                             {BP_PROVIDE_OBJECT, &hidden_class},
                                             {BP_PROVIDE_ABSTRACT, &base_info},
                                             {BP_PROVIDE_DEVICE, &nic},
                                             {BP_PROVIDE_BOARD, &board},
                                             {BP_PROVIDE_ACCEL, &accel},
                                             {BP_PROVIDE_CPU, &cpu},
                                             {BP_PROVIDE_END, NULL}};

static struct bp_value *json(const char *text)
{
    struct bp_value *v = NULL;
    struct bp_error err = {0};
    if (bp_value_parse(text, strlen(text), &v, &err) < 0)
        g_error("%s", err.message);
    return v;
}

static int add(const char *text, struct bp_error *err)
{
    struct bp_value *args = json(text);
    int ret = bpc_object_add(args, err);
    bp_value_unref(args);
    return ret;
}

static int set(struct bp_object *obj, const char *name, const char *text, struct bp_error *err)
{
    struct bp_value *v = json(text);
    int ret = bp_object_set(obj, name, v, err);
    bp_value_unref(v);
    return ret;
}

static void assert_prop(struct bp_object *obj, const char *name, const char *expected)
{
    struct bp_value *v;
    g_assert_cmpint(bp_object_get(obj, name, &v, NULL), ==, 0);
    char *text = bp_value_print(v, false);
    g_assert_cmpstr(text, ==, expected);
    free(text);
    bp_value_unref(v);
}

static struct bp_object *new_thing(const char *id)
{
    struct bp_object *obj = NULL;
    struct bp_error err = {0};
    if (bp_object_new("object", "thing", id, "/test", NULL, &obj, &err) < 0)
        g_error("%s", err.message);
    obj->live = false;
    return obj;
}

static void defaults_are_set(void)
{
    struct bp_object *obj = new_thing("t0");
    assert_prop(obj, "flag", "true");
    assert_prop(obj, "small", "3");
    assert_prop(obj, "big", "18446744073709551615");
    assert_prop(obj, "level", "-2");
    assert_prop(obj, "size", "1572864");
    assert_prop(obj, "ratio", "0.5");
    assert_prop(obj, "text", "\"hello\"");
    assert_prop(obj, "mode", "\"safe\"");
    assert_prop(obj, "when", "\"auto\"");
    assert_prop(obj, "peer", "\"\"");
    assert_prop(obj, "any", "null");
    assert_prop(obj, "type", "\"thing\"");
    g_assert_cmpstr(bp_object_path(obj), ==, "/test/t0");
    g_assert_true(bp_object_of_state(bp_object_state(obj)) == obj);
    g_assert_cmpuint((uintptr_t)bp_object_state(obj) % 16, ==, 0);
    g_assert_true(bp_object_is_a(obj, "base-thing"));
    g_assert_true(bp_object_is_a(obj, "object"));
    g_assert_false(bp_object_is_a(obj, "device"));
    bp_object_destroy(obj);
}

static void setting_checks_type_and_range(void)
{
    static const struct {
        const char *name, *value, *text;
        int ret;
    } cases[] = {
        {"flag", "false", "no", 0},
        {"flag", "1", "maybe", -EINVAL},
        {"small", "9", "0x9", 0},
        {"small", "10", "10", -ERANGE},
        {"small", "0", "0", -ERANGE},
        {"small", "\"5\"", "five", -EINVAL},
        {"small", "5.0", "5.0", -EINVAL},
        {"big", "18446744073709551615", "18446744073709551615", 0},
        {"big", "-1", "-1", -ERANGE},
        {"level", "-5", "-5", 0},
        {"level", "-1", "-1", 0},
        {"level", "0", "0", -ERANGE},
        {"level", "-6", "-6", -ERANGE},
        {"level", "18446744073709551615", "18446744073709551615", -ERANGE},
        {"size", "4096", "4k", 0},
        {"size", "-1", "-1", -ERANGE},
        {"size", "null", "4q", -EINVAL},
        {"ratio", "2", "2", 0},
        {"ratio", "true", "x", -EINVAL},
        {"mode", "\"fast\"", "fast", 0},
        {"mode", "\"slow\"", "slow", -EINVAL},
        {"mode", "0", "", -EINVAL},
        {"when", "\"off\"", "off", 0},
        {"when", "\"x\"", "x", -EINVAL},
        {"list", "[1,2]", "[1,2]", 0},
        {"list", "[1,256]", "[1,256]", -ERANGE},
        {"list", "{}", "1", -EINVAL},
        {"peer", "\"nobody\"", "nobody", -ENOENT},
        {"fixed", "true", "on", -EACCES},
        {"type", "\"x\"", "x", -EACCES},
        {"nonsense", "1", "1", -ENOENT},
        {"custom", "12", "12", 0},
        {"custom", "13", "13", -EINVAL},
    };
    struct bp_object *obj = new_thing("t0");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct bp_error err = {0};
        g_assert_cmpint(set(obj, cases[i].name, cases[i].value, &err), ==, cases[i].ret);
        g_assert_true(!cases[i].ret == !err.code);
        g_assert_cmpint(bp_object_set_text(obj, cases[i].name, cases[i].text, NULL), ==,
                        cases[i].ret);
    }
    assert_prop(obj, "custom", "24");
    assert_prop(obj, "list", "[1,2]");
    struct bp_error err = {0};
    set(obj, "smll", "1", &err);
    g_assert_cmpstr(err.message, ==, "Property 'thing.smll' not found; near names: small");
    set(obj, "mode", "\"slow\"", &err);
    g_assert_cmpstr(err.message, ==,
                    "Parameter 'mode' does not accept value 'slow'; accepted: fast, safe");
    set(obj, "text", "1", &err);
    g_assert_cmpstr(err.message, ==, "Invalid parameter type for 'text', expected: string");
    set(obj, "small", "10", &err);
    g_assert_cmpstr(err.message, ==, "Parameter 'small' expects a number in 1..9, not 10");
    bp_object_destroy(obj);
}

/* Each value that a user can say comes back as it was said. */
static void values_are_read_as_they_were_set(void)
{
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"flag", "false"}, {"flag", "true"}, {"small", "1"}, {"small", "9"}, {"big", "0"},
        {"big", "9223372036854775808"}, {"level", "-5"}, {"level", "-1"}, {"size", "0"},
        {"size", "18446744073709551615"}, {"ratio", "-2.5"}, {"text", "\"\""}, {"mode", "\"fast\""},
        {"mode", "\"safe\""}, {"when", "\"on\""}, {"when", "\"off\""}, {"when", "\"auto\""},
        {"list", "[]"}, {"list", "[0,255]"},
    };
    struct bp_object *obj = new_thing("t0");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(set(obj, cases[i].name, cases[i].value, NULL), ==, 0);
        assert_prop(obj, cases[i].name, cases[i].value);
    }
    bp_object_destroy(obj);
}

static void owned_values_are_replaced_and_freed(void)
{
    struct bp_object *obj = new_thing("t0");
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(set(obj, "text", "\"again\"", NULL), ==, 0);
        g_assert_cmpint(set(obj, "any", "{\"a\":[1]}", NULL), ==, 0);
        g_assert_cmpint(set(obj, "list", "[1]", NULL), ==, 0);
    }
    assert_prop(obj, "any", "{\"a\":[1]}");
    bp_object_destroy(obj);
}

static void live_objects_take_live_properties_only(void)
{
    struct bp_object *obj = new_thing("t0");
    obj->live = true;
    g_assert_cmpint(set(obj, "live", "5", NULL), ==, 0);
    g_assert_cmpint(set(obj, "small", "5", NULL), ==, -EBUSY);
    bp_object_destroy(obj);
}

static void links_resolve_count_and_check_type(void)
{
    struct bp_object *a = new_thing("a"), *b = new_thing("b");
    struct bp_error err = {0};
    g_assert_cmpint(bp_object_set_text(a, "peer", "b", &err), ==, 0);
    assert_prop(a, "peer", "\"/test/b\"");
    g_assert_cmpuint(bp_object_users(b), ==, 1);
    g_assert_cmpint(bp_object_set_text(a, "peer", "/test/b", &err), ==, 0);
    g_assert_cmpuint(bp_object_users(b), ==, 1);
    g_assert_true(bp_object_resolve("/test/a/peer", NULL, NULL) == b);
    g_assert_cmpint(bp_object_set_text(a, "peer", "/test", &err), ==, -EINVAL);
    g_assert_cmpint(bp_object_set_text(a, "peer", "none-such", &err), ==, -ENOENT);
    g_assert_cmpint(err.kind, ==, BP_ERROR_DEVICE_NOT_FOUND);
    g_assert_cmpint(bpc_object_set_link(a, "peer", bpc_object_root(), &err), ==, -EINVAL);
    g_assert_cmpint(bpc_object_set_link(a, "text", b, &err), ==, -EINVAL);
    g_assert_cmpint(bp_object_set_text(a, "peer", "", &err), ==, 0);
    g_assert_cmpuint(bp_object_users(b), ==, 0);
    g_assert_cmpint(bpc_object_set_link(a, "peer", b, &err), ==, 0);
    bp_object_destroy(b); /* its memory stays while a points at it */
    g_assert_null(bp_object_resolve("/test/b", NULL, NULL));
    bp_object_destroy(a);
}

/* Users name back ends by id: those come first, in this order, whatever else has that id. */
static void links_look_where_back_ends_are(void)
{
    static const char *const places[] = {"/chardevs", "/objects", "/machine/peripheral", "/backend"};
    struct bp_object *a = new_thing("a"), *elsewhere = new_thing("b"), *there[4];
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(bp_object_new("object", "thing", "b", places[i], NULL, &there[i], NULL), ==, 0);
    for (unsigned i = 0; i < 4; i++) {
        char *path = g_strdup_printf("\"%s/b\"", places[i]);
        g_assert_cmpint(bp_object_set_text(a, "peer", "b", NULL), ==, 0);
        assert_prop(a, "peer", path);
        g_free(path);
        g_assert_cmpint(bp_object_set_text(a, "peer", "", NULL), ==, 0);
        bp_object_destroy(there[i]);
    }
    g_assert_cmpint(bp_object_set_text(a, "peer", "b", NULL), ==, 0);
    assert_prop(a, "peer", "\"/test/b\"");
    bp_object_destroy(a);
    bp_object_destroy(elsewhere);
}

static void paths_resolve(void)
{
    struct bp_object *a = new_thing("a"), *other;
    bool ambiguous;
    g_assert_cmpint(
        bp_object_new("object", "thing", "a", "/test/deep/er", NULL, &other, NULL), ==, 0);
    g_assert_null(bp_object_resolve("a", NULL, &ambiguous));
    g_assert_true(ambiguous);
    g_assert_true(bp_object_resolve("er/a", NULL, &ambiguous) == other);
    g_assert_true(bp_object_resolve("deep/er/a", "thing", NULL) == other);
    g_assert_true(bp_object_resolve("/test//a/", NULL, NULL) == a);
    g_assert_true(bp_object_resolve("/", NULL, NULL) == bpc_object_root());
    g_assert_null(bp_object_resolve("/test/a", "device", NULL));
    g_assert_null(bp_object_resolve("", NULL, &ambiguous));
    g_assert_false(ambiguous);
    g_assert_null(bp_object_resolve("/../..", NULL, NULL));
    char *longer = g_strnfill(1 << 20, '/');
    g_assert_null(bp_object_resolve(longer, NULL, NULL));
    g_free(longer);
    bp_object_destroy(a);
    g_assert_true(bp_object_resolve("a", NULL, NULL) == other);
    struct bp_value *child; /* who is there is a property of the container, too */
    g_assert_cmpint(bp_object_get(bp_object_resolve("/test/deep", NULL, NULL), "er", &child, NULL), ==, 0);
    g_assert_cmpstr(bp_value_as_string(child), ==, "/test/deep/er");
    bp_value_unref(child);
    char *text = bpc_object_tree_text("/test", NULL);
    g_assert_cmpstr(text, ==,
                    "/test (container)\n  /deep (container)\n    /er (container)\n"
                    "      /a (thing)\n");
    free(text);
    struct bp_error err = {0};
    g_assert_null(bpc_object_tree_text("/nowhere", &err));
    g_assert_cmpint(err.code, ==, ENOENT);
    bp_object_destroy(other);
}

static void object_takes_a_containers_place(void)
{
    struct bp_object *child = NULL, *obj = new_thing("t0");
    bp_object_ref(obj);
    bpc_object_remove(obj);
    g_assert_cmpint(
        bp_object_new("object", "thing", "inner", "/test/place", NULL, &child, NULL), ==,
        0);
    g_assert_cmpstr(bp_object_path(child), ==, "/test/place/inner");
    g_assert_cmpint(bpc_object_add_child(bpc_object_container("/test"), "place", obj, NULL), ==, 0);
    g_assert_cmpstr(bp_object_path(child), ==, "/test/place/inner");
    g_assert_true(bpc_object_child(obj, "inner") == child);
    struct bp_object *late = new_thing("late");
    g_assert_cmpint(bpc_object_add_child(bpc_object_container("/test"), "place", late, NULL), ==,
                    -EEXIST);
    bp_object_destroy(late);
    bp_object_destroy(child);
    bp_object_destroy(obj);
    bp_object_unref(obj);
}

static void user_objects_come_and_go(void)
{
    struct bp_error err = {0};
    g_assert_cmpint(
        add("{\"qom-type\":\"thing\",\"id\":\"u0\",\"small\":\"7\",\"size\":\"2k\"}", &err), ==, 0);
    struct bp_object *u0 = bp_object_resolve("/objects/u0", "thing", NULL);
    assert_prop(u0, "small", "7");
    assert_prop(u0, "size", "2048");
    g_assert_cmpint(add("{\"qom-type\":\"thing\",\"id\":\"u0\"}", &err), ==, -EEXIST);
    g_assert_cmpint(add("{\"qom-type\":\"thing\",\"id\":\"u1\",\"peer\":\"u0\"}", &err), ==, 0);
    g_assert_cmpint(bpc_object_del("u0", &err), ==, -EBUSY);
    g_assert_cmpint(bpc_object_del("u1", &err), ==, 0);
    g_assert_cmpint(set(u0, "live", "7", NULL), ==, 0);
    g_assert_cmpint(bpc_object_del("u0", &err), ==, -EBUSY);
    g_assert_cmpint(set(u0, "live", "0", NULL), ==, 0);
    g_assert_cmpint(bpc_object_del("u0", &err), ==, 0);
    g_assert_cmpint(bpc_object_del("u0", &err), ==, -ENOENT);
    g_assert_cmpuint(finalized, ==, 2);
}

static void bad_user_objects_are_refused(void)
{
    static const char *const bad[] = {
        "{}",
        "{\"qom-type\":\"thing\"}",
        "{\"id\":\"x\"}",
        "{\"qom-type\":1,\"id\":\"x\"}",
        "{\"qom-type\":\"thing\",\"id\":5}",
        "{\"qom-type\":\"thing\",\"id\":\"a/b\"}",
        "{\"qom-type\":\"thing\",\"id\":\"\"}",
        "{\"qom-type\":\"thingg\",\"id\":\"x\"}",
        "{\"qom-type\":\"hidden\",\"id\":\"x\"}",
        "{\"qom-type\":\"nic\",\"id\":\"x\"}",
        "{\"qom-type\":\"thing\",\"id\":\"x\",\"nope\":1}",
        "{\"qom-type\":\"thing\",\"id\":\"x\",\"small\":\"many\"}",
        "{\"qom-type\":\"thing\",\"id\":\"x\",\"text\":\"fail\"}",
        "[]",
        "null",
        "\"thing\"",
    };
    unsigned before = finalized;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct bp_error err = {0};
        g_assert_cmpint(add(bad[i], &err), <, 0);
        g_assert_cmpint(err.code, !=, 0);
        g_assert_null(bp_object_resolve("/objects/x", NULL, NULL));
    }
    g_assert_cmpuint(finalized, ==, before);
}

static void boards_change_defaults_for_their_version(void)
{
    static const struct bp_compat newer[] = {{"thing", "small", "5"}, {"thing", "text", "new"}, {NULL}};
    static const struct bp_compat older[] = {{"base-thing", "text", "old"}, {NULL}};
    static const struct bp_compat broken[] = {{"thing", "tiny", "1"}, {NULL}};
    static const struct bp_compat *const both[] = {newer, older, NULL};
    static const struct bp_compat *const bad[] = {broken, NULL};
    struct bp_error err = {0};
    struct bp_object *obj;
    bpc_compat_set("board-8.2", both);
    obj = new_thing("t0");
    assert_prop(obj, "small", "5");
    assert_prop(obj, "text", "\"old\""); /* the older table comes later */
    bp_object_destroy(obj);
    bpc_compat_set("board-8.1", bad);
    g_assert_cmpint(bp_object_new("object", "thing", "t1", "/test", NULL, &obj, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err.message, "machine 'board-8.1' sets thing.tiny=1"));
    bpc_compat_set("board-8.2", both);
    g_assert_cmpint(bpc_global_add("thing", "small", "8", &err), ==, 0);
    obj = new_thing("t0");
    assert_prop(obj, "small", "8"); /* the user has the last word */
    bp_object_destroy(obj);
    bpc_compat_set(NULL, NULL);
}

static void globals_change_defaults(void)
{
    struct bp_error err = {0};
    struct bp_object *obj;
    g_assert_cmpint(bpc_global_add("thing", "small", "8", &err), ==, 0);
    g_assert_cmpint(bpc_global_add("base-thing", "size", "1k", &err), ==, 0);
    g_assert_cmpint(bpc_global_add("unheard-of", "size", "1k", &err), ==, 0);
    g_assert_cmpint(bpc_global_add("", "size", "1k", &err), ==, -EINVAL);
    obj = new_thing("t0");
    assert_prop(obj, "small", "8");
    assert_prop(obj, "size", "1024");
    bp_object_destroy(obj);
    g_assert_cmpint(bpc_global_add("thing", "tiny", "8", &err), ==, 0);
    g_assert_cmpint(bp_object_new("object", "thing", "t1", "/test", NULL, &obj, &err), ==,
                    -ENOENT);
    g_assert_nonnull(strstr(err.message, "thing.tiny"));
    bpc_global_warn_unused();
}

static void note_type(const struct bpc_type *type, void *opaque)
{
    g_string_append_printf(opaque, "%s ", type->name);
}

static void types_have_chains_of_parents(void)
{
    GString *names = g_string_new(NULL);
    bpc_each_type("device", false, note_type, names);
    g_assert_cmpstr(names->str, ==, "nic qemu64-x86_64-cpu ");
    g_string_truncate(names, 0);
    bpc_each_type("machine", true, note_type, names);
    g_assert_cmpstr(names->str, ==, "machine none-machine ");
    g_string_truncate(names, 0);
    bpc_each_type("accel", false, note_type, names);
    g_assert_cmpstr(names->str, ==, "interp-accel ");
    g_string_free(names, TRUE);
    g_assert_true(bpc_type_implements("nic", "pci-device"));
    g_assert_true(bpc_type_implements("qemu64-x86_64-cpu", "cpu"));
    g_assert_false(bpc_type_implements("nic", "cpu"));
    g_assert_false(bpc_type_implements("no-such-type", "no-such-type"));
    struct bpc_type type;
    g_assert_true(bpc_type_find("pci-device", &type));
    g_assert_true(type.abstract);
    g_assert_false(bpc_type_find("zzz", &type));
}

static void types_list_their_properties(void)
{
    struct bp_value *list;
    struct bp_error err = {0};
    g_assert_cmpint(bpc_type_properties("thing", false, &list, &err), ==, 0);
    g_assert_cmpuint(bp_value_length(list), ==, 15);
    char *first = bp_value_print(bp_value_at(list, 0), false);
    g_assert_cmpstr(first, ==,
                    "{\"name\":\"flag\",\"type\":\"bool\",\"description\":\"a flag\","
                    "\"default-value\":true}");
    free(first);
    g_assert_cmpstr(bp_value_get_string(bp_value_at(list, 9), "type"), ==, "link<thing>");
    bp_value_unref(list);
    g_assert_cmpint(bpc_type_properties("none-machine", false, &list, &err), ==, 0);
    bp_value_unref(list);
    g_assert_cmpint(bpc_type_properties("unheard-of", false, &list, &err), ==, -ENOENT);
    g_assert_cmpint(bpc_type_properties("zzz", true, &list, &err), ==, -ENOENT);
    g_assert_cmpint(err.kind, ==, BP_ERROR_DEVICE_NOT_FOUND);
    g_assert_cmpint(bpc_type_properties("thing", true, &list, &err), ==, -EINVAL);
    g_assert_cmpint(err.kind, ==, BP_ERROR_GENERIC);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
    g_test_add_func("/object/defaults_are_set", defaults_are_set);
    g_test_add_func("/object/setting_checks_type_and_range", setting_checks_type_and_range);
    g_test_add_func("/object/values_are_read_as_they_were_set", values_are_read_as_they_were_set);
    g_test_add_func("/object/owned_values_are_replaced_and_freed",
                    owned_values_are_replaced_and_freed);
    g_test_add_func("/object/live_objects_take_live_properties_only",
                    live_objects_take_live_properties_only);
    g_test_add_func("/object/links_resolve_count_and_check_type",
                    links_resolve_count_and_check_type);
    g_test_add_func("/object/links_look_where_back_ends_are", links_look_where_back_ends_are);
    g_test_add_func("/object/paths_resolve", paths_resolve);
    g_test_add_func("/object/object_takes_a_containers_place", object_takes_a_containers_place);
    g_test_add_func("/object/user_objects_come_and_go", user_objects_come_and_go);
    g_test_add_func("/object/bad_user_objects_are_refused", bad_user_objects_are_refused);
    g_test_add_func("/object/boards_change_defaults_for_their_version",
                    boards_change_defaults_for_their_version);
    g_test_add_func("/object/globals_change_defaults", globals_change_defaults);
    g_test_add_func("/type/types_have_chains_of_parents", types_have_chains_of_parents);
    g_test_add_func("/type/types_list_their_properties", types_list_their_properties);
    return g_test_run();
}
