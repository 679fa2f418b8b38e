/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What drivers of image formats share: requests to what holds the image, options of new images, identifiers. */
#ifndef FORMAT_FORMAT_H
#define FORMAT_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include <bp/host/block.h>

#include "bytes.h"

extern const struct bp_block_interface *block; /* each module has its own */

/* buf NULL: for zeroes, discards, flushes. [co] */
int format_io(struct bp_block_child *child, enum bp_block_op op, uint64_t offset, void *buf, uint64_t bytes);

/* Options of new images come as text from the tools and as values from blockdev-create. One that is not given leaves
 * *ret as it is. A size may end in k, M, G, T, P, E. */
int option_size(struct bp_value *options, const char *key, uint64_t *ret, struct bp_error *err);
int option_switch(struct bp_value *options, const char *key, bool *ret, struct bp_error *err);
/* One of `names`, which ends with NULL. */
int option_choice(struct bp_value *options, const char *key, const char *const *names, unsigned *ret,
                  struct bp_error *err);
/* The size of the disk, up to whole sectors, at most `most` bytes. */
int option_disk_size(struct bp_value *options, uint64_t most, uint64_t *ret, struct bp_error *err);

/* A random UUID (RFC 4122, version 4), its fields with the big end first. */
void format_uuid(uint8_t uuid[16]);

/* {"type": name, "data": data}, as ImageInfo has it. Takes the reference of `data`. */
struct bp_value *format_facts(const char *name, struct bp_value *data);

#endif
