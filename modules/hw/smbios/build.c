/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of a machine (DSP0134 3.0): types 0 (if asked for), 1, 2 (if asked for), 3, 4, 8 and 9 (if asked for),
 * 11 (if asked for), 16, 17, 19, 32, 38 (if there is one), 41 (if asked for), 127; those of files in place of ours.
 * Chapters are those of
 * its section 7.
 */
#include "smbios.h"

#include <bp/object.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define DIMM (16 * GIB)
#define NONE 0xfffeu /* no error information */
#define UNKNOWN 2u   /* of what describes a slot */

struct build {
    struct smbios_out out;
    const struct smbios *s;
    struct bp_machine *machine;
    const struct bp_smbios_facts *facts;
    struct bp_error *err;
};

/* ---- what was asked for ---- */

/* Later uses of the option have the last word, key by key. */
static struct bp_value *given(const struct build *b, unsigned type, const char *key)
{
    for (unsigned i = b->s->count; i-- > 0;) {
        const struct smbios_entry *e = &b->s->entry[i];

        if (e->fields && e->type == type && bp_value_has(e->fields, key))
            return bp_value_get(e->fields, key);
    }
    return NULL;
}

static const char *text_of(const struct build *b, unsigned type, const char *key, const char *otherwise)
{
    struct bp_value *v = given(b, type, key);

    return v ? bp_value_as_string(v) : otherwise;
}

static uint64_t number_of(const struct build *b, unsigned type, const char *key, uint64_t otherwise)
{
    struct bp_value *v = given(b, type, key);

    return v ? bp_value_as_uint(v) : otherwise;
}

static bool asked(const struct build *b, unsigned type)
{
    for (unsigned i = 0; i < b->s->count; i++) {
        if (b->s->entry[i].fields && b->s->entry[i].type == type)
            return true;
    }
    return false;
}

static uint64_t field(const struct smbios_entry *e, const char *key, uint64_t otherwise)
{
    return bp_value_has(e->fields, key) ? bp_value_as_uint(bp_value_get(e->fields, key)) : otherwise;
}

/* ---- 7.1 to 7.4 ---- */

static void firmware(struct build *b)
{
    const char *release = text_of(b, 0, "release", NULL);
    unsigned major = 0, minor = 0;
    struct bp_value *uefi = given(b, 0, "uefi");

    if (release && sscanf(release, "%3u.%3u", &major, &minor) != 2)
        major = minor = 0;
    smbios_begin(&b->out, 0, 0x18, 0);
    smbios_text(&b->out, 0x04, text_of(b, 0, "vendor", NULL));
    smbios_text(&b->out, 0x05, text_of(b, 0, "version", NULL));
    smbios_u16(&b->out, 0x06, 0xe800);
    smbios_text(&b->out, 0x08, text_of(b, 0, "date", NULL));
    smbios_u64(&b->out, 0x0a, 1u << 3); /* characteristics are not told */
    smbios_u8(&b->out, 0x13, 0x14 | (bp_value_as_bool(uefi) ? 8 : 0)); /* a virtual machine; updates go by content */
    smbios_u8(&b->out, 0x14, release ? major : 0);
    smbios_u8(&b->out, 0x15, release ? minor : 0);
    smbios_u16(&b->out, 0x16, 0xffff);
    smbios_end(&b->out);
}

static int parse_uuid(const char *text, uint8_t uuid[16], struct bp_error *err)
{
    unsigned n = 0;

    for (const char *p = text; *p && n < 32; p++) {
        size_t at = (size_t)(p - text);

        if (*p == '-' && (at == 8 || at == 13 || at == 18 || at == 23))
            continue;
        if (!isxdigit((unsigned char)*p))
            break;
        unsigned digit = isdigit((unsigned char)*p) ? (unsigned)(*p - '0') : (unsigned)(tolower(*p) - 'a') + 10;
        uuid[n / 2] = (uint8_t)(n % 2 ? uuid[n / 2] | digit : digit << 4);
        n++;
    }
    return n == 32 && strlen(text) == 36 ? 0
           : bp_fail(err, EINVAL, "-smbios type=1: key 'uuid': '%.60s' is not a UUID; accepted: 8-4-4-4-12 "
                     "hexadecimal digits", text);
}

