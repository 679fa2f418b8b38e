/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What host controller and card share: commands, responses, data (SD Physical Layer Simplified Specification 3.01). */
#ifndef HW_SDHCI_SD_H
#define HW_SDHCI_SD_H

#include <bp/device.h>
#include <bp/host/block.h>

#define SD_BLOCK 512u
#define SD_ANSWER_MAX 64u /* bytes of data that a card tells of itself */

enum sd_data { SD_NO_DATA, SD_OWN, SD_READ, SD_WRITE }; /* of itself; from the medium; to it */

struct sd_card;

struct sd_reply {
    unsigned length;   /* bytes of the response: 0 (none comes), 4, 16 */
    uint8_t bytes[16]; /* most significant first; of 16: bits 127 to 0 of the register */
    enum sd_data data;
    uint8_t own[SD_ANSWER_MAX];
    unsigned own_length;
    uint64_t block; /* where READ and WRITE begin */
};

/* All in the main context, under the machine lock. */
void sd_command(struct sd_card *card, uint8_t index, uint32_t argument, struct sd_reply *reply);
void sd_power_on(struct sd_card *card); /* as CMD0 */
void sd_transfer_ended(struct sd_card *card, uint64_t blocks); /* data went over: so many blocks */
uint64_t sd_blocks(const struct sd_card *card);
bool sd_writable(const struct sd_card *card);
/* As block->submit(); the card's medium. */
struct bp_blk_request *sd_submit(struct sd_card *card, enum bp_block_op op, const struct bp_block_request *req,
                                 void (*done)(void *opaque, int ret), void *opaque);
void sd_cancel(struct bp_blk_request *request);

/* ---- the bus: one card ---- */
struct sd_bus_ops {
    void (*came)(void *opaque, struct sd_card *card);
    void (*goes)(void *opaque); /* nothing of it is used any more when this returns */
};
int sd_bus_new(struct bp_device *host, const struct sd_bus_ops *ops, void *opaque, struct bp_error *err);

extern const struct bp_bus_class sd_bus_class;
extern const struct bp_device_class sd_card_class;
extern const struct bp_block_interface *sd_block;

#endif
