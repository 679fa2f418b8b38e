/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Serial ports and monitors as the command line gives them, and what they are by default: with
 * -nographic the first serial port and the monitor share the terminal; where there is a window (or another
 * display) each has a text console in it; else the port exists, its output is dropped, and there is no monitor.
 * A device that the user names can take a default's place (bp_device_class.replaces_default).
 */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include <bp/exact/machine.h>
#include <bp/log.h>

#include "config.h"
#include "monitor.h"
#include "options.h"
#include "registry.h"

#define TEXT_CONSOLE "vc:80Cx24C"

struct bpc_startup bpc_startup;

static int chardevs(const struct bp_chardev_interface **ret_table, struct bp_error *err)
{
    const void *table;
    int ret = bpc_require_interface("chardev", 1, &table, err);

    if (ret < 0)
        return ret;
    *ret_table = table;
    return 0;
}

int bpc_console_add_serial(const char *text, struct bp_error *err)
{
    if (bpc_startup.serials == BP_COUNT(bpc_startup.serial))
        return bp_fail(err, E2BIG, "at most %zu serial ports are accepted",
                       BP_COUNT(bpc_startup.serial));
    bpc_startup.serial[bpc_startup.serials++] = g_strdup(text);
    return 0;
}

int bpc_console_add_parallel(const char *text, struct bp_error *err)
{
    if (bpc_startup.parallels == BP_COUNT(bpc_startup.parallel))
        return bp_fail(err, E2BIG, "at most %zu parallel ports are accepted",
                       BP_COUNT(bpc_startup.parallel));
    bpc_startup.parallel[bpc_startup.parallels++] = g_strdup(text);
    return 0;
}

int bpc_console_add_monitor(const char *text, const char *chardev, bool control, bool pretty,
                            struct bp_error *err)
{
    unsigned n = bpc_startup.monitor_count;

    if (n == BPC_MAX_MONITORS)
        return bp_fail(err, E2BIG, "at most %d monitors are accepted", BPC_MAX_MONITORS);
    bpc_startup.monitors[n].text = g_strdup(text);
    bpc_startup.monitors[n].chardev = g_strdup(chardev);
    bpc_startup.monitors[n].control = control;
    bpc_startup.monitors[n].pretty = pretty;
    bpc_startup.monitor_count++;
    if (!control)
        bpc_startup.monitor_given = true;
    return 0;
}

static bool on_stdio(const char *text)
{
    return text && (strncmp(text, "stdio", 5) == 0 || strncmp(text, "mon:stdio", 9) == 0);
}

static void note_stdio(struct bp_value *args, void *opaque)
{
    if (g_strcmp0(bp_value_get_string(args, "backend"), "stdio") == 0)
        *(bool *)opaque = true;
}

static bool stdio_taken(void)
{
    bool taken = false;

    bpc_options_each("chardev", note_stdio, &taken);
    if (taken)
        return true;
    for (unsigned i = 0; i < bpc_startup.serials; i++) {
        if (on_stdio(bpc_startup.serial[i]))
            return true;
    }
    for (unsigned i = 0; i < bpc_startup.parallels; i++) {
        if (on_stdio(bpc_startup.parallel[i]))
            return true;
    }
    for (unsigned i = 0; i < bpc_startup.monitor_count; i++) {
        if (on_stdio(bpc_startup.monitors[i].text))
            return true;
    }
    return false;
}

static void note_replaced(struct bp_value *args, void *opaque)
{
    const char *driver = bp_value_get_string(args, "driver");
    const struct bp_device_class *class;
    const void *desc;

    if (!driver || bpc_describe(BP_PROVIDE_DEVICE, driver, &desc, NULL) < 0)
        return; /* what is wrong with it is told when it is made */
    class = desc;
    if (class->replaces_default)
        g_ptr_array_add(opaque, g_strdup(class->replaces_default));
}

static void find_replaced(void)
{
    GPtrArray *names = g_ptr_array_new();

    bpc_options_each("device", note_replaced, names);
    if (bpc_startup.parallels > 0) /* -parallel itself: a board that has none refuses those */
        g_ptr_array_add(names, g_strdup("parallel"));
    g_ptr_array_add(names, NULL);
    bpc_config.replaced_defaults = (char **)g_ptr_array_free(names, FALSE);
}

