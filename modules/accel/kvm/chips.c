/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kernel-irqchip=on: 8259 pair, I/O APIC and 8254 in the kernel (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2). The machine's
 * devices stand for them (bp/chip/keeper.h): they are away while the machine runs, and here while it stands. They are
 * here, too, and the local APICs with them, while the interpreter executes the guest for long: under a debugger that
 * wants it, and while A20 is masked on a machine with one processor.
 *
 * Lines. A pin of each controller has a number of its own (KVM_PIC_GSI, KVM_IOAPIC_GSI), by which devices set it. The
 * numbers below are the board's wires, which the kernel's 8254 uses (routes.c).
 */
#include "kvm.h"
#include <bp/chip/i8259.h>
#include <bp/chip/pit.h>
#include <bp/log.h>
#include <bp/run.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define NO_MODE 0xffu /* of a channel of the 8254 that does not count */

#ifndef KVM_PIT_FLAGS_SPEAKER_DATA_ON
#define KVM_PIT_FLAGS_SPEAKER_DATA_ON 0x00000002
#endif

static struct kvm_machine *machine_of(const struct bp_chip_keeper *keeper)
{
    return keeper->opaque;
}

static bool request(const struct kvm_machine *m, unsigned long what, void *data, const char *name)
{
    if (ioctl(m->vm, what, data) >= 0)
        return true;
    bp_warn("kvm: %s: %s", name, strerror(errno));
    return false;
}
#define REQUEST(M, WHAT, DATA) request(M, WHAT, DATA, #WHAT)

/* ---- 8259 pair ---- */

static bool fetch_pic(const struct kvm_machine *m, struct bp_i8259_image *image)
{
    memset(image, 0, sizeof(*image));
    for (unsigned n = 0; n < 2; n++) {
        struct kvm_irqchip chip = {.chip_id = n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER};
        const struct kvm_pic_state *k = &chip.chip.pic;

        if (!REQUEST(m, KVM_GET_IRQCHIP, &chip))
            return false;
        image->pic[n].irr = k->irr & (uint8_t)~k->elcr; /* latched edges; levels are lines */
        image->pic[n].imr = k->imr;
        image->pic[n].isr = k->isr;
        image->pic[n].lines = k->last_irr;
        image->pic[n].elcr = k->elcr;
        image->pic[n].lowest = (uint8_t)(k->priority_add + 7) & 7;
        image->pic[n].base = k->irq_base;
        image->pic[n].step = k->init_state & 3;
        image->pic[n].want_icw4 = k->init4;
        image->pic[n].auto_eoi = k->auto_eoi;
        image->pic[n].rotate_auto = k->rotate_on_auto_eoi;
        image->pic[n].special_mask = k->special_mask;
        image->pic[n].special_nested = k->special_fully_nested_mode;
        image->pic[n].read_isr = k->read_reg_select;
        image->pic[n].poll = k->poll;
    }
    return true;
}

static void store_pic(const struct kvm_machine *m, const struct bp_i8259_image *image)
{
    for (unsigned n = 0; n < 2; n++) {
        uint8_t elcr = image->pic[n].elcr;
        struct kvm_irqchip chip = {.chip_id = n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER};

        chip.chip.pic = (struct kvm_pic_state){
            .last_irr = image->pic[n].lines, .irr = (image->pic[n].irr & (uint8_t)~elcr) | (image->pic[n].lines & elcr),
            .imr = image->pic[n].imr, .isr = image->pic[n].isr, .priority_add = (image->pic[n].lowest + 1) & 7,
            .irq_base = image->pic[n].base, .read_reg_select = image->pic[n].read_isr, .poll = image->pic[n].poll,
            .special_mask = image->pic[n].special_mask, .init_state = image->pic[n].step,
            .auto_eoi = image->pic[n].auto_eoi, .rotate_on_auto_eoi = image->pic[n].rotate_auto,
            .special_fully_nested_mode = image->pic[n].special_nested, .init4 = image->pic[n].want_icw4,
            .elcr = elcr, .elcr_mask = n ? 0xde : 0xf8};
        REQUEST(m, KVM_SET_IRQCHIP, &chip);
    }
}

/* ---- I/O APIC ---- */

