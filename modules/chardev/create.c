/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what users type to character devices: -chardev's keys, and the short forms of -serial,
 * -monitor and the like ("mon:stdio", "telnet:HOST:PORT,server=on"), with the old one-word booleans
 * ("server,nowait").
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/option.h>

#include "chardev.h"

static bool is_common(const char *key)
{
    return !strcmp(key, "id") || !strcmp(key, "backend") || !strcmp(key, "mux") ||
           !strcmp(key, "logfile") || !strcmp(key, "logappend");
}

/* One-word booleans: "server" is server=on, "nowait" is wait=off; but "nodelay" is a key itself. */
static void set_word(struct bp_value *dict, const char *key)
{
    if (!strncmp(key, "no", 2) && strcmp(key, "nodelay") != 0 && key[2])
        bp_value_set(dict, key + 2, bp_value_string("off"));
    else
        bp_value_set(dict, key, bp_value_string("on"));
}

struct split {
    struct bp_value *props;
};

static int split_member(const char *key, struct bp_value *member, void *opaque)
{
    struct split *split = opaque;
    const char *text = bp_value_as_string(member);

    if (is_common(key))
        return 0;
    for (size_t i = 0; bp_value_type(member) == BP_VALUE_LIST && i < bp_value_length(member); i++) {
        char flat[64];

        snprintf(flat, sizeof(flat), "%.20s.%zu", key, i);
        bp_value_set(split->props, flat, bp_value_ref(bp_value_at(member, i)));
    }
    if (bp_value_type(member) == BP_VALUE_LIST)
        return 0;
    if (!strcmp(key, "nowait") && text && !strcmp(text, "on"))
        set_word(split->props, key);
    else
        bp_value_set(split->props, key, bp_value_ref(member));
    return 0;
}

/* Names that a back end has had before: the manual's examples have them still. */
static const char *canonical(const char *type)
{
    return !strcmp(type, "memory") ? "ringbuf" : !strcmp(type, "tcp") ? "socket"
         : !strcmp(type, "tty") ? "serial" : !strcmp(type, "parport") ? "parallel" : type;
}

/* What the manual has and no module offers yet, by the name of the back end or by how the short form
 * begins. A module of the name comes first. */
static const struct {
    const char *name, *missing;
} not_built[] = {
    {"console", "the console of Windows"},
    {"tn3270:", "TN3270"}, {"con:", "the console of Windows"},
    {"COM", "serial ports of Windows"},
};

static const char *missing_backend(const char *type)
{
    for (unsigned i = 0; i < BP_COUNT(not_built); i++)
        if (!strcmp(type, not_built[i].name))
            return not_built[i].missing;
    return NULL;
}

static const char *missing_form(const char *text)
{
    for (unsigned i = 0; i < BP_COUNT(not_built); i++) {
        const char *name = not_built[i].name;
        size_t n = strlen(name);

        if (!strncmp(text, name, n) && (!text[n] || strchr(":/", name[n - 1]) || name[0] == '/' ||
                                        (name[0] == 'C' && text[n] >= '0' && text[n] <= '9')))
            return not_built[i].missing;
    }
    return NULL;
}

/* With -display spice-app text consoles are ports, by the names under which viewers show them. */
static bool is_port_of_viewer(const char *type)
{
    return !strcmp(type, "vc") && bp_option_given("display", "type", "spice-app") &&
           bp_provided("chardev", "spiceport");
}

static void make_port(struct bp_value *props, const char *id)
{
    static const char *const sizes[] = {"width", "height", "cols", "rows"};
    char name[192];

    for (unsigned i = 0; i < BP_COUNT(sizes); i++)
        bp_value_remove(props, sizes[i]);
    if (!strncmp(id, "compat_monitor", 14))
        snprintf(name, sizeof(name), "org.qemu.monitor.hmp.%s", id + 14);
    else if (!strncmp(id, "serial", 6) || !strncmp(id, "parallel", 8))
        snprintf(name, sizeof(name), "org.qemu.console.%.*s.%s", (int)strcspn(id, "0123456789"), id,
                 id + strcspn(id, "0123456789"));
    else
        snprintf(name, sizeof(name), "org.qemu.console.%s", id);
    bp_value_set(props, "name", bp_value_string(name));
}

/* The back end that the words name: its type, and its keys in split->props, a new dict. */
static int read_backend(struct bp_value *args, const char *id, struct split *split, const char **ret_type,
                        struct bp_error *err)
{
    const char *type = bp_value_get_string(args, "backend");

    split->props = NULL;
    if (!type)
        return bp_fail(err, EINVAL, "chardev: \"backend\" missing: say which kind it is");
    type = canonical(type);
    if (!bp_provided("chardev", type) && missing_backend(type))
        return bp_fail(err, ENOTSUP, "chardev: %s: not built yet: %s", type, missing_backend(type));
    if (!id && bp_provided("chardev", type))
        return bp_fail(err, EINVAL, "chardev: no id specified");
    split->props = bp_value_dict();
    bp_value_each(args, split_member, split);
    if (is_port_of_viewer(type)) {
        type = "spiceport";
        make_port(split->props, id ? id : "nameless");
    }
    *ret_type = type;
    return 0;
}

