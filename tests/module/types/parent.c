/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests: an abstract parent that another module's device has, a command with nested arguments,
 * and the event that it sends. */
#include <bp/command.h>
#include <bp/level.h>

struct test_port {
    uint16_t base;
};

static const struct bp_field port_props[] = {
    BP_PROP("base", UINT16, struct test_port, base, "0x310", "first port"), BP_FIELDS_END};
BP_LEVEL(test_port, "test-port", "device", "What test ports share", struct test_port, port_props,
         NULL);

static const char *const colours[] = {"red", "green", NULL};
static const struct bp_schema colour = {.name = "TestColour", .kind = BP_KIND_ENUM,
                                        .choices = colours};
static const struct bp_field point_members[] = {
    BP_ARG("x", INT32, "to the right"), BP_ARG_TYPED("colour", ENUM, &colour, BP_FIELD_OPTIONAL, "ink"),
    BP_FIELDS_END};
static const struct bp_schema point = {.name = "TestPoint", .kind = BP_KIND_STRUCT,
                                       .members = point_members};
static const struct bp_schema points = {.name = "TestPoints", .kind = BP_KIND_LIST,
                                        .element_kind = BP_KIND_STRUCT, .element = &point};
/* A tree: it refers to itself. */
static const struct bp_schema leaves;
static const struct bp_field tree_members[] = {
    BP_ARG("name", STRING, "of the tree"),
    BP_ARG_TYPED("leaves", LIST, &leaves, BP_FIELD_OPTIONAL, "trees below"), BP_FIELDS_END};
static const struct bp_schema tree = {.name = "TestTree", .kind = BP_KIND_STRUCT,
                                      .members = tree_members};
static const struct bp_schema leaves = {.name = "TestTrees", .kind = BP_KIND_LIST,
                                        .element_kind = BP_KIND_STRUCT, .element = &tree};

static const struct bp_field happen_args[] = {
    BP_ARG_TYPED("points", LIST, &points, 0, "where"),
    BP_ARG_TYPED("tree", STRUCT, &tree, BP_FIELD_OPTIONAL, "what"), BP_FIELDS_END};
static const struct bp_field event_data[] = {BP_ARG_TYPED("points", LIST, &points, 0, "where"),
                                             BP_FIELDS_END};
BP_EVENT(happened, "TEST_HAPPENED", "It was asked for", event_data, 0);

static int happen(struct bp_value *where, struct bp_value *what, struct bp_value **ret_value,
                  struct bp_error *err)
{
    struct bp_value *data = bp_value_dict();

    (void)what;
    (void)err;
    bp_value_set(data, "points", bp_value_ref(where));
    bp_event_send(&happened, data);
    *ret_value = bp_value_ref(where);
    return 0;
}
BP_COMMAND(cmd_happen, "test-happen", "Lets something happen", happen_args, LIST, &points, happen,
           BP_COMMAND_PRECONFIG);

BP_MODULE("test-parent", "Types for tests: a parent", BP_NO_IMPORTS,
          {BP_PROVIDE_ABSTRACT, &test_port}, {BP_PROVIDE_COMMAND, &cmd_happen},
          {BP_PROVIDE_EVENT, &happened});
