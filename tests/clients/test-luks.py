# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Encrypted disks: LUKS by itself and inside of qcow2, both ways with cryptsetup and qemu-img; passwords that do not fit,
headers that are damaged.
Usage: test-luks.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("luks-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 3 * 1048576 + 512
SECRET = ["--object", "secret,id=s,data=correct horse"]
WRONG = ["--object", "secret,id=s,data=incorrect horse"]
QUICK = ",iter-time=10"


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0, data=None):
    program = shutil.which(args[0])
    if not program:
        raise tap.Skip(args[0] + " is missing")
    for _ in range(30):  # the peer cannot always tell its own speed, on a computer with other work
        done = subprocess.run([program, *args[1:]], capture_output=True, timeout=WAIT, input=data or b"", cwd=FOLDER,
                              check=False)
        if b"Unable to get accurate CPU usage" not in done.stderr:
            break
        time.sleep(0.2)
    assert (done.returncode == 0) == (status == 0), (args, done)
    return (done.stdout + done.stderr).decode()


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def raw(name, seed, size=SIZE):
    rand, data = random.Random(seed), bytearray(size)
    for at in range(0, size, 65536):
        if at == 0 or rand.randrange(3):
            data[at:at + 65536] = rand.randbytes(min(65536, size - at))
    with open(path(name), "wb") as f:
        f.write(data)
    return bytes(data)


def dump(name):
    """What cryptsetup says of a header."""
    shown = {}
    for line in run("cryptsetup", "luksDump", name).splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            shown[key.strip()] = value.strip()
    return shown


def form(name, word, *more):
    run("cryptsetup", "luksFormat", "--type", "luks1", "-q", "--pbkdf-force-iterations", "1000", "--key-file=-", *more,
        name, data=word)


def opened(name, fmt="luks"):
    key = "key-secret=s" if fmt == "luks" else "encrypt.format=luks,encrypt.key-secret=s"
    return "driver=%s,file.driver=file,file.filename=%s,%s" % (fmt, name, key)


def cryptsetup_and_qemu_img_open_what_we_make():
    data = raw("plain", 1)
    for n, options in enumerate((
            "", ",cipher-alg=aes-128", ",cipher-alg=aes-192,cipher-mode=cbc,ivgen-alg=plain",
            ",cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256", ",cipher-alg=serpent-256,hash-alg=sha512",
            ",cipher-alg=twofish-256,hash-alg=sha1", ",cipher-alg=serpent-128,cipher-mode=ecb,hash-alg=ripemd160",
            ",cipher-alg=cast5-128,cipher-mode=cbc,ivgen-alg=plain64")):
        name = "ours-%d" % n
        run(TOOL, "convert", *SECRET, "-f", "raw", "-O", "luks", "-o", "key-secret=s" + QUICK + options, "plain", name)
        assert data[:65536] not in content(name)
        shown = dump(name)
        assert shown["Version"] == "1" and shown["Key Slot 0"] == "ENABLED" and shown["Key Slot 7"] == "DISABLED", shown
        if "alg=serpent" not in options and "twofish" not in options and "cast5" not in options:
            # For other ciphers it asks the kernel's device mapper.
            run("cryptsetup", "open", "--test-passphrase", "--key-file=-", name, data=b"correct horse")
            run("cryptsetup", "open", "--test-passphrase", "--key-file=-", name, data=b"wrong", status=1)
        if "aes-192,cipher-mode=cbc" not in options:  # slots of 96,000 bytes are no whole sectors: it aborts
            run("qemu-img", "convert", *SECRET, "--image-opts", opened(name), "-O", "raw", "back")
            assert content("back")[:SIZE] == data, options
        run(TOOL, "convert", *SECRET, "--image-opts", opened(name), "-O", "raw", "back")
        assert content("back") == data, options
        assert dump(name)["Payload offset"] == str(shown["Payload offset"])


