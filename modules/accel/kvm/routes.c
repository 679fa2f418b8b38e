/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's table of interrupt numbers (KVM_SET_GSI_ROUTING), which is always given as a whole: pins of its
 * controllers (chips.c), or what the pins of our I/O APIC send (lapic.c), and messages of other processes, which raise
 * them by a descriptor (KVM_IRQFD) without any thread of ours. While the devices' local APICs are at work the main
 * loop looks at those descriptors in the kernel's place.
 */
#include "kvm.h"
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FIRST_MESSAGE 128u /* numbers below are pins */
#define MOST_MESSAGES 2048u
#define ENTRIES (2 * 16 + 2 * KVM_PINS + KVM_PINS)

struct kvm_message {
    int fd;
    uint32_t gsi, data;
    uint64_t address;
    struct bp_watch *watch; /* NULL: the kernel's */
};

/* ---- the table; pins_lock held ---- */

static void route_chip(struct kvm_irq_routing *t, uint32_t gsi, uint32_t chip, uint32_t pin)
{
    t->entries[t->nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = chip, .pin = pin}};
}

static void route_message(struct kvm_irq_routing *t, uint32_t gsi, uint64_t address, uint32_t data)
{
    t->entries[t->nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data}};
}

static void route_chips(struct kvm_irq_routing *t)
{
    for (unsigned n = 0; n < 16; n++)
        route_chip(t, KVM_PIC_GSI + n, n < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, n & 7);
    for (unsigned n = 0; n < KVM_PINS; n++)
        route_chip(t, KVM_IOAPIC_GSI + n, KVM_IRQCHIP_IOAPIC, n);
    /* The last that names a pin is the one whose listeners hear of its EOIs. */
    for (unsigned n = 0; n < KVM_PINS; n++) {
        if (n < 16 && n != 2)
            route_chip(t, n, n < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, n & 7);
        if (n != 2)
            route_chip(t, n, KVM_IRQCHIP_IOAPIC, n == 0 ? 2 : n);
    }
}

static int set_routes(const struct kvm_machine *m)
{
    struct kvm_irq_routing *t = calloc(1, sizeof(*t) + (ENTRIES + m->message_count) * sizeof(t->entries[0]));
    int ret;

    if (!t)
        return -ENOMEM;
    if (m->irqchip == IRQCHIP_ON)
        route_chips(t);
    for (unsigned n = 0; n < KVM_PINS; n++) {
        if (m->pin[n].address)
            route_message(t, n, m->pin[n].address, m->pin[n].data);
    }
    for (unsigned n = 0; n < m->message_count; n++)
        route_message(t, m->messages[n].gsi, m->messages[n].address, m->messages[n].data);
    ret = ioctl(m->vm, KVM_SET_GSI_ROUTING, t) < 0 ? -errno : 0;
    free(t);
    return ret;
}

int kvm_routes_set(struct kvm_machine *m)
{
    int ret;

    pthread_mutex_lock(&m->pins_lock);
    ret = set_routes(m);
    pthread_mutex_unlock(&m->pins_lock);
    return ret;
}

int kvm_route_pin(struct kvm_machine *m, unsigned pin, uint64_t address, uint32_t data)
{
    int ret = 0;

    pthread_mutex_lock(&m->pins_lock);
    if (m->pin[pin].address != address || m->pin[pin].data != data) {
        m->pin[pin].address = address;
        m->pin[pin].data = data;
        ret = set_routes(m);
    }
    pthread_mutex_unlock(&m->pins_lock);
    return ret;
}

/* ---- messages of other processes; pins_lock held ---- */

/* What a message to local APICs is; with ids of 32 bits everybody is another number. */
static bool can_route(const struct kvm_machine *m, uint64_t address)
{
    return m->messages_most > 0 && address >> 20 == 0xfee && !(m->wide_ids && (address >> 12 & 0xff) == 0xff);
}

static struct kvm_message *find(const struct kvm_machine *m, int fd)
{
    for (unsigned n = 0; n < m->message_count; n++) {
        if (m->messages[n].fd == fd)
            return &m->messages[n];
    }
    return NULL;
}

static int bind(struct kvm_machine *m, const struct kvm_message *message, bool on)
{
    struct kvm_irqfd k = {.fd = (uint32_t)message->fd, .gsi = message->gsi, .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN};

    if (ioctl(m->vm, KVM_IRQFD, &k) < 0)
        return -errno;
    kvm_count(&m->counts[KVM_COUNT_IRQFDS], on ? 1 : -1);
    return 0;
}

