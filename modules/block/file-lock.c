/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks on image files: for each permission there are two bytes of the file, which need not exist. Whoever
 * uses the permission holds a shared lock on the first; whoever does not let others use it, on the second.
 * A conflict is somebody else's lock on the other byte. So any number may read, and two that both let
 * others write may write. Open-file-description locks (fcntl(2)): they go with the process, however it ends. The
 * offsets are those that other programs which open the same images are seen to use (/proc/locks).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define USED 100
#define DENIED 200
#define PERMISSIONS 5

static int set_lock(int fd, int type, off_t at)
{
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Does somebody else hold a lock there? */
static bool is_locked(int fd, off_t at)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* mode: 0 auto, 1 on, 2 off */
int locks_open(struct file_locks *locks, const char *name, int fd, int mode, struct bp_error *err)
{
    char path[64];
    int ret;

    locks->fd = -1;
    locks->name = name;
    locks->need = 0;
    locks->shared = BP_BLOCK_PERM_ALL;
    if (mode == 2)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    locks->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ret = locks->fd < 0 ? -errno : set_lock(locks->fd, F_RDLCK, USED);
    if (ret == 0) {
        set_lock(locks->fd, F_UNLCK, USED);
        return 0;
    }
    locks_close(locks);
    if (mode == 0)
        return 0; /* a file system without locks */
    return bp_fail(err, -ret, "locking=on: '%s' cannot be locked: %s", name, strerror(-ret));
}

void locks_close(struct file_locks *locks)
{
    if (locks->fd >= 0)
        close(locks->fd);
    locks->fd = -1;
}

/* ---- who has it ---- */

static bool has_lock(const char *pid, const char *fd, const char *inode)
{
    char path[320], line[256];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.32s/fdinfo/%.32s", pid, fd);
    f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof(line), f))
        found = strncmp(line, "lock:", 5) == 0 && strstr(line, inode);
    if (f)
        fclose(f);
    return found;
}

static bool process_has(const char *pid, const char *inode, int except)
{
    char path[300], own[16];
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
    snprintf(own, sizeof(own), "%d", except);
    dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && !found; e = readdir(dir))
        found = isdigit((unsigned char)e->d_name[0]) &&
                !(except >= 0 && strcmp(e->d_name, own) == 0) && has_lock(pid, e->d_name, inode);
    if (dir)
        closedir(dir);
    return found;
}

/* Writes "process 1234 (name)" of the first that holds a lock on the file, as far as we may see. */
static void find_holder(const struct file_locks *locks, char *buf, size_t size)
{
    char inode[40], path[300], comm[64] = "", self[16];
    struct stat st;
    DIR *dir;

    snprintf(buf, size, "another process");
    if (fstat(locks->fd, &st) < 0)
        return;
    snprintf(inode, sizeof(inode), ":%llu ", (unsigned long long)st.st_ino);
    snprintf(self, sizeof(self), "%ld", (long)getpid());
    dir = opendir("/proc");
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        bool me = strcmp(e->d_name, self) == 0;
        FILE *f;

        if (!isdigit((unsigned char)e->d_name[0]) ||
            !process_has(e->d_name, inode, me ? locks->fd : -1))
            continue;
        if (me) {
            snprintf(buf, size, "another node of this process");
            break;
        }
        snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
        f = fopen(path, "re");
        if (f && fgets(comm, sizeof(comm), f))
            comm[strcspn(comm, "\n")] = '\0';
        if (f)
            fclose(f);
        snprintf(buf, size, "process %.20s (%s)", e->d_name, comm);
        break;
    }
    if (dir)
        closedir(dir);
}

static int in_use(const struct file_locks *locks, int permission, bool wants, struct bp_error *err)
{
    static const char *const names[] = {"consistent read", "write", "write unchanged", "resize", "graph"};
    char who[128];

    find_holder(locks, who, sizeof(who));
    return bp_fail(err, EAGAIN, "cannot get %s \"%s\" lock of '%s': %s %s it; to start from the same "
                   "image twice use -snapshot in both, or an overlay for each", wants ? "the" : "a shared",
                   names[permission], locks->name, who, wants ? "does not share" : "uses");
}

/* ---- changes ---- */

static int take_new(struct file_locks *locks)
{
    int ret = 0;

    for (int i = 0; ret == 0 && i < PERMISSIONS; i++) {
        uint32_t bit = 1u << i;

        if (locks->new_need & bit)
            ret = set_lock(locks->fd, F_RDLCK, USED + i);
        if (ret == 0 && !(locks->new_shared & bit))
            ret = set_lock(locks->fd, F_RDLCK, DENIED + i);
    }
    return ret;
}

static void give_back(struct file_locks *locks)
{
    for (int i = 0; i < PERMISSIONS; i++) {
        uint32_t bit = 1u << i;

        if (!(locks->need & bit))
            set_lock(locks->fd, F_UNLCK, USED + i);
        if (locks->shared & bit)
            set_lock(locks->fd, F_UNLCK, DENIED + i);
    }
}

int locks_prepare(struct file_locks *locks, uint32_t need, uint32_t shared, struct bp_error *err)
{
    int ret;

    locks->new_need = need;
    locks->new_shared = need ? shared : BP_BLOCK_PERM_ALL; /* unused: nobody is kept out */
    if (locks->fd < 0)
        return 0;
    ret = take_new(locks);
    if (ret < 0)
        bp_fail(err, -ret, "'%s' cannot be locked: %s", locks->name, strerror(-ret));
    for (int i = 0; ret == 0 && i < PERMISSIONS; i++) {
        if (locks->new_need & 1u << i && is_locked(locks->fd, DENIED + i))
            ret = in_use(locks, i, true, err);
        else if (!(locks->new_shared & 1u << i) && is_locked(locks->fd, USED + i))
            ret = in_use(locks, i, false, err);
    }
    if (ret < 0)
        give_back(locks);
    return ret;
}

void locks_commit(struct file_locks *locks)
{
    locks->need = locks->new_need;
    locks->shared = locks->new_shared;
    if (locks->fd >= 0)
        give_back(locks);
}

void locks_abort(struct file_locks *locks)
{
    if (locks->fd >= 0)
        give_back(locks);
}
