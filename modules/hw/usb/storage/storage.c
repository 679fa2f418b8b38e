// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * USB disks (Mass Storage Class, Bulk-Only Transport 1.0) on a SCSI bus of their own: usb-storage, which makes the disk
 * itself, and usb-bot, onto which others are plugged. The data of a command stand in a buffer of at most MOST bytes
 * while it is under way: a command that wants more fails.
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/host/block.h>
#include <bp/host/scsi.h>
#include <bp/level.h>
#include <bp/object.h>
#include <bp/value.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);
BP_USE(block, struct bp_block_interface, "block", 1);

#define MOST (16u << 20)
#define CBW_SIZE 31u
#define CSW_SIZE 13u
#define IN_EP 0x81u
#define OUT_EP 0x02u
#define BOT_LUNS 16u
#define SENSE_CODE 0x03u /* REQUEST SENSE */

enum mode { COMMAND, DATA_OUT, DATA_IN, STATUS, WEDGED }; /* WEDGED: stalls until it is reset (5.3.4) */
enum { PASSED, FAILED, PHASE };

struct msd;

struct job { /* a command at its unit */
    struct msd *s;
    bool wanted; /* its end is; otherwise it was aborted, and is only waited for */
    struct bp_scsi_request request;
    struct iovec iov;
    uint8_t *data; /* owned: `size` bytes */
};

struct msd {
    struct bp_device *dev;
    struct bp_usb_device *usb;
    struct bp_scsi_bus *bus;
    struct bp_device *disk;
    struct job *job;                /* with the unit */
    struct bp_usb_packet *waiting;  /* an IN packet, for the unit */
    uint8_t *data;                  /* owned: of the command's data phase, `room` bytes */
    uint32_t room;
    /* properties */
    struct bp_blk_conf conf;
    char *serial;
    bool removable;
    bool single; /* usb-storage: it makes its disk */
    /* saved */
    uint32_t mode, tag, length, at, have;
    bool running;
    uint8_t lun, in, status, cdb_length;
    uint8_t cdb[16];
    uint8_t sense[18];
    uint8_t sense_length;
    struct bp_state_bytes saved;
};

/* ---- descriptors ---- */
#define BULK(ADDRESS, SIZE, BURST) \
    {.address = ADDRESS, .attributes = BP_USB_BULK, .max_packet = SIZE, .burst = BURST}
