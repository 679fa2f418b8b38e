/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local APIC, xAPIC and x2APIC. Intel SDM volume 3, chapter 11. Not here: CMCI delivery, the
 * thermal and performance counter sources (their LVT entries are kept and never fire).
 */
#include "apic.h"

#include <bp/log.h>
#include <bp/loop.h>
#include <errno.h>

#define BASE_BSP (1u << 8)
#define BASE_X2APIC (1u << 10)
#define BASE_ENABLE (1u << 11)
#define SVR_ENABLE (1u << 8)
#define SVR_NO_EOI_BROADCAST (1u << 12)
#define LVT_MASKED (1u << 16)
#define LVT_LEVEL (1u << 15)
#define LVT_REMOTE_IRR (1u << 14)
#define LVT_PENDING (1u << 12)
#define ESR_SEND_ILLEGAL (1u << 5)
#define ESR_RECEIVE_ILLEGAL (1u << 6)
#define ESR_REGISTER (1u << 7)
#define VERSION 0x01050014u /* six LVT entries, EOI broadcast suppression, version 0x14 */

static void set_bit(uint32_t *map, unsigned n)
{
    map[n >> 5] |= 1u << (n & 31);
}

static void clear_bit(uint32_t *map, unsigned n)
{
    map[n >> 5] &= ~(1u << (n & 31));
}

static bool test_bit(const uint32_t *map, unsigned n)
{
    return map[n >> 5] >> (n & 31) & 1;
}

static int highest_bit(const uint32_t *map)
{
    for (int i = 7; i >= 0; i--) {
        if (map[i])
            return i * 32 + 31 - __builtin_clz(map[i]);
    }
    return -1;
}

bool lapic_x2apic(const struct lapic *s)
{
    return s->base & BASE_X2APIC;
}

struct lapic *lapic_of_index(struct bp_machine *machine, unsigned index)
{
    struct bp_cpu *cpu = bp_machine_cpu(machine, index);

    return cpu ? ((struct bp_x86_cpu *)bp_cpu_state(cpu))->apic_opaque : NULL;
}

/* Processor priority (SDM 11.8.3.1). */
static uint32_t ppr(const struct lapic *s)
{
    int isr = highest_bit(s->isr);
    uint32_t in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

    return (s->tpr & 0xf0) >= in_service ? s->tpr : in_service;
}

/* The vector that would be delivered now, or -1. */
static int deliverable(const struct lapic *s)
{
    int irr = highest_bit(s->irr);

    if (irr < 0 || !(s->svr & SVR_ENABLE) || ((uint32_t)irr & 0xf0) <= (ppr(s) & 0xf0))
        return -1;
    return irr;
}

/* Does the 8259 pair's output reach this processor? Through LINT0 in ExtINT mode, or directly while
 * the APIC is switched off. */
static bool extint_pending(const struct lapic *s)
{
    if (!s->lint_level[0])
        return false;
    if (!(s->base & BASE_ENABLE))
        return s->cpu->is_bsp;
    return !(s->lvt[LVT_LINT0] & LVT_MASKED) &&
           (s->lvt[LVT_LINT0] >> 8 & 7) == DELIVER_EXTINT;
}

void lapic_update(struct lapic *s)
{
    if (deliverable(s) >= 0 || extint_pending(s))
        bp_x86_interrupt(s->cpu, BP_X86_INT_HARD);
    else
        bp_x86_uninterrupt(s->cpu, BP_X86_INT_HARD);
}

static void fire_lvt(struct lapic *s, unsigned n);

static void report_error(struct lapic *s, uint32_t bit)
{
    s->esr_pending |= bit;
    fire_lvt(s, LVT_ERROR);
}

