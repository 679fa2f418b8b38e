/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sits on a PC's ISA bus, with its wires: timers, clock, DMA, keyboard controller, speaker, ports. */
#include "chipset.h"
#include "pc.h"

#include <errno.h>

static void set_a20(struct bp_cpu *cpu, void *opaque)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);

    x->a20_masked = opaque != NULL;
}

/* The chipset ORs what the keyboard controller (source 0) and port 92h (source 1) want. */
static void a20_changed(void *opaque, unsigned n, int level)
{
    struct pc *pc = opaque;

    if (level)
        pc->a20 |= (uint8_t)(1u << n);
    else
        pc->a20 &= (uint8_t)~(1u << n);
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++) {
        struct bp_cpu *cpu = bp_machine_cpu(pc->machine, i);

        /* Not compared with what the processor has: an earlier change may still wait for it. */
        if (cpu)
            bp_cpu_run_async(cpu, set_a20, pc->a20 ? NULL : opaque);
    }
}

static void reset_requested(void *opaque, unsigned n, int level)
{
    struct pc *pc = opaque;

    (void)n;
    if (level)
        bp_machine_request_reset(pc->machine, BP_SHUTDOWN_GUEST_RESET);
}

static int make_keyboard_controller(struct pc *pc, struct bp_bus *isa_bus,
                                    struct bp_irq *const lines[16], struct bp_error *err)
{
    struct bp_owner *owner = bp_machine_owner(pc->machine);
    struct bp_device *kbd = NULL, *port92 = NULL;
    int r = pc_plug(pc, "i8042", isa_bus, NULL, &kbd, err);

    if (r == 0)
        r = pc_plug(pc, "port92", isa_bus, NULL, &port92, err);
    if (r < 0)
        return r;
    bp_irq_connect(bp_device_irq_output(kbd, "irq1", 0), lines[1]);
    bp_irq_connect(bp_device_irq_output(kbd, "irq12", 0), lines[12]);
    bp_irq_connect(bp_device_irq_output(kbd, "a20", 0), bp_irq_new(owner, a20_changed, pc, 0));
    bp_irq_connect(bp_device_irq_output(kbd, "reset", 0), bp_irq_new(owner, reset_requested, pc, 0));
    bp_irq_connect(bp_device_irq_output(port92, "a20", 0), bp_irq_new(owner, a20_changed, pc, 1));
    bp_irq_connect(bp_device_irq_output(port92, "reset", 0),
                   bp_irq_new(owner, reset_requested, pc, 1));
    return 0;
}

static int make_vmport(struct bp_bus *isa_bus, struct pc *pc, struct bp_error *err)
{
    int r = pc_plug(pc, "vmport", isa_bus, NULL, NULL, err);

    if (r == 0 && pc->i8042) /* its mouse is one for a PS/2 mouse's driver */
        r = pc_plug(pc, "vmmouse", isa_bus, NULL, NULL, err);
    return r;
}

static int make_hpet(struct pc *pc, struct bp_error *err)
{
    int r = pc_plug(pc, "hpet", NULL, NULL, &pc->hpet_dev, err);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < GSI_COUNT; i++)
        bp_irq_connect(bp_device_irq_output(pc->hpet_dev, "irq", i), pc_gsi_line(pc, GSI_HPET, i));
    bp_irq_connect(bp_device_irq_output(pc->hpet_dev, "legacy", 0),
                   bp_device_irq_input(pc->pit, "gate-irq0", 0));
    bp_irq_connect(bp_device_irq_output(pc->hpet_dev, "legacy", 1),
                   bp_device_irq_input(pc->rtc, "gate-irq8", 0));
    return 0;
}

/* The first moves bytes, the second words. */
static int make_dma(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err)
{
    static const unsigned base[2] = {0x00, 0xc0}, page_base[2] = {0x80, 0x88};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 2; i++) {
        struct bp_device *dev;

        r = bp_device_new(pc->machine, "i8257", NULL, &dev, err);
        if (r < 0)
            return r;
        r = bp_device_set_uint(dev, "base", base[i], err);
        if (r == 0)
            r = bp_device_set_uint(dev, "page-base", page_base[i], err);
        if (r == 0)
            r = bp_device_set_uint(dev, "dshift", i, err);
        if (r < 0) {
            bp_device_destroy(dev);
            return r;
        }
        r = bp_device_attach(dev, isa_bus, err);
    }
    return r;
}

int pc_make_rtc(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err)
{
    int r = bp_device_new(pc->machine, "mc146818rtc", NULL, &pc->rtc, err);

    if (r < 0)
        return r;
    if (bp_machine_rtc_slew(pc->machine))
        r = bp_device_set(pc->rtc, "lost_tick_policy", "slew", err);
    if (r < 0) {
        bp_device_destroy(pc->rtc);
        return r;
    }
    return bp_device_attach(pc->rtc, isa_bus, err);
}

/* Heard only when an audiodev is named for it. */
static int make_speaker(struct pc *pc, struct bp_error *err)
{
    struct bp_device *dev;
    int r;

    if (!pc->pcspk_audiodev)
        return 0;
    r = bp_device_new(pc->machine, "isa-pcspk", NULL, &dev, err);
    if (r < 0)
        return r;
    r = bp_device_set_link(dev, "audiodev", pc->pcspk_audiodev, err);
    if (r == 0)
        r = bp_device_set_link(dev, "pit", bp_device_object(pc->pit), err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    r = bp_device_attach(dev, NULL, err);
    if (r == 0)
        bp_irq_connect(bp_device_irq_output(pc->pit, "speaker", 0), bp_device_irq_input(dev, "tone", 0));
    return r;
}

int pc_make_isa_devices(struct pc *pc, struct bp_bus *isa_bus, struct bp_irq *const lines[16],
                            struct bp_error *err)
{
    int r = pc_make_pit(pc, isa_bus, err);

    if (r == 0)
        r = make_speaker(pc, err);
    if (r == 0)
        r = make_dma(pc, isa_bus, err);
    if (r == 0)
        r = pc_make_rtc(pc, isa_bus, err);
    if (r < 0)
        return r;
    if (pc->pm)
        bp_irq_connect(bp_device_irq_output(pc->rtc, "alarm", 0), bp_device_irq_input(pc->pm, "rtc", 0));
    bp_irq_connect(bp_device_irq_output(pc->pit, "irq0", 0), lines[0]);
    bp_irq_connect(bp_device_irq_output(pc->rtc, "irq8", 0), lines[8]);
    if (pc->i8042)
        r = make_keyboard_controller(pc, isa_bus, lines, err);
    if (r == 0 && pc_has_vmport(pc))
        r = make_vmport(isa_bus, pc, err);
    if (r == 0 && pc->hpet)
        r = make_hpet(pc, err);
    if (r == 0)
        r = pc_make_serial(pc->machine, isa_bus, err);
    if (r == 0)
        r = pc_make_parallel(pc->machine, isa_bus, err);
    if (r == 0)
        r = pc_make_fw_cfg(pc, err);
    return r;
}
