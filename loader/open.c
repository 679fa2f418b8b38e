/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens, checks, pins and links module files (open.h). The only caller of dlopen(). */
#include "open.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/log.h>

#include "loop.h"
#include "safety.h"

/* ---- opening ---- */

static const struct index_module *entry_of(const struct module *m)
{
    return &m->index->modules[m->number];
}

static int open_file(struct module *m, int *ret_fd, struct stat *ret_stat)
{
    const char *file = index_string(m->index, entry_of(m)->file);
    struct bp_error err = {0};

    if (m->pinned) {
        *ret_fd = m->pinned;
        if (fstat(m->pinned, ret_stat) < 0)
            return module_refuse(m, false, errno, "cannot be read: %s", strerror(errno));
        return 0;
    }
    if (safety_open_at(m->source->fd, m->source->path, file, ret_fd, ret_stat, &err) < 0)
        return module_refuse(m, err.code == EPERM, err.code, "%s", err.message);
    return 0;
}

/* Is it the build that the index tells of? */
static int check_identity(const struct module *m, const struct image *image, const struct stat *st)
{
    const struct index_module *entry = entry_of(m);
    size_t length;
    const uint8_t *build_id = image_build_id(image, &length);

    return (uint64_t)st->st_size == entry->size && length == entry->build_id_length &&
                   memcmp(build_id, entry->build_id, length) == 0 ? 0 : -ESTALE;
}

static int check_contents(struct module *m, const struct image *image, const struct stat *st)
{
    const struct index_module *entry = entry_of(m);

    if (!entry->contents || entry->contents == image_contents(image))
        return 0;
    if (st->st_mtime != entry->mtime || !entry->build_id_length)
        return -ESTALE; /* another build that has no build-id to tell */
    return module_refuse(m, true, EBADMSG, "is damaged: its contents are not those that were "
                         "indexed, though size, time and build-id are; install it again (or run "
                         "backplane-module index on its directory)");
}

/* All that can be checked. The first reason to refuse it is told. */
static int check_image(struct module *m, const struct image *image, const struct stat *st)
{
    struct module_table table = {0};
    struct bp_error err = {0};
    int ret = check_identity(m, image, st);

    if (ret == 0)
        ret = check_contents(m, image, st);
    if (ret < 0)
        return ret;
    ret = image_check(image, &err);
    if (ret == 0)
        ret = describe_image(image, &table, &err);
    ret = ret < 0 ? module_refuse(m, true, err.code, "%s", err.message) : check_table(m, &table);
    describe_finish(&table);
    return ret;
}

/* The index was made from these very bytes, after all of these checks. */
static bool was_checked(const struct module *m, int fd, const struct stat *st)
{
    const struct index_module *entry = entry_of(m);
    const struct notes_source source = {.fd = fd, .size = (uint64_t)st->st_size};
    uint64_t contents;

    return entry->contents && source.size == entry->size &&
           image_sum_file(&source, &contents, NULL) == 0 && contents == entry->contents;
}

int open_checked(struct module *m, struct opened *ret_file)
{
    struct opened file = {.fd = -1};
    struct bp_error err = {0};
    struct stat st;
    int ret = open_file(m, &file.fd, &st);

    if (ret < 0)
        return ret;
    if (!was_checked(m, file.fd, &st)) {
        ret = image_open(&(struct notes_source){.fd = file.fd, .size = (uint64_t)st.st_size},
                        &file.image, &err);
        if (ret < 0 && (uint64_t)st.st_size != entry_of(m)->size)
            ret = -ESTALE;
        else if (ret < 0)
            ret = module_refuse(m, true, err.code, "%s", err.message);
        else
            ret = check_image(m, file.image, &st);
    }
    if (ret == -ESTALE && m->pinned)
        ret = module_refuse(m, true, EBADMSG, "was written over after -modules pin=on had opened it");
    if (ret < 0)
        open_finish(m, &file);
    else
        *ret_file = file;
    return ret;
}

void open_finish(struct module *m, struct opened *file)
{
    if (file->fd >= 0 && file->fd != m->pinned)
        close(file->fd);
    file->fd = -1;
    image_free(file->image);
    file->image = NULL;
}

/* ---- linking ---- */

