/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program whose time goes into one function, for a profiler; it says when it begins and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile unsigned sink;

__attribute__((noinline, noclone)) void spinning(unsigned rounds)
{
    for (unsigned n = 0; n < rounds; n++)
        sink += n;
}

__attribute__((noinline, noclone)) void resting(unsigned rounds)
{
    for (unsigned n = 0; n < rounds; n++)
        sink -= n;
}

__attribute__((noinline, noclone)) void working(void)
{
    spinning(97000);
    resting(3000);
    sink++;
}

int main(int argc, char **argv)
{
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);

    while (time(NULL) < end)
        working();
    puts("it has worked");
    return 0;
}
