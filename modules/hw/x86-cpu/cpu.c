/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU classes qemu64 and max: features from the command line, power-on state. */
#include "model.h"

#include <bp/log.h>
#include <bp/exact/x86-topology.h>
#include <errno.h>
#include <string.h>

static void warn_missing(struct bp_cpu *cpu, unsigned word, uint32_t bits)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        const char *name = feature_name(word, bit);

        if (bits >> bit & 1 && bp_cpu_index(cpu) == 0)
            bp_warn("accelerator '%s' does not execute CPU feature '%s'; it stays off",
                    bp_machine_accel_name(bp_cpu_machine(cpu)), name ? name : "?");
    }
}

static int init_model(struct bp_cpu *cpu, const struct model *model, struct bp_error *err)
{
    struct x86_model_cpu *s = bp_cpu_state(cpu);
    const struct bp_smp *smp = bp_machine_smp(bp_cpu_machine(cpu));
    struct x86_topology topology = {1, 1, 1, 1};

    uint32_t executed[FEATURE_WORDS];

    memset(executed, 0xff, sizeof(executed));
    bp_machine_cpu_features(bp_cpu_machine(cpu), executed, FEATURE_WORDS);
    for (unsigned i = 0; i < FEATURE_WORDS; i++) {
        uint32_t missing = s->plus[i] & ~executed[i];

        if (missing)
            warn_missing(cpu, i, missing);
        s->filtered[i] = missing;
        s->x.features[i] = (model->features[i] | (s->plus[i] & ~missing)) & ~s->minus[i] & executed[i];
    }
    if (s->x.tsc_hz < 1000000)
        return bp_fail(err, EINVAL, "tsc-frequency must be at least 1000000 (1 MHz), not %llu",
                       (unsigned long long)s->x.tsc_hz);
    identity_complete(s, model);
    s->x.cpu = cpu;
    s->x.apic_id = smp ? bp_x86_apic_id(smp, bp_cpu_index(cpu)) : bp_cpu_index(cpu);
    s->x.is_bsp = bp_cpu_index(cpu) == 0;
    s->x.phys_bits = 40;
    s->x.linear_bits = 48;
    if (smp)
        topology = (struct x86_topology){smp->dies ? smp->dies : 1, smp->modules ? smp->modules : 1,
                                         smp->cores ? smp->cores : 1, smp->threads ? smp->threads : 1};
    cpuid_build(s, &topology);
    return 0;
}

static int init_qemu64(struct bp_cpu *cpu, struct bp_error *err)
{
    return init_model(cpu, &model_qemu64, err);
}

static int init_max(struct bp_cpu *cpu, struct bp_error *err)
{
    return init_model(cpu, &model_max, err);
}

static bool has_work(struct bp_cpu *cpu)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    uint32_t pending = __atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST);

    if (x->wait_for_sipi)
        return pending & (BP_X86_INT_INIT | BP_X86_INT_SIPI);
    if (pending & ~(uint32_t)BP_X86_INT_HARD & ~(uint32_t)BP_X86_INT_SIPI)
        return true;
    return (pending & BP_X86_INT_HARD) && (x->rflags & 0x200);
}

static uint64_t get_pc(struct bp_cpu *cpu)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);

    return x->seg[BP_CS].base + x->rip;
}

/* In real mode, with the code segment from 0 on and no limit below 4 GiB. */
static void set_start(struct bp_cpu *cpu, uint64_t address)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);

    x->seg[BP_CS].selector = 0;
    x->seg[BP_CS].base = 0;
    x->seg[BP_CS].limit = 0xffffffffu;
    x->rip = address;
    x->halted = x->wait_for_sipi = 0;
}

static unsigned code_bits(struct bp_cpu *cpu)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);

    if (x->efer & 0x400 && x->seg[BP_CS].attr & BP_X86_SEG_L) /* LMA */
        return 64;
    return x->seg[BP_CS].attr & BP_X86_SEG_DB ? 32 : 16;
}

#define CPU_SLOTS \
    .reset = x86_reset, .has_work = has_work, .dump = x86_dump, .translate = x86_translate, \
    .pc = get_pc, .get_register = x86_get_register, .code_bits = code_bits, \
    .set_start = set_start, .registers = &x86_registers

BP_CPU(cpu_qemu64, "qemu64", "x86_64", "Least common 64-bit processor", struct x86_model_cpu,
       cpu_props, .init = init_qemu64, CPU_SLOTS);
BP_CPU(cpu_max, "max", "x86_64", "Every feature the accelerator executes", struct x86_model_cpu,
       cpu_props, .init = init_max, CPU_SLOTS);

BP_MODULE("cpu-x86", "x86-64 CPU models", BP_NO_IMPORTS, {BP_PROVIDE_CPU, &cpu_qemu64},
          {BP_PROVIDE_CPU, &cpu_max});