#define AT(IDENT, VERSION, SIZE, BURST, PACKET0) \
    static const struct bp_usb_endpoint IDENT##_endpoints[] = {BULK(IN_EP, SIZE, BURST), BULK(OUT_EP, SIZE, BURST)}; \
    static const struct bp_usb_interface_info IDENT##_interface[] = { \
        {.class_code = 8, .subclass = 6, .protocol = 0x50, .endpoint_count = 2, .endpoints = IDENT##_endpoints}}; \
    static const struct bp_usb_description IDENT = { \
        .version = VERSION, .max_packet0 = PACKET0, .attributes = 0xc0, .config_string = 4, .interfaces = 1, \
        .interface_count = 1, .table = IDENT##_interface}
AT(full, 0x0110, 64, 0, 8);
AT(high, 0x0200, 512, 0, 64);
AT(super, 0x0300, 1024, 15, 9);
static const char *const strings[] = {"", "QEMU", "QEMU USB HARDDRIVE", "1", "Bulk-only transport", NULL};

/* ---- the end of a command ---- */
static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void drop(struct msd *s)
{
    struct job *job = s->job;

    s->job = NULL;
    s->running = false;
    free(s->data);
    s->data = NULL;
    s->room = 0;
    s->at = s->have = s->length = 0;
    if (job) {
        job->wanted = false;
        scsi->cancel(job->request.unit, &job->request);
    }
}

static uint8_t send_status(struct msd *s, struct bp_usb_packet *p)
{
    if (p->length < CSW_SIZE)
        return BP_USB_BABBLE;
    memcpy(p->data, "USBS", 4);
    put32(p->data + 4, s->tag);
    put32(p->data + 8, s->length - (s->in ? s->have : s->at));
    p->data[12] = s->status;
    p->actual = CSW_SIZE;
    s->mode = COMMAND;
    drop(s);
    return BP_USB_OK;
}

/* The unit has answered. What it gave goes out packet by packet, filled up to the length that was asked for (6.7.2,
 * case 5): there is firmware that takes short packets for errors. */
static uint8_t send_data(struct msd *s, struct bp_usb_packet *p)
{
    uint32_t left = s->length - s->at, n = p->length < left ? p->length : left;

    if (n)
        memcpy(p->data, s->data + s->at, n);
    s->at += n;
    p->actual = n;
    if (s->at == s->length)
        s->mode = STATUS;
    return BP_USB_OK;
}

static uint8_t in(struct msd *s, struct bp_usb_packet *p)
{
    if (s->mode != DATA_IN && s->mode != STATUS) {
        if (s->mode == COMMAND)
            s->mode = WEDGED; /* it asks before it says what for */
        return BP_USB_STALL;
    }
    if (s->running) {
        s->waiting = p;
        return BP_USB_LATER;
    }
    return s->mode == DATA_IN ? send_data(s, p) : send_status(s, p);
}

static void done(struct bp_scsi_request *r)
{
    struct job *job = r->opaque;
    struct msd *s = job->s;
    struct bp_usb_packet *p;

    if (!job->wanted) {
        free(job->data);
        free(job);
        usb->ready(s->usb, OUT_EP); /* the next command may come */
        return;
    }
    s->job = NULL;
    s->running = false;
    s->data = job->data;
    s->room = (uint32_t)job->iov.iov_len;
    s->status = r->status == BP_SCSI_GOOD ? PASSED : FAILED;
    s->sense_length = (uint8_t)(r->sense_length < sizeof(s->sense) ? r->sense_length : sizeof(s->sense));
    memcpy(s->sense, r->sense, s->sense_length);
    if (s->in) {
        s->have = r->moved < s->length ? (uint32_t)r->moved : s->length;
    } else if (r->status != BP_SCSI_GOOD) {
        s->at = 0;
    }
    free(job);
    p = s->waiting;
    s->waiting = NULL;
    if (p)
        usb->complete(p, in(s, p));
}

/* ---- its beginning ---- */
/* Sense data are kept with the command that failed: the transport has no place for them. */
static bool answers_sense(struct msd *s)
{
    uint32_t n = s->cdb[4] < s->sense_length ? s->cdb[4] : s->sense_length;

    if (s->cdb[0] != SENSE_CODE || s->sense_length == 0 || !s->in)
        return false;
    s->have = n < s->length ? n : s->length;
    memcpy(s->data, s->sense, s->have);
    s->sense_length = 0;
    s->status = PASSED;
    return true;
}

static struct bp_scsi_unit *unit_of(struct msd *s)
{
    struct bp_scsi_unit *unit = scsi->unit(s->bus, 0, 0, s->lun);

    return unit ? unit : scsi->target(s->bus, 0, 0);
}

/* All of the command is there, and the data that go to the unit. */
static void start(struct msd *s)
{
    struct bp_scsi_unit *unit = unit_of(s);
    struct job *job;

    s->mode = s->in && s->length ? DATA_IN : STATUS;
    s->have = 0;
    if (answers_sense(s))
        return;
    job = unit ? calloc(1, sizeof(*job)) : NULL;
    if (!job) {
        s->status = FAILED;
        return;
    }
    job->s = s;
    job->wanted = true;
    job->data = s->data;
    s->data = NULL;
    s->room = 0;
    job->iov = (struct iovec){job->data, s->length};
    job->request.size = sizeof(job->request);
    job->request.cdb_length = s->cdb_length;
    memcpy(job->request.cdb, s->cdb, s->cdb_length);
    job->request.tag = s->tag;
    job->request.done = done;
    job->request.opaque = job;
    if (s->in && s->length) {
        job->request.in = &job->iov;
        job->request.in_count = 1;
        job->request.in_bytes = s->length;
    } else if (s->length) {
        job->request.out = &job->iov;
        job->request.out_count = 1;
        job->request.out_bytes = s->length;
    }
    s->job = job;
    s->running = true;
    scsi->submit(unit, s->lun, &job->request);
}

static bool make_room(struct msd *s)
{
    s->data = s->length ? calloc(1, s->length) : NULL;
    s->room = s->data ? s->length : 0;
    return s->room == s->length;
}

static uint8_t command(struct msd *s, struct bp_usb_packet *p)
{
    const uint8_t *d = p->data;

    if (scsi->in_flight(s->bus))
        return BP_USB_NAK; /* one that was aborted has not ended: it keeps its data until then */
    if (p->length != CBW_SIZE || memcmp(d, "USBC", 4) != 0 || (d[13] & 0xf0) || (d[14] & 0xe0) || d[14] == 0 ||
        d[14] > 16 || d[13] >= BOT_LUNS) {
        s->mode = WEDGED; /* 6.6.1: both stall until it is reset */
        usb->halt(s->usb, IN_EP);
        return BP_USB_STALL;
    }
    drop(s);
    p->actual = CBW_SIZE;
    s->tag = get32(d + 4);
    s->length = get32(d + 8);
    s->in = d[12] >> 7;
    s->lun = d[13];
    s->cdb_length = d[14];
    memset(s->cdb, 0, sizeof(s->cdb));
    memcpy(s->cdb, d + 15, s->cdb_length);
    s->status = FAILED;
    if (s->length > MOST || !make_room(s)) {
        s->mode = STATUS;
        usb->halt(s->usb, s->in ? IN_EP : OUT_EP); /* the data phase; the status follows */
        return BP_USB_OK;
    }
    s->mode = DATA_OUT;
    if (s->in || s->length == 0)
        start(s);
    return BP_USB_OK;
}

static uint8_t out(struct msd *s, struct bp_usb_packet *p)
{
    if (s->mode == COMMAND)
        return command(s, p);
    if (s->mode != DATA_OUT || p->length > s->length - s->at) {
        s->mode = WEDGED;
        return BP_USB_STALL;
    }
    if (p->length)
        memcpy(s->data + s->at, p->data, p->length);
    s->at += p->length;
    p->actual = p->length;
    if (s->at == s->length)
        start(s);
    return BP_USB_OK;
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct msd *s = state;

    /* Data are where a command has them, whatever a state that was refused has left here. */
    if ((s->mode == DATA_OUT || (s->mode == DATA_IN && !s->running)) && (s->length > s->room || s->at > s->length))
        s->mode = WEDGED;
    return p->token == BP_USB_IN ? in(s, p) : out(s, p);
}

static void cancel(void *state, struct bp_usb_packet *p)
{
    struct msd *s = state;

    if (s->waiting == p)
        s->waiting = NULL;
}

static void reset(void *state)
{
    struct msd *s = state;

    drop(s);
    s->mode = COMMAND;
    s->tag = 0;
    s->lun = s->in = s->status = s->cdb_length = s->sense_length = 0;
    memset(s->cdb, 0, sizeof(s->cdb));
    memset(s->sense, 0, sizeof(s->sense));
}

static void configured(void *state, uint8_t configuration)
{
    (void)configuration;
    reset(state);
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct msd *s = state;

    switch (r->type << 8 | r->request) {
    case 0x21ff: /* Bulk-Only Mass Storage Reset, 3.1 */
        reset(s);
        return BP_USB_OK;
    case 0xa1fe: /* Get Max LUN, 3.2 */
        r->data[0] = 0;
        for (unsigned lun = 1; lun < BOT_LUNS && !s->single; lun++)
            r->data[0] = scsi->unit(s->bus, 0, 0, lun) ? (uint8_t)lun : r->data[0];
        r->actual = 1;
        return BP_USB_OK;
    default:
        return BP_USB_STALL;
    }
}

/* ---- life ---- */
static bool is_cd(struct msd *s)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};

    for (unsigned n = 0; block->drive(bp_device_machine(s->dev), "none", n, &drive); n++) {
        if (strcmp(drive.id, s->conf.drive) == 0)
            return drive.cdrom;
    }
    return false;
}

