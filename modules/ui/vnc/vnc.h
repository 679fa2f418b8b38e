/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VNC server: what its files share. [main] under the machine lock. */
#ifndef VNC_H
#define VNC_H

#include <sys/socket.h>

#include <bp/clock.h>
#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/host/tls.h>
#include <bp/loop.h>

#include <bp/host/audio.h>

#include "keymap.h"
#include "rfb.h"
#include "sasl.h"
#include "tcp-socket.h"
#include "unix-socket.h"
#include "websocket.h"

#define VNC_LISTENERS 16u
#define VNC_CLIENTS 64u

extern const struct bp_display_interface *const *const vnc_display;
extern const struct bp_input_interface *const *const vnc_input;

enum vnc_share { VNC_ALLOW_EXCLUSIVE, VNC_FORCE_SHARED, VNC_IGNORE };

struct vnc_listener {
    struct vnc *server;
    struct bp_watch *watch; /* NULL: none here */
    int fd;
    bool websocket;
};

/* A server: the state of a display object. */
struct vnc {
    /* Properties. */
    char *address, *websocket, *password_secret, *device, *id;
    char *tls_creds, *tls_authz, *sasl_authz, *audiodev;
    bool password, reverse, sasl, acl, lossy, non_adaptive, power_control;
    bool sounds; /* there is an audiodev */
    int ipv4, ipv6, share; /* on, off, auto */
    uint32_t to, head, key_delay_ms;

    struct bp_object *obj;
    struct bp_machine *machine;
    struct bp_console *console; /* NULL: the machine has none */
    const struct vnc_sasl_interface *proof; /* NULL: no SASL */
    struct vnc_listener listeners[VNC_LISTENERS];
    struct vnc_client *clients;
    unsigned client_count;
    unsigned show; /* number of the console that Ctrl-Alt and a digit asked for */
    struct bp_deferred *switcher;
    char *secret;       /* password that was set, or NULL */
    int64_t expires_s;  /* of it: seconds since the epoch; INT64_MAX: never */
    struct keymap *keymap;
    struct unix_socket unix_sockets[2]; /* for RFB, for WebSocket */
    struct vnc *next;
};
extern struct vnc *vnc_servers; /* of the process: what query-vnc-servers lists */
struct vnc *vnc_find(const char *id); /* NULL: the first; or NULL */

/* Of tiles. */
#define VNC_TILE_W 64u
#define VNC_TILE_H 16u
#define VNC_TILE_CHANGED 1u /* the guest's picture has */
#define VNC_TILE_ASKED 2u   /* the client wants it in any case */
#define VNC_TILE_STALE 4u   /* what was sent coarsely is to be sent exactly */
#define VNC_TILE_MOVED 8u   /* while copies are looked for */
#define VNC_TILE_PLAIN 0x10u /* while it is chosen what goes how */
#define VNC_TILE_COARSE 0x20u
#define VNC_TILE_EXACT 0x40u

struct vnc_rects {
    struct bp_rect *rects; /* owned */
    size_t count, room;
};

struct vnc_client {
    struct vnc *server;
    struct vnc_client *next;
    int fd;
    struct bp_watch *watch;
    struct bp_timer *pause;  /* of its input: between keys, or until there is room */
    struct bp_deferred *ender; /* it is to go */
    struct bp_timer *give_up; /* until it has got through the handshake */
    struct rfb rfb;
    struct bytes in, payload, wire; /* as received; unwrapped; to be sent */
    struct websocket ws;
    bool is_websocket, paused, closing, shared;
    const struct bp_tls_ops *tls; /* with session */
    struct bp_tls_session *session; /* NULL: in the clear */
    bool securing;          /* TLS is to begin, or its handshake is under way: `watch` is NULL then */
    struct bp_authz_question *question; /* may it? Until the answer nothing is read */
    struct vnc_sasl *proof; /* NULL: not begun, or no SASL */
    bool proved, sealed;    /* it has proved who it is; `seal` and `plain` are in use */
    struct bytes seal, plain; /* to be sent; received and unsealed */
    char host[64], service[32], family[8]; /* of its end */
    /* The picture. */
    struct bp_viewer *viewer;
    uint16_t width, height; /* that it was told */
    uint8_t *dirty;         /* VNC_TILE_*, of tiles: to be sent */
    uint32_t columns, rows;
    bool requested, incremental;
    struct bp_rect asked;
    bool sending;           /* `frame` is held; `todo` from `done` on is to come */
    struct bp_frame frame;
    struct vnc_rects todo;
    size_t done, coarse_until, exact_from; /* of `todo` */
    struct vnc_rects copies; /* to be told before, in this order */
    int32_t copy_dx, copy_dy;
    /* What it sees (seen.c); NULL: not kept. */
    uint32_t *seen;         /* its picture, in lines of `width` */
    uint8_t *known;         /* of tiles: `seen` is right */
    unsigned seen_formats, misses;
    struct vnc_heat *heat;  /* of tiles */
    struct bp_timer *settler;
    /* What it is to be told besides. */
    bool cursor_due, leds_due, name_due, screens_due, pointer_due, power_due, key_due, audio_due;
    uint16_t screens_reason, screens_status;
    /* Sound. */
    struct bp_capture *capture; /* NULL: it wants none */
    struct bp_audio_format sound_format;
    struct bytes sound;         /* messages, to be sent between updates */
    struct bp_deferred *sounder;
    bool sounding;              /* the last of them is no end */
    /* Input. */
    uint8_t buttons;
    uint16_t last_x, last_y;
    uint8_t held[96]; /* keys that are down, a bit for each code */
};

