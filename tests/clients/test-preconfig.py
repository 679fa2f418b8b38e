# SPDX-License-Identifier: LGPL-2.1-or-later
"""--preconfig: what monitors may ask and set before the machine is made. Usage: test-preconfig.py SOURCE-ROOT BUILD-ROOT"""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
PC = ("--preconfig", "-M", "pc", "-m", "256M", "-smp", "2,maxcpus=4,sockets=2,cores=2")


def done(e, command, **arguments):
    reply = e.command(command, **arguments)
    assert "return" in reply, (command, arguments, reply)
    return reply["return"]


def refused(e, command, words, **arguments):
    reply = e.command(command, **arguments)
    assert "error" in reply and words in reply["error"]["desc"], (command, arguments, reply)


def send(e, *commands):
    e.process.stdin.write("".join('{"execute": "%s"}' % command for command in commands) + "\n")
    e.process.stdin.flush()


def ends_with(e, words):
    """The machine cannot be made: no answer, but a line of the emulator, as without --preconfig."""
    send(e, "x-exit-preconfig")
    assert e.process.wait(WAIT) == 1
    assert words in e.process.stderr.read()


def back_end(e, name):
    done(e, "object-add", **{"qom-type": "memory-backend-ram", "id": name, "size": 128 << 20})


def machine_waits_and_commands_that_need_it_are_refused():
    with Emulator(PROGRAM, *PC, "-S") as e:
        assert done(e, "query-status")["status"] == "prelaunch"
        for command, arguments in (("query-cpus-fast", {}), ("query-block", {}), ("system_reset", {}), ("cont", {}),
                                   ("device_add", {"driver": "edu"}),
                                   ("human-monitor-command", {"command-line": "info registers"})):
            refused(e, command, "x-exit-preconfig", **arguments)
        assert "machine" not in [m["name"] for m in done(e, "qom-list", path="/")]
        done(e, "x-exit-preconfig")
        assert "machine" in [m["name"] for m in done(e, "qom-list", path="/")]
        assert done(e, "query-status") == {"status": "prelaunch", "running": False}, "-S stops it once more"
        assert len(done(e, "query-cpus-fast")) == 2
        done(e, "device_add", driver="edu")
        refused(e, "x-exit-preconfig", "--preconfig")
        refused(e, "set-numa-node", "--preconfig", type="node")


def it_runs_at_once_without_stop():
    with Emulator(PROGRAM, *PC) as e:
        done(e, "x-exit-preconfig")
        assert done(e, "query-status")["running"] is True


def nodes_are_told_of_by_commands():
    with Emulator(PROGRAM, *PC, "-S") as e:
        places = [c["props"] for c in done(e, "query-hotpluggable-cpus")]
        assert places == [{"socket-id": s, "core-id": c, "thread-id": 0} for s in (1, 0) for c in (1, 0)], places
        back_end(e, "m0")
        back_end(e, "m1")
        done(e, "set-numa-node", type="node", nodeid=0, memdev="m0", cpus=[0, 1])
        refused(e, "set-numa-node", "maxcpus (4)", type="node", nodeid=1, memdev="m1", cpus=[2, 4])
        refused(e, "set-numa-node", "no memory back end", type="node", nodeid=1, memdev="m7", cpus=[3])
        refused(e, "set-numa-node", "'type'", nodeid=1)
        # What was refused has left nothing behind: neither the node nor its processors.
        done(e, "set-numa-node", type="node", nodeid=1, memdev="m1")
        assert [c["props"].get("node-id") for c in done(e, "query-hotpluggable-cpus")] == [None, None, 0, 0]
        done(e, "set-numa-node", type="cpu", **{"node-id": 1, "socket-id": 1})
        done(e, "set-numa-node", type="dist", src=0, dst=1, val=20)
        done(e, "x-exit-preconfig")
        assert [c["props"]["node-id"] for c in done(e, "query-hotpluggable-cpus")] == [1, 1, 0, 0]
        text = done(e, "human-monitor-command", **{"command-line": "info numa"})
        assert "node 0 cpus: 0 1" in text and "node 1 size: 128 MB" in text, text


def a_first_node_that_is_refused_leaves_none():
    with Emulator(PROGRAM, *PC, "-S") as e:
        refused(e, "set-numa-node", "no memory back end", type="node", memdev="m0")
        done(e, "x-exit-preconfig")
        assert "2 nodes" not in done(e, "human-monitor-command", **{"command-line": "info numa"})


def a_node_s_memory_may_go_and_that_is_told():
    with Emulator(PROGRAM, "--preconfig", "-M", "pc", "-m", "128M", "-S") as e:
        back_end(e, "m0")
        done(e, "set-numa-node", type="node", memdev="m0")
        done(e, "object-del", id="m0")
        ends_with(e, "no memory back end 'm0'")


def mistakes_of_the_command_line_come_after_it():
    with Emulator(PROGRAM, *PC, "-device", "nope") as e:
        ends_with(e, "-device nope")


def it_ends_by_command_and_by_signal():
    with Emulator(PROGRAM, *PC) as e:
        e.command("quit")
        assert e.process.wait(WAIT) == 0
    with Emulator(PROGRAM, *PC) as e:
        e.process.send_signal(signal.SIGTERM)
        assert e.process.wait(WAIT) == 0


def human(*lines):
    run = subprocess.run([PROGRAM, *PC, "-accel", "qtest", "-nodefaults", "-display", "none", "-monitor", "stdio", "-S"],
                         input="".join(line + "\n" for line in lines), capture_output=True, text=True, timeout=WAIT,
                         check=False)
    assert run.returncode == 0, run
    return run.stdout


def the_human_monitor_has_it_too():
    said = human("info status", "info registers", "info hotpluggable-cpus", "exit_preconfig", "info cpus", "quit")
    assert "prelaunch" in said and "'info registers' needs the machine" in said, said
    assert said.count("qemu64-x86_64-cpu") >= 4 and "CPU #0" in said, said


def commands_sent_together_find_the_machine():
    with Emulator(PROGRAM, *PC, "-S") as e:
        send(e, "query-cpus-fast", "x-exit-preconfig", "query-cpus-fast", "query-pci")
        replies = []
        while len(replies) < 4:
            message = e.read()
            if "event" not in message:
                replies.append(message)
        assert "error" in replies[0] and replies[1] == {"return": {}}, replies
        assert len(replies[2]["return"]) == 2 and replies[3]["return"][0]["devices"], replies


def somebody_must_be_able_to_go_on():
    run = subprocess.run([PROGRAM, *PC, "-accel", "qtest", "-nodefaults", "-display", "none"], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=WAIT, check=False)
    assert run.returncode == 1 and "needs a monitor" in run.stderr, run


tap.run([machine_waits_and_commands_that_need_it_are_refused, it_runs_at_once_without_stop, nodes_are_told_of_by_commands,
         a_first_node_that_is_refused_leaves_none, a_node_s_memory_may_go_and_that_is_told,
         mistakes_of_the_command_line_come_after_it, it_ends_by_command_and_by_signal, the_human_monitor_has_it_too,
         commands_sent_together_find_the_machine, somebody_must_be_able_to_go_on])
