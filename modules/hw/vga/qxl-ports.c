/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ports of a QXL, each an operation of its own, and its ROM. Everything is done when the access
 * ends; those that say so later interrupt. */
#include <string.h>

#include <bp/log.h>

#include "qxl.h"

/* ---- the ROM ---- */

static const struct {
    uint16_t width, height;
} sizes[] = {{640, 480},   {720, 480},   {800, 600},   {1024, 768},  {1152, 864},  {1280, 720},
             {1280, 800},  {1280, 1024}, {1366, 768},  {1440, 900},  {1600, 900},  {1600, 1200},
             {1680, 1050}, {1920, 1080}, {1920, 1200}, {2048, 1536}, {2560, 1440}, {2560, 1600}};

static void fill_modes(const struct qxl *s, QXLModes *modes)
{
    for (unsigned i = 0; i < BP_COUNT(sizes); i++) {
        for (unsigned bits = 16; bits <= 32; bits += 16) {
            uint32_t stride = sizes[i].width * bits / 8;

            if ((uint64_t)stride * sizes[i].height > s->vga.vram_size)
                continue;
            modes->modes[modes->n_modes] = (QXLMode){.id = modes->n_modes,
                                                     .x_res = sizes[i].width,
                                                     .y_res = sizes[i].height,
                                                     .bits = bits,
                                                     .stride = stride,
                                                     .x_mili = sizes[i].width / 4u,
                                                     .y_mili = sizes[i].height / 4u};
            modes->n_modes++;
        }
    }
}

void qxl_rom_fill(struct qxl *s)
{
    QXLRom *rom = s->rom;

    memset(rom, 0, QXL_ROM_SIZE);
    rom->magic = QXL_ROM_MAGIC;
    rom->id = s->has_vga ? 0 : (*qxl_pci)->devfn(s->dev);
    rom->modes_offset = (sizeof(*rom) + 7u) & ~7u;
    rom->surface0_area_size = s->vga.vram_size;
    rom->pages_offset = s->vga.vram_size;
    rom->ram_header_offset = (uint32_t)(s->ram_size - ((sizeof(QXLRam) + 4095) & ~4095ull));
    rom->num_pages = (rom->ram_header_offset - rom->pages_offset) / 4096;
    rom->n_surfaces = QXL_SURFACES;
    rom->slots_start = 1;
    rom->slots_end = QXL_SLOTS - 1;
    rom->slot_gen_bits = 8;
    rom->slot_id_bits = 8;
    rom->slot_generation = s->generation;
    fill_modes(s, (QXLModes *)(void *)((uint8_t *)rom + rom->modes_offset));
    bp_region_mark_dirty(s->rom_region, 0, QXL_ROM_SIZE);
}

/* ---- surfaces ---- */

static void forget_surfaces(struct qxl *s, unsigned first)
{
    for (unsigned i = first; i < QXL_SURFACES; i++)
        s->surfaces[i].format = 0;
}

void qxl_forget(struct qxl *s)
{
    forget_surfaces(s, 0);
    memset(s->slots, 0, sizeof(s->slots));
    memset(s->head, 0, sizeof(s->head));
    s->pointer_x = s->pointer_y = 0;
    s->pointer_on = 0;
    s->rom->slot_generation = s->generation;
    bp_region_mark_dirty(s->rom_region, 0, QXL_ROM_SIZE);
    qxl_rings_begin(s);
    vga_display->move_pointer(s->vga.console, 0, 0, false);
}

static void create_primary(struct qxl *s)
{
    const QXLSurfaceCreate create = s->ram->create_surface;
    const QXLSurface surface = {.format = create.format,
                                .width = create.width,
                                .height = create.height,
                                .stride = create.stride,
                                .data = create.mem};
    const struct qxl_surface *u = &s->surfaces[0];

    memset(s->head, 0, sizeof(s->head));
    s->surfaces[0].format = 0;
    if (!qxl_surface_make(s, 0, &surface) || (create.flags & QXL_SURF_FLAG_KEEP_DATA))
        return;
    for (uint32_t y = 0; y < u->height; y++) {
        memset(qxl_line(s, u, y), 0, (size_t)u->width * qxl_bytes(u->format));
        qxl_dirty(s, u, y, 0, u->width);
    }
}

