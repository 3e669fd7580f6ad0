"""One HTTP exchange over a connection of its own, and the connections kept for the next.

Each exchange has a connection to itself, taken from a stack of free ones. A connection on which an
exchange was cancelled or failed is thrown away, never shared again: so nothing that happens to one
call can harm another. (httpx 0.28.1's shared async pool dies under cancellation; reference
engineering.md 0.2.)
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

from oss_vector_retriever.client.config import ClientConfig
from oss_vector_retriever.client.drive import library
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.steps import Fault, FaultKind

_KEEP_ALIVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what connections are made with."""

    engine: Any
    tls: ssl.SSLContext | None
    proxy: str | None
    connect_timeout: float
    max_connections: int
    max_reply_bytes: int

    def pool_arguments(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of a pool of one connection."""
        proxy = self.engine.Proxy(self.proxy, ssl_context=self.tls) if self.proxy else None
        return {
            "ssl_context": self.tls,
            "proxy": proxy,
            "max_connections": 1,
            "keepalive_expiry": _KEEP_ALIVE_SECONDS,
            **more,
        }

    def request(self, request: Request, seconds: float) -> Any:
        """Return a request in the engine's form."""
        connect = min(self.connect_timeout, seconds)
        timeouts = {"connect": connect, "read": seconds, "write": seconds, "pool": seconds}
        return self.engine.Request(
            request.method,
            request.url,
            headers=list(request.headers.items()),
            content=request.body,
            extensions={"timeout": timeouts},
        )

    def fault(self, error: Exception) -> Fault | None:
        """Return what an exception of the engine means, or None if it is none of the engine's."""
        names = {base.__name__ for base in type(error).__mro__}
        if not names & {"TimeoutException", "NetworkError", "ProtocolError", "ProxyError"}:
            return None
        return Fault(_kind(names, error), _origin_name(error))


def settings_for(config: ClientConfig) -> Settings:
    """Return the connection settings of a client."""
    name = library.library_name()
    https = config.endpoint.scheme == "https"
    return Settings(
        library.engine(name),
        library.tls_context(name, config.ca_file) if https else None,
        config.proxy or _environment_proxy(config),
        config.connect_timeout,
        config.max_concurrency,
        config.max_reply_bytes,
    )


def _environment_proxy(config: ClientConfig) -> str | None:
    """Return the proxy that HTTPS_PROXY and NO_PROXY name for the endpoint, as curl does."""
    if config.endpoint.path_style:
        return None
    proxies = getproxies()
    proxy = proxies.get(config.endpoint.scheme) or proxies.get("all")
    return None if proxy is None or proxy_bypass(config.endpoint.host) else proxy


_BROKEN = {"NetworkError", "RemoteProtocolError"}


def _kind(names: set[str], error: Exception) -> FaultKind:
    if "ConnectError" in names:
        return FaultKind.TLS if _from_tls(error) else FaultKind.CONNECT
    if names & {"ConnectTimeout", "ProxyError"}:
        return FaultKind.CONNECT
    if "TimeoutException" in names:
        return FaultKind.DEADLINE
    return FaultKind.CLOSED if names & _BROKEN and _cut_short(error) else FaultKind.PROTOCOL


def _cut_short(error: Exception) -> bool:
    """Tell a connection that ended early from a peer that does not speak HTTP."""
    text = str(error)
    spoke = "Server disconnected" in text or "peer closed connection" in text
    return spoke or "RemoteProtocolError" not in type(error).__name__


def _from_tls(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _origin_name(error: BaseException) -> str:
    """Return the class name of the deepest cause: `gaierror` says more than `ConnectError`."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return type(error).__name__


class Body:
    """Collect a reply's body up to a cap."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> bool:
        """Add a part; False when the body has grown over the cap."""
        self._size += len(part)
        self._parts.append(part)
        return self._size <= self._most

    def reply(self, response: Any) -> Reply | Fault:
        """Return the reply that this body completes."""
        headers = _readable(response.headers)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            # asked for as identity: whoever compressed it did not read the request
            return Fault(FaultKind.PROTOCOL, f"ContentEncoding{encoding[:16].title()}")
        return Reply(response.status, headers, b"".join(self._parts))


TOO_LARGE = Fault(FaultKind.TOO_LARGE, "ReplyTooLarge")
LATE = Fault(FaultKind.DEADLINE, "DeadlineExceeded")


def _readable(headers: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
