/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>

#define DEVFN (5u << 3)
#define BAR 0xe0000000u /* BAR 4: the modern registers, then the device's own at 0x2000, notifications at 0x3000 */
#define RING 0x10000u
#define DATA 0x20000u

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

/* Virtual I/O Device 1.2, 3.1.1. */
static void negotiate(void)
{
    bp_test_write(host, BAR + 20, 3, 1);
    bp_test_write(host, BAR + 8, 1, 4);
    bp_test_write(host, BAR + 12, 1, 4); /* VERSION_1 */
    bp_test_write(host, BAR + 20, 11, 1);
    bp_test_write(host, BAR + 24, 8, 2);
    bp_test_write(host, BAR + 32, RING, 4);
    bp_test_write(host, BAR + 40, RING + 0x1000, 4);
    bp_test_write(host, BAR + 48, RING + 0x2000, 4);
    bp_test_write(host, BAR + 28, 1, 2);
    bp_test_write(host, BAR + 20, 15, 1);
}

static void descriptor(unsigned n, uint64_t addr, uint32_t length, unsigned flags)
{
    bp_test_write(host, RING + 16 * n, addr, 8);
    bp_test_write(host, RING + 16 * n + 8, length, 4);
    bp_test_write(host, RING + 16 * n + 12, flags | (n + 1) << 16, 4);
}

static void requests_are_answered(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    need(bp_test_device(host, "@name@-pci", "addr=5,start=7", &dev, &err), &err);
    check(bp_test_config_read(host, DEVFN, 0, 4) == 0x107f1af4, "vendor and device");
    bp_test_config_write(host, DEVFN, 0x20, BAR, 4);
    bp_test_config_write(host, DEVFN, 0x04, 6, 2); /* memory, bus master */
    bp_test_run(host, true);
    negotiate();
    check(bp_test_read(host, BAR + 20, 1) == 15, "it negotiates");
    check(bp_test_read(host, BAR + 0x2000, 1) == 7, "the key");
    bp_test_write(host, DATA, 0x04030201, 4);
    descriptor(0, DATA, 4, 1);
    descriptor(1, DATA + 16, 4, 2);
    bp_test_write(host, RING + 0x1004, 0, 2);
    bp_test_write(host, RING + 0x1002, 1, 2);
    bp_test_write(host, BAR + 0x3000, 0, 2);
    bp_test_step(host, 1000);
    check(bp_test_read(host, RING + 0x2002, 2) == 1, "the request is used");
    check(bp_test_read(host, DATA + 16, 4) == 0x0b0a0908, "with the answer");
    bp_device_destroy(dev);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    requests_are_answered();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
