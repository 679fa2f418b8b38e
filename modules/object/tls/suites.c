/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Object "tls-cipher-suites": the suites that a priority string allows, in its order, as firmware wants to have them
 * for HTTPS: two bytes each, as they go over the wire (IANA's registry; RFC 8446, B.4).
 */
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/generator.h>

struct suites {
    char *priority;
    uint8_t *bytes;
    size_t size;
};

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct suites *s = bp_object_state(obj);
    const char *at = NULL;
    gnutls_priority_t priority;
    unsigned index;
    int r = gnutls_priority_init(&priority, s->priority, &at);

    if (r < 0)
        return bp_fail(err, EINVAL, "tls-cipher-suites: priority '%s': %s at '%s'", s->priority, gnutls_strerror(r),
                       at ? at : s->priority);
    for (size_t i = 0;; i++) {
        uint8_t id[2], *more;
        gnutls_protocol_t lowest;

        r = gnutls_priority_get_cipher_suite_index(priority, (unsigned)i, &index);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (r < 0 || !gnutls_cipher_suite_info(index, id, NULL, NULL, NULL, &lowest) || lowest > GNUTLS_TLS_VERSION_MAX)
            continue;
        more = realloc(s->bytes, s->size + 2);
        if (!more)
            break;
        s->bytes = more;
        memcpy(s->bytes + s->size, id, 2);
        s->size += 2;
    }
    gnutls_priority_deinit(priority);
    if (s->size == 0)
        return bp_fail(err, EINVAL, "tls-cipher-suites: priority '%s' allows no cipher suite", s->priority);
    return 0;
}

static void finalize(struct bp_object *obj)
{
    struct suites *s = bp_object_state(obj);

    free(s->bytes);
    s->bytes = NULL;
}

static int generate(struct bp_object *obj, const uint8_t **ret_data, size_t *ret_size, struct bp_error *err)
{
    const struct suites *s = bp_object_state(obj);

    (void)err;
    *ret_data = s->bytes;
    *ret_size = s->size;
    return 0;
}

static const struct bp_generator_ops ops = {.size = sizeof(ops), .generate = generate};
static const struct bp_level_info infos[] = {{BP_GENERATOR, &ops, {NULL}}, {NULL, NULL, {NULL}}};
static const struct bp_field props[] = {
    BP_PROP("priority", STRING, struct suites, priority, "NORMAL", "what is allowed, as GnuTLS writes it"),
    BP_FIELDS_END};
BP_NOTE("provides=object:tls-cipher-suites;summary=List of TLS cipher suites for firmware");
const struct bp_object_class tls_suites_class = {
    .type = {.size = sizeof(struct bp_object_class), .flags = BP_TYPE_EARLY, .name = "tls-cipher-suites",
             .summary = "List of TLS cipher suites for firmware", .state_size = sizeof(struct suites), .props = props,
             .infos = infos},
    .complete = complete, .finalize = finalize};
