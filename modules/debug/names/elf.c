/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of functions in an ELF file (System V ABI, chapters 4 and 5), 32 or 64 bits, little-endian. */
#include "names.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const uint8_t *bytes;
    size_t size;
    bool wide;
};

struct section {
    uint32_t type, link;
    uint64_t offset, size;
};

static bool inside(const struct image *i, uint64_t offset, uint64_t size)
{
    return offset <= i->size && size <= i->size - offset;
}

static void header(const struct image *i, Elf64_Ehdr *ret)
{
    Elf32_Ehdr h;

    if (i->wide) {
        memcpy(ret, i->bytes, sizeof(*ret));
        return;
    }
    memcpy(&h, i->bytes, sizeof(h));
    *ret = (Elf64_Ehdr){.e_type = h.e_type, .e_phoff = h.e_phoff, .e_shoff = h.e_shoff, .e_phentsize = h.e_phentsize,
                        .e_phnum = h.e_phnum, .e_shentsize = h.e_shentsize, .e_shnum = h.e_shnum};
}

static bool section_at(const struct image *i, const Elf64_Ehdr *h, unsigned n, struct section *ret)
{
    uint64_t at = h->e_shoff + (uint64_t)n * h->e_shentsize;
    Elf64_Shdr w;
    Elf32_Shdr s;

    if (n >= h->e_shnum || h->e_shentsize < (i->wide ? sizeof(w) : sizeof(s)) || at < h->e_shoff ||
        !inside(i, at, h->e_shentsize))
        return false;
    if (i->wide) {
        memcpy(&w, i->bytes + at, sizeof(w));
        *ret = (struct section){w.sh_type, w.sh_link, w.sh_offset, w.sh_size};
    } else {
        memcpy(&s, i->bytes + at, sizeof(s));
        *ret = (struct section){s.sh_type, s.sh_link, s.sh_offset, s.sh_size};
    }
    return true;
}

static void add_symbols(struct elf_file *f, const struct image *i, const struct section *table,
                        const struct section *names)
{
    size_t unit = i->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);

    if (!inside(i, table->offset, table->size) || !inside(i, names->offset, names->size))
        return;
    for (uint64_t at = 0; at + unit <= table->size; at += unit) {
        const uint8_t *p = i->bytes + table->offset + at;
        const char *name;
        Elf64_Sym w;
        Elf32_Sym s;

        if (i->wide) {
            memcpy(&w, p, sizeof(w));
        } else {
            memcpy(&s, p, sizeof(s));
            w = (Elf64_Sym){.st_name = s.st_name, .st_info = s.st_info, .st_shndx = s.st_shndx, .st_value = s.st_value};
        }
        if (ELF64_ST_TYPE(w.st_info) != STT_FUNC || w.st_shndx == SHN_UNDEF || w.st_name >= names->size)
            continue;
        name = (const char *)i->bytes + names->offset + w.st_name;
        if (*name)
            symbols_add(&f->symbols, w.st_value, name, strnlen(name, names->size - w.st_name));
    }
}

static bool segments(struct elf_file *f, const struct image *i, const Elf64_Ehdr *h)
{
    bool any = false;

    for (unsigned n = 0; n < h->e_phnum; n++) {
        uint64_t at = h->e_phoff + (uint64_t)n * h->e_phentsize, address, size;
        Elf64_Phdr w;
        Elf32_Phdr s;

        if (h->e_phentsize < (i->wide ? sizeof(w) : sizeof(s)) || at < h->e_phoff || !inside(i, at, h->e_phentsize))
            return false;
        memcpy(&w, i->bytes + at, i->wide ? sizeof(w) : sizeof(s));
        memcpy(&s, i->bytes + at, sizeof(s));
        if ((i->wide ? w.p_type : s.p_type) != PT_LOAD)
            continue;
        address = i->wide ? w.p_vaddr - w.p_offset : s.p_vaddr - s.p_offset;
        size = i->wide ? w.p_vaddr + w.p_memsz : (uint64_t)s.p_vaddr + s.p_memsz;
        if (!any)
            f->first = address & ~UINT64_C(0xfff);
        f->end = size > f->end ? size : f->end;
        any = true;
    }
    return any;
}

static int read_image(struct elf_file *f, const struct image *i, const char *path, struct bp_error *err)
{
    struct section s, names;
    Elf64_Ehdr h;

    if (i->size < sizeof(Elf64_Ehdr) || memcmp(i->bytes, ELFMAG, SELFMAG) || i->bytes[EI_DATA] != ELFDATA2LSB)
        return bp_fail(err, EINVAL, "'%s' is no ELF file", path);
    header(i, &h);
    memcpy(f->head, i->bytes, sizeof(f->head));
    f->moves = h.e_type == ET_DYN;
    if (!segments(f, i, &h))
        return bp_fail(err, EINVAL, "ELF file '%s' has no segments to load", path);
    for (unsigned n = 0; section_at(i, &h, n, &s); n++) {
        if ((s.type == SHT_SYMTAB || s.type == SHT_DYNSYM) && section_at(i, &h, s.link, &names))
            add_symbols(f, i, &s, &names);
    }
    if (!f->symbols.count)
        return bp_fail(err, EINVAL, "ELF file '%s' has no names of functions", path);
    return 0;
}

int elf_read(struct elf_file *f, const char *path, struct bp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), ret;
    struct image i = {0};
    struct stat st;
    void *p;

    *f = (struct elf_file){.path = path};
    if (fd < 0)
        return bp_fail(err, errno, "cannot open ELF file '%s': %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || st.st_size <= 0) {
        close(fd);
        return bp_fail(err, EINVAL, "'%s' is no ELF file", path);
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return bp_fail(err, errno, "cannot read ELF file '%s': %s", path, strerror(errno));
    i.bytes = p;
    i.size = (size_t)st.st_size;
    i.wide = i.size > EI_CLASS && i.bytes[EI_CLASS] == ELFCLASS64;
    ret = read_image(f, &i, path, err);
    munmap(p, i.size);
    if (ret < 0)
        elf_free(f);
    return ret;
}

void elf_free(struct elf_file *f)
{
    symbols_free(&f->symbols);
}
