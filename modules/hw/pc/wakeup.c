/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waking from suspend to RAM (ACPI 6.4, 16.3.2). Firmware finds in the clock's RAM that this is no start, and leads to
 * the waking vector of the FACS. Where there is no firmware its part is done here: the chipset as after a start, the
 * first processor at the waking vector, in real mode.
 */
#include "chipset.h"
#include "pc.h"

#include <bp/bus/pci.h>
#include <bp/chip/mc146818.h>
#include <bp/log.h>
#include <string.h>

#define CMOS_SHUTDOWN 0x0fu  /* why the processor was reset, for firmware ... */
#define SHUTDOWN_WOKEN 0xfeu /* ... that knows this code for a wake-up */
#define FACS_VECTOR 12u      /* Firmware_Waking_Vector (5.2.10) */

/* False: the guest left no way back. */
static bool lead_back(const struct pc *pc)
{
    struct bp_x86_cpu *x = bp_cpu_state(bp_machine_cpu(pc->machine, 0));
    uint64_t vector = 0;

    bp_space_load(bp_machine_memory(pc->machine), acpi_facs_address(pc) + FACS_VECTOR, 4, &vector);
    if (!pc->acpi || vector == 0 || vector >= 0x100000)
        return false;
    x->seg[BP_CS] = (struct bp_x86_segment){.selector = (uint16_t)(vector >> 4), .attr = 0x9b, .limit = 0xffff,
                                            .base = vector & 0xffff0u};
    x->rip = vector & 15;
    return true;
}

/* PAM stays open over the sleep: SeaBIOS goes on in the copy of itself that it made there. */
void pc_wake(struct pc *pc, enum bp_wakeup_cause cause, const struct bp_pci_interface *pci,
             const struct bp_rtc_nvram_interface *nvram, const struct bp_apic_interface *apic)
{
    pc->host_if->shadow(pc->host);
    pc->pm_if->woken(pc->pm, cause);
    smm_reset(pc);
    if (pc->firmware) {
        nvram->set(pc->rtc, CMOS_SHUTDOWN, SHUTDOWN_WOKEN);
        return;
    }
    firmware_chipset(pc, pci);
    apic->virtual_wire(pc->lapic);
    if (lead_back(pc))
        return;
    bp_warn("the guest has slept without a waking vector: it starts anew");
    pc_reset(pc->machine);
}
