/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-iscsi`: disks and CD-ROMs of iSCSI targets.
 * Leaves out: iSER, CHAP of the target, several connections of a session, SCSI commands of guests (passthrough).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/secret.h>
#include <bp/option.h>

#include "iscsi.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), BP_IMPORT(secret, "secret", 1), {0}};

#define MAX_TRANSFER (4u << 20)
#define MAX_MANAGED 65535u /* blocks that are forgotten or zeroed at once, unless the unit takes fewer */

struct iscsi_state {
    char *filename, *transport, *portal, *target, *user, *password_secret, *initiator, *digest;
    uint32_t lun;
    uint64_t timeout;
    struct session *session;
    struct iscsi_facts facts;
};

static struct iscsi_state *state_of(struct bp_block_node *node)
{
    return block->state(node);
}

/* ---- requests ---- */

static struct request request_of(const struct iscsi_state *s, enum request_op op, const struct bp_block_request *req)
{
    return (struct request){.op = op, .lba = req->offset / s->facts.block_size,
                            .count = req->bytes / s->facts.block_size, .iov = req->iov, .iov_count = req->iov_count};
}

static int iscsi_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct iscsi_state *s = state_of(node);
    struct request r = request_of(s, REQUEST_READ, req);

    /* A target may say that all went well and have sent less: what was in memory before is nobody's business. */
    for (unsigned i = 0; i < req->iov_count; i++)
        memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
    return session_request(s->session, &r);
}

static int iscsi_flush(struct bp_block_node *node)
{
    struct iscsi_state *s = state_of(node);
    struct request r = {.op = REQUEST_FLUSH};

    return s->facts.write_protected ? 0 : session_request(s->session, &r);
}

static int iscsi_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct iscsi_state *s = state_of(node);
    struct request r = request_of(s, REQUEST_WRITE, req);
    bool fua = req->flags & BP_BLOCK_FUA;
    int ret;

    r.fua = fua && s->facts.fua;
    ret = session_request(s->session, &r);
    return ret == 0 && fua && !s->facts.fua ? iscsi_flush(node) : ret;
}

static int iscsi_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct iscsi_state *s = state_of(node);
    struct request r = request_of(s, REQUEST_ZEROES, req);
    int ret;

    r.may_unmap = req->flags & BP_BLOCK_MAY_UNMAP && s->facts.same_unmap && s->facts.zero_unmapped;
    if (s->facts.short_commands || (req->flags & BP_BLOCK_NO_FALLBACK && !r.may_unmap))
        return -ENOTSUP;
    ret = session_request(s->session, &r);
    return ret == 0 && req->flags & BP_BLOCK_FUA ? iscsi_flush(node) : ret;
}

static int iscsi_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct iscsi_state *s = state_of(node);
    struct request r = request_of(s, s->facts.unmap ? REQUEST_UNMAP : REQUEST_ZEROES, req);

    r.may_unmap = true;
    return s->facts.unmap || s->facts.same_unmap ? session_request(s->session, &r) : -ENOTSUP;
}

static int iscsi_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct iscsi_state *s = state_of(node);
    uint32_t size = s->facts.block_size;
    struct request r = {.op = REQUEST_STATUS, .lba = offset / size, .count = (offset + bytes + size - 1) / size};
    uint64_t skip = offset % size;
    int error;

    ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED;
    ret->bytes = bytes;
    if (!s->facts.thin)
        return 0;
    r.count -= r.lba;
    error = session_request(s->session, &r);
    if (error < 0)
        return error == -EIO ? error : 0;
    if (r.mapped_count * size - skip < bytes)
        ret->bytes = r.mapped_count * size - skip;
    if (r.unmapped)
        ret->flags = BP_BLOCK_STATUS_ALLOCATED | (s->facts.zero_unmapped ? BP_BLOCK_STATUS_ZERO : BP_BLOCK_STATUS_DATA);
    return 0;
}

static int64_t iscsi_length(struct bp_block_node *node)
{
    const struct iscsi_facts *f = &state_of(node)->facts;

    return (int64_t)(f->blocks * f->block_size);
}

static uint64_t bounded(uint64_t said, uint64_t most)
{
    return said && said < most ? said : most;
}

static void iscsi_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct iscsi_facts *f = &state_of(node)->facts;

    limits->request_alignment = f->block_size;
    limits->logical_block = f->block_size;
    limits->physical_block = f->physical_block;
    limits->max_transfer = bounded(f->max_transfer, MAX_TRANSFER / f->block_size) * f->block_size;
    limits->max_discard = bounded(f->unmap ? f->max_unmap : f->max_same, MAX_MANAGED) * f->block_size;
    limits->max_zero = bounded(f->max_same, MAX_MANAGED) * f->block_size;
    limits->discard_alignment = (uint64_t)f->unmap_granularity * f->block_size;
    if (limits->max_discard < limits->discard_alignment)
        limits->discard_alignment = f->block_size;
}

/* ---- opening ---- */

static char *text_or_null(const char *text)
{
    return *text ? bp_strdup(text) : NULL;
}

/* Also what LIBISCSI_CHAP_USERNAME and LIBISCSI_CHAP_PASSWORD say. */
static int place_of_url(const struct iscsi_state *s, struct iscsi_place *place, struct bp_error *err)
{
    static const char form[] = "iscsi://[USER[%PASSWORD]@]HOST[:PORT]/TARGET/LUN";
    struct iscsi_context *iscsi;
    struct iscsi_url *url;
    int ret = 0;

    if (s->portal || s->target || s->user || s->password_secret)
        return bp_fail(err, EINVAL, "keys 'portal', 'target', 'user' and 'password-secret' do not go with a URL");
    if (strlen(s->filename) > 1024 || strncmp(s->filename, "iscsi://", 8) != 0)
        return bp_fail(err, EINVAL, "a URL like this is expected: %s", form);
    iscsi = iscsi_create_context("iqn.2008-11.org.linux-kvm"); /* it has the words of errors */
    if (!iscsi)
        return bp_fail(err, ENOMEM, "iscsi: libiscsi does not start");
    url = iscsi_parse_full_url(iscsi, s->filename);
    if (!url)
        ret = bp_fail(err, EINVAL, "a URL like this is expected: %s", form);
    else if (url->transport != TCP_TRANSPORT)
        ret = bp_fail(err, ENOTSUP, "iSER is not built in: iscsi:// goes over TCP");
    else if (url->target_user[0])
        ret = bp_fail(err, ENOTSUP, "CHAP of the target is not built in");
    else
        *place = (struct iscsi_place){.portal = bp_strdup(url->portal), .target = bp_strdup(url->target),
                                      .user = text_or_null(url->user), .password = text_or_null(url->passwd),
                                      .lun = url->lun};
    if (url)
        iscsi_destroy_url(url);
    iscsi_destroy_context(iscsi);
    return ret;
}

static int place_of_keys(const struct iscsi_state *s, struct iscsi_place *place, struct bp_error *err)
{
    if (s->transport && strcmp(s->transport, "tcp") != 0)
        return bp_fail(err, strcmp(s->transport, "iser") ? EINVAL : ENOTSUP, "key 'transport' expects tcp%s",
                       strcmp(s->transport, "iser") ? "" : ": iSER is not built in");
    if (!s->portal || !s->target || !*s->portal || !*s->target)
        return bp_fail(err, EINVAL, "keys 'portal' (HOST[:PORT]) and 'target' are both needed, or a URL: "
                       "iscsi://HOST[:PORT]/TARGET/LUN");
    if (strlen(s->portal) > MAX_STRING_SIZE || strlen(s->target) > 223)
        return bp_fail(err, EINVAL, "keys 'portal' and 'target' expect at most %d and 223 bytes", MAX_STRING_SIZE);
    if (!s->user != !s->password_secret)
        return bp_fail(err, EINVAL, "keys 'user' and 'password-secret' go together");
    *place = (struct iscsi_place){.portal = bp_strdup(s->portal), .target = bp_strdup(s->target),
                                  .user = s->user ? bp_strdup(s->user) : NULL, .lun = (int)s->lun};
    return s->password_secret ? password_of_secret(s->password_secret, &place->password, err) : 0;
}

static int make_place(const struct iscsi_state *s, struct iscsi_place *place, struct bp_error *err)
{
    bool timeout_given = s->timeout != UINT64_MAX;
    int ret = s->filename ? place_of_url(s, place, err) : place_of_keys(s, place, err);

    if (ret == 0 && (place->lun < 0 || place->lun > 255))
        ret = bp_fail(err, EINVAL, "key 'lun' expects a logical unit from 0 to 255");
    if (ret == 0 && timeout_given && s->timeout > 86400)
        ret = bp_fail(err, EINVAL, "key 'timeout' expects seconds, at most 86400");
    if (ret == 0 && s->initiator && (!*s->initiator || strlen(s->initiator) > 223))
        ret = bp_fail(err, EINVAL, "key 'initiator-name' expects a name like iqn.2001-04.com.example:me, at most 223 "
                      "bytes");
    if (ret == 0 && s->digest)
        ret = digest_of_name(s->digest, &place->digest, err);
    if (ret < 0)
        return ret;
    place->timeout = timeout_given ? (unsigned)s->timeout : 0;
    place->initiator = s->initiator ? bp_strdup(s->initiator) : NULL;
    return settings_apply(place, s->digest != NULL, timeout_given, err);
}

static int iscsi_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct iscsi_state *s = state_of(node);
    struct iscsi_place place = {0};
    char name[600] = "";
    int ret = make_place(s, &place, err);

    if (ret == 0)
        snprintf(name, sizeof(name), "iscsi://%s/%s/%d", place.portal, place.target, place.lun);
    if (ret == 0)
        ret = session_new(&place, &s->session, &s->facts, err);
    place_free(&place);
    if (ret < 0)
        return ret;
    if (s->facts.write_protected && !flags->read_only) {
        if (flags->auto_read_only) {
            block->set_read_only(node);
        } else {
            session_free(s->session);
            return bp_fail(err, EACCES, "iscsi: the unit's medium can only be read: read-only=on opens it");
        }
    }
    block->set_filename(node, name);
    return 0;
}

static void iscsi_close(struct bp_block_node *node)
{
    session_free(state_of(node)->session);
}

static const struct bp_field props[] = {
    BP_PROP("transport", STRING, struct iscsi_state, transport, NULL, "tcp"),
    BP_PROP("portal", STRING, struct iscsi_state, portal, NULL, "where the target is: HOST[:PORT]; port 3260"),
    BP_PROP("target", STRING, struct iscsi_state, target, NULL, "the target's name: iqn...."),
    BP_PROP("lun", UINT32, struct iscsi_state, lun, "0", "which of its logical units"),
    BP_PROP("user", STRING, struct iscsi_state, user, NULL, "CHAP: the user"),
    BP_PROP("password-secret", STRING, struct iscsi_state, password_secret, NULL,
            "CHAP: id of the secret with the password"),
    BP_PROP("initiator-name", STRING, struct iscsi_state, initiator, NULL, "name of this host; see -iscsi"),
    BP_PROP("header-digest", STRING, struct iscsi_state, digest, NULL,
            "none, crc32c, none-crc32c, crc32c-none: checksums of headers, best first"),
    BP_PROP("timeout", UINT64, struct iscsi_state, timeout, "18446744073709551615",
            "seconds that a request may take; 0: any time; not given: as -iscsi says"),
    BP_PROP("filename", STRING, struct iscsi_state, filename, NULL,
            "all of it as a URL: iscsi://[USER%PASSWORD@]HOST[:PORT]/TARGET/LUN"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(iscsi_driver, "iscsi", "Disks of iSCSI targets", struct iscsi_state, props, .flags = BP_BLOCK_PROTOCOL,
                .native = BP_BLOCK_FUA, .open = iscsi_open, .close = iscsi_close, .read = iscsi_read,
                .write = iscsi_write, .flush = iscsi_flush, .write_zeroes = iscsi_zeroes, .discard = iscsi_discard,
                .status = iscsi_status, .length = iscsi_length, .limits = iscsi_limits);
BP_MODULE_WITH_FINI("block-iscsi", "Disks of iSCSI targets", imports, NULL, settings_free,
                    {BP_PROVIDE_OTHER, &iscsi_driver}, {BP_PROVIDE_OPTION, &iscsi_option});