static int system_information(struct build *b)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}; /* 7.2.1 */
    const char *text = text_of(b, 1, "uuid", NULL);
    uint8_t uuid[16], bytes[16];

    memcpy(uuid, b->facts->uuid, 16);
    if (text && parse_uuid(text, uuid, b->err) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = uuid[order[i]];
    smbios_begin(&b->out, 1, 0x1b, 0x100);
    smbios_text(&b->out, 0x04, text_of(b, 1, "manufacturer", b->facts->manufacturer));
    smbios_text(&b->out, 0x05, text_of(b, 1, "product", b->facts->product));
    smbios_text(&b->out, 0x06, text_of(b, 1, "version", b->facts->version));
    smbios_text(&b->out, 0x07, text_of(b, 1, "serial", NULL));
    smbios_bytes(&b->out, 0x08, bytes, 16);
    smbios_u8(&b->out, 0x18, 6); /* woken by the power switch */
    smbios_text(&b->out, 0x19, text_of(b, 1, "sku", NULL));
    smbios_text(&b->out, 0x1a, text_of(b, 1, "family", NULL));
    smbios_end(&b->out);
    return 0;
}

static void baseboard(struct build *b)
{
    smbios_begin(&b->out, 2, 0x0f, 0x200);
    smbios_text(&b->out, 0x04, text_of(b, 2, "manufacturer", b->facts->manufacturer));
    smbios_text(&b->out, 0x05, text_of(b, 2, "product", b->facts->product));
    smbios_text(&b->out, 0x06, text_of(b, 2, "version", b->facts->version));
    smbios_text(&b->out, 0x07, text_of(b, 2, "serial", NULL));
    smbios_text(&b->out, 0x08, text_of(b, 2, "asset", NULL));
    smbios_u8(&b->out, 0x09, 1); /* hosts the system */
    smbios_text(&b->out, 0x0a, text_of(b, 2, "location", NULL));
    smbios_u16(&b->out, 0x0b, 0x300);
    smbios_u8(&b->out, 0x0d, 0x0a); /* motherboard */
    smbios_end(&b->out);
}

static void chassis(struct build *b)
{
    smbios_begin(&b->out, 3, 0x16, 0x300);
    smbios_text(&b->out, 0x04, text_of(b, 3, "manufacturer", b->facts->manufacturer));
    smbios_u8(&b->out, 0x05, 1); /* other */
    smbios_text(&b->out, 0x06, text_of(b, 3, "version", b->facts->version));
    smbios_text(&b->out, 0x07, text_of(b, 3, "serial", NULL));
    smbios_text(&b->out, 0x08, text_of(b, 3, "asset", NULL));
    for (unsigned at = 0x09; at <= 0x0b; at++)
        smbios_u8(&b->out, at, 3); /* safe */
    smbios_u8(&b->out, 0x0c, 2); /* security is unknown */
    smbios_text(&b->out, 0x15, text_of(b, 3, "sku", NULL));
    smbios_end(&b->out);
}

/* ---- 7.5: a processor for each socket ---- */

static void count(struct build *b, unsigned at, unsigned wide_at, uint32_t n)
{
    smbios_u8(&b->out, at, n > 255 ? 255 : n);
    smbios_u16(&b->out, wide_at, n);
}

static void processor(struct build *b, unsigned n)
{
    uint64_t family = number_of(b, 4, "processor-family", 1);
    char socket[300];

    snprintf(socket, sizeof(socket), "%.255s%2x", text_of(b, 4, "sock_pfx", "CPU"), n);
    smbios_begin(&b->out, 4, 0x30, (uint16_t)(0x400 + n));
    smbios_text(&b->out, 0x04, socket);
    smbios_u8(&b->out, 0x05, 3); /* central */
    smbios_u8(&b->out, 0x06, family < 0xfe ? family : 0xfe);
    smbios_text(&b->out, 0x07, text_of(b, 4, "manufacturer", b->facts->manufacturer));
    smbios_u64(&b->out, 0x08, number_of(b, 4, "processor-id", b->facts->processor_id));
    smbios_text(&b->out, 0x10, text_of(b, 4, "version", b->facts->version));
    smbios_u16(&b->out, 0x14, number_of(b, 4, "max-speed", 2000));
    smbios_u16(&b->out, 0x16, number_of(b, 4, "current-speed", 2000));
    smbios_u8(&b->out, 0x18, 0x41); /* in its socket, enabled */
    smbios_u8(&b->out, 0x19, 1);
    for (unsigned at = 0x1a; at <= 0x1e; at += 2)
        smbios_u16(&b->out, at, 0xffff); /* caches are not described */
    smbios_text(&b->out, 0x20, text_of(b, 4, "serial", NULL));
    smbios_text(&b->out, 0x21, text_of(b, 4, "asset", NULL));
    smbios_text(&b->out, 0x22, text_of(b, 4, "part", NULL));
    count(b, 0x23, 0x2a, b->facts->cores);
    count(b, 0x24, 0x2c, b->facts->cores);
    count(b, 0x25, 0x2e, b->facts->threads);
    smbios_u16(&b->out, 0x26, 2); /* characteristics are unknown */
    smbios_u16(&b->out, 0x28, family);
    smbios_end(&b->out);
}

