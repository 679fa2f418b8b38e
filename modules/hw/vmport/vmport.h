/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMware's port and what answers behind it. Private to the module; under the machine lock. */
#ifndef VMPORT_H
#define VMPORT_H

#include <bp/device.h>

/* Commands, in CX. */
#define VMPORT_MHZ 1u
#define VMPORT_VERSION 10u
#define VMPORT_UUID 19u
#define VMPORT_MEMORY 20u
#define VMPORT_TIME 23u
#define VMPORT_POINTER_DATA 39u
#define VMPORT_POINTER_STATUS 40u
#define VMPORT_POINTER_COMMAND 41u
#define VMPORT_HZ 45u
#define VMPORT_VCPU_INFO 68u

struct vmport_registers {
    uint32_t eax, ebx, ecx, edx;
};

struct vmport {
    uint32_t version, type; /* properties */
    struct vmmouse *mouse;  /* or NULL */
};

/* Commands 39 to 41; false: it is none of these. */
bool vmmouse_command(struct vmmouse *s, unsigned command, struct vmport_registers *r);

extern const struct bp_device_class vmmouse_class;
struct bp_input_interface;
extern const struct bp_input_interface *const *const vmport_input;
struct bp_i8042_interface;
extern const struct bp_i8042_interface *const *const vmport_i8042;

#endif
