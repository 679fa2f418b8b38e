/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interpreter's vCPU: architectural state plus what makes it fast: lazy flags, a software TLB,
 * and a cache of decoded blocks keyed by physical address and mode. Private to the integer core;
 * tests use vcpu_new(), vcpu_step(), vcpu_run().
 */
#ifndef INTERP_VCPU_H
#define INTERP_VCPU_H

#include "insn.h"
#include <bp/exact/debug.h>

#define likely(c) __builtin_expect(!!(c), 1)
#define unlikely(c) __builtin_expect(!!(c), 0)

/* RFLAGS */
#define F_CF 0x1u
#define F_PF 0x4u
#define F_AF 0x10u
#define F_ZF 0x40u
#define F_SF 0x80u
#define F_TF 0x100u
#define F_IF 0x200u
#define F_DF 0x400u
#define F_OF 0x800u
#define F_IOPL 0x3000u
#define F_NT 0x4000u
#define F_RF 0x10000u
#define F_VM 0x20000u
#define F_AC 0x40000u
#define F_VIF 0x80000u
#define F_VIP 0x100000u
#define F_ID 0x200000u
#define F_ARITH (F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF)

#define CR0_PE 1u
#define CR0_MP 2u
#define CR0_EM 4u
#define CR0_TS 8u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_AM 0x40000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR4_VME 1u
#define CR4_PVI 2u
#define CR4_TSD 4u
#define CR4_DE 8u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_MCE 0x40u
#define CR4_PGE 0x80u
#define CR4_PCE 0x100u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define CR4_UMIP 0x800u
#define CR4_LA57 0x1000u
#define CR4_FSGSBASE 0x10000u
#define CR4_PCIDE 0x20000u
#define CR4_OSXSAVE 0x40000u
#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define CR4_PKE 0x400000u
#define EFER_SCE 1u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define EFER_NXE 0x800u
#define EFER_FFXSR 0x4000u

/* Lazy flags: the operands of the last operation, shifted up so that bit 63 is the sign. */
enum cc_kind {
    CC_EAGER, /* the flags are in rflags */
    CC_ADD,   /* a + b */
    CC_SUB,   /* a - b */
    CC_LOGIC, /* a is the result; CF OF AF are 0 */
    CC_INC,   /* a is the result, b the carry before */
    CC_DEC,
};

#define TLB_SIZE 4096u
#define PAGE 4096u
#define PAGE_OF(a) ((a) & ~(uint64_t)0xfff)

struct tlb_entry {
    uint64_t tag;     /* linear page | generation; 0: empty */
    uintptr_t addend; /* host address - linear address */
    union {
        uint8_t *dirty; /* of a writable page; never NULL */
        uint64_t phys;  /* of an executable page */
    };
    uint32_t code; /* index into the code map */
    uint32_t flags;
};
#define TLB_GLOBAL 1u
#define TLB_LARGE 2u

enum { TLB_READ, TLB_WRITE, TLB_EXEC };
struct tlb_set {
    struct tlb_entry e[3][TLB_SIZE];
};
/* Which rights a set was filled with. */
enum { MMU_SUPERVISOR, MMU_USER, MMU_SMAP, MMU_SETS };

/*
 * One word per page of host memory (hashed), so that a page is the same at each of its addresses:
 * CODE_CACHED says that some vCPU holds decoded code of the page, CODE_SETTLED that every writer
 * knows; the rest counts its invalidations. Shared by the vCPUs of a machine; words are atomic.
 */
#define CODE_CACHED 1u
#define CODE_SETTLED 2u
#define CODE_FLAGS (CODE_CACHED | CODE_SETTLED)
#define CODE_MAP_BITS 18
struct code_map {
    uint32_t word[1u << CODE_MAP_BITS];
    uint32_t users; /* vCPUs */
    uint32_t drops; /* counts pages whose code was dropped; atomic */
    void (*dropped)(struct code_map *map); /* told of each, or NULL. [any] */
    /* Code of a page is about to be kept for the first time; or NULL. */
    void (*cached)(struct code_map *map, struct vcpu *v, uint32_t index);
};

struct block {
    struct block *hash_next;
    struct block *succ[2];
    uint16_t succ_offset[2]; /* page offsets of the successors' addresses */
    uint16_t bytes;          /* of code */
    uint16_t count;          /* instructions */
    uint32_t mode;
    uint32_t generation; /* of the code map's word when it was decoded */
    const uint32_t *word;
    const uint8_t *host; /* where the code lies; of what is not cached: NULL */
    struct insn insn[]; /* followed by the code bytes */
};

