# SPDX-License-Identifier: LGPL-2.1-or-later
"""User networking, seen from its guest's side of the wire and from the host.

usage: test-net-user.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import os
import socket
import struct
import subprocess
import sys

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import MAC, Tcp, Wire, checksum, ip_bytes, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-user-")


def with_resolver(address):
    """The program, in a mount namespace where the host's name server is `address`."""
    wrapper, conf = os.path.join(FOLDER, "resolving"), os.path.join(FOLDER, "resolv.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write("nameserver %s\n" % address)
    with open(wrapper, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nexec unshare -Urm sh -c 'mount --bind %s /etc/resolv.conf && exec \"$0\" \"$@\"' %s \"$@\"\n"
                % (conf, PROGRAM))
    os.chmod(wrapper, 0o755)
    if subprocess.run(["unshare", "-Urm", "mount", "--bind", conf, "/etc/resolv.conf"], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        raise tap.Skip("this host allows no user namespaces")
    return wrapper


@contextlib.contextmanager
def network(keys="", *more, program=PROGRAM):
    """A user network and the end of its wire; the emulator as wire.emulator."""
    wire = Wire(FOLDER)
    try:
        with Emulator(program, "-M", "none", *more, *options(FOLDER, "user" + ("," + keys if keys else ""))) as e:
            wire.emulator = e
            yield wire
    finally:
        wire.close()


@contextlib.contextmanager
def server(kind=socket.SOCK_STREAM, family=socket.AF_INET):
    s = socket.socket(family, kind)
    s.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    s.settimeout(20)
    if kind == socket.SOCK_STREAM:
        s.listen(4)
    with s:
        yield s, s.getsockname()[1]


def refused(keys, *words):
    said = fails(PROGRAM, "-M", "none", "-netdev", "user,id=n," + keys)
    for word in words:
        assert word in said, (word, said)


def monitor(e, line):
    return e.command("human-monitor-command", command_line=line)["return"].replace("\r", "")


# ---- what DHCP tells ----

def dhcp_gives_the_manuals_addresses():
    with network() as w:
        ack = w.dhcp()
        assert ack["yiaddr"] == "10.0.2.15", ack
        assert ack[1] == ip_bytes("255.255.255.0") and ack[3] == ip_bytes("10.0.2.2"), ack
        assert ack[6] == ip_bytes("10.0.2.3"), ack


def network_is_where_its_keys_put_it():
    with network("net=192.168.76.0/24,host=192.168.76.9,dhcpstart=192.168.76.40,dns=192.168.76.5") as w:
        ack = w.dhcp()
        assert ack["yiaddr"] == "192.168.76.40" and ack[3] == ip_bytes("192.168.76.9"), ack
        assert ack[6] == ip_bytes("192.168.76.5"), ack
        w.ping("192.168.76.9")
    with network("net=10.7.0.0/255.255.0.0") as w:
        ack = w.dhcp()
        assert ack["yiaddr"] == "10.7.0.15" and ack[1] == ip_bytes("255.255.0.0") and ack[3] == ip_bytes("10.7.0.2"), ack


def names_and_files_are_told():
    with network("hostname=lab7,domainname=example.net,dnssearch=mgmt.example.org,dnssearch=example.org,"
                 "tftp-server-name=boot.example.net,bootfile=/pxelinux.0") as w:
        ack = w.dhcp()
        assert ack[12] == b"lab7" and ack[15] == b"example.net", ack
        assert ack[66] == b"boot.example.net" and ack["file"] == b"/pxelinux.0", ack
        # RFC 3397: names in labels, a pointer to what both end with.
        assert ack[119].startswith(b"\x04mgmt\x07example\x03org\x00"), ack[119]
        assert len(ack[119]) in (20, 33), ack[119]


def ipv4_off_gives_no_address():
    with network("ipv4=off") as w:
        try:
            w.dhcp(seconds=1.5)
        except AssertionError as error:
            assert "does not come" in str(error)
        else:
            raise AssertionError("DHCP answers")


# ---- to the host ----

def connection_reaches_a_server_of_the_host():
    with server() as (s, port), network() as w:
        c = Tcp(w, "10.0.2.2", port, 40001)
        assert c.connect()
        theirs = s.accept()[0]
        c.write(b"question" * 1000)
        theirs.settimeout(20)
        got = b""
        while len(got) < 8000:
            got += theirs.recv(8000)
        assert got == b"question" * 1000
        theirs.sendall(b"answer" * 5000)
        theirs.close()
        assert c.read(30000) == b"answer" * 5000
        assert c.read(1) == b"" and c.ended
    with network() as w:
        assert not Tcp(w, "10.0.2.2", port, 40002).connect(), "nobody listens there any more"


def datagram_reaches_the_host_and_comes_back():
    with server(socket.SOCK_DGRAM) as (s, port), network() as w:
        w.send_udp("10.0.2.2", 5000, port, b"ping")
        data, source = s.recvfrom(100)
        assert data == b"ping"
        s.sendto(b"pong", source)
        assert w.udp(5000) == (b"pong", "10.0.2.2", port)


def questions_for_names_reach_the_hosts_resolver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        try:
            s.bind(("127.9.9.9", 53))
        except OSError as error:
            raise tap.Skip("nobody can be a name server here: %s" % error)
        program = with_resolver("127.9.9.9")
        for keys, address in (("", "10.0.2.3"), ("dns=10.0.2.77", "10.0.2.77")):
            with network(keys, program=program) as w:
                w.send_udp(address, 5353, 53, b"where is it?")
                data, source = s.recvfrom(512)
                assert data == b"where is it?", data
                s.sendto(b"there", source)
                assert w.udp(5353) == (b"there", address, 53)
    refused("dns=10.0.2.2", "dns")


def ping_of_the_host_is_answered():
    with network() as w:
        w.ping("10.0.2.2")


def restricted_guest_reaches_nobody():
    with server() as (s, port), server(socket.SOCK_DGRAM) as (u, udp_port), network("restrict=on") as w:
        s.settimeout(0.2)
        u.settimeout(1)
        for to in ("10.0.2.2", "127.0.0.1"):
            try:
                assert not Tcp(w, "10.0.2.2", port, 40003).connect(seconds=1)
            except AssertionError as error:
                assert "does not come" in str(error), error
            w.send_udp(to, 5001, udp_port, b"leak", mac=w.mac_of("10.0.2.2"))
        for ear, call in ((s, s.accept), (u, lambda: u.recv(10))):
            try:
                call()
            except socket.timeout:
                continue
            raise AssertionError("something came through")
        assert w.dhcp()["yiaddr"] == "10.0.2.15"


# ---- TFTP ----

def tftp(w, name, op=1):
    """The first answer to a request: its code and the rest; and the whole file."""
    w.send_udp("10.0.2.2", 2000, 69, struct.pack(">H", op) + name + b"\0octet\0")
    data, whole = b"", b""
    while True:
        answer, _, port = w.udp(2000)
        code, block = struct.unpack(">HH", answer[:4])
        if code != 3:
            return code, answer[4:]
        whole += answer[4:]
        w.send_udp("10.0.2.2", 2000, port, struct.pack(">HH", 4, block))
        if len(answer) < 516:
            return 3, whole


def tftp_shows_its_folder_and_nothing_else():
    inner = os.path.join(FOLDER, "tftp")
    os.makedirs(inner, exist_ok=True)
    data = os.urandom(3000)
    for path, content in ((os.path.join(inner, "kernel"), data), (os.path.join(FOLDER, "secret"), b"secret")):
        with open(path, "wb") as f:
            f.write(content)
    with network("tftp=" + inner) as w:
        assert tftp(w, b"kernel") == (3, data)
        assert tftp(w, b"/kernel") == (3, data)
        for name in (b"../secret", b"/../secret", b"x/../../secret", b"missing"):
            code, rest = tftp(w, name)
            assert code == 5 and b"secret" not in rest, (name, code)
        w.send_udp("10.0.2.2", 2001, 69, struct.pack(">H", 2) + b"written\0octet\0")
        try:
            assert struct.unpack(">H", w.udp(2001, 1)[0][:2])[0] == 5
        except AssertionError as error:
            assert "does not come" in str(error)
        assert sorted(os.listdir(inner)) == ["kernel"]


# ---- forwards ----

def forwards(w):
    return w.emulator.command("query-hostfwd")["return"]


def forwarded_connection_reaches_the_guest():
    with network("hostfwd=tcp:127.0.0.1:0-:22") as w:
        w.dhcp()
        (forward,) = forwards(w)
        assert forward["port"] > 0 and forward["guest"] == "10.0.2.15" and forward["guest-port"] == 22, forward
        with socket.create_connection(("127.0.0.1", forward["port"]), 20) as c:
            t = Tcp.accept(w, 22)
            c.sendall(b"from the host")
            assert t.read(13) == b"from the host"
            t.write(b"from the guest")
            c.settimeout(20)
            assert c.recv(100) == b"from the guest"


def forwarded_datagram_reaches_the_guest():
    with network("hostfwd=udp:127.0.0.1:0-10.0.2.15:53") as w:
        w.dhcp()
        (forward,) = forwards(w)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(20)
            c.sendto(b"query", ("127.0.0.1", forward["port"]))
            data, source, port = w.udp(53)
            assert data == b"query"
            w.send_udp(source, 53, port, b"reply")
            assert c.recv(100) == b"reply"


def restricted_guest_is_still_reached_by_forwards():
    with network("restrict=on,hostfwd=tcp:127.0.0.1:0-:23") as w:
        w.dhcp()
        with socket.create_connection(("127.0.0.1", forwards(w)[0]["port"]), 20) as c:
            t = Tcp.accept(w, 23)
            t.write(b"login:")
            c.settimeout(20)
            assert c.recv(100) == b"login:"


def forwards_come_and_go_while_it_runs():
    with network() as w:
        e = w.emulator
        port = e.command("hostfwd-add", rule="tcp:127.0.0.1:0-:80")["return"]["port"]
        assert [f["port"] for f in forwards(w)] == [port]
        assert " %d " % port in monitor(e, "info usernet") and "HOST_FORWARD" in monitor(e, "info usernet")
        assert "not found" in e.command("hostfwd-remove", rule="tcp:127.0.0.1:1")["error"]["desc"]
        assert e.command("hostfwd-remove", rule="tcp:127.0.0.1:%d" % port, netdev="n") == {"return": {}}
        assert forwards(w) == []
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))  # it is free again
        assert monitor(e, "hostfwd_add n tcp:127.0.0.1:%d-:81" % port) == ""
        assert forwards(w)[0]["guest-port"] == 81
        assert "removed" in monitor(e, "hostfwd_remove tcp:127.0.0.1:%d" % port)
        assert forwards(w) == []
        assert e.command("hostfwd-add", rule="tcp::1-:1", netdev="zz")["error"]["class"] == "DeviceNotFound"


