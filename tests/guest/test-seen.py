#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Linux says it sees is what the command line said: processors and how they are arranged, memory,
the kernel's command line, the serial port, the clock, features that were added and taken away."""
import re

from console import BINARY, Console, Tap, guest_files

KERNEL, INITRD = guest_files()
BOOT_SECONDS = 300


def machine(*args, append="console=ttyS0"):
    return Console([BINARY, "-nographic", "-kernel", KERNEL, "-initrd", INITRD, "-append", append, *args])


class Guest:
    """A booted machine with a shell on its console."""

    def __init__(self, *args, **keys):
        self.console = machine(*args, **keys)

    def __enter__(self):
        try:
            self.console.expect("Backplane guest is up", BOOT_SECONDS)
            self.console.expect("# ", 60)
        except BaseException:
            self.console.close()
            raise
        return self

    def __exit__(self, *exception):
        self.console.close()

    def run(self, command):
        """What a command prints."""
        self.console.type(command + "; echo do''ne\n")
        text = self.console.expect("\ndone", 120).replace("\r", "")
        return text.split("\n", 1)[1] if "\n" in text else ""


def identity(text):
    """Family, model and flags of the first processor in /proc/cpuinfo."""
    number = {key: int(re.search(r"^%s\s*: (\d+)$" % key, text, re.M)[1]) for key in ("cpu family", "model")}
    return number["cpu family"], number["model"], set(re.search(r"^flags\s*: (.*)$", text, re.M)[1].split())


def processors_are_arranged(guest):
    text = guest.run("cat /proc/cpuinfo")
    assert len(re.findall(r"^processor\s*: \d+$", text, re.M)) == 8, text
    assert set(re.findall(r"^physical id\s*: (\d+)$", text, re.M)) == {"0", "1"}, text
    assert set(re.findall(r"^cpu cores\s*: (\d+)$", text, re.M)) == {"4"}, text
    places = guest.run("cd /sys/devices/system/cpu; for c in cpu[0-9]*; do "
                       "echo at $(cat $c/topology/physical_package_id) $(cat $c/topology/core_id); done")
    found = re.findall(r"^at (\d+) (\d+)$", places, re.M)
    assert sorted(found) == [(package, core) for package in "01" for core in "0123"], places


def default_model_is_qemu64(guest):
    family, model, flags = identity(guest.run("cat /proc/cpuinfo"))
    assert (family, model) == (15, 107), (family, model)
    assert {"cx16", "sse2", "nx", "lm"} <= flags and "popcnt" not in flags, flags


def memory_and_command_line_arrive(guest):
    total = int(re.search(r"MemTotal: +(\d+) kB", guest.run("cat /proc/meminfo"))[1])
    assert 230 * 1024 < total < 300 * 1024, "MemTotal %d kB of 300 MiB" % total
    ranges = re.findall(r"\[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\] usable", guest.run("dmesg | grep -a usable"))
    assert max(int(last, 16) for _, last in ranges) + 1 <= 300 << 20, ranges
    assert max(int(last, 16) for _, last in ranges) + 1 > 299 << 20, ranges
    assert 'promise="kept, twice"' in guest.run("cat /proc/cmdline")


def serial_port_is_a_16550a(guest):
    text = guest.run("cat /proc/tty/driver/serial")
    assert re.search(r"0: uart:16550A port:000003F8 irq:4", text), text
    assert not re.search(r"1: uart:16550A", text), text


def smbios_tables_are_found_without_firmware(guest):
    text = guest.run("cd /sys/class/dmi/id; echo $(cat sys_vendor), $(cat product_version), $(cat product_serial)")
    assert "QEMU, pc-i440fx-9.1, S,1" in text, text
    assert "SMBIOS 2.8 present" in guest.run("dmesg | grep -a SMBIOS")


def clock_starts_where_it_was_told(guest):
    text = guest.run("date -u -r /proc/1 +%Y; cat /sys/class/rtc/rtc0/date; dmesg | grep -a 'setting system clock'")
    assert re.search(r"2006-06-17", text), text


def features_are_added_and_taken_away():
    with Guest("-m", "256", "-cpu", "qemu64,+popcnt,-cx16") as guest:
        family, model, flags = identity(guest.run("cat /proc/cpuinfo"))
        assert (family, model) == (15, 107), (family, model)
        assert "popcnt" in flags and "cx16" not in flags, flags


