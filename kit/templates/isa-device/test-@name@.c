/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>

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

static void written_value_reads_back_until_reset(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    need(bp_test_device(host, "@name@", "iobase=0x310", &dev, &err), &err);
    bp_test_out(host, 0x310, 0x5a, 1);
    check(bp_test_in(host, 0x310, 1) == 0x5a, "a written value reads back");
    bp_test_reset(host);
    check(bp_test_in(host, 0x310, 1) == 0, "reset clears it");
    bp_device_destroy(dev);
}

static void value_is_saved(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;
    size_t size;
    void *saved;

    need(bp_test_device(host, "@name@", NULL, &dev, &err), &err);
    bp_test_out(host, 0x300, 0x77, 1);
    need(bp_test_save(dev, &saved, &size, &err), &err);
    bp_test_reset(host);
    need(bp_test_restore(dev, saved, size, &err), &err);
    check(bp_test_in(host, 0x300, 1) == 0x77, "a saved value comes back");
    free(saved);
    bp_device_destroy(dev);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    written_value_reads_back_until_reset();
    value_is_saved();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
