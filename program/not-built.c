/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manual's command line has and nothing here offers yet: options, and properties of boards.
 * core/options/not-built.c refuses them by this, or accepts a form that asks for nothing that is
 * not so anyhow ("-vga none"). A real option or property of the same name, of the core or of any
 * module, comes first; its line here is then to be removed (the house test says so).
 */
#include <stddef.h>

#include "program.h"

#define WINDOWS "screens that are turned or begin with a size"
#define MIGRATION "migration and snapshots"
#define EXPORTS "disks for others, over NBD"
#define CAPTURES "recordings of what the guest plays"
#define VIRTIO_VIEW "a view into virtio devices and their queues"

/* `harmless`: see core/options/not-built.c. */
const struct bpc_not_built program_options_not_built[] = {
    {"fsdev", NULL, "local|synth,id=id[,...]", NULL, "shared folders (9p)", NULL},
    {"virtfs", NULL, "local|synth,mount_tag=tag[,...]", NULL, "shared folders (9p)", NULL},
    {"g", NULL, "WIDTHxHEIGHT[xDEPTH]", NULL, WINDOWS, NULL},
    {"rotate", NULL, "degrees", "degrees", WINDOWS, "degrees=0"},
    {"portrait", NULL, NULL, NULL, WINDOWS, NULL},
    {"tpmdev", NULL, "passthrough|emulator,id=id[,option...]", NULL, "TPM devices", NULL},
    {"dtb", NULL, "file", NULL, "boards with a device tree", NULL},
    {"xen-domid", NULL, "id", NULL, "Xen", NULL},
    {"xen-attach", NULL, NULL, NULL, "Xen", NULL},
    {"xen-domid-restrict", NULL, NULL, NULL, "Xen", NULL},
    {"loadvm", NULL, "tag", NULL, MIGRATION, NULL},
    {"incoming", NULL, "uri|defer", NULL, MIGRATION, NULL},
    {"only-migratable", NULL, NULL, NULL, MIGRATION, NULL},
    {"dump-vmstate", NULL, "file", NULL, MIGRATION, NULL},
    {"audio-help", NULL, NULL, NULL, "help of the environment variables that audio once had; see -audiodev help", NULL},
    {"prom-env", NULL, "variable=value", NULL, "boards with Open Firmware", NULL},
    {"semihosting", NULL, NULL, NULL, "semihosting", NULL},
    {"semihosting-config", NULL, "[enable=on|off][,...]", "enable", "semihosting",
     "!enable=off target=* userspace=off"},
    {"old-param", NULL, NULL, NULL, "ARM boards", NULL},
    {"plugin", NULL, "file=file[,arg=value]", NULL, "plugins of the translator", NULL},
    {"singlestep", NULL, NULL, NULL, "the translator", NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

/* Keys of -machine that the manual has; the part before a first dot. */
const struct bpc_not_built program_properties_not_built[] = {
    {"vmport", NULL, "on|off|auto", "vmport", "VMware's port for this machine", "vmport=off|auto"},
    {"usb", NULL, "on|off", "usb", "USB controllers and devices", "usb=off"},
    {"acpi", NULL, "on|off", "acpi", "ACPI tables for this machine", "acpi=off|auto"},
    {"hpet", NULL, "on|off", "hpet", "an HPET for this machine", "hpet=off"},
    {"fd-bootchk", NULL, "on|off", "fd-bootchk", "firmware on this machine", "fd-bootchk=off"},
    {"i8042", NULL, "on|off", "i8042", "a keyboard controller for this machine", "i8042=off"},
    {"graphics", NULL, "on|off", "graphics", "a display adapter for this machine", "graphics=off"},
    {"aes-key-wrap", NULL, "on|off", "aes-key-wrap", "boards of s390", "aes-key-wrap=off"},
    {"dea-key-wrap", NULL, "on|off", "dea-key-wrap", "boards of s390", "dea-key-wrap=off"},
    {"memory-encryption", NULL, "id", NULL, "encrypted guests", NULL},
    {"confidential-guest-support", NULL, "id", NULL, "encrypted guests", NULL},
    {"cxl", NULL, "on|off", "cxl", "CXL", "cxl=off"},
    {"cxl-fmw", NULL, "list", NULL, "CXL", NULL},
    {"sgx-epc", NULL, "list", NULL, "SGX enclaves", NULL},
    {"smm", NULL, "on|off|auto", "smm", "system management mode for this machine", "smm=off|auto"},
    {"igd-passthru", NULL, "on|off", "igd-passthru", "Xen", "igd-passthru=off"},
    {"dtb", NULL, "file", NULL, "boards with a device tree", NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

/* Commands of the manual's monitor, in alphabetical order. */
const struct bpc_hmp_missing program_hmp_not_built[] = {
    {"boot_set", "a change of the order of booting while it runs"},
    {"calc_dirty_rate", MIGRATION},
    {"cancel_vcpu_dirty_limit", MIGRATION},
    {"client_migrate_info", MIGRATION},
    {"delvm", MIGRATION},
    {"dump-skeys", "boards of other architectures"},
    {"dumpdtb", "boards with a device tree"},
    {"getfd", "descriptors that come to the human monitor; the machine protocol's getfd takes them"},
    {"gpa2hpa", "a host's page behind a guest's address"},
    {"info accel", "accelerator statistics"},
    {"info capture", CAPTURES},
    {"info cmma", "boards of other architectures"},
    {"info cryptodev", "cryptographic devices"},
    {"info dirty_rate", MIGRATION},
    {"info migrate", MIGRATION},
    {"info migrate_capabilities", MIGRATION},
    {"info migrate_parameters", MIGRATION},
    {"info profile", "the translator"},
    {"info rdma", MIGRATION},
    {"info replay", "records of a run"},
    {"info rocker", "boards of other architectures"},
    {"info rocker-of-dpa-flows", "boards of other architectures"},
    {"info rocker-of-dpa-groups", "boards of other architectures"},
    {"info rocker-ports", "boards of other architectures"},
    {"info roms", "a list of what firmware and kernels were loaded where"},
    {"info sev", "encrypted guests"},
    {"info sgx", "SGX enclaves"},
    {"info skeys", "boards of other architectures"},
    {"info snapshots", MIGRATION},
    {"info tlb", "what the TLB holds as a list; info mem has the page tables"},
    {"info tpm", "TPM devices"},
    {"info usbhost", "USB devices of the host"},
    {"info vcpu_dirty_limit", MIGRATION},
    {"info via", "boards of other architectures"},
    {"info virtio", VIRTIO_VIEW},
    {"info virtio-queue-element", VIRTIO_VIEW},
    {"info virtio-queue-status", VIRTIO_VIEW},
    {"info virtio-status", VIRTIO_VIEW},
    {"info virtio-vhost-queue-status", VIRTIO_VIEW},
    {"loadvm", MIGRATION},
    {"mce", "machine checks and PCIe errors that are injected"},
    {"migrate", MIGRATION},
    {"migrate_cancel", MIGRATION},
    {"migrate_continue", MIGRATION},
    {"migrate_incoming", MIGRATION},
    {"migrate_pause", MIGRATION},
    {"migrate_recover", MIGRATION},
    {"migrate_set_capability", MIGRATION},
    {"migrate_set_parameter", MIGRATION},
    {"migrate_start_postcopy", MIGRATION},
    {"nbd_server_add", EXPORTS},
    {"nbd_server_remove", EXPORTS},
    {"nbd_server_start", EXPORTS},
    {"nbd_server_stop", EXPORTS},
    {"one-insn-per-tb", "the translator"},
    {"pcie_aer_inject_error", "machine checks and PCIe errors that are injected"},
    {"qemu-io", "access to a disk with the commands of qemu-io"},
    {"replay_break", "records of a run"},
    {"replay_delete_break", "records of a run"},
    {"replay_seek", "records of a run"},
    {"savevm", MIGRATION},
    {"set_vcpu_dirty_limit", MIGRATION},
    {"singlestep", "the translator"},
    {"stopcapture", CAPTURES},
    {"wavcapture", CAPTURES},
    {"x_colo_lost_heartbeat", MIGRATION},
    {"xen-event-inject", "Xen"},
    {"xen-event-list", "Xen"},
    {NULL, NULL},
};
