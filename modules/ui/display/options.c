/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -display: opens what shows the screen. The kind `display`, its member `none`, and what the command line
 * said of it (query-display-options).
 */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/log.h>
#include <bp/option.h>

#include "display.h"
#include "options.h"

/* ---- the kind ---- */

static int check_class(const void *desc, struct bp_error *err)
{
    const struct bp_display_class *class = desc;

    return class->open ? 0 : bp_fail(err, EINVAL, "has no open function");
}

static int exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err)
{
    const struct bp_display_class *class;
    struct bp_error why = {0};
    struct bp_object *obj;
    int ret = bp_object_new("display", name, "check", NULL, NULL, &obj, err);

    if (ret < 0)
        return ret;
    class = bp_object_class(obj);
    ret = class->open(obj, &why);
    if (ret == 0) {
        wait(opaque);
        if (class->close)
            class->close(obj);
    }
    bp_object_destroy(obj);
    return ret < 0 ? bp_fail(err, ENOTSUP, "does not open with defaults alone: %s", why.message) : 0;
}

BP_DECLARE_KIND("display", "Displays");
const struct bp_kind display_kind = {BP_DISPLAY_KIND, .check = check_class, .exercise = exercise,
                                     .reserved = {NULL}};

/* ---- none ---- */

struct none {
    bool gl, window_close, show_cursor;
};

static int none_open(struct bp_object *obj, struct bp_error *err)
{
    const struct none *none = bp_object_state(obj);

    if (none->gl)
        return bp_fail(err, EINVAL, "gl=on needs a display that has OpenGL; use gl=off");
    return 0;
}

static const struct bp_field none_props[] = {
    BP_PROP("gl", BOOL, struct none, gl, "off", "OpenGL; there is none here"),
    BP_PROP("window-close", BOOL, struct none, window_close, "on", "of windows; there is none here"),
    BP_PROP("show-cursor", BOOL, struct none, show_cursor, "off", "of windows; there is none here"),
    BP_FIELDS_END};
BP_DISPLAY(none_display, "none", "Shows nothing; screendump and screen-text still do", struct none,
           none_props, .open = none_open);

/* ---- -display ---- */

/* What the manual has and no module offers yet. A module of the name comes first. */
static const struct {
    const char *name, *missing;
} not_built[] = {
    {"cocoa", "windows of macOS, which is no host of ours"},
    {"egl-headless", "OpenGL without a window, which package backplane-egl has"},
    {"spice-app", "a SPICE server, which package backplane-spice has"},
};

static struct bp_value *display_asked; /* the last -display, as it was applied; or NULL */

struct search {
    const char *name;
    bool found;
};

static void match(const char *name, const char *summary, void *opaque)
{
    struct search *search = opaque;

    (void)summary;
    search->found |= !strcmp(name, search->name);
}

static int find_type(const char *type, struct bp_error *err)
{
    struct search search = {type, false};

    bp_provided_each("display", match, &search);
    if (search.found)
        return 0;
    for (unsigned i = 0; i < BP_COUNT(not_built); i++)
        if (!strcmp(type, not_built[i].name))
            return bp_fail(err, ENOTSUP, "not built yet: %s; use -display none", not_built[i].missing);
    return 0; /* making it says what is wrong */
}

static bool full_screen; /* -full-screen */

/* Displays that are windows, the preferred one first. */
static const char *const windows[] = {"gtk", "sdl"};

/* -ENODEV: there is nothing to open it on; everything else is a mistake of who asked. */
static int try_display(const char *type, struct bp_value *keys, struct bp_error *err)
{
    static unsigned count; /* for names alone */
    const struct bp_display_class *class;
    struct bp_object *obj;
    char id[32];
    int ret = find_type(type, err);

    snprintf(id, sizeof(id), "display%u", count++);
    for (unsigned i = 0; full_screen && i < BP_COUNT(windows); i++)
        if (!strcmp(type, windows[i]) && !bp_value_has(keys, "full-screen"))
            bp_value_set(keys, "full-screen", bp_value_bool(true));
    if (ret == 0)
        ret = bp_object_new("display", type, id, NULL, keys, &obj, err);
    if (ret < 0)
        return ret;
    class = bp_object_class(obj);
    ret = class->open(obj, err);
    if (ret < 0)
        bp_object_destroy(obj);
    return ret;
}

static int open_display(const char *type, struct bp_value *keys, struct bp_error *err)
{
    struct bp_error why = {0};
    int ret = try_display(type, keys, &why);

    if (ret == -ENODEV) {
        bp_warn("-display %s: %s; going on without a window, as with -display none", type, why.message);
        return 0;
    }
    if (ret < 0 && err)
        *err = why;
    return ret;
}

static bool is_provided(const char *type)
{
    struct search search = {type, false};

    bp_provided_each("display", match, &search);
    return search.found;
}

