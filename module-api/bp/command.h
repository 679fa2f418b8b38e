/* SPDX-License-Identifier: MIT */
/*
 * QMP commands, events and monitor (HMP) commands. Each is one constant table entry; the dispatcher
 * checks the JSON against `args` and calls the typed C function through libffi.
 */
#ifndef BP_COMMAND_H
#define BP_COMMAND_H

#include <bp/module.h>
#include <bp/schema.h>
#include <bp/value.h>

BP_BEGIN_DECLS

#define BP_COMMAND_PRECONFIG (1u << 0)   /* allowed before the machine is made */
#define BP_COMMAND_NO_SUCCESS (1u << 1)  /* sends no reply when it succeeds */
#define BP_COMMAND_OOB (1u << 2)
#define BP_COMMAND_RAW (1u << 3) /* fn is int (*)(struct bp_value *args, struct bp_value **ret_value,
                                    struct bp_error *err); members are still checked */
/* fn runs in a coroutine (bp/coroutine.h) and may wait; the reply goes out when it returns. The client's later
 * commands wait for it, out-of-band ones don't. A client that goes cancels it. Arguments live until it
 * returns. */
#define BP_COMMAND_COROUTINE (1u << 5)
#define BP_COMMAND_ANY_ARGS (1u << 4) /* with RAW: unknown members are passed on (device_add) */

struct bp_command {
    uint32_t size;
    uint32_t flags;
    const char *name;
    const char *summary;
    const struct bp_field *args; /* or NULL */
    /* What it returns: BP_KIND_NONE for {}. */
    enum bp_field_kind returns;
    const struct bp_schema *returns_schema;
    /*
     * int fn(ARGS..., [struct bp_value **ret_value,] struct bp_error *err), cast to this type.
     * Each argument in table order: BOOL bool; UINT* uint64_t; INT* and SIZE int64_t/uint64_t;
     * NUMBER double; STRING const char * (borrowed, NULL when left out); ENUM int (index);
     * STRUCT, UNION, ALTERNATE, LIST, ANY struct bp_value * (borrowed, NULL when left out).
     * An optional bool, number or enum is preceded by `bool has`. ret_value only when it returns
     * something; the dispatcher takes the reference.
     */
    void (*fn)(void);
    const char *const *features;
    void *reserved[2];
};
#define BP_COMMAND(ident, NAME, SUMMARY, ARGS, RETURNS, SCHEMA, FN, FLAGS) \
    BP_NOTE("provides=command:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_command ident = \
        {sizeof(struct bp_command), FLAGS, NAME, SUMMARY, ARGS, BP_KIND_##RETURNS, SCHEMA, \
         (void (*)(void))FN, NULL, {NULL, NULL}}

struct bp_event {
    uint32_t size;
    const char *name; /* "STOP" */
    const char *summary;
    const struct bp_field *data; /* or NULL */
    unsigned rate_ms;            /* at most one per this time, the last one wins; 0: all are sent */
    const char *const *features; /* as a command's: "deprecated", "unstable"; ends with NULL; or NULL */
    void *reserved[1];
};
/* RATE_MS: as rate_ms; 0: every one is sent. */
#define BP_EVENT(ident, NAME, SUMMARY, DATA, RATE_MS) \
    BP_NOTE("provides=event:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_event ident = {sizeof(struct bp_event), NAME, SUMMARY, DATA, \
                                              RATE_MS, NULL, {NULL}}
/* Sends an event to every QMP client; takes the reference to `data` (dict or NULL). [any] */
void bp_event_send(const struct bp_event *event, struct bp_value *data);
/* The same by name, for events of the core ("DEVICE_DELETED"). */
void bp_event_send_named(const char *name, struct bp_value *data);

/* A descriptor that a QMP client passed and named with getfd: takes it away, the caller owns it.
 * Returns it, or -ENOENT and err. [main] */
int bp_fd_take(const char *name, struct bp_error *err);

/*
 * The machine that the command (QMP or HMP) or the option being carried out is about; NULL before it
 * is made. Only for their functions: everything else has an object that it can ask. [main]
 */
struct bp_machine;
struct bp_machine *bp_command_machine(void);

/* Where an HMP command's text goes. */
struct bp_monitor;
void bp_monitor_printf(struct bp_monitor *mon, const char *fmt, ...) BP_PRINTF(2, 3);
/* Carries out one line of the human monitor, for protocols that pass such lines on. Returns its text
 * (malloc'd), or NULL. [main] */
char *bp_monitor_execute(const char *line);

struct bp_hmp_command {
    uint32_t size;
    const char *name; /* "stop", "info pic" */
    const char *params; /* for help: "[-f] id" */
    const char *summary;
    /* Arguments by position; kinds as above (dict by name in `args`). A STRING that is the last one
     * and has BP_FIELD_REPEATED takes the rest of the line. */
    const struct bp_field *args;
    void (*fn)(struct bp_monitor *mon, struct bp_value *args);
    void *reserved[2];
};
#define BP_HMP(ident, NAME, PARAMS, SUMMARY, ARGS, FN) \
    BP_NOTE("provides=hmp:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_hmp_command ident = \
        {sizeof(struct bp_hmp_command), NAME, PARAMS, SUMMARY, ARGS, FN, {NULL, NULL}}

BP_END_DECLS

#endif
