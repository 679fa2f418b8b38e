/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Suspend to RAM, where the power management has it: SLP_TYP of the 82371AB (PMCNTRL) and of this board's ICH9. */
DefinitionBlock ("ssdt_s3.aml", "SSDT", 2, "BKPLNE", "BKPLSLP3", 1)
{
    Name (\_S3, Package () { One, One, Zero, Zero })
}
