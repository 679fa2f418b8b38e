#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What users are told when a thing is not there: the package that has it, near names, the reason.
The emulator runs from a folder of its own with some modules taken away and a catalogue that knows
them. Also what programs ask: query-modules, module-load, MODULE_LOADED.

usage: test-missing.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "house"))
from qmp import QUIET, Emulator, cpu_seconds
from tap import run, work_folder

BUILD = os.path.abspath(sys.argv[2])
WORK = work_folder("backplane-missing-")
BIN = os.path.join(WORK, "bin")
PROGRAM = os.path.join(BIN, "backplane-system-x86_64")
MODULES = os.path.join(BIN, "modules")
ENV = {"LD_LIBRARY_PATH": os.path.join(BUILD, "core"), "BACKPLANE_MODULE_PATH": "",
       "BACKPLANE_MODULE_CONF": os.path.join(WORK, "conf")}
AWAY = ("hw-debug-exit", "chardev-null", "object-secret", "chardev-ringbuf", "hw-x86-info",
        "cpu-x86", "accel-interp", "accel-tcg", "accel-kvm")
NOTHING = ("-nodefaults", "-display", "none")


def install(package):
    return "package %s has it; install it with: apt install %s" % (package, package)


def hide(name):
    os.rename(os.path.join(MODULES, name + ".so"), os.path.join(WORK, name + ".so"))


def unhide(name):
    os.rename(os.path.join(WORK, name + ".so"), os.path.join(MODULES, name + ".so"))


class Hidden:
    """A few more modules are away."""

    def __init__(self, *names):
        self.names = names

    def __enter__(self):
        for name in self.names:
            hide(name)

    def __exit__(self, *exception):
        for name in self.names:
            unhide(name)


class Unhidden(Hidden):
    """A few are there after all."""

    def __enter__(self):
        Hidden.__exit__(self)

    def __exit__(self, *exception):
        Hidden.__enter__(self)


def write_catalogue(text):
    path = os.path.join(MODULES, "catalogue")
    with open(path, "w", encoding="latin-1") as f:
        f.write(text)
    os.chmod(path, 0o644)


def set_up():
    os.makedirs(BIN)
    os.makedirs(ENV["BACKPLANE_MODULE_CONF"])
    shutil.copy(os.path.join(BUILD, "backplane-system-x86_64"), PROGRAM)
    shutil.copytree(os.path.join(BUILD, "modules"), MODULES,
                    ignore=lambda d, names: [n for n in names if not n.endswith(".so")])
    with emulator() as e:
        modules = e.command("query-modules")["return"]["modules"]
    lines = ["# made by a test", "install apt install %s"]
    for m in modules:
        package = "backplane-" + m["name"]
        lines += ["%s\t%s\t%s" % (p, m["name"], package) for p in m["provides"]]
        lines.append("module:%s\t%s\t%s" % (m["name"], m["name"], package))
    # What no module here has: an option, a command.
    lines += ["option:acpitool\tnet\tbackplane-net", "command:query-acpitool\tspice\tbackplane-spice",
              "board:pc\tboard-pc\tbackplane-board-pc", "device:e1000\thw-e1000\tbackplane-e1000"]
    global CATALOGUE
    CATALOGUE = "\n".join(lines) + "\n"
    write_catalogue(CATALOGUE)
    for name in AWAY:
        hide(name)


def emulator(*args, quiet=QUIET, env=None):
    return Emulator(PROGRAM, "-machine", "none", *args, env={**ENV, **(env or {})}, quiet=quiet)


def refused(*args, quiet=(*NOTHING, "-accel", "qtest")):
    """The one line that it says before it ends."""
    done = subprocess.run([PROGRAM, *quiet, *args], capture_output=True, text=True, timeout=20,
                          env={**os.environ, **ENV}, stdin=subprocess.DEVNULL)
    assert done.returncode == 1, (args, done)
    assert done.stderr.count("\n") == 1, (args, done.stderr)
    return done.stderr


def has(text, *words):
    for word in words:
        assert word in text, "%r is not in %r" % (word, text)


# ---- the command line ----

def device_not_installed_names_its_package():
    said = refused("-machine", "none", "-device", "isa-debug-exit,iobase=0x501")
    has(said, "-device isa-debug-exit", install("backplane-hw-debug-exit"))
    assert "near names" not in said, said
    has(refused("-machine", "none", "-device", "isa-debug-exit,help"),
        install("backplane-hw-debug-exit"))
    with Hidden("pci"):
        has(refused("-machine", "pc"), "pci/1", install("backplane-pci"))


