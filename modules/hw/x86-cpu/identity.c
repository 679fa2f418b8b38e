/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A processor's name and its feature words as properties: what -cpu may change of the model's
 * identity (family, model, stepping, vendor, model-id), and what clients read of a CPU's object
 * (feature-words, filtered-features, unavailable-features). Types have the names that QMP clients
 * look for.
 */
#include "model.h"

#include <errno.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

/* ---- identity ---- */

enum { FAMILY, MODEL, STEPPING };

static const struct {
    const char *name;
    unsigned number;
} numbers[] = {{"family", FAMILY}, {"model", MODEL}, {"stepping", STEPPING}};

static unsigned number_of(const char *name)
{
    for (size_t i = 0; i < BP_COUNT(numbers); i++) {
        if (strcmp(numbers[i].name, name) == 0)
            return numbers[i].number;
    }
    return FAMILY;
}

int identity_get_number(struct bp_object *obj, const struct bp_field *f,
                        struct bp_value **ret_value, struct bp_error *err)
{
    const struct x86_model_cpu *s = bp_object_state(obj);
    const unsigned *fields[] = {&s->own.family, &s->own.model, &s->own.stepping};

    (void)err;
    *ret_value = bp_value_int(*fields[number_of(f->name)]);
    return 0;
}

int identity_set_number(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                        struct bp_error *err)
{
    struct x86_model_cpu *s = bp_object_state(obj);
    unsigned *fields[] = {&s->own.family, &s->own.model, &s->own.stepping};

    (void)err;
    *fields[number_of(f->name)] = (unsigned)bp_value_as_int(value);
    s->given |= 1u << number_of(f->name);
    return 0;
}

int identity_get_text(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                      struct bp_error *err)
{
    const struct x86_model_cpu *s = bp_object_state(obj);

    (void)err;
    *ret_value = bp_value_string(strcmp(f->name, "vendor") == 0 ? s->own.vendor : s->own.brand);
    return 0;
}

int identity_set_text(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                      struct bp_error *err)
{
    struct x86_model_cpu *s = bp_object_state(obj);
    const char *text = bp_value_as_string(value);
    size_t len = strlen(text);

    if (strcmp(f->name, "vendor") == 0) {
        if (len != sizeof(s->own.vendor) - 1)
            return bp_fail(err, EINVAL, "'vendor' has 12 characters, as AuthenticAMD or "
                           "GenuineIntel; '%.40s' has %zu", text, len);
        memcpy(s->own.vendor, text, len + 1);
        s->given |= IDENTITY_VENDOR;
        return 0;
    }
    if (len >= sizeof(s->own.brand))
        return bp_fail(err, EINVAL, "'model-id' has at most %zu characters, not %zu",
                       sizeof(s->own.brand) - 1, len);
    memset(s->own.brand, 0, sizeof(s->own.brand));
    memcpy(s->own.brand, text, len);
    s->given |= IDENTITY_BRAND;
    return 0;
}

#if defined(__x86_64__) || defined(__i386__)
static void put(char *to, uint32_t a, uint32_t b, uint32_t c, uint32_t d, unsigned words)
{
    const uint32_t registers[] = {a, b, c, d};

    memcpy(to, registers, words * sizeof(registers[0]));
}

void identity_of_host(struct model *m)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(0, &a, &b, &c, &d))
        return;
    m->max_leaf = a < 0x1f ? a : 0x1f;
    put(m->vendor, b, d, c, 0, 3);
    m->vendor[12] = '\0';
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        m->family = a >> 8 & 15;
        m->model = a >> 4 & 15;
        m->stepping = a & 15;
        if (m->family == 6 || m->family == 15)
            m->model |= (a >> 16 & 15) << 4;
        if (m->family == 15)
            m->family += a >> 20 & 0xff;
    }
    memset(m->brand, 0, sizeof(m->brand));
    for (unsigned n = 0; n < 3; n++) {
        if (__get_cpuid(0x80000002 + n, &a, &b, &c, &d))
            put(m->brand + n * 16, a, b, c, d, 4);
    }
    m->brand[48] = '\0';
}
#else
void identity_of_host(struct model *m)
{
    (void)m;
}
#endif

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

