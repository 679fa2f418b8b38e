/* SPDX-License-Identifier: MIT */
/*
 * Interface "pc-dimm/1": memory modules ("pc-dimm", "nvdimm") for boards that tell their guest of them. A board
 * registers for devices on no bus (bp_machine_set_hotplug()) and asks here what came. [main] under the machine lock
 */
#ifndef BP_CHIP_PC_DIMM_H
#define BP_CHIP_PC_DIMM_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_pc_dimm_info {
    size_t size;
    uint64_t addr, length; /* bytes that the guest sees; 0 before it is attached */
    int32_t slot;          /* -1 before it is attached */
    uint32_t node;         /* NUMA node that the user names */
    bool persistent;       /* an NVDIMM */
    bool unarmed;          /* writes may get lost */
    bool labels_stay;      /* the label area cannot be written */
    uint32_t label_size;   /* bytes of the label area, 0: none */
    uint8_t uuid[16];
    void *reserved[2];
};

struct bp_pc_dimm_interface {
    uint32_t size;
    /* false: the device is no memory module. */
    bool (*info)(struct bp_device *dev, struct bp_pc_dimm_info *ret_info);
    /* The label area of an NVDIMM. -ERANGE: not within it; -EROFS: it cannot be written. */
    int (*label_read)(struct bp_device *dev, uint32_t offset, void *buf, uint32_t len);
    int (*label_write)(struct bp_device *dev, uint32_t offset, const void *buf, uint32_t len);
    void *reserved[4];
};

BP_END_DECLS

#endif
