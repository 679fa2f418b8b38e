/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CPU models: a row for each, with the features of the processor it is named after, and what later
 * versions of the row change. Intel SDM volume 2 (CPUID) and AMD APM volume 3, appendix E say what the
 * bits are; which processor has them, its vendor's data sheets and CPUID. Left out: what a processor
 * has for an operating system that owns the machine (performance counters, power management, VMX, SGX).
 */
#include "model.h"

#include <assert.h>
#include <string.h>

#define INTEL "GenuineIntel"
#define AMD "AuthenticAMD"
#define HYGON "HygonGenuine"

/* ---- Intel: each generation, what it adds to the one before ---- */

#define F_486 "fpu vme pse hypervisor "
#define F_PENTIUM F_486 "de tsc msr mce cx8 mmx "
#define F_PENTIUM2 F_PENTIUM "pae sep mtrr pge mca cmov pat pse36 fxsr "
#define F_PENTIUM3 F_PENTIUM2 "sse "
#define F_PENTIUM4 F_PENTIUM3 "apic clflush sse2 "
#define F_CORE F_PENTIUM4 "pni nx "
#define F_CORE2 F_CORE "lm syscall lahf-lm ssse3 cx16 "
#define F_CONROE F_PENTIUM4 "pni nx lm syscall lahf-lm ssse3 "
#define F_PENRYN F_CONROE "cx16 sse4.1 "
#define F_NEHALEM F_PENRYN "sse4.2 popcnt "
#define F_WESTMERE F_NEHALEM "aes pclmulqdq arat "
#define F_SANDYBRIDGE F_WESTMERE "avx xsave xsaveopt tsc-deadline x2apic rdtscp "
#define F_IVYBRIDGE F_SANDYBRIDGE "f16c rdrand fsgsbase smep erms "
#define F_HASWELL F_IVYBRIDGE "avx2 bmi1 bmi2 fma movbe abm invpcid pcid hle rtm "
#define F_BROADWELL F_HASWELL "adx rdseed smap 3dnowprefetch "
#define F_SKYLAKE F_BROADWELL "xsavec xgetbv1 "
#define F_SKYLAKE_SP F_SKYLAKE "avx512f avx512dq avx512bw avx512cd avx512vl clwb clflushopt pdpe1gb pku "
#define F_CASCADELAKE F_SKYLAKE_SP "avx512vnni spec-ctrl ssbd "
#define F_COOPERLAKE F_CASCADELAKE "avx512-bf16 stibp arch-capabilities rdctl-no ibrs-all " \
    "skip-l1dfl-vmentry mds-no pschange-mc-no taa-no "
#define F_ICELAKE F_CASCADELAKE "avx512vbmi avx512vbmi2 gfni vaes vpclmulqdq avx512bitalg " \
    "avx512-vpopcntdq umip la57 wbnoinvd "
#define F_SAPPHIRERAPIDS F_ICELAKE "sha-ni avx512ifma rdpid fsrm bus-lock-detect serialize tsx-ldtrk " \
    "amx-bf16 avx512-fp16 amx-tile amx-int8 avx-vnni avx512-bf16 fzrm fsrs fsrc xfd xsaves stibp " \
    "arch-capabilities rdctl-no ibrs-all skip-l1dfl-vmentry mds-no pschange-mc-no taa-no "
#define F_GRANITERAPIDS F_SAPPHIRERAPIDS "amx-fp16 prefetchiti mcdt-no sbdr-ssdp-no fbsdp-no psdp-no " \
    "pbrsb-no cldemote movdiri movdir64b "

/* The small cores */
#define F_DENVERTON F_PENRYN "sse4.2 popcnt aes pclmulqdq arat xsave xsaveopt xsavec xgetbv1 " \
    "tsc-deadline x2apic rdtscp rdrand rdseed fsgsbase smep smap erms movbe sha-ni 3dnowprefetch " \
    "clflushopt mpx arch-capabilities rdctl-no skip-l1dfl-vmentry spec-ctrl ssbd pdpe1gb "
