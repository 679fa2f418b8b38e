// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PS/2 keyboard and mouse protocol (see ps2.h). Left out: keys that repeat by themselves (who sends keys
 * repeats them), and the pace of the mouse's samples: it tells at once, and collects while it has to wait.
 */
#include "ps2.h"

#include <errno.h>
#include <string.h>

#include <linux/input-event-codes.h>

#define ACK 0xfau
#define RESEND 0xfeu
#define SELF_TEST_PASSED 0xaau
#define OVERRUN 0x00u

/* ---- queue ---- */
/* A full queue keeps its bytes; the last place takes the overrun mark. */
static void put(struct ps2_queue *q, uint8_t byte)
{
    if (q->count >= PS2_QUEUE)
        return;
    if (q->count == PS2_QUEUE - 1)
        byte = OVERRUN;
    q->byte[(q->head + q->count) % PS2_QUEUE] = byte;
    q->count++;
}

static bool take(struct ps2_queue *q, uint8_t *ret_byte)
{
    if (!q->count)
        return false;
    *ret_byte = q->byte[q->head];
    q->head = (uint8_t)((q->head + 1) % PS2_QUEUE);
    q->count--;
    return true;
}

static void clear(struct ps2_queue *q)
{
    q->head = q->count = 0;
}

/* ---- translation ---- */
uint8_t ps2_translate(uint8_t byte)
{
    static const uint8_t table[0x85] = {
        0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
        0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11,
        0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14,
        0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24,
        0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35,
        0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36,
        0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
        0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
        0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54};

    return byte < sizeof(table) ? table[byte] : byte;
}

/* ---- keyboard ---- */
#define KEY_BYTES 8u /* of the longest sequence */

/* Set 3: the keys that tell when they go up, at first: the shifts, control and alt of the left. */
static void default_breaks(struct ps2_keyboard *k)
{
    static const uint8_t codes[] = {0x12, 0x59, 0x11, 0x14, 0x19};

    memset(k->breaks, 0, sizeof(k->breaks));
    for (unsigned i = 0; i < sizeof(codes); i++)
        k->breaks[codes[i] / 8] |= (uint8_t)(1 << codes[i] % 8);
}

static void keyboard_defaults(struct ps2_keyboard *k)
{
    k->scan_set = 2;
    k->rate = 0x2b;
    k->leds = 0;
    default_breaks(k);
}

static void put_code(struct ps2_keyboard *k, uint8_t prefix, uint8_t code, bool down)
{
    if (prefix)
        put(&k->queue, prefix);
    if (k->scan_set == 1) {
        put(&k->queue, (uint8_t)(ps2_translate(code) | (down ? 0 : 0x80)));
        return;
    }
    if (!down)
        put(&k->queue, 0xf0);
    put(&k->queue, code);
}

/* Print and Pause are what they are for the sake of the first PC. */
static void put_print(struct ps2_keyboard *k, bool down)
{
    if (k->alt) {
        put_code(k, 0, 0x84, down);
    } else if (k->ctrl) {
        put_code(k, 0xe0, 0x7c, down);
    } else {
        put_code(k, 0xe0, down ? 0x12 : 0x7c, down);
        put_code(k, 0xe0, down ? 0x7c : 0x12, down);
    }
}

static void put_pause(struct ps2_keyboard *k, bool down)
{
    if (!down)
        return;
    if (k->ctrl) {
        put_code(k, 0xe0, 0x7e, true);
        put_code(k, 0xe0, 0x7e, false);
        return;
    }
    put_code(k, 0xe1, 0x14, true);
    put_code(k, 0, 0x77, true);
    put_code(k, 0xe1, 0x14, false);
    put_code(k, 0, 0x77, false);
}

static void put_set3(struct ps2_keyboard *k, uint8_t code, bool down)
{
    if (down)
        put(&k->queue, code);
    else if (k->breaks[code / 8] & 1 << code % 8)
        put_code(k, 0, code, false);
}

void ps2_keyboard_key(struct ps2_keyboard *k, uint16_t code, bool down)
{
    uint16_t set2 = ps2_set2(code);

    if (code == KEY_LEFTALT || code == KEY_RIGHTALT)
        k->alt = down;
    if (code == KEY_LEFTCTRL || code == KEY_RIGHTCTRL)
        k->ctrl = down;
    if (!k->scanning || ps2_keyboard_space(k) == 0)
        return;
    if (k->scan_set == 3 && ps2_set3(code))
        put_set3(k, ps2_set3(code), down);
    else if (k->scan_set == 3)
        return;
    else if (code == KEY_SYSRQ)
        put_print(k, down);
    else if (code == KEY_PAUSE)
        put_pause(k, down);
    else if (set2)
        put_code(k, (uint8_t)(set2 >> 8), (uint8_t)set2, down);
}

