# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Network block devices against real servers: nbdkit and qemu-nbd, with errors, restarts, old protocols; and against one
that says whatever it likes.
Usage: test-nbd.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("nbd-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SOCK = os.path.join(FOLDER, "s")


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0):
    done = subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False)
    assert done.returncode == status, (args, done)
    return done.stdout if status == 0 else done.stdout + done.stderr


class Kit:
    """nbdkit in the foreground, on SOCK or a TCP port."""

    def __init__(self, *args, where=None):
        kit = shutil.which("nbdkit")
        if not kit:
            raise tap.Skip("nbdkit is missing")
        if not where and os.path.exists(SOCK):
            os.unlink(SOCK)
        if os.path.exists(path("pid")):
            os.unlink(path("pid"))
        self.process = subprocess.Popen([kit, "-f", "-P", path("pid"), *(where or ("-U", SOCK)), *args], cwd=FOLDER,
                                        stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + WAIT
        while not os.path.exists(path("pid")) and time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def raw(name, length, seed):
    rand, data = random.Random(seed), bytearray(length)
    for at in range(0, length, 65536):
        if rand.randrange(3):
            data[at:at + 65536] = rand.randbytes(min(65536, length - at))
    with open(path(name), "wb") as f:
        f.write(data)
    return bytes(data)


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def empty(name, length):
    with open(path(name), "wb") as f:
        f.truncate(length)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


URI = "nbd+unix:///?socket=" + SOCK


def names_of_all_kinds_lead_to_the_export():
    data = raw("a.raw", 3 * 1048576 + 4096, 1)
    port = free_port()
    with Kit("--exit-with-parent", "file", "a.raw"):
        for name in (URI, "nbd:unix:" + SOCK):
            run("convert", "-f", "raw", "-O", "raw", name, "out.raw")
            assert content("out.raw") == data, name
        run("convert", "-O", "raw", "--image-opts", "driver=nbd,server.type=unix,server.path=" + SOCK, "out.raw")
        assert content("out.raw") == data
    with Kit("--exit-with-parent", "file", "dir=.", where=("-i", "127.0.0.1", "-p", str(port))):
        for name in ("nbd://127.0.0.1:%d/a.raw" % port, "nbd:127.0.0.1:%d:exportname=a.raw" % port,
                     "nbd://localhost:%d/a%%2Eraw" % port):
            run("convert", "-f", "raw", "-O", "raw", name, "out.raw")
            assert content("out.raw") == data, name
        said = run("info", "nbd://127.0.0.1:%d/nothing.raw" % port, status=1)
        assert "nothing.raw" in said, said
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=nbd:127.0.0.1:%d:exportname=a.raw"
                      % port) as e:
            shown, = e.command("query-block")["return"]
            assert shown["inserted"]["image"]["virtual-size"] == len(data), shown
            assert shown["inserted"]["file"] == "nbd://127.0.0.1:%d/a.raw" % port, shown


def names_without_a_port_mean_the_usual_one():
    data = raw("p.raw", 1048576, 8)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 10809))
        except OSError:
            raise tap.Skip("port 10809 is taken")
    with Kit("--exit-with-parent", "file", "p.raw", where=("-i", "127.0.0.1", "-p", "10809")):
        for name in ("nbd://127.0.0.1", "nbd://127.0.0.1/", "nbd://127.0.0.1/any"):
            run("convert", "-f", "raw", "-O", "raw", name, "out.raw")
            assert content("out.raw") == data, name
        run("convert", "-O", "raw", "--image-opts", "driver=nbd,host=127.0.0.1", "out.raw")
        assert content("out.raw") == data


def the_documented_examples_run():
    raw("e.raw", 1048576, 2)
    with Kit("--exit-with-parent", "file", "e.raw"):
        with Emulator(PROGRAM, "-M", "none", "--drive", "if=none,format=raw,file=nbd:unix:" + SOCK) as e:
            assert e.command("query-block")["return"][0]["inserted"]["image"]["virtual-size"] == 1048576
    port = free_port()
    with Kit("--exit-with-parent", "file", "e.raw", where=("-i", "127.0.0.1", "-p", str(port))):
        with Emulator(PROGRAM, "-M", "none", "--drive", "if=none,format=raw,file=nbd:127.0.0.1:%d" % port) as e:
            assert e.command("query-block")["return"][0]["inserted"]["image"]["virtual-size"] == 1048576


