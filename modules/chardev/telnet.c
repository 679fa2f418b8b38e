/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Telnet as far as a console needs it (RFC 854): we offer to echo (RFC 857), to suppress go-ahead
 * (RFC 858) and 8 bits both ways (RFC 856), so that a client sends each key as it is pressed. Its
 * answers and all other options are read and ignored; BRK is a break.
 */
#include <string.h>

#include "socket.h"

enum { SE = 240, BRK = 243, SB = 250, WILL = 251, DONT = 254, IAC = 255, DO = 253 };
enum { BINARY = 0, ECHO = 1, SUPPRESS_GO_AHEAD = 3 };
enum { DATA, COMMAND, OPTION, SUB, SUB_IAC, AFTER_CR };

void telnet_start(struct telnet *t, struct bytes *to)
{
    static const uint8_t offer[] = {IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD,
                                    IAC, WILL, BINARY, IAC, DO, BINARY};

    memset(t, 0, sizeof(*t));
    bytes_put(to, offer, sizeof(offer));
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

void telnet_wrap(struct bytes *to, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        const uint8_t *iac = memchr(buf, IAC, len);
        size_t run = iac ? (size_t)(iac - buf) + 1 : len;

        bytes_put(to, buf, run);
        if (iac)
            bytes_put8(to, IAC);
        buf += run;
        len -= run;
    }
}
