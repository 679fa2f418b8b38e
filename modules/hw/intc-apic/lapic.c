/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local APIC, xAPIC and x2APIC. Intel SDM volume 3, chapter 11. Not here: CMCI delivery, the
 * thermal and performance counter sources (their LVT entries are kept and never fire).
 */
#define BP_SHARED
#include "apic.h"

#include <bp/level.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <errno.h>

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

/* Processor priority (SDM 11.8.3.1). */
uint32_t lapic_ppr(const struct lapic *s)
{
    int isr = highest_bit(s->isr);
    uint32_t in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

    return (s->tpr & 0xf0) >= in_service ? s->tpr : in_service;
}

/* The vector that would be delivered now, or -1. */
static int deliverable(const struct lapic *s)
{
    int irr = highest_bit(s->irr);

    if (irr < 0 || !(s->svr & SVR_ENABLE) || ((uint32_t)irr & 0xf0) <= (lapic_ppr(s) & 0xf0))
        return -1;
    return irr;
}

/* Does the 8259 pair's output reach this processor? Through LINT0 in ExtINT mode, or directly while
 * the APIC is switched off; or an ExtINT message came. */
static bool extint_pending(const struct lapic *s)
{
    if (s->extint_message)
        return true;
    if (!s->lint_level[0])
        return false;
    if (s->cpu->lapic)
        return true; /* it knows LINT0's entry, and says when it takes one */
    if (!(s->base & BASE_ENABLE))
        return s->cpu->is_bsp;
    return !(s->lvt[LVT_LINT0] & LVT_MASKED) &&
           (s->lvt[LVT_LINT0] >> 8 & 7) == DELIVER_EXTINT;
}

void lapic_update(struct lapic *s)
{
    if ((!s->cpu->lapic && deliverable(s) >= 0) || extint_pending(s))
        bp_x86_interrupt(s->cpu, BP_X86_INT_HARD);
    else
        bp_x86_uninterrupt(s->cpu, BP_X86_INT_HARD);
}

void lapic_report_error(struct lapic *s, uint32_t bit)
{
    s->esr_pending |= bit;
    lapic_fire_lvt(s, LVT_ERROR);
}

static void accept_vector(struct lapic *s, uint8_t vector, bool level)
{
    if (!(s->base & BASE_ENABLE))
        return;
    if (vector < 16) {
        lapic_report_error(s, ESR_RECEIVE_ILLEGAL);
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
}

void lapic_accept_locked(struct lapic *s, unsigned delivery, uint8_t vector, bool level)
{
    switch (delivery) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        accept_vector(s, vector, level);
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
        s->extint_message = 1;
        lapic_update(s);
        break;
    default:
        bp_guest_error("apic-delivery", "APIC message with reserved delivery mode %u", delivery);
    }
}

void lapic_accept(struct lapic *s, unsigned delivery, uint8_t vector, bool level)
{
    lapic_lock(s);
    lapic_accept_locked(s, delivery, vector, level);
    lapic_unlock(s);
}

/* A local source fires: its LVT entry says what that means. */
void lapic_fire_lvt(struct lapic *s, unsigned n)
{
    uint32_t lvt = s->lvt[n];

    if (lvt & LVT_MASKED)
        return;
    unsigned delivery = n == LVT_TIMER || n == LVT_ERROR ? DELIVER_FIXED : lvt >> 8 & 7;
    if (n == LVT_ERROR && (lvt & 0xff) < 16)
        return; /* an error while reporting an error goes nowhere */
    lapic_accept_locked(s, delivery, (uint8_t)lvt, false);
}

int lapic_end_of_interrupt(struct lapic *s)
{
    int vector = highest_bit(s->isr), told = -1;

    if (vector < 0)
        return -1;
    clear_bit(s->isr, (unsigned)vector);
    if (test_bit(s->tmr, (unsigned)vector) && !(s->svr & SVR_NO_EOI_BROADCAST))
        told = vector;
    lapic_update(s);
    return told;
}

void lapic_reset_state(struct lapic *s, bool init)
{
    bool x2 = lapic_x2apic(s);

    if (!init) {
        LAPIC_SET(s->base, APIC_DEFAULT_BASE | BASE_ENABLE | (s->cpu->is_bsp ? BASE_BSP : 0));
        LAPIC_SET(s->id, s->cpu->apic_id);
        s->icr_high = 0;
    }
    if (!init || !x2) /* x2APIC's logical ID follows from the ID */
        LAPIC_SET(s->ldr, 0);
    LAPIC_SET(s->tpr, 0);
    LAPIC_SET(s->dfr, 0xffffffffu);
    s->esr = s->esr_pending = s->icr_low = 0;
    s->svr = 0xff;
    for (unsigned i = 0; i < 8; i++)
        s->irr[i] = s->isr[i] = s->tmr[i] = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        s->lvt[i] = LVT_MASKED;
    s->initial_count = s->divide = 0;
    s->tsc_deadline = 0;
    s->extint_message = 0;
    lapic_timer_stop(s);
    lapic_update(s);
}