def what_is_written_arrives():
    data = raw("w.raw", 5 * 1048576, 3)
    for extra in ((), ("--filter=fua", "fuamode=emulate"), ("--filter=blocksize-policy", "blocksize-minimum=4096",
                                                         "blocksize-preferred=4096", "blocksize-error-policy=error"),
                  ("--mask-handshake=0",), ("--no-sr",), ("--filter=nozero", "zeromode=none"), ("--filter=noextents",)):
        empty("t.raw", len(data))
        kit = [a for a in extra if a.startswith("-")]
        with Kit("--exit-with-parent", *kit, "--filter=log", "file", "t.raw", "logfile=log",
                 *(a for a in extra if not a.startswith("-"))):
            run("convert", "-n", "-f", "raw", "-O", "raw", "-t", "writeback", "w.raw", URI)
            assert content("t.raw") == data, extra
            run("compare", "-f", "raw", "-F", "raw", "w.raw", URI)
            run("bench", "-q", "-w", "-f", "raw", "-c", "20", "-s", "777", "-S", "70001", "--pattern=7", URI)
            seen = content("log").decode()
        assert "Flush" in seen, extra
        wanted = bytearray(data)
        for i in range(20):
            wanted[i * 70001:i * 70001 + 777] = b"\7" * 777
        assert content("t.raw") == wanted, extra
    with Kit("--exit-with-parent", "--filter=log", "file", "t.raw", "logfile=log"):
        run("create", "-q", "-f", "raw", "x.raw", "5M")
        run("convert", "-n", "-f", "raw", "-O", "raw", "x.raw", URI)  # zeroes
        run("bench", "-q", "-w", "-f", "raw", "-c", "2", "-t", "writethrough", URI)
        seen = content("log").decode()
        assert "Zero" in seen and "fua=1" in seen, seen[-2000:]
    qemu = shutil.which("qemu-nbd")
    if not qemu:
        raise tap.Skip("all but what is written to qemu-nbd, which is not installed (qemu-utils)")
    run("create", "-q", "-f", "qcow2", "q.qcow2", "5M")
    with subprocess.Popen([qemu, "-f", "qcow2", "-k", SOCK + "q", "--discard=unmap", "-x", "ex", "q.qcow2"],
                          cwd=FOLDER) as server:
        end = time.monotonic() + WAIT
        while not os.path.exists(SOCK + "q"):
            assert server.poll() is None and time.monotonic() < end, "qemu-nbd does not start"
            time.sleep(0.02)
        run("convert", "-n", "-f", "raw", "-O", "raw", "w.raw", "nbd+unix:///ex?socket=%sq" % SOCK)
        server.wait(WAIT)  # it ends with its client
    run("compare", "-f", "raw", "w.raw", "q.qcow2")
    run("check", "-q", "q.qcow2")


def discards_of_a_disk_are_trims():
    """Through the emulator: what one client of it discards arrives at the server that its disk comes from."""
    qemu = shutil.which("qemu-io")
    if not qemu:
        raise tap.Skip("qemu-io is missing")
    with open(path("trim.raw"), "wb") as f:
        f.write(b"x" * 4194304)
    front = SOCK + "f"
    with Kit("--exit-with-parent", "--filter=log", "file", "trim.raw", "logfile=log"):
        with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=nbd,node-name=n,discard=unmap,server.type=unix,"
                      "server.path=" + SOCK) as e:
            reply = e.command("nbd-server-start", addr={"type": "unix", "data": {"path": front}})
            assert reply == {"return": {}}, reply
            reply = e.command("block-export-add", type="nbd", id="x", node_name="n", name="", writable=True)
            assert reply == {"return": {}}, reply
            subprocess.run([qemu, "-f", "raw", "-c", "discard 1M 64k", "-c", "write -P 3 2M 512", "-c", "flush",
                            "nbd+unix:///?socket=" + front], check=True, timeout=WAIT, capture_output=True)
            assert e.command("nbd-server-stop") == {"return": {}}
        seen = content("log").decode()
    trims = [line for line in seen.splitlines() if "Trim" in line and "offset=0x100000" in line]
    assert trims and "count=0x10000" in trims[0], seen
    assert content("trim.raw")[2097152:2097664] == b"\3" * 512
    assert content("trim.raw")[1048576:1048576 + 65536] == bytes(65536)


