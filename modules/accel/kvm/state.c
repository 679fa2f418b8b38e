/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers between bp_x86_cpu and the kernel (KVM_GET/SET_REGS, SREGS, XSAVE, XCRS, DEBUGREGS, VCPU_EVENTS; MSRs
 * are in msr.c). An exception that waits for its delivery is not kept: the instruction that raised it is still to be
 * executed. An interrupt that was acknowledged is delivered by the interpreter.
 */
#include "kvm.h"
#include <bp/log.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static int request(const struct kvm_vcpu *c, unsigned long what, void *data, const char *name)
{
    int ret;

    if (ioctl(c->fd, what, data) >= 0)
        return 0;
    ret = -errno;
    bp_warn("kvm: CPU %u: %s: %s", bp_cpu_index(c->cpu), name, strerror(errno));
    return ret;
}
#define REQUEST(C, WHAT, DATA) request(C, WHAT, DATA, #WHAT)

/* ---- general registers ---- */

/* The order of struct kvm_regs. */
static const uint8_t order[16] = {BP_RAX, BP_RBX, BP_RCX, BP_RDX, BP_RSI, BP_RDI, BP_RSP, BP_RBP,
                                  BP_R8, BP_R9, BP_R10, BP_R11, BP_R12, BP_R13, BP_R14, BP_R15};

static int get_regs(const struct kvm_vcpu *c)
{
    struct kvm_regs r;
    const __u64 *gpr = &r.rax;
    int ret = REQUEST(c, KVM_GET_REGS, &r);

    if (ret < 0)
        return ret;
    for (unsigned n = 0; n < 16; n++)
        c->x->gpr[order[n]] = gpr[n];
    c->x->rip = r.rip;
    c->x->rflags = r.rflags;
    return 0;
}

static int put_regs(const struct kvm_vcpu *c)
{
    struct kvm_regs r = {.rip = c->x->rip, .rflags = c->x->rflags | 2};
    __u64 *gpr = &r.rax;

    for (unsigned n = 0; n < 16; n++)
        gpr[n] = c->x->gpr[order[n]];
    return REQUEST(c, KVM_SET_REGS, &r);
}

/* The kernel has the registers of the instruction while it waits for a port; the interpreter works on ours. */
void kvm_port_registers(const struct kvm_vcpu *c, bool back)
{
    if (c->fresh)
        return;
    if (back)
        put_regs(c);
    else
        get_regs(c);
}

/* ---- segments and control registers ---- */

static void from_segment(const struct kvm_segment *k, struct bp_x86_segment *s)
{
    *s = (struct bp_x86_segment){.selector = k->selector, .base = k->base, .limit = k->limit};
    s->attr = (uint16_t)(k->type | k->s << 4 | k->dpl << 5 | (k->present && !k->unusable) << 7 | k->avl << 12 |
                         k->l << 13 | k->db << 14 | k->g << 15);
}

static struct kvm_segment to_segment(const struct bp_x86_segment *s)
{
    return (struct kvm_segment){
        .base = s->base, .limit = s->limit, .selector = s->selector, .type = s->attr & 15, .s = s->attr >> 4 & 1,
        .dpl = s->attr >> 5 & 3, .present = s->attr >> 7 & 1, .avl = s->attr >> 12 & 1, .l = s->attr >> 13 & 1,
        .db = s->attr >> 14 & 1, .g = s->attr >> 15 & 1, .unusable = !(s->attr & BP_X86_SEG_P)};
}

static uint64_t apic_base(const struct bp_x86_cpu *x)
{
    return x->apic ? x->apic->get_base(x->apic_opaque) : 0xfee00000u | (x->is_bsp ? 0x100u : 0);
}

static struct kvm_segment *segment_at(struct kvm_sregs *k, unsigned n)
{
    struct kvm_segment *const all[] = {[BP_ES] = &k->es, [BP_CS] = &k->cs, [BP_SS] = &k->ss,
                                       [BP_DS] = &k->ds, [BP_FS] = &k->fs, [BP_GS] = &k->gs};

