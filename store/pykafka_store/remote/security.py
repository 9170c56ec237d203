"""Settings of TLS and SASL: Java's key stores and JAAS lines -> librdkafka's settings.

Sources: SslConfigs and SaslConfigs of Kafka 4.3; librdkafka's CONFIGURATION.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from pykafka_store.errors import InvalidConfigError

SECURITY = {
    "sasl.jaas.config", "ssl.endpoint.identification.algorithm", "ssl.keystore.certificate.chain", "ssl.keystore.key",
    "ssl.keystore.location", "ssl.keystore.password", "ssl.keystore.type", "ssl.truststore.certificates",
    "ssl.truststore.location", "ssl.truststore.password", "ssl.truststore.type",
}  # fmt: skip
"""The settings that are translated here."""

_URL_PASSWORD = re.compile(r"://[^/@\s]*:([^/@\s]+)@")
_SECRET = re.compile(r"password|secret|jaas|keystore\.key|\.pem$")


def secrets_in(given: Mapping[str, str]) -> list[str]:
    """The values that no text may show: passwords and keys, also those in URLs."""
    secrets = [value for name, value in given.items() if _SECRET.search(name)]
    return secrets + [found[1] for value in given.values() for found in _URL_PASSWORD.finditer(value)]


# ------------------------------------------------------------------------------------------------------------- TLS

_JKS_MAGIC = b"\xfe\xed\xfe\xed"


def trust(given: Mapping[str, str]) -> dict[str, str]:
    """Whom a client trusts: ``ssl.truststore.*`` and the check of the host's name. Raises InvalidConfigError."""
    settings = {}
    if "ssl.endpoint.identification.algorithm" in given:
        algorithm = given["ssl.endpoint.identification.algorithm"].strip().lower()
        if algorithm not in {"", "none", "https"}:
            raise InvalidConfigError(f"ssl.endpoint.identification.algorithm is https or empty, and not {algorithm}")
        settings["ssl.endpoint.identification.algorithm"] = algorithm or "none"
    pem = given.get("ssl.truststore.certificates", "").strip()
    path = given.get("ssl.truststore.location", "").strip()
    if pem:
        settings["ssl.ca.pem"] = pem
    elif path:
        form = _store_form(path, "ssl.truststore.location")
        if form != "PEM":
            raise InvalidConfigError(
                f"ssl.truststore.location {path} is a {form} store, which librdkafka can't read: convert it to PEM "
                f"with keytool -list -rfc -keystore {path} > ca.pem, and set ssl.truststore.location=ca.pem and "
                "ssl.truststore.type=PEM"
            )
        settings["ssl.ca.location"] = path
    return settings


def identity(given: Mapping[str, str]) -> dict[str, str]:
    """Which certificate a client shows: ``ssl.keystore.*``. Raises InvalidConfigError."""
    settings = {}
    chain, key = (given.get(f"ssl.keystore.{part}", "").strip() for part in ("certificate.chain", "key"))
    path = given.get("ssl.keystore.location", "").strip()
    if chain or key:
        settings["ssl.certificate.pem"] = chain
        settings["ssl.key.pem"] = key
    elif path:
        form = _store_form(path, "ssl.keystore.location")
        if form == "JKS":
            raise InvalidConfigError(
                f"ssl.keystore.location {path} is a JKS store, which librdkafka can't read: convert it with keytool "
                f"-importkeystore -srckeystore {path} -destkeystore client.p12 -deststoretype PKCS12, and set "
                "ssl.keystore.location=client.p12 and ssl.keystore.type=PKCS12"
            )
        if form == "PEM":
            settings["ssl.certificate.location"] = settings["ssl.key.location"] = path
        else:
            settings["ssl.keystore.location"] = path
            if "ssl.keystore.password" in given:
                settings["ssl.keystore.password"] = given["ssl.keystore.password"]
    return settings


