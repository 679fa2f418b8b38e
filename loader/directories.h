/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where modules are looked for, in this order: the directories of -module-dir, those of
 * BACKPLANE_MODULE_PATH (both ignored when privileges were raised), then the first that exists of:
 * modules/ beside the executable (a build tree), the library directory relative to the executable,
 * the configured library directory. [main]
 */
#ifndef LOADER_DIRECTORIES_H
#define LOADER_DIRECTORIES_H

#include <sys/types.h>

#include <glib.h>

struct directory {
    char *path;         /* absolute */
    const char *origin; /* "option", "environment", "build tree" or "system" */
    int fd;             /* stays open */
    dev_t device;
    ino_t inode;
};

/* Adds "a:b:c" to those of -module-dir. Too late once directories_all() was called. */
void directories_add(const char *colon_list);
/* All that may be used (struct directory *), each once; opened on the first call. One that may not
 * is told once on standard error and left out, as is one of -module-dir that does not exist. */
const GPtrArray *directories_all(void);

#endif
