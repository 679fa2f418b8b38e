/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a logical unit says of itself: INQUIRY, READ CAPACITY, MODE SENSE. Nothing of it is believed unseen. */
#include <errno.h>
#include <string.h>

#include "iscsi.h"

static bool is_good(struct scsi_task *task)
{
    return task && task->status == SCSI_STATUS_GOOD;
}

/* The data of a task, or NULL; `task` is then still to be freed. */
static void *data_of(struct scsi_task *task)
{
    return is_good(task) ? scsi_datain_unmarshall(task) : NULL;
}

static void free_task(struct scsi_task *task)
{
    if (task)
        scsi_free_scsi_task(task);
}

static int refuse(struct iscsi_context *iscsi, const char *what, struct bp_error *err)
{
    return bp_fail(err, EIO, "iscsi: %s failed: %s", what, iscsi_get_error(iscsi));
}

static int ask_kind(struct iscsi_context *iscsi, int lun, struct iscsi_facts *f, struct bp_error *err)
{
    struct scsi_task *task = iscsi_inquiry_sync(iscsi, lun, 0, 0, 255);
    struct scsi_inquiry_standard *inquiry = data_of(task);
    int ret = 0;

    if (!inquiry)
        ret = refuse(iscsi, "INQUIRY", err);
    else if (inquiry->qualifier != SCSI_INQUIRY_PERIPHERAL_QUALIFIER_CONNECTED)
        ret = bp_fail(err, ENXIO, "iscsi: the target has no logical unit %d", lun);
    else if (inquiry->device_type == SCSI_INQUIRY_PERIPHERAL_DEVICE_TYPE_MMC)
        f->optical = true;
    else if (inquiry->device_type != SCSI_INQUIRY_PERIPHERAL_DEVICE_TYPE_DIRECT_ACCESS)
        ret = bp_fail(err, EINVAL, "iscsi: logical unit %d is neither a disk nor a CD-ROM drive (its type is %d: %s)",
                      lun, (int)inquiry->device_type, scsi_devtype_to_str(inquiry->device_type));
    free_task(task);
    return ret;
}

static int ask_capacity10(struct iscsi_context *iscsi, int lun, struct iscsi_facts *f, struct bp_error *err)
{
    struct scsi_task *task = iscsi_readcapacity10_sync(iscsi, lun, 0, 0);
    struct scsi_readcapacity10 *capacity = data_of(task);
    int ret = capacity ? 0 : refuse(iscsi, f->optical ? "READ CAPACITY (is a medium in the drive?)" : "READ CAPACITY",
                                    err);

    if (ret == 0) {
        f->blocks = (uint64_t)capacity->lba + 1;
        f->block_size = f->physical_block = capacity->block_size;
        f->short_commands = true;
    }
    free_task(task);
    return ret;
}

static int ask_capacity(struct iscsi_context *iscsi, int lun, struct iscsi_facts *f, struct bp_error *err)
{
    struct scsi_task *task;
    struct scsi_readcapacity16 *capacity;

    if (f->optical)
        return ask_capacity10(iscsi, lun, f, err);
    task = iscsi_readcapacity16_sync(iscsi, lun);
    capacity = data_of(task);
    if (!capacity) {
        free_task(task);
        return ask_capacity10(iscsi, lun, f, err);
    }
    f->blocks = capacity->returned_lba + 1;
    f->block_size = capacity->block_length;
    f->physical_block = capacity->lbppbe < 8 ? f->block_size << capacity->lbppbe : f->block_size;
    f->thin = capacity->lbpme;
    f->zero_unmapped = capacity->lbprz;
    free_task(task);
    return 0;
}

/* The bits WP and DPOFUA of the device-specific parameter (SBC-3 6.4.1). */
static void ask_protection(struct iscsi_context *iscsi, int lun, struct iscsi_facts *f)
{
    struct scsi_task *task = iscsi_modesense6_sync(iscsi, lun, 1, SCSI_MODESENSE_PC_CURRENT,
                                                   SCSI_MODEPAGE_RETURN_ALL_PAGES, 0, 255);

    if (is_good(task) && task->datain.size >= 4) {
        f->write_protected = task->datain.data[2] & 0x80;
        f->fua = task->datain.data[2] & 0x10;
    }
    f->write_protected |= f->optical;
    free_task(task);
}

static void ask_limits(struct iscsi_context *iscsi, int lun, struct iscsi_facts *f)
{
    struct scsi_task *task = iscsi_inquiry_sync(iscsi, lun, 1, SCSI_INQUIRY_PAGECODE_BLOCK_LIMITS, 255);
    struct scsi_inquiry_block_limits *limits = data_of(task);

    f->unmap_granularity = 1;
    if (limits && limits->pagecode == SCSI_INQUIRY_PAGECODE_BLOCK_LIMITS) {
        f->max_transfer = limits->max_xfer_len;
        f->max_unmap = limits->max_unmap_bdc ? limits->max_unmap : 0;
        f->max_same = limits->max_ws_len;
        if (limits->opt_unmap_gran && limits->opt_unmap_gran < 65536)
            f->unmap_granularity = limits->opt_unmap_gran;
    }
    free_task(task);
    if (!f->thin)
        return;
    task = iscsi_inquiry_sync(iscsi, lun, 1, SCSI_INQUIRY_PAGECODE_LOGICAL_BLOCK_PROVISIONING, 255);
    struct scsi_inquiry_logical_block_provisioning *provisioning = data_of(task);

    if (provisioning && provisioning->pagecode == SCSI_INQUIRY_PAGECODE_LOGICAL_BLOCK_PROVISIONING) {
        f->unmap = provisioning->lbpu;
        f->same_unmap = provisioning->lbpws;
    }
    free_task(task);
}

int facts_ask(struct iscsi_context *iscsi, int lun, struct iscsi_facts *f, struct bp_error *err)
{
    int ret;

    memset(f, 0, sizeof(*f));
    ret = ask_kind(iscsi, lun, f, err);
    if (ret == 0)
        ret = ask_capacity(iscsi, lun, f, err);
    if (ret < 0)
        return ret;
    if (f->block_size < 512 || f->block_size > 65536 || f->block_size & (f->block_size - 1))
        return bp_fail(err, EINVAL, "iscsi: the unit's blocks have %u bytes; 512 to 65536, a power of two, are taken",
                       f->block_size);
    if (f->blocks == 0 || f->blocks > BP_BLOCK_MAX_LENGTH / f->block_size)
        return bp_fail(err, EFBIG, "iscsi: the unit says that it has %llu blocks of %u bytes, which is too much",
                       (unsigned long long)f->blocks, f->block_size);
    if (f->physical_block > 65536)
        f->physical_block = f->block_size;
    ask_protection(iscsi, lun, f);
    ask_limits(iscsi, lun, f);
    return 0;
}
