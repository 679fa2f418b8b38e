/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dynamic section of a module file (System V ABI chapter 5, GNU hash and symbol versions after
 * the LSB core specification): its symbols and what it needs.
 */
#include <errno.h>
#include <string.h>

#include "image-parts.h"

#define MAX_DYNAMIC 4096u /* entries */
#define MAX_SYMBOLS (1u << 20)

bool image_each_entry(const struct image *image, image_entry_fn *fn, void *opaque)
{
    uint64_t count = image->dynamic_size / sizeof(Elf64_Dyn);

    for (uint64_t i = 0; i < count && i < MAX_DYNAMIC; i++) {
        Elf64_Dyn entry;

        if (image_read(image, image->dynamic + i * sizeof(entry), &entry, sizeof(entry), NULL) < 0)
            return false;
        if (fn(image, &entry, opaque))
            return true;
        if (entry.d_tag == DT_NULL)
            return false;
    }
    return false;
}

/* Where an entry's value goes, or NULL. */
static uint64_t *place_of(struct dynamic *d, int64_t tag)
{
    switch (tag) {
    case DT_STRTAB: return &d->strings;
    case DT_STRSZ: return &d->strings_size;
    case DT_SYMTAB: return &d->symbols;
    case DT_SYMENT: return &d->symbol_size;
    case DT_RELA: return &d->rela;
    case DT_RELASZ: return &d->rela_size;
    case DT_RELAENT: return &d->rela_entry;
    case DT_RELACOUNT: return &d->relative_count;
    case 36: return &d->relr; /* DT_RELR, DT_RELRSZ, DT_RELRENT: younger than Debian 11's elf.h */
    case 35: return &d->relr_size;
    case 37: return &d->relr_entry;
    case DT_JMPREL: return &d->plt;
    case DT_PLTRELSZ: return &d->plt_size;
    case DT_PLTREL: return &d->plt_type;
    case DT_PLTGOT: return &d->plt_table;
    case DT_INIT: return &d->init;
    case DT_FINI: return &d->fini;
    case DT_INIT_ARRAY: return &d->init_array;
    case DT_INIT_ARRAYSZ: return &d->init_array_size;
    case DT_FINI_ARRAY: return &d->fini_array;
    case DT_FINI_ARRAYSZ: return &d->fini_array_size;
    case DT_GNU_HASH: return &d->gnu_hash;
    case DT_HASH: return &d->hash;
    case DT_VERSYM: return &d->versions;
    case DT_VERNEED: return &d->needed_versions;
    case DT_VERNEEDNUM: return &d->needed_version_count;
    case DT_VERDEF: return &d->own_versions;
    case DT_VERDEFNUM: return &d->own_version_count;
    default: return NULL;
    }
}

static bool take_entry(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    struct dynamic *d = opaque;
    uint64_t v = entry->d_un.d_val, *place = place_of(d, entry->d_tag);

    (void)image;
    if (place) {
        if (*place && !d->odd)
            d->odd = entry->d_tag;
        *place = v;
        return false;
    }
    switch (entry->d_tag) {
    case DT_NULL: d->ended = true; return true;
    case DT_TEXTREL: d->text_relocations = true; break;
    case DT_FLAGS: d->text_relocations |= (v & DF_TEXTREL) != 0; break;
    case DT_AUDIT:
    case DT_DEPAUDIT: d->audit = true; break;
    case DT_FILTER:
    case DT_AUXILIARY: d->filter = true; break;
    case DT_NEEDED:
    case DT_SONAME:
    case DT_RPATH:
    case DT_RUNPATH:
    case DT_FLAGS_1:
    case DT_SYMBOLIC:
    case DT_BIND_NOW:
    case DT_RELCOUNT:
    case DT_DEBUG: break;
    default:
        /* The processor's own: branch protection of AArch64's tables and the like. */
        if (!d->odd && (entry->d_tag < DT_LOPROC || entry->d_tag > DT_LOPROC + 16))
            d->odd = entry->d_tag;
    }
    return false;
}

/* The GNU hash table does not say how many symbols there are: the last chain's end does. */
static uint64_t count_by_gnu_hash(const struct image *image, uint64_t at)
{
    uint32_t head[4], last = 0, word; /* buckets, first symbol, bloom words, shift */
    uint64_t buckets, chains;

    if (image_read(image, at, head, sizeof(head), NULL) < 0 || head[0] > MAX_SYMBOLS ||
        head[2] > MAX_SYMBOLS)
        return 0;
    buckets = at + sizeof(head) + (uint64_t)head[2] * 8;
    chains = buckets + (uint64_t)head[0] * 4;
    for (uint32_t i = 0; i < head[0]; i++) {
        if (image_read(image, buckets + i * 4ull, &word, 4, NULL) < 0)
            return 0;
        if (word && word < head[1])
            return 0;
        if (word > last)
            last = word;
    }
    if (last < head[1]) { /* nothing is defined: the names follow the symbols */
        const struct dynamic *d = &image->dyn;

        return d->strings > d->symbols ? (d->strings - d->symbols) / sizeof(Elf64_Sym) : head[1];
    }
    do {
        if (last > MAX_SYMBOLS ||
            image_read(image, chains + (last - head[1]) * 4ull, &word, 4, NULL) < 0)
            return 0;
        last++;
    } while (!(word & 1));
    return last;
}

