/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's characters as the terminal's. Those that code pages leave to control characters are pictures on a PC. */
#include "curses-ui.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

static const wchar_t pictures[33] = L" \u263a\u263b\u2665\u2666\u2663\u2660\u2022\u25d8\u25cb\u25d9\u2642\u2640\u266a"
                                    L"\u266b\u263c\u25ba\u25c4\u2195\u203c\u00b6\u00a7\u25ac\u21a8\u2191\u2193\u2192"
                                    L"\u2190\u221f\u2194\u25b2\u25bc";

int curses_charset(const char *name, wchar_t table[256])
{
    iconv_t convert = iconv_open("WCHAR_T", name);

    if (convert == (iconv_t)-1)
        return -EINVAL;
    for (unsigned i = 0; i < 256; i++) {
        char byte = (char)i, *from = &byte, *to = (char *)&table[i];
        size_t left = 1, room = sizeof(table[i]);

        iconv(convert, NULL, NULL, NULL, NULL);
        if (iconv(convert, &from, &left, &to, &room) == (size_t)-1 || room || table[i] < L' ')
            table[i] = i < 32 ? pictures[i] : L'?';
    }
    table[0] = L' ';
    table[127] = L'\u2302';
    table[255] = table[255] == L'\u00a0' ? L' ' : table[255];
    iconv_close(convert);
    return 0;
}
