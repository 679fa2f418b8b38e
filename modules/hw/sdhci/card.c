// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An SD memory card of high capacity (SDHC, SDXC: SD Physical Layer Simplified Specification 3.01, chapters 4, 5) on
 * any block node. Writes are on the medium when they end: a card knows no flush. Left out: standard capacity, SPI,
 * erase, write protection of groups, locks, speeds above 25 MB/s, security.
 */
#include <errno.h>
#include <string.h>

#include <bp/level.h>

#include "sd.h"

enum state { IDLE, READY, IDENTIFICATION, STAND_BY, TRANSFER, SENDING, RECEIVING };
enum { /* card status, 4.10.1 */
    OUT_OF_RANGE = 1u << 31, BLOCK_LENGTH = 1u << 29, ILLEGAL = 1u << 22, READY_FOR_DATA = 1u << 8,
    APP_COMMAND = 1u << 5,
};
#define VOLTAGES 0x00ff8000u
#define POWERED_UP (1u << 31)
#define HIGH_CAPACITY (1u << 30)
#define RCA 0x4567u
#define UNIT 1024u /* blocks that C_SIZE counts */
#define MOST_BLOCKS ((uint64_t)UNIT << 22)

struct sd_card {
    struct bp_device *dev;
    struct bp_blk *blk;
    struct bp_blk_conf conf;
    /* state */
    uint8_t state;
    bool app; /* CMD55 came before */
    uint16_t rca;
    uint32_t errors; /* to be told with the next status */
    uint32_t written; /* blocks, ACMD22 */
};

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
    while (bytes--) {
        to[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

uint64_t sd_blocks(const struct sd_card *card)
{
    int64_t length = sd_block->length(card->blk);
    uint64_t blocks = length > 0 ? (uint64_t)length / SD_BLOCK : 0;

    return blocks / UNIT * UNIT;
}

bool sd_writable(const struct sd_card *card)
{
    return sd_block->writable(card->blk);
}

void sd_power_on(struct sd_card *card)
{
    card->state = IDLE;
    card->app = false;
    card->rca = 0;
    card->errors = card->written = 0;
}

void sd_transfer_ended(struct sd_card *card, uint64_t blocks)
{
    if (card->state == RECEIVING)
        card->written = (uint32_t)blocks;
    if (card->state == SENDING || card->state == RECEIVING)
        card->state = TRANSFER;
}

struct bp_blk_request *sd_submit(struct sd_card *card, enum bp_block_op op, const struct bp_block_request *req,
                                 void (*done)(void *opaque, int ret), void *opaque)
{
    return sd_block->submit(card->blk, op, req, done, opaque);
}

void sd_cancel(struct bp_blk_request *request)
{
    sd_block->cancel(request);
}

/* ---- responses ---- */
/* R1: the state before the command. */
static void status(struct sd_card *card, struct sd_reply *reply, uint8_t state)
{
    put(reply->bytes, card->errors | (uint32_t)state << 9 | (state == TRANSFER ? READY_FOR_DATA : 0) |
                          (card->app ? APP_COMMAND : 0), 4);
    reply->length = 4;
    card->errors = 0;
}

static void identification(struct sd_reply *reply)
{
    static const uint8_t cid[15] = {0xaa, 'B', 'P', 'C', 'A', 'R', 'D', '1', 0x10, 0, 0, 0, 1, 0x01, 0xa1};

    memcpy(reply->bytes, cid, sizeof(cid));
    reply->length = 16;
}

/* CSD version 2.0, 5.3.3: classes 0, 2, 4, 8, 10; 25 MHz. */
static void specific_data(const struct sd_card *card, struct sd_reply *reply)
{
    uint64_t size = sd_blocks(card) / UNIT - 1;
    uint8_t *d = reply->bytes;

    memcpy(d, "\x40\x0e\x00\x32\x51\x59\x00\x00\x00\x00\x7f\x80\x0a\x40\x00\x01", 16);
    put(d + 7, size & 0x3fffff, 3);
    if (!sd_writable(card))
        d[14] |= 0x10; /* TMP_WRITE_PROTECT */
    reply->length = 16;
}

static void own_data(struct sd_reply *reply, const void *data, unsigned length)
{
    memcpy(reply->own, data, length);
    reply->own_length = length;
    reply->data = SD_OWN;
}

/* SWITCH_FUNC, 4.3.10: each group has its default function alone. */
static void functions(struct sd_card *card, uint32_t argument, struct sd_reply *reply)
{
    uint8_t d[64] = {0, 100};

    for (unsigned group = 0; group < 6; group++) {
        unsigned wanted = argument >> 4 * group & 15;

        d[13 - 2 * group] = 1;
        d[12 - 2 * group] = 0x80;
        if (wanted != 0 && wanted != 15)
            d[16 - group / 2] |= (uint8_t)(0xf << 4 * (group & 1));
    }
    status(card, reply, TRANSFER);
    own_data(reply, d, sizeof(d));
}

/* ---- commands ---- */
static bool illegal(struct sd_card *card)
{
    card->errors |= ILLEGAL;
    return false;
}

static bool data_command(struct sd_card *card, uint32_t argument, bool write, struct sd_reply *reply)
{
    if (card->state != TRANSFER)
        return illegal(card);
    if (argument >= sd_blocks(card) || (write && !sd_writable(card)))
        card->errors |= argument >= sd_blocks(card) ? (uint32_t)OUT_OF_RANGE : 1u << 26; /* WP_VIOLATION */
    else
        reply->data = write ? SD_WRITE : SD_READ;
    status(card, reply, card->state);
    reply->block = argument;
    if (reply->data)
        card->state = write ? RECEIVING : SENDING;
    return true;
}

static bool select_card(struct sd_card *card, uint32_t argument, struct sd_reply *reply)
{
    uint8_t before = card->state;

    if (before < STAND_BY)
        return illegal(card);
    if (argument >> 16 != card->rca) {
        card->state = STAND_BY;
        return false; /* another one's */
    }
    if (before != STAND_BY)
        return illegal(card);
    card->state = TRANSFER;
    status(card, reply, before);
    return true;
}

static bool addressed(struct sd_card *card, uint8_t index, uint32_t argument, struct sd_reply *reply)
{
    if (card->state < STAND_BY || argument >> 16 != card->rca)
        return illegal(card);
    if (index == 13)
        status(card, reply, card->state);
    else if (card->state != STAND_BY)
        return illegal(card);
    else if (index == 9)
        specific_data(card, reply);
    else
        identification(reply);
    return true;
}

static bool beginning(struct sd_card *card, uint8_t index, uint32_t argument, struct sd_reply *reply)
{
    switch (index) {
    case 2:
        if (card->state != READY)
            return illegal(card);
        identification(reply);
        card->state = IDENTIFICATION;
        return true;
    case 3:
        if (card->state != IDENTIFICATION && card->state != STAND_BY)
            return illegal(card);
        card->rca = RCA;
        put(reply->bytes, (uint32_t)RCA << 16 | (uint32_t)card->state << 9, 4);
        reply->length = 4;
        card->state = STAND_BY;
        return true;
    default: /* 8: SEND_IF_COND */
        if (card->state != IDLE || (argument >> 8 & 15) != 1)
            return illegal(card);
        put(reply->bytes, argument & 0xfff, 4);
        reply->length = 4;
        return true;
    }
}

static bool plain_command(struct sd_card *card, uint8_t index, uint32_t argument, struct sd_reply *reply)
{
    switch (index) {
    case 0:
        sd_power_on(card);
        return false;
    case 2:
    case 3:
    case 8:
        return beginning(card, index, argument, reply);
    case 6:
        if (card->state != TRANSFER)
            return illegal(card);
        functions(card, argument, reply);
        return true;
    case 7:
        return select_card(card, argument, reply);
    case 9:
    case 10:
    case 13:
        return addressed(card, index, argument, reply);
    case 12:
        if (card->state != SENDING && card->state != RECEIVING && card->state != TRANSFER)
            return illegal(card);
        status(card, reply, card->state);
        sd_transfer_ended(card, card->written);
        return true;
    case 16:
        if (card->state != TRANSFER)
            return illegal(card);
        if (argument != SD_BLOCK)
            card->errors |= BLOCK_LENGTH;
        status(card, reply, card->state);
        return true;
    case 17:
    case 18:
    case 24:
    case 25:
        return data_command(card, argument, index >= 24, reply);
    case 23:
        if (card->state != TRANSFER)
            return illegal(card);
        status(card, reply, card->state);
        return true;
    case 55:
        if (card->state > IDLE && card->state < STAND_BY)
            return illegal(card);
        if (argument >> 16 != card->rca)
            return illegal(card);
        card->app = true;
        status(card, reply, card->state);
        return true;
    default:
        return illegal(card);
    }
}

static bool operating_conditions(struct sd_card *card, uint32_t argument, struct sd_reply *reply)
{
    bool ready = (argument & HIGH_CAPACITY) && (argument & VOLTAGES);

    if (card->state != IDLE)
        return illegal(card);
    if (ready)
        card->state = READY;
    put(reply->bytes, VOLTAGES | (ready ? POWERED_UP | HIGH_CAPACITY : 0), 4);
    reply->length = 4;
    return true;
}

static bool app_command(struct sd_card *card, uint8_t index, uint32_t argument, struct sd_reply *reply)
{
    static const uint8_t scr[8] = {0x02, 0x05, 0x80, 0x02}; /* 3.0, 1 and 4 lines, CMD23 */
    static const uint8_t sd_status[64] = {0x80, [8] = 2, [10] = 0x90}; /* 4 lines; class 4; units of 4 MiB */
    uint8_t count[4];

    if (index == 41)
        return operating_conditions(card, argument, reply);
    if (card->state != TRANSFER || (index != 6 && index != 13 && index != 22 && index != 23 && index != 42 &&
                                    index != 51))
        return illegal(card);
    status(card, reply, card->state);
    if (index == 13)
        own_data(reply, sd_status, sizeof(sd_status));
    if (index == 51)
        own_data(reply, scr, sizeof(scr));
    if (index == 22) {
        put(count, card->written, 4);
        own_data(reply, count, sizeof(count));
    }
    return true;
}

void sd_command(struct sd_card *card, uint8_t index, uint32_t argument, struct sd_reply *reply)
{
    bool app = card->app;

    memset(reply, 0, sizeof(*reply));
    if (index != 55 && !app) {
        if (!plain_command(card, index, argument, reply))
            reply->length = 0;
        return;
    }
    if (index == 55) {
        card->app = false;
        if (!plain_command(card, index, argument, reply))
            reply->length = 0;
        return;
    }
    if (!app_command(card, index, argument, reply))
        reply->length = 0;
    card->app = false; /* the response still tells of it */
}

/* ---- the bus ---- */
struct sd_bus {
    struct bp_device *host;
    const struct sd_bus_ops *ops;
    void *opaque;
};

static struct sd_bus *bus_of(struct bp_bus *bus)
{
    return bp_bus_level(bus, &sd_bus_class);
}

static void child_attached(struct bp_bus *bus, struct bp_device *dev)
{
    bus_of(bus)->ops->came(bus_of(bus)->opaque, bp_device_state(dev));
}

BP_NOTE("provides=bus:sd-bus;summary=Slot of an SD card");
const struct bp_bus_class sd_bus_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "sd-bus", .summary = "Slot of an SD card",
             .state_size = sizeof(struct sd_bus)},
    .max_children = 1, .child_attached = child_attached};

