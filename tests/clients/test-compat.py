# SPDX-License-Identifier: LGPL-2.1-or-later
"""
-compat: what is done with deprecated and unstable interfaces; -set: keys of other options. Usage: test-compat.py
SOURCE-ROOT BUILD-ROOT
"""
import os
import signal
import subprocess
import sys

sys.path[:0] = [os.path.join(sys.argv[1], "tests", "house")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("compat-")


def machine(policy=None):
    return Emulator(PROGRAM, *(("-compat", policy) if policy else ()), "-M", "pc", "-device", "ide-cd,id=cd",
                    "-drive", "if=none,id=d")


def dies_of(e, name, **arguments):
    try:
        e.command(name, **arguments)
    except (AssertionError, BrokenPipeError):
        pass
    else:
        raise AssertionError("it lives")
    assert e.process.wait(WAIT) == -signal.SIGABRT


def deprecated_arguments_are_accepted_refused_or_fatal():
    for policy in (None, "deprecated-input=accept", "unstable-input=reject"):
        with machine(policy) as e:
            assert e.command("eject", device="d") == {"return": {}}, policy
    with machine("deprecated-input=reject") as e:
        error = e.command("eject", device="d")["error"]
        assert error["desc"] == "Deprecated parameter 'device' disabled by policy", error
        assert e.command("blockdev-open-tray", id="cd") == {"return": {}}
        # People are not clients.
        assert "disabled" not in e.command("human-monitor-command", command_line="eject d")["return"]
    with machine("deprecated-input=crash") as e:
        dies_of(e, "eject", device="d")


def unstable_commands_and_arguments_are_accepted_refused_or_fatal():
    ram = {"qom_type": "memory-backend-ram", "id": "m", "size": 1 << 20}
    for policy in (None, "unstable-input=accept", "deprecated-input=reject"):
        with machine(policy) as e:
            assert "return" in e.command("query-contexts"), policy
            assert e.command("object-add", x_use_canonical_path_for_ramblock_id=False, **ram) == {"return": {}}
    with machine("unstable-input=reject") as e:
        error = e.command("query-contexts")["error"]
        assert error == {"class": "CommandNotFound", "desc": "Unstable command 'query-contexts' disabled by policy"}
        error = e.command("object-add", x_use_canonical_path_for_ramblock_id=False, **ram)["error"]
        assert "Unstable parameter 'x-use-canonical-path-for-ramblock-id'" in error["desc"], error
        assert e.command("object-add", **ram) == {"return": {}}
    for arguments in (("query-contexts", {}), ("object-add", {"x_use_canonical_path_for_ramblock_id": False, **ram})):
        with machine("unstable-input=crash") as e:
            dies_of(e, arguments[0], **arguments[1])


def unstable_results_are_shown_or_hidden():
    for policy, shown in ((None, True), ("unstable-output=accept", True), ("deprecated-output=hide", True),
                          ("unstable-output=hide", False)):
        with machine(policy) as e:
            result = e.command("query-contexts")["return"]
            assert ("machine-lock" in result) == shown and result["contexts"][0]["name"] == "main", (policy, result)


def schema_tells_and_wrong_policies_are_refused():
    with machine() as e:
        schema = {entry["name"]: entry for entry in e.command("query-qmp-schema")["return"]}
        assert schema["query-contexts"]["features"] == ["unstable"]
        members = {m["name"]: m for m in schema[schema["eject"]["arg-type"]]["members"]}
        assert members["device"]["features"] == ["deprecated"] and "features" not in members["id"], members
        assert schema["MEM_UNPLUG_ERROR"]["features"] == ["deprecated"] and "features" not in schema["STOP"], schema
    for policy, word in (("deprecated-input=hide", "deprecated-input"), ("unstable-output=crash", "unstable-output"),
                         ("nosuch=accept", "nosuch")):
        run = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-compat", policy],
                             capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
        assert run.returncode == 1 and word in run.stderr, run


def set_changes_keys_of_options_with_an_id():
    with Emulator(PROGRAM, "-M", "pc", "-set", "device.d0.serial=a,b", "-drive", "if=none,id=x,driver=null-co,size=1M",
                  "-device", "ide-hd,id=d0,drive=x,serial=old", "-set", "drive.x.cache=unsafe", "-device",
                  '{"driver":"isa-debug-exit","id":"e.1"}', "-set", "device.e.1.iobase=0x7f4") as e:
        get = lambda path, name: e.command("qom-get", path="/machine/peripheral/" + path, property=name)["return"]
        assert get("d0", "serial") == "a,b" and get("e.1", "iobase") == 0x7f4
        info = next(b for b in e.command("query-block")["return"] if b["device"] == "x")
        assert info["inserted"]["cache"]["no-flush"], info
    config = os.path.join(DIR, "config")
    with open(config, "w") as f:
        f.write('[chardev "c"]\nbackend = "null"\n')
    for text, word in (("device.nosuch.a=1", "no -device with such an id"), ("device.d0", "GROUP.ID.ARG=VALUE"),
                       ("device", "GROUP.ID.ARG=VALUE"), ("nosuch.d0.a=1", "no -nosuch"), ("device.d0.=1", "GROUP.ID"),
                       ("device.d0.nosuch=1", "nosuch"), ("device.d0.drive=nosuch", "nosuch"),
                       ("device.d0.driver=help", "'help' cannot be set"), ("device.e0.iobase=help", "iobase"),
                       ("device.e0.driver=help", "'help' cannot be set"), ("drive.x.driver=help", "help"),
                       ("netdev.n.hubid=much", "hubid"), ("netdev.n.nosuch=1", "nosuch"), ("chardev.c.nosuch=1", "nosuch"),
                       ("netdev.n.type=nosuch", "nosuch"), ("device.e0.iobase.x=1", "iobase"),
                       ("device.e0.iobase=much", "iobase"), ("chardev.c.logappend=perhaps", "logappend")):
        run = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-drive",
                              "if=none,id=x,driver=null-co,size=1M", "-device", "ide-hd,id=d0,drive=x", "-device",
                              '{"driver":"isa-debug-exit","id":"e0"}', "-netdev",
                              '{"type":"hubport","id":"n","hubid":1}', "-readconfig", config, "-set", text],
                             capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
        assert run.returncode == 1 and word in run.stderr, (text, run)


tap.run([deprecated_arguments_are_accepted_refused_or_fatal,
         unstable_commands_and_arguments_are_accepted_refused_or_fatal, unstable_results_are_shown_or_hidden,
         schema_tells_and_wrong_policies_are_refused,
         set_changes_keys_of_options_with_an_id])
