/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The human monitor's commands: one line is a command's name (or the start of one that is unique),
 * then its arguments as the table tells: words, quoted strings, expressions for numbers, "-f" for
 * a boolean named "-f", "/NFS" for an argument named "fmt". Output is text.
 */
#include "hmp.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "machine.h"
#include "marks.h"
#include "preconfig.h"
#include "registry.h"
#include "schema.h"

#define MAX_LINE 4096
#define MAX_OUTPUT (16u << 20)

static const struct {
    const char *alias, *name;
} aliases[] = {
    {"c", "cont"}, {"s", "stop"}, {"q", "quit"}, {"p", "print"}, {"?", "help"},
};

void bp_monitor_printf(struct bp_monitor *mon, const char *fmt, ...)
{
    va_list ap;

    if (mon->out->len > MAX_OUTPUT)
        return;
    va_start(ap, fmt);
    g_string_append_vprintf(mon->out, fmt, ap);
    va_end(ap);
}

void bpc_hmp_error(struct bp_monitor *mon, const struct bp_error *err)
{
    bp_monitor_printf(mon, "Error: %s\n", err->message);
}

struct bp_cpu *bpc_hmp_cpu(struct bp_monitor *mon)
{
    struct bp_cpu *cpu = bp_machine_cpu(bpc_the_machine, mon->cpu_index);

    if (!cpu)
        bp_monitor_printf(mon, "No CPU available\n");
    return cpu;
}

struct bp_value *bpc_hmp_ask(struct bp_monitor *mon, const char *name, struct bp_value *args)
{
    const struct bp_command *command;
    struct bp_error err = {0};
    struct bp_value *result = NULL;
    int ret = bpc_command_find(name, &command, &err);

    if (ret == 0)
        ret = bpc_command_call(command, args, &result, &err);
    if (ret < 0)
        bpc_hmp_error(mon, &err);
    return ret < 0 ? NULL : result;
}

void bpc_hmp_qmp(struct bp_monitor *mon, const char *name, struct bp_value *args)
{
    bp_value_unref(bpc_hmp_ask(mon, name, args));
}

/* ---- names ---- */

static void collect(const struct bpc_known *known, void *opaque)
{
    g_ptr_array_add(opaque, g_strdup(known->name));
}

static GPtrArray *all_names(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    bpc_each_known(BP_PROVIDE_HMP, collect, names);
    return names;
}

/* The command of this name: exactly, by alias, or the only one that begins with it. */
static const struct bp_hmp_command *find_command(const char *name, bool to_run)
{
    const void *desc = NULL;

    for (size_t i = 0; i < BP_COUNT(aliases); i++) {
        if (strcmp(aliases[i].alias, name) == 0)
            name = aliases[i].name;
    }
    if (bpc_find(BP_PROVIDE_HMP, name))
        return bpc_find(BP_PROVIDE_HMP, name);
    GPtrArray *names = all_names();
    for (unsigned i = 0; i < names->len; i++) {
        if (strcmp(g_ptr_array_index(names, i), name) == 0)
            (to_run ? bpc_require : bpc_describe)(BP_PROVIDE_HMP, name, &desc, NULL);
    }
    g_ptr_array_free(names, TRUE);
    return desc;
}

const struct bpc_hmp_missing *bpc_hmp_missing;

static void tell_unknown(struct bp_monitor *mon, const char *name)
{
    char hint[BPC_HINT_SIZE];

    for (const struct bpc_hmp_missing *m = bpc_hmp_missing; m && m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            bp_monitor_printf(mon, "Error: '%s' is not built yet: %s\n", name, m->missing);
            return;
        }
    }
    bpc_missing_hint(BP_PROVIDE_HMP, name, hint, sizeof(hint));
    bp_monitor_printf(mon, "unknown command: '%.100s'%s\n", name, hint);
}

/* ---- arguments ---- */

static const char *skip_space(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

/* One word, or a string in double quotes with \" \\ \n. g_malloc'd; NULL: a quote is missing. */
static char *take_word(const char **text)
{
    const char *p = *text;
    GString *word = g_string_new(NULL);

    if (*p != '"') {
        while (*p && !isspace((unsigned char)*p))
            g_string_append_c(word, *p++);
        *text = p;
        return g_string_free(word, FALSE);
    }
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            g_string_append_c(word, *p == 'n' ? '\n' : *p);
        } else {
            g_string_append_c(word, *p);
        }
    }
    if (*p != '"') {
        g_string_free(word, TRUE);
        return NULL;
    }
    *text = p + 1;
    return g_string_free(word, FALSE);
}

static int take_number(struct bp_monitor *mon, const struct bp_field *f, const char **text,
                       struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *v;
    uint64_t n;
    int ret;

    if (f->kind == BP_KIND_SIZE) {
        char *word = take_word(text);

        ret = word ? bpc_schema_from_text(f, word, ret_value, err)
                   : bp_fail(err, EINVAL, "the closing quote is missing");
        g_free(word);
        return ret;
    }
    ret = bpc_expression(mon, text, &n, err);
    if (ret < 0)
        return ret;
    if (**text && !isspace((unsigned char)**text))
        return bp_fail(err, EINVAL, "unexpected '%c' after the number", **text);
    v = bpc_schema_is_signed(f->kind) ? bp_value_int((int64_t)n) : bp_value_uint(n);
    ret = bpc_schema_check(f, v, NULL, err);
    if (ret < 0)
        bp_value_unref(v);
    else
        *ret_value = v;
    return ret;
}

static int take_text(const struct bp_field *f, const char **text, struct bp_value **ret_value,
                     struct bp_error *err)
{
    char *word;
    int ret;

