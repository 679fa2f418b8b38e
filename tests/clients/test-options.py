#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of the real program: help, versions, one-line errors, configuration files."""
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BACKPLANE_BUILD") or (sys.argv[2] if len(sys.argv) > 2 else os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))
for name in ("DISPLAY", "WAYLAND_DISPLAY"):  # the desktop of who runs it is not meant
    os.environ.pop(name, None)
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
BASE = ["-M", "none", "-accel", "qtest", "-nodefaults", "-display", "none"]
TIMEOUT = 60


class Skip(Exception):
    pass


def run(*argv, text=""):
    return subprocess.run([PROGRAM, *argv], input=text, capture_output=True, text=True,
                          timeout=TIMEOUT)


def starts(*argv):
    """The machine starts with these options, and ends when it is told to."""
    done = run(*BASE, *argv, "-monitor", "stdio", text="info status\nquit\n")
    assert done.returncode == 0, (argv, done)
    assert "VM status:" in done.stdout, (argv, done)
    return done


def refused(*argv, names=()):
    """One line that names each of `names`, exit status 1."""
    done = run(*BASE, *argv)
    assert done.returncode == 1, (argv, done)
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1, (argv, lines)
    assert lines[0].startswith("backplane-system-x86_64: "), lines
    for name in names:
        assert name in lines[0], (argv, name, lines)
    return lines[0]


def version_is_parsed_by_clients():
    for option in ("-version", "--version"):
        done = run(option)
        assert done.returncode == 0
        assert re.search(r"QEMU emulator version (\d+)\.(\d+)\.(\d+)", done.stdout)
    for option in ("-h", "-help", "--help"):
        done = run("-display", "none", option)
        assert done.returncode == 0
        assert re.search(r"\d+\.\d+", done.stdout).group() == "9.1"
        for name in ("-machine", "-smp", "-device", "-qmp", "-chardev"):
            assert name in done.stdout, name


def help_arguments_list_and_end():
    for argv, words in ((("-machine", "help"), ("none", "pc")), (("-M", "?"), ("none",)),
                        (("-device", "help"), ('name "isa-serial"',)), (("-device", "?"), ("isa-serial",)),
                        (("-device", "isa-serial,help"), ("iobase", "chardev")),
                        (("-cpu", "help"), ("qemu64", "max")), (("-accel", "help"), ("qtest",)),
                        (("-chardev", "help"), ("socket", "stdio")), (("-object", "help"), ("",)),
                        (("-M", "pc,help"), ("acpi",)), (("-d", "help"), ("guest_errors",)),
                        (("-smp", "help"), ("cores",)), (("-L", "/x", "-L", "help"), ("/x",))):
        done = run(*argv)
        assert done.returncode == 0, (argv, done)
        for word in words:
            assert word in done.stdout, (argv, word)
    assert "isa-debug-exit" in run("-S", "-device", "help", "-nodefaults").stdout


def good_options_start():
    for argv in (("-m", "16"), ("-m", "16M"), ("-m", "size=16384k"), ("-m", "16,maxmem=16M"),
                 ("--m", "16"), ("-smp", "1"), ("-name", "guest=a,,b,debug-threads=on"), ("-name", "x"),
                 ("-uuid", "12345678-1234-1234-1234-123456789abc"), ("-S",), ("-no-reboot",),
                 ("-no-shutdown",), ("-rtc", "base=utc,clock=vm,driftfix=slew"),
                 ("-rtc", "base=2006-06-17T16:01:21"), ("-rtc", "base=localtime"),
                 ("-msg", "timestamp=on"), ("-action", "reboot=shutdown,shutdown=pause"),
                 ("-action", "panic=none", "-action", "reboot=reset"), ("-boot", "order=cad,menu=on"),
                 ("-boot", "d"), ("-boot", "strict=on"), ("-no-user-config",), ("-L", "/nonexistent"),
                 ("-d", "guest_errors,unimp"), ("-d", "int", "-D", "/dev/null"),
                 ("-global", "isa-serial.irq=3"), ("-global", "nope.nope=1,2"),
                 ("-global", "driver=isa-serial,property=irq,value=3"),
                 ("-chardev", "null,id=c0", "-serial", "chardev:c0"), ("-serial", "none"),
                 ("-chardev", '{"backend":"null","id":"c1"}'), ("-serial", "null", "-serial", "null")):
        starts(*argv)