static bool fetch_ioapic(const struct kvm_machine *m, struct bp_ioapic_image *image)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
    const struct kvm_ioapic_state *k = &chip.chip.ioapic;

    if (!REQUEST(m, KVM_GET_IRQCHIP, &chip))
        return false;
    memset(image, 0, sizeof(*image));
    image->id = k->id;
    image->select = (uint8_t)k->ioregsel;
    image->lines = k->irr;
    for (unsigned n = 0; n < KVM_PINS; n++)
        image->entry[n] = k->redirtbl[n].bits;
    return true;
}

static void store_ioapic(const struct kvm_machine *m, const struct bp_ioapic_image *image)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
    struct kvm_ioapic_state *k = &chip.chip.ioapic;

    *k = (struct kvm_ioapic_state){.base_address = 0xfec00000, .ioregsel = image->select, .id = image->id};
    for (unsigned n = 0; n < KVM_PINS; n++) {
        uint64_t e = image->entry[n];

        k->redirtbl[n].bits = e;
        if (e & 1u << 15 || e & 1u << 16) /* an edge that was sent is not sent again */
            k->irr |= image->lines & 1u << n;
    }
    REQUEST(m, KVM_SET_IRQCHIP, &chip);
}

/* ---- 8254 ---- */

static int64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Which byte comes next, as the kernel counts: 1 low, 2 high, 3 the first of two, 4 the second. */
static uint8_t from_latched(uint8_t latched)
{
    return latched == 3 ? 2 : latched != 0;
}

static uint8_t to_latched(uint8_t latched, uint8_t order)
{
    return latched == 2 ? 3 : latched == 0 ? 0 : order == 1 ? 1 : 2;
}

static bool fetch_pit(const struct kvm_machine *m, struct bp_pit_image *image)
{
    struct kvm_pit_state2 k;
    int64_t now = monotonic_ns();

    if (!REQUEST(m, KVM_GET_PIT2, &k))
        return false;
    memset(image, 0, sizeof(*image));
    for (unsigned n = 0; n < 3; n++) {
        const struct kvm_pit_channel_state *c = &k.channels[n];

        image->ch[n].age_ns = now - c->count_load_time;
        image->ch[n].count = c->count;
        image->ch[n].count_latch = c->latched_count;
        image->ch[n].latched = from_latched(c->count_latched);
        image->ch[n].status_latch = c->status;
        image->ch[n].status_latched = c->status_latched;
        image->ch[n].order = c->rw_mode ? c->rw_mode & 3 : 3;
        image->ch[n].mode = c->mode == NO_MODE ? 3 : c->mode & 7;
        image->ch[n].counting = c->mode != NO_MODE;
        image->ch[n].bcd = c->bcd & 1;
        image->ch[n].low_byte = c->write_latch;
        image->ch[n].write_high = c->write_state == 4;
        image->ch[n].read_high = c->read_state == 4;
        image->ch[n].gate = c->gate;
    }
    image->irq0_off = k.flags & KVM_PIT_FLAGS_HPET_LEGACY;
    image->speaker = k.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    image->late_again = m->late_again;
    return true;
}

static bool as_after_reset(const struct bp_pit_image *image, unsigned n)
{
    return !image->ch[n].counting && image->ch[n].mode == 3 && image->ch[n].count == 65536;
}

/* The kernel begins to count anew: when a period ends is not kept. */
static void store_pit(struct kvm_machine *m, const struct bp_pit_image *image)
{
    struct kvm_reinject_control reinject = {.pit_reinject = image->late_again};
    struct kvm_pit_state2 k = {.flags = (image->irq0_off ? KVM_PIT_FLAGS_HPET_LEGACY : 0u) |
                                        (image->speaker ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0u)};
    int64_t now = monotonic_ns();

    for (unsigned n = 0; n < 3; n++) {
        uint8_t order = image->ch[n].order;

        k.channels[n] = (struct kvm_pit_channel_state){
            .count = image->ch[n].count, .latched_count = image->ch[n].count_latch,
            .count_latched = to_latched(image->ch[n].latched, order), .status_latched = image->ch[n].status_latched,
            .status = image->ch[n].status_latch, .read_state = order == 3 ? 3 + image->ch[n].read_high : order,
            .write_state = order == 3 ? 3 + image->ch[n].write_high : order, .write_latch = image->ch[n].low_byte,
            .rw_mode = order, .mode = as_after_reset(image, n) ? NO_MODE : image->ch[n].mode, .bcd = image->ch[n].bcd,
            .gate = image->ch[n].gate, .count_load_time = now - image->ch[n].age_ns};
    }
    if (kvm_cap(m, KVM_CAP_REINJECT_CONTROL) && ioctl(m->vm, KVM_REINJECT_CONTROL, &reinject) < 0)
        bp_warn("kvm: lost_tick_policy: KVM_REINJECT_CONTROL: %s", strerror(errno));
    m->late_again = image->late_again;
    REQUEST(m, KVM_SET_PIT2, &k);
}

