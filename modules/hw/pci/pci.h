// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the files of the PCI bus share: the bus's state, a function's state, register names. */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include <pthread.h>

#include <bp/command.h>
#include <bp/bus/pci.h>
#include <bp/loop.h>

#define PCI_CONFIG_SIZE 256u
#define PCI_BARS 6

enum { /* configuration registers, PCI Local Bus 3.0 chapter 6.1 */
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_PROG_IF = 0x09,
    PCI_CLASS = 0x0a,
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_ROM = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};

#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT 0x0008u
#define PCI_STATUS_CAPABILITIES 0x0010u

struct pci_bar {
    struct bp_region *region; /* NULL: none */
    uint64_t size;
    uint32_t flags;  /* BP_PCI_BAR_* */
    bool mapped;
};

struct pci_bus {
    struct bp_pci_host host;
    struct bp_device *fn[256];
    uint8_t number;
};

struct pci_msi {
    uint8_t at; /* its capability; 0: none */
    bool masking;
    uint32_t pending;
};

struct pci_msix {
    uint16_t vectors; /* 0: none */
    uint8_t at;
    uint8_t *table; /* owned: 16 bytes for each vector, then the pending bits */
    uint32_t size;  /* of both in bytes */
    uint8_t *pba;
};

/* Kept with each function on the bus. */
struct pci_fn {
    char *addr;        /* as the user gave it */
    char *romfile;
    uint32_t rombar;
    bool multifunction;
    uint8_t devfn;
    bool placed;
    bool intx, intx_out; /* level the device gives; level passed on to the host */
    uint16_t next_capability; /* first free byte for capabilities */
    uint8_t config[PCI_CONFIG_SIZE], writable[PCI_CONFIG_SIZE], write1clear[PCI_CONFIG_SIZE];
    struct pci_bar bar[PCI_BARS];
    struct pci_msi msi;
    struct pci_msix msix;
    /*
     * Guards the bytes of `config` that a guest may write, `msi` and `msix`: messages are sent on
     * any thread. A leaf: nothing is called under it but bp_deferred_schedule().
     */
    pthread_mutex_t lock;
    struct bp_deferred *late; /* sends what a message inside of a message left pending */
    uint8_t saved_devfn;                /* while saving and loading (state.c) */
    struct bp_state_bytes saved_config; /* likewise */
};

static inline void pci_lock(struct pci_fn *fn)
{
    pthread_mutex_lock(&fn->lock);
}

static inline void pci_unlock(struct pci_fn *fn)
{
    pthread_mutex_unlock(&fn->lock);
}

static inline uint16_t pci_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t pci_get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void pci_set16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void pci_set32(uint8_t *p, uint32_t v)
{
    pci_set16(p, (uint16_t)v);
    pci_set16(p + 2, (uint16_t)(v >> 16));
}

extern const struct bp_bus_class pci_class;

/* The bus a device sits on, NULL when it is no PCI bus. */
struct pci_bus *pci_bus_of(struct bp_device *dev);
static inline struct pci_fn *pci_fn_of(struct bp_device *dev)
{
    return (struct pci_fn *)bp_device_bus_level(dev, &pci_class);
}
/* Where the BAR points now; false when its space is off or the address cannot be decoded. */
bool pci_bar_address(const struct pci_fn *fn, unsigned n, uint64_t *ret_address);
/* Puts BARs and the interrupt pin where configuration space says. */
void pci_update_bars(struct bp_device *dev);
void pci_update_intx(struct bp_device *dev);

uint32_t pci_config_read(struct bp_device *dev, unsigned offset, unsigned size);
void pci_config_write(struct bp_device *dev, unsigned offset, uint32_t value, unsigned size);
/* Fills in the header and what of it a guest may write; also what a reset does. */
void pci_config_init(struct bp_device *dev);
void pci_config_reset(struct bp_device *dev);
/* Takes over from a saved configuration space what a guest may have written. */
void pci_config_load(struct bp_device *dev, const uint8_t *saved);

int pci_add_bar(struct bp_device *dev, unsigned n, unsigned flags, struct bp_region *region,
                struct bp_error *err);
int pci_add_capability(struct bp_device *dev, uint8_t id, unsigned size, unsigned *ret_offset,
                       struct bp_error *err);

/* ---- master.c: [any] ---- */
/* An access that a function makes as a bus master, on the stack of the thread that makes it. */
struct pci_access {
    struct pci_fn *fn;
    bool message;
    struct pci_access *outer;
};
/* Around each: false when this thread is inside of one of the same function and kind already,
 * that is, when what a guest gave as an address led back to the function's own registers. */
bool pci_access_begin(struct pci_access *a, struct pci_fn *fn, bool message);
void pci_access_end(struct pci_access *a);
int pci_dma_read(struct bp_device *dev, uint64_t addr, void *buf, uint64_t len);
int pci_dma_write(struct bp_device *dev, uint64_t addr, const void *buf, uint64_t len);
bool pci_is_master(const struct pci_fn *fn); /* lock held */
void pci_messages_init(struct bp_device *dev); /* when MSI or MSI-X is added */
/* For a message that is pending and allowed; lock held. True: it is no longer pending, and
 * pci_message_send() follows once the lock is released. False: it stays so, and the main loop
 * tries again. */
bool pci_message_begin(struct pci_access *a, struct pci_fn *fn);
void pci_message_send(struct bp_device *dev, struct pci_access *a, uint64_t address, uint32_t data);

/* ---- msi.c ---- */
int pci_msi_init(struct bp_device *dev, unsigned vectors, bool masking, struct bp_error *err);
bool pci_msi_enabled(struct bp_device *dev);
void pci_msi_notify(struct bp_device *dev, unsigned vector);
void pci_msi_written(struct bp_device *dev); /* registers changed: send what may go now */
void pci_msi_reset(struct bp_device *dev);
void pci_msi_loaded(struct pci_fn *fn); /* pending bits came from saved state */

/* ---- msix.c ---- */
int pci_msix_init(struct bp_device *dev, unsigned vectors, unsigned bar, uint32_t table,
                  uint32_t pba, struct bp_error *err);
int pci_msix_init_bar(struct bp_device *dev, unsigned vectors, unsigned bar, struct bp_error *err);
bool pci_msix_enabled(struct bp_device *dev);
void pci_msix_notify(struct bp_device *dev, unsigned vector);
void pci_msix_written(struct bp_device *dev);
void pci_msix_reset(struct bp_device *dev);
void pci_msix_free(struct bp_device *dev); /* no effect when there is none */
void pci_msix_loaded(struct pci_fn *fn); /* the table came from saved state */

/* ---- state.c ---- */
extern const struct bp_state_table pci_fn_state; /* over struct pci_fn */

/* Name of a class code for people: "Ethernet controller". */
const char *pci_class_name(uint16_t class_code);

/* Other names of descriptors in info.c, for the module's list. */
extern const struct bp_command pci_query_command;
extern const struct bp_hmp_command pci_info_command;

#endif
