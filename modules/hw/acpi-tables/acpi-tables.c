/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -acpitable: tables of the user's, from whole files or from files of data and a header of keys (ACPI 6.4, 5.2.6).
 * Length and checksum are always ours.
 */
#include <bp/chip/acpi-tables.h>
#include <bp/command.h>
#include <bp/option.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 36u
#define MAX_TABLES 32u
#define MAX_TABLE (1u << 20)

struct acpi_tables {
    struct {
        uint8_t *data; /* owned */
        size_t len;
    } table[MAX_TABLES];
    unsigned count;
};

/* ---- files ---- */

static int append_file(const char *path, uint8_t **data, size_t *len, struct bp_error *err)
{
    FILE *f = fopen(path, "rb");
    size_t n;
    int r = 0;

    if (!f)
        return bp_fail(err, errno, "'%s': %s", path, strerror(errno));
    *data = bp_realloc(*data, MAX_TABLE + 1);
    n = fread(*data + *len, 1, MAX_TABLE + 1 - *len, f);
    if (ferror(f))
        r = bp_fail(err, EIO, "'%s' cannot be read", path);
    *len += n;
    if (r == 0 && *len > MAX_TABLE)
        r = bp_fail(err, EFBIG, "'%s': a table has at most 1 MiB", path);
    fclose(f);
    return r;
}

/* Several names with colons between. */
static int append_files(const char *names, uint8_t **data, size_t *len, struct bp_error *err)
{
    char *copy = bp_strdup(names), *rest = copy, *name;
    int r = 0;

    while (r == 0 && (name = strsep(&rest, ":")))
        r = *name ? append_file(name, data, len, err)
                  : bp_fail(err, EINVAL, "a file name is missing in '%s'; accepted: FILE[:FILE...]", names);
    free(copy);
    return r;
}

/* ---- header ---- */

static void put32(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* Text keys: their place and length in the header. */
static const struct text_key {
    const char *key;
    unsigned at, width;
} text_keys[] = {{"sig", 0, 4}, {"oem_id", 10, 6}, {"oem_table_id", 16, 8}, {"asl_compiler_id", 28, 4}};
static const struct text_key number_keys[] = {{"rev", 8, 1}, {"oem_rev", 24, 4}, {"asl_compiler_rev", 32, 4}};

static int fill_header(uint8_t *h, struct bp_value *args, struct bp_error *err)
{
    for (size_t i = 0; i < BP_COUNT(text_keys); i++) {
        const struct text_key *k = &text_keys[i];
        const char *text = bp_value_get_string(args, k->key);

        if (!text)
            continue;
        if (strlen(text) > k->width || (k->at == 0 && strlen(text) != 4))
            return bp_fail(err, EINVAL, "key '%s': '%.40s' has %zu characters; accepted: %s%u", k->key, text,
                           strlen(text), k->at == 0 ? "" : "up to ", k->width);
        memset(h + k->at, k->at == 0 ? 0 : ' ', k->width);
        memcpy(h + k->at, text, strlen(text));
    }
    for (size_t i = 0; i < BP_COUNT(number_keys); i++) {
        const struct text_key *k = &number_keys[i];
        uint8_t bytes[4];

        if (!bp_value_has(args, k->key))
            continue;
        put32(bytes, bp_value_as_uint(bp_value_get(args, k->key)));
        memcpy(h + k->at, bytes, k->width);
    }
    return 0;
}

static void finish(uint8_t *table, size_t len)
{
    uint8_t sum = 0;

    put32(table + 4, len);
    table[9] = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + table[i]);
    table[9] = (uint8_t)-sum;
}

