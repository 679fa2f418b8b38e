/* SPDX-License-Identifier: MIT */
/*
 * Clipboards: interface clipboard/1, offered by the `clipboard` module. Viewers, and agents in the guest, are peers.
 * Of each selection one of them is the owner, or none; content is copied when somebody asks for it, and nothing of
 * it is kept here. [main] under the machine lock
 */
#ifndef BP_HOST_CLIPBOARD_H
#define BP_HOST_CLIPBOARD_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_clipboard_peer; /* opaque */

/* Selections, as X11's ICCCM (chapter 2.6.1) has them. */
#define BP_CLIPBOARD_CLIPBOARD 0u /* what was copied */
#define BP_CLIPBOARD_PRIMARY 1u   /* what is marked */
#define BP_CLIPBOARD_SECONDARY 2u
#define BP_CLIPBOARD_SELECTIONS 3u

/* Types of content, bits of a set. */
#define BP_CLIPBOARD_TEXT 1u /* UTF-8 */
#define BP_CLIPBOARD_PNG 2u
#define BP_CLIPBOARD_BMP 4u
#define BP_CLIPBOARD_TIFF 8u
#define BP_CLIPBOARD_JPEG 16u
#define BP_CLIPBOARD_TYPES 31u
#define BP_CLIPBOARD_TYPE_COUNT 5u

/* Which bit one type is, from 0 on. `type`: exactly one. [any] */
static inline unsigned bp_clipboard_type_number(uint32_t type)
{
    return (unsigned)__builtin_ctz(type);
}

#define BP_CLIPBOARD_MAX (16u << 20) /* bytes of a content */

struct bp_clipboard_ops { /* what a peer is told */
    uint32_t size; /* sizeof(struct bp_clipboard_ops) */
    uint32_t flags; /* none yet: 0 */
    const char *name; /* "vnc", for messages; lasts for ever */
    /* A selection has another owner, which is not this peer, or none (types 0). */
    void (*changed)(void *opaque, unsigned selection, uint32_t types);
    /* Somebody wants a content of which this peer is the owner; it give()s it, within this call or later. */
    void (*wanted)(void *opaque, unsigned selection, uint32_t type);
    /* The answer to a request() of this peer. data NULL: there is none, since the owner has none, left, or did not
     * answer in time. */
    void (*got)(void *opaque, unsigned selection, uint32_t type, const void *data, size_t length);
    void *reserved[3];
};

struct bp_clipboard_interface { /* clipboard/1 */
    uint32_t size;
    /* `ops` is borrowed. It is told nothing of what there is already: types(). -ENOSPC: there are too many. */
    int (*join)(const struct bp_clipboard_ops *ops, void *opaque, struct bp_clipboard_peer **ret_peer,
                struct bp_error *err);
    void (*leave)(struct bp_clipboard_peer *peer); /* it owns nothing any more; NULL is fine */
    /* It is the owner now, with new content, of these types. */
    void (*grab)(struct bp_clipboard_peer *peer, unsigned selection, uint32_t types);
    void (*release)(struct bp_clipboard_peer *peer, unsigned selection); /* no effect for who is not the owner */
    /* What another peer owns, 0: nobody, or this one. */
    uint32_t (*types)(struct bp_clipboard_peer *peer, unsigned selection);
    /* Wants the content in one type; got() follows once, within this call or later. Asking twice before it came is
     * once. */
    void (*request)(struct bp_clipboard_peer *peer, unsigned selection, uint32_t type);
    /* The owner's content, for all who want it; data NULL: it has none. No effect for others, and when nobody wants
     * it. More than BP_CLIPBOARD_MAX is as none. */
    void (*give)(struct bp_clipboard_peer *peer, unsigned selection, uint32_t type, const void *data, size_t length);
    void *reserved[6];
};

BP_END_DECLS

#endif
