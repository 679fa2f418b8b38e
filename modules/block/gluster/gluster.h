/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images in Gluster volumes: where one is. */
#ifndef BLOCK_GLUSTER_H
#define BLOCK_GLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include <bp/host/block.h>

#define GLUSTER_PORT 24007u
#define MAX_SERVERS 64u

/* A server that tells what the volume is made of; strings malloc'd. */
struct gluster_server {
    char *host;   /* tcp */
    unsigned port;
    char *socket; /* or a unix socket; NULL: tcp */
};

struct gluster_place {
    char *volume, *path; /* of the volume; in it, without the first '/' */
    struct gluster_server *servers; /* at least one; the first that answers is asked */
    unsigned count;
};

/* gluster[+tcp|+unix]://[HOST[:PORT]]/VOLUME/PATH[?socket=PATH] */
int place_of_name(const char *name, struct gluster_place *p, struct bp_error *err);
/* A list of {"type": "tcp"|"inet", "host", "port"} and {"type": "unix", "socket"|"path"}, or a dict of them by
 * number. */
int place_of_servers(struct bp_value *servers, struct gluster_place *p, struct bp_error *err);
int place_check(const struct gluster_place *p, struct bp_error *err);
void place_free(struct gluster_place *p);
char *place_name(const struct gluster_place *p); /* a URI of its first server; malloc'd */

#endif
