/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is, as values, from the descriptors alone (reference.h). */
#include "reference.h"

#include <string.h>

#include <glib.h>

#include <bp/command.h>
#include <bp/exact/cpu.h>
#include <bp/device.h>
#include <bp/exact/machine.h>

#include "config.h"
#include "machine.h"
#include "options.h"
#include "registry.h"
#include "schema.h"
#include "type.h"
#include "version.h"

#define MAX_NESTING 8u    /* members of members */
#define MAX_MEMBERS 4096u /* in one descriptor; what is beyond is left out */

static void set_text(struct bp_value *dict, const char *key, const char *text)
{
    if (text && *text)
        bp_value_set(dict, key, bp_value_string(text));
}

static struct bp_value *texts(const char *const *list)
{
    struct bp_value *v = bp_value_list();

    for (; list && *list; list++)
        bp_value_append(v, bp_value_string(*list));
    return v;
}

/* ---- fields ---- */

/* The schemas that we are inside of: one that is among them is not shown again. */
struct inside {
    const struct bp_schema *schema;
    const struct inside *outer;
    unsigned depth;
    unsigned *left; /* of MAX_MEMBERS */
};

static struct bp_value *members(const struct bp_field *fields, const struct inside *in);

static bool is_inside(const struct inside *in, const struct bp_schema *schema)
{
    for (; in; in = in->outer) {
        if (in->schema == schema)
            return true;
    }
    return false;
}

static void set_schema(struct bp_value *dict, const struct bp_schema *schema,
                       const struct inside *outer)
{
    const struct inside in = {schema, outer, outer->depth + 1, outer->left};

    if (is_inside(outer, schema) || in.depth > MAX_NESTING)
        return;
    if (schema->kind == BP_KIND_LIST) {
        const struct bp_field element[] = {
            {.name = "element", .kind = schema->element_kind, .schema = schema->element},
            BP_FIELDS_END};
        struct bp_value *list = members(element, &in);

        if (bp_value_length(list) > 0)
            bp_value_set(dict, "element", bp_value_ref(bp_value_at(list, 0)));
        bp_value_unref(list);
        return;
    }
    if (schema->members)
        bp_value_set(dict, "members", members(schema->members, &in));
    if (schema->variants) {
        struct bp_value *variants = bp_value_list();

        for (const struct bp_variant *v = schema->variants; v->value && *in.left > 0; v++) {
            struct bp_value *one = bp_value_dict();

            --*in.left;
            bp_value_set(one, "case", bp_value_string(v->value));
            if (v->schema)
                bp_value_set(one, "members", members(v->schema->members, &in));
            bp_value_append(variants, one);
        }
        set_text(dict, "discriminator", schema->discriminator);
        bp_value_set(dict, "variants", variants);
    }
}

static void set_range(struct bp_value *dict, const struct bp_field *f)
{
    int64_t min;
    uint64_t max;

    bpc_schema_range(f, &min, &max);
    bp_value_set(dict, "min", bp_value_int(min));
    bp_value_set(dict, "max", bpc_schema_is_signed(f->kind) ? bp_value_int((int64_t)max)
                                                            : bp_value_uint(max));
}

static struct bp_value *flags_of(uint32_t flags)
{
    static const char *const names[] = {"optional", "read-only", "write-live", "hidden",
                                        "deprecated", "repeated"};
    struct bp_value *list = bp_value_list();

    for (unsigned i = 0; i < BP_COUNT(names); i++) {
        if (flags & 1u << i)
            bp_value_append(list, bp_value_string(names[i]));
    }
    return list;
}

/* A number that only says "not given": the largest of an unsigned type that has no range. */
static bool stands_for_none(const struct bp_field *f)
{
    static const struct {
        enum bp_field_kind kind;
        guint64 max;
    } none[] = {
        {BP_KIND_UINT8, UINT8_MAX}, {BP_KIND_UINT16, UINT16_MAX}, {BP_KIND_UINT32, UINT32_MAX},
        {BP_KIND_UINT64, UINT64_MAX},
    };

    for (size_t i = 0; i < BP_COUNT(none); i++) {
        /* By what it is: authors write it in hexadecimal too. */
        if (f->kind == none[i].kind && g_ascii_strtoull(f->def, NULL, 0) == none[i].max)
            return !f->min && !f->max;
    }
    return false;
}

static struct bp_value *field_value(const struct bp_field *f, const struct inside *in)
{
    struct bp_value *dict = bp_value_dict(), *def;
    char type[128];

