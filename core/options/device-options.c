/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options that make things (devices, objects, defaults of properties) and the consoles. */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include "device.h"
#include "keyval.h"
#include "machine.h"
#include "object.h"
#include "config.h"
#include "options.h"
#include "registry.h"
#include "run.h"
#include "schema.h"

#define DEVICES "Devices and objects"
#define CONSOLES "Consoles and monitors"

static const struct bp_field device_keys[] = {
    BP_ARG("driver", STRING, "type of the device; help lists them"),
    BP_ARG_OPT("id", STRING, "name by which others refer to it"),
    BP_ARG_OPT("bus", STRING, "bus it plugs into"),
    BP_FIELDS_END,
};

static int apply_device(struct bp_value *args, struct bp_error *err)
{
    return bpc_device_add(bpc_the_machine, args, false, err);
}

BP_OPTION(option_device, "device", "adds a device (-device help, -device TYPE,help)",
          .arg = "driver[,prop=value...]", .group = DEVICES, .phase = BP_PHASE_DEVICE,
          .keys = device_keys, .implied = "driver", .any_keys = true, .apply = apply_device);

static const struct bp_field object_keys[] = {
    BP_ARG("qom-type", STRING, "type of the object; help lists them"),
    BP_ARG_OPT("id", STRING, "its name; it has to have one"),
    BP_FIELDS_END,
};

static int apply_object(struct bp_value *args, struct bp_error *err)
{
    return bpc_object_add(args, err);
}

/* What character devices may need (keys, passwords, rights) is made before them. */
unsigned bpc_option_phase(const struct bp_option *option, const struct bp_value *args)
{
    const char *type = option->apply == apply_object ? bp_value_get_string(args, "qom-type") : NULL;
    const struct bp_type_info *info;
    const void *desc;

    if (!type || bpc_describe(BP_PROVIDE_OBJECT, type, &desc, NULL) < 0)
        return option->phase;
    info = desc;
    return info->flags & BP_TYPE_EARLY ? BPC_PHASE_EARLY_OBJECTS : option->phase;
}

BP_OPTION(option_object, "object", "makes an object (-object help, -object TYPE,help)",
          .arg = "type,id=name[,prop=value...]", .group = DEVICES, .phase = BP_PHASE_OBJECT,
          .keys = object_keys, .implied = "qom-type", .any_keys = true, .apply = apply_object);

/* ---- -global: DRIVER.PROP=VALUE, where VALUE may hold anything, or three keys ---- */

static const struct bp_field global_keys[] = {
    BP_ARG("driver", STRING, "type"),
    BP_ARG("property", STRING, "its property"),
    BP_ARG("value", STRING, "default for the property"),
    BP_FIELDS_END,
};

static int global_from_keys(const char *text, struct bp_error *err)
{
    const struct bpc_keyval_syntax syntax = {global_keys, NULL, false};
    struct bp_value *raw, *args;
    bool help;
    int ret = bpc_keyval_parse(text, &syntax, &raw, &help, err);

    if (ret < 0)
        return ret;
    ret = bpc_schema_dict_from_loose(global_keys, raw, false, &args, err);
    bp_value_unref(raw);
    if (ret < 0)
        return ret;
    ret = bpc_global_add(bp_value_get_string(args, "driver"), bp_value_get_string(args, "property"),
                         bp_value_get_string(args, "value"), err);
    bp_value_unref(args);
    return ret;
}

static int apply_global(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_as_string(args), *equals = strchr(text, '='), *dot;
    int ret;

    if (*text == '{' || strncmp(text, "driver=", 7) == 0)
        return global_from_keys(text, err);
    dot = strpbrk(text, ".:");
    if (!equals || !dot || dot > equals || dot == text || dot + 1 == equals)
        return bp_fail(err, EINVAL, "accepted: DRIVER.PROPERTY=VALUE, or "
                       "driver=DRIVER,property=PROPERTY,value=VALUE");
    char *driver = g_strndup(text, (gsize)(dot - text));
    char *property = g_strndup(dot + 1, (gsize)(equals - dot - 1));
    ret = bpc_global_add(driver, property, equals + 1, err);
    g_free(driver);
    g_free(property);
    return ret;
}

BP_OPTION(option_global, "global", "sets a default of a type's property",
          .arg = "driver.property=value", .group = DEVICES, .phase = BP_PHASE_EARLY,
          .apply = apply_global);

static int apply_win2k(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    return bpc_global_add("ide-device", "win2k-install-hack", "on", err);
}

BP_OPTION(option_win2k, "win2k-hack", "IDE disks are slow enough for a set-up of Windows 2000", .group = DEVICES,
          .phase = BP_PHASE_EARLY, .apply = apply_win2k);

/* ---- consoles ---- */

static int apply_nographic(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    bpc_startup.nographic = true;
    if (!bpc_config.board_props) /* what -machine says later stands */
        bpc_config.board_props = bp_value_dict();
    bp_value_set(bpc_config.board_props, "graphics", bp_value_string("off"));
    bpc_config.absent_property = bpc_not_built_property;
    return 0;
}

