/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Layouts (layout.h) of what <bp/...> lets a module provide. Left out on purpose: functions,
 * interface tables, a bus's information about a device, saved state (a table of offsets that means
 * nothing without the code), and reserved members.
 */
#include "layout.h"

#include <string.h>

#include <bp/host/chardev.h>
#include <bp/command.h>
#include <bp/exact/cpu.h>
#include <bp/device.h>
#include <bp/exact/machine.h>
#include <bp/option.h>

#define PLAIN(TYPE, FIRST, LAST) \
    {SLOT_PLAIN, offsetof(TYPE, FIRST), \
     offsetof(TYPE, LAST) + sizeof(((TYPE *)0)->LAST) - offsetof(TYPE, FIRST), NULL}
#define STRING(TYPE, MEMBER) {SLOT_STRING, offsetof(TYPE, MEMBER), sizeof(void *), NULL}
#define NAME(TYPE, MEMBER) {SLOT_NAME, offsetof(TYPE, MEMBER), sizeof(void *), NULL}
#define STRINGS(TYPE, MEMBER) {SLOT_STRINGS, offsetof(TYPE, MEMBER), sizeof(void *), NULL}
#define ONE(TYPE, MEMBER, TO) {SLOT_ONE, offsetof(TYPE, MEMBER), sizeof(void *), TO}
#define TABLE(TYPE, MEMBER, TO) {SLOT_TABLE, offsetof(TYPE, MEMBER), sizeof(void *), TO}
#define SLOTS_END {SLOT_PLAIN, 0, 0, NULL}

static const struct layout field_layout, schema_layout, variant_layout;

static bool kind_has_schema(enum bp_kind kind)
{
    return kind == BP_KIND_ENUM || kind == BP_KIND_STRUCT || kind == BP_KIND_UNION ||
           kind == BP_KIND_ALTERNATE || kind == BP_KIND_LIST;
}

static bool kind_is_known(enum bp_kind kind)
{
    return (unsigned)kind <= BP_KIND_ANY;
}

/* Whoever reads a field follows its schema by its kind. */
static bool check_field(const void *copy)
{
    const struct bp_field *f = copy;

    return kind_is_known(f->kind) &&
           (!kind_has_schema(f->kind) || (f->schema && f->schema->kind == f->kind));
}

static bool check_schema(const void *copy)
{
    const struct bp_schema *s = copy;

    if (!kind_has_schema(s->kind) || !kind_is_known(s->element_kind))
        return false;
    if (s->kind == BP_KIND_ENUM)
        return s->choices != NULL;
    if (s->kind == BP_KIND_UNION)
        return s->discriminator != NULL;
    if (s->kind == BP_KIND_LIST && kind_has_schema(s->element_kind))
        return s->element && s->element->kind == s->element_kind;
    return true;
}

static bool check_variant(const void *copy)
{
    const struct bp_variant *v = copy;

    return !v->schema || v->schema->kind == BP_KIND_STRUCT;
}

static bool check_command(const void *copy)
{
    const struct bp_command *c = copy;

    return kind_is_known(c->returns) &&
           (!kind_has_schema(c->returns) ||
            (c->returns_schema && c->returns_schema->kind == c->returns));
}

static bool check_option(const void *copy)
{
    return (unsigned)((const struct bp_option *)copy)->phase <= BP_PHASE_LATE;
}

static bool check_arch(const char *arch)
{
    return arch != NULL;
}

static bool check_board(const void *copy)
{
    return check_arch(((const struct bp_board_class *)copy)->arch);
}

static bool check_cpu(const void *copy)
{
    const struct bp_cpu_class *c = copy;

    return c->model && check_arch(c->arch);
}

static bool check_accel(const void *copy)
{
    return check_arch(((const struct bp_accel_class *)copy)->arch);
}

static const struct slot field_slots[] = {
    NAME(struct bp_field, name),
    PLAIN(struct bp_field, kind, offset),
    STRING(struct bp_field, def),
    STRING(struct bp_field, help),
    ONE(struct bp_field, schema, &schema_layout),
    STRING(struct bp_field, target),
    PLAIN(struct bp_field, min, max),
    STRINGS(struct bp_field, features),
    SLOTS_END};
