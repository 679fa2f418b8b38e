/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The run loop: blocks, exceptions, and between blocks whatever wants attention: kicks, interrupts,
 * NMI, INIT, SIPI, halts, interrupt shadows, single steps, breakpoints. Intel SDM volume 3, chapters
 * 6 (priorities, table 6-2), 8.4 (INIT and SIPI) and 17 (debug).
 */
#include "vcpu.h"
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Noreturn void raise_exception(struct vcpu *v, unsigned vector)
{
    v->exc_vector = (uint8_t)vector;
    v->exc_has_code = 0;
    v->exc_code = 0;
    _longjmp(v->jmp, 1);
}

_Noreturn void raise_exception_code(struct vcpu *v, unsigned vector, uint32_t code)
{
    if (v->external && vector >= EXC_TS && vector <= EXC_GP)
        code |= 1;
    v->exc_vector = (uint8_t)vector;
    v->exc_has_code = 1;
    v->exc_code = code;
    _longjmp(v->jmp, 1);
}

struct bp_x86_cpu *vcpu_state(struct vcpu *v)
{
    return v->x;
}

/* The same, no more than are left. Interrupts are taken at the very instruction, wherever blocks end. */
static __attribute__((noinline)) void run_counted(struct vcpu *v, const struct block *b)
{
    const struct insn *i = b->insn;

    v->block_end = i + (b->count < *v->budget ? b->count : *v->budget);
    v->first = i;
    v->broken_off = 0;
    do {
        v->cur = i;
        v->x->rip += i->len;
        i->exec(v, i);
    } while (++i < v->block_end && !(v->attention | __atomic_load_n(&v->x->interrupts, __ATOMIC_RELAXED)));
    if (v->first) /* else it was counted before it was over: a task switch */
        *v->budget -= (int32_t)(i - b->insn) - v->broken_off;
    v->first = NULL;
    v->broken_off = 0;
    if (*v->budget <= 0)
        v->attention = 1;
}

static inline __attribute__((always_inline)) void run_block(struct vcpu *v, const struct block *b)
{
    const struct insn *i = b->insn;
    uint64_t *rip_at = &v->x->rip, rip = *rip_at;

    if (unlikely(v->budget != NULL)) {
        run_counted(v, b);
        return;
    }

    v->block_end = i + b->count;
    do {
        v->cur = i;
        rip += i->len;
        *rip_at = rip;
        i->exec(v, i);
    } while (++i < v->block_end);
}

/* Interrupts between instructions. True: something was delivered. */
static bool take_interrupt(struct vcpu *v, uint32_t pending)
{
    struct bp_x86_cpu *x = v->x;
    int vector;

    if (pending & BP_X86_INT_NMI && !x->nmi_blocked) {
        bp_x86_uninterrupt(x, BP_X86_INT_NMI);
        x->nmi_blocked = 1;
        x->halted = 0;
        v->delivering = 1;
        interrupt_deliver(v, EXC_NMI, EVENT_EXTERNAL, false, 0);
        v->delivering = 0;
        return true;
    }
    if (pending & BP_X86_INT_HARD && x->rflags & F_IF && x->apic) {
        x->halted = 0;
        vector = x->apic->acknowledge(x->apic_opaque);
        if (vector >= 0) {
            v->delivering = 1;
            interrupt_deliver(v, (unsigned)vector, EVENT_EXTERNAL, false, 0);
            v->delivering = 0;
            return true;
        }
    }
    return false;
}

static void real_segment(struct bp_x86_segment *s, uint16_t selector, uint64_t base, uint16_t attr)
{
    *s = (struct bp_x86_segment){.selector = selector, .attr = attr, .limit = 0xffff, .base = base};
}

