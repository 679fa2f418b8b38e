// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PS/2 keyboard controller at 0x60/0x64 with its keyboard and mouse (IBM PS/2 Technical
 * Reference; Intel 8042), and system control port A at 0x92. Output "a20" is the level of address
 * line 20's gate, "reset" a pulse that asks for a reset.
 */
#include <errno.h>

#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/bus/isa.h>
#include <bp/chip/i8042.h>
#include <bp/host/input.h>
#include <bp/log.h>

#include "ps2.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(input, struct bp_input_interface, "input", 1);

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM 0x04u
#define STATUS_COMMAND 0x08u /* the last write went to 0x64 */
#define STATUS_UNLOCKED 0x10u
#define STATUS_AUX 0x20u     /* the output buffer holds a byte of the mouse */

#define MODE_KBD_IRQ 0x01u
#define MODE_AUX_IRQ 0x02u
#define MODE_SYSTEM 0x04u
#define MODE_KBD_OFF 0x10u
#define MODE_AUX_OFF 0x20u
#define MODE_TRANSLATE 0x40u

#define OUT_RESET 0x01u /* active low */
#define OUT_A20 0x02u
#define OUT_KBD_IRQ 0x10u
#define OUT_AUX_IRQ 0x20u

struct i8042 {
    struct ps2_keyboard keyboard;
    struct ps2_mouse mouse;
    uint8_t ram[32]; /* ram[0] is the command byte */
    uint8_t output;  /* output buffer */
    bool full, from_aux, last_command;
    uint8_t command; /* waits for its data byte at 0x60, 0: none */
    uint8_t port;    /* output port: A20 and reset */
    bool break_code; /* translating: f0 came, the next code is that of a key that goes up */
    struct bp_irq *irq1, *irq12, *a20, *reset;
    struct bp_input_device *keys, *pointer;
    void (*mouse_start)(void *opaque); /* or NULL: who wants to know */
    void *mouse_start_opaque;
};

static void update_lines(struct i8042 *s)
{
    bp_irq_set(s->irq1, s->full && !s->from_aux && (s->ram[0] & MODE_KBD_IRQ));
    bp_irq_set(s->irq12, s->full && s->from_aux && (s->ram[0] & MODE_AUX_IRQ));
}

/* Not with every byte of a key: each processor hears of it. */
static void tell_a20(struct i8042 *s)
{
    bp_irq_set(s->a20, (s->port & OUT_A20) != 0);
}

static void fill(struct i8042 *s, uint8_t byte, bool aux)
{
    s->output = byte;
    s->full = true;
    s->from_aux = aux;
}

/* The keyboard's next byte, as the controller passes it on; false: nothing yet. */
static bool next_key_byte(struct i8042 *s, uint8_t *ret_byte)
{
    uint8_t byte;

    while (ps2_keyboard_next(&s->keyboard, &byte)) {
        if (!(s->ram[0] & MODE_TRANSLATE)) {
            s->break_code = false;
            *ret_byte = byte;
            return true;
        }
        if (byte == 0xf0) {
            s->break_code = true;
            continue;
        }
        *ret_byte = ps2_translate(byte);
        /* Only codes have a bit for going up; e0 and answers to commands go through. */
        if (s->break_code && byte <= 0x84)
            *ret_byte |= 0x80;
        if (byte != 0xe0 && byte != 0xe1)
            s->break_code = false;
        return true;
    }
    return false;
}

/* Takes the next byte of a device when the output buffer is free. */
static void poll_devices(struct i8042 *s)
{
    uint8_t byte;

    if (!s->full && !(s->ram[0] & MODE_KBD_OFF) && next_key_byte(s, &byte))
        fill(s, byte, false);
    if (!s->full && !(s->ram[0] & MODE_AUX_OFF) && ps2_mouse_next(&s->mouse, &byte))
        fill(s, byte, true);
    update_lines(s);
    ps2_mouse_flush(&s->mouse);
    if (s->keys && ps2_keyboard_space(&s->keyboard))
        input->room(s->keys);
    if (s->pointer && ps2_mouse_space(&s->mouse))
        input->room(s->pointer);
}

static void write_port(struct i8042 *s, uint8_t value)
{
    bool reset = (s->port & OUT_RESET) && !(value & OUT_RESET), gate = (s->port ^ value) & OUT_A20;

    s->port = value;
    update_lines(s);
    if (gate)
        tell_a20(s);
    if (reset)
        bp_irq_pulse(s->reset);
}

