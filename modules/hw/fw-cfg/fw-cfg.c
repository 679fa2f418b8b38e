// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The firmware configuration device (specification: Linux Documentation/ABI/testing/
 * sysfs-firmware-qemu_fw_cfg and the device's public interface description): selector at 0x510,
 * data at 0x511, DMA address at 0x514, a directory of named items, some of which the guest may write by DMA.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/chip/fw-cfg.h>
#include <bp/bus/isa.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "fw-cfg.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);

#define KEY_SIGNATURE 0x0000u
#define KEY_ID 0x0001u
#define KEY_DIRECTORY 0x0019u
#define KEY_FIRST_FILE 0x0020u
#define MAX_FILES 256u
#define MAX_NAME 56u
#define KEY_MASK 0x3fffu
#define KEY_ARCH 0x8000u /* the architecture's own keys, beside the common ones */
#define MAX_WRITABLE 4096u      /* bytes of one that the guest may write */
#define MAX_SAVED (MAX_FILES * (MAX_NAME + 4u + MAX_WRITABLE))

#define DMA_STEP (256u << 10) /* bytes moved at once under the machine lock */
#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SKIP 0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE 0x10u
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

struct item {
    uint8_t *data; /* owned */
    uint32_t len;
    char name[MAX_NAME]; /* files only */
    void (*selected)(void *opaque); /* NULL: it stays as it is */
    void *selected_opaque;
    bool writable;
    void (*written)(void *opaque); /* or NULL */
    void *written_opaque;
};

struct fw_cfg {
    struct item classic[KEY_FIRST_FILE], arch[KEY_FIRST_FILE];
    struct item file[MAX_FILES]; /* selector KEY_FIRST_FILE + index */
    uint32_t files;
    bool looked_at; /* the guest may know selectors: they stay. Before that files are sorted by name */
    uint32_t iobase, dma_iobase;
    bool dma_enabled;
    uint16_t key;
    uint32_t offset;
    uint64_t dma_address;
    /* A DMA that is under way: a long one goes step by step. */
    uint64_t dma_at;   /* its command; written to when it ends */
    uint64_t dma_to;
    uint32_t dma_left;
    bool dma_busy;
    struct bp_deferred *dma_step;
    struct bp_space *memory;
    struct bp_state_bytes writable; /* while saving and loading: name, length, bytes of each writable file */
};

/* ---- items ---- */
static struct item *selected(struct fw_cfg *s)
{
    unsigned key = s->key & KEY_MASK;

    if (s->key & KEY_ARCH)
        return key < KEY_FIRST_FILE ? &s->arch[key] : NULL;
    if (key < KEY_FIRST_FILE)
        return &s->classic[key];
    return key - KEY_FIRST_FILE < s->files ? &s->file[key - KEY_FIRST_FILE] : NULL;
}

