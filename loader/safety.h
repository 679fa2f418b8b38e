/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may have written a file: opening files so that what is checked is what is used. A path is
 * walked component by component; each directory, symbolic link and the file itself must belong to
 * root or to the user, and must not be writable by others (a sticky directory such as /tmp is fine
 * when the next component belongs to root or the user; group write is fine for group root and the
 * process's own group). [any]
 */
#ifndef LOADER_SAFETY_H
#define LOADER_SAFETY_H

#include <sys/stat.h>

#include <bp/error.h>

/* Opens a regular file (never blocking on a FIFO) read-only, close-on-exec. -EPERM with a predicate:
 * "is not used: /srv/x may be written by others"; other -errno as open(). */
int safety_open_file(const char *path, int *ret_fd, struct stat *ret_stat, struct bp_error *err);
/* The same for a directory: O_DIRECTORY. */
int safety_open_directory(const char *path, int *ret_fd, struct bp_error *err);
/* A file inside a directory that safety_open_directory() opened. `name` has no slash. A symbolic link
 * is followed with all its components checked. */
int safety_open_at(int directory, const char *directory_path, const char *name, int *ret_fd,
                   struct stat *ret_stat, struct bp_error *err);
/* Were privileges raised (set-user-id, set-group-id, file capabilities)? */
bool safety_privileged(void);

#endif
