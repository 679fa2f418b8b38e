/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP: send-key, input-send-event, query-mice. */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include "keys.h"
#include "names.h"

#define MAX_HOLD_MS 60000

/* ---- schemas ---- */

static const char *const key_kinds[] = {"number", "qcode", NULL};
static const struct bp_schema key_kind = {"KeyValueKind", BP_KIND_ENUM, .choices = key_kinds};
static const struct bp_schema qcodes = {"QKeyCode", BP_KIND_ENUM, .choices = qcode_names};
static const struct bp_field number_members[] = {
    BP_ARG("data", INT64, "scan code of set 1; 0x80 added where e0 comes first"), BP_FIELDS_END};
static const struct bp_field qcode_members[] = {
    BP_ARG_TYPED("data", ENUM, &qcodes, 0, "name of the key"), BP_FIELDS_END};
static const struct bp_schema number_schema = {"IntWrapper", BP_KIND_STRUCT, .members = number_members};
static const struct bp_schema qcode_schema = {"QKeyCodeWrapper", BP_KIND_STRUCT,
                                              .members = qcode_members};
static const struct bp_field key_members[] = {
    BP_ARG_TYPED("type", ENUM, &key_kind, 0, "how the key is named"), BP_FIELDS_END};
static const struct bp_variant key_variants[] = {
    {.value = "number", .schema = &number_schema}, {.value = "qcode", .schema = &qcode_schema}, {0}};
static const struct bp_schema key_schema = {"KeyValue", BP_KIND_UNION, .members = key_members,
                                            .discriminator = "type", .variants = key_variants};
static const struct bp_schema key_list = {"KeyValueList", BP_KIND_LIST, .element_kind = BP_KIND_UNION,
                                          .element = &key_schema};

static int code_of(const struct bp_value *key, uint16_t *ret_code, struct bp_error *err)
{
    const char *type = bp_value_get_string(key, "type"), *name = bp_value_get_string(key, "data");
    int64_t number = bp_value_as_int(bp_value_get(key, "data"));
    char text[16] = "";

    if (!strcmp(type, "qcode")) {
        *ret_code = keys_input->key_code(name);
        return *ret_code ? 0 : bp_fail(err, EINVAL, "key '%s' is on no keyboard of this machine", name);
    }
    if (number > 0 && number <= 0xff) {
        static const char digits[] = "0123456789abcdef";

        text[0] = '0';
        text[1] = 'x';
        text[2] = digits[number >> 4];
        text[3] = digits[number & 15];
        *ret_code = keys_input->key_code(text);
        if (*ret_code)
            return 0;
    }
    return bp_fail(err, EINVAL, "key number %lld is no scan code of set 1 (1 to 255, 0x80 added where e0 "
                   "comes first)", (long long)number);
}

/* ---- send-key ---- */

static int send_key(struct bp_value *keys, bool has_hold, int64_t hold, struct bp_error *err)
{
    uint16_t codes[MAX_TOGETHER];
    size_t count = bp_value_length(keys);

    if (!count || count > MAX_TOGETHER)
        return bp_fail(err, EINVAL, "'keys' expects 1 to %u keys, not %zu", MAX_TOGETHER, count);
    if (has_hold && (hold < 0 || hold > MAX_HOLD_MS))
        return bp_fail(err, EINVAL, "'hold-time' expects 0 to %d milliseconds, not %lld", MAX_HOLD_MS,
                       (long long)hold);
    for (size_t i = 0; i < count; i++) {
        int ret = code_of(bp_value_at(keys, i), &codes[i], err);

        if (ret < 0)
            return ret;
    }
    return keys_press(bp_command_machine(), codes, (unsigned)count, has_hold ? (uint32_t)hold : 100, err);
}

static const struct bp_field send_key_args[] = {
    BP_ARG_TYPED("keys", LIST, &key_list, 0, "pressed in this order, let go in the opposite one"),
    BP_ARG_OPT("hold-time", INT64, "milliseconds; default: 100"), BP_FIELDS_END};
BP_COMMAND(cmd_send_key, "send-key", "press keys together and let them go", send_key_args, NONE, NULL,
           send_key, 0);

/* ---- input-send-event ---- */

static const char *const event_kinds[] = {"key", "btn", "rel", "abs", "mtt", NULL};
static const char *const buttons[] = {"left", "middle", "right", "wheel-up", "wheel-down", "side",
                                      "extra", "wheel-left", "wheel-right", "touch", NULL};
static const char *const axes[] = {"x", "y", NULL};
static const char *const touches[] = {"begin", "update", "end", "cancel", "data", NULL};
static const struct bp_schema event_kind = {"InputEventKind", BP_KIND_ENUM, .choices = event_kinds};
static const struct bp_schema button_schema = {"InputButton", BP_KIND_ENUM, .choices = buttons};
static const struct bp_schema axis_schema = {"InputAxis", BP_KIND_ENUM, .choices = axes};
static const struct bp_schema touch_schema = {"InputMultiTouchType", BP_KIND_ENUM, .choices = touches};

