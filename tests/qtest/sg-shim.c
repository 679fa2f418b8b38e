/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A SCSI device of the host for tests (LD_PRELOAD): the file that SG_SHIM_FILE names is a block device, or with
 * SG_SHIM_KIND=char one like /dev/sg0, which answers ioctl SG_IO. Its blocks are the file's; its type is SG_SHIM_TYPE;
 * its queue takes SG_SHIM_MAX bytes a command. What goes wrong stands in FILE.ctl, a line for each command: its code
 * and `errno N`, `host N`, `sense KEY CODE`, `descriptor KEY CODE LBA`, `short BYTES`, `status N` or `sleep MS`.
 * Commands are written down in FILE.log: code, direction, bytes, vectors, timeout.
 */
#undef _FILE_OFFSET_BITS /* fstat() and fstat64() are two names here */
#include <dlfcn.h>
#include <errno.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BLOCK 512u
#define ROOM (64u << 20)

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);

    return value ? strtoull(value, NULL, 0) : otherwise;
}

static int is_char(void)
{
    const char *kind = getenv("SG_SHIM_KIND");

    return kind && strcmp(kind, "char") == 0;
}

static int is_device(int fd)
{
    const char *file = getenv("SG_SHIM_FILE");
    char name[64], target[512];
    ssize_t n;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    n = file ? readlink(name, target, sizeof(target) - 1) : -1;
    if (n < 0)
        return 0;
    target[n] = 0;
    return strcmp(target, file) == 0;
}

