/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One module file as an index entry: its notes understood, its build-id, and on demand the packed
 * descriptors of what it provides. Whether it fits this program (ABI, stamp) is not asked here: an
 * index is the same for all programs.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "describe.h"
#include "index-parts.h"
#include "kinds.h"

/* Takes the text. */
static void unusable(struct file_record *r, int code, char *text)
{
    free(r->error);
    r->error = text;
    r->code = code;
}

static struct provide_record *record_at(const struct file_record *r, size_t i)
{
    return GROW_AT(&r->provides, struct provide_record, i);
}

/* A name of those that users type and paths hold: no blank, comma, quote or slash of its own. */
static bool name_is_sane(const char *name)
{
    return name[0] != '\0' && strlen(name) <= 128 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+") ==
               strlen(name);
}

/* "device:NAME;bus=isa;user=yes;summary=TEXT", split in place. */
static bool add_provide(struct file_record *r, char *text)
{
    char *colon = strchr(text, ':'), *end, *summary;
    struct provide_record p = {.target = -1};

    if (!colon || colon[1] == '\0' || colon[1] == ';')
        return false;
    if (kind_from_name(text, (size_t)(colon - text)) == BP_PROVIDE_END)
        return false;
    p.kind = text;
    *colon = '\0';
    p.name = colon + 1;
    end = colon + 1 + strcspn(colon + 1, ";");
    summary = strstr(end, ";summary=");
    if (summary) {
        *summary = '\0';
        summary += 9;
    }
    if (*end == ';')
        *end++ = '\0';
    p.summary = summary ? summary : "";
    p.attributes = bp_strdup(end);
    *GROW_ADD(&r->provides, struct provide_record) = p;
    return true;
}

/* "board:pc=pc-i440fx-9.1": the alias finds the module, and is shown with what it stands for. */
static bool add_alias(struct file_record *r, char *text)
{
    char *colon = strchr(text, ':'), *equals = colon ? strchr(colon, '=') : NULL;

    if (!equals || equals == colon + 1)
        return false;
    *colon = *equals = '\0';
    for (size_t i = 0; i < RECORD_PROVIDES(r); i++) {
        struct provide_record *target = record_at(r, i), p = *target;
        char *more;

        if (strcmp(target->kind, text) != 0 || target->target >= 0 ||
            strcmp(target->name, equals + 1) != 0)
            continue;
        more = text_printf("%s%salias=%s", target->attributes, target->attributes[0] ? ";" : "",
                           colon + 1);
        free(target->attributes);
        target->attributes = more;
        p.attributes = bp_strdup(more);
        p.name = colon + 1;
        p.target = (int)i;
        *GROW_ADD(&r->provides, struct provide_record) = p;
        return true;
    }
    *colon = ':'; /* for the message */
    *equals = '=';
    return false;
}

static const char *note_or_empty(const struct file_record *r, const char *key)
{
    const char *value = notes_get(&r->notes, key);

    return value ? value : "";
}

static bool take_rank(struct file_record *r)
{
    const char *text = notes_get(&r->notes, "rank");
    char *end;
    long rank;

    if (!text)
        return true;
    errno = 0;
    rank = strtol(text, &end, 10);
    if (end == text || *end || errno || rank < -1000000 || rank > 1000000)
        return false;
    r->rank = (int)rank;
    return true;
}

static const char *note_kinds[] = {"provides=", "requires=", "alias="};

/* Takes the records of one key; true when all of them could be understood. */
static bool take_notes(struct file_record *r, unsigned key)
{
    size_t length = strlen(note_kinds[key]);

    for (char *n = notes_next(&r->notes, NULL), *next; n; n = next) {
        bool good = true;

        next = notes_next(&r->notes, n); /* before the record is split */
        if (strncmp(n, note_kinds[key], length) != 0)
            continue;
        if (key == 0)
            good = add_provide(r, n + length);
        else if (key == 1)
            *GROW_ADD(&r->requires, const char *) = n + length;
        else
            good = add_alias(r, n + length);
        if (!good) {
            unusable(r, EBADMSG,
                     text_printf("is malformed: note \"%s\" names %s", n,
                                 key == 0 ? "no known kind" : "nothing it provides"));
            return false;
        }
    }
    return true;
}

