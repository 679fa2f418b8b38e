/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets that the guest sends (82540EM, chapters 3.3 to 3.5; 82576, chapter 7.2): their data are put together, and
 * the packet is handed to the network with what is left to do of it: segmentation and checksums over the rest of the
 * packet. When the network does not take it, it waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "gigabit.h"

void gbe_frame_reset(struct gbe_frame *f)
{
    uint8_t *bytes = f->bytes;

    *f = (struct gbe_frame){.bytes = bytes};
}

void gbe_frame_free(struct gbe_frame *f)
{
    free(f->bytes);
    f->bytes = NULL;
}

void gbe_frame_add(struct gbe *g, struct gbe_frame *f, uint64_t address, uint32_t length)
{
    if (!f->bytes)
        f->bytes = bp_alloc(FRAME_MAX);
    if (length > FRAME_MAX - f->length) {
        bp_guest_error("gigabit-long", "%s: a packet of more than %u bytes", g->model->name, FRAME_MAX);
        f->bad = true;
        return;
    }
    if (length && g->pci->dma_read(g->dev, address, f->bytes + f->length, length) < 0) {
        bp_guest_error("gigabit-dma", "%s: data of a packet at %#llx cannot be read", g->model->name,
                       (unsigned long long)address);
        f->bad = true;
        return;
    }
    f->length += length;
}

/* ---- what the hardware adds ---- */

void gbe_insert_sum(struct gbe_frame *f, uint32_t start, uint32_t at, uint32_t end)
{
    uint32_t stop = end == GBE_NO_END || end >= f->length ? f->length : end + 1;

    if (start >= stop || at + 2 > f->length)
        return;
    put_be16(f->bytes + at, (uint16_t)~ethernet_fold(ethernet_sum(0, f->bytes + start, stop - start)));
}

static void insert_crc(struct gbe_frame *f, const struct gbe_context *c)
{
    if (c->sum_start + 12 > f->length || c->sum_at + 4 > f->length)
        return;
    put_le32(f->bytes + c->sum_at, 0);
    put_le32(f->bytes + c->sum_at, ethernet_crc32c(f->bytes + c->sum_start, f->length - c->sum_start));
}

/* Lengths in the header of a packet that will be cut count as if it was not; the sum of the pseudo header, which comes
 * without a length, gets one. */
static bool prepare_segments(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c)
{
    uint8_t *b = f->bytes;

    if (c->header > f->length || c->mss == 0 || c->sum_start + (c->tcp ? 20u : 8u) > f->length ||
        c->ip_start + 20 > c->sum_start || c->sum_at + 2 > f->length || c->sum_at < c->sum_start || c->sctp)
        return false;
    if (!c->tcp)
        put_be16(b + c->sum_start + 4, f->length - c->sum_start);
    if (c->ipv4)
        put_be16(b + c->ip_start + 2, f->length - c->ip_start);
    else
        put_be16(b + c->ip_start + 4, f->length - c->sum_start);
    put_be16(b + c->sum_at, ethernet_fold((uint64_t)get_be16(b + c->sum_at) + (f->length - c->sum_start)));
    f->offload = (struct bp_net_offload){
        .flags = BP_NET_NEEDS_CHECKSUM,
        .segment = !c->tcp ? BP_NET_SEGMENT_UDP_L4 : c->ipv4 ? BP_NET_SEGMENT_TCP4 : BP_NET_SEGMENT_TCP6,
        .header_length = (uint16_t)c->header, .segment_size = (uint16_t)c->mss,
        .checksum_start = (uint16_t)c->sum_start, .checksum_offset = (uint16_t)(c->sum_at - c->sum_start)};
    gbe_count(g, TSCTC, 1);
    return true;
}

static bool prepare_sums(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c)
{
    f->offload = (struct bp_net_offload){0};
    if (f->segments && f->length > c->header) {
        /* One segment: whole as it is, but for its lengths. */
        if (!prepare_segments(g, f, c))
            return false;
        if (f->length <= c->header + c->mss)
            f->offload.segment = BP_NET_SEGMENT_NONE;
    } else if ((f->options & GBE_OPTION_L4) && c->sctp) {
        insert_crc(f, c);
    } else if (f->options & GBE_OPTION_L4) {
        if (c->sum_end == GBE_NO_END && c->sum_at >= c->sum_start && c->sum_at + 2 <= f->length)
            f->offload = (struct bp_net_offload){.flags = BP_NET_NEEDS_CHECKSUM,
                                                 .checksum_start = (uint16_t)c->sum_start,
                                                 .checksum_offset = (uint16_t)(c->sum_at - c->sum_start)};
        else
            gbe_insert_sum(f, c->sum_start, c->sum_at, c->sum_end);
    }
    if ((f->options & GBE_OPTION_IP) && c->ip_at + 2 <= f->length) {
        put_be16(f->bytes + c->ip_at, 0);
        gbe_insert_sum(f, c->ip_start, c->ip_at, c->ip_end);
    }
    return true;
}

static void insert_tag(struct gbe *g, struct gbe_frame *f)
{
    if (f->length < 12 || f->length + 4 > FRAME_MAX)
        return;
    memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
    put_be16(f->bytes + 12, *reg(g, VET) & 0xffffu);
    put_be16(f->bytes + 14, f->tag);
    f->length += 4;
    f->shifted = true;
    if (f->offload.flags & BP_NET_NEEDS_CHECKSUM)
        f->offload.checksum_start = (uint16_t)(f->offload.checksum_start + 4);
    if (f->offload.segment)
        f->offload.header_length = (uint16_t)(f->offload.header_length + 4);
}

