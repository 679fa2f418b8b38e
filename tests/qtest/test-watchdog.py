#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Watchdogs, what follows when their time is over (-watchdog-action, -action watchdog=), and NMIs."""
import subprocess

from qtest import QTest, Tap, program

SECOND = 1000000000
LVT_LINT1, SVR = 0xFEE00360, 0xFEE000F0
ACTIONS = ("reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi")


def event(q, name):
    """The data of the next event of that name; what has been asked of the main loop is done by then."""
    while True:
        for at, seen in enumerate(q.events):
            if seen["event"] == name:
                del q.events[:at + 1]
                return seen.get("data")
        message = q._qmp_read()
        assert "event" in message, message
        q.events.append(message)


def names(q):
    q.qmp("query-status")
    return [e["event"] for e in q.events]


def status(q):
    return q.qmp("query-status")["status"]


def expire_ib700(q):
    q.outb(0x443, 0xE)
    q.clock_step(2 * SECOND)


def ib700_counts_two_seconds_for_each_step(q):
    for value in range(16):
        q.outb(0x443, 0xA0 | value)
        seconds = 2 * (15 - value)
        if seconds:
            q.clock_step(seconds * SECOND - 1)
            assert "WATCHDOG" not in names(q), value
        q.clock_step(1)
        assert event(q, "WATCHDOG") == {"action": "none"}


def ib700_is_stopped_and_started_again(q):
    q.outb(0x443, 0xE)
    q.clock_step(SECOND)
    q.outb(0x441, 0)
    q.clock_step(60 * SECOND)
    assert "WATCHDOG" not in names(q)
    for _ in range(5):
        q.outb(0x443, 0xE)
        q.clock_step(SECOND)
    assert "WATCHDOG" not in names(q)
    q.qmp("system_reset")
    event(q, "RESET")
    q.clock_step(60 * SECOND)
    assert "WATCHDOG" not in names(q)
    assert q.inb(0x443) == 0xFF and q.inb(0x441) == 0xFF


