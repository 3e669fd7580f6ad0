"""The embedded service behind `OSSVectorClient.local()`, loaded by name only when it is wanted."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..lazy import LazyModule
from . import fork
from .config import ClientConfig, resolve_config
from .errors import ConfigurationError
from .models.limits import Limits
from .models.messages import Reply
from .settings import ClientSettings, config_from, known_members
from .steps import REPLY_TOO_LARGE, Fault, FaultKind, Send
from .transport.runner import Helpers

if TYPE_CHECKING:
    import asyncio

    from ..emulator.behaviour import Behaviour
    from ..emulator.service import Service
else:
    asyncio = LazyModule("asyncio", globals())


# The services of files that are open, by process and path: a fork has its parent's entries, and
# not its parent's lock.
_open_files: WeakValueDictionary[tuple[int, str], LocalService] = WeakValueDictionary()
_opening = threading.Lock()


_CLOSE_SECONDS = 0.5


class LocalService:
    """One embedded service of several clients; it is closed when the last of them lets go."""

    def __init__(self, service: Service, path: str | None = None) -> None:
        # By name: the client is used without the emulator, and must not import it.
        transport = importlib.import_module("oss_vector_retriever.emulator.transport")
        self.service = service
        self.path = path
        self.transport = transport.InProcessTransport(service)
        self._users = 0
        self._closed = False
        # Reentrant: a client that nobody closed lets go wherever its memory is freed.
        self._lock = threading.RLock()
        self._process = os.getpid()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Leave the service to the parent; what a child asks of it is refused."""
        fork.leave_to_parent(self.service, self.transport)
        self._lock = threading.RLock()

    def check_process(self) -> None:
        """Refuse a forked child.

        Nobody would see what it writes into memory, and SQLite forbids a connection over a fork:
        https://www.sqlite.org/howtocorrupt.html, section 2.6.

        Raises:
            ConfigurationError: naming what serves several processes.
        """
        if os.getpid() != self._process:
            raise ConfigurationError(
                "this embedded service belongs to the process that was forked:",
                remedy="run `oss-vectors serve` and name it as {endpoint=}, or make a client in "
                "each process",
            )

    def hold(self) -> bool:
        """Count one more user, and return True; False where the service is closed already."""
        with self._lock:
            self._users += not self._closed
            return not self._closed

    @property
    def changed_switches(self) -> dict[str, Any]:
        """Return what is not as usual of the service's behaviour."""
        behaviour = self.service.behaviour
        return _differences(behaviour, type(behaviour)())

    @property
    def has_clock(self) -> bool:
        """Tell whether the service goes by another clock than the machine's."""
        clock = importlib.import_module("oss_vector_retriever.emulator.clock")
        return self.service.clock is not clock.utc_now

    @property
    def closed(self) -> bool:
        """Tell whether the last of its users has let go."""
        return self._closed

    def let_go(self) -> None:
        """Count one user less."""
        with self._lock:
            self._users -= 1
            # Under the lock: who opens the file again waits until it is closed.
            if self._users == 0 and os.getpid() == self._process:
                self._closed = True
                self._close_service()

    def _close_service(self) -> None:
        # its work goes before, such as a long search, which a client that is closed leaves behind
        closing = threading.Thread(target=self.service.close, name="oss-vectors", daemon=True)
        try:
            closing.start()
        except RuntimeError:  # the interpreter ends
            self.service.close()
        else:
            closing.join(_CLOSE_SECONDS)


