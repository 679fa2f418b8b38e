/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bp_test_host *host;
static unsigned count, failed;

static void check(int good, const char *what)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++count, what);
    failed += !good;
}

static void need(int rc, const struct bp_error *err)
{
    if (rc >= 0)
        return;
    printf("Bail out! %s\n", err->message);
    exit(1);
}

static void one_is_made_and_works(void)
{
    struct bp_value *props = bp_value_dict(), *worked;
    struct bp_error err = {0};
    struct bp_object *obj;

    bp_value_set(props, "level", bp_value_int(11));
    check(bp_object_new("@name@", "plain", "a", NULL, props, &obj, &err) < 0, "out of range");
    bp_value_set(props, "level", bp_value_int(3));
    need(bp_object_new("@name@", "plain", "a", NULL, props, &obj, &err), &err);
    bp_value_unref(props);
    check(bp_object_is_a(obj, "@name@"), "it is one");
    check(strcmp(bp_object_path(obj), "/@name@/a") == 0, "it has its place");
    need(bp_object_get(obj, "worked", &worked, &err), &err);
    check(!bp_value_as_bool(worked), "it has not worked yet");
    bp_value_unref(worked);
    bp_object_destroy(obj);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    one_is_made_and_works();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
