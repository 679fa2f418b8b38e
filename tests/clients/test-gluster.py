# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Images in Gluster volumes: a real glusterd and its brick, whose folder shows what was written; qemu-img beside it.
Usage: test-gluster.py SOURCE-ROOT BUILD-ROOT
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
import tap  # noqa: E402
from images import FOLDER, WAIT, content, other as run, path  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
SOCK = os.path.join(FOLDER, "sock")
BRICK = os.path.join(FOLDER, "brick/v")
SIZE = 5 * 1048576 + 4096
VOLFILE = """volume management
    type mgmt/glusterd
    option working-directory {0}/work
    option run-directory {0}/run
    option glusterd-sockfile {0}/sock
    option transport-type socket
    option transport.socket.listen-port 24007
    option ping-timeout 0
    option event-threads 1
end-volume
"""


def raw(name, seed, size=SIZE):
    rand, data = random.Random(seed), bytearray(size)
    for at in range(0, size, 65536):
        if rand.randrange(3):
            data[at:at + 65536] = rand.randbytes(min(65536, size - at))
    with open(path(name), "wb") as f:
        f.write(data)
    return bytes(data)


def own_address():
    """Bricks do not take that of the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.99", 9))
            return s.getsockname()[0]
        except OSError:
            return None


class Cluster:
    """glusterd at its usual port, with a volume `v` of one brick."""
    process = None

    def start(self):
        if self.process:
            return self
        if not shutil.which("glusterd"):
            raise tap.Skip("glusterd is missing (glusterfs-server)")
        if os.getuid() != 0:
            raise tap.Skip("glusterd runs as root")
        self.host = own_address()
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("0.0.0.0", 24007))
            except OSError:
                raise tap.Skip("port 24007 is taken")
        if not self.host or self.host.startswith("127."):
            raise tap.Skip("this computer has no address but that of the loopback")
        for name in ("work", "run", "brick", "log"):
            os.makedirs(path(name), exist_ok=True)
        with open(path("glusterd.vol"), "w", encoding="utf-8") as f:
            f.write(VOLFILE.format(FOLDER))
        self.process = subprocess.Popen(["glusterd", "-N", "-f", path("glusterd.vol"), "-p", path("pid"), "-l",
                                         path("log/glusterd.log")], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT
        while not os.path.exists(SOCK):
            assert self.process.poll() is None and time.monotonic() < deadline, content("log/glusterd.log")[-2000:]
            time.sleep(0.1)
        self.say("volume", "create", "v", "%s:%s" % (self.host, BRICK), "force")
        self.say("volume", "start", "v")
        return self

    @staticmethod
    def say(*args):
        return run("gluster", "--mode=script", "--glusterd-sock=" + SOCK, "--log-file=" + path("log/cli.log"), *args)

    def stop(self):
        if not self.process:
            return
        for folder, _, names in os.walk(path("run")):
            for name in names:
                if name.endswith(".pid"):
                    with open(os.path.join(folder, name), encoding="ascii") as f:
                        stop(int(f.read() or 0))
        self.process.kill()
        self.process.wait()
        self.process = None


def stop(pid):
    try:
        if pid:
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


CLUSTER = Cluster()


def uri(name, unix=False):
    return "gluster+unix:///v/%s?socket=%s" % (name, SOCK) if unix else "gluster://%s/v/%s" % (CLUSTER.host, name)


def images_are_made_read_and_written():
    CLUSTER.start()
    data = raw("plain", 1)
    for n, unix in enumerate((False, True)):
        run(TOOL, "convert", "-f", "raw", "-O", "raw", "plain", uri("r%d.img" % n, unix))
        assert content("brick/v/r%d.img" % n) == data
        run(TOOL, "convert", "-f", "raw", "-O", "qcow2", "plain", uri("q%d.qcow2" % n, unix))
        run("qemu-img", "check", "-q", BRICK + "/q%d.qcow2" % n)
        run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", BRICK + "/q%d.qcow2" % n, "plain")
        run(TOOL, "convert", uri("q%d.qcow2" % n, not unix), "-O", "raw", "back")
        assert content("back") == data
        shown = json.loads(run(TOOL, "info", "--output=json", uri("r%d.img" % n, unix)))
        assert shown["virtual-size"] == SIZE and shown["filename"] == uri("r%d.img" % n, unix).replace(
            SOCK, SOCK), shown
    run(TOOL, "convert", "-O", "raw", "gluster+tcp://%s:24007/v/r0.img" % CLUSTER.host, "back")
    assert content("back") == data
    with open(path("brick/v/holes"), "wb") as f:
        f.truncate(4 << 20)
        f.seek(1 << 20)
        f.write(b"x" * 65536)
    parts = json.loads(run(TOOL, "map", "-f", "raw", "--output=json", uri("holes")))
    assert [(p["start"], p["data"]) for p in parts] == [(0, False), (1 << 20, True), ((1 << 20) + 65536, False)], parts
    assert "No such file" in run(TOOL, "info", uri("nothing"), status=1)
    run(TOOL, "resize", "-q", "-f", "raw", uri("holes"), "6M")
    assert os.path.getsize(path("brick/v/holes")) == 6 << 20


def guests_write_flush_and_discard():
    CLUSTER.start()
    data = bytearray(raw("brick/v/g.img", 2))
    with Emulator(PROGRAM, "-M", "none", "-blockdev", json.dumps({
            "driver": "raw", "node-name": "n", "discard": "unmap", "file": {
                "driver": "gluster", "volume": "v", "path": "/g.img", "server": [
                    {"type": "inet", "host": CLUSTER.host, "port": "24007"}]}})) as e:
        sock = path("nbd")
        e.command("nbd-server-start", addr={"type": "unix", "data": {"path": sock}})
        e.command("block-export-add", id="e", type="nbd", node_name="n", writable=True)
        before = os.stat(path("brick/v/g.img")).st_blocks
        script = []
        for at, length, byte in ((0, 512, 1), (12345, 100, 2), (1 << 20, 1 << 20, 3), (SIZE - 300000, 300000, 4)):
            script += ["-c", "write -P %d %d %d" % (byte, at, length)]
            data[at:at + length] = bytes([byte]) * length
        script += ["-c", "write -z 200000 70000", "-c", "flush", "-c", "discard 2M 1M"]
        data[200000:270000] = bytes(70000)
        data[2 << 20:3 << 20] = bytes(1 << 20)
        run("qemu-io", "-f", "raw", *script, "nbd+unix:///n?socket=" + sock)
    assert content("brick/v/g.img") == data
    assert os.stat(path("brick/v/g.img")).st_blocks < before


def the_documented_forms_are_taken():
    CLUSTER.start()
    raw("plain", 3)
    run(TOOL, "create", "-q", "-f", "qcow2", BRICK + "/a.img", "3M")
    os.makedirs(BRICK + "/path", exist_ok=True)
    shutil.copy(BRICK + "/a.img", BRICK + "/path/a.img")
    log = path("doc.log")
    servers = [{"type": "tcp", "host": CLUSTER.host, "port": 24007}, {"type": "unix", "socket": SOCK}]
    forms = (
        ("gluster://%s/v/a.img" % CLUSTER.host,
         "if=none,file=gluster://%s/v/a.img,file.debug=9,file.logfile=%s" % (CLUSTER.host, log)),
        ("gluster://%s/v/a.img" % CLUSTER.host, "if=none,file=json:" + json.dumps({
            "driver": "qcow2", "file": {"driver": "gluster", "volume": "v", "path": "a.img", "debug": 9, "logfile": log,
                                        "server": servers}}).replace(",", ",,")),
        ("gluster://%s/v/path/a.img" % CLUSTER.host,
         "if=none,driver=qcow2,file.driver=gluster,file.volume=v,file.path=/path/a.img,file.debug=9,"
         "file.logfile=%s,file.server.0.type=tcp,file.server.0.host=%s,file.server.0.port=24007,"
         "file.server.1.type=unix,file.server.1.socket=%s" % (log, CLUSTER.host, SOCK)))
    for name, form in forms:
        if os.path.exists(log):
            os.unlink(log)
        with Emulator(PROGRAM, "-M", "none", "-drive", form) as e:
            shown, = e.command("query-block")["return"]
            assert shown["inserted"]["image"]["virtual-size"] == 3 << 20, shown
            assert "qcow2" in [n["drv"] for n in e.command("query-named-block-nodes")["return"]], shown
            nodes = e.command("query-named-block-nodes")["return"]
            assert name in [n["file"] for n in nodes], nodes
        assert os.path.getsize(log) > 0, form


def the_log_has_what_its_level_asks_for():
    CLUSTER.start()
    raw("brick/v/l.img", 4, 65536)
    lines = {}
    for level in (0, 4, 9):
        log = path("level-%d.log" % level)
        run(TOOL, "info", "--image-opts", "driver=gluster,volume=v,path=l.img,server.0.type=unix,server.0.socket=%s,"
            "debug=%d,logfile=%s" % (SOCK, level, log))
        lines[level] = content(log).decode() if os.path.exists(log) else ""
    assert "] T [" in lines[9] or "] D [" in lines[9], lines[9][:2000]
    assert "] D [" not in lines[4] and "] T [" not in lines[4], lines[4][:2000]
    assert "] E [" not in lines[0] and "] W [" not in lines[0], lines[0][:2000]
    said = run(TOOL, "info", "--image-opts", "driver=gluster,volume=v,path=l.img,server.0.type=unix,server.0.socket=%s,"
               "debug=10" % SOCK, status=1)
    assert "0 to 9" in said, said


def another_server_is_asked_when_the_first_is_away():
    CLUSTER.start()
    data = raw("brick/v/f.img", 5, 1 << 20)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        away = s.getsockname()[1]
    first = "driver=gluster,volume=v,path=f.img,server.0.type=tcp,server.0.host=127.0.0.1,server.0.port=%d" % away
    log = ",logfile=" + path("away.log")
    for second in ("server.1.type=tcp,server.1.host=" + CLUSTER.host, "server.1.type=unix,server.1.socket=" + SOCK):
        run(TOOL, "convert", "-O", "raw", "--image-opts", first + "," + second + log, "back")
        assert content("back") == data
    said = run(TOOL, "info", "--image-opts", first + log, status=1)
    assert "127.0.0.1" in said and said.count("\n") == 1, said
    said = run(TOOL, "info", "--image-opts", first + ",server.1.type=unix,server.1.socket=/nowhere" + log, status=1)
    assert "and others" in said, said


def wrong_names_are_one_line():
    for name, word in (("gluster://h", "/VOLUME/PATH"), ("gluster://h/v", "/VOLUME/PATH"), ("gluster://h/v/", "path"),
                       ("gluster://h//p", "volume"), ("gluster+rdma://h/v/p", "rdma"), ("gluster+udp://h/v/p", "+udp"),
                       ("gluster://h:0/v/p", "65535"), ("gluster://h:70000/v/p", "65535"),
                       ("gluster://h:x/v/p", "port"),
                       ("gluster://[::1/v/p", "IPv6"), ("gluster://h/v/p%", "%"), ("gluster://h/v%00/p", "%"),
                       ("gluster://h/v/p?socket=/s", "gluster+unix"), ("gluster+unix:///v/p", "socket is missing"),
                       ("gluster+unix://h/v/p?socket=/s", "no host"), ("gluster://h/v/p?size=4", "size=4"),
                       ("gluster+unix:///v/p?socket=/" + "s" * 200, "too long"), ("gluster:h/v/p", "gluster[+tcp")):
        said = run(TOOL, "info", name, status=1)
        assert word in said and said.count("\n") == 1, (name, said)
    for keys, word in (("volume=v,path=p", "'server'"), ("path=p,server.type=tcp,server.host=h", "'volume'"),
                       ("volume=v,server.type=tcp,server.host=h", "'path'"),
                       ("volume=v,path=p,server.type=fd", "'fd'"), ("volume=v,path=p,server.0.type=unix", "socket="),
                       ("volume=v,path=p,server.0.type=tcp", "host="),
                       ("volume=v,path=p,server.1.type=tcp,server.1.host=h", "server.0"),
                       ("volume=v,path=p,server.0.type=tcp,server.0.host=h,server.0.port=99999", "65535"),
                       ("volume=,path=p,server.type=tcp,server.host=h", "volume"),
                       ("filename=gluster://h/v/p,volume=v", "URI")):
        said = run(TOOL, "info", "--image-opts", "driver=gluster," + keys, status=1)
        assert word in said and said.count("\n") == 1, (keys, said)


def a_brick_that_dies_is_an_error():
    CLUSTER.start()
    raw("brick/v/d.img", 6)
    with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=gluster,node-name=n,volume=v,path=d.img,"
                  "server.0.type=unix,server.0.socket=%s,logfile=%s" % (SOCK, path("d.log")), "-blockdev",
                  "driver=null-co,node-name=to,size=%d" % SIZE) as e:
        CLUSTER.stop()
        reply = e.command("blockdev-backup", job_id="j", device="n", target="to", sync="full")
        assert reply == {"return": {}}, reply
        assert "error" in e.wait_event("BLOCK_JOB_COMPLETED")


try:
    tap.run([images_are_made_read_and_written, guests_write_flush_and_discard, the_documented_forms_are_taken,
             the_log_has_what_its_level_asks_for, another_server_is_asked_when_the_first_is_away,
             wrong_names_are_one_line, a_brick_that_dies_is_an_error])
finally:
    CLUSTER.stop()