/* While the device counts, nothing comes from the kernel's. */
static void silence_pit(const struct kvm_machine *m)
{
    struct kvm_pit_state2 k = {.flags = 0};

    for (unsigned n = 0; n < 3; n++)
        k.channels[n] = (struct kvm_pit_channel_state){.count = 65536, .mode = NO_MODE};
    REQUEST(m, KVM_SET_PIT2, &k);
}

/* ---- the keeper ---- */

static size_t size_of(uint32_t chip)
{
    return chip == BP_X86_CHIP_PIC ? sizeof(struct bp_i8259_image) :
           chip == BP_X86_CHIP_IOAPIC ? sizeof(struct bp_ioapic_image) : sizeof(struct bp_pit_image);
}

/* What goes on by itself is no change. */
static void still(uint32_t chip, union kvm_chip_image *image)
{
    for (unsigned n = 0; chip == BP_X86_CHIP_PIT && n < 3; n++)
        image->pit.ch[n].age_ns = 0;
}

static bool fetch(const struct bp_chip_keeper *keeper, void *image)
{
    struct kvm_machine *m = machine_of(keeper);
    struct kvm_chip *c = &m->chip[keeper->chip];
    bool done = keeper->chip == BP_X86_CHIP_PIC ? fetch_pic(m, image) :
                keeper->chip == BP_X86_CHIP_IOAPIC ? fetch_ioapic(m, image) : fetch_pit(m, image);

    if (done) {
        memset(&c->last, 0, sizeof(c->last));
        memcpy(&c->last, image, size_of(keeper->chip));
        still(keeper->chip, &c->last);
    }
    c->known = done;
    return done;
}

static void store(const struct bp_chip_keeper *keeper, const void *image)
{
    struct kvm_machine *m = machine_of(keeper);
    struct kvm_chip *c = &m->chip[keeper->chip];
    union kvm_chip_image now;

    memset(&now, 0, sizeof(now));
    memcpy(&now, image, size_of(keeper->chip));
    still(keeper->chip, &now);
    if (c->known && !memcmp(&now, &c->last, sizeof(now)))
        return;
    if (keeper->chip == BP_X86_CHIP_PIC)
        store_pic(m, image);
    else if (keeper->chip == BP_X86_CHIP_IOAPIC)
        store_ioapic(m, image);
    else
        store_pit(m, image);
    c->last = now;
    c->known = true;
}

static void line(const struct bp_chip_keeper *keeper, unsigned n, int level)
{
    struct kvm_machine *m = machine_of(keeper);
    struct kvm_chip *c = &m->chip[keeper->chip];
    struct kvm_irq_level k = {.irq = (keeper->chip == BP_X86_CHIP_PIC ? KVM_PIC_GSI : KVM_IOAPIC_GSI) + n,
                              .level = level != 0};
    uint32_t bit = 1u << n, was;

    was = level ? __atomic_fetch_or(&c->lines, bit, __ATOMIC_SEQ_CST) :
                  __atomic_fetch_and(&c->lines, ~bit, __ATOMIC_SEQ_CST);
    if (!(was & bit) == !level) /* set again, an edge would be another one */
        return;
    REQUEST(m, KVM_IRQ_LINE, &k);
}

static void run_changed(void *opaque, bool running)
{
    struct kvm_machine *m = opaque;

    m->running = running;
    kvm_chips_move(m);
}

