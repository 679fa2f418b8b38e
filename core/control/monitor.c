/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of monitors: made on chardevs, taken down at the end. */
#include "monitor.h"

#include <bp/clock.h>

#include "command.h"
#include "loop.h"
#include "monitor-list.h"
#include "registry.h"

struct bpc_monitor_entry *bpc_monitor_entries;

void bpc_monitor_list_add(struct bpc_monitor_entry *entry)
{
    entry->next = bpc_monitor_entries;
    bpc_monitor_entries = entry;
}

int bpc_monitor_new(struct bp_chardev *chr, bool control, bool pretty, struct bp_error *err)
{
    const void *table;
    int ret = bpc_require_interface("chardev", 1, &table, err);

    if (ret < 0)
        return ret;
    return control ? bpc_qmp_new(table, chr, pretty, err) : bpc_human_new(table, chr, err);
}

static bool all_sent(void)
{
    bool done = true;

    for (struct bpc_monitor_entry *e = bpc_monitor_entries; e; e = e->next)
        done = e->push_out(e) && done;
    return done;
}

void bpc_monitors_close(unsigned ms)
{
    int64_t end = bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)ms * 1000000;

    if (!bpc_monitor_entries)
        return;
    bpc_events_stop();
    /* The retry timers end the sleep while anything is left. */
    while (!all_sent() && bp_clock_ns(BP_CLOCK_REALTIME) < end)
        bpc_loop_run_once(true);
    while (bpc_monitor_entries) {
        struct bpc_monitor_entry *e = bpc_monitor_entries;

        bpc_monitor_entries = e->next;
        e->close(e);
    }
}
