/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module that betrays it when any of its code runs: a constructor (or DT_INIT, or an IFUNC's
 * resolver) makes the file MARKER. Built in many wrong ways by test-attacks.py, by -D options.
 */
#include <fcntl.h>
#include <unistd.h>

#include <bp/module.h>
#include <bp/object.h>

BP_UNUSED static void betray(void)
{
    close(open(MARKER, O_CREAT | O_WRONLY, 0666));
}

#ifdef USE_INIT
void betray_at_init(void);
__attribute__((visibility("default"))) void betray_at_init(void)
{
    betray();
}
#elif !defined(HARMLESS)
__attribute__((constructor)) static void betray_when_loaded(void)
{
    betray();
}
#endif

#ifdef USE_IFUNC
static int plain(void)
{
    return 0;
}

static int (*resolve(void))(void)
{
    betray();
    return plain;
}

int attack_function(void) __attribute__((ifunc("resolve"), visibility("default")));
int (*const attack_pointer)(void) = attack_function;
#endif

#ifdef ABI_MAJOR
#undef BP_ABI_MAJOR
#define BP_ABI_MAJOR 9
#endif
#ifdef ABI_MINOR
#undef BP_ABI_MINOR
#define BP_ABI_MINOR 99
#endif
#ifdef OTHER_STAMP
#undef BP_MODULE_TIER
#define BP_MODULE_TIER "exact:another-build"
#endif
#ifdef NO_TIER
#undef BP_MODULE_TIER
#define BP_MODULE_TIER "friendly"
#endif
#ifdef REQUIRES
BP_USE(required, void, REQUIRES, 1);
static const struct bp_import attack_imports[] = {BP_IMPORT(required, REQUIRES, 1), {0}};
#else
#define attack_imports BP_NO_IMPORTS
#endif
#ifdef EXTRA_NOTE
BP_NOTE(EXTRA_NOTE);
#endif
#ifdef PROVIDES_INTERFACE
static const struct {
    uint32_t size;
} face_table = {sizeof(face_table)};
BP_INTERFACE(face, PROVIDES_INTERFACE, 1, 0, &face_table);
#endif

BP_NOTE("provides=object:" NAME ";summary=An attack");
static const struct bp_object_class attack = {
    .type = {.size = sizeof(struct bp_object_class), .name = NAME, .summary = "An attack",
             .state_size = 1}};
BP_MODULE(NAME, "An attack", attack_imports,
#ifdef PROVIDES_INTERFACE
          {BP_PROVIDE_INTERFACE, &face},
#endif
          {BP_PROVIDE_OBJECT, &attack});
