/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a module file fit to be given to the dynamic linker? First what is dangerous by intent (text
 * relocations, executable stacks, libraries found below the working directory), then what a damaged
 * file would make the linker stumble over: it follows addresses and numbers of the dynamic section
 * without looking, so they are looked at here. A flipped bit inside code stays unseen; the index's
 * sum over a file's contents finds that.
 */
#include <errno.h>
#include <string.h>

#include "image-parts.h"

static int damaged(struct bp_error *err, const char *what)
{
    return bp_fail(err, EBADMSG, "is malformed: %s", what);
}

/* ---- paths and names ---- */

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

    if (!path && entry->d_tag != DT_NEEDED && entry->d_tag != DT_SONAME)
        return false;
    name = image_name_at(image, entry->d_un.d_val);
    if (!name)
        damaged(opaque, "a library's name lies outside of its segments");
    else if (path && !path_is_absolute(name))
        bp_fail(opaque, ENOEXEC, "looks for libraries below the working directory (run path "
                "\"%.200s\"): run paths must be absolute or begin with $ORIGIN", name);
    else if (entry->d_tag == DT_NEEDED && strchr(name, '/'))
        bp_fail(opaque, ENOEXEC, "needs library \"%.200s\" by its path: libraries are needed by "
                "name", name);
    else
        return false;
    return true;
}

/* ---- what the linker follows ---- */

static bool in_segment(const struct image *image, uint64_t address, uint64_t length)
{
    const struct segment *s = image_segment(image, address);

    return s && length <= s->memory_size - (address - s->address);
}

static bool is_writable(const struct image *image, uint64_t address, uint64_t length)
{
    const struct segment *s = image_segment(image, address);

    return s && s->writable && length <= s->memory_size - (address - s->address);
}

static bool is_code(const struct image *image, uint64_t address)
{
    const struct segment *s = image_segment(image, address);

    return s && s->executable;
}

/* Every slot that the linker writes to is there and writable, every symbol it looks up exists. */
static bool relocations_are_sane(const struct image *image, uint64_t table, uint64_t size)
{
    Elf64_Sym symbol;
    Elf64_Rela r;

    if (size % sizeof(r) || table % 8 || (size && !image_bytes(image, table, size)))
        return false;
    for (uint64_t at = 0; at < size; at += sizeof(r)) {
        if (image_read(image, table + at, &r, sizeof(r), NULL) < 0)
            return false;
        if (ELF64_R_TYPE(r.r_info) != 0 &&
            (!is_writable(image, r.r_offset, 8) ||
             (ELF64_R_SYM(r.r_info) && !image_symbol_at(image, ELF64_R_SYM(r.r_info), &symbol))))
            return false;
    }
    return true;
}

static bool relr_is_sane(const struct image *image)
{
    const struct dynamic *d = &image->dyn;
    uint64_t word, where = 0;

    if (d->relr_size % 8)
        return false;
    for (uint64_t at = 0; at < d->relr_size; at += 8) {
        if (image_read(image, d->relr + at, &word, sizeof(word), NULL) < 0)
            return false;
        if (!(word & 1)) {
            if (!is_writable(image, word, 8))
                return false;
            where = word + 8;
            continue;
        }
        for (unsigned bit = 1; bit < 64; bit++)
            if (word >> bit & 1 && !is_writable(image, where + (bit - 1) * 8ull, 8))
                return false;
        where += 63 * 8;
    }
    return true;
}

/* The table of one hash: the linker walks it for every symbol that it looks up in the module. */
static bool gnu_hash_is_sane(const struct image *image)
{
    const struct dynamic *d = &image->dyn;
    uint32_t head[4]; /* buckets, first symbol, bloom words, shift */
    bool any = false;
    uint64_t size;

    /* Buckets divide, bloom words are a mask: neither may be 0. That bucket and chain entries are in
     * range is known from counting the symbols by them. */
    if (image_read(image, d->gnu_hash, head, sizeof(head), NULL) < 0 || !head[0] || !head[2] ||
        (head[2] & (head[2] - 1)) || !d->symbol_count)
        return false;
    size = sizeof(head) + head[2] * 8ull;
    for (uint32_t i = 0; i < head[0]; i++) {
        uint32_t bucket;

        if (image_read(image, d->gnu_hash + size + i * 4ull, &bucket, 4, NULL) < 0)
            return false;
        any |= bucket != 0;
    }
    size += head[0] * 4ull;
    if (any && d->symbol_count >= head[1])
        size += (d->symbol_count - head[1]) * 4ull;
    return image_bytes(image, d->gnu_hash, size) && (!any || d->symbol_count >= head[1]);
}

