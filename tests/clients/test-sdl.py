# SPDX-License-Identifier: LGPL-2.1-or-later
"""-display sdl on a desktop without a screen: what its windows show is what screendump says, what is typed and
pointed at arrives, hot keys and the keys of -display do what the manual says.
Usage: test-sdl.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import subprocess
import sys

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from desktop import MEMORY, Desktop, Screen, draws_by_opengl, wait  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("sdl-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
KEY, REL, ABS = 1, 2, 3
CTRL, ALT, LEFT_BUTTON = 29, 56, 0x110


def machine(desktop, *options, display="sdl", **more):
    return Screen(MODULE, "-display", display, *options, env=desktop.env, **more)


def window(desktop, name="^Backplane"):
    return wait(lambda: desktop.windows(name), "no window comes")[0]


def shown(desktop, q, what="the picture does not come"):
    return wait(lambda: desktop.shows(q.dump(FOLDER)), what)


def keys(q, most=60):
    seen = []

    def more():
        seen.extend(e[1:] for e in q.inputs() if e[0] == KEY)
        return seen
    wait(more, "no key comes", most)
    return seen


def hot(desktop, key, mods=("Control_L", "Alt_L")):
    for mod in mods:
        desktop.run("xdotool", "keydown", mod)
    desktop.run("xdotool", "key", key)
    for mod in reversed(mods):
        desktop.run("xdotool", "keyup", mod)


def focus(desktop, w):
    desktop.run("xdotool", "windowfocus", "--sync", w)


def window_shows_what_screendump_says():
    with Desktop(FOLDER) as d, machine(d, "-name", "zebra") as q:
        shown(d, q)
        assert "(zebra)" in d.title(window(d)), d.title(window(d))
        q.draw(12)
        shown(d, q, "what the guest drew later does not come")
        q.resize(520, 333)
        q.draw(13)
        shown(d, q, "the new size does not come")
        assert d.geometry(window(d))[2:] == (520, 333)
        assert q.qmp("query-display-options") == {"type": "sdl"}
        q.qmp("stop")
        wait(lambda: "Stopped" in d.title(window(d)), "the title does not say that it stands")


def typed_keys_arrive():
    with Desktop(FOLDER) as d, machine(d) as q:
        focus(d, window(d))
        d.run("xdotool", "key", "a", "shift+b", "F11", "Right")
        seen = []
        wait(lambda: seen.extend(e[1:] for e in q.inputs() if e[0] == KEY) or len(seen) >= 10, "keys are missing")
        assert seen == [(30, 1), (30, 0), (42, 1), (48, 1), (42, 0), (48, 0), (87, 1), (87, 0), (106, 1),
                        (106, 0)], seen


def keys_go_up_with_the_focus():
    with Desktop(FOLDER) as d, machine(d) as q:
        w = window(d)
        other = d.start("xwd", "-root", "-out", os.path.join(FOLDER, "none"))
        other.wait()
        focus(d, w)
        d.run("xdotool", "keydown", "x")
        assert (45, 1) in keys(q)
        d.run("xdotool", "windowunmap", "--sync", w)
        wait(lambda: (KEY, 45, 0) in q.inputs(), "the key stays down")
        d.run("xdotool", "keyup", "x")


def absolute_pointers_need_no_grab():
    with Desktop(FOLDER) as d, machine(d, device=",tablet=on") as q:
        w = window(d)
        x, y = shown(d, q)
        d.run("xdotool", "mousemove", str(x + 399), str(y + 299))
        d.run("xdotool", "mousemove", str(x + 100), str(y + 30))
        want = [(ABS, 0, 100 * 32767 // 399), (ABS, 1, 30 * 32767 // 299)]
        seen = []
        wait(lambda: seen.extend(q.inputs()) or [e for e in seen if e[0] == ABS][-2:] == want,
             lambda: "position: %s" % seen)
        d.run("xdotool", "click", "1", "click", "4")
        wait(lambda: seen.extend(q.inputs()) or {(KEY, LEFT_BUTTON, 1), (KEY, LEFT_BUTTON, 0)} <= set(seen), "no click")
        assert w


def mouse_is_grabbed_by_a_click_and_let_go_by_hot_keys():
    for display, mods in (("sdl", ("Control_L", "Alt_L")),
                          ("sdl,grab-mod=lshift-lctrl-lalt", ("Shift_L", "Control_L", "Alt_L")),
                          ("sdl,grab-mod=rctrl", ("Control_R",))):
        with Desktop(FOLDER) as d, machine(d, display=display, device=",tablet=off") as q:
            w = window(d)
            x, y = shown(d, q)
            focus(d, w)
            d.run("xdotool", "mousemove", str(x + 100), str(y + 100))
            d.run("xdotool", "click", "1")
            wait(lambda: "let the pointer go" in d.title(w), "it is not grabbed")
            q.inputs()
            d.run("xdotool", "mousemove_relative", "--", "7", "-3")
            seen = []
            wait(lambda: seen.extend(e for e in q.inputs() if e[0] == REL) or sum(e[2] for e in seen if e[1] == 0) == 7,
                 lambda: "motion: %s" % seen)
            assert sum(e[2] for e in seen if e[1] == 1) == -3, seen
            if len(mods) > 2:
                hot(d, "g")
                assert "let the pointer go" in d.title(w), "fewer keys are enough"
            hot(d, "g", mods)
            wait(lambda: "let the pointer go" not in d.title(w), "it is not let go")
            wait(lambda: seen.extend(q.inputs()) or seen[-1][0::2] == (KEY, 0), "the keys stay down")
            assert (KEY, 34, 1) not in seen[-len(mods) * 2 - 1:], "the guest sees the hot key"


def hot_keys_scale_and_fill_the_screen():
    with Desktop(FOLDER, manager=True) as d, machine(d) as q:
        w = window(d)
        shown(d, q)
        focus(d, w)
        hot(d, "equal")
        wait(lambda: d.geometry(w)[2:] == (500, 375), lambda: "not larger: %s" % (d.geometry(w),))
        hot(d, "minus")
        hot(d, "minus")
        wait(lambda: d.geometry(w)[2] == 320, lambda: "not smaller: %s" % (d.geometry(w),))
        hot(d, "u")
        wait(lambda: d.geometry(w)[2:] == (400, 300), lambda: "not as it is: %s" % (d.geometry(w),))
        shown(d, q)
        hot(d, "f")
        wait(lambda: d.geometry(w)[2:] == (1000, 700), lambda: "not the whole screen: %s" % (d.geometry(w),))
        hot(d, "f")
        wait(lambda: d.geometry(w)[2:] == (400, 300), lambda: "still the whole screen: %s" % (d.geometry(w),))
        shown(d, q)


def full_screen_is_asked_for():
    for options, display in ((("-full-screen",), "sdl"), ((), "sdl,full-screen=on")):
        with Desktop(FOLDER, manager=True) as d, machine(d, *options, display=display):
            wait(lambda: [w for w in d.windows("^Backplane") if d.geometry(w)[2:] == (1000, 700)], "no full screen")


def closing_the_window_ends_it_or_does_not():
    for display, ends in (("sdl", True), ("sdl,window-close=on", True), ("sdl,window-close=off", False)):
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


def closing_waits_for_no_keyboard():
    with Desktop(FOLDER, manager=True) as d:
        q = machine(d)
        try:
            shown(d, q)
            focus(d, window(d))
            d.run("xdotool", "keydown", "x")
            assert (45, 1) in keys(q)
            q.fill()
            d.run("xdotool", "keyup", "x")
            d.run("wmctrl", "-c", "Backplane")
            wait(q.ended, "it goes on")
        finally:
            q.close()


def pointer_of_the_host_is_seen_when_asked_for():
    for display, seen in (("sdl", False), ("sdl,show-cursor=on", True)):
        with Desktop(FOLDER) as d, machine(d, display=display, device=",tablet=on") as q:
            x, y = shown(d, q)
            d.run("xdotool", "mousemove", str(x + 50), str(y + 50))
            wait(lambda: any(e[0] == ABS for e in q.inputs()), "no motion")
            assert d.pointer_is_seen() == seen, display


def opengl_draws_the_same():
    for mode in ("on", "es", "core"):
        with Desktop(FOLDER) as d, machine(d, display="sdl,gl=" + mode) as q:
            shown(d, q)
            q.draw(12)
            shown(d, q, "what the guest drew later does not come")
            q.resize(520, 333)
            q.draw(13)
            shown(d, q, "the new size does not come")
            assert draws_by_opengl(q.process.pid), mode


def core_profile_scales_as_any_window():
    """A window of another shape: the picture is as large as it has room, black beside; the pointer is where it is."""
    with Desktop(FOLDER) as d, machine(d, display="sdl,gl=core", device=",tablet=on") as q:
        shown(d, q)
        q.write(MEMORY, bytes.fromhex("20c08000") * 400 * 300)
        w = window(d)
        d.run("xdotool", "windowmove", w, "0", "0", "windowsize", w, "900", "600")

        def scaled():
            x, y = d.geometry(w)[:2]
            width, _, rgb = d.picture()
            seen = [rgb[3 * ((y + 300) * width + x + across):][:3].hex() for across in (40, 60, 840, 860)]
            return seen == ["000000", "80c020", "80c020", "000000"]
        wait(scaled, "the picture does not fill the window")
        x, y = d.geometry(w)[:2]
        d.run("xdotool", "mousemove", str(x + 60), str(y + 10), "mousemove", str(x + 250), str(y + 300))
        want, seen = [(ABS, 0, 100 * 32767 // 399), (ABS, 1, 150 * 32767 // 299)], []
        wait(lambda: seen.extend(q.inputs()) or [e for e in seen if e[0] == ABS][-2:] == want,
             lambda: "position: %s" % seen)


def old_opengl_is_told():
    with Desktop(FOLDER) as d:
        done = subprocess.run([PROGRAM, "-accel", "qtest", "-monitor", "stdio", "-display", "sdl,gl=core"],
                              input="quit\n", env={**d.env, "MESA_GL_VERSION_OVERRIDE": "2.1"}, capture_output=True,
                              text=True, timeout=60, check=False)
        assert "OpenGL is not to be had here" in done.stderr and "gl=off" in done.stderr and done.returncode == 0, done


def without_a_desktop_it_goes_on():
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    for options, words in ((("-display", "sdl"), ("going on without a window",)),
                           (("-display", "sdl,grab-mod=x"), ("grab-mod", "rctrl")),
                           (("-display", "sdl,gl=maybe"), ("gl", "core"))):
        done = subprocess.run([PROGRAM, "-accel", "qtest", "-nodefaults", "-monitor", "stdio", *options], input="quit\n",
                              env=env, capture_output=True, text=True, timeout=60, check=False)
        said = done.stderr.strip().splitlines()
        assert len(said) == 1 and all(word in said[0] for word in words), (options, done)
        assert (done.returncode == 0) == ("going on" in said[0]), done


def window_is_the_default_on_a_desktop():
    with Desktop(FOLDER) as d:
        with subprocess.Popen([PROGRAM, "-accel", "qtest", "-name", "plain", "-monitor", "stdio"], env=d.env,
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
            try:
                wait(lambda: d.windows("plain"), "no window opens by itself")
                _, said = p.communicate(b"quit\n", timeout=60)
            finally:
                p.kill()
        assert b"no window" not in said, said


run([window_shows_what_screendump_says, typed_keys_arrive, keys_go_up_with_the_focus, absolute_pointers_need_no_grab,
     mouse_is_grabbed_by_a_click_and_let_go_by_hot_keys, hot_keys_scale_and_fill_the_screen, full_screen_is_asked_for,
     closing_the_window_ends_it_or_does_not, closing_waits_for_no_keyboard,
     pointer_of_the_host_is_seen_when_asked_for, opengl_draws_the_same,
     core_profile_scales_as_any_window, old_opengl_is_told,
     without_a_desktop_it_goes_on, window_is_the_default_on_a_desktop])