static int set_data(struct item *item, const void *data, size_t len, struct bp_error *err)
{
    uint8_t *copy;

    if (len > MAX_ITEM)
        return bp_fail(err, EFBIG, "fw_cfg: an item has at most 256 MiB");
    copy = malloc(len ? len : 1);
    if (!copy)
        return bp_fail(err, ENOMEM, "fw_cfg: no memory for an item of %zu bytes", len);
    if (len)
        memcpy(copy, data, len);
    free(item->data);
    item->data = copy;
    item->len = (uint32_t)len;
    return 0;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Directory: count, then per file size, selector, reserved, name; numbers are big-endian. */
static int make_directory(struct fw_cfg *s, struct bp_error *err)
{
    size_t len = 4 + s->files * (size_t)64;
    uint8_t *dir = calloc(1, len);
    int r;

    if (!dir)
        return bp_fail(err, ENOMEM, "fw_cfg: no memory for the directory");
    put_be32(dir, s->files);
    for (uint32_t i = 0; i < s->files; i++) {
        uint8_t *entry = dir + 4 + i * (size_t)64;

        put_be32(entry, s->file[i].len);
        put_be32(entry + 4, (KEY_FIRST_FILE + i) << 16); /* 16 bits, then 16 reserved */
        memcpy(entry + 8, s->file[i].name, MAX_NAME);
    }
    r = set_data(&s->classic[KEY_DIRECTORY], dir, len, err);
    free(dir);
    return r;
}

static int fw_cfg_add(struct bp_device *dev, uint16_t key, const void *data, size_t len,
                      struct bp_error *err)
{
    struct fw_cfg *s = bp_device_state(dev);

    unsigned n = key & ~KEY_ARCH;

    if (n >= KEY_FIRST_FILE || key == KEY_DIRECTORY)
        return bp_fail(err, EINVAL, "fw_cfg: key 0x%x is neither a classic item nor one of the "
                       "architecture's", key);
    return set_data(key & KEY_ARCH ? &s->arch[n] : &s->classic[n], data, len, err);
}

static struct item *find_file(struct fw_cfg *s, const char *name)
{
    for (uint32_t i = 0; i < s->files; i++) {
        if (strcmp(s->file[i].name, name) == 0)
            return &s->file[i];
    }
    return NULL;
}

int fw_cfg_add_file(struct bp_device *dev, const char *name, const void *data, size_t len,
                           struct bp_error *err)
{
    struct fw_cfg *s = bp_device_state(dev);
    struct item item = {0};
    uint32_t at = 0;
    int r;

    if (!name[0] || strlen(name) >= MAX_NAME)
        return bp_fail(err, EINVAL, "fw_cfg: file name '%s' must have 1 to %u bytes", name,
                       MAX_NAME - 1);
    struct item *there = find_file(s, name);

    if (there) {
        r = set_data(there, data, len, err);
        return r < 0 ? r : make_directory(s, err);
    }
    while (at < s->files && (s->looked_at || strcmp(s->file[at].name, name) < 0))
        at++;
    if (s->files == MAX_FILES)
        return bp_fail(err, ENOSPC, "fw_cfg: more than %u files", MAX_FILES);
    r = set_data(&item, data, len, err);
    if (r < 0)
        return r;
    strcpy(item.name, name);
    memmove(&s->file[at + 1], &s->file[at], (s->files - at) * sizeof(s->file[0]));
    s->file[at] = item;
    s->files++;
    return make_directory(s, err);
}

static int fw_cfg_on_select(struct bp_device *dev, const char *name, void (*fn)(void *opaque), void *opaque,
                            struct bp_error *err)
{
    struct item *item = find_file(bp_device_state(dev), name);

    if (!item)
        return bp_fail(err, ENOENT, "fw_cfg: there is no file '%s'", name);
    item->selected = fn;
    item->selected_opaque = opaque;
    return 0;
}

static int fw_cfg_add_writable(struct bp_device *dev, const char *name, const void *data, size_t len,
                               void (*written)(void *opaque), void *opaque, struct bp_error *err)
{
    struct item *item;
    int r;

    if (len > MAX_WRITABLE)
        return bp_fail(err, EFBIG, "fw_cfg: '%s': a file that the guest may write has at most %u bytes", name,
                       MAX_WRITABLE);
    r = fw_cfg_add_file(dev, name, data, len, err);
    if (r < 0)
        return r;
    item = find_file(bp_device_state(dev), name);
    item->writable = true;
    item->written = written;
    item->written_opaque = opaque;
    return 0;
}

static const void *fw_cfg_content(struct bp_device *dev, const char *name, size_t *ret_len)
{
    const struct item *item = find_file(bp_device_state(dev), name);

    if (!item)
        return NULL;
    *ret_len = item->len;
    return item->data;
}

/* ---- ports ---- */
static void select_item(struct fw_cfg *s, uint16_t key)
{
    const struct item *item;

    s->key = key;
    s->offset = 0;
    item = selected(s);
    if (item && item->selected)
        item->selected(item->selected_opaque);
}

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct fw_cfg *s = opaque;
    const struct item *item = selected(s);

    (void)size;
    if (addr != 1 || !item || s->offset >= item->len)
        return 0;
    return item->data[s->offset++];
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct fw_cfg *s = opaque;

    if (addr != 0 || size != 2)
        return;
    s->looked_at = true;
    select_item(s, (uint16_t)value);
}

static const struct bp_region_ops port_ops = {
    .size = sizeof(port_ops), .read = port_read, .write = port_write, .max_access = 2,
    .valid_max = 2};

/* The guest writes: within what is there, and only where it may. */
static bool take(struct fw_cfg *s, uint64_t address, uint32_t len)
{
    struct item *item = selected(s);

    if (!item || !item->writable || s->offset > item->len || len > item->len - s->offset) {
        bp_guest_error("fw-cfg-write", "fw_cfg: write of %u bytes to key 0x%x refused", len, s->key);
        return false;
    }
    if (bp_space_read(s->memory, address, item->data + s->offset, len) < 0)
        return false;
    s->offset += len;
    if (item->written)
        item->written(item->written_opaque);
    return true;
}

static void advance(struct fw_cfg *s, uint32_t len)
{
    s->offset = len > UINT32_MAX - s->offset ? UINT32_MAX : s->offset + len;
}

