/* SPDX-License-Identifier: MIT */
/*
 * The architectural state of an x86-64 processor, shared by CPU models, accelerators (interp, tcg,
 * kvm), the local APIC and boards. Tier: exact. Intel SDM volume 3; AMD APM volume 2.
 */
#ifndef BP_EXACT_X86_H
#define BP_EXACT_X86_H

#include <bp/clock.h>
#include <bp/exact/cpu.h>
#include <bp/device.h>

BP_BEGIN_DECLS

enum bp_x86_reg {
    BP_RAX, BP_RCX, BP_RDX, BP_RBX, BP_RSP, BP_RBP, BP_RSI, BP_RDI,
    BP_R8, BP_R9, BP_R10, BP_R11, BP_R12, BP_R13, BP_R14, BP_R15,
};
enum bp_x86_sreg { BP_ES, BP_CS, BP_SS, BP_DS, BP_FS, BP_GS };

/* Attributes as in descriptor bytes 5 and 6: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L,
 * 14 D/B, 15 G. */
#define BP_X86_SEG_S 0x0010u
#define BP_X86_SEG_P 0x0080u
#define BP_X86_SEG_L 0x2000u
#define BP_X86_SEG_DB 0x4000u
#define BP_X86_SEG_G 0x8000u

struct bp_x86_segment {
    uint16_t selector;
    uint16_t attr;
    uint32_t limit; /* in bytes, scaled by G already */
    uint64_t base;
};

struct bp_x86_st { /* an 80-bit register */
    uint64_t mantissa;
    uint16_t sign_exponent;
};

union bp_x86_vec { /* XMM in the low 16 bytes, YMM in the low 32, ZMM in all */
    uint8_t b[64];
    uint16_t w[32];
    uint32_t d[16];
    uint64_t q[8];
    float s[16];
    double f[8];
};

struct bp_x86_cpuid {
    uint32_t leaf, subleaf;
    uint32_t any_subleaf; /* non-zero: subleaf is ignored */
    uint32_t eax, ebx, ecx, edx;
};

/* Requests to a processor; bits of `interrupts`, set atomically. */
#define BP_X86_INT_HARD (1u << 0) /* the local APIC (or PIC) has a vector to deliver */
#define BP_X86_INT_NMI (1u << 1)
#define BP_X86_INT_SMI (1u << 2) /* an SMI; waits while `smm` is set and while it waits for a SIPI */
#define BP_X86_INT_INIT (1u << 3)
#define BP_X86_INT_SIPI (1u << 4) /* vector in sipi_vector */
#define BP_X86_INT_MACHINE_CHECK (1u << 5)

struct bp_x86_cpu;

/* A local APIC's registers as they lie in its page, by offset / 16; the ID is in bits 31 to 24 in each mode. */
struct bp_x86_lapic_image {
    uint32_t reg[64];
    uint64_t base;         /* IA32_APIC_BASE */
    uint64_t tsc_deadline; /* 0: none */
};

struct bp_chip_keeper;
/* Chips that an accelerator may keep (bp/chip/keeper.h). */
enum bp_x86_chip { BP_X86_CHIP_PIC, BP_X86_CHIP_IOAPIC, BP_X86_CHIP_PIT, BP_X86_CHIP_COUNT };

/*
 * Local APICs that the accelerator has itself (KVM's, in the host's kernel). The device keeps the state while somebody
 * looks at it: the accelerator gives and takes it by set_image() and get_image(), together with the registers. Messages
 * go to the accelerator, EOIs come from it.
 */
struct bp_x86_lapic_ops {
    /* What an MSI writes; for whom it is, is in it. [any] */
    void (*message)(struct bp_x86_cpu *x, uint64_t address, uint32_t data);
    /* The message that a pin of the I/O APIC sends from now on, so that its EOIs come. Only of level-triggered ones.
     * [any] */
    void (*pin)(struct bp_x86_cpu *x, unsigned pin, uint64_t address, uint32_t data);
    /* Who has this chip of the machine; NULL: the device works itself. [main] */
    const struct bp_chip_keeper *(*keeper)(struct bp_x86_cpu *x, enum bp_x86_chip chip);
    /* Ids have 32 bits: an x2APIC's image has all of its ID register, and a message's address has bits 31-8 of the
     * destination in its upper half, of which all ones are everybody. Else 8. */
    bool wide;
};

