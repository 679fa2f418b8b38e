/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host, asked as a host adapter asks. Arguments: its file, and the folder of Backplane's own
 * modules. */
#include <bp/host/scsi.h>
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bp_test_host *host;
static const struct bp_scsi_interface *scsi;
static unsigned count, failed;
static int ends;

static void check(int good, const char *what)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++count, what);
    failed += !good;
}

static void need(int rc, const struct bp_error *err)
{
    if (rc >= 0)
        return;
    printf("Bail out! %s\n", err->message);
    exit(1);
}

static void done(struct bp_scsi_request *request)
{
    ends += request->size > 0;
}

/* One command to the unit; status and data stand in *r. */
static void command(struct bp_device *dev, struct bp_scsi_request *r, const char *cdb, size_t length,
                    struct iovec *out, struct iovec *in)
{
    struct bp_scsi_unit *unit = scsi->of(dev);

    memset(r, 0, sizeof(*r));
    r->size = sizeof(*r);
    memcpy(r->cdb, cdb, length);
    r->cdb_length = (uint32_t)length;
    r->out = out;
    r->out_count = out != NULL;
    r->out_bytes = out ? out->iov_len : 0;
    r->in = in;
    r->in_count = in != NULL;
    r->in_bytes = in ? in->iov_len : 0;
    r->done = done;
    bp_device_lock(scsi->adapter(unit));
    scsi->submit(unit, 0, r);
    bp_device_unlock(scsi->adapter(unit));
}

static void commands_are_answered(void)
{
    struct bp_device *adapter, *dev;
    struct bp_scsi_request r;
    struct bp_error err = {0};
    char sent[] = "0123456789", got[36] = "";
    struct iovec out = {sent, 10}, in = {got, sizeof(got)};

    need(bp_test_device(host, "virtio-scsi-pci", "addr=5", &adapter, &err), &err);
    need(bp_test_device(host, "@name@", NULL, &dev, &err), &err);
    command(dev, &r, "\0\0\0\0\0", 6, NULL, NULL);
    check(r.status == BP_SCSI_CHECK_CONDITION && r.sense[2] == 6, "it tells of power-on");
    command(dev, &r, "\x12\0\0\0\x24", 6, NULL, &in);
    check(r.status == BP_SCSI_GOOD && r.moved == 36 && got[0] == 3, "it says what it is");
    command(dev, &r, "\x0a\0\0\0\x0a", 6, &out, NULL);
    check(r.status == BP_SCSI_GOOD && r.moved == 10, "it takes what is sent");
    command(dev, &r, "\x08\0\0\0\x0a", 6, NULL, &in);
    check(r.status == BP_SCSI_GOOD && r.moved == 10 && memcmp(got, sent, 10) == 0, "and gives it back");
    command(dev, &r, "\x42\0\0\0\0\0\0\0\0", 10, NULL, NULL);
    check(r.status == BP_SCSI_CHECK_CONDITION && r.sense[12] == 0x20, "it refuses what it does not know");
    check(ends == 5, "each command ends once");
    bp_device_destroy(dev);
    bp_device_destroy(adapter);
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};
    const void *table;

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    need(bp_test_interface(host, "scsi", 1, &table, &err), &err);
    scsi = table;
    commands_are_answered();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
