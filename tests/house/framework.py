#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A third party's framework, samples/framework: a kind, an option, commands and a provider, built with
pkg-config alone, show wherever those of the emulator itself do.

usage: framework.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import re
import shutil
import subprocess
import sys

from qmp import Emulator, fails
from tap import run, work_folder

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "packaging"))
from notes import Module  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
TOOL = os.path.join(BUILD, "backplane-module")
WORK = work_folder("backplane-framework-")
SAMPLE = os.path.join(WORK, "sample")
ENV = {**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "meson-uninstalled")}
LAMPS = {"BACKPLANE_MODULE_PATH": SAMPLE}

shutil.copytree(os.path.join(SOURCE, "samples/framework"), SAMPLE)


def said(*command, env=LAMPS, status=0, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **env}, **options)
    assert done.returncode == status, (command, done.returncode, done.stdout + done.stderr)
    return done.stdout


def folder(name, *files):
    path = os.path.join(WORK, name)
    os.makedirs(path)
    for file in files:
        shutil.copy(os.path.join(SAMPLE, file), path)
    return path


def compiled(name, source, place):
    path = os.path.join(WORK, name + ".c")
    with open(path, "w") as f:
        f.write(source)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "backplane"], env=ENV, text=True,
                           capture_output=True, check=True).stdout.split()
    subprocess.run(["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,noexecstack", "-I", SAMPLE, "-o",
                    os.path.join(place, name + ".so"), path, *flags], check=True, timeout=60)


