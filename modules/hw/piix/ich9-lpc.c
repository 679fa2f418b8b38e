// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Intel ICH9's LPC bridge (I/O Controller Hub 9 data sheet, order 316972, chapters 10 and 13): bridge to the
 * ISA bus, routing of PIRQA..H to ISA interrupts, device interrupt routes of RCBA, power management
 * ports (PM1, timer, GPE0, SMI registers), reset control at 0xcf9, the APM ports, coprocessor errors, the watchdog
 * (tco.c). SMIs come from the APM ports and the watchdog. Left out: GPIO and the other chipset configuration registers,
 * which store at most; SCI on other lines than ISA interrupt 9.
 */
#define BP_SHARED
#include "acpi-pm.h"
#include "piix.h"
#include "tco.h"

#include <bp/chip/ich9.h>

enum {
    REG_PMBASE = 0x40, REG_ACPI_CNTL = 0x44, REG_GPIOBASE = 0x48, REG_GC = 0x4c, REG_PIRQ = 0x60,
    REG_SERIRQ = 0x64, REG_PIRQ2 = 0x68, REG_IODEC = 0x80, REG_LPC_EN = 0x82, REG_GEN_PMCON = 0xa0,
    REG_RCBA = 0xf0,
};
#define PIRQ_OFF 0x80u
/* ISA interrupts that a PIRQ may be routed to: 3-7, 9-12, 14, 15. */
#define PIRQ_ALLOWED 0xdef8u
#define ACPI_ON 0x80u
#define PM_SIZE 0x80u
#define PM_SMI 0x30u /* SMI_EN and SMI_STS */
#define SMI_GLOBAL 0x01u /* GBL_SMI_EN; locked by SMI_LOCK in GEN_PMCON_1 */
#define SMI_APM 0x20u    /* APMC_EN, APM_STS */
#define SMI_TCO 0x20u    /* of the second byte: TCO_EN, TCO_STS */
#define SMI_LOCK 0x10u
#define RCBA_SIZE 0x4000u
#define RCBA_D31IR 0x3140u /* and D30IR, D29IR, D28IR; D27IR to D25IR follow */

struct ich9_lpc {
    struct acpi_pm pm; /* first */
    struct bp_irq *isa_irq[16], *pirq[8];
    uint8_t pirq_level[8];
    struct south_ports ports;
    uint8_t apm_control, apm_status;
    uint8_t smi[16]; /* SMI_EN, SMI_STS and what follows: stored */
    bool smm, broadcast;
    uint8_t smi_to_all;
    struct bp_irq *smi_out[2]; /* to who writes the APM port, to all */
    struct tco tco;
    uint16_t route[7]; /* of D25IR to D31IR */
    struct bp_region *pm_region, *rcba_region;
    bool pm_mapped, rcba_mapped;
    uint32_t rcba_base;
    uint16_t board_base;
    struct bp_device *host;
};

/* ---- interrupts ---- */
static void update_irqs(struct bp_device *dev)
{
    struct ich9_lpc *s = bp_device_state(dev);
    const uint8_t *config = pci->config(dev);
    uint32_t levels = 0;

    for (unsigned n = 0; n < 8; n++) {
        uint8_t route = config[n < 4 ? REG_PIRQ + n : REG_PIRQ2 + n - 4];

        if (s->pirq_level[n] && !(route & PIRQ_OFF))
            levels |= 1u << (route & 15);
        bp_irq_set(s->pirq[n], s->pirq_level[n]);
    }
    levels &= PIRQ_ALLOWED;
    if (s->ports.coprocessor_error)
        levels |= 1u << COPROCESSOR_IRQ;
    for (unsigned n = 0; n < 16; n++)
        bp_irq_set(s->isa_irq[n], levels >> n & 1);
}

static void pirq_changed(struct bp_device *dev, unsigned n, int level)
{
    struct ich9_lpc *s = bp_device_state(dev);

    s->pirq_level[n] = level != 0;
    update_irqs(dev);
}

static void ferr_changed(struct bp_device *dev, unsigned n, int level)
{
    struct ich9_lpc *s = bp_device_state(dev);

    (void)n;
    if (level)
        south_ports_error(&s->ports);
}

