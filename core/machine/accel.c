/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which accelerator runs the guest: those of -accel in turn, or the installed one of highest rank
 * that runs this architecture and works here. One that runs no code (qtest) only when asked for. A
 * machine without processors also starts where no accelerator is installed.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "marks.h"
#include "registry.h"
#include "turns.h"

bool bpc_arch_in(const char *list, const char *arch)
{
    size_t len = strlen(arch);

    if (!list || strcmp(list, "any") == 0)
        return true;
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, arch, len) == 0 && (p[len] == ',' || p[len] == '\0'))
            return true;
    }
    return false;
}

static void list_name(const struct bpc_known *known, void *opaque)
{
    GString *names = opaque;

    g_string_append_printf(names, "%s%s", names->len ? ", " : "", known->name);
}

static char *installed(void)
{
    GString *names = g_string_new(NULL);

    bpc_each_known(BP_PROVIDE_ACCEL, list_name, names);
    if (names->len == 0)
        g_string_append(names, "none");
    return g_string_free(names, FALSE);
}

static bool is_known(const char *name)
{
    const void *desc;

    return bpc_describe(BP_PROVIDE_ACCEL, name, &desc, NULL) != -ENOENT;
}

/* -machine kernel-irqchip= is a key of the accelerator; its own has the last word. */
static int set_irqchip(struct bp_accel *accel, const struct bp_value *props, struct bp_error *err)
{
    static const char key[] = "kernel-irqchip";
    const char *value = bpc_config.kernel_irqchip;
    struct bpc_prop prop;

    if (!value || (props && bp_value_has(props, key)))
        return 0;
    if (bpc_object_find_prop(&accel->obj, key, &prop))
        return bp_object_set_text(&accel->obj, key, value, err);
    if (strcmp(value, "off") == 0)
        return 0;
    return bp_fail(err, ENOTSUP, "-machine kernel-irqchip=%.20s: it has no interrupt controllers in the host's kernel; "
                   "use -accel kvm, or kernel-irqchip=off", value);
}

/* Where the guest shall have the processor's power states: is there one? */
static bool has_power_states(struct bp_accel *accel)
{
    struct bpc_prop prop;

    return bpc_object_find_prop(&accel->obj, "cpu-pm", &prop);
}

/* Makes an accelerator and lets it look whether it can work. */
static int make(struct bp_machine *m, const struct bp_accel_class *class,
                const struct bp_value *props, struct bp_error *err)
{
    static const char *const skip[] = {"accel", NULL};
    struct bp_accel *accel = bp_alloc(sizeof(*accel));
    int ret;

    accel->class = class;
    accel->obj.machine = m;
    ret = bpc_object_init(&accel->obj, BP_PROVIDE_ACCEL, &class->type, err);
    if (ret < 0) {
        free(accel);
        return ret;
    }
    if (props)
        ret = bpc_object_set_all(&accel->obj, props, skip, err);
    if (ret == 0)
        ret = bpc_object_add_child(&m->obj, "accel", &accel->obj, err);
    if (ret == 0 && bpc_config.cpu_pm && has_power_states(accel))
        ret = bp_object_set_text(&accel->obj, "cpu-pm", "on", err);
    if (ret == 0)
        ret = set_irqchip(accel, props, err);
    m->accel = accel; /* bp_machine_accel() inside init() */
    if (ret == 0 && class->init)
        ret = class->init(accel, err);
    accel->obj.live = true;
    if (ret < 0) {
        m->accel = NULL;
        bpc_accel_free(accel);
        bp_error_prefix(err, "accelerator '%s'", class->type.name);
    }
    return ret;
}

static int make_named(struct bp_machine *m, const char *name, const struct bp_value *props,
                      struct bp_error *err)
{
    const struct bp_accel_class *class;
    const void *desc;
    int ret;