static uint8_t read_port(const struct i8042 *s)
{
    return (s->port & (OUT_RESET | OUT_A20)) | (s->full && !s->from_aux ? OUT_KBD_IRQ : 0) |
           (s->full && s->from_aux ? OUT_AUX_IRQ : 0);
}

static void pulse(struct i8042 *s, uint8_t command)
{
    if (!(command & OUT_RESET)) /* a zero bit pulses its line */
        bp_irq_pulse(s->reset);
}

static void controller_command(struct i8042 *s, uint8_t command)
{
    s->command = 0;
    if (command >= 0x20 && command < 0x40) {
        fill(s, s->ram[command & 31], false);
        return;
    }
    if ((command >= 0x60 && command < 0x80) || (command >= 0xd1 && command <= 0xd4)) {
        s->command = command;
        return;
    }
    if (command >= 0xf0) {
        pulse(s, command);
        return;
    }
    switch (command) {
    case 0xa7:
        s->ram[0] |= MODE_AUX_OFF;
        break;
    case 0xa8:
        s->ram[0] &= (uint8_t)~MODE_AUX_OFF;
        break;
    case 0xa9: /* interface tests: no fault */
    case 0xab:
        fill(s, 0x00, false);
        break;
    case 0xaa: /* self-test */
        s->ram[0] |= MODE_SYSTEM;
        fill(s, 0x55, false);
        break;
    case 0xad:
        s->ram[0] |= MODE_KBD_OFF;
        break;
    case 0xae:
        s->ram[0] &= (uint8_t)~MODE_KBD_OFF;
        break;
    case 0xc0: /* input port: keyboard not locked, colour display */
        fill(s, 0x80, false);
        break;
    case 0xd0:
        fill(s, read_port(s), false);
        break;
    case 0xdd: /* A20 off and on, as many chipsets have it */
        write_port(s, s->port & (uint8_t)~OUT_A20);
        break;
    case 0xdf:
        write_port(s, s->port | OUT_A20);
        break;
    default:
        bp_guest_error("i8042-command", "i8042: unknown command 0x%02x", command);
        break;
    }
}

static void command_data(struct i8042 *s, uint8_t command, uint8_t value)
{
    switch (command) {
    case 0xd1:
        write_port(s, value);
        break;
    case 0xd2:
        fill(s, value, false);
        break;
    case 0xd3:
        fill(s, value, true);
        break;
    case 0xd4:
        s->ram[0] &= (uint8_t)~MODE_AUX_OFF;
        ps2_mouse_write(&s->mouse, value);
        if (value == 0xf4) {
            input->activate(s->pointer);
            if (s->mouse_start)
                s->mouse_start(s->mouse_start_opaque);
        }
        break;
    default:
        s->ram[command & 31] = value;
        break;
    }
}

static void data_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i8042 *s = opaque;
    uint8_t command = s->command;

    (void)addr;
    (void)size;
    s->command = 0;
    s->last_command = false;
    if (command) {
        command_data(s, command, (uint8_t)value);
    } else {
        s->ram[0] &= (uint8_t)~MODE_KBD_OFF; /* writing to the keyboard enables its interface */
        ps2_keyboard_write(&s->keyboard, (uint8_t)value);
        input->set_leds(s->keys, s->keyboard.leds);
        if (value == 0xf4)
            input->activate(s->keys);
    }
    poll_devices(s);
}

static uint64_t data_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i8042 *s = opaque;
    uint8_t byte = s->output; /* an empty buffer gives the last byte again */

    (void)addr;
    (void)size;
    s->full = false;
    update_lines(s); /* falls, so that the next byte makes an edge */
    poll_devices(s);
    return byte;
}

static uint64_t status_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct i8042 *s = opaque;

    (void)addr;
    (void)size;
    return STATUS_UNLOCKED | (s->full ? STATUS_OUTPUT_FULL : 0) |
           (s->full && s->from_aux ? STATUS_AUX : 0) | (s->ram[0] & MODE_SYSTEM) |
           (s->last_command ? STATUS_COMMAND : 0);
}

static void command_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i8042 *s = opaque;

    (void)addr;
    (void)size;
    s->last_command = true;
    controller_command(s, (uint8_t)value);
    poll_devices(s);
}

static const struct bp_region_ops data_ops = {
    .size = sizeof(data_ops), .read = data_read, .write = data_write, .max_access = 1};
static const struct bp_region_ops command_ops = {
    .size = sizeof(command_ops), .read = status_read, .write = command_write, .max_access = 1};

/* ---- input ---- */

