"""`Turns`: who may use a connection that serves one user at a time."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class Turns:
    """Hand a connection from user to user, so that no reader waits for more than one write.

    When a write ends, every reader that waits by then goes before the next write; who comes later
    goes after it, so that readers cannot hold writes back for ever. A thread that has its turn may
    take it again: a forgotten client closes its service from wherever it is collected.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._holder: int | None = None
        self._again = 0
        self._readers: deque[threading.Lock] = deque()
        self._writers: deque[threading.Lock] = deque()
        self._ahead = 0  # readers that go before the next write

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """Hold the connection for reading."""
        self._take(self._readers)
        try:
            yield
        finally:
            self._pass_on()

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold the connection for writing."""
        self._take(self._writers)
        try:
            yield
        finally:
            self._pass_on(wrote=True)

    def _take(self, line: deque[threading.Lock]) -> None:
        me = threading.get_ident()
        if self._holder == me:
            self._again += 1
            return
        gate = self._stand_in(line)
        if gate is not None:
            try:
                gate.acquire()
            except BaseException:  # Ctrl-C, in the main thread
                self._leave(line, gate)
                raise
        self._holder = me

    def _stand_in(self, line: deque[threading.Lock]) -> threading.Lock | None:
        """Take the turn, or a place in the line: the gate returned opens when it is reached."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return None
            gate = threading.Lock()
            gate.acquire()
            line.append(gate)
            return gate

    def _leave(self, line: deque[threading.Lock], gate: threading.Lock) -> None:
        with self._lock:
            if gate in line:
                line.remove(gate)
                return
        self._pass_on()  # it was reached meanwhile

    def _pass_on(self, *, wrote: bool = False) -> None:
        if self._again:
            self._again -= 1
            return
        self._holder = None
        with self._lock:
            if wrote:
                self._ahead = len(self._readers)
            line = self._next_line()
            if line:
                line.popleft().release()
            else:
                self._taken = False

    def _next_line(self) -> deque[threading.Lock]:
        if self._readers and (self._ahead > 0 or not self._writers):
            self._ahead -= 1
            return self._readers
        return self._writers
