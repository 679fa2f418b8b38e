/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The features that the host's comparisons give their vCPU. Intel SDM volume 2 (CPUID). */
#include "native-compare.h"
#include "vcpu.h"

#include <cpuid.h>

/* What the host has, of what is compared: others raise #UD on both sides. */
void guest_features(uint32_t *words)
{
    uint32_t a, b, c, d;

    words[BP_X86_FW_1_ECX] = 1u | 1u << 13; /* SSE3, CMPXCHG16B */
    words[BP_X86_FW_80000001_ECX] = 1;      /* LAHF */
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return;
    }
    words[BP_X86_FW_1_ECX] |= c & x86_executed_features[BP_X86_FW_1_ECX];
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        words[BP_X86_FW_7_EBX] = b & x86_executed_features[BP_X86_FW_7_EBX];
        words[BP_X86_FW_7_ECX] = c & x86_executed_features[BP_X86_FW_7_ECX] & (3u << 9); /* VAES, VPCLMULQDQ */
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        words[BP_X86_FW_80000001_ECX] |= c & 1u << 5; /* LZCNT */
    }
}
