# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Disk images over SSH: OpenSSH's sshd on the loopback interface, with keys, known_hosts and an ssh-agent of its own.
Usage: test-ssh.py SOURCE-ROOT BUILD-ROOT
"""
import base64
import hashlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("ssh-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 3 * 1048576 + 512
DATA = random.Random(1).randbytes(SIZE)
USER = pwd.getpwuid(os.getuid()).pw_name
SFTP_SERVER = "/usr/lib/openssh/sftp-server"
ENV = {**os.environ, "HOME": FOLDER}
ENV.pop("SSH_AUTH_SOCK", None)


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0, env=None):
    done = subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False, env=env or ENV)
    assert done.returncode == status, (args, done)
    return done.stdout + done.stderr


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def write(name, data):
    with open(path(name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def make_key(name):
    if not os.path.exists(path(name)):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path(name)], check=True)
    return base64.b64decode(content(name + ".pub").split()[1])


def descendants(pid):
    found = []
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
            for child in f.read().split():
                found += [int(child), *descendants(int(child))]
    except OSError:
        pass
    return found


class Sshd:
    def __init__(self, sftp_options="", host_key="host"):
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        if not os.path.exists(program) or not os.path.exists(SFTP_SERVER):
            raise tap.Skip("sshd is missing (openssh-server)")
        self.key = make_key(host_key)
        make_key("user")
        self.made = False
        if os.getuid() == 0 and not os.path.exists("/run/sshd"): # where sshd locks itself up
            os.mkdir("/run/sshd", 0o755)
            self.made = True
        write("sftp.sh", "#!/bin/sh\nexec %s -e -l DEBUG3 %s 2>>%s\n" % (SFTP_SERVER, sftp_options, path("sftp.log")))
        os.chmod(path("sftp.sh"), 0o755)
        write("sftp.log", "")
        for _ in range(20):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            write("sshd.conf", "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nUsePAM no\n"
                  "StrictModes no\nPermitRootLogin yes\nPidFile none\nPasswordAuthentication no\n"
                  "KbdInteractiveAuthentication no\nSubsystem sftp %s\n" %
                  (self.port, path(host_key), path("user.pub"), path("sftp.sh")))
            self.process = subprocess.Popen([program, "-D", "-e", "-f", path("sshd.conf")], stdin=subprocess.DEVNULL,
                                            stderr=open(path("sshd.log"), "ab"))
            if self.answers():
                break
        else:
            raise AssertionError(content("sshd.log"))
        self.place = "%s@127.0.0.1:%d" % (USER, self.port)
        self.url = "ssh://%s%s/" % (self.place, FOLDER)
        self.know(self.key)

    def know(self, key):
        os.makedirs(path(".ssh"), exist_ok=True)
        write(".ssh/known_hosts", "[127.0.0.1]:%d ssh-ed25519 %s\n" % (self.port, base64.b64encode(key).decode()))

    def answers(self):
        end = time.monotonic() + WAIT
        while self.process.poll() is None and time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    return s.recv(4) == b"SSH-"
            except OSError:
                time.sleep(0.05)
        return False

    def signal(self, number):
        """To it and all that it started: each connection has a process or two."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.signal(signal.SIGKILL)
        self.process.wait()
        if self.made:
            os.rmdir("/run/sshd")


class Agent:
    """Names itself in ENV while it is there."""

    def __init__(self, key="user"):
        make_key(key)
        self.socket = path("agent")
        self.process = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL)
        while not os.path.exists(self.socket):
            assert self.process.poll() is None
            time.sleep(0.02)
        self.env = {**ENV, "SSH_AUTH_SOCK": self.socket}
        subprocess.run(["ssh-add", "-q", path(key)], env=self.env, check=True, stderr=subprocess.DEVNULL)

    def __enter__(self):
        ENV["SSH_AUTH_SOCK"] = self.socket
        return self

    def __exit__(self, *exception):
        ENV.pop("SSH_AUTH_SOCK", None)
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.socket):
            os.unlink(self.socket)


def here(name):
    """A node for a file of ours."""
    return ["-blockdev", "driver=raw,node-name=%s,file.driver=file,file.filename=%s" % (name, path(name + ".raw"))]


def start(e, source, target):
    reply = e.command("blockdev-backup", job_id="j", device=source, target=target, sync="full")
    assert reply == {"return": {}}, reply


def ended(e):
    """The job's error, or None."""
    return e.job_ended("j").get("error")


def copy(e, source, target):
    start(e, source, target)
    return ended(e)


