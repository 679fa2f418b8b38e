/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module file read as data, after the System V ABI chapters 4 and 5 and the processor supplements'
 * relocation tables. Segments are copied at their addresses; the relocations that make pointers
 * (relative ones, and absolute ones to symbols that the file defines) are applied to the copies, all
 * others mark the place as unknown. What is read is untrusted: every address, count and length is
 * checked. Left out: relocations in implicit-addend form (DT_REL), which no 64-bit ABI here uses.
 */
#include "image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image-parts.h"
#include "index.h"

#define MAX_IMAGE (64u << 20) /* bytes of all segments; a translator with debug code needs 5 MiB */
#define MAX_STRING 65536u
#define LEAST_PAGE 4096u /* segments that share a page would replace each other's bytes */

#if defined(__x86_64__)
#define TYPE_RELATIVE R_X86_64_RELATIVE
#define TYPE_ABSOLUTE R_X86_64_64
#elif defined(__aarch64__)
#define TYPE_RELATIVE R_AARCH64_RELATIVE
#define TYPE_ABSOLUTE R_AARCH64_ABS64
#elif defined(__riscv)
#define TYPE_RELATIVE R_RISCV_RELATIVE
#define TYPE_ABSOLUTE R_RISCV_64
#elif defined(__powerpc64__)
#define TYPE_RELATIVE R_PPC64_RELATIVE
#define TYPE_ABSOLUTE R_PPC64_ADDR64
#elif defined(__s390x__)
#define TYPE_RELATIVE R_390_RELATIVE
#define TYPE_ABSOLUTE R_390_64
#elif defined(__loongarch__)
#define TYPE_RELATIVE 3
#define TYPE_ABSOLUTE 2
#endif

/* ---- reading the file ---- */

static int fetch(const struct notes_source *source, uint64_t offset, void *buf, size_t length,
                 struct bp_error *err)
{
    size_t done = 0;

    if (offset > source->size || length > source->size - offset)
        return bp_fail(err, EBADMSG, "is truncated");
    if (source->fd < 0) {
        memcpy(buf, source->memory + offset, length);
        return 0;
    }
    while (done < length) {
        ssize_t n = pread(source->fd, (char *)buf + done, length - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return bp_fail(err, EIO, "cannot be read: %s", strerror(errno));
        if (n == 0)
            return bp_fail(err, EBADMSG, "is truncated");
        done += (size_t)n;
    }
    return 0;
}

/* Sums go by pieces, so that a file can be summed without holding it. */
#define PIECE 32768u

static uint64_t add_sum(uint64_t contents, const void *data, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += PIECE)
        contents = contents * 31 + index_sum((const uint8_t *)data + at,
                                             size - at < PIECE ? (size_t)(size - at) : PIECE);
    return contents;
}

int image_sum_file(const struct notes_source *source, uint64_t *ret_contents, struct bp_error *err)
{
    uint8_t piece[PIECE];
    uint64_t contents = 0, left;
    Elf64_Phdr ph[IMAGE_MAX_SEGMENTS];
    Elf64_Ehdr header;
    int ret = fetch(source, 0, &header, sizeof(header), err);

    if (ret == 0 && (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
                    header.e_phentsize != sizeof(*ph) || header.e_phnum > BP_COUNT(ph)))
        ret = bp_fail(err, ENOEXEC, "is not a module: it is not an ELF file");
    if (ret == 0)
        ret = fetch(source, header.e_phoff, ph, header.e_phnum * sizeof(*ph), err);
    for (unsigned i = 0; ret == 0 && i < header.e_phnum; i++) {
        contents = add_sum(contents, &ph[i], sizeof(*ph));
        for (left = ph[i].p_type == PT_LOAD ? ph[i].p_filesz : 0; ret == 0 && left;) {
            size_t n = left < PIECE ? (size_t)left : PIECE;

            ret = fetch(source, ph[i].p_offset + (ph[i].p_filesz - left), piece, n, err);
            if (ret == 0)
                contents = add_sum(contents, piece, n);
            left -= n;
        }
    }
    if (ret == 0)
        *ret_contents = contents;
    return ret;
}

