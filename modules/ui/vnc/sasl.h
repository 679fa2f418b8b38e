/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interface vnc-sasl/1: a viewer proves who it is by SASL (RFC 4422). The module ui-vnc-sasl offers it, ui-vnc asks for
 * it when a server has sasl=on. All of it: [main].
 */
#ifndef VNC_SASL_H
#define VNC_SASL_H

#include <bp/base.h>
#include <bp/error.h>

struct vnc_sasl; /* the proof of one viewer; opaque */

struct vnc_sasl_interface {
    uint32_t size;
    /* `local`, `remote`: "ADDRESS;PORT", or NULL where there are none. `secured`: the connection has TLS; without it
     * only mechanisms that encrypt what follows are taken. -ENOTSUP: none is left. */
    int (*open)(const char *local, const char *remote, bool secured, struct vnc_sasl **ret_sasl,
                struct bp_error *err);
    void (*close)(struct vnc_sasl *s); /* NULL is fine */
    const char *(*mechanisms)(const struct vnc_sasl *s); /* that may be used, with commas between; borrowed */
    /* One step with what the viewer sent, `mechanism` with the first and NULL with others. `data` NULL: it sent
     * nothing, which is not the same as no bytes. 0: it has proved who it is; 1: another step; -EACCES: it has not.
     * *ret_out: for the viewer, borrowed until the next call, or NULL. */
    int (*step)(struct vnc_sasl *s, const char *mechanism, const void *data, size_t size, const void **ret_out,
                size_t *ret_size, struct bp_error *err);
    const char *(*user)(const struct vnc_sasl *s); /* after the last step; borrowed, or NULL */
    size_t (*layer)(const struct vnc_sasl *s); /* what seal() takes at once; 0: what follows is not encrypted */
    /* *ret_out: borrowed until the next call. -EPROTO: what came is not what the viewer has sealed. */
    int (*seal)(struct vnc_sasl *s, const void *data, size_t size, const void **ret_out, size_t *ret_size);
    int (*unseal)(struct vnc_sasl *s, const void *data, size_t size, const void **ret_out, size_t *ret_size);
};

#endif