/* What the local APIC gives to its processor. Called by the vCPU's thread. */
struct bp_x86_apic_ops {
    /* Highest pending deliverable vector, acknowledged (moved to service), or -1. [vcpu]; takes the
     * lock it needs. */
    int (*acknowledge)(void *opaque);
    uint64_t (*get_base)(void *opaque); /* IA32_APIC_BASE */
    int (*set_base)(void *opaque, uint64_t value); /* -EINVAL: #GP */
    uint8_t (*get_tpr)(void *opaque); /* CR8, 0..15 */
    void (*set_tpr)(void *opaque, uint8_t value);
    /* x2APIC registers, MSR 0x800 + index. -EINVAL: #GP */
    int (*read_msr)(void *opaque, unsigned index, uint64_t *ret_value);
    int (*write_msr)(void *opaque, unsigned index, uint64_t value);
    uint64_t (*get_tsc_deadline)(void *opaque);
    void (*set_tsc_deadline)(void *opaque, uint64_t value);
    /* The processor takes an INIT: the local APIC becomes as after power-up, but keeps its IDs
     * and its base (SDM volume 3, 11.4.7.3). */
    void (*init)(void *opaque);
    /* For an accelerator that has the local APIC itself. [vcpu], or with the vCPU stopped */
    void (*get_image)(void *opaque, struct bp_x86_lapic_image *ret_image);
    void (*set_image)(void *opaque, const struct bp_x86_lapic_image *image);
    /* An EOI of a level-triggered vector, for I/O APICs. [vcpu] */
    void (*eoi)(void *opaque, uint8_t vector);
};

/* Feature words: the raw CPUID registers. */
enum bp_x86_feature_word {
    BP_X86_FW_1_EDX, BP_X86_FW_1_ECX, BP_X86_FW_7_EBX, BP_X86_FW_7_ECX, BP_X86_FW_7_EDX,
    BP_X86_FW_80000001_EDX, BP_X86_FW_80000001_ECX, BP_X86_FW_80000007_EDX, BP_X86_FW_80000008_EBX,
    BP_X86_FW_D1_EAX, BP_X86_FW_6_EAX, BP_X86_FW_7_1_EAX, BP_X86_FW_7_1_EDX, BP_X86_FW_7_2_EDX,
    BP_X86_FW_80000021_EAX, BP_X86_FW_8000000A_EDX, BP_X86_FW_40000001_EAX, BP_X86_FW_ARCH_CAPABILITIES,
    BP_X86_FW_COUNT = 24,
};

/* State components of XSAVE (SDM volume 1, 13.1): bits of XCR0 and IA32_XSS. */
#define BP_X86_XS_X87 (1u << 0)
#define BP_X86_XS_SSE (1u << 1)
#define BP_X86_XS_AVX (1u << 2)
#define BP_X86_XS_OPMASK (1u << 5)
#define BP_X86_XS_ZMM_HIGH (1u << 6)
#define BP_X86_XS_ZMM_16_31 (1u << 7)
#define BP_X86_XS_PKRU (1u << 9)

/* Where a component lies in the standard form, in bytes; all of ours are user state and unaligned in the
 * compacted form but for the 64 bytes of ZMM's. The layout is Intel's on every model. */
struct bp_x86_component {
    uint16_t size, offset;
};
/* NULL: there is no such component, or it is in the legacy region (0 and 1). */
static inline const struct bp_x86_component *bp_x86_component(unsigned n)
{
    static const struct bp_x86_component all[10] = {
        {0, 0}, {0, 0}, {256, 576}, {0, 0}, {0, 0}, {64, 1088}, {512, 1152}, {1024, 1664}, {0, 0}, {8, 2688},
    };

    return n < 10 && all[n].size ? &all[n] : (const struct bp_x86_component *)0;
}
/* Bytes of an area with these components: legacy region and header at least. */
static inline uint32_t bp_x86_xsave_size(uint64_t components, bool compacted)
{
    uint32_t size = 576;

    for (unsigned n = 2; n < 10; n++) {
        const struct bp_x86_component *c = bp_x86_component(n);

        if (c && components >> n & 1)
            size = compacted ? size + c->size : (uint32_t)c->offset + c->size;
    }
    return size;
}

struct bp_x86_cpu {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags; /* an accelerator may keep it lazily: see bp_accel_class.cpu_sync */
    struct bp_x86_segment seg[6];
    struct bp_x86_segment ldtr, tr, gdtr, idtr; /* gdtr, idtr: base and limit only */
    uint64_t cr0, cr2, cr3, cr4; /* cr8 is the local APIC's */
    uint64_t xcr0, xss; /* what XSAVE and XSAVES may save: BP_X86_XS_* */
    uint32_t pkru;
    uint64_t dr[8];
    uint64_t efer;

