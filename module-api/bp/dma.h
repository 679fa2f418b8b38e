/* SPDX-License-Identifier: MIT */
/*
 * DMA without copies: a stretch of guest memory as vectors of host memory, for preadv() and the like.
 * RAM is pinned in place; what is not RAM goes through bounce buffers, of which there is a bounded
 * amount. All functions are [any]; a thread that maps or unmaps I/O holds no lock but the machine's.
 */
#ifndef BP_DMA_H
#define BP_DMA_H

#include <sys/uio.h>

#include <bp/memory.h>

BP_BEGIN_DECLS

struct bp_dma; /* opaque: one mapped stretch */

enum bp_dma_direction {
    BP_DMA_TO_DEVICE,   /* the device reads guest memory */
    BP_DMA_FROM_DEVICE, /* it writes there */
    BP_DMA_BOTH,
};

#define BP_DMA_BOUNCE_MAX (UINT64_C(4) << 20) /* bytes in all bounce buffers */

/*
 * Maps `length` bytes at `addr`. access NULL: nobody in particular. Returns 0;
 * -EFAULT, -EIO: as bp_space_read();
 * -EAGAIN: no bounce buffer is free now; bp_dma_when_free() tells when to try again;
 * -EMSGSIZE: it needs more than BP_DMA_BOUNCE_MAX; map less at a time.
 */
int bp_dma_map(struct bp_space *space, uint64_t addr, uint64_t length, enum bp_dma_direction direction,
               const struct bp_access *access, struct bp_dma **ret_dma);
/*
 * Maps a further stretch behind what is mapped, in the same direction and for the same requester: a list of addresses
 * is one mapping, with one list of vectors. Vectors that were asked for before are gone. Returns as bp_dma_map(); on an
 * error what was mapped stays, with a part of this stretch perhaps: it can only be unmapped, with nothing done.
 */
int bp_dma_map_more(struct bp_dma *dma, struct bp_space *space, uint64_t addr, uint64_t length);
/* The vectors in order, borrowed until unmapped. */
const struct iovec *bp_dma_vectors(const struct bp_dma *dma, unsigned *ret_count);
/* `done`: so many bytes from the start were written by the device: they are made visible (bounce
 * buffers copied, pages dirty, code dropped) before this returns. NULL is fine. Returns 0, or -EFAULT
 * or -EIO when what lies behind a bounce buffer refused. */
int bp_dma_unmap(struct bp_dma *dma, uint64_t done);

/* Calls fn once, on the main loop, when a bounce buffer has become free (or is already). */
struct bp_dma_wait;
struct bp_dma_wait *bp_dma_when_free(struct bp_owner *owner, void (*fn)(void *opaque), void *opaque);
void bp_dma_wait_free(struct bp_dma_wait *wait); /* it is called no more; also after it was. NULL is fine. [main] */

/*
 * The ledger of RAM. Some keep host addresses for long (registered buffers, vhost, passed-through
 * devices); some give pages back to the host while they are unused (balloon, free page reporting,
 * memory that is plugged in parts, postcopy). For one region the two exclude each other.
 */
struct bp_ram_claim; /* opaque */
enum bp_ram_use { BP_RAM_PINNED, BP_RAM_DISCARDED };
/* -EBUSY: the other use is claimed; err names by whom. `who`: for messages, copied. [main] */
int bp_ram_claim(struct bp_owner *owner, struct bp_region *ram, enum bp_ram_use use, const char *who,
                 struct bp_ram_claim **ret_claim, struct bp_error *err);
void bp_ram_claim_free(struct bp_ram_claim *claim); /* NULL is fine; [main] */
unsigned bp_ram_pins(const struct bp_region *ram);  /* claims and mapped DMA; unplug waits for none */
/* Gives whole pages back to the host: they read as zeroes. -EBUSY when it is pinned, -EINVAL when the
 * range is not made of pages of the region, -ENOTSUP for what cannot be discarded. [main] */
int bp_ram_discard(struct bp_region *ram, uint64_t offset, uint64_t length);

BP_END_DECLS

#endif
