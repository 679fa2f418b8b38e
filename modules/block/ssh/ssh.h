/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module block-ssh: where a file is, and the connection to its server. */
#ifndef SSH_H
#define SSH_H

#include <pthread.h>

#include <libssh/libssh.h>
#include <libssh/sftp.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

#define SSH_DEFAULT_PORT 22u
#define MAX_KEY_HASH 32u /* bytes of SHA-256 */

enum key_check { KEY_KNOWN_HOSTS, KEY_ANY, KEY_HASH };

/* Strings are malloc'd, its own. */
struct ssh_place {
    char *host, *user, *path; /* user NULL: who runs us */
    unsigned port;
    enum key_check check;
    enum ssh_publickey_hash_type hash_type; /* of KEY_HASH */
    uint8_t hash[MAX_KEY_HASH];
    size_t hash_length;
};

void place_free(struct ssh_place *p);
/* ssh://[USER@]HOST[:PORT]/PATH[?host_key_check=...] */
int place_of_name(const char *name, struct ssh_place *p, struct bp_error *err);
/* host, port as text; port NULL: 22. */
int place_set_host(struct ssh_place *p, const char *host, const char *port, struct bp_error *err);
/* yes, no, md5:HASH, sha1:HASH, sha256:HASH */
int place_set_check(struct ssh_place *p, const char *text, struct bp_error *err);
/* {"mode": "none" | "known_hosts" | "hash", "type": ..., "hash": ...} */
int place_set_check_dict(struct ssh_place *p, struct bp_value *dict, struct bp_error *err);
/* Lengths and characters of what was taken. */
int place_check(const struct ssh_place *p, struct bp_error *err);
char *place_name(const struct ssh_place *p); /* malloc'd; a URL */

/* The connection, its SFTP session and the one file. libssh waits for every answer, so whoever calls these may block:
 * a worker thread does. A watchdog thread breaks the connection when one answer takes longer than `timeout`. */
struct ssh_link {
    struct ssh_place place;
    uint64_t timeout; /* seconds; 0: any time */

    pthread_mutex_t lock; /* of the session: one works with it at a time */
    ssh_session session;
    sftp_session sftp;
    sftp_file file;
    bool writable, has_fsync, told_fsync;
    bool lost;       /* every request fails from now on */
    uint64_t length; /* atomic */

    pthread_mutex_t watch_lock;
    pthread_cond_t watch_cond;
    pthread_t watcher;
    bool watched, stop, late;
    int fd;           /* of the connection; -1: none */
    int64_t deadline; /* ns of CLOCK_MONOTONIC; 0: nothing is waited for */
};

void link_init(struct ssh_link *l);
void link_free(struct ssh_link *l); /* after link_init(), however far it came */
/* write: for writing too; fall_back: if the server does not let that, for reading (`writable` tells). */
int link_open(struct ssh_link *l, bool write, bool fall_back, struct bp_error *err);
int link_read(struct ssh_link *l, uint64_t offset, uint8_t *buf, size_t bytes);
int link_write(struct ssh_link *l, uint64_t offset, const uint8_t *buf, size_t bytes);
int link_flush(struct ssh_link *l);
int link_resize(struct ssh_link *l, uint64_t length, struct bp_error *err);

#endif
