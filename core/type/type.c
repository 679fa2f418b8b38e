/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types by their public names (type.h). Parents that no module describes are derived: of a device
 * on bus "pci" it is "pci-device", of a CPU "x86_64-cpu"; both end at "device".
 */
#include "type.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/device.h>
#include <bp/exact/cpu.h>

#include "registry.h"

static const struct bpc_type builtin[] = {
    {BP_PROVIDE_END, "accel", "object", NULL, true, 0},
    {BP_PROVIDE_END, "bus", "object", NULL, true, 0},
    {BP_PROVIDE_END, "container", "object", NULL, false, BP_TYPE_NOT_USER_CREATABLE},
    {BP_PROVIDE_END, "cpu", "device", NULL, true, 0},
    {BP_PROVIDE_END, "device", "object", NULL, true, 0},
    {BP_PROVIDE_END, "machine", "object", NULL, true, 0},
    {BP_PROVIDE_END, "object", NULL, NULL, true, 0},
    {BP_PROVIDE_END, "sys-bus-device", "device", NULL, true, 0},
};

static const struct bpc_type *find_builtin(const char *name)
{
    for (unsigned i = 0; i < BP_COUNT(builtin); i++) {
        if (!strcmp(builtin[i].name, name))
            return &builtin[i];
    }
    return NULL;
}

static const char *join(const char *prefix, const char *name, const char *suffix)
{
    if (!*prefix && !*suffix)
        return g_intern_string(name);
    char *text = g_strconcat(prefix, name, suffix, NULL);
    const char *interned = g_intern_string(text);
    g_free(text);
    return interned;
}

const char *bpc_type_public_name(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    const char *suffix = bpc_kind_suffix(kind);
    /* Class names carry the prefix already. */
    return *suffix ? join("", info->name, suffix) : info->name;
}

static const char *bus_parent(const char *bus, size_t len)
{
    char *name = g_strndup(bus, len);
    const char *parent =
        !len || !strcmp(name, "system") ? "sys-bus-device" : join("", name, "-device");
    g_free(name);
    return parent;
}

static const char *root_of(enum bp_provide_kind number)
{
    const struct bp_kind *kind = bpc_kind(number);
    return kind && kind->parent ? kind->parent : "object";
}

static const char *parent_of_class(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    if (info->parent)
        return info->parent;
    if (kind == BP_PROVIDE_DEVICE) {
        const struct bp_device_class *class = (const struct bp_device_class *)info;
        return bus_parent(class->bus ? class->bus : "", class->bus ? strlen(class->bus) : 0);
    }
    return root_of(kind);
}

enum bp_provide_kind bpc_type_parent_kind(enum bp_provide_kind kind)
{
    return kind == BP_PROVIDE_BUS ? BP_PROVIDE_BUS : BP_PROVIDE_ABSTRACT;
}

bool bpc_type_is_of_machine(const char *name)
{
    /* CPU models have no suffix of their kind: theirs is the parent's name, "x86_64-cpu". */
    return g_str_has_suffix(name, bpc_kind_suffix(BP_PROVIDE_BOARD)) || g_str_has_suffix(name, "-cpu");
}

/* A processor's parent is named after its architecture; a module may describe it, but need not. */
static bool follows_from_class(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    const struct bp_cpu_class *class = (const struct bp_cpu_class *)info;
    const struct bpc_loader *loader = bpc_registry_loader();
    if (kind != BP_PROVIDE_CPU || info->size < offsetof(struct bp_cpu_class, init) || !class->arch)
        return false;
    size_t len = strlen(class->arch);
    return !strncmp(info->parent, class->arch, len) && !strcmp(info->parent + len, "-cpu") &&
           !bpc_find(BP_PROVIDE_ABSTRACT, info->parent) &&
           !(loader && loader->lists && loader->lists(BP_PROVIDE_ABSTRACT, info->parent));
}

bool bpc_type_has_parent_level(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    return info->parent && !find_builtin(info->parent) && strcmp(info->parent, root_of(kind)) &&
           !follows_from_class(kind, info);
}

static void fill(enum bp_provide_kind kind, const void *desc, struct bpc_type *ret_type)
{
    const struct bp_provide provide = {kind, desc};
    const struct bp_type_info *info = desc;
    *ret_type = (struct bpc_type){
        .kind = kind,
        .name = g_intern_string(bpc_type_public_name(kind, info)),
        .parent = g_intern_string(parent_of_class(kind, info)),
        .provided_as = g_intern_string(bpc_provide_name(&provide)),
        .abstract = kind == BP_PROVIDE_ABSTRACT,
        .flags = info->flags};
}

struct search {
    const char *name;
    struct bpc_type *found;
    bool done;
};

