/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of modules.d: whatever the text, questions are answered, and what they answer can be shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "policy.h"

/* A word of a line, or NULL. */
static void check_word(const char *word)
{
    if (!word)
        return;
    if (!*word || strpbrk(word, " \t\n"))
        abort();
    for (; *word; word++)
        if ((unsigned char)*word < ' ' || *word == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "pc", "hw-serial", ""};
    static FILE *quiet;
    const char *where;
    int rank;

    if (!quiet) { /* complaints about lines are right, and many; sanitizers write to the descriptor */
        quiet = fopen("/dev/null", "we");
        stderr = quiet;
    }
    policy_forget();
    policy_add_text("fuzz.conf", (const char *)data, size);
    for (unsigned i = 0; i < BP_COUNT(names); i++) {
        where = NULL;
        if (policy_denies_module(names[i], &where) &&
            strncmp(where, "denied by fuzz.conf:", strlen("denied by fuzz.conf:")) != 0)
            abort();
        if (policy_rank(names[i], &rank) && (rank < -1000000 || rank > 1000000))
            abort();
        for (unsigned kind = BP_PROVIDE_END + 1; kind <= BP_PROVIDE_ABSTRACT; kind++) {
            policy_denies_name(kind, names[i], &where);
            check_word(policy_alias(kind, names[i]));
            check_word(policy_prefer(kind, names[i]));
        }
    }
    policy_hash();
    return 0;
}
