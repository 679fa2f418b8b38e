/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP commands over the running machine: run state, CPUs, reset and power, memory to a file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include <bp/coroutine.h>
#include <bp/exact/machine.h>
#include <bp/memory.h>

#include "command.h"
#include "config.h"
#include "machine.h"

/* ---- run state ---- */

static const char *const run_states[] = {
    "debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate", "prelaunch",
    "finish-migrate", "restore-vm", "running", "save-vm", "shutdown", "suspended", "watchdog",
    "guest-panicked", "colo", NULL,
};
static const struct bp_schema run_state = {.name = "RunState", .kind = BP_KIND_ENUM,
                                           .choices = run_states};
static const struct bp_field status_fields[] = {
    BP_ARG("running", BOOL, "CPUs run"),
    BP_ARG_TYPED("status", ENUM, &run_state, 0, "run state"),
    BP_FIELDS_END,
};
static const struct bp_schema status_info = {.name = "StatusInfo", .kind = BP_KIND_STRUCT,
                                             .members = status_fields};

static int query_status(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "status", bp_value_string(bpc_run_state_name(bpc_machine_state())));
    bp_value_set(*ret_value, "running", bp_value_bool(bpc_machine_executes()));
    return 0;
}
BP_COMMAND(cmd_query_status, "query-status", "Run state of the machine", NULL, STRUCT, &status_info,
           query_status, BP_COMMAND_PRECONFIG);

static int stop(struct bp_error *err)
{
    (void)err;
    if (bp_machine_running(bpc_the_machine))
        bpc_machine_stop(BPC_RUN_PAUSED);
    return 0;
}
BP_COMMAND(cmd_stop, "stop", "Stops the CPUs", NULL, NONE, NULL, stop, 0);

static int cont(struct bp_error *err)
{
    if (bpc_machine_needs_reset())
        return bp_fail(err, EPERM, "Resetting the Virtual Machine is required");
    if (!bp_machine_running(bpc_the_machine))
        bpc_machine_start();
    return 0;
}
BP_COMMAND(cmd_cont, "cont", "Lets the CPUs run on", NULL, NONE, NULL, cont, 0);

static int quit(struct bp_error *err)
{
    (void)err;
    bp_machine_request_shutdown(bpc_the_machine, BP_SHUTDOWN_HOST_QMP_QUIT);
    return 0;
}
BP_COMMAND(cmd_quit, "quit", "Ends the emulator", NULL, NONE, NULL, quit, BP_COMMAND_PRECONFIG);

static int system_reset(struct bp_error *err)
{
    (void)err;
    bp_machine_request_reset(bpc_the_machine, BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET);
    return 0;
}
BP_COMMAND(cmd_system_reset, "system_reset", "Resets the machine", NULL, NONE, NULL, system_reset,
           0);

static int system_powerdown(struct bp_error *err)
{
    (void)err;
    bp_machine_request_powerdown(bpc_the_machine);
    return 0;
}
BP_COMMAND(cmd_system_powerdown, "system_powerdown", "Presses the power button", NULL, NONE, NULL,
           system_powerdown, 0);

static int system_wakeup(struct bp_error *err)
{
    const struct bp_board_class *board = bpc_machine_board();

    if (!board || !board->wakeup)
        return bp_fail(err, ENOTSUP, "machine '%s' has no sleep to wake from", board ? board->type.name : "none");
    if (!bpc_machine_asleep())
        return bp_fail(err, EPERM, "Unable to wake up: guest is not in suspended state");
    bp_machine_request_wakeup(bpc_the_machine, BP_WAKEUP_OTHER);
    return 0;
}
BP_COMMAND(cmd_system_wakeup, "system_wakeup", "Wakes a guest that sleeps with its memory kept", NULL, NONE, NULL,
           system_wakeup, 0);

static int inject_nmi(struct bp_error *err)
{
    return bpc_machine_inject_nmi(err);
}
BP_COMMAND(cmd_inject_nmi, "inject-nmi", "Gives every CPU a non-maskable interrupt", NULL, NONE, NULL,
           inject_nmi, 0);

/* ---- actions ---- */

