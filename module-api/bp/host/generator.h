/* SPDX-License-Identifier: MIT */
/*
 * Objects that make bytes for firmware: "-fw_cfg name=NAME,gen_id=ID". The class of such an object says how, with
 * {BP_GENERATOR, &ops} in its type's `infos`; who wants them finds that by bp_object_tells() (bp/host/authz.h).
 */
#ifndef BP_HOST_GENERATOR_H
#define BP_HOST_GENERATOR_H

#include <bp/object.h>

BP_BEGIN_DECLS

#define BP_GENERATOR "fw_cfg-data-generator"

struct bp_generator_ops {
    uint32_t size; /* sizeof(struct bp_generator_ops) */
    /* The bytes, borrowed until the object goes. [main] */
    int (*generate)(struct bp_object *obj, const uint8_t **ret_data, size_t *ret_size, struct bp_error *err);
    void *reserved[4];
};

BP_END_DECLS

#endif
