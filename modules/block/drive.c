/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drives: what -drive and its short forms ask for. A drive is a blk with an id, a place on an interface of
 * the board, and usually a graph of its own. Which interface is the default, and how many units a bus of each
 * has, is the board's to say (interfaces()); until it does, it is ide with two. [main]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "block.h"

static struct drive *drives; /* in order of the command line */
static const char *default_interface = "ide";

static const char *const interfaces[] = {"ide", "scsi", "sd", "mtd", "floppy", "pflash", "virtio",
                                         "none", NULL};
static unsigned units[] = {2, 7, 0, 0, 2, 0, 0, 0};
static bool offered[BP_COUNT(units)]; /* by the board */
static bool board_spoke;

static int interface_index(const char *name)
{
    for (int i = 0; interfaces[i]; i++)
        if (!strcmp(interfaces[i], name))
            return i;
    return -1;
}

static const char *interface_of(const struct drive *d)
{
    return d->interface ? d->interface : default_interface;
}

struct drive *drive_find(const char *id)
{
    struct drive *d = drives;

    while (d && (!d->id || strcmp(d->id, id) != 0))
        d = d->next;
    return d;
}

/* ---- places ---- */

static struct drive *at(const char *interface, int bus, int unit, const struct drive *except)
{
    for (struct drive *d = drives; d; d = d->next)
        if (d != except && d->placed && !strcmp(interface_of(d), interface) && d->bus == bus &&
            d->unit == unit)
            return d;
    return NULL;
}

static void name_it(struct drive *d)
{
    const char *interface = interface_of(d), *what = d->cdrom ? "-cd" : "-hd";
    unsigned max = units[interface_index(interface)];
    char id[64];

    if (d->blk->name)
        return;
    if (!strcmp(interface, "floppy") || !strcmp(interface, "pflash") || !strcmp(interface, "mtd") ||
        !strcmp(interface, "sd"))
        what = "";
    if (max && *what)
        snprintf(id, sizeof(id), "%s%d%s%d", interface, d->bus, what, d->unit);
    else
        snprintf(id, sizeof(id), "%s%s%d", interface, what, d->unit);
    if (drive_find(id) || node_find(id))
        snprintf(id, sizeof(id), "%s-b%d-u%d", interface, d->bus, d->unit);
    d->id = bp_strdup(id);
    d->blk->name = bp_strdup(id);
}

static int place(struct drive *d, int given_bus, int given_unit, struct bp_error *err)
{
    const char *interface = interface_of(d);
    int max = (int)units[interface_index(interface)];
    const struct drive *other;

    d->bus = given_bus < 0 ? 0 : given_bus;
    d->unit = given_unit;
    if (d->index >= 0) {
        d->bus = max ? d->index / max : 0;
        d->unit = max ? d->index % max : d->index;
    }
    if (d->unit < 0) {
        for (d->unit = 0; at(interface, d->bus, d->unit, d);) {
            d->unit++;
            if (max && d->unit >= max && given_bus < 0) {
                d->unit = 0;
                d->bus++;
            }
        }
    }
    if (max && d->unit >= max)
        return bp_fail(err, EINVAL, "unit=%d: a bus of if=%s has the units 0 to %d", d->unit, interface,
                       max - 1);
    other = at(interface, d->bus, d->unit, d);
    if (other)
        return bp_fail(err, EEXIST, "there is already a drive '%s' at if=%s,bus=%d,unit=%d "
                       "(index=%d); -hdc and -cdrom are both index=2", other->blk->name, interface,
                       d->bus, d->unit, d->bus * (max ? max : 1) + d->unit);
    d->placed = true;
    return 0;
}

static int number(struct bp_value *args, const char *key)
{
    return bp_value_has(args, key) ? (int)bp_value_as_int(bp_value_get(args, key)) : -1;
}

static int read_place(struct drive *d, struct bp_error *err)
{
    const char *interface = bp_value_get_string(d->args, "if");
    int bus = number(d->args, "bus"), unit = number(d->args, "unit"), i;

    d->index = number(d->args, "index");
    if (interface) {
        i = interface_index(interface);
        if (i < 0)
            return bp_fail(err, EINVAL, "if=%s is unknown; accepted: ide, scsi, sd, mtd, floppy, pflash, "
                           "virtio, none", interface);
        d->interface = interfaces[i];
    }
    if (d->index >= 0 && (bus >= 0 || unit >= 0))
        return bp_fail(err, EINVAL, "index= says what bus= and unit= say: give one or the other");
    return place(d, bus, unit, err);
}

