/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `ui-web`: -display web serves the machine's screen to browsers, with Debian's noVNC. The address has a token
 * that is made anew at each start: who has it may use the machine.
 */
#include "web.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/log.h>

BP_USE(vnc_import, struct bp_vnc_interface, "vnc", 1);
const struct bp_vnc_interface *const *const web_vnc = &vnc_import;
BP_USE(vc_import, struct bp_vc_interface, "vc", 1);
const struct bp_vc_interface *const *const web_vc = &vc_import;
BP_USE(display_import, struct bp_display_interface, "display", 1);
const struct bp_display_interface *const *const web_display_api = &display_import;
static const struct bp_import imports[] = {BP_IMPORT(vnc_import, "vnc", 1), BP_IMPORT(vc_import, "vc", 1),
                                           BP_IMPORT(display_import, "display", 1), {0}};

#define HOST "127.0.0.1"
#define FIRST_PORT 6080u
#define LAST_PORT 6179u /* that is tried when nobody says one */
#define NOVNC "/usr/share/novnc/core/rfb.js"

static void arrived(void *opaque, unsigned events)
{
    struct web_listener *l = opaque;
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0)
        web_client_new(l->web, fd);
}

/* All addresses of a host on one port. -EADDRINUSE: try another one. */
static int listen_on(struct web *web, const char *host, unsigned port, struct bp_error *err)
{
    int fds[TCP_LISTENERS], count = tcp_listen(host, port, AF_UNSPEC, fds, err);

    for (int i = 0; i < count; i++) {
        struct web_listener *l = &web->listeners[web->listener_count++];

        l->web = web;
        l->fd = fds[i];
        l->watch = bp_watch_new(NULL, bp_context_main(web->machine), l->fd, BP_WATCH_IN, arrived, l);
    }
    return count < 0 ? count : 0;
}

/* "HOST:PORT", ":PORT", "[IPV6]:PORT" */
static int parse(const char *text, char host[128], unsigned *ret_port, struct bp_error *err)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    unsigned long port;
    char *end;

    port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
    if (!port || *end || port > 65535 || length > 127)
        return bp_fail(err, EINVAL, "key 'addr': '%.100s' is no address; use HOST:PORT, :PORT or [IPV6]:PORT, with a "
                       "port from 1 to 65535", text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    *ret_port = (unsigned)port;
    return 0;
}

static int make_token(struct web *web, struct bp_error *err)
{
    uint8_t random[WEB_TOKEN / 2];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return bp_fail(err, EIO, "the host has no random numbers: %s", strerror(errno));
    for (unsigned i = 0; i < sizeof(random); i++)
        snprintf(web->token + 2 * i, 3, "%02x", random[i]);
    return 0;
}

static int web_open(struct bp_object *obj, struct bp_error *err)
{
    struct web *web = bp_object_state(obj);
    char host[128] = HOST;
    unsigned port = FIRST_PORT;
    int r = web->addr ? parse(web->addr, host, &port, err) : 0;

    if (r == 0 && access(NOVNC, R_OK) < 0)
        r = bp_fail(err, ENODEV, "the page needs noVNC, and %s is not there: install package novnc", NOVNC);
    if (r < 0)
        return r;
    web->machine = bp_command_machine();
    if (!web->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    r = make_token(web, err);
    if (r == 0)
        r = listen_on(web, host, port, err);
    while (!web->addr && r == -EADDRINUSE && port < LAST_PORT)
        r = listen_on(web, host, ++port, err);
    if (r < 0)
        return r;
    bp_info("the screen is at http://%s%s%s:%u/%s/", strchr(host, ':') ? "[" : "", *host ? host : "127.0.0.1",
            strchr(host, ':') ? "]" : "", port, web->token);
    return 0;
}

static void web_close(struct bp_object *obj)
{
    struct web *web = bp_object_state(obj);

    for (unsigned i = 0; i < web->listener_count; i++) {
        bp_watch_free(web->listeners[i].watch);
        close(web->listeners[i].fd);
    }
    web->listener_count = 0;
    while (web->clients)
        web_client_free(web->clients);
    while (web->consoles)
        web_console_free(web->consoles);
}

static const struct bp_field props[] = {
    BP_PROP("addr", STRING, struct web, addr, NULL,
            "HOST:PORT to listen on; without it the host itself, from port 6080 on"),
    BP_FIELDS_END};
BP_DISPLAY(web_display, "web", "The screen for browsers, over HTTP", struct web, props, .open = web_open,
           .close = web_close);
BP_MODULE("ui-web", "Display for browsers", imports, {BP_PROVIDE_OTHER, &web_display});