struct jump_entry {
    uint64_t linear, key;
    struct block *block;
};
#define JUMP_SIZE 4096u
#define HASH_SIZE 65536u
#define MAX_BLOCK 48
#define CHUNK_BYTES (1u << 20)
#define MAX_CHUNKS 64

struct phys_cache {
    uint64_t page; /* address | 1 */
    struct phys_page p;
};

/* A stretch of RAM: longer memory of what phys_lookup() was told. */
struct phys_range {
    uint64_t start, length;
    uint8_t *host, *dirty;
    bool readonly;
};
#define PHYS_RANGES 8u

/* Block modes */
#define MODE_SIZE 3u /* 0: 16-bit code, 1: 32-bit, 2: 64-bit */
#define MODE_STACK32 4u
#define MODE_SINGLE 8u
#define MODE_USER 16u
#define MODE_LIMITED 32u /* the code segment has a limit */

struct vcpu {
    struct bp_x86_cpu *x;
    const struct insn *cur; /* being executed; NULL between instructions */
    const struct insn *block_end;
    /* lazy flags */
    uint32_t cc_kind;
    uint32_t cc_shift; /* 64 - operand bits */
    uint64_t cc_a, cc_b;
    /* memory */
    struct tlb_set *mmu;
    uint64_t generation; /* 1..0xffe, in the tags; 0xfff: nothing is found */
    uint64_t asid_generation; /* the address space's */
    uint32_t *code_words;
    uint32_t mode;
    uint8_t cpl;
    uint8_t long64; /* 64-bit code */
    uint8_t flat;   /* bit per segment: read-write, expand-up, no limit */
    uint8_t attention; /* look at vcpu_attend()'s list before the next block */
    uint64_t cs_base;
    uint64_t zero;

    struct bus bus;
    struct code_map *code_map;
    const uint32_t *kick;
    /* block cache */
    uint64_t jump_key;
    uint64_t jump_counter;
    struct block *prev; /* whose successor is being looked for, */
    uint64_t prev_linear; /* and where it ran */
    struct block *scratch; /* for code that is not cached */
    struct insn decoded[MAX_BLOCK];
    struct jump_entry jump[JUMP_SIZE];
    struct block *hash[HASH_SIZE];
    uint8_t *chunk[MAX_CHUNKS];
    unsigned chunk_count, chunk_at;
    size_t chunk_used;
    /* paging */
    uint16_t pcid_generation[4096];
    uint16_t next_generation;
    uint8_t tlb_used; /* something was entered since the last reset of the TLB */
    uint16_t global_generation; /* counts flushes of global entries */
    /* For who keeps more of executable pages than the TLB does: the epoch counts when all of it is void; pages
     * that matter are noted in the filter, so that others may be flushed one by one without effect. */
    uint64_t exec_epoch;
    uint64_t exec_filter[1024];
    uint8_t exec_noted;
    uint32_t *writers; /* by code word: the TLB entry that writes to such a page, see writer_note(); or NULL */
    uint64_t large[64]; /* hashed GiB that hold large pages */
    uint32_t map_changed; /* set from any thread */
    struct phys_cache phys[256];
    struct phys_range ranges[PHYS_RANGES];
    uint32_t range_next;
    uint64_t pdpte[4];
    uint8_t no_dirty;
    uint8_t a20; /* the masking that the TLB was filled with */
    uint8_t own_map; /* code_map is freed with the vCPU */
    /* delivery */
    jmp_buf jmp;
    uint64_t exc_code;
    uint8_t exc_vector, exc_has_code;
    uint8_t frozen;       /* an x87 error waits for an interrupt: no exception follows */
    uint8_t delivering;   /* 0 none, 1 benign, 2 contributory, 3 page fault, 4 double fault */
    uint8_t external;     /* EXT bit: the event came from outside the program */
    uint8_t shutdown;
    uint8_t single;       /* one instruction at a time: TF or breakpoints */
    uint8_t began;        /* an instruction or a delivery, since a debugger was last asked */
    uint8_t resume;       /* RF was set for this instruction */
    uint32_t dr6_pending; /* data breakpoints that the instruction hit */
    /* Instructions that are left (-icount); NULL: nobody counts. What `owed` says was taken from it already, and has
     * not been executed; neither have those of the block that runs from `first` to where it is. */
    int32_t *budget;
    int32_t own_budget, owed;
    const struct insn *first;
    uint8_t broken_off; /* a repeated instruction that goes on later */
    const struct bp_debug *debug; /* a debugger outside wants something; NULL: none does */
    struct bp_debug_hit hit;      /* why vcpu_run() returned BP_CPU_EXIT_DEBUG */
    /* The last exceptions, for the story of a triple fault: story.c */
    struct exception_note {
        uint64_t rip, linear, cr2;
        uint32_t code;
        uint16_t cs;
        uint8_t vector, has_code, cpl, during; /* during: of `delivering` */
    } story[16];
    uint32_t story_count;
    uint8_t story_told; /* without -d it is told once */
    /* One that runs beside another on the same memory, to be compared with it (tcg's check.c); NULL: it does not. It
     * uses what the other's TLB has, and the memory that `page` gives for a page at host address `host`. */
    const struct vcpu *beside;
    uint8_t *(*page)(struct vcpu *v, uint8_t *host, uint64_t lin, bool write);
    struct phys_page page_seen;
    struct tlb_set sets[MMU_SETS];
};
#define STORY 16u
void story_note(struct vcpu *v); /* v->exc_* is about to be delivered */
void story_tell(struct vcpu *v); /* it was the third */

