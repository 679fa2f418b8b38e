/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Suspend to disk, where the power management has it. */
DefinitionBlock ("ssdt_s4.aml", "SSDT", 2, "BKPLNE", "BKPLSLP4", 1)
{
    Name (\_S4, Package () { 2, 2, Zero, Zero })
}