    return all[n];
}

static int get_sregs(struct kvm_vcpu *c)
{
    struct bp_x86_cpu *x = c->x;
    struct kvm_sregs k;
    int ret = REQUEST(c, KVM_GET_SREGS, &k);

    if (ret < 0)
        return ret;
    for (unsigned n = 0; n < 6; n++)
        from_segment(segment_at(&k, n), &x->seg[n]);
    from_segment(&k.ldt, &x->ldtr);
    from_segment(&k.tr, &x->tr);
    x->gdtr = (struct bp_x86_segment){.base = k.gdt.base, .limit = k.gdt.limit};
    x->idtr = (struct bp_x86_segment){.base = k.idt.base, .limit = k.idt.limit};
    x->cr0 = k.cr0;
    x->cr2 = k.cr2;
    x->cr3 = k.cr3;
    x->cr4 = k.cr4;
    x->efer = k.efer;
    return 0;
}

static int put_sregs(struct kvm_vcpu *c)
{
    const struct bp_x86_cpu *x = c->x;
    struct kvm_sregs k = {
        .ldt = to_segment(&x->ldtr), .tr = to_segment(&x->tr), .gdt = {x->gdtr.base, (uint16_t)x->gdtr.limit, {0}},
        .idt = {x->idtr.base, (uint16_t)x->idtr.limit, {0}}, .cr0 = x->cr0, .cr2 = x->cr2, .cr3 = x->cr3,
        .cr4 = x->cr4, .cr8 = x->apic ? x->apic->get_tpr(x->apic_opaque) : 0, .efer = x->efer,
        .apic_base = apic_base(x)};

    for (unsigned n = 0; n < 6; n++)
        *segment_at(&k, n) = to_segment(&x->seg[n]);
    if (!(x->cr0 & CR0_PE) || x->rflags & F_VM) { /* what is loaded in real mode is never absent */
        for (unsigned n = 0; n < 6; n++)
            segment_at(&k, n)->unusable = 0;
    }
    c->apic_base = k.apic_base;
    c->cr8 = (uint8_t)k.cr8;
    return REQUEST(c, KVM_SET_SREGS, &k);
}

/* ---- x87, SSE, and what XSAVE knows ---- */

#define XSAVE_HEADER 512u

static void get_legacy(struct bp_x86_cpu *x, const uint8_t *area)
{
    unsigned top;

    memcpy(&x->fcw, area, 2);
    memcpy(&x->fsw, area + 2, 2);
    x->fpu_valid = area[4];
    memcpy(&x->fop, area + 6, 2);
    memcpy(&x->fip, area + 8, 8);
    memcpy(&x->fdp, area + 16, 8);
    memcpy(&x->mxcsr, area + 24, 4);
    top = x->fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++) {
        struct bp_x86_st *st = &x->fpr[(top + n) & 7];

        memcpy(&st->mantissa, area + 32 + n * 16, 8);
        memcpy(&st->sign_exponent, area + 40 + n * 16, 2);
    }
    for (unsigned n = 0; n < 16; n++)
        memcpy(x->vec[n].b, area + 160 + n * 16, 16);
}

static void put_legacy(const struct bp_x86_cpu *x, uint8_t *area)
{
    unsigned top = x->fsw >> 11 & 7;

    memcpy(area, &x->fcw, 2);
    memcpy(area + 2, &x->fsw, 2);
    area[4] = x->fpu_valid;
    memcpy(area + 6, &x->fop, 2);
    memcpy(area + 8, &x->fip, 8);
    memcpy(area + 16, &x->fdp, 8);
    memcpy(area + 24, &x->mxcsr, 4);
    for (unsigned n = 0; n < 8; n++) {
        const struct bp_x86_st *st = &x->fpr[(top + n) & 7];

        memcpy(area + 32 + n * 16, &st->mantissa, 8);
        memcpy(area + 40 + n * 16, &st->sign_exponent, 2);
    }
    for (unsigned n = 0; n < 16; n++)
        memcpy(area + 160 + n * 16, x->vec[n].b, 16);
}