/* ---- 7.9, 7.10, 7.42: ports, slots, devices on the board ---- */

static void port(struct build *b, const struct smbios_entry *e, unsigned n)
{
    smbios_begin(&b->out, 8, 9, (uint16_t)(0x800 + n));
    smbios_text(&b->out, 4, bp_value_get_string(e->fields, "internal_reference"));
    smbios_text(&b->out, 6, bp_value_get_string(e->fields, "external_reference"));
    smbios_u8(&b->out, 7, field(e, "connector_type", 0));
    smbios_u8(&b->out, 8, field(e, "port_type", 0));
    smbios_end(&b->out);
}

/* Bus, and slot and function, of a PCI device; it must sit on the root bus, whose number is 0 whatever the guest
 * does. */
static int find_pci(struct build *b, unsigned type, const char *id, uint8_t *ret_devfn)
{
    struct bp_object *obj = bp_object_resolve(id, "device", NULL);
    struct bp_device *dev = bp_device_from_object(obj);
    struct bp_bus *bus = dev ? bp_device_bus(dev) : NULL;
    const char *kind = bus ? bp_bus_type(bus) : "";

    if (!dev)
        return bp_fail(b->err, ENODEV, "-smbios type=%u: there is no device with id '%.60s'", type, id);
    if (strcmp(kind, "pci") != 0 && strcmp(kind, "pcie") != 0)
        return bp_fail(b->err, EINVAL, "-smbios type=%u: device '%.60s' is no PCI device", type, id);
    if (bp_device_bus(bp_bus_bridge(bus)))
        return bp_fail(b->err, EINVAL, "-smbios type=%u: device '%.60s' is not on the root bus but on '%.60s', whose "
                       "number the guest chooses", type, id, bp_bus_name(bus));
    *ret_devfn = (uint8_t)pci->devfn(dev);
    return 0;
}

static int slot(struct build *b, const struct smbios_entry *e, unsigned n)
{
    const char *id = bp_value_get_string(e->fields, "pcidev");
    uint8_t devfn = 0xff, bus = 0xff;
    uint16_t segment = 0xffff;

    if (!id)
        id = bp_value_get_string(e->fields, "pci_device");
    if (id) {
        if (find_pci(b, 9, id, &devfn) < 0)
            return -EINVAL;
        bus = 0;
        segment = 0;
    }
    smbios_begin(&b->out, 9, 0x11, (uint16_t)(0x900 + n));
    smbios_text(&b->out, 0x04, bp_value_get_string(e->fields, "slot_designation"));
    smbios_u8(&b->out, 0x05, field(e, "slot_type", UNKNOWN));
    smbios_u8(&b->out, 0x06, field(e, "slot_data_bus_width", UNKNOWN));
    smbios_u8(&b->out, 0x07, field(e, "current_usage", UNKNOWN));
    smbios_u8(&b->out, 0x08, field(e, "slot_length", UNKNOWN));
    smbios_u16(&b->out, 0x09, field(e, "slot_id", 0));
    smbios_u8(&b->out, 0x0b, field(e, "slot_characteristics1", 0));
    smbios_u8(&b->out, 0x0c, field(e, "slot_characteristics2", field(e, "slot_characteristics12", 0)));
    smbios_u16(&b->out, 0x0d, segment);
    smbios_u8(&b->out, 0x0f, bus);
    smbios_u8(&b->out, 0x10, devfn);
    smbios_end(&b->out);
    return 0;
}

