#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The USB serial line as FTDI's drivers see it, on xHCI."""
import os
import socket
import tempfile

from qtest import Failed, QTest, Tap
from usb import BABBLE, IOC, ISP, NORMAL, SHORT, STALL, SUCCESS, XHCI

DATA = 0x480000


def case(function):
    def run():
        with tempfile.TemporaryDirectory(prefix="backplane-usb-serial-") as folder:
            path = os.path.join(folder, "line")
            with QTest(["-M", "pc", "-m", "16", "-device", "qemu-xhci,addr=5", "-chardev",
                        f"socket,id=c,path={path},server=on,wait=off", "-device", "usb-serial,chardev=c"]) as q:
                x = XHCI(q)
                x.reset_port(1)
                code, slot = x.address(1, 1, 8)
                assert code == SUCCESS and x.control(slot, 0, 9, 1)[0] == SUCCESS
                assert x.configure(slot, (0x81, 6, 64), (0x02, 2, 64)) == SUCCESS
                function(q, x, slot, path)
    return run


def ask(x, slot, size=512):
    x.put(slot, 3, DATA, size, NORMAL << 10 | IOC | ISP)


def answer(x, size=512):
    _, _, code, left, _ = x.wait(32)
    assert code in (SUCCESS, SHORT), code
    return x.q.read(DATA, size - left)


def bytes_go_both_ways(q, x, slot, path):
    assert x.control(slot, 0xC0, 5, 0, 0, 2) == (SUCCESS, b"\x01\x60")  # nobody is there
    assert x.bulk(slot, 2, b"before")[0] == SUCCESS
    ask(x, slot)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(path)
        assert answer(x)[0] == 0xB1  # somebody has come
        assert x.bulk(slot, 2, b"hello, line")[0] == SUCCESS
        got = b""
        while not got.endswith(b"line"):
            got += peer.recv(100)
        ask(x, slot)
        peer.sendall(b"good day")
        assert answer(x) == b"\xB1\x60good day"
        sent = bytes(range(256)) + bytes(range(200))  # more than it keeps, with status before each 62
        peer.sendall(sent)
        got = b""
        while len(got) < len(sent):
            ask(x, slot)
            d = answer(x)
            for at in range(0, len(d), 64):
                assert d[at:at + 2] == b"\xB1\x60"
                got += d[at + 2:at + 64]
        assert got == sent
        ask(x, slot)
    assert answer(x)[0] == 0x01  # and has gone
    q.clock_step(1000)


def settings_are_kept(q, x, slot, path):
    assert x.control(slot, 0xC0, 10, 0, 0, 1) == (SUCCESS, b"\x10")
    assert x.control(slot, 0x40, 9, 3)[0] == SUCCESS and x.control(slot, 0xC0, 10, 0, 0, 1)[1] == b"\x03"
    for request, value, index in ((3, 0x4138, 0), (3, 0, 0), (3, 1, 0), (3, 0xFFFF, 1), (4, 0x0708, 0), (4, 0x4FFF, 0),
                                  (1, 0x303, 0), (2, 0, 0x100), (6, 0, 0), (7, 0, 0), (0, 1, 0), (0, 2, 0)):
        assert x.control(slot, 0x40, request, value, index)[0] == SUCCESS, request
    assert x.control(slot, 0x40, 0)[0] == SUCCESS and x.control(slot, 0xC0, 10, 0, 0, 1)[1] == b"\x10"
    for bad in ((0x40, 0x55), (0x40, 0, 9), (0xC0, 0x90, 0, 0, 2)):
        assert x.control(slot, *bad)[0] == STALL, bad
        x.recover(slot, 1)


def room_for_no_status_is_babble(q, x, slot, path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        ask(x, slot, 1)
        assert x.wait(32)[2] == BABBLE


def without_a_chardev_it_is_refused():
    try:
        QTest(["-M", "pc", "-device", "qemu-xhci", "-device", "usb-serial"]).close()
    except Failed as error:
        assert "chardev" in str(error), error
    else:
        raise AssertionError("it is taken")


tap = Tap()
tap.case("bytes go both ways", case(bytes_go_both_ways))
tap.case("settings are kept", case(settings_are_kept))
tap.case("room for no status is babble", case(room_for_no_status_is_babble))
tap.case("without a chardev it is refused", without_a_chardev_it_is_refused)
tap.done()
