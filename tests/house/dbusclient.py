# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that look at a machine over D-Bus, by GLib's GDBus: a peer of -display dbus,p2p=yes, who listens to a screen or
to sound, and a private message bus."""
import os
import shutil
import socket
import subprocess
import time

from tap import Skip

try:
    import gi
    gi.require_version("Gio", "2.0")
    from gi.repository import Gio, GLib
except (ImportError, ValueError):
    Gio = None

SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
ROOT, NAME = "/org/qemu/Display1", "org.qemu.Display1."
SCREEN = """<node><interface name="org.qemu.Display1.Listener">
<method name="Scanout"><arg type="u" direction="in"/><arg type="u" direction="in"/><arg type="u" direction="in"/>
<arg type="u" direction="in"/><arg type="ay" direction="in"/></method>
<method name="Update"><arg type="i" direction="in"/><arg type="i" direction="in"/><arg type="i" direction="in"/>
<arg type="i" direction="in"/><arg type="u" direction="in"/><arg type="u" direction="in"/><arg type="ay" direction="in"/>
</method>
<method name="Disable"/>
<method name="MouseSet"><arg type="i" direction="in"/><arg type="i" direction="in"/><arg type="i" direction="in"/></method>
<method name="CursorDefine"><arg type="i" direction="in"/><arg type="i" direction="in"/><arg type="i" direction="in"/>
<arg type="i" direction="in"/><arg type="ay" direction="in"/></method></interface></node>"""
COMMON = """<method name="Init"><arg type="t" direction="in"/><arg type="y" direction="in"/><arg type="b" direction="in"/>
<arg type="b" direction="in"/><arg type="u" direction="in"/><arg type="u" direction="in"/><arg type="u" direction="in"/>
<arg type="u" direction="in"/><arg type="b" direction="in"/></method>
<method name="Fini"><arg type="t" direction="in"/></method>
<method name="SetEnabled"><arg type="t" direction="in"/><arg type="b" direction="in"/></method>"""
HEARS = '<node><interface name="org.qemu.Display1.AudioOutListener">' + COMMON + """
<method name="Write"><arg type="t" direction="in"/><arg type="ay" direction="in"/></method></interface></node>"""
CLIPBOARD = """<node><interface name="org.qemu.Display1.Clipboard">
<method name="Grab"><arg type="u" direction="in"/><arg type="u" direction="in"/><arg type="as" direction="in"/></method>
<method name="Release"><arg type="u" direction="in"/></method>
<method name="Request"><arg type="u" direction="in"/><arg type="as" direction="in"/><arg type="s" direction="out"/>
<arg type="ay" direction="out"/></method></interface></node>"""
RECORDS = '<node><interface name="org.qemu.Display1.AudioInListener">' + COMMON + """
<method name="Read"><arg type="t" direction="in"/><arg type="t" direction="in"/><arg type="ay" direction="out"/></method>
</interface></node>"""


def turn(seconds=0.0):
    end = time.monotonic() + seconds
    while GLib.MainContext.default().iteration(False) or time.monotonic() < end:
        time.sleep(0.001)


def wait(condition, what, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what() if callable(what) else what
        turn(0.01)


def needed(*tools):
    if not Gio:
        raise Skip("no GDBus for Python (./dev setup installs it)")
    for tool in tools:
        if not shutil.which(tool):
            raise Skip("%s is missing (./dev setup installs it)" % tool)


def connection_on(ours, delay=False):
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
    if delay:
        flags |= Gio.DBusConnectionFlags.DELAY_MESSAGE_PROCESSING
    stream = Gio.Socket.new_from_fd(ours.detach()).connection_factory_create_connection()
    return Gio.DBusConnection.new_sync(stream, None, flags, None, None)


class Remote:
    """The machine, on a bus (where it has a name) or as a peer."""

    def __init__(self, connection, name=None):
        self.connection, self.name = connection, name

    def call(self, path, interface, method, signature="()", *values, fds=()):
        handles = Gio.UnixFDList.new()
        for fd in fds:
            handles.append(fd)
        got, _ = self.connection.call_with_unix_fd_list_sync(
            self.name, ROOT + "/" + path, NAME + interface, method, GLib.Variant(signature, values), None,
            Gio.DBusCallFlags.NONE, int(SECONDS * 1000), handles, None)
        return got.unpack()

    def begin(self, path, interface, method, signature="()", *values):
        """A call whose answer, or error, comes into the list that it gives."""
        came = []

        def ended(connection, result):
            try:
                came.append(connection.call_finish(result).unpack())
            except GLib.Error as why:
                came.append(why.message)
        self.connection.call(self.name, ROOT + "/" + path, NAME + interface, method, GLib.Variant(signature, values), None,
                             Gio.DBusCallFlags.NONE, int(SECONDS * 1000), None, ended)
        return came

    def refused(self, *arguments, **more):
        """What a call that must fail says."""
        try:
            self.call(*arguments, **more)
        except GLib.Error as why:
            return why.message
        raise AssertionError("it was not refused: %s" % (arguments,))

    def get(self, path, interface):
        return self.connection.call_sync(
            self.name, ROOT + "/" + path, "org.freedesktop.DBus.Properties", "GetAll",
            GLib.Variant("(s)", (NAME + interface,)), None, Gio.DBusCallFlags.NONE, int(SECONDS * 1000), None).unpack()[0]

    def close(self):
        self.connection.close_sync(None)


class Qmp:
    """A second monitor of a machine, which takes descriptors."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.ask('{"execute":"qmp_capabilities"}')

    def ask(self, text, *fds):
        socket.send_fds(self.socket, [text.encode()], list(fds))
        line = self.lines.readline()
        while '"event"' in line:
            line = self.lines.readline()
        return line

    def add(self, fd, more=""):
        line = self.ask('{"execute":"getfd","arguments":{"fdname":"x"}}', fd)
        assert '"return"' in line, line
        return self.ask('{"execute":"add_client","arguments":{"protocol":"@dbus-display","fdname":"x"%s}}' % more)

    def peer(self):
        ours, theirs = socket.socketpair()
        with theirs:
            line = self.add(theirs.fileno())
        assert '"return"' in line, line
        return Remote(connection_on(ours))

    def close(self):
        self.lines.close()
        self.socket.close()


