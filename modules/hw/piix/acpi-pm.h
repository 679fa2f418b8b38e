// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The fixed registers of ACPI (ACPI 6.4, chapter 4.8) as PIIX4 and ICH9 have them: PM1 status, enable
 * and control, the PM timer, a GPE0 block; the SCI; sleeping.
 */
#ifndef HW_ACPI_PM_H
#define HW_ACPI_PM_H

#include <bp/clock.h>
#include <bp/device.h>
#include <bp/run.h>
#include <bp/state.h>

#define ACPI_PM_SIZE 0x0cu /* PM1 and the timer, from the base */

struct acpi_pm {
    uint16_t status, enable, control;
    uint16_t gpe_status, gpe_enable; /* of GPE0; registers behind the first 16 bits read 0 */
    uint64_t seen_half; /* half periods of the PM timer already turned into its status bit */
    uint8_t disable_s3, disable_s4;
    uint8_t sleeping; /* S3 was entered; until the reset of the wake-up */
    struct bp_timer *timer;
    struct bp_irq *sci;
    struct bp_machine *machine;
};

/* From attach(): makes output line "sci", input line "rtc" (the clock's alarm) and the timer. The device's state begins
 * with it. */
void acpi_pm_init(struct acpi_pm *pm, struct bp_device *dev);
void acpi_pm_reset(struct acpi_pm *pm);
void acpi_pm_update(struct acpi_pm *pm); /* after something changed; also after loading */
/* Registers from the base; reads of others give 0. */
uint64_t acpi_pm_read(struct acpi_pm *pm, uint64_t addr, unsigned size);
void acpi_pm_write(struct acpi_pm *pm, uint64_t addr, uint64_t value, unsigned size);
/* One byte of a GPE0 block of `length` bytes. */
uint8_t acpi_gpe_read(const struct acpi_pm *pm, uint64_t addr, unsigned length);
void acpi_gpe_write(struct acpi_pm *pm, uint64_t addr, uint8_t value, unsigned length);
void acpi_pm_enable_sci(struct acpi_pm *pm, bool on); /* ACPI mode */
void acpi_pm_power_button(struct acpi_pm *pm);
void acpi_pm_woken(struct acpi_pm *pm, enum bp_wakeup_cause cause); /* after the reset */
void acpi_pm_gpe(struct acpi_pm *pm, uint16_t bits);
bool acpi_pm_gpe_enabled(const struct acpi_pm *pm, uint16_t bits);

extern const struct bp_state_table acpi_pm_state; /* of a struct acpi_pm */
extern const struct bp_event acpi_pm_suspend_disk;
#define ACPI_PM_SAVE(STATE, FIELD) \
    { .name = "acpi-pm", .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, FIELD), .count = 1, \
      .stride = sizeof(struct acpi_pm), .table = &acpi_pm_state }

#endif