/* The state after INIT: like power-on, but x87, SSE and most MSRs stay. SDM volume 3, table 10-1. */
static void init_state(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;

    memset(x->gpr, 0, sizeof(x->gpr));
    for (uint32_t n = 0; n < x->cpuid_count; n++) {
        if (x->cpuid[n].leaf == 1)
            x->gpr[BP_RDX] = x->cpuid[n].eax;
    }
    x->rip = 0xfff0;
    x->rflags = 2;
    for (unsigned n = 0; n < 6; n++)
        real_segment(&x->seg[n], 0, 0, 0x93);
    real_segment(&x->seg[BP_CS], 0xf000, 0xffff0000u, 0x9b);
    real_segment(&x->ldtr, 0, 0, 0x82);
    real_segment(&x->tr, 0, 0, 0x8b);
    real_segment(&x->gdtr, 0, 0, 0);
    real_segment(&x->idtr, 0, 0, 0);
    x->cr0 = (x->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    x->cr2 = x->cr3 = x->cr4 = x->efer = 0;
    memset(x->dr, 0, 4 * sizeof(x->dr[0]));
    x->dr[6] = 0xffff0ff0u;
    x->dr[7] = 0x400;
    x->halted = x->wait_for_sipi = !x->is_bsp;
    x->smm = 0;
    if (x->apic)
        x->apic->init(x->apic_opaque);
    x->nmi_blocked = x->shadow = 0;
    vcpu_changed(v);
}

static void take_sipi(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;
    uint32_t vector = __atomic_load_n(&x->sipi_vector, __ATOMIC_SEQ_CST); /* another one may come */

    real_segment(&x->seg[BP_CS], (uint16_t)(vector << 8), (uint64_t)vector << 12, 0x9b);
    x->rip = 0;
    x->wait_for_sipi = x->halted = 0;
    vcpu_changed(v);
}

static void take_requests(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;
    uint32_t pending = __atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST);

    if (pending & BP_X86_INT_INIT) {
        bp_x86_uninterrupt(x, BP_X86_INT_INIT);
        init_state(v);
        pending = __atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST);
    }
    if (pending & BP_X86_INT_SIPI) {
        bp_x86_uninterrupt(x, BP_X86_INT_SIPI);
        if (x->wait_for_sipi)
            take_sipi(v);
    }
    if (pending & BP_X86_INT_SMI && !x->smm && !x->wait_for_sipi && !x->shadow) {
        bp_x86_uninterrupt(x, BP_X86_INT_SMI);
        if (x->smm_space)
            smm_enter(v);
    }
    /* Machine checks are not modelled: the request ends here. */
    if (pending & BP_X86_INT_MACHINE_CHECK)
        bp_x86_uninterrupt(x, BP_X86_INT_MACHINE_CHECK);
}

static void deliver_debug(struct vcpu *v, uint64_t bits)
{
    v->x->dr[6] |= bits;
    v->exc_vector = EXC_DB;
    v->exc_has_code = 0;
    v->x->dr[7] &= ~(uint64_t)0x2000; /* GD */
    v->cur = NULL;
    exception_deliver(v);
}

/* Instructions that switch TF off themselves are not trapped after. */
static bool enters_handler(const struct insn *i)
{
    if (i->map == 1)
        return i->opcode == 0x05 || i->opcode == 0x34;
    return i->map == 0 && ((i->opcode >= 0xcc && i->opcode <= 0xce) || i->opcode == 0xf1);
}

/* One instruction, with the debug checks before and after. */
static void run_single(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;
    bool step = x->rflags & F_TF, resume = x->rflags & F_RF;
    const struct block *b;
    uint64_t bits;

    v->resume = resume;
    v->dr6_pending = 0;
    if (!resume && debug_code_hit(v, v->cs_base + x->rip)) {
        deliver_debug(v, v->dr6_pending);
        return;
    }
    if (!v->single) {
        v->mode |= MODE_SINGLE;
        b = block_next(v);
        v->mode &= ~MODE_SINGLE;
        v->prev = NULL;
    } else {
        b = block_next(v);
    }
    run_block(v, b);
    if (resume && !(b->insn[0].map == 0 && b->insn[0].opcode == 0xcf)) {
        x->rflags &= ~(uint64_t)F_RF;
        debug_update(v);
    }
    bits = v->dr6_pending;
    if (step && !enters_handler(&b->insn[0]))
        bits |= 0x4000;
    if (bits && x->shadow != 2)
        deliver_debug(v, bits);
}

static uint64_t pc_linear(const struct vcpu *v)
{
    uint64_t linear = v->cs_base + v->x->rip;

    return v->long64 ? linear : (uint32_t)linear;
}

/* A debugger's step is one instruction, without what interrupts it unless that was asked for. */
static bool takes_interrupts(const struct vcpu *v)
{
    return likely(!v->debug) || !v->debug->step || v->debug->step_interrupts || v->x->halted;
}

