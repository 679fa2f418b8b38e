# SPDX-License-Identifier: LGPL-2.1-or-later
"""
backplane-img beside Debian's qemu-img: what one makes the other reads, with the same words and statuses.
Usage: test-images.py SOURCE-ROOT BUILD-ROOT
"""
import glob
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import FOLDER, PEER, TOOL, WAIT, content, path, peer, raw, run  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")


def new_images_are_as_the_others_are():
    for options in ((), ("-o", "cluster_size=4k"), ("-o", "compat=0.10"), ("-o", "extended_l2=on"),
                    ("-o", "lazy_refcounts=on,refcount_bits=8"), ("-o", "preallocation=metadata"),
                    ("-o", "cluster_size=2M,preallocation=falloc")):
        run("create", "-q", "-f", "qcow2", *options, "ours.qcow2", "48M")
        peer("create", "-q", "-f", "qcow2", *options, "theirs.qcow2", "48M")
        assert peer("check", "ours.qcow2").startswith("No errors"), options
        assert run("check", "theirs.qcow2").startswith("No errors"), options
        ours, theirs = (json.loads(tool("info", "--output=json", name)) for tool, name in
                        ((run, "ours.qcow2"), (peer, "ours.qcow2")))
        for key in ("virtual-size", "cluster-size", "format", "format-specific", "dirty-flag"):
            assert ours[key] == theirs[key], (options, key, ours, theirs)


def converting_keeps_every_byte():
    data = raw("a.raw", 5 * 1048576 + 512, 1)
    for options in ((), ("-c",), ("-o", "cluster_size=512"), ("-c", "-o", "cluster_size=4k"),
                    ("-o", "extended_l2=on"), ("-o", "compat=0.10"), ("-S", "0"), ("-m", "1")):
        run("convert", "-O", "qcow2", *options, "a.raw", "b.qcow2")
        run("check", "-q", "b.qcow2")
        peer("check", "-q", "b.qcow2")
        peer("compare", "-q", "a.raw", "b.qcow2")
        run("convert", "-O", "raw", "b.qcow2", "c.raw")
        assert content("c.raw") == data, options
        peer("convert", "-O", "qcow2", *(o for o in options if o != "-m"), *(() if "-m" not in options else ()),
             "a.raw", "d.qcow2") if "-m" not in options else None
        if "-m" not in options:
            run("compare", "-q", "a.raw", "d.qcow2")
    run("convert", "-O", "raw", "a.raw", "a.raw", "twice.raw")
    assert content("twice.raw") == data + data


