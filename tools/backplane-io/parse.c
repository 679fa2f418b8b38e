/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of commands, and how a line becomes one. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

#define MOST_WORDS 1024

static int run_sleep(int argc, char **argv), run_sigraise(int argc, char **argv),
    run_abort(int argc, char **argv);
static int run_quit(int argc, char **argv), run_not_built(int argc, char **argv);

static const char on_read[] = " -C: statistics for programs; -P: the bytes have to be this one; "
                              "-q: no statistics; -v: shows them\n";
static const char on_write[] = " -C: statistics for programs; -f: on stable storage when it ends; "
                               "-P: of this byte (0xcd); -q: no statistics\n";

const struct command commands[] = {
    {"abort", NULL, 0, 0, true, "", "ends the program as a crash would", NULL, run_abort},
    {"aio_flush", NULL, 0, 0, false, "", "waits for all aio_read and aio_write", NULL,
     run_aio_flush},
    {"aio_read", NULL, 2, -1, false, "[-Cqv] [-P pattern] off len [len..]",
     "reads, and does not wait for it", on_read, run_aio_read},
    {"aio_write", NULL, 2, -1, false, "[-Cfquz] [-P pattern] off len [len..]",
     "writes, and does not wait for it", on_write, run_aio_write},
    {"alloc", NULL, 1, 2, false, "offset [count]", "how much of a range the image itself has", NULL,
     run_alloc},
    {"break", NULL, 2, 2, false, "event tag", "is not built", NULL, run_not_built},
    {"close", NULL, 0, 0, false, "", "closes the image", NULL, run_close},
    {"discard", NULL, 2, -1, false, "[-Cq] off len", "what is there is not needed any more", NULL,
     run_discard},
    {"flush", "f", 0, 0, false, "", "all that was written goes to stable storage", NULL, run_flush},
    {"help", "?", 0, 1, true, "[command]", "tells of one command or of all", NULL, run_help},
    {"info", "i", 0, 0, false, "", "tells what the image is", NULL, run_file_info},
    {"length", "l", 0, 0, false, "", "tells how long it is", NULL, run_length},
    {"map", NULL, 0, 0, false, "", "tells which parts the image itself has", NULL, run_file_map},
    {"open", "o", 1, -1, true, "[-rsCnkU] [-t cache] [-i aio] [-d discard] [-o options] [path]",
     "opens an image",
     " -r: only to read; -s: writes go to a temporary file; -C: what is read from below is kept; "
     "-n: as -t none;\n"
     " -k: as -i native; -U: others may use it, too; -o: KEY=VALUE,... of the node, as of "
     "-blockdev\n",
     run_open},
    {"quit", "q", 0, 0, true, "", "ends the program", NULL, run_quit},
    {"read", "r", 2, -1, false, "[-Cqv] [-P pattern [-s off] [-l len]] off len", "reads", on_read,
     run_read},
    {"readv", "rv", 2, -1, false, "[-Cqv] [-P pattern] off len [len..]",
     "reads the sum of the lengths", on_read, run_readv},
    {"remove_break", NULL, 1, 1, false, "tag", "is not built", NULL, run_not_built},
    {"reopen", NULL, 0, -1, false, "[(-r|-w)] [-c cache] [-o options]",
     "opens the image anew, in another way", NULL, run_reopen},
    {"resume", NULL, 1, 1, false, "tag", "is not built", NULL, run_not_built},
    {"sigraise", NULL, 1, 1, true, "signal", "sends the program a signal, by its number", NULL,
     run_sigraise},
    {"sleep", NULL, 1, 1, true, "ms", "waits for so many milliseconds", NULL, run_sleep},
    {"truncate", "t", 1, -1, false, "[-m off] off", "makes the image so long", NULL, run_truncate},
    {"wait_break", NULL, 1, 1, false, "tag", "is not built", NULL, run_not_built},
    {"write", "w", 2, -1, false, "[-cCfnquz] [-P pattern | -s source_file] off len", "writes",
     on_write, run_write},
    {"writev", "wv", 2, -1, false, "[-Cfq] [-P pattern] off len [len..]",
     "writes the sum of the lengths", on_write, run_writev},
    {.name = NULL}};

static bool quitting;

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (!strcmp(name, c->name) || (c->alias && !strcmp(name, c->alias)))
            return c;
    return NULL;
}

/* ---- arguments ---- */

