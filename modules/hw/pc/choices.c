/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Choices among a board's parts. Where one is not built, or cannot be left out, the value that says what is the case
 * is taken, the other one is refused in words.
 */
#include "pc.h"

#include <bp/exact/x86-topology.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    size_t offset;
    const char *name;
    bool on; /* what is the case */
    const char *words;
} switches[] = {
    {offsetof(struct pc, choices.bypass_iommu), "default-bus-bypass-iommu", false, "no IOMMU is built"},
    {offsetof(struct pc, choices.pit), "pit", true, "the board cannot be without its timer (8254)"},
    {offsetof(struct pc, choices.pic), "pic", true, "the board cannot be without its 8259 pair"},
};

/* No type of object that could do it is built; any other is none. */
static int check_encryption(const struct pc *pc, struct bp_error *err)
{
    const char *id = pc->choices.memory_encryption;
    struct bp_object *obj;
    char path[160];

    if (!id || !*id)
        return 0;
    snprintf(path, sizeof(path), "/objects/%.128s", id);
    obj = bp_object_resolve(path, NULL, NULL);
    if (!obj)
        return bp_fail(err, ENOENT, "-machine memory-encryption=%s: there is no -object with this id that keeps a "
                       "guest's memory encrypted", id);
    return bp_fail(err, EINVAL, "-machine memory-encryption=%s: a %s does not keep a guest's memory encrypted", id,
                   bp_object_type(obj));
}

bool pc_has_vmport(const struct pc *pc)
{
    const char *text = pc->choices.vmport; /* NULL: no property of this board */

    return text && (!strcmp(text, "on") || (!strcmp(text, "auto") && pc->i8042));
}

static int check_vmport(const struct pc *pc, struct bp_error *err)
{
    const char *text = pc->choices.vmport;

    if (!text || !strcmp(text, "on") || !strcmp(text, "off") || !strcmp(text, "auto"))
        return 0;
    return bp_fail(err, EINVAL, "-machine vmport=%s: accepted are on, off and auto", text);
}

int pc_check_choices(const struct pc *pc, struct bp_error *err)
{
    int r = check_encryption(pc, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < BP_COUNT(switches); i++) {
        bool on = *(const bool *)((const char *)pc + switches[i].offset);

        if (on != switches[i].on)
            return bp_fail(err, ENOTSUP, "-machine %s=%s: %s; use %s=%s", switches[i].name, on ? "on" : "off",
                           switches[i].words, switches[i].name, on ? "off" : "on");
    }
    return check_vmport(pc, err);
}

uint32_t pc_last_apic_id(struct bp_machine *m)
{
    const struct bp_smp *smp = bp_machine_smp(m);

    return bp_x86_apic_id(smp, smp->max_cpus - 1);
}

/* An xAPIC's ids have 8 bits, of which all ones mean everybody. */
int pc_check_apic_ids(struct bp_machine *m, struct bp_error *err)
{
    const struct bp_smp *smp = bp_machine_smp(m);
    uint32_t last = pc_last_apic_id(m);

    if (last < PC_WIDE_IDS)
        return 0;
    return bp_fail(err, EINVAL, "-smp: with this topology the last of %u processors has APIC id %u, and ids end "
                   "at 254: make cores, threads, modules and dies powers of two, or take machine q35", smp->max_cpus,
                   last);
}

static bool has_x2apic(struct bp_cpu *cpu)
{
    return ((const struct bp_x86_cpu *)bp_cpu_state(cpu))->features[BP_X86_FW_1_ECX] >> 21 & 1;
}

/* Ids beyond that are x2APIC's, and interrupts of devices reach them only by an IOMMU. */
int pc_check_wide_ids(struct bp_machine *m, bool remaps, struct bp_error *err)
{
    const struct bp_smp *smp = bp_machine_smp(m);
    struct bp_device *iommu = bp_device_first(m, "intel-iommu");
    struct bp_value *wide = NULL;
    uint32_t last = pc_last_apic_id(m);
    bool has;

    if (last < PC_WIDE_IDS)
        return 0;
    if (!has_x2apic(bp_machine_cpu(m, 0)))
        return bp_fail(err, EINVAL, "-smp: the last of %u processors has APIC id %u, and those from 255 on need "
                       "x2APIC, which the processor does not have here: use -cpu ...,x2apic=on (with -accel kvm: "
                       "kernel-irqchip=split)", smp->max_cpus, last);
    has = iommu && remaps && bp_object_get(bp_device_object(iommu), "eim", &wide, NULL) == 0 &&
          strcmp(bp_value_as_string(wide), "off") != 0;
    bp_value_unref(wide);
    if (has)
        return 0;
    return bp_fail(err, EINVAL, "-smp: the last of %u processors has APIC id %u, and interrupts reach those from 255 "
                   "on by an IOMMU's Extended Interrupt Mode: add -device intel-iommu,intremap=on,eim=on (with -accel "
                   "kvm: kernel-irqchip=split)", smp->max_cpus, last);
}