def bad_options_are_refused():
    for argv, names in ((("-nope",), ("-nope",)), (("--nope", "x"), ("-nope",)), (("-m",), ("-m",)),
                        (("-m", "foo"), ("-m foo", "size", "foo")),
                        (("-m", "-1"), ("size",)), (("-m", "1,foo=2"), ("foo", "slots")),
                        (("-m", "999999999T"), ("size",)), (("-m", "1G,maxmem=1M"), ("maxmem",)),
                        (("-m", "2G,maxmem=1G"), ("maxmem",)),
                        (("-m", "1G,slots=x"), ("slots",)),
                        (("-smp", "0"), ("-smp 0", "cpus")), (("-smp", "x"), ("cpus",)),
                        (("-smp", "cores=0"), ("cores",)), (("-smp", "1,modules=2"), ("modules",)),
                        (("-smp", ""), ("-smp",)), (("-smp", "99999999999999999999"), ("cpus",)),
                        (("-machine", "nope"), ("nope",)), (("-cpu", "nope"), ("nope",)),
                        (("-cpu", ""), ("-cpu",)), (("-device", "nope"), ("nope",)),
                        (("-device", ""), ("-device", "driver")), (("-device", "{"), ("-device",)),
                        (("-device", "[]"), ("-device",)), (("-uuid", "1"), ("-uuid",)),
                        (("-uuid", "12345678-1234-1234-1234-123456789abg"), ("-uuid",)),
                        (("-rtc", "base=nope"), ("base",)), (("-rtc", "clock=nope"), ("clock", "host")),
                        (("-action", "reboot=nope"), ("reboot",)), (("-action", "x=y"), ("x", "reboot")),
                        (("-boot", "order=z"), ("order",)), (("-boot", "order=aa"), ("order",)),
                        (("-d", "nope"), ("nope", "guest_errors")),
                        (("-display", "cocoa"), ("-display cocoa", "not built yet", "none")),
                        (("-D", "/nonexistent/x"), ("/nonexistent/x",)),
                        (("-mon", "chardev=nope"), ("nope",)), (("-mon", "c,mode=x"), ("mode", "control")),
                        (("-mon", "c,pretty=on"), ("pretty",)), (("-chardev", "null"), ("id",)),
                        (("-chardev", "nope,id=a"), ("nope",)), (("-serial", "nope"), ("nope",)),
                        (("-object", "nope,id=a"), ("nope",)), (("-object", "secret"), ("id",)),
                        (("-global", "x"), ("-global",)), (("-global", "a=b"), ("-global",)),
                        (("-name", "process="), ("process",)), (("-name", "a,b=c"), ("b", "guest")),
                        (("-pidfile", "/nonexistent/x"), ("/nonexistent/x",)),
                        (("-qmp", "unix:/nonexistent/x,server=on,wait=off"), ("/nonexistent/x",)),
                        (("-readconfig", "/nonexistent/x"), ("/nonexistent/x",)),
                        (("disk.img",), ("disk.img",)), (("-",), ("-",)), (("--",), ("--",))):
        refused(*argv, names=names)
    assert "-accel" in refused("-machine", "accel=qtest")


