#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""IPMI: KCS and BT interfaces on ISA and PCI, the simulated BMC's commands, a BMC in another program over its
protocol, and with OpenIPMI's ipmi_sim itself."""
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

import fwcfg
from qtest import QTest, Tap, program
from virtio import until

OBF, IBF, ATTENTION = 1, 2, 4
IDLE, READ, WRITE, ERROR = range(4)
APP, CHASSIS, SENSOR, STORAGE = 6, 0, 4, 10
SECOND = 1000000000
SIM = ["-device", "ipmi-bmc-sim,id=b"]
KCS = SIM + ["-device", "isa-ipmi-kcs,bmc=b"]
BT = SIM + ["-device", "isa-ipmi-bt,bmc=b"]


def refused(words, *args):
    run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", *args], timeout=60,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == 1 and words in run.stderr, (args, run.returncode, run.stderr)


def kcs_send(q, message, base=0xca0):
    assert not q.inb(base + 1) & IBF
    q.outb(base + 1, 0x61)
    for byte in message[:-1]:
        assert q.inb(base + 1) >> 6 == WRITE
        q.outb(base, byte)
    q.outb(base + 1, 0x62)
    assert q.inb(base + 1) >> 6 == WRITE
    q.outb(base, message[-1])


def kcs_receive(q, base=0xca0):
    answer = b""
    while q.inb(base + 1) >> 6 == READ:
        assert q.inb(base + 1) & OBF
        answer += bytes([q.inb(base)])
        assert not q.inb(base + 1) & OBF
        q.outb(base, 0x68)
    assert q.inb(base + 1) >> 6 == IDLE and q.inb(base + 1) & OBF, hex(q.inb(base + 1))
    q.inb(base)
    return answer


def ask(q, netfn, command, data=b"", base=0xca0, send=kcs_send, receive=kcs_receive):
    """(completion code, data)"""
    send(q, bytes([netfn << 2, command]) + data, base)
    answer = receive(q, base)
    assert answer[:2] == bytes([(netfn | 1) << 2, command]), answer
    return answer[2], answer[3:]


def good(q, *args, **more):
    code, data = ask(q, *args, **more)
    assert code == 0, (args, hex(code))
    return data


def bt_send(q, message, base=0xe4):
    q.outb(base, 1)
    for byte in bytes([len(message) + 1, message[0], 0x5a]) + message[1:]:
        q.outb(base + 1, byte)
    q.outb(base, 4)


def bt_receive(q, base=0xe4):
    assert q.inb(base) & 8, hex(q.inb(base))
    q.outb(base, 0x40)
    q.outb(base, 8)
    q.outb(base, 2)
    size = q.inb(base + 1)
    data = bytes(q.inb(base + 1) for _ in range(size))
    q.outb(base, 0x40)
    assert data[1] == 0x5a and q.inb(base) == 0, (data, hex(q.inb(base)))
    return data[:1] + data[2:]


# ---- interfaces ----

def interfaces_are_checked():
    refused("bmc=ID", "-device", "isa-ipmi-kcs")
    refused("'b'", "-device", "isa-ipmi-kcs,bmc=b")
    refused("in use by another interface", *KCS, "-device", "isa-ipmi-bt,bmc=b")
    refused("ipmi-bmc", "-device", "edu,id=b", "-device", "isa-ipmi-kcs,bmc=b")
    refused("0..15", *SIM, "-device", "isa-ipmi-kcs,bmc=b,irq=16")
    refused("requires chardev", "-device", "ipmi-bmc-extern,id=b")
    refused("no UUID", "-device", "ipmi-bmc-sim,id=b,guid=12")
    refused("cannot open", "-device", "ipmi-bmc-sim,id=b,sdrfile=/nowhere")
    refused("8..65535", "-device", "ipmi-bmc-sim,id=b,fruareasize=70000")
    with tempfile.NamedTemporaryFile() as f:
        f.write(bytes([1, 0, 0x51, 1, 20, 0]))
        f.flush()
        refused("ends within a record", "-device", f"ipmi-bmc-sim,id=b,sdrfile={f.name}")
        f.write(bytes(3))
        f.flush()
        refused("no file of at most 8 bytes", "-device", f"ipmi-bmc-sim,id=b,fruareasize=8,frudatafile={f.name}")


