/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The multiplexer: several front ends on one back end. The escape character (Ctrl-a, or -echr)
 * followed by a letter is a command to the multiplexer; anything else goes to the front end that
 * has the keyboard. All front ends may write at any time.
 */
#include <bp/clock.h>
#include <bp/command.h>
#include <bp/coroutine.h>
#include <bp/run.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"

static uint8_t escape = 0x01; /* one for the process, set by -echr before any chardev is made */

static const char *escape_name(char buf[8])
{
    if (escape >= 1 && escape <= 26)
        snprintf(buf, 8, "C-%c", 'a' + escape - 1);
    else
        snprintf(buf, 8, "0x%02x", escape);
    return buf;
}

int mux_set_escape(const char *text, struct bp_error *err)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 0);
    if (errno || end == text || *end || n > 255)
        return bp_fail(err, EINVAL, "'%s' is not a character code (0 to 255)", text);
    escape = (uint8_t)n;
    return 0;
}

const char *mux_leave_hint(struct bp_chardev *chr)
{
    static char hint[128];
    char name[8];

    if (!chr->mux || !chr->terminal)
        return NULL;
    escape_name(name);
    snprintf(hint, sizeof(hint),
             "%s x leaves, %s c switches between console and monitor, %s h helps", name, name,
             name);
    return hint;
}

void mux_set_focus(struct bp_chardev *chr, int focus)
{
    if (chr->focus >= 0)
        front_event(chr->fronts[chr->focus], BP_CHARDEV_MUX_OUT);
    chr->focus = focus;
    if (focus >= 0)
        front_event(chr->fronts[focus], BP_CHARDEV_MUX_IN);
}

static void focus_next(struct bp_chardev *chr)
{
    int next = chr->focus;

    do
        next = (next + 1) % FRONTS;
    while (next != chr->focus && !chr->fronts[next]);
    mux_set_focus(chr, next);
}

static void say(struct bp_chardev *chr, const char *text)
{
    out_write(chr, (const uint8_t *)text, strlen(text));
}

static void print_help(struct bp_chardev *chr)
{
    static const struct {
        const char *key, *text;
    } lines[] = {
        {"h", "print this help"},
        {"x", "exit emulator"},
        {"s", "save disk data back to file (if -snapshot)"},
        {"t", "toggle console timestamps"},
        {"b", "send break (magic sysrq)"},
        {"c", "switch between console and monitor"},
    };
    char line[80], name[8];

    escape_name(name);
    say(chr, "\r\n");
    for (unsigned i = 0; i < BP_COUNT(lines); i++) {
        snprintf(line, sizeof(line), "%s %s    %s\r\n", name, lines[i].key, lines[i].text);
        say(chr, line);
    }
    snprintf(line, sizeof(line), "%s %s  sends %s\r\n", name, name, name);
    say(chr, line);
}

/* A coroutine, as it takes as long as the disks do; the character device may go meanwhile. */
static void save_main(void *opaque)
{
    char *id = opaque, *text = bp_monitor_execute("commit all");
    struct bp_chardev *chr = chardev_find(id);

    if (chr)
        chr->saving = false;
    if (chr && text && *text) {
        say(chr, "\r\n");
        say(chr, text);
    }
    free(text);
    free(id);
}

/* What -snapshot keeps apart goes into the images; what there is to say about it is said here. */
static void save_disks(struct bp_chardev *chr)
{
    struct bp_error err = {0};
    struct bp_co *co;
    char *id;

    if (chr->saving)
        return;
    id = bp_strdup(chr->id);
    if (bp_co_new(NULL, bp_context_main(NULL), "mux save", save_main, id, &co, &err) < 0) {
        say(chr, "\r\n");
        say(chr, err.message);
        free(id);
        return;
    }
    chr->saving = true;
    bp_co_wake(co);
    bp_co_unref(co);
}

/* The letter after the escape character. true: it is input. */
static bool command(struct bp_chardev *chr, uint8_t c)
{
    if (c == escape)
        return true;
    switch (c) {
    case 'h':
    case '?':
        print_help(chr);
        break;
    case 'x':
        say(chr, "\r\nBackplane: Terminated\r\n");
        bp_machine_request_exit(NULL, 0);
        break;
    case 'b':
        back_break(chr);
        break;
    case 'c':
        focus_next(chr);
        break;
    case 't':
        chr->stamps = !chr->stamps;
        chr->stamps_since = -1;
        chr->midline = false;
        break;
    case 's':
        save_disks(chr);
        break;
    default:
        break;
    }
    return false;
}

void mux_input(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (chr->escaped) {
            chr->escaped = false;
            if (!command(chr, buf[i]))
                continue;
        } else if (buf[i] == escape && escape != 0) {
            chr->escaped = true;
            continue;
        }
        front_queue(chr, &buf[i], 1);
    }
    front_deliver(chr);
}

static void write_stamp(struct bp_chardev *chr)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME) / 1000000, ms;
    char text[32];

    if (chr->stamps_since < 0)
        chr->stamps_since = now;
    ms = now - chr->stamps_since;
    snprintf(text, sizeof(text), "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000),
             (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
    say(chr, text);
}

size_t mux_write_stamped(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        const uint8_t *newline = memchr(buf + done, '\n', len - done);
        size_t n = newline ? (size_t)(newline - buf) + 1 - done : len - done, taken;

        if (!chr->midline)
            write_stamp(chr);
        taken = out_write(chr, buf + done, n);
        done += taken;
        chr->midline = !(newline && taken == n);
        if (taken < n)
            break;
    }
    return done;
}
