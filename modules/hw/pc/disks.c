/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of a PC: drives that users gave with if=ide or if=floppy (and -hda, -cdrom, -fda, ...) become
 * devices, the default CD-ROM drive is made, and firmware is told of all by the clock's battery-backed RAM.
 */
#include "disks.h"

#include <stdlib.h>

#include <bp/value.h>

#define SCSI_ADAPTERS 8

void disks_places(struct bp_machine *m, const struct bp_block_interface *block, unsigned ide_units)
{
    static const char *const names[] = {"ide", "floppy", "pflash", "virtio", "scsi", NULL};
    const unsigned units[] = {ide_units, 2, 0, 0, 7};

    block->interfaces(m, "ide", names, units);
}

static int new_drive(struct bp_machine *m, const char *type, const char *bus_name, unsigned unit,
                     const char *drive, const struct bp_block_interface *block, struct bp_error *err)
{
    struct bp_bus *bus = bp_bus_find(m, bus_name);
    struct bp_device *dev;
    int r;

    if (!bus)
        return bp_fail(err, EINVAL, "drive '%s': this board has no bus '%s'", drive, bus_name);
    r = bp_device_new(m, type, NULL, &dev, err);
    if (r < 0)
        return r;
    r = bp_device_set(dev, "drive", drive, err);
    if (r == 0)
        r = bp_device_set_uint(dev, "unit", unit, err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    r = bp_device_attach(dev, bus, err);
    if (r == 0)
        block->claim(m, drive);
    return r;
}

int disks_make_ide(struct bp_machine *m, const struct bp_block_interface *block, unsigned units,
                   struct bp_error *err)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};
    char bus[24];
    int r = 0;

    for (unsigned n = 0; r == 0 && block->drive(m, "ide", n, &drive); n++) {
        snprintf(bus, sizeof(bus), "ide.%d", drive.bus);
        if (!bp_bus_find(m, bus))
            continue; /* the block layer says what would have been right */
        r = new_drive(m, drive.cdrom ? "ide-cd" : "ide-hd", bus, (unsigned)drive.unit, drive.id, block, err);
        if (r < 0)
            bp_error_prefix(err, "drive '%s'", drive.id);
    }
    /* The third place is the CD-ROM drive's: the second cable's first unit, or the third port. */
    if (r == 0 && bp_machine_defaults(m, "cdrom")) {
        int at = 2 / (int)units, unit = 2 % (int)units;

        r = block->add_default(m, "ide", at, unit, true, &drive, err);
        snprintf(bus, sizeof(bus), "ide.%d", at);
        if (r == 0)
            r = new_drive(m, "ide-cd", bus, (unsigned)unit, drive.id, block, err);
        else if (r == -EEXIST)
            r = 0;
    }
    return r;
}

int disks_make_virtio(struct bp_machine *m, const char *type, struct bp_bus *bus,
                      const struct bp_block_interface *block, struct bp_error *err)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};
    int r = 0;

    for (unsigned n = 0; r == 0 && block->drive(m, "virtio", n, &drive); n++) {
        struct bp_device *dev;

        r = bp_device_new(m, type, NULL, &dev, err);
        if (r == 0) {
            r = bp_device_set(dev, "drive", drive.id, err);
            if (r < 0)
                bp_device_destroy(dev);
            else
                r = bp_device_attach(dev, bus, err);
        }
        if (r == 0)
            block->claim(m, drive.id);
        else
            bp_error_prefix(err, "drive '%s'", drive.id);
    }
    return r;
}

static int new_adapter(struct bp_machine *m, struct bp_bus *pci, struct bp_bus **ret_bus, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(m, "lsi53c895a", NULL, &dev, err);

    if (r == 0)
        r = bp_device_attach(dev, pci, err);
    if (r == 0)
        *ret_bus = bp_device_bridged(dev, "scsi");
    return r;
}