unsigned ps2_keyboard_space(const struct ps2_keyboard *k)
{
    unsigned used = k->queue.count + 16u; /* answers to commands have their place */

    return used >= PS2_QUEUE ? 0 : (PS2_QUEUE - used) / KEY_BYTES;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
    memset(k, 0, sizeof(*k));
    keyboard_defaults(k);
    k->scanning = true;
}

static void keyboard_parameter(struct ps2_keyboard *k, uint8_t byte)
{
    uint8_t command = k->command;

    k->command = 0;
    switch (command) {
    case 0xed:
        k->leds = byte & 7;
        break;
    case 0xf3:
        k->rate = byte & 0x7f;
        break;
    case 0xf0:
        if (byte > 3) {
            put(&k->queue, RESEND);
            return;
        }
        put(&k->queue, ACK);
        if (byte == 0)
            put(&k->queue, k->scan_set);
        else
            k->scan_set = byte;
        return;
    default: /* single keys of set 3: more may follow */
        if (command == 0xfc)
            k->breaks[byte / 8] |= (uint8_t)(1 << byte % 8);
        else
            k->breaks[byte / 8] &= (uint8_t)~(1 << byte % 8);
        k->command = command;
        break;
    }
    put(&k->queue, ACK);
}

void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte)
{
    if (k->command && byte < 0xed) {
        keyboard_parameter(k, byte);
        return;
    }
    k->command = 0;
    switch (byte) {
    case 0xed: /* LEDs */
    case 0xf0: /* scan code set */
    case 0xf3: /* typematic rate */
    case 0xfb: /* types of single keys, set 3 */
    case 0xfc:
    case 0xfd:
        k->command = byte;
        put(&k->queue, ACK);
        break;
    case 0xee:
        put(&k->queue, 0xee);
        break;
    case 0xf2:
        put(&k->queue, ACK);
        put(&k->queue, 0xab);
        put(&k->queue, 0x83);
        break;
    case 0xf4:
        clear(&k->queue);
        k->scanning = true;
        put(&k->queue, ACK);
        break;
    case 0xf5:
    case 0xf6:
        clear(&k->queue);
        keyboard_defaults(k);
        k->scanning = byte == 0xf6;
        put(&k->queue, ACK);
        break;
    case 0xf7: /* types of all keys, set 3: typematic, make and break, make only, all of them */
    case 0xf8:
    case 0xf9:
    case 0xfa:
        memset(k->breaks, byte == 0xf8 || byte == 0xfa ? 0xff : 0, sizeof(k->breaks));
        put(&k->queue, ACK);
        break;
    case 0xfe:
        put(&k->queue, k->last);
        break;
    case 0xff:
        ps2_keyboard_reset(k);
        put(&k->queue, ACK);
        put(&k->queue, SELF_TEST_PASSED);
        break;
    default:
        put(&k->queue, RESEND);
        break;
    }
}

bool ps2_keyboard_next(struct ps2_keyboard *k, uint8_t *ret_byte)
{
    if (!take(&k->queue, &k->last))
        return false;
    *ret_byte = k->last;
    return true;
}

bool ps2_keyboard_has_data(const struct ps2_keyboard *k)
{
    return k->queue.count != 0;
}

/* ---- mouse ---- */
static void mouse_defaults(struct ps2_mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->scaling = m->remote = m->reporting = m->wrap = false;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
    memset(m, 0, sizeof(*m));
    mouse_defaults(m);
}

#define PACKET_BYTES 4u

