/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done with interfaces that are deprecated or unstable (-compat), by machine clients only. [main] */
#ifndef BPC_COMPAT_H
#define BPC_COMPAT_H

#include <bp/command.h>

enum bpc_compat_input { BPC_COMPAT_ACCEPT, BPC_COMPAT_REJECT, BPC_COMPAT_CRASH };

/* deprecated, unstable: what is done with the one and the other. */
struct bpc_compat {
    enum bpc_compat_input deprecated_input, unstable_input;
    bool hide_deprecated, hide_unstable;
};
extern struct bpc_compat bpc_compat;

/* May this client's request be carried out? -EPERM with class CommandNotFound for a command; a policy `crash` does
 * not return. args: dict or NULL. */
int bpc_compat_judge(const struct bp_command *command, struct bp_value *args, struct bp_error *err);
/* The result without what is to be hidden: it, or a changed copy. Takes the reference, returns one. */
struct bp_value *bpc_compat_result(const struct bp_command *command, struct bp_value *result);
/* Is this event, or this command for introspection, to be hidden? */
bool bpc_compat_hides(const char *name, const char *const *features);

#endif
