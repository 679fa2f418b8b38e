/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds modules: the *.so files of the module directories, by their ELF notes. Directories, in this
 * order: those of -module-dir, those of BACKPLANE_MODULE_PATH (both ignored when privileges were
 * raised), then the first of: modules/ beside the executable (a build tree), the library directory
 * relative to the executable, the configured library directory. What is found first wins.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modules.h"

#define MAX_MODULES 4096u /* files looked at, over all directories */

extern const char bpc_exact_stamp[]; /* core/version.c */

static GPtrArray *extra_paths; /* char * */
static GPtrArray *modules;     /* struct module * */
static GPtrArray *usable;      /* struct provide *, sorted, each kind:name once */
static GPtrArray *unusable;    /* of refused modules, for errors that tell why */
static unsigned provide_count;

int module_refuse(struct module *m, bool for_good, int code, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_free(m->error);
    m->error = g_strdup_printf("module %s (%s) %s", m->name, m->file, text);
    g_free(text);
    /* ENOENT is kept for names that nobody knows: of those, callers tell in their own words. */
    m->code = code == ENOENT ? ELIBACC : code;
    m->state = MODULE_FAILED;
    m->refused = for_good;
    return -m->code;
}

/* ---- reading one module's notes ---- */

/* "device:NAME;bus=isa;user=yes;summary=TEXT", split in place. */
static bool add_provide(struct module *m, char *text)
{
    char *colon = strchr(text, ':'), *name, *end, *summary;
    struct provide *p;
    enum bp_provide_kind kind;

    if (!colon || colon[1] == '\0' || colon[1] == ';')
        return false;
    kind = bpc_kind_from_name(text, (size_t)(colon - text));
    if (kind == BP_PROVIDE_END)
        return false;
    name = colon + 1;
    end = name + strcspn(name, ";");
    summary = strstr(end, ";summary=");
    if (summary) {
        *summary = '\0';
        summary += 9;
    }
    if (*end == ';')
        *end++ = '\0';
    p = g_new0(struct provide, 1);
    p->kind = kind;
    p->name = name;
    p->summary = summary ? summary : "";
    p->attributes = end;
    p->module = m;
    p->order = provide_count++;
    g_ptr_array_add(m->provides, p);
    return true;
}

/* "board:pc=pc-i440fx-9.1": the alias finds the module, and is shown with what it stands for. */
static bool add_alias(struct module *m, char *text)
{
    char *colon = strchr(text, ':'), *equals = colon ? strchr(colon, '=') : NULL;
    enum bp_provide_kind kind;
    struct provide *p;

    if (!equals || equals == colon + 1)
        return false;
    kind = bpc_kind_from_name(text, (size_t)(colon - text));
    *equals = '\0';
    for (unsigned i = 0; i < m->provides->len; i++) {
        struct provide *target = m->provides->pdata[i];

        if (target->kind != kind || target->alias || strcmp(target->name, equals + 1) != 0)
            continue;
        g_free(target->attributes_owned);
        target->attributes = target->attributes_owned =
            g_strdup_printf("%s%salias=%s", target->attributes,
                            target->attributes[0] ? ";" : "", colon + 1);
        p = g_new0(struct provide, 1);
        *p = *target;
        p->attributes_owned = NULL;
        p->name = colon + 1;
        p->alias = true;
        p->order = provide_count++;
        g_ptr_array_add(m->provides, p);
        return true;
    }
    return false;
}

static const char *note_or_empty(const struct module *m, const char *key)
{
    const char *value = notes_get(&m->notes, key);

    return value ? value : "";
}