def we_open_what_cryptsetup_and_qemu_img_make():
    data = raw("plain", 2)
    for n, options in enumerate(("", ",cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
                                 ",cipher-alg=twofish-128", ",cipher-alg=serpent-192,hash-alg=sha1")):
        name = "theirs-%d" % n
        run("qemu-img", "convert", *SECRET, "-f", "raw", "-O", "luks", "-o", "key-secret=s" + QUICK + options, "plain",
            name)
        run(TOOL, "convert", *SECRET, "--image-opts", opened(name), "-O", "raw", "back")
        assert content("back") == data, options
        info = json.loads(run(TOOL, "info", "--output=json", name))
        other = json.loads(run("qemu-img", "info", "--output=json", name))
        assert info["format"] == "luks" and info["encrypted"] and info["virtual-size"] == SIZE, info
        mine, foreign = (i["format-specific"]["data"] for i in (info, other))
        assert {k: mine.get(k) for k in foreign} == foreign, (mine, foreign)
        # Cut into by sectors and parts of them.
        run(TOOL, "convert", *SECRET, "-n", "-f", "raw", "--target-image-opts", "plain", opened(name))
        run("qemu-img", "compare", *SECRET, "--image-opts", opened(name),
            "driver=raw,file.driver=file,file.filename=plain")
    with open(path("slots"), "wb") as f:
        f.truncate(8 << 20)
    form("slots", b"first")
    with open(path("first"), "wb") as f:
        f.write(b"first")
    run("cryptsetup", "luksAddKey", "--key-slot", "5", "--pbkdf-force-iterations", "1000", "--key-file", "first",
        "slots", data=b"correct horse\n")
    for word in ("first", "correct horse"):
        run(TOOL, "info", "--object", "secret,id=s,data=" + word, "--image-opts", opened("slots"))
    said = run(TOOL, "info", *WRONG, "--image-opts", opened("slots"), status=1)
    assert "opens no key slot" in said and "'s'" in said, said
    run("cryptsetup", "luksKillSlot", "-q", "slots", "5")
    run(TOOL, "info", *SECRET, "--image-opts", opened("slots"), status=1)


def headers_may_be_in_a_file_of_their_own():
    with open(path("data"), "wb") as f:
        f.truncate(SIZE)
    with open(path("head"), "wb") as f:
        f.truncate(4 << 20)
    form("data", b"correct horse", "--header", "head")
    data = raw("plain", 3)
    how = opened("data") + ",header.driver=file,header.filename=head"
    run(TOOL, "convert", *SECRET, "-n", "-f", "raw", "--target-image-opts", "plain", how)
    assert len(content("data")) == SIZE and data[:4096] not in content("data")
    run(TOOL, "convert", *SECRET, "--image-opts", how, "-O", "raw", "back")
    assert content("back") == data


def qcow2_images_are_encrypted_both_ways():
    data = raw("plain", 4)
    for n, options in enumerate(("", ",encrypt.cipher-alg=serpent-256,cluster_size=4k", ",encrypt.cipher-mode=cbc,"
                                 "encrypt.ivgen-alg=essiv,extended_l2=on", ",compat=0.10")):
        made = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10" + options
        for maker, other in ((TOOL, "qemu-img"), ("qemu-img", TOOL)):
            name = "image-%d.qcow2" % n
            run(maker, "convert", *SECRET, "-f", "raw", "-O", "qcow2", "-o", made, "plain", name)
            assert data[:65536] not in content(name)
            run(other, "convert", *SECRET, "--image-opts", opened(name, "qcow2"), "-O", "raw", "back")
            assert content("back") == data, (maker, options)
            run(TOOL, "check", "-q", *SECRET, "--image-opts", opened(name, "qcow2"))
            run("qemu-img", "check", "-q", *SECRET, "--image-opts", opened(name, "qcow2"))
            run(TOOL, "check", name)
        info = json.loads(run(TOOL, "info", "--output=json", name))
        foreign = json.loads(run("qemu-img", "info", "--output=json", name))
        assert info["encrypted"] and info["format-specific"] == foreign["format-specific"], (info, foreign)
    said = run(TOOL, "map", name, status=1)
    assert "encrypted" in said and "encrypt.key-secret" in said, said
    assert "opens no key slot" in run(TOOL, "map", *WRONG, "--image-opts", opened(name, "qcow2"), status=1)
    assert "not encrypted" in run(TOOL, "create", "-f", "qcow2", "clear.qcow2", "1M") + run(
        TOOL, "map", *SECRET, "--image-opts", opened("clear.qcow2", "qcow2"), status=1)


