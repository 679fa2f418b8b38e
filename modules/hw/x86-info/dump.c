/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dump-guest-memory: the memory and the registers of an x86-64 guest as an ELF core file (System V ABI, chapter 5; the
 * notes are those of Linux' core(5)), which gdb, crash and others read. Addresses are physical. Left out: the formats
 * of kdump, dumps by page tables (paging).
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/coroutine.h>
#include <bp/exact/debug.h>
#include <bp/exact/machine.h>
#include <bp/exact/x86.h>
#include <bp/memory.h>

#define SLICE (1u << 20)
#define MAX_RANGES 1024u

/* struct elf_prstatus of Linux on x86-64. */
struct prstatus {
    int32_t signal[3];
    int16_t current_signal, pad;
    uint64_t pending, held;
    int32_t pid, parent, group, session;
    uint64_t times[8];
    uint64_t regs[27];
    int32_t has_fpu, pad_end;
};
_Static_assert(sizeof(struct prstatus) == 336 && offsetof(struct prstatus, regs) == 112, "as Linux has it");

struct note {
    Elf64_Nhdr header;
    char name[8]; /* "CORE" */
    uint8_t status[sizeof(struct prstatus)]; /* aligned to 4, as notes are */
};

struct range {
    uint64_t start, length;
};

struct dump {
    struct bp_machine *machine;
    struct range ranges[MAX_RANGES];
    unsigned count;
    bool too_many;
    uint64_t first, last; /* what is wanted, inclusive */
    int fd;
    uint64_t total, done;
    const uint8_t *slice; /* for the worker */
    size_t slice_length;
    int status;
    bool was_running;
    uint8_t buffer[SLICE];
};

static struct dump *active;
static const char *last_status = "none";
static uint64_t last_done, last_total;

/* ---- what is there ---- */

static void add_section(void *opaque, const struct bp_section *section)
{
    struct dump *d = opaque;
    uint64_t start = section->start, last = section->start + section->length - 1;
    struct range *before = d->count > 0 ? &d->ranges[d->count - 1] : NULL;

    if (!section->host || section->length == 0 || start > d->last || last < d->first)
        return;
    start = start > d->first ? start : d->first;
    last = last < d->last ? last : d->last;
    if (before && before->start + before->length == start)
        before->length += last - start + 1;
    else if (d->count == MAX_RANGES)
        d->too_many = true;
    else
        d->ranges[d->count++] = (struct range){start, last - start + 1};
}

static const struct bp_memory_listener listener = {.size = sizeof(listener), .added = add_section};

static int find_ranges(struct dump *d, struct bp_error *err)
{
    struct bp_space *memory = bp_machine_memory(d->machine);

    bp_space_listen(memory, &listener, d); /* tells what is there at once */
    bp_space_unlisten(memory, &listener, d);
    if (d->too_many)
        return bp_fail(err, E2BIG, "the memory is in more than %u pieces", MAX_RANGES);
    if (d->count == 0)
        return bp_fail(err, EINVAL, "there is no memory at these addresses");
    for (unsigned i = 0; i < d->count; i++)
        d->total += d->ranges[i].length;
    return 0;
}

static void fill_note(struct note *n, struct bp_cpu *cpu)
{
    static const uint8_t order[] = {15, 14, 13, 12, BP_RBP, BP_RBX, 11, 10, 9, 8,
                                    BP_RAX, BP_RCX, BP_RDX, BP_RSI, BP_RDI};
    struct prstatus status = {.pid = (int32_t)bp_cpu_index(cpu) + 1};
    const struct bp_x86_cpu *x;
    uint64_t *r = status.regs;

    bp_debug_sync(cpu);
    x = bp_cpu_state(cpu);
    *n = (struct note){.header = {5, sizeof(struct prstatus), NT_PRSTATUS}, .name = "CORE"};
    for (unsigned i = 0; i < BP_COUNT(order); i++)
        r[i] = x->gpr[order[i]];
    r[15] = x->gpr[BP_RAX];
    r[16] = x->rip;
    r[17] = x->seg[BP_CS].selector;
    r[18] = x->rflags;
    r[19] = x->gpr[BP_RSP];
    r[20] = x->seg[BP_SS].selector;
    r[21] = x->seg[BP_FS].base;
    r[22] = x->seg[BP_GS].base;
    r[23] = x->seg[BP_DS].selector;
    r[24] = x->seg[BP_ES].selector;
    r[25] = x->seg[BP_FS].selector;
    r[26] = x->seg[BP_GS].selector;
    memcpy(n->status, &status, sizeof(status));
}

/* ---- writing ---- */

static void write_slice(void *opaque) /* on a worker */
{
    struct dump *d = opaque;

    while (d->slice_length > 0) {
        ssize_t n = write(d->fd, d->slice, d->slice_length);

        if (n <= 0 && (n == 0 || errno != EINTR)) {
            d->status = n == 0 ? -EIO : -errno;
            return;
        }
        if (n > 0) {
            d->slice += n;
            d->slice_length -= (size_t)n;
        }
    }
}

static int put(struct dump *d, const void *bytes, size_t length)
{
    d->slice = bytes;
    d->slice_length = length;
    if (!bp_co_current()) { /* a debugger's "monitor" line: nobody else runs meanwhile */
        write_slice(d);
        return d->status;
    }
    bp_co_worker(write_slice, d);
    return d->status < 0 ? d->status : bp_co_cancelled() ? -ECANCELED : 0;
}

static unsigned count_cpus(struct dump *d)
{
    unsigned count = 0;

    for (unsigned i = 0; i < bp_machine_smp(d->machine)->max_cpus; i++)
        count += bp_machine_cpu(d->machine, i) != NULL;
    return count;
}

static int write_headers(struct dump *d)
{
    unsigned cpus = count_cpus(d), at = 0;
    size_t head = sizeof(Elf64_Ehdr) + (d->count + 1) * sizeof(Elf64_Phdr), notes = cpus * sizeof(struct note);
    uint8_t *all = calloc(1, head + notes);
    Elf64_Ehdr *e = (Elf64_Ehdr *)all;
    Elf64_Phdr *p = (Elf64_Phdr *)(e + 1);
    struct note *note = (struct note *)(all + head);
    uint64_t offset = head + notes;
    int ret;

    if (!all)
        return -ENOMEM;
    *e = (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                      .e_type = ET_CORE, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_phoff = sizeof(*e),
                      .e_ehsize = sizeof(*e), .e_phentsize = sizeof(*p), .e_phnum = (uint16_t)(d->count + 1)};
    *p++ = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = head, .p_filesz = notes, .p_memsz = notes};
    for (unsigned i = 0; i < d->count; i++) {
        const struct range *r = &d->ranges[i];

        *p++ = (Elf64_Phdr){.p_type = PT_LOAD, .p_offset = offset, .p_vaddr = r->start, .p_paddr = r->start,
                            .p_filesz = r->length, .p_memsz = r->length};
        offset += r->length;
    }
    for (unsigned i = 0; i < bp_machine_smp(d->machine)->max_cpus && at < cpus; i++) {
        if (bp_machine_cpu(d->machine, i))
            fill_note(&note[at++], bp_machine_cpu(d->machine, i));
    }
    ret = put(d, all, head + notes);
    free(all);
    return ret;
}

