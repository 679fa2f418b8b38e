# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The storage daemon: nodes, jobs and exports without a machine, with qemu-img, qemu-io and nbdinfo as clients.
Usage: test-storage-daemon.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import certificates  # noqa: E402
import tap  # noqa: E402
from qmp import StorageDaemon  # noqa: E402

DAEMON = os.path.join(sys.argv[2], "backplane-storage-daemon")
FOLDER = tap.work_folder("storage-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 4 * 1048576
SOCK = os.path.join(FOLDER, "s")


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0):
    program = shutil.which(args[0])
    if not program:
        raise tap.Skip(args[0] + " is missing")
    done = subprocess.run([program, *args[1:]], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False)
    assert (done.returncode == 0) == (status == 0), (args, done)
    return done.stdout if status == 0 else done.stderr


class Daemon(StorageDaemon):
    def __init__(self, *args):
        if os.path.exists(SOCK):
            os.unlink(SOCK)
        super().__init__(DAEMON, FOLDER, *args)


def qcow2(name):
    data = random.Random(name).randbytes(SIZE)
    with open(path("raw"), "wb") as f:
        f.write(data)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "raw", name)
    return data


def url(name):
    return "nbd+unix:///%s?socket=%s" % (name, SOCK)


def exports_stand_on_the_command_line():
    qcow2("a.qcow2")
    with Daemon("--blockdev", "driver=file,node-name=f,filename=a.qcow2", "--blockdev",
                "driver=qcow2,node-name=n,file=f", "--nbd-server", "addr.type=unix,addr.path=" + SOCK, "--export",
                "nbd,id=e,node-name=n,name=disk,writable=on", "--export",
                "type=nbd,id=r,node-name=n,name=look,description=to be read") as d:
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", "raw", url("disk"))
        run("qemu-io", "-f", "raw", "-c", "write -P 7 1M 64k", "-c", "flush", url("disk"))
        run("qemu-io", "-f", "raw", "-r", "-c", "read -P 7 1M 64k", url("look"))
        run("qemu-io", "-f", "raw", "-c", "write 0 512", url("look"), status=1)
        assert "to be read" in run("nbdinfo", "--list", url(""))
        exports = d.ok("query-block-exports")
        assert sorted((e["id"], e["node-name"]) for e in exports) == [("e", "n"), ("r", "n")], exports
        d.ok("block-export-del", id="r")
        run("nbdinfo", url("look"), status=1)
        d.ok("quit")
        assert d.process.wait(WAIT) == 0
    assert not os.path.exists(SOCK)
    run("qemu-img", "check", "-q", "a.qcow2")
    run("qemu-io", "-f", "qcow2", "-r", "-c", "read -P 7 1M 64k", "a.qcow2")


def jobs_run_while_clients_write():
    qcow2("b.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "b.qcow2", "-F", "qcow2", "top.qcow2")
    with Daemon() as d:
        d.ok("blockdev-add", node_name="base", driver="qcow2", file={"driver": "file", "filename": "b.qcow2"})
        d.ok("blockdev-add", node_name="top", driver="qcow2", file={"driver": "file", "filename": "top.qcow2"},
             backing="base")
        d.ok("nbd-server-start", addr={"type": "unix", "data": {"path": SOCK}})
        d.ok("block-export-add", id="e", type="nbd", node_name="top", name="d", writable=True)
        writer = subprocess.Popen(["qemu-io", "-f", "raw", *(w for i in range(60) for w in (
            "-c", "write -P %d %dk 40k" % (i + 1, i * 60))), url("d")], stdout=subprocess.DEVNULL)
        d.ok("blockdev-create", job_id="c", options={"driver": "file", "filename": path("m"), "size": SIZE})
        while [j["status"] for j in d.ok("query-jobs") if j["id"] == "c"] != ["concluded"]:
            time.sleep(0.02)
        d.ok("job-dismiss", id="c")
        d.ok("blockdev-add", node_name="m", driver="file", filename="m")
        d.ok("blockdev-mirror", job_id="j", device="top", target="m", sync="full")
        d.wait_event("BLOCK_JOB_READY")
        assert writer.wait(WAIT) == 0
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", "-U", url("d"), "m")
        d.ok("block-job-cancel", device="j")
        d.job_ended("j")
        d.ok("block-commit", job_id="k", device="top")
        d.wait_event("BLOCK_JOB_READY")
        d.ok("job-complete", id="k")
        d.job_ended("k")
        d.ok("quit")
        d.process.wait(WAIT)
    run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", "b.qcow2", "m")


def backups_are_compressed():
    data = bytes(i >> 12 & 255 for i in range(0, SIZE))
    with open(path("raw"), "wb") as f:
        f.write(data)
    run("qemu-img", "create", "-q", "-f", "qcow2", "to.qcow2", str(SIZE))
    run("qemu-img", "create", "-q", "-f", "raw", "plain", str(SIZE))
    with Daemon("--blockdev", "driver=raw,node-name=n,file.driver=file,file.filename=raw", "--blockdev",
                "driver=qcow2,node-name=to,file.driver=file,file.filename=to.qcow2", "--blockdev",
                "driver=file,node-name=plain,filename=plain") as d:
        d.ok("blockdev-backup", job_id="j", device="n", target="to", sync="full", compress=True)
        d.job_ended("j")
        d.ok("drive-backup", job_id="k", device="n", target=path("new.qcow2"), format="qcow2", sync="full", compress=True)
        d.job_ended("k")
        said = d.command("blockdev-backup", job_id="l", device="n", target="plain", sync="full", compress=True)
        assert "compress" in said["error"]["desc"], said
        d.ok("blockdev-del", node_name="to")
    for name in ("to.qcow2", "new.qcow2"):
        run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "raw", name)
        found = json.loads(run("qemu-img", "check", "--output=json", name))
        assert found["compressed-clusters"] == SIZE // 65536, found
        assert os.stat(path(name)).st_size < SIZE // 2


