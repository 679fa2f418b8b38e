// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the files of the PCI bus share: the bus's state, a function's state, register names. */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include <pthread.h>

#include <bp/command.h>
#include <bp/bus/pci.h>
#include <bp/loop.h>

#define PCI_CONFIG_SIZE 256u
#define PCI_EXPRESS_CONFIG_SIZE 4096u
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
    /* of bridges, PCI-to-PCI Bridge 1.2 chapter 3.2 */
    PCI_PRIMARY = 0x18,
    PCI_SECONDARY = 0x19,
    PCI_SUBORDINATE = 0x1a,
    PCI_SECONDARY_LATENCY = 0x1b,
    PCI_IO_BASE = 0x1c,
    PCI_IO_LIMIT = 0x1d,
    PCI_SECONDARY_STATUS = 0x1e,
    PCI_MEMORY_BASE = 0x20,
    PCI_MEMORY_LIMIT = 0x22,
    PCI_PREFETCH_BASE = 0x24,
    PCI_PREFETCH_LIMIT = 0x26,
    PCI_PREFETCH_BASE_HIGH = 0x28,
    PCI_PREFETCH_LIMIT_HIGH = 0x2c,
    PCI_BRIDGE_ROM = 0x38,
    PCI_BRIDGE_CONTROL = 0x3e,
};
#define PCI_HEADER_END 0x40u
#define PCI_CAP_POWER 0x01u
#define PCI_CAP_MSI 0x05u
#define PCI_CAP_EXPRESS 0x10u
#define PCI_CAP_MSIX 0x11u
#define PCI_CAP_ADVANCED 0x13u

#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT 0x0008u
#define PCI_STATUS_CAPABILITIES 0x0010u

struct pci_bar {
    struct bp_region *region; /* NULL: none */
    uint64_t size, address; /* the latter while mapped */
    uint32_t flags;  /* BP_PCI_BAR_* */
    bool mapped;
};

enum { PCI_WINDOW_IO, PCI_WINDOW_MEMORY, PCI_WINDOW_PREFETCH, PCI_WINDOW_VGA_MEMORY,
       PCI_WINDOW_VGA_IO, PCI_WINDOW_VGA_IO2, PCI_WINDOWS };

struct pci_window { /* of a bridge: part of the secondary bus's space, in the primary's */
    struct bp_region *alias;
    uint64_t base, size; /* while mapped */
    bool mapped;
};

struct pci_bus {
    struct bp_pci_host host;  /* the root's as it was made; memory and io are those of this bus */
    struct bp_space *messages; /* of a root: where those to local APICs go; NULL: as other accesses */
    struct pci_bus *root;     /* itself, or the one that leads to it: has the space that accesses go to */
    struct bp_device *fn[256];
    struct bp_device *bridge; /* the function that this bus is behind; NULL: a root */
    unsigned bridges;         /* of its functions */
    uint8_t first_slot, slots;
    bool express;
    bool off; /* its slot has no power: nobody answers, what is there is in reset */
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
    struct pci_msix_fd *fds; /* msix-fd.c */
};

struct pci_ats; /* a function's cache of translations */

