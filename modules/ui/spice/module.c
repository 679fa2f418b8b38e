/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `ui-spice`: -spice, a server of the SPICE protocol by libspice-server. */
#include "spice-server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/host/secret.h>
#include <bp/log.h>
#include <bp/run.h>

BP_USE(display_import, struct bp_display_interface, "display", 1);
BP_USE(input_import, struct bp_input_interface, "input", 1);
BP_USE(secret_import, struct bp_secret_interface, "secret", 1);
const struct bp_display_interface *const *const spice_display = &display_import;
const struct bp_input_interface *const *const spice_input = &input_import;
static const struct bp_import imports[] = {BP_IMPORT(display_import, "display", 1), BP_IMPORT(input_import, "input", 1),
                                           BP_IMPORT(secret_import, "secret", 1), {0}};

struct spice_ui spice_ui;

/* ---- what the library says ---- */

/* What it warns of is for the log: what went wrong at the start is an error with what it said first. */
static char first_words[160];

/* The library speaks through glib's log, of which this one function is wanted. */
typedef void log_function(const char *domain, int level, const char *message, void *opaque);
unsigned g_log_set_handler(const char *domain, int levels, log_function *fn, void *opaque);
#define ALL_LEVELS (~3) /* of a log's levels; the lower two are flags */

static void note(const char *domain, int level, const char *message, void *opaque)
{
    const char *at = strrchr(message, ':'); /* "FILE:LINE:FUNCTION: words" */

    (void)domain;
    (void)level;
    (void)opaque;
    if (!*first_words)
        snprintf(first_words, sizeof(first_words), "%.150s", at && at[1] == ' ' ? at + 2 : message);
    bp_log(BP_LOG_TRACE, "spice: %s\n", message);
}

/* ---- keys ---- */

static const char *const compressions[] = {"auto_glz", "auto_lz", "quic", "glz", "lz", "off", NULL};
static const SpiceImageCompression compression_values[] = {
    SPICE_IMAGE_COMPRESSION_AUTO_GLZ, SPICE_IMAGE_COMPRESSION_AUTO_LZ, SPICE_IMAGE_COMPRESSION_QUIC,
    SPICE_IMAGE_COMPRESSION_GLZ, SPICE_IMAGE_COMPRESSION_LZ, SPICE_IMAGE_COMPRESSION_OFF};
static const struct bp_schema compression_schema = {.name = "SpiceImageCompression", .kind = BP_KIND_ENUM,
                                                    .choices = compressions};
static const char *const wan_choices[] = {"auto", "never", "always", NULL};
static const spice_wan_compression_t wan_values[] = {
    SPICE_WAN_COMPRESSION_AUTO, SPICE_WAN_COMPRESSION_NEVER, SPICE_WAN_COMPRESSION_ALWAYS};
static const struct bp_schema wan_schema = {.name = "SpiceWanCompression", .kind = BP_KIND_ENUM,
                                            .choices = wan_choices};
static const char *const video_choices[] = {"off", "all", "filter", NULL};
static const int video_values[] = {SPICE_STREAM_VIDEO_OFF, SPICE_STREAM_VIDEO_ALL, SPICE_STREAM_VIDEO_FILTER};
static const struct bp_schema video_schema = {.name = "SpiceStreamVideo", .kind = BP_KIND_ENUM,
                                              .choices = video_choices};

static const struct bp_schema names_schema = {.name = "list of names", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRING};
#define REPEATED(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_LIST, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED, .help = HELP, \
     .schema = &names_schema}
#define CHOICE(NAME, SCHEMA, HELP) \
    {.name = NAME, .kind = BP_KIND_ENUM, .flags = BP_FIELD_OPTIONAL, .schema = SCHEMA, .help = HELP}