#define F_SNOWRIDGE F_DENVERTON "umip gfni clwb rdpid cldemote movdiri movdir64b core-capability "
#define F_SIERRAFOREST F_HASWELL "adx rdseed smap 3dnowprefetch xsavec xgetbv1 xsaves xfd pdpe1gb pku " \
    "clwb clflushopt sha-ni umip gfni vaes vpclmulqdq rdpid la57 fsrm wbnoinvd bus-lock-detect " \
    "serialize cldemote movdiri movdir64b avx-vnni avx-ifma avx-vnni-int8 avx-ne-convert cmpccxadd " \
    "spec-ctrl ssbd stibp arch-capabilities rdctl-no ibrs-all skip-l1dfl-vmentry mds-no " \
    "pschange-mc-no taa-no sbdr-ssdp-no fbsdp-no psdp-no pbrsb-no mcdt-no "

/* ---- AMD ---- */

#define F_K8 F_PENTIUM4 "pni nx lm syscall lahf-lm "
#define F_K8_REV_F F_K8 "cx16 "
#define F_K10 F_K8_REV_F "monitor popcnt abm sse4a misalignsse mmxext fxsr-opt pdpe1gb rdtscp "
#define F_OPTERON_G3 F_K8_REV_F "monitor popcnt abm sse4a misalignsse rdtscp "
#define F_BULLDOZER F_K8_REV_F "popcnt abm sse4a misalignsse 3dnowprefetch pdpe1gb rdtscp ssse3 sse4.1 " \
    "sse4.2 aes pclmulqdq avx xsave xop fma4 "
#define F_PILEDRIVER F_BULLDOZER "fma f16c tbm "
#define F_ZEN F_K8_REV_F "popcnt abm sse4a misalignsse 3dnowprefetch osvw topoext cr8legacy mmxext " \
    "fxsr-opt pdpe1gb rdtscp ssse3 sse4.1 sse4.2 aes pclmulqdq avx avx2 fma f16c movbe rdrand rdseed " \
    "bmi1 bmi2 adx smep smap fsgsbase clflushopt sha-ni xsave xsaveopt xsavec xgetbv1 arat "
#define F_ZEN2 F_ZEN "clwb rdpid umip wbnoinvd clzero xsaveerptr ibpb amd-stibp "
#define F_ZEN3 F_ZEN2 "pcid invpcid erms fsrm pku ibrs amd-ssbd xsaves "
#define F_ZEN4 F_ZEN3 "avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512vbmi avx512vbmi2 " \
    "gfni vaes vpclmulqdq avx512vnni avx512bitalg avx512-vpopcntdq avx512-bf16 la57 " \
    "amd-psfd no-nested-data-bp lfence-always-serializing null-sel-clr-base auto-ibrs " \
    "stibp-always-on "

/* ---- virtual ones ---- */

#define F_KVM32 F_PENTIUM4 "pni "
#define F_KVM64 F_KVM32 "nx lm syscall cx16 "
/* The least that a system expects. */
#define F_QEMU32 "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat mmx fxsr sse sse2 pni " \
    "hypervisor "
#define F_QEMU64 F_QEMU32 "pse36 clflush x2apic cx16 nx lm syscall lahf-lm "

#define NO_TSX "-hle -rtm"
#define TSX_IBRS "+hle +rtm +spec-ctrl"

static const char *const broadwell[] = {NO_TSX, TSX_IBRS, NO_TSX, NULL};
static const char *const ibrs[] = {"+spec-ctrl", NULL};
static const char *const skylake[] = {"+spec-ctrl", NO_TSX, "+xsaves", NULL};
static const char *const skylake_sp[] = {"+spec-ctrl", NO_TSX, "+ssbd", "+xsaves", NULL};
static const char *const cascadelake[] = {
    "+arch-capabilities +rdctl-no +ibrs-all +skip-l1dfl-vmentry +mds-no", NO_TSX, "+stibp", "+xsaves", NULL};
