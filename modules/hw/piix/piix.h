// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the files of this folder share: the interfaces they use, and what they provide. */
#ifndef HW_PIIX_PIIX_H
#define HW_PIIX_PIIX_H

#include <errno.h>

#include <bp/command.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/chip/pc-host.h>

/* Imported in module.c, under the names that its macros give. */
extern const struct bp_isa_interface *const *const piix_isa;
struct bp_i2c_interface;
extern const struct bp_i2c_interface *const *const piix_i2c;
extern const struct bp_pci_interface *const *const piix_pci;
#define isa (*piix_isa)
#define pci (*piix_pci)

/* Byte accesses to port 0xcf9, inside the host's address port, go to `ops` (NULL: none). */
void i440fx_forward_cf9(struct bp_device *host, const struct bp_region_ops *ops, void *opaque);

void q35_forward_cf9(struct bp_device *host, const struct bp_region_ops *ops, void *opaque);
/* Where the pins of a slot from 25 on lead: four bits for each pin, PIRQA is 0. */
void q35_set_route(struct bp_device *host, unsigned slot, uint16_t route);

extern const struct bp_device_class i440fx_class, i440fx_pcihost_class, piix3_class,
    piix4_pm_class, mch_class, q35_pcihost_class, ich9_lpc_class, plain_pm_class;
extern const struct bp_pc_host_interface q35_table;
extern const struct bp_pc_pm_interface ich9_lpc_table;
extern const struct bp_pc_host_interface i440fx_table;
extern const struct bp_pc_pm_interface piix4_pm_table, plain_pm_table;

/* Ports 0xcf8 to 0xcff of a host bridge: PCI's configuration mechanism 1, and the reset control at 0xcf9
 * that lies inside of it (PCI Local Bus 3.0, 3.2.2.3). */
struct config_ports {
    struct bp_bus *bus; /* the root; set before a guest runs */
    uint32_t address;   /* port 0xcf8 */
    const struct bp_region_ops *cf9_ops; /* the south bridge's port behind it; NULL: none */
    void *cf9_opaque;
};

void config_ports_add(struct config_ports *p, struct bp_owner *owner, struct bp_region *io);
/* Byte accesses to port 0xcf9 go to `ops` (NULL: none). */
void config_ports_forward_cf9(struct config_ports *p, const struct bp_region_ops *ops, void *opaque);

#define CONFIG_PORTS_SAVE(STATE, FIELD) \
    { .name = "address", .kind = BP_STATE_UINT32, \
      .offset = offsetof(STATE, FIELD) + offsetof(struct config_ports, address), .count = 1, \
      .stride = sizeof(uint32_t) }

/*
 * Two ports that the PIIX3 (290562) and the ICH9 (316972) have alike: reset control at 0xcf9, and
 * coprocessor errors at 0xf0, where a write clears the error and pulses "ignne".
 */
#define COPROCESSOR_IRQ 13u

struct south_ports {
    struct bp_device *dev;
    void (*update)(struct bp_device *dev); /* the error came or went: IRQ 13 follows it */
    struct bp_irq *ignne;
    uint8_t reset_control;
    uint8_t coprocessor_error; /* latched */
};

/* Port 0xf0 and the output "ignne"; 0xcf9 is given to the host bridge: south_reset_ops, with this. */
void south_ports_init(struct south_ports *p, struct bp_device *dev, void (*update)(struct bp_device *dev));
void south_ports_reset(struct south_ports *p);
void south_ports_error(struct south_ports *p); /* FERR# has come */
extern const struct bp_region_ops south_reset_ops;

#define SOUTH_PORTS_SAVE(STATE, FIELD, MEMBER, SINCE) \
    { .name = #MEMBER, .kind = BP_STATE_UINT8, \
      .offset = offsetof(STATE, FIELD) + offsetof(struct south_ports, MEMBER), .count = 1, .stride = 1, \
      .since = SINCE }

#endif
