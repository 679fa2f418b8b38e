/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anchors the shared library: its one source of its own. */
#include <bp/base.h>

extern const char bpc_exact_stamp[];
const char bpc_exact_stamp[] = BP_EXACT_STAMP;
