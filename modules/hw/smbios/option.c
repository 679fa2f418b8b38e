/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -smbios: fields of a type, or whole structures from a file. */
#define BP_SHARED
#include "smbios.h"

#include <bp/command.h>
#include <bp/option.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE 65535u

/* Which keys belong to which type. */
static const struct {
    unsigned type;
    const char *keys; /* with commas around each */
    bool repeated;    /* the option may be given several times */
} types[] = {
    {0, ",vendor,version,date,release,uefi,", false},
    {1, ",manufacturer,product,version,serial,uuid,sku,family,", false},
    {2, ",manufacturer,product,version,serial,asset,location,", false},
    {3, ",manufacturer,version,serial,asset,sku,", false},
    {4, ",sock_pfx,manufacturer,version,serial,asset,part,max-speed,current-speed,processor-family,processor-id,",
     false},
    {8, ",internal_reference,external_reference,connector_type,port_type,", true},
    {9, ",slot_designation,slot_type,slot_data_bus_width,current_usage,slot_length,slot_id,slot_characteristics1,"
        "slot_characteristics2,slot_characteristics12,pci_device,pcidev,", true},
    {11, ",value,path,order,", true},
    {17, ",loc_pfx,bank,manufacturer,serial,asset,part,speed,", false},
    {41, ",designation,kind,instance,pcidev,", true},
};

#define NUMBER(NAME, MAX, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT64, .flags = BP_FIELD_OPTIONAL, .min = 0, .max = MAX, .help = HELP}
#define REPEATED(NAME, FLAGS, HELP) \
    {.name = NAME, .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED | (FLAGS), .help = HELP, \
     .forward = (FLAGS) ? NULL : "order"}
const char *const smbios_device_kinds[] = {"other", "unknown", "video", "scsi", "ethernet", "tokenring", "sound",
                                           "pata", "sata", "sas", NULL};
static const struct bp_schema kind_schema = {.name = "kind", .kind = BP_KIND_ENUM, .choices = smbios_device_kinds};
static const struct bp_field keys[] = {
    BP_ARG_OPT("file", STRING, "file with whole structures"),
    NUMBER("type", 255, "which structure the other keys describe: 0, 1, 2, 3, 4, 8, 9, 11, 17 or 41"),
    BP_ARG_OPT("vendor", STRING, "0: vendor of the firmware"),
    BP_ARG_OPT("version", STRING, "0-4: version"),
    BP_ARG_OPT("date", STRING, "0: date of the firmware, mm/dd/yyyy"),
    BP_ARG_OPT("release", STRING, "0: release of the firmware, as major.minor"),
    BP_ARG_OPT("uefi", BOOL, "0: whether the firmware is UEFI"),
    BP_ARG_OPT("manufacturer", STRING, "1-4, 17: manufacturer"),
    BP_ARG_OPT("product", STRING, "1, 2: product"),
    BP_ARG_OPT("serial", STRING, "1-4, 17: serial number"),
    BP_ARG_OPT("uuid", STRING, "1: UUID of the machine"),
    BP_ARG_OPT("sku", STRING, "1, 3: SKU number"),
    BP_ARG_OPT("family", STRING, "1: family"),
    BP_ARG_OPT("asset", STRING, "2-4, 17: asset tag"),
    BP_ARG_OPT("location", STRING, "2: location in the chassis"),
    BP_ARG_OPT("sock_pfx", STRING, "4: what sockets are called, before their number"),
    BP_ARG_OPT("part", STRING, "4, 17: part number"),
    NUMBER("max-speed", 65535, "4: highest speed in MHz"),
    NUMBER("current-speed", 65535, "4: speed in MHz"),
    NUMBER("processor-family", 65533, "4: family of the processor"),
    NUMBER("processor-id", UINT64_MAX, "4: ID of the processor"),
    BP_ARG_OPT("internal_reference", STRING, "8: name of the port inside"),
    BP_ARG_OPT("external_reference", STRING, "8: name of the port outside"),
    NUMBER("connector_type", 255, "8: type of the connector outside"),
    NUMBER("port_type", 255, "8: type of the port"),
    BP_ARG_OPT("slot_designation", STRING, "9: name of the slot"),
    NUMBER("slot_type", 255, "9: type of the slot"),
    NUMBER("slot_data_bus_width", 255, "9: width of its data bus"),
    NUMBER("current_usage", 255, "9: its usage"),
    NUMBER("slot_length", 255, "9: its length"),
    NUMBER("slot_id", 65535, "9: its ID"),
    NUMBER("slot_characteristics1", 255, "9: its characteristics, first byte"),
    NUMBER("slot_characteristics2", 255, "9: its characteristics, second byte"),
    {.name = "slot_characteristics12", .kind = BP_KIND_UINT64, .flags = BP_FIELD_OPTIONAL | BP_FIELD_HIDDEN, .min = 0,
     .max = 255, .help = "as slot_characteristics2"},
    BP_ARG_OPT("pci_device", STRING, "9: id of the device in the slot"),
    REPEATED("value", 0, "11: a string"),
    REPEATED("path", 0, "11: file with a string"),
    REPEATED("order", BP_FIELD_HIDDEN, "11: which of value and path come in which order"),
    BP_ARG_OPT("loc_pfx", STRING, "17: what memory devices are called, before their number"),
    BP_ARG_OPT("bank", STRING, "17: name of the bank"),
    NUMBER("speed", 65535, "17: speed in MT/s"),
    BP_ARG_OPT("designation", STRING, "41: name of the device"),
    BP_ARG_TYPED("kind", ENUM, &kind_schema, BP_FIELD_OPTIONAL, "41: kind of the device"),
    NUMBER("instance", 255, "41: its number among those of its kind"),
    BP_ARG_OPT("pcidev", STRING, "9, 41: id of the PCI device"),
    BP_FIELDS_END,
};

