/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's paravirtual network card (vmxnet3.h): registers, interrupts, saved state. Left out: later revisions of the
 * interface, LRO, wake-up, moderation of interrupts, intrCtrl (the mask registers decide alone).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/run.h>

#include "vmxnet3.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

/* BAR 0, by number of an interrupt or a queue, eight bytes each. */
enum { IMR = 0x000, IMR_END = IMR + 8 * VECTORS, TXPROD = 0x600, RXPROD = 0x800, RXPROD2 = 0xa00 };
/* BAR 1. */
enum {
    VRRS = 0x00,
    UVRS = 0x08,
    DSAL = 0x10,
    DSAH = 0x18,
    CMD = 0x20,
    MACL = 0x28,
    MACH = 0x30,
    INTX = 0x38,
    ECR = 0x40
};
#define PAGE 0x1000u
#define MSIX_SIZE 0x2000u
#define REVISION_1 1u

/* ---- interrupts ---- */

/* What is pending and not masked goes out. */
static void update_interrupts(struct vmxnet3 *s)
{
    for (unsigned i = 0; i < VECTORS; i++) {
        if (!(s->pending >> i & 1u) || s->masked[i])
            continue;
        s->pending &= ~(1u << i);
        s->masked[i] = s->auto_mask;
        if (pci->msix_enabled(s->dev)) {
            pci->msix_notify(s->dev, i);
        } else if (pci->msi_enabled(s->dev)) {
            pci->msi_notify(s->dev, 0);
        } else {
            s->intx = 1;
            pci->interrupt(s->dev, 0, 1);
        }
    }
}

void vmxnet3_interrupt(struct vmxnet3 *s, unsigned number)
{
    s->pending |= 1u << number;
    update_interrupts(s);
}

void vmxnet3_complete(struct vmxnet3 *s, struct ring *r, uint8_t d[DESCRIPTOR])
{
    uint64_t at = r->base + (uint64_t)r->next * DESCRIPTOR;

    d[15] = (uint8_t)((d[15] & 0x7f) | (r->generation ? 0x80 : 0));
    /* The word with the generation bit last: the driver looks at it first. */
    s->pci->dma_write(s->dev, at, d, 12);
    s->pci->dma_write(s->dev, at + 12, d + 12, 4);
    vmxnet3_step(r);
}

/* ---- BAR 0 ---- */

static uint64_t doorbell_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vmxnet3 *s = opaque;

    (void)size;
    return addr < IMR_END && addr % 8 == 0 ? s->masked[addr / 8] : 0;
}

static void doorbell_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vmxnet3 *s = opaque;

    (void)size;
    if (addr % 8)
        return;
    if (addr < IMR_END) {
        s->masked[addr / 8] = value & 1;
        update_interrupts(s);
    } else if (addr >= TXPROD && addr < TXPROD + 8 * TX_QUEUES) {
        vmxnet3_tx_run(s, (unsigned)(addr - TXPROD) / 8);
    } else if ((addr >= RXPROD && addr < RXPROD + 8 * RX_QUEUES) ||
               (addr >= RXPROD2 && addr < RXPROD2 + 8 * RX_QUEUES)) {
        net->nic_ready(s->nic, 0);
    }
}

static const struct bp_region_ops doorbell_ops = {
    .size = sizeof(doorbell_ops), .read = doorbell_read, .write = doorbell_write, .min_access = 4, .max_access = 4};

/* ---- BAR 1 ---- */

static uint32_t read_intx(struct vmxnet3 *s)
{
    uint32_t value = s->intx;

    s->intx = 0;
    pci->interrupt(s->dev, 0, 0);
    return value;
}

static uint64_t register_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vmxnet3 *s = opaque;

    (void)size;
    switch (addr) {
    case VRRS:
        return REVISION_1;
    case UVRS:
        return 1;
    case DSAL:
        return (uint32_t)s->shared;
    case DSAH:
        return s->shared >> 32;
    case CMD:
        return s->result;
    case MACL:
        return get_le32(s->mac);
    case MACH:
        return get_le16(s->mac + 4);
    case INTX:
        return read_intx(s);
    case ECR:
        return s->events;
    default:
        return 0;
    }
}

static void set_mac(struct vmxnet3 *s, unsigned at, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        s->mac[at + i] = (uint8_t)(value >> 8 * i);
    net->nic_set_mac(s->nic, s->mac);
}

static void register_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vmxnet3 *s = opaque;

    (void)size;
    switch (addr) {
    case DSAL:
        s->shared = (s->shared & ~UINT64_C(0xffffffff)) | (uint32_t)value;
        break;
    case DSAH:
        s->shared = (s->shared & 0xffffffffu) | value << 32;
        break;
    case CMD:
        vmxnet3_command(s, (uint32_t)value);
        break;
    case MACL:
        set_mac(s, 0, 4, (uint32_t)value);
        break;
    case MACH:
        set_mac(s, 4, 2, (uint32_t)value);
        break;
    case ECR: /* ones clear */
        s->events &= ~(uint32_t)value;
        vmxnet3_event(s, 0);
        break;
    default: /* VRRS and UVRS: there is only one to choose */
        break;
    }
}

