/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line: -blockdev, -drive, the short forms, -snapshot. */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/run.h>

#include "commands.h"

#define GROUP "Disks"
#define PHASE_BLOCKDEV ((enum bp_option_phase)34) /* secrets, throttle groups and I/O threads exist */
#define PHASE_SNAPSHOT ((enum bp_option_phase)35)
#define PHASE_DRIVE ((enum bp_option_phase)36)

/* ---- -blockdev ---- */

static int make_node(void *opaque, struct bp_error *err)
{
    struct bp_block_node *node;
    int ret = node_new(opaque, NULL, 0, &node, err);

    if (ret == 0)
        node->named = true; /* the reference is the user's */
    return ret;
}

static int apply_blockdev(struct bp_value *args, struct bp_error *err)
{
    if (!bp_value_get_string(args, "driver"))
        return bp_fail(err, EINVAL, "key 'driver' is missing; -blockdev help lists them");
    if (!bp_value_get_string(args, "node-name"))
        return bp_fail(err, EINVAL, "key 'node-name' is missing: others refer to the node by it");
    return run_now(make_node, args, NULL, err);
}

static const struct bp_field blockdev_keys[] = {
    BP_ARG_OPT("driver", STRING, "block driver; help lists them"),
    BP_ARG_OPT("node-name", STRING, "name by which others refer to the node"),
    BP_ARG_OPT("read-only", BOOL, "nothing is written"),
    BP_ARG_OPT("auto-read-only", BOOL, "read-only when it can't be written to"),
    BP_ARG_OPT("force-share", BOOL, "others may write to it at the same time; needs read-only=on"),
    BP_ARG_OPT("discard", STRING, "discards: ignore (off), unmap (on)"),
    BP_ARG_OPT("detect-zeroes", STRING, "writes of zeroes: off, on, unmap"), BP_FIELDS_END};
BP_OPTION(option_blockdev, "blockdev", "make a block node", .phase = PHASE_BLOCKDEV,
          .arg = "[driver=]driver,node-name=N[,read-only=on|off][,auto-read-only=on|off]"
                 "[,force-share=on|off][,cache.direct=on|off][,cache.no-flush=on|off]"
                 "[,discard=ignore|unmap][,detect-zeroes=on|off|unmap][,KEY=VALUE...]",
          .group = GROUP, .keys = blockdev_keys, .implied = "driver", .any_keys = true,
          .apply = apply_blockdev);

/* ---- -drive ---- */

static int apply_drive(struct bp_value *args, struct bp_error *err)
{
    static bool checked;

    if (!checked) {
        checked = true;
        bp_on_complete(drive_check_claimed, NULL);
    }
    return drive_new(args, NULL, err);
}

/* Of a list of them; -blockdev takes as many as there are. */
#define SERVER_KEYS(N) \
    BP_ARG_OPT("file.server." N ".type", STRING, "of a server of a list: tcp or unix (Gluster)"), \
    BP_ARG_OPT("file.server." N ".host", STRING, "its host"), \
    BP_ARG_OPT("file.server." N ".port", STRING, "its port"), \
    BP_ARG_OPT("file.server." N ".socket", STRING, "its unix socket")

