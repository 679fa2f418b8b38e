// SPDX-License-Identifier: LGPL-2.1-or-later
/* Shadow RAM of Intel's host bridges (pam.h). */
#include "pam.h"

#include <errno.h>

#define PAM_READ 1u
#define PAM_WRITE 2u

static uint64_t split_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pam_segment *seg = opaque;
    uint64_t v;

    bp_space_load(seg->pam->pci_space, seg->base + addr, size, &v);
    return v;
}

static void split_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pam_segment *seg = opaque;
    uint8_t *ram = bp_region_ram(seg->pam->ram);

    if (bp_region_is_readonly(seg->pam->ram))
        return;
    for (unsigned i = 0; i < size; i++, value >>= 8)
        ram[seg->base + addr + i] = (uint8_t)value;
    bp_region_mark_dirty(seg->pam->ram, seg->base + addr, size);
}

/* No PCI device answers: reads end with a master abort. */
static uint64_t abort_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)size;
    return UINT64_MAX;
}

static void abort_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)value;
    (void)size;
}

static const struct bp_region_ops abort_ops = {
    .size = sizeof(abort_ops), .read = abort_read, .write = abort_write, .max_access = 8};
static const struct bp_region_ops split_ops = {
    .size = sizeof(split_ops), .read = split_read, .write = split_write, .max_access = 8};

/* The nibble of the PAM registers for segment n: 0 is the BIOS area at 0xf0000. */
static unsigned attribute_of(const uint8_t *registers, unsigned n)
{
    if (n == 0)
        return registers[0] >> 4;
    n--;
    return n & 1 ? registers[1 + n / 2] >> 4 : registers[1 + n / 2] & 15;
}

void pam_update(struct pam *pam, const uint8_t *registers, bool open)
{
    if (!pam->system)
        return;
    bp_memory_begin();
    for (unsigned n = 0; n < PAM_SEGMENTS; n++) {
        struct pam_segment *seg = &pam->segment[n];
        unsigned attribute = attribute_of(registers, n);

        bp_region_set_enabled(seg->ram, attribute & PAM_READ);
        bp_region_set_readonly(seg->ram, !(attribute & PAM_WRITE));
        bp_region_set_enabled(seg->split, (attribute & 3) == PAM_WRITE);
    }
    bp_region_set_enabled(pam->smram, open);
    bp_memory_commit();
}

void pam_shadow(uint8_t *registers)
{
    registers[0] = 0x30;
    for (unsigned n = 1; n < PAM_REGISTERS; n++)
        registers[n] = 0x33;
}

int pam_set_memory(struct pam *pam, struct bp_owner *owner, struct bp_region *pci_root,
                   struct bp_space *pci_space, struct bp_region *system, struct bp_region *ram,
                   struct bp_error *err)
{
    if (pam->system || bp_region_size(ram) < 0x100000)
        return bp_fail(err, EINVAL, pam->system ? "the host bridge's memory was set already"
                                                : "the host bridge needs at least 1 MiB of memory");
    pam->pci_space = pci_space;
    pam->system = system;
    pam->ram = ram;
    bp_memory_begin();
    bp_region_add(system, pci_root, 0, -1);
    /* Main memory below must not shine through where no PCI device is. */
    bp_region_add(system, bp_region_new_io(owner, "pci-abort", 0x60000, &abort_ops, pam), 0xa0000, 1);
    bp_region_add(system, bp_region_new_alias(owner, "pci-low", pci_root, 0xa0000, 0x60000), 0xa0000, 1);
    pam->smram = bp_region_new_alias(owner, "smram", ram, 0xa0000, 0x20000);
    bp_region_add(system, pam->smram, 0xa0000, 2);
    for (unsigned n = 0; n < PAM_SEGMENTS; n++) {
        struct pam_segment *seg = &pam->segment[n];

        seg->pam = pam;
        seg->base = n == 0 ? 0xf0000 : 0xc0000 + (n - 1) * 0x4000;
        seg->size = n == 0 ? 0x10000 : 0x4000;
        seg->ram = bp_region_new_alias(owner, "shadow-ram", ram, seg->base, seg->size);
        bp_region_add(system, seg->ram, seg->base, 2);
        seg->split = bp_region_new_io(owner, "shadow-write", seg->size, &split_ops, seg);
        bp_region_add(system, seg->split, seg->base, 2);
    }
    bp_memory_commit();
    return 0;
}