/* ---- what the processor calls ---- */

static int acknowledge_8259(struct lapic *s)
{
    struct apic_bus *bus = s->bus;
    bool pending;
    int vector = -1;

    bp_machine_lock(bp_cpu_machine(s->cpu->cpu));
    lapic_lock(s); /* it may be gone meanwhile */
    pending = extint_pending(s);
    s->extint_message = 0;
    lapic_unlock(s);
    if (pending && bus->extint)
        vector = bus->extint(bus->extint_opaque);
    bp_machine_unlock(bp_cpu_machine(s->cpu->cpu));
    return vector;
}

static int acknowledge(void *opaque)
{
    struct lapic *s = opaque;
    bool extint;
    int vector;

    lapic_lock(s);
    vector = s->base & BASE_ENABLE && !s->cpu->lapic ? deliverable(s) : -1;
    if (vector >= 0) {
        clear_bit(s->irr, (unsigned)vector);
        set_bit(s->isr, (unsigned)vector);
    }
    extint = vector < 0 && extint_pending(s);
    lapic_update(s);
    lapic_unlock(s);
    if (!extint)
        return vector;
    vector = acknowledge_8259(s);
    lapic_lock(s);
    lapic_update(s);
    lapic_unlock(s);
    return vector;
}

static uint64_t get_base(void *opaque)
{
    return LAPIC_GET(((struct lapic *)opaque)->base);
}

static void change_base(struct lapic *s, uint64_t value)
{
    bool was_x2 = lapic_x2apic(s), was_on = s->base & BASE_ENABLE;

    LAPIC_SET(s->base, (value & ~(uint64_t)BASE_BSP) | (s->base & BASE_BSP));
    if (was_on && !(value & BASE_ENABLE)) {
        lapic_reset_state(s, true); /* it forgets everything (SDM 11.4.3) */
        LAPIC_SET(s->id, s->cpu->apic_id);
    }
    if (lapic_x2apic(s) && !was_x2) {
        LAPIC_SET(s->id, s->cpu->apic_id);
        LAPIC_SET(s->ldr, (s->id >> 4) << 16 | 1u << (s->id & 15));
    }
    lapic_update(s);
}

static int set_base(void *opaque, uint64_t value)
{
    struct lapic *s = opaque;
    uint64_t modes = value & (BASE_ENABLE | BASE_X2APIC), width = (1ull << s->cpu->phys_bits) - 1;

    if (value & (~width | 0x2ff) || modes == BASE_X2APIC)
        return -EINVAL;
    if (modes & BASE_X2APIC && !(s->cpu->features[BP_X86_FW_1_ECX] & 1u << 21))
        return -EINVAL;
    /* From x2APIC only switching off is legal (SDM 11.12.5). */
    if (lapic_x2apic(s) && modes == BASE_ENABLE)
        return -EINVAL;
    lapic_lock(s);
    change_base(s, value);
    lapic_unlock(s);
    if (s->cpu->is_bsp) { /* the page of all follows the first processor's */
        bp_machine_lock(bp_cpu_machine(s->cpu->cpu));
        bp_region_set_address(s->bus->page, value & ~0xfffull & width);
        bp_machine_unlock(bp_cpu_machine(s->cpu->cpu));
    }
    return 0;
}

static uint8_t get_tpr(void *opaque)
{
    return (uint8_t)(LAPIC_GET(((struct lapic *)opaque)->tpr) >> 4);
}

static void set_tpr(void *opaque, uint8_t value)
{
    lapic_write_reg(opaque, REG_TPR, (uint32_t)value << 4);
}

static int read_msr(void *opaque, unsigned index, uint64_t *ret_value)
{
    struct lapic *s = opaque;
    uint64_t value;
    int r;

    if (!lapic_x2apic(s) || index == REG_ICR_HIGH || index == REG_SELF_IPI)
        return -EINVAL;
    r = lapic_read_reg(s, index, &value);
    if (r == 0)
        *ret_value = value;
    return r;
}

static int write_msr(void *opaque, unsigned index, uint64_t value)
{
    struct lapic *s = opaque;

    if (!lapic_x2apic(s) || (value >> 32 && index != REG_ICR_LOW))
        return -EINVAL;
    return lapic_write_reg(s, index, value);
}

static uint64_t get_deadline(void *opaque)
{
    struct lapic *s = opaque;
    uint64_t value;

    lapic_lock(s);
    value = s->tsc_deadline;
    lapic_unlock(s);
    return value;
}

