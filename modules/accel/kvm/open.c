/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device node, the virtual machine, and what this kernel and this processor can do: capabilities, and the
 * features of KVM_GET_SUPPORTED_CPUID.
 */
#include "kvm.h"
#include <bp/exact/machine.h>
#include <bp/file.h>
#include <bp/log.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CPUID_MAX 256u
/* Three pages and one that the kernel uses on some processors: in the gap below 4 GiB where boards have nothing. */
#define IDENTITY_MAP 0xfeffc000u
#define TSS 0xfeffd000u

int kvm_cap(const struct kvm_machine *m, unsigned cap)
{
    int ret = ioctl(m->vm >= 0 ? m->vm : m->fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

    return ret < 0 ? 0 : ret;
}

/* ---- the device ---- */

static int cannot_open(const struct kvm_machine *m, int code, struct bp_error *err)
{
    const char *why = code == ENOENT ? "the host's kernel has no KVM there: load kvm-intel or kvm-amd, on a processor "
                                       "whose virtualization is switched on, or use -accel tcg"
                      : code == EACCES || code == EPERM ? "who may use it is usually group kvm; or use -accel tcg"
                                                        : "device= names the node of KVM, /dev/kvm";

    if (strncmp(m->device, "/dev/fdset/", 11) == 0)
        why = "-add-fd fd=N,set=NN passes a descriptor of /dev/kvm, open for reading and writing";
    return bp_fail(err, code, "cannot open '%.200s': %s (%s)", m->device, strerror(code), why);
}

static int open_device(struct kvm_machine *m, struct bp_error *err)
{
    int version;

    m->fd = bp_open(m->device, O_RDWR, 0);
    if (m->fd < 0)
        return cannot_open(m, -m->fd, err);
    version = ioctl(m->fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return bp_fail(err, ENODEV, "'%.200s' is not a node of KVM (%s); it is /dev/kvm as a rule", m->device,
                       strerror(errno));
    if (version != KVM_API_VERSION)
        return bp_fail(err, ENOTSUP, "'%.200s': the kernel's interface has version %d, and should have %d", m->device,
                       version, KVM_API_VERSION);
    return 0;
}

static int check_caps(struct kvm_machine *m, struct bp_error *err)
{
    static const struct {
        unsigned number;
        const char *name;
    } needed[] = {
#define CAP(X) {X, #X}
        CAP(KVM_CAP_USER_MEMORY), CAP(KVM_CAP_SYNC_MMU), CAP(KVM_CAP_READONLY_MEM), CAP(KVM_CAP_EXT_CPUID),
        CAP(KVM_CAP_USER_NMI), CAP(KVM_CAP_VCPU_EVENTS), CAP(KVM_CAP_DEBUGREGS), CAP(KVM_CAP_XSAVE), CAP(KVM_CAP_XCRS),
        CAP(KVM_CAP_IMMEDIATE_EXIT), CAP(KVM_CAP_GET_TSC_KHZ),
#undef CAP
    };

    for (unsigned n = 0; n < BP_COUNT(needed); n++) {
        if (!kvm_cap(m, needed[n].number))
            return bp_fail(err, ENOTSUP, "the host's kernel is too old: it lacks %s (Linux 4.11 and later have it)",
                           needed[n].name);
    }
    m->slots_max = (unsigned)kvm_cap(m, KVM_CAP_NR_MEMSLOTS);
    m->slots_max = m->slots_max ? m->slots_max : 32;
    return 0;
}

/* ---- what the processor can do ---- */

static const struct kvm_cpuid_entry2 *supported(const struct kvm_machine *m, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned n = 0; n < m->supported->nent; n++) {
        const struct kvm_cpuid_entry2 *e = &m->supported->entries[n];

        if (e->function == leaf && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
            return e;
    }
    return NULL;
}

static int read_supported(struct kvm_machine *m, struct bp_error *err)
{
    const struct kvm_cpuid_entry2 *e;

    m->supported = calloc(1, sizeof(*m->supported) + CPUID_MAX * sizeof(m->supported->entries[0]));
    if (!m->supported)
        return bp_fail(err, ENOMEM, "no memory for the processor's features");
    m->supported->nent = CPUID_MAX;
    if (ioctl(m->fd, KVM_GET_SUPPORTED_CPUID, m->supported) < 0)
        return bp_fail(err, errno, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
    if ((e = supported(m, 0xd, 0)))
        m->components = e->eax | (uint64_t)e->edx << 32;
    for (unsigned n = 2; n < KVM_COMPONENTS; n++) {
        e = supported(m, 0xd, n);
        if (e && m->components >> n & 1 && e->eax && e->ebx + e->eax <= sizeof(struct kvm_xsave)) {
            m->component_size[n] = (uint16_t)e->eax;
            m->component_offset[n] = (uint16_t)e->ebx;
        }
    }
    return 0;
}

static const struct {
    uint32_t leaf, subleaf;
    unsigned reg; /* 0 EAX to 3 EDX */
} words_at[BP_X86_FW_COUNT] = {
    [BP_X86_FW_1_EDX] = {1, 0, 3}, [BP_X86_FW_1_ECX] = {1, 0, 2}, [BP_X86_FW_7_EBX] = {7, 0, 1},
    [BP_X86_FW_7_ECX] = {7, 0, 2}, [BP_X86_FW_7_EDX] = {7, 0, 3}, [BP_X86_FW_80000001_EDX] = {0x80000001, 0, 3},
    [BP_X86_FW_80000001_ECX] = {0x80000001, 0, 2}, [BP_X86_FW_80000007_EDX] = {0x80000007, 0, 3},
    [BP_X86_FW_80000008_EBX] = {0x80000008, 0, 1}, [BP_X86_FW_D1_EAX] = {0xd, 1, 0}, [BP_X86_FW_6_EAX] = {6, 0, 0},
    [BP_X86_FW_7_1_EAX] = {7, 1, 0}, [BP_X86_FW_7_1_EDX] = {7, 1, 3}, [BP_X86_FW_7_2_EDX] = {7, 2, 3},
    [BP_X86_FW_80000021_EAX] = {0x80000021, 0, 0},
};

void kvm_features(const struct kvm_machine *m, uint32_t *words, unsigned count)
{
    /* MONITOR and MWAIT are executed when they do not leave the guest; KVM leaves it to us to say so. */
    uint32_t monitor = count > BP_X86_FW_1_ECX && m->pm_exits & KVM_X86_DISABLE_EXITS_MWAIT ?
                       words[BP_X86_FW_1_ECX] & 1u << 3 : 0;

    uint32_t deadline = count > BP_X86_FW_1_ECX && kvm_cap(m, KVM_CAP_TSC_DEADLINE_TIMER) ?
                        words[BP_X86_FW_1_ECX] & 1u << 24 : 0;

    for (unsigned n = 0; n < count; n++) {
        const struct kvm_cpuid_entry2 *e;

        e = n < BP_X86_FW_COUNT && words_at[n].leaf ? supported(m, words_at[n].leaf, words_at[n].subleaf) : NULL;
        words[n] &= e ? (&e->eax)[words_at[n].reg] : 0;
        if (n == BP_X86_FW_1_ECX) /* x2APIC and TSC deadline: in the kernel's local APIC only */
            words[n] = m->irqchip == IRQCHIP_OFF ? (words[n] & ~(1u << 21 | 1u << 24)) | monitor :
                       words[n] | deadline | monitor;
        if (n == BP_X86_FW_D1_EAX) /* XSAVES and its registers have no place in bp_x86_cpu */
            words[n] &= ~(1u << 3 | 1u << 4);
    }
}

/* ---- a processor's CPUID ---- */

/* Leaves whose sub-leaves the kernel ends itself. */
static bool has_subleaves(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x1f || leaf == 0x8000001d;
}

/* The layout of XSAVE's area is this processor's. */
static void fit_xsave(const struct kvm_vcpu *c, struct kvm_cpuid_entry2 *e)
{
    const struct kvm_machine *m = c->m;
    uint64_t user = bp_x86_xcr0_valid(c->x) & (m->components | 3);
    uint32_t size = 576;

    for (unsigned n = 2; n < KVM_COMPONENTS; n++) {
        uint32_t end = (uint32_t)m->component_offset[n] + m->component_size[n];

        if (user >> n & 1 && end > size)
            size = end;
    }
    if (e->index == 0) {
        e->eax = (uint32_t)user;
        e->ebx = e->ecx = size;
        e->edx = (uint32_t)(user >> 32);
    } else if (e->index >= 2 && e->index < KVM_COMPONENTS) {
        const struct kvm_cpuid_entry2 *host = supported(m, 0xd, e->index);

        e->eax = m->component_size[e->index];
        e->ebx = m->component_offset[e->index];
        e->ecx = host ? host->ecx : 0;
        e->edx = 0;
    }
}

static void fit_clocks(const struct kvm_vcpu *c, struct kvm_cpuid_entry2 *e)
{
    uint32_t mhz = (uint32_t)(c->x->tsc_hz / 1000000);

    if (e->function == 0x15)
        e->ebx = (uint32_t)(c->x->tsc_hz / 1000);
    else
        e->eax = e->ebx = mhz;
}

static bool same_cpuid(const struct kvm_cpuid2 *a, const struct kvm_cpuid2 *b)
{
    return a->nent == b->nent && !memcmp(a->entries, b->entries, a->nent * sizeof(a->entries[0]));
}

/* One that was here before is another no more: the kernel keeps what a processor has that has run. */
int kvm_give_cpuid(struct kvm_vcpu *c, struct bp_error *err)
{
    const struct bp_x86_cpu *x = c->x;
    struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + x->cpuid_count * sizeof(list->entries[0])), *before = c->cpuid;
    int ret = 0;

    if (!list)
        return bp_fail(err, ENOMEM, "no memory for CPUID");
    for (uint32_t n = 0; n < x->cpuid_count; n++) {
        const struct bp_x86_cpuid *leaf = &x->cpuid[n];
        struct kvm_cpuid_entry2 *e = &list->entries[list->nent];

        if (leaf->any_subleaf && has_subleaves(leaf->leaf))
            continue;
        *e = (struct kvm_cpuid_entry2){.function = leaf->leaf, .index = leaf->subleaf, .eax = leaf->eax,
                                       .ebx = leaf->ebx, .ecx = leaf->ecx, .edx = leaf->edx,
                                       .flags = leaf->any_subleaf ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
        if (e->function == 0xd)
            fit_xsave(c, e);
        if (e->function == 0x15 || e->function == 0x16)
            fit_clocks(c, e);
        list->nent++;
    }
    if (before && same_cpuid(before, list)) {
        free(list);
        return 0;
    }
    if (ioctl(c->fd, KVM_SET_CPUID2, list) < 0) {
        ret = bp_fail(err, errno, before ? "KVM does not let processor %u come again with another CPUID: %s" :
                      "KVM does not take the CPUID of processor %u: %s", bp_cpu_index(c->cpu), strerror(errno));
        free(list);
        return ret;
    }
    free(before);
    c->cpuid = list;
    return 0;
}

/* ---- the virtual machine ---- */

static int set_addresses(struct kvm_machine *m, struct bp_error *err)
{
    uint64_t map = IDENTITY_MAP;

    if (kvm_cap(m, KVM_CAP_SET_IDENTITY_MAP_ADDR) && ioctl(m->vm, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0)
        return bp_fail(err, errno, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
    if (kvm_cap(m, KVM_CAP_SET_TSS_ADDR) && ioctl(m->vm, KVM_SET_TSS_ADDR, (unsigned long)TSS) < 0)
        return bp_fail(err, errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
    return 0;
}

int kvm_open(struct kvm_machine *m, struct bp_error *err)
{
    int ret;

    m->fd = m->vm = m->stats = -1;
    pthread_mutex_init(&m->gate, NULL);
    pthread_mutex_init(&m->pins_lock, NULL);
    pthread_cond_init(&m->opened, NULL);
    pthread_cond_init(&m->idle, NULL);
    if ((ret = open_device(m, err)) < 0 || (ret = check_caps(m, err)) < 0 || (ret = read_supported(m, err)) < 0)
        return ret;
    m->run_size = ioctl(m->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (m->run_size < (long)sizeof(struct kvm_run))
        return bp_fail(err, ENOTSUP, "KVM_GET_VCPU_MMAP_SIZE says %ld, less than struct kvm_run has", m->run_size);
    m->vm = ioctl(m->fd, KVM_CREATE_VM, 0);
    if (m->vm < 0)
        return bp_fail(err, errno, "KVM does not make a virtual machine: %s", strerror(errno));
    m->stats = kvm_stats_open(m->vm);
    ret = set_addresses(m, err);
    if (ret == 0)
        ret = kvm_lapic_open(m, err);
    if (ret == 0)
        kvm_routes_open(m);
    return ret;
}

void kvm_close(struct kvm_machine *m)
{
    for (struct kvm_parked *p = m->parked, *next; p; p = next) {
        next = p->next;
        close(p->fd);
        free(p->cpuid);
        free(p);
    }
    m->parked = NULL;
    kvm_stats_begin(NULL);
    if (m->stats >= 0)
        close(m->stats);
    if (m->vm >= 0)
        close(m->vm);
    if (m->fd >= 0)
        close(m->fd);
    m->vm = m->fd = m->stats = -1;
    free(m->supported);
    m->supported = NULL;
    kvm_routes_close(m);
    pthread_mutex_destroy(&m->gate);
    pthread_mutex_destroy(&m->pins_lock);
    pthread_cond_destroy(&m->opened);
    pthread_cond_destroy(&m->idle);
}