bool take_bytes(const char *text, uint64_t *ret)
{
    if (parse_size(text, ret) && *ret <= INT64_MAX)
        return true;
    printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n", text);
    return false;
}

bool take_length(const char *text, uint64_t *ret)
{
    if (!take_bytes(text, ret))
        return false;
    if (*ret <= MOST_BYTES)
        return true;
    printf("length cannot exceed %" PRIu64 ", given %s\n", MOST_BYTES, text);
    return false;
}

bool take_pattern(const char *text, int *ret)
{
    char *end;
    long n = strtol(text, &end, 0);

    if (end == text || *end || n < 0 || n > 255) {
        printf("%s is not a valid pattern byte\n", text);
        return false;
    }
    *ret = (int)n;
    return true;
}

static bool take_number(const char *text, long *ret)
{
    char *end;

    errno = 0;
    *ret = strtol(text, &end, 0);
    if (end != text && !*end && !errno && *ret >= 0)
        return true;
    printf("%s is not a valid number\n", text);
    return false;
}

/* ---- commands that need no image ---- */

static int run_sleep(int argc, char **argv)
{
    long ms;

    (void)argc;
    if (!take_number(argv[1], &ms))
        return 1;
    bp_co_sleep(BP_CLOCK_REALTIME, ms > INT64_MAX / 1000000 ? INT64_MAX : ms * INT64_C(1000000));
    return 0;
}

static int run_sigraise(int argc, char **argv)
{
    long signal;

    (void)argc;
    if (!take_number(argv[1], &signal))
        return 1;
    fflush(stdout);
    return raise((int)signal) == 0 ? 0 : complain("signal %s: %s", argv[1], strerror(errno));
}

static int run_abort(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fflush(stdout);
    abort();
}

static int run_quit(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    quitting = true;
    return 0;
}

static int run_not_built(int argc, char **argv)
{
    (void)argc;
    return complain("%s: requests are not stopped half-way: that is not built (blkdebug's "
                    "inject-error is there)",
                    argv[0]);
}

static void print_usage(const struct command *c)
{
    printf("%s%s%s -- %s\n", c->name, *c->args ? " " : "", c->args, c->summary);
}

int usage_of(const char *name)
{
    const struct command *c = find(name);

    if (c)
        print_usage(c);
    return 1;
}

int run_help(int argc, char **argv)
{
    const struct command *one = argc == 2 ? find(argv[1]) : NULL;

    if (argc == 2 && !one) {
        printf("command %s not found\n", argv[1]);
        return 1;
    }
    for (const struct command *c = commands; c->name; c++)
        if (!one || c == one)
            print_usage(c);
    if (one && one->more)
        printf("\n%s\n", one->more);
    if (!one)
        printf("\nUse 'help commandname' for extended help.\n");
    return 0;
}

/* ---- lines ---- */

static int check_count(const struct command *c, int n)
{
    char range[64];

    if (n >= c->least && (c->most < 0 || n <= c->most))
        return 0;
    if (c->most < 0)
        snprintf(range, sizeof(range), "at least %d", c->least);
    else if (c->least == c->most)
        snprintf(range, sizeof(range), "%d", c->least);
    else
        snprintf(range, sizeof(range), "between %d and %d", c->least, c->most);
    fflush(stdout);
    fprintf(stderr, "bad argument count %d to %s, expected %s arguments\n", n, c->name, range);
    return 1;
}

int carry_out(const char *line, bool *ret_quit)
{
    char *words[MOST_WORDS + 1], *text = strdup(line), *save;
    const struct command *c;
    int n = 0, ret = 0;

    if (!text)
        return complain("no memory");
    for (char *w = strtok_r(text, " \t\r\n", &save); w && n < MOST_WORDS;
         w = strtok_r(NULL, " \t\r\n", &save))
        words[n++] = w;
    words[n] = NULL;
    c = n ? find(words[0]) : NULL;
    fflush(stdout);
    if (n && !c) {
        fprintf(stderr, "command \"%s\" not found\n", words[0]);
        ret = 1;
    } else if (c && !c->closed && !disk.node) {
        fprintf(stderr, "no file open, try 'help open'\n");
        ret = 1;
    } else if (c) {
        ret = check_count(c, n - 1);
        optind = 0;
        if (ret == 0)
            ret = c->run(n, words);
    }
    free(text);
    fflush(stdout);
    *ret_quit = quitting;
    return ret;
}
