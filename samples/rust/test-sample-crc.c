/* SPDX-License-Identifier: MIT */
/* The sum on the fake host. Arguments: the module, and the folder of Backplane's own modules. */
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
    static const char digits[] = "123456789";
    struct bp_error err = {0};
    struct bp_test_host *host;
    struct bp_device *dev;
    size_t size;
    void *saved;

    check(argc == 3, "arguments: the module, and the folder of Backplane's own modules");
    check(bp_test_host_new(argv[2], &host, &err) == 0, err.message);
    check(bp_test_load(host, argv[1], &err) == 0, err.message);
    check(bp_test_device(host, "sample-crc", "iobase=0x320", &dev, &err) == 0, err.message);
    for (unsigned i = 0; digits[i]; i++)
        bp_test_out(host, 0x320, (uint8_t)digits[i], 1);
    check(bp_test_in(host, 0x320, 1) == 0xf4, "the check value of CRC-8");
    check(bp_test_save(dev, &saved, &size, &err) == 0, err.message);
    bp_test_reset(host);
    check(bp_test_in(host, 0x320, 1) == 0, "reset clears it");
    check(bp_test_restore(dev, saved, size, &err) == 0, err.message);
    check(bp_test_in(host, 0x320, 1) == 0xf4, "saved state comes back");
    free(saved);
    bp_test_host_free(host);
    return 0;
}
