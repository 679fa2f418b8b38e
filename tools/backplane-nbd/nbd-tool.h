/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of backplane-nbd share. */
#ifndef NBD_TOOL_H
#define NBD_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "img.h"

/* What the command line asks for. Strings borrowed from it; NULL: not said. */
struct wish {
    const char *bind, *port, *socket;
    const char *format, *cache, *aio, *discard, *detect_zeroes;
    const char *offset, *snapshot_of, *device;
    const char *name, *description, *bitmap;
    const char *tls_creds, *tls_authz, *tls_hostname, *pid_file;
    const char *clients; /* how many at a time */
    const char *image;
    char **objects;
    unsigned object_count;
    bool image_opts, read_only, temporary, persistent, depth, background, verbose, list, disconnect;
};

/* ---- serve.c ---- */
/* Opens the image and exports it from a server at `place` (taken), as nbd-server-start has it;
 * errors in words. */
int serve_image(const struct wish *w, struct bp_value *place, struct bp_error *err);

/* ---- list.c: -L. 0, or 1 after a complaint ---- */
int list_exports(const struct wish *w);
/* A TCP connection (or `listening`: its address in numbers into ret_address, of 64 bytes); -1 after
 * a complaint. */
int reach_host(const char *host, const char *port, bool listening, char *ret_address);
int reach_socket(const char *path); /* -1 after a complaint */

/* ---- kernel.c: -c and -d ---- */
/* Is the device there? 0, or 1 after a complaint. */
int device_check(const char *device);
/* Once the server is there, the kernel is its client at the socket `path`, until somebody
 * disconnects it. The thread ends the process when it cannot. */
int device_connect(const char *device, const char *path, const char *name);
int device_disconnect(const char *device);

#endif
