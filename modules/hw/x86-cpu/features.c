/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Feature names as -cpu spells them, each a CPUID bit. Intel SDM volume 2 (CPUID); AMD APM volume 3,
 * appendix E. Every name is an on/off property of every model.
 */
#include "model.h"

#include <errno.h>
#include <string.h>

#define FEATURES(X) \
    X("fpu", 1_EDX, 0) \
    X("vme", 1_EDX, 1) \
    X("de", 1_EDX, 2) \
    X("pse", 1_EDX, 3) \
    X("tsc", 1_EDX, 4) \
    X("msr", 1_EDX, 5) \
    X("pae", 1_EDX, 6) \
    X("mce", 1_EDX, 7) \
    X("cx8", 1_EDX, 8) \
    X("apic", 1_EDX, 9) \
    X("sep", 1_EDX, 11) \
    X("mtrr", 1_EDX, 12) \
    X("pge", 1_EDX, 13) \
    X("mca", 1_EDX, 14) \
    X("cmov", 1_EDX, 15) \
    X("pat", 1_EDX, 16) \
    X("pse36", 1_EDX, 17) \
    X("pn", 1_EDX, 18) \
    X("clflush", 1_EDX, 19) \
    X("ds", 1_EDX, 21) \
    X("acpi", 1_EDX, 22) \
    X("mmx", 1_EDX, 23) \
    X("fxsr", 1_EDX, 24) \
    X("sse", 1_EDX, 25) \
    X("sse2", 1_EDX, 26) \
    X("ss", 1_EDX, 27) \
    X("ht", 1_EDX, 28) \
    X("tm", 1_EDX, 29) \
    X("ia64", 1_EDX, 30) \
    X("pbe", 1_EDX, 31) \
    X("pni", 1_ECX, 0) \
    X("pclmulqdq", 1_ECX, 1) \
    X("dtes64", 1_ECX, 2) \
    X("monitor", 1_ECX, 3) \
    X("ds-cpl", 1_ECX, 4) \
    X("vmx", 1_ECX, 5) \
    X("smx", 1_ECX, 6) \
    X("est", 1_ECX, 7) \
    X("tm2", 1_ECX, 8) \
    X("ssse3", 1_ECX, 9) \
    X("cid", 1_ECX, 10) \
    X("fma", 1_ECX, 12) \
    X("cx16", 1_ECX, 13) \
    X("xtpr", 1_ECX, 14) \
    X("pdcm", 1_ECX, 15) \
    X("pcid", 1_ECX, 17) \
    X("dca", 1_ECX, 18) \
    X("sse4.1", 1_ECX, 19) \
    X("sse4.2", 1_ECX, 20) \
    X("x2apic", 1_ECX, 21) \
    X("movbe", 1_ECX, 22) \
    X("popcnt", 1_ECX, 23) \
    X("tsc-deadline", 1_ECX, 24) \
    X("aes", 1_ECX, 25) \
    X("xsave", 1_ECX, 26) \
    X("avx", 1_ECX, 28) \
    X("f16c", 1_ECX, 29) \
    X("rdrand", 1_ECX, 30) \
    X("hypervisor", 1_ECX, 31) \
    X("fsgsbase", 7_EBX, 0) \
    X("tsc-adjust", 7_EBX, 1) \
    X("sgx", 7_EBX, 2) \
    X("bmi1", 7_EBX, 3) \
    X("hle", 7_EBX, 4) \
    X("avx2", 7_EBX, 5) \
    X("smep", 7_EBX, 7) \
    X("bmi2", 7_EBX, 8) \
    X("erms", 7_EBX, 9) \
    X("invpcid", 7_EBX, 10) \
    X("rtm", 7_EBX, 11) \
    X("mpx", 7_EBX, 14) \
    X("avx512f", 7_EBX, 16) \
    X("avx512dq", 7_EBX, 17) \
    X("rdseed", 7_EBX, 18) \
    X("adx", 7_EBX, 19) \
    X("smap", 7_EBX, 20) \
    X("avx512ifma", 7_EBX, 21) \
    X("pcommit", 7_EBX, 22) \
    X("clflushopt", 7_EBX, 23) \
    X("clwb", 7_EBX, 24) \
    X("intel-pt", 7_EBX, 25) \
    X("avx512pf", 7_EBX, 26) \
    X("avx512er", 7_EBX, 27) \
    X("avx512cd", 7_EBX, 28) \
    X("sha-ni", 7_EBX, 29) \
    X("avx512bw", 7_EBX, 30) \
    X("avx512vl", 7_EBX, 31) \
    X("avx512vbmi", 7_ECX, 1) \
    X("umip", 7_ECX, 2) \
    X("pku", 7_ECX, 3) \
    X("ospke", 7_ECX, 4) \
    X("waitpkg", 7_ECX, 5) \
    X("avx512vbmi2", 7_ECX, 6) \
    X("gfni", 7_ECX, 8) \
    X("vaes", 7_ECX, 9) \
    X("vpclmulqdq", 7_ECX, 10) \
    X("avx512vnni", 7_ECX, 11) \
    X("avx512bitalg", 7_ECX, 12) \
    X("avx512-vpopcntdq", 7_ECX, 14) \
    X("la57", 7_ECX, 16) \
    X("rdpid", 7_ECX, 22) \
    X("bus-lock-detect", 7_ECX, 24) \
    X("cldemote", 7_ECX, 25) \
    X("movdiri", 7_ECX, 27) \
    X("movdir64b", 7_ECX, 28) \
    X("sgxlc", 7_ECX, 30) \
    X("pks", 7_ECX, 31) \
    X("avx512-4vnniw", 7_EDX, 2) \
    X("avx512-4fmaps", 7_EDX, 3) \
    X("fsrm", 7_EDX, 4) \
    X("avx512-vp2intersect", 7_EDX, 8) \
    X("md-clear", 7_EDX, 10) \
    X("serialize", 7_EDX, 14) \
    X("tsx-ldtrk", 7_EDX, 16) \
    X("amx-bf16", 7_EDX, 22) \
    X("avx512-fp16", 7_EDX, 23) \
    X("amx-tile", 7_EDX, 24) \
    X("amx-int8", 7_EDX, 25) \
    X("spec-ctrl", 7_EDX, 26) \
    X("stibp", 7_EDX, 27) \
    X("flush-l1d", 7_EDX, 28) \
    X("arch-capabilities", 7_EDX, 29) \
    X("core-capability", 7_EDX, 30) \
    X("ssbd", 7_EDX, 31) \
    X("syscall", 80000001_EDX, 11) \
    X("mp", 80000001_EDX, 19) \
    X("nx", 80000001_EDX, 20) \
    X("mmxext", 80000001_EDX, 22) \
    X("fxsr-opt", 80000001_EDX, 25) \
    X("pdpe1gb", 80000001_EDX, 26) \
    X("rdtscp", 80000001_EDX, 27) \
    X("lm", 80000001_EDX, 29) \
    X("3dnowext", 80000001_EDX, 30) \
    X("3dnow", 80000001_EDX, 31) \
    X("lahf-lm", 80000001_ECX, 0) \
    X("cmp-legacy", 80000001_ECX, 1) \
    X("svm", 80000001_ECX, 2) \
    X("extapic", 80000001_ECX, 3) \
    X("cr8legacy", 80000001_ECX, 4) \
    X("abm", 80000001_ECX, 5) \
    X("sse4a", 80000001_ECX, 6) \
    X("misalignsse", 80000001_ECX, 7) \
    X("3dnowprefetch", 80000001_ECX, 8) \
    X("osvw", 80000001_ECX, 9) \
    X("ibs", 80000001_ECX, 10) \
    X("xop", 80000001_ECX, 11) \
    X("skinit", 80000001_ECX, 12) \
    X("wdt", 80000001_ECX, 13) \
    X("lwp", 80000001_ECX, 15) \
    X("fma4", 80000001_ECX, 16) \
    X("tce", 80000001_ECX, 17) \
    X("nodeid-msr", 80000001_ECX, 19) \
    X("tbm", 80000001_ECX, 21) \
    X("topoext", 80000001_ECX, 22) \
    X("perfctr-core", 80000001_ECX, 23) \
    X("perfctr-nb", 80000001_ECX, 24) \
    X("invtsc", 80000007_EDX, 8) \
    X("clzero", 80000008_EBX, 0) \
    X("xsaveerptr", 80000008_EBX, 2) \
    X("wbnoinvd", 80000008_EBX, 9) \
    X("ibpb", 80000008_EBX, 12) \
    X("ibrs", 80000008_EBX, 14) \
    X("amd-stibp", 80000008_EBX, 15) \
    X("amd-ssbd", 80000008_EBX, 24) \
    X("virt-ssbd", 80000008_EBX, 25) \
    X("amd-no-ssb", 80000008_EBX, 26) \
    X("amd-psfd", 80000008_EBX, 28) \
    X("xsaveopt", D1_EAX, 0) \
    X("xsavec", D1_EAX, 1) \
    X("xgetbv1", D1_EAX, 2) \
    X("xsaves", D1_EAX, 3) \
    X("sha512", 7_1_EAX, 0) \
    X("sm3", 7_1_EAX, 1) \
    X("sm4", 7_1_EAX, 2) \
    X("avx-vnni", 7_1_EAX, 4) \
    X("avx512-bf16", 7_1_EAX, 5) \
    X("cmpccxadd", 7_1_EAX, 7) \
    X("fzrm", 7_1_EAX, 10) \
    X("fsrs", 7_1_EAX, 11) \
    X("fsrc", 7_1_EAX, 12) \
    X("fred", 7_1_EAX, 17) \
    X("lkgs", 7_1_EAX, 18) \
    X("wrmsrns", 7_1_EAX, 19) \
    X("amx-fp16", 7_1_EAX, 21) \
    X("avx-ifma", 7_1_EAX, 23) \
    X("lam", 7_1_EAX, 26) \
    X("avx-vnni-int8", 7_1_EDX, 4) \
    X("avx-ne-convert", 7_1_EDX, 5) \
    X("amx-complex", 7_1_EDX, 8) \
    X("avx-vnni-int16", 7_1_EDX, 10) \
    X("prefetchiti", 7_1_EDX, 14) \
    X("intel-psfd", 7_2_EDX, 0) \
    X("ipred-ctrl", 7_2_EDX, 1) \
    X("rrsba-ctrl", 7_2_EDX, 2) \
    X("ddpd-u", 7_2_EDX, 3) \
    X("bhi-ctrl", 7_2_EDX, 4) \
    X("mcdt-no", 7_2_EDX, 5) \
    X("no-nested-data-bp", 80000021_EAX, 0) \
    X("lfence-always-serializing", 80000021_EAX, 2) \
    X("null-sel-clr-base", 80000021_EAX, 6) \
    X("auto-ibrs", 80000021_EAX, 8) \
    X("npt", 8000000A_EDX, 0) \
    X("lbrv", 8000000A_EDX, 1) \
    X("svm-lock", 8000000A_EDX, 2) \
    X("nrip-save", 8000000A_EDX, 3) \
    X("tsc-scale", 8000000A_EDX, 4) \
    X("vmcb-clean", 8000000A_EDX, 5) \
    X("flushbyasid", 8000000A_EDX, 6) \
    X("decodeassists", 8000000A_EDX, 7) \
    X("pause-filter", 8000000A_EDX, 10) \
    X("pfthreshold", 8000000A_EDX, 12) \
    X("avic", 8000000A_EDX, 13) \
    X("v-vmsave-vmload", 8000000A_EDX, 15) \
    X("vgif", 8000000A_EDX, 16) \
    X("vnmi", 8000000A_EDX, 25) \
    X("svme-addr-chk", 8000000A_EDX, 28) \
    X("kvmclock", 40000001_EAX, 3) \
    X("kvm-nopiodelay", 40000001_EAX, 1) \
    X("kvm-mmu", 40000001_EAX, 2) \
    X("kvm-asyncpf", 40000001_EAX, 4) \
    X("kvm-steal-time", 40000001_EAX, 5) \
    X("kvm-pv-eoi", 40000001_EAX, 6) \
    X("kvm-pv-unhalt", 40000001_EAX, 7) \
    X("kvm-pv-tlb-flush", 40000001_EAX, 9) \
    X("kvm-pv-ipi", 40000001_EAX, 11) \
    X("kvm-poll-control", 40000001_EAX, 12) \
    X("kvm-pv-sched-yield", 40000001_EAX, 13) \
    X("kvm-asyncpf-int", 40000001_EAX, 14) \
    X("kvm-msi-ext-dest-id", 40000001_EAX, 15) \
    X("kvmclock-stable-bit", 40000001_EAX, 24) \
    X("rdctl-no", ARCH_CAPABILITIES, 0) \
    X("ibrs-all", ARCH_CAPABILITIES, 1) \
    X("rsba", ARCH_CAPABILITIES, 2) \
    X("skip-l1dfl-vmentry", ARCH_CAPABILITIES, 3) \
    X("ssb-no", ARCH_CAPABILITIES, 4) \
    X("mds-no", ARCH_CAPABILITIES, 5) \
    X("pschange-mc-no", ARCH_CAPABILITIES, 6) \
    X("tsx-ctrl", ARCH_CAPABILITIES, 7) \
    X("taa-no", ARCH_CAPABILITIES, 8) \
    X("sbdr-ssdp-no", ARCH_CAPABILITIES, 13) \
    X("fbsdp-no", ARCH_CAPABILITIES, 14) \
    X("psdp-no", ARCH_CAPABILITIES, 15) \
    X("fb-clear", ARCH_CAPABILITIES, 17) \
    X("rrsba", ARCH_CAPABILITIES, 19) \
    X("bhi-no", ARCH_CAPABILITIES, 20) \
    X("pbrsb-no", ARCH_CAPABILITIES, 24) \
    X("gds-no", ARCH_CAPABILITIES, 26) \
    X("rfds-no", ARCH_CAPABILITIES, 27) \
    X("rfds-clear", ARCH_CAPABILITIES, 28) \
    X("xfd", D1_EAX, 4) \
    X("stibp-always-on", 80000008_EBX, 17) \
    X("arat", 6_EAX, 2) \
    /* Other names of the same. */ \
    X("sse3", 1_ECX, 0) \
    X("pclmuldq", 1_ECX, 1) \
    X("sse4-1", 1_ECX, 19) \
    X("sse4-2", 1_ECX, 20) \
    X("xd", 80000001_EDX, 20) \
    X("ffxsr", 80000001_EDX, 25) \
    X("i64", 80000001_EDX, 29) \
    X("lzcnt", 80000001_ECX, 5)