static void understand_notes(struct file_record *r)
{
    const char *name = note_or_empty(r, "name");

    r->summary = note_or_empty(r, "summary");
    r->version = note_or_empty(r, "version");
    r->license = note_or_empty(r, "license");
    r->tier = note_or_empty(r, "tier");
    r->abi = note_or_empty(r, "abi");
    if (!name_is_sane(name)) {
        unusable(r, EBADMSG, bp_strdup("is malformed: its notes have no usable name"));
        return;
    }
    free(r->name);
    r->name = bp_strdup(name);
    if (!take_rank(r)) {
        unusable(r, EBADMSG, text_printf("is malformed: note \"rank=%s\" is no number",
                                         note_or_empty(r, "rank")));
        return;
    }
    for (unsigned key = 0; key < BP_COUNT(note_kinds); key++)
        if (!take_notes(r, key))
            return;
    for (size_t i = 1; i < RECORD_PROVIDES(r); i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(record_at(r, i)->kind, record_at(r, j)->kind) == 0 &&
                strcmp(record_at(r, i)->name, record_at(r, j)->name) == 0) {
                unusable(r, EBADMSG, text_printf("is malformed: its notes list %s %s twice",
                                                 record_at(r, i)->kind,
                                                 record_at(r, i)->name));
                return;
            }
}

/* ---- the build-id ---- */

/* Its note among those of a segment: owner "GNU", type 3. */
static bool find_build_id(const uint8_t *data, size_t size, size_t align, struct index_module *m)
{
    for (size_t at = 0; at <= size && size - at >= sizeof(Elf64_Nhdr);) {
        size_t owner = at + sizeof(Elf64_Nhdr), desc;
        Elf64_Nhdr n;

        memcpy(&n, data + at, sizeof(n));
        desc = owner + (((size_t)n.n_namesz + align - 1) & ~(align - 1));
        if (desc > size || n.n_descsz > size - desc)
            return false;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
            memcmp(data + owner, "GNU", 4) == 0) {
            m->build_id_length = n.n_descsz < INDEX_BUILD_ID_MAX ? (uint8_t)n.n_descsz
                                                                 : INDEX_BUILD_ID_MAX;
            memcpy(m->build_id, data + desc, m->build_id_length);
            return true;
        }
        at = desc + (((size_t)n.n_descsz + align - 1) & ~(align - 1));
    }
    return false;
}

/* Reads no more than headers and notes: this is done for every module when there is no index. */
void index_read_build_id(int fd, struct index_module *m)
{
    uint8_t head[4096], notes[1024];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    Elf64_Ehdr header;

    m->build_id_length = 0;
    if (n < (ssize_t)sizeof(header))
        return;
    memcpy(&header, head, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(Elf64_Phdr))
        return;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        uint64_t at = header.e_phoff + i * sizeof(Elf64_Phdr);
        Elf64_Phdr ph;
        ssize_t size;

        if (at > (size_t)n || (size_t)n - at < sizeof(ph))
            return;
        memcpy(&ph, head + at, sizeof(ph));
        if (ph.p_type != PT_NOTE)
            continue;
        size = pread(fd, notes, ph.p_filesz < sizeof(notes) ? ph.p_filesz : sizeof(notes),
                     (off_t)ph.p_offset);
        if (size > 0 && find_build_id(notes, (size_t)size, ph.p_align == 8 ? 8 : 4, m))
            return;
    }
}

/* ---- descriptors ---- */

static void take_descriptors(struct file_record *r, struct module_table *table)
{
    for (size_t i = 0; i < RECORD_PROVIDES(r); i++) {
        struct provide_record *p = record_at(r, i);

        for (size_t j = 0; p->target < 0 && !p->packed && j < table->provide_count; j++) {
            struct description *d = &table->provides[j];

            if (!d->packed || strcmp(d->kind, p->kind) != 0 || strcmp(d->name, p->name) != 0)
                continue;
            p->packed = d->packed;
            p->packed_size = d->size;
            d->packed = NULL;
        }
    }
}

static bool is_required(const struct file_record *r, const char *key)
{
    for (size_t i = 0; i < RECORD_REQUIRES(r); i++)
        if (strcmp(*GROW_AT(&r->requires, const char *, i), key) == 0)
            return true;
    return false;
}

