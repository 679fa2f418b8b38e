#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What runs does not see what has gone: code that was overwritten by DMA, RAM of a device that was
unplugged or moved to another I/O thread, maps that were replaced. A small guest (lifetimes.S) works on that with two processors
while devices come and go; then Linux boots while they do. In a build with ThreadSanitizer (./dev tsan guest) no
data race may be reported, except in the guest's own memory.

usage: test-lifetimes.py      (BACKPLANE_BUILD names the build; BACKPLANE_LONG=1: a million moves;
                               BACKPLANE_SHORT=1: 20000, and Linux does not boot)
"""
import os
import statistics
import struct
import subprocess
import sys
import time

import console

sys.path.insert(0, os.path.join(console.TOP, "tests/house"))
import races  # noqa: E402
from qmp import Emulator  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = work_folder("backplane-lifetimes-")
RAMBAR = os.path.join(console.BUILD, "tests/guest/test-rambar.so")
LONG = os.environ.get("BACKPLANE_LONG") == "1"
BRIEF = os.environ.get("BACKPLANE_SHORT") == "1"
SLOW = 30 if races.THREADS else console.SLOW
# AddressSanitizer keeps what was freed: less than a test of growth would notice.
BOUNDED = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4",
           **races.environment(WORK)}
LOAD = 0x100000
# Two versions of a function, as bytes 0 and 8: mov eax,1; ret and mov eax,2; ret.
UUID = "b8010000-00c3-9090-b802-000000c39090"
NEW_CODE_RAN = 5  # isa-debug-exit: 2 * code + 1


def tool(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=WORK)
    assert done.returncode == 0, (command, done.stderr)


def kernel(rounds, smp):
    """A bzImage by the 32-bit boot protocol around lifetimes.S."""
    tool("as", "--32", "--defsym", "ROUNDS=%d" % rounds, "--defsym", "SMP=%d" % smp, "-o", "g.o",
         os.path.join(HERE, "lifetimes.S"))
    tool("ld", "-m", "elf_i386", "-Ttext", hex(LOAD), "-e", hex(LOAD), "-o", "g.elf", "g.o")
    tool("objcopy", "-O", "binary", "-j", ".text", "g.elf", "g.bin")
    with open(os.path.join(WORK, "g.bin"), "rb") as f:
        code = f.read()
    head = bytearray(1024)
    head[0x1f1] = 1
    head[0x1fe:0x206] = b"\x55\xaa\xeb\x66HdrS"
    head[0x206:0x208] = b"\x0f\x02"
    head[0x211] = 1
    struct.pack_into("<I", head, 0x214, LOAD)
    struct.pack_into("<I", head, 0x22c, 0x7fffffff)
    struct.pack_into("<I", head, 0x238, 2047)
    struct.pack_into("<Q", head, 0x258, LOAD)
    struct.pack_into("<I", head, 0x260, len(code))
    path = os.path.join(WORK, "g.kernel")
    with open(path, "wb") as f:
        f.write(head + code)
    return path


def start(rounds, smp, *more):
    return Emulator(console.BINARY, "-machine", "pc", "-accel", "interp", "-m", "64", "-smp", str(smp),
                    *races.main_memory("64M"), "-kernel", kernel(rounds, int(smp > 1)), "-uuid", UUID, "-device",
                    "isa-debug-exit", "-S", *more, quiet=("-nodefaults", "-display", "none"), env=BOUNDED)


def go(e):
    """Without waiting for the reply: a guest may have ended the machine before it is read."""
    e.process.stdin.write('{"execute":"cont"}\n')
    e.process.stdin.flush()


def resident(e):
    with open("/proc/%d/status" % e.process.pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def unplug(e, name):
    """device_del returns at once; the device has gone when DEVICE_DELETED comes."""
    e.process.stdin.write('{"execute":"device_del","arguments":{"id":"%s"}}\n' % name)
    e.process.stdin.flush()
    replied = gone = False
    while not (replied and gone):
        message = e.read()
        gone |= message.get("event") == "DEVICE_DELETED" and message["data"].get("device") == name
        assert "error" not in message, message
        replied |= "return" in message


def code_overwritten_by_dma_is_not_run():
    with start(200, 1) as e:
        go(e)
        assert e.process.wait(timeout=60 * SLOW) == NEW_CODE_RAN


THREADS_OF_IO = ("-object", "iothread,id=io0", "-object", "iothread,id=io1")


# Linux is asked by ACPI, before it listens to what cards ask; here they go without that.
AT_ONCE = ("-global", "PIIX4_PM.acpi-root-pci-hotplug=off")


def plug(e):
    return e.command("device_add", driver=RAMBAR, id="r", addr="5", iothread="io0", named=races.THREADS)


def move(e, name):
    return e.command("qom-set", path="/machine/peripheral/r", property="iothread", value=name)


def counts(e):
    return [e.command("qom-get", path="/machine/peripheral/r", property=what)["return"]
            for what in ("writes", "rings", "values", "fires")]


def moving_and_plugging_under_two_processors(rounds):
    delays, sizes, seen = [], [], [0, 0, 0, 0]
    plugs = 0
    with start(rounds, 2, *THREADS_OF_IO) as e:
        assert "return" in e.command("cont")
        try:
            while True:
                assert "return" in plug(e)
                before = time.monotonic()
                e.command("query-status")
                delays.append(time.monotonic() - before)
                sizes.append(resident(e))
                for name in ("io1", "io0", "io1"):
                    assert "return" in move(e, name)
                    time.sleep(0.01)
                seen = [a + b for a, b in zip(seen, counts(e))]
                move(e, "io0") # it leaves in the middle of that
                unplug(e, "r")
                plugs += 1
        except (AssertionError, BrokenPipeError, StopIteration) as problem:
            status = e.process.wait(timeout=60 * SLOW)
            assert status == NEW_CODE_RAN, (status, problem, e.process.stderr.read())
    assert plugs > 3, "the guest ended after %d plugs" % plugs
    print("# writes, rings, values taken, timers: %r" % seen, flush=True)
    assert all(seen), seen
    middle, end = statistics.median(sizes[len(sizes) // 4:len(sizes) // 2]), sizes[-1]
    print("# %d plugs; the monitor's answer took %.1f ms (median), %.1f at most; %d KiB, %d at the end"
          % (plugs, statistics.median(delays) * 1000, max(delays) * 1000, middle, end), flush=True)
    assert statistics.median(delays) < 0.1 * SLOW
    # ThreadSanitizer keeps books on every mapping there ever was.
    assert races.THREADS or end < middle + 16384, "memory grows: %r" % sizes[::max(1, len(sizes) // 20)]


def memory_moves_and_goes_under_two_processors():
    moving_and_plugging_under_two_processors(1000000 if LONG else 20000 if BRIEF else 60000)


def linux_boots_while_memory_comes_and_goes():
    if BRIEF:
        raise Skip("BACKPLANE_SHORT is set")
    _linux_boots()


def _linux_boots():
    """Linux is spared its check that the timer ticks within 10 ms, which a busy computer may fail."""
    kernel_file, initrd = console.guest_files()
    serial = os.path.join(WORK, "serial")
    with Emulator(console.BINARY, "-m", "512", "-smp", "2", "-kernel", kernel_file, "-initrd", initrd,
                  "-append", "console=ttyS0 no_timer_check" + races.LINUX, "-serial", "file:" + serial,
                  *races.main_memory("512M"), *THREADS_OF_IO, *AT_ONCE, env=BOUNDED,
                  quiet=("-nodefaults", "-display", "none")) as e:
        end = time.monotonic() + 120 * SLOW
        plugs = 0
        while True:
            assert "return" in plug(e)
            assert "return" in move(e, "io1")
            time.sleep(0.05)
            unplug(e, "r")
            plugs += 1
            with open(serial, "rb") as f:
                text = f.read()
            if b"Backplane guest is up" in text:
                break
            assert time.monotonic() < end, "no shell; the end was: %r" % text[-1500:]
        assert plugs > 3
        assert "return" in e.command("quit")
        assert e.process.wait(timeout=20 * SLOW) == 0


def only_the_guest_s_memory_is_raced_for():
    races.judge(WORK)


run([code_overwritten_by_dma_is_not_run, memory_moves_and_goes_under_two_processors,
     linux_boots_while_memory_comes_and_goes, only_the_guest_s_memory_is_raced_for])
