/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>

#define DEVFN (5u << 3)
#define BAR 0xe0000000u
#define INTA 16u

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

static void registers_answer_in_the_bar(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    need(bp_test_device(host, "@name@", "addr=5,start=7", &dev, &err), &err);
    check(bp_test_config_read(host, DEVFN, 0, 4) == 0x00011234, "vendor and device");
    bp_test_config_write(host, DEVFN, 0x10, BAR, 4);
    bp_test_config_write(host, DEVFN, 0x04, 6, 2); /* memory, bus master */
    check(bp_test_read(host, BAR, 4) == 0x40302010, "the identification");
    check(bp_test_read(host, BAR + 4, 4) == 7, "the value to start with");
    bp_test_write(host, BAR + 4, 0x12345678, 4);
    check(bp_test_read(host, BAR + 4, 4) == 0x12345678, "a written value reads back");
    bp_test_write(host, BAR + 8, 1, 4);
    check(bp_test_line(host, INTA), "the interrupt rises");
    bp_test_reset(host);
    check(!bp_test_line(host, INTA), "reset lowers it");
    bp_device_destroy(dev);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    registers_answer_in_the_bar();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