def what_is_not_built_is_refused_by_name():
    for argv, names in ((("-netdev", "vhost-vdpa,id=n"), ("-netdev", "vDPA")),
                        (("-nic", "netmap"), ("-nic netmap", "netmap")),
                        (("-vga", "std"), ("-vga std", "none")),
                        (("-M", "isapc", "-usb"), ("usb", "USB")),
                        (("-usbdevice", "nosuch"), ("-usbdevice", "nosuch", "keyboard, mouse, tablet")),
                        (("-bios", "x"), ("-bios", "firmware")),
                        (("-gdb", "nosuch:1"), ("-gdb", "nosuch")),
                        (("-icount", "shift=1,rr=record,rrfile=x"), ("-icount", "recording")),
                        (("-overcommit", "cpu-pm=on"), ("-overcommit", "-accel kvm", "cpu-pm=off")),
                        (("-M", "microvm,vmport=on"), ("-machine", "vmport", "VMware", "off, auto")),
                        (("-M", "none,usb=on"), ("-machine", "usb")),
                        (("-M", "pc,cxl-fmw.0.size=1G"), ("-machine", "cxl-fmw", "CXL")),
                        (("-M", "pc,sgx-epc.0.node=0"), ("sgx-epc",)),
                        (("-M", "pc,memory_encryption=x"), ("memory", "encrypted"))):
        refused(*argv, names=names)
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write('[drive "d"]\n  file = "x"\n')
        file.flush()
        refused("-readconfig", file.name, names=("-drive", "cannot open 'x'"))
    if "kvm" not in run("-accel", "help").stdout:
        done = run("-M", "none", "-display", "none", "-enable-kvm")
        assert done.returncode == 1 and ": -enable-kvm: " in done.stderr and "kvm" in done.stderr, done
    assert "-hda:" not in refused("image.qcow2", names=("image.qcow2", "cannot open"))
    assert "-kernel" in refused("kernel", names=("dash",))


def log_items_that_nothing_logs_are_refused():
    for item, missing in (("op_opt", "intermediate code"), ("plugin", "plugins"), ("int,strace", "single programs")):
        refused("-d", item, names=("-d " + item, "not built yet", missing))
    listed = run("-d", "help").stdout
    for item in ("in_asm", "out_asm", "exec", "nochain", "int", "cpu_reset", "guest_errors", "unimp", "cpu", "mmu",
                 "pcall", "op", "page"):
        assert item in listed
        starts("-d", item, "-D", "/dev/null")
    assert "op_opt" not in listed and "strace" not in listed
    starts("-d", "all", "-D", "/dev/null")


def log_that_nobody_would_see_is_told():
    with tempfile.TemporaryDirectory() as where:
        pid = os.path.join(where, "pid")
        for log, told in (((), True), (("-D", os.path.join(where, "log")), False)):
            done = run(*BASE, "-S", "-daemonize", "-pidfile", pid, "-d", "int", *log)
            assert done.returncode == 0 and ("-d without -D" in done.stderr) == told, done
            with open(pid, encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGTERM)
            end = time.monotonic() + TIMEOUT
            while os.path.exists(pid):
                assert time.monotonic() < end, "the daemon does not end"
                time.sleep(0.01)


def switching_off_what_is_not_there_succeeds():
    for argv in (("-nic", "none"), ("-vga", "none"), ("-parallel", "none"), ("-no-hpet",), ("-no-acpi",),
                 ("-M", "pc,vmport=off"), ("-M", "pc,vmport=auto"), ("-M", "none,usb=off"),
                 ("-M", "pc,usb=no"), ("-M", "pc,smm=off,nvdimm=off,hmat=off"),
                 ("-M", "pc,kernel_irqchip=off"), ("-display", "none"), ("-display", "none,gl=off"),
                 ("-net", "none"), ("-audio", "none"), ("-audio", "driver=none"),
                 ("-audiodev", "none,id=snd0"), ("-audiodev", '{"driver":"none","id":"audio1"}'),
                 ("-vnc", "none"), ("-gdb", "none"), ("-debugcon", "none"), ("-sandbox", "off"),
                 ("-sandbox", "off,spawn=deny"), ("-overcommit", "mem-lock=off"),
                 ("-overcommit", "cpu-pm=off,mem-lock=no"), ("-k", "en-us"), ("-no-fd-bootchk",),
                 ("-watchdog-action", "reset"), ("-watchdog-action", "action=pause"), ("-run-with", "async-teardown=off"),
                 ("-semihosting-config", "enable=off"), ("-compat", "deprecated-input=accept"),
                 ("-m", "0")):
        starts(*argv)


