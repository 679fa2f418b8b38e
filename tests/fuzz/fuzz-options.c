/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: key=value arguments of options (commas doubled, dotted keys, JSON). */
#include <stdlib.h>
#include <string.h>

#include <bp/value.h>

#include "fuzz.h"
#include "keyval.h"

static const struct bp_field fields[] = {
    BP_ARG("driver", STRING, "implied key"),
    {.name = "size", .kind = BP_KIND_SIZE, .flags = BP_FIELD_OPTIONAL, .help = "a size"},
    {.name = "on", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL, .help = "a switch"},
    {.name = "many", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED,
     .help = "a list"},
    {.name = "x.y", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL, .help = "a dotted key"},
    BP_FIELDS_END};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct bpc_keyval_syntax syntaxes[] = {
        {.fields = fields, .implied = "driver"}, {.fields = NULL, .implied = NULL},
        {.fields = fields, .implied = "driver", .any_keys = true}};
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < BP_COUNT(syntaxes); i++) {
        struct bp_error err = {0};
        struct bp_value *args;
        bool help = false;

        if (bpc_keyval_parse(text, &syntaxes[i], &args, &help, &err) == 0) {
            if (bp_value_type(args) != BP_VALUE_DICT)
                abort();
            bp_value_unref(args);
        } else if (!err.message[0]) {
            abort();
        }
    }
    free(text);
    return 0;
}
