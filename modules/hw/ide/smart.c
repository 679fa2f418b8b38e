// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SMART and the logs (ATA8-ACS 7.53, 7.27, annex A): attributes that a healthy disk has, the error log
 * (empty), the self-test log, the log of queued commands' errors. Self-tests end at once. Left out: captive
 * mode's long waits, host vendor logs, temperature.
 */
#include <string.h>

#include "ide.h"

enum { LOG_DIRECTORY = 0, LOG_ERRORS = 1, LOG_EXTENDED_ERRORS = 3, LOG_TESTS = 6, LOG_EXTENDED_TESTS = 7,
       LOG_QUEUE = 0x10 };

static void put16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static void checksum(uint8_t *out)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 511; i++)
        sum = (uint8_t)(sum + out[i]);
    out[511] = (uint8_t)-sum;
}

/* Identifier, flags, value, worst, threshold; raw values are 0 but for the count of starts. */
static const struct attribute {
    uint8_t id, flags, value, threshold, raw;
} attributes[] = {{1, 0x0b, 100, 6, 0}, {3, 0x03, 100, 0, 16}, {4, 0x02, 100, 20, 1}, {5, 0x03, 100, 36, 0},
                  {9, 0x03, 100, 0, 1}, {12, 0x03, 100, 0, 1}, {190, 0x03, 69, 50, 31}};

static void attribute_data(const struct ide_drive *s, uint8_t *out)
{
    put16(out, 1);
    for (size_t i = 0; i < BP_COUNT(attributes); i++) {
        uint8_t *a = out + 2 + 12 * i;

        a[0] = attributes[i].id;
        a[1] = attributes[i].flags;
        a[3] = a[4] = attributes[i].value;
        a[5] = attributes[i].raw;
    }
    out[362] = (uint8_t)(0x02 | (s->smart_autosave ? 0x80 : 0)); /* off-line collection has completed */
    out[363] = s->smart_tests ? s->tests[s->smart_tests - 1].status : 0;
    out[364] = 1; /* seconds of an off-line collection */
    out[367] = 0x1b; /* off-line at once, self-tests */
    out[368] = 3;    /* attributes are saved */
    out[370] = 1;    /* logs */
    out[372] = 1;    /* minutes of the short self-test */
    out[373] = 1;    /* and of the extended one */
}

static void thresholds(uint8_t *out)
{
    put16(out, 1);
    for (size_t i = 0; i < BP_COUNT(attributes); i++) {
        out[2 + 12 * i] = attributes[i].id;
        out[3 + 12 * i] = attributes[i].threshold;
    }
}

/* Newest last, 21 places in a ring of which `index` is the last used. */
static void test_log(const struct ide_drive *s, uint8_t *out)
{
    put16(out, 1);
    for (unsigned i = 0; i < s->smart_tests; i++) {
        uint8_t *entry = out + 2 + 24 * i;

        entry[0] = s->tests[i].kind;
        entry[1] = s->tests[i].status;
        put16(entry + 2, s->tests[i].hours);
    }
    out[508] = s->smart_tests;
}

static void run_test(struct ide_drive *s, uint8_t kind)
{
    if (s->smart_tests == BP_COUNT(s->tests)) {
        memmove(s->tests, s->tests + 1, sizeof(s->tests) - sizeof(s->tests[0]));
        s->smart_tests--;
    }
    s->tests[s->smart_tests++] = (struct smart_test){kind, 0, 1};
}

static void reply(struct ide_drive *s, uint32_t length)
{
    s->dma = false;
    s->per_block = 1;
    s->task = TASK_REPLY;
    ide_offer(s, length);
}

static void directory(uint8_t *out, bool general)
{
    put16(out, 1);
    put16(out + 2 * LOG_ERRORS, general ? 0 : 1);
    put16(out + 2 * LOG_TESTS, general ? 0 : 1);
    put16(out + 2 * LOG_EXTENDED_ERRORS, general ? 1 : 0);
    put16(out + 2 * LOG_EXTENDED_TESTS, general ? 1 : 0);
    put16(out + 2 * LOG_QUEUE, general ? 1 : 0);
}