/* In the main loop, while the devices' local APICs are at work. */
static void heard(void *opaque, unsigned events)
{
    struct kvm_machine *m = opaque;

    (void)events;
    pthread_mutex_lock(&m->pins_lock);
    for (unsigned n = 0; n < m->message_count; n++) {
        const struct kvm_message *message = &m->messages[n];
        uint64_t count;

        if (message->watch && read(message->fd, &count, sizeof(count)) == sizeof(count))
            (void)bp_space_post(m->space, message->address, 4, message->data, NULL);
    }
    pthread_mutex_unlock(&m->pins_lock);
}

static int serve(struct kvm_machine *m, struct kvm_message *message)
{
    if (!m->messages_here)
        return bind(m, message, true);
    message->watch = bp_watch_new(bp_object_owner(bp_accel_object(m->accel)), bp_context_main(NULL), message->fd,
                                  BP_WATCH_IN, heard, m);
    return 0;
}

static void unserve(struct kvm_machine *m, struct kvm_message *message)
{
    if (!message->watch)
        (void)bind(m, message, false);
    bp_watch_free(message->watch);
    message->watch = NULL;
}

static void forget(struct kvm_machine *m, struct kvm_message *message)
{
    *message = m->messages[--m->message_count];
    (void)set_routes(m);
}

static uint32_t free_number(const struct kvm_machine *m)
{
    uint32_t gsi = FIRST_MESSAGE;

    for (unsigned n = 0; n < m->message_count; n++) {
        if (m->messages[n].gsi == gsi) {
            gsi++;
            n = UINT32_MAX; /* from the beginning */
        }
    }
    return gsi;
}

static int add(struct kvm_machine *m, int fd, uint64_t address, uint32_t data)
{
    struct kvm_message *list, *message;
    int ret;

    if (m->message_count == m->messages_most)
        return -ENOSPC;
    if (m->message_count == m->message_room) {
        list = realloc(m->messages, (m->message_room + 32) * sizeof(*list));
        if (!list)
            return -ENOMEM;
        m->messages = list;
        m->message_room += 32;
    }
    message = &m->messages[m->message_count];
    *message = (struct kvm_message){.fd = fd, .gsi = free_number(m), .address = address, .data = data};
    m->message_count++;
    ret = set_routes(m);
    if (ret == 0)
        ret = serve(m, message);
    if (ret < 0)
        forget(m, message);
    return ret;
}

static int change(struct kvm_machine *m, struct kvm_message *message, uint64_t address, uint32_t data)
{
    int ret;

    if (message->address == address && message->data == data)
        return 0;
    message->address = address;
    message->data = data;
    ret = set_routes(m);
    if (ret < 0) {
        unserve(m, message);
        forget(m, message);
    }
    return ret;
}

/* ---- what the core asks for: [any] ---- */

int kvm_message_fd(struct bp_accel *accel, int fd, uint64_t address, uint32_t data)
{
    struct kvm_machine *m = bp_accel_state(accel);
    struct kvm_message *message;
    int ret;

    if (!can_route(m, address)) {
        kvm_message_fd_end(accel, fd);
        return -ENOTSUP;
    }
    pthread_mutex_lock(&m->pins_lock);
    message = find(m, fd);
    ret = message ? change(m, message, address, data) : add(m, fd, address, data);
    pthread_mutex_unlock(&m->pins_lock);
    return ret < 0 ? -ENOTSUP : 0;
}

void kvm_message_fd_end(struct bp_accel *accel, int fd)
{
    struct kvm_machine *m = bp_accel_state(accel);
    struct kvm_message *message;

    pthread_mutex_lock(&m->pins_lock);
    message = find(m, fd);
    if (message) {
        unserve(m, message);
        forget(m, message);
    }
    pthread_mutex_unlock(&m->pins_lock);
}

/* The devices' local APICs take them from now on, or the kernel's again. Machine lock */
void kvm_messages_move(struct kvm_machine *m, bool here)
{
    pthread_mutex_lock(&m->pins_lock);
    m->messages_here = here;
    for (unsigned n = 0; n < m->message_count; n++) {
        unserve(m, &m->messages[n]);
        if (serve(m, &m->messages[n]) < 0)
            bp_warn("kvm: the interrupts of another process are lost: KVM_IRQFD");
    }
    pthread_mutex_unlock(&m->pins_lock);
}

void kvm_routes_open(struct kvm_machine *m)
{
    int numbers = kvm_cap(m, KVM_CAP_IRQ_ROUTING);

    if (m->irqchip == IRQCHIP_OFF || !kvm_cap(m, KVM_CAP_IRQFD) || numbers <= (int)(FIRST_MESSAGE + ENTRIES))
        return;
    m->messages_most = (unsigned)numbers - FIRST_MESSAGE - ENTRIES;
    if (m->messages_most > MOST_MESSAGES)
        m->messages_most = MOST_MESSAGES;
}

void kvm_routes_close(struct kvm_machine *m)
{
    free(m->messages);
    m->messages = NULL;
    m->message_count = m->message_room = 0;
}
