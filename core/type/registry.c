/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry (registry.h): one table per kind, name to entry. A descriptor from a module built
 * against older headers is copied into one of today's size with the new fields zero, so that no
 * other code has to look at sizes.
 */
#include "registry.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include <bp/command.h>
#include <bp/exact/cpu.h>
#include <bp/device.h>
#include <bp/exact/machine.h>
#include <bp/level.h>
#include <bp/option.h>

#include "marks.h"
#include "near.h"

struct entry {
    char *name;
    const char *module; /* interned */
    const void *desc;
    bool alias;
};

static GPtrArray *tables; /* by number of kind: GHashTable of name to struct entry *, or NULL */
static const struct bpc_loader *loader;

static GHashTable *table_of(enum bp_provide_kind kind)
{
    if ((unsigned)kind >= bpc_kind_count() || kind == BP_PROVIDE_END || kind == BP_PROVIDE_OTHER)
        return NULL;
    if (!tables)
        tables = g_ptr_array_new();
    if (tables->len <= (unsigned)kind)
        g_ptr_array_set_size(tables, (int)bpc_kind_count());
    if (!tables->pdata[kind])
        tables->pdata[kind] = g_hash_table_new(g_str_hash, g_str_equal);
    return tables->pdata[kind];
}

void bpc_registry_set_loader(const struct bpc_loader *new_loader)
{
    loader = new_loader;
}

const struct bpc_loader *bpc_registry_loader(void)
{
    return loader;
}

/* Classes of frameworks' kinds are announced without their prefix: "socket" is "chardev-socket". */
static const char *name_in_kind(enum bp_provide_kind kind, const struct bp_type_info *info)
{
    const struct bp_kind *own = info->kind ? info->kind : bpc_kind(kind);
    size_t length = own && own->prefix ? strlen(own->prefix) : 0;
    return info->name && length && strncmp(info->name, own->prefix, length) == 0
               ? info->name + length : info->name;
}

/* The number of what a module lists. BP_PROVIDE_END: it makes no sense. */
static enum bp_provide_kind kind_of(const struct bp_provide *provide)
{
    const struct bp_type_info *info = provide->desc;
    if (provide->kind != BP_PROVIDE_OTHER)
        return bpc_kind_is_core(provide->kind) ? provide->kind : BP_PROVIDE_END;
    if (!info || info->size < sizeof(*info) || !info->kind || !info->kind->name)
        return BP_PROVIDE_END;
    enum bp_provide_kind kind = bpc_kind_from_name(info->kind->name, strlen(info->kind->name));
    return bpc_kind_is_core(kind) ? BP_PROVIDE_END : kind;
}

const char *bpc_provide_name(const struct bp_provide *provide)
{
    if (!provide->desc)
        return NULL;
    switch (provide->kind) {
    case BP_PROVIDE_END: return NULL;
    case BP_PROVIDE_INTERFACE: {
        const struct bp_interface *face = provide->desc;
        char name[128];
        if (!face->name)
            return NULL;
        snprintf(name, sizeof(name), "%s/%u", face->name, face->major);
        return g_intern_string(name);
    }
    case BP_PROVIDE_OPTION: return ((const struct bp_option *)provide->desc)->name;
    case BP_PROVIDE_COMMAND: return ((const struct bp_command *)provide->desc)->name;
    case BP_PROVIDE_HMP: return ((const struct bp_hmp_command *)provide->desc)->name;
    case BP_PROVIDE_EVENT: return ((const struct bp_event *)provide->desc)->name;
    case BP_PROVIDE_KIND: return ((const struct bp_kind *)provide->desc)->name;
    default:
        return bpc_kind_is_core(provide->kind) ? ((const struct bp_type_info *)provide->desc)->name
                                               : name_in_kind(provide->kind, provide->desc);
    }
}

/* Other names under which bpc_find() shall find it; NULL-terminated, or NULL. */
static const char *const *aliases_of(enum bp_provide_kind kind, const void *desc,
                                     const char *one[static 2])
{
    one[0] = one[1] = NULL;
    if (kind == BP_PROVIDE_DEVICE)
        return ((const struct bp_device_class *)desc)->aliases;
    if (kind == BP_PROVIDE_BOARD)
        one[0] = ((const struct bp_board_class *)desc)->alias;
    else if (kind == BP_PROVIDE_OPTION)
        one[0] = ((const struct bp_option *)desc)->alias;
    return one;
}

