/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The human monitor on a chardev: prompt, line editing, output that waits for a slow reader. */
#include <string.h>

#include <glib.h>

#include <bp/clock.h>
#include <bp/coroutine.h>

#include "hmp.h"
#include "monitor-list.h"
#include "readline.h"

#define PROMPT "(qemu) "
#define RETRY_NS 2000000
#define BACKLOG_STOPS_READING (64u << 10)

struct human {
    struct bpc_monitor_entry entry; /* first */
    const struct bp_chardev_interface *table;
    struct bp_chardev *chr;
    struct bp_monitor mon;
    struct bpc_readline *readline;
    struct bp_timer *retry;
    GByteArray *out;
    bool open, focused;
    struct line_job *job;      /* the command that is being waited for, or NULL */
    GByteArray *typed;         /* what was typed meanwhile */
    struct bp_deferred *go_on; /* takes that up when it has ended */
};

/* A line that runs in a coroutine, so that its command may wait. It may outlive the monitor. */
struct line_job {
    struct human *h; /* NULL: the monitor has gone */
    char *line;
    struct bp_monitor mon;
    struct bp_co *co; /* NULL: none could be made, it runs without */
};

static bool push_out(struct bpc_monitor_entry *entry)
{
    struct human *h = (struct human *)entry;
    bool was_full = h->out->len >= BACKLOG_STOPS_READING;

    while (h->open && h->out->len > 0) {
        size_t n = h->table->write(h->chr, h->out->data, h->out->len, h);

        if (n == 0)
            break;
        g_byte_array_remove_range(h->out, 0, (guint)n);
    }
    if (!h->open)
        g_byte_array_set_size(h->out, 0);
    if (h->out->len > 0)
        bp_timer_set(h->retry, bp_clock_ns(BP_CLOCK_REALTIME) + RETRY_NS);
    if (was_full && h->out->len < BACKLOG_STOPS_READING)
        h->table->accept_input(h->chr, h);
    return h->out->len == 0;
}

static void retry_fired(void *opaque)
{
    struct human *h = opaque;

    push_out(&h->entry);
}

static void output(void *opaque, const char *text, size_t len)
{
    struct human *h = opaque;

    g_byte_array_append(h->out, (const guint8 *)text, (guint)len);
}

static void show_result(struct human *h, const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");

        output(h, p, n);
        if (p[n])
            output(h, "\r\n", 2);
        p += n + (p[n] != '\0');
    }
    bpc_readline_show(h->readline);
}

static void job_main(void *opaque)
{
    struct line_job *job = opaque;
    struct human *h;

    bpc_hmp_run(&job->mon, job->line);
    h = job->h;
    if (h) {
        h->job = NULL;
        h->mon.cpu_index = job->mon.cpu_index;
        show_result(h, job->mon.out->str);
        push_out(&h->entry);
        bp_deferred_schedule(h->go_on);
    }
    g_string_free(job->mon.out, TRUE);
    g_free(job->line);
    bp_co_unref(job->co);
    g_free(job);
}

static void run_line(void *opaque, const char *line)
{
    struct human *h = opaque;
    struct line_job *job = g_new0(struct line_job, 1);

    job->h = h;
    job->line = g_strdup(line);
    job->mon = h->mon;
    job->mon.out = g_string_new(NULL);
    job->mon.history = bpc_readline_history(h->readline);
    h->job = job;
    if (bp_co_new(NULL, NULL, "monitor command", job_main, job, &job->co, NULL) < 0)
        job_main(job);
    else
        bp_co_enter(job->co);
}

static void drop_job(struct human *h)
{
    struct line_job *job = h->job;

    g_byte_array_set_size(h->typed, 0);
    if (!job)
        return;
    h->job = NULL;
    job->h = NULL;
    job->mon.history = NULL;
    if (job->co)
        bp_co_cancel(job->co);
}

static size_t can_read(void *opaque)
{
    struct human *h = opaque;

    return h->out->len < BACKLOG_STOPS_READING && h->typed->len == 0 ? 256 : 0;
}

static void take_input(void *opaque, const uint8_t *buf, size_t len)
{
    struct human *h = opaque;

    size_t i;

    for (i = 0; i < len && !h->job; i++)
        bpc_readline_input(h->readline, buf[i]);
    g_byte_array_append(h->typed, buf + i, (guint)(len - i));
    push_out(&h->entry);
}

static void go_on(void *opaque)
{
    struct human *h = opaque;
    GByteArray *typed = h->typed;

    h->typed = g_byte_array_new();
    take_input(h, typed->data, typed->len);
    g_byte_array_free(typed, TRUE);
    h->table->accept_input(h->chr, h);
}

static void say_hello(struct human *h)
{
    static const char hello[] = "Backplane " BP_VERSION " monitor - type 'help' for more "
                                "information\r\n";

    output(h, hello, strlen(hello));
    bpc_readline_show(h->readline);
    push_out(&h->entry);
}

/* On a mux the greeting waits until the monitor is first switched to. */
static void chardev_event(void *opaque, enum bp_chardev_event event)
{
    struct human *h = opaque;

    switch (event) {
    case BP_CHARDEV_OPENED:
        h->open = true;
        bpc_readline_reset(h->readline);
        if (h->focused)
            say_hello(h);
        break;
    case BP_CHARDEV_CLOSED:
        h->open = false;
        drop_job(h);
        g_byte_array_set_size(h->out, 0);
        break;
    case BP_CHARDEV_MUX_OUT:
        h->focused = false;
        break;
    case BP_CHARDEV_MUX_IN:
        if (!h->focused && h->open) {
            h->focused = true;
            output(h, "\r\n", 2);
            say_hello(h);
        }
        h->focused = true;
        break;
    case BP_CHARDEV_BREAK:
        break;
    }
}

static void free_human(struct human *h)
{
    bp_timer_free(h->retry);
    bp_deferred_free(h->go_on);
    g_byte_array_free(h->typed, TRUE);
    bpc_readline_free(h->readline);
    g_byte_array_free(h->out, TRUE);
    g_string_free(h->mon.out, TRUE);
    g_free(h);
}

static void close_human(struct bpc_monitor_entry *entry)
{
    struct human *h = (struct human *)entry;

    h->table->disconnect(h->chr, h);
    drop_job(h);
    free_human(h);
}

int bpc_human_new(const struct bp_chardev_interface *table, struct bp_chardev *chr,
                  struct bp_error *err)
{
    static const struct bp_chardev_handlers handlers = {
        .size = sizeof(struct bp_chardev_handlers),
        .can_read = can_read, .read = take_input, .event = chardev_event,
    };
    static const struct bpc_readline_ops ops = {
        .output = output, .line = run_line, .complete = bpc_hmp_complete,
    };
    struct human *h = g_new0(struct human, 1);
    int ret;

    h->table = table;
    h->chr = chr;
    h->focused = true;
    h->mon.out = g_string_new(NULL);
    h->out = g_byte_array_new();
    h->typed = g_byte_array_new();
    h->go_on = bp_deferred_new(NULL, NULL, go_on, h);
    h->readline = bpc_readline_new(PROMPT, &ops, h);
    h->retry = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, retry_fired, h);
    h->entry.push_out = push_out;
    h->entry.close = close_human;
    ret = table->connect(chr, &handlers, h, err);
    if (ret < 0) {
        free_human(h);
        return ret;
    }
    bpc_monitor_list_add(&h->entry);
    return 0;
}
