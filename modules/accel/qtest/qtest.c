/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Accelerator `qtest`: runs no guest code and lets time stand, so that a test drives devices from
 * outside; and option -qtest, the connection over which it does. The text protocol is the one that
 * QEMU's documentation describes (docs/devel/testing, "QTest Protocol").
 *
 * Leaves out: commands of machines that do not exist here (rtas), module_load (QMP has it).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/loop.h>
#include <bp/exact/cpu.h>
#include <bp/option.h>

#include "qtest.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

#define RETRY_NS 1000000   /* until output that did not fit is tried again */
#define OUT_ENOUGH 1048576 /* waiting output that makes us stop reading */

static FILE *log_file; /* -qtest-log; one for the process */

/* ---- output ---- */

static void log_line(char direction, const char *text, size_t len)
{
    int64_t now;

    if (!log_file)
        return;
    now = bp_clock_ns(BP_CLOCK_REALTIME);
    fprintf(log_file, "[%c +%lld.%06lld] %.*s%s", direction, (long long)(now / 1000000000),
            (long long)(now % 1000000000 / 1000), (int)(len > 1000 ? 1000 : len), text,
            len > 1000 || len == 0 || text[len - 1] != '\n' ? "\n" : "");
    fflush(log_file);
}

static void flush(void *opaque)
{
    struct qtest *q = opaque;

    while (q->out_done < q->out.len) {
        size_t n = chardev->write(q->chr, (const uint8_t *)q->out.data + q->out_done,
                                  q->out.len - q->out_done, q);

        if (n == 0) {
            bp_timer_set(q->retry, bp_clock_ns(BP_CLOCK_REALTIME) + RETRY_NS);
            return;
        }
        q->out_done += n;
    }
    q->out_done = q->out.len = 0;
    chardev->accept_input(q->chr, q);
}

void qtest_send(struct qtest *q, const char *text, size_t len)
{
    bool idle = q->out.len == 0;

    log_line('S', text, len);
    qtest_append(&q->out, text, len);
    if (idle)
        flush(q);
}

void qtest_printf(struct qtest *q, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (len >= (int)sizeof(text)) {
        len = sizeof(text) - 1;
        text[len - 1] = '\n';
    }
    qtest_send(q, text, (size_t)len);
}

/* ---- input ---- */

static size_t can_read(void *opaque)
{
    struct qtest *q = opaque;

    return q->out.len - q->out_done > OUT_ENOUGH ? 0 : 65536;
}

static void take_line(struct qtest *q)
{
    if (q->skipping)
        qtest_printf(q, "FAIL a line has at most %u bytes\n", QTEST_MAX_LINE);
    else if (memchr(q->in.len ? q->in.data : "x", '\0', q->in.len))
        qtest_printf(q, "FAIL a zero byte\n");
    else if (q->in.len > 0) {
        log_line('R', q->in.data, q->in.len);
        qtest_run_line(q, q->in.data);
    }
    q->skipping = false;
    q->in.len = 0;
}

static void received(void *opaque, const uint8_t *buf, size_t len)
{
    struct qtest *q = opaque;

    while (len > 0) {
        const uint8_t *end = memchr(buf, '\n', len);
        size_t part = end ? (size_t)(end - buf) : len;

        if (q->in.len + part > QTEST_MAX_LINE)
            q->skipping = true;
        if (!q->skipping)
            qtest_append(&q->in, buf, part);
        if (!end)
            return;
        take_line(q);
        buf += part + 1;
        len -= part + 1;
    }
}

static void happened(void *opaque, enum bp_chardev_event event)
{
    struct qtest *q = opaque;

    if (event != BP_CHARDEV_CLOSED)
        return;
    /* the next client begins afresh */
    qtest_forget_lines(q);
    bp_timer_cancel(q->retry);
    q->in.len = q->out.len = q->out_done = 0;
    q->skipping = false;
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(struct bp_chardev_handlers),
    .can_read = can_read, .read = received, .event = happened,
};

/* ---- options ---- */

static int apply_qtest(struct bp_value *args, struct bp_error *err)
{
    struct bp_chardev *chr = NULL;
    struct qtest *q;
    int r = chardev->create_legacy("qtest", bp_value_as_string(args), &chr, err);

    if (r < 0)
        return r;
    if (!chr)
        return bp_fail(err, EINVAL, "'none' is no connection");
    q = calloc(1, sizeof(*q));
    if (!q)
        return bp_fail(err, ENOMEM, "out of memory");
    q->chr = chr;
    q->retry = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, flush, q);
    r = chardev->connect(chr, &handlers, q, err); /* then it lives as long as the process */
    if (r < 0) {
        bp_timer_free(q->retry);
        free(q);
    }
    return r;
}

BP_OPTION(option_qtest, "qtest", "lets a test drive devices over this character device",
          .arg = "dev", .group = "Debug and expert options", .phase = BP_PHASE_LATE,
          .apply = apply_qtest);

static int apply_qtest_log(struct bp_value *args, struct bp_error *err)
{
    const char *path = bp_value_as_string(args);
    FILE *file = fopen(path, "we");

    if (!file)
        return bp_fail(err, errno, "cannot write '%s': %s", path, strerror(errno));
    if (log_file)
        fclose(log_file);
    log_file = file;
    return 0;
}

BP_OPTION(option_qtest_log, "qtest-log", "writes what -qtest exchanges to a file",
          .arg = "file", .group = "Debug and expert options", .phase = BP_PHASE_EARLY,
          .apply = apply_qtest_log);

/* ---- the accelerator ---- */

struct qtest_accel {
    uint8_t unused;
};

static int accel_init(struct bp_accel *accel, struct bp_error *err)
{
    struct bp_machine *machine = bp_object_machine(bp_object_of_state(bp_accel_state(accel)));

    (void)err;
    bp_virtual_manual(machine);
    bp_contexts_fold(machine);
    return 0;
}

BP_ACCEL(accel_qtest, "qtest", "any", "Runs no code; a test drives devices and time",
         struct qtest_accel, NULL, .no_cpus = true, .init = accel_init);

BP_MODULE("accel-qtest", "Tests of devices from outside", imports,
          {BP_PROVIDE_ACCEL, &accel_qtest}, {BP_PROVIDE_OPTION, &option_qtest},
          {BP_PROVIDE_OPTION, &option_qtest_log});