/* The kind among those that a module brings itself, or that its framework has registered. */
static const struct bp_kind *find_kind(const struct bp_provide *provides, const char *name)
{
    for (const struct bp_provide *p = provides; p->kind != BP_PROVIDE_END; p++) {
        if (p->kind == BP_PROVIDE_KIND && p->desc && !strcmp(bpc_provide_name(p), name))
            return p->desc;
    }
    return bpc_find(BP_PROVIDE_KIND, name);
}

/* A class of a framework's kind: is the framework there, of the right version, and content? */
static int check_member(const char *module, const struct bp_provide *provides,
                        const struct bp_type_info *info, struct bp_error *err)
{
    const struct bp_kind *asked = info->kind, *own = find_kind(provides, asked->name);
    struct bp_error why = {0};
    if (!own)
        return bp_fail(err, ENOENT, "Module '%s' provides %s '%s', and no module declares kind %s",
                       module, asked->name, info->name, asked->name);
    if (asked->major != own->major || asked->minor > own->minor)
        return bp_fail(err, EINVAL, "Module '%s' was built for kind %s %u.%u; the framework here has "
                       "%u.%u", module, own->name, asked->major, asked->minor, own->major, own->minor);
    if (own->check && own->check(info, &why) < 0)
        return bp_fail(err, why.code ? why.code : EINVAL, "Module '%s': %s '%s' %s", module, own->name,
                       info->name, why.message);
    return 0;
}

static int check_kind(const char *module, const struct bp_kind *kind, struct bp_error *err)
{
    enum bp_provide_kind number = bpc_kind_from_name(kind->name, strlen(kind->name));
    if (number == BP_PROVIDE_END || bpc_kind_is_core(number))
        return bp_fail(err, EINVAL, "Module '%s' declares kind '%s', which %s", module, kind->name,
                       number == BP_PROVIDE_END ? "is no name for one" : "is the core's");
    if (!kind->shape || kind->shape->size < sizeof(struct bp_type_info))
        return bp_fail(err, EINVAL, "Module '%s' declares kind '%s' without the shape of its classes",
                       module, kind->name);
    return 0;
}

static int check_one(const char *module, const struct bp_provide *provides,
                     const struct bp_provide *provide, struct bp_error *err)
{
    enum bp_provide_kind kind = kind_of(provide);
    if (kind == BP_PROVIDE_END || !provide->desc)
        return bp_fail(err, EINVAL, "Module '%s' provides something of unknown kind %u", module,
                       (unsigned)provide->kind);
    uint32_t size = *(const uint32_t *)provide->desc;
    if (size < bpc_kind_least(kind) || size > 65536)
        return bp_fail(err, EINVAL, "Module '%s': a %s descriptor says its size is %u bytes",
                       module, bpc_kind_name(kind), size);
    const struct bp_provide named = {kind, provide->desc};
    const char *name = bpc_provide_name(&named);
    if (!name || !*name)
        return bp_fail(err, EINVAL, "Module '%s' provides a %s without a name", module,
                       bpc_kind_name(kind));
    if (kind == BP_PROVIDE_KIND)
        return check_kind(module, provide->desc, err);
    return bpc_kind_is_core(kind) ? 0 : check_member(module, provides, provide->desc, err);
}

static void add_entry(enum bp_provide_kind kind, const char *module, const char *name,
                      const void *desc, bool alias)
{
    struct entry *e = g_new0(struct entry, 1);
    e->name = g_strdup(name);
    e->module = g_intern_string(module);
    e->desc = desc;
    e->alias = alias;
    g_hash_table_insert(table_of(kind), e->name, e);
}

const void *bpc_registry_grown(enum bp_provide_kind kind, const void *desc)
{
    static GHashTable *copies; /* what a module has, to the larger copy */
    const struct bp_kind *open = bpc_kind_is_core(kind) ? NULL : bpc_kind(kind);
    size_t wanted = open ? open->shape->size : bpc_kind_size(kind);
    uint32_t size = *(const uint32_t *)desc;
    if (size >= wanted)
        return desc;
    if (!copies)
        copies = g_hash_table_new(NULL, NULL);
    void *copy = g_hash_table_lookup(copies, desc);
    if (!copy) {
        copy = g_malloc0(wanted);
        memcpy(copy, desc, size);
        g_hash_table_insert(copies, (gpointer)desc, copy);
    }
    return copy;
}

