"""Certificates for tests of TLS, made by openssl: an authority, a server's for 127.0.0.1, and a client's."""

from __future__ import annotations

import subprocess
from pathlib import Path

KEY_PASSWORD = "key-secret"


class Certificates:
    """All are PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = folder / "ca.pem"
        self._key("ca.key")
        self._openssl(
            "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test authority", "-days", "2", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip
        self.certificate, self.key = self._signed("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.client_certificate, self.client_key = self._signed("client", "keyUsage=digitalSignature")
        self.server = folder / "both.pem"
        """The server's key and certificate in one file."""
        self.server.write_text(self.key.read_text() + self.certificate.read_text())
        self.client = folder / "client-both.pem"
        self.client.write_text(self.client_key.read_text() + self.client_certificate.read_text())
        self.locked_key = folder / "locked.key"
        self._openssl("pkcs8", "-topk8", "-in", "server.key", "-out", "locked.key", "-passout", f"pass:{KEY_PASSWORD}")

    def _key(self, name: str) -> None:
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)

    def _signed(self, name: str, extension: str) -> tuple[Path, Path]:
        self._key(f"{name}.key")
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (self._folder / f"{name}.ext").write_text(extension + "\n")
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem",
        )  # fmt: skip
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)
