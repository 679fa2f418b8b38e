/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The virtio GPU: what its files share. */
#ifndef HW_VIRTIO_GPU_H
#define HW_VIRTIO_GPU_H

#include <bp/host/display.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#define GPU_SCANOUTS 16u
#define GPU_BUCKETS 256u
#define GPU_CURSOR 64u /* pixels each way */
#define GPU_RESOURCES 16384u
#define GPU_TURN (UINT64_C(1) << 22) /* pixels that are moved before others have their turn */

/* What requests begin with (5.7.6.7). */
struct gpu_header {
    uint32_t type, flags;
    uint64_t fence;
    uint32_t context;
    uint8_t ring, padding[3];
};
struct gpu_rect {
    uint32_t x, y, width, height;
};

enum { /* 5.7.6.7: requests and answers */
    GPU_GET_DISPLAY_INFO = 0x100, GPU_RESOURCE_CREATE_2D, GPU_RESOURCE_UNREF, GPU_SET_SCANOUT, GPU_RESOURCE_FLUSH,
    GPU_TRANSFER_TO_HOST_2D, GPU_RESOURCE_ATTACH_BACKING, GPU_RESOURCE_DETACH_BACKING, GPU_GET_EDID = 0x10a,
    GPU_UPDATE_CURSOR = 0x300, GPU_MOVE_CURSOR,
    GPU_OK = 0x1100, GPU_OK_DISPLAY_INFO, GPU_OK_EDID = 0x1104,
    GPU_ERR_UNSPEC = 0x1200, GPU_ERR_OUT_OF_MEMORY, GPU_ERR_INVALID_SCANOUT_ID, GPU_ERR_INVALID_RESOURCE_ID,
    GPU_ERR_INVALID_CONTEXT_ID, GPU_ERR_INVALID_PARAMETER
};

struct gpu_segment {
    uint64_t addr;
    uint32_t length, padding;
};

struct gpu_resource {
    struct gpu_resource *next; /* of its bucket */
    uint32_t id, format, width, height;
    uint64_t bytes;      /* that it counts for */
    uint32_t *pixels;    /* 0xAARRGGBB */
    struct gpu_segment *segments; /* guest memory that it is filled from, or NULL */
    uint32_t segment_count;
};

struct virtio_gpu;

struct gpu_scanout {
    struct virtio_gpu *gpu;
    struct bp_console *console;
    struct bp_surface *surface;
    uint32_t resource; /* 0: nothing is shown */
    struct gpu_rect rect;
    uint32_t width, height; /* that a viewer would like */
    uint32_t cursor; /* resource whose picture the pointer has; 0: none */
};

struct virtio_gpu {
    /* Properties. */
    uint32_t max_outputs, xres, yres;
    uint64_t max_hostmem;
    bool edid;
    /* */
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *control, *cursor;
    struct bp_owner *main;    /* whose callbacks hold the machine lock: consoles are told there */
    struct bp_deferred *work;
    bool reset_due;
    bool shows;               /* the driver has set a scan-out since the last reset */
    uint64_t used;            /* bytes of all resources, and of what is shown */
    uint32_t count;           /* of resources */
    uint64_t moved;           /* pixels, in this turn */
    struct gpu_resource *buckets[GPU_BUCKETS];
    struct gpu_scanout scanouts[GPU_SCANOUTS];
};

extern const struct bp_virtio_interface *const *const gpu_virtio;
extern const struct bp_display_interface *const *const gpu_display;
extern const struct bp_pci_interface *const *const gpu_pci_bus;

/* ---- virtio-gpu.c ---- */
/* What both cards do: queues, and consoles from head `first` on. */
int gpu_attach(struct bp_object *obj, struct virtio_gpu *s, unsigned first, struct bp_error *err);
void gpu_detach(struct virtio_gpu *s);
int gpu_before_save(void *gpu, struct bp_error *err); /* bp_state_table.before_save */
int gpu_wish(void *scanout, const struct bp_ui_info *info); /* bp_console_ops.ui_info */
/* ---- virtio-vga.c ---- */
extern const struct bp_device_class virtio_vga;

/* ---- virtio-gpu-2d.c [main] under the machine lock, and the device's ---- */
/* Carries a request out, and answers. Returns the bytes that were written. */
uint64_t gpu_request(struct virtio_gpu *s, const struct bp_virtq_request *r);
void gpu_cursor_request(struct virtio_gpu *s, const struct bp_virtq_request *r);
void gpu_forget_all(struct virtio_gpu *s); /* resources, and what is shown */

#endif
