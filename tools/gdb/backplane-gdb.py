# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Commands for gdb on a stopped emulator (source tools/gdb/backplane-gdb.py):

    backplane coroutines [bt]   the coroutines, where each waits; with bt: its call chain
    backplane objects [DEPTH]   the object tree

Needs debug information of libbackplane. Call chains need a live process on x86-64 (registers are lent
to gdb for a moment and given back); of a core dump the place is shown where each goes on.
"""
import gdb

STATES = ("waiting", "queued", "running", "woken", "ended")
# As core/loop/fibre.c leaves them on the stack of one that was switched away from.
SAVED = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")


def text(value):
    return value.string() if int(value) else ""


def read_saved(sp):
    word = gdb.lookup_type("unsigned long").pointer()
    at = gdb.Value(sp).cast(word)
    saved = {name: int((at + i).dereference()) for i, name in enumerate(SAVED)}
    saved["rsp"] = sp + 8 * len(SAVED)
    return saved


def set_registers(registers):
    for name in ("rsp", "rbp", "rbx", "r12", "r13", "r14", "r15", "rip"):
        gdb.execute("set var $%s = %d" % (name, registers[name]), to_string=True)


def call_chain(saved):
    gdb.execute("frame 0", to_string=True)
    names = ("rsp", "rbp", "rbx", "r12", "r13", "r14", "r15", "rip")
    own = {name: int(gdb.parse_and_eval("(unsigned long)$" + name)) for name in names}
    try:
        set_registers(saved)
        return gdb.execute("bt", to_string=True)
    except gdb.error as error:
        return "(no call chain: %s)\n" % error
    finally:
        try:
            set_registers(own)
        except gdb.error:
            pass  # nothing could be set: nothing is to be given back


def coroutines():
    co = gdb.parse_and_eval("bpc_co_all")
    while int(co):
        yield co
        co = co["all_next"]


class Backplane(gdb.Command):
    """The parts of an emulator: backplane coroutines, backplane objects."""

    def __init__(self):
        super().__init__("backplane", gdb.COMMAND_STATUS, prefix=True)


class Coroutines(gdb.Command):
    """The coroutines and where each waits; with `bt` its call chain."""

    def __init__(self):
        super().__init__("backplane coroutines", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        count = 0
        for co in coroutines():
            count += 1
            state = STATES[int(co["state"])]
            owner = text(co["owner_type"]) or "the core"
            print("coroutine %#x '%s' of %s %s: %s in context '%s'%s" % (
                int(co), text(co["name"]), owner, co["owner_id"].string(), state,
                text(co["home"]["name"]), ", cancelled" if co["cancelled"] else ""))
            if state in ("running", "woken") or not int(co["fibre"]["sp"]):
                continue
            saved = read_saved(int(co["fibre"]["sp"]))
            print("  goes on in " + gdb.execute("info symbol %d" % saved["rip"], to_string=True).strip())
            if argument.strip() == "bt":
                print("  " + call_chain(saved).replace("\n", "\n  ").rstrip())
        print("%d coroutines" % count)


class Objects(gdb.Command):
    """The object tree, to a depth if one is given."""

    def __init__(self):
        super().__init__("backplane objects", gdb.COMMAND_DATA)

    def show(self, obj, depth, most):
        while int(obj):
            print("%s/%s (%s) %#x" % ("  " * depth, text(obj["id"]), text(obj["info"]["name"]), int(obj)))
            if depth < most:
                self.show(obj["first"], depth + 1, most)
            obj = obj["next"]

    def invoke(self, argument, from_tty):
        root = gdb.parse_and_eval("bpc_object_root::root")
        if int(root):
            self.show(root["first"], 0, int(argument) if argument.strip() else 100)


Backplane()
Coroutines()
Objects()
