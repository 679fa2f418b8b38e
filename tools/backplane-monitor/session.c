/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP: the greeting, commands and their answers, events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"

static enum status next(struct session *s, int64_t deadline, bool quits, struct bp_value **ret_value)
{
    int r = connection_next(&s->c, deadline, ret_value);

    if (r == 1)
        return STATUS_OK;
    if (r == -1 && quits) { /* it need not say anything more */
        *ret_value = bp_value_dict();
        bp_value_set(*ret_value, "id", bp_value_uint(s->id));
        bp_value_set(*ret_value, "return", bp_value_dict());
        return STATUS_OK;
    }
    if (r == 0)
        return complain(STATUS_TIMEOUT, "there is no answer (another client may be connected)");
    return complain(STATUS_CONNECTION, r == -2 ? "what answers does not speak QMP" : "the connection is closed");
}

static int64_t deadline(const struct session *s)
{
    return s->patience < 0 ? -1 : now_ms() + s->patience;
}

enum status session_call(struct session *s, const char *name, struct bp_value *arguments, int fd,
                         struct bp_value **ret_value)
{
    struct bp_value *request = bp_value_dict(), *answer = NULL;
    int64_t until = deadline(s);
    unsigned id = ++s->id;
    enum status status = STATUS_OK;
    char *text;
    bool sent;

    bp_value_set(request, "execute", bp_value_string(name));
    if (arguments && bp_value_length(arguments))
        bp_value_set(request, "arguments", bp_value_ref(arguments));
    bp_value_set(request, "id", bp_value_uint(id));
    text = bp_value_print(request, false);
    bp_value_unref(request);
    sent = connection_send(&s->c, text, strlen(text), fd); /* at its last brace it is carried out */
    free(text);
    if (!sent)
        return complain(STATUS_CONNECTION, "the connection is closed");
    while (status == STATUS_OK) {
        status = next(s, until, !strcmp(name, "quit"), &answer);
        if (status == STATUS_OK && bp_value_has(answer, "event"))
            bp_value_append(s->events, answer);
        else if (status == STATUS_OK && bp_value_as_uint(bp_value_get(answer, "id")) == id)
            break;
        else if (status == STATUS_OK)
            bp_value_unref(answer);
    }
    if (status == STATUS_OK)
        *ret_value = answer;
    return status;
}

enum status session_begin(struct session *s)
{
    struct bp_value *answer = NULL;
    enum status status;

    s->events = bp_value_list();
    status = next(s, s->patience < 0 ? now_ms() + 10000 : deadline(s), false, &s->greeting);
    if (status == STATUS_OK && !bp_value_has(s->greeting, "QMP"))
        return complain(STATUS_CONNECTION, "what answers does not speak QMP");
    if (status == STATUS_OK)
        status = session_call(s, "qmp_capabilities", NULL, -1, &answer);
    bp_value_unref(answer);
    return status;
}

enum status session_schema(struct session *s)
{
    struct bp_value *answer = NULL;
    enum status status = s->schema ? STATUS_OK : session_call(s, "query-qmp-schema", NULL, -1, &answer);

    if (status == STATUS_OK && !s->schema)
        s->schema = bp_value_ref(bp_value_get(answer, "return"));
    bp_value_unref(answer);
    return status == STATUS_OK && !s->schema ? complain(STATUS_REFUSED, "there is no schema") : status;
}

/* ---- what people see ---- */

static void print_result(const struct session *s, struct bp_value *v)
{
    char *text;

    if (!s->json && bp_value_type(v) == BP_VALUE_STRING) {
        const char *words = bp_value_as_string(v);
        size_t length = strlen(words);

        printf("%s%s", words, length && words[length - 1] != '\n' ? "\n" : "");
        return;
    }
    if (!s->json && (bp_value_type(v) == BP_VALUE_DICT || bp_value_type(v) == BP_VALUE_LIST) && !bp_value_length(v))
        return;
    text = bp_value_print(v, !s->json);
    printf("%s\n", text);
    free(text);
}

