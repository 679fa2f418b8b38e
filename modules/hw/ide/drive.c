// SPDX-License-Identifier: LGPL-2.1-or-later
/* The drives as devices: their properties, what they take from the block layer, what is saved of them. */
#define BP_SHARED
#include <stdlib.h>
#include <string.h>

#include "ide.h"

/* ---- what the block layer says ---- */

static void media_changed(void *opaque, bool loaded)
{
    struct ide_drive *s = opaque;

    if (s->cd)
        mmc_medium(s, loaded);
}

static void eject_request(void *opaque, bool force)
{
    struct ide_drive *s = opaque;

    if (s->cd)
        mmc_eject_wanted(s, force);
}

static bool tray_open(void *opaque)
{
    return ((struct ide_drive *)opaque)->tray_open;
}

static bool medium_locked(void *opaque)
{
    return ((struct ide_drive *)opaque)->locked;
}

static void resized(void *opaque)
{
    struct ide_drive *s = opaque;
    int64_t length = block->length(s->blk);

    s->sectors = length > 0 ? (uint64_t)length / SECTOR : 0;
}

static const struct bp_blk_ops disk_ops = {.size = sizeof(disk_ops), .resized = resized};
static const struct bp_blk_ops cd_ops = {
    .size = sizeof(cd_ops), .flags = BP_BLK_REMOVABLE | BP_BLK_READ_ONLY,
    .media_changed = media_changed, .eject_request = eject_request, .tray_open = tray_open,
    .medium_locked = medium_locked, .resized = resized};

/* ---- coming and going ---- */

static int check_text(const char *type, const char *prop, const char *text, size_t max,
                      struct bp_error *err)
{
    if (text && strlen(text) > max)
        return bp_fail(err, EINVAL, "%s: property '%s' has at most %zu characters, not %zu", type, prop,
                       max, strlen(text));
    return 0;
}

static int check_props(struct ide_drive *s, const char *type, struct bp_error *err)
{
    int r = check_text(type, "serial", s->serial, 20, err);

    if (r == 0)
        r = check_text(type, "model", s->model, 40, err);
    if (r == 0)
        r = check_text(type, "ver", s->version, 8, err);
    if (r < 0)
        return r;
    if (s->conf.logical_block_size && s->conf.logical_block_size != SECTOR)
        return bp_fail(err, ENOTSUP, "%s: logical_block_size must be 512: drives with larger logical "
                       "sectors are not built; physical_block_size may be larger", type);
    return 0;
}

static int take_disk(struct ide_drive *s, const char *type, struct bp_error *err)
{
    int64_t length = block->length(s->blk);
    int r;

    if (length < 0)
        return bp_fail(err, (int)-length, "%s: the length of '%s': %s", type, block->name(s->blk),
                       strerror((int)-length));
    s->sectors = (uint64_t)length / SECTOR;
    if (s->cd)
        return 0;
    r = block->geometry(s->blk, &s->conf, 65535, 16, 255, err);
    if (r < 0)
        return r;
    s->cyls = s->conf.cyls;
    s->heads = s->conf.heads;
    s->secs = s->conf.secs;
    if (s->cyls > 65535 || s->heads > 16 || s->secs > 255 || !s->heads || !s->secs)
        return bp_fail(err, EINVAL, "%s: a geometry of %u cylinders, %u heads, %u sectors: there are up to "
                       "65535, 1 to 16, 1 to 255", type, s->cyls, s->heads, s->secs);
    return 0;
}

/* What follows once the block layer has given its handle. */
static int take_up_medium(struct ide_drive *s, const char *type, struct bp_error *err)
{
    int r = block->conf_complete(s->blk, &s->conf, err);

    if (r == 0)
        r = take_disk(s, type, err);
    if (r < 0)
        return r;
    if (!s->serial && block->serial(s->blk)) {
        r = check_text(type, "serial", block->serial(s->blk), 20, err);
        if (r < 0)
            return r;
        s->serial = bp_strdup(block->serial(s->blk));
    }
    return ide_bus_join(s, err);
}