/* The notes' ABI against ours; every field that differs is named with both values. */
static void check_abi(struct module *m)
{
    GString *why = g_string_new(NULL);
    unsigned major = 0, minor = 0;
    char *end = NULL;

    errno = 0;
    if (g_ascii_isdigit(m->abi[0]))
        major = (unsigned)strtoul(m->abi, &end, 10);
    if (end && *end == '.' && g_ascii_isdigit(end[1]))
        minor = (unsigned)strtoul(end + 1, &end, 10);
    if (!end || *end != '\0' || errno != 0)
        g_string_append_printf(why, "abi \"%s\" (here %d.%d)", m->abi, BP_ABI_MAJOR, BP_ABI_MINOR);
    else if (major != BP_ABI_MAJOR)
        g_string_append_printf(why, "abi major %u (here %d)", major, BP_ABI_MAJOR);
    else if (minor > BP_ABI_MINOR)
        g_string_append_printf(why, "abi minor %u (here %d)", minor, BP_ABI_MINOR);
    if (strncmp(m->tier, "exact:", 6) == 0) {
        if (strcmp(m->tier + 6, bpc_exact_stamp) != 0)
            g_string_append_printf(why, "%sexact stamp %s (here %s)", why->len ? ", " : "",
                                   m->tier + 6, bpc_exact_stamp);
    } else if (strcmp(m->tier, "public") != 0) {
        g_string_append_printf(why, "%stier \"%s\" (here public or exact:%s)",
                               why->len ? ", " : "", m->tier, bpc_exact_stamp);
    }
    if (why->len)
        module_refuse(m, true, ENOEXEC, "does not fit this program: it was built for %s",
                      why->str);
    g_string_free(why, TRUE);
}

static bool name_is_sane(const char *name)
{
    return name[0] != '\0' && strlen(name) <= 128 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+") ==
               strlen(name);
}

static void understand_notes(struct module *m)
{
    const char *name = note_or_empty(m, "name");

    m->summary = note_or_empty(m, "summary");
    m->version = note_or_empty(m, "version");
    m->license = note_or_empty(m, "license");
    m->tier = note_or_empty(m, "tier");
    m->abi = note_or_empty(m, "abi");
    if (!name_is_sane(name)) {
        module_refuse(m, true, EBADMSG, "is malformed: its notes have no usable name");
        return;
    }
    g_free((char *)m->name);
    m->name = g_strdup(name);
    for (char *r = notes_next(&m->notes, NULL), *next; r; r = next) {
        bool good = true;

        next = notes_next(&m->notes, r); /* before the record is split */
        if (strncmp(r, "provides=", 9) == 0)
            good = add_provide(m, r + 9);
        else if (strncmp(r, "requires=", 9) == 0)
            g_ptr_array_add(m->requires, r + 9);
        if (!good) {
            module_refuse(m, true, EBADMSG, "is malformed: note \"%s\" names no known kind", r);
            return;
        }
    }
    for (char *r = notes_next(&m->notes, NULL), *next; r; r = next) {
        next = notes_next(&m->notes, r);
        if (strncmp(r, "alias=", 6) == 0 && !add_alias(m, r + 6)) {
            module_refuse(m, true, EBADMSG, "is malformed: note \"%s\" names nothing it provides",
                          r);
            return;
        }
    }
    check_abi(m);
}

static struct module *new_module(const char *path)
{
    struct module *m = g_new0(struct module, 1);
    char *base = g_path_get_basename(path);

    if (g_str_has_suffix(base, ".so"))
        base[strlen(base) - 3] = '\0';
    m->name = base;
    m->file = g_canonicalize_filename(path, NULL); /* the process may change its directory later */
    m->summary = m->version = m->license = m->tier = m->abi = "";
    m->requires = g_ptr_array_new();
    m->provides = g_ptr_array_new();
    return m;
}

static struct module *find_same_file(dev_t device, ino_t inode)
{
    for (unsigned i = 0; i < modules->len; i++) {
        struct module *m = modules->pdata[i];

        if (m->inode == inode && m->device == device && inode != 0)
            return m;
    }
    return NULL;
}

/* Reads a module file and appends it to `modules`; what is wrong is kept in the module. NULL: the
 * file is one that we have already, or no regular file. */
