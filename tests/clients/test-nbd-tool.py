# SPDX-License-Identifier: LGPL-2.1-or-later
"""
backplane-nbd: images for NBD clients, with nbdinfo, nbdcopy, nbdsh, qemu-io, qemu-img and qemu-nbd as peers.
Usage: test-nbd-tool.py SOURCE-ROOT BUILD-ROOT NBD-SHIM
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import certificates  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402
from images import FOLDER, WAIT, content, other as run, path, peer, raw  # noqa: E402

NBD = os.path.join(sys.argv[2], "backplane-nbd")
SOCK = path("s")
SIZE = 4 * 1048576


def url(name="", sock=SOCK):
    return "nbd+unix:///%s?socket=%s" % (name, sock)


class Server:
    """backplane-nbd at the socket; it has to listen soon."""

    def __init__(self, *args, sock=SOCK, program=NBD, where=True, **more):
        self.process = subprocess.Popen([program, *(("-k", sock) if where else ()), *args], cwd=FOLDER, text=True,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **more)
        deadline = time.monotonic() + WAIT
        while where and not os.path.exists(sock) and self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)

    def ended(self):
        """Its status, without being told to end."""
        return self.process.wait(WAIT)

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=WAIT)[1]
        if kind:
            print("# " + said.replace("\n", "\n# "), file=sys.stderr)
        else:
            assert not os.path.exists(SOCK), "the socket is left behind"


def qcow2(name, seed=1):
    data = raw("raw", SIZE, seed)
    peer("convert", "-f", "raw", "-O", "qcow2", "raw", name)
    return data


def one_client_is_served_and_then_it_ends():
    data = qcow2("a.qcow2")
    with Server("-f", "qcow2", "a.qcow2") as s:
        run("nbdcopy", url(), "copy")
        assert content("copy") == data
        assert s.ended() == 0
    with Server("-f", "qcow2", "a.qcow2") as s:  # what asks and goes away is not a client
        assert "export: ''" in run("qemu-nbd", "-L", "-k", SOCK)
        run("qemu-io", "-f", "raw", "-c", "write -P 7 1M 64k", "-c", "flush", url())
        assert s.ended() == 0
    run("qemu-io", "-r", "-f", "qcow2", "-c", "read -P 7 1M 64k", "a.qcow2")
    run("qemu-img", "check", "-q", "a.qcow2")


def many_clients_are_served_until_it_is_told_to_end():
    data = qcow2("b.qcow2")
    with Server("-t", "-e", "0", "-f", "qcow2", "-x", "ex", "-D", "a disk", "b.qcow2") as s:
        run("nbdcopy", "--connections=4", url("ex"), "copy")
        assert content("copy") == data
        new = raw("new", SIZE, 2)
        run("nbdcopy", "--connections=4", "--flush", "new", url("ex"))
        run("nbdcopy", url("ex"), "copy")
        assert content("copy") == new
        listed = run("nbdinfo", "--list", url())
        assert 'export="ex"' in listed and "a disk" in listed, listed
        assert s.process.poll() is None
    assert s.process.returncode == 0
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "new", "b.qcow2")


def what_many_write_at_the_end_of_a_file_is_read_back():
    """Writes that make the file below longer end in any order: the last one to end is not the one that reaches furthest."""
    new = raw("new", SIZE, 2)
    for _ in range(24):
        peer("create", "-q", "-f", "qcow2", "g.qcow2", str(SIZE))
        with Server("-t", "-e", "0", "-f", "qcow2", "g.qcow2"):
            run("nbdcopy", "--connections=4", "new", url())
            run("nbdcopy", url(), "copy")
            assert content("copy") == new


def others_wait_until_there_is_room():
    qcow2("c.qcow2")
    with Server("-t", "-f", "qcow2", "c.qcow2"):
        first = subprocess.Popen(["qemu-io", "-f", "raw", "-c", "sleep 700", "-c", "write -P 9 0 64k", url()],
                                 cwd=FOLDER, stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        run("qemu-io", "-r", "-f", "raw", "-c", "read -P 9 0 64k", url())
        assert first.wait(WAIT) == 0
        assert "multi" not in run(NBD, "-L", "-k", SOCK)


def lists_are_what_the_peer_says():
    qcow2("d.qcow2")
    for server in (NBD, "qemu-nbd"):
        for args in (("-r",), ("-e", "3", "-x", "name", "-D", "words, and more"), ("-A", "-B", "bits", "-e", "0")):
            if "-B" in args:
                qcow2("d.qcow2")
                peer("bitmap", "--add", "d.qcow2", "bits")
            with Server("-t", "-f", "qcow2", *args, "d.qcow2", program=shutil.which(server)):
                assert run(NBD, "-L", "-k", SOCK) == run("qemu-nbd", "-L", "-k", SOCK)
    assert "No such file" in run(NBD, "-L", "-k", path("none"), status=1)
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = str(s.getsockname()[1])
        child = subprocess.Popen([NBD, "-L", "-b", "127.0.0.1", "-p", port], stderr=subprocess.PIPE, text=True)
        client = s.accept()[0]
        client.sendall(b"SSH-2.0-not an NBD server\r\n" * 4)
        client.close()
        assert "not NBD" in child.communicate(timeout=WAIT)[1] and child.returncode == 1


def blocks_are_told_of():
    qcow2("base.qcow2")
    peer("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2")
    peer("bitmap", "--add", "-g", "64k", "top.qcow2", "bits")
    run("qemu-io", "-f", "qcow2", "-c", "write 1M 128k", "-c", "write 2M 64k", "top.qcow2")
    maps = {}
    for server in (NBD, "qemu-nbd"):
        with Server("-t", "-e", "0", "-r", "-f", "qcow2", "-A", "-B", "bits", "top.qcow2",
                    program=shutil.which(server)):
            maps[server] = [run("nbdinfo", "--map=" + c, url()) for c in
                            ("qemu:dirty-bitmap:bits", "qemu:allocation-depth")]
    assert maps[NBD] == maps["qemu-nbd"], maps
    dirty = [line.split()[:3] for line in maps[NBD][0].splitlines()]
    assert dirty == [["0", "1048576", "0"], ["1048576", "131072", "1"], ["1179648", "917504", "0"],
                     ["2097152", "65536", "1"], ["2162688", "2031616", "0"]], dirty
    script = ("h.set_opt_mode(True); h.connect_uri(%r); h.add_meta_context('qemu:dirty-bitmap:bits');"
              "h.add_meta_context('base:allocation'); h.opt_go(); seen = [];"
              "h.block_status(4194304, 0, lambda c, o, e, err: seen.append(c) or 0);"
              "assert sorted(seen) == ['base:allocation', 'qemu:dirty-bitmap:bits'], seen" % url())
    with Server("-t", "-f", "qcow2", "-B", "bits", "top.qcow2"):
        if not shutil.which("nbdsh"):
            raise tap.Skip("nbdsh is missing (package python3-libnbd)")
        run("env", "PATH=/usr/bin:/bin", "nbdsh", "-c", script)  # Debian's Python has the library
    assert "no bitmap 'nix'" in run(NBD, "-k", SOCK, "-f", "qcow2", "-B", "nix", "top.qcow2", status=1)


def snapshots_and_offsets_are_shown():
    data = qcow2("e.qcow2")
    peer("snapshot", "-c", "before", "e.qcow2")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 3 0 1M", "e.qcow2")
    now = b"\3" * 1048576 + data[1048576:]
    for word in ("before", "snapshot.name=before", "snapshot.id=1"):
        with Server("-f", "qcow2", "-l", word, "e.qcow2") as s:
            run("qemu-io", "-f", "raw", "-c", "write 0 512", url(), status=1)
            assert s.ended() == 0
        with Server("-f", "qcow2", "-l", word, "e.qcow2"):
            run("nbdcopy", url(), "copy")
        assert content("copy") == data, word
    with Server("-f", "qcow2", "-s", "e.qcow2"):
        run("qemu-io", "-f", "raw", "-c", "write -P 5 0 1M", "-c", "read -P 5 0 1M", url())
    with Server("-r", "-f", "qcow2", "-o", "512K", "e.qcow2"):
        run("nbdcopy", url(), "copy")
    assert content("copy") == now[524288:]
    with Server("-r", "--image-opts", "driver=raw,offset=512,size=1M,file.driver=qcow2,file.file.filename=e.qcow2,"
                "file.file.driver=file"):
        run("nbdcopy", url(), "copy")
    assert content("copy") == now[512:512 + 1048576]
    assert "no snapshot 'nix'" in run(NBD, "-k", SOCK, "-f", "qcow2", "-l", "nix", "e.qcow2", status=1)


def how_it_caches_can_be_said():
    for args in (("--cache=none",), ("-n",), ("--cache=writethrough",), ("--cache=unsafe", "--aio=threads"),
                 ("--discard=unmap", "--detect-zeroes=unmap"), ("--cache=directsync",)):
        with open(path("plain"), "wb") as f:
            f.write(b"\1" * SIZE)
        with Server("-f", "raw", *args, "plain"):
            run("qemu-io", "-f", "raw", "-c", "write -P 0 1M 1M", "-c", "read -P 0 1M 1M", "-c", "discard 2M 1M",
                "-c", "write -P 4 3M 4k", url())
        assert content("plain")[3 << 20:] == b"\4" * 4096 + b"\1" * (SIZE - (3 << 20) - 4096), args
        blocks = os.stat(path("plain")).st_blocks
        assert (blocks * 512 <= SIZE - (2 << 20) + 65536) == ("--discard=unmap" in args), (args, blocks)


def it_serves_tcp_with_tls():
    authority = certificates.Authority(path("pki"))
    authority.sign(path("pki"), "server")
    authority.sign(path("pki"), "client")
    qcow2("t.qcow2")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    creds = ("--object", "tls-creds-x509,id=t,endpoint=server,dir=" + path("pki"), "--tls-creds", "t")
    with Server("-t", "-b", "localhost", "-p", port, *creds, "-f", "qcow2", "t.qcow2", where=False, sock="/"):
        mine = ("--object", "tls-creds-x509,id=t,endpoint=client,dir=" + path("pki"), "--tls-creds", "t")
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", int(port)), WAIT).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        for client in (NBD, "qemu-nbd"):
            assert "size:  %d" % SIZE in run(client, "-L", "-b", "127.0.0.1", "-p", port, *mine), client
            run(client, "-L", "-b", "127.0.0.1", "-p", port, status=1)
            run(client, "-L", "-b", "127.0.0.1", "-p", port, "--tls-hostname=somebody.else", *mine, status=1)


def it_goes_to_the_background():
    qcow2("f.qcow2")
    run(NBD, "--fork", "--pid-file", path("pid"), "-t", "-k", SOCK, "-f", "qcow2", "f.qcow2")
    with open(path("pid"), encoding="ascii") as f:
        pid = int(f.read())
    try:
        assert run("nbdinfo", "--size", url()).strip() == str(SIZE)
    finally:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + WAIT
    while (os.path.exists(SOCK) or os.path.exists(path("pid"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(SOCK) and not os.path.exists(path("pid"))
    assert "'nix'" in run(NBD, "--fork", "-k", SOCK, "nix", status=1)


def systemd_may_hand_over_the_socket():
    qcow2("g.qcow2")
    if not shutil.which("systemd-socket-activate"):
        raise tap.Skip("systemd-socket-activate is missing")
    sock = path("activated")
    with Server("-l", sock, NBD, "-f", "qcow2", "g.qcow2", program="systemd-socket-activate", where=False) as s:
        deadline = time.monotonic() + WAIT
        while not os.path.exists(sock) and time.monotonic() < deadline:
            time.sleep(0.02)
        run("nbdcopy", url(sock=sock), "copy")
        assert s.ended() == 0
    assert content("copy") == content("raw")


def the_kernel_is_a_client():
    qcow2("k.qcow2")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 77 0 512", "k.qcow2")
    if not os.path.exists("/dev/nbd0"):
        for args in (("-c", "/dev/nbd0", "-f", "qcow2", "k.qcow2"), ("-d", "/dev/nbd0")):
            said = run(NBD, *args, status=1)
            assert "/dev/nbd0" in said and "modprobe nbd" in said and said.count("\n") == 1, said
    env = {**os.environ, "LD_PRELOAD": sys.argv[3], "NBD_SHIM_LOG": path("log"), "ASAN_OPTIONS":
           "verify_asan_link_order=0:detect_leaks=0"}
    done = subprocess.run([NBD, "-r", "-c", "/dev/nbd7", "-f", "qcow2", "k.qcow2"], env=env, cwd=FOLDER, timeout=WAIT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    log = content("log").decode().split("\n")
    assert {"block 512", "blocks %d" % (SIZE // 512), "read-only 1", "byte 77"} <= set(log), log
    done = subprocess.run([NBD, "-d", "/dev/nbd7"], env=env, cwd=FOLDER, timeout=WAIT, check=False)
    assert done.returncode == 0 and b"disconnect" in content("log")


def wrong_words_are_one_line():
    raw("x.raw", SIZE, 3)
    for args, word in (((), "one image"), (("a", "b"), "one image"), (("-k", "s", "x.raw"), "absolute"),
                       (("-k", SOCK, "-p", "3", "x.raw"), "-k"), (("-p", "70000", "x.raw"), "70000"),
                       (("-p", "0", "x.raw"), "'0'"), (("-e", "-1", "x.raw"), "-1"), (("-e", "x", "x.raw"), "'x'"),
                       (("--cache=nix", "x.raw"), "nix"), (("-n", "--cache=none", "x.raw"), "twice"),
                       (("--cache=none", "-n", "x.raw"), "once"), (("--aio=nix", "x.raw"), "nix"),
                       (("--discard=nix", "x.raw"), "nix"), (("--detect-zeroes=nix", "x.raw"), "nix"),
                       (("--detect-zeroes=unmap", "x.raw"), "--discard=unmap"), (("--tls-hostname=x", "x.raw"), "-L"),
                       (("--tls-authz=x", "x.raw"), "--tls-creds"), (("-L", "x.raw"), "no image"),
                       (("-L", "-x", "n"), "options of one"), (("-d", "-r", "/dev/nbd0"), "nothing else"),
                       (("--image-opts", "-f", "raw", "driver=file,filename=x.raw"), "--image-opts"),
                       (("-s", "-r", "x.raw"), "-s"), (("-f", "nix", "x.raw"), "'nix'"), (("-f", "raw", "no"), "'no'"),
                       (("-f", "raw", "-o", "x", "x.raw"), "offset"), (("-f", "raw", "-o", "1G", "x.raw"), "offset"),
                       (("-c", "/dev/nbd0", "-p", "4", "x.raw"), "-c"), (("-f", "qcow2", "x.raw"), "qcow2"),
                       (("--tls-creds=nix", "-f", "raw", "x.raw"), "'nix'"), (("--object", "nix,id=a", "x.raw"), "nix"),
                       (("-b", "no such host", "x.raw"), "no such host")):
        where = () if {"-p", "-b", "-c", "-L", "-d", "-k"} & set(args) else ("-k", SOCK)
        said = run(NBD, *where, *args, status=1)
        assert word in said and said.count("\n") == 1, (args, said)
        assert not os.path.exists(SOCK), args
    assert "--persistent" in run(NBD, "--help") and "version" in run(NBD, "-V")
    env = {**os.environ, "LISTEN_FDS": "1"}
    done = subprocess.run(["sh", "-c", 'LISTEN_PID=$$ exec "$0" -f raw x.raw 3</dev/null', NBD], env=env, cwd=FOLDER,
                          timeout=WAIT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "not a socket" in done.stderr, done


def bash_completes_options():
    script = ('source "$0"; PATH=%s:$PATH; t() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _backplane_tools "$1"; '
              'echo "${COMPREPLY[*]}"; }; t backplane-nbd --ca; t backplane-img co; t backplane-io --noc; '
              't backplane-img convert --sa; t backplane-nbd -bl' % sys.argv[2])
    said = run("bash", "-c", script, os.path.join(sys.argv[1], "completions/bash/backplane-tools"))
    assert said == "--cache\ncommit compare convert\n--nocache\n--salvage\n\n", said


tap.run([one_client_is_served_and_then_it_ends, many_clients_are_served_until_it_is_told_to_end,
         what_many_write_at_the_end_of_a_file_is_read_back, others_wait_until_there_is_room, lists_are_what_the_peer_says, blocks_are_told_of,
         snapshots_and_offsets_are_shown, how_it_caches_can_be_said, it_serves_tcp_with_tls,
         it_goes_to_the_background, systemd_may_hand_over_the_socket, the_kernel_is_a_client,
         wrong_words_are_one_line, bash_completes_options])
