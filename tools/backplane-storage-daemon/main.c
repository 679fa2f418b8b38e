/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-storage-daemon: nodes, jobs and exports over QMP, without a machine. The command line is the one that
 * scripts know; what it means is the emulator's, with a board that has nothing on it. No accelerator, no device
 * and no display is loaded.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "module-options.h"
#include "modules.h"
#include "run.h"

static const struct {
    const char *name, *arg, *help;
} options[] = {
    {"blockdev", "[driver=]DRIVER,node-name=N,...", "make a block node"},
    {"chardev", "BACKEND,id=ID,...", "make a character device, for a monitor"},
    {"monitor", "[chardev=]ID[,mode=control|readline]", "a QMP (or human) monitor on it"},
    {"nbd-server", "addr.type=unix|inet,addr.path=PATH|addr.host=,addr.port=[,tls-creds=ID][,tls-authz=ID]\n"
                   "                 [,max-connections=N]", "start the NBD server"},
    {"export", "[type=]nbd,id=ID,node-name=NODE[,name=NAME][,description=TEXT][,writable=on|off]",
     "export a node over it"},
    {"object", "TYPE,id=ID,...", "make an object: secret, tls-creds-x509, iothread, throttle-group"},
    {"pidfile", "PATH", "write the process's number there"},
    {"daemonize", NULL, "go to the background once everything is there"},
    {"trace", "[enable=]PATTERN", "trace points"},
    {"module-dir", "DIR[:DIR...]", "look for modules there first"},
    {"sandbox", "on[,...]", "system calls that are not needed are refused"},
    {"D", "FILE", "where messages go"},
};

static int usage(void)
{
    printf("usage: backplane-storage-daemon [OPTION...]\n"
           "Disks without a machine: nodes, jobs and exports, over QMP.\n\nOptions:\n  -h, --help\n  -V, --version\n");
    for (size_t i = 0; i < BP_COUNT(options); i++)
        printf("  %s%s%s%s\n                 %s\n", strlen(options[i].name) > 1 ? "--" : "-", options[i].name,
               options[i].arg ? " " : "", options[i].arg ? options[i].arg : "", options[i].help);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "backplane-storage-daemon: %s: %s\n", what, why);
    return -1;
}

/* A monitor is one for programs, if nothing is said. malloc'd. */
static char *monitor_of(const char *text)
{
    bool mode = !strncmp(text, "mode=", 5) || strstr(text, ",mode=");
    size_t size = strlen(text) + sizeof(",mode=control");
    char *out = malloc(size);

    if (out)
        snprintf(out, size, "%s%s", text, mode || *text == '{' ? "" : ",mode=control");
    return out;
}

/* One option of ours becomes one of the emulator's. The number of words that it took, or -1. */
static int take(int left, char **words, char **to)
{
    const char *name = words[0] + strspn(words[0], "-");
    size_t length = strcspn(name, "="), i = 0;
    const char *value = name[length] ? name + length + 1 : NULL;
    bool apart = false;
    char *given;

    if (words[0][0] != '-' || name - words[0] > 2)
        return complain(words[0], "there is nothing that it belongs to");
    while (i < BP_COUNT(options) && (strlen(options[i].name) != length || strncmp(options[i].name, name, length) != 0))
        i++;
    if (i == BP_COUNT(options))
        return complain(words[0], "there is no such option (-h lists them)");
    if (options[i].arg && !value) {
        apart = true;
        value = left > 1 ? words[1] : NULL;
        if (!value)
            return complain(words[0], "its argument is missing");
    }
    if (!options[i].arg && value)
        return complain(words[0], "it takes no argument");
    given = malloc(length + 3);
    if (!given)
        return complain(words[0], "no memory");
    snprintf(given, length + 3, "--%s", !strcmp(options[i].name, "monitor") ? "mon" : options[i].name);
    to[0] = given;
    to[1] = value && !strcmp(options[i].name, "monitor") ? monitor_of(value) : value ? strdup(value) : NULL;
    return apart ? 2 : 1;
}

int main(int argc, char **argv)
{
    static const char *const none[] = {"-machine", "none", "-accel", "qtest", "-nodefaults"};
    char **words = calloc((size_t)argc * 2 + BP_COUNT(none) + 2, sizeof(*words));
    int n = 0;

    bpc_end_when_out_of_memory();
    bpc_program_name_set("backplane-storage-daemon");
    if (!words)
        return 1;
    unsetenv("DISPLAY"); /* on a desktop a window would be opened */
    unsetenv("WAYLAND_DISPLAY");
    words[n++] = argv[0];
    for (size_t i = 0; i < BP_COUNT(none); i++)
        words[n++] = (char *)(uintptr_t)none[i];
    for (int i = 1, took; i < argc; i += took) {
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
            return usage();
        if (!strcmp(argv[i], "-V") || !strcmp(argv[i], "--version")) {
            printf("backplane-storage-daemon version %s\n", BP_VERSION);
            return fflush(stdout) == 0 ? 0 : 1;
        }
        took = take(argc - i, argv + i, words + n);
        if (took < 0)
            return 1;
        n += words[n + 1] ? 2 : 1;
    }
    module_options_take_dirs(n, words);
    bpc_registry_set_loader(&modules_loader);
    if (module_options_register() < 0)
        return 1;
    return bpc_run(n, words, NULL);
}
