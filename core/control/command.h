/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands as data: looked up by name, checked against their tables, called. [main] */
#ifndef BPC_COMMAND_H
#define BPC_COMMAND_H

#include <bp/host/chardev.h>
#include <bp/command.h>

/* Tables of the core's commands and events; each ends with a NULL. */
extern const struct bp_command *const bpc_query_commands[];
extern const struct bp_command *const bpc_machine_commands[];
extern const struct bp_command *const bpc_memory_commands[];
extern const struct bp_command *const bpc_object_commands[];
extern const struct bp_command *const bpc_probe_commands[];
extern const struct bp_command *const bpc_monitor_commands[];
extern const struct bp_command *const bpc_fd_commands[];
extern const struct bp_command *const bpc_migrate_commands[];
extern const struct bp_command *const bpc_module_commands[];
extern const struct bp_command *const bpc_context_commands[];
extern const struct bp_command *const bpc_preconfig_commands[];
extern const struct bp_hmp_command *const bpc_hmp_preconfig_commands[];
extern const struct bp_hmp_command *const bpc_hmp_commands[];
extern const struct bp_hmp_command *const bpc_hmp_info_commands[];
extern const struct bp_hmp_command *const bpc_hmp_memory_commands[];
extern const struct bp_hmp_command *const bpc_hmp_memory_devices[];
extern const struct bp_hmp_command *const bpc_hmp_io_commands[];
extern const struct bp_hmp_command *const bpc_hmp_module_commands[];
extern const struct bp_hmp_command *const bpc_hmp_context_commands[];
extern const struct bp_event *const bpc_core_events[];

/* Finds a command, loading the module that has it. Class CommandNotFound when nobody has. */
int bpc_command_find(const char *name, const struct bp_command **ret_command, struct bp_error *err);
/* Checks `args` (dict or NULL, borrowed) and calls the function. *ret_value: a new reference, {} for
 * a command that returns nothing. */
int bpc_command_call(const struct bp_command *command, struct bp_value *args,
                     struct bp_value **ret_value, struct bp_error *err);

/* ---- event.c ---- */
void bpc_events_start(void); /* from now on events of all the core are queued */
/* Delivers what is queued to every QMP client, in order. */
void bpc_events_flush(void);
void bpc_events_stop(void); /* delivers what rate limits held back; no more timers */

/* ---- qmp.c ---- */
/* The client whose command is running: its chardev, or NULL. */
struct bp_chardev *bpc_qmp_current(const struct bp_chardev_interface **ret_table);
/* For qmp_capabilities: ends the negotiation of the client whose command is running. */
int bpc_qmp_negotiated(bool oob, struct bp_error *err);
/* Queues one JSON object to every client that has negotiated; borrowed. */
void bpc_qmp_broadcast(struct bp_value *message);

/* ---- module-commands.c ---- */
/* For the loader: MODULE_LOADED, when there is a monitor already. */
void bpc_module_loaded(const char *name, const char *file);

/* ---- introspect.c ---- */
struct bp_value *bpc_introspect(void);

#endif
