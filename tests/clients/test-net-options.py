# SPDX-License-Identifier: LGPL-2.1-or-later
"""-nic, -net, -netdev and what boards have by default; hot-plug of NICs and netdevs.

usage: test-net-options.py SOURCE-ROOT BUILD-ROOT
"""
import os
import subprocess
import sys

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
DEFAULTS = ("-display", "none", "-accel", "qtest", "-serial", "none", "-monitor", "none")


def machine(*args, quiet=DEFAULTS):
    return Emulator(PROGRAM, *args, quiet=quiet)


def monitor(e, line):
    return e.command("human-monitor-command", command_line=line)["return"].replace("\r", "")


def networks(e):
    return monitor(e, "info network")


def ethernets(e):
    return monitor(e, "info pci").count("Ethernet controller")


def refused(args, *words):
    said = fails(PROGRAM, *args)
    for word in words:
        assert word in said, (word, said)


def board_has_a_nic_on_user_networking_by_default():
    for board in ("pc", "q35"):
        with machine("-M", board) as e:
            text = networks(e)
            assert "model=e1000" in text and "macaddr=52:54:00:12:34:56" in text and "type=user" in text, text
            assert ethernets(e) == 1
    with machine("-M", "pc", "-nodefaults") as e:
        assert networks(e) == "" and ethernets(e) == 0


def nic_none_leaves_it_out():
    for args in (("-nic", "none"), ("-net", "none")):
        with machine("-M", "pc", *args) as e:
            assert networks(e) == "" and ethernets(e) == 0
    with machine("-M", "pc", "-netdev", "user,id=n") as e:  # any option of networks takes the default's place
        assert ethernets(e) == 0 and "n: index=0,type=user" in networks(e)


def nic_makes_both_ends():
    with machine("-M", "pc", "-nic", "user,model=e1000,mac=52:54:98:76:54:32,id=n1",
                 "-nic", "hubport,hubid=3", "-nic", "stream,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=0") as e:
        text = networks(e)
        assert ethernets(e) == 3 and "listening at 127.0.0.1" in text, text
        assert "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:98:76:54:32\n \\ n1:" in text, text
        assert "hub=3" in text and "macaddr=52:54:00:12:34:56" in text, text


def nic_is_short_for_two_options():
    texts = []
    for args in (("-netdev", "user,id=n1,ipv6=off", "-device", "e1000,netdev=n1,mac=52:54:98:76:54:32"),
                 ("-nic", "user,id=n1,ipv6=off,model=e1000,mac=52:54:98:76:54:32")):
        with machine("-M", "pc", *args) as e:
            texts.append((networks(e), monitor(e, "info pci"),
                          [line for line in monitor(e, "info qtree").splitlines() if "mac =" in line]))
    assert texts[0] == texts[1], texts


def addresses_are_checked():
    for mac, word in (("01:00:5e:00:00:01", "multicast"), ("52:54:00", "52:54:00"), ("house", "house")):
        refused(("-M", "pc", "-nic", "user,mac=" + mac), word)
        refused(("-M", "pc", "-device", "e1000,mac=" + mac), word)
    with machine("-M", "pc", "-nic", "user", "-nic", "user", "-device", "e1000,id=x") as e:
        text = networks(e)
        assert all("macaddr=52:54:00:12:34:%02x" % n in text for n in (0x56, 0x57, 0x58)), text


def models_are_listed():
    for args in (("-nic", "model=help"), ("-net", "nic,model=help"), ("-nic", "user,model=help")):
        run = subprocess.run([PROGRAM, *args], stdout=subprocess.PIPE, text=True, check=True, stdin=subprocess.DEVNULL)
        assert "isa-serial" not in run.stdout, run.stdout
        for model in ("e1000", "e1000e", "igb", "vmxnet3", "rtl8139"):
            assert "\n%s " % model in run.stdout, run.stdout
    refused(("-M", "pc", "-nic", "user,model=e10000"), "e10000")
    run = subprocess.run([PROGRAM, "-netdev", "help"], stdout=subprocess.PIPE, text=True, check=True,
                         stdin=subprocess.DEVNULL)
    assert "user" in run.stdout and "hubport" in run.stdout, run.stdout
    run = subprocess.run([PROGRAM, "-netdev", "user,help"], stdout=subprocess.PIPE, text=True, check=True,
                         stdin=subprocess.DEVNULL)
    assert "hostfwd" in run.stdout and "restrict" in run.stdout, run.stdout