/* ---- for tests and the accelerator ---- */
/* map is shared among the vCPUs of one machine; NULL: one of its own. */
struct vcpu *vcpu_new(struct bp_x86_cpu *x, const struct bus *bus);
struct vcpu *vcpu_new_shared(struct bp_x86_cpu *x, const struct bus *bus, struct code_map *map);
void vcpu_free(struct vcpu *v);
/* The same in the caller's memory, which is zeroed. -ENOMEM */
int vcpu_init(struct vcpu *v, struct bp_x86_cpu *x, const struct bus *bus, struct code_map *map);
void vcpu_deinit(struct vcpu *v);
enum bp_cpu_exit vcpu_step(struct vcpu *v); /* exactly one instruction or delivery */
enum bp_cpu_exit vcpu_run(struct vcpu *v, const uint32_t *kick_flag);
void vcpu_changed(struct vcpu *v); /* the state was written from outside */
void vcpu_sync(struct vcpu *v);    /* the state will be read from outside */
/* Counts instructions from now on, in `budget` or (NULL) a place of its own; as bp_accel_class has cpu_left and
 * cpu_set_left. */
void vcpu_count(struct vcpu *v, int32_t *budget);
int64_t vcpu_left(const struct vcpu *v);
void vcpu_set_left(struct vcpu *v, int64_t instructions);
static inline bool vcpu_spent(const struct vcpu *v)
{
    return unlikely(v->budget != NULL) && *v->budget <= 0;
}
void vcpu_debug(struct vcpu *v, const struct bp_debug *debug); /* borrowed; NULL: no debugger */

/* ---- for a run loop of one's own: run.c ---- */
/* Between blocks: what vcpu_attend() says beside a reason (enum bp_cpu_exit) to leave. */
enum { ATTEND_GO_ON = -1, /* nothing is in the way of the next block */
       ATTEND_AGAIN = -2 }; /* something was delivered or executed: look again */
int vcpu_attend(struct vcpu *v, const uint32_t *kick);
void vcpu_fault(struct vcpu *v);     /* after the jump that raise_exception() makes */
void vcpu_run_block(struct vcpu *v); /* one decoded block, interpreted */

