/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -fw_cfg: the user's own items. */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/host/authz.h>
#include <bp/host/generator.h>
#include <bp/log.h>
#include <bp/option.h>

#include "fw-cfg.h"

static int read_file(const char *path, uint8_t **ret_data, size_t *ret_len, struct bp_error *err)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t len = 0, size = 0, n;
    int r = 0;

    if (!f)
        return bp_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    do {
        if (len == size) {
            uint8_t *more = size < MAX_ITEM ? realloc(data, size ? size * 2 : 65536) : NULL;

            if (!more) {
                r = bp_fail(err, EFBIG, "'%s' is too large", path);
                break;
            }
            data = more;
            size = size ? size * 2 : 65536;
        }
        n = fread(data + len, 1, size - len, f);
        len += n;
    } while (n > 0);
    if (r == 0 && ferror(f))
        r = bp_fail(err, EIO, "cannot read '%s'", path);
    fclose(f);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_len = len;
    return 0;
}

/* What an object makes. */
static int add_generated(struct bp_device *dev, const char *name, const char *id, struct bp_error *err)
{
    const struct bp_generator_ops *ops;
    const uint8_t *data;
    struct bp_object *obj;
    char path[256];
    size_t len;
    int r;

    snprintf(path, sizeof(path), "/objects/%.200s", id);
    obj = bp_object_resolve(path, NULL, NULL);
    if (!obj)
        return bp_fail(err, ENOENT, "gen_id=%s: there is no -object with this id", id);
    ops = bp_object_tells(obj, BP_GENERATOR);
    if (!ops || !ops->generate)
        return bp_fail(err, EINVAL, "gen_id=%s: a %s makes nothing for firmware; a tls-cipher-suites does", id,
                       bp_object_type(obj));
    r = ops->generate(obj, &data, &len, err);
    return r < 0 ? r : fw_cfg_add_file(dev, name, data, len, err);
}

static int option_apply(struct bp_value *args, struct bp_error *err)
{
    const char *name = bp_value_get_string(args, "name"), *file = bp_value_get_string(args, "file");
    const char *string = bp_value_get_string(args, "string"), *generator = bp_value_get_string(args, "gen_id");
    struct bp_machine *machine = bp_command_machine();
    struct bp_device *dev = machine ? bp_device_first(machine, "fw_cfg_io") : NULL;
    uint8_t *data = NULL;
    size_t len = 0;
    int r;

    if (!name || !!file + !!string + !!generator != 1)
        return bp_fail(err, EINVAL, "needs name= and one of file=, string= and gen_id=");
    if (!dev)
        return bp_fail(err, ENODEV, "the machine has no fw_cfg device");
    if (generator) {
        return add_generated(dev, name, generator, err);
    } else if (string) {
        r = fw_cfg_add_file(dev, name, string, strlen(string), err);
    } else {
        r = read_file(file, &data, &len, err);
        if (r == 0)
            r = fw_cfg_add_file(dev, name, data, len, err);
        free(data);
    }
    if (r == 0 && strncmp(name, "opt/", 4) != 0)
        bp_warn("-fw_cfg: names of users' items begin with \"opt/\"; '%s' may be taken for firmware's own",
                name);
    return r;
}

static const struct bp_field option_keys[] = {
    BP_ARG_OPT("name", STRING, "name of the item, by custom opt/REVERSED.DOMAIN/NAME"),
    BP_ARG_OPT("file", STRING, "file with its contents"),
    BP_ARG_OPT("string", STRING, "its contents as text"),
    BP_ARG_OPT("gen_id", STRING, "id of an object that makes its contents (tls-cipher-suites)"),
    BP_FIELDS_END,
};
BP_OPTION(fw_cfg_option, "fw_cfg", "add a named item to the firmware configuration device",
          .phase = BP_PHASE_DEVICE, .arg = "[name=]NAME,file=FILE|string=TEXT|gen_id=ID",
          .group = "Debug and expert options", .keys = option_keys, .implied = "name",
          .apply = option_apply);