static unsigned key_space(void *opaque)
{
    return ps2_keyboard_space(&((struct i8042 *)opaque)->keyboard);
}

static void key_event(void *opaque, const struct bp_input_event *event)
{
    struct i8042 *s = opaque;

    ps2_keyboard_key(&s->keyboard, event->code, event->value != 0);
    poll_devices(s);
}

static unsigned pointer_space(void *opaque)
{
    return ps2_mouse_space(&((struct i8042 *)opaque)->mouse);
}

static void pointer_event(void *opaque, const struct bp_input_event *event)
{
    static const struct {
        uint16_t code;
        unsigned bit;
    } buttons[] = {{BTN_LEFT, 1}, {BTN_RIGHT, 2}, {BTN_MIDDLE, 4}, {BTN_SIDE, 8}, {BTN_EXTRA, 16}};
    struct ps2_mouse *mouse = &((struct i8042 *)opaque)->mouse;

    if (event->type == BP_INPUT_REL) {
        ps2_mouse_move(mouse, event->code == REL_X ? event->value : 0,
                       event->code == REL_Y ? event->value : 0,
                       event->code == REL_WHEEL ? event->value : 0);
        return;
    }
    for (unsigned i = 0; i < BP_COUNT(buttons); i++)
        if (event->code == buttons[i].code)
            ps2_mouse_button(mouse, buttons[i].bit, event->value != 0);
}

static void pointer_sync(void *opaque)
{
    struct i8042 *s = opaque;

    ps2_mouse_flush(&s->mouse);
    poll_devices(s);
}

static const struct bp_input_ops key_ops = {
    .size = sizeof(key_ops), .takes = BP_INPUT_TAKES_KEYS, .name = "PS/2 Keyboard", .space = key_space,
    .event = key_event};
static const struct bp_input_ops pointer_ops = {
    .size = sizeof(pointer_ops), .takes = BP_INPUT_TAKES_RELATIVE, .name = "PS/2 Mouse",
    .space = pointer_space, .event = pointer_event, .sync = pointer_sync};

static void nudge_mouse(struct bp_device *dev)
{
    struct i8042 *s = bp_device_state(dev);

    ps2_mouse_nudge(&s->mouse);
    poll_devices(s);
}

static void on_mouse_start(struct bp_device *dev, void (*fn)(void *opaque), void *opaque)
{
    struct i8042 *s = bp_device_state(dev);

    s->mouse_start = fn;
    s->mouse_start_opaque = opaque;
}

static const struct bp_i8042_interface i8042_iface = {.size = sizeof(i8042_iface), .nudge_mouse = nudge_mouse,
                                                      .on_mouse_start = on_mouse_start};
BP_INTERFACE(i8042_interface, "i8042", 1, 0, &i8042_iface);

static void i8042_detach(struct bp_device *dev)
{
    struct i8042 *s = bp_device_state(dev);

    input->device_free(s->keys);
    input->device_free(s->pointer);
}

static void i8042_reset(struct bp_device *dev)
{
    struct i8042 *s = bp_device_state(dev);

    ps2_keyboard_reset(&s->keyboard);
    ps2_mouse_reset(&s->mouse);
    for (unsigned i = 0; i < sizeof(s->ram); i++)
        s->ram[i] = 0;
    /* As firmware leaves it: both interrupts on, translating, self-test passed. */
    s->ram[0] = MODE_KBD_IRQ | MODE_AUX_IRQ | MODE_SYSTEM | MODE_TRANSLATE;
    s->full = s->from_aux = s->last_command = s->break_code = false;
    input->set_leds(s->keys, 0);
    s->command = s->output = 0;
    s->port = OUT_RESET | OUT_A20;
    update_lines(s);
    tell_a20(s);
}

static int i8042_attach(struct bp_device *dev, struct bp_error *err)
{
    struct i8042 *s = bp_device_state(dev);
    static const char *const names[] = {"irq1", "irq12", "a20", "reset"};
    struct bp_irq **const lines[] = {&s->irq1, &s->irq12, &s->a20, &s->reset};
    int r;

    for (unsigned i = 0; i < BP_COUNT(names); i++) {
        bp_device_add_irq_outputs(dev, names[i], 1);
        *lines[i] = bp_device_irq_output(dev, names[i], 0);
    }
    r = isa->add_ports(dev, 0x60, 1, "i8042-data", &data_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, 0x64, 1, "i8042-command", &command_ops, s, NULL, err);
    if (r == 0)
        r = input->device_new(bp_device_object(dev), NULL, &key_ops, s, &s->keys, err);
    if (r == 0)
        r = input->device_new(bp_device_object(dev), NULL, &pointer_ops, s, &s->pointer, err);
    if (r < 0) {
        input->device_free(s->keys);
        s->keys = NULL;
    }
    return r;
}

