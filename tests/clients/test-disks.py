# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What clients do with disks: drives that come and go, media that are changed, default drives, wrong places. Usage:
test-disks.py SOURCE-ROOT BUILD-ROOT
"""
import os
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402
from qmp import QUIET, Emulator, fails  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
DIR = tap.work_folder("disks-")
WITH_DEFAULTS = tuple(word for word in QUIET if word != "-nodefaults")


def image(name, size=4 << 20):
    path = os.path.join(DIR, name)
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def drives(machine):
    return {d["device"]: d for d in machine.command("query-block")["return"]}


def hmp(machine, line):
    return machine.command("human-monitor-command", command_line=line)["return"]


def drive_on_ahci_comes_and_goes_again_and_again():
    path = image("hot.img")
    with Emulator(PROGRAM, "-device", "ahci,id=sata", "-drive", f"file={path},format=raw,if=none,id=d") as machine:
        for port in range(3):
            reply = machine.command("device_add", driver="ide-hd", drive="d", bus=f"sata.{port}", id="x")
            assert reply == {"return": {}}, reply
            reply = machine.command("device_add", driver="ide-hd", drive="d", bus="sata.5", id="y")
            assert "'d'" in reply["error"]["desc"], reply
            assert drives(machine)["d"]["qdev"].endswith("x"), drives(machine)
            assert machine.command("device_del", id="x") == {"return": {}}
            machine.command("query-status")


def attach_that_fails_gives_the_image_back():
    path = image("back.img")
    with Emulator(PROGRAM, "-device", "ahci,id=sata", "-drive", f"file={path},format=raw,if=none,id=d") as machine:
        reply = machine.command("device_add", driver="ide-hd", drive="d", bus="sata.0", unit=1, id="x")
        assert "unit" in reply["error"]["desc"], reply
        reply = machine.command("device_add", driver="ide-hd", drive="d", bus="sata.0", id="x")
        assert reply == {"return": {}}, reply


def tray_of_an_empty_drive_tells_that_it_opens():
    with Emulator(PROGRAM, "-device", "ahci,id=sata", "-device", "ide-cd,bus=sata.0,id=cd") as machine:
        machine.process.stdin.write('{"execute":"blockdev-open-tray","arguments":{"id":"cd"}}')
        machine.process.stdin.flush()
        told = machine.read()
        assert told["event"] == "DEVICE_TRAY_MOVED" and told["data"]["tray-open"], told
        # Events, query-block and query-blockstats call it the same.
        assert told["data"]["id"] == "cd" and machine.read() == {"return": {}}
        for name in ("query-block", "query-blockstats"):
            assert machine.command(name)["return"][0]["qdev"] == "cd", name
        assert machine.command("query-block")["return"][0]["tray_open"]
        machine.command("blockdev-add", driver="null-co", node_name="n", size=1 << 20, read_only=True)
        assert machine.command("blockdev-insert-medium", id="cd", node_name="n") == {"return": {}}
        assert machine.command("blockdev-close-tray", id="cd") == {"return": {}}
        info = machine.command("query-block")["return"][0]
        assert not info["tray_open"] and info["inserted"]["node-name"] == "n", info


def drives_of_a_cable_stay():
    path = image("cable.img")
    with Emulator(PROGRAM, "-drive", f"file={path},format=raw,if=none,id=d") as machine:
        reply = machine.command("device_add", driver="ide-hd", drive="d", bus="ide.1", id="x")
        assert "'ide.1' does not support hotplugging" in reply["error"]["desc"], reply


def default_drives_are_there_unless_they_are_not_wanted():
    with Emulator(PROGRAM, quiet=WITH_DEFAULTS) as machine:
        assert {"ide1-cd0", "floppy0"} <= set(drives(machine)), drives(machine)
    with Emulator(PROGRAM) as machine:
        assert not drives(machine), drives(machine)
    with Emulator(PROGRAM, "-device", "ide-cd,bus=ide.0,id=mine", quiet=WITH_DEFAULTS) as machine:
        assert "ide1-cd0" not in drives(machine), drives(machine)


def medium_of_the_default_drive_is_changed_and_ejected():
    path = image("medium.iso")
    with Emulator(PROGRAM, quiet=WITH_DEFAULTS) as machine:
        assert hmp(machine, f"change ide1-cd0 {path} raw") == ""
        assert drives(machine)["ide1-cd0"]["inserted"]["file"] == path
        assert hmp(machine, "eject ide1-cd0") == ""
        assert "inserted" not in drives(machine)["ide1-cd0"]


def numbers_of_drives_mean_what_the_board_has():
    paths = [image("n%d.img" % i) for i in range(3)]
    for board, names in (("pc", ["ide0-hd0", "ide0-hd1", "ide1-hd1"]), ("q35", ["ide0-hd0", "ide1-hd0", "ide3-hd0"])):
        for interface in ("", ",if=ide"):
            given = []
            for path, index in zip(paths, (0, 1, 3)):
                given += ["-drive", f"file={path},format=raw,index={index}{interface}"]
            with Emulator(PROGRAM, "-machine", board, *given) as machine:
                found = {name: drive["inserted"]["file"] for name, drive in drives(machine).items()}
            assert found == dict(zip(names, paths)), (board, interface, found)
    said = fails(PROGRAM, "-machine", "q35", "-drive", f"file={paths[0]},format=raw,if=ide,bus=1,unit=1")
    assert "unit=1" in said and "'ide1-hd1'" in said, said


def wrong_places_and_properties_are_refused_in_words():
    path = image("wrong.img")
    drive = ("-drive", f"file={path},format=raw,if=none,id=d")
    for device, words in (("ide-hd,drive=d,unit=2", "units 0 and 1"), ("ide-hd", "'drive' is missing"),
                          ("ide-hd,drive=d,logical_block_size=4096", "512"),
                          ("ide-hd,drive=d,serial=123456789012345678901", "20 characters"),
                          ("floppy,drive=d,unit=2", "drives 0 and 1")):
        said = fails(PROGRAM, *drive, "-device", device)
        assert words in said, (device, said)


tap.run([drive_on_ahci_comes_and_goes_again_and_again,
         attach_that_fails_gives_the_image_back,
         tray_of_an_empty_drive_tells_that_it_opens, drives_of_a_cable_stay,
         default_drives_are_there_unless_they_are_not_wanted,
         medium_of_the_default_drive_is_changed_and_ejected,
         numbers_of_drives_mean_what_the_board_has,
         wrong_places_and_properties_are_refused_in_words])