int sd_bus_new(struct bp_device *host, const struct sd_bus_ops *ops, void *opaque, struct bp_error *err)
{
    static const struct bp_hotplug_ops hotplug = {.size = sizeof(hotplug)};
    struct bp_bus *bus;
    int ret = bp_bus_new(host, "sd-bus", NULL, &bus, err);

    if (ret < 0)
        return ret;
    *bus_of(bus) = (struct sd_bus){.host = host, .ops = ops, .opaque = opaque};
    bp_bus_set_hotplug(bus, bp_device_owner(host), &hotplug, NULL);
    return 0;
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_blk_ops ops = {.size = sizeof(ops), .flags = BP_BLK_READ_ONLY_OK};
    struct sd_card *card = bp_device_state(dev);
    int64_t length;
    int ret;

    card->dev = dev;
    if (!(card->conf.drive && *card->conf.drive))
        return bp_fail(err, EINVAL, "sd-card: property 'drive' is missing: which image does it show?");
    ret = sd_block->open(dev, bp_device_owner(dev), NULL, &card->conf, &ops, card, &card->blk, err);
    if (ret < 0)
        return ret;
    length = sd_block->length(card->blk);
    if (length < (int64_t)(UNIT * SD_BLOCK) || length % (UNIT * SD_BLOCK) || sd_blocks(card) > MOST_BLOCKS) {
        sd_block->close(card->blk);
        card->blk = NULL;
        return bp_fail(err, EINVAL, "sd-card: drive '%s' has %lld bytes; a card has a multiple of 512 KiB, up to 2 TiB",
                       card->conf.drive, (long long)length);
    }
    sd_block->set_write_cache(card->blk, false);
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct sd_card *card = bp_device_state(dev);
    struct sd_bus *bus = bus_of(bp_device_bus(dev));

    bus->ops->goes(bus->opaque); /* while its requests can still be cancelled */
    sd_block->close(card->blk);
    card->blk = NULL;
}

static void reset(struct bp_device *dev)
{
    sd_power_on(bp_device_state(dev));
}

static const struct bp_state_field fields[] = {
    BP_SAVE_RANGE(UINT8, struct sd_card, state, IDLE, RECEIVING), BP_SAVE(BOOL, struct sd_card, app),
    BP_SAVE(UINT16, struct sd_card, rca), BP_SAVE(UINT32, struct sd_card, errors),
    BP_SAVE(UINT32, struct sd_card, written), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};
static const struct bp_field props[] = {BP_BLK_PROPS(struct sd_card, conf), BP_FIELDS_END};

BP_NOTE("provides=device:sd-card;bus=sd-bus;user=yes;summary=SD memory card");
const struct bp_device_class sd_card_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "sd-card",
             .summary = "SD memory card", .state_size = sizeof(struct sd_card), .props = props, .state = &table},
    .bus = "sd-bus", .category = "storage", .attach = attach, .detach = detach, .reset = reset};
