/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Telnet as far as a console needs it (RFC 854): we offer to echo (RFC 857), to suppress go-ahead
 * (RFC 858) and 8 bits both ways (RFC 856), so that a client sends each key as it is pressed. Its
 * answers and all other options are read and ignored; BRK is a break.
 */
#include <errno.h>
#include <string.h>

#include "socket.h"

enum { SE = 240, BRK = 243, SB = 250, WILL = 251, DONT = 254, IAC = 255, DO = 253 };
enum { BINARY = 0, ECHO = 1, SUPPRESS_GO_AHEAD = 3 };
enum { DATA, COMMAND, OPTION, SUB, SUB_IAC, AFTER_CR };

void telnet_start(struct telnet *t)
{
    static const uint8_t offer[] = {IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD,
                                    IAC, WILL, BINARY, IAC, DO, BINARY};

    memset(t, 0, sizeof(*t));
    memcpy(t->out, offer, sizeof(offer));
    t->out_len = sizeof(offer);
}

/* The byte after IAC; true: it is data. */
static bool command_byte(struct telnet *t, uint8_t c, void (*on_break)(void *opaque), void *opaque)
{
    t->state = DATA;
    if (c == IAC)
        return true;
    if (c >= WILL && c <= DONT)
        t->state = OPTION;
    else if (c == SB)
        t->state = SUB;
    else if (c == BRK)
        on_break(opaque);
    return false;
}

size_t telnet_input(struct telnet *t, uint8_t *buf, size_t len, void (*on_break)(void *opaque),
                    void *opaque)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = buf[i];
        bool data = false;

        switch (t->state) {
        case AFTER_CR: /* the network's end of line is CR NUL or CR LF: one key */
            t->state = DATA;
            if (c == 0 || c == '\n')
                break;
            /* fall through */
        case DATA:
            if (c == IAC) {
                t->state = COMMAND;
            } else {
                data = true;
                if (c == '\r')
                    t->state = AFTER_CR;
            }
            break;
        case COMMAND:
            data = command_byte(t, c, on_break, opaque);
            break;
        case OPTION:
            t->state = DATA;
            break;
        case SUB:
            if (c == IAC)
                t->state = SUB_IAC;
            break;
        case SUB_IAC:
            t->state = c == SE ? DATA : SUB;
            break;
        }
        if (data)
            buf[kept++] = c;
    }
    return kept;
}

static ssize_t send_some(int fd, const uint8_t *buf, size_t len)
{
    ssize_t n;

    do
        n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* -EAGAIN while something of our own is left. */
static int send_own(struct telnet *t, int fd)
{
    while (t->out_len > 0) {
        ssize_t n = send_some(fd, t->out, t->out_len);

        if (n < 0)
            return (int)n;
        t->out_len -= (unsigned)n;
        memmove(t->out, t->out + n, t->out_len);
    }
    return 0;
}

ssize_t telnet_send(struct telnet *t, int fd, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len || t->out_len > 0) {
        const uint8_t *iac;
        size_t run;
        ssize_t n = send_own(t, fd);

        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        if (done == len)
            break;
        iac = memchr(buf + done, IAC, len - done);
        run = iac ? (size_t)(iac - buf) - done : len - done;
        if (run > 0) {
            n = send_some(fd, buf + done, run);
            if (n < 0)
                return done > 0 ? (ssize_t)done : n;
            done += (size_t)n;
        } else {
            t->out[0] = t->out[1] = IAC;
            t->out_len = 2;
            done++;
        }
    }
    return (ssize_t)done;
}
