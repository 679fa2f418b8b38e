// SPDX-License-Identifier: LGPL-2.1-or-later
/* The fixed registers of ACPI (acpi-pm.h). Left out: the global lock's interrupt. */
#define BP_SHARED
#include "acpi-pm.h"

#include <bp/chip/piix.h>
#include <bp/command.h>
#include <bp/log.h>
#include <bp/run.h>

#define PM_HZ 3579545u
#define TIMER_HALF (1u << 23) /* the status bit goes up when bit 23 changes */

enum { /* from the base */
    PM1_STATUS = 0x00,
    PM1_CONTROL = 0x04,
    PM_TIMER = 0x08,
};

#define PM1_TIMER 0x0001u
#define PM1_GLOBAL 0x0020u
#define PM1_POWER_BUTTON 0x0100u
#define PM1_RTC 0x0400u
#define PM1_WAKE 0x8000u
#define PM1_STATUS_BITS (PM1_TIMER | 0x0010u | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC | PM1_WAKE)
#define PM1_ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC)
#define CONTROL_SCI 0x0001u
#define CONTROL_SLEEP 0x2000u
#define CONTROL_WRITABLE 0x1c03u /* SLP_TYP, BRLD_EN, SCI_EN */

/* ---- PM timer ---- */
static uint64_t pm_ticks(const struct acpi_pm *s)
{
    return (uint64_t)((unsigned __int128)(uint64_t)bp_timer_now(s->timer) * PM_HZ /
                      1000000000u);
}

