#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NUMA nodes (-numa): what is refused and how, ACPI's SRAT, SLIT and HMAT in every bit, what monitors say."""
import struct
import subprocess

import fwcfg
from qtest import QTest, Tap, program

MIB = 1 << 20


def ram(*sizes):
    out = []
    for n, size in enumerate(sizes):
        out += ["-object", f"memory-backend-ram,id=m{n},size={size}M"]
    return out


def numa(*texts):
    return [word for text in texts for word in ("-numa", text)]


TWO = ["-m", "128"] + ram(64, 64)
NODES = numa("node,memdev=m0,nodeid=0", "node,memdev=m1,nodeid=1")
HMAT = ["-M", "pc,hmat=on", "-smp", "2,sockets=2"] + TWO
HNODES = HMAT + numa("node,memdev=m0,nodeid=0,cpus=0-1", "node,memdev=m1,nodeid=1,initiator=0")
LB = "hmat-lb,initiator=0,target=%d,hierarchy=memory,data-type=%s"
LATENCY, BANDWIDTH = LB % (0, "access-latency"), LB % (0, "access-bandwidth")
CACHE = "hmat-cache,node-id=%d,size=%s,level=%d,associativity=direct,policy=write-back,line=8"


def refused(words, *args):
    run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", *args], timeout=60,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == 1 and words in run.stderr, (args, run.returncode, run.stderr)


def nodes_are_checked():
    refused("no node has memory", *numa("node"))
    refused("no node has memory", "-smp", "2,sockets=2", *numa(
        "node,nodeid=0", "node,nodeid=1", "cpu,node-id=0,socket-id=0", "cpu,node-id=1,socket-id=1"))
    refused("should equal RAM size", *ram(64), *numa("node,memdev=m0"))
    refused("nodeid=1: it has no memory", *ram(128), *numa("node,memdev=m0", "node"))
    refused("nodeid=0: it has no memory", "-M", "q35", *ram(128), *numa("node", "node,memdev=m0"))
    refused("Duplicate NUMA nodeid: 0", *TWO, *numa("node,memdev=m0,nodeid=0", "node,memdev=m1,nodeid=0"))
    refused("0..127", *TWO, *numa("node,memdev=m0,nodeid=128"))
    refused("Node ID missing: 0", *TWO, *numa("node,memdev=m0,nodeid=1", "node,memdev=m1,nodeid=2"))
    refused("there is no memory back end 'm9'", *TWO, *numa("node,memdev=m9"))
    refused("in use by", *TWO, *numa("node,memdev=m0", "node,memdev=m0"))
    refused("machine 'isapc' has no NUMA nodes", "-M", "isapc", *numa("node"))
    refused("leave out -machine memory-backend", "-M", "pc,memory-backend=m0", *TWO, *NODES)


def memory_is_of_one_kind():
    refused("for versions of machines up to 5.0", *numa("node,mem=128M"))
    refused("mixing both is not allowed", *TWO, *numa("node,memdev=m0", "node,mem=64M"))
    refused("mixing both is not allowed", "-M", "pc-i440fx-5.0", *TWO, *numa("node,mem=64M", "node,memdev=m0"))
    refused("whole pages", "-M", "pc-i440fx-5.0", *numa("node,mem=1000"))


def processors_are_checked():
    refused("CPU index (1) should be smaller than maxcpus (1)", *TWO, *numa("node,memdev=m0,cpus=1"))
    refused("a range FIRST-LAST", *TWO, *numa("node,memdev=m0,cpus=1-0"))
    refused("a range FIRST-LAST", *TWO, *numa("node,memdev=m0,cpus=x"))
    refused("already assigned to node-id: 0", *TWO, *numa("node,memdev=m0,cpus=0", "node,memdev=m1,cpus=0"))
    refused("Invalid node-id=0", *TWO, *numa("cpu,node-id=0,socket-id=0"))
    refused("no match found", *TWO, *NODES, *numa("cpu,node-id=0,socket-id=5"))
    refused("already assigned", *TWO, *NODES, *numa("cpu,node-id=0,socket-id=0", "cpu,node-id=1,socket-id=0"))


def keys_belong_to_their_type():
    refused("accepted is one of: node, dist", *numa("foo"))
    refused("Invalid parameter 'src'", *numa("node,src=0"))
    refused("Parameter 'val' is missing", *numa("dist,src=0,dst=1"))
    refused("Parameter 'associativity' is missing", *HNODES, *numa(LATENCY + ",latency=5",
                                                                 "hmat-cache,node-id=0,size=10K,level=1"))