static struct module *read_module(int dir, const char *entry, const char *path)
{
    /* O_NONBLOCK: a FIFO must not hold us up. */
    int fd = openat(dir, entry, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct bp_error err = {0};
    struct stat st = {0};
    struct module *m;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
                    find_same_file(st.st_dev, st.st_ino))) {
        close(fd);
        return NULL;
    }
    m = new_module(path);
    g_ptr_array_add(modules, m);
    if (fd < 0) {
        module_refuse(m, true, errno, "cannot be opened: %s", strerror(errno));
        return m;
    }
    m->device = st.st_dev;
    m->inode = st.st_ino;
    m->size = st.st_size;
    if (notes_read(&(struct notes_source){.fd = fd, .size = (uint64_t)st.st_size}, &m->notes,
                   &err) < 0)
        module_refuse(m, true, err.code, "%s", err.message);
    else
        understand_notes(m);
    close(fd);
    return m;
}

/* ---- all of them ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool scan_directory(const char *path)
{
    DIR *dir = opendir(path);
    GPtrArray *names;
    struct dirent *entry;

    if (!dir)
        return false;
    names = g_ptr_array_new_with_free_func(g_free);
    while ((entry = readdir(dir)) && names->len < MAX_MODULES)
        if (entry->d_name[0] != '.' && g_str_has_suffix(entry->d_name, ".so"))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    g_ptr_array_sort(names, by_text);
    for (unsigned i = 0; i < names->len && modules->len < MAX_MODULES; i++) {
        char *file = g_build_filename(path, names->pdata[i], NULL);

        read_module(dirfd(dir), names->pdata[i], file);
        g_free(file);
    }
    g_ptr_array_unref(names);
    closedir(dir);
    return true;
}

static void scan_colon_list(const char *list)
{
    char **parts = g_strsplit(list, ":", -1);

    for (char **p = parts; *p; p++)
        if (**p)
            scan_directory(*p);
    g_strfreev(parts);
}

static void scan_own_directories(void)
{
    static const char *const relative[] = {
        "modules", "../" BPL_LIBDIR "/backplane", "../lib64/backplane", "../lib/backplane"};
    char exe[4096], *slash;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n > 0) {
        exe[n] = '\0';
        slash = strrchr(exe, '/');
        if (slash)
            *slash = '\0';
        for (unsigned i = 0; i < BP_COUNT(relative); i++) {
            char *path = g_build_filename(exe, relative[i], NULL);
            bool found = scan_directory(path);

            g_free(path);
            if (found)
                return;
        }
    }
    scan_directory(BPL_MODULE_DIR);
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct provide *pa = *(struct provide *const *)a, *pb = *(struct provide *const *)b;
    int by_name;

    if (pa->kind != pb->kind)
        return pa->kind < pb->kind ? -1 : 1;
    by_name = strcmp(pa->name, pb->name);
    return by_name ? by_name : (pa->order > pb->order) - (pa->order < pb->order);
}

static struct provide *search(const GPtrArray *sorted, enum bp_provide_kind kind, const char *name)
{
    size_t low = 0, high = sorted->len;

    while (low < high) {
        size_t middle = (low + high) / 2;
        struct provide *p = sorted->pdata[middle];
        int order = p->kind != kind ? (p->kind < kind ? -1 : 1) : strcmp(p->name, name);

        if (order == 0)
            return p;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* A name that an earlier module has: registration is all or nothing, so this one is out. */
