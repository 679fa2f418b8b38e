/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HW_USB_HID_H
#define HW_USB_HID_H

#include <bp/base.h>

/* Usage of a key (HID Usage Tables 1.12, page 7) by its KEY_*; 0: there is none. 0xe0..0xe7 are modifiers. */
uint8_t hid_usage(uint16_t code);

#endif