def models_announce_what_is_executed():
    """Linux uses what it finds: XSAVE and AVX in its own code, five levels of page tables, protection keys."""
    for model, place, there, absent in (
            ("Nehalem", (6, 26), "sse4_2 popcnt ssse3", "avx aes"),
            ("Haswell-noTSX", (6, 60), "avx2 bmi2 fma movbe xsaveopt f16c rdrand pcid vme", "rtm avx512f rdseed"),
            ("EPYC-Rome", (23, 49), "avx2 sha_ni clwb rdpid umip smap xsavec", "sse4a avx512f la57"),
            ("max", (15, 107), "avx2 aes sha_ni pku ospke la57 xsaves vaes", "rtm avx512f svm")):
        with Guest("-m", "256", "-cpu", model) as guest:
            family, number, flags = identity(guest.run("cat /proc/cpuinfo"))
            assert (family, number) == place, (model, family, number)
            assert set(there.split()) <= flags, (model, set(there.split()) - flags)
            assert not set(absent.split()) & flags, (model, set(absent.split()) & flags)


def siblings_are_seen():
    """The manual's example: -smp 8,sockets=2,cores=2,threads=2,maxcpus=8."""
    with Guest("-m", "256", "-cpu", "max", "-smp", "8,sockets=2,cores=2,threads=2,maxcpus=8") as guest:
        text = guest.run("cd /sys/devices/system/cpu; for c in cpu[0-9]*; do t=$c/topology; "
                         "echo at $(cat $t/physical_package_id) $(cat $t/core_id) $(cat $t/core_cpus_list); done")
        found = sorted(re.findall(r"^at (\d+) (\d+) (\S+)$", text, re.M))
        assert len({(package, core) for package, core, _ in found}) == 4, text
        assert sorted(threads for _, _, threads in found) == sorted(2 * ["0-1", "2-3", "4-5", "6-7"]), text
        assert len({package for package, _, _ in found}) == 2, text


def dies_are_seen():
    with Guest("-m", "256", "-cpu", "max", "-smp", "4,sockets=1,dies=2,cores=2,threads=1") as guest:
        text = guest.run("cd /sys/devices/system/cpu; for c in cpu[0-9]*; do t=$c/topology; "
                         "echo at $(cat $t/physical_package_id) $(cat $t/die_id) $(cat $t/core_id); done")
        found = re.findall(r"^at (\d+) (\d+) (\d+)$", text, re.M)
        assert len(found) == 4 and len({package for package, _, _ in found}) == 1, text
        assert sorted(die for _, die, _ in found) == ["0", "0", "1", "1"], text


def processor_given_as_a_device_runs():
    """Three places, of which the last one is taken by -device: a hole in between."""
    with Guest("-m", "256", "-smp", "1,maxcpus=3,sockets=3", "-device",
               "qemu64-x86_64-cpu,id=late,socket-id=2,core-id=0,thread-id=0") as guest:
        text = guest.run("cat /proc/cpuinfo")
        assert re.findall(r"^processor\s*: (\d+)$", text, re.M) == ["0", "1"], text
        assert re.findall(r"^apicid\s*: (\d+)$", text, re.M) == ["0", "2"], text
        assert "cpu1 ran it" in guest.run("taskset 2 echo cpu1 ran it || (grep -c . /proc/stat; "
                                          "grep -a '^cpu1 ' /proc/stat && echo cpu1 ran it)")


def arranged_machine(tap):
    names = (("processors_are_arranged", processors_are_arranged),
             ("default_model_is_qemu64", default_model_is_qemu64),
             ("memory_and_command_line_arrive", memory_and_command_line_arrive),
             ("serial_port_is_a_16550a", serial_port_is_a_16550a),
             ("smbios_tables_are_found_without_firmware", smbios_tables_are_found_without_firmware),
             ("clock_starts_where_it_was_told", clock_starts_where_it_was_told))
    with Guest("-m", "300", "-smp", "8,sockets=2,cores=4,maxcpus=8", "-rtc",
               "base=2006-06-17T16:01:21", "-smbios", "type=1,serial=S,,1", append='console=ttyS0 promise="kept, twice"') as guest:
        for name, function in names:
            tap.case(name, function, guest)


def main():
    tap = Tap()
    arranged_machine(tap)
    for case in (features_are_added_and_taken_away, models_announce_what_is_executed, siblings_are_seen, dies_are_seen,
                 processor_given_as_a_device_runs):
        tap.case(case.__name__, case)
    tap.done()


if __name__ == "__main__":
    main()