static const struct bp_field key_event[] = {
    BP_ARG_TYPED("key", UNION, &key_schema, 0, "which key"), BP_ARG("down", BOOL, "or up"), BP_FIELDS_END};
static const struct bp_field button_event[] = {
    BP_ARG_TYPED("button", ENUM, &button_schema, 0, "which button"), BP_ARG("down", BOOL, "or up"),
    BP_FIELDS_END};
static const struct bp_field move_event[] = {
    BP_ARG_TYPED("axis", ENUM, &axis_schema, 0, "which way"),
    BP_ARG("value", INT64, "how far; absolute: 0 to 32767"), BP_FIELDS_END};
static const struct bp_field touch_event[] = {
    BP_ARG_TYPED("type", ENUM, &touch_schema, 0, "what happens"), BP_ARG("slot", INT64, "which finger"),
    BP_ARG("tracking-id", INT64, "of this touch"), BP_ARG_TYPED("axis", ENUM, &axis_schema, 0, "which way"),
    BP_ARG("value", INT64, "0 to 32767"), BP_FIELDS_END};
#define WRAPPED(name, NAME, fields) \
    static const struct bp_schema name##_inner = {NAME, BP_KIND_STRUCT, .members = fields}; \
    static const struct bp_field name##_data[] = { \
        BP_ARG_TYPED("data", STRUCT, &name##_inner, 0, "what happened"), BP_FIELDS_END}; \
    static const struct bp_schema name##_outer = {NAME "Wrapper", BP_KIND_STRUCT, .members = name##_data}
WRAPPED(key, "InputKeyEvent", key_event);
WRAPPED(button, "InputBtnEvent", button_event);
WRAPPED(move, "InputMoveEvent", move_event);
WRAPPED(touch, "InputMultiTouchEvent", touch_event);
static const struct bp_variant event_variants[] = {
    {.value = "key", .schema = &key_outer}, {.value = "btn", .schema = &button_outer},
    {.value = "rel", .schema = &move_outer}, {.value = "abs", .schema = &move_outer},
    {.value = "mtt", .schema = &touch_outer}, {0}};
static const struct bp_field event_members[] = {
    BP_ARG_TYPED("type", ENUM, &event_kind, 0, "what kind of event"), BP_FIELDS_END};
static const struct bp_schema event_schema = {"InputEvent", BP_KIND_UNION, .members = event_members,
                                              .discriminator = "type", .variants = event_variants};
static const struct bp_schema event_list = {"InputEventList", BP_KIND_LIST,
                                            .element_kind = BP_KIND_UNION, .element = &event_schema};

#define MAX_EVENTS 512u
#define PER_EVENT 3u

static unsigned button_events(const char *button, bool down, struct bp_input_event *to)
{
    static const struct {
        const char *name;
        uint16_t type, code;
        int32_t value;
    } known[] = {
        {"left", BP_INPUT_KEY, BTN_LEFT, 0},      {"middle", BP_INPUT_KEY, BTN_MIDDLE, 0},
        {"right", BP_INPUT_KEY, BTN_RIGHT, 0},    {"side", BP_INPUT_KEY, BTN_SIDE, 0},
        {"extra", BP_INPUT_KEY, BTN_EXTRA, 0},    {"touch", BP_INPUT_KEY, BTN_TOUCH, 0},
        {"wheel-up", BP_INPUT_REL, REL_WHEEL, 1}, {"wheel-down", BP_INPUT_REL, REL_WHEEL, -1},
        {"wheel-left", BP_INPUT_REL, REL_HWHEEL, -1}, {"wheel-right", BP_INPUT_REL, REL_HWHEEL, 1},
    };

    for (unsigned i = 0; i < BP_COUNT(known); i++) {
        if (strcmp(button, known[i].name) != 0)
            continue;
        if (known[i].type == BP_INPUT_REL && !down)
            return 0; /* a wheel turns once for each press */
        *to = (struct bp_input_event){known[i].type, known[i].code,
                                      known[i].type == BP_INPUT_REL ? known[i].value : down};
        return 1;
    }
    return 0;
}

static unsigned touch_events(const struct bp_value *data, struct bp_input_event to[PER_EVENT])
{
    const char *type = bp_value_get_string(data, "type");
    int64_t slot = bp_value_as_int(bp_value_get(data, "slot"));
    int64_t id = bp_value_as_int(bp_value_get(data, "tracking-id"));
    int64_t value = bp_value_as_int(bp_value_get(data, "value"));
    bool ends = !strcmp(type, "end") || !strcmp(type, "cancel");

    to[0] = (struct bp_input_event){BP_INPUT_ABS, ABS_MT_SLOT, (int32_t)slot};
    if (!strcmp(type, "data")) {
        bool y = !strcmp(bp_value_get_string(data, "axis"), "y");

        to[1] = (struct bp_input_event){BP_INPUT_ABS, y ? ABS_MT_POSITION_Y : ABS_MT_POSITION_X,
                                        (int32_t)value};
    } else {
        to[1] = (struct bp_input_event){BP_INPUT_ABS, ABS_MT_TRACKING_ID, ends ? -1 : (int32_t)id};
    }
    return 2;
}

/* Returns how many of evdev's events it makes, or -errno. */
static int convert(const struct bp_value *event, struct bp_input_event to[PER_EVENT],
                   struct bp_error *err)
{
    const char *type = bp_value_get_string(event, "type");
    const struct bp_value *data = bp_value_get(event, "data");
    bool down = bp_value_as_bool(bp_value_get(data, "down"));
    int64_t value = bp_value_as_int(bp_value_get(data, "value"));
    const char *axis = bp_value_get_string(data, "axis");

    if (!strcmp(type, "key")) {
        uint16_t code = 0;
        int ret = code_of(bp_value_get(data, "key"), &code, err);

        *to = (struct bp_input_event){BP_INPUT_KEY, code, down};
        return ret < 0 ? ret : 1;
    }
    if (!strcmp(type, "btn"))
        return (int)button_events(bp_value_get_string(data, "button"), down, to);
    if (value < -32768 || value > BP_INPUT_ABS_MAX)
        return bp_fail(err, EINVAL, "'value' expects at most %d, not %lld", BP_INPUT_ABS_MAX,
                       (long long)value);
    if (!strcmp(type, "mtt"))
        return (int)touch_events(data, to);
    /* REL_X and ABS_X, REL_Y and ABS_Y have the same numbers. */
    *to = (struct bp_input_event){!strcmp(type, "rel") ? BP_INPUT_REL : BP_INPUT_ABS,
                                  axis[0] == 'y' ? REL_Y : REL_X, (int32_t)value};
    return 1;
}

static int send_event(const char *device, bool has_head, int64_t head, struct bp_value *list,
                      struct bp_error *err)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_input_event events[MAX_EVENTS * PER_EVENT];
    struct bp_console *console = NULL;
    unsigned count = 0;
    int ret = 0;

    if (has_head && (head < 0 || head > 0xffff))
        return bp_fail(err, EINVAL, "'head' expects 0 to 65535, not %lld", (long long)head);
    if (bp_value_length(list) > MAX_EVENTS)
        return bp_fail(err, EINVAL, "'events' expects at most %u events, not %zu", MAX_EVENTS,
                       bp_value_length(list));
    if (device)
        ret = keys_display->console_find(machine, device, has_head ? (unsigned)head : 0, &console, err);
    for (size_t i = 0; ret >= 0 && i < bp_value_length(list); i++) {
        ret = convert(bp_value_at(list, i), events + count, err);
        count += ret > 0 ? (unsigned)ret : 0;
    }
    return ret < 0 ? ret : keys_input->send(machine, console, events, count, err);
}

