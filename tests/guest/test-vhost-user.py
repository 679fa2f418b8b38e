# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel on a network card whose rings DPDK's testpmd serves, in a network namespace of its own."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import SLOW, Tap  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(prefix="backplane-vhost-")
SOCKET = os.path.join(FOLDER.name, "socket")
DRIVERS = ("virtio_pci", "virtio_net")
# testpmd forwards between the guest's card and a TAP interface, behind which a web server listens.
SCRIPT = """
ip link set lo up
sleep 3000 | dpdk-testpmd --no-huge -m 256 --no-pci --file-prefix=%(prefix)s -l 0-1 --vdev net_vhost0,iface=%(socket)s,queues=%(queues)d \
    --vdev net_tap0,iface=dtap0 -- --forward-mode=io --auto-start --total-num-mbufs=16384 --no-mlockall \
    --rxq=%(queues)d --txq=%(queues)d &
until ip addr add 10.7.0.1/24 dev dtap0; do sleep 0.2; done 2>/dev/null
ip link set dtap0 up
exec %(python)s -c 'import sys; sys.path.insert(0, "%(here)s"); import network, time
with network.web("%(folder)s", "10.7.0.1") as s:
    open("%(folder)s/port", "w").write(str(s.server_port))
    while True:
        time.sleep(0.2)
        open("%(folder)s/received", "w").write(getattr(s, "received", ""))'
"""
UNSHARE = ["unshare", "-Urn", "--kill-child"]


def missing():
    if not shutil.which("dpdk-testpmd"):
        return "skipped: dpdk-testpmd (dpdk-dev) is not installed"
    probe = [*UNSHARE, "ip", "tuntap", "add", "probe", "mode", "tap"]
    if subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        return "skipped: no TAP interfaces in namespaces here"
    return None


class Testpmd:
    count = 0

    def __init__(self, queues):
        Testpmd.count += 1
        self.remove("port")
        script = SCRIPT % {"prefix": "vhost-%d-%d" % (os.getpid(), Testpmd.count), "socket": SOCKET, "queues": queues,
                           "python": sys.executable, "here": os.path.dirname(os.path.abspath(__file__)),
                           "folder": FOLDER.name}
        self.out = open(os.path.join(FOLDER.name, "testpmd"), "wb")
        self.process = subprocess.Popen([*UNSHARE, "--pid", "--fork", "sh", "-c", script], stdout=self.out,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 60 * SLOW
        while not (os.path.exists(SOCKET) and self.read("port")):
            assert self.process.poll() is None and time.monotonic() < end, self.read("testpmd")[-2000:]
            time.sleep(0.1)
        self.port = int(self.read("port"))

    @staticmethod
    def read(name):
        try:
            with open(os.path.join(FOLDER.name, name), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    @staticmethod
    def remove(name):
        if os.path.exists(os.path.join(FOLDER.name, name)):
            os.unlink(os.path.join(FOLDER.name, name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.out.closed:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        self.out.close()
        self.remove("socket")


def talks(g, pmd):
    data = os.urandom(1500000)
    with open(os.path.join(FOLDER.name, "file"), "wb") as f:
        f.write(data)
    g.run("ping -c 3 -s 1000 10.7.0.1")
    assert hashlib.sha256(data).hexdigest() in \
        g.run("wget -q -O - http://10.7.0.1:%d/file | sha256sum" % pmd.port, 180)
    pmd.remove("received")
    g.run("dd if=/dev/zero of=/tmp/z bs=1000 count=1500 2>/dev/null; (printf 'PUT /x HTTP/1.0\\r\\nContent-Length: "
          "1500000\\r\\n\\r\\n'; cat /tmp/z) | nc 10.7.0.1 %d" % pmd.port, 180)
    end = time.monotonic() + 30 * SLOW
    while pmd.read("received") != hashlib.sha256(bytes(1500000)).hexdigest():
        assert time.monotonic() < end, "it is not received"
        time.sleep(0.2)


def manuals_example_with_dpdk():
    """Its words, but for the file system of huge pages; two pairs of queues, for two processors."""
    with Testpmd(2) as pmd, tempfile.TemporaryDirectory(dir="/dev/shm", prefix="backplane-") as memory:
        with network.Guest(DRIVERS, "-smp", "2", "-object", "memory-backend-file,id=mem,size=256M,mem-path=%s/mem,share=on"
                           % memory, "-numa", "node,memdev=mem", "-chardev", "socket,id=chr0,path=" + SOCKET, "-netdev",
                           "type=vhost-user,id=net0,chardev=chr0,queues=2", "-device",
                           "virtio-net-pci,netdev=net0,mq=on", memory="256") as g:
            g.run("ip addr add 10.7.0.2/24 dev eth0; ip link set eth0 up; sleep 2; ls -d /sys/class/net/eth0/queues/rx-1")
            talks(g, pmd)
            counts = [line.split() for line in g.run("grep -E 'virtio0-(in|out)put' /proc/interrupts").splitlines()
                      if "PCI-MSI" in line]
            assert len(counts) == 4, counts
            g.run("ip link set eth0 down; ip link set eth0 up; sleep 1; ping -c 2 10.7.0.1", 90)
            g.run("rmmod virtio_net && insmod /modules/virtio_net.ko; sleep 1; ip addr add 10.7.0.2/24 dev eth0; "
                  "ip link set eth0 up; sleep 2; ping -c 2 10.7.0.1", 90)


def dpdk_goes_and_comes_back():
    with Testpmd(1) as first:
        with network.Guest(DRIVERS, "-object", "memory-backend-memfd,id=mem,size=128M,share=on", "-machine",
                           "memory-backend=mem", "-chardev", "socket,id=c,reconnect-ms=200,path=" + SOCKET, "-netdev",
                           "vhost-user,id=n,chardev=c,vhostforce=on", "-device", "virtio-net-pci,netdev=n,vectors=0") as g:
            g.run("ip addr add 10.7.0.2/24 dev eth0; ip link set eth0 up; sleep 2; ping -c 2 10.7.0.1")
            assert "PCI-MSI" not in g.run("grep virtio0 /proc/interrupts")
            first.end()
            g.run("for i in $(seq 60); do grep -q 0 /sys/class/net/eth0/carrier && break; sleep 0.5; done; "
                  "grep 0 /sys/class/net/eth0/carrier", 120)
            with Testpmd(1) as second:
                g.run("for i in $(seq 60); do grep -q 1 /sys/class/net/eth0/carrier && break; sleep 0.5; done; "
                      "sleep 1; ping -c 3 10.7.0.1", 120)
                talks(g, second)


tap = Tap()
for case in (manuals_example_with_dpdk, dpdk_goes_and_comes_back):
    tap.case(case.__name__, lambda case=case: missing() or case())
FOLDER.cleanup()
tap.done()