def mistakes_get_a_hint():
    for argv, names in ((("-KERNEL", "x"), ("-KERNEL", "near names: kernel")),
                        (("-kernel=x",), ("word of its own", "-kernel x")),
                        (("-drive=x",), ("word of its own", "-drive x")),
                        (("-machin", "x"), ("near names", "machine"))):
        refused(*argv, names=names)
    assert "near names" not in refused("-q")
    for argv, names in ((("-object", "foo"), ("known: ", "secret")),
                        (("-object", "foo,id=x"), ("known: ", "secret")),
                        (("-object", "secret"), ("'id'",)),
                        (("-chardev", "foo"), ("known: ", "ringbuf")),
                        (("-device", "x.so"), ("slash", "./x.so")), (("-object", "x.so"), ("./x.so",)),
                        (("-chardev", "x.so"), ("./x.so",)), (("-M", "x.so"), ("./x.so",))):
        refused(*argv, names=names)


def errors_name_their_option_once():
    """Also those that are found only when the machine is made."""
    for argv, option in ((("-m", "99999G"), "-m"), (("-m", "32M,maxmem=16M"), "-m"), (("-m", "x"), "-m"),
                         (("-m", "16M,slots=2"), "-m"), (("-M", "isapc", "-m", "16M,maxmem=32M"), "-m"),
                         (("-smp", "999"), "-smp"), (("-smp", "cpus=2,cores=3"), "-smp"),
                         (("-accel", "foo"), "-accel"), (("-accel", "qtest,x=1"), "-accel"),
                         (("-machine", "accel=foo"), "-machine"), (("-machine", "none,x=1"), "-machine"),
                         (("-machine", "pc,acpi=7"), "-machine"), (("-cpu", "foo"), "-cpu"),
                         (("-M", "pc", "-accel", "interp", "-cpu", "qemu64,+f"), "-cpu"),
                         (("-M", "pc", "-accel", "interp", "-cpu", "qemu64,,x"), "-cpu"),
                         (("-echr", "x"), "-echr"), (("-modules", "preload=nope"), "-modules"),
                         (("-modules", "x"), "-modules"), (("-fw_cfg", "x"), "-fw_cfg"),
                         (("-fw_cfg", "name=x,file=/nonexistent/x"), "-fw_cfg"),
                         (("-serial", "file:"), "-serial"), (("-chardev", "file,id=a"), "-chardev"),
                         (("-kernel", "x"), "-kernel"), (("-M", "pc", "-initrd", "x"), "-initrd"),
                         (("-mon", "nope"), "-mon")):
        # of what is given twice, the later counts
        base = ["-nodefaults", "-display", "none", "-S"] + ([] if "-accel" in argv or
                "accel=foo" in argv else ["-accel", "qtest"])
        done = run(*base, *argv)
        lines = done.stderr.strip().split("\n")
        assert done.returncode == 1 and len(lines) == 1, (argv, done)
        text = lines[0].removeprefix("backplane-system-x86_64: ")
        assert text.startswith(option), (argv, text)
        assert not re.search(": '?%s[ :]" % option, text), (argv, text)
        assert "::" not in text, (argv, text)
    for argv, words in ((("-global", "secret.data=x", "-object", "secret,id=s,file=/x"), ("data",)),
                        (("-M", "pc", "-global", "isa-serial.irq=x", "-device", "isa-serial"), ("-global isa-serial.irq=x: ", "irq")),
                        (("-initrd", "x"), ("-initrd needs -kernel",)),
                        (("-append", "x"), ("-append needs -kernel",)),
                        (("-cpu", "qemu64"), ("-cpu: machine 'none' has no processor",)),
                        (("-action", "watchdog=bark"), ("watchdog", "bark", "inject-nmi")),
                        (("-readconfig", "/nonexistent"), ("/nonexistent: No such file",)),
                        (("-readconfig", "/"), ("-readconfig /: ",)),
                        (("-readconfig", "/dev/zero"), ("at most 1 MiB",))):
        refused(*argv, names=words)
    starts("-action", "watchdog=reset")
    done = run("-M", "pc,accel=", "-S", "-display", "none")
    assert done.returncode == 1 and "'accel'" in done.stderr, done
    assert "64T" in refused("-m", "99999G")
    assert "-cpu MODEL,help" in run("-M", "pc", "-S", "-accel", "interp", "-cpu", "qemu64,+f").stderr
    assert "-kernel" in refused("-kernel", "/dev/null", names=("none",))


