/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of limits in their several spellings, brought into one: those of the type throttle-group. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"

const struct throttle_key throttle_keys[] = {
    {"bps", "bps-total", "bps"}, {"bps_rd", "bps-read", "bps_rd"}, {"bps_wr", "bps-write", "bps_wr"},
    {"bps_max", "bps-total-max", "bps_max"}, {"bps_rd_max", "bps-read-max", "bps_rd_max"},
    {"bps_wr_max", "bps-write-max", "bps_wr_max"}, {"iops", "iops-total", "iops"},
    {"iops_rd", "iops-read", "iops_rd"}, {"iops_wr", "iops-write", "iops_wr"},
    {"iops_max", "iops-total-max", "iops_max"}, {"iops_rd_max", "iops-read-max", "iops_rd_max"},
    {"iops_wr_max", "iops-write-max", "iops_wr_max"}, {"iops_size", "iops-size", "iops_size"},
    {"bps_max_length", "bps-total-max-length", "bps_max_length"},
    {"bps_rd_max_length", "bps-read-max-length", "bps_rd_max_length"},
    {"bps_wr_max_length", "bps-write-max-length", "bps_wr_max_length"},
    {"iops_max_length", "iops-total-max-length", "iops_max_length"},
    {"iops_rd_max_length", "iops-read-max-length", "iops_rd_max_length"},
    {"iops_wr_max_length", "iops-write-max-length", "iops_wr_max_length"}, {NULL, NULL, NULL}};

/* Dict of limits that are not zero, by their names in throttle-group; NULL: refused, err is set. */
struct bp_value *throttle_limits(struct bp_value *args, struct bp_error *err)
{
    struct bp_value *limits = bp_value_dict(), *nested = bp_value_get(args, "throttling");

    for (const struct throttle_key *k = throttle_keys; k->flat; k++) {
        struct bp_value *v = bp_value_get(args, k->flat);

        if (!v && nested && bp_value_type(nested) == BP_VALUE_DICT)
            v = bp_value_get(nested, k->dashed);
        if (v && bp_value_as_string(v)) { /* throttling.bps-total=N: text */
            char *end;
            unsigned long long n = strtoull(bp_value_as_string(v), &end, 0);

            if (*end) {
                bp_value_unref(limits);
                bp_fail(err, EINVAL, "key 'throttling.%s' expects a number", k->dashed);
                return NULL;
            }
            if (n)
                bp_value_set(limits, k->dashed, bp_value_uint(n));
        } else if (v && bp_value_as_uint(v)) {
            bp_value_set(limits, k->dashed, bp_value_uint(bp_value_as_uint(v)));
        }
    }
    return limits;
}
