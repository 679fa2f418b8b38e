/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backplane-module check: the list of steps, a process for each, and the report. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "directories.h"

#define DEFAULT_ACCESSES 20000ul
#define DEFAULT_SECONDS 20ul
#define MAX_FINDINGS (1u << 20) /* bytes of a step's findings; more are cut */

/* ---- in a step's process ---- */

static int findings = -1; /* the pipe */

/* "MARK TEXT\n": one line, at once. */
static void tell(char mark, const char *fmt, va_list ap)
{
    char line[1200];
    int n = vsnprintf(line + 2, sizeof(line) - 3, fmt, ap);
    size_t length = 2 + (n < 0 ? 0 : MIN((size_t)n, sizeof(line) - 4));

    line[0] = mark;
    line[1] = ' ';
    for (size_t i = 2; i < length; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    line[length++] = '\n';
    if (write(findings, line, length) != (ssize_t)length)
        _exit(TOOL_TROUBLE);
}

#define TELLER(NAME, MARK) \
    void NAME(const char *fmt, ...) \
    { \
        va_list ap; \
        va_start(ap, fmt); \
        tell(MARK, fmt, ap); \
        va_end(ap); \
    }
TELLER(check_ok, '+')
TELLER(check_bad, '-')
TELLER(check_warning, '?')
TELLER(check_skipped, '0')
TELLER(check_phase, '@')

struct step {
    const char *title;
    check_fn *run;
    const struct description *thing;
};

static void run_step(const struct check *check, const struct step *step, int fd)
{
    const struct rlimit none = {0, 0};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &none);
    /* A module's words must not mix with the report, nor may it eat the terminal's. */
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    findings = fd;
    step->run(check, step->thing);
    if (write(fd, ".\n", 2) != 2)
        _exit(TOOL_TROUBLE);
    _exit(0);
}

/* ---- in the tool's ---- */

struct report {
    struct bp_value *results; /* dicts of "verdict", "check", "text" */
    unsigned ok, bad, warnings, skipped;
    bool json;
};

static void add_result(struct report *report, const char *verdict, unsigned *count,
                       const char *title, const char *text)
{
    struct bp_value *dict;

    ++*count;
    if (!report->json) {
        printf("%s - %s: %s\n", verdict, title, text);
        fflush(stdout);
        return;
    }
    dict = bp_value_dict();
    bp_value_set(dict, "verdict", bp_value_string(verdict));
    bp_value_set(dict, "check", bp_value_string(title));
    bp_value_set(dict, "text", bp_value_string(text));
    bp_value_append(report->results, dict);
}

/* Reads until the step's process ends or its time is up; true: it is up. */
static bool gather(int fd, unsigned long seconds, GString *ret_text)
{
    gint64 end = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    char buf[4096];

    for (;;) {
        gint64 left = (end - g_get_monotonic_time()) / 1000;
        struct pollfd p = {fd, POLLIN, 0};
        int rc = left > 0 ? poll(&p, 1, (int)left) : 0;
        ssize_t n;

        if (rc == 0)
            return true;
        if (rc < 0 && errno != EINTR)
            return false;
        if (rc < 0)
            continue;
        n = read(fd, buf, sizeof(buf));
        if (n <= 0)
            return false;
        if (ret_text->len < MAX_FINDINGS)
            g_string_append_len(ret_text, buf, n);
    }
}

/* Puts the findings into the report. Returns the last phase; *ret_done: it came to its end. */
static const char *take_findings(struct report *report, const char *title, char *text,
                                 bool *ret_done)
{
    const char *phase = "before it did anything";

    *ret_done = false;
    for (char *line = text, *next; line && *line; line = next) {
        const char *words = line[1] ? line + 2 : "";

        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        switch (line[0]) {
        case '+': add_result(report, "ok", &report->ok, title, words); break;
        case '-': add_result(report, "not ok", &report->bad, title, words); break;
        case '?': add_result(report, "warning", &report->warnings, title, words); break;
        case '0': add_result(report, "skipped", &report->skipped, title, words); break;
        case '@': phase = words; break;
        case '.': *ret_done = true; break;
        default: break;
        }
    }
    return phase;
}

/* Its end of the pipe is closed: that is its end, unless the module did it. */
static bool ends_soon(pid_t pid)
{
    siginfo_t info = {0};

    for (unsigned i = 0; i < 100; i++) {
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
            return true;
        g_usleep(10000);
    }
    return false;
}

static void supervise(struct report *report, const struct check *check, const struct step *step,
                      pid_t pid, int fd)
{
    GString *text = g_string_new(NULL);
    bool late = gather(fd, check->seconds, text) || !ends_soon(pid), whole;
    const char *phase;
    char *why = NULL;
    int status = 0;

    if (late)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    kill(-pid, SIGKILL); /* what it may have started */
    phase = take_findings(report, step->title, text->str, &whole);
    if (late)
        why = g_strdup_printf("hangs: not done after %lu seconds, %s", check->seconds, phase);
    else if (WIFSIGNALED(status))
        why = g_strdup_printf("crashes: %s, %s", strsignal(WTERMSIG(status)), phase);
    else if (!whole)
        why = g_strdup_printf("ends the process with status %d, %s", WEXITSTATUS(status), phase);
    if (why)
        add_result(report, "not ok", &report->bad, step->title, why);
    g_free(why);
    g_string_free(text, TRUE);
}