static int attach(struct bp_device *dev, bool cd, struct bp_error *err)
{
    struct ide_drive *s = bp_device_state(dev);
    const char *type = bp_device_class(dev)->type.name;
    int r = check_props(s, type, err);

    s->dev = dev;
    s->cd = cd;
    if (r < 0)
        return r;
    ide_slow_down(s);
    if (!s->model)
        s->model = bp_strdup(cd ? "QEMU DVD-ROM" : "QEMU HARDDISK");
    if (!s->version)
        s->version = bp_strdup("2.5+");
    if (!cd && !(s->conf.drive && *s->conf.drive))
        return bp_fail(err, EINVAL, "%s: property 'drive' is missing: which disk does it show?", type);
    r = block->open(dev, bp_device_owner(dev), NULL, &s->conf, cd ? &cd_ops : &disk_ops, s, &s->blk, err);
    if (r < 0)
        return r;
    s->again = bp_deferred_new(bp_device_owner(dev), NULL, ide_take_up, s);
    r = take_up_medium(s, type, err);
    if (r < 0) {
        block->close(s->blk);
        s->blk = NULL;
    }
    return r;
}

static int hd_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static int cd_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static void drive_detach(struct bp_device *dev)
{
    struct ide_drive *s = bp_device_state(dev);

    ide_let_go(s);
    ide_bus_leave(s);
    block->close(s->blk);
    s->blk = NULL;
    ide_jobs_free(s);
    free(s->data);
    s->data = NULL;
    for (unsigned tag = 0; tag < QUEUE_DEPTH; tag++)
        free(s->queued[tag].restored);
}

static void drive_reset(struct bp_device *dev)
{
    struct ide_drive *s = bp_device_state(dev);

    s->regs.control = 0;
    ide_reset_settings(s);
    ide_software_reset(s);
    ide_update_irq(s->bus);
}

/* ---- saved state ---- */

static bool buffer_used(const struct ide_drive *s)
{
    return s->data && s->data_len &&
           (s->phase != PHASE_IDLE || s->step == STEP_WRITE || s->step == STEP_TRIM);
}

static int save_bytes(struct bp_state_bytes *out, const uint8_t *data, uint32_t size, struct bp_error *err)
{
    *out = (struct bp_state_bytes){NULL, 0, 0};
    if (!size)
        return 0;
    out->data = malloc(size);
    if (!out->data)
        return bp_fail(err, ENOMEM, "IDE: no memory for a drive's buffer");
    memcpy(out->data, data, size);
    out->size = size;
    return 0;
}

static int before_save(void *state, struct bp_error *err)
{
    struct ide_drive *s = state;
    int r = save_bytes(&s->saved_data, s->data, buffer_used(s) ? s->data_len : 0, err);

    for (unsigned tag = 0; r == 0 && tag < QUEUE_DEPTH; tag++) {
        struct ide_queued *q = &s->queued[tag];

        r = save_bytes(&q->saved_data, q->data, q->fetched ? q->chunk * SECTOR : 0, err);
    }
    return r;
}

/* Whatever a stream says, no index may lead outside, and no step may lack what it works on. */
static bool plausible(const struct ide_drive *s)
{
    uint32_t stride = s->task == TASK_PACKET_READ ? s->cd_stride : SECTOR;
    bool needs_buffer = s->phase != PHASE_IDLE || s->step == STEP_WRITE || s->step == STEP_TRIM;

    if (s->data_pos > s->drq_end && s->phase != PHASE_DMA_IN && s->phase != PHASE_DMA_OUT)
        return false;
    if (s->data_pos > s->data_len || s->drq_end > s->data_len || s->data_len > DATA_MAX)
        return false;
    if (needs_buffer && s->data_len && s->saved_data.size != s->data_len)
        return false;
    if (s->step == STEP_TRIM && (s->task != TASK_TRIM || s->trim_next >= s->data_len / 8))
        return false;
    if (s->step == STEP_WRITE && (s->task != TASK_WRITE || s->data_len != s->chunk * SECTOR))
        return false;
    if (s->task == TASK_PACKET_READ && (!s->cd || stride > 2352 || stride == 0 || s->byte_limit < 2))
        return false;
    if (s->task == TASK_PACKET_REPLY && (!s->cd || s->byte_limit < 2))
        return false;
    if (s->phase == PHASE_PACKET && (!s->cd || s->data_len != PACKET_SIZE))
        return false;
    if ((s->phase == PHASE_DMA_IN || s->phase == PHASE_DMA_OUT) && !ide_has_dma(s))
        return false;
    if (s->dma_wanted && s->phase != PHASE_DMA_IN && s->phase != PHASE_DMA_OUT)
        return false;
    return s->chunk <= s->left && (uint64_t)s->chunk * stride <= DATA_MAX &&
           ((s->task != TASK_READ && s->task != TASK_WRITE) || s->per_block) && s->left <= 0x7fffffff;
}

