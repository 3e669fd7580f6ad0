"""The index that a file goes to or comes from: which one it is, and that it is there."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...client import errors, readiness
from ...client.clients import OSSVectorClient
from ...client.models.results import VectorIndex
from ...client.operations.indexes import DistanceMetric
from ...client.wire import dump_json
from ...records.decode import ENVELOPE_KEYS
from ..errors import USAGE, Failure


@dataclass(slots=True)
class Target:
    """A client and the index that a transfer is about.

    Attributes:
        client: a client.
        index: the index's name.
        place: where the service is: its address, or the embedded service's file.
        found: the index's description, once asked for; None where the caller may not ask.
    """

    client: OSSVectorClient
    index: str
    place: str
    found: VectorIndex | None = field(default=None, init=False)

    def describe(self) -> None:
        """Ask for the index's description.

        Raises:
            NoSuchVectorIndexError: there is no such index.
        """
        try:
            self.found = self.client.get_vector_index(index=self.index)
        except errors.AccessDeniedError:
            # a policy may allow to write vectors and not to describe the index
            self.found = None

    def describe_or_make(
        self, dimension: int | None, metric: DistanceMetric | None, non_filterable: Sequence[str]
    ) -> None:
        """Ask for the index's description; make the index where there is none.

        No metric means cosine, and no non-filterable keys mean this package's own.

        Raises:
            Failure: there is one, and it is another than is asked for; or the dimension is not
                known.
        """
        try:
            self.describe()
        except errors.NoSuchVectorIndexError:
            if dimension is None:
                text = "there is no vector to take the new index's dimension from"
                raise Failure(text, USAGE) from None
            # it may have been made by another, or by an attempt of ours whose reply was lost
            with suppress(errors.VectorIndexAlreadyExistsError):
                self.client.run(
                    readiness.put_vector_index,
                    dimension,
                    self.index,
                    metric or "cosine",
                    non_filterable or ENVELOPE_KEYS,
                    may_exist=True,
                )
            self.describe()
        if self.found is None:
            return
        found, names = self.found.distance_metric, self.found.non_filterable_metadata_keys
        # what was not asked for may be as it is
        other_names = non_filterable and set(non_filterable) != set(names)
        if found != (metric or found) or other_names:
            raise Failure(
                f"index {self.index!r} is there already, with metric {found} and the "
                f"non-filterable keys {', '.join(names) or 'none'}",
                USAGE,
            )

    @property
    def dimension(self) -> int | None:
        """Return the index's dimension, where it is known."""
        return self.found.dimension if self.found else None

    def identity(self) -> dict[str, Any]:
        """Return what tells the index from any other, one of its name made later included."""
        # an index that was deleted and made again has the same name and none of the vectors
        made = self.found.create_time if self.found else None
        return {
            "place": self.place,
            "account": self.client.config.account_id,
            "bucket": self.client.config.bucket,
            "index": self.index,
            "made": made.isoformat() if made else None,
        }

    def short_name(self) -> str:
        """Return a few letters that stand for the index in the name of a file."""
        # without the moment: the journal of an index that is made again is found, and begun anew
        where = {name: value for name, value in self.identity().items() if name != "made"}
        return hashlib.sha256(dump_json(where)).hexdigest()[:8]
