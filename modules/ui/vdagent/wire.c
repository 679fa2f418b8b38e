/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of the agent in chunks (vdagent.h). Nothing of what comes is trusted. */
#include "vdagent.h"

#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

/* ---- in ---- */

static void message_reset(struct wire_message *m)
{
    free(m->body);
    memset(m, 0, sizeof(*m));
}

void wire_in_reset(struct wire_in *in)
{
    for (unsigned i = 0; i < PORT_END; i++)
        message_reset(&in->port[i]);
    in->have = 0;
    in->left = 0;
    in->broken = false;
}

/* A body grows as it comes: what its head says is only said. */
static void keep(struct wire_message *m, const uint8_t *bytes, size_t length)
{
    if (m->size <= MESSAGE_MAX) {
        while (m->room < m->got + length)
            m->room = m->room ? 2 * m->room : 1024;
        m->body = bp_realloc(m->body, m->room);
        memcpy(m->body + m->got, bytes, length);
    }
    m->got += (uint32_t)length;
}

static size_t take_message(struct wire_in *in, struct wire_message *m, const uint8_t *bytes, size_t length)
{
    size_t n;

    if (m->have < MESSAGE_HEAD) {
        n = MESSAGE_HEAD - m->have < length ? MESSAGE_HEAD - m->have : length;
        memcpy(m->head + m->have, bytes, n);
        m->have += (unsigned)n;
        if (m->have < MESSAGE_HEAD)
            return n;
        m->size = get_le32(m->head + 16);
    } else {
        n = m->size - m->got < length ? m->size - m->got : length;
        keep(m, bytes, n);
    }
    if (m->got == m->size) {
        if (get_le32(m->head) == PROTOCOL)
            in->message(in->opaque, get_le32(m->head + 4), m->size <= MESSAGE_MAX ? m->body : NULL,
                        m->size <= MESSAGE_MAX ? m->size : 0);
        message_reset(m);
    }
    return n;
}

static bool chunk_begins(struct wire_in *in)
{
    uint32_t port = get_le32(in->head);

    in->left = get_le32(in->head + 4);
    if (port != 0 && port < PORT_END)
        return true;
    bp_guest_error("vdagent-chunk",
                   "chardev qemu-vdagent: a chunk of %u bytes for port %u: nothing more is taken before the agent "
                   "begins anew", in->left, port);
    in->broken = true;
    return false;
}

void wire_in_take(struct wire_in *in, const uint8_t *bytes, size_t length)
{
    while (length > 0 && !in->broken) {
        size_t n;

        if (in->have < CHUNK_HEAD) {
            in->head[in->have++] = *bytes;
            n = 1;
            if (in->have == CHUNK_HEAD && !chunk_begins(in))
                return;
        } else {
            n = take_message(in, &in->port[get_le32(in->head)], bytes, length < in->left ? length : in->left);
            in->left -= (uint32_t)n;
        }
        if (in->have == CHUNK_HEAD && in->left == 0)
            in->have = 0;
        bytes += n;
        length -= n;
    }
}

/* ---- out ---- */

void wire_out_reset(struct wire_out *out)
{
    free(out->bytes);
    memset(out, 0, sizeof(*out));
}

static void add(struct wire_out *out, const void *bytes, size_t length)
{
    if (length)
        memcpy(out->bytes + out->end, bytes, length);
    out->end += length;
}

/* Room behind what waits. */
static void make_room(struct wire_out *out, size_t more)
{
    if (out->start) {
        memmove(out->bytes, out->bytes + out->start, out->end - out->start);
        out->end -= out->start;
        out->start = 0;
    }
    if (out->room >= out->end + more)
        return;
    out->room = out->end + more + 4096;
    out->bytes = bp_realloc(out->bytes, out->room);
}

/* As much of a piece as goes into the chunk. */
static size_t add_part(struct wire_out *out, const uint8_t **piece, size_t *left, size_t room)
{
    size_t n = *left < room ? *left : room;

    add(out, *piece, n);
    *piece += n;
    *left -= n;
    return n;
}

void wire_out_add(struct wire_out *out, unsigned port, uint32_t type, const void *first, size_t first_size,
                  const void *second, size_t second_size)
{
    size_t all = MESSAGE_HEAD + first_size + second_size, chunks = (all + CHUNK_MAX - 1) / CHUNK_MAX;
    uint8_t head[MESSAGE_HEAD] = {0};
    struct {
        const uint8_t *at;
        size_t left;
    } pieces[] = {{head, sizeof(head)}, {first, first_size}, {second, second_size}};

    put_le32(head, PROTOCOL);
    put_le32(head + 4, type);
    put_le32(head + 16, (uint32_t)(first_size + second_size));
    make_room(out, all + chunks * CHUNK_HEAD);
    while (all) {
        size_t room = all < CHUNK_MAX ? all : CHUNK_MAX;
        uint8_t chunk[CHUNK_HEAD];

        put_le32(chunk, port);
        put_le32(chunk + 4, (uint32_t)room);
        add(out, chunk, sizeof(chunk));
        all -= room;
        for (unsigned i = 0; i < BP_COUNT(pieces); i++)
            room -= add_part(out, &pieces[i].at, &pieces[i].left, room);
    }
}