static int set_action(bool has_reboot, int reboot, bool has_shutdown, int shutdown, bool has_panic,
                      int panic, bool has_watchdog, int watchdog, struct bp_error *err)
{
    (void)err;
    bpc_actions_set(has_reboot ? bpc_reboot_actions.choices[reboot] : NULL,
                    has_shutdown ? bpc_shutdown_actions.choices[shutdown] : NULL,
                    has_panic ? bpc_panic_actions.choices[panic] : NULL,
                    has_watchdog ? bpc_watchdog_actions.choices[watchdog] : NULL);
    return 0;
}
BP_COMMAND(cmd_set_action, "set-action", "Sets what follows what the guest does, as -action does",
           bpc_action_fields, NONE, NULL, set_action, BP_COMMAND_PRECONFIG);

static int watchdog_set_action(int action, struct bp_error *err)
{
    (void)err;
    bpc_actions_set(NULL, NULL, NULL, bpc_watchdog_actions.choices[action]);
    return 0;
}
BP_COMMAND(cmd_watchdog, "watchdog-set-action", "Sets what happens when a watchdog expires",
           bpc_watchdog_fields, NONE, NULL, watchdog_set_action, 0);

/* ---- CPUs ---- */

static const struct bp_field place_fields[] = {
    BP_ARG_OPT("socket-id", INT64, "socket"), BP_ARG_OPT("die-id", INT64, "die of the socket"),
    BP_ARG_OPT("cluster-id", INT64, "cluster of the die"),
    BP_ARG_OPT("module-id", INT64, "module of the cluster"), BP_ARG_OPT("core-id", INT64, "core"),
    BP_ARG_OPT("thread-id", INT64, "thread of the core"),
    BP_ARG_OPT("node-id", INT64, "NUMA node"), BP_FIELDS_END,
};
static const struct bp_schema cpu_place = {.name = "CpuInstanceProperties",
                                           .kind = BP_KIND_STRUCT, .members = place_fields};
static const struct bp_field cpu_fields[] = {
    BP_ARG("cpu-index", INT64, "index"),
    BP_ARG("qom-path", STRING, "path in the object tree"),
    BP_ARG("thread-id", INT64, "host thread"),
    BP_ARG("target", STRING, "architecture"),
    BP_ARG_TYPED("props", STRUCT, &cpu_place, BP_FIELD_OPTIONAL, "its place in the topology"),
    BP_FIELDS_END,
};
static const struct bp_schema cpu_info = {.name = "CpuInfoFast", .kind = BP_KIND_STRUCT,
                                          .members = cpu_fields};