/* ---- making ---- */

static int read_media(struct drive *d, struct bp_error *err)
{
    const char *media = bp_value_get_string(d->args, "media");

    if (!media || !strcmp(media, "disk"))
        return 0;
    if (strcmp(media, "cdrom") != 0)
        return bp_fail(err, EINVAL, "media=%s is unknown; accepted: disk, cdrom", media);
    d->cdrom = true;
    return 0;
}

static int on_error(struct bp_value *args, const char *key, bool reads, int *ret, struct bp_error *err)
{
    static const char *const names[] = {"report", "ignore", "stop", "enospc"};
    static const int values[] = {BP_BLOCK_ON_ERROR_REPORT, BP_BLOCK_ON_ERROR_IGNORE,
                                 BP_BLOCK_ON_ERROR_STOP, BP_BLOCK_ON_ERROR_ENOSPC};
    const char *text = bp_value_get_string(args, key);

    if (!text)
        return 0;
    for (unsigned i = 0; i < BP_COUNT(names) - (reads ? 1 : 0); i++) {
        if (!strcmp(text, names[i])) {
            *ret = values[i];
            return 0;
        }
    }
    return bp_fail(err, EINVAL, "%s=%s is unknown; accepted: ignore, stop, report%s", key, text,
                   reads ? "" : ", enospc");
}

static int read_cache(struct drive *d, struct bp_error *err)
{
    static const struct {
        const char *name;
        bool writeback, direct, no_flush;
    } modes[] = {
        {"writeback", true, false, false}, {"none", true, true, false}, {"off", true, true, false},
        {"writethrough", false, false, false}, {"directsync", false, true, false},
        {"unsafe", true, false, true},
    };
    const char *mode = bp_value_get_string(d->args, "cache");
    struct bp_value *v;

    for (unsigned i = 0; mode && i < BP_COUNT(modes); i++) {
        if (strcmp(mode, modes[i].name) != 0)
            continue;
        d->blk->write_cache = modes[i].writeback;
        if (!bp_value_has(d->args, "cache.direct"))
            bp_value_set(d->args, "cache.direct", bp_value_bool(modes[i].direct));
        if (!bp_value_has(d->args, "cache.no-flush"))
            bp_value_set(d->args, "cache.no-flush", bp_value_bool(modes[i].no_flush));
        mode = NULL;
    }
    if (mode)
        return bp_fail(err, EINVAL, "cache=%s is unknown; accepted: writeback, none, writethrough, "
                       "directsync, unsafe", mode);
    v = bp_value_get(d->args, "cache.writeback");
    if (v)
        d->blk->write_cache = bp_value_as_bool(v);
    d->blk->drive_write_cache = d->blk->write_cache;
    return 0;
}

/* Keys that -drive had in older releases, and where that went. */
static int refuse_dropped(struct bp_value *args, struct bp_error *err)
{
    static const char *const of_device[] = {"serial", "cyls", "heads", "secs", "trans", "addr", NULL};

    for (unsigned i = 0; of_device[i]; i++) {
        struct bp_value *v = bp_value_get(args, of_device[i]);
        const char *key = !strcmp(of_device[i], "trans") ? "bios-chs-trans" : of_device[i];

        if (v)
            return bp_fail(err, EINVAL, "%s= belongs to the device now: -drive ...,if=none,id=d -device "
                           "ide-hd,drive=d,%s=%s", of_device[i], key,
                           bp_value_as_string(v) ? bp_value_as_string(v) : "...");
    }
    if (bp_value_has(args, "boot"))
        return bp_fail(err, EINVAL, "boot= is gone: -device ...,bootindex=1 says what is started from first");
    return 0;
}

static int read_common(struct drive *d, struct bp_error *err)
{
    const char *id = bp_value_get_string(d->args, "id");
    int ret = refuse_dropped(d->args, err);

    if (ret == 0)
        ret = read_media(d, err);
    if (ret == 0)
        ret = on_error(d->args, "werror", false, &d->blk->drive_werror, err);
    if (ret == 0)
        ret = on_error(d->args, "rerror", true, &d->blk->drive_rerror, err);
    if (ret == 0)
        ret = read_cache(d, err);
    if (ret == 0 && id && drive_find(id))
        ret = bp_fail(err, EEXIST, "there is already a drive '%s'", id);
    if (ret == 0 && id && node_find(id))
        ret = bp_fail(err, EEXIST, "id=%s is the name of a node", id);
    if (ret == 0)
        ret = read_place(d, err);
    if (ret < 0)
        return ret;
    if (id) {
        d->id = bp_strdup(id);
        d->blk->name = bp_strdup(id);
    }
    name_it(d);
    return 0;
}

