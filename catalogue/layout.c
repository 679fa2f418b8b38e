/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shapes (layout.h) of what <bp/...> lets a module provide. Left out on purpose: functions,
 * interface tables, a bus's information about a device, saved state (a table of offsets that means
 * nothing without the code), a class's kind, and reserved members.
 */
#include "layout.h"

#include <string.h>

#include <bp/command.h>
#include <bp/exact/cpu.h>
#include <bp/device.h>
#include <bp/exact/machine.h>
#include <bp/level.h>
#include <bp/option.h>

#define PLAIN(TYPE, FIRST, LAST) BP_SHAPE_PLAIN(TYPE, FIRST, LAST)
#define STRING(TYPE, MEMBER) BP_SHAPE_STRING(TYPE, MEMBER)
#define NAME(TYPE, MEMBER) BP_SHAPE_NAME(TYPE, MEMBER)
#define STRINGS(TYPE, MEMBER) BP_SHAPE_STRINGS(TYPE, MEMBER)
#define ONE(TYPE, MEMBER, TO) BP_SHAPE_ONE(TYPE, MEMBER, TO)
#define TABLE(TYPE, MEMBER, TO) BP_SHAPE_TABLE(TYPE, MEMBER, TO)
#define FIELDS(TYPE, MEMBER) BP_SHAPE_FIELDS(TYPE, MEMBER)
#define SCHEMA(TYPE, MEMBER) BP_SHAPE_SCHEMA(TYPE, MEMBER)
#define SLOTS_END BP_SHAPE_END

static const struct bp_shape variant_layout, shape_layout, level_layout;

static bool kind_has_schema(enum bp_field_kind kind)
{
    return kind == BP_KIND_ENUM || kind == BP_KIND_STRUCT || kind == BP_KIND_UNION ||
           kind == BP_KIND_ALTERNATE || kind == BP_KIND_LIST;
}

static bool kind_is_known(enum bp_field_kind kind)
{
    return (unsigned)kind <= BP_KIND_FORWARD;
}

/* Whoever reads a field follows its schema by its kind. */
static bool check_field(const void *copy)
{
    const struct bp_field *f = copy;

    if (f->kind == BP_KIND_FORWARD)
        return f->target && f->forward && strchr(f->forward, '/');
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
    unsigned phase = (unsigned)((const struct bp_option *)copy)->phase;

    return phase > 0 && phase <= BP_PHASE_LATE;
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

static const struct bp_shape_slot field_slots[] = {
    NAME(struct bp_field, name),
    PLAIN(struct bp_field, kind, offset),
    STRING(struct bp_field, def),
    STRING(struct bp_field, help),
    SCHEMA(struct bp_field, schema),
    STRING(struct bp_field, target),
    PLAIN(struct bp_field, min, max),
    STRINGS(struct bp_field, features),
    STRING(struct bp_field, forward),
    SLOTS_END};
const struct bp_shape layout_field = {"bp_field", sizeof(struct bp_field), field_slots};

static const struct bp_shape_slot schema_slots[] = {
    STRING(struct bp_schema, name),
    PLAIN(struct bp_schema, kind, kind),
    FIELDS(struct bp_schema, members),
    STRINGS(struct bp_schema, choices),
    STRING(struct bp_schema, discriminator),
    TABLE(struct bp_schema, variants, &variant_layout),
    PLAIN(struct bp_schema, element_kind, element_kind),
    SCHEMA(struct bp_schema, element),
    SLOTS_END};
const struct bp_shape layout_schema = {"bp_schema", sizeof(struct bp_schema), schema_slots};

static const struct bp_shape_slot variant_slots[] = {
    NAME(struct bp_variant, value),
    SCHEMA(struct bp_variant, schema),
    SLOTS_END};
static const struct bp_shape variant_layout = {"bp_variant", sizeof(struct bp_variant),
                                               variant_slots};

#define TYPE_SLOTS \
    PLAIN(struct bp_type_info, size, flags), NAME(struct bp_type_info, name), \
        STRING(struct bp_type_info, parent), STRING(struct bp_type_info, summary), \
        PLAIN(struct bp_type_info, state_size, state_size), \
        FIELDS(struct bp_type_info, props), \
        ONE(struct bp_type_info, description, &level_layout)

static const struct bp_shape_slot type_slots[] = {TYPE_SLOTS, SLOTS_END};
const struct bp_shape layout_type = {"bp_type_info", sizeof(struct bp_type_info), type_slots};
static const struct bp_shape level_layout = {"bp_level_class", sizeof(struct bp_level_class),
                                             type_slots};
static const struct bp_shape object_layout = {"bp_object_class", sizeof(struct bp_object_class),
                                              type_slots};

static const struct bp_shape_slot device_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_device_class, bus),
    STRING(struct bp_device_class, category),
    STRINGS(struct bp_device_class, aliases),
    STRING(struct bp_device_class, replaces_default),
    STRING(struct bp_device_class, firmware_name),
    STRING(struct bp_device_class, boot_suffix),
    SLOTS_END};