static bool hash_is_sane(const struct image *image)
{
    uint32_t head[2], word; /* buckets, chains */
    uint64_t at = image->dyn.hash, words;

    if (image_read(image, at, head, sizeof(head), NULL) < 0 || !head[0])
        return false;
    words = (uint64_t)head[0] + head[1];
    for (uint64_t i = 0; i < words; i++) /* a chain that comes back to itself has no end */
        if (image_read(image, at + 8 + i * 4, &word, 4, NULL) < 0 || word >= head[1] ||
            (i >= head[0] && word && word >= i - head[0]))
            return false;
    return true;
}

/* An undefined symbol that were hidden or local would resolve to the module's own start. */
static bool symbol_is_sane(const struct image *image, const Elf64_Sym *symbol)
{
    if (!image_name_at(image, symbol->st_name))
        return false;
    if (symbol->st_shndx == SHN_UNDEF)
        return ELF64_ST_VISIBILITY(symbol->st_other) == STV_DEFAULT &&
               ELF64_ST_BIND(symbol->st_info) != STB_LOCAL &&
               ELF64_ST_TYPE(symbol->st_info) <= STT_TLS;
    /* One that says where a segment ends (_end, which some libraries want exported) lies just behind it. */
    return symbol->st_shndx >= SHN_LORESERVE || !symbol->st_value ||
           ELF64_ST_TYPE(symbol->st_info) == STT_TLS || image_segment(image, symbol->st_value) ||
           (!symbol->st_size && image_segment(image, symbol->st_value - 1));
}

static bool symbols_are_sane(const struct image *image)
{
    const struct dynamic *d = &image->dyn;
    Elf64_Sym symbol;

    if (d->symbol_size != sizeof(symbol) || !d->symbols || !d->strings ||
        !image_bytes(image, d->symbols, d->symbol_count * sizeof(symbol)))
        return false;
    for (uint64_t i = 1; i < d->symbol_count; i++) /* the first one is empty */
        if (!image_symbol_at(image, i, &symbol) || !symbol_is_sane(image, &symbol))
            return false;
    return d->gnu_hash ? gnu_hash_is_sane(image) : d->hash && hash_is_sane(image);
}

static bool is_needed(const struct image *image, const Elf64_Dyn *entry, void *opaque)
{
    const char *name = entry->d_tag == DT_NEEDED ? image_name_at(image, entry->d_un.d_val) : NULL;

    return name && strcmp(name, opaque) == 0;
}

/* The linker takes it for granted that a library whose versions are asked for is needed. */
static bool library_is_needed(const struct image *image, const char *library)
{
    return library && image_each_entry(image, is_needed, (void *)library);
}

/* DT_VERNEED: a chain of libraries, each with a chain of versions. *ret_last: the largest number. */
static bool needed_versions_are_sane(const struct image *image, unsigned *ret_last)
{
    uint64_t at = image->dyn.needed_versions, one;
    Elf64_Verneed need;
    Elf64_Vernaux aux;

    for (uint64_t i = 0; i < image->dyn.needed_version_count; i++, at += need.vn_next) {
        if (image_read(image, at, &need, sizeof(need), NULL) < 0 ||
            !library_is_needed(image, image_name_at(image, need.vn_file)) || need.vn_version != VER_NEED_CURRENT ||
            (need.vn_next == 0) != (i + 1 == image->dyn.needed_version_count))
            return false;
        one = at + need.vn_aux;
        for (unsigned j = 0; j < need.vn_cnt; j++, one += aux.vna_next) {
            if (image_read(image, one, &aux, sizeof(aux), NULL) < 0 ||
                !image_name_at(image, aux.vna_name) ||
                (aux.vna_next == 0) != (j + 1 == need.vn_cnt))
                return false;
            if ((aux.vna_other & 0x7fffu) > *ret_last)
                *ret_last = aux.vna_other & 0x7fffu;
        }
    }
    return (at == 0) == (image->dyn.needed_version_count == 0);
}

/* DT_VERDEF: versions of the module's own, which few have. */
static bool own_versions_are_sane(const struct image *image, unsigned *ret_last)
{
    uint64_t at = image->dyn.own_versions;
    Elf64_Verdef def;
    Elf64_Verdaux aux;

    for (uint64_t i = 0; i < image->dyn.own_version_count; i++, at += def.vd_next) {
        if (image_read(image, at, &def, sizeof(def), NULL) < 0 || def.vd_version != VER_DEF_CURRENT ||
            !def.vd_cnt || image_read(image, at + def.vd_aux, &aux, sizeof(aux), NULL) < 0 ||
            !image_name_at(image, aux.vda_name) ||
            (def.vd_next == 0) != (i + 1 == image->dyn.own_version_count))
            return false;
        if ((def.vd_ndx & 0x7fffu) > *ret_last)
            *ret_last = def.vd_ndx & 0x7fffu;
    }
    return (at == 0) == (image->dyn.own_version_count == 0);
}

