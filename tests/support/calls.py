"""One way to make a call on either client, and to see that it left nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.retry import RetryPolicy

MODES = ("sync", "async")
LIBRARIES = ("httpx", "httpx2")
QUICK = RetryPolicy(attempts=3, transient_base=0.01, throttle_base=0.01, patience=0.02)
Work = Callable[[Any], Any]


def settings(endpoint: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a client of an endpoint."""
    return {
        "bucket": "examplebucket",
        "account_id": "123456",
        "region": "cn-hangzhou",
        "index": "vectorindex1",
        "endpoint": endpoint,
        "credentials": ("id", "secret"),
        "retry": QUICK,
        "timeout": 20.0,
        **more,
    }


def run(mode: str, options: dict[str, Any], *works: Work) -> list[Any]:
    """Make calls one after the other on one client, close it, and return what each gave.

    An error of a call is returned in its place.
    """
    if mode == "async":
        return asyncio.run(_run_async(options, works))
    with OSSVectorClient(**options) as client:
        return [_outcome(work, client) for work in works]


def _outcome(work: Work, client: OSSVectorClient) -> Any:
    try:
        return work(client)
    except Exception as error:  # noqa: BLE001 - the tests look at it
        return error


async def _run_async(options: dict[str, Any], works: tuple[Work, ...]) -> list[Any]:
    outcomes = []
    async with AsyncOSSVectorClient(**options) as client:
        for work in works:
            try:
                outcome = work(client)
                outcomes.append(await outcome if inspect.isawaitable(outcome) else outcome)
            except Exception as error:  # noqa: BLE001 - the tests look at it
                outcomes.append(error)
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return outcomes


async def settled() -> None:
    """Let the loop finish what has become ready, such as generators that were let go."""
    for _ in range(10):
        await asyncio.sleep(0)


def open_sockets() -> set[str] | None:
    """Return the sockets that this process has open, or None where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return None
    found = set()
    for link in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return {link for link in found if link.startswith("socket:")}


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def collect() -> None:
    """Let everything unreachable go, so that what was left open says so now."""
    gc.collect()