static int make_table(struct bp_value *args, uint8_t **ret_data, size_t *ret_len, struct bp_error *err)
{
    const char *file = bp_value_get_string(args, "file"), *data = bp_value_get_string(args, "data");
    static const uint8_t plain[HEADER] = {[8] = 1, [10] = 'B', 'K', 'P', 'L', 'N', 'E', 'B', 'K', 'P', 'L', 'P', 'C',
                                          ' ', ' ', 1, 0, 0, 0, 'B', 'K', 'P', 'L', 1};
    size_t len = 0;
    int r;

    if (!file == !data)
        return bp_fail(err, EINVAL, "needs one of file= (whole tables) and data= (what follows the header)");
    if (data && !bp_value_has(args, "sig"))
        return bp_fail(err, EINVAL, "data= needs sig=, the table's signature of four characters");
    if (data) {
        *ret_data = bp_realloc(NULL, MAX_TABLE + 1);
        memcpy(*ret_data, plain, HEADER);
        len = HEADER;
    }
    r = append_files(file ? file : data, ret_data, &len, err);
    if (r == 0 && len < HEADER)
        r = bp_fail(err, EINVAL, "'%s' has %zu bytes: a table begins with a header of %u", file, len, HEADER);
    if (r == 0)
        r = fill_header(*ret_data, args, err);
    if (r < 0)
        return r;
    finish(*ret_data, len);
    *ret_len = len;
    return 0;
}

/* ---- option ---- */

#define WORD(NAME, MAX, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .min = 0, .max = MAX, .help = HELP}
static const struct bp_field keys[] = {
    BP_ARG_OPT("sig", STRING, "signature, four characters"),
    WORD("rev", 255, "revision"),
    BP_ARG_OPT("oem_id", STRING, "OEM's id, up to six characters"),
    BP_ARG_OPT("oem_table_id", STRING, "OEM's id of the table, up to eight characters"),
    WORD("oem_rev", UINT32_MAX, "OEM's revision"),
    BP_ARG_OPT("asl_compiler_id", STRING, "compiler's id, up to four characters"),
    WORD("asl_compiler_rev", UINT32_MAX, "compiler's revision"),
    BP_ARG_OPT("file", STRING, "files with the whole table, FILE[:FILE...]"),
    BP_ARG_OPT("data", STRING, "files with what follows the header, FILE[:FILE...]"),
    BP_FIELDS_END,
};

static int apply(struct bp_value *args, struct bp_error *err)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_device *dev = machine ? bp_device_first(machine, "acpi-tables") : NULL;
    struct acpi_tables *s;
    uint8_t *data = NULL;
    size_t len = 0;
    int r;

    if (!dev)
        return bp_fail(err, ENODEV, "this machine has no ACPI tables");
    s = bp_device_state(dev);
    if (s->count == MAX_TABLES)
        return bp_fail(err, E2BIG, "at most %u tables can be given", MAX_TABLES);
    r = make_table(args, &data, &len, err);
    if (r < 0) {
        free(data);
        return r;
    }
    s->table[s->count].data = data;
    s->table[s->count++].len = len;
    return 0;
}

BP_OPTION(acpitable_option, "acpitable", "adds an ACPI table", .phase = BP_PHASE_DEVICE,
          .arg = "[sig=str][,rev=n][,oem_id=str][,oem_table_id=str][,oem_rev=n][,asl_compiler_id=str]"
                 "[,asl_compiler_rev=n],data=file[:file...]|file=file[:file...]",
          .group = "Standard options", .keys = keys, .apply = apply);

/* ---- device ---- */

static int tables_attach(struct bp_device *dev, struct bp_error *err)
{
    (void)dev, (void)err;
    return 0;
}

static void tables_detach(struct bp_device *dev)
{
    struct acpi_tables *s = bp_device_state(dev);

    while (s->count)
        free(s->table[--s->count].data);
}

BP_BOARD_DEVICE(tables_class, "acpi-tables", "system", "ACPI tables of the user's", struct acpi_tables, NULL, NULL,
                .category = "misc", .attach = tables_attach, .detach = tables_detach);

static const uint8_t *table(struct bp_device *dev, unsigned n, size_t *ret_len)
{
    const struct acpi_tables *s = bp_device_state(dev);

    if (n >= s->count)
        return NULL;
    *ret_len = s->table[n].len;
    return s->table[n].data;
}

static const struct bp_acpi_tables_interface interface = {.size = sizeof(struct bp_acpi_tables_interface),
                                                          .table = table};
BP_INTERFACE(tables_interface, "acpi-tables", 1, 0, &interface);
BP_MODULE("hw-acpi-tables", "ACPI tables of the user's", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &tables_class},
          {BP_PROVIDE_INTERFACE, &tables_interface}, {BP_PROVIDE_OPTION, &acpitable_option});
