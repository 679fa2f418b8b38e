/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest finds inside of its network: guestfwd=[tcp]:SERVER:PORT-DEV joins connections to a chardev,
 * -cmd:COMMAND starts a program for each; smb= is Samba's smbd in that way, with a configuration of its own. [main]
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/value.h>

#include "user.h"

struct reach {
    struct reach *next;
    struct user *user;
    struct in_addr server;
    int port;
    struct bp_chardev *chr;
    char *id; /* of a chardev that we made; or NULL */
};

static int wrong(struct bp_error *err, const char *rule, const char *what)
{
    return bp_fail(err, EINVAL, "guestfwd=%s: %s; expected [tcp]:SERVER:PORT-CHARDEV or -cmd:COMMAND", rule, what);
}

/* ---- a chardev at an address ---- */

static size_t can_read(void *opaque)
{
    struct reach *r = opaque;

    return r->user->slirp ? slirp_socket_can_recv(r->user->slirp, r->server, r->port) : 0;
}

static void read_bytes(void *opaque, const uint8_t *buf, size_t length)
{
    struct reach *r = opaque;

    slirp_socket_recv(r->user->slirp, r->server, r->port, buf, (int)length);
    loop_soon(r->user);
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(struct bp_chardev_handlers), .can_read = can_read, .read = read_bytes};

static ssize_t write_bytes(const void *buf, size_t length, void *opaque)
{
    struct reach *r = opaque;

    return (ssize_t)user_chardev->write(r->chr, buf, length, r);
}

static int reach_chardev(struct reach *r, const char *rule, const char *dev, struct bp_error *err)
{
    char id[160];
    int ret;

    r->chr = user_chardev->find(dev);
    if (!r->chr) {
        snprintf(id, sizeof(id), "guestfwd-%.100s-%d", user_net->netdev_id(r->user->nd)[0] == '#'
                 ? user_net->netdev_id(r->user->nd) + 1 : user_net->netdev_id(r->user->nd), r->port);
        ret = user_chardev->create_legacy(id, dev, &r->chr, err);
        if (ret < 0) {
            bp_error_prefix(err, "guestfwd=%s", rule);
            return ret;
        }
        if (!r->chr)
            return wrong(err, rule, "it leads to nothing");
        if (strncmp(dev, "chardev:", 8) != 0)
            r->id = bp_strdup(id);
    }
    ret = user_chardev->connect(r->chr, &handlers, r, err);
    if (ret < 0) {
        bp_error_prefix(err, "guestfwd=%s", rule);
        r->chr = NULL;
        return ret;
    }
    if (slirp_add_guestfwd(r->user->slirp, write_bytes, r, &r->server, r->port) < 0)
        return wrong(err, rule, "the server's address is outside of the guest's network, or the host's own, or taken");
    return 0;
}

static void reach_free(struct reach *r)
{
    if (r->chr)
        user_chardev->disconnect(r->chr, r);
    if (r->id)
        user_chardev->remove(r->id, NULL);
    free(r->id);
    free(r);
}

static int parse_server(const char *rule, struct in_addr *ret_server, int *ret_port, const char **ret_rest,
                        struct bp_error *err)
{
    char address[32];
    const char *p = rule, *colon, *dash;
    char *end;
    unsigned long port;

    if (!strncmp(p, "tcp:", 4))
        p += 4;
    else if (*p == ':')
        p++;
    else
        return wrong(err, rule, "the protocol is tcp");
    colon = strchr(p, ':');
    dash = colon ? strchr(colon, '-') : NULL;
    if (!dash || (size_t)(colon - p) >= sizeof(address))
        return wrong(err, rule, "there is no server, port or target");
    memcpy(address, p, (size_t)(colon - p));
    address[colon - p] = 0;
    if (inet_pton(AF_INET, address, ret_server) != 1)
        return wrong(err, rule, "the server's address is wrong");
    port = strtoul(colon + 1, &end, 10);
    if (end != dash || port < 1 || port > 65535)
        return wrong(err, rule, "the port is a number from 1 to 65535");
    *ret_port = (int)port;
    *ret_rest = dash + 1;
    return 0;
}

int reach_add(struct user *s, const char *rule, struct bp_error *err)
{
    struct reach *r;
    struct in_addr server;
    const char *target = NULL;
    int port = 0, ret = parse_server(rule, &server, &port, &target, err);

    if (ret < 0)
        return ret;
    if (!strncmp(target, "cmd:", 4)) {
        if (!target[4])
            return wrong(err, rule, "the command is missing");
        if (slirp_add_exec(s->slirp, target + 4, &server, port) < 0)
            return wrong(err, rule, "the server's address is outside of the guest's network, or the host's own, or "
                         "taken");
        return 0;
    }
    r = bp_alloc(sizeof(*r));
    r->user = s;
    r->server = server;
    r->port = port;
    ret = reach_chardev(r, rule, target, err);
    if (ret < 0) {
        reach_free(r);
        return ret;
    }
    r->next = s->reaches;
    s->reaches = r;
    return 0;
}