/* Kept with each function on the bus. */
struct pci_fn {
    char *addr;        /* as the user gave it */
    char *romfile;
    char *failover_pair_id; /* of the standby, or NULL */
    uint32_t rombar;
    bool multifunction;
    uint8_t devfn;
    bool placed;
    bool intx, intx_out; /* level the device gives; level passed on to the host */
    uint32_t size; /* bytes of configuration space; of each of the arrays, which lie behind `config` */
    uint8_t *config, *writable, *write1clear;
    uint8_t *live, *sticky; /* bits that the device changes; that only the machine's reset touches */
    uint8_t *initial;       /* what a reset brings back */
    uint8_t *used;          /* bytes that capabilities take */
    uint16_t last_extended; /* the last extended capability, 0: none */
    uint8_t express, power, advanced; /* where these capabilities are, 0: none */
    uint8_t express_type;             /* BP_PCI_EXPRESS_*, 0: a conventional function */
    struct bp_device *device;
    void (*reading)(struct bp_device *dev, unsigned offset, unsigned size); /* a level's, or NULL */
    void (*written)(struct bp_device *dev, unsigned offset, unsigned size);
    struct bp_bus *secondary;         /* a bridge's */
    struct pci_window window[PCI_WINDOWS];
    struct pci_bar bar[PCI_BARS];
    struct pci_bar rom; /* flags: 0 */
    uint32_t romsize;   /* as the user gave it */
    struct pci_msi msi;
    struct pci_msix msix;
    struct pci_ats *ats; /* NULL: it has none */
    /*
     * Guards the bytes of `config` that a guest may write, `msi` and `msix`: messages are sent on
     * any thread. A leaf: nothing is called under it but bp_deferred_schedule(), bp_space_post() and what msix-fd.c
     * calls, which are such, too.
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

/* A byte that any thread looks at without the lock: bus numbers, who may be a master. */
static inline uint8_t pci_peek(const uint8_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void pci_set32(uint8_t *p, uint32_t v)
{
    pci_set16(p, (uint16_t)v);
    pci_set16(p + 2, (uint16_t)(v >> 16));
}

extern const struct bp_bus_class pci_class, pcie_class;

/* The bus a device sits on, NULL when it is no PCI bus. */
struct pci_bus *pci_bus_of(struct bp_device *dev);
/* Where its accesses go: to its own cache of translations, or to the next. [any] */
struct bp_space *pci_dma_of(struct bp_device *dev);
/* The root bus's, as of now: an IOMMU may come later than a device. [any] */
struct bp_space *pci_root_dma(struct bp_device *dev);
static inline struct pci_fn *pci_fn_of(struct bp_device *dev)
{
    return (struct pci_fn *)bp_device_bus_level(dev, &pci_class);
}
/* ---- config.c: registers ---- */
uint32_t pci_config_read(struct bp_device *dev, unsigned offset, unsigned size);
void pci_config_write(struct bp_device *dev, unsigned offset, uint32_t value, unsigned size);
/* Makes the space and fills in the header from the class's table; free: no effect when there is none. */
int pci_config_init(struct bp_device *dev, struct bp_error *err);
void pci_config_free(struct pci_fn *fn);
/* What stands there now is what a reset brings back. */
void pci_config_settled(struct pci_fn *fn);
void pci_config_reset(struct bp_device *dev, enum bp_reset_scope scope);
/* Takes over from a saved configuration space what a guest or the device may have changed. */
void pci_config_load(struct bp_device *dev, const uint8_t *saved);
void pci_set_config(struct bp_device *dev, unsigned offset, unsigned width, uint32_t clear, uint32_t set);
void pci_add_fields(struct bp_device *dev, unsigned base, const struct bp_pci_field *fields);

/* ---- capability.c ---- */
int pci_add_capability(struct bp_device *dev, uint8_t id, unsigned size, unsigned *ret_offset,
                       struct bp_error *err);
int pci_add_capabilities(struct bp_device *dev, const struct bp_pci_capability *table,
                         struct bp_error *err);
unsigned pci_capability(struct bp_device *dev, uint16_t id, bool extended);
/* Those that the class's flags ask for: power management, function level reset, PCI Express. */
int pci_standard_capabilities(struct bp_device *dev, struct bp_error *err);
/* In D0: it decodes and may be a master. Lock held, or the machine lock. */
bool pci_is_awake(const struct pci_fn *fn);
/* After a write: puts back what no power state is; true: the function is to be reset. Lock held. */
bool pci_capabilities_written(struct pci_fn *fn, unsigned offset, unsigned size, uint8_t old_power);

/* ---- bar.c ---- */
/* Where the BAR points now; false when its space is off or the address cannot be decoded. */
bool pci_bar_address(const struct pci_fn *fn, unsigned n, uint64_t *ret_address);
bool pci_rom_address(const struct pci_fn *fn, uint64_t *ret_address);
/* Puts BARs where configuration space says; take: out of the way. */
void pci_update_bars(struct bp_device *dev);
void pci_take_bars(struct pci_fn *fn);
int pci_add_bar(struct bp_device *dev, unsigned n, unsigned flags, struct bp_region *region,
                struct bp_error *err);
int pci_table_bars(struct bp_device *dev, struct bp_error *err); /* the class's */
int pci_add_rom(struct bp_device *dev, struct bp_error *err);

/* ---- bridge.c ---- */
int pci_new_bus(struct bp_device *bridge, const struct bp_pci_secondary *what,
                struct bp_bus **ret_bus, struct bp_error *err);
void pci_bridge_header(struct pci_fn *fn);
/* Puts the windows and the secondary bus's reset as the registers say. */
void pci_update_bridge(struct bp_device *dev);
void pci_take_windows(struct pci_fn *fn);
unsigned pci_bus_number(const struct pci_bus *bus);
struct pci_bus *pci_bus_numbered(struct pci_bus *bus, unsigned number);
/* The pin as the slot's bus and all bridges on the way have it. */
void pci_update_intx(struct bp_device *dev);
uint16_t pci_requester(struct bp_device *dev);
void pci_set_bus_power(struct bp_bus *bus, bool on);
/* A window of the bridge: inclusive; false: closed. */
bool pci_window_range(const struct pci_fn *fn, unsigned window, uint64_t *ret_base, uint64_t *ret_limit);

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
/* For a message that is pending and allowed; lock held. SENT, BEGUN: it is no longer pending; it has arrived, or
 * pci_message_send() follows once the lock is released. HELD: it stays so, and the main loop tries again. */
enum pci_message { PCI_MESSAGE_HELD, PCI_MESSAGE_SENT, PCI_MESSAGE_BEGUN };
enum pci_message pci_message_begin(struct pci_access *a, struct pci_fn *fn, uint64_t address, uint32_t data);
struct bp_space *pci_message_space(struct bp_device *dev, uint64_t address); /* where it goes */
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
/* Nothing holds the vector's messages back; what they are. Lock held. */
bool pci_msix_may_send(const struct pci_fn *fn, unsigned vector, uint64_t *ret_address, uint32_t *ret_data);

/* ---- msix-fd.c ---- */
int pci_msix_fd(struct bp_device *dev, unsigned vector, int fd, void (*changed)(void *opaque, bool taken),
                void *opaque);
void pci_msix_fds_look(struct pci_fn *fn); /* what may be sent has changed, or where it goes. Lock held */
void pci_msix_fds_behind(struct bp_device *bridge); /* the same of all behind it */
void pci_msix_fds_free(struct pci_fn *fn);

/* ---- ats.c ---- */
int pci_add_ats(struct bp_device *dev, struct bp_error *err);
/* After its registers changed (or were reset, or loaded); no effect when there is none, like the next two. */
void pci_ats_follow(struct pci_fn *fn);
void pci_ats_free(struct pci_fn *fn);
void pci_ats_moved(struct pci_fn *fn); /* the root bus's accesses go elsewhere */
struct bp_space *pci_ats_space(const struct pci_ats *ats);

/* ---- state.c ---- */
extern const struct bp_state_table pci_fn_state; /* over struct pci_fn */

/* Name of a class code for people: "Ethernet controller". */
const char *pci_class_name(uint16_t class_code);

/* Other names of descriptors in info.c, for the module's list. */
extern const struct bp_command pci_query_command;
extern const struct bp_hmp_command pci_info_command;

#endif
