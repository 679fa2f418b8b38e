/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VNC server as -vnc and -display vnc= ask for it: its keys, its password, its screen. */
#define BP_SHARED
#include "vnc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nettle/des.h>

#include <bp/command.h>
#include <bp/host/secret.h>
#include <bp/log.h>
#include <bp/option.h>
#include <bp/run.h>

#include "module.h"

#define display (*vnc_display)
#define input (*vnc_input)

struct vnc *vnc_servers;

struct vnc *vnc_find(const char *id)
{
    struct vnc *s = vnc_servers;

    while (s && id && strcmp(s->id, id) != 0)
        s = s->next;
    return s;
}

const char *vnc_name(const struct vnc *s)
{
    static char name[160];
    const char *guest = bp_machine_guest_name(s->machine);

    if (guest && *guest)
        snprintf(name, sizeof(name), "Backplane (%.128s)", guest);
    else
        snprintf(name, sizeof(name), "Backplane");
    return name;
}

/* ---- passwords ---- */

bool vnc_wants_password(const struct vnc *s)
{
    return s->password || s->password_secret;
}

/* RFC 6143, 7.2.2: eight bytes of password, each with its bits the other way round, are a key of DES. */
static void encrypt(const char *password, size_t length, const uint8_t *challenge, uint8_t out[RFB_CHALLENGE])
{
    uint8_t key[DES_KEY_SIZE] = {0};
    struct des_ctx des;

    for (size_t i = 0; i < length && i < sizeof(key); i++) {
        for (unsigned bit = 0; bit < 8; bit++)
            key[i] |= (uint8_t)(((uint8_t)password[i] >> bit & 1) << (7 - bit));
    }
    des_set_key(&des, key); /* 0: a weak key, which works as well */
    des_encrypt(&des, RFB_CHALLENGE, out, challenge);
    memset(key, 0, sizeof(key));
}

const char *vnc_authenticate(struct vnc *s, const uint8_t *challenge, const uint8_t *response)
{
    const char *password = s->secret;
    size_t length = password ? strlen(password) : 0;
    uint8_t wanted[RFB_CHALLENGE], differs = 0;

    if (s->password_secret && !s->secret) {
        const uint8_t *data;

        if (vnc_secret_get(s->password_secret, &data, &length) < 0)
            return "the secret with the password is gone";
        password = (const char *)data;
    }
    if (!password)
        return "no password is set";
    if (time(NULL) >= s->expires_s)
        return "the password has expired";
    encrypt(password, length, challenge, wanted);
    for (unsigned i = 0; i < RFB_CHALLENGE; i++)
        differs |= wanted[i] ^ response[i];
    return differs ? "wrong password" : NULL;
}

enum rfb_vencrypt vnc_vencrypt(const struct vnc *s)
{
    const struct bp_tls_ops *ops;
    struct bp_object *creds;

    if (!s->tls_creds)
        return RFB_VENCRYPT_OFF;
    if (bp_tls_find(s->tls_creds, true, &ops, &creds, NULL) < 0)
        return RFB_VENCRYPT_X509; /* gone: never in the clear */
    return ops->kind == BP_TLS_X509 ? RFB_VENCRYPT_X509 : RFB_VENCRYPT_TLS;
}

/* ---- what clients are told ---- */

static void input_changed(void *opaque)
{
    struct vnc *s = opaque;

    for (struct vnc_client *c = s->clients, *next; c; c = next) {
        next = c->next;
        c->leds_due = c->pointer_due = true;
        vnc_client_resume(c);
        if (!c->closing && c->rfb.state == RFB_NORMAL)
            vnc_client_push(c);
    }
}

/* The one that was shown, while it is there; else the first head of a display adapter, or what there is. */
static void choose_console(struct vnc *s)
{
    const struct bp_console *before = s->console;
    struct bp_console *console, *first = NULL;

    s->console = NULL;
    if (s->device) {
        display->console_find(s->machine, s->device, s->head, &s->console, NULL);
        return;
    }
    for (unsigned n = 0; (console = display->console_at(s->machine, n)); n++) {
        if (console == before) {
            s->console = console;
            return;
        }
        if (!first && !(display->console_flags(console) & BP_CONSOLE_TEXT))
            first = console;
    }
    s->console = first ? first : display->console_at(s->machine, 0);
}

static void switch_console(void *opaque)
{
    struct vnc *s = opaque;
    struct bp_console *console = display->console_at(s->machine, s->show);

    if (!console || console == s->console)
        return;
    for (struct vnc_client *c = s->clients; c; c = c->next)
        vnc_release_keys(c);
    s->console = console;
    for (struct vnc_client *c = s->clients, *next; c; c = next) {
        next = c->next;
        if (!c->closing && c->rfb.state == RFB_NORMAL)
            vnc_screen_watch(c);
    }
}

bool vnc_show(struct vnc *s, unsigned n)
{
    if (s->device || !display->console_at(s->machine, n))
        return false;
    s->show = n;
    bp_deferred_schedule(s->switcher);
    return true;
}

