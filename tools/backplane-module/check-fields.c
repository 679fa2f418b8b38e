/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks of a thing's tables: properties, keys, arguments, and what its note says (check.h). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <bp/level.h>

#include "check.h"
#include "schema.h"

struct fields {
    unsigned count, bad;
    size_t limit; /* bytes of the struct that they are in; 0: not known */
};

#define BAD(F, ...) ((F)->bad++, check_bad(__VA_ARGS__))

/* Bytes in the state struct (bp/schema.h). */
static size_t size_of_kind(enum bp_field_kind kind)
{
    switch (kind) {
    case BP_KIND_NONE: return 0;
    case BP_KIND_BOOL:
    case BP_KIND_UINT8:
    case BP_KIND_INT8: return 1;
    case BP_KIND_UINT16:
    case BP_KIND_INT16: return 2;
    case BP_KIND_UINT32:
    case BP_KIND_INT32:
    case BP_KIND_ENUM:
    case BP_KIND_ON_OFF_AUTO: return 4;
    default: return 8;
    }
}

static bool has_default_text(enum bp_field_kind kind)
{
    return bpc_schema_is_integer(kind) || kind == BP_KIND_BOOL || kind == BP_KIND_NUMBER ||
           kind == BP_KIND_ENUM || kind == BP_KIND_ON_OFF_AUTO;
}

static void check_default(struct fields *f, const char *what, const struct bp_field *field)
{
    struct bp_error err = {0};
    struct bp_value *value;

    if (!field->def || !has_default_text(field->kind))
        return;
    if (bpc_schema_from_text(field, field->def, &value, &err) < 0)
        BAD(f, "the default of %s %s, %s, is not one that it takes: %s", what, field->name,
            field->def, err.message);
    else
        bp_value_unref(value);
}

/* Structs within structs; deeper ones than anybody writes are not looked at. */
#define MAX_DEPTH 4u

static void check_one(struct fields *f, const char *what, const struct bp_field *field,
                      unsigned depth);

static void check_members(struct fields *f, const struct bp_schema *schema, unsigned depth)
{
    struct fields within = {0};

    if (!schema || depth == MAX_DEPTH)
        return;
    for (const struct bp_field *m = schema->members; m && m->name; m++)
        check_one(&within, "member", m, depth + 1);
    for (const struct bp_variant *v = schema->variants; v && v->value; v++)
        check_members(&within, v->schema, depth + 1);
    check_members(&within, schema->element, depth + 1);
    f->count += within.count;
    f->bad += within.bad;
}