static const struct bp_region_ops register_ops = {
    .size = sizeof(register_ops), .read = register_read, .write = register_write, .min_access = 4, .max_access = 4};

/* ---- the device ---- */

static void ready(void *opaque, unsigned queue)
{
    struct vmxnet3 *s = opaque;

    (void)queue;
    for (unsigned i = 0; i < TX_QUEUES; i++)
        vmxnet3_tx_run(s, i);
}

static void link_changed(void *opaque, bool up)
{
    (void)up;
    vmxnet3_event(opaque, EVENT_LINK);
}

static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .takes = 0, .receive = vmxnet3_receive, .ready = ready, .link = link_changed};

static int vmxnet3_attach(struct bp_device *dev, struct bp_error *err)
{
    struct vmxnet3 *s = bp_device_state(dev);

    s->dev = dev;
    s->pci = pci;
    s->net = net;
    return net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
}

static void vmxnet3_detach(struct bp_device *dev)
{
    struct vmxnet3 *s = bp_device_state(dev);

    net->nic_free(s->nic);
    for (unsigned i = 0; i < TX_QUEUES; i++)
        free(s->tx[i].frame);
}

static void vmxnet3_reset(struct bp_device *dev)
{
    struct vmxnet3 *s = bp_device_state(dev);

    vmxnet3_stop(s);
    s->shared = s->queues = 0;
    s->result = 0;
    s->auto_mask = false;
    for (unsigned i = 0; i < VECTORS; i++)
        s->masked[i] = 1;
    net->nic_mac(s->nic, s->mac);
    net->nic_set_mac(s->nic, s->mac);
}

/* ---- saved state ---- */

/* The bytes of a packet live only as long as the table of its queue is at work. */
static int tx_before_save(void *state, struct bp_error *err)
{
    struct tx *tx = state;

    (void)err;
    tx->saved = (struct bp_state_bytes){.size = tx->length};
    if (tx->length) {
        tx->saved.data = bp_alloc(tx->length);
        memcpy(tx->saved.data, tx->frame, tx->length);
    }
    return 0;
}

static int tx_after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct tx *tx = state;

    (void)version;
    if (tx->saved.size > FRAME_MAX)
        return bp_fail(err, EINVAL, "vmxnet3: a packet of %u bytes under way", tx->saved.size);
    tx->length = tx->saved.size;
    tx->whole = tx->whole && tx->length >= 14;
    if (tx->length && !tx->frame)
        tx->frame = bp_alloc(FRAME_MAX);
    if (tx->length)
        memcpy(tx->frame, tx->saved.data, tx->length);
    if (tx->left.segment && (tx->left.segment_size == 0 || tx->left.header_length > tx->length))
        return bp_fail(err, EINVAL, "vmxnet3: a packet under way that cannot be cut");
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct vmxnet3 *s = state;

    (void)version;
    for (unsigned i = 0; i < s->tx_count; i++)
        if (s->tx[i].ring.count == 0 || s->tx[i].done.count == 0)
            return bp_fail(err, EINVAL, "vmxnet3: a queue without rings");
    for (unsigned i = 0; i < s->rx_count; i++)
        if (s->rx[i].ring[0].count == 0 || s->rx[i].done.count == 0)
            return bp_fail(err, EINVAL, "vmxnet3: a queue without rings");
    net->nic_set_mac(s->nic, s->mac);
    net->nic_ready(s->nic, 0);
    return 0;
}

#define ONE(STATE, FIELD, TABLE) \
    {.name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, FIELD), .count = 1, \
     .stride = sizeof(((STATE *)0)->FIELD), .table = TABLE}
static const struct bp_state_field ring_fields[] = {
    BP_SAVE(UINT64, struct ring, base),
    BP_SAVE_RANGE(UINT32, struct ring, count, 0, COMPLETION_MAX),
    BP_SAVE_RANGE(UINT32, struct ring, next, 0, COMPLETION_MAX - 1),
    BP_SAVE(BOOL, struct ring, generation), BP_SAVE_END};
static const struct bp_state_table ring_table = {.name = "ring", .version = 1, .oldest = 1, .fields = ring_fields};
static const struct bp_state_field asked_fields[] = {
    BP_SAVE(UINT32, struct offload, mode), BP_SAVE(UINT32, struct offload, header),
    BP_SAVE(UINT32, struct offload, mss),  BP_SAVE(BOOL, struct offload, tagged),
    BP_SAVE(UINT16, struct offload, tag),  BP_SAVE_END};
static const struct bp_state_table asked_table = {.name = "asked", .version = 1, .oldest = 1, .fields = asked_fields};
static const struct bp_state_field left_fields[] = {
    BP_SAVE(UINT8, struct bp_net_offload, flags), BP_SAVE(UINT8, struct bp_net_offload, segment),
    BP_SAVE(UINT16, struct bp_net_offload, header_length), BP_SAVE(UINT16, struct bp_net_offload, segment_size),
    BP_SAVE(UINT16, struct bp_net_offload, checksum_start), BP_SAVE(UINT16, struct bp_net_offload, checksum_offset),
    BP_SAVE_END};
