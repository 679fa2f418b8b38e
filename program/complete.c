/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Completion of command lines for shells. Their scripts (completions/) call the program itself, so
 * that what is installed is what is offered:
 *
 *     backplane-system-x86_64 -complete CWORD -- WORDS...
 *
 * CWORD counts WORDS from 0, which is the program's name. The first line of the answer says what the
 * others are: "words" that are finished, "open" ones that more may follow, or "files PREFIX": names
 * of files are to be offered behind PREFIX, and nothing follows. Each other line is WORD<TAB>HELP.
 * Between the program and its scripts only; nothing is loaded and no machine is made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include <bp/device.h>
#include <bp/exact/machine.h>

#include "config.h"
#include "log.h"
#include "options.h"
#include "program.h"
#include "reference.h"
#include "registry.h"
#include "run.h"
#include "schema.h"

struct completion {
    int argc;
    char **argv; /* the words */
    int current; /* number of the one to complete */
    const struct bp_option *option; /* that it is the argument of */
    enum bp_provide_kind kind; /* of things that the option lists */
    char *before;     /* what stands before the part to complete; candidates repeat it */
    const char *part; /* the part itself, up to where it is typed */
    char **given;     /* words of this argument before the part */
};

static void offer(const struct completion *c, const char *text, const char *end, const char *help)
{
    char *word = g_strconcat(text, end, NULL);

    if (g_str_has_prefix(word, c->part))
        printf("%s%s\t%s\n", c->before, word, help ? help : "");
    g_free(word);
}

/* ---- names of options ---- */

static const char *without_dashes(const char *word)
{
    return word + strspn(word, "-");
}

static void offer_option(const struct bpc_known *known, void *opaque)
{
    const struct bp_option *option = bpc_option_describe(known->name);

    offer(opaque, known->name, "", known->summary);
    if (option && option->alias)
        offer(opaque, option->alias, "", known->summary);
}

static void complete_option(struct completion *c)
{
    const char *word = c->argv[c->current];

    c->part = without_dashes(word);
    c->before = g_strndup(word, (gsize)(c->part - word));
    puts("words");
    bpc_each_known(BP_PROVIDE_OPTION, offer_option, c);
}

/* ---- names of things ---- */

static void offer_thing(const char *name, const char *module, const struct bp_type_info *info,
                        void *opaque)
{
    const struct completion *c = opaque;

    (void)module;
    if ((c->kind == BP_PROVIDE_DEVICE || c->kind == BP_PROVIDE_OBJECT) &&
        (info->flags & BP_TYPE_NOT_USER_CREATABLE))
        return;
    offer(c, name, "", info->summary);
    if (c->kind == BP_PROVIDE_DEVICE) {
        const char *const *alias = ((const struct bp_device_class *)(const void *)info)->aliases;

        for (; alias && *alias; alias++)
            offer(c, *alias, "", info->summary);
    } else if (c->kind == BP_PROVIDE_BOARD) {
        const char *alias = ((const struct bp_board_class *)(const void *)info)->alias;

        if (alias)
            offer(c, alias, "", info->summary);
    }
}

struct type_search {
    const char *type;
    enum bp_provide_kind kind;
};

static void match_parent(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque)
{
    struct type_search *search = opaque;

    if (!bpc_kind_is_core(number) && kind->parent && strcmp(kind->parent, search->type) == 0)
        search->kind = number;
}

/* May something of this kind be what a link to `target` asks for? A framework's kind has a type that
 * all of its members are; what is none of those is an object of some type, or a device. */
static bool may_be(enum bp_provide_kind kind, const char *target)
{
    struct type_search search = {target, BP_PROVIDE_END};

    bpc_each_kind(match_parent, &search);
    return search.kind == (bpc_kind_is_core(kind) ? BP_PROVIDE_END : kind);
}

/* Names that -chardev, -object and the like gave earlier on this command line: id=NAME. */
static void offer_ids(const struct completion *c, const char *target)
{
    for (int i = 1; i + 1 < c->argc; i++) {
        const struct bp_option *option = c->argv[i][0] == '-' && i + 1 != c->current
                                             ? bpc_option_describe(without_dashes(c->argv[i]))
                                             : NULL;
        enum bp_provide_kind kind = option && option->arg ? bpc_kind_of_option(option->name)
                                                          : BP_PROVIDE_END;
        const char *id;

        if (kind == BP_PROVIDE_END || !may_be(kind, target))
            continue;
        id = strstr(c->argv[++i], ",id=");
        if (id) {
            char *name = g_strndup(id + 4, strcspn(id + 4, ","));

            offer(c, name, "", c->argv[i]);
            g_free(name);
        }
    }
}

/* ---- keys and values ---- */