def it_is_built_with_pkg_config_alone():
    done = subprocess.run(["make", "-s", "-C", SAMPLE, "CFLAGS=-O2 -Wall -Wextra -Werror "
                           "-Wno-unused-parameter"], env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def help_shows_it():
    assert re.search(r"^Lamps:\n-lamp driver,id=ID.*\n +adds a lamp$", said(PROGRAM, "-h"), re.M)
    assert said(PROGRAM, "-lamp", "help") == "Available lamps:\n  white                White lamp\n"
    assert re.search(r"lumen=<uint32> .*how bright it is.*\(default: 800\)",
                     said(PROGRAM, "-lamp", "white,help"))
    facts = json.loads(said(PROGRAM, "-help-json"))
    kind = next(k for k in facts["kinds"] if k["name"] == "lamp")
    assert kind["option"] == "lamp" and kind["container"] == "/lamps", kind
    assert [m["type"] for m in kind["members"]] == ["lamp-white"], kind
    assert [o["lists"] for o in facts["options"] if o["name"] == "lamp"] == ["lamp"]


def completion_shows_it():
    def candidates(*words):
        out = said(PROGRAM, "-complete", str(len(words)), "--", "x", *words)
        return [line.split("\t")[0] for line in out.splitlines()[1:]]
    assert "-lamp" in candidates("-lam")
    assert candidates("-lamp", "wh") == ["white"]
    assert candidates("-lamp", "white,lum") == ["white,lumen="]


def it_works_and_introspection_shows_it():
    with Emulator(PROGRAM, "-machine", "none", "-lamp", "white,id=desk,lumen=300", env=LAMPS) as e:
        def ask(command, **arguments):
            reply = e.command(command, **arguments)
            assert "return" in reply, reply
            return reply["return"]
        assert ask("qom-get", path="/lamps/desk", property="lumen") == 300
        assert ask("qom-get", path="/lamps/desk", property="type") == "lamp-white"
        assert ask("qom-get", path="/lamps/desk", property="lit") is True
        ask("lamp-switch", id="desk", on=False)
        assert ask("qom-get", path="/lamps/desk", property="lit") is False
        assert ask("query-lamps") == ["white"]
        types = ask("qom-list-types", implements="lamp")
        assert [t["name"] for t in types] == ["lamp-white"], types
        assert {t["name"]: t for t in ask("qom-list-types", abstract=True)}["lamp"]["abstract"]
        properties = ask("qom-list-properties", typename="lamp-white")
        assert {"lumen", "lit"} <= {p["name"] for p in properties}, properties
        schema = {s["name"]: s for s in ask("query-qmp-schema")}
        assert schema["lamp-switch"]["meta-type"] == "command"
        options = {o["option"] for o in ask("query-command-line-options")}
        assert "lamp" in options, options


def describing_it_loads_nothing():
    with Emulator(PROGRAM, "-machine", "none", env=LAMPS) as e:
        e.command("qom-list-types", implements="lamp")
        e.command("qom-list-properties", typename="lamp-white")
        modules = {m["name"]: m["state"] for m in e.command("query-modules")["return"]["modules"]}
        assert modules["lamp"] == modules["lamp-white"] == "available", modules


def with_an_index_it_is_the_same():
    place = folder("indexed", "lamp.so", "lamp-white.so")
    said(TOOL, "index", place)
    env = {"BACKPLANE_MODULE_PATH": place}
    assert said(PROGRAM, "-lamp", "help", env=env) == said(PROGRAM, "-lamp", "help")
    assert said(PROGRAM, "-lamp", "white,help", env=env) == said(PROGRAM, "-lamp", "white,help")


def the_tool_knows_it():
    listed = said(TOOL, "list", "--provides", "lamp", SAMPLE, env={})
    assert listed.split() == ["lamp-white", "available", "lamp:white"], listed
    assert "lamp white: White lamp" in said(TOOL, "info", os.path.join(SAMPLE, "lamp-white.so"))
    assert "kind lamp: lamp" in said(TOOL, "graph", SAMPLE, env={})
    checked = said(TOOL, "check", os.path.join(SAMPLE, "lamp.so"),
                   os.path.join(SAMPLE, "lamp-white.so"))
    assert "ok - lamp white: is made, used and taken away; twice" in checked, checked
    assert checked.count(" 0 not ok, 0 warnings") == 2, checked
    listed = subprocess.run([TOOL, "list", "--provides", "lmap"], capture_output=True, text=True)
    assert listed.returncode == 2 and "there is no kind lmap" in listed.stderr, listed.stderr


def packages_are_split_by_it():
    framework, white = (Module(os.path.join(SAMPLE, n + ".so")) for n in ("lamp", "lamp-white"))
    assert "backplane-kind-lamp" in framework.virtual_packages()
    assert "backplane-lamp-white" in white.virtual_packages()
    assert "backplane-kind-lamp" in white.needed_packages()
    assert framework.needed_packages() == []


def without_its_framework_a_provider_is_refused_in_words():
    place = folder("alone", "lamp-white.so")
    env = {"BACKPLANE_MODULE_PATH": place}
    with Emulator(PROGRAM, "-machine", "none", env=env) as e:
        error = e.command("module-load", name="lamp-white")["error"]["desc"]
        assert "provides lamp white, and no module declares kind lamp" in error, error
    with open(os.path.join(place, "catalogue"), "w") as f:
        f.write("install apt install %s\nkind:lamp\tlamp\tacme-lamps\n")
    with Emulator(PROGRAM, "-machine", "none", env=env) as e:
        error = e.command("module-load", name="lamp-white")["error"]["desc"]
        assert "package acme-lamps has it; install it with: apt install acme-lamps" in error, error


def of_two_frameworks_rank_decides_and_it_is_told():
    place = folder("two", "lamp.so", "lamp-white.so")
    compiled("lamp-other", '#define BP_MODULE_RANK 5\n#include "lamp.h"\n'
             'BP_DECLARE_KIND("lamp", "Other lamps");\n'
             'static const struct bp_kind kind = {ACME_LAMP_KIND};\n'
             'BP_MODULE("lamp-other", "Other lamps", BP_NO_IMPORTS, {BP_PROVIDE_KIND, &kind});\n', place)
    env = {"BACKPLANE_MODULE_PATH": place}
    with Emulator(PROGRAM, "-machine", "none", env=env) as e:
        modules = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
        assert modules["lamp-other"]["state"] == "available", modules["lamp-other"]
        assert "provides kind lamp, which module lamp-other" in modules["lamp"]["reason"]
        e.command("quit")
        e.process.wait(20)
        told = e.process.stderr.read()
        assert told.count("warning: module lamp (") == 1, told


def a_provider_for_another_version_is_refused():
    place = folder("version", "lamp.so")
    compiled("lamp-next", '#include "lamp.h"\n'
             'static const struct bp_kind next = {ACME_LAMP_KIND, .minor = 7};\n'
             'static int light(void *s, bool on, struct bp_error *e) { return 0; }\n'
             'BP_NOTE("provides=lamp:next;summary=Next");\n'
             'static const struct acme_lamp_class lamp = {.type = {.size = sizeof(lamp), '
             '.name = "lamp-next", .summary = "Next", .kind = &next}, .light = light};\n'
             'BP_MODULE("lamp-next", "Next", BP_NO_IMPORTS, {BP_PROVIDE_OTHER, &lamp});\n', place)
    error = fails(PROGRAM, "-machine", "none", "-lamp", "next,id=n",
                  env={"BACKPLANE_MODULE_PATH": place})
    assert "was built for kind lamp 1.7; the framework here has 1.0" in error, error


def a_class_that_lacks_what_it_needs_is_refused():
    place = folder("lacking", "lamp.so")
    compiled("lamp-dark", '#include "lamp.h"\nACME_LAMP(dark, "dark", "Dark", int, NULL, .colour = "none");\n'
             'BP_MODULE("lamp-dark", "Dark", BP_NO_IMPORTS, {BP_PROVIDE_OTHER, &dark});\n', place)
    error = fails(PROGRAM, "-machine", "none", "-lamp", "dark,id=n",
                  env={"BACKPLANE_MODULE_PATH": place})
    assert "cannot be switched: it has no light function" in error, error


# Slots of a shape that cannot be walked by: what is wrong with them.
WRONG_SHAPES = {
    "overlap": "BP_SHAPE_TYPE, BP_SHAPE_STRING(struct acme_lamp_class, colour), "
               "BP_SHAPE_PLAIN(struct acme_lamp_class, colour, effects)",
    "outside": 'BP_SHAPE_TYPE, {"x", BP_SHAPED_STRING, 4096, 8, 0, NULL}',
    "wraps": 'BP_SHAPE_TYPE, {"x", BP_SHAPED_PLAIN, 0xfffffff8, 16, 0, NULL}',
    "crooked": 'BP_SHAPE_TYPE, {"x", BP_SHAPED_STRING, 100, 8, 0, NULL}',
    "unknown": 'BP_SHAPE_TYPE, {"x", 99, 96, 8, 0, NULL}',
    "nowhere": "BP_SHAPE_TYPE, BP_SHAPE_ONE(struct acme_lamp_class, colour, NULL)",
    "endless": "BP_SHAPE_TYPE, BP_SHAPE_TABLE(struct acme_lamp_class, colour, &acme_lamp_shape)",
    "no-type": "BP_SHAPE_STRING(struct acme_lamp_class, colour)",
}


def a_shape_that_makes_no_sense_is_refused():
    place = folder("shapes", "lamp.so")
    for name, slots in WRONG_SHAPES.items():
        compiled("lamp-" + name, '#include "lamp.h"\n'
                 'static const struct bp_shape_slot slots[] = {%s, BP_SHAPE_END};\n'
                 'static const struct bp_shape shape = {"lamp", sizeof(struct acme_lamp_class), slots};\n'
                 'static const struct bp_kind kind = {.size = sizeof(struct bp_kind), .major = 1, '
                 '.name = "lamp", .prefix = "lamp-", .shape = &shape};\n'
                 'BP_NOTE("provides=lamp:%s;summary=Wrong");\n'
                 'static const struct acme_lamp_class lamp = {.type = {.size = sizeof(lamp), '
                 '.name = "lamp-%s", .summary = "Wrong", .kind = &kind}, .colour = "c"};\n'
                 'BP_MODULE("lamp-%s", "Wrong", BP_NO_IMPORTS, {BP_PROVIDE_OTHER, &lamp});\n'
                 % (slots, name, name, name), place)
        error = fails(PROGRAM, "-machine", "none", "-lamp", name + ",id=n",
                      env={"BACKPLANE_MODULE_PATH": place})
        assert re.search("is malformed: (a bp_shape in it contradicts itself|the kind of something it "
                         "provides makes no sense)", error), (name, error)
    said(TOOL, "index", place)
    assert said(PROGRAM, "-lamp", "help", env={"BACKPLANE_MODULE_PATH": place}).count("\n") == 1


run([it_is_built_with_pkg_config_alone, help_shows_it, completion_shows_it,
     it_works_and_introspection_shows_it, describing_it_loads_nothing, with_an_index_it_is_the_same,
     the_tool_knows_it, packages_are_split_by_it,
     without_its_framework_a_provider_is_refused_in_words,
     of_two_frameworks_rank_decides_and_it_is_told, a_provider_for_another_version_is_refused,
     a_class_that_lacks_what_it_needs_is_refused, a_shape_that_makes_no_sense_is_refused])
