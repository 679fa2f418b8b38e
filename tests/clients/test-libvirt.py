# SPDX-License-Identifier: LGPL-2.1-or-later
"""
libvirt, unmodified, with this emulator as a domain's <emulator>. Its driver runs inside virsh, in a root folder of its
own (qemu:///embed): no daemon, nothing of the system's configuration. Usage: test-libvirt.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import shutil
import subprocess
import sys
import time

sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "guest")]
os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
import tap  # noqa: E402
from console import guest_files  # noqa: E402

PROGRAM = os.environ.get("BACKPLANE_PROGRAM", os.path.join(sys.argv[2], "backplane-system-x86_64"))
WAIT = 180 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("libvirt-")
ROOT = os.path.join(DIR, "root")
CONFIGURATION = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
"""
DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>{cpus}</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>{boot}</os>
  <features><acpi/><apic/></features>
  <on_reboot>restart</on_reboot>
  <devices>
    <emulator>{program}</emulator>
    {devices}
    <serial type='pty'><log file='{log}' append='off'/><target port='0'/></serial>
    <console type='pty'/>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
    <video><model type='vga'/></video>
  </devices>
</domain>
"""


def need_libvirt():
    if not shutil.which("virsh"):
        raise tap.Skip("virsh is missing (packages libvirt-clients, libvirt-daemon-driver-qemu)")
    if os.getuid() != 0:
        raise tap.Skip("libvirt's embedded driver of the system's kind runs as root")
    listed = subprocess.run([PROGRAM, "-accel", "help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    if not re.search(r"^\s+tcg\s", listed, re.M):
        raise tap.Skip("no accelerator tcg, which libvirt asks for, is installed here")
    os.makedirs(os.path.join(ROOT, "etc"), exist_ok=True)
    with open(os.path.join(ROOT, "etc", "qemu.conf"), "w") as f:
        f.write(CONFIGURATION)


def with_its_user():
    """Words before a command: the driver wants its account before it reads whom we name. Where the host has none, the
    command sees one in a mount namespace."""
    words = []
    for file, line in (("/etc/passwd", "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin"),
                       ("/etc/group", "libvirt-qemu:x:64055:")):
        with open(file, encoding="utf-8") as f:
            text = f.read()
        if "\nlibvirt-qemu:" not in text:
            copy = os.path.join(DIR, os.path.basename(file))
            with open(copy, "w", encoding="utf-8") as f:
                f.write(text + line + "\n")
            words.append("mount --bind %s %s && " % (copy, file))
    return ["unshare", "-m", "sh", "-c", "".join(words) + 'exec "$@"', "sh"] if words else []


def virsh(*commands):
    """What each command says, in order; a command that fails is an AssertionError with all of it."""
    mark = "=== next ==="
    line = "; ".join("%s; echo '%s'" % (command, mark) for command in commands)
    run = subprocess.run([*with_its_user(), "virsh", "-c", "qemu:///embed?root=" + ROOT, line], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=WAIT, check=False)
    logs = []
    if run.returncode != 0 or "error:" in run.stdout:
        folder = os.path.join(ROOT, "log", "qemu")
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            with open(os.path.join(folder, name)) as f:
                logs += f.read().splitlines()[-3:]
        raise AssertionError("%s\n%s" % (run.stdout, "\n".join(logs)))
    return [said.strip() for said in run.stdout.split(mark)]


def define(name, machine, cpus=1, boot="", devices=""):
    path = os.path.join(DIR, name + ".xml")
    with open(path, "w") as f:
        f.write(DOMAIN.format(name=name, machine=machine, cpus=cpus, boot=boot, devices=devices, program=PROGRAM,
                              log=os.path.join(DIR, name + ".log")))
    return path


def probe_learns_machines_and_models():
    need_libvirt()
    said, = virsh("domcapabilities --emulatorbin %s --arch x86_64 --virttype qemu" % PROGRAM)[:1]
    assert "<path>%s</path>" % PROGRAM in said and "<domain>qemu</domain>" in said, said
    assert re.search(r"<machine>pc-", said), said
    assert "<value>vga</value>" in said and "<value>vnc</value>" in said, said


def domain_is_defined_started_shown_and_ended():
    need_libvirt()
    shot = os.path.join(DIR, "shot")
    out = virsh("define " + define("plain", "pc", cpus=2), "start plain --paused", "domstate plain", "resume plain",
                "domstate plain", "suspend plain", "domstate plain", "resume plain",
                "qemu-monitor-command plain --hmp info status", "screenshot plain " + shot,
                "send-key plain KEY_LEFTCTRL KEY_C", "vcpuinfo plain", "domstats plain", "dumpxml plain", "reset plain",
                "inject-nmi plain", "qemu-monitor-command plain '{\"execute\":\"query-status\"}'", "vncdisplay plain",
                "destroy plain", "domstate plain", "undefine plain")
    assert [out[i] for i in (2, 4, 6, 19)] == ["paused", "running", "paused", "shut off"], out
    assert "VM status: running" in out[8], out[8]
    assert os.path.getsize(shot) > 100 and "image/png" in out[9], out[9]
    assert out[11].count("State:          running") == 2, out[11]
    assert "state.state=1" in out[12] and "vcpu.current=2" in out[12], out[12]
    assert "<alias name='serial0'/>" in out[13] and "/dev/pts/" in out[13], out[13]
    assert '"status":"running"' in out[16].replace(" ", ""), out[16]
    assert re.search(r"127\.0\.0\.1:\d+", out[17]), out[17]


def disks_and_media_are_managed():
    need_libvirt()
    disk, medium = os.path.join(DIR, "disk"), os.path.join(DIR, "medium")
    for path, size in ((disk, 8 << 20), (medium, 4 << 20)):
        with open(path, "wb") as f:
            f.truncate(size)
    devices = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/>
    <target dev='sda' bus='sata'/></disk><disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
    <target dev='sdb' bus='sata'/><readonly/></disk><panic model='isa'/><watchdog model='i6300esb' action='reset'/>""" % disk
    out = virsh("define " + define("disks", "q35", devices=devices), "start disks", "domblklist disks",
                "domblkinfo disks sda", "domblkstat disks sda", "change-media disks sdb %s --insert --live" % medium,
                "domblklist disks", "change-media disks sdb --eject --live", "blockresize disks sda 16M",
                "domblkinfo disks sda", "domblkerror disks", "domstats disks",
                "dump disks %s --memory-only" % os.path.join(DIR, "core"), "destroy disks", "undefine disks")
    assert disk in out[2] and re.search(r"Capacity:\s+8388608", out[3]), out[:4]
    assert "sda rd_req" in out[4] and medium in out[6] and "ejected" in out[7], out
    assert re.search(r"Capacity:\s+16777216", out[9]) and os.path.getsize(disk) == 16 << 20, out[9]
    assert "block.count=2" in out[11], out[11]
    with open(os.path.join(DIR, "core"), "rb") as f:
        assert f.read(4) == b"\x7fELF" and os.path.getsize(f.name) > 256 << 20, out[12]


