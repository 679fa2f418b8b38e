/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loader's own command-line options: -module-dir and -modules. [main] */
#ifndef LOADER_MODULE_OPTIONS_H
#define LOADER_MODULE_OPTIONS_H

/* Modules may provide options, so their directories must be known before options are parsed: they
 * are picked out first. */
void module_options_take_dirs(int argc, char **argv);
/* Makes the options known. 0 or -errno. */
int module_options_register(void);

#endif