static int32_t clamp(int32_t value, int32_t least, int32_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* What scaling 2:1 makes of a way, in stream mode. */
static int32_t scaled(const struct ps2_mouse *m, int32_t way)
{
    static const uint8_t table[6] = {0, 1, 1, 3, 6, 9};
    int32_t length = way < 0 ? -way : way;

    if (!m->scaling || m->remote)
        return way;
    length = clamp(length < 6 ? table[length] : 2 * length, 0, 255);
    return way < 0 ? -length : length;
}

/* A movement packet: as much of the way as it holds, the rest stays. */
static void put_packet(struct ps2_mouse *m)
{
    int32_t x = clamp((int32_t)m->dx, -255, 255), y = clamp((int32_t)m->dy, -255, 255);
    int32_t z = clamp((int32_t)m->dz, m->id == 3 ? -127 : -7, m->id == 3 ? 127 : 7);

    m->dx -= (uint32_t)x;
    m->dy -= (uint32_t)y;
    m->dz -= (uint32_t)z;
    x = scaled(m, x);
    y = scaled(m, y);
    put(&m->queue, (uint8_t)(0x08 | (m->buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)));
    put(&m->queue, (uint8_t)x);
    put(&m->queue, (uint8_t)y);
    if (m->id == 3)
        put(&m->queue, (uint8_t)z);
    else if (m->id == 4)
        put(&m->queue, (uint8_t)((z & 0x0f) | (m->buttons & 0x18) << 1));
    m->told = m->buttons;
}

unsigned ps2_mouse_space(const struct ps2_mouse *m)
{
    unsigned used = m->queue.count + 16u;

    if (!m->reporting || m->remote)
        return PS2_QUEUE; /* only collected */
    return used >= PS2_QUEUE ? 0 : (PS2_QUEUE - used) / PACKET_BYTES;
}

void ps2_mouse_flush(struct ps2_mouse *m)
{
    if (!m->reporting || m->remote || m->wrap)
        return;
    if (!m->id)
        m->dz = 0; /* no wheel is told of */
    while ((m->dx || m->dy || m->dz || m->told != m->buttons) && ps2_mouse_space(m))
        put_packet(m);
}

void ps2_mouse_nudge(struct ps2_mouse *m)
{
    if (m->reporting && !m->remote && !m->wrap && ps2_mouse_space(m))
        put_packet(m);
}

/* Far enough for any screen; nobody adds until it wraps around. */
static uint32_t add(uint32_t to, int32_t way)
{
    return (uint32_t)clamp(clamp((int32_t)to, -65536, 65536) + clamp(way, -65536, 65536), -65536, 65536);
}

void ps2_mouse_move(struct ps2_mouse *m, int32_t dx, int32_t dy, int32_t wheel)
{
    m->dx = add(m->dx, dx);
    m->dy = add(m->dy, -clamp(dy, -65536, 65536));
    m->dz = add(m->dz, -clamp(wheel, -65536, 65536));
}

void ps2_mouse_button(struct ps2_mouse *m, unsigned bit, bool down)
{
    if (m->told != m->buttons)
        ps2_mouse_flush(m); /* a click within one gesture is one all the same */
    m->buttons = (uint8_t)(down ? m->buttons | bit : m->buttons & ~bit);
}

static void set_mouse_rate(struct ps2_mouse *m, uint8_t rate)
{
    if (m->recent_rates[0] == 200 && m->recent_rates[1] == 100 && rate == 80 && m->id == 0)
        m->id = 3;
    else if (m->recent_rates[0] == 200 && m->recent_rates[1] == 200 && rate == 80 && m->id == 3)
        m->id = 4;
    m->recent_rates[0] = m->recent_rates[1];
    m->recent_rates[1] = rate;
    m->rate = rate;
}

static void mouse_status(struct ps2_mouse *m)
{
    put(&m->queue, (uint8_t)(m->remote << 6 | m->reporting << 5 | m->scaling << 4 |
                             (m->buttons & 1) << 2 | (m->buttons & 4) >> 1 | (m->buttons & 2) >> 1));
    put(&m->queue, m->resolution);
    put(&m->queue, m->rate);
}

static void mouse_command(struct ps2_mouse *m, uint8_t byte)
{
    put(&m->queue, ACK);
    if (byte != 0xe9 && byte != 0xeb && byte != 0xf2) /* most begin to count anew */
        m->dx = m->dy = m->dz = 0;
    switch (byte) {
    case 0xe6:
    case 0xe7:
        m->scaling = byte == 0xe7;
        break;
    case 0xe8:
    case 0xf3:
        m->command = byte;
        break;
    case 0xe9:
        mouse_status(m);
        break;
    case 0xea:
        m->remote = false;
        break;
    case 0xeb:
        put_packet(m);
        break;
    case 0xee:
        m->wrap = true;
        break;
    case 0xf0:
        m->remote = true;
        break;
    case 0xf2:
        put(&m->queue, m->id);
        break;
    case 0xf4:
    case 0xf5:
        m->reporting = byte == 0xf4;
        break;
    case 0xf6:
        mouse_defaults(m);
        break;
    default: /* 0xec: wrap mode is off already */
        break;
    }
}

void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte)
{
    static const uint8_t known[] = {0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xee,
                                    0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6};
    uint8_t command = m->command;

    m->command = 0;
    if (byte == 0xff) {
        ps2_mouse_reset(m);
        put(&m->queue, ACK);
        put(&m->queue, SELF_TEST_PASSED);
        put(&m->queue, m->id);
    } else if (m->wrap && byte != 0xec) {
        put(&m->queue, byte);
    } else if (command == 0xe8 || command == 0xf3) {
        if (command == 0xe8)
            m->resolution = byte & 3;
        else
            set_mouse_rate(m, byte);
        put(&m->queue, ACK);
    } else if (byte == 0xfe) {
        put(&m->queue, m->last);
    } else if (memchr(known, byte, sizeof(known))) {
        m->wrap = false;
        mouse_command(m, byte);
    } else {
        put(&m->queue, RESEND);
    }
}

