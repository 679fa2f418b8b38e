/* SPDX-License-Identifier: MIT */
/*
 * Character devices: interface chardev/1, offered by the `chardev` module. A back end (stdio,
 * socket, ...) carries bytes; a front end (a UART, a monitor) uses it. [main] under the machine
 * lock, but for write, which is [any] under the machine lock.
 */
#ifndef BP_HOST_CHARDEV_H
#define BP_HOST_CHARDEV_H

#include <bp/kind.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_chardev; /* opaque; a bp_object of type "chardev" at /chardevs/ID */

enum bp_chardev_event {
    BP_CHARDEV_OPENED, /* the peer is there (at connect() too, when it already is) */
    BP_CHARDEV_CLOSED,
    BP_CHARDEV_BREAK,
    /* This front end now has the keyboard. On connect() a mux says MUX_OUT before OPENED to a front
     * end that has it not, MUX_IN after OPENED to the first one, which has. */
    BP_CHARDEV_MUX_IN,
    BP_CHARDEV_MUX_OUT,
};

/* A front end's callbacks; those beyond `size` do not exist. */
struct bp_chardev_handlers {
    uint32_t size; /* sizeof(struct bp_chardev_handlers) */
    /* Bytes that read() will take now; 0: none, until accept_input(). */
    size_t (*can_read)(void *opaque);
    void (*read)(void *opaque, const uint8_t *buf, size_t len); /* len <= can_read() */
    void (*event)(void *opaque, enum bp_chardev_event event);
    void *reserved[2];
};

struct bp_serial_params {
    uint32_t size; /* sizeof(struct bp_serial_params) */
    int speed, parity /* 'N' 'E' 'O' */, data_bits, stop_bits;
    uint32_t reserved[3];
};
enum bp_chardev_ioctl { /* arg: struct bp_serial_params *, int * */
    BP_CHARDEV_SET_PARAMS, BP_CHARDEV_SET_BREAK, BP_CHARDEV_GET_TIOCM, BP_CHARDEV_SET_TIOCM,
    /* Of parallel ports: registers as IEEE 1284 has them, with uint8_t *; -ENOTSUP: it is none. */
    BP_CHARDEV_PP_READ_DATA, BP_CHARDEV_PP_WRITE_DATA, BP_CHARDEV_PP_READ_STATUS, BP_CHARDEV_PP_WRITE_CONTROL,
    BP_CHARDEV_PP_SET_INPUT, /* int *: the data lines are inputs */
    /* One EPP cycle, uint8_t *; -ETIMEDOUT: nobody answered. */
    BP_CHARDEV_EPP_READ_ADDRESS, BP_CHARDEV_EPP_WRITE_ADDRESS, BP_CHARDEV_EPP_READ_DATA, BP_CHARDEV_EPP_WRITE_DATA,
};

/* A back end. type.props are the keys of -chardev TYPE,... (without id, mux, logfile, logappend,
 * which the framework adds). */
struct bp_chardev_class {
    struct bp_type_info type; /* name: "socket" is type "chardev-socket"; see BP_CHARDEV */
    int (*open)(struct bp_chardev *chr, struct bp_error *err); /* properties are set */
    void (*close)(struct bp_chardev *chr);
    /* Takes up to len bytes without blocking; returns how many (0: full; the framework buffers a
     * bounded amount and calls again after bp ->writable()), or -errno. */
    int (*write)(struct bp_chardev *chr, const uint8_t *buf, size_t len);
    void (*accept_input)(struct bp_chardev *chr); /* the front end can take more; NULL: it polls */
    int (*ioctl)(struct bp_chardev *chr, enum bp_chardev_ioctl cmd, void *arg);
    void (*set_echo)(struct bp_chardev *chr, bool echo); /* terminals: line editing done by us */
    /* Text for query-chardev "filename" (malloc'd): "unix:/run/x,server=on"; NULL: the type name. */
    char *(*filename)(struct bp_chardev *chr);
    /* For unix_socket(); NULL: it is none. */
    int (*unix_socket)(struct bp_chardev *chr, int *ret_fd);
    /* Somebody uses it, or nobody does: a front end has come or gone, or says so itself (set_front_open). [any] under
     * the machine lock */
    void (*front_open)(struct bp_chardev *chr, bool open);
    void *reserved[2];
};

/* Back ends are a kind of their own: chardev, of the framework's module. */
static const struct bp_shape_slot bp_chardev_slots[] BP_UNUSED = {BP_SHAPE_TYPE, BP_SHAPE_END};
static const struct bp_shape bp_chardev_shape BP_UNUSED = {
    "bp_chardev_class", sizeof(struct bp_chardev_class), bp_chardev_slots};
