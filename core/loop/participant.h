/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files about participants share. All [main], with the machine lock. */
#ifndef BPC_PARTICIPANT_H
#define BPC_PARTICIPANT_H

#include "context.h"

struct bpc_drain_waiting {
    struct bpc_drain_waiting *next;
    void (*done)(void *opaque, int ret);
    void *opaque;
};

struct bp_participant {
    struct bpc_claim claim; /* first */
    struct bp_owner *owner;
    const struct bp_participant_ops *ops; /* or NULL */
    void *opaque;
    struct bp_participant *all_next, **all_link; /* list of all, newest first */
    bool gone, begun, holding, drained;
    unsigned drains;                   /* that were asked for and have not ended */
    struct bpc_drain_waiting *waiting; /* for drained */
    struct bp_context *home;           /* counts as one that lives there; NULL: was never put anywhere */
    struct bp_context *to;             /* counts there too; NULL: it is not to be moved */
    struct bpc_drain_waiting move;
    unsigned looked;

    struct bp_participant *leader;          /* NULL: it follows nobody */
    struct bp_participant *first, *sibling; /* followers */
    bool led;    /* the leader's drain is one of its drains */
    bool moves;  /* with its leader */
    bool moving; /* moved() is still to be called */
};

extern struct bp_participant *bpc_participants;

struct bp_participant *bpc_participant_of(struct bp_owner *owner); /* makes one that has no ops */
/* One more drain of it, that nobody is told of; -ENODEV: its owner is leaving. */
int bpc_participant_keep(struct bp_participant *p);
/* That one ends; it may go on within the call. */
void bpc_participant_let_go(struct bp_participant *p);
/* Drained by now, if it has nothing to wait for. */
void bpc_participant_try(struct bp_participant *p);

/* ---- drain.c ---- */
/* Its owner leaves, or its context is another one: the drains of whole contexts look again. */
void bpc_drains_forget(struct bp_participant *p);
void bpc_drains_look(void);
/* The owner's context is that one now; it has made nothing yet. */
void bpc_drains_arrive(struct bp_participant *p);

#endif
