/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory modules: pc-dimm, and nvdimm, whose contents stay and at whose end there may be an area for labels that
 * the guest reaches only through the board (_DSM). Where they lie is the core's business (bp/memory-device.h), how
 * the guest learns of them the board's.
 */
#include <bp/chip/pc-dimm.h>
#include <bp/command.h>
#include <bp/memory-device.h>
#include <bp/ram.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct dimm {
    uint64_t addr;
    uint32_t node;
    int32_t slot;
    struct bp_object *memdev;
    bool unarmed;
    uint64_t label_size;
    char *uuid;
    uint8_t uuid_bytes[16];
    struct bp_region *ram; /* the back end's */
    uint64_t length;       /* of it, less the labels */
};

#define LEAST_LABELS (128u << 10)

static const struct bp_device_class dimm_class, nvdimm_class;

static bool is_dimm(struct bp_device *dev)
{
    return bp_device_class(dev) == &dimm_class || bp_device_class(dev) == &nvdimm_class;
}

/* ---- life ---- */

static void describe(struct bp_device *dev, struct bp_value *info)
{
    const struct dimm *s = bp_device_state(dev);

    bp_value_set(info, "node", bp_value_int(s->node));
    bp_value_set(info, "memdev", bp_value_string(bp_object_path(s->memdev)));
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct dimm *s = bp_device_state(dev);
    const char *type = bp_device_class(dev)->type.name;
    struct bp_memory_device what = {.size = sizeof(what), .flags = BP_MEMORY_DEVICE_SLOT, .addr = s->addr,
                                    .slot = s->slot, .describe = describe};
    struct bp_region *seen;
    int r;

    what.type = bp_device_class(dev) == &nvdimm_class ? "nvdimm" : "dimm";
    if (!s->memdev)
        return bp_fail(err, EINVAL, "'memdev' property is not set: %s takes the id of an -object memory-backend-*",
                       type);
    r = bp_ram_take(bp_object_id(s->memdev), bp_device_owner(dev), type, &s->ram, err);
    if (r < 0)
        return r;
    if (s->label_size >= bp_region_size(s->ram))
        return bp_fail(err, EINVAL, "nvdimm: the size of memdev '%s' (%llu) is too small to contain the labels "
                       "(label-size=%llu) and persistent memory", bp_object_id(s->memdev),
                       (unsigned long long)bp_region_size(s->ram), (unsigned long long)s->label_size);
    s->length = bp_region_size(s->ram) - s->label_size;
    what.plugged = s->length;
    seen = bp_region_new_alias(bp_device_owner(dev), type, s->ram, 0, s->length);
    return bp_memory_device_claim(dev, seen, &what, &s->addr, &s->slot, err);
}

static int attach_nvdimm(struct bp_device *dev, struct bp_error *err)
{
    struct dimm *s = bp_device_state(dev);
    unsigned n = 0;

    if (s->label_size && (s->label_size < LEAST_LABELS || s->label_size % 4096 || s->label_size > (1u << 30)))
        return bp_fail(err, EINVAL, "nvdimm: label-size is 0 (no labels), or whole pages from %u to 1G, not %llu",
                       LEAST_LABELS, (unsigned long long)s->label_size);
    for (const char *p = s->uuid; p && *p; p++) {
        unsigned digit = *p >= '0' && *p <= '9' ? (unsigned)(*p - '0') : (unsigned)((*p | 32) - 'a') + 10;

        if (*p == '-' && (p - s->uuid == 8 || p - s->uuid == 13 || p - s->uuid == 18 || p - s->uuid == 23))
            continue;
        if (digit > 15 || n == 32)
            n = 33;
        else
            s->uuid_bytes[n / 2] = (uint8_t)(s->uuid_bytes[n / 2] << 4 | digit), n++;
        if (n > 32)
            break;
    }
    if (s->uuid && n != 32)
        return bp_fail(err, EINVAL, "nvdimm: uuid is 8-4-4-4-12 hexadecimal digits, not '%.60s'", s->uuid);
    return attach(dev, err);
}