static int add_segment(struct image *image, const struct notes_source *source,
                       const Elf64_Phdr *ph, struct bp_error *err)
{
    struct segment *s = &image->segments[image->segment_count];
    const struct segment *before = image->segment_count ? s - 1 : NULL;
    int ret;

    if (ph->p_memsz < ph->p_filesz || ph->p_vaddr + ph->p_memsz < ph->p_vaddr)
        return bp_fail(err, EBADMSG, "is malformed: a segment is larger in the file than in memory");
    if (before && ph->p_vaddr < before->address + before->memory_size)
        return bp_fail(err, EBADMSG, "is malformed: its segments overlap or are not in order");
    if (image->segment_count == IMAGE_MAX_SEGMENTS ||
        ph->p_filesz > MAX_IMAGE - image->total)
        return bp_fail(err, EBADMSG, "is malformed: its segments are too many or too large");
    s->data = malloc(ph->p_filesz + 1);
    if (!s->data)
        return bp_fail(err, ENOMEM, "is too large: no memory for a segment of %llu bytes",
                       (unsigned long long)ph->p_filesz);
    image->segment_count++; /* its data is the image's from here on */
    s->address = ph->p_vaddr;
    s->memory_size = ph->p_memsz;
    s->size = ph->p_filesz;
    image->total += ph->p_filesz;
    s->writable = ph->p_flags & PF_W;
    s->executable = ph->p_flags & PF_X;
    image->writable_code |= s->writable && s->executable;
    image->misaligned |= ph->p_align & (ph->p_align - 1) ||
                         (ph->p_align > 1 && (ph->p_vaddr - ph->p_offset) % ph->p_align != 0) ||
                         (before && ph->p_vaddr / LEAST_PAGE <=
                                        (before->address + before->memory_size - 1) / LEAST_PAGE);
    /* What is zero beyond the file's bytes is written by the linker. */
    image->unreadable |= !(ph->p_flags & PF_R) || (!s->writable && ph->p_memsz != ph->p_filesz);
    ret = fetch(source, ph->p_offset, s->data, ph->p_filesz, err);
    s->data[ph->p_filesz] = 0; /* what follows in memory is zero too, or not ours */
    if (ret == 0)
        image->contents = add_sum(image->contents, s->data, ph->p_filesz);
    return ret;
}

/* The build-id's note: owner "GNU", type 3. One that is malformed counts as none. */
static void take_build_id(struct image *image, const struct notes_source *source,
                          const Elf64_Phdr *ph)
{
    uint8_t buf[1024];
    size_t size = ph->p_filesz < sizeof(buf) ? (size_t)ph->p_filesz : sizeof(buf), at = 0;

    if (fetch(source, ph->p_offset, buf, size, NULL) < 0)
        return;
    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr n;
        uint64_t name = at + sizeof(n), desc, align = ph->p_align == 8 ? 8 : 4;

        memcpy(&n, buf + at, sizeof(n));
        desc = name + ((n.n_namesz + align - 1) & ~(align - 1));
        if (desc > size || n.n_descsz > size - desc)
            return;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(buf + name, "GNU", 4) == 0) {
            image->build_id_length =
                n.n_descsz < IMAGE_BUILD_ID_MAX ? n.n_descsz : IMAGE_BUILD_ID_MAX;
            memcpy(image->build_id, buf + desc, image->build_id_length);
            return;
        }
        at = desc + ((n.n_descsz + align - 1) & ~(align - 1));
        if (at > size)
            return;
    }
}

static int read_segments(struct image *image, const struct notes_source *source,
                         struct bp_error *err)
{
    Elf64_Ehdr header;
    int ret = fetch(source, 0, &header, sizeof(header), err);

    if (ret == 0 && (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
                    header.e_phentsize != sizeof(Elf64_Phdr)))
        ret = bp_fail(err, ENOEXEC, "is not a module: it is not an ELF file");
    for (unsigned i = 0; ret == 0 && i < header.e_phnum; i++) {
        Elf64_Phdr ph;

        ret = fetch(source, header.e_phoff + i * sizeof(ph), &ph, sizeof(ph), err);
        if (ret < 0)
            break;
        image->contents = add_sum(image->contents, &ph, sizeof(ph));
        if (ph.p_type == PT_LOAD) {
            ret = add_segment(image, source, &ph, err);
        } else if (ph.p_type == PT_DYNAMIC) {
            image->dynamic = ph.p_vaddr;
            image->dynamic_size = ph.p_memsz;
        } else if (ph.p_type == PT_NOTE) {
            take_build_id(image, source, &ph);
        } else if (ph.p_type == PT_GNU_RELRO) {
            image->relro = ph.p_vaddr;
            image->relro_size = ph.p_memsz;
        } else if (ph.p_type == PT_GNU_STACK) {
            image->executable_stack = ph.p_flags & PF_X;
            image->has_stack_header = true;
        }
    }
    if (ret == 0 && image->segment_count == 0)
        ret = bp_fail(err, EBADMSG, "is malformed: it has nothing to load");
    return ret;
}

/* ---- memory ---- */

const struct segment *image_segment(const struct image *image, uint64_t address)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct segment *s = &image->segments[i];

        if (address >= s->address && address - s->address < s->memory_size)
            return s;
    }
    return NULL;
}

/* Bytes that the file holds; NULL when any of them is elsewhere. */
uint8_t *image_bytes(const struct image *image, uint64_t address, uint64_t length)
{
    const struct segment *s = image_segment(image, address);

    if (!s || address - s->address > s->size || length > s->size - (address - s->address))
        return NULL;
    return s->data + (address - s->address);
}

int image_read(const struct image *image, uint64_t address, void *buf, size_t length,
               struct bp_error *err)
{
    const struct segment *s = image_segment(image, address);
    uint64_t at = s ? address - s->address : 0, stored;