static int find_type(unsigned type)
{
    for (size_t i = 0; i < BP_COUNT(types); i++) {
        if (types[i].type == type)
            return (int)i;
    }
    return -1;
}

/* ---- files ---- */

static int read_file(const char *path, uint8_t **ret_data, size_t *ret_size, struct bp_error *err)
{
    FILE *f = fopen(path, "rb");
    int why = f ? 0 : errno;
    uint8_t *data = bp_alloc(MAX_FILE + 1);
    size_t n = f ? fread(data, 1, MAX_FILE + 1, f) : 0;
    int r = 0;

    if (!f)
        r = bp_fail(err, why, "'%s': %s", path, strerror(why));
    else if (ferror(f))
        r = bp_fail(err, EIO, "'%s' cannot be read", path);
    else if (n > MAX_FILE)
        r = bp_fail(err, EFBIG, "'%s' is longer than %u bytes, which is all that SMBIOS tables can have", path,
                    MAX_FILE);
    if (f)
        fclose(f);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_size = n;
    return 0;
}

size_t smbios_structure_size(const uint8_t *data, size_t size)
{
    size_t n = size >= 4 && data[1] >= 4 ? data[1] : size;

    for (; n + 1 < size; n++) {
        if (data[n] == 0 && data[n + 1] == 0)
            return n + 2;
    }
    return 0;
}

static struct smbios_entry *new_entry(struct smbios *s, unsigned type, struct bp_error *err)
{
    struct smbios_entry *e = &s->entry[s->count];

    if (s->count == SMBIOS_MAX_ENTRIES) {
        bp_fail(err, E2BIG, "more than %u structures", SMBIOS_MAX_ENTRIES);
        return NULL;
    }
    s->count++;
    *e = (struct smbios_entry){.type = type};
    return e;
}

static bool has_fields(const struct smbios *s, unsigned type)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->entry[i].fields && s->entry[i].type == type)
            return true;
    }
    return false;
}

bool smbios_has_file(const struct smbios *s, unsigned type)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (!s->entry[i].fields && s->entry[i].type == type)
            return true;
    }
    return false;
}

static int take_structures(struct smbios *s, const char *path, const uint8_t *data, size_t size, struct bp_error *err)
{
    size_t at = 0;

    do {
        size_t n = smbios_structure_size(data + at, size - at);
        struct smbios_entry *e;

        if (!n)
            return bp_fail(err, EINVAL, "'%s': the structure at byte %zu is not whole: a header whose second byte is "
                           "its length, 4 at least, then strings, then two zeroes", path, at);
        if (data[at] == 127)
            return bp_fail(err, EINVAL, "'%s': structure 127 ends the tables and is not to be given", path);
        if (has_fields(s, data[at]))
            return bp_fail(err, EINVAL, "'%s' has a structure of type %u, and type=%u is given too: only one of the "
                           "two can be", path, data[at], data[at]);
        e = new_entry(s, data[at], err);
        if (!e)
            return -E2BIG;
        e->data = bp_alloc(n);
        e->size = n;
        memcpy(e->data, data + at, n);
        at += n;
    } while (at < size);
    return 0;
}

