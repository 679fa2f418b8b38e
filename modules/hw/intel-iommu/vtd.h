/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Intel VT-d: what registers and translation share. */
#ifndef VTD_H
#define VTD_H

#include <pthread.h>

#include <bp/device.h>
#include <bp/iommu.h>

struct bp_apic_interface;
struct bp_apic_message;

#define VTD_BASE 0xfed90000u
#define VTD_IOAPIC 0xf0f8u /* how the I/O APIC is known as a sender: bus f0, 1f.0 (ACPI's DMAR says so, too) */
#define VTD_EXTENDED (UINT64_C(1) << 11) /* of the interrupt table's address: destinations have 32 bits */
#define VTD_IRQ_FIRST 0xfee00000u /* messages to local APICs: 1 MiB that is not translated */

/* Fault reasons (VT-d 3.0, appendix A). */
enum vtd_fault { VTD_ROOT_MISSING = 1, VTD_CONTEXT_MISSING = 2, VTD_CONTEXT_BAD = 3, VTD_BEYOND = 4, VTD_WRITE = 5,
                 VTD_READ = 6, VTD_TABLE = 7, VTD_ROOT_TABLE = 8, VTD_CONTEXT_TABLE = 9, VTD_PT_RESERVED = 12,
                 VTD_TYPE_BLOCKS = 13,
                 VTD_IR_REQUEST = 0x20, VTD_IR_BEYOND = 0x21, VTD_IR_MISSING = 0x22, VTD_IR_TABLE = 0x23,
                 VTD_IR_RESERVED = 0x24, VTD_IR_COMPATIBLE = 0x25, VTD_IR_SENDER = 0x26 };

struct vtd {
    /* properties */
    uint8_t aw_bits;
    bool caching_mode, device_iotlb;
    int intremap, eim;

    bool has_remapping; /* of interrupts */
    struct bp_device *dev;
    struct bp_space *memory;
    struct bp_region *region; /* that devices' accesses are translated by */
    uint64_t root;    /* atomic: address of the root table that is used */
    uint32_t enabled; /* atomic: addresses are translated */
    /* Interrupts, atomic: the table that is used, as in its register; messages are remapped; those that name no entry
     * of it pass. */
    uint64_t interrupts;
    uint32_t remaps, compatible;
    struct bp_device *apic_bus;
    struct bp_space *messages; /* what functions write to local APICs goes there */
    /* Registers; written under the machine lock. */
    uint64_t root_address, queue_address, queue_head, queue_tail, interrupt_table;
    bool queue_runs; /* it is being worked off now; not saved */
    uint32_t status; /* of global commands */
    uint64_t context_command, iotlb_command, iotlb_address;
    uint32_t completed, completion[4]; /* ICS; IECTL, IEDATA, IEADDR, IEUADDR */
    pthread_mutex_t lock; /* of the rest: faults come on any thread; a leaf but for what takes messages */
    uint32_t fault_status, event[4]; /* FSTS; FECTL, FEDATA, FEADDR, FEUADDR */
    uint64_t record[2];
};

/* Destinations of 32 bits (extended interrupt mode). */
static inline bool vtd_has_wide(const struct vtd *s)
{
    return s->has_remapping && s->eim != 2;
}

extern const struct bp_iommu_ops vtd_ops;
extern const struct bp_apic_interface *const *const vtd_apic;
/* interrupts.c */
bool vtd_remap_ioapic(void *vtd, uint64_t entry, struct bp_apic_message *message);
void vtd_send(const struct vtd *s, uint64_t address, uint32_t data); /* an event of its own; [any] */
void vtd_interrupts_open(struct vtd *s); /* from attach() */
void vtd_interrupts_close(struct vtd *s);
/* Address types of the fault record: whose fault it was. */
enum vtd_request { VTD_UNTRANSLATED = 0, VTD_TRANSLATION = 1 };
/* registers.c: an access (or a request for a translation) failed; [any] */
void vtd_fault(struct vtd *s, uint32_t requester, uint64_t addr, bool write, enum vtd_fault why,
               enum vtd_request request);

#endif