static void search_kind(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque)
{
    struct search *s = opaque;
    const char *before = kind->prefix ? kind->prefix : "", *after = bpc_kind_suffix(number);
    size_t prefix = strlen(before), suffix = strlen(after), len = strlen(s->name);
    const void *desc;
    if (s->done || len <= prefix + suffix || !g_str_has_prefix(s->name, before) ||
        !g_str_has_suffix(s->name, after))
        return;
    char *middle = g_strndup(s->name + prefix, len - prefix - suffix);
    int ret = bpc_describe(number, middle, &desc, NULL);
    g_free(middle);
    if (ret < 0)
        return;
    fill(number, desc, s->found);
    s->done = !strcmp(s->found->name, s->name); /* not one of its aliases */
}

/* Looks one up by its name alone, without collecting all. */
static bool find_direct(const char *name, struct bpc_type *ret_type)
{
    const struct bpc_type *own = find_builtin(name);
    if (own) {
        *ret_type = *own;
        return true;
    }
    struct search search = {name, ret_type, false};
    bpc_each_kind(search_kind, &search);
    return search.done;
}

/* ---- all types, collected ---- */

struct collect {
    GHashTable *types; /* name to struct bpc_type * */
};

static void collect_type(GHashTable *types, const struct bpc_type *type)
{
    if (!g_hash_table_contains(types, type->name))
        g_hash_table_insert(types, (gpointer)type->name, g_memdup2(type, sizeof(*type)));
}

static void collect_known(const struct bpc_known *known, void *opaque)
{
    struct collect *c = opaque;
    const void *desc;
    struct bpc_type type;
    /* What is broken cannot be made, so it is no type. */
    if (bpc_describe(known->kind, known->name, &desc, NULL) < 0)
        return;
    fill(known->kind, desc, &type);
    collect_type(c->types, &type);
}

/* What a name that only occurs as the parent of such types must be: an abstract type itself. */
static struct bpc_type derived_parent(const char *name, enum bp_provide_kind kind)
{
    return (struct bpc_type){
        .kind = BP_PROVIDE_END, .name = name, .parent = root_of(kind), .abstract = true};
}

static void collect_kind(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque)
{
    (void)kind;
    bpc_each_known(number, collect_known, opaque);
}

static GHashTable *collect_all(void)
{
    struct collect c = {.types = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free)};
    for (unsigned i = 0; i < BP_COUNT(builtin); i++)
        collect_type(c.types, &builtin[i]);
    bpc_each_kind(collect_kind, &c);
    GList *types = g_hash_table_get_values(c.types);
    for (GList *l = types; l; l = l->next) {
        const struct bpc_type *type = l->data;
        if (type->parent && !g_hash_table_contains(c.types, type->parent)) {
            struct bpc_type parent = derived_parent(type->parent, type->kind);
            collect_type(c.types, &parent);
        }
    }
    g_list_free(types);
    return c.types;
}

static bool chain_has(GHashTable *types, const char *name, const char *ancestor)
{
    for (unsigned depth = 0; name && depth < 32; depth++) {
        if (!strcmp(name, ancestor))
            return true;
        const struct bpc_type *type = g_hash_table_lookup(types, name);
        name = type ? type->parent : NULL;
    }
    return false;
}

bool bpc_type_chain_has(enum bp_provide_kind kind, const struct bp_type_info *info,
                        const char *ancestor)
{
    /* Without collecting: the classes of live objects are loaded, and so are their parents. */
    const char *name = parent_of_class(kind, info);
    for (unsigned depth = 0; name && depth < 32; depth++) {
        if (!strcmp(name, ancestor))
            return true;
        const struct bpc_type *type = find_builtin(name);
        const struct bp_type_info *parent = bpc_find(bpc_type_parent_kind(kind), name);
        if (type)
            name = type->parent;
        else
            name = parent && parent->parent ? parent->parent : root_of(kind);
    }
    return false;
}

bool bpc_type_find(const char *name, struct bpc_type *ret_type)
{
    if (find_direct(name, ret_type))
        return true;
    GHashTable *types = collect_all(); /* it may be somebody's derived parent */
    const struct bpc_type *type = g_hash_table_lookup(types, name);
    if (type)
        *ret_type = *type;
    g_hash_table_unref(types);
    return type != NULL;
}

bool bpc_type_implements(const char *name, const char *ancestor)
{
    struct bpc_type type;
    if (!bpc_type_find(name, &type))
        return false;
    enum bp_provide_kind kind = type.kind;
    for (unsigned depth = 0; name && depth < 32; depth++) {
        if (!strcmp(name, ancestor))
            return true;
        bool found = depth == 0 || find_direct(name, &type);
        name = found ? type.parent : derived_parent(name, kind).parent;
    }
    return false;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct bpc_type *)a)->name, ((const struct bpc_type *)b)->name);
}

void bpc_each_type(const char *implements, bool abstract,
                   void (*fn)(const struct bpc_type *type, void *opaque), void *opaque)
{
    GHashTable *types = collect_all();
    GList *sorted = g_list_sort(g_hash_table_get_values(types), compare_names);
    for (GList *l = sorted; l; l = l->next) {
        const struct bpc_type *type = l->data;
        if (type->abstract && !abstract)
            continue;
        if (!implements || chain_has(types, type->name, implements))
            fn(type, opaque);
    }
    g_list_free(sorted);
    g_hash_table_unref(types);
}
