/* SPDX-License-Identifier: MIT */
/*
 * LUKS for formats that hold a LUKS header themselves (qcow2): what the block-driver "luks" tells, found by
 * bp_luks_find() when an image turns out to be encrypted. The header is version 1 of the LUKS On-Disk Format
 * Specification; sectors have 512 bytes, and the caller says by which number each is enciphered.
 */
#ifndef BP_HOST_BLOCK_LUKS_H
#define BP_HOST_BLOCK_LUKS_H

#include <errno.h>
#include <string.h>

#include <bp/host/block.h>

BP_BEGIN_DECLS

#define BP_LUKS_SECTOR 512u

struct bp_luks; /* opaque: the key and the facts of one header */

/* Where the header lies: offsets from its beginning. 0 or -errno. [co] */
struct bp_luks_place {
    uint32_t size; /* sizeof(struct bp_luks_place) */
    int (*read)(void *opaque, uint64_t offset, void *buf, uint64_t bytes);
    int (*write)(void *opaque, uint64_t offset, const void *buf, uint64_t bytes); /* NULL: nothing is made here */
    void *opaque;
    uint64_t room; /* bytes that there are at most */
};

struct bp_luks_ops {
    uint32_t size; /* sizeof(struct bp_luks_ops) */
    /* Reads a header. `secret`: id of the secret that opens one of its slots; NULL: only the facts are wanted, nothing
     * is deciphered. -EACCES: no slot fits; -EINVAL, -ENOTSUP: no such header, or one that is not known. [co] */
    int (*open)(const struct bp_luks_place *place, const char *secret, struct bp_luks **ret_luks,
                struct bp_error *err);
    void (*free)(struct bp_luks *luks); /* wipes the key; NULL is fine */
    /* Bytes that create() will write with these options: key-secret, cipher-alg, cipher-mode, ivgen-alg,
     * ivgen-hash-alg, hash-alg, iter-time (milliseconds). Others are ignored. */
    int (*measure)(struct bp_value *options, uint64_t *ret_bytes, struct bp_error *err);
    /* Writes a header, with a new key that the secret opens. `payload`: bytes from its beginning at which data will
     * be; ret_luks may be NULL. [co] */
    int (*create)(const struct bp_luks_place *place, struct bp_value *options, uint64_t payload,
                  struct bp_luks **ret_luks, struct bp_error *err);
    /* Sectors in a row, in place, the first of number `sector`. Callers of several threads at once are fine. 0 or
     * -errno. [any] */
    int (*encrypt)(struct bp_luks *luks, uint64_t sector, void *buf, size_t bytes);
    int (*decrypt)(struct bp_luks *luks, uint64_t sector, void *buf, size_t bytes);
    uint64_t (*payload)(const struct bp_luks *luks); /* bytes, as the header says */
    struct bp_value *(*info)(const struct bp_luks *luks); /* ImageInfoSpecificLUKSBase; the caller's */
    /* Its key slots become other ones: state (active, inactive), new-secret, old-secret, keyslot, iter-time, force. It
     * was opened with a secret; nothing is in flight. [co] */
    int (*amend)(const struct bp_luks_place *place, struct bp_luks *luks, struct bp_value *options,
                 struct bp_error *err);
    void *reserved[5];
};

/* The driver's; -ENOENT and words when it is not installed. [main] */
static inline int bp_luks_find(const struct bp_luks_ops **ret_ops, struct bp_error *err)
{
    const struct bp_level_info *info;
    const void *cls;
    int ret = bp_provided_class("block-driver", "luks", &cls, err);

    if (ret < 0)
        return ret;
    for (info = ((const struct bp_block_driver *)cls)->type.infos; info && info->level; info++) {
        if (!strcmp(info->level, "luks")) {
            *ret_ops = (const struct bp_luks_ops *)info->info;
            return 0;
        }
    }
    return bp_fail(err, ENOENT, "the driver 'luks' that is installed has no ciphers for others");
}

BP_END_DECLS

#endif
