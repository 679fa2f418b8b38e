/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ELF notes of a module file, after the System V ABI chapters 4 (ELF header) and 5 (program header,
 * note section). Only the ELF header, the program headers and the note segments are read, mostly
 * with one pread(); every offset and length is checked against the file's size, so that a hostile
 * or cut file gives an error. Left out: 32-bit files, extended program header counts (PN_XNUM), and
 * section headers, which a stripped module need not have.
 */
#include "notes.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 8192u                /* the first read: usually has everything */
#define MAX_NOTE_SEGMENT (1u << 20) /* bytes; a module of a thousand devices needs a tenth */
#define MAX_PROGRAM_HEADERS 256u
#define NOTE_OWNER "Backplane"

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#elif defined(__riscv)
#define OUR_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OUR_MACHINE EM_PPC64
#elif defined(__s390x__)
#define OUR_MACHINE EM_S390
#elif defined(__loongarch__)
#define OUR_MACHINE 258
#endif
#if __BYTE_ORDER == __LITTLE_ENDIAN
#define OUR_DATA ELFDATA2LSB
#else
#define OUR_DATA ELFDATA2MSB
#endif

struct reader {
    const struct notes_source *source;
    uint8_t window[WINDOW];
    size_t filled;
};

static int truncated(const struct reader *r, uint64_t needed, struct bp_error *err)
{
    return bp_fail(err, EBADMSG, "is truncated: it has %llu bytes and should have at least %llu",
                   (unsigned long long)r->source->size, (unsigned long long)needed);
}

static bool range_fits(const struct reader *r, uint64_t offset, uint64_t length)
{
    return offset <= r->source->size && length <= r->source->size - offset;
}

/* Copies a range that fits the file. */
static int fetch(struct reader *r, uint64_t offset, void *buf, size_t length, struct bp_error *err)
{
    size_t done = 0;

    if (offset <= r->filled && length <= r->filled - offset) {
        memcpy(buf, r->window + offset, length);
        return 0;
    }
    if (r->source->fd < 0) {
        memcpy(buf, r->source->memory + offset, length);
        return 0;
    }
    while (done < length) {
        ssize_t n = pread(r->source->fd, (char *)buf + done, length - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return bp_fail(err, EIO, "cannot be read: %s", strerror(errno));
        if (n == 0) /* it became shorter after fstat() */
            return bp_fail(err, EBADMSG, "is truncated");
        done += (size_t)n;
    }
    return 0;
}

static int fill_window(struct reader *r, struct bp_error *err)
{
    size_t length = r->source->size < WINDOW ? (size_t)r->source->size : WINDOW;
    int ret = fetch(r, 0, r->window, length, err);

    if (ret == 0)
        r->filled = length;
    return ret;
}

static int check_header(struct reader *r, Elf64_Ehdr *h, struct bp_error *err)
{
    uint64_t sections;

    if (r->filled < SELFMAG || memcmp(r->window, ELFMAG, SELFMAG) != 0)
        return bp_fail(err, ENOEXEC, "is not a module: it is not an ELF file");
    if (r->filled < sizeof(*h))
        return truncated(r, sizeof(*h), err);
    memcpy(h, r->window, sizeof(*h));
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != OUR_DATA)
        return bp_fail(err, ENOEXEC, "is not a module for this computer: ELF class %u, data %u; "
                       "here %u, %u", h->e_ident[EI_CLASS], h->e_ident[EI_DATA], ELFCLASS64,
                       OUR_DATA);
    if (h->e_machine != OUR_MACHINE)
        return bp_fail(err, ENOEXEC, "is not a module for this computer: ELF machine %u, here %u",
                       h->e_machine, OUR_MACHINE);
    if (h->e_type != ET_DYN)
        return bp_fail(err, ENOEXEC, "is not a module: it is not a shared object (ELF type %u)",
                       h->e_type);
    if (h->e_phnum == 0 || h->e_phnum > MAX_PROGRAM_HEADERS ||
        h->e_phentsize != sizeof(Elf64_Phdr))
        return bp_fail(err, EBADMSG, "is malformed: %u program headers of %u bytes", h->e_phnum,
                       h->e_phentsize);
    if (!range_fits(r, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
        return truncated(r, h->e_phoff + (uint64_t)h->e_phnum * sizeof(Elf64_Phdr), err);
    /* Section headers stand last in a file: when they are cut, so may be what was before them. */
    sections = (uint64_t)h->e_shnum * h->e_shentsize;
    if (h->e_shoff != 0 && !range_fits(r, h->e_shoff, sections))
        return truncated(r, h->e_shoff + sections, err);
    return 0;
}

/* Notes are padded to 4 bytes; in segments aligned to 8 (GNU properties) to 8. */
static uint64_t padded(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}

static int keep_record(struct notes *notes, const char *desc, size_t length, struct bp_error *err)
{
    size_t used = strnlen(desc, length);
    const char *equals = memchr(desc, '=', used);
    char *text;

    if (used == length || !equals || equals == desc)
        return bp_fail(err, EBADMSG, "is malformed: a Backplane note is not \"key=value\" text");
    /* Notes are shown on terminals and in one-line errors. */
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)desc[i] < 0x20 || desc[i] == 0x7f)
            return bp_fail(err, EBADMSG, "is malformed: a Backplane note has control characters");
    text = realloc(notes->text, notes->length + used + 1);
    if (!text)
        return bp_fail(err, ENOMEM, "has too many notes");
    memcpy(text + notes->length, desc, used + 1);
    notes->text = text;
    notes->length += used + 1;
    return 0;
}