static const struct bp_field keys[] = {
    BP_ARG_OPT("port", UINT32, "TCP port without encryption"), BP_ARG_OPT("tls-port", UINT32, "TCP port with TLS"),
    BP_ARG_OPT("addr", STRING, "address to listen on, or a UNIX socket's path; without it any"),
    BP_ARG_OPT("ipv4", BOOL, "IPv4 only"), BP_ARG_OPT("ipv6", BOOL, "IPv6 only"),
    BP_ARG_OPT("unix", BOOL, "addr is a UNIX socket's path"),
    BP_ARG_OPT("password-secret", STRING, "id of the secret that is the password"),
    BP_ARG_OPT("sasl", BOOL, "clients prove who they are by SASL"),
    BP_ARG_OPT("disable-ticketing", BOOL, "clients need no password"),
    BP_ARG_OPT("disable-copy-paste", BOOL, "no clipboard between client and guest"),
    BP_ARG_OPT("disable-agent-file-xfer", BOOL, "no files from the client for the guest's agent"),
    BP_ARG_OPT("x509-dir", STRING, "folder of ca-cert.pem, server-cert.pem, server-key.pem"),
    BP_ARG_OPT("x509-key-file", STRING, "private key"), BP_ARG_OPT("x509-key-password", STRING, "of the private key"),
    BP_ARG_OPT("x509-cert-file", STRING, "certificate"), BP_ARG_OPT("x509-cacert-file", STRING, "its authority's"),
    BP_ARG_OPT("x509-dh-key-file", STRING, "Diffie-Hellman parameters"),
    BP_ARG_OPT("tls-ciphers", STRING, "ciphers, as OpenSSL lists them"),
    REPEATED("tls-channel", "main, display, cursor, inputs, record, playback or default: with TLS only"),
    REPEATED("plaintext-channel", "the same: without TLS only"),
    CHOICE("image-compression", &compression_schema, "of pictures, without losses"),
    CHOICE("jpeg-wan-compression", &wan_schema, "JPEG for slow links"),
    CHOICE("zlib-glz-wan-compression", &wan_schema, "zlib over glz for slow links"),
    CHOICE("streaming-video", &video_schema, "what changes often is sent as video"),
    BP_ARG_OPT("agent-mouse", BOOL, "the pointer's position by the guest's agent"),
    BP_ARG_OPT("playback-compression", BOOL, "sound is compressed"),
    BP_ARG_OPT("seamless-migration", BOOL, "clients follow a migration without noticing"),
    BP_ARG_OPT("gl", BOOL, "OpenGL; not built yet"), BP_ARG_OPT("rendernode", STRING, "for gl=on"), BP_FIELDS_END};

static bool is_on(struct bp_value *args, const char *key, bool otherwise)
{
    struct bp_value *v = bp_value_get(args, key);

    return v ? bp_value_as_bool(v) : otherwise;
}

static unsigned choice(struct bp_value *args, const char *key, const char *const *choices, unsigned otherwise)
{
    const char *text = bp_value_get_string(args, key);

    for (unsigned i = 0; text && choices[i]; i++)
        if (!strcmp(text, choices[i]))
            return i;
    return otherwise;
}

/* ---- setting it up ---- */

static int get_port(struct bp_value *args, const char *key, uint32_t *ret_port, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(args, key);
    uint64_t port = v ? bp_value_as_uint(v) : 0;

    if (v && (port < 1 || port > 65535))
        return bp_fail(err, ERANGE, "key '%s': a port is 1 to 65535", key);
    *ret_port = (uint32_t)port;
    return 0;
}

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

static int set_channels(struct spice_ui *ui, struct bp_value *args, const char *key, int security,
                        struct bp_error *err)
{
    static const char *const known[] = {"main", "display", "cursor", "inputs", "record", "playback", "default"};
    struct bp_value *list = bp_value_get(args, key);

