// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Power management of Intel's 82371AB (PIIX4 data sheet, order 290562, chapter 7; ACPI 6.4 chapter
 * 4.8), function 3: PM1 registers, PM timer, GPE0, the APM ports 0xb2/0xb3 and an SMBus host
 * (smbus.c). Left out: SMI, suspend to RAM, device idle timers, PCI hot-plug.
 */
#define BP_SHARED
#include "acpi-pm.h"
#include "piix.h"
#include "smbus.h"

#include <bp/chip/piix.h>

#define PM_SIZE 0x40u

#define REG_DEVACTB 0x58u
#define APMC_EN 0x02u /* in its highest byte: writing the APM port raises an SMI */
#define REG_PMBA 0x40u
#define REG_PMREGMISC 0x80u
#define REG_SMBBA 0x90u
#define REG_SMBHSTCFG 0xd2u

struct piix4_pm {
    struct acpi_pm pm; /* first */
    uint8_t apm_control, apm_status;
    struct piix4_smbus smb;
    struct bp_region *pm_region, *smb_region;
    bool pm_mapped, smb_mapped;
    uint16_t board_base; /* PMBASE that the board asked for, 0: none */
    uint32_t smb_io_base;
    bool hotplug, bridge_hotplug; /* the board looks at them */
    bool smm;
    struct bp_irq *smi;
};

/* ---- ports ---- */
static uint64_t pm_read(void *opaque, uint64_t addr, unsigned size)
{
    return acpi_pm_read(&((struct piix4_pm *)opaque)->pm, addr, size);
}

static void pm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    acpi_pm_write(&((struct piix4_pm *)opaque)->pm, addr, value, size);
}

static const struct bp_region_ops pm_ops = {
    .size = sizeof(pm_ops), .read = pm_read, .write = pm_write};

static uint64_t gpe_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return acpi_gpe_read(&((struct piix4_pm *)opaque)->pm, addr, BP_PIIX4_GPE0_LENGTH);
}

static void gpe_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    acpi_gpe_write(&((struct piix4_pm *)opaque)->pm, addr, (uint8_t)value, BP_PIIX4_GPE0_LENGTH);
}

static const struct bp_region_ops gpe_ops = {
    .size = sizeof(gpe_ops), .read = gpe_read, .write = gpe_write, .max_access = 1};

static uint64_t apm_read(void *opaque, uint64_t addr, unsigned size)
{
    struct piix4_pm *s = opaque;

    (void)size;
    return addr ? s->apm_status : s->apm_control;
}

static void apm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    const uint8_t *config = pci->config(bp_device_of_state(s));

    (void)size;
    if (addr) {
        s->apm_status = (uint8_t)value;
        return;
    }
    s->apm_control = (uint8_t)value;
    if (value == BP_PIIX4_ACPI_ENABLE || value == BP_PIIX4_ACPI_DISABLE)
        acpi_pm_enable_sci(&s->pm, value == BP_PIIX4_ACPI_ENABLE);
    if (s->smm && config[REG_DEVACTB + 3] & APMC_EN)
        bp_irq_pulse(s->smi);
}

static const struct bp_region_ops apm_ops = {
    .size = sizeof(apm_ops), .read = apm_read, .write = apm_write, .max_access = 1};

/* ---- configuration space ---- */
static void map_region(struct bp_device *dev, struct bp_region *region, bool *mapped, bool on,
                       uint16_t base)
{
    on = on && base != 0;
    if (on && *mapped)
        bp_region_set_address(region, base);
    else if (on)
        bp_region_add(bp_space_root(bp_device_io(dev)), region, base, 1);
    else if (*mapped)
        bp_region_remove(region);
    *mapped = on;
}

static void update_map(struct bp_device *dev)
{
    struct piix4_pm *s = bp_device_state(dev);
    const uint8_t *c = pci->config(dev);
    uint16_t pm = (uint16_t)((c[REG_PMBA] | c[REG_PMBA + 1] << 8) & 0xffc0);
    uint16_t smb = (uint16_t)((c[REG_SMBBA] | c[REG_SMBBA + 1] << 8) & 0xfff0);

    bp_memory_begin();
    map_region(dev, s->pm_region, &s->pm_mapped, c[REG_PMREGMISC] & 1, pm);
    map_region(dev, s->smb_region, &s->smb_mapped, c[REG_SMBHSTCFG] & 1, smb);
    bp_memory_commit();
}

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    update_map(dev);
}

static void set_bases(struct bp_device *dev)
{
    struct piix4_pm *s = bp_device_state(dev);
    uint8_t *c = pci->config(dev);

    c[REG_PMBA] = (uint8_t)((s->board_base & 0xc0) | 1);
    c[REG_PMBA + 1] = (uint8_t)(s->board_base >> 8);
    c[REG_PMREGMISC] = s->board_base != 0;
    c[REG_SMBBA] = (uint8_t)((s->smb_io_base & 0xf0) | 1);
    c[REG_SMBBA + 1] = (uint8_t)(s->smb_io_base >> 8);
    c[REG_SMBHSTCFG] = s->smb_io_base != 0;
    update_map(dev);
}

static void pm_enable(struct bp_device *dev, uint16_t pmbase)
{
    ((struct piix4_pm *)bp_device_state(dev))->board_base = pmbase & 0xffc0;
    set_bases(dev);
}

static void power_button(struct bp_device *dev)
{
    acpi_pm_power_button(&((struct piix4_pm *)bp_device_state(dev))->pm);
}

static void gpe(struct bp_device *dev, uint16_t bits)
{
    acpi_pm_gpe(&((struct piix4_pm *)bp_device_state(dev))->pm, bits);
}

