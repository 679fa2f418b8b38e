/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The translator's vCPU: the interpreter's (x86/vcpu.h) with a frame in front that translated code
 * reaches by one register, and its own cache of translated blocks. docs/translator.md has pictures.
 */
#ifndef TCG_TCG_H
#define TCG_TCG_H

#include "vcpu.h"
#include <bp/exact/cpu.h>
#include <bp/log.h>
#include <stddef.h>

/* Host registers by number. */
enum { H_AX, H_CX, H_DX, H_BX, H_SP, H_BP, H_SI, H_DI, H_8, H_9, H_10, H_11, H_12, H_13, H_14, H_15 };
#define SCRATCH0 H_AX /* also LAHF's */
#define SCRATCH1 H_15
#define FRAME H_BP

/* Where each guest register lives; -1: in the frame. */
extern const int8_t home_of[16];

struct jump {
    uint64_t tag; /* linear address << 16 | key; 0: none */
    const uint8_t *code;
};
#define JUMP_SHIFT 4
_Static_assert(sizeof(struct jump) == 1 << JUMP_SHIFT, "the index is scaled by a shift");
/* Where a span lies in the host (span.c): what its base register pointed at, and the page's dirty byte. */
#define SPANS 4u
struct span {
    uint64_t host, dirty;
};

