/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backplane-module index: writes modules.idx of directories. Runs no module's code: safe as root. */
#include <stdio.h>

#include "tool.h"

static int index_one(const char *staging, const char *directory)
{
    struct index_summary summary = {0};
    struct bp_error err = {0};

    if (index_command(staging, directory, &summary, &err) < 0)
        return tool_error("%s", err.message);
    printf("%s%s: %u modules provide %u things; %zu bytes\n", staging ? staging : "", directory,
           summary.modules, summary.provides, summary.size);
    if (summary.bad)
        fprintf(stderr, "%u files are no modules that can be used:\n%s", summary.bad,
                summary.bad_text);
    index_summary_finish(&summary);
    return TOOL_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"base", required_argument, NULL, 'b'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *staging = NULL;
    int c, status = TOOL_OK;

    while ((c = tool_option(&command_index, argc, argv, ":b:h", options, &status)) != -1) {
        if (c == '?')
            return status;
        staging = optarg;
    }
    if (optind == argc)
        return tool_usage(&command_index, "which directory?");
    for (int i = optind; i < argc; i++)
        if (index_one(staging, argv[i]) != TOOL_OK)
            status = TOOL_TROUBLE;
    return status;
}

const struct subcommand command_index = {
    "index", "[-b STAGING] DIR...", "Write the index of module directories (modules.idx)",
    "\nThe index tells what the modules of a directory provide, so that the emulator need not open\n"
    "them to find that out. It is made from what the files say, without running any of their code.\n"
    "Without an index, or with an old one, everything works as well, only slower.\n\n"
    "  -b, --base STAGING   DIR is below this one (packages are being built)\n"
    "  -h, --help           this text\n",
    run};
