/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The accelerator `tcg`: translates x86 to the host's x86-64. Connects vCPUs with the machine's memory and I/O
 * space; translated code is each vCPU's own, the map of pages that hold code is the machine's.
 */
#include "check.h"
#include "tcg.h"
#include "machine.h"
#include "monitor.h"
#include <bp/exact/memory.h>
#include <bp/memory.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { THREAD_MULTI, THREAD_SINGLE };

struct accel_tcg {
    struct tcg_machine *m;
    uint32_t tb_size;
    bool one_insn, split_wx, thread_given, check;
    int thread;
};

struct cpu_tcg {
    struct tcg_cpu *c;
    bool hears_smm; /* of changes of what system management mode sees */
};

static struct tcg_cpu *tcg_of(struct bp_cpu *cpu)
{
    return ((struct cpu_tcg *)bp_cpu_accel_state(cpu))->c;
}

static void map_commit(void *opaque)
{
    struct tcg_cpu *c = opaque;
    struct vcpu *v = &c->v;

    __atomic_store_n(&v->map_changed, 1, __ATOMIC_SEQ_CST);
    if (c->check)
        __atomic_store_n(&c->check->map_changed, true, __ATOMIC_SEQ_CST);
    bp_cpu_kick(v->x->cpu);
    if (bp_cpu_current() == v->x->cpu)
        end_block(v); /* its own doing: no instruction runs before it was heeded */
}

static const struct bp_memory_listener listener = {.size = sizeof(listener), .commit = map_commit};

static void memory_written(void *opaque, const uint8_t *host, uint64_t length)
{
    struct bp_cpu *cpu;

    if (code_written(opaque, host, length) && (cpu = bp_cpu_current()))
        end_block(&tcg_of(cpu)->v);
}

static int tcg_init(struct bp_accel *accel, struct bp_error *err)
{
    struct accel_tcg *s = bp_accel_state(accel);
    struct bp_machine *machine = bp_object_machine(bp_accel_object(accel));

#if !defined(__x86_64__)
    return bp_fail(err, ENOTSUP, "tcg translates on x86-64 hosts only; -accel interp runs everywhere");
#endif
    s->m = calloc(1, sizeof(*s->m));
    if (!s->m)
        return bp_fail(err, ENOMEM, "no memory for the code map");
    s->m->tb_size = s->tb_size;
    s->m->one_insn = s->one_insn;
    s->m->split_wx = s->split_wx;
    s->m->check = s->check;
    s->m->counts = bp_machine_counts(machine);
    if (s->m->counts && s->thread_given && s->thread == THREAD_MULTI)
        return bp_fail(err, EINVAL, "thread=multi: with -icount all processors are on one thread (thread=single)");
    if (s->m->counts && s->check)
        return bp_fail(err, ENOTSUP, "check=on: blocks that are counted (-icount) are not compared yet");
    if (s->m->counts || s->thread == THREAD_SINGLE)
        bp_machine_one_thread(machine);
    monitor_machine(s->m);
    bp_write_watch_new(bp_object_owner(bp_accel_object(accel)), memory_written, &s->m->map);
    return 0;
}

static int tcg_cpu_init(struct bp_accel *accel, struct bp_cpu *cpu, struct bp_error *err)
{
    struct accel_tcg *s = bp_accel_state(accel);
    struct cpu_tcg *t = bp_cpu_accel_state(cpu);
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct tcg_cpu *c;
    struct bus bus;

    x->cpu = cpu;
    machine_bus(cpu, &bus);
    c = tcg_cpu_new(s->m, x, &bus, err);
    if (!c)
        return -ENOMEM;
    t->c = c;
    bp_space_listen(bp_cpu_space(cpu), &listener, c);
    return 0;
}

static void hide(struct bp_cpu *cpu)
{
    struct cpu_tcg *t = bp_cpu_accel_state(cpu);

    if (t->c)
        tcg_cpu_hide(t->c);
}

static void tcg_cpu_fini(struct bp_cpu *cpu)
{
    struct cpu_tcg *t = bp_cpu_accel_state(cpu);
    struct tcg_cpu *c = t->c;

    if (!c)
        return;
    bp_space_unlisten(bp_cpu_space(cpu), &listener, c);
    if (t->hears_smm)
        bp_space_unlisten(((struct bp_x86_cpu *)bp_cpu_state(cpu))->smm_space, &listener, c);
    tcg_cpu_free(c);
    t->c = NULL;
}

