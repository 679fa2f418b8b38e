/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of -netdev user that say what the guest's network looks like. [main] */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bp/value.h>

#include "user.h"

enum { AUTO, ON, OFF };

const char *config_entry(const struct bp_value *list, size_t n)
{
    struct bp_value *entry = bp_value_at(list, n);

    return bp_value_type(entry) == BP_VALUE_DICT ? bp_value_get_string(entry, "str") : bp_value_as_string(entry);
}

static int bad(struct bp_error *err, const char *key, const char *text, const char *what)
{
    return bp_fail(err, EINVAL, "netdev: user: %s=%s: %s", key, text, what);
}

/* ---- IPv4 ---- */

static uint32_t class_mask(uint32_t net)
{
    if (!(net & 0x80000000u))
        return 0xff000000u;
    if ((net & 0xfff00000u) == 0xac100000u)
        return 0xfff00000u; /* 172.16.0.0/12 */
    if ((net & 0xc0000000u) == 0x80000000u)
        return 0xffff0000u;
    return 0xffffff00u;
}

static int read_mask(const char *text, uint32_t *ret_mask)
{
    struct in_addr mask;
    char *end;
    unsigned long bits = strtoul(text, &end, 10);

    if (*text && !*end) {
        if (bits > 32)
            return -EINVAL;
        *ret_mask = bits ? UINT32_MAX << (32 - bits) : 0;
        return 0;
    }
    if (inet_pton(AF_INET, text, &mask) != 1)
        return -EINVAL;
    *ret_mask = ntohl(mask.s_addr);
    return (~*ret_mask & (~*ret_mask + 1)) == 0 ? 0 : -EINVAL; /* ones, then zeroes */
}

static int read_net(const struct user *s, uint32_t *ret_net, uint32_t *ret_mask, struct bp_error *err)
{
    char text[64];
    char *slash;
    struct in_addr a;
    uint32_t net, mask;

    if (!s->net)
        return 0;
    if (strlen(s->net) >= sizeof(text))
        return bad(err, "net", s->net, "expected ADDRESS[/MASK], as 10.0.2.0/24");
    strcpy(text, s->net);
    slash = strchr(text, '/');
    if (slash)
        *slash++ = 0;
    if (inet_pton(AF_INET, text, &a) != 1)
        return bad(err, "net", s->net, "expected ADDRESS[/MASK], as 10.0.2.0/24");
    net = ntohl(a.s_addr);
    mask = class_mask(net);
    if (slash && read_mask(slash, &mask) < 0)
        return bad(err, "net", s->net, "the mask is a number of bits up to 32, or like 255.255.255.0");
    if (mask > 0xfffffffcu)
        return bad(err, "net", s->net, "there is no room for hosts: at most 30 bits");
    *ret_net = net & mask;
    *ret_mask = mask;
    return 0;
}

static int read_host(const char *key, const char *text, uint32_t net, uint32_t mask, uint32_t *address,
                     struct bp_error *err)
{
    struct in_addr a;

    if (!text)
        return 0;
    if (inet_pton(AF_INET, text, &a) != 1)
        return bad(err, key, text, "expected an IPv4 address");
    if ((ntohl(a.s_addr) & mask) != net)
        return bad(err, key, text, "is outside of the guest's network (net=)");
    if ((ntohl(a.s_addr) & ~mask) == 0 || (ntohl(a.s_addr) & ~mask) == ~mask)
        return bad(err, key, text, "is the network's own or its broadcast address");
    *address = ntohl(a.s_addr);
    return 0;
}

static struct in_addr as_address(uint32_t a)
{
    return (struct in_addr){htonl(a)};
}

static int read_ipv4(struct user *s, struct bp_error *err)
{
    uint32_t net = 0x0a000200u, mask = 0xffffff00u, host, dhcp, dns;
    int r = read_net(s, &net, &mask, err);

    if (r < 0)
        return r;
    host = net | (2 & ~mask);
    dhcp = net | (15 & ~mask);
    dns = net | (3 & ~mask);
    r = read_host("host", s->host, net, mask, &host, err);
    if (r == 0)
        r = read_host("dhcpstart", s->dhcpstart, net, mask, &dhcp, err);
    if (r == 0)
        r = read_host("dns", s->dns, net, mask, &dns, err);
    if (r < 0)
        return r;
    if (dns == host)
        return bad(err, s->dns ? "dns" : "host", s->dns ? s->dns : s->host,
                   "name server and host must have different addresses");
    if (dhcp == host || dhcp == dns)
        return bad(err, "dhcpstart", s->dhcpstart ? s->dhcpstart : "(default)",
                   "is the address of the host or the name server");
    s->config.vnetwork = as_address(net);
    s->config.vnetmask = as_address(mask);
    s->config.vhost = as_address(host);
    s->config.vdhcp_start = as_address(dhcp);
    s->config.vnameserver = as_address(dns);
    return 0;
}

/* ---- IPv6 ---- */

static int read_host6(const char *key, const char *text, const SlirpConfig *c, struct in6_addr *address,
                      struct bp_error *err)
{
    struct in6_addr a;
    unsigned bits = c->vprefix_len;

