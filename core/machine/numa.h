/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NUMA nodes while -numa is read, and what the machine makes of them. [main] */
#ifndef BPC_NUMA_H
#define BPC_NUMA_H

#include <bp/exact/numa.h>

#define BPC_NUMA_CPUS 4096u
#define BPC_NUMA_NONE 0xffu

struct bpc_numa {
    struct bp_numa nodes; /* first; `count` is set by bpc_numa_complete() */
    bool present[BP_NUMA_MOST];
    bool uses_mem, uses_memdev;
    bool cpus_given;
    uint8_t node_of[BPC_NUMA_CPUS]; /* of processors; BPC_NUMA_NONE */
};

/* What an option -numa says: each checks itself against those before, and the machine that was chosen. */
int bpc_numa_add_node(struct bp_value *args, struct bp_error *err);
int bpc_numa_add_dist(struct bp_value *args, struct bp_error *err);
int bpc_numa_add_cpu(struct bp_value *args, struct bp_error *err);
int bpc_numa_add_lb(struct bp_value *args, struct bp_error *err);
int bpc_numa_add_cache(struct bp_value *args, struct bp_error *err);

/* Lets `add` say more, for a client: what fails leaves everything as it was. */
int bpc_numa_try(int (*add)(struct bp_value *args, struct bp_error *err), struct bp_value *args, struct bp_error *err);

/* Of a processor, as far as it has been told; -1: of none. */
int bpc_numa_node_of(unsigned index);
/* All is given, the size of main memory is known: what was left out, and what does not fit together. */
int bpc_numa_complete(const struct bp_machine *m, uint64_t ram_size, struct bp_error *err);
/* Nodes with back ends: main memory is made of these, one after another. NULL: it is not. */
int bpc_numa_make_ram(struct bp_machine *m, struct bp_region **ret_ram, struct bp_error *err);
void bpc_numa_free(void);

/* Of numa-hmat.c: is -machine hmat=on? */
int bpc_numa_need_hmat(struct bp_error *err);
int bpc_numa_complete_hmat(const struct bpc_numa *numa, struct bp_error *err);

/* The board as it stands on the command line, and the topology that follows. */
int bpc_numa_machine(const struct bp_board_class **ret_board, struct bp_smp *ret_smp, struct bp_error *err);

#endif