void identity_complete(struct x86_model_cpu *s, const struct model *model)
{
    struct model given = s->own;

    s->own = *model;
    s->own.max_leaf = most(s->set.level == UINT32_MAX ? model->max_leaf : s->set.level, s->set.min_level);
    s->own.max_extended_leaf = most(s->set.xlevel == UINT32_MAX ? model->max_extended_leaf : s->set.xlevel,
                                    s->set.min_xlevel);
    if (s->given & 1u << FAMILY)
        s->own.family = given.family;
    if (s->given & 1u << MODEL)
        s->own.model = given.model;
    if (s->given & 1u << STEPPING)
        s->own.stepping = given.stepping;
    if (s->given & IDENTITY_VENDOR)
        memcpy(s->own.vendor, given.vendor, sizeof(given.vendor));
    if (s->given & IDENTITY_BRAND)
        memcpy(s->own.brand, given.brand, sizeof(given.brand));
    s->model = &s->own;
}

/* ---- feature words ---- */

static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX", "ESP", "EBP", "ESI", "EDI", NULL};
static const struct bp_schema register_schema = {.name = "X86CPURegister32", .kind = BP_KIND_ENUM,
                                                 .choices = registers};
static const struct bp_field word_members[] = {
    BP_ARG("cpuid-input-eax", INT64, "CPUID leaf"),
    BP_ARG_OPT("cpuid-input-ecx", INT64, "and sub-leaf"),
    BP_ARG_TYPED("cpuid-register", ENUM, &register_schema, 0, "register with the bits"),
    BP_ARG("features", INT64, "the bits"),
    BP_FIELDS_END,
};
static const struct bp_schema word_schema = {.name = "X86CPUFeatureWordInfo",
                                             .kind = BP_KIND_STRUCT, .members = word_members};
const struct bp_schema identity_words_schema = {.name = "X86CPUFeatureWordInfo",
                                                .kind = BP_KIND_LIST,
                                                .element_kind = BP_KIND_STRUCT,
                                                .element = &word_schema};
const struct bp_schema identity_names_schema = {.name = "strList", .kind = BP_KIND_LIST,
                                                .element_kind = BP_KIND_STRING};

static const struct {
    uint32_t eax;
    int ecx; /* -1: the leaf has no sub-leaves */
    unsigned reg;
} words[] = {
    [BP_X86_FW_1_EDX] = {1, -1, 3}, [BP_X86_FW_1_ECX] = {1, -1, 2}, [BP_X86_FW_7_EBX] = {7, 0, 1},
    [BP_X86_FW_7_ECX] = {7, 0, 2}, [BP_X86_FW_7_EDX] = {7, 0, 3},
    [BP_X86_FW_80000001_EDX] = {0x80000001, -1, 3}, [BP_X86_FW_80000001_ECX] = {0x80000001, -1, 2},
    [BP_X86_FW_80000007_EDX] = {0x80000007, -1, 3}, [BP_X86_FW_80000008_EBX] = {0x80000008, -1, 1},
    [BP_X86_FW_D1_EAX] = {0xd, 1, 0}, [BP_X86_FW_6_EAX] = {6, -1, 0},
    [BP_X86_FW_7_1_EAX] = {7, 1, 0}, [BP_X86_FW_7_1_EDX] = {7, 1, 3}, [BP_X86_FW_7_2_EDX] = {7, 2, 3},
    [BP_X86_FW_80000021_EAX] = {0x80000021, -1, 0}, [BP_X86_FW_8000000A_EDX] = {0x8000000a, -1, 3},
    [BP_X86_FW_40000001_EAX] = {0x40000001, -1, 0},
};

int identity_get_words(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                       struct bp_error *err)
{
    const struct x86_model_cpu *s = bp_object_state(obj);
    const uint32_t *bits = strcmp(f->name, "feature-words") == 0 ? s->x.features : s->filtered;
    struct bp_value *list = bp_value_list();

    (void)err;
    for (size_t i = 0; i < BP_COUNT(words); i++) {
        struct bp_value *word = bp_value_dict();

        bp_value_set(word, "cpuid-input-eax", bp_value_int(words[i].eax));
        if (words[i].ecx >= 0)
            bp_value_set(word, "cpuid-input-ecx", bp_value_int(words[i].ecx));
        bp_value_set(word, "cpuid-register", bp_value_string(registers[words[i].reg]));
        bp_value_set(word, "features", bp_value_int(bits[i]));
        bp_value_append(list, word);
    }
    *ret_value = list;
    return 0;
}

int identity_get_unavailable(struct bp_object *obj, const struct bp_field *f,
                             struct bp_value **ret_value, struct bp_error *err)
{
    const struct x86_model_cpu *s = bp_object_state(obj);
    struct bp_value *list = bp_value_list();

    (void)f, (void)err;
    for (unsigned word = 0; word < FEATURE_WORDS; word++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            const char *name = s->filtered[word] >> bit & 1 ? feature_name(word, bit) : NULL;

            if (name)
                bp_value_append(list, bp_value_string(name));
        }
    }
    *ret_value = list;
    return 0;
}