static bool versions_are_sane(const struct image *image)
{
    const struct dynamic *d = &image->dyn;
    unsigned last = 1; /* 0 and 1 are local and global */
    uint16_t one;

    if (!needed_versions_are_sane(image, &last) || !own_versions_are_sane(image, &last))
        return false;
    for (uint64_t i = 0; d->versions && i < d->symbol_count; i++)
        if (image_read(image, d->versions + i * 2, &one, sizeof(one), NULL) < 0 ||
            (one & 0x7fffu) > last)
            return false;
    return true;
}

/* Entries that come in groups: an address without its size, or with the wrong size of an element,
 * is damage. */
static bool groups_are_whole(const struct dynamic *d)
{
    return (d->rela == 0) == (d->rela_size == 0) && (d->rela == 0) == (d->rela_entry == 0) &&
           (!d->rela_entry || d->rela_entry == sizeof(Elf64_Rela)) &&
           d->relative_count <= d->rela_size / sizeof(Elf64_Rela) &&
           (d->relr == 0) == (d->relr_size == 0) && (!d->relr || d->relr_entry == 8) &&
           (d->plt == 0) == (d->plt_size == 0) && (!d->plt || d->plt_type == DT_RELA) &&
           (d->init_array == 0) == (d->init_array_size == 0) &&
           (d->fini_array == 0) == (d->fini_array_size == 0) &&
           (d->needed_versions == 0) == (d->needed_version_count == 0) &&
           (d->own_versions == 0) == (d->own_version_count == 0) &&
           (!d->versions || d->needed_versions || d->own_versions) &&
           (d->versions || !(d->needed_versions || d->own_versions));
}

/* The first DT_RELACOUNT relocations are taken for relative ones unseen. */
static bool relative_ones_are_first(const struct image *image)
{
    Elf64_Rela r;

    for (uint64_t i = 0; i < image->dyn.relative_count; i++)
        if (image_read(image, image->dyn.rela + i * sizeof(r), &r, sizeof(r), NULL) < 0 ||
            !image_is_relative(&r))
            return false;
    return true;
}

/* Functions that run at loading and at exit; those of other objects are not ours to look at. */
static bool functions_are_code(const struct image *image, uint64_t array, uint64_t size)
{
    if (size % 8 || (size && !in_segment(image, array, size)))
        return false;
    for (uint64_t at = 0; at < size; at += 8) {
        uint64_t fn;

        if (image_is_external(image, array + at))
            continue;
        if (image_read(image, array + at, &fn, sizeof(fn), NULL) < 0 || !is_code(image, fn))
            return false;
    }
    return true;
}

/* After the entry that ends the dynamic section there is room, which is empty: an end in the middle
 * would hide relocations. */
static bool nothing_follows(const struct image *image)
{
    Elf64_Dyn entry;
    bool ended = false;

    for (uint64_t at = 0; image->dynamic_size - at >= sizeof(entry); at += sizeof(entry)) {
        if (image_read(image, image->dynamic + at, &entry, sizeof(entry), NULL) < 0 ||
            (ended && entry.d_tag != DT_NULL))
            return false;
        ended |= entry.d_tag == DT_NULL;
    }
    return ended;
}

static int check_sanity(const struct image *image, struct bp_error *err)
{
    const struct dynamic *d = &image->dyn;

    if (image->misaligned)
        return damaged(err, "a segment's place in the file does not fit its address");
    if (image->unreadable)
        return damaged(err, "a segment cannot be read, or not be filled");
    if (!d->ended || !nothing_follows(image) || !is_writable(image, image->dynamic, image->dynamic_size))
        return damaged(err, "its dynamic section has no end, or is not within a writable segment");
    if (d->odd)
        return bp_fail(err, EBADMSG, "is malformed: its dynamic section has an entry of type 0x%llx "
                       "that does not belong there, or twice", (unsigned long long)d->odd);
    if (image->relro_size && !is_writable(image, image->relro, image->relro_size))
        return damaged(err, "what becomes read-only is not within a writable segment");
    if (!groups_are_whole(d) || (d->plt_table && !is_writable(image, d->plt_table, 24)))
        return damaged(err, "its dynamic section contradicts itself");
    if (!symbols_are_sane(image))
        return damaged(err, "its symbols lie outside of its segments");
    if (!versions_are_sane(image))
        return damaged(err, "its symbol versions lie outside of its segments");
    if (!relocations_are_sane(image, d->rela, d->rela_size) ||
        !relocations_are_sane(image, d->plt, d->plt_size) || !relr_is_sane(image) ||
        !relative_ones_are_first(image))
        return damaged(err, "its relocations lie outside of its writable segments");
    if ((d->init && !is_code(image, d->init)) || (d->fini && !is_code(image, d->fini)) ||
        !functions_are_code(image, d->init_array, d->init_array_size) ||
        !functions_are_code(image, d->fini_array, d->fini_array_size))
        return damaged(err, "a function that runs at loading lies outside of its code");
    return 0;
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
    if (image_each_entry(image, visit_unfit, &why))
        return bp_fail(err, why.code, "%s", why.message);
    return check_sanity(image, err);
}
