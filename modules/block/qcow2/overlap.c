/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes that would hit a table: an image whose tables say so is damaged, and it is marked as that before anything is
 * lost. The key overlap-check chooses which tables are asked for: those whose places are known at once (constant), all
 * that memory knows (cached), or the L2 tables of snapshots, too, which are read for it (all).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

static const struct {
    const char *key, *words;
    uint32_t bit, constant, cached;
} kinds[] = {
    {"main-header", "the header", OVERLAP_HEADER, 1, 1},
    {"active-l1", "the L1 table", OVERLAP_ACTIVE_L1, 1, 1},
    {"active-l2", "an L2 table", OVERLAP_ACTIVE_L2, 0, 1},
    {"refcount-table", "the table of reference counts", OVERLAP_REFTABLE, 1, 1},
    {"refcount-block", "a block of reference counts", OVERLAP_REFBLOCK, 0, 1},
    {"snapshot-table", "the snapshot table", OVERLAP_SNAPSHOTS, 1, 1},
    {"inactive-l1", "a snapshot's L1 table", OVERLAP_INACTIVE_L1, 0, 1},
    {"inactive-l2", "a snapshot's L2 table", OVERLAP_INACTIVE_L2, 0, 0},
    {"bitmap-directory", "the directory of bitmaps", OVERLAP_BITMAPS, 1, 1},
};

static const char *const modes[] = {"none", "constant", "cached", "all", NULL};
static const struct bp_schema mode_schema = {"Qcow2OverlapCheckMode", BP_KIND_ENUM, .choices = modes};
#define FLAG(NAME) BP_ARG_OPT(NAME, BOOL, "whether it is asked for; without it, as the template says")
static const struct bp_field flag_members[] = {
    BP_ARG_TYPED("template", ENUM, &mode_schema, BP_FIELD_OPTIONAL, "what is asked for where nothing else is said"),
    FLAG("main-header"), FLAG("active-l1"), FLAG("active-l2"), FLAG("refcount-table"), FLAG("refcount-block"),
    FLAG("snapshot-table"), FLAG("inactive-l1"), FLAG("inactive-l2"), FLAG("bitmap-directory"), BP_FIELDS_END};
static const struct bp_schema flags_schema = {"Qcow2OverlapCheckFlags", BP_KIND_STRUCT, .members = flag_members};
static const struct bp_field choice_members[] = {
    BP_ARG_TYPED("mode", ENUM, &mode_schema, 0, "none, constant, cached or all"),
    BP_ARG_TYPED("flags", STRUCT, &flags_schema, 0, "each kind of table by itself"), BP_FIELDS_END};
const struct bp_schema overlap_schema = {"Qcow2OverlapChecks", BP_KIND_ALTERNATE, .members = choice_members};

static uint32_t of_mode(const char *mode)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < BP_COUNT(kinds); i++)
        if (!strcmp(mode, "all") || (!strcmp(mode, "cached") && kinds[i].cached) ||
            (!strcmp(mode, "constant") && kinds[i].constant))
            mask |= kinds[i].bit;
    return mask;
}

void overlap_open(struct qcow *s)
{
    const struct bp_value *choice = s->overlap_choice;
    const char *mode = choice ? bp_value_as_string(choice) : NULL, *template;

    s->overlap = of_mode(mode ? mode : "cached");
    if (!choice || bp_value_type(choice) != BP_VALUE_DICT)
        return;
    template = bp_value_get_string(choice, "template");
    s->overlap = of_mode(template ? template : "cached");
    for (unsigned i = 0; i < BP_COUNT(kinds); i++)
        if (bp_value_has(choice, kinds[i].key))
            s->overlap = bp_value_as_bool(bp_value_get(choice, kinds[i].key)) ? s->overlap | kinds[i].bit
                                                                              : s->overlap & ~kinds[i].bit;
}

static bool meets(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a_bytes && b_bytes && a < b + b_bytes && b < a + a_bytes;
}

