# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The human monitor: every command of the manual's works or is refused by its name; completion; ports, addresses and
memory. Usage: test-hmp.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import socket
import subprocess
import sys
import time

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", "house")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("hmp-")
with open(os.path.join(sys.argv[1], "tests", "clients", "manual-hmp.txt")) as f:
    MANUAL = [line.strip() for line in f if not line.startswith("#")]


def hmp(emulator, line):
    reply = emulator.command("human-monitor-command", command_line=line)
    assert "return" in reply, (line, reply)
    return reply["return"]


def every_command_of_the_manual_works_or_is_refused_by_name():
    works = 0
    with Emulator(PROGRAM, "-M", "pc") as e:
        for name in MANUAL:
            told = hmp(e, "help " + name)
            if told.startswith(name.split()[0]) and " -- " in told:
                works += 1
                continue
            said = hmp(e, name)
            assert said.startswith("Error: '%s' is not built yet: " % name), (name, told, said)
            assert len(said) >= len("Error: '%s' is not built yet: " % name) + 3, said
        assert "unknown command: 'nosuch'" in hmp(e, "nosuch")
        assert "unknown command: 'info nosuch'" in hmp(e, "info nosuch")
    assert works > 70, works


def info_commands_say_something():
    with Emulator(PROGRAM, "-M", "pc", "-m", "64", "-uuid", "12345678-1234-1234-1234-123456789abc") as e:
        listed = re.findall(r"^info (\S+) ", hmp(e, "help info"), re.M)
        assert len(listed) > 25, listed
        for name in listed:
            assert "unknown command" not in hmp(e, "info " + name), name
        assert "12345678-1234-1234-1234-123456789abc" in hmp(e, "info uuid")
        assert "base memory: 67108864" in hmp(e, "info memory_size_summary")
        assert re.search(r"pc\.ram\s+\d+ KiB 0x0000000004000000\s+ram", hmp(e, "info ramblock")), hmp(e, "info ramblock")
        assert re.search("kvm support: (disabled|not compiled)", hmp(e, "info kvm"))


def ports_are_read_and_written():
    with Emulator(PROGRAM, "-M", "pc", "-device", "isa-serial,index=1,chardev=n", "-chardev", "null,id=n") as e:
        assert hmp(e, "o /b 0x2ff 0x5a") == ""
        assert "portb[0x02ff] = 0x5a" in hmp(e, "i /b 0x2ff")
        assert "portw[0x02fe] = 0x" in hmp(e, "i /h 0x2fe")
        assert "portl[0x0cf8] = 0x" in hmp(e, "i /w 0xcf8")
        assert "invalid size 'g'" in hmp(e, "i /g 0x80")
        assert "port" not in hmp(e, "i")


def addresses_and_memory_are_shown_and_saved():
    path = os.path.join(DIR, "saved")
    data = bytes(range(256)) * 8
    image = os.path.join(DIR, "image")
    with open(image, "wb") as f:
        f.write(data)
    with Emulator(PROGRAM, "-M", "pc", "-m", "16", "-device", "loader,file=%s,addr=0x100000,force-raw=on" % image) as e:
        assert "gpa: 0x100004" in hmp(e, "gva2gpa 0x100004")
        assert re.search(r"Host virtual address for 0x100000 is 0x[0-9a-f]+", hmp(e, "gpa2hva 0x100000"))
        assert "no memory" in hmp(e, "gpa2hva 0xe0000000")
        assert hmp(e, "pmemsave 0x100000 2048 %s" % path) == ""
        with open(path, "rb") as f:
            assert f.read() == data
        assert hmp(e, "memsave 0x100010 16 %s" % path) == ""
        with open(path, "rb") as f:
            assert f.read() == data[16:32]
        run = subprocess.run(["sum", "-r", image], stdout=subprocess.PIPE, check=True, text=True)
        assert hmp(e, "sum 0x100000 2048").split() == run.stdout.split()[:1]
        assert "at most" in hmp(e, "sum 0 0x7fffffffffff")


class Terminal:
    """Somebody who types at the other end of a socket."""

    def __init__(self, *args):
        path = os.path.join(DIR, "monitor")
        self.process = subprocess.Popen([PROGRAM, "-nodefaults", "-display", "none", "-accel", "qtest", "-monitor",
                                         "unix:%s,server=on,wait=off" % path, *args], stdin=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT)
        end = time.monotonic() + WAIT
        while self.socket.connect_ex(path) != 0:
            assert time.monotonic() < end and self.process.poll() is None, "the monitor does not listen"
            time.sleep(0.05)
        self.text = ""

    def expect(self, what):
        while what not in self.text:
            data = self.socket.recv(4096)
            assert data, "%r did not appear: %r" % (what, self.text[-500:])
            self.text += data.decode()
        before, self.text = self.text.split(what, 1)
        return before

    def type(self, text):
        self.socket.sendall(text.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()


def tab_completes_commands_types_properties_and_ids():
    t = Terminal("-M", "pc", "-device", "isa-debugcon,id=myconsole,chardev=n", "-chardev", "null,id=n", "-object",
                 "secret,id=mysecret,data=x")
    try:
        t.expect("(qemu) ")
        for typed, completed in (("system_p", "system_powerdown "), ("info hotp", "info hotpluggable-cpus "),
                                 ("help gdbs", "help gdbserver "), ("device_add isa-debug-e", "device_add isa-debug-exit "),
                                 ("device_add isa-debug-exit,iob", "device_add isa-debug-exit,iobase= "),
                                 ("device_del myc", "device_del myconsole "), ("object_del mys", "object_del mysecret "),
                                 ("object_add iothr", "object_add iothread "), ("chardev-remove n", "chardev-remove n "),
                                 ("qom-list /machine/periph", "qom-list /machine/peripheral"),
                                 ("qom-get /objects/mysecret forma", "qom-get /objects/mysecret format ")):
            t.type(typed + "\t#\x15")  # a mark, then the line goes
            assert (completed.strip() in t.expect("#").replace("\x1b[K", "").replace("\r", " ")), (typed, completed)
        # What is not unique is listed.
        t.type("system_\t")
        listed = t.expect("system_reset")
        assert "system_powerdown" in listed, listed
        t.type("\x15info uuid\r")
        t.expect("(qemu) ")
        t.expect("(qemu) ")
        t.type("info history\r")
        t.expect("0: 'info uuid'")
    finally:
        t.close()


tap.run([every_command_of_the_manual_works_or_is_refused_by_name, info_commands_say_something,
         ports_are_read_and_written, addresses_and_memory_are_shown_and_saved,
         tab_completes_commands_types_properties_and_ids])