static const struct feature features[] = {
#define X(NAME, WORD, BIT) {NAME, BP_X86_FW_##WORD, BIT},
    FEATURES(X)
#undef X
};

const struct feature *feature_find(const char *name)
{
    for (size_t i = 0; i < BP_COUNT(features); i++) {
        if (strcmp(features[i].name, name) == 0)
            return &features[i];
    }
    return NULL;
}

const char *feature_name(unsigned word, unsigned bit)
{
    for (size_t i = 0; i < BP_COUNT(features); i++) {
        if (features[i].word == word && features[i].bit == bit)
            return features[i].name;
    }
    return NULL;
}

static int get_feature(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                       struct bp_error *err)
{
    struct x86_model_cpu *s = bp_object_state(obj);
    const struct feature *feature = feature_find(f->name);

    (void)err;
    *ret_value = bp_value_bool(s->x.features[feature->word] >> feature->bit & 1);
    return 0;
}

static int set_feature(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                       struct bp_error *err)
{
    struct x86_model_cpu *s = bp_object_state(obj);
    const struct feature *feature = feature_find(f->name);
    uint32_t bit = 1u << feature->bit;

    if (s->model)
        return bp_fail(err, EPERM, "CPU feature '%s' cannot change once the CPU exists", f->name);
    if (bp_value_as_bool(value)) {
        s->plus[feature->word] |= bit;
        s->minus[feature->word] &= ~bit;
    } else {
        s->minus[feature->word] |= bit;
        s->plus[feature->word] &= ~bit;
    }
    return 0;
}

