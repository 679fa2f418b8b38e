/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `chardev-file`: output into a file, input (if any) from another. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <bp/file.h>

#include "stream.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

struct file_state {
    struct stream stream;
    char *path, *input_path;
    bool append;
};

static int file_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct file_state *state = chardev->state(chr);
    int in = -1, out;

    if (!state->path || !*state->path)
        return bp_fail(err, EINVAL, "chardev: file: no filename given");
    out = bp_open(state->path, O_WRONLY | O_CREAT | O_NONBLOCK | (state->append ? O_APPEND : O_TRUNC), 0666);
    if (out < 0)
        return bp_fail(err, -out, "Could not open '%s': %s", state->path, strerror(-out));
    if (state->input_path) {
        in = bp_open(state->input_path, O_RDONLY | O_NONBLOCK, 0);
        if (in < 0) {
            close(out);
            return bp_fail(err, -in, "Could not open '%s': %s", state->input_path, strerror(-in));
        }
    }
    stream_start(&state->stream, chardev, chr, in, out);
    chardev->opened(chr);
    return 0;
}

static void file_close(struct bp_chardev *chr)
{
    stream_stop(&((struct file_state *)chardev->state(chr))->stream);
}

static int file_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    return stream_write(&((struct file_state *)chardev->state(chr))->stream, buf, len);
}

static void file_accept_input(struct bp_chardev *chr)
{
    stream_accept_input(&((struct file_state *)chardev->state(chr))->stream);
}

static const struct bp_field props[] = {
    BP_PROP("path", STRING, struct file_state, path, NULL, "file that output goes into"),
    BP_PROP("input-path", STRING, struct file_state, input_path, NULL,
            "file that input comes from"),
    BP_PROP("append", BOOL, struct file_state, append, "off", "keep what the file holds"),
    BP_FIELDS_END};
BP_CHARDEV(file_class, "file", "Output into a file", struct file_state, props,
           .open = file_open, .close = file_close, .write = file_write,
           .accept_input = file_accept_input);
BP_MODULE("chardev-file", "Files as a character device", imports,
          {BP_PROVIDE_OTHER, &file_class});