    if (!is_known(name)) {
        char *names = installed(), hint[BPC_HINT_SIZE];

        bpc_missing_hint(BP_PROVIDE_ACCEL, name, hint, sizeof(hint));
        bp_fail(err, ENOENT, "accelerator '%.100s' is not installed%s; installed: %s", name, hint,
                names);
        g_free(names);
        return -ENOENT;
    }
    ret = bpc_require(BP_PROVIDE_ACCEL, name, &desc, err);
    if (ret < 0)
        return ret;
    class = desc;
    if (!bpc_arch_in(class->arch, bpc_config.arch))
        return bp_fail(err, ENOTSUP, "accelerator '%s' does not run %s guests; it runs: %s", name,
                       bpc_config.arch, class->arch);
    return make(m, class, props, err);
}

/* ---- the default ---- */

/* Nothing is loaded to look which there are. */
static void collect(const struct bpc_known *known, void *opaque)
{
    const struct bp_accel_class *class;
    const void *desc;
    struct bp_error broken = {0};

    if (bpc_describe(BP_PROVIDE_ACCEL, known->name, &desc, &broken) < 0) {
        bp_warn("accelerator '%s': %s", known->name, broken.message);
        return;
    }
    class = desc;
    if (!class->no_cpus && bpc_arch_in(class->arch, bpc_config.arch))
        g_ptr_array_add(opaque, (void *)class);
}

static gint by_rank(gconstpointer a, gconstpointer b)
{
    const struct bp_accel_class *x = *(void *const *)a, *y = *(void *const *)b;

    return x->rank > y->rank ? -1 : x->rank < y->rank;
}

/* For a machine without processors where nothing is installed that would run them. */
static const struct bp_accel_class no_accel = {
    .type = {.size = sizeof(struct bp_accel_class), .flags = BP_TYPE_NOT_USER_CREATABLE,
             .name = "none", .summary = "Runs nothing"},
    .arch = "any", .no_cpus = true};

struct denied {
    int64_t rank;  /* of what is used in its place; -1: nothing is */
    GString *text; /* "; accelerator 'x' is denied by FILE:LINE (reason)" for each */
};

static void note_denied(const char *name, const void *desc, const char *where, void *opaque)
{
    const struct bp_accel_class *class = desc;
    struct denied *denied = opaque;

    if (class && !class->no_cpus && bpc_arch_in(class->arch, bpc_config.arch) &&
        class->rank > denied->rank)
        g_string_append_printf(denied->text, "; accelerator '%s' is %s", name, where);
}

/* What was not chosen because somebody denied it. Owned by the caller. */
static char *denied_above(int64_t rank)
{
    const struct bpc_loader *loader = bpc_registry_loader();
    struct denied denied = {rank, g_string_new(NULL)};

    if (loader && loader->each_denied)
        loader->each_denied(BP_PROVIDE_ACCEL, note_denied, &denied);
    return g_string_free(denied.text, FALSE);
}

static int make_default(struct bp_machine *m, struct bp_error *err)
{
    char *denied;

    GPtrArray *classes = g_ptr_array_new();
    struct bp_error first = {0};
    int ret = -ENOENT;

    bpc_each_known(BP_PROVIDE_ACCEL, collect, classes);
    g_ptr_array_sort(classes, by_rank);
    for (guint i = 0; ret < 0 && i < classes->len; i++) {
        const char *name = ((const struct bp_type_info *)classes->pdata[i])->name;
        struct bp_error why = {0};
        const void *desc;

        ret = bpc_require(BP_PROVIDE_ACCEL, name, &desc, &why);
        if (ret < 0)
            bp_warn("accelerator '%s': %s", name, why.message);
        else
            ret = make(m, desc, NULL, &why);
        if (ret < 0 && !first.code)
            first = why;
    }
    if (ret < 0 && !m->board->default_cpu && !bpc_config.cpu) { /* it needs none */
        ret = make(m, &no_accel, NULL, err);
    } else if (ret < 0 && first.code) {
        bp_fail(err, first.code, "%s", first.message);
    } else if (ret < 0) {
        char *list = installed(), hint[BPC_HINT_SIZE];

        denied = denied_above(-1);
        bpc_missing_hint(BP_PROVIDE_ACCEL, "", hint, sizeof(hint));
        bp_fail(err, ENOENT, "no accelerator that runs %s guests may be used; installed: %s%s%s",
                bpc_config.arch, list, denied, *denied ? "" : hint);
        g_free(denied);
        g_free(list);
    } else {
        denied = denied_above(m->accel->class->rank);
        if (*denied)
            bp_warn("accelerator '%s' is used%s", m->accel->class->type.name, denied);
        g_free(denied);
    }
    g_ptr_array_free(classes, TRUE);
    return ret;
}