static void consoles_changed(void *opaque)
{
    struct vnc *s = opaque;

    choose_console(s);
    for (struct vnc_client *c = s->clients; c; c = c->next) {
        if (c->closing || c->rfb.state != RFB_NORMAL)
            continue;
        if (!c->viewer && s->console)
            vnc_screen_watch(c);
    }
}

/* ---- opening ---- */

static int check_audiodev(struct vnc *s, struct bp_error *err)
{
    char path[256];

    if (!s->audiodev)
        return 0;
    snprintf(path, sizeof(path), "/audiodevs/%s", s->audiodev);
    if (!bp_object_resolve(path, NULL, NULL))
        return bp_fail(err, ENOENT, "key 'audiodev': there is no audiodev '%.100s'; make it with -audiodev",
                       s->audiodev);
    return vnc_sound_find(s, err);
}

static int check(struct vnc *s, struct bp_error *err)
{
    const struct bp_tls_ops *ops = NULL;
    struct bp_object *creds;
    int r;

    if (s->tls_authz && !s->tls_creds)
        return bp_fail(err, EINVAL, "key 'tls-authz' needs 'tls-creds'");
    if (s->tls_creds && bp_tls_find(s->tls_creds, true, &ops, &creds, err) < 0)
        return -EINVAL;
    if (s->tls_creds && ops->kind == BP_TLS_PSK)
        return bp_fail(err, EINVAL, "key 'tls-creds': VNC has no type of security for pre-shared keys; tls-creds-x509 "
                       "or tls-creds-anon are for it");
    if (s->sasl_authz && !s->sasl)
        return bp_fail(err, EINVAL, "key 'sasl-authz' needs 'sasl=on'");
    if (s->sasl && (s->password || s->password_secret))
        return bp_fail(err, EINVAL, "keys 'sasl' and '%s' exclude each other", s->password ? "password" :
                       "password-secret");
    if (s->password && s->password_secret)
        return bp_fail(err, EINVAL, "keys 'password' and 'password-secret' exclude each other");
    if (s->to && s->to > 65535 - 5900)
        return bp_fail(err, EINVAL, "key 'to' must be 0 to %u", 65535 - 5900);
    r = check_audiodev(s, err);
    return r == 0 && s->acl ? vnc_acl_open(s, ops && ops->kind == BP_TLS_X509, err) : r;
}

