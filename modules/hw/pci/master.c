// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a function does as bus master: memory accesses and messages, on any thread.
 *
 * An address that a guest chose may lead back to the function's own registers, which may make it
 * access again, and so on without end. Each thread knows the accesses that it is inside of. A
 * memory access inside of one of the same function is refused. A message inside of an access goes
 * out; inside of a message of the same function it stays pending, and the main loop sends it. So
 * nothing is lost, no stack grows, and accesses on other threads do not matter.
 */
#include <errno.h>

#include <bp/log.h>

#include "pci.h"

#define DEEPEST 16u /* accesses of several functions that lead to each other */

static __thread struct pci_access *innermost;

bool pci_access_begin(struct pci_access *a, struct pci_fn *fn, bool message)
{
    unsigned depth = 0;

    for (const struct pci_access *o = innermost; o; o = o->outer) {
        if ((o->fn == fn && o->message == message) || ++depth == DEEPEST)
            return false;
    }
    *a = (struct pci_access){.fn = fn, .message = message, .outer = innermost};
    innermost = a;
    return true;
}

void pci_access_end(struct pci_access *a)
{
    innermost = a->outer;
}

/* The function and all bridges on its way; of those the bit is read without their locks: an access
 * that is under way when the guest takes it back may still arrive. */
bool pci_is_master(const struct pci_fn *fn)
{
    if (!(fn->config[PCI_COMMAND] & PCI_COMMAND_MASTER) || !pci_is_awake(fn))
        return false;
    for (struct bp_device *b = pci_bus_of(fn->device)->bridge; b; b = pci_bus_of(b)->bridge) {
        if (!(pci_peek(pci_fn_of(b)->config + PCI_COMMAND) & PCI_COMMAND_MASTER))
            return false;
    }
    return true;
}

static struct bp_access requested_by(struct bp_device *dev)
{
    return (struct bp_access){.size = sizeof(struct bp_access), .flags = BP_ACCESS_REQUESTER,
                              .requester = pci_requester(dev)};
}

static void tell_loop(const struct pci_fn *fn)
{
    bp_guest_error("pci-master-loop", "PCI: an access of slot %u function %u led back to it",
                   fn->devfn >> 3, fn->devfn & 7);
}

static int begin(struct bp_device *dev, struct pci_access *a)
{
    struct pci_fn *fn = pci_fn_of(dev);
    bool master;

    pci_lock(fn);
    master = pci_is_master(fn);
    pci_unlock(fn);
    if (!master)
        return -EPERM;
    if (pci_access_begin(a, fn, false))
        return 0;
    tell_loop(fn);
    return -EBUSY;
}

int pci_dma_read(struct bp_device *dev, uint64_t addr, void *buf, uint64_t len)
{
    struct bp_access who;
    struct pci_access a;
    int r = begin(dev, &a);

    if (r < 0)
        return r;
    who = requested_by(dev);
    r = bp_space_read_as(pci_dma_of(dev), addr, buf, len, &who);
    pci_access_end(&a);
    return r;
}

int pci_dma_write(struct bp_device *dev, uint64_t addr, const void *buf, uint64_t len)
{
    struct bp_access who;
    struct pci_access a;
    int r = begin(dev, &a);

    if (r < 0)
        return r;
    who = requested_by(dev);
    r = bp_space_write_as(pci_dma_of(dev), addr, buf, len, &who);
    pci_access_end(&a);
    return r;
}

/* ---- messages ---- */

/* The main loop sends what waited for the end of another message. */
static void send_late(void *opaque)
{
    tell_loop(pci_fn_of(opaque));
    pci_msi_written(opaque);
    pci_msix_written(opaque);
}

void pci_messages_init(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    if (!fn->late)
        fn->late = bp_deferred_new(bp_device_owner(dev), NULL, send_late, dev);
}

struct bp_space *pci_message_space(struct bp_device *dev, uint64_t address)
{
    struct bp_space *messages = address >> 20 == 0xfee ? __atomic_load_n(&pci_bus_of(dev)->root->messages,
                                                                         __ATOMIC_ACQUIRE) : NULL;

    return messages ? messages : pci_root_dma(dev); /* nobody asks for translations of them */
}

/* To an interrupt controller (and to RAM) it goes under the function's lock: once a guest has masked it, it comes
 * no more. */
enum pci_message pci_message_begin(struct pci_access *a, struct pci_fn *fn, uint64_t address, uint32_t data)
{
    const struct bp_access who = requested_by(fn->device);

    if (bp_space_post(pci_message_space(fn->device, address), address, 4, data, &who) != -EAGAIN)
        return PCI_MESSAGE_SENT;
    if (pci_access_begin(a, fn, true))
        return PCI_MESSAGE_BEGUN;
    bp_deferred_schedule(fn->late);
    return PCI_MESSAGE_HELD;
}

void pci_message_send(struct bp_device *dev, struct pci_access *a, uint64_t address, uint32_t data)
{
    const struct bp_access who = requested_by(dev);

    (void)bp_space_store_as(pci_message_space(dev, address), address, 4, data, &who);
    pci_access_end(a);
}
