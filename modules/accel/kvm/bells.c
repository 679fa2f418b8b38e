/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Doorbells of devices (bp/doorbell.h) as the kernel's own (KVM_IOEVENTFD): a write that rings one does not leave the
 * guest, and the bell's context hears of it by a descriptor. One that the kernel does not take is rung by the memory
 * core after an exit, as ever. Under the machine lock.
 */
#include "kvm.h"
#include <bp/doorbell.h>
#include <bp/log.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* Each takes a descriptor of the process's; there are others that want some. The kernel has room for a thousand. */
#define MOST 1000u
#define FEW 250u

struct kvm_bell {
    struct bp_doorbell *bell;
    struct bp_region *region;
    struct kvm_ioeventfd k;
};

struct found { /* the bells of one section */
    const struct bp_section *section;
    struct kvm_bell *list;
    unsigned count, room;
    bool port, any_length;
};

static void add(struct found *f, struct bp_doorbell *bell, const struct bp_doorbell_match *match, uint32_t length)
{
    struct kvm_bell *list = f->list;

    if (f->count == f->room) {
        list = realloc(f->list, (f->room + 16) * sizeof(*list));
        if (!list)
            return; /* the long way */
        f->list = list;
        f->room += 16;
    }
    list[f->count++] = (struct kvm_bell){
        .bell = bell, .region = f->section->region,
        .k = {.addr = f->section->start + (match->offset - f->section->offset), .len = length, .fd = -1,
              .datamatch = match->value, .flags = (f->port ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
              (match->flags & BP_DOORBELL_MATCH_VALUE ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u)}};
}

/* The kernel compares no values of any length: then it is asked for each. */
static void found(struct bp_doorbell *bell, const struct bp_doorbell_match *match, void *opaque)
{
    struct found *f = opaque;
    const struct bp_section *s = f->section;
    uint32_t most = f->port ? 4 : 8;

    if (match->flags & BP_DOORBELL_KEEP_VALUE || match->offset < s->offset || match->offset - s->offset >= s->length)
        return;
    if (match->access_size)
        add(f, bell, match, match->access_size);
    else if (f->any_length && !(match->flags & BP_DOORBELL_MATCH_VALUE))
        add(f, bell, match, 0);
    else
        for (uint32_t n = 1; n <= most; n *= 2)
            if (n == 8 || !(match->flags & BP_DOORBELL_MATCH_VALUE) || match->value >> n * 8 == 0)
                add(f, bell, match, n);
}

static bool keep(struct kvm_machine *m, const struct kvm_bell *b)
{
    if (m->bell_count == m->bell_room) {
        unsigned room = m->bell_room ? m->bell_room * 2 : 64;
        struct kvm_bell *list = realloc(m->bells, room * sizeof(*list));

        if (!list)
            return false;
        m->bells = list;
        m->bell_room = room;
    }
    m->bells[m->bell_count++] = *b;
    return true;
}

static void take_off(struct kvm_machine *m, struct kvm_bell *b)
{
    b->k.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    kvm_count(&m->counts[KVM_COUNT_BELLS], -1);
    if (ioctl(m->vm, KVM_IOEVENTFD, &b->k) < 0)
        bp_warn("kvm: a doorbell at %#llx stays: KVM_IOEVENTFD", (unsigned long long)b->k.addr);
}

static void serve(struct kvm_machine *m, struct kvm_bell *b)
{
    b->k.fd = m->bell_count < m->bells_most ? bp_doorbell_fd(b->bell) : -1;
    if (b->k.fd < 0 || ioctl(m->vm, KVM_IOEVENTFD, &b->k) < 0)
        return;
    kvm_count(&m->counts[KVM_COUNT_BELLS], 1);
    if (!keep(m, b))
        take_off(m, b);
}

static bool lies_in(const struct kvm_bell *b, bool port, const struct bp_section *section)
{
    return b->region == section->region && !(b->k.flags & KVM_IOEVENTFD_FLAG_PIO) == !port &&
           b->k.addr >= section->start && b->k.addr - section->start < section->length;
}

/* Is it one of the section's, as the kernel has it? Then it is none of those that are to be served any more. */
static bool stays(const struct kvm_bell *b, struct found *f)
{
    for (unsigned n = 0; n < f->count; n++) {
        struct kvm_bell *is = &f->list[n];

        if (is->bell != b->bell || is->k.addr != b->k.addr || is->k.len != b->k.len || is->k.flags != b->k.flags ||
            is->k.datamatch != b->k.datamatch || bp_doorbell_fd(is->bell) != b->k.fd)
            continue;
        *is = f->list[--f->count];
        return true;
    }
    return false;
}

/* `f` empty: the section has gone. */
static void replace(struct kvm_machine *m, struct found *f)
{
    unsigned kept = 0;

    for (unsigned n = 0; n < m->bell_count; n++) {
        struct kvm_bell *b = &m->bells[n];

        if (lies_in(b, f->port, f->section) && !stays(b, f))
            take_off(m, b);
        else
            m->bells[kept++] = *b;
    }
    m->bell_count = kept;
    for (unsigned n = 0; n < f->count; n++)
        serve(m, &f->list[n]);
    free(f->list);
}

void kvm_bells_added(struct kvm_machine *m, bool port, const struct bp_section *section)
{
    struct found f = {.section = section, .port = port, .any_length = m->bells_any_length};

    if (!m->bells_most || section->host)
        return;
    bp_doorbell_each(section->region, found, &f);
    replace(m, &f);
}

void kvm_bells_removed(struct kvm_machine *m, bool port, const struct bp_section *section)
{
    struct found none = {.section = section, .port = port};

    replace(m, &none);
}

/* ---- ports, which nobody else here listens to ---- */

static void ports_removed(void *opaque, const struct bp_section *section)
{
    kvm_bells_removed(opaque, true, section);
}

static void ports_added(void *opaque, const struct bp_section *section)
{
    kvm_bells_added(opaque, true, section);
}

static const struct bp_memory_listener ports = {
    .size = sizeof(ports), .removed = ports_removed, .added = ports_added, .doorbells = ports_added};

void kvm_bells_begin(struct kvm_machine *m, struct bp_space *io)
{
    struct rlimit files;

    if (kvm_cap(m, KVM_CAP_IOEVENTFD) > 0)
        m->bells_most = getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 4 < MOST ? FEW : MOST;
    m->bells_any_length = kvm_cap(m, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
    m->io = io;
    bp_space_listen(io, &ports, m);
}

void kvm_bells_end(struct kvm_machine *m)
{
    bp_space_unlisten(m->io, &ports, m);
    m->io = NULL;
    for (unsigned n = 0; n < m->bell_count; n++)
        take_off(m, &m->bells[n]);
    free(m->bells);
    m->bells = NULL;
    m->bell_count = m->bell_room = 0;
}
