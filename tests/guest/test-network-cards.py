# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's drivers on e1000e, igb and vmxnet3, all in one guest: to real servers on the host, to each other with jumbo
frames and VLANs, ethtool's self-tests, cables, drivers that leave and come back, cards that are plugged in and out."""
import hashlib
import os
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import BINARY, SLOW, Console, Tap  # noqa: E402
from packages import package_tree  # noqa: E402

CARDS = ("e1000e", "igb", "vmxnet3")
FOLDER = tempfile.TemporaryDirectory(prefix="backplane-cards-")


class Cards(network.MonitoredGuest):
    """A guest with one card of each kind on user networking, which are eth0 to eth2, three slots for more, and QMP."""

    def __init__(self):
        ports, options = {}, ["-M", "q35", "-smp", "2"]
        for n, card in enumerate(CARDS):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                ports[card] = s.getsockname()[1]
            options += ["-netdev", "user,id=n%d,hostfwd=tcp:127.0.0.1:%d-:80" % (n, ports[card]),
                        "-device", "%s,netdev=n%d,addr=%d,mac=52:54:00:00:00:0%d" % (card, n, 4 + n, n),
                        "-device", "pcie-root-port,id=slot%d,addr=%d,chassis=%d,slot=%d" % (n, 8 + n, n + 1, n + 1)]
        super().__init__((*CARDS, "8021q"), *options, memory="256", boot=240,
                         programs=(package_tree("ethtool") + "/sbin/ethtool",))
        self.ports = ports


class Lazy:
    """The guest, booted when a case wants it, and anew after one that failed."""
    guest = None

    def get(self):
        self.guest = self.guest or Cards()
        return self.guest

    def close(self):
        if self.guest:
            self.guest.close()
        self.guest = None


LAZY = Lazy()


def fetch(port, path):
    with socket.create_connection(("127.0.0.1", port), 30 * SLOW) as s:
        s.settimeout(60 * SLOW)
        s.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path)
        answer = b""
        while part := s.recv(65536):
            answer += part
    return answer.split(b"\r\n\r\n", 1)[1]


def exchange(g, card, server, data):
    """Data over TCP both ways, from either end."""
    assert hashlib.sha256(data).hexdigest() in \
        g.run("wget -q -O - http://10.0.2.2:%d/file | sha256sum" % server.server_port, 180)
    g.run("(printf 'PUT /x HTTP/1.0\\r\\nContent-Length: 1500000\\r\\n\\r\\n'; head -c 1500000 /dev/zero) | nc 10.0.2.2 %d"
          % server.server_port, 180)
    assert server.received == hashlib.sha256(bytes(1500000)).hexdigest()
    g.run("mkdir -p /tmp/www; cp /modules/%s.ko /tmp/www/m; httpd -p 80 -h /tmp/www" % card)
    want = g.run("sha256sum < /tmp/www/m")
    assert hashlib.sha256(fetch(g.ports[card], b"/m")).hexdigest() in want
    g.run("killall httpd")


def talks_to_the_host(card):
    g, n = LAZY.get(), CARDS.index(card)
    eth, data = "eth%d" % n, os.urandom(1500000)
    with open(os.path.join(FOLDER.name, "file"), "wb") as f:
        f.write(data)
    g.run("for e in eth0 eth1 eth2; do ip link set $e down; done; cd -P /sys/class/net/%s/device/driver; "
          "test $(basename $PWD) = %s; cd /" % (eth, card))
    assert "52:54:00:00:00:0%d" % n in g.run("ip link show " + eth)
    g.dhcp(eth)
    assert "10.0.2.15/24" in g.run("ip addr show " + eth)
    g.run("ping -c 3 -s 1000 10.0.2.2")
    g.run("ping -c 1 fec0::2 || { sleep 5; ping -c 2 fec0::2; }", 120)
    with network.web(FOLDER.name) as server:
        exchange(g, card, server, data)
    g.qmp("set_link", name="n%d" % n, up=False)
    g.until("grep -q 0 /sys/class/net/%s/carrier" % eth)
    assert g.status("ping -c 1 -W 1 10.0.2.2")[0] != 0
    g.qmp("set_link", name="n%d" % n, up=True)
    g.until("grep -q 1 /sys/class/net/%s/carrier" % eth)
    g.run("ping -c 3 10.0.2.2")
    g.run("rmmod %s && insmod /modules/%s.ko; ip link set %s up; sleep 1" % (card, card, eth), 90)
    g.dhcp(eth)
    g.run("ping -c 1 10.0.2.2")
    quiet(g)


def quiet(g):
    bad = g.run("dmesg | grep -E 'timed out|Unit Hang|Reset adapter|BUG:|Oops|WARNING|does not load' | sed 's/^/bad: /'")
    assert "bad: [" not in bad, bad


def tests_itself(card):
    g, n = LAZY.get(), CARDS.index(card)
    eth = "eth%d" % n
    g.run("ip link set %s up" % eth)
    g.until("grep -q 1 /sys/class/net/%s/carrier" % eth)
    text = g.run("ethtool -t %s offline" % eth, 200)
    assert "PASS" in text, text
    text = g.run("ethtool -S %s" % eth)
    assert "rx_packets" in text, text
    g.run("ip link set %s up" % eth)
    g.until("grep -q 1 /sys/class/net/%s/carrier" % eth)
    g.dhcp(eth)
    g.run("ping -c 1 10.0.2.2; ip link set %s down" % eth)


