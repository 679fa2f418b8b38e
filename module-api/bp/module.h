/* SPDX-License-Identifier: MIT */
/*
 * A module is one shared object that exports one symbol, `bp_module`: constant data that lists what
 * it provides. The macros that define a thing also emit ELF notes (section .note.backplane, one
 * "key=value" record each), so that a module is found without running its code.
 *
 * Keys: name, summary, version, license, abi (MAJOR.MINOR), tier (public, or exact:STAMP), arch,
 * rank, requires=NAME/MAJOR, alias=KIND:ALIAS=NAME,
 * provides=KIND:NAME[;key=value...];summary=TEXT (summary is the last key).
 */
#ifndef BP_MODULE_H
#define BP_MODULE_H

#include <bp/error.h>

BP_BEGIN_DECLS

#define BP_MODULE_MAGIC 0x4c504b42u /* "BKPL" */

enum bp_provide_kind {
    BP_PROVIDE_END,
    BP_PROVIDE_DEVICE,    /* const struct bp_device_class * */
    BP_PROVIDE_BUS,       /* const struct bp_bus_class * */
    BP_PROVIDE_BOARD,     /* const struct bp_board_class * */
    BP_PROVIDE_CPU,       /* const struct bp_cpu_class * */
    BP_PROVIDE_ACCEL,     /* const struct bp_accel_class * */
    BP_PROVIDE_OBJECT,    /* const struct bp_object_class * */
    BP_PROVIDE_INTERFACE, /* const struct bp_interface * */
    BP_PROVIDE_OPTION,    /* const struct bp_option * */
    BP_PROVIDE_COMMAND,   /* const struct bp_command * */
    BP_PROVIDE_HMP,       /* const struct bp_hmp_command * */
    BP_PROVIDE_EVENT,     /* const struct bp_event * */
    BP_PROVIDE_ABSTRACT,  /* const struct bp_type_info *: an abstract parent type */
    BP_PROVIDE_KIND,      /* const struct bp_kind *: a kind of things that a framework asks for */
    BP_PROVIDE_OTHER,     /* a class descriptor of such a kind, which its bp_type_info names */
};

/* What the core knows of kinds by itself stands here; all other kinds: <bp/kind.h>. */
struct bp_provide {
    enum bp_provide_kind kind;
    const void *desc;
};

/* A versioned interface that a module offers to others. `table` starts with uint32_t size. */
struct bp_interface {
    uint32_t size;
    const char *name;
    uint16_t major, minor;
    const void *table;
};

/* A use of one: the loader stores the table's address in *slot before the module is used. */
struct bp_import {
    const char *name; /* NULL ends the list */
    uint16_t major, minor;
    const void **slot;
};

struct bp_module {
    uint32_t magic;
    uint32_t size; /* sizeof(struct bp_module) as compiled */
    uint16_t abi_major, abi_minor;
    uint32_t flags;
    const char *name;
    const char *tier; /* "public", or "exact:STAMP": must equal the core's build stamp */
    const struct bp_provide *provides;
    const struct bp_import *imports; /* or NULL */
    /* Optional, rare: called once after imports are resolved, before anything is registered.
     * Failing refuses the module. [main] */
    int (*init)(struct bp_error *err);
    /* Optional, rare: called once at the end of the process, in reverse order of loading, when machine and
     * monitors are gone; not when init() failed. Its code stays mapped. [main] */
    void (*fini)(void);
    void *reserved[3];
};

/* ---- notes ---- */
#define BP_CAT2(a, b) a##b
#define BP_CAT(a, b) BP_CAT2(a, b)
#define BP_STR2(x) #x
#define BP_STR(x) BP_STR2(x)
#define BP_NOTE_TYPE 1
/* One record. The owner name is "Backplane", padded to 12 bytes. */
#define BP_NOTE(text) \
    static const struct { \
        uint32_t namesz, descsz, type; \
        char name[12]; \
        char desc[(sizeof(text) + 3) & ~(size_t)3]; \
    } BP_CAT(bp_note_, __COUNTER__) __attribute__((section(".note.backplane"), used, aligned(4))) = { \
        10, sizeof(text), BP_NOTE_TYPE, "Backplane", text }

/*
 * What the BP_ macros define is private to its file. A module of several files says
 *     #define BP_SHARED
 * before its includes where such a thing is defined, and declares it in a header of its own
 * ("extern const struct bp_device_class my_bridge;"): then its other files see it too, in the list
 * of BP_MODULE() or where they compare classes, and nobody outside of the module does.
 */
