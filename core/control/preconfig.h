/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --preconfig: monitors stand before the machine is made, and a client says when it is to be. [main]
 */
#ifndef BPC_PRECONFIG_H
#define BPC_PRECONFIG_H

#include <bp/command.h>

/* From now on only commands whose flags have BP_COMMAND_PRECONFIG are taken, until one says that it is enough. */
void bpc_preconfig_begin(void);
bool bpc_preconfig_waits(void);
void bpc_preconfig_done(void); /* the machine is made; nothing without --preconfig */
/* May a command with these flags run now? -EPERM: it needs the machine. */
int bpc_preconfig_judge(const char *name, uint32_t flags, struct bp_error *err);
int bpc_preconfig_judge_human(const char *name, struct bp_error *err);
/* For commands that are only for that time; -EPERM: the machine is made. */
int bpc_preconfig_need(const char *name, struct bp_error *err);

#endif
