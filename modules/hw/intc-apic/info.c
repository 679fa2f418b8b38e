/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Monitor command `info lapic`: a local APIC's registers as text. */
#include "apic.h"

const struct bp_field lapic_info_args[] = {
    BP_ARG_OPT("index", INT64, "processor, 0 by default"),
    BP_FIELDS_END,
};

static void print_vectors(struct bp_monitor *mon, const char *name, const uint32_t *map)
{
    bool any = false;

    bp_monitor_printf(mon, "  %s ", name);
    for (unsigned i = 0; i < 256; i++) {
        if (map[i >> 5] >> (i & 31) & 1) {
            bp_monitor_printf(mon, " %02x", i);
            any = true;
        }
    }
    bp_monitor_printf(mon, any ? "\n" : " (none)\n");
}

void lapic_info(struct bp_monitor *mon, struct bp_value *args)
{
    static const char *const lvt_names[LVT_COUNT] = {
        "CMCI", "TIMER", "THERMAL", "PERF", "LINT0", "LINT1", "ERROR",
    };
    int64_t index = args ? bp_value_as_int(bp_value_get(args, "index")) : 0;
    struct bp_cpu *cpu = index >= 0 && index < 4096 ? bp_machine_cpu(bp_command_machine(), (unsigned)index) : NULL;
    struct lapic *live = cpu ? ((struct bp_x86_cpu *)bp_cpu_state(cpu))->apic_opaque : NULL;
    struct lapic copy, *s = &copy;

    if (!live) {
        bp_monitor_printf(mon, "no local APIC with index %lld\n", (long long)index);
        return;
    }
    bp_cpu_run(cpu, lapic_fetch, NULL);
    lapic_lock(live);
    copy = *live; /* to read: a monitor may be slow */
    lapic_unlock(live);
    bp_monitor_printf(mon, "local APIC of CPU %u: id %u, base 0x%llx (%s)\n",
                      bp_cpu_index(s->cpu->cpu), s->id, (unsigned long long)s->base,
                      !(s->base & 1u << 11) ? "off" : lapic_x2apic(s) ? "x2APIC" : "xAPIC");
    bp_monitor_printf(mon, "  TPR 0x%02x  LDR 0x%08x  DFR 0x%08x  SVR 0x%03x  ESR 0x%02x\n", s->tpr,
                      s->ldr, s->dfr, s->svr, s->esr);
    bp_monitor_printf(mon, "  ICR 0x%08x%08x\n", s->icr_high, s->icr_low);
    for (unsigned i = LVT_TIMER; i < LVT_COUNT; i++)
        bp_monitor_printf(mon, "  LVT %-8s 0x%08x%s\n", lvt_names[i], s->lvt[i],
                          s->lvt[i] & 1u << 16 ? " masked" : "");
    bp_monitor_printf(mon, "  timer: initial %u, current %u, divide 0x%x, TSC deadline %llu\n",
                      s->initial_count, lapic_timer_current(s), s->divide,
                      (unsigned long long)s->tsc_deadline);
    print_vectors(mon, "IRR", s->irr);
    print_vectors(mon, "ISR", s->isr);
}
