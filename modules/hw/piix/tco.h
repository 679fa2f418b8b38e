/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog of Intel's I/O controller hubs (TCO timer; ICH9 data sheet, order 316972, 13.9): 32 ports from 0x60 of
 * the power management ports on. Under the machine lock.
 */
#ifndef HW_TCO_H
#define HW_TCO_H

#include <bp/clock.h>
#include <bp/device.h>
#include <bp/state.h>

#define TCO_BASE 0x60u /* from the power management base */
#define TCO_LENGTH 0x20u
#define TCO_TMR 0x12u
#define TCO_GCS 0x3410u /* of the chipset's registers (RCBA): bit 5, NO_REBOOT */

struct tco {
    struct bp_device *dev;
    struct bp_timer *timer; /* the end of this count */
    uint16_t left;          /* steps, while it is halted */
    uint16_t status1, status2, control1, control2, initial;
    uint8_t data_in, data_out, message[2], progress, cause;
    uint8_t started;  /* by the first write of TCO_RLD */
    uint8_t allow;    /* NO_REBOOT was cleared */
    bool strap;       /* set by the board: NO_REBOOT cannot be cleared */
    void (*smi)(struct bp_device *dev); /* an SMI of TCO, if it is enabled */
};

extern const struct bp_state_table tco_state;

/* From attach(). */
void tco_init(struct tco *s, struct bp_device *dev, void (*smi)(struct bp_device *dev));
void tco_reset(struct tco *s);
uint8_t tco_read(const struct tco *s, unsigned at);
void tco_write(struct tco *s, unsigned at, uint8_t value);
void tco_set_timer(struct tco *s, uint16_t value); /* TCO_TMR as one word */
/* GCS, of which only NO_REBOOT is there. */
uint16_t tco_gcs(const struct tco *s);
void tco_set_gcs(struct tco *s, uint16_t value);

#endif
