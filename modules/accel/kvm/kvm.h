/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The accelerator `kvm`: Linux's virtual machine interface (Documentation/virt/kvm/api, <linux/kvm.h>). Private to
 * the module.
 *
 * A vCPU's registers live in the kernel while it runs, and in bp_x86_cpu when somebody else looks at them or wrote
 * to them: `fresh` and `changed` say where the truth is. What the hardware cannot do (system management mode, a
 * masked A20, an instruction that KVM gives up on) the interpreter does, from bp_x86_cpu on: soft.c.
 */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include "machine.h"
#include "vcpu.h"
#include <bp/command.h>
#include <bp/error.h>
#include <bp/exact/debug.h>
#include <bp/exact/memory.h>
#include <bp/chip/i8259.h>
#include <bp/chip/pit.h>
#include <bp/exact/x86.h>
#include <bp/exact/x86-topology.h>
#include <bp/memory.h>
#include <linux/kvm.h>
#include <pthread.h>

#define KVM_COMPONENTS 10u /* of XSAVE, that bp_x86_cpu has */
#define KVM_MSRS_MAX 128u
#define KVM_PINS 24u /* of the I/O APIC */
#define KVM_PIC_GSI 32u /* numbers of pins that belong to one controller alone */
#define KVM_IOAPIC_GSI 64u

enum { IRQCHIP_AUTO, IRQCHIP_ON, IRQCHIP_OFF, IRQCHIP_SPLIT };
enum { NOTIFY_RUN, NOTIFY_ERROR, NOTIFY_DISABLE };

struct kvm_vcpu;

/* What is counted here, beside what the kernel counts: of the machine, and of a vCPU why it left the guest. */
enum { KVM_COUNT_BELLS, KVM_COUNT_IRQFDS, KVM_COUNT_MESSAGES, KVM_COUNT_COALESCED, KVM_COUNTS };
enum { KVM_LEFT_IO, KVM_LEFT_MMIO, KVM_LEFT_MSR, KVM_LEFTS };

/* A vCPU whose processor has left: the kernel keeps it as long as the machine, and makes no other with its number. */
struct kvm_parked {
    struct kvm_parked *next;
    uint32_t id;
    int fd;
    struct kvm_cpuid2 *cpuid; /* as it was given */
};

union kvm_chip_image {
    struct bp_i8259_image pic;
    struct bp_ioapic_image ioapic;
    struct bp_pit_image pit;
};

/* An interrupt controller or timer of the kernel's, and the device that stands for it. Machine lock, but the lines. */
struct kvm_chip {
    struct bp_chip_keeper keeper;
    const struct bp_chip_seat *seat; /* NULL: no device */
    void *seat_opaque;
    bool known;                /* the kernel has what `last` says */
    union kvm_chip_image last;
    uint32_t lines;            /* as the kernel was told; atomic */
};

/* A piece of guest memory that the kernel knows. */
struct kvm_slot {
    uint64_t start, length, offset; /* guest address, bytes, offset in the region */
    uint8_t *host;
    struct bp_region *region; /* alive as long as the slot is */
    uint32_t flags;           /* KVM_MEM_* */
    uint32_t number;
    bool keep;                /* while the map changes: it stays */
};

struct kvm_machine {
    /* properties */
    char *device;
    int irqchip, notify;
    uint32_t notify_window, dirty_ring;
    uint64_t shadow_mem;
    uint8_t cpu_pm;
    uint32_t pm_exits; /* KVM_X86_DISABLE_EXITS_* that were switched off for it */

    int fd, vm;
    int stats; /* what is counted of it; -1: nothing */
    uint64_t counts[KVM_COUNTS]; /* atomic */
    long run_size; /* bytes of a vCPU's kvm_run mapping */
    struct bp_accel *accel;
    struct kvm_cpuid2 *supported;
    uint16_t component_offset[KVM_COMPONENTS]; /* of XSAVE's standard form on this processor */
    uint16_t component_size[KVM_COMPONENTS];
    uint64_t components; /* that KVM saves */

    struct code_map *map; /* what the interpreter decoded */

    /* What pins of the I/O APIC send, with local APICs in the kernel; address 0: never said. And messages that come by
     * descriptors: routes.c */
    pthread_mutex_t pins_lock;
    struct kvm_message *messages;
    unsigned message_count, message_room, messages_most; /* 0: none can be */
    bool messages_here; /* the main loop looks for them */
    struct {
        uint64_t address;
        uint32_t data;
    } pin[KVM_PINS];

    /* kernel-irqchip=on: under the machine lock */
    struct kvm_chip chip[BP_X86_CHIP_COUNT];
    bool running, listens, late_again;
    bool chips_away;      /* the kernel has them */
    unsigned debug_soft;  /* vCPUs whose debugger wants the interpreter */
    bool wide_ids;        /* of local APICs: 32 bits */
    bool lapics_here;     /* the devices work, not the kernel's local APICs */

