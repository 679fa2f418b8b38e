/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of the stub: a session with a client on a character device. Everything is [main] under the
 * machine lock. Threads are vCPUs: their ids are indices plus one.
 */
#ifndef GDB_H
#define GDB_H

#include <bp/exact/debug.h>
#include <bp/exact/machine.h>
#include <bp/host/chardev.h>
#include <bp/loop.h>

#include "packet.h"

#define MAX_POINTS 1024
#define OUT_SIZE (4 * sizeof(((struct packet_writer *)0)->data))

struct bp_timer;

/* As the protocol numbers them (gdb/signals.def, in words in its manual). */
enum { SIGNAL_INT = 2, SIGNAL_QUIT = 3, SIGNAL_TRAP = 5, SIGNAL_ABRT = 6, SIGNAL_ALRM = 14, SIGNAL_IO = 23 };

struct session {
    const struct bp_chardev_interface *table;
    struct bp_machine *machine;
    struct bp_chardev *chr;   /* NULL: no stub */
    bool own_chr;             /* made for the stub */
    bool open;                /* a client is there */
    bool no_ack;
    bool reports_breaks;      /* it wants to hear swbreak and hwbreak */
    bool waiting;             /* for a stop reply */
    bool busy;                /* a packet is being carried out: the session does not end within */
    bool physical;            /* addresses are the machine's */
    bool irqs_in_steps;
    unsigned cpu;             /* of g, m and the like: index */
    unsigned cpu_to_run;      /* of c and s without vCont; ALL_CPUS */
    unsigned list_at;         /* of qsThreadInfo */

    struct bp_debug_point points[MAX_POINTS];
    bool hardware[MAX_POINTS]; /* asked for as one */
    unsigned point_count;

    struct packet_reader reader;
    struct packet_writer reply; /* the last one, for repetition */
    bool silent;                /* no reply to this packet */
    char out[OUT_SIZE];         /* not yet taken by the chardev */
    size_t out_length;
    struct bp_timer *retry;
};
#define ALL_CPUS (~0u)

extern struct session the_session;

/* session.c */
int session_start(struct session *s, struct bp_machine *machine, const char *device, struct bp_error *err);
void session_end(struct session *s);
void session_send(struct session *s); /* the packet in s->reply */
void reply_text(struct session *s, const char *text);
void reply_error(struct session *s, unsigned number); /* "E16" */
/* Text on the client's console, while it waits for a stop. */
void console_text(struct session *s, const char *text);
/* The processor that register and memory packets are about; NULL: none is there. */
struct bp_cpu *session_cpu(struct session *s);

/* commands.c */
void command_run(struct session *s, const char *data, size_t length);
/* query.c: "q..." and "Q..." */
void query_run(struct session *s, const char *data);
/* memory.c */
void memory_read(struct session *s, const char *data);
void memory_write(struct session *s, const char *data, size_t length, bool binary);
/* points.c */
void point_change(struct session *s, const char *data, bool insert);
void points_clear(struct session *s);
/* run.c */
void run_packet(struct session *s, const char *data); /* c C s S */
void run_vcont(struct session *s, const char *data);  /* behind "vCont" */
void run_interrupt(struct session *s);
void run_detach(struct session *s);
void run_stopped(struct session *s); /* the machine stopped */
void run_reply_state(struct session *s); /* fills the reply with why it stands */

#endif
