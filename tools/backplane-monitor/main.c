/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backplane-monitor: talks to the monitor of an emulator or a storage daemon, for people and for scripts. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor.h"

#define MOST_EVENTS 32

enum status complain(enum status status, const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("backplane-monitor: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

static enum status usage(FILE *to, enum status status)
{
    fputs("usage: backplane-monitor [OPTION...] ADDRESS [COMMAND [KEY=VALUE...]]\n"
          "Carries out a command over the monitor at ADDRESS (PATH, unix:PATH, HOST:PORT), or what is typed.\n\n"
          "  --wait EVENT     then waits for an event and prints it; may be given several times: the first that comes\n"
          "  --timeout S      gives up after so many seconds\n"
          "  --json           what comes is printed as it is, one line of JSON for each answer and event\n"
          "  --fd N           passes a descriptor with the command (getfd, add-fd)\n"
          "  --help, --version\n\n"
          "Commands: those of QMP; `help [COMMAND]`; `hmp LINE`; a JSON object {\"execute\": ...}. Over a monitor for\n"
          "people a command is its line, and without one keys go there (Ctrl-] ends it).\n"
          "Ends with 0; 1: refused; 2: wrongly used; 3: no connection; 4: out of time.\n", to);
    return status;
}

struct wish {
    char *events[MOST_EVENTS];
    unsigned event_count;
    int64_t patience;
    int fd;
    bool json;
};

/* Options stand before the command; what a command's words look like is not looked at. */
static enum status take_options(struct wish *w, int argc, char **argv)
{
    static const struct option longs[] = {
        {"wait", required_argument, NULL, 'w'}, {"timeout", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'}, {"fd", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    char *end;
    int c;

    while ((c = getopt_long(argc, argv, "+h", longs, NULL)) != -1) {
        switch (c) {
        case 'w':
            if (w->event_count == MOST_EVENTS)
                return complain(STATUS_USAGE, "--wait: at most %d events", MOST_EVENTS);
            w->events[w->event_count++] = optarg;
            break;
        case 't': {
            double seconds = strtod(optarg, &end);

            if (end == optarg || *end || !(seconds >= 0 && seconds < 1e9))
                return complain(STATUS_USAGE, "--timeout expects seconds, not '%s'", optarg);
            w->patience = (int64_t)(seconds * 1000);
            break;
        }
        case 'f':
            errno = 0;
            w->fd = (int)strtol(optarg, &end, 10);
            if (end == optarg || *end || w->fd < 0)
                return complain(STATUS_USAGE, "--fd expects the number of a descriptor, not '%s'", optarg);
            break;
        case 'j': w->json = true; break;
        case 'h': exit(usage(stdout, STATUS_OK));
        case 'V': puts("backplane-monitor version " BP_VERSION); exit(STATUS_OK);
        default: return usage(stderr, STATUS_USAGE);
        }
    }
    return STATUS_OK;
}

static enum status talk(struct session *s, const struct wish *w, char **words, unsigned count)
{
    int64_t until = w->patience < 0 ? -1 : now_ms() + w->patience;
    enum status status = session_begin(s);

    if (status == STATUS_OK && count)
        status = session_run(s, words, count, w->fd);
    else if (status == STATUS_OK && !w->event_count)
        status = prompt_run(s);
    if (status == STATUS_OK && w->event_count)
        status = session_wait(s, w->events, w->event_count, until);
    return status;
}

int main(int argc, char **argv)
{
    struct wish w = {.patience = -1, .fd = -1};
    struct session s = {.greeting = NULL};
    enum status status = take_options(&w, argc, argv);
    unsigned count;
    char **words, *why = NULL;
    int r;

    if (status != STATUS_OK)
        return (int)status;
    if (optind >= argc)
        return (int)usage(stderr, STATUS_USAGE);
    words = argv + optind + 1;
    count = (unsigned)(argc - optind - 1);
    if (w.fd >= 0 && !count)
        return (int)complain(STATUS_USAGE, "--fd: with which command?");
    if (!connection_open(&s.c, argv[optind], &why)) {
        status = complain(STATUS_CONNECTION, "%s", why ? why : "no memory");
        free(why);
        return (int)status;
    }
    s.patience = w.patience;
    s.json = w.json;
    r = connection_fill(&s.c, now_ms() + (w.patience < 0 || w.patience > 10000 ? 10000 : w.patience));
    if (r <= 0)
        status = complain(r == 0 ? STATUS_TIMEOUT : STATUS_CONNECTION, "%s: %s", argv[optind],
                          r == 0 ? "it does not greet: another client may be connected" : "it closes the connection");
    else if (s.c.text[strspn(s.c.text, " \t\r\n")] == '{')
        status = talk(&s, &w, words, count);
    else if (w.event_count || w.fd >= 0 || w.json)
        status = complain(STATUS_USAGE, "%s: a monitor for people has no events, descriptors or JSON", argv[optind]);
    else
        status = human_run(&s.c, words, count, w.patience);
    bp_value_unref(s.greeting);
    bp_value_unref(s.schema);
    bp_value_unref(s.events);
    connection_close(&s.c);
    return (int)status;
}