def distances_are_checked():
    def dist(*texts):
        return [*TWO, *NODES, *numa(*("dist," + text for text in texts))]

    refused("shouldn't be less than 10", *dist("src=0,dst=1,val=9"))
    refused("Local distance of node 0 should be 10", *dist("src=0,dst=0,val=11"))
    refused("0..255", *dist("src=0,dst=1,val=256"))
    refused("NUMA node 1 is missing", *TWO, *numa("node,memdev=m0", "dist,src=0,dst=1,val=20"))
    three = ["-m", "192", *ram(64, 64, 64), *numa("node,memdev=m0", "node,memdev=m1", "node,memdev=m2")]
    refused("between node 0 and 2 is missing", *three, *numa("dist,src=0,dst=1,val=20"))
    refused("both directions of all node pairs", *three, *numa(
        "dist,src=0,dst=1,val=20", "dist,src=1,dst=0,val=21", "dist,src=0,dst=2,val=20", "dist,src=1,dst=2,val=20"))


def attributes_are_checked():
    refused("enable it with -machine hmat=on", *TWO, *numa("node,memdev=m0,initiator=0"))
    refused("enable it with -machine hmat=on", *TWO, *NODES, *numa(LATENCY + ",latency=5"))
    refused("should be itself (got 1)", *HMAT, *numa("node,memdev=m0,cpus=0-1,initiator=1"))
    refused("should be itself (got 1)", *HMAT, *numa("node,memdev=m0,initiator=1", "node,memdev=m1",
                                                    "cpu,node-id=0"))
    refused("node 1 has no CPU", *HMAT, *numa("node,memdev=m0,cpus=0-1", "node,memdev=m1,initiator=1"))
    refused("NUMA node 7 is missing", *HMAT, *numa("node,memdev=m0,cpus=0-1", "node,memdev=m1,initiator=7"))
    for words, text in (
            ("Missing 'latency' option", LATENCY + ",bandwidth=5"), ("Missing 'bandwidth' option", BANDWIDTH),
            ("Invalid option 'bandwidth'", LATENCY + ",latency=5,bandwidth=1M"),
            ("multiple of 1M", BANDWIDTH + ",bandwidth=1025K"), ("no CPU", LATENCY.replace("or=0", "or=1") +
                                                                 ",latency=5"),
            ("there is no such node", LB % (5, "read-latency") + ",latency=5"),
            ("accepted is one of: memory", LATENCY.replace("=memory", "=fourth-level") + ",latency=5"),
            ("provided before", CACHE % (0, "10K", 1))):
        refused(words, *HNODES, *numa(text))
    some = HNODES + numa(LATENCY + ",latency=5")
    refused("Duplicate configuration", *some, *numa(LATENCY + ",latency=5"))
    refused("too far apart", *some, *numa(LB % (1, "access-latency") + ",latency=500000001"))
    refused("larger than 0", *some, *numa(CACHE % (0, "10K", 0)))
    refused("less than or equal to 3", *some, *numa(CACHE % (0, "10K", 4)))
    refused("there is no such node", *some, *numa(CACHE % (4, "10K", 1)))
    refused("Duplicate", *some, *numa(CACHE % (0, "10K", 1), CACHE % (0, "10K", 1)))
    refused("level=1 shall be defined first", *some, *numa(CACHE % (0, "10K", 2)))
    refused("should be larger than the size(10240)", *some, *numa(CACHE % (0, "10K", 1), CACHE % (0, "10K", 2)))


# ---- tables ----

def tables(q):
    """{signature: bytes}; the sums are firmware's."""
    data, at, found = fwcfg.file(q, "etc/acpi/tables"), 0, {}
    while at + 36 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        name = data[at:at + 4]
        if name.isalnum() and size >= 36 and at + size <= len(data):
            found[name.decode()] = data[at:at + size]
            at += size
        at = at // 16 * 16 + 16 if at % 16 or not name.isalnum() else at  # where the next may begin
    return found


def structures(table, at, size_at):
    out = []
    while at < len(table):
        size = table[at + 1] if size_at == 1 else struct.unpack_from("<I", table, at + 4)[0]
        assert size >= 8, (at, size)
        out.append(table[at:at + size])
        at += size
    assert at == len(table)
    return out


def srat_tells_processors_and_memory(q):
    entries = structures(tables(q)["SRAT"], 48, 1)
    cpus = {e[3]: e[2] for e in entries if e[0] == 0}
    assert cpus == {0: 0, 1: 0, 2: 1, 3: 0, 4: 1}, cpus
    areas = [struct.unpack_from("<I2xQQ4xI", e, 2) for e in entries if e[0] == 1]
    assert areas == [(0, 0, 0xa0000, 1), (0, MIB, 1023 * MIB, 1), (1, 1024 * MIB, 2048 * MIB, 1),
                     (1, 1 << 32, 1024 * MIB, 1)], areas
    assert "SLIT" not in tables(q) and "HMAT" not in tables(q)