    bpc_schema_type_name(f, type, sizeof(type));
    bp_value_set(dict, "name", bp_value_string(f->name));
    bp_value_set(dict, "type", bp_value_string(type));
    set_text(dict, "help", f->help);
    if (f->def && !stands_for_none(f) && bpc_schema_from_text(f, f->def, &def, NULL) == 0)
        bp_value_set(dict, "default", def);
    if (f->kind == BP_KIND_ENUM && f->schema)
        bp_value_set(dict, "choices", texts(f->schema->choices));
    else if (f->kind == BP_KIND_ON_OFF_AUTO)
        bp_value_set(dict, "choices", texts(bpc_on_off_auto));
    else if (bpc_schema_is_integer(f->kind))
        set_range(dict, f);
    else if (f->kind == BP_KIND_LINK)
        set_text(dict, "target", f->target);
    if (f->flags)
        bp_value_set(dict, "flags", flags_of(f->flags));
    if (f->features)
        bp_value_set(dict, "features", texts(f->features));
    if (f->schema && f->kind != BP_KIND_ENUM)
        set_schema(dict, f->schema, in);
    return dict;
}

static struct bp_value *members(const struct bp_field *fields, const struct inside *in)
{
    struct bp_value *list = bp_value_list();

    for (const struct bp_field *f = fields; f && f->name && *in->left > 0; f++) {
        --*in->left;
        bp_value_append(list, field_value(f, in));
    }
    return list;
}

struct bp_value *bpc_reference_fields(const struct bp_field *fields)
{
    unsigned left = MAX_MEMBERS;
    const struct inside in = {.left = &left};

    return members(fields, &in);
}

/* ---- classes ---- */

static bool for_this_guest(enum bp_provide_kind kind, const void *desc)
{
    const char *arch = kind == BP_PROVIDE_BOARD ? ((const struct bp_board_class *)desc)->arch
                     : kind == BP_PROVIDE_CPU   ? ((const struct bp_cpu_class *)desc)->arch
                     : kind == BP_PROVIDE_ACCEL ? ((const struct bp_accel_class *)desc)->arch
                                                : NULL;

    return bpc_arch_in(arch, bpc_config.arch);
}

struct each {
    void (*fn)(const char *name, const char *module, const struct bp_type_info *info, void *opaque);
    void *opaque;
};

static void visit(const struct bpc_known *known, void *opaque)
{
    const struct each *each = opaque;
    const void *desc;

    /* What is broken cannot be used, so it is not listed. */
    if (bpc_describe(known->kind, known->name, &desc, NULL) == 0 &&
        for_this_guest(known->kind, desc))
        each->fn(bpc_reference_name(known->kind, desc), known->module, desc, each->opaque);
}

void bpc_reference_each(enum bp_provide_kind kind,
                        void (*fn)(const char *name, const char *module,
                                   const struct bp_type_info *info, void *opaque),
                        void *opaque)
{
    struct each each = {fn, opaque};

    bpc_each_known(kind, visit, &each);
}

const char *bpc_reference_name(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    const struct bp_provide provide = {kind, info};

    return kind == BP_PROVIDE_CPU ? ((const struct bp_cpu_class *)(const void *)info)->model
                                  : bpc_provide_name(&provide);
}

int bpc_reference_find(enum bp_provide_kind kind, const char *name,
                       const struct bp_type_info **ret_info, struct bp_error *err)
{
    char *full = kind == BP_PROVIDE_CPU && !g_str_has_suffix(name, "-cpu")
                     ? g_strdup_printf("%s-%s-cpu", name, bpc_config.arch) : g_strdup(name);
    const void *desc;
    const char *known;
    int ret = bpc_resolve_file(kind, full, &known, err);

    if (ret == 0)
        ret = bpc_describe(kind, known, &desc, err);
    if (ret == 0)
        *ret_info = desc;
    g_free(full);
    return ret;
}

struct owner_search {
    const struct bp_provide provide;
    const char *module;
};

static void match_owner(const struct bpc_known *known, void *opaque)
{
    struct owner_search *search = opaque;

    if (strcmp(known->name, bpc_provide_name(&search->provide)) == 0)
        search->module = known->module;
}

const char *bpc_reference_module(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    struct owner_search search = {{kind, info}, NULL};

    bpc_each_known(kind, match_owner, &search);
    return search.module;
}

int bpc_reference_each_field(enum bp_provide_kind kind, const struct bp_type_info *info,
                             void (*fn)(const struct bp_field *field, void *opaque), void *opaque,
                             struct bp_error *err)
{
    const struct bp_field *common = kind == BP_PROVIDE_BOARD ? bpc_machine_props : NULL;

