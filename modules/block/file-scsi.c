/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCSI commands to devices of the host: ioctl SG_IO of <scsi/sg.h>, version 3 of struct sg_io_hdr, which block
 * devices (/dev/sd*, /dev/sr*) and character devices (/dev/sg*) take. sg(4), Linux's SCSI Generic HOWTO.
 */
#include <errno.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "file.h"

#define VERSION 30000    /* the first with struct sg_io_hdr */
#define MAX_VECTORS 1024 /* of the kernel's, UIO_MAXIOV */
#define DRIVER_SENSE 8   /* of driver_status: there are sense data */

bool file_is_generic(int fd)
{
    struct stat st;
    int version = 0;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && ioctl(fd, SG_GET_VERSION_NUM, &version) == 0 &&
           version >= VERSION;
}

/* Of a request queue of the host; BLKSECTGET counts sectors of block devices, and bytes of others. */
static uint64_t max_transfer(int fd)
{
    unsigned short sectors = 0;
    unsigned bytes = 0;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return 0;
    if (S_ISBLK(st.st_mode))
        return ioctl(fd, BLKSECTGET, &sectors) == 0 ? 512ull * sectors : 0;
    return ioctl(fd, BLKSECTGET, &bytes) == 0 ? bytes : 0;
}

static void gather(const struct iovec *iov, unsigned count, uint8_t *data, uint64_t bytes, bool back)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < count && done < bytes; i++) {
        size_t n = iov[i].iov_len < bytes - done ? iov[i].iov_len : (size_t)(bytes - done);

        if (back)
            memcpy(iov[i].iov_base, data + done, n);
        else
            memcpy(data + done, iov[i].iov_base, n);
        done += n;
    }
}

static int send(int fd, struct sg_io_hdr *h)
{
    int ret;

    do {
        ret = ioctl(fd, SG_IO, h);
    } while (ret < 0 && errno == EINTR);
    return ret < 0 ? errno == ENOTTY ? -ENOTSUP : -errno : 0;
}

static void take_answer(struct bp_block_scsi *c, const struct sg_io_hdr *h)
{
    bool has_sense = h->sb_len_wr > 0 && ((h->driver_status & 15) == DRIVER_SENSE || h->status == 2);

    c->status = h->status;
    if (has_sense && h->status == 0)
        c->status = 2; /* CHECK CONDITION, which some drivers leave unsaid */
    c->host_status = h->host_status;
    c->sense_length = !has_sense ? 0 : h->sb_len_wr < BP_BLOCK_SENSE_MAX ? h->sb_len_wr : BP_BLOCK_SENSE_MAX;
    c->moved = h->resid > 0 ? (uint64_t)h->resid < c->bytes ? c->bytes - (uint64_t)h->resid : 0 : c->bytes;
}

int file_scsi_carry_out(int fd, struct bp_block_scsi *c)
{
    uint8_t *bounce = NULL;
    struct sg_io_hdr h = {.interface_id = 'S', .cmd_len = (unsigned char)c->cdb_length, .cmdp = c->cdb,
                          .mx_sb_len = BP_BLOCK_SENSE_MAX, .sbp = c->sense, .timeout = c->timeout,
                          .dxfer_direction = SG_DXFER_NONE};
    int ret;

    c->status = 0;
    c->host_status = 0;
    c->sense_length = 0;
    c->moved = 0;
    c->max_transfer = max_transfer(fd);
    if (c->cdb_length == 0 || c->cdb_length > sizeof(c->cdb) || c->bytes > INT32_MAX)
        return -EINVAL;
    if (c->bytes) {
        h.dxfer_direction = c->to_device ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;
        h.dxfer_len = (unsigned)c->bytes;
    }
    if (c->bytes && c->iov_count == 1) {
        h.dxferp = c->iov[0].iov_base;
    } else if (c->bytes && c->iov_count <= MAX_VECTORS) { /* struct sg_iovec is struct iovec */
        h.dxferp = (void *)(uintptr_t)c->iov;
        h.iovec_count = (unsigned short)c->iov_count;
    } else if (c->bytes) {
        bounce = calloc(1, (size_t)c->bytes);
        if (!bounce)
            return -ENOMEM;
        if (c->to_device)
            gather(c->iov, c->iov_count, bounce, c->bytes, false);
        h.dxferp = bounce;
    }
    ret = send(fd, &h);
    if (ret == 0)
        take_answer(c, &h);
    if (ret == 0 && bounce && !c->to_device)
        gather(c->iov, c->iov_count, bounce, c->moved, true);
    free(bounce);
    return ret;
}