/* ---- what it is ---- */
static int (*real_fstat(void))(int, struct stat *)
{
    return (int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat");
}

int fstat(int fd, struct stat *st)
{
    int ret = real_fstat()(fd, st);

    if (ret == 0 && is_device(fd)) {
        st->st_mode = (st->st_mode & 07777) | (is_char() ? S_IFCHR : S_IFBLK);
        st->st_rdev = makedev(is_char() ? 21 : 8, 0);
        if (is_char())
            st->st_size = 0;
    }
    return ret;
}

int fstat64(int fd, struct stat64 *st)
{
    return fstat(fd, (struct stat *)st); /* one and the same here */
}

static uint64_t length_of(int fd)
{
    struct stat st;

    return real_fstat()(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- commands ---- */
struct wrong {
    char what[16];
    unsigned a, b, c;
};

static void find_wrong(uint8_t opcode, struct wrong *w)
{
    char name[512];
    unsigned code;
    char line[128];
    FILE *f;

    memset(w, 0, sizeof(*w));
    snprintf(name, sizeof(name), "%s.ctl", getenv("SG_SHIM_FILE"));
    f = fopen(name, "r");
    while (f && fgets(line, sizeof(line), f)) {
        struct wrong v = {{0}, 0, 0, 0};

        if (sscanf(line, "%x %15s %x %x %x", &code, v.what, &v.a, &v.b, &v.c) >= 2 && code == opcode)
            *w = v;
    }
    if (f)
        fclose(f);
}

static void note(const struct sg_io_hdr *h)
{
    char name[512];
    FILE *f;

    snprintf(name, sizeof(name), "%s.log", getenv("SG_SHIM_FILE"));
    f = fopen(name, "a");
    if (!f)
        abort();
    fprintf(f, "%02x %s %u %u %u\n", h->cmdp[0],
            h->dxfer_direction == SG_DXFER_TO_DEV ? "out" : h->dxfer_direction == SG_DXFER_FROM_DEV ? "in" : "none",
            h->dxfer_len, h->iovec_count, h->timeout);
    fclose(f);
}

/* Between the command's memory and `data`. */
static unsigned move(const struct sg_io_hdr *h, uint8_t *data, unsigned bytes, int to_memory)
{
    const struct sg_iovec one = {h->dxferp, h->dxfer_len}, *v = h->iovec_count ? h->dxferp : &one;
    unsigned done = 0;

    for (unsigned i = 0; i < (h->iovec_count ? h->iovec_count : 1u) && done < bytes; i++) {
        unsigned n = v[i].iov_len < bytes - done ? (unsigned)v[i].iov_len : bytes - done;

        if (to_memory)
            memcpy(v[i].iov_base, data + done, n);
        else
            memcpy(data + done, v[i].iov_base, n);
        done += n;
    }
    return done;
}

static void put(uint8_t *d, uint64_t v, unsigned bytes)
{
    while (bytes--) {
        d[bytes] = (uint8_t)v;
        v >>= 8;
    }
}

static uint64_t get(const uint8_t *d, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | d[i];
    return v;
}

static void fail(struct sg_io_hdr *h, unsigned key, unsigned code)
{
    uint8_t sense[18] = {0x70, 0, (uint8_t)key, [7] = 10, [12] = (uint8_t)(code >> 8), [13] = (uint8_t)code};

    h->status = 2;
    h->driver_status = 8;
    h->sb_len_wr = h->mx_sb_len < sizeof(sense) ? h->mx_sb_len : sizeof(sense);
    memcpy(h->sbp, sense, h->sb_len_wr);
    h->resid = (int)h->dxfer_len;
}

static void fail_in_descriptors(struct sg_io_hdr *h, const struct wrong *w)
{
    /* information; where in the command (type 2); incorrect length (type 4); one of the vendor's, cut off */
    uint8_t sense[36] = {0x72, (uint8_t)w->a, (uint8_t)(w->b >> 8), (uint8_t)w->b, [7] = 28, 0, 10, 0x80,
                         [20] = 2, 6, [24] = 0xc0, [28] = 4, 2, 0, 0x20, 0x80, 8};

    put(sense + 12, w->c, 8);
    put(sense + 25, w->c, 2);
    fail(h, 0, 0);
    h->status = 0; /* as some drivers leave it */
    h->sb_len_wr = sizeof(sense);
    memcpy(h->sbp, sense, sizeof(sense));
}

static unsigned inquiry(const uint8_t *cdb, uint8_t *d)
{
    uint8_t type = (uint8_t)number("SG_SHIM_TYPE", 0);

    d[0] = type;
    if (!(cdb[1] & 1)) {
        d[1] = type == 5 || type == 1 ? 0x80 : 0;
        d[2] = 5;
        d[3] = 2;
        d[4] = 31;
        memcpy(d + 8, "SHIM    A device of host0001", 28);
        return 36;
    }
    d[1] = cdb[2];
    if (cdb[2] == 0) {
        memcpy(d + 4, "\x00\x80\x83\xb1", 4);
        if (getenv("SG_SHIM_LIMITS"))
            memcpy(d + 7, "\xb0\xb1", 2);
        d[3] = getenv("SG_SHIM_LIMITS") ? 5 : 4;
    } else if (cdb[2] == 0x80) {
        memcpy(d + 4, "shim-7", d[3] = 6);
    } else if (cdb[2] == 0xb0 && getenv("SG_SHIM_LIMITS")) {
        d[3] = 60;
        put(d + 8, number("SG_SHIM_LIMITS", 0), 4);
        put(d + 12, 65536, 4);
    } else if (cdb[2] == 0xb1) {
        d[3] = 60;
        d[5] = 1;
    } else if (cdb[2] != 0x83) {
        return 0;
    }
    return 4u + d[3];
}

static void answer(struct sg_io_hdr *h, uint8_t *d, unsigned bytes)
{
    unsigned n = bytes < h->dxfer_len ? bytes : h->dxfer_len;

    h->resid = (int)(h->dxfer_len - move(h, d, n, 1));
}

static void transfer(int fd, struct sg_io_hdr *h, uint8_t *d, int write)
{
    const uint8_t *cdb = h->cmdp;
    int is_long = cdb[0] >= 0x88;
    uint64_t at = is_long ? get(cdb + 2, 8) : get(cdb + 2, 4), count = is_long ? get(cdb + 10, 4) : get(cdb + 7, 2);
    unsigned block = number("SG_SHIM_TYPE", 0) == 5 ? 2048 : BLOCK, bytes = (unsigned)count * block;

    if ((at + count) * block > length_of(fd) || bytes > h->dxfer_len || bytes > ROOM) {
        fail(h, 5, 0x2100);
        return;
    }
    if (write) {
        (void)move(h, d, bytes, 0);
        if (pwrite(fd, d, bytes, (off_t)(at * block)) != (ssize_t)bytes)
            fail(h, 3, 0x0c00);
    } else if (pread(fd, d, bytes, (off_t)(at * block)) == (ssize_t)bytes) {
        answer(h, d, bytes);
    } else {
        fail(h, 3, 0x1100);
    }
}

static void carry_out(int fd, struct sg_io_hdr *h)
{
    static const uint8_t modes[4] = {3};
    uint8_t *d = calloc(1, ROOM);
    const uint8_t *cdb = h->cmdp;
    uint64_t blocks = length_of(fd) / (number("SG_SHIM_TYPE", 0) == 5 ? 2048 : BLOCK);
    unsigned n;

    if (!d)
        abort();
    switch (cdb[0]) {
    case 0x00: case 0x35: case 0x1b: case 0x1e: case 0x01:
        break;
    case 0x03:
        memcpy(d, "\x70\0\2\0\0\0\0\x0a\0\0\0\0\x3a\0\0\0\0", 18); /* its own: no medium */
        answer(h, d, 18);
        break;
    case 0x12:
        n = inquiry(cdb, d);
        if (n)
            answer(h, d, n);
        else
            fail(h, 5, 0x2400);
        break;
    case 0x1a: case 0x5a:
        memcpy(d, modes, sizeof(modes));
        answer(h, d, 4);
        break;
    case 0x25:
        put(d, blocks - 1, 4);
        put(d + 4, number("SG_SHIM_TYPE", 0) == 5 ? 2048 : BLOCK, 4);
        answer(h, d, 8);
        break;
    case 0x9e:
        put(d, blocks - 1, 8);
        put(d + 8, BLOCK, 4);
        answer(h, d, 32);
        break;
    case 0x28: case 0x88:
        transfer(fd, h, d, 0);
        break;
    case 0x2a: case 0x8a:
        transfer(fd, h, d, 1);
        break;
    case 0xc1: /* of the vendor's: what was written to it last comes back, turned over */
        n = move(h, d, h->dxfer_len, h->dxfer_direction == SG_DXFER_FROM_DEV ? 1 : 0);
        for (unsigned i = 0; i < n; i++)
            d[i] ^= 0xff;
        if (pwrite(fd, d, n, 0) != (ssize_t)n)
            fail(h, 3, 0x0c00);
        break;
    default:
        fail(h, 5, 0x2000);
    }
    free(d);
}

static int sg_io(int fd, struct sg_io_hdr *h)
{
    struct wrong w;

    note(h);
    find_wrong(h->cmdp[0], &w);
    if (strcmp(w.what, "errno") == 0) {
        errno = (int)w.a;
        return -1;
    }
    if (strcmp(w.what, "sleep") == 0)
        usleep(w.a * 1000);
    if (h->dxfer_len > number("SG_SHIM_MAX", 1 << 30)) {
        errno = EINVAL;
        return -1;
    }
    h->status = h->driver_status = h->sb_len_wr = 0;
    h->host_status = 0;
    h->resid = 0;
    if (strcmp(w.what, "host") == 0)
        h->host_status = (unsigned short)w.a;
    else if (strcmp(w.what, "sense") == 0)
        fail(h, w.a, w.b);
    else if (strcmp(w.what, "descriptor") == 0)
        fail_in_descriptors(h, &w);
    else if (strcmp(w.what, "status") == 0)
        h->status = (unsigned char)w.a;
    else
        carry_out(fd, h);
    if (strcmp(w.what, "short") == 0)
        h->resid = (int)(h->dxfer_len - w.a);
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    void *argument;
    va_list list;

    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    if (!is_device(fd))
        return real(fd, request, argument);
    switch (request) {
    case SG_IO:
        return sg_io(fd, argument);
    case SG_GET_VERSION_NUM:
        *(int *)argument = 30536;
        return 0;
    case BLKGETSIZE64:
        *(uint64_t *)argument = length_of(fd);
        return 0;
    case BLKSSZGET:
    case BLKPBSZGET:
        *(int *)argument = BLOCK;
        return 0;
    case BLKROGET:
        *(int *)argument = 0;
        return 0;
    case BLKSECTGET:
        if (is_char())
            *(unsigned *)argument = (unsigned)number("SG_SHIM_MAX", 0);
        else
            *(unsigned short *)argument = (unsigned short)(number("SG_SHIM_MAX", 0) / 512);
        return 0;
    default:
        errno = ENOTTY;
        return -1;
    }
}