    if (!s || length > s->memory_size - at)
        return bp_fail(err, EBADMSG, "is malformed: it refers to data outside of itself");
    stored = at < s->size ? s->size - at : 0;
    if (stored > length)
        stored = length;
    if (stored)
        memcpy(buf, s->data + at, stored);
    memset((char *)buf + stored, 0, length - stored);
    return 0;
}

const char *image_string(const struct image *image, uint64_t address)
{
    const struct segment *s = image_segment(image, address);
    uint64_t at = s ? address - s->address : 0, most;

    if (!s || at > s->size)
        return NULL;
    most = s->size - at + (s->memory_size > s->size); /* one zero is kept behind the data */
    if (most > MAX_STRING)
        most = MAX_STRING;
    return memchr(s->data + at, 0, most) ? (const char *)s->data + at : NULL;
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

bool image_is_external(const struct image *image, uint64_t address)
{
    return image->external_count && bsearch(&address, image->external, image->external_count,
                                            sizeof(*image->external), by_address);
}

/* ---- relocation ---- */

static int mark_external(struct image *image, uint64_t address, struct bp_error *err)
{
    if ((image->external_count & (image->external_count - 1)) == 0) {
        size_t room = image->external_count ? image->external_count * 2 : 1;
        uint64_t *more = realloc(image->external, room * sizeof(*more));

        if (!more)
            return bp_fail(err, ENOMEM, "has too many relocations");
        image->external = more;
    }
    image->external[image->external_count++] = address;
    return 0;
}

bool image_is_relative(const Elf64_Rela *r)
{
    return ELF64_R_TYPE(r->r_info) == TYPE_RELATIVE;
}

static int apply(struct image *image, const Elf64_Rela *r, struct bp_error *err)
{
    uint32_t type = ELF64_R_TYPE(r->r_info);
    uint8_t *slot = image_bytes(image, r->r_offset, sizeof(uint64_t));
    uint64_t value;

    if (type == 0)
        return 0;
    if (!image_segment(image, r->r_offset))
        return bp_fail(err, EBADMSG, "is malformed: a relocation lies outside of its segments");
    if (type == TYPE_RELATIVE) {
        value = (uint64_t)r->r_addend;
    } else if (type == TYPE_ABSOLUTE) {
        Elf64_Sym symbol;

        if (!image_symbol_at(image, ELF64_R_SYM(r->r_info), &symbol))
            return bp_fail(err, EBADMSG, "is malformed: a relocation names no symbol");
        if (symbol.st_shndx == SHN_UNDEF)
            return mark_external(image, r->r_offset, err);
        value = symbol.st_value + (uint64_t)r->r_addend;
    } else {
        return mark_external(image, r->r_offset, err);
    }
    if (!slot) /* not kept in the file: what it would hold is unknown to us */
        return mark_external(image, r->r_offset, err);
    memcpy(slot, &value, sizeof(value));
    return 0;
}

static int relocate_table(struct image *image, uint64_t address, uint64_t size,
                          struct bp_error *err)
{
    const uint8_t *table = size ? image_bytes(image, address, size) : NULL;
    int ret = 0;

    if (!size)
        return 0;
    if (!table)
        return bp_fail(err, EBADMSG, "is malformed: its relocations lie outside of its segments");
    for (uint64_t at = 0; ret == 0 && size - at >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela)) {
        Elf64_Rela r;

        memcpy(&r, table + at, sizeof(r));
        ret = apply(image, &r, err);
    }
    return ret;
}

/* Packed relative relocations (DT_RELR): the value in place is the address. An even entry is an
 * address, an odd one a bitmap of the 63 words that follow. All that has to be done is nothing:
 * segments are kept at the file's own addresses. Their places are still checked. */
static int check_relr(const struct image *image, struct bp_error *err)
{
    const struct dynamic *d = &image->dyn;

    if (d->relr_size && !image_bytes(image, d->relr, d->relr_size))
        return bp_fail(err, EBADMSG, "is malformed: its relocations lie outside of its segments");
    return 0;
}

int image_open(const struct notes_source *source, struct image **ret_image, struct bp_error *err)
{
    struct image *image = calloc(1, sizeof(*image));
    int ret;

    if (!image)
        return bp_fail(err, ENOMEM, "cannot be read: no memory");
    ret = read_segments(image, source, err);
    if (ret == 0)
        ret = image_read_dynamic(image, err);
    if (ret == 0)
        ret = relocate_table(image, image->dyn.rela, image->dyn.rela_size, err);
    if (ret == 0)
        ret = check_relr(image, err);
    if (ret < 0) {
        image_free(image);
        return ret;
    }
    if (image->external_count)
        qsort(image->external, image->external_count, sizeof(*image->external), by_address);
    *ret_image = image;
    return 0;
}

void image_free(struct image *image)
{
    if (!image)
        return;
    for (unsigned i = 0; i < image->segment_count; i++)
        free(image->segments[i].data);
    free(image->external);
    free(image);
}

uint64_t image_contents(const struct image *image)
{
    return image->contents;
}

const uint8_t *image_build_id(const struct image *image, size_t *ret_length)
{
    *ret_length = image->build_id_length;
    return image->build_id;
}
