/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 440FX chipset and the PCI bus on it (data sheets 290549, 290550, 290562; PCI 3.0), on the
 * fake host, by configuration mechanism 1.
 */
#include <glib.h>

#include <bp/chip/i440fx.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/chip/piix.h>
#include <bp/test.h>

#include "machine.h"
#include "registry.h"

#define PM 0xb000

static struct bp_test_host *host;
static struct bp_device *bridge, *piix3, *pm;
static struct bp_region *ram;
static const struct bp_pc_host_interface *i440fx;
static const struct bp_pc_pm_interface *piix4;
static const struct bp_pci_interface *pci;
static int isa_levels[16];

static void select_register(unsigned devfn, unsigned offset)
{
    bp_test_out(host, 0xcf8, 0x80000000u | devfn << 8 | (offset & 0xfc), 4);
}

static uint32_t config(unsigned devfn, unsigned offset, unsigned size)
{
    select_register(devfn, offset);
    return (uint32_t)bp_test_in(host, (uint16_t)(0xcfc + (offset & 3)), size);
}

static void set_config(unsigned devfn, unsigned offset, uint32_t value, unsigned size)
{
    select_register(devfn, offset);
    bp_test_out(host, (uint16_t)(0xcfc + (offset & 3)), value, size);
}

static void isa_line(void *opaque, unsigned n, int level)
{
    isa_levels[n] = level;
}

static void functions_identify_themselves(void)
{
    g_assert_cmphex(config(0x00, 0, 4), ==, 0x12378086);
    g_assert_cmphex(config(0x08, 0, 4), ==, 0x70008086);
    g_assert_cmphex(config(0x0b, 0, 4), ==, 0x71138086);
    g_assert_cmphex(config(0x00, 0x0a, 2), ==, 0x0600);
    g_assert_cmphex(config(0x08, 0x0a, 2), ==, 0x0601);
    g_assert_cmphex(config(0x08, 0x0e, 1), ==, 0x80);
    g_assert_cmphex(config(0x10, 0, 4), ==, UINT32_MAX);
    bp_test_out(host, 0xcf8, 0, 4);
    g_assert_cmphex(bp_test_in(host, 0xcfc, 4), ==, UINT32_MAX); /* not enabled */
    bp_test_out(host, 0xcf8, 0xffffffff, 4);
    g_assert_cmphex(bp_test_in(host, 0xcf8, 4), ==, 0x80fffffc);
}

static void identity_cannot_be_written(void)
{
    set_config(0x08, 0, 0, 4);
    set_config(0x08, 8, 0, 4);
    g_assert_cmphex(config(0x08, 0, 4), ==, 0x70008086);
    g_assert_cmphex(config(0x08, 8, 4) >> 16, ==, 0x0601);
}

static void shadow_registers_choose_ram_or_pci(void)
{
    uint8_t *bytes = bp_region_ram(ram);

    bp_test_reset(host);
    bytes[0xf0000] = 0x11;
    bytes[0xc4000] = 0x22;
    g_assert_cmphex(bp_test_read(host, 0xf0000, 1), ==, 0xff); /* the PCI bus, where nothing is */
    set_config(0, 0x59, 0x10, 1);
    g_assert_cmphex(bp_test_read(host, 0xf0000, 1), ==, 0x11);
    bp_test_write(host, 0xf0000, 0x33, 1);
    g_assert_cmphex(bp_test_read(host, 0xf0000, 1), ==, 0x11); /* read-only */
    set_config(0, 0x59, 0x20, 1);
    bp_test_write(host, 0xf0000, 0x33, 1); /* write-only */
    g_assert_cmphex(bp_test_read(host, 0xf0000, 1), ==, 0xff);
    g_assert_cmphex(bytes[0xf0000], ==, 0x33);
    set_config(0, 0x5a, 0x30, 1);
    bp_test_write(host, 0xc4000, 0x44, 1);
    g_assert_cmphex(bp_test_read(host, 0xc4000, 1), ==, 0x44);
    g_assert_cmphex(bp_test_read(host, 0xc0000, 1), ==, 0xff);
    i440fx->shadow(bridge);
    g_assert_cmphex(bp_test_read(host, 0xf0000, 1), ==, 0x33);
    bp_test_write(host, 0xec000, 0x55, 1);
    g_assert_cmphex(bp_test_read(host, 0xec000, 1), ==, 0x55);
    g_assert_cmphex(bp_test_read(host, 0xa0000, 1), ==, 0xff);
    bytes[0xa0000] = 0x66;
    set_config(0, 0x72, 0x4a, 1); /* D_OPEN */
    g_assert_cmphex(bp_test_read(host, 0xa0000, 1), ==, 0x66);
    bp_test_reset(host);
    g_assert_cmphex(bp_test_read(host, 0xec000, 1), ==, 0xff);
}

