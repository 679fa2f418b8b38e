/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU classes: a model with what the command line changes, power-on state, what the core asks of a vCPU. */
#include "model.h"

#include <bp/log.h>
#include <bp/exact/x86-topology.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The names of the bits, with commas between; 0: there are none. */
static unsigned list_features(const uint32_t *words, char *text, size_t size)
{
    unsigned count = 0;
    size_t used = 0;

    *text = '\0';
    for (unsigned word = 0; word < FEATURE_WORDS; word++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            const char *name = words[word] >> bit & 1 ? feature_name(word, bit) : NULL;

            if (!name)
                continue;
            if (used < size)
                used += (size_t)snprintf(text + used, size - used, "%s%s", count ? ", " : "", name);
            count++;
        }
    }
    return count;
}

static int report_missing(struct bp_cpu *cpu, struct bp_error *err)
{
    const struct x86_model_cpu *s = bp_cpu_state(cpu);
    const char *accel = bp_machine_accel_name(bp_cpu_machine(cpu));
    const char *model = bp_cpu_class(cpu)->model;
    char names[1500];
    unsigned count = list_features(s->filtered, names, sizeof(names));

    if (count == 0)
        return 0;
    if (s->set.enforce)
        return bp_fail(err, ENOTSUP, "CPU model '%s' cannot be had as enforce demands: accelerator '%s' does "
                       "not execute %s", model, accel, names);
    if (s->set.check && bp_cpu_index(cpu) == 0)
        bp_warn("accelerator '%s' does not execute CPU feature%s %s of '%s': %s off", accel,
                count > 1 ? "s" : "", names, model, count > 1 ? "they stay" : "it stays");
    return 0;
}

static int choose_features(struct bp_cpu *cpu, const struct model *model, unsigned version,
                           struct bp_error *err)
{
    struct x86_model_cpu *s = bp_cpu_state(cpu);
    uint32_t executed[FEATURE_WORDS], wanted[FEATURE_WORDS];

    memset(executed, 0xff, sizeof(executed));
    bp_machine_cpu_features(bp_cpu_machine(cpu), executed, FEATURE_WORDS);
    model_features(model, version, executed, wanted);
    for (unsigned i = 0; i < FEATURE_WORDS; i++) {
        wanted[i] = (wanted[i] | s->plus[i]) & ~s->minus[i];
        s->filtered[i] = wanted[i] & ~executed[i];
        s->x.features[i] = wanted[i] & executed[i];
    }
    return report_missing(cpu, err);
}

/* Physical addresses: what -cpu says, the host's where asked for, else 40 bits as PCs of 64 bits have had; not more
 * than the processor has that runs the guest. */
static int choose_sizes(struct x86_model_cpu *s, bool own, bool is_host, struct bp_error *err)
{
    const uint32_t *f = s->x.features;
    bool lm = f[BP_X86_FW_80000001_EDX] & 1u << 29;
    unsigned bits = s->set.phys_bits, host;

    if (s->set.host_phys_bits && (host = host_physical_bits()) > 0)
        bits = s->set.host_phys_bits_limit && host > s->set.host_phys_bits_limit ? s->set.host_phys_bits_limit
                                                                                : host;
    if (!bits)
        bits = lm ? 40 : f[BP_X86_FW_1_EDX] & (1u << 17 | 1u << 6) ? 36 : 32;
    if (lm && own && !s->set.phys_bits && (host = host_physical_bits()) > 0 && (is_host || bits > host))
        bits = host;
    if (lm ? bits < 32 || bits > 52 : bits != 32 && bits != 36)
        return bp_fail(err, EINVAL, lm ? "phys-bits should be between 32 and 52, not %u" :
                       "phys-bits of a 32-bit processor is 32 or 36, not %u", bits);
    s->x.phys_bits = (uint8_t)bits;
    s->x.linear_bits = f[BP_X86_FW_7_ECX] & 1u << 16 ? 57 : lm ? 48 : 32;
    return 0;
}

static int init_model(struct bp_cpu *cpu, struct bp_error *err)
{
    const struct model_name *name = model_name_find(bp_cpu_class(cpu)->model);
    const struct model *model = name ? model_find(name->of) : NULL;
    struct x86_model_cpu *s = bp_cpu_state(cpu);
    const struct bp_smp *smp = bp_machine_smp(bp_cpu_machine(cpu));
    bool is_host = name && strcmp(name->of, "host") == 0, own = bp_machine_has_host_cpu(bp_cpu_machine(cpu));
    struct model host;
    struct x86_topology topology = {1, 1, 1, 1};
    int ret;

    if (!model)
        return bp_fail(err, EINVAL, "CPU model '%s' has no row", bp_cpu_class(cpu)->model);
    if (s->set.pmu || s->set.kvm)
        return bp_fail(err, ENOTSUP, "%s=on: accelerator '%s' has no %s", s->set.pmu ? "pmu" : "kvm",
                       bp_machine_accel_name(bp_cpu_machine(cpu)),
                       s->set.pmu ? "performance counters" : "interface of KVM for guests");
    ret = choose_features(cpu, model, name->version, err);
    if (ret == 0)
        ret = choose_sizes(s, own, is_host, err);
    if (ret < 0)
        return ret;
    if (s->x.tsc_hz < 1000000)
        return bp_fail(err, EINVAL, "tsc-frequency must be at least 1000000 (1 MHz), not %llu",
                       (unsigned long long)s->x.tsc_hz);
    host = *model;
    if (is_host && own)
        identity_of_host(&host);
    identity_complete(s, &host);
    s->x.cpu = cpu;
    s->x.apic_id = smp ? bp_x86_apic_id(smp, bp_cpu_index(cpu)) : bp_cpu_index(cpu);
    s->x.is_bsp = bp_cpu_index(cpu) == 0;
    if (smp)
        topology = (struct x86_topology){smp->dies ? smp->dies : 1, smp->modules ? smp->modules : 1,
                                         smp->cores ? smp->cores : 1, smp->threads ? smp->threads : 1};
    cpuid_build(s, &topology);
    if (is_host && !own && s->set.check && bp_cpu_index(cpu) == 0)
        bp_warn("accelerator '%s' makes processors of its own: -cpu host is -cpu max here",
                bp_machine_accel_name(bp_cpu_machine(cpu)));
    return 0;
}

static bool has_work(struct bp_cpu *cpu)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    uint32_t pending = __atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST);

    if (x->wait_for_sipi)
        return pending & (BP_X86_INT_INIT | BP_X86_INT_SIPI);
    if (x->smm) /* it waits for RSM */
        pending &= ~(uint32_t)BP_X86_INT_SMI;
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

#define X(IDENT, NAME, ALIAS, OF, VERSION, SUMMARY) \
    BP_CPU(IDENT, NAME, "x86_64", SUMMARY, struct x86_model_cpu, cpu_props, .init = init_model, \
           .alias_of = ALIAS, CPU_SLOTS);
CPU_MODELS(X)
CPU_MODEL_LAST(X)
#undef X

#define X(IDENT, NAME, ALIAS, OF, VERSION, SUMMARY) {BP_PROVIDE_CPU, &IDENT},
BP_MODULE("cpu-x86", "x86-64 CPU models", BP_NO_IMPORTS, CPU_MODELS(X) {BP_PROVIDE_CPU, &cpu_base});
