#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the emulator says of itself: help as JSON agrees with QMP, is the same whether a module is
loaded or not, and loads none."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

SOURCE, BUILD, TYPES = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests", "house"))
import tap
from qmp import Emulator

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")


def run(*argv, status=0, env=None):
    done = subprocess.run([PROGRAM, *argv], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    assert done.returncode == status, (argv, done)
    return done


def parsed(*argv):
    return json.loads(run(*argv).stdout)


def names(entries):
    return sorted(entry["name"] for entry in entries)


def loaded(emulator):
    answer = emulator.command("query-modules")["return"]
    entries = answer["modules"] if isinstance(answer, dict) else answer
    return sorted(m["name"] for m in entries if m.get("state") == "loaded")


def every_help_is_valid_json():
    facts = parsed("-help-json")
    for option in facts["options"]:
        if option.get("lists"):
            things = parsed("-" + option["name"], "help,format=json")
            assert things, option
            for thing in things:
                one = parsed("-" + option["name"], thing["name"] + ",help,format=json")
                assert one == thing, (one, thing)
        elif option.get("keys"):
            keys = parsed("-" + option["name"], "help,format=json")
            assert keys == {"name": option["name"], "properties": option["keys"]}, option
    for option in ("d", "L", "display"):
        assert all("name" in item for item in parsed("-" + option, "help,format=json"))
    assert {o["name"] for o in facts["options"]} >= {"device", "chardev", "module-dir", "help-json"}


def ranges_are_shown_and_no_number_stands_for_none():
    assert re.search(r"maxcpus=<uint32> .* \[1\.\.4096\]$", run("-smp", "help").stdout, re.M)
    assert re.search(r"drawers=<uint32> .* \[1\]$", run("-smp", "help").stdout, re.M)
    assert re.search(r"baudbase=.* \[\d+\.\.\d+\] \(default: 115200\)", run("-device", "isa-serial,help").stdout)
    facts = parsed("-help-json")
    for things, option in [(facts["devices"], "device"), (facts["objects"], "object"),
                           (facts["machines"], "machine")] + [
                               (k["members"], k["option"]) for k in facts["kinds"] if "option" in k]:
        for thing in things:
            text = run("-" + option, thing["name"] + ",help").stdout
            text = text.replace("most sectors of a request (default: 65535)", "")  # that many
            assert not re.search(r"default: (4294967295|65535|255|18446744073709551615)\)", text), text
            assert "[0..4294967295]" not in re.sub(r".*=<u?int64>.*", "", text), text


def options_stand_under_one_heading_of_a_kind():
    headings = re.findall(r"^(\S.*):$", run("-h").stdout, re.M)
    assert len(headings) == len(set(headings)) and len(headings) >= 6, headings
    short = [re.sub("[^a-z]", "", h.lower().replace("and", "").replace("options", "")) for h in headings]
    assert len(set(short)) == len(short), headings


def unknown_format_names_the_accepted_ones():
    for argv in (("-device", "help,format=xml"), ("-device", "isa-serial,help,format=xml"),
                 ("-cpu", "help,format=xml"), ("-smp", "help,format=xml"), ("-d", "help,format=xml"),
                 ("-chardev", "socket,help,format=")):
        said = run(*argv, status=1).stderr
        assert len(said.splitlines()) == 1 and "text, json" in said and argv[0] in said, said
    assert run("-device", "help,format=text").stdout == run("-device", "help").stdout


def unknown_things_are_told():
    for argv in (("-device", "isa-serail,help"), ("-machine", "pcc,help"), ("-cpu", "qemu65,help"),
                 ("-object", "secrett,help"), ("-chardev", "sockett,help"), ("-accel", "interpp,help")):
        said = run(*argv, status=1).stderr
        assert len(said.splitlines()) == 1 and argv[1].split(",")[0] in said, said


def devices_stand_under_their_categories():
    text = run("-device", "help").stdout
    parts = {part.split("\n")[0]: part for part in text.split("\n\n")}
    assert 'name "isa-serial", bus isa, desc "' in parts["Input devices:"], text
    assert 'name "isa-debug-exit"' in parts["Misc devices:"], text
    assert "i440FX" not in text, "boards make it"


def properties_agree_with_qmp():
    devices = parsed("-device", "help,format=json")
    assert any(not d["user-creatable"] for d in devices)
    largest = {"uint%u" % bits: 2**bits - 1 for bits in (8, 16, 32, 64)}
    with Emulator(PROGRAM, "-machine", "none") as emulator:
        types = {t["name"] for t in emulator.command("qom-list-types", implements="device")["return"]}
        for device in devices:
            assert device["name"] in types, device
            listed = emulator.command("device-list-properties", typename=device["name"])["return"]
            ours = [(p["name"], p["type"], p.get("help"), p.get("default"))
                    for p in device["properties"]]
            theirs = [(p["name"], p["type"], p.get("description"), p.get("default-value"))
                      for p in listed]
            # Help leaves a number out that only says "not given"; clients know it.
            theirs = [(*t[:3], None) if t[3] == largest.get(t[1]) and o[3] is None else t
                      for o, t in zip(ours, theirs, strict=True)]
            assert ours == theirs, device["name"]
            for alias in device.get("aliases", []):
                assert emulator.command("device-list-properties", typename=alias)["return"] == listed


def lists_agree_with_qmp():
    facts = parsed("-help-json")
    with Emulator(PROGRAM, "-machine", "none") as emulator:
        def ask(command, **arguments):
            return emulator.command(command, **arguments)["return"]
        assert names(facts["machines"]) == names(ask("query-machines"))
        assert names(facts["cpus"]) == names(ask("query-cpu-definitions"))
        kind = next(k for k in facts["kinds"] if k["name"] == "chardev")
        assert names(kind["members"]) == names(ask("query-chardev-backends"))
        assert names(facts["commands"]) == names(ask("query-commands"))
        schema = ask("query-qmp-schema")
        assert names(facts["events"]) == names(e for e in schema if e["meta-type"] == "event")
        assert names(facts["commands"]) == names(e for e in schema if e["meta-type"] == "command")
        keys = {o["option"]: [p["name"] for p in o["parameters"]]
                for o in ask("query-command-line-options")}
        for group, name in (("smp-opts", "smp"), ("boot-opts", "boot"), ("memory", "m")):
            assert keys.pop(group) == keys[name], group
        ours = {o["name"]: [k["name"] for k in o.get("keys", []) if "hidden" not in k.get("flags", [])]
                for o in facts["options"]}
        # With the boards' properties behind its own keys.
        assert keys["machine"][:len(ours["machine"])] == ours["machine"], keys["machine"]
        keys["machine"] = ours["machine"]
        assert keys == ours
        by_name = {e["name"]: e for e in schema}
        for command in facts["commands"]:
            members = by_name[by_name[command["name"]]["arg-type"]]["members"]
            assert [m["name"] for m in members] == [a["name"] for a in command["arguments"]], command
        for event in facts["events"]:
            members = by_name[by_name[event["name"]]["arg-type"]]["members"]
            assert [m["name"] for m in members] == [a["name"] for a in event["data"]], event


def answers_are_the_same_after_loading():
    with Emulator(PROGRAM, "-machine", "none") as emulator:
        def answers():
            kinds = emulator.command("qom-list-types", abstract=True)["return"]
            properties = {t["name"]: emulator.command("qom-list-properties", typename=t["name"])
                          for t in kinds}
            return {"schema": emulator.command("query-qmp-schema")["return"], "types": kinds,
                    "properties": properties,
                    "options": emulator.command("query-command-line-options")["return"],
                    "machines": emulator.command("query-machines")["return"],
                    "cpus": emulator.command("query-cpu-definitions")["return"],
                    "help": emulator.command("human-monitor-command", command_line="help"),
                    "info": emulator.command("human-monitor-command", command_line="help info")}
        assert emulator.command("query-cpu-definitions")["return"]  # asks the models' own module
        few, before = loaded(emulator), answers()
        assert loaded(emulator) == few, "describing has loaded a module"
        # A command whose module is not loaded is described in full.
        assert "pci" not in few
        schema = {e["name"]: e for e in before["schema"]}
        assert schema[schema["query-pci"]["ret-type"]]["meta-type"] == "array"
        for path in sorted(glob.glob(os.path.join(BUILD, "modules", "*.so"))):
            emulator.command("module-load", name=os.path.basename(path)[:-3])
        assert len(loaded(emulator)) > len(few) + 5, loaded(emulator)
        after = answers()
        for key, value in before.items():
            assert after[key] == value, key


def modules_of_all_kinds_are_described():
    env = {"BACKPLANE_MODULE_PATH": TYPES}
    text = run("-device", "help", env=env).stdout
    assert re.search(r'Network devices:\n(name .*\n)*name "test-child", bus system, alias "test-kid", desc "A port', text), text
    facts = json.loads(run("-help-json", env=env).stdout)
    command = next(c for c in facts["commands"] if c["name"] == "test-happen")
    x, colour = command["arguments"][0]["element"]["members"]
    assert (x["name"], x["min"], colour["choices"]) == ("x", -2**31, ["red", "green"]), command
    tree = command["arguments"][1]
    assert tree["members"][1]["element"]["type"] == "TestTree", tree
    assert "members" not in tree["members"][1]["element"], "it has no end"
    with Emulator(PROGRAM, "-machine", "none", env=env) as emulator:
        def ask(command, **arguments):
            reply = emulator.command(command, **arguments)
            assert "return" in reply, reply
            return reply["return"]
        few, schema = loaded(emulator), ask("query-qmp-schema")
        types = {t["name"]: t for t in ask("qom-list-types", abstract=True)}
        assert types["test-port"] == {"name": "test-port", "abstract": True, "parent": "device"}
        assert types["test-child"]["parent"] == "test-port"
        for name in ("test-child", "test-kid"):
            listed = ask("device-list-properties", typename=name)
            assert [(p["name"], p["default-value"]) for p in listed] == [("depth", 3), ("base", 0x310)]
        assert names(ask("qom-list-properties", typename="test-port")) == ["base"]
        by_name = {e["name"]: e for e in schema}
        happen, happened = by_name["test-happen"], by_name["TEST_HAPPENED"]
        points, tree = by_name[happen["arg-type"]]["members"]
        assert happen["ret-type"] == points["type"] == by_name[happened["arg-type"]]["members"][0]["type"]
        assert by_name[by_name[points["type"]]["element-type"]]["members"][0]["type"] == "int"
        inner = by_name[tree["type"]]["members"][1]["type"]
        assert by_name[inner]["element-type"] == tree["type"], "the tree refers to itself"
        assert loaded(emulator) == few
        assert ask("test-happen", points=[{"x": 1, "colour": "red"}]) == [{"x": 1, "colour": "red"}]
        assert set(loaded(emulator)) == set(few) | {"test-parent"}
        assert ask("query-qmp-schema") == schema
        assert ask("qom-list-types", abstract=True) == list(types.values())
    with Emulator(PROGRAM, "-machine", "none", env=env) as emulator:
        assert "return" in emulator.command("device_add", driver="test-kid", id="x", base=5)
        path = "/machine/peripheral/x"
        assert emulator.command("qom-get", path=path, property="base")["return"] == 5
        assert emulator.command("qom-get", path=path, property="type")["return"] == "test-child"
        assert {"test-parent", "test-child"} <= set(loaded(emulator))


def dynamic_loads(*argv):
    """Names of the modules that the dynamic linker was asked to load."""
    with tempfile.TemporaryDirectory() as where:
        subprocess.run([PROGRAM, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60,
                       env={**os.environ, "LD_DEBUG": "files",
                            "LD_DEBUG_OUTPUT": os.path.join(where, "log")})
        text = ""
        for path in glob.glob(os.path.join(where, "*")):
            with open(path, encoding="utf-8", errors="replace") as f:
                text += f.read()
    assert "libbackplane" in text, "the linker said nothing"
    return re.findall(r"calling init: (\S*(?:/modules/|/proc/self/fd/)\S+)", text)


def describing_loads_nothing():
    for argv in (("-h",), ("-help-json",), ("-device", "help"), ("-device", "isa-serial,help"),
                 ("-device", "help,format=json"), ("-machine", "help"), ("-machine", "pc,help"),
                 ("-cpu", "help"), ("-cpu", "qemu64,help"), ("-accel", "help"),
                 ("-accel", "interp,help"), ("-object", "help"), ("-object", "secret,help"),
                 ("-chardev", "help"), ("-chardev", "socket,help"), ("-fw_cfg", "help"),
                 ("-complete", "2", "--", "x", "-device", "isa-serial,")):
        assert dynamic_loads(*argv) == [], argv
    assert dynamic_loads("-machine", "none", "-accel", "qtest", "-nodefaults", "-device", "nope",
                         "-chardev", "null,id=x"), "this must load some"


tap.run([every_help_is_valid_json, ranges_are_shown_and_no_number_stands_for_none,
         options_stand_under_one_heading_of_a_kind, unknown_format_names_the_accepted_ones, unknown_things_are_told,
         devices_stand_under_their_categories, properties_agree_with_qmp, lists_agree_with_qmp,
         answers_are_the_same_after_loading, modules_of_all_kinds_are_described,
         describing_loads_nothing])
