# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Images on an NFS server: nfs-ganesha over a folder that shows what was written, with rpcbind, both in a network of their
own; qemu-img and qemu-io beside it.
Usage: test-nfs.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import FOLDER, WAIT, content, other as run, path  # noqa: E402
from qmp import Emulator  # noqa: E402

APART = "BACKPLANE_NFS_APART"
if os.getuid() == 0 and APART not in os.environ and shutil.which("unshare"):
    os.execvpe("unshare", ["unshare", "-nm", "sh", "-c",
                           "ip link set lo up && mount -t tmpfs tmpfs /run && exec \"$@\"",
                           "sh", sys.executable, *sys.argv], {**os.environ, APART: "1"})

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
EXPORT = os.path.join(FOLDER, "export")
SIZE = 5 * 1048576 + 4096
CONF = """
NFS_CORE_PARAM {{ NFS_Port = 2050; MNT_Port = 2051; Protocols = 3; Enable_NLM = false; Enable_RQUOTA = false;
                  Enable_UDP = false; mount_path_pseudo = true; allow_set_io_flusher_fail = true; }}
NFSv4 {{ Graceless = true; RecoveryRoot = {0}/recovery; }}
EXPORT_DEFAULTS {{ Access_Type = RW; Squash = None; SecType = sys; }}
EXPORT {{ Export_Id = 1; Path = {0}/export; Pseudo = /e; Protocols = 3; Transports = TCP; FSAL {{ Name = VFS; }} }}
"""


def raw(name, seed, size=SIZE):
    data = random.Random(seed).randbytes(size)
    with open(path(name), "wb") as f:
        f.write(data)
    return data


