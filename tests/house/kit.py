#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kit: every template builds with meson and with make, passes its own test and `check`, and loads
in the emulator; `info`, `list`, `graph`, `index` tell of the modules of the build; `check` finds what
is wrong with modules that are wrong on purpose.

usage: kit.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from qmp import Emulator
from tap import Skip, run, work_folder

SOURCE, BUILD = sys.argv[1:3]
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
TOOL = os.path.join(BUILD, "backplane-module")
MODULES = os.path.join(BUILD, "modules")
WORK = work_folder("backplane-kit-")
SANITIZED = bool(os.environ.get("BP_SANITIZED"))
ENV = {**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "meson-uninstalled"),
       # The tool has the sanitizer's run-time library, the modules made here need none.
       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
KINDS = ["isa-device", "pci-device", "block-driver", "chardev", "netdev", "nic", "display", "object", "command", "option",
         "hmp-command", "framework", "usb-device"]


def tool(*arguments, **options):
    options.setdefault("env", ENV)
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, **options)


def good(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENV, **options)
    assert done.returncode == 0, "%s\n%s%s" % (command, done.stdout, done.stderr)
    assert "warning:" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def each(function, items):
    """Two at a time: the first exception is ours."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


# ---- templates ----

def folder_of(kind):
    return os.path.join(WORK, "my-" + kind)


def new_writes_each_kind():
    for kind in KINDS:
        done = tool("new", kind, "my-" + kind, "-C", folder_of(kind))
        assert done.returncode == 0, done.stderr
        wanted = {"Makefile", "meson.build", "my-%s.c" % kind, "test-my-%s.c" % kind,
                  "my-%s.md" % kind} | ({"my-framework.h"} if kind == "framework" else set())
        assert set(os.listdir(folder_of(kind))) == wanted, os.listdir(folder_of(kind))
        for name in wanted:
            with open(os.path.join(folder_of(kind), name)) as f:
                assert not any(p in f.read() for p in ("@name@", "@ident@", "@IDENT@", "@module@")), name


def each_template_builds_and_passes_with_make():
    def build(kind):
        said = good("make", "-s", "-C", folder_of(kind), "all" if SANITIZED else "check")
        assert SANITIZED or " 0 not ok, 0 warnings" in said, said
    each(build, KINDS)


def each_template_builds_and_passes_with_meson():
    def build(kind):
        out = os.path.join(folder_of(kind), "out")
        good("meson", "setup", "--werror", out, folder_of(kind))
        good("ninja", "-C", out, *(["my-%s.so" % kind] if SANITIZED else []))
        if not SANITIZED:
            good("meson", "test", "-C", out, "--no-rebuild", "--print-errorlogs")
    each(build, KINDS)


def each_template_loads_in_the_emulator():
    path = ":".join(folder_of(kind) for kind in KINDS)
    with Emulator(PROGRAM, "-module-dir", path, "-machine", "pc", "-device", "my-isa-device,id=i",
                  "-device", "my-pci-device,id=p,addr=5", "-chardev", "my-chardev,id=c",
                  "-blockdev", "driver=my-block-driver,node-name=b,size=4k", "-netdev", "my-netdev,id=n",
                  "-device", "my-nic,netdev=n", "-device", "qemu-xhci", "-device", "my-usb-device",
                  "-object", "my-object,id=o,level=3", "-my-option", "4,quiet=on", "-display", "my-display",
                  "-my-framework", "plain,id=f,level=7") as e:
        assert e.command("qom-get", path="/my-framework/f", property="level") == {"return": 7}
        assert e.command("my-command", value=-7) == {"return": -7}
        said = e.command("human-monitor-command", command_line="my-hmp-command 42")["return"]
        assert "the value is 42" in said, said
        modules = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
        for kind in KINDS:
            assert modules["my-" + kind]["state"] == "loaded", modules["my-" + kind]


def new_refuses_what_it_cannot_write():
    for kind, said in (("nope", "there is no kind nope"),
                       ("common", "there is no kind"), ("../kit", "there is no kind"),
                       ("audio-backend", "audio/1")):
        done = tool("new", kind, "x", "-C", os.path.join(WORK, "x"))
        assert done.returncode == 2 and said in done.stderr and "isa-device" in done.stderr, done
    for name in ("Bad", "../x", "a--b", "-x", "x-", "9x", ""):
        assert tool("new", "object", name, "-C", os.path.join(WORK, "x")).returncode == 2, name
    before = open(os.path.join(folder_of("object"), "Makefile")).read()
    done = tool("new", "object", "my-object", "-C", folder_of("object"))
    assert done.returncode == 2 and "exists already" in done.stderr, done.stderr
    assert open(os.path.join(folder_of("object"), "Makefile")).read() == before


def make_install_puts_it_where_it_is_told():
    stage = os.path.join(WORK, "stage")
    good("make", "-s", "-C", folder_of("object"), "install", "DESTDIR=" + stage,
         "BACKPLANE_MODULEDIR=/modules")
    assert os.listdir(os.path.join(stage, "modules")) == ["my-object.so"]
    place = os.path.join(WORK, "place")
    good("make", "-s", "-C", folder_of("object"), "install", "BACKPLANE_MODULEDIR=" + place)
    assert sorted(os.listdir(place)) == ["modules.idx", "my-object.so"]


def one_line_builds_a_module():
    """With the libraries before the source, too."""
    source = os.path.join(folder_of("isa-device"), "my-isa-device.c")
    for number, order in enumerate(('$(pkg-config --cflags --libs backplane) "$1"',
                                    '"$1" $(pkg-config --cflags --libs backplane)')):
        out = os.path.join(WORK, "one-line-%d.so" % number)
        good("sh", "-c", "cc %s -shared -fPIC -o \"$2\"" % order, "sh", source, out)
        said = json.loads(tool("info", "--json", out).stdout)
        assert "libbackplane.so.1" in said["libraries"], said["libraries"]
        assert all(s["version"] == "BACKPLANE_1.0" for s in said["symbols"]), said["symbols"]


# ---- looking at modules ----

def info_tells_what_a_module_has():
    said = tool("info", "hw-debug-exit")
    assert said.returncode == 0, said.stderr
    for text in ("device isa-debug-exit (bus=isa;user=yes)", "property iobase: uint32 = 0x501",
                 "requires      isa/1", "tier          public", "bp_device_state BACKPLANE_1.0"):
        assert text in said.stdout, said.stdout
    json_said = json.loads(tool("info", "--json", os.path.join(MODULES, "hw-debug-exit.so")).stdout)
    assert json_said["requires"] == ["isa/1"] and len(json_said["build-id"]) == 40, json_said
    fields = json_said["provides"][0]["fields"]
    assert [f["name"] for f in fields] == ["iobase", "iosize"], fields
    for path in sorted(os.listdir(MODULES)):
        if path.endswith(".so"):
            data = json.loads(tool("info", "--json", os.path.join(MODULES, path)).stdout)
            assert data["provides"] and "problem" not in data and "unfit" not in data, data


def info_refuses_what_is_no_module():
    for name, text in (("hw-debug-exti", "hw-debug-exit"), ("/dev/null", "not a regular file"),
                       (PROGRAM, ""), (os.path.join(WORK, "absent.so"), "No such file")):
        done = tool("info", name)
        assert done.returncode == 1 and text in done.stderr and done.stderr.count("\n") == 1, done


def list_shows_states_and_reasons():
    folder = os.path.join(WORK, "listed")
    os.mkdir(folder)
    shutil.copy(os.path.join(MODULES, "isa.so"), folder)
    with open(os.path.join(folder, "bad.so"), "w") as f:
        f.write("no ELF")
    done = tool("list", folder)
    assert done.returncode == 0 and done.stdout.count("\n") == 2, done.stdout
    assert "bad                  failed" in done.stdout and "is not an ELF" in done.stdout, done.stdout
    assert "bus:isa" in done.stdout, done.stdout
    names = [m["name"] for m in
             json.loads(tool("list", "--json", "--provides", "chardev").stdout)["modules"]]
    assert "chardev-null" in names and "isa" not in names, names
    done = tool("list", "--provides", "nope")
    assert done.returncode == 2 and "kinds: device, bus" in done.stderr, done.stderr


def graph_shows_who_needs_whom():
    text = tool("graph", MODULES).stdout
    assert "hw-debug-exit\n    isa/1: isa\n" in text, text
    dot = tool("graph", "--dot").stdout
    assert dot.startswith("digraph") and '"hw-debug-exit" -> "isa" [label="isa/1"];' in dot, dot


def index_is_written():
    folder = os.path.join(WORK, "stage-index/usr/modules")
    os.makedirs(folder)
    shutil.copy(os.path.join(MODULES, "isa.so"), folder)
    done = tool("index", "-b", os.path.join(WORK, "stage-index"), "/usr/modules")
    assert done.returncode == 0 and "1 modules provide" in done.stdout, done
    assert "modules.idx" in os.listdir(folder)
    assert tool("index", os.path.join(WORK, "nowhere")).returncode == 2
    assert tool("index").returncode == 2


def wrong_usage_is_told():
    for arguments in ((), ("nope",), ("info",), ("info", "--nope", "x"), ("check",),
                      ("check", "--seed", "x", "isa"), ("check", "--seed"), ("new", "object"),
                      ("list", "/nowhere"), ("graph", "/nowhere"), ("new", "object", "a", "b")):
        done = tool(*arguments)
        assert done.returncode == 2 and done.stderr, (arguments, done)
    for name in ("index", "info", "list", "graph", "check", "new"):
        done = tool(name, "--help")
        assert done.returncode == 0 and done.stdout.startswith("usage: backplane-module " + name)


# ---- check ----

def modules_of_the_build_pass():
    paths = sorted(os.path.join(MODULES, n) for n in os.listdir(MODULES) if n.endswith(".so"))
    done = tool("check", "--json", "--accesses", "5000", *paths)
    reports = json.loads(done.stdout)
    bad = [(r["file"], f) for r in reports for f in r["results"] if f["verdict"] == "not ok"]
    assert done.returncode == 0 and not bad, bad
    assert len(reports) == len(paths)
    elsewhere = {f["check"] for r in reports for f in r["results"] if "not for this tool's machine" in f["text"]}
    assert elsewhere == {"device intel-iommu", "device virtio-iommu-pci", "device virtio-iommu-device"}, elsewhere
    tried = {f["check"] for r in reports for f in r["results"] if "random accesses" in f["text"]}
    assert {"device isa-serial", "device PIIX4_PM", "device hpet"} <= tried, tried


DEVICE = """
#include <stdlib.h>
#include <unistd.h>
#include <bp/bus/isa.h>
#include <bp/clock.h>
struct wrong { uint16_t iobase; uint8_t value; uint8_t count; };
static const struct bp_field wrong_props[] = {
    %(prop)s,
    BP_FIELDS_END};
