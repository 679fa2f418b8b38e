/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's I/O port 0x5658, by which a guest asks its emulator: IN with the magic number in EAX, a command in CX and
 * an argument in EBX; answers are in EAX to EDX (numbers and registers as Linux's <asm/vmware.h> and
 * drivers/input/mouse/vmmouse.c and open-vm-tools' backdoor_def.h have them). Answered are the versions, memory,
 * clocks, identity, and the pointer (vmmouse.c); others, such as messages to the host, clipboard and restricting who
 * may ask, as unknown: all ones in EAX.
 */
#include "vmport.h"

#include <bp/bus/isa.h>
#include <bp/clock.h>
#include <bp/exact/machine.h>
#include <bp/exact/x86.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(input, struct bp_input_interface, "input", 1);
BP_USE(i8042, struct bp_i8042_interface, "i8042", 1);
const struct bp_input_interface *const *const vmport_input = &input;
const struct bp_i8042_interface *const *const vmport_i8042 = &i8042;

#define PORT 0x5658u
#define MAGIC 0x564d5868u
#define UNKNOWN 0xffffffffu
#define VCPU_LEGACY_X2APIC (1u << 3)

static uint32_t word_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void tell_uuid(struct bp_machine *machine, struct vmport_registers *r)
{
    const uint8_t *uuid = bp_machine_uuid(machine);

    r->eax = word_at(uuid);
    r->ebx = word_at(uuid + 4);
    r->ecx = word_at(uuid + 8);
    r->edx = word_at(uuid + 12);
}

/* The host's time, UTC: seconds, microseconds, the greatest lag in microseconds, minutes west of Greenwich. */
static void tell_time(struct vmport_registers *r)
{
    int64_t us = bp_clock_ns(BP_CLOCK_HOST) / 1000;

    r->eax = (uint32_t)(us / 1000000);
    r->ebx = (uint32_t)(us % 1000000);
    r->ecx = 1000000;
    r->edx = 0;
}

/* Of the time stamp counter in EBX:EAX, and of the local APICs' timers, which count with it. */
static void tell_hz(const struct bp_x86_cpu *x, struct vmport_registers *r)
{
    if (x->tsc_hz > UINT32_MAX) {
        r->eax = UNKNOWN;
        return;
    }
    r->eax = r->ecx = (uint32_t)x->tsc_hz;
    r->ebx = 0;
}

static void answer(struct vmport *s, const struct bp_x86_cpu *x, struct vmport_registers *r)
{
    struct bp_machine *machine = bp_cpu_machine(x->cpu);
    unsigned command = r->ecx & 0xffff;

    switch (command) {
    case VMPORT_MHZ: r->eax = (uint32_t)(x->tsc_hz / 1000000); return;
    case VMPORT_VERSION:
        r->eax = s->version;
        r->ebx = MAGIC;
        r->ecx = s->type;
        return;
    case VMPORT_UUID: tell_uuid(machine, r); return;
    case VMPORT_MEMORY: r->eax = (uint32_t)(bp_machine_ram_size(machine) >> 20); return;
    case VMPORT_TIME: tell_time(r); return;
    case VMPORT_HZ: tell_hz(x, r); return;
    case VMPORT_VCPU_INFO: r->eax = VCPU_LEGACY_X2APIC; return;
    default: break;
    }
    if (!s->mouse || !vmmouse_command(s->mouse, command, r))
        r->eax = UNKNOWN;
}

static uint64_t vmport_read(void *opaque, uint64_t addr, unsigned size)
{
    struct bp_cpu *cpu = bp_cpu_port_begin();
    struct vmport_registers r;
    struct bp_x86_cpu *x;

    (void)addr, (void)size;
    if (!cpu)
        return UNKNOWN; /* a monitor's or a test's: there are no registers */
    x = bp_cpu_state(cpu);
    r = (struct vmport_registers){.eax = (uint32_t)x->gpr[BP_RAX], .ebx = (uint32_t)x->gpr[BP_RBX],
                                  .ecx = (uint32_t)x->gpr[BP_RCX], .edx = (uint32_t)x->gpr[BP_RDX]};
    if (r.eax != MAGIC)
        return UNKNOWN;
    answer(opaque, x, &r);
    if (r.eax != UNKNOWN) {
        x->gpr[BP_RAX] = r.eax;
        x->gpr[BP_RBX] = r.ebx;
        x->gpr[BP_RCX] = r.ecx;
        x->gpr[BP_RDX] = r.edx;
        bp_cpu_port_end(cpu);
    }
    return r.eax;
}

static void vmport_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque, (void)addr, (void)value, (void)size; /* commands are given by IN */
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = vmport_read, .write = vmport_write,
                                         .min_access = 4, .max_access = 4, .valid_min = 4, .valid_max = 4};

static int vmport_attach(struct bp_device *dev, struct bp_error *err)
{
    return isa->add_ports(dev, PORT, 4, "vmport", &ops, bp_device_state(dev), NULL, err);
}

static const struct bp_field props[] = {
    BP_PROP("vmware-vmx-version", UINT32, struct vmport, version, "6", "version that command 10 tells"),
    BP_PROP_RANGE("vmware-vmx-type", UINT32, struct vmport, type, "2", 0, 255, "product that command 10 tells"),
    BP_FIELDS_END};

BP_BOARD_DEVICE(vmport_class, "vmport", "isa", "VMware's port", struct vmport, props, NULL, .category = "misc",
                .attach = vmport_attach);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(input, "input", 1),
                                           BP_IMPORT(i8042, "i8042", 1), {0}};
BP_MODULE("hw-vmport", "VMware's port and mouse", imports, {BP_PROVIDE_DEVICE, &vmport_class},
          {BP_PROVIDE_DEVICE, &vmmouse_class});