static bool is_given(const struct completion *c, const char *key)
{
    size_t len = strlen(key);

    for (char **word = c->given; *word; word++) {
        const char *text = **word == '+' || **word == '-' ? *word + 1 : *word;

        if (strncmp(text, key, len) == 0 && (text[len] == '=' || !text[len]))
            return true;
    }
    return false;
}

static void offer_key(const struct bp_field *field, void *opaque)
{
    struct completion *c = opaque;

    if ((field->flags & (BP_FIELD_HIDDEN | BP_FIELD_READ_ONLY)) || is_given(c, field->name))
        return;
    if (c->kind == BP_PROVIDE_CPU && (*c->part == '+' || *c->part == '-')) {
        char sign[2] = {*c->part, 0};
        char *text = g_strconcat(sign, field->name, NULL);

        offer(c, text, "", field->help);
        g_free(text);
        return;
    }
    offer(c, field->name, "=", field->help);
}

struct search {
    const char *name;
    const struct bp_field *found;
};

static void match_field(const struct bp_field *field, void *opaque)
{
    struct search *search = opaque;

    if (!search->found && strcmp(field->name, search->name) == 0)
        search->found = field;
}

/* The class that the argument's first word (or implied key) names, or NULL. */
static const struct bp_type_info *named_class(const struct completion *c)
{
    const struct bp_type_info *info = NULL;
    size_t len = c->option->implied ? strlen(c->option->implied) : 0;

    for (char **word = c->given; c->kind && !info && *word; word++) {
        const char *name = *word;

        if (len && strncmp(name, c->option->implied, len) == 0 && name[len] == '=')
            name += len + 1;
        else if (word != c->given || strchr(name, '='))
            continue;
        if (bpc_reference_find(c->kind, name, &info, NULL) < 0)
            info = NULL;
    }
    return info;
}

static void each_key(const struct completion *c,
                     void (*fn)(const struct bp_field *field, void *opaque), void *opaque)
{
    const struct bp_type_info *info = named_class(c);

    for (const struct bp_field *f = c->option->keys; f && f->name; f++)
        fn(f, opaque);
    if (info)
        bpc_reference_each_field(c->kind, info, fn, opaque, NULL);
}

static void offer_values(const struct completion *c, const struct bp_field *field)
{
    static const char *const booleans[] = {"on", "off", NULL};
    const char *const *choices = field->kind == BP_KIND_BOOL          ? booleans
                               : field->kind == BP_KIND_ON_OFF_AUTO   ? bpc_on_off_auto
                               : field->kind == BP_KIND_ENUM && field->schema
                                   ? field->schema->choices : NULL;

    puts("open");
    for (; choices && *choices; choices++)
        offer(c, *choices, "", field->help);
    if (field->kind == BP_KIND_LINK && field->target)
        offer_ids(c, field->target);
}

/* What the option's own help lists, for the one that is completed. */
static struct bp_value *own_items;

static void keep_items(struct bp_value *args, const char *title, struct bp_value *list)
{
    (void)args;
    (void)title;
    bp_value_unref(own_items);
    own_items = list;
}

/* The argument is one plain string: -display, -serial, -d. Options of modules that are not loaded
 * are known without their functions, and get names of files. */
static bool offer_own_items(struct completion *c)
{
    static const struct bpc_program collector = {.items = keep_items};
    const struct bpc_program *before = bpc_program;
    struct bp_value *args;

    if (!c->option->show_help)
        return false;
    args = bp_value_dict();
    bpc_program = &collector;
    c->option->show_help(args, NULL);
    bpc_program = before;
    bp_value_unref(args);
    /* "file:" of -serial: the rest is a path. */
    for (size_t i = 0; i < bp_value_length(own_items); i++) {
        const char *name = bp_value_get_string(bp_value_at(own_items, i), "name");
        size_t n = strcspn(name, ":") + 1;

        if (name[n - 1] == ':' && strcmp(name + n, "PATH") == 0 &&
            strncmp(c->part, name, n) == 0) {
            printf("files %.*s\n", (int)n, c->part);
            return true;
        }
    }
    puts("open");
    for (size_t i = 0; i < bp_value_length(own_items); i++) {
        struct bp_value *item = bp_value_at(own_items, i);
        const char *name = bp_value_get_string(item, "name");
        const char *colon = strchr(name, ':'); /* of "tcp:HOST:PORT": the rest is the user's */
        char *word = colon && g_ascii_isupper(colon[1]) ? g_strndup(name, (gsize)(colon + 1 - name))
                                                        : g_strdup(name);

        offer(c, word, "", bp_value_get_string(item, "summary"));
        g_free(word);
    }
    bp_value_unref(own_items);
    own_items = NULL;
    return true;
}

/* A key with the name of an option that takes names of things by that key itself (accel): those, of
 * which several may stand with colons between them. */