static const struct layout field_layout = {"bp_field", sizeof(struct bp_field), field_slots,
                                           check_field};

static const struct slot schema_slots[] = {
    STRING(struct bp_schema, name),
    PLAIN(struct bp_schema, kind, kind),
    TABLE(struct bp_schema, members, &field_layout),
    STRINGS(struct bp_schema, choices),
    STRING(struct bp_schema, discriminator),
    TABLE(struct bp_schema, variants, &variant_layout),
    PLAIN(struct bp_schema, element_kind, element_kind),
    ONE(struct bp_schema, element, &schema_layout),
    SLOTS_END};
static const struct layout schema_layout = {"bp_schema", sizeof(struct bp_schema), schema_slots,
                                            check_schema};

static const struct slot variant_slots[] = {
    NAME(struct bp_variant, value),
    ONE(struct bp_variant, schema, &schema_layout),
    SLOTS_END};
static const struct layout variant_layout = {"bp_variant", sizeof(struct bp_variant),
                                             variant_slots, check_variant};

#define TYPE_SLOTS \
    PLAIN(struct bp_type_info, size, flags), NAME(struct bp_type_info, name), \
        STRING(struct bp_type_info, parent), STRING(struct bp_type_info, summary), \
        PLAIN(struct bp_type_info, state_size, state_size), \
        TABLE(struct bp_type_info, props, &field_layout)

static const struct slot type_slots[] = {TYPE_SLOTS, SLOTS_END};
static const struct layout abstract_layout = {"bp_type_info", sizeof(struct bp_type_info),
                                              type_slots, NULL};
static const struct layout object_layout = {"bp_object_class", sizeof(struct bp_object_class),
                                            type_slots, NULL};
static const struct layout chardev_layout = {"bp_chardev_class", sizeof(struct bp_chardev_class),
                                             type_slots, NULL};

static const struct slot device_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_device_class, bus),
    STRING(struct bp_device_class, category),
    STRINGS(struct bp_device_class, aliases),
    SLOTS_END};
static const struct layout device_layout = {"bp_device_class", sizeof(struct bp_device_class),
                                            device_slots, NULL};

static const struct slot bus_slots[] = {
    TYPE_SLOTS,
    PLAIN(struct bp_bus_class, child_size, child_size),
    TABLE(struct bp_bus_class, child_props, &field_layout),
    PLAIN(struct bp_bus_class, max_children, max_children),
    SLOTS_END};
static const struct layout bus_layout = {"bp_bus_class", sizeof(struct bp_bus_class), bus_slots,
                                         NULL};

static const struct slot board_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_board_class, alias),
    STRING(struct bp_board_class, arch),
    PLAIN(struct bp_board_class, is_default, max_cpus),
    STRING(struct bp_board_class, default_cpu),
    PLAIN(struct bp_board_class, default_ram_size, default_ram_size),
    STRING(struct bp_board_class, default_ram_id),
    PLAIN(struct bp_board_class, hotpluggable_cpus, hotpluggable_cpus),
    SLOTS_END};
static const struct layout board_layout = {"bp_board_class", sizeof(struct bp_board_class),
                                           board_slots, check_board};

static const struct slot cpu_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_cpu_class, model),
    STRING(struct bp_cpu_class, arch),
    SLOTS_END};
static const struct layout cpu_layout = {"bp_cpu_class", sizeof(struct bp_cpu_class), cpu_slots,
                                         check_cpu};

static const struct slot accel_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_accel_class, arch),
    PLAIN(struct bp_accel_class, rank, no_cpus),
    PLAIN(struct bp_accel_class, cpu_size, cpu_size),
    SLOTS_END};
static const struct layout accel_layout = {"bp_accel_class", sizeof(struct bp_accel_class),
                                           accel_slots, check_accel};

static const struct slot interface_slots[] = {
    PLAIN(struct bp_interface, size, size),
    NAME(struct bp_interface, name),
    PLAIN(struct bp_interface, major, minor),
    SLOTS_END};
