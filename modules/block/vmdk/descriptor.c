/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors: the text that says what an image is made of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmdk.h"

/* ---- reading ---- */

/* KEY=VALUE or KEY="VALUE"; NULL: another key. */
static char *value_of(char *line, const char *key)
{
    size_t n = strlen(key);
    char *end;

    if (strncmp(line, key, n) != 0)
        return NULL;
    line += n;
    line += strspn(line, " \t");
    if (*line++ != '=')
        return NULL;
    line += strspn(line, " \t");
    if (*line == '"') {
        line++;
        end = strchr(line, '"');
    } else {
        end = line + strcspn(line, " \t\r");
    }
    if (end)
        *end = '\0';
    return line;
}

static bool take_number(char **at, uint64_t *ret)
{
    char *end;

    *at += strspn(*at, " \t");
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

/* "RW 4192256 SPARSE "disk-s001.vmdk"" */
static int take_extent(struct vmdk *s, char *line, struct bp_error *err)
{
    static const struct {
        const char *name;
        enum extent_kind kind;
    } kinds[] = {{"FLAT", EXTENT_FLAT}, {"VMFS", EXTENT_FLAT}, {"SPARSE", EXTENT_SPARSE}, {"VMFSSPARSE", EXTENT_SPARSE},
                 {"ZERO", EXTENT_ZERO}};
    struct extent e = {.kind = EXTENT_ZERO}, *more;
    uint64_t sectors, offset = 0;
    char *at = line + strcspn(line, " \t"), *word, *end;
    unsigned i = 0;

    e.read_only = !strncmp(line, "RDONLY", 6);
    if (!take_number(&at, &sectors) || sectors > BP_BLOCK_MAX_LENGTH / 512)
        return bp_fail(err, EINVAL, "vmdk: the length of an extent is missing or wrong: '%.60s'", line);
    word = at + strspn(at, " \t");
    at = word + strcspn(word, " \t");
    if (*at)
        *at++ = '\0';
    while (i < BP_COUNT(kinds) && strcmp(kinds[i].name, word) != 0)
        i++;
    if (i == BP_COUNT(kinds))
        return bp_fail(err, ENOTSUP, "vmdk: extents of type '%.20s' are not built; FLAT, VMFS, SPARSE, VMFSSPARSE and "
                       "ZERO are", word);
    e.kind = kinds[i].kind;
    at += strspn(at, " \t");
    end = *at == '"' ? strchr(at + 1, '"') : NULL;
    if (e.kind != EXTENT_ZERO && (!end || end == at + 1))
        return bp_fail(err, EINVAL, "vmdk: an extent has no file name");
    if (end)
        *end = '\0';
    if (end && strchr(at + 1, ':'))
        return bp_fail(err, EINVAL, "vmdk: the extent '%.60s' is no plain file", at + 1);
    word = at + 1;
    at = end ? end + 1 : at;
    if (e.kind == EXTENT_FLAT && take_number(&at, &offset) && offset > BP_BLOCK_MAX_LENGTH / 512 - sectors)
        return bp_fail(err, EINVAL, "vmdk: an extent cannot begin at sector %llu", (unsigned long long)offset);
    if (s->count >= MOST_EXTENTS)
        return bp_fail(err, EINVAL, "vmdk: the image has more than %u extents", MOST_EXTENTS);
    if (sectors * 512 > BP_BLOCK_MAX_LENGTH - s->sparse.length)
        return bp_fail(err, EFBIG, "vmdk: the disk is too long");
    more = realloc(s->extents, (s->count + 1) * sizeof(*more));
    if (!more)
        return bp_fail(err, ENOMEM, "vmdk: no memory for extents");
    e.name = e.kind == EXTENT_ZERO ? NULL : bp_strdup(word);
    e.start = s->sparse.length;
    e.bytes = sectors * 512;
    e.offset = offset * 512;
    s->extents = more;
    s->extents[s->count++] = e;
    s->sparse.length += e.bytes;
    return 0;
}

static int take_line(struct vmdk *s, char *line, struct bp_error *err)
{
    char *value;

    if (!strncmp(line, "RW ", 3) || !strncmp(line, "RDONLY ", 7))
        return take_extent(s, line, err);
    if (!strncmp(line, "NOACCESS ", 9))
        return bp_fail(err, EACCES, "vmdk: the image has an extent that is not to be read (NOACCESS)");
    if ((value = value_of(line, "CID")) != NULL)
        s->cid = (uint32_t)strtoul(value, NULL, 16);
    else if ((value = value_of(line, "parentCID")) != NULL)
        s->parent_cid = (uint32_t)strtoul(value, NULL, 16);
    else if ((value = value_of(line, "createType")) != NULL && !s->type)
        s->type = bp_strdup(value);
    else if ((value = value_of(line, "parentFileNameHint")) != NULL && !s->parent)
        s->parent = bp_strdup(value);
    return 0;
}

int descriptor_parse(struct vmdk *s, char *text, struct bp_error *err)
{
    int ret = 0;

    s->parent_cid = NO_PARENT;
    for (char *line = text, *next; ret == 0 && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line += strspn(line, " \t");
        ret = take_line(s, line, err);
    }
    if (ret == 0 && !s->type)
        ret = bp_fail(err, EINVAL, "vmdk: the descriptor has no createType");
    return ret;
}

int descriptor_read(struct vmdk *s, char **ret_text, struct bp_error *err)
{
    char *text;
    int ret;

    if (s->descriptor_bytes > MOST_DESCRIPTOR)
        return bp_fail(err, EINVAL, "vmdk: a descriptor of %llu bytes is too long",
                       (unsigned long long)s->descriptor_bytes);
    text = calloc(1, (size_t)s->descriptor_bytes + 1);
    ret = text ? format_io(s->sparse.file, BP_BLOCK_READ, s->descriptor, text, s->descriptor_bytes) : -ENOMEM;
    if (ret < 0) {
        free(text);
        return bp_fail(err, -ret, "vmdk: the descriptor cannot be read: %s", strerror(-ret));
    }
    *ret_text = text;
    return 0;
}

/* ---- writing ---- */

int descriptor_new_cid(struct vmdk *s)
{
    char *text, *at, digits[9];
    uint8_t random[16];
    int ret;

    if (!s->descriptor_bytes)
        return 0;
    ret = descriptor_read(s, &text, NULL);
    if (ret < 0)
        return ret;
    format_uuid(random);
    at = strncmp(text, "CID=", 4) ? strstr(text, "\nCID=") : text;
    at = at && *at == '\n' ? at + 1 : at;
    if (at && strspn(at + 4, "0123456789abcdefABCDEF") == 8) {
        uint32_t cid = get_le32(random);

        s->cid = cid == NO_PARENT ? cid - 1 : cid;
        snprintf(digits, sizeof(digits), "%08x", s->cid);
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, s->descriptor + (uint64_t)(at + 4 - text), digits, 8);
    }
    free(text);
    return ret;
}

