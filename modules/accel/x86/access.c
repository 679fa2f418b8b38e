/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory accesses of insn.h, for the floating-point half: segment, paging and TLB in one call. */
#include "vcpu.h"
#include <string.h>

uint64_t insn_offset(struct vcpu *v, const struct insn *i)
{
    (void)v;
    return ea_offset(i);
}

#define ACCESS(N) \
    uint##N##_t mem_load##N(struct vcpu *v, unsigned seg, uint64_t offset) \
    { \
        return load##N(v, seg_linear(v, seg, offset, N / 8, false), seg); \
    } \
    void mem_store##N(struct vcpu *v, unsigned seg, uint64_t offset, uint##N##_t value) \
    { \
        store##N(v, seg_linear(v, seg, offset, N / 8, true), value, seg); \
    }
ACCESS(8)
ACCESS(16)
ACCESS(32)
ACCESS(64)

static uint64_t wrapped(const struct vcpu *v, uint64_t lin)
{
    return v->long64 ? lin : (uint32_t)lin;
}

/* Long operands that reach into non-canonical addresses fault before any page of theirs does. */
static void check_end(struct vcpu *v, unsigned seg, uint64_t lin, unsigned len)
{
    if (v->long64 && !is_canonical(v, lin + len - 1))
        raise_exception_code(v, seg == BP_SS ? EXC_SS : EXC_GP, 0);
}

void mem_load(struct vcpu *v, unsigned seg, uint64_t offset, void *buf, unsigned len)
{
    uint64_t lin = seg_linear(v, seg, offset, len, false);
    unsigned at = 0;

    check_end(v, seg, lin, len);
    for (; at + 8 <= len; at += 8) {
        uint64_t value = load64(v, wrapped(v, lin + at), seg);

        memcpy((uint8_t *)buf + at, &value, 8);
    }
    for (; at + 4 <= len; at += 4) {
        uint32_t value = load32(v, wrapped(v, lin + at), seg);

        memcpy((uint8_t *)buf + at, &value, 4);
    }
    for (; at < len; at++)
        ((uint8_t *)buf)[at] = load8(v, wrapped(v, lin + at), seg);
}

void mem_store(struct vcpu *v, unsigned seg, uint64_t offset, const void *buf, unsigned len)
{
    uint64_t lin = seg_linear(v, seg, offset, len, true);
    unsigned at = 0;

    check_end(v, seg, lin, len);
    if ((lin ^ (lin + len - 1)) & ~(uint64_t)0xfff) {
        probe_write(v, lin, 1, seg);
        probe_write(v, wrapped(v, lin + len - 1), 1, seg);
    }
    for (; at + 8 <= len; at += 8) {
        uint64_t value;

        memcpy(&value, (const uint8_t *)buf + at, 8);
        store64(v, wrapped(v, lin + at), value, seg);
    }
    for (; at + 4 <= len; at += 4) {
        uint32_t value;

        memcpy(&value, (const uint8_t *)buf + at, 4);
        store32(v, wrapped(v, lin + at), value, seg);
    }
    for (; at < len; at++)
        store8(v, wrapped(v, lin + at), ((const uint8_t *)buf)[at], seg);
}