class Object:
    """One object of ours, on a connection of its own that the machine was given."""

    def __init__(self, remote, path, interface, method, ours, xml):
        self.calls, self.stalled, self.held = [], False, []
        here, there = socket.socketpair()
        with there:
            remote.call(path, interface, method, "(h)", 0, fds=[there.fileno()])
        self.connection = connection_on(here, delay=True)
        self.connection.register_object(ROOT + "/" + ours, Gio.DBusNodeInfo.new_for_xml(xml).interfaces[0],
                                        self._called, None, None)
        self.connection.start_message_processing()

    def _called(self, _connection, _sender, _path, _interface, method, parameters, invocation):
        self.calls.append(method)
        answer = self.called(method, parameters)
        if self.stalled:
            self.held.append(invocation)
        else:
            invocation.return_value(answer)

    def called(self, method, parameters):
        raise NotImplementedError

    def go_on(self):
        self.stalled = False
        for invocation in self.held:
            invocation.return_value(None)
        self.held = []

    def close(self):
        self.connection.close_sync(None)


class Viewer(Object):
    def __init__(self, remote, console="Console_0"):
        self.width = self.height = 0
        self.pixels, self.cursor, self.pointer = None, None, None
        super().__init__(remote, console, "Console", "RegisterListener", "Listener", SCREEN)

    def called(self, method, parameters):
        values = [parameters.get_child_value(n) for n in range(parameters.n_children())]
        data = bytes(values[-1].get_data_as_bytes().get_data()) if method in ("Scanout", "Update", "CursorDefine") else b""
        numbers = [v.unpack() for v in (values[:-1] if data else values)]
        if method == "Scanout":
            self.width, self.height, stride, kind = numbers
            assert stride == 4 * self.width and kind == 0x20020888 and len(data) == stride * self.height, numbers
            self.pixels = bytearray(data)
        elif method == "Update":
            self.update(*numbers, data)
        elif method == "Disable":
            self.pixels = None
        elif method == "MouseSet":
            self.pointer = tuple(numbers)
        else:
            self.cursor = (*numbers, data)

    def update(self, x, y, width, height, stride, kind, data):
        assert kind == 0x20020888 and len(data) == stride * height and stride == 4 * width, (stride, kind, len(data))
        assert 0 <= x and x + width <= self.width and 0 <= y and y + height <= self.height, (x, y, width, height)
        for row in range(height):
            at = 4 * ((y + row) * self.width + x)
            self.pixels[at:at + stride] = data[row * stride:(row + 1) * stride]

    def picture(self):
        """width, height, rgb: as screendump has it."""
        if self.pixels is None:
            return None
        rgb = bytearray(3 * self.width * self.height)
        for n in range(3):
            rgb[n::3] = self.pixels[2 - n::4]
        return self.width, self.height, bytes(rgb)