class Server:
    """nfs-ganesha and the port mapper that it tells where it is."""
    mapper = process = None

    def start(self):
        if self.process:
            return
        for program in ("ganesha.nfsd", "rpcbind"):
            if not shutil.which(program):
                raise tap.Skip(program + " is missing (nfs-ganesha-vfs, rpcbind)")
        if APART not in os.environ:
            raise tap.Skip("a network of its own is for root alone")
        os.makedirs(EXPORT, exist_ok=True)
        os.makedirs(path("recovery"), exist_ok=True)
        os.chmod(EXPORT, 0o777)
        if not self.mapper:
            self.mapper = subprocess.Popen(["rpcbind", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(path("ganesha.conf"), "w", encoding="utf-8") as f:
            f.write(CONF.format(FOLDER))
        log = path("ganesha.log")
        if os.path.exists(log):
            os.unlink(log)
        self.process = subprocess.Popen(["ganesha.nfsd", "-F", "-f", path("ganesha.conf"), "-L", log, "-p",
                                         path("ganesha.pid")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT
        while not os.path.exists(log) or b"NFS SERVER INITIALIZED" not in content("ganesha.log"):
            assert self.process.poll() is None and time.monotonic() < deadline, content("ganesha.log")[-2000:]
            time.sleep(0.1)

    def die(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        self.die()
        if self.mapper:
            self.mapper.kill()
            self.mapper.wait()


SERVER = Server()


def url(name, more=""):
    return "nfs://127.0.0.1/e/%s%s" % (name, more)


def open_node(name, **keys):
    """An emulator that exports the file by NBD, and what qemu-io is to be told."""
    e = Emulator(PROGRAM, "-M", "none", "-blockdev", json.dumps({
        "driver": "nfs", "node-name": "n", "server": {"type": "inet", "host": "127.0.0.1"}, "path": "/e/" + name,
        **keys}))
    e.__enter__()
    sock = path("nbd-%d" % e.process.pid)
    e.command("nbd-server-start", addr={"type": "unix", "data": {"path": sock}})
    reply = e.command("block-export-add", id="x", type="nbd", node_name="n", writable=True)
    assert reply == {"return": {}}, reply
    return e, "nbd+unix:///n?socket=" + sock


def io(at, *commands, status=0):
    script = [word for command in commands for word in ("-c", command)]
    return run("qemu-io", "-f", "raw", *script, at, status=status)


def images_are_made_read_and_written():
    SERVER.start()
    data = raw("plain", 1)
    for n, more in enumerate(("", "?nfsport=2050&mountport=2051")):
        run(TOOL, "create", "-q", "-f", "raw", url("r%d.img" % n, more), "7M")
        assert os.path.getsize(EXPORT + "/r%d.img" % n) == 7 << 20
        run(TOOL, "convert", "-f", "raw", "-O", "raw", "plain", url("r%d.img" % n, more))
        assert content("export/r%d.img" % n) == data
        run(TOOL, "convert", "-f", "raw", "-O", "qcow2", "plain", url("q%d.qcow2" % n, more))
        run("qemu-img", "check", "-q", EXPORT + "/q%d.qcow2" % n)
        run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", EXPORT + "/q%d.qcow2" % n, "plain")
        run(TOOL, "convert", url("q%d.qcow2" % n, more), "-O", "raw", "back")
        assert content("back") == data
        shown = json.loads(run(TOOL, "info", "--output=json", url("r%d.img" % n)))
        assert shown["virtual-size"] == SIZE and shown["filename"] == url("r%d.img" % n), shown
        assert shown["actual-size"] >= SIZE, shown
    run(TOOL, "convert", "-O", "raw", "nfs://127.0.0.1:2050/e/r0.img?mountport=2051&readahead=65536&pagecache=65536",
        "back")
    assert content("back") == data
    run(TOOL, "resize", "-q", "-f", "raw", url("r0.img"), "6M")
    assert os.path.getsize(EXPORT + "/r0.img") == 6 << 20
    run(TOOL, "resize", "-q", "-f", "raw", "--shrink", url("r0.img"), "1M")
    assert content("export/r0.img") == data[:1 << 20]
    assert "No such file" in run(TOOL, "info", url("nothing"), status=1)


def guests_write_and_flush():
    SERVER.start()
    data = bytearray(raw("export/g.img", 2))
    e, at = open_node("g.img", **{"user": 0, "group": 0, "tcp-syn-count": 3, "readahead-size": 131072,
                                  "page-cache-size": 1048576})
    try:
        script = []
        for offset, length, byte in ((0, 512, 1), (12345, 100, 2), (1 << 20, 3 << 20, 3), (SIZE - 300000, 300000, 4)):
            script += ["read 0 1M", "write -P %d %d %d" % (byte, offset, length),
                       "read -P %d %d %d" % (byte, offset, length)]
            data[offset:offset + length] = bytes([byte]) * length
        io(at, *script, "write -z 200000 70000", "flush")
        data[200000:270000] = bytes(70000)
        assert content("export/g.img") == data
        run("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", at, EXPORT + "/g.img")
        reply = e.command("block_resize", node_name="n", size=SIZE + 1048576)
        assert reply == {"return": {}}, reply
        assert os.path.getsize(EXPORT + "/g.img") == SIZE + 1048576
    finally:
        e.__exit__()


def the_server_is_asked_as_somebody():
    SERVER.start()
    run(TOOL, "create", "-q", "-f", "raw", url("mine.img", "?uid=1234&gid=2345"), "1M")
    facts = os.stat(EXPORT + "/mine.img")
    assert (facts.st_uid, facts.st_gid) == (1234, 2345), facts
    raw("export/root.img", 3, 1 << 20)
    os.chmod(EXPORT + "/root.img", 0o644)
    with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file.driver=nfs,file.server.type=inet,"
                  "file.server.host=127.0.0.1,file.path=/e/root.img,file.user=1234,file.group=2345") as e:
        shown, = e.command("query-block")["return"]
        assert shown["inserted"]["ro"] is True and shown["inserted"]["file"] == url("root.img", "?uid=1234&gid=2345"), \
            shown
    for keys, word in (("user=1234,read-only=off", "Permission denied"), ("user=-2", "user"), ("timeout=99999",
                                                                                               "86400"),
                       ("readahead-size=1,cache.direct=on", "cache.direct")):
        done = subprocess.run([PROGRAM, "-M", "none", "-blockdev",
                               "driver=nfs,node-name=n,server.type=inet,server.host="
                               "127.0.0.1,path=/e/root.img," + keys], capture_output=True, text=True, timeout=WAIT,
                              check=False)
        assert done.returncode == 1 and word in done.stderr and done.stderr.count("\n") == 1, (keys, done)


def what_libnfs_does_is_told_when_asked_for():
    SERVER.start()
    raw("export/l.img", 4, 65536)
    words = {}
    for level in (0, 9):
        done = subprocess.run([TOOL, "info", url("l.img", "?debug=%d" % level)], capture_output=True, text=True,
                              timeout=WAIT, check=True)
        words[level] = done.stderr
    assert words[0] == "" and "libnfs" in words[9], words


def a_server_that_starts_anew_is_used_again():
    SERVER.start()
    data = bytearray(raw("export/a.img", 5))
    e, at = open_node("a.img")
    try:
        io(at, "write -P 1 0 1M")
        data[:1 << 20] = b"\1" * (1 << 20)
        for byte in (2, 3):
            SERVER.die()
            SERVER.start()
            io(at, "read -P %d 0 1M" % (byte - 1), "write -P %d 0 1M" % byte, "flush")
            data[:1 << 20] = bytes([byte]) * (1 << 20)
            assert content("export/a.img") == data
    finally:
        e.__exit__()


def writes_that_the_server_forgot_are_sent_again():
    SERVER.start()
    data = bytearray(raw("export/f.img", 6))
    e, at = open_node("f.img")
    try:
        script = []
        for offset, length, byte in ((4096, 8192, 7), (6000, 3000, 8), (1 << 20, 2 << 20, 9)):
            script += ["-c", "write -P %d %d %d" % (byte, offset, length)]
            data[offset:offset + length] = bytes([byte]) * length
        # It flushes when it ends, unless it is killed.
        with subprocess.Popen(["qemu-io", "-t", "writeback", "-f", "raw", *script, "-c", "sleep 1000000", at],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as writer:
            deadline = time.monotonic() + WAIT
            while content("export/f.img") != data:
                assert writer.poll() is None and time.monotonic() < deadline, "they are not there"
                time.sleep(0.1)
            writer.kill()
        SERVER.die()
        with open(EXPORT + "/f.img", "r+b") as f: # as a server would whose memory they were in
            f.write(random.Random(6).randbytes(SIZE))
        assert content("export/f.img") != data
        SERVER.start()
        io(at, "write -P 6 0 1", "flush")
        data[0] = 6
        assert content("export/f.img") == data
    finally:
        e.__exit__()


def a_server_that_is_gone_is_an_error_in_time():
    SERVER.start()
    data = raw("export/d.img", 7)
    e, at = open_node("d.img")
    try:
        SERVER.die()
        start = time.monotonic()
        said = io(at, "write -P 1 0 512", "read 4096 512", status=1)
        assert said.count("Input/output error") == 2 and time.monotonic() - start < 30, (said, time.monotonic() - start)
        assert e.command("query-status")["return"]["status"] == "running"
        SERVER.start()
        io(at, "read 0 1M", "write -P 5 512 512", "flush")
        assert content("export/d.img") == data[:512] + b"\5" * 512 + data[1024:]
    finally:
        e.__exit__()
    SERVER.die()
    said = run(TOOL, "info", url("d.img"), status=1)
    assert "d.img" in said and said.count("\n") == 1, said


def a_server_that_says_nothing_is_an_error_in_time():
    SERVER.start()
    data = raw("export/s.img", 8)
    e, at = open_node("s.img", timeout=2)
    try:
        io(at, "read 0 512")
        os.kill(SERVER.process.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            said = io(at, "read 4096 512", status=1)
            assert "Input/output error" in said and 1.5 < time.monotonic() - start < 20, said
            said = run(TOOL, "info", "--image-opts",
                       "driver=nfs,server.host=127.0.0.1,server.port=2050,mount-port=2051,"
                       "path=/e/s.img,timeout=1", status=1)
            assert "does not answer" in said and said.count("\n") == 1, said
        finally:
            os.kill(SERVER.process.pid, signal.SIGCONT)
        io(at, "read 0 1M", "write -P 6 0 512", "flush")
        assert content("export/s.img") == b"\6" * 512 + data[512:]
    finally:
        e.__exit__()


def another_file_of_its_name_is_left_alone():
    SERVER.start()
    raw("export/o.img", 9, 1 << 20)
    e, at = open_node("o.img")
    try:
        SERVER.die()
        other = raw("export/other.img", 10, 1 << 20)
        os.rename(EXPORT + "/other.img", EXPORT + "/o.img")
        SERVER.start()
        said = io(at, "write -P 1 0 512", status=1)
        assert "Input/output error" in said, said
        assert content("export/o.img") == other
    finally:
        e.__exit__()


def a_file_can_be_made_over_qmp():
    SERVER.start()
    with Emulator(PROGRAM, "-M", "none") as e:
        options = {"driver": "nfs", "size": 3 << 20, "location": {
            "server": {"type": "inet", "host": "127.0.0.1"}, "path": "/e/new.img", "user": 1234}}
        assert e.command("blockdev-create", job_id="j", options=options) == {"return": {}}
        while True:
            job, = e.command("query-jobs")["return"]
            if job["status"] == "concluded":
                break
            time.sleep(0.05)
        assert "error" not in job, job
    facts = os.stat(EXPORT + "/new.img")
    assert facts.st_size == 3 << 20 and facts.st_uid == 1234, facts


def wrong_names_are_one_line():
    for name, word in (("nfs://h", "path"), ("nfs://h/", "file's name"), ("nfs://h/a/", "file's name"), ("nfs:/h/a",
                                                                                                         "nfs://"),
                       ("nfs:///a/b", "host"), ("nfs://h:0/a", "65535"), ("nfs://h:70000/a", "65535"),
                       ("nfs://h:x/a", "port"), ("nfs://[::1/a", "IPv6"), ("nfs://h/a%", "%"), ("nfs://h%00/a", "%"),
                       ("nfs://u@h/a", "uid="), ("nfs://h/a#b", "%23"), ("nfs://h/a?x=1", "'x'"), ("nfs://h/a?uid",
                                                                                                   "uid"),
                       ("nfs://h/a?uid=x", "uid"), ("nfs://h/a?uid=99999999999", "uid"), ("nfs://h/a?version=4",
                                                                                          "version 3"),
                       ("nfs://h/a?readahead=1048577", "1048576"), ("nfs://h/a?pagecache=67108865", "67108864"),
                       ("nfs://h/a?debug=10", "debug"), ("nfs://h/a?tcp-syncnt=0", "tcp-syn-count"),
                       ("nfs://h/a?mountport=0", "mount-port"), ("nfs://h /a", "host"), ("nfs://h/" + "a" * 2000,
                                                                                         "255"),
                       ("nfs://h/a/..", "file's name")):
        said = run(TOOL, "info", name, status=1)
        assert word in said and said.count("\n") == 1, (name, said)
    for keys, word in (("path=/a", "'server'"), ("server.host=h", "'path'"), ("server.host=h,path=a",
                                                                              "begins with '/'"),
                       ("server.type=unix,server.host=h,path=/a", "inet"), ("server.type=inet,path=/a", "server.host"),
                       ("server.host=h,server.port=0,path=/a", "65535"), ("filename=nfs://h/a,path=/a", "URL"),
                       ("filename=nfs://h/a?uid=1,user=2", "once"), ("server.host=h,path=/a,user=-5", "user")):
        said = run(TOOL, "info", "--image-opts", "driver=nfs," + keys, status=1)
        assert word in said and said.count("\n") == 1, (keys, said)


try:
    tap.run([images_are_made_read_and_written, guests_write_and_flush, the_server_is_asked_as_somebody,
             what_libnfs_does_is_told_when_asked_for, a_server_that_starts_anew_is_used_again,
             writes_that_the_server_forgot_are_sent_again, a_server_that_is_gone_is_an_error_in_time,
             a_server_that_says_nothing_is_an_error_in_time, another_file_of_its_name_is_left_alone,
             a_file_can_be_made_over_qmp, wrong_names_are_one_line])
finally:
    SERVER.stop()
