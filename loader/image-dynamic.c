/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dynamic section of a module file (System V ABI chapter 5, GNU hash and symbol versions after
 * the LSB core specification): its symbols, what it needs, and what makes it unfit to be loaded.
 */
#include <errno.h>
#include <string.h>

#include "image-parts.h"

#define MAX_DYNAMIC 4096u /* entries */
#define MAX_SYMBOLS (1u << 20)

typedef bool entry_fn(const struct image *image, const Elf64_Dyn *entry, void *opaque);

/* Calls fn for each entry up to DT_NULL; stops when it returns true, and returns that. */
static bool each_entry(const struct image *image, entry_fn *fn, void *opaque)
{
    uint64_t count = image->dynamic_size / sizeof(Elf64_Dyn);

    for (uint64_t i = 0; i < count && i < MAX_DYNAMIC; i++) {
        Elf64_Dyn entry;

        if (image_read(image, image->dynamic + i * sizeof(entry), &entry, sizeof(entry), NULL) < 0)
            return false;
        if (entry.d_tag == DT_NULL)
            return false;
        if (fn(image, &entry, opaque))
            return true;
    }
    return false;
}

static bool take_entry(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    struct dynamic *d = opaque;
    uint64_t v = entry->d_un.d_val;

    switch (entry->d_tag) {
    case DT_STRTAB: d->strings = v; break;
    case DT_STRSZ: d->strings_size = v; break;
    case DT_SYMTAB: d->symbols = v; break;
    case DT_RELA: d->rela = v; break;
    case DT_RELASZ: d->rela_size = v; break;
    case 36: d->relr = v; break;      /* DT_RELR, younger than Debian 11's elf.h */
    case 35: d->relr_size = v; break; /* DT_RELRSZ */
    case DT_GNU_HASH: d->gnu_hash = v; break;
    case DT_HASH: d->hash = v; break;
    case DT_VERSYM: d->versions = v; break;
    case DT_VERNEED: d->needed_versions = v; break;
    case DT_VERNEEDNUM: d->needed_version_count = v; break;
    case DT_INIT_ARRAYSZ: d->init_array_size = v; break;
    case DT_TEXTREL: d->text_relocations = true; break;
    case DT_FLAGS: d->text_relocations |= (v & DF_TEXTREL) != 0; break;
    case DT_AUDIT:
    case DT_DEPAUDIT: d->audit = true; break;
    case DT_FILTER:
    case DT_AUXILIARY: d->filter = true; break;
    default: break;
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
        if (word > last)
            last = word;
    }
    if (last < head[1])
        return head[1];
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
    each_entry(image, take_entry, d);
    if (d->hash && image_read(image, d->hash, hash, sizeof(hash), NULL) == 0)
        d->symbol_count = hash[1];
    else if (d->gnu_hash)
        d->symbol_count = count_by_gnu_hash(image, d->gnu_hash);
    if (d->symbol_count > MAX_SYMBOLS)
        return bp_fail(err, EBADMSG, "is malformed: it claims %llu symbols",
                       (unsigned long long)d->symbol_count);
    if (!image_bytes(image, d->strings, d->strings_size))
        return bp_fail(err, EBADMSG, "is malformed: its names lie outside of its segments");
    return 0;
}

/* A name from the dynamic string table, or NULL. */
static const char *name_at(const struct image *image, uint64_t offset)
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
        const char *own = name_at(image, symbol.st_name);

        if (symbol.st_shndx == SHN_UNDEF || !own || strcmp(own, name) != 0)
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
                const char *name = name_at(image, aux.vna_name);

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
        const char *name = name_at(image, symbol.st_name), *version = "";
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
    const char *name = entry->d_tag == DT_NEEDED ? name_at(image, entry->d_un.d_val) : NULL;

    if (name)
        walk->fn(name, walk->opaque);
    return false;
}

void image_each_needed(const struct image *image, void (*fn)(const char *library, void *opaque),
                       void *opaque)
{
    struct needed_walk walk = {fn, opaque};

    each_entry(image, visit_needed, &walk);
}

unsigned image_constructors(const struct image *image)
{
    return (unsigned)(image->dyn.init_array_size / sizeof(uint64_t));
}

static bool visit_origin(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    const char *path = entry->d_tag == DT_RUNPATH || entry->d_tag == DT_RPATH
                           ? name_at(image, entry->d_un.d_val) : NULL;

    return path && (strstr(path, "$ORIGIN") || strstr(path, "${ORIGIN}"));
}

bool image_uses_origin(const struct image *image)
{
    return each_entry(image, visit_origin, NULL);
}

/* ---- fitness ---- */

static bool path_is_absolute(const char *path)
{
    for (;;) {
        size_t length = strcspn(path, ":");

        if (path[0] != '/' && strncmp(path, "$ORIGIN", 7) != 0 &&
            strncmp(path, "${ORIGIN}", 9) != 0)
            return false; /* relative, or empty: both mean the working directory */
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

static bool visit_unfit(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    bool path = entry->d_tag == DT_RUNPATH || entry->d_tag == DT_RPATH;
    const char *name;

    if (!path && entry->d_tag != DT_NEEDED)
        return false;
    name = name_at(image, entry->d_un.d_val);
    if (!name)
        bp_fail(opaque, EBADMSG, "is malformed: a library's name lies outside of its segments");
    else if (path && !path_is_absolute(name))
        bp_fail(opaque, ENOEXEC, "looks for libraries below the working directory (run path "
                "\"%.200s\"): run paths must be absolute or begin with $ORIGIN", name);
    else if (!path && strchr(name, '/'))
        bp_fail(opaque, ENOEXEC, "needs library \"%.200s\" by its path: libraries are needed by "
                "name", name);
    else
        return false;
    return true;
}

int image_check(const struct image *image, struct bp_error *err)
{
    const struct dynamic *d = &image->dyn;
    struct bp_error why = {0};

    if (d->text_relocations)
        return bp_fail(err, ENOEXEC, "has text relocations: it was not compiled with -fPIC");
    if (image->writable_code)
        return bp_fail(err, ENOEXEC, "has a segment that is writable and executable");
    if (image->executable_stack || !image->has_stack_header)
        return bp_fail(err, ENOEXEC, "asks for an executable stack (link it with -z noexecstack)");
    if (d->audit)
        return bp_fail(err, ENOEXEC, "asks for an audit library (DT_AUDIT)");
    if (d->filter)
        return bp_fail(err, ENOEXEC, "asks for a filter library (DT_FILTER)");
    if (each_entry(image, visit_unfit, &why))
        return bp_fail(err, why.code, "%s", why.message);
    return 0;
}
