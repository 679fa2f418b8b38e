# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cards of the nineties under Debian's own drivers: several in one guest, each with a network of its own, then together."""
import contextlib
import hashlib
import os
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import BUILD, SLOW, Tap  # noqa: E402

DRIVERS = {"ne2k_pci": "ne2k-pci", "pcnet": "pcnet32", "tulip": "tulip", "i82559c": "e100"}
MODULES = {"ne2k_pci": "hw-ne2k-pci", "pcnet": "hw-pcnet", "tulip": "hw-tulip", "i82559c": "hw-i8255x"}
# e100 wants a file of micro-code for the 82551, which is not free: not here.
FAMILY = ("i82557a", "i82557b", "i82557c", "i82558a", "i82558b", "i82559a", "i82559b", "i82559er", "i82550", "i82562", "i82801")
CARDS = [c for c in DRIVERS if os.path.exists(os.path.join(BUILD, "modules", MODULES[c] + ".so"))]
FOLDER = tempfile.TemporaryDirectory(prefix="backplane-cards-")


def mac(n):
    return "52:54:00:00:00:%02x" % (n + 1)


def device(card, n):
    return "%s,netdev=n%d,id=c%d,mac=%s" % (card, n, n, mac(n))


def named(g, n):
    """Interface of the card with address n is called nN."""
    g.run("for i in $(seq 60); do I=$(grep -il %s /sys/class/net/*/address | cut -d/ -f5); [ -n \"$I\" ] && break; sleep 0.5; "
          "done; [ $I = n%d ] || ip link set $I name n%d" % (mac(n), n, n), 90)


@contextlib.contextmanager
def guest(cards, netdev, *more):
    """`netdev`: of card n, as a format string."""
    options = [word for n, card in enumerate(cards)
               for word in ("-netdev", netdev % {"n": n}, "-device", device(card, n))]
    drivers = tuple(DRIVERS[c] for c in CARDS) + ("8021q",)
    with network.Guest(drivers, *options, *more, memory="160") as g:
        for n in range(len(cards)):
            named(g, n)
        yield g


class Monitor:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(60 * SLOW)
        self.heard()

    def heard(self):
        text = b""
        while not text.endswith(b") "):
            text += self.socket.recv(4096)
        return text.decode(errors="replace")

    def run(self, command):
        self.socket.sendall(command.encode() + b"\n")
        return self.heard()


def no_trouble(g):
    bad = g.run("dmesg | grep -iE 'timed out|timeout|BUG:|Oops|does not load|corrupted|hung|stuck|unexpected' | sed 's/^/bad: /'")
    assert "bad: [" not in bad, bad


def up(g, n):
    g.run("ip link set n%d up" % n)
    g.run("udhcpc -s /udhcpc.script -i n%d -n -q -t 10 -T 2" % n, 90)


def down(g, n):
    g.run("ip -4 addr flush dev n%d; ip link set n%d down" % (n, n))


def one_talks(g, n, server, sha):
    up(g, n)
    assert "10.0.2.15/24" in g.run("ip addr show n%d" % n)
    g.run("ping -c 3 -s 1400 10.0.2.2")
    g.run("ping -c 1 fec0::2 || { sleep 5; ping -c 2 fec0::2; }", 120)
    assert sha in g.run("wget -q -O - http://10.0.2.2:%d/file | sha256sum" % server.server_port, 180)
    g.run("dd if=/dev/zero of=/tmp/z bs=1000 count=400 2>/dev/null; (printf 'PUT /x HTTP/1.0\\r\\nContent-Length: "
          "400000\\r\\n\\r\\n'; cat /tmp/z) | nc 10.0.2.2 %d" % server.server_port, 180)
    assert server.received == hashlib.sha256(bytes(400000)).hexdigest()
    server.received = None
    down(g, n)
    up(g, n)
    g.run("ping -c 1 10.0.2.2")


def link_goes_and_comes(g, n, monitor):
    """Cards that can tell it lose their carrier; the others just hear nothing."""
    monitor.run("set_link n%d off" % n)
    if CARDS[n] in ("pcnet", "i82559c"):
        g.run("for i in $(seq 60); do grep -q 0 /sys/class/net/n%d/carrier && break; sleep 0.5; done; "
              "grep 0 /sys/class/net/n%d/carrier" % (n, n), 90)
    assert g.status("ping -c 1 -W 1 10.0.2.2")[0] != 0
    monitor.run("set_link n%d on" % n)
    g.run("for i in $(seq 60); do ping -c 1 -W 1 10.0.2.2 && break; sleep 0.5; done; ping -c 2 10.0.2.2", 120)


