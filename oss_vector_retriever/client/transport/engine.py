"""The engine of an HTTP library, how it makes connections (TLS, proxy), and what its errors mean.

Of httpx2 or httpx only the engine is used: httpcore, with its connections and networks.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ..config import ClientConfig
from ..errors import ConfigurationError
from ..hidden import Hidden, hide_address, reveal
from ..steps import Fault, FaultKind

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
    https = config.endpoint.scheme == "https"
    return Settings(
        importlib.import_module(_ENGINES[library]),
        _tls_context(library, config.ca_file) if https else None,
        _proxy_url(config.proxy or _environment_proxy(config)),
        config.connect_timeout,
        config.max_concurrency,
        config.max_reply_bytes,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of connections, and the engine that makes them."""

    engine: Any
    tls: ssl.SSLContext | None
    proxy: str | Hidden | None = field(repr=False)
    connect_timeout: float
    max_connections: int
    max_reply_bytes: int

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
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        auth = (user.encode(), password.encode()) if parts.username else None
        return self.engine.Proxy(bare, auth, ssl_context=self.tls)


def _library_name() -> str:
    wanted = os.environ.get(VARIABLE)
    if wanted is not None and wanted not in _ENGINES:
        raise ConfigurationError(f"{VARIABLE} must be httpx2 or httpx.")
    names = [wanted] if wanted else list(_ENGINES)
    found = next(filter(importlib.util.find_spec, names), None)
    if found is None:
        raise ConfigurationError(f"no HTTP library is installed: pip install {names[0]}")
    return found


@lru_cache(maxsize=8)
def _tls_context(library: str, ca_file: str | None) -> ssl.SSLContext:
    # made once and shared: reading the authorities takes tens of milliseconds, too long for an
    # event loop on which a client is made; `ca_file` (PEM) takes the place of the library's own
    if ca_file is None:
        context: ssl.SSLContext = importlib.import_module(library).create_ssl_context()
        return context
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        text = "{argument} {value} cannot be read as PEM."
        raise ConfigurationError(text, argument="ca_file", value=ca_file) from error


def _environment_proxy(config: ClientConfig) -> str | Hidden | None:
    # what HTTPS_PROXY and NO_PROXY name for the endpoint, as curl reads them
    if config.endpoint.path_style:  # an address or localhost, which no proxy could reach
        return None
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


def fault_of(error: Exception) -> Fault | None:
    """Return what an exception of the engine means, or None if it is none of the engine's."""
    # by name: httpcore and httpcore2 have classes of their own
    names = {base.__name__ for base in type(error).__mro__}
    if not names & {"TimeoutException", "NetworkError", "ProtocolError", "ProxyError"}:
        return None
    causes: list[BaseException] = [error]
    while (deeper := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(deeper)
    # the name of the last says more: `gaierror` than `ConnectError`
    return Fault(_fault_kind(names, causes), type(causes[-1]).__name__)


def _fault_kind(names: set[str], causes: list[BaseException]) -> FaultKind:
    if "ConnectError" in names:
        # a connection that merely ended in the handshake is no refusal, and may do better next time
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        refused = tls is not None and not isinstance(tls, ssl.SSLEOFError)
        return FaultKind.TLS if refused else FaultKind.CONNECT
    if names & {"ConnectTimeout", "ProxyError"}:
        return FaultKind.CONNECT
    if "TimeoutException" in names:
        return FaultKind.DEADLINE
    # a connection that ended early may be better next time, a peer that speaks no HTTP will not
    text = str(causes[0])
    ended = "Server disconnected" in text or "peer closed connection" in text
    early = "NetworkError" in names or ("RemoteProtocolError" in names and ended)
    return FaultKind.CLOSED if early else FaultKind.PROTOCOL