bool ps2_mouse_next(struct ps2_mouse *m, uint8_t *ret_byte)
{
    if (!take(&m->queue, &m->last))
        return false;
    *ret_byte = m->last;
    return true;
}

bool ps2_mouse_has_data(const struct ps2_mouse *m)
{
    return m->queue.count != 0;
}

/* ---- saved state ---- */
static int queue_after_load(void *state, uint32_t version, struct bp_error *err)
{
    const struct ps2_queue *q = state;

    (void)version;
    if (q->head >= PS2_QUEUE || q->count > PS2_QUEUE)
        return bp_fail(err, EINVAL, "PS/2 device: saved state is out of range");
    return 0;
}

static const struct bp_state_field queue_fields[] = {
    BP_SAVE_BUFFER(struct ps2_queue, byte),
    BP_SAVE(UINT8, struct ps2_queue, head),
    BP_SAVE(UINT8, struct ps2_queue, count),
    BP_SAVE_END,
};
static const struct bp_state_table queue_table = {.name = "queue", .version = 1, .oldest = 1,
                                                  .fields = queue_fields,
                                                  .after_load = queue_after_load};
#define SAVE_QUEUE(STATE) \
    {.name = "queue", .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, queue), .count = 1, \
     .stride = sizeof(struct ps2_queue), .table = &queue_table}

static const struct bp_state_field keyboard_fields[] = {
    SAVE_QUEUE(struct ps2_keyboard),
    BP_SAVE(UINT8, struct ps2_keyboard, command),
    BP_SAVE(UINT8, struct ps2_keyboard, last),
    BP_SAVE(UINT8, struct ps2_keyboard, scan_set),
    BP_SAVE(UINT8, struct ps2_keyboard, leds),
    BP_SAVE(UINT8, struct ps2_keyboard, rate),
    BP_SAVE(BOOL, struct ps2_keyboard, scanning),
    BP_SAVE(BOOL, struct ps2_keyboard, alt),
    BP_SAVE(BOOL, struct ps2_keyboard, ctrl),
    BP_SAVE_BUFFER(struct ps2_keyboard, breaks),
    BP_SAVE_END,
};
const struct bp_state_table ps2_keyboard_state = {.name = "ps2-keyboard", .version = 1,
                                                  .oldest = 1, .fields = keyboard_fields};

static const struct bp_state_field mouse_fields[] = {
    SAVE_QUEUE(struct ps2_mouse),
    BP_SAVE(UINT8, struct ps2_mouse, command),
    BP_SAVE(UINT8, struct ps2_mouse, last),
    BP_SAVE(UINT8, struct ps2_mouse, id),
    BP_SAVE(UINT8, struct ps2_mouse, rate),
    BP_SAVE(UINT8, struct ps2_mouse, resolution),
    BP_SAVE_BUFFER(struct ps2_mouse, recent_rates),
    BP_SAVE(UINT8, struct ps2_mouse, buttons),
    BP_SAVE(UINT8, struct ps2_mouse, told),
    BP_SAVE(UINT32, struct ps2_mouse, dx),
    BP_SAVE(UINT32, struct ps2_mouse, dy),
    BP_SAVE(UINT32, struct ps2_mouse, dz),
    BP_SAVE(BOOL, struct ps2_mouse, reporting),
    BP_SAVE(BOOL, struct ps2_mouse, remote),
    BP_SAVE(BOOL, struct ps2_mouse, scaling),
    BP_SAVE(BOOL, struct ps2_mouse, wrap),
    BP_SAVE_END,
};
static int mouse_after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ps2_mouse *m = state;

    (void)version;
    (void)err;
    m->dx = add(m->dx, 0);
    m->dy = add(m->dy, 0);
    m->dz = add(m->dz, 0);
    return 0;
}

const struct bp_state_table ps2_mouse_state = {.name = "ps2-mouse", .version = 1, .oldest = 1,
                                               .fields = mouse_fields,
                                               .after_load = mouse_after_load};