const struct bp_field cpu_props[] = {
#define X(NAME, WORD, BIT) \
    {.name = NAME, .kind = BP_KIND_BOOL, .get = get_feature, .set = set_feature, \
     .help = "CPUID feature bit"},
    FEATURES(X)
#undef X
    {.name = "apic-id", .kind = BP_KIND_UINT32, .flags = BP_FIELD_READ_ONLY,
     .offset = offsetof(struct x86_model_cpu, x.apic_id), .help = "local APIC id"},
    {.name = "tsc-frequency", .kind = BP_KIND_UINT64,
     .offset = offsetof(struct x86_model_cpu, x.tsc_hz), .def = "1000000000",
     .help = "ticks of the time stamp counter in a second"},
#define NUMBER(NAME, MAX, HELP) \
    {.name = NAME, .kind = BP_KIND_INT64, .min = 0, .max = MAX, .get = identity_get_number, \
     .set = identity_set_number, .help = HELP}
#define TEXT(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_STRING, .get = identity_get_text, .set = identity_set_text, \
     .help = HELP}
#define LISTED(NAME, GET, SCHEMA, HELP) \
    {.name = NAME, .kind = BP_KIND_LIST, .flags = BP_FIELD_READ_ONLY, .schema = &SCHEMA, \
     .get = GET, .help = HELP}