static int choose(struct bp_machine *m, struct bp_error *err)
{
    size_t count = bp_value_length(bpc_config.accels);
    const char *option = bpc_config.accel_option ? bpc_config.accel_option : "-accel";
    int ret = -EINVAL;

    if (count == 0)
        return make_default(m, err);
    for (size_t i = 0; i < count; i++) {
        struct bp_value *props = bp_value_at(bpc_config.accels, i);
        const char *name = bp_value_get_string(props, "accel");
        struct bp_error why = {0};

        ret = make_named(m, name ? name : "", props, &why);
        if (ret == 0)
            return 0;
        if (i + 1 == count)
            return bp_fail(err, why.code, "%s: %s", option, why.message);
        bp_warn("%s: %s; trying the next one", option, why.message);
    }
    return ret;
}

int bpc_accel_choose(struct bp_machine *m, struct bp_error *err)
{
    int ret = choose(m, err);

    if (ret == 0 && bpc_config.cpu_pm && !has_power_states(m->accel))
        return bp_fail(err, ENOTSUP, "-overcommit cpu-pm=on: accelerator '%s' has no power states of a processor; use "
                       "-accel kvm, or cpu-pm=off", m->accel->class->type.name);
    return ret == 0 ? bpc_icount_init(m, err) : ret;
}

void bpc_accel_free(struct bp_accel *accel)
{
    if (!accel)
        return;
    bp_object_destroy(&accel->obj);
}

void bp_machine_one_thread(struct bp_machine *m)
{
    bpc_assert_main();
    m->one_thread = true;
}

void *bp_accel_state(struct bp_accel *accel)
{
    return accel->obj.state;
}

struct bp_object *bp_accel_object(struct bp_accel *accel)
{
    return &accel->obj;
}

struct bp_accel *bp_machine_accel(struct bp_machine *m)
{
    return m->accel;
}

bool bp_machine_runs_code(struct bp_machine *m)
{
    return m && m->accel && !m->accel->class->no_cpus;
}

bool bp_machine_has_smm(struct bp_machine *m)
{
    return m && m->accel && (m->accel->class->smm || m->accel->class->no_cpus);
}

bool bp_machine_has_host_cpu(struct bp_machine *m)
{
    return m && m->accel && m->accel->class->host_cpu;
}

int bp_machine_post_fd(struct bp_machine *m, int fd, uint64_t addr, uint32_t value)
{
    const struct bp_accel *accel = m->accel;

    return accel && accel->class->message_fd ? accel->class->message_fd(m->accel, fd, addr, value) : -ENOTSUP;
}

void bp_machine_post_fd_end(struct bp_machine *m, int fd)
{
    if (m->accel && m->accel->class->message_fd_end)
        m->accel->class->message_fd_end(m->accel, fd);
}

const char *bp_machine_accel_name(struct bp_machine *m)
{
    struct bp_accel *accel = m ? m->accel : NULL;

    return accel ? accel->class->type.name : "none";
}

void bp_machine_cpu_features(struct bp_machine *m, uint32_t *words, unsigned count)
{
    struct bp_accel *accel = m ? m->accel : NULL;

    bpc_assert_main();
    if (accel && accel->class->cpu_features)
        accel->class->cpu_features(accel, words, count);
}
