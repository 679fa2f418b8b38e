/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System management mode as far as the board has to do with it: whether there is any, what processors see in it, where
 * SMIs go, and the three files of fw_cfg by which firmware on ICH9 asks that an SMI of the APM port reaches every
 * processor ("etc/smi/supported-features", "requested-features", "features-ok"). Of the features of these files there
 * is only that (bit 0), not those of processors that come and go.
 */
#include "chipset.h"
#include "pc.h"

#include <bp/chip/fw-cfg.h>
#include <bp/log.h>
#include <errno.h>
#include <string.h>

#define SUPPORTED "etc/smi/supported-features"
#define REQUESTED "etc/smi/requested-features"
#define OK "etc/smi/features-ok"
#define FEATURE_BROADCAST 1u

int smm_choose(struct pc *pc, struct bp_error *err)
{
    const char *text = pc->choices.smm;
    bool can = bp_machine_has_smm(pc->machine) && !pc->chipset->no_pci;

    if (strcmp(text, "on") && strcmp(text, "off") && strcmp(text, "auto"))
        return bp_fail(err, EINVAL, "-machine smm=%s: accepted are on, off and auto", text);
    if (!strcmp(text, "on") && pc->chipset->no_pci)
        return bp_fail(err, ENOTSUP, "-machine smm=on: the chipset of this board has no system management mode; use "
                       "smm=off, or a board with PCI (pc, q35)");
    if (!strcmp(text, "on") && !can)
        return bp_fail(err, ENOTSUP, "-machine smm=on: accelerator '%s' does not run system management mode; use "
                       "smm=off", bp_machine_accel_name(pc->machine));
    /* Where no code runs nothing is set up for it, unless somebody wants to look at the registers. */
    pc->smm = !strcmp(text, "on") || (!strcmp(text, "auto") && can && bp_machine_runs_code(pc->machine));
    return 0;
}

static void smi(struct bp_cpu *cpu)
{
    bp_x86_interrupt(bp_cpu_state(cpu), BP_X86_INT_SMI);
}

static void smi_raised(void *opaque, unsigned to_all, int level)
{
    const struct pc *pc = opaque;
    struct bp_cpu *cpu = bp_cpu_current();

    if (!level)
        return;
    if (!to_all) {
        smi(cpu ? cpu : bp_machine_cpu(pc->machine, 0));
        return;
    }
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++) {
        cpu = bp_machine_cpu(pc->machine, i);
        if (cpu)
            smi(cpu);
    }
}

void smm_connect(struct pc *pc)
{
    if (!pc->smm)
        return;
    pc->smm_space = pc->host_if->smm_memory(pc->host, pc->low_size);
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++) {
        if (bp_machine_cpu(pc->machine, i))
            smm_cpu(pc, bp_machine_cpu(pc->machine, i));
    }
    for (unsigned n = 0; n < (pc->pm_if->smi_broadcast ? 2u : 1u); n++)
        bp_irq_connect(bp_device_irq_output(pc->pm, "smi", n),
                       bp_irq_new(bp_machine_owner(pc->machine), smi_raised, pc, n));
}

void smm_cpu(const struct pc *pc, struct bp_cpu *cpu)
{
    ((struct bp_x86_cpu *)bp_cpu_state(cpu))->smm_space = pc->smm_space;
}

/* ---- what firmware asks for ---- */

static bool negotiates(const struct pc *pc)
{
    struct bp_value *offered = NULL;
    bool is = pc->smm && pc->pm_if->smi_broadcast &&
              bp_object_get(bp_device_object(pc->pm), "x-smi-broadcast", &offered, NULL) == 0 &&
              bp_value_as_bool(offered);

    bp_value_unref(offered);
    return is;
}

/* Firmware has written what it wants, and asks whether it may have it. That stands then until a reset. */
static void asked(void *opaque)
{
    struct pc *pc = opaque;
    const struct bp_fw_cfg_interface *fw_cfg = pc->fw_cfg_if;
    const uint8_t *wanted, *ok, yes = 1;
    uint64_t features;
    size_t len;

    ok = fw_cfg->content(pc->fw_cfg, OK, &len);
    if (ok && *ok)
        return;
    wanted = fw_cfg->content(pc->fw_cfg, REQUESTED, &len);
    if (!wanted || len != sizeof(features))
        return;
    memcpy(&features, wanted, sizeof(features)); /* little-endian on either side */
    if (features & ~(uint64_t)FEATURE_BROADCAST || fw_cfg->add_file(pc->fw_cfg, OK, &yes, 1, NULL) < 0)
        return;
    pc->pm_if->smi_broadcast(pc->pm, features & FEATURE_BROADCAST);
}

static int put_answers(const struct pc *pc, struct bp_error *err)
{
    const uint64_t nothing = 0;
    const uint8_t no = 0;
    int r = pc->fw_cfg_if->add_writable(pc->fw_cfg, REQUESTED, &nothing, sizeof(nothing), NULL, NULL, err);

    return r == 0 ? pc->fw_cfg_if->add_file(pc->fw_cfg, OK, &no, sizeof(no), err) : r;
}

int smm_to_firmware(struct pc *pc, struct bp_error *err)
{
    const uint64_t supported = FEATURE_BROADCAST;
    int r;

    if (!negotiates(pc))
        return 0;
    r = pc->fw_cfg_if->add_file(pc->fw_cfg, SUPPORTED, &supported, sizeof(supported), err);
    if (r == 0)
        r = put_answers(pc, err);
    return r == 0 ? pc->fw_cfg_if->on_select(pc->fw_cfg, OK, asked, pc, err) : r;
}

void smm_reset(const struct pc *pc)
{
    struct bp_error err = {0};

    if (negotiates(pc) && pc->firmware && put_answers(pc, &err) < 0)
        bp_warn("%s", err.message);
}