static void pirqs_are_routed_and_shared(void)
{
    struct bp_irq *a = bp_device_irq_output(bridge, "pirq", 0);
    struct bp_irq *b = bp_device_irq_output(bridge, "pirq", 1);

    bp_test_reset(host);
    bp_irq_set(a, 1);
    g_assert_cmpint(isa_levels[11], ==, 0); /* not routed after a reset */
    set_config(0x08, 0x60, 0x0b, 1);
    g_assert_cmpint(isa_levels[11], ==, 1);
    set_config(0x08, 0x61, 0x0b, 1);
    bp_irq_set(b, 1);
    bp_irq_set(a, 0);
    g_assert_cmpint(isa_levels[11], ==, 1);
    bp_irq_set(b, 0);
    g_assert_cmpint(isa_levels[11], ==, 0);
    bp_irq_set(a, 1);
    set_config(0x08, 0x60, 0x0a, 1);
    g_assert_cmpint(isa_levels[10], ==, 1);
    set_config(0x08, 0x60, 0x80, 1);
    g_assert_cmpint(isa_levels[10], ==, 0);
    bp_irq_set(a, 0);
}

static void function_interrupts_follow_pin_and_disable_bit(void)
{
    /* Slot 1, INTA: PIRQ (0 + 1 - 1) & 3 = A. */
    bp_test_reset(host);
    set_config(0x08, 0x60, 0x0a, 1);
    pci->set_irq(pm, 1);
    g_assert_cmpint(isa_levels[10], ==, 1);
    g_assert_cmphex(config(0x0b, 6, 2) & 8, ==, 8);
    set_config(0x0b, 4, 0x400, 2);
    g_assert_cmpint(isa_levels[10], ==, 0);
    g_assert_cmphex(config(0x0b, 6, 2) & 8, ==, 8);
    set_config(0x0b, 4, 0, 2);
    g_assert_cmpint(isa_levels[10], ==, 1);
    pci->set_irq(pm, 0);
    g_assert_cmpint(isa_levels[10], ==, 0);
}

static int sci(void)
{
    return bp_irq_level(bp_device_irq_output(pm, "sci", 0));
}

static void acpi_mode_is_switched_by_the_smi_port(void)
{
    bp_test_reset(host);
    g_assert_cmphex(bp_test_in(host, PM + 4, 2), ==, 0);
    bp_test_out(host, 0xb2, 0xf1, 1);
    g_assert_cmphex(bp_test_in(host, PM + 4, 2), ==, 1);
    bp_test_out(host, 0xb2, 0xf0, 1);
    g_assert_cmphex(bp_test_in(host, PM + 4, 2), ==, 0);
    bp_test_out(host, PM + 4, 1, 2); /* PMCNTRL bit 0 is read and written; systems set it when they wake */
    g_assert_cmphex(bp_test_in(host, PM + 4, 2), ==, 1);
}

static void power_button_raises_the_sci(void)
{
    bp_test_reset(host);
    bp_test_out(host, 0xb2, 0xf1, 1);
    bp_test_out(host, PM + 2, 0x100, 2);
    g_assert_cmpint(sci(), ==, 0);
    piix4->power_button(pm);
    g_assert_cmpint(sci(), ==, 1);
    g_assert_cmphex(bp_test_in(host, PM, 2) & 0x100, ==, 0x100);
    bp_test_out(host, PM, 0x100, 2);
    g_assert_cmpint(sci(), ==, 0);
    g_assert_cmphex(bp_test_in(host, PM, 4), ==, 0x01000000);
}

static void gpe_raises_the_sci(void)
{
    bp_test_reset(host);
    bp_test_out(host, 0xb2, 0xf1, 1);
    bp_test_out(host, 0xafe2, 0x02, 1);
    piix4->gpe(pm, 0x0002);
    g_assert_cmpint(sci(), ==, 1);
    g_assert_cmphex(bp_test_in(host, 0xafe0, 4), ==, 0x00020002);
    bp_test_out(host, 0xafe0, 0x02, 1);
    g_assert_cmpint(sci(), ==, 0);
}

