/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The versioned names of the boards pc and q35. A version promises that a guest sees the same machine
 * under later releases: what a release changes for guests, a new version has, and the older ones name
 * in their compatibility table what it was before.
 */
#define BP_SHARED
#include "acpi-cpuhp.h"
#include "acpi-pcihp.h"
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

/* For each version: its name as part of an identifier and as text, whether -smp prefers sockets to
 * cores when it has to choose, why it is deprecated. */
#define OLDER_VERSIONS(V) \
    V(2_4, "2.4", true, OLD) V(2_5, "2.5", true, OLD) V(2_6, "2.6", true, OLD) \
    V(2_7, "2.7", true, OLD) V(2_8, "2.8", true, OLD) V(2_9, "2.9", true, OLD) \
    V(2_10, "2.10", true, OLD) V(2_11, "2.11", true, OLD) V(2_12, "2.12", true, OLD) \
    V(3_0, "3.0", true, NULL) V(3_1, "3.1", true, NULL) V(4_0, "4.0", true, NULL) \
    V(4_1, "4.1", true, NULL) V(4_2, "4.2", true, NULL) V(5_0, "5.0", true, NULL) \
    V(5_1, "5.1", true, NULL) V(5_2, "5.2", true, NULL) V(6_0, "6.0", true, NULL) \
    V(6_1, "6.1", true, NULL) V(6_2, "6.2", false, NULL) V(7_0, "7.0", false, NULL) \
    V(7_1, "7.1", false, NULL) V(7_2, "7.2", false, NULL) V(8_0, "8.0", false, NULL) \
    V(8_1, "8.1", false, NULL) V(8_2, "8.2", false, NULL) V(9_0, "9.0", false, NULL)
#define Q35_ONLY(V) V(4_0_1, "4.0.1", true, NULL)

#define COMMON \
    .max_cpus = 255, .default_cpu = "qemu64", .default_ram_size = 128u << 20, \
    .default_ram_id = "pc.ram", .hotpluggable_cpus = true, .cpu_pre_plug = pc_cpu_pre_plug, \
    .cpu_plug = pc_cpu_plug, .ready = pc_ready, .reset = pc_reset, .powerdown = pc_powerdown, \
    .wakeup = pc_wakeup, \
    .nmi = pc_nmi
#define I440FX(ID, VERSION, SOCKETS, WHY, ...) \
    BP_BOARD_OF(pc_i440fx_##ID, "pc-i440fx-" VERSION, "generic-pc-machine", "x86_64", \
                "Standard PC (i440FX + PIIX, 1996)", struct pc, pc_props, COMMON, \
                .init = pc_init_i440fx, .prefer_sockets = SOCKETS, .deprecated = WHY, __VA_ARGS__);
#define Q35(ID, VERSION, SOCKETS, WHY, ...) \
    BP_BOARD_OF(pc_q35_##ID, "pc-q35-" VERSION, "generic-pc-machine", "x86_64", \
                "Standard PC (Q35 + ICH9, 2009)", struct pc, pc_props, COMMON, \
                .init = pc_init_q35, .prefer_sockets = SOCKETS, .deprecated = WHY, __VA_ARGS__);
#define OLDER_I440FX(ID, VERSION, SOCKETS, WHY) I440FX(ID, VERSION, SOCKETS, WHY, .alias = NULL)
#define OLDER_Q35(ID, VERSION, SOCKETS, WHY) Q35(ID, VERSION, SOCKETS, WHY, .alias = NULL)

OLDER_VERSIONS(OLDER_I440FX)
I440FX(9_1, "9.1", false, NULL, .alias = "pc", .is_default = true)
BP_BOARD_ALIAS("pc-i440fx-9.1", "pc");
BP_NOTE("default=board:pc-i440fx-9.1");

OLDER_VERSIONS(OLDER_Q35)
Q35_ONLY(OLDER_Q35)
Q35(9_1, "9.1", false, NULL, .alias = "q35")
BP_BOARD_ALIAS("pc-q35-9.1", "q35");

#define PROVIDE_I440FX(ID, VERSION, SOCKETS, WHY) {BP_PROVIDE_BOARD, &pc_i440fx_##ID},
#define PROVIDE_Q35(ID, VERSION, SOCKETS, WHY) {BP_PROVIDE_BOARD, &pc_q35_##ID},

BP_MODULE("board-pc", "Boards pc (i440FX, PIIX) and q35 (Q35, ICH9)", pc_imports,
          OLDER_VERSIONS(PROVIDE_I440FX) OLDER_VERSIONS(PROVIDE_Q35) Q35_ONLY(PROVIDE_Q35)
          {BP_PROVIDE_BOARD, &pc_i440fx_9_1}, {BP_PROVIDE_BOARD, &pc_q35_9_1},
          {BP_PROVIDE_DEVICE, &acpi_pcihp_class}, {BP_PROVIDE_DEVICE, &acpi_cpuhp_class},
          {BP_PROVIDE_ABSTRACT, &x86_machine}, {BP_PROVIDE_ABSTRACT, &generic_pc},
          {BP_PROVIDE_HMP, &pc_info_irq});
