"""Ctrl-C ends a command as interrupted, also where a layer below swallows the KeyboardInterrupt."""

import subprocess
import sys
import textwrap

import pytest

SWALLOWED = {
    "by a layer that raises its own error": """
        def swallowing():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise TypeError("Type is not JSON serializable") from None
        """,
    "by a class that is being made": """
        class Descriptor:
            def __set_name__(self, owner, name):
                signal.raise_signal(signal.SIGINT)

        def swallowing():
            type("Made", (), {"field": Descriptor()})
        """,
    "by a task group": """
        import anyio

        async def serve():
            async with anyio.create_task_group():
                signal.raise_signal(signal.SIGINT)

        def swallowing():
            anyio.run(serve)
        """,
    "by a destructor before a sleep": """
        class Ending:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        def swallowing():
            Ending()
            time.sleep(30)
        """,
    "by a destructor before a wait for a reply": """
        class Ending:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        def swallowing():
            ours, theirs = socket.socketpair()
            ours.settimeout(30)
            Ending()
            ours.recv(1)
        """,
    "by a destructor before a wait for a thread": """
        class Ending:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        def swallowing():
            Ending()
            threading.Event().wait(30)
        """,
}
PROGRAM = """
import signal, socket, sys, threading, time
from oss_vector_retriever.cli.interrupts import recognise_interrupts, watch
{before}
watch()
{swallowing}
try:
    started = time.monotonic()
    with recognise_interrupts():
        swallowing()
except KeyboardInterrupt:
    sys.exit(130 if time.monotonic() - started < 5 else "it waited for the end of the call")
"""


def ended(swallowing, before=""):
    program = PROGRAM.format(swallowing=textwrap.dedent(swallowing), before=before)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("how", SWALLOWED)
def test_an_interrupt_that_is_swallowed_still_ends_the_command(how):
    done = ended(SWALLOWED[how])
    assert (done.returncode, done.stderr) == (130, "")


def test_an_error_without_an_interrupt_stays_itself():
    done = ended("def swallowing(): raise TypeError('a bug')")
    assert done.returncode == 1
    assert "TypeError: a bug" in done.stderr


def test_an_error_in_a_destructor_is_still_shown():
    done = ended(
        """
        class Ending:
            def __del__(self):
                raise ValueError("seen")

        def swallowing():
            Ending()
        """
    )
    assert done.returncode == 0
    assert "ValueError: seen" in done.stderr


def test_ctrl_c_that_the_caller_ignores_stays_ignored():
    before = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    done = ended("def swallowing(): signal.raise_signal(signal.SIGINT)", before)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_lost_at_the_very_end_leaves_no_word():
    done = ended(
        """
        class Ending:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        def swallowing():
            sys.of_the_interpreter = Ending()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
