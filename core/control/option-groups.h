/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options whose group has another name in configuration files and in query-command-line-options. */
#ifndef BPC_OPTION_GROUPS_H
#define BPC_OPTION_GROUPS_H

/* "smp-opts" for "smp"; NULL: the group is called as the option. [any] */
const char *bpc_option_group(const char *option);
/* "smp" for "smp-opts"; other names are themselves. [any] */
const char *bpc_option_of_group(const char *group);

#endif
