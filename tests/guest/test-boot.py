#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's cloud kernel boots to a shell, and the machine ends in every way a user knows."""
import termios

from console import BINARY, Console, Tap, guest_files

KERNEL, INITRD = guest_files()
BANNER = "Backplane guest is up"
BOOT_SECONDS = 150
ESCAPE = "\x01"


def machine(*extra, append="console=ttyS0"):
    return Console([BINARY, "-m", "512", "-nographic", "-kernel", KERNEL, "-initrd", INITRD,
                    "-append", append, *extra])


def to_shell(console):
    console.expect(BANNER, BOOT_SECONDS)
    console.expect("# ", 30)


def ask(console, command, answer):
    console.type(command + "\n")
    return console.expect(answer, 60)


def shell_answers(cpus, *extra):
    console = machine("-smp", str(cpus), *extra)
    try:
        to_shell(console)
        ask(console, "echo six times seven is $((6 * 7))", "six times seven is 42")
        seen = ask(console, "grep -c ^processor /proc/cpuinfo; echo coun''ted", "\ncounted")
        assert seen.split()[-1] == str(cpus), f"the guest counts {seen.split()[-1]} processors"
        console.type("poweroff -f\n")
        status = console.wait(60)
        assert status == 0, f"exit status {status}"
        assert termios.tcgetattr(console.slave) == console.modes, "terminal modes were not restored"
    finally:
        console.close()


def one_cpu():
    shell_answers(1)


def two_cpus():
    shell_answers(2)


def translated_one_cpu():
    shell_answers(1, "-accel", "tcg")


def translated_two_cpus():
    shell_answers(2, "-accel", "tcg")


def translated_in_a_small_cache():
    shell_answers(1, "-accel", "tcg,tb-size=1,split-wx=on")


def translated_one_by_one():
    shell_answers(1, "-accel", "tcg,one-insn-per-tb=on")


def reboot_comes_back():
    console = machine()
    try:
        to_shell(console)
        console.type("reboot -f\n")
        to_shell(console)
        ask(console, "echo ba''ck", "back")
        # Ctrl-a c reaches the monitor and leaves it again; Ctrl-a x ends.
        console.type(ESCAPE + "c")
        console.expect("(qemu) ", 10)
        console.type("info status\n")
        console.expect("VM status: running", 60)
        console.expect("(qemu) ", 10)
        console.type("info chardev\n")  # the parallel port is redirected, too: to nowhere
        console.expect("parallel0: filename=null", 60)
        console.expect("(qemu) ", 10)
        console.type(ESCAPE + "c")
        ask(console, "echo a''gain", "again")
        console.type(ESCAPE + "x")
        status = console.wait(20)
        assert status == 0, f"exit status {status}"
        assert termios.tcgetattr(console.slave) == console.modes, "terminal modes were not restored"
    finally:
        console.close()


def no_reboot_ends():
    console = machine("-no-reboot")
    try:
        to_shell(console)
        console.type("reboot -f\n")
        status = console.wait(60)
        assert status == 0, f"exit status {status}"
    finally:
        console.close()


tap = Tap()
tap.case("one_cpu_reaches_shell_and_powers_off", one_cpu)
tap.case("two_cpus_reach_shell_and_power_off", two_cpus)
tap.case("translated_one_cpu_reaches_shell_and_powers_off", translated_one_cpu)
tap.case("translated_two_cpus_reach_shell_and_power_off", translated_two_cpus)
tap.case("translated_in_a_small_cache_reaches_shell", translated_in_a_small_cache)
tap.case("translated_one_by_one_reaches_shell", translated_one_by_one)
tap.case("reboot_comes_back_and_monitor_keys_work", reboot_comes_back)
tap.case("no_reboot_ends_the_process", no_reboot_ends)
tap.done()