/* Reads past the end give zeroes. */
static bool give(struct fw_cfg *s, uint64_t address, uint32_t len)
{
    const struct item *item = selected(s);
    uint32_t have = item && s->offset < item->len ? item->len - s->offset : 0, n = len < have ? len : have;
    bool ok = n == 0 || bp_space_write(s->memory, address, item->data + s->offset, n) == 0;

    if (ok && len > n)
        ok = bp_space_fill(s->memory, address + n, 0, len - n) == 0;
    advance(s, len);
    return ok;
}

static void end_dma(struct fw_cfg *s, uint64_t at, bool ok)
{
    uint8_t result[4];

    put_be32(result, ok ? 0 : DMA_ERROR);
    bp_space_write(s->memory, at, result, sizeof(result));
}

/* A part of a long read; the guest waits for the end of it by the command's first word. */
static void go_on(void *opaque)
{
    struct fw_cfg *s = opaque;
    uint32_t n = s->dma_left < DMA_STEP ? s->dma_left : DMA_STEP;
    bool ok;

    if (!s->dma_busy)
        return;
    ok = give(s, s->dma_to, n);
    s->dma_to += n;
    s->dma_left -= n;
    if (ok && s->dma_left) {
        bp_deferred_schedule(s->dma_step);
        return;
    }
    s->dma_busy = false;
    end_dma(s, s->dma_at, ok);
}

static void run_dma(struct fw_cfg *s)
{
    uint64_t at = s->dma_address, address;
    uint8_t command[16];
    uint32_t control, len;

    s->dma_address = 0;
    s->looked_at = true;
    if (bp_space_read(s->memory, at, command, sizeof(command)) < 0)
        return;
    if (s->dma_busy) {
        bp_guest_error("fw-cfg-busy", "fw_cfg: a DMA was started while another one is under way");
        end_dma(s, at, false);
        return;
    }
    control = get_be32(command);
    len = get_be32(command + 4);
    address = (uint64_t)get_be32(command + 8) << 32 | get_be32(command + 12);
    if (control & DMA_SELECT)
        select_item(s, (uint16_t)(control >> 16));
    if (control & DMA_READ) {
        s->dma_busy = true;
        s->dma_at = at;
        s->dma_to = address;
        s->dma_left = len;
        go_on(s);
        return;
    }
    if (!(control & DMA_WRITE) && control & DMA_SKIP)
        advance(s, len);
    end_dma(s, at, !(control & DMA_WRITE) || take(s, address, len));
}

static uint64_t dma_read(void *opaque, uint64_t addr, unsigned size)
{
    uint64_t v = DMA_SIGNATURE >> (8 * (8 - addr - size));

    (void)opaque;
    return size == 8 ? v : v & ((1ull << 8 * size) - 1);
}

static void dma_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct fw_cfg *s = opaque;

    if (size == 8 && addr == 0) {
        s->dma_address = value;
        run_dma(s);
    } else if (size == 4 && addr == 0) {
        s->dma_address = value << 32;
    } else if (size == 4 && addr == 4) {
        s->dma_address = (s->dma_address & ~0xffffffffull) | (uint32_t)value;
        run_dma(s);
    }
}

static const struct bp_region_ops dma_ops = {
    .size = sizeof(dma_ops), .read = dma_read, .write = dma_write, .max_access = 8,
    .big_endian = 1};

/* ---- device ---- */
static void fw_cfg_reset(struct bp_device *dev)
{
    struct fw_cfg *s = bp_device_state(dev);

    select_item(s, KEY_SIGNATURE);
    s->dma_address = 0;
    s->dma_busy = false;
}

static void fw_cfg_detach(struct bp_device *dev)
{
    struct fw_cfg *s = bp_device_state(dev);

    for (unsigned i = 0; i < KEY_FIRST_FILE; i++) {
        free(s->classic[i].data);
        free(s->arch[i].data);
    }
    for (uint32_t i = 0; i < s->files; i++)
        free(s->file[i].data);
    memset(s->classic, 0, sizeof(s->classic));
    memset(s->arch, 0, sizeof(s->arch));
    s->files = 0;
}

static int fw_cfg_attach(struct bp_device *dev, struct bp_error *err)
{
    struct fw_cfg *s = bp_device_state(dev);
    uint8_t id[4] = {s->dma_enabled ? 3 : 1};
    int r;

    s->memory = bp_device_memory(dev);
    s->dma_step = bp_deferred_new(bp_device_owner(dev), NULL, go_on, s);
    if (s->iobase > 0xfffe || s->dma_iobase > 0xfff8)
        return bp_fail(err, EINVAL, "fw_cfg_io: the I/O ports do not fit into 0..0xffff");
    r = set_data(&s->classic[KEY_SIGNATURE], "QEMU", 4, err);
    if (r == 0)
        r = set_data(&s->classic[KEY_ID], id, sizeof(id), err);
    if (r == 0)
        r = make_directory(s, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, 2, "fw-cfg", &port_ops, s, NULL, err);
    if (r == 0 && s->dma_enabled)
        r = isa->add_ports(dev, (uint16_t)s->dma_iobase, 8, "fw-cfg-dma", &dma_ops, s, NULL, err);
    if (r < 0)
        fw_cfg_detach(dev);
    return r;
}

