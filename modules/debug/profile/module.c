/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `debug-profile`: -profile. A timer asks every processor that executes code to leave it for a moment; on its
 * own thread its address and the return addresses that its frame pointers lead to are noted, whatever the accelerator
 * is. At the end they are written as folded stacks. Nothing runs in the guest. Names: Linux's own table, found in the
 * guest's memory, or a System.map; and ELF files, which are known again by their first bytes in memory.
 */
#include "profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/exact/cpu.h>
#include <bp/exact/debug.h>
#include <bp/exact/x86.h>
#include <bp/log.h>
#include <bp/memory.h>
#include <bp/option.h>
#include <bp/run.h>

#define PAGE NAMES_PAGE
#define EFER_LMA 0x400u
#define CPUS 1024u
#define FILES 16u
#define LOOKS 4u /* for the kernel's table, ever more rarely */
#define STACK_MOST (1u << 20) /* bytes between two frames */
#define LOAD_MOST 16384u /* pages below code in which its file's beginning is looked for */

static struct profile {
    struct bp_machine *machine;
    struct bp_timer *timer;
    char *path, *file_paths;
    int64_t period;
    uint8_t asked[CPUS]; /* its sample is under way; atomic */
    struct symbols kernel;
    uint64_t kernel_samples, next_look;
    unsigned looks;
    struct elf_file file[FILES];
    unsigned files;
    struct loaded { /* where a file lies in an address space; found once */
        uint64_t cr3, start, end;
        uint8_t file; /* + 1; 0: none of ours lies there */
    } loaded[64];
    unsigned loaded_next;
} p;

/* ---- the guest's memory: RAM only, a sample disturbs no device ---- */

static bool guest_read(struct bp_cpu *cpu, uint64_t linear, void *to, size_t size)
{
    size_t first = PAGE - (size_t)(linear % PAGE);
    const uint8_t *from = names_ram(cpu, linear);

    first = first < size ? first : size;
    if (!from)
        return false;
    memcpy(to, from, first);
    if (first == size)
        return true;
    from = names_ram(cpu, linear + first);
    if (from)
        memcpy((uint8_t *)to + first, from, size - first);
    return from != NULL;
}

/* ---- programs ---- */

static bool is_file(struct bp_cpu *cpu, uint64_t page, unsigned n)
{
    uint8_t head[sizeof(p.file[n].head)];

    return guest_read(cpu, page, head, sizeof(head)) && !memcmp(head, p.file[n].head, sizeof(head));
}

static struct loaded search(struct bp_cpu *cpu, uint64_t cr3, uint64_t address)
{
    uint64_t page = address & ~(uint64_t)(PAGE - 1);

    for (unsigned k = 0; k < LOAD_MOST && page >= (uint64_t)k * PAGE; k++) {
        uint64_t at = page - (uint64_t)k * PAGE;
        uint32_t magic;

        if (!guest_read(cpu, at, &magic, 4) || magic != 0x464c457fu)
            continue;
        for (unsigned n = 0; n < p.files; n++) {
            if (is_file(cpu, at, n) && address - at < p.file[n].end - p.file[n].first)
                return (struct loaded){cr3, at, at + (p.file[n].end - p.file[n].first), (uint8_t)(n + 1)};
        }
        break; /* another file's */
    }
    return (struct loaded){cr3, page, page + PAGE, 0};
}

static struct frame user_frame(struct bp_cpu *cpu, uint64_t cr3, uint64_t address)
{
    struct loaded *l = NULL;

    for (unsigned n = 0; n < BP_COUNT(p.loaded) && p.files; n++) {
        if (p.loaded[n].cr3 == cr3 && address - p.loaded[n].start < p.loaded[n].end - p.loaded[n].start)
            l = &p.loaded[n];
    }
    if (!l && p.files) {
        l = &p.loaded[p.loaded_next++ % BP_COUNT(p.loaded)];
        *l = search(cpu, cr3, address);
    }
    if (!l || !l->file)
        return (struct frame){address, FRAME_USER};
    return (struct frame){address - l->start + p.file[l->file - 1].first, (uint8_t)(FRAME_FILE + l->file - 1)};
}

/* ---- one sample ---- */

