/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * To be preloaded: the file CDROM_SHIM/drive is a CD drive of the host, as Linux shows one. What is in the file is on
 * the disc. CDROM_SHIM/status is the drive's state (CDS_... of linux/cdrom.h, a digit), which moving the tray changes;
 * a file "changed" there says once that the disc is another; one named "stuck" keeps the tray from moving; with "slow"
 * each answer takes a while. What is asked of the drive is written down in "log". As in Linux, the length of the disc
 * is what it was when the drive was opened last.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int locked;       /* the door; atomic */
static int64_t length;   /* bytes of the disc as the kernel knows it; atomic */
static int direct;       /* opened with O_DIRECT last; atomic */

static void in_folder(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", getenv("CDROM_SHIM"), name);
}

static int use(const char *name, int flags, const char *text)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    char path[256];
    int fd;

    in_folder(path, name);
    fd = real(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0 && text && write(fd, text, strlen(text)) < 0)
        abort();
    return fd;
}

static void note(const char *text)
{
    close(use("log", O_WRONLY | O_CREAT | O_APPEND, text));
}

static int get_status(void)
{
    int fd = use("status", O_RDONLY, NULL);
    char digit = '0';

    if (fd < 0 || read(fd, &digit, 1) != 1)
        digit = '0';
    close(fd);
    return digit - '0';
}

static void set_status(int status)
{
    close(use("status", O_WRONLY, (char[]){(char)('0' + status), '\0'}));
}

/* Something can be read: also of a drive that does not say. */
static int readable(void)
{
    int status = get_status();

    return status == CDS_DISC_OK || status == CDS_NO_INFO;
}

static int real_stat(int fd, const char *path, struct stat *st)
{
    int (*real)(int, const char *, struct stat *, int) =
        (int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat");

    return fd >= 0 ? real(fd, "", st, AT_EMPTY_PATH) : real(AT_FDCWD, path, st, 0);
}

static int is_drive(const struct stat *st)
{
    struct stat drive;
    char path[256];

    in_folder(path, "drive");
    return real_stat(-1, path, &drive) == 0 && drive.st_ino == st->st_ino && drive.st_dev == st->st_dev;
}

static int is_drives(int fd)
{
    struct stat st;

    return fd >= 0 && real_stat(fd, NULL, &st) == 0 && is_drive(&st);
}

static int as_device(int ret, struct stat *st)
{
    if (ret == 0 && is_drive(st))
        st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
    return ret;
}

int stat(const char *path, struct stat *st)
{
    return as_device(real_stat(-1, path, st), st);
}

int fstat(int fd, struct stat *st)
{
    return as_device(real_stat(fd, NULL, st), st);
}

int stat64(const char *path, struct stat64 *st)
{
    return stat(path, (struct stat *)st);
}

int fstat64(int fd, struct stat64 *st)
{
    return fstat(fd, (struct stat *)st);
}

int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list list;
    unsigned mode;
    struct stat st;
    int fd;

    va_start(list, flags);
    mode = va_arg(list, unsigned);
    va_end(list);
    fd = real(path, flags & ~O_DIRECT, mode);
    if (!is_drives(fd)) {
        if (flags & O_DIRECT) {
            close(fd);
            fd = real(path, flags, mode);
        }
        return fd;
    }
    __atomic_store_n(&direct, (flags & O_DIRECT) != 0, __ATOMIC_RELEASE);
    if (flags & O_DIRECT)
        note("direct\n");
    if (!(flags & O_NONBLOCK) && !readable()) {
        close(fd);
        errno = ENOMEDIUM;
        return -1;
    }
    if ((flags & O_ACCMODE) != O_RDONLY) {
        close(fd);
        errno = EROFS;
        return -1;
    }
    real_stat(fd, NULL, &st);
    __atomic_store_n(&length, readable() ? st.st_size : 0, __ATOMIC_RELEASE);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    unsigned mode;

    va_start(list, flags);
    mode = va_arg(list, unsigned);
    va_end(list);
    return open(path, flags, mode);
}

/* A sector, or several, to memory that the drive can write to. */
static int fits_direct(const struct iovec *iov, int count, off_t at)
{
    for (int i = 0; i < count; i++)
        if ((uintptr_t)iov[i].iov_base % 512 || iov[i].iov_len % CD_FRAMESIZE)
            return 0;
    return at % CD_FRAMESIZE == 0;
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
    ssize_t (*real)(int, const struct iovec *, int, off_t) =
        (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "preadv");
    struct iovec first;

    if (is_drives(fd) && !readable()) {
        note("read of nothing\n");
        errno = EIO;
        return -1;
    }
    if (!is_drives(fd) || count < 1)
        return real(fd, iov, count, at);
    if (__atomic_load_n(&direct, __ATOMIC_ACQUIRE) && !fits_direct(iov, count, at)) {
        errno = EINVAL;
        return -1;
    }
    first = iov[0]; /* reads may be short: these are */
    if (first.iov_len > CD_FRAMESIZE)
        first.iov_len = CD_FRAMESIZE;
    return real(fd, &first, 1, at);
}

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t at)
{
    return preadv(fd, iov, count, at);
}

static int move(const char *what, int stuck, int status)
{
    note(what);
    if (stuck || locked) {
        errno = EBUSY;
        return -1;
    }
    set_status(status);
    return 0;
}

static int was_changed(void)
{
    char path[256];

    in_folder(path, "changed");
    return unlink(path) == 0;
}

static int of_drive(int fd, unsigned long request, unsigned long argument)
{
    int stuck = use("stuck", O_RDONLY, NULL), slow = use("slow", O_RDONLY, NULL);
    struct stat st;

    close(stuck);
    close(slow);
    if (slow >= 0)
        usleep(300000);
    switch (request) {
    case CDROM_DRIVE_STATUS:
        return get_status();
    case CDROM_MEDIA_CHANGED:
        return was_changed();
    case CDROMEJECT:
        return move("eject\n", stuck >= 0, CDS_TRAY_OPEN);
    case CDROMCLOSETRAY:
        real_stat(fd, NULL, &st);
        return move("close\n", stuck >= 0, st.st_size ? CDS_DISC_OK : CDS_NO_DISC);
    case CDROM_LOCKDOOR:
        note(argument ? "lock\n" : "unlock\n");
        locked = argument != 0;
        return 0;
    case BLKGETSIZE64:
        *(uint64_t *)argument = (uint64_t)__atomic_load_n(&length, __ATOMIC_ACQUIRE);
        return 0;
    case BLKSSZGET:
        *(int *)argument = CD_FRAMESIZE;
        return 0;
    default:
        errno = ENOTTY;
        return -1;
    }
}

int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    unsigned long argument;
    va_list list;

    va_start(list, request);
    argument = va_arg(list, unsigned long);
    va_end(list);
    return is_drives(fd) ? of_drive(fd, request, argument) : real(fd, request, argument);
}
