/* SPDX-License-Identifier: MIT */
/* The queue on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
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

    check(argc == 3, "arguments: the module, and the folder of Backplane's own modules");
    check(bp_test_host_new(argv[2], &host, &err) == 0, err.message);
    check(bp_test_load(host, argv[1], &err) == 0, err.message);
    check(bp_test_device(host, "sample-fifo", "iobase=0x320", &dev, &err) == 0, err.message);
    for (unsigned i = 0; i < 20; i++)
        bp_test_out(host, 0x320, i + 1, 1);
    check(bp_test_in(host, 0x321, 1) == 16, "it holds sixteen");
    check(bp_test_in(host, 0x320, 1) == 1 && bp_test_in(host, 0x320, 1) == 2, "the oldest first");
    bp_test_reset(host);
    check(bp_test_in(host, 0x321, 1) == 0, "reset empties it");
    bp_test_host_free(host);
    return 0;
}