/* Is there a call in front of this address? What a frame pointer leads to may be anything. */
static bool after_call(struct bp_cpu *cpu, uint64_t address)
{
    uint8_t b[7];

    if (address < sizeof(b) || !guest_read(cpu, address - sizeof(b), b, sizeof(b)))
        return false;
    if (b[2] == 0xe8)
        return true;
    for (unsigned n = 0; n < 6; n++) { /* FF /2 with its operand */
        if (b[n] == 0xff && (b[n + 1] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

static struct frame frame_of(struct bp_cpu *cpu, const struct bp_x86_cpu *x, bool user, uint64_t address)
{
    return user ? user_frame(cpu, x->cr3 & ~UINT64_C(0xfff), address) : (struct frame){address, FRAME_KERNEL};
}

static unsigned walk(struct bp_cpu *cpu, const struct bp_x86_cpu *x, bool user, struct frame *frames)
{
    bool wide = x->efer & EFER_LMA && x->seg[BP_CS].attr & BP_X86_SEG_L;
    uint64_t base = x->seg[BP_CS].base, fp = x->gpr[BP_RBP], size = wide ? 8 : 4;
    unsigned count = 0;

    frames[count++] = frame_of(cpu, x, user, wide ? x->rip : (uint32_t)(base + x->rip));
    if (!wide && !(x->cr0 & 1 && x->seg[BP_CS].attr & BP_X86_SEG_DB))
        return count; /* 16-bit code keeps no frames */
    fp = wide ? fp : (uint32_t)fp;
    while (count < MAX_FRAMES && fp && fp % size == 0) {
        uint64_t pair[2] = {0};
        uint32_t narrow[2];

        if (!(wide ? guest_read(cpu, fp, pair, sizeof(pair)) : guest_read(cpu, fp, narrow, sizeof(narrow))))
            break;
        if (!wide) {
            pair[0] = narrow[0];
            pair[1] = narrow[1];
        }
        if (!after_call(cpu, pair[1]))
            break;
        frames[count++] = frame_of(cpu, x, user, pair[1] - 1); /* within the call */
        if (pair[0] <= fp || pair[0] - fp > STACK_MOST)
            break;
        fp = pair[0];
    }
    return count;
}

static void sample(struct bp_cpu *cpu, void *opaque)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct frame frames[MAX_FRAMES];
    bool user;

    (void)opaque;
    __atomic_store_n(&p.asked[bp_cpu_index(cpu)], 0, __ATOMIC_RELEASE);
    if (!p.timer || !bp_machine_running(p.machine))
        return;
    bp_debug_sync(cpu);
    if (x->halted || x->wait_for_sipi)
        return;
    user = x->cr0 & 1 && (x->rflags & 0x20000 || (x->seg[BP_SS].attr >> 5 & 3) == 3);
    stacks_add(frames, walk(cpu, x, user, frames));
    if (user || x->rip < NAMES_KERNEL || p.kernel.count || p.looks == LOOKS || p.kernel_samples++ < p.next_look)
        return;
    names_of_kernel(&p.kernel, cpu, x->rip);
    p.next_look = p.kernel_samples * 10;
    p.looks++;
}

static void tick(void *opaque)
{
    (void)opaque;
    for (unsigned n = 0; n < CPUS && bp_machine_running(p.machine); n++) {
        struct bp_cpu *cpu = bp_machine_cpu(p.machine, n);
        const struct bp_x86_cpu *x = cpu ? bp_cpu_state(cpu) : NULL;

        if (!x || __atomic_load_n(&x->halted, __ATOMIC_RELAXED) ||
            __atomic_exchange_n(&p.asked[n], 1, __ATOMIC_ACQUIRE))
            continue;
        bp_cpu_run_async(cpu, sample, NULL);
    }
    bp_timer_set(p.timer, bp_clock_ns(BP_CLOCK_REALTIME) + p.period);
}

/* ---- the end ---- */

static void name(const struct frame *f, char *to, size_t size)
{
    const char *found = NULL;

    if (f->kind == FRAME_KERNEL)
        found = symbols_find(&p.kernel, f->address, NULL);
    else if (f->kind >= FRAME_FILE)
        found = symbols_find(&p.file[f->kind - FRAME_FILE].symbols, f->address, NULL);
    if (found)
        snprintf(to, size, "%s", found);
    else if (f->kind >= FRAME_FILE)
        snprintf(to, size, "[%s]", p.file[f->kind - FRAME_FILE].path);
    else /* unnamed code: by the page */
        snprintf(to, size, "[%#llx]", (unsigned long long)(f->address & ~(uint64_t)(PAGE - 1)));
}

static void finish(void)
{
    int ret;

    if (!p.path)
        return;
    p.timer = NULL; /* the loop is over */
    ret = stacks_write(p.path, name);
    if (ret < 0)
        bp_warn("-profile: cannot write '%s': %s", p.path, strerror(-ret));
    else if (!stacks_samples())
        bp_warn("-profile: no processor executed code: '%s' is empty", p.path);
    stacks_free();
    symbols_free(&p.kernel);
    while (p.files)
        elf_free(&p.file[--p.files]);
    free(p.file_paths);
    free(p.path);
    p.path = p.file_paths = NULL;
}

/* ---- the option ---- */

static int read_files(const char *list, struct bp_error *err)
{
    char *rest = NULL;

    p.file_paths = strdup(list);
    if (!p.file_paths)
        return bp_fail(err, ENOMEM, "no memory");
    for (char *path = strtok_r(p.file_paths, ":", &rest); path; path = strtok_r(NULL, ":", &rest)) {
        if (p.files == FILES)
            return bp_fail(err, EINVAL, "elf= takes %u files at most", FILES);
        if (elf_read(&p.file[p.files], path, err) < 0)
            return -EINVAL;
        p.files++;
    }
    return 0;
}

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *path = bp_value_get_string(args, "file"), *map = bp_value_get_string(args, "map"),
               *elf = bp_value_get_string(args, "elf");
    struct bp_value *rate = bp_value_get(args, "rate");
    struct bp_cpu *cpu;
    FILE *file;

    p.machine = bp_command_machine();
    cpu = bp_machine_cpu(p.machine, 0);
    if (p.path)
        return bp_fail(err, EINVAL, "-profile was given twice");
    if (!cpu || !bp_machine_runs_code(p.machine) || strcmp(bp_cpu_class(cpu)->arch, "x86_64"))
        return bp_fail(err, EINVAL, "-profile: this machine has no x86 processor that executes code");
    if ((map && symbols_read_map(&p.kernel, map, err) < 0) || (elf && read_files(elf, err) < 0)) {
        bp_error_prefix(err, "-profile");
        return -EINVAL;
    }
    file = fopen(path, "we"); /* now, not at the end, an error helps */
    if (!file)
        return bp_fail(err, errno, "-profile: cannot write '%s': %s", path, strerror(errno));
    fclose(file);
    p.path = strdup(path);
    p.period = 1000000000 / (rate ? (int64_t)bp_value_as_uint(rate) : 1000);
    p.timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, tick, NULL);
    if (!p.path || !p.timer)
        return bp_fail(err, ENOMEM, "-profile: no memory");
    bp_timer_set(p.timer, bp_clock_ns(BP_CLOCK_REALTIME) + p.period);
    return 0;
}

static const struct bp_field keys[] = {
    BP_ARG("file", STRING, "where the folded stacks go when the machine ends"),
    {.name = "rate", .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .min = 1, .max = 10000,
     .help = "samples a second of each processor (default 1000)"},
    BP_ARG_OPT("map", STRING, "System.map of the guest's kernel, instead of what its memory tells"),
    BP_ARG_OPT("elf", STRING, "files of the guest's programs and libraries, whose functions are named; ':' between"),
    BP_FIELDS_END};

BP_OPTION(profile_option, "profile", "samples what the guest executes, for flame graphs",
          .arg = "FILE[,rate=HZ][,map=FILE][,elf=FILE[:FILE...]]", .group = "Debug and expert options",
          .phase = BP_PHASE_LATE, .keys = keys, .implied = "file", .apply = apply);

BP_MODULE_WITH_FINI("debug-profile", "Profiler of guests", BP_NO_IMPORTS, NULL, finish,
                    {BP_PROVIDE_OPTION, &profile_option});
