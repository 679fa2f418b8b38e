/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* USB on the fake host: what no driver can bring about. Controllers that go before their companions, ports whose state
 * tells of what is not there, states that are refused, pointers that are idle. */
#include <glib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/bus/usb.h>
#include <bp/host/input.h>
#include <bp/test.h>

#define BAR 0xe0000000u
#define IO 0xc000u
#define MS INT64_C(1000000)

static struct bp_test_host *host;
static const struct bp_usb_interface *usb;

static void start(void)
{
    struct bp_error err = {0};
    const void *table;

    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_interface(host, "usb", 1, &table, &err) < 0)
        g_error("%s", err.message);
    usb = table;
    bp_test_run(host, true);
}

static struct bp_device *make(const char *type, const char *props)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    if (bp_test_device(host, type, props, &dev, &err) < 0)
        g_error("%s: %s", type, err.message);
    return dev;
}

static uint8_t packet(struct bp_device *dev, uint8_t token, uint8_t endpoint, void *data, uint32_t *length)
{
    struct bp_usb_packet p = {.size = sizeof(p), .token = token, .endpoint = endpoint, .data = data, .length = *length};
    uint8_t status;

    bp_device_lock(dev);
    status = usb->submit(usb->of(dev), &p);
    usb->cancel(&p);
    bp_device_unlock(dev);
    *length = p.actual;
    return status;
}

static uint8_t control(struct bp_device *dev, uint8_t type, uint8_t code, uint16_t value, uint16_t index, void *data,
                       uint16_t length)
{
    uint8_t bytes[8] = {type, code, (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)index, (uint8_t)(index >> 8),
                        (uint8_t)length, (uint8_t)(length >> 8)};
    uint32_t eight = 8, none = 0, n = length;
    uint8_t status = packet(dev, BP_USB_SETUP, 0, bytes, &eight);

    if (length)
        status = packet(dev, type & 0x80 ? BP_USB_IN : BP_USB_OUT, 0, data, &n);
    return status != BP_USB_OK ? status : packet(dev, type & 0x80 && length ? BP_USB_OUT : BP_USB_IN, 0, NULL, &none);
}

static void configure(struct bp_device *dev)
{
    g_assert_cmpuint(control(dev, 0, 9, 1, 0, NULL, 0), ==, BP_USB_OK);
}

/* ---- controllers ---- */
static void map(unsigned slot, unsigned bar, uint32_t where)
{
    bp_test_config_write(host, slot << 3, 0x10 + 4 * bar, where, 4);
    bp_test_config_write(host, slot << 3, 4, 7, 2);
}

static void ports_without_what_their_state_tells_are_empty(void)
{
    struct bp_device *ehci, *tablet;
    struct bp_error err = {0};
    void *state;
    size_t size;

    start();
    ehci = make("usb-ehci", "addr=5");
    tablet = make("usb-tablet", NULL);
    map(5, 0, BAR);
    bp_test_write(host, BAR + 0x60, 1, 4);
    g_assert_cmphex(bp_test_read(host, BAR + 0x64, 4) & 1, ==, 1);
    g_assert_cmpint(bp_test_save(ehci, &state, &size, &err), ==, 0);
    bp_device_destroy(tablet);
    g_assert_cmpint(bp_test_restore(ehci, state, size, &err), ==, 0);
    for (unsigned n = 0; n < 2; n++) {
        bp_test_write(host, BAR + 0x64, 0x100, 4);
        bp_test_write(host, BAR + 0x64, 0, 4);
    }
    g_assert_cmphex(bp_test_read(host, BAR + 0x64, 4) & 4, ==, 0);
    bp_test_reset(host);
    free(state);
    bp_test_host_free(host);
}

