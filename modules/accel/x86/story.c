/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a triple fault came about: the last exceptions, and which table could not be used. It goes to the log, by one of
 * -d guest_errors, int, cpu_reset; without, a vCPU's first goes to the user. Kernels reboot by a triple fault, too: by
 * an IDT of no length, of which the user is not told.
 */
#include "vcpu.h"
#include <bp/log.h>
#include <stdarg.h>
#include <stdio.h>

#define ITEMS (BP_LOG_GUEST_ERROR | BP_LOG_INT | BP_LOG_RESET)

void story_note(struct vcpu *v)
{
    struct exception_note *n = &v->story[v->story_count++ % STORY];

    *n = (struct exception_note){.vector = v->exc_vector, .has_code = v->exc_has_code, .code = (uint32_t)v->exc_code,
                                 .cs = v->x->seg[BP_CS].selector, .cpl = v->cpl, .during = v->delivering,
                                 .rip = v->x->rip, .linear = v->x->seg[BP_CS].base + v->x->rip, .cr2 = v->x->cr2};
}

static bool inside(uint64_t address, const struct bp_x86_segment *table)
{
    return address - table->base <= table->limit;
}

static void put_page_fault(const struct vcpu *v, const struct exception_note *n, char *to, size_t size)
{
    const struct bp_x86_cpu *x = v->x;
    const char *what = inside(n->cr2, &x->idtr) ? "the IDT" : inside(n->cr2, &x->gdtr) ? "the GDT" :
                       inside(n->cr2, &x->tr) ? "the TSS" : "the handler's stack, perhaps";

    snprintf(to, size, "%s at %016llx (%s)", what, (unsigned long long)n->cr2,
             n->code & 1 ? "the page's rights forbid it" : "its page is not present");
}

/* Why exception `n` was raised while another one was delivered. */
static void put_wrong(const struct vcpu *v, const struct exception_note *n, char *to, size_t size)
{
    const struct bp_x86_cpu *x = v->x;
    unsigned index = n->code >> 3;
    const char *table = n->code & 2 ? "IDT" : n->code & 4 ? "LDT" : "GDT";
    const struct bp_x86_segment *t = n->code & 2 ? &x->idtr : n->code & 4 ? &x->ldtr : &x->gdtr;
    unsigned entry = n->code & 2 && x->efer & EFER_LMA ? 16 : 8;

    if (n->vector == EXC_PF) {
        put_page_fault(v, n, to, size);
    } else if (!(x->cr0 & CR0_PE)) {
        snprintf(to, size, "the vector table at %016llx, limit %x", (unsigned long long)x->idtr.base, x->idtr.limit);
    } else if (n->vector == EXC_TS) {
        snprintf(to, size, "the TSS at %016llx, limit %x", (unsigned long long)x->tr.base, x->tr.limit);
    } else if (n->vector == EXC_SS || !(n->code & ~1u)) {
        snprintf(to, size, "%s", n->vector == EXC_SS ? "the stack" : "a null selector, or an address that is none");
    } else {
        snprintf(to, size, "entry %x of the %s at %016llx, limit %x%s", index, table,
                 (unsigned long long)t->base, t->limit,
                 (uint64_t)index * entry + entry - 1 > t->limit ? ": it lies behind the limit" :
                 n->vector == EXC_NP ? ": it is not present" : ": it is not what is needed there");
    }
}

static void BP_PRINTF(1, 2) say(const char *format, ...)
{
    char line[512];
    va_list list;

    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (bp_log_on(ITEMS))
        bp_log(ITEMS, "%s\n", line);
    else
        bp_warn("%s", line);
}

/* Where they were raised, in words. */
static void put_names(const struct vcpu *v, unsigned first, unsigned count, char (*ret_name)[BUS_NAME])
{
    uint64_t address[STORY];

    for (unsigned k = 0; k < count; k++) {
        address[k] = v->story[(first + k) % STORY].linear;
        *ret_name[k] = '\0';
    }
    if (v->bus.names)
        v->bus.names(v->bus.opaque, address, count, ret_name);
}

void story_tell(struct vcpu *v)
{
    unsigned count = v->story_count < STORY ? v->story_count : STORY;
    char wrong[128], name[STORY][BUS_NAME];

    if (v->beside || (!bp_log_on(ITEMS) && (v->story_told || !v->x->idtr.limit)))
        return;
    v->story_told = 1;
    put_names(v, v->story_count - count, count, name);
    say("Triple fault. The last exceptions:");
    for (unsigned k = v->story_count - count; k != v->story_count; k++) {
        const struct exception_note *n = &v->story[k % STORY];
        char code[16] = "", cr2[32] = "";

        if (n->has_code)
            snprintf(code, sizeof(code), " code %04x", n->code);
        if (n->vector == EXC_PF)
            snprintf(cr2, sizeof(cr2), " CR2 %016llx", (unsigned long long)n->cr2);
        const char *named = name[k - (v->story_count - count)];

        say("  %02x%s at %04x:%016llx%s%s%s, level %u%s%s", n->vector, code, n->cs, (unsigned long long)n->rip,
            *named ? " (" : "", named, *named ? ")" : "", n->cpl, cr2, n->during ? ", while one was delivered" : "");
        if (n->during || (n->has_code && n->code & 2 && n->vector != EXC_PF)) { /* 2: of the IDT */
            put_wrong(v, n, wrong, sizeof(wrong));
            say("     what was wrong: %s", wrong);
        }
    }
}
