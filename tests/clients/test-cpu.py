#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CPU's object as clients read it: where it is, its identity, features and what was filtered."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
from qmp import Emulator, fails  # noqa: E402
from tap import run  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FIRST = "/machine/unattached/device[0]"
# CPUID bits by their register (AMD APM volume 3, appendix E).
NX = ({"cpuid-input-eax": 0x80000001, "cpuid-register": "EDX"}, 1 << 20)
SVM = ({"cpuid-input-eax": 0x80000001, "cpuid-register": "ECX"}, 1 << 2)


# What can be had is the accelerator's to say.
STOPPED = ("-nodefaults", "-display", "none", "-accel", "interp", "-S")


class Machine(Emulator):
    def __init__(self, *args):
        super().__init__(PROGRAM, "-M", "pc", *args, quiet=STOPPED)

    def get(self, name, path=FIRST):
        reply = self.command("qom-get", path=path, property=name)
        assert "return" in reply, reply
        return reply["return"]


def has(words, feature):
    place, bit = feature
    for word in words:
        if all(word[key] == value for key, value in place.items()):
            return bool(word["features"] & bit)
    raise AssertionError("no such word: %s in %s" % (place, words))


def first_processor_is_the_first_device():
    with Machine("-smp", "2") as m:
        cpus = m.command("query-cpus-fast")["return"]
        assert cpus[0]["qom-path"] == FIRST, cpus
        assert cpus[1]["qom-path"].startswith("/machine/unattached/device["), cpus
        assert m.get("apic-id") == 0 and m.get("apic-id", cpus[1]["qom-path"]) == 1


def identity_and_features_have_their_types():
    with Machine() as m:
        types = {p["name"]: p["type"] for p in m.command("qom-list", path=FIRST)["return"]}
        assert types["feature-words"] == types["filtered-features"] == "X86CPUFeatureWordInfo", types
        assert types["unavailable-features"] == "strList" and types["nx"] == "bool", types
        assert (m.get("family"), m.get("model"), m.get("stepping")) == (15, 107, 1)
        assert m.get("vendor") == "AuthenticAMD" and m.get("model-id")
        words = m.get("feature-words")
        assert has(words, NX) and not has(words, SVM), words
        assert not any(word["features"] for word in m.get("filtered-features"))
        assert m.get("unavailable-features") == []


def switched_off_features_are_gone():
    with Machine("-cpu", "qemu64,-nx") as m:
        assert not has(m.get("feature-words"), NX)
        assert m.get("nx") is False and m.get("unavailable-features") == []


def what_is_not_executed_is_filtered():
    with Machine("-cpu", "qemu64,+svm") as m:
        assert m.get("unavailable-features") == ["svm"]
        assert has(m.get("filtered-features"), SVM) and not has(m.get("feature-words"), SVM)


def identity_can_be_chosen():
    with Machine("-cpu", "qemu64,family=6,model=94,stepping=3,vendor=GenuineIntel,model-id=Mine") as m:
        assert (m.get("family"), m.get("model"), m.get("stepping")) == (6, 94, 3)
        assert (m.get("vendor"), m.get("model-id")) == ("GenuineIntel", "Mine")
        reply = m.command("qom-set", path=FIRST, property="family", value=7)
        assert "cannot be set" in reply["error"]["desc"], reply
    for text, words in (("vendor=AMD", ("vendor", "12")), ("family=271", ("family", "270")),
                        ("stepping=16", ("stepping", "15")), ("model-id=" + "x" * 49, ("48",))):
        said = fails(PROGRAM, "-M", "pc", "-cpu", "qemu64," + text)
        assert all(word in said for word in words), said


def modules_are_a_level_of_their_own():
    with Machine("-smp", "32,sockets=2,dies=2,modules=2,cores=2,threads=2,maxcpus=32") as m:
        cpus = m.command("query-cpus-fast")["return"]
        assert len(cpus) == 32 and cpus[31]["props"] == {"socket-id": 1, "die-id": 1, "module-id": 1, "core-id": 1,
                                                         "thread-id": 1}, cpus[31]
        assert cpus[4]["props"] == {"socket-id": 0, "die-id": 0, "module-id": 1, "core-id": 0, "thread-id": 0}, cpus[4]
        assert m.get("module-id", cpus[5]["qom-path"]) == 1
    with Machine("-smp", "cpus=2,modules=2") as m:
        assert [c["props"]["module-id"] for c in m.command("query-cpus-fast")["return"]] == [0, 1]
    said = fails(PROGRAM, "-M", "none", "-smp", "2,modules=2")
    assert "modules > 1" in said, said


