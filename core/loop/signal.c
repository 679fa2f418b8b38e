/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals and threads. Signals go to the main loop: the handler writes signal and sender into a pipe
 * that the loop watches: nothing is blocked, so children started with exec get the default actions
 * back.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"

struct signal_note {
    int signo, pid;
};

static int pipe_fds[2] = {-1, -1};
static void (*handlers[NSIG])(int signo, int pid);

static void on_signal(int signo, siginfo_t *info, void *context)
{
    struct signal_note note = {signo, info && info->si_code <= 0 ? info->si_pid : 0};
    int saved = errno;
    ssize_t n;

    (void)context;
    n = write(pipe_fds[1], &note, sizeof(note)); /* a full pipe: enough of them are waiting */
    (void)n;
    errno = saved;
}

static void pipe_ready(void *opaque, unsigned events)
{
    struct signal_note note;

    (void)opaque;
    (void)events;
    while (read(pipe_fds[0], &note, sizeof(note)) == (ssize_t)sizeof(note)) {
        if (note.signo > 0 && note.signo < NSIG && handlers[note.signo])
            handlers[note.signo](note.signo, note.pid);
    }
}

int bp_thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *opaque),
                     void *opaque)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigset_t blocked, before;
    char cut[16];
    int ret;

    sigfillset(&blocked);
    for (size_t i = 0; i < BP_COUNT(faults); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    ret = pthread_create(ret_thread, NULL, fn, opaque);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ret == 0) {
        g_strlcpy(cut, name, sizeof(cut));
        pthread_setname_np(*ret_thread, cut);
    }
    return ret;
}

void bpc_loop_on_signal(int signo, void (*fn)(int signo, int pid))
{
    struct sigaction sa;

    if (signo <= 0 || signo >= NSIG)
        return;
    memset(&sa, 0, sizeof(sa));
    sigemptyset(&sa.sa_mask);
    if (pipe_fds[0] < 0) {
        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
            return; /* the default action stays */
        bp_watch_new(NULL, NULL, pipe_fds[0], BP_WATCH_IN, pipe_ready, NULL);
    }
    handlers[signo] = fn;
    if (fn) {
        sa.sa_sigaction = on_signal;
        sa.sa_flags = SA_SIGINFO | SA_RESTART;
    } else {
        sa.sa_handler = SIG_DFL;
    }
    sigaction(signo, &sa, NULL);
}