static int onboard(struct build *b, const struct smbios_entry *e, unsigned n)
{
    const char *id = bp_value_get_string(e->fields, "pcidev"), *kind = bp_value_get_string(e->fields, "kind");
    uint8_t devfn = 0xff, type = 1;

    if (id && find_pci(b, 41, id, &devfn) < 0)
        return -EINVAL;
    for (unsigned i = 0; kind && smbios_device_kinds[i]; i++) {
        if (strcmp(kind, smbios_device_kinds[i]) == 0)
            type = (uint8_t)(i + 1);
    }
    smbios_begin(&b->out, 41, 0x0b, (uint16_t)(0x2900 + n));
    smbios_text(&b->out, 4, bp_value_get_string(e->fields, "designation"));
    smbios_u8(&b->out, 5, type | 0x80u); /* enabled */
    smbios_u8(&b->out, 6, field(e, "instance", 1));
    smbios_u16(&b->out, 7, id ? 0 : 0xffff);
    smbios_u8(&b->out, 9, id ? 0 : 0xff);
    smbios_u8(&b->out, 10, devfn);
    smbios_end(&b->out);
    return 0;
}

static int each(struct build *b, unsigned type, int (*fn)(struct build *b, const struct smbios_entry *e, unsigned n))
{
    unsigned n = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < b->s->count; i++) {
        if (b->s->entry[i].fields && b->s->entry[i].type == type)
            r = fn(b, &b->s->entry[i], n++);
    }
    return r;
}

static int each_port(struct build *b, const struct smbios_entry *e, unsigned n)
{
    port(b, e, n);
    return 0;
}

/* ---- 7.12: strings, in the order of value= and path= ---- */

static int add_strings(struct build *b, const struct smbios_entry *e, unsigned n)
{
    struct bp_value *order = bp_value_get(e->fields, "order");
    size_t taken[2] = {0, 0};

    (void)n;
    for (size_t i = 0; i < bp_value_length(order); i++) {
        const char *key = bp_value_as_string(bp_value_at(order, i));
        struct bp_value *text = bp_value_at(bp_value_get(e->fields, key), taken[*key == 'p']++);

        if (b->out.strings == 255)
            return bp_fail(b->err, E2BIG, "-smbios type=11: more than 255 strings");
        if (!*bp_value_as_string(text))
            return bp_fail(b->err, EINVAL, "-smbios type=11: an empty string cannot be told");
        smbios_text(&b->out, 4, bp_value_as_string(text)); /* the last one's number is how many there are */
    }
    return 0;
}

static int oem_strings(struct build *b)
{
    int r;

    smbios_begin(&b->out, 11, 5, 0xe00);
    r = each(b, 11, add_strings);
    smbios_end(&b->out);
    return r;
}

/* ---- 7.17, 7.18, 7.20: memory ---- */

static void memory_array(struct build *b, uint64_t size, unsigned dimms)
{
    uint64_t kib = size >> 10;

    smbios_begin(&b->out, 16, 0x17, 0x1000);
    smbios_u8(&b->out, 0x04, 1); /* other place */
    smbios_u8(&b->out, 0x05, 3); /* main memory */
    smbios_u8(&b->out, 0x06, 6); /* corrects errors of several bits */
    smbios_u32(&b->out, 0x07, kib < 0x80000000u ? kib : 0x80000000u);
    smbios_u16(&b->out, 0x0b, NONE);
    smbios_u16(&b->out, 0x0d, dimms);
    smbios_u64(&b->out, 0x0f, kib < 0x80000000u ? 0 : size);
    smbios_end(&b->out);
}