static bool gpe_enabled(struct bp_device *dev, uint16_t bits)
{
    return acpi_pm_gpe_enabled(&((struct piix4_pm *)bp_device_state(dev))->pm, bits);
}

static void woken(struct bp_device *dev, enum bp_wakeup_cause cause)
{
    acpi_pm_woken(&((struct piix4_pm *)bp_device_state(dev))->pm, cause);
}

const struct bp_pc_pm_interface piix4_pm_table = {
    .size = sizeof(struct bp_pc_pm_interface), .enable = pm_enable,
    .power_button = power_button, .gpe = gpe, .gpe_enabled = gpe_enabled, .woken = woken};

/* ---- device ---- */
static void pm_reset(struct bp_device *dev)
{
    struct piix4_pm *s = bp_device_state(dev);

    /* Where nobody takes an SMI firmware finds it set up, and does not wait for one. */
    pci->config(dev)[REG_DEVACTB + 3] = s->smm ? 0 : APMC_EN;
    s->apm_control = s->apm_status = 0;
    piix4_smbus_reset(&s->smb);
    set_bases(dev);
    acpi_pm_reset(&s->pm);
}

static void describe_config(struct bp_device *dev)
{
    uint8_t *writable = pci->writable(dev);

    writable[REG_PMBA] = 0xc0;
    writable[REG_PMBA + 1] = 0xff;
    writable[REG_PMREGMISC] = 1;
    writable[REG_SMBBA] = 0xf0;
    writable[REG_SMBBA + 1] = 0xff;
    writable[REG_SMBHSTCFG] = 0x0f;
    for (unsigned reg = 0x44; reg < 0x80; reg++) /* device monitors: stored only */
        writable[reg] = 0xff;
}

static int pm_attach(struct bp_device *dev, struct bp_error *err)
{
    struct piix4_pm *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    struct bp_region *io = bp_space_root(bp_device_io(dev));

    if (s->smb_io_base > 0xfff0 || (s->smb_io_base & 15))
        return bp_fail(err, EINVAL, "property 'smb_io_base' of PIIX4_PM must be a multiple of 16 "
                       "up to 0xfff0");
    acpi_pm_init(&s->pm, dev);
    bp_device_add_irq_outputs(dev, "smi", 1);
    s->smi = bp_device_irq_output(dev, "smi", 0);
    s->pm_region = bp_region_new_io(owner, "piix4-pm", PM_SIZE, &pm_ops, s);
    s->smb_region = bp_region_new_io(owner, "piix4-smbus", PIIX4_SMBUS_PORTS, &piix4_smbus_ops, &s->smb);
    bp_region_add(io, bp_region_new_io(owner, "piix4-gpe0", BP_PIIX4_GPE0_LENGTH, &gpe_ops, s),
                  BP_PIIX4_GPE0, 0);
    bp_region_add(io, bp_region_new_io(owner, "apm", 2, &apm_ops, s), BP_PIIX4_SMI_PORT, 0);
    describe_config(dev);
    return piix4_smbus_init(&s->smb, dev, err);
}

static const struct bp_state_field pm_fields[] = {
    ACPI_PM_SAVE(struct piix4_pm, pm),
    BP_SAVE(UINT8, struct piix4_pm, apm_control),
    BP_SAVE(UINT8, struct piix4_pm, apm_status),
    {.name = "smb", .kind = BP_STATE_STRUCT, .offset = offsetof(struct piix4_pm, smb), .count = 1,
     .stride = sizeof(struct piix4_smbus), .table = &piix4_smbus_state},
    BP_SAVE_END,
};
static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    (void)err;
    update_map(bp_device_of_state(state));
    acpi_pm_update(&((struct piix4_pm *)state)->pm);
    return 0;
}
static const struct bp_state_table pm_table = {.version = 1, .oldest = 1, .fields = pm_fields,
                                               .after_load = after_load};

static const struct bp_field pm_props[] = {
    BP_PROP_RANGE("disable_s3", UINT8, struct piix4_pm, pm.disable_s3, "0", 0, 1,
                  "no suspend to RAM (1)"),
    BP_PROP_RANGE("disable_s4", UINT8, struct piix4_pm, pm.disable_s4, "0", 0, 1,
                  "no suspend to disk (1)"),
    BP_PROP("smm-enabled", BOOL, struct piix4_pm, smm, "off", "SMIs are raised; firmware sets them up"),
    BP_PROP("acpi-root-pci-hotplug", BOOL, struct piix4_pm, hotplug, "on",
            "cards on the root bus come and go by ACPI; off: at once, the guest is not told"),
    BP_PROP("acpi-pci-hotplug-with-bridge-support", BOOL, struct piix4_pm, bridge_hotplug, "on",
            "so do cards behind bridges on it"),
    BP_PROP("smb_io_base", UINT32, struct piix4_pm, smb_io_base, "0xb100",
            "first I/O port of the SMBus host, 0 for none"),
    BP_FIELDS_END,
};

static const struct bp_pci_field pm_registers[] = {
    {.offset = 0x06, .width = 2, .value = 0x0280, .w1c = 0xf900}, /* medium DEVSEL, fast back-to-back */
    BP_PCI_FIELDS_END};
static const struct bp_pci_info pm_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x7113, .revision = 3,
    .class_code = 0x0680, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .interrupt_pin = 1,
    .fields = pm_registers, .config_written = config_written};

BP_BOARD_DEVICE(piix4_pm_class, "PIIX4_PM", "pci", "82371AB power management",
                struct piix4_pm, pm_props, &pm_table, .category = "bridge", .bus_info = &pm_info,
                .attach = pm_attach, .reset = pm_reset);
