# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Folders of the host as FAT disks: fsck.fat finds nothing wrong with them, and mtools find what is in the folder.
Usage: test-vvfat.py SOURCE-ROOT BUILD-ROOT
"""
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("vvfat-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
FSCK = shutil.which("fsck.fat") or "/sbin/fsck.fat"
WHEN = 1700000002 # even: FAT counts in steps of two seconds


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0):
    done = subprocess.run(args, capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, cwd=FOLDER,
                          check=False, env={**os.environ, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"})
    assert (done.returncode == 0) == (status == 0), (args, done)
    return done.stdout if status == 0 else done.stdout + done.stderr


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.utime(path(name), (WHEN, WHEN))


def make_folder(name, seed):
    """Files of lengths around those of sectors and clusters, names of all kinds."""
    rand = random.Random(seed)
    if os.path.exists(path(name)):
        return path(name)
    for n, size in enumerate((0, 1, 511, 512, 513, 1023, 1025, 4096, 33000, 70000)):
        write("%s/SIZE%d.BIN" % (name, n), rand.randbytes(size))
    for text in ("lower.txt", "Mixed.Case", "no extension at all", ".hidden", "two.dots.here", "a+b,c;d=e[f].txt",
                 "x" * 255,
                 "thirteen-long", "thirteen-longer", "\u00e4rger.txt", "\u65e5\u672c\u8a9e.txt", "UPPER.TXT",
                 "exactly8.abc", "exactly8.abcd", " begins with a space", "%percent%'quote'.~`!"):
        write(name + "/" + text, text * rand.randrange(1, 200))
    for n in range(60):
        write("%s/Deep/down/below/a rather long name, number %d.data" % (name, n), str(n) * n)
    os.makedirs(path(name + "/nothing in here"))
    return path(name)


def volume(spec, whole="whole.img"):
    """The partition (or floppy disk) of what is shown, as a file."""
    run(TOOL, "convert", "-O", "raw", *spec, whole)
    with open(path(whole), "rb") as f:
        data = f.read()
    start = int.from_bytes(data[454:458], "little") if data[450] and data[0] == 0xcd else 0
    if start:
        sectors = int.from_bytes(data[458:462], "little")
        assert (start, data[510:512]) == (63, b"\x55\xaa") and start + sectors <= len(data) // 512, (start, sectors)
        data = data[start * 512:(start + sectors) * 512]
    with open(path("volume.img"), "wb") as f:
        f.write(data)
    return data


def bits(data):
    """As the specification finds it out."""
    def at(n, size=2):
        return int.from_bytes(data[n:n + size], "little")
    sectors, fat = at(19) or at(32, 4), at(22) or at(36, 4)
    clusters = (sectors - at(14) - data[16] * fat - at(17) * 32 // 512) // data[13]
    return 12 if clusters < 4085 else 16 if clusters < 65525 else 32


def is_right(folder, left_out=()):
    """What is on the volume is what is in the folder."""
    if not os.path.exists(FSCK):
        raise tap.Skip("fsck.fat is missing (dosfstools)")
    if not shutil.which("mcopy"):
        raise tap.Skip("mcopy is missing (mtools)")
    said = run(FSCK, "-nv", "volume.img")
    assert "clusters" in said and "Free cluster summary wrong" not in said, said
    shutil.rmtree(path("back"), ignore_errors=True)
    os.makedirs(path("back"))
    run("mcopy", "-smi", "volume.img", "::", "back/")

    def same(here, there):
        found = filecmp.dircmp(there, here, ignore=[], hide=[])
        assert not found.left_only and sorted(found.right_only) == sorted(left_out if here == folder else []), (
            found.left_only, found.right_only)
        for name in found.common_files:
            assert filecmp.cmp(os.path.join(here, name), os.path.join(there, name), shallow=False), name
            assert os.stat(os.path.join(there, name)).st_mtime == os.stat(os.path.join(here, name)).st_mtime, name
        for name in found.common_dirs:
            same(os.path.join(here, name), os.path.join(there, name))
    same(folder, path("back"))


def every_kind_holds_the_folder():
    folder = make_folder("d", 1)
    for form, wanted, length in (("fat:", 16, None), ("fat:12:", 12, None), ("fat:16:", 16, None), ("fat:32:", 32,
                                                                                                    None),
                                 ("fat:floppy:", 12, 1474560), ("fat:floppy:12:", 12, 1474560),
                                 ("fat:floppy:16:", 16, 2949120)):
        data = volume([form + folder])
        assert bits(data) == wanted and data[54 if wanted < 32 else 82:][:5] == b"FAT%d" % wanted, form
        assert length is None or os.path.getsize(path("whole.img")) == length, form
        assert os.path.getsize(path("whole.img")) % (16 * 63 * 512) == 0 or length, form
        is_right(folder)
    write("big-floppy/file", random.Random(2).randbytes(2000000))
    assert len(volume(["fat:floppy:" + path("big-floppy")])) == 2949120
    is_right(path("big-floppy"))
    os.makedirs(path("empty"), exist_ok=True)
    for form in ("fat:", "fat:12:", "fat:32:", "fat:floppy:"):
        volume([form + path("empty")])
        is_right(path("empty"))


def keys_say_the_same():
    folder = make_folder("d", 1)
    volume(["--image-opts", "driver=vvfat,dir=%s,fat-type=32,label=My disk 1" % folder])
    is_right(folder)
    assert "MY DISK 1" in run("mlabel", "-s", "-i", "volume.img", "::"), "the label"
    volume(["fat:" + folder])
    assert "BACKPLANE" in run("mlabel", "-s", "-i", "volume.img", "::"), "the usual label"
    for drive in ("file=fat:floppy:%s,if=none,format=raw,readonly=on" % folder, "file=fat:floppy:%s,if=none" % folder,
                  "if=none,driver=vvfat,dir=%s,floppy=on" % folder,
                  "if=none,format=raw,file.driver=vvfat,file.dir=%s,file.floppy=on,file.fat-type=12,"
                  "file.label=X" % folder,
                  "if=none,file=json:" + json.dumps({"driver": "raw", "file": {
                      "driver": "vvfat", "dir": folder, "floppy": True}}).replace(",", ",,")):
        with Emulator(PROGRAM, "-M", "none", "-drive", drive) as e:
            shown, = e.command("query-block")["return"]
            assert shown["inserted"]["ro"] is True and shown["inserted"]["image"]["virtual-size"] == 1474560, shown
            assert "vvfat" in [n["drv"] for n in e.command("query-named-block-nodes")["return"]]
    with Emulator(PROGRAM, "-M", "none") as e:
        reply = e.command("blockdev-add", driver="vvfat", node_name="n", read_only=True, dir=folder, fat_type=16,
                          floppy=False, rw=False, label="ABC")
        assert reply == {"return": {}}, reply


def writes_stay_in_an_overlay():
    folder = make_folder("w", 3)
    before = sorted((root, names) for root, _, names in os.walk(folder))
    with Emulator(PROGRAM, "-M", "pc", "-display", "none", "-S", "-hda", "fat:" + folder, "-snapshot") as e:
        shown = [b for b in e.command("query-block")["return"] if b.get("inserted")][0]["inserted"]
        assert shown["ro"] is False, shown
    with Emulator(PROGRAM, "-M", "none", "-drive",
                  "if=none,node-name=n,snapshot=on,format=raw,file=fat:" + folder) as e:
        e.command("nbd-server-start", addr={"type": "unix", "data": {"path": path("nbd")}})
        reply = e.command("block-export-add", id="x", type="nbd", node_name="n", writable=True)
        assert reply == {"return": {}}, reply
        run("qemu-io", "-f", "raw", "-c", "write -P 9 0 1M", "-c", "flush", "-c", "read -P 9 0 1M",
            "nbd+unix:///n?socket=" +
            path("nbd"))
    assert before == sorted((root, names) for root, _, names in os.walk(folder))
    volume(["fat:" + folder])
    is_right(folder)


def links_and_what_is_no_file_are_left_out():
    folder = make_folder("l", 4)
    os.symlink("/etc/passwd", folder + "/link")
    os.symlink("/", folder + "/link to a folder")
    os.mkfifo(folder + "/pipe")
    for name in ("a:b", "end.", "LOWER.TXT", "back\\slash", "line\nfeed"):
        write("l/" + name, "?")
    with open(os.path.join(folder.encode(), b"not \xff UTF-8"), "wb"):
        pass
    with open(folder + "/huge", "wb") as f:
        f.truncate(1 << 32)
    out = sorted(set(os.listdir(folder)) - set(os.listdir(make_folder("d", 1))) - {"LOWER.TXT"} | {"lower.txt"})
    done = subprocess.run([TOOL, "info", "fat:" + folder], capture_output=True, text=True, timeout=WAIT, check=True)
    assert "%d of what is there" % len(out) in done.stderr and done.stderr.count("\n") == 1, (done, out)
    volume(["fat:" + folder])
    is_right(folder, out)


def a_file_that_is_swapped_is_not_followed():
    os.makedirs(path("s"))
    write("secret", b"S" * 4096)
    for n in range(3):
        write("s/file%d" % n, b"%d" % n * 4096)
    os.makedirs(path("s/sub"))
    write("s/sub/inner", b"i" * 512)
    with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=vvfat,node-name=n,read-only=on,dir=" + path("s")) as e:
        e.command("nbd-server-start", addr={"type": "unix", "data": {"path": path("nbd-s")}})
        assert e.command("block-export-add", id="x", type="nbd", node_name="n") == {"return": {}}
        at = "nbd+unix:///n?socket=" + path("nbd-s")
        run(TOOL, "convert", "-O", "raw", "fat:" + path("s"), "before.img")
        with open(path("before.img"), "rb") as f:
            data = f.read()
        where = [data.index(b"%d" % n * 4096) for n in range(3)] + [data.index(b"i" * 512)]
        os.unlink(path("s/file0"))
        os.symlink(path("secret"), path("s/file0"))
        os.unlink(path("s/file1"))
        os.rename(path("s/sub"), path("elsewhere"))
        os.symlink(path("elsewhere"), path("s/sub"))
        with open(path("s/file2"), "r+b") as f:
            f.write(b"new")
            f.truncate(1000)
        for n in (0, 1, 3):
            said = run("qemu-io", "-r", "-f", "raw", "-c", "read %d 512" % where[n], at, status=1)
            assert "Input/output error" in said or "Stale" in said, (n, said)
        assert "pattern" not in run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0x32 %d 509" % (where[2] + 3), "-c",
                                    "read -P 0 %d 3096" % (where[2] + 1000), at)
        write("s/file2", b"N" * 9000)
        run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0x4e %d 4096" % where[2], at)


def many_files_have_names_of_their_own():
    for n in range(3000):
        write("many/the same beginning %05d.text" % n, str(n))
    for n in range(300):
        write("many/THESAM~%d.TEX" % n, "short %d" % n)
    for form in ("fat:32:", "fat:16:"):
        volume([form + path("many")])
        is_right(path("many"))
    names = [line for line in run("mdir", "-ai", "volume.img", "::").splitlines() if " TEX " in line]
    shorts = [line[:12] for line in names]
    assert len(shorts) == 3300 and len(set(shorts)) == 3300, (len(shorts), len(set(shorts)))


def disks_grow_with_what_is_in_the_folder():
    os.makedirs(path("g"))
    for name, size in (("g/a", 64 << 20), ("g/b", (1 << 31) + 5)):
        with open(path(name), "wb") as f:
            f.write(name.encode())
            f.seek(size - 3)
            f.write(b"end")
    said = run(TOOL, "info", "--output=json", "fat:" + path("g"))
    assert json.loads(said)["virtual-size"] > 2 << 30, said
    with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=vvfat,node-name=n,read-only=on,dir=" + path("g")) as e:
        e.command("nbd-server-start", addr={"type": "unix", "data": {"path": path("nbd-g")}})
        assert e.command("block-export-add", id="x", type="nbd", node_name="n") == {"return": {}}
        at = "nbd+unix:///n?socket=" + path("nbd-g")
        run("nbdcopy", at, "big.img") if shutil.which("nbdcopy") else run("qemu-img", "convert", "-O", "raw", at,
                                                                          "big.img")
    with open(path("big.img"), "rb") as f:
        head = f.read(512)
        assert head[450] in (0x0b, 0x0c), head[440:]
    subprocess.run(["dd", "if=" + path("big.img"), "of=" + path("volume.img"), "bs=4k", "skip=32256",
                    "iflag=skip_bytes",
                    "conv=sparse", "status=none"], check=True, timeout=WAIT)
    with open(path("volume.img"), "r+b") as f:
        f.truncate(int.from_bytes(head[458:462], "little") * 512)
    said = run(FSCK, "-nv", "volume.img")
    assert "2 files" in said or "3 files" in said, said
    for name in ("a", "b"):
        done = subprocess.run("mcopy -i volume.img ::%s - | cmp - g/%s" % (name, name), shell=True, cwd=FOLDER,
                              timeout=WAIT,
                              capture_output=True, text=True, check=False, env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})
        assert done.returncode == 0, done
    for form, word in (("fat:16:", "FAT32"), ("fat:12:", "FAT16"), ("fat:floppy:", "floppy disk")):
        said = run(TOOL, "info", form + path("g"), status=1)
        assert "does not fit" in said and word in said and said.count("\n") == 1, said
    for name in ("big.img", "volume.img"):
        os.unlink(path(name))
    shutil.rmtree(path("g"))


def wrong_options_are_one_line():
    folder = make_folder("d", 1)
    write("file", "x")
    for name, word in (("fat:", "missing"), ("fat:rw:" + folder, "not built"), ("fat:floppy:32:" + folder, "FAT32"),
                       ("fat:/nowhere", "No such file"), ("fat:" + path("file"), "Not a directory"),
                       ("fat:14:" + folder, "No such file")):
        said = run(TOOL, "info", name, status=1)
        assert word in said and said.count("\n") == 1, (name, said)
    for keys, word in (("", "'dir'"), ("dir=%s,fat-type=13" % folder, "12, 16 or 32"), ("dir=%s,rw=on" % folder,
                                                                                        "not built"),
                       ("dir=%s,label=much too long a label" % folder, "11"), ("dir=%s,label=a*b" % folder, "label"),
                       ("dir=%s,label=" % folder, "label"), ("dir=%s,filename=fat:%s" % (folder, folder), "twice"),
                       ("dir=%s,floppy=on,fat-type=32" % folder, "FAT32"), ("filename=flat:x", "fat:[floppy:]")):
        said = run(TOOL, "info", "--image-opts", "driver=vvfat," + keys, status=1)
        assert word in said and said.count("\n") == 1, (keys, said)
    done = subprocess.run([PROGRAM, "-M", "none", "-blockdev", "driver=vvfat,node-name=n,dir=" + folder], timeout=WAIT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "read-only=on" in done.stderr, done
    deep = path("deep")
    for _ in range(70):
        deep += "/d"
    os.makedirs(deep)
    said = run(TOOL, "info", "fat:" + path("deep"), status=1)
    assert "deeper than 64" in said and said.count("\n") == 1, said


tap.run([every_kind_holds_the_folder, keys_say_the_same, writes_stay_in_an_overlay,
         links_and_what_is_no_file_are_left_out,
         a_file_that_is_swapped_is_not_followed, many_files_have_names_of_their_own,
         disks_grow_with_what_is_in_the_folder,
         wrong_options_are_one_line])