static bool smart_log(struct ide_drive *s, uint8_t log, uint8_t *out)
{
    switch (log) {
    case LOG_DIRECTORY: directory(out, false); return true;
    case LOG_ERRORS: out[0] = 1; break;
    case LOG_TESTS: test_log(s, out); break;
    default: return false;
    }
    checksum(out);
    return true;
}

static void smart_read_log(struct ide_drive *s)
{
    ide_need_data(s);
    memset(s->data, 0, SECTOR);
    if (s->regs.count != 1 || !smart_log(s, s->regs.low, s->data))
        ide_fail(s, ERROR_ABORT);
    else
        reply(s, SECTOR);
}

static void off_line(struct ide_drive *s)
{
    uint8_t kind = s->regs.low;

    switch (kind & 0x7f) {
    case 0: break; /* collection */
    case 1: case 2: run_test(s, kind); break;
    case 0x7f:
        if (kind != 0x7f) {
            ide_fail(s, ERROR_ABORT);
            return;
        }
        break; /* nothing runs that could be aborted */
    default: ide_fail(s, ERROR_ABORT); return;
    }
    ide_end(s);
}

void ide_smart(struct ide_drive *s)
{
    uint8_t what = s->regs.feature;

    if (s->regs.mid != 0x4f || s->regs.high != 0xc2 || (!s->smart && what != 0xd8)) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    switch (what) {
    case 0xd0: case 0xd1:
        ide_need_data(s);
        memset(s->data, 0, SECTOR);
        if (what == 0xd0)
            attribute_data(s, s->data);
        else
            thresholds(s->data);
        checksum(s->data);
        reply(s, SECTOR);
        return;
    case 0xd2:
        if (s->regs.count != 0 && s->regs.count != 0xf1) {
            ide_fail(s, ERROR_ABORT);
            return;
        }
        s->smart_autosave = s->regs.count != 0;
        break;
    case 0xd3: break; /* save attributes */
    case 0xd4: off_line(s); return;
    case 0xd5: smart_read_log(s); return;
    case 0xd8: s->smart = true; break;
    case 0xd9: s->smart = false; break;
    case 0xda: break; /* mid and high stay: no threshold exceeded */
    default: ide_fail(s, ERROR_ABORT); return;
    }
    ide_end(s);
}

/* READ LOG EXT: log address in LBA 7:0, page in LBA 39:32 and 15:8. */
void ide_read_log(struct ide_drive *s)
{
    uint32_t count = (uint32_t)s->regs.hob_count << 8 | s->regs.count;
    bool first = s->regs.mid == 0 && s->regs.hob_mid == 0;

    ide_need_data(s);
    memset(s->data, 0, SECTOR);
    if (count != 1 || !first) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    switch (s->regs.low) {
    case LOG_DIRECTORY: directory(s->data, true); break;
    case LOG_EXTENDED_ERRORS:
        s->data[0] = 1;
        checksum(s->data);
        break;
    case LOG_EXTENDED_TESTS:
        s->data[0] = 1;
        for (unsigned i = 0; i < s->smart_tests && i < 19; i++) {
            s->data[4 + 26 * i] = s->tests[i].kind;
            s->data[5 + 26 * i] = s->tests[i].status;
            put16(s->data + 6 + 26 * i, s->tests[i].hours);
        }
        put16(s->data + 2, s->smart_tests < 19 ? s->smart_tests : 19);
        checksum(s->data);
        break;
    case LOG_QUEUE:
        if (!ide_serial(s)) {
            ide_fail(s, ERROR_ABORT);
            return;
        }
        memcpy(s->data, s->queue_log, SECTOR);
        checksum(s->data);
        s->queue_failed = false;
        break;
    default: ide_fail(s, ERROR_ABORT); return;
    }
    reply(s, SECTOR);
}