static void pm_timer_counts_24_bits_and_overflows(void)
{
    uint32_t first, second;

    bp_test_reset(host);
    bp_test_out(host, 0xb2, 0xf1, 1);
    first = (uint32_t)bp_test_in(host, PM + 8, 4);
    bp_test_step(host, 1000000000);
    second = (uint32_t)bp_test_in(host, PM + 8, 4);
    g_assert_cmpuint((second - first) & 0xffffff, >=, 3579545 - 1);
    g_assert_cmpuint((second - first) & 0xffffff, <=, 3579545 + 1);
    g_assert_cmpuint(second >> 24, ==, 0);
    bp_test_out(host, PM, 1, 2);
    bp_test_out(host, PM + 2, 1, 2);
    bp_test_step(host, 2350000000); /* bit 23 changes each 2.34 s */
    g_assert_cmpint(sci(), ==, 1);
    bp_test_out(host, PM, 1, 2);
    g_assert_cmpint(sci(), ==, 0);
}

static void soft_off_asks_for_a_shutdown(void)
{
    int status = -1;

    bp_test_reset(host);
    bp_test_out(host, PM + 4, BP_PIIX4_SLP_S5 << 10, 2);
    g_assert_cmphex(bp_test_in(host, PM + 4, 2) >> 10 & 7, ==, BP_PIIX4_SLP_S5);
    bp_test_out(host, PM + 4, 5 << 10, 2);
    g_assert_cmphex(bp_test_in(host, PM + 4, 2) >> 10 & 7, ==, 5);
    bp_test_out(host, PM + 4, BP_PIIX4_SLP_S5 << 10, 2);
    g_assert_false(bpc_machine_turn(&status));
    bp_test_out(host, PM + 4, 0x2000 | BP_PIIX4_SLP_S5 << 10, 2);
    g_assert_true(bpc_machine_turn(&status));
    g_assert_cmpint(status, ==, 0);
}

static void pm_ports_move_with_their_base(void)
{
    bp_test_reset(host);
    set_config(0x0b, 0x40, 0x6001, 4);
    bp_test_out(host, 0x6002, 0x100, 2);
    g_assert_cmphex(bp_test_in(host, 0x6002, 2), ==, 0x100);
    g_assert_cmphex(bp_test_in(host, PM + 2, 2), ==, 0xffff);
    set_config(0x0b, 0x80, 0, 1);
    g_assert_cmphex(bp_test_in(host, 0x6002, 2), ==, 0xffff);
    bp_test_reset(host);
    g_assert_cmphex(bp_test_in(host, PM + 2, 2), ==, 0); /* where the board put it */
}

static void smbus_says_that_nobody_answers(void)
{
    bp_test_reset(host);
    bp_test_out(host, 0xb104, 0xa1, 1);
    bp_test_out(host, 0xb102, 0x48, 1);
    g_assert_cmphex(bp_test_in(host, 0xb100, 1), ==, 0x04);
    bp_test_out(host, 0xb100, 0xff, 1);
    g_assert_cmphex(bp_test_in(host, 0xb100, 1), ==, 0x00);
}

static void reset_control_needs_a_rising_bit(void)
{
    bp_test_reset(host);
    bp_test_out(host, 0xcf9, 0x02, 1);
    g_assert_cmphex(bp_test_in(host, 0xcf9, 1), ==, 0x02);
    select_register(0x08, 0);
    g_assert_cmphex(bp_test_in(host, 0xcfc, 4), ==, 0x70008086); /* the address was not touched */
}

static unsigned ignored;

static void count_ignne(void *opaque, unsigned n, int level)
{
    ignored += level != 0;
}

/* FERR# raises ISA interrupt 13 when bit 5 of XBCS says so; port 0xf0 takes it back and asserts IGNNE#. */
static void coprocessor_error_is_irq_13_until_port_f0(void)
{
    struct bp_irq *ferr = bp_device_irq_input(piix3, "ferr", 0);

    bp_test_reset(host);
    bp_irq_connect(bp_device_irq_output(piix3, "ignne", 0),
                   bp_irq_new(bp_device_owner(piix3), count_ignne, NULL, 0));
    bp_irq_pulse(ferr);
    g_assert_cmpint(isa_levels[13], ==, 0); /* not enabled */
    set_config(0x08, 0x4e, 0x23, 1);
    bp_irq_pulse(ferr);
    g_assert_cmpint(isa_levels[13], ==, 1);
    g_assert_cmphex(bp_test_in(host, 0xf0, 1), ==, 0xff);
    g_assert_cmpint(isa_levels[13], ==, 1);
    bp_test_out(host, 0xf0, 0, 1);
    g_assert_cmpint(isa_levels[13], ==, 0);
    g_assert_cmpuint(ignored, ==, 1);
    bp_test_out(host, 0xf0, 0, 1); /* no error: nothing to ignore */
    g_assert_cmpuint(ignored, ==, 1);
    bp_irq_pulse(ferr);
    bp_test_reset(host);
    g_assert_cmpint(isa_levels[13], ==, 0);
}