static int take_file(struct smbios *s, struct bp_value *args, struct bp_error *err)
{
    const char *path = bp_value_get_string(args, "file");
    uint8_t *data;
    size_t size;
    int r;

    if (bp_value_length(args) != 1)
        return bp_fail(err, EINVAL, "file= stands alone: the file says all of a structure");
    r = read_file(path, &data, &size, err);
    if (r < 0)
        return r;
    r = take_structures(s, path, data, size, err);
    free(data);
    return r;
}

/* ---- fields ---- */

struct check {
    unsigned at; /* in types */
    struct bp_error *err;
};

static int check_key(const char *key, struct bp_value *value, void *opaque)
{
    const struct check *c = opaque;
    char word[64], *list;
    int r;

    (void)value;
    snprintf(word, sizeof(word), ",%s,", key);
    if (strcmp(key, "type") == 0 || strstr(types[c->at].keys, word))
        return 0;
    list = bp_strdup(types[c->at].keys + 1);
    list[strlen(list) - 1] = 0;
    r = bp_fail(c->err, EINVAL, "key '%s' is none of type %u; accepted: %s", key, types[c->at].type, list);
    free(list);
    return r;
}

static int check_release(const char *text, struct bp_error *err)
{
    unsigned major, minor;
    char rest;

    if (text && (sscanf(text, "%3u.%3u%c", &major, &minor, &rest) != 2 || major > 255 || minor > 255))
        return bp_fail(err, EINVAL, "key 'release': '%.40s'; accepted: MAJOR.MINOR, each 0 to 255", text);
    return 0;
}

/* The files of type 11 take the place of their names. */
static int read_strings(struct bp_value *fields, struct bp_error *err)
{
    struct bp_value *paths = bp_value_get(fields, "path"), *texts = bp_value_list();
    int r = 0;

    for (size_t i = 0; r == 0 && i < bp_value_length(paths); i++) {
        const char *path = bp_value_as_string(bp_value_at(paths, i));
        uint8_t *data;
        size_t size;

        r = read_file(path, &data, &size, err);
        if (r < 0)
            break;
        data[size] = 0; /* there is room for one more */
        if (strlen((char *)data) != size || size == 0)
            r = bp_fail(err, EINVAL, size ? "'%s' has a NUL byte: an SMBIOS string cannot" : "'%s' is empty", path);
        else
            bp_value_append(texts, bp_value_string((char *)data));
        free(data);
    }
    if (r == 0 && bp_value_length(texts) + bp_value_length(bp_value_get(fields, "value")) !=
                      bp_value_length(bp_value_get(fields, "order")))
        r = bp_fail(err, EINVAL, "key 'order' is not for users: the order is that of value= and path=");
    if (r < 0)
        bp_value_unref(texts);
    else
        bp_value_set(fields, "path", texts);
    return r;
}

static int take_fields(struct smbios *s, struct bp_value *args, struct bp_error *err)
{
    unsigned type = (unsigned)bp_value_as_uint(bp_value_get(args, "type"));
    struct check check = {0, err};
    struct smbios_entry *e;
    int at = find_type(type), r;

    if (at < 0)
        return bp_fail(err, EINVAL, "type %u cannot be described by keys; accepted: 0, 1, 2, 3, 4, 8, 9, 11, 17, 41, "
                       "and any other by file=", type);
    check.at = (unsigned)at;
    r = bp_value_each(args, check_key, &check);
    if (r == 0)
        r = check_release(bp_value_get_string(args, "release"), err);
    if (r == 0 && smbios_has_file(s, type))
        r = bp_fail(err, EINVAL, "type %u is described by a file already: only one of the two can be", type);
    if (r < 0)
        return r;
    e = new_entry(s, type, err);
    if (!e)
        return -E2BIG;
    e->fields = bp_value_copy(args);
    return type == 11 ? read_strings(e->fields, err) : 0;
}

static int apply(struct bp_value *args, struct bp_error *err)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_device *dev = machine ? bp_device_first(machine, "smbios") : NULL;

    if (!dev)
        return bp_fail(err, ENODEV, "this machine has no SMBIOS tables");
    if (bp_value_has(args, "file"))
        return take_file(bp_device_state(dev), args, err);
    if (!bp_value_has(args, "type"))
        return bp_fail(err, EINVAL, "needs file= or type=");
    return take_fields(bp_device_state(dev), args, err);
}

BP_OPTION(smbios_option, "smbios", "what the SMBIOS tables say", .phase = BP_PHASE_DEVICE,
          .arg = "file=file|type=n[,key=value...]", .group = "Standard options", .keys = keys, .apply = apply);

void smbios_forget(struct smbios *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        bp_value_unref(s->entry[i].fields);
        free(s->entry[i].data);
    }
    s->count = 0;
}
