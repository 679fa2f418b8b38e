// SPDX-License-Identifier: LGPL-2.1-or-later
/* Floppy disk drives and their media: formats by size, the change line. */
#define BP_SHARED
#include <string.h>

#include "fdc.h"

enum { RATE_500, RATE_300, RATE_250, RATE_1000 };
enum { TYPE_AUTO, TYPE_120, TYPE_144, TYPE_288, TYPE_NONE };

/* The first of a drive's type is what it takes a medium for whose size is none of these. */
static const struct format {
    uint8_t type, cylinders, heads, sectors, rate;
} formats[] = {
    {TYPE_144, 80, 2, 18, RATE_500}, {TYPE_144, 80, 2, 20, RATE_500}, {TYPE_144, 80, 2, 21, RATE_500},
    {TYPE_144, 82, 2, 21, RATE_500}, {TYPE_144, 83, 2, 21, RATE_500}, {TYPE_144, 80, 2, 22, RATE_500},
    {TYPE_144, 80, 2, 23, RATE_500}, {TYPE_144, 80, 2, 24, RATE_500}, {TYPE_144, 80, 2, 9, RATE_250},
    {TYPE_144, 80, 2, 10, RATE_250}, {TYPE_288, 80, 2, 36, RATE_1000}, {TYPE_288, 80, 2, 39, RATE_1000},
    {TYPE_288, 80, 2, 40, RATE_1000}, {TYPE_288, 80, 2, 44, RATE_1000}, {TYPE_288, 80, 2, 48, RATE_1000},
    {TYPE_120, 80, 2, 15, RATE_500}, {TYPE_120, 80, 2, 18, RATE_500}, {TYPE_120, 40, 2, 9, RATE_300},
    {TYPE_120, 40, 2, 8, RATE_300}, {TYPE_120, 40, 1, 9, RATE_300}, {TYPE_120, 40, 1, 8, RATE_300}};

/* A drive for 2.88 MB takes media of 1.44 MB and 720 KB, too. */
static bool takes(int type, const struct format *f)
{
    return type == TYPE_AUTO || f->type == type || (type == TYPE_288 && f->type == TYPE_144);
}

static const struct format *format_of(int type, uint64_t sectors)
{
    for (size_t i = 0; i < BP_COUNT(formats); i++)
        if (takes(type, &formats[i]) &&
            (uint64_t)formats[i].cylinders * formats[i].heads * formats[i].sectors == sectors)
            return &formats[i];
    for (size_t i = 0; i < BP_COUNT(formats); i++)
        if (formats[i].type == (type == TYPE_AUTO ? TYPE_144 : type))
            return &formats[i];
    return &formats[0];
}

static void take_medium(struct floppy *d)
{
    int64_t length = block->length(d->blk);
    const struct format *f;

    d->cylinders = d->heads = d->sectors = 0;
    if (!block->inserted(d->blk) || length <= 0)
        return;
    f = format_of(d->type, (uint64_t)length / SECTOR);
    d->cylinders = f->cylinders;
    d->heads = f->heads;
    d->sectors = f->sectors;
    d->rate = f->rate;
}

struct floppy *fdc_drive(const struct fdc *s, unsigned unit)
{
    return unit < UNITS ? s->drives[unit] : NULL;
}

bool floppy_ready(const struct floppy *d)
{
    return d && d->sectors && !d->tray_open && block->inserted(d->blk);
}

uint8_t floppy_cmos_type(const struct floppy *d)
{
    static const uint8_t codes[] = {0, 2, 4, 5, 0};

    return d ? codes[d->type] : 0;
}

static void media_changed(void *opaque, bool loaded)
{
    struct floppy *d = opaque;

    d->changed = true;
    d->tray_open = !loaded;
    take_medium(d);
}

static bool tray_open(void *opaque)
{
    return ((struct floppy *)opaque)->tray_open;
}

static void resized(void *opaque)
{
    take_medium(opaque);
}

static const struct bp_blk_ops ops = {.size = sizeof(ops), .flags = BP_BLK_REMOVABLE | BP_BLK_READ_ONLY_OK,
                                      .media_changed = media_changed, .tray_open = tray_open,
                                      .resized = resized};