/* The components behind the legacy region, in the place where this processor has them. `get`: from the area; one
 * that is not in it is as after a reset. */
static void move_component(struct bp_x86_cpu *x, unsigned n, uint8_t *at, bool get, bool there)
{
    static const struct {
        uint8_t first, count, from, bytes;
    } vectors[] = {[2] = {0, 16, 16, 16}, [6] = {0, 16, 32, 32}, [7] = {16, 16, 0, 64}};
    uint8_t *pieces[16];
    unsigned count = 0, bytes = 0;

    if (n == 5) {
        pieces[0] = (uint8_t *)x->opmask;
        count = 1;
        bytes = sizeof(x->opmask);
    } else if (n == 9) {
        pieces[0] = (uint8_t *)&x->pkru;
        count = 1;
        bytes = sizeof(x->pkru);
    } else if (n == 2 || n == 6 || n == 7) {
        count = vectors[n].count;
        bytes = vectors[n].bytes;
        for (unsigned k = 0; k < count; k++)
            pieces[k] = x->vec[vectors[n].first + k].b + vectors[n].from;
    }
    for (unsigned k = 0; k < count; k++, at += bytes) {
        if (!get)
            memcpy(at, pieces[k], bytes);
        else if (there)
            memcpy(pieces[k], at, bytes);
        else
            memset(pieces[k], 0, bytes);
    }
}

static uint64_t guest_components(const struct kvm_vcpu *c)
{
    return (bp_x86_xcr0_valid(c->x) & c->m->components) | BP_X86_XS_X87 | BP_X86_XS_SSE;
}

static void move_components(struct kvm_vcpu *c, bool get, uint64_t there)
{
    uint64_t wanted = guest_components(c);

    for (unsigned n = 2; n < KVM_COMPONENTS; n++) {
        if (wanted >> n & 1 && c->m->component_size[n])
            move_component(c->x, n, (uint8_t *)c->xsave + c->m->component_offset[n], get, there >> n & 1);
    }
}

static int get_xsave(struct kvm_vcpu *c)
{
    uint64_t there;
    int ret = REQUEST(c, KVM_GET_XSAVE, c->xsave);

    if (ret < 0)
        return ret;
    memcpy(&there, (uint8_t *)c->xsave + XSAVE_HEADER, sizeof(there));
    if (!(there & BP_X86_XS_X87)) { /* as FNINIT leaves it */
        memset(c->xsave, 0, 24);
        memset((uint8_t *)c->xsave + 32, 0, 128);
        ((uint8_t *)c->xsave)[0] = 0x7f;
        ((uint8_t *)c->xsave)[1] = 0x03;
    }
    if (!(there & BP_X86_XS_SSE))
        memset((uint8_t *)c->xsave + 160, 0, 256);
    get_legacy(c->x, (uint8_t *)c->xsave);
    move_components(c, true, there);
    return 0;
}

static int put_xsave(struct kvm_vcpu *c)
{
    uint64_t there = guest_components(c);

    memset(c->xsave, 0, sizeof(*c->xsave));
    put_legacy(c->x, (uint8_t *)c->xsave);
    memcpy((uint8_t *)c->xsave + XSAVE_HEADER, &there, sizeof(there));
    move_components(c, false, there);
    return REQUEST(c, KVM_SET_XSAVE, c->xsave);
}

static int get_xcrs(struct kvm_vcpu *c)
{
    struct kvm_xcrs k = {0};
    int ret = 0;

    if (bp_x86_xcr0_valid(c->x) && (ret = REQUEST(c, KVM_GET_XCRS, &k)) == 0 && k.nr_xcrs > 0)
        c->x->xcr0 = k.xcrs[0].value;
    return ret;
}

