# SPDX-License-Identifier: LGPL-2.1-or-later
"""What networks offer, with real clients in Debian's kernel: a folder by Samba, names by DHCP, an L2TPv3 pseudowire, PXE's menu."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import BINARY, Console, Tap  # noqa: E402
from linux import Guest as Debian  # noqa: E402
from packages import package_tree  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(prefix="backplane-services-")
INSIDE = "BACKPLANE_TEST_NAMESPACE"
CIFS = ("e1000", "cifs", "cmac", "ctr", "ccm", "ghash-generic", "gcm", "sha512_generic", "ecb", "md4")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def samba_shows_a_folder():
    """smb=: the kernel's SMB client mounts //SERVER/qemu, reads and writes."""
    if not os.path.exists("/usr/sbin/smbd"):
        return "skipped: samba is not installed"
    share = os.path.join(FOLDER.name, "share")
    os.mkdir(share)
    data = os.urandom(300000)
    with open(os.path.join(share, "from-the-host"), "wb") as f:
        f.write(data)
    os.environ["TMPDIR"] = FOLDER.name
    for keys, server in (("", "10.0.2.4"), (",smbserver=10.0.2.9", "10.0.2.9")):
        with network.Guest(CIFS, "-nic", "user,model=e1000,smb=%s%s" % (share, keys), memory="192") as g:
            g.dhcp()
            g.run("mkdir -p /mnt; mount -t cifs //%s/qemu /mnt -o ip=%s,username=guest,password=,vers=3.0" % (server, server), 120)
            g.run("cp /mnt/from-the-host /tmp/a; sync; cp /tmp/a /mnt/from-the-guest; mkdir /mnt/folder%d; umount /mnt; mount -t cifs "
                  "//%s/qemu /mnt -o ip=%s,username=guest,password=,vers=3.0; cmp /tmp/a /mnt/from-the-guest; umount /mnt" % (
                      len(keys), server, server), 180)
        with open(os.path.join(share, "from-the-guest"), "rb") as f:
            assert f.read() == data
        assert os.path.isdir(os.path.join(share, "folder%d" % len(keys)))
        os.unlink(os.path.join(share, "from-the-guest"))
    del os.environ["TMPDIR"]
    return None


def dhclient_hears_the_names():
    """The manual's example of dnssearch=, with ISC's client and its script; then DHCPv6 with the same."""
    tree = package_tree("isc-dhcp-client")
    with Debian("-m", "256", "-nic", "user,dnssearch=mgmt.example.org,dnssearch=example.org,bootfile=/start", drivers=("e1000",),
                programs=(tree + "/sbin/dhclient", tree + "/sbin/dhclient-script", "/usr/bin/ip", "/usr/bin/hostname")) as g:
        g.run("mkdir -p /etc/dhcp /var/lib/dhcp /run; : > /etc/resolv.conf; : > /etc/fstab; : > /etc/hosts; mount -t devpts devpts /dev/pts; ln -s /usr/bin/ip /sbin/ip; "
              "echo 'also request dhcp6.bootfile-url, dhcp6.name-servers, domain-search;' > /etc/dhclient.conf; "
              "ip link set lo up; ip link set eth0 up; sleep 3")
        text = g.run("dhclient -4 -1 -v -cf /etc/dhclient.conf -sf /usr/bin/dhclient-script eth0 2>&1 | tail -4; cat /etc/resolv.conf", 200)
        assert "bound to 10.0.2.15" in text, text
        assert "search mgmt.example.org. example.org." in text or "search mgmt.example.org example.org" in text, text
        assert "nameserver 10.0.2.3" in text, text
        text = g.run("printf '#!/bin/sh\\nset >> /tmp/six\\n' > /six; chmod 755 /six; dhclient -6 -S -1 -v -cf /etc/dhclient.conf "
                     "-sf /six -lf /tmp/leases eth0 2>&1 | tail -8; grep bootfile /tmp/six", 200)
        assert "PRC: Done." in text, text
        assert "tftp://[fec0:0000:0000:0000:0000:0000:0000:0002]//start" in text, text


def wire_between(ends, tunnel, netdev):
    """A machine on a pseudowire, whose other end is l2tp_eth on a bridge in another guest's kernel (`ends`: its network)."""
    ip = "/usr/bin/ip "
    with Debian("-m", "256", *ends, drivers=("e1000", "l2tp_netlink", "l2tp_eth", "l2tp_ip", "bridge"), programs=("/usr/bin/ip",)) as a, \
            network.Guest(("e1000",), "-device", "e1000,netdev=n1", "-netdev", netdev) as b:
        said = a.run("; ".join(ip + words for words in (
            "link set eth0 up", "addr add 10.0.2.15/24 dev eth0", "l2tp add tunnel remote 10.0.2.2 local 10.0.2.15 tunnel_id 1 "
            "peer_tunnel_id 1 " + tunnel, "l2tp add session tunnel_id 1 name vmtunnel0 session_id 0xFFFFFFFF peer_session_id "
            "0xFFFFFFFF", "link set vmtunnel0 up", "link add br-lan type bridge forward_delay 0", "link set br-lan up",
            "link set vmtunnel0 master br-lan", "addr add 10.9.0.1/24 dev br-lan", "addr show br-lan")))
        assert "10.9.0.1/24" in said, said
        b.run("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 mtu 1400; ip link set eth0 up; sleep 3")
        b.run("ping -c 3 10.9.0.1 || { sleep 2; ping -c 3 10.9.0.1; }; ping -c 2 -s 1300 10.9.0.1", 120)
        a.run("nc -l -p 99 > /tmp/got & sleep 1")
        b.run("dd if=/dev/zero bs=1000 count=200 2>/dev/null | nc -w 20 10.9.0.1 99", 120)
        assert "200000" in a.run("sleep 1; wc -c < /tmp/got")