static const struct bp_state_field i8042_fields[] = {
    {.name = "keyboard", .kind = BP_STATE_STRUCT, .offset = offsetof(struct i8042, keyboard),
     .count = 1, .stride = sizeof(struct ps2_keyboard), .table = &ps2_keyboard_state},
    {.name = "mouse", .kind = BP_STATE_STRUCT, .offset = offsetof(struct i8042, mouse), .count = 1,
     .stride = sizeof(struct ps2_mouse), .table = &ps2_mouse_state},
    BP_SAVE_BUFFER(struct i8042, ram),
    BP_SAVE(UINT8, struct i8042, output),
    BP_SAVE(BOOL, struct i8042, full),
    BP_SAVE(BOOL, struct i8042, from_aux),
    BP_SAVE(BOOL, struct i8042, last_command),
    BP_SAVE(UINT8, struct i8042, command),
    BP_SAVE(UINT8, struct i8042, port),
    BP_SAVE(BOOL, struct i8042, break_code),
    BP_SAVE_END,
};
static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    (void)err;
    update_lines(state);
    tell_a20(state);
    return 0;
}
static const struct bp_state_table i8042_table = {.version = 1, .oldest = 1,
                                                  .fields = i8042_fields,
                                                  .after_load = after_load};

BP_BOARD_DEVICE(i8042_class, "i8042", "isa", "PS/2 keyboard controller, keyboard and mouse",
                struct i8042, NULL, &i8042_table, .category = "input", .attach = i8042_attach,
                .detach = i8042_detach, .reset = i8042_reset);

/* ---- port 0x92 ---- */
#define PORT_A_RESET 0x01u
#define PORT_A_A20 0x02u

struct port92 {
    uint8_t value;
    struct bp_irq *a20, *reset;
};

static uint64_t port92_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr;
    (void)size;
    return ((struct port92 *)opaque)->value;
}

static void port92_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct port92 *s = opaque;
    bool reset = (value & PORT_A_RESET) && !(s->value & PORT_A_RESET);

    (void)addr;
    (void)size;
    s->value = (uint8_t)value;
    bp_irq_set(s->a20, (value & PORT_A_A20) != 0);
    if (reset)
        bp_irq_pulse(s->reset);
}

static const struct bp_region_ops port92_ops = {
    .size = sizeof(port92_ops), .read = port92_read, .write = port92_write, .max_access = 1};

static void port92_reset(struct bp_device *dev)
{
    struct port92 *s = bp_device_state(dev);

    s->value = 0; /* the keyboard controller lets A20 through meanwhile */
    bp_irq_set(s->a20, 0);
}

static int port92_attach(struct bp_device *dev, struct bp_error *err)
{
    struct port92 *s = bp_device_state(dev);

    bp_device_add_irq_outputs(dev, "a20", 1);
    bp_device_add_irq_outputs(dev, "reset", 1);
    s->a20 = bp_device_irq_output(dev, "a20", 0);
    s->reset = bp_device_irq_output(dev, "reset", 0);
    return isa->add_ports(dev, 0x92, 1, "port92", &port92_ops, s, NULL, err);
}

static const struct bp_state_field port92_fields[] = {
    BP_SAVE(UINT8, struct port92, value),
    BP_SAVE_END,
};
static int port92_loaded(void *state, uint32_t version, struct bp_error *err)
{
    const struct port92 *s = state;

    (void)version, (void)err;
    bp_irq_set(s->a20, (s->value & PORT_A_A20) != 0);
    return 0;
}
static const struct bp_state_table port92_table = {.version = 1, .oldest = 1, .fields = port92_fields,
                                                   .after_load = port92_loaded};

BP_BOARD_DEVICE(port92_class, "port92", "isa", "System control port A: A20 and fast reset",
                struct port92, NULL, &port92_table, .category = "misc", .attach = port92_attach,
                .reset = port92_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(input, "input", 1),
                                           {0}};
BP_MODULE("hw-i8042", "PS/2 keyboard controller", imports, {BP_PROVIDE_DEVICE, &i8042_class},
          {BP_PROVIDE_DEVICE, &port92_class}, {BP_PROVIDE_INTERFACE, &i8042_interface});