/* ---- power management ports, byte by byte behind PM1 and the timer ---- */
static uint64_t pm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ich9_lpc *s = opaque;
    uint64_t v = 0;

    if (addr < ACPI_PM_SIZE)
        return acpi_pm_read(&s->pm, addr, size);
    for (unsigned i = size; i-- > 0;) {
        uint64_t at = addr + i;

        v <<= 8;
        if (at - BP_ICH9_GPE0 < BP_ICH9_GPE0_LENGTH)
            v |= acpi_gpe_read(&s->pm, at - BP_ICH9_GPE0, BP_ICH9_GPE0_LENGTH);
        else if (at - PM_SMI < sizeof(s->smi))
            v |= s->smi[at - PM_SMI];
        else if (at - TCO_BASE < TCO_LENGTH)
            v |= tco_read(&s->tco, (unsigned)(at - TCO_BASE));
    }
    return v;
}

static void write_smi_enable(struct ich9_lpc *s, unsigned at, uint8_t value)
{
    uint8_t locked = at == 0 && pci->config(bp_device_of_state(s))[REG_GEN_PMCON] & SMI_LOCK ? SMI_GLOBAL : 0;

    s->smi[at] = (uint8_t)((value & ~locked) | (s->smi[at] & locked));
}

static void pm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_lpc *s = opaque;

    if (addr < ACPI_PM_SIZE) {
        acpi_pm_write(&s->pm, addr, value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++, value >>= 8) {
        uint64_t at = addr + i;

        if (at - BP_ICH9_GPE0 < BP_ICH9_GPE0_LENGTH)
            acpi_gpe_write(&s->pm, at - BP_ICH9_GPE0, (uint8_t)value, BP_ICH9_GPE0_LENGTH);
        else if (at - PM_SMI < 4)
            write_smi_enable(s, (unsigned)(at - PM_SMI), (uint8_t)value);
        else if (at - PM_SMI < 8)
            s->smi[at - PM_SMI] &= (uint8_t)~value;
        else if (at == TCO_BASE + TCO_TMR && i + 1 < size)
            tco_set_timer(&s->tco, (uint16_t)value), i++, value >>= 8;
        else if (at - TCO_BASE < TCO_LENGTH)
            tco_write(&s->tco, (unsigned)(at - TCO_BASE), (uint8_t)value);
    }
}

static void tco_smi(struct bp_device *dev)
{
    struct ich9_lpc *s = bp_device_state(dev);

    if (!s->smm || !(s->smi[0] & SMI_GLOBAL) || !(s->smi[1] & SMI_TCO))
        return;
    s->smi[5] |= SMI_TCO;
    bp_irq_pulse(s->smi_out[s->smi_to_all]);
}

static const struct bp_region_ops pm_ops = {.size = sizeof(pm_ops), .read = pm_read, .write = pm_write};

static uint64_t apm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ich9_lpc *s = opaque;

    (void)size;
    return addr ? s->apm_status : s->apm_control;
}

static void apm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_lpc *s = opaque;

    (void)size;
    if (addr) {
        s->apm_status = (uint8_t)value;
        return;
    }
    s->apm_control = (uint8_t)value;
    if (value == BP_ICH9_ACPI_ENABLE || value == BP_ICH9_ACPI_DISABLE)
        acpi_pm_enable_sci(&s->pm, value == BP_ICH9_ACPI_ENABLE);
    if (!s->smm || !(s->smi[0] & SMI_APM))
        return;
    s->smi[4] |= SMI_APM;
    bp_irq_pulse(s->smi_out[s->smi_to_all]);
}

static const struct bp_region_ops apm_ops = {
    .size = sizeof(apm_ops), .read = apm_read, .write = apm_write, .max_access = 1};

