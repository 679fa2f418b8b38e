/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP commands about the session itself: negotiation, the human monitor. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"
#include "hmp.h"
#include "machine.h"
#include "marks.h"

static const char *const capability_names[] = {"oob", NULL};
static const struct bp_schema capability = {.name = "QMPCapability", .kind = BP_KIND_ENUM,
                                            .choices = capability_names};
static const struct bp_schema capability_list = {.name = "QMPCapabilityList", .kind = BP_KIND_LIST,
                                                 .element_kind = BP_KIND_ENUM,
                                                 .element = &capability};
static const struct bp_field capabilities_args[] = {
    BP_ARG_TYPED("enable", LIST, &capability_list, BP_FIELD_OPTIONAL, "what to switch on"),
    BP_FIELDS_END,
};

static int qmp_capabilities(struct bp_value *enable, struct bp_error *err)
{
    return bpc_qmp_negotiated(bp_value_length(enable) > 0, err);
}
BP_COMMAND(cmd_capabilities, "qmp_capabilities", "Ends the negotiation of capabilities",
           capabilities_args, NONE, NULL, qmp_capabilities, BP_COMMAND_PRECONFIG);

static const struct bp_field hmp_args[] = {
    BP_ARG("command-line", STRING, "one line for the human monitor"),
    BP_ARG_OPT("cpu-index", UINT32, "CPU that it refers to"),
    BP_FIELDS_END,
};

/* Lines end as on a terminal: scripts split them there. */
static char *as_on_terminal(const GString *out)
{
    GString *text = g_string_sized_new(out->len + 64);

    for (gsize i = 0; i < out->len; i++) {
        if (out->str[i] == '\n' && (i == 0 || out->str[i - 1] != '\r'))
            g_string_append_c(text, '\r');
        g_string_append_c(text, out->str[i]);
    }
    char *utf8 = g_utf8_make_valid(text->str, (gssize)text->len);
    g_string_free(text, TRUE);
    return utf8;
}

static int human_monitor_command(const char *line, bool has_cpu, uint64_t cpu_index,
                                 struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_monitor mon = {.cpu_index = has_cpu ? (unsigned)cpu_index : 0};

    if (has_cpu && !bp_machine_cpu(bpc_the_machine, mon.cpu_index))
        return bp_fail(err, EINVAL, "Invalid parameter 'cpu-index': there is no such CPU");
    mon.out = g_string_new(NULL);
    bpc_hmp_run(&mon, line);
    char *utf8 = as_on_terminal(mon.out);
    *ret_value = bp_value_string(utf8);
    g_free(utf8);
    g_string_free(mon.out, TRUE);
    return 0;
}
BP_COMMAND(cmd_human, "human-monitor-command", "Runs a human monitor command", hmp_args, STRING,
           NULL, human_monitor_command, BP_COMMAND_COROUTINE);

const struct bp_command *const bpc_monitor_commands[] = {
    &cmd_capabilities, &cmd_human, NULL,
};
