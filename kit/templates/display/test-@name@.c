/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/host/display.h>
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

static void screen_is_looked_at(void)
{
    const struct bp_display_interface *display;
    const struct bp_display_class *class;
    struct bp_error err = {0};
    struct bp_device *card;
    struct bp_object *obj;
    const void *table;

    need(bp_test_interface(host, "display", 1, &table, &err), &err);
    display = table;
    need(bp_object_new("display", "@name@", "d", NULL, NULL, &obj, &err), &err);
    class = bp_object_class(obj);
    check(class->open(obj, &err) < 0 && err.message[0], "without a screen it says so");
    err = (struct bp_error){0};
    need(bp_test_device(host, "bochs-display", NULL, &card, &err), &err);
    need(class->open(obj, &err), &err);
    check(display->is_watched(display->console_at(NULL, 0)), "the screen is looked at");
    class->close(obj);
    check(!display->is_watched(display->console_at(NULL, 0)), "and not any more");
    bp_object_destroy(obj);
    bp_device_destroy(card);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    screen_is_looked_at();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
