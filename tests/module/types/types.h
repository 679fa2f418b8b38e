/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state that test ports begin with. */
#ifndef TEST_TYPES_H
#define TEST_TYPES_H

#include <bp/object.h>

struct test_port {
    uint16_t base;
};

#endif
