# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Images in a Ceph cluster: one monitor and one OSD whose disk is memory, on the loopback; Ceph's own `rbd` beside it.
Usage: test-rbd.py SOURCE-ROOT BUILD-ROOT
"""
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import FOLDER, WAIT, content, other as run, path  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
SIZE = 9 * 1048576 + 4096
FSID = "3f5a1c2e-0000-4000-8000-000000000001"
CONF = """[global]
fsid = {fsid}
mon_host = {monitor}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = {folder}/keyring
run_dir = {folder}
log_file = {folder}/$name.log
admin_socket = {folder}/$name.$pid.asok
pid_file = {folder}/$name.pid
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
osd_objectstore = memstore
memstore_device_bytes = 1073741824
mon_data = {folder}/mon
osd_data = {folder}/osd
osd_pool_default_pg_autoscale_mode = off
osd_heartbeat_grace = 3600
mon_osd_report_timeout = 3600
"""


CLUSTER_CONF = path("ceph.conf")
os.environ["CEPH_CONF"] = CLUSTER_CONF


def raw(name, seed, size=SIZE):
    rand, data = random.Random(seed), bytearray(size)
    for at in range(0, size, 1 << 20):
        if rand.randrange(3):
            data[at:at + (1 << 20)] = rand.randbytes(min(1 << 20, size - at))
    with open(path(name), "wb") as f:
        f.write(data)
    return bytes(data)


def exported(image):
    """As Ceph sees it."""
    if os.path.exists(path("exported")):
        os.unlink(path("exported"))
    run("rbd", "export", "--no-progress", image, "exported")
    return content("exported")


def free_ports():
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        return a.getsockname()[1], b.getsockname()[1]


class Cluster:
    processes = []

    def start(self):
        if self.processes:
            return
        for program in ("ceph-mon", "ceph-osd", "ceph", "rbd"):
            if not shutil.which(program):
                raise tap.Skip(program + " is missing (ceph-mon, ceph-osd, ceph-common)")
        self.v2, self.v1 = free_ports()
        monitor = "[v2:127.0.0.1:%d,v1:127.0.0.1:%d]" % (self.v2, self.v1)
        with open(CLUSTER_CONF, "w", encoding="ascii") as f:
            f.write(CONF.format(fsid=FSID, monitor=monitor, folder=FOLDER))
        run("ceph-authtool", "--create-keyring", "keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        run("ceph-authtool", "keyring", "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd",
            "allow *")
        run("ceph-authtool", "keyring", "--gen-key", "-n", "client.other", "--cap", "mon", "profile rbd", "--cap",
            "osd",
            "profile rbd")
        run("ceph-authtool", "keyring", "--gen-key", "-n", "osd.0", "--cap", "mon", "allow profile osd", "--cap", "osd",
            "allow *")
        run("monmaptool", "--create", "--fsid", FSID, "--addv", "a", monitor, "monmap")
        run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "monmap", "--keyring", "keyring", "-c", CLUSTER_CONF)
        self.begin("ceph-mon", "-i", "a")
        run("ceph", "--connect-timeout", "60", "osd", "new", FSID)
        os.makedirs(path("osd"))
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", FSID, "-c", CLUSTER_CONF)
        run("ceph", "--connect-timeout", "60", "auth", "import", "-i", "keyring")
        self.begin("ceph-osd", "-i", "0")
        run("ceph", "--connect-timeout", "60", "osd", "pool", "create", "p", "8")
        run("rbd", "pool", "init", "p")

    def begin(self, *args):
        with open(path(args[0] + ".out"), "wb") as log:
            self.processes.append(subprocess.Popen([*args, "-f", "-c", CLUSTER_CONF], stdin=subprocess.DEVNULL,
                                                   stdout=log,
                                                   stderr=log))

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


CLUSTER = Cluster()


def key_of(user):
    return run("ceph-authtool", "keyring", "-p", "-n", "client." + user).strip()


class Exported(Emulator):
    """One that exports a node by NBD."""

    def __init__(self, *args, **node):
        super().__init__(PROGRAM, "-M", "none", *args, "-blockdev", json.dumps({"driver": "rbd", "node-name": "n",
                                                                                "pool": "p",
                                                                               **node}))

    def __enter__(self):
        super().__enter__()
        sock = path("nbd-%d" % self.process.pid)
        self.command("nbd-server-start", addr={"type": "unix", "data": {"path": sock}})
        reply = self.command("block-export-add", id="x", type="nbd", node_name="n", writable=True)
        assert reply == {"return": {}}, reply
        self.at = "nbd+unix:///n?socket=" + sock
        return self

    def io(self, *commands, status=0):
        return run("qemu-io", "-f", "raw", *[word for c in commands for word in ("-c", c)], self.at, status=status)


def images_are_made_read_and_written():
    CLUSTER.start()
    data = raw("plain", 1)
    run(TOOL, "convert", "-f", "raw", "-O", "raw", "plain", "rbd:p/raw")
    assert exported("p/raw") == data
    run(TOOL, "convert", "-f", "raw", "-O", "qcow2", "plain", "rbd:p/qcow2")
    exported("p/qcow2")
    run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", "exported", "plain")
    run(TOOL, "convert", "-O", "raw", "rbd:p/qcow2", "back")
    assert content("back") == data
    run(TOOL, "convert", "-O", "raw", "rbd:p/raw:id=other:conf=" + CLUSTER_CONF, "back")
    assert content("back") == data
    shown = json.loads(run(TOOL, "info", "--output=json", "rbd:p/raw"))
    assert shown["virtual-size"] == SIZE and shown["filename"] == "rbd:p/raw", shown
    run(TOOL, "create", "-q", "-f", "raw", "rbd:p/new", "20M")
    parts = json.loads(run(TOOL, "map", "-f", "raw", "--output=json", "rbd:p/new"))
    assert [(p["start"], p["length"], p["data"]) for p in parts] == [(0, 20 << 20, False)], parts
    run("rbd", "bench", "--io-type", "write", "--io-size", "4M", "--io-threads", "1", "--io-total", "8M", "p/new")
    parts = json.loads(run(TOOL, "map", "-f", "raw", "--output=json", "rbd:p/new"))
    assert [(p["start"], p["length"], p["data"]) for p in parts] == [(0, 8 << 20, True), (8 << 20, 12 << 20,
                                                                                          False)], parts
    run(TOOL, "resize", "-q", "-f", "raw", "rbd:p/new", "24M")
    assert json.loads(run("rbd", "info", "--format=json", "p/new"))["size"] == 24 << 20
    run(TOOL, "resize", "-q", "-f", "raw", "--shrink", "rbd:p/new", "5M")
    assert json.loads(run("rbd", "info", "--format=json", "p/new"))["size"] == 5 << 20
    assert "exists" in run(TOOL, "create", "-q", "-f", "raw", "rbd:p/new", "1M", status=1)
    for name, word in (("rbd:p/nothing", "No such file"), ("rbd:nothing/x", "pool 'nothing'"), ("rbd:p/new@no",
                                                                                                "new@no"),
                       ("rbd:p/new:id=nobody", "'nobody'"), ("rbd:p/new:conf=/nowhere", "/nowhere"),
                       ("rbd:p/new:no_such_setting=1", "no_such_setting")):
        said = run(TOOL, "info", name, status=1)
        assert word in said, (name, said)


def guests_write_flush_and_discard():
    CLUSTER.start()
    data = bytearray(raw("plain", 2))
    run("rbd", "import", "--no-progress", "plain", "p/guest")
    with Exported("-object", "secret,id=k,format=base64,data=" + key_of("other"), image="guest", user="other",
                  discard="unmap",
                  **{"key-secret": "k", "auth-client-required": ["cephx"],
                     "server": [{"host": "127.0.0.1", "port": str(CLUSTER.v1)}]}) as e:
        script = []
        for at, length, byte in ((0, 512, 1), (12345, 100, 2), (3 << 20, 3 << 20, 3), (SIZE - 300000, 300000, 4)):
            script += ["write -P %d %d %d" % (byte, at, length), "read -P %d %d %d" % (byte, at, length)]
            data[at:at + length] = bytes([byte]) * length
        e.io(*script, "write -z 200000 70000", "discard 4M 4M", "flush")
        data[200000:270000] = bytes(70000)
        data[4 << 20:8 << 20] = bytes(4 << 20)
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", e.at, "back")
        assert content("back") == data and exported("p/guest") == data
        assert e.command("block_resize", node_name="n", size=SIZE + 4096) == {"return": {}}
    assert json.loads(run("rbd", "info", "--format=json", "p/guest"))["size"] == SIZE + 4096
    parts = json.loads(run(TOOL, "map", "-f", "raw", "--output=json", "rbd:p/guest"))
    assert not [p for p in parts if p["start"] == 4 << 20 and p["data"]], parts
    wrong = base64.b64encode(b"\1\0" + bytes(10) + b"\x10\0" + bytes(16)).decode()
    for more, word in ((("secret,id=k,format=base64,data=" + wrong,), "'other'"), ((), "key-secret")):
        args = [word for m in more for word in ("-object", m)]
        done = subprocess.run([PROGRAM, "-M", "none", *args, "-blockdev",
                               "driver=rbd,node-name=n,pool=p,image=guest,user=other,"
                               "key-secret=k"], capture_output=True, text=True, timeout=WAIT, check=False)
        assert done.returncode == 1 and word in done.stderr, done


def snapshots_are_made_shown_and_gone_back_to():
    CLUSTER.start()
    first = raw("first", 3)
    run("rbd", "import", "--no-progress", "first", "p/snap")
    run(TOOL, "snapshot", "-c", "s1", "rbd:p/snap")
    second = raw("second", 4)
    run(TOOL, "convert", "-n", "-f", "raw", "-O", "raw", "second", "rbd:p/snap")
    assert exported("p/snap") == second and exported("p/snap@s1") == first
    assert re.search(r"^s1 +s1 ", run(TOOL, "snapshot", "-l", "rbd:p/snap"), re.M)
    for how in (("-O", "raw", "rbd:p/snap@s1"), ("-O", "raw", "--image-opts",
                                                 "driver=rbd,pool=p,image=snap,snapshot=s1"),
                ("-O", "raw", "-l", "s1", "rbd:p/snap")):
        run(TOOL, "convert", *how, "back")
        assert content("back") == first, how
    with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,format=raw,file=rbd:p/snap@s1") as e:
        shown, = e.command("query-block")["return"]
        assert shown["inserted"]["ro"] is True, shown
    said = run(TOOL, "snapshot", "-c", "s2", "rbd:p/snap@s1", status=1)
    assert "read" in said, said
    run(TOOL, "snapshot", "-a", "s1", "rbd:p/snap")
    assert exported("p/snap") == first
    run(TOOL, "snapshot", "-d", "s1", "rbd:p/snap")
    assert json.loads(run("rbd", "snap", "ls", "--format=json", "p/snap")) == []
    assert "No such file" in run(TOOL, "snapshot", "-d", "s1", "rbd:p/snap", status=1)


def names_have_namespaces_and_escapes():
    CLUSTER.start()
    run("rbd", "namespace", "create", "p/space")
    run(TOOL, "create", "-q", "-f", "raw", "rbd:p/space/inner", "3M")
    assert json.loads(run("rbd", "info", "--format=json", "p/space/inner"))["size"] == 3 << 20
    assert "No such file" in run(TOOL, "info", "rbd:p/inner", status=1)
    run(TOOL, "create", "-q", "-f", "raw", r"rbd:p/a\:b\=c", "4M")
    assert "a:b=c" in run("rbd", "ls", "p").split("\n")
    shown = json.loads(run(TOOL, "info", "--output=json", r"rbd:p/a\:b\=c"))
    assert shown["filename"] == r"rbd:p/a\:b\=c" and shown["virtual-size"] == 4 << 20, shown
    shown = run(TOOL, "info", "--output=json", "--image-opts", "driver=rbd,pool=p,namespace=space,image=inner")
    assert json.loads(shown)["filename"] == "rbd:p/space/inner", shown


def images_are_encrypted():
    CLUSTER.start()
    for version in ("luks", "luks2"):
        with Emulator(PROGRAM, "-M", "none", "-object", "secret,id=k,data=passphrase") as e:
            options = {"driver": "rbd", "size": 8 << 20, "cluster-size": 1 << 20, "location": {"pool": "p",
                                                                                               "image": version},
                       "encrypt": {"format": version, "key-secret": "k"}}
            assert e.command("blockdev-create", job_id="j", options=options) == {"return": {}}
            while e.command("query-jobs")["return"][0]["status"] != "concluded":
                time.sleep(0.1)
            assert "error" not in e.command("query-jobs")["return"][0], e.command("query-jobs")
        assert json.loads(run("rbd", "info", "--format=json", "p/" + version))["order"] == 20
        encrypt = {"encrypt": {"format": version, "key-secret": "k"}}
        with Exported("-object", "secret,id=k,data=passphrase", image=version, **encrypt) as e:
            e.io("write -P 5 1M 1M", "flush", "read -P 5 1M 1M")
            size = json.loads(run("qemu-img", "info", "--output=json", e.at))["virtual-size"]
            assert size == 8 << 20, size
        # Each opening takes seconds, as LUKS is made to.
        if version == "luks2":
            with Exported("-object", "secret,id=k,data=passphrase", image=version, **encrypt) as e:
                e.io("read -P 5 1M 1M")
        stored = exported("p/" + version)
        assert stored[:8] == b"LUKS\xba\xbe\0" + bytes([1 if version == "luks" else 2]), stored[:16]
        assert b"\5" * 512 not in stored
        done = subprocess.run([PROGRAM, "-M", "none", "-object", "secret,id=k,data=wrong", "-blockdev",
                               "driver=rbd,node-name=n,pool=p,image=%s,encrypt.format=%s,encrypt.key-secret=k" %
                               (version, version)], capture_output=True, text=True, timeout=WAIT, check=False)
        assert done.returncode == 1 and "passphrase" in done.stderr, done


def a_cluster_that_says_nothing_is_an_error_in_time():
    CLUSTER.start()
    raw("plain", 5)
    run("rbd", "import", "--no-progress", "plain", "p/silent")
    with Exported(image="silent", timeout=3) as e:
        e.io("read 0 512")
        os.kill(CLUSTER.processes[1].pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            said = e.io("read 4M 512", status=1)
            assert "read failed" in said and 2 < time.monotonic() - start < 60, (said, time.monotonic() - start)
        finally:
            os.kill(CLUSTER.processes[1].pid, signal.SIGCONT)
        deadline = time.monotonic() + WAIT
        while True:
            try:
                e.io("read 4M 1M")
                break
            except AssertionError:
                assert time.monotonic() < deadline
                time.sleep(1)
    os.kill(CLUSTER.processes[0].pid, signal.SIGSTOP)
    try:
        said = run(TOOL, "info", "--image-opts", "driver=rbd,pool=p,image=silent,timeout=2", status=1)
        assert "cannot be reached" in said, said
    finally:
        os.kill(CLUSTER.processes[0].pid, signal.SIGCONT)


def wrong_names_are_one_line():
    for name, word in (("rbd:p", "image is missing"), ("rbd:", "image is missing"), ("rbd:/x", "pool"), ("rbd:p/",
                                                                                                         "image"),
                       ("rbd:p//x", "namespace"), ("rbd:p/x@", "snapshot"), ("rbd:p/x:y", "KEY=VALUE"),
                       ("rbd:p/x:=y", "KEY=VALUE"), ("rbd:p/" + "x" * 300, "255"), ("rbd:p/x:id=", "user"),
                       ("rbd:p/x\ny", "control"), ("rbd:p/x" + ":a=b" * 65, "64")):
        said = run(TOOL, "info", name, status=1)
        assert word in said and said.count("\n") == 1 + name.count("\n"), (name, said)
    for keys, word in (("pool=p", "'image'"), ("image=x", "'pool'"), ("filename=rbd:p/x,pool=p", "a name says"),
                       ("pool=p,image=x,auth-client-required.0=kerberos", "cephx"), ("pool=p,image=x,server.0.port=1",
                                                                                     "host="),
                       ("pool=p,image=x,server.0.host=h,server.0.port=99999", "65535"),
                       ("pool=p,image=x,encrypt.format=luks", "key-secret"),
                       ("pool=p,image=x,encrypt.format=luks3,encrypt.key-secret=k", "luks or luks2"),
                       ("pool=p,image=x,encrypt.format=luks-any,encrypt.key-secret=k", "not built"),
                       ("pool=p,image=x,timeout=99999", "86400"), ("pool=p,image=x,key-secret=none", "key-secret")):
        said = run(TOOL, "info", "--image-opts", "driver=rbd," + keys, status=1)
        assert word in said and said.count("\n") == 1, (keys, said)


try:
    tap.run([images_are_made_read_and_written, guests_write_flush_and_discard,
             snapshots_are_made_shown_and_gone_back_to,
             names_have_namespaces_and_escapes, images_are_encrypted, a_cluster_that_says_nothing_is_an_error_in_time,
             wrong_names_are_one_line])
finally:
    CLUSTER.stop()
