#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest tells the host by pvpanic, and what follows (-action panic=)."""
from qtest import QTest, Tap

PORT = 0x505
PANICKED, CRASHLOADED, SHUTDOWN = 1, 2, 4


def next_event(q, name):
    while True:
        for at, seen in enumerate(q.events):
            if seen["event"] == name:
                del q.events[:at + 1]
                return seen.get("data")
        message = q._qmp_read()
        assert "event" in message, message
        q.events.append(message)


def status(q):
    return q.qmp("query-status")["status"]


def panic_does_what_action_says():
    for options, action, after in ((("-action", "panic=pause"), "pause", "guest-panicked"),
                                   (("-action", "panic=none"), "run", "running"),
                                   (("-no-shutdown",), "pause", "guest-panicked"),
                                   (("-action", "shutdown=pause"), "pause", "guest-panicked")):
        with QTest(["-M", "pc", "-device", "pvpanic", *options]) as q:
            assert q.inb(PORT) == 7
            q.outb(PORT, PANICKED)
            assert next_event(q, "GUEST_PANICKED") == {"action": action}
            assert status(q) == after, (options, status(q))
            if after != "running":
                q.qmp("cont")
                assert status(q) == "running"


def panic_ends_the_process():
    for options, want in (((), 0), (("-action", "panic=shutdown"), 0), (("-action", "panic=exit-failure"), 1),
                          (("-action", "panic=exit-failure", "-no-shutdown"), 1)):
        q = QTest(["-M", "pc", "-device", "pvpanic", *options])
        try:
            q.outb(PORT, PANICKED)
            assert next_event(q, "GUEST_PANICKED") == {"action": "poweroff"}
            assert next_event(q, "SHUTDOWN") == {"guest": True, "reason": "guest-panic"}
            assert q.process.wait(30) == want, options
        finally:
            q.close()


def crash_kernel_runs_on(q):
    q.outb(PORT, CRASHLOADED)
    assert next_event(q, "GUEST_CRASHLOADED") == {"action": "run"}
    assert status(q) == "running"


def guest_asks_to_be_switched_off(q):
    q.outb(PORT, SHUTDOWN)
    assert next_event(q, "GUEST_PVSHUTDOWN") is None
    assert next_event(q, "SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert status(q) == "shutdown"


def events_that_are_not_offered_do_nothing(q):
    assert q.inb(0x6A0) == 2 and q.inb(PORT) == 0xFF
    q.outb(0x6A0, PANICKED | SHUTDOWN)
    q.outb(0x6A0, 0xF8)
    assert status(q) == "running"
    assert not {"GUEST_PANICKED", "GUEST_PVSHUTDOWN"} & {e["event"] for e in q.events}, q.events
    q.outb(0x6A0, CRASHLOADED)
    next_event(q, "GUEST_CRASHLOADED")


def fw_cfg_file(q, name):
    q.outw(0x510, 0x19)
    count = int.from_bytes(bytes(q.inb(0x511) for _ in range(4)), "big")
    for _ in range(count):
        entry = bytes(q.inb(0x511) for _ in range(64))
        if entry[8:].rstrip(b"\0").decode() == name:
            q.outw(0x510, int.from_bytes(entry[4:6], "big"))
            return bytes(q.inb(0x511) for _ in range(int.from_bytes(entry[:4], "big")))
    return None


def firmware_is_told_of_the_port(q):
    assert fw_cfg_file(q, "etc/pvpanic-port") == b"\xa0\x06"


def without_it_firmware_is_not_told(q):
    assert fw_cfg_file(q, "etc/pvpanic-port") is None


tap = Tap()
ISA = ["-M", "pc", "-no-shutdown", "-device", "pvpanic"]
tap.case("panic_does_what_action_says", panic_does_what_action_says)
tap.case("panic_ends_the_process", panic_ends_the_process)
tap.machine_case("crash_kernel_runs_on", ISA, crash_kernel_runs_on)
tap.machine_case("guest_asks_to_be_switched_off", ISA, guest_asks_to_be_switched_off)
tap.machine_case("events_that_are_not_offered_do_nothing",
                 ["-M", "pc", "-device", "pvpanic,ioport=0x6a0,events=2"],
                 events_that_are_not_offered_do_nothing)
tap.machine_case("firmware_is_told_of_the_port", ["-M", "pc", "-device", "pvpanic,ioport=1696"],
                 firmware_is_told_of_the_port)
tap.machine_case("without_it_firmware_is_not_told", ["-M", "pc"], without_it_firmware_is_not_told)
tap.done()
