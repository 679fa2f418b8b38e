/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line as a list of uses: found in the tables (of the core, or of a module that is
 * loaded for it), split, checked against the keys, merged where the option says so, and applied
 * phase by phase.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "keyval.h"
#include "marks.h"
#include "option-groups.h"
#include "options.h"
#include "registry.h"
#include "run.h"
#include "schema.h"
#include "version.h"

struct use {
    const struct bp_option *option;
    char *text;             /* as given, or NULL */
    struct bp_value *args;  /* dict, string or NULL */
    bool help;
};

static GPtrArray *uses;
const struct bpc_program *bpc_program;

void bpc_help_item(struct bp_value *list, const char *name, const char *summary)
{
    struct bp_value *item = bp_value_dict();

    bp_value_set(item, "name", bp_value_string(name));
    if (summary)
        bp_value_set(item, "summary", bp_value_string(summary));
    bp_value_append(list, item);
}

static void free_use(void *opaque)
{
    struct use *u = opaque;

    g_free(u->text);
    bp_value_unref(u->args);
    g_free(u);
}

void bpc_options_free(void)
{
    if (uses)
        g_ptr_array_free(uses, TRUE);
    uses = NULL;
}

static const struct bp_option *const *const core_tables[] = {
    bpc_process_options, bpc_run_with_options, bpc_machine_options, bpc_numa_options, bpc_device_options,
};

static const struct bp_option *find_core_option(const char *name)
{
    for (size_t t = 0; t < BP_COUNT(core_tables); t++) {
        for (const struct bp_option *const *o = core_tables[t]; *o; o++) {
            if (strcmp((*o)->name, name) == 0 || ((*o)->alias && strcmp((*o)->alias, name) == 0))
                return *o;
        }
    }
    return NULL;
}

int bpc_options_register(struct bp_error *err)
{
    GArray *provides = g_array_new(FALSE, FALSE, sizeof(struct bp_provide));
    struct bp_provide end = {BP_PROVIDE_END, NULL};

    for (size_t t = 0; t < BP_COUNT(core_tables); t++) {
        for (const struct bp_option *const *o = core_tables[t]; *o; o++) {
            struct bp_provide p = {BP_PROVIDE_OPTION, *o};

            g_array_append_val(provides, p);
        }
    }
    for (const struct bp_command *const *c = bpc_numa_commands; *c; c++) {
        struct bp_provide p = {BP_PROVIDE_COMMAND, *c};

        g_array_append_val(provides, p);
    }
    g_array_append_val(provides, end);
    int ret = bpc_register_all("core", (const struct bp_provide *)(void *)provides->data, err);
    g_array_free(provides, TRUE);
    return ret;
}

const struct bp_option *bpc_option_describe(const char *name)
{
    const struct bp_option *option = find_core_option(name);
    const void *desc;

    if (option)
        return option;
    return bpc_describe(BP_PROVIDE_OPTION, name, &desc, NULL) < 0 ? NULL : desc;
}

/* An option that takes a plain string: is "help" among its words? Then they are in *ret_args. */
static bool plain_help(const char *text, struct bp_value **ret_args)
{
    static const struct bpc_keyval_syntax words = {NULL, "name", true};
    struct bp_value *args;
    bool help = false;

    if (!text || *text == '{' || (!strstr(text, "help") && !strchr(text, '?')) ||
        bpc_keyval_parse(text, &words, &args, &help, NULL) < 0)
        return false;
    if (help)
        *ret_args = args;
    else
        bp_value_unref(args);
    return help;
}

static bool takes_keys(const struct bp_option *option)
{
    return option->keys || option->any_keys;
}

/* `text` is the argument, if there is one: for help alone no module is loaded. -ENOENT: nobody has
 * it; no message then. */
static int find_option(const char *name, const char *text, const struct bp_option **ret_option,
                       struct bp_error *err)
{
    const struct bp_option *option = find_core_option(name);
    struct bp_value *args;
    const void *desc;
    int ret;

    if (!option && plain_help(text, &args)) {
        bp_value_unref(args);
        option = bpc_option_describe(name);
        if (option && (option->own_help || (!takes_keys(option) && !bpc_kind_of_option(option->name))))
            option = NULL; /* its own code knows */
    }
    if (option) {
        *ret_option = option;
        return 0;
    }
    ret = bpc_require(BP_PROVIDE_OPTION, name, &desc, err);
    if (ret == 0) {
        *ret_option = desc;
        return 0;
    }
    if (ret != -ENOENT) {
        bp_error_prefix(err, "-%s", name);
        return ret;
    }
    *ret_option = NULL;
    return ret;
}

