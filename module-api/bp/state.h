/* SPDX-License-Identifier: MIT */
/*
 * Saved state. One table per class drives save, load, versioned sub-sections and the test that
 * saves, loads and compares every device. Nothing saved is a pointer or a host-sized type.
 */
#ifndef BP_STATE_H
#define BP_STATE_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

enum bp_state_kind {
    BP_STATE_END,
    BP_STATE_BOOL,   /* bool */
    BP_STATE_UINT8,  /* uint8_t or int8_t, and so on */
    BP_STATE_UINT16,
    BP_STATE_UINT32,
    BP_STATE_UINT64,
    BP_STATE_BUFFER, /* `count` bytes */
    BP_STATE_STRUCT, /* `table` describes one of `count` elements of `stride` bytes */
    BP_STATE_TIMER,  /* struct bp_timer *: its deadline, or none */
    BP_STATE_SECTION, /* `table` over the same struct, present when `needed(state)` */
    BP_STATE_BYTES,   /* struct bp_state_bytes: as many bytes as there are, at most `count` */
};

/* Bytes whose number varies. They live only while state is saved or loaded: before_save() sets
 * malloc'd memory, which the core frees once it is written; loading sets it for after_load() and
 * frees it afterwards. */
struct bp_state_bytes {
    void *data; /* NULL: none */
    uint32_t size;
    uint32_t reserved;
};

struct bp_state_field {
    const char *name;
    enum bp_state_kind kind;
    uint32_t offset;
    uint32_t count;  /* elements of an array; 1 for a scalar */
    uint32_t stride; /* bytes from element to element */
    uint32_t since;  /* first table version that holds it */
    const struct bp_state_table *table;
    bool (*needed)(const void *state);
    void *reserved[2];
};

struct bp_state_table {
    const char *name; /* of the section; NULL: the type's name */
    uint32_t version; /* written */
    uint32_t oldest;  /* oldest version that can be read */
    const struct bp_state_field *fields; /* ends with BP_STATE_END */
    /* [main] under the machine lock. `state` is the instance's state. */
    int (*before_save)(void *state, struct bp_error *err);
    int (*after_load)(void *state, uint32_t version, struct bp_error *err);
    void *reserved[2];
};

#define BP_SAVE(KIND, STATE, FIELD) \
    { .name = #FIELD, .kind = BP_STATE_##KIND, .offset = offsetof(STATE, FIELD), .count = 1, \
      .stride = sizeof(((STATE *)0)->FIELD) }
/* One that came with a later version of the table: absent from older states, which leave the field
 * as it is. */
#define BP_SAVE_SINCE(VERSION, KIND, STATE, FIELD) \
    { .name = #FIELD, .kind = BP_STATE_##KIND, .offset = offsetof(STATE, FIELD), .count = 1, \
      .stride = sizeof(((STATE *)0)->FIELD), .since = VERSION }
#define BP_SAVE_ARRAY(KIND, STATE, FIELD) \
    { .name = #FIELD, .kind = BP_STATE_##KIND, .offset = offsetof(STATE, FIELD), \
      .count = BP_COUNT(((STATE *)0)->FIELD), .stride = sizeof(((STATE *)0)->FIELD[0]) }
#define BP_SAVE_BUFFER(STATE, FIELD) \
    { .name = #FIELD, .kind = BP_STATE_BUFFER, .offset = offsetof(STATE, FIELD), \
      .count = sizeof(((STATE *)0)->FIELD), .stride = 1 }
#define BP_SAVE_STRUCTS(STATE, FIELD, TABLE) \
    { .name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, FIELD), \
      .count = BP_COUNT(((STATE *)0)->FIELD), .stride = sizeof(((STATE *)0)->FIELD[0]), \
      .table = TABLE }
/* A struct bp_state_bytes of at most MAX bytes. */
#define BP_SAVE_BYTES(STATE, FIELD, MAX) \
    { .name = #FIELD, .kind = BP_STATE_BYTES, .offset = offsetof(STATE, FIELD), .count = MAX, \
      .stride = 1 }
#define BP_SAVE_END { .name = NULL, .kind = BP_STATE_END }

BP_END_DECLS

#endif
