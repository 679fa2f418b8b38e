/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-io: requests to an image, one command after the other, for tests. Commands and what
 * they print are those that scripts know. Called by another name, that name is before its messages
 * and its prompt.
 */
#include "io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/trace.h>

#include "log.h"

#define MOST_LINE 65536u

static const char *const modes_of_aio[] = {"threads", "native", "io_uring", NULL},
                         *const modes_of_discard[] = {"ignore", "off", "unmap", "on", NULL};

static int usage(FILE *to)
{
    fprintf(to,
            "usage: %s [OPTION...] [-c COMMAND]... [IMAGE]\n"
            "Reads, writes and looks at a disk image by commands: those of -c, else those of "
            "standard input.\n\n"
            "  -c, --cmd COMMAND         ('-c help' lists them)\n"
            "  -f, --format FORMAT       of the image; else its first bytes decide\n"
            "      --image-opts          IMAGE is KEY=VALUE,... as of -blockdev\n"
            "      --object TYPE,id=ID,...\n"
            "  -r, --read-only\n"
            "  -s, --snapshot            writes go to a temporary file\n"
            "  -C, --copy-on-read        what is read from below is kept in the image\n"
            "  -U, --force-share         others may use it, too\n"
            "  -t, --cache MODE          none, writeback, writethrough, directsync, unsafe\n"
            "  -n, --nocache             as -t none\n"
            "  -i, --aio MODE            threads, native, io_uring\n"
            "  -k, --native-aio          as -i native\n"
            "  -d, --discard MODE        ignore (default), unmap\n"
            "  -m, --misalign            buffers are not aligned\n"
            "  -T, --trace PATTERN       trace points\n"
            "  -h, --help, -V, --version\n\n"
            "The status is 1 when a command failed.\n",
            tool_name);
    return to == stderr;
}

/* Lines of standard input; false at its end. The coroutine waits, so that requests go on. */
static bool next_line(char *line)
{
    size_t n = 0;
    struct stat st;
    bool waits = fstat(STDIN_FILENO, &st) == 0 && !S_ISREG(st.st_mode);

    while (n < MOST_LINE - 1) {
        ssize_t got;

        if (waits && bp_co_wait_fd(STDIN_FILENO, BP_WATCH_IN, -1) < 0)
            waits = false; /* it is always ready */
        got = read(STDIN_FILENO, line + n, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0 || line[n] == '\n') {
            line[n] = '\0';
            return got > 0 || n > 0;
        }
        n++;
    }
    line[n] = '\0';
    return true;
}

static int from_input(void)
{
    char *line = malloc(MOST_LINE);
    bool quit = false;
    int ret = 0;

    if (!line)
        return complain("no memory");
    while (!quit) {
        printf("%s> ", tool_name);
        fflush(stdout);
        if (!next_line(line))
            break;
        ret |= carry_out(line, &quit);
    }
    free(line);
    return ret;
}

struct words {
    struct manner manner;
    const char *format;
    char **given; /* by -c */
    int count;
    bool image_opts;
};

static bool one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(*words, text) != 0)
        words++;
    return *words;
}

static int trace(const char *pattern)
{
    struct bp_error err = {0};

    pattern += !strncmp(pattern, "enable=", 7) ? 7 : 0;
    return bp_trace_enable(pattern, true, &err) < 0 ? complain("-T: %s", err.message) : 0;
}

static int take_word(struct words *w, int c)
{
    switch (c) {
    case 'c':
        w->given[w->count++] = optarg;
        return 0;
    case 'f':
        w->format = optarg;
        return 0;
    case 'r':
        w->manner.read_only = true;
        return 0;
    case 's':
        w->manner.temporary = true;
        return 0;
    case 'C':
        w->manner.copy_on_read = true;
        return 0;
    case 'U':
        w->manner.force_share = true;
        return 0;
    case 'm':
        misaligned = true;
        return 0;
    case 'n':
        w->manner.cache = "none";
        return 0;
    case 'k':
        w->manner.aio = "native";
        return 0;
    case 't':
        w->manner.cache = optarg;
        return 0;
    case 'T':
        return trace(optarg);
    case 256:
        w->image_opts = true;
        return 0;
    case 'i':
        w->manner.aio = optarg;
        return one_of(optarg, modes_of_aio) ? 0 : complain("Invalid aio option: %s", optarg);
    case 'd':
        w->manner.discard = optarg;
        return one_of(optarg, modes_of_discard) ? 0
                                                : complain("Invalid discard option: %s", optarg);
    default:
        return usage(stderr);
    }
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {{"cmd", required_argument, NULL, 'c'},
                                          {"format", required_argument, NULL, 'f'},
                                          {"read-only", no_argument, NULL, 'r'},
                                          {"snapshot", no_argument, NULL, 's'},
                                          {"copy-on-read", no_argument, NULL, 'C'},
                                          {"force-share", no_argument, NULL, 'U'},
                                          {"misalign", no_argument, NULL, 'm'},
                                          {"nocache", no_argument, NULL, 'n'},
                                          {"native-aio", no_argument, NULL, 'k'},
                                          {"cache", required_argument, NULL, 't'},
                                          {"aio", required_argument, NULL, 'i'},
                                          {"discard", required_argument, NULL, 'd'},
                                          {"trace", required_argument, NULL, 'T'},
                                          {"image-opts", no_argument, NULL, 256},
                                          {NULL, 0, NULL, 0}};
    struct words w = {.given = calloc((size_t)argc, sizeof(*w.given))};
    bool quit = false;
    int c, ret = w.given ? 0 : complain("no memory");

    while (ret == 0 && (c = getopt_long(argc, argv, "c:f:rsCUmnkt:i:d:T:", longs, NULL)) != -1)
        ret = take_word(&w, c);
    if (ret == 0 && argc - optind > 1)
        ret = usage(stderr);
    if (ret == 0 && w.image_opts && w.format)
        ret = complain("--image-opts and 'format' are mutually exclusive");
    if (ret == 0 && optind < argc)
        ret = open_disk(argv[optind], w.format, w.image_opts, NULL, &w.manner);
    if (ret == 0 && w.count == 0)
        ret = from_input();
    else
        for (int i = 0, begun = ret; i < w.count && !begun && !quit; i++)
            ret |= carry_out(w.given[i], &quit);
    if (disk.node)
        run_close(0, NULL);
    free(w.given);
    return ret;
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 && argv[0] ? strrchr(argv[0], '/') : NULL;
    int ret;

    tool_name = name ? name + 1 : argc > 0 && argv[0] ? argv[0] : "backplane-io";
    bpc_program_name_set(tool_name);
    bpc_end_when_out_of_memory();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return usage(stdout);
        if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-V")) {
            printf("backplane-io version %s\n", BP_VERSION);
            return 0;
        }
    }
    ret = tool_run(run, argc, argv);
    return fflush(stdout) != 0 || ferror(stdout) ? complain("standard output: %s", strerror(errno))
                                                 : ret;
}