/* A package has it, or it stands in the table of what is not built yet, or nobody knows it. */
static int unknown_option(const char *name, struct bp_error *err)
{
    const char *equals = strchr(name, '=');
    char hint[BPC_HINT_SIZE];

    if (equals && equals != name) {
        char *before = g_strndup(name, (gsize)(equals - name));
        bool known = bpc_option_describe(before) || bpc_not_built_find(before);

        if (known)
            bp_fail(err, ENOENT, "-%.100s: there is no such option; an argument is a word of its "
                    "own: -%.100s %.100s", name, before, equals + 1);
        g_free(before);
        if (known)
            return -ENOENT;
    }
    bpc_missing_hint(BP_PROVIDE_OPTION, name, hint, sizeof(hint));
    return bp_fail(err, ENOENT, "-%.100s: there is no such option%s; -help lists them", name, hint);
}

/* The line of an option that only the table has; NULL when a package that is not installed has it:
 * that is the better thing to say. */
static const struct bpc_not_built *find_not_built(const char *name)
{
    const struct bpc_loader *loader = bpc_registry_loader();
    char package[BPC_HINT_SIZE];

    if (loader && loader->missing &&
        loader->missing(BP_PROVIDE_OPTION, name, package, sizeof(package)))
        return NULL;
    return bpc_not_built_find(name);
}

void bpc_options_blame(const char *name, const char *text, struct bp_error *err)
{
    size_t len = text ? strlen(text) : 0;

    if (len == 0)
        bp_error_prefix(err, text ? "-%s ''" : "-%s", name);
    else if (text[len - 1] == ':' || strchr(text, ' '))
        bp_error_prefix(err, "-%s '%.200s'", name, text);
    else
        bp_error_prefix(err, "-%s %.200s", name, text);
}

static int judge_not_built(const struct bpc_not_built *what, const char *text,
                           struct bp_value *args, struct bp_error *err)
{
    int ret = bpc_not_built_judge(what, text, args, err);

    if (ret < 0)
        bpc_options_blame(what->name, text, err);
    return ret;
}

bool bpc_options_given(const char *name)
{
    for (unsigned i = 0; uses && i < uses->len; i++) {
        const struct use *u = g_ptr_array_index(uses, i);

        if (strcmp(u->option->name, name) == 0)
            return true;
    }
    return false;
}

void bpc_options_each(const char *name, void (*fn)(struct bp_value *args, void *opaque), void *opaque)
{
    for (unsigned i = 0; uses && i < uses->len; i++) {
        const struct use *u = g_ptr_array_index(uses, i);

        if (strcmp(u->option->name, name) == 0 && u->args && !u->help)
            fn(u->args, opaque);
    }
}

struct wanted {
    const char *key, *value;
    bool found;
};

static void note_wanted(struct bp_value *args, void *opaque)
{
    struct wanted *w = opaque;
    const char *text = w->key ? bp_value_get_string(args, w->key) : NULL;

    w->found |= !w->key || (text && (!w->value || strcmp(text, w->value) == 0));
}

bool bp_option_given(const char *name, const char *key, const char *value)
{
    struct wanted w = {key, value, false};

    bpc_assert_main();
    bpc_options_each(name, note_wanted, &w);
    return w.found;
}

static int overlay_member(const char *key, struct bp_value *member, void *opaque)
{
    bp_value_set(opaque, key, bp_value_ref(member));
    return 0;
}

static struct use *find_mergeable(const struct bp_option *option)
{
    for (unsigned i = 0; i < uses->len; i++) {
        struct use *u = g_ptr_array_index(uses, i);

        if (u->option == option)
            return u;
    }
    return NULL;
}

struct key_check {
    const struct bp_option *option;
    struct bp_error *err;
};

static int check_key(const char *key, struct bp_value *member, void *opaque)
{
    const struct key_check *c = opaque;

    (void)member;
    if (bpc_schema_find(c->option->keys, key))
        return 0;
    GString *known = g_string_new(NULL);
    for (const struct bp_field *f = c->option->keys; f->name; f++)
        g_string_append_printf(known, "%s%s", known->len ? ", " : "", f->name);
    int ret = bp_fail(c->err, EINVAL, "there is no key '%.100s'; accepted: %s", key, known->str);
    g_string_free(known, TRUE);
    return ret;
}

static int is_help(const char *key, struct bp_value *member, void *opaque)
{
    const char *text = bp_value_as_string(member), *only = opaque;

    return (!only || strcmp(key, only) == 0) && text && strcmp(text, "help") == 0;
}