static int insert(void *opaque, struct bp_error *err)
{
    struct drive *d = opaque;
    struct bp_block_node *node;
    int ret = drive_open_file(d, d->args, &node, err);

    if (ret < 0)
        return ret;
    ret = blk_insert(d->blk, node, err);
    node_unref(node);
    return ret;
}

static bool has_medium(struct bp_value *args)
{
    static const char *const keys[] = {"file", "driver", "format", "file.driver", "file.filename", NULL};
    const char *file = bp_value_get_string(args, "file");

    if (file && !*file && !bp_value_has(args, "driver"))
        return false; /* file= is the old way of saying that there is none */
    for (unsigned i = 0; keys[i]; i++)
        if (bp_value_has(args, keys[i]) && strcmp(keys[i], "format") != 0)
            return true;
    return false;
}

int drive_new(struct bp_value *args, struct drive **ret_drive, struct bp_error *err)
{
    struct drive *d = bp_alloc(sizeof(*d)), **link = &drives;
    int ret;

    d->args = bp_value_copy(args);
    d->blk = blk_new(NULL);
    d->blk->drive = d;
    d->bus = d->unit = d->index = -1;
    while (*link)
        link = &(*link)->next;
    *link = d;
    ret = read_common(d, err);
    if (ret == 0 && has_medium(d->args))
        ret = bp_co_current() && may_wait() ? insert(d, err) : run_now(insert, d, NULL, err);
    if (ret == -EWOULDBLOCK)
        return ret; /* it goes on with it */
    if (ret < 0) {
        drive_free(d);
        return ret;
    }
    if (ret_drive)
        *ret_drive = d;
    return 0;
}

void drive_free(struct drive *drive)
{
    struct drive **link = &drives;

    while (*link != drive)
        link = &(*link)->next;
    *link = drive->next;
    drive->blk->drive = NULL;
    blk_free(drive->blk);
    bp_value_unref(drive->args);
    free(drive->id);
    free(drive->serial);
    free(drive->file);
    free(drive);
}

/* ---- boards ---- */

static void tell(const struct drive *d, struct bp_block_drive *ret)
{
    *ret = (struct bp_block_drive){
        .size = sizeof(*ret), .id = d->blk->name, .interface = interface_of(d), .bus = d->bus,
        .unit = d->unit, .cdrom = d->cdrom, .by_default = d->by_default, .serial = d->serial};
}

bool drive_get(struct bp_machine *machine, const char *interface, unsigned n,
               struct bp_block_drive *ret)
{
    const struct drive *best = NULL, *last = NULL;

    (void)machine;
    /* The n-th by bus and unit: each turn takes the smallest above the last one. */
    for (unsigned i = 0; i <= n; i++) {
        best = NULL;
        for (const struct drive *d = drives; d; d = d->next) {
            if (!d->placed || strcmp(interface_of(d), interface) != 0)
                continue;
            if (last && (d->bus < last->bus || (d->bus == last->bus && d->unit <= last->unit)))
                continue;
            if (!best || d->bus < best->bus || (d->bus == best->bus && d->unit < best->unit))
                best = d;
        }
        if (!best)
            return false;
        last = best;
    }
    tell(best, ret);
    return true;
}

void drive_claim(struct bp_machine *machine, const char *id)
{
    struct drive *d = drive_find(id);

    (void)machine;
    if (d)
        d->claimed = true;
}

static void forget_name(struct drive *d)
{
    free(d->id);
    free(d->blk->name);
    d->id = d->blk->name = NULL;
}