/* ---- chipset configuration registers (RCBA) ---- */
/* D31IR, D30IR, D29IR, D28IR, D27IR at steps of two; D26IR and D25IR behind a gap (10.1.38 to 10.1.44). */
static unsigned slot_of_route(uint64_t addr)
{
    static const uint16_t at[] = {0x3140, 0x3142, 0x3144, 0x3146, 0x3148, 0x314c, 0x3150};

    for (unsigned i = 0; i < BP_COUNT(at); i++) {
        if (addr == at[i])
            return 31 - i;
    }
    return 0;
}

static uint64_t rcba_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct ich9_lpc *s = opaque;
    unsigned slot = slot_of_route(addr);

    (void)size;
    if (addr == TCO_GCS)
        return tco_gcs(&s->tco);
    return slot ? s->route[slot - 25] : 0;
}

static void rcba_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_lpc *s = opaque;
    unsigned slot = slot_of_route(addr);

    (void)size;
    if (addr == TCO_GCS)
        tco_set_gcs(&s->tco, (uint16_t)value);
    if (!slot)
        return;
    s->route[slot - 25] = (uint16_t)value & 0x7777;
    q35_set_route(s->host, slot, s->route[slot - 25]);
}

static const struct bp_region_ops rcba_ops = {
    .size = sizeof(rcba_ops), .read = rcba_read, .write = rcba_write, .min_access = 2, .max_access = 2};

/* ---- configuration space ---- */
static void map(struct bp_region *where, struct bp_region *region, bool *mapped, bool on, uint64_t base)
{
    on = on && base != 0;
    if (on && *mapped)
        bp_region_set_address(region, base);
    else if (on)
        bp_region_add(where, region, base, 1);
    else if (*mapped)
        bp_region_remove(region);
    *mapped = on;
}

static void update_map(struct bp_device *dev)
{
    struct ich9_lpc *s = bp_device_state(dev);
    const uint8_t *c = pci->config(dev);
    uint16_t pm = (uint16_t)((c[REG_PMBASE] | c[REG_PMBASE + 1] << 8) & 0xff80);
    uint32_t rcba = (uint32_t)c[REG_RCBA + 1] << 8 | (uint32_t)c[REG_RCBA + 2] << 16 |
                    (uint32_t)c[REG_RCBA + 3] << 24;

    bp_memory_begin();
    map(bp_space_root(bp_device_io(dev)), s->pm_region, &s->pm_mapped, c[REG_ACPI_CNTL] & ACPI_ON, pm);
    map(bp_space_root(bp_device_memory(dev)), s->rcba_region, &s->rcba_mapped, c[REG_RCBA] & 1,
        rcba & 0xffffc000u);
    bp_memory_commit();
}

/* SMI_LOCK stays until a reset (13.8.1.1). */
static void lock_smi(struct bp_device *dev)
{
    uint8_t *writable = pci->writable(dev) + REG_GEN_PMCON;

    *writable = pci->config(dev)[REG_GEN_PMCON] & SMI_LOCK ? 0xff & ~SMI_LOCK : 0xff;
}

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    (void)offset, (void)size;
    lock_smi(dev);
    update_irqs(dev);
    update_map(dev);
}

static void set_base(struct bp_device *dev)
{
    struct ich9_lpc *s = bp_device_state(dev);

    pci->set_config(dev, REG_PMBASE, 2, 0xff80, s->board_base & 0xff80);
    pci->set_config(dev, REG_ACPI_CNTL, 1, ACPI_ON, s->board_base ? ACPI_ON : 0);
    update_map(dev);
}

static void pm_enable(struct bp_device *dev, uint16_t base)
{
    ((struct ich9_lpc *)bp_device_state(dev))->board_base = base & 0xff80;
    set_base(dev);
}

static void power_button(struct bp_device *dev)
{
    acpi_pm_power_button(&((struct ich9_lpc *)bp_device_state(dev))->pm);
}

static void gpe(struct bp_device *dev, uint16_t bits)
{
    acpi_pm_gpe(&((struct ich9_lpc *)bp_device_state(dev))->pm, bits);
}

static bool gpe_enabled(struct bp_device *dev, uint16_t bits)
{
    return acpi_pm_gpe_enabled(&((struct ich9_lpc *)bp_device_state(dev))->pm, bits);
}

