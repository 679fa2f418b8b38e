/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts Multiboot and PVH kernels (kernel-image.h). The kernel goes where it asks to be, its modules behind it, what
 * it is told into low memory: the memory map at 0x8000, the rest from 0x9000 on. Without firmware the processor is put
 * at its entry at each reset; firmware gets the same parts as items of fw_cfg and an option ROM (kernelboot.S) that
 * asks the BIOS for the memory map. A Multiboot kernel's modules are those of -initrd "file words,file words"; a PVH
 * kernel has one.
 */
#include "kernel-boot.h"
#include "kernel-image.h"
#include "low-memory.h"
#include "pc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ull
#define MODULES 64u
#define MULTIBOOT_EAX 0x2badb002u
#define PVH_MAGIC 0x336ec578u
#define MAP_ENTRY 24u /* of either protocol */
#define MAP_ENTRIES 64u
_Static_assert(MAP_ENTRIES * MAP_ENTRY <= LOW_KERNEL_FACTS - LOW_KERNEL_MAP, "the map has room");

struct module {
    int fd; /* owned */
    char *text; /* owned: the file's name with what the user put behind it */
    uint64_t address, size;
};

struct kernel_boot {
    struct kernel_image image;
    int fd;
    uint64_t file_size;
    struct module module[MODULES];
    unsigned modules;
    char *cmdline;
};

static void put32(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, v);
    put32(p + 4, v >> 32);
}

