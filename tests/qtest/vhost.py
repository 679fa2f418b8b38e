# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that serves the rings of a virtio network card: the back end's side of the vhost-user protocol, by its
published specification. Frames that the driver sends come back on the same pair. Tests change what it answers."""
import array
import mmap
import os
import select
import socket
import struct
import threading
import time

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, \
    GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, \
    SET_VRING_ENABLE = 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18
LOG_ALL, PROTOCOL = 1 << 26, 1 << 30
MQ, LOG_SHMFD, REPLY_ACK = 1, 2, 8
NET = 1 << 0 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12 | 1 << 15
RINGS = 1 << 28 | 1 << 29 | 1 << 32 | 1 << 34 | 1 << 27
TIMEOUT = 30


class Ring:
    def __init__(self):
        self.size = self.base = 0
        self.kick = self.call = None
        self.desc = self.avail = self.used = None
        self.enabled = False


class Peer:
    """Listens at a path, for one machine after the other. `heard`: (request, payload, how many descriptors)."""

    def __init__(self, path, features=NET | RINGS | LOG_ALL | PROTOCOL, protocol=MQ | LOG_SHMFD | REPLY_ACK, queues=8):
        self.path, self.features, self.protocol, self.queues = path, features, protocol, queues
        self.answers = {}  # request: bytes to send instead of an answer, or a function of (peer, payload)
        self.quiet = set()  # rings that are not served
        self.heard, self.rings, self.memory, self.connections = [], {}, [], 0
        self.log = None
        self.lock = threading.Lock()
        self.over = False
        self.connection = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # ---- messages ----

    def run(self):
        while not self.over:
            if not select.select([self.listener], [], [], 0.1)[0]:
                continue
            self.connection = self.listener.accept()[0]
            self.connections += 1
            self.rings = {}
            try:
                self.serve()
            except OSError:
                pass
            self.connection.close()
            self.connection = None

    def serve(self):
        while not self.over:
            kicks = {r.kick: (n, r) for n, r in self.rings.items() if r.kick is not None}
            ready = select.select([self.connection, *kicks], [], [], 0.1)[0]
            for fd in ready:
                if fd in kicks:
                    try:
                        os.read(fd, 8)
                    except BlockingIOError:
                        pass
                    with self.lock:
                        self.echo(kicks[fd][0])
            if self.connection in ready and not self.message():
                return

    def read(self, size):
        data = b""
        while len(data) < size:
            part = self.connection.recv(size - len(data))
            if not part:
                return None
            data += part
        return data

    def message(self):
        data, control, _, _ = self.connection.recvmsg(12, socket.CMSG_SPACE(64))
        fds = array.array("i")
        for level, kind, payload in control:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(payload)
        if len(data) < 12:
            return False
        request, flags, size = struct.unpack("=III", data)
        payload = self.read(size)
        if payload is None:
            return False
        with self.lock:
            answer = self.do(request, payload, list(fds))
            self.heard.append((request, payload, len(fds)))
        if request in self.answers:
            special = self.answers[request]
            special = special(self, payload) if callable(special) else special
            if special is None:
                return False
            if special is not True:
                self.connection.sendall(special)
                return True
        if answer is None and flags & 8:
            answer = struct.pack("=Q", 0)
        if answer is not None:
            self.connection.sendall(reply(request, answer))
        return True

    def do(self, request, payload, fds):
        if request == GET_FEATURES:
            return struct.pack("=Q", self.features)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("=Q", self.protocol)
        if request == GET_QUEUE_NUM:
            return struct.pack("=Q", self.queues)
        if request == SET_MEM_TABLE:
            self.map(payload, fds)
        elif request == SET_LOG_BASE:
            size, offset = struct.unpack("=QQ", payload)
            self.log = mmap.mmap(fds[0], size, offset=offset)
            return b""
        elif request == SET_VRING_ADDR:
            n, _, desc, used, avail, _ = struct.unpack("=IIQQQQ", payload)
            ring = self.rings.setdefault(n, Ring())
            ring.desc, ring.used, ring.avail = (self.find(a) for a in (desc, used, avail))
        elif request in (SET_VRING_KICK, SET_VRING_CALL):
            n = struct.unpack("=Q", payload)[0] & 0xFF
            setattr(self.rings.setdefault(n, Ring()), "kick" if request == SET_VRING_KICK else "call", fds[0])
        elif request in (SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE, GET_VRING_BASE):
            n, value = struct.unpack("=II", payload)
            ring = self.rings.setdefault(n, Ring())
            if request == GET_VRING_BASE:
                ring.kick = None
                return struct.pack("=II", n, ring.base)
            setattr(ring, {SET_VRING_NUM: "size", SET_VRING_BASE: "base", SET_VRING_ENABLE: "enabled"}[request], value)
        return None

    def map(self, payload, fds):
        self.memory = []
        count = struct.unpack("=I", payload[:4])[0]
        assert count == len(fds)
        for i in range(count):
            guest, size, user, offset = struct.unpack("=QQQQ", payload[8 + 32 * i:40 + 32 * i])
            self.memory.append((guest, size, user, mmap.mmap(fds[i], size, offset=offset)))
            os.close(fds[i])

    def find(self, user, size=1):
        for _, length, start, memory in self.memory:
            if start <= user and user + size <= start + length:
                return memory, user - start
        raise AssertionError("nothing is at %#x" % user)

    def guest(self, address, size):
        for start, length, _, memory in self.memory:
            if start <= address and address + size <= start + length:
                return memory, address - start
        raise AssertionError("no memory at %#x" % address)

    # ---- rings ----

    def take(self, n):
        """Heads that are available, as [(head, [(memory, at, length, flags)])]."""
        ring = self.rings[n]
        memory, at = ring.avail
        while struct.unpack_from("<H", memory, at + 2)[0] != ring.base & 0xFFFF:
            head = struct.unpack_from("<H", memory, at + 4 + 2 * (ring.base % ring.size))[0]
            parts, slot = [], head
            while True:
                table, start = ring.desc
                address, length, flags, following = struct.unpack_from("<QIHH", table, start + 16 * slot)
                parts.append((*self.guest(address, length), length, flags))
                if not flags & 1:
                    break
                slot = following
            ring.base = (ring.base + 1) & 0xFFFF
            yield head, parts

    def give(self, n, head, length):
        ring = self.rings[n]
        memory, at = ring.used
        index = struct.unpack_from("<H", memory, at + 2)[0]
        struct.pack_into("<II", memory, at + 4 + 8 * (index % ring.size), head, length)
        struct.pack_into("<H", memory, at + 2, (index + 1) & 0xFFFF)

    def ring_bell(self, n):
        os.write(self.rings[n].call, struct.pack("=Q", 1))

    def echo(self, n):
        """What was sent on the pair goes to its receiver."""
        rx, tx = n & ~1, n | 1
        if tx in self.quiet or tx not in self.rings or rx not in self.rings or not self.rings[tx].desc or \
                not self.rings[rx].desc or self.rings[tx].kick is None or self.rings[rx].kick is None:
            return
        for head, parts in self.take(tx):
            data = b"".join(memory[at:at + length] for memory, at, length, _ in parts)
            self.give(tx, head, 0)
            self.ring_bell(tx)
            for receiver, room in self.take(rx):
                done = 0
                for memory, at, length, _ in room:
                    piece = data[done:done + length]
                    memory[at:at + len(piece)] = piece
                    done += len(piece)
                self.give(rx, receiver, done)
                self.ring_bell(rx)
                break

    # ---- for tests ----

    def requests(self):
        with self.lock:
            return [request for request, _, _ in self.heard]

    def wait(self, request, count=1, payload=None):
        """Until it was heard so often; gives the last one's payload."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            with self.lock:
                found = [p for r, p, _ in self.heard if r == request and payload in (None, p)]
            if len(found) >= count:
                return found[-1]
            time.sleep(0.005)
        raise AssertionError("request %d was heard %d times: %r" % (request, len(found), self.requests()))

    def hang_up(self):
        connection = self.connection
        try:
            if connection:
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone already, or is closed by the peer's own thread

    def close(self):
        self.over = True
        self.hang_up()
        self.thread.join(10)
        self.listener.close()
        os.unlink(self.path)


def reply(request, payload, flags=5, size=None):
    return struct.pack("=III", request, flags, len(payload) if size is None else size) + payload