static void put_extents(FILE *f, const struct wish *w, const char *name)
{
    const char *dot = strrchr(name, '.');
    int stem = (int)(dot ? (size_t)(dot - name) : strlen(name));
    uint64_t left = w->size;

    if (w->subformat == SUB_FLAT) {
        fprintf(f, "RW %llu FLAT \"%.*s-flat.vmdk\" 0\n", (unsigned long long)(w->size / 512), stem, name);
    } else if (w->subformat == SUB_SPLIT_FLAT || w->subformat == SUB_SPLIT_SPARSE) {
        for (unsigned i = 1; left > 0; i++) {
            uint64_t n = left < SPLIT ? left : SPLIT;

            fprintf(f, w->subformat == SUB_SPLIT_FLAT ? "RW %llu FLAT \"%.*s-f%03u.vmdk\" 0\n"
                                                      : "RW %llu SPARSE \"%.*s-s%03u.vmdk\"\n",
                    (unsigned long long)(n / 512), stem, name, i);
            left -= n;
        }
    } else {
        fprintf(f, "RW %llu SPARSE \"%s\"\n", (unsigned long long)(w->size / 512), name);
    }
}

char *descriptor_make(const struct wish *w, const char *name)
{
    bool ide = !strcmp(w->adapter, "ide");
    unsigned heads = ide ? 16 : 255;
    char *text = NULL;
    size_t length;
    FILE *f = open_memstream(&text, &length);

    if (!f)
        return NULL;
    fprintf(f, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n", w->cid, w->parent_cid,
            vmdk_subformats[w->subformat]);
    if (w->backing)
        fprintf(f, "parentFileNameHint=\"%s\"\n", w->backing);
    fprintf(f, "\n# Extent description\n");
    put_extents(f, w, name);
    fprintf(f, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\nddb.geometry.cylinders = \"%llu\"\n"
            "ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\n"
            "ddb.toolsVersion = \"%s\"\n", w->hardware, (unsigned long long)(w->size / 512 / heads / 63), heads,
            w->adapter, w->tools);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
