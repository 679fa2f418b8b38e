/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-curl`: images on web and FTP servers, read through libcurl (RFC 9110 ranges; RFC 959 REST). Each
 * transfer
 * runs on a worker thread with a handle of its own, which keeps its connection. What is read ahead is kept. Nothing is
 * written.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>
#include <bp/host/secret.h>

BP_USE(block, struct bp_block_interface, "block", 1);
BP_USE(secret, struct bp_secret_interface, "secret", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), BP_IMPORT(secret, "secret", 1), {0}};

#define HANDLES 8u
#define KEPT 8u /* pieces that were read ahead */
#define MAX_AHEAD (16u << 20)

struct piece {
    uint64_t offset;
    size_t bytes;
    uint8_t *data; /* NULL: none */
    uint64_t used; /* when */
};

struct curl_state {
    char *filename, *url, *cookie, *cookie_secret, *user, *password_secret, *proxy_user, *proxy_password_secret;
    uint64_t readahead, timeout;
    bool sslverify;

    char *name, *password, *proxy_password, *cookies;
    const char *protocols;
    uint64_t length;
    pthread_mutex_t lock; /* of the handles and pieces */
    CURL *idle[HANDLES];
    struct piece kept[KEPT];
    uint64_t clock;
};

/* ---- transfers ---- */

struct transfer {
    struct curl_state *s;
    uint64_t offset;
    uint8_t *buf;
    size_t bytes, got;
    bool head, ranges;
    uint64_t length;
    int ret;
    char why[CURL_ERROR_SIZE];
};

static size_t take_body(char *data, size_t size, size_t n, void *opaque)
{
    struct transfer *t = opaque;
    size_t bytes = size * n;

    if (!t->buf || bytes > t->bytes - t->got) /* more than was asked for */
        return t->head ? bytes : 0;
    memcpy(t->buf + t->got, data, bytes);
    t->got += bytes;
    return bytes;
}

static size_t take_header(char *data, size_t size, size_t n, void *opaque)
{
    static const char wanted[] = "accept-ranges:";
    struct transfer *t = opaque;
    size_t bytes = size * n;

    if (bytes > sizeof(wanted) && !strncasecmp(data, wanted, sizeof(wanted) - 1)) {
        char value[32] = "";

        snprintf(value, sizeof(value), "%.*s", (int)(bytes - sizeof(wanted) + 1 < 30 ? bytes - sizeof(wanted) + 1 : 30),
                 data + sizeof(wanted) - 1);
        t->ranges = strstr(value, "bytes") != NULL;
    }
    return bytes;
}

static CURL *new_handle(struct curl_state *s)
{
    CURL *h = curl_easy_init();

    if (!h)
        return NULL;
    curl_easy_setopt(h, CURLOPT_URL, s->name);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(h, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, s->protocols);
    curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, s->protocols);
    curl_easy_setopt(h, CURLOPT_TIMEOUT, (long)s->timeout);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, s->sslverify ? 1L : 0L);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, s->sslverify ? 2L : 0L);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
    if (s->cookies)
        curl_easy_setopt(h, CURLOPT_COOKIE, s->cookies);
    if (s->user)
        curl_easy_setopt(h, CURLOPT_USERNAME, s->user);
    if (s->password)
        curl_easy_setopt(h, CURLOPT_PASSWORD, s->password);
    if (s->proxy_user)
        curl_easy_setopt(h, CURLOPT_PROXYUSERNAME, s->proxy_user);
    if (s->proxy_password)
        curl_easy_setopt(h, CURLOPT_PROXYPASSWORD, s->proxy_password);
    return h;
}

static CURL *take_handle(struct curl_state *s)
{
    CURL *h = NULL;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; !h && i < HANDLES; i++) {
        h = s->idle[i];
        s->idle[i] = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return h ? h : new_handle(s);
}

static void give_handle(struct curl_state *s, CURL *h)
{
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; h && i < HANDLES; i++) {
        if (s->idle[i])
            continue;
        s->idle[i] = h;
        h = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    curl_easy_cleanup(h);
}

static int error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY: return -ENOMEM;
    case CURLE_REMOTE_ACCESS_DENIED:
    case CURLE_LOGIN_DENIED: return -EACCES;
    case CURLE_COULDNT_CONNECT: return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST: return -EHOSTUNREACH;
    default: return -EIO;
    }
}

/* On a worker thread. */
static void carry_out(void *opaque)
{
    struct transfer *t = opaque;
    CURL *h = take_handle(t->s);
    curl_off_t length = -1;
    char range[64];
    long code = 0;
    CURLcode r;

    if (!h) {
        t->ret = -ENOMEM;
        return;
    }
    snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)t->offset,
             (unsigned long long)(t->offset + t->bytes - 1));
    curl_easy_setopt(h, CURLOPT_NOBODY, t->head ? 1L : 0L);
    if (!t->head)
        curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(h, CURLOPT_RANGE, t->head ? NULL : range);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, t->why);
    t->why[0] = '\0';
    r = curl_easy_perform(h);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    t->ret = r != CURLE_OK ? error_of(r) : 0;
    if (t->ret < 0 && !t->why[0])
        snprintf(t->why, sizeof(t->why), "%s", curl_easy_strerror(r));
    if (t->ret == 0 && t->head && length < 0) {
        t->ret = -ENOTSUP;
        snprintf(t->why, sizeof(t->why), "the server does not say how long the file is");
    }
    t->length = length < 0 ? 0 : (uint64_t)length;
    if (t->ret == 0 && !t->head && (t->got != t->bytes || code == 200))
        t->ret = -EIO;
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, NULL);
    give_handle(t->s, h);
}

static int perform(struct transfer *t)
{
    if (block->may_wait())
        bp_co_worker(carry_out, t);
    else
        carry_out(t);
    return t->ret;
}

/* ---- what is kept ---- */

static void scatter(const struct bp_block_request *req, const uint8_t *from)
{
    uint64_t left = req->bytes;

    for (unsigned i = 0; i < req->iov_count && left > 0; i++) {
        size_t n = req->iov[i].iov_len < left ? req->iov[i].iov_len : (size_t)left;

        memcpy(req->iov[i].iov_base, from, n);
        from += n;
        left -= n;
    }
}

static bool read_kept(struct curl_state *s, const struct bp_block_request *req)
{
    bool found = false;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; !found && i < KEPT; i++) {
        struct piece *p = &s->kept[i];

        if (!p->data || req->offset < p->offset || req->offset - p->offset > p->bytes ||
            req->bytes > p->bytes - (req->offset - p->offset))
            continue;
        scatter(req, p->data + (req->offset - p->offset));
        p->used = ++s->clock;
        found = true;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* Instead of the one that was not used for the longest time. */
static void keep(struct curl_state *s, uint64_t offset, uint8_t *data, size_t bytes)
{
    struct piece *oldest = &s->kept[0];

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 1; i < KEPT; i++)
        if (s->kept[i].used < oldest->used)
            oldest = &s->kept[i];
    free(oldest->data);
    *oldest = (struct piece){offset, bytes, data, ++s->clock};
    pthread_mutex_unlock(&s->lock);
}

/* ---- the driver ---- */

static int curl_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct curl_state *s = block->state(node);
    uint64_t bytes = req->bytes > s->readahead ? req->bytes : s->readahead;
    struct transfer t = {.s = s, .offset = req->offset};
    int ret;

    if (read_kept(s, req))
        return 0;
    if (bytes > s->length - req->offset)
        bytes = s->length - req->offset;
    t.bytes = (size_t)bytes;
    t.buf = malloc(t.bytes);
    if (!t.buf)
        return -ENOMEM;
    ret = perform(&t);
    if (ret < 0) {
        free(t.buf);
        return ret;
    }
    scatter(req, t.buf);
    keep(s, t.offset, t.buf, t.bytes);
    return 0;
}

static int64_t curl_length(struct bp_block_node *node)
{
    return (int64_t)((struct curl_state *)block->state(node))->length;
}

static void curl_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = 4u << 20;
}

static int take_secret(const char *id, const char *key, char **ret, struct bp_error *err)
{
    const uint8_t *data;
    size_t length;
    int r;

    if (!id)
        return 0;
    r = secret->get(id, &data, &length, err);
    if (r < 0) {
        bp_error_prefix(err, "key '%s'", key);
        return r;
    }
    *ret = bp_alloc(length + 1);
    memcpy(*ret, data, length);
    (*ret)[length] = '\0';
    return 0;
}

static const char *driver_name(struct bp_block_node *node)
{
    return block->image_driver(node);
}

static int check_keys(struct bp_block_node *node, struct curl_state *s, struct bp_error *err)
{
    const char *driver = driver_name(node), *url = s->url ? s->url : s->filename;
    size_t n = strlen(driver);

    if (s->url && s->filename)
        return bp_fail(err, EINVAL, "keys 'url' and 'filename' are the same: give one");
    if (!url)
        return bp_fail(err, EINVAL, "key 'url' is missing");
    if (strncmp(url, driver, n) != 0 || strncmp(url + n, "://", 3) != 0)
        return bp_fail(err, EINVAL, "driver '%s' wants a URL that begins with %s://", driver, driver);
    if (s->readahead % 512 || s->readahead > MAX_AHEAD)
        return bp_fail(err, EINVAL, "key 'readahead' expects a multiple of 512, at most %u", MAX_AHEAD);
    if (s->timeout > 10000)
        return bp_fail(err, EINVAL, "key 'timeout' expects seconds, at most 10000");
    if (s->cookie && s->cookie_secret)
        return bp_fail(err, EINVAL, "keys 'cookie' and 'cookie-secret' exclude each other");
    /* Encryption is not given up on the way, and who follows to it checks it. */
    s->protocols = !strcmp(driver, "https") ? "https" : !strcmp(driver, "ftps") ? "ftps"
                   : *driver == 'h' ? "http,https" : "ftp,ftps";
    s->sslverify |= driver[n - 1] != 's';
    s->name = bp_strdup(url);
    return 0;
}

static void release(struct curl_state *s)
{
    for (unsigned i = 0; i < HANDLES; i++)
        curl_easy_cleanup(s->idle[i]);
    for (unsigned i = 0; i < KEPT; i++)
        free(s->kept[i].data);
    pthread_mutex_destroy(&s->lock);
    free(s->name);
    free(s->password);
    free(s->proxy_password);
    free(s->cookies);
}

static int curl_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct curl_state *s = block->state(node);
    struct transfer t = {.s = s, .head = true};
    char *name;
    int ret;

    pthread_mutex_init(&s->lock, NULL);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        ret = bp_fail(err, ENOMEM, "libcurl does not start");
    else
        ret = check_keys(node, s, err);
    if (ret == 0)
        ret = take_secret(s->password_secret, "password-secret", &s->password, err);
    if (ret == 0)
        ret = take_secret(s->proxy_password_secret, "proxy-password-secret", &s->proxy_password, err);
    if (ret == 0 && s->cookie)
        s->cookies = bp_strdup(s->cookie);
    else if (ret == 0)
        ret = take_secret(s->cookie_secret, "cookie-secret", &s->cookies, err);
    if (ret == 0) {
        ret = perform(&t);
        if (ret < 0)
            bp_fail(err, -ret, "%s: %s", driver_name(node), t.why);
    }
    if (ret == 0 && *s->protocols == 'h' && !t.ranges)
        ret = bp_fail(err, ENOTSUP, "%s: the server gives no parts of a file (it does not say 'Accept-Ranges: bytes')",
                      driver_name(node));
    if (ret == 0 && t.length > BP_BLOCK_MAX_LENGTH)
        ret = bp_fail(err, EFBIG, "%s: the file is too long", driver_name(node));
    if (ret < 0) {
        release(s);
        return ret;
    }
    s->length = t.length;
    if (!flags->read_only)
        block->set_read_only(node);
    name = bp_strdup(s->name);
    bp_hide_passwords(name); /* it is shown by queries */
    block->set_filename(node, name);
    free(name);
    return 0;
}

static void curl_close(struct bp_block_node *node)
{
    release(block->state(node));
}

#define COMMON \
    BP_PROP("url", STRING, struct curl_state, url, NULL, "where it is"), \
    BP_PROP("filename", STRING, struct curl_state, filename, NULL, "the same"), \
    BP_PROP("readahead", SIZE, struct curl_state, readahead, "262144", "bytes read at once; a multiple of 512"), \
    BP_PROP("timeout", UINT64, struct curl_state, timeout, "5", "seconds that a transfer may take; 0: any time"), \
    BP_PROP("username", STRING, struct curl_state, user, NULL, "user there"), \
    BP_PROP("password-secret", STRING, struct curl_state, password_secret, NULL, \
            "id of the secret with the password"), \
    BP_PROP("proxy-username", STRING, struct curl_state, proxy_user, NULL, "user of the proxy"), \
    BP_PROP("proxy-password-secret", STRING, struct curl_state, proxy_password_secret, NULL, \
            "id of the secret with the proxy's password")
#define COOKIES \
    BP_PROP("cookie", STRING, struct curl_state, cookie, NULL, "cookies: a=1; b=2"), \
    BP_PROP("cookie-secret", STRING, struct curl_state, cookie_secret, NULL, "id of the secret with the cookies")
#define NO_COOKIES \
    BP_PROP("cookie", STRING, struct curl_state, cookie, NULL, "not of this protocol: ignored"), \
    BP_PROP("cookie-secret", STRING, struct curl_state, cookie_secret, NULL, "not of this protocol: ignored")
#define VERIFY \
    BP_PROP("sslverify", BOOL, struct curl_state, sslverify, "on", "the server's certificate is checked")
static const struct bp_field http_props[] = {COMMON, COOKIES, BP_FIELDS_END};
static const struct bp_field https_props[] = {COMMON, COOKIES, VERIFY, BP_FIELDS_END};
static const struct bp_field ftp_props[] = {COMMON, NO_COOKIES, BP_FIELDS_END};
static const struct bp_field ftps_props[] = {COMMON, NO_COOKIES, VERIFY, BP_FIELDS_END};

#define DRIVER .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_READ_ONLY_DRIVER, .open = curl_open, .close = curl_close, \
    .read = curl_read, .length = curl_length, .limits = curl_limits
BP_BLOCK_DRIVER(http_driver, "http", "Images on web servers", struct curl_state, http_props, DRIVER);
BP_BLOCK_DRIVER(https_driver, "https", "Images on web servers, encrypted on the way", struct curl_state, https_props,
                DRIVER);
BP_BLOCK_DRIVER(ftp_driver, "ftp", "Images on FTP servers", struct curl_state, ftp_props, DRIVER);
BP_BLOCK_DRIVER(ftps_driver, "ftps", "Images on FTP servers, encrypted on the way", struct curl_state, ftps_props,
                DRIVER);
BP_MODULE("block-curl", "Disk images on web and FTP servers", imports, {BP_PROVIDE_OTHER, &http_driver},
          {BP_PROVIDE_OTHER, &https_driver}, {BP_PROVIDE_OTHER, &ftp_driver}, {BP_PROVIDE_OTHER, &ftps_driver});
