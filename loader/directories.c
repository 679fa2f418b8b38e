/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module directories (directories.h): found once, opened with their owners checked. */
#include "directories.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/error.h>
#include <bp/log.h>

#include "safety.h"

static GPtrArray *options; /* char * */
static GPtrArray *all;     /* struct directory * */

void directories_add(const char *colon_list)
{
    if (!options)
        options = g_ptr_array_new();
    g_ptr_array_add(options, g_strdup(colon_list));
}

static bool is_known(dev_t device, ino_t inode)
{
    for (unsigned i = 0; i < all->len; i++) {
        const struct directory *d = all->pdata[i];

        if (d->inode == inode && d->device == device)
            return true;
    }
    return false;
}

/* True when there is such a directory, whether or not it may be used: an unsafe one does not make
 * another one the right one. */
static bool add(const char *path, const char *origin)
{
    char *absolute = g_canonicalize_filename(path, NULL); /* the process may move later */
    struct bp_error err = {0};
    struct directory *d;
    struct stat st;
    int fd, ret = safety_open_directory(absolute, &fd, &err);

    if (ret < 0) {
        if (ret != -ENOENT && ret != -ENOTDIR)
            bp_warn("module directory %s %s", absolute, err.message);
        else if (strcmp(origin, "option") == 0)
            bp_warn("module directory %s does not exist", absolute);
        g_free(absolute);
        return ret != -ENOENT && ret != -ENOTDIR;
    }
    if (fstat(fd, &st) < 0 || is_known(st.st_dev, st.st_ino)) {
        close(fd);
        g_free(absolute);
        return true;
    }
    d = g_new0(struct directory, 1);
    d->path = absolute;
    d->origin = origin;
    d->fd = fd;
    d->device = st.st_dev;
    d->inode = st.st_ino;
    g_ptr_array_add(all, d);
    return true;
}

static void add_list(const char *list, const char *origin)
{
    char **parts = g_strsplit(list, ":", -1);

    for (char **p = parts; *p; p++)
        if (**p)
            add(*p, origin);
    g_strfreev(parts);
}

static void add_own(void)
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
            bool found = add(path, i == 0 ? "build tree" : "system");

            g_free(path);
            if (found)
                return;
        }
    }
    add(BPL_MODULE_DIR, "system");
}

const GPtrArray *directories_all(void)
{
    const char *environment = safety_privileged() ? NULL : secure_getenv("BACKPLANE_MODULE_PATH");

    if (all)
        return all;
    all = g_ptr_array_new();
    for (unsigned i = 0; options && !safety_privileged() && i < options->len; i++)
        add_list(options->pdata[i], "option");
    if (environment)
        add_list(environment, "environment");
    add_own();
    return all;
}