def kcs_goes_through_its_states(q):
    q.irq_intercept_in("ioapic")
    assert q.inb(0xca1) == 0
    data = good(q, APP, 1)
    assert data[0] == 0x20 and data[4] == 2 and data[5] == 0x8f and len(data) == 11, data
    kcs_send(q, bytes([APP << 2, 4]))
    assert q.irq(5)
    assert kcs_receive(q) == bytes([APP << 2 | 4, 4, 0, 0x55, 0])
    assert not q.irq(5)
    q.outb(0xca1, 0x10)  # no such code
    assert q.inb(0xca1) >> 6 == ERROR
    q.outb(0xca1, 0x60)  # what was it?
    q.inb(0xca0)
    q.outb(0xca0, 0)
    assert q.inb(0xca1) >> 6 == READ and q.inb(0xca0) == 2
    q.outb(0xca0, 0x68)
    assert q.inb(0xca1) >> 6 == IDLE
    q.inb(0xca0)
    q.outb(0xca1, 0x61)
    for _ in range(300):
        q.outb(0xca0, 0)
    assert q.inb(0xca1) >> 6 == ERROR  # too long
    q.outb(0xca1, 0x61)
    q.outb(0xca1, 0x62)
    q.outb(0xca0, 0x18)  # too short
    assert q.inb(0xca1) >> 6 == ERROR
    good(q, APP, 1)
    q.outb(0xca1, 0x61)
    q.qmp("system_reset")
    assert q.inb(0xca1) == 0
    assert ask(q, APP, 0x99)[0] == 0xc1 and ask(q, 0x30, 1)[0] == 0xc1


def bt_hands_over_whole_messages(q):
    def bt(*args):
        return ask(q, *args, base=0xe4, send=bt_send, receive=bt_receive)

    q.irq_intercept_in("ioapic")
    assert bt(APP, 1)[0] == 0 and not q.irq(5)
    assert bt(APP, 0x36) == (0, bytes([1, 255, 255, 10, 0]))
    q.outb(0xe6, 1)
    bt_send(q, bytes([APP << 2, 1]))
    assert q.irq(5) and q.inb(0xe6) == 3
    q.outb(0xe6, 3)
    assert not q.irq(5)
    bt_receive(q)
    q.outb(0xe4, 1)
    q.outb(0xe5, 99)  # says more than there is
    q.outb(0xe4, 4)
    assert q.inb(0xe4) & 8
    q.outb(0xe4, 2)
    assert [q.inb(0xe5) for _ in range(5)][4] == 0xc7
    q.outb(0xe4, 8)
    for _ in range(400):
        q.outb(0xe5, 0xff)
    q.outb(0xe4, 4)
    q.outb(0xe4, 0x0a)
    assert bt(APP, 4) == (0, b"\x55\0")


def other_places_are_taken(q):
    q.irq_intercept_in("ioapic")
    kcs_send(q, bytes([APP << 2, 1]), 0xca8)
    assert not any(q.irqs.values()), q.irqs
    assert kcs_receive(q, 0xca8)[2] == 0


def block_transfer_is_where_it_is_asked_for(q):
    q.irq_intercept_in("ioapic")
    q.outb(0x1e6, 1)
    bt_send(q, bytes([APP << 2, 4]), 0x1e4)
    assert q.irq(11) and not q.irq(5) and q.inb(0xe4) == 0xff
    q.outb(0x1e6, 3)
    assert not q.irq(11) and bt_receive(q, 0x1e4) == bytes([APP << 2 | 4, 4, 0, 0x55, 0])