static void woken(struct bp_device *dev, enum bp_wakeup_cause cause)
{
    acpi_pm_woken(&((struct ich9_lpc *)bp_device_state(dev))->pm, cause);
}

static void smi_broadcast(struct bp_device *dev, bool on)
{
    ((struct ich9_lpc *)bp_device_state(dev))->smi_to_all = on;
}

const struct bp_pc_pm_interface ich9_lpc_table = {
    .size = sizeof(struct bp_pc_pm_interface), .enable = pm_enable, .power_button = power_button,
    .gpe = gpe, .gpe_enabled = gpe_enabled, .woken = woken, .smi_broadcast = smi_broadcast};

/* ---- life ---- */
static void lpc_reset(struct bp_device *dev)
{
    struct ich9_lpc *s = bp_device_state(dev);

    for (unsigned slot = 25; slot < 32; slot++) {
        s->route[slot - 25] = 0x3210;
        q35_set_route(s->host, slot, 0x3210);
    }
    s->apm_control = s->apm_status = 0;
    south_ports_reset(&s->ports);
    for (unsigned i = 0; i < sizeof(s->smi); i++)
        s->smi[i] = 0;
    /* Where nobody takes an SMI firmware finds it set up, and does not wait for one. */
    s->smi[0] = s->smm ? 0 : SMI_APM;
    s->smi_to_all = 0;
    tco_reset(&s->tco);
    lock_smi(dev);
    set_base(dev);
    acpi_pm_reset(&s->pm);
    update_irqs(dev);
}

static void make_regions(struct bp_device *dev)
{
    struct ich9_lpc *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    struct bp_region *io = bp_space_root(bp_device_io(dev));

    s->pm_region = bp_region_new_io(owner, "ich9-pm", PM_SIZE, &pm_ops, s);
    s->rcba_region = bp_region_new_io(owner, "lpc-rcrb-mmio", RCBA_SIZE, &rcba_ops, s);
    bp_region_add(io, bp_region_new_io(owner, "apm", 2, &apm_ops, s), BP_ICH9_SMI_PORT, 0);
}

static int lpc_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ich9_lpc *s = bp_device_state(dev);
    struct bp_bus *bus;
    int r;

    s->host = bp_bus_bridge(bp_device_bus(dev));
    if (bp_device_class(s->host) != &q35_pcihost_class)
        return bp_fail(err, EINVAL, "ICH9-LPC sits on the bus of a q35-pcihost only");
    r = isa->new_bus(dev, bp_space_root(bp_device_io(dev)), bp_space_root(bp_device_memory(dev)), NULL,
                     &bus, err);
    for (unsigned n = 0; r == 0 && n < 16; n++)
        r = isa->irq(dev, n, &s->isa_irq[n], err);
    if (r < 0)
        return r;
    bp_device_add_irq_outputs(dev, "pirq", 8);
    bp_device_add_irq_inputs(dev, "pirq", 8, pirq_changed);
    bp_device_add_irq_inputs(dev, "ferr", 1, ferr_changed);
    south_ports_init(&s->ports, dev, update_irqs);
    for (unsigned n = 0; n < 8; n++)
        s->pirq[n] = bp_device_irq_output(dev, "pirq", n);
    for (unsigned n = 0; n < 8; n++)
        bp_irq_connect(bp_device_irq_output(s->host, "pirq", n), bp_device_irq_input(dev, "pirq", n));
    acpi_pm_init(&s->pm, dev);
    tco_init(&s->tco, dev, tco_smi);
    bp_device_add_irq_outputs(dev, "smi", 2);
    for (unsigned n = 0; n < 2; n++)
        s->smi_out[n] = bp_device_irq_output(dev, "smi", n);
    make_regions(dev);
    q35_forward_cf9(s->host, &south_reset_ops, &s->ports);
    return 0;
}

static void lpc_detach(struct bp_device *dev)
{
    q35_forward_cf9(bp_bus_bridge(bp_device_bus(dev)), NULL, NULL);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ich9_lpc *s = state;

    (void)version, (void)err;
    for (unsigned slot = 25; slot < 32; slot++)
        q35_set_route(s->host, slot, s->route[slot - 25]);
    s->smi_to_all = s->smi_to_all != 0;
    lock_smi(bp_device_of_state(s));
    update_map(bp_device_of_state(s));
    update_irqs(bp_device_of_state(s));
    acpi_pm_update(&s->pm);
    return 0;
}