static const char *const xsaves[] = {"+xsaves", NULL};
static const char *const icelake[] = {
    NO_TSX,
    "+arch-capabilities +rdctl-no +ibrs-all +skip-l1dfl-vmentry +mds-no +pschange-mc-no +taa-no +stibp",
    "+sha-ni +avx512ifma +rdpid +fsrm", "+xsaves", "", "", NULL};
static const char *const sapphirerapids[] = {
    "+sbdr-ssdp-no +fbsdp-no +psdp-no", "+cldemote +movdiri +movdir64b", NULL};
static const char *const denverton[] = {"-mpx", "+xsaves", NULL};
static const char *const snowridge[] = {"-mpx", "+xsaves", "-core-capability", NULL};
static const char *const zen[] = {"+ibpb", "+perfctr-core +clzero +xsaveerptr", "+xsaves", NULL};
static const char *const zen2[] = {"+ibrs +amd-ssbd", "+perfctr-core", "+xsaves", NULL};
static const char *const zen3[] = {"+vaes +vpclmulqdq +stibp-always-on +amd-psfd +no-nested-data-bp "
                                   "+lfence-always-serializing +null-sel-clr-base", NULL};
static const char *const dhyana[] = {"+xsaves", NULL};

#define MODEL(NAME, VENDOR, BRAND, FAMILY, MODEL_, STEPPING, LEVEL, XLEVEL, FEATURES, ...) \
    {.name = NAME, .vendor = VENDOR, .brand = BRAND, .family = FAMILY, .model = MODEL_, \
     .stepping = STEPPING, .max_leaf = LEVEL, .max_extended_leaf = XLEVEL, .features = FEATURES, \
     .later = __VA_ARGS__}