def mistyped_device_gives_near_names_of_both_kinds():
    said = refused("-machine", "none", "-device", "isa-debug-exti")
    has(said, "isa-debug-exit in package backplane-hw-debug-exit", "not installed")
    said = refused("-machine", "none", "-device", "isa-serail")
    has(said, "near names: isa-serial")
    assert "package" not in said, said


def machine_not_installed_names_its_package():
    with Hidden("board-pc"):
        has(refused("-machine", "pc"), "there is no machine 'pc'", install("backplane-board-pc"))
        has(refused("-machine", "nome"), "near names: none")
        has(refused(), "no default machine", "packages that have one: ", "backplane-board-pc")


def cpu_and_accelerator_not_installed_name_their_packages():
    has(refused("-machine", "pc", "-cpu", "qemu64"), "unable to find CPU model 'qemu64'",
        install("backplane-cpu-x86"))
    has(refused("-machine", "pc", "-accel", "interp", quiet=NOTHING),
        "accelerator 'interp' is not installed", install("backplane-accel-interp"))
    has(refused("-machine", "pc", quiet=NOTHING), "no accelerator that runs x86_64 guests",
        "backplane-accel-interp")


def chardev_and_object_not_installed_name_their_packages():
    has(refused("-machine", "none", "-chardev", "null,id=c"), install("backplane-chardev-null"))
    has(refused("-machine", "none", "-serial", "null"), install("backplane-chardev-null"))
    has(refused("-machine", "none", "-object", "secret,id=s,data=x"),
        install("backplane-object-secret"))


def option_not_installed_names_its_package():
    has(refused("-acpitool", "user,id=n"), "-acpitool: there is no such option",
        install("backplane-net"))
    with Hidden("hw-fw-cfg"):
        has(refused("-fw_cfg", "name=opt/x,string=y"), install("backplane-hw-fw-cfg"))
    has(refused("-machne", "pc"), "near names: machine")
    has(refused("-acpitol", "x"), "not installed: acpitool in package backplane-net")
    with Hidden("chardev"):
        has(refused("-chardev", "null,id=c"), install("backplane-chardev"))
        has(refused("-serial", "mon:stdio"), "interface", install("backplane-chardev"))


def requirement_of_a_module_names_its_package():
    with Hidden("hw-fw-cfg"):
        said = refused("-machine", "pc")
    has(said, "board-pc", "requires interface fw-cfg/1", install("backplane-hw-fw-cfg"))


# ---- QMP and the monitor ----

def command_not_installed_keeps_its_class_and_names_its_package():
    with emulator() as e:
        error = e.command("query-acpitool")["error"]
        assert error["class"] == "CommandNotFound", error
        has(error["desc"], "The command query-acpitool has not been found", install("backplane-spice"))
        error = e.command("query-stauts")["error"]
        assert error["class"] == "CommandNotFound", error
        has(error["desc"], "near names: query-status")


def adding_what_is_not_installed_names_its_package():
    with emulator() as e:
        has(e.command("device_add", driver="isa-debug-exit", id="d")["error"]["desc"],
            install("backplane-hw-debug-exit"))
        has(e.command("object-add", qom_type="secret", id="s", data="x")["error"]["desc"],
            install("backplane-object-secret"))
        has(e.command("chardev-add", id="c", backend={"type": "ringbuf", "data": {}})["error"]
            ["desc"], install("backplane-chardev-ringbuf"))
        error = e.command("device-list-properties", typename="isa-debug-exit")["error"]
        assert error["class"] == "DeviceNotFound", error
        has(error["desc"], "Device 'isa-debug-exit' not found", install("backplane-hw-debug-exit"))
        has(e.command("query-command-line-options", option="acpitool")["error"]["desc"],
            install("backplane-net"))


def hmp(e, line):
    return e.command("human-monitor-command", command_line=line)["return"].replace("\r", "")


def monitor_command_not_installed_names_its_package():
    with emulator() as e:
        has(hmp(e, "info mem"), "unknown command: 'info mem'", install("backplane-hw-x86-info"))
        has(hmp(e, "help ringbuf_read"), install("backplane-chardev-ringbuf"))
        has(hmp(e, "stpo"), "unknown command: 'stpo'", "near names: stop")
        has(hmp(e, "device_add isa-debug-exit"), install("backplane-hw-debug-exit"))


