/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the time of a boot goes: start-up of the program, firmware, loader, kernel, init (query-boot-timeline). The
 * processors are looked at every few milliseconds until the first program runs, as somebody at a debugger would:
 *
 *   loader   code without paging below 16 MiB that is not the BIOS's (boot sectors, GRUB), or with paging in the lower
 *            half (a kernel that unpacks itself)
 *   kernel   code in the upper half of the address space, with paging
 *   init     code of privilege level 3
 *
 * So a loader that is a UEFI application counts as firmware, and a kernel that never leaves the lower half as what came
 * before it. After a reset it begins again. Time in which the machine was stopped is none of these.
 */
#define BP_SHARED
#include "timeline.h"
#include "low-memory.h"
#include "pc.h"

#include <bp/clock.h>
#include <bp/command.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 5000000
#define LOOK_FOR_NS 900000000000ll /* after that nothing is expected any more */
#define LOADER_TOP 0x1000000u
#define EFER_LMA 0x400u
#define FLASH 0xff000000u /* where UEFI begins, with paging; a BIOS has none */
#define FLASH_SIZE 0x1000000u

static const char *const names[TIMELINE_PHASES] = {"startup", "firmware", "loader", "kernel", "init", "stopped"};

static int64_t now(void)
{
    return bp_clock_ns(BP_CLOCK_REALTIME);
}

