/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Both ends of a network's measurement, on the host and in guests.
 *   net-peer serve PORT                        answers for ever, each connection in a process of its own
 *   net-peer send|receive|ask HOST PORT SECONDS
 * A connection begins with a letter: s: the server counts what comes until the other writes no more, and tells how
 * much, in 8 bytes; r: it writes until the other is gone; a: it gives back each byte. The client prints
 * "NAME COUNT SECONDS": bytes, or questions that were answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static char data[1 << 20];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static void without_delay(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void answer(int fd)
{
    uint64_t count = 0;
    ssize_t n;
    char what;

    without_delay(fd);
    if (read(fd, &what, 1) != 1)
        return;
    if (what == 's') {
        while ((n = read(fd, data, sizeof(data))) > 0)
            count += (uint64_t)n;
        (void)!write(fd, &count, sizeof(count));
    } else if (what == 'r') {
        while (write(fd, data, sizeof(data)) > 0)
            ;
    } else {
        while (read(fd, data, 1) == 1 && write(fd, data, 1) == 1)
            ;
    }
}

static int serve(const char *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0), client;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(fd, 16) < 0)
        return fail("listen");
    signal(SIGCHLD, SIG_IGN);
    puts("serves");
    fflush(stdout);
    while ((client = accept(fd, NULL, NULL)) >= 0) {
        if (fork() == 0) {
            answer(client);
            _exit(0);
        }
        close(client);
    }
    return fail("accept");
}

static int measure(const char *name, int fd, double seconds)
{
    double begin = now();
    uint64_t count = 0;
    ssize_t n;

    if (write(fd, name, 1) != 1)
        return fail("write");
    while (now() - begin < seconds) {
        if (*name == 's')
            n = write(fd, data, 1 << 16);
        else if (*name == 'r')
            n = read(fd, data, sizeof(data));
        else
            n = write(fd, data, 1) == 1 ? read(fd, data, 1) : -1;
        if (n <= 0)
            return fail(name);
        count += (uint64_t)n;
    }
    if (*name == 's') { /* what has arrived is what counts */
        (void)shutdown(fd, SHUT_WR);
        if (recv(fd, &count, sizeof(count), MSG_WAITALL) != sizeof(count))
            return fail("the server's count");
    }
    printf("%s %llu %f\n", name, (unsigned long long)count, now() - begin);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in there = {.sin_family = AF_INET};
    int fd;

    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    if (argc != 5 || inet_pton(AF_INET, argv[2], &there.sin_addr) != 1) {
        fprintf(stderr, "usage: net-peer serve PORT | send|receive|ask ADDRESS PORT SECONDS\n");
        return 2;
    }
    there.sin_port = htons((uint16_t)atoi(argv[3]));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&there, sizeof(there)) < 0)
        return fail("connect");
    without_delay(fd);
    return measure(argv[1], fd, atof(argv[4]));
}