def files_of_a_direct_start_are_looked_at():
    """A head as the kernel's boot protocol has it (2.15), and code that halts."""
    head = bytearray(4096)
    head[0x1f1] = 1
    head[0x1fe:0x208] = b"\x55\xaa\xeb\x66HdrS\x0f\x02"
    head[0x211] = 1
    for offset, value in ((0x214, 0x100000), (0x22c, 0x7fffffff), (0x238, 2047), (0x258, 0x100000),
                          (0x260, 4096)):
        head[offset:offset + 4] = value.to_bytes(4, "little")
    with tempfile.TemporaryDirectory() as where:
        for name, data in (("kernel", bytes(head) + b"\xf4" * 4096), ("initrd", b"x"), ("empty", b"")):
            with open(os.path.join(where, name), "wb") as file:
                file.write(data)
        kernel, initrd, empty, pipe = (os.path.join(where, n) for n in ("kernel", "initrd", "empty", "pipe"))
        os.mkfifo(pipe)  # nobody writes to it
        base = ("-M", "pc", "-accel", "qtest", "-nodefaults", "-display", "none", "-m", "16")
        for argv, words in ((("-kernel", kernel, "-initrd", empty), ("-initrd", empty, "empty")),
                            (("-kernel", empty), ("-kernel", empty)),
                            (("-kernel", kernel, "-initrd", where), ("-initrd", "regular file")),
                            (("-kernel", pipe), ("-kernel", "regular file")),
                            (("-initrd", initrd), ("-initrd", "-kernel")),
                            (("-append", "x"), ("-append", "-kernel"))):
            done = run(*base, *argv)
            assert done.returncode == 1 and all(w in done.stderr for w in words), (argv, done)
        done = run(*base, "-kernel", kernel, "-initrd", initrd, "-monitor", "stdio", text="quit\n")
        assert done.returncode == 0 and not done.stderr, done


def few_descriptors_are_told_as_such():
    said = set()
    for most in range(4, 14):
        done = subprocess.run(["bash", "-c", "ulimit -n %d; exec \"$@\"" % most, "-", PROGRAM, "-M", "pc",
                               "-accel", "qtest", "-display", "none", "-monitor", "stdio"], input="quit\n",
                              capture_output=True, text=True, timeout=TIMEOUT)
        assert "needs library" not in done.stderr, (most, done)
        if done.returncode:
            assert done.returncode == 1 and "oo many open files" in done.stderr, (most, done)
            said.add(most)
    assert said, "no limit was low enough"


def configuration_file_gives_options():
    with tempfile.TemporaryDirectory() as where:
        path = os.path.join(where, "file")

        def write(text):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        write('# a comment\n[name]\n  guest = "from file"\n[memory]\n size = "32M"\n'
              '[chardev "c0"]\n backend = "null"\n[global]\n driver = "isa-serial"\n'
              ' property = "irq"\n value = "3"\n[rtc]\n base = utc\n')
        done = run(*BASE, "-readconfig", path, "-monitor", "stdio", text="info name\ninfo chardev\nquit\n")
        assert done.returncode == 0, done
        assert "from file" in done.stdout and "c0" in done.stdout
        for bad in ("key = 1\n", "[name\n", "[name id]\n", "[]\n", "[nope]\nx = 1\n", "[name]\nguest\n",
                    '[name]\nguest = "x\n', "[m]\nnope = 1\n", "[S]\n", "[name]\nguest=\xff\n"):
            write(bad)
            if "\xff" in bad:
                with open(path, "wb") as f:
                    f.write(b"[name]\nguest = \xff\n")
            refused("-readconfig", path, names=(path,))


