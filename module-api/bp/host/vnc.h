/* SPDX-License-Identifier: MIT */
/*
 * Remote framebuffers for others: interface vnc/1, offered by the `ui-vnc` module. Who serves pages to browsers
 * hands it the connections that become WebSockets of the RFB protocol.
 */
#ifndef BP_HOST_VNC_H
#define BP_HOST_VNC_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_machine;

struct bp_vnc_interface { /* vnc/1; [main] under the machine lock */
    uint32_t size;
    /*
     * Serves the machine's first screen on a connection. `fd` (non-blocking; owned from now on, after a failure too) is
     * a socket on which `data` came so far: the beginning of a WebSocket's HTTP request, at most 8 KiB. Who it is was
     * asked already: there is no password, clients share the screen, and may switch the machine off and reset it.
     */
    int (*serve)(struct bp_machine *machine, int fd, const void *data, size_t size, struct bp_error *err);
    void *reserved[6];
};

BP_END_DECLS

#endif