/* Work between blocks. */
int vcpu_attend(struct vcpu *v, const uint32_t *kick)
{
    struct bp_x86_cpu *x = v->x;

    v->cur = NULL;
    v->attention = 0;
    if (v->shutdown) {
        v->shutdown = 0;
        return BP_CPU_EXIT_SHUTDOWN;
    }
    if (__atomic_exchange_n(&v->map_changed, 0, __ATOMIC_SEQ_CST) || x->a20_masked != v->a20) {
        phys_forget(v);
        v->a20 = x->a20_masked;
        tlb_reset(v);
    }
    if (bp_cpu_kicked(kick) || vcpu_spent(v))
        return BP_CPU_EXIT_KICKED;
    take_requests(v);
    if (x->wait_for_sipi)
        return BP_CPU_EXIT_HALTED;
    if (x->shadow) { /* one instruction without interrupts */
        if (unlikely(v->debug != NULL) && point_at(v, pc_linear(v)))
            return BP_CPU_EXIT_DEBUG;
        x->shadow = 0;
        v->attention = 1;
        v->began = 1;
        run_single(v);
        return ATTEND_AGAIN;
    }
    if (takes_interrupts(v) &&
        take_interrupt(v, __atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST))) {
        v->began = 1;
        return ATTEND_AGAIN;
    }
    if (x->halted)
        return BP_CPU_EXIT_HALTED;
    if (unlikely(v->debug != NULL) && point_at(v, pc_linear(v)))
        return BP_CPU_EXIT_DEBUG;
    if (v->single) {
        v->attention = 1;
        v->began = 1;
        run_single(v);
        return ATTEND_AGAIN;
    }
    return ATTEND_GO_ON;
}

void vcpu_fault(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;

    if (v->first) {
        *v->budget -= (int32_t)(v->cur - v->first);
        v->first = NULL;
    }
    if (v->cur) {
        x->rip -= v->cur->len;
        if (!v->long64)
            x->rip = (uint32_t)x->rip;
        v->cur = NULL;
    }
    x->shadow = 0;
    v->prev = NULL;
    mode_update(v);
    v->attention = 1;
    if (v->frozen) { /* in front of an x87 instruction, until an interrupt comes */
        v->frozen = 0;
        x->halted = 1;
        return;
    }
    exception_deliver(v);
}

void vcpu_run_block(struct vcpu *v)
{
    run_block(v, block_next(v));
}

static enum bp_cpu_exit run(struct vcpu *v, const uint32_t *kick)
{
    const uint32_t *pending = &v->x->interrupts;

    v->kick = kick;
    v->attention = 1;
    if (_setjmp(v->jmp))
        vcpu_fault(v);
    for (;;) {
        if (unlikely(__atomic_load_n(v->kick, __ATOMIC_RELAXED) |
                     __atomic_load_n(pending, __ATOMIC_RELAXED) | v->attention)) {
            int why = vcpu_attend(v, v->kick);

            if (why >= 0)
                return (enum bp_cpu_exit)why;
            if (why == ATTEND_AGAIN)
                continue;
        }
        run_block(v, block_next(v));
    }
}

/* Has the debugger to hear of what was just executed or delivered? */
static bool debugger_waits(struct vcpu *v)
{
    if (!v->hit.reason && v->debug->step)
        v->hit = (struct bp_debug_hit){.reason = BP_DEBUG_STEPPED};
    return v->hit.reason != BP_DEBUG_NOTHING;
}

/* As run(), for a debugger: a step ends behind one instruction or delivery; points are looked at wherever
 * one can be. */
static enum bp_cpu_exit run_debugged(struct vcpu *v, const uint32_t *kick)
{
    v->kick = kick;
    v->began = 0;
    v->hit.reason = BP_DEBUG_NOTHING;
    if (_setjmp(v->jmp))
        vcpu_fault(v);
    for (;;) {
        const struct block *b;
        int why;

        if (v->began && debugger_waits(v))
            return BP_CPU_EXIT_DEBUG;
        v->began = 0;
        why = vcpu_attend(v, kick);
        if (why >= 0)
            return (enum bp_cpu_exit)why;
        if (why == ATTEND_AGAIN)
            continue;
        v->began = 1;
        b = block_next(v);
        if (v->debug->step || point_within(v, pc_linear(v) + 1, b->bytes))
            run_single(v);
        else
            run_block(v, b);
    }
}