int create_from_args(struct bp_value *args, struct bp_chardev **ret_chr, struct bp_error *err)
{
    const char *id = bp_value_get_string(args, "id"), *type;
    struct split split;
    int r = read_backend(args, id, &split, &type, err);

    if (r == 0)
        r = chardev_new(id ? id : "nameless", type, split.props, args, ret_chr, err);
    bp_value_unref(split.props);
    return r;
}

int create_change(const char *id, struct bp_value *args, struct bp_error *err)
{
    struct split split;
    const char *type;
    int r = read_backend(args, id, &split, &type, err);

    if (r == 0)
        r = chardev_change(id, type, split.props, args, err);
    bp_value_unref(split.props);
    return r;
}

/* Copies up to a single comma, undoing doubled ones; moves *text behind it. malloc'd. */
static char *next_word(const char **text)
{
    char *word = bp_alloc(strlen(*text) + 1), *to = word;
    const char *p = *text;
    while (*p && (*p != ',' || p[1] == ',')) {
        p += *p == ',';
        *to++ = *p++;
    }
    *to = 0;
    *text = *p ? p + 1 : p;
    return word;
}

int create_parse(const char *text, const char *implied, struct bp_value *dict, struct bp_error *err)
{
    bool first = true;

    while (*text) {
        char *word = next_word(&text), *equals = strchr(word, '=');
        int r = 0;

        if (first && implied && (!equals || strcmp(implied, "backend") != 0)) {
            bp_value_set(dict, implied, bp_value_string(word));
        } else if (equals && equals != word) {
            *equals = 0;
            bp_value_set(dict, word, bp_value_string(equals + 1));
        } else if (!equals && *word) {
            set_word(dict, word);
        } else {
            r = bp_fail(err, EINVAL, "Expected 'key=value' instead of '%s'", word);
        }
        free(word);
        if (r < 0)
            return r;
        first = false;
    }
    return 0;
}

/*
 * "HOST:PORT" of dict's `from` into `host` and `port`; an IPv6 address stands in brackets. A number
 * alone is a port, without a host: the manual's examples have "tcp:4444" and "udp:4555@:4556".
 */
static int split_address(struct bp_value *dict, const char *text, const char *host,
                         const char *port, struct bp_error *err)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    char *name;

    if (!colon && *text && strspn(text, "0123456789") == strlen(text)) {
        bp_value_set(dict, host, bp_value_string(""));
        bp_value_set(dict, port, bp_value_string(text));
        return 0;
    }
    if (!colon || !colon[1])
        return bp_fail(err, EINVAL, "'%s' is not HOST:PORT", text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    name = memcpy(bp_alloc(len + 1), text, len);
    bp_value_set(dict, host, bp_value_string(name));
    bp_value_set(dict, port, bp_value_string(colon + 1));
    free(name);
    return 0;
}

/* "tcp:" and "telnet:": the first word is HOST:PORT. */
static int parse_inet(struct bp_value *dict, const char *text, struct bp_error *err)
{
    char *address = NULL;
    int r = create_parse(text, "host", dict, err);

    if (r == 0) {
        const char *first = bp_value_get_string(dict, "host");

        address = bp_strdup(first ? first : "");
        r = split_address(dict, address, "host", "port", err);
    }
    free(address);
    return r;
}

/* "udp:[HOST]:PORT[@[LOCAL]:PORT]" */
static int parse_udp(struct bp_value *dict, const char *text, struct bp_error *err)
{
    char *copy = bp_strdup(text), *at = strchr(copy, '@');
    int r = 0;

    if (at) {
        *at = 0;
        r = split_address(dict, at + 1, "localaddr", "localport", err);
    }
    if (r == 0)
        r = split_address(dict, copy, "host", "port", err);
    free(copy);
    return r;
}

/* "WIDTHxHEIGHT": each in pixels, or with a C behind it in characters. */
static int parse_size(struct bp_value *dict, const char *text, struct bp_error *err)
{
    static const char *const keys[2][2] = {{"width", "cols"}, {"height", "rows"}};
    const char *at = text;

    for (unsigned i = 0; i < 2; i++) {
        size_t digits = strspn(at, "0123456789");
        bool characters = at[digits] == 'C';
        const char *end = at + digits + characters;
        char number[8] = "";

        if (digits == 0 || digits >= sizeof(number) || *end != (i == 0 ? 'x' : '\0'))
            return bp_fail(err, EINVAL, "'vc:%s' is not vc:WIDTHxHEIGHT: each a number of pixels, or with a C behind "
                           "it of characters: vc:800x600, vc:80Cx24C", text);
        memcpy(number, at, digits);
        bp_value_set(dict, keys[i][characters], bp_value_string(number));
        at = end + 1;
    }
    return 0;
}

