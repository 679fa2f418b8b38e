/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text of URLs (RFC 3986), for drivers whose images have such names. Compiled into each of them. */
#ifndef URL_TEXT_H
#define URL_TEXT_H

#include <stddef.h>

/* `length` bytes without their escapes (%XX); malloc'd. NULL: an escape is damaged, or something is byte 0. */
char *url_decoded(const char *text, size_t length);

#endif
