# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Secrets in every form, encrypted ones by openssl, given to a VNC server, whose client has to know them. Usage:
test-secrets.py SOURCE-ROOT BUILD-ROOT vnc|none
"""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys

sys.path[:0] = [os.path.join(sys.argv[1], "tests", "house")]
import rfb  # noqa: E402
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("secrets-")


def path(name, data=None):
    full = os.path.join(DIR, name)
    if data is not None:
        with open(full, "wb") as f:
            f.write(data)
    return full


def opens(password, *options, secret="s"):
    """Does a viewer with this password get in, when the server has the secret?"""
    if sys.argv[3] != "vnc":
        raise tap.Skip("built without VNC")
    server = path("vnc-" + secret)
    words = [word for option in options for word in ("-object", option)]
    with Emulator(PROGRAM, *words, "-vnc", "unix:%s,password-secret=%s" % (server, secret), quiet=(
            "-nodefaults", "-accel", "qtest")):
        for told, good in ((password, True), ("other" + password, False)):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(WAIT)
            s.connect(server)
            try:
                rfb.Client(s, password=told)
                got_in = True
            except (rfb.Refused, rfb.Closed):
                got_in = False
            s.close()
            assert got_in == good, (options, told, got_in)


def refused(option, *before):
    words = [word for o in (*before, option) for word in ("-object", o)]
    run = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *words], capture_output=True,
                         text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1, (option, run)
    return run.stderr


def plain_ones_are_known_to_who_uses_them():
    opens("letmein", "secret,id=s,data=letmein,format=raw")
    opens("letmein", "secret,id=s,data=letmein")
    opens("letmein", "secret,id=s,file=" + path("mypasswd.txt", b"letmein"))
    opens("letmein", "secret,id=s,data=%s,format=base64" % base64.b64encode(b"letmein").decode())
    opens("letmein", "secret,id=s,format=base64,file=" + path("b64", base64.b64encode(b"letmein") + b"\n"))
    opens("l\u00e4ss", json.dumps({"qom-type": "secret", "id": "s", "data": "l\u00e4ss"}))


def wrong_ones_are_refused():
    assert "either 'data' or 'file'" in refused("secret,id=s")
    assert "either 'data' or 'file'" in refused("secret,id=s,data=x,file=/dev/null")
    assert "base64" in refused("secret,id=s,data=x!,format=base64")
    assert "/no/such" in refused("secret,id=s,file=/no/such")
    assert "format" in refused("secret,id=s,data=x,format=hex")


def openssl(*args, data=None):
    if not shutil.which("openssl"):
        raise tap.Skip("openssl is missing")
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def encrypted_ones_are_decrypted():
    # As the manual has it.
    key = openssl("rand", "-base64", "32")
    iv = openssl("rand", "-base64", "16")
    secret = openssl("enc", "-aes-256-cbc", "-a", "-K", base64.b64decode(key).hex(), "-iv",
                     base64.b64decode(iv).hex(), data=b"letmein").decode().strip()
    master = "secret,id=secmaster0,format=base64,file=" + path("key.b64", key)
    sec0 = "secret,id=sec0,keyid=secmaster0,format=base64,data=%s,iv=%s" % (secret, iv.decode().strip())
    opens("letmein", master, sec0, secret="sec0")
    raw = path("raw", base64.b64decode(secret))
    opens("letmein", master, "secret,id=sec0,keyid=secmaster0,file=%s,iv=%s" % (raw, iv.decode().strip()), secret="sec0")


def encrypted_ones_that_do_not_fit_are_refused():
    key = base64.b64encode(bytes(range(32))).decode()
    iv = base64.b64encode(bytes(16)).decode()
    secret = openssl("enc", "-aes-256-cbc", "-a", "-K", bytes(range(32)).hex(), "-iv", bytes(16).hex(),
                     data=b"letmein").decode().strip()
    master = "secret,id=k,format=base64,data=" + key
    form = "secret,id=s,format=base64,data=%s" % secret
    assert "needs 'iv'" in refused(form + ",keyid=k", master)
    assert "needs 'keyid'" in refused(form + ",iv=" + iv, master)
    assert "no secret 'nosuch'" in refused(form + ",keyid=nosuch,iv=" + iv, master)
    assert "32 bytes, not 5" in refused(form + ",keyid=k,iv=" + iv, "secret,id=k,data=short")
    assert "16 bytes in base64, not 3" in refused(form + ",keyid=k,iv=AAAA", master)
    assert "not base64" in refused(form + ",keyid=k,iv=!!", master)
    assert "multiple of 16 bytes, not 3" in refused("secret,id=s,format=base64,data=AAAA,keyid=k,iv=" + iv, master)
    other = "secret,id=k,format=base64,data=" + base64.b64encode(bytes(31) + b"\1").decode()
    assert "does not fit" in refused(form + ",keyid=k,iv=" + iv, other)


tap.run([plain_ones_are_known_to_who_uses_them, wrong_ones_are_refused, encrypted_ones_are_decrypted,
         encrypted_ones_that_do_not_fit_are_refused])
