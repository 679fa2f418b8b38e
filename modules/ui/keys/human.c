/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor: sendkey, mouse_move, mouse_button, mouse_set, info mice. */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include "keys.h"

static void report(struct bp_monitor *mon, int ret, const struct bp_error *err)
{
    if (ret < 0)
        bp_monitor_printf(mon, "Error: %s\n", err->message);
}

/* "ctrl-alt-f1" and "<" for "less", which some write. */
static int parse(const char *text, uint16_t codes[MAX_TOGETHER], unsigned *ret_count,
                 struct bp_error *err)
{
    unsigned count = 0;

    for (;;) {
        size_t n = strcspn(text + (text[0] == '-'), "-") + (text[0] == '-');
        char name[32];

        if (!n || n >= sizeof(name))
            return bp_fail(err, EINVAL, "invalid parameter: '%.60s'", text);
        memcpy(name, text, n);
        name[n] = 0;
        if (count == MAX_TOGETHER)
            return bp_fail(err, EINVAL, "at most %u keys at once are accepted", MAX_TOGETHER);
        codes[count] = keys_input->key_code(!strcmp(name, "<") ? "less" : !strcmp(name, "-") ? "minus"
                                                                                             : name);
        if (!codes[count++])
            return bp_fail(err, EINVAL, "unknown key: '%s'", name);
        text += n;
        if (!*text)
            break;
        text++;
    }
    *ret_count = count;
    return 0;
}

static void sendkey(struct bp_monitor *mon, struct bp_value *args)
{
    const char *keys = bp_value_get_string(args, "keys");
    const struct bp_value *hold = bp_value_get(args, "hold_ms");
    int64_t ms = hold ? bp_value_as_int(hold) : 100;
    uint16_t codes[MAX_TOGETHER];
    struct bp_error err = {0};
    unsigned count = 0;
    int ret = parse(keys, codes, &count, &err);

    if (ret == 0 && (ms < 0 || ms > 60000))
        ret = bp_fail(&err, EINVAL, "hold_ms expects 0 to 60000");
    if (ret == 0)
        ret = keys_press(bp_command_machine(), codes, count, (uint32_t)ms, &err);
    report(mon, ret, &err);
}

static const struct bp_field sendkey_args[] = {
    BP_ARG("keys", STRING, "names, joined by '-'"),
    BP_ARG_OPT("hold_ms", INT64, "milliseconds that they are held"), BP_FIELDS_END};
BP_HMP(hmp_sendkey, "sendkey", "keys [hold_ms]", "press keys together (\"sendkey ctrl-alt-f1\")",
       sendkey_args, sendkey);

/* ---- mouse ---- */

static int32_t number(const struct bp_value *args, const char *name)
{
    const char *text = bp_value_get_string(args, name);
    long value = text ? strtol(text, NULL, 0) : 0;

    return (int32_t)(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

static void mouse_move(struct bp_monitor *mon, struct bp_value *args)
{
    const uint16_t codes[3] = {REL_X, REL_Y, REL_WHEEL};
    int32_t way[3] = {number(args, "dx"), number(args, "dy"), -number(args, "dz")};
    struct bp_input_event events[3];
    struct bp_error err = {0};
    unsigned count = 0;

    for (unsigned i = 0; i < 3; i++)
        if (way[i])
            events[count++] = (struct bp_input_event){BP_INPUT_REL, codes[i], way[i]};
    report(mon, keys_input->send(bp_command_machine(), NULL, events, count, &err), &err);
}

/* Texts: they may be negative. */
static const struct bp_field move_args[] = {
    BP_ARG("dx", STRING, "to the right"), BP_ARG("dy", STRING, "down"),
    BP_ARG_OPT("dz", STRING, "of the wheel, towards the user"), BP_FIELDS_END};
BP_HMP(hmp_mouse_move, "mouse_move", "dx dy [dz]", "move the mouse", move_args, mouse_move);

static void mouse_button(struct bp_monitor *mon, struct bp_value *args)
{
    static const uint16_t codes[3] = {BTN_LEFT, BTN_MIDDLE, BTN_RIGHT};
    uint64_t state = bp_value_as_uint(bp_value_get(args, "state"));
    struct bp_input_event events[3];
    struct bp_error err = {0};

    for (unsigned i = 0; i < 3; i++)
        events[i] = (struct bp_input_event){BP_INPUT_KEY, codes[i], state >> i & 1};
    report(mon, keys_input->send(bp_command_machine(), NULL, events, 3, &err), &err);
}

static const struct bp_field button_args[] = {
    BP_ARG("state", INT64, "the buttons that are down: 1 left, 2 middle, 4 right"), BP_FIELDS_END};
BP_HMP(hmp_mouse_button, "mouse_button", "state", "press and let go buttons (1=L, 2=M, 4=R)", button_args,
       mouse_button);

static void mouse_set(struct bp_monitor *mon, struct bp_value *args)
{
    uint64_t index = bp_value_as_uint(bp_value_get(args, "index"));
    struct bp_error err = {0};

    report(mon, keys_input->select(bp_command_machine(), index > ~0u ? ~0u : (unsigned)index, &err), &err);
}

static const struct bp_field set_args[] = {
    BP_ARG("index", INT64, "as info mice has it"), BP_FIELDS_END};
BP_HMP(hmp_mouse_set, "mouse_set", "index", "choose which mouse gets the events", set_args, mouse_set);

struct list {
    struct bp_monitor *mon;
    unsigned count;
};

static int show(const struct bp_input_description *d, void *opaque)
{
    struct list *list = opaque;

    if (!(d->takes & (BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE)))
        return 0;
    list->count++;
    bp_monitor_printf(list->mon, "%c Mouse #%u: %s%s\n", d->current ? '*' : ' ', d->index, d->name,
                      d->takes & BP_INPUT_TAKES_ABSOLUTE ? " (absolute)" : "");
    return 0;
}

static void info_mice(struct bp_monitor *mon, struct bp_value *args)
{
    struct list list = {mon, 0};

    (void)args;
    keys_input->each(bp_command_machine(), show, &list);
    if (!list.count)
        bp_monitor_printf(mon, "No mouse devices connected\n");
}
BP_HMP(hmp_info_mice, "info mice", "", "show the guest's pointers", NULL, info_mice);
