/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests: a device whose abstract parent is in another module, with another name for it. */
#include <bp/device.h>

struct child {
    uint8_t depth;
};

static const struct bp_field child_props[] = {
    BP_PROP_RANGE("depth", UINT8, struct child, depth, "3", 1, 9, "how deep"), BP_FIELDS_END};
static const char *const aliases[] = {"test-kid", NULL};

BP_DEVICE_ALIAS("test-child", "test-kid");
BP_NOTE("provides=device:test-child;bus=system;user=yes;summary=A port of its own");
static const struct bp_device_class child = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE,
             .name = "test-child", .parent = "test-port", .summary = "A port of its own",
             .state_size = sizeof(struct child), .props = child_props},
    .bus = "system", .category = "network", .aliases = aliases};

BP_MODULE("test-child", "Types for tests: a child", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &child});
