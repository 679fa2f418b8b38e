/* SPDX-License-Identifier: MIT */
/* What bindgen translates for the sample. */
#include <bp/bus/isa.h>
