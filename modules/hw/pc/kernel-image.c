/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multiboot and PVH images (kernel-image.h). Left out: Multiboot 2, and wishes for a graphics mode. */
#include "kernel-image.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_SEARCH 8192u
#define MULTIBOOT_UNKNOWN 0xfff8u /* of the flags that must be obeyed: page alignment, memory, video are known */
#define MULTIBOOT_ADDRESSES 0x10000u
#define PT_LOAD 1u
#define PT_NOTE 4u
#define PVH_NOTE 18u

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static bool is_elf(const uint8_t *data, size_t size)
{
    return size >= 52 && memcmp(data, "\177ELF", 4) == 0;
}

static int add_segment(struct kernel_image *image, const struct kernel_segment *s, size_t size, struct bp_error *err)
{
    if (s->size == 0)
        return 0;
    if (s->offset > size || s->file_size > size - s->offset)
        return bp_fail(err, ENOEXEC, "cut short: a segment ends at byte %llu of a file of %zu",
                       (unsigned long long)(s->offset + s->file_size), size);
    if (s->file_size > s->size || s->address > UINT32_MAX || s->size > (1ull << 32) - s->address)
        return bp_fail(err, ENOEXEC, "a segment of 0x%llx bytes at 0x%llx does not lie below 4 GiB",
                       (unsigned long long)s->size, (unsigned long long)s->address);
    if (image->segments == KERNEL_SEGMENTS)
        return bp_fail(err, ENOEXEC, "more than %u segments", KERNEL_SEGMENTS);
    if (image->segments == 0 || s->address < image->start)
        image->start = s->address;
    if (s->address + s->size > image->end)
        image->end = s->address + s->size;
    image->segment[image->segments++] = *s;
    return 0;
}

/* ---- ELF ---- */

/* The program headers of a file of 32 or 64 bits. */
struct elf {
    const uint8_t *data, *table;
    size_t size;
    unsigned count, stride;
    bool wide;
    uint64_t entry;
};

static int read_elf(const uint8_t *data, size_t size, struct elf *ret, struct bp_error *err)
{
    struct elf e = {.data = data, .size = size, .wide = data[4] == 2};
    uint16_t machine = get16(data + 18);
    uint64_t at;

    if (data[5] != 1 || (data[4] != 1 && data[4] != 2) || (machine != 3 && machine != 62) || (e.wide && size < 64))
        return bp_fail(err, ENOEXEC, "an ELF file of another processor than x86");
    at = e.wide ? get64(data + 32) : get32(data + 28);
    e.entry = e.wide ? get64(data + 24) : get32(data + 24);
    e.stride = get16(data + (e.wide ? 54 : 42));
    e.count = get16(data + (e.wide ? 56 : 44));
    if (e.count == 0 || e.stride < (e.wide ? 56u : 32u) || at > size || (size - at) / e.stride < e.count)
        return bp_fail(err, ENOEXEC, "an ELF file without program headers, or cut short");
    e.table = data + at;
    *ret = e;
    return 0;
}

static uint32_t header_of(const struct elf *e, unsigned n, struct kernel_segment *ret)
{
    const uint8_t *p = e->table + (size_t)n * e->stride;

    if (e->wide)
        *ret = (struct kernel_segment){.offset = get64(p + 8), .address = get64(p + 24), .file_size = get64(p + 32),
                                       .size = get64(p + 40)};
    else
        *ret = (struct kernel_segment){.offset = get32(p + 4), .address = get32(p + 12), .file_size = get32(p + 16),
                                       .size = get32(p + 20)};
    return get32(p);
}

static int load_elf(const struct elf *e, struct kernel_image *image, struct bp_error *err)
{
    for (unsigned n = 0; n < e->count; n++) {
        struct kernel_segment s;
        int r = header_of(e, n, &s) == PT_LOAD ? add_segment(image, &s, e->size, err) : 0;

        if (r < 0)
            return r;
    }
    return image->segments ? 0 : bp_fail(err, ENOEXEC, "an ELF file with nothing to load");
}

/* An entry may be a virtual address: it is in the segment that has it. */
static bool entry_of(const struct elf *e, uint32_t *ret_entry)
{
    for (unsigned n = 0; n < e->count; n++) {
        struct kernel_segment s;
        const uint8_t *p = e->table + (size_t)n * e->stride;
        uint64_t virtual = e->wide ? get64(p + 16) : get32(p + 8);

        if (header_of(e, n, &s) != PT_LOAD || e->entry < virtual || e->entry - virtual >= s.size)
            continue;
        *ret_entry = (uint32_t)(s.address + (e->entry - virtual));
        return true;
    }
    *ret_entry = (uint32_t)e->entry;
    return e->entry <= UINT32_MAX;
}

