/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-nbd: an image for NBD clients. The command line is the one that scripts know; the
 * server is that of the emulator and the storage daemon (module block-nbd-server), with a board
 * that has nothing on it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/log.h>
#include <bp/option.h>

#include "log.h"
#include "module-options.h"
#include "modules.h"
#include "nbd-tool.h"
#include "run.h"

#define DEFAULT_PORT "10809"

static struct wish wish = {.name = "", .clients = "1"};
static char address[64]; /* of TCP, in numbers */
static char folder[] = "/tmp/backplane-nbd-XXXXXX", private_socket[64];
static const char *descriptor; /* of a socket that was handed over; or NULL */

static int usage(void)
{
    printf("usage: backplane-nbd [OPTION...] IMAGE\n       backplane-nbd -L [OPTION...]\n"
           "       backplane-nbd -d DEVICE\n"
           "Serves a disk image to NBD clients.\n\n"
           "  -p, --port=PORT            TCP port (default " DEFAULT_PORT ")\n"
           "  -b, --bind=ADDRESS         where it listens (default 0.0.0.0)\n"
           "  -k, --socket=PATH          a unix socket instead\n"
           "  -e, --shared=N             clients at a time; 0: any number (default 1)\n"
           "  -t, --persistent           goes on when the last client has gone\n"
           "      --fork                 goes to the background once it listens\n"
           "      --pid-file=PATH        has the process's number\n"
           "  -x, --export-name=NAME     (default: the empty name)\n"
           "  -D, --description=TEXT     for lists of exports\n"
           "  -f, --format=FORMAT        of the image; else its first bytes decide\n"
           "      --image-opts           IMAGE is KEY=VALUE,... as of -blockdev\n"
           "  -r, --read-only\n"
           "  -s, --snapshot             writes go to a temporary file\n"
           "  -l, --load-snapshot=NAME   an internal snapshot, read-only; also snapshot.name=NAME, "
           "snapshot.id=ID\n"
           "  -o, --offset=BYTES         where in the image the export begins\n"
           "  -B, --bitmap=NAME          clients may read this dirty bitmap\n"
           "  -A, --allocation-depth     clients may ask in which image of the chain data lies\n"
           "  -n, --nocache              as --cache=none\n"
           "      --cache=MODE           none, writeback, writethrough, directsync, unsafe\n"
           "      --aio=MODE             threads, native, io_uring\n"
           "      --discard=MODE         ignore (default), unmap\n"
           "      --detect-zeroes=MODE   off (default), on, unmap\n"
           "      --object=TYPE,id=ID,...\n"
           "      --tls-creds=ID         TLS is wanted of clients; with -L: of the server\n"
           "      --tls-authz=ID         who may come\n"
           "      --tls-hostname=NAME    with -L: whose certificate is wanted\n"
           "  -c, --connect=DEVICE       the kernel's client: /dev/nbdX\n"
           "  -d, --disconnect           disconnects the device that is named\n"
           "  -L, --list                 tells what a server exports\n"
           "  -T, --trace=PATTERN\n"
           "  -v, --verbose\n"
           "  -h, --help, -V, --version\n\n"
           "A socket that systemd hands over (LISTEN_FDS) is used instead of -p, -b and -k.\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- the command line ---- */

enum {
    OPT_IMAGE_OPTS = 256,
    OPT_CACHE,
    OPT_AIO,
    OPT_DISCARD,
    OPT_ZEROES,
    OPT_FORK,
    OPT_PID,
    OPT_OBJECT,
    OPT_CREDS,
    OPT_AUTHZ,
    OPT_HOSTNAME
};

static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                      {"version", no_argument, NULL, 'V'},
                                      {"port", required_argument, NULL, 'p'},
                                      {"bind", required_argument, NULL, 'b'},
                                      {"socket", required_argument, NULL, 'k'},
                                      {"offset", required_argument, NULL, 'o'},
                                      {"read-only", no_argument, NULL, 'r'},
                                      {"snapshot", no_argument, NULL, 's'},
                                      {"load-snapshot", required_argument, NULL, 'l'},
                                      {"allocation-depth", no_argument, NULL, 'A'},
                                      {"bitmap", required_argument, NULL, 'B'},
                                      {"nocache", no_argument, NULL, 'n'},
                                      {"cache", required_argument, NULL, OPT_CACHE},
                                      {"aio", required_argument, NULL, OPT_AIO},
                                      {"discard", required_argument, NULL, OPT_DISCARD},
                                      {"detect-zeroes", required_argument, NULL, OPT_ZEROES},
                                      {"connect", required_argument, NULL, 'c'},
                                      {"disconnect", no_argument, NULL, 'd'},
                                      {"list", no_argument, NULL, 'L'},
                                      {"shared", required_argument, NULL, 'e'},
                                      {"format", required_argument, NULL, 'f'},
                                      {"persistent", no_argument, NULL, 't'},
                                      {"verbose", no_argument, NULL, 'v'},
                                      {"object", required_argument, NULL, OPT_OBJECT},
                                      {"export-name", required_argument, NULL, 'x'},
                                      {"description", required_argument, NULL, 'D'},
                                      {"tls-creds", required_argument, NULL, OPT_CREDS},
                                      {"tls-authz", required_argument, NULL, OPT_AUTHZ},
                                      {"tls-hostname", required_argument, NULL, OPT_HOSTNAME},
                                      {"image-opts", no_argument, NULL, OPT_IMAGE_OPTS},
                                      {"trace", required_argument, NULL, 'T'},
                                      {"fork", no_argument, NULL, OPT_FORK},
                                      {"pid-file", required_argument, NULL, OPT_PID},
                                      {NULL, 0, NULL, 0}};

static const char **place_of_option(int option)
{
    struct wish *w = &wish;
    const struct {
        int option;
        const char **to;
    } places[] = {{'p', &w->port},
                  {'b', &w->bind},
                  {'k', &w->socket},
                  {'o', &w->offset},
                  {'l', &w->snapshot_of},
                  {'B', &w->bitmap},
                  {'c', &w->device},
                  {'e', &w->clients},
                  {'f', &w->format},
                  {'x', &w->name},
                  {'D', &w->description},
                  {OPT_CACHE, &w->cache},
                  {OPT_AIO, &w->aio},
                  {OPT_DISCARD, &w->discard},
                  {OPT_ZEROES, &w->detect_zeroes},
                  {OPT_CREDS, &w->tls_creds},
                  {OPT_AUTHZ, &w->tls_authz},
                  {OPT_HOSTNAME, &w->tls_hostname},
                  {OPT_PID, &w->pid_file}};

    for (size_t i = 0; i < BP_COUNT(places); i++)
        if (places[i].option == option)
            return places[i].to;
    return NULL;
}

static bool *flag_of_option(int option)
{
    struct wish *w = &wish;

    switch (option) {
    case 'r':
        return &w->read_only;
    case 's':
        return &w->temporary;
    case 'A':
        return &w->depth;
    case 'd':
        return &w->disconnect;
    case 'L':
        return &w->list;
    case 't':
        return &w->persistent;
    case 'v':
        return &w->verbose;
    case OPT_FORK:
        return &w->background;
    case OPT_IMAGE_OPTS:
        return &w->image_opts;
    default:
        return NULL;
    }
}

/* 0, or 1 after a complaint; -1: everything was said. Trace patterns go into *ret_trace. */
static int take_words(int argc, char **argv, const char **ret_trace)
{
    int c, taken = 0;

    wish.objects = calloc((size_t)argc, sizeof(*wish.objects));
    if (!wish.objects)
        return complain("no memory");
    while ((c = getopt_long(argc, argv, "hVb:o:p:k:rsnf:tl:x:e:T:D:AB:Lc:dv", longs, NULL)) != -1) {
        const char **text = place_of_option(c);
        bool *flag = flag_of_option(c);

        if (c == 'h' || c == 'V') {
            if (c == 'V')
                printf("backplane-nbd version %s\n", BP_VERSION);
            return c == 'h' ? usage(), -1 : -1;
        } else if (text && *text && c != 'e' && c != 'x') {
            return complain("option '%s' is there twice", argv[optind - 1]);
        } else if (text) {
            *text = optarg;
        } else if (flag) {
            *flag = true;
        } else if (c == OPT_OBJECT) {
            wish.objects[wish.object_count++] = optarg;
        } else if (c == 'T') {
            *ret_trace = optarg;
        } else if (c == 'n') {
            if (wish.cache)
                return complain("-n and --cache can only be said once");
            wish.cache = "none";
        } else {
            return complain("see backplane-nbd --help");
        }
        taken++;
    }
    if (wish.list) {
        if (optind != argc)
            return complain("-L tells of a server: it takes no image");
    } else if (optind + 1 != argc) {
        return complain("the name of one %s is wanted (see backplane-nbd --help)",
                        wish.disconnect ? "device" : "image");
    } else {
        wish.image = argv[optind];
    }
    return wish.disconnect && taken > 1 ? complain("-d takes a device and nothing else") : 0;
}

static bool one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(*words, text) != 0)
        words++;
    return *words;
}