def functions_on_pci_answer(q):
    for slot, kind in ((5, 1), (6, 2)):
        def config(at, slot=slot):
            q.outl(0xcf8, 0x80000000 | slot << 11 | at)

        config(0)
        assert q.inl(0xcfc) == 0x11121234
        config(8)
        assert q.inl(0xcfc) >> 8 == 0x0c0700 | kind
        config(0x10)
        q.outl(0xcfc, 0xc000 + slot * 0x100)
        config(4)
        q.outw(0xcfc, 1)
    assert good(q, APP, 1, base=0xc500)[0] == 0x20
    assert ask(q, APP, 1, base=0xc600, send=bt_send, receive=bt_receive)[0] == 0


def tables_tell_of_it(q):
    smbios = fwcfg.file(q, "etc/smbios/smbios-tables")
    at, found = 0, []
    while smbios[at] != 127:
        size = smbios[at + 1]
        if smbios[at] == 38:
            found.append(smbios[at + 4:at + size])
        at = smbios.index(b"\0\0", at + size) + 2
    assert len(found) == 1, found
    assert struct.unpack("<BBBBQBB", found[0]) == (1, 0x20, 0x21, 0xff, 0xca3, 0x0a | 0x10 * 0, 7), found
    acpi = fwcfg.file(q, "etc/acpi/tables")
    at = acpi.index(b"IPI0001")
    crs = acpi.index(b"_CRS", at)
    assert bytes([0x47, 1, 0xa2, 0x0c, 0xa2, 0x0c, 1, 2, 0x22, 0x80, 0, 0x79, 0]) in acpi[crs:crs +
            24], acpi[at:at + 80]


# ---- the simulated BMC ----

def identity_and_enables(q):
    assert good(q, APP, 0x37) == bytes.fromhex("c830d44f c000 b480 d111 ad9d 10b8a76b".replace(" ", "")), good(q,
            APP, 0x37)
    good(q, APP, 0x2e, b"\x0f")
    assert good(q, APP, 0x2f) == b"\x0f"
    assert ask(q, APP, 0x33)[0] == 0x80 and ask(q, APP, 0x2e)[0] == 0xc7
    good(q, APP, 6, b"\x80\x81")
    assert good(q, APP, 7) == b"\0\1"
    good(q, CHASSIS, 8, b"\5\xe0\x08\0\0\0")
    assert good(q, CHASSIS, 9, b"\5\0\0") == b"\1\5\xe0\x08\0\0\0"
    assert good(q, CHASSIS, 0)[1:] == bytes([0x21] * 5) and good(q, CHASSIS, 1)[0] & 1
    assert ask(q, CHASSIS, 2, b"\x0f")[0] == 0xcc


def without_guid_the_command_fails(q):
    assert ask(q, APP, 0x37)[0] == 0xc1 and ask(q, APP, 8)[0] == 0xc1


def inventory_is_read_and_written(q):
    assert good(q, STORAGE, 0x10, b"\0") == b"\0\x02\0"
    assert good(q, STORAGE, 0x11, b"\0\0\0\x10") == b"\x10" + b"inventory of it\n"
    assert good(q, STORAGE, 0x12, b"\0\xfe\1xy") == b"\2"
    assert good(q, STORAGE, 0x11, b"\0\xfe\1\x10") == b"\2xy"
    for data, code in ((b"\0\0\2\1", 0xc9), (b"\1\0\0\1", 0xcb), (b"\0\0\0\xff", 0xca), (b"\0\0", 0xc7)):
        assert ask(q, STORAGE, 0x11, data)[0] == code, data
    assert ask(q, STORAGE, 0x12, b"\0\xff\1xy")[0] == 0xc9


def inventory_has_its_size(q):
    assert good(q, STORAGE, 0x10, b"\0") == b"\0\x04\0"  # 1024 bytes
    assert good(q, STORAGE, 0x12, b"\0\xff\3x") == b"\1" and good(q, STORAGE, 0x11, b"\0\xff\3\1") == b"\1x"
    assert ask(q, STORAGE, 0x11, b"\0\0\4\1")[0] == 0xc9