    /* memory: under the machine lock */
    struct bp_space *space; /* NULL: no vCPU yet */
    struct kvm_slot *slots, *next; /* of `count`; those to come */
    unsigned count, next_count, room, slots_max;
    uint64_t *used; /* bit per slot number */
    struct bp_space *io;
    struct kvm_bell *bells; /* that the kernel has: bells.c */
    unsigned bell_count, bell_room, bells_most;
    bool bells_any_length;
    bool coalesces; /* the kernel keeps writes back */
    bool filters;   /* it leaves MSRs to us */
    unsigned cpus;  /* made */
    struct kvm_parked *parked;
    struct kvm_vcpu *first;

    /* The gate: while it is closed nobody runs guest code, and the map can change. */
    pthread_mutex_t gate;
    pthread_cond_t opened, idle;
    unsigned inside;
    bool closed;
};

struct kvm_vcpu {
    struct kvm_machine *m;
    struct bp_cpu *cpu;
    struct bp_x86_cpu *x;
    struct kvm_vcpu *next;
    int fd, stats;
    uint64_t lefts[KVM_LEFTS]; /* atomic */
    struct kvm_run *run;
    struct kvm_dirty_gfn *ring; /* NULL: bitmaps */
    struct kvm_coalesced_mmio_ring *coalesced; /* the machine's; NULL: there is none */
    uint32_t ring_at;           /* the next entry; machine lock */
    bool fresh;      /* bp_x86_cpu has the registers */
    bool changed;    /* and the kernel has others: they go there before it runs */
    bool unfinished; /* an access was answered; the kernel ends the instruction when it runs next */
    bool can_inject; /* an interrupt can be delivered now */
    bool bound;      /* the thread takes the signal */
    uint32_t inside; /* atomic: in KVM_RUN, or about to be */
    int tid;
    struct bp_x86_lapic_image lapic; /* as the kernel had it, while lapic_known */
    bool lapic_known;
    uint64_t apic_base, tsc_offset; /* as the kernel had them last */
    uint8_t cr8;
    struct kvm_xsave *xsave;
    struct kvm_cpuid2 *cpuid; /* as the kernel was given it */
    struct vcpu *soft; /* the interpreter's; NULL until it is needed */
    struct vcpu *aside; /* likewise, for MSRs */
    bool hears_smm;
    uint32_t refused[KVM_MSRS_MAX]; /* MSRs that it does not have */
    unsigned refused_count;
    const struct bp_debug *debug; /* NULL: no debugger */
    bool debug_soft; /* the interpreter serves it */
    bool dead;       /* a triple fault, until the reset */
    bool told;       /* the story of one */
};

struct cpu_kvm {
    struct kvm_vcpu *c;
};

static inline struct kvm_vcpu *kvm_of(struct bp_cpu *cpu)
{
    return ((struct cpu_kvm *)bp_cpu_accel_state(cpu))->c;
}

static inline void kvm_count(uint64_t *count, int64_t more)
{
    __atomic_fetch_add(count, (uint64_t)more, __ATOMIC_RELAXED);
}

/* ---- open.c: the device, the virtual machine, what the kernel can do ---- */
int kvm_open(struct kvm_machine *m, struct bp_error *err);
void kvm_close(struct kvm_machine *m);
void kvm_features(const struct kvm_machine *m, uint32_t *words, unsigned count);
int kvm_give_cpuid(struct kvm_vcpu *c, struct bp_error *err);
int kvm_cap(const struct kvm_machine *m, unsigned cap);
/* ---- tune.c: what is switched on before there are vCPUs ---- */
int kvm_tune(struct kvm_machine *m, struct bp_error *err);

/* ---- stats.c: what the kernel counts ---- */
extern const struct bp_command kvm_query_stats, kvm_query_schemas;
extern const struct bp_hmp_command kvm_info_stats;
void kvm_stats_begin(struct kvm_machine *m); /* NULL: it goes */
int kvm_stats_open(int fd);                  /* of a machine or a vCPU that does not run; -1: it has none */

/* ---- slots.c: memory ---- */
int kvm_memory_begin(struct kvm_machine *m, struct bp_space *space, struct bp_space *io, struct bp_error *err);
void kvm_memory_end(struct kvm_machine *m);
/* Around KVM_RUN. The gate may be closed by whoever changes the map: [vcpu] without locks */
void kvm_gate_enter(struct kvm_vcpu *c);
void kvm_gate_leave(struct kvm_vcpu *c);

/* ---- bells.c: doorbells; a section of memory, or of ports, and what it has ---- */
void kvm_bells_begin(struct kvm_machine *m, struct bp_space *io);
void kvm_bells_end(struct kvm_machine *m);
/* The section is there, or what bells it has changed. */
void kvm_bells_added(struct kvm_machine *m, bool port, const struct bp_section *section);
void kvm_bells_removed(struct kvm_machine *m, bool port, const struct bp_section *section);