#define BP_CHARDEV_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "chardev", \
    .heading = "Available chardev backend types:", .summary = "Character devices", \
    .option = "chardev", .prefix = "chardev-", .parent = "chardev", .container = "/chardevs", \
    .shape = &bp_chardev_shape
static const struct bp_kind bp_chardev_kind BP_UNUSED = {
    BP_CHARDEV_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define BP_CHARDEV(ident, NAME, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=chardev:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_chardev_class ident = { \
        .type = {.size = sizeof(struct bp_chardev_class), .flags = 0, .name = "chardev-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), \
                 .props = PROPS, .state = NULL, .kind = &bp_chardev_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

struct bp_chardev_interface { /* chardev/1 */
    uint32_t size;
    /* ---- for front ends ---- */
    /* From a property's link or bp_machine_serial(); NULL when the object is no chardev. */
    struct bp_chardev *(*from_object)(struct bp_object *obj);
    struct bp_chardev *(*find)(const char *id); /* borrowed or NULL */
    /* One front end at a time (a mux takes four); -EBUSY otherwise. handlers is borrowed. -EINVAL:
     * its size makes no sense. */
    int (*connect)(struct bp_chardev *chr, const struct bp_chardev_handlers *handlers, void *opaque,
                   struct bp_error *err);
    void (*disconnect)(struct bp_chardev *chr, void *opaque);
    /* Never blocks; what the back end does not take is buffered up to 64 KiB, then dropped
     * oldest first never: newest are refused. Returns the bytes taken. */
    size_t (*write)(struct bp_chardev *chr, const uint8_t *buf, size_t len, void *opaque);
    void (*accept_input)(struct bp_chardev *chr, void *opaque);
    int (*ioctl)(struct bp_chardev *chr, enum bp_chardev_ioctl cmd, void *arg);
    void (*set_echo)(struct bp_chardev *chr, bool echo);
    bool (*is_open)(struct bp_chardev *chr); /* the peer is there */
    /* ---- for the command line and QMP ---- */
    /* -chardev and chardev-add: args has "id", "backend" (type name) and the type's keys. */
    int (*create)(struct bp_value *args, struct bp_chardev **ret_chr, struct bp_error *err);
    /* The short forms of -serial and -monitor: "stdio", "mon:stdio", "null", "none" (gives NULL),
     * "pty", "file:PATH", "pipe:PATH", "unix:PATH,server=on,wait=off", "tcp:HOST:PORT,...",
     * "telnet:...", "chardev:ID", "vc". */
    int (*create_legacy)(const char *id, const char *text, struct bp_chardev **ret_chr,
                         struct bp_error *err);
    int (*remove)(const char *id, struct bp_error *err);
    /* ---- for back ends ---- */
    void *(*state)(struct bp_chardev *chr);
    struct bp_chardev *(*of_state)(void *state);
    size_t (*can_read)(struct bp_chardev *chr); /* what the front end takes now */
    void (*received)(struct bp_chardev *chr, const uint8_t *buf, size_t len);
    void (*opened)(struct bp_chardev *chr);
    void (*closed)(struct bp_chardev *chr);
    void (*writable)(struct bp_chardev *chr);
    /* Descriptors that came with SCM_RIGHTS, for QMP getfd. Takes ownership. */
    void (*received_fds)(struct bp_chardev *chr, const int *fds, size_t count);
    int (*take_fd)(struct bp_chardev *chr); /* oldest one not yet taken, or -1; caller owns */
    /* Terminal modes, restored on every way out: saves fd's modes once, sets raw (with signals). */
    void (*terminal_raw)(int fd, bool signals);
    void (*terminal_restore)(void);
    void (*received_break)(struct bp_chardev *chr); /* for back ends: the line was held at 0 */
    /* One line that says how to leave a mux on a terminal ("Ctrl-a x ends ..."), for the program to
     * print; NULL when the chardev is no such thing. Borrowed. */
    const char *(*leave_hint)(struct bp_chardev *chr);
    /*
     * For a front end whose protocol carries descriptors and needs answers in their turn: the UNIX stream socket that
     * it lies on (borrowed until CLOSED; -1: the peer is not there). Such a front end's can_read() gives 0, and it
     * reads and writes there itself; after reading all it calls accept_input(), so that the end is noticed. -ENOTSUP:
     * it is none, or TLS and the like lie in between. From 1.1 on. [main]
     */
    int (*unix_socket)(struct bp_chardev *chr, int *ret_fd);
    /* 1.1, for front ends: whether the guest has the other side open, where that can be told. What a front end never
     * says is true while it is connected. */
    void (*set_front_open)(struct bp_chardev *chr, bool open);
};

BP_END_DECLS

#endif