static uint32_t constant_kind(const struct qcow *s, uint64_t at, uint64_t bytes)
{
    if (meets(at, bytes, 0, s->cluster))
        return OVERLAP_HEADER;
    if (meets(at, bytes, s->l1_offset, up((uint64_t)s->l1_size * 8, s->cluster)))
        return OVERLAP_ACTIVE_L1;
    if (meets(at, bytes, s->reftable_offset, (uint64_t)s->reftable_clusters << s->cluster_bits))
        return OVERLAP_REFTABLE;
    if (s->snapshot_count && meets(at, bytes, s->snapshots_offset, up(s->snapshots_bytes, s->cluster)))
        return OVERLAP_SNAPSHOTS;
    return 0;
}

bool overlap_constant(const struct qcow *s, uint64_t at, uint64_t bytes)
{
    return constant_kind(s, at, bytes) != 0;
}

static bool in_bitmaps(const struct qcow *s, uint64_t at, uint64_t bytes)
{
    for (const struct extension *e = s->extensions; e; e = e->next)
        if (e->type == EXT_BITMAPS && e->length >= 24 && s->autoclear & AUTOCLEAR_BITMAPS &&
            get_be64(e->data + 8) <= INT64_MAX && get_be64(e->data + 16) <= INT64_MAX &&
            meets(at, bytes, get_be64(e->data + 16), get_be64(e->data + 8)))
            return true;
    return false;
}

static bool in_tables(const struct qcow *s, const uint64_t *table, uint64_t entries, uint64_t at, uint64_t bytes)
{
    for (uint64_t i = 0; i < entries; i++)
        if ((table[i] & OFFSET_MASK) && meets(at, bytes, table[i] & OFFSET_MASK, s->cluster))
            return true;
    return false;
}

static int in_inactive(struct qcow *s, uint64_t at, uint64_t bytes, bool *ret_hit)
{
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && !*ret_hit && i < s->snapshot_count; i++) {
        uint64_t size = (uint64_t)s->snapshots[i].l1_size * 8, *l1 = malloc(size ? size : 1);

        ret = !l1 ? -ENOMEM : size ? io_child(s, s->file, BP_BLOCK_READ, s->snapshots[i].l1_offset, l1, size) : 0;
        for (uint32_t e = 0; ret == 0 && e < s->snapshots[i].l1_size; e++)
            l1[e] = get_be64((uint8_t *)&l1[e]);
        if (ret == 0)
            *ret_hit = in_tables(s, l1, s->snapshots[i].l1_size, at, bytes);
        free(l1);
    }
    return ret;
}

static int kind_of(struct qcow *s, uint64_t at, uint64_t bytes, uint32_t *ret_bit)
{
    bool hit = false;
    int ret = 0;

    *ret_bit = constant_kind(s, at, bytes) & s->overlap;
    if (!*ret_bit && s->overlap & OVERLAP_BITMAPS && in_bitmaps(s, at, bytes))
        *ret_bit = OVERLAP_BITMAPS;
    if (!*ret_bit && s->overlap & OVERLAP_ACTIVE_L2 && in_tables(s, s->l1, s->l1_size, at, bytes))
        *ret_bit = OVERLAP_ACTIVE_L2;
    if (!*ret_bit && s->overlap & OVERLAP_REFBLOCK && in_tables(s, s->reftable, s->reftable_used, at, bytes))
        *ret_bit = OVERLAP_REFBLOCK;
    for (uint32_t i = 0; !*ret_bit && s->overlap & OVERLAP_INACTIVE_L1 && i < s->snapshot_count; i++)
        if (meets(at, bytes, s->snapshots[i].l1_offset, up((uint64_t)s->snapshots[i].l1_size * 8, s->cluster)))
            *ret_bit = OVERLAP_INACTIVE_L1;
    if (!*ret_bit && s->overlap & OVERLAP_INACTIVE_L2) {
        ret = in_inactive(s, at, bytes, &hit);
        *ret_bit = hit ? OVERLAP_INACTIVE_L2 : 0;
    }
    return ret;
}

int overlap_check(struct qcow *s, uint64_t at, uint64_t bytes)
{
    char why[100] = "a write would overwrite ";
    uint32_t bit;
    int ret = s->overlap ? kind_of(s, at, bytes, &bit) : 0;

    if (!s->overlap || ret < 0 || !bit)
        return ret;
    for (unsigned i = 0; i < BP_COUNT(kinds); i++)
        if (kinds[i].bit == bit)
            strncat(why, kinds[i].words, sizeof(why) - strlen(why) - 1);
    return header_damaged(s, why, at);
}
