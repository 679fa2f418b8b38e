#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processors as devices: query-hotpluggable-cpus, -device and device_add of a CPU type.

usage: test-cpus.py SOURCE-ROOT BUILD-ROOT
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
from qmp import Emulator  # noqa: E402
from tap import run  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
TYPE = "qemu64-x86_64-cpu"
TWO = ["-M", "pc", "-accel", "qtest", "-smp", "1,maxcpus=2,sockets=2", "-nodefaults", "-S"]


def refused(*argv):
    result = subprocess.run([PROGRAM, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1, result
    return result.stderr


def device(socket, more=""):
    return ["-device", "%s,id=c,socket-id=%s,core-id=0,thread-id=0%s" % (TYPE, socket, more)]


def places(emulator):
    return {e["props"]["socket-id"]: e for e in emulator.command("query-hotpluggable-cpus")["return"]}


def query_tells_who_is_there_and_who_may_come():
    with Emulator(PROGRAM, *TWO) as e:
        all_ = places(e)
        assert sorted(all_) == [0, 1]
        assert "qom-path" in all_[0] and "qom-path" not in all_[1], all_
        assert all_[1]["type"] == TYPE and all_[1]["vcpus-count"] == 1
        assert all_[1]["props"] == {"socket-id": 1, "core-id": 0, "thread-id": 0}
        text = e.command("human-monitor-command", **{"command-line": "info hotpluggable-cpus"})
        assert text["return"].count(TYPE) == 2 and 'socket-id: "1"' in text["return"], text


def cpu_of_the_command_line_is_there():
    with Emulator(PROGRAM, *TWO, *device(1)) as e:
        assert places(e)[1]["qom-path"] == "/machine/peripheral/c"
        cpus = e.command("query-cpus-fast")["return"]
        assert [c["cpu-index"] for c in cpus] == [0, 1]
        assert cpus[1]["props"]["socket-id"] == 1
        got = e.command("qom-get", path="/machine/peripheral/c", property="socket-id")["return"]
        assert got == 1, got
        assert e.command("device_del", id="c") == {"return": {}}  # the guest is asked (tests/guest/test-pci.py)


def running_machine_takes_a_new_one():
    """What a guest makes of it is tested with a guest (tests/guest/test-pci.py)."""
    with Emulator(PROGRAM, *TWO) as e:
        reply = e.command("device_add", driver=TYPE, id="c", **{"socket-id": 1, "core-id": 0, "thread-id": 0})
        assert reply == {"return": {}}, reply
        assert places(e)[1]["qom-path"] == "/machine/peripheral/c"
        assert [c["cpu-index"] for c in e.command("query-cpus-fast")["return"]] == [0, 1]


def guest_without_acpi_cannot_be_told():
    with Emulator(PROGRAM, *TWO, "-machine", "acpi=off") as e:
        said = e.command("device_add", driver=TYPE, id="c", **{
            "socket-id": 1, "core-id": 0, "thread-id": 0})["error"]["desc"]
        assert "acpi=off" in said and "-device" in said, said
        assert "qom-path" not in places(e)[1]


def wrong_places_are_refused():
    assert "must be in range 0:1" in refused(*TWO, *device(2))
    assert "expects a number" in refused(*TWO, *device("x"))
    assert "exists" in refused(*TWO, *device(0))
    assert "core-id is not set" in refused(*TWO, "-device", TYPE + ",socket-id=1,thread-id=0")
    assert "expected cpu type" in refused(*TWO, "-device",
                                          "max-x86_64-cpu,socket-id=1,core-id=0,thread-id=0")
    assert "plugs into no bus" in refused(*TWO, *device(1, ",bus=pci.0"))
    assert "takes no CPUs" in refused("-M", "none", "-device", TYPE + ",socket-id=0")


def features_can_be_given():
    with Emulator(PROGRAM, *TWO, *device(1, ",tsc-frequency=2000000000")) as e:
        got = e.command("qom-get", path="/machine/peripheral/c", property="tsc-frequency")
        assert got["return"] == 2000000000, got
    assert "not found" in refused(*TWO, *device(1, ",no-such-feature=on"))


run([query_tells_who_is_there_and_who_may_come, cpu_of_the_command_line_is_there,
     running_machine_takes_a_new_one, guest_without_acpi_cannot_be_told, wrong_places_are_refused,
     features_can_be_given])