void vcpu_count(struct vcpu *v, int32_t *budget)
{
    v->budget = budget ? budget : &v->own_budget;
}

int64_t vcpu_left(const struct vcpu *v)
{
    return *v->budget + v->owed - (v->first ? v->cur - v->first : 0);
}

void vcpu_set_left(struct vcpu *v, int64_t instructions)
{
    int64_t done = v->first ? v->cur - v->first : 0;

    *v->budget = (int32_t)(instructions < INT32_MAX / 2 ? instructions : INT32_MAX / 2) + (int32_t)done - v->owed;
    if (v->first && v->block_end > v->first + *v->budget)
        v->block_end = v->first + *v->budget;
}

enum bp_cpu_exit vcpu_run(struct vcpu *v, const uint32_t *kick_flag)
{
    enum bp_cpu_exit why = v->debug ? run_debugged(v, kick_flag) : run(v, kick_flag);

    v->cur = NULL;
    v->prev = NULL;
    return why;
}

/* One instruction, or one delivery. */
enum bp_cpu_exit vcpu_step(struct vcpu *v)
{
    static const uint32_t never;
    volatile int why = BP_CPU_EXIT_KICKED;

    v->kick = &never;
    v->prev = NULL;
    if (_setjmp(v->jmp)) {
        vcpu_fault(v);
    } else {
        why = vcpu_attend(v, &never);
        if (why == ATTEND_GO_ON)
            run_single(v);
        if (why < 0)
            why = BP_CPU_EXIT_KICKED;
    }
    v->cur = NULL;
    v->prev = NULL;
    if (v->shutdown) {
        v->shutdown = 0;
        return BP_CPU_EXIT_SHUTDOWN;
    }
    return (enum bp_cpu_exit)why;
}

/* ---- life ---- */

int vcpu_init(struct vcpu *v, struct bp_x86_cpu *x, const struct bus *bus, struct code_map *map)
{
    v->own_map = map == NULL;
    v->code_map = map ? map : calloc(1, sizeof(*map));
    if (!v->code_map || blocks_init(v)) {
        if (v->own_map)
            free(v->code_map);
        return -ENOMEM;
    }
    v->x = x;
    v->bus = *bus;
    v->code_words = v->code_map->word;
    __atomic_fetch_add(&v->code_map->users, 1, __ATOMIC_RELAXED);
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    v->mmu = &v->sets[0];
    vcpu_changed(v);
    return 0;
}

void vcpu_deinit(struct vcpu *v)
{
    blocks_free(v);
    __atomic_fetch_sub(&v->code_map->users, 1, __ATOMIC_RELAXED);
    if (v->own_map)
        free(v->code_map);
}

struct vcpu *vcpu_new_shared(struct bp_x86_cpu *x, const struct bus *bus, struct code_map *map)
{
    struct vcpu *v = calloc(1, sizeof(*v));

    if (v && vcpu_init(v, x, bus, map)) {
        free(v);
        return NULL;
    }
    return v;
}

struct vcpu *vcpu_new(struct bp_x86_cpu *x, const struct bus *bus)
{
    return vcpu_new_shared(x, bus, NULL);
}

void vcpu_free(struct vcpu *v)
{
    if (!v)
        return;
    vcpu_deinit(v);
    free(v);
}

void vcpu_changed(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;

    v->cc_kind = CC_EAGER;
    x->rflags |= 2;
    v->cpl = !(x->cr0 & CR0_PE) ? 0 : x->rflags & F_VM ? 3 : x->seg[BP_SS].attr >> 5 & 3;
    v->a20 = x->a20_masked;
    v->delivering = 0;
    v->external = 0;
    phys_forget(v);
    tlb_reset(v);
    if ((x->cr0 & CR0_PG) && (x->cr4 & CR4_PAE) && !(x->efer & EFER_LMA))
        pae_load_pdptes(v, x->cr3);
    debug_update(v);
    mode_update(v);
    v->attention = 1;
}

void vcpu_sync(struct vcpu *v)
{
    flags_sync(v);
}
