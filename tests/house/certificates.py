# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates as people make them, with GnuTLS's certtool, for tests of TLS."""
import os
import shutil
import subprocess

import tap


def run(*args, data=None):
    if not shutil.which(args[0]):
        raise tap.Skip("%s is missing (gnutls-bin)" % args[0])
    done = subprocess.run(args, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (args, done.stderr)
    return done.stdout


class Authority:
    """A folder with an authority, and what it signs."""

    def __init__(self, folder, name="Test authority", template="ca\ncert_signing_key\ncrl_signing_key\n"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.key, self.certificate = os.path.join(folder, "ca-key.pem"), os.path.join(folder, "ca-cert.pem")
        self.make_key(self.key)
        config = self.write("ca.info", "cn = %s\nexpiration_days = 100\n%s" % (name, template))
        run("certtool", "--generate-self-signed", "--load-privkey", self.key, "--template", config, "--outfile",
            self.certificate)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    @staticmethod
    def make_key(path):
        run("certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", path)

    def sign(self, folder, kind, template=None, key=True):
        """KIND-cert.pem and KIND-key.pem in a folder, with the authority's certificate beside."""
        os.makedirs(folder, exist_ok=True)
        if folder != self.folder:
            shutil.copy(self.certificate, os.path.join(folder, "ca-cert.pem"))
        if template is None:
            template = "cn = %s.example.com\nsigning_key\nencryption_key\ntls_www_%s\ndns_name = localhost\n" \
                "ip_address = 127.0.0.1\n" % (kind, kind)
        if "days" not in template and "expiration_date" not in template:
            template += "expiration_days = 50\n"
        config = self.write(kind + ".info", template)
        own_key = os.path.join(folder, kind + "-key.pem")
        if key:
            self.make_key(own_key)
        run("certtool", "--generate-certificate", "--load-privkey", own_key, "--load-ca-certificate", self.certificate,
            "--load-ca-privkey", self.key, "--template", config, "--outfile", os.path.join(folder, kind + "-cert.pem"))
        return os.path.join(folder, kind + "-cert.pem"), own_key

    def revoke(self, certificate, path):
        """A list that has one certificate."""
        config = self.write("crl.info", "expiration_days = 30\ncrl_next_update = 30\n")
        run("certtool", "--generate-crl", "--load-ca-privkey", self.key, "--load-ca-certificate", self.certificate,
            "--load-certificate", certificate, "--template", config, "--outfile", path)
