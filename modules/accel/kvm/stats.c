/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * query-stats and query-stats-schemas: what Linux counts of the machine and of each vCPU (Documentation/virt/kvm/api,
 * 4.134 KVM_GET_STATS_FD). The kernel describes its numbers itself: nothing here knows them. A few are counted here:
 * what of a guest's accesses came to the devices, and what the kernel does for them. [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bp/object.h>

#include "kvm.h"

#define MOST 1024u   /* numbers, and bytes of a name: the kernel has some hundred, of 48 */
#define MOST_BUCKETS 4096u

enum { TARGET_VM, TARGET_VCPU, TARGET_CRYPTODEV };

static struct kvm_machine *the_machine;

static const struct own { /* NULL: the end */
    const char *name;
    bool instant;
} machine_own[] = {[KVM_COUNT_BELLS] = {"ioeventfds", true}, [KVM_COUNT_IRQFDS] = {"irqfds", true},
                   [KVM_COUNT_MESSAGES] = {"messages_signalled", false},
                   [KVM_COUNT_COALESCED] = {"coalesced_writes", false}, [KVM_COUNTS] = {NULL, false}},
  vcpu_own[] = {[KVM_LEFT_IO] = {"user_io_exits", false}, [KVM_LEFT_MMIO] = {"user_mmio_exits", false},
                [KVM_LEFT_MSR] = {"user_msr_exits", false}, [KVM_LEFTS] = {NULL, false}};

struct counted { /* whose numbers */
    int fd;
    const struct own *own;
    const uint64_t *counts;
};

static struct counted of_machine(void)
{
    return (struct counted){the_machine->stats, machine_own, the_machine->counts};
}

static struct counted of_vcpu(const struct kvm_vcpu *c)
{
    return (struct counted){c->stats, vcpu_own, c->lefts};
}

void kvm_stats_begin(struct kvm_machine *m)
{
    the_machine = m;
}

int kvm_stats_open(int fd)
{
    int stats = ioctl(fd, KVM_GET_STATS_FD, NULL);

    return stats < 0 ? -1 : stats;
}

/* ---- reading ---- */

struct numbers { /* as the kernel describes them; pointers into `block` */
    struct kvm_stats_header head;
    uint8_t *block;
    size_t each;
};

static bool read_at(int fd, void *to, size_t size, uint64_t offset)
{
    return pread(fd, to, size, (off_t)offset) == (ssize_t)size;
}

static bool numbers_read(struct numbers *n, int fd)
{
    n->block = NULL;
    if (fd < 0 || !read_at(fd, &n->head, sizeof(n->head), 0) || n->head.num_desc > MOST || n->head.name_size == 0 ||
        n->head.name_size > MOST)
        return false;
    n->each = sizeof(struct kvm_stats_desc) + n->head.name_size;
    n->block = calloc(n->head.num_desc + 1, n->each);
    if (n->block && read_at(fd, n->block, n->head.num_desc * n->each, n->head.desc_offset))
        return true;
    free(n->block);
    n->block = NULL;
    return false;
}

static const struct kvm_stats_desc *number(const struct numbers *n, uint32_t i, char name[MOST + 1])
{
    const uint8_t *at = n->block + i * n->each;

    memcpy(name, at + sizeof(struct kvm_stats_desc), n->head.name_size);
    name[n->head.name_size] = '\0';
    return (const struct kvm_stats_desc *)(const void *)at;
}

static bool wanted(const char *name, const struct bp_value *names)
{
    if (!names)
        return true;
    for (size_t i = 0; i < bp_value_length(names); i++) {
        if (strcmp(bp_value_as_string(bp_value_at(names, i)), name) == 0)
            return true;
    }
    return false;
}

static struct bp_value *value_of(const struct kvm_stats_desc *d, const uint64_t *data)
{
    struct bp_value *list;

    if (d->size == 1 && (d->flags & KVM_STATS_UNIT_MASK) == KVM_STATS_UNIT_BOOLEAN)
        return bp_value_bool(data[0] != 0);
    if (d->size == 1)
        return bp_value_uint(data[0]);
    list = bp_value_list();
    for (unsigned i = 0; i < d->size; i++)
        bp_value_append(list, bp_value_uint(data[i]));
    return list;
}

static struct bp_value *add_value(struct bp_value *list, const char *name, struct bp_value *value)
{
    struct bp_value *one = bp_value_dict();

    bp_value_set(one, "name", bp_value_string(name));
    bp_value_set(one, "value", value);
    list = list ? list : bp_value_list();
    bp_value_append(list, one);
    return list;
}

