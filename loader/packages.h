/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of packages: what those of this version hold, installed or not, so that an error can name the
 * package. A text file `catalogue` in the module directory (or the data directory), written when
 * packages are built:
 *
 *     # comment
 *     install apt install %s          how to install a package, for messages
 *     KIND:NAME<TAB>MODULE<TAB>PACKAGE
 *     module:MODULE<TAB>MODULE<TAB>PACKAGE
 *
 * Read when something was not found, never at start. [main]
 */
#ifndef LOADER_PACKAGES_H
#define LOADER_PACKAGES_H

#include <bp/module.h>

#define PACKAGES_FILE "catalogue"

/* The package with kind:name, or NULL; *ret_module (may be NULL) its module. Borrowed. */
const char *packages_find(enum bp_provide_kind kind, const char *name, const char **ret_module);
const char *packages_find_module(const char *module);
/* "install it with: apt install backplane-testdev", or "" without an install line. */
const char *packages_hint(const char *package);
/* Names of a kind, for near-name suggestions. */
void packages_each(enum bp_provide_kind kind, void (*fn)(const char *name, void *opaque),
                    void *opaque);
/*
 * What to add to "there is no ... NAME": "; package backplane-testdev has it; install it with: ...",
 * and true; else near names that are not installed ("; not installed: NAME in package P"), or an
 * empty text, and false. An empty name asks for packages that have anything of the kind.
 */
bool packages_missing(enum bp_provide_kind kind, const char *name, char *buf, size_t size);
/* Takes this text instead of a file's (tests). Returns the number of malformed lines. */
unsigned packages_read(const char *text, size_t size);

#endif