static int lend(const struct bp_chip_keeper *keeper, const struct bp_chip_seat *seat, void *opaque,
                struct bp_error *err)
{
    struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};
    struct kvm_machine *m = machine_of(keeper);
    struct bp_machine *machine = bp_cpu_machine(m->first->cpu);

    if (keeper->chip == BP_X86_CHIP_PIT && ioctl(m->vm, KVM_CREATE_PIT2, &config) < 0)
        return bp_fail(err, errno, "kernel-irqchip=on: KVM_CREATE_PIT2: %s; use kernel-irqchip=split or off",
                       strerror(errno));
    if (!m->listens)
        bp_machine_on_run_change(machine, bp_object_owner(bp_accel_object(m->accel)), BP_RUN_ORDER_DEVICE - 1,
                                 run_changed, m);
    m->listens = true;
    m->chip[keeper->chip].seat = seat;
    m->chip[keeper->chip].seat_opaque = opaque;
    return 0;
}

const struct bp_chip_keeper *kvm_keeper(struct bp_x86_cpu *x, enum bp_x86_chip chip)
{
    struct kvm_machine *m = kvm_of(x->cpu)->m;
    struct bp_chip_keeper *keeper = &m->chip[chip].keeper;

    if (m->irqchip != IRQCHIP_ON)
        return NULL;
    *keeper = (struct bp_chip_keeper){.size = sizeof(*keeper), .chip = chip, .opaque = m, .lend = lend, .fetch = fetch,
                                      .store = store, .line = line};
    return keeper;
}

/* ---- who has them ---- */

static void move(struct kvm_machine *m, enum bp_x86_chip chip, bool here)
{
    struct kvm_chip *c = &m->chip[chip];

    if (!c->seat)
        return;
    if (chip == BP_X86_CHIP_PIT)
        c->known = false; /* it starts anew whatever it was */
    c->seat->move(c->seat_opaque, here);
    if (here && chip == BP_X86_CHIP_PIT)
        silence_pit(m);
}

/* Machine lock. The timer comes first and goes last, since it speaks to the others. */
void kvm_chips_move(struct kvm_machine *m)
{
    bool away = m->running && !m->lapics_here;

    if (away == m->chips_away)
        return;
    m->chips_away = away;
    if (away) {
        move(m, BP_X86_CHIP_PIC, false);
        move(m, BP_X86_CHIP_IOAPIC, false);
        move(m, BP_X86_CHIP_PIT, false);
    } else {
        move(m, BP_X86_CHIP_PIT, true);
        move(m, BP_X86_CHIP_PIC, true);
        move(m, BP_X86_CHIP_IOAPIC, true);
    }
}

/* ---- making them ---- */

static const char *missing(const struct kvm_machine *m)
{
    static const struct {
        unsigned number;
        const char *name;
    } needed[] = {
#define CAP(X) {X, #X}
        CAP(KVM_CAP_IRQCHIP), CAP(KVM_CAP_IRQ_ROUTING), CAP(KVM_CAP_PIT2), CAP(KVM_CAP_PIT_STATE2),
        CAP(KVM_CAP_SIGNAL_MSI), CAP(KVM_CAP_MP_STATE),
#undef CAP
    };

    for (unsigned n = 0; n < BP_COUNT(needed); n++) {
        if (!kvm_cap(m, needed[n].number))
            return needed[n].name;
    }
    return NULL;
}

bool kvm_has_chips(const struct kvm_machine *m)
{
    return !missing(m);
}

int kvm_chips_open(struct kvm_machine *m, struct bp_error *err)
{
    const char *name = missing(m);
    int ret;

    if (name)
        return bp_fail(err, ENOTSUP, "kernel-irqchip=on: the host's kernel has no interrupt controllers to share (it "
                       "lacks %s); use kernel-irqchip=split or off", name);
    if (ioctl(m->vm, KVM_CREATE_IRQCHIP, 0) < 0) {
        ret = -errno;
        return bp_fail(err, ret, "kernel-irqchip=on: KVM_CREATE_IRQCHIP: %s; use kernel-irqchip=split or off",
                       strerror(-ret));
    }
    ret = kvm_routes_set(m);
    return ret < 0 ? bp_fail(err, ret, "kernel-irqchip=on: KVM_SET_GSI_ROUTING: %s", strerror(-ret)) : 0;
}
