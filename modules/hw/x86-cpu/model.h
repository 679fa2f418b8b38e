/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* x86 CPU models: feature names, model tables and the parts of the CPU class. */
#ifndef X86_MODEL_H
#define X86_MODEL_H

#include <bp/exact/x86.h>

#include "model-names.h"

#define FEATURE_WORDS BP_X86_FW_COUNT
#define MAX_CPUID 64

/* A row of models.c. */
struct model {
    const char *name;
    char vendor[13];
    char brand[49];
    unsigned family, model, stepping;
    uint32_t max_leaf, max_extended_leaf;
    const char *features;     /* names with a space after each, "-name" takes one away; NULL: all that can be had */
    const char *const *later; /* what versions 2 and up change: "+name -name"; NULL ends it */
};
#define MODEL_ALL NULL
/* What -cpu names: a version of a row. */
struct model_name {
    const char *name, *of;
    unsigned version; /* from 1 on */
};
const struct model_name *model_name_find(const char *name);
const struct model *model_find(const char *name);
/* The features that a version is to have; an unknown name in the table is an assertion. */
void model_features(const struct model *m, unsigned version, const uint32_t *executed, uint32_t *ret_words);

/* Properties that are not features. */
struct model_settings {
    uint8_t check, enforce, host_phys_bits, auto_level, l3_cache, tcg_cpuid, kvm, migratable, pmu;
    uint32_t phys_bits, host_phys_bits_limit;
    uint32_t level, xlevel, min_level, min_xlevel; /* UINT32_MAX: the model's */
};

/* The state of a CPU object: the architectural state comes first. */
struct x86_model_cpu {
    struct bp_x86_cpu x;
    const struct model *model; /* NULL until it is complete; then `own` */
    struct model own;          /* the model, with what -cpu changed of its identity */
    uint32_t given;            /* what that was: identity.c */
    uint32_t filtered[FEATURE_WORDS]; /* asked for, but not executed by the accelerator */
    uint32_t plus[FEATURE_WORDS], minus[FEATURE_WORDS]; /* asked for, refused on the command line */
    struct model_settings set;
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
/* Makes a row of what the computer that this runs on says of its processor. */
void identity_of_host(struct model *m);
/* Takes over the model but for what was given. */
void identity_complete(struct x86_model_cpu *s, const struct model *model);

/* How many of each there are in the one above; at least 1. Dies are those of a package. */
struct x86_topology {
    unsigned dies, modules, cores, threads;
};
/* Of the computer that this runs on; 0: it does not say. */
unsigned host_physical_bits(void);
void cpuid_build(struct x86_model_cpu *s, const struct x86_topology *t);
extern const struct bp_cpu_registers x86_registers; /* registers.c */
void x86_reset(struct bp_cpu *cpu);
char *x86_dump(struct bp_cpu *cpu);
int x86_translate(struct bp_cpu *cpu, uint64_t linear, uint64_t *ret_phys);
int x86_get_register(struct bp_cpu *cpu, const char *name, uint64_t *ret_value);

#endif
