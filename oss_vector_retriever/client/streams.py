"""What `stream` returns, vectors or the same as Arrow batches, and how far it reads ahead."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import InvalidRequestError
from .models import ArrowBatches, FetchResult, Vector, metadata_bytes

if TYPE_CHECKING:
    import pyarrow as pa

Results = TypeVar("Results")
_ROWS = 1000  # in a batch; 4 MB of 1,024 numbers
# Of replies, for each connection. A thread that reads one of 1.2 MB takes 8 MB, most of it for
# good: the C library keeps what a thread frees for it. An event loop takes little beside them.
BYTES_IN_THREADS = 640 * 1024
BYTES_ON_A_LOOP = 2 * 1024 * 1024
_FEWEST = 2  # one is read while the next is on its way
_BYTES_OF_NUMBER = 12  # in a reply: some have 9 digits, some 20
_SAMPLE = 8  # vectors whose metadata are weighed; of all it would take as long as to read some
_DECAY = 0.9  # of the weight, with each reply: large records may come in groups


class ByteWindow:
    """The number of calls that a stream has in progress or ahead of its reader, bounded in bytes.

    As many as there are connections, as long as their replies are small enough together. It begins
    with half of that: what the replies weigh is seen when the first one is there.
    """

    def __init__(self, connections: int, bytes_each: int) -> None:
        self._most = connections
        self._budget = connections * bytes_each
        self._weight = 0.0
        self.size = max(connections // 2, 1)

    def note(self, result: FetchResult) -> FetchResult:
        """Return a result, and let its weight set how many calls are in progress."""
        self._weight = max(_weigh(result), self._weight * _DECAY)
        fitting = int(self._budget // max(self._weight, 1))
        self.size = min(max(fitting, _FEWEST), self._most)
        return result


def _weigh(result: FetchResult) -> float:
    """Return about how many bytes a reply had."""
    vectors = result.by_key.values()
    numbers = sum(len(vector.data) for vector in vectors if vector.data is not None)
    sample = list(vectors)[:: len(vectors) // _SAMPLE + 1]
    try:
        metadata = sum(metadata_bytes(vector.metadata) for vector in sample if vector.metadata)
    except RecursionError:  # nested as deep as JSON is read; it is read, whatever it weighs
        metadata = 0
    return numbers * _BYTES_OF_NUMBER + metadata * len(vectors) / max(len(sample), 1)


class _Stream(Generic[Results]):
    """A stream of results that is read once, in one of two ways."""

    def __init__(self, results: Results, *, with_data: bool) -> None:
        self._results: Results | None = results
        self._with_data = with_data

    def _take_results(self) -> Results:
        results, self._results = self._results, None
        if results is None:
            raise InvalidRequestError(
                "a stream is read once, as vectors or as batches:", remedy="call stream() again"
            )
        return results


class VectorStream(_Stream[Generator[FetchResult, None, None]], Iterator[Vector]):
    """An iterator of vectors, in the order of the keys; one that is dropped stops its calls."""

    _vectors: Generator[Vector, None, None] | None = None

    def __iter__(self) -> Iterator[Vector]:  # noqa: PYI034 - see below
        # the generator itself: a method of Python's for each vector would cost as much again
        if self._vectors is None:
            self._vectors = _vectors_of(self._take_results())
        return self._vectors

    def __next__(self) -> Vector:
        """Return the next vector."""
        return next(self._vectors or iter(self))

    def close(self) -> None:
        """Stop the calls that run ahead."""
        self._results = None
        if self._vectors is not None:
            self._vectors.close()

    def to_arrow_batches(self, rows: int = _ROWS) -> Iterator[pa.RecordBatch]:
        """Return an iterator of `pyarrow.RecordBatch`, each of `rows` keys, the last of fewer.

        The columns are those of `FetchResult.to_arrow()`: a row for each key, missing ones with
        null. A batch of large metadata has fewer rows. The first comes when the first vector has
        told the dimension; where none exists, `data` has the type null. Extra `arrow`.
        """
        batches = ArrowBatches(rows, with_data=self._with_data)
        return _batches_of(self._take_results(), batches)


def _vectors_of(results: Generator[FetchResult, None, None]) -> Generator[Vector, None, None]:
    with closing(results):
        for result in results:
            yield from result


def _batches_of(
    results: Generator[FetchResult, None, None], batches: ArrowBatches
) -> Generator[pa.RecordBatch, None, None]:
    with closing(results):
        for result in results:
            yield from batches.add(result.keys, result.aligned())
    yield from batches.rest()


class AsyncVectorStream(_Stream[AsyncGenerator[FetchResult, None]], AsyncIterator[Vector]):
    """An async iterator of vectors, in the order of the keys."""

    _vectors: AsyncGenerator[Vector, None] | None = None

    def __init__(self, results: AsyncGenerator[FetchResult, None], *, with_data: bool) -> None:
        super().__init__(results, with_data=with_data)
        self._source = results

    def __aiter__(self) -> AsyncIterator[Vector]:  # noqa: PYI034 - as above
        if self._vectors is None:
            self._vectors = _async_vectors_of(self._take_results())
        return self._vectors

    async def __anext__(self) -> Vector:
        """Return the next vector."""
        return await anext(self._vectors or aiter(self))

    async def aclose(self) -> None:
        """Stop the calls that run ahead."""
        self._results = None
        if self._vectors is not None:
            await self._vectors.aclose()
        # else the loop closes it, in a task of its own that lasts a turn longer
        await self._source.aclose()

    def to_arrow_batches(self, rows: int = _ROWS) -> AsyncIterator[pa.RecordBatch]:
        """Return an async iterator of `pyarrow.RecordBatch`, as `VectorStream` does."""
        batches = ArrowBatches(rows, with_data=self._with_data)
        return _async_batches_of(self._take_results(), batches)


# Without `aclosing`: a loop that shuts down closes all generators at once, and the one within would
# be told to close while it does.
async def _async_vectors_of(results: AsyncIterator[FetchResult]) -> AsyncGenerator[Vector, None]:
    async for result in results:
        for vector in result:
            yield vector


async def _async_batches_of(
    results: AsyncIterator[FetchResult], batches: ArrowBatches
) -> AsyncGenerator[pa.RecordBatch, None]:
    async for result in results:
        for batch in batches.add(result.keys, result.aligned()):
            yield batch
    for batch in batches.rest():
        yield batch