/* The bytes are there until their element is read. */
static int queued_loaded(void *state, uint32_t version, struct bp_error *err)
{
    struct ide_queued *q = state;

    (void)version, (void)err;
    free(q->restored);
    q->restored = NULL;
    q->restored_size = q->saved_data.size;
    if (q->restored_size) {
        q->restored = bp_alloc(DATA_MAX);
        memcpy(q->restored, q->saved_data.data, q->restored_size);
    }
    return 0;
}

static bool load_queued(const struct ide_drive *s, struct ide_queued *q)
{
    if (!q->busy)
        return !q->fetched && !q->restored_size;
    if (!ide_serial(s) || !q->left || q->left > 65536 || q->chunk > q->left || q->lba >= s->sectors ||
        q->left > s->sectors - q->lba || q->restored_size != (q->fetched ? q->chunk * SECTOR : 0) ||
        (q->fetched && (!q->write || !q->chunk)))
        return false;
    q->data = q->restored;
    q->restored = NULL;
    return true;
}

/* What this drive itself had under way is not what was loaded. */
static void drop_requests(struct ide_drive *s)
{
    s->epoch++;
    if (s->job) {
        ide_job_let_go(s, s->job, s->data);
        s->job = NULL;
        s->data = NULL;
    }
    for (unsigned tag = 0; tag < QUEUE_DEPTH; tag++) {
        struct ide_queued *q = &s->queued[tag];

        if (q->job)
            ide_job_let_go(s, q->job, q->data);
        else
            free(q->data);
        q->job = NULL;
        q->data = NULL;
        q->number = s->epoch;
    }
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ide_drive *s = state;
    int r = 0;

    (void)version;
    drop_requests(s);
    for (unsigned tag = 0; r == 0 && tag < QUEUE_DEPTH; tag++)
        if (!load_queued(s, &s->queued[tag]))
            r = bp_fail(err, EINVAL, "IDE: a queued command of a saved drive is out of range");
    if (r == 0 && (!plausible(s) || s->heads_now > 16))
        r = bp_fail(err, EINVAL, "IDE: the saved state of a drive contradicts itself");
    if (r < 0) {
        ide_let_go(s);
        return r;
    }
    if (s->saved_data.size) {
        ide_need_data(s);
        memcpy(s->data, s->saved_data.data, s->saved_data.size);
    }
    ide_bus_restored(s);
    return 0;
}

/* Before loading nothing of this drive's own may still be under way; then what was goes on. */
static int loaded(void *state, struct bp_error *err)
{
    struct ide_drive *s = state;

    (void)err;
    if (s->blk && !s->cd)
        block->set_write_cache(s->blk, s->write_cache);
    if (s->cd && s->locked)
        block->lock_medium(s->blk, true);
    bp_deferred_schedule(s->again);
    ide_slow_resume(s);
    return 0;
}

void ide_diagnose_again(struct ide_drive *s)
{
    if (s->diagnose == DIAGNOSE_RESET)
        ide_software_reset(s);
    else if (s->diagnose == DIAGNOSE_COMMAND)
        ide_diagnose_go(s->bus);
}

void ide_take_up(void *opaque)
{
    struct ide_drive *s = opaque;

    if (!s->bus)
        return;
    if (s->tally.pending == 0)
        ide_diagnose_again(s);
    if (s->step != STEP_NONE && !s->job)
        ide_step_again(s);
    else if (s->dma_wanted)
        s->bus->ops.flags & BP_IDE_SERIAL ? ide_dma_go(s) : s->bus->ops.dma_request(s->bus->opaque, 1);
    ide_queue_resume(s);
}

static const struct bp_state_field regs_fields[] = {
    BP_SAVE(UINT8, struct bp_ide_registers, status), BP_SAVE(UINT8, struct bp_ide_registers, error),
    BP_SAVE(UINT8, struct bp_ide_registers, command), BP_SAVE(UINT8, struct bp_ide_registers, feature),
    BP_SAVE(UINT8, struct bp_ide_registers, hob_feature), BP_SAVE(UINT8, struct bp_ide_registers, count),
    BP_SAVE(UINT8, struct bp_ide_registers, low), BP_SAVE(UINT8, struct bp_ide_registers, mid),
    BP_SAVE(UINT8, struct bp_ide_registers, high), BP_SAVE(UINT8, struct bp_ide_registers, device),
    BP_SAVE(UINT8, struct bp_ide_registers, hob_count), BP_SAVE(UINT8, struct bp_ide_registers, hob_low),
    BP_SAVE(UINT8, struct bp_ide_registers, hob_mid), BP_SAVE(UINT8, struct bp_ide_registers, hob_high),
    BP_SAVE(UINT8, struct bp_ide_registers, control), BP_SAVE_END};
