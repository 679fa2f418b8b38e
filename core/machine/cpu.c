/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs as objects: the model and features of -cpu, what bp/exact/cpu.h asks about them. Their threads are
 * in cpu-thread.c.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "near.h"
#include "quiet.h"
#include "parts.h"
#include "marks.h"
#include "read-side.h"
#include "registry.h"

/* ---- the model ---- */

static void add_model(const struct bpc_known *known, void *opaque)
{
    const struct bp_cpu_class *class;
    const void *desc;

    if (bpc_describe(BP_PROVIDE_CPU, known->name, &desc, NULL) < 0)
        return;
    class = desc;
    if (bpc_arch_in(class->arch, bpc_config.arch))
        g_ptr_array_add(opaque, g_strdup(class->model));
}

static int unknown_model(const char *model, const char *type, struct bp_error *err)
{
    GPtrArray *models = g_ptr_array_new_with_free_func(g_free);
    struct bpc_near near;
    const struct bpc_loader *loader = bpc_registry_loader();
    char names[200], package[BPC_HINT_SIZE] = "";

    bpc_each_known(BP_PROVIDE_CPU, add_model, models);
    bpc_near_init(&near, model);
    for (guint i = 0; i < models->len; i++)
        bpc_near_offer(&near, models->pdata[i]);
    bpc_near_print(&near, names, sizeof(names));
    g_ptr_array_free(models, TRUE);
    if (loader && loader->missing)
        loader->missing(BP_PROVIDE_CPU, type, package, sizeof(package));
    if (*names || *package)
        return bp_fail(err, ENOENT, "unable to find CPU model '%.100s'%s%s%s", model,
                       *names ? "; nearest: " : "", names, package);
    return bp_fail(err, ENOENT, "unable to find CPU model '%.100s'; -cpu help lists those for %s",
                   model, bpc_config.arch);
}

struct model_search {
    const char *model;
    char *type;
};

/* The value of a key in "arch=x86_64;model=max"; NULL: there is none. */
static const char *attribute(const char *text, const char *key)
{
    size_t length = strlen(key);

    while (text && (strncmp(text, key, length) != 0 || text[length] != '=')) {
        text = strchr(text, ';');
        text += text != NULL;
    }
    return text ? text + length + 1 : NULL;
}

/* By what is announced: reading a class of a module that is not loaded costs more. */
static void match_model(const struct bpc_known *known, void *opaque)
{
    struct model_search *search = opaque;
    const char *model = attribute(known->attributes, "model"), *list = attribute(known->attributes, "arch");
    size_t length = strlen(search->model);
    char *archs;

    if (search->type || !model || strncmp(model, search->model, length) != 0 ||
        (model[length] && model[length] != ';'))
        return;
    archs = list ? g_strndup(list, strcspn(list, ";")) : NULL;
    if (bpc_arch_in(archs, bpc_config.arch))
        search->type = g_strdup(known->name);
    g_free(archs);
}

/* The name of the type that is the model, by what classes say; of an unknown one what it would be. */
static char *type_of(const char *model)
{
    struct model_search search = {model, NULL};
    const void *desc;

    if (!g_str_has_suffix(model, "-cpu"))
        bpc_each_known(BP_PROVIDE_CPU, match_model, &search);
    if (search.type)
        return search.type;
    if (bpc_describe(BP_PROVIDE_CPU, model, &desc, NULL) != -ENOENT)
        return g_strdup(model);
    return g_strdup_printf("%s-%s-cpu", model, bpc_config.arch);
}

int bpc_cpu_find_model(const char *model, const struct bp_cpu_class **ret_class,
                       struct bp_error *err)
{
    char *type = type_of(model);
    const void *desc;
    int ret = bpc_require(BP_PROVIDE_CPU, type, &desc, err);

    if (ret == -ENOENT)
        ret = unknown_model(model, type, err);
    g_free(type);
    if (ret < 0)
        return ret;
    if (!bpc_arch_in(((const struct bp_cpu_class *)desc)->arch, bpc_config.arch))
        return bp_fail(err, EINVAL, "CPU model '%s' is not for %s guests", model, bpc_config.arch);
    *ret_class = desc;
    return 0;
}

