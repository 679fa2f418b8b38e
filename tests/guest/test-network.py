# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel with its own drivers on our NICs, through user networking to real servers on the host."""
import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import bootable as boot_disk  # noqa: E402
import network  # noqa: E402
from console import BINARY, BUILD, SLOW, Console, Tap  # noqa: E402
from linux import Guest as Debian  # noqa: E402
from packages import package_tree  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(prefix="backplane-network-")
MODELS = {"e1000": ("e1000",), "rtl8139": ("8139cp",),
          "virtio-net-pci": ("virtio_pci", "virtio_net"), "usb-net": ("ehci_pci", "cdc_ether")}


def built(model):
    name = model if model == "usb-net" else "hw-" + model.replace("-pci", "")
    return os.path.exists(os.path.join(BUILD, "modules", name + ".so"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def talks_to_the_host(model):
    data = os.urandom(1500000)
    with open(os.path.join(FOLDER.name, "file"), "wb") as f:
        f.write(data)
    port = free_port()
    forward = "hostfwd=tcp:127.0.0.1:%d-:80" % port
    nic = ("-nic", "user,model=%s,%s" % (model, forward))
    if model == "usb-net":
        nic = ("-machine", "q35,usb=on", "-netdev", "user,id=n," + forward, "-device", "usb-net,netdev=n")
    with network.web(FOLDER.name) as server, \
            network.Guest(MODELS[model] + ("8021q",), *nic) as g:
        if model == "usb-net":  # its name is another one when the address is not a manufacturer's
            g.run("until ip link set usb0 name eth0; do sleep 1; done 2>/dev/null")
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
        g.run("rmmod %s && insmod /modules/%s.ko; sleep 1%s" % (
            module, MODELS[model][-1], "; ip link set usb0 name eth0" if model == "usb-net" else ""), 90)
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


def two_guests_hear_each_other_by_a_socket():
    port = free_port()
    two_guests_hear_each_other("socket,listen=:%d" % port, "socket,connect=127.0.0.1:%d" % port)


def second_guest_outlives_the_first():
    """As the manual's example: the first listens, and is started anew; the second connects again."""
    port = free_port()
    server = "stream,server=on,addr.type=inet,addr.host=localhost,addr.port=%d,addr.ipv4=on" % port
    client = "stream,server=off,addr.type=inet,addr.host=localhost,addr.port=%d,addr.ipv4=on,reconnect-ms=5" % port

    def up(g, address):
        g.run("ip addr add %s/24 dev eth0; ip link set eth0 up; sleep 2" % address, 60)
    first = network.Guest(MODELS["e1000"], "-nic", server + ",model=e1000,mac=52:54:00:00:00:01")
    with network.Guest(MODELS["e1000"], "-nic", client + ",model=e1000,mac=52:54:00:00:00:02") as b:
        with first as a:
            up(a, "10.1.1.1")
            up(b, "10.1.1.2")
            b.run("ping -c 3 10.1.1.1", 60)
        with network.Guest(MODELS["e1000"], "-nic", server + ",model=e1000,mac=52:54:00:00:00:03") as c:
            up(c, "10.1.1.3")
            b.run("ping -c 5 10.1.1.3", 90)


def passt_stands_for_user_networking():
    """The manual's example: passt runs by itself, the machine connects to its socket."""
    if not shutil.which("passt"):
        return "skipped: passt is not installed"
    folder = tempfile.TemporaryDirectory(prefix="backplane-passt-")
    os.chmod(folder.name, 0o777)  # passt gives its rights away first
    path = os.path.join(folder.name, "socket")
    passt = subprocess.Popen(["passt", "-f", "-s", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 60 * SLOW
        while not os.path.exists(path):
            assert passt.poll() is None, "passt does not start: %s" % passt.stderr.read().decode()[-300:]
            assert time.monotonic() < end, "passt does not open its socket"
            time.sleep(0.05)
        with network.Guest(MODELS["virtio-net-pci"], "-netdev", "stream,id=net0,server=off,addr.type=unix,addr.path=" + path,
                           "-device", "virtio-net-pci,netdev=net0") as g:
            g.dhcp()
            router = g.run("ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'").split()[-1]
            assert router.count(".") == 3, router
            with network.web(FOLDER.name) as server:
                with open(os.path.join(FOLDER.name, "said"), "w", encoding="ascii") as f:
                    f.write("heard-by-passt")
                assert "heard-by-passt" in g.run("wget -q -O - http://%s:%d/said" % (router, server.server_port), 60)
    finally:
        passt.terminate()
        passt.wait(60)
        passt.stderr.close()
        folder.cleanup()
    return None


def guest_is_reached_by_telnet():
    port = free_port()
    with network.Guest(MODELS["e1000"], "-nic", "user,model=e1000,hostfwd=tcp:127.0.0.1:%d-:23" % port) as g:
        g.dhcp()
        g.run("mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; telnetd -p 23 -l /bin/sh; "
              "for i in $(seq 60); do netstat -ltn | grep -q ':23 ' && break; sleep 0.5; done; netstat -ltn | grep ':23 '", 90)
        with socket.create_connection(("127.0.0.1", port), 30 * SLOW) as s:
            s.settimeout(60 * SLOW)
            s.sendall(b"echo the-sum-is-$((40+2))\r\n")
            heard = b""
            while b"the-sum-is-42" not in heard:
                part = s.recv(4096)
                assert part, heard
                heard += part


def pxelinux_boots_a_kernel():
    """As the manual's example: the card's iPXE fetches pxelinux.0, that its menu, a kernel and an initramfs, by TFTP."""
    programs = ("/usr/lib/PXELINUX/pxelinux.0", "/usr/lib/syslinux/modules/bios/ldlinux.c32")
    for path in programs + ("/usr/lib/ipxe/qemu/efi-e1000.rom", "/usr/share/seabios"):
        if not os.path.exists(path):
            return "skipped: %s is missing (pxelinux, syslinux-common, ipxe-qemu, seabios)" % path
    folder = os.path.join(FOLDER.name, "tftp")
    os.makedirs(os.path.join(folder, "pxelinux.cfg"))
    kernel, initrd = network.guest(MODELS["e1000"])
    for path in (*programs, kernel, initrd):
        shutil.copy(path, folder)
    with open(os.path.join(folder, "pxelinux.cfg/default"), "w", encoding="ascii") as f:
        f.write("SERIAL 0\nPROMPT 0\nDEFAULT linux\nLABEL linux\nKERNEL %s\nINITRD %s\nAPPEND console=ttyS0 quiet\n"
                % (os.path.basename(kernel), os.path.basename(initrd)))
    disk = os.path.join(FOLDER.name, "linux.img")
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    console = Console([BINARY, "-m", "256", "-nodefaults", "-nographic", "-serial", "stdio", "-drive",
                       "file=%s,format=raw,if=ide" % disk, "-boot", "n", "-device", "e1000,netdev=n1", "-netdev",
                       "user,id=n1,tftp=%s,bootfile=/pxelinux.0" % folder])
    try:
        console.expect("Network guest is up", 400)
    finally:
        console.close()
    return None


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


def network_comes_first_then_the_disk():
    """The manual's example -boot order=nc: what the network has gives up, and the disk's boot sector starts."""
    if not os.path.exists("/usr/lib/ipxe/qemu/pxe-e1000.rom") and not os.path.exists("/usr/lib/ipxe/qemu/efi-e1000.rom"):
        return "skipped: ipxe-qemu is not installed"
    image = os.path.join(FOLDER.name, "disk.img")
    boot_disk.disk(image, "the disk is booted", 8 << 20)
    with open(os.path.join(FOLDER.name, "first.ipxe"), "w", encoding="ascii") as f:
        f.write("#!ipxe\necho the-network-was-${net0/mac}\nexit\n")
    for order, first, then in (("nc", "the-network-was-52:54:00:12:34:56", "the disk is booted"),
                               ("cn", "the disk is booted", None)):
        console = Console([BINARY, "-m", "64", "-nodefaults", "-nographic", "-serial", "stdio", "-boot", "order=" + order,
                           "-drive", "format=raw,file=" + image, "-nic",
                           "user,model=e1000,tftp=%s,bootfile=/first.ipxe" % FOLDER.name])
        try:
            seen = console.expect(first, 300)
            assert then not in seen if then else "Booting from ROM" not in seen, seen
            if then:
                console.expect(then, 120)
        finally:
            console.close()
    return None


def firmware_names_the_interface():
    """The manual's example of -smbios type=41: what udev makes eno1 of."""
    with network.Guest(MODELS["virtio-net-pci"], "-netdev", "user,id=internet", "-device",
                       "virtio-net-pci,mac=50:54:00:00:00:42,netdev=internet,id=internet-dev", "-smbios",
                       "type=41,designation=Onboard LAN,instance=1,kind=ethernet,pcidev=internet-dev",
                       "-bios", "bios-256k.bin") as g:
        text = g.run("cd -P /sys/class/net/eth0/device/..; cat label index; cat /sys/class/net/eth0/address; cd /")
        assert "Onboard LAN\n1\n50:54:00:00:00:42" in text.replace("\r", ""), text


def udev_names_the_interface():
    """The same with Debian's udev, its rule and its policy: the interface is eno1."""
    udev = package_tree("udev")
    files = {"/etc/udev/rules.d/75-net-description.rules": "/lib/udev/rules.d/75-net-description.rules",
             "/etc/udev/rules.d/80-net-setup-link.rules": "/lib/udev/rules.d/80-net-setup-link.rules",
             "/etc/systemd/network/99-default.link": "/lib/systemd/network/99-default.link"}
    with Debian("-m", "256", "-netdev", "user,id=internet", "-device",
                "virtio-net-pci,mac=50:54:00:00:00:42,netdev=internet,id=internet-dev", "-smbios",
                "type=41,designation=Onboard LAN,instance=1,kind=ethernet,pcidev=internet-dev", "-bios", "bios-256k.bin",
                drivers=("virtio_pci", "virtio_net"), programs=(udev + "/bin/udevadm",)) as g:
        for name, path in files.items():
            g.run(f"mkdir -p {os.path.dirname(name)}")
            with open(udev + path, "rb") as f:
                for line in f:
                    if line.strip() and not line.startswith(b"#"):
                        g.run(f"echo {base64.b64encode(line).decode()} | base64 -d >>{name}")
        text = g.run("ls /sys/class/net; ln -s udevadm /usr/bin/systemd-udevd; mkdir -p /run; systemd-udevd --daemon; "
                     "udevadm trigger --action=add --subsystem-match=net; udevadm settle; ls /sys/class/net; "
                     "cat /sys/class/net/eno1/address", 200)
        lines = [line.split() for line in text.splitlines()]
        assert lines[0] == ["eth0", "lo"] and ["eno1", "lo"] in lines and ["50:54:00:00:00:42"] in lines, text


STREAM = os.path.join(FOLDER.name, "wire")
NAMES = {"guest_on_e1000_talks_to_the_host": "e1000", "guest_on_rtl8139_talks_to_the_host": "rtl8139",
         "guest_on_virtio_talks_to_the_host": "virtio-net-pci", "guest_on_usb_talks_to_the_host": "usb-net"}
cases = {name: (talks_to_the_host, model) for name, model in NAMES.items() if built(model)}
cases["cable_is_pulled_and_put_back"] = (cable_is_pulled_and_put_back,)
cases["firmware_boots_from_the_network"] = (firmware_boots_from_the_network,)
cases["network_comes_first_then_the_disk"] = (network_comes_first_then_the_disk,)
cases["firmware_names_the_interface"] = (firmware_names_the_interface,)
cases["udev_names_the_interface"] = (udev_names_the_interface,)
cases["two_guests_hear_each_other"] = (two_guests_hear_each_other, "stream,server=on,addr.type=unix,addr.path=" + STREAM,
                                       "stream,addr.type=unix,addr.path=%s,reconnect-ms=200" % STREAM)
cases["two_guests_hear_each_other_by_a_socket"] = (two_guests_hear_each_other_by_a_socket,)
cases["two_guests_hear_each_other_at_a_switch"] = (two_guests_hear_each_other, "switch,name=test-%d" % os.getpid(),
                                                   "switch,name=test-%d" % os.getpid())
cases["second_guest_outlives_the_first"] = (second_guest_outlives_the_first,)
cases["guest_is_reached_by_telnet"] = (guest_is_reached_by_telnet,)
cases["pxelinux_boots_a_kernel"] = (pxelinux_boots_a_kernel,)
if built("virtio-net-pci"):
    cases["passt_stands_for_user_networking"] = (passt_stands_for_user_networking,)
tap = Tap()
wanted = sys.argv[1:]
for name, (function, *args) in cases.items():
    if not wanted or name in wanted:
        tap.case(name, function, *args)
FOLDER.cleanup()
tap.done()