def action_follows(action, q):
    expire_ib700(q)
    assert event(q, "WATCHDOG") == {"action": action}
    if action == "reset":
        assert event(q, "RESET") == {"guest": True, "reason": "guest-reset"}
        assert status(q) == "running"
    elif action == "shutdown":
        event(q, "POWERDOWN")
        assert status(q) == "running"
    elif action == "poweroff":
        assert event(q, "SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
        event(q, "STOP")
        assert status(q) == "shutdown"
    elif action == "pause":
        event(q, "STOP")
        assert status(q) == "watchdog"
        q.qmp("cont")
        assert status(q) == "running"
        expire_ib700(q)
        assert event(q, "WATCHDOG") == {"action": "pause"}
    else:
        assert status(q) == "running"
        assert not {"RESET", "STOP", "SHUTDOWN", "POWERDOWN"} & set(names(q)), q.events
    assert ("watchdog timer has expired" in q.errors()) == (action == "debug"), q.errors()


def every_action_does_what_it_says():
    for action in ACTIONS:
        for option in (("-watchdog-action", action), ("-action", "watchdog=" + action)):
            with QTest(["-M", "pc", "-no-shutdown", "-device", "ib700", *option]) as q:
                action_follows(action, q)
    with QTest(["-M", "pc", "-device", "ib700"]) as q:
        action_follows("reset", q)


def the_last_word_stands():
    for options, action in ((("-watchdog-action", "none", "-action", "watchdog=debug"), "debug"),
                            (("-action", "watchdog=debug", "-watchdog-action", "none"), "none"),
                            (("-action", "watchdog=debug", "-action", "panic=none"), "debug")):
        with QTest(["-M", "pc", "-device", "ib700", *options]) as q:
            expire_ib700(q)
            assert event(q, "WATCHDOG") == {"action": action}


def action_is_changed_while_it_runs(q):
    for how in (lambda a: q.qmp("watchdog-set-action", {"action": a}),
                lambda a: q.qmp("set-action", {"watchdog": a}),
                lambda a: q.qmp("human-monitor-command", {"command-line": "watchdog_action " + a})):
        for action in ("none", "debug"):
            how(action)
            expire_ib700(q)
            assert event(q, "WATCHDOG") == {"action": action}
    said = q.qmp("human-monitor-command", {"command-line": "watchdog_action bark"})
    assert "bark" in said and "inject-nmi" in said, said


def unknown_action_is_refused_with_the_choices():
    for option in (("-watchdog-action", "bark"), ("-action", "watchdog=bark")):
        run = subprocess.run([program(), "-M", "none", "-display", "none", *option], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=60)
        assert run.returncode == 1 and "bark" in run.stderr and "inject-nmi" in run.stderr, run



def nmi_goes_through_lint1(q):
    """LINT1 set to fixed delivery shows by its vector that the line was pulsed, masked that it was not."""
    q.writel(SVR, 0x1FF)
    for masked in (False, True):
        q.writel(LVT_LINT1, 0x55 + masked * 2 | masked << 16)
        for command in ("inject-nmi", "nmi"):
            if command == "nmi":
                q.qmp("human-monitor-command", {"command-line": "nmi"})
            else:
                q.qmp(command)
        vector = 0x55 + masked * 2
        irr = q.readl(0xFEE00200 + (vector >> 5) * 16) >> (vector & 31) & 1
        assert irr == (not masked), (masked, irr)


def watchdog_pulses_lint1(q):
    q.writel(SVR, 0x1FF)
    q.writel(LVT_LINT1, 0x66)
    expire_ib700(q)
    assert event(q, "WATCHDOG") == {"action": "inject-nmi"}
    assert q.readl(0xFEE00200 + (0x66 >> 5) * 16) >> (0x66 & 31) & 1


def machine_without_nmi_says_so():
    with QTest(["-M", "none"]) as q:
        try:
            q.qmp("inject-nmi")
        except AssertionError as error:
            assert "non-maskable" in str(error), error
        else:
            raise AssertionError("it was accepted")


# ---- the TCO timer of the q35's chipset ----
RCBA, GCS, NO_REBOOT, STEP = 0xFED1C000, 0xFED1F410, 0x20, 600000000
RLD, STATUS1, STATUS2, CONTROL1, TIMER = (0x660 + at for at in (0, 4, 6, 8, 0x12))


def tco_machine(*args):
    q = QTest(["-M", "q35", *args])
    q.outl(0xCF8, 0x8000F8F0)
    q.outl(0xCFC, RCBA | 1)
    return q


def tco_counts_down_twice():
    with tco_machine("-global", "ICH9-LPC.noreboot=off") as q:
        assert q.readl(GCS) & NO_REBOOT == 0 and q.inw(TIMER) == 4 and q.inw(0x66A) == 8
        q.clock_step(60 * SECOND)  # nobody has started it
        assert q.inw(STATUS1) == 0 and "WATCHDOG" not in names(q)
        q.outw(TIMER, 1)  # too short: ignored
        assert q.inw(TIMER) == 4
        for steps in (0x100, 0x3ff, 0x200, 2):  # a word is taken as one, whatever its bytes would be
            q.outw(TIMER, steps)
            assert q.inw(TIMER) == steps
            q.outw(TIMER, 1)
            assert q.inw(TIMER) == steps
            q.outl(TIMER - 2, 0)
            assert q.inw(TIMER) == steps
        q.outw(TIMER, 0x10a)
        q.outb(TIMER + 1, 0)
        q.outw(RLD, 1)
        assert q.inw(RLD) == 10
        q.clock_step(4 * STEP)
        assert q.inw(RLD) == 6
        q.outw(CONTROL1, 0x0800)  # halted
        q.clock_step(100 * STEP)
        assert q.inw(RLD) == 6 and q.inw(STATUS1) == 0
        q.outw(CONTROL1, 0)
        q.outw(RLD, 1)
        q.clock_step(9 * STEP)
        assert q.inw(STATUS1) == 0
        q.clock_step(STEP)
        assert q.inw(STATUS1) == 8 and q.inw(STATUS2) == 0 and "WATCHDOG" not in names(q)
        q.outw(STATUS1, 8)  # as a driver that pings
        q.outw(RLD, 1)
        q.clock_step(10 * STEP)
        assert q.inw(STATUS1) == 8 and q.inw(STATUS2) == 0 and "WATCHDOG" not in names(q)
        q.clock_step(10 * STEP)
        assert event(q, "WATCHDOG") == {"action": "reset"}
        event(q, "RESET")
        assert q.inw(STATUS2) == 2 and q.inw(STATUS1) == 0  # why there was a reset
        q.outw(STATUS2, 2)
        assert q.inw(STATUS2) == 0
        q.clock_step(60 * SECOND)
        assert "WATCHDOG" not in names(q)


def tco_starts_nothing_again_unless_it_may():
    with tco_machine() as q:  # the strap says so, and cannot be overruled
        q.writel(GCS, 0)
        assert q.readl(GCS) & NO_REBOOT
        q.outw(RLD, 1)
        q.clock_step(8 * STEP)
        assert q.inw(STATUS1) == 8 and q.inw(STATUS2) == 2 and "WATCHDOG" not in names(q)
    with tco_machine("-global", "ICH9-LPC.noreboot=off", "-watchdog-action", "none") as q:
        q.writel(GCS, NO_REBOOT)
        assert q.readl(GCS) & NO_REBOOT
        q.outw(RLD, 1)
        q.clock_step(8 * STEP)
        assert "WATCHDOG" not in names(q)
        q.writel(GCS, 0)
        q.clock_step(4 * STEP)
        assert event(q, "WATCHDOG") == {"action": "none"}


def tco_asks_for_an_smi():
    with tco_machine("-machine", "smm=on") as q:
        q.irq_intercept_out("ICH9-LPC", "smi")
        q.outl(0x630, 0x2001)
        q.outw(RLD, 1)
        q.clock_step(4 * STEP)
        assert q.inl(0x634) & 0x2000
        q.outl(0x634, 0x2000)
        q.outl(0x630, 0x2000)  # not without the global enable
        q.outw(STATUS1, 8)
        q.clock_step(4 * STEP)
        assert q.inw(STATUS1) == 8 and not q.inl(0x634) & 0x2000
        q.outb(0x662, 5)  # what software says to SMM
        assert q.inw(STATUS1) == 10 and q.inb(0x662) == 5


tap = Tap()
IB700 = ["-M", "pc", "-device", "ib700"]
tap.machine_case("ib700_counts_two_seconds_for_each_step", IB700 + ["-watchdog-action", "none"],
                 ib700_counts_two_seconds_for_each_step)
tap.machine_case("ib700_is_stopped_and_started_again", IB700, ib700_is_stopped_and_started_again)
tap.case("every_action_does_what_it_says", every_action_does_what_it_says)
tap.case("the_last_word_stands", the_last_word_stands)
tap.machine_case("action_is_changed_while_it_runs", IB700, action_is_changed_while_it_runs)
tap.case("unknown_action_is_refused_with_the_choices", unknown_action_is_refused_with_the_choices)
tap.machine_case("nmi_goes_through_lint1", ["-M", "pc"], nmi_goes_through_lint1)
tap.machine_case("watchdog_pulses_lint1", IB700 + ["-watchdog-action", "inject-nmi"], watchdog_pulses_lint1)
tap.case("machine_without_nmi_says_so", machine_without_nmi_says_so)
tap.case("tco_counts_down_twice", tco_counts_down_twice)
tap.case("tco_starts_nothing_again_unless_it_may", tco_starts_nothing_again_unless_it_may)
tap.case("tco_asks_for_an_smi", tco_asks_for_an_smi)
tap.done()
