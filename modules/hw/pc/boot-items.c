/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What firmware finds in fw_cfg and in the clock's battery-backed RAM of a PC: memory map, order of booting,
 * menu, picture, option ROMs, sleep states, ACPI tables. Names and layouts are those that SeaBIOS and OVMF read.
 */
#include "acpi-image.h"
#include "boot-items.h"
#include "pc.h"

#include <bp/chip/fw-cfg.h>
#include <bp/chip/mc146818.h>
#include <bp/log.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_NOGRAPHIC 0x04u
#define KEY_BOOT_MENU 0x0eu
#define KEY_IRQ0_OVERRIDE 0x8002u
#define MAX_ROM (16u << 20)
#define PAGE 4096u
#define ISA_VGA_ROM "vgabios-isavga.bin" /* of package seabios */

/* ---- files of the user's ---- */

int boot_read_file(struct bp_machine *m, const char *option, const char *name, size_t max, uint8_t **ret_data,
                   size_t *ret_size, struct bp_error *err)
{
    char *path = bp_machine_find_data(m, name);
    int fd = open(path ? path : name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), r = 0;
    uint8_t *data = NULL;
    struct stat st;

    free(path);
    if (fd < 0)
        return bp_fail(err, errno, "%s %s: %s (looked for beside -L's directories, too; -L help lists them)", option,
                       name, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        r = bp_fail(err, EINVAL, "%s %s: not a regular file", option, name);
    else if (st.st_size == 0 || (uint64_t)st.st_size > max)
        r = bp_fail(err, EINVAL, "%s %s: it has %lld bytes; accepted: 1 to %zu", option, name,
                    (long long)st.st_size, max);
    else if (!(data = malloc((size_t)st.st_size)))
        r = bp_fail(err, ENOMEM, "%s %s: no memory for %lld bytes", option, name, (long long)st.st_size);
    else if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
        r = bp_fail(err, EIO, "%s %s: cannot be read whole", option, name);
    close(fd);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_size = (size_t)st.st_size;
    return 0;
}

/* ---- -boot ---- */

/* What firmware calls a drive letter in the clock's RAM; 0: no such drive. */
static uint8_t letter_code(char letter)
{
    return letter == 'a' || letter == 'b' ? 1 : letter == 'c' ? 2 : letter == 'd' ? 3
         : letter >= 'n' && letter <= 'p' ? 4 : 0;
}

int boot_check_order(const char *key, const char *order, struct bp_error *err)
{
    for (const char *p = order; *p; p++) {
        if (!letter_code(*p))
            return bp_fail(err, EINVAL, "-boot %s=%s: there is no drive '%c'; accepted: a and b (floppies), c (disk), "
                           "d (CD-ROM), n to p (network)", key, order, *p);
    }
    if (strlen(order) > 3)
        return bp_fail(err, EINVAL, "-boot %s=%s: firmware tries three drives at most; name the first three, or "
                       "give the devices bootindex=", key, order);
    return 0;
}

void boot_order_to_nvram(const struct pc *pc, const struct bp_rtc_nvram_interface *nvram)
{
    const char *order = bp_machine_boot(pc->machine)->now;
    uint8_t code[3] = {0};

    if (!order)
        order = "cad";
    for (unsigned i = 0; i < 3 && order[i]; i++)
        code[i] = letter_code(order[i]);
    nvram->set(pc->rtc, 0x3d, (uint8_t)(code[1] << 4 | code[0]));
    nvram->set(pc->rtc, 0x38, (uint8_t)(code[2] << 4 | (pc->fd_bootchk ? 0 : 1)));
}

static int add_boot_list(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    char *list;
    int r = bp_machine_boot_list(pc->machine, &list, err);

    if (r < 0)
        return r;
    size_t room = strlen(list) + sizeof("/rom@genroms/" BOOT_KERNEL_ROM "\n");
    char *text = malloc(room);
    if (text) {
        snprintf(text, room, "%s%s%s", pc->boot ? "/rom@genroms/" BOOT_KERNEL_ROM : "", pc->boot && *list ? "\n" : "",
                 list);
        r = fw_cfg->add_file(pc->fw_cfg, "bootorder", text, *text ? strlen(text) + 1 : 0, err);
    } else {
        r = bp_fail(err, ENOMEM, "no memory for the order of booting");
    }
    free(text);
    free(list);
    return r;
}

void boot_items_reset(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg,
                      const struct bp_rtc_nvram_interface *nvram)
{
    struct bp_error err = {0};

    boot_order_to_nvram(pc, nvram);
    if (add_boot_list(pc, fw_cfg, &err) < 0) /* a device that came meanwhile */
        bp_warn("%s: the order of before stands", err.message);
}

/* JPEG, or BMP with 24 bits: what firmware can show. */
static const char *splash_name(const uint8_t *data, size_t size)
{
    if (size > 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff)
        return "bootsplash.jpg";
    if (size > 30 && data[0] == 'B' && data[1] == 'M' && data[28] == 24 && data[29] == 0)
        return "bootsplash.bmp";
    return NULL;
}

static int add_splash(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const char *file,
                      struct bp_error *err)
{
    const char *name;
    uint8_t *data;
    size_t size;
    int r = boot_read_file(pc->machine, "-boot splash", file, MAX_ROM, &data, &size, err);

    if (r < 0)
        return r;
    name = splash_name(data, size);
    r = name ? fw_cfg->add_file(pc->fw_cfg, name, data, size, err)
             : bp_fail(err, EINVAL, "-boot splash=%s: firmware shows JPEG pictures and BMP pictures of 24 bits per "
                       "pixel; this is neither", file);
    free(data);
    return r;
}

static int add_boot_options(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    const struct bp_boot *boot = bp_machine_boot(pc->machine);
    uint16_t menu = boot->menu, wait = (uint16_t)boot->splash_time;
    uint32_t fail_wait = (uint32_t)boot->reboot_timeout;
    int r = fw_cfg->add(pc->fw_cfg, KEY_BOOT_MENU, &menu, sizeof(menu), err);

    if (r == 0 && boot->splash)
        r = add_splash(pc, fw_cfg, boot->splash, err);
    if (r == 0 && boot->splash_time >= 0)
        r = fw_cfg->add_file(pc->fw_cfg, "etc/boot-menu-wait", &wait, sizeof(wait), err);
    if (r == 0 && boot->reboot_timeout >= -1)
        r = fw_cfg->add_file(pc->fw_cfg, "etc/boot-fail-wait", &fail_wait, sizeof(fail_wait), err);
    return r == 0 ? add_boot_list(pc, fw_cfg, err) : r;
}

/* ---- option ROMs ---- */

int boot_add_option_rom(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const char *name,
                        const uint8_t *data, size_t size, struct bp_error *err)
{
    const char *base = strrchr(name, '/');
    char file[128];

    snprintf(file, sizeof(file), "genroms/%s", base ? base + 1 : name);
    return fw_cfg->add_file(pc->fw_cfg, file, data, size, err);
}

static int add_option_roms(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    const char *path;
    int r = 0;

    for (unsigned i = 0; r == 0 && (path = bp_machine_option_rom(pc->machine, i, NULL)); i++) {
        uint8_t *data;
        size_t size;

        r = boot_read_file(pc->machine, "-option-rom", path, MAX_ROM, &data, &size, err);
        if (r < 0)
            return r;
        if (size < 3 || data[0] != 0x55 || data[1] != 0xaa)
            r = bp_fail(err, EINVAL, "-option-rom %s: no option ROM: one begins with the bytes 55 aa", path);
        else
            r = boot_add_option_rom(pc, fw_cfg, path, data, size, err);
        free(data);
    }
    return r;
}

/* An adapter on the ISA bus has no ROM of its own that firmware would find. */
static int add_vga_rom(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    static const struct {
        const char *type, *file, *item;
    } roms[] = {{"isa-vga", ISA_VGA_ROM, "vgaroms/" ISA_VGA_ROM},
                {"isa-cirrus-vga", "vgabios-cirrus.bin", "vgaroms/vgabios-cirrus.bin"}};
    struct bp_error why = {0};
    unsigned which = 0;
    uint8_t *data;
    size_t size;
    int r;

    while (which < BP_COUNT(roms) && !bp_device_first(pc->machine, roms[which].type))
        which++;
    if (which == BP_COUNT(roms))
        return 0;
    if (boot_read_file(pc->machine, roms[which].type, roms[which].file, MAX_ROM, &data, &size, &why) < 0) {
        bp_warn("the screen stays dark: %s", why.message);
        return 0;
    }
    r = fw_cfg->add_file(pc->fw_cfg, roms[which].item, data, size, err);
    free(data);
    return r;
}

/* ---- the machine ---- */

static int add_memory_map(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    const struct e820 map[] = {{0, pc->low_size, 1}, {1ull << 32, pc->high_size, 1}};
    uint8_t packed[BP_COUNT(map) * 20], *p = packed;
    uint64_t end = pc->devices_base + pc->devices_length;
    int r = 0;

    for (unsigned i = 0; i < BP_COUNT(map) && map[i].length; i++, p += 20) {
        memcpy(p, &map[i].start, 8);
        memcpy(p + 8, &map[i].length, 8);
        memcpy(p + 16, &map[i].type, 4);
    }
    /* What firmware gives addresses above 4 GiB begins behind memory that may come. */
    if (pc->devices_length)
        r = fw_cfg->add_file(pc->fw_cfg, "etc/reserved-memory-end", &end, sizeof(end), err);
    if (r < 0)
        return r;
    return fw_cfg->add_file(pc->fw_cfg, "etc/e820", packed, (size_t)(p - packed), err);
}

static int add_machine(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    /* For S0 to S5: bit 7 it is there, bits 0-6 what SLP_TYP says for it. */
    const uint8_t states[6] = {0x80, 0, 0, (acpi_has_sleep(pc, 3) ? 0x80 : 0) | PC_SLP_S3,
                               (acpi_has_sleep(pc, 4) ? 0x80 : 0) | PC_SLP_S4, 0x80 | PC_SLP_S5};
    const uint64_t sercon = 0x3f8;
    const uint32_t irq0_override = 1;
    const uint16_t nographic = !pc->graphics;
    int r = add_memory_map(pc, fw_cfg, err);

    if (r == 0)
        r = fw_cfg->add(pc->fw_cfg, KEY_NOGRAPHIC, &nographic, sizeof(nographic), err);
    if (r == 0)
        r = fw_cfg->add(pc->fw_cfg, KEY_IRQ0_OVERRIDE, &irq0_override, sizeof(irq0_override), err);
    if (r == 0)
        r = fw_cfg->add_file(pc->fw_cfg, "etc/system-states", states, sizeof(states), err);
    if (r == 0 && !pc->graphics) /* SeaBIOS shows on the serial port what it would show on the screen */
        r = fw_cfg->add_file(pc->fw_cfg, "etc/sercon-port", &sercon, sizeof(sercon), err);
    return r;
}

/* ---- ACPI ---- */

static size_t round_up(size_t n)
{
    return (n + PAGE) / PAGE * PAGE;
}

/*
 * Firmware reads the sizes before it reads the files: they are settled at the start, and stay. There is room for
 * half as much again: tables come when firmware has set a device up (MCFG), or a device is plugged.
 */
static int put(struct bp_device *dev, const struct bp_fw_cfg_interface *fw_cfg, const char *name, const void *data,
               size_t size, struct bp_error *err)
{
    size_t room;
    uint8_t *padded;
    int r;

    if (!fw_cfg->content(dev, name, &room))
        room = round_up(size + size / 2);
    if (size > room)
        return bp_fail(err, ENOSPC, "fw_cfg: '%s' grew from %zu to %zu bytes", name, room, size);
    padded = calloc(1, room);
    if (!padded)
        return bp_fail(err, ENOMEM, "no memory for the ACPI tables");
    memcpy(padded, data, size);
    r = fw_cfg->add_file(dev, name, padded, room, err);
    free(padded);
    return r;
}

int boot_put_acpi(struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    struct acpi_image image;
    uint8_t *script;
    size_t size;
    int r = acpi_build(pc, &image, err);

    if (r < 0)
        return r;
    r = acpi_image_script(&image, &script, &size, err);
    if (r == 0) {
        r = put(pc->fw_cfg, fw_cfg, ACPI_LOADER_FILE, script, size, err);
        free(script);
    }
    if (r == 0)
        r = put(pc->fw_cfg, fw_cfg, ACPI_TABLES_FILE, image.data, image.size, err);
    if (r == 0)
        r = fw_cfg->add_file(pc->fw_cfg, ACPI_RSDP_FILE, image.rsdp, sizeof(image.rsdp), err);
    acpi_image_free(&image);
    return r;
}

int boot_items_add(struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err)
{
    int r = add_machine(pc, fw_cfg, err);

    if (r == 0)
        r = add_boot_options(pc, fw_cfg, err);
    if (r == 0)
        r = add_vga_rom(pc, fw_cfg, err);
    if (r == 0)
        r = add_option_roms(pc, fw_cfg, err);
    return r;
}
