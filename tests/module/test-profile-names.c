/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The profiler's readers: Linux's table of names in both of its layouts, ELF files; and broken ones. Prints TAP. */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES 600u
#define BASE UINT64_C(0xffffffff81000000)
#define ROOM (1u << 16)

static uint8_t image[ROOM];

static size_t put(size_t at, const void *bytes, size_t count)
{
    memcpy(image + at, bytes, count);
    return at + count;
}

static size_t aligned(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Offsets (each name 16 bytes behind the one before) and the base. */
static size_t put_offsets(size_t at, bool per_cpu)
{
    const uint64_t base = BASE;

    for (uint32_t n = 0; n < NAMES; n++) {
        uint32_t offset = per_cpu ? (uint32_t)(-1 - (int32_t)(n * 16)) : n * 16;

        at = put(at, &offset, 4);
    }
    return put(aligned(at), &base, 8);
}

/* "tname0", "Tname1", ..., of tokens for single characters, "na" and "me". Returns the image's length. */
static size_t make(bool later, bool per_cpu)
{
    uint32_t count = NAMES, marker[(NAMES + 255) / 256] = {0};
    uint16_t index[256];
    size_t at = 64, names, tokens;

    memset(image, 0, sizeof(image));
    if (!later)
        at = put_offsets(at, per_cpu);
    at = put(aligned(at), &count, 4);
    names = at = aligned(at);
    for (uint32_t n = 0; n < NAMES; n++) {
        char name[16];
        int digits = snprintf(name, sizeof(name), "%c\x01\x02%u", n & 1 ? 'T' : 't', n);
        uint8_t length = (uint8_t)digits;

        if (n % 256 == 0)
            marker[n / 256] = (uint32_t)(at - names);
        at = put(at, &length, 1);
        at = put(at, name, length);
    }
    at = put(aligned(at), marker, sizeof(marker));
    tokens = at = aligned(at);
    for (unsigned n = 0; n < 256; n++) {
        char token[8] = {n > 32 && n < 127 ? (char)n : '?'};

        if (n == 1 || n == 2)
            memcpy(token, n == 1 ? "na" : "me", 3);
        index[n] = (uint16_t)(at - tokens);
        at = put(at, token, strlen(token) + 1);
    }
    at = put(aligned(at), index, sizeof(index));
    if (later)
        at = put_offsets(aligned(at), per_cpu);
    return at + 64;
}

static bool tables_are_read(void)
{
    for (unsigned n = 0; n < 4; n++) {
        struct symbols s = {0};
        size_t length = make(n & 1, n & 2);
        size_t found = kallsyms_read(&s, image, length);
        const char *first = symbols_find(&s, BASE, NULL), *last = symbols_find(&s, BASE + (NAMES - 1) * 16 + 3, NULL),
                   *middle = symbols_find(&s, BASE + 300 * 16 + 15, NULL);
        bool good = found == NAMES && first && !strcmp(first, "name0") && last && !strcmp(last, "name599") &&
                    middle && !strcmp(middle, "name300") && !symbols_find(&s, BASE - 1, NULL);

        if (!good)
            printf("# layout %u: %zu names, %s %s %s\n", n, found, first ? first : "-", middle ? middle : "-",
                   last ? last : "-");
        symbols_free(&s);
        if (!good)
            return false;
    }
    return true;
}

static uint32_t seed = 1;

static uint32_t next(void)
{
    return (seed = seed * 1664525u + 1013904223u) >> 8;
}

/* Exactly as much memory as is said, so that a sanitizer sees what is read behind it. */
static bool broken_tables_do_no_harm(void)
{
    unsigned whole = 0;

    for (unsigned n = 0; n < 2000; n++) {
        size_t length = make(next() & 1, next() & 1);
        struct symbols s = {0};
        uint8_t *copy;

        for (unsigned k = next() % 6; k; k--)
            image[next() % length] = (uint8_t)next();
        if (next() % 3 == 0)
            length = next() % length + 1;
        copy = malloc(length);
        if (!copy)
            return false;
        memcpy(copy, image, length);
        whole += kallsyms_read(&s, copy, length) == NAMES;
        symbols_free(&s);
        free(copy);
    }
    printf("# %u of 2000 are whole\n", whole);
    return whole > 100 && whole < 2000;
}

static int write_copy(const uint8_t *bytes, size_t length, char *path)
{
    int fd;

    strcpy(path, "/tmp/test-profile-XXXXXX");
    fd = mkstemp(path);
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
        return -1;
    return close(fd);
}

static uint8_t *this_program(size_t *ret_length)
{
    FILE *file = fopen("/proc/self/exe", "re");
    uint8_t *bytes = malloc(8u << 20);

    *ret_length = file && bytes ? fread(bytes, 1, 8u << 20, file) : 0;
    if (file)
        fclose(file);
    return bytes;
}

static bool programs_are_read(void)
{
    struct bp_error err = {0};
    struct elf_file f;
    const char *found = NULL;
    bool good;

    if (elf_read(&f, "/proc/self/exe", &err) < 0)
        return false;
    for (size_t n = 0; n < f.symbols.count; n++) {
        if (!strcmp(f.symbols.names + f.symbols.list[n].name, "programs_are_read"))
            found = symbols_find(&f.symbols, f.symbols.list[n].address + 1, NULL);
    }
    good = found && !strcmp(found, "programs_are_read") && f.end > f.first && !memcmp(f.head, "\177ELF", 4);
    elf_free(&f);
    return good;
}

static bool broken_programs_do_no_harm(void)
{
    size_t length;
    uint8_t *bytes = this_program(&length);
    unsigned read = 0;
    char path[64];

    for (unsigned n = 0; bytes && length > 4096 && n < 200; n++) {
        struct bp_error err = {0};
        size_t part = n % 4 == 3 ? next() % length + 1 : length;
        uint8_t *copy = malloc(part);
        struct elf_file f;

        if (!copy)
            return false;
        memcpy(copy, bytes, part);
        for (unsigned k = 0; k < n % 8; k++) { /* in its header, in the headers of sections at its end, anywhere */
            size_t at = k % 3 == 0 ? next() % 64 : k % 3 == 1 ? part - 1 - next() % (part < 2500 ? part : 2500) :
                        next() % part;

            if (at < part)
                copy[at] = (uint8_t)next();
        }
        if (write_copy(copy, part, path) == 0 && elf_read(&f, path, &err) == 0) {
            read++;
            elf_free(&f);
        }
        unlink(path);
        free(copy);
    }
    free(bytes);
    printf("# %u of 200 are read\n", read);
    return read > 20 && read < 200;
}

static const struct {
    const char *name;
    bool (*test)(void);
} cases[] = {{"tables_of_both_layouts_are_read", tables_are_read},
             {"broken_tables_do_no_harm", broken_tables_do_no_harm},
             {"functions_of_programs_are_read", programs_are_read},
             {"broken_programs_do_no_harm", broken_programs_do_no_harm}};

int main(int argc, char **argv)
{
    unsigned count = sizeof(cases) / sizeof(cases[0]);
    bool all = true;

    for (unsigned n = 0; n < count; n++) {
        bool good;

        if (argc > 1 && !strcmp(argv[1], "-l")) {
            printf("%s\n", cases[n].name);
            continue;
        }
        good = cases[n].test();
        all &= good;
        printf("%sok %u %s\n", good ? "" : "not ", n + 1, cases[n].name);
    }
    if (argc < 2)
        printf("1..%u\n", count);
    return !all;
}
