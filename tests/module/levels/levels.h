/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the test of levels sees of the module that has the lower ones (base.c). */
#ifndef TEST_LEVELS_H
#define TEST_LEVELS_H

#include <bp/level.h>

/* test-levels/1 */
struct test_levels_interface {
    uint32_t size;
    const char *(*calls)(void); /* what was called, in order: "name.hook " */
    void (*forget)(void);
    void (*note)(const char *name, const char *hook);
    void (*fail_at)(const char *name, const char *hook); /* this call fails; NULL: none does */
    int (*check)(struct bp_error *err);                  /* of the note just made */
    size_t (*base_size)(void);
    const char *(*model)(struct bp_object *obj); /* what its class tells the base, or NULL */
    uint32_t *(*base_register)(struct bp_object *obj); /* one that the base saves */
};

/* What a class tells the base. */
struct test_base_info {
    uint32_t size;
    const char *model;
};

#endif