/* What a desktop's user sees who did not say how: the first that opens. One line for each that does not. */
static void open_default(void)
{
    for (unsigned i = 0; i < BP_COUNT(windows); i++) {
        struct bp_value *keys = bp_value_dict();
        struct bp_error why = {0};
        int ret = is_provided(windows[i]) ? try_display(windows[i], keys, &why) : -ENOENT;

        bp_value_unref(keys);
        if (ret == 0) {
            bp_value_unref(display_asked);
            display_asked = bp_value_dict();
            bp_value_set(display_asked, "type", bp_value_string(windows[i]));
            return;
        }
        if (ret != -ENOENT)
            bp_warn("no window of -display %s: %s", windows[i], why.message);
    }
    bp_warn("no window is opened, as with -display none: packages backplane-gtk and backplane-sdl have some; "
            "-nographic puts the serial port and the monitor on this terminal");
}

static int apply_display(struct bp_value *args, struct bp_error *err)
{
    struct bp_value *keys = bp_value_copy(args);
    const char *type = bp_value_get_string(keys, "type");
    char *name = bp_strdup(type ? type : bp_value_has(keys, "vnc") ? "vnc" : "");
    int ret;

    bp_value_remove(keys, "type");
    if (!strcmp(name, "default")) {
        open_default();
        bp_value_unref(keys);
        free(name);
        return 0;
    }
    ret = *name ? open_display(name, keys, err)
                : bp_fail(err, EINVAL, "\"type\" is missing: say which kind it is");
    if (ret == 0) {
        bp_value_unref(display_asked);
        display_asked = bp_value_ref(keys);
        bp_value_set(display_asked, "type", bp_value_string(name));
    }
    bp_value_unref(keys);
    free(name);
    return ret;
}

static const struct bp_field display_keys[] = {
    BP_ARG_OPT("type", STRING, "what shows the screen; help lists them"), BP_FIELDS_END};
BP_OPTION(display_option, "display", "how the guest's display is shown", .phase = BP_PHASE_LATE,
          .arg = "TYPE[,KEY=VALUE...]", .group = "Consoles", .keys = display_keys, .implied = "type",
          .any_keys = true, .apply = apply_display);

static int apply_full_screen(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    full_screen = true;
    return 0;
}
BP_OPTION(full_screen_option, "full-screen", "windows begin in full screen", .phase = BP_PHASE_EARLY,
          .group = "Consoles", .apply = apply_full_screen);

/* ---- -vga ---- */

static int apply_vga(struct bp_value *args, struct bp_error *err)
{
    const char *type = bp_value_as_string(args);

    if (!type || !*type)
        return bp_fail(err, EINVAL, "a type is missing");
    bp_choose_default("vga", type);
    return 0;
}
/* Those that are there; which of them a machine takes is its own. */
static int help_vga(struct bp_value *args, struct bp_error *err)
{
    static const struct {
        const char *name, *device, *summary;
    } types[] = {{"std", "VGA", "standard VGA"},           {"cirrus", "cirrus-vga", "Cirrus VGA"},
                 {"vmware", "vmware-svga", "VMware SVGA"}, {"qxl", "qxl-vga", "QXL VGA"},
                 {"virtio", "virtio-vga", "Virtio VGA"},   {"none", NULL, "no graphic card"}};
    const char *format = bp_value_get_string(args, "format");
    bool json = format && !strcmp(format, "json");
    const char *between = "";

    (void)err;
    printf(json ? "[" : "Graphic cards (-vga TYPE):\n");
    for (unsigned i = 0; i < BP_COUNT(types); i++) {
        if (types[i].device && !bp_provided("device", types[i].device))
            continue;
        if (json)
            printf("%s{\"name\": \"%s\", \"summary\": \"%s\"}", between, types[i].name,
                   types[i].summary);
        else
            printf("%-8s %s\n", types[i].name, types[i].summary);
        between = ", ";
    }
    printf(json ? "]\n" : "");
    return 0;
}

BP_OPTION(vga_option, "vga", "the display adapter that the machine has by default; help lists them",
          .phase = BP_PHASE_EARLY, .arg = "std|none|TYPE", .group = "Devices", .apply = apply_vga,
          .show_help = help_vga);

/* ---- query-display-options ---- */

static int add_key(const char *key, struct bp_value *member, void *to)
{
    bp_value_set(to, key, bp_value_ref(member));
    return 0;
}

static int query_display_options(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_dict();
    if (display_asked)
        bp_value_each(display_asked, add_key, *ret_value);
    else
        bp_value_set(*ret_value, "type", bp_value_string("none"));
    return 0;
}

static const struct bp_field options_members[] = {
    BP_ARG("type", STRING, "what -display named"), BP_FIELDS_END};
static const struct bp_schema options_schema = {"DisplayOptions", BP_KIND_STRUCT,
                                                .members = options_members};
BP_COMMAND(cmd_query_options, "query-display-options", "what shows the screen", NULL, STRUCT,
           &options_schema, query_display_options, 0);