static int write_memory(struct dump *d)
{
    int ret = 0;

    for (unsigned i = 0; i < d->count; i++) {
        for (uint64_t at = 0, n; ret == 0 && at < d->ranges[i].length; at += n) {
            n = d->ranges[i].length - at < SLICE ? d->ranges[i].length - at : SLICE;
            bp_space_read(bp_machine_memory(d->machine), d->ranges[i].start + at, d->buffer, n);
            ret = put(d, d->buffer, n);
            d->done += n;
            last_done = d->done;
        }
    }
    return ret;
}

/* ---- the command ---- */

static const struct bp_field completed_data[] = {
    BP_ARG("status", STRING, "completed or failed"), BP_ARG("completed", UINT64, "bytes written"),
    BP_ARG("total", UINT64, "bytes in all"), BP_FIELDS_END,
};
static const struct bp_field event_data[] = {
    BP_ARG("result", ANY, "as query-dump returns it"), BP_ARG_OPT("error", STRING, "why it failed"), BP_FIELDS_END,
};
BP_EVENT(dump_event, "DUMP_COMPLETED", "a dump of the guest's memory has ended", event_data, 0);

static struct bp_value *status_value(void)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "status", bp_value_string(last_status));
    bp_value_set(v, "completed", bp_value_uint(last_done));
    bp_value_set(v, "total", bp_value_uint(last_total));
    return v;
}