static const struct bp_field drive_keys[] = {
    BP_ARG_OPT("file", STRING, "image file, device or URL; none: a drive without a medium"),
    BP_ARG_OPT("if", STRING, "interface: ide, scsi, sd, mtd, floppy, pflash, virtio, none"),
    BP_ARG_OPT("bus", UINT16, "number of the bus"), BP_ARG_OPT("unit", UINT16, "number on the bus"),
    BP_ARG_OPT("index", UINT16, "number on the interface"),
    BP_ARG_OPT("media", STRING, "disk or cdrom"),
    BP_ARG_OPT("snapshot", BOOL, "writes go to a temporary file"),
    BP_ARG_OPT("cache", STRING, "writeback, none, writethrough, directsync, unsafe"),
    BP_ARG_OPT("cache.direct", BOOL, "the host's page cache is avoided"),
    BP_ARG_OPT("cache.no-flush", BOOL, "flushes are ignored"),
    BP_ARG_OPT("cache.writeback", BOOL, "the guest sees a volatile write cache"),
    BP_ARG_OPT("aio", STRING, "threads, native, io_uring"),
    BP_ARG_OPT("format", STRING, "format of the image; without it, it is found out"),
    BP_ARG_OPT("driver", STRING, "the same"),
    BP_ARG_OPT("id", STRING, "name by which devices refer to it"),
    BP_ARG_OPT("node-name", STRING, "name of its node"),
    BP_ARG_OPT("werror", STRING, "when a write fails: ignore, stop, report, enospc"),
    BP_ARG_OPT("rerror", STRING, "when a read fails: ignore, stop, report"),
    BP_ARG_OPT("readonly", BOOL, "nothing is written"),
    BP_ARG_OPT("read-only", BOOL, "the same"),
    BP_ARG_OPT("auto-read-only", BOOL, "read-only when it can't be written to"),
    BP_ARG_OPT("force-share", BOOL, "others may write to it at the same time"),
    BP_ARG_OPT("copy-on-read", BOOL, "what is read from a backing file is kept in the image"),
    BP_ARG_OPT("discard", STRING, "discards: ignore (off), unmap (on)"),
    BP_ARG_OPT("detect-zeroes", STRING, "writes of zeroes: off, on, unmap"),
    BP_ARG_OPT("file.driver", STRING, "driver of what holds the image"),
    BP_ARG_OPT("file.filename", STRING, "its file name"),
    BP_ARG_OPT("file.node-name", STRING, "its node's name"),
    BP_ARG_OPT("file.locking", STRING, "its file is locked: on, off, auto"),
    BP_ARG_OPT("file.aio", STRING, "as aio"),
    /* Written out, so that they go with file= as well. */
    BP_ARG_OPT("file.server.type", STRING, "of a server: inet or unix"),
    BP_ARG_OPT("file.server.host", STRING, "its host"), BP_ARG_OPT("file.server.port", STRING, "its port"),
    BP_ARG_OPT("file.server.path", STRING, "its unix socket"),
    BP_ARG_OPT("file.export", STRING, "its export (NBD)"), BP_ARG_OPT("file.host", STRING, "host, in older forms"),
    BP_ARG_OPT("file.port", STRING, "port, in older forms"), BP_ARG_OPT("file.path", STRING, "path on a server"),
    BP_ARG_OPT("file.user", STRING, "user there (SSH, NFS, Ceph)"),
    BP_ARG_OPT("file.host_key_check", STRING, "yes, no, md5:HASH, sha1:HASH, sha256:HASH (SSH)"),
    BP_ARG_OPT("file.host-key-check.mode", STRING, "none, known_hosts, hash (SSH)"),
    BP_ARG_OPT("file.host-key-check.type", STRING, "md5, sha1, sha256 (SSH)"),
    BP_ARG_OPT("file.host-key-check.hash", STRING, "of the server's host key (SSH)"),
    BP_ARG_OPT("file.reconnect-delay", STRING, "seconds that requests wait for a new connection (NBD)"),
    BP_ARG_OPT("file.open-timeout", STRING, "seconds that the first connection may take (NBD)"),
    BP_ARG_OPT("file.tls-creds", STRING, "credentials of TLS (NBD)"),
    BP_ARG_OPT("file.tls-hostname", STRING, "name that the server's certificate has to have (NBD)"),
    BP_ARG_OPT("file.volume", STRING, "volume (Gluster)"),
    SERVER_KEYS("0"), SERVER_KEYS("1"), SERVER_KEYS("2"), SERVER_KEYS("3"),
    BP_ARG_OPT("file.debug", STRING, "how much is logged, 0 to 9 (Gluster, NFS)"),
    BP_ARG_OPT("file.logfile", STRING, "where to (Gluster)"),
    BP_ARG_OPT("file.group", STRING, "group there (NFS)"),
    BP_ARG_OPT("file.tcp-syn-count", STRING, "how often a connection is asked for (NFS)"),
    BP_ARG_OPT("file.readahead-size", STRING, "bytes read ahead (NFS)"),
    BP_ARG_OPT("file.page-cache-size", STRING, "bytes kept (NFS)"),
    BP_ARG_OPT("file.mount-port", STRING, "port of the mount daemon (NFS)"),
    BP_ARG_OPT("file.dir", STRING, "folder that is the disk (vvfat)"),
    BP_ARG_OPT("file.fat-type", STRING, "12, 16, 32 (vvfat)"),
    BP_ARG_OPT("file.floppy", STRING, "a floppy disk (vvfat)"),
    BP_ARG_OPT("file.label", STRING, "name of the volume (vvfat)"),
    BP_ARG_OPT("file.rw", STRING, "writing to the folder: not built (vvfat)"),
    BP_ARG_OPT("file.pool", STRING, "pool (Ceph)"), BP_ARG_OPT("file.namespace", STRING, "in the pool (Ceph)"),
    BP_ARG_OPT("file.image", STRING, "image (Ceph)"), BP_ARG_OPT("file.snapshot", STRING, "of the image (Ceph)"),
    BP_ARG_OPT("file.conf", STRING, "Ceph's configuration"),
    BP_ARG_OPT("file.key-secret", STRING, "secret with the user's key (Ceph)"),
    BP_ARG_OPT("file.encrypt.format", STRING, "luks, luks2 (Ceph)"),
    BP_ARG_OPT("file.encrypt.key-secret", STRING, "secret with the passphrase (Ceph)"),
    BP_ARG_OPT("file.username", STRING, "user on a server (HTTP, FTP)"),
    BP_ARG_OPT("file.password-secret", STRING, "secret with the password"),
    BP_ARG_OPT("file.url", STRING, "URL (HTTP, FTP)"), BP_ARG_OPT("file.readahead", STRING,
                                                                  "bytes read at once (HTTP)"),
    BP_ARG_OPT("file.sslverify", STRING, "whether certificates are checked (HTTPS)"),
    BP_ARG_OPT("file.cookie", STRING, "cookies (HTTP)"),
    BP_ARG_OPT("file.cookie-secret", STRING, "secret with the cookies (HTTP)"),
    BP_ARG_OPT("file.timeout", STRING, "seconds that a server has time (HTTP)"),
    BP_ARG_OPT("bps", UINT64, "bytes a second"), BP_ARG_OPT("bps_rd", UINT64, "bytes read a second"),
    BP_ARG_OPT("bps_wr", UINT64, "bytes written a second"),
    BP_ARG_OPT("bps_max", UINT64, "bytes a second in bursts"),
    BP_ARG_OPT("bps_rd_max", UINT64, "bytes read a second in bursts"),
    BP_ARG_OPT("bps_wr_max", UINT64, "bytes written a second in bursts"),
    BP_ARG_OPT("iops", UINT64, "requests a second"), BP_ARG_OPT("iops_rd", UINT64, "reads a second"),
    BP_ARG_OPT("iops_wr", UINT64, "writes a second"),
    BP_ARG_OPT("iops_max", UINT64, "requests a second in bursts"),
    BP_ARG_OPT("iops_rd_max", UINT64, "reads a second in bursts"),
    BP_ARG_OPT("iops_wr_max", UINT64, "writes a second in bursts"),
    BP_ARG_OPT("iops_size", UINT64, "a longer request counts as one for each so many bytes"),
    BP_ARG_OPT("bps_max_length", UINT64, "seconds that a burst may last"),
    BP_ARG_OPT("bps_rd_max_length", UINT64, "the same for reads"),
    BP_ARG_OPT("bps_wr_max_length", UINT64, "the same for writes"),
    BP_ARG_OPT("iops_max_length", UINT64, "seconds that a burst of requests may last"),
    BP_ARG_OPT("iops_rd_max_length", UINT64, "the same for reads"),
    BP_ARG_OPT("iops_wr_max_length", UINT64, "the same for writes"),
    BP_ARG_OPT("group", STRING, "drives of one group share the limits"),
    {.name = "serial", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL | BP_FIELD_HIDDEN,
     .help = "a property of the device now"},
    BP_FIELDS_END};
