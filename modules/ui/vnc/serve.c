/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interface vnc/1: connections that others have accepted. They belong to a server without addresses. */
#define BP_SHARED
#include "vnc.h"

#include <errno.h>
#include <unistd.h>

#include <bp/host/vnc.h>
#include <bp/run.h>

#include "module.h"

static struct vnc server = {.share = VNC_FORCE_SHARED, .power_control = true, .key_delay_ms = 10};

static int serve(struct bp_machine *machine, int fd, const void *data, size_t size, struct bp_error *err)
{
    if (!server.machine) {
        int r = vnc_serve_others(&server, machine, err);

        if (r < 0) {
            close(fd);
            return r;
        }
    }
    if (size > WEBSOCKET_REQUEST_MAX || server.client_count == VNC_CLIENTS) {
        close(fd);
        return bp_fail(err, EMFILE, "there are %u viewers already", server.client_count);
    }
    vnc_client_new(&server, fd, true);
    vnc_client_feed(server.clients, data, size);
    return 0;
}

static const struct bp_vnc_interface vnc_table = {.size = sizeof(vnc_table), .serve = serve};
BP_INTERFACE(vnc_interface, "vnc", 1, 0, &vnc_table);