def records_of_a_file_are_served(q):
    assert struct.unpack_from("<BHH", good(q, STORAGE, 0x20)) == (0x51, 2, 0)
    reservation = good(q, STORAGE, 0x22)
    first = good(q, STORAGE, 0x23, b"\0\0\0\0\0\xff")
    assert first == struct.pack("<H", 7) + RECORDS[:10]
    assert good(q, STORAGE, 0x23, reservation + b"\7\0\2\3") == b"\xff\xff" + RECORDS[12:15]
    assert good(q, STORAGE, 0x23, b"\0\0\xff\xff\0\xff")[2:] == RECORDS[10:]
    assert ask(q, STORAGE, 0x23, b"\x55\x55\7\0\2\3")[0] == 0xc5
    assert ask(q, STORAGE, 0x23, b"\0\0\x09\0\0\xff")[0] == 0xcb
    assert ask(q, STORAGE, 0x23, reservation + b"\7\0\x20\3")[0] == 0xc9


def own_record_is_of_the_watchdog(q):
    record = good(q, STORAGE, 0x23, b"\0\0\0\0\0\xff")[2:]
    assert len(record) == 5 + record[4] and record.endswith(b"Watchdog") and record[12] == 0x23
    assert good(q, SENSOR, 0x2d, b"\1")[1] == 0xc0 and ask(q, SENSOR, 0x2d, b"\2")[0] == 0xcb


def events_are_logged_and_cleared(q):
    assert good(q, STORAGE, 0x40)[1:5] == struct.pack("<HH", 0, 128 * 16)
    assert ask(q, STORAGE, 0x43, b"\0\0\0\0\0\xff")[0] == 0xcb
    for n in range(128):
        assert good(q, STORAGE, 0x44, bytes([0, 0, 2, 0, 0, 0, 0, 0x21, 0, 4, 1, n, 1, 2, 3,
                                             4])) == struct.pack("<H", n + 1)
    assert ask(q, STORAGE, 0x44, bytes(16))[0] == 0xc4
    entry = good(q, STORAGE, 0x43, b"\0\0\5\0\0\xff")
    assert entry[:2] == b"\6\0" and entry[2:5] == b"\5\0\2" and entry[9:] == bytes([0x21, 0, 4, 1, 4, 1, 2, 3, 4])
    assert good(q, STORAGE, 0x40)[-1] & 0x80
    reservation = good(q, STORAGE, 0x42)
    good(q, STORAGE, 0x46, reservation + b"\5\0")
    assert ask(q, STORAGE, 0x43, b"\0\0\5\0\0\xff")[0] == 0xcb
    assert good(q, STORAGE, 0x43, b"\0\0\xff\xff\0\xff")[2:4] == b"\x80\0"
    assert ask(q, STORAGE, 0x47, b"\x77\x77CLR\xaa")[0] == 0xc5
    assert good(q, STORAGE, 0x47, reservation + b"CLR\xaa") == b"\1"
    assert good(q, STORAGE, 0x40)[1:3] == b"\0\0"
    good(q, STORAGE, 0x49, struct.pack("<I", 1000000))
    assert 1000000 <= struct.unpack("<I", good(q, STORAGE, 0x48))[0] <= 1000060


def names(q):
    q.qmp("query-status")
    return [e["event"] for e in q.events]


def watchdog_counts_and_resets(q):
    assert ask(q, APP, 0x22)[0] == 0x80
    good(q, APP, 0x24, bytes([4, 1, 0, 0x3e, 50, 0]))  # SMS/OS, hard reset, 5 s
    assert good(q, APP, 0x25) == bytes([4, 1, 0, 0, 50, 0, 50, 0])
    good(q, APP, 0x22)
    q.clock_step(3 * SECOND)
    assert good(q, APP, 0x25) == bytes([0x44, 1, 0, 0, 50, 0, 20, 0])
    good(q, APP, 0x22)
    q.clock_step(5 * SECOND - 1)
    assert "WATCHDOG" not in names(q)
    q.clock_step(1)
    assert "WATCHDOG" in names(q) and good(q, APP, 0x25)[3] == 1 << 4
    entry = good(q, STORAGE, 0x43, b"\0\0\xff\xff\0\xff")
    assert entry[12:15] == b"\x23\1\x6f" and entry[15:17] == b"\xc1\x04", entry
    assert good(q, CHASSIS, 7)[0] == 4
    assert ask(q, APP, 0x24, bytes([0, 1, 0, 0, 50, 0]))[0] == 0xcc


