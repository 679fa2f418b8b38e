/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may come to the SPICE server, and where: addresses, TLS, passwords. */
#include "spice-server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bp/host/secret.h>

#define PASSWORD_MOST 60u /* bytes that the protocol has room for */

static const char *const tls_keys[] = {"x509-dir", "x509-key-file", "x509-key-password", "x509-cert-file",
                                       "x509-cacert-file", "x509-dh-key-file", "tls-ciphers", "tls-channel"};

bool spice_is_on(struct bp_value *args, const char *key, bool otherwise)
{
    struct bp_value *v = bp_value_get(args, key);

    return v ? bp_value_as_bool(v) : otherwise;
}

/* ---- what goes together ---- */

static int get_port(struct bp_value *args, const char *key, uint32_t *ret_port, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(args, key);
    uint64_t port = v ? bp_value_as_uint(v) : 0;

    if (v && (port < 1 || port > 65535))
        return bp_fail(err, ERANGE, "key '%s': a port is 1 to 65535", key);
    *ret_port = (uint32_t)port;
    return 0;
}

static int check_unix(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    const char *addr = bp_value_get_string(args, "addr");

    if (spice_is_on(args, "ipv4", false) || spice_is_on(args, "ipv6", false))
        return bp_fail(err, EINVAL, "key 'unix' does not go together with ipv4 and ipv6");
    if (!addr || !*addr)
        return bp_fail(err, EINVAL, "unix=on needs addr=PATH");
    if (ui->port || ui->tls_port)
        return bp_fail(err, EINVAL, "key '%s' does not go together with unix=on", ui->port ? "port" : "tls-port");
    return 0;
}

/* Keys that could do nothing are mistakes. */
static int check_pairs(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    bool secret = bp_value_has(args, "password-secret");

    for (unsigned i = 0; i < BP_COUNT(tls_keys) && !ui->tls_port; i++)
        if (bp_value_has(args, tls_keys[i]))
            return bp_fail(err, EINVAL, "key '%s' needs tls-port", tls_keys[i]);
    if (bp_value_has(args, "plaintext-channel") && !ui->port && !ui->unix_socket)
        return bp_fail(err, EINVAL, "key 'plaintext-channel' needs port or unix=on");
    if (!spice_is_on(args, "ipv4", true) && !spice_is_on(args, "ipv6", true))
        return bp_fail(err, EINVAL, "ipv4=off and ipv6=off leave no address to listen on");
    if (secret && spice_is_on(args, "disable-ticketing", false))
        return bp_fail(err, EINVAL, "keys 'password-secret' and 'disable-ticketing' exclude each other");
    if (secret && spice_is_on(args, "sasl", false))
        return bp_fail(err, EINVAL, "keys 'password-secret' and 'sasl' exclude each other: SASL has its own passwords");
    return 0;
}

int spice_access_check(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    int r = get_port(args, "port", &ui->port, err);

    if (r == 0)
        r = get_port(args, "tls-port", &ui->tls_port, err);
    if (r < 0)
        return r;
    ui->unix_socket = spice_is_on(args, "unix", false);
    if (!ui->port && !ui->tls_port && !ui->unix_socket)
        return bp_fail(err, EINVAL, "nothing to listen on: say port=N, tls-port=N, or unix=on,addr=PATH");
    r = ui->unix_socket ? check_unix(ui, args, err) : 0;
    return r < 0 ? r : check_pairs(ui, args, err);
}

/* ---- TLS ---- */

static char *file_of(struct bp_value *args, const char *key, const char *name)
{
    const char *file = bp_value_get_string(args, key), *dir = bp_value_get_string(args, "x509-dir");
    char path[4096];

    if (file)
        return bp_strdup(file);
    snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
    return bp_strdup(path);
}

static int set_tls(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    static const char *const names[][2] = {{"x509-cacert-file", "ca-cert.pem"}, {"x509-cert-file", "server-cert.pem"},
                                           {"x509-key-file", "server-key.pem"}};
    char *files[BP_COUNT(names)] = {NULL};
    const char *dh = bp_value_get_string(args, "x509-dh-key-file");
    int r = 0;

    for (unsigned i = 0; i < BP_COUNT(names) && r == 0; i++) {
        files[i] = file_of(args, names[i][0], names[i][1]);
        if (access(files[i], R_OK) < 0)
            r = bp_fail(err, errno, "key '%s': %.200s: %s", names[i][0], files[i], strerror(errno));
    }
    if (r == 0 && dh && access(dh, R_OK) < 0)
        r = bp_fail(err, errno, "key 'x509-dh-key-file': %.200s: %s", dh, strerror(errno));
    if (r == 0 && spice_server_set_tls(ui->server, (int)ui->tls_port, files[0], files[1], files[2],
                                       bp_value_get_string(args, "x509-key-password"), dh,
                                       bp_value_get_string(args, "tls-ciphers")) != 0)
        r = bp_fail(err, EINVAL, "the SPICE server does not take its TLS port %u", ui->tls_port);
    for (unsigned i = 0; i < BP_COUNT(names); i++)
        free(files[i]);
    return r;
}