/* ---- flags ---- */
uint32_t flags_compute(const struct vcpu *v); /* arithmetic flags of the lazy operation */
static inline uint32_t arith_flags(const struct vcpu *v)
{
    return v->cc_kind == CC_EAGER ? (uint32_t)v->x->rflags & F_ARITH : flags_compute(v);
}
/* rflags with everything up to date. */
static inline uint64_t flags_sync(struct vcpu *v)
{
    if (v->cc_kind != CC_EAGER) {
        v->x->rflags = (v->x->rflags & ~(uint64_t)F_ARITH) | flags_compute(v);
        v->cc_kind = CC_EAGER;
    }
    return v->x->rflags;
}
static inline void flags_set_eager(struct vcpu *v, uint32_t f)
{
    v->cc_kind = CC_EAGER;
    v->x->rflags = (v->x->rflags & ~(uint64_t)F_ARITH) | f;
}
static inline void cc_set(struct vcpu *v, unsigned kind, unsigned bits, uint64_t a, uint64_t b)
{
    v->cc_kind = kind;
    v->cc_shift = 64 - bits;
    v->cc_a = a << (64 - bits);
    v->cc_b = b << (64 - bits);
}
static inline bool flag_c(const struct vcpu *v)
{
    switch (v->cc_kind) {
    case CC_ADD: return v->cc_a + v->cc_b < v->cc_a;
    case CC_SUB: return v->cc_a < v->cc_b;
    case CC_LOGIC: return false;
    case CC_INC:
    case CC_DEC: return v->cc_b;
    default: return v->x->rflags & F_CF;
    }
}
static inline uint64_t cc_result(const struct vcpu *v)
{
    return v->cc_kind == CC_ADD ? v->cc_a + v->cc_b : v->cc_kind == CC_SUB ? v->cc_a - v->cc_b : v->cc_a;
}
static inline bool flag_z(const struct vcpu *v)
{
    return v->cc_kind == CC_SUB ? v->cc_a == v->cc_b :
           v->cc_kind == CC_EAGER ? (v->x->rflags & F_ZF) != 0 : cc_result(v) == 0;
}
static inline bool flag_s(const struct vcpu *v)
{
    return v->cc_kind == CC_EAGER ? (v->x->rflags & F_SF) != 0 : (int64_t)cc_result(v) < 0;
}
bool condition_slow(const struct vcpu *v, unsigned cc);
static inline __attribute__((always_inline)) bool condition(const struct vcpu *v, unsigned cc)
{
    bool r;

    switch (cc >> 1) {
    case 1: r = flag_c(v); break;
    case 2: r = flag_z(v); break;
    case 3: r = v->cc_kind == CC_SUB ? v->cc_a <= v->cc_b : flag_c(v) || flag_z(v); break;
    case 4: r = flag_s(v); break;
    case 6:
        r = v->cc_kind == CC_SUB ? (int64_t)v->cc_a < (int64_t)v->cc_b :
            v->cc_kind == CC_LOGIC ? (int64_t)v->cc_a < 0 : condition_slow(v, 0xc);
        break;
    case 7:
        r = v->cc_kind == CC_SUB ? (int64_t)v->cc_a <= (int64_t)v->cc_b :
            v->cc_kind == CC_LOGIC ? (int64_t)v->cc_a <= 0 : condition_slow(v, 0xe);
        break;
    default: r = condition_slow(v, cc & ~1u); break;
    }
    return r ^ (cc & 1);
}
bool condition_at(const struct vcpu *v, unsigned cc); /* cc not constant */
/* Where POPF, IRET and others put new flags: keeps derived state right. */
void flags_write(struct vcpu *v, uint64_t value);

/* ---- memory: linear addresses with the current rights ---- */
uint64_t load_slow(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg);
void store_slow(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size, unsigned seg);
/* An entry to write through, or NULL: I/O, or it crosses a page. Raises faults. */
struct tlb_entry *write_entry_slow(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg);
void code_invalidate(struct vcpu *v, uint32_t index);
static inline uint32_t code_index(const uint8_t *host)
{
    return (uint32_t)((uintptr_t)host >> 12) & ((1u << CODE_MAP_BITS) - 1);
}
/* Code of this page will be read and kept: from here on writes are seen. Returns the page's word. */
uint32_t code_begin(struct vcpu *v, uint32_t index);
/* Somebody else wrote, behind a full barrier; whether code of these bytes was kept. [any] */
bool code_written(struct code_map *map, const uint8_t *host, uint64_t length);

static inline void mark_dirty(uint8_t *dirty)
{
    __atomic_store_n(dirty, BP_DIRTY_ALL, __ATOMIC_RELEASE);
}
/*
 * To be called behind every write to a page: memory first, then its code word is looked at. Who makes a
 * block does the reverse, with a barrier on all processors between (code_begin()): one of the two sees
 * the other.
 */
static inline void written(struct vcpu *v, const struct tlb_entry *e)
{
    mark_dirty(e->dirty);
    if (unlikely(__atomic_load_n(&v->code_words[e->code], __ATOMIC_RELAXED) & CODE_CACHED))
        code_invalidate(v, e->code);
}

static inline struct tlb_entry *tlb_at(struct vcpu *v, unsigned kind, uint64_t lin)
{
    return &v->mmu->e[kind][(lin >> 12) % TLB_SIZE];
}
static inline bool tlb_hit(const struct vcpu *v, const struct tlb_entry *e, uint64_t lin, unsigned size)
{
    return e->tag == (PAGE_OF(lin + size - 1) | v->generation);
}
static inline struct tlb_entry *write_entry(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg)
{
    struct tlb_entry *e = tlb_at(v, TLB_WRITE, lin);

    if (likely(tlb_hit(v, e, lin, size)))
        return e;
    return write_entry_slow(v, lin, size, seg);
}