def reloads(g, n):
    down(g, n)
    module = DRIVERS[CARDS[n]]
    g.run("rmmod %s && insmod /modules/%s.ko" % (module.replace("-", "_"), module), 90)
    named(g, n)
    up(g, n)
    g.run("ping -c 1 10.0.2.2")


def is_plugged(g, n, monitor):
    """While it is at work."""
    g.run("(ping -i 0.02 -s 1000 10.0.2.2 >/dev/null 2>&1 &); sleep 1")
    monitor.run("device_del c%d" % n)
    g.run("for i in $(seq 60); do [ -e /sys/class/net/n%d ] || break; sleep 0.5; done; ! [ -e /sys/class/net/n%d ]" % (n, n), 90)
    g.run("killall ping; true")
    end = time.monotonic() + 60
    while "Duplicate" in (heard := monitor.run("device_add " + device(CARDS[n], n))) and time.monotonic() < end:
        time.sleep(0.2)  # the driver lets go of it before the guest ejects the slot
    assert "rror" not in heard, heard
    named(g, n)
    up(g, n)
    g.run("ping -c 3 10.0.2.2")
    down(g, n)


def cards_talk_to_the_host():
    data = os.urandom(400000)
    with open(os.path.join(FOLDER.name, "file"), "wb") as f:
        f.write(data)
    path = os.path.join(FOLDER.name, "monitor")
    with network.web(FOLDER.name) as server, \
            guest(CARDS, "user,id=n%(n)d", "-monitor", "unix:%s,server=on,wait=off" % path) as g:
        monitor = Monitor(path)
        for n in range(len(CARDS)):
            one_talks(g, n, server, hashlib.sha256(data).hexdigest())
            link_goes_and_comes(g, n, monitor)
            reloads(g, n)
            is_plugged(g, n, monitor)
        no_trouble(g)


def cards_hear_each_other():
    """On one hub, each in a network of its own in the guest: IPv6 by groups, all sizes, VLANs, streams."""
    last = len(CARDS) - 1
    with guest(CARDS, "hubport,hubid=1,id=n%(n)d") as g:
        for n in range(len(CARDS)):
            g.run("unshare -n sleep 9999 & P%d=$!; sleep 1; ip link set n%d netns $P%d" % (n, n, n))
            g.run("in%d() { nsenter -t $P%d -n \"$@\"; }" % (n, n))
            g.run("in%d ip link set n%d up; in%d ip addr add 10.1.0.%d/24 dev n%d" % (n, n, n, n + 1, n))
            g.run("in%d ip link add link n%d name v%d type vlan id 7; in%d ip link set v%d up; "
                  "in%d ip addr add 10.7.0.%d/24 dev v%d; in%d ip -6 addr add fd00::%d/64 dev n%d" % (
                      n, n, n, n, n, n, n + 1, n, n, n + 1, n))
        time.sleep(2)
        for n in range(len(CARDS)):
            to = (n + 1) % len(CARDS)
            g.run("for s in 0 1 17 18 19 46 100 212 213 214 215 216 468 1000 1470 1471 1472; do "
                  "in%d ping -c 1 -W 5 -s $s 10.1.0.%d >/dev/null || { echo size $s; false; break; }; done" % (n, to + 1), 120)
            g.run("in%d ping -c 2 -s 1472 10.7.0.%d" % (n, to + 1))
            g.run("in%d ping -6 -c 1 fd00::%d || { sleep 2; in%d ping -6 -c 2 fd00::%d; }" % (n, to + 1, n, to + 1), 90)
            g.run("in%d nc -l -p 99 > /tmp/got & sleep 1" % to)
            g.run("dd if=/dev/urandom of=/tmp/sent bs=1000 count=600 2>/dev/null; in%d nc -w 20 10.1.0.%d 99 < /tmp/sent; sleep 1; "
                  "cmp /tmp/sent /tmp/got" % (n, to + 1), 180)
        g.run("in%d cat /proc/net/dev" % last)
        no_trouble(g)


def whole_family_talks():
    with guest(FAMILY, "user,id=n%(n)d") as g:
        for n in range(len(FAMILY)):
            up(g, n)
            g.run("ping -c 2 -s 1400 10.0.2.2")
            down(g, n)
        no_trouble(g)


tap = Tap()
cases = {"cards_talk_to_the_host": cards_talk_to_the_host, "cards_hear_each_other": cards_hear_each_other}
if "i82559c" in CARDS:
    cases["whole_family_talks"] = whole_family_talks
for name, function in cases.items():
    if not sys.argv[1:] or name in sys.argv[1:]:
        tap.case(name, function)
FOLDER.cleanup()
tap.done()
