/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID's feature bits that the software accelerators execute: a processor never announces others, and
 * what a processor does not announce raises #UD. Intel SDM volume 2 (CPUID); AMD APM volume 3, appendix E.
 */
#include "vcpu.h"

#define B(n) (1u << (n))

const uint32_t x86_executed_features[BP_X86_FW_COUNT] = {
    /* fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 */
    [BP_X86_FW_1_EDX] = B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(12) | B(13) |
                        B(14) | B(15) | B(16) | B(17) | B(19) | B(23) | B(24) | B(25) | B(26),
    /* pni pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c
     * rdrand hypervisor */
    [BP_X86_FW_1_ECX] = B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(21) | B(22) | B(23) | B(24) |
                        B(25) | B(26) | B(28) | B(29) | B(30) | B(31),
    /* fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm rdseed adx smap clflushopt clwb sha-ni; transactions abort
     * as they begin */
    [BP_X86_FW_7_EBX] = B(0) | B(3) | B(4) | B(5) | B(7) | B(8) | B(9) | B(10) | B(11) | B(18) |
                        B(19) | B(20) | B(23) | B(24) | B(29),
    /* umip pku vaes vpclmulqdq la57 rdpid */
    [BP_X86_FW_7_ECX] = B(2) | B(3) | B(9) | B(10) | B(16) | B(22),
    /* fsrm */
    [BP_X86_FW_7_EDX] = B(4),
    /* syscall nx pdpe1gb rdtscp lm */
    [BP_X86_FW_80000001_EDX] = B(11) | B(20) | B(26) | B(27) | B(29),
    /* lahf-lm abm 3dnowprefetch topoext */
    [BP_X86_FW_80000001_ECX] = B(0) | B(5) | B(8) | B(22),
    /* invtsc */
    [BP_X86_FW_80000007_EDX] = B(8),
    /* wbnoinvd xsaveerptr */
    [BP_X86_FW_80000008_EBX] = B(2) | B(9),
    /* xsaveopt xsavec xgetbv1 xsaves */
    [BP_X86_FW_D1_EAX] = B(0) | B(1) | B(2) | B(3),
    /* arat */
    [BP_X86_FW_6_EAX] = B(2),
};
