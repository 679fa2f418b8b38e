/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A monitor for people at the other end: keys go there as they are typed, its own editing and completion answer. Or one
 * line, and what it prints up to the next prompt. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "monitor.h"

#define LEAVE '\x1d' /* Ctrl-], as telnet has it */

static void relay(struct connection *c)
{
    struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};
    char bytes[4096];

    fwrite(c->text, 1, c->used, stdout);
    fflush(stdout);
    for (;;) {
        ssize_t n;

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[1].revents) {
            n = read(c->fd, bytes, sizeof(bytes));
            if (n <= 0)
                return;
            fwrite(bytes, 1, (size_t)n, stdout);
            fflush(stdout);
        }
        if (p[0].revents) {
            n = read(0, bytes, sizeof(bytes));
            if (n < 0 && errno == EINTR)
                continue;
            if (n > 0 && !memchr(bytes, LEAVE, (size_t)n)) {
                if (!connection_send(c, bytes, (size_t)n, -1))
                    return;
            } else if (n > 0 || isatty(0)) {
                return;
            } else {
                p[0].fd = -1; /* a file has ended: what is still coming is shown */
            }
        }
    }
}

/* Until the prompt stands at the end of what came. */
static enum status until_prompt(struct connection *c, int64_t deadline)
{
    static const char prompt[] = "(qemu) ";

    for (;;) {
        int r;

        if (c->used >= sizeof(prompt) - 1 && !memcmp(c->text + c->used - (sizeof(prompt) - 1), prompt,
                                                     sizeof(prompt) - 1))
            return STATUS_OK;
        r = connection_fill(c, deadline);
        if (r == 0)
            return complain(STATUS_TIMEOUT, "there is no answer");
        if (r < 0)
            return STATUS_CONNECTION;
    }
}

/* Without what the far end's editing echoed, and without the next prompt. */
static void print_answer(const char *text)
{
    const char *from = strchr(text, '\n'), *to;

    from = from ? from + 1 : text + strlen(text);
    to = from + strlen(from);
    if (to - from >= 7 && !strcmp(to - 7, "(qemu) "))
        to -= 7;
    for (; from < to; from++)
        if (*from != '\r')
            putchar(*from);
    fflush(stdout);
}

static enum status one_line(struct connection *c, char **words, unsigned count, int64_t patience)
{
    int64_t deadline = patience < 0 ? -1 : now_ms() + patience;
    enum status status = until_prompt(c, deadline);
    char *line = NULL;
    size_t size;
    FILE *f = open_memstream(&line, &size);

    for (unsigned i = 0; f && i < count; i++)
        fprintf(f, "%s%s", i ? " " : "", words[i]);
    if (f) {
        fputc('\r', f);
        fclose(f);
    }
    c->used = 0;
    if (status == STATUS_OK && !connection_send(c, line, size, -1))
        status = complain(STATUS_CONNECTION, "the connection is closed");
    else if (status == STATUS_OK)
        status = until_prompt(c, deadline);
    if (c->used)
        print_answer(c->text);
    if (status == STATUS_CONNECTION && !strcmp(words[0], "quit"))
        status = STATUS_OK;
    else if (status == STATUS_CONNECTION)
        complain(status, "the connection is closed");
    free(line);
    return status;
}

enum status human_run(struct connection *c, char **words, unsigned count, int64_t patience)
{
    struct termios before, raw;
    bool terminal = isatty(0) && tcgetattr(0, &before) == 0;

    if (count)
        return one_line(c, words, count, patience);
    if (terminal) {
        raw = before;
        cfmakeraw(&raw);
        tcsetattr(0, TCSADRAIN, &raw);
    }
    relay(c);
    if (terminal) {
        tcsetattr(0, TCSADRAIN, &before);
        puts("");
    }
    return STATUS_OK;
}