static const struct form {
    const char *prefix; /* ends with ':' when something follows */
    const char *backend;
    const char *implied; /* key of what follows; NULL: see kind */
    enum { FORM_KEYS, FORM_PATH /* all of it, commas too */, FORM_WHOLE /* with the prefix */, FORM_INET,
           FORM_TELNET, FORM_WEBSOCKET, FORM_UDP, FORM_SIZE } kind;
} forms[] = {
    {"null", "null", NULL, FORM_KEYS},
    {"pty", "pty", NULL, FORM_KEYS},
    {"pty:", "pty", "path", FORM_PATH},
    {"stdio", "stdio", NULL, FORM_KEYS},
    {"msmouse", "msmouse", NULL, FORM_KEYS},
    {"wctablet", "wctablet", NULL, FORM_KEYS},
    {"braille", "braille", NULL, FORM_KEYS},
    {"file:", "file", "path", FORM_PATH},
    {"pipe:", "pipe", "path", FORM_PATH},
    {"unix:", "socket", "path", FORM_KEYS},
    {"tcp:", "socket", NULL, FORM_INET},
    {"telnet:", "socket", NULL, FORM_TELNET},
    {"websocket:", "socket", NULL, FORM_WEBSOCKET},
    {"udp:", "udp", NULL, FORM_UDP},
    {"vc", "vc", NULL, FORM_KEYS},
    {"vc:", "vc", NULL, FORM_SIZE},
    {"/dev/parport", "parallel", "path", FORM_WHOLE},
    {"/dev/", "serial", "path", FORM_WHOLE},
};

/* Does the text have this form? Then *ret_rest is what follows. */
static bool has_form(const struct form *form, const char *text, const char **ret_rest)
{
    size_t n = strlen(form->prefix);

    if (strncmp(text, form->prefix, n) != 0)
        return false;
    *ret_rest = form->kind == FORM_WHOLE ? text : text + n;
    if (form->prefix[n - 1] == ':' || form->kind == FORM_WHOLE)
        return true;
    if (text[n] == ',')
        *ret_rest = text + n + 1;
    return text[n] == 0 || text[n] == ',';
}

static int parse_form(const struct form *form, const char *rest, struct bp_value *dict,
                      struct bp_error *err)
{
    bp_value_set(dict, "backend", bp_value_string(form->backend));
    switch (form->kind) {
    case FORM_PATH:
    case FORM_WHOLE:
        bp_value_set(dict, form->implied, bp_value_string(rest));
        return 0;
    case FORM_TELNET:
        bp_value_set(dict, "telnet", bp_value_string("on"));
        return parse_inet(dict, rest, err);
    case FORM_WEBSOCKET:
        bp_value_set(dict, "websocket", bp_value_string("on"));
        return parse_inet(dict, rest, err);
    case FORM_INET:
        return parse_inet(dict, rest, err);
    case FORM_UDP:
        return parse_udp(dict, rest, err);
    case FORM_SIZE:
        return parse_size(dict, rest, err);
    default:
        return create_parse(rest, form->implied, dict, err);
    }
}

int create_legacy(const char *id, const char *text, struct bp_chardev **ret_chr,
                  struct bp_error *err)
{
    const char *whole = text, *rest;
    struct bp_value *dict;
    bool monitor = !strncmp(text, "mon:", 4);
    int r;

    if (!strncmp(text, "chardev:", 8)) {
        struct bp_chardev *chr = chardev_find(text + 8);

        if (!chr)
            return bp_fail(err, ENOENT, "Chardev '%s' not found", text + 8);
        *ret_chr = chr;
        return 0;
    }
    text += monitor ? 4 : 0;
    if (!strcmp(text, "none")) {
        *ret_chr = NULL;
        return 0;
    }
    if (missing_form(text))
        return bp_fail(err, ENOTSUP, "not built yet: %s", missing_form(text));
    dict = bp_value_dict();
    r = bp_fail(err, EINVAL, "'%s' is not a valid char driver: expected null, none, stdio, pty[:PATH], "
                "/dev/TERMINAL, /dev/parportN, file:PATH, pipe:PATH, unix:PATH, tcp:HOST:PORT, telnet:HOST:PORT, "
                "websocket:HOST:PORT, udp:HOST:PORT, vc[:WIDTHxHEIGHT], chardev:ID, or mon: before one of these",
                whole);
    for (unsigned i = 0; i < BP_COUNT(forms); i++) {
        if (!has_form(&forms[i], text, &rest))
            continue;
        if (err)
            *err = (struct bp_error){0};
        if (forms[i].kind == FORM_PATH && !*rest) {
            r = bp_fail(err, EINVAL, "a path is missing after the colon");
            break;
        }
        r = parse_form(&forms[i], rest, dict, err);
        break;
    }
    if (r == 0) {
        bp_value_set(dict, "id", bp_value_string(id));
        if (monitor) {
            bp_value_set(dict, "mux", bp_value_string("on"));
            /* With the monitor on the same terminal Ctrl-c belongs to the guest. */
            if (!strcmp(text, "stdio"))
                bp_value_set(dict, "signal", bp_value_string("off"));
        }
        r = create_from_args(dict, ret_chr, err);
    }
    bp_value_unref(dict);
    return r;
}
