// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PS/2 keyboard and mouse as the controller sees them: bytes in, a bounded queue of bytes out
 * (IBM PS/2 Technical Reference, keyboard and mouse chapters; the wheel extension of 1996).
 */
#ifndef HW_I8042_PS2_H
#define HW_I8042_PS2_H

#include <bp/state.h>

#define PS2_QUEUE 64

struct ps2_queue {
    uint8_t byte[PS2_QUEUE];
    uint8_t head, count;
};

struct ps2_keyboard {
    struct ps2_queue queue;
    uint8_t command; /* waits for a parameter, 0: none */
    uint8_t last;    /* last byte sent, for "resend" */
    uint8_t scan_set, leds, rate;
    bool scanning;
    bool alt, ctrl;      /* are down: some keys have other codes then */
    uint8_t breaks[32];  /* set 3: a bit for each code whose key tells when it goes up */
};

struct ps2_mouse {
    struct ps2_queue queue;
    uint8_t command, last;
    uint8_t id; /* 0, 3 (wheel), 4 (five buttons) */
    uint8_t rate, resolution;
    uint8_t recent_rates[2]; /* before the last: the knock that enables the wheel */
    uint8_t buttons;      /* that are down: 1 left, 2 right, 4 middle, 8 and 16 the side ones */
    uint8_t told;         /* those that the last packet told */
    bool reporting, remote, scaling, wrap;
    uint32_t dx, dy, dz;  /* way since the last packet, signed: right, up, towards the user */
};

extern const struct bp_state_table ps2_keyboard_state, ps2_mouse_state;

void ps2_keyboard_reset(struct ps2_keyboard *k); /* power-on: queues the self-test result */
void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte);
void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte);
/* Takes the oldest byte; false when there is none. */
bool ps2_keyboard_next(struct ps2_keyboard *k, uint8_t *ret_byte);
/* A packet although nothing changed, when it would tell of changes and has room. */
void ps2_mouse_nudge(struct ps2_mouse *m);
bool ps2_mouse_next(struct ps2_mouse *m, uint8_t *ret_byte);
/* A key of evdev's number goes down or up; what the queue has no room for is lost: ask before. */
void ps2_keyboard_key(struct ps2_keyboard *k, uint16_t code, bool down);
unsigned ps2_keyboard_space(const struct ps2_keyboard *k); /* keys that find room */
/* Motion as evdev has it (down is positive, wheel away from the user), and buttons; then flush. */
void ps2_mouse_move(struct ps2_mouse *m, int32_t dx, int32_t dy, int32_t wheel);
void ps2_mouse_button(struct ps2_mouse *m, unsigned bit, bool down);
void ps2_mouse_flush(struct ps2_mouse *m); /* packets of what happened, as far as there is room */
unsigned ps2_mouse_space(const struct ps2_mouse *m);
/* Codes of a key (keys.c): set 2, with 0xe0 or 0xe1 above it; set 3. 0: it has none. */
uint16_t ps2_set2(uint16_t code);
uint8_t ps2_set3(uint16_t code);
bool ps2_keyboard_has_data(const struct ps2_keyboard *k);
bool ps2_mouse_has_data(const struct ps2_mouse *m);

/* Scan code set 2 to set 1 of one byte, as the controller translates. */
uint8_t ps2_translate(uint8_t byte);

#endif
