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

#define SLOT(N) ((N) << 3)
#define BAR(N) (0xe0000000u + ((N) << 16))

static struct bp_device *card(unsigned slot, const char *netdev)
{
    struct bp_error err = {0};
    struct bp_device *dev;
    char text[64];

    snprintf(text, sizeof(text), "hubport,id=%s,hubid=0", netdev);
    need(bp_test_option(host, "netdev", text, &err), &err);
    snprintf(text, sizeof(text), "addr=%u,netdev=%s", slot, netdev);
    need(bp_test_device(host, "@name@", text, &dev, &err), &err);
    bp_test_config_write(host, SLOT(slot), 0x10, BAR(slot), 4);
    bp_test_config_write(host, SLOT(slot), 0x04, 6, 2);
    return dev;
}

static void a_frame_goes_from_card_to_card(void)
{
    struct bp_device *one = card(2, "a"), *two = card(3, "b");

    bp_test_run(host, true);
    bp_test_write(host, 0x1000, 0x11223344, 4);
    bp_test_write(host, BAR(3) + 8, 0x2000, 4); /* a buffer */
    bp_test_write(host, BAR(2), 0x1000, 4);
    bp_test_write(host, BAR(2) + 4, 64, 4); /* sends */
    bp_test_step(host, 1);
    check(bp_test_read(host, BAR(3) + 12, 4) == 64, "it comes with its length");
    check(bp_test_read(host, 0x2000, 4) == 0x11223344, "it is at the buffer");
    bp_device_destroy(one);
    bp_device_destroy(two);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    a_frame_goes_from_card_to_card();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