def holes_are_told_of():
    empty("h.raw", 4 * 1048576)
    with open(path("h.raw"), "r+b") as f:
        f.seek(1048576)
        f.write(b"x" * 1048576)
    with Kit("--exit-with-parent", "file", "h.raw"):
        parts = json.loads(run("map", "--output=json", "-f", "raw", URI))
        assert [(p["start"], p["zero"]) for p in parts] == [(0, True), (1048576, False), (2097152, True)], parts


def old_servers_and_read_only_ones_are_understood():
    data = raw("o.raw", 1048576, 4)
    with Kit("--exit-with-parent", "-o", "file", "o.raw"):
        run("convert", "-f", "raw", "-O", "raw", URI, "out.raw")
        assert content("out.raw") == data
        assert "old" in run("info", "nbd+unix:///name?socket=" + SOCK, status=1)
    with Kit("--exit-with-parent", "-r", "file", "o.raw"):
        run("compare", "-f", "raw", "-F", "raw", "o.raw", URI)
        said = run("bench", "-q", "-w", "-f", "raw", "-c", "1", URI, status=1)
        assert "read" in said, said


def errors_come_through():
    raw("r.raw", 1048576, 5)
    with Kit("--exit-with-parent", "--filter=error", "file", "r.raw", "error=ENOSPC", "error-pwrite-rate=100%"):
        said = run("bench", "-q", "-w", "-f", "raw", "-c", "1", URI, status=1)
        assert "No space" in said, said
    said = run("info", URI, status=1)
    assert "refused" in said or "No such" in said, said
    for name in ("nbd:", "nbd://", "nbd+unix:///", "nbd://h/e?x=y", "nbd+unix://h/?socket=/x", "nbd://[::1/",
                 "nbd:unix:"):
        assert "nbd" in run("info", name, status=1)


def restarts_are_survived_within_the_delay():
    data = raw("re.raw", 4 * 1048576, 6)
    for delay, survives in ((60, True), (0, False)):
        if os.path.exists(path("copy.raw")):
            os.unlink(path("copy.raw"))
        kit = Kit("file", "re.raw")
        try:
            with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file.driver=nbd,"
                          "file.server.type=unix,file.server.path=%s,file.reconnect-delay=%d" % (SOCK, delay)) as e:
                reply = e.command("drive-backup", job_id="j", device="d", sync="full", target=path("copy.raw"),
                                  format="raw", speed=1 << 20, auto_dismiss=False)
                assert reply == {"return": {}}, reply
                time.sleep(0.3)
                kit.stop()
                if survives:
                    time.sleep(0.7)
                    kit = Kit("file", "re.raw")
                assert e.command("block-job-set-speed", device="j", speed=0) == {"return": {}}
                end = e.job_ended("j")
                assert ("error" in end) != survives, end
        finally:
            kit.stop()
        if survives:
            assert content("copy.raw") == data


def servers_that_stay_away_are_given_up_after_the_delay():
    raw("re.raw", 4 * 1048576, 6)
    kit = Kit("file", "re.raw")
    try:
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file.driver=nbd,"
                      "file.server.type=unix,file.server.path=%s,file.reconnect-delay=2" % SOCK) as e:
            e.command("blockdev-add", driver="null-co", node_name="t", size=4 * 1048576)
            kit.stop()
            begin = time.monotonic()
            reply = e.command("blockdev-backup", job_id="j", device="d", sync="full", target="t")
            assert reply == {"return": {}}, reply
            end = e.wait_event("BLOCK_JOB_COMPLETED")
            assert "error" in end and time.monotonic() - begin > 1, end
            e.command("blockdev-backup", job_id="k", device="d", sync="full", target="t")
            assert "error" in e.wait_event("BLOCK_JOB_COMPLETED"), "at once, from then on"
            kit = Kit("file", "re.raw")  # and when it comes back, it is there
            deadline = time.monotonic() + WAIT
            while True:
                e.command("blockdev-backup", job_id="l", device="d", sync="full", target="t")
                if "error" not in e.wait_event("BLOCK_JOB_COMPLETED"):
                    break
                assert time.monotonic() < deadline, "it is not connected again"
                time.sleep(0.1)
    finally:
        kit.stop()


def servers_that_come_late_are_waited_for():
    raw("l.raw", 1048576, 7)
    if os.path.exists(SOCK):
        os.unlink(SOCK)
    with subprocess.Popen([TOOL, "info", "--image-opts", "driver=nbd,open-timeout=60,server.type=unix,server.path=" +
                           SOCK], stdout=subprocess.PIPE, text=True) as tool:
        time.sleep(0.3)
        with Kit("--exit-with-parent", "file", "l.raw"):
            out, _ = tool.communicate(timeout=WAIT)
    assert tool.returncode == 0 and "1 MiB" in out, out