def plug(g):
    """One more of each kind, on a hub, in a network of its own; the guest's numbers of these networks."""
    networks = []
    for n, card in enumerate(CARDS):
        g.qmp("netdev_add", type="hubport", id="h%d" % n, hubid=1)
        g.qmp("device_add", driver=card, id="c%d" % n, bus="slot%d" % n, netdev="h%d" % n, mac="52:54:00:00:01:0%d" % n)
        eth = "eth3"  # the one before has left this network
        g.until("test -e /sys/class/net/" + eth)
        pid = g.run("unshare -n sleep 9999 & echo =$!").split("=")[-1].split()[0]
        g.until('test "$(readlink /proc/%s/ns/net)" != "$(readlink /proc/self/ns/net)"' % pid)
        g.run("ip link set %s netns %s; nsenter -t %s -n ip link set %s mtu 9000" % (eth, pid, pid, eth))
        g.run("nsenter -t {0} -n sh -c 'ip addr add 10.1.0.{1}/24 dev {2}; ip link set {2} up; ip link add link {2} name v5 "
              "type vlan id 5; ip addr add 10.5.0.{1}/24 dev v5; ip link set v5 up'".format(pid, n + 1, eth))
        networks.append(pid)
    for n, pid in enumerate(networks):
        g.run("nsenter -t %s -n sh -c 'for i in $(seq 20); do ping -c 1 -W 1 10.1.0.%d && break; done'" %
              (pid, (n + 1) % 3 + 1), 90)
    return networks


def cards_hear_each_other():
    g = LAZY.get()
    networks = plug(g)
    g.run("head -c 3000000 /dev/urandom > /tmp/data")
    want = g.run("sha256sum < /tmp/data").split()[-2]
    for n, pid in enumerate(networks):
        other = (n + 1) % 3
        g.run("nsenter -t %s -n ping -c 2 -s 8900 10.1.0.%d" % (pid, other + 1))
        g.run("nsenter -t %s -n ping -c 2 -s 3000 10.5.0.%d" % (pid, other + 1))
        g.run("nsenter -t %s -n nc -l -p 99 > /tmp/got & sleep 1" % networks[other])
        g.run("nsenter -t %s -n nc -w 20 10.5.0.%d 99 < /tmp/data" % (pid, other + 1), 120)
        g.until("test $(wc -c < /tmp/got) = 3000000", 30)
        assert want in g.run("sha256sum < /tmp/got"), "what %s sent is not what %s got" % (CARDS[n], CARDS[other])
    for n, pid in enumerate(networks):
        assert "52:54:00:00:01:0%d" % n in g.run("nsenter -t %s -n ip link" % pid)
        g.qmp("device_del", id="c%d" % n)
        g.until("! nsenter -t %s -n ip link | grep -q 52:54:00:00:01" % pid, 60)
    quiet(g)


def firmware_boots_from(card):
    """SeaBIOS, the card's iPXE, DHCP and TFTP: a script of iPXE's that says what it has loaded."""
    if not os.path.exists("/usr/lib/ipxe/qemu/efi-%s.rom" % card) or not os.path.exists("/usr/share/seabios"):
        return "skipped: ipxe-qemu or seabios is not installed"
    with open(os.path.join(FOLDER.name, "boot.ipxe"), "w", encoding="ascii") as f:
        f.write("#!ipxe\necho loaded-by-${net0/mac}-from-${next-server}\npoweroff\n")
    console = Console([BINARY, "-m", "64", "-nodefaults", "-nographic", "-serial", "stdio", "-boot", "n", "-nic",
                       "user,model=%s,tftp=%s,bootfile=/boot.ipxe" % (card, FOLDER.name)])
    try:
        console.expect("loaded-by-52:54:00:12:34:56-from-10.0.2.2", 300)
    finally:
        console.close()
    return None


def in_guest(function, *args):
    try:
        function(*args)
    except BaseException:
        LAZY.close()
        raise


cases = {"guest_on_e1000e_talks_to_the_host": (in_guest, talks_to_the_host, "e1000e"),
         "guest_on_igb_talks_to_the_host": (in_guest, talks_to_the_host, "igb"),
         "guest_on_vmxnet3_talks_to_the_host": (in_guest, talks_to_the_host, "vmxnet3"),
         "e1000e_passes_its_drivers_tests": (in_guest, tests_itself, "e1000e"),
         "igb_passes_its_drivers_tests": (in_guest, tests_itself, "igb"),
         "cards_come_and_go_and_hear_each_other": (in_guest, cards_hear_each_other),
         "firmware_boots_from_e1000e": (firmware_boots_from, "e1000e"),
         "firmware_boots_from_vmxnet3": (firmware_boots_from, "vmxnet3")}
tap = Tap()
wanted = sys.argv[1:]
for name, (function, *args) in cases.items():
    if not wanted or name in wanted:
        tap.case(name, function, *args)
LAZY.close()
FOLDER.cleanup()
tap.done()
