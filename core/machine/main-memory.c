/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine's main memory: of the process, of a file (-mem-path), or of a back end that the user made
 * (-machine memory-backend=), or of those of NUMA nodes. What devices add later: memory-device.c.
 */
#include <errno.h>
#include <inttypes.h>

#include <glib.h>

#include <bp/ram.h>

#include "memory-device.h"
#include "numa.h"
#include "parts.h"
#include "text.h"

static const char *ram_id(const struct bp_machine *m)
{
    return m->board->default_ram_id ? m->board->default_ram_id : "ram";
}

static int from_backend(struct bp_machine *m, const char *id, struct bp_error *err)
{
    struct bp_region *ram;
    char text[32], wanted[32];
    int ret = bp_ram_take(id, &m->obj.owner, "-machine memory-backend", &ram, err);

    if (ret < 0)
        return ret;
    m->ram_size = bp_region_size(ram);
    if (bpc_config.ram_size && bpc_config.ram_size != m->ram_size) {
        bpc_text_print_size(m->ram_size, text, sizeof(text));
        bpc_text_print_size(bpc_config.ram_size, wanted, sizeof(wanted));
        return bp_fail(err, EINVAL, "-machine memory-backend: '%s' has %s, -m says %s: they must be "
                       "equal", id, text, wanted);
    }
    m->ram = ram;
    return 0;
}

/* -mem-path makes a back end with the name that the board's memory has. */
static int from_path(struct bp_machine *m, uint64_t size, struct bp_error *err)
{
    struct bp_value *args = bp_value_dict();
    int ret;

    bp_value_set(args, "qom-type", bp_value_string("memory-backend-file"));
    bp_value_set(args, "id", bp_value_string(ram_id(m)));
    bp_value_set(args, "size", bp_value_uint(size));
    bp_value_set(args, "mem-path", bp_value_string(bpc_config.mem_path));
    bp_value_set(args, "share", bp_value_bool(false));
    bp_value_set(args, "prealloc", bp_value_bool(bpc_config.mem_prealloc));
    bp_value_set(args, "merge", bp_value_bool(m->merge_ram));
    bp_value_set(args, "dump", bp_value_bool(m->dump_ram));
    bp_value_set(args, "x-use-canonical-path-for-ramblock-id", bp_value_bool(false));
    ret = bpc_object_add(args, err);
    bp_value_unref(args);
    if (ret == 0)
        ret = from_backend(m, ram_id(m), err);
    else
        bp_error_prefix(err, "-mem-path");
    return ret;
}

static int private_memory(struct bp_machine *m, uint64_t size, struct bp_error *err)
{
    const struct bp_ram_options options = {
        .size = sizeof(options), .length = size,
        .flags = (m->merge_ram ? BP_RAM_MERGE : 0) | (m->dump_ram ? 0 : BP_RAM_NO_DUMP) |
                 (bpc_config.mem_prealloc ? BP_RAM_PREALLOC : 0)};
    char text[32];
    int ret = bp_region_new_ram_with(&m->obj.owner, ram_id(m), &options, &m->ram, err);

    if (ret == 0)
        return 0;
    bpc_text_print_size(size, text, sizeof(text));
    return bp_fail(err, -ret, "%sthe guest's memory of %s cannot be had: %s",
                   bpc_config.ram_size ? "-m: " : "", text, g_strerror(-ret));
}

int bpc_machine_make_ram(struct bp_machine *m, struct bp_error *err)
{
    uint64_t size = bpc_config.ram_size ? bpc_config.ram_size : m->board->default_ram_size;
    int ret;

    ret = bpc_memory_check(m, size, err);
    if (ret < 0)
        return ret;
    if (m->memory_backend && bpc_config.mem_path)
        return bp_fail(err, EINVAL, "-mem-path does not go together with -machine memory-backend: the "
                       "back end says where its memory lies");
    if ((m->memory_backend || bpc_config.mem_path) && bpc_config.numa && bpc_config.numa->uses_memdev)
        return bp_fail(err, EINVAL, "-numa node,memdev=: the nodes' back ends are the main memory; leave out %s",
                       m->memory_backend ? "-machine memory-backend" : "-mem-path");
    if (m->memory_backend) {
        ret = from_backend(m, m->memory_backend, err);
        return ret == 0 ? bpc_numa_complete(m, m->ram_size, err) : ret;
    }
    size = (size + 8191) & ~UINT64_C(8191);
    m->ram_size = size;
    if (size == 0)
        return 0;
    ret = bpc_numa_complete(m, size, err);
    if (ret < 0)
        return ret;
    if (bpc_config.numa && bpc_config.numa->uses_memdev)
        return bpc_numa_make_ram(m, &m->ram, err);
    return bpc_config.mem_path ? from_path(m, size, err) : private_memory(m, size, err);
}
