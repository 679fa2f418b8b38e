# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What the command line says about machine, processors, memory, names and the end of the process, seen
from outside: by QMP, in /proc, and through the guest's ports. Usage: test-machine.py SOURCE-ROOT BUILD-ROOT
"""
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))
WAIT = 60 * SLOW


def run(*args, env=None):
    """A command line that ends by itself."""
    return subprocess.run([PROGRAM, "-display", "none", "-nodefaults", *args], capture_output=True, text=True,
                          timeout=WAIT, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
                          check=False)


def refused(*args, accel=("-accel", "qtest")):
    """What a command line is refused with: one line, status 1."""
    done = run(*accel, *args)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


def answer(emulator, name, **arguments):
    reply = emulator.command(name, **arguments)
    assert "return" in reply, (name, reply)
    return reply["return"]


def monitor(emulator, line):
    return answer(emulator, "human-monitor-command", command_line=line)


# ---- machine and accelerator ----

def machine_is_chosen_by_name():
    for args in (("-machine", "pc"), ("-machine", "type=pc"), ("-M", "pc"), ("--machine", "pc-i440fx-9.1"), ()):
        with Emulator(PROGRAM, *args) as machine:
            assert answer(machine, "qom-get", path="/machine", property="type").startswith("pc-i440fx-9.1")
    with Emulator(PROGRAM, "-M", "none") as machine:
        assert answer(machine, "qom-get", path="/machine", property="type").startswith("none")
    assert "frob" in refused("-machine", "frob")


def machine_list_marks_the_default():
    done = run("-machine", "help")
    assert done.returncode == 0 and not done.stderr, done
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert re.match(r"none +\w", lines["none"]), lines
    assert "alias of pc-i440fx-9.1" in lines["pc"]
    assert [name for name, line in lines.items() if "(default)" in line] == ["pc-i440fx-9.1"], lines


VERSIONS = ["2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "3.0", "3.1", "4.0", "4.1", "4.2", "5.0",
            "5.1", "5.2", "6.0", "6.1", "6.2", "7.0", "7.1", "7.2", "8.0", "8.1", "8.2", "9.0", "9.1"]


def every_version_is_there_and_says_when_it_goes():
    with Emulator(PROGRAM, "-M", "none") as machine:
        boards = {m["name"]: m for m in answer(machine, "query-machines")}
    for family, more in (("pc-i440fx-", []), ("pc-q35-", ["4.0.1"])):
        assert {name for name in boards if name.startswith(family)} == {family + v for v in VERSIONS + more}
        assert [v for v in VERSIONS if boards[family + v]["deprecated"]] == VERSIONS[:9]
    assert boards["pc-q35-9.1"]["alias"] == "q35" and boards["pc-i440fx-9.1"]["alias"] == "pc"
    done = run("-machine", "help")
    assert "(deprecated)" in next(s for s in done.stdout.splitlines() if s.startswith("pc-q35-2.8 "))
    for board in ("pc-i440fx-2.8", "pc-q35-2.8", "pc-q35-8.2", "q35"):
        with Emulator(PROGRAM, "-M", board) as machine:
            want = "pc-q35-9.1" if board == "q35" else board
            assert answer(machine, "qom-get", path="/machine", property="type") == want + "-machine"


def processors_fill_sockets_before_6_2_and_cores_since():
    for board, wanted in (("pc-i440fx-6.1", {(0, 0), (1, 0)}), ("pc-q35-2.8", {(0, 0), (1, 0)}),
                          ("pc-i440fx-6.2", {(0, 0), (0, 1)}), ("q35", {(0, 0), (0, 1)})):
        with Emulator(PROGRAM, "-M", board, "-smp", "2") as machine:
            places = [c["props"] for c in answer(machine, "query-hotpluggable-cpus")]
            assert {(c["socket-id"], c["core-id"]) for c in places} == wanted, (board, places)


def parts_that_are_not_built_are_refused_in_words():
    for board in ("pc", "q35"):
        for given, words in (("default-bus-bypass-iommu=on", "no IOMMU"),
                             ("pit=off", "cannot be without"), ("pic=off", "cannot be without"),
                             ("vmport=perhaps", "on, off and auto")):
            said = refused("-machine", board + "," + given)
            assert given in said and words in said, said
    said = refused("-machine", "isapc,usb=on")
    assert "usb=on" in said and "no PCI bus" in said, said
    for board in ("pc", "q35"):
        with Emulator(PROGRAM, "-machine", board + ",nvdimm=off,vmport=off,smm=auto,pit=on,pic=on,hmat=off") as machine:
            assert answer(machine, "query-status")["running"]


def vmware_port_is_there_with_its_mouse_unless_told_otherwise():
    def made(*given):
        with Emulator(PROGRAM, "-M", *given) as machine:
            listed = [o["type"] for o in answer(machine, "qom-list", path="/machine/unattached")]
            return ["child<%s>" % name in listed for name in ("vmport", "vmmouse")]

    for board in ("pc", "q35", "isapc", "pc-i440fx-2.8"):
        assert made(board) == made(board + ",vmport=on") == made(board + ",vmport=auto") == [True, True], board
        assert made(board + ",vmport=off") == made(board + ",i8042=off") == [False, False], board
        assert made(board + ",vmport=on,i8042=off") == [True, False], board
    assert "VMware's port has its mouse already" in refused("-M", "pc", "-device", "vmmouse")
    assert "-machine vmport=on" in refused("-M", "pc,vmport=off", "-device", "vmmouse")
    assert "-machine i8042=on" in refused("-M", "pc,vmport=on,i8042=off", "-device", "vmmouse")


def memory_encryption_names_an_object():
    for board in ("pc", "q35"):
        said = refused("-machine", board + ",memory-encryption=sev0")
        assert "memory-encryption=sev0" in said and "no -object" in said, said
        said = refused("-machine", board + ",memory-encryption=s", "-object", "secret,id=s,data=x")
        assert "a secret does not keep" in said, said
    amd = ",cbitpos=47,reduced-phys-bits=1"
    for given, words in (("sev-guest,id=s", ("cbitpos=47",)), ("sev-guest,id=s,cbitpos=47", ("reduced-phys-bits=1",)),
                         ("sev-guest,id=s,sev-device=/no/such" + amd, ("/no/such", "SEV")),
                         ("sev-guest,id=s,session-file=/no/file" + amd, ("session-file='/no/file'",)),
                         ("sev-guest,id=s,cbitpos=64", ("cbitpos", "63")),
                         ("sev-snp-guest,id=s,sev-device=/no/such" + amd, ("/no/such", "SEV-SNP")),
                         ("sev-guest,id=s,sev-device=/dev/null" + amd, ("not built",)),
                         ("tdx-guest,id=s", ("TDX",))):
        said = refused("-machine", "q35,memory-encryption=s", "-object", given)
        assert "\n" not in said.strip() and all(word in said for word in words), (given, said)


def q35_has_a_sata_controller_unless_told_otherwise():
    for given, there in ((), True), (("-machine", "sata=on"), True), (("-machine", "sata=off"), False):
        with Emulator(PROGRAM, "-M", "q35", *given) as machine:
            slots = [d["slot"] for bus in answer(machine, "query-pci") for d in bus["devices"] if d["function"] == 2]
            assert (0x1f in slots) == there, (given, slots)
    assert "ide" in refused("-machine", "q35,sata=off", "-drive", "driver=null-co,if=ide")


def accelerators_are_tried_in_order():
    for args in (("-machine", "pc,accel=nope:qtest"), ("-accel", "nope", "-accel", "qtest")):
        with Emulator(PROGRAM, *args, quiet=("-nodefaults", "-display", "none")) as machine:
            assert answer(machine, "query-status")["status"] == "running"
    done = run("-machine", "pc,accel=nope:nil")
    assert done.returncode == 1 and "nil" in done.stderr and "nope" in done.stderr, done
    assert "nope" in refused("-accel", "nope", accel=())
    assert "speed" in refused("-accel", "qtest,speed=9", accel=())
    listed = run("-accel", "help")
    assert listed.returncode == 0 and re.search(r"^ *interp\b", listed.stdout, re.M), listed


def accelerator_modules(machine):
    with open("/proc/%d/maps" % machine.process.pid, encoding="ascii") as file:
        return set(re.findall(r"accel-(\w+)\.so", file.read()))


def translator_is_the_default():
    if platform.machine() != "x86_64":
        return  # it is there on x86-64 hosts only
    quiet = ("-nodefaults", "-display", "none", "-S")
    for args in ((), ("-accel", "tcg"), ("-machine", "pc,accel=tcg:interp"), ("-accel", "nope", "-accel", "tcg")):
        with Emulator(PROGRAM, *args, quiet=quiet) as machine:
            assert accelerator_modules(machine) == {"tcg"}, args
    with Emulator(PROGRAM, "-machine", "pc,accel=nope:tcg", quiet=quiet) as machine:
        assert accelerator_modules(machine) == {"tcg"}
        machine.process.kill()
        assert "nope" in machine.process.stderr.read()
    with Emulator(PROGRAM, "-accel", "interp", quiet=quiet) as machine:
        assert accelerator_modules(machine) == {"interp"}
    assert "tb-size" in refused("-accel", "tcg,tb-size=4096", accel=())


def writable_and_executable(machine):
    with open("/proc/%d/maps" % machine.process.pid, encoding="ascii") as file:
        return [line for line in file if line.split()[1].startswith("rwx")]


def translator_takes_its_properties():
    if platform.machine() != "x86_64":
        return
    quiet = ("-nodefaults", "-display", "none", "-S", "-smp", "2")
    with Emulator(PROGRAM, "-accel", "tcg,split-wx=off,thread=multi", quiet=quiet) as machine:
        assert writable_and_executable(machine)
        threads = os.listdir("/proc/%d/task" % machine.process.pid)
        cpus = answer(machine, "query-cpus-fast")
        assert len({str(cpu["thread-id"]) for cpu in cpus} & set(threads)) == 2
    with Emulator(PROGRAM, "-accel", "tcg,split-wx=on", quiet=quiet) as machine:
        assert not writable_and_executable(machine)
    with Emulator(PROGRAM, "-accel", "tcg,thread=single", quiet=quiet) as machine:
        cpus = answer(machine, "query-cpus-fast")
        assert len(cpus) == 2 and len({cpu["thread-id"] for cpu in cpus}) == 1, cpus
        assert str(cpus[0]["thread-id"]) in os.listdir("/proc/%d/task" % machine.process.pid)
    assert "multi" in refused("-accel", "tcg,thread=many", accel=())


def counted_time_is_taken_or_refused():
    if platform.machine() != "x86_64":
        return
    quiet = ("-nodefaults", "-display", "none", "-S", "-smp", "3")
    for accel in ((), ("-accel", "tcg"), ("-accel", "tcg,thread=single"), ("-accel", "interp")):
        for keys in ("shift=0", "shift=10,sleep=off", "auto", "align=off,sleep=on", "shift=2,align=on"):
            with Emulator(PROGRAM, *accel, "-icount", keys if keys != "auto" else "shift=auto", quiet=quiet) as machine:
                assert len({cpu["thread-id"] for cpu in answer(machine, "query-cpus-fast")}) == 1
    for accel in ("qtest", "kvm"):
        if accel == "qtest" or os.access("/dev/kvm", os.R_OK | os.W_OK):
            assert "%r does not count" % accel in refused("-accel", accel, "-icount", "shift=3", accel=())
    assert "thread=multi" in refused("-accel", "tcg,thread=multi", "-icount", "shift=3", accel=())
    for keys, word in (("shift=11", "0 to 10"), ("shift=-1", "0 to 10"), ("shift=3x", "0 to 10"), ("shift=", "0 to 10"),
                       ("shift=auto,sleep=off", "sleep=off"), ("sleep=off", "sleep=off"), ("align=on", "align=on"),
                       ("shift=auto,align=on", "align=on"), ("shift=3,align=on,sleep=off", "align=on"),
                       ("shift=3,rr=record,rrfile=x", "recording"), ("shift=3,frob=1", "frob"),
                       ("shift=3,sleep=perhaps", "sleep")):
        assert word in refused("-icount", keys, accel=()), keys


def mapping_flags(pid, size):
    """VmFlags of the mapping that has `size` bytes and may be written."""
    found, flags = None, []
    with open("/proc/%d/smaps" % pid, encoding="ascii") as file:
        for line in file:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....)", line)
            if head:
                found = int(head[2], 16) - int(head[1], 16) == size and head[3].startswith("rw")
            elif found and line.startswith("VmFlags:"):
                flags.append(line.split()[1:])
    assert len(flags) == 1, "mappings of %d bytes: %r" % (size, flags)
    return flags[0]


# A size that nothing else has.
ODD = (67 << 20)


def guest_memory_is_dumped_and_merged_as_told():
    for keys, in_dumps, merged in (("", True, True), (",dump-guest-core=off", False, True),
                                   (",mem-merge=off", True, False), (",dump-guest-core=on", True, True)):
        with Emulator(PROGRAM, "-machine", "pc" + keys, "-m", "67") as machine:
            flags = mapping_flags(machine.process.pid, ODD)
            assert ("dd" not in flags) == in_dumps, (keys, flags)
            assert ("mg" in flags) == merged, (keys, flags)


def nodefaults_leaves_out_serial_port_and_monitor():
    quiet = ("-display", "none", "-accel", "qtest", "-serial", "null")
    with Emulator(PROGRAM, quiet=quiet) as machine:
        assert "isa-serial" in monitor(machine, "info qtree")
    quiet = ("-display", "none", "-accel", "qtest", "-nodefaults")
    with Emulator(PROGRAM, quiet=quiet) as machine:
        assert "isa-serial" not in monitor(machine, "info qtree")
        assert [c["label"] for c in answer(machine, "query-chardev")] == ["compat_monitor0"]


# ---- processors and memory ----

def processors(*args):
    with Emulator(PROGRAM, *args) as machine:
        return len(answer(machine, "query-cpus-fast"))


def processors_are_counted():
    for text, count in (("4", 4), ("cpus=3", 3), ("sockets=2,cores=2", 4), ("maxcpus=4", 4),
                        ("2,drawers=1,books=1,clusters=1", 2), ("cpus=1,maxcpus=2", 1),
                        ("8,sockets=2,cores=2,threads=2,maxcpus=8", 8), ("sockets=2,dies=2", 4)):
        assert processors("-smp", text) == count, text


def wrong_processor_counts_are_told():
    for text, words in (("8,sockets=3,cores=2", ("sockets (3)", "cores (2)", "maxcpus (8)")),
                        ("cpus=4,maxcpus=2", ("maxcpus",)), ("cpus=0", ("cpus",)), ("sockets=0", ("sockets",)),
                        ("", ("-smp",)), ("2,books=2", ("books",)), ("2,drawers=2", ("drawers",)),
                        ("256", ("256", "255"))):
        line = refused("-smp", text)
        for word in words:
            assert word in line, (text, line)


def memory_has_the_size_that_was_asked_for():
    for args, top in (((), "07ffffff"), (("-m", "67"), "042fffff"), (("-m", "96M"), "05ffffff"),
                      (("-m", "size=1G"), "3fffffff")):
        with Emulator(PROGRAM, "-M", "none" if args else "pc", *args) as machine:
            tree = monitor(machine, "info mtree")
            assert re.search("0000000000000000-00000000%s .*ram" % top, tree), (args, tree)
    assert "1E" in refused("-m", "1E") or "size" in refused("-m", "1E")


# ---- names ----

def threads(pid):
    names = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, task), encoding="ascii") as file:
            names.append(file.read().strip())
    return names


def names_are_shown():
    quiet = ("-nodefaults", "-display", "none", "-accel", "interp", "-S", "-smp", "2")
    with Emulator(PROGRAM, "-name", "guest=a,,b,process=backp-proc", quiet=quiet) as machine:
        assert answer(machine, "query-name") == {"name": "a,b"}
        with open("/proc/%d/comm" % machine.process.pid, encoding="ascii") as file:
            assert file.read() == "backp-proc\n"
    with Emulator(PROGRAM, "-name", "n,debug-threads=on", quiet=quiet) as machine:
        assert len([name for name in threads(machine.process.pid) if name.startswith("CPU ")]) == 2


def uuid_is_told():
    text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    with Emulator(PROGRAM, "-uuid", text) as machine:
        assert answer(machine, "query-uuid") == {"UUID": text}
    assert "-uuid" in refused("-uuid", "6ba7b810")


def messages_have_time_and_name():
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z backplane-system-x86_64: .*nope"
    assert re.match(stamp, refused("-msg", "timestamp=on", "-device", "nope"))
    assert re.match(stamp, refused("-msg", "timestamp", "-device", "nope"))
    assert refused("-device", "nope").startswith("backplane-system")
    guest = ("-name", "guest=kept")
    for options in ((*guest, "-msg", "guest-name=on"), ("-msg", "guest-name=on", *guest)):
        assert refused(*options, "-device", "nope").startswith("kept backplane-system"), options
    assert refused(*guest, "-device", "nope").startswith("backplane-system")
    assert refused("-msg", "guest-name=on", "-device", "nope").startswith("backplane-system")
    assert refused("-msg", "timestamp=off", "-device", "nope").startswith("backplane-system")


def global_values_reach_devices_of_the_machine():
    quiet = ("-display", "none", "-accel", "qtest", "-monitor", "none", "-serial", "null")
    for text in ("isa-serial.irq=9", "isa-serial:irq=9", "driver=isa-serial,property=irq,value=9"):
        with Emulator(PROGRAM, "-global", text, quiet=quiet) as machine:
            assert re.search(r"isa-serial.*?\birq = 9 ", monitor(machine, "info qtree"), re.S), text
    done = run("-accel", "qtest", "-global", "frob.nicate=1", "-device", "nope")
    assert done.returncode == 1
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-global",
                                    "frob.nicate=1", "-monitor", "stdio"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=errors)
        process.communicate(b"quit\n", WAIT)
        assert process.returncode == 0
        errors.seek(0)
        assert re.search("warning: .*frob.nicate", errors.read())


# ---- what a guest meets ----

def objects_are_made_from_text_and_json():
    with Emulator(PROGRAM, "-M", "none", "-object", "secret,id=s0,data=a,,b", "-object",
                  '{"qom-type":"secret","id":"s1","data":"x"}') as machine:
        names = {entry["name"]: entry["type"] for entry in answer(machine, "qom-list", path="/objects")}
        assert names["s0"] == names["s1"] == "child<secret>", names
    for text, word in (("secret,data=x", "id"), ("secret,id=s,data=x,colour=red", "colour"), ("frob,id=s", "frob"),
                       ('{"qom-type":"secret","id":"s","data":1}', "data")):
        line = refused("-M", "none", "-object", text)
        assert word in line, (text, line)


def what_belongs_to_a_kernel_needs_one():
    for option in ("-append", "-initrd"):
        line = refused("-M", "pc", option, "/dev/null")
        assert option in line and "-kernel" in line, line
    assert "/nope" in refused("-M", "pc", "-kernel", "/nope")
    assert "-kernel" in refused("-M", "pc", "-kernel", "/dev/null")


def rtc_text(q):
    def register(number):
        q.outb(0x70, number)
        value = q.inb(0x71)
        return 10 * (value >> 4) + (value & 15)
    return "20%02d-%02d-%02dT%02d:%02d" % (register(9), register(8), register(7), register(4), register(2))


def rtc_starts_as_told():
    with QTest(["-M", "pc", "-rtc", "base=2006-06-17T16:01:21,clock=vm"]) as q:
        assert rtc_text(q) == "2006-06-17T16:01"
        time.sleep(0.1)
        q.clock_step(3600 * 10**9)
        assert rtc_text(q) == "2006-06-17T17:01", "with clock=vm an hour of the machine is an hour"
    with QTest(["-M", "pc", "-rtc", "base=2006-06-17,clock=vm"]) as q:
        assert rtc_text(q) == "2006-06-17T00:00"
    for base, zone in (("utc", 0), ("localtime", 5)):
        before = time.time()
        os.environ["TZ"] = "TST-5"
        try:
            with QTest(["-M", "pc", "-rtc", "base=" + base]) as q:
                shown = rtc_text(q)
        finally:
            del os.environ["TZ"]
        near = [time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before + zone * 3600 + n))
                for n in range(0, int(time.time() - before) + 61)]
        assert shown in near, (base, shown)
    for wrong in ("base=2006-13-01", "base=yesterday", "clock=sun", "driftfix=x"):
        key, value = wrong.split("=")
        line = refused("-rtc", wrong)
        assert key in line and value in line, line


def ticks_after_a_pause(q):
    """Periodic interrupts of the clock that the guest gets in 200 ms, of which it slept the first half."""
    def flags():
        q.outb(0x70, 0x0c)
        return q.inb(0x71)
    q.outb(0x70, 0x0a)
    q.outb(0x71, 0x26)  # 1,024 a second
    q.outb(0x70, 0x0b)
    q.outb(0x71, 0x42)  # to interrupt
    flags()
    q.clock_step(100000000)
    count = 0
    for _ in range(1000):
        count += flags() & 0xc0 == 0xc0
        q.clock_step(100000)
    return count


def lost_ticks_come_late_or_never():
    for args, expected in (([], 103), (["-rtc", "driftfix=none"], 103), (["-rtc", "driftfix=slew"], 204),
                           (["-global", "mc146818rtc.lost_tick_policy=slew"], 204)):
        with QTest(["-M", "pc", *args]) as q:
            count = ticks_after_a_pause(q)
            assert abs(count - expected) <= 2, (args, count)


def fw_cfg(q):
    """Files of fw_cfg by name, read through its ports as a guest does."""
    def read(key, size):
        q.outw(0x510, key)
        return bytes(q.inb(0x511) for _ in range(size))
    count = int.from_bytes(read(0x19, 4), "big")
    entries = read(0x19, 4 + 64 * count)[4:]
    result = {}
    for at in range(0, len(entries), 64):
        size = int.from_bytes(entries[at:at + 4], "big")
        key = int.from_bytes(entries[at + 4:at + 6], "big")
        name = entries[at + 8:at + 64].rstrip(b"\0").decode()
        if name.startswith("opt/"):
            result[name] = read(key, size)
    return result


def fw_cfg_files_reach_the_guest():
    with tempfile.TemporaryDirectory() as folder:
        blob = os.path.join(folder, "my,blob.bin")
        content = bytes(range(256)) + b"\0end"
        with open(blob, "wb") as file:
            file.write(content)
        with QTest(["-M", "pc", "-fw_cfg", "name=opt/com.mycompany/blob,file=" + blob.replace(",", ",,"),
                    "-fw_cfg", "opt/z,string=a,,b"]) as q:
            assert fw_cfg(q) == {"opt/com.mycompany/blob": content, "opt/z": b"a,b"}
        assert "/nope" in refused("-fw_cfg", "name=opt/x,file=" + folder + "/nope")
    for name, warned in (("etc/mine", True), ("opt/mine", False)):
        with QTest(["-M", "pc", "-fw_cfg", "name=%s,string=x" % name]) as q:
            assert ("opt/" in q.errors()) == warned, (name, q.errors())
    assert "55" in refused("-fw_cfg", "name=opt/%s,string=a" % ("x" * 52))
    assert "string" in refused("-fw_cfg", "name=opt/x")


def objects_make_files_of_fw_cfg():
    """IANA's numbers of suites, two bytes each, as the priority orders them."""
    for args, words in ((["-fw_cfg", "name=opt/x,gen_id=nobody"], "nobody"),
                        (["-object", "secret,id=s,data=x", "-fw_cfg", "name=opt/x,gen_id=s"], "a secret"),
                        (["-fw_cfg", "name=opt/x,gen_id=s,string=a"], "one of")):
        assert words in refused("-M", "pc", *args), refused("-M", "pc", *args)
    if "tls-cipher-suites" not in subprocess.run([PROGRAM, "-object", "help"], capture_output=True, text=True,
                                                 check=True).stdout:
        raise tap.Skip("built without GnuTLS")
    one = "NONE:+VERS-TLS1.2:+ECDHE-RSA:+AES-256-GCM:+AES-128-GCM:+AEAD:+COMP-NULL:+GROUP-ALL:+SIGN-ALL"
    with QTest(["-M", "pc", "-object", "tls-cipher-suites,id=mysuite0,priority=" + one, "-fw_cfg",
                "name=opt/ciphers,gen_id=mysuite0"]) as q:
        assert fw_cfg(q) == {"opt/ciphers": b"\xc0\x30\xc0\x2f"}, fw_cfg(q)
    with QTest(["-M", "pc", "-object", "tls-cipher-suites,id=mysuite0,priority=NORMAL", "-fw_cfg",
                "name=etc/edk2/https/ciphers,gen_id=mysuite0"]) as q:
        assert "opt/" not in q.errors(), q.errors()