#define SETTING(NAME, MEMBER, DEF, HELP) \
    {.name = NAME, .kind = BP_KIND_BOOL, .offset = offsetof(struct x86_model_cpu, set.MEMBER), .def = DEF, \
     .help = HELP}
#define SIZE(NAME, MEMBER, MAX, DEF, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT32, .min = 0, .max = MAX, .def = DEF, \
     .offset = offsetof(struct x86_model_cpu, set.MEMBER), .help = HELP}
    SETTING("check", check, "true", "warns of features that the accelerator does not execute"),
    SETTING("enforce", enforce, "false", "refuses to start without one of the features"),
    SIZE("phys-bits", phys_bits, 52, "0", "bits of physical addresses; 0: the model's"),
    SETTING("host-phys-bits", host_phys_bits, "false", "as many as the host's processor has"),
    SIZE("host-phys-bits-limit", host_phys_bits_limit, 52, "0", "but not more than these; 0: no limit"),
    SIZE("level", level, UINT32_MAX, "4294967295", "highest basic CPUID leaf; 4294967295: the model's"),
    SIZE("xlevel", xlevel, UINT32_MAX, "4294967295", "highest extended CPUID leaf; 4294967295: the model's"),
    SIZE("min-level", min_level, UINT32_MAX, "0", "highest basic CPUID leaf, at least"),
    SIZE("min-xlevel", min_xlevel, UINT32_MAX, "0", "highest extended CPUID leaf, at least"),
    SETTING("full-cpuid-auto-level", auto_level, "true", "CPUID goes as far as the features need"),
    SETTING("l3-cache", l3_cache, "true", 
            "CPUID tells of a cache that the cores of a package share"),
    SETTING("tcg-cpuid", tcg_cpuid, "true", "CPUID leaf 40000000h tells what emulates"),
    SETTING("kvm", kvm, "false", "KVM's interface for guests"),
    SETTING("migratable", migratable, "true", "only what can move to another host (all of it can)"),
    SETTING("pmu", pmu, "false", "performance counters"),
    NUMBER("family", 0x10e, "family that CPUID tells"),
    NUMBER("model", 0xff, "model that CPUID tells"),
    NUMBER("stepping", 0xf, "stepping that CPUID tells"),
    TEXT("vendor", "vendor that CPUID tells, 12 characters"),
    TEXT("model-id", "name that CPUID tells, up to 48 characters"),
    LISTED("feature-words", identity_get_words, identity_words_schema, "CPUID feature bits it has"),
    LISTED("filtered-features", identity_get_words, identity_words_schema,
           "CPUID feature bits asked for that the accelerator does not execute"),
    LISTED("unavailable-features", identity_get_unavailable, identity_names_schema,
           "names of the features that were filtered"),
    BP_FIELDS_END,
};
