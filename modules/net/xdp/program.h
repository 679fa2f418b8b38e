/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The XDP program that hands what comes on an interface to our sockets, by libbpf. [main] */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <bp/error.h>

enum program_mode { PROGRAM_ANY, PROGRAM_NATIVE, PROGRAM_SKB };

struct program {
    int map, code, link; /* descriptors; -1: none */
};

/* Queues 0 to `queues` - 1 of the map; what comes on others goes to the host's own network. On failure nothing is left
 * behind. The program leaves the interface with our process, at the latest. */
int program_attach(struct program *p, unsigned ifindex, unsigned queues, enum program_mode mode, struct bp_error *err);
int program_add(struct program *p, unsigned queue, int fd, struct bp_error *err);
void program_detach(struct program *p);

#endif
