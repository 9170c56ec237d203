"""Where a server is to listen and who may come in: by the options of ``pykafka serve``, or a server's properties.

Sources: KafkaConfig, SocketServerConfigs, SslConfigs, BrokerSecurityConfigs, PlainServerCallbackHandler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pykafka_cli.errors import Refusal
from pykafka_cli.tool.server import is_loopback
from pykafka_store.numbers import whole_number
from pykafka_store.settings.listeners import (
    CLIENT_AUTH,
    MECHANISMS,
    PLAIN,
    PLAINTEXT,
    PROTOCOLS,
    Listener,
    Login,
    Tls,
    read_users,
)

DEFAULT_PORT = 9092
DEFAULT_LISTEN = f"127.0.0.1:{DEFAULT_PORT}"
LOCAL = "127.0.0.1"


def is_guarded(listener: Listener) -> bool:
    """Whether nobody comes in whom the server does not know."""
    required = listener.is_encrypted and listener.tls is not None and listener.tls.client_auth == CLIENT_AUTH[2]
    return listener.has_login or required


def spelled(listener: Listener) -> str:
    """The listener as one word; a plain one is its address."""
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    address = f"{host}:{listener.port}"
    return address if listener.protocol == PLAINTEXT else f"{listener.protocol}://{address}"


def what_it_means(listener: Listener) -> str | None:
    """What whoever opens a port to other machines is to know; None where nobody else reaches it, or all is well."""
    if is_loopback(listener.host):
        return None
    if not is_guarded(listener):
        return (
            f"{spelled(listener)} can be reached from other machines, and whoever reaches it may read, write and "
            "delete everything"
        )
    if not listener.is_encrypted:
        readable = "passwords and records travel" if PLAIN in _mechanisms(listener.login) else "records travel"
        return f"{spelled(listener)} can be reached from other machines, and {readable} unencrypted: see SASL_SSL"
    return None


def _mechanisms(login: Login) -> list[str]:
    return [each for each in login.mechanisms if each != PLAIN or login.passwords]


# ---------------------------------------------------------------------------------------------------- pykafka serve


def listeners_of_options(
    listen: Sequence[str],
    advertise: Sequence[str],
    users: str | None,
    certificate: str | None,
    key: str | None,
    client_ca: str | None,
) -> list[Listener]:
    """What the options say. Raises Refusal, InvalidConfigError."""
    login = Login(passwords=read_users(users)) if users is not None else Login()
    tls = None
    if certificate is not None:
        client_auth = CLIENT_AUTH[0] if client_ca is None else CLIENT_AUTH[2]
        tls = Tls(certificate, key, trusted=client_ca, client_auth=client_auth)
    elif key is not None or client_ca is not None:
        raise Refusal("--key and --client-ca need --certificate")
    found = []
    for text in listen:
        protocol, host, port = _address("--listen", text)
        found.append(Listener(host, port, protocol or PLAINTEXT, None, tls, login))
    if any(each.is_encrypted for each in found) != (tls is not None):
        raise Refusal("--certificate and a --listen SSL://HOST:PORT or SASL_SSL://HOST:PORT need each other")
    if users is not None and not any(each.has_login for each in found):
        raise Refusal("--users needs a --listen SASL_SSL://HOST:PORT or SASL_PLAINTEXT://HOST:PORT")
    for text in advertise:
        protocol, host, port = _address("--advertise", text)
        those = [at for at, each in enumerate(found) if protocol in {None, each.protocol}]
        if len(those) != 1:
            raise Refusal(f"--advertise {text}: {len(those)} addresses of --listen are meant, say PROTOCOL://HOST:PORT")
        found[those[0]] = found[those[0]]._replace(advertised=(host, port))
    return found


def _address(option: str, text: str) -> tuple[str | None, str, int]:
    """Raises Refusal."""
    protocol, mark, address = text.rpartition("://")
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise Refusal(f"{option} {text} is no address: write HOST:PORT, such as {DEFAULT_LISTEN}")
    if mark and protocol not in PROTOCOLS:
        raise Refusal(f"{option} {text}: {protocol} is none of {', '.join(PROTOCOLS)}")
    return protocol or None, host, int(port)


# ---------------------------------------------------------------------------------------------------- server.properties


def listeners_of_properties(properties: Mapping[str, str]) -> list[Listener]:
    """Those of ``listeners`` that clients connect to; one without a host is on this machine only. Raises Refusal for
    what can't be honoured, InvalidConfigError.
    """
    controllers = {each.strip() for each in properties.get("controller.listener.names", "CONTROLLER").split(",")}
    protocols = dict(
        each.strip().partition(":")[::2] for each in properties.get("listener.security.protocol.map", "").split(",")
    )
    advertised = {name: (host or LOCAL, port) for name, host, port in _named(properties, "advertised.listeners")}
    found = []
    for name, host, port in _named(properties, "listeners") or [(PLAINTEXT, "", DEFAULT_PORT)]:
        if name in controllers:
            continue
        protocol = protocols.get(name, name).upper()
        if protocol not in PROTOCOLS:
            raise Refusal(f"listeners: {name} is no protocol: listener.security.protocol.map has to name its protocol")
        listener = Listener(host or LOCAL, port, protocol, advertised.get(name))
        own = _Own(properties, name)
        if listener.is_encrypted:
            listener = listener._replace(tls=_tls(own, name))
        if listener.has_login:
            listener = listener._replace(login=_login(own, name))
        found.append(listener)
    if not found:
        raise Refusal("listeners: none of them is one that clients connect to")
    return found


def _named(properties: Mapping[str, str], setting: str) -> list[tuple[str, str, int]]:
    found = []
    for part in filter(None, (each.strip() for each in properties.get(setting, "").split(","))):
        name, _, address = part.partition("://")
        host, _, port = address.rpartition(":")
        number = whole_number(port, 32)
        if number is None or not 0 <= number <= 65535:
            raise Refusal(f"{setting}={properties[setting]}: {part} is no address: write PLAINTEXT://HOST:PORT")
        found.append((name, host.removeprefix("[").removesuffix("]"), number))
    return found


class _Own:
    """A server's properties as one listener has them: its own (``listener.name.x.``) count more."""

    def __init__(self, properties: Mapping[str, str], name: str) -> None:
        self._properties = properties
        self._prefix = f"listener.name.{name.lower()}."

    def get(self, name: str, default: str | None = None) -> str | None:
        """The setting's value; what is empty is not set."""
        own = self._properties.get(self._prefix + name)
        return (own if own is not None else self._properties.get(name)) or default


