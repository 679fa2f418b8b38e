/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Properties of the boards whose parts are not built, or cannot be left out: the value that says what is the case
 * is taken, the other one is refused in words.
 */
#include "pc.h"

#include <errno.h>
#include <string.h>

static const struct {
    size_t offset;
    const char *name;
    bool on; /* what is the case */
    const char *words;
} switches[] = {
    {offsetof(struct pc, choices.nvdimm), "nvdimm", false, "NVDIMMs are not built"},
    {offsetof(struct pc, choices.hmat), "hmat", false, "memory attributes of NUMA nodes are not built"},
    {offsetof(struct pc, choices.bypass_iommu), "default-bus-bypass-iommu", false, "no IOMMU is built"},
    {offsetof(struct pc, choices.pit), "pit", true, "the board cannot be without its timer (8254)"},
    {offsetof(struct pc, choices.pic), "pic", true, "the board cannot be without its 8259 pair"},
};
static const struct {
    size_t offset;
    const char *name, *words;
} autos[] = {
    {offsetof(struct pc, choices.vmport), "vmport", "VMware's port is not built"},
};

int pc_check_choices(const struct pc *pc, struct bp_error *err)
{
    for (size_t i = 0; i < BP_COUNT(switches); i++) {
        bool on = *(const bool *)((const char *)pc + switches[i].offset);

        if (on != switches[i].on)
            return bp_fail(err, ENOTSUP, "-machine %s=%s: %s; use %s=%s", switches[i].name, on ? "on" : "off",
                           switches[i].words, switches[i].name, on ? "off" : "on");
    }
    for (size_t i = 0; i < BP_COUNT(autos); i++) {
        const char *text = *(char *const *)((const char *)pc + autos[i].offset);

        if (!strcmp(text, "on"))
            return bp_fail(err, ENOTSUP, "-machine %s=on: %s; accepted: off, auto", autos[i].name, autos[i].words);
        if (strcmp(text, "off") && strcmp(text, "auto"))
            return bp_fail(err, EINVAL, "-machine %s=%s: accepted are on, off and auto", autos[i].name, text);
    }
    return 0;
}