/* Guest data in host memory, of any alignment. */
typedef uint8_t any8;
typedef uint16_t __attribute__((aligned(1), may_alias)) any16;
typedef uint32_t __attribute__((aligned(1), may_alias)) any32;
typedef uint64_t __attribute__((aligned(1), may_alias)) any64;

#define DEFINE_ACCESS(N, T) \
    static inline T load##N(struct vcpu *v, uint64_t lin, unsigned seg) \
    { \
        struct tlb_entry *e = tlb_at(v, TLB_READ, lin); \
        if (likely(tlb_hit(v, e, lin, N / 8))) \
            return *(const volatile any##N *)(lin + e->addend); \
        return (T)load_slow(v, lin, N / 8, seg); \
    } \
    static inline void store##N(struct vcpu *v, uint64_t lin, T value, unsigned seg) \
    { \
        struct tlb_entry *e = tlb_at(v, TLB_WRITE, lin); \
        if (likely(tlb_hit(v, e, lin, N / 8))) { \
            *(volatile any##N *)(lin + e->addend) = value; \
            written(v, e); \
            return; \
        } \
        store_slow(v, lin, value, N / 8, seg); \
    }
DEFINE_ACCESS(8, uint8_t)
DEFINE_ACCESS(16, uint16_t)
DEFINE_ACCESS(32, uint32_t)
DEFINE_ACCESS(64, uint64_t)

/* Segmentation: linear address of `size` bytes at seg:off, checked. */
uint64_t segment_check(struct vcpu *v, unsigned seg, uint64_t off, unsigned size, bool write);
static inline uint64_t seg_linear(struct vcpu *v, unsigned seg, uint64_t off, unsigned size, bool write)
{
    if (v->long64)
        return seg >= BP_FS ? v->x->seg[seg].base + off : off;
    if (likely(v->flat >> seg & 1))
        return (uint32_t)(v->x->seg[seg].base + off);
    return segment_check(v, seg, off, size, write);
}
static inline uint64_t ea_full(const struct insn *i)
{
    return *i->base_at + (*i->index_at << i->scale) + (uint64_t)i->disp;
}
static inline uint64_t ea_offset(const struct insn *i)
{
    uint64_t a = ea_full(i);

    return i->addrsize == 8 ? a : i->addrsize == 4 ? (uint32_t)a : (uint16_t)a;
}
/* 64-bit code with 64-bit addresses. */
static inline uint64_t ea_flat(const struct insn *i)
{
    return ea_full(i) + *i->seg_at;
}
static inline uint64_t insn_linear(struct vcpu *v, const struct insn *i, unsigned size, bool write)
{
    return seg_linear(v, i->seg, ea_offset(i), size, write);
}
uint64_t load_any(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg);
void store_any(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size, unsigned seg);
void probe_write(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg);

/* Accesses with supervisor rights whatever the CPL is: descriptor tables, TSS, gates' stacks. */
uint64_t sys_load(struct vcpu *v, uint64_t lin, unsigned size);
void sys_store(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size);
struct tlb_set *mmu_swap(struct vcpu *v, unsigned set); /* returns the former one */
unsigned mmu_implicit(const struct vcpu *v);

/* Paging */
void tlb_flush(struct vcpu *v, bool global);
void tlb_flush_page(struct vcpu *v, uint64_t lin);
void tlb_set_pcid(struct vcpu *v, bool flush); /* CR3 was loaded */
void tlb_flush_pcid(struct vcpu *v, unsigned pcid);
void tlb_reset(struct vcpu *v);
bool pae_load_pdptes(struct vcpu *v, uint64_t cr3); /* false: a reserved bit is set */
uint64_t exec_phys(struct vcpu *v, uint64_t lin); /* raises #PF; address of the byte */
const struct phys_page *phys_lookup(struct vcpu *v, uint64_t address);
void phys_forget(struct vcpu *v); /* the map changed */
uint64_t phys_read(struct vcpu *v, uint64_t address, unsigned size);
void phys_write(struct vcpu *v, uint64_t address, uint64_t value, unsigned size); /* in one page */
/* Which entries write to a page: none, one (its number + 1), or perhaps more. */
#define WRITERS_MANY 0xffffffffu
static inline void writer_note(struct vcpu *v, const struct tlb_entry *e)
{
    uint32_t number = (uint32_t)(e - &v->sets[0].e[0][0]) + 1, *at;

    if (!v->writers)
        return;
    at = &v->writers[e->code];
    *at = *at == 0 || *at == number ? number : WRITERS_MANY;
}
void writers_drop(struct vcpu *v, uint32_t index); /* they will miss */
void exec_forget(struct vcpu *v); /* a new epoch */
static inline void exec_note(struct vcpu *v, uint64_t lin)
{
    v->exec_filter[lin >> 18 & 1023] |= (uint64_t)1 << (lin >> 12 & 63);
    v->exec_noted = 1;
}
/* As the paging mode has it; what is loaded into bases may be as wide as the processor's addresses. */
static inline bool is_canonical(const struct vcpu *v, uint64_t a)
{
    unsigned shift = v->x->cr4 & CR4_LA57 ? 7 : 16;

    return (uint64_t)((int64_t)(a << shift) >> shift) == a;
}
static inline bool is_canonical_base(const struct vcpu *v, uint64_t a)
{
    unsigned shift = v->x->linear_bits == 57 ? 7 : 16;

    return (uint64_t)((int64_t)(a << shift) >> shift) == a;
}

/* ---- registers ---- */
static inline uint8_t *reg8_at(struct vcpu *v, const struct insn *i, unsigned r)
{
    uint8_t *g = (uint8_t *)v->x->gpr;

    return r >= 4 && r < 8 && !(i->prefixes & PREFIX_REX) ? g + (r - 4) * 8 + 1 : g + r * 8;
}
static inline uint64_t reg_get(struct vcpu *v, const struct insn *i, unsigned r, unsigned size)
{
    switch (size) {
    case 1: return *reg8_at(v, i, r);
    case 2: return (uint16_t)v->x->gpr[r];
    case 4: return (uint32_t)v->x->gpr[r];
    default: return v->x->gpr[r];
    }
}
static inline void reg_set(struct vcpu *v, const struct insn *i, unsigned r, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *reg8_at(v, i, r) = (uint8_t)value; break;
    case 2: *(uint16_t *)&v->x->gpr[r] = (uint16_t)value; break;
    case 4: v->x->gpr[r] = (uint32_t)value; break;
    default: v->x->gpr[r] = value; break;
    }
}
static inline uint64_t size_mask(unsigned size)
{
    return size == 8 ? ~(uint64_t)0 : ((uint64_t)1 << (size * 8)) - 1;
}
static inline int64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned s = 64 - size * 8;

    return (int64_t)(value << s) >> s;
}
/* r/m operand of i->opsize (or size) bytes. */
uint64_t rm_load(struct vcpu *v, const struct insn *i, unsigned size);
void rm_store(struct vcpu *v, const struct insn *i, unsigned size, uint64_t value);

