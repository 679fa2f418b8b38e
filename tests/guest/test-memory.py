#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NUMA nodes and memory that comes and goes, as Debian's kernel sees them."""
import re
import subprocess
import tempfile

from console import Tap
from linux import Guest

NODES = "/sys/devices/system/node"


def memory(node, text):
    found = re.search(r"Node %d MemTotal:\s+(\d+) kB" % node, text)
    assert found, text
    return int(found.group(1)) // 1024


def nodes_have_their_memory_cpus_and_distances():
    with Guest("-m", "512", "-smp", "4", "-object", "memory-backend-ram,id=a,size=128M",
               "-object", "memory-backend-ram,id=b,size=384M", "-numa", "node,memdev=a,cpus=0-1,cpus=3",
               "-numa", "node,memdev=b,cpus=2", "-numa", "dist,src=0,dst=1,val=20",
               "-numa", "dist,src=1,dst=0,val=33") as g:
        text = g.run(f"cat {NODES}/online {NODES}/node*/cpulist {NODES}/node*/distance {NODES}/node*/meminfo")
        words = [line.strip() for line in text.splitlines() if line.strip()]
        assert words[:5] == ["0-1", "0-1,3", "2", "10 20", "33 10"], words[:6]
        assert 40 < memory(0, text) <= 128 < 200 < memory(1, text) <= 384, text
        assert "node 0 cpus: 0 1 3" in g.hmp("info numa")
        return f"node 0 {memory(0, text)} MiB, node 1 {memory(1, text)} MiB"


def attributes_of_memory_reach_sysfs():
    """The example of the manual: 5 ns and 200 MB/s, 10 ns and 100 MB/s, caches of 10 KiB."""
    lb = "hmat-lb,initiator=0,target=%d,hierarchy=memory,data-type=access-%s"
    cache = "hmat-cache,node-id=%d,size=10K,level=1,associativity=direct,policy=write-back,line=8"
    options = ["-machine", "q35,hmat=on", "-m", "2G,slots=2,maxmem=4G", "-object", "memory-backend-ram,size=1G,id=m0",
               "-object", "memory-backend-ram,size=1G,id=m1", "-smp", "2,sockets=2,maxcpus=2"]
    for text in ("node,nodeid=0,memdev=m0", "node,nodeid=1,memdev=m1,initiator=0", "cpu,node-id=0,socket-id=0",
                 "cpu,node-id=0,socket-id=1", lb % (0, "latency") + ",latency=5", lb % (0,
                         "bandwidth") + ",bandwidth=200M",
                 lb % (1, "latency") + ",latency=10", lb % (1, "bandwidth") + ",bandwidth=100M", cache % 0, cache % 1):
        options += ["-numa", text]
    with Guest(*options) as g:
        text = g.run(f"for n in 0 1; do cd {NODES}/node$n; grep . access0/initiators/read_* "
                     "memory_side_cache/index1/*; ls access0/initiators | grep node; done")
        for want in ("read_latency:5", "read_latency:10", "read_bandwidth:200", "read_bandwidth:100",
                     "index1/size:10240", "index1/line_size:8", "index1/indexing:0", "index1/write_policy:0"):
            assert want in text, (want, text)
        assert text.count("\nnode0") == 2, text


def total(g):
    return int(re.search(r"MemTotal:\s+(\d+) kB", g.run("grep MemTotal /proc/meminfo")).group(1)) // 1024


def until(g, want, what, seconds=60):
    for _ in range(seconds):
        text = g.run("sleep 1; " + what)
        if want in text:
            return text
    raise AssertionError((want, text))


def dimms_come_and_go():
    """The example of the manual: 1 GiB, three slots, up to 4 GiB."""
    with Guest("-m", "1G,slots=3,maxmem=4G") as g:
        before = total(g)
        g.qmp("object-add", **{"qom-type": "memory-backend-ram", "id": "m", "size": 512 << 20})
        g.qmp("device_add", driver="pc-dimm", id="d", memdev="m")
        until(g, "PNP0C80:00", "ls /sys/bus/acpi/devices")
        g.run("sleep 1; for f in /sys/devices/system/memory/memory*; do "
              "[ $(cat $f/state) = offline ] && echo online_movable > $f/state; done")
        assert total(g) == before + 512, (before, total(g))
        assert g.qmp("query-memory-devices")[0]["data"]["hotplugged"] is True
        assert g.qmp("query-memory-size-summary") == {"base-memory": 1 << 30, "plugged-memory": 512 << 20}
        # What was plugged in is memory: all that is free can be filled.
        text = g.run("mount -t tmpfs -o size=90% t /mnt && dd if=/dev/urandom of=/mnt/a bs=1M count=128 2>/dev/null && "
                     "cp /mnt/a /mnt/b && cmp /mnt/a /mnt/b && echo sa''me; umount /mnt", 300)
        assert "same" in text, text
        g.run("for f in /sys/devices/system/memory/memory*; do [ $(cat $f/valid_zones) = Movable ] && "
              "echo offline > $f/state; done")
        g.qmp("device_del", id="d")
        assert g.event("DEVICE_DELETED")["device"] == "d"
        assert total(g) == before and g.qmp("query-memory-devices") == []
        g.qmp("object-del", id="m")
        return f"{before} MiB, with the module {before + 512}"


