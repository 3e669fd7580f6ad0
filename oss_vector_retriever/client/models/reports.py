"""What became of a write of any size: a report for each call it took."""

from __future__ import annotations

from dataclasses import dataclass

from oss_vector_retriever.client.errors import OSSVectorError


@dataclass(frozen=True, slots=True)
class BatchReport:
    """Say what became of one call.

    Attributes:
        keys: what it was to write or delete.
        request_id: the service's id of the call that succeeded.
        error: what it failed with, or None. After a `TransportError` the service may have acted on
            it all the same; both writes may be repeated.
    """

    keys: tuple[str, ...]
    request_id: str | None = None
    error: OSSVectorError | None = None


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Say what became of a write, call by call."""

    batches: tuple[BatchReport, ...]

    @property
    def ok(self) -> bool:
        """Tell whether every call succeeded."""
        return not self.failed

    @property
    def written(self) -> tuple[str, ...]:
        """Return the keys that the service has acknowledged, in the order given."""
        return tuple(key for batch in self.batches if batch.error is None for key in batch.keys)

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the keys of the calls that failed, in the order given."""
        return tuple(key for batch in self.batches if batch.error is not None for key in batch.keys)

    def __repr__(self) -> str:
        return (
            f"WriteReport({len(self.written)} acknowledged, {len(self.failed)} failed, "
            f"calls={len(self.batches)})"
        )