#define JUMPS_BITS 14
#define JUMPS (1u << JUMPS_BITS)
static inline uint32_t jump_index(uint64_t linear)
{
    return ((uint32_t)linear ^ (uint32_t)linear >> JUMPS_BITS) % JUMPS;
}
/* Each key has a small one in front, which is asked by fewer instructions; its tags are linear addresses alone. */
#define QUICK_BITS 11
#define QUICK (1u << QUICK_BITS)
#define QUICK_FACTOR 0x9e3779b1u /* spreads addresses: the upper bits of the product are the index */
#define QUICK_SHIFT (32 - QUICK_BITS)
static inline uint32_t quick_index(uint64_t linear)
{
    return (uint32_t)linear * QUICK_FACTOR >> QUICK_SHIFT;
}
/* With five levels of paging there are addresses whose upper bits a tag has no room for. */
static inline bool has_tag(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/*
 * What translated code reaches as [rbp + small displacement]: rbp points FRAME_BIAS bytes into it.
 * Flags are kept as LAHF and SETO AL leave them in AX.
 */
struct jit_frame {
    uint64_t gpr[16];  /* only those without a register of their own */
    uint64_t page;     /* linear address of the page that the running block lies in */
    uint32_t flags;
    uint32_t exit_request; /* leave at the next poll. [any] */
    uint64_t key;      /* of the jump cache: what a linear address means now */
    struct jump *quick; /* the key's */
    uint64_t fs_base, gs_base;
    uint64_t temp, entry;
    uint64_t address; /* of an operand, where an instruction computes it (bit strings) */
    uint64_t linear;   /* arguments of the thunks */
    uint32_t info;
    uint32_t simd_live; /* the host's XMM registers hold the guest's */
    uint32_t x87_live;  /* so does its x87 stack */
    uint32_t x87_saved; /* `x87` is newer than the state */
    struct span span[SPANS];
    uint8_t x87[108];   /* as FNSAVE and FRSTOR have it */
    struct bp_x86_cpu *x;
    struct tb_link *link; /* the exit that was taken, when it can be chained */
    int64_t exit_delta;   /* of rip from `page` */
    uint32_t host_mxcsr;
    int32_t budget; /* instructions that are left (-icount): each block takes its own at its beginning */
    struct tb *tb;  /* which did last */
    /* For code that is not 64-bit: what legacy_sync() says. `read` and `write`: the last byte that may be accessed so,
     * or -1 where limit, type or direction are left to the interpreter. */
    struct jit_segment {
        uint64_t base;
        int64_t read, write;
    } segment[6];
    uint64_t cs_base;
    uint32_t cs_limit;
    struct jump jump[JUMPS];
};
#define FRAME_BIAS 128

struct tb;
struct tb_link {
    uint8_t *site;   /* rel32 of the jump; NULL: this exit is not there */
    uint8_t *stub;   /* where it leads when nothing is chained */
    struct tb *owner;
    uint8_t to_saved; /* flags are in the frame when it is taken */
    uint8_t apart;    /* leads to the same instruction without spans */
    uint8_t backward; /* leads to the target's poll, */
    uint8_t *save;    /* with flags that are not in the frame by this code, which puts them there, */
    uint8_t *save_site; /* and ends with this jump */
};

/* A translated block: a straight run of instructions inside one page of host memory. */
struct tb {
    struct tb *hash_next, *page_next;
    const uint8_t *host;
    uint32_t mode;
    uint32_t index; /* of the page's code word */
    uint16_t bytes, count;
    uint8_t valid;
    uint8_t listed; /* in its page's list; one that crosses pages may be without being valid */
    /* One instruction that crosses a page goes on at host2 with its bytes from `first` on. */
    uint8_t first;
    const uint8_t *host2;
    uint32_t index2, generation2;
    struct tb *crossing_next;
    const uint8_t *entry_host;  /* flags are the host's */
    const uint8_t *entry_saved; /* flags are in the frame */
    const uint8_t *entry_poll;  /* the same, or nobody looks at them; looks at exit_request first */
    uint8_t live;               /* somebody looks at the flags that are there at the beginning */
    struct tb_link link[2];
    struct tb_link *apart; /* of its spans' leaders */
    uint32_t apart_count;
    const struct insn *checked; /* all of them, as check.c has them; or NULL */
    const uint16_t *offsets;  /* of its instructions in the page, when they are counted; else NULL */
    uint8_t code[];           /* what was translated */
};

/* Modes of translated code, beside those of vcpu.h */
#define MODE_MMU_SHIFT 8 /* MMU_* */
#define MODE_X87 0x800u  /* so can x87 instructions */
#define MODE_SIMD 0x400u /* SSE instructions can run on the host as they are */
#define MODE_AVX 0x1000u /* and those with VEX, too */
#define MODE_RING0 0x2000u
#define MODE_SMAP 0x4000u /* CR4.SMAP: what EFLAGS.AC does to accesses */
#define MODE_NOCHAIN 0x8000u /* blocks do not lead to each other (-d nochain) */
#define MODE_APART 0x100000u /* each access is checked by itself (span.c) */
/* Of code that is not 64-bit */
#define MODE_REAL 0x10000u  /* real or virtual 8086 mode */
#define MODE_EDGE 0x20000u  /* part of the page is beyond the code segment's limit, or of what 16 bits reach */
#define MODE_CS0 0x40000u   /* the code segment's base is 0 */
#define MODE_PLAIN_SHIFT 21 /* a bit for each segment: no limit, and (but FS and GS) no base */
#define MODE_PLAIN (0x3fu << MODE_PLAIN_SHIFT)
_Static_assert(MODE_SIMD + MODE_X87 + MODE_AVX + MODE_RING0 + MODE_SMAP + MODE_NOCHAIN +
                       MODE_APART + MODE_REAL + MODE_EDGE + MODE_CS0 + MODE_PLAIN ==
                   (MODE_SIMD | MODE_X87 | MODE_AVX | MODE_RING0 | MODE_SMAP | MODE_NOCHAIN | MODE_APART | MODE_REAL |
                    MODE_EDGE | MODE_CS0 | MODE_PLAIN),
               "each has a bit of its own");

#define TB_HASH (1u << 18) /* a kernel and its programs are 100,000 blocks and more */
#define KEYS 16u
#define STALE 64u
#define THUNK_BYTES 8192u
#define MAX_TB_CODE (64u << 10) /* of host code, for one block */

/* What a key of the jump cache stands for. */
struct key {
    uint64_t epoch;
    uint64_t code; /* base and limit of a code segment that has a limit */
    uint32_t mode;
    uint16_t generation, key;
};

struct tcg_cpu {
    struct jit_frame f;
    struct tcg_machine *machine;
    struct check *check; /* check=on; NULL: off */
    struct tcg_cpu *next; /* of the machine */
    uint8_t *buffer;      /* host code, where it is written */
    ptrdiff_t exec_delta; /* from there to where it is executed: 0 without split-wx */
    size_t buffer_size;
    uint8_t *at;
    uint8_t *arena; /* blocks and kept instructions */
    size_t arena_size, arena_used;
    struct tb *hash[TB_HASH];
    struct tb **page_head; /* by code word */
    uint32_t *page_generation;
    uint32_t *writers; /* by code word, see vcpu.h */
    uint32_t *pages, page_count; /* those with blocks */
    struct tb *crossing; /* valid ones that cross pages */
    uint32_t drops_seen;
    struct key keys[KEYS];
    uint32_t key_next, key_last, key_counter;
    struct jump quick[KEYS][QUICK];
    uint8_t begun;        /* something ran */
    uint8_t apart;        /* the next block is to check each access by itself */
    uint8_t kernel_local; /* some code of the kernel is not in global pages */
    uint64_t kernel_epoch;
    /* Pages that became code: whom this vCPU must no longer write to. From other vCPUs. */
    uint32_t in_code; /* translated code runs, and may write through what the TLB says */
    uint32_t acks;
    uint32_t stale_lock, stale_count;
    uint32_t stale[STALE];
    /* thunks */
    void (*enter)(void *frame, const uint8_t *code);
    uint32_t thunk_size;
    const uint8_t *thunk_exit, *thunk_target, *thunk_slow, *thunk_interp, *thunk_string, *thunk_call,
        *thunk_simd, *thunk_x87, *thunk_probe;
    struct insn redo;
    uint32_t mode_now; /* of what is being translated */
    uint32_t mode_running;
    /* counts, for `info jit` */
    uint64_t translated_blocks, translated_insns, translated_bytes, flushes, invalidated, interpreted;
    uint64_t spans, span_members, spans_missed; /* planned, and not what the emitter asked for: none */
    uint64_t translate_ns;
    uint64_t interpreted_by[4][256]; /* by map and opcode: instructions inside blocks */
    uint64_t redone_by[4][256];      /* those that left their block */
    struct vcpu v;
};
/* What is mapped for one. */
#define LARGE_PAGE ((size_t)2 << 20)
#define CPU_BYTES ((sizeof(struct tcg_cpu) + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1))
static inline struct tcg_cpu *tcg_of_frame(void *frame)
{
    return (struct tcg_cpu *)((uint8_t *)frame - offsetof(struct tcg_cpu, f));
}

struct tcg_machine {
    struct code_map map;
    struct tcg_cpu *cpus; /* list; changed under the machine lock before vCPUs run */
    uint32_t tb_size;     /* MiB, 0: the default */
    uint8_t one_insn;
    uint8_t split_wx;
    uint8_t check;
    uint32_t check_lock; /* who holds it runs a block; atomic */
    uint32_t check_next; /* the vCPU (its number + 1) that came in vain; 0: none; atomic */
    uint8_t counts; /* -icount */
};

/* ---- cache.c ---- */
int cache_init(struct tcg_cpu *c, struct bp_error *err);
void cache_free(struct tcg_cpu *c);
void cache_begin(struct tcg_cpu *c); /* before its first block */
/* The block at CS:RIP, translated when there is none; NULL: the interpreter has to do it. Raises fetch
 * faults. link: the exit that leads here, or NULL. */
struct tb *cache_find(struct tcg_cpu *c, const struct tb_link *link);
void cache_flush(struct tcg_cpu *c);
void cache_drop_stale(struct tcg_cpu *c); /* blocks of pages that were written */
void cache_link(struct tcg_cpu *c, struct tb_link *from, struct tb *to);
void *cache_alloc(struct tcg_cpu *c, size_t size); /* NULL: full */

uint32_t legacy_mode(const struct vcpu *v); /* legacy.c: what it adds */
/* Of the code that runs next. */
static inline uint32_t tb_mode(const struct tcg_cpu *c)
{
    const struct vcpu *v = &c->v;
    const struct bp_x86_cpu *x = v->x;
    uint32_t mode = v->mode | (uint32_t)(v->mmu - v->sets) << MODE_MMU_SHIFT;

    if (v->cpl == 0)
        mode |= MODE_RING0;
    if (x->cr4 & CR4_SMAP)
        mode |= MODE_SMAP;
    if (x->cr4 & CR4_OSXSAVE && (x->xcr0 & 6) == 6)
        mode |= MODE_AVX;
    if (!(x->cr0 & (CR0_EM | CR0_TS)) && x->cr4 & CR4_OSFXSR && (x->mxcsr & 0x1f80) == 0x1f80)
        mode |= MODE_SIMD;
    if (!(x->cr0 & (CR0_EM | CR0_TS)) && (x->fcw & 0x3f) == 0x3f && !(x->fsw & 0x80))
        mode |= MODE_X87;
    if (!v->long64)
        mode |= legacy_mode(v);
    if (unlikely(bp_log_on(BP_LOG_NOCHAIN)) || c->check)
        mode |= MODE_NOCHAIN; /* turned on at run time it is for what was chained before, too */
    return mode;
}

/* Makes what linear addresses mean now the jump cache's key; false: they have none yet. */
static inline bool key_use(struct tcg_cpu *c, const struct key *now)
{
    for (unsigned n = 0; n < KEYS; n++) {
        struct key *k = &c->keys[(c->key_last + n) % KEYS];

        if (k->epoch == now->epoch && k->mode == now->mode && k->code == now->code &&
            k->generation == now->generation && k->key) {
            c->key_last += n;
            c->f.key = k->key;
            c->f.quick = c->quick[k - c->keys];
            return true;
        }
    }
    return false;
}

/* Code of the kernel means the same in each address space as long as all of it lies in global pages. */
static inline struct key key_now(const struct tcg_cpu *c, uint32_t mode)
{
    bool own = mode & MODE_USER || c->kernel_local;

    return (struct key){.epoch = c->v.exec_epoch, .mode = mode,
                        .code = mode & MODE_LIMITED ? c->v.cs_base << 32 | c->v.x->seg[BP_CS].limit : 0,
                        .generation = own ? (uint16_t)c->v.asid_generation : 0};
}

static inline void jump_note(struct tcg_cpu *c, uint64_t linear, const uint8_t *code)
{
    c->f.jump[jump_index(linear)] = (struct jump){linear << 16 | c->f.key, code};
    c->f.quick[quick_index(linear)] = (struct jump){linear, code};
}

/* ---- legacy.c: code that is not 64-bit ---- */
static inline bool is_legacy(uint32_t mode)
{
    return (mode & MODE_SIZE) != 2;
}
uint32_t legacy_page_mode(const struct vcpu *v, uint64_t linear); /* and for the page that is run */
bool legacy_beyond(const struct vcpu *v, unsigned bytes);    /* do so many, from EIP on, exceed the code's limit? */
void legacy_sync(struct tcg_cpu *c);                         /* segments, to the frame */
/* Linear addresses and RIP */
static inline uint64_t linear_of(const struct vcpu *v)
{
    return v->long64 ? v->x->rip : (uint32_t)(v->cs_base + v->x->rip);
}
static inline uint64_t rip_at(const struct vcpu *v, uint64_t linear)
{
    return v->long64 ? linear : (uint32_t)(linear - v->cs_base);
}

static inline const uint8_t *jump_code(const struct tcg_cpu *c, uint64_t linear)
{
    const struct jump *j = &c->f.jump[jump_index(linear)];

    return j->tag == (linear << 16 | c->f.key) && has_tag(linear) ? j->code : NULL;
}

/* -icount: whether there are instructions enough for a block depends on the block; for this one there are not. */
static inline bool few_left(const struct tcg_cpu *c)
{
    return c->machine->counts && c->f.budget < MAX_BLOCK;
}
static inline bool too_long(const struct tcg_cpu *c, const struct tb *tb)
{
    return c->machine->counts && c->f.budget < tb->count;
}

/* Flags as the frame has them: LAHF's and SETO's. */
static inline uint32_t flags_pack(uint64_t f)
{
    return (uint32_t)(((f & (F_SF | F_ZF | F_AF | F_PF | F_CF)) | 2) << 8 | (f & F_OF ? 1 : 0));
}
static inline uint32_t flags_unpack(uint32_t ax)
{
    return (ax >> 8 & (F_SF | F_ZF | F_AF | F_PF | F_CF)) | (ax & 1 ? F_OF : 0);
}

/* A block is entered from C. */
static inline void log_run(const struct tcg_cpu *c, const uint8_t *code)
{
    if (unlikely(bp_log_on(BP_LOG_EXEC | BP_LOG_CPU)) && c->v.x->cpu)
        bp_cpu_log_run(c->v.x->cpu, code, linear_of(&c->v), c->mode_running);
}

/* ---- writers.c: pages that become code ---- */
void writers_init(struct tcg_machine *m);
/* From here on others wait until what they announce is heeded; false: something is waiting to be. */
bool code_enter(struct tcg_cpu *c);
static inline void code_leave(struct tcg_cpu *c)
{
    __atomic_store_n(&c->in_code, 0, __ATOMIC_SEQ_CST);
}
void stale_heed(struct tcg_cpu *c);

/* ---- translate.c ---- */
/* host2: where the code goes on in the next page, for an instruction that crosses; NULL: it ends with the page. *
 * NULL: no memory, or (host2 == NULL) the first instruction crosses. */
struct tb *translate(struct tcg_cpu *c, const uint8_t *host, const uint8_t *host2, uint64_t linear, uint32_t mode);
/* Code that goes to page + delta by the jump cache, for an exit that cannot be chained. */
const uint8_t *translate_probe(struct tcg_cpu *c, int64_t delta, bool saved);

/* ---- rules.c ---- */
bool has_emitter(const struct tcg_cpu *c, const struct insn *i); /* in c->mode_now */
bool defines_flags(const struct tcg_cpu *c, const struct insn *i); /* writes all arithmetic ones */

/* ---- perf.c: names of code for perf. Code is as it is written, at cpu's buffer. [any] ---- */
/* With the thunks of these vCPUs. -EIO and others. [main], before anything runs */
int perf_map_begin(const struct tcg_cpu *cpus, struct bp_error *err);
int perf_dump_begin(const struct tcg_cpu *cpus, struct bp_error *err);
extern uint32_t perf_wanted; /* somebody began; constant while vCPUs run */
void perf_code(const struct tcg_cpu *c, const uint8_t *code, size_t size, const char *kind, uint64_t linear);

/* ---- thunks.c ---- */
void thunks_make(struct tcg_cpu *c);

/* ---- slow.c: what translated code calls ---- */
/* info of a slow path */
#define INFO_OFFSET 0xfffu      /* of the instruction in its page */
#define INFO_SIZE_SHIFT 12      /* bytes - 1, 5 bits */
#define INFO_WRITE (1u << 17)
#define INFO_REDO (1u << 18)    /* not an access: let the interpreter execute it */
#define INFO_SPAN_SHIFT 21      /* of a span's leader: bytes, 8 bits */
#define INFO_LAST (1u << 20)    /* of thunk_interp: leave afterwards */
/* They return where translated code goes on, LEAVE, or (slow_interp) NULL: in the block. */
#define LEAVE ((const uint8_t *)1)
const uint8_t *slow_insn(struct jit_frame *f);
const uint8_t *slow_interp(struct jit_frame *f);
const uint8_t *slow_next(struct jit_frame *f);   /* behind an exit: at page + exit_delta */
const uint8_t *slow_target(struct jit_frame *f); /* at `temp` */
void sync_in(struct tcg_cpu *c);  /* from the frame to the state */
void sync_out(struct tcg_cpu *c); /* from the state to the frame */
/* refill.c, compiled without SIMD: 0: try again; 1: it takes more */
int refill(struct jit_frame *f);
/* The entry for this byte's page, filled when it has to be, which overwrites linear and info; NULL: it takes more. */
struct tlb_entry *tlb_reach(struct tcg_cpu *c, uint64_t lin, bool write);
int fast_string(struct jit_frame *f); /* strings.c, compiled so, too. 0: done; 1: what is left is the interpreter's */
/* calls.c, compiled so, too: where translated code goes on; NULL: nothing was done, the interpreter knows. */
const uint8_t *fast_call(struct jit_frame *f);
/* Between the state and the image in the frame. */
void x87_to_image(struct jit_frame *f);
void x87_from_image(struct jit_frame *f);

/* ---- loop.c ---- */
void key_update(struct tcg_cpu *c); /* after a change of mode or address space */
/* A vCPU of the machine, which outlives it; NULL: err says why. [main], while no vCPU runs */
struct tcg_cpu *tcg_cpu_new(struct tcg_machine *m, struct bp_x86_cpu *x, const struct bus *bus, struct bp_error *err);
void tcg_cpu_hide(struct tcg_cpu *c); /* others find it no more; [main] */
void tcg_cpu_free(struct tcg_cpu *c);
enum bp_cpu_exit tcg_run(struct tcg_cpu *c, const uint32_t *kick);

#endif
