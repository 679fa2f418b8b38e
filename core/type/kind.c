/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core's own kinds as a table, and numbers for those of frameworks (kind.h). */
#include "kind.h"

#include <glib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/device.h>
#include <bp/exact/cpu.h>
#include <bp/exact/machine.h>
#include <bp/level.h>
#include <bp/option.h>

#include "registry.h"

#define MAX_NAME 32u
#define MAX_OTHERS 1024u /* of frameworks; names of more are none */

#define TYPES(NAME, CLASS) \
    .size = sizeof(struct CLASS), .least = sizeof(struct bp_type_info), .is_type = true, \
    .kind = {.size = sizeof(struct bp_kind), .name = NAME
#define PLAIN(NAME, STRUCT, LEAST) \
    .size = sizeof(struct STRUCT), .least = LEAST, .kind = {.size = sizeof(struct bp_kind), .name = NAME

static const struct {
    size_t size, least;
    bool is_type;
    const char *suffix;
    struct bp_kind kind;
} own[BP_PROVIDE_OTHER] = {
    [BP_PROVIDE_DEVICE] = {TYPES("device", bp_device_class), .heading = "Devices:",
                           .summary = "Devices", .option = "device", .parent = "device"}},
    [BP_PROVIDE_BUS] = {TYPES("bus", bp_bus_class), .summary = "Buses", .parent = "bus"}},
    [BP_PROVIDE_BOARD] = {.suffix = "-machine", TYPES("board", bp_board_class),
                          .heading = "Supported machines are:", .summary = "Machines",
                          .option = "machine", .parent = "machine"}},
    [BP_PROVIDE_CPU] = {TYPES("cpu", bp_cpu_class), .heading = "Available CPUs:",
                        .summary = "Processors", .option = "cpu", .parent = "cpu"}},
    [BP_PROVIDE_ACCEL] = {.suffix = "-accel", TYPES("accel", bp_accel_class),
                          .heading = "Accelerators supported:", .summary = "Accelerators",
                          .option = "accel", .parent = "accel"}},
    [BP_PROVIDE_OBJECT] = {TYPES("object", bp_object_class),
                           .heading = "List of user creatable objects:", .summary = "Objects",
                           .option = "object", .parent = "object", .container = "/objects"}},
    [BP_PROVIDE_INTERFACE] = {PLAIN("interface", bp_interface, sizeof(struct bp_interface)),
                              .summary = "Interfaces between modules"}},
    [BP_PROVIDE_OPTION] = {PLAIN("option", bp_option, offsetof(struct bp_option, reserved)),
                           .summary = "Command-line options"}},
    [BP_PROVIDE_COMMAND] = {PLAIN("command", bp_command, offsetof(struct bp_command, features)),
                            .summary = "QMP commands"}},
    [BP_PROVIDE_HMP] = {PLAIN("hmp", bp_hmp_command, offsetof(struct bp_hmp_command, reserved)),
                        .summary = "Monitor commands"}},
    [BP_PROVIDE_EVENT] = {PLAIN("event", bp_event, offsetof(struct bp_event, reserved)),
                          .summary = "QMP events"}},
    [BP_PROVIDE_ABSTRACT] = {TYPES("abstract", bp_level_class), .summary = "Abstract types",
                             .parent = "object"}},
    [BP_PROVIDE_KIND] = {PLAIN("kind", bp_kind, offsetof(struct bp_kind, check)),
                         .summary = "Kinds of things"}},
};

static GPtrArray *others; /* interned names; the first one has the number BP_PROVIDE_OTHER + 1 */

static bool is_own(enum bp_provide_kind kind)
{
    return kind > BP_PROVIDE_END && (unsigned)kind < BP_COUNT(own);
}

unsigned bpc_kind_count(void)
{
    return BP_PROVIDE_OTHER + 1 + (others ? others->len : 0);
}

const char *bpc_kind_name(enum bp_provide_kind kind)
{
    if (is_own(kind))
        return own[kind].kind.name;
    if (kind > BP_PROVIDE_OTHER && (unsigned)kind < bpc_kind_count())
        return others->pdata[kind - BP_PROVIDE_OTHER - 1];
    return "nothing";
}

