/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: what a D-Bus peer says before it is one. Cut anywhere it comes to the same end; nobody begins who has
 * not proved who it is, and what lies behind BEGIN stays in the socket. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../../modules/ui/dbus/auth.c"

#include "fuzz.h"

static void drop_answers(int fd)
{
    char text[512];

    while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
        continue;
}

/* Returns how it ended, and how many bytes were left. */
static int talk(const uint8_t *data, size_t size, size_t step, int *ret_left)
{
    struct dbus_auth auth = {0};
    int pair[2], r = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        abort();
    for (size_t at = 0, n; r == 0 && at < size; at += n) {
        n = step < size - at ? step : size - at;
        if (write(pair[1], data + at, n) != (ssize_t)n)
            abort();
        r = dbus_auth_turn(&auth, pair[0]);
        if (r == 1 && !auth.proven)
            abort();
        drop_answers(pair[1]);
        *ret_left = (int)(size - at - n);
    }
    if (r == 1) {
        int left = 0;

        ioctl(pair[0], FIONREAD, &left);
        *ret_left += left;
    }
    close(pair[0]);
    close(pair[1]);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int left = 0, cut_left = 0, r, cut;

    if (size > 16384)
        return 0;
    r = talk(data, size, size ? size : 1, &left);
    cut = talk(data, size, 7, &cut_left);
    if (r != cut || (r == 1 && left != cut_left))
        abort();
    return 0;
}