/* Those that are asked for: [{"name", "value"}]; NULL: none. */
static struct bp_value *values(struct counted what, const struct bp_value *names)
{
    const int fd = what.fd;
    struct bp_value *list = NULL;
    uint64_t *data = malloc(MOST_BUCKETS * sizeof(*data));
    struct numbers n;
    char name[MOST + 1];

    if (data && numbers_read(&n, fd)) {
        for (uint32_t i = 0; i < n.head.num_desc; i++) {
            const struct kvm_stats_desc *d = number(&n, i, name);

            if (!wanted(name, names) || d->size == 0 || d->size > MOST_BUCKETS ||
                !read_at(fd, data, d->size * sizeof(*data), (uint64_t)n.head.data_offset + d->offset))
                continue;
            list = add_value(list, name, value_of(d, data));
        }
        free(n.block);
    }
    free(data);
    for (unsigned i = 0; what.own[i].name; i++) {
        if (wanted(what.own[i].name, names))
            list = add_value(list, what.own[i].name,
                             bp_value_uint(__atomic_load_n(&what.counts[i], __ATOMIC_RELAXED)));
    }
    return list;
}

/* ---- what they are ---- */

/* By the kernel's numbers; that of a unit begins with "none". */
static const char *const types[] = {"cumulative", "instant", "peak", "linear-histogram", "log2-histogram", NULL};
static const char *const units[] = {"bytes", "seconds", "cycles", "boolean", NULL};

static struct bp_value *described(const struct kvm_stats_desc *d, const char *name)
{
    unsigned type = (d->flags & KVM_STATS_TYPE_MASK) >> KVM_STATS_TYPE_SHIFT;
    unsigned unit = (d->flags & KVM_STATS_UNIT_MASK) >> KVM_STATS_UNIT_SHIFT;
    struct bp_value *one;

