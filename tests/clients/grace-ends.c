/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Before the library: a grace period that somebody waits for is over at once, so that what is looked at after it was
 * given up is gone for certain, and not only when another thread was quick. */
#include <stddef.h>

struct rcu_head;

void urcu_bp_synchronize_rcu(void);
void urcu_bp_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));

void urcu_bp_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
    urcu_bp_synchronize_rcu();
    func(head);
}
