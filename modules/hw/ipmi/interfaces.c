/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the interfaces to a BMC sit: on the ISA bus, or on PCI (class 0C07). */
#define BP_SHARED
#include "ipmi.h"

#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <errno.h>

extern const struct bp_isa_interface *const *const ipmi_isa;
extern const struct bp_pci_interface *const *const ipmi_pci;

struct holder { /* an interface as a device */
    struct ipmi_interface interface;
    struct bp_object *bmc;
    uint16_t ioport;
    uint8_t irq;
    struct bp_irq *line; /* ISA; NULL: none */
    struct bp_device *dev;
};

static struct holder *holder_of(struct ipmi_interface *s)
{
    return (struct holder *)s; /* its first member */
}

/* The level of every BMC. */
static const struct bp_field bmc_props[] = {
    BP_PROP_RANGE("slave_addr", UINT8, struct ipmi_bmc, slave_addr, "0x20", 1, 127, "its address on the management "
                  "bus"),
    BP_FIELDS_END};
BP_LEVEL(ipmi_bmc_level, "ipmi-bmc", "device", "Management controllers (BMC)", struct ipmi_bmc, bmc_props, NULL);

struct ipmi_bmc *ipmi_bmc_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &ipmi_bmc_level);
}

void ipmi_answer(struct ipmi_bmc *bmc, const uint8_t *msg, unsigned len)
{
    struct ipmi_interface *s = bmc->interface;
    uint8_t too_long[] = {msg[0], msg[1], IPMI_TOO_MANY};

    if (s && len > (s->kind == IPMI_KCS ? IPMI_MOST : IPMI_BT_MOST)) {
        msg = too_long;
        len = sizeof(too_long);
    }
    if (s && s->kind == IPMI_KCS)
        ipmi_kcs_answer(s, msg, len);
    else if (s)
        ipmi_bt_answer(s, msg, len);
}

void ipmi_attention(struct ipmi_bmc *bmc, bool on, bool irq)
{
    struct ipmi_interface *s = bmc->interface;

    if (s && s->kind == IPMI_KCS)
        ipmi_kcs_attention(s, on, irq);
    else if (s)
        ipmi_bt_attention(s, on, irq);
}

/* ---- what both buses share ---- */

static int connect(struct bp_device *dev, enum ipmi_kind kind, struct bp_error *err)
{
    struct holder *h = bp_device_state(dev);
    struct ipmi_bmc *bmc;

    if (!h->bmc)
        return bp_fail(err, EINVAL, "'bmc' is missing: %s needs bmc=ID of an ipmi-bmc-sim or ipmi-bmc-extern",
                       bp_device_class(dev)->type.name);
    h->dev = dev;
    h->interface.kind = kind;
    h->interface.bmc = bp_device_from_object(h->bmc);
    bmc = ipmi_bmc_of(h->interface.bmc);
    if (bmc->interface)
        return bp_fail(err, EBUSY, "BMC '%s' is in use by another interface: each has one of its own",
                       bp_device_id(h->interface.bmc) ? bp_device_id(h->interface.bmc) : "(none)");
    bmc->interface = &h->interface;
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct holder *h = bp_device_state(dev);
    struct ipmi_bmc *bmc = h->interface.bmc ? ipmi_bmc_of(h->interface.bmc) : NULL;

    if (bmc && bmc->interface == &h->interface)
        bmc->interface = NULL;
}

static void reset(struct bp_device *dev)
{
    struct holder *h = bp_device_state(dev);

    if (h->interface.kind == IPMI_KCS)
        ipmi_kcs_reset(&h->interface);
    else
        ipmi_bt_reset(&h->interface);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct holder, interface.status), BP_SAVE(UINT8, struct holder, interface.out),
    BP_SAVE(UINT8, struct holder, interface.error), BP_SAVE(BOOL, struct holder, interface.last_byte),
    BP_SAVE(BOOL, struct holder, interface.aborting), BP_SAVE(BOOL, struct holder, interface.irq_on_attention),
    BP_SAVE(UINT8, struct holder, interface.control), BP_SAVE(UINT8, struct holder, interface.mask),
    BP_SAVE(UINT8, struct holder, interface.sequence), BP_SAVE(BOOL, struct holder, interface.waits),
    BP_SAVE_BUFFER(struct holder, interface.in), BP_SAVE_BUFFER(struct holder, interface.answer),
    BP_SAVE(UINT16, struct holder, interface.in_len), BP_SAVE(UINT16, struct holder, interface.answer_len),
    BP_SAVE(UINT16, struct holder, interface.answer_at), BP_SAVE_END};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    const struct ipmi_interface *s = &((struct holder *)state)->interface;

    (void)version;
    if (s->in_len > IPMI_MOST || s->answer_len > IPMI_MOST || s->answer_at > s->answer_len)
        return bp_fail(err, EINVAL, "IPMI interface: a message of %u and %u bytes, at most %u", s->in_len,
                       s->answer_len, IPMI_MOST);
    return 0;
}
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

