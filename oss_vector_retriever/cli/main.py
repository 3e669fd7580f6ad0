"""The entry point of `oss-vectors`: whatever happens, it ends in a sentence and a status."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from .interrupts import recognise_interrupts, watch

# what a command takes beside click: who has neither is told once
_EXTRAS = {"demo": "emulator,cli", "mcp": "mcp", "serve": "emulator,cli", "studio": "studio,cli"}
_INTERRUPTED = 130  # as in `errors`, which loads click: too late for a Ctrl-C before it


def main() -> None:
    """Run the command line; errors go to stderr, the statuses stand in `errors`."""
    try:
        watch()
        # read from here, so that Ctrl-C is clean while modules are being loaded, too
        with recognise_interrupts():
            status = _application()(sys.argv[1:])
    except KeyboardInterrupt:
        status = _INTERRUPTED
    # here and not at the interpreter's end, where a closed pipe is a traceback and status 120
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    if status == _INTERRUPTED:
        os._exit(status)  # threads may be waiting for a reply, which nobody wants any more
    sys.exit(status)


def _application() -> Callable[[list[str]], int]:
    try:
        from .application import run  # noqa: PLC0415 - see `main`
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        extras = _EXTRAS.get("".join(sys.argv[1:2]), "cli")
        sys.exit(f'oss-vectors needs an extra: pip install "oss-vector-retriever[{extras}]"')
    return run


def _flush(stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        if not stream.closed:
            # what could not be written is let go, or the interpreter complains of it at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