def port_in_use_names_who_has_it():
    with server() as (_, port):
        refused("hostfwd=tcp:127.0.0.1:%d-:22" % port, "port %d" % port, "in use by", "process %d" % os.getpid())


# ---- what is inside of the guest's network ----

def address_inside_leads_to_a_chardev():
    path = os.path.join(FOLDER, "reach")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(1)
        s.settimeout(20)
        with network("guestfwd=tcp:10.0.2.100:1234-chardev:c", "-chardev", "socket,id=c,path=" + path) as w:
            theirs = s.accept()[0]
            c = Tcp(w, "10.0.2.100", 1234, 40004)
            assert c.connect()
            c.write(b"to the chardev")
            theirs.settimeout(20)
            assert theirs.recv(100) == b"to the chardev"
            theirs.sendall(b"to the guest")
            assert c.read(12) == b"to the guest"
    os.unlink(path)


def address_inside_is_opened_by_its_own_description():
    with server() as (s, port), network("guestfwd=tcp:10.0.2.100:1234-tcp:127.0.0.1:%d" % port) as w:
        theirs = s.accept()[0]
        c = Tcp(w, "10.0.2.100", 1234, 40005)
        assert c.connect()
        c.write(b"hello")
        theirs.settimeout(20)
        assert theirs.recv(100) == b"hello"
        theirs.close()


