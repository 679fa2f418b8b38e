/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts a Linux kernel (kernel-boot.c has other kinds) without firmware, by the 32-bit boot protocol
 * (Documentation/arch/x86/boot.rst and zero-page.rst). The files stay open, so that a reset finds
 * the bytes that were there at start. low-memory.h has the places.
 *
 * A 64-bit kernel on a processor without what every x86-64 has would stop in silence there: it
 * checks in its real-mode code, which this protocol leaves out, and says there what is missing. It
 * is entered there then, by the 16-bit protocol: its set-up code stands at 0x10000.
 */
#include "chipset.h"
#include "kernel-boot.h"
#include "linux-image.h"
#include "low-memory.h"
#include "pc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


struct linux_boot {
    struct kernel_boot *other; /* not a Linux kernel by its own protocol; NULL: it is one */
    struct linux_image image;
    int kernel, initrd; /* owned descriptors; -1: none */
    uint64_t initrd_size;
    uint64_t initrd_address;
    uint8_t head[LINUX_HEADER_BYTES];
    size_t head_size;
    const char *cmdline;
    bool by_firmware;
};

static int open_file(const char *what, const char *path, int *ret_fd, uint64_t *ret_size,
                     struct bp_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* a pipe is refused below */

    if (fd < 0)
        return bp_fail(err, errno, "-%s %s: %s", what, path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return bp_fail(err, EINVAL, "-%s %s: not a regular file", what, path);
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

/* Where the initrd goes: as high as the kernel allows, below the ACPI tables. */
static int place_initrd(const struct pc *pc, struct linux_boot *b, struct bp_error *err)
{
    /* Firmware takes the end of low memory for itself and the tables. */
    uint64_t top = pc->low_size - (b->by_firmware ? 1u << 20 : PC_ACPI_SIZE);
    uint64_t kernel_end = (b->image.preferred > b->image.entry ? b->image.preferred
                                                               : b->image.entry) +
                          (b->image.init_size > b->image.kernel_size ? b->image.init_size
                                                                     : b->image.kernel_size);

    if (kernel_end > top)
        return bp_fail(err, ENOMEM, "the kernel needs %llu MiB of memory, the machine has %llu (-m)",
                       (unsigned long long)(kernel_end >> 20) + 1,
                       (unsigned long long)(pc->low_size >> 20));
    if (b->initrd < 0)
        return 0;
    if (top > (uint64_t)b->image.initrd_max + 1)
        top = (uint64_t)b->image.initrd_max + 1;
    if (b->initrd_size > top || ((top - b->initrd_size) & ~0xfffull) < kernel_end)
        return bp_fail(err, ENOMEM, "the initrd of %llu MiB does not fit into the machine's %llu MiB "
                                    "beside the kernel (-m)",
                       (unsigned long long)(b->initrd_size >> 20) + 1,
                       (unsigned long long)(pc->low_size >> 20));
    b->initrd_address = (top - b->initrd_size) & ~0xfffull;
    return 0;
}

static void close_files(struct linux_boot *b)
{
    if (b->kernel >= 0)
        close(b->kernel);
    if (b->initrd >= 0)
        close(b->initrd);
    kernel_boot_free(b->other);
    free(b);
}

/* Did the user name any, or can the board not do without? */
static bool has_firmware(const struct pc *pc)
{
    return pc->firmware || pc->chipset->needs_firmware || bp_machine_bios(pc->machine) ||
           bp_machine_option_rom(pc->machine, 0, NULL);
}

int linux_boot_open(struct pc *pc, struct bp_error *err)
{
    const char *kernel = bp_machine_kernel(pc->machine), *initrd = bp_machine_initrd(pc->machine);
    struct linux_boot *b = calloc(1, sizeof(*b));
    uint64_t size;
    int r;

    if (!b)
        return bp_fail(err, ENOMEM, "out of memory");
    b->kernel = b->initrd = -1;
    b->cmdline = pc_append(pc);
    r = kernel_boot_open(pc, &b->other, err);
    if (r < 0)
        goto fail;
    if (b->other) {
        b->by_firmware = has_firmware(pc);
        pc->boot = b;
        return 0;
    }
    r = open_file("kernel", kernel, &b->kernel, &size, err);
    if (r < 0)
        goto fail;
    ssize_t got = pread(b->kernel, b->head, sizeof(b->head), 0);
    if (got < 0) {
        r = bp_fail(err, errno, "-kernel %s: %s", kernel, strerror(errno));
        goto fail;
    }
    b->head_size = (size_t)got;
    r = linux_image_parse(b->head, b->head_size, size, &b->image, err);
    if (r < 0) {
        bp_error_prefix(err, "-kernel %s", kernel);
        goto fail;
    }
    b->by_firmware = b->image.real_mode_only || has_firmware(pc);
    size_t max = b->image.cmdline_max < LOW_CMDLINE_SIZE ? b->image.cmdline_max : LOW_CMDLINE_SIZE - 1;
    if (strlen(b->cmdline) > max) {
        r = bp_fail(err, EINVAL, "-append: %zu characters, this kernel takes %zu",
                    strlen(b->cmdline), max);
        goto fail;
    }
    if (initrd) {
        r = open_file("initrd", initrd, &b->initrd, &b->initrd_size, err);
        if (r == 0 && b->initrd_size == 0)
            r = bp_fail(err, EINVAL, "-initrd %s: the file is empty", initrd);
        if (r < 0)
            goto fail;
    }
    r = place_initrd(pc, b, err);
    if (r < 0)
        goto fail;
    pc->boot = b;
    return 0;
fail:
    close_files(b);
    return r;
}

/* Reads straight into guest memory, which is RAM there. */
static int load_file(struct bp_space *memory, int fd, uint64_t offset, uint64_t size,
                     uint64_t address, struct bp_error *err)
{
    while (size > 0) {
        struct bp_mapping map = {.size = sizeof(map)};

        bp_space_lookup(memory, address, &map);
        if (!map.host || map.readonly)
            return bp_fail(err, EFAULT, "no memory at 0x%llx for the kernel's files",
                           (unsigned long long)address);
        uint64_t n = size < map.length ? size : map.length;
        ssize_t got = pread(fd, map.host, n > 1u << 30 ? 1u << 30 : n, (off_t)offset);
        if (got <= 0)
            return bp_fail(err, EIO, "reading a kernel file: %s",
                           got < 0 ? strerror(errno) : "it became shorter");
        bp_region_mark_dirty(map.region, map.offset, (uint64_t)got);
        offset += (uint64_t)got;
        address += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return 0;
}

static void put32(uint8_t *page, unsigned offset, uint32_t value)
{
    memcpy(page + offset, &value, 4);
}

/* Mode 3: 80 columns, 25 lines of characters 16 dots high, on a VGA; all zero: there is no screen. */
static void fill_screen_info(const struct pc *pc, uint8_t *page)
{
    if (!pc->text_mode)
        return;
    page[0x06] = 3;
    page[0x07] = 80;
    page[0x0a] = 3; /* 256 KiB, as an EGA would say */
    page[0x0e] = 25;
    page[0x0f] = 1;
    page[0x10] = 16;
}

static void fill_zero_page(const struct pc *pc, const struct linux_boot *b, uint8_t *page)
{
    struct e820 map[16];
    unsigned n = pc_memory_map(pc, map, BP_COUNT(map));
    uint64_t rsdp = pc->acpi ? LOW_RSDP : 0;

    memset(page, 0, 4096);
    memcpy(page + LINUX_HEADER_OFFSET, b->head + LINUX_HEADER_OFFSET, b->image.header_size);
    page[0x210] = 0xff; /* type_of_loader: none assigned */
    page[0x211] = (uint8_t)((page[0x211] | 1) & ~0x20); /* LOADED_HIGH, not quiet */
    put32(page, 0x1fa, 0xffff); /* vid_mode: normal */
    page[0x1fc] = b->head[0x1fc];
    page[0x1fd] = b->head[0x1fd];
    put32(page, 0x228, LOW_CMDLINE);
    put32(page, 0x218, (uint32_t)b->initrd_address);
    put32(page, 0x21c, (uint32_t)b->initrd_size);
    memcpy(page + 0x070, &rsdp, 8);
    page[0x1e8] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) {
        memcpy(page + 0x2d0 + 20 * i, &map[i].start, 8);
        memcpy(page + 0x2d0 + 20 * i + 8, &map[i].length, 8);
        put32(page, 0x2d0 + 20 * i + 16, map[i].type);
    }
    fill_screen_info(pc, page);
}

static void enter(const struct linux_boot *b, struct bp_x86_cpu *x)
{
    const struct bp_x86_segment data = {0x18, 0xc093, 0xffffffffu, 0};

    for (unsigned i = 0; i < 6; i++)
        x->seg[i] = data;
    x->seg[BP_CS] = (struct bp_x86_segment){0x10, 0xc09b, 0xffffffffu, 0};
    x->gdtr.base = LOW_GDT;
    x->gdtr.limit = 31;
    x->idtr.base = 0;
    x->idtr.limit = 0;
    x->cr0 = 0x11; /* PE, ET */
    x->rflags = 2;
    memset(x->gpr, 0, sizeof(x->gpr));
    x->gpr[BP_RSI] = LOW_ZERO_PAGE;
    x->gpr[BP_RSP] = LOW_ZERO_PAGE;
    x->rip = b->image.entry;
}

/* Does the processor lack what the kernel's own check is sure to complain of? */
static bool must_complain(const struct linux_boot *b, const struct bp_x86_cpu *x)
{
    /* FPU, MSR, PAE, CX8, CMOV, FXSR, SSE, SSE2; long mode */
    const uint32_t basic = 1u << 0 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 15 | 7u << 24;

    return b->image.is_64bit && ((x->features[BP_X86_FW_1_EDX] & basic) != basic ||
                                 !(x->features[BP_X86_FW_80000001_EDX] & 1u << 29));
}

static int enter_setup(struct pc *pc, const struct linux_boot *b, struct bp_x86_cpu *x, struct bp_error *err)
{
    const uint16_t heap_end = 0xe000 - 0x200;
    struct bp_space *memory = bp_machine_memory(pc->machine);
    int r = b->image.setup_size > 0xa000
                ? bp_fail(err, EFBIG, "the kernel's set-up code of %u bytes is too large",
                          b->image.setup_size)
                : load_file(memory, b->kernel, 0, b->image.setup_size, LOW_SETUP, err);

    if (r < 0)
        return r;
    bp_space_store(memory, LOW_SETUP + 0x210, 1, 0xff); /* type_of_loader: none assigned */
    bp_space_store(memory, LOW_SETUP + 0x211, 1, b->head[0x211] | 0x80u); /* CAN_USE_HEAP */
    bp_space_store(memory, LOW_SETUP + 0x224, 2, heap_end);
    bp_space_store(memory, LOW_SETUP + 0x228, 4, LOW_CMDLINE);
    firmware_teletype(pc);
    for (unsigned i = 0; i < 6; i++)
        x->seg[i] = (struct bp_x86_segment){LOW_SETUP >> 4, 0x93, 0xffff, LOW_SETUP};
    x->seg[BP_CS] = (struct bp_x86_segment){(LOW_SETUP >> 4) + 0x20, 0x9b, 0xffff, LOW_SETUP + 0x200};
    x->idtr.base = 0;
    x->idtr.limit = 0x3ff;
    x->rflags = 2;
    memset(x->gpr, 0, sizeof(x->gpr));
    x->gpr[BP_RSP] = 0xe000;
    x->rip = 0;
    return 0;
}

void pc_write_gdt(const struct pc *pc)
{
    static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull};

    _Static_assert(sizeof(gdt) == LOW_GDT_SIZE, "it has its place");
    bp_space_write(bp_machine_memory(pc->machine), LOW_GDT, gdt, sizeof(gdt));
}

const struct kernel_boot *linux_boot_other(const struct pc *pc)
{
    return pc->boot->other;
}

bool linux_boot_by_firmware(const struct pc *pc)
{
    return pc->boot->by_firmware;
}

void linux_boot_parts(const struct pc *pc, struct linux_parts *ret)
{
    const struct linux_boot *b = pc->boot;

    *ret = (struct linux_parts){
        .kernel = b->kernel, .initrd = b->initrd, .setup_size = b->image.setup_size,
        .kernel_size = b->image.kernel_size, .initrd_size = b->initrd_size, .kernel_address = b->image.entry,
        .initrd_address = b->initrd_address, .setup_address = LOW_SETUP,
        .cmdline_address = LOW_CMDLINE, .cmdline = b->cmdline};
}

int linux_boot_reset(struct pc *pc, struct bp_x86_cpu *cpu, struct bp_error *err)
{
    struct bp_space *memory = bp_machine_memory(pc->machine);
    struct linux_boot *b = pc->boot;
    uint8_t page[4096];
    int r;

    if (b->other)
        return kernel_boot_reset(pc, b->other, cpu, err);
    r = load_file(memory, b->kernel, b->image.setup_size, b->image.kernel_size, b->image.entry, err);
    if (r == 0 && b->initrd >= 0)
        r = load_file(memory, b->initrd, 0, b->initrd_size, b->initrd_address, err);
    if (r < 0)
        return r;
    fill_zero_page(pc, b, page);
    bp_space_write(memory, LOW_ZERO_PAGE, page, sizeof(page));
    bp_space_write(memory, LOW_CMDLINE, b->cmdline, strlen(b->cmdline) + 1);
    pc_write_gdt(pc);
    if (must_complain(b, cpu))
        return enter_setup(pc, b, cpu, err);
    enter(b, cpu);
    return 0;
}