def the_owner_s_file_comes_first():
    """It stands in a folder that only this test sees."""
    shown = re.search(r"-no-user-config.*?does not read (\S+),", run("-help").stdout, re.S)
    path = shown.group(1)
    there = os.path.dirname(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)

    def with_file(text, *argv):
        script = 'mount -t tmpfs none "$1" && mkdir -p "$2" && printf %s "$4" > "$3" && shift 4 && exec "$@"'
        return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", there, os.path.dirname(path), path, text,
                               PROGRAM, *BASE, *argv, "-monitor", "stdio"], input="info name\nquit\n",
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)

    if there == "/" or os.geteuid() != 0 or with_file("").returncode == 32:
        raise Skip("no folder can be mounted over " + there)
    named = '[name]\n guest = "of the owner"\n'
    assert "of the owner" in with_file(named).stdout
    assert "mine" in with_file(named, "-name", "mine").stdout
    assert "of the owner" not in with_file(named, "-no-user-config").stdout
    done = with_file("[nope]\nx = 1\n")
    assert done.returncode == 1 and path in done.stderr and "nope" in done.stderr, done


def defaults_are_described():
    done = run("-M", "none", "-accel", "qtest", "-display", "none", "-monitor", "stdio", text="quit\n")
    assert done.returncode == 0 and not done.stderr, done
    done = run("-M", "none", "-accel", "qtest", "-monitor", "stdio", text="quit\n")
    assert done.returncode == 0 and "-nographic" in done.stderr, done
    done = run("-M", "none", "-accel", "qtest", "-nographic", text="\x01cinfo status\nquit\n")
    assert done.returncode == 0 and "(qemu)" in done.stdout, done
    done = run("-M", "none", "-accel", "qtest", "-nographic", text="\x01x")
    assert done.returncode == 0, done
    assert "-nodefaults" in run("-M", "none", "-accel", "qtest", "-nographic", "-daemonize").stderr


def random_options_do_no_harm():
    rng = random.Random(3)
    names = ["-m", "-smp", "-machine", "-cpu", "-accel", "-name", "-uuid", "-rtc", "-msg", "-action",
             "-boot", "-device", "-object", "-global", "-chardev", "-mon", "-d", "-display", "-foo"]
    bits = ["a", "1", "=", ",", ",,", ".", "0", "{", "}", "[", "]", '"', ":", "help", "?", "on", "-", "%s",
            "size", "cpus", "id", "type", "none", "\u00e9", "999999999999999999999", " ", "isa-serial"]
    for _ in range(250):
        argv = list(BASE)
        for _ in range(rng.randrange(1, 4)):
            argv += [rng.choice(names), "".join(rng.choice(bits) for _ in range(rng.randrange(6)))]
        done = run(*argv, "-nope-at-the-end")
        assert done.returncode in (0, 1), (argv, done)


TESTS = [version_is_parsed_by_clients, help_arguments_list_and_end, good_options_start,
         bad_options_are_refused, what_is_not_built_is_refused_by_name,
         log_items_that_nothing_logs_are_refused, log_that_nobody_would_see_is_told, switching_off_what_is_not_there_succeeds, mistakes_get_a_hint, errors_name_their_option_once,
         few_descriptors_are_told_as_such, files_of_a_direct_start_are_looked_at,
         configuration_file_gives_options, the_owner_s_file_comes_first, defaults_are_described, random_options_do_no_harm]


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {number} {test.__name__}", flush=True)
        except Skip as why:
            print(f"ok {number} {test.__name__} # SKIP {why}", flush=True)
        except Exception as error:  # a test that fails must not stop the others
            failed += 1
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            print(f"not ok {number} {test.__name__}\n# {text[:700]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
