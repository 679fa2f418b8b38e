/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine that starts a kernel without firmware, as firmware would have left it: local APIC in
 * virtual wire mode (MultiProcessor Specification 1.4, 3.6.2.2), memory types (Intel SDM volume 3,
 * 12.11), interrupt routing of the chipset (82371SB registers 0x4e, 0x60-0x63), the 8259 pair, the
 * BIOS data area, and at F000:FFF0 and FFFFFFF0 an entry that resets the machine.
 *
 * Not here: BARs (kernels place them), option ROMs, BIOS services (interrupt vectors are 0; see
 * firmware_teletype() for the one exception).
 */
#include "chipset.h"
#include "low-memory.h"
#include "pc.h"

#include <bp/bus/pci.h>
#include <string.h>

#define APIC_X2APIC_MODE 0xc00u /* of IA32_APIC_BASE: on, as x2APIC */
#define MTRR_UC 0x00u
#define MTRR_WP 0x05u
#define MTRR_WB 0x06u
#define MTRR_ON 0xc00u     /* of the default type: MTRRs, and the fixed ranges */
#define MTRR_VALID 0x800u  /* of a mask */


/* Where PIRQA..D lead: as the DSDT's links have it before a kernel sets them. */
const uint8_t pc_pirq[4] = {10, 10, 11, 11};

/* ---- processors ---- */

static uint64_t repeat(uint8_t type)
{
    return type * 0x0101010101010101ull;
}

/* size: a power of two that base is a multiple of. */
static void set_uncached(struct bp_x86_cpu *x, unsigned n, uint32_t base, uint32_t size)
{
    x->mtrr_base[n] = base | MTRR_UC;
    x->mtrr_mask[n] = (~((uint64_t)size - 1) & ((1ull << x->phys_bits) - 1)) | MTRR_VALID;
}

/* Write-back but for the hole where devices are; the same on every processor. */
static void set_memory_types(const struct pc *pc, struct bp_x86_cpu *x)
{
    if (!(x->features[BP_X86_FW_1_EDX] & 1u << 12))
        return;
    for (unsigned i = 0; i < BP_COUNT(x->mtrr_fixed); i++)
        x->mtrr_fixed[i] = repeat(i < 2 ? MTRR_WB : i == 2 ? MTRR_UC : MTRR_WP);
    if (pc->chipset->ecam) {
        set_uncached(x, 0, 0xc0000000u, 1u << 30);
        set_uncached(x, 1, (uint32_t)pc->chipset->ecam, 1u << 28);
    } else if (pc->low_size > pc->chipset->low_split) {
        set_uncached(x, 0, (uint32_t)pc->chipset->low_max, 1u << 29);
    } else {
        set_uncached(x, 0, (uint32_t)pc->chipset->low_split, 1u << 30);
    }
    x->mtrr_def_type = MTRR_ON | MTRR_WB;
}

/* Where a processor has an id beyond xAPIC's, all are handed over as x2APICs (Intel's x2APIC specification, 2.4.4):
 * systems ignore such processors otherwise. */
static void set_apic_mode(const struct pc *pc, struct bp_x86_cpu *x)
{
    if (pc_last_apic_id(pc->machine) >= PC_WIDE_IDS && x->apic)
        x->apic->set_base(x->apic_opaque, x->apic->get_base(x->apic_opaque) | APIC_X2APIC_MODE);
}

/* ---- chipset ---- */

static void out(const struct pc *pc, uint16_t port, uint8_t value)
{
    bp_space_store(bp_machine_io(pc->machine), port, 1, value);
}

/* Vectors where the BIOS has them; everything masked but the cascade, since no handler is there. */
static void set_up_8259(const struct pc *pc)
{
    static const struct {
        uint8_t port, value;
    } words[] = {{0x20, 0x11}, {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11}, {0xa1, 0x70},
                 {0xa1, 0x02}, {0xa1, 0x01}, {0x21, 0xfb}, {0xa1, 0xff}};
    uint32_t level = pc->chipset->no_pci ? 0 : 1u << PC_SCI;

    for (size_t i = 0; i < BP_COUNT(words); i++)
        out(pc, words[i].port, words[i].value);
    for (unsigned i = 0; i < 4 && !pc->chipset->no_pci; i++)
        level |= 1u << pc_pirq[i];
    out(pc, 0x4d0, (uint8_t)level);
    out(pc, 0x4d1, (uint8_t)(level >> 8));
}

/* Both IDE channels answer at their ports, with slow timing. */
static void open_ide(const struct pc *pc, const struct bp_pci_interface *pci)
{
    struct bp_bus *bus = pc->pci_bus;

    if ((pci->config_read(bus, 0, PC_IDE_DEVFN, 0x08, 4) >> 16) != 0x0101)
        return;
    pci->config_write(bus, 0, PC_IDE_DEVFN, 0x40, 0x80008000, 4);
    pci->config_write(bus, 0, PC_IDE_DEVFN, 0x04, 0x0001, 2);
}

/* The second controller lets the first one through. */
static void set_up_dma(const struct pc *pc)
{
    out(pc, 0xd6, 0xc0);
    out(pc, 0xd4, 0x00);
}