/* Would check.c find nothing? After take_descriptors(): what it took has found its note. */
static bool table_agrees(const struct file_record *r, const struct module_table *t)
{
    char key[160];

    snprintf(key, sizeof(key), "%u.%u", t->abi_major, t->abi_minor);
    if (t->magic != BP_MODULE_MAGIC || t->size < MODULE_TABLE_LEAST || !t->has_provides ||
        !t->name || strcmp(t->name, r->name) != 0 || !t->tier || strcmp(t->tier, r->tier) != 0 ||
        strcmp(key, r->abi) != 0)
        return false;
    for (size_t i = 0; i < t->provide_count; i++)
        if (t->provides[i].packed)
            return false;
    for (size_t i = 0; i < RECORD_PROVIDES(r); i++)
        if (record_at(r, i)->target < 0 && !record_at(r, i)->packed && !kind_is_noted_only(record_at(r, i)->kind))
            return false;
    for (size_t i = 0; i < t->import_count; i++) {
        snprintf(key, sizeof(key), "%s/%u", t->imports[i].name, t->imports[i].major);
        if (!is_required(r, key))
            return false;
    }
    for (size_t i = 0; i < RECORD_REQUIRES(r); i++)
        if (!describe_imports(t, *GROW_AT(&r->requires, const char *, i)))
            return false;
    return true;
}

/* What is wrong with the table does not make the entry unusable: loading and describing tell it,
 * in the same words whether there is an index or not. */
static void read_descriptors(struct file_record *r, const struct notes_source *source, char **unfit)
{
    struct module_table table = {0};
    struct image *image = NULL;
    struct bp_error err = {0};
    int ret = image_open(source, &image, &err);

    if (ret == 0)
        ret = describe_image(image, &table, &err);
    if (ret == 0)
        ret = image_check(image, &err);
    take_descriptors(r, &table);
    /* What loading would check was checked: the sum vouches for it. */
    if (ret == 0 && table_agrees(r, &table))
        r->identity.contents = image_contents(image);
    image_free(image);
    describe_finish(&table);
    if (ret < 0)
        *unfit = bp_strdup(err.message);
}

int index_open_file(const struct index_place *place, const char *file, int *ret_fd,
                    struct stat *ret_stat, struct bp_error *err)
{
    /* O_NONBLOCK: a FIFO must not hold us up. */
    const int how = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd;

    if (place->open)
        return place->open(place->directory, place->path, file, ret_fd, ret_stat, err);
    fd = openat(place->directory, file, how);
    if (fd < 0)
        return bp_fail(err, errno, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, ret_stat) < 0 || !S_ISREG(ret_stat->st_mode)) {
        close(fd);
        return bp_fail(err, ENOEXEC, "is not a regular file");
    }
    *ret_fd = fd;
    return 0;
}

void index_read_file(const struct index_place *place, const char *file, unsigned flags,
                     struct file_record *r, char **unfit)
{
    size_t stem = strlen(file) - (index_is_module_name(file) ? strlen(".so") : 0);
    struct bp_error err = {0};
    struct stat st;
    int fd;

    *r = (struct file_record){
        .file = bp_strdup(file), .summary = "", .version = "", .license = "", .tier = "", .abi = "",
        .name = text_copy(file, stem)};
    /* Also of a file that cannot be opened: its entry is verified by these. */
    if (fstatat(place->directory, file, &st, 0) == 0) {
        r->size = (uint64_t)st.st_size;
        r->mtime = st.st_mtime;
    }
    if (index_open_file(place, file, &fd, &st, &err) < 0) {
        unusable(r, err.code, bp_strdup(err.message));
        return;
    }
    r->size = (uint64_t)st.st_size;
    r->mtime = st.st_mtime;
    const struct notes_source source = {.fd = fd, .size = r->size};
    if (notes_read(&source, &r->notes, &err) < 0)
        unusable(r, err.code, bp_strdup(err.message));
    else
        understand_notes(r);
    if (!r->error)
        index_read_build_id(fd, &r->identity);
    if (!r->error && (flags & INDEX_DESCRIPTIONS))
        read_descriptors(r, &source, unfit);
    close(fd);
}

void index_record_finish(struct file_record *r)
{
    for (size_t i = 0; i < RECORD_PROVIDES(r); i++) {
        free(record_at(r, i)->attributes);
        free(record_at(r, i)->packed);
    }
    grow_finish(&r->provides);
    grow_finish(&r->requires);
    notes_finish(&r->notes);
    free(r->file);
    free(r->name);
    free(r->error);
}