/* Read-modify-write of r/m, atomic with LOCK: do { old = rmw_begin } while (!rmw_end(new)). */
struct rmw {
    struct tlb_entry *entry;
    void *host;
    uint64_t lin, old;
    unsigned size;
    bool reg, lock;
};
uint64_t rmw_begin(struct vcpu *v, const struct insn *i, unsigned size, struct rmw *m);
uint64_t rmw_begin_at(struct vcpu *v, uint64_t lin, unsigned seg, unsigned size, bool lock, struct rmw *m);
bool rmw_end(struct vcpu *v, const struct insn *i, struct rmw *m, uint64_t value);

/* ---- stack ---- */
static inline uint64_t stack_mask(const struct vcpu *v)
{
    return v->long64 ? ~(uint64_t)0 : v->x->seg[BP_SS].attr & BP_X86_SEG_DB ? 0xffffffffu : 0xffffu;
}
static inline void set_rsp(struct vcpu *v, uint64_t value)
{
    uint64_t m = stack_mask(v);

    v->x->gpr[BP_RSP] = m == 0xffff ? (v->x->gpr[BP_RSP] & ~m) | (value & m) : value & m;
}
void push(struct vcpu *v, uint64_t value, unsigned size);
uint64_t pop(struct vcpu *v, unsigned size);
uint64_t stack_peek(struct vcpu *v, unsigned offset, unsigned size); /* [rsp + offset] */

/* ---- branches ---- */
/* Near transfer: truncates to the operand size, checks limit or canonical form. */
void jump_near(struct vcpu *v, uint64_t target, unsigned size);