def address_inside_starts_a_program():
    with network("guestfwd=tcp:10.0.2.100:7-cmd:cat") as w:
        for port in (40006, 40007):
            c = Tcp(w, "10.0.2.100", 7, port)
            assert c.connect()
            c.write(b"again and again")
            assert c.read(15) == b"again and again"


# ---- IPv6 ----

def send_icmp6(w, mac, ours, to, body):
    pseudo = ours + to + struct.pack(">IHBB", len(body), 0, 0, 58)
    body = body[:2] + struct.pack(">H", checksum(pseudo + body)) + body[4:]
    w.send(mac + MAC + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + ours + to + body)


def icmp6_of(frame, kind):
    return frame[54:] if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == kind else None


def solicited(w):
    """The router's advertisement: its prefixes and name servers."""
    ours = bytes.fromhex("fe80000000000000505400fffe123456")
    routers = bytes.fromhex("ff020000000000000000000000000002")
    send_icmp6(w, b"\x33\x33\0\0\0\x02", ours, routers, b"\x85\0\0\0" + bytes(4) + b"\x01\x01" + MAC)
    return w.wait(lambda frame: icmp6_of(frame, 134), what="a router's advertisement")


def host_has_the_ipv6_address_that_it_was_given():
    """RFC 4861, 7: who has it? RFC 4443, 4: is it there?"""
    ours, host = (socket.inet_pton(socket.AF_INET6, text) for text in ("fd00:77::15", "fd00:77::9"))

    def ask(w, address):
        node = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + address[13:]
        send_icmp6(w, b"\x33\x33" + node[12:], ours, node, b"\x87" + bytes(7) + address + b"\x01\x01" + MAC)

    def ping(w, mac, what):
        send_icmp6(w, mac, ours, host, b"\x80\0\0\0\0\x07\0\x01" + what)

        def answer(frame):
            asked = icmp6_of(frame, 135)
            if asked and asked[8:24] == ours:
                send_icmp6(w, mac, ours, frame[22:38], b"\x88\0\0\0\x60\0\0\0" + ours + b"\x02\x01" + MAC)
            return icmp6_of(frame, 129)
        assert w.wait(answer, what="an echo")[8:] == what
    with network("ipv6-net=fd00:77::/64,ipv6-host=fd00:77::9") as w:
        ask(w, host)
        mac = w.wait(lambda frame: frame[6:12] if (icmp6_of(frame, 136) or b"")[8:24] == host else None)
        ping(w, mac, b"are you there?")
        ask(w, host[:15] + b"\x02")  # the default is nobody's now
        ping(w, mac, b"still there?")
        assert not any((icmp6_of(frame, 136) or b"")[8:24] == host[:15] + b"\x02" for frame in w.others)