int image_read_dynamic(struct image *image, struct bp_error *err)
{
    struct dynamic *d = &image->dyn;
    uint32_t hash[2];

    if (!image->dynamic)
        return bp_fail(err, ENOEXEC, "is not a module: it has no dynamic section");
    image_each_entry(image, take_entry, d);
    if (d->gnu_hash) /* what the linker uses where there are both */
        d->symbol_count = count_by_gnu_hash(image, d->gnu_hash);
    else if (d->hash && image_read(image, d->hash, hash, sizeof(hash), NULL) == 0)
        d->symbol_count = hash[1];
    if (d->symbol_count > MAX_SYMBOLS)
        return bp_fail(err, EBADMSG, "is malformed: it claims %llu symbols",
                       (unsigned long long)d->symbol_count);
    if (!image_bytes(image, d->strings, d->strings_size))
        return bp_fail(err, EBADMSG, "is malformed: its names lie outside of its segments");
    return 0;
}

const char *image_name_at(const struct image *image, uint64_t offset)
{
    const uint8_t *names = image_bytes(image, image->dyn.strings, image->dyn.strings_size);

    if (!names || offset >= image->dyn.strings_size ||
        !memchr(names + offset, 0, image->dyn.strings_size - offset))
        return NULL;
    return (const char *)names + offset;
}

bool image_symbol_at(const struct image *image, uint64_t index, Elf64_Sym *ret_symbol)
{
    return index < image->dyn.symbol_count &&
           image_read(image, image->dyn.symbols + index * sizeof(*ret_symbol), ret_symbol,
                      sizeof(*ret_symbol), NULL) == 0;
}

uint64_t image_symbol(const struct image *image, const char *name, uint64_t *ret_size)
{
    Elf64_Sym symbol;

    for (uint64_t i = 1; i < image->dyn.symbol_count && image_symbol_at(image, i, &symbol); i++) {
        const char *own = image_name_at(image, symbol.st_name);

        if (symbol.st_shndx == SHN_UNDEF || !own || strcmp(own, name) != 0 ||
            ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT) /* the linker would call an IFUNC */
            continue;
        if (ret_size)
            *ret_size = symbol.st_size;
        return symbol.st_value;
    }
    return 0;
}

/* The version's name that DT_VERNEED gives to this index; "" when there is none. */
static const char *version_name(const struct image *image, unsigned wanted)
{
    uint64_t at = image->dyn.needed_versions;
    Elf64_Verneed need;
    Elf64_Vernaux aux;

    for (uint64_t i = 0; i < image->dyn.needed_version_count && i < MAX_DYNAMIC; i++) {
        uint64_t one;

        if (image_read(image, at, &need, sizeof(need), NULL) < 0)
            break;
        one = at + need.vn_aux;
        for (unsigned j = 0; j < need.vn_cnt; j++, one += aux.vna_next) {
            if (image_read(image, one, &aux, sizeof(aux), NULL) < 0)
                return "";
            if ((aux.vna_other & 0x7fff) == wanted) {
                const char *name = image_name_at(image, aux.vna_name);

                return name ? name : "";
            }
            if (!aux.vna_next)
                break;
        }
        if (!need.vn_next)
            break;
        at += need.vn_next;
    }
    return "";
}

void image_each_undefined(const struct image *image,
                          void (*fn)(const char *name, const char *version, void *opaque),
                          void *opaque)
{
    Elf64_Sym symbol;

    for (uint64_t i = 1; i < image->dyn.symbol_count && image_symbol_at(image, i, &symbol); i++) {
        const char *name = image_name_at(image, symbol.st_name), *version = "";
        uint16_t index;

        if (symbol.st_shndx != SHN_UNDEF || !name || !*name)
            continue;
        if (image->dyn.versions &&
            image_read(image, image->dyn.versions + i * 2, &index, sizeof(index), NULL) == 0 &&
            (index & 0x7fff) > 1)
            version = version_name(image, index & 0x7fff);
        fn(name, version, opaque);
    }
}

struct needed_walk {
    void (*fn)(const char *library, void *opaque);
    void *opaque;
};

static bool visit_needed(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    const struct needed_walk *walk = opaque;
    const char *name = entry->d_tag == DT_NEEDED ? image_name_at(image, entry->d_un.d_val) : NULL;

    if (name)
        walk->fn(name, walk->opaque);
    return false;
}

void image_each_needed(const struct image *image, void (*fn)(const char *library, void *opaque),
                       void *opaque)
{
    struct needed_walk walk = {fn, opaque};

    image_each_entry(image, visit_needed, &walk);
}

unsigned image_constructors(const struct image *image)
{
    return (unsigned)(image->dyn.init_array_size / sizeof(uint64_t));
}

static bool visit_origin(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    const char *path = entry->d_tag == DT_RUNPATH || entry->d_tag == DT_RPATH
                           ? image_name_at(image, entry->d_un.d_val) : NULL;

    (void)opaque;
    return path && (strstr(path, "$ORIGIN") || strstr(path, "${ORIGIN}"));
}

bool image_uses_origin(const struct image *image)
{
    return image_each_entry(image, visit_origin, NULL);
}
