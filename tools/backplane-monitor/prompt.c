/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Line after line: at a terminal with editing, history and completion of commands, arguments and their values; events
 * are told as they come. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBEDIT
#include <editline/readline.h>
#endif

#include "monitor.h"

#define PROMPT "(qmp) "

static struct {
    struct session *s;
    enum status status;
    bool over;
} at; /* what the editing library's functions work on */

static void carry_out(const char *line)
{
    unsigned count;
    char **words = words_split(line, &count);
    enum status status = STATUS_OK;

    if (!words) {
        status = complain(STATUS_USAGE, "a quote or a bracket has no end");
    } else if (count && !strcmp(words[0], "exit")) {
        at.over = true;
    } else if (count) {
        status = session_run(at.s, words, count, -1);
        at.over = status == STATUS_CONNECTION || status == STATUS_TIMEOUT;
    }
    if (status != STATUS_OK)
        at.status = status;
    words_free(words);
}

static void tell_events(void)
{
    for (size_t i = 0; i < bp_value_length(at.s->events); i++)
        session_print_event(at.s, bp_value_at(at.s->events, i));
    bp_value_unref(at.s->events);
    at.s->events = bp_value_list();
}

#ifdef HAVE_LIBEDIT
/* ---- completion ---- */

static struct {
    char **names;
    size_t count, at;
} found;

static void offer(const char *word, const char *text, const char *after)
{
    char *whole;

    if (!text || strncmp(text, word, strlen(word)) != 0 || asprintf(&whole, "%s%s", text, after) < 0)
        return;
    found.names = realloc(found.names, (found.count + 1) * sizeof(char *));
    if (!found.names)
        abort();
    found.names[found.count++] = whole;
}

static void offer_commands(const char *word)
{
    for (size_t i = 0; i < bp_value_length(at.s->schema); i++) {
        struct bp_value *entry = bp_value_at(at.s->schema, i);

        if (!strcmp(bp_value_get_string(entry, "meta-type"), "command"))
            offer(word, bp_value_get_string(entry, "name"), "");
    }
    offer(word, "help", "");
    offer(word, "hmp", "");
    offer(word, "exit", "");
}

/* The word at `start` is behind `KEY=`, or a KEY. */
static void offer_arguments(const char *line, int start, const char *word)
{
    char *name = strndup(line + strspn(line, " \t"), strcspn(line + strspn(line, " \t"), " \t")), *key = NULL;
    struct bp_value *members = schema_members(at.s->schema, name ? schema_find(at.s->schema, name) : NULL);
    int from = start - 1;

    if (start > 0 && line[start - 1] == '=') {
        struct bp_value *choices;

        while (from > 0 && line[from - 1] != ' ' && line[from - 1] != '\t')
            from--;
        key = strndup(line + from, (size_t)(start - 1 - from));
        choices = schema_choices(at.s->schema, bp_value_get_string(schema_member(members, key ? key : ""), "type"));
        for (size_t i = 0; i < bp_value_length(choices); i++)
            offer(word, bp_value_as_string(bp_value_at(choices, i)), " ");
        bp_value_unref(choices);
    } else {
        for (size_t i = 0; i < bp_value_length(members); i++)
            offer(word, bp_value_get_string(bp_value_at(members, i), "name"), "=");
    }
    free(key);
    free(name);
}

static char *next_found(const char *word, int state)
{
    (void)word;
    if (state == 0)
        found.at = 0;
    return found.at < found.count ? strdup(found.names[found.at++]) : NULL;
}

static char **complete(const char *word, int start, int end)
{
    const char *line = rl_line_buffer;
    size_t blank = strspn(line, " \t");
    char **list;

    (void)end;
    rl_attempted_completion_over = 1;
    rl_completion_append_character = '\0';
    if (!at.s->schema)
        return NULL;
    if ((size_t)start <= blank) {
        offer_commands(word);
        rl_completion_append_character = ' ';
    } else if (!strncmp(line + blank, "help ", 5)) {
        offer_commands(word);
    } else {
        offer_arguments(line, start, word);
    }
    list = rl_completion_matches(word, next_found);
    for (size_t i = 0; i < found.count; i++)
        free(found.names[i]);
    free(found.names);
    found.names = NULL;
    found.count = 0;
    return list;
}

/* ---- the terminal ---- */

static void line_done(char *line)
{
    if (!line) {
        puts("");
        at.over = true;
        return;
    }
    if (line[strspn(line, " \t")])
        add_history(line);
    carry_out(line);
    tell_events();
    free(line);
    if (!at.over) /* the library leaves the terminal as it was after each line */
        rl_callback_handler_install(PROMPT, line_done);
}

/* Above the line that is edited, which is drawn again. */
static void tell_above(void)
{
    printf("\r\033[K");
    tell_events();
    rl_forced_update_display();
}

/* Something came while nobody had asked: an event, or the end. */
static void hear(void)
{
    struct bp_value *v = NULL;
    int r = connection_fill(&at.s->c, 0);
    bool any = false;

    while (r > 0 && connection_take(&at.s->c, &v) > 0) {
        bp_value_append(at.s->events, v);
        any = true;
    }
    if (any)
        tell_above();
    if (r < 0) {
        printf("\r\033[K");
        at.status = complain(STATUS_CONNECTION, "the connection is closed");
        at.over = true;
    }
}

static void edit_lines(void)
{
    struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = at.s->c.fd, .events = POLLIN}};

    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = " \t=";
    using_history();
    rl_callback_handler_install(PROMPT, line_done);
    while (!at.over) {
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[0].revents)
            rl_callback_read_char();
        if (!at.over && p[1].revents)
            hear();
    }
    rl_callback_handler_remove();
}
#endif

static void read_lines(void)
{
    char *line = NULL;
    size_t room = 0;

    while (!at.over && getline(&line, &room, stdin) >= 0) {
        if (line[strspn(line, " \t")] != '#')
            carry_out(line);
        tell_events();
    }
    free(line);
}

enum status prompt_run(struct session *s)
{
    at.s = s;
    at.status = STATUS_OK;
#ifdef HAVE_LIBEDIT
    if (isatty(0) && isatty(1)) {
        if (session_schema(s) != STATUS_OK)
            return STATUS_CONNECTION;
        edit_lines();
        return at.status == STATUS_CONNECTION ? at.status : STATUS_OK;
    }
#endif
    read_lines();
    return at.status;
}