static const struct bp_state_field lpc_state_fields[] = {
    ACPI_PM_SAVE(struct ich9_lpc, pm),
    BP_SAVE_BUFFER(struct ich9_lpc, pirq_level),
    SOUTH_PORTS_SAVE(struct ich9_lpc, ports, reset_control, 0),
    SOUTH_PORTS_SAVE(struct ich9_lpc, ports, coprocessor_error, 0),
    BP_SAVE(UINT8, struct ich9_lpc, apm_control),
    BP_SAVE(UINT8, struct ich9_lpc, apm_status),
    BP_SAVE_BUFFER(struct ich9_lpc, smi),
    BP_SAVE(UINT8, struct ich9_lpc, smi_to_all),
    BP_SAVE_ARRAY(UINT16, struct ich9_lpc, route),
    {.name = "tco", .kind = BP_STATE_STRUCT, .offset = offsetof(struct ich9_lpc, tco), .count = 1,
     .stride = sizeof(struct tco), .table = &tco_state},
    BP_SAVE_END,
};
static const struct bp_state_table lpc_table = {.version = 2, .oldest = 2, .fields = lpc_state_fields,
                                                .after_load = after_load};

static const struct bp_field lpc_props[] = {
    BP_PROP("x-smi-broadcast", BOOL, struct ich9_lpc, broadcast, "on",
            "firmware may ask that SMIs of the APM port reach all processors"),
    BP_PROP("smm-enabled", BOOL, struct ich9_lpc, smm, "off", "SMIs are raised; firmware sets them up"),
    BP_PROP("noreboot", BOOL, struct ich9_lpc, tco.strap, "on",
            "the watchdog's end starts nothing again, whatever guests set in GCS"),
    BP_PROP_RANGE("disable_s3", UINT8, struct ich9_lpc, pm.disable_s3, "0", 0, 1,
                  "no suspend to RAM (1)"),
    BP_PROP_RANGE("disable_s4", UINT8, struct ich9_lpc, pm.disable_s4, "0", 0, 1,
                  "no suspend to disk (1)"),
    BP_FIELDS_END,
};

static const struct bp_pci_field lpc_fields[] = {
    {.offset = REG_PMBASE, .width = 4, .value = 1, .rw = 0xff80},
    {.offset = REG_ACPI_CNTL, .width = 1, .rw = 0x80},
    {.offset = REG_GPIOBASE, .width = 4, .value = 1, .rw = 0xffc0},
    {.offset = REG_GC, .width = 1, .rw = 0x11},
    {.offset = REG_PIRQ, .width = 4, .value = 0x80808080, .rw = 0x8f8f8f8f},
    {.offset = REG_SERIRQ, .width = 1, .value = 0x10, .rw = 0xff},
    {.offset = REG_PIRQ2, .width = 4, .value = 0x80808080, .rw = 0x8f8f8f8f},
    {.offset = REG_IODEC, .width = 2, .rw = 0x1377},
    {.offset = REG_LPC_EN, .width = 2, .rw = 0x3f0f},
    {.offset = REG_GEN_PMCON, .width = 4, .rw = 0x0000ffff, .live = SMI_LOCK},
    {.offset = REG_RCBA, .width = 4, .rw = 0xffffc001},
    BP_PCI_FIELDS_END,
};
static const struct bp_pci_info lpc_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x2918, .revision = 2,
    .class_code = 0x0601, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .fields = lpc_fields,
    .config_written = config_written};

BP_BOARD_DEVICE(ich9_lpc_class, "ICH9-LPC", "pci", "Intel ICH9 LPC bridge", struct ich9_lpc, lpc_props,
                &lpc_table, .category = "bridge", .bus_info = &lpc_info, .attach = lpc_attach,
                .detach = lpc_detach, .reset = lpc_reset);
