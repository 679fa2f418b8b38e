/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where firmware and other data files are found: along -L, beside the executable, in the system's
 * directories (those of the packages that bring SeaBIOS and the like), in the working directory.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "marks.h"
#include "parts.h"

static char *try_file(const char *dir, const char *name)
{
    char *path = g_build_filename(dir, name, NULL);
    char *copy = NULL;

    if (access(path, R_OK) == 0 && !g_file_test(path, G_FILE_TEST_IS_DIR))
        copy = bp_strdup(path); /* callers use free() */
    g_free(path);
    return copy;
}

static char *executable_dir(void)
{
    char *path = g_file_read_link("/proc/self/exe", NULL);
    char *dir = path ? g_path_get_dirname(path) : NULL;

    g_free(path);
    return dir;
}

static const char *const system_dirs[] = {"/usr/share/backplane", "/usr/share/qemu", "/usr/share/seabios",
                                          "/usr/share/OVMF", "/usr/lib/ipxe/qemu", NULL};

const char *const *bpc_data_dirs(void)
{
    return system_dirs;
}

char *bp_machine_find_data(const struct bp_machine *m, const char *name)
{
    bpc_assert_main();
    static const char *const beside[] = {"share/backplane", "../share/backplane"};
    char *found = NULL, *dir;
    bool own;

    (void)m;
    if (!name || !*name)
        return NULL;
    /* Other programs' folders have keymaps of another kind. */
    own = strncmp(name, "keymaps/", 8) == 0 && !strchr(name + 8, '/');
    if (strchr(name, '/') && !own)
        return try_file(name[0] == '/' ? "/" : ".", name);
    for (char **d = bpc_config.data_dirs; d && *d && !found; d++)
        found = try_file(*d, name);
    dir = found ? NULL : executable_dir();
    for (size_t i = 0; dir && !found && i < BP_COUNT(beside); i++) {
        char *path = g_build_filename(dir, beside[i], NULL);

        found = try_file(path, name);
        g_free(path);
    }
    g_free(dir);
    for (const char *const *d = system_dirs; *d && !found && !own; d++)
        found = try_file(*d, name);
    return found || own ? found : try_file(".", name);
}
