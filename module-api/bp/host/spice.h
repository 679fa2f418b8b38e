/* SPDX-License-Identifier: MIT */
/*
 * The SPICE server for others: interface spice/1, offered by the `ui-spice` module. Who has something that
 * libspice-server carries (a character device, sound) gives it an instance of one of the library's interfaces.
 */
#ifndef BP_HOST_SPICE_H
#define BP_HOST_SPICE_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_spice_interface { /* spice/1; [main] under the machine lock */
    uint32_t size;
    /* Does the command line ask for a server? True before there is one, too. */
    bool (*is_asked)(void);
    /*
     * `instance`: a SpiceBaseInstance, borrowed until remove(). It is given to the server, at once or as soon as there
     * is one; then added(opaque) is called, perhaps inside of this. -ENODEV: there is no server and will be none.
     * -EINVAL: the server does not take it.
     */
    int (*add)(void *instance, void (*added)(void *opaque), void *opaque, struct bp_error *err);
    /* Takes it back: what was not added is nothing. */
    void (*remove)(void *instance);
    void *reserved[6];
};

BP_END_DECLS

#endif
