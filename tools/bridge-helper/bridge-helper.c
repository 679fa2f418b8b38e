/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-bridge-helper: makes a TAP interface, puts it on a bridge and gives its descriptor to who called us, by
 * SCM_RIGHTS over --fd. It is installed set-user-ID root, or run with CAP_NET_ADMIN; which bridges are allowed stands in
 * BP_BRIDGE_ACL (else in /etc/qemu/bridge.conf): lines "allow BRIDGE", "deny BRIDGE", "allow all", "deny all",
 * "include FILE". What nothing allows is denied; a deny is stronger than any allow. An included file counts only for
 * those who can read it: so groups of users get bridges of their own. It trusts nothing of its caller.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 8

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fprintf(stderr, "backplane-bridge-helper: ");
    vfprintf(stderr, format, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(1);
}

/* ---- who may ---- */

struct verdict {
    bool allowed, denied;
};

static void read_rules(const char *path, const char *bridge, unsigned depth, struct verdict *v);

static void read_line(char *line, const char *path, unsigned number, const char *bridge, unsigned depth, struct verdict *v)
{
    char *word, *rest, *end;

    line[strcspn(line, "#\n")] = 0;
    for (end = line + strlen(line); end > line && isspace((unsigned char)end[-1]);)
        *--end = 0;
    word = line + strspn(line, " \t");
    if (!*word)
        return;
    rest = word + strcspn(word, " \t");
    if (*rest)
        *rest++ = 0;
    rest += strspn(rest, " \t");
    if (!*rest)
        fail("%s:%u: a word is missing behind '%s'", path, number, word);
    if (!strcmp(word, "include")) {
        /* With the rights of who called us: who cannot read it, for him it is not there. */
        if (access(rest, R_OK) == 0)
            read_rules(rest, bridge, depth + 1, v);
    } else if (!strcmp(word, "allow")) {
        v->allowed |= !strcmp(rest, "all") || !strcmp(rest, bridge);
    } else if (!strcmp(word, "deny")) {
        v->denied |= !strcmp(rest, "all") || !strcmp(rest, bridge);
    } else {
        fail("%s:%u: '%s' is not allow, deny or include", path, number, word);
    }
}

static void read_rules(const char *path, const char *bridge, unsigned depth, struct verdict *v)
{
    char line[512];
    unsigned number = 0;
    struct stat st;
    FILE *f;

    if (depth > MAX_DEPTH)
        fail("%s: files include each other more than %d deep", path, MAX_DEPTH);
    f = fopen(path, "re");
    if (!f)
        fail("%s: %s: no bridge is allowed", path, strerror(errno));
    if (fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
        (st.st_mode & S_IWOTH))
        fail("%s: must be a file of root's that not everybody can write", path);
    while (fgets(line, sizeof(line), f)) {
        if (!strchr(line, '\n') && !feof(f))
            fail("%s:%u: the line is too long", path, number + 1);
        read_line(line, path, ++number, bridge, depth, v);
    }
    fclose(f);
}

static void check_allowed(const char *bridge)
{
    const char *path = access(BP_BRIDGE_ACL, F_OK) == 0 ? BP_BRIDGE_ACL : "/etc/qemu/bridge.conf";
    struct verdict v = {false, false};

    read_rules(path, bridge, 0, &v);
    if (!v.allowed || v.denied)
        fail("access to bridge %s is denied by %s", bridge, path);
}

/* ---- the interface ---- */

static int make_tap(bool header, char name[IFNAMSIZ])
{
    struct ifreq request = {0};
    unsigned features = 0;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        fail("/dev/net/tun: %s", strerror(errno));
    ioctl(fd, TUNGETFEATURES, &features);
    request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (header ? features & IFF_VNET_HDR : 0));
    strcpy(request.ifr_name, "tap%d");
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        fail("cannot make a TAP interface: %s", strerror(errno));
    memcpy(name, request.ifr_name, IFNAMSIZ);
    return fd;
}

static void put_on_bridge(int ctl, const char *bridge, const char *name)
{
    struct ifreq request = {0};

    /* A bridge takes the lowest address of its ports for its own: this one shall not be it. */
    strcpy(request.ifr_name, name);
    if (ioctl(ctl, SIOCGIFHWADDR, &request) < 0)
        fail("%s: %s", name, strerror(errno));
    request.ifr_hwaddr.sa_data[0] = (char)0xfe;
    if (ioctl(ctl, SIOCSIFHWADDR, &request) < 0)
        fail("%s: cannot set its address: %s", name, strerror(errno));
    memset(&request, 0, sizeof(request));
    strcpy(request.ifr_name, bridge);
    if (ioctl(ctl, SIOCGIFMTU, &request) < 0)
        fail("bridge %s: %s", bridge, strerror(errno));
    strcpy(request.ifr_name, name);
    ioctl(ctl, SIOCSIFMTU, &request);
    memset(&request, 0, sizeof(request));
    strcpy(request.ifr_name, bridge);
    request.ifr_ifindex = (int)if_nametoindex(name);
    if (ioctl(ctl, SIOCBRADDIF, &request) < 0)
        fail("cannot put %s on bridge %s: %s", name, bridge, strerror(errno));
    memset(&request, 0, sizeof(request));
    strcpy(request.ifr_name, name);
    if (ioctl(ctl, SIOCGIFFLAGS, &request) < 0)
        fail("%s: %s", name, strerror(errno));
    request.ifr_flags |= IFF_UP;
    if (ioctl(ctl, SIOCSIFFLAGS, &request) < 0)
        fail("cannot bring %s up: %s", name, strerror(errno));
}

static void give(int channel, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    if (sendmsg(channel, &message, 0) < 0)
        fail("cannot give the interface back: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    const char *bridge = NULL;
    char name[IFNAMSIZ];
    bool header = false;
    int channel = -1, ctl;
    struct stat st;

    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--br=", 5))
            bridge = argv[i] + 5;
        else if (!strncmp(argv[i], "--fd=", 5) && isdigit((unsigned char)argv[i][5]))
            channel = atoi(argv[i] + 5);
        else if (!strcmp(argv[i], "--use-vnet"))
            header = true;
        else
            fail("usage: backplane-bridge-helper [--use-vnet] --br=BRIDGE --fd=SOCKET");
    }
    if (!bridge || channel < 0)
        fail("usage: backplane-bridge-helper [--use-vnet] --br=BRIDGE --fd=SOCKET");
    if (!*bridge || strlen(bridge) >= IFNAMSIZ || strchr(bridge, '/'))
        fail("'%s' is no name of a bridge", bridge);
    if (fstat(channel, &st) < 0 || !S_ISSOCK(st.st_mode))
        fail("--fd=%d is no socket", channel);
    check_allowed(bridge);
    ctl = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ctl < 0)
        fail("a socket: %s", strerror(errno));
    int fd = make_tap(header, name);
    put_on_bridge(ctl, bridge, name);
    give(channel, fd);
    return 0;
}