static void route_interrupts(struct pc *pc, const struct bp_pci_interface *pci)
{
    struct bp_bus *bus = pc->pci_bus;

    for (unsigned n = 0; n < pc->chipset->pirqs; n++)
        pci->config_write(bus, 0, pc->chipset->router_devfn, pc_pirq_register(n), pc_pirq[n & 3], 1);
    if (pc->chipset->xbcs)
        pci->config_write(bus, 0, pc->chipset->router_devfn, 0x4e, pc->chipset->xbcs, 1);
    if (pc->chipset->ecam)
        pc->host_if->set_ecam(pc->host, pc->chipset->ecam);
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        uint32_t pin = pci->config_read(bus, 0, devfn, 0x3d, 1);

        if (pin < 1 || pin > 4)
            continue;
        pci->config_write(bus, 0, devfn, 0x3c, pc_isa_irq_of(pc, devfn >> 3, pin - 1), 1);
    }
}

/* ---- memory ---- */

static void poke(const struct pc *pc, uint64_t address, uint64_t value, unsigned size)
{
    bp_space_store(bp_machine_memory(pc->machine), address, size, value);
}

/* What kernels look for in the BIOS data area: serial ports, equipment, how much conventional
 * memory. */
static void fill_bda(const struct pc *pc)
{
    unsigned ports = 0;

    for (unsigned i = 0; i < 2; i++) {
        if (pc->serial[i])
            poke(pc, LOW_BDA + 2 * ports++, i ? 0x2f8 : 0x3f8, 2);
    }
    poke(pc, LOW_BDA + 0x0e, LOW_EBDA >> 4, 2);
    poke(pc, LOW_BDA + 0x10, 2u | (pc->i8042 ? 4u : 0) | ports << 9, 2); /* coprocessor, mouse, serial ports */
    poke(pc, LOW_BDA + 0x13, LOW_EBDA >> 10, 2);
    poke(pc, LOW_EBDA, 1, 1); /* its size in KiB */
}

/* 115200 baud, 8N1, as a firmware whose console is the serial port leaves it. */
static void set_up_serial(const struct pc *pc)
{
    static const uint8_t set[][2] = {{3, 0x83}, {0, 1}, {1, 0}, {3, 0x03}};

    for (unsigned i = 0; i < 2; i++) {
        for (size_t n = 0; pc->serial[i] && n < BP_COUNT(set); n++)
            out(pc, (uint16_t)((i ? 0x2f8 : 0x3f8) + set[n][0]), set[n][1]);
    }
}

void firmware_teletype(const struct pc *pc)
{
    static const uint8_t code[] = {
        0x80, 0xfc, 0x0e, /* cmp ah, 0x0e */
        0x75, 0x14,       /* jne out */
        0x50, 0x52,       /* push ax; push dx */
        0x88, 0xc4,       /* mov ah, al */
        0xba, 0xfd, 0x03, /* mov dx, 0x3fd: line status */
        0xec, 0xa8, 0x20, /* 1: in al, dx; test al, 0x20 */
        0x74, 0xfb,       /* jz 1b */
        0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
        0x88, 0xe0, 0xee, /* mov al, ah; out dx, al */
        0x5a, 0x58,       /* pop dx; pop ax */
        0xcf,             /* out: iret */
    };

    bp_space_write(bp_machine_memory(pc->machine), LOW_TELETYPE, code, sizeof(code));
    poke(pc, 0x10 * 4, LOW_ROM_AREA << 12 | (LOW_TELETYPE - LOW_ROM_AREA), 4);
}

void firmware_entry(uint8_t *area)
{
    static const uint8_t reset[] = {
        0xfa,             /* cli */
        0xba, 0xf9, 0x0c, /* mov dx, 0xcf9 */
        0xb0, 0x02, 0xee, /* mov al, 2; out dx, al */
        0xb0, 0x06, 0xee, /* mov al, 6; out dx, al */
        0xf4, 0xeb, 0xfd, /* 1: hlt; jmp 1b */
    };
    static const uint8_t top[16] = {
        0xea, 0x5b, 0xe0, 0x00, 0xf0, /* jmp 0xf000:0xe05b */
        '0', '1', '/', '0', '1', '/', '9', '6', 0, /* date of the firmware's interface */
        0xfc, /* model: AT */
        0,
    };

    memcpy(area + LOW_ENTRY - LOW_ROM_AREA, reset, sizeof(reset));
    memcpy(area + 0xfff0, top, sizeof(top));
}

/* All but memory. */
void firmware_chipset(struct pc *pc, const struct bp_pci_interface *pci)
{
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++) {
        struct bp_cpu *cpu = bp_machine_cpu(pc->machine, i);

        if (!cpu)
            continue;
        set_memory_types(pc, bp_cpu_state(cpu));
        set_apic_mode(pc, bp_cpu_state(cpu));
    }
    set_up_8259(pc);
    if (pc->pci_bus) {
        set_up_dma(pc);
        open_ide(pc, pci);
        route_interrupts(pc, pci);
    }
    set_up_serial(pc);
    pc->text_mode = text_mode_set_up(pc);
}

void firmware_leave(struct pc *pc, const struct bp_pci_interface *pci)
{
    uint8_t area[PC_ROM_SIZE] = {0};

    firmware_chipset(pc, pci);
    fill_bda(pc);
    firmware_entry(area);
    bp_space_write(bp_machine_memory(pc->machine), LOW_ROM_AREA, area, sizeof(area));
    mp_table_write(pc);
    if (pc->pci_bus)
        pir_table_write(pc);
}