void lapic_accept(struct lapic *s, unsigned delivery, uint8_t vector, bool level)
{
    switch (delivery) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (!(s->base & BASE_ENABLE))
            return;
        if (vector < 16) {
            report_error(s, ESR_RECEIVE_ILLEGAL);
            return;
        }
        if (!(s->svr & SVR_ENABLE))
            return;
        set_bit(s->irr, vector);
        if (level)
            set_bit(s->tmr, vector);
        else
            clear_bit(s->tmr, vector);
        lapic_update(s);
        break;
    case DELIVER_SMI:
        bp_x86_interrupt(s->cpu, BP_X86_INT_SMI);
        break;
    case DELIVER_NMI:
        bp_x86_interrupt(s->cpu, BP_X86_INT_NMI);
        break;
    case DELIVER_INIT:
        bp_x86_interrupt(s->cpu, BP_X86_INT_INIT);
        break;
    case DELIVER_STARTUP:
        __atomic_store_n(&s->cpu->sipi_vector, vector, __ATOMIC_SEQ_CST);
        bp_x86_interrupt(s->cpu, BP_X86_INT_SIPI);
        break;
    case DELIVER_EXTINT:
        /* The vector comes from the 8259 pair when the processor acknowledges. */
        s->lint_level[0] = 1;
        lapic_update(s);
        break;
    default:
        bp_guest_error("apic-delivery", "APIC message with reserved delivery mode %u", delivery);
    }
}

/* A local source fires: its LVT entry says what that means. */
static void fire_lvt(struct lapic *s, unsigned n)
{
    uint32_t lvt = s->lvt[n];

    if (lvt & LVT_MASKED)
        return;
    unsigned delivery = n == LVT_TIMER || n == LVT_ERROR ? DELIVER_FIXED : lvt >> 8 & 7;
    if (n == LVT_ERROR && (lvt & 0xff) < 16)
        return; /* an error while reporting an error goes nowhere */
    lapic_accept(s, delivery, (uint8_t)lvt, false);
}

/* ---- timer (SDM 11.5.4) ---- */

static unsigned divide_shift(const struct lapic *s)
{
    unsigned code = (s->divide & 3) | (s->divide >> 1 & 4);

    return (code + 1) & 7;
}

/* The timer's clock is 1 GHz, so that one undivided tick is a nanosecond. */
void lapic_timer_start(struct lapic *s)
{
    s->count_start_ns = bp_clock_ns(BP_CLOCK_VIRTUAL);
    bp_timer_cancel(s->timer);
    if ((s->lvt[LVT_TIMER] >> 17 & 3) == 2 || s->initial_count == 0)
        return;
    bp_timer_set(s->timer, s->count_start_ns + ((int64_t)s->initial_count << divide_shift(s)));
}

uint32_t lapic_timer_current(struct lapic *s)
{
    if (s->initial_count == 0 || (s->lvt[LVT_TIMER] >> 17 & 3) == 2)
        return 0;
    uint64_t passed =
        (uint64_t)(bp_clock_ns(BP_CLOCK_VIRTUAL) - s->count_start_ns) >> divide_shift(s);
    if ((s->lvt[LVT_TIMER] >> 17 & 3) == 1)
        return s->initial_count - (uint32_t)(passed % s->initial_count);
    return passed >= s->initial_count ? 0 : s->initial_count - (uint32_t)passed;
}

void lapic_set_tsc_deadline(struct lapic *s, uint64_t value)
{
    if ((s->lvt[LVT_TIMER] >> 17 & 3) != 2)
        return; /* writes are ignored in the other modes */
    s->tsc_deadline = value;
    bp_timer_cancel(s->timer);
    if (value == 0)
        return;
    uint64_t now = bp_x86_tsc(s->cpu), hz = s->cpu->tsc_hz;
    uint64_t ticks = value > now ? value - now : 0;
    uint64_t ns = ticks / hz > 1000000000u ? (uint64_t)INT64_MAX / 2
                                           : ticks / hz * 1000000000u +
                                                 (ticks % hz * 1000000000u + hz - 1) / hz;
    bp_timer_set(s->timer, bp_clock_ns(BP_CLOCK_VIRTUAL) + (int64_t)ns);
}