    if (!text)
        return 0;
    if (inet_pton(AF_INET6, text, &a) != 1)
        return bad(err, key, text, "expected an IPv6 address");
    for (unsigned i = 0; i < bits; i++)
        if ((a.s6_addr[i / 8] ^ c->vprefix_addr6.s6_addr[i / 8]) & (0x80 >> i % 8))
            return bad(err, key, text, "is outside of the guest's network (ipv6-net=)");
    *address = a;
    return 0;
}

static int read_ipv6(struct user *s, struct bp_error *err)
{
    SlirpConfig *c = &s->config;
    unsigned long bits = 64;
    char text[80], *slash, *end;
    int r;

    strcpy(text, "fec0::");
    if (s->ipv6_net && strlen(s->ipv6_net) < sizeof(text))
        strcpy(text, s->ipv6_net);
    slash = strchr(text, '/');
    if (slash) {
        *slash++ = 0;
        bits = strtoul(slash, &end, 10);
        if (!*slash || *end || bits > 126)
            return bad(err, "ipv6-net", s->ipv6_net, "the prefix has up to 126 bits");
    }
    if (inet_pton(AF_INET6, text, &c->vprefix_addr6) != 1 || (s->ipv6_net && strlen(s->ipv6_net) >= sizeof(text)))
        return bad(err, "ipv6-net", s->ipv6_net, "expected ADDRESS[/BITS], as fec0::/64");
    c->vprefix_len = (uint8_t)bits;
    for (unsigned i = (unsigned)bits; i < 128; i++)
        c->vprefix_addr6.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    c->vhost6 = c->vnameserver6 = c->vprefix_addr6;
    c->vhost6.s6_addr[15] |= 2;
    c->vnameserver6.s6_addr[15] |= 3;
    r = read_host6("ipv6-host", s->ipv6_host, c, &c->vhost6, err);
    if (r == 0)
        r = read_host6("ipv6-dns", s->ipv6_dns, c, &c->vnameserver6, err);
    if (r == 0 && !memcmp(&c->vhost6, &c->vnameserver6, sizeof(c->vhost6)))
        r = bad(err, s->ipv6_dns ? "ipv6-dns" : "ipv6-host", s->ipv6_dns ? s->ipv6_dns : s->ipv6_host,
                "name server and host must have different addresses");
    return r;
}

/* ---- names and files ---- */

static int read_domains(struct user *s, struct bp_error *err)
{
    size_t n = s->dnssearch ? bp_value_length(s->dnssearch) : 0;

    if (n == 0)
        return 0;
    s->domains = bp_alloc((n + 1) * sizeof(*s->domains));
    for (size_t i = 0; i < n; i++) {
        s->domains[i] = config_entry(s->dnssearch, i);
        if (!s->domains[i] || !*s->domains[i] || strlen(s->domains[i]) > 253)
            return bad(err, "dnssearch", s->domains[i] ? s->domains[i] : "?", "expected the name of a domain");
    }
    s->config.vdnssearch = s->domains;
    return 0;
}

static int check_length(const char *key, const char *text, size_t most, struct bp_error *err)
{
    return text && strlen(text) > most ? bad(err, key, text, "is too long for DHCP") : 0;
}

static int check_names(struct user *s, struct bp_error *err)
{
    struct stat st;
    int r = check_length("hostname", s->hostname, 255, err);

    if (r == 0)
        r = check_length("domainname", s->domainname, 255, err);
    if (r == 0)
        r = check_length("tftp-server-name", s->tftp_server_name, 255, err);
    if (r == 0)
        r = check_length("bootfile", s->bootfile, 127, err);
    if (r < 0)
        return r;
    if (s->tftp && (stat(s->tftp, &st) < 0 || !S_ISDIR(st.st_mode)))
        return bad(err, "tftp", s->tftp, "there is no such folder");
    s->tftp_folder = s->tftp ? bp_path_absolute(s->tftp) : NULL;
    return 0;
}

int config_read(struct user *s, struct bp_error *err)
{
    SlirpConfig *c = &s->config;
    int r;

    if (s->ipv4 == OFF && s->ipv6 == OFF)
        return bp_fail(err, EINVAL, "netdev: user: 'ipv4' and 'ipv6' cannot both be off");
    *c = (SlirpConfig){.version = 3};
    c->in_enabled = s->ipv4 != OFF && !(s->ipv4 == AUTO && s->ipv6 == ON);
    c->in6_enabled = s->ipv6 != OFF && !(s->ipv6 == AUTO && s->ipv4 == ON);
    c->restricted = s->restricted;
    r = read_ipv4(s, err);
    if (r == 0)
        r = read_ipv6(s, err);
    if (r == 0)
        r = check_names(s, err);
    if (r == 0)
        r = read_domains(s, err);
    c->vhostname = s->hostname;
    c->vdomainname = s->domainname;
    c->tftp_path = s->tftp_folder;
    c->tftp_server_name = s->tftp_server_name;
    c->bootfile = s->bootfile;
    return r;
}
