/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the balloon share. */
#ifndef HW_VIRTIO_BALLOON_H
#define HW_VIRTIO_BALLOON_H

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#define BALLOON_TYPE "virtio-balloon-base"
#define BALLOON_STATS 10u

struct balloon {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *inflate, *deflate, *stats, *reporting;
    bool deflate_on_oom, free_page_reporting;
    struct bp_owner *main;
    struct bp_deferred *work; /* what needs the machine lock */
    struct bp_timer *poll;
    struct bp_virtq_request *taking; /* whose pages are being taken */
    uint64_t taken;                  /* bytes of it that are done */
    struct bp_virtq_request *stats_buffer; /* is given back to ask for newer ones */
    int64_t interval; /* s between questions, 0: none */
    uint64_t stat[BALLOON_STATS]; /* UINT64_MAX: not told */
    int64_t updated;  /* s since the epoch; 0: never */
    bool tell_actual;
};

extern const struct bp_command balloon_command, balloon_query;
extern const struct bp_hmp_command balloon_hmp, balloon_info;
extern const struct bp_event balloon_event;

struct balloon *balloon_of(struct bp_device *dev);
/* Bytes that the guest has left, and is to have. [main] under the machine lock */
uint64_t balloon_actual(struct balloon *s);
void balloon_set(struct balloon *s, uint64_t bytes);

#endif