static const struct bp_state_field wrong_fields[] = {%(save)s, BP_SAVE_END};
static const struct bp_state_table wrong_state = {
    .name = "wrong", .version = 1, .oldest = 1, .fields = wrong_fields};
BP_USE(isa, struct bp_isa_interface, "isa", 1);
static uint64_t wrong_read(void *opaque, uint64_t addr, unsigned size)
{
    struct wrong *s = opaque;
    (void)s;
    %(read)s
    return 0;
}
static void wrong_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct wrong *s = opaque;
    s->value = (uint8_t)value;
}
static const struct bp_region_ops wrong_ops = {
    .size = sizeof(wrong_ops), .read = wrong_read, .write = wrong_write, .max_access = 1};
static void fire(void *opaque) {}
static int wrong_attach(struct bp_device *dev, struct bp_error *err)
{
    struct wrong *s = bp_device_state(dev);
    (void)fire;
    %(attach)s
    return isa->add_ports(dev, s->iobase, 1, "wrong", &wrong_ops, s, NULL, err);
}
static void wrong_reset(struct bp_device *dev)
{
    struct wrong *s = bp_device_state(dev);
    (void)s;
    %(reset)s
}
%(extra)s
BP_DEVICE(wrong, "wrong", %(bus)s, "Wrong", struct wrong, wrong_props, &wrong_state,
          .attach = wrong_attach, .reset = wrong_reset);