    if (list && security == SPICE_CHANNEL_SECURITY_SSL && !ui->tls_port)
        return bp_fail(err, EINVAL, "key '%s' needs tls-port", key);
    if (list && security == SPICE_CHANNEL_SECURITY_NONE && !ui->port && !ui->unix_socket)
        return bp_fail(err, EINVAL, "key '%s' needs port or unix=on", key);
    for (size_t i = 0; list && i < bp_value_length(list); i++) {
        const char *name = bp_value_as_string(bp_value_at(list, i));
        unsigned n = 0;

        while (n < BP_COUNT(known) && strcmp(name ? name : "", known[n]))
            n++;
        if (n == BP_COUNT(known))
            return bp_fail(err, EINVAL, "key '%s': '%.40s' is no channel; use main, display, cursor, inputs, record, "
                           "playback or default", key, name ? name : "");
        spice_server_set_channel_security(ui->server, strcmp(name, "default") ? name : NULL, security);
    }
    return 0;
}

static int set_access(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    const char *secret = bp_value_get_string(args, "password-secret");
    const uint8_t *data;
    char text[128];
    size_t length;

    ui->auth = "spice";
    if (is_on(args, "sasl", false)) {
        if (spice_server_set_sasl(ui->server, 1) != 0)
            return bp_fail(err, ENOTSUP, "key 'sasl': the library was made without SASL; use sasl=off");
        spice_server_set_sasl_appname(ui->server, "qemu");
        ui->auth = "sasl";
    }
    if (secret) {
        if (secret_import->get(secret, &data, &length, NULL) < 0)
            return bp_fail(err, ENOENT, "key 'password-secret': there is no secret '%.60s'", secret);
        if (length > 60 || memchr(data, '\0', length))
            return bp_fail(err, EINVAL, "key 'password-secret': a SPICE password is 1 to 60 characters of text");
        memcpy(text, data, length);
        text[length] = '\0';
        spice_server_set_ticket(ui->server, text, 0, 0, 0);
        explicit_bzero(text, sizeof(text));
    }
    if (is_on(args, "disable-ticketing", false)) {
        if (secret)
            return bp_fail(err, EINVAL, "keys 'password-secret' and 'disable-ticketing' exclude each other");
        spice_server_set_noauth(ui->server);
        ui->auth = "none";
    }
    return 0;
}

static int set_address(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    const char *addr = bp_value_get_string(args, "addr");
    bool ipv4 = is_on(args, "ipv4", false), ipv6 = is_on(args, "ipv6", false);
    int flags = ui->unix_socket ? SPICE_ADDR_FLAG_UNIX_ONLY : ipv4 && !ipv6 ? SPICE_ADDR_FLAG_IPV4_ONLY
                : ipv6 && !ipv4 ? SPICE_ADDR_FLAG_IPV6_ONLY : 0;

    if (ui->unix_socket && (ipv4 || ipv6))
        return bp_fail(err, EINVAL, "key 'unix' does not go together with ipv4 and ipv6");
    if (ui->unix_socket && (!addr || !*addr))
        return bp_fail(err, EINVAL, "unix=on needs addr=PATH");
    if (ui->unix_socket && ui->port)
        return bp_fail(err, EINVAL, "key 'port' does not go together with unix=on");
    spice_server_set_addr(ui->server, addr ? addr : "", flags);
    if (ui->port)
        spice_server_set_port(ui->server, (int)ui->port);
    ui->addr = addr ? bp_strdup(addr) : NULL;
    return 0;
}

static void set_details(struct spice_ui *ui, struct bp_value *args)
{
    SpiceServer *s = ui->server;

    spice_server_set_image_compression(s, compression_values[choice(args, "image-compression", compressions, 0)]);
    spice_server_set_jpeg_compression(s, wan_values[choice(args, "jpeg-wan-compression", wan_choices, 0)]);
    spice_server_set_zlib_glz_compression(s, wan_values[choice(args, "zlib-glz-wan-compression", wan_choices, 0)]);
    spice_server_set_streaming_video(s, video_values[choice(args, "streaming-video", video_choices, 0)]);
    spice_server_set_agent_mouse(s, is_on(args, "agent-mouse", true));
    spice_server_set_agent_copypaste(s, !is_on(args, "disable-copy-paste", false));
    spice_server_set_agent_file_xfer(s, !is_on(args, "disable-agent-file-xfer", false));
    spice_server_set_playback_compression(s, is_on(args, "playback-compression", true));
    spice_server_set_seamless_migration(s, is_on(args, "seamless-migration", false));
    spice_server_set_name(s, bp_machine_guest_name(ui->machine) ? bp_machine_guest_name(ui->machine) : "Backplane");
}