/* "driver=help", where the key names something of a kind, and "model=help" of an option that tells more. */
static bool asks_for_help(const struct bp_option *option, struct bp_value *args)
{
    if (option->show_help)
        return bp_value_each(args, is_help, NULL);
    return option->implied && bpc_kind_of_option(option->name) != BP_PROVIDE_END &&
           bp_value_each(args, is_help, (void *)(uintptr_t)option->implied);
}

/* Splits and checks the argument of one use. Takes nothing, gives a reference. */
static int read_args(const struct bp_option *option, const char *text, struct bp_value *given,
                     struct bp_value **ret_args, bool *ret_help, struct bp_error *err)
{
    const struct bpc_keyval_syntax syntax = {option->keys, option->implied, option->any_keys};
    struct bp_value *raw, *checked;
    bool help = false;
    int ret;

    if (!takes_keys(option)) {
        if (given)
            return bp_fail(err, EINVAL, "it has no keys, so it has no group in a file");
        *ret_help = plain_help(text, ret_args);
        if (*ret_help && !option->show_help && !bpc_kind_of_option(option->name)) {
            bp_value_unref(*ret_args); /* it is text like any other */
            *ret_help = false;
        }
        if (!*ret_help)
            *ret_args = bp_value_string(text ? text : "");
        return 0;
    }
    if (given) {
        raw = bp_value_ref(given);
    } else {
        ret = bpc_keyval_parse(text, &syntax, &raw, &help, err);
        if (ret < 0)
            return ret;
        if (!help && asks_for_help(option, raw)) {
            help = true;
            if (!option->show_help)
                bp_value_remove(raw, option->implied);
        }
    }
    if (help) {
        *ret_help = true;
        *ret_args = raw;
        return 0;
    }
    if (!option->any_keys) {
        struct key_check check = {option, err};

        ret = bp_value_each(raw, check_key, &check);
        if (ret < 0) {
            bp_value_unref(raw);
            return ret;
        }
    }
    ret = bpc_schema_dict_from_loose(option->keys, raw, option->any_keys, &checked, err);
    bp_value_unref(raw);
    if (ret < 0)
        return ret;
    *ret_help = false;
    *ret_args = checked;
    return 0;
}

static int add_use(const struct bp_option *option, const char *text, struct bp_value *given,
                   struct bp_error *err)
{
    struct bp_value *args = NULL;
    bool help = false;

    if (!option->arg && given)
        return bp_fail(err, EINVAL, "-%s takes no keys, so it has no group in a file",
                       option->name);
    if (option->arg) {
        int ret = read_args(option, text, given, &args, &help, err);

        if (ret < 0) {
            bpc_options_blame(option->name, text, err);
            return ret;
        }
    }
    struct use *same = option->merge && !help ? find_mergeable(option) : NULL;
    if (same && !same->help && same->args && bp_value_type(same->args) == BP_VALUE_DICT) {
        bp_value_each(args, overlay_member, same->args);
        bp_value_unref(args);
        g_free(same->text);
        same->text = g_strdup(text);
        return 0;
    }
    struct use *u = g_new0(struct use, 1);
    u->option = option;
    u->text = g_strdup(text);
    u->args = args;
    u->help = help;
    g_ptr_array_add(uses, u);
    return 0;
}

/* ---- -set ---- */

/* The use of this option that has an id which begins `rest`, before a dot; *ret_key: what follows. */
static struct use *find_by_id(const char *option, const char *rest, const char **ret_key)
{
    for (unsigned i = uses->len; i-- > 0;) {
        struct use *u = g_ptr_array_index(uses, i);
        const char *id = strcmp(u->option->name, option) == 0 && u->args && !u->help &&
                                 bp_value_type(u->args) == BP_VALUE_DICT
                             ? bp_value_get_string(u->args, "id") : NULL;

        if (id && g_str_has_prefix(rest, id) && rest[strlen(id)] == '.') {
            *ret_key = rest + strlen(id) + 1;
            return u;
        }
    }
    return NULL;
}

#define CANNOT_SET_HELP "'help' cannot be set: it asks, and nothing is made of it"

