/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TCG_MONITOR_H
#define TCG_MONITOR_H

#include <bp/command.h>
#include <bp/option.h>

struct tcg_machine;
void monitor_machine(struct tcg_machine *m);
extern const struct bp_hmp_command tcg_info_jit, tcg_info_opcount;
extern const struct bp_option tcg_perfmap, tcg_jitdump;

#endif