int bpc_cpu_check_model(struct bp_machine *m, struct bp_error *err)
{
    const struct bp_cpu_class *class;
    size_t len = bpc_config.cpu ? strcspn(bpc_config.cpu, ",") : 0;

    if (len > 0)
        m->cpu_model = g_strndup(bpc_config.cpu, len);
    else
        m->cpu_model = g_strdup(m->board->default_cpu);
    if (!m->cpu_model || m->accel->class->no_cpus)
        return 0; /* the board makes none, or none will run */
    return bpc_cpu_find_model(m->cpu_model, &class, err);
}

/* ---- features ---- */

static int offer_feature(const struct bpc_prop *prop, void *opaque)
{
    bpc_near_offer(opaque, prop->field->name);
    return 0;
}

static int unknown_feature(struct bp_object *obj, const char *name, struct bp_error *err)
{
    struct bpc_near near;
    char names[200];

    bpc_near_init(&near, name);
    bpc_object_each_prop(obj, offer_feature, &near);
    bpc_near_print(&near, names, sizeof(names));
    return bp_fail(err, ENOENT, "there is no feature '%s'%s%s", name,
                   *names ? "; nearest: " : "; -cpu MODEL,help lists them", names);
}

static int set_feature(struct bp_object *obj, const char *name, const char *text,
                       struct bp_error *err)
{
    struct bpc_prop prop;
    char *dashed;
    int ret;

    if (bpc_object_find_prop(obj, name, &prop))
        return bp_object_set_text(obj, name, text, err);
    dashed = g_strdelimit(g_strdup(name), "_", '-'); /* flag names as /proc/cpuinfo writes them */
    if (bpc_object_find_prop(obj, dashed, &prop))
        ret = bp_object_set_text(obj, dashed, text, err);
    else
        ret = unknown_feature(obj, name, err);
    g_free(dashed);
    return ret;
}

/* One of "feature=value", "feature", "+feature", "-feature". */
static int apply_feature(struct bp_object *obj, char *item, struct bp_error *err)
{
    char *equals = strchr(item, '=');

    if (*item == '+' || *item == '-')
        return set_feature(obj, item + 1, *item == '+' ? "on" : "off", err);
    if (!equals)
        return set_feature(obj, item, "on", err);
    *equals = '\0';
    return set_feature(obj, item, equals + 1, err);
}

static int apply_features(struct bp_object *obj, struct bp_error *err)
{
    const char *comma = bpc_config.cpu ? strchr(bpc_config.cpu, ',') : NULL;
    char **items;
    int ret = 0;

    if (!comma)
        return 0;
    items = g_strsplit(comma + 1, ",", -1);
    for (char **item = items; *item && ret == 0; item++) {
        if (!**item)
            ret = bp_fail(err, EINVAL, "a feature is missing between two commas");
        else
            ret = apply_feature(obj, *item, err);
    }
    g_strfreev(items);
    return ret;
}

/* ---- making and freeing ---- */

static void cpu_finalize(struct bp_object *obj)
{
    struct bp_cpu *cpu = (struct bp_cpu *)obj;

    bpc_reader_remove(&cpu->reader);
    free(cpu->accel_state);
    g_free(cpu->debug_points);
    pthread_mutex_destroy(&cpu->lock);
    pthread_cond_destroy(&cpu->wake);
    pthread_cond_destroy(&cpu->report);
}

static int alloc_accel_state(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err)
{
    size_t size = m->accel->class->cpu_size;

    if (size == 0)
        return 0;
    if (posix_memalign(&cpu->accel_state, 64, size) != 0) {
        cpu->accel_state = NULL;
        return bp_fail(err, ENOMEM, "no memory for vCPU %u", cpu->index);
    }
    memset(cpu->accel_state, 0, size);
    return 0;
}

static int put_into_tree(struct bp_cpu *cpu, const char *id, struct bp_error *err)
{
    if (id)
        return bpc_object_add_child(bpc_object_container("/machine/peripheral"), id, &cpu->obj, err);
    /* Among the board's devices: clients look for the first one at device[0]. */
    bpc_object_add_child_numbered(bpc_object_container("/machine/unattached"), "device", &cpu->obj);
    return 0;
}

static int set_up(struct bp_machine *m, struct bp_cpu *cpu, const char *id, struct bp_error *err)
{
    const struct bp_accel_class *accel = m->accel->class;
    int ret = put_into_tree(cpu, id, err);

    if (ret == 0)
        ret = alloc_accel_state(m, cpu, err);
    __atomic_store_n(&m->cpus[cpu->index], cpu, __ATOMIC_RELEASE);
    if (ret == 0 && cpu->class->init)
        ret = cpu->class->init(cpu, err);
    if (ret == 0 && accel->cpu_init)
        ret = accel->cpu_init(m->accel, cpu, err);
    __atomic_store_n(&cpu->accel_ready, ret == 0, __ATOMIC_RELEASE);
    cpu->obj.live = true;
    if (ret == 0 && m->board->cpu_plug)
        ret = m->board->cpu_plug(m, cpu, err);
    return ret;
}

