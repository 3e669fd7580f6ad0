"""A forked child starts anew: connections, threads and locks of its parent are none of its own.

A child that used its parent's sockets would read answers that are meant for the parent, of other
callers; threads are not copied by a fork, and a lock that one of them held is held for ever.
"""

import contextlib
import os
import threading
from typing import Protocol
from weakref import WeakValueDictionary


class Forkable(Protocol):
    """What holds connections, threads or locks."""

    def renew_after_fork(self) -> None:
        """Put what is new in the place of what belongs to the parent, closing nothing of it."""


# by identity: equal objects are renewed each by itself
_objects: WeakValueDictionary[int, Forkable] = WeakValueDictionary()
# Kept until the child ends, and beyond the end of its interpreter. Their destructors would end the
# parent's TLS sessions, take its sockets out of its event loop's epoll, which both processes share,
# and warn of sockets that nobody closed.
_inherited: list[object] = []
_process = os.getpid()
# No fork begins while another thread is in here. OpenSSL, which makes hashes and secures
# connections, has locks of its own that nothing renews: a child that was forked while a thread held
# one would wait for it for ever, at its first signature. Reentrant: a signal handler may fork.
gate = threading.RLock()


def renew_in_children(owner: Forkable) -> None:
    """Have an object renewed in every process that is forked from now on."""
    _objects[id(owner)] = owner


def leave_to_parent(*things: object) -> None:
    """Keep in a child, for good and unused, what belongs to its parent."""
    if not _inherited:
        # the interpreter would clear this module at its end, and run the destructors after all
        with contextlib.suppress(ImportError, AttributeError):  # only CPython counts references
            import ctypes  # noqa: PLC0415 - children alone need it

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(_inherited))
    _inherited.extend(things)


def check_process() -> None:
    """Renew everything if this process is a child that no hook has told of, as C code may fork."""
    if os.getpid() != _process:
        _renew()


def _renew() -> None:
    global _process  # noqa: PLW0603 - it is the process's, as this module is
    _process = os.getpid()
    for owner in list(_objects.values()):
        owner.renew_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew)
    os.register_at_fork(
        before=gate.acquire, after_in_parent=gate.release, after_in_child=gate.release
    )