    /* x87 and SSE */
    uint16_t fcw, fsw, fop; /* fsw holds TOP */
    uint8_t fpu_valid;      /* bit i: physical register i is not empty (abridged tag) */
    uint64_t fip, fdp;
    uint16_t fcs, fds;
    struct bp_x86_st fpr[8]; /* physical registers; MMX register i is fpr[i].mantissa */
    union bp_x86_vec vec[32]; /* from 16 on with AVX-512 only */
    uint64_t opmask[8];       /* with AVX-512 only */
    uint32_t mxcsr;

    /* MSRs */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, misc_enable, debugctl, feature_control, spec_ctrl;
    uint64_t tsc_offset, tsc_adjust; /* guest TSC = host-derived TSC + offset */
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status, mcg_ctl, mc_bank[4 * 10];
    uint64_t smbase; /* 0x30000 after a reset; an INIT keeps it. RSM takes it from the saved state */

    /* Delivery */
    uint32_t interrupts;   /* BP_X86_INT_*, atomic */
    uint32_t sipi_vector;
    uint8_t halted;        /* HLT executed (or waiting for SIPI) */
    uint8_t wait_for_sipi;
    uint8_t nmi_blocked;
    uint8_t shadow;        /* interrupts blocked for one instruction: 1 STI, 2 MOV SS */
    uint8_t smm;
    uint8_t a20_masked;    /* bit 20 of addresses is forced to 0 */

    /* Model, constant after init */
    const struct bp_x86_cpuid *cpuid;
    uint32_t cpuid_count;
    uint32_t apic_id;
    uint8_t is_bsp;
    uint8_t phys_bits, linear_bits;
    uint64_t tsc_hz;
    uint32_t features[BP_X86_FW_COUNT]; /* only what the accelerator executes */

    const struct bp_x86_apic_ops *apic; /* NULL: none */
    void *apic_opaque;
    const struct bp_x86_lapic_ops *lapic; /* the accelerator's own, set in cpu_init(); NULL: the device works */
    /* FERR#: an x87 error that CR0.NE does not make an exception; NULL: nobody listens. [vcpu]
     * without locks. The chipset answers with an interrupt, and with `ignne`, which lasts as
     * long as the error. */
    void (*ferr)(void *opaque);
    void *ferr_opaque;
    uint8_t ignne;
    /* What its physical addresses mean while `smm` is set: bp_cpu_space() with SMRAM shown. One for all
     * processors of the machine; borrowed, set by the board before the machine runs, constant then. NULL: there is
     * no system management mode, an SMI has no effect. It may change when the other one does not. I/O ports are the
     * same in both. Accesses in SMM that end
     * in a device's callback carry BP_ACCESS_SECURE. */
    struct bp_space *smm_space;
    struct bp_cpu *cpu;
};

/* The bits that XCR0 may have; 0: there is no XSAVE. */
static inline uint64_t bp_x86_xcr0_valid(const struct bp_x86_cpu *x)
{
    uint64_t bits = BP_X86_XS_X87 | BP_X86_XS_SSE;

    if (!(x->features[BP_X86_FW_1_ECX] >> 26 & 1))
        return 0;
    if (x->features[BP_X86_FW_1_ECX] >> 28 & 1)
        bits |= BP_X86_XS_AVX;
    if (x->features[BP_X86_FW_7_EBX] >> 16 & 1)
        bits |= BP_X86_XS_OPMASK | BP_X86_XS_ZMM_HIGH | BP_X86_XS_ZMM_16_31;
    if (x->features[BP_X86_FW_7_ECX] >> 3 & 1)
        bits |= BP_X86_XS_PKRU;
    return bits;
}

/* Raises requests and wakes the vCPU; lowers BP_X86_INT_HARD. Inline so that every user shares it.
 * [any] */
static inline void bp_x86_interrupt(struct bp_x86_cpu *x, uint32_t bits)
{
    __atomic_fetch_or(&x->interrupts, bits, __ATOMIC_SEQ_CST);
    bp_cpu_kick(x->cpu);
}
static inline void bp_x86_uninterrupt(struct bp_x86_cpu *x, uint32_t bits)
{
    __atomic_fetch_and(&x->interrupts, ~bits, __ATOMIC_SEQ_CST);
}
/* Guest TSC in ticks of tsc_hz, from the virtual clock. [any] */
static inline uint64_t bp_x86_tsc(const struct bp_x86_cpu *x)
{
    uint64_t ns = (uint64_t)bp_virtual_ns(bp_cpu_machine(x->cpu));
    uint64_t seconds = ns / 1000000000u, rest = ns % 1000000000u;

    return seconds * x->tsc_hz + rest * x->tsc_hz / 1000000000u + x->tsc_offset;
}

