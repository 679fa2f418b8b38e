/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `ui-spice`: -spice, a server of the SPICE protocol by libspice-server. */
#include "egl.h"
#include "spice-server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/secret.h>
#include <bp/log.h>
#include <bp/run.h>

BP_USE(display_import, struct bp_display_interface, "display", 1);
BP_USE(input_import, struct bp_input_interface, "input", 1);
BP_USE(secret_import, struct bp_secret_interface, "secret", 1);
const struct bp_display_interface *const *const spice_display = &display_import;
const struct bp_input_interface *const *const spice_input = &input_import;
const struct bp_secret_interface *const *const spice_secret = &secret_import;
static const struct bp_import imports[] = {BP_IMPORT_MINOR(display_import, "display", 1, 2),
                                           BP_IMPORT(input_import, "input", 1),
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
    BP_ARG_OPT("gl", BOOL, "pictures are drawn by OpenGL; on UNIX sockets alone"),
    BP_ARG_OPT("rendernode", STRING, "file of the DRI device for gl=on; without it the first one that can be used"),
    BP_FIELDS_END};

static unsigned choice(struct bp_value *args, const char *key, const char *const *choices, unsigned otherwise)
{
    const char *text = bp_value_get_string(args, key);

    for (unsigned i = 0; text && choices[i]; i++)
        if (!strcmp(text, choices[i]))
            return i;
    return otherwise;
}

/* ---- setting it up ---- */

static void set_details(struct spice_ui *ui, struct bp_value *args)
{
    SpiceServer *s = ui->server;

    spice_server_set_image_compression(s, compression_values[choice(args, "image-compression", compressions, 0)]);
    spice_server_set_jpeg_compression(s, wan_values[choice(args, "jpeg-wan-compression", wan_choices, 0)]);
    spice_server_set_zlib_glz_compression(s, wan_values[choice(args, "zlib-glz-wan-compression", wan_choices, 0)]);
    spice_server_set_streaming_video(s, video_values[choice(args, "streaming-video", video_choices, 0)]);
    spice_server_set_agent_mouse(s, spice_is_on(args, "agent-mouse", true));
    spice_server_set_agent_copypaste(s, !spice_is_on(args, "disable-copy-paste", false));
    spice_server_set_agent_file_xfer(s, !spice_is_on(args, "disable-agent-file-xfer", false));
    spice_server_set_playback_compression(s, spice_is_on(args, "playback-compression", true));
    spice_server_set_seamless_migration(s, spice_is_on(args, "seamless-migration", false));
    spice_server_set_name(s, bp_machine_guest_name(ui->machine) ? bp_machine_guest_name(ui->machine) : "Backplane");
}

static int check(struct spice_ui *ui, struct bp_value *args, struct bp_error *err)
{
    int r = spice_access_check(ui, args, err);

    if (r < 0)
        return r;
    if (bp_value_has(args, "rendernode") && !spice_is_on(args, "gl", false))
        return bp_fail(err, EINVAL, "key 'rendernode' needs gl=on");
    if (spice_is_on(args, "gl", false) && !ui->unix_socket)
        return bp_fail(err, EINVAL, "gl=on is for viewers on this computer: it needs unix=on,addr=PATH");
    return 0;
}

/* What it draws goes to viewers as copies, as other pictures do. */
static int start_opengl(struct bp_value *args, const struct egl_interface **ret_egl, struct bp_error *err)
{
    const void *table = NULL;
    int r;

    if (!spice_is_on(args, "gl", false))
        return 0;
    r = bp_interface_require("egl", 1, &table, err);
    if (r < 0) {
        bp_error_prefix(err, "key 'gl'");
        return r;
    }
    r = ((const struct egl_interface *)table)->start("-spice", bp_value_get_string(args, "rendernode"), OPENGL_ANY,
                                                     err);
    if (r == 0)
        *ret_egl = table;
    return r;
}

int spice_start(struct bp_value *args, struct bp_error *err)
{
    struct spice_ui *ui = &spice_ui;
    const struct egl_interface *egl = NULL;
    int r;

    if (ui->server)
        return bp_fail(err, EBUSY, "there is a SPICE server already; -spice or -display spice-app is given once");
    r = check(ui, args, err);
    if (r < 0)
        return r;
    ui->machine = bp_command_machine();
    if (!ui->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    r = start_opengl(args, &egl, err);
    if (r < 0)
        return r;
    g_log_set_handler("Spice", ALL_LEVELS, note, NULL);
    ui->server = spice_server_new();
    r = spice_access_set(ui, args, err);
    if (r == 0) {
        set_details(ui, args);
        spice_core_start(ui->machine);
        spice_commands_start(ui->machine);
        if (spice_server_init(ui->server, &spice_core) != 0)
            r = bp_fail(err, EADDRINUSE, "the SPICE server does not start (%s): its address is in use or not ours, or "
                        "its certificate, key or ciphers do not fit", first_words);
    }
    if (r == 0)
        r = spice_access_listen(ui, err);
    if (r < 0) {
        if (egl)
            egl->stop();
        spice_server_destroy(ui->server);
        ui->server = NULL;
        return r;
    }
    spice_inputs_open(ui);
    r = spice_screens_open(ui, err);
    if (r == 0)
        r = spice_instances_give(err);
    /* A machine that stands still has a screen, and is never told of: the library would wait for viewers that stall. */
    spice_server_vm_start(ui->server);
    return r;
}
BP_OPTION(spice_option, "spice", "a SPICE server", .phase = BP_PHASE_LATE, .arg = "KEY=VALUE[,KEY=VALUE...]",
          .group = "Consoles", .keys = keys, .apply = spice_start);

/* What stands in the file system goes with the process. */
static void leave(void)
{
    unix_socket_remove(&spice_ui.socket);
    spice_app_leave();
}

static int begin(struct bp_error *err)
{
    (void)err;
    display_import->password_server(&spice_password_server);
    display_import->client_server(&spice_client_server);
    return 0;
}

BP_MODULE_WITH_FINI("ui-spice", "SPICE server", imports, begin, leave, {BP_PROVIDE_OPTION, &spice_option},
                    {BP_PROVIDE_OTHER, &spice_app},
                    {BP_PROVIDE_INTERFACE, &spice_interface},
                    {BP_PROVIDE_COMMAND, &spice_query}, {BP_PROVIDE_HMP, &spice_info},
                    {BP_PROVIDE_EVENT, &spice_connected}, {BP_PROVIDE_EVENT, &spice_initialized},
                    {BP_PROVIDE_EVENT, &spice_disconnected});
