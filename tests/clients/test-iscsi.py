# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Disks and CD-ROMs of iSCSI targets: tgtd in a process of its own.
Usage: test-iscsi.py SOURCE-ROOT BUILD-ROOT
"""
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("iscsi-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 3 * 1048576
DATA = random.Random(1).randbytes(SIZE)
IQN = "iqn.2001-04.com.example"


def path(name):
    return os.path.join(FOLDER, name)


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def write(name, data):
    with open(path(name), "wb") as f:
        f.write(data)


def run(*args, status=0, env=None):
    done = subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False, env={**os.environ, **(env or {})})
    assert done.returncode == status, (args, done)
    return done.stdout if status == 0 else done.stdout + done.stderr


def find(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


class Target:
    """tgtd with a disk (unit 1), a CD-ROM (unit 2), a write-protected (3) and a thin disk (4)."""

    def __init__(self, chap=False):
        if not find("tgtd") or not find("tgtadm"):
            raise tap.Skip("tgt is missing")
        if os.geteuid() != 0:
            raise tap.Skip("tgtd wants to be root")
        self.chap = chap
        write("disk.raw", DATA)
        write("cd.iso", DATA[:1048576])
        write("fixed.raw", DATA[:1048576])
        write("thin.raw", DATA)
        for _ in range(20):
            self.port = random.randrange(20000, 32000)
            if self.start():
                self.url = "iscsi://127.0.0.1:%d/%s" % (self.port, IQN)
                return
        raise tap.Skip("tgtd does not run here: " + content("tgtd.log").decode(errors="replace")[-300:])

    def start(self):
        with open(path("tgtd.log"), "wb") as log:
            self.server = subprocess.Popen([find("tgtd"), "-f", "-C", str(self.port), "--iscsi",
                                            "portal=127.0.0.1:%d" % self.port], stdout=log, stderr=log)
        until = time.monotonic() + WAIT / 4
        while time.monotonic() < until and self.server.poll() is None:
            if self.admin("--mode", "target", "--op", "new", "--tid", "1", "--targetname", IQN, check=False) == 0:
                break
            time.sleep(0.1)
        if self.server.poll() is not None:
            return False
        for lun, name, more in ((1, "disk.raw", ()), (2, "cd.iso", ("--device-type", "cd")), (3, "fixed.raw", ()),
                                (4, "thin.raw", ())):
            self.admin("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", str(lun), "--backing-store",
                       path(name), *more)
        self.admin("--mode", "logicalunit", "--op", "update", "--tid", "1", "--lun", "3", "--params", "readonly=1")
        self.admin("--mode", "logicalunit", "--op", "update", "--tid", "1", "--lun", "4", "--params",
                   "thin_provisioning=1")
        self.admin("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
        if self.chap:
            self.admin("--mode", "account", "--op", "new", "--user", "user", "--password", "password")
            self.admin("--mode", "account", "--op", "bind", "--tid", "1", "--user", "user")
        return True

    def admin(self, *args, check=True):
        done = subprocess.run([find("tgtadm"), "-C", str(self.port), "--lld", "iscsi", *args], capture_output=True,
                              text=True, timeout=WAIT, check=False)
        assert not check or done.returncode == 0, (args, done)
        self.said = done.stdout
        return done.returncode

    def initiators(self):
        self.admin("--mode", "target", "--op", "show")
        return [line.split()[1] for line in self.said.splitlines() if line.strip().startswith("Initiator:")]

    def wait_initiators(self, names):
        """Until these are there; sessions of processes that have ended go a moment later."""
        until = time.monotonic() + WAIT / 4
        while self.initiators() != names and time.monotonic() < until:
            time.sleep(0.1)
        assert self.initiators() == names, (self.initiators(), names)

    def stop(self):
        self.server.kill()
        self.server.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()
        for name in ("/var/run/tgtd/socket.%d" % self.port, "/var/run/tgtd/socket.%d.lock" % self.port):
            if os.path.exists(name):
                os.unlink(name)


def sizes(emulator):
    return {b["device"]: (b["inserted"]["image"]["virtual-size"], b["inserted"]["ro"])
            for b in emulator.command("query-block")["return"] if b.get("inserted")}


def copy_all(emulator, job):
    """Reads all of drive d; what the job's last event says."""
    emulator.command("blockdev-add", driver="null-co", node_name="to-" + job, size=SIZE)
    started = emulator.command("blockdev-backup", job_id=job, device="d", target="to-" + job, sync="full")
    assert "return" in started, started
    return emulator.job_ended(job)