static bool is_number(const char *text, unsigned long most)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    return end != text && !*end && !errno && *text != '-' && n <= most;
}

static int check_wish(void)
{
    static const char *const caches[] = {"none",       "off",    "writeback", "writethrough",
                                         "directsync", "unsafe", NULL},
                             *const aios[] = {"threads", "native", "io_uring", NULL},
                             *const discards[] = {"ignore", "off", "unmap", "on", NULL},
                             *const zeroes[] = {"off", "on", "unmap", NULL};
    const struct wish *w = &wish;

    if (w->cache && !one_of(w->cache, caches))
        return complain(
            "--cache takes none, writeback, writethrough, directsync or unsafe, not '%s'",
            w->cache);
    if (w->aio && !one_of(w->aio, aios))
        return complain("--aio takes threads, native or io_uring, not '%s'", w->aio);
    if (w->discard && !one_of(w->discard, discards))
        return complain("--discard takes ignore or unmap, not '%s'", w->discard);
    if (w->detect_zeroes && !one_of(w->detect_zeroes, zeroes))
        return complain("--detect-zeroes takes off, on or unmap, not '%s'", w->detect_zeroes);
    if (w->detect_zeroes && !strcmp(w->detect_zeroes, "unmap") &&
        (!w->discard || !one_of(w->discard, discards + 2)))
        return complain("--detect-zeroes=unmap wants --discard=unmap");
    if (!is_number(w->clients, 100000))
        return complain("-e takes a number of clients, not '%s'", w->clients);
    if (w->port && (!is_number(w->port, 65535) || !strcmp(w->port, "0")))
        return complain("-p takes a port, 1 to 65535, not '%s'", w->port);
    if (w->socket && (w->port || w->bind))
        return complain("-k is a unix socket: -p and -b are of TCP");
    if (w->socket && *w->socket != '/')
        return complain("-k takes an absolute name, not '%s'", w->socket);
    if (w->device && (w->socket || w->port || w->bind))
        return complain("-c is served over a socket of its own: -p, -b and -k do not go with it");
    if (w->tls_hostname && !w->list)
        return complain("--tls-hostname goes with -L: it is for clients");
    if (w->tls_authz && (!w->tls_creds || w->list))
        return complain(
            "--tls-authz says who may come by TLS: --tls-creds is missing, or it is a client (-L)");
    if (w->device && w->tls_creds)
        return complain("the kernel's client has no TLS: -c and --tls-creds do not go together");
    if (w->list && (*w->name || w->description || w->offset || w->bitmap || w->snapshot_of ||
                    w->device || w->depth || w->read_only || w->temporary || w->format ||
                    w->image_opts || w->background || w->pid_file))
        return complain("-L tells of all exports of a server: options of one do not go with it");
    if (w->image_opts && (w->format || w->offset))
        return complain("%s does not go with --image-opts: there it is a key",
                        w->format ? "-f" : "-o");
    return w->temporary && (w->read_only || w->snapshot_of)
               ? complain("-s is for writes: -r and -l do not go with it")
               : 0;
}

