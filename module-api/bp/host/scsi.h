/* SPDX-License-Identifier: MIT */
/*
 * The SCSI bus: interface scsi/1, offered by the `scsi` module (SAM-5, SPC-4). Host adapters and devices meet
 * only here: an adapter makes a bus and gives requests to logical units, which end them later, or after cancel().
 *
 * A bus lives with its adapter: its requests are given, cancelled and ended under the adapter's lock and in its
 * context ([locked]); what is [main] is called on the main thread under the machine lock alone.
 */
#ifndef BP_HOST_SCSI_H
#define BP_HOST_SCSI_H

#include <sys/uio.h>

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_context;
struct bp_scsi_bus;  /* opaque */
struct bp_scsi_unit; /* opaque: a logical unit on a bus */

#define BP_SCSI_CDB_MAX 32u
#define BP_SCSI_SENSE_MAX 96u

enum { /* SAM-5 5.3 */
    BP_SCSI_GOOD = 0x00,
    BP_SCSI_CHECK_CONDITION = 0x02,
    BP_SCSI_BUSY = 0x08,
    BP_SCSI_RESERVATION_CONFLICT = 0x18,
    BP_SCSI_TASK_SET_FULL = 0x28,
    BP_SCSI_TASK_ABORTED = 0x40,
};

/* One command. The adapter allocates and fills it, and keeps it and the data's memory until `done`. */
struct bp_scsi_request {
    uint32_t size; /* sizeof(struct bp_scsi_request) */
    uint32_t cdb_length;
    uint8_t cdb[BP_SCSI_CDB_MAX];
    uint64_t tag; /* unique among the unit's requests */
    const struct iovec *out, *in; /* to the unit; from it */
    unsigned out_count, in_count;
    uint64_t out_bytes, in_bytes;
    /* Called once, maybe inside of submit() or cancel() [locked]: status, sense and moved are filled. */
    void (*done)(struct bp_scsi_request *request);
    void *opaque;
    uint8_t status; /* BP_SCSI_* */
    uint8_t cancelled;
    uint16_t sense_length;
    uint8_t sense[BP_SCSI_SENSE_MAX]; /* fixed format */
    uint64_t moved; /* bytes of data that went over */
    /* The bus's and the unit's. */
    struct bp_scsi_unit *unit;
    void *unit_data;
    struct bp_scsi_request *next, **link;
    void *reserved[2];
};

struct bp_scsi_bus_info {
    uint32_t size;
    uint32_t flags; /* none yet: 0 */
    uint16_t max_channel, max_target;
    uint32_t max_lun;
    /* A unit came or went, or has something to tell (a new medium, another size): sense is ASC << 8 | ASCQ. [main]
     * under the machine lock, without the adapter's. Each may be NULL. */
    void (*unit_came)(void *opaque, struct bp_scsi_unit *unit);
    void (*unit_went)(void *opaque, struct bp_scsi_unit *unit);
    void (*unit_changed)(void *opaque, struct bp_scsi_unit *unit, uint16_t sense);
    /* Parallel SCSI: bit n: target n is an initiator's, nobody is placed there. */
    uint64_t initiators;
    void *reserved[3];
};

/* What a class of units (a disk) tells the level "scsi-unit": in its infos. */
#define BP_SCSI_OWN_SENSE (1u << 0) /* REQUEST SENSE goes to it, unless the bus has a unit attention to tell */
struct bp_scsi_unit_info {
    uint32_t size;
    uint32_t flags; /* BP_SCSI_* */
    /* Carries it out; ends it with scsi->complete(), maybe at once. [locked] */
    void (*submit)(void *state, struct bp_scsi_request *request);
    /* It is to end soon. [locked] */
    void (*cancel)(void *state, struct bp_scsi_request *request);
    /* After resets of any kind: settings are those of power-on; requests were cancelled. [locked] */
    void (*reset)(void *state);
    /* The adapter works in another context now; nothing is in flight. [main] */
    void (*moved)(void *state, struct bp_context *ctx);
    /* Bytes of a logical block; NULL: 512. [locked] */
    uint32_t (*block_size)(void *state);
    void *reserved[3];
};

