/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Debian's User Mode Linux sets the vector state of its processes as the 2696 bytes that processors had when it was
 * made; a host that has more wants all of it or nothing (ptrace(2), PTRACE_SETREGSET). Preloaded to it, this puts
 * what it gives at the beginning of what there is.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Alignas(64) char state[1 << 16];

static long set_state(enum __ptrace_request request, pid_t pid, struct iovec *part)
{
    struct iovec all = {state, sizeof(state)};

    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) < 0)
        return -1;
    if (part->iov_len > all.iov_len)
        part->iov_len = all.iov_len;
    if (request == PTRACE_GETREGSET) {
        memcpy(part->iov_base, state, part->iov_len);
        return 0;
    }
    memcpy(state, part->iov_base, part->iov_len);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
    long value = 0, ret;
    va_list list;
    pid_t pid;
    void *address, *data;

    va_start(list, request);
    pid = va_arg(list, pid_t);
    address = va_arg(list, void *);
    data = va_arg(list, void *);
    va_end(list);
    if ((request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) && address == (void *)NT_X86_XSTATE)
        return set_state(request, pid, data);
    if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
        return syscall(SYS_ptrace, request, pid, address, data);
    ret = syscall(SYS_ptrace, request, pid, address, &value);
    if (ret < 0)
        return -1;
    errno = 0;
    return value;
}
