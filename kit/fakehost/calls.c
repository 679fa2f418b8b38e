/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake host's way to what is no device: interfaces, objects, monitor lines, options (bp/test.h). */
#include <bp/test.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "hmp.h"
#include "object.h"
#include "options.h"
#include "registry.h"

/* NULL: an empty dict. */
static int read_dict(const char *json, struct bp_value **ret_dict, struct bp_error *err)
{
    struct bp_value *dict = NULL;
    int rc;

    if (!json) {
        *ret_dict = bp_value_dict();
        return 0;
    }
    rc = bp_value_parse(json, strlen(json), &dict, err);
    if (rc < 0)
        return rc;
    if (bp_value_type(dict) != BP_VALUE_DICT) {
        bp_value_unref(dict);
        return bp_fail(err, EINVAL, "a JSON object is wanted, not %s", json);
    }
    *ret_dict = dict;
    return 0;
}

int bp_test_interface(struct bp_test_host *host, const char *name, unsigned major,
                      const void **ret_table, struct bp_error *err)
{
    return bpc_require_interface(name, major, ret_table, err);
}

int bp_test_object(struct bp_test_host *host, const char *type, const char *id, const char *props,
                   struct bp_object **ret_obj, struct bp_error *err)
{
    struct bp_value *dict = NULL;
    int rc = read_dict(props, &dict, err);

    if (rc < 0)
        return rc;
    bp_value_set(dict, "qom-type", bp_value_string(type));
    bp_value_set(dict, "id", bp_value_string(id));
    rc = bpc_object_add(dict, err);
    bp_value_unref(dict);
    if (rc == 0)
        *ret_obj = bpc_object_child(bpc_object_container("/objects"), id);
    return rc;
}

char *bp_test_hmp(struct bp_test_host *host, const char *line)
{
    struct bp_monitor monitor = {.out = g_string_new(NULL)};
    char *text;

    bpc_hmp_run(&monitor, line);
    text = strdup(monitor.out->str);
    g_string_free(monitor.out, TRUE);
    return text;
}

int bp_test_option(struct bp_test_host *host, const char *name, const char *text,
                   struct bp_error *err)
{
    int rc = bpc_options_add(name, text, NULL, err);

    for (int phase = BP_PHASE_EARLY; rc == 0 && phase <= BP_PHASE_LATE; phase += 10)
        rc = bpc_options_apply((enum bp_option_phase)phase, err);
    bpc_options_free();
    return rc;
}