static int open_file(const char *option, const char *path, int *ret_fd, uint64_t *ret_size, struct bp_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return bp_fail(err, errno, "%s %s: %s", option, path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return bp_fail(err, EINVAL, "%s %s: not a regular file", option, path);
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

void kernel_boot_free(struct kernel_boot *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->modules; i++) {
        close(b->module[i].fd);
        free(b->module[i].text);
    }
    if (b->fd >= 0)
        close(b->fd);
    free(b->cmdline);
    free(b);
}

/* ---- modules ---- */

/* Takes over `text`, what a kernel that asks is told of the file. */
static int add_file(struct kernel_boot *b, const char *path, char *text, struct bp_error *err)
{
    struct module *m = &b->module[b->modules];
    int r = !text ? bp_fail(err, ENOMEM, "out of memory") : open_file("-initrd", path, &m->fd, &m->size, err);

    if (r < 0) {
        free(text);
        return r;
    }
    m->text = text;
    b->modules++;
    return 0;
}

/* `text` is "file words": the file's name ends at the first space. Takes over `text`. */
static int add_module(struct kernel_boot *b, char *text, struct bp_error *err)
{
    size_t len = strcspn(text, " ");
    char *path = strndup(text, len);
    int r;

    if (!path)
        r = bp_fail(err, ENOMEM, "out of memory");
    else if (b->modules == MODULES)
        r = bp_fail(err, E2BIG, "-initrd: at most %u modules", MODULES);
    else if (!len)
        r = bp_fail(err, EINVAL, "-initrd: a module without a file's name (\"FILE WORDS,FILE WORDS\")");
    else
        r = 0;
    if (r < 0)
        free(text);
    else
        r = add_file(b, path, text, err);
    free(path);
    return r;
}

/* Modules end at commas; two commas are one of the text. */
static int add_modules(struct kernel_boot *b, const char *list, struct bp_error *err)
{
    int r = 0;

    while (r == 0 && list) {
        char *text = malloc(strlen(list) + 1), *to = text;

        if (!text)
            return bp_fail(err, ENOMEM, "out of memory");
        for (; *list && (*list != ',' || list[1] == ','); list++) {
            if (*list == ',')
                list++;
            *to++ = *list;
        }
        *to = 0;
        list = *list ? list + 1 : NULL;
        r = add_module(b, text, err);
    }
    return r;
}

static int place(struct kernel_boot *b, uint64_t top, struct bp_error *err)
{
    uint64_t at = (b->image.end + PAGE - 1) & ~(PAGE - 1);

    if (b->image.start < LOW_KERNEL_END && b->image.end > LOW_ROM_SCRATCH)
        return bp_fail(err, ENOTSUP, "it wants to be at 0x%llx, where what it is told stands (0x%x to 0x%x)",
                       (unsigned long long)b->image.start, LOW_ROM_SCRATCH, LOW_KERNEL_END);
    if (b->image.start < LOW_BDA_END)
        return bp_fail(err, ENOTSUP, "it wants to be at 0x%llx, where the BIOS keeps its vectors and data (up to 0x%x)",
                       (unsigned long long)b->image.start, LOW_BDA_END);
    if (b->image.start < 0x100000 && b->image.end > LOW_EBDA)
        return bp_fail(err, ENOTSUP, "it wants to be at 0x%llx to 0x%llx, which is not all memory",
                       (unsigned long long)b->image.start, (unsigned long long)b->image.end);
    if (at < 0x100000)
        at = 0x100000;
    for (unsigned i = 0; i < b->modules; i++) {
        b->module[i].address = at;
        at = (at + b->module[i].size + PAGE - 1) & ~(PAGE - 1);
    }
    if (at > top)
        return bp_fail(err, ENOMEM, "it and its modules need %llu MiB of memory, the machine has %llu (-m)",
                       (unsigned long long)(at >> 20) + 1, (unsigned long long)(top >> 20));
    return 0;
}

static int parse(const char *path, struct kernel_boot *b, struct bp_error *err)
{
    void *data = b->file_size ? mmap(NULL, b->file_size, PROT_READ, MAP_PRIVATE, b->fd, 0) : MAP_FAILED;
    int r;

    if (data == MAP_FAILED)
        return 0; /* no kernel of these: who comes next says what is wrong */
    r = kernel_image_parse(data, b->file_size, &b->image, err);
    munmap(data, b->file_size);
    if (r < 0)
        bp_error_prefix(err, "-kernel %s", path);
    return r;
}

int kernel_boot_open(struct pc *pc, struct kernel_boot **ret_boot, struct bp_error *err)
{
    const char *path = bp_machine_kernel(pc->machine), *initrd = bp_machine_initrd(pc->machine);
    const char *append = pc_append(pc);
    struct kernel_boot *b = calloc(1, sizeof(*b));
    int r;

    *ret_boot = NULL;
    if (!b)
        return bp_fail(err, ENOMEM, "out of memory");
    b->fd = -1;
    r = open_file("-kernel", path, &b->fd, &b->file_size, err);
    if (r == 0)
        r = parse(path, b, err);
    if (r < 0 || b->image.protocol == KERNEL_LINUX) {
        kernel_boot_free(b);
        return r;
    }
    if (initrd && b->image.protocol == KERNEL_MULTIBOOT)
        r = add_modules(b, initrd, err);
    else if (initrd)
        r = add_file(b, initrd, strdup(initrd), err); /* of which the kernel sees no words */
    if (r == 0 && asprintf(&b->cmdline, "%s%s%s", b->image.protocol == KERNEL_MULTIBOOT ? path : "",
                           b->image.protocol == KERNEL_MULTIBOOT && *append ? " " : "", append) < 0) {
        b->cmdline = NULL;
        r = bp_fail(err, ENOMEM, "out of memory");
    }
    if (r == 0) {
        /* Firmware takes the end of low memory for itself. */
        r = place(b, pc->low_size - (1u << 20), err);
        if (r < 0)
            bp_error_prefix(err, "-kernel %s", path);
    }
    if (r < 0) {
        kernel_boot_free(b);
        return r;
    }
    *ret_boot = b;
    return 0;
}

/* ---- what it is told ---- */

/* A growing block in low memory. */
struct facts {
    uint8_t data[LOW_KERNEL_END - LOW_KERNEL_FACTS];
    uint32_t size;
    bool full;
};

/* Its address; the bytes are zero, or `text` with its end. */
static uint32_t reserve(struct facts *f, uint32_t size, const char *text)
{
    uint32_t at = (f->size + 7) & ~7u;

    if (text)
        size = (uint32_t)strlen(text) + 1;
    if (at > sizeof(f->data) || size > sizeof(f->data) - at) {
        f->full = true;
        return LOW_KERNEL_FACTS;
    }
    if (text)
        memcpy(f->data + at, text, size);
    f->size = at + size;
    return LOW_KERNEL_FACTS + at;
}

static uint8_t *at(struct facts *f, uint32_t address)
{
    return f->data + (address - LOW_KERNEL_FACTS);
}

/* Chapter 3.3: flags, memory below and above 1 MiB in KiB, command line, modules, memory map, loader's name. */
static void fill_multiboot(const struct pc *pc, const struct kernel_boot *b, unsigned entries, struct facts *f)
{
    uint32_t info = reserve(f, 96, NULL), list = reserve(f, 16 * b->modules, NULL);

    put32(at(f, info), 1u << 0 | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9);
    put32(at(f, info) + 4, LOW_EBDA >> 10);
    put32(at(f, info) + 8, (pc->low_size >> 10) - 1024);
    put32(at(f, info) + 16, reserve(f, 0, b->cmdline));
    put32(at(f, info) + 20, b->modules);
    put32(at(f, info) + 24, list);
    put32(at(f, info) + 44, entries * MAP_ENTRY);
    put32(at(f, info) + 48, LOW_KERNEL_MAP);
    put32(at(f, info) + 64, reserve(f, 0, "Backplane"));
    for (unsigned i = 0; i < b->modules && !f->full; i++) {
        put32(at(f, list) + 16 * i, b->module[i].address);
        put32(at(f, list) + 16 * i + 4, b->module[i].address + b->module[i].size);
        put32(at(f, list) + 16 * i + 8, reserve(f, 0, b->module[i].text));
    }
}

/* struct hvm_start_info, version 1. Without a root pointer a kernel looks for it where BIOSes have it. */
static void fill_pvh(const struct pc *pc, const struct kernel_boot *b, unsigned entries, bool firmware,
                     struct facts *f)
{
    uint32_t info = reserve(f, 56, NULL), list = reserve(f, 32 * b->modules, NULL);

    put32(at(f, info), PVH_MAGIC);
    put32(at(f, info) + 4, 1);
    put32(at(f, info) + 12, b->modules);
    put64(at(f, info) + 16, b->modules ? list : 0);
    put64(at(f, info) + 24, reserve(f, 0, b->cmdline));
    put64(at(f, info) + 32, pc->acpi && !firmware ? LOW_RSDP : 0);
    put64(at(f, info) + 40, LOW_KERNEL_MAP);
    put32(at(f, info) + 48, entries);
    for (unsigned i = 0; i < b->modules && !f->full; i++) {
        put64(at(f, list) + 32 * i, b->module[i].address);
        put64(at(f, list) + 32 * i + 8, b->module[i].size);
    }
}

static int fill_facts(const struct pc *pc, const struct kernel_boot *b, unsigned entries, bool firmware,
                      struct facts *f, struct bp_error *err)
{
    memset(f, 0, sizeof(*f));
    if (b->image.protocol == KERNEL_MULTIBOOT)
        fill_multiboot(pc, b, entries, f);
    else
        fill_pvh(pc, b, entries, firmware, f);
    return f->full ? bp_fail(err, E2BIG, "-append and -initrd: the command line and what is said to modules have more "
                             "than the %zu bytes that there is room for", sizeof(f->data)) : 0;
}

/* ---- without firmware ---- */

static unsigned write_map(const struct pc *pc, const struct kernel_boot *b)
{
    struct e820 map[MAP_ENTRIES];
    unsigned count = pc_memory_map(pc, map, BP_COUNT(map)), skip = b->image.protocol == KERNEL_MULTIBOOT ? 4 : 0;
    uint8_t packed[MAP_ENTRIES * MAP_ENTRY] = {0};

    for (unsigned i = 0; i < count; i++) {
        uint8_t *p = packed + i * MAP_ENTRY;

        if (skip)
            put32(p, MAP_ENTRY - 4);
        put64(p + skip, map[i].start);
        put64(p + skip + 8, map[i].length);
        put32(p + skip + 16, map[i].type);
    }
    bp_space_write(bp_machine_memory(pc->machine), LOW_KERNEL_MAP, packed, count * MAP_ENTRY);
    return count;
}

static int copy(struct bp_space *memory, int fd, uint64_t offset, uint64_t size, uint64_t address, struct bp_error *err)
{
    uint8_t buffer[65536];

    while (size) {
        size_t n = size < sizeof(buffer) ? size : sizeof(buffer);
        ssize_t got = pread(fd, buffer, n, (off_t)offset);

        if (got <= 0)
            return bp_fail(err, EIO, "reading a kernel file: %s", got < 0 ? strerror(errno) : "it became shorter");
        if (bp_space_write(memory, address, buffer, (uint64_t)got) < 0)
            return bp_fail(err, EFAULT, "no memory at 0x%llx for the kernel's files", (unsigned long long)address);
        offset += (uint64_t)got;
        address += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return 0;
}

static int load_all(const struct pc *pc, const struct kernel_boot *b, struct bp_error *err)
{
    struct bp_space *memory = bp_machine_memory(pc->machine);
    int r = 0;

    for (unsigned i = 0; r == 0 && i < b->image.segments; i++) {
        const struct kernel_segment *s = &b->image.segment[i];

        r = copy(memory, b->fd, s->offset, s->file_size, s->address, err);
        if (r == 0 && bp_space_fill(memory, s->address + s->file_size, 0, s->size - s->file_size) < 0)
            r = bp_fail(err, EFAULT, "no memory at 0x%llx for the kernel", (unsigned long long)s->address);
    }
    for (unsigned i = 0; r == 0 && i < b->modules; i++)
        r = copy(memory, b->module[i].fd, 0, b->module[i].size, b->module[i].address, err);
    return r;
}

/* Flat segments, no paging, interrupts off (Multiboot 3.2; the direct boot ABI has the task register, too). */
static void enter(const struct kernel_boot *b, struct bp_x86_cpu *x)
{
    const struct bp_x86_segment data = {0x18, 0xc093, 0xffffffffu, 0};

    for (unsigned i = 0; i < 6; i++)
        x->seg[i] = data;
    x->seg[BP_CS] = (struct bp_x86_segment){0x10, 0xc09b, 0xffffffffu, 0};
    x->tr = (struct bp_x86_segment){0, 0x008b, 0x67, 0};
    x->gdtr.base = LOW_GDT;
    x->gdtr.limit = 31;
    x->idtr.base = x->idtr.limit = 0;
    x->cr0 = 0x11; /* PE, ET */
    x->rflags = 2;
    memset(x->gpr, 0, sizeof(x->gpr));
    x->gpr[BP_RAX] = b->image.protocol == KERNEL_MULTIBOOT ? MULTIBOOT_EAX : 0;
    x->gpr[BP_RBX] = LOW_KERNEL_FACTS;
    x->gpr[BP_RSP] = LOW_KERNEL_END;
    x->rip = b->image.entry;
}

int kernel_boot_reset(const struct pc *pc, const struct kernel_boot *b, struct bp_x86_cpu *cpu, struct bp_error *err)
{
    struct bp_space *memory = bp_machine_memory(pc->machine);
    struct facts *f = malloc(sizeof(*f));
    int r = f ? load_all(pc, b, err) : bp_fail(err, ENOMEM, "out of memory");

    if (r == 0)
        r = fill_facts(pc, b, write_map(pc, b), false, f, err);
    if (r == 0) {
        bp_space_write(memory, LOW_KERNEL_FACTS, f->data, f->size);
        pc_write_gdt(pc);
        enter(b, cpu);
    }
    free(f);
    return r;
}

/* ---- for firmware ---- */

static int read_at(int fd, uint64_t offset, uint64_t size, uint8_t *to, struct bp_error *err)
{
    while (size) {
        ssize_t got = pread(fd, to, size, (off_t)offset);

        if (got <= 0)
            return bp_fail(err, EIO, "reading a kernel file: %s", got < 0 ? strerror(errno) : "it became shorter");
        offset += (uint64_t)got;
        to += got;
        size -= (uint64_t)got;
    }
    return 0;
}

/* The kernel as it lies in memory, in one piece. */
static int kernel_piece(const struct kernel_boot *b, struct kernel_piece *p, struct bp_error *err)
{
    int r = 0;

    p->address = b->image.start;
    p->size = b->image.end - b->image.start;
    p->data = calloc(1, p->size);
    if (!p->data)
        return bp_fail(err, ENOMEM, "no memory for a kernel of %llu bytes", (unsigned long long)p->size);
    for (unsigned i = 0; r == 0 && i < b->image.segments; i++) {
        const struct kernel_segment *s = &b->image.segment[i];

        r = read_at(b->fd, s->offset, s->file_size, p->data + (s->address - p->address), err);
    }
    return r;
}

static int modules_piece(const struct kernel_boot *b, struct kernel_piece *p, struct bp_error *err)
{
    const struct module *last;
    int r = 0;

    if (!b->modules)
        return 0;
    last = &b->module[b->modules - 1];
    p->address = b->module[0].address;
    p->size = last->address + last->size - p->address;
    p->data = calloc(1, p->size ? p->size : 1);
    if (!p->data)
        return bp_fail(err, ENOMEM, "no memory for modules of %llu bytes", (unsigned long long)p->size);
    for (unsigned i = 0; r == 0 && i < b->modules; i++)
        r = read_at(b->module[i].fd, 0, b->module[i].size, p->data + (b->module[i].address - p->address), err);
    return r;
}

/* What the ROM (kernelboot.S) reads at LOW_ROM_SCRATCH. */
static int rom_piece(const struct kernel_boot *b, struct kernel_piece *p, struct bp_error *err)
{
    bool multiboot = b->image.protocol == KERNEL_MULTIBOOT;

    p->address = LOW_ROM_SCRATCH;
    p->size = 28;
    p->data = calloc(1, p->size);
    if (!p->data)
        return bp_fail(err, ENOMEM, "out of memory");
    put32(p->data, b->image.entry);
    put32(p->data + 4, multiboot ? MULTIBOOT_EAX : 0);
    put32(p->data + 8, LOW_KERNEL_FACTS);
    put32(p->data + 12, multiboot ? MAP_ENTRY - 4 : 0);           /* what stands before each entry of the map ... */
    put32(p->data + 16, multiboot ? 4 : 0);                       /* ... in so many bytes */
    put32(p->data + 20, LOW_KERNEL_FACTS + (multiboot ? 44 : 48)); /* where its size is told: ... */
    put32(p->data + 24, multiboot ? MAP_ENTRY : 1);               /* ... entries times this */
    return 0;
}

static int facts_piece(const struct pc *pc, const struct kernel_boot *b, struct kernel_piece *p, struct bp_error *err)
{
    struct facts *f = malloc(sizeof(*f));
    int r = f ? fill_facts(pc, b, 0, true, f, err) : bp_fail(err, ENOMEM, "out of memory");

    p->address = LOW_KERNEL_FACTS;
    if (r == 0) {
        p->size = f->size;
        p->data = calloc(1, f->size);
        if (!p->data)
            r = bp_fail(err, ENOMEM, "out of memory");
        else
            memcpy(p->data, f->data, f->size);
    }
    free(f);
    return r;
}

int kernel_boot_pieces(const struct pc *pc, const struct kernel_boot *b, struct kernel_piece pieces[4],
                       struct bp_error *err)
{
    int r;

    memset(pieces, 0, 4 * sizeof(pieces[0]));
    r = kernel_piece(b, &pieces[0], err);
    if (r == 0)
        r = modules_piece(b, &pieces[1], err);
    if (r == 0)
        r = facts_piece(pc, b, &pieces[2], err);
    if (r == 0)
        r = rom_piece(b, &pieces[3], err);
    if (r < 0) {
        for (unsigned i = 0; i < 4; i++)
            free(pieces[i].data);
    }
    return r;
}