# ---- the catalogue itself ----

def without_a_catalogue_no_package_is_named():
    os.unlink(os.path.join(MODULES, "catalogue"))
    try:
        said = refused("-machine", "none", "-device", "isa-debug-exit")
        assert "package" not in said, said
        with emulator() as e:
            assert "missing" not in e.command("query-modules")["return"]
    finally:
        write_catalogue(CATALOGUE)


def malformed_lines_are_told_once_and_the_rest_is_used():
    write_catalogue("rubbish\n" + CATALOGUE + "device:a\tb\n\x1b[31mdevice:a\tb\tc\nWheel:a\tb\tc\n")
    try:
        with emulator() as e:
            for _ in range(2):
                has(e.command("device_add", driver="isa-debug-exit")["error"]["desc"],
                    install("backplane-hw-debug-exit"))
            e.command("quit")
            e.process.wait(20)
            said = e.process.stderr.read()
        assert said.count("malformed lines are left out: 4, the first is line 1") == 1, said
        assert "\x1b" not in said, said
    finally:
        write_catalogue(CATALOGUE)


def catalogue_that_others_may_write_is_not_used():
    path = os.path.join(MODULES, "catalogue")
    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR | stat.S_IWOTH | stat.S_IROTH)
    try:
        done = subprocess.run([PROGRAM, *QUIET, "-machine", "none", "-device", "isa-debug-exit"],
                              capture_output=True, text=True, env={**os.environ, **ENV}, timeout=20)
        has(done.stderr, "catalogue is not used", "may be written by others",
            "'isa-debug-exit' is not a valid device model name")
        assert "has it" not in done.stderr, done.stderr
    finally:
        os.chmod(path, 0o644)


# ---- query-modules, module-load, MODULE_LOADED ----

def query_modules_tells_all():
    with emulator() as e:
        answer = e.command("query-modules")["return"]
        assert re.fullmatch("[0-9a-f]{16}", answer["generation"]), answer["generation"]
        assert answer["locked"] is False
        modules = {m["name"]: m for m in answer["modules"]}
        assert modules["accel-qtest"]["state"] == "loaded", modules["accel-qtest"]
        serial = modules["hw-serial"]
        assert serial["state"] == "available" and serial["origin"] == "build tree", serial
        assert serial["directory"] == MODULES, serial
        assert serial["file"] == os.path.join(MODULES, "hw-serial.so"), serial
        assert sorted(serial["requires"]) == ["chardev/1", "isa/1"], serial
        assert serial["provides"] == ["device:isa-serial"], serial
        assert serial["rank"] == 0 and serial["pinned"] is False and "reason" not in serial, serial
        for key in ("summary", "version", "license", "abi", "tier"):
            assert serial[key], key
        missing = {m["name"]: m["package"] for m in answer["missing"]}
        assert missing == {name: "backplane-" + name for name in AWAY}, missing


def generation_changes_with_the_set_of_modules():
    def generation():
        with emulator() as e:
            return e.command("query-modules")["return"]["generation"]
    first = generation()
    assert generation() == first
    with Hidden("hw-hpet"):
        other = generation()
        assert other != first
    assert generation() == first


def a_refused_module_tells_why():
    broken = os.path.join(WORK, "broken")
    os.makedirs(broken)
    with open(os.path.join(broken, "hw-cut.so"), "wb") as f, \
            open(os.path.join(MODULES, "hw-hpet.so"), "rb") as whole:
        f.write(whole.read(3000))
    with emulator(env={"BACKPLANE_MODULE_PATH": broken}) as e:
        answer = e.command("query-modules")["return"]
        cut = [m for m in answer["modules"] if m["file"].endswith("hw-cut.so")][0]
        assert cut["state"] == "failed" and cut["origin"] == "environment", cut
        has(cut["reason"], "hw-cut.so", "truncated")
        listed = hmp(e, "info modules")
        has(listed, "hw-cut", "failed", cut["reason"], "in package backplane-hw-debug-exit")


