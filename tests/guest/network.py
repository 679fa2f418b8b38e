# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel with drivers of NICs: kernel, an initramfs with the modules, and servers on the host.

The initramfs is small and not compressed: an interpreter unpacks it.
"""
import contextlib
import functools
import glob
import hashlib
import http.server
import os
import shutil
import socketserver
import stat
import tempfile
import threading

import disk
import linux
from console import BINARY, Console, needed
from packages import CACHE, made_once


INIT = """#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /sbin /usr/bin /usr/sbin /etc/udhcpc /usr/share/udhcpc /var/run
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root PS1='guest# '
for m in $(cat /modules.order); do
    insmod /modules/$m || echo "module $m does not load"
done
cp /udhcpc.script /usr/share/udhcpc/default.script
chmod 755 /usr/share/udhcpc/default.script
ip link set lo up
cd /root
echo "Network guest is up"
setsid cttyhack sh
poweroff -f
"""

UDHCPC = """#!/bin/sh
case $1 in
bound|renew)
    ip -4 addr flush dev $interface
    ip addr add $ip/$mask dev $interface
    for r in $router; do ip route add default via $r dev $interface; done
    : > /etc/resolv.conf
    [ -n "$search$domain" ] && echo "search ${search:-$domain}" >> /etc/resolv.conf
    for d in $dns; do echo "nameserver $d" >> /etc/resolv.conf; done
    set > /tmp/lease
    ;;
esac
"""


@made_once
def guest(drivers):
    """Returns the paths of kernel and initramfs."""
    tree = disk.kernel_tree()
    kernel = glob.glob(tree + "/boot/vmlinuz-*")[0]
    with open(__file__, "rb") as f:
        key = hashlib.sha256(f.read() + " ".join(drivers).encode()).hexdigest()[:12]
    initrd = os.path.join(CACHE, "network-%s.cpio" % key)
    if os.path.exists(initrd):
        return kernel, initrd
    base = glob.glob(tree + "/lib/modules/*")[0]
    files = [(folder, stat.S_IFDIR | 0o755) for folder in ("bin", "dev", "modules", "etc")]
    files += [("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)), ("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)),
              ("bin/sh", stat.S_IFLNK | 0o777, b"busybox"), ("init", stat.S_IFREG | 0o755, INIT.encode()),
              ("udhcpc.script", stat.S_IFREG | 0o755, UDHCPC.encode())]
    order = disk.modules_in_order(base, drivers)
    files.append(("modules.order", stat.S_IFREG | 0o644, " ".join(os.path.basename(p) for p in order).encode()))
    for path in order:
        with open(path, "rb") as f:
            files.append(("modules/" + os.path.basename(path), stat.S_IFREG | 0o644, f.read()))
    with open(shutil.which("busybox"), "rb") as f:
        files.append(("bin/busybox", stat.S_IFREG | 0o755, f.read()))
    data = b"".join(disk.entry(n + 1, *f) for n, f in enumerate(files)) + disk.entry(0, "TRAILER!!!", 0)
    with open(initrd + ".new", "wb") as f:
        f.write(data)
    os.rename(initrd + ".new", initrd)
    return kernel, initrd


class Guest:
    """A guest at its shell."""

    def __init__(self, drivers, *options, boot=120, memory="128", programs=(), more=None, binary=BINARY):
        kernel, initrd = needed(guest, drivers)
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-guest-")
        if programs or more:
            linux.with_programs(initrd, os.path.join(self.folder.name, "initrd"), *programs, more=more)
            initrd = os.path.join(self.folder.name, "initrd")
        self.console = Console([binary, "-m", memory, "-nodefaults", "-display", "none", "-serial", "stdio",
                                "-kernel", kernel, "-initrd", initrd, "-append",
                                "console=ttyS0 quiet panic=-1 mitigations=off", *options])
        try:
            self.console.expect("Network guest is up", boot)
            self.console.expect("guest# ", boot)
        except BaseException:
            self.console.close()
            raise
        self.count = 0

    def run(self, command, seconds=60):
        """What a command prints; it must succeed."""
        status, text = self.status(command, seconds)
        assert status == 0, "%r ends with %d: %s" % (command, status, text)
        return text

    def status(self, command, seconds=60):
        self.count += 1
        mark = "end-%d" % self.count
        self.console.type("%s; echo %s\"\"-%d-$?.\n" % (command, "end", self.count))
        text = self.console.expect(mark + "-", seconds)
        return int(self.console.expect(".", 60)), text.split("\n", 1)[-1].replace("\r", "")

    def dhcp(self, interface="eth0"):
        self.run("ip link set %s up" % interface)
        return self.run("udhcpc -s /udhcpc.script -i %s -n -q -t 10 -T 2" % interface, 90)

    def close(self):
        self.console.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()


class MonitoredGuest(linux.Monitored, Guest):
    """With QMP."""

    def __init__(self, drivers, *options, **more):
        self.monitor_folder = tempfile.TemporaryDirectory(prefix="backplane-guest-qmp-")
        path = os.path.join(self.monitor_folder.name, "qmp")
        super().__init__(drivers, *options, "-qmp", "unix:%s,server=on,wait=off" % path, **more)
        self.connect(path)

    def until(self, condition, seconds=90):
        self.run("for i in $(seq %d); do %s && break; sleep 0.5; done; %s" % (2 * seconds, condition, condition), 2 * seconds)

    def close(self):
        self.disconnect()
        super().close()
        self.monitor_folder.cleanup()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *what):
        pass

    def do_PUT(self):
        left, sha = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            part = self.rfile.read(min(left, 65536))
            if not part:
                break
            left -= len(part)
            sha.update(part)
        self.server.received = sha.hexdigest()
        self.send_response(204)
        self.end_headers()


class Threading(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def web(folder, address="127.0.0.1"):
    """A web server on the host; gives it, with its port as `server_port`."""
    server = Threading((address, 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
