/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The administrator's word on modules: modules.d/<name>.conf of the vendor (beside the modules, then
 * /usr/lib/backplane), /run/backplane and /etc/backplane; a file in a later place replaces the one of
 * the same name, all files together are read sorted by name, and the last matching line wins.
 *
 *     deny   PATTERN ["reason"]     PATTERN: a module's name or KIND:NAME; * and ? match
 *     allow  PATTERN
 *     alias  KIND:NAME OTHER        KIND:NAME means KIND:OTHER
 *     prefer KIND:NAME MODULE       of several modules that provide it
 *     rank   MODULE NUMBER          the higher one wins where nothing is preferred; 0 is usual
 *
 * BACKPLANE_MODULE_CONF names other directories, "a:b", in place of all these; it is ignored when
 * privileges were raised. [main]
 */
#ifndef LOADER_POLICY_H
#define LOADER_POLICY_H

#include <stddef.h>

#include <bp/module.h>

/* Reads the files on the first call of any of these. A line that cannot be understood, or a file
 * that others may write to, is reported once on standard error and left out. */

/* Is this module denied? ret_where: "denied by /etc/backplane/modules.d/10-site.conf:3 (reason)",
 * borrowed for ever. */
bool policy_denies_module(const char *module, const char **ret_where);
bool policy_denies_name(enum bp_provide_kind kind, const char *name, const char **ret_where);
/* What a name stands for, or NULL. */
const char *policy_alias(enum bp_provide_kind kind, const char *name);
/* The preferred module's name for a thing, or NULL. */
const char *policy_prefer(enum bp_provide_kind kind, const char *name);
/* The rank given to a module; false: none is given. */
bool policy_rank(const char *module, int *ret_rank);
/* True when there is any line at all (fast way out). */
bool policy_exists(void);
/* Hash over all lines, for the generation number of query-modules. */
uint64_t policy_hash(void);

struct policy_line {
    const char *verb, *where; /* "deny"; "/etc/backplane/modules.d/10-site.conf:3" */
    const char *name, *other; /* a pattern; or NULL */
    enum bp_provide_kind kind; /* of KIND:NAME; BP_PROVIDE_END: a module's name */
    bool invents; /* the name need not be one of a module: `other` must */
};
void policy_each(void (*fn)(const struct policy_line *line, void *opaque), void *opaque);
/* policy-check.c: warns of lines whose names are of nothing that is installed, or that packages of this
 * version have. */
void policy_tell_strays(void);

/* Adds the lines of a text, as if it stood in this file; forgets all lines. For tests. */
void policy_add_text(const char *file, const char *text, size_t length);
void policy_forget(void);

#endif