def slit_is_completed(q):
    slit = tables(q)["SLIT"]
    assert struct.unpack_from("<Q", slit, 36)[0] == 3
    assert slit[44:] == bytes([10, 20, 30, 20, 10, 255, 30, 255, 10]), slit[44:]


def hmat_has_every_form(q):
    hmat = tables(q)["HMAT"]
    assert hmat[8] == 2
    entries = structures(hmat, 40, 4)
    near = [struct.unpack_from("<HHII", e, 8) for e in entries if e[0] == 0]
    assert near == [(1, 0, 0, 0), (1, 0, 0, 1)], near
    rates = {}
    for e in entries:
        if e[0] == 1:
            sources, targets, unit = struct.unpack_from("<IIxxxxQ", e, 12)
            assert (sources, targets) == (1, 2) and struct.unpack_from("<3I", e, 32) == (0, 0, 1)
            rates[e[8], e[9]] = [v * unit for v in struct.unpack_from("<2H", e, 44)]
    assert rates == {(0, 0): [5000, 10000], (0, 1): [6000, 0], (0, 2): [0, 7000], (0, 3): [200, 100],
                     (0, 4): [2048, 0], (0, 5): [0, 1 << 20], (1, 0): [1000, 0], (2, 3): [300, 0],
                     (3, 1): [2000, 0]}, rates
    caches = [struct.unpack_from("<I4xQIHH", e, 8) for e in entries if e[0] == 2]
    assert caches == [(0, 10240, 0x00081112, 0, 0), (0, 20480, 0x00402222, 0, 0), (1, 4096, 0x00000011, 0, 0)], caches


HMAT_ALL = HNODES + numa(
    LATENCY + ",latency=5", LB % (1, "access-latency") + ",latency=10", LB % (0, "read-latency") + ",latency=6",
    LB % (1, "write-latency") + ",latency=7", BANDWIDTH + ",bandwidth=200M", LB % (1,
            "access-bandwidth") + ",bandwidth=100M",
    LB % (0, "read-bandwidth") + ",bandwidth=2G", LB % (1, "write-bandwidth") + ",bandwidth=1T",
    LATENCY.replace("memory", "first-level") + ",latency=1", BANDWIDTH.replace("memory",
                                                                               "second-level") + ",bandwidth=300M",
    (LB % (0, "read-latency")).replace("memory", "third-level") + ",latency=2",
    CACHE % (0, "10K", 1), "hmat-cache,node-id=0,size=20K,level=2,associativity=complex,policy=write-through,line=64",
    "hmat-cache,node-id=1,size=4K,level=1,associativity=none,policy=none,line=0")


# ---- monitors ----

def monitors_tell_the_nodes(q):
    text = q.qmp("human-monitor-command", {"command-line": "info numa"})
    assert text.replace("\r", "").splitlines() == [
        "2 nodes", "node 0 cpus: 0 1 3", "node 0 size: 1024 MB", "node 0 plugged: 0 MB", "node 1 cpus: 2",
        "node 1 size: 3072 MB", "node 1 plugged: 0 MB"], text
    places = {c["props"]["core-id"]: c["props"]["node-id"] for c in q.qmp("query-hotpluggable-cpus")}
    assert places == {0: 0, 1: 0, 2: 1, 3: 0, 4: 1}, places
    assert [c["props"]["node-id"] for c in q.qmp("query-cpus-fast")] == [0, 0, 1, 0]
    assert {m["id"]: m["size"] for m in q.qmp("query-memdev")} == {"m0": 1024 * MIB, "m1": 3072 * MIB}
    try:
        q.qmp("device_add", {"driver": "qemu64-x86_64-cpu", "socket-id": 0, "core-id": 4, "thread-id": 0, "node-id": 0})
    except AssertionError as error:
        assert "into node 1" in str(error), error
    else:
        raise AssertionError("another node than -numa's was taken")
    q.qmp("device_add", {"driver": "qemu64-x86_64-cpu", "socket-id": 0, "core-id": 4, "thread-id": 0, "node-id": 1})


def no_nodes_is_said(q):
    assert q.qmp("human-monitor-command", {"command-line": "info numa"}).split() == ["0", "nodes"]
    assert "SRAT" not in tables(q)


def memory_of_the_nodes_is_main_memory(q):
    q.writel(0x10, 0x11223344)
    q.writel(64 * MIB - 2, 0xaabbccdd)  # across the border of the two
    assert q.readl(0x10) == 0x11223344 and q.readl(64 * MIB - 2) == 0xaabbccdd


def without_cpus_sockets_are_dealt_out(q):
    assert [c["props"]["node-id"] for c in q.qmp("query-cpus-fast")] == [0, 0, 1, 1]