static void end(struct dump *d, int ret)
{
    struct bp_value *data = bp_value_dict();

    if (close(d->fd) < 0 && ret == 0)
        ret = -errno;
    last_status = ret < 0 ? "failed" : "completed";
    bp_value_set(data, "result", status_value());
    if (ret < 0)
        bp_value_set(data, "error", bp_value_string(strerror(-ret)));
    d->status = ret;
    active = NULL;
    if (d->was_running)
        bp_debug_resume(d->machine, NULL);
    bp_event_send(&dump_event, data);
}

static void run(void *opaque)
{
    struct dump *d = opaque;
    int ret = write_headers(d);

    if (ret == 0)
        ret = write_memory(d);
    end(d, ret);
}

static void run_detached(void *opaque)
{
    run(opaque);
    free(opaque);
}

static int open_target(const char *protocol, struct bp_error *err)
{
    int fd;

    if (strncmp(protocol, "fd:", 3) == 0)
        return bp_fd_take(protocol + 3, err);
    if (strncmp(protocol, "file:", 5) != 0 || !protocol[5])
        return bp_fail(err, EINVAL, "Invalid parameter 'protocol': accepted: file:PATH, fd:NAME");
    fd = open(protocol + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    return fd < 0 ? bp_fail(err, errno, "Could not open '%.200s': %s", protocol + 5, strerror(errno)) : fd;
}

static int prepare(struct dump *d, const char *protocol, struct bp_error *err)
{
    int ret = find_ranges(d, err);

    if (ret < 0)
        return ret;
    d->fd = open_target(protocol, err);
    if (d->fd < 0)
        return d->fd;
    active = d;
    last_status = "active";
    last_done = 0;
    last_total = d->total;
    d->was_running = bp_machine_running(d->machine);
    if (d->was_running)
        bp_debug_stop(d->machine, false);
    return 0;
}

static int check(bool paging, bool has_begin, uint64_t begin, bool has_length, uint64_t length, struct bp_error *err)
{
    struct bp_machine *m = bp_command_machine();

    if (active)
        return bp_fail(err, EBUSY, "There is a dump in process, please wait.");
    if (paging)
        return bp_fail(err, ENOTSUP, "paging: not built yet: dumps by the guest's page tables; accepted: false");
    if (has_begin != has_length)
        return bp_fail(err, EINVAL, "Parameters 'begin' and 'length' have to be given together");
    if (has_length && (length == 0 || length - 1 > UINT64_MAX - begin))
        return bp_fail(err, EINVAL, "Invalid parameter 'length'");
    if (!m || !bp_machine_cpu(m, 0))
        return bp_fail(err, ENOTSUP, "there is no machine with processors");
    return 0;
}

static int dump_guest_memory(bool paging, const char *protocol, bool has_detach, bool detach, bool has_begin,
                             uint64_t begin, bool has_length, uint64_t length, bool has_format, int format,
                             struct bp_error *err)
{
    struct dump *d;
    struct bp_co *co;
    int ret = check(paging, has_begin, begin, has_length, length, err);

    (void)has_format;
    (void)format; /* there is one */
    if (ret < 0)
        return ret;
    d = calloc(1, sizeof(*d));
    if (!d)
        return bp_fail(err, ENOMEM, "no memory for a dump");
    d->machine = bp_command_machine();
    d->first = has_begin ? begin : 0;
    d->last = has_begin ? begin + length - 1 : UINT64_MAX;
    ret = prepare(d, protocol, err);
    if (ret == 0 && has_detach && detach) {
        ret = bp_co_new(bp_machine_owner(d->machine), NULL, "dump-guest-memory", run_detached, d, &co, err);
        if (ret == 0) {
            bp_co_enter(co);
            bp_co_unref(co);
            return 0;
        }
        end(d, ret);
    } else if (ret == 0) {
        run(d);
        ret = d->status < 0 ? bp_fail(err, -d->status, "writing the dump failed: %s", strerror(-d->status)) : 0;
    }
    free(d);
    return ret;
}

static const char *const formats[] = {"elf", NULL};
static const struct bp_schema format_schema = {.name = "DumpGuestMemoryFormat", .kind = BP_KIND_ENUM,
                                               .choices = formats};
static const struct bp_field dump_args[] = {
    BP_ARG("paging", BOOL, "by the guest's page tables"), BP_ARG("protocol", STRING, "file:PATH or fd:NAME (getfd)"),
    BP_ARG_OPT("detach", BOOL, "return at once; DUMP_COMPLETED tells of the end"),
    BP_ARG_OPT("begin", UINT64, "first physical address"), BP_ARG_OPT("length", UINT64, "bytes from there"),
    BP_ARG_TYPED("format", ENUM, &format_schema, BP_FIELD_OPTIONAL, "of the file"), BP_FIELDS_END,
};
BP_COMMAND(cmd_dump, "dump-guest-memory", "Writes memory and registers to a core file", dump_args, NONE, NULL,
           dump_guest_memory, BP_COMMAND_COROUTINE);

static int query_dump(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = status_value();
    return 0;
}
static const struct bp_schema query_schema = {.name = "DumpQueryResult", .kind = BP_KIND_STRUCT,
                                              .members = completed_data};
BP_COMMAND(cmd_query_dump, "query-dump", "How a dump of memory gets on", NULL, STRUCT, &query_schema, query_dump, 0);

static const struct bp_schema format_list = {.name = "DumpGuestMemoryFormatList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_ENUM, .element = &format_schema};
static const struct bp_field capability_fields[] = {
    BP_ARG_TYPED("formats", LIST, &format_list, 0, "of dump-guest-memory"), BP_FIELDS_END,
};
static const struct bp_schema capability = {.name = "DumpGuestMemoryCapability", .kind = BP_KIND_STRUCT,
                                            .members = capability_fields};

static int query_capability(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    bp_value_append(list, bp_value_string(formats[0]));
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "formats", list);
    return 0;
}
BP_COMMAND(cmd_capability, "query-dump-guest-memory-capability", "Formats of dump-guest-memory", NULL, STRUCT,
           &capability, query_capability, 0);

/* ---- the monitor ---- */

static void info_dump(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    bp_monitor_printf(mon, "Status: %s\n", last_status);
    if (active)
        bp_monitor_printf(mon, "Finished: %llu %%\n",
                          (unsigned long long)(last_total ? last_done * 100 / last_total : 0));
}
BP_HMP(hmp_info_dump, "info dump", "", "show how a dump of memory gets on", NULL, info_dump);

static const struct bp_field hmp_args[] = {
    BP_ARG_OPT("-p", BOOL, "by page tables"), BP_ARG_OPT("-d", BOOL, "in the background"),
    BP_ARG("filename", STRING, "file"), BP_FIELDS_END,
};

static void hmp_dump(struct bp_monitor *mon, struct bp_value *args)
{
    const char *name = bp_value_get_string(args, "filename");
    struct bp_error err = {0};
    char protocol[4200];

    snprintf(protocol, sizeof(protocol), "file:%.4190s", name);
    if (dump_guest_memory(bp_value_has(args, "-p"), protocol, true, bp_value_has(args, "-d"), false, 0, false, 0, false,
                          0, &err) < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}
BP_HMP(hmp_cmd_dump, "dump-guest-memory", "[-p] [-d] filename", "write memory and registers to a core file", hmp_args,
       hmp_dump);

BP_MODULE("x86-dump", "Core files of x86 guests", BP_NO_IMPORTS, {BP_PROVIDE_COMMAND, &cmd_dump},
          {BP_PROVIDE_COMMAND, &cmd_query_dump}, {BP_PROVIDE_COMMAND, &cmd_capability}, {BP_PROVIDE_EVENT, &dump_event},
          {BP_PROVIDE_HMP, &hmp_info_dump}, {BP_PROVIDE_HMP, &hmp_cmd_dump});
