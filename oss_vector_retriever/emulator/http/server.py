"""`Server`: the service behind HTTP on a port of this machine, by uvicorn."""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Protocol, Self

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from ...client.errors import ConfigurationError
from ...client.models.messages import Reply
from ..accounts import DEVELOPMENT_BUCKET, DEVELOPMENT_KEY
from ..service import Service
from .application import (
    BODY_TIMEOUT,
    CONNECTION,
    Application,
    HttpExchange,
    Page,
    Receive,
    Scope,
    Send,
)

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
HEAD_TIMEOUT = 10.0

logger = logging.getLogger(__name__)

_MOST_CONNECTIONS = 900  # below the 1,024 files that a process may usually have open
_BACKLOG = 2048
_UNREAD_SECONDS = 60
_KEEP_ALIVE_SECONDS = 60  # after uvicorn's own 5 a client would meet closed connections
_GRACE_SECONDS = 3
_TICK_SECONDS = 0.005


class Server:
    """A service on a port of this machine, run from a thread; the service stays the caller's.

    Args:
        service: what answers.
        host: the address to listen on; loopback unless another is given. Elsewhere the published
            development keys are not honoured, and the service needs keys of its own.
        port: 0 for any that is free.
        allow_faults: let clients on this machine switch faults on, at `/_emulator/faults`.
        allow_hosts: names by which clients reach it, for containers and tunnels; ".example" means
            all that end so. Loopback names, the service's own domain and the address that is
            listened on need not be named. What asks for another host is refused, and so is what a
            page in a browser sends.
        head_timeout, body_timeout: seconds within which a request's head and its body must arrive.

    Raises:
        ConfigurationError: nobody can listen there, or not with these keys, or a name is none.

    Examples:
        >>> with Service.in_memory() as service, Server(service) as server:
        ...     server.endpoint
        'http://127.0.0.1:...'
    """

    def __init__(
        self,
        service: Service,
        host: str = DEFAULT_HOST,
        port: int = 0,
        *,
        allow_faults: bool = False,
        allow_hosts: Sequence[str] = (),
        head_timeout: float = HEAD_TIMEOUT,
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self.service = service
        self._socket = open_listener(host, port)
        try:
            application = _make_application(
                service, self._socket, allow_faults, allow_hosts, body_timeout
            )
        except BaseException:
            self._socket.close()
            raise
        self._application = application
        self._server = HttpServer(application, head_timeout)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="oss-vectors", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """Return the URL that clients use, such as `http://127.0.0.1:9000`."""
        return endpoint_of(self._socket)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the arguments of a client that uses the development bucket here.

        Its key is valid now, which one that is disabled or expired is not, nor a published one
        where other machines are served: the development key, else the first of an account, else of
        a RAM user.

        Raises:
            ConfigurationError: no key is.
        """
        known, now = self.service.access_keys, self.service.clock()
        valid = [
            key
            for key in (*filter(None, [known.get(DEVELOPMENT_KEY.id)]), *known.values())
            if key.enabled
            and (key.expires is None or now < key.expires)
            and not (key.is_published and not address_of(self._socket).is_loopback)
        ]
        if not valid:
            raise ConfigurationError(
                "no access key of the service is valid:",
                remedy="give it one by service.set_access_keys()",
            )
        # Of a RAM user only what a policy allows is done.
        key = next((key for key in valid if key.user is None), valid[0])
        token = () if key.security_token is None else (key.security_token,)
        return {
            "endpoint": self.endpoint,
            "bucket": DEVELOPMENT_BUCKET,
            "account_id": key.account_id,
            "region": self.service.region,
            "credentials": (key.id, key.secret, *token),
        }

    def start(self) -> None:
        """Start answering, and return once that is so."""
        self._thread.start()
        # uvicorn tells nobody that it could not start: its thread just ends.
        while not self._server.ready.wait(1) and self._thread.is_alive():
            pass

    def stop(self) -> None:
        """Finish what is being answered, and close every connection; stopping twice is fine."""
        self._server.end()
        if self._thread.is_alive():
            self._thread.join()
        self._application.close()
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def run(
    service: Service,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    on_ready: Callable[[str], None] | None = None,
    allow_faults: bool = False,
    allow_hosts: Sequence[str] = (),
    head_timeout: float = HEAD_TIMEOUT,
    body_timeout: float = BODY_TIMEOUT,
    pages: Mapping[str, Page] | None = None,
    on_exchange: Callable[[HttpExchange], None] | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then return; the service stays the caller's.

    The arguments are those of `Server`; `on_ready` is called with the endpoint once requests are
    answered, `on_exchange` with each request and what became of it. `pages` answer below paths of
    their own, as `Application` has it.

    Raises:
        ConfigurationError: nobody can listen there, or not with these keys, or a name is none.
    """
    with open_listener(host, port) as listener:
        application = _make_application(
            service,
            listener,
            allow_faults,
            allow_hosts,
            body_timeout,
            on_exchange=on_exchange,
            pages=pages,
        )
        server = HttpServer(application, head_timeout, on_ready=on_ready)
        try:
            server.run([listener])
        finally:
            application.close()


def run_page(
    page: "Answering",
    port: int = 0,
    *,
    on_ready: Callable[[str], None] | None = None,
    on_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve a page to this machine until Ctrl-C or SIGTERM, as `run` serves a service.

    `on_end` is awaited at the end, on the event loop that the page was served on.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    with open_listener(DEFAULT_HOST, port) as listener:
        HttpServer(page, on_ready=on_ready, on_end=on_end).run([listener])


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay of 40 ms off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # On Windows that option would let two servers listen on one port.
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "that is no host name"
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from None
    return listener


def _make_application(
    service: Service,
    listener: socket.socket,
    allow_faults: bool,
    allow_hosts: Sequence[str],
    body_timeout: float,
    *,
    pages: Mapping[str, Page] | None = None,
    on_exchange: Callable[[HttpExchange], None] | None = None,
) -> Application:
    address = address_of(listener)
    if not address.is_loopback and all(key.is_published for key in service.access_keys.values()):
        raise ConfigurationError(
            "on {value} others than this machine would be served, and the development keys are "
            "published: it needs access keys of its own",
            value=str(address),
            remedy="Service(access_keys=[AccessKey(...)]), for `oss-vectors serve` "
            "--access-key-file or OSS_VECTORS_SERVE_ACCESS_KEY_ID and "
            "OSS_VECTORS_SERVE_ACCESS_KEY_SECRET",
        )
    # No page can have an address for its name that is not its own server's.
    own = () if address.is_unspecified else (str(address),)
    return Application(
        service,
        allow_faults=allow_faults,
        allow_hosts=[*allow_hosts, *own] if not isinstance(allow_hosts, str) else allow_hosts,
        body_timeout=body_timeout,
        is_exposed=not address.is_loopback,
        pages=pages,
        on_exchange=on_exchange,
    )


def address_of(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that a socket listens on."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])


def endpoint_of(listener: socket.socket) -> str:
    """Return the URL at which clients of this machine find what listens on a socket."""
    host, port = listener.getsockname()[:2]
    # What listens everywhere is reached from this machine by loopback.
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - recognised, not bound
        host = "::1" if host == "::" else DEFAULT_HOST
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Answering(Protocol):
    """An ASGI application that also words the refusal of what is no request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""

    def refuse(self, code: str, detail: str) -> Reply:
        """Return the reply to what is no request at all."""
        raise NotImplementedError


class HttpConfig(uvicorn.Config):
    """uvicorn's settings, with what its protocol does not know of.

    Attributes:
        application: what answers, as what it is.
        head_timeout: seconds within which the head of a request must arrive.
    """

    application: Answering
    head_timeout: float


def make_config(application: Answering, head_timeout: float, **options: Any) -> HttpConfig:
    """Return uvicorn's settings for a server within a program that is another's."""
    config = HttpConfig(
        application,
        # whoever connects and says nothing takes a place from the others
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        # Else uvicorn would configure logging for the whole process, which is the user's; and a log
        # of accesses is read by others than who may ask.
        log_config=None,
        access_log=False,
        server_header=False,
        # Who a client is says its socket, never a header that it may have written itself.
        proxy_headers=False,
        **options,
    )
    config.application = application
    config.head_timeout = head_timeout
    return config


class HttpServer(uvicorn.Server):
    """A server of uvicorn's that ends at once when `end()` is called or a signal arrives.

    uvicorn looks only every tenth of a second whether it is to end and whether it has: a server for
    each test would pay that twice each time.
    """

    def __init__(
        self,
        application: Answering,
        head_timeout: float = HEAD_TIMEOUT,
        *,
        on_ready: Callable[[str], None] | None = None,
        on_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        config = make_config(
            application,
            head_timeout,
            loop="asyncio",
            # the service's own headers stand in the reply (section 3)
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self._on_ready = on_ready
        self._on_end = on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Begin to end; may be called from any thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal; a second one ends without waiting for anybody."""
        super().handle_exit(sig, frame)
        self.end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()
        if self._on_ready and sockets:
            self._on_ready(endpoint_of(sockets[0]))

    async def main_loop(self) -> None:
        """Wait for the end."""
        if not self.should_exit:
            await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish for some seconds, and close every connection."""
        # uvicorn's own sleeps for a tenth of a second first, and then in steps of as much.
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        end, state = time.monotonic() + _GRACE_SECONDS, self.server_state
        while (state.connections or state.tasks) and not self.force_exit and time.monotonic() < end:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_TICK_SECONDS)
        for task in state.tasks:
            task.cancel()
        if self._on_end is not None:
            await self._on_end()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals, in the main thread."""
        # uvicorn raises the signal again afterwards, which would turn a clean end into a traceback.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        caught = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class HttpProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with limits, and where the application sees each connection.

    On h11: uvicorn prefers httptools where that is installed, which is strict about other mistakes,
    and the emulator's answers must not depend on what else is installed.
    """

    config: HttpConfig
    _head_timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            logger.warning("refused a connection: %d are open", _MOST_CONNECTIONS)
            transport.abort()
            return
        application = self.config.application

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), CONNECTION: transport}
            await application(scope, receive, send)

        self.app = answer
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._stop_watching_head()
        self._stop_watching_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        """Wait for a client that reads its reply slowly, or not at all."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Go on with a client that has read most of its reply."""
        self._stop_watching_reader()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that is not used."""
        super().timeout_keep_alive_handler()
        # Closing waits until what was sent is read.
        if self._reader_timer is None:
            self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request in the service's own form."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # a reply is on its way
            return
        # No Host and two of them are refused as a strange one is; h11 says which mistake it was.
        if " Host: header" in str(sys.exception()):
            code, detail = "AccessDenied", "The request has no Host, or more than one."
        else:
            code, detail = "InvalidArgument", msg
        reply = self.config.application.refuse(code, detail)
        head = [(name.encode(), text.encode()) for name, text in reply.headers.items()]
        head.append((b"content-length", b"%d" % len(reply.body)))
        events = (
            h11.Response(
                status_code=reply.status, headers=head, reason=STATUS_PHRASES[reply.status]
            ),
            h11.Data(data=reply.body),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _should_upgrade(self) -> bool:
        # Asked for another protocol, HTTP goes on (RFC 9110, 7.8); uvicorn would advise the user to
        # install a library for web sockets.
        return False

    def _watch_head(self) -> None:
        """Limit the time for a head, from the opening of the connection or its first byte on."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching_head()
        elif self._head_timer is None:  # not anew for each byte that drips in
            seconds = self.config.head_timeout
            self._head_timer = self.loop.call_later(seconds, self._end_slow_head)

    def _stop_watching_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_slow_head(self) -> None:
        logger.info("a head did not arrive within %g s", self.config.head_timeout)
        self.transport.abort()

    def _watch_reader(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(_UNREAD_SECONDS, self._check_reader, unread)

    def _check_reader(self, before: int) -> None:
        # The reply is in memory as long as this lasts; a slow client makes progress.
        if self.transport.get_write_buffer_size() < before:
            self._watch_reader()
        else:
            logger.info("a reply was not read within %g s", _UNREAD_SECONDS)
            self.transport.abort()

    def _stop_watching_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None