def disks_are_read_and_written():
    with Target() as target:
        run("convert", "-f", "raw", "-O", "raw", target.url + "/1", "out.raw")
        assert content("out.raw") == DATA
        other = random.Random(2).randbytes(SIZE)
        write("other.raw", other)
        run("convert", "-n", "-f", "raw", "-O", "raw", "other.raw", target.url + "/1")
        assert content("disk.raw") == other
        run("bench", "-q", "-w", "-f", "raw", "-c", "8", "-d", "4", "-s", "4096", "--flush-interval=4",
            "--pattern=5", target.url + "/1")
        assert content("disk.raw") == b"\5" * 32768 + other[32768:]
        with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=iscsi,node-name=n,portal=127.0.0.1:%d,target=%s,"
                      "lun=1,transport=tcp" % (target.port, IQN)) as e:
            node, = e.command("query-named-block-nodes")["return"]
            assert node["image"]["virtual-size"] == SIZE and not node["ro"], node


def zeroes_and_discards_reach_the_target():
    with Target() as target:
        image = bytearray(DATA)
        image[1048576:2097152] = bytes(1048576)
        write("holes.raw", image)
        run("convert", "-n", "-f", "raw", "-O", "raw", "holes.raw", target.url + "/4")
        assert content("thin.raw") == bytes(image)
        run("convert", "-f", "raw", "-O", "raw", target.url + "/4", "out.raw")
        assert content("out.raw") == bytes(image)
        before = os.stat(path("thin.raw")).st_blocks
        run("create", "-q", "-f", "qcow2", "empty.qcow2", str(SIZE))
        run("convert", "-n", "-O", "raw", "empty.qcow2", target.url + "/4")
        assert content("thin.raw") == bytes(SIZE)
        assert os.stat(path("thin.raw")).st_blocks < before, before


def media_that_are_only_read():
    with Target() as target:
        run("convert", "-f", "raw", "-O", "raw", target.url + "/2", "out.raw")
        assert content("out.raw") == DATA[:1048576]
        with Emulator(PROGRAM, "-M", "pc", "-nodefaults", "-S", "-display", "none", "-cdrom", target.url + "/2",
                      "-drive", "if=none,id=d,format=raw,file=%s/3" % target.url) as e:
            shown = sizes(e)
            assert shown["d"] == (1048576, True) and (1048576, True) in [shown[n] for n in shown if n != "d"], shown
        said = fails(PROGRAM, "-M", "none", "-blockdev", "driver=iscsi,node-name=n,filename=%s/3" % target.url)
        assert "read-only=on" in said, said
        said = run("info", target.url + "/9", status=1)
        assert "iscsi" in said and "9" in said, said


def passwords_are_asked_for():
    with Target(chap=True) as target:
        good = target.url.replace("//", "//user%password@")
        run("convert", "-f", "raw", "-O", "raw", good + "/1", "out.raw")
        assert content("out.raw") == DATA
        for url in (target.url, target.url.replace("//", "//user%wrong@"), target.url.replace("//", "//no%password@")):
            said = run("info", url + "/1", status=1)
            assert "uthentication" in said, said
        env = {"LIBISCSI_CHAP_USERNAME": "user", "LIBISCSI_CHAP_PASSWORD": "password"}
        assert "virtual size" in run("info", "-f", "raw", target.url + "/1", env=env)
        env["LIBISCSI_CHAP_PASSWORD"] = "wrong"
        assert "uthentication" in run("info", "-f", "raw", target.url + "/1", env=env, status=1)
        drive = ("-M", "none", "-drive", "if=none,id=d,format=raw,file=%s/1" % target.url)
        secret = ("-object", "secret,id=s,data=password")
        for option in (("user=user,password=password",), ("user=user,password-secret=s",),
                       ("user=user,password=wrong", "user=user,password=password,id=" + IQN)):
            options = [word for o in option for word in ("-iscsi", o)]
            with Emulator(PROGRAM, *secret, *options, *drive) as e:
                assert sizes(e) == {"d": (SIZE, False)}
                node = [n for n in e.command("query-named-block-nodes")["return"] if n["drv"] == "iscsi"]
                assert "password" not in node[0]["file"], node
        with Emulator(PROGRAM, "-M", "none", *secret, "-blockdev", "driver=iscsi,node-name=n,portal=127.0.0.1:%d,"
                      "target=%s,lun=1,user=user,password-secret=s" % (target.port, IQN)) as e:
            assert e.command("query-named-block-nodes")["return"][0]["image"]["virtual-size"] == SIZE
        assert "uthentication" in fails(PROGRAM, "-iscsi", "user=user,password=wrong", *drive)


