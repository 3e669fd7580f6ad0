"""`Export`: an index's vectors into files, page by page, each noted once it is on the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from oss_vector_retriever.cli.errors import SERVICE, Failure, in_flags
from oss_vector_retriever.cli.transfer.formats import Sink
from oss_vector_retriever.cli.transfer.job import Meter, threads
from oss_vector_retriever.cli.transfer.journal import Journal
from oss_vector_retriever.cli.transfer.target import Target
from oss_vector_retriever.client.errors import OSSVectorError, VectorIndexParameterInvalidError
from oss_vector_retriever.client.models.results import ListVectorsResult

_FIRST = ""


@dataclass(slots=True)
class Exported:
    """Say how far an export is.

    Attributes:
        vectors: how many are in the files.
        dimension: theirs; 0 where there is none yet.
        tokens: for each segment that of its next page, "" for its first; None where it is through.
        sizes: of the files under construction.
        whole: whether all vectors are in them.
    """

    vectors: int = 0
    dimension: int = 0
    tokens: list[str | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    whole: bool = False


class Export:
    """Read an index into a sink; begun again after a crash, go on where it was.

    While one page is written the next is on its way.

    Args:
        target: the index.
        sink: where the vectors go.
        journal: what remembers how far it got; None remembers nothing.
        meter: what shows it.
        segments: parts of the index that are read at once.
        options: further arguments of each ListVectors.
    """

    def __init__(
        self,
        target: Target,
        sink: Sink,
        journal: Journal | None,
        meter: Meter,
        *,
        segments: int,
        options: dict[str, Any],
    ) -> None:
        self._target = target
        self._sink = sink
        self._journal = journal
        self._meter = meter
        self.index = target.index
        self._segments = segments
        self._options = options
        self.done = self._resumed() or self._from_the_beginning()
        self.before = self.done.vectors

    def _from_the_beginning(self) -> Exported:
        return Exported(tokens=[_FIRST] * self._segments, sizes=[0] * len(self._sink.parts))

    def _resumed(self) -> Exported | None:
        """Return how far an earlier run got, if what it wrote is still there."""
        state = self._journal.state if self._journal else None
        if state is None:
            return None
        done = Exported(**state)
        sizes = zip(self._sink.parts, done.sizes, strict=True)
        kept = all(
            part.holds(size) or (done.whole and part.target.exists()) for part, size in sizes
        )
        return done if kept else None

    def run(self) -> Exported:
        """Export what is left.

        Raises:
            Failure: the service failed.
        """
        try:
            self._read_or_begin_again()
        except OSSVectorError as error:
            raise Failure(f"{in_flags(str(error))}\n{self.resume_hint}", SERVICE) from None
        self._sink.finish(self.done.dimension or self._target.dimension or 0)
        if self._journal is not None:
            self._journal.remove()
        return self.done

    @property
    def resume_hint(self) -> str:
        """Return what to do after an end before the end."""
        count = f"{self.done.vectors:,} vectors are exported"
        return f"{count}; the same command again goes on from there" if self._journal else count

    def _read_or_begin_again(self) -> None:
        try:
            self._read()
        except VectorIndexParameterInvalidError:
            if not self.before:
                raise
            self._meter.say("the service does not know any more where the export was: from the top")
            self.done, self.before = self._from_the_beginning(), 0
            self._read()

    def _read(self) -> None:
        if self.done.whole:
            return
        with ExitStack() as closing:
            for part, size in zip(self._sink.parts, self.done.sizes, strict=True):
                closing.callback(part.close)
                part.open(size)
            self._meter.advance(self.done.vectors)
            self._read_pages()
            self.done.whole = True
            self._note()

    def _read_pages(self) -> None:
        with threads(self._segments) as pool:
            for segment, page in self._pages(pool):
                self._sink.write(page)
                self._count(segment, page)

    def _pages(self, pool: Executor) -> Iterator[tuple[int, ListVectorsResult]]:
        """Yield the pages of all segments; of each the next is asked for before one is yielded."""
        waiting: deque[tuple[int, Future[ListVectorsResult]]] = deque(
            (segment, pool.submit(self._page, segment, token))
            for segment, token in enumerate(self.done.tokens)
            if token is not None
        )
        while waiting:
            segment, future = waiting.popleft()
            page = future.result()
            if page.next_token:
                waiting.append((segment, pool.submit(self._page, segment, page.next_token)))
            yield segment, page

    def _page(self, segment: int, token: str) -> ListVectorsResult:
        parts: dict[str, Any] = {"segment_count": self._segments, "segment_index": segment}
        return self._target.client.list_vectors(
            index=self._target.index,
            next_token=token or None,
            return_data=True,
            return_metadata=True,
            **(parts if self._segments > 1 else {}),
            **self._options,
        )

    def _count(self, segment: int, page: ListVectorsResult) -> None:
        self.done.vectors += len(page)
        self.done.tokens[segment] = page.next_token
        if page and page[0].data is not None:
            self.done.dimension = len(page[0].data)
        self._note()
        self._meter.advance(len(page))

    def _note(self) -> None:
        if self._journal is not None:
            self.done.sizes = [part.settle() for part in self._sink.parts]
            self._journal.record(asdict(self.done))