static void taken_place_is_refused_by_name(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;
    static const char *const bad[] = {"20.0", "1.8", "x", "1.", "-2", ""};

    g_assert_cmpint(bp_device_new(bp_test_machine(host), "PIIX4_PM", "again", &dev, &err), ==, 0);
    g_assert_cmpint(bp_device_set(dev, "addr", "1.3", &err), ==, 0);
    g_assert_cmpint(bp_device_attach(dev, bp_bus_find(bp_test_machine(host), "pci.0"), &err), <, 0);
    g_assert_cmpstr(err.message, ==,
                    "PCI: slot 1 function 3 not available for PIIX4_PM, in use by PIIX4_PM");
    for (size_t i = 0; i < BP_COUNT(bad); i++) {
        g_assert_cmpint(bp_device_new(bp_test_machine(host), "PIIX4_PM", NULL, &dev, &err), ==, 0);
        g_assert_cmpint(bp_device_set(dev, "addr", bad[i], &err), ==, 0);
        g_assert_cmpint(bp_device_attach(dev, bp_bus_find(bp_test_machine(host), "pci.0"), &err), <, 0);
    }
}

static int plug(const char *type, const char *addr, struct bp_device **ret_dev,
                struct bp_error *err)
{
    int rc = bp_device_new(bp_test_machine(host), type, NULL, ret_dev, err);

    if (rc == 0)
        rc = bp_device_set(*ret_dev, "addr", addr, err);
    if (rc == 0)
        rc = bp_device_set(*ret_dev, "multifunction", "on", err);
    return rc < 0 ? rc : bp_device_attach(*ret_dev, bp_bus_find(bp_test_machine(host), "pci.0"), err);
}

static int make_chipset(struct bp_error *err)
{
    const struct bp_isa_interface *isa;
    struct bp_irq *lines[16];
    int rc = bpc_require_interface("i440fx", 1, (const void **)&i440fx, err);

    if (rc == 0)
        rc = bpc_require_interface("piix4-pm", 1, (const void **)&piix4, err);
    if (rc == 0)
        rc = bpc_require_interface("pci", 1, (const void **)&pci, err);
    if (rc == 0)
        rc = bpc_require_interface("isa", 1, (const void **)&isa, err);
    if (rc == 0)
        rc = bp_region_new_ram(NULL, "chipset.ram", 2 << 20, &ram, err);
    if (rc == 0)
        rc = bp_test_device(host, "i440FX-pcihost", NULL, &bridge, err);
    if (rc == 0)
        rc = i440fx->set_memory(bridge, bp_space_root(bp_device_memory(bridge)), ram, err);
    if (rc == 0)
        rc = plug("PIIX3", "01.0", &piix3, err);
    if (rc == 0)
        rc = plug("PIIX4_PM", "01.3", &pm, err);
    if (rc < 0)
        return rc;
    for (unsigned n = 0; n < 16; n++)
        lines[n] = bp_irq_new(bp_device_owner(bridge), isa_line, NULL, n);
    isa->set_irqs(bp_bus_find(bp_test_machine(host), "isa.0"), lines);
    piix4->enable(pm, PM);
    return 0;
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 || make_chipset(&err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/piix/" #name, name)
    CASE(functions_identify_themselves);
    CASE(identity_cannot_be_written);
    CASE(shadow_registers_choose_ram_or_pci);
    CASE(pirqs_are_routed_and_shared);
    CASE(function_interrupts_follow_pin_and_disable_bit);
    CASE(acpi_mode_is_switched_by_the_smi_port);
    CASE(power_button_raises_the_sci);
    CASE(gpe_raises_the_sci);
    CASE(pm_timer_counts_24_bits_and_overflows);
    CASE(soft_off_asks_for_a_shutdown);
    CASE(pm_ports_move_with_their_base);
    CASE(smbus_says_that_nobody_answers);
    CASE(reset_control_needs_a_rising_bit);
    CASE(coprocessor_error_is_irq_13_until_port_f0);
    CASE(taken_place_is_refused_by_name);
    rc = g_test_run();
    bp_test_host_free(host);
    bp_region_free(ram);
    return rc;
}
