/* SPDX-License-Identifier: MIT */
/* @name@: what it is, which standard it follows, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/host/scsi.h>
#include <bp/level.h>

#include <string.h>

/* A logical unit of type "processor" (SPC-2): it keeps what is sent to it, and gives it back. */
enum { TEST_UNIT_READY = 0x00, RECEIVE = 0x08, SEND = 0x0a, INQUIRY = 0x12 };
#define ILLEGAL_REQUEST 5u
#define INVALID_OPCODE 0x2000u
#define INVALID_FIELD 0x2400u
#define SIZE 64u

struct @ident@ {
    uint8_t fill; /* what it holds after a reset */
    uint8_t bytes[SIZE];
};

BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

static const struct bp_field @ident@_props[] = {
    BP_PROP("fill", UINT8, struct @ident@, fill, "0", "byte that it holds after a reset"),
    BP_FIELDS_END};
static const struct bp_state_field @ident@_fields[] = {BP_SAVE_BUFFER(struct @ident@, bytes), BP_SAVE_END};
static const struct bp_state_table @ident@_state = {
    .name = "@name@", .version = 1, .oldest = 1, .fields = @ident@_fields};

/* Between the request's vectors and memory of our own. */
static uint64_t @ident@_copy(const struct iovec *iov, unsigned count, uint8_t *own, uint64_t bytes, bool to_guest)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < count && at < bytes; i++) {
        uint64_t n = iov[i].iov_len < bytes - at ? iov[i].iov_len : bytes - at;

        memcpy(to_guest ? iov[i].iov_base : own + at, to_guest ? own + at : iov[i].iov_base, n);
        at += n;
    }
    return at;
}

static void @ident@_give(struct bp_scsi_request *r, uint8_t *data, uint64_t bytes)
{
    r->moved = @ident@_copy(r->in, r->in_count, data, bytes, true);
    scsi->complete(r, BP_SCSI_GOOD);
}

/* Under the adapter's lock. A unit whose work takes time keeps the request, and ends it later. */
static void @ident@_submit(void *state, struct bp_scsi_request *r)
{
    static const uint8_t inquiry[36] = {3, 0, 2, 2, 31, [8] = 'B', 'A', 'C', 'K', 'P', 'L', 'N', ' '};
    struct @ident@ *s = state;
    uint8_t data[36];
    uint32_t length = (uint32_t)r->cdb[2] << 16 | (uint32_t)r->cdb[3] << 8 | r->cdb[4];

    switch (r->cdb[0]) {
    case TEST_UNIT_READY:
        scsi->complete(r, BP_SCSI_GOOD);
        break;
    case INQUIRY:
        memcpy(data, inquiry, sizeof(data));
        if (r->cdb[1])
            scsi->fail(r, ILLEGAL_REQUEST, INVALID_FIELD);
        else
            @ident@_give(r, data, r->cdb[4] < sizeof(data) ? r->cdb[4] : sizeof(data));
        break;
    case RECEIVE:
        @ident@_give(r, s->bytes, length < SIZE ? length : SIZE);
        break;
    case SEND:
        if (length > SIZE || r->out_bytes < length) {
            scsi->fail(r, ILLEGAL_REQUEST, INVALID_FIELD);
            break;
        }
        r->moved = @ident@_copy(r->out, r->out_count, s->bytes, length, false);
        scsi->complete(r, BP_SCSI_GOOD);
        break;
    default:
        scsi->fail(r, ILLEGAL_REQUEST, INVALID_OPCODE);
        break;
    }
}

/* Nothing of it is ever under way. */
static void @ident@_cancel(void *state, struct bp_scsi_request *r)
{
}

static void @ident@_reset(void *state)
{
    struct @ident@ *s = state;

    memset(s->bytes, s->fill, SIZE);
}

static void @ident@_detach(struct bp_device *dev)
{
    struct bp_scsi_unit *unit = scsi->of(dev);

    scsi->leaves(unit);
    scsi->end_all(unit);
}

static const struct bp_scsi_unit_info @ident@_unit = {
    .size = sizeof(@ident@_unit), .submit = @ident@_submit, .cancel = @ident@_cancel, .reset = @ident@_reset};
static const struct bp_level_info @ident@_infos[] = {{.level = "scsi-unit", .info = &@ident@_unit}, {.level = NULL}};
BP_NOTE("provides=device:@name@;bus=scsi;user=yes;summary=One line of help");
static const struct bp_device_class @ident@ = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "@name@",
             .parent = "scsi-unit", .summary = "One line of help", .state_size = sizeof(struct @ident@),
             .props = @ident@_props, .state = &@ident@_state, .infos = @ident@_infos},
    .bus = "scsi", .category = "misc", .detach = @ident@_detach};

static const struct bp_import @ident@_imports[] = {BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@});
