/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Object "secret": a password or key, given as text or in a file, raw or in base64 (RFC 4648); what was given may be
 * encrypted with another secret, by AES-256 in CBC mode (FIPS 197, NIST SP 800-38A) with padding as in PKCS #7
 * (RFC 5652, 6.3).
 */
#include <bp/coroutine.h>
#include <bp/host/secret.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_NETTLE
#include <nettle/aes.h>
#include <nettle/cbc.h>
#endif

#define KEY_BYTES 32u
#define BLOCK_BYTES 16u
#define MOST_BYTES (1u << 20)
#define PATIENCE_MS 30000 /* with who has a pipe open and has not written yet */

enum { FORMAT_RAW, FORMAT_BASE64 };

struct secret {
    char *data, *file, *keyid, *iv;
    int format;
    uint8_t *bytes;
    size_t len;
};

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Decodes in place; line ends are skipped. */
static int decode_base64(uint8_t *bytes, size_t *len)
{
    size_t out = 0, padding = 0, digits = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < *len; i++) {
        int digit = base64_digit((char)bytes[i]);

        if (bytes[i] == '\n' || bytes[i] == '\r')
            continue;
        if (bytes[i] == '=') {
            padding++;
            continue;
        }
        if (digit < 0 || padding)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)digit;
        digits++;
        if (digits % 4 != 1)
            bytes[out++] = (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    if (padding > 2 || (digits + padding) % 4 || digits % 4 == 1)
        return -EINVAL;
    *len = out;
    return 0;
}

/* With who writes to a pipe; a command waits without stopping anybody else. */
static int wait_for_more(int fd)
{
    int ret;

    if (bp_co_current()) {
        ret = bp_co_wait_fd(fd, BP_WATCH_IN, PATIENCE_MS * 1000000ll);
        return ret < 0 ? ret : 0;
    }
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, PATIENCE_MS) == 0 ? -ETIMEDOUT : 0;
}

/* Up to one byte more than is allowed; what comes through a pipe may take its time, within limits. */
static int read_up(int fd, struct secret *s)
{
    int ret;

    while (s->len <= MOST_BYTES) {
        ssize_t n = read(fd, s->bytes + s->len, MOST_BYTES + 1 - s->len);

        if (n == 0)
            return 0;
        if (n > 0)
            s->len += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            return -errno;
        else if (errno == EAGAIN && (ret = wait_for_more(fd)) < 0)
            return ret;
    }
    return 0;
}