BP_OPTION(option_nographic, "nographic", "no display; serial port and monitor on the terminal",
          .group = CONSOLES, .phase = BP_PHASE_EARLY, .apply = apply_nographic);

/* The short forms of -serial, -monitor and the like. */
static int help_dev(struct bp_value *args, struct bp_error *err)
{
    static const char *const forms[][2] = {
        {"stdio", "standard input and output"}, {"mon:stdio", "the same, shared with the monitor"},
        {"null", "drops what is written"}, {"none", "there is no such device"},
        {"pty", "a pseudo-terminal"}, {"file:PATH", "output goes into a file"},
        {"pipe:PATH", "a pair of named pipes"},
        {"unix:PATH", "a Unix socket; with server=on, wait=off"},
        {"tcp:HOST:PORT", "a TCP socket; with server=on, wait=off"},
        {"telnet:HOST:PORT", "the same with the telnet protocol"},
        {"udp:HOST:PORT", "datagrams"}, {"chardev:ID", "what -chardev made"},
    };
    struct bp_value *list = bp_value_list();

    (void)err;
    for (size_t i = 0; i < BP_COUNT(forms); i++)
        bpc_help_item(list, forms[i][0], forms[i][1]);
    bpc_program->items(args, "Accepted:", list);
    return 0;
}

static int apply_serial(struct bp_value *args, struct bp_error *err)
{
    return bpc_console_add_serial(bp_value_as_string(args), err);
}

BP_OPTION(option_serial, "serial", "where the next serial port leads", .arg = "dev",
          .group = CONSOLES, .phase = BP_PHASE_EARLY, .apply = apply_serial, .show_help = help_dev);

static int apply_parallel(struct bp_value *args, struct bp_error *err)
{
    return bpc_console_add_parallel(bp_value_as_string(args), err);
}

BP_OPTION(option_parallel, "parallel", "where the next parallel port leads", .arg = "dev",
          .group = CONSOLES, .phase = BP_PHASE_EARLY, .apply = apply_parallel, .show_help = help_dev);

static int apply_monitor(struct bp_value *args, struct bp_error *err)
{
    return bpc_console_add_monitor(bp_value_as_string(args), NULL, false, false, err);
}

BP_OPTION(option_monitor, "monitor", "where the human monitor is", .arg = "dev",
          .group = CONSOLES, .phase = BP_PHASE_EARLY, .apply = apply_monitor, .show_help = help_dev);

static int apply_qmp(struct bp_value *args, struct bp_error *err)
{
    return bpc_console_add_monitor(bp_value_as_string(args), NULL, true, false, err);
}

BP_OPTION(option_qmp, "qmp", "where a QMP monitor (JSON) is", .arg = "dev", .group = CONSOLES,
          .phase = BP_PHASE_EARLY, .apply = apply_qmp, .show_help = help_dev);

static int apply_qmp_pretty(struct bp_value *args, struct bp_error *err)
{
    return bpc_console_add_monitor(bp_value_as_string(args), NULL, true, true, err);
}

BP_OPTION(option_qmp_pretty, "qmp-pretty", "the same with indented JSON", .arg = "dev",
          .group = CONSOLES, .phase = BP_PHASE_EARLY, .apply = apply_qmp_pretty, .show_help = help_dev);

static const char *const mon_modes[] = {"readline", "control", NULL};
static const struct bp_schema mon_mode = {.name = "mode", .kind = BP_KIND_ENUM,
                                          .choices = mon_modes};
static const struct bp_field mon_keys[] = {
    BP_ARG("chardev", STRING, "id of its chardev"),
    BP_ARG_TYPED("mode", ENUM, &mon_mode, BP_FIELD_OPTIONAL, "readline: for people, control: QMP"),
    BP_ARG_OPT("pretty", BOOL, "indented JSON; with mode=control"),
    BP_ARG_OPT("id", STRING, "its name"),
    BP_FIELDS_END,
};

static int apply_mon(struct bp_value *args, struct bp_error *err)
{
    const char *mode = bp_value_get_string(args, "mode");
    bool control = mode && strcmp(mode, "control") == 0;

    if (!control && bp_value_has(args, "pretty"))
        return bp_fail(err, EINVAL, "key 'pretty': accepted with mode=control only");
    return bpc_console_add_monitor(NULL, bp_value_get_string(args, "chardev"), control,
                                   bp_value_as_bool(bp_value_get(args, "pretty")), err);
}

BP_OPTION(option_mon, "mon", "a monitor on a chardev",
          .arg = "[chardev=]name[,mode=readline|control][,pretty=on|off]", .group = CONSOLES,
          .phase = BP_PHASE_EARLY, .keys = mon_keys, .implied = "chardev", .apply = apply_mon);

const struct bp_option *const bpc_device_options[] = {
    &option_device, &option_object, &option_global, &option_win2k, &option_nographic, &option_serial,
    &option_parallel, &option_monitor, &option_qmp, &option_qmp_pretty, &option_mon, NULL,
};