    for (; common && common->name; common++)
        fn(common, opaque);
    return bpc_type_each_field(bpc_type_public_name(kind, info), false, fn, opaque, err);
}

struct collect {
    struct bp_value *list;
    struct inside in;
};

static void collect_field(const struct bp_field *field, void *opaque)
{
    struct collect *c = opaque;

    if (*c->in.left == 0)
        return;
    --*c->in.left;
    bp_value_append(c->list, field_value(field, &c->in));
}

static struct bp_value *properties(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    unsigned left = MAX_MEMBERS;
    struct collect c = {bp_value_list(), {.left = &left}};

    bpc_reference_each_field(kind, info, collect_field, &c, NULL);
    return c.list;
}

static void set_device(struct bp_value *dict, const struct bp_device_class *class)
{
    bool user = !(class->type.flags & BP_TYPE_NOT_USER_CREATABLE);

    set_text(dict, "bus", class->bus ? class->bus : "system");
    set_text(dict, "category", class->category);
    if (class->aliases && *class->aliases)
        bp_value_set(dict, "aliases", texts(class->aliases));
    bp_value_set(dict, "user-creatable", bp_value_bool(user));
    bp_value_set(dict, "hotpluggable",
                 bp_value_bool((class->type.flags & BP_TYPE_HOTPLUGGABLE) != 0));
}

static void set_board(struct bp_value *dict, const struct bp_board_class *board)
{
    const char *const aliases[] = {board->alias, NULL};

    if (board->alias)
        bp_value_set(dict, "aliases", texts(aliases));
    bp_value_set(dict, "default", bp_value_bool(board->is_default));
    bp_value_set(dict, "deprecated", bp_value_bool(board->deprecated != NULL));
    set_text(dict, "default-cpu", board->default_cpu);
}

struct bp_value *bpc_reference_class(enum bp_provide_kind kind, const char *module,
                                     const struct bp_type_info *info, bool with_properties)
{
    struct bp_value *dict = bp_value_dict();

    set_text(dict, "name", bpc_reference_name(kind, info));
    set_text(dict, "summary", info->summary);
    set_text(dict, "type", bpc_type_public_name(kind, info));
    set_text(dict, "module", module);
    if (kind == BP_PROVIDE_DEVICE)
        set_device(dict, (const void *)info);
    else if (kind == BP_PROVIDE_BOARD)
        set_board(dict, (const void *)info);
    if (with_properties)
        bp_value_set(dict, "properties", properties(kind, info));
    return dict;
}

struct list {
    struct bp_value *list;
    enum bp_provide_kind kind;
    bool with_properties;
};

static void add_class(const char *name, const char *module, const struct bp_type_info *info,
                      void *opaque)
{
    const struct list *l = opaque;

    (void)name;
    bp_value_append(l->list, bpc_reference_class(l->kind, module, info, l->with_properties));
}

struct bp_value *bpc_reference_list(enum bp_provide_kind kind, bool with_properties)
{
    struct list l = {bp_value_list(), kind, with_properties};

    bpc_reference_each(kind, add_class, &l);
    return l.list;
}

/* ---- options ---- */

static struct bp_value *option_value(const struct bp_option *o, const char *module)
{
    enum bp_provide_kind kind = bpc_kind_of_option(o->name);
    struct bp_value *dict = bp_value_dict();

    set_text(dict, "name", o->name);
    set_text(dict, "alias", o->alias);
    set_text(dict, "argument", o->arg);
    set_text(dict, "summary", o->help);
    set_text(dict, "group", o->group ? o->group : "Other options");
    set_text(dict, "module", module);
    set_text(dict, "implied", o->implied);
    if (kind != BP_PROVIDE_END)
        set_text(dict, "lists", bpc_kind_name(kind));
    if (o->keys)
        bp_value_set(dict, "keys", bpc_reference_fields(o->keys));
    return dict;
}

static void add_option(const struct bpc_known *known, void *opaque)
{
    const void *desc;

    if (strcmp(known->module, "core") != 0 &&
        bpc_describe(BP_PROVIDE_OPTION, known->name, &desc, NULL) == 0)
        bp_value_append(opaque, option_value(desc, known->module));
}

struct bp_value *bpc_reference_options(void)
{
    static const struct bp_option *const *const tables[] = {
        bpc_process_options, bpc_run_with_options, bpc_machine_options, bpc_numa_options,
        bpc_device_options};
    struct bp_value *list = bp_value_list();

