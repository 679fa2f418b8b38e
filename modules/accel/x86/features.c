/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID's feature bits that the software accelerators execute: a processor never announces others, and
 * what a processor does not announce raises #UD. Intel SDM volume 2 (CPUID); AMD APM volume 3, appendix E.
 */
#include "vcpu.h"

const uint32_t x86_executed_features[BP_X86_FW_COUNT] = {
    [BP_X86_FW_1_EDX] = 1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 |
                        1u << 8 | 1u << 9 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15 |
                        1u << 16 | 1u << 17 | 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26,
    [BP_X86_FW_1_ECX] =
        1u << 0 | 1u << 13 | 1u << 31 | 1u << 21 | 1u << 17 | 1u << 24 | 1u << 23 | 1u << 22,
    [BP_X86_FW_7_EBX] =
        1u << 0 | 1u << 7 | 1u << 20 | 1u << 10 | 1u << 9 | 1u << 3 | 1u << 8 | 1u << 19,
    [BP_X86_FW_80000001_EDX] = 1u << 11 | 1u << 20 | 1u << 29 | 1u << 27 | 1u << 26,
    [BP_X86_FW_80000001_ECX] = 1u << 0 | 1u << 5 | 1u << 8 | 1u << 22,
    [BP_X86_FW_80000007_EDX] = 1u << 8,
    [BP_X86_FW_6_EAX] = 1u << 2,
};