/* ---- state derived from segments and control registers ---- */
void mode_update(struct vcpu *v);
static inline bool is_protected(const struct vcpu *v) /* and not virtual 8086 */
{
    return (v->x->cr0 & CR0_PE) && !(v->x->rflags & F_VM);
}
static inline bool is_vm86(const struct vcpu *v)
{
    return v->x->rflags & F_VM;
}
static inline bool is_long(const struct vcpu *v) /* IA-32e mode, compatibility included */
{
    return v->x->efer & EFER_LMA;
}
static inline unsigned iopl(const struct vcpu *v)
{
    return v->x->rflags >> 12 & 3;
}
static inline bool feature(const struct vcpu *v, unsigned word, unsigned bit)
{
    return v->x->features[word] >> bit & 1;
}
static inline void end_block(struct vcpu *v)
{
    v->block_end = NULL;
}
static inline void privileged(struct vcpu *v)
{
    if (unlikely(v->cpl != 0))
        raise_exception_code(v, EXC_GP, 0);
}

/* ---- segments ---- */
struct descriptor {
    uint32_t low, high;
    uint32_t high2; /* of 16-byte system descriptors */
    uint64_t linear;
};
/* Reads the descriptor of a selector; false: beyond the table's limit (or null LDT). */
bool descriptor_read(struct vcpu *v, uint16_t selector, struct descriptor *ret_d);
void descriptor_wide(struct vcpu *v, struct descriptor *d); /* reads the upper 8 bytes too */
void descriptor_unpack(const struct descriptor *d, uint16_t selector, struct bp_x86_segment *s);
void descriptor_set_accessed(struct vcpu *v, struct descriptor *d);
uint64_t descriptor_base(const struct descriptor *d);
uint32_t descriptor_limit(const struct descriptor *d);
static inline unsigned desc_type(const struct descriptor *d) { return d->high >> 8 & 0x1f; } /* with S */
static inline unsigned desc_dpl(const struct descriptor *d) { return d->high >> 13 & 3; }
static inline bool desc_present(const struct descriptor *d) { return d->high & 0x8000; }
void load_data_segment(struct vcpu *v, unsigned seg, uint16_t selector);
void load_real_segment(struct vcpu *v, unsigned seg, uint16_t selector);
void load_ldt(struct vcpu *v, uint16_t selector, unsigned vector); /* vector: EXC_GP or EXC_TS */
void check_stack_segment(struct vcpu *v, uint16_t selector, unsigned cpl, unsigned vector,
                         struct bp_x86_segment *ret_s, struct descriptor *ret_d);
void set_cs(struct vcpu *v, const struct bp_x86_segment *s, unsigned cpl);
void set_cpl(struct vcpu *v, unsigned cpl);

/* TSS and tasks */
enum task_switch { TASK_JMP, TASK_CALL, TASK_IRET };
void task_switch(struct vcpu *v, uint16_t selector, enum task_switch kind, bool has_code, uint32_t code);
void tss_stack(struct vcpu *v, unsigned cpl, uint16_t *ret_ss, uint64_t *ret_sp);
bool io_allowed(struct vcpu *v, uint16_t port, unsigned size);

/* ---- interrupts ---- */
enum event { EVENT_FAULT, EVENT_EXTERNAL, EVENT_SOFTWARE /* INT n */, EVENT_INT3 /* and INTO */,
             EVENT_ICEBP };
/* Delivers through the IDT; x->rip is what will be pushed. */
void interrupt_deliver(struct vcpu *v, unsigned vector, enum event kind, bool has_code, uint32_t code);
void exception_deliver(struct vcpu *v); /* v->exc_*; double and triple faults */
void far_iret(struct vcpu *v, unsigned size);

/* ---- blocks ---- */
struct block *block_next(struct vcpu *v); /* at CS:RIP; raises fetch faults */
int blocks_init(struct vcpu *v);
void blocks_free(struct vcpu *v);
void blocks_drop(struct vcpu *v); /* all that was decoded */

/* ---- decoder ---- */
struct code_bytes {
    const uint8_t *p;
    unsigned avail;
};
enum decode_result { DECODE_OK, DECODE_MORE, DECODE_END /* ok, ends the block */ };
enum decode_result decode(struct vcpu *v, const struct code_bytes *code, struct insn *i);
void pick_fast(struct vcpu *v, struct insn *i);
extern const struct opcode opcodes_1[256], opcodes_0f[256];
const struct opcode *opcode_0f38(const struct vcpu *v, const struct insn *i, unsigned pp);
const struct opcode *opcode_0f3a(const struct vcpu *v, const struct insn *i, unsigned pp);
const struct opcode *opcode_vex(const struct vcpu *v, const struct insn *i, unsigned pp);