static const struct bp_state_table left_table = {.name = "left", .version = 1, .oldest = 1, .fields = left_fields};
static const struct bp_state_field tx_fields[] = {
    ONE(struct tx, ring, &ring_table), ONE(struct tx, done, &ring_table),
    BP_SAVE_RANGE(UINT8, struct tx, interrupt, 0, VECTORS - 1), BP_SAVE(BOOL, struct tx, begun),
    BP_SAVE(BOOL, struct tx, bad), BP_SAVE(BOOL, struct tx, whole), ONE(struct tx, offload, &asked_table),
    ONE(struct tx, left, &left_table), BP_SAVE(UINT32, struct tx, last), BP_SAVE(BOOL, struct tx, reports),
    BP_SAVE_ARRAY(UINT64, struct tx, counters), BP_SAVE_BYTES(struct tx, saved, FRAME_MAX), BP_SAVE_END};
static const struct bp_state_table tx_table = {.name = "tx", .version = 1, .oldest = 1, .fields = tx_fields,
                                               .before_save = tx_before_save, .after_load = tx_after_load};
static const struct bp_state_field rx_fields[] = {
    BP_SAVE_STRUCTS(struct rx, ring, &ring_table), ONE(struct rx, done, &ring_table),
    BP_SAVE_RANGE(UINT8, struct rx, interrupt, 0, VECTORS - 1),
    BP_SAVE_ARRAY(UINT64, struct rx, counters), BP_SAVE_END};
static const struct bp_state_table rx_table = {.name = "rx", .version = 1, .oldest = 1, .fields = rx_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT64, struct vmxnet3, shared), BP_SAVE(UINT64, struct vmxnet3, queues),
    BP_SAVE(UINT32, struct vmxnet3, result), BP_SAVE(BOOL, struct vmxnet3, active), BP_SAVE_BUFFER(struct vmxnet3, mac),
    BP_SAVE_ARRAY(UINT32, struct vmxnet3, masked), BP_SAVE(UINT32, struct vmxnet3, pending),
    BP_SAVE(BOOL, struct vmxnet3, auto_mask), BP_SAVE_RANGE(UINT8, struct vmxnet3, event_interrupt, 0, VECTORS - 1),
    BP_SAVE(UINT8, struct vmxnet3, intx), BP_SAVE(UINT32, struct vmxnet3, events),
    BP_SAVE(UINT64, struct vmxnet3, features), BP_SAVE(UINT32, struct vmxnet3, mtu),
    BP_SAVE_RANGE(UINT32, struct vmxnet3, tx_count, 0, TX_QUEUES),
    BP_SAVE_RANGE(UINT32, struct vmxnet3, rx_count, 0, RX_QUEUES), BP_SAVE_STRUCTS(struct vmxnet3, tx, &tx_table),
    BP_SAVE_STRUCTS(struct vmxnet3, rx, &rx_table), BP_SAVE(UINT32, struct vmxnet3, mode),
    BP_SAVE_RANGE(UINT32, struct vmxnet3, multicast_count, 0, MULTICAST_MAX),
    BP_SAVE(BOOL, struct vmxnet3, multicast_overflow), BP_SAVE_BUFFER(struct vmxnet3, multicast),
    BP_SAVE_ARRAY(UINT32, struct vmxnet3, vlans), BP_SAVE(UINT32, struct vmxnet3, hash_kinds),
    BP_SAVE_RANGE(UINT32, struct vmxnet3, table_size, 0, 128), BP_SAVE_BUFFER(struct vmxnet3, key),
    BP_SAVE_BUFFER(struct vmxnet3, table), BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {BP_NET_PROPS(struct vmxnet3, conf),
                                        BP_PROP_BOOTINDEX(struct vmxnet3, bootindex), BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x15ad, .device = 0x07b0, .subsystem_vendor = 0x15ad, .subsystem = 0x07b0,
    .revision = 0x01, .class_code = 0x0200, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT, .msi = 1,
    .flags = BP_PCI_FLAG_POWER, .romfile = "efi-vmxnet3.rom",
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = PAGE, .name = "vmxnet3-doorbells", .ops = &doorbell_ops},
            {.flags = BP_PCI_BAR_MEM32, .size = PAGE, .name = "vmxnet3-registers", .ops = &register_ops},
            {.flags = BP_PCI_BAR_MEM32, .size = MSIX_SIZE, .name = "vmxnet3-msix"}},
    .msix = {.vectors = VECTORS, .bar = 2, .table = 0, .pba = PAGE}};
BP_HOTPLUG_DEVICE(vmxnet3, "vmxnet3", "pci", "VMware's paravirtual network card", struct vmxnet3, props, &state_table,
                  .category = "network", .bus_info = &info, .attach = vmxnet3_attach, .detach = vmxnet3_detach,
                  .reset = vmxnet3_reset, .firmware_name = "ethernet", .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-vmxnet3", "VMware's paravirtual network card", imports, {BP_PROVIDE_DEVICE, &vmxnet3});
