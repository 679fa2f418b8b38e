# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel with its own drivers on our NICs, through user networking to real servers on the host."""
import hashlib
import os
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import BINARY, BUILD, SLOW, Console, Tap  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(prefix="backplane-network-")
MODELS = {"e1000": ("e1000",), "rtl8139": ("8139cp",),
          "virtio-net-pci": ("virtio_pci", "virtio_net")}


def built(model):
    return os.path.exists(os.path.join(BUILD, "modules", "hw-%s.so" % model.replace("-pci", "")))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def talks_to_the_host(model):
    data = os.urandom(1500000)
    with open(os.path.join(FOLDER.name, "file"), "wb") as f:
        f.write(data)
    port = free_port()
    with network.web(FOLDER.name) as server, \
            network.Guest(MODELS[model] + ("8021q",), "-nic", "user,model=%s,hostfwd=tcp:127.0.0.1:%d-:80" % (model, port)) as g:
        assert "52:54:00:12:34:56" in g.run("ip link show eth0")
        g.dhcp()
        assert "10.0.2.15/24" in g.run("ip addr show eth0")
        g.run("ping -c 3 -s 1000 10.0.2.2")
        g.run("ping -c 1 fec0::2 || { sleep 5; ping -c 2 fec0::2; }", 120)
        assert hashlib.sha256(data).hexdigest() in \
            g.run("wget -q -O - http://10.0.2.2:%d/file | sha256sum" % server.server_port, 180)
        g.run("dd if=/dev/zero of=/tmp/z bs=1000 count=1500 2>/dev/null; (printf 'PUT /x HTTP/1.0\\r\\nContent-Length: "
              "1500000\\r\\n\\r\\n'; cat /tmp/z) | nc 10.0.2.2 %d" % server.server_port, 180)
        assert server.received == hashlib.sha256(bytes(1500000)).hexdigest()
        g.run("mkdir /tmp/www; echo from the guest > /tmp/www/index.html; httpd -p 80 -h /tmp/www")
        with socket.create_connection(("127.0.0.1", port), 30 * SLOW) as s:
            s.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            s.settimeout(30 * SLOW)
            answer = b""
            while b"from the guest" not in answer:
                part = s.recv(4096)
                assert part, answer
                answer += part
        g.run("ip link set eth0 down; ip link set eth0 up; sleep 1", 90)
        g.dhcp()
        g.run("ping -c 1 10.0.2.2")
        module = MODELS[model][-1].replace("-", "_")
        g.run("rmmod %s && insmod /modules/%s.ko; sleep 1" % (module, MODELS[model][-1]), 90)
        g.dhcp()
        g.run("ping -c 1 10.0.2.2")
        bad = g.run("dmesg | grep -E 'timed out|Unit Hang|Reset adapter|BUG:|Oops|does not load' | sed 's/^/bad: /'")
        assert "bad: [" not in bad, bad


def cable_is_pulled_and_put_back():
    path = os.path.join(FOLDER.name, "monitor")
    with network.Guest(MODELS["e1000"], "-nic", "user,model=e1000,id=n", "-monitor", "unix:%s,server=on,wait=off" % path) as g:
        g.dhcp()
        assert g.run("cat /sys/class/net/eth0/carrier").strip().endswith("1")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"set_link n off\n")
            g.run("for i in $(seq 60); do grep -q 0 /sys/class/net/eth0/carrier && break; sleep 0.5; done; "
                  "grep 0 /sys/class/net/eth0/carrier", 120)
            assert g.status("ping -c 1 -W 1 10.0.2.2")[0] != 0
            s.sendall(b"set_link n on\n")
            g.run("for i in $(seq 60); do grep -q 1 /sys/class/net/eth0/carrier && break; sleep 0.5; done; "
                  "ping -c 3 10.0.2.2", 120)


def two_guests_hear_each_other(keys_one, keys_two):
    with network.Guest(MODELS["e1000"], "-nic", "%s,model=e1000,mac=52:54:00:00:00:01" % keys_one) as a, \
            network.Guest(MODELS["e1000"], "-nic", "%s,model=e1000,mac=52:54:00:00:00:02" % keys_two) as b:
        for g, address in ((a, "10.1.1.1/24"), (b, "10.1.1.2/24")):
            g.run("ip addr add %s dev eth0; ip link set eth0 up; sleep 2" % address, 60)
        a.run("ping -c 3 10.1.1.2", 60)
        b.run("ping -c 3 -s 1400 10.1.1.1", 60)
        a.run("nc -l -p 99 > /tmp/got & sleep 1")
        b.run("dd if=/dev/zero bs=1000 count=300 2>/dev/null | nc -w 20 10.1.1.1 99", 120)
        assert "300000" in a.run("sleep 1; wc -c < /tmp/got")


def firmware_boots_from_the_network():
    """SeaBIOS, the card's iPXE, DHCP and TFTP: a script of iPXE's that says what it has loaded."""
    if not os.path.exists("/usr/lib/ipxe/qemu/efi-e1000.rom") or not os.path.exists("/usr/share/seabios"):
        return "skipped: ipxe-qemu or seabios is not installed"
    with open(os.path.join(FOLDER.name, "boot.ipxe"), "w", encoding="ascii") as f:
        f.write("#!ipxe\necho loaded-by-${net0/mac}-from-${next-server}\npoweroff\n")
    console = Console([BINARY, "-m", "64", "-nodefaults", "-nographic", "-serial", "stdio", "-boot", "n", "-nic",
                       "user,model=e1000,tftp=%s,bootfile=/boot.ipxe" % FOLDER.name])
    try:
        console.expect("loaded-by-52:54:00:12:34:56-from-10.0.2.2", 300)
    finally:
        console.close()
    return None


STREAM = os.path.join(FOLDER.name, "wire")
NAMES = {"guest_on_e1000_talks_to_the_host": "e1000", "guest_on_rtl8139_talks_to_the_host": "rtl8139",
         "guest_on_virtio_talks_to_the_host": "virtio-net-pci"}
cases = {name: (talks_to_the_host, model) for name, model in NAMES.items() if built(model)}
cases["cable_is_pulled_and_put_back"] = (cable_is_pulled_and_put_back,)
cases["firmware_boots_from_the_network"] = (firmware_boots_from_the_network,)
cases["two_guests_hear_each_other"] = (two_guests_hear_each_other, "stream,server=on,addr.type=unix,addr.path=" + STREAM,
                                       "stream,addr.type=unix,addr.path=%s,reconnect-ms=200" % STREAM)
tap = Tap()
wanted = sys.argv[1:]
for name, (function, *args) in cases.items():
    if not wanted or name in wanted:
        tap.case(name, function, *args)
FOLDER.cleanup()
tap.done()
