/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands between the emulator and KVM (LD_PRELOAD): writes down what a test wants to know of its requests in the file
 * KVM_SHIM_LOG, and lets a processor have notify exits (KVM_SHIM_NOTIFY) that has none: the first KVM_RUN is one.
 * Capabilities whose numbers are in KVM_SHIM_LACKS (",0,121,") are missing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct kvm_run *area;

static void note(const char *format, unsigned long long a, unsigned long long b)
{
    char line[100];
    int length = snprintf(line, sizeof(line), format, a, b);
    int fd = open(getenv("KVM_SHIM_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd >= 0 && write(fd, line, (size_t)length) != length)
        abort();
    close(fd);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    char name[64], target[64] = "";
    void *result = real(address, length, protection, flags, fd, offset);

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (fd >= 0 && offset == 0 && readlink(name, target, sizeof(target) - 1) > 0 && strstr(target, "kvm-vcpu:0"))
        area = result;
    return result;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap(address, length, protection, flags, fd, offset);
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    const char *notify = getenv("KVM_SHIM_NOTIFY"), *lacks = getenv("KVM_SHIM_LACKS");
    char number[16];
    static int ran;
    unsigned long argument;
    va_list list;

    va_start(list, request);
    argument = va_arg(list, unsigned long);
    va_end(list);
    if (notify && request == KVM_CHECK_EXTENSION && argument == KVM_CAP_X86_NOTIFY_VMEXIT)
        return 1;
    snprintf(number, sizeof(number), ",%lu,", argument);
    if (lacks && request == KVM_CHECK_EXTENSION && strstr(lacks, number))
        return 0;
    if (request == KVM_CREATE_IRQCHIP)
        note("irqchip\n", 0, 0);
    if (request == KVM_CREATE_PIT2)
        note("pit %llu\n", ((const struct kvm_pit_config *)argument)->flags, 0);
    if (request == KVM_SET_NR_MMU_PAGES)
        note("pages %llu\n", argument, 0);
    if (request == KVM_RESET_DIRTY_RINGS)
        note("reset\n", 0, 0);
    if (request == KVM_ENABLE_CAP) {
        const struct kvm_enable_cap *cap = (const void *)argument;

        note("cap %llu %llx\n", cap->cap, cap->args[0]);
        if (cap->cap == KVM_CAP_X86_NOTIFY_VMEXIT)
            return 0;
    }
    if (notify && request == KVM_RUN && area && !ran) {
        ran = 1;
        note("notified\n", 0, 0);
        area->exit_reason = KVM_EXIT_NOTIFY;
        area->notify.flags = (unsigned)atoi(notify);
        return 0;
    }
    return real(fd, request, argument);
}
