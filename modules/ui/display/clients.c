/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* add_client: a connection that a QMP client passed (getfd) becomes a client of the server of a protocol. */
#define BP_SHARED
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/command.h>

#include "display.h"
#include "options.h"

enum { VNC, SPICE, DBUS, PROTOCOLS };
static const struct bp_client_server *servers[PROTOCOLS]; /* [main] */
static const char *const names[PROTOCOLS] = {"vnc", "spice", "@dbus-display"};

void client_server(const struct bp_client_server *server)
{
    for (unsigned i = 0; i < PROTOCOLS; i++)
        if (!strcmp(server->protocol, names[i]))
            servers[i] = server;
}

static const struct bp_field args[] = {
    BP_ARG("protocol", STRING, "vnc, spice or @dbus-display"), BP_ARG("fdname", STRING, "its name, of getfd"),
    BP_ARG_OPT("skipauth", BOOL, "who it is was asked already"),
    BP_ARG_OPT("tls", BOOL, "it begins with TLS; for spice"), BP_FIELDS_END};

static int add_client(const char *protocol, const char *name, bool has_skip, bool skip, bool has_tls, bool tls,
                      struct bp_error *err)
{
    int type = 0, fd, which = 0;
    socklen_t length = sizeof(type);

    while (which < PROTOCOLS && strcmp(protocol, names[which]) != 0)
        which++;
    if (which == PROTOCOLS)
        return bp_fail(err, EINVAL, "protocol '%.60s' is not vnc, spice or @dbus-display", protocol);
    if (!servers[which])
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no %s server", protocol);
    fd = bp_fd_take(name, err);
    if (fd < 0)
        return fd;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM) {
        close(fd);
        return bp_fail(err, EINVAL, "descriptor '%.60s' is no stream socket", name);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return servers[which]->add(fd, has_skip && skip, has_tls && tls, err);
}
BP_COMMAND(cmd_add_client, "add_client", "makes a passed connection a client of a display", args, NONE, NULL,
           add_client, 0);
