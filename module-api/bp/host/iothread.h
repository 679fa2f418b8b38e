/* SPDX-License-Identifier: MIT */
/* iothread/1: the context of an `-object iothread`, for devices with a property that links to one. */
#ifndef BP_HOST_IOTHREAD_H
#define BP_HOST_IOTHREAD_H

#include <bp/loop.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_iothread_interface {
    uint32_t size;
    /* Of an object of type "iothread"; lasts as long as the object, which is not deleted while something
     * lives in it. [any] */
    struct bp_context *(*context)(struct bp_object *iothread);
    void *reserved[4];
};

BP_END_DECLS

#endif
