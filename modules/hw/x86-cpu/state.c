/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power-on state (Intel SDM volume 3, table 10-1), the register dump and the monitor's view of
 * registers and linear addresses.
 */
#include "model.h"

#include <bp/memory.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const gpr_names[16] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
};
static const char *const seg_names[6] = {"es", "cs", "ss", "ds", "fs", "gs"};

void x86_reset(struct bp_cpu *cpu)
{
    struct x86_model_cpu *s = bp_cpu_state(cpu);
    struct bp_x86_cpu *x = &s->x, old = *x;

    memset(x, 0, sizeof(*x));
    /* The model and the connections outlive a reset. */
    x->cpuid = old.cpuid;
    x->cpuid_count = old.cpuid_count;
    x->apic_id = old.apic_id;
    x->is_bsp = old.is_bsp;
    x->phys_bits = old.phys_bits;
    x->linear_bits = old.linear_bits;
    x->tsc_hz = old.tsc_hz;
    x->tsc_offset = old.tsc_offset;
    memcpy(x->features, old.features, sizeof(x->features));
    x->apic = old.apic;
    x->apic_opaque = old.apic_opaque;
    x->lapic = old.lapic;
    x->ferr = old.ferr;
    x->ferr_opaque = old.ferr_opaque;
    x->smm_space = old.smm_space;
    x->cpu = old.cpu;
    x->a20_masked = old.a20_masked;

    x->rip = 0xfff0;
    x->rflags = 2;
    x->gpr[BP_RDX] = x->cpuid_count > 1 ? x->cpuid[1].eax : 0;
    for (unsigned i = 0; i < 6; i++)
        x->seg[i] = (struct bp_x86_segment){0, 0x93, 0xffff, 0};
    x->seg[BP_CS] = (struct bp_x86_segment){0xf000, 0x9b, 0xffff, 0xffff0000u};
    x->ldtr = (struct bp_x86_segment){0, 0x82, 0xffff, 0};
    x->tr = (struct bp_x86_segment){0, 0x8b, 0xffff, 0};
    x->gdtr.limit = x->idtr.limit = 0xffff;
    x->cr0 = 0x60000010;
    x->xcr0 = 1;
    x->dr[6] = 0xffff0ff0;
    x->dr[7] = 0x400;
    x->fcw = 0x40;
    x->fpu_valid = 0xff; /* FNINIT has not run: all tags valid */
    x->mxcsr = 0x1f80;
    x->pat = 0x0007040600070406ull;
    x->misc_enable = 1;
    x->smbase = 0x30000;
    if (!x->is_bsp) {
        x->halted = 1;
        x->wait_for_sipi = 1;
    }
}

char *x86_dump(struct bp_cpu *cpu)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    for (unsigned i = 0; i < 16; i++)
        fprintf(f, "%-3s=%016llx%c", gpr_names[i], (unsigned long long)x->gpr[i],
                i % 4 == 3 ? '\n' : ' ');
    fprintf(f, "rip=%016llx rflags=%08llx %s%s%s%s%s%s%s cpl=%u halted=%u smm=%u\n",
            (unsigned long long)x->rip, (unsigned long long)x->rflags,
            x->rflags & 0x400 ? "D" : "-", x->rflags & 0x800 ? "O" : "-",
            x->rflags & 0x80 ? "S" : "-", x->rflags & 0x40 ? "Z" : "-",
            x->rflags & 0x10 ? "A" : "-", x->rflags & 4 ? "P" : "-", x->rflags & 1 ? "C" : "-",
            x->seg[BP_SS].attr >> 5 & 3, x->halted, x->smm);
    for (unsigned i = 0; i < 6; i++)
        fprintf(f, "%s =%04x %016llx %08x %04x\n", seg_names[i], x->seg[i].selector,
                (unsigned long long)x->seg[i].base, x->seg[i].limit, x->seg[i].attr);
    fprintf(f, "ldt=%04x %016llx %08x %04x\n", x->ldtr.selector, (unsigned long long)x->ldtr.base,
            x->ldtr.limit, x->ldtr.attr);
    fprintf(f, "tr =%04x %016llx %08x %04x\n", x->tr.selector, (unsigned long long)x->tr.base,
            x->tr.limit, x->tr.attr);
    fprintf(f, "gdt=     %016llx %08x\nidt=     %016llx %08x\n", (unsigned long long)x->gdtr.base,
            x->gdtr.limit, (unsigned long long)x->idtr.base, x->idtr.limit);
    fprintf(f, "cr0=%08llx cr2=%016llx cr3=%016llx cr4=%08llx efer=%llx\n",
            (unsigned long long)x->cr0, (unsigned long long)x->cr2, (unsigned long long)x->cr3,
            (unsigned long long)x->cr4, (unsigned long long)x->efer);
    for (unsigned i = 0; i < 8; i++)
        if (i != 4 && i != 5)
            fprintf(f, "dr%u=%016llx%c", i, (unsigned long long)x->dr[i], i == 3 || i == 7 ? '\n' : ' ');
    fprintf(f, "fcw=%04x fsw=%04x valid=%02x mxcsr=%08x\n", x->fcw, x->fsw, x->fpu_valid, x->mxcsr);
    for (unsigned i = 0; i < 8; i++)
        fprintf(f, "fpr%u=%04x %016llx%c", i, x->fpr[i].sign_exponent,
                (unsigned long long)x->fpr[i].mantissa, i & 1 ? '\n' : ' ');
    for (unsigned i = 0; i < 16; i++)
        fprintf(f, "xmm%02u=%016llx%016llx%c", i, (unsigned long long)x->vec[i].q[1],
                (unsigned long long)x->vec[i].q[0], i & 1 ? '\n' : ' ');
    fclose(f);
    return text;
}

