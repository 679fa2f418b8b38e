/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key=value syntax of option arguments and of monitor commands: words separated by commas
 * (a doubled comma is one comma of a value), dotted keys for nested members ("a.b=", list elements
 * "a.0="), a first word that stands for an implied key, and JSON when the text opens with "{".
 * Every leaf of the key=value form is a string; checking against tables is the caller's. [any]
 */
#ifndef BPC_KEYVAL_H
#define BPC_KEYVAL_H

#include <bp/error.h>
#include <bp/schema.h>
#include <bp/value.h>

struct bpc_keyval_syntax {
    const struct bp_field *fields; /* known keys (a key with a dot in its name is not split); or NULL */
    const char *implied;           /* key of a first word without "="; or NULL */
    bool any_keys;                 /* a later word without "=" may be any key: it is switched on */
};

/*
 * A word without "=" after the first is a switch: KEY means KEY=on, noKEY means KEY=off when KEY is
 * a known boolean. "help" and "?" (as a whole word) set *ret_help and are not stored. Keys that
 * occur twice: the last wins, but those marked BP_FIELD_REPEATED are collected in a list.
 */
int bpc_keyval_parse(const char *text, const struct bpc_keyval_syntax *syntax,
                     struct bp_value **ret_args, bool *ret_help, struct bp_error *err);

/* Stores one leaf under a dotted key as above; takes the reference to `leaf` in every case. A list
 * is complete only after bpc_keyval_finish(). For configuration files. */
int bpc_keyval_store(struct bp_value *args, const struct bpc_keyval_syntax *syntax, const char *key,
                     struct bp_value *leaf, struct bp_error *err);
/* Turns members whose keys are 0, 1, 2, ... into lists; replaces *args. */
int bpc_keyval_finish(struct bp_value **args, struct bp_error *err);

#endif