void session_print_event(const struct session *s, struct bp_value *event)
{
    struct bp_value *data = bp_value_get(event, "data");
    char *text = s->json ? bp_value_print(event, false)
                 : data && bp_value_length(data) ? bp_value_print(data, false) : NULL;

    if (s->json)
        printf("%s\n", text);
    else
        printf("%s%s%s\n", bp_value_get_string(event, "event"), text ? " " : "", text ? text : "");
    fflush(stdout);
    free(text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_commands(struct session *s)
{
    size_t n = 0, most = bp_value_length(s->schema);
    const char **names = calloc(most + 1, sizeof(*names));

    for (size_t i = 0; names && i < most; i++) {
        struct bp_value *entry = bp_value_at(s->schema, i);

        if (!strcmp(bp_value_get_string(entry, "meta-type"), "command"))
            names[n++] = bp_value_get_string(entry, "name");
    }
    if (names)
        qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++)
        puts(names[i]);
    free(names);
}

static enum status help(struct session *s, const char *name)
{
    struct bp_value *command, *members;
    enum status status = session_schema(s);

    if (status != STATUS_OK || !name) {
        if (status == STATUS_OK)
            list_commands(s);
        return status;
    }
    command = schema_find(s->schema, name);
    if (!command || strcmp(bp_value_get_string(command, "meta-type"), "command") != 0)
        return complain(STATUS_REFUSED, "there is no command '%s'; `help` lists them", name);
    members = schema_members(s->schema, command);
    printf("%s%s\n", name, members ? "" : " takes no arguments");
    for (size_t i = 0; i < bp_value_length(members); i++) {
        struct bp_value *m = bp_value_at(members, i);
        char *text = schema_type_text(s->schema, bp_value_get_string(m, "type"));

        printf("  %s=  %s%s\n", bp_value_get_string(m, "name"), text, bp_value_has(m, "default") ? " (may be left out)"
                                                                                                 : "");
        free(text);
    }
    return STATUS_OK;
}

/* ---- commands ---- */

/* One JSON object with "execute" is sent as it is; its words go on as those of a line do. */
static enum status from_json(const char *text, char **ret_name, struct bp_value **ret_args)
{
    struct bp_value *v = NULL;

    if (bp_value_parse(text, strlen(text), &v, NULL) < 0 || !bp_value_get_string(v, "execute")) {
        bp_value_unref(v);
        return complain(STATUS_USAGE, "this is no JSON object with a member \"execute\"");
    }
    *ret_name = strdup(bp_value_get_string(v, "execute"));
    *ret_args = bp_value_ref(bp_value_get(v, "arguments"));
    bp_value_unref(v);
    return STATUS_OK;
}

static enum status from_words(struct session *s, char **words, unsigned count, struct bp_value **ret_args)
{
    struct bp_value *command;
    enum status status = count > 1 ? session_schema(s) : STATUS_OK;
    char *why = NULL;

    if (status != STATUS_OK || count < 2)
        return status;
    command = schema_find(s->schema, words[0]);
    *ret_args = words_arguments(s->schema, command, words + 1, count - 1, &why);
    if (!*ret_args)
        status = complain(STATUS_USAGE, "%s: %s", words[0], why ? why : "no memory");
    free(why);
    return status;
}

/* What comes after `hmp` is a line for people. */
static struct bp_value *human_line(char **words, unsigned count)
{
    struct bp_value *args = bp_value_dict();
    char *line = NULL;
    size_t size;
    FILE *f = open_memstream(&line, &size);

    for (unsigned i = 0; f && i < count; i++)
        fprintf(f, "%s%s", i ? " " : "", words[i]);
    if (f)
        fclose(f);
    bp_value_set(args, "command-line", bp_value_string(line ? line : ""));
    free(line);
    return args;
}

enum status session_run(struct session *s, char **words, unsigned count, int fd)
{
    struct bp_value *args = NULL, *answer = NULL;
    enum status status = STATUS_OK;
    char *name = NULL;

    if (!strcmp(words[0], "help"))
        return help(s, count > 1 ? words[1] : NULL);
    if (!strcmp(words[0], "hmp")) {
        name = strdup("human-monitor-command");
        args = human_line(words + 1, count - 1);
    } else if (words[0][0] == '{') {
        status = from_json(words[0], &name, &args);
    } else {
        name = strdup(words[0]);
        status = from_words(s, words, count, &args);
    }
    if (status == STATUS_OK)
        status = session_call(s, name, args, fd, &answer);
    if (status == STATUS_OK && bp_value_has(answer, "error")) {
        struct bp_value *error = bp_value_get(answer, "error");

        status = complain(STATUS_REFUSED, "%s", bp_value_get_string(error, "desc"));
        if (s->json)
            print_result(s, answer);
    } else if (status == STATUS_OK) {
        print_result(s, bp_value_get(answer, "return"));
    }
    fflush(stdout);
    bp_value_unref(answer);
    bp_value_unref(args);
    free(name);
    return status;
}

static bool wanted(struct bp_value *event, char *const *events, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(events[i], bp_value_get_string(event, "event")))
            return true;
    return false;
}

enum status session_wait(struct session *s, char *const *events, unsigned count, int64_t until)
{
    for (size_t i = 0; i < bp_value_length(s->events); i++) {
        if (!wanted(bp_value_at(s->events, i), events, count))
            continue;
        session_print_event(s, bp_value_at(s->events, i));
        return STATUS_OK;
    }
    for (;;) {
        struct bp_value *v = NULL;
        int r = connection_next(&s->c, until, &v);
        bool found;

        if (r == 0)
            return complain(STATUS_TIMEOUT, "the event has not come");
        if (r < 0)
            return complain(STATUS_CONNECTION, "the connection is closed, and the event has not come");
        found = bp_value_has(v, "event") && wanted(v, events, count);
        if (found)
            session_print_event(s, v);
        bp_value_unref(v);
        if (found)
            return STATUS_OK;
    }
}