def router_advertises_its_prefix_and_name_server():
    program = with_resolver("::1")  # without an IPv6 name server of the host's there is none to tell of
    with network(program=program) as w:
        text = solicited(w)
        assert bytes.fromhex("fec0000000000000") in text, text.hex()
        assert socket.inet_pton(socket.AF_INET6, "fec0::3") in text, text.hex()
    with network("ipv6-net=fd00:77::/64,ipv6-host=fd00:77::9,ipv6-dns=fd00:77::5", program=program) as w:
        text = solicited(w)
        assert socket.inet_pton(socket.AF_INET6, "fd00:77::")[:8] in text
        assert socket.inet_pton(socket.AF_INET6, "fd00:77::5") in text, text.hex()
    with network("ipv6=off") as w:
        try:
            solicited(w)
        except AssertionError as error:
            assert "does not come" in str(error)
        else:
            raise AssertionError("IPv6 is there")


def dhcpv6_information_is_given():
    """RFC 8415: a stateless request; the reply says who answers, whom it answers, the name server and the file to boot."""
    ours, servers = (socket.inet_pton(socket.AF_INET6, text) for text in ("fe80::5054:ff:fe12:3456", "ff02::1:2"))
    client = struct.pack(">HHHH6s", 1, 10, 3, 1, MAC)
    body = b"\x0b\x12\x34\x56" + client + struct.pack(">HHHH", 6, 4, 23, 59)
    head = struct.pack(">HHHH", 546, 547, 8 + len(body), 0)
    pseudo = struct.pack(">IHBB", len(head) + len(body), 0, 0, 17)
    with network("bootfile=/start", program=with_resolver("::1")) as w:
        value = checksum(ours + servers + pseudo + head + body)
        w.send(b"\x33\x33\0\1\0\2" + MAC + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(head) + len(body), 17, 1) +
               ours + servers + head[:6] + struct.pack(">H", value) + body)

        def match(frame):
            if frame[12:14] != b"\x86\xdd":
                return None
            if frame[20] == 58 and frame[54] == 135 and frame[62:78] == ours:
                send_icmp6(w, frame[6:12], ours, frame[22:38], b"\x88\0\0\0\x60\0\0\0" + ours + b"\x02\x01" + MAC)
            return frame if frame[20] == 17 and frame[54:58] == struct.pack(">HH", 547, 546) else None
        frame = w.wait(match, what="a reply")
    datagram = frame[54:]
    assert checksum(frame[22:54] + struct.pack(">IHBB", len(datagram), 0, 0, 17) + datagram) == 0
    assert struct.unpack(">H", frame[18:20])[0] == len(datagram) == struct.unpack(">H", datagram[4:6])[0]
    assert datagram[8:12] == b"\x07\x12\x34\x56"
    found, at = {}, 12
    while at < len(datagram):
        code, length = struct.unpack(">HH", datagram[at:at + 4])
        found[code] = datagram[at + 4:at + 4 + length]
        at += 4 + length
    assert found[1] == client[4:] and found[2] == b"\0\3\0\1" + frame[6:12], found
    assert found[23] == socket.inet_pton(socket.AF_INET6, "fec0::3") and found[59].endswith(b"/start"), found