/* ---- words for the emulator ---- */

struct line { /* text that grows */
    char *text;
    size_t used, room;
};

static void add(struct line *l, const char *text, bool doubled)
{
    size_t n = strlen(text);

    if (l->used + 2 * n + 1 > l->room) {
        l->room = (l->used + 2 * n + 1) * 2;
        l->text = realloc(l->text, l->room);
        if (!l->text)
            exit(complain("no memory"));
    }
    for (; *text; text++) {
        if (*text == ',' && doubled)
            l->text[l->used++] = ',';
        l->text[l->used++] = *text;
    }
    l->text[l->used] = '\0';
}

/* Where it listens, as the command nbd-server-start takes it. */
static struct bp_value *place(void)
{
    struct bp_value *v = bp_value_dict();

    if (descriptor) {
        bp_value_set(v, "str", bp_value_string(descriptor));
    } else if (wish.socket || wish.device) {
        bp_value_set(v, "path", bp_value_string(wish.device ? private_socket : wish.socket));
    } else {
        bp_value_set(v, "host", bp_value_string(address));
        bp_value_set(v, "port", bp_value_string(wish.port ? wish.port : DEFAULT_PORT));
    }
    bp_value_set(v, "type",
                 bp_value_string(descriptor                   ? "fd"
                                 : wish.socket || wish.device ? "unix"
                                                              : "inet"));
    return v;
}

