/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog of Intel's 6300ESB I/O controller hub (data sheet 300641, chapter "Watchdog Timer", device 29
 * function 4). Two stages count down one after the other, from preload values 1 and 2; the end of the second
 * one is what -watchdog-action follows. In free running mode only the second stage counts, over and over; its
 * output pin, which would toggle, leads nowhere, and neither does the first stage's interrupt: its status bit
 * tells of it.
 */
#include <bp/bus/pci.h>
#include <bp/clock.h>
#include <bp/run.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);

/* Configuration space. */
#define CONFIG 0x60u /* 16 bits */
#define CONFIG_INTERRUPT 0x03u
#define CONFIG_FAST 0x04u       /* prescaler: 2^5 clocks a tick, not 2^15 */
#define CONFIG_OUTPUT_OFF 0x20u /* nothing follows the second stage's end */
#define CONFIG_BITS (CONFIG_INTERRUPT | CONFIG_FAST | CONFIG_OUTPUT_OFF)
#define LOCK 0x68u /* 8 bits */
#define LOCK_LOCKED 0x01u /* until the next reset */
#define LOCK_ENABLE 0x02u
#define LOCK_FREE 0x04u /* free running */
#define LOCK_BITS 0x07u

/* The memory BAR. */
enum { PRELOAD1 = 0x0, PRELOAD2 = 0x4, STATUS = 0x8, RELOAD = 0xc };
#define PRELOAD_MAX 0xfffffu
#define STATUS_ACTIVE 0x1u     /* the first stage's end; write 1 to clear */
#define RELOAD_RELOAD 0x0100u  /* start again with the first stage */
#define RELOAD_TIMEOUT 0x0200u /* the second stage came to its end; kept over resets; write 1 to clear */
#define UNLOCK1 0x80u          /* written to RELOAD before each other write */
#define UNLOCK2 0x86u
#define PCI_CLOCK 33000000ull

struct i6300esb {
    struct bp_timer *timer;
    uint32_t preload[2];
    uint8_t stage;    /* that counts: 1 or 2 */
    uint8_t unlocked; /* how many of the two bytes were written */
    uint8_t lock;     /* the lock register */
    bool enabled, active, timed_out;
};

static uint8_t *config_of(struct i6300esb *s)
{
    return pci->config(bp_device_of_state(s));
}

/* A preload value of n takes n + 1 ticks. */
static int64_t stage_ns(struct i6300esb *s)
{
    unsigned shift = config_of(s)[CONFIG] & CONFIG_FAST ? 5 : 15;
    uint64_t clocks = ((uint64_t)s->preload[s->stage - 1] + 1) << shift;

    return (int64_t)(clocks * 1000000000ull / PCI_CLOCK); /* below 2^35 clocks, and 2^65 / 2^30 */
}

static void run_stage(struct i6300esb *s, uint8_t stage)
{
    s->stage = stage;
    bp_timer_set(s->timer, bp_timer_now(s->timer) + stage_ns(s));
}

static void restart(struct i6300esb *s)
{
    if (s->enabled)
        run_stage(s, s->lock & LOCK_FREE ? 2 : 1);
}

static void expired(void *opaque)
{
    struct i6300esb *s = opaque;

    if (s->stage == 1) {
        if ((config_of(s)[CONFIG] & CONFIG_INTERRUPT) != CONFIG_INTERRUPT)
            s->active = true;
        run_stage(s, 2);
        return;
    }
    s->timed_out = true;
    if (s->lock & LOCK_FREE) {
        run_stage(s, 2);
    } else if (!(config_of(s)[CONFIG] & CONFIG_OUTPUT_OFF)) {
        bp_machine_watchdog_expired(bp_device_machine(bp_device_of_state(s)));
    }
}

/* ---- registers ---- */

static uint64_t i6300esb_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct i6300esb *s = opaque;
    uint32_t value = 0;

    switch (addr & ~(uint64_t)3) {
    case STATUS:
        value = s->active ? STATUS_ACTIVE : 0;
        break;
    case RELOAD:
        value = s->timed_out ? RELOAD_TIMEOUT : 0;
        break;
    default: /* preload values are write only */
        break;
    }
    return value >> (addr & 3) * 8 & (size == 4 ? UINT32_MAX : (1u << size * 8) - 1);
}

