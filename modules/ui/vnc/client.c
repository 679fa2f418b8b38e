/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client: bytes between its socket and the protocol, and what the protocol asks of the server. A client is
 * ended by the main loop, after whoever found the reason has returned.
 */
#include "vnc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <bp/log.h>
#include <bp/run.h>

#define input (*vnc_input)
#define READ_AT_ONCE 65536u
#define PAYLOAD_MOST (RFB_PROOF_MAX + READ_AT_ONCE) /* more than any message; only then is something left */
#define UNSENT_MOST (4u << 20) /* more than an update leaves there; from there on nothing is read */
#define HANDSHAKE_NS 60000000000ll
#define RETRY_NS 10000000ll

static void end_later(void *opaque)
{
    struct vnc_client *c = opaque;

    vnc_client_free(c);
}

static void ready(void *opaque, unsigned events);

static void end(struct vnc_client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    c->requested = false;
    bp_watch_free(c->watch);
    c->watch = NULL;
    bp_deferred_schedule(c->ender);
}

/* ---- output ---- */

static ssize_t send_some(struct vnc_client *c, const uint8_t *data, size_t size)
{
    ssize_t n;

    if (c->session)
        return c->tls->write(c->session, data, size);
    n = send(c->fd, data, size, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* False: the connection is broken. */
static bool write_out(struct vnc_client *c, struct bytes *b)
{
    size_t at = 0;

    while (at < b->size) {
        ssize_t n = send_some(c, b->data + at, b->size - at);

        if (n == -EINTR)
            continue;
        if (n < 0 && n != -EAGAIN)
            return false;
        if (n < 0)
            break;
        at += (size_t)n;
    }
    bytes_drop(b, at);
    return true;
}

/* Everything that is ready, as far as the socket takes it. */
static bool flush(struct vnc_client *c)
{
    struct bytes *out = c->sealed ? &c->seal : &c->rfb.out;

    if (c->sealed && !vnc_proof_seal(c))
        return false;
    if (!c->is_websocket)
        return write_out(c, out);
    if (c->ws.open && !c->ws.closed && out->size) {
        websocket_wrap(&c->wire, out->size);
        bytes_put(&c->wire, out->data, out->size);
        bytes_drop(out, out->size);
    }
    return write_out(c, &c->wire);
}

static size_t unsent(const struct vnc_client *c)
{
    return c->rfb.out.size + c->seal.size + c->wire.size;
}

/* ---- TLS ---- */

static void judged(void *opaque, int ret, const struct bp_error *err)
{
    struct vnc_client *c = opaque;

    c->question = NULL;
    if (c->closing)
        return;
    c->securing = false;
    if (ret < 0) {
        bp_log(BP_LOG_TRACE, "vnc: client %s:%s: %s\n", c->host, c->service, err->message);
        end(c);
        return;
    }
    c->watch = bp_watch_new(NULL, bp_context_main(c->server->machine), c->fd, BP_WATCH_IN, ready, c);
    if (c->is_websocket || rfb_secured(&c->rfb))
        vnc_client_push(c);
    else
        end(c);
}

static void secured(void *opaque, int ret, const struct bp_error *err)
{
    struct vnc_client *c = opaque;

    if (ret == 0 && c->server->tls_authz)
        c->question = bp_authz_ask(c->server->tls_authz, c->tls->peer_name(c->session), judged, c);
    else
        judged(c, ret, err);
}

/* What was in the clear has gone. */
static void secure(struct vnc_client *c)
{
    struct bp_error err = {0};
    struct bp_object *creds = NULL;
    int r = bp_tls_find(c->server->tls_creds, true, &c->tls, &creds, &err);

    bp_watch_free(c->watch);
    c->watch = NULL;
    if (r == 0 && c->in.size)
        r = bp_fail(&err, EPROTO, "client %s:%s goes on before TLS was agreed", c->host, c->service);
    if (r == 0)
        r = c->tls->session_new(creds, true, NULL, c->fd, &c->session, &err);
    if (r < 0) {
        bp_warn("vnc: %s", err.message);
        end(c);
        return;
    }
    c->tls->start(c->session, bp_context_main(c->server->machine), HANDSHAKE_NS, secured, c);
}

/* ---- who has proved who it is ---- */

static void digest(struct vnc_client *c);

static void proof_judged(void *opaque, int ret, const struct bp_error *err)
{
    struct vnc_client *c = opaque;

    c->question = NULL;
    if (c->closing)
        return;
    rfb_judged(&c->rfb, ret == 0);
    if (ret < 0) {
        bp_log(BP_LOG_TRACE, "vnc: client %s:%s: %s\n", c->host, c->service, err->message);
        flush(c); /* why */
        end(c);
        return;
    }
    c->proved = true;
    vnc_proof_over(c);
    digest(c);
}

void vnc_client_ask(struct vnc_client *c, const char *authz, const char *identity)
{
    c->question = bp_authz_ask(authz, identity, proof_judged, c);
}

static void start_tls(void *opaque)
{
    ((struct vnc_client *)opaque)->securing = true; /* with the next push */
}

void vnc_client_push(struct vnc_client *c)
{
    bool broken = false;

    if (c->closing || (c->securing && !c->watch))
        return;
    /* A few rounds; what is left then waits for the socket, and other things go on. */
    for (unsigned round = 0; round < 4 && !broken; round++) {
        broken = !flush(c);
        if (broken || c->rfb.state != RFB_NORMAL || unsent(c))
            break;
        vnc_sound_put(c);
        vnc_screen_update(c);
        if (!unsent(c))
            break;
    }
    if (!broken)
        broken = !flush(c);
    if (broken)
        end(c);
    else if (c->securing && !(c->is_websocket ? c->wire.size : unsent(c)))
        secure(c);
    else
        /* Who reads no answers (to pings, to XVP) can ask no more. */
        bp_watch_set(c->watch, (c->paused || c->rfb.busy || unsent(c) > UNSENT_MOST ? 0 : BP_WATCH_IN) |
                                   (unsent(c) || c->sending ? BP_WATCH_OUT : 0));
}

/* ---- input ---- */

static const char *authenticate(void *opaque, const uint8_t *challenge, const uint8_t *response)
{
    return vnc_authenticate(((struct vnc_client *)opaque)->server, challenge, response);
}

static bool initialized(void *opaque, bool shared, uint16_t *ret_width, uint16_t *ret_height,
                        const char **ret_name)
{
    struct vnc_client *c = opaque;
    struct vnc *s = c->server;

    c->shared = shared || s->share == VNC_FORCE_SHARED;
    for (struct vnc_client *other = s->clients; other && s->share == VNC_ALLOW_EXCLUSIVE; other = other->next) {
        if (other == c || other->closing || other->rfb.state != RFB_NORMAL)
            continue;
        if (!c->shared)
            end(other);
        else if (!other->shared)
            return false;
    }
    bp_timer_free(c->give_up);
    c->give_up = NULL;
    vnc_screen_open(c);
    *ret_width = c->width;
    *ret_height = c->height;
    *ret_name = vnc_name(s);
    vnc_tell(c, VNC_INITIALIZED);
    return true;
}

static void encodings(void *opaque)
{
    struct vnc_client *c = opaque;

    c->rfb.lossy = c->server->lossy;
    c->cursor_due = c->leds_due = c->name_due = c->screens_due = c->pointer_due = c->key_due = c->audio_due = true;
    c->screens_reason = c->screens_status = 0;
    if ((c->rfb.has & RFB_HAS_XVP) && c->server->power_control && !c->power_due) {
        c->power_due = true; /* was said */
        rfb_put_power(&c->rfb, 1);
    }
}

static void request(void *opaque, bool incremental, uint16_t x, uint16_t y, uint16_t width, uint16_t height)
{
    const struct bp_rect area = {x, y, width, height};

    vnc_screen_request(opaque, incremental, &area);
}

static int key(void *opaque, bool down, uint32_t keysym, uint32_t xt)
{
    return vnc_key(opaque, down, keysym, xt);
}

static int pointer(void *opaque, uint8_t buttons, uint16_t x, uint16_t y)
{
    return vnc_pointer(opaque, buttons, x, y);
}

/* The guest decides; it is told what the client would like. */
static void resize(void *opaque, uint16_t width, uint16_t height)
{
    struct vnc_client *c = opaque;
    const struct bp_ui_info info = {.size = sizeof(info), .width = width, .height = height};
    bool asked = c->server->console && (*vnc_display)->request_size(c->server->console, &info, NULL) == 0;

    c->screens_due = true;
    c->screens_reason = 1;
    c->screens_status = asked ? 4 : 1; /* forwarded, or prohibited */
}

static bool sound(void *opaque, unsigned op, uint8_t sample, uint8_t channels, uint32_t rate)
{
    return vnc_sound_asked(opaque, op, sample, channels, rate);
}

static void push_sound(void *opaque)
{
    vnc_client_push(opaque);
}

static bool power(void *opaque, enum rfb_power what)
{
    struct vnc_client *c = opaque;
    struct bp_machine *machine = c->server->machine;

    if (!c->server->power_control)
        return false;
    if (what == RFB_POWER_SHUTDOWN)
        bp_machine_request_powerdown(machine);
    else
        bp_machine_request_reset(machine, BP_SHUTDOWN_HOST_UI);
    return true;
}

static const struct rfb_host host = {
    .secure = start_tls, .authenticate = authenticate, .mechanisms = vnc_proof_mechanisms, .prove = vnc_proof_step,
    .initialized = initialized, .encodings = encodings,
    .request = request, .key = key, .pointer = pointer, .resize = resize, .power = power, .audio = sound};

/* Takes what stands in its buffers. False: the connection ends. */
static bool take(struct vnc_client *c, const char **ret_why)
{
    struct bytes *from = &c->in;
    ssize_t n = 0;

    if (c->is_websocket) {
        n = websocket_input(&c->ws, c->in.data, c->in.size, &c->payload, &c->wire, ret_why);
        if (n < 0)
            return false;
        bytes_drop(&c->in, (size_t)n);
        from = &c->payload;
    }
    if (c->is_websocket && !c->ws.open)
        return true;
    for (bool proved = true; proved;) { /* what follows the proof may be sealed, or not */
        proved = c->proved;
        if (c->sealed && !vnc_proof_unseal(c, from)) {
            *ret_why = "what it sends is not sealed as was agreed";
            return false;
        }
        from = c->sealed ? &c->plain : from;
        n = rfb_input(&c->rfb, from->data, from->size, ret_why);
        if (n < 0)
            return false;
        bytes_drop(from, (size_t)n);
        proved = !proved && c->proved;
        if (proved)
            vnc_proof_over(c);
    }
    if (from->size > PAYLOAD_MOST && !c->rfb.busy) {
        *ret_why = "its message is too long";
        return false;
    }
    return !(c->is_websocket && c->ws.closed);
}

static void digest(struct vnc_client *c)
{
    const char *why = NULL;

    if (c->in.size + c->payload.size + c->plain.size && !take(c, &why)) {
        flush(c); /* why, for those who can hear it */
        if (why)
            bp_log(BP_LOG_TRACE, "vnc: client %s:%s: %s\n", c->host, c->service, why);
        end(c);
        return;
    }
    if (c->rfb.busy && !c->paused) /* its keyboard or mouse is full: the listener, or this, tries again */
        bp_timer_set(c->pause, bp_timer_now(c->pause) + RETRY_NS);
    vnc_client_push(c);
}

static void receive(struct vnc_client *c)
{
    uint8_t *to = bytes_reserve(&c->in, READ_AT_ONCE); /* a record of TLS is less: none is left inside */
    ssize_t n = c->session ? c->tls->read(c->session, to, READ_AT_ONCE) : recv(c->fd, to, READ_AT_ONCE, 0);

    if (n < 0 && !c->session)
        n = -errno;
    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n <= 0) {
        end(c);
        return;
    }
    c->in.size += (size_t)n;
    digest(c);
}

void vnc_client_feed(struct vnc_client *c, const void *data, size_t size)
{
    bytes_put(&c->in, data, size);
    digest(c);
}

static void ready(void *opaque, unsigned events)
{
    struct vnc_client *c = opaque;

    if (events & BP_WATCH_HUP && !(events & BP_WATCH_IN)) {
        end(c);
        return;
    }
    if (events & BP_WATCH_IN && !c->paused)
        receive(c);
    if (events & BP_WATCH_OUT && !c->closing)
        vnc_client_push(c);
}

void vnc_client_resume(struct vnc_client *c)
{
    if (!c->closing && !c->paused && c->rfb.busy)
        digest(c);
}

static void pause_over(void *opaque)
{
    struct vnc_client *c = opaque;

    c->paused = false;
    if (!c->closing)
        digest(c);
}

static void too_slow(void *opaque)
{
    end(opaque);
}

/* ---- life ---- */

void vnc_client_new(struct vnc *s, int fd, bool websocket)
{
    vnc_client_add(s, fd, websocket, false);
}

void vnc_client_add(struct vnc *s, int fd, bool websocket, bool known)
{
    struct bp_context *main = bp_context_main(s->machine);
    uint8_t challenge[RFB_CHALLENGE];
    bool password = vnc_wants_password(s) && !known;
    struct vnc_client *c;

    if (s->client_count == VNC_CLIENTS ||
        (password && getrandom(challenge, sizeof(challenge), 0) != (ssize_t)sizeof(challenge))) {
        close(fd);
        return;
    }
    c = bp_alloc(sizeof(*c));
    memset(c, 0, sizeof(*c));
    c->server = s;
    c->fd = fd;
    c->is_websocket = websocket;
    vnc_describe_socket(fd, true, c->host, c->service, c->family);
    rfb_begin(&c->rfb, &host, c, password ? challenge : NULL);
    c->rfb.vencrypt = websocket || known ? RFB_VENCRYPT_OFF : vnc_vencrypt(s); /* a WebSocket is secured as a whole */
    c->rfb.wants_proof = s->proof && !known;
    c->securing = websocket && s->tls_creds;
    vnc_sound_init(c);
    c->sounder = bp_deferred_new(NULL, main, push_sound, c);
    c->ender = bp_deferred_new(NULL, main, end_later, c);
    c->pause = bp_timer_new(NULL, main, BP_CLOCK_REALTIME, pause_over, c);
    c->give_up = bp_timer_new(NULL, main, BP_CLOCK_REALTIME, too_slow, c);
    bp_timer_set(c->give_up, bp_timer_now(c->give_up) + HANDSHAKE_NS);
    c->watch = bp_watch_new(NULL, main, fd, BP_WATCH_IN, ready, c);
    c->next = s->clients;
    s->clients = c;
    s->client_count++;
    vnc_tell(c, VNC_CONNECTED);
    vnc_client_push(c);
}

void vnc_client_free(struct vnc_client *c)
{
    struct vnc_client **at = &c->server->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->server->client_count--;
    vnc_release_keys(c);
    vnc_tell(c, VNC_DISCONNECTED);
    vnc_screen_close(c);
    if (c->watch)
        bp_watch_free(c->watch);
    vnc_sound_free(c);
    bp_deferred_free(c->sounder);
    bp_deferred_free(c->ender);
    bp_timer_free(c->pause);
    if (c->give_up)
        bp_timer_free(c->give_up);
    bp_authz_drop(c->question);
    vnc_proof_free(c);
    if (c->session)
        c->tls->session_free(c->session);
    rfb_end(&c->rfb);
    bytes_free(&c->in);
    bytes_free(&c->payload);
    bytes_free(&c->wire);
    close(c->fd);
    free(c);
}
