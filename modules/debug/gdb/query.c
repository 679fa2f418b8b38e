/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* General queries (the manual's appendix E.4), and those by which clients choose how steps and memory work. */
#include "gdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>

#define STEP_ENABLE 1u
#define STEP_NO_IRQ 2u

static void supported(struct session *s, const char *data)
{
    s->reports_breaks = strstr(data, "swbreak+") != NULL;
    packet_begin(&s->reply);
    packet_text(&s->reply, "PacketSize=");
    packet_number(&s->reply, PACKET_SIZE);
    packet_text(&s->reply, ";QStartNoAckMode+;vContSupported+;qXfer:features:read+;swbreak+;hwbreak+");
    session_send(s);
}

static void threads(struct session *s, const char *data)
{
    unsigned listed = 0, i = data[1] == 'f' ? 0 : s->list_at;
    unsigned slots = bp_machine_smp(s->machine)->max_cpus;

    packet_begin(&s->reply);
    for (; i < slots && listed < 64; i++) {
        if (!bp_machine_cpu(s->machine, i))
            continue;
        packet_text(&s->reply, listed++ ? "," : "m");
        packet_number(&s->reply, i + 1);
    }
    s->list_at = i;
    if (listed == 0)
        packet_text(&s->reply, "l");
    session_send(s);
}

static void thread_extra(struct session *s, const char *data)
{
    struct bp_cpu *cpu;
    uint64_t thread;
    char text[96];

    if (!take_number(&data, &thread) || thread == 0 ||
        !(cpu = bp_machine_cpu(s->machine, (unsigned)(thread - 1)))) {
        reply_error(s, EINVAL);
        return;
    }
    snprintf(text, sizeof(text), "CPU %u, %s", bp_cpu_index(cpu), bp_cpu_class(cpu)->model);
    packet_begin(&s->reply);
    packet_hex(&s->reply, text, strlen(text));
    session_send(s);
}

/* "ANNEX:OFFSET,LENGTH" */
static void features(struct session *s, const char *data)
{
    struct bp_cpu *cpu = session_cpu(s);
    const char *colon = strchr(data, ':'), *rest = colon ? colon + 1 : NULL;
    uint64_t offset, length;
    char name[32], *text;
    size_t size;

    if (!colon || colon - data >= (long)sizeof(name) || !take_number(&rest, &offset) ||
        !take_char(&rest, ',') || !take_number(&rest, &length) || !cpu) {
        reply_error(s, EINVAL);
        return;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(colon - data), data);
    text = bp_cpu_class(cpu)->registers->describe(cpu, name);
    if (!text) {
        reply_text(s, "E00");
        return;
    }
    size = strlen(text);
    offset = offset < size ? offset : size;
    length = length < PACKET_SIZE / 2 ? length : PACKET_SIZE / 2;
    packet_begin(&s->reply);
    packet_text(&s->reply, length >= size - offset ? "l" : "m");
    packet_binary(&s->reply, text + offset, length < size - offset ? (size_t)length : size - (size_t)offset);
    session_send(s);
    free(text);
}

/* "monitor ..." of the client. */
static void monitor(struct session *s, const char *data)
{
    char line[1024], *text;
    size_t n = take_hex(&data, (uint8_t *)line, sizeof(line) - 1);

    if (*data) {
        reply_error(s, EINVAL);
        return;
    }
    line[n] = '\0';
    text = bp_monitor_execute(line);
    for (size_t at = 0, size = text ? strlen(text) : 0; at < size;) {
        size_t piece = size - at < PACKET_SIZE / 2 ? size - at : PACKET_SIZE / 2;

        packet_begin(&s->reply);
        packet_text(&s->reply, "O");
        packet_hex(&s->reply, text + at, piece);
        session_send(s);
        at += piece;
    }
    free(text);
    reply_text(s, "OK");
}

static void set_step(struct session *s, const char *data)
{
    uint64_t value;

    if (!take_number(&data, &value) || value & ~(uint64_t)(STEP_ENABLE | STEP_NO_IRQ)) {
        reply_error(s, EINVAL);
        return;
    }
    s->irqs_in_steps = !(value & STEP_NO_IRQ);
    reply_text(s, "OK");
}

static void set_physical(struct session *s, const char *data)
{
    if (strcmp(data, "0") != 0 && strcmp(data, "1") != 0) {
        reply_error(s, EINVAL);
        return;
    }
    s->physical = *data == '1';
    reply_text(s, "OK");
}

static void start_no_ack(struct session *s, const char *data)
{
    (void)data;
    reply_text(s, "OK");
    s->no_ack = true;
}

static void attached(struct session *s, const char *data)
{
    (void)data;
    reply_text(s, "1");
}

static void current_thread(struct session *s, const char *data)
{
    (void)data;
    packet_begin(&s->reply);
    packet_text(&s->reply, "QC");
    packet_number(&s->reply, s->cpu + 1);
    session_send(s);
}

static void fine(struct session *s, const char *data)
{
    (void)data;
    reply_text(s, "OK");
}

static void step_bits(struct session *s, const char *data)
{
    (void)data;
    reply_text(s, "ENABLE=1,NOIRQ=2");
}

static void get_step(struct session *s, const char *data)
{
    (void)data;
    reply_text(s, s->irqs_in_steps ? "0x1" : "0x3");
}

static void get_physical(struct session *s, const char *data)
{
    (void)data;
    reply_text(s, s->physical ? "1" : "0");
}

void query_run(struct session *s, const char *data)
{
    static const struct {
        const char *name; /* how it begins */
        bool whole;       /* it is all of it */
        void (*fn)(struct session *s, const char *data);
    } queries[] = {
        {"qSupported", false, supported}, {"qXfer:features:read:", false, features},
        {"qThreadExtraInfo,", false, thread_extra}, {"qRcmd,", false, monitor},
        {"QStartNoAckMode", true, start_no_ack}, {"qAttached", false, attached},
        {"qC", true, current_thread}, {"qSymbol::", true, fine},
        {"qqemu.sstepbits", true, step_bits}, {"qqemu.sstep", true, get_step},
        {"Qqemu.sstep=", false, set_step}, {"qqemu.PhyMemMode", true, get_physical},
        {"Qqemu.PhyMemMode:", false, set_physical},
    };

    if (strcmp(data, "qfThreadInfo") == 0 || strcmp(data, "qsThreadInfo") == 0) {
        threads(s, data);
        return;
    }
    for (unsigned i = 0; i < BP_COUNT(queries); i++) {
        size_t n = strlen(queries[i].name);

        if (strncmp(data, queries[i].name, n) == 0 && (!queries[i].whole || !data[n])) {
            queries[i].fn(s, data + n);
            return;
        }
    }
    reply_text(s, ""); /* unknown ones are answered so */
}