static uint32_t packed_size(const struct fw_cfg *s)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < s->files; i++)
        size += s->file[i].writable ? MAX_NAME + 4 + s->file[i].len : 0;
    return size;
}

static int before_save(void *state, struct bp_error *err)
{
    struct fw_cfg *s = state;
    uint8_t *p;

    s->writable.size = packed_size(s);
    s->writable.data = p = s->writable.size ? malloc(s->writable.size) : NULL;
    if (s->writable.size && !p)
        return bp_fail(err, ENOMEM, "fw_cfg: no memory to save %u bytes", s->writable.size);
    for (uint32_t i = 0; i < s->files; i++) {
        const struct item *item = &s->file[i];

        if (!item->writable)
            continue;
        memcpy(p, item->name, MAX_NAME);
        put_be32(p + MAX_NAME, item->len);
        memcpy(p + MAX_NAME + 4, item->data, item->len);
        p += MAX_NAME + 4 + item->len;
    }
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct fw_cfg *s = state;
    const uint8_t *p = s->writable.data;
    size_t left = s->writable.size;

    (void)version;
    s->looked_at = true;
    if (s->dma_busy)
        bp_deferred_schedule(s->dma_step);
    while (left > 0) {
        uint32_t len = left < MAX_NAME + 4 ? UINT32_MAX : get_be32(p + MAX_NAME);
        struct item *item = left < MAX_NAME + 4 || p[MAX_NAME - 1] ? NULL : find_file(s, (const char *)p);

        if (!item || !item->writable || item->len != len || left - MAX_NAME - 4 < len)
            return bp_fail(err, EINVAL, "fw_cfg: the saved files are not those of this machine");
        memcpy(item->data, p + MAX_NAME + 4, len);
        p += MAX_NAME + 4 + len;
        left -= MAX_NAME + 4 + len;
    }
    return 0;
}

static const struct bp_state_field fw_cfg_fields[] = {
    BP_SAVE(UINT16, struct fw_cfg, key),
    BP_SAVE(UINT32, struct fw_cfg, offset),
    BP_SAVE(UINT64, struct fw_cfg, dma_address),
    BP_SAVE(UINT64, struct fw_cfg, dma_at),
    BP_SAVE(UINT64, struct fw_cfg, dma_to),
    BP_SAVE(UINT32, struct fw_cfg, dma_left),
    BP_SAVE(BOOL, struct fw_cfg, dma_busy),
    BP_SAVE_BYTES(struct fw_cfg, writable, MAX_SAVED),
    BP_SAVE_END,
};
static const struct bp_state_table fw_cfg_table = {.version = 3, .oldest = 3, .fields = fw_cfg_fields,
                                                   .before_save = before_save, .after_load = after_load};

static const struct bp_field fw_cfg_props[] = {
    BP_PROP("iobase", UINT32, struct fw_cfg, iobase, "0x510", "I/O port of the selector"),
    BP_PROP("dma_iobase", UINT32, struct fw_cfg, dma_iobase, "0x514",
            "I/O port of the DMA address"),
    BP_PROP("dma_enabled", BOOL, struct fw_cfg, dma_enabled, "on", "whether it offers DMA"),
    BP_FIELDS_END,
};

BP_BOARD_DEVICE(fw_cfg_class, "fw_cfg_io", "isa", "Firmware configuration", struct fw_cfg,
                fw_cfg_props, &fw_cfg_table, .category = "misc", .attach = fw_cfg_attach,
                .detach = fw_cfg_detach, .reset = fw_cfg_reset);

static const struct bp_fw_cfg_interface fw_cfg_interface_table = {
    .size = sizeof(struct bp_fw_cfg_interface), .add = fw_cfg_add, .add_file = fw_cfg_add_file,
    .on_select = fw_cfg_on_select, .add_writable = fw_cfg_add_writable, .content = fw_cfg_content};
BP_INTERFACE(fw_cfg_interface, "fw-cfg", 1, 0, &fw_cfg_interface_table);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-fw-cfg", "Firmware configuration device", imports,
          {BP_PROVIDE_DEVICE, &fw_cfg_class}, {BP_PROVIDE_INTERFACE, &fw_cfg_interface},
          {BP_PROVIDE_OPTION, &fw_cfg_option});