static const struct bp_field blk_props[] = {BP_BLK_PROPS(struct msd, conf), BP_FIELDS_END};

/* What was said of this device is the disk's. */
static int set_up(struct msd *s, bool cd, struct bp_error *err)
{
    struct bp_device *d = s->disk;
    int r = 0;

    for (const struct bp_field *f = blk_props; r == 0 && f->name; f++) {
        struct bp_value *v = NULL;

        r = bp_object_get(bp_device_object(s->dev), f->name, &v, err);
        if (r == 0)
            r = bp_object_set(bp_device_object(d), f->name, v, err);
        bp_value_unref(v);
    }
    if (r == 0 && s->serial)
        r = bp_device_set(d, "serial", s->serial, err);
    if (r == 0 && !cd)
        r = bp_device_set(d, "removable", s->removable ? "on" : "off", err);
    return r;
}

static int make_disk(struct msd *s, struct bp_error *err)
{
    struct bp_bus *bus = bp_device_bridged(s->dev, "scsi");
    bool cd;
    int r;

    if (!s->conf.drive || !*s->conf.drive)
        return bp_fail(err, EINVAL, "usb-storage: property 'drive' is missing: which disk does it show?");
    cd = is_cd(s);
    r = bp_device_new_part(s->dev, cd ? "scsi-cd" : "scsi-hd", "disk", &s->disk, err);
    if (r == 0)
        r = set_up(s, cd, err);
    if (r == 0)
        r = bp_device_attach(s->disk, bus, err);
    return r;
}