def images_are_read_and_written():
    write("disk.raw", DATA)
    write("a b%.raw", DATA[:1048576])
    with Sshd() as server, Agent():
        run("convert", "-f", "raw", "-O", "raw", server.url + "disk.raw", "out.raw")
        assert content("out.raw") == DATA
        run("convert", "-f", "raw", "-O", "raw", server.url + "a%20b%25.raw", "out.raw")
        assert content("out.raw") == DATA[:1048576]
        write("target.raw", bytes(SIZE))
        run("convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", server.url + "target.raw")
        assert content("target.raw") == DATA
        run("resize", "-q", "-f", "raw", server.url + "target.raw", "4M")
        assert content("target.raw") == DATA + bytes(4194304 - SIZE)
        # One that grows when it is written to.
        run("create", "-q", "-f", "qcow2", "image.qcow2", "8M")
        run("bench", "-q", "-w", "-c", "40", "-s", "65536", "-f", "qcow2", "--pattern=7", server.url + "image.qcow2")
        run("check", "-q", "image.qcow2")
        run("convert", "-O", "raw", server.url + "image.qcow2", "out.raw")
        assert content("out.raw") == b"\7" * (40 * 65536) + bytes(8388608 - 40 * 65536)
        for name, word in (("nothing", "no such file"), ("", "folder")):
            assert word in run("info", server.url + name, status=1)


def nodes_and_drives_name_it():
    write("disk.raw", DATA)
    with Sshd() as server, Agent():
        keys = "driver=ssh,file.user=%s,file.host=127.0.0.1,file.port=%d,file.path=%s" % (USER, server.port,
                                                                                          path("disk.raw"))
        node = {"driver": "raw", "node-name": "n", "file": {
            "driver": "ssh", "user": USER, "path": path("disk.raw"), "host-key-check": {"mode": "known_hosts"},
            "server": {"host": "127.0.0.1", "port": str(server.port)}}}
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=%sdisk.raw" % server.url,
                      "-drive", "if=none,id=k,format=raw,file." + keys,
                      "-drive", "if=none,id=l,format=raw,file." + keys +
                      ",file.host_key_check=no,file.timeout=90", env=ENV) as e:
            assert e.command("blockdev-add", **node) == {"return": {}}
            nodes = e.command("query-named-block-nodes")["return"]
            assert len([n for n in nodes if n["file"] == server.url + "disk.raw"]) >= 4, nodes
            assert {n["image"]["virtual-size"] for n in nodes} == {SIZE // 512 * 512}, nodes
            assert not [n for n in nodes if n["ro"]], nodes
            assert e.command("blockdev-del", node_name="n") == {"return": {}}
        for said in (run("info", "--image-opts", "driver=ssh,host=127.0.0.1,port=99999,path=/x", status=1),
                     run("info", "ssh://127.0.0.1:0/x", status=1)):
            assert "1 to 65535" in said, said
        for name, word in (("ssh://host", "path is missing"), ("ssh://u:p@host/x", "ssh-agent"),
                           ("ssh://host/x?key=1", "host_key_check"), ("ssh://host/%zz", "damaged"),
                           ("ssh://[::1/x", "IPv6"), ("ssh:///x", "host"), ("ssh://ho st/x", "host"),
                           ("ssh://host/x?host_key_check=maybe", "sha256"),
                           ("ssh://host/x?host_key_check=md5:12", "16 bytes"),
                           ("ssh://host/x?host_key_check=crc:12", "md5, sha1, sha256")):
            assert word in run("info", name, status=1), name
        for keys, word in (("host=h", "path"), ("path=/x", "say where"), ("host=h,path=x", "begins with '/'"),
                           ("host=h,path=/x,timeout=100000", "86400"),
                           ("host=h,path=/x,host-key-check.mode=hash", "type and hash")):
            assert word in run("info", "--image-opts", "driver=ssh," + keys, status=1), keys


def what_is_flushed_is_on_stable_storage():
    write("target.raw", bytes(1048576))
    with Agent():
        with Sshd() as server:
            said = run("bench", "-q", "-w", "-c", "1", "-f", "raw", server.url + "target.raw")
            assert "stable" not in said, said
            assert b"fsync" in content("sftp.log").partition(b"write")[2], content("sftp.log")[-2000:]
        with Sshd("-P fsync") as server:
            said = run("bench", "-q", "-w", "-c", "4", "-d", "1", "--flush-interval=1", "-f", "raw",
                       server.url + "target.raw")
            assert said.count("fsync@openssh.com") == 1, said


def files_that_may_only_be_read_are():
    write("disk.raw", DATA)
    with Sshd("-R") as server, Agent(): # the server refuses to open for writing
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=%sdisk.raw" % server.url,
                      env=ENV) as e:
            assert e.command("query-block")["return"][0]["inserted"]["ro"]
        said = run("bench", "-q", "-w", "-f", "raw", "-c", "1", server.url + "disk.raw", status=1)
        assert "ermission denied" in said, said