def it_serves_over_tls_and_in_the_background():
    authority = certificates.Authority(path("pki"))
    authority.sign(path("pki"), "server")
    authority.sign(path("pki"), "client")
    qcow2("c.qcow2")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    run(DAEMON, "--object=tls-creds-x509,id=t,endpoint=server,dir=" + path("pki"), "--blockdev",
        "driver=qcow2,node-name=n,file.driver=file,file.filename=" + path("c.qcow2"), "--nbd-server",
        "addr.type=inet,addr.host=127.0.0.1,addr.port=%d,tls-creds=t" % port, "--export", "nbd,id=e,node-name=n",
        "--pidfile", path("pid"), "--daemonize", "--chardev", "socket,id=c,path=%s,server=on,wait=off" % path("mon"),
        "--monitor", "chardev=c")
    with open(path("pid"), encoding="ascii") as f:
        pid = int(f.read())
    try:
        assert run("nbdinfo", "--size", "nbds://127.0.0.1:%d/n?tls-certificates=%s" % (port, path("pki"))
                   ).strip() == str(SIZE)
        run("nbdinfo", "--size", "nbd://127.0.0.1:%d/n" % port, status=1)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path("mon"))
            assert b'"QMP"' in s.recv(1000)
    finally:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + WAIT
    while os.path.exists(path("pid")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(path("pid"))


def there_is_no_machine():
    with Daemon() as d:
        assert d.ok("query-cpus-fast") == []
        assert not [n for n in d.ok("qom-list", path="/machine/peripheral") if n["type"].startswith("child<")]
        with open("/proc/%d/maps" % d.process.pid, encoding="ascii") as f:
            maps = f.read()
        for module in ("accel-tcg", "accel-interp", "accel-kvm", "hw-pc", "pci", "display"):
            assert "/%s.so" % module not in maps, module


def wrong_words_are_one_line():
    for args, word in ((("--drive", "file=x"), "no such option"), (("x",), "nothing that it belongs to"),
                       (("--blockdev",), "argument is missing"), (("--daemonize=yes",), "takes no argument"),
                       (("--export", "nbd,id=e,node-name=n"), "no NBD server"),
                       (("--nbd-server", "addr.type=unix,addr.path=" + SOCK, "--export", "nbd,id=e,node-name=n"),
                        "'n'"),
                       (("--nbd-server", "addr.type=vsock"), "addr"), (("--nbd-server", "max-connections=1"), "addr"),
                       (("--nbd-server", "addr.type=unix,addr.path=%s,tls-creds=t" % SOCK), "'t'"),
                       (("--export", "fuse,id=e,node-name=n"), "fuse"), (("--monitor", "nothing"), "nothing")):
        said = run(DAEMON, *args, status=1)
        assert word in said and said.count("\n") == 1, (args, said)
        if os.path.exists(SOCK):
            os.unlink(SOCK)
    assert "--nbd-server" in run(DAEMON, "--help") and "version" in run(DAEMON, "-V")


tap.run([exports_stand_on_the_command_line, jobs_run_while_clients_write, backups_are_compressed,
         it_serves_over_tls_and_in_the_background,
         there_is_no_machine, wrong_words_are_one_line])