void reach_free_all(struct user *s)
{
    for (struct reach *r = s->reaches, *next; r; r = next) {
        next = r->next;
        reach_free(r);
    }
    s->reaches = NULL;
}

/* ---- smb= ---- */

static const char *find_smbd(void)
{
    static const char *const places[] = {"/usr/sbin/smbd", "/usr/local/sbin/smbd", "/usr/local/samba/sbin/smbd",
                                         "/sbin/smbd"};

    for (unsigned i = 0; i < BP_COUNT(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static int write_config(const struct user *s, struct bp_error *err)
{
    const struct passwd *who = getpwuid(geteuid());
    char path[300], *shared;
    FILE *f;

    if (strpbrk(s->smb, "\n\r\"%;"))
        return bp_fail(err, EINVAL, "netdev: user: smb=%s: such characters cannot be told to Samba", s->smb);
    snprintf(path, sizeof(path), "%s/smb.conf", s->smb_folder);
    f = fopen(path, "we");
    if (!f)
        return bp_fail(err, errno, "netdev: user: smb: %s: %s", path, strerror(errno));
    shared = bp_path_absolute(s->smb); /* smbd looks at it when somebody comes */
    fprintf(f, "[global]\n"
            "private dir=%1$s\ninterfaces=127.0.0.1\nbind interfaces only=yes\npid directory=%1$s\n"
            "lock directory=%1$s\nstate directory=%1$s\ncache directory=%1$s\nncalrpc dir=%1$s/ncalrpc\n"
            "log file=%1$s/log.smbd\nsmb passwd file=%1$s/smbpasswd\nsecurity = user\n"
            "map to guest = Bad User\nload printers = no\nprinting = bsd\ndisable spoolss = yes\n"
            "usershare max shares = 0\n"
            "[qemu]\npath=%2$s\nread only=no\nguest ok=yes\nforce user=%3$s\n",
            s->smb_folder, shared, who ? who->pw_name : "nobody");
    free(shared);
    if (fclose(f) != 0)
        return bp_fail(err, errno, "netdev: user: smb: %s: %s", path, strerror(errno));
    return 0;
}

int smb_start(struct user *s, struct bp_error *err)
{
    struct in_addr server = {s->config.vnetwork.s_addr | (htonl(4) & ~s->config.vnetmask.s_addr)};
    const char *smbd = find_smbd(), *tmp = getenv("TMPDIR");
    char folder[200], command[600];
    struct stat st;
    int r;

    if (!s->smb)
        return s->smbserver ? bp_fail(err, EINVAL, "netdev: user: 'smbserver' goes with 'smb'") : 0;
    if (stat(s->smb, &st) < 0 || !S_ISDIR(st.st_mode))
        return bp_fail(err, ENOENT, "netdev: user: smb=%s: there is no such folder", s->smb);
    if (s->smbserver && inet_pton(AF_INET, s->smbserver, &server) != 1)
        return bp_fail(err, EINVAL, "netdev: user: smbserver=%s: expected an IPv4 address", s->smbserver);
    if (!smbd)
        return bp_fail(err, ENOENT, "netdev: user: smb=%s: Samba's smbd is not installed (package samba)", s->smb);
    snprintf(folder, sizeof(folder), "%.150s/backplane-smb.XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return bp_fail(err, errno, "netdev: user: smb: %s: %s", folder, strerror(errno));
    s->smb_folder = bp_strdup(folder);
    r = write_config(s, err);
    if (r < 0)
        return r;
    snprintf(command, sizeof(command), "%s -l %s -s %s/smb.conf", smbd, folder, folder);
    if (slirp_add_exec(s->slirp, command, &server, 139) < 0 || slirp_add_exec(s->slirp, command, &server, 445) < 0)
        return bp_fail(err, EINVAL, "netdev: user: smbserver: the address is outside of the guest's network, or "
                       "taken");
    return 0;
}

/* With what smbd left there: it makes folders of its own. */
static void remove_folder(const char *path, unsigned depth)
{
    DIR *dir = opendir(path);

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        char inner[600];

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        snprintf(inner, sizeof(inner), "%.300s/%.255s", path, e->d_name);
        if (unlink(inner) < 0 && depth > 0)
            remove_folder(inner, depth - 1);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

void smb_end(struct user *s)
{
    if (!s->smb_folder)
        return;
    remove_folder(s->smb_folder, 4);
    free(s->smb_folder);
    s->smb_folder = NULL;
}