    if (type >= BP_COUNT(types) - 1 || unit >= BP_COUNT(units))
        return NULL; /* of a kernel that is newer */
    one = bp_value_dict();
    bp_value_set(one, "name", bp_value_string(name));
    bp_value_set(one, "type", bp_value_string(types[type]));
    if (unit > 0)
        bp_value_set(one, "unit", bp_value_string(units[unit - 1]));
    if (d->exponent)
        bp_value_set(one, "base", bp_value_int((d->flags & KVM_STATS_BASE_MASK) == KVM_STATS_BASE_POW2 ? 2 : 10));
    bp_value_set(one, "exponent", bp_value_int(d->exponent));
    if ((d->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_LINEAR_HIST)
        bp_value_set(one, "bucket-size", bp_value_uint(d->bucket_size));
    return one;
}

static void add_schema(struct bp_value *list, struct counted what, const char *target)
{
    struct bp_value *entry = bp_value_dict(), *stats = bp_value_list(), *one;
    struct numbers n = {.head = {.num_desc = 0}};
    char name[MOST + 1];

    if (!numbers_read(&n, what.fd))
        n.head.num_desc = 0;
    for (uint32_t i = 0; i < n.head.num_desc; i++) {
        one = described(number(&n, i, name), name);
        if (one)
            bp_value_append(stats, one);
    }
    free(n.block);
    for (unsigned i = 0; what.own[i].name; i++) {
        one = bp_value_dict();
        bp_value_set(one, "name", bp_value_string(what.own[i].name));
        bp_value_set(one, "type", bp_value_string(what.own[i].instant ? "instant" : "cumulative"));
        bp_value_set(one, "exponent", bp_value_int(0));
        bp_value_append(stats, one);
    }
    bp_value_set(entry, "provider", bp_value_string("kvm"));
    bp_value_set(entry, "target", bp_value_string(target));
    bp_value_set(entry, "stats", stats);
    bp_value_append(list, entry);
}

/* ---- commands ---- */

static const char *const providers[] = {"kvm", "cryptodev", NULL};
static const struct bp_schema provider = {.name = "StatsProvider", .kind = BP_KIND_ENUM, .choices = providers};
static const char *const targets[] = {"vm", "vcpu", "cryptodev", NULL};
static const struct bp_schema target_kind = {.name = "StatsTarget", .kind = BP_KIND_ENUM, .choices = targets};
static const struct bp_schema strings = {.name = "strList", .kind = BP_KIND_LIST, .element_kind = BP_KIND_STRING};
static const struct bp_field request_fields[] = {
    BP_ARG_TYPED("provider", ENUM, &provider, 0, "who counts"),
    BP_ARG_TYPED("names", LIST, &strings, BP_FIELD_OPTIONAL, "which numbers; all"), BP_FIELDS_END};
static const struct bp_schema request = {.name = "StatsRequest", .kind = BP_KIND_STRUCT, .members = request_fields};
static const struct bp_schema request_list = {.name = "StatsRequestList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT, .element = &request};
static const struct bp_field query_args[] = {
    BP_ARG_TYPED("target", ENUM, &target_kind, 0, "of what"),
    BP_ARG_TYPED("providers", LIST, &request_list, BP_FIELD_OPTIONAL, "from whom; all"),
    BP_ARG_TYPED("vcpus", LIST, &strings, BP_FIELD_OPTIONAL, "target vcpu: paths of processors; all"), BP_FIELDS_END};

static const struct bp_schema numbers_list = {.name = "uint64List", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_UINT64};
static const struct bp_field value_fields[] = {
    BP_ARG("scalar", UINT64, "a number"), BP_ARG("boolean", BOOL, "a state"),
    BP_ARG_TYPED("list", LIST, &numbers_list, 0, "of a histogram"), BP_FIELDS_END};
static const struct bp_schema value_kind = {.name = "StatsValue", .kind = BP_KIND_ALTERNATE, .members = value_fields};
static const struct bp_field stat_fields[] = {
    BP_ARG("name", STRING, "name"), BP_ARG_TYPED("value", ALTERNATE, &value_kind, 0, "value"), BP_FIELDS_END};
static const struct bp_schema stat = {.name = "Stats", .kind = BP_KIND_STRUCT, .members = stat_fields};
static const struct bp_schema stat_list = {.name = "StatsList", .kind = BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
                                           .element = &stat};
static const struct bp_field result_fields[] = {
    BP_ARG_TYPED("provider", ENUM, &provider, 0, "who counts"), BP_ARG_OPT("qom-path", STRING, "of which processor"),
    BP_ARG_TYPED("stats", LIST, &stat_list, 0, "the numbers"), BP_FIELDS_END};
static const struct bp_schema result = {.name = "StatsResult", .kind = BP_KIND_STRUCT, .members = result_fields};
static const struct bp_schema result_list = {.name = "StatsResultList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRUCT, .element = &result};

/* false: the numbers of KVM are not asked for. *ret_names: of those that are; NULL: all. */
static bool asked(const struct bp_value *who, const struct bp_value **ret_names)
{
    *ret_names = NULL;
    if (!who)
        return true;
    for (size_t i = 0; i < bp_value_length(who); i++) {
        struct bp_value *one = bp_value_at(who, i);

        if (strcmp(bp_value_get_string(one, "provider"), "kvm") == 0) {
            *ret_names = bp_value_get(one, "names");
            return true;
        }
    }
    return false;
}

static void add_result(struct bp_value *list, struct counted what, const char *path, const struct bp_value *names)
{
    struct bp_value *stats = values(what, names), *entry;

    if (!stats)
        return;
    entry = bp_value_dict();
    bp_value_set(entry, "provider", bp_value_string("kvm"));
    if (path)
        bp_value_set(entry, "qom-path", bp_value_string(path));
    bp_value_set(entry, "stats", stats);
    bp_value_append(list, entry);
}

static int check_paths(const struct bp_value *paths, struct bp_error *err)
{
    for (size_t i = 0; paths && i < bp_value_length(paths); i++) {
        const char *path = bp_value_as_string(bp_value_at(paths, i));
        struct bp_object *obj = bp_object_resolve(path, NULL, NULL);

        if (!obj || !bp_object_is_a(obj, "cpu"))
            return bp_fail(err, ENOENT, "'%.200s' is no processor; query-cpus-fast has their paths", path);
    }
    return 0;
}

static int query_stats(int target, struct bp_value *who, struct bp_value *vcpus, struct bp_value **ret_value,
                       struct bp_error *err)
{
    struct bp_value *list;
    const struct bp_value *names;
    int ret = check_paths(vcpus, err);

    if (ret == 0 && vcpus && target != TARGET_VCPU)
        ret = bp_fail(err, EINVAL, "Parameter 'vcpus' is for target 'vcpu'");
    if (ret < 0)
        return ret;
    list = bp_value_list();
    if (the_machine && asked(who, &names) && target == TARGET_VM)
        add_result(list, of_machine(), NULL, names);
    for (struct kvm_vcpu *c = the_machine && asked(who, &names) && target == TARGET_VCPU ? the_machine->first : NULL; c;
         c = c->next) {
        const char *path = bp_object_path(bp_cpu_object(c->cpu));

        if (wanted(path, vcpus))
            add_result(list, of_vcpu(c), path, names);
    }
    *ret_value = list;
    return 0;
}
BP_COMMAND(kvm_query_stats, "query-stats", "What is counted of the machine or its processors", query_args, LIST,
           &result_list, query_stats, 0);

static const struct bp_field schemas_args[] = {
    BP_ARG_TYPED("provider", ENUM, &provider, BP_FIELD_OPTIONAL, "who counts; all"), BP_FIELDS_END};
static const struct bp_schema type_kind = {.name = "StatsType", .kind = BP_KIND_ENUM, .choices = types};
static const struct bp_schema unit_kind = {.name = "StatsUnit", .kind = BP_KIND_ENUM, .choices = units};
static const struct bp_field schema_fields[] = {
    BP_ARG("name", STRING, "name"), BP_ARG_TYPED("type", ENUM, &type_kind, 0, "how it moves"),
    BP_ARG_TYPED("unit", ENUM, &unit_kind, BP_FIELD_OPTIONAL, "of what; none: it is a count"),
    BP_ARG_OPT("base", INT8, "with exponent: base^exponent units"), BP_ARG("exponent", INT16, "see base"),
    BP_ARG_OPT("bucket-size", UINT32, "of a linear histogram"), BP_FIELDS_END};
static const struct bp_schema schema_one = {.name = "StatsSchemaValue", .kind = BP_KIND_STRUCT,
                                            .members = schema_fields};
static const struct bp_schema schema_values = {.name = "StatsSchemaValueList", .kind = BP_KIND_LIST,
                                               .element_kind = BP_KIND_STRUCT, .element = &schema_one};
static const struct bp_field schemas_fields[] = {
    BP_ARG_TYPED("provider", ENUM, &provider, 0, "who counts"),
    BP_ARG_TYPED("target", ENUM, &target_kind, 0, "of what"),
    BP_ARG_TYPED("stats", LIST, &schema_values, 0, "the numbers"), BP_FIELDS_END};
static const struct bp_schema schemas_one = {.name = "StatsSchema", .kind = BP_KIND_STRUCT, .members = schemas_fields};
static const struct bp_schema schemas_list = {.name = "StatsSchemaList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT, .element = &schemas_one};

static int query_schemas(bool has_provider, int who, struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    if (!the_machine || (has_provider && who != 0))
        return 0;
    add_schema(*ret_value, of_machine(), "vm");
    if (the_machine->first)
        add_schema(*ret_value, of_vcpu(the_machine->first), "vcpu");
    return 0;
}
BP_COMMAND(kvm_query_schemas, "query-stats-schemas", "Names, types and units of what query-stats has", schemas_args,
           LIST, &schemas_list, query_schemas, 0);

/* ---- for people ---- */

static void show(struct bp_monitor *mon, struct counted what)
{
    struct bp_value *list = values(what, NULL);

    for (size_t i = 0; list && i < bp_value_length(list); i++) {
        struct bp_value *one = bp_value_at(list, i), *v = bp_value_get(one, "value");

        bp_monitor_printf(mon, "    %s:", bp_value_get_string(one, "name"));
        for (size_t k = 0; bp_value_type(v) == BP_VALUE_LIST && k < bp_value_length(v); k++)
            bp_monitor_printf(mon, " [%zu]=%llu", k, (unsigned long long)bp_value_as_uint(bp_value_at(v, k)));
        if (bp_value_type(v) == BP_VALUE_BOOL)
            bp_monitor_printf(mon, " %s", bp_value_as_bool(v) ? "yes" : "no");
        else if (bp_value_type(v) != BP_VALUE_LIST)
            bp_monitor_printf(mon, " %llu", (unsigned long long)bp_value_as_uint(v));
        bp_monitor_printf(mon, "\n");
    }
    bp_value_unref(list);
}

static void info_stats(struct bp_monitor *mon, struct bp_value *args)
{
    const char *target = bp_value_get_string(args, "target");

    if (strcmp(target, "vm") != 0 && strcmp(target, "vcpu") != 0) {
        bp_monitor_printf(mon, "Error: 'info stats' takes vm or vcpu, not '%.100s'\n", target);
        return;
    }
    if (!the_machine) {
        bp_monitor_printf(mon, "Error: nothing is counted: the machine does not run on KVM (-accel kvm)\n");
        return;
    }
    bp_monitor_printf(mon, "provider: kvm\n");
    if (strcmp(target, "vm") == 0)
        show(mon, of_machine());
    for (struct kvm_vcpu *c = strcmp(target, "vcpu") == 0 ? the_machine->first : NULL; c; c = c->next) {
        bp_monitor_printf(mon, "  CPU %u:\n", bp_cpu_index(c->cpu));
        show(mon, of_vcpu(c));
    }
}
static const struct bp_field info_args[] = {BP_ARG("target", STRING, "vm or vcpu"), BP_FIELDS_END};
BP_HMP(kvm_info_stats, "info stats", "target", "show what is counted of the machine (vm) or its processors (vcpu)",
       info_args, info_stats);
