/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The FIFO of a VMware SVGA: registers, and a ring of words from MIN to MAX. The guest writes NEXT,
 * the device STOP. Another processor may write there meanwhile: each word is read once, and a
 * command's are copied before it is done.
 */
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "vmware.h"

#define CAP_FENCE 0x01u
#define CAP_PITCHLOCK 0x04u
#define CAP_CURSOR_BYPASS_3 0x10u
#define CAP_ESCAPE 0x20u
#define CAP_RESERVE 0x40u
#define MOST_ARGUMENTS 8u

enum command {
    CMD_UPDATE = 1,
    CMD_RECT_FILL = 2,
    CMD_RECT_COPY = 3,
    CMD_RECT_ROP_COPY = 14,
    CMD_DEFINE_CURSOR = 19,
    CMD_DISPLAY_CURSOR,
    CMD_MOVE_CURSOR,
    CMD_DEFINE_ALPHA_CURSOR,
    CMD_UPDATE_VERBOSE = 25,
    CMD_FRONT_ROP_FILL = 29,
    CMD_FENCE,
    CMD_ESCAPE = 33,
    CMD_NOP = 45,
    CMD_NOP_ERROR,
    CMD_COUNT,
};

uint32_t svga_fifo_get(const struct svga *s, unsigned index)
{
    return __atomic_load_n((const uint32_t *)(const void *)s->fifo + index, __ATOMIC_ACQUIRE);
}

void svga_fifo_set(struct svga *s, unsigned index, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)s->fifo + index, value, __ATOMIC_RELEASE);
    bp_region_mark_dirty(s->fifo_region, 4 * (uint64_t)index, 4);
}

bool svga_fifo_has(const struct svga *s, unsigned index)
{
    return svga_fifo_get(s, FIFO_MIN) > 4 * index;
}

void svga_fifo_begin(struct svga *s)
{
    svga_fifo_set(s, FIFO_CAPABILITIES,
                  CAP_FENCE | CAP_PITCHLOCK | CAP_CURSOR_BYPASS_3 | CAP_ESCAPE | CAP_RESERVE);
    svga_fifo_set(s, FIFO_FLAGS, 0);
    svga_fifo_set(s, FIFO_3D_VERSION, 0);
    s->cursor_count = svga_fifo_get(s, FIFO_CURSOR_COUNT);
}

/* ---- the ring ---- */

struct ring {
    uint32_t min, max, next, at; /* bytes */
};

static bool ring_get(const struct svga *s, struct ring *r)
{
    r->min = svga_fifo_get(s, FIFO_MIN);
    r->max = svga_fifo_get(s, FIFO_MAX);
    r->next = svga_fifo_get(s, FIFO_NEXT);
    r->at = svga_fifo_get(s, FIFO_STOP);
    if (((r->min | r->max | r->next | r->at) & 3) || r->min < 16 || r->max > s->fifo_size ||
        r->min >= r->max || r->next < r->min || r->next >= r->max || r->at < r->min ||
        r->at >= r->max) {
        bp_guest_error("svga-fifo",
                       "vmware-svga: a FIFO from 0x%x to 0x%x with 0x%x and 0x%x makes no sense",
                       r->min, r->max, r->at, r->next);
        return false;
    }
    return true;
}

/* Words from `at` to `next`. */
static uint32_t ring_words(const struct ring *r)
{
    return (r->next >= r->at ? r->next - r->at : r->max - r->at + r->next - r->min) / 4;
}

static void ring_read(const struct svga *s, struct ring *r, uint32_t *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i] = svga_fifo_get(s, r->at / 4);
        r->at = r->at + 4 >= r->max ? r->min : r->at + 4;
    }
}

static void ring_skip(struct ring *r, uint32_t words)
{
    uint32_t left = (r->max - r->at) / 4;

    r->at = words < left ? r->at + 4 * words : r->min + 4 * (words - left);
}

/* ---- commands ---- */

/* Words of arguments; 0xff: there is no such command. */
static unsigned arguments(uint32_t command)
{
    static const uint8_t counts[CMD_COUNT] = {[CMD_UPDATE] = 4 + 1,
                                              [CMD_RECT_FILL] = 5 + 1,
                                              [CMD_RECT_COPY] = 6 + 1,
                                              [CMD_RECT_ROP_COPY] = 7 + 1,
                                              [CMD_DEFINE_CURSOR] = 7 + 1,
                                              [CMD_DISPLAY_CURSOR] = 2 + 1,
                                              [CMD_MOVE_CURSOR] = 2 + 1,
                                              [CMD_DEFINE_ALPHA_CURSOR] = 5 + 1,
                                              [CMD_UPDATE_VERBOSE] = 5 + 1,
                                              [CMD_FRONT_ROP_FILL] = 6 + 1,
                                              [CMD_FENCE] = 1 + 1,
                                              [CMD_ESCAPE] = 2 + 1,
                                              [CMD_NOP] = 0 + 1,
                                              [CMD_NOP_ERROR] = 0 + 1};

    return command < CMD_COUNT && counts[command] ? counts[command] - 1u : 0xff;
}