void drive_interfaces(struct bp_machine *machine, const char *default_name, const char *const *names,
                      const unsigned *units_per_bus)
{
    (void)machine;
    board_spoke = true;
    for (unsigned i = 0; names && names[i]; i++) {
        int index = interface_index(names[i]);

        if (index < 0)
            continue;
        offered[index] = true;
        units[index] = units_per_bus[i];
    }
    if (default_name && interface_index(default_name) >= 0)
        default_interface = interfaces[interface_index(default_name)];
    /* What number, place and name mean depends on the board: all find theirs anew. What does not fit is said
     * when the machine is complete. */
    for (struct drive *d = drives; d; d = d->next) {
        d->placed = false;
        if (!bp_value_has(d->args, "id"))
            forget_name(d);
    }
    for (struct drive *d = drives; d; d = d->next) {
        place(d, number(d->args, "bus"), number(d->args, "unit"), NULL);
        name_it(d);
    }
}

int drive_add_default(struct bp_machine *machine, const char *interface, int bus, int unit, bool cdrom,
                      struct bp_block_drive *ret, struct bp_error *err)
{
    struct bp_value *args;
    struct drive *d;
    int r;

    (void)machine;
    if (at(interface, bus, unit, NULL))
        return bp_fail(err, EEXIST, "there is a drive at if=%s,bus=%d,unit=%d", interface, bus, unit);
    args = bp_value_dict();
    bp_value_set(args, "if", bp_value_string(interface));
    bp_value_set(args, "bus", bp_value_int(bus));
    bp_value_set(args, "unit", bp_value_int(unit));
    if (cdrom)
        bp_value_set(args, "media", bp_value_string("cdrom"));
    r = drive_new(args, &d, err);
    bp_value_unref(args);
    if (r < 0)
        return r;
    d->by_default = true;
    tell(d, ret);
    return 0;
}

/* The command line that would have been right. */
static int complain(const struct drive *d, struct bp_error *err)
{
    const char *interface = interface_of(d);
    const char *file = bp_value_get_string(d->args, "file");
    const char *bus = "DEVICE", *said = bp_value_get_string(d->args, "said");

    if (!strcmp(interface, "virtio"))
        bus = "virtio-blk-pci";
    else if (!strcmp(interface, "ide"))
        bus = d->cdrom ? "ide-cd" : "ide-hd";
    else if (!strcmp(interface, "scsi"))
        bus = d->cdrom ? "scsi-cd" : "scsi-hd";
    else if (!strcmp(interface, "floppy"))
        bus = "floppy";
    if (said)
        return bp_fail(err, EINVAL, "%s: this machine has no if=%s,bus=%d,unit=%d; -drive file=%s,if=none,"
                       "id=%s -device %s,drive=%s takes it to a device of its own", said, interface, d->bus,
                       d->unit, file, d->blk->name, bus, d->blk->name);
    return bp_fail(err, EINVAL, "-drive %s%s%sif=%s,bus=%d,unit=%d: this machine has no such place; "
                   "-drive %s%s%sif=none,id=%s -device %s,drive=%s takes it to a device of its own",
                   file ? "file=" : "", file ? file : "", file ? "," : "", interface, d->bus, d->unit,
                   file ? "file=" : "", file ? file : "", file ? "," : "", d->blk->name, bus,
                   d->blk->name);
}

static bool complete;

static void warn(const struct drive *d, const char *filename)
{
    bp_warn("drive '%s': no format was given for '%s', and it is taken for raw; so that a guest can't make "
            "it look like another format, such writes to its first sector are refused; format=raw lifts "
            "that and this warning", blk_name(d->blk), filename);
}

void drive_warn_probed(struct drive *drive, const char *filename)
{
    struct drive *d = drives;

    while (d && d != drive)
        d = d->next;
    if (d && !complete)
        d->probed = true;
    else
        warn(drive, filename);
}

int drive_check_claimed(void *opaque, struct bp_error *err)
{
    (void)opaque;
    for (struct drive *d = drives; d; d = d->next) {
        if (!d->placed) {
            int ret = place(d, number(d->args, "bus"), number(d->args, "unit"), err);

            if (ret < 0)
                bp_error_prefix(err, "drive '%s'", d->blk->name);
            return ret;
        }
        if (strcmp(interface_of(d), "none") != 0 && !d->claimed && !d->blk->open && !d->by_default)
            return complain(d, err);
    }
    complete = true;
    for (struct drive *d = drives; d; d = d->next)
        if (d->probed)
            warn(d, bp_value_get_string(d->args, "file") ? bp_value_get_string(d->args, "file")
                 : d->blk->root.node ? d->blk->root.node->filename : "");
    return 0;
}

void drive_free_all(void)
{
    while (drives)
        drive_free(drives);
}