static void companions_outlive_their_ehci(gconstpointer opaque)
{
    const char *type = opaque;
    bool uhci = strstr(type, "uhci") != NULL;
    struct bp_device *ehci, *companion, *kbd;
    char *props;

    start();
    ehci = make("usb-ehci", "addr=5");
    props = g_strdup_printf("addr=6,masterbus=%s", bp_bus_name(bp_device_bridged(ehci, "usb-bus")));
    companion = make(type, props);
    g_free(props);
    kbd = make("usb-kbd", "usb_version=1,port=1");
    map(6, uhci ? 4 : 0, uhci ? IO | 1 : BAR);
    if (uhci)
        g_assert_cmphex(bp_test_in(host, IO + 0x10, 2) & 1, ==, 1);
    else
        g_assert_cmphex(bp_test_read(host, BAR + 0x54, 4) & 1, ==, 1);
    bp_device_destroy(kbd);
    kbd = make("usb-kbd", "usb_version=1,port=2");
    bp_device_destroy(ehci);
    if (uhci) {
        bp_test_out(host, IO, 0x81, 2);
        for (unsigned reg = 0x10; reg < 0x14; reg += 2) {
            bp_test_out(host, IO + (uint16_t)reg, 0x1204, 2);
            g_assert_cmphex(bp_test_in(host, IO + (uint16_t)reg, 2) & 5, ==, 0);
        }
    } else {
        bp_test_write(host, BAR + 4, 0xb4, 4);
        for (unsigned reg = 0x54; reg < 0x60; reg += 4) {
            bp_test_write(host, BAR + reg, 0x12, 4);
            g_assert_cmphex(bp_test_read(host, BAR + reg, 4) & 3, ==, 0);
        }
    }
    bp_test_step(host, 10 * MS);
    bp_test_reset(host);
    bp_test_step(host, 10 * MS);
    bp_device_destroy(companion);
    bp_test_host_free(host);
}

/* ---- states ---- */
static void use(struct bp_device *dev, GRand *rand)
{
    static uint8_t data[1 << 17];

    for (unsigned n = 0; n < 20; n++) {
        uint32_t length = (uint32_t)g_rand_int_range(rand, 0, n % 4 ? 600 : sizeof(data));
        uint8_t token = g_rand_boolean(rand) ? BP_USB_IN : BP_USB_OUT;

        for (unsigned i = 0; i < 64; i++)
            data[i] = (uint8_t)g_rand_int(rand);
        packet(dev, token, (uint8_t)g_rand_int_range(rand, 1, 5), data, &length);
        bp_test_step(host, 1000);
    }
}

/* Something is under way. */
static void begin(struct bp_device *dev, const char *type)
{
    static const uint8_t read10[16] = {0x28, 0, 0, 0, 0, 0, 0, 0, 8}, write10[16] = {0x2a, 0, 0, 0, 0, 0, 0, 0, 8};
    uint8_t cbw[31] = "USBC....\0\x10\0\0\x80\0\x0a", iu[32] = {1, 0, 0, 1};
    uint32_t length = 31;

    configure(dev);
    if (strcmp(type, "usb-storage") == 0) {
        memcpy(cbw + 15, read10, 16);
        packet(dev, BP_USB_OUT, 2, cbw, &length);
    } else if (strcmp(type, "usb-uas") == 0) {
        for (iu[3] = 1; iu[3] < 5; iu[3]++) {
            memcpy(iu + 16, iu[3] & 1 ? read10 : write10, 16);
            length = 32;
            packet(dev, BP_USB_OUT, 1, iu, &length);
            bp_test_step(host, 1000);
        }
    }
}

static void refused_states_do_no_harm(gconstpointer opaque)
{
    const char *type = opaque;
    bool disk = strcmp(type, "usb-storage") == 0 || strcmp(type, "usb-uas") == 0;
    GRand *rand = g_rand_new_with_seed(5);
    struct bp_error err = {0};
    unsigned refused = 0;
    struct bp_device *dev;
    char *node, *drive;

    start();
    node = g_strdup_printf("driver=null-co,node-name=%s,size=1M,read-zeroes=on", type);
    drive = g_strdup_printf("drive=%s", type);
    if (disk && (bp_test_load(host, "block", &err) < 0 || bp_test_option(host, "blockdev", node, &err) < 0))
        g_error("%s", err.message);
    make("qemu-xhci", "addr=5");
    dev = make(type, strcmp(type, "usb-storage") == 0 ? drive : NULL);
    if (strcmp(type, "usb-uas") == 0)
        make("scsi-hd", drive);
    for (unsigned round = 0; round < 400; round++) {
        uint8_t *twisted;
        void *state;
        size_t size;

        begin(dev, type);
        g_assert_cmpint(bp_test_save(dev, &state, &size, &err), ==, 0);
        twisted = g_memdup2(state, size);
        for (size_t n = 0; n <= round % 5 + size / 1000; n++)
            twisted[(size_t)g_rand_int(rand) % size] = (uint8_t)g_rand_int(rand);
        refused += bp_test_restore(dev, twisted, size, NULL) < 0;
        use(dev, rand);
        bp_test_reset(host);
        g_assert_cmpint(bp_test_restore(dev, state, size, &err), ==, 0);
        use(dev, rand);
        bp_test_reset(host);
        free(state);
        g_free(twisted);
    }
    g_assert_cmpuint(refused, >, 20);
    configure(dev);
    g_free(node);
    g_free(drive);
    g_rand_free(rand);
    bp_test_host_free(host);
}