static const struct bp_field send_event_args[] = {
    BP_ARG_OPT("device", STRING, "the screen at whose seat it happens: an id or path"),
    BP_ARG_OPT("head", INT64, "which screen of the device"),
    BP_ARG_TYPED("events", LIST, &event_list, 0, "all or none of them are sent"), BP_FIELDS_END};
BP_COMMAND(cmd_send_event, "input-send-event", "send events of keys and pointers", send_event_args, NONE,
           NULL, send_event, 0);

/* ---- query-mice ---- */

static int add_mouse(const struct bp_input_description *d, void *list)
{
    struct bp_value *value;

    if (!(d->takes & (BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE)))
        return 0;
    value = bp_value_dict();
    bp_value_set(value, "name", bp_value_string(d->name));
    bp_value_set(value, "index", bp_value_uint(d->index));
    bp_value_set(value, "current", bp_value_bool(d->current));
    bp_value_set(value, "absolute", bp_value_bool(d->takes & BP_INPUT_TAKES_ABSOLUTE));
    bp_value_append(list, value);
    return 0;
}

static int query_mice(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    keys_input->each(bp_command_machine(), add_mouse, *ret_value);
    return 0;
}

static const struct bp_field mouse_members[] = {
    BP_ARG("name", STRING, "what it is"), BP_ARG("index", INT64, "for mouse_set"),
    BP_ARG("current", BOOL, "it gets the pointer's events"),
    BP_ARG("absolute", BOOL, "it takes positions, not motion"), BP_FIELDS_END};
static const struct bp_schema mouse_schema = {"MouseInfo", BP_KIND_STRUCT, .members = mouse_members};
static const struct bp_schema mouse_list = {"MouseInfoList", BP_KIND_LIST,
                                            .element_kind = BP_KIND_STRUCT, .element = &mouse_schema};
BP_COMMAND(cmd_query_mice, "query-mice", "the guest's pointers", NULL, LIST, &mouse_list, query_mice, 0);