def old_options_meet_at_hub_0():
    with machine("-M", "pc", "-net", "nic,model=e1000,macaddr=52:54:00:01:02:03,name=lan,addr=7", "-net", "user,name=u",
                 "-net", "nic") as e:
        text = networks(e)
        assert "lan: index=0,type=nic,model=e1000,macaddr=52:54:00:01:02:03" in text, text
        assert text.count("hub=0") == 3 and "u: index=0,type=user" in text, text
        assert ethernets(e) == 2 and "device   7" in monitor(e, "info pci")
    with machine("-M", "pc", "-netdev", "user,id=n", "-net", "nic,netdev=n") as e:
        assert " \\ n: index=0,type=user" in networks(e)
    refused(("-M", "pc", "-net", "nic,netdev=zz"), "no netdev 'zz'")
    refused(("-M", "pc", "-net", "nic,colour=red"), "nic has the keys")


def machine_without_a_place_says_so():
    refused(("-M", "none", "-nic", "user"), "no place for NICs")


def nic_and_netdev_come_and_go():
    with machine("-M", "pc", "-nodefaults") as e:
        assert e.command("netdev_add", type="user", id="n") == {"return": {}}
        assert e.command("device_add", driver="e1000", id="x", netdev="n", addr="5") == {"return": {}}
        assert "x: index=0,type=nic" in networks(e) and "\\ n:" in networks(e)
        assert "in use" in e.command("device_add", driver="e1000", id="y", netdev="n")["error"]["desc"]
        assert "no netdev" in e.command("device_add", driver="e1000", id="y", netdev="zz")["error"]["desc"]
        assert e.command("netdev_del", id="n") == {"return": {}}
        assert networks(e).startswith("x: ") and "\\" not in networks(e)
        assert e.command("netdev_add", type="hubport", id="n", hubid=0) == {"return": {}}
        assert e.command("netdev_del", id="zz")["error"]["class"] == "DeviceNotFound"


def cables_are_pulled_by_name():
    with machine("-M", "pc", "-nic", "user,id=n") as e:
        for name in ("n", "e1000.0"):
            assert e.command("set_link", name=name, up=False) == {"return": {}}
            assert "(link down)" in networks(e)
            assert monitor(e, "set_link %s on" % name) == ""
            assert "(link down)" not in networks(e)
        assert e.command("set_link", name="zz", up=True)["error"]["class"] == "DeviceNotFound"


def json_is_taken():
    with machine("-M", "pc", "-netdev", '{"type": "user", "id": "j", "restrict": true}', "-device",
                 '{"driver": "e1000", "netdev": "j", "mac": "52:54:00:0a:0b:0c"}') as e:
        assert "restrict=on" in networks(e) and "52:54:00:0a:0b:0c" in networks(e)


def firmware_finds_its_boot_rom():
    run = subprocess.run([PROGRAM, "-device", "e1000,help"], stdout=subprocess.PIPE, text=True, check=True,
                         stdin=subprocess.DEVNULL)
    assert "romfile" in run.stdout and "bootindex" in run.stdout
    if not os.path.exists("/usr/lib/ipxe/qemu/efi-e1000.rom"):
        raise tap.Skip("package ipxe-qemu is not installed")
    with machine("-M", "pc") as e:
        assert "BAR6: 32 bit memory" in monitor(e, "info pci").split("Ethernet controller")[1]


tap.run([board_has_a_nic_on_user_networking_by_default, nic_none_leaves_it_out, nic_makes_both_ends,
         nic_is_short_for_two_options, addresses_are_checked, models_are_listed, old_options_meet_at_hub_0,
         machine_without_a_place_says_so, nic_and_netdev_come_and_go, cables_are_pulled_by_name, json_is_taken,
         firmware_finds_its_boot_rom])
