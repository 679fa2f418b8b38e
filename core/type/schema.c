/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a field is: its range, its name in help, what it accepts (schema.h). */
#include "schema.h"

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "near.h"

const char *const bpc_on_off_auto[] = {"auto", "on", "off", NULL};

const struct bp_field *bpc_schema_find(const struct bp_field *fields, const char *name)
{
    for (; fields && fields->name; fields++) {
        if (!strcmp(fields->name, name))
            return fields;
    }
    return NULL;
}

int bpc_schema_choice(const struct bp_schema *schema, const char *text)
{
    for (int i = 0; schema && schema->choices && schema->choices[i]; i++) {
        if (!strcmp(schema->choices[i], text))
            return i;
    }
    return -1;
}

bool bpc_schema_is_integer(enum bp_field_kind kind)
{
    return kind >= BP_KIND_UINT8 && kind <= BP_KIND_SIZE;
}

bool bpc_schema_is_signed(enum bp_field_kind kind)
{
    return kind >= BP_KIND_INT8 && kind <= BP_KIND_INT64;
}

void bpc_schema_range(const struct bp_field *field, int64_t *ret_min, uint64_t *ret_max)
{
    static const struct {
        int64_t min;
        uint64_t max;
    } ranges[] = {
        [BP_KIND_UINT8] = {0, UINT8_MAX},         [BP_KIND_UINT16] = {0, UINT16_MAX},
        [BP_KIND_UINT32] = {0, UINT32_MAX},       [BP_KIND_UINT64] = {0, UINT64_MAX},
        [BP_KIND_INT8] = {INT8_MIN, INT8_MAX},    [BP_KIND_INT16] = {INT16_MIN, INT16_MAX},
        [BP_KIND_INT32] = {INT32_MIN, INT32_MAX}, [BP_KIND_INT64] = {INT64_MIN, INT64_MAX},
        [BP_KIND_SIZE] = {0, UINT64_MAX},
    };
    if (field->min || field->max) {
        *ret_min = field->min;
        *ret_max = field->max;
    } else if (bpc_schema_is_integer(field->kind)) {
        *ret_min = ranges[field->kind].min;
        *ret_max = ranges[field->kind].max;
    } else {
        *ret_min = INT64_MIN;
        *ret_max = UINT64_MAX;
    }
}

void bpc_schema_type_name(const struct bp_field *field, char *buf, size_t size)
{
    static const char *const names[] = {
        [BP_KIND_NONE] = "null",
        [BP_KIND_BOOL] = "bool",
        [BP_KIND_UINT8] = "uint8",
        [BP_KIND_UINT16] = "uint16",
        [BP_KIND_UINT32] = "uint32",
        [BP_KIND_UINT64] = "uint64",
        [BP_KIND_INT8] = "int8",
        [BP_KIND_INT16] = "int16",
        [BP_KIND_INT32] = "int32",
        [BP_KIND_INT64] = "int64",
        [BP_KIND_SIZE] = "size",
        [BP_KIND_NUMBER] = "number",
        [BP_KIND_STRING] = "str",
        [BP_KIND_ENUM] = "enum",
        [BP_KIND_ON_OFF_AUTO] = "OnOffAuto",
        [BP_KIND_LINK] = "link",
        [BP_KIND_STRUCT] = "struct",
        [BP_KIND_UNION] = "union",
        [BP_KIND_ALTERNATE] = "alternate",
        [BP_KIND_LIST] = "list",
        [BP_KIND_ANY] = "any",
    };
    const char *name = (size_t)field->kind < BP_COUNT(names) ? names[field->kind] : "any";
    if (field->kind == BP_KIND_LINK)
        snprintf(buf, size, "link<%s>", field->target ? field->target : "object");
    else if (field->schema && field->schema->name)
        snprintf(buf, size, "%s", field->schema->name);
    else
        snprintf(buf, size, "%s", name);
}

static void print_choices(const char *const *choices, char *buf, size_t size)
{
    GString *text = g_string_new(NULL);
    for (; choices && *choices; choices++)
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", *choices);
    snprintf(buf, size, "one of: %s", text->str);
    g_string_free(text, TRUE);
}

void bpc_schema_accepted(const struct bp_field *field, char *buf, size_t size)
{
    int64_t min;
    uint64_t max;
    switch (field->kind) {
    case BP_KIND_BOOL: snprintf(buf, size, "'on' or 'off'"); break;
    case BP_KIND_SIZE:
        snprintf(buf, size, "a size: bytes, or a number with suffix k, M, G, T, P or E");
        break;
    case BP_KIND_NUMBER: snprintf(buf, size, "a number"); break;
    case BP_KIND_STRING: snprintf(buf, size, "a string"); break;
    case BP_KIND_ENUM:
        print_choices(field->schema ? field->schema->choices : NULL, buf, size);
        break;
    case BP_KIND_ON_OFF_AUTO: print_choices(bpc_on_off_auto, buf, size); break;
    case BP_KIND_LINK:
        snprintf(buf, size, "the id or path of a %s", field->target ? field->target : "object");
        break;
    case BP_KIND_STRUCT:
    case BP_KIND_UNION: snprintf(buf, size, "an object"); break;
    case BP_KIND_LIST: snprintf(buf, size, "an array"); break;
    default:
        if (!bpc_schema_is_integer(field->kind)) {
            snprintf(buf, size, "a value");
            break;
        }
        bpc_schema_range(field, &min, &max);
        if (bpc_schema_is_signed(field->kind))
            snprintf(buf, size, "a number in %" PRId64 "..%" PRId64, min, (int64_t)max);
        else
            snprintf(buf, size, "a number in %" PRId64 "..%" PRIu64, min, max);
    }
}

void bpc_schema_nearest(const struct bp_field *fields, const char *name, char *buf, size_t size)
{
    struct bpc_near near;
    bpc_near_init(&near, name);
    for (; fields && fields->name; fields++) {
        if (!(fields->flags & BP_FIELD_HIDDEN))
            bpc_near_offer(&near, fields->name);
    }
    bpc_near_print(&near, buf, size);
}
