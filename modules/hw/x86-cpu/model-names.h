/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What -cpu can name: X(identifier, name, the name that it is another one of or NULL, row of
 * models.c, its version, summary). A name without
 * version is the first version; names with a property (-IBRS, -noTSX, -IBPB) are those of the version that
 * has it.
 */
#ifndef X86_MODEL_NAMES_H
#define X86_MODEL_NAMES_H

#define CPU_MODELS(X) \
    X(cpu_qemu64, "qemu64", "qemu64-v1", "qemu64", 1, "Least common 64-bit processor") \
    X(cpu_qemu64_v1, "qemu64-v1", NULL, "qemu64", 1, "Least common 64-bit processor") \
    X(cpu_qemu32, "qemu32", "qemu32-v1", "qemu32", 1, "Least common 32-bit processor") \
    X(cpu_qemu32_v1, "qemu32-v1", NULL, "qemu32", 1, "Least common 32-bit processor") \
    X(cpu_kvm64, "kvm64", "kvm64-v1", "kvm64", 1, "Common 64-bit processor of KVM hosts") \
    X(cpu_kvm64_v1, "kvm64-v1", NULL, "kvm64", 1, "Common 64-bit processor of KVM hosts") \
    X(cpu_kvm32, "kvm32", "kvm32-v1", "kvm32", 1, "Common 32-bit processor of KVM hosts") \
    X(cpu_kvm32_v1, "kvm32-v1", NULL, "kvm32", 1, "Common 32-bit processor of KVM hosts") \
    X(cpu_486, "486", "486-v1", "486", 1, "Intel 486") \
    X(cpu_486_v1, "486-v1", NULL, "486", 1, "Intel 486") \
    X(cpu_pentium, "pentium", "pentium-v1", "pentium", 1, "Intel Pentium") \
    X(cpu_pentium_v1, "pentium-v1", NULL, "pentium", 1, "Intel Pentium") \
    X(cpu_pentium2, "pentium2", "pentium2-v1", "pentium2", 1, "Intel Pentium II") \
    X(cpu_pentium2_v1, "pentium2-v1", NULL, "pentium2", 1, "Intel Pentium II") \
    X(cpu_pentium3, "pentium3", "pentium3-v1", "pentium3", 1, "Intel Pentium III") \
    X(cpu_pentium3_v1, "pentium3-v1", NULL, "pentium3", 1, "Intel Pentium III") \
    X(cpu_athlon, "athlon", "athlon-v1", "athlon", 1, "AMD Athlon") \
    X(cpu_athlon_v1, "athlon-v1", NULL, "athlon", 1, "AMD Athlon") \
    X(cpu_n270, "n270", "n270-v1", "n270", 1, "Intel Atom N270") \
    X(cpu_n270_v1, "n270-v1", NULL, "n270", 1, "Intel Atom N270") \
    X(cpu_coreduo, "coreduo", "coreduo-v1", "coreduo", 1, "Intel Core Duo T2600") \
    X(cpu_coreduo_v1, "coreduo-v1", NULL, "coreduo", 1, "Intel Core Duo T2600") \
    X(cpu_core2duo, "core2duo", "core2duo-v1", "core2duo", 1, "Intel Core 2 Duo T7700") \
    X(cpu_core2duo_v1, "core2duo-v1", NULL, "core2duo", 1, "Intel Core 2 Duo T7700") \
    X(cpu_conroe, "Conroe", "Conroe-v1", "Conroe", 1, "Intel Core 2, 65 nm") \
    X(cpu_conroe_v1, "Conroe-v1", NULL, "Conroe", 1, "Intel Core 2, 65 nm") \
    X(cpu_penryn, "Penryn", "Penryn-v1", "Penryn", 1, "Intel Core 2, 45 nm") \
    X(cpu_penryn_v1, "Penryn-v1", NULL, "Penryn", 1, "Intel Core 2, 45 nm") \
    X(cpu_nehalem, "Nehalem", "Nehalem-v1", "Nehalem", 1, "Intel Core i7 and Xeon, 2008 (version 1)") \
    X(cpu_nehalem_v1, "Nehalem-v1", NULL, "Nehalem", 1, "Intel Core i7 and Xeon, 2008") \
    X(cpu_nehalem_v2, "Nehalem-v2", NULL, "Nehalem", 2, "Intel Core i7 and Xeon, 2008") \
    X(cpu_nehalem_ibrs, "Nehalem-IBRS", "Nehalem-v2", "Nehalem", 2, "Intel Core i7 and Xeon, 2008 (version 2)") \
    X(cpu_westmere, "Westmere", "Westmere-v1", "Westmere", 1, "Intel Xeon, 2010 (version 1)") \
    X(cpu_westmere_v1, "Westmere-v1", NULL, "Westmere", 1, "Intel Xeon, 2010") \
    X(cpu_westmere_v2, "Westmere-v2", NULL, "Westmere", 2, "Intel Xeon, 2010") \
    X(cpu_westmere_ibrs, "Westmere-IBRS", "Westmere-v2", "Westmere", 2, "Intel Xeon, 2010 (version 2)") \
    X(cpu_sandybridge, "SandyBridge", "SandyBridge-v1", "SandyBridge", 1, "Intel Xeon E3, 2011 (version 1)") \
    X(cpu_sandybridge_v1, "SandyBridge-v1", NULL, "SandyBridge", 1, "Intel Xeon E3, 2011") \
    X(cpu_sandybridge_v2, "SandyBridge-v2", NULL, "SandyBridge", 2, "Intel Xeon E3, 2011") \
    X(cpu_sandybridge_ibrs, "SandyBridge-IBRS", "SandyBridge-v2", "SandyBridge", 2, \
      "Intel Xeon E3, 2011 (version 2)") \
    X(cpu_ivybridge, "IvyBridge", "IvyBridge-v1", "IvyBridge", 1, "Intel Xeon E3 v2, 2012 (version 1)") \
    X(cpu_ivybridge_v1, "IvyBridge-v1", NULL, "IvyBridge", 1, "Intel Xeon E3 v2, 2012") \
    X(cpu_ivybridge_v2, "IvyBridge-v2", NULL, "IvyBridge", 2, "Intel Xeon E3 v2, 2012") \
    X(cpu_ivybridge_ibrs, "IvyBridge-IBRS", "IvyBridge-v2", "IvyBridge", 2, "Intel Xeon E3 v2, 2012 (version 2)") \
    X(cpu_haswell, "Haswell", "Haswell-v1", "Haswell", 1, "Intel Core, 2013 (version 1)") \
    X(cpu_haswell_v1, "Haswell-v1", NULL, "Haswell", 1, "Intel Core, 2013") \
    X(cpu_haswell_v2, "Haswell-v2", NULL, "Haswell", 2, "Intel Core, 2013") \
    X(cpu_haswell_notsx, "Haswell-noTSX", "Haswell-v2", "Haswell", 2, "Intel Core, 2013 (version 2)") \
    X(cpu_haswell_v3, "Haswell-v3", NULL, "Haswell", 3, "Intel Core, 2013") \
    X(cpu_haswell_ibrs, "Haswell-IBRS", "Haswell-v3", "Haswell", 3, "Intel Core, 2013 (version 3)") \
    X(cpu_haswell_v4, "Haswell-v4", NULL, "Haswell", 4, "Intel Core, 2013") \
    X(cpu_haswell_notsx_ibrs, "Haswell-noTSX-IBRS", "Haswell-v4", "Haswell", 4, "Intel Core, 2013 (version 4)") \
    X(cpu_broadwell, "Broadwell", "Broadwell-v1", "Broadwell", 1, "Intel Core, 2014 (version 1)") \
    X(cpu_broadwell_v1, "Broadwell-v1", NULL, "Broadwell", 1, "Intel Core, 2014") \
    X(cpu_broadwell_v2, "Broadwell-v2", NULL, "Broadwell", 2, "Intel Core, 2014") \
    X(cpu_broadwell_notsx, "Broadwell-noTSX", "Broadwell-v2", "Broadwell", 2, "Intel Core, 2014 (version 2)") \
    X(cpu_broadwell_v3, "Broadwell-v3", NULL, "Broadwell", 3, "Intel Core, 2014") \
    X(cpu_broadwell_ibrs, "Broadwell-IBRS", "Broadwell-v3", "Broadwell", 3, "Intel Core, 2014 (version 3)") \
    X(cpu_broadwell_v4, "Broadwell-v4", NULL, "Broadwell", 4, "Intel Core, 2014") \
    X(cpu_broadwell_notsx_ibrs, "Broadwell-noTSX-IBRS", "Broadwell-v4", "Broadwell", 4, \
      "Intel Core, 2014 (version 4)") \
    X(cpu_skylake_client, "Skylake-Client", "Skylake-Client-v1", "Skylake-Client", 1, \
      "Intel Core, 2015 (version 1)") \
    X(cpu_skylake_client_v1, "Skylake-Client-v1", NULL, "Skylake-Client", 1, "Intel Core, 2015") \
    X(cpu_skylake_client_v2, "Skylake-Client-v2", NULL, "Skylake-Client", 2, "Intel Core, 2015") \
    X(cpu_skylake_client_ibrs, "Skylake-Client-IBRS", "Skylake-Client-v2", "Skylake-Client", 2, \
      "Intel Core, 2015 (version 2)") \
    X(cpu_skylake_client_v3, "Skylake-Client-v3", NULL, "Skylake-Client", 3, "Intel Core, 2015") \
    X(cpu_skylake_client_notsx_ibrs, "Skylake-Client-noTSX-IBRS", "Skylake-Client-v3", "Skylake-Client", 3, \
      "Intel Core, 2015 (version 3)") \
    X(cpu_skylake_client_v4, "Skylake-Client-v4", NULL, "Skylake-Client", 4, "Intel Core, 2015") \
    X(cpu_skylake_server, "Skylake-Server", "Skylake-Server-v1", "Skylake-Server", 1, \
      "Intel Xeon, 2017 (version 1)") \
    X(cpu_skylake_server_v1, "Skylake-Server-v1", NULL, "Skylake-Server", 1, "Intel Xeon, 2017") \
    X(cpu_skylake_server_v2, "Skylake-Server-v2", NULL, "Skylake-Server", 2, "Intel Xeon, 2017") \
    X(cpu_skylake_server_ibrs, "Skylake-Server-IBRS", "Skylake-Server-v2", "Skylake-Server", 2, \
      "Intel Xeon, 2017 (version 2)") \
    X(cpu_skylake_server_v3, "Skylake-Server-v3", NULL, "Skylake-Server", 3, "Intel Xeon, 2017") \
    X(cpu_skylake_server_notsx_ibrs, "Skylake-Server-noTSX-IBRS", "Skylake-Server-v3", "Skylake-Server", 3, \
      "Intel Xeon, 2017 (version 3)") \
    X(cpu_skylake_server_v4, "Skylake-Server-v4", NULL, "Skylake-Server", 4, "Intel Xeon, 2017") \
    X(cpu_skylake_server_v5, "Skylake-Server-v5", NULL, "Skylake-Server", 5, "Intel Xeon, 2017") \
    X(cpu_cascadelake_server, "Cascadelake-Server", "Cascadelake-Server-v1", "Cascadelake-Server", 1, \
      "Intel Xeon, 2019 (version 1)") \
    X(cpu_cascadelake_server_v1, "Cascadelake-Server-v1", NULL, "Cascadelake-Server", 1, "Intel Xeon, 2019") \
    X(cpu_cascadelake_server_v2, "Cascadelake-Server-v2", NULL, "Cascadelake-Server", 2, "Intel Xeon, 2019") \
    X(cpu_cascadelake_server_v3, "Cascadelake-Server-v3", NULL, "Cascadelake-Server", 3, "Intel Xeon, 2019") \
    X(cpu_cascadelake_server_notsx, "Cascadelake-Server-noTSX", "Cascadelake-Server-v3", "Cascadelake-Server", 3, \
      "Intel Xeon, 2019 (version 3)") \
    X(cpu_cascadelake_server_v4, "Cascadelake-Server-v4", NULL, "Cascadelake-Server", 4, "Intel Xeon, 2019") \
    X(cpu_cascadelake_server_v5, "Cascadelake-Server-v5", NULL, "Cascadelake-Server", 5, "Intel Xeon, 2019") \
    X(cpu_cooperlake, "Cooperlake", "Cooperlake-v1", "Cooperlake", 1, "Intel Xeon, 2020 (version 1)") \
    X(cpu_cooperlake_v1, "Cooperlake-v1", NULL, "Cooperlake", 1, "Intel Xeon, 2020") \
    X(cpu_cooperlake_v2, "Cooperlake-v2", NULL, "Cooperlake", 2, "Intel Xeon, 2020") \
    X(cpu_icelake_server, "Icelake-Server", "Icelake-Server-v1", "Icelake-Server", 1, \
      "Intel Xeon, 2021 (version 1)") \
    X(cpu_icelake_server_v1, "Icelake-Server-v1", NULL, "Icelake-Server", 1, "Intel Xeon, 2021") \
    X(cpu_icelake_server_v2, "Icelake-Server-v2", NULL, "Icelake-Server", 2, "Intel Xeon, 2021") \
    X(cpu_icelake_server_notsx, "Icelake-Server-noTSX", "Icelake-Server-v2", "Icelake-Server", 2, \
      "Intel Xeon, 2021 (version 2)") \
    X(cpu_icelake_server_v3, "Icelake-Server-v3", NULL, "Icelake-Server", 3, "Intel Xeon, 2021") \
    X(cpu_icelake_server_v4, "Icelake-Server-v4", NULL, "Icelake-Server", 4, "Intel Xeon, 2021") \
    X(cpu_icelake_server_v5, "Icelake-Server-v5", NULL, "Icelake-Server", 5, "Intel Xeon, 2021") \
    X(cpu_icelake_server_v6, "Icelake-Server-v6", NULL, "Icelake-Server", 6, "Intel Xeon, 2021") \
    X(cpu_icelake_server_v7, "Icelake-Server-v7", NULL, "Icelake-Server", 7, "Intel Xeon, 2021") \
    X(cpu_sapphirerapids, "SapphireRapids", "SapphireRapids-v1", "SapphireRapids", 1, \
      "Intel Xeon, 2023 (version 1)") \
    X(cpu_sapphirerapids_v1, "SapphireRapids-v1", NULL, "SapphireRapids", 1, "Intel Xeon, 2023") \
    X(cpu_sapphirerapids_v2, "SapphireRapids-v2", NULL, "SapphireRapids", 2, "Intel Xeon, 2023") \
    X(cpu_sapphirerapids_v3, "SapphireRapids-v3", NULL, "SapphireRapids", 3, "Intel Xeon, 2023") \
    X(cpu_graniterapids, "GraniteRapids", "GraniteRapids-v1", "GraniteRapids", 1, "Intel Xeon, 2024") \
    X(cpu_graniterapids_v1, "GraniteRapids-v1", NULL, "GraniteRapids", 1, "Intel Xeon, 2024") \
    X(cpu_sierraforest, "SierraForest", "SierraForest-v1", "SierraForest", 1, "Intel Xeon with small cores, 2024") \
    X(cpu_sierraforest_v1, "SierraForest-v1", NULL, "SierraForest", 1, "Intel Xeon with small cores, 2024") \
    X(cpu_denverton, "Denverton", "Denverton-v1", "Denverton", 1, "Intel Atom C3000, 2017 (version 1)") \
    X(cpu_denverton_v1, "Denverton-v1", NULL, "Denverton", 1, "Intel Atom C3000, 2017") \
    X(cpu_denverton_v2, "Denverton-v2", NULL, "Denverton", 2, "Intel Atom C3000, 2017") \
    X(cpu_denverton_v3, "Denverton-v3", NULL, "Denverton", 3, "Intel Atom C3000, 2017") \
    X(cpu_snowridge, "Snowridge", "Snowridge-v1", "Snowridge", 1, "Intel Atom P5900, 2020 (version 1)") \
    X(cpu_snowridge_v1, "Snowridge-v1", NULL, "Snowridge", 1, "Intel Atom P5900, 2020") \
    X(cpu_snowridge_v2, "Snowridge-v2", NULL, "Snowridge", 2, "Intel Atom P5900, 2020") \
    X(cpu_snowridge_v3, "Snowridge-v3", NULL, "Snowridge", 3, "Intel Atom P5900, 2020") \
    X(cpu_snowridge_v4, "Snowridge-v4", NULL, "Snowridge", 4, "Intel Atom P5900, 2020") \
    X(cpu_knightsmill, "KnightsMill", "KnightsMill-v1", "KnightsMill", 1, "Intel Xeon Phi, 2017") \
    X(cpu_knightsmill_v1, "KnightsMill-v1", NULL, "KnightsMill", 1, "Intel Xeon Phi, 2017") \
    X(cpu_phenom, "phenom", "phenom-v1", "phenom", 1, "AMD Phenom 9550") \
    X(cpu_phenom_v1, "phenom-v1", NULL, "phenom", 1, "AMD Phenom 9550") \
    X(cpu_opteron_g1, "Opteron_G1", "Opteron_G1-v1", "Opteron_G1", 1, "AMD Opteron 240") \
    X(cpu_opteron_g1_v1, "Opteron_G1-v1", NULL, "Opteron_G1", 1, "AMD Opteron 240") \
    X(cpu_opteron_g2, "Opteron_G2", "Opteron_G2-v1", "Opteron_G2", 1, "AMD Opteron 22xx") \
    X(cpu_opteron_g2_v1, "Opteron_G2-v1", NULL, "Opteron_G2", 1, "AMD Opteron 22xx") \
    X(cpu_opteron_g3, "Opteron_G3", "Opteron_G3-v1", "Opteron_G3", 1, "AMD Opteron 23xx") \
    X(cpu_opteron_g3_v1, "Opteron_G3-v1", NULL, "Opteron_G3", 1, "AMD Opteron 23xx") \
    X(cpu_opteron_g4, "Opteron_G4", "Opteron_G4-v1", "Opteron_G4", 1, "AMD Opteron 62xx") \
    X(cpu_opteron_g4_v1, "Opteron_G4-v1", NULL, "Opteron_G4", 1, "AMD Opteron 62xx") \
    X(cpu_opteron_g5, "Opteron_G5", "Opteron_G5-v1", "Opteron_G5", 1, "AMD Opteron 63xx") \
    X(cpu_opteron_g5_v1, "Opteron_G5-v1", NULL, "Opteron_G5", 1, "AMD Opteron 63xx") \
    X(cpu_epyc, "EPYC", "EPYC-v1", "EPYC", 1, "AMD EPYC, 2017 (version 1)") \
    X(cpu_epyc_v1, "EPYC-v1", NULL, "EPYC", 1, "AMD EPYC, 2017") \
    X(cpu_epyc_v2, "EPYC-v2", NULL, "EPYC", 2, "AMD EPYC, 2017") \
    X(cpu_epyc_ibpb, "EPYC-IBPB", "EPYC-v2", "EPYC", 2, "AMD EPYC, 2017 (version 2)") \
    X(cpu_epyc_v3, "EPYC-v3", NULL, "EPYC", 3, "AMD EPYC, 2017") \
    X(cpu_epyc_v4, "EPYC-v4", NULL, "EPYC", 4, "AMD EPYC, 2017") \
    X(cpu_epyc_rome, "EPYC-Rome", "EPYC-Rome-v1", "EPYC-Rome", 1, "AMD EPYC, 2019 (version 1)") \
    X(cpu_epyc_rome_v1, "EPYC-Rome-v1", NULL, "EPYC-Rome", 1, "AMD EPYC, 2019") \
    X(cpu_epyc_rome_v2, "EPYC-Rome-v2", NULL, "EPYC-Rome", 2, "AMD EPYC, 2019") \
    X(cpu_epyc_rome_v3, "EPYC-Rome-v3", NULL, "EPYC-Rome", 3, "AMD EPYC, 2019") \
    X(cpu_epyc_rome_v4, "EPYC-Rome-v4", NULL, "EPYC-Rome", 4, "AMD EPYC, 2019") \
    X(cpu_epyc_milan, "EPYC-Milan", "EPYC-Milan-v1", "EPYC-Milan", 1, "AMD EPYC, 2021 (version 1)") \
    X(cpu_epyc_milan_v1, "EPYC-Milan-v1", NULL, "EPYC-Milan", 1, "AMD EPYC, 2021") \
    X(cpu_epyc_milan_v2, "EPYC-Milan-v2", NULL, "EPYC-Milan", 2, "AMD EPYC, 2021") \
    X(cpu_epyc_genoa, "EPYC-Genoa", "EPYC-Genoa-v1", "EPYC-Genoa", 1, "AMD EPYC, 2022") \
    X(cpu_epyc_genoa_v1, "EPYC-Genoa-v1", NULL, "EPYC-Genoa", 1, "AMD EPYC, 2022") \
    X(cpu_dhyana, "Dhyana", "Dhyana-v1", "Dhyana", 1, "Hygon Dhyana (version 1)") \
    X(cpu_dhyana_v1, "Dhyana-v1", NULL, "Dhyana", 1, "Hygon Dhyana") \
    X(cpu_dhyana_v2, "Dhyana-v2", NULL, "Dhyana", 2, "Hygon Dhyana") \
    X(cpu_max, "max", NULL, "max", 1, "Every feature the accelerator executes") \
    X(cpu_host, "host", NULL, "host", 1, "The host's processor; max where the accelerator cannot")
/* The last one, as lists need it. */
#define CPU_MODEL_LAST(X) X(cpu_base, "base", NULL, "base", 1, "No feature but those that are asked for")

#endif
