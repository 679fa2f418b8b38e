/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of groups (option-groups.h). */
#include "option-groups.h"

#include <string.h>

#include <bp/base.h>

static const struct {
    const char *group, *option;
} groups[] = {
    {"memory", "m"}, {"smp-opts", "smp"}, {"boot-opts", "boot"},
};

const char *bpc_option_group(const char *option)
{
    for (size_t i = 0; i < BP_COUNT(groups); i++) {
        if (strcmp(groups[i].option, option) == 0)
            return groups[i].group;
    }
    return NULL;
}

const char *bpc_option_of_group(const char *group)
{
    for (size_t i = 0; i < BP_COUNT(groups); i++) {
        if (strcmp(groups[i].group, group) == 0)
            return groups[i].option;
    }
    return group;
}