/* ---- ISA ---- */

static void isa_set_irq(struct ipmi_interface *s, bool on)
{
    if (holder_of(s)->line)
        bp_irq_set(holder_of(s)->line, on);
}

static int isa_attach(struct bp_device *dev, enum ipmi_kind kind, struct bp_error *err)
{
    struct holder *h = bp_device_state(dev);
    int r = connect(dev, kind, err);

    h->interface.set_irq = isa_set_irq;
    if (r == 0 && h->irq)
        r = (*ipmi_isa)->irq(dev, h->irq, &h->line, err);
    if (r == 0)
        r = (*ipmi_isa)->add_ports(dev, h->ioport, kind == IPMI_KCS ? 2 : 3, kind == IPMI_KCS ? "ipmi-kcs" : "ipmi-bt",
                                   kind == IPMI_KCS ? &ipmi_kcs_ops : &ipmi_bt_ops, &h->interface, NULL, err);
    if (r < 0)
        detach(dev);
    return r;
}

static int isa_kcs_attach(struct bp_device *dev, struct bp_error *err)
{
    return isa_attach(dev, IPMI_KCS, err);
}

static int isa_bt_attach(struct bp_device *dev, struct bp_error *err)
{
    return isa_attach(dev, IPMI_BT, err);
}

#define BMC_PROP BP_PROP_LINK("bmc", "ipmi-bmc", struct holder, bmc, "id of the BMC that it leads to")
#define ISA_PROPS(PORT) \
    {BMC_PROP, BP_PROP("ioport", UINT16, struct holder, ioport, PORT, "first I/O port"), \
     BP_PROP_RANGE("irq", UINT8, struct holder, irq, "5", 0, 15, "interrupt; 0: none"), BP_FIELDS_END}
static const struct bp_field kcs_props[] = ISA_PROPS("0xca0");
static const struct bp_field bt_props[] = ISA_PROPS("0xe4");

BP_DEVICE(isa_ipmi_kcs, "isa-ipmi-kcs", "isa", "IPMI interface, keyboard controller style", struct holder, kcs_props,
          &table, .category = "misc", .attach = isa_kcs_attach, .detach = detach, .reset = reset);
BP_DEVICE(isa_ipmi_bt, "isa-ipmi-bt", "isa", "IPMI interface, block transfer", struct holder, bt_props, &table,
          .category = "misc", .attach = isa_bt_attach, .detach = detach, .reset = reset);

/* ---- PCI ---- */

static void pci_set_irq(struct ipmi_interface *s, bool on)
{
    (*ipmi_pci)->set_irq(holder_of(s)->dev, on);
}

static int pci_attach(struct bp_device *dev, enum ipmi_kind kind, struct bp_error *err)
{
    struct holder *h = bp_device_state(dev);
    struct bp_region *ports;
    int r = connect(dev, kind, err);

    h->interface.set_irq = pci_set_irq;
    if (r < 0)
        return r;
    ports = bp_region_new_io(bp_device_owner(dev), kind == IPMI_KCS ? "ipmi-kcs" : "ipmi-bt", 8,
                             kind == IPMI_KCS ? &ipmi_kcs_ops : &ipmi_bt_ops, &h->interface);
    r = (*ipmi_pci)->add_bar(dev, 0, BP_PCI_BAR_IO, ports, err);
    if (r < 0)
        detach(dev);
    return r;
}

static int pci_kcs_attach(struct bp_device *dev, struct bp_error *err)
{
    return pci_attach(dev, IPMI_KCS, err);
}

static int pci_bt_attach(struct bp_device *dev, struct bp_error *err)
{
    return pci_attach(dev, IPMI_BT, err);
}

static const struct bp_field pci_props[] = {BMC_PROP, BP_FIELDS_END};
#define PCI_INFO(INTERFACE) \
    {.size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x1112, .class_code = 0x0c07, \
     .prog_if = INTERFACE, .interrupt_pin = 1}
static const struct bp_pci_info kcs_info = PCI_INFO(1), bt_info = PCI_INFO(2);

BP_DEVICE(pci_ipmi_kcs, "pci-ipmi-kcs", "pci", "IPMI interface on PCI, keyboard controller style", struct holder,
          pci_props, &table, .category = "misc", .bus_info = &kcs_info, .attach = pci_kcs_attach, .detach = detach,
          .reset = reset);
BP_DEVICE(pci_ipmi_bt, "pci-ipmi-bt", "pci", "IPMI interface on PCI, block transfer", struct holder, pci_props, &table,
          .category = "misc", .bus_info = &bt_info, .attach = pci_bt_attach, .detach = detach, .reset = reset);
