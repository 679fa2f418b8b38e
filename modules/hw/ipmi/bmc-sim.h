/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The simulated BMC: what its files share. */
#ifndef IPMI_BMC_SIM_H
#define IPMI_BMC_SIM_H

#include "ipmi.h"

#include <bp/clock.h>

#define SIM_SEL_MOST 128u /* entries of the event log, 16 bytes each */
#define SIM_SDR_MOST 65536u
#define SIM_FRU_MOST 65535u

struct sim {
    /* properties */
    char *sdrfile, *frudatafile, *guid;
    uint32_t fru_size;

    struct bp_device *dev;
    uint8_t guid_bytes[16];
    bool has_guid;
    uint8_t enables, flags; /* global enables, message flags */
    uint8_t power_states[2], restart_cause, identify;
    uint8_t boot_options[5];
    struct {
        uint8_t use, actions, pre_timeout, expired; /* as Set Watchdog Timer has them; bits of timer uses */
        uint16_t count;                             /* 100 ms */
        bool initialised, running, dont_log, pre_done;
        int64_t end; /* on the virtual clock, ns */
        uint16_t event; /* states of the sensor */
    } dog;
    struct bp_timer *timer;
    uint8_t *sdr; /* owned: records, one after the other */
    uint32_t sdr_size;
    uint8_t *fru; /* owned: fru_size bytes */
    uint16_t sdr_reservation, sel_reservation;
    uint8_t sel[SIM_SEL_MOST][16];
    uint16_t sel_count, sel_next; /* id of the next entry */
    bool sel_overflow;
    int64_t sel_offset; /* seconds that its clock is ahead of the host's */
    uint32_t sel_added, sel_erased;
};

/* What a command sees and fills. */
struct sim_call {
    const uint8_t *data; /* after netFn and command */
    unsigned len;
    uint8_t *answer; /* after the completion code */
    unsigned answer_len;
};
struct sim_command {
    uint8_t netfn, command;
    uint8_t least; /* bytes of data */
    uint8_t (*run)(struct sim *s, struct sim_call *c); /* gives the completion code */
};
extern const struct sim_command sim_storage_commands[], sim_watchdog_commands[]; /* end: run NULL */

void sim_put(struct sim_call *c, unsigned byte);
void sim_put16(struct sim_call *c, unsigned v);
void sim_put32(struct sim_call *c, uint32_t v);
void sim_update_attention(struct sim *s);
void sim_log(struct sim *s, uint8_t sensor_type, uint8_t sensor, uint8_t event_type, uint8_t data1, uint8_t data2);
int sim_storage_open(struct sim *s, struct bp_error *err);
void sim_storage_close(struct sim *s);
void sim_watchdog_open(struct sim *s);
void sim_watchdog_reset(struct sim *s); /* of the machine: it stops */
void sim_power(struct sim *s, unsigned how); /* as Chassis Control */

#endif
