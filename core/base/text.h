/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values as users type them. Parsers take the whole text or fail: -EINVAL it is not one, -ERANGE
 * it is one out of range. No locale. [any]
 */
#ifndef BPC_TEXT_H
#define BPC_TEXT_H

#include <bp/base.h>

int bpc_text_bool(const char *text, bool *ret_value); /* on off yes no true false y n */
/* Decimal, 0x hex, 0 octal; a leading '-' only for int. */
int bpc_text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
int bpc_text_int(const char *text, int64_t min, int64_t max, int64_t *ret_value);
int bpc_text_double(const char *text, double *ret_value); /* finite */
/* Bytes: an integer or decimal fraction with a suffix b, k, M, G, T, P, E (either case, powers of
 * 1024). `unit` is what a number without suffix is counted in: 1, or 1 << 20 for -m. */
int bpc_text_size(const char *text, uint64_t unit, uint64_t *ret_value);
/* "512 MiB", "1.5 GiB", "17 B": at most `size` bytes with the NUL. */
void bpc_text_print_size(uint64_t bytes, char *buf, size_t size);
/* A letter, then letters, digits, '-', '.', '_'; at most 255 bytes. */
bool bpc_text_is_id(const char *text);
/* Insertions, deletions, exchanges of one character and swaps of two neighbours; `limit` + 1 when
 * there are more than `limit` (at most 255) of them. */
unsigned bpc_text_distance(const char *a, const char *b, unsigned limit);

#endif