static int attach(struct bp_device *dev, bool single, struct bp_error *err)
{
    const struct bp_scsi_bus_info info = {.size = sizeof(info), .max_channel = 0, .max_target = 0,
                                          .max_lun = single ? 0 : BOT_LUNS - 1};
    struct msd *s = bp_device_state(dev);
    int r;

    s->dev = dev;
    s->single = single;
    s->usb = usb->of(dev);
    if (s->serial && strlen(s->serial) > 36)
        return bp_fail(err, EINVAL, "usb-storage: serial: at most 36 characters");
    if (s->serial)
        usb->set_string(s->usb, 3, s->serial);
    r = scsi->new_bus(dev, &info, s, &s->bus, err);
    if (r == 0 && single)
        r = make_disk(s, err);
    if (r < 0) {
        scsi->free_bus(s->bus);
        s->bus = NULL;
    }
    return r;
}

static int storage_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static int bot_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static void detach(struct bp_device *dev)
{
    struct msd *s = bp_device_state(dev);

    s->waiting = NULL;
    drop(s);
    scsi->free_bus(s->bus); /* whose units went before */
    s->bus = NULL;
}

/* ---- state: a command that its unit has not ended is given to it again ---- */
static uint32_t kept(const struct msd *s)
{
    return s->in ? (s->running ? 0 : s->have) : s->mode == DATA_OUT ? s->at : s->running ? s->length : 0;
}

static int before_save(void *state, struct bp_error *err)
{
    struct msd *s = state;
    const uint8_t *data = s->job ? s->job->data : s->data;

    s->saved.size = data ? kept(s) : 0;
    s->saved.data = NULL;
    if (s->saved.size == 0)
        return 0;
    s->saved.data = malloc(s->saved.size);
    if (!s->saved.data)
        return bp_fail(err, ENOMEM, "USB disk: no memory to save its data");
    memcpy(s->saved.data, data, s->saved.size);
    return 0;
}

