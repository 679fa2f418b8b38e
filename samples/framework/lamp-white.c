/* SPDX-License-Identifier: MIT */
/* A white lamp, for the framework of lamps (lamp.h). */
#define BP_MODULE_LICENSE "MIT"
#include "lamp.h"

struct white {
    uint32_t lumen;
    bool lit;
};

static const struct bp_field props[] = {
    BP_PROP_RANGE("lumen", UINT32, struct white, lumen, "800", 1, 5000, "how bright it is"),
    {.name = "lit", .kind = BP_KIND_BOOL, .flags = BP_FIELD_READ_ONLY,
     .offset = offsetof(struct white, lit), .help = "it is switched on"},
    BP_FIELDS_END};

static int light(void *state, bool on, struct bp_error *err)
{
    ((struct white *)state)->lit = on;
    return 0;
}

static const char *const effects[] = {"dim", "blink", NULL};
ACME_LAMP(white, "white", "White lamp", struct white, props, .colour = "white", .effects = effects,
          .light = light);
BP_MODULE("lamp-white", "White lamp", BP_NO_IMPORTS, {BP_PROVIDE_OTHER, &white});