def hostile(rand, listener):
    """Answers with what a server says, bytes of it changed; until the client has gone."""
    peer, _ = listener.accept()
    peer.settimeout(1)
    options, reply = b"IHAVEOPT", struct.pack(">Q", 0x3e889045565a9)

    def send(data):
        data = bytearray(data)
        for _ in range(rand.choice((0, 0, 0, 0, 1, 1, 2, 8))):
            data[rand.randrange(len(data))] = rand.randrange(256)
        peer.sendall(data[:rand.randrange(len(data)) + 1] if rand.randrange(30) == 0 else data)
    try:
        send(b"NBDMAGIC" + options + b"\0\3")
        peer.recv(4)
        for _ in range(10):
            head = tap.recv_all(peer, 16)
            if len(head) < 16:
                return
            option, length = struct.unpack(">II", head[8:])
            tap.recv_all(peer, min(length, 1 << 20))
            if option == 8:
                send(reply + struct.pack(">III", 8, 1, 0))
            elif option == 10:
                send(reply + struct.pack(">III", 10, 4, 19) + struct.pack(">I", 7) + b"base:allocation")
                send(reply + struct.pack(">III", 10, 1, 0))
            elif option == 7:
                send(reply + struct.pack(">IIIHQH", 7, 3, 12, 0, 1 << 20, 0x6d))
                send(reply + struct.pack(">III", 7, 1, 0))
                break
        while True:
            head = tap.recv_all(peer, 28)
            if len(head) < 28:
                return
            _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", head)
            if kind == 1:
                tap.recv_all(peer, min(length, 1 << 25))
            chunk = ">IHHQI"
            if kind == 0 and rand.randrange(2):
                send(struct.pack(chunk, 0x668e33ef, 1, 1, cookie, 8 + length) + struct.pack(">Q", offset) +
                     bytes(length))
            elif kind == 0:
                send(struct.pack(chunk, 0x668e33ef, 0, 2, cookie, 12) + struct.pack(">QI", offset, length))
                send(struct.pack(chunk, 0x668e33ef, 1, 0, cookie, 0))
            elif kind == 7:
                send(struct.pack(chunk, 0x668e33ef, 1, 5, cookie, 12) +
                     struct.pack(">III", 7, length, rand.randrange(4)))
            else:
                send(struct.pack(">IIQ", 0x67446698, 0, cookie))
    except OSError:
        pass
    finally:
        peer.close()


class Saying:
    """A server whose handshake is well-formed; what it says to requests is up to talk(peer, cookie, offset, length)."""

    def __init__(self, talk):
        self.talk, self.peers, self.clients = talk, [], 0
        if os.path.exists(SOCK):
            os.unlink(SOCK)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(SOCK)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer)
            self.clients += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        reply = struct.pack(">Q", 0x3e889045565a9)
        try:
            peer.sendall(b"NBDMAGICIHAVEOPT\0\3")
            tap.recv_all(peer, 4)
            option = 0
            while option != 7:
                head = tap.recv_all(peer, 16)
                option, length = struct.unpack(">II", head[8:])
                tap.recv_all(peer, length)
                if option == 7:
                    peer.sendall(reply + struct.pack(">IIIHQH", 7, 3, 12, 0, 1 << 20, 0x6d))
                kind = 1 << 31 | 1 if option == 10 else 1
                peer.sendall(reply + struct.pack(">III", option, kind, 0))
            while True:
                head = tap.recv_all(peer, 28)
                if len(head) < 28:
                    return
                _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", head)
                if kind == 0:
                    self.talk(peer, cookie, offset, length)
        except (OSError, struct.error):
            pass
        finally:
            peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.close()
        for peer in self.peers:
            peer.close()


def chunk(cookie, kind, data, done=False):
    return struct.pack(">IHHQI", 0x668e33ef, done, kind, cookie, len(data)) + data


