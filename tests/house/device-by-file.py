#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""From one cc command to a device that answers: -device ./mydev.so, and device_add by path.

usage: device-by-file.py SOURCE-ROOT BUILD-ROOT
"""
import os
import shutil
import subprocess
import sys

SOURCE, BUILD = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
os.environ["BACKPLANE_BUILD"] = BUILD
sys.path.insert(0, os.path.join(SOURCE, "tests", "qtest"))

from qmp import Emulator, cpu_seconds, fails  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("backplane-by-file-")
ENV = {**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "meson-uninstalled")}

ISA_DEVICE = r"""
#include <bp/bus/isa.h>
#include <fcntl.h>
#include <unistd.h>

struct adder { uint16_t iobase; uint8_t sum; };
static const struct bp_field props[] = {
    BP_PROP("iobase", UINT16, struct adder, iobase, "0x300", "I/O port"), BP_FIELDS_END};
BP_USE(isa, struct bp_isa_interface, "isa", 1);

static uint64_t get(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct adder *)opaque)->sum;
}
static void add(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct adder *)opaque)->sum += (uint8_t)value;
}
static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = get, .write = add, .max_access = 1};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct adder *a = bp_device_state(dev);
    return isa->add_ports(dev, a->iobase, 1, "adder", &ops, a, NULL, err);
}
/* Tells that code of this file ran. */
static int started(struct bp_error *err)
{
    close(open("started", O_CREAT | O_WRONLY, 0600));
    return 0;
}
BP_HOTPLUG_DEVICE(adder, "my-adder", "isa", "Adds what is written", struct adder, props, NULL,
                  .attach = attach);
static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE_WITH_INIT("my-adder", "An adder", imports, started, {BP_PROVIDE_DEVICE, &adder});
"""
PCI_DEVICES = r"""
#include <bp/bus/pci.h>

struct card { uint64_t value; };
BP_USE(pci, struct bp_pci_interface, "pci", 1);

static uint64_t get(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct card *)opaque)->value + addr;
}
static void set(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct card *)opaque)->value = value;
}
static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = get, .write = set, .max_access = 4};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_region *bar = bp_region_new_io(bp_device_owner(dev), "card", 4096, &ops,
                                             bp_device_state(dev));
    return pci->add_bar(dev, 0, BP_PCI_BAR_MEM32, bar, err);
}
static const struct bp_pci_info one = {.size = sizeof(one), .vendor = 0x1b36, .device = 0xbeef,
                                       .class_code = 0x0880};
static const struct bp_pci_info two = {.size = sizeof(two), .vendor = 0x1b36, .device = 0xcafe,
                                       .class_code = 0x0880};
BP_DEVICE(card_one, "my-card", "pci", "A card", struct card, NULL, NULL, .attach = attach,
          .bus_info = &one);
#ifdef SEVERAL
BP_DEVICE(card_two, "my-other-card", "pci", "Another", struct card, NULL, NULL, .attach = attach,
          .bus_info = &two);
BP_BOARD_DEVICE(card_board, "my-part", "pci", "Not for users", struct card, NULL, NULL,
                .attach = attach, .bus_info = &two);
#endif
static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
#ifdef SEVERAL
BP_MODULE("my-cards", "Cards", imports, {BP_PROVIDE_DEVICE, &card_one},
          {BP_PROVIDE_DEVICE, &card_two}, {BP_PROVIDE_DEVICE, &card_board});
