/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: what a guest writes to a text console. Cut anywhere, it gives the same screen; the cursor stays
 * inside. */
#include <stdlib.h>
#include <string.h>

#include "../../modules/ui/vc/actions.c"
#include "../../modules/ui/vc/screen.c"
#include "../../modules/ui/vc/sequences.c"
#include "../../modules/ui/vc/terminal.c"

#include "fuzz.h"

static void count(void *opaque, const char *text, size_t length)
{
    *(size_t *)opaque += strlen(text) == length ? length : 0;
}

static bool same(const struct vc_screen *a, const struct vc_screen *b)
{
    for (uint32_t i = 0; i < a->rows * a->columns; i++)
        if (a->grid[i].glyph != b->grid[i].glyph || a->grid[i].pen.foreground != b->grid[i].pen.foreground ||
            a->grid[i].pen.background != b->grid[i].pen.background || a->grid[i].pen.flags != b->grid[i].pen.flags)
            return false;
    return a->row == b->row && a->column == b->column && a->history_count == b->history_count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t columns = size > 0 ? 1 + data[0] % 40 : 1, rows = size > 1 ? 1 + data[1] % 12 : 1;
    struct vc_terminal whole, cut;
    size_t answers = 0, cut_answers = 0;

    vc_terminal_init(&whole, columns, rows, count, &answers);
    vc_terminal_init(&cut, columns, rows, count, &cut_answers);
    vc_terminal_write(&whole, data, size);
    for (size_t at = 0, n; at < size; at += n) {
        n = 1 + data[at] % 5;
        n = n < size - at ? n : size - at;
        vc_terminal_write(&cut, data + at, n);
    }
    if (!same(&whole.screen, &cut.screen) || answers != cut_answers || whole.screen.row >= rows ||
        whole.screen.column >= columns || whole.screen.top > whole.screen.bottom || whole.screen.bottom >= rows ||
        whole.screen.history_count > VC_HISTORY)
        abort();
    vc_screen_look_back(&whole.screen, size > 2 ? data[2] * 3 : 0);
    for (uint32_t row = 0; row < rows; row++)
        if (vc_screen_line(&whole.screen, row)[columns - 1].pen.foreground > (VC_DEFAULT | 0xffffff))
            abort();
    vc_terminal_free(&whole);
    vc_terminal_free(&cut);
    return 0;
}
