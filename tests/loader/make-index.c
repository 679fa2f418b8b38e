/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes modules.idx into a directory, as `backplane-module index DIR` does. */
#include <stdio.h>

#include "index.h"

int main(int argc, char **argv)
{
    struct index_summary summary = {0};
    struct bp_error err = {0};

    if (argc != 2) {
        fprintf(stderr, "usage: make-index DIR\n");
        return 1;
    }
    if (index_command(NULL, argv[1], &summary, &err) < 0) {
        fprintf(stderr, "make-index: %s\n", err.message);
        return 1;
    }
    printf("%u modules, %u provides, %u bad, %zu bytes\n%s", summary.modules, summary.provides,
           summary.bad, summary.size, summary.bad_text);
    index_summary_finish(&summary);
    return 0;
}