#else
BP_MODULE("my-card", "A card", imports, {BP_PROVIDE_DEVICE, &card_one});
#endif
"""


def compile_file(source, name, *flags):
    """The one command; it is what docs/modules.md shows."""
    with open(os.path.join(WORK, name + ".c"), "w", encoding="ascii") as f:
        f.write(source)
    done = subprocess.run("cc $(pkg-config --cflags backplane) -shared -fPIC %s -o %s.so %s.c "
                          "$(pkg-config --libs backplane)" % (" ".join(flags), name, name),
                          shell=True, cwd=WORK, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def machine(*devices):
    args = ["-M", "pc"]
    for device in devices:
        args += ["-device", device]
    return QTest(args)


def config(q, slot, offset):
    q.outl(0xcf8, 0x80000000 | slot << 11 | offset)
    return q.inl(0xcfc)


def from_cc_to_an_isa_device_that_answers():
    begun = cpu_seconds()
    compile_file(ISA_DEVICE, "mydev")
    with machine("./mydev.so,iobase=0x310") as q:
        q.outb(0x310, 40)
        q.outb(0x310, 2)
        assert q.inb(0x310) == 42
    seconds = cpu_seconds() - begun
    print("# from cc to the answer: %.2f s" % seconds)
    assert seconds < 10, seconds


def from_cc_to_a_pci_device_that_is_seen():
    begun = cpu_seconds()
    compile_file(PCI_DEVICES, "card")
    with machine("./card.so,addr=5") as q:
        assert config(q, 5, 0) == 0xbeef1b36, hex(config(q, 5, 0))
    seconds = cpu_seconds() - begun
    print("# from cc to the device's configuration space: %.2f s" % seconds)
    assert seconds < 10, seconds
    with Emulator(PROGRAM, "-machine", "pc", "-device", "./card.so,addr=5,id=c") as e:
        seen = e.command("human-monitor-command", command_line="info pci")["return"]
        assert "PCI device 1b36:beef" in seen, seen
        modules = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
        assert modules["my-card"]["origin"] == "path", modules["my-card"]
        assert modules["my-card"]["file"] == os.path.join(os.path.realpath(WORK), "card.so")


def help_does_not_run_its_code():
    if os.path.exists("started"):
        os.unlink("started")
    done = subprocess.run([PROGRAM, "-device", "./mydev.so,help"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0, done.stderr
    assert " options:" in done.stdout and "iobase" in done.stdout, done.stdout
    assert not os.path.exists("started")
    with machine("./mydev.so"):
        assert os.path.exists("started"), "the check above could not fail"


def of_several_one_must_be_named():
    compile_file(PCI_DEVICES, "cards", "-DSEVERAL")
    said = fails(PROGRAM, "-machine", "pc", "-device", "./cards.so")
    assert "has several: my-card, my-other-card; say which, as " in said and "cards.so:NAME" in said
    with machine("./cards.so:my-other-card,addr=6") as q:
        assert config(q, 6, 0) == 0xcafe1b36
    said = fails(PROGRAM, "-machine", "pc", "-device", "./cards.so:my-crad")
    assert "no device 'my-crad'; it has: my-card, my-other-card" in said, said
    said = fails(PROGRAM, "-machine", "pc", "-device", "./cards.so:my-part")
    assert "no device 'my-part'" in said, said
    shutil.copy("card.so", "a:b.so")  # a colon of the path's own
    with machine("./a:b.so,addr=7") as q:
        assert config(q, 7, 0) == 0xbeef1b36


def device_add_takes_a_path():
    with Emulator(PROGRAM, "-machine", "pc") as e:
        reply = e.command("device_add", driver=os.path.join(WORK, "mydev.so"), id="a", iobase=0x320)
        assert reply == {"return": {}}, reply
        reply = e.command("qom-get", path="/machine/peripheral/a", property="type")
        assert reply == {"return": "my-adder"}, reply
        # Known by now, so its name is enough.
        assert e.command("device_add", driver="my-adder", id="b", iobase=0x321) == {"return": {}}
        said = e.command("device_add", driver="/nonexistent/x.so", id="c")["error"]["desc"]
        assert "/nonexistent/x.so" in said and "No such file" in said, said
        assert "return" in e.command("query-status")


def what_is_no_module_is_refused():
    with open("text.so", "w", encoding="ascii") as f:
        f.write("int main;\n")
    for path, reason in (("./text.so", "is not an ELF file"), ("./none.so", "No such file"),
                         ("./", "not a regular file"), ("./mydev.c", "is not an ELF file")):
        said = fails(PROGRAM, "-machine", "pc", "-device", path)
        assert reason in said and path.lstrip("./") in said, (path, said)
    os.mkfifo("pipe.so")
    said = fails(PROGRAM, "-machine", "pc", "-device", "./pipe.so")
    assert "not a regular file" in said, said


def a_name_that_is_taken_is_refused():
    os.mkdir("dir")
    shutil.copy("card.so", "dir/first.so")
    said = fails(PROGRAM, "-module-dir", "dir", "-machine", "pc", "-device", "./card.so")
    assert "first.so" in said and "my-card" in said, said


def policy_and_lock_are_obeyed():
    os.mkdir("conf")
    with open("conf/10.conf", "w", encoding="ascii") as f:
        f.write("deny my-card\n")
    denied = {"BACKPLANE_MODULE_CONF": os.path.join(WORK, "conf")}
    said = fails(PROGRAM, "-machine", "pc", "-device", "./card.so", env=denied)
    assert "denied by " in said and "10.conf:1" in said, said
    with Emulator(PROGRAM, "-machine", "pc", "-modules", "lock=on") as e:
        said = e.command("device_add", driver=os.path.join(WORK, "mydev.so"), id="a")["error"]["desc"]
        assert "lock" in said, said


os.chdir(WORK)
run([from_cc_to_an_isa_device_that_answers, from_cc_to_a_pci_device_that_is_seen,
     help_does_not_run_its_code, of_several_one_must_be_named, device_add_takes_a_path,
     what_is_no_module_is_refused, a_name_that_is_taken_is_refused,
     policy_and_lock_are_obeyed])
