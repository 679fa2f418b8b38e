/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manual's command line has and nothing here offers yet: options, and properties of boards.
 * core/options/not-built.c refuses them by this, or accepts a form that asks for nothing that is
 * not so anyhow ("-vga none"). A real option or property of the same name, of the core or of any
 * module, comes first; its line here is then to be removed (the house test says so).
 */
#include <stddef.h>

#include "program.h"

#define WINDOWS "windows, and screens that are turned or begin with a size"
#define MIGRATION "migration and snapshots"
#define PRIVILEGES "giving up privileges"

/* `harmless`: see core/options/not-built.c. */
const struct bpc_not_built program_options_not_built[] = {
    {"numa", NULL, "node|dist|cpu|hmat-lb|hmat-cache,...", NULL, "NUMA nodes", NULL},
    {"add-fd", NULL, "fd=fd,set=set[,opaque=opaque]", NULL, "sets of file descriptors", NULL},
    {"set", NULL, "group.id.arg=value", NULL, "changing the arguments of an earlier option", NULL},
    {"iscsi", NULL, "[user=user][,...]", NULL, "iSCSI disks", NULL},
    {"fsdev", NULL, "local|synth,id=id[,...]", NULL, "shared folders (9p)", NULL},
    {"virtfs", NULL, "local|synth,mount_tag=tag[,...]", NULL, "shared folders (9p)", NULL},
    {"usbdevice", NULL, "name", NULL, "USB controllers and devices", NULL},
    {"spice", NULL, "option[,option...]", NULL, "a SPICE server", NULL},
    {"full-screen", NULL, NULL, NULL, WINDOWS, NULL},
    {"g", NULL, "WIDTHxHEIGHT[xDEPTH]", NULL, WINDOWS, NULL},
    {"rotate", NULL, "degrees", "degrees", WINDOWS, "degrees=0"},
    {"portrait", NULL, NULL, NULL, WINDOWS, NULL},
    {"tpmdev", NULL, "passthrough|emulator,id=id[,option...]", NULL, "TPM devices", NULL},
    {"dtb", NULL, "file", NULL, "boards with a device tree", NULL},
    {"compat", NULL, "[deprecated-input=policy][,...]", NULL, "policies for deprecated interfaces",
     "deprecated-input=accept deprecated-output=accept unstable-input=accept "
     "unstable-output=accept"},
    {"preconfig", NULL, NULL, NULL, "the state before the machine is made", NULL},
    {"dfilter", NULL, "range[,...]", NULL, "a filter of the log by address", NULL},
    {"seed", NULL, "number", NULL, "repeatable random numbers", NULL},
    {"xen-domid", NULL, "id", NULL, "Xen", NULL},
    {"xen-attach", NULL, NULL, NULL, "Xen", NULL},
    {"xen-domid-restrict", NULL, NULL, NULL, "Xen", NULL},
    {"loadvm", NULL, "tag", NULL, MIGRATION, NULL},
    {"incoming", NULL, "uri|defer", NULL, MIGRATION, NULL},
    {"only-migratable", NULL, NULL, NULL, MIGRATION, NULL},
    {"dump-vmstate", NULL, "file", NULL, MIGRATION, NULL},
    {"audio-help", NULL, NULL, NULL, "help of the environment variables that audio once had; see -audiodev help", NULL},
    {"icount", NULL, "[shift=n|auto][,...]", NULL, "a clock that counts instructions", NULL},
    {"runas", NULL, "user", NULL, PRIVILEGES, NULL},
    {"chroot", NULL, "dir", NULL, PRIVILEGES, NULL},
    {"run-with", NULL, "[async-teardown=on|off][,chroot=dir][,user=user]", NULL, PRIVILEGES,
     "async-teardown=off"},
    {"async-teardown", NULL, NULL, NULL, PRIVILEGES, NULL},
    {"sandbox", NULL, "on|off[,...]", "enable", "a sandbox of system calls",
     "!enable=off obsolete=* elevateprivileges=* spawn=* resourcecontrol=*"},
    {"prom-env", NULL, "variable=value", NULL, "boards with Open Firmware", NULL},
    {"semihosting", NULL, NULL, NULL, "semihosting", NULL},
    {"semihosting-config", NULL, "[enable=on|off][,...]", "enable", "semihosting",
     "!enable=off target=* userspace=off"},
    {"old-param", NULL, NULL, NULL, "ARM boards", NULL},
    {"trace", NULL, "[[enable=]pattern][,events=file][,file=file]", NULL, "trace points", NULL},
    {"plugin", NULL, "file=file[,arg=value]", NULL, "plugins of the translator", NULL},
    {"singlestep", NULL, NULL, NULL, "the translator", NULL},
    {"perfmap", NULL, NULL, NULL, "the translator", NULL},
    {"jitdump", NULL, NULL, NULL, "the translator", NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

/* Keys of -machine that the manual has; the part before a first dot. */
const struct bpc_not_built program_properties_not_built[] = {
    {"usb", NULL, "on|off", "usb", "USB controllers and devices", "usb=off"},
    {"acpi", NULL, "on|off", "acpi", "ACPI tables for this machine", "acpi=off|auto"},
    {"hpet", NULL, "on|off", "hpet", "an HPET for this machine", "hpet=off"},
    {"fd-bootchk", NULL, "on|off", "fd-bootchk", "firmware on this machine", "fd-bootchk=off"},
    {"i8042", NULL, "on|off", "i8042", "a keyboard controller for this machine", "i8042=off"},
    {"graphics", NULL, "on|off", "graphics", "a display adapter for this machine", "graphics=off"},
    {"vmport", NULL, "on|off|auto", "vmport", "the VMware port", "vmport=off|auto"},
    {"aes-key-wrap", NULL, "on|off", "aes-key-wrap", "boards of s390", "aes-key-wrap=off"},
    {"dea-key-wrap", NULL, "on|off", "dea-key-wrap", "boards of s390", "dea-key-wrap=off"},
    {"nvdimm", NULL, "on|off", "nvdimm", "persistent memory", "nvdimm=off"},
    {"hmat", NULL, "on|off", "hmat", "NUMA nodes", "hmat=off"},
    {"memory-encryption", NULL, "id", NULL, "encrypted guests", NULL},
    {"confidential-guest-support", NULL, "id", NULL, "encrypted guests", NULL},
    {"cxl", NULL, "on|off", "cxl", "CXL", "cxl=off"},
    {"cxl-fmw", NULL, "list", NULL, "CXL", NULL},
    {"sgx-epc", NULL, "list", NULL, "SGX enclaves", NULL},
    {"smm", NULL, "on|off|auto", "smm", "system management mode for this machine", "smm=off|auto"},
    {"kernel-irqchip", NULL, "on|off|split", "kernel-irqchip", "the KVM accelerator",
     "kernel-irqchip=off"},
    {"igd-passthru", NULL, "on|off", "igd-passthru", "Xen", "igd-passthru=off"},
    {"dtb", NULL, "file", NULL, "boards with a device tree", NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
