// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Intel Q35 memory controller hub (3 Series chipset data sheet, order 316966, chapter 5): host bridge
 * with configuration mechanism 1 at 0xcf8/0xcfc, the enhanced mechanism (ECAM) where PCIEXBAR says,
 * PAM and SMRAM registers; at 0x50 what virtual firmware asks for a larger TSEG. TSEG ends where low memory does;
 * TSEGMB keeps what firmware notes there. Left out: DRAM, clock and DMI registers, whose base registers are there but
 * map nothing; the graphics port.
 */
#define BP_SHARED
#include "pam.h"
#include "piix.h"
#include "smram.h"

#include <bp/chip/ich9.h>

enum {
    REG_EPBAR = 0x40, REG_MCHBAR = 0x48, REG_EXT_TSEG = 0x50, REG_GGC = 0x52, REG_DEVEN = 0x54, REG_PCIEXBAR = 0x60,
    REG_DMIBAR = 0x68, REG_PAM0 = 0x90, REG_SMRAM = 0x9d, REG_ESMRAMC = 0x9e, REG_TOM = 0xa0,
    REG_TOUUD = 0xa2, REG_GBSM = 0xa4, REG_BGSM = 0xa8, REG_TSEGMB = 0xac, REG_TOLUD = 0xb0, REG_SKPD = 0xdc,
};
#define TSEG_ON 0x01u
#define TSEG_SIZE 0x06u /* 1, 2 or 8 MiB; 3: what REG_EXT_TSEG says */
#define EXT_TSEG_ASK 0xffffu
#define ECAM_ON 1u
#define ECAM_MAX 0x10000000u /* 256 buses */

struct mch { /* function 00.0 */
    struct q35_host *host;
    uint16_t ext_tseg; /* MiB that firmware is offered; 0: none */
};

struct q35_host {
    struct bp_region *pci_root; /* the PCI memory space */
    struct bp_space *pci_space;
    struct bp_device *function; /* 00.0 */
    struct bp_irq *pirq[8];
    unsigned raised[8]; /* functions that hold each PIRQ up */
    uint8_t route[7][4]; /* PIRQ of the pins of slots 25 to 31 */
    struct pam pam;
    struct smram smram;
    struct bp_region *ecam;
    uint64_t ecam_base, ecam_size; /* while it is mapped */
    uint32_t last_ecam; /* PCIEXBAR when it was last on, for firmware that wakes */
    struct config_ports ports; /* and the root bus */
    uint16_t pin_count[256][4]; /* raised, of each place on the root bus: routes may change */
};

static const struct mch *function_of(const struct q35_host *s)
{
    return bp_device_state(s->function);
}

void q35_forward_cf9(struct bp_device *host, const struct bp_region_ops *ops, void *opaque)
{
    struct q35_host *s = bp_device_state(host);

    config_ports_forward_cf9(&s->ports, ops, opaque);
}

