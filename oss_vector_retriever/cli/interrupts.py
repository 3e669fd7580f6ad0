"""Ctrl-C: whatever becomes of the KeyboardInterrupt on its way up, the command ends as interrupted.

Not every layer lets it through. Where it strikes in the lazy import of numpy, orjson raises a
TypeError in its place; where it strikes while a class is being made, CPython 3.11 raises a
RuntimeError; a task group makes it one of a group's; in a destructor or the callback of a weak
reference it is printed and forgotten.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_MOMENT = 0.01  # seconds, after which the place that could not be interrupted is left
_came: list[int] = []


def watch() -> None:
    """Remember from now on that Ctrl-C was pressed; one that is ignored stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _interrupt_again


@contextmanager
def recognise_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt in the place of the error that it has become."""
    try:
        yield
    except (Exception, BaseExceptionGroup):
        if _came:
            raise KeyboardInterrupt from None
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    signal.default_int_handler(number, frame)


def _interrupt_again(lost: "sys.UnraisableHookArgs") -> None:
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    import threading  # noqa: PLC0415 - seldom needed, and every command would wait for it

    again = threading.Timer(_MOMENT, _signal_main_thread, (threading.main_thread().ident,))
    # a command that has ended by itself in the meantime is not held up
    again.daemon = True
    # from Python 3.12 on no thread starts while the interpreter shuts down, which ends it anyway
    with suppress(RuntimeError):
        again.start()


def _signal_main_thread(thread_id: int) -> None:
    """Send a real signal: only that ends a wait in a system call, a mere flag is read after it."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread_id, signal.SIGINT)
    else:
        # Windows: C's raise() runs the handler here, as the console's Ctrl-C does on a thread of
        # its own, and that sets the event on which the main thread's waits end
        signal.raise_signal(signal.SIGINT)
