/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets by their first letter (the manual's appendix E.2): registers, threads, the end. */
#include "gdb.h"

#include <errno.h>
#include <string.h>

#include <bp/run.h>

static const struct bp_cpu_registers *registers(struct bp_cpu *cpu)
{
    return bp_cpu_class(cpu)->registers;
}

static void read_all(struct session *s)
{
    struct bp_cpu *cpu = session_cpu(s);
    uint8_t buf[64];

    packet_begin(&s->reply);
    for (unsigned i = 0; cpu && i < registers(cpu)->count(cpu); i++) {
        int n = registers(cpu)->read(cpu, i, buf);

        packet_hex(&s->reply, buf, n > 0 ? (size_t)n : 0);
    }
    session_send(s);
}

static void write_all(struct session *s, const char *data)
{
    struct bp_cpu *cpu = session_cpu(s);
    uint8_t old[64], buf[64];
    int failed = cpu ? 0 : -EINVAL;

    for (unsigned i = 0; cpu && *data && i < registers(cpu)->count(cpu); i++) {
        int n = registers(cpu)->read(cpu, i, old);

        if (n < 0 || take_hex(&data, buf, (size_t)n) != (size_t)n) {
            failed = -EINVAL;
            break;
        }
        if (memcmp(old, buf, (size_t)n) != 0 && registers(cpu)->write(cpu, i, buf, (unsigned)n) < 0)
            failed = -EPERM;
    }
    if (cpu)
        bp_debug_changed(cpu);
    if (failed < 0)
        reply_error(s, (unsigned)-failed);
    else
        reply_text(s, "OK");
}

static void read_one(struct session *s, const char *data)
{
    struct bp_cpu *cpu = session_cpu(s);
    uint64_t number;
    uint8_t buf[64];
    int n = -EINVAL;

    if (cpu && take_number(&data, &number) && number <= 0xffff)
        n = registers(cpu)->read(cpu, (unsigned)number, buf);
    if (n < 0) {
        reply_error(s, (unsigned)-n);
        return;
    }
    packet_begin(&s->reply);
    packet_hex(&s->reply, buf, (size_t)n);
    session_send(s);
}

static void write_one(struct session *s, const char *data)
{
    struct bp_cpu *cpu = session_cpu(s);
    uint64_t number;
    uint8_t buf[64];
    int ret = -EINVAL;

    if (cpu && take_number(&data, &number) && number <= 0xffff && take_char(&data, '='))
        ret = registers(cpu)->write(cpu, (unsigned)number, buf,
                                    (unsigned)take_hex(&data, buf, sizeof(buf)));
    if (cpu)
        bp_debug_changed(cpu);
    if (ret < 0)
        reply_error(s, (unsigned)-ret);
    else
        reply_text(s, "OK");
}

/* "c5", "g0", "g-1" */
static void choose_thread(struct session *s, const char *data)
{
    char what = *data ? *data++ : 0;
    bool all = strcmp(data, "-1") == 0;
    uint64_t thread = 0;

    if ((what != 'c' && what != 'g') || (!all && !take_number(&data, &thread)) ||
        (thread > 0 && !bp_machine_cpu(s->machine, (unsigned)(thread - 1)))) {
        reply_error(s, EINVAL);
        return;
    }
    if (what == 'c')
        s->cpu_to_run = all || thread == 0 ? ALL_CPUS : (unsigned)(thread - 1);
    else if (thread > 0)
        s->cpu = (unsigned)(thread - 1);
    reply_text(s, "OK");
}

static void is_alive(struct session *s, const char *data)
{
    uint64_t thread;

    if (take_number(&data, &thread) && thread > 0 && thread <= 0xffff &&
        bp_machine_cpu(s->machine, (unsigned)(thread - 1)))
        reply_text(s, "OK");
    else
        reply_error(s, EINVAL);
}

static void kill_it(struct session *s)
{
    s->silent = true;
    bp_machine_request_exit(s->machine, 0);
}

static void verbose(struct session *s, const char *data)
{
    if (strncmp(data, "vCont", 5) == 0) {
        run_vcont(s, data + 5);
    } else if (strncmp(data, "vKill", 5) == 0) {
        reply_text(s, "OK");
        kill_it(s);
    } else if (strcmp(data, "vCtrlC") == 0) {
        reply_text(s, "OK");
        run_interrupt(s);
    } else {
        reply_text(s, "");
    }
}

void command_run(struct session *s, const char *data, size_t length)
{
    s->silent = false;
    switch (*data) {
    case '?':
        run_reply_state(s);
        session_send(s);
        break;
    case 'g': read_all(s); break;
    case 'G': write_all(s, data + 1); break;
    case 'p': read_one(s, data + 1); break;
    case 'P': write_one(s, data + 1); break;
    case 'm': memory_read(s, data + 1); break;
    case 'M': memory_write(s, data + 1, length - 1, false); break;
    case 'X': memory_write(s, data + 1, length - 1, true); break;
    case 'Z': point_change(s, data + 1, true); break;
    case 'z': point_change(s, data + 1, false); break;
    case 'c':
    case 'C':
    case 's':
    case 'S': run_packet(s, data); break;
    case 'v': verbose(s, data); break;
    case 'q':
    case 'Q': query_run(s, data); break;
    case 'H': choose_thread(s, data + 1); break;
    case 'T': is_alive(s, data + 1); break;
    case 'D': run_detach(s); break;
    case 'k': kill_it(s); break;
    case 'b':
        reply_text(s, "E.going backwards is not built: nothing records what the machine did");
        break;
    default: reply_text(s, "");
    }
}
