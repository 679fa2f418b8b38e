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
    BP_STATE_MEMORY,  /* a pointer to bytes; a uint32_t at `number` says how many, which was settled when
                         the object attached and must be the same where the state is loaded */
    BP_STATE_VECTOR,  /* a pointer to malloc'd elements of `stride` bytes, as `table` describes them; a
                         uint32_t at `number` says how many, at most `count`. Loading replaces them */
    BP_STATE_LIST,    /* elements that `list` walks and makes, as `table` describes them; at most `count` */
};

/* Bytes whose number varies. They live only while state is saved or loaded: before_save() sets
 * malloc'd memory, which the core frees once it is written; loading sets it for after_load() and
 * frees it afterwards. */
struct bp_state_bytes {
    void *data; /* NULL: none */
    uint32_t size;
    uint32_t reserved;
};

/* A list of the class's own kind. `state` is the struct that the field is in. */
struct bp_state_list {
    uint32_t size; /* sizeof(struct bp_state_list) */
    /* The element after this one (NULL: the first); NULL: there are no more. */
    void *(*next)(void *state, void *element);
    /* Before loading: removes and frees all elements. */
    void (*clear)(void *state);
    /* Appends an element in its first state, to be loaded; NULL: refused, with err filled. */
    void *(*append)(void *state, struct bp_error *err);
    void *reserved[4];
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
    uint32_t number; /* offset of the number of elements (VECTOR) or bytes (MEMORY) */
    uint32_t flags;  /* none yet: 0 */
    uint64_t min, max; /* UINT*: what is loaded must lie there (as unsigned); both 0: anything */
    const struct bp_state_list *list;
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
    /*
     * After everything of the machine is loaded, with what other objects hold in place: from the lowest
     * order to the highest, those of one order as they stand in the object tree. Not for tables of
     * elements and sections.
     */
    int (*loaded)(void *state, struct bp_error *err);
    int32_t loaded_order; /* BP_STATE_ORDER_* plus or minus a little */
    /* An object's or level's table: states from before there was this table are accepted;
     * after_load() is called with version 0 then. */
    bool may_be_missing;
    void *reserved[2];
};
#define BP_STATE_ORDER_LINES (-1000)  /* who drives lines says so */
#define BP_STATE_ORDER_DEVICES 0      /* who depends on other devices' state */
#define BP_STATE_ORDER_REQUESTS 1000  /* what was under way goes on */

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
/* One that must lie in MIN..MAX when it is loaded: an index, a state of a machine. */
#define BP_SAVE_RANGE(KIND, STATE, FIELD, MIN, MAX) \
    { .name = #FIELD, .kind = BP_STATE_##KIND, .offset = offsetof(STATE, FIELD), .count = 1, \
      .stride = sizeof(((STATE *)0)->FIELD), .min = MIN, .max = MAX }
/* A pointer to as many bytes as the uint32_t SIZE says. */
#define BP_SAVE_MEMORY(STATE, FIELD, SIZE) \
    { .name = #FIELD, .kind = BP_STATE_MEMORY, .offset = offsetof(STATE, FIELD), .count = 1, \
      .stride = 1, .number = offsetof(STATE, SIZE) }
/* A malloc'd array of as many elements as the uint32_t NUMBER says, at most MAX. */
#define BP_SAVE_VECTOR(STATE, FIELD, NUMBER, MAX, TABLE) \
    { .name = #FIELD, .kind = BP_STATE_VECTOR, .offset = offsetof(STATE, FIELD), .count = MAX, \
      .stride = sizeof(*((STATE *)0)->FIELD), .table = TABLE, .number = offsetof(STATE, NUMBER) }
#define BP_SAVE_LIST(NAME, LIST, MAX, TABLE) \
    { .name = NAME, .kind = BP_STATE_LIST, .count = MAX, .table = TABLE, .list = LIST }
#define BP_SAVE_END { .name = NULL, .kind = BP_STATE_END }

BP_END_DECLS

#endif