#ifndef BP_SHARED
#define BP_STORAGE static
#elif defined(__cplusplus)
#define BP_STORAGE extern __attribute__((visibility("hidden")))
#else
#define BP_STORAGE __attribute__((visibility("hidden")))
#endif

/* ---- the module itself ---- */
#ifndef BP_MODULE_VERSION
#define BP_MODULE_VERSION "1.0"
#endif
#ifndef BP_MODULE_LICENSE
#define BP_MODULE_LICENSE "LGPL-2.1-or-later"
#endif
/* Of several modules that provide the same thing the one of the highest rank is used; without a
 * #define BP_MODULE_RANK before the include it is 0. */
#ifdef BP_MODULE_RANK
#define BP_MODULE_RANK_NOTE BP_NOTE("rank=" BP_STR(BP_MODULE_RANK));
#else
#define BP_MODULE_RANK_NOTE
#endif
/* In-tree modules of the exact tier are compiled with -DBP_EXACT_STAMP="...". */
#ifdef BP_MODULE_EXACT
#define BP_MODULE_TIER "exact:" BP_EXACT_STAMP
#else
#define BP_MODULE_TIER "public"
#endif

/*
 * BP_MODULE("hw-debug-exit", "Debug exit port", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &debug_exit});
 * Imports: an array of struct bp_import ending with {0}, usually made with BP_IMPORT.
 */
#define BP_NO_IMPORTS NULL
#define BP_MODULE_WITH_INIT(NAME, SUMMARY, IMPORTS, INIT, ...) \
    BP_MODULE_WITH_FINI(NAME, SUMMARY, IMPORTS, INIT, NULL, __VA_ARGS__)
#define BP_MODULE_WITH_FINI(NAME, SUMMARY, IMPORTS, INIT, FINI, ...) \
    BP_NOTE("name=" NAME); \
    BP_NOTE("summary=" SUMMARY); \
    BP_NOTE("version=" BP_MODULE_VERSION); \
    BP_NOTE("license=" BP_MODULE_LICENSE); \
    BP_NOTE("abi=" BP_STR(BP_ABI_MAJOR) "." BP_STR(BP_ABI_MINOR)); \
    BP_NOTE("tier=" BP_MODULE_TIER); \
    BP_MODULE_RANK_NOTE \
    static const struct bp_provide bp_module_provides[] = {__VA_ARGS__, {BP_PROVIDE_END, NULL}}; \
    /* On the first declaration: g++ takes the attribute nowhere else. */ \
    extern __attribute__((visibility("default"))) const struct bp_module bp_module; \
    const struct bp_module bp_module = { \
        .magic = BP_MODULE_MAGIC, .size = sizeof(struct bp_module), .abi_major = BP_ABI_MAJOR, \
        .abi_minor = BP_ABI_MINOR, .flags = 0, .name = NAME, .tier = BP_MODULE_TIER, \
        .provides = bp_module_provides, .imports = IMPORTS, .init = INIT, .fini = FINI, .reserved = {NULL}}
#define BP_MODULE(NAME, SUMMARY, IMPORTS, ...) \
    BP_MODULE_WITH_INIT(NAME, SUMMARY, IMPORTS, NULL, __VA_ARGS__)

/*
 * Uses an interface: BP_USE(isa, struct bp_isa, "isa", 1) declares `static const struct bp_isa *isa`
 * and emits the note; list it as BP_IMPORT(isa, "isa", 1) in the imports array.
 */
#define BP_USE(ident, TYPE, NAME, MAJOR) \
    BP_NOTE("requires=" NAME "/" #MAJOR); \
    static const TYPE *ident
#define BP_IMPORT(ident, NAME, MAJOR) BP_IMPORT_MINOR(ident, NAME, MAJOR, 0)
/* One whose table must have what came with this minor version. */
#define BP_IMPORT_MINOR(ident, NAME, MAJOR, MINOR) {NAME, MAJOR, MINOR, (const void **)&ident}

/* One that is wanted only now and then: its module is loaded when it is not. *ret_table lasts for ever. Fails in words
 * that name the package when none offers it, so what can do without goes on. [main] */
int bp_interface_require(const char *name, unsigned major, const void **ret_table, struct bp_error *err);

/* Offers one: table is a constant struct that starts with its size. */
#define BP_INTERFACE(ident, NAME, MAJOR, MINOR, TABLE) \
    BP_NOTE("provides=interface:" NAME "/" #MAJOR); \
    BP_STORAGE const struct bp_interface ident = {sizeof(struct bp_interface), NAME, MAJOR, MINOR, TABLE}

BP_END_DECLS

#endif
