/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-user`: a network that needs no privileges, with libslirp, which ends the guest's TCP, UDP and ICMP in
 * sockets of this process, and serves DHCP, DNS, TFTP and router advertisements itself. Segments of TCP come
 * to it whole. [main], and [vcpu] for what the guest sends
 */
#define BP_SHARED
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/log.h>
#include <bp/value.h>

#include "user.h"

BP_USE(net, struct bp_net_interface, "net", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

const struct bp_net_interface *user_net;
const struct bp_chardev_interface *user_chardev;
struct user *user_all;

/* ---- packets of the guest ---- */

/* A ping to somewhere else needs a kind of socket that the host may forbid: said once, when the guest wants one. */
static void look_for_ping(struct user *s, const uint8_t *frame, uint32_t length)
{
    int fd;

    if (s->warned_ping || s->restricted || length < 35 || frame[12] != 8 || frame[13] != 0 || frame[23] != 1 ||
        frame[34] != 8 || (memcmp(frame + 30, &s->config.vnetwork, 3) == 0))
        return;
    s->warned_ping = true;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        bp_warn("netdev %s: the guest's pings do not leave it: this host forbids them; see its sysctl "
                "net.ipv4.ping_group_range", net->netdev_id(s->nd));
    if (fd >= 0)
        close(fd);
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    struct user *s = net->netdev_state(nd);

    (void)queue;
    for (unsigned i = 0; i < count; i++) {
        const struct bp_net_packet *p = &packets[i];
        uint8_t *flat = p->count == 1 ? NULL : malloc(p->length ? p->length : 1);
        const uint8_t *bytes = p->count == 1 ? p->vectors[0].iov_base : flat;

        if (flat)
            net->copy(p, 0, flat, p->length);
        if (bytes) {
            look_for_ping(s, bytes, p->length);
            if (!echo6_take(s, bytes, p->length))
                slirp_input(s->slirp, bytes, (int)p->length);
        }
        free(flat);
    }
    loop_soon(s);
    return count;
}

/* ---- life ---- */

static void take_out(struct user *s)
{
    struct user **link = &user_all;

    while (*link && *link != s)
        link = &(*link)->next;
    if (*link)
        *link = s->next;
}

static void finish(struct user *s)
{
    take_out(s);
    reach_free_all(s);
    forward_free_all(s);
    echo6_free_all(s);
    if (s->slirp)
        slirp_cleanup(s->slirp);
    s->slirp = NULL;
    smb_end(s);
    loop_end(s);
    free(s->domains);
    s->domains = NULL;
    free(s->tftp_folder);
    s->tftp_folder = NULL;
}

static int rules(struct user *s, const struct bp_value *list, bool reach, struct bp_error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && list && i < bp_value_length(list); i++) {
        const char *rule = config_entry(list, i);

        if (!rule)
            return bp_fail(err, EINVAL, "netdev: user: %s is a list of texts", reach ? "guestfwd" : "hostfwd");
        r = reach ? reach_add(s, rule, err) : forward_add(s, rule, NULL, err);
    }
    return r;
}

static int open(struct bp_netdev *nd, struct bp_error *err)
{
    struct user *s = net->netdev_state(nd), **link = &user_all;
    int r;

    user_net = net;
    user_chardev = chardev;
    s->nd = nd;
    r = config_read(s, err);
    if (r < 0) {
        finish(s);
        return r;
    }
    loop_begin(s);
    s->slirp = slirp_new(&s->config, &loop_callbacks, s);
    if (!s->slirp) {
        loop_end(s);
        return bp_fail(err, EINVAL, "netdev: user: libslirp takes no such network");
    }
    while (*link)
        link = &(*link)->next;
    *link = s;
    r = rules(s, s->hostfwd, false, err);
    if (r == 0)
        r = rules(s, s->guestfwd, true, err);
    if (r == 0)
        r = smb_start(s, err);
    if (r < 0) {
        finish(s);
        return r;
    }
    loop_soon(s);
    return 0;
}

static void close_network(struct bp_netdev *nd)
{
    finish(net->netdev_state(nd));
}

static char *info(struct bp_netdev *nd)
{
    const struct user *s = net->netdev_state(nd);
    char address[INET_ADDRSTRLEN], *text = NULL;

    inet_ntop(AF_INET, &s->config.vnetwork, address, sizeof(address));
    return asprintf(&text, "net=%s,restrict=%s", address, s->restricted ? "on" : "off") < 0 ? NULL : text;
}

static const struct bp_schema list = {"StringList", BP_KIND_LIST, .element_kind = BP_KIND_ANY};
#define KEY(NAME, KIND, FIELD, DEFAULT, HELP) BP_PROP(NAME, KIND, struct user, FIELD, DEFAULT, HELP)
#define LIST(NAME, FIELD, HELP) \
    {.name = NAME, .kind = BP_KIND_LIST, .offset = offsetof(struct user, FIELD), .help = HELP, .schema = &list}
static const struct bp_field props[] = {
    KEY("ipv4", ON_OFF_AUTO, ipv4, "auto", "IPv4; with neither named, both are there"),
    KEY("ipv6", ON_OFF_AUTO, ipv6, "auto", "IPv6"),
    KEY("net", STRING, net, NULL, "the guest's network (default: 10.0.2.0/24)"),
    KEY("host", STRING, host, NULL, "address by which the guest reaches the host (default: x.x.x.2)"),
    KEY("ipv6-net", STRING, ipv6_net, NULL, "the guest's IPv6 network (default: fec0::/64)"),
    KEY("ipv6-host", STRING, ipv6_host, NULL, "the host's IPv6 address (default: xxxx::2)"),
    KEY("restrict", BOOL, restricted, "off", "the guest reaches nothing but what forwards lead to"),
    KEY("hostname", STRING, hostname, NULL, "the guest's name, by DHCP"),
    KEY("dhcpstart", STRING, dhcpstart, NULL, "first of the 16 addresses that DHCP gives (default: x.x.x.15)"),
    KEY("dns", STRING, dns, NULL, "address of the name server (default: x.x.x.3)"),
    KEY("ipv6-dns", STRING, ipv6_dns, NULL, "its IPv6 address (default: xxxx::3)"),
    LIST("dnssearch", dnssearch, "a domain to look names up in, by DHCP; several times"),
    KEY("domainname", STRING, domainname, NULL, "the guest's domain, by DHCP"),
    KEY("tftp", STRING, tftp, NULL, "folder that a TFTP server shows"),
    KEY("tftp-server-name", STRING, tftp_server_name, NULL, "name of another TFTP server, by DHCP"),
    KEY("bootfile", STRING, bootfile, NULL, "file to boot, by DHCP"),
    KEY("smb", STRING, smb, NULL, "folder that an SMB server shows, with Samba"),
    KEY("smbserver", STRING, smbserver, NULL, "its address (default: x.x.x.4)"),
    LIST("hostfwd", hostfwd, "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT; several times"),
    LIST("guestfwd", guestfwd, "[tcp]:SERVER:PORT-CHARDEV or -cmd:COMMAND; several times"), BP_FIELDS_END};
BP_NETDEV(user_netdev, "user", "Network without privileges", struct user, props,
          .takes = BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6 | BP_NET_TAKES_ECN, .open = open,
          .close = close_network, .receive = receive, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("net-user", "Networks without privileges", imports, {BP_PROVIDE_OTHER, &user_netdev},
          {BP_PROVIDE_COMMAND, &user_cmd_add}, {BP_PROVIDE_COMMAND, &user_cmd_remove},
          {BP_PROVIDE_COMMAND, &user_cmd_query}, {BP_PROVIDE_HMP, &user_hmp_add},
          {BP_PROVIDE_HMP, &user_hmp_remove}, {BP_PROVIDE_HMP, &user_hmp_info});
