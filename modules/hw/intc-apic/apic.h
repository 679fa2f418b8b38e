/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The local APIC: its state and what the files of this module share. Under the machine lock. */
#ifndef INTC_APIC_H
#define INTC_APIC_H

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/device.h>
#include <bp/exact/x86.h>

#define APIC_DEFAULT_BASE 0xfee00000u

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

struct eoi_listener {
    void (*fn)(void *opaque, uint8_t vector);
    void *opaque;
};

struct lapic {
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t id;   /* xAPIC: bits 31-24 of the ID register, as a plain number; x2APIC: 32 bits */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
    uint32_t irr[8], isr[8], tmr[8];
    uint32_t icr_low, icr_high;
    uint32_t lvt[LVT_COUNT];
    uint32_t initial_count, divide;
    int64_t count_start_ns; /* virtual time at which the initial count was written */
    uint64_t tsc_deadline;
    uint8_t lint_level[2];

    struct bp_timer *timer;
    struct bp_device *dev;
    struct bp_x86_cpu *cpu;
    /* Shared by all local APICs, kept in the first processor's. */
    struct bp_region *mmio;
    int (*extint)(void *opaque);
    void *extint_opaque;
    struct eoi_listener eoi[8];
};

/* The local APIC of processor `index`, or NULL. */
struct lapic *lapic_of_index(struct bp_machine *machine, unsigned index);
static inline struct bp_machine *lapic_machine(const struct lapic *s)
{
    return bp_device_machine(s->dev);
}
void lapic_accept(struct lapic *s, unsigned delivery, uint8_t vector, bool level);
void lapic_update(struct lapic *s);

/* Register file, by x2APIC index (MMIO offset >> 4). -EINVAL: reserved. */
int lapic_read_reg(struct lapic *s, unsigned index, uint32_t *ret_value);
int lapic_write_reg(struct lapic *s, unsigned index, uint32_t value);
bool lapic_x2apic(const struct lapic *s);

/* Timer */
void lapic_timer_fire(void *opaque);
void lapic_timer_start(struct lapic *s);
uint32_t lapic_timer_current(struct lapic *s);
void lapic_set_tsc_deadline(struct lapic *s, uint64_t value);

/* Messages: `source` is the sender for "self" and "all but self", else NULL. */
void apic_deliver(struct bp_machine *machine, uint32_t dest, bool logical, unsigned delivery,
                  uint8_t vector, bool level);
void apic_send_ipi(struct lapic *source);
void apic_msi(struct bp_machine *machine, uint64_t address, uint32_t data);
void apic_broadcast_eoi(struct bp_machine *machine, uint8_t vector);
void apic_on_eoi(struct bp_device *dev, void (*fn)(void *opaque, uint8_t vector), void *opaque);

/* Monitor: info lapic [index] */
extern const struct bp_field lapic_info_args[];
void lapic_info(struct bp_monitor *mon, struct bp_value *args);

#endif