static int take_over(struct msd *s, struct bp_error *err)
{
    struct job *job = s->job;

    s->job = NULL;
    if (job) {
        job->wanted = false;
        scsi->cancel(job->request.unit, &job->request);
    }
    free(s->data);
    s->data = NULL;
    s->room = 0;
    if (s->length > MOST) {
        if (s->mode != STATUS || s->at || s->have || s->running || s->saved.size)
            return bp_fail(err, EINVAL, "USB disk: the saved command is impossible");
        return 0;
    }
    if (s->at > s->length || s->have > s->length || s->saved.size != kept(s) ||
        (s->mode == COMMAND && (s->length || s->running)) ||
        (s->mode == DATA_OUT && s->running))
        return bp_fail(err, EINVAL, "USB disk: the saved command is impossible");
    if (!make_room(s))
        return bp_fail(err, ENOMEM, "USB disk: no memory for its data");
    if (s->saved.size)
        memcpy(s->data, s->saved.data, s->saved.size);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    int r = take_over(state, err);

    (void)version;
    if (r < 0)
        reset(state);
    return r;
}

static int loaded(void *state, struct bp_error *err)
{
    struct msd *s = state;

    (void)err;
    if (s->running) {
        s->running = false;
        start(s);
    }
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_RANGE(UINT32, struct msd, mode, 0, WEDGED), BP_SAVE(UINT32, struct msd, tag),
    BP_SAVE(UINT32, struct msd, length), BP_SAVE(UINT32, struct msd, at), BP_SAVE(UINT32, struct msd, have),
    BP_SAVE(BOOL, struct msd, running), BP_SAVE_RANGE(UINT8, struct msd, lun, 0, BOT_LUNS - 1),
    BP_SAVE_RANGE(UINT8, struct msd, in, 0, 1), BP_SAVE(UINT8, struct msd, status),
    BP_SAVE_RANGE(UINT8, struct msd, cdb_length, 0, 16), BP_SAVE_BUFFER(struct msd, cdb),
    BP_SAVE_BUFFER(struct msd, sense), BP_SAVE_RANGE(UINT8, struct msd, sense_length, 0, 18),
    BP_SAVE_BYTES(struct msd, saved, MOST), BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .before_save = before_save, .after_load = after_load,
    .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field storage_props[] = {
    BP_BLK_PROPS(struct msd, conf), BP_PROP_BOOTINDEX(struct msd, conf.bootindex),
    BP_PROP("serial", STRING, struct msd, serial, NULL, "serial number, up to 36 characters"),
    BP_PROP("removable", BOOL, struct msd, removable, "off", "says that its medium can be removed"), BP_FIELDS_END};
static const struct bp_field bot_props[] = {BP_FIELDS_END};

static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0x46f4, .product = 0x0001, .manufacturer_string = 1, .product_string = 2,
    .serial_string = 3, .at = {NULL, &full, &high, &super}, .strings = strings, .control = control,
    .transfer = transfer, .cancel = cancel, .reset = reset, .configured = configured};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};

#define DISK(IDENT, NAME, SUMMARY, PROPS, ...) \
    BP_NOTE("provides=device:" NAME ";bus=usb-bus;user=yes;summary=" SUMMARY); \
    static const struct bp_device_class IDENT = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "usb-device", .summary = SUMMARY, .state_size = sizeof(struct msd), .props = PROPS, \
                 .state = &table, .infos = infos}, \
        .bus = "usb-bus", .category = "storage", .detach = detach, .firmware_name = "storage", __VA_ARGS__}
DISK(storage, "usb-storage", "USB disk", storage_props, .attach = storage_attach,
     .boot_suffix = "channel@0/disk@0,0");
DISK(bot, "usb-bot", "USB disk interface (bulk-only) for SCSI units", bot_props, .attach = bot_attach);

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(scsi, "scsi", 1),
                                           BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("usb-storage", "USB disks", imports, {BP_PROVIDE_DEVICE, &storage}, {BP_PROVIDE_DEVICE, &bot});