static enum bp_cpu_exit tcg_exec(struct bp_cpu *cpu)
{
    struct tcg_cpu *c = tcg_of(cpu);
    enum bp_cpu_exit why;

    if (!c->v.debug)
        return tcg_run(c, bp_cpu_kick_flag(cpu));
    why = vcpu_run(&c->v, bp_cpu_kick_flag(cpu)); /* the interpreter serves a debugger's points and steps */
    if (why == BP_CPU_EXIT_DEBUG)
        bp_cpu_debug_hit(cpu, &c->v.hit);
    return why;
}

static void tcg_kick(struct bp_cpu *cpu)
{
    __atomic_store_n(&tcg_of(cpu)->f.exit_request, 1, __ATOMIC_SEQ_CST);
}

static void tcg_changed(struct bp_cpu *cpu)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct cpu_tcg *t = bp_cpu_accel_state(cpu);

    if (x->smm_space && !t->hears_smm) { /* a reset, before it runs */
        machine_hear_smm(cpu, &listener, t->c);
        t->hears_smm = true;
    }
    vcpu_changed(&tcg_of(cpu)->v);
}

static void tcg_sync(struct bp_cpu *cpu)
{
    vcpu_sync(&tcg_of(cpu)->v);
}

static void tcg_debug(struct bp_cpu *cpu, const struct bp_debug *debug)
{
    vcpu_debug(&tcg_of(cpu)->v, debug);
}

static void tcg_features(struct bp_accel *accel, uint32_t *words, unsigned count)
{
    (void)accel;
    for (unsigned n = 0; n < count; n++)
        words[n] &= n < BP_X86_FW_COUNT ? x86_executed_features[n] : 0;
}

static int64_t tcg_left(struct bp_cpu *cpu)
{
    return vcpu_left(&tcg_of(cpu)->v);
}

static void tcg_set_left(struct bp_cpu *cpu, int64_t instructions)
{
    vcpu_set_left(&tcg_of(cpu)->v, instructions);
}

/* Whether somebody has said so makes a difference under -icount. */
static int set_thread(struct bp_object *obj, const struct bp_field *f, struct bp_value *value, struct bp_error *err)
{
    struct accel_tcg *s = bp_object_state(obj);

    (void)f;
    (void)err; /* it is one of the choices */
    s->thread = strcmp(bp_value_as_string(value), "single") == 0 ? THREAD_SINGLE : THREAD_MULTI;
    s->thread_given = true;
    return 0;
}

static const char *const threads[] = {"multi", "single", NULL};
static const struct bp_schema thread_kind = {.name = "TcgThread", .kind = BP_KIND_ENUM, .choices = threads};
static const struct bp_field props[] = {
    BP_PROP_RANGE("tb-size", UINT32, struct accel_tcg, tb_size, "0", 0, 2048,
                  "MiB of translated code for each vCPU; 0: 64"),
    BP_PROP("one-insn-per-tb", BOOL, struct accel_tcg, one_insn, "off", "translate instruction by instruction"),
    BP_PROP("split-wx", BOOL, struct accel_tcg, split_wx, "off", "no mapping is writable and executable"),
    BP_PROP("check", BOOL, struct accel_tcg, check, "off",
            "run each block on the interpreter, too, and stop where they differ"),
    {.name = "thread", .kind = BP_KIND_ENUM, .offset = offsetof(struct accel_tcg, thread), .schema = &thread_kind,
     .set = set_thread, .help = "multi (default): one for each processor; single: one for all, in turn"},
    BP_FIELDS_END};

BP_ACCEL(tcg, "tcg", "x86_64,i386", "Translator", struct accel_tcg, props, .rank = 20, .smm = true,
         .init = tcg_init,
         .cpu_size = sizeof(struct cpu_tcg), .cpu_init = tcg_cpu_init, .cpu_fini = tcg_cpu_fini, .cpu_hide = hide,
         .cpu_exec = tcg_exec, .cpu_kick = tcg_kick, .cpu_changed = tcg_changed, .cpu_sync = tcg_sync,
         .cpu_features = tcg_features, .cpu_debug = tcg_debug, .cpu_left = tcg_left,
         .cpu_set_left = tcg_set_left);

BP_MODULE("accel-tcg", "x86 translator", BP_NO_IMPORTS, {BP_PROVIDE_ACCEL, &tcg},
          {BP_PROVIDE_HMP, &tcg_info_jit}, {BP_PROVIDE_HMP, &tcg_info_opcount}, {BP_PROVIDE_OPTION, &tcg_perfmap},
          {BP_PROVIDE_OPTION, &tcg_jitdump});
