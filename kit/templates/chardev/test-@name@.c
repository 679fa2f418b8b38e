/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/host/chardev.h>
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

static void bytes_are_taken(void)
{
    static const struct bp_chardev_handlers handlers = {.size = sizeof(struct bp_chardev_handlers)};
    const struct bp_chardev_interface *chardev;
    struct bp_value *args = bp_value_dict();
    struct bp_error err = {0};
    struct bp_chardev *chr;
    const void *table;

    need(bp_test_interface(host, "chardev", 1, &table, &err), &err);
    chardev = table;
    bp_value_set(args, "id", bp_value_string("c"));
    bp_value_set(args, "backend", bp_value_string("@name@"));
    need(chardev->create(args, &chr, &err), &err);
    bp_value_unref(args);
    check(chardev->is_open(chr), "it is open");
    need(chardev->connect(chr, &handlers, chr, &err), &err);
    check(chardev->write(chr, (const uint8_t *)"hello", 5, chr) == 5, "bytes are taken");
    chardev->disconnect(chr, chr);
    check(chardev->remove("c", &err) == 0, "it goes away");
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    bytes_are_taken();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
