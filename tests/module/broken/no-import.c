/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: uses an interface and does not import it, so that nobody fills the pointer. */
#include <bp/bus/isa.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);

struct broken {
    uint32_t unused;
};

static int broken_attach(struct bp_device *dev, struct bp_error *err)
{
    return isa->add_ports(dev, 0x300, 1, "broken", NULL, NULL, NULL, err);
}

BP_DEVICE(broken, "broken-import", "isa", "Broken on purpose", struct broken, NULL, NULL,
          .attach = broken_attach, .category = "misc");
BP_MODULE("broken-import", "Follows a null pointer", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &broken});