def answers_that_leave_something_out_are_errors():
    def good(peer, cookie, offset, length):
        half = length // 2
        peer.sendall(chunk(cookie, 1, struct.pack(">Q", offset + half) + b"B" * (length - half)) +
                     chunk(cookie, 1, struct.pack(">Q", offset) + b"A" * half, True))

    def twice(peer, cookie, offset, length):
        data = struct.pack(">Q", offset) + b"A" * (length // 2)
        peer.sendall(chunk(cookie, 1, data) + chunk(cookie, 1, data, True))

    def overlapping(peer, cookie, offset, length):
        peer.sendall(chunk(cookie, 2, struct.pack(">QI", offset, length // 2 + 1)) +
                     chunk(cookie, 1, struct.pack(">Q", offset + length // 2) + b"A" * (length // 2), True))

    def around(peer, cookie, offset, length):
        peer.sendall(chunk(cookie, 1, struct.pack(">Q", offset + 512) + b"A" * 512) +
                     chunk(cookie, 2, struct.pack(">QI", offset, length - 1), True))

    def short(peer, cookie, offset, length):
        peer.sendall(chunk(cookie, 1, struct.pack(">Q", offset) + b"A" * (length - 1), True))
    image = "driver=nbd,reconnect-delay=600,server.type=unix,server.path=" + SOCK
    for talk in (good, twice, overlapping, around, short):
        with Saying(talk) as server:
            said = run("convert", "-O", "raw", "--image-opts", image, "any.raw", status=0 if talk is good else 1)
            assert talk is good or "error" in said, said
            assert server.clients <= 2, "it was asked for ever"
    assert content("any.raw") and set(content("any.raw")) <= set(b"\0AB")


def servers_that_dribble_are_given_up():
    """One in its handshake, the other one when it answers who cannot do anything else meanwhile: half a minute each."""
    def slowly(peer, data):
        for i in range(len(data)):
            peer.sendall(data[i:i + 1])
            time.sleep(0.5)

    def answer(peer, cookie, offset, length):
        slowly(peer, chunk(cookie, 1, struct.pack(">Q", offset) + bytes(length), True))
    with socket.socket(socket.AF_UNIX) as listener, Saying(answer):
        listener.bind(SOCK + "h")
        listener.listen(1)

        def dribble():
            peer, _ = listener.accept()
            try:
                peer.sendall(b"NBDMAGICIHAVEOPT\0\3")
                tap.recv_all(peer, 20)
                slowly(peer, struct.pack(">QIII", 0x3e889045565a9, 8, 1, 60000) + bytes(60000))
            except OSError:
                pass
        threading.Thread(target=dribble, daemon=True).start()
        tools = [subprocess.Popen([TOOL, "info", "nbd+unix:///?socket=" + SOCK + "h"], stderr=subprocess.PIPE,
                                  text=True),
                 subprocess.Popen([PROGRAM, "-M", "none", "-display", "none", "-drive", "if=none,file=" + URI],
                                  stderr=subprocess.PIPE, text=True)]
        try:
            for tool in tools:
                said = tool.communicate(timeout=WAIT)[1]
                assert tool.returncode == 1 and "timed out" in said, said
        finally:
            for tool in tools:
                tool.kill()
                tool.wait()


# AddressSanitizer reserves terabytes of addresses.
LIMIT = [] if os.environ.get("ASAN_OPTIONS") else ["prlimit", "--as=4000000000"]


def servers_may_say_what_they_like():
    for seed in range(30):
        rand = random.Random(seed)
        if os.path.exists(SOCK):
            os.unlink(SOCK)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(SOCK)
            listener.listen(8)
            listener.settimeout(10)
            stop = []

            def serve():
                while not stop:
                    try:
                        hostile(rand, listener)
                    except socket.timeout:
                        continue  # neither side goes on; the next one may come
                    except OSError:
                        return
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            done = subprocess.run([*LIMIT, TOOL, "convert", "-f", "raw", "-O", "raw", URI,
                                   path("any.raw")], capture_output=True, text=True, timeout=WAIT, check=False)
            stop.append(1)
            with socket.socket(socket.AF_UNIX) as wake:
                wake.connect(SOCK)
            thread.join()
            assert done.returncode in (0, 1), (seed, done)


tap.run([names_of_all_kinds_lead_to_the_export, names_without_a_port_mean_the_usual_one,
         the_documented_examples_run, what_is_written_arrives,
         discards_of_a_disk_are_trims, holes_are_told_of,
         old_servers_and_read_only_ones_are_understood, errors_come_through, restarts_are_survived_within_the_delay,
         servers_that_stay_away_are_given_up_after_the_delay,
         servers_that_come_late_are_waited_for, answers_that_leave_something_out_are_errors,
         servers_that_dribble_are_given_up, servers_may_say_what_they_like])