def pseudowire_ends_in_the_kernel():
    """The manual's example: l2tp_eth on a bridge is the peer of -netdev l2tpv3."""
    ours, theirs = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    wire_between(("-netdev", "user,id=u,hostfwd=udp:127.0.0.1:%d-:16384" % theirs, "-device", "e1000,netdev=u"),
                 "encap udp udp_sport 16384 udp_dport %d" % ours,
                 "l2tpv3,id=n1,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=%d,dstport=%d,rxsession=0xffffffff,txsession=0xffffffff,"
                 "counter=on" % (ours, theirs))


def pseudowire_needs_no_udp():
    """By IP itself, over a TAP interface; in a network namespace, where we have the right to."""
    if INSIDE not in os.environ:
        run = subprocess.run(["unshare", "-Urn", sys.executable, *sys.argv[:1], "pseudowire_needs_no_udp"], check=False,
                             env={**os.environ, INSIDE: "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if "skipped: " in run.stdout or "unshare: " in run.stdout:
            return "skipped: no TAP interfaces in namespaces here"
        assert "\nok 1" in "\n" + run.stdout, run.stdout
        return None
    for words in ("link set lo up", "tuntap add name wire mode tap", "addr add 10.0.2.2/24 dev wire", "link set wire up"):
        if subprocess.run(["ip", *words.split()], check=False).returncode:
            return "skipped: no TAP interfaces in namespaces here"
    wire_between(("-netdev", "tap,id=u,ifname=wire,script=no,downscript=no", "-device", "e1000,netdev=u"), "encap ip",
                 "l2tpv3,id=n1,src=10.0.2.2,dst=10.0.2.15,rxsession=0xffffffff,txsession=0xffffffff,counter=on")
    return None


def menu_comes_by_tftp():
    """The manual's example, with a menu: the second of its entries is chosen by hand, a kernel and an initramfs come."""
    modules = "/usr/lib/syslinux/modules/bios/"
    programs = ("/usr/lib/PXELINUX/pxelinux.0", *(modules + n for n in ("ldlinux.c32", "menu.c32", "libutil.c32")))
    for path in programs + ("/usr/lib/ipxe/qemu/efi-e1000.rom", "/usr/share/seabios"):
        if not os.path.exists(path):
            return "skipped: %s is missing (pxelinux, syslinux-common, ipxe-qemu, seabios)" % path
    folder = os.path.join(FOLDER.name, "tftp")
    os.makedirs(os.path.join(folder, "pxelinux.cfg"))
    kernel, initrd = network.guest(("e1000",))
    for path in (*programs, kernel, initrd):
        shutil.copy(path, folder)
    with open(os.path.join(folder, "pxelinux.cfg/default"), "w", encoding="ascii") as f:
        f.write("UI menu.c32\nMENU TITLE What shall it be\nLABEL disk\nMENU LABEL The disk\nLOCALBOOT 0\n"
                "LABEL linux\nMENU LABEL Linux by TFTP\nKERNEL %s\nINITRD %s\nAPPEND console=ttyS0 quiet\n"
                % (os.path.basename(kernel), os.path.basename(initrd)))
    disk = os.path.join(FOLDER.name, "linux.img")
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    console = Console([BINARY, "-m", "256", "-nodefaults", "-nographic", "-serial", "stdio", "-drive",
                       "file=%s,format=raw,if=ide,index=0" % disk, "-boot", "n", "-device", "e1000,netdev=n1", "-netdev",
                       "user,id=n1,tftp=%s,bootfile=/pxelinux.0" % folder])
    try:
        console.expect("What shall it be", 400)
        console.expect("Linux by TFTP", 60)
        time.sleep(2)
        console.type("\x1b[B")
        time.sleep(1)
        console.type("\r")
        console.expect("Network guest is up", 400)
    finally:
        console.close()
    return None


tap = Tap()
for function in (samba_shows_a_folder, dhclient_hears_the_names, pseudowire_ends_in_the_kernel,
                 pseudowire_needs_no_udp, menu_comes_by_tftp):
    if not sys.argv[1:] or function.__name__ in sys.argv[1:]:
        tap.case(function.__name__, function)
FOLDER.cleanup()
tap.done()
