# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A module that crashes is named before the process ends with the signal: module, version, and the device on
whose behalf it was called; so is a device that holds up the main loop. Usage: test-last-words.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import signal
import subprocess
import sys
import time

SOURCE, BUILD = sys.argv[1:3]
os.environ.setdefault("BACKPLANE_BUILD", BUILD)
sys.path[:0] = [os.path.join(SOURCE, "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qtest import QTest  # noqa: E402

WAIT = 20 * float(os.environ.get("BACKPLANE_SLOW", "1"))
WORK = tap.work_folder("last-words-")
DEVICE = r"""
#define BP_MODULE_VERSION "7.3"
#include <stdlib.h>
#include <unistd.h>
#include <bp/bus/isa.h>
#include <bp/clock.h>

struct crasher { uint16_t iobase; struct bp_timer *timer, *slow; };
static const struct bp_field props[] = {
    BP_PROP("iobase", UINT16, struct crasher, iobase, "0x310", "I/O port"), BP_FIELDS_END};
BP_USE(isa, struct bp_isa_interface, "isa", 1);
static int *volatile nowhere;

static uint64_t get(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0;
}
static void due(void *opaque)
{
    (void)opaque;
    *nowhere = 1;
}
static void slow(void *opaque)
{
    (void)opaque;
    usleep(30000);
}
static void set(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct crasher *c = opaque;

    (void)addr, (void)size;
    if (value == 1)
        *nowhere = 1;
    if (value == 2)
        abort();
    if (value == 4)
        bp_timer_set(c->slow, bp_timer_now(c->slow) + 1000);
    if (value == 3)
        bp_timer_set(c->timer, bp_timer_now(c->timer) + 1000);
}
static const struct bp_region_ops ops = {.size = sizeof(ops), .read = get, .write = set, .max_access = 1};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct crasher *c = bp_device_state(dev);

    c->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, due, c);
    c->slow = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_REALTIME, slow, c);
    return isa->add_ports(dev, c->iobase, 1, "crasher", &ops, c, NULL, err);
}
BP_DEVICE(crasher, "crasher", "isa", "Crashes when it is told to", struct crasher, props, NULL,
          .attach = attach);
static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("my-crasher", "Crashes when it is told to", imports, {BP_PROVIDE_DEVICE, &crasher});
"""


def module():
    path = os.path.join(WORK, "my-crasher.so")
    if not os.path.exists(path):
        source = os.path.join(WORK, "my-crasher.c")
        with open(source, "w", encoding="ascii") as file:
            file.write(DEVICE)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "backplane"], capture_output=True, text=True,
                               check=True, env={**os.environ, "PKG_CONFIG_PATH": os.path.join(
                                   BUILD, "meson-uninstalled")}).stdout.split()
        subprocess.run(["cc", "-O1", "-g", "-shared", "-fPIC", "-fvisibility=hidden", source, "-o", path, *flags],
                       check=True)
    return path


def last_words(value, signo, act=None):
    """What it says on standard error when the device is written to."""
    if os.environ.get("BP_SANITIZED"):
        raise tap.Skip("a sanitizer has the last word")
    q = QTest(["-M", "pc", "-device", module() + ",id=c0"])
    try:
        q.outb(0x310, value)
        if act:
            act(q)
    except Exception:  # it is gone before it can answer
        pass
    assert q.process.wait(WAIT) == -signo, q.process.returncode
    text = q.errors()
    q.close()
    return text


def crash_in_a_register_names_module_and_device():
    text = last_words(1, signal.SIGSEGV)
    for word in ("SIGSEGV", "my-crasher", "crasher", "c0", "7.3"):
        assert word in text, (word, text)


def abort_names_the_device():
    text = last_words(2, signal.SIGABRT)
    for word in ("SIGABRT", "crasher", "c0"):
        assert word in text, (word, text)


def crash_in_a_timer_names_module_and_device():
    text = last_words(3, signal.SIGSEGV, lambda q: q.clock_step(10000))
    for word in ("SIGSEGV", "my-crasher", "timer", "c0"):
        assert word in text, (word, text)


def slow_callback_is_logged_and_shown_by_name():
    log = os.path.join(WORK, "log")
    with QTest(["-M", "pc", "-enable-sync-profile", "-d", "slow", "-D", log, "-device", module() + ",id=c0"]) as q:
        q.outb(0x310, 4)
        text, end = "", time.monotonic() + WAIT
        while "crasher" not in text and time.monotonic() < end:
            text = q.qmp("human-monitor-command", {"command-line": "info contexts"})
        assert re.search(r"timer of crasher.*c0", text) and "machine lock: taken" in text, text
        assert re.search(r"main: thread \d+, .* queued", text), text
        told = q.qmp("query-contexts")["contexts"][0]
        assert told["longest-ns"] >= 30000000 and "c0" in told["longest-owner"], told
        assert any("queue" in key or "pending" in key for key in told), told
    with open(log, encoding="utf-8") as file:
        assert re.search(r"a timer of crasher c0 took \d{5,} us", file.read())


tap.run([crash_in_a_register_names_module_and_device, abort_names_the_device,
         crash_in_a_timer_names_module_and_device, slow_callback_is_logged_and_shown_by_name])
