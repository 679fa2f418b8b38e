/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processors that users add: -device and device_add of a CPU type, with the place that it takes in the
 * topology of -smp. The board decides whether one may come.
 */
#include <glib.h>
#include <string.h>

#include "numa.h"
#include "parts.h"
#include "registry.h"
#include "marks.h"

#include <bp/command.h>
#include <bp/exact/numa.h>
#include <bp/loop.h>

#define PERIPHERAL "/machine/peripheral/"

enum { SOCKET, DIE, CLUSTER, MODULE, CORE, THREAD, LEVELS };
static const char *const keys[LEVELS] = {"socket-id", "die-id", "cluster-id", "module-id", "core-id",
                                         "thread-id"};

static void sizes(const struct bp_smp *s, unsigned n[LEVELS])
{
    const unsigned all[LEVELS] = {s->sockets, s->dies, s->clusters, s->modules, s->cores, s->threads};
    for (unsigned i = 0; i < LEVELS; i++)
        n[i] = all[i] ? all[i] : 1;
}

/* Dies, clusters and modules are named only where there are several. */
static bool is_named(const unsigned n[LEVELS], unsigned level)
{
    return (level < DIE || level > MODULE) || n[level] > 1;
}

struct bp_value *bpc_cpu_place(const struct bp_smp *smp, unsigned index)
{
    struct bp_value *place = bp_value_dict();
    unsigned n[LEVELS], at[LEVELS];
    int node = bpc_numa_node_of(index);

    sizes(smp, n);
    for (unsigned i = LEVELS; i-- > 0; index /= n[i])
        at[i] = index % n[i];
    for (unsigned i = 0; i < LEVELS; i++) {
        if (is_named(n, i))
            bp_value_set(place, keys[i], bp_value_uint(at[i]));
    }
    if (node >= 0)
        bp_value_set(place, "node-id", bp_value_int(node));
    return place;
}

/* What the property's name says of the processor's place. */
static int get_place(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                     struct bp_error *err)
{
    const struct bp_cpu *cpu = (const struct bp_cpu *)obj;
    struct bp_value *place = bpc_cpu_place(&cpu->obj.machine->smp, cpu->index);
    int64_t none = strcmp(f->name, "node-id") == 0 ? -1 : 0;
    int64_t id = bp_value_has(place, f->name) ? bp_value_as_int(bp_value_get(place, f->name)) : none;

    (void)err;
    *ret_value = bp_value_int(id);
    bp_value_unref(place);
    return 0;
}

#define PLACE(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_INT32, .flags = BP_FIELD_READ_ONLY | BP_FIELD_HIDDEN, .help = HELP, \
     .get = get_place}
const struct bp_field bpc_cpu_place_props[] = {
    PLACE("socket-id", "socket that it is in"), PLACE("die-id", "die of the socket"),
    PLACE("cluster-id", "cluster of the die"), PLACE("module-id", "module of the cluster"),
    PLACE("core-id", "core of the module"),
    PLACE("thread-id", "thread of the core"), PLACE("node-id", "NUMA node, -1: none"), BP_FIELDS_END,
};

/* One of the ids as number or text; in 0..most-1. */
static int get_id(const struct bp_value *args, const char *key, unsigned most, unsigned *ret_id,
                  struct bp_error *err)
{
    const struct bp_value *v = bp_value_get(args, key);
    const char *text = bp_value_get_string(args, key);
    guint64 id = 0;

    if (!v)
        return bp_fail(err, EINVAL, "CPU %s is not set", key);
    if (text && !g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX, &id, NULL))
        return bp_fail(err, EINVAL, "Parameter '%s' expects a number, not '%.100s'", key, text);
    if (!text && (bp_value_type(v) != BP_VALUE_INT || bp_value_is_negative(v)))
        return bp_fail(err, EINVAL, "Parameter '%s' expects a number from 0 to %u", key, most - 1);
    if (!text)
        id = bp_value_as_uint(v);
    if (id >= most)
        return bp_fail(err, ERANGE, "Invalid CPU %s: %" G_GUINT64_FORMAT " must be in range 0:%u", key,
                       id, most - 1);
    *ret_id = (unsigned)id;
    return 0;
}

static int find_index(const struct bp_machine *m, const struct bp_value *args, unsigned *ret_index,
                      struct bp_error *err)
{
    unsigned n[LEVELS], index = 0, id;

    sizes(&m->smp, n);
    for (unsigned i = 0; i < LEVELS; i++) {
        int ret = 0;

        id = 0;
        if (is_named(n, i) || bp_value_has(args, keys[i]))
            ret = get_id(args, keys[i], n[i], &id, err);
        if (ret < 0)
            return ret;
        index = index * n[i] + id;
    }
    *ret_index = index;
    return 0;
}

/* As libvirt gives it back; -numa has settled it. */
static int check_node(const struct bp_machine *m, const struct bp_value *args, unsigned index, struct bp_error *err)
{
    int node = bp_machine_cpu_node(m, index);
    unsigned id;
    int ret = bp_value_has(args, "node-id") ? get_id(args, "node-id", BP_NUMA_MOST, &id, err) : 0;

    if (ret == 0 && bp_value_has(args, "node-id") && (int)id != node)
        return bp_fail(err, EINVAL, node < 0 ? "CPU node-id: there are no NUMA nodes, see -numa"
                       : "CPU node-id: -numa puts this CPU into node %d", node);
    return ret;
}

static int may_come(struct bp_machine *m, const char *type, unsigned index, bool hotplug,
                    struct bp_error *err)
{
    const struct bp_board_class *board = m->board;
    const struct bp_cpu_class *class;
    int ret;