static const struct bp_shape device_layout = {"bp_device_class", sizeof(struct bp_device_class),
                                              device_slots};

static const struct bp_shape_slot bus_slots[] = {
    TYPE_SLOTS,
    PLAIN(struct bp_bus_class, child_size, child_size),
    FIELDS(struct bp_bus_class, child_props),
    PLAIN(struct bp_bus_class, max_children, max_children),
    SLOTS_END};
static const struct bp_shape bus_layout = {"bp_bus_class", sizeof(struct bp_bus_class), bus_slots};

static const struct bp_shape_slot board_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_board_class, alias),
    STRING(struct bp_board_class, arch),
    PLAIN(struct bp_board_class, is_default, max_cpus),
    STRING(struct bp_board_class, default_cpu),
    PLAIN(struct bp_board_class, default_ram_size, default_ram_size),
    STRING(struct bp_board_class, default_ram_id),
    PLAIN(struct bp_board_class, hotpluggable_cpus, prefer_sockets),
    STRING(struct bp_board_class, deprecated),
    PLAIN(struct bp_board_class, has_clusters, most_memory_slots),
    SLOTS_END};
static const struct bp_shape board_layout = {"bp_board_class", sizeof(struct bp_board_class),
                                             board_slots};

static const struct bp_shape_slot cpu_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_cpu_class, model),
    STRING(struct bp_cpu_class, arch),
    STRING(struct bp_cpu_class, alias_of),
    SLOTS_END};
static const struct bp_shape cpu_layout = {"bp_cpu_class", sizeof(struct bp_cpu_class), cpu_slots};

static const struct bp_shape_slot accel_slots[] = {
    TYPE_SLOTS,
    STRING(struct bp_accel_class, arch),
    PLAIN(struct bp_accel_class, rank, no_cpus),
    PLAIN(struct bp_accel_class, cpu_size, cpu_size),
    SLOTS_END};
static const struct bp_shape accel_layout = {"bp_accel_class", sizeof(struct bp_accel_class),
                                             accel_slots};

static const struct bp_shape_slot interface_slots[] = {
    PLAIN(struct bp_interface, size, size),
    NAME(struct bp_interface, name),
    PLAIN(struct bp_interface, major, minor),
    SLOTS_END};
static const struct bp_shape interface_layout = {"bp_interface", sizeof(struct bp_interface),
                                                 interface_slots};

static const struct bp_shape_slot option_slots[] = {
    PLAIN(struct bp_option, size, phase),
    NAME(struct bp_option, name),
    STRING(struct bp_option, alias),
    STRING(struct bp_option, arg),
    STRING(struct bp_option, help),
    STRING(struct bp_option, group),
    FIELDS(struct bp_option, keys),
    STRING(struct bp_option, implied),
    PLAIN(struct bp_option, any_keys, own_help),
    SLOTS_END};
