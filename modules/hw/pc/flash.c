/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where firmware of a PC is in memory: a ROM, or flash chips. Unit 0 of if=pflash (or the node that pflash0=
 * names) ends at 4 GiB, unit 1 is right below it. What unit 0 has last is below 1 MiB, too. With UEFI firmware
 * unit 0 holds the code and unit 1 the variables.
 */
#include "flash.h"
#include "boot-items.h"
#include "chipset.h"
#include "pc.h"

#include <bp/chip/pc-host.h>
#include <bp/chip/pflash.h>
#include <bp/host/block.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 4096u
#define MAX_SIZE (8u << 20) /* of both */
#define LOW_SIZE 131072u

/* The names of the two images; NULL: none. Strings of drives last as long as the drives. */
static int find_images(struct pc *pc, const struct bp_block_interface *block, const char *images[2],
                       struct bp_error *err)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};

    images[0] = pc->pflash[0] && *pc->pflash[0] ? pc->pflash[0] : NULL;
    images[1] = pc->pflash[1] && *pc->pflash[1] ? pc->pflash[1] : NULL;
    for (unsigned n = 0; block->drive(pc->machine, "pflash", n, &drive); n++) {
        if (drive.unit > 1)
            return bp_fail(err, EINVAL, "drive '%s': there are two flash chips here: if=pflash,unit=0 and unit=1",
                           drive.id);
        if (images[drive.unit])
            return bp_fail(err, EINVAL, "-machine pflash%d=%s and drive '%s' are for the same flash chip", drive.unit,
                           images[drive.unit], drive.id);
        images[drive.unit] = drive.id;
        block->claim(pc->machine, drive.id);
    }
    if (images[1] && !images[0])
        return bp_fail(err, EINVAL, "drive '%s' is the second flash chip, and there is no first: "
                "give firmware's code as "
                       "-drive if=pflash,unit=0,format=raw,readonly=on,file=CODE.fd, its variables as unit=1",
                           images[1]);
    return 0;
}

static int make_chip(struct pc *pc, unsigned n, const char *image, struct bp_device **ret_dev, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(pc->machine, "cfi.pflash01", NULL, &dev, err);

    if (r < 0)
        return r;
    r = bp_device_set(dev, "drive", image, err);
    if (r == 0)
        r = bp_device_set_uint(dev, "sector-length", SECTOR, err);
    if (r == 0)
        r = bp_device_set(dev, "name", n ? "system.flash1" : "system.flash0", err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    *ret_dev = dev;
    return bp_device_attach(dev, NULL, err);
}

/* With secure=on only SMM may write, so that there has to be one. */
static int check_secure(const struct pc *pc, struct bp_device *dev, const char *image, struct bp_error *err)
{
    struct bp_value *v = NULL;
    bool secure = bp_object_get(bp_device_object(dev), "secure", &v, NULL) == 0 && bp_value_as_bool(v);

    bp_value_unref(v);
    if (!secure || (bp_machine_has_smm(pc->machine) && strcmp(pc->choices.smm, "off") != 0))
        return 0;
    return bp_fail(err, ENOTSUP, "drive '%s': cfi.pflash01's secure=on lets only system management mode write, which "
                   "this machine does not have: use -machine smm=on with an accelerator that runs it, or secure=off",
                   image);
}

bool flash_is_code_alone(const uint8_t *image, size_t size)
{
    static const uint8_t variables[16] = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
                                          0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};

    /* A firmware volume (UEFI PI 1.7, volume 3, 3.2.1) that is not that of the variables. */
    return size > 0x40 && memcmp(image + 0x28, "_FVH", 4) == 0 && memcmp(image + 0x10, variables, 16) != 0;
}

static int map_low(struct pc *pc, struct bp_region *pci, struct bp_region *flash, struct bp_error *err)
{
    uint64_t size = bp_region_size(flash), low = size < LOW_SIZE ? size : LOW_SIZE;
    struct bp_region *rom;
    int r = bp_region_new_rom(bp_machine_owner(pc->machine), "pc.bios-low", low, NULL, NULL, &rom, err);

    if (r < 0)
        return r;
    memcpy(bp_region_ram(rom), (uint8_t *)bp_region_ram(flash) + size - low, low);
    bp_region_add(pci, rom, (1u << 20) - low, 1);
    return 0;
}

