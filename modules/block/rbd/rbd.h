/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images in a Ceph cluster, by librbd: what the files of the module share. */
#ifndef BLOCK_RBD_H
#define BLOCK_RBD_H

#include <stdbool.h>
#include <stdint.h>

#include <bp/host/block.h>

#define RBD_MAX_NAME 255u     /* bytes of the names of pools, images, ... */
#define RBD_MAX_SETTINGS 64u
#define RBD_MAX_TIMEOUT 86400u /* seconds */

struct rbd_setting {
    char *key, *value;
};

enum rbd_format { RBD_PLAIN, RBD_LUKS1, RBD_LUKS2 };

/* Which image of which cluster, and as whom it is asked for. Strings malloc'd; NULL: not given. */
struct rbd_place {
    char *pool, *namespace, *image, *snapshot;
    char *user; /* without "client." */
    char *conf; /* file; NULL: where Ceph has it */
    char *key_secret;  /* id of the secret with the user's key */
    struct rbd_setting settings[RBD_MAX_SETTINGS]; /* of Ceph's configuration */
    unsigned count;
    enum rbd_format format;
    char *passphrase_secret; /* of the encrypted image */
    uint64_t timeout; /* seconds of a request; 0: any time */
};

void place_free(struct rbd_place *p); /* what it points to */
/* rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT][:KEY=VALUE...]; a '\' stands before what is no separator. */
int place_of_name(const char *name, struct rbd_place *p, struct bp_error *err);
/* A list of {"host", "port"}, or a dict of them by number: the monitors. */
int place_set_servers(struct bp_value *servers, struct rbd_place *p, struct bp_error *err);
int place_set_auth(struct bp_value *modes, struct rbd_place *p, struct bp_error *err); /* list of "cephx", "none" */
/* {"format": "luks"|"luks2", "key-secret": ID} */
int place_set_encryption(struct bp_value *encrypt, struct rbd_place *p, struct bp_error *err);
int place_check(const struct rbd_place *p, struct bp_error *err);
char *place_name(const struct rbd_place *p); /* rbd:... without settings, which may be secret; malloc'd */

#endif