/* ---- the enhanced mechanism: bus, place and register are the address ---- */
static uint64_t ecam_read(void *opaque, uint64_t addr, unsigned size)
{
    struct q35_host *s = opaque;

    return pci->config_read(s->ports.bus, (unsigned)(addr >> 20), addr >> 12 & 0xff, addr & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct q35_host *s = opaque;

    pci->config_write(s->ports.bus, (unsigned)(addr >> 20), addr >> 12 & 0xff, addr & 0xfff, (uint32_t)value,
                      size);
}

static const struct bp_region_ops ecam_ops = {
    .size = sizeof(ecam_ops), .read = ecam_read, .write = ecam_write};

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Bits 2:1 say 256, 128 or 64 MiB; the fourth value is reserved: nothing is mapped. */
static void update_ecam(struct q35_host *s)
{
    const uint8_t *c = pci->config(s->function) + REG_PCIEXBAR;
    uint64_t bar = get32(c) | (uint64_t)get32(c + 4) << 32, size = ECAM_MAX >> (bar >> 1 & 3);
    uint64_t base = bar & 0xff0000000ull & ~(size - 1);

    base |= bar & 0x0c000000u & ~(size - 1);
    if (!s->pam.system || !(bar & ECAM_ON) || (bar >> 1 & 3) == 3)
        base = size = 0;
    else
        s->last_ecam = get32(c);
    if (base == s->ecam_base && size == s->ecam_size)
        return;
    bp_memory_begin();
    if (s->ecam_size)
        bp_region_remove(s->ecam);
    if (size) {
        bp_region_set_size(s->ecam, size);
        bp_region_add(s->pam.system, s->ecam, base, 1);
    }
    bp_memory_commit();
    s->ecam_base = base;
    s->ecam_size = size;
}

/* ---- interrupts ---- */
static unsigned pirq_of(const struct q35_host *s, unsigned devfn, unsigned pin)
{
    unsigned slot = devfn >> 3;

    return slot < 25 ? 4 + ((pin + slot) & 3) : s->route[slot - 25][pin] & 7;
}

static void set_pin(void *opaque, unsigned devfn, unsigned pin, int level)
{
    struct q35_host *s = opaque;
    unsigned n = pirq_of(s, devfn, pin);

    s->pin_count[devfn][pin] = (uint16_t)(s->pin_count[devfn][pin] + (level ? 1 : -1));
    s->raised[n] += level ? 1 : -1;
    bp_irq_set(s->pirq[n], s->raised[n] != 0);
}

void q35_set_route(struct bp_device *host, unsigned slot, uint16_t route)
{
    struct q35_host *s = bp_device_state(host);
    unsigned raised[8] = {0};

    if (slot < 25 || slot > 31)
        return;
    for (unsigned pin = 0; pin < 4; pin++)
        s->route[slot - 25][pin] = route >> 4 * pin & 7;
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        for (unsigned pin = 0; pin < 4; pin++)
            raised[pirq_of(s, devfn, pin)] += s->pin_count[devfn][pin];
    }
    for (unsigned n = 0; n < 8; n++) {
        s->raised[n] = raised[n];
        bp_irq_set(s->pirq[n], raised[n] != 0);
    }
}

/* ---- memory ---- */
static uint64_t tseg_size(const struct q35_host *s, const uint8_t *config)
{
    static const uint8_t mebibytes[] = {1, 2, 8};
    unsigned n = (config[REG_ESMRAMC] & TSEG_SIZE) >> 1;

    if (!(config[REG_ESMRAMC] & TSEG_ON))
        return 0;
    return (uint64_t)(n < 3 ? mebibytes[n] : function_of(s)->ext_tseg) << 20;
}

/* Locked with SMRAM: TSEG's size, whether it is there, and where firmware notes that it begins. */
static void lock_tseg(const uint8_t *config, uint8_t *writable)
{
    bool locked = config[REG_SMRAM] & SMRAM_LOCK;

    writable[REG_ESMRAMC] = locked ? 0 : 0x87;
    writable[REG_TSEGMB + 2] = locked ? 0 : 0xf0;
    writable[REG_TSEGMB + 3] = locked ? 0 : 0xff;
}

static void update_memory(struct q35_host *s)
{
    uint8_t *config;

    if (!s->function)
        return;
    config = pci->config(s->function);
    smram_lock(config + REG_SMRAM, pci->writable(s->function) + REG_SMRAM);
    lock_tseg(config, pci->writable(s->function));
    smram_update(&s->smram, config[REG_SMRAM] & SMRAM_ENABLE, tseg_size(s, config));
    pam_update(&s->pam, config + REG_PAM0, config[REG_SMRAM] & SMRAM_OPEN);
    update_ecam(s);
}

static int set_memory(struct bp_device *dev, struct bp_region *system, struct bp_region *ram,
                      struct bp_error *err)
{
    struct q35_host *s = bp_device_state(dev);
    int r = pam_set_memory(&s->pam, bp_device_owner(dev), s->pci_root, s->pci_space, system, ram, err);

    if (r == 0)
        update_memory(s);
    return r;
}

static struct bp_region *pci_memory(struct bp_device *dev)
{
    return ((struct q35_host *)bp_device_state(dev))->pci_root;
}

