/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The versioned names of the boards pc and q35. A version promises that a guest sees the same machine
 * under later releases: what a release changes for guests, a new version has, and the older ones name
 * in their compatibility table what it was before.
 */
#define BP_SHARED
#include "acpi-cpuhp.h"
#include "acpi-memhp.h"
#include "acpi-ost.h"
#include "acpi-pcihp.h"
#include "isa-bridge.h"
#include "pc.h"

#include <bp/command.h>
#include <bp/level.h>

struct no_state {
    char none;
};

/* What clients know as the parents of every PC. */
BP_LEVEL(x86_machine, "x86-machine", "machine", "Machines with x86 processors", struct no_state, NULL,
         NULL);
BP_LEVEL(generic_pc, "generic-pc-machine", "x86-machine", "Standard PCs", struct no_state, NULL, NULL);

#define OLD "versions up to 2.12 go with the next release: take a newer one"

/*
 * What a version's guests saw otherwise than those of the next one: the last table of a version's list is its own,
 * those of newer versions come before it. Only what is there today has lines.
 */
#define COMPAT(VERSION, ...) static const struct bp_compat compat_##VERSION[] = {__VA_ARGS__, {NULL, NULL, NULL}}
COMPAT(9_0, {"pvpanic", "events", "3"}, {"pvpanic-pci", "events", "3"},
       {"generic-pc-machine", "smbios-entry-point-type", "64"});
COMPAT(8_0, {"generic-pc-machine", "smbios-entry-point-type", "32"});
COMPAT(7_1, {"virtio-rng-pci", "vectors", "0"});
COMPAT(6_0, {"qemu64-x86_64-cpu", "family", "6"}, {"qemu64-x86_64-cpu", "model", "6"},
       {"qemu64-x86_64-cpu", "stepping", "3"});
COMPAT(5_2, {"virtio-blk-pci", "report-discard-granularity", "off"}, {"virtio-net-pci", "vectors", "3"});
COMPAT(5_1, {"pvpanic", "events", "1"});
COMPAT(4_2, {"virtio-blk-pci", "queue-size", "128"}, {"virtio-blk-pci", "seg-max-adjust", "off"},
       {"virtio-scsi-pci", "virtqueue_size", "128"}, {"virtio-scsi-pci", "seg_max_adjust", "off"});
COMPAT(4_0, {"VGA", "edid", "off"}, {"secondary-vga", "edid", "off"}, {"bochs-display", "edid", "off"});
COMPAT(3_1, {"virtio-blk-pci", "discard", "off"}, {"virtio-blk-pci", "write-zeroes", "off"},
       {"Opteron_G5-x86_64-cpu", "rdtscp", "off"}, {"Cascadelake-Server-x86_64-cpu", "stepping", "5"});
COMPAT(3_0, {"Skylake-Server-x86_64-cpu", "pku", "off"});
COMPAT(2_12, {"EPYC-x86_64-cpu", "topoext", "off"},
       {"EPYC-Rome-x86_64-cpu", "topoext", "off"});
COMPAT(2_11, {"Skylake-Server-x86_64-cpu", "clflushopt", "off"});
COMPAT(2_10, {"virtio-tablet-pci", "wheel-axis", "off"}, {"virtio-mouse-pci", "wheel-axis", "off"});
COMPAT(2_9, {"mch", "extended-tseg-mbytes", "0"});
COMPAT(2_8, {"ICH9-LPC", "x-smi-broadcast", "off"}, {"Haswell-x86_64-cpu", "stepping", "1"});
COMPAT(2_7, {"ioapic", "version", "0x11"});
COMPAT(2_5, {"isa-fdc", "fallback", "144"});
COMPAT(2_4, {"fw_cfg_io", "dma_enabled", "off"});