static const struct bp_schema cpu_list = {.name = "CpuInfoFastList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_STRUCT, .element = &cpu_info};

static int query_cpus(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    for (unsigned i = 0; i < bpc_cpu_slots(); i++) {
        struct bp_cpu *cpu = bp_machine_cpu(bpc_the_machine, i);
        struct bp_value *entry;

        if (!cpu)
            continue;
        entry = bp_value_dict();
        bp_value_set(entry, "thread-id", bp_value_int(bpc_cpu_thread_id(cpu)));
        bp_value_set(entry, "cpu-index", bp_value_int(i));
        bp_value_set(entry, "target", bp_value_string(bpc_config.arch));
        bp_value_set(entry, "props", bpc_cpu_place(bp_machine_smp(bpc_the_machine), i));
        bp_value_set(entry, "qom-path", bp_value_string(bp_object_path(bp_cpu_object(cpu))));
        bp_value_append(*ret_value, entry);
    }
    return 0;
}
BP_COMMAND(cmd_query_cpus, "query-cpus-fast", "CPUs of the machine", NULL, LIST, &cpu_list,
           query_cpus, 0);

static const struct bp_field hotpluggable_fields[] = {
    BP_ARG("type", STRING, "what device_add calls it"), BP_ARG("vcpus-count", INT64, "how many it is"),
    BP_ARG_TYPED("props", STRUCT, &cpu_place, 0, "its place, to give to device_add"),
    BP_ARG_OPT("qom-path", STRING, "it is there, under this path"), BP_FIELDS_END,
};
static const struct bp_schema hotpluggable = {.name = "HotpluggableCPU", .kind = BP_KIND_STRUCT,
                                              .members = hotpluggable_fields};
static const struct bp_schema hotpluggable_list = {.name = "HotpluggableCPUList",
                                                   .kind = BP_KIND_LIST,
                                                   .element_kind = BP_KIND_STRUCT,
                                                   .element = &hotpluggable};

static struct bp_value *hotpluggable_value(const struct bp_cpu_class *class, const struct bp_smp *smp, unsigned index)
{
    struct bp_cpu *cpu = bpc_the_machine ? bp_machine_cpu(bpc_the_machine, index) : NULL;
    struct bp_value *entry = bp_value_dict();

    bp_value_set(entry, "type", bp_value_string(class->type.name));
    bp_value_set(entry, "vcpus-count", bp_value_int(1));
    bp_value_set(entry, "props", bpc_cpu_place(smp, index));
    if (cpu)
        bp_value_set(entry, "qom-path", bp_value_string(bp_object_path(bp_cpu_object(cpu))));
    return entry;
}

/* The last ones first, as clients know it. */
static int query_hotpluggable(struct bp_value **ret_value, struct bp_error *err)
{
    const struct bp_board_class *board = bpc_machine_board();
    const char *model = board ? bp_machine_cpu_model(bpc_the_machine) : NULL;
    const struct bp_cpu_class *class;
    struct bp_smp smp = {0};
    char *name;
    int ret = 0;

    if (bpc_the_machine)
        smp = *bp_machine_smp(bpc_the_machine);
    else
        ret = bpc_machine_planned(&board, &smp, &model, err);
    if (ret < 0)
        return ret;
    if (!board || !board->hotpluggable_cpus || !model)
        return bp_fail(err, ENOTSUP, "machine does not support hot-plugging CPUs");
    name = g_strndup(model, strcspn(model, ","));
    ret = bpc_cpu_find_model(name, &class, err);
    g_free(name);
    if (ret < 0)
        return ret;
    *ret_value = bp_value_list();
    for (unsigned i = smp.max_cpus; i-- > 0;)
        bp_value_append(*ret_value, hotpluggable_value(class, &smp, i));
    return 0;
}
BP_COMMAND(cmd_query_hotpluggable, "query-hotpluggable-cpus", "CPUs that are there or may come", NULL,
           LIST, &hotpluggable_list, query_hotpluggable, BP_COMMAND_PRECONFIG);

/* ---- memory to a file ---- */

/* After so many bytes others have their turn: a dump may be as large as an address space. */
#define DUMP_SLICE (1u << 20)

struct dump {
    int cpu; /* index; -1: physical addresses */
    uint64_t addr, size;
    const char *filename;
    int fd;
};

/* Reads up to `len` bytes that stay within one page; -EFAULT when the address is not mapped. */
static int read_piece(const struct dump *d, uint64_t addr, uint8_t *buf, uint64_t len)
{
    struct bp_cpu *cpu;
    uint64_t phys;
    int ret;

    if (d->cpu < 0) { /* what is not there reads as ones */
        bp_space_read(bp_machine_memory(bpc_the_machine), addr, buf, len);
        return 0;
    }
    cpu = bp_machine_cpu(bpc_the_machine, (unsigned)d->cpu); /* others ran since it was looked up */
    if (!cpu)
        return -ENODEV;
    ret = bpc_cpu_translate(cpu, addr, &phys);
    return ret < 0 ? ret : bp_space_read(bp_cpu_space(cpu), phys, buf, len) < 0 ? -EFAULT : 0;
}

/* [waits] for who reads from a pipe. */
static int write_all(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        int ret = n > 0 ? 0 : n < 0 ? -errno : -EIO;

        if (ret == -EAGAIN)
            ret = bp_co_wait_fd(fd, BP_WATCH_OUT, -1);
        if (ret < 0 && ret != -EINTR)
            return ret;
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int dump_page(const struct dump *d, uint64_t addr, uint64_t len, struct bp_error *err)
{
    uint8_t page[4096];
    int ret = read_piece(d, addr, page, len);

    if (ret < 0)
        return bp_fail(err, EFAULT, "Invalid addr 0x%016llx/size %llu specified",
                       (unsigned long long)d->addr, (unsigned long long)d->size);
    ret = write_all(d->fd, page, len);
    return ret < 0 ? bp_fail(err, -ret, "writing memory to '%.200s' failed: %s", d->filename,
                             g_strerror(-ret)) : 0;
}

/* In a coroutine, which ends when the client goes. */
static int dump_to_file(struct dump *d, struct bp_error *err)
{
    uint64_t addr = d->addr, left = d->size;
    int ret = 0;

    d->fd = open(d->filename, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (d->fd < 0)
        return bp_fail(err, errno, "Could not open '%.200s': %s", d->filename, g_strerror(errno));
    while (ret == 0 && left > 0) {
        uint64_t n = MIN(left, 4096 - addr % 4096);

        ret = dump_page(d, addr, n, err);
        addr += n;
        left -= n;
        if (ret == 0 && addr % DUMP_SLICE == 0 && bp_co_sleep(BP_CLOCK_REALTIME, 1) < 0)
            ret = bp_fail(err, ECANCELED, "nobody waits for '%.200s' any more", d->filename);
    }
    if (close(d->fd) < 0 && ret == 0)
        ret = bp_fail(err, errno, "closing '%.200s' failed: %s", d->filename, g_strerror(errno));
    return ret;
}

static const struct bp_field memsave_args[] = {
    BP_ARG("val", UINT64, "virtual address"),
    BP_ARG("size", UINT64, "bytes"),
    BP_ARG("filename", STRING, "file to write"),
    BP_ARG_OPT("cpu-index", UINT32, "CPU whose page tables count"),
    BP_FIELDS_END,
};

static int check_range(uint64_t addr, uint64_t size, struct bp_error *err)
{
    if (size > UINT64_MAX - addr)
        return bp_fail(err, EINVAL, "Invalid parameter 'size': the range ends beyond 2^64");
    return 0;
}

static int memsave(uint64_t val, uint64_t size, const char *filename, bool has_cpu,
                   uint64_t cpu_index, struct bp_error *err)
{
    struct dump d = {has_cpu ? (int)cpu_index : 0, val, size, filename, -1};

    if ((has_cpu && cpu_index > INT_MAX) || !bp_machine_cpu(bpc_the_machine, (unsigned)d.cpu))
        return bp_fail(err, EINVAL, "Invalid parameter 'cpu-index': there is no such CPU");
    int ret = check_range(val, size, err);
    return ret < 0 ? ret : dump_to_file(&d, err);
}
BP_COMMAND(cmd_memsave, "memsave", "Saves guest memory by virtual address", memsave_args, NONE,
           NULL, memsave, BP_COMMAND_COROUTINE);

static const struct bp_field pmemsave_args[] = {
    BP_ARG("val", UINT64, "physical address"),
    BP_ARG("size", UINT64, "bytes"),
    BP_ARG("filename", STRING, "file to write"),
    BP_FIELDS_END,
};

static int pmemsave(uint64_t val, uint64_t size, const char *filename, struct bp_error *err)
{
    struct dump d = {-1, val, size, filename, -1};
    int ret = bpc_the_machine ? check_range(val, size, err)
                              : bp_fail(err, EINVAL, "There is no machine");

    return ret < 0 ? ret : dump_to_file(&d, err);
}
BP_COMMAND(cmd_pmemsave, "pmemsave", "Saves guest memory by physical address", pmemsave_args, NONE,
           NULL, pmemsave, BP_COMMAND_COROUTINE);

const struct bp_command *const bpc_machine_commands[] = {
    &cmd_query_status, &cmd_stop, &cmd_cont, &cmd_quit, &cmd_system_reset, &cmd_system_powerdown,
    &cmd_system_wakeup, &cmd_inject_nmi, &cmd_set_action, &cmd_watchdog,
    &cmd_query_cpus, &cmd_query_hotpluggable, &cmd_memsave, &cmd_pmemsave, NULL,
};