    if (!m->cpu_model)
        return bp_fail(err, EINVAL, "machine '%s' has no processors", board->type.name);
    ret = bpc_cpu_find_model(m->cpu_model, &class, err);
    if (ret < 0)
        return ret;
    if (strcmp(class->type.name, type) != 0)
        return bp_fail(err, EINVAL, "Invalid CPU type, expected cpu type: '%s'", class->type.name);
    if (m->cpus[index])
        return bp_fail(err, EEXIST, "CPU %u, which has this socket-id, core-id and thread-id, exists",
                       index);
    if (board->cpu_pre_plug)
        return board->cpu_pre_plug(m, index, hotplug, err);
    if (hotplug)
        return bp_fail(err, ENOTSUP, "machine '%s' cannot tell its guest of a CPU that comes while it "
                       "runs", board->type.name);
    return 0;
}

/* While it is so nobody runs guest code. */
static void stand_still(bool still)
{
    if (!bpc_machine_executes())
        return;
    if (still)
        bpc_cpus_pause();
    else
        bpc_cpus_resume();
}

static int bring_up(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err)
{
    int ret;

    if (cpu->class->reset)
        cpu->class->reset(cpu);
    ret = bpc_cpu_thread_start(cpu, m->accel->class->type.name, err);
    if (ret < 0)
        bpc_cpu_free(cpu);
    else
        bpc_cpu_changed_now(cpu);
    return ret;
}

int bpc_cpu_add(struct bp_machine *m, const char *type, const char *id, struct bp_value *args,
                bool hotplug, struct bp_error *err)
{
    static const char *const skip[] = {"driver", "id", "bus", "socket-id", "die-id", "cluster-id", "module-id",
                                       "core-id", "thread-id", "node-id", NULL};
    unsigned index = 0;
    struct bp_cpu *cpu;
    int ret;

    if (!m->board->hotpluggable_cpus)
        return bp_fail(err, EINVAL, "machine '%s' takes no CPUs by -device and device_add: -smp says "
                       "how many it has", m->board->type.name);
    if (bp_value_has(args, "bus"))
        return bp_fail(err, EINVAL, "Device '%s' plugs into no bus", type);
    ret = find_index(m, args, &index, err);
    if (ret == 0)
        ret = check_node(m, args, index, err);
    if (ret == 0)
        ret = may_come(m, type, index, hotplug, err);
    if (ret == 0)
        ret = bpc_cpu_make(m, index, id, args, skip, &cpu, err);
    if (ret < 0 || !hotplug || m->accel->class->no_cpus)
        return ret;
    stand_still(true);
    ret = bring_up(m, cpu, err);
    stand_still(false);
    return ret;
}

/* ---- going ---- */

int bpc_cpu_del(struct bp_machine *m, struct bp_object *obj, const char *id, struct bp_error *err)
{
    struct bp_cpu *cpu = (struct bp_cpu *)obj;
    int ret;

    if (cpu->index == 0)
        return bp_fail(err, ENOTSUP, "Device '%.200s' can not be unplugged: it is the boot CPU", id);
    if (!m->board->hotpluggable_cpus || !m->board->cpu_unplug_request)
        return bp_fail(err, ENOTSUP, "Device '%.200s' can not be unplugged: machine '%s' cannot ask its guest to let "
                       "go of a CPU", id, m->board->type.name);
    if (cpu->leaves)
        return bp_fail(err, EBUSY, "Device '%.200s' is already in the process of unplug", id);
    cpu->asked = true;
    ret = m->board->cpu_unplug_request(m, cpu, err);
    if (ret < 0) {
        cpu->asked = false;
        bp_error_prefix(err, "Device '%.200s' can not be unplugged", id);
    }
    return ret;
}

static struct bp_value *name_of(struct bp_cpu *cpu)
{
    const char *path = bp_object_path(&cpu->obj);
    struct bp_value *data = bp_value_dict();

    if (strncmp(path, PERIPHERAL, sizeof(PERIPHERAL) - 1) == 0)
        bp_value_set(data, "device", bp_value_string(path + sizeof(PERIPHERAL) - 1));
    bp_value_set(data, "path", bp_value_string(path));
    return data;
}

/* No vCPU runs: accelerators' lists of them change at rest, and nobody waits for the one that goes. */
static void leave(struct bp_machine *m, struct bp_cpu *cpu)
{
    struct bp_value *name = name_of(cpu);

    stand_still(true);
    bpc_cpu_thread_stop(cpu);
    if (m->board->cpu_unplug)
        m->board->cpu_unplug(m, cpu);
    __atomic_store_n(&m->cpus[cpu->index], NULL, __ATOMIC_RELEASE);
    bpc_cpu_retire(cpu); /* with a grace period: who had found it is through */
    bpc_cpu_finish_work(cpu);
    bpc_cpu_free(cpu);
    stand_still(false);
    bp_event_send_named("DEVICE_DELETED", name);
}

static void leave_all(void *opaque)
{
    struct bp_machine *m = bpc_the_machine;

    (void)opaque;
    for (unsigned i = 0; m && i < m->cpu_slots; i++)
        if (m->cpus[i] && m->cpus[i]->leaves)
            leave(m, m->cpus[i]);
}

bool bp_cpu_unplugged(struct bp_cpu *cpu)
{
    bpc_assert_locked();
    if (cpu->index == 0)
        return false;
    if (!cpu->leaves)
        bp_defer(NULL, leave_all, NULL);
    cpu->leaves = true;
    return true;
}

void bp_cpu_unplug_refused(struct bp_cpu *cpu)
{
    bpc_assert_locked();
    if (!cpu->asked || cpu->leaves)
        return;
    cpu->asked = false;
    bp_event_send_named("DEVICE_UNPLUG_GUEST_ERROR", name_of(cpu));
}