def kernel_is_seen_on_the_console():
    need_libvirt()
    kernel, initrd = guest_files()
    boot = "<kernel>%s</kernel><initrd>%s</initrd><cmdline>console=ttyS0</cmdline>" % (kernel, initrd)
    log = os.path.join(DIR, "linux.log")
    # One connection for all of it: libvirt wants control groups of the host to find a domain again.
    shell = subprocess.Popen([*with_its_user(), "virsh", "-c", "qemu:///embed?root=" + ROOT], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        shell.stdin.write("define %s\nstart linux\n" % define("linux", "pc", boot=boot))
        shell.stdin.flush()
        end = time.monotonic() + WAIT
        text = ""
        while "Backplane guest is up" not in text:
            assert time.monotonic() < end and shell.poll() is None, text[-500:]
            time.sleep(0.5)
            if os.path.exists(log):
                with open(log, errors="replace") as f:
                    text = f.read()
        assert "Linux version" in text, text[:500]
        said, _ = shell.communicate("domstate linux\nsend-key linux KEY_ENTER\ndestroy linux\nundefine linux\nquit\n",
                                    timeout=WAIT)
        assert "running" in said and "destroyed" in said and "error:" not in said, said
    finally:
        shell.kill()
        shell.wait()


tap.run([probe_learns_machines_and_models, domain_is_defined_started_shown_and_ended, disks_and_media_are_managed,
         kernel_is_seen_on_the_console])