BP_OPTION(option_drive, "drive", "make a drive: an image and its place on the board",
          .phase = PHASE_DRIVE,
          .arg = "[file=file][,if=type][,bus=n][,unit=m][,media=d][,index=i][,cache=mode][,format=f]"
                 "[,snapshot=on|off][,rerror=action][,werror=action][,aio=way][,id=name]"
                 "[,readonly=on|off][,copy-on-read=on|off][,discard=ignore|unmap]"
                 "[,detect-zeroes=on|off|unmap][,bps=b][,iops=i][,group=g][,KEY=VALUE...]",
          .group = GROUP, .keys = drive_keys, .implied = "file", .any_keys = true,
          .apply = apply_drive);

int drive_set_key(struct bp_value *args, const char *key, const char *text, struct bp_error *err)
{
    const struct bp_field *f = drive_keys;
    struct bp_value *value = bp_value_string(text);
    char *end;
    bool on;

    while (f->name && strcmp(f->name, key) != 0)
        f++;
    if (f->name && f->kind == BP_KIND_BOOL) {
        bool good = value_bool(value, &on);

        bp_value_unref(value);
        if (!good)
            return bp_fail(err, EINVAL, "key '%s' expects 'on' or 'off'", key);
        value = bp_value_bool(on);
    } else if (f->name && f->kind != BP_KIND_STRING) {
        unsigned long long n = strtoull(text, &end, 0);

        bp_value_unref(value);
        if (*end || !*text || *text == '-' || (f->kind == BP_KIND_UINT16 && n > UINT16_MAX))
            return bp_fail(err, EINVAL, "key '%s' expects a number, not '%s'", key, text);
        value = bp_value_uint(n);
    }
    bp_value_set(args, key, value);
    return 0;
}

