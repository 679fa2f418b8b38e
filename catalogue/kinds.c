/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of kinds, and of what is of a kind (kinds.h). */
#include "kinds.h"

#include <string.h>

#include <bp/command.h>
#include <bp/object.h>
#include <bp/option.h>

#include "grow.h"

static const char *const names[] = {
    [BP_PROVIDE_DEVICE] = "device",       [BP_PROVIDE_BUS] = "bus",
    [BP_PROVIDE_BOARD] = "board",         [BP_PROVIDE_CPU] = "cpu",
    [BP_PROVIDE_ACCEL] = "accel",         [BP_PROVIDE_OBJECT] = "object",
    [BP_PROVIDE_CHARDEV] = "chardev",     [BP_PROVIDE_INTERFACE] = "interface",
    [BP_PROVIDE_OPTION] = "option",       [BP_PROVIDE_COMMAND] = "command",
    [BP_PROVIDE_HMP] = "hmp",             [BP_PROVIDE_EVENT] = "event",
    [BP_PROVIDE_ABSTRACT] = "abstract",
};

const char *kind_name(enum bp_provide_kind kind)
{
    return (unsigned)kind < BP_COUNT(names) && names[kind] ? names[kind] : "nothing";
}

enum bp_provide_kind kind_from_name(const char *text, size_t length)
{
    for (unsigned kind = BP_PROVIDE_END + 1; kind < BP_COUNT(names); kind++)
        if (strlen(names[kind]) == length && memcmp(names[kind], text, length) == 0)
            return (enum bp_provide_kind)kind;
    return BP_PROVIDE_END;
}

char *kind_provided_name(enum bp_provide_kind kind, const void *desc)
{
    static const char chardev[] = "chardev-";
    const struct bp_interface *face = desc;
    const char *name;

    switch (kind) {
    case BP_PROVIDE_INTERFACE:
        return face->name ? text_printf("%s/%u", face->name, face->major) : NULL;
    case BP_PROVIDE_OPTION: name = ((const struct bp_option *)desc)->name; break;
    case BP_PROVIDE_COMMAND: name = ((const struct bp_command *)desc)->name; break;
    case BP_PROVIDE_HMP: name = ((const struct bp_hmp_command *)desc)->name; break;
    case BP_PROVIDE_EVENT: name = ((const struct bp_event *)desc)->name; break;
    default: name = ((const struct bp_type_info *)desc)->name;
    }
    if (kind == BP_PROVIDE_CHARDEV && name && strncmp(name, chardev, strlen(chardev)) == 0)
        name += strlen(chardev); /* announced by its short name */
    return bp_strdup(name);
}
