/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* x86 CPU models: feature names, model tables and the parts of the CPU class. */
#ifndef X86_MODEL_H
#define X86_MODEL_H

#include <bp/exact/x86.h>

#define FEATURE_WORDS BP_X86_FW_COUNT
#define MAX_CPUID 40

struct model {
    const char *name;
    char vendor[13];
    char brand[49];
    unsigned family, model, stepping;
    uint32_t max_leaf, max_extended_leaf;
    uint32_t features[FEATURE_WORDS];
};

/* The state of a CPU object: the architectural state comes first. */
struct x86_model_cpu {
    struct bp_x86_cpu x;
    const struct model *model; /* NULL until it is complete; then `own` */
    struct model own;          /* the model, with what -cpu changed of its identity */
    uint32_t given;            /* what that was: identity.c */
    uint32_t filtered[FEATURE_WORDS]; /* asked for, but not executed by the accelerator */
    uint32_t plus[FEATURE_WORDS], minus[FEATURE_WORDS]; /* asked for, refused on the command line */
    struct bp_x86_cpuid leaves[MAX_CPUID];
};

/* One named feature bit. */
struct feature {
    const char *name;
    uint8_t word; /* enum bp_x86_feature_word */
    uint8_t bit;
};
extern const struct bp_field cpu_props[];
const struct feature *feature_find(const char *name);
/* The feature's name for a bit, or NULL. */
const char *feature_name(unsigned word, unsigned bit);

extern const struct model model_qemu64, model_max;

/* ---- identity.c: get and set functions of properties ---- */
#define IDENTITY_VENDOR (1u << 8)
#define IDENTITY_BRAND (1u << 9)
extern const struct bp_schema identity_words_schema, identity_names_schema;
int identity_get_number(struct bp_object *obj, const struct bp_field *f,
                        struct bp_value **ret_value, struct bp_error *err);
int identity_set_number(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                        struct bp_error *err);
int identity_get_text(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                      struct bp_error *err);
int identity_set_text(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                      struct bp_error *err);
int identity_get_words(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                       struct bp_error *err);
int identity_get_unavailable(struct bp_object *obj, const struct bp_field *f,
                             struct bp_value **ret_value, struct bp_error *err);
/* Takes over the model but for what was given. */
void identity_complete(struct x86_model_cpu *s, const struct model *model);

/* How many of each there are in the one above; at least 1. Dies are those of a package. */
struct x86_topology {
    unsigned dies, modules, cores, threads;
};
void cpuid_build(struct x86_model_cpu *s, const struct x86_topology *t);
extern const struct bp_cpu_registers x86_registers; /* registers.c */
void x86_reset(struct bp_cpu *cpu);
char *x86_dump(struct bp_cpu *cpu);
int x86_translate(struct bp_cpu *cpu, uint64_t linear, uint64_t *ret_phys);
int x86_get_register(struct bp_cpu *cpu, const char *name, uint64_t *ret_value);

#endif
