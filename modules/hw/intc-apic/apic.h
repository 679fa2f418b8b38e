/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local APIC and the bus between local APICs: their state and what the files of this module
 * share.
 *
 * Locks: `lapic.lock` is a leaf that guards everything of a local APIC that changes; under it only
 * clocks, timers and bp_cpu_kick() are called. Senders on any thread look at `base`, `id`, `ldr`,
 * `dfr` and `tpr` without it, so that these are written with atomic stores. What goes on to others
 * (messages, EOIs, the 8259 pair's acknowledge cycle) happens after it was released. Only the
 * 8259's cycle and moving the register page need the machine lock; it comes before this one.
 */
#ifndef INTC_APIC_H
#define INTC_APIC_H

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/device.h>
#include <bp/exact/x86.h>
#include <pthread.h>

#define APIC_DEFAULT_BASE 0xfee00000u
#define APIC_MAX 4096u

#define BASE_BSP (1u << 8)
#define BASE_X2APIC (1u << 10)
#define BASE_ENABLE (1u << 11)
#define SVR_ENABLE (1u << 8)
#define SVR_NO_EOI_BROADCAST (1u << 12)
#define LVT_MASKED (1u << 16)
#define LVT_REMOTE_IRR (1u << 14)
#define ESR_SEND_ILLEGAL (1u << 5)
#define ESR_RECEIVE_ILLEGAL (1u << 6)
#define ESR_REGISTER (1u << 7)

/* Delivery modes (SDM volume 3, figure 11-12 and the I/O APIC's redirection table). */
enum {
    DELIVER_FIXED = 0,
    DELIVER_LOWEST = 1,
    DELIVER_SMI = 2,
    DELIVER_NMI = 4,
    DELIVER_INIT = 5,
    DELIVER_STARTUP = 6,
    DELIVER_EXTINT = 7,
};

enum { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* x2APIC indices of registers: MMIO offset >> 4. */
enum {
    REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a,
    REG_EOI = 0x0b, REG_RRD = 0x0c, REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f,
    REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_CMCI = 0x2f,
    REG_ICR_LOW = 0x30, REG_ICR_HIGH = 0x31, REG_LVT_TIMER = 0x32, REG_LVT_ERROR = 0x37,
    REG_INITIAL = 0x38, REG_CURRENT = 0x39, REG_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
};

struct eoi_listener {
    void (*fn)(void *opaque, uint8_t vector);
    void *opaque;
};

/* Device "apic-bus". Listeners are added while the board is made and go with the machine; members come and go as
 * processors do: whoever looks for others than the first does so between bp_cpus_hold() and its end. */
struct apic_bus {
    struct lapic *member[APIC_MAX]; /* atomic; NULL: it has gone */
    unsigned members;               /* atomic; entries that were ever used */
    struct bp_region *page;         /* the register page */
    struct bp_device *dev;
    int (*extint)(void *opaque);
    void *extint_opaque;
    struct eoi_listener eoi[8];
    bool (*remapper)(void *opaque, uint64_t entry, struct bp_apic_message *message); /* or NULL */
    void *remapper_opaque;
};

struct lapic {
    pthread_mutex_t lock;
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t id;   /* x2APIC's 32 bits. xAPIC: a plain number, whose lowest 8 bits the ID register shows; it keeps the
                    * rest until software writes there, so that a processor beyond 254 can be started by its id */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
    uint32_t irr[8], isr[8], tmr[8];
    uint32_t icr_low, icr_high;
    uint32_t lvt[LVT_COUNT];
    uint32_t initial_count, divide;
    int64_t count_start_ns; /* virtual time at which the initial count was written */
    int64_t expiry_ns;      /* when the timer fires; -1: it does not */
    uint64_t tsc_deadline;
    uint8_t lint_level[2];
    uint8_t extint_message; /* an ExtINT message came and was not acknowledged */

    struct bp_timer *timer;
    struct bp_device *dev;
    struct bp_x86_cpu *cpu;
    struct apic_bus *bus;
};

static inline void lapic_lock(struct lapic *s)
{
    pthread_mutex_lock(&s->lock);
}

static inline void lapic_unlock(struct lapic *s)
{
    pthread_mutex_unlock(&s->lock);
}

/* Of what senders look at: the lock's holder writes, anybody reads. */
#define LAPIC_SET(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)
#define LAPIC_GET(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static inline bool lapic_x2apic(const struct lapic *s)
{
    return LAPIC_GET(s->base) & BASE_X2APIC;
}

/* ---- lapic.c: interrupts in and out; lock held ---- */
void lapic_update(struct lapic *s);
void lapic_fire_lvt(struct lapic *s, unsigned n);
void lapic_report_error(struct lapic *s, uint32_t bit);
uint32_t lapic_ppr(const struct lapic *s);
/* Ends the interrupt in service; the vector whose end others shall hear of, or -1. */
int lapic_end_of_interrupt(struct lapic *s);
/* As after power-up, or INIT, which leaves IDs and base. */
void lapic_reset_state(struct lapic *s, bool init);
/* A message arrives. [any] without the lock */
void lapic_accept(struct lapic *s, unsigned delivery, uint8_t vector, bool level);
void lapic_accept_locked(struct lapic *s, unsigned delivery, uint8_t vector, bool level);

/* ---- registers.c ---- */
/* The register file, by x2APIC index. -EINVAL: reserved. [any] without the lock */
int lapic_read_reg(struct lapic *s, unsigned index, uint64_t *ret_value);
/* ICR_LOW in x2APIC mode takes 64 bits. */
int lapic_write_reg(struct lapic *s, unsigned index, uint64_t value);

/* ---- kernel.c: the accelerator has the local APICs ---- */
void lapic_get_image(void *opaque, struct bp_x86_lapic_image *image);
void lapic_set_image(void *opaque, const struct bp_x86_lapic_image *image);
void lapic_eoi(void *opaque, uint8_t vector);
void lapic_fetch(struct bp_cpu *cpu, void *opaque);
void lapic_lint1_edge(struct lapic *s);
/* False: it has none. [any] */
bool apic_message(const struct apic_bus *bus, const struct bp_apic_message *m);
void apic_pin(const struct apic_bus *bus, unsigned pin, const struct bp_apic_message *m);

/* ---- timer.c; lock held but for the timer's own call ---- */
void lapic_timer_fire(void *opaque);
void lapic_timer_start(struct lapic *s);
void lapic_timer_stop(struct lapic *s);
uint32_t lapic_timer_current(struct lapic *s);
void lapic_set_tsc_deadline(struct lapic *s, uint64_t value);
/* It stands there, and would fire so; counts are set already. */
void lapic_timer_take(struct lapic *s, uint32_t current, uint64_t tsc_deadline);

/* ---- deliver.c: messages. [any] without locks of this module ---- */
struct lapic *apic_member(const struct apic_bus *bus, unsigned index); /* NULL: none */
unsigned apic_members(const struct apic_bus *bus);
void apic_deliver(struct apic_bus *bus, const struct bp_apic_message *m);
void apic_send_ipi(struct lapic *source, uint32_t low, uint32_t high);
void apic_msi(struct apic_bus *bus, uint64_t address, uint32_t data);
void apic_broadcast_eoi(struct apic_bus *bus, uint8_t vector);

extern const struct bp_device_class lapic_class, kvm_lapic_class;
struct lapic *lapic_of(struct bp_device *dev);

/* Monitor: info lapic [index] */
extern const struct bp_field lapic_info_args[];
void lapic_info(struct bp_monitor *mon, struct bp_value *args);

#endif