static void set_deadline(void *opaque, uint64_t value)
{
    struct lapic *s = opaque;

    lapic_lock(s);
    lapic_set_tsc_deadline(s, value);
    lapic_unlock(s);
}

static void take_init(void *opaque)
{
    struct lapic *s = opaque;

    lapic_lock(s);
    lapic_reset_state(s, true);
    lapic_unlock(s);
}

static const struct bp_x86_apic_ops cpu_ops = {
    .acknowledge = acknowledge, .get_base = get_base, .set_base = set_base, .get_tpr = get_tpr,
    .set_tpr = set_tpr, .read_msr = read_msr, .write_msr = write_msr,
    .get_tsc_deadline = get_deadline, .set_tsc_deadline = set_deadline, .init = take_init,
    .get_image = lapic_get_image, .set_image = lapic_set_image, .eoi = lapic_eoi,
};

/* ---- devices "apic" and, where the accelerator has it, "kvm-apic" ---- */

static const struct bp_level_class lapic_level;

struct lapic *lapic_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &lapic_level);
}

static void lint_changed(struct bp_device *dev, unsigned n, int level)
{
    struct lapic *s = lapic_of(dev);
    uint32_t lvt;
    bool rising;

    lapic_lock(s);
    rising = level && !s->lint_level[n];
    s->lint_level[n] = level != 0;
    lvt = s->lvt[n ? LVT_LINT1 : LVT_LINT0];
    if (s->cpu->lapic) {
        lapic_update(s);
        lapic_unlock(s);
        if (n && rising)
            lapic_lint1_edge(s);
        return;
    }
    if ((lvt >> 8 & 7) != DELIVER_EXTINT && rising && (s->base & BASE_ENABLE))
        lapic_fire_lvt(s, n ? LVT_LINT1 : LVT_LINT0);
    lapic_update(s);
    lapic_unlock(s);
}

static int lapic_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_device *dev = bp_device_from_object(obj);
    struct lapic *s = state;

    if (!s->cpu)
        return bp_fail(err, EINVAL, "apic: belongs to a processor and is made with it");
    s->dev = dev;
    pthread_mutex_init(&s->lock, NULL);
    s->expiry_ns = -1;
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, lapic_timer_fire, s);
    bp_device_add_irq_inputs(dev, "lint", 2, lint_changed);
    s->cpu->apic = &cpu_ops;
    s->cpu->apic_opaque = s;
    return 0;
}

static void lapic_detach(struct bp_object *obj, void *state)
{
    struct lapic *s = state;

    (void)obj;
    for (unsigned n = 0; n < APIC_MAX; n++) /* who has found it still may lock it: its memory stays for a while */
        if (s->bus->member[n] == s)
            __atomic_store_n(&s->bus->member[n], NULL, __ATOMIC_RELEASE);
    s->cpu->apic = NULL;
    s->cpu->apic_opaque = NULL;
}

static void lapic_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct lapic *s = state;

    (void)dev, (void)scope;
    lapic_lock(s);
    lapic_reset_state(s, false);
    lapic_unlock(s);
    if (s->cpu->is_bsp && s->bus->page)
        bp_region_set_address(s->bus->page, APIC_DEFAULT_BASE);
}

static int before_save(void *state, struct bp_error *err)
{
    const struct lapic *s = state;

    (void)err;
    lapic_fetch(s->cpu->cpu, NULL);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct lapic *s = state;

    (void)version, (void)err;
    lapic_lock(s);
    s->expiry_ns = bp_timer_deadline(s->timer);
    lapic_update(s);
    lapic_unlock(s);
    return 0;
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
    BP_SAVE_ARRAY(UINT8, struct lapic, lint_level), BP_SAVE(UINT8, struct lapic, extint_message),
    BP_SAVE(TIMER, struct lapic, timer),
    BP_SAVE_END,
};
static const struct bp_state_table lapic_table = {
    .version = 2, .oldest = 2, .fields = lapic_fields, .before_save = before_save, .after_load = after_load,
};

static const struct bp_level_class lapic_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "apic-common",
             .summary = "Local APIC (xAPIC and x2APIC)", .state_size = sizeof(struct lapic), .state = &lapic_table},
    .attach = lapic_attach, .detach = lapic_detach, .reset = lapic_reset};
BP_NAMED_FLAGS(lapic_class, "apic", "system", NULL, "Local APIC (xAPIC and x2APIC)", &lapic_level,
               BP_TYPE_NOT_USER_CREATABLE, "no", .category = "misc");
BP_NAMED_FLAGS(kvm_lapic_class, "kvm-apic", "system", NULL, "Local APIC that the accelerator has", &lapic_level,
               BP_TYPE_NOT_USER_CREATABLE, "no", .category = "misc");