/* CPUID's feature bits that the software accelerators execute: features.c */
extern const uint32_t x86_executed_features[BP_X86_FW_COUNT];

/* ---- handlers by subject; the tables name them ---- */
#define H(name) void name(struct vcpu *v, const struct insn *i)
exec_fn exec_ud, exec_gp0;
/* alu.c */
exec_fn *alu_handler(unsigned op, const struct insn *i, unsigned form, bool flat);
enum { FORM_EG, FORM_GE, FORM_EI };
exec_fn exec_group3, exec_group4, exec_salc, exec_incdec_rm, exec_incdec_r, exec_xadd, exec_cmpxchg;
exec_fn exec_imul2, exec_imul3;
exec_fn exec_shift, exec_shift_double, exec_group9;
exec_fn exec_daa, exec_das, exec_aaa, exec_aas, exec_aam, exec_aad;
exec_fn exec_bt, exec_bt_imm, exec_bsf, exec_bsr, exec_popcnt, exec_bswap;
exec_fn exec_movbe, exec_crc32, exec_adx, exec_bmi_andn, exec_bmi_group17, exec_bmi_bextr,
    exec_bmi_bzhi, exec_bmi_pdep, exec_bmi_mulx, exec_bmi_shift, exec_bmi_rorx;
/* move.c */
exec_fn exec_mov_eg, exec_mov_ge, exec_mov_ei, exec_mov_ri, exec_mov_moffs, exec_mov_es, exec_mov_se,
    exec_lea, exec_xchg_eg, exec_xchg_ax, exec_movzx, exec_movsx, exec_movsxd, exec_cmov, exec_setcc;
exec_fn exec_push_r, exec_pop_r, exec_push_i, exec_pop_e, exec_push_seg, exec_pop_seg, exec_pusha,
    exec_popa, exec_pushf, exec_popf, exec_enter, exec_leave, exec_cbw, exec_cwd, exec_xlat,
    exec_lahf, exec_sahf, exec_flag_op, exec_far_load, exec_nop, exec_bound, exec_movnti;
/* branch.c */
exec_fn exec_jcc, exec_jmp, exec_call, exec_ret, exec_group5, exec_loop, exec_jcxz, exec_far_jmp_i,
    exec_far_call_i, exec_far_ret, exec_iret, exec_int3, exec_int_n, exec_into, exec_icebp;
void far_transfer(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, bool call);
/* string.c */
uint64_t port_read(struct vcpu *v, uint16_t port, unsigned size); /* with permission checks */
void port_write(struct vcpu *v, uint16_t port, uint64_t value, unsigned size);
exec_fn exec_movs, exec_stos, exec_lods, exec_cmps, exec_scas, exec_ins, exec_outs, exec_in, exec_out;
/* system.c */
exec_fn exec_hlt, exec_cli, exec_sti, exec_group6, exec_group7, exec_lar_lsl, exec_clts, exec_mov_cr,
    exec_mov_dr, exec_wrmsr, exec_rdmsr, exec_rdtsc, exec_rdpmc, exec_cpuid, exec_syscall, exec_sysret,
    exec_sysenter, exec_sysexit, exec_invd, exec_arpl, exec_rsm, exec_group15_f3, exec_invpcid,
    exec_fwait, exec_rdtscp;
void smm_enter(struct vcpu *v); /* between instructions */
uint64_t cr4_allowed(const struct vcpu *v);
int msr_read(struct vcpu *v, uint32_t index, uint64_t *ret_value);
int msr_write(struct vcpu *v, uint32_t index, uint64_t value);
void debug_update(struct vcpu *v);
bool debug_code_hit(struct vcpu *v, uint64_t linear);
void debug_data(struct vcpu *v, uint64_t linear, unsigned size, bool write);
bool debug_page_watched(const struct vcpu *v, uint64_t page);
bool debug_io(struct vcpu *v, uint16_t port, unsigned size);
/* Points of a debugger outside: does one lie at this address (noted in v->hit), or in these bytes of code? */
bool point_at(struct vcpu *v, uint64_t linear);
bool point_within(const struct vcpu *v, uint64_t linear, unsigned bytes);

#endif
