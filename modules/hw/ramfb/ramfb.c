/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ramfb: a frame buffer in guest RAM, told by firmware through the fw_cfg file etc/ramfb: address (64 bits),
 * DRM format code, flags, width, height and stride (32 bits each), all big-endian. The picture is copied
 * out of guest RAM while somebody looks; nothing of it is kept here, so nothing is saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/chip/fw-cfg.h>
#include <bp/exact/machine.h>
#include <bp/host/display.h>
#include <bp/log.h>

BP_USE(fw_cfg, struct bp_fw_cfg_interface, "fw-cfg", 1);
BP_USE(display, struct bp_display_interface, "display", 1);

#define FILE_NAME "etc/ramfb"
#define FILE_SIZE 28u
#define ROM "vgabios-ramfb.bin"
#define MAX_ROM (256u << 10)

struct ramfb {
    bool rom;
    struct bp_device *dev, *fw_cfg;
    struct bp_console *console;
    struct bp_surface *surface;
    struct bp_surface_options shown;
};

struct config {
    uint64_t address;
    uint32_t fourcc, flags, width, height, stride;
};

static uint64_t big_endian(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* DRM's format codes are four letters. */
#define FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static uint32_t format_of(uint32_t fourcc)
{
    static const struct {
        uint32_t fourcc, format;
    } known[] = {
        {FOURCC('X', 'R', '2', '4'), BP_FORMAT_XRGB8888}, {FOURCC('A', 'R', '2', '4'), BP_FORMAT_ARGB8888},
        {FOURCC('X', 'B', '2', '4'), BP_FORMAT_XBGR8888}, {FOURCC('B', 'X', '2', '4'), BP_FORMAT_BGRX8888},
        {FOURCC('R', 'G', '2', '4'), BP_FORMAT_RGB888},   {FOURCC('R', 'G', '1', '6'), BP_FORMAT_RGB565},
        {FOURCC('X', 'R', '1', '5'), BP_FORMAT_XRGB1555},
    };

    for (unsigned i = 0; i < BP_COUNT(known); i++)
        if (known[i].fourcc == fourcc)
            return known[i].format;
    return 0;
}

/* What is shown of a line; formats begin with their bits per pixel. */
static uint64_t line_bytes(const struct config *c)
{
    return (uint64_t)c->width * (format_of(c->fourcc) >> 24) / 8;
}

static bool read_config(const struct ramfb *s, struct config *c)
{
    size_t length = 0;
    const uint8_t *file = fw_cfg->content(s->fw_cfg, FILE_NAME, &length);

    if (!file || length < FILE_SIZE)
        return false;
    c->address = big_endian(file, 8);
    c->fourcc = (uint32_t)big_endian(file + 8, 4);
    c->flags = (uint32_t)big_endian(file + 12, 4);
    c->width = (uint32_t)big_endian(file + 16, 4);
    c->height = (uint32_t)big_endian(file + 20, 4);
    c->stride = (uint32_t)big_endian(file + 24, 4);
    return c->width && c->height;
}

/* A surface for what is asked, without what the guest leaves between its lines; false: it makes no sense. */
static bool need_surface(struct ramfb *s, const struct config *c)
{
    struct bp_surface_options o = {.size = sizeof(o), .format = format_of(c->fourcc), .width = c->width,
                                   .height = c->height};
    struct bp_surface *surface = NULL;

    if (c->stride && c->stride < line_bytes(c))
        return false;
    if (s->surface && !memcmp(&o, &s->shown, sizeof(o)))
        return true;
    if (display->surface_new(&o, &surface, NULL) < 0)
        return false;
    display->surface_unref(s->surface);
    s->surface = surface;
    s->shown = o;
    return true;
}

/* Copies a line from guest RAM; false: some of it is none. */
static bool copy_line(struct bp_space *memory, uint64_t address, uint8_t *to, uint64_t left)
{
    while (left) {
        struct bp_mapping m = {.size = sizeof(m)};
        uint64_t n;

        bp_space_lookup(memory, address, &m);
        n = m.length < left ? m.length : left;
        if (!m.host || !n || address + n < address)
            return false;
        memcpy(to, m.host, n);
        to += n;
        address += n;
        left -= n;
    }
    return true;
}

/* Copies the picture; false: some of it is not in guest RAM. Under the machine lock. */
static bool copy(struct ramfb *s, const struct config *c)
{
    struct bp_space *memory = bp_device_memory(s->dev);
    uint32_t stride;
    uint8_t *to = display->surface_data(s->surface, &stride);
    uint64_t step = c->stride ? c->stride : stride;

    if (c->address > UINT64_MAX - step * c->height)
        return false;
    for (uint32_t y = 0; y < c->height; y++) {
        if (!copy_line(memory, c->address + y * step, to + (size_t)y * stride, line_bytes(c)))
            return false;
    }
    return true;
}

static void update(void *opaque)
{
    struct ramfb *s = opaque;
    struct config c;

    if (!read_config(s, &c)) {
        display->set_surface(s->console, NULL);
        return;
    }
    if (!need_surface(s, &c) || !copy(s, &c)) {
        bp_guest_error("ramfb-mode", "ramfb: %u x %u pixels of format 0x%08x, lines of %u bytes at 0x%llx, "
                       "are no frame buffer in RAM", c.width, c.height, c.fourcc, c.stride,
                       (unsigned long long)c.address);
        display->set_surface(s->console, NULL);
        return;
    }
    display->set_surface(s->console, s->surface);
    display->damage(s->console, 0, 0, c.width, c.height);
}

static const struct bp_console_ops console_ops = {.size = sizeof(console_ops), .update = update};

/* ---- the device ---- */

/* SeaBIOS runs what is under vgaroms/; without the file there is the frame buffer alone. */
static int add_rom(struct ramfb *s, struct bp_error *err)
{
    char *path = bp_machine_find_data(bp_device_machine(s->dev), ROM);
    uint8_t *data = path ? malloc(MAX_ROM) : NULL;
    int fd = data ? open(path, O_RDONLY | O_CLOEXEC) : -1, ret = 0;
    ssize_t size = fd < 0 ? 0 : read(fd, data, MAX_ROM);

    if (size > 0)
        ret = fw_cfg->add_file(s->fw_cfg, "vgaroms/" ROM, data, (size_t)size, err);
    if (fd >= 0)
        close(fd);
    free(data);
    free(path);
    return ret;
}

static const uint8_t nothing_yet[FILE_SIZE];

static int ramfb_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ramfb *s = bp_device_state(dev);
    int ret;

    s->dev = dev;
    s->fw_cfg = bp_device_first(bp_device_machine(dev), "fw_cfg_io");
    if (!s->fw_cfg)
        return bp_fail(err, ENODEV, "ramfb needs a machine with a fw_cfg device");
    ret = fw_cfg->add_writable(s->fw_cfg, FILE_NAME, nothing_yet, FILE_SIZE, NULL, NULL, err);
    if (ret == 0 && s->rom)
        ret = add_rom(s, err);
    if (ret == 0)
        ret = display->console_new(bp_device_object(dev), 0, &console_ops, s, &s->console, err);
    return ret;
}

static void ramfb_detach(struct bp_device *dev)
{
    struct ramfb *s = bp_device_state(dev);

    display->console_free(s->console);
    display->surface_unref(s->surface);
}

/* Firmware tells anew. */
static void ramfb_reset(struct bp_device *dev)
{
    struct ramfb *s = bp_device_state(dev);

    fw_cfg->add_writable(s->fw_cfg, FILE_NAME, nothing_yet, FILE_SIZE, NULL, NULL, NULL);
}

static const struct bp_field props[] = {
    BP_PROP("use-legacy-x86-rom", BOOL, struct ramfb, rom, "on", "a video BIOS for SeaBIOS too"),
    BP_FIELDS_END};
BP_DEVICE(ramfb_class, "ramfb", "system", "Frame buffer in guest RAM", struct ramfb, props, NULL,
          .category = "display", .attach = ramfb_attach, .detach = ramfb_detach, .reset = ramfb_reset);

static const struct bp_import imports[] = {BP_IMPORT(fw_cfg, "fw-cfg", 1),
                                           BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-ramfb", "Frame buffer in guest RAM", imports, {BP_PROVIDE_DEVICE, &ramfb_class});