static void run_changed(void *opaque, bool running)
{
    struct spice_ui *ui = opaque;

    if (!ui->server)
        return;
    if (running)
        spice_server_vm_start(ui->server);
    else
        spice_server_vm_stop(ui->server);
}

static int check(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    int r = get_port(args, "port", &ui->port, err);

    if (r == 0)
        r = get_port(args, "tls-port", &ui->tls_port, err);
    if (r < 0)
        return r;
    ui->unix_socket = is_on(args, "unix", false);
    if (!ui->port && !ui->tls_port && !ui->unix_socket)
        return bp_fail(err, EINVAL, "nothing to listen on: say port=N, tls-port=N, or unix=on,addr=PATH");
    if (is_on(args, "gl", false) || bp_value_has(args, "rendernode"))
        return bp_fail(err, ENOTSUP, "key '%s' is not built yet: OpenGL for SPICE; use gl=off",
                       is_on(args, "gl", false) ? "gl" : "rendernode");
    return 0;
}

static int apply(struct bp_value *args, struct bp_error *err)
{
    struct spice_ui *ui = &spice_ui;
    int r;

    if (ui->server)
        return bp_fail(err, EBUSY, "there is a SPICE server already; -spice is given once");
    r = check(ui, args, err);
    if (r < 0)
        return r;
    ui->machine = bp_command_machine();
    if (!ui->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    g_log_set_handler("Spice", ALL_LEVELS, note, NULL);
    ui->server = spice_server_new();
    r = set_address(ui, args, err);
    if (r == 0 && ui->tls_port)
        r = set_tls(ui, args, err);
    if (r == 0)
        r = set_access(ui, args, err);
    if (r == 0)
        r = set_channels(ui, args, "tls-channel", SPICE_CHANNEL_SECURITY_SSL, err);
    if (r == 0)
        r = set_channels(ui, args, "plaintext-channel", SPICE_CHANNEL_SECURITY_NONE, err);
    if (r == 0) {
        set_details(ui, args);
        spice_core_start(ui->machine);
        spice_commands_start(ui->machine);
        if (spice_server_init(ui->server, &spice_core) != 0)
            r = bp_fail(err, EADDRINUSE, "the SPICE server does not start (%s): its address is in use or not ours, or "
                        "its certificate, key or ciphers do not fit", first_words);
    }
    if (r < 0) {
        spice_server_destroy(ui->server);
        ui->server = NULL;
        return r;
    }
    spice_inputs_open(ui);
    r = spice_screens_open(ui, err);
    bp_machine_on_run_change(ui->machine, NULL, BP_RUN_ORDER_USER, run_changed, ui);
    if (bp_machine_running(ui->machine))
        spice_server_vm_start(ui->server);
    return r;
}
BP_OPTION(spice_option, "spice", "a SPICE server", .phase = BP_PHASE_LATE, .arg = "KEY=VALUE[,KEY=VALUE...]",
          .group = "Consoles", .keys = keys, .apply = apply);

/* What stands in the file system goes with the process. */
static void leave(void)
{
    if (spice_ui.server && spice_ui.unix_socket)
        unlink(spice_ui.addr);
}

BP_MODULE_WITH_FINI("ui-spice", "SPICE server", imports, NULL, leave, {BP_PROVIDE_OPTION, &spice_option},
                    {BP_PROVIDE_COMMAND, &spice_query}, {BP_PROVIDE_HMP, &spice_info},
                    {BP_PROVIDE_EVENT, &spice_connected}, {BP_PROVIDE_EVENT, &spice_initialized},
                    {BP_PROVIDE_EVENT, &spice_disconnected});