def nvdimms_keep_what_is_written():
    with tempfile.NamedTemporaryFile(prefix="backplane-nvdimm-") as f:
        f.truncate(128 << 20)
        options = ["-machine", "q35,nvdimm=on", "-m", "512M,slots=2,maxmem=2G", "-object",
                   f"memory-backend-file,id=p,share=on,mem-path={f.name},size=128M", "-device", "nvdimm,memdev=p,id=n",
                   "-object", "memory-backend-ram,id=l,size=64M", "-device", "nvdimm,memdev=l,label-size=128K"]
        drivers = ("crc32c_generic", "nfit", "nd_pmem", "ext4")
        with Guest(*options, drivers=drivers) as g:
            text = g.run("cat /sys/block/pmem0/size; cat /sys/bus/nd/devices/nmem1/available_slots; "
                         "echo some text that stays > /dev/pmem0; sync; dmesg | grep -i -E 'nfit.*(fail|error)'")
            # The label area is read by the driver when the region begins: 128 KiB have 508 slots of 256 bytes or so.
            words = text.split()
            assert words[0] == str((128 << 20) // 512) and 250 < int(words[1]) < 1024, text
            assert "nfit" not in text, text
        f.seek(0)
        assert f.read(24) == b"some text that stays\n" + bytes(3)
        with Guest(*options, drivers=drivers) as g:
            assert "some text that stays" in g.run("head -c 21 /dev/pmem0")


def virtio_mem_grows_and_shrinks():
    with Guest("-M", "q35", "-m", "512M,maxmem=4G", "-object", "memory-backend-ram,id=m,size=1G", "-device",
               "virtio-mem-pci,memdev=m,id=v,requested-size=256M", drivers=("crc32c_generic", "virtio_pci",
                                                                          "virtio_mem"),
               append=" memhp_default_state=online_movable") as g:
        for _ in range(60):
            if g.qmp("qom-get", path="/machine/peripheral/v", property="size") == 256 << 20:
                break
            g.run("sleep 1")
        first = total(g)
        assert g.qmp("query-memory-size-summary")["plugged-memory"] == 256 << 20
        for size in (768, 128):
            g.qmp("qom-set", path="/machine/peripheral/v", property="requested-size", value=size << 20)
            for _ in range(60):
                if g.qmp("qom-get", path="/machine/peripheral/v", property="size") == size << 20:
                    break
                g.run("sleep 1")
            assert g.qmp("query-memory-devices")[0]["data"]["size"] == size << 20, g.qmp("query-memory-devices")
            assert abs(total(g) - first - size + 256) <= 1, (size, first, total(g))
        assert g.event("MEMORY_DEVICE_SIZE_CHANGE")["id"] == "v"


def virtio_pmem_keeps_a_file_system():
    with tempfile.NamedTemporaryFile(prefix="backplane-pmem-") as f:
        f.truncate(128 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", f.name], check=True)
        with Guest("-M", "q35", "-m", "512M,maxmem=2G", "-object",
                   f"memory-backend-file,id=p,share=on,mem-path={f.name},size=128M", "-device",
                   "virtio-pmem-pci,memdev=p,id=v", drivers=("crc32c_generic", "virtio_pci", "virtio_pmem", "nd_pmem",
                                                            "ext4")) as g:
            text = g.run("cat /sys/block/pmem0/size; mount /dev/pmem0 /mnt && echo it stays > /mnt/file && sync && "
                         "umount /mnt && echo do''ne; dmesg | grep -iE 'virtio_pmem.*(fail|error)'", 120)
            assert text.split()[0] == str((128 << 20) // 512) and "done" in text and "fail" not in text, text
            assert [d["type"] for d in g.qmp("query-memory-devices")] == ["virtio-pmem"]
            g.console.type("poweroff -f\n")
            assert g.console.wait(60) == 0
        check = subprocess.run(["/sbin/e2fsck", "-fn", f.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, check=False)
        assert check.returncode == 0, check.stdout
        text = subprocess.run(["/sbin/debugfs", "-R", "cat /file", f.name], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True).stdout
        assert text == "it stays\n", text


def main():
    tap = Tap()
    tap.case("nodes_have_their_memory_cpus_and_distances", nodes_have_their_memory_cpus_and_distances)
    tap.case("attributes_of_memory_reach_sysfs", attributes_of_memory_reach_sysfs)
    tap.case("dimms_come_and_go", dimms_come_and_go)
    tap.case("nvdimms_keep_what_is_written", nvdimms_keep_what_is_written)
    tap.case("virtio_mem_grows_and_shrinks", virtio_mem_grows_and_shrinks)
    tap.case("virtio_pmem_keeps_a_file_system", virtio_pmem_keeps_a_file_system)
    tap.done()


if __name__ == "__main__":
    main()
