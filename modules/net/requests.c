/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What -nic and -net ask for: a back end at once, a NIC of the board's when that is made. Without any of them
 * and without -netdev there is one by default, on user networking. -net joins all on hub 0. [main]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/device.h>
#include <bp/run.h>
#include <bp/value.h>

#include "net.h"

struct request {
    struct request *next;
    char *model, *mac, *netdev, *name, *addr, *vectors;
};

static struct request *requests, **last = &requests;
static bool given;    /* -nic, -net or -netdev: no default */
static bool taken;    /* the board has made them */
static unsigned count; /* of made-up ids */

void requests_note_netdev(void)
{
    given = true;
}

/* ---- models ---- */

static void print_model(const char *name, const char *summary, void *opaque)
{
    const struct bp_device_class *class;
    const void *found;

    (void)opaque;
    if (bp_provided_class("device", name, &found, NULL) < 0)
        return;
    class = found;
    if (class->category && !strcmp(class->category, "network") &&
        !(class->type.flags & BP_TYPE_NOT_USER_CREATABLE))
        printf("%-20s %s\n", name, summary);
}

/* Names that stand for others. */
static const char *model_type(const char *model)
{
    return !strcmp(model, "virtio") ? "virtio-net-pci" : model;
}

static bool model_help(struct bp_value *args)
{
    const char *model = bp_value_get_string(args, "model");

    if (!model || (strcmp(model, "help") != 0 && strcmp(model, "?") != 0))
        return false;
    printf("Available NIC models:\n");
    bp_provided_each("device", print_model, NULL);
    fflush(stdout);
    exit(0);
}

/* ---- requests ---- */

static char *take(struct bp_value *args, const char *key)
{
    struct bp_value *v = bp_value_get(args, key);
    const char *text = v ? bp_value_as_string(v) : NULL;
    char *copy = bp_strdup(text);

    if (v && !text) /* a number of a configuration file */
        copy = bp_value_print(v, false);
    bp_value_remove(args, key);
    return copy;
}

static void request_free(struct request *r)
{
    free(r->model);
    free(r->mac);
    free(r->netdev);
    free(r->name);
    free(r->addr);
    free(r->vectors);
    free(r);
}

static int nobody_took(void *opaque, struct bp_error *err)
{
    (void)opaque;
    return taken || !requests ? 0
                              : bp_fail(err, ENODEV, "-nic, -net nic: this machine has no place for NICs; use "
                                        "-nic none");
}

static int request_add(struct request *r, struct bp_error *err)
{
    uint8_t mac[6];
    int ret = r->mac ? mac_parse(r->mac, mac, err) : 0;

    if (ret < 0) {
        request_free(r);
        return ret;
    }
    if (!requests)
        bp_on_complete(nobody_took, NULL);
    *last = r;
    last = &r->next;
    return 0;
}

/* "#net0": no user can have given it. */
static void give_id(struct bp_value *args)
{
    char id[32];

    snprintf(id, sizeof(id), "#net%u", count++);
    bp_value_set(args, "id", bp_value_string(id));
}

int request_nic(struct bp_value *given_args, struct bp_error *err)
{
    const char *type = bp_value_get_string(given_args, "type");
    struct bp_value *args;
    struct bp_netdev *nd;
    struct request *r;
    int ret = 0;

    given = true;
    model_help(given_args);
    if (type && !strcmp(type, "none")) {
        if (bp_value_length(given_args) > 1)
            return bp_fail(err, EINVAL, "none has no keys: it stands for no NIC at all");
        return 0;
    }
    args = bp_value_copy(given_args);
    r = bp_alloc(sizeof(*r));
    r->model = take(args, "model");
    r->mac = take(args, "mac");
    r->netdev = take(args, "netdev");
    /* A place on the bus; the address of a socket is a dict, and the back end's. */
    if (bp_value_as_string(bp_value_get(args, "addr")))
        r->addr = take(args, "addr");
    if (r->netdev && type) {
        ret = bp_fail(err, EINVAL, "either a back end (%s) or netdev=%s, which is one already", type,
                      r->netdev);
    } else if (!r->netdev) {
        if (!type)
            bp_value_set(args, "type", bp_value_string("user"));
        if (!bp_value_has(args, "id"))
            give_id(args);
        ret = netdev_create(args, &nd, err);
        if (ret == 0)
            r->netdev = bp_strdup(nd->id);
    } else if (!netdev_find(r->netdev)) {
        ret = bp_fail(err, ENOENT, "there is no netdev '%s'", r->netdev);
    }
    bp_value_unref(args);
    if (ret < 0) {
        request_free(r);
        return ret;
    }
    return request_add(r, err);
}

/* ---- -net: everything on hub 0 ---- */