def denied_things_name_the_line():
    conf = os.path.join(ENV["BACKPLANE_MODULE_CONF"], "10-site.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write("# nothing that talks\ndeny hw-debugcon \"too loud\"\ndeny device:isa-serial\n")
    try:
        where = conf + ":2"
        has(refused("-machine", "none", "-device", "isa-debugcon"), where, "too loud")
        has(refused("-machine", "none", "-device", "isa-serial"), conf + ":3")
        has(refused("-machine", "none", "-device", "isa-serial,help"), conf + ":3")
        with emulator() as e:
            modules = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
            assert modules["hw-debugcon"]["state"] == "denied", modules["hw-debugcon"]
            has(modules["hw-debugcon"]["reason"], where)
            has(e.command("device_add", driver="isa-debugcon")["error"]["desc"], where)
            has(load(e, "hw-debugcon", [])["error"]["desc"], where)
            # The module of a denied thing may be loaded for its others.
            assert load(e, "hw-serial", [])["return"]["state"] == "loaded"
            has(e.command("device_add", driver="isa-serial")["error"]["desc"], conf + ":3")
    finally:
        os.unlink(conf)


def lines_of_the_policy_that_match_nothing_are_told():
    conf = os.path.join(ENV["BACKPLANE_MODULE_CONF"], "10-site.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write("deny cpu:max\nalias board:pq pd\nprefer device:isa-serial hw-serail\nrank hw-nothing 3\n"
                "deny chardev:nul\ndeny lamp:white\n"
                # These are there, or in a package: nothing is told of them.
                "deny hw-debugcon\ndeny cpu:max-*\nallow object:secret\nalias board:pq none\n")
    try:
        with emulator() as e:
            e.command("query-modules")
            e.command("quit")
            e.process.wait(20)
            said = [s for s in e.process.stderr.read().splitlines() if "the line does nothing" in s]
        assert len(said) == 6, said
        for number, line, words in zip((1, 2, 3, 4, 5, 6), said, (
                ("deny: there is no cpu max; near names: max-x86_64-cpu",),
                ("alias: there is no board pd",),
                ("prefer: there is no module hw-serail; near names: hw-serial",),
                ("rank: there is no module hw-nothing",),
                ("deny: there is no chardev nul; near names: null",),
                ("deny: there is no lamp white",))):
            has(line, "%s:%d: " % (conf, number), *words)
    finally:
        os.unlink(conf)


def a_denied_default_accelerator_is_told():
    conf = os.path.join(ENV["BACKPLANE_MODULE_CONF"], "10-site.conf")
    with Unhidden("accel-interp", "cpu-x86"):
        for line in ("deny accel:interp \"too slow\"\n", "deny accel-interp \"too slow\"\n"):
            with open(conf, "w", encoding="ascii") as f:
                f.write(line)
            try:
                has(refused("-machine", "pc", quiet=NOTHING),
                    "accelerator 'interp' is denied by %s:1 (too slow)" % conf)
            finally:
                os.unlink(conf)


def a_machine_without_processors_needs_no_accelerator():
    """KVM is installed alone, and the host has none."""
    away = ["unshare", "-rm", "sh", "-c", "mount --bind /dev/null /dev/kvm && exec \"$@\"", "sh"]
    prefix = away if os.path.exists("/dev/kvm") else []
    with Unhidden("accel-kvm"):
        for board, words in (("pc", "accelerator 'kvm': "), ("none", None)):
            done = subprocess.run([*prefix, PROGRAM, *NOTHING, "-machine", board, "-qmp", "stdio"], capture_output=True,
                                  text=True, timeout=60, env={**os.environ, **ENV},
                                  input='{"execute": "qmp_capabilities"}{"execute": "quit"}')
            assert (done.returncode == 0) == (words is None), done
            assert not words or words in done.stderr, done
            assert words or not done.stderr, done


def a_name_stands_for_another_where_the_policy_says_so():
    conf = os.path.join(ENV["BACKPLANE_MODULE_CONF"], "10-site.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write("alias device:com isa-serial\nalias device:talk isa-debugcon\n"
                "deny device:isa-debugcon\n")
    try:
        has(refused("-machine", "none", "-device", "com"),
            "No 'isa' bus found for device 'isa-serial'")
        has(refused("-machine", "none", "-device", "talk"), "isa-debugcon (for talk)", conf + ":3")
        with emulator() as e:
            for _ in range(2):  # not loaded, loaded
                reply = e.command("device-list-properties", typename="com")
                assert "iobase" in [p["name"] for p in reply["return"]], reply
                load(e, "hw-serial", [])
    finally:
        os.unlink(conf)


def module_load_gives_the_entry_and_sends_the_event():
    with emulator() as e:
        events = []
        entry = load(e, "hw-serial", events)
        assert entry["return"]["state"] == "loaded", entry
        assert entry["return"]["provides"] == ["device:isa-serial"], entry
        loaded = [x["data"] for x in events if x["event"] == "MODULE_LOADED"]
        assert [x["name"] for x in loaded][-1] == "hw-serial", loaded
        assert {"isa", "chardev"} & {x["name"] for x in loaded} == {"isa"}, loaded
        assert loaded[-1]["file"] == os.path.join(MODULES, "hw-serial.so"), loaded
        events.clear()
        assert load(e, "hw-serial", events)["return"]["state"] == "loaded" and not events, events
        error = load(e, "hw-debug-exit", events)["error"]
        has(error["desc"], "there is no module hw-debug-exit", install("backplane-hw-debug-exit"))
        has(load(e, "hw-srial", events)["error"]["desc"], "hw-srial")
        away = os.path.join(WORK, "hw-debug-exit.so")
        entry = load(e, away, events)["return"]
        assert entry["origin"] == "path" and entry["file"] == away, entry
        assert "directory" not in entry, entry
        assert events[-1]["data"]["name"] == "hw-debug-exit", events
        assert hmp(e, "module_load hw-i8254") == ""
        assert "Error: there is no module nope" in hmp(e, "module_load nope")


def load(e, name, events):
    e.process.stdin.write(json.dumps({"execute": "module-load", "arguments": {"name": name}}) + "\n")
    e.process.stdin.flush()
    while True:
        reply = e.read()
        if "event" not in reply:
            return reply
        events.append(reply)


def the_schema_has_commands_and_event():
    with emulator() as e:
        schema = {s["name"]: s for s in e.command("query-qmp-schema")["return"]}
        event = schema[schema["MODULE_LOADED"]["arg-type"]]
        assert [m["name"] for m in event["members"]] == ["name", "file"], event
        info = schema[schema["query-modules"]["ret-type"]]
        assert [m["name"] for m in info["members"]] == ["generation", "locked", "directories",
                                                        "modules", "missing"], info
        entry = schema[schema["module-load"]["ret-type"]]
        assert "pinned" in [m["name"] for m in entry["members"]], entry


def query_modules_is_quick_with_a_thousand():
    many = os.path.join(WORK, "many")
    os.makedirs(many)
    with open(os.path.join(WORK, "hw-debug-exit.so"), "rb") as f:
        model = f.read()
    for i in range(1000):
        name = b"hw-%09d" % i
        data = model.replace(b"hw-debug-exit", name + b"\0")
        data = data.replace(b"isa-debug-exit", b"isa-%09d\0" % i)
        with open(os.path.join(many, name.decode() + ".so"), "wb") as f:
            f.write(data)
    with emulator(env={"BACKPLANE_MODULE_PATH": many}) as e:
        e.command("query-modules")
        started = cpu_seconds(e.process.pid)
        answer = e.command("query-modules")["return"]
        seconds = cpu_seconds(e.process.pid) - started
        assert len(answer["modules"]) >= 1000, len(answer["modules"])
        print("# query-modules over %d modules: %.1f ms" % (len(answer["modules"]), seconds * 1e3))
        assert seconds < 1, seconds


set_up()
run([device_not_installed_names_its_package, mistyped_device_gives_near_names_of_both_kinds,
     machine_not_installed_names_its_package,
     cpu_and_accelerator_not_installed_name_their_packages,
     chardev_and_object_not_installed_name_their_packages,
     option_not_installed_names_its_package, requirement_of_a_module_names_its_package,
     command_not_installed_keeps_its_class_and_names_its_package,
     adding_what_is_not_installed_names_its_package,
     monitor_command_not_installed_names_its_package, without_a_catalogue_no_package_is_named,
     malformed_lines_are_told_once_and_the_rest_is_used,
     catalogue_that_others_may_write_is_not_used, query_modules_tells_all,
     generation_changes_with_the_set_of_modules, a_refused_module_tells_why,
     denied_things_name_the_line, lines_of_the_policy_that_match_nothing_are_told,
     a_denied_default_accelerator_is_told, a_machine_without_processors_needs_no_accelerator,
     a_name_stands_for_another_where_the_policy_says_so,
     module_load_gives_the_entry_and_sends_the_event,
     the_schema_has_commands_and_event, query_modules_is_quick_with_a_thousand])
