/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which version this is: BP_VERSION, a text, comes from meson.build; and whose command line and protocols
 * this one follows, which clients parse.
 */
#ifndef BPC_VERSION_H
#define BPC_VERSION_H

#define BPC_COMPATIBLE_MAJOR 9
#define BPC_COMPATIBLE_MINOR 1
#define BPC_COMPATIBLE_MICRO 0

#define BPC_VERSION_WORD_(n) #n
#define BPC_VERSION_WORD(n) BPC_VERSION_WORD_(n)
#define BPC_COMPATIBLE_VERSION \
    BPC_VERSION_WORD(BPC_COMPATIBLE_MAJOR) "." BPC_VERSION_WORD(BPC_COMPATIBLE_MINOR) "." \
    BPC_VERSION_WORD(BPC_COMPATIBLE_MICRO)

#define BPC_PACKAGE "backplane-" BP_VERSION

#endif