    if (f->kind == BP_KIND_STRING && (f->flags & BP_FIELD_REPEATED)) { /* the rest of the line */
        *ret_value = bp_value_string(*text);
        *text += strlen(*text);
        return 0;
    }
    word = take_word(text);
    if (!word)
        return bp_fail(err, EINVAL, "the closing quote is missing");
    ret = bpc_schema_from_text(f, word, ret_value, err);
    g_free(word);
    return ret;
}

static bool skips_field(const struct bp_field *f, const char *p)
{
    if (f->kind == BP_KIND_BOOL && f->name[0] == '-')
        return strncmp(p, f->name, 2) != 0 || (p[2] && !isspace((unsigned char)p[2]));
    if (strcmp(f->name, "fmt") == 0)
        return *p != '/';
    return !*p;
}

static int read_args(struct bp_monitor *mon, const struct bp_hmp_command *command, const char *text,
                     struct bp_value *args, struct bp_error *err)
{
    const char *p = skip_space(text);

    for (const struct bp_field *f = command->args; f && f->name; f++) {
        struct bp_value *v = NULL;
        int ret = 0;

        if (skips_field(f, p)) {
            if (!(f->flags & BP_FIELD_OPTIONAL))
                return bp_fail(err, EINVAL, "%s: argument '%s' is missing", command->name, f->name);
            continue;
        }
        if (f->kind == BP_KIND_BOOL && f->name[0] == '-') {
            v = bp_value_bool(true);
            p += 2;
        } else if (bpc_schema_is_integer(f->kind)) {
            ret = take_number(mon, f, &p, &v, err);
        } else {
            ret = take_text(f, &p, &v, err);
        }
        if (ret < 0)
            return ret;
        bp_value_set(args, f->name, v);
        p = skip_space(p);
    }
    if (*p)
        return bp_fail(err, EINVAL, "%s: extraneous characters at the end of line: '%.60s'",
                       command->name, p);
    return 0;
}

/* ---- help ---- */

static void print_help_line(struct bp_monitor *mon, const struct bp_hmp_command *c)
{
    for (size_t i = 0; i < BP_COUNT(aliases); i++) {
        if (strcmp(aliases[i].name, c->name) == 0) {
            bp_monitor_printf(mon, "%s|%s %s -- %s\n", c->name, aliases[i].alias,
                              c->params ? c->params : "", c->summary);
            return;
        }
    }
    bp_monitor_printf(mon, "%s %s -- %s\n", c->name, c->params ? c->params : "", c->summary);
}

struct help_walk {
    struct bp_monitor *mon;
    const char *prefix; /* "" : commands without a space; "info " */
    unsigned count;
};

static void help_one(const struct bpc_known *known, void *opaque)
{
    struct help_walk *w = opaque;
    const void *desc;

    if (!g_str_has_prefix(known->name, w->prefix) || (!*w->prefix && strchr(known->name, ' ')) ||
        bpc_describe(BP_PROVIDE_HMP, known->name, &desc, NULL) < 0)
        return;
    w->count++;
    print_help_line(w->mon, desc);
}

void bpc_hmp_help(struct bp_monitor *mon, const char *name)
{
    struct help_walk w = {mon, "", 0};
    const struct bp_hmp_command *c;

    if (name && strcmp(name, "info") == 0)
        w.prefix = "info ";
    if (!name || *w.prefix) {
        bpc_each_known(BP_PROVIDE_HMP, help_one, &w);
        if (!name)
            bp_monitor_printf(mon, "info [subcommand] -- show various information about the "
                              "system state\n");
        return;
    }
    c = find_command(name, false);
    if (c)
        print_help_line(mon, c);
    else
        tell_unknown(mon, name);
}

/* ---- one line ---- */

/* Splits off the command's name: "info NAME" is one of two words, and so is another whose table says so. */
static const struct bp_hmp_command *take_command(const char **text, char **ret_name)
{
    const struct bp_hmp_command *c;
    size_t n = strcspn(*text, " \t\r\n/"); /* "x/4xb": the format follows without a space */
    char *name = g_strndup(*text, n), *two, *second;
    const char *p;

    *text += n;
    *ret_name = name;
    p = skip_space(*text);
    second = *p ? take_word(&p) : NULL;
    if (!second)
        return strcmp(name, "info") ? find_command(name, true) : NULL;
    two = g_strdup_printf("%s %s", name, second);
    g_free(second);
    c = find_command(two, true);
    if (!c && strcmp(name, "info") != 0) {
        g_free(two);
        return find_command(name, true);
    }
    g_free(*ret_name);
    *ret_name = two;
    *text = p;
    return c;
}

void bpc_hmp_run(struct bp_monitor *mon, const char *line)
{
    const struct bp_hmp_command *command;
    struct bp_error err = {0};
    const char *p = skip_space(line);
    char *name;

    if (!*p || *p == '#')
        return;
    if (strlen(p) > MAX_LINE) {
        bp_monitor_printf(mon, "the line is too long\n");
        return;
    }
    command = take_command(&p, &name);
    if (command) {
        struct bp_value *args = bp_value_dict();

        if (bpc_preconfig_judge_human(command->name, &err) < 0)
            bpc_hmp_error(mon, &err);
        else if (read_args(mon, command, p, args, &err) < 0)
            bp_monitor_printf(mon, "%s\n", err.message);
        else
            command->fn(mon, args);
        bp_value_unref(args);
    } else if (strcmp(name, "info") == 0) {
        bpc_hmp_help(mon, "info");
    } else {
        tell_unknown(mon, name);
    }
    g_free(name);
}

char *bp_monitor_execute(const char *line)
{
    struct bp_monitor mon = {.out = g_string_new(NULL)};
    char *text;

    bpc_assert_main();
    bpc_hmp_run(&mon, line);
    text = strdup(mon.out->str);
    g_string_free(mon.out, TRUE);
    return text;
}