static void note_use(struct bp_value *args, void *opaque)
{
    (void)args;
    *(bool *)opaque = true;
}

static void note_display(struct bp_value *args, void *opaque)
{
    const char *type = bp_value_get_string(args, "type");

    if (!type || strcmp(type, "none") != 0)
        *(bool *)opaque = true;
}

/* Is there something to see? Then text consoles are for what -nographic puts on the terminal. */
static bool has_windows(void)
{
    bool any = false;

    if (bpc_startup.nographic || !bp_provided("chardev", "vc"))
        return false;
    bpc_options_each("vnc", note_use, &any);
    bpc_options_each("spice", note_use, &any);
    bpc_options_each("display", note_display, &any);
    return any || bpc_console_wants_default_display();
}

static int add_defaults(struct bp_error *err)
{
    bool no_serial = bpc_startup.serials == 0 && bp_machine_defaults(NULL, "serial");
    bool taken = stdio_taken();
    bool want_monitor = bpc_startup.nographic && !bpc_startup.monitor_given && !taken;
    bool windows = !bpc_config.nodefaults && has_windows();
    int ret = 0;

    if (bpc_config.nodefaults)
        return 0;
    if (windows && !bpc_startup.monitor_given)
        ret = bpc_console_add_monitor(TEXT_CONSOLE, NULL, false, false, err);
    if (ret == 0 && bpc_startup.parallels == 0 && bp_machine_defaults(NULL, "parallel"))
        ret = bpc_console_add_parallel(windows ? TEXT_CONSOLE : "null", err);
    if (ret < 0)
        return ret;
    if (bpc_config.daemonize && bpc_startup.nographic && (no_serial || want_monitor))
        return bp_fail(err, EINVAL, "-nographic puts the serial port and the monitor on the "
                       "terminal, which -daemonize leaves: add -nodefaults, or -serial and "
                       "-monitor");
    if (no_serial)
        ret = bpc_console_add_serial(windows ? TEXT_CONSOLE : !bpc_startup.nographic || taken ? "null"
                                     : want_monitor ? "mon:stdio" : "stdio", err);
    else if (want_monitor)
        ret = bpc_console_add_monitor("stdio", NULL, false, false, err);
    return ret;
}

/* The chardev of port n, "serial" or "parallel". */
static int make_port(const struct bp_chardev_interface *table, const char *kind, const char *text,
                     unsigned n, struct bp_object **ret_chardev, struct bp_error *err)
{
    struct bp_chardev *chr = NULL;
    char *id = strncmp(text, "chardev:", 8) == 0 ? g_strdup(text + 8)
                                                 : g_strdup_printf("%s%u", kind, n);
    char *path = g_strdup_printf("/chardevs/%s", id);
    int ret = table->create_legacy(id, text, &chr, err);

    if (ret == 0 && chr) {
        *ret_chardev = bp_object_resolve(path, NULL, NULL);
        if (!*ret_chardev)
            ret = bp_fail(err, ENOENT, "there is no object %s", path);
        if (strncmp(text, "mon:", 4) == 0)
            bpc_startup.mon_mux[bpc_startup.mon_muxes++] = chr;
    }
    if (ret < 0)
        bpc_options_blame(kind, text, err);
    g_free(path);
    g_free(id);
    return ret;
}

static bool all_none(char *const *texts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(texts[i], "none") != 0)
            return false;
    }
    return true;
}

/* Text consoles of monitors are numbered before those of ports: Ctrl-Alt-2 is the monitor. */
static int make_monitor_consoles(struct bp_error *err)
{
    const struct bp_chardev_interface *table;
    struct bp_chardev *chr;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < bpc_startup.monitor_count; i++) {
        const char *text = bpc_startup.monitors[i].text;
        char *name;

        if (!text || strncmp(text, "vc", 2) != 0)
            continue;
        ret = chardevs(&table, err);
        name = g_strdup_printf("compat_monitor%u", i);
        if (ret == 0)
            ret = table->create_legacy(name, text, &chr, err);
        if (ret < 0)
            bpc_options_blame(bpc_startup.monitors[i].control ? "qmp" : "monitor", text, err);
        bpc_startup.monitors[i].made = ret == 0;
        g_free(name);
    }
    return ret;
}

