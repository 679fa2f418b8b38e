# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client's end of SASL, for tests: the Cyrus library by ctypes."""
import ctypes

OK, CONTINUE = 0, 1
SSF, SSF_EXTERNAL, SEC_PROPS = 1, 100, 101
CB_END, CB_USER, CB_AUTHNAME, CB_PASS, CB_GETREALM = 0, 0x4001, 0x4002, 0x4004, 0x4008
SUCCESS_DATA = 4
POINTER, TEXT = ctypes.c_void_p, ctypes.c_char_p


class Callback(ctypes.Structure):
    _fields_ = [("id", ctypes.c_ulong), ("proc", POINTER), ("context", POINTER)]


class Properties(ctypes.Structure):
    _fields_ = [("min_ssf", ctypes.c_uint), ("max_ssf", ctypes.c_uint), ("maxbufsize", ctypes.c_uint),
                ("flags", ctypes.c_uint), ("names", POINTER), ("values", POINTER)]


SIMPLE = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, ctypes.c_int, ctypes.POINTER(TEXT), ctypes.POINTER(ctypes.c_uint))
SECRET = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, POINTER, ctypes.c_int, ctypes.POINTER(POINTER))
REALM = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, ctypes.c_int, ctypes.POINTER(TEXT), ctypes.POINTER(TEXT))


class Refused(Exception):
    """The library will not go on."""


def library():
    if not hasattr(library, "found"):
        library.found = ctypes.CDLL("libsasl2.so.2")
        library.found.sasl_errdetail.restype = TEXT
        library.found.sasl_errdetail.argtypes = [POINTER]
        assert library.found.sasl_client_init(None) == OK
    return library.found


class Client:
    """Who says this name and password. `mechanism`: this one, whatever the server offers."""

    def __init__(self, user, password, mechanism=None, tls=False, server="localhost", service=b"vnc"):
        self.lib, self.mechanism, self.over, self.sealed = library(), mechanism, False, False
        name, words = user.encode(), password.encode()
        secret = ctypes.create_string_buffer(ctypes.string_at(ctypes.byref(ctypes.c_ulong(len(words))), 8) + words)

        def simple(_context, _id, result, length):
            result[0] = name
            if length:
                length[0] = len(name)
            return OK

        def password_(_conn, _context, _id, result):
            result[0] = ctypes.addressof(secret)
            return OK

        def realm(_context, _id, realms, result):
            result[0] = realms[0]
            return OK
        self.kept = secret, SIMPLE(simple), SECRET(password_), REALM(realm)
        cast = [ctypes.cast(f, POINTER) for f in self.kept[1:]]
        self.callbacks = (Callback * 5)((CB_USER, cast[0]), (CB_AUTHNAME, cast[0]), (CB_PASS, cast[1]),
                                        (CB_GETREALM, cast[2]), (CB_END, None))
        self.conn = POINTER()
        assert self.lib.sasl_client_new(service, server.encode(), None, None, self.callbacks, SUCCESS_DATA,
                                        ctypes.byref(self.conn)) == OK
        if tls:
            assert self.lib.sasl_setprop(self.conn, SSF_EXTERNAL, ctypes.byref(ctypes.c_uint(128))) == OK
        properties = Properties(0, 0 if tls else 1000, 65536, 0, None, None)
        assert self.lib.sasl_setprop(self.conn, SEC_PROPS, ctypes.byref(properties)) == OK

    def close(self):
        self.lib.sasl_dispose(ctypes.byref(self.conn))

    def _result(self, ret, data, size):
        if ret not in (OK, CONTINUE):
            raise Refused(self.lib.sasl_errdetail(self.conn).decode())
        self.over = ret == OK
        return ctypes.string_at(data, size.value) if data.value is not None else None

    def start(self, offered):
        data, size, chosen = POINTER(), ctypes.c_uint(), TEXT()
        ret = self.lib.sasl_client_start(self.conn, self.mechanism or offered, None, ctypes.byref(data),
                                         ctypes.byref(size), ctypes.byref(chosen))
        first = self._result(ret, data, size)
        return chosen.value, first

    def step(self, answer):
        data, size = POINTER(), ctypes.c_uint()
        ret = self.lib.sasl_client_step(self.conn, answer, len(answer or b""), None, ctypes.byref(data),
                                        ctypes.byref(size))
        return self._result(ret, data, size)

    def strength(self):
        value = ctypes.POINTER(ctypes.c_uint)()
        assert self.lib.sasl_getprop(self.conn, SSF, ctypes.byref(value)) == OK
        return value[0]

    def wrap(self, sock):
        self.sealed = self.strength() > 0
        return Sealed(self, sock) if self.sealed else sock

    def convert(self, function, data):
        out, size = POINTER(), ctypes.c_uint()
        ret = function(self.conn, data, len(data), ctypes.byref(out), ctypes.byref(size))
        if ret != OK:
            raise Refused(self.lib.sasl_errdetail(self.conn).decode())
        return ctypes.string_at(out, size.value) if size.value else b""


class Sealed:
    """A socket whose bytes are sealed by the mechanism."""

    def __init__(self, client, sock):
        self.client, self.sock = client, sock

    def sendall(self, data):
        self.sock.sendall(self.client.convert(self.client.lib.sasl_encode, data))

    def recv(self, size):
        while True:
            part = self.sock.recv(min(size, 65536))
            plain = self.client.convert(self.client.lib.sasl_decode, part) if part else b""
            if plain or not part:
                return plain

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def close(self):
        self.sock.close()
