/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * query-qmp-schema: the tables of commands and events as a flat list of SchemaInfo objects (the
 * format that the QMP manual's chapter on client-side introspection describes). Types get numbers
 * as names. Equal tables are one type wherever they stand in memory, so that the answer is the same
 * whether a command's module is loaded or only described.
 */
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "command.h"
#include "registry.h"
#include "schema.h"

#define DIGEST_DEPTH 24u /* types that differ only further down count as equal */

struct walk {
    struct bp_value *list;
    GHashTable *names;   /* digest of a type -> number as text, or "[NUMBER]" */
    GHashTable *builtin; /* names of built-in types that were listed */
    GHashTable *digests[DIGEST_DEPTH]; /* of what a pointer leads to, to that depth */
    unsigned next;
};

/* ---- what a type looks like, as a number ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; text && *text; text++)
        hash = mix(hash, (unsigned char)*text);
    return mix(hash, 256);
}

static uint64_t mix_texts(uint64_t hash, const char *const *texts)
{
    for (; texts && *texts; texts++)
        hash = mix_text(hash, *texts);
    return mix(hash, 257);
}

static uint64_t digest_schema(struct walk *w, const struct bp_schema *schema, unsigned depth);

static uint64_t digest_kind(struct walk *w, uint64_t hash, enum bp_field_kind kind,
                            const struct bp_schema *schema, unsigned depth)
{
    hash = mix(hash, bpc_schema_is_integer(kind) ? BP_KIND_INT64
                     : kind == BP_KIND_LINK ? BP_KIND_STRING : (uint64_t)kind);
    return schema && depth > 0 ? mix(hash, digest_schema(w, schema, depth - 1)) : hash;
}

static uint64_t digest_fields(struct walk *w, const struct bp_field *fields, unsigned depth)
{
    uint64_t hash = 1;

    for (const struct bp_field *f = fields; f && f->name; f++) {
        hash = mix_texts(mix_text(hash, f->name), f->features);
        hash = mix(hash, f->flags & BP_FIELD_OPTIONAL);
        hash = digest_kind(w, hash, f->kind, f->schema, depth);
    }
    return hash;
}

static uint64_t digest_schema(struct walk *w, const struct bp_schema *schema, unsigned depth)
{
    gpointer known = g_hash_table_lookup(w->digests[depth], schema);
    uint64_t hash = mix(2, schema->kind);

    if (known)
        return (uint64_t)(uintptr_t)known;
    hash = mix(hash, digest_fields(w, schema->members, depth));
    hash = mix_text(mix_texts(hash, schema->choices), schema->discriminator);
    for (const struct bp_variant *v = schema->variants; v && v->value; v++)
        hash = digest_kind(w, mix_text(hash, v->value), BP_KIND_STRUCT, v->schema, depth);
    if (schema->kind == BP_KIND_LIST)
        hash = digest_kind(w, hash, schema->element_kind, schema->element, depth);
    g_hash_table_insert(w->digests[depth], (gpointer)schema, (gpointer)(uintptr_t)hash);
    return hash;
}

/* ---- entries ---- */

static const char *type_name(struct walk *w, const struct bp_field *f);

static struct bp_value *new_entry(struct walk *w, const char *name, const char *meta)
{
    struct bp_value *e = bp_value_dict();

    bp_value_set(e, "name", bp_value_string(name));
    bp_value_set(e, "meta-type", bp_value_string(meta));
    bp_value_append(w->list, e);
    return e;
}

/* JSON kinds: "int", "str", "bool", "number", "any", "null". */
static const char *builtin(struct walk *w, const char *name, const char *json)
{
    if (g_hash_table_add(w->builtin, (void *)name))
        bp_value_set(new_entry(w, name, "builtin"), "json-type", bp_value_string(json));
    return name;
}

/* A number for a type; *ret_new tells that its entry has still to be made. */
static const char *number(struct walk *w, uint64_t digest, bool *ret_new)
{
    gpointer key = (gpointer)(uintptr_t)digest;
    char *name = g_hash_table_lookup(w->names, key);

    *ret_new = !name;
    if (!name) {
        name = g_strdup_printf("%u", w->next++);
        g_hash_table_insert(w->names, key, name);
    }
    return name;
}

static const char *number_of_schema(struct walk *w, const struct bp_schema *schema, bool *ret_new)
{
    return number(w, digest_schema(w, schema, DIGEST_DEPTH - 1), ret_new);
}

static void add_features(struct bp_value *entry, const char *const *features)
{
    struct bp_value *list;

    if (!features)
        return;
    list = bp_value_list();
    for (; *features; features++)
        bp_value_append(list, bp_value_string(*features));
    bp_value_set(entry, "features", list);
}

static struct bp_value *member_list(struct walk *w, const struct bp_field *fields)
{
    struct bp_value *members = bp_value_list();

    for (const struct bp_field *f = fields; f && f->name; f++) {
        struct bp_value *m = bp_value_dict();

        bp_value_set(m, "name", bp_value_string(f->name));
        bp_value_set(m, "type", bp_value_string(type_name(w, f)));
        if (f->flags & BP_FIELD_OPTIONAL)
            bp_value_set(m, "default", bp_value_null());
        add_features(m, f->features);
        bp_value_append(members, m);
    }
    return members;
}

/* The object type of a table of members; NULL is the empty object. */
static const char *object_type(struct walk *w, const struct bp_field *fields)
{
    bool is_new;
    const char *name = number(w, digest_fields(w, fields, DIGEST_DEPTH), &is_new);

    if (is_new) {
        struct bp_value *e = new_entry(w, name, "object");

        bp_value_set(e, "members", member_list(w, fields));
    }
    return name;
}

static const char *enum_type(struct walk *w, const char *const *choices)
{
    bool is_new;
    const char *name = number(w, mix_texts(3, choices), &is_new);

    if (is_new) {
        struct bp_value *e = new_entry(w, name, "enum");
        struct bp_value *members = bp_value_list(), *values = bp_value_list();

        for (const char *const *c = choices; *c; c++) {
            struct bp_value *m = bp_value_dict();

            bp_value_set(m, "name", bp_value_string(*c));
            bp_value_append(members, m);
            bp_value_append(values, bp_value_string(*c));
        }
        bp_value_set(e, "members", members);
        bp_value_set(e, "values", values);
    }
    return name;
}

static const char *list_type(struct walk *w, const struct bp_schema *schema)
{
    const struct bp_field element = {.name = "element", .kind = schema->element_kind,
                                     .schema = schema->element};
    const char *inner = type_name(w, &element);
    char *text = g_strdup_printf("[%s]", inner);
    const char *name = g_intern_string(text);

    /* Several schemas may be lists of the same thing: one entry for all. */
    if (g_hash_table_add(w->builtin, (void *)name))
        bp_value_set(new_entry(w, name, "array"), "element-type", bp_value_string(inner));
    g_free(text);
    return name;
}

static const char *union_type(struct walk *w, const struct bp_schema *schema)
{
    bool is_new;
    const char *name = number_of_schema(w, schema, &is_new);

    if (is_new) {
        struct bp_value *e = new_entry(w, name, "object"), *variants = bp_value_list();

        bp_value_set(e, "members", member_list(w, schema->members));
        bp_value_set(e, "tag", bp_value_string(schema->discriminator));
        for (const struct bp_variant *v = schema->variants; v && v->value; v++) {
            struct bp_value *one = bp_value_dict();

            bp_value_set(one, "case", bp_value_string(v->value));
            bp_value_set(one, "type",
                         bp_value_string(object_type(w, v->schema ? v->schema->members : NULL)));
            bp_value_append(variants, one);
        }
        bp_value_set(e, "variants", variants);
    }
    return name;
}

static const char *alternate_type(struct walk *w, const struct bp_schema *schema)
{
    bool is_new;
    const char *name = number_of_schema(w, schema, &is_new);

    if (is_new) {
        struct bp_value *e = new_entry(w, name, "alternate"), *members = bp_value_list();

        for (const struct bp_field *f = schema->members; f && f->name; f++) {
            struct bp_value *m = bp_value_dict();

            bp_value_set(m, "type", bp_value_string(type_name(w, f)));
            bp_value_append(members, m);
        }
        bp_value_set(e, "members", members);
    }
    return name;
}

static const char *type_name(struct walk *w, const struct bp_field *f)
{
    if (bpc_schema_is_integer(f->kind))
        return builtin(w, "int", "int");
    switch (f->kind) {
    case BP_KIND_NONE:
        return object_type(w, NULL);
    case BP_KIND_BOOL:
        return builtin(w, "bool", "boolean");
    case BP_KIND_NUMBER:
        return builtin(w, "number", "number");
    case BP_KIND_STRING:
    case BP_KIND_LINK:
        return builtin(w, "str", "string");
    case BP_KIND_ON_OFF_AUTO:
        return enum_type(w, bpc_on_off_auto);
    case BP_KIND_ENUM:
        return enum_type(w, f->schema->choices);
    case BP_KIND_STRUCT:
        return object_type(w, f->schema->members);
    case BP_KIND_UNION:
        return union_type(w, f->schema);
    case BP_KIND_ALTERNATE:
        return alternate_type(w, f->schema);
    case BP_KIND_LIST:
        return list_type(w, f->schema);
    default:
        return builtin(w, "any", "value");
    }
}

static void add_command(const struct bpc_known *known, void *opaque)
{
    struct walk *w = opaque;
    const struct bp_command *c;
    const void *desc;

    /* What is broken cannot be called. */
    if (bpc_describe(BP_PROVIDE_COMMAND, known->name, &desc, NULL) < 0)
        return;
    c = desc;
    const struct bp_field returns = {.name = "", .kind = c->returns, .schema = c->returns_schema};
    struct bp_value *e = new_entry(w, known->name, "command");

    bp_value_set(e, "arg-type", bp_value_string(object_type(w, c->args)));
    bp_value_set(e, "ret-type", bp_value_string(type_name(w, &returns)));
    if (c->flags & BP_COMMAND_OOB)
        bp_value_set(e, "allow-oob", bp_value_bool(true));
    add_features(e, c->features);
}

static void add_event(const struct bpc_known *known, void *opaque)
{
    struct walk *w = opaque;
    const void *desc;

    if (bpc_describe(BP_PROVIDE_EVENT, known->name, &desc, NULL) < 0)
        return;
    struct bp_value *e = new_entry(w, known->name, "event");
    bp_value_set(e, "arg-type",
                 bp_value_string(object_type(w, ((const struct bp_event *)desc)->data)));
    add_features(e, ((const struct bp_event *)desc)->features);
}

struct bp_value *bpc_introspect(void)
{
    struct walk w = {
        .list = bp_value_list(),
        .names = g_hash_table_new_full(NULL, NULL, NULL, g_free),
        .builtin = g_hash_table_new(g_str_hash, g_str_equal),
    };

    for (unsigned i = 0; i < DIGEST_DEPTH; i++)
        w.digests[i] = g_hash_table_new(NULL, NULL);
    bpc_each_known(BP_PROVIDE_COMMAND, add_command, &w);
    bpc_each_known(BP_PROVIDE_EVENT, add_event, &w);
    for (unsigned i = 0; i < DIGEST_DEPTH; i++)
        g_hash_table_destroy(w.digests[i]);
    g_hash_table_destroy(w.names);
    g_hash_table_destroy(w.builtin);
    return w.list;
}
