# SPDX-License-Identifier: LGPL-2.1-or-later
"""
blockdev-add and blockdev-del: every driver of this build comes and goes over QMP as it does with -blockdev.
Usage: test-blockdev-add.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import content, path, raw, run  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
CORPUS = os.path.join(sys.argv[1], "tests/fuzz/corpus")
SIZE = 1 << 20
GROWING = ("parallels", "qcow2", "qed", "vdi", "vhdx", "vmdk", "vpc")
# What needs a server of its own is added over QMP by that server's test; here it is refused when nobody answers.
SERVED = {
    "ftp": {"url": "ftp://127.0.0.1:1/x"}, "ftps": {"url": "ftps://127.0.0.1:1/x"},
    "http": {"url": "http://127.0.0.1:1/x"}, "https": {"url": "https://127.0.0.1:1/x"},
    "gluster": {"volume": "v", "path": "x", "server": [{"type": "inet", "host": "127.0.0.1", "port": "1"}]},
    "iscsi": {"transport": "tcp", "portal": "127.0.0.1:1", "target": "iqn.2000-01.x:y", "lun": 0},
    "nfs": {"server": {"type": "inet", "host": "127.0.0.1", "port": "1"}, "path": "/e/x"},
    "rbd": {"pool": "p", "image": "x", "server": [{"host": "127.0.0.1", "port": "1"}], "timeout": 1},
    "ssh": {"server": {"host": "127.0.0.1", "port": "1"}, "path": "x", "user": "u"}}


def drivers():
    done = subprocess.run([PROGRAM, "-blockdev", "help"], capture_output=True, text=True, timeout=60, check=True)
    return re.findall(r"^  (\S+) ", done.stdout, re.M)


class Machine(Emulator):
    def __init__(self):
        super().__init__(PROGRAM, "-M", "none", "-object", "secret,id=key,data=password", "-object",
                         "throttle-group,id=group")

    def names(self):
        return {n["node-name"]: n["drv"] for n in self.command("query-named-block-nodes")["return"]}

    def comes_and_goes(self, driver, **options):
        before = self.names()
        reply = self.command("blockdev-add", driver=driver, node_name="tried", **options)
        assert reply == {"return": {}}, (driver, reply)
        assert self.names()["tried"] == driver, (driver, self.names())
        again = self.command("blockdev-add", driver="null-co", node_name="tried")
        assert "tried" in again["error"]["desc"], again
        assert self.command("blockdev-del", node_name="tried") == {"return": {}}, driver
        assert self.names() == before, driver
        gone = self.command("blockdev-del", node_name="tried")
        assert "tried" in gone["error"]["desc"], gone


def file_of(name, **more):
    return {"driver": "file", "filename": name, **more}


def options_of_local_drivers():
    """What each of them needs; images are made on the way."""
    null = {"driver": "null-co", "size": SIZE}
    data = raw("plain.raw", SIZE, 1)
    given = {name: {"size": SIZE} for name in ("null-co", "null-aio")}
    given["file"] = {"filename": path("plain.raw")}
    given["raw"] = {"file": file_of(path("plain.raw")), "offset": 512}
    for name in GROWING:
        run("convert", "-f", "raw", "-O", name, "plain.raw", "image." + name)
        given[name] = {"file": file_of(path("image." + name))}
    run("create", "-q", "-f", "luks", "--object", "secret,id=key,data=password", "-o",
        "key-secret=key,iter-time=10", "image.luks", str(SIZE))
    given["luks"] = {"key-secret": "key", "file": file_of(path("image.luks"))}
    for name in ("bochs", "cloop", "dmg"):
        given[name] = {"read-only": True, "file": file_of(os.path.join(CORPUS, name + "-1.bin"), **{"read-only": True})}
    for name in ("blkdebug", "copy-on-read", "throttle", "preallocate", "power-cut"):
        given[name] = {"file": dict(null)}
    given["temp-overlay"] = {"backing": dict(null)}
    given["blkdebug"] = {"image": dict(null)}
    given["throttle"]["throttle-group"] = "group"
    given["preallocate"] = {"file": file_of(path("plain.raw"))}
    os.makedirs(path("folder"), exist_ok=True)
    given["vvfat"] = {"read-only": True, "dir": path("folder"), "floppy": True}
    raw("log", SIZE, 2)
    given["blklogwrites"] = {"file": dict(null), "log": file_of(path("log"))}
    given["blkverify"] = {"raw": dict(null), "test": dict(null)}
    given["quorum"] = {"children": [dict(null), dict(null)], "vote-threshold": 2}
    given["compress"] = {"file": {"driver": "qcow2", "file": file_of(path("image.qcow2"))}}
    given["copy-before-write"] = {"file": dict(null), "target": dict(null)}
    given["snapshot-access"] = {"read-only": True, "file": {"driver": "copy-before-write", "file": dict(null),
                                                            "target": dict(null)}}
    assert content("plain.raw") == data
    return given


def local_drivers_come_and_go():
    given = options_of_local_drivers()
    with Machine() as q:
        for name, options in given.items():
            if name in drivers():
                q.comes_and_goes(name, **options)
        for name, word in (("host_device", "is no device"), ("host_cdrom", "no CD drive")):
            reply = q.command("blockdev-add", driver=name, node_name="tried", filename=path("plain.raw"), **{"read-only": True})
            assert word in reply["error"]["desc"], reply
        assert "tried" not in q.names()


def served_drivers_do():
    with Machine() as q:
        where = {"type": "unix", "data": {"path": path("nbd")}}
        for name, arguments in (("nbd-server-start", {"addr": where}),
                                ("blockdev-add", {"driver": "null-co", "node_name": "n", "size": SIZE}),
                                ("block-export-add", {"type": "nbd", "id": "e", "node_name": "n"})):
            assert q.command(name, **arguments) == {"return": {}}, name
        q.comes_and_goes("nbd", server={"type": "unix", "path": path("nbd")}, export="n", **{"read-only": True})
        for name, options in SERVED.items():
            if name not in drivers():
                continue
            reply = q.command("blockdev-add", driver=name, node_name="tried", **{"read-only": True}, **options)
            assert reply["error"]["class"] == "GenericError" and "tried" not in q.names(), (name, reply)


def every_driver_is_tried():
    known = {*options_of_local_drivers(), *SERVED, "nbd", "host_device", "host_cdrom"}
    assert set(drivers()) <= known, set(drivers()) - known


def nodes_in_use_stay():
    raw("plain.raw", SIZE, 1)
    with Machine() as q:
        q.command("blockdev-add", node_name="f", **file_of(path("plain.raw")))
        q.command("blockdev-add", driver="raw", node_name="r", file="f")
        reply = q.command("blockdev-del", node_name="f")
        assert "f" in q.names() and "use" in reply["error"]["desc"], reply
        for name in "rf":
            assert q.command("blockdev-del", node_name=name) == {"return": {}}
        for options, word in (({"driver": "nonsense"}, "nonsense"), ({}, "driver"),
                              ({"driver": "null-co", "sizes": 1}, "sizes"),
                              ({"driver": "raw", "file": "none"}, "none"), ({"driver": "qcow2"}, "file")):
            reply = q.command("blockdev-add", node_name="w", **options)
            assert word in reply["error"]["desc"] and "w" not in q.names(), (options, reply)
        reply = q.command("blockdev-add", driver="null-co")
        assert "node-name" in reply["error"]["desc"], reply


tap.run([local_drivers_come_and_go, served_drivers_do, every_driver_is_tried, nodes_in_use_stay])
