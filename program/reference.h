/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What there is, as values: devices, machines, options, commands with all that their tables say.
 * Help in both its formats, the manual and completion are made of it. Nothing is loaded. [main]
 */
#ifndef BPC_REFERENCE_H
#define BPC_REFERENCE_H

#include <bp/object.h>
#include <bp/option.h>
#include <bp/value.h>

/* Calls fn for everything of a kind that is for this guest architecture, sorted by name. `info`
 * begins the descriptor. */
void bpc_reference_each(enum bp_provide_kind kind,
                        void (*fn)(const char *name, const char *module,
                                   const struct bp_type_info *info, void *opaque),
                        void *opaque);
/* How users name it: a CPU's model, a chardev's back end. Borrowed. */
const char *bpc_reference_name(enum bp_provide_kind kind, const struct bp_type_info *info);
/* Finds by the name that users give ("pc", "qemu64"). */
int bpc_reference_find(enum bp_provide_kind kind, const char *name,
                       const struct bp_type_info **ret_info, struct bp_error *err);
/* The module that has it, or NULL. Borrowed. */
const char *bpc_reference_module(enum bp_provide_kind kind, const struct bp_type_info *info);
/* Calls fn for the properties of such a class. */
int bpc_reference_each_field(enum bp_provide_kind kind, const struct bp_type_info *info,
                             void (*fn)(const struct bp_field *field, void *opaque), void *opaque,
                             struct bp_error *err);

/* A dict with name, summary, ... and properties; a list of them. New references. */
struct bp_value *bpc_reference_class(enum bp_provide_kind kind, const char *module,
                                     const struct bp_type_info *info, bool with_properties);
struct bp_value *bpc_reference_list(enum bp_provide_kind kind, bool with_properties);
struct bp_value *bpc_reference_fields(const struct bp_field *fields); /* a list */
/* Options: those of the core in the order of their tables, then those of modules by name. */
struct bp_value *bpc_reference_options(void);
/* Everything: what -help-json prints. */
struct bp_value *bpc_reference_all(void);

#endif
