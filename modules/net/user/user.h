/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module net-user: one user network, with libslirp. */
#ifndef USER_H
#define USER_H

#include <bp/host/chardev.h>
#include <bp/host/net.h>

#include <slirp/libslirp.h>

struct forward; /* from a port of the host to the guest */
struct reach;   /* from an address that the guest sees to a chardev */
struct fd_watch;
struct echo; /* pings to somewhere else, by IPv6 */

#define OUT_FRAMES 64u
#define OUT_BYTES (128u << 10)

struct user {
    struct user *next; /* of all, oldest first */
    struct bp_netdev *nd;
    Slirp *slirp;
    SlirpConfig config;
    const char **domains; /* config.vdnssearch */
    /* properties */
    int ipv4, ipv6;
    bool restricted;
    char *net, *host, *dhcpstart, *dns, *ipv6_net, *ipv6_host, *ipv6_dns, *hostname, *domainname;
    char *tftp, *tftp_server_name, *bootfile, *smb, *smbserver;
    struct bp_value *dnssearch, *hostfwd, *guestfwd;

    struct forward *forwards; /* oldest first */
    struct reach *reaches;
    char *tftp_folder; /* absolute: -daemonize changes the folder; or NULL */
    char *smb_folder;  /* temporary; NULL: none */
    bool warned_ping;
    struct echo *echoes; /* newest first */

    /* loop.c */
    struct bp_deferred *turn;
    struct bp_timer *timeout;
    struct fd_watch *watches;
    uint8_t *out; /* OUT_BYTES: frames that libslirp sends in one turn, which go together */
    uint32_t out_at[OUT_FRAMES + 1]; /* where each begins, and where the next one will */
    unsigned out_count;
    bool in_turn;
    struct pollfd *polls;
    unsigned poll_count, poll_size;
    uint32_t generation;
};

extern const struct bp_net_interface *user_net;
extern const struct bp_chardev_interface *user_chardev;
extern struct user *user_all;

/* ---- config.c ---- */
int config_read(struct user *s, struct bp_error *err);
/* The n-th entry of a list: text, or a dict with "str", as QMP has it; NULL: something else. */
const char *config_entry(const struct bp_value *list, size_t n);

/* ---- forward.c ---- */
/* Rules as hostfwd= has them; *ret_port: of the host, also where 0 was asked for. */
int forward_add(struct user *s, const char *rule, unsigned *ret_port, struct bp_error *err);
int forward_remove(struct user *s, const char *rule, struct bp_error *err);
void forward_list(struct user *s, struct bp_value *list);
void forward_free_all(struct user *s);

/* ---- holder.c ---- */
/* Who listens at a port of this host: "sshd (process 123)"; or "". */
void holder_name(bool udp, unsigned port, char *buf, size_t size);

/* ---- reach.c ---- */
int reach_add(struct user *s, const char *rule, struct bp_error *err);
void reach_free_all(struct user *s);
int smb_start(struct user *s, struct bp_error *err);
void smb_end(struct user *s);

/* ---- dhcp6.c ---- */
#define DHCP6_MORE 14u
/* A DHCPv6 reply of libslirp's with what it lacks, in buf (`size` bytes). Its length; 0: it is none, or whole. */
size_t dhcp6_complete(const uint8_t *frame, size_t length, uint8_t *buf, size_t size);

/* ---- echo6.c ---- */
/* Takes an echo request for a host beyond the guest's network; false: it is none. `frame` has `length` bytes. */
bool echo6_take(struct user *s, const uint8_t *frame, uint32_t length);
void echo6_free_all(struct user *s);

/* ---- loop.c ---- */
extern const SlirpCb loop_callbacks;
void loop_begin(struct user *s);
void loop_end(struct user *s);
void loop_soon(struct user *s); /* something has changed: sockets may want to be watched */

/* ---- commands.c ---- */
struct bp_command;
struct bp_hmp_command;
extern const struct bp_command user_cmd_add, user_cmd_remove, user_cmd_query;
extern const struct bp_hmp_command user_hmp_add, user_hmp_remove, user_hmp_info;

#endif
