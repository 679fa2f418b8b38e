/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a vCPU reaches its machine's memory and I/O space. */
#include "machine.h"
#include "names.h"
#include <bp/exact/machine.h>
#include <bp/exact/memory.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <stdio.h>

/* What the vCPU's physical addresses mean now. */
static struct bp_space *memory_of(struct bp_cpu *cpu)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);

    return x->smm && x->smm_space ? x->smm_space : bp_cpu_space(cpu);
}

static struct bp_access access_of(struct bp_cpu *cpu)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);

    return (struct bp_access){.size = sizeof(struct bp_access), .flags = x->smm ? BP_ACCESS_SECURE : 0};
}

void machine_hear_smm(struct bp_cpu *cpu, const struct bp_memory_listener *listener, void *opaque)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);

    bp_machine_lock(bp_cpu_machine(cpu));
    bp_space_listen(x->smm_space, listener, opaque);
    bp_machine_unlock(bp_cpu_machine(cpu));
}

/* opaque: the bp_cpu */
static void space_lookup(void *opaque, uint64_t address, struct phys_page *ret_page)
{
    struct bp_mapping m = {.size = sizeof(m)};

    bp_space_lookup(memory_of(opaque), address, &m);
    if (!m.host || m.length < PAGE)
        return; /* smaller pieces go through the slow path */
    ret_page->host = m.host;
    ret_page->dirty = m.dirty;
    ret_page->readonly = m.readonly;
    ret_page->length = m.length;
}

static uint64_t space_read(void *opaque, uint64_t address, unsigned size)
{
    uint64_t value = ~(uint64_t)0;
    struct bp_access access = access_of(opaque);

    bp_space_load_as(memory_of(opaque), address, size, &value, &access);
    return value;
}

static void space_write(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    struct bp_access access = access_of(opaque);

    bp_space_store_as(memory_of(opaque), address, size, value, &access);
}

static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    uint64_t value = ~(uint64_t)0;

    bp_space_load(bp_cpu_io(opaque), port, size, &value);
    return value;
}

static void port_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    bp_space_store(bp_cpu_io(opaque), port, size, value);
}

#define NAME_REACH (1u << 20) /* farther behind its beginning nothing is part of a function */

static void put_name(struct symbols *s, uint64_t address, char *to)
{
    uint64_t start = 0;
    const char *name = symbols_find(s, address, &start);

    if (name && address - start < NAME_REACH)
        snprintf(to, BUS_NAME, "%.90s+%#llx", name, (unsigned long long)(address - start));
}

/* Of Linux by its own table in memory; of another kernel by its file, if that is of ELF. */
void machine_names(void *opaque, const uint64_t *address, unsigned count, char (*ret_name)[BUS_NAME])
{
    const char *path = bp_machine_kernel(bp_cpu_machine(opaque));
    struct symbols linux_own = {0};
    struct elf_file file = {0};
    struct bp_error ignored = {0};
    bool has_file = path && elf_read(&file, path, &ignored) == 0 && !file.moves;

    for (unsigned n = 0; n < count; n++) {
        *ret_name[n] = '\0';
        if (address[n] >= NAMES_KERNEL && (linux_own.count || names_of_kernel(&linux_own, opaque, address[n])))
            put_name(&linux_own, address[n], ret_name[n]);
        if (!*ret_name[n] && has_file && address[n] - file.first < file.end - file.first)
            put_name(&file.symbols, address[n], ret_name[n]);
    }
    symbols_free(&linux_own);
    elf_free(&file);
}

void machine_bus(struct bp_cpu *cpu, struct bus *ret_bus)
{
    *ret_bus = (struct bus){.opaque = cpu, .lookup = space_lookup, .read = space_read, .write = space_write,
                            .port_in = port_in, .port_out = port_out, .names = machine_names};
}