static int set_channels(struct spice_ui *ui, struct bp_value *args, const char *key, int security, unsigned *forced,
                        struct bp_error *err)
{
    static const char *const known[] = {"main", "display", "cursor", "inputs", "record", "playback", "default"};
    struct bp_value *list = bp_value_get(args, key);
    unsigned here = 0;

    for (size_t i = 0; list && i < bp_value_length(list); i++) {
        const char *name = bp_value_as_string(bp_value_at(list, i));
        unsigned n = 0;

        while (n < BP_COUNT(known) && strcmp(name ? name : "", known[n]))
            n++;
        if (n == BP_COUNT(known))
            return bp_fail(err, EINVAL, "key '%s': '%.40s' is no channel; use main, display, cursor, inputs, record, "
                           "playback or default", key, name ? name : "");
        if (*forced >> n & 1)
            return bp_fail(err, EINVAL, "channel '%s' cannot be forced by tls-channel and by plaintext-channel", name);
        here |= 1u << n;
        spice_server_set_channel_security(ui->server, strcmp(name, "default") ? name : NULL, security);
    }
    *forced |= here;
    return 0;
}

/* ---- passwords ---- */

/* What the library has: it counts seconds from now, and lets nobody in without a password. */
static int apply_ticket(struct spice_ui *ui, enum bp_password_connected connected)
{
    int64_t left = ui->expires_s == INT64_MAX ? 0 : ui->expires_s - (int64_t)time(NULL);
    bool good = ui->password && (ui->expires_s == INT64_MAX || left > 0);

    return spice_server_set_ticket(ui->server, good ? ui->password : NULL, left > INT32_MAX ? INT32_MAX : (int)left,
                                   connected == BP_PASSWORD_FAIL, connected == BP_PASSWORD_DISCONNECT);
}

static void keep_password(struct spice_ui *ui, const void *text, size_t length)
{
    if (ui->password)
        explicit_bzero(ui->password, strlen(ui->password));
    free(ui->password);
    ui->password = bp_alloc(length + 1);
    memcpy(ui->password, text, length);
}

static int find_server(const char *display, struct bp_error *err)
{
    if (!spice_ui.server)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no SPICE server");
    if (display)
        return bp_fail(err, EINVAL, "argument 'display': the SPICE server is one, and has no name");
    if (strcmp(spice_ui.auth, "spice") != 0)
        return bp_fail(err, EINVAL, "the SPICE server asks for no password: start it without %s",
                       strcmp(spice_ui.auth, "sasl") ? "disable-ticketing=on" : "sasl=on");
    return 0;
}

static int set_password(const char *display, const char *password, enum bp_password_connected connected,
                        struct bp_error *err)
{
    struct spice_ui *ui = &spice_ui;
    int r = find_server(display, err);

    if (r < 0)
        return r;
    if (!*password || strlen(password) > PASSWORD_MOST)
        return bp_fail(err, EINVAL, "a SPICE password is 1 to %u characters of text", PASSWORD_MOST);
    if (connected == BP_PASSWORD_FAIL && spice_has_clients())
        return bp_fail(err, EBUSY, "the password is not set: a client is connected, and connected is 'fail'");
    keep_password(ui, password, strlen(password));
    return apply_ticket(ui, connected) == 0 ? 0 : bp_fail(err, EIO, "the SPICE server does not take the password");
}

static int expire_password(const char *display, int64_t when_s, struct bp_error *err)
{
    int r = find_server(display, err);

    if (r < 0)
        return r;
    spice_ui.expires_s = when_s;
    apply_ticket(&spice_ui, BP_PASSWORD_KEEP);
    return 0;
}
const struct bp_password_server spice_password_server = {
    .size = sizeof(spice_password_server), .protocol = "spice", .set = set_password, .expire = expire_password};