static void dimm(struct build *b, unsigned n, uint64_t size)
{
    uint64_t mib = size / MIB, speed = number_of(b, 17, "speed", 0);
    char place[300];

    snprintf(place, sizeof(place), "%.255s %u", text_of(b, 17, "loc_pfx", "DIMM"), n);
    smbios_begin(&b->out, 17, 0x28, (uint16_t)(0x1100 + n));
    smbios_u16(&b->out, 0x04, 0x1000);
    smbios_u16(&b->out, 0x06, NONE);
    smbios_u16(&b->out, 0x08, 0xffff);
    smbios_u16(&b->out, 0x0a, 0xffff);
    smbios_u16(&b->out, 0x0c, mib); /* at most 16 GiB: it fits */
    smbios_u8(&b->out, 0x0e, 9);    /* a DIMM */
    smbios_text(&b->out, 0x10, place);
    smbios_text(&b->out, 0x11, text_of(b, 17, "bank", NULL));
    smbios_u8(&b->out, 0x12, 7);  /* RAM */
    smbios_u16(&b->out, 0x13, 2); /* other */
    smbios_u16(&b->out, 0x15, speed);
    smbios_text(&b->out, 0x17, text_of(b, 17, "manufacturer", b->facts->manufacturer));
    smbios_text(&b->out, 0x18, text_of(b, 17, "serial", NULL));
    smbios_text(&b->out, 0x19, text_of(b, 17, "asset", NULL));
    smbios_text(&b->out, 0x1a, text_of(b, 17, "part", NULL));
    smbios_u16(&b->out, 0x20, speed);
    smbios_end(&b->out);
}

static void mapped(struct build *b, unsigned n, uint64_t start, uint64_t size)
{
    uint64_t first = start >> 10, last = (start + size - 1) >> 10;
    bool wide = last >= 0xffffffffu;

    smbios_begin(&b->out, 19, 0x1f, (uint16_t)(0x1300 + n));
    smbios_u32(&b->out, 0x04, wide ? 0xffffffffu : first);
    smbios_u32(&b->out, 0x08, wide ? 0xffffffffu : last);
    smbios_u16(&b->out, 0x0c, 0x1000);
    smbios_u8(&b->out, 0x0e, 1);
    smbios_u64(&b->out, 0x0f, wide ? start : 0);
    smbios_u64(&b->out, 0x17, wide ? start + size - 1 : 0);
    smbios_end(&b->out);
}

static void memory(struct build *b)
{
    uint64_t size = b->facts->ram_low + b->facts->ram_high;
    unsigned dimms = (unsigned)((size + DIMM - 1) / DIMM);

    if (!smbios_has_file(b->s, 16))
        memory_array(b, size, dimms);
    for (unsigned i = 0; i < dimms && !smbios_has_file(b->s, 17); i++)
        dimm(b, i, size - i * DIMM < DIMM ? size - i * DIMM : DIMM);
    if (smbios_has_file(b->s, 19))
        return;
    mapped(b, 0, 0, b->facts->ram_low);
    if (b->facts->ram_high)
        mapped(b, 1, 4 * GIB, b->facts->ram_high);
}

/* ---- all of them ---- */

static void add_files(struct build *b)
{
    for (unsigned i = 0; i < b->s->count; i++) {
        const struct smbios_entry *e = &b->s->entry[i];

        if (e->fields)
            continue;
        b->out.start = b->out.size;
        smbios_append(&b->out, e->data, e->size);
        b->out.count++;
        if (e->size > b->out.largest)
            b->out.largest = e->size;
    }
}

/* 7.39: an interface of IPMI 2.0 in I/O ports, which are next to each other; an edge that goes up interrupts. */
static void bmc(struct build *b, const struct bp_smbios_bmc *what, uint16_t handle)
{
    smbios_begin(&b->out, 38, 0x12, handle);
    smbios_u8(&b->out, 4, what->interface);
    smbios_u8(&b->out, 5, 0x20);
    smbios_u8(&b->out, 6, what->slave_addr);
    smbios_u8(&b->out, 7, 0xff);
    smbios_u64(&b->out, 8, what->port | 1u);
    smbios_u8(&b->out, 16, (what->port & 1 ? 0x10u : 0) | (what->irq ? 0x0au : 0));
    smbios_u8(&b->out, 17, what->irq);
    smbios_end(&b->out);
}

