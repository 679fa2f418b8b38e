/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmgenid: a number that changes when the machine goes on from an older state, so that the guest's random
 * numbers and connections do not repeat (Microsoft, "Virtual Machine Generation ID"). The 16 bytes stand in
 * a page of guest memory whose address firmware tells by a fw_cfg file; the board's ACPI tables name it. A
 * change is written there and told by the line "changed".
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <bp/chip/fw-cfg.h>

#include "vmgenid.h"

BP_USE(fw_cfg, struct bp_fw_cfg_interface, "fw-cfg", 1);

#define ADDRESS_FILE "etc/vmgenid_addr"
#define IN_PAGE 40u /* where the number stands in its page */

static int refuse_second(struct bp_device *dev, void *opaque)
{
    return dev != opaque;
}

static void show(const struct vmgenid *s)
{
    if (s->address)
        bp_space_write(bp_device_memory(s->dev), s->address + IN_PAGE, s->guid, VMGENID_SIZE);
}

/* Firmware wrote the page's address. */
static void address_written(void *opaque)
{
    struct vmgenid *s = opaque;
    size_t len = 0;
    const uint8_t *file = fw_cfg->content(s->fw_cfg, ADDRESS_FILE, &len);

    s->address = 0;
    for (unsigned i = 0; file && i < 8 && i < len; i++)
        s->address |= (uint64_t)file[i] << 8 * i;
    show(s);
}

/* Tells a guest that knows where it is. */
static void changed(struct vmgenid *s)
{
    show(s);
    if (s->address)
        bp_irq_pulse(bp_device_irq_output(s->dev, "changed", 0));
}

/* A board that places the tables itself says where the page is. */
static int set_address(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                       struct bp_error *err)
{
    struct vmgenid *s = bp_object_state(obj);

    (void)f, (void)err;
    s->address = bp_value_as_uint(value);
    if (s->dev)
        show(s);
    return 0;
}

/* ---- as text ---- */

/* The bytes stand as a GUID's structure has them: three little-endian numbers, then eight bytes. */
static const uint8_t order[VMGENID_SIZE] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

void vmgenid_text(const struct vmgenid *s, char text[VMGENID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *p = text;

    for (unsigned i = 0; i < VMGENID_SIZE; i++) {
        uint8_t byte = s->guid[order[i]];

        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = digits[byte >> 4];
        *p++ = digits[byte & 15];
    }
    *p = '\0';
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool parse(const char *text, uint8_t guid[VMGENID_SIZE])
{
    for (unsigned i = 0; i < VMGENID_SIZE; i++) {
        int high, low;

        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return false;
        high = digit(text[0]);
        low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return false;
        guid[order[i]] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text == '\0';
}

static int get_guid(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                    struct bp_error *err)
{
    char text[VMGENID_TEXT];

    (void)f, (void)err;
    vmgenid_text(bp_object_state(obj), text);
    *ret_value = bp_value_string(text);
    return 0;
}

static int set_guid(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                    struct bp_error *err)
{
    const char *text = bp_value_as_string(value);
    struct vmgenid *s = bp_object_state(obj);
    uint8_t guid[VMGENID_SIZE];

    (void)f;
    if (!text || (strcmp(text, "auto") != 0 && !parse(text, guid)))
        return bp_fail(err, EINVAL, "property 'guid' of vmgenid: '%.60s' is neither 'auto' nor a UUID like "
                       "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87", text ? text : "");
    if (strcmp(text, "auto") == 0) {
        if (getrandom(guid, sizeof(guid), 0) != (ssize_t)sizeof(guid))
            return bp_fail(err, EIO, "property 'guid' of vmgenid: no random numbers: %s", strerror(errno));
        guid[order[6]] = (guid[order[6]] & 0x0f) | 0x40; /* RFC 4122, version 4 */
        guid[order[8]] = (guid[order[8]] & 0x3f) | 0x80;
    }
    memcpy(s->guid, guid, sizeof(s->guid));
    if (s->dev)
        changed(s);
    return 0;
}

/* ---- the device ---- */

static int vmgenid_attach(struct bp_device *dev, struct bp_error *err)
{
    static const uint8_t no_address[8];
    struct vmgenid *s = bp_device_state(dev);

    if (bp_device_each(bp_device_machine(dev), "vmgenid", refuse_second, dev))
        return bp_fail(err, EEXIST, "there is a vmgenid device already");
    s->fw_cfg = bp_device_first(bp_device_machine(dev), "fw_cfg_io");
    if (!s->fw_cfg)
        return bp_fail(err, ENODEV, "vmgenid needs a machine with ACPI tables and a fw_cfg device");
    s->dev = dev;
    bp_device_add_irq_outputs(dev, "changed", 1);
    return fw_cfg->add_writable(s->fw_cfg, ADDRESS_FILE, no_address, sizeof(no_address),
                                address_written, s, err);
}

/* The next firmware says where it puts it. */
static void vmgenid_reset(struct bp_device *dev)
{
    static const uint8_t no_address[8];
    struct vmgenid *s = bp_device_state(dev);

    s->address = 0;
    fw_cfg->add_writable(s->fw_cfg, ADDRESS_FILE, no_address, sizeof(no_address),
                         address_written, s, NULL);
}

/* A state that is gone on from is another generation: its own number stays this machine's. */
static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    changed(state);
    return 0;
}

static const struct bp_state_field vmgenid_fields[] = {BP_SAVE(UINT64, struct vmgenid, address), BP_SAVE_END};
static const struct bp_state_table vmgenid_state = {
    .version = 1, .oldest = 1, .fields = vmgenid_fields, .loaded = loaded,
    .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field vmgenid_props[] = {
    {.name = "guid", .kind = BP_KIND_STRING, .flags = BP_FIELD_WRITE_LIVE, .def = "auto", .get = get_guid,
     .set = set_guid, .help = "the number, as a UUID; auto: a random one"},
    {.name = "address", .kind = BP_KIND_UINT64, .flags = BP_FIELD_WRITE_LIVE | BP_FIELD_HIDDEN,
     .offset = offsetof(struct vmgenid, address), .set = set_address, .help = "of its page in guest memory"},
    BP_FIELDS_END,
};
BP_DEVICE(vmgenid_device, "vmgenid", "system", "Virtual machine generation counter", struct vmgenid,
          vmgenid_props, &vmgenid_state, .category = "misc", .attach = vmgenid_attach,
          .reset = vmgenid_reset);

static const struct bp_import imports[] = {BP_IMPORT(fw_cfg, "fw-cfg", 1), {0}};
BP_MODULE("hw-vmgenid", "Virtual machine generation counter", imports, {BP_PROVIDE_DEVICE, &vmgenid_device},
          {BP_PROVIDE_COMMAND, &vmgenid_query},
          {BP_PROVIDE_HMP, &vmgenid_info});