static int set_access(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    const char *secret = bp_value_get_string(args, "password-secret");
    const uint8_t *data;
    size_t length;

    ui->auth = "spice";
    ui->expires_s = INT64_MAX;
    if (spice_is_on(args, "disable-ticketing", false)) {
        spice_server_set_noauth(ui->server);
        ui->auth = "none";
    }
    if (spice_is_on(args, "sasl", false)) {
        if (spice_server_set_sasl(ui->server, 1) != 0)
            return bp_fail(err, ENOTSUP, "key 'sasl': the library was made without SASL; use sasl=off");
        spice_server_set_sasl_appname(ui->server, "qemu");
        ui->auth = "sasl";
    }
    if (!secret)
        return 0;
    if ((*spice_secret)->get(secret, &data, &length, NULL) < 0)
        return bp_fail(err, ENOENT, "key 'password-secret': there is no secret '%.60s'", secret);
    if (!length || length > PASSWORD_MOST || memchr(data, '\0', length))
        return bp_fail(err, EINVAL, "key 'password-secret': a SPICE password is 1 to %u characters of text",
                       PASSWORD_MOST);
    keep_password(ui, data, length);
    apply_ticket(ui, BP_PASSWORD_KEEP);
    return 0;
}

/* ---- addresses ---- */

static int family_of(struct bp_value *args)
{
    bool no4 = !spice_is_on(args, "ipv4", true), no6 = !spice_is_on(args, "ipv6", true);
    bool ipv4 = spice_is_on(args, "ipv4", false), ipv6 = spice_is_on(args, "ipv6", false);

    return no6 || (ipv4 && !ipv6) ? AF_INET : no4 || (ipv6 && !ipv4) ? AF_INET6 : AF_UNSPEC;
}

/* The library listens for TLS by itself: without an address, IPv6 takes IPv4, too. */
static int set_address(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    const char *addr = bp_value_get_string(args, "addr");

    ui->addr = addr ? bp_strdup(addr) : NULL;
    ui->family = family_of(args);
    if (ui->tls_port && ui->family == AF_INET6 && (!addr || !*addr))
        return bp_fail(err, ENOTSUP, "tls-port cannot listen on any address of IPv6 alone: say addr=ADDRESS, or leave "
                       "out ipv4 and ipv6");
    spice_server_set_addr(ui->server, addr ? addr : "", ui->family == AF_INET    ? SPICE_ADDR_FLAG_IPV4_ONLY
                                                        : ui->family == AF_INET6 ? SPICE_ADDR_FLAG_IPV6_ONLY : 0);
    return 0;
}

static void arrived(void *opaque, unsigned events)
{
    struct spice_listener *l = opaque;
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    if (!spice_ui.unix_socket)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (spice_server_add_client(spice_ui.server, fd, 0) != 0)
        close(fd);
}

static int add_client(int fd, bool skip_auth, bool tls, struct bp_error *err)
{
    int r;

    if (!spice_ui.server) {
        close(fd);
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no SPICE server; start it with -spice");
    }
    r = tls ? spice_server_add_ssl_client(spice_ui.server, fd, skip_auth)
            : spice_server_add_client(spice_ui.server, fd, skip_auth);
    if (r == 0)
        return 0;
    close(fd);
    return bp_fail(err, EIO, "the SPICE server does not take the client%s", tls ? "; TLS needs tls-port" : "");
}
const struct bp_client_server spice_client_server = {
    .size = sizeof(spice_client_server), .protocol = "spice", .add = add_client};

int spice_access_listen(struct spice_ui *ui, struct bp_error *err)
{
    int fds[TCP_LISTENERS], count = 0;

    if (ui->unix_socket) {
        fds[0] = unix_socket_listen(&ui->socket, ui->addr, err);
        count = fds[0] < 0 ? fds[0] : 1;
    } else if (ui->port) {
        count = tcp_listen(ui->addr, ui->port, ui->family, fds, err);
    }
    for (int i = 0; i < count; i++) {
        struct spice_listener *l = &ui->listeners[i];

        l->fd = fds[i];
        l->watch = bp_watch_new(NULL, bp_context_main(ui->machine), l->fd, BP_WATCH_IN, arrived, l);
    }
    return count < 0 ? count : 0;
}

int spice_access_set(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    unsigned forced = 0;
    int r;

    r = set_address(ui, args, err);
    if (r == 0 && ui->tls_port)
        r = set_tls(ui, args, err);
    if (r == 0)
        r = set_access(ui, args, err);
    if (r == 0)
        r = set_channels(ui, args, "tls-channel", SPICE_CHANNEL_SECURITY_SSL, &forced, err);
    return r < 0 ? r : set_channels(ui, args, "plaintext-channel", SPICE_CHANNEL_SECURITY_NONE, &forced, err);
}