def ids_follow_the_topology():
    with Machine("-smp", "6,sockets=2,cores=3") as m:
        ids = [m.get("apic-id", c["qom-path"]) for c in m.command("query-cpus-fast")["return"]]
        assert ids == [0, 1, 2, 4, 5, 6], ids
    said = fails(PROGRAM, "-M", "pc", "-smp", "255,sockets=85,cores=3")
    assert "APIC id 338" in said and "powers of two" in said, said


def versions_and_aliases_differ_as_they_say():
    for name, hle, ibrs in (("Haswell", True, False), ("Haswell-v1", True, False), ("Haswell-noTSX", False, False),
                            ("Haswell-v2", False, False), ("Haswell-IBRS", True, True), ("Haswell-v4", False, True),
                            ("Haswell-noTSX-IBRS", False, True)):
        with Machine("-cpu", name) as m:
            missing = m.get("unavailable-features")
            asked = lambda feature: m.get(feature) or feature in missing
            assert (asked("hle"), asked("spec-ctrl")) == (hle, ibrs), (name, missing)
            assert (m.get("family"), m.get("model"), m.get("vendor")) == (6, 60, "GenuineIntel")
    with Machine() as m:
        known = {d["name"]: d for d in m.command("query-cpu-definitions")["return"]}
        assert known["Haswell-noTSX"]["alias-of"] == "Haswell-v2" and known["EPYC"]["alias-of"] == "EPYC-v1"
        assert "alias-of" not in known["EPYC-v2"] and known["base"]["static"] and not known["max"]["migration-safe"]
        assert "sse4a" in known["phenom"]["unavailable-features"], known["phenom"]
        assert known["qemu64"]["unavailable-features"] == known["max"]["unavailable-features"] == []
        for name in ("486", "qemu32", "kvm64", "Nehalem", "SapphireRapids-v3", "Opteron_G1", "EPYC-Genoa", "base"):
            assert known[name]["typename"] == name + "-x86_64-cpu", known[name]
    for name in ("EPYC-v9", "Haswell-v5", "nothing"):
        assert "unable to find CPU model '%s'" % name in fails(PROGRAM, "-M", "pc", "-cpu", name)


def warnings_name_each_feature_once():
    said = run_for_a_moment("-cpu", "qemu64,+svm,+3dnow", "-smp", "2")
    assert said.count("svm") == 1 and said.count("3dnow") == 1 and said.count("warning") == 1, said
    assert "warning" not in run_for_a_moment("-cpu", "qemu64,+svm,check=off")
    assert "warning" not in run_for_a_moment("-cpu", "qemu64")
    assert "-cpu max" in run_for_a_moment("-cpu", "host")
    said = refused("qemu64,+svm,+3dnow,enforce")
    assert "enforce" in said and "3dnow, svm" in said, said


def sizes_are_chosen_or_refused():
    for text, words in (("qemu64,phys-bits=31", ("phys-bits", "32 and 52")), ("qemu64,phys-bits=53", ("phys-bits", "52")),
                        ("pentium3,phys-bits=40", ("36",)), ("qemu64,pmu=on", ("pmu", "counters")),
                        ("qemu64,kvm=on", ("kvm",))):
        said = refused(text)
        assert all(word in said for word in words), said
    with Machine("-cpu", "max,phys-bits=46,level=13,xlevel=0x80000008") as m:
        assert (m.get("phys-bits"), m.get("level"), m.get("xlevel")) == (46, 13, 0x80000008)


def refused(text):
    run = subprocess.run([PROGRAM, *STOPPED, "-M", "pc", "-cpu", text], capture_output=True, text=True,
                         timeout=30, stdin=subprocess.DEVNULL)
    assert run.returncode == 1, (text, run)
    return run.stderr


def run_for_a_moment(*args):
    with Machine(*args) as m:
        m.command("quit")
        return m.process.stderr.read()


run([modules_are_a_level_of_their_own, ids_follow_the_topology, versions_and_aliases_differ_as_they_say,
     warnings_name_each_feature_once, sizes_are_chosen_or_refused, first_processor_is_the_first_device,
     identity_and_features_have_their_types,
     switched_off_features_are_gone, what_is_not_executed_is_filtered, identity_can_be_chosen])