/*
 * apic/1: message delivery between local APICs, I/O APIC and MSI. Offered by the local APIC's
 * module. Messages may be sent on any thread, with or without the machine lock; what they reach
 * takes leaf locks only. The rest is [main] under the machine lock, while the board is made.
 */
/* What a message says once it has been remapped. */
struct bp_apic_message {
    uint32_t dest;
    bool logical, level;
    uint8_t delivery, vector; /* as of deliver() */
    bool wide; /* `dest` has 32 bits, of which all ones are everybody; else 8, and 0xff is every xAPIC */
};

struct bp_apic_interface {
    uint32_t size;
    /* The bus that local APICs share: device "apic-bus", which stands at 0xfee00000 in memory. */
    int (*new_bus)(struct bp_machine *machine, struct bp_device **ret_bus, struct bp_error *err);
    /* Makes the local APIC of a processor (device "apic"; inputs "lint" 0 and 1) and connects
     * both. */
    int (*attach)(struct bp_device *bus, struct bp_cpu *cpu, struct bp_device **ret_apic,
                  struct bp_error *err);
    /* As firmware leaves the first processor's: enabled, LINT0 takes the 8259 pair's interrupts,
     * LINT1 NMI. For boards that start a kernel without firmware, after reset. */
    void (*virtual_wire)(struct bp_device *apic);
    /* As in the I/O APIC's redirection entry and MSI: delivery 0 fixed, 1 lowest priority, 2 SMI,
     * 4 NMI, 5 INIT, 7 ExtINT. [any] */
    void (*deliver)(struct bp_device *bus, uint32_t dest, bool logical, unsigned delivery,
                    uint8_t vector, bool level);
    /* Writes that MSIs make (address 0xfeexxxxx). [any] */
    void (*msi)(struct bp_device *bus, uint64_t address, uint32_t data);
    /* fn hears of EOIs of level-triggered vectors, on any thread without locks; it may send
     * messages. For as long as the machine. */
    int (*on_eoi)(struct bp_device *bus, void (*fn)(void *opaque, uint8_t vector), void *opaque,
                  struct bp_error *err);
    /* Where LINT0 in ExtINT mode gets its vector: the 8259 pair's acknowledge cycle, called
     * [vcpu] under the machine lock. */
    void (*set_extint)(struct bp_device *bus, int (*acknowledge)(void *opaque), void *opaque);
    /* What I/O APICs send goes through `fn` first (NULL: no more): it changes *message, or gives false: blocked. It is
     * called under the I/O APIC's lock and takes but leaves. `entry` is of the redirection table. [main], before the
     * machine runs */
    void (*set_remapper)(struct bp_device *bus,
                         bool (*fn)(void *opaque, uint64_t entry, struct bp_apic_message *message), void *opaque);
    /* For I/O APICs: does so; true where nobody remaps. [any] */
    bool (*remap)(struct bp_device *bus, uint64_t entry, struct bp_apic_message *message);
    bool (*has_remapper)(struct bp_device *bus);
    /* For I/O APICs: what this pin, level-triggered, sends from now on. Where the accelerator has local APICs it must
     * know before. [any] */
    void (*pin)(struct bp_device *bus, unsigned pin, const struct bp_apic_message *message);
    /* The processor leaves, and its local APIC with it. No processor runs. [main] */
    void (*detach)(struct bp_device *bus, struct bp_cpu *cpu);
    /* As deliver(), which has 8 bits of destination; since minor 4. [any] */
    void (*send)(struct bp_device *bus, const struct bp_apic_message *message);
};

/* ioapic/1: device "ioapic" (inputs "irq" 0..23). */
struct bp_ioapic_image {
    uint64_t entry[24];
    uint32_t lines; /* bit n: the level of pin n */
    uint32_t id;
    uint8_t select;
};
struct bp_ioapic_interface {
    uint32_t size;
    /* Where its messages go. Once, before the machine runs. [main] */
    int (*connect)(struct bp_device *ioapic, struct bp_device *apic_bus, struct bp_error *err);
    /* Devices of type "kvm-ioapic" only: who has it. The keeper's image is struct bp_ioapic_image. Once. [main] */
    int (*lend)(struct bp_device *ioapic, const struct bp_chip_keeper *keeper, struct bp_error *err);
    void *reserved[3];
};

BP_END_DECLS

#endif