/* -cpu's features, then those of this one. */
static int set_features(const struct bp_machine *m, struct bp_cpu *cpu, const struct bp_value *props,
                        const char *const *skip, struct bp_error *err)
{
    int ret = apply_features(&cpu->obj, err);

    if (ret < 0)
        bp_error_prefix(err, "-cpu %s", m->cpu_model);
    else
        ret = bpc_object_set_all(&cpu->obj, props, skip, err);
    return ret;
}

int bp_machine_new_cpu(struct bp_machine *m, unsigned index, struct bp_cpu **ret_cpu,
                       struct bp_error *err)
{
    bpc_assert_main();
    return bpc_cpu_make(m, index, NULL, NULL, NULL, ret_cpu, err);
}

/* Of a model, without its properties. */
static int cpu_new(struct bp_machine *m, const char *model, unsigned index, struct bp_cpu **ret_cpu,
                   struct bp_error *err)
{
    const struct bp_cpu_class *class;
    struct bp_cpu *cpu;
    int ret = bpc_cpu_find_model(model, &class, err);

    if (ret < 0)
        return ret;
    cpu = bp_alloc(sizeof(*cpu));
    cpu->class = class;
    cpu->index = index;
    cpu->space = m->memory;
    cpu->obj.machine = m;
    ret = bpc_object_init(&cpu->obj, BP_PROVIDE_CPU, &class->type, err);
    if (ret < 0) {
        free(cpu);
        return ret;
    }
    bpc_cpu_thread_init(cpu);
    cpu->obj.finalize = cpu_finalize;
    *ret_cpu = cpu;
    return 0;
}

int bpc_cpu_make(struct bp_machine *m, unsigned index, const char *id, const struct bp_value *props,
                 const char *const *skip, struct bp_cpu **ret_cpu, struct bp_error *err)
{
    struct bp_cpu *cpu;
    int ret;

    if (index >= m->cpu_slots || m->cpus[index])
        return bp_fail(err, EINVAL, "CPU %u: %s", index,
                       index >= m->cpu_slots ? "the machine has fewer" : "it exists already");
    if (!m->cpu_model)
        return bp_fail(err, EINVAL, "machine '%s' has no default CPU model; -cpu names one",
                       m->board->type.name);
    ret = cpu_new(m, m->cpu_model, index, &cpu, err);
    if (ret < 0)
        return ret;
    ret = bpc_object_add_props(&cpu->obj, bpc_cpu_place_props, NULL, "cpu", err);
    if (ret == 0)
        ret = set_features(m, cpu, props, skip, err);
    if (ret == 0)
        ret = set_up(m, cpu, id, err);
    if (ret < 0) {
        bpc_cpu_free(cpu);
        return ret;
    }
    *ret_cpu = cpu;
    return 0;
}

static int add_setting(const struct bpc_prop *prop, void *opaque)
{
    struct bp_value *value;

    if (prop->field->kind == BP_KIND_BOOL && prop->field->set &&
        bp_object_get(prop->obj, prop->field->name, &value, NULL) == 0)
        bp_value_set(opaque, prop->field->name, value);
    return 0;
}

/* Nobody is to be warned of what is only asked about. */
static void be_silent(struct bp_object *obj)
{
    struct bpc_prop prop;

    if (bpc_object_find_prop(obj, "check", &prop))
        bp_object_set_text(obj, "check", "off", NULL);
}

/* On a processor that belongs to no machine's slot, and goes again. */
int bpc_cpu_expand(struct bp_machine *m, const char *model, const struct bp_value *props,
                   struct bp_value **ret_props, struct bp_value **ret_missing, struct bp_error *err)
{
    struct bp_cpu *cpu;
    int ret = cpu_new(m, model, 0, &cpu, err);

    if (ret < 0)
        return ret;
    be_silent(&cpu->obj);
    if (props)
        ret = bpc_object_set_all(&cpu->obj, props, NULL, err);
    if (ret == 0 && cpu->class->init)
        ret = cpu->class->init(cpu, err);
    if (ret == 0 && ret_missing && bp_object_get(&cpu->obj, "unavailable-features", ret_missing, NULL) < 0)
        *ret_missing = bp_value_list();
    if (ret == 0 && ret_props) {
        *ret_props = bp_value_dict();
        bpc_object_each_prop(&cpu->obj, add_setting, *ret_props);
    }
    bp_object_destroy(&cpu->obj);
    return ret;
}

