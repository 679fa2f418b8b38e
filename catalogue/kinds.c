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
    [BP_PROVIDE_INTERFACE] = "interface", [BP_PROVIDE_OPTION] = "option",
    [BP_PROVIDE_COMMAND] = "command",     [BP_PROVIDE_HMP] = "hmp",
    [BP_PROVIDE_EVENT] = "event",         [BP_PROVIDE_ABSTRACT] = "abstract",
    [BP_PROVIDE_KIND] = "kind",
};

#define MAX_NAME 32u

const char *kind_name(enum bp_provide_kind kind)
{
    return (unsigned)kind < BP_COUNT(names) ? names[kind] : NULL;
}

enum bp_provide_kind kind_from_name(const char *text, size_t length)
{
    for (unsigned kind = BP_PROVIDE_END + 1; kind < BP_COUNT(names); kind++)
        if (strlen(names[kind]) == length && memcmp(names[kind], text, length) == 0)
            return (enum bp_provide_kind)kind;
    if (length == 0 || length > MAX_NAME || text[0] < 'a' || text[0] > 'z')
        return BP_PROVIDE_END;
    for (size_t i = 1; i < length; i++)
        if ((text[i] < 'a' || text[i] > 'z') && (text[i] < '0' || text[i] > '9') && text[i] != '-')
            return BP_PROVIDE_END;
    return BP_PROVIDE_OTHER;
}

bool kind_is_noted_only(const char *name)
{
    return strcmp(name, "trace") == 0;
}

char *kind_provided_name(enum bp_provide_kind kind, const struct bp_kind *of, const void *desc)
{
    const struct bp_interface *face = desc;
    size_t prefix = of && of->prefix ? strlen(of->prefix) : 0;
    const char *name;

    switch (kind) {
    case BP_PROVIDE_INTERFACE:
        return face->name ? text_printf("%s/%u", face->name, face->major) : NULL;
    case BP_PROVIDE_OPTION: name = ((const struct bp_option *)desc)->name; break;
    case BP_PROVIDE_COMMAND: name = ((const struct bp_command *)desc)->name; break;
    case BP_PROVIDE_HMP: name = ((const struct bp_hmp_command *)desc)->name; break;
    case BP_PROVIDE_EVENT: name = ((const struct bp_event *)desc)->name; break;
    case BP_PROVIDE_KIND: name = ((const struct bp_kind *)desc)->name; break;
    default: name = ((const struct bp_type_info *)desc)->name;
    }
    if (name && prefix && strncmp(name, of->prefix, prefix) == 0)
        name += prefix; /* announced by its short name */
    return bp_strdup(name);
}
