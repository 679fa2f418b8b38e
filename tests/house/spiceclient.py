# SPDX-License-Identifier: LGPL-2.1-or-later
"""A SPICE client by spice-gtk's library: what virt-viewer is made of, without a window."""
import ctypes
import os
import time

try:
    import gi
    gi.require_version("SpiceClientGLib", "2.0")
    from gi.repository import Gio, GLib, GObject, SpiceClientGLib as Spice
except (ImportError, ValueError):
    Spice = None

SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))


class Client:
    def __init__(self, address, name="main"):
        """address: of a UNIX socket. Channels are opened as they come, named as spice-gtk names them."""
        self.channels, self.states, self.ports = {}, {}, {}
        self.sound, self.grabs, self.wants = bytearray(), [], []
        self.started, self.samples = None, None
        self.session = Spice.Session()
        self.session.set_property("uri", "spice+unix://" + address)
        self.session.set_property("enable-usbredir", False)
        GObject.Object.connect(self.session, "channel-new", self._channel)
        assert self.session.connect(), "no connection is begun"
        self.wait(lambda: name in self.channels and self.is_open(name), "there is no channel %s" % name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.session.disconnect()
        self.turn(0.2)

    def is_open(self, name):
        return self.states.get(name) == "open"

    def _channel(self, _, channel):
        kind = type(channel).__name__.replace("Channel", "").lower()
        connect = GObject.Object.connect
        self.channels[kind] = channel
        self.states[kind] = "new"
        connect(channel, "channel-event", self._event, kind)
        if kind == "playback":
            connect(channel, "playback-start", lambda c, kind, channels, rate: setattr(self, "started", (channels, rate)))
            connect(channel, "playback-data", self._heard)
        elif kind == "record":
            connect(channel, "record-start", lambda c, kind, channels, rate: setattr(self, "samples", (channels, rate)))
        elif kind == "port":
            connect(channel, "notify::port-name", self._named)
            connect(channel, "port-data", self._data)
        elif kind == "main":
            connect(channel, "main-clipboard-selection-grab", lambda c, which, types, n: self.grabs.append(which) or True)
            connect(channel, "main-clipboard-selection-request", lambda c, which, kind: self.wants.append(kind) or True)
        Spice.Channel.connect(channel)

    def _event(self, _, event, kind):
        self.states[kind] = "open" if event == Spice.ChannelEvent.OPENED else str(event)

    def _heard(self, _, data, size):
        self.sound += ctypes.string_at(data, size)

    def _named(self, channel, _):
        self.ports.setdefault(channel.get_property("port-name"), [channel, bytearray()])

    def _data(self, channel, data, size):
        name = channel.get_property("port-name")
        self.ports.setdefault(name, [channel, bytearray()])[1].extend(ctypes.string_at(data, size))

    @staticmethod
    def turn(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not GLib.MainContext.default().iteration(False):
                time.sleep(0.002)

    def wait(self, condition, what, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, what() if callable(what) else what
            self.turn(0.02)

    def main(self, name):
        return self.channels["main"].get_property(name)