int vnc_open(struct bp_object *obj, struct bp_error *err)
{
    struct vnc *s = bp_object_state(obj);
    const uint8_t *data;
    size_t length;
    int r = check(s, err);

    if (r < 0)
        return r;
    s->obj = obj;
    s->machine = bp_command_machine();
    if (!s->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    if (!s->id)
        s->id = bp_strdup(vnc_servers ? bp_object_id(obj) : "default");
    if (vnc_find(s->id))
        return bp_fail(err, EEXIST, "there is a VNC server '%.60s' already", s->id);
    if (s->password_secret && vnc_secret_get(s->password_secret, &data, &length) < 0)
        return bp_fail(err, ENOENT, "key 'password-secret': there is no secret '%.60s'", s->password_secret);
    s->expires_s = INT64_MAX;
    if (s->sasl)
        r = vnc_proof_find(s, err);
    if (r == 0 && s->device)
        r = display->console_find(s->machine, s->device, s->head, &s->console, err);
    if (r == 0)
        r = keymap_new(input->language(), &s->keymap, err);
    if (r < 0)
        return r;
    choose_console(s);
    r = vnc_is_on(s) ? vnc_listen(s, err) : 0;
    if (r < 0) {
        vnc_unlisten(s);
        keymap_free(s->keymap);
        return r;
    }
    s->switcher = bp_deferred_new(NULL, bp_context_main(s->machine), switch_console, s);
    input->listen(input_changed, s);
    display->console_listen(consoles_changed, s);
    s->next = vnc_servers;
    vnc_servers = s;
    return 0;
}

bool vnc_is_on(const struct vnc *s)
{
    return s->address && strcmp(s->address, "none") != 0;
}

int vnc_move(struct vnc *s, const char *address, struct bp_error *err)
{
    int r;

    vnc_unlisten(s);
    while (s->clients)
        vnc_client_free(s->clients);
    free(s->address);
    s->address = bp_strdup(address);
    r = vnc_is_on(s) ? vnc_listen(s, err) : 0;
    if (r < 0) { /* it is off, and can be moved again */
        vnc_unlisten(s);
        free(s->address);
        s->address = bp_strdup("none");
    }
    return r;
}

int vnc_serve_others(struct vnc *s, struct bp_machine *machine, struct bp_error *err)
{
    int r = keymap_new(input->language(), &s->keymap, err);

    if (r < 0)
        return r;
    s->machine = machine;
    s->id = bp_strdup("others");
    s->expires_s = INT64_MAX;
    choose_console(s);
    s->switcher = bp_deferred_new(NULL, bp_context_main(machine), switch_console, s);
    input->listen(input_changed, s);
    display->console_listen(consoles_changed, s);
    return 0;
}

void vnc_close(struct bp_object *obj)
{
    struct vnc *s = bp_object_state(obj), **at = &vnc_servers;

    while (*at && *at != s)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = s->next;
    input->unlisten(input_changed, s);
    display->console_unlisten(consoles_changed, s);
    bp_deferred_free(s->switcher);
    vnc_unlisten(s);
    while (s->clients)
        vnc_client_free(s->clients);
    keymap_free(s->keymap);
    free(s->secret);
}

/* ---- keys of -vnc ---- */

static const char *const share_choices[] = {"allow-exclusive", "force-shared", "ignore", NULL};
static const struct bp_schema share_schema = {.name = "share", .kind = BP_KIND_ENUM, .choices = share_choices};

#define KEY(NAME, KIND, FIELD, DEFAULT, HELP) \
    {.name = NAME, .kind = BP_KIND_##KIND, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct vnc, FIELD), \
     .def = DEFAULT, .help = HELP}
static const struct bp_field vnc_props[] = {
    KEY("vnc", STRING, address, NULL, "HOST:DISPLAY, :DISPLAY, unix:PATH or none"),
    KEY("id", STRING, id, NULL, "name of the server"),
    KEY("to", UINT32, to, "0", "last display number that is tried when others are in use"),
    KEY("ipv4", ON_OFF_AUTO, ipv4, NULL, "listen on IPv4"),
    KEY("ipv6", ON_OFF_AUTO, ipv6, NULL, "listen on IPv6"),
    KEY("reverse", BOOL, reverse, "off", "call a viewer that listens at HOST:PORT"),
    KEY("websocket", STRING, websocket, NULL, "on, PORT, HOST:PORT or unix:PATH: speak WebSocket there, too"),
    KEY("password", BOOL, password, "off", "clients need the password that set_password sets"),
    KEY("password-secret", STRING, password_secret, NULL, "id of the secret that is the password"),
    {.name = "share", .kind = BP_KIND_ENUM, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct vnc, share),
     .def = "allow-exclusive", .schema = &share_schema, .help = "may clients be there beside each other"},
    KEY("lossy", BOOL, lossy, "off", "JPEG for clients that ask for a quality, and Tight's gradient filter"),
    KEY("non-adaptive", BOOL, non_adaptive, "off", "with lossy: what changes often goes no coarser than the rest"),
    KEY("key-delay-ms", UINT32, key_delay_ms, "10", "between a client's keys"),
    KEY("power-control", BOOL, power_control, "off", "clients may shut down and reset the machine"),
    KEY("display", STRING, device, NULL, "id of the device whose screen is shown"),
    KEY("head", UINT32, head, "0", "which of the device's screens"),
    KEY("tls-creds", STRING, tls_creds, NULL, "TLS: id of the credentials"),
    KEY("tls-authz", STRING, tls_authz, NULL, "id of the authz object that is asked about a viewer's certificate"),
    KEY("sasl", BOOL, sasl, "off", "clients prove who they are by SASL, service qemu"),
    KEY("sasl-authz", STRING, sasl_authz, NULL, "id of the authz object that is asked about a viewer's SASL user"),
    KEY("acl", BOOL, acl, "off", "of old: lists that the monitor's acl_add changes are asked"),
    KEY("audiodev", STRING, audiodev, NULL, "audio back end that viewers hear"),
    BP_FIELDS_END,
};
BP_DISPLAY(vnc_class, "vnc", "Viewers over the network (RFB)", struct vnc, vnc_props, .open = vnc_open,
           .close = vnc_close);

static int apply_vnc(struct bp_value *args, struct bp_error *err)
{
    static unsigned count; /* for names alone */
    const char *address = bp_value_get_string(args, "vnc");
    struct bp_object *obj;
    char id[24];
    int r;

    if (!address)
        return bp_fail(err, EINVAL, "the display is missing: HOST:DISPLAY, :DISPLAY, unix:PATH or none");
    snprintf(id, sizeof(id), "vnc%u", ++count);
    r = bp_object_new("display", "vnc", id, NULL, args, &obj, err);
    if (r < 0)
        return r;
    r = vnc_open(obj, err);
    if (r < 0)
        bp_object_destroy(obj);
    return r;
}
BP_OPTION(vnc_option, "vnc", "a VNC server", .phase = BP_PHASE_LATE, .arg = "DISPLAY[,KEY=VALUE...]",
          .group = "Consoles", .keys = vnc_props, .implied = "vnc", .apply = apply_vnc);

static int apply_layout(struct bp_value *args, struct bp_error *err)
{
    const char *name = bp_value_as_string(args);
    struct keymap *map;
    int r = keymap_new(name, &map, err);

    if (r < 0)
        return r;
    keymap_free(map);
    input->set_language(name);
    return 0;
}
BP_OPTION(k_option, "k", "the keyboard layout of clients that name symbols", .phase = BP_PHASE_EARLY,
          .arg = "LANGUAGE", .group = "Consoles", .apply = apply_layout);