static int add_all(struct build *b)
{
    int r = 0;

    if (asked(b, 0))
        firmware(b);
    if (!smbios_has_file(b->s, 1))
        r = system_information(b);
    if (asked(b, 2))
        baseboard(b);
    if (!smbios_has_file(b->s, 3))
        chassis(b);
    for (unsigned i = 0; i < b->facts->sockets && !smbios_has_file(b->s, 4); i++)
        processor(b, i);
    if (r == 0)
        r = each(b, 8, each_port);
    if (r == 0)
        r = each(b, 9, slot);
    if (r == 0 && asked(b, 11))
        r = oem_strings(b);
    memory(b);
    if (!smbios_has_file(b->s, 32)) {
        smbios_begin(&b->out, 32, 0x0b, 0x2000); /* started without errors */
        smbios_end(&b->out);
    }
    if (r == 0)
        r = each(b, 41, onboard);
    for (unsigned i = 0; i < b->facts->bmc_count && !smbios_has_file(b->s, 38); i++)
        bmc(b, &b->facts->bmcs[i], (uint16_t)(0x3000 + i));
    add_files(b);
    smbios_begin(&b->out, 127, 4, 0x7f00);
    smbios_end(&b->out);
    return r;
}

static uint8_t checksum(const uint8_t *p, size_t size)
{
    uint8_t sum = 0;

    while (size--)
        sum = (uint8_t)(sum + *p++);
    return (uint8_t)-sum;
}

static void put(uint8_t *p, uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* 5.2.1: with the Intermediate Entry Point Structure at its end. */
static size_t anchor32(uint8_t *a, const struct smbios_out *out, uint64_t address)
{
    memcpy(a, "_SM_", 4);
    a[0x05] = 0x1f;
    a[0x06] = 2;
    a[0x07] = 8;
    put(a + 0x08, out->largest, 2);
    memcpy(a + 0x10, "_DMI_", 5);
    put(a + 0x16, out->size, 2);
    put(a + 0x18, address, 4);
    put(a + 0x1c, out->count, 2);
    a[0x1e] = 0x28;
    a[0x15] = checksum(a + 0x10, 0x0f);
    a[0x04] = checksum(a, 0x1f);
    return 0x1f;
}

/* 5.2.2 */
static size_t anchor64(uint8_t *a, const struct smbios_out *out, uint64_t address)
{
    memcpy(a, "_SM3_", 5);
    a[0x06] = 0x18;
    a[0x07] = 3;
    a[0x0a] = 1;
    put(a + 0x0c, out->size, 4);
    put(a + 0x10, address, 8);
    a[0x05] = checksum(a, 0x18);
    return 0x18;
}

int smbios_build(struct bp_device *dev, const struct bp_smbios_facts *facts, uint64_t address, uint8_t **ret_tables,
                 size_t *ret_size, uint8_t ret_anchor[BP_SMBIOS_ANCHOR_MAX], size_t *ret_anchor_size,
                 struct bp_error *err)
{
    struct build b = {.s = bp_device_state(dev), .machine = bp_device_machine(dev), .facts = facts, .err = err};
    int r = add_all(&b);
    bool fits = b.out.size <= 65535 && b.out.count <= 65535;

    if (r == 0 && facts->entry_point == 32 && !fits)
        r = bp_fail(err, E2BIG, "-smbios: the tables have %zu bytes, and 65535 is all that a 32-bit entry point can "
                    "tell of: shorten them, or use -machine smbios-entry-point-type=64", b.out.size);
    if (r < 0) {
        free(b.out.data);
        return r;
    }
    memset(ret_anchor, 0, BP_SMBIOS_ANCHOR_MAX);
    *ret_anchor_size = facts->entry_point == 32 || (facts->entry_point == 0 && fits)
                           ? anchor32(ret_anchor, &b.out, address) : anchor64(ret_anchor, &b.out, address);
    *ret_tables = b.out.data;
    *ret_size = b.out.size;
    return 0;
}

/* ---- the device: it holds what the option said ---- */

static void smbios_detach(struct bp_device *dev)
{
    smbios_forget(bp_device_state(dev));
}

static int smbios_attach(struct bp_device *dev, struct bp_error *err)
{
    (void)dev, (void)err;
    return 0;
}

BP_BOARD_DEVICE(smbios_class, "smbios", "system", "SMBIOS tables", struct smbios, NULL, NULL, .category = "misc",
                .attach = smbios_attach, .detach = smbios_detach);

static const struct bp_smbios_interface table = {.size = sizeof(struct bp_smbios_interface), .build = smbios_build};
BP_INTERFACE(smbios_interface, "smbios", 1, 0, &table);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("hw-smbios", "SMBIOS tables", imports, {BP_PROVIDE_DEVICE, &smbios_class},
          {BP_PROVIDE_INTERFACE, &smbios_interface}, {BP_PROVIDE_OPTION, &smbios_option});