static int do_step(struct report *report, const struct check *check, const struct step *step)
{
    int pipe_fds[2];
    pid_t pid;

    fflush(stdout);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return tool_error("no pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        return tool_error("no process: %s", strerror(errno));
    if (pid == 0) {
        close(pipe_fds[0]);
        run_step(check, step, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    supervise(report, check, step, pid, pipe_fds[0]);
    close(pipe_fds[0]);
    return TOOL_OK;
}

/* What is done with a thing of a kind, beyond looking at its tables. */
static check_fn *runner_of(const char *kind)
{
    switch (kind_from_name(kind, strlen(kind))) {
    case BP_PROVIDE_DEVICE: return check_device;
    case BP_PROVIDE_OTHER: return check_other;
    case BP_PROVIDE_OBJECT: return check_object;
    case BP_PROVIDE_OPTION:
    case BP_PROVIDE_COMMAND:
    case BP_PROVIDE_HMP:
    case BP_PROVIDE_INTERFACE: return check_functions;
    default: return NULL; /* needs a machine */
    }
}

static int do_steps(struct report *report, const struct check *check)
{
    static const struct step first[] = {{"file", check_file, NULL},
                                        {"symbols", check_symbols, NULL},
                                        {"constructors", check_constructors, NULL}};
    static const struct step load = {"load", check_load, NULL};
    const struct module_table *table = &check->file.table;
    int status = TOOL_OK;

    for (unsigned i = 0; i < BP_COUNT(first) && status == TOOL_OK; i++)
        status = do_step(report, check, &first[i]);
    for (size_t i = 0; i < table->provide_count && status == TOOL_OK; i++) {
        const struct description *d = &table->provides[i];
        char *title = g_strdup_printf("%s %s", d->kind, d->name);

        status = do_step(report, check, &(struct step){title, check_fields, d});
        g_free(title);
    }
    if (status == TOOL_OK) {
        unsigned bad = report->bad;

        status = do_step(report, check, &load);
        if (report->bad > bad)
            return status; /* nothing of it will run */
    }
    for (size_t i = 0; i < table->provide_count && status == TOOL_OK; i++) {
        const struct description *d = &table->provides[i];
        char *title = g_strdup_printf("%s %s", d->kind, d->name);

        if (runner_of(d->kind))
            status = do_step(report, check, &(struct step){title, runner_of(d->kind), d});
        g_free(title);
    }
    return status;
}

static int check_one(struct check *check, bool json, struct bp_value *list)
{
    struct report report = {.json = json, .results = bp_value_list()};
    struct bp_error err = {0};
    const char *path;
    int status;

    if (tool_find_file(check->argument, &path, &err) < 0 ||
        module_file_open(path, &check->file, &err) < 0) {
        bp_value_unref(report.results);
        tool_error("%s", err.message);
        return TOOL_NO;
    }
    if (!json)
        printf("# %s\n", check->file.path);
    status = do_steps(&report, check);
    if (json) {
        struct bp_value *dict = bp_value_dict();

        bp_value_set(dict, "file", bp_value_string(check->file.path));
        bp_value_set(dict, "seed", bp_value_uint(check->seed));
        bp_value_set(dict, "results", bp_value_ref(report.results));
        bp_value_append(list, dict);
    } else {
        printf("# %u ok, %u not ok, %u warnings, %u skipped (seed %lu)\n", report.ok, report.bad,
               report.warnings, report.skipped, check->seed);
    }
    bp_value_unref(report.results);
    module_file_close(&check->file);
    return status != TOOL_OK ? status : report.bad ? TOOL_NO : TOOL_OK;
}

static int check_all(struct check *check, bool json, int count, char **arguments)
{
    struct bp_value *list = bp_value_list();
    int status = TOOL_OK;

    modules_all(); /* once, for all processes */
    for (int i = 0; i < count; i++) {
        int rc;

        check->argument = arguments[i];
        rc = check_one(check, json, list);
        status = MAX(status, rc);
    }
    if (json)
        tool_print_json(list);
    else
        bp_value_unref(list);
    return status;
}

static bool read_number(const char *name, unsigned long max, unsigned long *ret_number)
{
    return tool_number(&command_check, name, optarg, max, ret_number);
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"seed", required_argument, NULL, 's'},
        {"accesses", required_argument, NULL, 'a'}, {"timeout", required_argument, NULL, 't'},
        {"module-dir", required_argument, NULL, 'm'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct check check = {.seed = 1, .accesses = DEFAULT_ACCESSES, .seconds = DEFAULT_SECONDS};
    bool json = false, good = true;
    int c, status;

    while ((c = tool_option(&command_check, argc, argv, ":h", options, &status)) != -1) {
        switch (c) {
        case 'j': json = true; break;
        case 's': good = read_number("seed", UINT32_MAX, &check.seed); break;
        case 'a': good = read_number("accesses", UINT32_MAX, &check.accesses); break;
        case 't': good = read_number("timeout", 3600, &check.seconds); break;
        case 'm': directories_add(optarg); break;
        default: return status;
        }
        if (!good)
            return TOOL_TROUBLE;
    }
    if (optind == argc)
        return tool_usage(&command_check, "which FILE or NAME?");
    return check_all(&check, json, argc - optind, argv + optind);
}

const struct subcommand command_check = {
    "check", "[--json] [--seed N] [--accesses N] [--timeout S] [--module-dir DIR] FILE|NAME...",
    "Try a module out: its notes, its tables, and all it has, on a host in memory",
    "\nLooks at the file and its tables, then loads the module and makes one of each thing that it\n"
    "has: devices get random accesses, resets, time, their state is saved and loaded. Each step runs\n"
    "in a process of its own; a crash or a hang is reported. One line a finding: ok, not ok, warning,\n"
    "skipped. The exit status is 1 when something is not ok.\n\n"
    "      --seed N         of the random accesses (1)\n"
    "      --accesses N     how many for each device (20000)\n"
    "      --timeout S      seconds that a step may take (20)\n"
    "      --module-dir DIR modules that it needs are looked for here first\n"
    "      --json           the findings as JSON\n"
    "  -h, --help           this text\n",
    run};
