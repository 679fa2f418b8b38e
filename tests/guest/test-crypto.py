#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's virtio_crypto driver: the kernel's own tests of the cipher, and kcapi-enc beside openssl."""
import shutil
import subprocess

from console import Tap
from linux import Guest

DRIVERS = ("crc32c_generic", "algif_skcipher", "crypto_user", "virtio_pci", "virtio_crypto")
KEY, IV = "000102030405060708090a0b0c0d0e0f", "ffeeddccbbaa99887766554433221100"
TEXT = "Words that a cipher takes apart and puts together again; 64 chars"[:64]


def the_kernel_tests_and_uses_the_cipher():
    """The example of the manual."""
    with Guest("-m", "512", "-object", "cryptodev-backend-builtin,id=cryptodev0", "-device",
               "virtio-crypto-pci,id=crypto0,cryptodev=cryptodev0", drivers=DRIVERS, programs=("kcapi-enc",),
               append=" cryptomgr.notests=0") as g:
        text = g.run("grep -A9 virtio_crypto_aes_cbc /proc/crypto; dmesg | grep -i virtio_crypto")
        assert "driver       : virtio_crypto_aes_cbc" in text and "selftest     : passed" in text, text
        assert "fail" not in text.lower(), text
        text = g.run(f"printf '{TEXT}' > t; printf '\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x09\\x0a\\x0b\\x0c\\x0d"
                     f"\\x0e\\x0f' > k; kcapi-enc -c 'virtio_crypto_aes_cbc' -e -i t -o c --iv {IV} "
                     "--keyfd 3 3< k; head -c 64 c | md5sum | cut -c1-32", 60)
        want = subprocess.run(["openssl", "enc", "-aes-128-cbc", "-nopad", "-K", KEY, "-iv", IV], input=TEXT.encode(),
                              stdout=subprocess.PIPE, check=True).stdout
        digest = subprocess.run(["md5sum"], input=want, stdout=subprocess.PIPE, check=True).stdout.decode()[:32]
        assert digest in text, (digest, text)


def main():
    tap = Tap()
    if shutil.which("kcapi-enc") and shutil.which("openssl"):
        tap.case("the_kernel_tests_and_uses_the_cipher", the_kernel_tests_and_uses_the_cipher)
    else:
        tap.skip("the_kernel_tests_and_uses_the_cipher", "kcapi-enc (package kcapi-tools) or openssl is missing")
    tap.done()


if __name__ == "__main__":
    main()