void lapic_timer_fire(void *opaque)
{
    struct lapic *s = opaque;
    unsigned mode = s->lvt[LVT_TIMER] >> 17 & 3;

    if (mode == 2) {
        s->tsc_deadline = 0;
    } else if (mode == 1) {
        int64_t period = (int64_t)s->initial_count << divide_shift(s);
        int64_t now = bp_clock_ns(BP_CLOCK_VIRTUAL);

        if (period <= 0)
            return;
        /* Whole periods that were missed are dropped; the phase stays. */
        int64_t next = s->count_start_ns + ((now - s->count_start_ns) / period + 1) * period;
        bp_timer_set(s->timer, next);
    }
    fire_lvt(s, LVT_TIMER);
}

/* ---- registers ---- */

enum {
    REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a,
    REG_EOI = 0x0b, REG_RRD = 0x0c, REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f,
    REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_CMCI = 0x2f,
    REG_ICR_LOW = 0x30, REG_ICR_HIGH = 0x31, REG_LVT_TIMER = 0x32, REG_LVT_ERROR = 0x37,
    REG_INITIAL = 0x38, REG_CURRENT = 0x39, REG_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
};

int lapic_read_reg(struct lapic *s, unsigned index, uint32_t *ret_value)
{
    switch (index) {
    case REG_ID:
        *ret_value = lapic_x2apic(s) ? s->id : s->id << 24;
        return 0;
    case REG_VERSION:
        *ret_value = VERSION;
        return 0;
    case REG_TPR:
        *ret_value = s->tpr;
        return 0;
    case REG_APR:
    case REG_RRD:
        *ret_value = 0;
        return lapic_x2apic(s) ? -EINVAL : 0;
    case REG_PPR:
        *ret_value = ppr(s);
        return 0;
    case REG_EOI:
        *ret_value = 0;
        return lapic_x2apic(s) ? -EINVAL : 0;
    case REG_LDR:
        *ret_value = s->ldr;
        return 0;
    case REG_DFR:
        *ret_value = s->dfr;
        return lapic_x2apic(s) ? -EINVAL : 0;
    case REG_SVR:
        *ret_value = s->svr;
        return 0;
    case REG_ISR ... REG_ISR + 7:
        *ret_value = s->isr[index - REG_ISR];
        return 0;
    case REG_TMR ... REG_TMR + 7:
        *ret_value = s->tmr[index - REG_TMR];
        return 0;
    case REG_IRR ... REG_IRR + 7:
        *ret_value = s->irr[index - REG_IRR];
        return 0;
    case REG_ESR:
        *ret_value = s->esr;
        return 0;
    case REG_ICR_LOW:
        *ret_value = s->icr_low;
        return 0;
    case REG_ICR_HIGH:
        *ret_value = s->icr_high;
        return 0;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        *ret_value = s->lvt[LVT_TIMER + index - REG_LVT_TIMER];
        return 0;
    case REG_INITIAL:
        *ret_value = s->initial_count;
        return 0;
    case REG_CURRENT:
        *ret_value = lapic_timer_current(s);
        return 0;
    case REG_DIVIDE:
        *ret_value = s->divide;
        return 0;
    default:
        *ret_value = 0;
        report_error(s, ESR_REGISTER);
        return -EINVAL;
    }
}

static void end_of_interrupt(struct lapic *s)
{
    int vector = highest_bit(s->isr);

    if (vector < 0)
        return;
    clear_bit(s->isr, (unsigned)vector);
    if (test_bit(s->tmr, (unsigned)vector) && !(s->svr & SVR_NO_EOI_BROADCAST))
        apic_broadcast_eoi(lapic_machine(s), (uint8_t)vector);
    lapic_update(s);
}

