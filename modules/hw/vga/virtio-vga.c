/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `virtio-vga`: a virtio GPU and a VGA in one function. BAR 0 is the VGA's memory. The first screen is the VGA's until
 * the driver of the virtio GPU sets a scan-out, and again after its reset. The VGA's part is called with the machine
 * lock, the other one with the device's.
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include "vga.h"
#include "virtio-gpu.h"

#define pci (*gpu_pci_bus)

struct virtio_vga {
    struct virtio_gpu gpu;
    struct vga vga;
    uint32_t vgamem_mb;
};

static void update(void *opaque)
{
    struct gpu_scanout *out = opaque;
    struct virtio_vga *s = (struct virtio_vga *)((char *)out->gpu - offsetof(struct virtio_vga, gpu));

    if (!s->gpu.shows)
        vga_console_ops.update(&s->vga);
}

static const struct bp_console_ops console_ops = {
    .size = sizeof(console_ops), .update = update, .ui_info = gpu_wish};

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_device *dev = bp_device_from_object(obj);
    struct virtio_vga *s = state;
    int ret;

    ret = vga_check_memory(s->vgamem_mb, 256, err);
    if (ret < 0)
        return ret;
    vga_display = *gpu_display;
    ret = gpu_attach(obj, &s->gpu, 1, err);
    if (ret < 0)
        goto failed;
    s->vga.owner = s->gpu.main;
    s->vga.ops = &console_ops;
    s->vga.ops_opaque = &s->gpu.scanouts[0];
    ret = vga_init(&s->vga, obj, s->vgamem_mb << 20, err);
    if (ret < 0)
        goto failed;
    s->gpu.scanouts[0].console = s->vga.console;
    ret = pci->add_bar(dev, 0, BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH, s->vga.vram, err);
    if (ret < 0)
        goto failed;
    vga_add_window(&s->vga, pci->bus_region(dev, false));
    vga_add_ports(&s->vga, pci->bus_region(dev, true));
    return 0;
failed:
    gpu_detach(&s->gpu);
    return ret;
}

static void detach(struct bp_object *obj, void *state)
{
    struct virtio_vga *s = state;

    (void)obj;
    gpu_detach(&s->gpu); /* with the first screen */
    s->vga.console = NULL;
    vga_fini(&s->vga);
}

static void reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    (void)dev;
    (void)scope;
    vga_reset(&((struct virtio_vga *)state)->vga);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return vga_after_load(&((struct virtio_vga *)state)->vga, err);
}

static const struct bp_state_field fields[] = {
    {.name = "vga", .kind = BP_STATE_STRUCT, .offset = offsetof(struct virtio_vga, vga), .count = 1,
     .stride = sizeof(struct vga), .table = &vga_state},
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .before_save = gpu_before_save, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP_RANGE("max_outputs", UINT32, struct virtio_vga, gpu.max_outputs, "1", 1, GPU_SCANOUTS, "screens"),
    BP_PROP("max_hostmem", SIZE, struct virtio_vga, gpu.max_hostmem, "256M",
            "bytes that all resources and what is shown may take"),
    BP_PROP("edid", BOOL, struct virtio_vga, gpu.edid, "on", "monitors describe themselves"),
    BP_PROP_RANGE("xres", UINT32, struct virtio_vga, gpu.xres, "1280", 16, 16000, "preferred width in pixels"),
    BP_PROP_RANGE("yres", UINT32, struct virtio_vga, gpu.yres, "800", 16, 12000, "preferred height in pixels"),
    BP_PROP("vgamem_mb", UINT32, struct virtio_vga, vgamem_mb, "8", "MiB of the VGA's memory"), BP_FIELDS_END};

static const struct bp_level_class level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-vga-base",
             .summary = "Virtio GPU with a VGA", .state_size = sizeof(struct virtio_vga), .props = props,
             .state = &table},
    .attach = attach, .detach = detach, .reset = reset};
static const struct bp_pci_info function = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1af4, .class_code = 0x0300, .interrupt_pin = 1,
    .romfile = "vgabios-virtio.bin"};
BP_VIRTIO_PCI_CLASS(virtio_vga, "virtio-vga", "Virtio GPU with a VGA, on PCI", &level, NULL, &function,
                    .category = "display", .replaces_default = "vga");
