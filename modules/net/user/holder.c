/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has a port of this host: /proc/net tells the socket's inode, /proc/PID/fd who has it open. [main] */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user.h"

#define STATE_LISTEN 0x0au /* TCP_LISTEN, of the kernel's <net/tcp_states.h> */

static bool inode_in(const char *path, bool udp, unsigned port, unsigned long *ret_inode)
{
    FILE *f = fopen(path, "re");
    char line[512];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f)) {
        unsigned local_port, state;
        unsigned long inode;

        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &local_port,
                   &state, &inode) == 3 &&
            local_port == port && inode && (udp || state == STATE_LISTEN)) {
            *ret_inode = inode;
            found = true;
        }
    }
    if (f)
        fclose(f);
    return found;
}

static bool has_socket(const char *pid, const char *wanted)
{
    char path[300], target[64];
    DIR *dir;
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && !found; e = readdir(dir)) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = 0;
        found = !strcmp(target, wanted);
    }
    if (dir)
        closedir(dir);
    return found;
}

static void command_of(const char *pid, char *buf, size_t size)
{
    char path[64], name[64] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    f = fopen(path, "re");
    if (f) {
        if (!fgets(name, sizeof(name), f))
            *name = 0;
        fclose(f);
    }
    name[strcspn(name, "\n")] = 0;
    snprintf(buf, size, "%s (process %.20s)", *name ? name : "somebody", pid);
}

void holder_name(bool udp, unsigned port, char *buf, size_t size)
{
    unsigned long inode;
    char wanted[64];
    DIR *dir;

    *buf = 0;
    if (!inode_in(udp ? "/proc/net/udp" : "/proc/net/tcp", udp, port, &inode) &&
        !inode_in(udp ? "/proc/net/udp6" : "/proc/net/tcp6", udp, port, &inode))
        return;
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    snprintf(buf, size, "a process of another user");
    dir = opendir("/proc");
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        if (*e->d_name < '0' || *e->d_name > '9' || !has_socket(e->d_name, wanted))
            continue;
        command_of(e->d_name, buf, size);
        break;
    }
    if (dir)
        closedir(dir);
}
