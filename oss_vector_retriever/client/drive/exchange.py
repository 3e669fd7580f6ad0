"""One HTTP exchange over a connection of its own, and the connections kept for the next.

Each exchange has a connection to itself, taken from a stack of free ones. A connection on which an
exchange was cancelled or failed is thrown away, never shared again: so nothing that happens to one
call can harm another. (httpx 0.28.1's shared async pool dies under cancellation; reference
engineering.md 0.2.)
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from oss_vector_retriever.client.config import ClientConfig
from oss_vector_retriever.client.drive import library
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.steps import Fault, FaultKind

_KEEP_ALIVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what connections are made with."""

    engine: Any
    tls: ssl.SSLContext | None
    proxy: str | None = field(repr=False)
    connect_timeout: float
    max_connections: int
    max_reply_bytes: int

    def pool_arguments(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of what makes the engine's connections."""
        return {
            "ssl_context": self.tls,
            "proxy": self._proxy() if self.proxy else None,
            "keepalive_expiry": _KEEP_ALIVE_SECONDS,
            **more,
        }

    def _proxy(self) -> Any:
        # the engine ignores what a proxy's URL says before the @
        parts = urlsplit(self.proxy or "")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        auth = (user.encode(), password.encode()) if parts.username else None
        return self.engine.Proxy(bare, auth, ssl_context=self.tls)

    def request(self, request: Request, seconds: float) -> Any:
        """Return a request in the engine's form."""
        connect = min(self.connect_timeout, seconds)
        scheme, host, port = _parts(request.origin)
        return self.engine.Request(
            request.method,
            self.engine.URL(scheme=scheme, host=host, port=port, target=request.target),
            headers=list(request.headers.items()),
            content=request.body,
            extensions={"timeout": {"connect": connect, "read": seconds, "write": seconds}},
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
        _checked_proxy(config.proxy or _environment_proxy(config)),
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


def _checked_proxy(proxy: str | None) -> str | None:
    """Return a proxy's URL with its scheme; the error does not quote it, it may hold a password."""
    if proxy is None:
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "the proxy (proxy=, or HTTPS_PROXY and the like) is not [http[s]://]host:port; "
            "NO_PROXY, or proxy= with another one, leads around it."
        )
    return url


@lru_cache(maxsize=64)
def _parts(origin: str) -> tuple[str, str, int | None]:
    parts = urlsplit(origin)
    return parts.scheme, parts.hostname or "", parts.port


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
    """Tell a refusal from a connection that merely ended in the handshake, which may pass."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return not isinstance(seen, ssl.SSLEOFError)
        seen = seen.__cause__ or seen.__context__
    return False


def _origin_name(error: BaseException) -> str:
    """Return the class name of the deepest cause: `gaierror` says more than `ConnectError`."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return type(error).__name__


def usable(line: Any, request: Any) -> bool:
    """Tell whether an open line of the engine's can take a request; the peer may have hung up."""
    open_still = line.is_available() and not line.has_expired() and not _left_over(line)
    return open_still and line.can_handle_request(request.url.origin)


def _left_over(line: Any) -> bool:
    """Tell whether bytes came behind the last reply: the next request would take them for its own.

    The engine has read them already, and tells only whether more can be read; hence the look into
    its state (tests/faults/test_lines.py sees to it that it is found there).
    """
    while line is not None and not hasattr(line, "_h11_state"):
        line = getattr(line, "_connection", None)
    return line is not None and bool(line._h11_state.trailing_data[0])  # noqa: SLF001 - see above


class Body:
    """Collect a reply's body up to a cap.

    In parts: a buffer that grows may stand twice for a moment, where it was and where it goes.
    """

    def __init__(self, response: Any, most: int) -> None:
        self._status = response.status
        self._headers = _readable(response.headers)
        self._left = most
        self._parts: list[bytes] = []

    def refused(self) -> Fault | None:
        """Return why the body need not be read, or None."""
        encoding = self._headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            # asked for as identity: whoever compressed it did not read the request
            return Fault(FaultKind.PROTOCOL, f"ContentEncoding{encoding[:16].title()}")
        length = self._headers.get("content-length", "")
        return TOO_LARGE if length.isdecimal() and int(length) > self._left else None

    def add(self, part: bytes) -> bool:
        """Add a part; False when the body has grown over the cap."""
        self._parts.append(part)
        self._left -= len(part)
        return self._left >= 0

    def reply(self) -> Reply:
        """Return the reply that this body completes."""
        return Reply(self._status, self._headers, b"".join(self._parts))


TOO_LARGE = Fault(FaultKind.TOO_LARGE, "ReplyTooLarge")
LATE = Fault(FaultKind.DEADLINE, "DeadlineExceeded")


def _readable(headers: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