static bool is_name(const char *text, size_t len)
{
    if (len == 0 || len > MAX_NAME || !g_ascii_islower(text[0]))
        return false;
    for (size_t i = 1; i < len; i++) {
        if (!g_ascii_islower(text[i]) && !g_ascii_isdigit(text[i]) && text[i] != '-')
            return false;
    }
    return true;
}

enum bp_provide_kind bpc_kind_from_name(const char *text, size_t len)
{
    for (unsigned kind = BP_PROVIDE_END + 1; kind < bpc_kind_count(); kind++) {
        const char *name = bpc_kind_name(kind);
        if (strlen(name) == len && !memcmp(name, text, len) && kind != BP_PROVIDE_OTHER)
            return kind;
    }
    if (!is_name(text, len) || (others && others->len >= MAX_OTHERS))
        return BP_PROVIDE_END;
    if (!others)
        others = g_ptr_array_new();
    char *name = g_strndup(text, len);
    g_ptr_array_add(others, (gpointer)g_intern_string(name));
    g_free(name);
    return bpc_kind_count() - 1;
}

bool bpc_kind_has_types(enum bp_provide_kind kind)
{
    return is_own(kind) ? own[kind].is_type : kind > BP_PROVIDE_OTHER;
}

const struct bp_kind *bpc_kind(enum bp_provide_kind kind)
{
    const void *desc;
    if (is_own(kind))
        return &own[kind].kind;
    if (kind <= BP_PROVIDE_OTHER || (unsigned)kind >= bpc_kind_count())
        return NULL;
    desc = bpc_find(BP_PROVIDE_KIND, bpc_kind_name(kind));
    return desc || bpc_describe(BP_PROVIDE_KIND, bpc_kind_name(kind), &desc, NULL) == 0 ? desc : NULL;
}

const char *bpc_kind_suffix(enum bp_provide_kind kind)
{
    return is_own(kind) && own[kind].suffix ? own[kind].suffix : "";
}

size_t bpc_kind_size(enum bp_provide_kind kind)
{
    return is_own(kind) ? own[kind].size : 0;
}

size_t bpc_kind_least(enum bp_provide_kind kind)
{
    return is_own(kind) ? own[kind].least : sizeof(struct bp_type_info);
}

/* ---- all of them ---- */

struct walk {
    void (*fn)(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque);
    void *opaque;
};

static void visit_known(const struct bpc_known *known, void *opaque)
{
    const struct walk *walk = opaque;
    enum bp_provide_kind number = bpc_kind_from_name(known->name, strlen(known->name));
    const struct bp_kind *kind = bpc_kind(number);
    if (kind && !bpc_kind_is_core(number))
        walk->fn(number, kind, walk->opaque);
}

void bpc_each_kind(void (*fn)(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque),
                   void *opaque)
{
    struct walk walk = {fn, opaque};
    for (unsigned kind = BP_PROVIDE_END + 1; kind < BP_COUNT(own); kind++) {
        if (own[kind].is_type)
            fn(kind, &own[kind].kind, opaque);
    }
    bpc_each_known(BP_PROVIDE_KIND, visit_known, &walk);
}

struct option_search {
    const char *option;
    enum bp_provide_kind found;
};

static void match_option(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque)
{
    struct option_search *search = opaque;
    if (!search->found && kind->option && !strcmp(kind->option, search->option))
        search->found = number;
}

enum bp_provide_kind bpc_kind_of_option(const char *option)
{
    struct option_search search = {option, BP_PROVIDE_END};
    struct walk walk = {match_option, &search};
    /* The core's own first: -device help need not read what frameworks say. */
    for (unsigned kind = BP_PROVIDE_END + 1; kind < BP_COUNT(own); kind++)
        match_option(kind, &own[kind].kind, &search);
    if (!search.found)
        bpc_each_known(BP_PROVIDE_KIND, visit_known, &walk);
    return search.found;
}
