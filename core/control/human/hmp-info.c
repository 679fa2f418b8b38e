/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor's info commands over what the core knows; modules add those over their devices. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config.h"
#include "device.h"
#include "hmp.h"
#include "machine.h"
#include "memory.h"
#include "object.h"
#include "registry.h"
#include "version.h"

#define INFO(IDENT, NAME, PARAMS, SUMMARY, ARGS) \
    static const struct bp_hmp_command hmp_##IDENT = {sizeof(struct bp_hmp_command), \
        "info " NAME, PARAMS, SUMMARY, ARGS, info_##IDENT, {NULL, NULL}}

static void print_and_free(struct bp_monitor *mon, char *text)
{
    if (text)
        bp_monitor_printf(mon, "%s", text);
    free(text);
}

static void info_version(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    bp_monitor_printf(mon, BPC_COMPATIBLE_VERSION " (" BPC_PACKAGE ")\n");
}
INFO(version, "version", "", "show the version", NULL);

static void info_status(struct bp_monitor *mon, struct bp_value *args)
{
    enum bpc_run_state state = bpc_machine_state();

    (void)args;
    bp_monitor_printf(mon, "VM status: %s", bpc_machine_executes() ? "running" : "paused");
    if (!bpc_machine_executes() && state != BPC_RUN_PAUSED)
        bp_monitor_printf(mon, " (%s)", bpc_run_state_name(state));
    bp_monitor_printf(mon, "\n");
}
INFO(status, "status", "", "show the current VM status (running|paused)", NULL);

static void info_name(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    if (bpc_config.guest_name)
        bp_monitor_printf(mon, "%s\n", bpc_config.guest_name);
}
INFO(name, "name", "", "show the current VM name", NULL);

/* ---- CPUs ---- */

struct dump {
    char *text;
};

static void dump_cpu(struct bp_cpu *cpu, void *opaque)
{
    struct dump *d = opaque;

    bpc_cpu_sync(cpu);
    d->text = bp_cpu_class(cpu)->dump ? bp_cpu_class(cpu)->dump(cpu) : NULL;
}

static const struct bp_field registers_args[] = {
    BP_ARG_OPT("-a", BOOL, "all CPUs"), BP_FIELDS_END,
};

static void info_registers(struct bp_monitor *mon, struct bp_value *args)
{
    bool all = bp_value_has(args, "-a");

    if (!all && !bpc_hmp_cpu(mon))
        return;
    for (unsigned i = all ? 0 : mon->cpu_index; i < (all ? bpc_cpu_slots() : mon->cpu_index + 1);
         i++) {
        struct bp_cpu *cpu = bp_machine_cpu(bpc_the_machine, i);
        struct dump d = {NULL};

        if (!cpu)
            continue;
        bp_cpu_run(cpu, dump_cpu, &d);
        bp_monitor_printf(mon, "\nCPU#%u\n", i);
        print_and_free(mon, d.text);
    }
}
INFO(registers, "registers", "[-a]", "show the cpu registers (-a: of all CPUs)", registers_args);

static void info_cpus(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (unsigned i = 0; i < bpc_cpu_slots(); i++) {
        struct bp_cpu *cpu = bp_machine_cpu(bpc_the_machine, i);

        if (cpu)
            bp_monitor_printf(mon, "%c CPU #%u: thread_id=%d%s\n", i == mon->cpu_index ? '*' : ' ',
                              i, bpc_cpu_thread_id(cpu), bpc_cpu_halted(cpu) ? " (halted)" : "");
    }
}
INFO(cpus, "cpus", "", "show infos for each CPU", NULL);

static int print_id(const char *key, struct bp_value *id, void *mon)
{
    bp_monitor_printf(mon, "    %s: \"%lld\"\n", key, (long long)bp_value_as_int(id));
    return 0;
}

static void info_hotpluggable_cpus(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *list = bpc_hmp_ask(mon, "query-hotpluggable-cpus", NULL);

    (void)args;
    if (!list)
        return;
    bp_monitor_printf(mon, "Hotpluggable CPUs:\n");
    for (size_t i = 0; i < bp_value_length(list); i++) {
        const struct bp_value *cpu = bp_value_at(list, i);
        const char *path = bp_value_get_string(cpu, "qom-path");

        bp_monitor_printf(mon, "  type: \"%s\"\n  vcpus_count: \"1\"\n",
                          bp_value_get_string(cpu, "type"));
        if (path)
            bp_monitor_printf(mon, "  qom_path: \"%s\"\n", path);
        bp_monitor_printf(mon, "  CPUInstance Properties:\n");
        bp_value_each(bp_value_get(cpu, "props"), print_id, mon);
    }
    bp_value_unref(list);
}
INFO(hotpluggable_cpus, "hotpluggable-cpus", "", "show the CPUs that are there or may come", NULL);

/* ---- trees ---- */

static void info_mtree(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    print_and_free(mon, bpc_memory_tree_text());
}
INFO(mtree, "mtree", "", "show memory tree", NULL);

static void info_qtree(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    print_and_free(mon, bpc_device_tree_text(bpc_the_machine));
}
INFO(qtree, "qtree", "", "show device tree", NULL);

static const struct bp_field tree_args[] = {
    BP_ARG_OPT("path", STRING, "path"), BP_FIELDS_END,
};

static void info_qom_tree(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    char *text = bpc_object_tree_text(bp_value_get_string(args, "path"), &err);

    if (text)
        print_and_free(mon, text);
    else
        bpc_hmp_error(mon, &err);
}
INFO(qom_tree, "qom-tree", "[path]", "show QOM composition tree", tree_args);

const struct bp_hmp_command *const bpc_hmp_info_commands[] = {
    &hmp_version, &hmp_status, &hmp_name, &hmp_registers, &hmp_cpus, &hmp_hotpluggable_cpus, &hmp_mtree, &hmp_qtree,
    &hmp_qom_tree, NULL,
};