static bool offer_named_things(struct completion *c, const char *key)
{
    const struct bp_option *option = bpc_option_describe(key);
    enum bp_provide_kind kind = option ? bpc_kind_of_option(option->name) : BP_PROVIDE_END;
    const char *colon = strrchr(c->part, ':');
    char *joined;

    if (kind == BP_PROVIDE_END || !option->implied || strcmp(option->implied, key) != 0)
        return false;
    if (colon) {
        char *first = g_strndup(c->part, (gsize)(colon + 1 - c->part));

        joined = g_strconcat(c->before, first, NULL);
        g_free(first);
        g_free(c->before);
        c->before = joined;
        c->part = colon + 1;
    }
    c->kind = kind;
    puts("open");
    bpc_reference_each(c->kind, offer_thing, c);
    return true;
}

static void complete_value(struct completion *c, const char *equals)
{
    char *key = g_strndup(c->part, (gsize)(equals - c->part));
    char *before = g_strndup(c->part, (gsize)(equals + 1 - c->part)), *joined;
    struct search search = {key, NULL};
    bool names = c->kind && c->option->implied && strcmp(key, c->option->implied) == 0;

    each_key(c, match_field, &search);
    joined = g_strconcat(c->before, before, NULL);
    g_free(before);
    g_free(c->before);
    c->before = joined;
    c->part = equals + 1;
    if (names) {
        puts("open");
        bpc_reference_each(c->kind, offer_thing, c);
    } else if (search.found && search.found->kind == BP_KIND_STRING &&
               offer_named_things(c, key)) {
        /* done */
    } else if (search.found && search.found->kind == BP_KIND_STRING &&
               strcmp(key, "chardev") == 0) {
        puts("open");
        offer_ids(c, "chardev");
    } else if (search.found && search.found->kind == BP_KIND_STRING &&
               strcmp(key, "id") != 0 && strcmp(key, "bus") != 0) {
        printf("files %s\n", c->before);
    } else if (search.found) {
        offer_values(c, search.found);
    } else {
        puts("open");
    }
    g_free(key);
}

static void complete_argument(struct completion *c)
{
    const char *word = c->argv[c->current], *last = word, *equals;

    if (!c->option->keys && !c->option->any_keys && !c->kind) {
        last = strrchr(word, ',');
        c->part = last ? last + 1 : word;
        c->before = g_strndup(word, (gsize)(c->part - word));
        if (!offer_own_items(c))
            puts("files ");
        return;
    }
    /* The last word between commas; a doubled comma is part of one. */
    for (const char *p = word; *p; p++) {
        if (*p == ',' && p[1] == ',')
            p++;
        else if (*p == ',')
            last = p + 1;
    }
    c->before = g_strndup(word, (gsize)(last - word));
    c->part = last;
    c->given = g_strsplit(c->before, ",", -1);
    equals = strchr(last, '=');
    if (*word == '{') {
        puts("words"); /* JSON is for programs */
    } else if (equals) {
        complete_value(c, equals);
    } else {
        puts("open");
        if (last == word && c->kind)
            bpc_reference_each(c->kind, offer_thing, c);
        if (last != word || !c->kind)
            each_key(c, offer_key, c);
        offer(c, "help", "", "shows what is accepted");
    }
}

static int complete(int argc, char **argv, struct bp_error *err)
{
    struct completion c = {.argc = argc - 4, .argv = argv + 4, .part = ""};
    char *end = NULL;
    long current = argc > 2 ? strtol(argv[2], &end, 10) : -1;

    if (argc < 5 || !end || *end || strcmp(argv[3], "--") != 0 || current < 1 || current >= c.argc)
        return bp_fail(err, EINVAL, "-complete: accepted: -complete CWORD -- WORDS..., CWORD from 1 "
                       "to the number of the last word");
    c.current = (int)current;
    for (int i = 1; i < c.current; i++) {
        const struct bp_option *option = c.argv[i][0] == '-'
                                             ? bpc_option_describe(without_dashes(c.argv[i]))
                                             : NULL;

        if (option && option->arg && ++i == c.current)
            c.option = option;
    }
    c.kind = c.option ? bpc_kind_of_option(c.option->name) : BP_PROVIDE_END;
    if (c.option)
        complete_argument(&c);
    else if (c.argv[c.current][0] == '-')
        complete_option(&c);
    else
        puts("files ");
    g_free(c.before);
    g_strfreev(c.given);
    return 0;
}

int complete_main(int argc, char **argv)
{
    struct bp_error err = {0};
    int ret;

    bpc_config.arch = bpc_arch_of(argv[0]);
    ret = bpc_options_register(&err);
    if (ret == 0)
        ret = complete(argc, argv, &err);
    if (ret < 0)
        bpc_report("%s", err.message);
    return ret < 0 || fflush(stdout) != 0 ? 1 : 0;
}