/* ---- server.c ---- */
int vnc_open(struct bp_object *obj, struct bp_error *err);
void vnc_close(struct bp_object *obj);
/* Words why not, or NULL: the password that counts, for a client that answers. */
const char *vnc_authenticate(struct vnc *s, const uint8_t *challenge, const uint8_t *response);
bool vnc_wants_password(const struct vnc *s);
/* What the server's credentials are; in words as query-vnc-servers has them. RFB_VENCRYPT_OFF: none. */
enum rfb_vencrypt vnc_vencrypt(const struct vnc *s);

/* Soon shows the n-th console, from 0, to all; false: there is none, or the server was given one screen. */
bool vnc_show(struct vnc *s, unsigned n);
/* A server without addresses, for connections that others accept (serve.c). */
int vnc_serve_others(struct vnc *s, struct bp_machine *machine, struct bp_error *err);

/* Other than "none": closes what it has open and listens there. */
int vnc_move(struct vnc *s, const char *address, struct bp_error *err);
bool vnc_is_on(const struct vnc *s); /* has listened, or called a viewer */

/* ---- listen.c ---- */
int vnc_listen(struct vnc *s, struct bp_error *err);
void vnc_unlisten(struct vnc *s);
/* Numbers of an address as text. */
void vnc_describe(const struct sockaddr *address, socklen_t length, char host[64], char service[32],
                  char family[8]);
void vnc_describe_socket(int fd, bool peer, char host[64], char service[32], char family[8]);

/* ---- client.c ---- */
void vnc_client_new(struct vnc *s, int fd, bool websocket); /* takes fd */
void vnc_client_add(struct vnc *s, int fd, bool websocket, bool known); /* known: who it is was asked already */
void vnc_client_free(struct vnc_client *c);
void vnc_client_feed(struct vnc_client *c, const void *data, size_t size); /* as if it had been received */
/* Sends what is there, and an update when it is time for one. It may be gone after this. */
void vnc_client_push(struct vnc_client *c);
/* Asks the authz object whether who has proved to be `identity` may (RFB_PROOF_ASKED). */
void vnc_client_ask(struct vnc_client *c, const char *authz, const char *identity);
void vnc_client_resume(struct vnc_client *c); /* takes input again */
const char *vnc_name(const struct vnc *s);

/* ---- acl.c ---- */
/* acl=on: makes the lists and has the server ask them. `x509`: viewers show certificates. */
int vnc_acl_open(struct vnc *s, bool x509, struct bp_error *err);

/* ---- proof.c ---- */
int vnc_proof_find(struct vnc *s, struct bp_error *err); /* sets s->proof */
const char *vnc_proof_mechanisms(void *client);
enum rfb_proof vnc_proof_step(void *client, const char *mechanism, const uint8_t *data, size_t size,
                              const uint8_t **ret_out, size_t *ret_size);
const char *vnc_proof_user(const struct vnc_client *c); /* NULL: not known */
void vnc_proof_over(struct vnc_client *c); /* after each step: begins to seal when it is time */
/* False: it is broken. */
bool vnc_proof_seal(struct vnc_client *c);
bool vnc_proof_unseal(struct vnc_client *c, struct bytes *from);
void vnc_proof_free(struct vnc_client *c);

/* ---- screen.c ---- */
void vnc_screen_open(struct vnc_client *c); /* a viewer of the server's console */
void vnc_screen_watch(struct vnc_client *c); /* the console that has come, or another one. It may be gone after this. */
void vnc_screen_close(struct vnc_client *c);
void vnc_screen_request(struct vnc_client *c, bool incremental, const struct bp_rect *area);
/* Puts as much of an update as there should be now into rfb.out. */
void vnc_screen_update(struct vnc_client *c);

/* Runs of tiles with one of these bits, one under another where they are the same. */
void vnc_collect(const struct vnc_client *c, const struct bp_rect *tiles, uint8_t bits, struct vnc_rects *list);
void vnc_add_rect(struct vnc_rects *list, struct bp_rect r);

/* ---- seen.c ---- */
void vnc_seen_forget(struct vnc_client *c); /* its picture has another size */
void vnc_seen_close(struct vnc_client *c);
/* Finds the copies, and takes off what the client has; `area`: tiles that are to be sent when they are dirty. */
void vnc_seen_compare(struct vnc_client *c, const struct bp_rect *area);
/* Those that are dirty become VNC_TILE_PLAIN, _COARSE or _EXACT. */
void vnc_seen_grade(struct vnc_client *c, const struct bp_rect *area);
void vnc_seen_lost(struct vnc_client *c, const struct bp_rect *r); /* was sent coarsely just now */

/* ---- sound.c ---- */
int vnc_sound_find(struct vnc *s, struct bp_error *err); /* the server has an audiodev */
void vnc_sound_init(struct vnc_client *c);
bool vnc_sound_asked(struct vnc_client *c, unsigned op, uint8_t sample, uint8_t channels, uint32_t rate);
void vnc_sound_put(struct vnc_client *c); /* where no update is under way */
void vnc_sound_free(struct vnc_client *c);

/* ---- keys.c ---- */
int vnc_key(struct vnc_client *c, bool down, uint32_t keysym, uint32_t xt);
int vnc_pointer(struct vnc_client *c, uint8_t buttons, uint16_t x, uint16_t y);
void vnc_release_keys(struct vnc_client *c);

/* ---- commands.c ---- */
struct bp_value *vnc_client_info(const struct vnc_client *c);
enum vnc_event { VNC_CONNECTED, VNC_INITIALIZED, VNC_DISCONNECTED };
void vnc_tell(const struct vnc_client *c, enum vnc_event event);

#endif
