/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The terminal's modes: saved once, set raw, and restored on every way out. exit() runs the
 * framework's atexit handler; a crash or a signal that nobody handles is met here, restored in the
 * handler (tcsetattr is async-signal-safe, POSIX.1 2.4.3) and raised again. Stopping gives the
 * terminal back to the shell, continuing takes it again. A signal that the program handles itself
 * (through the main loop) is left to it. There is one controlling terminal, so this state is the
 * process's.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <bp/run.h>

#include "chardev.h"

static struct termios saved, raw;
static volatile sig_atomic_t active; /* raw modes are set on terminal_fd */
static volatile sig_atomic_t have_saved;
static int terminal_fd = -1;
static int wanted_fd = -1; /* to go raw when the machine may start */
static bool wanted_signals;

static const int crashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU, SIGPIPE, SIGALRM, SIGUSR1,
                             SIGUSR2};
static struct sigaction before_crash[NSIG];

/* From the background tcsetattr would stop us; when it is to be restored that must not happen. */
static void set_modes(const struct termios *modes)
{
    sigset_t block, before;

    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    tcsetattr(terminal_fd, TCSANOW, modes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void terminal_restore(void)
{
    wanted_fd = -1;
    if (active) {
        active = 0;
        set_modes(&saved);
    }
}

bool terminal_active(void)
{
    return active != 0 || wanted_fd >= 0;
}

/* Raw again, unless the shell has given the terminal to somebody else. */
static void take_again(void)
{
    pid_t foreground = tcgetpgrp(terminal_fd);

    if (active && (foreground < 0 || foreground == getpgrp()))
        set_modes(&raw);
}

static void on_deadly(int signo)
{
    terminal_restore();
    /* SA_RESETHAND has put the default action back: it happens when this handler returns. */
    raise(signo);
}

/* What was there before (a sanitizer's report, a core dump) comes after the terminal is restored.
 */
static void on_crash(int signo)
{
    terminal_restore();
    sigaction(signo, &before_crash[signo], NULL);
    raise(signo);
}

static void on_stop(int signo)
{
    int saved_errno = errno;
    struct sigaction sa, before;
    sigset_t unblock, mask;

    if (active)
        set_modes(&saved);
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_DFL;
    sigaction(signo, &sa, &before);
    raise(signo);
    sigemptyset(&unblock);
    sigaddset(&unblock, signo);
    pthread_sigmask(SIG_UNBLOCK, &unblock, &mask); /* stops here */
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(signo, &before, NULL);
    take_again(); /* a stop that was ignored (an orphaned process group) is not continued */
    errno = saved_errno;
}

static void on_continue(int signo)
{
    int saved_errno = errno;

    (void)signo;
    take_again();
    errno = saved_errno;
}

/* Installs a handler where the action is still the default one. */
static void handle(int signo, void (*fn)(int signo), int flags)
{
    struct sigaction sa, now;

    if (sigaction(signo, NULL, &now) < 0 || (now.sa_flags & SA_SIGINFO) ||
        now.sa_handler != SIG_DFL)
        return;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = fn;
    sa.sa_flags = flags;
    sigemptyset(&sa.sa_mask);
    sigaction(signo, &sa, NULL);
}

static void handle_crashes(void)
{
    struct sigaction sa, now;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_crash;
    sigemptyset(&sa.sa_mask);
    sa.sa_flags = SA_ONSTACK;
    for (unsigned i = 0; i < BP_COUNT(crashes); i++) {
        int signo = crashes[i];

        if (sigaction(signo, NULL, &now) < 0 ||
            (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_crash))
            continue;
        before_crash[signo] = now;
        sigaction(signo, &sa, NULL);
    }
}

static void go_raw(int fd, bool signals)
{
    if (!have_saved || fd != terminal_fd) {
        terminal_restore();
        if (tcgetattr(fd, &saved) < 0)
            return;
        terminal_fd = fd;
        have_saved = 1;
        for (unsigned i = 0; i < BP_COUNT(deadly); i++)
            handle(deadly[i], on_deadly, (int)SA_RESETHAND);
        handle_crashes();
        handle(SIGTSTP, on_stop, SA_RESTART);
        handle(SIGCONT, on_continue, SA_RESTART);
    }
    raw = saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    if (!signals)
        raw.c_lflag &= ~(tcflag_t)ISIG;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    active = 1; /* first, so that a signal right after the change is met */
    set_modes(&raw);
}

static void start(void *opaque)
{
    int fd = wanted_fd;

    (void)opaque;
    wanted_fd = -1;
    if (fd >= 0)
        go_raw(fd, wanted_signals);
}

/* While the program still waits for somebody, Ctrl-C ends it as usual. */
void terminal_raw(int fd, bool signals)
{
    if (!isatty(fd))
        return;
    wanted_fd = fd;
    wanted_signals = signals;
    bp_on_start(start, NULL);
}
