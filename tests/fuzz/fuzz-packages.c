/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The catalogue of packages: whatever its text, questions are answered from well-formed lines. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "packages.h"
#include "registry.h"

/* What comes from the file is shown on terminals: printable, and no longer than words may be. */
static void check_word(const char *word)
{
    size_t n = strlen(word);

    if (n == 0 || n > 128)
        abort();
    for (size_t i = 0; i < n; i++)
        if (word[i] < ' ' || word[i] > '~')
            abort();
}

struct visit {
    enum bp_provide_kind kind;
    unsigned count;
};

static void visit(const char *name, void *opaque)
{
    struct visit *v = opaque;
    const char *module = NULL, *package;
    char text[640];

    if (v->count++ >= 50)
        return;
    check_word(name);
    package = v->kind == BP_PROVIDE_END ? packages_find_module(name)
                                        : packages_find(v->kind, name, &module);
    if (!package)
        abort(); /* what is listed is found */
    check_word(package);
    if (module)
        check_word(module);
    if (strlen(packages_hint(package)) > 128 + 256)
        abort();
    if (v->kind != BP_PROVIDE_END && !packages_missing(v->kind, name, text, sizeof(text)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[64];

    packages_read((const char *)data, size);
    for (unsigned kind = BP_PROVIDE_END; kind < bpc_kind_count(); kind++) {
        struct visit v = {kind, 0};

        packages_each(kind, visit, &v);
        if (kind != BP_PROVIDE_END)
            packages_missing(kind, "", text, sizeof(text)); /* little room */
    }
    return 0;
}
