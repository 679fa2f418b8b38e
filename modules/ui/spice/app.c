/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -display spice-app: a SPICE server on a UNIX socket in a folder of this user's alone, and the desktop's viewer for
 * such addresses (xdg-open). Text consoles (chardev vc) are then ports that the viewer shows.
 */
#define BP_SHARED
#include "spice-server.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bp/log.h>
#include <bp/run.h>

extern char **environ;

struct app {
    bool gl;
};

static char folder[64], address[128];

/* The shell does not wait for the viewer; 127: there is no xdg-open. */
static int launch(void)
{
    static char script[] = "command -v xdg-open >/dev/null 2>&1 || exit 127; xdg-open \"$1\" &";
    char uri[160];
    static char name[] = "sh", flag[] = "-c";
    char *const argv[] = {name, flag, script, name, uri, NULL};
    posix_spawn_file_actions_t actions;
    int r, status = 0;
    pid_t pid;

    snprintf(uri, sizeof(uri), "spice+unix://%s", address);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    r = posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0)
        return -r;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOENT;
}

static void started(void *opaque)
{
    int r = *address ? launch() : 0;

    (void)opaque;
    if (r < 0)
        bp_warn("-display spice-app: no viewer is started (%s, package xdg-utils); the screen is at spice+unix://%s",
                r == -ENOENT ? "there is no xdg-open" : strerror(-r), address);
}

void spice_app_leave(void)
{
    if (*folder)
        rmdir(folder);
    *folder = *address = '\0';
}

static int app_open(struct bp_object *obj, struct bp_error *err)
{
    const struct app *app = bp_object_state(obj);
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct bp_value *args;
    int r;

    if (!base || strlen(base) > sizeof(folder) - sizeof("/backplane-XXXXXX"))
        base = "/tmp";
    snprintf(folder, sizeof(folder), "%s/backplane-XXXXXX", base);
    if (!mkdtemp(folder)) {
        r = -errno;
        *folder = '\0';
        return bp_fail(err, -r, "no folder for the socket can be made in %s: %s", base, strerror(-r));
    }
    snprintf(address, sizeof(address), "%s/spice.sock", folder);
    args = bp_value_dict();
    bp_value_set(args, "addr", bp_value_string(address));
    bp_value_set(args, "unix", bp_value_bool(true));
    bp_value_set(args, "disable-ticketing", bp_value_bool(true));
    bp_value_set(args, "image-compression", bp_value_string("off")); /* it is on this computer */
    bp_value_set(args, "gl", bp_value_bool(app->gl));
    r = spice_start(args, err);
    bp_value_unref(args);
    if (r < 0) {
        spice_app_leave();
        return r;
    }
    bp_on_start(started, NULL);
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("gl", BOOL, struct app, gl, "off", "pictures are drawn by OpenGL"), BP_FIELDS_END};
BP_DISPLAY(spice_app, "spice-app", "The desktop's SPICE viewer, on a server of its own", struct app, props,
           .open = app_open);