/* ---- the interface ---- */

static bool info(struct bp_device *dev, struct bp_pc_dimm_info *ret_info)
{
    const struct dimm *s;

    if (!is_dimm(dev))
        return false;
    s = bp_device_state(dev);
    ret_info->addr = s->ram ? s->addr : 0;
    ret_info->length = s->length;
    ret_info->slot = s->slot;
    ret_info->node = s->node;
    ret_info->persistent = bp_device_class(dev) == &nvdimm_class;
    ret_info->labels_stay = s->ram && bp_region_is_readonly(s->ram);
    ret_info->unarmed = s->unarmed || ret_info->labels_stay;
    ret_info->label_size = (uint32_t)s->label_size;
    memcpy(ret_info->uuid, s->uuid_bytes, sizeof(ret_info->uuid));
    return true;
}

static uint8_t *labels(struct bp_device *dev, uint32_t offset, uint32_t len)
{
    const struct dimm *s = bp_device_state(dev);
    uint8_t *host = is_dimm(dev) && s->ram ? bp_region_ram(s->ram) : NULL;

    if (!host || offset > s->label_size || len > s->label_size - offset)
        return NULL;
    return host + s->length + offset;
}

static int label_read(struct bp_device *dev, uint32_t offset, void *buf, uint32_t len)
{
    const uint8_t *at = labels(dev, offset, len);

    if (!at)
        return -ERANGE;
    memcpy(buf, at, len);
    return 0;
}

static int label_write(struct bp_device *dev, uint32_t offset, const void *buf, uint32_t len)
{
    const struct dimm *s = bp_device_state(dev);
    uint8_t *at = labels(dev, offset, len);

    if (!at)
        return -ERANGE;
    if (bp_region_is_readonly(s->ram))
        return -EROFS;
    memcpy(at, buf, len);
    bp_region_mark_dirty(s->ram, s->length + offset, len);
    return 0;
}

static const struct bp_pc_dimm_interface interface = {
    .size = sizeof(interface), .info = info, .label_read = label_read, .label_write = label_write};
BP_INTERFACE(pc_dimm, "pc-dimm", 1, 0, &interface);

/* ---- classes ---- */

#define COMMON_PROPS \
    BP_PROP("addr", UINT64, struct dimm, addr, "0", "where it lies; 0: the first place that is free"), \
    BP_PROP("node", UINT32, struct dimm, node, "0", "NUMA node that it belongs to"), \
    BP_PROP("slot", INT32, struct dimm, slot, "-1", "slot that it takes; -1: the first one that is free"), \
    BP_PROP_LINK("memdev", "memory-backend", struct dimm, memdev, "back end that is its memory")
static const struct bp_field dimm_props[] = {COMMON_PROPS, BP_FIELDS_END};
static const struct bp_field nvdimm_props[] = {
    COMMON_PROPS,
    BP_PROP("label-size", SIZE, struct dimm, label_size, "0", "bytes at its end for labels of namespaces; 0: none"),
    BP_PROP("unarmed", BOOL, struct dimm, unarmed, "off",
            "the guest is told that writes may get lost; a memdev that cannot be written is so by itself"),
    BP_PROP("uuid", STRING, struct dimm, uuid, NULL, "its UUID"),
    BP_FIELDS_END};

BP_HOTPLUG_DEVICE(dimm_class, "pc-dimm", "system", "Memory module", struct dimm, dimm_props, NULL, .category = "misc",
                  .attach = attach);
BP_HOTPLUG_DEVICE(nvdimm_class, "nvdimm", "system", "Memory module that keeps its contents", struct dimm, nvdimm_props,
                  NULL, .category = "misc", .attach = attach_nvdimm);
BP_MODULE("hw-pc-dimm", "Memory modules", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &dimm_class},
          {BP_PROVIDE_DEVICE, &nvdimm_class}, {BP_PROVIDE_INTERFACE, &pc_dimm});