/* An alias that is taken already is left with whoever has it: it is a convenience. */
static void add_one(const char *module, const struct bp_provide *provide)
{
    enum bp_provide_kind kind = kind_of(provide);
    const void *desc = bpc_registry_grown(kind, provide->desc);
    const struct bp_provide named = {kind, desc};
    const char *name = bpc_provide_name(&named);
    GHashTable *table = table_of(kind);
    struct entry *old = g_hash_table_lookup(table, name);
    if (old) { /* an alias of something else gives way */
        g_hash_table_remove(table, old->name);
        g_free(old->name);
        g_free(old);
    }
    add_entry(kind, module, name, desc, false);
    const char *one[2];
    const char *const *alias = aliases_of(kind, desc, one);
    for (; alias && *alias; alias++) {
        if (!g_hash_table_contains(table, *alias))
            add_entry(kind, module, *alias, desc, true);
    }
}

struct named {
    enum bp_provide_kind kind;
    const char *name;
};

static guint hash_named(gconstpointer key)
{
    const struct named *n = key;
    return g_str_hash(n->name) * 31 + n->kind;
}

static gboolean same_named(gconstpointer a, gconstpointer b)
{
    const struct named *x = a, *y = b;
    return x->kind == y->kind && !strcmp(x->name, y->name);
}

/* Is everything what it says it is, and has nobody its name? */
static int check_all(const char *module, const struct bp_provide *provides, GHashTable *seen,
                     struct bp_error *err)
{
    for (const struct bp_provide *p = provides; p->kind != BP_PROVIDE_END; p++) {
        int ret = check_one(module, provides, p, err);
        if (ret < 0)
            return ret;
        const struct bp_provide provide = {kind_of(p), p->desc};
        struct named *named = g_new(struct named, 1);
        *named = (struct named){provide.kind, bpc_provide_name(&provide)};
        const struct entry *old = g_hash_table_lookup(table_of(named->kind), named->name);
        bool twice = g_hash_table_contains(seen, named);
        g_hash_table_add(seen, named);
        if (old && !old->alias)
            return bp_fail(err, EEXIST,
                           "Module '%s' provides %s '%s', which module '%s' already "
                           "provides",
                           module, bpc_kind_name(provide.kind), old->name, old->module);
        if (twice)
            return bp_fail(err, EEXIST, "Module '%s' provides %s '%s' twice", module,
                           bpc_kind_name(provide.kind), bpc_provide_name(&provide));
    }
    return 0;
}

int bpc_register_all(const char *module, const struct bp_provide *provides, struct bp_error *err)
{
    GHashTable *seen = g_hash_table_new_full(hash_named, same_named, g_free, NULL);
    int ret = check_all(module, provides, seen, err);
    g_hash_table_unref(seen);
    if (ret < 0)
        return ret;
    /* Kinds first: what is of them looks them up. */
    for (const struct bp_provide *p = provides; p->kind != BP_PROVIDE_END; p++) {
        if (p->kind == BP_PROVIDE_KIND)
            add_one(module, p);
    }
    for (const struct bp_provide *p = provides; p->kind != BP_PROVIDE_END; p++) {
        if (p->kind != BP_PROVIDE_KIND)
            add_one(module, p);
    }
    return 0;
}

const void *bpc_find(enum bp_provide_kind kind, const char *name)
{
    GHashTable *table = table_of(kind);
    const struct entry *e = table ? g_hash_table_lookup(table, name) : NULL;
    return e ? e->desc : NULL;
}

int bpc_resolve_file(enum bp_provide_kind kind, const char *name_or_path, const char **ret_name,
                     struct bp_error *err)
{
    if (!strchr(name_or_path, '/')) {
        *ret_name = name_or_path;
        return 0;
    }
    if (!loader || !loader->resolve_file)
        return bp_fail(err, ENOSYS, "'%.200s' is a file, and this program loads no modules",
                       name_or_path);
    return loader->resolve_file(kind, name_or_path, ret_name, err);
}

void bpc_missing_hint(enum bp_provide_kind kind, const char *name, char *buf, size_t size)
{
    char near[256] = "", package[384] = "";
    bool exact = loader && loader->missing && loader->missing(kind, name, package, sizeof(package));
    if (!exact && *name) /* the right name needs no near ones beside it */
        bpc_nearest(kind, name, near, sizeof(near));
    if (g_str_has_suffix(name, ".so") && !strchr(name, '/'))
        snprintf(buf, size, "; the file of a module needs a slash: ./%.200s", name);
    else
        snprintf(buf, size, "%s%s%s", *near ? "; near names: " : "", near, package);
}

