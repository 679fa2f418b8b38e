/* SPDX-License-Identifier: MIT */
/*
 * Input: interface input/1, offered by the `display` module. Viewers and the monitor send events;
 * devices (keyboards, mice, tablets) take them. Events are those of Linux's evdev: type, code and value
 * as <linux/input-event-codes.h> has them.
 *
 * Each console with devices bound to it is a seat; all other devices are at the default seat, which serves
 * the other consoles. Of the devices of a seat that take an event the one that was activated last gets it.
 * A device without space is waited for: for each up to BP_INPUT_QUEUE events are kept, then senders are
 * told. Under the machine lock: [main], but for what devices call (room, activate, set_leds), which is
 * [any].
 */
#ifndef BP_HOST_INPUT_H
#define BP_HOST_INPUT_H

#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_console; /* bp/host/display.h */

struct bp_input_device; /* opaque: who takes events */

enum bp_input_type { /* EV_* */
    BP_INPUT_SYNC = 0, /* end of what belongs together; code and value 0 */
    BP_INPUT_KEY = 1,  /* KEY_* and BTN_*; value 1: down, 0: up, 2: repeated */
    BP_INPUT_REL = 2,  /* REL_X, REL_Y, REL_WHEEL (away from the user is positive), REL_HWHEEL */
    BP_INPUT_ABS = 3,  /* ABS_X, ABS_Y: 0..BP_INPUT_ABS_MAX over the console; ABS_MT_* */
};
#define BP_INPUT_ABS_MAX 32767
#define BP_INPUT_QUEUE 4096u

struct bp_input_event {
    uint16_t type, code;
    int32_t value;
};

#define BP_INPUT_TAKES_KEYS 1u     /* a keyboard's */
#define BP_INPUT_TAKES_RELATIVE 2u /* a mouse's motion; buttons and wheels of a pointer with either */
#define BP_INPUT_TAKES_ABSOLUTE 4u /* a tablet's */
#define BP_INPUT_TAKES_TOUCH 8u    /* ABS_MT_* with slots */
#define BP_INPUT_TAKES_ALWAYS 16u  /* also while the machine stands: it is none of the guest's */

#define BP_INPUT_LED_SCROLL 1u
#define BP_INPUT_LED_NUM 2u
#define BP_INPUT_LED_CAPS 4u

struct bp_input_ops {
    uint32_t size;  /* sizeof(struct bp_input_ops) */
    uint32_t takes; /* BP_INPUT_TAKES_* */
    const char *name; /* "PS/2 Mouse", for `info mice`; borrowed */
    /* How many more events it takes now (a sync is none); NULL: any number. When that grows from too
     * few it calls input->room(). */
    unsigned (*space)(void *opaque);
    /* One event; never a sync, and never more than there is room for. */
    void (*event)(void *opaque, const struct bp_input_event *event);
    void (*sync)(void *opaque); /* what came since the last one belongs together; NULL: never mind */
    void *reserved[4];
};

/* A device as others see it. */
struct bp_input_description {
    uint32_t size, takes; /* BP_INPUT_TAKES_* */
    const char *name;
    unsigned index; /* as long as it lives */
    bool current;   /* of the pointers at the default seat, the one that gets the events */
    void *reserved[2];
};

struct bp_input_interface { /* input/1 */
    uint32_t size;

    /* ---- for devices ---- */
    /* `console` NULL: of the default seat; `ops` copied. */
    int (*device_new)(struct bp_object *device, struct bp_console *console,
                      const struct bp_input_ops *ops, void *opaque,
                      struct bp_input_device **ret_device, struct bp_error *err);
    void (*device_free)(struct bp_input_device *device); /* NULL is fine */
    /* The guest's driver has begun to use it: it comes before others of its kind. */
    void (*activate)(struct bp_input_device *device);
    void (*room)(struct bp_input_device *device); /* there is space again */
    void (*set_leds)(struct bp_input_device *device, uint32_t leds); /* BP_INPUT_LED_* */

    /* ---- for senders ---- */
    /* `console` NULL in these: the machine's default seat. */
    /* Sends all or nothing, in order. A sync is put behind the last.
     * -EBUSY: that many don't fit now (listen() tells when to try again); -ENODEV: nobody takes such events;
     * -EAGAIN: the machine does not run; -EINVAL: an event makes no sense. One key or button that is down and
     * goes up is always taken. */
    int (*send)(struct bp_machine *machine, struct bp_console *console,
                const struct bp_input_event *events, unsigned count, struct bp_error *err);
    /* How many events a send() would take now. */
    unsigned (*space)(struct bp_machine *machine, struct bp_console *console);
    /* One pointer position, in pixels of a picture of width x height: sent absolute where the seat's
     * pointer is, else as the way from the last one (the first gives none). Errors as send(). */
    int (*pointer)(struct bp_machine *machine, struct bp_console *console, int32_t x, int32_t y,
                   uint32_t width, uint32_t height, struct bp_error *err);
    /* Is the pointer of the console's seat an absolute one? */
    bool (*is_absolute)(struct bp_machine *machine, struct bp_console *console);
    uint32_t (*leds)(struct bp_machine *machine, struct bp_console *console);
    /* fn is called when LEDs, the kind of pointer, or the room for events changed, until unlisten(). */
    void (*listen)(void (*fn)(void *opaque), void *opaque);
    void (*unlisten)(void (*fn)(void *opaque), void *opaque);
    /* All keys and buttons that are down go up: a viewer lost the focus or its connection. */
    void (*release_all)(struct bp_machine *machine, struct bp_console *console);
    /* KEY_* or BTN_* of a name as QMP and `sendkey` have it ("ctrl", "a", "kp_enter", "less"), or of a
     * number ("0x2a": an XT scan code, 0x80 added where e0 comes before it); 0: there is none. */
    uint16_t (*key_code)(const char *name);
    const char *(*key_name)(uint16_t code); /* QMP's name, or NULL */
    /* All devices of a machine, by index; stops at a return that is not 0, and returns it. */
    int (*each)(struct bp_machine *machine,
                int (*fn)(const struct bp_input_description *device, void *opaque), void *opaque);
    /* The pointer with this index gets the events from now on. -ENOENT in words. */
    int (*select)(struct bp_machine *machine, unsigned index, struct bp_error *err);
    /* 1.1: the layout that people's keyboards have (-k: "de", "en-us"), NULL: nothing was said. Borrowed until it
     * is set again; the text is copied. */
    const char *(*language)(void);
    void (*set_language)(const char *language);
    void *reserved[6];
};

BP_END_DECLS

#endif
