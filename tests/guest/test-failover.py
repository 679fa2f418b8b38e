# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two network cards that are one to Debian's kernel (net_failover): the primary comes when the driver of the standby knows
what it is, carries the traffic, and leaves it to the standby when it is taken out."""
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import Tap  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(prefix="backplane-failover-")
ADDRESS = "52:54:00:00:00:09"
PRIMARY = {"driver": "e1000e", "netdev": "hp", "mac": ADDRESS, "bus": "slot1", "id": "primary", "failover_pair_id": "standby"}


class Pair(network.MonitoredGuest):
    """One network with both cards, and QMP."""

    def __init__(self):
        options = ["-M", "q35", "-netdev", "user,id=u"]
        for n, name in enumerate(("hu,netdev=u", "hs", "hp")):
            options += ["-netdev", "hubport,hubid=0,id=%s" % name]
        for n in range(2):
            options += ["-device", "pcie-root-port,id=slot%d,addr=%d,chassis=%d,slot=%d" % (n, 8 + n, n + 1, n + 1)]
        # The primary is named first: any order will do.
        options += ["-device", json.dumps(PRIMARY), "-device",
                    "virtio-net-pci,netdev=hs,mac=%s,bus=slot0,id=standby,failover=on" % ADDRESS]
        super().__init__(("e1000e", "virtio_net", "virtio_pci"), *options, memory="256", boot=240)

    def primary_is_there(self):
        return '"primary"' in json.dumps(self.qmp("query-pci"))


def primary_comes_and_goes():
    with Pair() as g:
        # The driver has begun before there was a monitor, and its event with it.
        g.until("grep -qs '^0x8086' /sys/class/net/*/device/vendor")
        g.until("test $(ls -d /sys/class/net/*/master | wc -l) = 2")
        names = {}
        for line in g.run("cd /sys/class/net; for e in eth*; do echo =$e $(cat $e/device/vendor) $(readlink $e/master); done; "
                          "cd /").splitlines():
            if line.startswith("="):
                name, vendor, *master = line[1:].split()
                names["master" if not master else "primary" if vendor == "0x8086" else "standby"] = name
                assert not master or master[0].endswith(line[1:].split()[2].split("/")[-1])
        assert len(names) == 3, names
        g.run("for e in %s; do ip link show $e | grep -q %s || exit 1; done" % (" ".join(names.values()), ADDRESS))
        counter = "$(cat /sys/class/net/%s/statistics/tx_packets)"
        g.dhcp(names["master"])
        g.until("grep -q 1 /sys/class/net/%s/carrier" % names["primary"])
        g.run("p=%s s=%s; ping -c 20 -i 0.2 10.0.2.2; test $((%s - p)) -ge 20" % (
            counter % names["primary"], counter % names["standby"], counter % names["primary"]), 120)
        # A download goes on while it is taken out.
        with open(os.path.join(FOLDER.name, "file"), "wb") as f:
            f.truncate(6000000)
        with network.web(FOLDER.name) as server:
            g.run("(wget -q -O - http://10.0.2.2:%d/file | wc -c > /tmp/got) & sleep 0.2" % server.server_port)
            g.qmp("device_del", id="primary")
            while g.event("DEVICE_DELETED").get("device") != "primary":
                pass
            g.until("grep -q 6000000 /tmp/got")
        assert "primary" not in [d["name"] for d in g.qmp("qom-list", path="/machine/peripheral")]
        g.run("s=%s; ping -c 20 -i 0.2 10.0.2.2; test $((%s - s)) -ge 20" % (
            counter % names["standby"], counter % names["standby"]), 120)
        # It comes back at once: the driver knows.
        g.qmp("device_add", **PRIMARY)
        g.until("test $(ls -d /sys/class/net/*/master | wc -l) = 2")
        g.run("ping -c 3 10.0.2.2", 60)
        # The driver of the standby begins anew.
        g.qmp("device_del", id="primary")
        while g.event("DEVICE_DELETED").get("device") != "primary":
            pass
        g.events.clear()
        g.run("rmmod virtio_net")
        g.qmp("device_add", **PRIMARY)
        assert not g.primary_is_there(), "it has not waited"
        g.run("insmod /modules/virtio_net.ko")
        assert g.event("FAILOVER_NEGOTIATED") == {"device-id": "standby"}
        assert g.primary_is_there()
        g.until("test $(ls -d /sys/class/net/*/master | wc -l) = 2")


if __name__ == "__main__":
    tap = Tap()
    tap.case("primary_comes_and_goes", primary_comes_and_goes)
    FOLDER.cleanup()
    tap.done()
