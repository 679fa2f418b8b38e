/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host, asked as a controller asks. Arguments: its file, and the folder of Backplane's own
 * modules. */
#include <bp/bus/usb.h>
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bp_test_host *host;
static const struct bp_usb_interface *usb;
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

/* One packet; how it ended, and how many bytes went over. */
static uint8_t packet(struct bp_device *dev, uint8_t token, uint8_t endpoint, void *data, uint32_t *length)
{
    struct bp_usb_packet p;
    uint8_t status;

    memset(&p, 0, sizeof(p));
    p.size = sizeof(p);
    p.token = token;
    p.endpoint = endpoint;
    p.data = data;
    p.length = *length;
    bp_device_lock(dev);
    status = usb->submit(usb->of(dev), &p);
    bp_device_unlock(dev);
    *length = p.actual;
    return status;
}

static uint8_t control(struct bp_device *dev, const char *setup, void *data, uint32_t length)
{
    uint32_t eight = 8, none = 0, n = length;
    char bytes[8];
    uint8_t status;

    memcpy(bytes, setup, 8);
    packet(dev, BP_USB_SETUP, 0, bytes, &eight);
    status = n ? packet(dev, BP_USB_IN, 0, data, &n) : BP_USB_OK;
    return status != BP_USB_OK ? status : packet(dev, length ? BP_USB_OUT : BP_USB_IN, 0, NULL, &none);
}

static struct bp_usb_packet kept; /* that the device has */
static unsigned ends;

static void ended(struct bp_usb_packet *p)
{
    (void)p;
    ends++;
}

static uint8_t keep(struct bp_device *dev, void *data, uint32_t length)
{
    uint8_t status;

    memset(&kept, 0, sizeof(kept));
    kept.size = sizeof(kept);
    kept.token = BP_USB_IN;
    kept.endpoint = 1;
    kept.data = data;
    kept.length = length;
    kept.done = ended;
    bp_device_lock(dev);
    status = usb->submit(usb->of(dev), &kept);
    bp_device_unlock(dev);
    return status;
}

static void bytes_come_back(void)
{
    struct bp_device *controller, *dev;
    struct bp_error err = {0};
    char sent[] = "0123456789", got[64] = "";
    uint32_t n = 64;

    need(bp_test_device(host, "qemu-xhci", "addr=5", &controller, &err), &err);
    need(bp_test_device(host, "@name@", "fill=7", &dev, &err), &err);
    check(control(dev, "\x80\x06\0\x01\0\0\x12\0", got, 18) == BP_USB_OK && got[0] == 18, "it says what it is");
    check(control(dev, "\0\x09\x01\0\0\0\0\0", NULL, 0) == BP_USB_OK, "it is configured");
    check(keep(dev, got, 64) == BP_USB_LATER, "it has nothing, and keeps the packet");
    bp_device_lock(dev);
    usb->cancel(&kept);
    bp_device_unlock(dev);
    check(kept.status == BP_USB_GONE && ends == 0, "it gives it back when it is cancelled");
    check(keep(dev, got, 64) == BP_USB_LATER, "it keeps another one");
    n = 4;
    check(packet(dev, BP_USB_OUT, 2, sent, &n) == BP_USB_OK && ends == 1, "which ends when there is something");
    check(kept.status == BP_USB_OK && kept.actual == 4 && memcmp(got, sent, 4) == 0, "with what was sent");
    n = 10;
    check(packet(dev, BP_USB_OUT, 2, sent, &n) == BP_USB_OK && n == 10, "it takes what is sent");
    n = 64;
    check(packet(dev, BP_USB_IN, 1, got, &n) == BP_USB_OK && n == 10 && memcmp(got, sent, 10) == 0,
          "and gives it back");
    check(control(dev, "\xc0\x01\0\0\0\0\x01\0", got, 1) == BP_USB_OK && got[0] == 7, "it answers its own request");
    check(control(dev, "\xc0\x55\0\0\0\0\x01\0", got, 1) == BP_USB_STALL, "it refuses what it does not know");
    bp_device_destroy(dev);
    bp_device_destroy(controller);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};
    const void *table;

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    need(bp_test_interface(host, "usb", 1, &table, &err), &err);
    usb = table;
    bytes_come_back();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
