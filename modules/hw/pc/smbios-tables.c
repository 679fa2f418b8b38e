/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SMBIOS tables of a PC: to firmware by fw_cfg, or into the firmware's area where none runs. */
#include "boot-items.h"
#include "low-memory.h"
#include "pc.h"

#include <bp/chip/fw-cfg.h>
#include <bp/chip/smbios.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>


/* CPUID leaf 1 of the first processor: EAX, EDX << 32. */
static uint64_t processor_id(const struct pc *pc)
{
    const struct bp_x86_cpu *x = bp_cpu_state(bp_machine_cpu(pc->machine, 0));

    for (uint32_t i = 0; i < x->cpuid_count; i++) {
        if (x->cpuid[i].leaf == 1)
            return x->cpuid[i].eax | (uint64_t)x->cpuid[i].edx << 32;
    }
    return 0;
}

/* The manufacturer is what guests look for to know on what they run. */
static void fill(const struct pc *pc, struct bp_smbios_facts *facts, struct bp_smbios_bmc bmcs[BP_SMBIOS_BMCS])
{
    const struct bp_smp *smp = bp_machine_smp(pc->machine);
    uint32_t cores = smp->dies * smp->clusters * smp->modules * smp->cores;

    *facts = (struct bp_smbios_facts){
        .size = sizeof(*facts), .manufacturer = "QEMU", .product = pc->product, .version = pc->version,
        .uuid = bp_machine_uuid(pc->machine), .sockets = smp->sockets, .cores = cores,
        .threads = cores * smp->threads, .processor_id = processor_id(pc), .ram_low = pc->low_size,
        .ram_high = pc->high_size, .entry_point = pc->smbios_entry == 0 ? 32 : pc->smbios_entry == 1 ? 64 : 0,
        .bmcs = bmcs,
        .bmc_count = pc_find_bmcs(pc, bmcs, BP_SMBIOS_BMCS)};
}

int smbios_to_firmware(const struct pc *pc, const struct bp_smbios_interface *smbios,
                       const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    uint8_t *tables, anchor[BP_SMBIOS_ANCHOR_MAX];
    struct bp_smbios_bmc bmcs[BP_SMBIOS_BMCS];
    struct bp_smbios_facts facts;
    size_t size, anchor_size;
    int r;

    fill(pc, &facts, bmcs);
    r = smbios->build(pc->smbios, &facts, 0, &tables, &size, anchor, &anchor_size, err);
    if (r < 0)
        return r;
    r = fw_cfg->add_file(pc->fw_cfg, "etc/smbios/smbios-tables", tables, size, err);
    if (r == 0)
        r = fw_cfg->add_file(pc->fw_cfg, "etc/smbios/smbios-anchor", anchor, anchor_size, err);
    free(tables);
    return r;
}

static int build_here(const struct pc *pc, const struct bp_smbios_interface *smbios, uint8_t **ret_tables,
                      size_t *ret_size, uint8_t anchor[BP_SMBIOS_ANCHOR_MAX], size_t *ret_anchor_size,
                      struct bp_error *err)
{
    struct bp_smbios_bmc bmcs[BP_SMBIOS_BMCS];
    struct bp_smbios_facts facts;
    int r;

    fill(pc, &facts, bmcs);
    r = smbios->build(pc->smbios, &facts, LOW_SMBIOS_TABLES, ret_tables, ret_size, anchor, ret_anchor_size, err);
    if (r < 0 || *ret_size <= LOW_SMBIOS_TABLES_SIZE)
        return r;
    r = bp_fail(err, E2BIG, "-smbios: the tables have %zu bytes, and %u is all that there is room for without "
                "firmware: shorten them, or add -bios " PC_FIRMWARE, *ret_size, LOW_SMBIOS_TABLES_SIZE);
    free(*ret_tables);
    return r;
}

int smbios_check(const struct pc *pc, const struct bp_smbios_interface *smbios, struct bp_error *err)
{
    uint8_t *tables, anchor[BP_SMBIOS_ANCHOR_MAX];
    size_t size, anchor_size;
    int r = build_here(pc, smbios, &tables, &size, anchor, &anchor_size, err);

    if (r == 0)
        free(tables);
    return r;
}

int smbios_write(const struct pc *pc, const struct bp_smbios_interface *smbios, struct bp_error *err)
{
    struct bp_space *memory = bp_machine_memory(pc->machine);
    uint8_t *tables, anchor[BP_SMBIOS_ANCHOR_MAX];
    size_t size, anchor_size;
    int r = build_here(pc, smbios, &tables, &size, anchor, &anchor_size, err);

    if (r < 0)
        return r;
    bp_space_write(memory, LOW_SMBIOS_TABLES, tables, size);
    bp_space_write(memory, LOW_SMBIOS_ANCHOR, anchor, anchor_size);
    free(tables);
    return 0;
}
