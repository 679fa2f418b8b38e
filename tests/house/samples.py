#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The samples in C++ (with both compilers) and Rust: built by their own makefiles, they pass
`backplane-module check` and answer at their ports in a machine.

usage: samples.py SOURCE-ROOT BUILD-ROOT
"""
import os
import shutil
import socket
import subprocess
import sys

from qmp import Emulator
from tap import Skip, run, work_folder

SOURCE, BUILD = sys.argv[1:3]
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("backplane-samples-")
ENV = {**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "meson-uninstalled")}
DEBIAN_RUSTC = "/usr/bin/rustc"  # another one in PATH is not what the sample promises to work with


def make(sample, *settings):
    out = os.path.join(WORK, "-".join([sample, *(s.split("=")[1].replace("/", "") for s in settings)]))
    os.mkdir(out)
    copy = os.path.join(out, "source")
    shutil.copytree(os.path.join(SOURCE, "samples", sample), copy)
    target = "all" if os.environ.get("BP_SANITIZED") else "check"
    done = subprocess.run(["make", "-s", "-C", copy, *settings, target], env=ENV, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning:" not in done.stderr, done.stderr
    assert target == "all" or " 0 not ok, 0 warnings" in done.stdout, done.stdout
    return copy


def exports(path):
    listed = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True,
                            check=True).stdout
    return [line.split()[-1] for line in listed.splitlines()]


class Machine(Emulator):
    """With accesses to ports, over the qtest protocol."""

    def __init__(self, folder, *args):
        path = os.path.join(folder, "qtest")
        super().__init__(PROGRAM, "-machine", "pc", "-module-dir", folder,
                         "-qtest", "unix:%s,server=on,wait=off" % path, *args)
        self.path = path

    def __enter__(self):
        super().__enter__()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(self.path)
        self.lines = self.socket.makefile("rw")
        return self

    def __exit__(self, *exception):
        self.lines.close()
        self.socket.close()
        super().__exit__(*exception)

    def port(self, line):
        self.lines.write(line + "\n")
        self.lines.flush()
        said = self.lines.readline().split()
        assert said and said[0] == "OK", said
        return said[1:]

    def write_port(self, port, value):
        self.port("outb 0x%x 0x%x" % (port, value))

    def read_port(self, port):
        return int(self.port("inb 0x%x" % port)[0], 0)


def fifo_answers(folder):
    assert exports(os.path.join(folder, "sample-fifo.so")) == ["bp_module"]
    with Machine(folder, "-device", "sample-fifo,iobase=0x320") as m:
        for value in (7, 8, 9):
            m.write_port(0x320, value)
        assert m.read_port(0x321) == 3
        assert [m.read_port(0x320) for _ in range(4)] == [7, 8, 9, 0xff]


def cxx_module_built_with_gxx_works():
    if not shutil.which("g++"):
        raise Skip("g++ is not installed")
    fifo_answers(make("cxx", "CXX=g++"))


def cxx_module_built_with_clang_works():
    if not shutil.which("clang++"):
        raise Skip("clang++ is not installed")
    fifo_answers(make("cxx", "CXX=clang++"))


def crc8(data):
    total = 0
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = (total << 1 ^ 7) & 0xff if total & 0x80 else total << 1
    return total


def rust_module_works():
    if not os.path.exists(DEBIAN_RUSTC) or not shutil.which("bindgen"):
        raise Skip("rustc and bindgen of the distribution are not installed")
    folder = make("rust", "RUSTC=" + DEBIAN_RUSTC)
    assert exports(os.path.join(folder, "sample-crc.so")) == ["bp_module"]
    with Machine(folder, "-device", "sample-crc,iobase=0x330,id=r") as m:
        for value in b"123456789":
            m.write_port(0x330, value)
        assert m.read_port(0x330) == crc8(b"123456789") == 0xf4
        assert m.command("qom-get", path="/machine/peripheral/r", property="iobase") == {
            "return": 0x330}


run([cxx_module_built_with_gxx_works, cxx_module_built_with_clang_works, rust_module_works])
