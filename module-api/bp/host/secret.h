/* SPDX-License-Identifier: MIT */
/* Secrets (passwords, keys): interface secret/1, offered by the `object-secret` module. */
#ifndef BP_HOST_SECRET_H
#define BP_HOST_SECRET_H

#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_secret_interface { /* secret/1; [main] under the machine lock */
    uint32_t size;
    /* The bytes of the "secret" object with this id, borrowed until it is deleted. -ENOENT: there is
     * none. */
    int (*get)(const char *id, const uint8_t **ret_data, size_t *ret_len, struct bp_error *err);
    void *reserved[4];
};

BP_END_DECLS

#endif