def _differences(one: Any, other: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are otherwise in another of its class."""
    names = (field.name for field in fields(one))
    return {
        name: getattr(one, name) for name in names if getattr(one, name) != getattr(other, name)
    }


def open_local(
    path: str | os.PathLike[str] | None,
    index: str | None,
    behaviour: Behaviour | None = None,
    clock: Callable[[], datetime] | None = None,
    **options: Any,
) -> tuple[ClientConfig, LocalService]:
    """Return the settings of a client of an embedded service, and the service.

    Raises:
        ConfigurationError: the extra `emulator` is not installed, or the file is open with another
            behaviour.
    """
    emulator = _emulator()
    config = resolve_config(
        bucket=emulator.DEVELOPMENT_BUCKET,
        account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
        region=emulator.DEVELOPMENT_REGION,
        index=index or "vectors",
        endpoint="http://localhost",  # never connected to; it is signed, as the emulator checks
        credentials=(emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET),
        credentials_kind="local",
        **options,
    )
    chosen: Behaviour = emulator.Behaviour() if behaviour is None else behaviour
    if path is not None:
        _check_behaviour(path, chosen)
    return config, _open_service(emulator, path, config.limits, chosen, clock)


def reopen_local(
    settings: ClientSettings, path: str, credentials: object
) -> tuple[ClientConfig, LocalService]:
    """Return what `open_local` returned when the settings were taken, and held once.

    A file that this process has open is shared: one pickle may hold several clients of it.

    Raises:
        ConfigurationError: it is shared with clients of another behaviour, or the settings name a
            switch that is unknown.
    """
    emulator = _emulator()
    if credentials is None and "credentials" not in settings.omitted:
        own = (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET)
        config = config_from(settings, own, "local")
    else:
        config = config_from(settings, credentials)
    switches = known_members("behaviour", settings.behaviour, emulator.Behaviour)
    behaviour = emulator.Behaviour(**switches)
    with _opening:
        _check_behaviour(path, behaviour)
        service = _open_files.get(_file_key(path))
        if service is None or not service.hold():
            service = _open_service(emulator, path, config.limits, behaviour)
            service.hold()
    return config, service


def _check_behaviour(path: str | os.PathLike[str], behaviour: Behaviour) -> None:
    """Refuse a file that this process has open with another behaviour."""
    former = _open_files.get(_file_key(path))
    found = None if former is None or former.closed else former.service.behaviour
    if not isinstance(behaviour, type(found)):  # None, or the service refuses what is no behaviour
        return
    for name, value in _differences(behaviour, found).items():
        raise ConfigurationError(
            "{path} is open in this process with another behaviour: {name} is {there} there, and "
            "{here} here",
            argument="behaviour",
            remedy="give both clients the same",
            fields={"path": str(path), "name": name, "there": getattr(found, name), "here": value},
        )


def _open_service(
    emulator: Any,
    path: str | os.PathLike[str] | None,
    limits: Limits,
    behaviour: Behaviour,
    clock: Callable[[], datetime] | None = None,
) -> LocalService:
    options = {} if clock is None else {"clock": clock}
    service = emulator.Service(path, limits=limits, behaviour=behaviour, **options)
    # Also where the file has one: it may have been made by `oss-vectors serve` with other buckets.
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    local = LocalService(service, None if path is None else str(Path(path).absolute()))
    if path is not None:
        _open_files[_file_key(path)] = local
    return local


def _file_key(path: str | os.PathLike[str]) -> tuple[int, str]:
    return os.getpid(), os.path.realpath(path)  # `Path.resolve` raises for links in a circle


def _emulator() -> Any:
    try:
        return importlib.import_module("oss_vector_retriever.emulator")
    except ImportError as error:
        raise ConfigurationError(
            "the embedded service needs an extra:",
            remedy='pip install "oss-vector-retriever[emulator]"',
        ) from error


class LocalExchange:
    """The blocking way from a client to an embedded service."""

    def __init__(self, local: LocalService, max_concurrency: int) -> None:
        self._local = local
        self._width = max_concurrency
        self._closed = False
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        """Begin with no threads; what is sent in a child is refused."""
        self._helpers = Helpers(self._width)
        self._waiting: dict[SimpleQueue[Reply | Fault | BaseException], int] = {}

    def send(self, step: Send, stop: threading.Event | None = None) -> Reply | Fault:
        """Let the service handle a request in a thread, which a deadline or Ctrl-C may leave."""
        self._local.check_process()
        answers: SimpleQueue[Reply | Fault | BaseException] = SimpleQueue()
        self._waiting[answers] = threading.get_ident()
        try:
            # looked at after it is known: who ends it from then on finds it
            if self._closed or (stop is not None and stop.is_set()):
                return _ABORTED
            if not self._helpers.offer([lambda: self._answer(step, answers)]):
                self._answer(step, answers)
            answer = answers.get(timeout=max(step.seconds, 0))
        except Empty:
            return Fault(FaultKind.DEADLINE, "DeadlineExceeded")
        finally:
            self._waiting.pop(answers, None)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _answer(self, step: Send, answers: SimpleQueue[Reply | Fault | BaseException]) -> None:
        try:
            reply: Reply = self._local.transport.send(step.request, step.seconds)
            answers.put(_within_limit(reply, step))
        except (TimeoutError, ConnectionResetError) as error:
            answers.put(_fault(error))
        except BaseException as error:  # noqa: BLE001 - it is raised in the one who waits
            answers.put(_ABORTED if self._closed else error)

    def abort(self, thread: int) -> None:
        """End a thread's wait; what the service has begun it ends."""
        for answers, waiting in list(self._waiting.items()):
            if waiting == thread:
                answers.put(_ABORTED)

    def keep_none(self) -> None:
        """Do nothing: there are no connections."""

    def close(self) -> None:
        """End the wait of whoever waits."""
        self._closed = True
        for answers in list(self._waiting):
            answers.put(_ABORTED)
        self._helpers.close(0)


_ABORTED = Fault(FaultKind.CLOSED, "ClientClosed")


class AsyncLocalExchange:
    """The way from an event loop, which it never blocks, to an embedded service."""

    def __init__(self, local: LocalService) -> None:
        self._local = local

    def usable_here(self) -> bool:
        """Return True: an embedded service belongs to no event loop."""
        return True

    async def send(self, step: Send) -> Reply | Fault:
        """Let the service handle a request in a thread."""
        self._local.check_process()
        try:
            async with asyncio.timeout(max(step.seconds, 0)):
                reply: Reply = await self._local.transport.send_async(step.request, step.seconds)
        except (TimeoutError, ConnectionResetError) as error:
            return _fault(error)
        return _within_limit(reply, step)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def renew_after_fork(self) -> None:
        """Do nothing: what is sent in a child is refused."""


def _fault(error: Exception) -> Fault:
    """Return what a fault that was switched on in the embedded service means to a client."""
    # The two ways in which the emulator's faults end a request without a reply.
    late = isinstance(error, TimeoutError)
    return Fault(FaultKind.DEADLINE if late else FaultKind.CLOSED, type(error).__name__)


def _within_limit(reply: Reply, step: Send) -> Reply | Fault:
    """Return a reply, or the fault that it is where it is larger than it may be."""
    # It is in memory by now; a test with an embedded service is to end as it would over HTTP.
    return REPLY_TOO_LARGE if len(reply.body) > step.max_reply_bytes else reply
