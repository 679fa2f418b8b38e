/* SPDX-License-Identifier: MIT */
/* @name@: a network card; which data sheet it follows, and what it leaves out. This one has a frame's address and length
 * in registers: a write of SEND sends it; a frame that comes is put at BUFFER, if the guest has given one. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/bus/pci.h>
#include <bp/host/net.h>

/* Registers in BAR 0, 32 bits each. */
enum { REG_ADDRESS = 0x00, REG_SEND = 0x04, REG_BUFFER = 0x08, REG_RECEIVED = 0x0c };
#define BAR_SIZE 0x1000u
#define FRAME_MAX 2048u

struct @ident@ {
    struct bp_nic *nic;
    struct bp_net_conf conf;
    uint32_t address, buffer, received; /* received: bytes of the frame at `buffer` */
};

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

static void @ident@_send(struct @ident@ *s, uint32_t length)
{
    uint8_t frame[FRAME_MAX];
    struct iovec vector = {frame, length};
    struct bp_net_packet packet = {.vectors = &vector, .count = 1, .length = length};

    if (length <= sizeof(frame) && pci->dma_read(bp_device_of_state(s), s->address, frame, length) == 0)
        net->nic_send(s->nic, 0, &packet, 1); /* not taken: lost. Better wait for ready() */
}

/* Returns how many were taken; the rest comes again after nic_ready(). */
static unsigned @ident@_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct @ident@ *s = opaque;
    uint8_t frame[FRAME_MAX];
    uint32_t n;

    if (count == 0 || !s->buffer)
        return 0;
    n = (uint32_t)net->copy(&packets[0], 0, frame, sizeof(frame));
    pci->dma_write(bp_device_of_state(s), s->buffer, frame, n);
    s->buffer = 0;
    s->received = n;
    pci->set_irq(bp_device_of_state(s), 1);
    return 1;
}

static uint64_t @ident@_read(void *opaque, uint64_t addr, unsigned size)
{
    struct @ident@ *s = opaque;

    if (addr == REG_RECEIVED)
        pci->set_irq(bp_device_of_state(s), 0);
    return addr == REG_RECEIVED ? s->received : addr == REG_ADDRESS ? s->address : 0;
}

static void @ident@_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct @ident@ *s = opaque;

    if (addr == REG_ADDRESS) {
        s->address = (uint32_t)value;
    } else if (addr == REG_SEND) {
        @ident@_send(s, (uint32_t)value);
    } else if (addr == REG_BUFFER) {
        s->buffer = (uint32_t)value;
        net->nic_ready(s->nic, 0);
    }
}

static const struct bp_region_ops @ident@_ops = {
    .size = sizeof(@ident@_ops), .read = @ident@_read, .write = @ident@_write, .min_access = 4,
    .max_access = 4};

/* Use numbers of your own. */
static const struct bp_pci_info @ident@_pci = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x0002, .class_code = 0x0200,
    .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT,
    .bar[0] = {BP_PCI_BAR_MEM32, BAR_SIZE, "@name@", &@ident@_ops}};

static const struct bp_nic_ops @ident@_nic = {
    .size = sizeof(struct bp_nic_ops), .receive = @ident@_receive};

static int @ident@_attach(struct bp_device *dev, struct bp_error *err)
{
    struct @ident@ *s = bp_device_state(dev);

    return net->nic_new(dev, &s->conf, 1, &@ident@_nic, s, &s->nic, err);
}

static void @ident@_detach(struct bp_device *dev)
{
    struct @ident@ *s = bp_device_state(dev);

    net->nic_free(s->nic);
}

static void @ident@_reset(struct bp_device *dev)
{
    struct @ident@ *s = bp_device_state(dev);

    s->address = s->buffer = s->received = 0;
    pci->set_irq(dev, 0);
}

static const struct bp_field @ident@_props[] = {
    BP_NET_PROPS(struct @ident@, conf),
    BP_FIELDS_END};
static const struct bp_state_field @ident@_fields[] = {
    BP_SAVE(UINT32, struct @ident@, address),
    BP_SAVE(UINT32, struct @ident@, buffer),
    BP_SAVE(UINT32, struct @ident@, received),
    BP_SAVE_END};
static const struct bp_state_table @ident@_state = {
    .name = "@name@", .version = 1, .oldest = 1, .fields = @ident@_fields};
BP_HOTPLUG_DEVICE(@ident@, "@name@", "pci", "One line of help", struct @ident@, @ident@_props,
                  &@ident@_state, .category = "network", .bus_info = &@ident@_pci,
                  .attach = @ident@_attach, .detach = @ident@_detach, .reset = @ident@_reset);
static const struct bp_import @ident@_imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@});
