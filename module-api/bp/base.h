/* SPDX-License-Identifier: MIT */
/*
 * Compiler conventions shared by every header of the module API. C11 and libc only; every header
 * here compiles alone, as C11 and as C++20.
 */
#ifndef BP_BASE_H
#define BP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define BP_BEGIN_DECLS extern "C" {
#define BP_END_DECLS }
#else
#define BP_BEGIN_DECLS
#define BP_END_DECLS
#endif

#define BP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define BP_NORETURN __attribute__((noreturn))
#define BP_UNUSED __attribute__((unused))
#define BP_WARN_UNUSED __attribute__((warn_unused_result))
#define BP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The public ABI these headers describe. Minor grows when something is appended. */
#define BP_ABI_MAJOR 1
#define BP_ABI_MINOR 0

BP_BEGIN_DECLS

/* Memory that a program cannot do without: never NULL; when there is none, the program ends with a line
 * that says so. Zeroed; freed with free(). For sizes that a guest or a file chooses use malloc() and
 * return an error. [any] */
void *bp_alloc(size_t size);
void *bp_realloc(void *memory, size_t size); /* what it grows by is not zeroed */
char *bp_strdup(const char *text);           /* NULL: NULL */
/* The path from the root, as the folder is now: -daemonize changes it, and who opens or removes a file later needs
 * this. Neither links nor ".." are followed. Freed with free(). [any] */
char *bp_path_absolute(const char *path);

BP_END_DECLS

/*
 * Thread marks in comments: [main] the main loop's thread, [vcpu] a vCPU's thread, [any] any thread.
 * "under the machine lock" means that the host holds it around the call.
 */

#endif