#define COMPAT_LIST(VERSION, ...) static const struct bp_compat *const list_##VERSION[] = {__VA_ARGS__, NULL}
#define SINCE_9_0 compat_9_0
#define SINCE_8_0 SINCE_9_0, compat_8_0
#define SINCE_7_1 SINCE_8_0, compat_7_1
#define SINCE_6_0 SINCE_7_1, compat_6_0
#define SINCE_5_2 SINCE_6_0, compat_5_2
#define SINCE_5_1 SINCE_5_2, compat_5_1
#define SINCE_4_2 SINCE_5_1, compat_4_2
#define SINCE_4_0 SINCE_4_2, compat_4_0
#define SINCE_3_1 SINCE_4_0, compat_3_1
#define SINCE_3_0 SINCE_3_1, compat_3_0
#define SINCE_2_12 SINCE_3_0, compat_2_12
#define SINCE_2_11 SINCE_2_12, compat_2_11
#define SINCE_2_10 SINCE_2_11, compat_2_10
#define SINCE_2_9 SINCE_2_10, compat_2_9
#define SINCE_2_8 SINCE_2_9, compat_2_8
#define SINCE_2_7 SINCE_2_8, compat_2_7
#define SINCE_2_5 SINCE_2_7, compat_2_5
COMPAT_LIST(9_0, SINCE_9_0);
COMPAT_LIST(8_0, SINCE_8_0);
COMPAT_LIST(7_1, SINCE_7_1);
COMPAT_LIST(6_0, SINCE_6_0);
COMPAT_LIST(5_2, SINCE_5_2);
COMPAT_LIST(5_1, SINCE_5_1);
COMPAT_LIST(4_2, SINCE_4_2);
COMPAT_LIST(4_0, SINCE_4_0);
COMPAT_LIST(3_1, SINCE_3_1);
COMPAT_LIST(3_0, SINCE_3_0);
COMPAT_LIST(2_12, SINCE_2_12);
COMPAT_LIST(2_11, SINCE_2_11);
COMPAT_LIST(2_10, SINCE_2_10);
COMPAT_LIST(2_9, SINCE_2_9);
COMPAT_LIST(2_8, SINCE_2_8);
COMPAT_LIST(2_7, SINCE_2_7);
COMPAT_LIST(2_5, SINCE_2_5);
COMPAT_LIST(2_4, SINCE_2_5, compat_2_4);

/* For each version: its name as part of an identifier and as text, whether -smp prefers sockets to
 * cores when it has to choose, why it is deprecated, its list of tables. */
/* Up to 5.0 -numa takes mem=. */
#define FIRST_VERSIONS(V) \
    V(2_4, "2.4", true, OLD, list_2_4) V(2_5, "2.5", true, OLD, list_2_5) \
    V(2_6, "2.6", true, OLD, list_2_7) V(2_7, "2.7", true, OLD, list_2_7)
#define VERSIONS_WITH_MEM(V) \
    V(2_8, "2.8", true, OLD, list_2_8) V(2_9, "2.9", true, OLD, list_2_9) \
    V(2_10, "2.10", true, OLD, list_2_10) V(2_11, "2.11", true, OLD, list_2_11) \
    V(2_12, "2.12", true, OLD, list_2_12) V(3_0, "3.0", true, NULL, list_3_0) \
    V(3_1, "3.1", true, NULL, list_3_1) V(4_0, "4.0", true, NULL, list_4_0) \
    V(4_1, "4.1", true, NULL, list_4_2) V(4_2, "4.2", true, NULL, list_4_2) \
    V(5_0, "5.0", true, NULL, list_5_1)
#define LATER_VERSIONS(V) \
    V(5_1, "5.1", true, NULL, list_5_1) \
    V(5_2, "5.2", true, NULL, list_5_2) V(6_0, "6.0", true, NULL, list_6_0) \
    V(6_1, "6.1", true, NULL, list_7_1) V(6_2, "6.2", false, NULL, list_7_1) \
    V(7_0, "7.0", false, NULL, list_7_1) V(7_1, "7.1", false, NULL, list_7_1) \
    V(7_2, "7.2", false, NULL, list_8_0) V(8_0, "8.0", false, NULL, list_8_0) \
    V(8_1, "8.1", false, NULL, list_9_0) V(8_2, "8.2", false, NULL, list_9_0) \
    V(9_0, "9.0", false, NULL, list_9_0)
#define OLDER_VERSIONS(V) FIRST_VERSIONS(V) VERSIONS_WITH_MEM(V) LATER_VERSIONS(V)
#define Q35_ONLY(V) V(4_0_1, "4.0.1", true, NULL, list_4_0)

/* A q35 has more from 2.8 on. */
#define CPUS 255
#define Q35_CPUS 288
#define COMMON \
    .default_cpu = "qemu64", .default_ram_size = 128u << 20, \
    .default_ram_id = "pc.ram", .hotpluggable_cpus = true, .has_modules = true, .has_numa = true, \
    .most_memory_slots = 256, \
    .cpu_pre_plug = pc_cpu_pre_plug, .cpu_unplug_request = pc_cpu_unplug_request, .cpu_unplug = pc_cpu_unplug, \
    .cpu_plug = pc_cpu_plug, .ready = pc_ready, .reset = pc_reset, .powerdown = pc_powerdown, \
    .wakeup = pc_wakeup, \
    .nmi = pc_nmi
#define I440FX(ID, VERSION, SOCKETS, WHY, ...) \
    BP_BOARD_OF(pc_i440fx_##ID, "pc-i440fx-" VERSION, "generic-pc-machine", "x86_64", \
                "Standard PC (i440FX + PIIX, 1996)", struct pc, pc_props, COMMON, \
                .init = pc_init_i440fx, .max_cpus = CPUS, .prefer_sockets = SOCKETS, .deprecated = WHY, __VA_ARGS__);
#define Q35(ID, VERSION, SOCKETS, WHY, ...) \
    BP_BOARD_OF(pc_q35_##ID, "pc-q35-" VERSION, "generic-pc-machine", "x86_64", \
                "Standard PC (Q35 + ICH9, 2009)", struct pc, pc_props, COMMON, \
                .init = pc_init_q35, .prefer_sockets = SOCKETS, .deprecated = WHY, __VA_ARGS__);