/* An automatic type is that of the medium, or what the controller falls back to. */
static void choose_type(struct floppy *d)
{
    int64_t length = block->length(d->blk);

    if (d->type != TYPE_AUTO)
        return;
    if (d->fdc->fd_type[d->unit] != TYPE_AUTO)
        d->type = d->fdc->fd_type[d->unit];
    else if (block->inserted(d->blk) && length > 0)
        d->type = format_of(TYPE_AUTO, (uint64_t)length / SECTOR)->type;
    else
        d->type = d->fdc->fallback == TYPE_AUTO ? TYPE_288 : d->fdc->fallback;
}

static int floppy_attach(struct bp_device *dev, struct bp_error *err)
{
    struct floppy *d = bp_device_state(dev);
    struct fdc *s = bp_device_state(bp_bus_bridge(bp_device_bus(dev)));
    int r;

    d->dev = dev;
    if (d->unit == UINT32_MAX)
        for (d->unit = 0; d->unit < UNITS && s->drives[d->unit];)
            d->unit++;
    if (d->unit >= UNITS)
        return bp_fail(err, EINVAL, "floppy: property 'unit': the controller has drives 0 and 1");
    if (s->drives[d->unit])
        return bp_fail(err, EBUSY, "floppy: unit %u is in use", d->unit);
    if (d->conf.logical_block_size > SECTOR || d->conf.physical_block_size > SECTOR)
        return bp_fail(err, EINVAL, "floppy: sectors have 512 bytes: logical_block_size and "
                       "physical_block_size are 512");
    r = block->open(dev, bp_device_owner(dev), NULL, &d->conf, &ops, d, &d->blk, err);
    if (r < 0)
        return r;
    r = block->conf_complete(d->blk, &d->conf, err);
    if (r < 0) {
        block->close(d->blk);
        return r;
    }
    d->fdc = s;
    s->drives[d->unit] = d;
    choose_type(d);
    take_medium(d);
    return 0;
}

static void floppy_detach(struct bp_device *dev)
{
    struct floppy *d = bp_device_state(dev);

    transfer_stop(d->fdc);
    block->close(d->blk);
    transfer_forget(d->fdc, d);
    d->fdc->drives[d->unit] = NULL;
    d->fdc = NULL;
}

static void floppy_reset(struct bp_device *dev)
{
    struct floppy *d = bp_device_state(dev);

    d->cylinder = 0;
    d->changed = true;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct floppy *d = state;

    (void)version, (void)err;
    take_medium(d);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct floppy, cylinder), BP_SAVE(BOOL, struct floppy, changed),
    BP_SAVE(BOOL, struct floppy, tray_open), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .after_load = after_load};

static const char *const type_names[] = {"auto", "120", "144", "288", "none", NULL};
const struct bp_schema floppy_type_schema = {"FloppyDriveType", BP_KIND_ENUM, NULL, type_names, NULL, NULL,
                                             BP_KIND_NONE, NULL, {NULL}};
static const struct bp_field props[] = {
    BP_BLK_PROPS(struct floppy, conf),
    BP_PROP("unit", UINT32, struct floppy, unit, "0xffffffff", "0 or 1; otherwise the next that is free"),
    BP_PROP_ENUM("drive-type", &floppy_type_schema, struct floppy, type, "auto",
                 "120, 144, 288; auto: by what is in it"),
    BP_PROP_BOOTINDEX(struct floppy, conf.bootindex), BP_FIELDS_END};

static void child_firmware_path(struct bp_device *child, char *buf, size_t size)
{
    const struct floppy *d = bp_device_state(child);
    static const char *const names[UNITS] = {"floppy@0", "floppy@1"};

    strncpy(buf, names[d->unit < UNITS ? d->unit : 0], size - 1);
    buf[size - 1] = 0;
}

BP_DEVICE(floppy_class, "floppy", "floppy-bus", "Floppy disk drive", struct floppy, props, &table,
          .category = "storage", .attach = floppy_attach, .detach = floppy_detach, .reset = floppy_reset,
          .replaces_default = "floppy");
BP_BUS(floppy_bus_class, "floppy-bus", "Floppy disk drives", char, .max_children = UNITS,
       .child_firmware_path = child_firmware_path);
