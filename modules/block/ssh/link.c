/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection to an SSH server and a file there by SFTP version 3 (draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL,
 * 4.9: fsync@openssh.com), through libssh. What the user's ~/.ssh/config says is not looked at. A connection that broke
 * is not made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <bp/log.h>

#include "ssh.h"

#define READ_PIECE 131072u /* bytes asked for at once; servers may answer with fewer */
#define WRITE_PIECE 32768u /* bytes that every server takes */

/* ---- an answer that does not come ---- */

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void *watch(void *opaque)
{
    struct ssh_link *l = opaque;

    pthread_mutex_lock(&l->watch_lock);
    while (!l->stop) {
        struct timespec until = {l->deadline / 1000000000, l->deadline % 1000000000};

        if (l->deadline == 0) {
            pthread_cond_wait(&l->watch_cond, &l->watch_lock);
        } else if (now() < l->deadline) {
            pthread_cond_timedwait(&l->watch_cond, &l->watch_lock, &until);
        } else {
            l->late = true;
            l->deadline = 0;
            if (l->fd >= 0)
                shutdown(l->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&l->watch_lock);
    return NULL;
}

static bool start_watcher(struct ssh_link *l)
{
    l->watched = bp_thread_start(&l->watcher, "ssh", watch, l) == 0;
    return l->watched;
}

static void expect(struct ssh_link *l, bool on)
{
    pthread_mutex_lock(&l->watch_lock);
    l->deadline = on && l->timeout ? now() + (int64_t)l->timeout * 1000000000 : 0;
    pthread_cond_signal(&l->watch_cond);
    pthread_mutex_unlock(&l->watch_lock);
}

static void set_fd(struct ssh_link *l, int fd)
{
    pthread_mutex_lock(&l->watch_lock);
    l->fd = fd;
    pthread_mutex_unlock(&l->watch_lock);
}

static bool was_late(struct ssh_link *l)
{
    bool late;

    pthread_mutex_lock(&l->watch_lock);
    late = l->late;
    pthread_mutex_unlock(&l->watch_lock);
    return late;
}

void link_init(struct ssh_link *l)
{
    pthread_condattr_t attr;

    l->fd = -1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->watch_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->watch_cond, &attr);
    pthread_condattr_destroy(&attr);
}

void link_free(struct ssh_link *l)
{
    if (l->fd >= 0 && (l->lost || !l->file))
        shutdown(l->fd, SHUT_RDWR); /* no answers are waited for */
    expect(l, true);
    if (l->file)
        sftp_close(l->file);
    sftp_free(l->sftp);
    set_fd(l, -1);
    if (l->session) {
        ssh_disconnect(l->session);
        ssh_free(l->session);
    }
    if (l->watched) {
        pthread_mutex_lock(&l->watch_lock);
        l->stop = true;
        pthread_cond_signal(&l->watch_cond);
        pthread_mutex_unlock(&l->watch_lock);
        pthread_join(l->watcher, NULL);
    }
    pthread_cond_destroy(&l->watch_cond);
    pthread_mutex_destroy(&l->watch_lock);
    pthread_mutex_destroy(&l->lock);
    place_free(&l->place);
}

/* ---- words ---- */

struct words {
    char text[200];
};

/* What libssh says; some of it comes from the server. */
static struct words said(struct ssh_link *l)
{
    const char *from = ssh_get_error(l->session);
    struct words w = {""};

    for (size_t i = 0; from && from[i] && i < sizeof(w.text) - 1; i++)
        w.text[i] = (unsigned char)from[i] < 32 || (unsigned char)from[i] > 126 ? '?' : from[i];
    if (was_late(l))
        snprintf(w.text, sizeof(w.text), "the server did not answer within %llu s", (unsigned long long)l->timeout);
    else if (!w.text[0])
        snprintf(w.text, sizeof(w.text), "the server closed it");
    return w;
}

static const char *status_words(int status)
{
    switch (status) {
    case SSH_FX_NO_SUCH_FILE:
    case SSH_FX_NO_SUCH_PATH: return "no such file";
    case SSH_FX_PERMISSION_DENIED: return "permission denied";
    case SSH_FX_OP_UNSUPPORTED: return "the server cannot do that";
    case SSH_FX_WRITE_PROTECT: return "it is write-protected";
    default: return "the server refuses, and does not say why";
    }
}

static int status_error(int status)
{
    switch (status) {
    case SSH_FX_NO_SUCH_FILE:
    case SSH_FX_NO_SUCH_PATH: return -ENOENT;
    case SSH_FX_PERMISSION_DENIED: return -EACCES;
    case SSH_FX_WRITE_PROTECT: return -EROFS;
    case SSH_FX_OP_UNSUPPORTED: return -ENOTSUP;
    default: return -EIO;
    }
}

static bool is_broken(struct ssh_link *l)
{
    int status = sftp_get_error(l->sftp);

    return was_late(l) || !ssh_is_connected(l->session) || ssh_channel_is_eof(l->sftp->channel) ||
           ssh_channel_is_closed(l->sftp->channel) || status == SSH_FX_BAD_MESSAGE ||
           status == SSH_FX_NO_CONNECTION || status == SSH_FX_CONNECTION_LOST;
}

/* ---- to the server ---- */

static int set_options(struct ssh_link *l, struct bp_error *err)
{
    const char *home = getenv("HOME");
    bool config = false;
    long seconds = l->timeout ? (long)l->timeout : 3600;
    char folder[4200];
    int r = 0;

    l->session = ssh_new();
    if (!l->session)
        return bp_fail(err, ENOMEM, "ssh: libssh does not start");
    r |= ssh_options_set(l->session, SSH_OPTIONS_PROCESS_CONFIG, &config);
    r |= ssh_options_set(l->session, SSH_OPTIONS_HOST, l->place.host);
    r |= ssh_options_set(l->session, SSH_OPTIONS_PORT, &l->place.port);
    r |= ssh_options_set(l->session, SSH_OPTIONS_TIMEOUT, &seconds);
    if (l->place.user)
        r |= ssh_options_set(l->session, SSH_OPTIONS_USER, l->place.user);
    /* Where known_hosts is. */
    if (home && *home == '/' && strlen(home) < 4096) {
        snprintf(folder, sizeof(folder), "%s/.ssh", home);
        r |= ssh_options_set(l->session, SSH_OPTIONS_SSH_DIR, folder);
    }
    return r == 0 ? 0 : bp_fail(err, EINVAL, "ssh: libssh does not take where to go: %s", said(l).text);
}

static int check_hash(struct ssh_link *l, struct bp_error *err)
{
    static const char *const names[] = {[SSH_PUBLICKEY_HASH_SHA1] = "sha1", [SSH_PUBLICKEY_HASH_MD5] = "md5",
                                        [SSH_PUBLICKEY_HASH_SHA256] = "sha256"};
    struct ssh_place *p = &l->place;
    unsigned char *hash = NULL;
    ssh_key key = NULL;
    size_t length = 0;
    char text[3 * MAX_KEY_HASH + 1] = "";
    int ret = 0;

    if (ssh_get_server_publickey(l->session, &key) != SSH_OK ||
        ssh_get_publickey_hash(key, p->hash_type, &hash, &length) != 0)
        ret = bp_fail(err, EACCES, "ssh: %s: the server's host key cannot be hashed by %s: %s", p->host,
                      names[p->hash_type], said(l).text);
    for (size_t i = 0; ret == 0 && i < length && i < MAX_KEY_HASH; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    if (ret == 0 && (length != p->hash_length || memcmp(hash, p->hash, length) != 0))
        ret = bp_fail(err, EACCES, "ssh: %s: the server's host key is another one than host_key_check says: its is "
                      "%s:%s", p->host, names[p->hash_type], text);
    ssh_clean_pubkey_hash(&hash);
    ssh_key_free(key);
    return ret;
}

static int check_key(struct ssh_link *l, struct bp_error *err)
{
    const char *host = l->place.host;

    if (l->place.check == KEY_ANY)
        return 0;
    if (l->place.check == KEY_HASH)
        return check_hash(l, err);
    switch (ssh_session_is_known_server(l->session)) {
    case SSH_KNOWN_HOSTS_OK: return 0;
    case SSH_KNOWN_HOSTS_CHANGED:
        return bp_fail(err, EACCES, "ssh: %s: the server's host key is not the one in known_hosts: it has a new key, "
                       "or it is another server", host);
    case SSH_KNOWN_HOSTS_OTHER:
        return bp_fail(err, EACCES, "ssh: %s: known_hosts has a host key of another kind for the server", host);
    case SSH_KNOWN_HOSTS_NOT_FOUND:
    case SSH_KNOWN_HOSTS_UNKNOWN:
        return bp_fail(err, EACCES, "ssh: %s: the server's host key is not in known_hosts: log in by ssh once, or say "
                       "host_key_check=sha256:HASH", host);
    default: return bp_fail(err, EACCES, "ssh: %s: known_hosts cannot be read: %s", host, said(l).text);
    }
}

static int find_agent(struct bp_error *err)
{
    const char *path = getenv("SSH_AUTH_SOCK");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, ret = 0;

    if (!path || !*path)
        return bp_fail(err, EACCES, "ssh: there is no ssh-agent (SSH_AUTH_SOCK is not set), and nothing else shows the "
                       "server who you are: start one and add your key by ssh-add");
    if (strlen(path) >= sizeof(address.sun_path))
        return bp_fail(err, EACCES, "ssh: SSH_AUTH_SOCK is too long for a socket's name");
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        ret = bp_fail(err, EACCES, "ssh: no ssh-agent answers at SSH_AUTH_SOCK=%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ret;
}

static int authenticate(struct ssh_link *l, struct bp_error *err)
{
    const char *user = l->place.user ? l->place.user : "this user";
    int r = ssh_userauth_none(l->session, NULL), ret;

    if (r == SSH_AUTH_SUCCESS)
        return 0;
    if (r == SSH_AUTH_ERROR)
        return bp_fail(err, EACCES, "ssh: %s: the server does not say how users show who they are: %s", l->place.host,
                       said(l).text);
    if (!(ssh_userauth_list(l->session, NULL) & SSH_AUTH_METHOD_PUBLICKEY))
        return bp_fail(err, EACCES, "ssh: %s: the server takes no public keys of %s, and ssh-agent has nothing else",
                       l->place.host, user);
    ret = find_agent(err);
    if (ret < 0)
        return ret;
    r = ssh_userauth_agent(l->session, NULL);
    if (r == SSH_AUTH_SUCCESS)
        return 0;
    if (r == SSH_AUTH_PARTIAL)
        return bp_fail(err, EACCES, "ssh: %s: the server wants more than a key of ssh-agent", l->place.host);
    return bp_fail(err, EACCES, "ssh: %s: the server lets %s in by none of ssh-agent's keys (ssh-add -l lists them): "
                   "%s", l->place.host, user, said(l).text);
}

static int connect_it(struct ssh_link *l, struct bp_error *err)
{
    int one = 1, ret = set_options(l, err);

    if (ret < 0)
        return ret;
    if (!start_watcher(l))
        return bp_fail(err, EAGAIN, "ssh: the host gives no more threads");
    if (ssh_connect(l->session) != SSH_OK)
        return bp_fail(err, EIO, "ssh: cannot connect to %s, port %u: %s", l->place.host, l->place.port, said(l).text);
    set_fd(l, ssh_get_fd(l->session));
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    expect(l, true);
    ret = check_key(l, err);
    return ret < 0 ? ret : authenticate(l, err);
}

/* ---- the file ---- */

static int take_facts(struct ssh_link *l, struct bp_error *err)
{
    sftp_attributes facts = sftp_fstat(l->file);
    int ret = 0;

    if (!facts)
        return bp_fail(err, EIO, "ssh: '%s': the server does not say what it is: %s", l->place.path,
                       status_words(sftp_get_error(l->sftp)));
    if (facts->flags & SSH_FILEXFER_ATTR_PERMISSIONS && S_ISDIR(facts->permissions))
        ret = bp_fail(err, EISDIR, "ssh: '%s' is a folder", l->place.path);
    else if (!(facts->flags & SSH_FILEXFER_ATTR_SIZE))
        ret = bp_fail(err, ENOTSUP, "ssh: '%s': the server does not say how long it is", l->place.path);
    else if (facts->size > BP_BLOCK_MAX_LENGTH)
        ret = bp_fail(err, EFBIG, "ssh: '%s' is too long", l->place.path);
    else
        l->length = facts->size;
    sftp_attributes_free(facts);
    return ret;
}

int link_open(struct ssh_link *l, bool write, bool fall_back, struct bp_error *err)
{
    int status, ret = connect_it(l, err);

    if (ret < 0)
        return ret;
    l->sftp = sftp_new(l->session);
    if (!l->sftp || sftp_init(l->sftp) < 0)
        return bp_fail(err, EIO, "ssh: %s: the server offers no files (SFTP): %s", l->place.host, said(l).text);
    l->writable = write;
    l->file = sftp_open(l->sftp, l->place.path, write ? O_RDWR : O_RDONLY, 0);
    status = l->file ? 0 : sftp_get_error(l->sftp);
    if (!l->file && write && fall_back && (status == SSH_FX_PERMISSION_DENIED || status == SSH_FX_WRITE_PROTECT)) {
        l->writable = false;
        l->file = sftp_open(l->sftp, l->place.path, O_RDONLY, 0);
        status = l->file ? 0 : sftp_get_error(l->sftp);
    }
    if (!l->file)
        return bp_fail(err, -status_error(status), "ssh: cannot open '%s' on %s: %s", l->place.path, l->place.host,
                       is_broken(l) ? said(l).text : status_words(status));
    l->has_fsync = sftp_extension_supported(l->sftp, "fsync@openssh.com", "1") == 1;
    ret = take_facts(l, err);
    expect(l, false);
    return ret;
}

/* ---- requests ---- */

static bool begin(struct ssh_link *l)
{
    pthread_mutex_lock(&l->lock);
    if (!l->lost)
        return true;
    pthread_mutex_unlock(&l->lock);
    return false;
}

static int end(struct ssh_link *l, int ret)
{
    expect(l, false);
    if (ret < 0 && is_broken(l)) {
        l->lost = true;
        ret = -EIO;
        bp_warn("ssh: %s: the connection is lost, and every request for '%s' fails from now on: %s", l->place.host,
                l->place.path, said(l).text);
    }
    pthread_mutex_unlock(&l->lock);
    return ret;
}

int link_read(struct ssh_link *l, uint64_t offset, uint8_t *buf, size_t bytes)
{
    int ret = 0;

    if (!begin(l))
        return -EIO;
    while (ret == 0 && bytes > 0) {
        ssize_t got;

        expect(l, true);
        sftp_seek64(l->file, offset);
        got = sftp_read(l->file, buf, bytes < READ_PIECE ? bytes : READ_PIECE);
        if (got <= 0 || (size_t)got > bytes) { /* 0: it became shorter */
            ret = got < 0 ? status_error(sftp_get_error(l->sftp)) : -EIO;
            break;
        }
        offset += (uint64_t)got;
        buf += got;
        bytes -= (size_t)got;
    }
    return end(l, ret);
}

int link_write(struct ssh_link *l, uint64_t offset, const uint8_t *buf, size_t bytes)
{
    int ret = 0;

    if (!begin(l))
        return -EIO;
    while (ret == 0 && bytes > 0) {
        ssize_t put;

        expect(l, true);
        sftp_seek64(l->file, offset);
        put = sftp_write(l->file, buf, bytes < WRITE_PIECE ? bytes : WRITE_PIECE);
        if (put <= 0 || (size_t)put > bytes) {
            ret = put < 0 ? status_error(sftp_get_error(l->sftp)) : -EIO;
            break;
        }
        offset += (uint64_t)put;
        buf += put;
        bytes -= (size_t)put;
        if (offset > l->length)
            __atomic_store_n(&l->length, offset, __ATOMIC_RELAXED);
    }
    return end(l, ret);
}

int link_flush(struct ssh_link *l)
{
    int ret = 0;

    if (!begin(l))
        return -EIO;
    if (l->has_fsync) {
        expect(l, true);
        ret = sftp_fsync(l->file) == 0 ? 0 : status_error(sftp_get_error(l->sftp));
    } else if (!l->told_fsync) {
        l->told_fsync = true;
        bp_warn("ssh: %s: the server cannot put a file on stable storage (it does not offer fsync@openssh.com): what "
                "was written to '%s' may be lost when that computer fails", l->place.host, l->place.path);
    }
    return end(l, ret);
}

int link_resize(struct ssh_link *l, uint64_t length, struct bp_error *err)
{
    struct sftp_attributes_struct facts = {.flags = SSH_FILEXFER_ATTR_SIZE, .size = length};
    int ret;

    if (!begin(l))
        return bp_fail(err, EIO, "ssh: '%s': the connection is lost", l->place.path);
    expect(l, true);
    ret = sftp_setstat(l->sftp, l->place.path, &facts) == 0 ? 0 : status_error(sftp_get_error(l->sftp));
    if (ret == 0)
        __atomic_store_n(&l->length, length, __ATOMIC_RELAXED);
    else
        bp_fail(err, -ret, "ssh: cannot make '%s' %llu bytes long: %s", l->place.path, (unsigned long long)length,
                status_words(sftp_get_error(l->sftp)));
    return end(l, ret);
}
