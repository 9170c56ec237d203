"""A TLS context with librdkafka's settings: whom to trust, and which certificate to show.

The standard library reads certificates of ours from PEM files only. So what is given as text goes through a file that
only this user may read and that is gone at once, and a PKCS#12 store through the command ``openssl``.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping

from pykafka_store.errors import InvalidConfigError


def context_of(settings: Mapping[str, object]) -> ssl.SSLContext:
    """Raises InvalidConfigError."""
    try:
        made = ssl.create_default_context(
            cafile=_path(settings, "ssl.ca.location"), cadata=str(settings.get("ssl.ca.pem") or "") or None
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidConfigError(f"ssl.truststore: the certificates can't be read: {_why(error)}") from None
    if settings.get("ssl.endpoint.identification.algorithm", "https") == "none":
        made.check_hostname = False
    # OpenSSL's later default, by which some certificate authorities of companies would be refused that Java trusts.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    password = str(settings.get("ssl.key.password") or "")
    certificate, key = _path(settings, "ssl.certificate.location"), _path(settings, "ssl.key.location")
    if certificate is not None:
        _load(made, certificate, key, password)
    elif settings.get("ssl.certificate.pem") or settings.get("ssl.key.pem"):
        pem = f"{settings.get('ssl.key.pem')}\n{settings.get('ssl.certificate.pem')}\n"
        _load_text(made, pem.encode(), password)
    elif (store := _path(settings, "ssl.keystore.location")) is not None:
        _load_text(made, _from_pkcs12(store, str(settings.get("ssl.keystore.password") or "")), "")
    return made


def _path(settings: Mapping[str, object], name: str) -> str | None:
    value = settings.get(name)
    return os.path.expanduser(str(value)) if value else None


def _load_text(made: ssl.SSLContext, pem: bytes, password: str) -> None:
    with tempfile.NamedTemporaryFile(prefix="pykafka-") as file:  # readable for its owner only
        file.write(pem)
        file.flush()
        _load(made, file.name, None, password)


def _load(made: ssl.SSLContext, certificate: str, key: str | None, password: str) -> None:
    try:
        made.load_cert_chain(certificate, key, lambda: password)  # never asks on the terminal
    except (OSError, ValueError) as error:
        raise InvalidConfigError(
            f"ssl.keystore: the certificate or key can't be read: {_why(error)}: is it PEM, and ssl.key.password right?"
        ) from None


def _from_pkcs12(path: str, password: str) -> bytes:
    command = ["openssl", "pkcs12", "-in", path, "-nodes", "-passin", "stdin"]
    try:
        done = subprocess.run(command, input=password.encode() + b"\n", capture_output=True, check=False)
    except OSError as error:
        raise InvalidConfigError(
            f"ssl.keystore.location {path} is a PKCS#12 store, and this request reads one by the command openssl: "
            f"{error.strerror}; install it, or set ssl.keystore.type=PEM with a PEM file"
        ) from None
    if done.returncode != 0:
        said = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[0]
        raise InvalidConfigError(f"ssl.keystore.location {path} can't be read: {said}: is ssl.keystore.password right?")
    return done.stdout


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
