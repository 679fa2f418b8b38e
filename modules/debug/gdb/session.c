/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session: bytes from and to the character device, who is there, and the machine's stops. The machine
 * stops when a client comes; what it asked for goes when it leaves.
 */
#include "gdb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#define RETRY_NS 2000000

struct session the_session;

struct bp_cpu *session_cpu(struct session *s)
{
    struct bp_cpu *cpu = bp_machine_cpu(s->machine, s->cpu);

    if (!cpu)
        cpu = bp_machine_cpu(s->machine, s->cpu = 0);
    if (cpu)
        bp_debug_sync(cpu);
    return cpu;
}

/* ---- output ---- */

static void push_out(void *opaque)
{
    struct session *s = opaque;

    if (s->open && s->out_length > 0) {
        size_t n = s->table->write(s->chr, (const uint8_t *)s->out, s->out_length, s);

        memmove(s->out, s->out + n, s->out_length - n);
        s->out_length -= n;
    }
    if (s->out_length > 0)
        bp_timer_set(s->retry, bp_clock_ns(BP_CLOCK_REALTIME) + RETRY_NS);
    else
        s->table->accept_input(s->chr, s);
}

/* There is one packet at a time, as the protocol has it; a client that asks without reading loses some. */
static void queue(struct session *s, const char *bytes, size_t n)
{
    if (!s->open || s->out_length + n > sizeof(s->out))
        return;
    memcpy(s->out + s->out_length, bytes, n);
    s->out_length += n;
    push_out(s);
}

void session_send(struct session *s)
{
    packet_end(&s->reply);
    queue(s, s->reply.data, s->reply.length);
}

void reply_text(struct session *s, const char *text)
{
    packet_begin(&s->reply);
    packet_text(&s->reply, text);
    session_send(s);
}

void reply_error(struct session *s, unsigned number)
{
    uint8_t byte = (uint8_t)number;

    packet_begin(&s->reply);
    packet_text(&s->reply, "E");
    packet_hex(&s->reply, &byte, 1);
    session_send(s);
}

void console_text(struct session *s, const char *text)
{
    packet_begin(&s->reply);
    packet_text(&s->reply, "O");
    packet_hex(&s->reply, text, strlen(text));
    packet_text(&s->reply, "0a");
    session_send(s);
}

/* ---- input ---- */

static size_t can_read(void *opaque)
{
    struct session *s = opaque;

    return s->out_length < sizeof(s->reply.data) ? 512 : 0;
}

static void complete(struct session *s)
{
    if (!s->no_ack)
        queue(s, "+", 1);
    /* While it waits for a stop, only an interrupt has a meaning; a client that asks all the same has
     * started anew. */
    if (s->waiting) {
        s->waiting = false;
        if (bp_machine_running(s->machine))
            bp_debug_stop(s->machine, false);
    }
    s->busy = true;
    command_run(s, s->reader.data, s->reader.length);
    s->busy = false;
}

static void take_input(void *opaque, const uint8_t *buf, size_t len)
{
    struct session *s = opaque;

    for (size_t i = 0; i < len && s->open; i++) {
        switch (packet_input(&s->reader, buf[i])) {
        case PACKET_COMPLETE: complete(s); break;
        case PACKET_BAD:
            if (!s->no_ack)
                queue(s, "-", 1);
            break;
        case PACKET_NAK:
            if (!s->no_ack && s->reply.length > 0)
                queue(s, s->reply.data, s->reply.length);
            break;
        case PACKET_INTERRUPT: run_interrupt(s); break;
        case PACKET_ACK:
        case PACKET_NONE: break;
        }
    }
}

/* ---- who is there ---- */

static void begin(struct session *s)
{
    s->open = true;
    s->no_ack = s->reports_breaks = s->waiting = s->physical = s->irqs_in_steps = false;
    s->cpu = 0;
    s->cpu_to_run = ALL_CPUS;
    s->out_length = 0;
    s->reply.length = 0;
    s->reader.state = PACKET_OUTSIDE;
    if (bp_machine_running(s->machine))
        bp_debug_stop(s->machine, false);
}

static void chardev_event(void *opaque, enum bp_chardev_event event)
{
    struct session *s = opaque;

    if (event == BP_CHARDEV_OPENED) {
        begin(s);
    } else if (event == BP_CHARDEV_CLOSED) {
        s->open = s->waiting = false;
        s->out_length = 0;
        points_clear(s);
    }
}

static void run_changed(void *opaque, bool running)
{
    struct session *s = opaque;

    if (!running && s->open)
        run_stopped(s);
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(handlers), .can_read = can_read, .read = take_input, .event = chardev_event,
};

/* "tcp:..." is a server that nobody has to wait for, unless it says otherwise. */
static char *complete_device(const char *device)
{
    char *text;

    if (strncmp(device, "tcp:", 4) != 0 || strstr(device, ",server"))
        return strdup(device);
    if (asprintf(&text, "%s,server=on,wait=off,nodelay=on", device) < 0)
        return NULL;
    return text;
}

int session_start(struct session *s, struct bp_machine *machine, const char *device,
                  struct bp_error *err)
{
    int ret = bp_debug_check(machine, err);
    struct bp_chardev *chr = NULL;
    char *text;

    if (ret < 0)
        return ret;
    session_end(s);
    text = complete_device(device);
    ret = s->table->create_legacy("gdb", text ? text : device, &chr, err);
    free(text);
    if (ret < 0 || !chr)
        return ret;
    if (!s->machine)
        bp_machine_on_run_change(machine, bp_machine_owner(machine), BP_RUN_ORDER_USER, run_changed, s);
    s->machine = machine;
    s->chr = chr;
    s->own_chr = strncmp(device, "chardev:", 8) != 0;
    s->retry = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, push_out, s);
    ret = s->table->connect(chr, &handlers, s, err);
    if (ret < 0)
        session_end(s);
    return ret;
}

void session_end(struct session *s)
{
    if (!s->chr)
        return;
    if (s->open)
        points_clear(s);
    s->table->disconnect(s->chr, s);
    if (s->own_chr)
        s->table->remove("gdb", NULL);
    bp_timer_free(s->retry);
    s->retry = NULL;
    s->chr = NULL;
    s->open = s->waiting = false;
}