static char *image_words(void)
{
    struct line l = {NULL, 0, 0};

    add(&l, "name=", false);
    add(&l, wish.image, true);
    return l.text;
}

static int apply_image(struct bp_value *args, struct bp_error *err)
{
    const char *where = wish.device   ? wish.device
                        : wish.socket ? wish.socket
                        : *address    ? address
                                      : "a given socket";
    int ret = serve_image(&wish, place(), err);

    (void)args;
    if (ret < 0)
        return ret;
    if (wish.verbose)
        bp_info("'%s' is served as '%s' at %s", wish.image, wish.name, where);
    if (wish.device && device_connect(wish.device, private_socket, wish.name) < 0)
        return bp_fail(err, EAGAIN, "no thread for the kernel's connection");
    return 0;
}

static const struct bp_field image_keys[] = {BP_ARG("name", STRING, "of the image"), BP_FIELDS_END};
static const struct bp_option option_image = {.size = sizeof(option_image),
                                              .phase = BP_PHASE_LATE,
                                              .name = "image",
                                              .arg = "name",
                                              .help = "serve it",
                                              .group = "Disks",
                                              .keys = image_keys,
                                              .apply = apply_image};
static const struct bp_provide own_options[] = {{BP_PROVIDE_OPTION, &option_image},
                                                {BP_PROVIDE_END, NULL}};

/* ---- the socket ---- */

/* From systemd (sd_listen_fds(3)). 0, or 1 after a complaint. */
static int inherited_socket(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

    if (!pid || !count || strtoul(pid, NULL, 10) != (unsigned long)getpid() || !strcmp(count, "0"))
        return 0;
    if (strcmp(count, "1") != 0)
        return complain("systemd hands over %s sockets: one can be served", count);
    if (wish.socket || wish.port || wish.bind || wish.device)
        return complain("systemd hands over a socket: -p, -b, -k and -c do not go with it");
    descriptor = "3";
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return 0;
}

static void remove_folder(void)
{
    unlink(private_socket);
    rmdir(folder);
}

static int find_place(void)
{
    if (inherited_socket())
        return 1;
    if (descriptor || wish.socket)
        return 0;
    if (!wish.device)
        return reach_host(wish.bind ? wish.bind : "0.0.0.0", wish.port ? wish.port : DEFAULT_PORT,
                          true, address) < 0;
    if (device_check(wish.device))
        return 1;
    if (!mkdtemp(folder))
        return complain("%s: %s", folder, strerror(errno));
    snprintf(private_socket, sizeof(private_socket), "%s/socket", folder);
    return 0;
}

static int serve(char *program, const char *trace)
{
    static const char *const none[] = {"-machine", "none", "-accel", "qtest", "-nodefaults"};
    char **words = calloc(BP_COUNT(none) + 2 * wish.object_count + 32, sizeof(*words));
    int n = 0;

    if (!words)
        return complain("no memory");
    if (find_place())
        return 1;
    unsetenv("DISPLAY"); /* on a desktop a window would be opened */
    unsetenv("WAYLAND_DISPLAY");
    words[n++] = program;
    for (size_t i = 0; i < BP_COUNT(none); i++)
        words[n++] = (char *)(uintptr_t)none[i];
#define WORDS(name, value)                                                                         \
    (words[n++] = (char *)(uintptr_t)(name), words[n++] = (char *)(uintptr_t)(value))
    for (unsigned i = 0; i < wish.object_count; i++)
        WORDS("-object", wish.objects[i]);
    WORDS("-image", image_words());
    if (trace)
        WORDS("-trace", trace);
    if (wish.pid_file)
        WORDS("-pidfile", wish.pid_file);
#undef WORDS
    if (wish.background)
        words[n++] = (char *)(uintptr_t) "-daemonize";
    if (module_options_register() < 0 || bpc_register_all("backplane-nbd", own_options, NULL) < 0)
        return 1;
    n = bpc_run(n, words, NULL);
    if (wish.device)
        remove_folder();
    return n;
}

int main(int argc, char **argv)
{
    const char *trace = NULL;
    int ret;

    bpc_end_when_out_of_memory();
    tool_name = "backplane-nbd";
    bpc_program_name_set(tool_name);
    ret = take_words(argc, argv, &trace);
    if (ret == 0)
        ret = wish.disconnect ? 0 : check_wish();
    if (ret)
        return ret < 0 ? 0 : ret;
    bpc_registry_set_loader(&modules_loader);
    return wish.disconnect ? device_disconnect(wish.image)
           : wish.list     ? list_exports(&wish)
                           : serve(argv[0], trace);
}
