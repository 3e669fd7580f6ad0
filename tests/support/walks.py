"""The way of one key through the package: the calls that a fetch makes, file by file.

Counted are the frames of the package on the calling thread, without the emulator, in the second
call: the first one opens the connection and loads what is loaded lazily.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import oss_vector_retriever
from oss_vector_retriever import OSSVectorClient, emulator

PACKAGE = Path(oss_vector_retriever.__file__).parent
_PREFIX = f"{PACKAGE}/"
_APART = f"{PACKAGE / 'emulator'}/"


@dataclass(frozen=True)
class Step:
    """One call of a function of the package, or one more turn of a generator."""

    file: str
    function: str
    line: int
    depth: int


@dataclass
class Walk:
    """All steps of one call, in order."""

    steps: list[Step] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        return {step.file for step in self.steps}

    @property
    def functions(self) -> set[tuple[str, int]]:
        """The functions, lambdas and comprehensions that ran, told apart by where they stand."""
        return {(step.file, step.line) for step in self.steps}

    @property
    def file_changes(self) -> int:
        files = [step.file for step in self.steps]
        return sum(one != other for one, other in itertools.pairwise(files))

    def lines(self) -> Iterator[str]:
        """Yield the walk as text: its files by first visit, then a line a step, by depth."""
        for file in dict.fromkeys(step.file for step in self.steps):
            inside = {step.line for step in self.steps if step.file == file}
            yield f"  {file}: {len(inside)} functions"
        yield ""
        for step in self.steps:
            yield f"{'  ' * step.depth}{step.file}:{step.line} {step.function}"


def record_walk(call: Callable[[], object]) -> Walk:
    """Make a call twice and return the walk of the second time."""
    call()
    walk = Walk()
    depth = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal depth
        file = frame.f_code.co_filename
        if not file.startswith(_PREFIX) or file.startswith(_APART):
            return
        if event == "call":
            code = frame.f_code
            shown = file.removeprefix(_PREFIX)
            walk.steps.append(Step(shown, code.co_qualname, code.co_firstlineno, depth))
            depth += 1
        elif event == "return":  # also when a generator yields, or an exception leaves
            depth -= 1

    # A collection in between would run finalizers of the package, which are nobody's path.
    gc.collect()
    gc.disable()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return walk


@contextlib.contextmanager
def _client_of_loopback() -> Iterator[OSSVectorClient]:
    """Give a client of a served emulator that holds one record, `a`."""
    with emulator.Service.in_memory() as service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        settings: dict[str, Any] = {
            "endpoint": server.endpoint,
            "bucket": emulator.DEVELOPMENT_BUCKET,
            "account_id": emulator.DEVELOPMENT_ACCOUNT_ID,
            "region": emulator.DEVELOPMENT_REGION,
            "credentials": (
                emulator.DEVELOPMENT_ACCESS_KEY_ID,
                emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
            ),
            "index": "vectors",
        }
        with OSSVectorClient(**settings) as client:
            client.put_vector_index(dimension=3)
            client.put_vectors([{"key": "a", "data": [1, 2, 3], "metadata": {"text": "one"}}])
            yield client


def measure_walks() -> dict[str, Walk]:
    """Return the walks of `fetch`, and of the getters of both frameworks that stand on it."""
    # The frameworks take seconds to import; who only imports this module need not wait.
    from langchain_core.embeddings import DeterministicFakeEmbedding  # noqa: PLC0415 - see above

    from oss_vector_retriever.langchain import OSSVectorStore  # noqa: PLC0415 - see above
    from oss_vector_retriever.llama_index import OSSVectorDocumentStore  # noqa: PLC0415 - see above

    with _client_of_loopback() as client:
        store = OSSVectorStore(client=client, embedding=DeterministicFakeEmbedding(size=3))
        docstore = OSSVectorDocumentStore(client)
        calls: dict[str, Callable[[], object]] = {
            'client.fetch(["a"])': lambda: client.fetch(["a"]),
            'OSSVectorDocumentStore.get_nodes(["a"])': lambda: docstore.get_nodes(["a"]),
            'OSSVectorStore.get_by_ids(["a"])': lambda: store.get_by_ids(["a"]),
        }
        for call in calls.values():
            assert call(), "the record is there"
        return {title: record_walk(call) for title, call in calls.items()}