class Hearer(Object):
    def __init__(self, remote):
        self.sound, self.formats, self.enabled = bytearray(), {}, {}
        super().__init__(remote, "Audio", "Audio", "RegisterOutListener", "AudioOutListener", HEARS)

    def called(self, method, parameters):
        if method == "Write":
            self.sound += parameters.get_child_value(1).get_data_as_bytes().get_data()
        elif method == "Init":
            self.formats[parameters.unpack()[0]] = parameters.unpack()[1:]
        elif method == "Fini":
            del self.formats[parameters.unpack()[0]]
        else:
            self.enabled.update([parameters.unpack()])


class Recorder(Object):
    """Is asked for bytes, and gives them."""

    def __init__(self, remote, give):
        self.give, self.formats, self.enabled = give, {}, {}
        super().__init__(remote, "Audio", "Audio", "RegisterInListener", "AudioInListener", RECORDS)

    def called(self, method, parameters):
        if method == "Read":
            return GLib.Variant("(ay)", (self.give(parameters.unpack()[1]),))
        if method == "Init":
            self.formats[parameters.unpack()[0]] = parameters.unpack()[1:]
        elif method == "SetEnabled":
            self.enabled.update([parameters.unpack()])
        return None


class Clipboard:
    """A program's clipboard, which has an object on the connection that it calls on."""
    PATH = ("Clipboard", "Clipboard")

    def __init__(self, remote):
        self.remote, self.grabs, self.released, self.asked, self.content, self.held = remote, [], [], [], {}, []
        self.serial, self.holds = [0, 0, 0], False
        self.object = remote.connection.register_object(
            ROOT + "/Clipboard", Gio.DBusNodeInfo.new_for_xml(CLIPBOARD).interfaces[0], self._called, None, None)
        remote.call(*self.PATH, "Register")

    def _called(self, _connection, _sender, _path, _interface, method, parameters, invocation):
        values = parameters.unpack()
        if method == "Request":
            self.asked.append(values)
            data = self.content.get((values[0], values[1][0]))
            if self.holds:
                self.held.append(invocation)
            elif data is None:
                invocation.return_dbus_error("org.example.Nothing", "nothing")
            else:
                invocation.return_value(GLib.Variant("(say)", (values[1][0], data)))
            return
        (self.grabs if method == "Grab" else self.released).append(values)
        if method == "Grab":
            self.serial[values[0]] = values[1]
        invocation.return_value(None)

    def grab(self, selection, content, serial=None):
        """`content`: bytes by MIME type."""
        self.serial[selection] = self.serial[selection] + 1 if serial is None else serial
        self.content.update({(selection, mime): data for mime, data in content.items()})
        self.remote.call(*self.PATH, "Grab", "(uuas)", selection, self.serial[selection], list(content))

    def request(self, selection, *mimes):
        return self.remote.begin(*self.PATH, "Request", "(uas)", selection, list(mimes))

    def close(self):
        self.remote.connection.unregister_object(self.object)


class Bus:
    """A message bus of our own."""

    def __init__(self, folder):
        needed("dbus-daemon")
        self.path = os.path.join(folder, "bus")
        self.address = "unix:path=" + self.path
        self.process = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--nopidfile", "--nosyslog", "--address",
                                         self.address], stderr=subprocess.DEVNULL)
        wait(lambda: os.path.exists(self.path), "no message bus comes")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def connect(self):
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        return Gio.DBusConnection.new_for_address_sync(self.address, flags, None, None)

    def remote(self):
        return Remote(self.connect(), "org.qemu")