def watchdog_acts(q, action):
    good(q, APP, 0x24, bytes([4, action, 0, 0, 10, 0]))
    good(q, APP, 0x22)
    q.clock_step(SECOND - 1)
    assert not {"RESET", "SHUTDOWN"} & set(names(q))
    q.clock_step(1)


def watchdog_powers_off(q):
    watchdog_acts(q, 2)
    assert "SHUTDOWN" in names(q) and "WATCHDOG" not in names(q)
    assert q.qmp("query-status")["status"] == "shutdown"


def watchdog_cycles_power(q):
    watchdog_acts(q, 3)
    assert "RESET" in names(q)
    assert good(q, CHASSIS, 7)[0] == 4  # the watchdog, not who asked the chassis


def nmis_are_vector(q, vector):
    """LINT1 of the local APIC, to which NMIs lead, gives a vector that can be looked at."""
    q.writel(0xfee000f0, 0x1ff)
    q.writel(0xfee00360, vector)


def arrived(q, vector):
    return q.readl(0xfee00200 + 0x10 * (vector // 32)) >> vector % 32 & 1


def watchdog_sends_an_nmi(q):
    """Its warning, two seconds ahead, is one; then it ends without doing more."""
    nmis_are_vector(q, 0x55)
    good(q, APP, 0x24, bytes([4, 0x20, 2, 0, 50, 0]))
    good(q, APP, 0x22)
    q.clock_step(3 * SECOND - 1)
    assert not arrived(q, 0x55)
    q.clock_step(1)
    assert arrived(q, 0x55)
    q.clock_step(2 * SECOND)
    assert not {"RESET", "SHUTDOWN", "WATCHDOG"} & set(names(q))


def power_is_cycled(q):
    kcs_send(q, bytes([CHASSIS << 2, 2, 2]))
    assert "RESET" in names(q)
    assert good(q, CHASSIS, 7)[0] == 1


def watchdog_warns_before(q):
    good(q, APP, 0x2e, b"\1")
    q.irq_intercept_in("ioapic")
    good(q, APP, 0x24, bytes([4 | 0x80, 0x30, 2, 0, 50, 0]))  # a message 2 s before its end, then nothing; not logged
    good(q, APP, 0x22)
    q.clock_step(3 * SECOND - 1)
    assert not q.inb(0xca1) & ATTENTION
    q.clock_step(1)
    assert q.inb(0xca1) & ATTENTION and q.irq(5)
    assert good(q, APP, 0x31) == b"\x08"
    good(q, APP, 0x30, b"\x08")
    assert not q.inb(0xca1) & ATTENTION and not q.irq(5)
    q.clock_step(2 * SECOND)
    assert good(q, APP, 0x25)[0] == 4 | 0x80 and "WATCHDOG" not in names(q)
    assert good(q, STORAGE, 0x40)[1:3] == b"\0\0"


def chassis_is_controlled(q):
    good(q, CHASSIS, 2, b"\1")
    assert not {"RESET", "SHUTDOWN", "POWERDOWN"} & set(names(q))
    good(q, CHASSIS, 2, b"\5")
    assert "POWERDOWN" in names(q)
    kcs_send(q, bytes([CHASSIS << 2, 2, 3]))
    assert "RESET" in names(q)
    good(q, CHASSIS, 2, b"\4")
    kcs_send(q, bytes([CHASSIS << 2, 2, 0]))
    assert "SHUTDOWN" in names(q)


# ---- a BMC in another program ----

class Peer:
    """What a simulator does, by the protocol."""

    def __init__(self, folder):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, "bmc"))
        self.listener.listen(1)
        self.listener.settimeout(60)
        self.socket = None

    def accept(self):
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(60)
        self.rest = b""

    def frame(self):
        """(its end, the bytes)"""
        while not (ends := [n for n, byte in enumerate(self.rest) if byte in (0xa0, 0xa1)]):
            data = self.socket.recv(4096)
            assert data, "closed"
            self.rest += data
        raw, end, self.rest = self.rest[:ends[0]], self.rest[ends[0]], self.rest[ends[0] + 1:]
        out, escape = b"", False
        for byte in raw:
            if byte == 0xaa:
                escape = True
            else:
                out += bytes([byte & ~0x10 if escape else byte])
                escape = False
        return end, out

    def send(self, data, end):
        out = b""
        for byte in data:
            out += bytes([0xaa, byte | 0x10]) if byte in (0xa0, 0xa1, 0xaa) else bytes([byte])
        self.socket.sendall(out + bytes([end]))

    def answer(self, sequence, data):
        data = bytes([sequence]) + data
        self.send(data + bytes([-sum(data) & 0xff]), 0xa0)