def nvram(q, index):
    q.outb(0x70, index)
    return q.inb(0x71)


def boot_order_reaches_the_clocks_memory():
    def order(q):
        return nvram(q, 0x3d) & 15, nvram(q, 0x3d) >> 4, nvram(q, 0x38) >> 4
    for letters, codes in (("a", (1, 0, 0)), ("nc", (4, 2, 0)), ("dca", (3, 2, 1)), ("bop", (1, 4, 4))):
        for option in ("order=" + letters, letters):
            with QTest(["-M", "pc", "-boot", option]) as q:
                assert order(q) == codes, (option, order(q))
    with QTest(["-M", "pc", "-boot", "once=d"]) as q:
        assert order(q) == (3, 0, 0) and not nvram(q, 0x38) & 1
        q.qmp("system_reset")
        event(q, "RESET")
        assert order(q) == (2, 1, 3), order(q)  # disk, floppy, CD-ROM: the board's own
        q.qmp("system_reset")
        assert order(q) == (2, 1, 3), order(q)
    for args in (("-no-fd-bootchk",), ("-machine", "fd-bootchk=off")):
        with QTest(["-M", "pc", *args]) as q:
            assert nvram(q, 0x38) & 1


def event(q, name):
    """The data of the next event of that name; a command brings what has come."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        for seen in q.events:
            if seen["event"] == name:
                return seen["data"]
        q.qmp("query-name")
    raise AssertionError("no event %s: %r" % (name, q.events))


def guest_resets(q):
    q.outb(0xcf9, 2)
    q.outb(0xcf9, 6)


def guest_powers_off(q):
    q.outw(0x604, 0x2000)  # PM1a control: sleep enable, S5 by the value of the board's DSDT


def reset_and_shutdown_act_as_told():
    with QTest(["-M", "pc"]) as q:
        guest_resets(q)
        assert event(q, "RESET")["guest"]
    for args in (["-action", "shutdown=pause"], ["-no-shutdown"]):
        with QTest(["-M", "pc", *args]) as q:
            guest_powers_off(q)
            assert event(q, "SHUTDOWN")["guest"]
            assert q.qmp("query-status")["status"] == "shutdown"
    for args in (["-action", "reboot=shutdown,shutdown=pause"], ["-no-reboot", "-no-shutdown"]):
        with QTest(["-M", "pc", *args]) as q:
            guest_resets(q)
            event(q, "SHUTDOWN")
            assert q.qmp("query-status")["status"] == "shutdown"
    for args in (["-no-reboot"], ["-action", "reboot=shutdown"]):
        q = QTest(["-M", "pc", *args])
        try:
            guest_resets(q)
        except Exception:  # it may have ended before it could answer
            pass
        assert q.process.wait(WAIT) == 0
        q.close()


# ---- the process ----

def pidfile_is_locked_and_removed():
    with tempfile.TemporaryDirectory() as folder:
        path, socket = os.path.join(folder, "pid"), os.path.join(folder, "socket")
        args = ("-pidfile", path, "-chardev", "socket,id=s,server=on,wait=off,path=" + socket)
        with Emulator(PROGRAM, *args) as machine:
            with open(path, encoding="ascii") as file:
                assert int(file.read()) == machine.process.pid
            assert os.path.exists(socket)
            assert path in refused("-pidfile", path)
            machine.process.send_signal(signal.SIGTERM)
            machine.process.wait(WAIT)
            assert not os.path.lexists(path) and not os.path.lexists(socket)


def log_goes_where_it_is_told():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        for items, logged in (("guest_errors,unimp", True), ("unimp", False)):
            with QTest(["-M", "pc", "-d", items, "-D", path]) as q:
                q.outb(0x64, 0xb0)
                q.qmp("query-name")
            with open(path, encoding="utf-8") as file:
                assert ("unknown command 0xb0" in file.read()) == logged, items
        assert folder in refused("-d", "int", "-D", folder + "/none/log")
    assert "frob" in refused("-d", "frob")


tap.run([machine_is_chosen_by_name, machine_list_marks_the_default,
         every_version_is_there_and_says_when_it_goes, processors_fill_sockets_before_6_2_and_cores_since,
         parts_that_are_not_built_are_refused_in_words,
         vmware_port_is_there_with_its_mouse_unless_told_otherwise, q35_has_a_sata_controller_unless_told_otherwise,
         accelerators_are_tried_in_order, translator_is_the_default, translator_takes_its_properties,
         counted_time_is_taken_or_refused,
         guest_memory_is_dumped_and_merged_as_told, nodefaults_leaves_out_serial_port_and_monitor,
         processors_are_counted, wrong_processor_counts_are_told,
         memory_has_the_size_that_was_asked_for, names_are_shown, uuid_is_told,
         messages_have_time_and_name, global_values_reach_devices_of_the_machine,
         memory_encryption_names_an_object, objects_are_made_from_text_and_json, what_belongs_to_a_kernel_needs_one,
         rtc_starts_as_told, lost_ticks_come_late_or_never, fw_cfg_files_reach_the_guest, objects_make_files_of_fw_cfg,
         boot_order_reaches_the_clocks_memory,
         reset_and_shutdown_act_as_told, pidfile_is_locked_and_removed, log_goes_where_it_is_told])