def old_machines_take_sizes(q):
    entries = structures(tables(q)["SRAT"], 48, 1)
    areas = [struct.unpack_from("<I2xQQ", e, 2) for e in entries if e[0] == 1]
    assert areas == [(0, 0, 0xa0000), (0, MIB, 31 * MIB), (1, 32 * MIB, 96 * MIB)], areas
    assert {m["name"]: m["numa-mem-supported"] for m in q.qmp("query-machines")}.items() >= {
        "pc-i440fx-5.0": True, "pc-i440fx-5.1": False, "pc-q35-5.0": True, "isapc": False}.items()


def old_machines_split_memory(q):
    """The manual's example."""
    entries = structures(tables(q)["SRAT"], 48, 1)
    areas = [struct.unpack_from("<I2xQQ", e, 2) for e in entries if e[0] == 1]
    assert areas == [(0, 0, 0xa0000), (0, MIB, 63 * MIB), (1, 64 * MIB, 69 * MIB)], areas
    places = {c["props"]["socket-id"]: c["props"]["node-id"] for c in q.qmp("query-hotpluggable-cpus")}
    assert places == {0: 0, 1: 1}, places
    q.writel(64 * MIB - 2, 0xaabbccdd)
    assert q.readl(64 * MIB - 2) == 0xaabbccdd


def zero_is_not_provided(q):
    entries = structures(tables(q)["HMAT"], 40, 4)
    rates = {(e[8], e[9]): [v * struct.unpack_from("<Q", e, 24)[0] for v in struct.unpack_from("<2H", e, 44)]
             for e in entries if e[0] == 1}
    assert rates == {(0, 0): [5000, 0], (0, 3): [0, 100]}, rates


MIXED = ["-M", "q35", "-smp", "4,maxcpus=5,cores=5", "-m", "4G"] + ram(1024, 3072) + numa(
    "node,memdev=m0,cpus=0-1,cpus=3", "node,memdev=m1", "cpu,node-id=1,core-id=2", "cpu,node-id=1,core-id=4")

tap = Tap()
for case in (nodes_are_checked, memory_is_of_one_kind, processors_are_checked, keys_belong_to_their_type,
             distances_are_checked, attributes_are_checked):
    tap.case(case.__name__, case)
tap.machine_case("srat_tells_processors_and_memory", ["-M", "pc,acpi=on", *MIXED[2:]], srat_tells_processors_and_memory)
tap.machine_case("slit_is_completed", ["-m", "192", *ram(64, 64, 64), *numa(
    "node,memdev=m0", "node,memdev=m1", "node,memdev=m2", "dist,src=1,dst=0,val=20", "dist,src=0,dst=2,val=30",
    "dist,src=1,dst=2,val=255")], slit_is_completed)
tap.machine_case("hmat_has_every_form", HMAT_ALL, hmat_has_every_form)
tap.machine_case("monitors_tell_the_nodes", MIXED, monitors_tell_the_nodes)
tap.machine_case("no_nodes_is_said", [], no_nodes_is_said)
tap.machine_case("memory_of_the_nodes_is_main_memory", TWO + NODES, memory_of_the_nodes_is_main_memory)
tap.machine_case("without_cpus_sockets_are_dealt_out", ["-smp", "4,sockets=2,cores=2", *TWO, *NODES],
                 without_cpus_sockets_are_dealt_out)
tap.machine_case("old_machines_take_sizes", ["-M", "pc-i440fx-5.0", "-smp", "2", "-m", "128",
                                             *numa("node,mem=32M,cpus=0",
                                                   "node,mem=96M,cpus=1")], old_machines_take_sizes)
example = ["-smp", "1,sockets=2,maxcpus=2", *numa("node,nodeid=0", "node,nodeid=1", "cpu,node-id=0,socket-id=0",
                                                 "cpu,node-id=1,socket-id=1")]
tap.machine_case("old_machines_split_memory", ["-M", "pc-i440fx-5.0", "-m", "133", *example], old_machines_split_memory)
tap.case("new_machines_split_none", lambda: refused("no node has memory", "-M", "pc", *example))
tap.machine_case("memory_may_come_later", ["-m", "128M,slots=2,maxmem=1G", *ram(128), *numa("node,memdev=m0", "node")],
                 lambda q: q.qmp("object-add", {"qom-type": "memory-backend-ram", "id": "d", "size": 128 * MIB}) or
                 q.qmp("device_add", {"driver": "pc-dimm", "memdev": "d", "node": 1}))
tap.machine_case("zero_is_not_provided", ["-M", '{"type": "pc", "hmat": true}', *HNODES[2:], *numa(
    LATENCY + ",latency=5", LB % (1, "access-latency") + ",latency=0", BANDWIDTH + ",bandwidth=0",
    LB % (1, "access-bandwidth") + ",bandwidth=100M")], zero_is_not_provided)
tap.done()