static void count_sent(struct gbe *g, const struct gbe_frame *f)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t length = f->length + 4;

    gbe_count(g, TPT, 1);
    gbe_count(g, GPTC, 1);
    gbe_count64(g, GOTCL, length);
    gbe_count64(g, TOTL, length);
    gbe_count_size(g, PTC64, length);
    if (!memcmp(f->bytes, all, 6))
        gbe_count(g, BPTC, 1);
    else if (f->bytes[0] & 1)
        gbe_count(g, MPTC, 1);
}

bool gbe_frame_send(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c, unsigned queue)
{
    struct iovec vector = {f->bytes, f->length};
    struct bp_net_packet packet = {&vector, 1, f->length, f->offload};

    if ((*reg(g, RCTL) & RCTL_LBM) || gbe_phy_loops(g)) { /* looped back: what is sent is received, if there is room */
        if (!packet.offload.segment)
            g->model->receive(g->card, 0, &packet, 1);
    } else if (f->offload.segment && gbe_in_tunnel(g, f, c)) {
        if (!gbe_segment(g, f, c, queue))
            return false;
    } else if (g->net->nic_send(g->nic, queue, &packet, 1) == 0) {
        return false;
    }
    count_sent(g, f);
    gbe_frame_reset(f);
    return true;
}

bool gbe_frame_finish(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c, unsigned queue)
{
    if (f->bad || f->length == 0 || !prepare_sums(g, f, c)) {
        gbe_frame_reset(f);
        return true;
    }
    if (f->tagged && (*reg(g, CTRL) & CTRL_VME))
        insert_tag(g, f);
    if ((*reg(g, TCTL) & TCTL_PSP) && f->length < 60) {
        memset(f->bytes + f->length, 0, 60 - f->length);
        f->length = 60;
    }
    f->whole = true;
    return gbe_frame_send(g, f, c, queue);
}

/* ---- saved state ---- */

void gbe_frame_before_save(struct gbe_frame *f)
{
    f->saved = (struct bp_state_bytes){.size = f->length};
    if (f->length) {
        f->saved.data = bp_alloc(f->length);
        memcpy(f->saved.data, f->bytes, f->length);
    }
}

int gbe_frame_after_load(struct gbe_frame *f, struct bp_error *err)
{
    if (f->saved.size > FRAME_MAX)
        return bp_fail(err, EINVAL, "a packet of %u bytes under way", f->saved.size);
    f->length = f->saved.size;
    if (f->length && !f->bytes)
        f->bytes = bp_alloc(FRAME_MAX);
    if (f->length)
        memcpy(f->bytes, f->saved.data, f->length);
    else
        f->whole = false;
    return 0;
}

#define NUMBER(FIELD) BP_SAVE_RANGE(UINT32, struct gbe_context, FIELD, 0, 0xffff)
static const struct bp_state_field context_fields[] = {
    NUMBER(ip_start), NUMBER(ip_at),
    BP_SAVE(UINT32, struct gbe_context, ip_end), NUMBER(sum_start),
    NUMBER(sum_at), BP_SAVE(UINT32, struct gbe_context, sum_end),
    NUMBER(header), NUMBER(mss),
    BP_SAVE(BOOL, struct gbe_context, ipv4), BP_SAVE(BOOL, struct gbe_context, tcp),
    BP_SAVE_SINCE(2, BOOL, struct gbe_context, sctp), BP_SAVE_END};
const struct bp_state_table gbe_context_table = {.name = "context", .version = 2, .oldest = 1,
                                                 .fields = context_fields};
static const struct bp_state_field offload_fields[] = {
    BP_SAVE(UINT8, struct bp_net_offload, flags), BP_SAVE(UINT8, struct bp_net_offload, segment),
    BP_SAVE(UINT16, struct bp_net_offload, header_length), BP_SAVE(UINT16, struct bp_net_offload, segment_size),
    BP_SAVE(UINT16, struct bp_net_offload, checksum_start), BP_SAVE(UINT16, struct bp_net_offload, checksum_offset),
    BP_SAVE_END};
const struct bp_state_table gbe_offload_table = {.name = "offload", .version = 1, .oldest = 1,
                                                 .fields = offload_fields};
static const struct bp_state_field frame_fields[] = {
    BP_SAVE(BOOL, struct gbe_frame, bad), BP_SAVE(BOOL, struct gbe_frame, whole),
    BP_SAVE(UINT8, struct gbe_frame, options), BP_SAVE(BOOL, struct gbe_frame, segments),
    BP_SAVE(BOOL, struct gbe_frame, tagged), BP_SAVE(UINT16, struct gbe_frame, tag),
    BP_SAVE(BOOL, struct gbe_frame, shifted), BP_SAVE(UINT32, struct gbe_frame, cut),
    {.name = "offload", .kind = BP_STATE_STRUCT, .offset = offsetof(struct gbe_frame, offload), .count = 1,
     .stride = sizeof(struct bp_net_offload), .table = &gbe_offload_table},
    BP_SAVE_BYTES(struct gbe_frame, saved, FRAME_MAX), BP_SAVE_END};

/* The bytes live only as long as the frame's own table is at work. */
static int frame_before_save(void *state, struct bp_error *err)
{
    (void)err;
    gbe_frame_before_save(state);
    return 0;
}

static int frame_after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return gbe_frame_after_load(state, err);
}

const struct bp_state_table gbe_frame_table = {.name = "frame", .version = 1, .oldest = 1, .fields = frame_fields,
                                               .before_save = frame_before_save, .after_load = frame_after_load};
