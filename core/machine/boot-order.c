/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -boot and bootindex: what firmware is told to try, and in which order. */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

static bool started_once; /* the machine was reset since its first start */
static bool started;

struct entry {
    int64_t index;
    char *path; /* owned */
};

void bpc_boot_started(const struct bp_machine *m)
{
    (void)m;
    started_once = started;
    started = true;
}

void bpc_boot_forget(void)
{
    started = started_once = false;
}

const struct bp_boot *bp_machine_boot(const struct bp_machine *m)
{
    static struct bp_boot now;

    (void)m;
    now = bpc_config.boot;
    now.now = now.once && !started_once ? now.once : now.order;
    return &now;
}

static void free_entry(gpointer opaque)
{
    struct entry *e = opaque;

    g_free(e->path);
    g_free(e);
}

static void add(GPtrArray *list, int64_t index, char *path)
{
    struct entry *e = g_new(struct entry, 1);

    e->index = index;
    e->path = path;
    g_ptr_array_add(list, e);
}

static int look_at(struct bp_device *dev, void *opaque)
{
    struct bp_value *value = NULL;
    int64_t index = -1;

    if (bp_object_get(bp_device_object(dev), "bootindex", &value, NULL) == 0)
        index = bp_value_as_int(value);
    bp_value_unref(value);
    if (index >= 0)
        add(opaque, index, bpc_device_firmware_path(dev));
    return 0;
}

static int compare(gconstpointer a, gconstpointer b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

    return x->index < y->index ? -1 : x->index > y->index;
}

static GPtrArray *collect(struct bp_machine *m)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(free_entry);

    bpc_devices_each(m, look_at, list);
    for (unsigned i = 0; i < bpc_config.option_rom_count; i++) {
        const struct bpc_option_rom *rom = &bpc_config.option_roms[i];
        char *name = g_path_get_basename(rom->path);

        if (rom->bootindex >= 0)
            add(list, rom->bootindex, g_strdup_printf("/rom@genroms/%s", name));
        g_free(name);
    }
    g_ptr_array_sort(list, compare);
    return list;
}

int bp_machine_boot_list(struct bp_machine *m, char **ret_text, struct bp_error *err)
{
    GPtrArray *list = collect(m);
    GString *text = g_string_new(NULL);
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < list->len; i++) {
        const struct entry *e = list->pdata[i], *before = i ? list->pdata[i - 1] : NULL;

        if (before && before->index == e->index)
            ret = bp_fail(err, EINVAL, "bootindex=%lld is given twice, to %s and to %s: each device needs one of "
                          "its own", (long long)e->index, before->path, e->path);
        g_string_append_printf(text, "%s%s", i ? "\n" : "", e->path);
    }
    if (ret == 0 && bpc_config.boot.strict)
        g_string_append_printf(text, "%sHALT", text->len ? "\n" : "");
    if (ret == 0)
        *ret_text = bp_strdup(text->str);
    g_string_free(text, TRUE);
    g_ptr_array_free(list, TRUE);
    return ret;
}