/* A list that fits a line is worth more than "there is none". */
#define NAMES_IN_ERRORS 32u

static void list_name(const struct bpc_known *known, void *opaque)
{
    g_ptr_array_add(opaque, (void *)known->name);
}

static void list_names(enum bp_provide_kind kind, char *buf, size_t size)
{
    GPtrArray *names = g_ptr_array_new();
    char *list;
    bpc_each_known(kind, list_name, names);
    if (names->len > 0 && names->len <= NAMES_IN_ERRORS) {
        g_ptr_array_add(names, NULL);
        list = g_strjoinv(", ", (char **)names->pdata);
        g_snprintf(buf, size, "; known: %s", list);
        g_free(list);
    }
    g_ptr_array_free(names, TRUE);
}

static int tell_unknown(enum bp_provide_kind kind, const char *name, struct bp_error *err)
{
    char hint[BPC_HINT_SIZE];
    if (!err)
        return -ENOENT;
    bpc_missing_hint(kind, name, hint, sizeof(hint));
    if (!*hint)
        list_names(kind, hint, sizeof(hint));
    return bp_fail(err, ENOENT, "No %s '%.200s' is known%s", bpc_kind_name(kind), name, hint);
}

/* A module may have been loaded for another thing than the one that is denied, and a denied thing
 * may be asked for by an alias. */
static int look_up(enum bp_provide_kind kind, const char **name, const void **ret_desc,
                   struct bp_error *err)
{
    int ret = loader && loader->judge ? loader->judge(kind, name, err) : 0;
    if (ret < 0)
        return ret;
    const struct bp_provide provide = {kind, bpc_find(kind, *name)};
    const char *own = provide.desc ? bpc_provide_name(&provide) : NULL;
    if (own && loader && loader->judge && strcmp(own, *name) != 0)
        ret = loader->judge(kind, &own, err);
    *ret_desc = provide.desc;
    return ret;
}

int bpc_require(enum bp_provide_kind kind, const char *name, const void **ret_desc,
                struct bp_error *err)
{
    const void *desc;
    int judged = look_up(kind, &name, &desc, err);
    if (judged < 0)
        return judged;
    if (!desc && loader && loader->load) {
        struct bp_error load_err = {0};
        int ret = loader->load(kind, name, &load_err);
        if (ret < 0 && ret != -ENOENT) {
            if (err)
                *err = load_err;
            return ret;
        }
        desc = bpc_find(kind, name);
        if (!desc && ret < 0 && load_err.code) {
            if (err)
                *err = load_err; /* says more than we know: package, policy, nearest names */
            return ret;
        }
    }
    if (!desc)
        return tell_unknown(kind, name, err);
    *ret_desc = desc;
    return 0;
}

int bpc_describe(enum bp_provide_kind kind, const char *name, const void **ret_desc,
                 struct bp_error *err)
{
    struct bp_error why = {0};
    const void *desc = NULL;
    int ret = look_up(kind, &name, &desc, &why);
    if (ret == 0 && !desc && loader && loader->describe)
        ret = loader->describe(kind, name, &desc, &why);
    if (ret < 0 && (ret != -ENOENT || why.code)) {
        if (err)
            *err = why;
        return ret;
    }
    if (!desc)
        return tell_unknown(kind, name, err);
    *ret_desc = desc;
    return 0;
}

int bpc_require_interface(const char *name, unsigned major, const void **ret_table,
                          struct bp_error *err)
{
    char full[128];
    const void *desc;
    snprintf(full, sizeof(full), "%s/%u", name, major);
    int ret = bpc_require(BP_PROVIDE_INTERFACE, full, &desc, err);
    if (ret < 0)
        return ret;
    *ret_table = ((const struct bp_interface *)desc)->table;
    return 0;
}

int bp_interface_require(const char *name, unsigned major, const void **ret_table, struct bp_error *err)
{
    bpc_assert_main();
    return bpc_require_interface(name, major, ret_table, err);
}

static const char *summary_of(enum bp_provide_kind kind, const void *desc)
{
    const char *text = NULL;
    if (bpc_kind_has_types(kind))
        text = ((const struct bp_type_info *)desc)->summary;
    else if (kind == BP_PROVIDE_OPTION)
        text = ((const struct bp_option *)desc)->help;
    else if (kind == BP_PROVIDE_COMMAND)
        text = ((const struct bp_command *)desc)->summary;
    else if (kind == BP_PROVIDE_HMP)
        text = ((const struct bp_hmp_command *)desc)->summary;
    else if (kind == BP_PROVIDE_EVENT)
        text = ((const struct bp_event *)desc)->summary;
    else if (kind == BP_PROVIDE_KIND)
        text = ((const struct bp_kind *)desc)->summary;
    return text ? text : "";
}

