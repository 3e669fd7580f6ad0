"""The engine of an HTTP library, how it makes connections (TLS, proxy), and what its errors mean.

Of httpx2 or httpx only the engine is used: httpcore, with its connections and networks.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
from dataclasses import dataclass, field
from errno import ENOENT
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ...lazy import LazyModule
from ..config import ClientConfig
from ..errors import ConfigurationError, refer
from ..hidden import Hidden, hide_address, reveal
from ..steps import Fault, FaultKind
from .network import Network

if TYPE_CHECKING:
    import ssl
else:
    ssl = LazyModule("ssl", globals())

VARIABLE = "OSS_VECTORS_HTTP_LIBRARY"
_ENGINES = {"httpx2": "httpcore2", "httpx": "httpcore"}
# a peer that closes sooner is noticed when the connection is taken again
_KEEP_ALIVE_SECONDS = 60.0


def settings_for(config: ClientConfig) -> Settings:
    """Return the connection settings of a client.

    Raises:
        ConfigurationError: no HTTP library is installed, or proxy or `ca_file` cannot be used.
    """
    library = _library_name()
    proxy = _proxy_url(config.proxy or _environment_proxy(config))
    tunnels = config.endpoint.scheme == "https"
    secure = tunnels or (reveal(proxy) or "").startswith("https:")
    return Settings(
        importlib.import_module(_ENGINES[library]),
        _tls_context(library, config.ca_file) if secure else None,
        proxy,
        tunnels,
        config.connect_timeout,
        config.max_concurrency,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of connections, and the engine that makes them.

    Attributes:
        tls: for the service, a proxy or both; None where neither is https.
        tunnels: the service is https: a proxy is asked for a tunnel, and sees nothing else.
    """

    engine: Any
    tls: ssl.SSLContext | None
    proxy: str | Hidden | None = field(repr=False)
    tunnels: bool
    connect_timeout: float
    max_connections: int

    @property
    def proxy_origin(self) -> str | None:
        """Return the proxy's address without its user and password."""
        parts = urlsplit(reveal(self.proxy) or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if self.proxy else None

    @property
    def proxy_handshakes(self) -> int:
        """Return how many TLS handshakes lead to the proxy; the next is the service's."""
        return int((self.proxy_origin or "").startswith("https:"))

    def pool_arguments(self, network: Any) -> dict[str, Any]:
        """Return the arguments of the engine's pool, which makes connections on a network."""
        return {
            "ssl_context": self.tls,
            "proxy": self._engine_proxy() if self.proxy else None,
            "keepalive_expiry": _KEEP_ALIVE_SECONDS,
            "network_backend": network,
        }

    def _engine_proxy(self) -> Any:
        # the engine ignores what a proxy's URL says before the @, user and password
        parts = urlsplit(reveal(self.proxy))
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        auth = (user.encode(), password.encode()) if parts.username else None
        return self.engine.Proxy(self.proxy_origin, auth, ssl_context=self.tls)


def _library_name() -> str:
    wanted = os.environ.get(VARIABLE)
    if wanted is not None and wanted not in _ENGINES:
        raise ConfigurationError(f"{VARIABLE} must be httpx2 or httpx.")
    names = [wanted] if wanted else list(_ENGINES)
    found = next(filter(importlib.util.find_spec, names), None)
    if found is None:
        raise ConfigurationError(f"no HTTP library is installed: pip install {names[0]}")
    return found


# where the authorities come from, the first that is named: `ca_file`, then what OpenSSL knows
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# OpenSSL finds a certificate of a directory by its name alone: the hash of its subject
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def _tls_context(library: str, ca_file: str | None) -> ssl.SSLContext:
    # made once for each state of what it was made of, and shared: reading the authorities takes
    # tens of milliseconds, too long for an event loop on which a client is made
    source, path = "ca_file", ca_file
    for variable in _AUTHORITIES:
        if not path:  # empty counts as unset, as with the HTTP libraries
            source, path = variable, os.environ.get(variable)
    try:
        state = _directory_state(path) if path and source == "SSL_CERT_DIR" else _file_state(path)
        return _load_context(library, source, path or "", state, os.environ.get(_SESSION_KEYS))
    except OSError as error:
        raise _tls_error(source, path or "", error) from None


# where Python writes the keys of TLS sessions to, for any program
_SESSION_KEYS = "SSLKEYLOGFILE"


def _tls_error(source: str, path: str, error: OSError) -> ConfigurationError:
    # an `ssl.SSLError` is an OSError too, whose word is its reason
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    if error.filename and error.filename == os.environ.get(_SESSION_KEYS):
        source, path, what = _SESSION_KEYS, error.filename, "cannot be written"
    elif not path:
        source, path = "this machine's", ssl.get_default_verify_paths().openssl_cafile
        what = "cannot be read"
    elif source == "SSL_CERT_DIR":
        what = "holds no certificate under a hashed name, as `openssl rehash` makes them"
    else:
        what = "cannot be read as PEM"
    argument = source if source == "ca_file" else None
    fields = {"source": refer(source) if argument else source, "what": what, "reason": reason}
    return ConfigurationError(
        "{source} {value} {what}: {reason}.", argument=argument, value=path, fields=fields
    )


def _file_state(path: str | None) -> object:
    # its content, for a file that is replaced in place may keep size, time and inode
    if path:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    default = ssl.get_default_verify_paths()
    return tuple(_status(place) for place in (default.openssl_cafile, default.openssl_capath))


def _directory_state(paths: str) -> object:
    # what OpenSSL has looked up there it keeps, and it says nothing of a directory that is not
    places = [Path(path) for path in paths.split(os.pathsep) if path]
    names = {
        (str(entry), _status(entry))
        for place in places
        if place.is_dir()
        for entry in place.iterdir()
        if _HASHED_NAME.fullmatch(entry.name)
    }
    if not names:
        missing = places and not any(place.is_dir() for place in places)
        raise OSError(ENOENT, os.strerror(ENOENT) if missing else "none of its files has one")
    return frozenset(names)


def _status(place: str | os.PathLike[str]) -> tuple[int, ...] | None:
    try:
        found = Path(place).stat()  # follows links, as Kubernetes puts them into its mounts
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


@lru_cache(maxsize=8)
def _load_context(
    library: str, source: str, path: str, state: object, keys: str | None
) -> ssl.SSLContext:
    del state, keys  # they only tell one context from another; Python reads the variable itself
    if not path:
        context: ssl.SSLContext = importlib.import_module(library).create_ssl_context()
        return context
    if source == "SSL_CERT_DIR":
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def _environment_proxy(config: ClientConfig) -> str | Hidden | None:
    # what HTTPS_PROXY and NO_PROXY name for the endpoint, as curl reads them
    if config.endpoint.path_style:  # an address or localhost, which no proxy could reach
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - as slow as all of this

    proxies = getproxies()
    proxy = proxies.get(config.endpoint.scheme) or proxies.get("all")
    return None if proxy is None or proxy_bypass(config.endpoint.host) else hide_address(proxy)


def _proxy_url(proxy: str | Hidden | None) -> str | Hidden | None:
    if proxy is None:
        return None
    if not _is_proxy(reveal(proxy)):  # not quoted: it may hold a password
        raise ConfigurationError(
            "the proxy ({proxy_sources}) is not [http[s]://]host:port",
            argument="proxy",
            remedy="{no_proxy} leads around it",
        )
    return hide_address(_with_scheme(reveal(proxy)))  # type: ignore[no-any-return]


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_proxy(proxy: str) -> bool:
    try:
        parts = urlsplit(_with_scheme(proxy))
        return bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
    except ValueError:
        return False


def fault_of(error: Exception, settings: Settings, network: Network) -> Fault | None:
    """Return what an exception of the engine means, or None if it is none of the engine's."""
    # by name: httpcore and httpcore2 have classes of their own. The last two come through its async
    # network as they are: a fault of TLS behind the handshake, and an end in the middle of a write.
    names = {base.__name__ for base in type(error).__mro__}
    if not names & {*_ENGINE_ERRORS, "OSError", "EndOfStream"}:
        return None
    causes: list[BaseException] = [error]
    while (deeper := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(deeper)
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    kind = _fault_kind(names, str(error), tls)
    reason = "" if tls is None else _tls_reason(tls)
    if "ProxyError" in names:
        # the text begins with the status; what a proxy adds to it is not repeated
        kind, reason = proxy_refusal(int(str(error)[:3]))
    on_the_way = settings.proxy is not None and network.handshakes <= settings.proxy_handshakes
    if on_the_way and kind is FaultKind.CLOSED and settings.tunnels:
        kind = FaultKind.CONNECT  # before the tunnel was there: nothing of the request was sent
    # the name of the last says more: `gaierror` than `ConnectError`
    name = type(causes[-1]).__name__
    return Fault(kind, name, reason, settings.proxy_origin if on_the_way else None)


_ENGINE_ERRORS = ("TimeoutException", "NetworkError", "ProtocolError", "ProxyError")
# a client that has a certificate is the only cure; with TLS 1.3 this comes behind the handshake
_CERTIFICATE_WANTED = "TLSV13_ALERT_CERTIFICATE_REQUIRED"


def _fault_kind(names: set[str], text: str, tls: ssl.SSLError | None) -> FaultKind:
    if "ConnectError" in names:
        # a connection that merely ended in the handshake is no refusal, and may do better next time
        ended = isinstance(tls, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        return FaultKind.CONNECT if tls is None or ended else FaultKind.TLS
    if names & {"ConnectTimeout", "ProxyError"}:
        return FaultKind.CONNECT
    if "TimeoutException" in names:
        return FaultKind.DEADLINE
    if tls is not None and tls.reason == _CERTIFICATE_WANTED:
        return FaultKind.TLS
    # a connection that ended early may be better next time, a peer that speaks no HTTP will not
    ended = "Server disconnected" in text or "peer closed connection" in text
    ended = ended and "RemoteProtocolError" in names
    early = ended or names & {"NetworkError", "OSError", "EndOfStream"}
    return FaultKind.CLOSED if early else FaultKind.PROTOCOL


def _tls_reason(error: ssl.SSLError) -> str:
    # words of OpenSSL's own, which name at most the host that was asked for
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "") or "it could not be verified"
        return f"its certificate was not accepted: {why.rstrip('.')}"
    if error.reason == _CERTIFICATE_WANTED:
        return f"it wants a certificate of this client, which has none ({error.reason})"
    return error.reason or ""


def proxy_refusal(status: int) -> tuple[FaultKind, str]:
    """Return what a proxy's refusal is: final, as of a wrong password, or one that may pass."""
    try:
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"HTTP {status}"
    final = 400 <= status < 500 and status not in {408, 425, 429}  # noqa: PLR2004 - HTTP's own
    return FaultKind.PROXY if final else FaultKind.CONNECT, said