int flash_make(struct pc *pc, const struct bp_block_interface *block, const struct bp_pflash_interface *pflash,
               struct bp_region *pci, struct bp_error *err)
{
    const char *images[2];
    uint64_t end = 1ull << 32;
    int r = find_images(pc, block, images, err);

    for (unsigned n = 0; r == 0 && n < 2 && images[n]; n++) {
        struct bp_device *dev;
        struct bp_region *region;

        r = make_chip(pc, n, images[n], &dev, err);
        if (r == 0)
            r = check_secure(pc, dev, images[n], err);
        if (r < 0)
            return r;
        region = pflash->region(dev);
        end -= bp_region_size(region);
        if ((1ull << 32) - end > MAX_SIZE)
            return bp_fail(err, EFBIG, "drive '%s': flash chips of this board have 8 MiB together "
                    "at most; with this one "
                           "of %llu KiB there would be %llu KiB", images[n],
                           (unsigned long long)bp_region_size(region) >> 10,
                               (unsigned long long)((1ull << 32) - end) >> 10);
        if (n == 0 && !images[1] && flash_is_code_alone(bp_region_ram(region), bp_region_size(region)))
            return bp_fail(err, EINVAL, "drive '%s' is UEFI's code without its variables: add a "
                    "copy of the variables' "
                           "template as -drive if=pflash,unit=1,format=raw,file=COPY-OF-OVMF_VARS.fd", images[n]);
        bp_region_add(pci, region, end, 0);
        if (n == 0)
            r = map_low(pc, pci, region, err);
        pc->firmware = true;
    }
    return r;
}

int firmware_map(struct pc *pc, const char *name, struct bp_error *err)
{
    struct bp_owner *owner = bp_machine_owner(pc->machine);
    struct bp_region *rom, *pci = pc->host_if->pci_memory(pc->host);
    uint8_t *data;
    size_t size;
    int r = boot_read_file(pc->machine, "-bios", name, 16u << 20, &data, &size, err);

    if (r < 0)
        return r;
    if (flash_is_code_alone(data, size))
        r = bp_fail(err, EINVAL, "-bios %s is UEFI's code without its variables: give both as flash chips, -drive "
                    "if=pflash,unit=0,format=raw,readonly=on,file=%s -drive if=pflash,unit=1,format=raw,"
                    "file=COPY-OF-OVMF_VARS.fd", name, name);
    else if (size % 65536)
        r = bp_fail(err, EINVAL, "-bios %s: it has %zu bytes; accepted: a multiple of 64 KiB up to 16 MiB", name,
                    size);
    if (r == 0)
        r = bp_region_new_rom(owner, "pc.bios", size, NULL, NULL, &rom, err);
    if (r == 0)
        memcpy(bp_region_ram(rom), data, size);
    free(data);
    if (r < 0)
        return r;
    uint64_t low = size < 131072 ? size : 131072;
    bp_region_add(pci, rom, (1ull << 32) - size, 0);
    if (pc->chipset->no_pci)
        pc->bios = rom;
    else
        bp_region_add(pci, bp_region_new_alias(owner, "pc.bios-low", rom, size - low, low), (1u << 20) - low, 1);
    pc->firmware = true;
    return 0;
}

void firmware_copy(const struct pc *pc)
{
    uint64_t size = bp_region_size(pc->bios), low = size < LOW_SIZE ? size : LOW_SIZE;

    bp_space_write(bp_machine_memory(pc->machine), (1u << 20) - low, (uint8_t *)bp_region_ram(pc->bios) + size - low,
                   low);
}

int firmware_map_entry(struct pc *pc, struct bp_error *err)
{
    struct bp_region *rom;
    int r = bp_region_new_rom(bp_machine_owner(pc->machine), "pc.entry", PC_ROM_SIZE, NULL, NULL, &rom, err);

    if (r < 0)
        return r;
    firmware_entry(bp_region_ram(rom));
    bp_region_add(pc->host_if->pci_memory(pc->host), rom, (1ull << 32) - PC_ROM_SIZE, 0);
    return 0;
}
