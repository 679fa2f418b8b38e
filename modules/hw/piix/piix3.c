// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Intel 82371SB (PIIX3 data sheet, order 290550), function 0: bridge to the ISA bus, routing of
 * PIRQA..D to ISA interrupts (registers 0x60..0x63), reset control at 0xcf9, coprocessor errors:
 * while bit 5 of XBCS (0x4e) is set, input "ferr" raises ISA interrupt 13 until port 0xf0 is
 * written, which pulses output "ignne". Left out: the distributed registers of the other
 * X-bus chip selects, which only store.
 */
#define BP_SHARED
#include "piix.h"


#define REG_PIRQ 0x60u
#define PIRQ_OFF 0x80u
/* ISA interrupts that a PIRQ may be routed to: 3-7, 9-12, 14, 15. */
#define PIRQ_ALLOWED 0xdef8u

#define REG_XBCS 0x4eu
#define XBCS_COPROCESSOR 0x20u


struct piix3 {
    struct bp_irq *isa_irq[16];
    uint8_t pirq_level[4];
    struct south_ports ports;
};

static void update_irqs(struct bp_device *dev)
{
    struct piix3 *s = bp_device_state(dev);
    const uint8_t *config = pci->config(dev);
    uint32_t levels = 0;

    for (unsigned n = 0; n < 4; n++) {
        uint8_t route = config[REG_PIRQ + n];

        if (s->pirq_level[n] && !(route & PIRQ_OFF))
            levels |= 1u << (route & 15);
    }
    levels &= PIRQ_ALLOWED;
    if (s->ports.coprocessor_error)
        levels |= 1u << COPROCESSOR_IRQ;
    for (unsigned n = 0; n < 16; n++)
        bp_irq_set(s->isa_irq[n], levels >> n & 1);
}

static void pirq_changed(struct bp_device *dev, unsigned n, int level)
{
    struct piix3 *s = bp_device_state(dev);

    s->pirq_level[n] = level != 0;
    update_irqs(dev);
}

static void ferr_changed(struct bp_device *dev, unsigned n, int level)
{
    struct piix3 *s = bp_device_state(dev);

    (void)n;
    if (!level || !(pci->config(dev)[REG_XBCS] & XBCS_COPROCESSOR))
        return;
    south_ports_error(&s->ports);
}

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    if (offset < REG_PIRQ + 4 && offset + size > REG_PIRQ)
        update_irqs(dev);
}

static void piix3_reset(struct bp_device *dev)
{
    struct piix3 *s = bp_device_state(dev);
    uint8_t *config = pci->config(dev);

    for (unsigned n = 0; n < 4; n++)
        config[REG_PIRQ + n] = PIRQ_OFF;
    config[0x4c] = 0x4d; /* ISA recovery, X-bus chip select, top of memory: values of the sheet */
    config[0x4e] = 0x03;
    config[0x69] = 0x02;
    config[0x82] = 0; /* deterministic latency control */
    south_ports_reset(&s->ports);
    update_irqs(dev);
}

static int piix3_attach(struct bp_device *dev, struct bp_error *err)
{
    struct piix3 *s = bp_device_state(dev);
    struct bp_device *host = bp_bus_bridge(bp_device_bus(dev));
    uint8_t *writable = pci->writable(dev);
    struct bp_bus *bus;
    int r;

    if (bp_device_class(host) != &i440fx_pcihost_class)
        return bp_fail(err, EINVAL, "PIIX3 sits on the bus of an i440FX-pcihost only");
    r = isa->new_bus(dev, bp_space_root(bp_device_io(dev)), bp_space_root(bp_device_memory(dev)), NULL,
                     &bus, err);
    for (unsigned n = 0; r == 0 && n < 16; n++)
        r = isa->irq(dev, n, &s->isa_irq[n], err);
    if (r < 0)
        return r;
    for (unsigned n = 0; n < 4; n++)
        writable[REG_PIRQ + n] = 0x8f;
    writable[0x4c] = 0x7f;
    writable[0x4e] = writable[0x4f] = 0xff;
    writable[0x69] = 0xfe;
    writable[0x82] = 0x0f;
    bp_device_add_irq_inputs(dev, "pirq", 4, pirq_changed);
    for (unsigned n = 0; n < 4; n++)
        bp_irq_connect(bp_device_irq_output(host, "pirq", n), bp_device_irq_input(dev, "pirq", n));
    bp_device_add_irq_inputs(dev, "ferr", 1, ferr_changed);
    south_ports_init(&s->ports, dev, update_irqs);
    i440fx_forward_cf9(host, &south_reset_ops, &s->ports);
    return 0;
}

static void piix3_detach(struct bp_device *dev)
{
    i440fx_forward_cf9(bp_bus_bridge(bp_device_bus(dev)), NULL, NULL);
}

static const struct bp_state_field piix3_fields[] = {
    BP_SAVE_BUFFER(struct piix3, pirq_level),
    SOUTH_PORTS_SAVE(struct piix3, ports, reset_control, 0),
    SOUTH_PORTS_SAVE(struct piix3, ports, coprocessor_error, 2),
    BP_SAVE_END,
};
static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    (void)err;
    update_irqs(bp_device_of_state(state));
    return 0;
}
static const struct bp_state_table piix3_table = {.version = 2, .oldest = 1,
                                                  .fields = piix3_fields, .after_load = after_load};

/* Registers that only store: motherboard interrupt and DMA, chip select, SMI control and fast off. */
static const struct bp_pci_field piix3_registers[] = {
    {.offset = 0x06, .width = 2, .value = 0x0200, .w1c = 0xf900}, /* medium DEVSEL */
    {.offset = 0x70, .width = 1, .value = 0x80, .rw = 0xef},
    {.offset = 0x76, .width = 2, .value = 0x0c0c, .rw = 0x8f8f},
    {.offset = 0x78, .width = 2, .value = 0x0002, .rw = 0xffff},
    {.offset = 0xa0, .width = 1, .value = 0x08, .rw = 0x1f},
    {.offset = 0xa8, .width = 1, .value = 0x0f, .rw = 0xff},
    BP_PCI_FIELDS_END};
static const struct bp_pci_info piix3_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x7000, .class_code = 0x0601,
    .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .fields = piix3_registers, .config_written = config_written};

BP_BOARD_DEVICE(piix3_class, "PIIX3", "pci", "82371SB PCI to ISA bridge", struct piix3, NULL,
                &piix3_table, .category = "bridge", .bus_info = &piix3_info,
                .attach = piix3_attach, .detach = piix3_detach, .reset = piix3_reset);