static void shadow(struct bp_device *dev)
{
    struct q35_host *s = bp_device_state(dev);

    pam_shadow(pci->config(s->function) + REG_PAM0);
    /* SeaBIOS reaches for configuration space there before it has set PCIEXBAR again. */
    pci->set_config(s->function, REG_PCIEXBAR, 4, 0xffffffff, s->last_ecam);
    update_memory(s);
}

static struct bp_space *smm_memory(struct bp_device *dev, uint64_t low_size)
{
    struct q35_host *s = bp_device_state(dev);

    smram_init(&s->smram, bp_device_owner(dev), s->pam.system, s->pam.ram, low_size);
    update_memory(s);
    return s->smram.space;
}

static void set_ecam(struct bp_device *dev, uint64_t base)
{
    struct q35_host *s = bp_device_state(dev);

    pci->set_config(s->function, REG_PCIEXBAR, 4, UINT32_MAX, (uint32_t)base | (base ? ECAM_ON : 0));
    pci->set_config(s->function, REG_PCIEXBAR + 4, 4, UINT32_MAX, (uint32_t)(base >> 32));
    update_ecam(s);
}

static uint64_t ecam(struct bp_device *dev, unsigned *ret_buses)
{
    const struct q35_host *s = bp_device_state(dev);

    *ret_buses = (unsigned)(s->ecam_size >> 20);
    return s->ecam_base;
}

const struct bp_pc_host_interface q35_table = {
    .size = sizeof(struct bp_pc_host_interface), .set_memory = set_memory, .pci_memory = pci_memory,
    .shadow = shadow, .smm_memory = smm_memory, .set_ecam = set_ecam, .ecam = ecam};

/* ---- function 00.0 ---- */
static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    struct mch *f = bp_device_state(dev);

    if (offset < REG_TOM && offset + size > REG_PCIEXBAR)
        update_memory(f->host);
    /* Who asks reads what there is; where nothing is offered what was written stays. */
    if (offset < REG_EXT_TSEG + 2 && offset + size > REG_EXT_TSEG && f->ext_tseg)
        pci->set_config(dev, REG_EXT_TSEG, 2, EXT_TSEG_ASK, f->ext_tseg);
}

static void mch_reset(struct bp_device *dev)
{
    struct mch *f = bp_device_state(dev);

    update_memory(f->host);
}

static int mch_attach(struct bp_device *dev, struct bp_error *err)
{
    struct mch *f = bp_device_state(dev);
    struct bp_device *bridge = bp_bus_bridge(bp_device_bus(dev));

    if (bp_device_class(bridge) != &q35_pcihost_class)
        return bp_fail(err, EINVAL, "mch sits on the bus of a q35-pcihost only");
    f->host = bp_device_state(bridge);
    f->host->function = dev;
    return 0;
}

static void mch_detach(struct bp_device *dev)
{
    struct mch *f = bp_device_state(dev);

    if (f->host)
        f->host->function = NULL;
}

static int mch_loaded(void *state, uint32_t version, struct bp_error *err)
{
    struct mch *f = state;

    (void)version, (void)err;
    update_memory(f->host);
    return 0;
}

static const struct bp_state_field mch_state_fields[] = {BP_SAVE_END};
static const struct bp_state_table mch_state = {.version = 1, .oldest = 1, .fields = mch_state_fields,
                                                .after_load = mch_loaded};