#define OLDER_I440FX(ID, VERSION, SOCKETS, WHY, TABLES) I440FX(ID, VERSION, SOCKETS, WHY, .compat = TABLES)
#define MEM_I440FX(ID, VERSION, SOCKETS, WHY, TABLES) \
    I440FX(ID, VERSION, SOCKETS, WHY, .compat = TABLES, .numa_mem = true)
#define MEM_Q35(ID, VERSION, SOCKETS, WHY, TABLES) \
    Q35(ID, VERSION, SOCKETS, WHY, .max_cpus = Q35_CPUS, .compat = TABLES, .numa_mem = true)
#define FIRST_Q35(ID, VERSION, SOCKETS, WHY, TABLES) \
    Q35(ID, VERSION, SOCKETS, WHY, .max_cpus = CPUS, .compat = TABLES, .numa_mem = true)
#define OLDER_Q35(ID, VERSION, SOCKETS, WHY, TABLES) \
    Q35(ID, VERSION, SOCKETS, WHY, .max_cpus = Q35_CPUS, .compat = TABLES)

FIRST_VERSIONS(MEM_I440FX)
VERSIONS_WITH_MEM(MEM_I440FX)
LATER_VERSIONS(OLDER_I440FX)
I440FX(9_1, "9.1", false, NULL, .alias = "pc", .is_default = true)
BP_BOARD_ALIAS("pc-i440fx-9.1", "pc");
BP_NOTE("default=board:pc-i440fx-9.1");

FIRST_VERSIONS(FIRST_Q35)
VERSIONS_WITH_MEM(MEM_Q35)
LATER_VERSIONS(OLDER_Q35)
Q35_ONLY(MEM_Q35)
Q35(9_1, "9.1", false, NULL, .max_cpus = Q35_CPUS, .alias = "q35")
BP_BOARD_ALIAS("pc-q35-9.1", "q35");

BP_BOARD_OF(pc_isapc_board, "isapc", "generic-pc-machine", "x86_64", "ISA-only PC", struct pc, pc_props,
            .max_cpus = 1, .default_cpu = "qemu64", .default_ram_size = 128u << 20, .default_ram_id = "pc.ram",
            .cpu_plug = pc_cpu_plug, .ready = pc_ready, .reset = pc_reset, .nmi = pc_nmi, .init = pc_init_isapc);

BP_BOARD_OF(pc_microvm_board, "microvm", "x86-machine", "x86_64",
            "Machine for functions and tests: virtio on MMIO", struct pc, pc_microvm_props,
            .max_cpus = 255, .default_cpu = "max", .default_ram_size = 128u << 20, .default_ram_id = "microvm.ram",
            .cpu_plug = pc_cpu_plug, .ready = pc_ready, .reset = pc_reset, .powerdown = pc_powerdown,
            .nmi = pc_nmi, .init = pc_init_microvm);

#define PROVIDE_I440FX(ID, VERSION, SOCKETS, WHY, TABLES) {BP_PROVIDE_BOARD, &pc_i440fx_##ID},
#define PROVIDE_Q35(ID, VERSION, SOCKETS, WHY, TABLES) {BP_PROVIDE_BOARD, &pc_q35_##ID},

BP_MODULE("board-pc", "Boards pc (i440FX, PIIX) and q35 (Q35, ICH9)", pc_imports,
          OLDER_VERSIONS(PROVIDE_I440FX) OLDER_VERSIONS(PROVIDE_Q35) Q35_ONLY(PROVIDE_Q35)
          {BP_PROVIDE_BOARD, &pc_isapc_board}, {BP_PROVIDE_BOARD, &pc_microvm_board},
          {BP_PROVIDE_DEVICE, &isapc_bridge},
          {BP_PROVIDE_BOARD, &pc_i440fx_9_1}, {BP_PROVIDE_BOARD, &pc_q35_9_1},
          {BP_PROVIDE_DEVICE, &acpi_pcihp_class}, {BP_PROVIDE_DEVICE, &acpi_cpuhp_class},
          {BP_PROVIDE_DEVICE, &acpi_memhp_class}, {BP_PROVIDE_DEVICE, &acpi_nvdimm_class},
          {BP_PROVIDE_EVENT, &acpi_ost_event}, {BP_PROVIDE_EVENT, &acpi_ost_memory_event},
          {BP_PROVIDE_COMMAND, &acpi_ost_query},
          {BP_PROVIDE_ABSTRACT, &x86_machine}, {BP_PROVIDE_ABSTRACT, &generic_pc},
          {BP_PROVIDE_HMP, &pc_info_irq}, {BP_PROVIDE_COMMAND, &pc_query_timeline},
          {BP_PROVIDE_HMP, &pc_info_timeline});