def initiators_have_names():
    with Target() as target:
        drive = ("-M", "none", "-drive", "if=none,id=d,format=raw,file=%s/1" % target.url)
        linux = "iqn.2008-11.org.linux-kvm"
        write("conf", b'[iscsi]\n  initiator-name = "iqn.2001-04.com.example:conf"\n  header-digest = "CRC32C"\n')
        uuid = "12345678-1234-1234-1234-123456789abc"
        for options, name in (((), linux), (("-name", "guest"), linux + ":guest"),
                              (("-uuid", uuid), linux + ":" + uuid),
                              (("-iscsi", "initiator-name=%s:my-initiator" % IQN), IQN + ":my-initiator"),
                              (("-iscsi", "initiator-name=x:all", "-iscsi", "id=%s,initiator-name=x:one" % IQN),
                               "x:one"),
                              (("-readconfig", path("conf")), "iqn.2001-04.com.example:conf")):
            with Emulator(PROGRAM, *options, *drive):
                target.wait_initiators([name])
        # As the manual writes it.
        with Emulator(PROGRAM, "-M", "pc", "-nodefaults", "-S", "-display", "none", "-iscsi",
                      "initiator-name=iqn.2001-04.com.example:my-initiator", "-cdrom", target.url + "/2", "-drive",
                      "file=%s/1,format=raw" % target.url) as e:
            assert set(sizes(e).values()) == {(SIZE, False), (1048576, True)}, sizes(e)
            target.wait_initiators(["iqn.2001-04.com.example:my-initiator"] * 2)


def headers_have_checksums():
    with Target() as target:
        drive = "driver=iscsi,node-name=n,portal=127.0.0.1:%d,target=%s,lun=1,header-digest=%%s" % (target.port, IQN)
        for name in ("none", "crc32c", "none-crc32c", "crc32c-none"):
            run("convert", "-O", "raw", "--image-opts", (drive % name).replace("node-name=n,", ""), "out.raw")
            assert content("out.raw") == DATA
            with Emulator(PROGRAM, "-M", "none", "-blockdev", drive % name):
                target.admin("--mode", "conn", "--op", "show", "--tid", "1")
                assert target.said, "there is no connection"
        assert "crc32c-none" in fails(PROGRAM, "-M", "none", "-blockdev", drive % "md5")
        assert "crc32c-none" in fails(PROGRAM, "-M", "none", "-iscsi", "header-digest=md5")


class Relay:
    """Between us and a target: change(pdu) says what becomes of each PDU from there; what connections say is kept."""

    def __init__(self, to, change, port=0):
        self.change, self.said, self.to = change, [], to
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                ours, _ = self.listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self.out, args=(ours, theirs), daemon=True).start()
            threading.Thread(target=self.back, args=(theirs, ours), daemon=True).start()

    def out(self, ours, theirs):
        said = bytearray()
        self.said.append(said)
        try:
            while data := ours.recv(65536):
                said += data
                theirs.sendall(data)
            theirs.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def back(self, theirs, ours):
        try:
            while self.change is None and (data := theirs.recv(65536)):
                ours.sendall(data)
            while self.change and len(head := tap.recv_all(theirs, 48)) == 48:
                length = head[4] * 4 + int.from_bytes(head[5:8], "big")
                length += -length % 4
                ours.sendall(self.change(head + (tap.recv_all(theirs, length) if length else b"")))
            ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.close()


def reads_without_data_show_nothing_of_memory():
    passed = []

    def drop(pdu):
        """The first pieces of data pass; of later ones only the good status remains."""
        if pdu[0] != 0x25 or len(pdu) < 4096 + 48 or len(passed) < 4:
            passed.extend([1] if len(pdu) >= 4096 + 48 else [])
            return pdu
        if not pdu[1] & 1:
            return b""
        return bytes((0x21, 0x80, 0, 0)) + bytes(12) + pdu[16:20] + bytes(4) + pdu[24:36] + bytes(12)
    with Target() as target, Relay(target.port, drop) as relay:
        write("any.raw", b"")
        done = subprocess.run([TOOL, "convert", "-f", "raw", "-O", "raw", "iscsi://127.0.0.1:%d/%s/1" %
                               (relay.port, IQN), path("any.raw")], timeout=WAIT, check=False, capture_output=True,
                              env={**os.environ, "MALLOC_PERTURB_": "85"})
        seen = content("any.raw")
        assert len(passed) == 4
        assert done.returncode == 1 or (len(seen) == SIZE and seen != DATA), done
        for at in range(0, len(seen), 512):
            block = seen[at:at + 512]
            assert block == DATA[at:at + 512] or not any(block), "bytes at %d come from elsewhere" % at


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xffffffff)


def headers_of(stream, digest):
    """The headers that came after the login, each with what stands where its checksum would be."""
    at = 0
    while at + 48 <= len(stream):
        head = stream[at:at + 48]
        login = head[0] & 0x3f == 3
        length = int.from_bytes(head[5:8], "big")
        at += 48 + (0 if login or not digest else 4)
        if not login:
            yield head, stream[at - 4:at] if digest else b""
        at += length + -length % 4