    for (size_t t = 0; t < BP_COUNT(tables); t++) {
        for (const struct bp_option *const *o = tables[t]; *o; o++)
            bp_value_append(list, option_value(*o, "core"));
    }
    bpc_each_known(BP_PROVIDE_OPTION, add_option, list);
    return list;
}

/* ---- commands and events ---- */

static struct bp_value *command_value(const struct bp_command *c)
{
    static const char *const names[] = {"preconfig", "no-success-response", "oob"};
    struct bp_value *dict = bp_value_dict(), *flags = bp_value_list(), *returns;
    const struct bp_field result[] = {
        {.name = "return", .kind = c->returns, .schema = c->returns_schema}, BP_FIELDS_END};

    for (unsigned i = 0; i < BP_COUNT(names); i++) {
        if (c->flags & 1u << i)
            bp_value_append(flags, bp_value_string(names[i]));
    }
    bp_value_set(dict, "flags", flags);
    if (c->flags & BP_COMMAND_ANY_ARGS)
        bp_value_set(dict, "any-arguments", bp_value_bool(true));
    bp_value_set(dict, "arguments", bpc_reference_fields(c->args));
    if (c->features)
        bp_value_set(dict, "features", texts(c->features));
    if (c->returns != BP_KIND_NONE) {
        returns = bpc_reference_fields(result);
        bp_value_set(dict, "returns", bp_value_ref(bp_value_at(returns, 0)));
        bp_value_unref(returns);
    }
    return dict;
}

static struct bp_value *event_value(const struct bp_event *event)
{
    struct bp_value *dict = bp_value_dict();

    bp_value_set(dict, "data", bpc_reference_fields(event->data));
    if (event->rate_ms)
        bp_value_set(dict, "rate-ms", bp_value_int(event->rate_ms));
    return dict;
}

static struct bp_value *monitor_value(const struct bp_hmp_command *c)
{
    struct bp_value *dict = bp_value_dict();

    set_text(dict, "parameters", c->params);
    bp_value_set(dict, "arguments", bpc_reference_fields(c->args));
    return dict;
}

static void add_call(const struct bpc_known *known, void *opaque)
{
    struct bp_value *dict;
    const void *desc;

    if (bpc_describe(known->kind, known->name, &desc, NULL) < 0)
        return;
    dict = known->kind == BP_PROVIDE_COMMAND ? command_value(desc)
         : known->kind == BP_PROVIDE_EVENT   ? event_value(desc) : monitor_value(desc);
    set_text(dict, "name", known->name);
    set_text(dict, "summary", known->summary);
    set_text(dict, "module", known->module);
    bp_value_append(opaque, dict);
}

/* A framework's kind with all of its members. */
static void add_kind(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque)
{
    struct bp_value *dict;

    if (bpc_kind_is_core(number))
        return;
    dict = bp_value_dict();
    set_text(dict, "name", kind->name);
    set_text(dict, "summary", kind->summary);
    set_text(dict, "heading", kind->heading);
    set_text(dict, "option", kind->option);
    set_text(dict, "parent", kind->parent);
    set_text(dict, "container", kind->container);
    bp_value_set(dict, "members", bpc_reference_list(number, true));
    bp_value_append(opaque, dict);
}

struct bp_value *bpc_reference_all(void)
{
    static const struct {
        const char *key;
        enum bp_provide_kind kind;
        bool calls;
    } parts[] = {
        {"machines", BP_PROVIDE_BOARD, false}, {"cpus", BP_PROVIDE_CPU, false},
        {"accelerators", BP_PROVIDE_ACCEL, false}, {"devices", BP_PROVIDE_DEVICE, false},
        {"objects", BP_PROVIDE_OBJECT, false},
        {"commands", BP_PROVIDE_COMMAND, true}, {"events", BP_PROVIDE_EVENT, true},
        {"monitor-commands", BP_PROVIDE_HMP, true},
    };
    struct bp_value *all = bp_value_dict(), *list;

    set_text(all, "version", BP_VERSION);
    set_text(all, "compatible-version", BPC_COMPATIBLE_VERSION);
    set_text(all, "architecture", bpc_config.arch);
    bp_value_set(all, "options", bpc_reference_options());
    for (size_t i = 0; i < BP_COUNT(parts); i++) {
        list = parts[i].calls ? bp_value_list() : bpc_reference_list(parts[i].kind, true);
        if (parts[i].calls)
            bpc_each_known(parts[i].kind, add_call, list);
        bp_value_set(all, parts[i].key, list);
    }
    list = bp_value_list();
    bpc_each_kind(add_kind, list);
    bp_value_set(all, "kinds", list);
    return all;
}