def parts_of_sectors_and_clusters_change_alone():
    """Random writes by either side, into LUKS and into qcow2 with a snapshot and a backing file below."""
    rand = random.Random(5)
    raw("base", 6)
    run(TOOL, "create", *SECRET, "-f", "luks", "-o", "key-secret=s" + QUICK, "w.luks", str(SIZE))
    run(TOOL, "create", *SECRET, "-f", "qcow2", "-b", "base", "-F", "raw", "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "w.qcow2", str(SIZE))
    for name, fmt in (("w.luks", "luks"), ("w.qcow2", "qcow2")):
        data = bytearray(content("base"))
        if fmt == "luks":
            run(TOOL, "convert", *SECRET, "-n", "-f", "raw", "--target-image-opts", "base", opened(name))
        for step in range(12):
            todo = []
            for _ in range(6):
                at = rand.randrange(SIZE - 200000)
                length, byte = rand.choice((1, 100, 512, 5000, 65536, 150000)), rand.randrange(1, 256)
                data[at:at + length] = bytes([byte]) * length
                todo.append((at, length, byte))
            if step % 2:
                script = [a for t in todo for a in ("-c", "write -P %d %d %d" % (t[2], t[0], t[1]))]
                run("qemu-io", *SECRET, "--image-opts", opened(name, fmt), *script)
            else:
                key = {"key-secret": "s"} if fmt == "luks" else {"encrypt": {"format": "luks", "key-secret": "s"}}
                with Emulator(PROGRAM, "-M", "none", "-object", SECRET[1], "-blockdev", json.dumps(
                        {"driver": fmt, "node-name": "n", "file": {"driver": "file", "filename": path(name)},
                         **key})) as e:
                    sock = path("sock-%s-%d" % (fmt, step))
                    e.command("nbd-server-start", addr={"type": "unix", "data": {"path": sock}})
                    e.command("block-export-add", id="e", type="nbd", node_name="n", writable=True)
                    script = [a for t in todo for a in ("-c", "write -P %d %d %d" % (t[2], t[0], t[1]))]
                    run("qemu-io", "-f", "raw", *script, "nbd+unix:///n?socket=" + sock)
                    shown = e.command("query-named-block-nodes")["return"]
                    assert [s["image"].get("encrypted") for s in shown if s["node-name"] == "n"] == [True], shown
            run(TOOL if step % 3 else "qemu-img", "convert", *SECRET, "--image-opts", opened(name, fmt), "-O", "raw",
                "back")
            assert content("back")[:SIZE] == data, (fmt, step)
        if fmt == "qcow2":
            run(TOOL, "check", name)


def holes_below_an_image_in_luks_are_no_zeroes():
    """What is around a small write to a new cluster, behind what was the end of the decrypted file."""
    run(TOOL, "create", *SECRET, "-f", "luks", "-o", "key-secret=s" + QUICK, "o.luks", "0")
    script = [a for i in range(20) for a in ("-c", "write -P 7 %d 512" % (i * 65536 + 5120))]
    with Emulator(PROGRAM, "-M", "none", "-object", SECRET[1], "-blockdev", json.dumps(
            {"driver": "luks", "node-name": "below", "key-secret": "s",
             "file": {"driver": "file", "filename": path("o.luks")}})) as e:
        e.command("blockdev-create", job_id="j", options={"driver": "qcow2", "file": "below", "size": SIZE})
        deadline, status = time.monotonic() + WAIT, None
        while status != "concluded" and time.monotonic() < deadline:
            status = e.command("query-jobs")["return"][0]["status"]
        assert e.command("job-dismiss", id="j") == {"return": {}}
        e.command("blockdev-add", driver="qcow2", node_name="n", file="below")
        e.command("nbd-server-start", addr={"type": "unix", "data": {"path": path("sock-o")}})
        e.command("block-export-add", id="e", type="nbd", node_name="n", writable=True)
        run("qemu-io", "-f", "raw", *script, "nbd+unix:///n?socket=" + path("sock-o"))
    run("qemu-img", "convert", *SECRET, "--image-opts",
        "driver=qcow2,file.driver=luks,file.key-secret=s,file.file.filename=o.luks", "-O", "raw", "back")
    data = content("back")
    for i in range(20):
        cluster = bytearray(65536)
        cluster[5120:5632] = b"\7" * 512
        assert data[i * 65536:(i + 1) * 65536] == cluster, i


def disks_of_machines_take_the_usual_options():
    raw("plain", 7)
    run(TOOL, "convert", *SECRET, "-f", "raw", "-O", "qcow2", "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "plain", "m.qcow2")
    with Emulator(PROGRAM, "-M", "none", *("-object", SECRET[1]), "-drive",
                  "if=none,id=d,file=%s,encrypt.format=luks,encrypt.key-secret=s" % path("m.qcow2")) as e:
        shown, = e.command("query-block")["return"]
        assert shown["inserted"]["image"]["encrypted"], shown
        for node, options in (("q", {"driver": "qcow2", "encrypt": {"format": "luks", "key-secret": "s",
                                                                    "iter-time": 10}}),
                              ("l", {"driver": "luks", "key-secret": "s", "iter-time": 10})):
            with open(path(node), "wb"):
                pass
            reply = e.command("blockdev-add", driver="file", node_name=node, filename=path(node))
            assert reply == {"return": {}}, reply
            reply = e.command("blockdev-create", job_id=node, options={**options, "file": node, "size": 1 << 20})
            assert reply == {"return": {}}, reply
            while True:
                job, = (j for j in e.command("query-jobs")["return"] if j["id"] == node)
                if job["status"] == "concluded":
                    break
            assert "error" not in job, job
    for args, word in ((("-drive", "if=none,file=" + path("m.qcow2")), "encrypt.key-secret"),
                       (("-drive", "if=none,file=%s,encrypt.key-secret=s" % path("m.qcow2")), "encrypt.format"),
                       (("-drive", "if=none,file=%s,encrypt.format=aes" % path("m.qcow2")), "aes"),
                       (("-blockdev", "driver=luks,node-name=n,file.driver=file,file.filename=" + path("l")),
                        "key-secret"),
                       (("-blockdev", "driver=luks,node-name=n,key-secret=t,file.driver=file,file.filename=" +
                         path("l")), "'t'")):
        said = run(PROGRAM, "-M", "none", "-display", "none", *args, status=1)
        assert word in said and said.count("\n") == 1, (args, said)


def wrong_options_are_one_line():
    for options, word in (("", "key-secret"), ("key-secret=t", "'t'"), ("key-secret=s,cipher-alg=rot13", "aes-256"),
                          ("key-secret=s,hash-alg=crc32", "sha256"), ("key-secret=s,iter-time=0", "iter-time"),
                          ("key-secret=s,cipher-mode=gcm", "xts"), ("key-secret=s,ivgen-alg=zero", "plain64"),
                          ("key-secret=s,cipher-alg=cast5-128", "cast5"), ("key-secret=s,preallocation=full", "off")):
        more = ("-o", options) if options else ()
        said = run(TOOL, "create", "-q", *SECRET, "-f", "luks", *more, "x", "1M", status=1)
        assert word in said and said.count("\n") == 1, (options, said)
    for options, word in (("encrypt.format=luks", "key-secret"), ("encrypt.format=aes,encrypt.key-secret=s", "aes"),
                          ("encrypt.key-secret=s", "format"), ("encryption=on", "encrypt.format=luks"),
                          ("encrypt.format=luks,encrypt.key-secret=s,preallocation=metadata", "preallocation")):
        said = run(TOOL, "create", "-q", *SECRET, "-f", "qcow2", "-o", options, "x", "1M", status=1)
        assert word in said and said.count("\n") == 1, (options, said)
    raw("plain", 8)
    said = run(TOOL, "convert", "-c", *SECRET, "-f", "raw", "-O", "qcow2", "-o",
               "encrypt.format=luks,encrypt.key-secret=s", "plain", "x", status=1)
    assert "ompress" in said, said


def damaged_headers_are_refused():
    run(TOOL, "create", *SECRET, "-f", "luks", "-o", "key-secret=s" + QUICK, "good", "1M")
    run(TOOL, "create", *SECRET, "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
        "good.qcow2", "1M")
    good, rand = content("good"), random.Random(9)
    cases = [(6, struct.pack(">H", 2), "version 2"), (8, b"rot13\0", "rot13"), (40, b"xts-zero\0", "zero"),
             (72, b"crc32\0", "crc32"), (104, struct.pack(">I", 1 << 31), "data cannot be"),
             (104, struct.pack(">I", 0), "data cannot be"), (108, struct.pack(">I", 65), "key of 65"),
             (108, struct.pack(">I", 1 << 30), "key of"), (164, struct.pack(">I", 0), "iterations"),
             (164, struct.pack(">I", 0xffffffff), "iterations"), (208, struct.pack(">I", 7), "slot 0"),
             (212, struct.pack(">I", 0), "iterations"), (212, struct.pack(">I", 0xffffffff), "iterations"),
             (248, struct.pack(">I", 0), "slot 0"), (248, struct.pack(">I", 0xfffffff0), "slot 0"),
             (252, struct.pack(">I", 1), "stripes"), (252, struct.pack(">I", 0xffffffff), "stripes"),
             (112, b"x", "opens no key slot"), (216, b"x", "opens no key slot"),
             (4096 + 100, b"x" * 9, "opens no key slot")]
    for at, patch, word in cases:
        bad = bytearray(good)
        bad[at:at + len(patch)] = patch
        with open(path("bad"), "wb") as f:
            f.write(bad)
        said = run(TOOL, "info", *SECRET, "--image-opts", opened("bad"), status=1)
        assert word in said and said.count("\n") == 1, (at, patch, said)
    for length in (0, 100, 591, 1023, 4096, 300000):
        with open(path("bad"), "wb") as f:
            f.write(good[:length])
        run(TOOL, "info", *SECRET, "--image-opts", opened("bad"), status=1)
    image = content("good.qcow2")
    at = image.index(struct.pack(">II", 0x0537be77, 16))
    for patch in (struct.pack(">QQ", 1, 600), struct.pack(">QQ", 1 << 62, 4096), struct.pack(">QQ", 65536, 0),
                  struct.pack(">QQ", 0, 4096), struct.pack(">QQ", 65536, 1 << 60), struct.pack(">QQ", 65536, 65536)):
        with open(path("bad"), "wb") as f:
            f.write(image[:at + 8] + patch + image[at + 24:])
        said = run(TOOL, "map", *SECRET, "--image-opts", opened("bad", "qcow2"), status=1)
        assert said.count("\n") == 1, said
    for _ in range(60):
        bad = bytearray(good[:8192] if rand.randrange(2) else good)
        for _ in range(rand.randrange(1, 6)):
            bad[rand.randrange(592)] = rand.randrange(256)
        with open(path("bad"), "wb") as f:
            f.write(bad)
        done = subprocess.run([TOOL, "info", "bad"], cwd=FOLDER, capture_output=True, timeout=WAIT, check=False)
        assert done.returncode in (0, 1), done


def slots(name):
    """Numbers of the key slots that are in use, as the peer says."""
    info = json.loads(run("qemu-img", "info", "--output=json", name))["format-specific"]["data"]
    return [i for i, s in enumerate(info.get("encrypt", info)["slots"]) if s["active"]]


def fits(name, word):
    run("cryptsetup", "open", "--test-passphrase", "--key-file", "-", name, data=word)


def passwords_come_and_go_both_ways():
    both = [*SECRET, "--object", "secret,id=n,data=battery staple", "--object", "secret,id=no,data=nothing"]
    data = raw("raw", 9)
    for make in (TOOL, "qemu-img", "cryptsetup"):
        if make == "cryptsetup":
            with open(path("a.luks"), "wb") as f:
                f.truncate(4 * 1048576)
            run("cryptsetup", "luksFormat", "--type", "luks1", "--pbkdf-force-iterations", "1000", "-q", "--key-file",
                "-", "a.luks", data=b"correct horse")
        else:
            run(make, "convert", *SECRET, "-f", "raw", "-O", "luks", "-o", "key-secret=s" + QUICK, "raw", "a.luks")
        place = "driver=luks,key-secret=s,file.filename=a.luks"

        def amend(words, status=0, force=(), place=place):
            return run(TOOL, "amend", *force, *both, "-o", words, "--image-opts", place, status=status)
        amend("state=active,new-secret=n" + QUICK)
        amend("state=active,new-secret=n,keyslot=5" + QUICK)
        assert slots("a.luks") == [0, 1, 5]
        fits("a.luks", b"battery staple")
        before = content("a.luks")
        for words, word in (("state=active,new-secret=n,keyslot=5", "in use"), ("state=inactive,keyslot=7", "free"),
                            ("state=inactive,old-secret=no", "'no'"), ("state=inactive,old-secret=n,keyslot=0", "'n'"),
                            ("state=nix", "active or inactive"), ("new-secret=n", "'state'"), ("state=active", "'new"),
                            ("state=inactive", "'keyslot'"), ("state=active,new-secret=n,old-secret=s", "no"),
                            ("state=active,new-secret=n,keyslot=8", "0 to 7"), ("state=active,new-secret=nix", "nix"),
                            ("state=active,new-secret=n,iter-time=0", "iter-time"), ("cipher-alg=aes-128", "cipher-alg"),
                            ("state=inactive,keyslot=x", "keyslot")):
            said = amend(words, status=1)
            assert word in said and said.count("\n") == 1, (words, said)
        assert content("a.luks") == before, "something was written all the same"
        amend("state=inactive,keyslot=0", place="driver=luks,key-secret=n,file.filename=a.luks")
        run("cryptsetup", "open", "--test-passphrase", "--key-file", "-", "a.luks", data=b"correct horse", status=1)
        where = struct.unpack(">I", before[208 + 40:208 + 44])[0] * 512
        assert content("a.luks")[where:where + 256000] != before[where:where + 256000], "the key can be got back"
        if make != "cryptsetup":
            run("qemu-img", "convert", "--object", "secret,id=s,data=battery staple", "--image-opts", "-O", "raw", place,
                "back")
            assert content("back") == data
        run("qemu-img", "amend", *both, "-o", "state=active,new-secret=s" + QUICK, "--image-opts",
            "driver=luks,key-secret=n,file.driver=file,file.filename=a.luks")
        amend("state=inactive,old-secret=n")
        assert slots("a.luks") == [0]
        said = amend("state=inactive,old-secret=s", status=1)
        assert "force" in said, said
        amend("state=inactive,old-secret=s", force=["--force"])
        assert not slots("a.luks")


def passwords_of_qcow2_images_come_and_go():
    both = [*SECRET, "--object", "secret,id=n,data=battery staple"]
    data = raw("raw", 10)
    run(TOOL, "convert", *SECRET, "-f", "raw", "-O", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt"
        ".iter-time=10", "raw", "a.qcow2")
    place = "driver=qcow2,encrypt.format=luks,encrypt.key-secret=%s,file.driver=file,file.filename=a.qcow2"
    run(TOOL, "amend", *both, "-o", "encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=10", "--image-opts",
        place % "s")
    run(TOOL, "amend", *both, "-o", "encrypt.state=inactive,encrypt.old-secret=s", "--image-opts", place % "n")
    assert slots("a.qcow2") == [1]
    run("qemu-img", "convert", *both, "--image-opts", "-O", "raw", place % "n", "back")
    assert content("back") == data
    run("qemu-img", "check", "-q", *both, "--image-opts", place % "n")
    run(TOOL, "convert", "-f", "raw", "-O", "qcow2", "raw", "plain.qcow2")
    said = run(TOOL, "amend", *both, "-o", "encrypt.state=inactive,encrypt.old-secret=s", "plain.qcow2", status=1)
    assert "not encrypted" in said, said


tap.run([cryptsetup_and_qemu_img_open_what_we_make, we_open_what_cryptsetup_and_qemu_img_make,
         headers_may_be_in_a_file_of_their_own, qcow2_images_are_encrypted_both_ways,
         parts_of_sectors_and_clusters_change_alone, holes_below_an_image_in_luks_are_no_zeroes,
         disks_of_machines_take_the_usual_options,
         passwords_come_and_go_both_ways, passwords_of_qcow2_images_come_and_go,
         wrong_options_are_one_line, damaged_headers_are_refused])