def until(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def answered(q):
    until(lambda: not q.inb(0xca1) & IBF, "an answer")


def requests_go_to_another_program():
    with tempfile.TemporaryDirectory(prefix="qtest-ipmi-") as folder:
        peer = Peer(folder)
        with QTest(["-chardev", f"socket,id=c,path={folder}/bmc,reconnect-ms=100", "-device",
                    "ipmi-bmc-extern,id=b,chardev=c", "-device", "isa-ipmi-kcs,bmc=b", "-no-shutdown"]) as q:
            peer.accept()
            assert peer.frame() == (0xa1, b"\xff\x01") and peer.frame() == (0xa1, b"\x08\x3f")
            assert peer.frame() == (0xa1, b"\x04") and peer.frame() == (0xa1, b"\x05")
            q.qmp("query-status")
            kcs_send(q, b"\x18\x01\xa0\xa1\xaa")
            while True:
                end, data = peer.frame()
                if end == 0xa0:
                    break
            assert data[1:-1] == b"\x18\x01\xa0\xa1\xaa" and sum(data) & 0xff == 0
            assert q.inb(0xca1) & IBF
            peer.answer(data[0] + 1, b"\x1c\x01\x00late")       # not this one
            peer.send(b"\x01\x1c\x01\x00\x00", 0xa0)            # does not sum up
            peer.send(bytes(400), 0xa0)                         # too long
            peer.answer(data[0], b"\x1c\x01\x00\xa0\xaa\xa1")
            answered(q)
            assert kcs_receive(q) == b"\x1c\x01\x00\xa0\xaa\xa1"
            q.irq_intercept_in("ioapic")
            peer.send(b"\x02", 0xa1)
            until(lambda: q.inb(0xca1) & ATTENTION and q.irq(5), "attention")
            peer.send(b"\x00", 0xa1)
            until(lambda: not q.inb(0xca1) & ATTENTION, "no attention")
            kcs_send(q, b"\x18\x01")                            # nobody answers
            q.clock_step(4 * SECOND)
            assert kcs_receive(q)[2] == 0xc3
            kcs_send(q, b"\x18\x01")
            peer.socket.close()                                 # it dies with a request
            answered(q)
            assert kcs_receive(q)[2] == 0xd2
            assert ask(q, APP, 1)[0] == 0xd2
            peer.accept()                                       # and comes back
            assert peer.frame() == (0xa1, b"\xff\x01")
            kcs_send(q, b"\x18\x01")
            while (frame := peer.frame())[0] != 0xa0:
                pass
            peer.answer(frame[1][0], b"\x1c\x01\x00ok")
            answered(q)
            assert kcs_receive(q) == b"\x1c\x01\x00ok"
            nmis_are_vector(q, 0x56)
            assert not arrived(q, 0x56)
            peer.send(b"\x07", 0xa1)
            until(lambda: arrived(q, 0x56), "the NMI does not come")
            for code, name in ((9, "POWERDOWN"), (4, "RESET"), (3, "SHUTDOWN")):
                peer.send(bytes([code]), 0xa1)
                until(lambda wanted=name: wanted in names(q), name)


def long_answers_end_soon():
    """What an interface cannot hand over, a guest is told, rather than left waiting."""
    for kind, base, send, receive, most in (("kcs", 0xca0, kcs_send, kcs_receive, 272),
                                           ("bt", 0xe4, bt_send, bt_receive, 254)):
        with tempfile.TemporaryDirectory(prefix="qtest-ipmi-") as folder:
            peer = Peer(folder)
            with QTest(["-chardev", f"socket,id=c,path={folder}/bmc", "-device", "ipmi-bmc-extern,id=b,chardev=c",
                        "-device", f"isa-ipmi-{kind},bmc=b"]) as q:
                peer.accept()
                for length in (most, most + 1, 274):
                    send(q, b"\x18\x01", base)
                    while (frame := peer.frame())[0] != 0xa0:
                        pass
                    peer.answer(frame[1][0], b"\x1c\x01\x00" + bytes(length - 3))
                    if kind == "kcs":
                        until(lambda: not q.inb(base + 1) & IBF, "the interface waits for ever")
                    else:
                        until(lambda: q.inb(base) & 8, "the interface waits for ever")
                    expected = b"\x1c\x01\xca" if length > most else b"\x1c\x01\x00" + bytes(length - 3)
                    assert receive(q, base) == expected, (kind, length)


CONFIG = """name "test"
set_working_mc 0x20
  serial 15 localhost %d codec VM
  startlan 1
    addr localhost %d
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  user 2 true "ipmiusr" "test" admin 10 none md2 md5 straight
"""
COMMANDS = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


def free_port():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def openipmi_answers():
    """The real peer: what ipmi_sim is told to be is what the guest's interface finds; it dies and comes back."""
    with tempfile.TemporaryDirectory(prefix="qtest-ipmi-") as folder:
        serial, lan = free_port(), free_port()
        for name, text in (("lan.conf", CONFIG % (serial, lan)), ("emu", COMMANDS)):
            with open(os.path.join(folder, name), "w", encoding="ascii") as f:
                f.write(text)

        def start():
            return subprocess.Popen([shutil.which("ipmi_sim"), "-c", folder + "/lan.conf", "-f", folder + "/emu", "-s",
                                     folder, "-n"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)

        def reach(q):
            end = time.monotonic() + 120
            while time.monotonic() < end:
                code, data = 0xd2, b""
                kcs_send(q, bytes([APP << 2, 1]))
                while time.monotonic() < end:
                    time.sleep(0.02)
                    if not q.inb(0xca1) & IBF:
                        answer = kcs_receive(q)
                        code, data = answer[2], answer[3:]
                        break
                if code == 0:
                    return data
            raise AssertionError("ipmi_sim did not answer")

        sim = start()
        try:
            with QTest(["-chardev", f"socket,id=c,host=localhost,port={serial},reconnect-ms=100", "-device",
                        "ipmi-bmc-extern,id=b,chardev=c", "-device", "isa-ipmi-kcs,bmc=b"]) as q:
                data = reach(q)
                assert data[1:4] == b"\3\x09\x08" and data[5:9] == b"\x9f\x91\x12\x00", data
                sim.kill()
                sim.wait()
                kcs_send(q, bytes([APP << 2, 1]))  # it is missed
                answered(q)
                assert kcs_receive(q)[2] == 0xd2
                sim = start()
                assert reach(q)[5] == 0x9f
        finally:
            sim.kill()
            sim.wait()


RECORDS = bytes([1, 0, 0x51, 0xc0, 5]) + b"first" + bytes([7, 0, 0x51, 0xc0, 6]) + b"second"
FOLDER = tempfile.TemporaryDirectory(prefix="qtest-ipmi-")
for file_name, content in (("sdr", RECORDS), ("fru", b"inventory of it\n")):
    with open(os.path.join(FOLDER.name, file_name), "wb") as out:
        out.write(content)

tap = Tap()
tap.case("interfaces_are_checked", interfaces_are_checked)
tap.machine_case("kcs_goes_through_its_states", KCS, kcs_goes_through_its_states)
tap.machine_case("bt_hands_over_whole_messages", BT, bt_hands_over_whole_messages)
tap.machine_case("other_places_are_taken", SIM + ["-device", "isa-ipmi-kcs,bmc=b,ioport=0xca8,irq=0"],
                 other_places_are_taken)
tap.machine_case("functions_on_pci_answer", SIM + ["-device", "pci-ipmi-kcs,bmc=b,addr=5", "-device",
                 "ipmi-bmc-sim,id=c", "-device", "pci-ipmi-bt,bmc=c,addr=6"], functions_on_pci_answer)
tap.machine_case("tables_tell_of_it", ["-device", "ipmi-bmc-sim,id=b,slave_addr=0x21", "-device",
                 "isa-ipmi-kcs,bmc=b,ioport=0xca2,irq=7"], tables_tell_of_it)
tap.machine_case("identity_and_enables", ["-device", "ipmi-bmc-sim,id=b,slave_addr=0x21,"
                 "guid=6ba7b810-9dad-11d1-80b4-00c04fd430c8", "-device", "isa-ipmi-kcs,bmc=b"], identity_and_enables)
tap.machine_case("without_guid_the_command_fails", KCS, without_guid_the_command_fails)
tap.machine_case("inventory_is_read_and_written", ["-device", "ipmi-bmc-sim,id=b,fruareasize=512,frudatafile=" +
                 FOLDER.name + "/fru", "-device", "isa-ipmi-kcs,bmc=b"], inventory_is_read_and_written)
tap.machine_case("records_of_a_file_are_served", ["-device", "ipmi-bmc-sim,id=b,sdrfile=" + FOLDER.name + "/sdr",
                 "-device", "isa-ipmi-kcs,bmc=b"], records_of_a_file_are_served)
tap.machine_case("own_record_is_of_the_watchdog", KCS, own_record_is_of_the_watchdog)
tap.machine_case("events_are_logged_and_cleared", ["-device", "ipmi-bmc-sim,id=b,slave_addr=0x21", "-device",
                 "isa-ipmi-kcs,bmc=b"], events_are_logged_and_cleared)
tap.machine_case("watchdog_counts_and_resets", KCS + ["-watchdog-action", "none"], watchdog_counts_and_resets)
tap.machine_case("watchdog_powers_off", KCS + ["-no-shutdown"], watchdog_powers_off)
tap.machine_case("watchdog_cycles_power", KCS, watchdog_cycles_power)
tap.machine_case("watchdog_sends_an_nmi", KCS, watchdog_sends_an_nmi)
tap.machine_case("power_is_cycled", KCS, power_is_cycled)
tap.machine_case("inventory_has_its_size", KCS, inventory_has_its_size)
tap.machine_case("block_transfer_is_where_it_is_asked_for", SIM + ["-device", "isa-ipmi-bt,bmc=b,ioport=0x1e4,irq=11"],
                 block_transfer_is_where_it_is_asked_for)
tap.machine_case("watchdog_warns_before", KCS, watchdog_warns_before)
tap.machine_case("chassis_is_controlled", KCS + ["-no-shutdown"], chassis_is_controlled)
tap.case("requests_go_to_another_program", requests_go_to_another_program)
tap.case("long_answers_end_soon", long_answers_end_soon)
if shutil.which("ipmi_sim"):
    tap.case("openipmi_answers", openipmi_answers)
else:
    tap.skip("openipmi_answers", "ipmi_sim is missing (package openipmi)")
tap.done()
