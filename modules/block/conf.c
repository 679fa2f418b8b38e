/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a disk looks like: block sizes and geometry, as its properties say, as the medium has it, or as old
 * systems expect it. Cylinders, heads and sectors: from the properties, from the first partition table entry
 * that tells (its last sector's head and sector number are the highest), or by size. [main]
 */
#include <errno.h>
#include <string.h>

#include "block.h"

static int check_block(const char *name, uint32_t bytes, struct bp_error *err)
{
    if (bytes < 512 || bytes > 2u << 20 || (bytes & (bytes - 1)))
        return bp_fail(err, EINVAL, "property '%s': %u is no power of two from 512 to 2097152", name,
                       bytes);
    return 0;
}

int conf_complete(struct bp_blk *blk, struct bp_blk_conf *conf, struct bp_error *err)
{
    struct bp_block_limits limits = {0};
    int ret;

    if (blk->root.node)
        limits = blk->root.node->limits;
    if (conf->logical_block_size == 0)
        conf->logical_block_size = limits.logical_block ? limits.logical_block : 512;
    if (conf->physical_block_size == 0)
        conf->physical_block_size = limits.physical_block > conf->logical_block_size
                                        ? limits.physical_block : conf->logical_block_size;
    ret = check_block("logical_block_size", conf->logical_block_size, err);
    if (ret == 0)
        ret = check_block("physical_block_size", conf->physical_block_size, err);
    if (ret < 0)
        return ret;
    if (conf->logical_block_size > conf->physical_block_size)
        return bp_fail(err, EINVAL, "property 'logical_block_size': %u is above physical_block_size, "
                       "which is %u", conf->logical_block_size, conf->physical_block_size);
    if (conf->min_io_size % conf->logical_block_size)
        return bp_fail(err, EINVAL, "property 'min_io_size': %u is no multiple of logical_block_size, "
                       "which is %u", conf->min_io_size, conf->logical_block_size);
    if (conf->opt_io_size % conf->logical_block_size)
        return bp_fail(err, EINVAL, "property 'opt_io_size': %u is no multiple of logical_block_size, "
                       "which is %u", conf->opt_io_size, conf->logical_block_size);
    if (conf->discard_granularity == UINT32_MAX)
        conf->discard_granularity = limits.discard_alignment > conf->physical_block_size
                                        ? (uint32_t)limits.discard_alignment
                                        : conf->physical_block_size;
    if (conf->discard_granularity % conf->logical_block_size)
        return bp_fail(err, EINVAL, "property 'discard_granularity': %u is no multiple of "
                       "logical_block_size, which is %u", conf->discard_granularity,
                       conf->logical_block_size);
    conf->write_cache = blk->write_cache ? 1 : 2;
    conf->werror = blk->werror;
    conf->rerror = blk->rerror;
    return 0;
}

/* ---- geometry ---- */

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Tables are written with the addresses of the BIOS, which are mostly translated ones (255 heads), or are for those
 * that know nothing of it (a GPT's 256): they say nothing about the disk then. */
static bool guess_from_table(struct bp_blk *blk, uint64_t sectors, uint32_t max_heads, struct bp_blk_conf *conf)
{
    uint8_t mbr[512];
    struct iovec iov = {mbr, sizeof(mbr)};
    struct bp_block_request req = {.size = sizeof(req), .bytes = sizeof(mbr), .iov = &iov,
                                   .iov_count = 1};

    if (sectors == 0 || blk_now(blk, BP_BLOCK_READ, &req) < 0 || mbr[510] != 0x55 || mbr[511] != 0xaa)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *entry = mbr + 0x1be + 16 * i;
        uint32_t heads = entry[5] + 1u, secs = entry[6] & 63u;
        uint64_t cyls;

        if (le32(entry + 12) == 0 || entry[5] == 0 || secs == 0)
            continue;
        if (heads > max_heads) {
            conf->translated = true;
            continue;
        }
        cyls = sectors / (heads * secs);
        if (cyls < 1 || cyls > 16383)
            continue;
        conf->cyls = (uint32_t)cyls;
        conf->heads = heads;
        conf->secs = secs;
        conf->translated = false;
        return true;
    }
    return false;
}

int conf_geometry(struct bp_blk *blk, struct bp_blk_conf *conf, uint32_t max_cyls, uint32_t max_heads,
                  uint32_t max_secs, struct bp_error *err)
{
    uint64_t sectors = (uint64_t)blk_length(blk) / 512, cyls;

    if (!conf->cyls && !conf->heads && !conf->secs &&
        !guess_from_table(blk, sectors, max_heads, conf)) {
        cyls = sectors / (16 * 63);
        conf->cyls = cyls > 16383 ? 16383 : cyls < 2 ? 2 : (uint32_t)cyls;
        conf->heads = 16;
        conf->secs = 63;
        if (conf->cyls > max_cyls)
            conf->cyls = max_cyls;
    }
    if (conf->cyls < 1 || conf->cyls > max_cyls)
        return bp_fail(err, EINVAL, "property 'cyls' must be from 1 to %u", max_cyls);
    if (conf->heads < 1 || conf->heads > max_heads)
        return bp_fail(err, EINVAL, "property 'heads' must be from 1 to %u", max_heads);
    if (conf->secs < 1 || conf->secs > max_secs)
        return bp_fail(err, EINVAL, "property 'secs' must be from 1 to %u", max_secs);
    return 0;
}