int bpc_console_make_serials(struct bp_error *err)
{
    const struct bp_chardev_interface *table;
    int ret;

    find_replaced();
    ret = add_defaults(err);
    if (ret == 0)
        ret = make_monitor_consoles(err);

    if (ret < 0 || (all_none(bpc_startup.serial, bpc_startup.serials) &&
                    all_none(bpc_startup.parallel, bpc_startup.parallels)))
        return ret;
    ret = chardevs(&table, err);
    for (unsigned i = 0; ret == 0 && i < bpc_startup.serials; i++)
        ret = make_port(table, "serial", bpc_startup.serial[i], i, &bpc_config.serial[i], err);
    for (unsigned i = 0; ret == 0 && i < bpc_startup.parallels; i++)
        ret = make_port(table, "parallel", bpc_startup.parallel[i], i, &bpc_config.parallel[i], err);
    return ret;
}

static int make_monitor(const struct bp_chardev_interface *table, unsigned n, struct bp_error *err)
{
    const char *text = bpc_startup.monitors[n].text, *id = bpc_startup.monitors[n].chardev;
    bool control = bpc_startup.monitors[n].control;
    struct bp_chardev *chr = NULL;
    int ret = 0;

    if (id) {
        chr = table->find(id);
        if (!chr)
            ret = bp_fail(err, ENOENT, "-mon: key 'chardev': there is no chardev '%.100s'", id);
    } else {
        char *name = g_strdup_printf("compat_monitor%u", n);

        if (bpc_startup.monitors[n].made)
            chr = table->find(name);
        else
            ret = table->create_legacy(name, text, &chr, err);
        g_free(name);
        if (ret < 0)
            bpc_options_blame(control ? "qmp" : "monitor", text, err);
    }
    if (ret == 0 && chr) {
        ret = bpc_monitor_new(chr, control, bpc_startup.monitors[n].pretty, err);
        if (ret < 0 && id)
            bp_error_prefix(err, "-mon chardev=%s", id);
        else if (ret < 0)
            bpc_options_blame(control ? "qmp" : "monitor", text, err);
    }
    return ret;
}

int bpc_console_make_monitors(struct bp_error *err)
{
    const struct bp_chardev_interface *table;
    int ret;

    if (bpc_startup.monitor_count == 0 && bpc_startup.mon_muxes == 0)
        return 0;
    ret = chardevs(&table, err);
    for (unsigned i = 0; ret == 0 && i < bpc_startup.mon_muxes; i++)
        ret = bpc_monitor_new(bpc_startup.mon_mux[i], false, false, err);
    for (unsigned i = 0; ret == 0 && i < bpc_startup.monitor_count; i++)
        ret = make_monitor(table, i, err);
    for (unsigned i = 0; ret == 0 && i < bpc_startup.mon_muxes; i++) {
        const char *hint = table->leave_hint(bpc_startup.mon_mux[i]);

        if (hint)
            bp_info("%s", hint);
    }
    return ret;
}

static bool is_shown(void)
{
    bool shown = bpc_startup.nographic;

    bpc_options_each("display", note_use, &shown);
    bpc_options_each("vnc", note_use, &shown);
    bpc_options_each("spice", note_use, &shown);
    return shown;
}

/* Where there is a desktop and nothing was said. */
bool bpc_console_wants_default_display(void)
{
    return !is_shown() && !bpc_config.daemonize && (getenv("DISPLAY") || getenv("WAYLAND_DISPLAY"));
}

int bpc_console_default_display(struct bp_error *err)
{
    if (!bpc_console_wants_default_display())
        return 0;
    return bpc_options_add("display", "default", NULL, err);
}

void bpc_console_warn_hidden(void)
{
    if (!is_shown() && !bpc_config.nodefaults)
        bp_warn("no window is opened, as with -display none; -nographic puts the serial port and the "
                "monitor on this terminal, and the monitor's screendump and screen-text show the "
                "screen");
}