/* The part of the primary surface that the first head shows. */
static void set_monitors(struct qxl *s)
{
    uint64_t address = s->ram->monitors_config;
    QXLMonitorsConfig config;
    QXLHead head;

    if (!qxl_read(s, address, &config, sizeof(config)))
        return;
    memset(s->head, 0, sizeof(s->head));
    if (!config.count || !qxl_read(s, address + sizeof(config), &head, sizeof(head)))
        return;
    s->head[0] = head.x;
    s->head[1] = head.y;
    s->head[2] = head.width;
    s->head[3] = head.height;
}

static void add_slot(struct qxl *s, uint32_t number)
{
    const QXLMemSlot slot = s->ram->mem_slot;

    if (qxl_slot_add(s, number, slot.mem_start, slot.mem_end) < 0)
        bp_guest_error("qxl-slot", "qxl: slot %u from 0x%llx to 0x%llx is in no BAR", number,
                       (unsigned long long)slot.mem_start, (unsigned long long)slot.mem_end);
}

/* ---- ports ---- */

static void perform(struct qxl *s, unsigned port, uint32_t value)
{
    switch (port) {
    case QXL_IO_NOTIFY_CMD:
    case QXL_IO_NOTIFY_CURSOR:
    case QXL_IO_UPDATE_AREA: /* surfaces are always as the commands made them */
    case QXL_IO_UPDATE_AREA_ASYNC:
    case QXL_IO_FLUSH_SURFACES_ASYNC:
    case QXL_IO_NOTIFY_OOM:
        qxl_run(s);
        break;
    case QXL_IO_FLUSH_RELEASE:
        qxl_release(s);
        break;
    case QXL_IO_UPDATE_IRQ:
        qxl_interrupt(s, 0);
        break;
    case QXL_IO_RESET:
        s->generation++;
        qxl_forget(s);
        break;
    case QXL_IO_MEMSLOT_ADD:
    case QXL_IO_MEMSLOT_ADD_ASYNC:
        add_slot(s, value);
        break;
    case QXL_IO_MEMSLOT_DEL:
        if (value < QXL_SLOTS)
            s->slots[value].on = 0;
        break;
    case QXL_IO_CREATE_PRIMARY:
    case QXL_IO_CREATE_PRIMARY_ASYNC:
        create_primary(s);
        break;
    case QXL_IO_DESTROY_PRIMARY:
    case QXL_IO_DESTROY_PRIMARY_ASYNC:
        qxl_run(s);
        s->surfaces[0].format = 0;
        break;
    case QXL_IO_DESTROY_SURFACE_WAIT:
    case QXL_IO_DESTROY_SURFACE_ASYNC:
        qxl_run(s);
        if (value && value < QXL_SURFACES)
            s->surfaces[value].format = 0;
        break;
    case QXL_IO_DESTROY_ALL_SURFACES:
    case QXL_IO_DESTROY_ALL_SURFACES_ASYNC:
        qxl_run(s);
        forget_surfaces(s, 1);
        break;
    case QXL_IO_MONITORS_CONFIG_ASYNC:
        set_monitors(s);
        break;
    case QXL_IO_SET_MODE:
        bp_guest_error("qxl-mode",
                       "qxl: modes of the ROM are for drivers of old; this one is not set");
        break;
    default: /* what is logged; a primary surface that is attached is so anyway */
        break;
    }
}

static bool is_async(unsigned port)
{
    return (port >= QXL_IO_UPDATE_AREA_ASYNC && port <= QXL_IO_FLUSH_SURFACES_ASYNC) ||
           port == QXL_IO_MONITORS_CONFIG_ASYNC;
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct qxl *s = opaque;

    (void)size;
    perform(s, (unsigned)addr, (uint32_t)value);
    if (is_async((unsigned)addr))
        qxl_interrupt(s, QXL_INTERRUPT_IO_CMD);
}

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)size;
    return ~0ull;
}

const struct bp_region_ops qxl_port_ops = {.size = sizeof(qxl_port_ops),
                                           .read = port_read,
                                           .write = port_write,
                                           .min_access = 1,
                                           .max_access = 4,
                                           .unaligned = 1};
