# SPDX-License-Identifier: LGPL-2.1-or-later
"""-display gtk on a desktop without a screen: what the window shows is what screendump says, what is typed and pointed at
arrives, menus, hot keys and the keys of -display do what the manual says.
Usage: test-gtk.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import struct
import subprocess
import sys

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from desktop import MEMORY, Desktop, Screen, draws_by_opengl, netpbm, wait  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("gtk-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
KEY, REL, ABS = 1, 2, 3
LEFT_BUTTON = 0x110


def machine(desktop, *options, display="gtk", device="", **more):
    return Screen(MODULE, "-display", display, *options, env=desktop.env, device=device, **more)


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def window(desktop, name="^Backplane"):
    return wait(lambda: desktop.windows(name), "no window comes")[0]


def shown(desktop, q, what="the picture does not come"):
    return wait(lambda: desktop.shows(q.dump(FOLDER)), what)


def hot(desktop, key, mods=("Control_L", "Alt_L")):
    for mod in mods:
        desktop.run("xdotool", "keydown", mod)
    desktop.run("xdotool", "key", key)
    for mod in reversed(mods):
        desktop.run("xdotool", "keyup", mod)


def focus(desktop, w):
    desktop.run("xdotool", "windowfocus", "--sync", w)


def menu(desktop, w, which, item):
    """Chooses an item (from 1) of a menu (from 0) as a person without a mouse would, once the menu is open."""
    def seen():
        return set(desktop.run("xdotool", "search", "--onlyvisible", "--class", ".", check=False).split())
    x, y = desktop.geometry(w)[:2]
    before = seen()
    desktop.run("xdotool", "mousemove", str(x + 20), str(y + 12), "click", "1")
    wait(lambda: seen() - before, "no menu opens")
    desktop.run("xdotool", "key", *(["Right"] * which + ["Down"] * item + ["Return"]))
    wait(lambda: not seen() - before, "the menu stays")


def window_shows_what_screendump_says():
    with Desktop(FOLDER) as d, machine(d, "-name", "zebra") as q:
        shown(d, q)
        assert "(zebra)" in d.title(window(d)), d.title(window(d))
        q.draw(12)
        shown(d, q, "what the guest drew later does not come")
        q.resize(520, 333)
        q.draw(13)
        shown(d, q, "the new size does not come")
        assert d.geometry(window(d))[2] == 520
        assert q.qmp("query-display-options") == {"type": "gtk"}
        q.qmp("stop")
        wait(lambda: "Stopped" in d.title(window(d)), "the title does not say that it stands")


def typed_keys_arrive():
    with Desktop(FOLDER) as d, machine(d) as q:
        shown(d, q)
        focus(d, window(d))
        d.run("xdotool", "key", "a", "shift+b", "F10", "Right")
        seen = []
        wait(lambda: seen.extend(e[1:] for e in q.inputs() if e[0] == KEY) or len(seen) >= 10, lambda: "keys: %s" % seen)
        assert seen == [(30, 1), (30, 0), (42, 1), (48, 1), (42, 0), (48, 0), (68, 1), (68, 0), (106, 1), (106, 0)], seen


def console(q, device, row=0):
    """The dots of a row of text, without the empty lines above and below."""
    path = os.path.join(FOLDER, "console.ppm")
    q.qmp("screendump", {"filename": path, "device": "/chardevs/" + device})
    with open(path, "rb") as f:
        width, _, pixels = netpbm(f.read())
    return width, 11, pixels[3 * width * (16 * row + 3):3 * width * (16 * row + 14)]


def text_consoles_are_tabs():
    """Monitor and serial port, shown as screendump has them; what is typed there does not reach the guest."""
    with Desktop(FOLDER) as d, machine(d, "-monitor", "vc:60Cx20C", "-serial", "vc:400x320", display="gtk,show-tabs=on") as q:
        shown(d, q)
        w = window(d)
        focus(d, w)
        hot(d, "2")
        wait(lambda: d.shows(console(q, "compat_monitor1")), "the monitor is not shown")
        d.run("xdotool", "type", "info status\n")
        wait(lambda: "VM status: running" in str(q.qmp("query-screen-text", {"device": "/chardevs/compat_monitor1"})["lines"]),
             "the monitor does not answer")
        wait(lambda: d.shows(console(q, "compat_monitor1", 2)), "the answer is not shown")
        hot(d, "3")
        for byte in b"\033[1;33mfrom the guest":
            q.outb(0x3F8, byte)
        wait(lambda: d.shows(console(q, "serial0")), "the serial port is not shown")
        d.run("xdotool", "key", "y")
        wait(lambda: q.inb(0x3FD) & 1, "the key does not reach the port")
        assert q.inb(0x3F8) == ord("y")
        assert not [e for e in q.inputs() if e[0] == KEY and e[1] not in (29, 56)], "keys came to the guest"
        hot(d, "1")
        shown(d, q, "the guest's screen does not come back")
        d.run("xdotool", "key", "y")
        wait(lambda: (KEY, 21, 1) in q.inputs(), "the key does not come to the guest")


def keys_go_up_whatever_stands():
    """Nobody reads the keyboard, or the machine stands: what went down before comes up."""
    with Desktop(FOLDER) as d, machine(d) as q:
        shown(d, q)
        focus(d, window(d))
        d.run("xdotool", "keydown", "x")
        wait(lambda: (KEY, 45, 1) in q.inputs(), "the key does not come")
        q.fill()
        d.run("xdotool", "keyup", "x", "key", "F9")
        seen = []
        wait(lambda: seen.extend(q.inputs()) or (KEY, 45, 0) in seen, "the key stays down", 20)
        d.run("xdotool", "keydown", "y")
        wait(lambda: (KEY, 21, 1) in q.inputs(), "the other key does not come")
        q.qmp("stop")
        d.run("xdotool", "keyup", "y")
        wait(lambda: (KEY, 21, 0) in q.inputs(), "the other key stays down", 20)
        q.qmp("cont")


def absolute_pointers_need_no_grab():
    with Desktop(FOLDER) as d, machine(d) as q:
        x, y = shown(d, q)
        d.run("xdotool", "mousemove", str(x + 390), str(y + 290))
        d.run("xdotool", "mousemove", str(x + 100), str(y + 30))
        want = [(ABS, 0, 100 * 32767 // 399), (ABS, 1, 30 * 32767 // 299)]
        seen = []
        wait(lambda: seen.extend(q.inputs()) or [e for e in seen if e[0] == ABS][-2:] == want,
             lambda: "position: %s" % seen)
        d.run("xdotool", "click", "1")
        wait(lambda: seen.extend(q.inputs()) or {(KEY, LEFT_BUTTON, 1), (KEY, LEFT_BUTTON, 0)} <= set(seen), "no click")


def mouse_is_grabbed_by_a_click_and_let_go_by_a_hot_key():
    with Desktop(FOLDER) as d, machine(d, device=",tablet=off") as q:
        w = window(d)
        x, y = shown(d, q)
        focus(d, w)
        d.run("xdotool", "mousemove", str(x + 100), str(y + 100))
        d.run("xdotool", "click", "1")
        wait(lambda: "let the pointer go" in d.title(w), "it is not grabbed")
        d.run("xdotool", "mousemove", str(x + 120), str(y + 120), "key", "F9")
        wait(lambda: (KEY, 67, 0) in q.inputs(), "no key behind the motion")
        d.run("xdotool", "mousemove_relative", "--", "7", "-3")
        seen = []
        wait(lambda: seen.extend(e for e in q.inputs() if e[0] == REL) or sum(e[2] for e in seen if e[1] == 0) == 7,
             lambda: "motion: %s" % seen)
        assert sum(e[2] for e in seen if e[1] == 1) == -3, seen
        hot(d, "g")
        wait(lambda: "let the pointer go" not in d.title(w), "it is not let go")


def menus_do_what_they_say():
    with Desktop(FOLDER) as d:
        q = machine(d)
        try:
            w = window(d)
            shown(d, q)

            def told(event):
                q.qmp("query-status")
                return any(e["event"] == event for e in q.events)
            menu(d, w, 0, 1)
            wait(lambda: not q.qmp("query-status")["running"], "it does not stand")
            menu(d, w, 0, 1)
            wait(lambda: q.qmp("query-status")["running"], "it does not go on")
            menu(d, w, 0, 2)
            wait(lambda: told("RESET"), "it is not reset")
            menu(d, w, 0, 3)
            wait(lambda: told("POWERDOWN"), "it is not told to power down")
            shown(d, q)
            before = d.geometry(w)
            menu(d, w, 1, 2)
            wait(lambda: d.geometry(w)[2] == 500, lambda: "not larger: %s" % (d.geometry(w),))
            menu(d, w, 1, 3)
            wait(lambda: d.geometry(w)[2:] == before[2:], lambda: "not smaller: %s" % (d.geometry(w),))
            menu(d, w, 0, 4)
            wait(q.ended, "it goes on")
            assert q.process.returncode == 0, q.errors()
        finally:
            q.close()


def hot_keys_scale_and_fill_the_screen():
    with Desktop(FOLDER, manager=True) as d, machine(d) as q:
        w = window(d)
        shown(d, q)
        focus(d, w)
        hot(d, "equal")
        wait(lambda: d.geometry(w)[2] == 500, lambda: "not larger: %s" % (d.geometry(w),))
        hot(d, "0")
        wait(lambda: d.geometry(w)[2] == 400, lambda: "not as it is: %s" % (d.geometry(w),))
        shown(d, q)
        before = d.geometry(w)[3]
        hot(d, "m")
        wait(lambda: d.geometry(w)[3] == 300, lambda: "the menus stay: %s" % (d.geometry(w),))
        hot(d, "m")
        wait(lambda: d.geometry(w)[3] == before > 300, lambda: "the menus do not come: %s" % (d.geometry(w),))
        hot(d, "f")
        wait(lambda: d.geometry(w)[2:] == (1000, 700), lambda: "not the whole screen: %s" % (d.geometry(w),))
        hot(d, "f")
        wait(lambda: d.geometry(w)[2] == 400, lambda: "still the whole screen: %s" % (d.geometry(w),))
        shown(d, q)


def full_screen_is_asked_for():
    for options, display in ((("-full-screen",), "gtk"), ((), "gtk,full-screen=on")):
        with Desktop(FOLDER, manager=True) as d, machine(d, *options, display=display):
            wait(lambda: [w for w in d.windows("^Backplane") if d.geometry(w)[2:] == (1000, 700)], "no full screen")


def menubar_and_tabs_are_as_told():
    def height(keys):
        with Desktop(FOLDER) as d, machine(d, display="gtk" + keys) as q:
            shown(d, q)
            return wait(lambda: d.geometry(window(d))[2] == 400 and d.geometry(window(d)), "another width")[3]
    bare = height(",show-menubar=off")
    assert bare == 300, bare
    plain = height("")
    assert plain == height(",show-menubar=on,show-tabs=off") > bare
    assert height(",show-tabs=on") > plain and height(",show-tabs=on,show-menubar=off") > bare


def tabs_are_switched():
    with Desktop(FOLDER) as d, machine(d, "-device", "VGA,id=other", display="gtk,show-tabs=on") as q:
        shown(d, q)
        focus(d, window(d))
        hot(d, "2")
        wait(lambda: not d.shows(q.dump(FOLDER)), "the other screen does not come")
        hot(d, "1")
        shown(d, q, "the first screen does not come back")


def quarters_fill_the_window(d, q):
    """Twice as large as the screen; tells where it is."""
    w = window(d)
    d.run("xdotool", "windowsize", w, "800", "600")
    wait(lambda: d.geometry(w)[2:] == (800, 600), "another size")
    x, y = d.geometry(w)[:2]
    colours = [0x203040, 0xf0c010, 0x10e0a0, 0xc02080]  # of the four quarters
    q.write(MEMORY, b"".join(struct.pack("<I", colours[px // 200 + py // 150 * 2]) for py in range(300)
                             for px in range(400)))

    def scaled():
        width, _, rgb = d.picture()
        return all(rgb[3 * ((y + down) * width + x + across):][:3] == colours[across // 400 + down // 300 * 2].to_bytes(
            3, "big") for across in (5, 394, 405, 794) for down in (5, 294, 305, 594))
    wait(scaled, "the picture does not fill the window")
    return x, y


def zoom_to_fit_fills_the_window():
    with Desktop(FOLDER) as d, machine(d, display="gtk,zoom-to-fit=on,show-menubar=off") as q:
        w = window(d)
        d.run("xdotool", "windowsize", w, "400", "300")
        shown(d, q)
        x, y = quarters_fill_the_window(d, q)
        d.run("xdotool", "mousemove", str(x + 10), str(y + 10), "mousemove", str(x + 600), str(y + 150))
        seen = []
        want = [(ABS, 0, 300 * 32767 // 399), (ABS, 1, 75 * 32767 // 299)]
        wait(lambda: seen.extend(q.inputs()) or [e for e in seen if e[0] == ABS][-2:] == want,
             lambda: "position: %s" % seen)


def keyboard_is_grabbed_on_hover():
    for display, grabbed in (("gtk,grab-on-hover=on", True), ("gtk", False)):
        with Desktop(FOLDER) as d, machine(d, display=display) as q:
            x, y = shown(d, q)
            path = os.path.join(FOLDER, "events")
            other = d.start("sh", "-c", "exec stdbuf -oL xev -geometry 100x100+800+500 > %s" % path)
            wait(lambda: d.windows("Event Tester"), "no other window")
            d.run("xdotool", "mousemove", str(x + 50), str(y + 50), "mousemove", str(x + 60), str(y + 60))
            wait(lambda: any(e[0] == ABS for e in q.inputs()), "no motion")
            focus(d, d.windows("Event Tester")[0])
            d.run("xdotool", "mousemove", "850", "550", "mousemove", str(x + 70), str(y + 60))
            wait(lambda: (ABS, 0, 70 * 32767 // 399) in q.inputs(), "no motion")
            d.run("xdotool", "key", "a")
            if grabbed:
                wait(lambda: (KEY, 30, 1) in q.inputs(), "the key goes elsewhere")
            else:
                wait(lambda: "KeyRelease" in text_of(path), "the key goes nowhere")
                assert (KEY, 30, 1) not in q.inputs(), "the key comes without a grab"
            assert other.poll() is None


def closing_the_window_ends_it_or_does_not():
    for display, ends in (("gtk", True), ("gtk,window-close=on", True), ("gtk,window-close=off", False)):
        with Desktop(FOLDER, manager=True) as d:
            q = machine(d, display=display)
            try:
                shown(d, q)
                d.run("wmctrl", "-c", "Backplane")
                if ends:
                    wait(q.ended, "it goes on")
                    assert q.process.returncode == 0, q.errors()
                else:
                    q.draw(14)
                    shown(d, q)
                    assert not q.ended()
            finally:
                q.close()


def pointer_of_the_host_is_seen_when_asked_for():
    for display, seen in (("gtk", False), ("gtk,show-cursor=on", True)):
        with Desktop(FOLDER) as d, machine(d, display=display) as q:
            x, y = shown(d, q)
            d.run("xdotool", "mousemove", str(x + 50), str(y + 50))
            wait(lambda: any(e[0] == ABS for e in q.inputs()), "no motion")
            assert d.pointer_is_seen() == seen, display


def opengl_draws_the_same():
    """Later drawing, another size, a second tab, and what is scaled; without gl=on there is none."""
    for display, drawn in (("gtk,show-tabs=on", False), ("gtk,gl=off", False), ("gtk,gl=on,show-tabs=on", True)):
        with Desktop(FOLDER) as d, machine(d, "-device", "VGA,id=other", display=display) as q:
            shown(d, q)
            assert draws_by_opengl(q.process.pid) == drawn, display
            if not drawn:
                continue
            q.draw(12)
            shown(d, q, "what the guest drew later does not come")
            q.resize(520, 333)
            q.draw(13)
            shown(d, q, "the new size does not come")
            focus(d, window(d))
            hot(d, "2")
            wait(lambda: not d.shows(q.dump(FOLDER)), "the other screen does not come")
            hot(d, "1")
            shown(d, q, "the first screen does not come back")
    with Desktop(FOLDER) as d, machine(d, display="gtk,gl=on,zoom-to-fit=on,show-menubar=off") as q:
        shown(d, q)
        quarters_fill_the_window(d, q)


def old_opengl_is_told():
    with Desktop(FOLDER) as d:
        done = subprocess.run([PROGRAM, "-accel", "qtest", "-monitor", "stdio", "-display", "gtk,gl=on"],
                              input="quit\n", env={**d.env, "MESA_GL_VERSION_OVERRIDE": "2.1"}, capture_output=True,
                              text=True, timeout=60, check=False)
        assert "OpenGL is not to be had here" in done.stderr and "gl=off" in done.stderr and done.returncode == 0, done


def mistakes_are_told():
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    for options, words, status in ((("-display", "gtk"), "going on without a window", 0),
                                   (("-display", "gtk,gl=x"), "gl", 1),
                                   (("-display", "gtk,show-tabs=x"), "show-tabs", 1)):
        done = subprocess.run([PROGRAM, "-accel", "qtest", "-nodefaults", "-monitor", "stdio", *options], input="quit\n",
                              env=env, capture_output=True, text=True, timeout=60, check=False)
        said = done.stderr.strip().splitlines()
        assert len(said) == 1 and words in said[0] and done.returncode == status, (options, done)
    done = subprocess.run([PROGRAM, "-accel", "qtest", "-nodefaults", "-monitor", "stdio", "-display", "gtk"],
                          env={**env, "DISPLAY": ":9999"}, input="quit\n", capture_output=True, text=True, timeout=60,
                          check=False)
    assert "going on without a window" in done.stderr and done.returncode == 0, done


run([window_shows_what_screendump_says, typed_keys_arrive, keys_go_up_whatever_stands, text_consoles_are_tabs,
     absolute_pointers_need_no_grab,
     mouse_is_grabbed_by_a_click_and_let_go_by_a_hot_key, menus_do_what_they_say, hot_keys_scale_and_fill_the_screen,
     full_screen_is_asked_for, menubar_and_tabs_are_as_told, tabs_are_switched, zoom_to_fit_fills_the_window,
     keyboard_is_grabbed_on_hover, closing_the_window_ends_it_or_does_not, pointer_of_the_host_is_seen_when_asked_for,
     opengl_draws_the_same, old_opengl_is_told, mistakes_are_told])