struct bp_scsi_interface { /* scsi/1 */
    uint32_t size;
    /* ---- for adapters ---- */
    /* info is copied; devices come to the bus by the name of the adapter's id. [main] */
    int (*new_bus)(struct bp_device *adapter, const struct bp_scsi_bus_info *info, void *opaque,
                   struct bp_scsi_bus **ret_bus, struct bp_error *err);
    void (*free_bus)(struct bp_scsi_bus *bus); /* in the adapter's fini(), or when its attach() fails. NULL is fine */
    /* NULL: nobody is there. [locked] */
    struct bp_scsi_unit *(*unit)(struct bp_scsi_bus *bus, unsigned channel, unsigned target, unsigned lun);
    /* The unit that answers for a target when the addressed one is not there (INQUIRY, REPORT LUNS): the first of
     * the target; NULL: no such target. [locked] */
    struct bp_scsi_unit *(*target)(struct bp_scsi_bus *bus, unsigned channel, unsigned target);
    void (*address)(struct bp_scsi_unit *unit, unsigned *ret_channel, unsigned *ret_target, unsigned *ret_lun);
    /* `lun`: the one that was addressed, which need not be the unit's. [locked] */
    void (*submit)(struct bp_scsi_unit *unit, unsigned lun, struct bp_scsi_request *request);
    /* done() comes soon, with `cancelled`, or as it ended. No effect when it has. [locked] */
    void (*cancel)(struct bp_scsi_unit *unit, struct bp_scsi_request *request);
    /* A reset of the unit: all its requests are cancelled, and it tells of a unit attention. [locked] */
    void (*reset_unit)(struct bp_scsi_unit *unit);
    void (*reset_bus)(struct bp_scsi_bus *bus); /* [locked] */
    void (*set_context)(struct bp_scsi_bus *bus, struct bp_context *ctx); /* moved() of all units. [main] */
    unsigned (*in_flight)(struct bp_scsi_bus *bus); /* requests that have not ended. [locked] */
    /* Calls fn for each request of a unit that has not ended. [locked] */
    void (*each_request)(struct bp_scsi_unit *unit, void (*fn)(void *opaque, struct bp_scsi_request *request),
                         void *opaque);

    /* ---- for units ---- */
    struct bp_scsi_unit *(*of)(struct bp_device *dev);
    struct bp_device *(*adapter)(struct bp_scsi_unit *unit);
    /* Ends a request: GOOD with `moved` set; sense: CHECK CONDITION. [locked] */
    void (*complete)(struct bp_scsi_request *request, uint8_t status);
    void (*fail)(struct bp_scsi_request *request, uint8_t key, uint16_t sense); /* CHECK CONDITION */
    /* From now on the next command that may is answered with this unit attention. [locked] */
    void (*attention)(struct bp_scsi_unit *unit, uint16_t sense);
    /* Tells the adapter: unit_changed(). [main] */
    void (*changed)(struct bp_scsi_unit *unit, uint16_t sense);
    /* A unit's detach(): nobody finds it any more; then, when what carried out its commands has let go of them, those
     * that are left end as aborted. [main] */
    void (*leaves)(struct bp_scsi_unit *unit);
    void (*end_all)(struct bp_scsi_unit *unit);

    /* ---- from minor 1 on: BP_IMPORT_MINOR(scsi, "scsi", 1, 1) ---- */
    /* For adapters whose initiator does not say it beforehand (parallel SCSI): how many bytes a command of a unit moves
     * at most, and which way. An allocation length counts up to 64 KiB; 0: none, or an unknown command. [locked] */
    uint64_t (*moves)(struct bp_scsi_unit *unit, const uint8_t *cdb, bool *ret_out);

    /* ---- from minor 2 on ---- */
    /* For units: ends a request with CHECK CONDITION and sense data in the fixed format, of at most BP_SCSI_SENSE_MAX
     * bytes. [locked] */
    void (*check_condition)(struct bp_scsi_request *request, const void *sense, uint32_t length);
    void *reserved[4];
};

BP_END_DECLS

#endif