/* How long this process has lived: field 22 of its line in /proc, in ticks since the computer started. */
static int64_t process_age(void)
{
    unsigned long long ticks = 0;
    struct timespec boot;
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    const char *p;

    if (f)
        fclose(f);
    text[n] = 0;
    p = strrchr(text, ')'); /* ends the second */
    for (unsigned field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (!p || sscanf(p, "%llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
        return 0;
    ticks *= 1000000000ull / (unsigned long)sysconf(_SC_CLK_TCK);
    return boot.tv_sec * 1000000000ll + boot.tv_nsec - (int64_t)ticks;
}

/* Books what went by since the last time. */
static void book(struct timeline *t)
{
    int64_t at = now();

    t->spent[t->running || t->phase == TIMELINE_STARTUP ? t->phase : TIMELINE_STOPPED] += at - t->since;
    t->since = at;
}

static void advance(struct timeline *t, enum timeline_phase phase)
{
    if (phase <= t->phase)
        return;
    book(t);
    t->phase = phase;
    if (phase == TIMELINE_INIT)
        bp_timer_cancel(t->timer);
}

static enum timeline_phase phase_of(struct timeline *t, const struct bp_x86_cpu *x)
{
    const struct bp_x86_segment *cs = &x->seg[BP_CS];
    bool paging = x->cr0 >> 31 & 1, wide = x->efer & EFER_LMA;
    uint64_t pc = (wide ? 0 : cs->base) + x->rip;

    if (paging && (cs->selector & 3) == 3)
        return TIMELINE_INIT;
    if (paging && pc >= (wide ? 1ull << 63 : 0x80000000u) && pc - FLASH >= FLASH_SIZE)
        return TIMELINE_KERNEL;
    if (paging) {
        t->paging_firmware |= pc - FLASH < FLASH_SIZE;
        return t->paging_firmware ? TIMELINE_STARTUP : TIMELINE_LOADER;
    }
    if ((pc >= LOW_BDA_END && pc < LOW_EBDA) || (pc >= 0x100000 && pc < LOADER_TOP))
        return TIMELINE_LOADER;
    return TIMELINE_STARTUP;
}

/* On the processor's own thread, between two instructions. */
static void look(struct bp_cpu *cpu, void *opaque)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);

    ((struct timeline *)opaque)->asked--;
    if (!x->wait_for_sipi)
        advance(opaque, phase_of(opaque, x));
}

static void ask(struct timeline *t)
{
    for (unsigned i = 0; i < bp_machine_smp(t->machine)->max_cpus; i++) {
        struct bp_cpu *cpu = bp_machine_cpu(t->machine, i);

        if (!cpu)
            continue;
        t->asked++;
        bp_cpu_run_async(cpu, look, t);
    }
}

static void due(void *opaque)
{
    struct timeline *t = opaque;

    if (!t->running || t->phase == TIMELINE_INIT || now() - t->begun > LOOK_FOR_NS)
        return;
    if (t->asked == 0) /* one that is busy elsewhere is not asked again and again */
        ask(t);
    bp_timer_set(t->timer, now() + LOOK_NS);
}

static void run_changed(void *opaque, bool running)
{
    struct timeline *t = opaque;

    book(t);
    t->running = running;
    if (running && t->phase == TIMELINE_STARTUP)
        t->phase = TIMELINE_FIRMWARE;
    if (running && t->phase != TIMELINE_INIT && bp_machine_runs_code(t->machine))
        bp_timer_set(t->timer, now() + LOOK_NS);
}

void timeline_begin(struct timeline *t, struct bp_machine *machine)
{
    struct bp_owner *owner = bp_machine_owner(machine);

    t->machine = machine;
    t->begun = t->since = now() - process_age();
    t->timer = bp_timer_new(owner, NULL, BP_CLOCK_REALTIME, due, t);
    bp_machine_on_run_change(machine, owner, BP_RUN_ORDER_USER, run_changed, t);
}

void timeline_reset(struct timeline *t)
{
    if (t->phase == TIMELINE_STARTUP)
        return;
    memset(t->spent, 0, sizeof(t->spent));
    t->begun = t->since = now();
    t->paging_firmware = false;
    t->phase = TIMELINE_FIRMWARE;
    if (t->running && bp_machine_runs_code(t->machine))
        bp_timer_set(t->timer, now() + LOOK_NS);
}

/* ---- queries ---- */

static const struct bp_schema phases = {.name = "BootPhase", .kind = BP_KIND_ENUM, .choices = (const char *const[]){
    "startup", "firmware", "loader", "kernel", "init", NULL}};
static const struct bp_field timeline_fields[] = {
    BP_ARG_TYPED("phase", ENUM, &phases, 0, "what goes on now"),
    BP_ARG("startup", INT64, "ms from the program's start until processors run; 0 after a reset"),
    BP_ARG("firmware", INT64, "ms of the firmware, with UEFI loaders"),
    BP_ARG("loader", INT64, "ms of the loader, and of a kernel that unpacks itself"),
    BP_ARG("kernel", INT64, "ms of the kernel until the first program"),
    BP_ARG("init", INT64, "ms since the first program ran"),
    BP_ARG("stopped", INT64, "ms in which the machine was stopped"),
    BP_ARG("total", INT64, "ms since the program's start, or the last reset"),
    BP_FIELDS_END,
};
static const struct bp_schema timeline_info = {.name = "BootTimeline", .kind = BP_KIND_STRUCT,
                                               .members = timeline_fields};

static struct timeline *find(void)
{
    struct bp_object *obj = bp_object_resolve("/machine", "generic-pc-machine", NULL);

    return obj ? &((struct pc *)bp_object_state(obj))->timeline : NULL;
}

static int query(struct bp_value **ret_value, struct bp_error *err)
{
    struct timeline *t = find();

    if (!t)
        return bp_fail(err, ENOTSUP, "query-boot-timeline: only PCs keep one");
    book(t);
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "phase", bp_value_string(names[t->phase]));
    for (unsigned i = 0; i < TIMELINE_PHASES; i++)
        bp_value_set(*ret_value, names[i], bp_value_int(t->spent[i] / 1000000));
    bp_value_set(*ret_value, "total", bp_value_int((t->since - t->begun) / 1000000));
    return 0;
}
BP_COMMAND(pc_query_timeline, "query-boot-timeline", "Where the time of the guest's start went", NULL, STRUCT,
           &timeline_info, query, 0);

static void info(struct bp_monitor *mon, struct bp_value *args)
{
    struct timeline *t = find();

    (void)args;
    if (!t) {
        bp_monitor_printf(mon, "only PCs keep a timeline\n");
        return;
    }
    book(t);
    for (unsigned i = 0; i < TIMELINE_PHASES; i++)
        bp_monitor_printf(mon, "%-8s %8lld ms%s\n", names[i], (long long)(t->spent[i] / 1000000),
                          i == t->phase ? " (now)" : "");
    bp_monitor_printf(mon, "total    %8lld ms\n", (long long)((t->since - t->begun) / 1000000));
}
BP_HMP(pc_info_timeline, "info boot-timeline", "", "show where the time of the guest's start went", NULL, info);
