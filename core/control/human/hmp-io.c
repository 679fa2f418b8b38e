/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Monitor commands over ports, addresses and memory in files; descriptors; what RAM there is. */
#include <string.h>

#include <bp/memory.h>

#include "command.h"
#include "hmp.h"
#include "log.h"
#include "machine.h"
#include "memory.h"

#define HMP(IDENT, NAME, PARAMS, SUMMARY, ARGS, FN) \
    static const struct bp_hmp_command IDENT = {sizeof(struct bp_hmp_command), NAME, PARAMS, \
                                                SUMMARY, ARGS, FN, {NULL, NULL}}

/* ---- ports ---- */

/* The size letter of "/4b"-like formats; 1, 2 or 4 bytes. */
static unsigned size_of(struct bp_monitor *mon, struct bp_value *args)
{
    const char *fmt = bp_value_get_string(args, "fmt");
    const char *last = fmt && *fmt ? fmt + strlen(fmt) - 1 : "b";
    unsigned size = *last == 'b' ? 1 : *last == 'h' ? 2 : *last == 'w' ? 4 : 0;

    if (size == 0)
        bp_monitor_printf(mon, "invalid size '%c'; accepted: b h w\n", *last);
    else if (!bpc_the_machine)
        bp_monitor_printf(mon, "Error: there is no machine\n");
    return bpc_the_machine ? size : 0;
}

static const struct bp_field in_args[] = {
    BP_ARG_OPT("fmt", STRING, "/SIZE"), BP_ARG("addr", UINT16, "port"), BP_FIELDS_END,
};

static void do_in(struct bp_monitor *mon, struct bp_value *args)
{
    uint64_t port = bp_value_as_uint(bp_value_get(args, "addr")), value = 0;
    unsigned size = size_of(mon, args);

    if (size == 0)
        return;
    bp_space_load(bp_machine_io(bpc_the_machine), port, size, &value);
    bp_monitor_printf(mon, "port%c[0x%04llx] = 0x%0*llx\n", size == 1 ? 'b' : size == 2 ? 'w' : 'l',
                      (unsigned long long)port, (int)size * 2, (unsigned long long)value);
}
HMP(hmp_in, "i", "/fmt addr", "I/O port read", in_args, do_in);

static const struct bp_field out_args[] = {
    BP_ARG_OPT("fmt", STRING, "/SIZE"), BP_ARG("addr", UINT16, "port"), BP_ARG("val", UINT32, "value"),
    BP_FIELDS_END,
};

static void do_out(struct bp_monitor *mon, struct bp_value *args)
{
    unsigned size = size_of(mon, args);

    if (size > 0)
        bp_space_store(bp_machine_io(bpc_the_machine), bp_value_as_uint(bp_value_get(args, "addr")), size,
                       bp_value_as_uint(bp_value_get(args, "val")));
}
HMP(hmp_out, "o", "/fmt addr value", "I/O port write", out_args, do_out);

/* ---- addresses ---- */

static const struct bp_field address_args[] = {BP_ARG("addr", UINT64, "address"), BP_FIELDS_END};

static void do_gva2gpa(struct bp_monitor *mon, struct bp_value *args)
{
    uint64_t phys;
    struct bp_cpu *cpu = bpc_hmp_cpu(mon);

    if (!cpu)
        return;
    if (bpc_cpu_translate(cpu, bp_value_as_uint(bp_value_get(args, "addr")), &phys) < 0)
        bp_monitor_printf(mon, "Unmapped\n");
    else
        bp_monitor_printf(mon, "gpa: 0x%llx\n", (unsigned long long)phys);
}
HMP(hmp_gva2gpa, "gva2gpa", "addr", "print the guest physical address of a guest virtual one", address_args,
    do_gva2gpa);

static void do_gpa2hva(struct bp_monitor *mon, struct bp_value *args)
{
    uint64_t addr = bp_value_as_uint(bp_value_get(args, "addr"));
    struct bp_mapping m = {.size = sizeof(m)};

    if (bpc_the_machine) {
        bpc_memory_read_lock();
        bp_space_lookup(bp_machine_memory(bpc_the_machine), addr, &m);
        bpc_memory_read_unlock();
    }
    if (m.host)
        bp_monitor_printf(mon, "Host virtual address for 0x%llx is %p\n", (unsigned long long)addr, (void *)m.host);
    else
        bp_monitor_printf(mon, "Error: there is no memory at address 0x%llx\n", (unsigned long long)addr);
}
HMP(hmp_gpa2hva, "gpa2hva", "addr", "print the host virtual address of guest physical memory", address_args,
    do_gpa2hva);

static const struct bp_field sum_args[] = {
    BP_ARG("addr", UINT64, "physical address"), BP_ARG("size", UINT64, "bytes"), BP_FIELDS_END,
};

#define SUM_MOST (1u << 30)