/* What a note would say of a registered class: "bus=isa;user=yes". Interned. */
static const char *attributes_of(enum bp_provide_kind kind, const void *desc)
{
    char text[256] = "";
    if (kind == BP_PROVIDE_DEVICE) {
        const struct bp_device_class *class = desc;
        snprintf(text, sizeof(text), "bus=%s;user=%s", class->bus ? class->bus : "system",
                 class->type.flags & BP_TYPE_NOT_USER_CREATABLE ? "no" : "yes");
    } else if (kind == BP_PROVIDE_BOARD) {
        snprintf(text, sizeof(text), "arch=%s", ((const struct bp_board_class *)desc)->arch);
    } else if (kind == BP_PROVIDE_CPU) {
        const struct bp_cpu_class *class = desc;
        snprintf(text, sizeof(text), "arch=%s;model=%s", class->arch, class->model);
    } else if (kind == BP_PROVIDE_ACCEL) {
        snprintf(text, sizeof(text), "arch=%s", ((const struct bp_accel_class *)desc)->arch);
    }
    return g_intern_string(text);
}

static void collect_known(const struct bpc_known *known, void *opaque)
{
    GHashTable *all = opaque;
    struct bpc_known *mine = g_hash_table_lookup(all, known->name);
    if (!mine) {
        g_hash_table_insert(all, (gpointer)known->name, g_memdup2(known, sizeof(*known)));
        return;
    }
    /* The note's attributes may hold more than the class shows. */
    if (known->attributes && *known->attributes)
        mine->attributes = known->attributes;
}

static gint compare_known(gconstpointer a, gconstpointer b)
{
    const struct bpc_known *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void bpc_each_known(enum bp_provide_kind kind,
                    void (*fn)(const struct bpc_known *known, void *opaque), void *opaque)
{
    GHashTable *table = table_of(kind);
    if (!table)
        return;
    GHashTable *all = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, table);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const struct entry *e = value;
        if (e->alias)
            continue;
        struct bpc_known known = {
            kind,      e->name, summary_of(kind, e->desc), attributes_of(kind, e->desc),
            e->module, true};
        collect_known(&known, all);
    }
    if (loader && loader->each)
        loader->each(kind, collect_known, all);
    GPtrArray *sorted = g_ptr_array_new();
    g_hash_table_iter_init(&it, all);
    while (g_hash_table_iter_next(&it, NULL, &value))
        g_ptr_array_add(sorted, value);
    g_ptr_array_sort(sorted, compare_known);
    for (guint i = 0; i < sorted->len; i++)
        fn(sorted->pdata[i], opaque);
    g_ptr_array_unref(sorted);
    g_hash_table_unref(all);
}

struct provided_visit {
    void (*fn)(const char *name, const char *summary, void *opaque);
    void *opaque;
};

static void visit_provided(const struct bpc_known *known, void *opaque)
{
    const struct provided_visit *visit = opaque;
    visit->fn(known->name, known->summary, visit->opaque);
}

bool bp_provided(const char *kind, const char *name)
{
    bpc_assert_main();
    const void *desc;
    return bpc_describe(bpc_kind_from_name(kind, strlen(kind)), name, &desc, NULL) == 0;
}

void bp_provided_each(const char *kind,
                      void (*fn)(const char *name, const char *summary, void *opaque), void *opaque)
{
    bpc_assert_locked();
    struct provided_visit visit = {fn, opaque};
    bpc_each_known(bpc_kind_from_name(kind, strlen(kind)), visit_provided, &visit);
}

static void offer_near(const struct bpc_known *known, void *opaque)
{
    static const char key[] = "alias=";
    const char *alias = known->attributes ? strstr(known->attributes, key) : NULL;
    bpc_near_offer(opaque, known->name);
    if (alias) { /* what people call a board */
        char *name = g_strndup(alias + strlen(key), strcspn(alias + strlen(key), ";"));
        bpc_near_offer(opaque, g_intern_string(name));
        g_free(name);
    }
}

void bpc_nearest(enum bp_provide_kind kind, const char *name, char *buf, size_t size)
{
    struct bpc_near near;
    bpc_near_init(&near, name);
    bpc_each_known(kind, offer_near, &near);
    bpc_near_print(&near, buf, size);
}