static bool refuse_duplicates(struct module *m, GHashTable *names, GHashTable *provided)
{
    struct module *other = g_hash_table_lookup(names, m->name);

    if (other) {
        module_refuse(m, true, EEXIST, "is not used: %s has a module of that name and was found "
                      "first", other->file);
        return true;
    }
    for (unsigned i = 0; i < m->provides->len; i++) {
        struct provide *p = m->provides->pdata[i];
        const char *kind = bpc_kind_name(p->kind);
        char *key = g_strdup_printf("%s:%s", kind, p->name);

        other = g_hash_table_lookup(provided, key);
        g_free(key);
        if (!other)
            continue;
        if (other == m)
            module_refuse(m, true, EBADMSG, "is malformed: its notes list %s %s twice", kind,
                          p->name);
        else
            module_refuse(m, true, EEXIST, "provides %s %s, which module %s (%s) has already", kind,
                          p->name, other->name, other->file);
        return true;
    }
    return false;
}

/* Rebuilds both sorted lists; what was found first has its names. */
static void index_provides(void)
{
    GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTable *provided = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    g_ptr_array_set_size(usable, 0);
    g_ptr_array_set_size(unusable, 0);
    for (unsigned i = 0; i < modules->len; i++) {
        struct module *m = modules->pdata[i];
        bool usable_now = m->state != MODULE_FAILED && !refuse_duplicates(m, names, provided);

        if (usable_now)
            g_hash_table_insert(names, (char *)m->name, m);
        for (unsigned j = 0; j < m->provides->len; j++) {
            struct provide *p = m->provides->pdata[j];

            g_ptr_array_add(usable_now ? usable : unusable, p);
            if (usable_now)
                g_hash_table_insert(provided,
                                    g_strdup_printf("%s:%s", bpc_kind_name(p->kind), p->name), m);
        }
    }
    g_ptr_array_sort(usable, by_kind_and_name);
    g_ptr_array_sort(unusable, by_kind_and_name);
    g_hash_table_unref(names);
    g_hash_table_unref(provided);
}

static void find_all(void)
{
    const char *from_environment = secure_getenv("BACKPLANE_MODULE_PATH");

    if (modules)
        return;
    modules = g_ptr_array_new();
    usable = g_ptr_array_new();
    unusable = g_ptr_array_new();
    for (unsigned i = 0; extra_paths && i < extra_paths->len; i++)
        scan_colon_list(extra_paths->pdata[i]);
    if (from_environment)
        scan_colon_list(from_environment);
    scan_own_directories();
    index_provides();
}

void modules_add_path(const char *colon_list)
{
    if (getauxval(AT_SECURE))
        return;
    if (!extra_paths)
        extra_paths = g_ptr_array_new();
    g_ptr_array_add(extra_paths, g_strdup(colon_list));
}

const GPtrArray *modules_all(void)
{
    find_all();
    return modules;
}

const GPtrArray *modules_provides(void)
{
    find_all();
    return usable;
}

struct provide *modules_find_provide(enum bp_provide_kind kind, const char *name, bool or_failed)
{
    struct provide *p;

    find_all();
    p = search(usable, kind, name);
    return p || !or_failed ? p : search(unusable, kind, name);
}

struct module *modules_find(const char *name)
{
    struct module *failed = NULL;

    find_all();
    for (unsigned i = 0; i < modules->len; i++) {
        struct module *m = modules->pdata[i];

        if (strcmp(m->name, name) != 0)
            continue;
        if (m->state != MODULE_FAILED)
            return m;
        failed = failed ? failed : m;
    }
    return failed;
}

int modules_add_file(const char *path, struct module **ret_module, struct bp_error *err)
{
    struct stat st;
    struct module *m;

    find_all();
    if (stat(path, &st) < 0)
        return bp_fail(err, errno, "module file %s cannot be opened: %s", path, strerror(errno));
    m = find_same_file(st.st_dev, st.st_ino);
    if (!m && modules->len >= MAX_MODULES)
        return bp_fail(err, ENOSPC, "there are %u modules already", modules->len);
    if (!m) {
        m = read_module(AT_FDCWD, path, path);
        if (!m)
            return bp_fail(err, ENOEXEC, "module file %s is not a regular file", path);
        index_provides();
    }
    *ret_module = m;
    return 0;
}
