# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ThreadSanitizer reports about a machine, but for races for the guest's own memory: guests race as
they like. That memory lies in files of their own, so that reports name it."""
import glob
import os

from tap import Skip

THREADS = os.environ.get("BACKPLANE_TSAN") == "1"
# Main memory, and what test-rambar shows.
GUEST_MEMORY = ("(memfd:pc.ram", "(memfd:rambar")

# For Linux's command line: half of a boot are ciphers that test themselves and certificates.
LINUX = " cryptomgr.notests initcall_blacklist=load_system_certificate_list,init_kprobe_trace,crypto_kdf108_init" \
        if THREADS else ""


def environment(folder):
    if not THREADS:
        return {}
    return {"TSAN_OPTIONS": "halt_on_error=0 exitcode=0 verbosity=1 log_path=%s/tsan" % folder}


def main_memory(size):
    if not THREADS:
        return []
    return ["-object", "memory-backend-memfd,id=pc.ram,size=" + size, "-machine", "memory-backend=pc.ram"]


def judge(folder):
    """The last case of a test whose machines had environment() and main_memory()."""
    if not THREADS:
        raise Skip("this build has no ThreadSanitizer")
    reports, at_work = [], False
    for path in glob.glob(folder + "/tsan*"):
        with open(path, errors="replace") as f:
            said = f.read()
        at_work |= "Running under ThreadSanitizer" in said
        reports += [r for r in said.split("==================") if "WARNING" in r or "ERROR" in r]
    ours = [r for r in reports if not any(name in r for name in GUEST_MEMORY)]
    print("# %d reports, %d of them about more than guest memory" % (len(reports), len(ours)), flush=True)
    assert at_work, "ThreadSanitizer was not at work"
    assert not ours, "\n".join(r[:3000] for r in ours[:3])