static int hub_port(char **ret_id, const char *to, struct bp_error *err)
{
    struct bp_value *args = bp_value_dict();
    struct bp_netdev *nd;
    int r;

    give_id(args);
    bp_value_set(args, "type", bp_value_string("hubport"));
    bp_value_set(args, "hubid", bp_value_int(0));
    if (to)
        bp_value_set(args, "netdev", bp_value_string(to));
    r = netdev_create(args, &nd, err);
    if (r == 0 && ret_id)
        *ret_id = bp_strdup(nd->id);
    bp_value_unref(args);
    return r;
}

static int only_keys(struct bp_value *args, struct bp_error *err)
{
    if (bp_value_length(args) == 0)
        return 0;
    return bp_fail(err, EINVAL, "nic has the keys netdev, macaddr, model, name, addr and vectors only");
}

static int legacy_nic(struct bp_value *args, struct bp_error *err)
{
    struct request *r = bp_alloc(sizeof(*r));
    int ret;

    bp_value_remove(args, "type");
    r->netdev = take(args, "netdev");
    r->mac = take(args, "macaddr");
    r->model = take(args, "model");
    r->name = take(args, "name");
    r->addr = take(args, "addr");
    r->vectors = take(args, "vectors");
    ret = only_keys(args, err);
    if (ret == 0 && r->netdev && !netdev_find(r->netdev))
        ret = bp_fail(err, ENOENT, "there is no netdev '%s'", r->netdev);
    if (ret == 0 && !r->netdev)
        ret = hub_port(&r->netdev, NULL, err);
    if (ret < 0) {
        request_free(r);
        return ret;
    }
    return request_add(r, err);
}

static int legacy_backend(struct bp_value *args, struct bp_error *err)
{
    char *name = take(args, "name");
    struct bp_netdev *nd;
    int ret;

    if (name)
        bp_value_set(args, "id", bp_value_string(name));
    else if (!bp_value_has(args, "id"))
        give_id(args);
    free(name);
    ret = netdev_create(args, &nd, err);
    return ret < 0 ? ret : hub_port(NULL, nd->id, err);
}

int request_legacy(struct bp_value *given_args, struct bp_error *err)
{
    const char *type = bp_value_get_string(given_args, "type");
    struct bp_value *args;
    int ret;

    given = true;
    model_help(given_args);
    if (!type)
        return bp_fail(err, EINVAL, "Parameter 'type' is missing: nic, none or a back end");
    if (!strcmp(type, "none"))
        return 0;
    if (!strcmp(type, "hubport"))
        return bp_fail(err, EINVAL, "hubport is for -netdev: -net has its hub, 0");
    args = bp_value_copy(given_args);
    ret = !strcmp(type, "nic") ? legacy_nic(args, err) : legacy_backend(args, err);
    bp_value_unref(args);
    return ret;
}

/* ---- making them ---- */

static int set(struct bp_device *dev, const char *property, const char *text, struct bp_error *err)
{
    return text ? bp_device_set(dev, property, text, err) : 0;
}

static int make(struct bp_machine *machine, const struct request *r, const char *model,
                struct bp_error *err)
{
    struct bp_device *dev;
    int ret = bp_device_new(machine, model_type(r->model ? r->model : model), r->name, &dev, err);

    if (ret < 0)
        return ret;
    ret = set(dev, "netdev", r->netdev, err);
    if (ret == 0)
        ret = set(dev, "mac", r->mac, err);
    if (ret == 0)
        ret = set(dev, "addr", r->addr, err);
    if (ret == 0)
        ret = set(dev, "vectors", r->vectors, err);
    if (ret < 0) {
        bp_device_destroy(dev);
        return ret;
    }
    return bp_device_attach(dev, NULL, err);
}

/* Where user networking or the NIC is not installed there is none by default. */
static int default_nic(const char *model, struct bp_error *err)
{
    struct bp_value *args;
    int ret;

    if (given || !bp_provided("netdev", "user") || !bp_provided("device", model))
        return 0;
    args = bp_value_dict();
    bp_value_set(args, "type", bp_value_string("user"));
    ret = request_nic(args, err);
    bp_value_unref(args);
    return ret;
}

int make_nics(struct bp_machine *machine, const char *model, bool by_default, struct bp_error *err)
{
    int ret = by_default ? default_nic(model, err) : 0;

    taken = true;
    for (struct request *r = requests, *next; r && ret == 0; r = next) {
        next = r->next;
        ret = make(machine, r, model, err);
        if (ret < 0)
            bp_error_prefix(err, "-nic, -net nic (%s)", r->model ? r->model : model);
        request_free(r);
        requests = next;
    }
    return ret;
}
