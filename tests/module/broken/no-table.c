/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: notes without the table bp_module. */
#include <bp/module.h>

BP_NOTE("name=broken-table");
BP_NOTE("abi=1.0");
BP_NOTE("tier=public");
BP_NOTE("provides=device:broken-table;bus=system;user=yes;summary=Broken on purpose");
