/* SPDX-License-Identifier: MIT */
/* The sample on the fake host: what a module author's own test looks like. Argument: its .so. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    struct bp_test_host *host;
    struct bp_device *dev;
    size_t size;
    void *saved;

    check(argc == 3, "arguments: the module, and the folder of Backplane's own modules");
    check(bp_test_host_new(argv[2], &host, &err) == 0, err.message);
    check(bp_test_load(host, argv[1], &err) == 0, err.message);
    check(bp_test_device(host, "sample-scratch", "iobase=0x320", &dev, &err) == 0, err.message);
    bp_test_out(host, 0x320, 0x5a, 1);
    check(bp_test_in(host, 0x320, 1) == 0x5a, "a written value reads back");
    check(bp_test_save(dev, &saved, &size, &err) == 0, err.message);
    bp_test_reset(host);
    check(bp_test_in(host, 0x320, 1) == 0, "reset clears it");
    check(bp_test_restore(dev, saved, size, &err) == 0, err.message);
    check(bp_test_in(host, 0x320, 1) == 0x5a, "saved state comes back");
    free(saved);
    bp_test_host_free(host);
    return 0;
}