static const struct bp_state_table regs_table = {.version = 1, .oldest = 1, .fields = regs_fields};

static const struct bp_state_field test_fields[] = {
    BP_SAVE(UINT8, struct smart_test, kind), BP_SAVE(UINT8, struct smart_test, status),
    BP_SAVE(UINT16, struct smart_test, hours), BP_SAVE_END};
static const struct bp_state_table test_table = {.version = 1, .oldest = 1, .fields = test_fields};

static const struct bp_state_field queued_fields[] = {
    BP_SAVE(UINT64, struct ide_queued, lba), BP_SAVE(UINT32, struct ide_queued, left),
    BP_SAVE(BOOL, struct ide_queued, busy), BP_SAVE(BOOL, struct ide_queued, write),
    BP_SAVE(BOOL, struct ide_queued, fua), BP_SAVE_RANGE(UINT32, struct ide_queued, chunk, 0, DATA_MAX / SECTOR),
    BP_SAVE(BOOL, struct ide_queued, fetched), BP_SAVE_BYTES(struct ide_queued, saved_data, DATA_MAX),
    BP_SAVE_END};
static const struct bp_state_table queued_table = {
    .version = 1, .oldest = 1, .fields = queued_fields, .after_load = queued_loaded};

static const struct bp_state_field drive_fields[] = {
    {.name = "regs", .kind = BP_STATE_STRUCT, .offset = offsetof(struct ide_drive, regs), .count = 1,
     .stride = sizeof(struct bp_ide_registers), .table = &regs_table},
    BP_SAVE(BOOL, struct ide_drive, irq),
    BP_SAVE_RANGE(UINT8, struct ide_drive, phase, PHASE_IDLE, PHASE_PACKET),
    BP_SAVE_RANGE(UINT8, struct ide_drive, step, STEP_NONE, STEP_TRIM),
    BP_SAVE_RANGE(UINT8, struct ide_drive, task, TASK_NONE, TASK_PACKET_REPLY),
    BP_SAVE(BOOL, struct ide_drive, dma), BP_SAVE(BOOL, struct ide_drive, dma_wanted),
    BP_SAVE(BOOL, struct ide_drive, ext), BP_SAVE(BOOL, struct ide_drive, fua),
    BP_SAVE(BOOL, struct ide_drive, lba_mode), BP_SAVE_RANGE(UINT8, struct ide_drive, diagnose, 0, DIAGNOSE_COMMAND),
    BP_SAVE(UINT64, struct ide_drive, lba), BP_SAVE(UINT32, struct ide_drive, left),
    BP_SAVE_RANGE(UINT32, struct ide_drive, per_block, 0, 16),
    BP_SAVE_RANGE(UINT32, struct ide_drive, chunk, 0, DATA_MAX / SECTOR),
    BP_SAVE_RANGE(UINT32, struct ide_drive, data_pos, 0, DATA_MAX),
    BP_SAVE_RANGE(UINT32, struct ide_drive, data_len, 0, DATA_MAX),
    BP_SAVE_RANGE(UINT32, struct ide_drive, drq_end, 0, DATA_MAX),
    BP_SAVE_RANGE(UINT32, struct ide_drive, trim_next, 0, DATA_MAX / 8),
    BP_SAVE_BYTES(struct ide_drive, saved_data, DATA_MAX),
    BP_SAVE(UINT8, struct ide_drive, multiple), BP_SAVE(UINT8, struct ide_drive, transfer_mode),
    BP_SAVE(UINT8, struct ide_drive, heads_now), BP_SAVE(UINT8, struct ide_drive, secs_now),
    BP_SAVE(UINT16, struct ide_drive, cyls_now), BP_SAVE(UINT8, struct ide_drive, power),
    BP_SAVE(BOOL, struct ide_drive, asleep), BP_SAVE(BOOL, struct ide_drive, write_cache),
    BP_SAVE(BOOL, struct ide_drive, look_ahead), BP_SAVE(BOOL, struct ide_drive, smart),
    BP_SAVE(BOOL, struct ide_drive, smart_autosave),
    BP_SAVE_RANGE(UINT8, struct ide_drive, smart_tests, 0, 21),
    BP_SAVE_STRUCTS(struct ide_drive, tests, &test_table),
    BP_SAVE_BUFFER(struct ide_drive, store),
    BP_SAVE_STRUCTS(struct ide_drive, queued, &queued_table),
    BP_SAVE(BOOL, struct ide_drive, queue_failed), BP_SAVE_BUFFER(struct ide_drive, queue_log),
    BP_SAVE_BUFFER(struct ide_drive, cdb), BP_SAVE(UINT8, struct ide_drive, sense),
    BP_SAVE(UINT8, struct ide_drive, asc), BP_SAVE(UINT8, struct ide_drive, ascq),
    BP_SAVE_RANGE(UINT32, struct ide_drive, byte_limit, 0, 0xfffe),
    BP_SAVE_RANGE(UINT32, struct ide_drive, cd_stride, 0, 2352), BP_SAVE(UINT8, struct ide_drive, cd_parts),
    BP_SAVE(BOOL, struct ide_drive, tray_open), BP_SAVE(BOOL, struct ide_drive, locked),
    BP_SAVE(BOOL, struct ide_drive, attention_medium), BP_SAVE(BOOL, struct ide_drive, attention_reset),
    BP_SAVE_RANGE(UINT8, struct ide_drive, medium_event, 0, 3), BP_SAVE_END};