static int put_xcrs(struct kvm_vcpu *c)
{
    struct kvm_xcrs k = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = c->x->xcr0}}};

    return bp_x86_xcr0_valid(c->x) ? REQUEST(c, KVM_SET_XCRS, &k) : 0;
}

/* ---- debug registers, and what is about to be delivered ---- */

static int get_debugregs(struct kvm_vcpu *c)
{
    struct kvm_debugregs k;
    int ret = REQUEST(c, KVM_GET_DEBUGREGS, &k);

    if (ret < 0)
        return ret;
    for (unsigned n = 0; n < 4; n++)
        c->x->dr[n] = k.db[n];
    c->x->dr[6] = k.dr6;
    c->x->dr[7] = k.dr7;
    return 0;
}

static int put_debugregs(struct kvm_vcpu *c)
{
    struct kvm_debugregs k = {.dr6 = c->x->dr[6], .dr7 = c->x->dr[7]};

    for (unsigned n = 0; n < 4; n++)
        k.db[n] = c->x->dr[n];
    return REQUEST(c, KVM_SET_DEBUGREGS, &k);
}

static int get_events(struct kvm_vcpu *c, int *ret_vector)
{
    struct bp_x86_cpu *x = c->x;
    struct kvm_vcpu_events e = {.flags = 0};
    int ret = REQUEST(c, KVM_GET_VCPU_EVENTS, &e);

    if (ret < 0)
        return ret;
    x->shadow = e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? 2 :
                e.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? 1 : 0;
    x->nmi_blocked = e.nmi.masked;
    if (e.nmi.injected || e.nmi.pending) { /* it is still to be taken */
        __atomic_fetch_or(&x->interrupts, BP_X86_INT_NMI, __ATOMIC_SEQ_CST);
        if (e.nmi.injected)
            x->nmi_blocked = 0;
    }
    *ret_vector = e.interrupt.injected && !e.interrupt.soft ? e.interrupt.nr : -1;
    return 0;
}

static int put_events(struct kvm_vcpu *c)
{
    const struct bp_x86_cpu *x = c->x;
    struct kvm_vcpu_events e = {
        .interrupt = {.shadow = x->shadow == 2 ? KVM_X86_SHADOW_INT_MOV_SS : x->shadow ? KVM_X86_SHADOW_INT_STI : 0},
        .nmi = {.masked = x->nmi_blocked}, .flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING};

    return REQUEST(c, KVM_SET_VCPU_EVENTS, &e);
}

/* ---- all of it ---- */

int kvm_get_state(struct kvm_vcpu *c)
{
    int vector = -1, ret;

    if ((ret = get_regs(c)) < 0 || (ret = get_sregs(c)) < 0 || (ret = get_xsave(c)) < 0 || (ret = get_xcrs(c)) < 0 ||
        (ret = get_debugregs(c)) < 0 || (ret = get_events(c, &vector)) < 0 || (ret = kvm_get_msrs(c)) < 0 ||
        (ret = kvm_get_lapic(c)) < 0)
        return ret;
    c->fresh = true;
    if (vector >= 0)
        kvm_soft_interrupt(c, (uint8_t)vector);
    return 0;
}

int kvm_put_state(struct kvm_vcpu *c)
{
    int ret;

    if ((ret = put_sregs(c)) < 0 || (ret = put_regs(c)) < 0 || (ret = put_xsave(c)) < 0 || (ret = put_xcrs(c)) < 0 ||
        (ret = kvm_put_msrs(c)) < 0 || (ret = put_debugregs(c)) < 0 || (ret = put_events(c)) < 0 ||
        (ret = kvm_put_lapic(c)) < 0)
        return ret;
    c->changed = false;
    c->can_inject = c->x->rflags & F_IF && !c->x->shadow && !c->x->lapic; /* its local APIC may not let it through */
    return 0;
}

void kvm_sync(struct kvm_vcpu *c)
{
    if (!c->fresh && !c->changed)
        kvm_get_state(c);
}
