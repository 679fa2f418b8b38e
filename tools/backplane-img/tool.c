/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tools for images have in common: messages, --object, and a command that runs in a coroutine. */
#include "img.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "loop.h"
#include "module-options.h"
#include "modules.h"
#include "object.h"

const struct bp_block_interface *block;
const char *tool_name;
bool quiet;

int complain(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    fflush(stdout);
    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0)
        bp_hide_passwords(text);
    fprintf(stderr, "%s: %s\n", tool_name, n < 0 ? "no memory" : text);
    if (n >= 0)
        free(text);
    return 1;
}

int complain_error(const char *what, const struct bp_error *err)
{
    return what ? complain("%s: %s", what, err->message) : complain("%s", err->message);
}

void say(const char *fmt, ...)
{
    va_list ap;

    if (quiet)
        return;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

struct run {
    int (*fn)(int argc, char **argv);
    int argc;
    char **argv;
    int status;
    bool done;
};

static void run_it(void *opaque)
{
    struct run *r = opaque;
    struct bp_error err = {0};
    const void *table;

    if (bpc_require_interface("block", 1, &table, &err) < 0) {
        r->status = complain_error(NULL, &err);
    } else {
        block = table;
        r->status = r->fn(r->argc, r->argv);
    }
    r->done = true;
    bpc_loop_wake();
}

/* --object TYPE,id=ID,KEY=VALUE,... or as JSON: secrets, TLS credentials. */
int make_object(const char *text)
{
    struct bp_value *args = NULL;
    struct bp_error err = {0};
    char *named = NULL;
    int ret = 0;

    if (*text == '{') {
        ret = bp_value_parse(text, strlen(text), &args, &err);
    } else if (asprintf(&named, "%s%s", text[strcspn(text, ",=")] == '=' ? "" : "qom-type=", text) >= 0) {
        args = bp_value_dict();
        parse_keys(named, false, args);
        free(named);
    }
    ret = ret < 0 ? ret : bpc_object_add(args, &err);
    bp_value_unref(args);
    return ret < 0 ? complain("--object: %s", err.message) : 0;
}

/* Objects are there before anything is opened; what is left is the command's. */
static int take_objects(int *argc, char **argv)
{
    int n = 1, ret = 0;

    for (int i = 1; i < *argc && ret == 0; i++) {
        if (!strcmp(argv[i], "--object"))
            ret = i + 1 < *argc ? make_object(argv[++i]) : complain("--object: TYPE,id=ID,... is missing");
        else if (!strncmp(argv[i], "--object=", 9))
            ret = make_object(argv[i] + 9);
        else
            argv[n++] = argv[i];
    }
    argv[n] = NULL;
    *argc = n;
    return ret;
}

int tool_run(int (*fn)(int argc, char **argv), int argc, char **argv)
{
    struct run r = {.fn = fn, .argc = argc, .argv = argv};
    struct bp_error err = {0};
    struct bp_co *co;

    bpc_loop_init();
    bpc_registry_set_loader(&modules_loader);
    if (module_options_register() < 0)
        return 1;
    if (take_objects(&r.argc, r.argv)) {
        bpc_objects_destroy();
        return 1;
    }
    if (bp_co_new(NULL, bp_context_main(NULL), tool_name, run_it, &r, &co, &err) < 0)
        return complain_error(NULL, &err);
    bp_co_enter(co);
    while (!r.done)
        bpc_loop_run_once(true);
    bp_co_unref(co);
    bpc_objects_destroy();
    load_ended();
    return r.status;
}
