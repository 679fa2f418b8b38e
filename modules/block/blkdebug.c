/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-blkdebug`: a filter that lets requests fail as told, for tests. Rules come from keys
 * (inject-error, set-state: lists) or from a file of groups [inject-error] and [set-state]. Events are
 * read_aio, write_aio, flush_to_os, flush_to_disk, and none, which every request is; those of
 * formats' metadata are not raised here. `skip` is our own: so many matching requests pass first.
 */
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

enum event { NONE, READ_AIO, WRITE_AIO, FLUSH_TO_OS, FLUSH_TO_DISK };
static const char *const event_names[] = {"none", "read_aio", "write_aio", "flush_to_os", "flush_to_disk",
                                          NULL};
static const struct bp_schema event_schema = {"BlkdebugEvent", BP_KIND_ENUM, .choices = event_names};
static const char *const type_names[] = {"read", "write", "write-zeroes", "discard", "flush", NULL};
static const enum bp_block_op types[] = {BP_BLOCK_READ, BP_BLOCK_WRITE, BP_BLOCK_WRITE_ZEROES,
                                         BP_BLOCK_DISCARD, BP_BLOCK_FLUSH};
static const struct bp_schema type_schema = {"BlkdebugIOType", BP_KIND_ENUM, .choices = type_names};

struct rule {
    struct rule *next;
    bool sets; /* set-state; else inject-error */
    enum event event;
    uint64_t state; /* 0: any */
    uint64_t new_state;
    int type; /* index into `types`; -1: any */
    int error;
    int64_t sector; /* -1: any */
    uint64_t skip;
    bool once, spent;
};

struct debug_state {
    char *config;
    struct bp_value *errors, *states;
    uint64_t align, max_transfer;
    struct bp_block_child *image;
    struct rule *rules;
    pthread_mutex_t lock;
    uint64_t state;
};

/* ---- rules ---- */

static int find_name(const char *const *names, const char *text)
{
    for (int i = 0; text && names[i]; i++)
        if (!strcmp(names[i], text))
            return i;
    return -1;
}

/* A number that may be text (of a file). */
static int number(struct bp_value *dict, const char *key, int64_t *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(dict, key);
    const char *text = v ? bp_value_as_string(v) : NULL;
    char *end;

    if (!v)
        return 0;
    if (!text) {
        *ret = bp_value_as_int(v);
        return 0;
    }
    errno = 0;
    *ret = strtoll(text, &end, 0);
    return *end || !*text || errno ? bp_fail(err, EINVAL, "'%s' expects a number, not '%s'", key, text) : 0;
}

static bool is_on(struct bp_value *v)
{
    const char *text = v ? bp_value_as_string(v) : NULL;

    return v && (text ? !strcmp(text, "on") || !strcmp(text, "true") || !strcmp(text, "yes")
                      : bp_value_as_bool(v));
}

static const char *const rule_keys[] = {"event", "state", "new_state", "iotype", "errno", "sector", "once",
                                        "immediately", "skip", NULL};

static int check_key(const char *key, struct bp_value *value, void *opaque)
{
    (void)value;
    return find_name(rule_keys, key) >= 0
               ? 0 : bp_fail(opaque, EINVAL, "a rule has no key '%s'; it has event, state, new_state, "
                             "iotype, errno, sector, once, immediately, skip", key);
}

static int add_rule(struct debug_state *s, struct bp_value *dict, bool sets, struct bp_error *err)
{
    struct rule *rule = bp_alloc(sizeof(*rule)), **link = &s->rules;
    const char *event = bp_value_get_string(dict, "event"), *type = bp_value_get_string(dict, "iotype");
    int64_t state = 0, new_state = 0, error = EIO, skip = 0;
    int ret = bp_value_each(dict, check_key, err), index = find_name(event_names, event ? event : "none");

    rule->sector = -1;
    rule->sets = sets;
    if (ret == 0 && index < 0)
        ret = bp_fail(err, EINVAL, "event '%s' is not raised here; accepted: none, read_aio, write_aio, "
                      "flush_to_os, flush_to_disk", event);
    rule->event = index < 0 ? NONE : (enum event)index;
    rule->type = type ? find_name(type_names, type) : -1;
    if (ret == 0 && type && rule->type < 0)
        ret = bp_fail(err, EINVAL, "iotype '%s' is unknown; accepted: read, write, write-zeroes, discard, "
                      "flush", type);
    if (ret == 0)
        ret = number(dict, "state", &state, err);
    if (ret == 0)
        ret = number(dict, "new_state", &new_state, err);
    if (ret == 0)
        ret = number(dict, "errno", &error, err);
    if (ret == 0)
        ret = number(dict, "sector", &rule->sector, err);
    if (ret == 0)
        ret = number(dict, "skip", &skip, err);
    if (ret == 0 && (error < 1 || error > 4095))
        ret = bp_fail(err, EINVAL, "errno %lld is none", (long long)error);
    if (ret < 0) {
        free(rule);
        return ret;
    }
    rule->state = (uint64_t)state;
    rule->new_state = (uint64_t)new_state;
    rule->error = (int)error;
    rule->skip = (uint64_t)skip;
    rule->once = is_on(bp_value_get(dict, "once"));
    while (*link)
        link = &(*link)->next;
    *link = rule;
    return 0;
}

static int add_rules(struct debug_state *s, struct bp_value *list, bool sets, struct bp_error *err)
{
    int ret = 0;

    for (size_t i = 0; list && ret == 0 && i < bp_value_length(list); i++)
        ret = add_rule(s, bp_value_at(list, i), sets, err);
    return ret;
}

static char *trimmed(char *text)
{
    char *end;

    while (isspace((unsigned char)*text))
        text++;
    end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    if (end - text >= 2 && *text == '"' && end[-1] == '"') {
        end[-1] = '\0';
        text++;
    }
    return text;
}

static int read_line(struct debug_state *s, char *line, struct bp_value **group, bool *sets,
                     struct bp_error *err)
{
    char *text = trimmed(line), *equals;
    int ret = 0;

    if (!*text || *text == '#')
        return 0;
    if (*text == '[') {
        if (*group)
            ret = add_rule(s, *group, *sets, err);
        bp_value_unref(*group);
        *group = bp_value_dict();
        *sets = !strcmp(text, "[set-state]");
        if (ret == 0 && !*sets && strcmp(text, "[inject-error]") != 0)
            ret = bp_fail(err, EINVAL, "there is no group '%s'; there are [inject-error] and [set-state]", text);
        return ret;
    }
    equals = strchr(text, '=');
    if (!equals || !*group)
        return bp_fail(err, EINVAL, "'%s' is no line of a group: key = \"value\"", text);
    *equals = '\0';
    bp_value_set(*group, trimmed(text), bp_value_string(trimmed(equals + 1)));
    return 0;
}

static int read_config(struct debug_state *s, struct bp_error *err)
{
    FILE *f = fopen(s->config, "re");
    struct bp_value *group = NULL;
    unsigned number_of = 0;
    bool sets = false;
    char line[1024];
    int ret = 0;

    if (!f)
        return bp_fail(err, errno, "cannot open '%s': %s", s->config, strerror(errno));
    while (ret == 0 && fgets(line, sizeof(line), f)) {
        number_of++;
        ret = read_line(s, line, &group, &sets, err);
    }
    if (ret == 0 && group)
        ret = add_rule(s, group, sets, err);
    bp_value_unref(group);
    fclose(f);
    if (ret < 0)
        bp_error_prefix(err, "%s:%u", s->config, number_of);
    return ret;
}

/* ---- requests ---- */

static bool matches(struct debug_state *s, struct rule *r, enum event event, enum bp_block_op op,
                    const struct bp_block_request *req)
{
    int64_t first = req ? (int64_t)(req->offset / 512) : 0;
    int64_t last = req ? (int64_t)((req->offset + req->bytes + 511) / 512) : 0;

    /* A flush raises two events, but is one request. */
    if (r->spent || (r->event == NONE ? event == FLUSH_TO_DISK : r->event != event))
        return false;
    if ((r->state && r->state != s->state) || (r->type >= 0 && types[r->type] != op))
        return false;
    if (r->sector >= 0 && (!req || r->sector < first || r->sector >= last))
        return false;
    if (r->skip > 0) {
        r->skip--;
        return false;
    }
    return true;
}

/* Errors are of the state that the event finds; it changes afterwards. */
static int judge(struct bp_block_node *node, enum event event, enum bp_block_op op,
                 const struct bp_block_request *req)
{
    struct debug_state *s = block->state(node);
    uint64_t next;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    next = s->state;
    for (struct rule *r = s->rules; r; r = r->next) {
        if ((!r->sets && ret < 0) || !matches(s, r, event, op, req))
            continue;
        if (r->sets)
            next = r->new_state;
        else
            ret = -r->error;
        r->spent = !r->sets && r->once;
    }
    s->state = next;
    pthread_mutex_unlock(&s->lock);
    return ret;
}

static int hand_on(struct bp_block_node *node, enum event event, enum bp_block_op op,
                   const struct bp_block_request *req)
{
    struct debug_state *s = block->state(node);
    int ret = judge(node, event, op, req);

    return ret < 0 ? ret : block->child_request(s->image, op, req);
}

static int debug_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, READ_AIO, BP_BLOCK_READ, req);
}

static int debug_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, WRITE_AIO, BP_BLOCK_WRITE, req);
}

static int debug_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, WRITE_AIO, BP_BLOCK_WRITE_ZEROES, req);
}

static int debug_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, NONE, BP_BLOCK_DISCARD, req);
}

/* The framework flushes `image` after it. */
static int debug_flush(struct bp_block_node *node)
{
    int ret = judge(node, FLUSH_TO_OS, BP_BLOCK_FLUSH, NULL);

    return ret < 0 ? ret : judge(node, FLUSH_TO_DISK, BP_BLOCK_FLUSH, NULL);
}

static void debug_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct debug_state *s = block->state(node);

    if (s->align)
        limits->request_alignment = (uint32_t)s->align;
    if (s->max_transfer)
        limits->max_transfer = s->max_transfer;
}

static void free_rules(struct debug_state *s)
{
    while (s->rules) {
        struct rule *next = s->rules->next;

        free(s->rules);
        s->rules = next;
    }
}

static int debug_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                      struct bp_error *err)
{
    struct debug_state *s = block->state(node);
    int ret = 0;

    (void)flags;
    s->image = block->child(node, "image");
    s->state = 1;
    if (s->align & (s->align - 1) || s->align > 65536)
        return bp_fail(err, EINVAL, "key 'align' expects a power of two up to 65536");
    if (s->config)
        ret = read_config(s, err);
    if (ret == 0)
        ret = add_rules(s, s->errors, false, err);
    if (ret == 0)
        ret = add_rules(s, s->states, true, err);
    if (ret < 0) {
        free_rules(s);
        return ret;
    }
    pthread_mutex_init(&s->lock, NULL);
    return 0;
}

static void debug_close(struct bp_block_node *node)
{
    struct debug_state *s = block->state(node);

    free_rules(s);
    pthread_mutex_destroy(&s->lock);
}

static const struct bp_field error_members[] = {
    BP_ARG_TYPED("event", ENUM, &event_schema, BP_FIELD_OPTIONAL, "which requests; none: all"),
    BP_ARG_OPT("state", INT64, "only in this state; 0: in any"),
    BP_ARG_TYPED("iotype", ENUM, &type_schema, BP_FIELD_OPTIONAL, "only such requests"),
    BP_ARG_OPT("errno", INT64, "the error; 5 (EIO) by default"),
    BP_ARG_OPT("sector", INT64, "only requests that touch this sector of 512 bytes"),
    BP_ARG_OPT("once", BOOL, "one request only"), BP_ARG_OPT("immediately", BOOL, "has no effect"),
    BP_ARG_OPT("skip", INT64, "so many matching requests pass first"), BP_FIELDS_END};
static const struct bp_schema error_schema = {"BlkdebugInjectErrorOptions", BP_KIND_STRUCT,
                                              .members = error_members};
static const struct bp_schema error_list = {"BlkdebugInjectErrorOptionsList", BP_KIND_LIST,
                                            .element_kind = BP_KIND_STRUCT, .element = &error_schema};
static const struct bp_field state_members[] = {
    BP_ARG_TYPED("event", ENUM, &event_schema, 0, "which requests"),
    BP_ARG_OPT("state", INT64, "only in this state; 0: in any"),
    BP_ARG("new_state", INT64, "state from then on; the first one is 1"), BP_FIELDS_END};
static const struct bp_schema state_schema = {"BlkdebugSetStateOptions", BP_KIND_STRUCT,
                                              .members = state_members};
static const struct bp_schema state_list = {"BlkdebugSetStateOptionsList", BP_KIND_LIST,
                                            .element_kind = BP_KIND_STRUCT, .element = &state_schema};
static const struct bp_field props[] = {
    BP_PROP("config", STRING, struct debug_state, config, NULL, "file with rules"),
    BP_PROP("align", SIZE, struct debug_state, align, "0", "alignment that requests need; 0: the image's"),
    BP_PROP("max-transfer", SIZE, struct debug_state, max_transfer, "0", "longest request; 0: the image's"),
    {.name = "inject-error", .kind = BP_KIND_LIST, .offset = offsetof(struct debug_state, errors),
     .schema = &error_list, .help = "requests that fail"},
    {.name = "set-state", .kind = BP_KIND_LIST, .offset = offsetof(struct debug_state, states),
     .schema = &state_list, .help = "requests that change the state"},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "image", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "what is below"},
    {.name = NULL}};

BP_BLOCK_DRIVER(debug_driver, "blkdebug", "Lets requests fail, for tests", struct debug_state, props,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA | BP_BLOCK_UNCHANGED,
                .children = children, .open = debug_open, .close = debug_close, .read = debug_read,
                .write = debug_write, .flush = debug_flush, .write_zeroes = debug_zeroes,
                .discard = debug_discard, .limits = debug_limits);
BP_MODULE("block-blkdebug", "Disks that fail as told", imports, {BP_PROVIDE_OTHER, &debug_driver});
