/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Board `none`: no processor, no device; memory only when -m asks for it. For programs that start
 * the emulator only to ask it questions over QMP, and for tests that build their own machine.
 */
#include <bp/exact/machine.h>
#include <bp/memory.h>

struct none_board {
    uint8_t unused;
};

static int none_init(struct bp_machine *m, struct bp_error *err)
{
    static const struct bp_hotplug_ops anything = {.size = sizeof(struct bp_hotplug_ops)};

    (void)err;
    bp_machine_set_hotplug(m, bp_machine_owner(m), &anything, NULL);
    if (bp_machine_ram(m))
        bp_region_add(bp_space_root(bp_machine_memory(m)), bp_machine_ram(m), 0, 0);
    return 0;
}

BP_BOARD(none_board, "none", "any", "Empty machine", struct none_board, NULL, .max_cpus = 1,
         .default_ram_id = "ram", .init = none_init);

BP_MODULE("hw-none", "Board without anything on it", BP_NO_IMPORTS,
          {BP_PROVIDE_BOARD, &none_board});
