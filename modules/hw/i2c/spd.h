/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SPD_H
#define SPD_H

#include <bp/base.h>

#define SPD_SIZE 128u

/* Fills in what a module of so many bytes says; -EINVAL: no power of two from 128 MiB to 16 GiB. */
int spd_make(uint64_t bytes, uint8_t spd[SPD_SIZE]);

#endif