/* The sum of BSD's sum(1). */
static void do_sum(struct bp_monitor *mon, struct bp_value *args)
{
    uint64_t addr = bp_value_as_uint(bp_value_get(args, "addr"));
    uint64_t size = bp_value_as_uint(bp_value_get(args, "size"));
    uint16_t sum = 0;
    uint8_t buf[4096];

    if (!bpc_the_machine || size > SUM_MOST) {
        bp_monitor_printf(mon, "Error: %s\n", bpc_the_machine ? "at most 1 GiB" : "there is no machine");
        return;
    }
    while (size > 0) {
        size_t n = (size_t)MIN(size, sizeof(buf));

        bp_space_read(bp_machine_memory(bpc_the_machine), addr, buf, n);
        for (size_t i = 0; i < n; i++)
            sum = (uint16_t)((sum >> 1 | sum << 15) + buf[i]);
        addr += n;
        size -= n;
    }
    bp_monitor_printf(mon, "%05d\n", sum);
}
HMP(hmp_sum, "sum", "addr size", "compute the checksum of physical memory", sum_args, do_sum);

static const struct bp_field save_args[] = {
    BP_ARG("val", UINT64, "address"), BP_ARG("size", UINT64, "bytes"), BP_ARG("filename", STRING, "file"),
    BP_FIELDS_END,
};

static void do_memsave(struct bp_monitor *mon, struct bp_value *args)
{
    bp_value_set(args, "cpu-index", bp_value_uint(mon->cpu_index));
    bpc_hmp_qmp(mon, "memsave", args);
}
HMP(hmp_memsave, "memsave", "addr size file", "save virtual memory to a file", save_args, do_memsave);

static void do_pmemsave(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_qmp(mon, "pmemsave", args);
}
HMP(hmp_pmemsave, "pmemsave", "addr size file", "save physical memory to a file", save_args, do_pmemsave);

/* ---- descriptors, log ---- */

static const struct bp_field name_args[] = {BP_ARG("fdname", STRING, "name"), BP_FIELDS_END};

static void do_closefd(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_qmp(mon, "closefd", args);
}
HMP(hmp_closefd, "closefd", "name", "close a descriptor that was named with getfd", name_args, do_closefd);

static const struct bp_field file_args[] = {BP_ARG("filename", STRING, "file"), BP_FIELDS_END};

static void do_logfile(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};

    if (bpc_log_file(bp_value_get_string(args, "filename"), &err) < 0)
        bpc_hmp_error(mon, &err);
}
HMP(hmp_logfile, "logfile", "filename", "write the log into this file from now on", file_args, do_logfile);

/* ---- info ---- */

static void info_ramblock(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    bp_monitor_printf(mon, "%-24s %8s %18s %6s\n", "Block Name", "PSize", "Size", "Kind");
    for (const struct bp_region *r = bpc_region_all(); r; r = r->all_next) {
        if (r->host && !bpc_region_dead(r))
            bp_monitor_printf(mon, "%-24s %5llu KiB 0x%016llx %6s\n", r->name,
                              (unsigned long long)r->host_page / 1024, (unsigned long long)r->size,
                              r->type == BPC_ROM ? "rom" : "ram");
    }
}
HMP(hmp_info_ramblock, "info ramblock", "", "show memory blocks", NULL, info_ramblock);

static void info_uuid(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *v = bpc_hmp_ask(mon, "query-uuid", NULL);

    (void)args;
    if (v)
        bp_monitor_printf(mon, "%s\n", bp_value_get_string(v, "UUID"));
    bp_value_unref(v);
}
HMP(hmp_info_uuid, "info uuid", "", "show the machine's UUID", NULL, info_uuid);

static void info_kvm(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *v = bpc_hmp_ask(mon, "query-kvm", NULL);

    (void)args;
    if (v)
        bp_monitor_printf(mon, "kvm support: %s\n", !bp_value_as_bool(bp_value_get(v, "present")) ? "not compiled"
                          : bp_value_as_bool(bp_value_get(v, "enabled")) ? "enabled" : "disabled");
    bp_value_unref(v);
}
HMP(hmp_info_kvm, "info kvm", "", "show whether KVM runs the guest", NULL, info_kvm);

static void info_history(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (unsigned i = 0; mon->history && i < mon->history->len; i++)
        bp_monitor_printf(mon, "%u: '%s'\n", i, (const char *)g_ptr_array_index(mon->history, i));
}
HMP(hmp_info_history, "info history", "", "show the lines typed so far", NULL, info_history);

static void info_fdsets(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *list = bpc_hmp_ask(mon, "query-fdsets", NULL);

    (void)args;
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *set = bp_value_at(list, i), *fds = bp_value_get(set, "fds");

        for (size_t k = 0; k < bp_value_length(fds); k++) {
            const char *opaque = bp_value_get_string(bp_value_at(fds, k), "opaque");

            bp_monitor_printf(mon, "set %lld: fd %lld %s\n",
                              (long long)bp_value_as_int(bp_value_get(set, "fdset-id")),
                              (long long)bp_value_as_int(bp_value_get(bp_value_at(fds, k), "fd")),
                              opaque ? opaque : "");
        }
    }
    bp_value_unref(list);
}
HMP(hmp_info_fdsets, "info fdsets", "", "show the sets of file descriptors", NULL, info_fdsets);

const struct bp_hmp_command *const bpc_hmp_io_commands[] = {
    &hmp_in, &hmp_out, &hmp_gva2gpa, &hmp_gpa2hva, &hmp_sum, &hmp_memsave, &hmp_pmemsave, &hmp_closefd,
    &hmp_logfile, &hmp_info_ramblock, &hmp_info_uuid, &hmp_info_kvm, &hmp_info_history,
    &hmp_info_fdsets, NULL,
};