static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("wrong", "Wrong", imports, {BP_PROVIDE_DEVICE, &wrong});
"""
RIGHT = {"prop": 'BP_PROP("iobase", UINT16, struct wrong, iobase, "0x300", "I/O port")',
         "save": "BP_SAVE(UINT8, struct wrong, value)", "read": "", "attach": "",
         "reset": "s->value = 0;", "extra": "", "bus": '"isa"'}
# What is wrong: name: (what differs, what the report must say).
WRONG = {
    "nothing": ({}, None),
    "crash-in-attach": ({"attach": "*(volatile int *)8 = 1;"}, "crashes: Segmentation fault, while "
                                                               "it was attached"),
    "abort-in-read": ({"read": "abort();"}, "crashes: Aborted, during random accesses"),
    "exit-in-read": ({"read": "_Exit(0);"}, "ends the process with status 0, during random"),
    "hang-in-reset": ({"reset": "for (;;) { __asm__ volatile(\"\"); }"}, "hangs: not done after 2 "),
    "closes-and-hangs": ({"reset": "for (int i = 3; i < 99; i++) close(i); for (;;) pause();"}, "hangs: "),
    "leaks-region": ({"attach": 'bp_region_add(bp_space_root(bp_device_io(dev)), bp_region_new_io('
                                'NULL, "wrong2", 1, &wrong_ops, s), 0x400, 0);'},
                     "leaves 1 memory regions behind"),
    "leaks-timer": ({"attach": "bp_timer_set(bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, fire, s), "
                               "1000000000000);"}, "leaves a timer behind"),
    "default-out-of-range": ({"prop": 'BP_PROP_RANGE("iobase", UINT16, struct wrong, iobase, "99", '
                                      '100, 200, "I/O port")'},
                             "the default of property iobase, 99, is not one that it takes"),
    "no-help": ({"prop": 'BP_PROP("iobase", UINT16, struct wrong, iobase, "1", NULL)'},
                "property iobase has no help text"),
    "empty-range": ({"prop": 'BP_PROP_RANGE("iobase", UINT16, struct wrong, iobase, NULL, 9, 8, "x")'},
                    "takes 9 to 8, which is nothing"),
    "field-outside": ({"prop": '{.name = "iobase", .kind = BP_KIND_UINT16, .offset = 1000, '
                               '.help = "x"}'}, "lies at byte 1000 of a state of 4 bytes"),
    "saves-outside": ({"save": '{.name = "x", .kind = BP_STATE_BUFFER, .offset = 2, .count = 64, '
                               '.stride = 1}'}, "ends at byte 66 of a state of 4 bytes"),
    "saves-too-little": ({"read": "s->count++;", "save": "BP_SAVE(UINT8, struct wrong, value)",
                          "extra": "static int shift(void *state, uint32_t v, struct bp_error *e) "
                                   "{ ((struct wrong *)state)->value++; return 0; }\n"
                                   "#define wrong_state shifting\nstatic const struct "
                                   "bp_state_table shifting = {.name = \"wrong\", .version = 1, "
                                   ".oldest = 1, .fields = wrong_fields, .after_load = shift};"},
                         "saved state changed by loading it"),
    "forgets-register": ({"read": "s->count++; return s->count;"},
                         "bytes 3 to 3 of its state change while it is used and do not come back"),
    "unknown-bus": ({"bus": '"eisa"'}, "sits on bus eisa, and so can never be attached: No bus 'eisa'"),
    "notes-lie": ({"extra": 'BP_NOTE("provides=device:other;bus=isa;user=yes;summary=Other");'},
                  "its notes say provides=device:other"),
    "undeclared-import": ({"extra": "#undef BP_IMPORT\nstatic const void *pci;\n#define BP_IMPORT("
                                    "a, b, c) {b, c, 0, (const void **)&a}, {\"pci\", 1, 0, &pci}"},
                          "imports pci/1, which its notes do not list"),
    "constructor": ({"extra": "__attribute__((constructor)) static void early(void) {}"},
                    "1 functions run as soon as it is loaded"),
    "private-symbol": ({"extra": "const char *bpc_program_name(void);\n"
                                 "__attribute__((used)) static const char *use(void) "
                                 "{ return bpc_program_name(); }"},
                       "bpc_program_name is of BACKPLANE_PRIVATE"),
    "two-of-a-name": ({"prop":
                            'BP_PROP("iobase", UINT16, struct wrong, iobase, "0x300", "I/O port"),'
                            '{.name = "iobase", .kind = BP_KIND_BOOL, .offset = 2, .help = "x"}'},
                           "there are two of property iobase"),
}


def build_wrong(name):
    text = DEVICE % {**RIGHT, **WRONG[name][0]}
    source = os.path.join(WORK, name + ".c")
    with open(source, "w") as f:
        f.write(text)
    good("sh", "-c", 'cc -shared -fPIC -fvisibility=hidden -o "$2" "$1" $(pkg-config --cflags '
         '--libs backplane)', "sh", source, os.path.join(WORK, name + ".so"))


def check_finds_what_is_wrong():
    each(build_wrong, WRONG)

    def look(name):
        done = tool("check", "--timeout", "2" if "hang" in name else "20", "--accesses", "2000",
                    os.path.join(WORK, name + ".so"))
        text = WRONG[name][1]
        if text is None:
            assert done.returncode == 0 and "not ok -" not in done.stdout, done.stdout
        elif name == "constructor":
            assert done.returncode == 0 and text in done.stdout, done.stdout
            assert "warning - constructors" in done.stdout, done.stdout
        else:
            lines = [s for s in done.stdout.splitlines() if s.startswith("not ok")]
            assert done.returncode == 1 and any(text in s for s in lines), (name, done.stdout)
    each(look, [n for n in WRONG if not (SANITIZED and n.startswith(("crash", "abort")))])


def check_finds_functions_that_can_never_be_attached():
    with open(os.path.join(folder_of("pci-device"), "my-pci-device.c")) as f:
        right = f.read()
    for name, old, new, text in (
            ("no-pci-info", r"\.bus_info = &my_pci_device_pci,\s*", "",
             "can never be attached: device type 'my-pci-device' does not describe its PCI function"),
            ("odd-bar", "#define BAR_SIZE 0x1000u", "#define BAR_SIZE 3000u",
             "can never be attached: PCI: BAR 0 has an impossible size of 0xbb8")):
        source, out = (os.path.join(WORK, name + suffix) for suffix in (".c", ".so"))
        changed = re.sub(old, new, right)
        assert changed != right, name
        with open(source, "w") as f:
            f.write(changed)
        good("sh", "-c", 'cc -shared -fPIC -fvisibility=hidden -o "$2" "$1" $(pkg-config --cflags '
             '--libs backplane)', "sh", source, out)
        done = tool("check", out)
        lines = [s for s in done.stdout.splitlines() if s.startswith("not ok")]
        assert done.returncode == 1 and any(text in s for s in lines), done.stdout


def check_finds_writes_outside_of_the_state():
    """With the sanitizer, which the tool must have been built with, too."""
    if not SANITIZED:
        raise Skip("this build has no AddressSanitizer")
    WRONG["writes-outside"] = ({"read": "s[addr + 100].value = 1;"}, "")
    build_wrong("writes-outside")
    source = os.path.join(WORK, "writes-outside.c")
    out = os.path.join(WORK, "writes-outside.so")
    good("sh", "-c", 'cc -fsanitize=address -shared -fPIC -fvisibility=hidden -o "$2" "$1" '
         '$(pkg-config --cflags --libs backplane)', "sh", source, out)
    done = tool("check", out)
    assert done.returncode == 1 and "during random accesses" in done.stdout, done.stdout


def the_same_seed_gives_the_same_report():
    path = os.path.join(MODULES, "hw-mc146818.so")
    first = tool("check", "--seed", "7", path)
    assert first.returncode == 0 and first.stdout == tool("check", "--seed", "7", path).stdout


run([new_writes_each_kind, each_template_builds_and_passes_with_make,
     each_template_builds_and_passes_with_meson, each_template_loads_in_the_emulator,
     new_refuses_what_it_cannot_write, make_install_puts_it_where_it_is_told,
     one_line_builds_a_module, info_tells_what_a_module_has, info_refuses_what_is_no_module,
     list_shows_states_and_reasons, graph_shows_who_needs_whom, index_is_written,
     wrong_usage_is_told, modules_of_the_build_pass, check_finds_what_is_wrong,
     check_finds_functions_that_can_never_be_attached,
     check_finds_writes_outside_of_the_state, the_same_seed_gives_the_same_report])
