/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a guest says by _OST of slots whose controller is ACPI (acpi-ost.c). Under the machine lock. */
#ifndef ACPI_OST_H
#define ACPI_OST_H

#include <stdbool.h>
#include <stdint.h>

struct bp_command;
struct bp_event;
struct bp_value;

extern const struct bp_event acpi_ost_event, acpi_ost_memory_event;
extern const struct bp_command acpi_ost_query;

/* ACPIOSTInfo; id: of what is in the slot, or NULL. */
struct bp_value *acpi_ost_info(const char *id, unsigned slot, const char *type, uint32_t source, uint32_t status);
void acpi_ost_send(struct bp_value *info); /* ACPI_DEVICE_OST; consumes it */
void acpi_ost_memory_stays(const char *id); /* MEM_UNPLUG_ERROR, for who knows no other; id may be NULL */
/* Whether it will not let go (ACPI 6.4, 6.3.5): about a request to eject, and neither success nor "in progress". */
bool acpi_ost_refuses(uint32_t source, uint32_t status);

#endif