/* What came without text is read again as what it is: with its types, and the new key's text among them. */
static int set_key_of_dict(struct use *u, const char *key, const char *value, struct bp_error *err)
{
    const struct bpc_keyval_syntax syntax = {u->option->keys, u->option->implied, u->option->any_keys};
    struct bp_value *given = bp_value_copy(u->args), *alone = bp_value_dict(), *args = NULL;
    bool help = false;
    int ret;

    bp_value_set(alone, key, bp_value_string(value));
    ret = asks_for_help(u->option, alone) ? bp_fail(err, EINVAL, CANNOT_SET_HELP)
                                          : bpc_keyval_store(given, &syntax, key, bp_value_string(value), err);
    if (ret == 0)
        ret = bpc_keyval_finish(&given, err);
    if (ret == 0)
        ret = read_args(u->option, NULL, given, &args, &help, err);
    bp_value_unref(alone);
    bp_value_unref(given);
    if (ret < 0)
        return ret;
    bp_value_unref(u->args);
    u->args = args;
    return 0;
}

/* The use is read again with the key behind the others, which so has the last word. */
static int set_key(struct use *u, const char *key, const char *value, struct bp_error *err)
{
    struct bp_value *args = NULL;
    char **parts, *escaped, *text;
    bool help = false;
    int ret;

    if (!u->text || *u->text == '{') /* JSON, or a configuration file's */
        return set_key_of_dict(u, key, value, err);
    parts = g_strsplit(value, ",", -1);
    escaped = g_strjoinv(",,", parts);
    text = g_strdup_printf("%s,%s=%s", u->text, key, escaped);
    ret = read_args(u->option, text, NULL, &args, &help, err);
    g_strfreev(parts);
    g_free(escaped);
    if (ret == 0 && help) {
        bp_value_unref(args);
        ret = bp_fail(err, EINVAL, CANNOT_SET_HELP);
    }
    if (ret < 0) {
        g_free(text);
        return ret;
    }
    bp_value_unref(u->args);
    g_free(u->text);
    u->args = args;
    u->text = text;
    return 0;
}

int bpc_options_set(const char *text, struct bp_error *err)
{
    const char *dot = strchr(text, '.'), *equals = strchr(text, '='), *key;
    char *group, *name;
    struct use *u;
    int ret;

    if (!dot || !equals || dot > equals || equals[-1] == '.')
        return bp_fail(err, EINVAL, "accepted: GROUP.ID.ARG=VALUE");
    group = g_strndup(text, (gsize)(dot - text));
    u = find_by_id(bpc_option_of_group(group), dot + 1, &key);
    if (!u || key >= equals) {
        ret = bp_fail(err, ENOENT, "there is no -%s with such an id", group);
    } else {
        name = g_strndup(key, (gsize)(equals - key));
        ret = set_key(u, name, equals + 1, err);
        g_free(name);
    }
    g_free(group);
    return ret;
}

int bpc_options_add(const char *name, const char *text, struct bp_value *args, struct bp_error *err)
{
    const struct bpc_not_built *missing;
    const struct bp_option *option;
    int ret;

    if (!uses)
        uses = g_ptr_array_new_with_free_func(free_use);
    ret = find_option(name, text, &option, err);
    if (ret == -ENOENT && !option) {
        missing = find_not_built(name);
        return missing ? judge_not_built(missing, text, args, err) : unknown_option(name, err);
    }
    return ret < 0 ? ret : add_use(option, text, args, err);
}

/* "-NAME" of which only the table knows; *i moves over its argument. */
static int parse_not_built(int argc, char **argv, const char *name, int *i, struct bp_error *err)
{
    const struct bpc_not_built *missing = find_not_built(name);

    if (!missing)
        return unknown_option(name, err);
    if (missing->arg && *i + 1 >= argc)
        return bp_fail(err, EINVAL, "-%s: an argument is missing: -%s %s", name, missing->name,
                       missing->arg);
    return judge_not_built(missing, missing->arg ? argv[++*i] : NULL, NULL, err);
}

/* One word with dashes; *i moves over its argument. */
static int parse_word(int argc, char **argv, int *i, struct bp_error *err)
{
    const char *name = argv[*i] + (argv[*i][1] == '-' ? 2 : 1), *text = NULL;
    const struct bp_option *option;
    int ret;

    if (!*name)
        return bp_fail(err, EINVAL, "'%s' is not an option; -help lists them", argv[*i]);
    if (strcmp(name, "h") == 0 || strcmp(name, "help") == 0) {
        if (bpc_program)
            bpc_program->usage();
        return BPC_OPTIONS_DONE;
    }
    if (strcmp(name, "version") == 0) {
        printf("Backplane, command line of QEMU emulator version %s (Backplane %s)\n",
               BPC_COMPATIBLE_VERSION, BP_VERSION);
        return BPC_OPTIONS_DONE;
    }
    if (strcmp(name, "help-json") == 0) {
        if (bpc_program)
            bpc_program->everything();
        return BPC_OPTIONS_DONE;
    }
    ret = find_option(name, *i + 1 < argc ? argv[*i + 1] : NULL, &option, err);
    if (ret == -ENOENT && !option)
        return parse_not_built(argc, argv, name, i, err);
    if (ret < 0)
        return ret;
    if (option->arg) {
        if (*i + 1 >= argc)
            return bp_fail(err, EINVAL, "-%s: an argument is missing: -%s %s", name, option->name,
                           option->arg);
        text = argv[++*i];
    }
    if (strcmp(option->name, "readconfig") == 0) {
        ret = bpc_readconfig(text, err);
        if (ret < 0)
            bpc_options_blame("readconfig", text, err);
        return ret;
    }
    return add_use(option, text, NULL, err);
}