/* A note is three words (length of the owner's name, of the contents, type), name and contents, each padded to 4. */
static bool find_pvh(const uint8_t *p, uint64_t size, uint32_t *ret_entry)
{
    while (size >= 12) {
        uint64_t name = get32(p), contents = get32(p + 4);
        uint64_t padded_name = (name + 3) & ~3ull, padded = (contents + 3) & ~3ull;

        if (padded_name > size - 12 || contents > size - 12 - padded_name)
            return false;
        if (get32(p + 8) == PVH_NOTE && name == 4 && memcmp(p + 12, "Xen", 4) == 0 && contents >= 4) {
            *ret_entry = get32(p + 12 + padded_name);
            return true;
        }
        if (padded > size - 12 - padded_name)
            return false;
        p += 12 + padded_name + padded;
        size -= 12 + padded_name + padded;
    }
    return false;
}

static int parse_pvh(const struct elf *e, struct kernel_image *image, struct bp_error *err)
{
    for (unsigned n = 0; n < e->count; n++) {
        struct kernel_segment s;

        if (header_of(e, n, &s) != PT_NOTE || s.offset > e->size || s.file_size > e->size - s.offset ||
            !find_pvh(e->data + s.offset, s.file_size, &image->entry))
            continue;
        image->protocol = KERNEL_PVH;
        return load_elf(e, image, err);
    }
    return bp_fail(err, ENOEXEC, "an ELF file with neither a Multiboot header nor a PVH entry (give the vmlinuz that "
                   "the distribution boots)");
}

/* ---- Multiboot ---- */

static int load_by_addresses(const uint8_t *header, size_t at, size_t size, struct kernel_image *image,
                             struct bp_error *err)
{
    uint32_t header_addr = get32(header + 12), load = get32(header + 16), load_end = get32(header + 20);
    uint32_t bss_end = get32(header + 24);
    struct kernel_segment s = {.address = load};

    if (load > header_addr || header_addr - load > at || (load_end && load_end < load) ||
        (bss_end && bss_end < load_end))
        return bp_fail(err, ENOEXEC, "the addresses of its Multiboot header contradict each other");
    s.offset = at - (header_addr - load);
    s.file_size = load_end ? load_end - load : size - s.offset;
    s.size = bss_end ? bss_end - load : s.file_size;
    if (s.size < s.file_size)
        s.size = s.file_size;
    image->entry = get32(header + 28);
    return add_segment(image, &s, size, err);
}

static int parse_multiboot(const uint8_t *data, size_t size, size_t at, struct kernel_image *image,
                           struct bp_error *err)
{
    uint32_t flags = get32(data + at + 4);
    struct elf e;
    int r;

    image->protocol = KERNEL_MULTIBOOT;
    if (flags & MULTIBOOT_UNKNOWN)
        return bp_fail(err, ENOEXEC, "its Multiboot header asks for what is not known (flags 0x%x)", flags);
    if (flags & MULTIBOOT_ADDRESSES)
        return size - at < 32 ? bp_fail(err, ENOEXEC, "its Multiboot header is cut short")
                              : load_by_addresses(data + at, at, size, image, err);
    if (!is_elf(data, size))
        return bp_fail(err, ENOEXEC, "its Multiboot header has no addresses, and it is no ELF file");
    r = read_elf(data, size, &e, err);
    if (r == 0 && e.wide)
        r = bp_fail(err, ENOEXEC, "a Multiboot image must be an ELF file of 32 bits; this one has 64");
    if (r == 0)
        r = load_elf(&e, image, err);
    if (r == 0 && !entry_of(&e, &image->entry))
        r = bp_fail(err, ENOEXEC, "its entry point is not below 4 GiB");
    return r;
}

int kernel_image_parse(const uint8_t *data, size_t size, struct kernel_image *ret_image, struct bp_error *err)
{
    struct kernel_image image = {.protocol = KERNEL_LINUX};
    struct elf e;
    int r = 0;
    size_t at;

    for (at = 0; at + 12 <= size && at + 12 <= MULTIBOOT_SEARCH; at += 4) {
        const uint8_t *p = data + at;

        if (get32(p) == MULTIBOOT_MAGIC && (uint32_t)(get32(p) + get32(p + 4) + get32(p + 8)) == 0) {
            r = parse_multiboot(data, size, at, &image, err);
            goto done;
        }
    }
    if (is_elf(data, size)) {
        r = read_elf(data, size, &e, err);
        if (r == 0)
            r = parse_pvh(&e, &image, err);
    }
done:
    if (r == 0)
        *ret_image = image;
    return r;
}