/* Words behind the arguments; UINT32_MAX: more than there can be. */
static uint32_t data_words(uint32_t command, const uint32_t *args)
{
    switch (command) {
    case CMD_DEFINE_CURSOR:
        return svga_cursor_words(args);
    case CMD_DEFINE_ALPHA_CURSOR:
        return svga_alpha_cursor_words(args);
    case CMD_ESCAPE:
        return args[1] > FIFO_SIZE ? UINT32_MAX : (args[1] + 3) / 4;
    default:
        return 0;
    }
}

static void fence(struct svga *s, uint32_t number)
{
    uint32_t sources = IRQ_FENCE;

    if (svga_fifo_has(s, FIFO_FENCE))
        svga_fifo_set(s, FIFO_FENCE, number);
    if (svga_fifo_has(s, FIFO_FENCE_GOAL) && svga_fifo_get(s, FIFO_FENCE_GOAL) == number)
        sources |= IRQ_GOAL;
    svga_interrupt(s, sources);
}

static void perform(struct svga *s, uint32_t command, const uint32_t *args, const uint32_t *data)
{
    switch (command) {
    case CMD_RECT_FILL:
        svga_fill(s, args);
        break;
    case CMD_RECT_COPY:
    case CMD_RECT_ROP_COPY:
        svga_copy(s, args);
        break;
    case CMD_DEFINE_CURSOR:
        svga_cursor(s, args, data);
        break;
    case CMD_DEFINE_ALPHA_CURSOR:
        svga_alpha_cursor(s, args, data);
        break;
    case CMD_DISPLAY_CURSOR:
        s->cursor_on = args[1] & 1;
        svga_move_pointer(s);
        break;
    case CMD_MOVE_CURSOR:
        s->cursor_x = args[0];
        s->cursor_y = args[1];
        svga_move_pointer(s);
        break;
    case CMD_FENCE:
        fence(s, args[0]);
        break;
    default: /* the frame buffer is looked at anyway; the others have nothing to tell */
        break;
    }
}

/* One command. False: it is not there whole yet, or there is none. */
static bool step(struct svga *s, struct ring *r)
{
    uint32_t words = ring_words(r), command, count, args[MOST_ARGUMENTS], data;
    uint32_t *behind = NULL;
    struct ring probe = *r;

    if (!words)
        return false;
    ring_read(s, &probe, &command, 1);
    count = arguments(command);
    if (count == 0xff) {
        bp_guest_error("svga-command", "vmware-svga: command %u is none: what follows is dropped",
                       command);
        r->at = r->next;
        return true;
    }
    if (words < 1 + count)
        return false;
    ring_read(s, &probe, args, count);
    data = data_words(command, args);
    if (data > (r->max - r->min) / 4) {
        bp_guest_error("svga-command",
                       "vmware-svga: command %u is longer than the FIFO: it is dropped", command);
        r->at = r->next;
        return true;
    }
    if (words - 1 - count < data)
        return false;
    if (command == CMD_ESCAPE) {
        ring_skip(&probe, data);
    } else if (data) {
        behind = bp_alloc((size_t)data * 4);
        ring_read(s, &probe, behind, data);
    }
    perform(s, command, args, behind);
    free(behind);
    r->at = probe.at;
    return true;
}

void svga_fifo_run(struct svga *s)
{
    struct ring r, now;
    uint32_t budget = FIFO_SIZE / 4; /* commands: as many as fit, whoever writes on */
    bool progress = false;

    if (!(s->enable & ENABLE_ON) || !s->config_done || !ring_get(s, &r))
        return;
    do {
        while (budget && step(s, &r)) {
            svga_fifo_set(s, FIFO_STOP, r.at);
            progress = true;
            budget--;
        }
        if (svga_fifo_has(s, FIFO_BUSY))
            svga_fifo_set(s, FIFO_BUSY, 0);
        /* Who added a command while it said "busy" did not ring. */
        if (!ring_get(s, &now) || now.next == r.next)
            break;
        r = now;
    } while (budget);
    if (progress)
        svga_interrupt(s, IRQ_PROGRESS);
    svga_fifo_pointer(s);
}

void svga_fifo_pointer(struct svga *s)
{
    uint32_t count;

    if (!s->config_done || !svga_fifo_has(s, FIFO_CURSOR_UPDATED))
        return;
    count = svga_fifo_get(s, FIFO_CURSOR_COUNT);
    if (count == s->cursor_count)
        return;
    s->cursor_count = count;
    s->cursor_on = svga_fifo_get(s, FIFO_CURSOR_ON) & 1;
    s->cursor_x = svga_fifo_get(s, FIFO_CURSOR_X);
    s->cursor_y = svga_fifo_get(s, FIFO_CURSOR_Y);
    svga_fifo_set(s, FIFO_CURSOR_UPDATED, count);
    svga_move_pointer(s);
}