static void write_lvt(struct lapic *s, unsigned n, uint32_t value)
{
    static const uint32_t writable[LVT_COUNT] = {
        [LVT_CMCI] = 0x107ff, [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff,
        [LVT_PERF] = 0x107ff, [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
    };
    uint32_t old = s->lvt[n];

    value &= writable[n];
    if (!(s->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    s->lvt[n] = value | (old & LVT_REMOTE_IRR);
    if (n == LVT_TIMER && ((old ^ value) >> 17 & 3)) {
        /* A change of mode between TSC deadline and the others disarms the timer. */
        bp_timer_cancel(s->timer);
        s->tsc_deadline = 0;
        if ((value >> 17 & 3) != 2 && (old >> 17 & 3) != 2)
            lapic_timer_start(s);
        else
            s->initial_count = 0;
    }
    lapic_update(s);
}

static void write_svr(struct lapic *s, uint32_t value)
{
    s->svr = value & 0x11ff;
    if (!(s->svr & SVR_ENABLE)) {
        for (unsigned i = LVT_TIMER; i < LVT_COUNT; i++)
            s->lvt[i] |= LVT_MASKED;
    }
    lapic_update(s);
}

int lapic_write_reg(struct lapic *s, unsigned index, uint32_t value)
{
    bool x2 = lapic_x2apic(s);

    switch (index) {
    case REG_ID:
        if (x2)
            return -EINVAL;
        s->id = value >> 24;
        return 0;
    case REG_TPR:
        s->tpr = value & 0xff;
        lapic_update(s);
        return 0;
    case REG_EOI:
        if (x2 && value)
            return -EINVAL;
        end_of_interrupt(s);
        return 0;
    case REG_LDR:
        if (x2)
            return -EINVAL;
        s->ldr = value & 0xff000000u;
        return 0;
    case REG_DFR:
        if (x2)
            return -EINVAL;
        s->dfr = value | 0x0fffffffu;
        return 0;
    case REG_SVR:
        write_svr(s, value);
        return 0;
    case REG_ESR:
        if (x2 && value)
            return -EINVAL;
        s->esr = s->esr_pending;
        s->esr_pending = 0;
        return 0;
    case REG_ICR_LOW:
        s->icr_low = value & 0x000ccfffu;
        if ((value >> 8 & 7) <= DELIVER_LOWEST && (value & 0xff) < 16)
            report_error(s, ESR_SEND_ILLEGAL);
        else
            apic_send_ipi(s);
        return 0;
    case REG_ICR_HIGH:
        if (x2)
            return -EINVAL;
        s->icr_high = value & 0xff000000u;
        return 0;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        write_lvt(s, LVT_TIMER + index - REG_LVT_TIMER, value);
        return 0;
    case REG_INITIAL:
        if ((s->lvt[LVT_TIMER] >> 17 & 3) == 2)
            return 0;
        s->initial_count = value;
        lapic_timer_start(s);
        return 0;
    case REG_DIVIDE:
        s->divide = value & 0xb;
        lapic_timer_start(s);
        return 0;
    case REG_SELF_IPI:
        if (!x2)
            break;
        lapic_accept(s, DELIVER_FIXED, (uint8_t)value, false);
        return 0;
    case REG_VERSION:
    case REG_PPR:
    case REG_CURRENT:
    case REG_ISR ... REG_ISR + 7:
    case REG_TMR ... REG_TMR + 7:
    case REG_IRR ... REG_IRR + 7:
        return x2 ? -EINVAL : 0; /* read only */
    default:
        break;
    }
    report_error(s, ESR_REGISTER);
    return -EINVAL;
}

/* ---- memory-mapped registers: each processor sees its own at the same address; whoever is no
 * processor (a debugger, qtest) sees the first one's. Around the page, which software may move, is
 * the decoder of messages (SDM 10.11.1: 0xfee00000-0xfeefffff). ---- */

static uint64_t mmio_read(void *opaque, uint64_t addr, unsigned size)
{
    struct bp_cpu *cpu = bp_cpu_current();
    struct lapic *s = cpu ? ((struct bp_x86_cpu *)bp_cpu_state(cpu))->apic_opaque : opaque;
    uint32_t value = 0;

    (void)size;
    if ((addr & 0xf) || !(s->base & BASE_ENABLE) || lapic_x2apic(s))
        return addr & 0xf ? 0 : 0xffffffffu;
    lapic_read_reg(s, (unsigned)(addr >> 4), &value);
    return value;
}

static void mmio_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct bp_cpu *cpu = bp_cpu_current();
    struct lapic *s = opaque;

    (void)size;
    /*
     * A message to processor 0 has the page's address. No register is at 0x00-0x0f, so that this
     * tells them apart, also when a processor's own access makes a device send at once.
     */
    if (addr < 0x10 && (s->base & ~0xfffull) == APIC_DEFAULT_BASE) {
        apic_msi(lapic_machine(s), APIC_DEFAULT_BASE + addr, (uint32_t)value);
        return;
    }
    if (cpu)
        s = ((struct bp_x86_cpu *)bp_cpu_state(cpu))->apic_opaque;
    if ((addr & 0xf) || !(s->base & BASE_ENABLE) || lapic_x2apic(s))
        return;
    lapic_write_reg(s, (unsigned)(addr >> 4), (uint32_t)value);
}

static const struct bp_region_ops mmio_ops = {
    .read = mmio_read, .write = mmio_write, .min_access = 4, .max_access = 4,
};

static uint64_t message_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0xffffffffu;
}

static void message_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    apic_msi(lapic_machine(opaque), APIC_DEFAULT_BASE + addr, (uint32_t)value);
}

static const struct bp_region_ops message_ops = {
    .read = message_read, .write = message_write, .min_access = 4, .max_access = 4,
};

/* ---- what the processor calls ---- */

static int acknowledge(void *opaque)
{
    struct lapic *s = opaque;

    bp_machine_lock();
    int vector = s->base & BASE_ENABLE ? deliverable(s) : -1;
    if (vector >= 0) {
        clear_bit(s->irr, (unsigned)vector);
        set_bit(s->isr, (unsigned)vector);
    } else if (extint_pending(s)) {
        struct lapic *first = lapic_of_index(lapic_machine(s), 0);
        vector = first->extint ? first->extint(first->extint_opaque) : -1;
    }
    lapic_update(s);
    bp_machine_unlock();
    return vector;
}

static uint64_t get_base(void *opaque)
{
    return ((struct lapic *)opaque)->base;
}

static int set_base(void *opaque, uint64_t value)
{
    struct lapic *s = opaque;
    uint64_t modes = value & (BASE_ENABLE | BASE_X2APIC);
    uint64_t reserved = ~((1ull << s->cpu->phys_bits) - 1) | 0x2ff;

    if (value & reserved || modes == BASE_X2APIC)
        return -EINVAL;
    if (modes & BASE_X2APIC && !(s->cpu->features[BP_X86_FW_1_ECX] & 1u << 21))
        return -EINVAL;
    /* From x2APIC only switching off is legal (SDM 11.12.5). */
    if (lapic_x2apic(s) && modes == BASE_ENABLE)
        return -EINVAL;
    bp_machine_lock();
    bool was_x2 = lapic_x2apic(s);
    s->base = (value & ~(uint64_t)BASE_BSP) | (s->base & BASE_BSP);
    if (lapic_x2apic(s) && !was_x2) {
        s->id = s->cpu->apic_id;
        s->ldr = (s->id >> 4) << 16 | 1u << (s->id & 15);
    }
    if (s->cpu->is_bsp) {
        struct lapic *first = lapic_of_index(lapic_machine(s), 0);
        if (first && first->mmio)
            bp_region_set_address(first->mmio, value & ~0xfffull & ((1ull << s->cpu->phys_bits) - 1));
    }
    lapic_update(s);
    bp_machine_unlock();
    return 0;
}

static uint8_t get_tpr(void *opaque)
{
    return (uint8_t)(((struct lapic *)opaque)->tpr >> 4);
}

static void set_tpr(void *opaque, uint8_t value)
{
    struct lapic *s = opaque;

    bp_machine_lock();
    s->tpr = (uint32_t)value << 4;
    lapic_update(s);
    bp_machine_unlock();
}

static int read_msr(void *opaque, unsigned index, uint64_t *ret_value)
{
    struct lapic *s = opaque;
    uint32_t value;

    if (!lapic_x2apic(s) || index == REG_ICR_HIGH || index == REG_SELF_IPI)
        return -EINVAL;
    bp_machine_lock();
    int r = lapic_read_reg(s, index, &value);
    if (r == 0)
        *ret_value = index == REG_ICR_LOW ? (uint64_t)s->icr_high << 32 | value : value;
    bp_machine_unlock();
    return r;
}

static int write_msr(void *opaque, unsigned index, uint64_t value)
{
    struct lapic *s = opaque;

    if (!lapic_x2apic(s) || (value >> 32 && index != REG_ICR_LOW))
        return -EINVAL;
    bp_machine_lock();
    if (index == REG_ICR_LOW)
        s->icr_high = (uint32_t)(value >> 32);
    int r = lapic_write_reg(s, index, (uint32_t)value);
    bp_machine_unlock();
    return r;
}

static uint64_t get_deadline(void *opaque)
{
    return ((struct lapic *)opaque)->tsc_deadline;
}

static void set_deadline(void *opaque, uint64_t value)
{
    bp_machine_lock();
    lapic_set_tsc_deadline(opaque, value);
    bp_machine_unlock();
}

static const struct bp_x86_apic_ops cpu_ops = {
    .acknowledge = acknowledge, .get_base = get_base, .set_base = set_base, .get_tpr = get_tpr,
    .set_tpr = set_tpr, .read_msr = read_msr, .write_msr = write_msr,
    .get_tsc_deadline = get_deadline, .set_tsc_deadline = set_deadline,
};

/* ---- device ---- */

static void lint_changed(struct bp_device *dev, unsigned n, int level)
{
    struct lapic *s = bp_device_state(dev);
    bool rising = level && !s->lint_level[n];

    s->lint_level[n] = level != 0;
    uint32_t lvt = s->lvt[n ? LVT_LINT1 : LVT_LINT0];
    unsigned delivery = lvt >> 8 & 7;
    if (delivery != DELIVER_EXTINT && rising && (s->base & BASE_ENABLE))
        fire_lvt(s, n ? LVT_LINT1 : LVT_LINT0);
    lapic_update(s);
}

static int lapic_attach(struct bp_device *dev, struct bp_error *err)
{
    struct lapic *s = bp_device_state(dev);

    if (!s->cpu)
        return bp_fail(err, EINVAL, "apic: belongs to a processor and is made with it");
    s->dev = dev;
    s->timer = bp_timer_new(bp_device_owner(dev), BP_CLOCK_VIRTUAL, lapic_timer_fire, s);
    bp_device_add_irq_inputs(dev, "lint", 2, lint_changed);
    if (bp_cpu_index(s->cpu->cpu) == 0) {
        struct bp_region *root = bp_space_root(bp_space_memory());

        s->mmio = bp_region_new_io(bp_device_owner(dev), "apic", 0x1000, &mmio_ops, s);
        bp_region_add(root, bp_region_new_io(bp_device_owner(dev), "apic-msi", 0x100000,
                                             &message_ops, s), APIC_DEFAULT_BASE, 0x1000);
        bp_region_add(root, s->mmio, APIC_DEFAULT_BASE, 0x1001);
    }
    s->cpu->apic = &cpu_ops;
    s->cpu->apic_opaque = s;
    return 0;
}

static void lapic_detach(struct bp_device *dev)
{
    struct lapic *s = bp_device_state(dev);

    s->cpu->apic = NULL;
    s->cpu->apic_opaque = NULL;
}

static void lapic_reset(struct bp_device *dev)
{
    struct lapic *s = bp_device_state(dev);

    s->base = APIC_DEFAULT_BASE | BASE_ENABLE | (s->cpu->is_bsp ? BASE_BSP : 0);
    s->id = s->cpu->apic_id;
    s->tpr = s->ldr = s->esr = s->esr_pending = s->icr_low = s->icr_high = 0;
    s->dfr = 0xffffffffu;
    s->svr = 0xff;
    for (unsigned i = 0; i < 8; i++)
        s->irr[i] = s->isr[i] = s->tmr[i] = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        s->lvt[i] = LVT_MASKED;
    s->initial_count = s->divide = 0;
    s->tsc_deadline = 0;
    bp_timer_cancel(s->timer);
    if (s->mmio)
        bp_region_set_address(s->mmio, APIC_DEFAULT_BASE);
    lapic_update(s);
}

static const struct bp_state_field lapic_fields[] = {
    BP_SAVE(UINT64, struct lapic, base), BP_SAVE(UINT32, struct lapic, id),
    BP_SAVE(UINT32, struct lapic, tpr), BP_SAVE(UINT32, struct lapic, ldr),
    BP_SAVE(UINT32, struct lapic, dfr), BP_SAVE(UINT32, struct lapic, svr),
    BP_SAVE(UINT32, struct lapic, esr), BP_SAVE(UINT32, struct lapic, esr_pending),
    BP_SAVE_ARRAY(UINT32, struct lapic, irr), BP_SAVE_ARRAY(UINT32, struct lapic, isr),
    BP_SAVE_ARRAY(UINT32, struct lapic, tmr), BP_SAVE(UINT32, struct lapic, icr_low),
    BP_SAVE(UINT32, struct lapic, icr_high), BP_SAVE_ARRAY(UINT32, struct lapic, lvt),
    BP_SAVE(UINT32, struct lapic, initial_count), BP_SAVE(UINT32, struct lapic, divide),
    BP_SAVE(UINT64, struct lapic, count_start_ns), BP_SAVE(UINT64, struct lapic, tsc_deadline),
    BP_SAVE_ARRAY(UINT8, struct lapic, lint_level), BP_SAVE(TIMER, struct lapic, timer),
    BP_SAVE_END,
};
static const struct bp_state_table lapic_table = {
    .version = 1, .oldest = 1, .fields = lapic_fields,
};

BP_BOARD_DEVICE(lapic_class, "apic", "system", "Local APIC (xAPIC and x2APIC)", struct lapic, NULL,
                &lapic_table, .category = "misc", .attach = lapic_attach, .detach = lapic_detach,
                .reset = lapic_reset);

static void set_extint(struct bp_machine *machine, int (*ack)(void *opaque), void *opaque)
{
    struct lapic *first = lapic_of_index(machine, 0);

    if (first) {
        first->extint = ack;
        first->extint_opaque = opaque;
    }
}

static int attach_to_cpu(struct bp_cpu *cpu, struct bp_device **ret_apic, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(bp_cpu_machine(cpu), "apic", NULL, &dev, err);

    if (r < 0)
        return r;
    ((struct lapic *)bp_device_state(dev))->cpu = bp_cpu_state(cpu);
    r = bp_device_attach(dev, NULL, err);
    if (r < 0)
        return r;
    *ret_apic = dev;
    return 0;
}

static const struct bp_apic_interface apic_table = {
    .size = sizeof(struct bp_apic_interface), .deliver = apic_deliver, .on_eoi = apic_on_eoi,
    .set_extint = set_extint, .msi = apic_msi, .attach = attach_to_cpu,
};
BP_INTERFACE(apic_interface, "apic", 1, 0, &apic_table);

BP_HMP(info_lapic_command, "info lapic", "[index]", "show a local APIC's registers", lapic_info_args,
       lapic_info);

BP_MODULE("hw-apic", "Local APIC", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &lapic_class},
          {BP_PROVIDE_INTERFACE, &apic_interface}, {BP_PROVIDE_HMP, &info_lapic_command});