def cpu_seconds(fn, *words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    fn(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compressing_takes_less_time_and_no_more_room():
    with open(path("p.raw"), "wb") as f: # programs and texts
        for name in ("/usr/bin/python3", "/usr/share/perl/*/unicore/Name.pl", "/usr/lib/x86_64-linux-gnu/libc.so.6",
                     "/usr/bin/perl", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"):
            for found in glob.glob(name):
                with open(found, "rb") as part:
                    f.write(part.read())
        f.truncate(-(-f.tell() // 65536) * 65536)
    times = [(cpu_seconds(peer, "convert", "-f", "raw", "-c", "-O", "qcow2", "p.raw", "theirs.qcow2"),
              cpu_seconds(run, "convert", "-f", "raw", "-c", "-O", "qcow2", "p.raw", "ours.qcow2")) for _ in range(7)]
    theirs, ours = (min(t[i] for t in times) for i in (0, 1))  # what disturbs can only add
    print("# processor time: %.2f s, theirs %.2f s" % (ours, theirs))
    assert os.stat(path("ours.qcow2")).st_size <= os.stat(path("theirs.qcow2")).st_size
    assert theirs > 2.5 * ours, times
    peer("compare", "-q", "p.raw", "ours.qcow2")
    said = json.loads(run("info", "--output=json", "ours.qcow2"))["format-specific"]["data"]
    assert said["compression-type"] == "zstd", said
    for options, kind in ((("compression_type=zlib",), "zlib"), (("compat=0.10",), "zlib")):
        run("convert", "-c", "-O", "qcow2", "-o", *options, "p.raw", "old.qcow2")
        said = json.loads(run("info", "--output=json", "old.qcow2"))["format-specific"]["data"]
        assert said.get("compression-type", "zlib") == kind, said
        peer("compare", "-q", "p.raw", "old.qcow2")


def compressed_clusters_are_read_in_any_piece():
    """Runs of them at once, beginnings and ends of them, beside others; with what each tool makes of zlib and zstd."""
    length, rand = 7 << 20, random.Random(11)
    text = b"".join(b"%d bottles, " % (i * i) for i in range(1 << 16))
    data = bytearray((text * (length // len(text) + 1))[:length])
    data[1 << 20:2 << 20] = bytes(1 << 20)
    data[3 << 20:(3 << 20) + 300000] = rand.randbytes(300000)  # stays as it is
    with open(path("text.raw"), "wb") as f:
        f.write(data)
    for maker in (run, peer):
        for kind in ("zlib", "zstd"):
            for cluster in (512, 65536, 2097152):
                maker("convert", "-c", "-O", "qcow2", "-o", "compression_type=%s,cluster_size=%d" % (kind, cluster),
                      "text.raw", "packed.qcow2")
                wanted = bytearray(data)
                run("bench", "-q", "-t", "unsafe", "-f", "qcow2", "-w", "-c", "5", "-S", "900000", "-s", "3000",
                    "--pattern=77", "packed.qcow2")
                for i in range(5):
                    wanted[i * 900000:i * 900000 + 3000] = bytes([77]) * 3000
                for tool in (run, peer):
                    tool("convert", "-f", "qcow2", "-O", "raw", "packed.qcow2", "back.raw")
                    assert content("back.raw") == wanted, (kind, cluster)
                for _ in range(6):
                    first = rand.randrange(length // 512)
                    count = min(rand.choice((1, 130, 3000)), length // 512 - first)
                    run("dd", "-f", "qcow2", "-O", "raw", "bs=%d" % (count * 512), "if=packed.qcow2", "of=part.raw",
                        "count=1", "skip=%d" % (first // count))
                    at = first // count * count * 512
                    assert content("part.raw") == wanted[at:at + count * 512], (kind, cluster, first, count)
    tell = json.loads(run("map", "--output=json", "-f", "qcow2", "packed.qcow2"))
    assert sum(p["length"] for p in tell) == length, tell
    where = content("packed.qcow2").rfind(b"\x28\xb5\x2f\xfd")  # the last one of a batch
    with open(path("packed.qcow2"), "r+b") as f:
        f.seek(where)
        f.write(bytes(4))
    assert "Input/output error" in run("convert", "-f", "qcow2", "-O", "raw", "packed.qcow2", "back.raw", status=1)


def differences_have_statuses():
    data = raw("x.raw", 1048576, 2)
    with open(path("y.raw"), "wb") as f:
        f.write(data[:70000] + bytes([data[70000] ^ 1]) + data[70001:])
    assert run("compare", "x.raw", "x.raw") == "Images are identical.\n"
    assert "offset 70000!" in run("compare", "x.raw", "y.raw", status=1)
    with open(path("z.raw"), "wb") as f:
        f.write(data + bytes(512))
    assert "mismatch" in run("compare", "x.raw", "z.raw")
    assert "mismatch" in run("compare", "-s", "x.raw", "z.raw", status=1)
    run("compare", "x.raw", "nothing.raw", status=2)


def chains_are_made_told_and_written_back():
    data = raw("base.raw", 2 * 1048576, 3)
    run("convert", "-O", "qcow2", "base.raw", "base.qcow2")
    run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "mid.qcow2")
    run("create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2")
    run("bench", "-q", "-w", "-c", "30", "-S", "50000", "-s", "777", "--pattern=9", "top.qcow2")
    wanted = bytearray(data)
    for i in range(30):
        wanted[i * 50000:i * 50000 + 777] = bytes([9]) * 777
    run("convert", "-O", "raw", "top.qcow2", "now.raw")
    assert content("now.raw") == wanted
    chain = json.loads(run("info", "--output=json", "--backing-chain", "top.qcow2"))
    assert [i["filename"] for i in chain] == ["top.qcow2", "mid.qcow2", "base.qcow2"], chain
    assert {i.get("backing-filename") for i in chain} == {"mid.qcow2", "base.qcow2", None}
    depths = {p["depth"] for p in json.loads(run("map", "--output=json", "top.qcow2"))}
    theirs = {p["depth"] for p in json.loads(peer("map", "--output=json", "top.qcow2"))}
    assert depths == theirs, (depths, theirs)
    run("commit", "-q", "top.qcow2")
    run("commit", "-q", "mid.qcow2")
    run("convert", "-O", "raw", "base.qcow2", "now.raw")
    assert content("now.raw") == wanted
    run("check", "-q", "base.qcow2")
    os.unlink(path("mid.qcow2"))
    said = run("convert", "-O", "raw", "top.qcow2", "now.raw", status=1)
    assert "mid.qcow2" in said and "top.qcow2" in said, said
    assert "mid.qcow2" in run("info", "top.qcow2")  # what is below need not be there


def a_short_image_between_hides_what_is_below():
    """Commit past an image that is shorter than its base: what read as zeroes above it is zeroes afterwards."""
    raw("long.raw", 2 * 1048576, 30, holes=False)
    run("convert", "-O", "qcow2", "long.raw", "long.qcow2")
    for tool, names in ((run, ("long.qcow2", "mid1.qcow2", "top1.qcow2")),
                        (peer, ("long2.qcow2", "m2.qcow2", "t2.qcow2"))):
        shutil.copy(path("long.qcow2"), path("long2.qcow2"))
        run("create", "-q", "-f", "qcow2", "-b", names[0], "-F", "qcow2", names[1], "1M")
        run("create", "-q", "-f", "qcow2", "-b", names[1], "-F", "qcow2", names[2], "2M")
        run("convert", "-O", "raw", names[2], "seen.raw")
        assert content("seen.raw")[1048576:] == bytes(1048576)
        tool("commit", "-q", "-b", names[0], names[2])
        run("convert", "-O", "raw", names[0], "after.raw")
        assert content("after.raw") == content("seen.raw"), names
    run("check", "-q", "long.qcow2")


def a_late_difference_is_found_at_once():
    data = bytearray(b"\1") * (2 << 20)
    for name, last in (("late.raw", 1), ("other.raw", 2)):
        data[-1] = last
        with open(path(name), "wb") as f:
            f.write(data)
    began = time.monotonic()
    assert "offset 2097151!" in run("compare", "late.raw", "other.raw", status=1)
    assert time.monotonic() - began < WAIT / 6


def switches_do_what_they_say():
    trace = shutil.which("strace")
    if not trace:
        raise tap.Skip("strace is missing")
    run("create", "-q", "-f", "raw", "sw.raw", "4M")

    def calls(*args):
        done = subprocess.run([trace, "-f", "-e", "trace=fdatasync,fsync,io_setup,pwritev2,openat", TOOL, *args],
                              capture_output=True, text=True, timeout=WAIT, cwd=FOLDER, check=False)
        assert done.returncode == 0, done
        return done.stderr

    def synced(text):
        return text.count("fdatasync(") + text.count("RWF_DSYNC")
    write = ("bench", "-q", "-w", "-f", "raw", "-c", "40", "-d", "2")
    assert synced(calls(*write, "sw.raw")) < 5
    assert synced(calls(*write, "-t", "writethrough", "sw.raw")) >= 40
    assert synced(calls(*write, "--flush-interval=4", "sw.raw")) >= 10
    assert synced(calls(*write, "--flush-interval=4", "--no-drain", "sw.raw")) >= 10
    said = run("bench", "-q", "-w", "-f", "raw", "-c", "40", "--no-drain", "sw.raw", status=1)
    assert "--flush-interval" in said, said
    if os.path.exists(os.path.join(sys.argv[2], "modules", "block-aio-native.so")):
        assert "io_setup" in calls("bench", "-q", "-n", "-t", "none", "-f", "raw", "-c", "4", "sw.raw")
    assert "O_DIRECT" in calls("bench", "-q", "-t", "directsync", "-f", "raw", "-c", "4", "sw.raw")
    raw("one.raw", 1048576, 4)
    run("create", "-q", "-f", "qcow2", "-b", "one.raw", "-F", "raw", "swr.qcow2")
    assert "O_DIRECT" in calls("rebase", "-T", "none", "-b", "", "swr.qcow2")


def rebasing_keeps_what_is_read():
    raw("one.raw", 1048576, 4)
    raw("two.raw", 1048576, 5)
    run("create", "-q", "-f", "qcow2", "-b", "one.raw", "-F", "raw", "r.qcow2")
    run("bench", "-q", "-w", "-c", "5", "-S", "100000", "-s", "999", "--pattern=3", "r.qcow2")
    run("convert", "-O", "raw", "r.qcow2", "before.raw")
    run("rebase", "-b", "two.raw", "-F", "raw", "r.qcow2")
    run("convert", "-O", "raw", "r.qcow2", "after.raw")
    assert content("before.raw") == content("after.raw")
    peer("check", "-q", "r.qcow2")
    peer("compare", "-q", "before.raw", "r.qcow2")
    run("rebase", "-b", "", "r.qcow2")
    assert "backing" not in run("info", "r.qcow2")
    run("compare", "-q", "before.raw", "r.qcow2")
    run("rebase", "-u", "-b", "gone.raw", "-F", "raw", "r.qcow2")
    assert json.loads(run("info", "--output=json", "r.qcow2"))["backing-filename"] == "gone.raw"


def snapshots_come_and_go():
    raw("s.raw", 1048576, 6)
    run("convert", "-O", "qcow2", "s.raw", "s.qcow2")
    run("snapshot", "-c", "first", "s.qcow2")
    run("bench", "-q", "-w", "-c", "9", "-S", "90000", "-s", "5000", "s.qcow2")
    peer("check", "-q", "s.qcow2")
    assert "first" in peer("snapshot", "-l", "s.qcow2") and "first" in run("snapshot", "-l", "s.qcow2")
    run("compare", "-q", "s.raw", "s.qcow2", status=1)
    run("snapshot", "-a", "first", "s.qcow2")
    run("compare", "-q", "s.raw", "s.qcow2")
    peer("snapshot", "-c", "theirs", "s.qcow2")
    run("check", "-q", "s.qcow2")
    run("snapshot", "-d", "first", "s.qcow2")
    run("snapshot", "-d", "theirs", "s.qcow2")
    peer("check", "-q", "s.qcow2")
    assert "no snapshot 'x'" in run("snapshot", "-d", "x", "s.qcow2", status=1)


def what_was_at_a_snapshot_is_converted():
    data = raw("then.raw", 1048576, 7)
    run("convert", "-O", "qcow2", "then.raw", "then.qcow2")
    run("snapshot", "-c", "first", "then.qcow2")
    run("bench", "-q", "-w", "-c", "9", "-S", "90000", "-s", "5000", "then.qcow2")
    before = content("then.qcow2")
    for snapshot in ("first", "1", "snapshot.name=first", "snapshot.id=1"):
        run("convert", "-O", "raw", "-l", snapshot, "then.qcow2", "then.out")
        assert content("then.out") == data, snapshot
    assert content("then.qcow2") == before
    assert "'last'" in run("convert", "-O", "raw", "-l", "last", "then.qcow2", "then.out", status=1)
    assert "snapshots" in run("convert", "-O", "qcow2", "-l", "first", "then.raw", "then.out", status=1)
    assert "multiple" in run("convert", "-O", "raw", "-l", "first", "then.qcow2", "then.qcow2", "then.out", status=1)


def what_cannot_be_read_is_zeroes_if_so_told():
    data = raw("bad.raw", 1048576, 8)
    with open(path("bad.conf"), "w", encoding="ascii") as f:
        f.write('[inject-error]\nevent = "none"\nerrno = "5"\nsector = "1000"\nonce = "off"\n')
    bad = "driver=raw,file.driver=blkdebug,file.config=%s,file.image.driver=file,file.image.filename=%s" % (
        path("bad.conf"), path("bad.raw"))
    assert "reading" in run("convert", "--image-opts", "-O", "raw", bad, "bad.out", status=1)
    done = subprocess.run([TOOL, "convert", "--salvage", "--image-opts", "-O", "raw", bad, path("bad.out")],
                          capture_output=True, text=True, timeout=WAIT, check=True)
    assert "512000" in done.stderr, done
    assert content("bad.out") == data[:512000] + bytes(512) + data[512512:]


def copies_keep_to_a_rate():
    raw("rate.raw", 4 << 20, 9)
    begin = time.monotonic()
    run("convert", "-r", "4M", "rate.raw", "rate.out")
    assert time.monotonic() - begin > 0.4, "two of four MiB may go ahead"
    assert content("rate.out") == content("rate.raw")
    assert "nonsense" in run("convert", "-r", "nonsense", "rate.raw", "rate.out", status=1)


def options_of_images_change():
    run("create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "1M")
    run("bench", "-q", "-w", "-c", "9", "-S", "90000", "-s", "5000", "--pattern=4", "old.qcow2")
    run("snapshot", "-c", "first", "old.qcow2")
    run("convert", "-O", "raw", "old.qcow2", "old.raw")
    assert "compat" in run("amend", "-o", "lazy_refcounts=on", "old.qcow2", status=1)
    run("amend", "-o", "compat=1.1,lazy_refcounts=on", "old.qcow2")
    data = json.loads(peer("info", "--output=json", "old.qcow2"))["format-specific"]["data"]
    assert data["compat"] == "1.1" and data["lazy-refcounts"] is True, data
    run("amend", "-o", "lazy_refcounts=off,size=2M", "old.qcow2")
    said = json.loads(peer("info", "--output=json", "old.qcow2"))
    assert said["virtual-size"] == 2 << 20 and said["format-specific"]["data"]["lazy-refcounts"] is False, said
    assert "first" in peer("snapshot", "-l", "old.qcow2")
    peer("check", "-q", "old.qcow2")
    run("convert", "-O", "raw", "-l", "first", "old.qcow2", "old.out")
    assert content("old.out") == content("old.raw")
    for options, word in (("compat=0.10", "convert"), ("cluster_size=4k", "cluster-size"), ("size=1M", "--shrink"),
                          ("compat=7", "1.1"), ("backing_file=x", "rebase")):
        assert word in run("amend", "-o", options, "old.qcow2", status=1), options
    raw("plain.raw", 65536, 3)
    assert "raw" in run("amend", "-f", "raw", "-o", "compat=1.1", "plain.raw", status=1)


def lengths_change():
    raw("l.raw", 1048576, 7)
    run("convert", "-O", "qcow2", "l.raw", "l.qcow2")
    run("resize", "-q", "l.qcow2", "+1M")
    assert json.loads(peer("info", "--output=json", "l.qcow2"))["virtual-size"] == 2097152
    assert "--shrink" in run("resize", "l.qcow2", "1M", status=1)
    run("resize", "-q", "--shrink", "l.qcow2", "-1M")
    peer("check", "-q", "l.qcow2")
    run("compare", "-q", "l.raw", "l.qcow2")
    run("resize", "-q", "-f", "raw", "l.raw", "1.5M")
    assert os.path.getsize(path("l.raw")) == 1572864


def lost_clusters_are_found_and_given_back():
    raw("k.raw", 1048576, 8, holes=False)
    run("convert", "-O", "qcow2", "k.raw", "k.qcow2")
    with open(path("k.qcow2"), "r+b") as f:  # a count for a cluster that nobody refers to
        f.seek(2 * 65536 + 2 * 100)
        f.write(b"\0\1")
    assert "1 leaked" in run("check", "k.qcow2", status=3)
    assert json.loads(run("check", "--output=json", "k.qcow2", status=3).split("\n", 1)[0] and
                      subprocess.run([TOOL, "check", "-q", "--output=json", path("k.qcow2")], capture_output=True,
                                     text=True, check=False).stdout)["leaks"] == 1
    assert "repaired" in run("check", "-r", "leaks", "k.qcow2")
    peer("check", "-q", "k.qcow2")
    with open(path("k.qcow2"), "r+b") as f:  # a count that is missing
        f.seek(2 * 65536 + 2 * 5)
        f.write(b"\0\0")
    run("check", "-q", "k.qcow2", status=2)
    run("check", "-q", "-r", "all", "k.qcow2")
    peer("check", "-q", "k.qcow2")
    run("compare", "-q", "k.raw", "k.qcow2")
    run("check", "k.raw", status=63)


def measures_agree():
    raw("m.raw", 3 * 1048576, 9)
    for args in (("--size", "10G"), ("-o", "cluster_size=4k", "--size", "1G"), ("-f", "raw", "m.raw")):
        ours, theirs = (json.loads(tool("measure", "-O", "qcow2", "--output=json", *args)) for tool in (run, peer))
        assert ours["fully-allocated"] == theirs["fully-allocated"], (args, ours, theirs)
        assert ours["required"] == theirs["required"], (args, ours, theirs)


def parts_are_copied():
    data = raw("p.raw", 1048576, 10, holes=False)
    run("dd", "bs=4096", "skip=3", "count=7", "if=p.raw", "of=part.raw")
    assert content("part.raw") == data[3 * 4096:10 * 4096]


def images_in_use_are_left_alone():
    run("create", "-q", "-f", "qcow2", "used.qcow2", "1M")
    with subprocess.Popen([PROGRAM, "-M", "none", "-display", "none", "-qmp", "stdio", "-drive",
                           "file=%s,if=none,id=d" % path("used.qcow2")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as machine:
        machine.stdout.readline()
        said = run("resize", "used.qcow2", "2M", status=1)
        assert "lock" in said and "used.qcow2" in said, said
        said = run("create", "-f", "qcow2", "used.qcow2", "2M", status=1)
        assert "lock" in said, said
        run("info", "-U", "used.qcow2")
        machine.stdin.close()
        machine.kill()
    run("resize", "-q", "used.qcow2", "2M")


def the_documented_example_runs():
    run("create", "-q", "-f", "qcow2", "example.qcow2", "1M")
    with subprocess.Popen([PROGRAM, "-M", "none", "-display", "none", "-qmp", "stdio", "-blockdev",
                           "driver=file,node-name=my_file,filename=%s" % path("example.qcow2"), "-blockdev",
                           "driver=qcow2,node-name=hda,file=my_file,overlap-check=none,cache-size=16777216"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as machine:
        out, _ = machine.communicate('{"execute": "qmp_capabilities"}\n{"execute": "query-named-block-nodes"}\n'
                                     '{"execute": "quit"}\n', timeout=WAIT)
    nodes = next(r["return"] for r in map(json.loads, out.splitlines()) if isinstance(r.get("return"), list))
    image = next(n for n in nodes if n["node-name"] == "hda")["image"]
    assert image["virtual-size"] == 1048576 and image["format-specific"]["data"]["compat"] == "1.1", image


def machines_make_images_in_jobs():
    with Emulator(PROGRAM, "-M", "none") as e:
        def made(name, options):
            reply = e.command("blockdev-create", job_id=name, options=options)
            assert reply == {"return": {}}, reply
            deadline, job = time.monotonic() + WAIT, {"status": ""}
            while job["status"] != "concluded" and time.monotonic() < deadline:
                job, = (j for j in e.command("query-jobs")["return"] if j["id"] == name)
            assert job["type"] == "create" and job["status"] == "concluded", job
            assert job["current-progress"] == job["total-progress"], job
            assert e.command("job-dismiss", id=name) == {"return": {}}
            assert not [j for j in e.command("query-jobs")["return"] if j["id"] == name]
            seen = [v["data"]["status"] for v in e.events if v["event"] == "JOB_STATUS_CHANGE" and
                    v["data"]["id"] == name]
            assert seen.pop() == "null", seen
            return seen, job.get("error")

        file = path("made.qcow2")
        assert made("j0", {"driver": "file", "filename": file, "size": 0}) == (
            ["created", "running", "waiting", "pending", "concluded"], None)
        assert e.command("blockdev-add", driver="file", filename=file, node_name="f") == {"return": {}}
        assert made("j1", {"driver": "qcow2", "file": "f", "size": 1 << 30, "cluster-size": 4096})[1] is None
        seen, why = made("j2", {"driver": "qcow2", "file": "f", "size": 1 << 20, "cluster-size": 1000})
        assert "aborting" in seen and "cluster_size" in why, (seen, why)
        for args, word in (({"job_id": "9", "options": {"driver": "file"}}, "job-id"),
                           ({"job_id": "x", "options": {}}, "driver"),
                           ({"job_id": "x", "options": {"driver": "null-co"}}, "null-co")):
            said = e.command("blockdev-create", **args)["error"]["desc"]
            assert word in said, said
        assert "no job" in e.command("job-dismiss", id="x")["error"]["desc"]
    info = json.loads(peer("info", "--output=json", "made.qcow2"))
    assert info["virtual-size"] == 1 << 30 and info["cluster-size"] == 4096, info
    peer("check", "-q", "made.qcow2")


def jobs_tell_of_themselves():
    raw("jb.raw", 1048576, 40)
    run("convert", "-O", "qcow2", "jb.raw", "jb.qcow2")
    run("create", "-q", "-f", "qcow2", "-b", "jb.qcow2", "-F", "qcow2", "jt.qcow2")
    with Emulator(PROGRAM, "-M", "none", "-drive", "file=%s,if=none,id=d" % path("jt.qcow2")) as e:
        def states(job, last):
            while last not in [v["data"]["status"] for v in e.events if v["event"] == "JOB_STATUS_CHANGE" and
                               v["data"]["id"] == job]:
                e.events.append(e.read())
            return [v["data"]["status"] if v["event"] == "JOB_STATUS_CHANGE" else v["event"] for v in e.events
                    if job in (v["data"].get("id"), v["data"].get("device"))]
        assert e.command("block-stream", device="d") == {"return": {}}
        assert states("d", "null") == ["created", "running", "waiting", "pending", "BLOCK_JOB_COMPLETED", "concluded",
                                       "null"], e.events
        e.events.clear()
        target = path("jm.qcow2")
        assert e.command("drive-mirror", job_id="m", device="d", target=target, sync="full", auto_finalize=False,
                         auto_dismiss=False) == {"return": {}}
        states("m", "ready")
        job, = e.command("query-block-jobs")["return"]
        assert job["ready"] and job["status"] == "ready" and job["type"] == "mirror", job
        assert "Completed" in e.command("human-monitor-command", command_line="info block-jobs")["return"]
        assert e.command("block-job-complete", device="m") == {"return": {}}
        assert states("m", "pending")[-2:] == ["waiting", "pending"]
        assert e.command("job-finalize", id="m") == {"return": {}}
        seen = states("m", "concluded")
        assert seen == ["created", "running", "ready", "BLOCK_JOB_READY", "waiting", "pending", "BLOCK_JOB_PENDING",
                        "BLOCK_JOB_COMPLETED", "concluded"], seen
        assert e.command("job-dismiss", id="m") == {"return": {}}
        shown, = [b for b in e.command("query-block")["return"] if b["device"] == "d"]
        assert shown["inserted"]["file"] == target, shown
        # A group: one that fails takes the other with it.
        e.events.clear()
        backup = {"device": "d", "sync": "full", "auto-dismiss": False, "speed": 1}
        reply = e.command("transaction", properties={"completion-mode": "grouped"}, actions=[
            {"type": "drive-backup", "data": {"job-id": n, "target": path(n + ".qcow2"), **backup}}
            for n in ("one", "two")])
        assert reply == {"return": {}}, reply
        assert e.command("job-cancel", id="one") == {"return": {}}
        for name in ("one", "two"):
            assert "BLOCK_JOB_CANCELLED" in states(name, "concluded"), e.events
        said = e.command("human-monitor-command", command_line="snapshot_blkdev d %s" % path("js.qcow2"))
        assert said == {"return": ""}, said
    peer("check", "-q", "jt.qcow2")
    peer("compare", "-q", "-f", "raw", "-F", "qcow2", "jb.raw", "jm.qcow2")
    assert json.loads(peer("info", "--output=json", "js.qcow2"))["backing-filename"] == target
    assert "backing-filename" not in json.loads(peer("info", "--output=json", "jt.qcow2"))


def wrong_words_are_told():
    for args, word in ((("create", "-f", "qcow2", "w.qcow2"), "size"), (("create", "w.raw", "12Z"), "size"),
                       (("create", "-f", "nix", "w", "1M"), "nix"), (("info", "nothing"), "nothing"),
                       (("create", "-f", "qcow2", "-o", "cluster_size=1000", "w", "1M"), "cluster_size"),
                       (("convert", "-O", "raw", "-c", "nothing", "w"), "ompression"), (("frobnicate",), "frobnicate"),
                       (("create", "-f", "throttle", "w", "1M"), "making images"), (("amend", "w"), "-o"),
                       (("create", "-f", "qcow2", "-b", "nothing", "-F", "raw", "w"), "nothing"),
                       (("rebase", "nothing"), "-b"), (("measure",), "--size"), (("map",), "file name")):
        said = run(*args, status=1)
        assert word in said and "backplane-img: " in said, (args, said)


def passwords_of_urls_are_not_told():
    name = "json:{\"driver\":\"http\",\"url\":\"http://anna:geheim@127.0.0.1:1/base.raw\"}"
    for backing in ("http://anna:geheim@127.0.0.1:1/base.raw", "ssh://anna:geheim@127.0.0.1/base.raw", name):
        peer("create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", "over.qcow2", "1M")
        for form in ("human", "json"):
            said = run("info", "--output=" + form, "over.qcow2")
            assert "geheim" not in said and "127.0.0.1" in said, said


tap.run([passwords_of_urls_are_not_told, new_images_are_as_the_others_are, converting_keeps_every_byte,
         compressing_takes_less_time_and_no_more_room, compressed_clusters_are_read_in_any_piece, differences_have_statuses,
         chains_are_made_told_and_written_back, a_short_image_between_hides_what_is_below,
         a_late_difference_is_found_at_once, switches_do_what_they_say, rebasing_keeps_what_is_read,
         snapshots_come_and_go, what_was_at_a_snapshot_is_converted, what_cannot_be_read_is_zeroes_if_so_told,
         copies_keep_to_a_rate, options_of_images_change, lengths_change,
         lost_clusters_are_found_and_given_back, measures_agree, parts_are_copied, images_in_use_are_left_alone,
         the_documented_example_runs, machines_make_images_in_jobs, jobs_tell_of_themselves, wrong_words_are_told])
