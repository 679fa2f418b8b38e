/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What scripts read: sizes, what a request did, dumps. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "io.h"

const char *size_text(double v, char *buf, size_t room)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;

    while (v >= 1024 && unit + 1 < BP_COUNT(units)) {
        v /= 1024;
        unit++;
    }
    if (v == (double)(uint64_t)v)
        snprintf(buf, room, "%" PRIu64 " %s", (uint64_t)v, units[unit]);
    else
        snprintf(buf, room, unit ? "%.3f %s" : "%f %s", v, units[unit]);
    return buf;
}

void report(const char *verb, uint64_t offset, uint64_t total, int64_t begin, bool machine)
{
    int64_t ns = bp_clock_ns(BP_CLOCK_REALTIME) - begin, hundredths = ns / 10000000;
    double seconds = (double)(ns > 0 ? ns : 1) / 1e9;
    unsigned part = (unsigned)(hundredths % 100), s = (unsigned)(hundredths / 100);
    char time[48], size[48], rate[48];

    if (s >= 60 || machine)
        snprintf(time, sizeof(time), "%u:%02u:%02u.%02u", s / 3600, s / 60 % 60, s % 60, part);
    else
        snprintf(time, sizeof(time), "%02u.%02u sec", s, part);
    if (machine)
        printf("%" PRIu64 ",1,%s,%.3f,%.3f\n", total, time, (double)total / seconds, 1 / seconds);
    else
        printf("%s %" PRIu64 "/%" PRIu64 " bytes at offset %" PRIu64
               "\n%s, 1 ops; %s (%s/sec and %.4f ops/sec)\n",
               verb, total, total, offset, size_text((double)total, size, sizeof(size)), time,
               size_text((double)total / seconds, rate, sizeof(rate)), 1 / seconds);
}

void dump(const uint8_t *data, uint64_t offset, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += 16) {
        uint64_t n = bytes - at < 16 ? bytes - at : 16;

        printf("%08" PRIx64 ":  ", offset + at);
        for (uint64_t i = 0; i < n; i++)
            printf("%02x ", data[at + i]);
        putchar(' ');
        for (uint64_t i = 0; i < n; i++)
            putchar(isalnum(data[at + i]) ? data[at + i] : '.');
        putchar('\n');
    }
}
