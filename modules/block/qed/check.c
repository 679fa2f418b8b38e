/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks and repairs: every cluster of the file is referred to once; entries that lead nowhere are taken out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qed.h"

struct checking {
    struct qed *s;
    struct claims claims;
    uint32_t fix;
    struct bp_block_check *ret;
};

/* An entry that is wrong: what it says is not there, so that it may as well say nothing. */
static int bad_entry(struct checking *c, uint64_t at, unsigned level, uint64_t value)
{
    static const uint8_t nothing[8];
    int r;

    check_say(c->ret, "ERROR: the %s table's entry at %llu leads to %llu", level == LEVEL_L1 ? "L1" : "L2",
              (unsigned long long)at, (unsigned long long)value);
    if (!(c->fix & BP_BLOCK_FIX_ERRORS)) {
        c->ret->corruptions++;
        return 0;
    }
    r = table_put(&c->s->sparse, at, level, nothing, 8);
    if (r == 0)
        c->ret->corruptions_fixed++;
    return r;
}

static int check_l2(struct checking *c, uint64_t table, uint64_t first)
{
    struct qed *s = c->s;
    uint64_t clusters = divide_up(s->sparse.length, s->sparse.block);
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < s->entries && first + i < clusters; i++) {
        uint8_t entry[8];
        uint64_t at;

        r = table_get(&s->sparse, table + i * 8, LEVEL_L2, entry, 8);
        at = r == 0 ? get_le64(entry) : 0;
        if (at == 0 || at == ZERO_CLUSTER)
            continue;
        if (at % s->sparse.block == 0 && claims_take(&c->claims, at, s->sparse.block))
            c->ret->allocated_clusters++;
        else
            r = bad_entry(c, table + i * 8, LEVEL_L2, at);
    }
    return r;
}

static int check_tables(struct checking *c)
{
    struct qed *s = c->s;
    uint64_t table = (uint64_t)s->table * s->sparse.block, clusters = divide_up(s->sparse.length, s->sparse.block);
    int r = 0;

    claims_take(&c->claims, 0, (uint64_t)s->header * s->sparse.block);
    claims_take(&c->claims, s->l1, table);
    for (uint64_t i = 0; r == 0 && i < divide_up(clusters, s->entries); i++) {
        uint8_t entry[8];
        uint64_t at;

        r = table_get(&s->sparse, s->l1 + i * 8, LEVEL_L1, entry, 8);
        at = r == 0 ? get_le64(entry) : 0;
        if (at == 0)
            continue;
        if (at % s->sparse.block == 0 && claims_take(&c->claims, at, table))
            r = check_l2(c, at, i * s->entries);
        else
            r = bad_entry(c, s->l1 + i * 8, LEVEL_L1, at);
    }
    return r;
}

/* Clusters that nobody refers to: those at the end of the file can be given back. */
static int look_for_leaks(struct checking *c)
{
    struct qed *s = c->s;
    uint64_t n = claims_free_units(&c->claims), last = c->claims.units, tail;
    int r;

    while (last > 0 && !(c->claims.bits[(last - 1) / 64] >> ((last - 1) % 64) & 1))
        last--;
    tail = c->claims.units - last;
    if (tail && c->fix & BP_BLOCK_FIX_LEAKS) {
        r = block->child_resize(s->sparse.file, last * s->sparse.block, true, NULL);
        if (r < 0)
            return r;
        meta_drop(&s->sparse.meta, last * s->sparse.block, tail * s->sparse.block);
        s->end = last * s->sparse.block;
        c->ret->leaks_fixed += tail;
        n -= tail;
    }
    if (n)
        check_say(c->ret, "Leaked: %llu clusters that nothing refers to", (unsigned long long)n);
    c->ret->leaks += n;
    return 0;
}

int qed_check_locked(struct qed *s, uint32_t fix, struct bp_block_check *ret)
{
    struct checking c = {.s = s, .fix = fix, .ret = ret};
    int r = claims_init(&c.claims, s->end, s->sparse.block);

    if (r < 0)
        return r;
    ret->total_clusters = divide_up(s->sparse.length, s->sparse.block);
    r = check_tables(&c);
    if (r == 0)
        r = look_for_leaks(&c);
    claims_free(&c.claims);
    if (r == 0 && fix && ret->corruptions == 0 && (ret->corruptions_fixed || s->features & NEED_CHECK)) {
        r = meta_write(&s->sparse.meta, META_LEVELS - 1);
        if (r == 0)
            r = meta_sync(&s->sparse.meta);
        s->features &= ~(uint64_t)NEED_CHECK;
        if (r == 0)
            r = qed_write_header(s);
    }
    return r;
}

int qed_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct qed *s = block->state(node);
    int r;

    bp_co_mutex_lock(s->sparse.lock);
    r = qed_check_locked(s, fix, ret);
    bp_co_mutex_unlock(s->sparse.lock);
    return r < 0 ? bp_fail(err, -r, "the image cannot be checked: %s", strerror(-r)) : 0;
}