static int load_entry(struct bp_space *memory, uint64_t address, unsigned size, uint64_t *ret_entry)
{
    uint64_t entry = 0;

    if (bp_space_read(memory, address, &entry, size) < 0 || !(entry & 1))
        return -EFAULT;
    *ret_entry = entry;
    return 0;
}

/* Page walk without side effects (SDM volume 3, chapter 4). */
int x86_translate(struct bp_cpu *cpu, uint64_t linear, uint64_t *ret_phys)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct bp_space *memory = bp_cpu_space(cpu);
    uint64_t entry, table, mask = ((1ull << x->phys_bits) - 1) & ~0xfffull;

    if (!(x->cr0 & 0x80000000u)) {
        *ret_phys = (uint32_t)linear;
        return 0;
    }
    if (!(x->cr4 & 0x20)) { /* two levels of 4-byte entries */
        linear = (uint32_t)linear;
        if (load_entry(memory, (x->cr3 & 0xfffff000u) + (linear >> 22) * 4, 4, &entry) < 0)
            return -EFAULT;
        if ((entry & 0x80) && (x->cr4 & 0x10)) {
            *ret_phys = (entry & 0xffc00000u) | (entry >> 13 & 0xff) << 32 | (linear & 0x3fffff);
            return 0;
        }
        if (load_entry(memory, (entry & 0xfffff000u) + (linear >> 12 & 0x3ff) * 4, 4, &entry) < 0)
            return -EFAULT;
        *ret_phys = (entry & 0xfffff000u) | (linear & 0xfff);
        return 0;
    }
    bool is_long = x->efer & 0x400;
    int level = !is_long ? 3 : x->cr4 & 0x1000 ? 5 : 4; /* LA57 */

    table = is_long ? x->cr3 & mask : x->cr3 & 0xffffffe0u;
    for (; level >= 1; level--) {
        unsigned shift = 12 + 9 * (unsigned)(level - 1);
        uint64_t index = linear >> shift & (!is_long && level == 3 ? 3 : 0x1ff);

        if (load_entry(memory, table + index * 8, 8, &entry) < 0)
            return -EFAULT;
        if (level > 1 && level < 4 && (entry & 0x80)) {
            uint64_t low = (1ull << shift) - 1;
            *ret_phys = (entry & mask & ~low) | (linear & low);
            return 0;
        }
        table = entry & mask;
    }
    *ret_phys = table | (linear & 0xfff);
    return 0;
}

int x86_get_register(struct bp_cpu *cpu, const char *name, uint64_t *ret_value)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);

    for (unsigned i = 0; i < 16; i++) {
        if (strcmp(name, gpr_names[i]) == 0) {
            *ret_value = x->gpr[i];
            return 0;
        }
        if (i < 8 && name[0] == 'e' && strcmp(name + 1, gpr_names[i] + 1) == 0) {
            *ret_value = (uint32_t)x->gpr[i];
            return 0;
        }
    }
    for (unsigned i = 0; i < 6; i++) {
        if (strcmp(name, seg_names[i]) == 0) {
            *ret_value = x->seg[i].selector;
            return 0;
        }
    }
    const struct {
        const char *name;
        uint64_t value;
    } others[] = {
        {"rip", x->rip}, {"eip", (uint32_t)x->rip}, {"pc", x->seg[BP_CS].base + x->rip},
        {"rflags", x->rflags}, {"eflags", (uint32_t)x->rflags}, {"cr0", x->cr0}, {"cr2", x->cr2},
        {"cr3", x->cr3}, {"cr4", x->cr4}, {"efer", x->efer}, {"mxcsr", x->mxcsr},
    };
    for (size_t i = 0; i < BP_COUNT(others); i++) {
        if (strcmp(name, others[i].name) == 0) {
            *ret_value = others[i].value;
            return 0;
        }
    }
    return -ENOENT;
}