# ---- words ----

def wrong_keys_are_refused_in_words():
    refused("ipv4=off,ipv6=off", "'ipv4' and 'ipv6' cannot both be off")
    refused("net=10.0.2.0/33", "net=10.0.2.0/33", "mask")
    refused("net=house", "net=house")
    refused("host=10.9.9.9", "host=10.9.9.9", "outside")
    refused("dns=10.0.2.2", "dns=10.0.2.2", "different")
    refused("dhcpstart=10.0.2.2", "dhcpstart")
    refused("ipv6-net=fec0::/127", "ipv6-net", "126")
    refused("ipv6-dns=fec0::2", "ipv6-dns", "different")
    refused("tftp=/nonexistent", "tftp=/nonexistent", "folder")
    refused("hostfwd=tcp::99999-:1", "65535")
    refused("hostfwd=sctp::1-:1", "tcp or udp")
    refused("hostfwd=tcp::1-:0", "1 to 65535")
    refused("guestfwd=tcp:10.9.9.9:1-cmd:cat", "outside")
    refused("guestfwd=tcp:10.0.2.100:1-cmd:", "command is missing")
    refused("smbserver=10.0.2.4", "'smb'")
    refused("smb=/nonexistent", "smb=/nonexistent")
    refused("colour=red", "colour")
    said = fails(PROGRAM, "-M", "none", "-netdev", "user")
    assert "'id' is missing" in said, said


def json_and_qmp_take_lists():
    with Emulator(PROGRAM, "-M", "none", "-netdev", '{"type": "user", "id": "j", "hostfwd": '
                  '[{"str": "tcp:127.0.0.1:0-:1"}, {"str": "tcp:127.0.0.1:0-:2"}]}') as e:
        assert [f["guest-port"] for f in e.command("query-hostfwd")["return"]] == [1, 2]
        assert e.command("netdev_add", type="user", id="q", hostfwd=[{"str": "tcp:127.0.0.1:0-:3"}]) == {"return": {}}
        assert len(e.command("query-hostfwd")["return"]) == 3
        assert e.command("netdev_del", id="j") == {"return": {}}
        assert [f["guest-port"] for f in e.command("query-hostfwd")["return"]] == [3]
        assert monitor(e, "netdev_add user,id=h,hostfwd=tcp:127.0.0.1:0-:4,hostfwd=tcp:127.0.0.1:0-:5") == ""
        assert [f["guest-port"] for f in e.command("query-hostfwd")["return"]] == [3, 4, 5]
        assert "type=user,net=10.0.2.0,restrict=off" in monitor(e, "info network")
        assert monitor(e, "netdev_del h") == ""
        assert "Duplicate" in e.command("netdev_add", type="user", id="q")["error"]["desc"]


tap.run([dhcp_gives_the_manuals_addresses, network_is_where_its_keys_put_it, names_and_files_are_told,
         ipv4_off_gives_no_address, connection_reaches_a_server_of_the_host,
         datagram_reaches_the_host_and_comes_back, questions_for_names_reach_the_hosts_resolver,
         ping_of_the_host_is_answered, restricted_guest_reaches_nobody, host_has_the_ipv6_address_that_it_was_given,
         tftp_shows_its_folder_and_nothing_else, forwarded_connection_reaches_the_guest,
         forwarded_datagram_reaches_the_guest, restricted_guest_is_still_reached_by_forwards,
         forwards_come_and_go_while_it_runs, port_in_use_names_who_has_it, address_inside_leads_to_a_chardev,
         address_inside_is_opened_by_its_own_description, address_inside_starts_a_program,
         router_advertises_its_prefix_and_name_server, dhcpv6_information_is_given,
         wrong_keys_are_refused_in_words, json_and_qmp_take_lists])
