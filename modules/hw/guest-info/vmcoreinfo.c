/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmcoreinfo: where the notes stand that tools for crash dumps need of a kernel. A guest writes it to the
 * fw_cfg file etc/vmcoreinfo, 16 bytes, little-endian: formats of dumps that the host has (bit 0: ELF), the
 * guest's format, bytes, physical address. The properties show it.
 */
#include <errno.h>
#include <string.h>

#include <bp/chip/fw-cfg.h>
#include <bp/device.h>

BP_USE(fw_cfg, struct bp_fw_cfg_interface, "fw-cfg", 1);

#define FILE_NAME "etc/vmcoreinfo"
#define FILE_SIZE 16u
static const uint8_t nothing_yet[FILE_SIZE] = {1};

struct vmcoreinfo {
    struct bp_device *fw_cfg;
};

static int refuse_second(struct bp_device *dev, void *opaque)
{
    return dev != opaque;
}

static int vmcoreinfo_attach(struct bp_device *dev, struct bp_error *err)
{
    struct vmcoreinfo *s = bp_device_state(dev);

    if (bp_device_each(bp_device_machine(dev), "vmcoreinfo", refuse_second, dev))
        return bp_fail(err, EEXIST, "there is a vmcoreinfo device already");
    s->fw_cfg = bp_device_first(bp_device_machine(dev), "fw_cfg_io");
    if (!s->fw_cfg)
        return bp_fail(err, ENODEV, "vmcoreinfo needs a machine with a fw_cfg device");
    return fw_cfg->add_writable(s->fw_cfg, FILE_NAME, nothing_yet, FILE_SIZE, NULL, NULL, err);
}

/* Another kernel comes. */
static void vmcoreinfo_reset(struct bp_device *dev)
{
    const struct vmcoreinfo *s = bp_device_state(dev);

    fw_cfg->add_writable(s->fw_cfg, FILE_NAME, nothing_yet, FILE_SIZE, NULL, NULL, NULL);
}

/* A little-endian number of the file. */
static int get_number(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                      struct bp_error *err)
{
    const struct vmcoreinfo *s = bp_object_state(obj);
    size_t len = 0;
    const uint8_t *file = s->fw_cfg ? fw_cfg->content(s->fw_cfg, FILE_NAME, &len) : NULL;
    unsigned at = strcmp(f->name, "guest-format") == 0 ? 2 : strcmp(f->name, "size") == 0 ? 4 : 8;
    unsigned bytes = at; /* two at 2, four at 4, eight at 8 */
    uint64_t value = 0;

    (void)err;
    for (unsigned i = 0; file && len == FILE_SIZE && i < bytes; i++)
        value |= (uint64_t)file[at + i] << 8 * i;
    *ret_value = bp_value_uint(value);
    return 0;
}

#define NUMBER(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT64, .flags = BP_FIELD_READ_ONLY | BP_FIELD_HIDDEN, \
     .get = get_number, .help = HELP}
static const struct bp_field vmcoreinfo_props[] = {
    NUMBER("guest-format", "format of the notes as the guest wrote it: 0 none, 1 ELF"),
    NUMBER("size", "bytes of the notes"),
    NUMBER("paddr", "their physical address"),
    BP_FIELDS_END,
};

BP_DEVICE(vmcoreinfo, "vmcoreinfo", "system", "Where a guest's crash dump notes are", struct vmcoreinfo,
          vmcoreinfo_props, NULL, .category = "misc", .attach = vmcoreinfo_attach, .reset = vmcoreinfo_reset);

static const struct bp_import imports[] = {BP_IMPORT(fw_cfg, "fw-cfg", 1), {0}};
BP_MODULE("hw-vmcoreinfo", "Where a guest's crash dump notes are", imports, {BP_PROVIDE_DEVICE, &vmcoreinfo});
