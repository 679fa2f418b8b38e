# SPDX-License-Identifier: LGPL-2.1-or-later
"""User Mode Linux beside a machine, in the multicast group that the manual names: a network namespace of the test's, whose
loopback carries the group.

usage: test-net-uml.py SOURCE-ROOT BUILD-ROOT SHIM
"""
import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading

SOURCE, BUILD, SHIM = (os.path.realpath(path) for path in sys.argv[1:4])
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))

import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from wire import MAC, Wire, checksum, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-uml-")
CLONE_NEWNET = 0x40000000
HERE, THERE, THEIR_MAC = "10.9.9.1", "10.9.9.2", bytes.fromhex("525400000077")
INIT = """#!/bin/sh
b=/bin/busybox
$b ip link set eth0 up
$b ip addr add %s/24 dev eth0
echo is up
$b ping -c 3 -s 1000 -W 30 %s
exec $b sleep 600
""" % (THERE, HERE)


def reason_not_to():
    if os.geteuid() != 0:
        return "only root may make device files and networks"
    if not os.path.exists("/usr/bin/linux.uml"):
        return "no user-mode-linux"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        return "no network namespace can be made"
    for words in ("link set lo up multicast on", "route add 224.0.0.0/4 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    return None


def initrd():
    root, path = os.path.join(FOLDER, "root"), os.path.join(FOLDER, "initrd")
    for name in ("bin", "dev"):
        os.makedirs(os.path.join(root, name))
    subprocess.run(["cp", "/bin/busybox", os.path.join(root, "bin")], check=True)
    os.symlink("busybox", os.path.join(root, "bin/sh"))
    os.mknod(os.path.join(root, "dev/console"), 0o20600, os.makedev(5, 1))
    with open(os.path.join(root, "init"), "w", encoding="ascii") as f:
        f.write(INIT)
    os.chmod(os.path.join(root, "init"), 0o755)
    names = "\n".join(["."] + [os.path.relpath(os.path.join(where, name), root)
                               for where, folders, files in os.walk(root) for name in folders + files])
    with open(path, "wb") as f:
        subprocess.run(["cpio", "-o", "--quiet", "-H", "newc"], input=names.encode(), stdout=f, cwd=root, check=True)
    return path


def answers(wire):
    """Answers what is asked of us until the other has counted its three answers; how many there were."""
    seen = set()
    while len(seen) < 3:
        frame = wire.wait(lambda f: f if f[:6] == MAC and wire.ip_of(f, 1, THERE) else None, 60, "a question")
        body = wire.ip_of(frame, 1, THERE)[0]
        assert frame[6:12] == THEIR_MAC and body[0] == 8 and len(body) == 1008, frame
        seen.add(struct.unpack(">H", body[6:8])[0])
        wire.send_ip(THERE, 1, b"\0\0" + struct.pack(">H", checksum(b"\0\0\0\0" + body[4:])) + body[4:], mac=THEIR_MAC)


def wait_for(uml, text):
    said = ""
    while text not in said:
        line = uml.stdout.readline()
        assert line, "User Mode Linux ended: " + said[-2000:]
        said += line


def user_mode_linux_and_a_machine_share_the_group():
    wire = Wire(FOLDER)
    wire.ip = HERE
    with Emulator(PROGRAM, "-M", "none", *options(FOLDER, "socket,mcast=239.192.168.1:1102")):
        uml = subprocess.Popen(["linux.uml", "mem=64M", "initrd=" + initrd(), "eth0=mcast," + THEIR_MAC.hex(":"), "quiet",
                                "con0=fd:0,fd:1", "con=null", "umid=bp", "uml_dir=" + FOLDER + "/"], cwd=FOLDER,
                               env=dict(os.environ, LD_PRELOAD=SHIM), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True)
        late = threading.Timer(200, uml.kill)
        late.start()
        try:
            wait_for(uml, "is up")
            answers(wire)
            wait_for(uml, "3 packets received")
            wire.ping(THERE)
        finally:
            late.cancel()
            os.killpg(uml.pid, signal.SIGKILL)
            uml.wait()
            wire.close()


REASON = reason_not_to()
if REASON:
    print("1..0 # SKIP", REASON)
else:
    tap.run([user_mode_linux_and_a_machine_share_the_group])