void bpc_cpu_retire(struct bp_cpu *cpu)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    bpc_cpu_thread_stop(cpu);
    if (!cpu->accel_ready)
        return;
    __atomic_store_n(&cpu->accel_ready, false, __ATOMIC_RELEASE);
    if (accel->cpu_hide)
        accel->cpu_hide(cpu);
    bpc_grace_sync(); /* devices on other threads may be about to kick it */
    if (accel->cpu_fini)
        accel->cpu_fini(cpu);
}

void bpc_cpu_free(struct bp_cpu *cpu)
{
    struct bp_machine *m;

    if (!cpu)
        return;
    m = cpu->obj.machine;
    bpc_cpu_retire(cpu);
    if (m->cpus[cpu->index] == cpu)
        m->cpus[cpu->index] = NULL;
    bp_object_destroy(&cpu->obj);
}

/* ---- bp/exact/cpu.h ---- */

void *bp_cpu_state(struct bp_cpu *cpu)
{
    return cpu->obj.state;
}

struct bp_space *bp_cpu_space(const struct bp_cpu *cpu)
{
    return cpu->space;
}

struct bp_space *bp_cpu_io(const struct bp_cpu *cpu)
{
    return bp_machine_io(bp_cpu_machine(cpu));
}

void bp_cpu_set_space(struct bp_cpu *cpu, struct bp_space *space)
{
    bpc_assert_main();
    cpu->space = space;
}

void *bp_cpu_accel_state(struct bp_cpu *cpu)
{
    return cpu->accel_state;
}

struct bp_object *bp_cpu_object(struct bp_cpu *cpu)
{
    return &cpu->obj;
}

struct bp_owner *bp_cpu_owner(struct bp_cpu *cpu)
{
    return &cpu->obj.owner;
}

const struct bp_cpu_class *bp_cpu_class(const struct bp_cpu *cpu)
{
    return cpu->class;
}

unsigned bp_cpu_index(const struct bp_cpu *cpu)
{
    return cpu->index;
}

struct bp_machine *bp_cpu_machine(const struct bp_cpu *cpu)
{
    return cpu->obj.machine;
}

struct bp_cpu *bp_machine_cpu(struct bp_machine *m, unsigned index)
{
    return m && index < m->cpu_slots ? __atomic_load_n(&m->cpus[index], __ATOMIC_ACQUIRE) : NULL;
}

static void port_registers(struct bp_cpu *cpu, bool back)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    if (accel->cpu_port_registers)
        accel->cpu_port_registers(cpu, back);
}

struct bp_cpu *bp_cpu_port_begin(void)
{
    struct bp_cpu *cpu = bp_cpu_current();

    if (cpu)
        port_registers(cpu, false);
    return cpu;
}

void bp_cpu_port_end(struct bp_cpu *cpu)
{
    port_registers(cpu, true);
}

void bp_cpus_hold(void)
{
    bpc_memory_read_lock();
}

void bp_cpus_release(void)
{
    bpc_memory_read_unlock();
}

unsigned bpc_cpu_slots(void)
{
    return bpc_the_machine ? bpc_the_machine->cpu_slots : 0;
}

unsigned bpc_cpu_count(void)
{
    unsigned count = 0;

    for (unsigned i = 0; bpc_the_machine && i < bpc_the_machine->cpu_slots; i++)
        count += bp_machine_cpu(bpc_the_machine, i) != NULL;
    return count;
}

struct lookup {
    uint64_t linear, *phys;
    int status;
};

static void translate(struct bp_cpu *cpu, void *opaque)
{
    struct lookup *l = opaque;

    bpc_cpu_sync(cpu);
    l->status = cpu->class->translate ? cpu->class->translate(cpu, l->linear, l->phys) : -ENOTSUP;
}

int bpc_cpu_translate(struct bp_cpu *cpu, uint64_t linear, uint64_t *ret_phys)
{
    struct lookup l = {linear, ret_phys, 0};

    bp_cpu_run(cpu, translate, &l);
    return l.status;
}

void bpc_cpu_sync(struct bp_cpu *cpu)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    if (accel->cpu_sync && cpu->accel_ready)
        accel->cpu_sync(cpu);
}