static const struct bp_state_table drive_table = {
    .version = 1, .oldest = 1, .fields = drive_fields, .before_save = before_save,
    .after_load = after_load, .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};

/* ---- classes ---- */

static const char *const chs_trans_names[] = {"auto", "none", "lba", "large", "rechs", NULL};
static const struct bp_schema chs_trans_schema = {"BiosAtaTranslation", BP_KIND_ENUM, NULL,
                                                  chs_trans_names, NULL, NULL, BP_KIND_NONE, NULL,
                                                  {NULL}};
#define COMMON_PROPS \
    BP_BLK_PROPS(struct ide_drive, conf), \
    BP_PROP("serial", STRING, struct ide_drive, serial, NULL, "serial number, up to 20 characters"), \
    BP_PROP("ver", STRING, struct ide_drive, version, NULL, "firmware version, up to 8 characters"), \
    BP_PROP("model", STRING, struct ide_drive, model, NULL, "model, up to 40 characters"), \
    BP_PROP("wwn", UINT64, struct ide_drive, wwn, "0", "world wide name; 0: none"), \
    BP_PROP("unit", UINT32, struct ide_drive, unit, "4294967295", \
            "0 master, 1 slave; otherwise the next that is free"), \
    BP_PROP_BOOTINDEX(struct ide_drive, conf.bootindex), \
    BP_PROP("win2k-install-hack", BOOL, struct ide_drive, win2k_install_hack, "off", \
            "slow down for Windows 2000's installer")

static const struct bp_field hd_props[] = {
    COMMON_PROPS, BP_BLK_GEOMETRY_PROPS(struct ide_drive, conf),
    BP_PROP_ENUM("bios-chs-trans", &chs_trans_schema, struct ide_drive, chs_trans, "auto",
                 "how firmware translates the geometry"),
    BP_PROP("rotation_rate", UINT16, struct ide_drive, rotation_rate, "0",
            "turns per minute; 1: it does not turn, 0: not told"),
    BP_FIELDS_END};
static const struct bp_field cd_props[] = {COMMON_PROPS, BP_FIELDS_END};

/* What -global and others that ask by type mean by both. */
struct no_state {
    char unused;
};
BP_LEVEL(ide_device_level, "ide-device", "device", "Drive of an IDE bus", struct no_state, NULL, NULL);

#define DRIVE(ident, NAME, SUMMARY, PROPS, ATTACH, ...) \
    BP_NOTE("provides=device:" NAME ";bus=IDE;user=yes;summary=" SUMMARY); \
    BP_STORAGE const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "ide-device", .summary = SUMMARY, .state_size = sizeof(struct ide_drive), .props = PROPS, \
                 .state = &drive_table, .reserved = {NULL}}, \
        .bus = "IDE", .category = "storage", .attach = ATTACH, .detach = drive_detach, \
        .reset = drive_reset, __VA_ARGS__}
DRIVE(ide_hd_class, "ide-hd", "ATA disk", hd_props, hd_attach, .replaces_default = NULL);
DRIVE(ide_cd_class, "ide-cd", "ATAPI CD and DVD-ROM drive", cd_props, cd_attach, .replaces_default = "cdrom");