static const struct layout interface_layout = {"bp_interface", sizeof(struct bp_interface),
                                               interface_slots, NULL};

static const struct slot option_slots[] = {
    PLAIN(struct bp_option, size, phase),
    NAME(struct bp_option, name),
    STRING(struct bp_option, alias),
    STRING(struct bp_option, arg),
    STRING(struct bp_option, help),
    STRING(struct bp_option, group),
    TABLE(struct bp_option, keys, &field_layout),
    STRING(struct bp_option, implied),
    PLAIN(struct bp_option, any_keys, merge),
    PLAIN(struct bp_option, lists, lists),
    SLOTS_END};
static const struct layout option_layout = {"bp_option", sizeof(struct bp_option), option_slots,
                                            check_option};

static const struct slot command_slots[] = {
    PLAIN(struct bp_command, size, flags),
    NAME(struct bp_command, name),
    STRING(struct bp_command, summary),
    TABLE(struct bp_command, args, &field_layout),
    PLAIN(struct bp_command, returns, returns),
    ONE(struct bp_command, returns_schema, &schema_layout),
    STRINGS(struct bp_command, features),
    SLOTS_END};
static const struct layout command_layout = {"bp_command", sizeof(struct bp_command),
                                             command_slots, check_command};

static const struct slot hmp_slots[] = {
    PLAIN(struct bp_hmp_command, size, size),
    NAME(struct bp_hmp_command, name),
    STRING(struct bp_hmp_command, params),
    STRING(struct bp_hmp_command, summary),
    TABLE(struct bp_hmp_command, args, &field_layout),
    SLOTS_END};
static const struct layout hmp_layout = {"bp_hmp_command", sizeof(struct bp_hmp_command),
                                         hmp_slots, NULL};

static const struct slot event_slots[] = {
    PLAIN(struct bp_event, size, size),
    NAME(struct bp_event, name),
    STRING(struct bp_event, summary),
    TABLE(struct bp_event, data, &field_layout),
    PLAIN(struct bp_event, rate_ms, rate_ms),
    SLOTS_END};
static const struct layout event_layout = {"bp_event", sizeof(struct bp_event), event_slots, NULL};

static const struct layout *const by_kind[] = {
    [BP_PROVIDE_DEVICE] = &device_layout,   [BP_PROVIDE_BUS] = &bus_layout,
    [BP_PROVIDE_BOARD] = &board_layout,     [BP_PROVIDE_CPU] = &cpu_layout,
    [BP_PROVIDE_ACCEL] = &accel_layout,     [BP_PROVIDE_OBJECT] = &object_layout,
    [BP_PROVIDE_CHARDEV] = &chardev_layout, [BP_PROVIDE_INTERFACE] = &interface_layout,
    [BP_PROVIDE_OPTION] = &option_layout,   [BP_PROVIDE_COMMAND] = &command_layout,
    [BP_PROVIDE_HMP] = &hmp_layout,         [BP_PROVIDE_EVENT] = &event_layout,
    [BP_PROVIDE_ABSTRACT] = &abstract_layout,
};

const struct layout *layout_of_kind(enum bp_provide_kind kind)
{
    return (unsigned)kind < BP_COUNT(by_kind) ? by_kind[kind] : NULL;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t mix_layout(uint64_t hash, const struct layout *layout)
{
    for (const char *c = layout->name; *c; c++)
        hash = mix(hash, (unsigned char)*c);
    hash = mix(hash, layout->size);
    for (const struct slot *s = layout->slots; s->length; s++) {
        hash = mix(hash, (uint64_t)s->kind << 32 | s->offset);
        hash = mix(hash, s->length);
    }
    return hash;
}

uint64_t layout_hash(void)
{
    uint64_t hash = mix(BP_ABI_MAJOR, BP_ABI_MINOR);

    hash = mix_layout(hash, &field_layout);
    hash = mix_layout(hash, &schema_layout);
    hash = mix_layout(hash, &variant_layout);
    for (unsigned kind = 0; kind < BP_COUNT(by_kind); kind++)
        if (by_kind[kind])
            hash = mix_layout(hash, by_kind[kind]);
    return hash;
}