/* ---- coalesced.c: writes that may be late ---- */
void kvm_coalesced_map(struct kvm_vcpu *c);
void kvm_coalesced_added(const struct kvm_machine *m, const struct bp_section *section);
void kvm_coalesced_removed(const struct kvm_machine *m, const struct bp_section *section);
void kvm_coalesced_take(struct kvm_vcpu *c); /* they have reached their devices; NULL is fine. [any] */

/* ---- ring.c: pages that were written, as lists ---- */
int kvm_ring_open(struct kvm_machine *m, struct bp_error *err);
int kvm_ring_map(struct kvm_vcpu *c, struct bp_error *err);
void kvm_ring_unmap(struct kvm_vcpu *c);
void kvm_ring_empty(struct kvm_machine *m); /* under the machine lock */

/* ---- state.c: registers ---- */
int kvm_get_state(struct kvm_vcpu *c);
int kvm_put_state(struct kvm_vcpu *c);
void kvm_sync(struct kvm_vcpu *c); /* bp_x86_cpu is true afterwards */
void kvm_port_registers(const struct kvm_vcpu *c, bool back);
/* ---- msr.c ---- */
int kvm_get_msrs(struct kvm_vcpu *c);
int kvm_put_msrs(struct kvm_vcpu *c);
bool kvm_msr_is_state(uint32_t index); /* is it one of those? */
/* ---- msr-exits.c: those that are not the kernel's ---- */
void kvm_msr_filter(struct kvm_machine *m, const struct bp_x86_cpu *x);
void kvm_access_msr(struct kvm_vcpu *c, bool write);

/* ---- chips.c: the other interrupt controllers, and the timer ---- */
bool kvm_has_chips(const struct kvm_machine *m);
int kvm_chips_open(struct kvm_machine *m, struct bp_error *err);
const struct bp_chip_keeper *kvm_keeper(struct bp_x86_cpu *x, enum bp_x86_chip chip);
void kvm_chips_move(struct kvm_machine *m); /* to whom they belong now; machine lock */

/* ---- routes.c: numbers of interrupts, messages by descriptors; [any] ---- */
void kvm_routes_open(struct kvm_machine *m);
void kvm_routes_close(struct kvm_machine *m);
int kvm_routes_set(struct kvm_machine *m);
int kvm_route_pin(struct kvm_machine *m, unsigned pin, uint64_t address, uint32_t data);
int kvm_message_fd(struct bp_accel *accel, int fd, uint64_t address, uint32_t data);
void kvm_message_fd_end(struct bp_accel *accel, int fd);
void kvm_messages_move(struct kvm_machine *m, bool here);

/* ---- lapic.c: local APICs in the kernel ---- */
const struct bp_x86_lapic_ops *kvm_lapic_ops(const struct kvm_machine *m);
/* Before the first processor: what APIC ids up to `last` need. */
int kvm_lapic_widen(struct kvm_machine *m, uint32_t last, struct bp_error *err);
int kvm_lapic_open(struct kvm_machine *m, struct bp_error *err);
int kvm_get_lapic(struct kvm_vcpu *c);
int kvm_put_lapic(struct kvm_vcpu *c);
/* The devices' local APICs (and other controllers) work from now on, or the kernel's again. Machine lock; no other
 * vCPU runs guest code. */
void kvm_lapics_move(struct kvm_machine *m, bool here);

/* ---- run.c ---- */
enum bp_cpu_exit kvm_exec(struct kvm_vcpu *c);
void kvm_kick(struct kvm_vcpu *c);
int kvm_catch_signal(struct bp_error *err);

/* ---- debug.c ---- */
void kvm_set_debug(struct kvm_vcpu *c, const struct bp_debug *debug);
int kvm_debug_exit(struct kvm_vcpu *c); /* of KVM_EXIT_DEBUG: enum bp_cpu_exit */
enum bp_cpu_exit kvm_soft_debug(struct kvm_vcpu *c);

/* ---- soft.c: the interpreter in the hardware's place ---- */
/* Registers are in bp_x86_cpu, and are changed there. */
struct vcpu *kvm_soft(struct kvm_vcpu *c); /* NULL: no memory, which was told */
struct vcpu *kvm_soft_aside(struct kvm_vcpu *c); /* NULL: no memory. For MSRs alone: registers may be the kernel's */
enum bp_cpu_exit kvm_soft_step(struct kvm_vcpu *c); /* one instruction or delivery, or what was requested */
enum bp_cpu_exit kvm_soft_run(struct kvm_vcpu *c);  /* while the hardware cannot */
void kvm_soft_interrupt(struct kvm_vcpu *c, uint8_t vector); /* delivers one that was acknowledged */
void kvm_soft_story(struct kvm_vcpu *c); /* of a triple fault */
void kvm_soft_end(struct kvm_vcpu *c);
static inline bool kvm_needs_soft(const struct bp_x86_cpu *x)
{
    return x->smm || x->a20_masked;
}

#endif
