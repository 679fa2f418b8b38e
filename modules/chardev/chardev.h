/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of the chardev framework: a character device with its front ends and buffers. */
#ifndef CHARDEV_H
#define CHARDEV_H

#include <bp/host/chardev.h>

#define FRONTS 4          /* of a mux; others have one */
#define IN_SIZE 16384     /* bytes waiting for a front end */
#define OUT_LIMIT 65536   /* bytes waiting for the back end */
#define MAX_FDS 16        /* descriptors received and not yet taken */

struct front {
    const struct bp_chardev_handlers *handlers; /* NULL: free */
    void *opaque;
    uint8_t in[IN_SIZE]; /* ring */
    unsigned in_start, in_len;
};

struct bp_chardev {
    struct bp_chardev *next;
    struct bp_object *obj;
    const struct bp_chardev_class *class;
    char *id;
    bool open;        /* the peer is there */
    bool mux;
    bool flushing;    /* inside flush(): writable() need not call it again */
    bool delivering;  /* inside deliver(): a front end that accepts more is served by its loop */
    bool terminal;    /* has put a terminal into raw mode */
    int log_fd;       /* -1: none */

    struct front *fronts[FRONTS]; /* NULL: not connected */
    int focus;                    /* index of the front end with the keyboard, -1: none */

    uint8_t *out;     /* OUT_LIMIT bytes, made when first needed */
    size_t out_start, out_len;

    bool escaped;     /* the escape character came last */
    bool saving;      /* the disks: C-a s */
    bool stamps;      /* time in front of each line */
    bool midline;     /* of the output */
    int64_t stamps_since;

    int fds[MAX_FDS];
    unsigned fd_count;

    struct bp_serial_params params; /* size 0: none were set */
    struct bp_chardev *behind; /* what chardev-change has put in its place: owned, not listed; or NULL */
};

extern struct bp_chardev *chardev_all; /* oldest first */

/* chardev.c */
struct bp_chardev *chardev_find(const char *id);
struct bp_chardev *chardev_from_object(struct bp_object *obj);
/* `props`: the back end's keys; `common`: dict that may hold mux, logfile, logappend. */
int chardev_new(const char *id, const char *type, struct bp_value *props, struct bp_value *common,
                struct bp_chardev **ret_chr, struct bp_error *err);
/* chardev-change: another back end in place of that of `id`, whose front end stays and hears that the line was closed
 * and opened. What fails leaves all as it was. */
int chardev_change(const char *id, const char *type, struct bp_value *props, struct bp_value *common,
                   struct bp_error *err);
/* Whose back end and front ends count now: the one given, as a rule. */
struct bp_chardev *chardev_behind(struct bp_chardev *chr);
int chardev_remove(const char *id, struct bp_error *err);
int chardev_ioctl(struct bp_chardev *chr, enum bp_chardev_ioctl cmd, void *arg);
char *chardev_filename(struct bp_chardev *chr); /* malloc'd */
bool chardev_busy(const struct bp_chardev *chr);
int chardev_init(struct bp_error *err);

/* front.c */
int front_connect(struct bp_chardev *chr, const struct bp_chardev_handlers *handlers, void *opaque,
                  struct bp_error *err);
void front_set_open(struct bp_chardev *chr, bool open); /* tells the back end */
void front_disconnect(struct bp_chardev *chr, void *opaque);
/* Front ends, and what waits for them, leave `from` for `to`, which has none. */
void front_move(struct bp_chardev *from, struct bp_chardev *to);
size_t front_write(struct bp_chardev *chr, const uint8_t *buf, size_t len, void *opaque);
void front_accept_input(struct bp_chardev *chr, void *opaque);
void front_event(struct front *front, enum bp_chardev_event event);
/* Puts input into the queue of the front end that has the keyboard. */
void front_queue(struct bp_chardev *chr, const uint8_t *buf, size_t len);
void front_deliver(struct bp_chardev *chr);
size_t back_can_read(struct bp_chardev *chr);
void back_received(struct bp_chardev *chr, const uint8_t *buf, size_t len);
void back_opened(struct bp_chardev *chr);
void back_closed(struct bp_chardev *chr);
void back_writable(struct bp_chardev *chr);
void back_break(struct bp_chardev *chr);
void back_flush_wait(struct bp_chardev *chr, int ms); /* gives what is buffered a last chance */

/* mux.c */
void mux_input(struct bp_chardev *chr, const uint8_t *buf, size_t len);
void mux_set_focus(struct bp_chardev *chr, int focus);
/* As write to the back end, with a time in front of each line. */
size_t mux_write_stamped(struct bp_chardev *chr, const uint8_t *buf, size_t len);
size_t out_write(struct bp_chardev *chr, const uint8_t *buf,
                 size_t len);                               /* front.c: past the mux */
int mux_set_escape(const char *text, struct bp_error *err); /* -echr */
const char *mux_leave_hint(struct bp_chardev *chr);

/* create.c */
int create_from_args(struct bp_value *args, struct bp_chardev **ret_chr, struct bp_error *err);
/* chardev-change of `id`, by the same words. */
int create_change(const char *id, struct bp_value *args, struct bp_error *err);
int create_legacy(const char *id, const char *text, struct bp_chardev **ret_chr,
                  struct bp_error *err);
/* "socket,path=/x,server=on" into a dict; the first word without "=" is `implied`'s. */
int create_parse(const char *text, const char *implied, struct bp_value *dict,
                 struct bp_error *err);

/* qmp.c */
extern const struct bp_schema qmp_backend_schema;
int qmp_chardev_add(const char *id, struct bp_value *backend, struct bp_value **ret_value,
                    struct bp_error *err);
int qmp_chardev_change(const char *id, struct bp_value *backend, struct bp_value **ret_value,
                       struct bp_error *err);
int qmp_chardev_remove(const char *id, struct bp_error *err);
int qmp_query_chardev(struct bp_value **ret_value, struct bp_error *err);
int qmp_query_backends(struct bp_value **ret_value, struct bp_error *err);
int qmp_send_break(const char *id, struct bp_error *err);

/* terminal.c */
void terminal_raw(int fd, bool signals); /* once the machine may start */
void terminal_restore(void);
bool terminal_active(void);

/* ---- kind.c ---- */
extern const struct bp_kind chardev_kind;

#endif