def only_an_agent_shows_who_one_is():
    write("disk.raw", DATA)
    with Sshd() as server:
        name = server.url + "disk.raw"
        said = fails(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=" + name,
                     env={"HOME": FOLDER, "SSH_AUTH_SOCK": ""})
        assert "there is no ssh-agent (SSH_AUTH_SOCK is not set)" in said, said
        assert "SSH_AUTH_SOCK is not set" in run("info", name, status=1)
        said = run("info", name, status=1, env={**ENV, "SSH_AUTH_SOCK": path("nobody")})
        assert "no ssh-agent answers" in said, said
        # A key that lies where keys usually do is not taken.
        shutil.copy(path("user"), path(".ssh/id_ed25519"))
        assert "SSH_AUTH_SOCK is not set" in run("info", name, status=1)
        os.unlink(path(".ssh/id_ed25519"))
        with Agent("stranger"):
            assert "none of ssh-agent's keys" in run("info", name, status=1)
        with Agent():
            run("info", "-f", "raw", name)


def host_keys_are_checked():
    write("disk.raw", DATA)
    with Sshd() as server, Agent():
        name = server.url + "disk.raw"

        def said(check, status=0):
            return run("info", "-f", "raw", name + check, status=status)

        hashes = {kind: hashlib.new(kind, server.key).digest() for kind in ("md5", "sha1", "sha256")}
        said("")
        said("?host_key_check=yes")
        os.unlink(path(".ssh/known_hosts"))
        assert "not in known_hosts" in said("", 1)
        said("?host_key_check=no")
        assert not os.path.exists(path(".ssh/known_hosts"))
        for kind, value in hashes.items():
            said("?host_key_check=%s:%s" % (kind, value.hex()))
            said("?host_key_check=%s:%s" % (kind, value.hex(":").upper()))
            wrong = said("?host_key_check=%s:%s" % (kind, (value[:-1] + bytes([value[-1] ^ 1])).hex()), 1)
            assert "another one" in wrong and "%s:%s" % (kind, value.hex()) in wrong, wrong
        said("?host_key_check=SHA256:" + base64.b64encode(hashes["sha256"]).decode().rstrip("="))
        run("info", "--image-opts", "driver=raw,file.driver=ssh,file.user=%s,file.server.host=127.0.0.1,"
            "file.server.port=%d,file.path=%s,file.host-key-check.mode=hash,file.host-key-check.type=sha256,"
            "file.host-key-check.hash=%s" % (USER, server.port, path("disk.raw"), hashes["sha256"].hex()))
        server.know(make_key("impostor"))
        assert "not the one in known_hosts" in said("", 1)
        wrong = fails(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=" + name,
                      env={**ENV})
        assert "not the one in known_hosts" in wrong, wrong


def a_lost_server_is_an_error():
    """The server ends, or stands still, while a request is under way."""
    write("disk.raw", DATA)
    for kill, word in ((True, "connection is lost"), (False, "did not answer within 3 s")):
        write("target.raw", bytes(SIZE))
        write("copy.raw", bytes(SIZE))
        with Sshd() as server, Agent():
            options = "driver=ssh,node-name=f,timeout=3,user=%s,server.host=127.0.0.1,server.port=%d,path=%s" % (
                USER, server.port, path("target.raw"))
            with Emulator(PROGRAM, "-M", "none", "-blockdev", options, "-blockdev", "driver=raw,node-name=there,file=f",
                          *here("disk"), *here("copy"), env=ENV) as e:
                assert copy(e, "disk", "there") is None and content("target.raw") == DATA
                assert copy(e, "there", "copy") is None and content("copy.raw") == DATA
                server.signal(signal.SIGSTOP)
                start(e, "there", "copy")
                assert e.command("query-status")["return"] # while the request waits
                assert len(e.command("query-block-jobs")["return"]) == 1
                if kill:
                    server.signal(signal.SIGKILL)
                assert "Input/output error" in ended(e)
                assert "Input/output error" in copy(e, "there", "copy")
                assert "Input/output error" in copy(e, "disk", "there")
                assert "return" in e.command("blockdev-del", node_name="there")
                assert "return" in e.command("blockdev-del", node_name="f")
                e.command("quit")
                said = e.process.stderr.read()
                assert said.count("the connection is lost") == 1 and word in said, said
                assert e.process.wait(WAIT) == 0
    said = run("info", "ssh://%s/x" % server.place, status=1)
    assert "cannot connect" in said, said
    for greeting in (b"", b"no SSH\r\n" * 1000):
        with socket.create_server(("127.0.0.1", 0)) as mute: # the kernel lets one in, and nobody answers
            mute.listen(1)
            if greeting:
                threading.Thread(target=lambda: mute.accept()[0].sendall(greeting), daemon=True).start()
            said = run("info", "--image-opts", "driver=ssh,host=127.0.0.1,port=%d,path=/x,timeout=2" %
                       mute.getsockname()[1], status=1)
            assert "cannot connect" in said, said


tap.run([images_are_read_and_written, nodes_and_drives_name_it, what_is_flushed_is_on_stable_storage,
         files_that_may_only_be_read_are, only_an_agent_shows_who_one_is, host_keys_are_checked,
         a_lost_server_is_an_error])
