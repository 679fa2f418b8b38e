/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: module a of two that require each other. */
#include <bp/device.h>

static const struct {
    uint32_t size;
} table = {sizeof(table)};
BP_INTERFACE(offer, "broken-a", 1, 0, &table);
BP_USE(other, void *, "broken-b", 1);
static const struct bp_import imports[] = {BP_IMPORT(other, "broken-b", 1), {0}};

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-cycle-a", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE("broken-cycle-a", "Requires itself", imports, {BP_PROVIDE_DEVICE, &broken},
          {BP_PROVIDE_INTERFACE, &offer});
