/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-serial`: a terminal of the host (tty(4), termios(3)): a serial port, or anything else that is one.
 * Speed, parity, break and modem lines follow what the guest sets at its port. The terminal's modes are put back
 * at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <bp/file.h>

#include "stream.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

struct serial_state {
    struct stream stream;
    char *path;
    struct termios before;
};

static const struct {
    int speed;
    speed_t code;
} speeds[] = {
    {50, B50}, {75, B75}, {110, B110}, {134, B134}, {150, B150}, {200, B200}, {300, B300}, {600, B600},
    {1200, B1200}, {1800, B1800}, {2400, B2400}, {4800, B4800}, {9600, B9600}, {19200, B19200}, {38400, B38400},
    {57600, B57600}, {115200, B115200}, {230400, B230400}, {460800, B460800}, {500000, B500000},
    {576000, B576000}, {921600, B921600}, {1000000, B1000000}, {1152000, B1152000}, {1500000, B1500000},
    {2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000}, {3500000, B3500000}, {4000000, B4000000},
};

/* The nearest that there is: a guest's divisor does not hit them exactly. */
static speed_t speed_code(int speed)
{
    unsigned best = 0;

    for (unsigned i = 1; i < BP_COUNT(speeds); i++) {
        if (abs(speeds[i].speed - speed) < abs(speeds[best].speed - speed))
            best = i;
    }
    return speeds[best].code;
}

static int set_params(int fd, const struct bp_serial_params *p)
{
    static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    struct termios t;

    if (tcgetattr(fd, &t) < 0)
        return -errno;
    cfmakeraw(&t);
    t.c_iflag &= ~(tcflag_t)(IXANY | IXOFF);
    t.c_cflag &= ~(tcflag_t)(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS);
    t.c_cflag |= CREAD | CLOCAL | sizes[p->data_bits >= 5 && p->data_bits <= 8 ? p->data_bits - 5 : 3];
    if (p->parity == 'E' || p->parity == 'O')
        t.c_cflag |= PARENB | (p->parity == 'O' ? PARODD : 0);
    if (p->stop_bits == 2)
        t.c_cflag |= CSTOPB;
    cfsetspeed(&t, speed_code(p->speed));
    return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

static int serial_ioctl(struct bp_chardev *chr, enum bp_chardev_ioctl cmd, void *arg)
{
    int fd = ((struct serial_state *)chardev->state(chr))->stream.out;

    switch (cmd) {
    case BP_CHARDEV_SET_PARAMS:
        return set_params(fd, arg);
    case BP_CHARDEV_SET_BREAK: /* held until the guest lets go */
        return ioctl(fd, *(int *)arg ? TIOCSBRK : TIOCCBRK) < 0 ? -errno : 0;
    case BP_CHARDEV_GET_TIOCM:
        return ioctl(fd, TIOCMGET, arg) < 0 ? -errno : 0;
    case BP_CHARDEV_SET_TIOCM:
        return ioctl(fd, TIOCMSET, arg) < 0 ? -errno : 0;
    default:
        return -ENOTSUP;
    }
}

static int serial_open(struct bp_chardev *chr, struct bp_error *err)
{
    static const struct bp_serial_params first = {.size = sizeof(first), .speed = 115200, .parity = 'N',
                                                  .data_bits = 8, .stop_bits = 1};
    struct serial_state *state = chardev->state(chr);
    int fd;

    if (!state->path || !*state->path)
        return bp_fail(err, EINVAL, "chardev: serial: no device path given");
    fd = bp_open(state->path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0)
        return bp_fail(err, -fd, "Could not open '%s': %s", state->path, strerror(-fd));
    if (tcgetattr(fd, &state->before) < 0) {
        close(fd);
        return bp_fail(err, ENOTTY, "'%s' is no terminal", state->path);
    }
    set_params(fd, &first);
    stream_start(&state->stream, chardev, chr, fd, fd);
    chardev->opened(chr);
    return 0;
}

static void serial_close(struct bp_chardev *chr)
{
    struct serial_state *state = chardev->state(chr);

    if (state->stream.out >= 0)
        tcsetattr(state->stream.out, TCSANOW, &state->before);
    stream_stop(&state->stream);
}

static int serial_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    return stream_write(&((struct serial_state *)chardev->state(chr))->stream, buf, len);
}

static void serial_accept_input(struct bp_chardev *chr)
{
    stream_accept_input(&((struct serial_state *)chardev->state(chr))->stream);
}

static char *serial_filename(struct bp_chardev *chr)
{
    struct serial_state *state = chardev->state(chr);
    char *text = NULL;

    return asprintf(&text, "serial:%s", state->path) < 0 ? NULL : text;
}

static const struct bp_field props[] = {
    BP_PROP("path", STRING, struct serial_state, path, NULL, "terminal of the host, as /dev/ttyS0"), BP_FIELDS_END};
BP_CHARDEV(serial_class, "serial", "Serial port or other terminal of the host", struct serial_state, props,
           .open = serial_open, .close = serial_close, .write = serial_write, .accept_input = serial_accept_input,
           .ioctl = serial_ioctl, .filename = serial_filename);
BP_MODULE("chardev-serial", "Serial ports of the host as a character device", imports,
          {BP_PROVIDE_OTHER, &serial_class});
