/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kernel of -kernel for firmware to start: its parts as items of fw_cfg, which UEFI firmware knows, and an option ROM
 * that starts them, for firmware that knows option ROMs (linuxboot.S).
 */
#include "boot-items.h"
#include "kernel-boot.h"
#include "pc.h"

#include <bp/chip/fw-cfg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernelboot.hex"
#include "linuxboot.hex"

#define ROM_SIZE 512u
#define SETUP_MAX 0xa000u
#define PNP_HEADER 0x20u
#define HEAP_END (0xe000u - 0x200u) /* the set-up code's stack is at 0xe000 */

/* Keys of an item's address, size and bytes. */
struct keys {
    uint16_t address, size, data;
};
static const struct keys kernel_keys = {0x07, 0x08, 0x11}, initrd_keys = {0x0a, 0x0b, 0x12},
                         cmdline_keys = {0x13, 0x14, 0x15}, setup_keys = {0x16, 0x17, 0x18};

static int add(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const struct keys *keys,
               uint64_t address, const void *data, uint64_t size, struct bp_error *err)
{
    uint32_t where = (uint32_t)address, length = (uint32_t)size;
    int r = fw_cfg->add(pc->fw_cfg, keys->address, &where, sizeof(where), err);

    if (r == 0)
        r = fw_cfg->add(pc->fw_cfg, keys->size, &length, sizeof(length), err);
    return r == 0 ? fw_cfg->add(pc->fw_cfg, keys->data, data, size, err) : r;
}

static int read_part(int fd, uint64_t offset, uint64_t size, uint8_t **ret_data, struct bp_error *err)
{
    uint8_t *data = malloc(size ? size : 1);

    if (!data)
        return bp_fail(err, ENOMEM, "no memory for a kernel file of %llu bytes", (unsigned long long)size);
    for (uint64_t at = 0; at < size;) {
        ssize_t got = pread(fd, data + at, size - at, (off_t)(offset + at));

        if (got <= 0) {
            free(data);
            return bp_fail(err, EIO, "reading a kernel file: %s", got < 0 ? strerror(errno) : "it became shorter");
        }
        at += (uint64_t)got;
    }
    *ret_data = data;
    return 0;
}

static int add_file(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const struct keys *keys,
                    uint64_t address, int fd, uint64_t offset, uint64_t size, struct bp_error *err)
{
    uint8_t *data;
    int r = read_part(fd, offset, size, &data, err);

    if (r < 0)
        return r;
    r = add(pc, fw_cfg, keys, address, data, size, err);
    free(data);
    return r;
}

static void put32(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* With what a boot loader fills in (boot.rst, "The real-mode kernel header"). */
static int add_setup(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const struct linux_parts *parts,
                     struct bp_error *err)
{
    uint8_t *setup;
    int r = parts->setup_size > SETUP_MAX || parts->setup_size < 0x230
                ? bp_fail(err, EFBIG, "the kernel's set-up code of %u bytes is too large for firmware to start it",
                          parts->setup_size)
                : read_part(parts->kernel, 0, parts->setup_size, &setup, err);

    if (r < 0)
        return r;
    setup[0x210] = 0xff;  /* type_of_loader: none assigned */
    setup[0x211] |= 0x80; /* CAN_USE_HEAP */
    setup[0x224] = HEAP_END & 0xff;
    setup[0x225] = HEAP_END >> 8;
    put32(setup + 0x228, parts->cmdline_address);
    put32(setup + 0x218, parts->initrd >= 0 ? parts->initrd_address : 0);
    put32(setup + 0x21c, parts->initrd >= 0 ? parts->initrd_size : 0);
    r = add(pc, fw_cfg, &setup_keys, parts->setup_address, setup, parts->setup_size, err);
    free(setup);
    return r;
}

static uint8_t sum(const uint8_t *p, size_t size)
{
    uint8_t total = 0;

    while (size--)
        total = (uint8_t)(total + *p++);
    return total;
}

_Static_assert(sizeof(linuxboot_code) < ROM_SIZE, "the ROM has a byte left for its checksum");
_Static_assert(sizeof(kernelboot_code) < ROM_SIZE, "so has this one");

static int add_rom(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const uint8_t *code, size_t size,
                   struct bp_error *err)
{
    uint8_t rom[ROM_SIZE] = {0};

    memcpy(rom, code, size);
    rom[2] = ROM_SIZE / 512;
    rom[PNP_HEADER + 9] = (uint8_t)-sum(rom + PNP_HEADER, 32);
    rom[ROM_SIZE - 1] = (uint8_t)-sum(rom, ROM_SIZE);
    return boot_add_option_rom(pc, fw_cfg, BOOT_KERNEL_ROM, rom, sizeof(rom), err);
}

static int other_to_firmware(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    static const struct keys *const keys[4] = {&kernel_keys, &initrd_keys, &cmdline_keys, &setup_keys};
    struct kernel_piece pieces[4];
    int r = kernel_boot_pieces(pc, linux_boot_other(pc), pieces, err);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < 4; i++) {
        if (r == 0 && pieces[i].size)
            r = add(pc, fw_cfg, keys[i], pieces[i].address, pieces[i].data, pieces[i].size, err);
        free(pieces[i].data);
    }
    return r == 0 ? add_rom(pc, fw_cfg, kernelboot_code, sizeof(kernelboot_code), err) : r;
}

int kernel_to_firmware(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    struct linux_parts parts;
    int r;

    if (linux_boot_other(pc))
        return other_to_firmware(pc, fw_cfg, err);
    linux_boot_parts(pc, &parts);
    r = add_file(pc, fw_cfg, &kernel_keys, parts.kernel_address, parts.kernel, parts.setup_size, parts.kernel_size,
                 err);
    if (r == 0 && parts.initrd >= 0)
        r = add_file(pc, fw_cfg, &initrd_keys, parts.initrd_address, parts.initrd, 0, parts.initrd_size, err);
    if (r == 0)
        r = add(pc, fw_cfg, &cmdline_keys, parts.cmdline_address, parts.cmdline, strlen(parts.cmdline) + 1, err);
    if (r == 0)
        r = add_setup(pc, fw_cfg, &parts, err);
    return r == 0 ? add_rom(pc, fw_cfg, linuxboot_code, sizeof(linuxboot_code), err) : r;
}
