/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-parallel`: a parallel port of the host, by Linux's ppdev (Documentation "parport", linux/ppdev.h;
 * registers and signals: IEEE 1284). A port of the guest's drives its lines register by register; an EPP cycle is one
 * read or write. Bytes of other front ends go out with the port's own handshake. Interrupts of the host's port do not
 * reach the guest: its drivers poll.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/parport.h>
#include <linux/ppdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bp/file.h>
#include <bp/host/chardev.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

struct parallel_state {
    char *path;
    int fd; /* valid while open */
    bool open;
};

static int ask(int fd, unsigned long request, void *arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

/* One cycle of address or data. -ETIMEDOUT: nobody answered. */
static int epp(int fd, bool address, bool out, uint8_t *byte)
{
    int mode = IEEE1284_MODE_EPP | (address ? IEEE1284_ADDR : IEEE1284_DATA), compatible = IEEE1284_MODE_COMPAT;
    int r = ask(fd, PPSETMODE, &mode);
    ssize_t n;

    if (r < 0)
        return r;
    n = out ? write(fd, byte, 1) : read(fd, byte, 1);
    ask(fd, PPSETMODE, &compatible);
    return n == 1 ? 0 : -ETIMEDOUT;
}

static int parallel_ioctl(struct bp_chardev *chr, enum bp_chardev_ioctl cmd, void *arg)
{
    int fd = ((struct parallel_state *)chardev->state(chr))->fd;

    switch (cmd) {
    case BP_CHARDEV_PP_READ_DATA: return ask(fd, PPRDATA, arg);
    case BP_CHARDEV_PP_WRITE_DATA: return ask(fd, PPWDATA, arg);
    case BP_CHARDEV_PP_READ_STATUS: return ask(fd, PPRSTATUS, arg);
    case BP_CHARDEV_PP_WRITE_CONTROL: return ask(fd, PPWCONTROL, arg);
    case BP_CHARDEV_PP_SET_INPUT: return ask(fd, PPDATADIR, arg);
    case BP_CHARDEV_EPP_READ_ADDRESS: return epp(fd, true, false, arg);
    case BP_CHARDEV_EPP_WRITE_ADDRESS: return epp(fd, true, true, arg);
    case BP_CHARDEV_EPP_READ_DATA: return epp(fd, false, false, arg);
    case BP_CHARDEV_EPP_WRITE_DATA: return epp(fd, false, true, arg);
    default: return -ENOTSUP;
    }
}

static int parallel_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct parallel_state *state = chardev->state(chr);
    int fd, r;

    if (!state->path || !*state->path)
        return bp_fail(err, EINVAL, "chardev: parallel: no device path given");
    fd = bp_open(state->path, O_RDWR | O_NONBLOCK, 0);
    if (fd < 0)
        return bp_fail(err, -fd, "Could not open '%s': %s", state->path, strerror(-fd));
    /* Alone: to claim what somebody else has would wait until he lets it go. */
    r = ask(fd, PPEXCL, NULL);
    if (r == 0)
        r = ask(fd, PPCLAIM, NULL);
    if (r < 0) {
        close(fd);
        if (r == -ENOTTY || r == -EINVAL)
            return bp_fail(err, ENOTTY, "'%s' is no parallel port: expected /dev/parportN of module ppdev",
                           state->path);
        return bp_fail(err, -r, "the parallel port '%s' cannot be claimed, somebody else has it (the driver of "
                                "printers, lp?): %s", state->path, strerror(-r));
    }
    state->fd = fd;
    state->open = true;
    chardev->opened(chr);
    return 0;
}

static void parallel_close(struct bp_chardev *chr)
{
    struct parallel_state *state = chardev->state(chr);

    if (!state->open)
        return;
    ask(state->fd, PPRELEASE, NULL);
    close(state->fd);
    state->open = false;
}

static int parallel_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    ssize_t n = write(((struct parallel_state *)chardev->state(chr))->fd, buf, len);

    return n >= 0 ? (int)n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static char *parallel_filename(struct bp_chardev *chr)
{
    struct parallel_state *state = chardev->state(chr);
    char *text = NULL;

    return asprintf(&text, "parallel:%s", state->path) < 0 ? NULL : text;
}

static const struct bp_field props[] = {
    BP_PROP("path", STRING, struct parallel_state, path, NULL, "parallel port of the host, as /dev/parport0"),
    BP_FIELDS_END};
BP_CHARDEV(parallel_class, "parallel", "Parallel port of the host", struct parallel_state, props,
           .open = parallel_open, .close = parallel_close, .write = parallel_write, .ioctl = parallel_ioctl,
           .filename = parallel_filename);
BP_MODULE("chardev-parallel", "Parallel ports of the host as a character device", imports,
          {BP_PROVIDE_OTHER, &parallel_class});