static const struct bp_shape option_layout = {"bp_option", sizeof(struct bp_option), option_slots};

static const struct bp_shape_slot command_slots[] = {
    PLAIN(struct bp_command, size, flags),
    NAME(struct bp_command, name),
    STRING(struct bp_command, summary),
    FIELDS(struct bp_command, args),
    PLAIN(struct bp_command, returns, returns),
    SCHEMA(struct bp_command, returns_schema),
    STRINGS(struct bp_command, features),
    SLOTS_END};
static const struct bp_shape command_layout = {"bp_command", sizeof(struct bp_command),
                                               command_slots};

static const struct bp_shape_slot hmp_slots[] = {
    PLAIN(struct bp_hmp_command, size, size),
    NAME(struct bp_hmp_command, name),
    STRING(struct bp_hmp_command, params),
    STRING(struct bp_hmp_command, summary),
    FIELDS(struct bp_hmp_command, args),
    SLOTS_END};
static const struct bp_shape hmp_layout = {"bp_hmp_command", sizeof(struct bp_hmp_command),
                                           hmp_slots};

static const struct bp_shape_slot event_slots[] = {
    PLAIN(struct bp_event, size, size),
    NAME(struct bp_event, name),
    STRING(struct bp_event, summary),
    FIELDS(struct bp_event, data),
    PLAIN(struct bp_event, rate_ms, rate_ms),
    STRINGS(struct bp_event, features),
    SLOTS_END};
static const struct bp_shape event_layout = {"bp_event", sizeof(struct bp_event), event_slots};

/* ---- shapes, which come from files too ---- */

static const struct bp_shape_slot slot_slots[] = {
    NAME(struct bp_shape_slot, member),
    PLAIN(struct bp_shape_slot, what, length),
    ONE(struct bp_shape_slot, to, &shape_layout),
    SLOTS_END};
static const struct bp_shape slot_layout = {"bp_shape_slot", sizeof(struct bp_shape_slot),
                                            slot_slots};

static const struct bp_shape_slot shape_slots[] = {
    NAME(struct bp_shape, name),
    PLAIN(struct bp_shape, size, size),
    TABLE(struct bp_shape, slots, &slot_layout),
    SLOTS_END};
static const struct bp_shape shape_layout = {"bp_shape", sizeof(struct bp_shape), shape_slots};

static const struct bp_shape_slot kind_slots[] = {
    PLAIN(struct bp_kind, size, minor),
    NAME(struct bp_kind, name),
    STRING(struct bp_kind, heading),
    STRING(struct bp_kind, summary),
    STRING(struct bp_kind, option),
    STRING(struct bp_kind, prefix),
    STRING(struct bp_kind, parent),
    STRING(struct bp_kind, container),
    ONE(struct bp_kind, shape, &shape_layout),
    SLOTS_END};
static const struct bp_shape kind_layout = {"bp_kind", sizeof(struct bp_kind), kind_slots};

#define MAX_SLOTS 64u
#define MAX_SHAPE 65536u

