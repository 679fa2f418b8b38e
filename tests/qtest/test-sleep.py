#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Suspend to RAM by the registers of the power management: what sleeps, what wakes it, what it finds then."""
from qtest import Failed, QTest, Tap

SECOND = 1000000000
PM, RAM = 0x600, 0x100000
WAKE, RTC, BUTTON = 0x8000, 0x0400, 0x0100
BOARDS = (["-M", "pc"], ["-M", "q35"])


def event(q, name):
    while True:
        for at, seen in enumerate(q.events):
            if seen["event"] == name:
                del q.events[:at + 1]
                return
        message = q._qmp_read()
        assert "event" in message, message
        q.events.append(message)


def status(q):
    found = q.qmp("query-status")
    return found["status"], found["running"]


def fails(q, command, words):
    try:
        q.qmp(command)
    except Failed as error:
        assert words in str(error), error
        return
    raise AssertionError(command + " was taken")


def sleep(q, kind=1):
    q.outw(PM + 4, 0x2000 | kind << 10)


def cmos(q, index, value=None):
    q.outb(0x70, index)
    if value is None:
        return q.inb(0x71)
    q.outb(0x71, value)
    return value


def fall_asleep(q):
    sleep(q)
    event(q, "SUSPEND")
    assert status(q) == ("suspended", False), status(q)


def monitor_wakes_and_memory_is_kept(q):
    fails(q, "system_wakeup", "not in suspended state")
    q.writel(RAM, 0x12345678)
    q.writeb(RAM + 4, 0x55)  # the loader of this command line has put 0x77 there
    fall_asleep(q)
    q.qmp("system_wakeup")
    event(q, "WAKEUP")
    assert status(q) == ("running", True)
    assert q.readl(RAM) == 0x12345678 and q.readb(RAM + 4) == 0x55
    assert q.inw(PM) == WAKE, hex(q.inw(PM))
    assert cmos(q, 0x0f) == 0xfe
    fails(q, "system_wakeup", "not in suspended state")
    q.qmp("system_reset")
    event(q, "RESET")
    assert q.readb(RAM + 4) == 0x77 and q.inw(PM) == 0


def power_button_wakes(q):
    fall_asleep(q)
    q.qmp("system_powerdown")
    event(q, "WAKEUP")
    assert q.inw(PM) == WAKE | BUTTON, hex(q.inw(PM))


def alarm_in(q, seconds):
    """The clock, which runs by the machine's time here, rings so many seconds from now."""
    now = cmos(q, 0)
    now = (now >> 4) * 10 + (now & 15) + seconds
    cmos(q, 1, now % 60 // 10 << 4 | now % 10)
    cmos(q, 3, 0xff)
    cmos(q, 5, 0xff)
    cmos(q, 0x0c)
    cmos(q, 0x0b, 0x22)


def alarm_wakes_when_it_may(q):
    q.outw(PM + 2, RTC)
    alarm_in(q, 5)
    fall_asleep(q)
    q.clock_step(3 * SECOND)
    assert status(q)[0] == "suspended"
    q.clock_step(3 * SECOND)
    event(q, "WAKEUP")
    assert q.inw(PM) == WAKE | RTC, hex(q.inw(PM))
    # And not where RTC_EN is off.
    alarm_in(q, 5)
    fall_asleep(q)
    q.clock_step(10 * SECOND)
    assert status(q)[0] == "suspended"


def alarm_that_rang_before_ends_the_sleep(q):
    q.outw(PM + 2, RTC)
    alarm_in(q, 2)
    q.clock_step(3 * SECOND)
    assert q.inw(PM) & RTC
    sleep(q)
    event(q, "SUSPEND")
    event(q, "WAKEUP")
    assert status(q) == ("running", True)


def sleeper_is_stopped_and_goes_on_sleeping(q):
    fall_asleep(q)
    q.qmp("stop")
    assert status(q) == ("paused", False)
    q.qmp("cont")
    assert status(q) == ("suspended", False)
    q.qmp("stop")
    q.qmp("system_wakeup")
    event(q, "WAKEUP")
    assert status(q) == ("paused", False)
    q.qmp("cont")
    assert status(q) == ("running", True)


def reset_of_a_sleeper_starts_it(q):
    fall_asleep(q)
    q.qmp("system_reset")
    event(q, "RESET")
    assert status(q) == ("running", True)
    assert q.inw(PM) == 0


def states(q):
    """What firmware is told of S0 to S5."""
    q.outw(0x510, 0x19)
    for _ in range(int.from_bytes(bytes(q.inb(0x511) for _ in range(4)), "big")):
        entry = bytes(q.inb(0x511) for _ in range(64))
        if entry[8:].split(b"\0")[0] == b"etc/system-states":
            q.outw(0x510, int.from_bytes(entry[4:6], "big"))
            return [q.inb(0x511) for _ in range(6)]
    raise AssertionError("no etc/system-states")


def firmware_is_told_of_the_states(q):
    assert states(q) == [0x80, 0, 0, 0x81, 0x82, 0x80], states(q)


def switched_off_it_is_not_there(q):
    sleep(q)
    assert status(q) == ("running", True)
    assert states(q) == [0x80, 0, 0, 1, 2, 0x80], states(q)


def other_board_says_so():
    with QTest(["-M", "none"]) as q:
        fails(q, "system_wakeup", "'none'")


tap = Tap()
LOADER = ["-device", "loader,addr=0x100004,data=0x77,data-len=1"]
VM_CLOCK = ["-rtc", "base=2020-01-01T00:00:00,clock=vm"]
OFF = {"pc": "PIIX4_PM", "q35": "ICH9-LPC"}
for board in BOARDS:
    name = board[1] + "_"
    tap.machine_case(name + "monitor_wakes_and_memory_is_kept", board + LOADER, monitor_wakes_and_memory_is_kept)
    tap.machine_case(name + "power_button_wakes", board, power_button_wakes)
    tap.machine_case(name + "alarm_wakes_when_it_may", board + VM_CLOCK, alarm_wakes_when_it_may)
    tap.machine_case(name + "alarm_that_rang_before_ends_the_sleep", board + VM_CLOCK,
                     alarm_that_rang_before_ends_the_sleep)
    tap.machine_case(name + "sleeper_is_stopped_and_goes_on_sleeping", board, sleeper_is_stopped_and_goes_on_sleeping)
    tap.machine_case(name + "reset_of_a_sleeper_starts_it", board, reset_of_a_sleeper_starts_it)
    tap.machine_case(name + "firmware_is_told_of_the_states", board, firmware_is_told_of_the_states)
    tap.machine_case(name + "switched_off_it_is_not_there", board + [
        "-global", OFF[board[1]] + ".disable_s3=1", "-global", OFF[board[1]] + ".disable_s4=1"],
        switched_off_it_is_not_there)
tap.case("other_board_says_so", other_board_says_so)
tap.done()