/* ---- short forms ---- */

static int apply_short(const char *name, struct bp_value *args, const char *interface, int index,
                       const char *media, struct bp_error *err)
{
    struct bp_value *drive = bp_value_dict();
    int ret;

    bp_value_set(drive, "file", bp_value_ref(args));
    bp_value_set(drive, "said", bp_value_string_printf("-%s %s", name, bp_value_as_string(args)));
    if (interface)
        bp_value_set(drive, "if", bp_value_string(interface));
    if (index >= 0)
        bp_value_set(drive, "index", bp_value_int(index));
    if (media)
        bp_value_set(drive, "media", bp_value_string(media));
    ret = apply_drive(drive, err);
    bp_value_unref(drive);
    return ret;
}

#define SHORT(IDENT, NAME, HELP, INTERFACE, INDEX, MEDIA) \
    static int apply_##IDENT(struct bp_value *args, struct bp_error *err) \
    { \
        return apply_short(NAME, args, INTERFACE, INDEX, MEDIA, err); \
    } \
    BP_OPTION(option_##IDENT, NAME, HELP, .phase = PHASE_DRIVE, .arg = "file", .group = GROUP, \
              .apply = apply_##IDENT)

SHORT(hda, "hda", "image of hard disk 0", NULL, 0, "disk");
SHORT(hdb, "hdb", "image of hard disk 1", NULL, 1, "disk");
SHORT(hdc, "hdc", "image of hard disk 2", NULL, 2, "disk");
SHORT(hdd, "hdd", "image of hard disk 3", NULL, 3, "disk");
SHORT(cdrom, "cdrom", "image of a CD-ROM, as disk 2", NULL, 2, "cdrom");
SHORT(fda, "fda", "image of floppy disk 0", "floppy", 0, NULL);
SHORT(fdb, "fdb", "image of floppy disk 1", "floppy", 1, NULL);
SHORT(pflash, "pflash", "image of a parallel flash chip", "pflash", -1, NULL);
SHORT(mtdblock, "mtdblock", "image of on-board flash memory", "mtd", -1, NULL);
SHORT(sd, "sd", "image of a memory card", "sd", -1, NULL);

static int apply_snapshot(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    drive_snapshot_all = true;
    return 0;
}
BP_OPTION(option_snapshot, "snapshot", "drives write to temporary files, not to their images",
          .phase = PHASE_SNAPSHOT, .group = GROUP, .apply = apply_snapshot);