static void check_one(struct fields *f, const char *what, const struct bp_field *field,
                      unsigned depth)
{
    bool is_signed = bpc_schema_is_signed(field->kind);

    f->count++;
    if (field->kind == BP_KIND_FORWARD) { /* its part says the rest */
        if (!field->target || !field->forward || !strchr(field->forward, '/'))
            BAD(f, "%s %s does not say of what part it is", what, field->name);
        return;
    }
    if (!field->help || !*field->help)
        BAD(f, "%s %s has no help text", what, field->name);
    else if (strpbrk(field->help, "\n\t"))
        BAD(f, "the help text of %s %s is not one line", what, field->name);
    if (field->name[strspn(field->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_.[]")])
        BAD(f, "%s %s has characters in its name that cannot be typed as a key", what, field->name);
    if ((field->min || field->max) && bpc_schema_is_integer(field->kind) &&
        (is_signed ? field->min > (int64_t)field->max
                   : field->min > 0 && (uint64_t)field->min > field->max))
        BAD(f, "%s %s takes %" PRId64 " to %" PRId64 ", which is nothing", what, field->name,
            field->min, (int64_t)field->max);
    else
        check_default(f, what, field);
    if (f->limit && field->offset + size_of_kind(field->kind) > f->limit)
        BAD(f, "%s %s lies at byte %u of a state of %zu bytes", what, field->name, field->offset,
            f->limit);
    check_members(f, field->schema, depth);
}

struct context {
    struct fields fields;
    const char *kind;
    const void *desc;
};

static void check_table(const char *what, const struct bp_field *fields, void *opaque)
{
    struct context *c = opaque;
    const struct bp_type_info *type = tool_type_info(c->kind, c->desc);

    c->fields.limit = type ? type->state_size : 0;
    if (strcmp(c->kind, "bus") == 0 && strcmp(what, "property of children") == 0)
        c->fields.limit = ((const struct bp_bus_class *)c->desc)->child_size;
    if (strcmp(what, "property of the description") == 0)
        c->fields.limit = type->description->type.state_size;
    for (const struct bp_field *f = fields; f && f->name; f++) {
        check_one(&c->fields, what, f, 0);
        for (const struct bp_field *g = fields; g < f; g++)
            if (strcmp(f->name, g->name) == 0)
                BAD(&c->fields, "there are two of %s %s", what, f->name);
    }
}

/* "bus=isa;user=yes" holds this part. */
static bool has_attribute(const char *attributes, const char *key, const char *value)
{
    char **parts = g_strsplit(attributes, ";", -1), *wanted = g_strdup_printf("%s=%s", key, value);
    bool found = g_strv_contains((const char *const *)parts, wanted);

    g_free(wanted);
    g_strfreev(parts);
    return found;
}

/* The note against the descriptor: help and completion read the one, the machine the other. */
static void check_note(const struct check *check, const struct description *thing,
                       struct context *c)
{
    const struct bp_type_info *type = tool_type_info(c->kind, c->desc);
    char *summary = NULL;
    char *attributes = module_file_attributes(&check->file, thing->kind, thing->name, &summary);

    if (type && attributes) {
        if (g_strcmp0(type->summary, summary) != 0)
            BAD(&c->fields, "its note sums it up as \"%s\", its table as \"%s\"", summary,
                type->summary ? type->summary : "");
        if (!*summary)
            BAD(&c->fields, "has no summary");
    }
    if (strcmp(c->kind, "device") == 0 && attributes) {
        const struct bp_device_class *class = c->desc;
        const char *bus = class->bus ? class->bus : "";
        const char *user = class->type.flags & BP_TYPE_NOT_USER_CREATABLE ? "no" : "yes";

        if (*bus && !has_attribute(attributes, "bus", bus))
            BAD(&c->fields, "sits on bus %s, its note says %s", bus, attributes);
        if (!has_attribute(attributes, "user", user))
            BAD(&c->fields, "is for %s, its note says %s",
                *user == 'y' ? "users to create" : "boards alone", attributes);
    }
    g_free(summary);
    g_free(attributes);
}

/* A device whose bus nobody has, here or among what is installed, can never be attached. */
static void check_bus(const struct check *check, struct context *c)
{
    const char *bus = strcmp(c->kind, "device") == 0 ? ((const struct bp_device_class *)c->desc)->bus
                                                     : NULL;
    const struct module_table *table = &check->file.table;
    struct bp_error err = {0};
    const void *desc;

    if (!bus || strcmp(bus, "system") == 0)
        return;
    for (size_t i = 0; i < table->provide_count; i++)
        if (strcmp(table->provides[i].kind, "bus") == 0 && strcmp(table->provides[i].name, bus) == 0)
            return;
    if (bpc_describe(BP_PROVIDE_BUS, bus, &desc, &err) < 0)
        BAD(&c->fields, "sits on bus %s, and so can never be attached: %s", bus, err.message);
}

void check_fields(const struct check *check, const struct description *thing)
{
    struct context c = {.kind = thing->kind};
    struct bp_error err = {0};
    void *desc;

    if (describe_unpack(thing->kind, thing->packed, thing->size, &desc, &err) < 0) {
        check_bad("its descriptor %s", err.message);
        return;
    }
    c.desc = desc;
    tool_each_fields(c.kind, desc, check_table, &c);
    check_note(check, thing, &c);
    check_bus(check, &c);
    if (!c.fields.bad)
        check_ok("described well: %u fields", c.fields.count);
    free(desc);
}