/* A word that no option takes is the image of the first disk. */
static int parse_image(const char *word, struct bp_error *err)
{
    const struct bp_option *hda;
    int ret;

    if ((bpc_option_describe(word) || bpc_not_built_find(word)) && access(word, F_OK) < 0)
        return bp_fail(err, EINVAL, "'%.200s' is no option without its dash: -%.200s", word, word);
    ret = find_option("hda", NULL, &hda, err);
    if (ret == 0)
        return add_use(hda, word, NULL, err);
    if (hda)
        return ret;
    return bp_fail(err, ENOTSUP, "'%.200s' would be the image of a disk, and no module here has disks; "
                   "options begin with a dash", word);
}

/* What the computer's owner wants of every machine comes before what the command line says. */
static int parse_user_config(int argc, char **argv, struct bp_error *err)
{
    int ret;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-no-user-config") || !strcmp(argv[i], "--no-user-config"))
            return 0;
    if (access(BPC_USER_CONFIG, F_OK) < 0)
        return 0;
    ret = bpc_readconfig(BPC_USER_CONFIG, err);
    if (ret < 0)
        bpc_options_blame("readconfig", BPC_USER_CONFIG, err);
    return ret;
}

int bpc_options_parse(int argc, char **argv, struct bp_error *err)
{
    int ret;

    if (!uses)
        uses = g_ptr_array_new_with_free_func(free_use);
    ret = parse_user_config(argc, argv, err);
    if (ret < 0)
        return ret;
    for (int i = 1; i < argc; i++) {
        ret = argv[i][0] == '-' ? parse_word(argc, argv, &i, err) : parse_image(argv[i], err);
        if (ret != BPC_OPTIONS_RUN)
            return ret;
    }
    return BPC_OPTIONS_RUN;
}

static unsigned applying; /* the phase */

int bp_option_add(const char *name, struct bp_value *args, struct bp_error *err)
{
    bpc_assert_main();
    const struct bp_option *option;
    int ret = find_option(name, NULL, &option, err);

    if (ret < 0)
        return option ? ret : unknown_option(name, err);
    if (!applying || option->phase <= applying)
        return bp_fail(err, EBUSY, "-%s is too late now", name);
    return add_use(option, NULL, args, err);
}

static int apply_phase(unsigned phase, struct bp_error *err)
{
    applying = phase;
    for (unsigned i = 0; i < uses->len; i++) {
        const struct use *u = g_ptr_array_index(uses, i);

        if (bpc_option_phase(u->option, u->args) != phase || u->help || !u->option->apply)
            continue;
        int ret = u->option->apply(u->args, err);
        if (ret < 0) {
            bpc_options_blame(u->option->name, u->text, err);
            return ret;
        }
    }
    return 0;
}

int bpc_options_apply(enum bp_option_phase phase, struct bp_error *err)
{
    int ret = phase == BP_PHASE_CHARDEV ? apply_phase(BPC_PHASE_EARLY_OBJECTS, err) : 0;

    for (unsigned i = (unsigned)phase; ret == 0 && i < (unsigned)phase + 10; i++)
        ret = apply_phase(i, err);
    return ret;
}

int bpc_options_help(struct bp_error *err)
{
    for (unsigned i = 0; i < uses->len; i++) {
        const struct use *u = g_ptr_array_index(uses, i);

        if (!u->help)
            continue;
        int ret = bpc_program ? bpc_program->option(u->option, u->args, err)
                            : bp_fail(err, ENOSYS, "this program has no help");
        if (ret < 0) {
            bpc_options_blame(u->option->name, u->text, err);
            return ret;
        }
        return BPC_OPTIONS_DONE;
    }
    return BPC_OPTIONS_RUN;
}