static int read_opened(int fd, struct secret *s, struct bp_error *err)
{
    struct stat st;
    int r;

    s->bytes = malloc(MOST_BYTES + 1);
    if (!s->bytes)
        return bp_fail(err, ENOMEM, "secret: out of memory");
    r = read_up(fd, s);
    if (r < 0)
        return bp_fail(err, -r, "secret: file %s cannot be read: %s", s->file, strerror(-r));
    if (s->len > MOST_BYTES)
        return bp_fail(err, EFBIG, "secret: file %s is longer than %u bytes", s->file, MOST_BYTES);
    if (s->len == 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
        return bp_fail(err, ENODATA, "secret: file %s is a pipe that nobody writes to", s->file);
    return 0;
}

static int read_file(struct secret *s, struct bp_error *err)
{
    int fd = open(s->file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), r;

    if (fd < 0)
        return bp_fail(err, errno, "secret: file %s: %s", s->file, strerror(errno));
    r = read_opened(fd, s, err);
    close(fd);
    return r;
}

static void finalize(struct bp_object *obj)
{
    struct secret *s = bp_object_state(obj);

    if (s->bytes)
        explicit_bzero(s->bytes, s->len);
    free(s->bytes);
    s->bytes = NULL;
}

/* ---- encrypted ones ---- */

static const struct secret *find(const char *id)
{
    char path[256];
    struct bp_object *obj;

    snprintf(path, sizeof(path), "/objects/%s", id);
    obj = bp_object_resolve(path, "secret", NULL);
    return obj ? bp_object_state(obj) : NULL;
}

#ifdef HAVE_NETTLE
static int read_iv(const struct secret *s, uint8_t *iv, struct bp_error *err)
{
    size_t len = strlen(s->iv);
    uint8_t *bytes = malloc(len + 1);
    int r = 0;

    if (!bytes)
        return bp_fail(err, ENOMEM, "secret: out of memory");
    memcpy(bytes, s->iv, len);
    if (decode_base64(bytes, &len) < 0)
        r = bp_fail(err, EINVAL, "secret: property 'iv' is not base64");
    else if (len != BLOCK_BYTES)
        r = bp_fail(err, EINVAL, "secret: property 'iv' has to be %u bytes in base64, not %zu", BLOCK_BYTES, len);
    else
        memcpy(iv, bytes, BLOCK_BYTES);
    free(bytes);
    return r;
}

static int decrypt(struct secret *s, struct bp_error *err)
{
    const struct secret *key = find(s->keyid);
    struct aes256_ctx aes;
    uint8_t iv[BLOCK_BYTES], padding;
    int r;

    if (!key)
        return bp_fail(err, ENOENT, "secret: property 'keyid': there is no secret '%s'", s->keyid);
    if (key->len != KEY_BYTES)
        return bp_fail(err, EINVAL, "secret: the key '%s' has to be %u bytes, not %zu", s->keyid, KEY_BYTES, key->len);
    r = read_iv(s, iv, err);
    if (r < 0)
        return r;
    if (s->len == 0 || s->len % BLOCK_BYTES != 0)
        return bp_fail(err, EINVAL, "secret: what is encrypted has to be a multiple of %u bytes, not %zu", BLOCK_BYTES,
                       s->len);
    aes256_set_decrypt_key(&aes, key->bytes);
    cbc_decrypt(&aes, (nettle_cipher_func *)aes256_decrypt, BLOCK_BYTES, iv, s->len, s->bytes, s->bytes);
    explicit_bzero(&aes, sizeof(aes));
    padding = s->bytes[s->len - 1];
    for (unsigned i = 1; r == 0 && i <= padding && padding <= BLOCK_BYTES; i++)
        r = s->bytes[s->len - i] == padding ? 0 : -EINVAL;
    if (r < 0 || padding == 0 || padding > BLOCK_BYTES)
        return bp_fail(err, EINVAL, "secret: the key '%s' or 'iv' does not fit what is encrypted", s->keyid);
    s->len -= padding;
    return 0;
}
#else
static int decrypt(struct secret *s, struct bp_error *err)
{
    return bp_fail(err, ENOTSUP, "secret: property 'keyid': built without nettle, which decrypts '%s'", s->keyid);
}
#endif

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct secret *s = bp_object_state(obj);
    int r = 0;

    if (!s->keyid != !s->iv)
        return bp_fail(err, EINVAL, "secret: '%s' needs '%s'", s->keyid ? "keyid" : "iv", s->keyid ? "iv" : "keyid");
    if (!s->data == !s->file)
        return bp_fail(err, EINVAL, "secret: give either 'data' or 'file'");
    if (s->file) {
        r = read_file(s, err);
    } else {
        s->len = strlen(s->data);
        s->bytes = malloc(s->len + 1);
        if (!s->bytes)
            return bp_fail(err, ENOMEM, "secret: out of memory");
        memcpy(s->bytes, s->data, s->len);
    }
    if (r == 0 && s->format == FORMAT_BASE64 && decode_base64(s->bytes, &s->len) < 0)
        r = bp_fail(err, EINVAL, "secret: what was given is not base64");
    if (r == 0 && s->keyid)
        r = decrypt(s, err);
    if (r < 0)
        finalize(obj);
    return r;
}

static const char *const format_names[] = {"raw", "base64", NULL};
static const struct bp_schema format_schema = {
    .name = "QCryptoSecretFormat", .kind = BP_KIND_ENUM, .choices = format_names};
static const struct bp_field props[] = {
    BP_PROP("data", STRING, struct secret, data, NULL, "the secret itself"),
    BP_PROP("file", STRING, struct secret, file, NULL, "file that holds it"),
    BP_PROP("keyid", STRING, struct secret, keyid, NULL, "secret of 32 bytes that it is encrypted with (AES-256-CBC)"),
    BP_PROP("iv", STRING, struct secret, iv, NULL, "with keyid: the 16 bytes that encryption began with, in base64"),
    BP_PROP_ENUM("format", &format_schema, struct secret, format, "raw", "raw or base64"),
    BP_FIELDS_END,
};

BP_NOTE("provides=object:secret;summary=Password or key for other objects");
static const struct bp_object_class secret_class = {
    .type = {.size = sizeof(struct bp_object_class), .flags = BP_TYPE_EARLY, .name = "secret",
             .summary = "Password or key for other objects", .state_size = sizeof(struct secret),
             .props = props},
    .complete = complete, .finalize = finalize,
};

static int get(const char *id, const uint8_t **ret_data, size_t *ret_len, struct bp_error *err)
{
    const struct secret *s = find(id);

    if (!s)
        return bp_fail(err, ENOENT, "there is no secret '%s' (-object secret,id=%s,...)", id, id);
    *ret_data = s->bytes;
    *ret_len = s->len;
    return 0;
}

static const struct bp_secret_interface secret_table = {.size = sizeof(struct bp_secret_interface),
                                                        .get = get};
BP_INTERFACE(secret_interface, "secret", 1, 0, &secret_table);

BP_MODULE("object-secret", "Passwords and keys", BP_NO_IMPORTS,
          {BP_PROVIDE_OBJECT, &secret_class}, {BP_PROVIDE_INTERFACE, &secret_interface});
