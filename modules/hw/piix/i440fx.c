// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Intel 82441FX (i440FX PMC data sheet, order 290549): host bridge with configuration mechanism 1
 * at 0xcf8/0xcfc, PAM registers (shadow RAM at 0xc0000-0xfffff) and SMRAM. Left out: DRAM and ECC
 * registers, which only store.
 */
#define BP_SHARED
#include "pam.h"
#include "piix.h"
#include "smram.h"


#define REG_PAM0 0x59u
#define REG_PAM6 0x5fu
#define REG_SMRAM 0x72u

struct i440fx_host {
    struct bp_region *pci_root; /* the PCI memory space */
    struct bp_space *pci_space;
    struct bp_device *function; /* 00.0 */
    struct bp_irq *pirq[4];
    unsigned raised[4]; /* functions that hold each PIRQ up */
    struct pam pam;
    struct smram smram;
    struct config_ports ports; /* and the root bus */
};

void i440fx_forward_cf9(struct bp_device *host, const struct bp_region_ops *ops, void *opaque)
{
    struct i440fx_host *s = bp_device_state(host);

    config_ports_forward_cf9(&s->ports, ops, opaque);
}

/* ---- interrupts ---- */
static void set_pin(void *opaque, unsigned devfn, unsigned pin, int level)
{
    struct i440fx_host *s = opaque;
    unsigned n = (pin + (devfn >> 3) - 1) & 3;

    s->raised[n] += level ? 1 : -1;
    bp_irq_set(s->pirq[n], s->raised[n] != 0);
}

/* ---- shadow RAM ---- */
static void update_memory(struct i440fx_host *s)
{
    uint8_t *config;

    if (!s->function)
        return;
    config = pci->config(s->function);
    smram_lock(config + REG_SMRAM, pci->writable(s->function) + REG_SMRAM);
    smram_update(&s->smram, config[REG_SMRAM] & SMRAM_ENABLE, 0);
    pam_update(&s->pam, config + REG_PAM0, config[REG_SMRAM] & SMRAM_OPEN);
}

static int set_memory(struct bp_device *dev, struct bp_region *system, struct bp_region *ram,
                      struct bp_error *err)
{
    struct i440fx_host *s = bp_device_state(dev);
    int r = pam_set_memory(&s->pam, bp_device_owner(dev), s->pci_root, s->pci_space, system, ram, err);

    if (r == 0)
        update_memory(s);
    return r;
}

static struct bp_region *pci_memory(struct bp_device *dev)
{
    return ((struct i440fx_host *)bp_device_state(dev))->pci_root;
}

static void shadow(struct bp_device *dev)
{
    struct i440fx_host *s = bp_device_state(dev);

    pam_shadow(pci->config(s->function) + REG_PAM0);
    update_memory(s);
}

static struct bp_space *smm_memory(struct bp_device *dev, uint64_t low_size)
{
    struct i440fx_host *s = bp_device_state(dev);

    smram_init(&s->smram, bp_device_owner(dev), s->pam.system, s->pam.ram, low_size);
    update_memory(s);
    return s->smram.space;
}

const struct bp_pc_host_interface i440fx_table = {
    .size = sizeof(struct bp_pc_host_interface), .set_memory = set_memory, .pci_memory = pci_memory,
    .shadow = shadow, .smm_memory = smm_memory};

/* ---- function 00.0 ---- */
struct i440fx {
    struct i440fx_host *host;
};

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    struct i440fx *f = bp_device_state(dev);

    if ((offset <= REG_PAM6 && offset + size > REG_PAM0) ||
        (offset <= REG_SMRAM && offset + size > REG_SMRAM))
        update_memory(f->host);
}

static void i440fx_reset(struct bp_device *dev)
{
    struct i440fx *f = bp_device_state(dev);

    update_memory(f->host);
}

static int i440fx_attach(struct bp_device *dev, struct bp_error *err)
{
    struct i440fx *f = bp_device_state(dev);
    struct bp_device *bridge = bp_bus_bridge(bp_device_bus(dev));

    if (bp_device_class(bridge) != &i440fx_pcihost_class)
        return bp_fail(err, EINVAL, "i440FX sits on the bus of an i440FX-pcihost only");
    f->host = bp_device_state(bridge);
    f->host->function = dev;
    return 0;
}

static void i440fx_detach(struct bp_device *dev)
{
    struct i440fx *f = bp_device_state(dev);

    if (f->host)
        f->host->function = NULL;
}

static const struct bp_pci_field i440fx_fields[] = {
    {.offset = REG_PAM0, .width = 1, .rw = 0x30},
    {.offset = REG_PAM0 + 1, .width = 4, .rw = 0x33333333},
    {.offset = REG_PAM0 + 5, .width = 2, .rw = 0x3333},
    {.offset = REG_SMRAM, .width = 1, .value = 0x02, .rw = 0x78, .live = 0x58},
    BP_PCI_FIELDS_END,
};
static const struct bp_pci_info i440fx_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x1237, .revision = 2,
    .class_code = 0x0600, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .fields = i440fx_fields, .config_written = config_written};

BP_BOARD_DEVICE(i440fx_class, "i440FX", "pci", "82441FX host bridge", struct i440fx, NULL,
                NULL, .category = "bridge", .bus_info = &i440fx_info, .attach = i440fx_attach,
                .detach = i440fx_detach, .reset = i440fx_reset);

/* ---- the host bridge itself ---- */
static void host_reset(struct bp_device *dev)
{
    struct i440fx_host *s = bp_device_state(dev);

    s->ports.address = 0;
}

/* Cards come and go as they like. The guest is not told: a rescan of the bus finds what came. */
static const struct bp_hotplug_ops slots = {.size = sizeof(struct bp_hotplug_ops)};

static int host_attach(struct bp_device *dev, struct bp_error *err)
{
    struct i440fx_host *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    struct bp_region *io = bp_space_root(bp_device_io(dev));
    struct bp_device *function;
    struct bp_pci_host host = {.size = sizeof(host), .io = io, .dma = bp_device_memory(dev),
                               .set_irq = set_pin, .opaque = s};
    int r;

    bp_device_add_irq_outputs(dev, "pirq", 4);
    for (unsigned n = 0; n < 4; n++)
        s->pirq[n] = bp_device_irq_output(dev, "pirq", n);
    s->pci_root = bp_region_new(owner, "pci", UINT64_MAX);
    s->pci_space = bp_space_new(owner, "pci", s->pci_root);
    config_ports_add(&s->ports, owner, io);
    host.memory = s->pci_root;
    r = pci->new_root(dev, "pci.0", &host, &s->ports.bus, err);
    if (r == 0)
        bp_bus_set_hotplug(s->ports.bus, owner, &slots, s);
    if (r == 0)
        r = bp_device_new(bp_device_machine(dev), "i440FX", NULL, &function, err);
    if (r < 0)
        return r;
    r = bp_device_set(function, "addr", "00.0", err);
    if (r < 0) {
        bp_device_destroy(function);
        return r;
    }
    return bp_device_attach(function, s->ports.bus, err);
}

static const struct bp_state_field host_fields[] = {
    CONFIG_PORTS_SAVE(struct i440fx_host, ports),
    BP_SAVE_END,
};
static const struct bp_state_table host_table = {.version = 1, .oldest = 1, .fields = host_fields};

BP_BOARD_DEVICE(i440fx_pcihost_class, "i440FX-pcihost", "system", "82441FX PCI host bridge",
                struct i440fx_host, NULL, &host_table, .category = "bridge", .firmware_name = "pci@i0cf8",
                .attach = host_attach, .reset = host_reset);
