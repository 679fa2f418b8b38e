/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For a profiler: a loop that takes nearly all the time, one that takes a little, and who calls them; with frame
 * pointers. */
#pragma GCC optimize("no-omit-frame-pointer", "no-ipa-icf", "no-ipa-cp", "no-ipa-ra")
#include "small.h"

/* A frame also where nothing is called, and no call that is a jump. */
#define FRAME __asm__ volatile("" : : "r"(__builtin_frame_address(0)) : "memory")

__attribute__((noinline, noclone)) void hot_loop(uint32_t rounds)
{
    for (uint32_t n = 0; n < rounds; n++)
        __asm__ volatile("imull $3, %%eax, %%eax" : : : "eax");
    FRAME;
}

__attribute__((noinline, noclone)) void cold_loop(uint32_t rounds)
{
    for (uint32_t n = 0; n < rounds; n++)
        __asm__ volatile("imull $5, %%eax, %%eax" : : : "eax");
    FRAME;
}

__attribute__((noinline, noclone)) void in_turn(void)
{
    hot_loop(97000);
    cold_loop(3000);
    FRAME;
}

void kmain(void)
{
    uint64_t end = rdtsc() + 8ull * 1000 * 1000 * 1000; /* eight seconds or so */

    while (rdtsc() < end)
        in_turn();
    power_off();
}