static const struct model models[] = {
    MODEL("qemu64", AMD, "Backplane virtual processor", 15, 107, 1, 0xd, 0x8000000a, F_QEMU64, NULL),
    MODEL("qemu32", INTEL, "Backplane virtual processor", 6, 6, 3, 4, 0x80000004, F_QEMU32, NULL),
    MODEL("kvm64", INTEL, "Common KVM processor", 15, 6, 1, 0xd, 0x80000008, F_KVM64, NULL),
    MODEL("kvm32", INTEL, "Common 32-bit KVM processor", 15, 6, 1, 5, 0x80000008, F_KVM32, NULL),
    MODEL("486", INTEL, "", 4, 8, 0, 1, 0, F_486, NULL),
    MODEL("pentium", INTEL, "", 5, 4, 3, 1, 0, F_PENTIUM, NULL),
    MODEL("pentium2", INTEL, "", 6, 5, 2, 2, 0, F_PENTIUM2, NULL),
    MODEL("pentium3", INTEL, "", 6, 7, 3, 3, 0, F_PENTIUM3, NULL),
    MODEL("athlon", AMD, "AMD Athlon processor", 6, 2, 3, 2, 0x80000008,
          F_PENTIUM2 "apic mmxext 3dnow 3dnowext ", NULL),
    MODEL("n270", INTEL, "Intel(R) Atom(TM) CPU N270   @ 1.60GHz", 6, 28, 2, 10, 0x80000008,
          F_CORE "ssse3 movbe lahf-lm ", NULL),
    MODEL("coreduo", INTEL, "Genuine Intel(R) CPU           T2600  @ 2.16GHz", 6, 14, 8, 10, 0x80000008,
          F_CORE, NULL),
    MODEL("core2duo", INTEL, "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz", 6, 15, 11, 10, 0x80000008,
          F_CORE2, NULL),
    MODEL("Conroe", INTEL, "Intel Celeron_4x0 (Conroe/Merom Class Core 2)", 6, 15, 3, 10, 0x80000008,
          F_CONROE, NULL),
    MODEL("Penryn", INTEL, "Intel Core 2 Duo P9xxx (Penryn Class Core 2)", 6, 23, 3, 10, 0x80000008,
          F_PENRYN, NULL),
    MODEL("Nehalem", INTEL, "Intel Core i7 9xx (Nehalem Class Core i7)", 6, 26, 3, 11, 0x80000008,
          F_NEHALEM, ibrs),
    MODEL("Westmere", INTEL, "Westmere E56xx/L56xx/X56xx (Nehalem-C)", 6, 44, 1, 11, 0x80000008,
          F_WESTMERE, ibrs),
    MODEL("SandyBridge", INTEL, "Intel Xeon E312xx (Sandy Bridge)", 6, 42, 1, 0xd, 0x80000008,
          F_SANDYBRIDGE, ibrs),
    MODEL("IvyBridge", INTEL, "Intel Xeon E3-12xx v2 (Ivy Bridge)", 6, 58, 9, 0xd, 0x80000008,
          F_IVYBRIDGE, ibrs),
    MODEL("Haswell", INTEL, "Intel Core Processor (Haswell)", 6, 60, 4, 0xd, 0x80000008, F_HASWELL,
          broadwell),
    MODEL("Broadwell", INTEL, "Intel Core Processor (Broadwell)", 6, 61, 2, 0xd, 0x80000008, F_BROADWELL,
          broadwell),
    MODEL("Skylake-Client", INTEL, "Intel Core Processor (Skylake)", 6, 94, 3, 0xd, 0x80000008, F_SKYLAKE,
          skylake),
    MODEL("Skylake-Server", INTEL, "Intel Xeon Processor (Skylake)", 6, 85, 4, 0xd, 0x80000008,
          F_SKYLAKE_SP, skylake_sp),
    MODEL("Cascadelake-Server", INTEL, "Intel Xeon Processor (Cascadelake)", 6, 85, 6, 0xd, 0x80000008,
          F_CASCADELAKE, cascadelake),
    MODEL("Cooperlake", INTEL, "Intel Xeon Processor (Cooperlake)", 6, 85, 10, 0xd, 0x80000008,
          F_COOPERLAKE, xsaves),
    MODEL("Icelake-Server", INTEL, "Intel Xeon Processor (Icelake)", 6, 106, 0, 0xd, 0x80000008, F_ICELAKE,
          icelake),
    MODEL("SapphireRapids", INTEL, "Intel Xeon Processor (SapphireRapids)", 6, 143, 4, 0x20, 0x80000008,
          F_SAPPHIRERAPIDS, sapphirerapids),
    MODEL("GraniteRapids", INTEL, "Intel Xeon Processor (GraniteRapids)", 6, 173, 0, 0x20, 0x80000008,
          F_GRANITERAPIDS, NULL),
    MODEL("SierraForest", INTEL, "Intel Xeon Processor (SierraForest)", 6, 175, 0, 0x23, 0x80000008,
          F_SIERRAFOREST, NULL),
    MODEL("Denverton", INTEL, "Intel Atom Processor (Denverton)", 6, 95, 1, 0xd, 0x80000008, F_DENVERTON,
          denverton),
    MODEL("Snowridge", INTEL, "Intel Atom Processor (SnowRidge)", 6, 134, 1, 0xd, 0x80000008, F_SNOWRIDGE,
          snowridge),
    MODEL("KnightsMill", INTEL, "Intel Xeon Phi Processor (Knights Mill)", 6, 133, 0, 0xd, 0x80000008,
          F_BROADWELL "-hle -rtm -smap -pcid -invpcid avx512f avx512cd avx512pf avx512er avx512-vpopcntdq "
          "avx512-4vnniw avx512-4fmaps pdpe1gb ", NULL),
    MODEL("phenom", AMD, "AMD Phenom(tm) 9550 Quad-Core Processor", 16, 2, 3, 5, 0x8000001a, F_K10, NULL),
    MODEL("Opteron_G1", AMD, "AMD Opteron 240 (Gen 1 Class Opteron)", 15, 6, 1, 5, 0x80000008,
          F_K8 "-lahf-lm ", NULL),
    MODEL("Opteron_G2", AMD, "AMD Opteron 22xx (Gen 2 Class Opteron)", 15, 6, 1, 5, 0x80000008, F_K8_REV_F,
          NULL),
    MODEL("Opteron_G3", AMD, "AMD Opteron 23xx (Gen 3 Class Opteron)", 16, 2, 3, 5, 0x80000008,
          F_OPTERON_G3, NULL),
    MODEL("Opteron_G4", AMD, "AMD Opteron 62xx class CPU", 21, 1, 2, 0xd, 0x8000001a, F_BULLDOZER, NULL),
    MODEL("Opteron_G5", AMD, "AMD Opteron 63xx class CPU", 21, 2, 0, 0xd, 0x8000001a, F_PILEDRIVER, NULL),
    MODEL("EPYC", AMD, "AMD EPYC Processor", 23, 1, 2, 0xd, 0x8000001e, F_ZEN, zen),
    MODEL("EPYC-Rome", AMD, "AMD EPYC-Rome Processor", 23, 49, 0, 0xd, 0x8000001e, F_ZEN2, zen2),
    MODEL("EPYC-Milan", AMD, "AMD EPYC-Milan Processor", 25, 1, 1, 0xd, 0x80000021, F_ZEN3, zen3),
    MODEL("EPYC-Genoa", AMD, "AMD EPYC-Genoa Processor", 25, 17, 0, 0xd, 0x80000022, F_ZEN4, NULL),
    MODEL("Dhyana", HYGON, "Hygon Dhyana Processor", 24, 0, 1, 0xd, 0x8000001e,
          F_ZEN "-sha-ni ibpb ", dhyana),
    /* `max`, `host`: all that can be had; `base`: nothing, for -cpu base,+f,+f. */
    MODEL("max", AMD, "Backplane virtual processor", 15, 107, 1, 0xd, 0x8000000a, MODEL_ALL, NULL),
    MODEL("host", AMD, "Backplane virtual processor", 15, 107, 1, 0xd, 0x8000000a, MODEL_ALL, NULL),
    MODEL("base", AMD, "Backplane virtual processor", 15, 0, 0, 0, 0, "", NULL),
};