def _tls(own: _Own, name: str) -> Tls:
    """Raises Refusal."""
    certificate, key = _inline(own.get("ssl.keystore.certificate.chain")), _inline(own.get("ssl.keystore.key"))
    if certificate is None:
        certificate = _pem(own, "keystore", name)
    if certificate is None:
        raise Refusal(
            f"listener {name} needs ssl.keystore.type=PEM and ssl.keystore.location, a file with key and certificate"
        )
    client_auth = (own.get("ssl.client.auth") or CLIENT_AUTH[0]).lower()
    if client_auth not in CLIENT_AUTH:
        raise Refusal(f"ssl.client.auth={client_auth} is none of {', '.join(CLIENT_AUTH)}")
    trusted = _inline(own.get("ssl.truststore.certificates")) or _pem(own, "truststore", name)
    protocols = tuple(each.strip() for each in (own.get("ssl.enabled.protocols") or "TLSv1.2,TLSv1.3").split(","))
    unknown = set(protocols) - {"TLSv1.2", "TLSv1.3"}
    if unknown:
        raise Refusal(f"ssl.enabled.protocols={','.join(protocols)}: TLSv1.2 and TLSv1.3 can be had")
    return Tls(certificate, key, own.get("ssl.key.password"), trusted, client_auth, protocols)


_PEM = re.compile(r"(-----BEGIN [^-]+-----)([A-Za-z0-9+/=\s]+)(-----END [^-]+-----)")


def _inline(text: str | None) -> str | None:
    """PEM text as it stands in a properties file, where it is one line, with its lines."""
    if text is None:
        return None
    lines = []
    for begin, data, end in _PEM.findall(text):
        joined = "".join(data.split())
        lines += [begin, *(joined[at : at + 64] for at in range(0, len(joined), 64)), end]
    return "\n".join(lines) + "\n" if lines else text


def _pem(own: _Own, store: str, name: str) -> str | None:
    """The file of a key store or a trust store. Raises Refusal where it is no PEM file."""
    location = own.get(f"ssl.{store}.location")
    kind = (own.get(f"ssl.{store}.type") or "JKS").upper()
    if location is None or kind == "PEM":
        return location
    first = ""
    if kind != "PKCS12":
        first = (
            f"keytool -importkeystore -srckeystore {location} -destkeystore {location}.p12 -deststoretype PKCS12, then "
        )
        location = f"{location}.p12"
    nodes = "-nodes" if store == "keystore" else "-nokeys"
    raise Refusal(
        f"listener {name}: ssl.{store}.type={kind} can't be read, PEM can. Convert it: {first}openssl pkcs12 -in "
        f"{location} {nodes} -out {store}.pem; and set ssl.{store}.type=PEM and ssl.{store}.location={store}.pem"
    )


_USER = re.compile(r'\buser_([^\s=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')


def _login(own: _Own, name: str) -> Login:
    """Raises Refusal."""
    wanted = [each.strip().upper() for each in (own.get("sasl.enabled.mechanisms") or "GSSAPI").split(",")]
    mechanisms = tuple(each for each in wanted if each in MECHANISMS)
    if not mechanisms:
        raise Refusal(
            f"listener {name}: sasl.enabled.mechanisms={','.join(wanted)} can't be honoured: "
            f"{', '.join(MECHANISMS)} can"
        )
    jaas = own.get("plain.sasl.jaas.config") or ""
    passwords = {
        found[1]: re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
        for found in _USER.finditer(jaas)
    }
    if mechanisms == (PLAIN,) and not passwords:
        raise Refusal(
            f"listener {name}: PLAIN needs users: listener.name.{name.lower()}.plain.sasl.jaas.config=org.apache.kafka"
            '.common.security.plain.PlainLoginModule required user_NAME="PASSWORD";'
        )
    return Login(mechanisms, passwords, _lifetimes(own, mechanisms))


_REAUTH = "connections.max.reauth.ms"


def _lifetimes(own: _Own, mechanisms: Sequence[str]) -> dict[str, int]:
    """Raises Refusal."""
    found = {}
    for mechanism in mechanisms:
        text = own.get(f"{mechanism.lower()}.{_REAUTH}") or own.get(_REAUTH) or "0"
        number = whole_number(text.strip(), 64)
        if number is None:
            raise Refusal(f"{_REAUTH}={text} is no number of milliseconds")
        if number > 0:
            found[mechanism] = number
    return found