static bool slots_overlap(const struct bp_shape_slot *a, const struct bp_shape_slot *b)
{
    return a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

static bool slot_is_sane(const struct bp_shape *shape, const struct bp_shape_slot *s)
{
    bool to = s->what == BP_SHAPED_ONE || s->what == BP_SHAPED_TABLE;

    if (!s->length || s->length > MAX_SHAPE || s->offset > shape->size ||
        s->length > shape->size - s->offset || (s->to != NULL) != to)
        return false;
    for (const struct bp_shape_slot *other = shape->slots; other != s; other++)
        if (slots_overlap(s, other))
            return false;
    switch (s->what) {
    case BP_SHAPED_PLAIN: return true;
    case BP_SHAPED_TYPE: return s == shape->slots && s->offset == 0 && s->length == layout_type.size;
    default: return s->what < BP_SHAPED_TYPE && s->offset % 8 == 0 && s->length == sizeof(void *);
    }
}

/* A table's end is told by the first member of its elements. */
static bool opens_with_pointer(const struct bp_shape *shape)
{
    const struct bp_shape_slot *s = shape->slots;

    return s && shape->size % 8 == 0 && s->member && s->offset == 0 && s->what != BP_SHAPED_PLAIN &&
           s->what != BP_SHAPED_TYPE;
}

static bool check_shape(const void *copy)
{
    const struct bp_shape *shape = copy;
    unsigned count = 0;

    if (shape->size < 8 || shape->size > MAX_SHAPE || !shape->slots)
        return false;
    for (const struct bp_shape_slot *s = shape->slots; s->member; s++)
        if (++count > MAX_SLOTS || !slot_is_sane(shape, s) ||
            (s->what == BP_SHAPED_TABLE && !opens_with_pointer(s->to)))
            return false;
    return true;
}

bool layout_is_class(const struct bp_shape *shape)
{
    return shape && shape->slots->member && shape->slots->what == BP_SHAPED_TYPE;
}

/* ---- by kind ---- */

static const struct bp_shape *const by_kind[] = {
    [BP_PROVIDE_DEVICE] = &device_layout,       [BP_PROVIDE_BUS] = &bus_layout,
    [BP_PROVIDE_BOARD] = &board_layout,         [BP_PROVIDE_CPU] = &cpu_layout,
    [BP_PROVIDE_ACCEL] = &accel_layout,         [BP_PROVIDE_OBJECT] = &object_layout,
    [BP_PROVIDE_INTERFACE] = &interface_layout, [BP_PROVIDE_OPTION] = &option_layout,
    [BP_PROVIDE_COMMAND] = &command_layout,     [BP_PROVIDE_HMP] = &hmp_layout,
    [BP_PROVIDE_EVENT] = &event_layout,         [BP_PROVIDE_ABSTRACT] = &level_layout,
    [BP_PROVIDE_KIND] = &kind_layout,
};

static const struct {
    const struct bp_shape *shape;
    bool (*check)(const void *copy);
} checks[] = {
    {&layout_field, check_field},     {&layout_schema, check_schema}, {&variant_layout, check_variant},
    {&board_layout, check_board},     {&cpu_layout, check_cpu},       {&accel_layout, check_accel},
    {&command_layout, check_command}, {&option_layout, check_option}, {&shape_layout, check_shape},
};

const struct bp_shape *layout_of_kind(enum bp_provide_kind kind)
{
    return (unsigned)kind < BP_COUNT(by_kind) ? by_kind[kind] : NULL;
}

bool layout_check(const struct bp_shape *shape, const void *copy)
{
    for (size_t i = 0; i < BP_COUNT(checks); i++)
        if (checks[i].shape == shape)
            return checks[i].check(copy);
    return true;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t mix_layout(uint64_t hash, const struct bp_shape *layout)
{
    for (const char *c = layout->name; *c; c++)
        hash = mix(hash, (unsigned char)*c);
    hash = mix(hash, layout->size);
    for (const struct bp_shape_slot *s = layout->slots; s->member; s++) {
        hash = mix(hash, (uint64_t)s->what << 32 | s->offset);
        hash = mix(hash, s->length);
    }
    return hash;
}

uint64_t layout_hash(void)
{
    uint64_t hash = mix(BP_ABI_MAJOR, BP_ABI_MINOR);

    hash = mix_layout(hash, &layout_field);
    hash = mix_layout(hash, &layout_schema);
    hash = mix_layout(hash, &variant_layout);
    hash = mix_layout(hash, &shape_layout);
    hash = mix_layout(hash, &slot_layout);
    for (unsigned kind = 0; kind < BP_COUNT(by_kind); kind++)
        if (by_kind[kind])
            hash = mix_layout(hash, by_kind[kind]);
    return hash;
}
