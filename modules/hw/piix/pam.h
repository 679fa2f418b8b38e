// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * 0xa0000-0xfffff as the PAM and SMRAM registers of Intel's host bridges have it: the same layout in
 * the 82441FX (290549, 3.2.17 and 3.2.18) and in the Q35 MCH (316966, 5.1.13 to 5.1.23).
 */
#ifndef HW_PAM_H
#define HW_PAM_H

#include <bp/memory.h>

#define PAM_REGISTERS 7u
#define PAM_SEGMENTS 13

struct pam_segment { /* of 0xc0000-0xfffff */
    struct pam *pam;
    uint32_t base, size;
    struct bp_region *ram;   /* alias of main memory */
    struct bp_region *split; /* reads from PCI, writes to main memory */
};

struct pam {
    struct bp_space *pci_space;
    struct bp_region *system, *ram, *smram; /* NULL: set_memory() was not called yet */
    struct pam_segment segment[PAM_SEGMENTS];
};

int pam_set_memory(struct pam *pam, struct bp_owner *owner, struct bp_region *pci_root,
                   struct bp_space *pci_space, struct bp_region *system, struct bp_region *ram,
                   struct bp_error *err);
/* registers: PAM0 to PAM6; open: 0xa0000 is main memory. No effect before pam_set_memory(). */
void pam_update(struct pam *pam, const uint8_t *registers, bool open);
void pam_shadow(uint8_t *registers); /* all of it RAM, to read and to write */

#endif
