# SPDX-License-Identifier: LGPL-2.1-or-later
"""TAP interfaces and bridges, in a network namespace of our own: the host's kernel is the other side.

usage: test-net-tap.py SOURCE-ROOT BUILD-ROOT BRIDGE-HELPER
"""
import contextlib
import fcntl
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time

ROOT, BUILD, HELPER = sys.argv[1:4]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import ALL, MAC, Wire, old_options, options  # noqa: E402

INSIDE = "BACKPLANE_TEST_NAMESPACE"
if INSIDE not in os.environ:
    # Twice: in namespaces of our own, if there can be any.
    probe = ["unshare", "-Urnm", "sh", "-c", "ip link set lo up && ip tuntap add probe mode tap"]
    if shutil.which("ip") and shutil.which("unshare") and \
            subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        os.execvpe("unshare", ["unshare", "-Urnm", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    print("1..0 # SKIP no TAP interfaces in namespaces here (iproute2, user namespaces, /dev/net/tun)")
    sys.exit(0)

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-tap-")
os.chdir(FOLDER)
OUT = ALL + MAC + b"\x88\xb5" + b"from the guest" * 10
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000


def ip(*words):
    return subprocess.run(["ip", *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout


@contextlib.contextmanager
def machine(netdev, pass_fds=(), words=options):
    wire = Wire(FOLDER)
    try:
        with Emulator(PROGRAM, "-M", "none", *words(FOLDER, netdev), pass_fds=pass_fds) as e:
            wire.emulator = e
            wire.ip = "10.9.0.2"
            yield wire
    finally:
        wire.close()


def interface(wire):
    text = wire.emulator.command("human-monitor-command", command_line="info network")["return"]
    return text.split("ifname=")[1].split(",")[0].split()[0]


def host_answers(wire, address="10.9.0.1"):
    """The kernel behind the interface answers pings; and it hears datagrams."""
    wire.ping(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 0))
        s.settimeout(20)
        wire.send_udp(address, 4000, s.getsockname()[1], b"to the host" * 100)
        data, source = s.recvfrom(2000)
        assert data == b"to the host" * 100
        s.sendto(b"to the guest", source)  # its checksum is left to us
        assert wire.udp(4000) == (b"to the guest", address, s.getsockname()[1])


def script(name, text):
    path = os.path.join(FOLDER, name)
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def refused(netdev, *words):
    said = fails(PROGRAM, "-M", "none", "-netdev", netdev)
    for word in words:
        assert word in said, (word, said)


def interface_has_its_name_and_the_host_answers():
    with machine("tap,ifname=lab0,script=no,downscript=no") as w:
        ip("addr", "add", "10.9.0.1/24", "dev", "lab0")
        ip("link", "set", "lab0", "up")
        host_answers(w)
    assert "lab0" not in ip("-br", "link"), "it goes with the machine"


def old_backends_are_at_hub_0():
    def is_there(w):
        text = w.emulator.command("human-monitor-command", command_line="info network")["return"]
        assert "blue: index=0," in text and "type=hubport,hub=0" in text, text
        host_answers(w)
    with machine("tap,ifname=lab9,script=no,downscript=no,name=blue", words=old_options) as w:
        ip("addr", "add", "10.9.0.1/24", "dev", "lab9")
        ip("link", "set", "lab9", "up")
        is_there(w)
    with bridge("br9"), machine("bridge,br=br9,name=blue,helper=" + HELPER, words=old_options) as w:
        forwards(w)
        is_there(w)


def kernel_names_an_interface_that_has_no_name():
    with machine("tap,script=no") as w:
        assert interface(w) in ip("-br", "link")


def scripts_configure_it_and_clear_up():
    up = script("up", 'echo "up $1" >> %s/log; ip addr add 10.9.0.1/24 dev "$1" && ip link set "$1" up\n' % FOLDER)
    down = script("down", 'echo "down $1" >> %s/log; ip -br link show "$1" >> %s/log\n' % (FOLDER, FOLDER))
    with machine("tap,ifname=lab1,script=%s,downscript=%s" % (up, down)) as w:
        host_answers(w)
        assert w.emulator.command("netdev_del", id="n") == {"return": {}}
    with open(os.path.join(FOLDER, "log"), encoding="ascii") as f:
        lines = f.read().splitlines()
    assert lines[:2] == ["up lab1", "down lab1"] and lines[2].startswith("lab1"), lines
    bad = script("bad", "exit 3\n")
    refused("tap,id=n,script=" + bad, bad, "status 3")
    refused("tap,id=n,script=/nonexistent/up", "/nonexistent/up", "script=no")


def open_descriptor_is_taken():
    with open("/dev/net/tun", "r+b", buffering=0) as f:
        fcntl.ioctl(f, TUNSETIFF, struct.pack("16sH14x", b"lab2", IFF_TAP | IFF_NO_PI))
        ip("addr", "add", "10.9.0.1/24", "dev", "lab2")
        ip("link", "set", "lab2", "up")
        with machine("tap,fd=%d" % f.fileno(), pass_fds=(f.fileno(),)) as w:
            host_answers(w)
    refused("tap,id=n,fd=0", "no TAP interface")
    refused("tap,id=n,fd=0,ifname=x", "'fd'")


def long_segments_are_cut_for_who_takes_none():
    """The kernel may hand over segments of 64 KiB: the wire's end gets frames."""
    with machine("tap,ifname=lab3,script=no") as w:
        ip("addr", "add", "10.9.0.1/24", "dev", "lab3")
        ip("link", "set", "lab3", "up")
        with socket.socket() as s:
            s.bind(("10.9.0.1", 0))
            s.listen(1)
            s.settimeout(20)
            from wire import Tcp
            c = Tcp(w, "10.9.0.1", s.getsockname()[1], 40001)
            assert c.connect()
            theirs = s.accept()[0]
            data = os.urandom(60000)
            theirs.sendall(data)
            theirs.close()
            assert c.read(len(data)) == data


@contextlib.contextmanager
def bridge(name):
    """One that the helper's rules allow."""
    ip("link", "add", name, "type", "bridge")
    try:
        ip("addr", "add", "10.9.0.1/24", "dev", name)
        ip("link", "set", name, "up")
        with open("bridge.conf", "w", encoding="ascii") as f:
            f.write("# ours\nallow %s\n" % name)
        os.chmod("bridge.conf", 0o644)
        yield
    finally:
        ip("link", "del", name)


def forwards(w):
    """Until its port of the bridge lets frames through; its name."""
    name = interface(w)
    end = time.monotonic() + 60
    while "state forwarding" not in ip("-d", "link", "show", name):
        assert time.monotonic() < end, "the port does not forward"
        time.sleep(0.05)
    return name


def helper_puts_it_on_the_bridge():
    with bridge("br7"):
        for netdev in ("bridge,br=br7,helper=" + HELPER, "tap,br=br7,helper=" + HELPER,
                       "tap,br=br7,helper=%s --use-vnet" % HELPER):
            with machine(netdev) as w:
                assert "master br7" in ip("link", "show", forwards(w))
                host_answers(w)


def helper_refuses_what_its_rules_deny():
    ip("link", "add", "br8", "type", "bridge")
    try:
        rules = [("deny br8\nallow all\n", "denied"), ("allow br9\n", "denied"), ("", "denied"),
                 ("allow all\ninclude other.conf\n", "denied"), ("permit br8\n", "is not allow"),
                 ("allow\n", "missing")]
        with open("other.conf", "w", encoding="ascii") as f:
            f.write("deny br8\n")
        for text, word in rules:
            with open("bridge.conf", "w", encoding="ascii") as f:
                f.write(text)
            refused("bridge,id=n,br=br8,helper=" + HELPER, word, "made no interface on bridge br8")
        with open("bridge.conf", "w", encoding="ascii") as f:
            f.write("allow br8\n")
        os.chmod("bridge.conf", 0o666)
        refused("bridge,id=n,br=br8,helper=" + HELPER, "not everybody can write")
        os.chmod("bridge.conf", 0o644)
        refused("bridge,id=n,br=br10,helper=" + HELPER, "denied")
        os.unlink("bridge.conf")
        run = subprocess.run([HELPER, "--br=../x", "--fd=0"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert run.returncode == 1 and b"no name of a bridge" in run.stderr, run
        run = subprocess.run([HELPER, "--br=br8", "--fd=0"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert run.returncode == 1 and b"no socket" in run.stderr, run
    finally:
        ip("link", "del", "br8")


def build_option(name):
    with open(os.path.join(BUILD, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as f:
        return next(o["value"] for o in json.load(f) if o["name"] == name)


@contextlib.contextmanager
def installed():
    """The helper, its rules and the default scripts where an installation has them; seen in this namespace alone."""
    prefix = build_option("prefix")
    layers = os.path.join(FOLDER, "layers")
    os.makedirs(layers)
    subprocess.run(["mount", "-t", "tmpfs", "layers", layers], check=True)
    mounted = []
    try:
        for n, folder in enumerate((prefix, "/etc")):
            upper, work = (os.path.join(layers, "%s%d" % (word, n)) for word in ("upper", "work"))
            os.makedirs(upper)
            os.makedirs(work)
            subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s,userxattr"
                            % (folder, upper, work), folder], check=True)
            mounted.append(folder)
        helper = os.path.join(prefix, build_option("bindir"), "backplane-bridge-helper")
        rules = os.path.join(prefix, build_option("sysconfdir"), "backplane")
        for folder in (os.path.dirname(helper), rules):
            os.makedirs(folder, exist_ok=True)
        shutil.copy(os.path.join(BUILD, "backplane-bridge-helper"), helper)
        with open(os.path.join(rules, "bridge.conf"), "w", encoding="ascii") as f:
            f.write("allow br0\nallow qemubr0\n")
        yield helper
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", folder], check=True)
        subprocess.run(["umount", "-l", layers], check=True)
        os.rmdir(layers)


def put_on(bridge_name, *words):
    """A PC with these words has its interface on the bridge."""
    with Emulator(PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", *words):
        assert "master " + bridge_name in ip("link", "show", "type", "tun"), ip("link")


def installed_helper_serves_br0():
    with installed() as helper:
        with bridge("br0"):
            for netdev in ("bridge", "bridge,br=br0", "tap,br=br0", "tap,helper=" + helper):
                with machine(netdev) as w:
                    assert "master br0" in ip("link", "show", forwards(w))
                    host_answers(w)
            card = ("-device", "virtio-net-pci,netdev=n1")
            put_on("br0", "-netdev", "bridge,id=n1", *card)
            put_on("br0", *card, "-netdev", "tap,id=n1,helper=" + helper)
            put_on("br0", "-nic", "bridge,model=virtio-net-pci")
        with bridge("qemubr0"):
            put_on("qemubr0", "-netdev", "bridge,br=qemubr0,id=n1", "-device", "virtio-net-pci,netdev=n1")
            with machine("bridge,br=qemubr0") as w:
                forwards(w)
                host_answers(w)
        with bridge("br5"):
            refused("bridge,id=n,br=br5", "denied")


def default_scripts_are_run():
    with installed():
        for name in ("ifup", "ifdown"):
            with open("/etc/qemu-" + name, "w", encoding="ascii") as f:
                f.write("#!/bin/sh\necho \"%s $1\" >> %s/defaults\n" % (name, FOLDER))
                f.write('ip addr add 10.9.0.1/24 dev "$1"; ip link set "$1" up\n' if name == "ifup" else "")
            os.chmod("/etc/qemu-" + name, 0o755)
        with machine("tap") as w:
            name = interface(w)
            host_answers(w)
            w.emulator.command("quit")
            w.emulator.process.wait(60)
        with open("defaults", encoding="ascii") as f:
            said = f.read().splitlines()
        assert said == ["ifup " + name, "ifdown " + name], said
        os.unlink("defaults")
        with Emulator(PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", "-nic", "tap"):
            with open("defaults", encoding="ascii") as f:
                assert f.read().startswith("ifup tap")
        os.unlink("defaults")
        # The manual's two cards on two interfaces; and each interface carries its own frames.
        two = ["-netdev", "tap,id=nd0,ifname=tap0", "-netdev", "tap,id=nd1,ifname=tap1"]
        cards = ["-device", "e1000,netdev=nd0", "-device", "rtl8139,netdev=nd1"]
        with Emulator(PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", *two, *cards):
            there = ip("-br", "link")
            assert "tap0" in there and "tap1" in there, there


def two_interfaces_carry_frames_of_their_own():
    folders = [os.path.join(FOLDER, name) for name in ("one", "two")]
    for folder in folders:
        os.mkdir(folder)
    wires = [Wire(folder) for folder in folders]
    words = []
    for n, folder in enumerate(folders):
        words += [word.replace("id=wire", "id=wire%d" % n).replace("netdev=wire", "netdev=wire%d" % n)
                  .replace("hubid=1", "hubid=%d" % (n + 1)).replace("id=p", "id=p%d" % n)
                  for word in options(folder, "tap,ifname=tap%d,script=no,downscript=no" % n, "nd%d" % n)]
    with Emulator(PROGRAM, "-M", "none", *words):
        for n, wire in enumerate(wires):
            wire.ip = "10.9.%d.2" % n
            ip("addr", "add", "10.9.%d.1/24" % n, "dev", "tap%d" % n)
            ip("link", "set", "tap%d" % n, "up")
        for n, wire in enumerate(wires):
            host_answers(wire, "10.9.%d.1" % n)
        for wire in wires:
            while True:
                frame = wire.frame(0.2)
                if frame is None:
                    break
                assert b"to the" not in frame, "it has gone to the other one"
    for wire in wires:
        wire.close()


def name_with_several_addresses_is_tried_in_turn():
    """By a file of names of our own: only one address of three is served."""
    with open("hosts", "w", encoding="ascii") as f:
        f.write("::1 several\n127.0.0.1 several\n127.0.0.2 several\n")
    ip("link", "set", "lo", "up")
    subprocess.run(["mount", "--bind", "hosts", "/etc/hosts"], check=True)
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo("several", 1, type=socket.SOCK_STREAM)}
        assert {"::1", "127.0.0.1"} <= addresses, addresses
        for address in sorted(addresses):
            for keys in ("", ",reconnect-ms=50"):
                with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
                    server.bind((address, 0))
                    server.listen(1)
                    server.settimeout(20)
                    with machine("stream,server=off,addr.type=inet,addr.host=several,addr.port=%d%s"
                                 % (server.getsockname()[1], keys)) as w, server.accept()[0] as c:
                        c.settimeout(20)
                        end = time.monotonic() + 20  # what comes before the link is up is lost
                        while not select.select([c], [], [], 0.2)[0]:
                            assert time.monotonic() < end, (address, keys)
                            w.send(OUT)
                        assert tap.recv_all(c, 4 + len(OUT))[4:] == OUT
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)


def who_insists_on_vhost_is_told():
    refused("tap,id=n,script=no,vhostforce=on", "vhostforce=on", "vhost-net", "vhost=off")
    refused("tap,id=n,script=no,vhost=on,vhostforce=on", "vhostforce=on", "vhost-net", "vhost=off")
    refused("tap,id=n,script=no,vhostfd=7", "vhostfd", "vhost-net")
    refused("tap,id=n,script=no,vhost=off,vhostfd=7", "vhost=off")


def who_wishes_for_vhost_does_without():
    for key, told in (("on", True), ("off", False), ("auto", False)):
        with machine("tap,script=no,ifname=lab1,vhost=" + key) as w:
            ip("addr", "add", "10.9.0.1/24", "dev", "lab1")
            ip("link", "set", "lab1", "up")
            host_answers(w)
            w.emulator.process.kill()
            text = w.emulator.process.stderr.read()
            assert ("vhost=on: " in text and "vhostforce=on" in text) == told, text


def name_that_is_too_long_is_refused():
    refused("tap,id=n,script=no,ifname=abcdefghijklmnopq", "at most 15")
    refused("tap,id=n,helper=/nonexistent/helper", "/nonexistent/helper")


tap.run([interface_has_its_name_and_the_host_answers, old_backends_are_at_hub_0,
         kernel_names_an_interface_that_has_no_name,
         scripts_configure_it_and_clear_up, open_descriptor_is_taken, long_segments_are_cut_for_who_takes_none,
         helper_puts_it_on_the_bridge, helper_refuses_what_its_rules_deny, installed_helper_serves_br0,
         default_scripts_are_run, two_interfaces_carry_frames_of_their_own,
         name_with_several_addresses_is_tried_in_turn, who_insists_on_vhost_is_told, who_wishes_for_vhost_does_without,
         name_that_is_too_long_is_refused])
