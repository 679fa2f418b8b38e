/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A qtest session: one connection, its unfinished input line, and output that waits. */
#ifndef QTEST_H
#define QTEST_H

#include <bp/host/chardev.h>
#include <bp/device.h>

#define QTEST_MAX_LINE (16u << 20) /* bytes of one command */
#define QTEST_MAX_DATA (4u << 20)  /* bytes that one read, write or memset moves */

struct qtest_buffer {
    char *data;
    size_t len, room;
};

struct qtest_watch { /* one intercepted set of lines */
    struct qtest_watch *next;
    struct qtest *session;
    struct bp_device *dev;
    bool inputs;
    char *name; /* only these; NULL: all */
    uint64_t levels[4]; /* of lines 0..255 */
};

struct qtest {
    struct bp_chardev *chr;
    struct qtest_buffer in, out;
    size_t out_done;
    bool skipping;          /* the rest of a line that was too long */
    struct bp_timer *retry; /* output did not fit */
    struct qtest_watch *watches;
};

/* text.c. Appending never fails (memory exhaustion ends the program). */
void qtest_append(struct qtest_buffer *b, const void *data, size_t len);
void qtest_append_hex(struct qtest_buffer *b, const uint8_t *data, size_t len);
void qtest_append_base64(struct qtest_buffer *b, const uint8_t *data, size_t len);
/* The whole text is one number, "12", "0x1f", "-3". */
bool qtest_number(const char *text, uint64_t *ret_value);
/* Returns the number of bytes decoded into buf (at most size), or -EINVAL. */
long qtest_decode_hex(const char *text, uint8_t *buf, size_t size);
long qtest_decode_base64(const char *text, uint8_t *buf, size_t size);

/* qtest.c */
void qtest_send(struct qtest *q, const char *text, size_t len);
void qtest_printf(struct qtest *q, const char *fmt, ...) BP_PRINTF(2, 3);

/* command.c: runs one line (changed in place) and sends its reply. */
void qtest_run_line(struct qtest *q, char *line);

/* lines.c. 0 or -errno with err. */
int qtest_intercept(struct qtest *q, const char *path, const char *name, bool inputs,
                    struct bp_error *err);
int qtest_set_line(const char *path, const char *name, unsigned n, int level, struct bp_error *err);
void qtest_forget_lines(struct qtest *q);

#endif
