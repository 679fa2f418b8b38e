#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the machine has by default gives way to what the user names, and two devices never share a place."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
from qmp import Emulator  # noqa: E402
from tap import run  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
QUIET = ("-display", "none", "-accel", "qtest")
CHARDEV = ("-chardev", "null,id=c")


def serials(*args, quiet=QUIET):
    """(first port, chardev) of each serial port, in order of the ports."""
    found = []
    with Emulator(PROGRAM, *args, quiet=quiet) as e:
        for folder in ("unattached", "peripheral", "peripheral-anon"):
            for child in e.command("qom-list", path="/machine/" + folder)["return"]:
                if child["type"] != "child<isa-serial>":
                    continue
                path = "/machine/%s/%s" % (folder, child["name"])
                found.append(tuple(e.command("qom-get", path=path, property=p)["return"]
                                   for p in ("iobase", "chardev")))
    return sorted(found)


def without_options_there_is_one_serial_port():
    assert serials() == [(0x3f8, "/chardevs/serial0")]
    assert serials("-nodefaults") == []


def named_serial_device_takes_the_place_of_the_default():
    assert serials(*CHARDEV, "-device", "isa-serial,chardev=c") == [(0x3f8, "/chardevs/c")]
    assert serials(*CHARDEV, "-device", '{"driver":"isa-serial","chardev":"c"}') == [(0x3f8, "/chardevs/c")]
    assert serials(*CHARDEV, "-device", "isa-serial,chardev=c,index=1") == [(0x2f8, "/chardevs/c")]
    assert serials(*CHARDEV, "-device", "isa-debugcon,chardev=c") == [(0x3f8, "/chardevs/serial0")]


def file_of_options_counts_like_the_command_line():
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as f:
        f.write('[chardev "c"]\n  backend = "null"\n[device "port"]\n  driver = "isa-serial"\n'
                '  chardev = "c"\n')
        f.flush()
        assert serials("-readconfig", f.name) == [(0x3f8, "/chardevs/c")]


def serial_option_and_device_stand_beside_each_other():
    assert serials("-serial", "null", *CHARDEV, "-device", "isa-serial,chardev=c") == [
        (0x3f8, "/chardevs/serial0"), (0x2f8, "/chardevs/c")][::-1]


def terminal_goes_to_the_named_device():
    # With -nographic the serial port would have the terminal; a chardev that has it keeps the monitor away.
    text = subprocess.run(
        [PROGRAM, "-accel", "qtest", "-nographic", "-chardev", "stdio,id=c,signal=off", "-device",
         "isa-serial,chardev=c", "-qmp", "unix:/nonexistent/x,server=on,wait=off"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30).stderr
    assert "stdio" not in text and "/nonexistent/x" in text, text


def two_devices_at_one_port_are_refused():
    def refused(*args):
        done = subprocess.run([PROGRAM, *QUIET, *args], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 1, done
        return done.stderr

    text = refused(*CHARDEV, "-serial", "null", "-device", "isa-serial,chardev=c,index=0")
    assert "0x3f8" in text and "isa-serial" in text, text
    text = refused("-device", "isa-debug-exit,iobase=0x3fc,id=mine", "-serial", "null")
    assert "0x3fc" in text and "0x3f8" in text and "isa-serial" in text, text
    text = refused("-device", "isa-debugcon,iobase=0x500,id=first,chardev=c", *CHARDEV, "-device",
                   "isa-debug-exit,iobase=0x4ff,iosize=2")
    assert "first" in text, text


run([without_options_there_is_one_serial_port, named_serial_device_takes_the_place_of_the_default,
     file_of_options_counts_like_the_command_line, serial_option_and_device_stand_beside_each_other,
     terminal_goes_to_the_named_device, two_devices_at_one_port_are_refused])