static const struct model_name names[] = {
#define X(IDENT, NAME, ALIAS, OF, VERSION, SUMMARY) {NAME, OF, VERSION},
    CPU_MODELS(X)
    CPU_MODEL_LAST(X)
#undef X
};

const struct model_name *model_name_find(const char *name)
{
    for (size_t i = 0; i < BP_COUNT(names); i++) {
        if (strcmp(names[i].name, name) == 0)
            return &names[i];
    }
    return NULL;
}

const struct model *model_find(const char *name)
{
    for (size_t i = 0; i < BP_COUNT(models); i++) {
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    }
    return NULL;
}

/* ---- lists of names as words ---- */

/* A word of a list: "name", "+name" or "-name". */
static void apply_name(const char *word, size_t length, uint32_t *words)
{
    char name[32];
    const struct feature *f;
    bool off = *word == '-';

    if (off || *word == '+') {
        word++;
        length--;
    }
    assert(length < sizeof(name));
    memcpy(name, word, length);
    name[length] = '\0';
    f = feature_find(name);
    assert(f);
    if (off)
        words[f->word] &= ~(1u << f->bit);
    else
        words[f->word] |= 1u << f->bit;
}

static void apply_list(const char *list, uint32_t *words)
{
    while (*list) {
        size_t length = strcspn(list, " ");

        if (length > 0)
            apply_name(list, length, words);
        list += length + (list[length] == ' ');
    }
}

void model_features(const struct model *m, unsigned version, const uint32_t *executed, uint32_t *ret_words)
{
    memset(ret_words, 0, FEATURE_WORDS * sizeof(*ret_words));
    if (m->features == MODEL_ALL) {
        for (unsigned word = 0; word < FEATURE_WORDS; word++) {
            for (unsigned bit = 0; bit < 32; bit++) {
                if (executed[word] >> bit & 1 && feature_name(word, bit))
                    ret_words[word] |= 1u << bit;
            }
        }
        apply_list("-hle -rtm", ret_words); /* transactions that always abort only cost time */
        return;
    }
    apply_list(m->features, ret_words);
    for (unsigned n = 2; n <= version && m->later && m->later[n - 2]; n++)
        apply_list(m->later[n - 2], ret_words);
}