static int new_unit(struct bp_machine *m, struct bp_bus *bus, const struct bp_block_drive *drive, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(m, drive->cdrom ? "scsi-cd" : "scsi-hd", NULL, &dev, err);

    if (r < 0)
        return r;
    r = bp_device_set(dev, "drive", drive->id, err);
    if (r == 0)
        r = bp_device_place(dev, bus, err);
    if (r == 0)
        r = bp_device_set_uint(dev, "scsi-id", (unsigned)drive->unit, err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    return bp_device_attach(dev, bus, err);
}

int disks_make_scsi(struct bp_machine *m, struct bp_bus *pci, const struct bp_block_interface *block,
                    struct bp_error *err)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};
    struct bp_bus *bus = NULL;
    int r = 0, made = 0;

    for (unsigned n = 0; r == 0 && block->drive(m, "scsi", n, &drive); n++) { /* by bus and unit */
        if (drive.bus >= SCSI_ADAPTERS)
            break; /* the block layer says that such a drive has no place */
        for (; r == 0 && made <= drive.bus; made++)
            r = new_adapter(m, pci, &bus, err);
        if (r == 0)
            r = new_unit(m, bus, &drive, err);
        if (r == 0)
            block->claim(m, drive.id);
        else
            bp_error_prefix(err, "drive '%s'", drive.id);
    }
    return r;
}

int disks_make_floppies(struct bp_machine *m, struct bp_bus *isa, const struct bp_block_interface *block,
                        bool with_default, struct bp_device **ret_fdc, struct bp_error *err)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};
    struct bp_device *fdc;
    const char *bus;
    int r = bp_device_new(m, "isa-fdc", NULL, &fdc, err);

    if (r == 0)
        r = bp_device_attach(fdc, isa, err);
    if (r < 0)
        return r;
    *ret_fdc = fdc;
    bus = bp_bus_name(bp_device_bridged(fdc, "floppy-bus"));
    for (unsigned n = 0; r == 0 && block->drive(m, "floppy", n, &drive); n++)
        if (drive.bus == 0)
            r = new_drive(m, "floppy", bus, (unsigned)drive.unit, drive.id, block, err);
    if (r == 0 && with_default && bp_machine_defaults(m, "floppy")) {
        r = block->add_default(m, "floppy", 0, 0, false, &drive, err);
        if (r == 0)
            r = new_drive(m, "floppy", bus, 0, drive.id, block, err);
        else if (r == -EEXIST)
            r = 0;
    }
    return r;
}

/* 0x10: types of the floppy drives; 0x14: what there is: coprocessor, mouse, floppy drives. */
void disks_floppies_to_nvram(struct bp_device *fdc, struct bp_device *rtc, const struct bp_fdc_interface *iface,
                             const struct bp_rtc_nvram_interface *nvram)
{
    uint8_t a = fdc ? iface->drive_type(fdc, 0) : 0, b = fdc ? iface->drive_type(fdc, 1) : 0;
    unsigned drives = (a != 0) + (b != 0);

    nvram->set(rtc, 0x10, (uint8_t)(a << 4 | b));
    nvram->set(rtc, 0x14, (uint8_t)(0x06 | (drives ? 1 | (drives - 1) << 6 : 0)));
}

/* Types 46 and 47 are tables of firmware's: 0x19, 0x1a say so, the geometry follows; 0x39 has two bits for each
 * of four disks: how their addresses are translated. */
void disks_to_nvram(struct bp_machine *m, struct bp_device *rtc, const struct bp_ide_interface *ide,
                    const struct bp_rtc_nvram_interface *nvram)
{
    static const uint8_t table[2] = {0x1b, 0x24}, type[2] = {0x19, 0x1a};
    uint8_t types = 0, translation = 0;

    for (unsigned n = 0; n < 4; n++) {
        struct bp_ide_geometry g = {.size = sizeof(g)};
        struct bp_bus *bus = bp_bus_find(m, n < 2 ? "ide.0" : "ide.1");

        if (!bus || !ide->geometry(bus, n & 1, &g))
            continue;
        translation |= (uint8_t)(g.translation << 2 * n);
        if (n >= 2)
            continue;
        const uint8_t bytes[9] = {(uint8_t)g.cyls, (uint8_t)(g.cyls >> 8), (uint8_t)g.heads, 0xff, 0xff,
                                  (uint8_t)(0xc0 | (g.heads > 8) << 3), (uint8_t)g.cyls,
                                  (uint8_t)(g.cyls >> 8), (uint8_t)g.secs};
        types |= n ? 0x0f : 0xf0;
        nvram->set(rtc, type[n], 47);
        for (unsigned i = 0; i < 9; i++)
            nvram->set(rtc, table[n] + i, bytes[i]);
    }
    nvram->set(rtc, 0x12, types);
    nvram->set(rtc, 0x39, translation);
}