/* "LIBRARY: cannot open shared object file: WHY", WHY being what errno said. */
static int refuse_file(struct module *m, const char *path, const char *text, const char *end,
                       const char *why)
{
    struct rlimit limit;
    char hint[64] = "";
    int length = (int)(end - text);
    bool own = strlen(path) == (size_t)length && strncmp(path, text, (size_t)length) == 0;

    if (!own && strcmp(why, strerror(ENOENT)) == 0)
        return module_refuse(m, true, ELIBACC, "needs library %.*s, which is not installed", length,
                             text);
    if (strcmp(why, strerror(EMFILE)) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        snprintf(hint, sizeof(hint), " (%llu are allowed, ulimit -n)",
                 (unsigned long long)limit.rlim_cur);
    return module_refuse(m, true, ELIBACC, "%s%.*s%scannot be opened: %s%s", own ? "" : "library ",
                         own ? 0 : length, text, own ? "" : " ", why, hint);
}

/* Turns the dynamic linker's words into ours: what is missing is named first. */
static int refuse_dlopen(struct module *m, const char *path, const char *text)
{
    static const char cannot_open[] = ": cannot open shared object file";
    static const char undefined[] = ": undefined symbol: ";
    static const char version[] = ": version `";
    const char *found;

    if (!text)
        text = "unknown error";
    found = strstr(text, cannot_open);
    if (found)
        return refuse_file(m, path, text, found,
                           found + strlen(cannot_open) + (found[strlen(cannot_open)] == ':' ? 2 : 0));
    found = strstr(text, undefined);
    if (found) {
        found += strlen(undefined);
        return module_refuse(m, true, ENOEXEC, "needs symbol %.*s, which nothing provides",
                             (int)strcspn(found, " ,"), found);
    }
    found = strstr(text, version);
    if (found)
        return module_refuse(m, true, ENOEXEC, "needs version %.*s of library %.*s, which is not "
                             "installed: the module was built for a newer one",
                             (int)strcspn(found + strlen(version), "'"), found + strlen(version),
                             (int)(found - text), text);
    /* The linker begins with the file's name, which our message has already. */
    if (strncmp(text, path, strlen(path)) == 0 && text[strlen(path)] == ':')
        text += strlen(path) + 2;
    return module_refuse(m, true, ENOEXEC, "cannot be loaded: %s", text);
}

/* Debuggers and dladdr() show the name that the linker was given: give them the file's own. */
static void show_name(void *handle, const struct module *m)
{
    char *name = strdup(m->file); /* the linker frees it, should it ever close the file */
    struct link_map *map;

    if (name && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0)
        map->l_name = name;
    else
        free(name);
}

static bool same_file(const char *path, int fd)
{
    struct stat there, here;

    return stat(path, &there) == 0 && fstat(fd, &here) == 0 && there.st_ino == here.st_ino &&
           there.st_dev == here.st_dev;
}

/* The path of a descriptor. The linker takes two files of one name for the same file, and numbers of
 * descriptors are used again: each load spells its path differently. */
static void spell_path(int fd, char buf[static 96])
{
    static unsigned count;
    char *at = stpcpy(buf, "/proc/self/fd");

    for (unsigned bits = count++, i = 0; i < 16; i++, bits >>= 1)
        at = stpcpy(at, bits & 1 ? "/." : "/");
    sprintf(at, "/%d", fd);
}

static bool uses_origin(const struct opened *file)
{
    struct image *image;
    struct stat st;
    bool uses;

    if (file->image)
        return image_uses_origin(file->image);
    if (fstat(file->fd, &st) < 0 ||
        image_open(&(struct notes_source){.fd = file->fd, .size = (uint64_t)st.st_size}, &image,
                   NULL) < 0)
        return false;
    uses = image_uses_origin(image);
    image_free(image);
    return uses;
}

struct linking {
    const char *path;
    void *handle;
    char why[512];
};

static void link_file(void *opaque)
{
    struct linking *l = opaque;
    const char *why;

    l->handle = dlopen(l->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    why = l->handle ? NULL : dlerror(); /* it is this thread's */
    snprintf(l->why, sizeof(l->why), "%s", why ? why : "it cannot be linked");
}

/* Constructors of libraries may need more than a coroutine's stack has: they get a thread's. */
static void *link_deep(struct linking *l)
{
    bpc_co_on_thread_stack(link_file, l);
    return l->handle;
}

int open_linked(struct module *m, const struct opened *file)
{
    static int proc_works = -1; /* is /proc there? */
    char by_descriptor[96];
    const char *path = by_descriptor;
    struct linking l = {.handle = NULL};
    void *handle;

    spell_path(file->fd, by_descriptor);
    if (proc_works < 0)
        proc_works = same_file(by_descriptor, file->fd);
    if (!proc_works)
        path = m->file; /* nobody but the owner can have changed the place */
    l.path = path;
    handle = link_deep(&l);
    /* Libraries beside the module are found by its place, which a descriptor does not have. */
    if (!handle && path == by_descriptor && uses_origin(file) &&
        same_file(m->file, file->fd)) {
        l.path = path = m->file;
        handle = link_deep(&l);
    }
    if (!handle)
        return refuse_dlopen(m, path, l.why);
    if (path == by_descriptor)
        show_name(handle, m);
    m->desc = dlsym(handle, "bp_module");
    if (!m->desc)
        return module_refuse(m, true, ENOEXEC, "has no symbol bp_module");
    return check_linked(m);
}

/* ---- pinning ---- */

struct pinning {
    unsigned count;
    struct bp_error *err;
    int ret;
};

static void count_one(struct module *m, void *opaque)
{
    ((struct pinning *)opaque)->count += m->state == MODULE_AVAILABLE;
}

static void pin_one(struct module *m, void *opaque)
{
    struct pinning *p = opaque;
    struct stat st;
    int fd;

    if (p->ret < 0 || m->state != MODULE_AVAILABLE || m->pinned)
        return;
    if (open_file(m, &fd, &st) < 0) {
        bp_warn("%s", m->error);
        return;
    }
    if ((uint64_t)st.st_size != entry_of(m)->size) {
        close(fd);
        p->ret = bp_fail(p->err, ESTALE, "key 'pin': module %s (%s) is being replaced", m->name,
                        m->file);
        return;
    }
    m->pinned = fd;
}

/* Descriptors that other parts will want beside those of the modules. */
#define SPARE_DESCRIPTORS 256u

int open_pin_all(struct bp_error *err)
{
    struct pinning p = {.err = err};
    struct rlimit limit;

    modules_verify_all();
    modules_each(count_one, &p);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < p.count + SPARE_DESCRIPTORS) {
        rlim_t wanted = p.count + SPARE_DESCRIPTORS;

        if (wanted > limit.rlim_max)
            return bp_fail(err, EMFILE, "key 'pin': %u modules need as many open files; the "
                           "limit is %llu (ulimit -n)", p.count,
                           (unsigned long long)limit.rlim_max);
        limit.rlim_cur = wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    modules_each(pin_one, &p);
    modules_freeze();
    return p.ret;
}

bool module_pinned(const struct module *m)
{
    return m->pinned != 0;
}