static void write_unlocked(struct i6300esb *s, uint64_t addr, uint32_t value)
{
    switch (addr) {
    case PRELOAD1:
    case PRELOAD2:
        s->preload[addr / 4] = value & PRELOAD_MAX;
        break;
    case STATUS:
        if (value & STATUS_ACTIVE)
            s->active = false;
        break;
    case RELOAD:
        if (value & RELOAD_TIMEOUT)
            s->timed_out = false;
        if (value & RELOAD_RELOAD)
            restart(s);
        break;
    default:
        break;
    }
}

static void i6300esb_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i6300esb *s = opaque;
    uint32_t shifted = (uint32_t)(value << (addr & 3) * 8);

    (void)size;
    if (addr == RELOAD && value == UNLOCK1) {
        s->unlocked = 1;
    } else if (addr == RELOAD && value == UNLOCK2 && s->unlocked == 1) {
        s->unlocked = 2;
    } else {
        if (s->unlocked == 2)
            write_unlocked(s, addr & ~(uint64_t)3, shifted);
        s->unlocked = 0;
    }
}

static const struct bp_region_ops i6300esb_ops = {
    .size = sizeof(i6300esb_ops), .read = i6300esb_read, .write = i6300esb_write};

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    struct i6300esb *s = bp_device_state(dev);
    bool enabled;

    if (offset > LOCK || offset + size <= LOCK)
        return;
    if (s->lock & LOCK_LOCKED) {
        pci->set_config(dev, LOCK, 1, 0xff, s->lock);
        return;
    }
    s->lock = pci->config(dev)[LOCK];
    enabled = s->lock & LOCK_ENABLE;
    if (enabled == s->enabled)
        return;
    s->enabled = enabled;
    if (enabled)
        restart(s);
    else
        bp_timer_cancel(s->timer);
}

/* ---- the device ---- */

static int i6300esb_attach(struct bp_device *dev, struct bp_error *err)
{
    struct i6300esb *s = bp_device_state(dev);

    (void)err;
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, expired, s);
    return 0;
}

static void i6300esb_reset(struct bp_device *dev)
{
    struct i6300esb *s = bp_device_state(dev);

    bp_timer_cancel(s->timer);
    s->preload[0] = s->preload[1] = PRELOAD_MAX;
    s->stage = 1;
    s->unlocked = s->lock = 0;
    s->enabled = s->active = false; /* timed_out says why the reset came */
}

static const struct bp_state_field i6300esb_fields[] = {
    BP_SAVE(TIMER, struct i6300esb, timer), BP_SAVE_ARRAY(UINT32, struct i6300esb, preload),
    BP_SAVE_RANGE(UINT8, struct i6300esb, stage, 1, 2), BP_SAVE_RANGE(UINT8, struct i6300esb, unlocked, 0, 2),
    BP_SAVE(UINT8, struct i6300esb, lock), BP_SAVE(BOOL, struct i6300esb, enabled),
    BP_SAVE(BOOL, struct i6300esb, active), BP_SAVE(BOOL, struct i6300esb, timed_out), BP_SAVE_END,
};
static const struct bp_state_table i6300esb_state = {.version = 1, .oldest = 1, .fields = i6300esb_fields};

static const struct bp_pci_field registers[] = {
    {.offset = CONFIG, .width = 2, .rw = CONFIG_BITS}, {.offset = LOCK, .width = 1, .rw = LOCK_BITS},
    BP_PCI_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x25ab, .class_code = 0x0880,
    .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .config_written = config_written, .fields = registers,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = 16, .name = "i6300esb", .ops = &i6300esb_ops}}};

BP_HOTPLUG_DEVICE(i6300esb, "i6300esb", "pci", "Watchdog of Intel's 6300ESB", struct i6300esb, NULL,
                  &i6300esb_state, .category = "watchdog", .bus_info = &info, .attach = i6300esb_attach,
                  .reset = i6300esb_reset);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("hw-i6300esb", "Intel 6300ESB watchdog", imports, {BP_PROVIDE_DEVICE, &i6300esb});
