/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drives a device on the fake host without knowing what it is: random accesses to whatever it claims
 * (ports, memory, PCI configuration space), time passing, resets, saved state. Used by the test of
 * every device and by `backplane-module check`. [main]
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <glib.h>

#include <bp/test.h>

#define EXERCISE_MAX_TARGETS 256u

struct exercise {
    struct bp_test_host *host;
    struct bp_device *dev;
    GRand *rand;
    struct exercise_target {
        bool ports;
        uint64_t first, size;
    } targets[EXERCISE_MAX_TARGETS];
    unsigned count;
    unsigned devfn; /* PCI: where it answers, or UINT_MAX */
    bool still;     /* no time passes between accesses */
};

/* Makes a device with a chardev where it takes one, else with defaults alone; puts what some types
 * want to find in place first. */
int exercise_make_device(struct bp_test_host *host, const char *type, struct bp_device **ret_dev,
                         struct bp_error *err);
/* Finds what the device claims, places its BARs and enables them. `rand` is borrowed. */
void exercise_begin(struct exercise *x, struct bp_test_host *host, struct bp_device *dev,
                    GRand *rand);
/* This many accesses at random; now and then time passes, or the machine is reset. */
void exercise_accesses(struct exercise *x, unsigned count);
/* Saves, resets, loads, saves: -EIO when the bytes differ. Then loads cut and twisted states, which
 * may be refused but must not crash. */
int exercise_saved_state(struct exercise *x, struct bp_error *err);
/*
 * Uses it, saves, uses it further, resets, loads, and compares the bytes of its state struct with what
 * they were when it was saved: -EIO names the range that did not come back, which its saved table
 * lacks. -EAGAIN: it does not save or load at all, which exercise_saved_state() tells.
 */
int exercise_forgotten_state(struct exercise *x, struct bp_error *err);

#endif
