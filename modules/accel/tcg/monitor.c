/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the translator tells of itself: info jit, info opcount; -perfmap, -jitdump. [main] */
#define BP_SHARED
#include "check.h"
#include "monitor.h"
#include "tcg.h"
#include <bp/error.h>
#include <errno.h>
#include <inttypes.h>

static struct tcg_machine *the_machine;

void monitor_machine(struct tcg_machine *m)
{
    the_machine = m;
}

static bool there(struct bp_monitor *mon)
{
    if (the_machine && the_machine->cpus)
        return true;
    bp_monitor_printf(mon, "Error: the machine does not run on the translator (-accel tcg)\n");
    return false;
}

static void info_check(struct bp_monitor *mon, const struct check *k)
{
    bp_monitor_printf(mon, "checked blocks      %" PRIu64 " equal, %" PRIu64 " but for undefined flags, %" PRIu64
                      " with what others wrote meanwhile\n", k->equal, k->undefined, k->others);
    bp_monitor_printf(mon, "not compared        %" PRIu64 " instructions whose result comes from outside, %" PRIu64
                      " blocks that reach devices, %" PRIu64 " strings in pieces or large\n", k->apart, k->device,
                      k->unfinished);
}

static void show_icount(struct bp_monitor *mon)
{
    struct bp_icount n = {.size = sizeof(n)};

    bp_machine_icount(bp_cpu_machine(the_machine->cpus->v.x->cpu), &n);
    bp_monitor_printf(mon, "Instructions counted:\n");
    bp_monitor_printf(mon, "executed            %" PRIu64 ", %" PRIu64 " ns each\n", n.executed,
                      (uint64_t)1 << n.shift);
    bp_monitor_printf(mon, "late at most        %" PRIi64 " us, waits for the host's time %" PRIu64 "\n",
                      n.latest_ns / 1000, n.waits);
}

/* Counts are the vCPUs' own; while they run, what is read is a moment's. */
static void info_jit(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    if (!there(mon))
        return;
    for (const struct tcg_cpu *c = the_machine->cpus; c; c = c->next) {
        size_t used = (size_t)(c->at - c->buffer);
        uint64_t insns = c->translated_insns ? c->translated_insns : 1;

        bp_monitor_printf(mon, "Translated code of CPU %" PRIu32 ":\n", c->v.x->apic_id);
        bp_monitor_printf(mon, "gen code size       %zu/%zu\n", used, c->buffer_size);
        bp_monitor_printf(mon, "TB count            %" PRIu64 "\n", c->translated_blocks);
        bp_monitor_printf(mon, "guest instructions  %" PRIu64 ", %" PRIu64 " host bytes each, %" PRIu64
                          " ns to translate one\n", c->translated_insns, c->translated_bytes / insns,
                          c->translate_ns / insns);
        bp_monitor_printf(mon, "shared checks       %" PRIu64 ", by %" PRIu64 " more accesses\n", c->spans,
                          c->span_members);
        bp_monitor_printf(mon, "interpreted         %" PRIu64 "\n", c->interpreted);
        bp_monitor_printf(mon, "TB flush count      %" PRIu64 "\n", c->flushes);
        bp_monitor_printf(mon, "pages invalidated   %" PRIu64 "\n", c->invalidated);
        if (c->check)
            info_check(mon, c->check);
    }
    if (the_machine->counts)
        show_icount(mon);
}
BP_HMP(tcg_info_jit, "info jit", "", "show what the translator has made", NULL, info_jit);

static void info_opcount(struct bp_monitor *mon, struct bp_value *args)
{
    static const char *const maps[4] = {"", "0f ", "0f 38 ", "0f 3a "};

    (void)args;
    if (!there(mon))
        return;
    bp_monitor_printf(mon, "Instructions that the interpreter executed, by opcode: in their block, and where they "
                      "left it\n");
    for (unsigned m = 0; m < 4; m++) {
        for (unsigned o = 0; o < 256; o++) {
            uint64_t inside = 0, left = 0;

            for (const struct tcg_cpu *c = the_machine->cpus; c; c = c->next) {
                inside += c->interpreted_by[m][o];
                left += c->redone_by[m][o];
            }
            if (inside | left)
                bp_monitor_printf(mon, "%s%02x %" PRIu64 " %" PRIu64 "\n", maps[m], o, inside, left);
        }
    }
}
BP_HMP(tcg_info_opcount, "info opcount", "", "show which instructions are left to the interpreter", NULL, info_opcount);

/* The machine is made, nothing runs yet, and the process is the one that stays (-daemonize). */
static int begin(const char *option, int (*file)(const struct tcg_cpu *cpus, struct bp_error *err),
                 struct bp_error *err)
{
    if (!the_machine)
        return bp_fail(err, EINVAL, "%s names translated code, and this machine does not run on the translator: "
                       "use -accel tcg", option);
    return file(the_machine->cpus, err);
}

static int apply_perfmap(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    return begin("-perfmap", perf_map_begin, err);
}

static int apply_jitdump(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    return begin("-jitdump", perf_dump_begin, err);
}

#define EXPERT "Debug and expert options"
BP_OPTION(tcg_perfmap, "perfmap", "names translated code for perf, in /tmp/perf-PID.map", .group = EXPERT,
          .phase = BP_PHASE_LATE, .apply = apply_perfmap);
BP_OPTION(tcg_jitdump, "jitdump", "names and keeps translated code for perf inject --jit, in jit-PID.dump",
          .group = EXPERT, .phase = BP_PHASE_LATE, .apply = apply_jitdump);