def _store_form(path: str, setting: str) -> str:
    """PEM, JKS or PKCS12, by the first bytes of the file, for the setting that names the type may be left out."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise InvalidConfigError(f"{setting} {path} can't be read: {error.strerror}") from None
    if b"-----BEGIN" in start:
        return "PEM"
    return "JKS" if start.startswith(_JKS_MAGIC) else "PKCS12"


# ------------------------------------------------------------------------------------------------------------ SASL

_JAAS = re.compile(
    r"\s*(?P<module>[\w.$]+)\s+(?:required|requisite|sufficient|optional)\b(?P<options>.*?);?\s*", re.DOTALL
)
_JAAS_OPTION = re.compile(r"\s*([\w.-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"';]+))", re.DOTALL)


def log_in(given: Mapping[str, str]) -> tuple[dict[str, str | bool], list[str]]:
    """How a client logs in: ``sasl.jaas.config``, a login module's line in Java's JAAS syntax; and its secrets.

    Raises InvalidConfigError, whose text does not repeat the line: it holds a password.
    """
    settings: dict[str, str | bool] = {}
    text = given.get("sasl.jaas.config", "")
    if not text.strip():
        if given.get("sasl.mechanism", "").strip() == "OAUTHBEARER":
            # Since Kafka 4.1 settings of their own say it as well (KIP-1139).
            if not given.get("sasl.oauthbearer.client.credentials.client.id"):
                raise InvalidConfigError(
                    "sasl.mechanism=OAUTHBEARER needs sasl.oauthbearer.client.credentials.client.id and the "
                    "client.secret beside it, or sasl.jaas.config"
                )
            settings["sasl.oauthbearer.method"] = "oidc"
        return settings, []
    line = _JAAS.fullmatch(text)
    options = None if line is None else _jaas_options(line["options"])
    if line is None or options is None:
        raise InvalidConfigError(
            'sasl.jaas.config is malformed: it is written MODULE required name="value" ...; (its value is not shown)'
        )
    secrets = [value for name, value in options.items() if re.search("(?i)password|secret", name)]
    match line["module"].rpartition(".")[2]:
        case "PlainLoginModule" | "ScramLoginModule":
            _required(options, ("username", "password"))
            settings["sasl.username"], settings["sasl.password"] = options["username"], options["password"]
        case "OAuthBearerLoginModule":
            _oauth(options, settings)
        case "Krb5LoginModule":
            for name, setting in (("principal", "sasl.kerberos.principal"), ("keyTab", "sasl.kerberos.keytab")):
                if name in options:
                    settings[setting] = options[name]
        case other:
            raise InvalidConfigError(
                f"sasl.jaas.config names {other}, which has no counterpart in librdkafka: there are PlainLoginModule, "
                "ScramLoginModule, OAuthBearerLoginModule and Krb5LoginModule"
            )
    return settings, secrets


def _jaas_options(text: str) -> dict[str, str] | None:
    """The options of a login module; None if they are malformed."""
    options = {}
    position = 0
    while text[position:].strip():
        option = _JAAS_OPTION.match(text, position)
        if option is None:
            return None
        name, double, single, bare = option.groups()
        quoted = double if double is not None else single
        options[name] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        position = option.end()
    return options


def _oauth(options: Mapping[str, str], settings: dict[str, str | bool]) -> None:
    """Client credentials at an OIDC provider, or an unsecured token, which is for tests only."""
    claims = {name: value for name, value in options.items() if name.startswith("unsecuredLogin")}
    if claims:
        settings["enable.sasl.oauthbearer.unsecure.jwt"] = True
        settings["sasl.oauthbearer.config"] = f"principal={claims.get('unsecuredLoginStringClaim_sub', '')}"
        return
    settings["sasl.oauthbearer.method"] = "oidc"
    for name, setting in (("clientId", "client.id"), ("clientSecret", "client.secret"), ("scope", "scope")):
        if name in options:
            settings[f"sasl.oauthbearer.{setting}"] = options[name]
    extensions = [
        f"{name.removeprefix('extension_')}={value}" for name, value in options.items() if name.startswith("extension_")
    ]
    if extensions:
        settings["sasl.oauthbearer.extensions"] = ",".join(extensions)


def _required(options: Mapping[str, str], names: Iterable[str]) -> None:
    for name in names:
        if name not in options:
            raise InvalidConfigError(f"sasl.jaas.config has no {name}")