def checksums_are_on_the_wire():
    for digest, asked in (("crc32c", b"CRC32C"), ("none", b"None"), ("crc32c-none", b"CRC32C,None")):
        with Target() as target, Relay(target.port, None) as relay:
            target.admin("--mode", "target", "--op", "update", "--tid", "1", "--name", "HeaderDigest", "--value",
                         "None" if digest == "none" else "CRC32C,None")
            run("convert", "-O", "raw", "--image-opts", "driver=iscsi,portal=127.0.0.1:%d,target=%s,lun=1,"
                "header-digest=%s" % (relay.port, IQN, digest), "out.raw")
            assert content("out.raw") == DATA
            stream = bytes(relay.said[0])
            assert b"HeaderDigest=%s\0" % asked in stream, stream[:2000]
            headers = list(headers_of(stream, digest != "none"))
            assert len([h for h, _ in headers if h[0] & 0x3f == 1]) > 2, headers  # SCSI commands
            assert digest == "none" or all(crc32c(h) == c for h, c in headers), headers


def names_without_a_port_mean_the_usual_one():
    with Target() as target:
        try:
            with Relay(target.port, None, 3260) as relay:
                run("convert", "-f", "raw", "-O", "raw", "iscsi://127.0.0.1/%s/1" % IQN, "out.raw")
                assert content("out.raw") == DATA and relay.said
        except OSError as error:
            raise tap.Skip("port 3260 is taken") from error


def targets_that_are_gone_are_errors():
    with Target() as target:
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=%s/1" % target.url) as e:
            assert "error" not in copy_all(e, "i")
            target.stop()
            assert "error" in copy_all(e, "j")
            # A new one: what comes later is answered.
            assert target.start()
            assert "error" not in copy_all(e, "k")
            # Requests wait while the target begins anew.
            target.stop()
            threading.Timer(1, target.start).start()
            assert "error" not in copy_all(e, "l")
        target.stop()
        said = run("info", target.url + "/1", status=1)
        assert "cannot log in" in said and str(target.port) in said, said


def slow_targets_are_given_up():
    with Target() as target:
        with Emulator(PROGRAM, "-M", "none", "-iscsi", "timeout=2", "-drive",
                      "if=none,id=d,format=raw,file=%s/1" % target.url) as e:
            assert "error" not in copy_all(e, "i")
            target.server.send_signal(signal.SIGSTOP)
            try:
                assert "error" in copy_all(e, "j")
            finally:
                target.server.send_signal(signal.SIGCONT)
            assert "error" not in copy_all(e, "k")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        said = run("info", "--image-opts", "driver=iscsi,timeout=2,portal=127.0.0.1:%d,target=%s,lun=1" %
                   (silent.getsockname()[1], IQN), status=1)
        assert "cannot log in" in said, said


def wrong_options_are_one_line():
    for options, words in ((("-iscsi", "user=u"), ("user", "password")), (("-iscsi", "password=p"), ("user",)),
                           (("-iscsi", "user=u,password=p,password-secret=s"), ("password-secret", "exclude")),
                           (("-iscsi", "timeout=99999999"), ("timeout", "seconds")),
                           (("-iscsi", "initiator-name="), ("initiator-name",)),
                           (("-iscsi", "nope=1"), ("nope",)),
                           (("-iscsi", "timeout=1", "-iscsi", "timeout=2"), ("id",)),
                           (("-drive", "if=none,file=iscsi://127.0.0.1"), ("iscsi://", "TARGET")),
                           (("-drive", "if=none,file=iscsi:x"), ("iscsi://", "TARGET")),
                           (("-blockdev", "driver=iscsi,node-name=n"), ("portal", "target")),
                           (("-blockdev", "driver=iscsi,node-name=n,transport=iser,portal=x,target=y"), ("iSER",)),
                           (("-blockdev", "driver=iscsi,node-name=n,transport=x,portal=x,target=y"), ("tcp",)),
                           (("-blockdev", "driver=iscsi,node-name=n,portal=x,target=y,user=u"), ("password-secret",)),
                           (("-blockdev", "driver=iscsi,node-name=n,portal=x,target=y,lun=999"), ("lun", "255"))):
        said = fails(PROGRAM, "-M", "none", *options)
        assert all(word in said for word in words) and len(said.strip().splitlines()) == 1, (options, said)


tap.run([disks_are_read_and_written, zeroes_and_discards_reach_the_target, media_that_are_only_read,
         passwords_are_asked_for, initiators_have_names, headers_have_checksums,
         checksums_are_on_the_wire, names_without_a_port_mean_the_usual_one,
         reads_without_data_show_nothing_of_memory, targets_that_are_gone_are_errors,
         slow_targets_are_given_up, wrong_options_are_one_line])