/* ---- idle ---- */
static void idle_pointers_stand_still(gconstpointer opaque)
{
    bool mouse = strcmp(opaque, "usb-mouse") == 0;
    const struct bp_input_event moves[] = {{BP_INPUT_REL, REL_X, 5}, {BP_INPUT_REL, REL_WHEEL, 1},
                                           {BP_INPUT_KEY, BTN_LEFT, 1}};
    const struct bp_input_event places[] = {{BP_INPUT_ABS, ABS_X, 0x1234}, {BP_INPUT_REL, REL_WHEEL, 1},
                                            {BP_INPUT_KEY, BTN_LEFT, 1}};
    const struct bp_input_interface *input;
    struct bp_error err = {0};
    struct bp_device *dev;
    uint8_t report[8];
    const void *table;

    start();
    g_assert_cmpint(bp_test_interface(host, "input", 1, &table, &err), ==, 0);
    input = table;
    make("qemu-xhci", "addr=5");
    dev = make(opaque, NULL);
    configure(dev);
    g_assert_cmpuint(control(dev, 0x21, 10, 25 << 8, 0, NULL, 0), ==, BP_USB_OK); /* 100 ms */
    bp_test_step(host, 0);
    g_assert_cmpint(input->send(bp_test_machine(host), NULL, mouse ? moves : places, 3, &err), ==, 0);
    bp_test_step(host, 0);
    for (unsigned n = 0; n < 5; n++) {
        uint32_t length = 8;

        memset(report, 0, sizeof(report));
        g_assert_cmpuint(packet(dev, BP_USB_IN, 1, report, &length), ==, BP_USB_OK);
        g_assert_cmpuint(report[0], ==, 1);
        if (mouse)
            g_assert_cmpuint(report[1] | (unsigned)report[3] << 8, ==, n ? 0 : 0x105);
        else
            g_assert_cmphex(report[1] | report[2] << 8 | report[5] << 16, ==, n ? 0x1234 : 0x11234);
        length = 8;
        g_assert_cmpuint(packet(dev, BP_USB_IN, 1, report, &length), ==, BP_USB_NAK);
        bp_test_step(host, 101 * MS);
    }
    bp_test_host_free(host);
}

int main(int argc, char **argv)
{
    static const char *const types[] = {"usb-kbd", "usb-mouse", "usb-tablet", "usb-storage", "usb-uas", "usb-hub",
                                        "usb-wacom-tablet", "usb-net", "usb-audio"};

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usb/ports_without_what_their_state_tells_are_empty",
                    ports_without_what_their_state_tells_are_empty);
    g_test_add_data_func("/usb/companions_outlive_their_ehci/uhci", "ich9-usb-uhci1", companions_outlive_their_ehci);
    g_test_add_data_func("/usb/companions_outlive_their_ehci/ohci", "pci-ohci", companions_outlive_their_ehci);
    for (unsigned n = 0; n < G_N_ELEMENTS(types); n++) {
        char *name = g_strdup_printf("/usb/refused_states_do_no_harm/%s", types[n]);

        g_test_add_data_func(name, types[n], refused_states_do_no_harm);
        g_free(name);
    }
    g_test_add_data_func("/usb/idle_pointers_stand_still/mouse", "usb-mouse", idle_pointers_stand_still);
    g_test_add_data_func("/usb/idle_pointers_stand_still/tablet", "usb-tablet", idle_pointers_stand_still);
    return g_test_run();
}