static int parse_segment(const uint8_t *data, size_t size, uint64_t align, struct notes *notes,
                         struct bp_error *err)
{
    size_t at = 0;

    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr n;
        uint64_t name = at + sizeof(n), desc, end;
        int ret;

        memcpy(&n, data + at, sizeof(n));
        desc = name + padded(n.n_namesz, align);
        end = desc + n.n_descsz;
        if (end > size)
            return bp_fail(err, EBADMSG, "is malformed: a note reaches beyond its segment");
        if (n.n_namesz == sizeof(NOTE_OWNER) && n.n_type == 1 &&
            memcmp(data + name, NOTE_OWNER, sizeof(NOTE_OWNER)) == 0) {
            ret = keep_record(notes, (const char *)data + desc, n.n_descsz, err);
            if (ret < 0)
                return ret;
        }
        end = padded(end, align);
        at = end < size ? (size_t)end : size;
    }
    return 0;
}

static int read_segment(struct reader *r, const Elf64_Phdr *ph, struct notes *notes,
                        struct bp_error *err)
{
    uint8_t *data;
    int ret;

    if (ph->p_filesz > MAX_NOTE_SEGMENT)
        return bp_fail(err, EBADMSG, "is malformed: %llu bytes of notes",
                       (unsigned long long)ph->p_filesz);
    data = malloc(ph->p_filesz + 1);
    if (!data)
        return bp_fail(err, ENOMEM, "has too many notes");
    ret = fetch(r, ph->p_offset, data, ph->p_filesz, err);
    if (ret == 0)
        ret = parse_segment(data, ph->p_filesz, ph->p_align == 8 ? 8 : 4, notes, err);
    free(data);
    return ret;
}

int notes_read(const struct notes_source *source, struct notes *ret_notes, struct bp_error *err)
{
    struct reader r = {.source = source};
    struct notes notes = {0};
    uint64_t note_bytes = 0;
    Elf64_Ehdr header = {0};
    int ret = fill_window(&r, err);

    if (ret == 0)
        ret = check_header(&r, &header, err);
    for (unsigned i = 0; ret == 0 && i < header.e_phnum; i++) {
        Elf64_Phdr ph;

        ret = fetch(&r, header.e_phoff + i * sizeof(ph), &ph, sizeof(ph), err);
        if (ret < 0)
            break;
        /* The dynamic linker maps what the headers promise and would fault in a cut file. */
        if ((ph.p_type == PT_LOAD || ph.p_type == PT_NOTE || ph.p_type == PT_DYNAMIC) &&
            !range_fits(&r, ph.p_offset, ph.p_filesz)) {
            ret = truncated(&r, ph.p_offset + ph.p_filesz, err);
            break;
        }
        if (ph.p_type != PT_NOTE)
            continue;
        note_bytes += ph.p_filesz;
        if (note_bytes > MAX_NOTE_SEGMENT)
            ret = bp_fail(err, EBADMSG, "is malformed: more than %u bytes of notes",
                         MAX_NOTE_SEGMENT);
        else
            ret = read_segment(&r, &ph, &notes, err);
    }
    if (ret == 0 && notes.length == 0)
        ret = bp_fail(err, ENOEXEC, "is not a module: it has no Backplane notes");
    if (ret < 0) {
        notes_finish(&notes);
        return ret;
    }
    *ret_notes = notes;
    return 0;
}

void notes_finish(struct notes *notes)
{
    free(notes->text);
    *notes = (struct notes){0};
}

char *notes_next(const struct notes *notes, const char *record)
{
    size_t at = record ? (size_t)(record - notes->text) + strlen(record) + 1 : 0;

    return at < notes->length ? notes->text + at : NULL;
}

const char *notes_get(const struct notes *notes, const char *key)
{
    size_t length = strlen(key);

    for (const char *r = notes_next(notes, NULL); r; r = notes_next(notes, r))
        if (strncmp(r, key, length) == 0 && r[length] == '=')
            return r + length + 1;
    return NULL;
}