static int64_t pm_ticks_to_ns(uint64_t ticks)
{
    unsigned __int128 ns = ((unsigned __int128)ticks * 1000000000u + PM_HZ - 1) / PM_HZ;

    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

void acpi_pm_update(struct acpi_pm *s)
{
    uint64_t half = pm_ticks(s) / TIMER_HALF;
    bool sci;

    if (half != s->seen_half)
        s->status |= PM1_TIMER;
    s->seen_half = half;
    sci = (s->status & s->enable & PM1_ENABLE_BITS) || (s->gpe_status & s->gpe_enable);
    bp_irq_set(s->sci, sci && (s->control & CONTROL_SCI));
    if ((s->enable & PM1_TIMER) && !(s->status & PM1_TIMER))
        bp_timer_set(s->timer, pm_ticks_to_ns((half + 1) * TIMER_HALF));
    else
        bp_timer_cancel(s->timer);
}

static void timer_due(void *opaque)
{
    acpi_pm_update(opaque);
}

/* ---- sleeping ---- */
BP_EVENT(acpi_pm_suspend_disk, "SUSPEND_DISK",
         "The guest asked to be saved to its disk and switched off", NULL, 0);

/* What would wake it may have come already: it does not sleep through that. */
static void sleep_with_memory(struct acpi_pm *s)
{
    s->sleeping = 1;
    bp_machine_request_suspend(s->machine);
    if (s->status & PM1_POWER_BUTTON)
        bp_machine_request_wakeup(s->machine, BP_WAKEUP_POWER_BUTTON);
    else if (s->status & s->enable & PM1_RTC)
        bp_machine_request_wakeup(s->machine, BP_WAKEUP_RTC);
}

static void sleep_now(struct acpi_pm *s, unsigned type)
{
    if (type == BP_PIIX4_SLP_S3 && !s->disable_s3) {
        sleep_with_memory(s);
    } else if (type == BP_PIIX4_SLP_S5) {
        bp_machine_request_shutdown(s->machine, BP_SHUTDOWN_GUEST_SHUTDOWN);
    } else if (type == BP_PIIX4_SLP_S4 && !s->disable_s4) {
        bp_event_send(&acpi_pm_suspend_disk, NULL);
        bp_machine_request_shutdown(s->machine, BP_SHUTDOWN_GUEST_SHUTDOWN);
    } else {
        bp_guest_error("acpi-sleep", "ACPI: sleep type %u is not available", type);
    }
}

/* ---- PM1 and timer ports ---- */
static uint32_t pm_dword(struct acpi_pm *s, unsigned addr)
{
    switch (addr) {
    case PM1_STATUS:
        return s->status | (uint32_t)s->enable << 16;
    case PM1_CONTROL:
        return s->control;
    case PM_TIMER:
        return (uint32_t)pm_ticks(s) & 0xffffff;
    default:
        return 0;
    }
}

uint64_t acpi_pm_read(struct acpi_pm *s, uint64_t addr, unsigned size)
{
    (void)size;
    acpi_pm_update(s);
    return pm_dword(s, (unsigned)addr & ~3u) >> (8 * (addr & 3));
}

void acpi_pm_write(struct acpi_pm *s, uint64_t addr, uint64_t value, unsigned size)
{
    unsigned shift = 8 * (addr & 3);
    uint32_t mask = (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1) << shift;
    uint32_t v = (uint32_t)value << shift & mask;

    acpi_pm_update(s);
    switch (addr & ~3ull) {
    case PM1_STATUS:
        s->status &= (uint16_t)~(v & PM1_STATUS_BITS);
        s->enable = (uint16_t)(((s->enable & ~(mask >> 16)) | v >> 16) & PM1_ENABLE_BITS);
        break;
    case PM1_CONTROL: /* SLP_EN always reads 0 */
        mask &= CONTROL_WRITABLE;
        s->control = (uint16_t)((s->control & ~mask) | (v & mask));
        if (v & CONTROL_SLEEP)
            sleep_now(s, s->control >> 10 & 7);
        break;
    default:
        return;
    }
    acpi_pm_update(s);
}

/* ---- general purpose events ---- */
uint8_t acpi_gpe_read(const struct acpi_pm *s, uint64_t addr, unsigned length)
{
    uint16_t v = addr < length / 2 ? s->gpe_status : s->gpe_enable;
    unsigned byte = (unsigned)(addr % (length / 2));

    return byte < 2 ? (uint8_t)(v >> 8 * byte) : 0;
}

void acpi_gpe_write(struct acpi_pm *s, uint64_t addr, uint8_t value, unsigned length)
{
    unsigned byte = (unsigned)(addr % (length / 2)), shift = 8 * byte;

    if (byte >= 2)
        return;
    if (addr < length / 2)
        s->gpe_status &= (uint16_t)~(value << shift);
    else
        s->gpe_enable = (uint16_t)((s->gpe_enable & ~(0xffu << shift)) | (unsigned)value << shift);
    acpi_pm_update(s);
}

void acpi_pm_gpe(struct acpi_pm *s, uint16_t bits)
{
    s->gpe_status |= bits;
    acpi_pm_update(s);
}

bool acpi_pm_gpe_enabled(const struct acpi_pm *s, uint16_t bits)
{
    return (s->control & CONTROL_SCI) && (s->gpe_enable & bits) == bits;
}

/* ---- the rest ---- */
void acpi_pm_enable_sci(struct acpi_pm *s, bool on)
{
    s->control = (uint16_t)((s->control & ~CONTROL_SCI) | (on ? CONTROL_SCI : 0));
    acpi_pm_update(s);
}

void acpi_pm_power_button(struct acpi_pm *s)
{
    s->status |= PM1_POWER_BUTTON;
    if (s->sleeping)
        bp_machine_request_wakeup(s->machine, BP_WAKEUP_POWER_BUTTON);
    acpi_pm_update(s);
}

/* The clock's alarm has come, or was acknowledged. */
static void rtc_alarm(struct bp_device *dev, unsigned n, int level)
{
    struct acpi_pm *s = bp_device_state(dev); /* acpi_pm_init() has seen that it begins so */

    (void)n;
    if (!level)
        return;
    s->status |= PM1_RTC;
    if (s->sleeping && (s->enable & PM1_RTC))
        bp_machine_request_wakeup(s->machine, BP_WAKEUP_RTC);
    acpi_pm_update(s);
}

void acpi_pm_woken(struct acpi_pm *s, enum bp_wakeup_cause cause)
{
    s->status |= PM1_WAKE;
    if (cause == BP_WAKEUP_RTC)
        s->status |= PM1_RTC;
    else if (cause == BP_WAKEUP_POWER_BUTTON)
        s->status |= PM1_POWER_BUTTON;
    acpi_pm_update(s);
}

void acpi_pm_reset(struct acpi_pm *s)
{
    s->status = s->enable = s->control = 0;
    s->sleeping = 0;
    s->gpe_status = s->gpe_enable = 0;
    s->seen_half = pm_ticks(s) / TIMER_HALF;
    acpi_pm_update(s);
}

void acpi_pm_init(struct acpi_pm *s, struct bp_device *dev)
{
    bp_device_add_irq_outputs(dev, "sci", 1);
    bp_device_add_irq_inputs(dev, "rtc", 1, rtc_alarm);
    s->sci = bp_device_irq_output(dev, "sci", 0);
    s->machine = bp_device_machine(dev);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_due, s);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT16, struct acpi_pm, status),
    BP_SAVE(UINT16, struct acpi_pm, enable),
    BP_SAVE(UINT16, struct acpi_pm, control),
    BP_SAVE(UINT16, struct acpi_pm, gpe_status),
    BP_SAVE(UINT16, struct acpi_pm, gpe_enable),
    BP_SAVE(UINT64, struct acpi_pm, seen_half),
    BP_SAVE(UINT8, struct acpi_pm, sleeping),
    BP_SAVE_END,
};
const struct bp_state_table acpi_pm_state = {.version = 1, .oldest = 1, .fields = fields};