static const struct bp_pci_field mch_fields[] = {
    {.offset = REG_EPBAR, .width = 4, .rw = 0xfffff001},
    {.offset = REG_MCHBAR, .width = 4, .rw = 0xffffc001},
    {.offset = REG_EXT_TSEG, .width = 2, .rw = 0xffff, .live = 0xffff},
    {.offset = REG_GGC, .width = 2, .value = 0x0030},
    {.offset = REG_DEVEN, .width = 4, .value = 0x00000003}, /* host bridge; the graphics port, not built, is hidden */
    {.offset = REG_PCIEXBAR, .width = 4, .value = 0xe0000000, .rw = 0xfc000007},
    {.offset = REG_PCIEXBAR + 4, .width = 4, .rw = 0x0000000f},
    {.offset = REG_DMIBAR, .width = 4, .rw = 0xfffff001},
    {.offset = REG_PAM0, .width = 1, .rw = 0x30},
    {.offset = REG_PAM0 + 1, .width = 4, .rw = 0x33333333},
    {.offset = REG_PAM0 + 5, .width = 2, .rw = 0x3333},
    {.offset = REG_SMRAM, .width = 1, .value = 0x02, .rw = 0x78, .live = 0x58},
    {.offset = REG_ESMRAMC, .width = 1, .value = 0x38, .rw = 0x87, .live = 0x87},
    {.offset = REG_TOM, .width = 2, .value = 0x0001, .rw = 0x03ff},
    {.offset = REG_TOUUD, .width = 2, .rw = 0xffff},
    {.offset = REG_GBSM, .width = 4, .rw = 0xfff00000},
    {.offset = REG_BGSM, .width = 4, .rw = 0xfff00000},
    {.offset = REG_TSEGMB, .width = 4, .rw = 0xfff00000, .live = 0xfff00000},
    {.offset = REG_TOLUD, .width = 2, .value = 0x0010, .rw = 0xfff0},
    {.offset = REG_SKPD, .width = 4, .rw = 0xffffffff},
    BP_PCI_FIELDS_END,
};
static const struct bp_field mch_props[] = {
    BP_PROP_RANGE("extended-tseg-mbytes", UINT16, struct mch, ext_tseg, "16", 0, 0xfff,
                  "size of the top segment that firmware may choose beside 1, 2 and 8 MiB; 0: no other"),
    BP_FIELDS_END,
};
static const struct bp_pci_info mch_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x29c0, .class_code = 0x0600,
    .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .fields = mch_fields,
    .config_written = config_written};

BP_BOARD_DEVICE(mch_class, "mch", "pci", "Intel Q35 host bridge", struct mch, mch_props, &mch_state,
                .category = "bridge", .bus_info = &mch_info, .attach = mch_attach,
                .detach = mch_detach, .reset = mch_reset);

/* ---- the host bridge itself ---- */
static void host_reset(struct bp_device *dev)
{
    struct q35_host *s = bp_device_state(dev);

    s->ports.address = 0;
}

static int host_attach(struct bp_device *dev, struct bp_error *err)
{
    struct q35_host *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    struct bp_region *io = bp_space_root(bp_device_io(dev));
    struct bp_device *function;
    struct bp_pci_host host = {.size = sizeof(host), .io = io, .dma = bp_device_memory(dev),
                               .set_irq = set_pin, .opaque = s, .type = "pcie"};
    int r;

    bp_device_add_irq_outputs(dev, "pirq", 8);
    for (unsigned n = 0; n < 8; n++)
        s->pirq[n] = bp_device_irq_output(dev, "pirq", n);
    for (unsigned slot = 25; slot < 32; slot++)
        q35_set_route(dev, slot, 0x3210);
    s->pci_root = bp_region_new(owner, "pci", UINT64_MAX);
    s->pci_space = bp_space_new(owner, "pci", s->pci_root);
    s->ecam = bp_region_new_io(owner, "pcie-mmcfg", ECAM_MAX, &ecam_ops, s);
    config_ports_add(&s->ports, owner, io);
    host.memory = s->pci_root;
    /* Nothing comes or goes on the root bus itself: ports have slots. */
    r = pci->new_root(dev, "pcie.0", &host, &s->ports.bus, err);
    if (r == 0)
        r = bp_device_new(bp_device_machine(dev), "mch", NULL, &function, err);
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
    CONFIG_PORTS_SAVE(struct q35_host, ports),
    BP_SAVE_END,
};
static const struct bp_state_table host_table = {.version = 1, .oldest = 1, .fields = host_fields};

BP_BOARD_DEVICE(q35_pcihost_class, "q35-pcihost", "system", "Intel Q35 PCI Express host bridge",
                struct q35_host, NULL, &host_table, .category = "bridge", .attach = host_attach,
                .reset = host_reset);
