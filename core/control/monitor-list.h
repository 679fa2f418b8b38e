/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QMP servers and human monitors have in common. Private to this folder. */
#ifndef BPC_MONITOR_LIST_H
#define BPC_MONITOR_LIST_H

#include <bp/host/chardev.h>

struct bpc_monitor_entry { /* the first member of each */
    struct bpc_monitor_entry *next;
    bool control; /* QMP */
    bool (*push_out)(struct bpc_monitor_entry *entry); /* true: nothing is left to send */
    void (*close)(struct bpc_monitor_entry *entry);    /* frees it */
};
extern struct bpc_monitor_entry *bpc_monitor_entries;
void bpc_monitor_list_add(struct bpc_monitor_entry *entry);

int bpc_qmp_new(const struct bp_chardev_interface *table, struct bp_chardev *chr, bool pretty,
                struct bp_error *err);
int bpc_human_new(const struct bp_chardev_interface *table, struct bp_chardev *chr,
                  struct bp_error *err);

#endif
