"""What a store is about to write: checked whole before any embedding or call is paid for."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from langchain_core.documents import Document
from pydantic import BaseModel

from ..client.errors import InvalidRequestError, with_article
from ..client.models.vector import Float32Array, Vector
from ..client.operations.checks import refuse_repeated
from ..records import BadRecordPolicy, WrittenIds
from ..records.bad_records import make_each
from ..records.store import RecordStore

Embedding = Iterable[float]


class PendingWrites:
    """Texts on their way into a store; what they were made of is left as it is.

    Args:
        store: encodes the records.
        texts: one text a record.
        metadatas: a dict or None for each text, or None for all.
        ids: an id or None for each text, or None for all; the absent ones are made up.
        filled_fields: metadata fields that are left out, because reading fills them.
        on_bad_record: of records that cannot be stored; None: what the store's settings say.

    Attributes:
        texts: of the records that can be stored.
        ids: theirs, and which cannot.

    Raises:
        InvalidRequestError: the counts differ, an id stands twice or is no string, or a record
            would not come back as it is, or passes a limit.
    """

    def __init__(
        self,
        store: RecordStore,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        ids: Iterable[str | None] | None = None,
        filled_fields: Collection[str] = (),
        on_bad_record: BadRecordPolicy | None = None,
    ) -> None:
        all_texts = _as_list("texts", texts)
        parts = _one_for_each("metadatas", metadatas, len(all_texts))
        given = _one_for_each("ids", ids, len(all_texts))
        keys = [str(uuid.uuid4()) if key is None else key for key in given]
        # without data yet: what is too large is refused before its embedding is paid for
        self._bare, report = make_each(
            on_bad_record or store.settings.on_bad_record,
            keys,
            lambda at: store.encode(
                keys[at], None, text=all_texts[at], metadata=_leave_out(parts[at], filled_fields)
            ),
        )
        refuse_repeated(keys)
        self.texts = [all_texts[at] for at in self._bare]
        self.ids = WrittenIds((keys[at] for at in self._bare), report)

    @classmethod
    def of_documents(
        cls,
        store: RecordStore,
        documents: Iterable[Document],
        ids: Iterable[str | None] | None = None,
        filled_fields: Collection[str] = (),
        on_bad_record: BadRecordPolicy | None = None,
    ) -> Self:
        """Return what Documents hold; an id in `ids` wins over the Document's own."""
        items = _as_list("documents", documents)
        for item in items:
            if not isinstance(item, Document):
                raise InvalidRequestError(
                    f"documents must be LangChain Documents, not {type(item).__name__}; texts go "
                    "to add_texts."
                )
        given = _one_for_each("ids", ids, len(items))
        keys = [item.id if key is None else key for key, item in zip(given, items, strict=True)]
        texts = [item.page_content for item in items]
        parts = [item.metadata for item in items]
        return cls(store, texts, parts, keys, filled_fields, on_bad_record)

    def choose(self, embeddings: Iterable[Embedding]) -> list[Embedding]:
        """Return those of the embeddings of all records that are of records to be written.

        Raises:
            InvalidRequestError: there are more or fewer than records were given.
        """
        items, count = _as_list("embeddings", embeddings), self.ids.report.total
        if len(items) != count:
            raise InvalidRequestError(
                f"{len(items)} embeddings for {count} texts; one for each is needed. Nothing was "
                "written."
            )
        return [items[at] for at in self._bare]

    def vectors(self, embeddings: Iterable[Embedding]) -> list[Vector]:
        """Return the vectors to write, one embedding for each of `texts`.

        Raises:
            InvalidRequestError: there are more or fewer embeddings, or one is not of numbers.
        """
        items = _as_list("embeddings", embeddings)
        if len(items) != len(self._bare):
            raise InvalidRequestError(
                f"{len(items)} embeddings for {len(self._bare)} texts; one for each is needed. "
                "Nothing was written."
            )
        bare = self._bare.values()
        return [_with_data(one, data) for one, data in zip(bare, items, strict=True)]


def _with_data(bare: Vector, data: Embedding) -> Vector:
    try:
        return Vector(bare.key, Float32Array(data), bare.metadata)
    except (TypeError, OverflowError) as error:
        raise InvalidRequestError(
            f"the embedding of {bare.key!r} is not of float32 numbers: {error}. Nothing was "
            "written."
        ) from error


def _one_for_each(what: str, given: Iterable[Any] | None, count: int) -> list[Any]:
    if given is None:
        return [None] * count
    items = _as_list(what, given)
    if len(items) != count:
        raise InvalidRequestError(
            f"{what} must be a list with one entry for each of the {count} texts, and has "
            f"{len(items)}."
        )
    return items


def _as_list(what: str, given: Any) -> list[Any]:
    # a lone text would be its letters, a lone Document the pairs of its fields
    if isinstance(given, str | bytes | Mapping | BaseModel) or not hasattr(given, "__iter__"):
        raise InvalidRequestError(
            f"{what} must be a list, not {with_article(type(given).__name__)}; "
            "put a single one into a list."
        )
    return list(given)


def _leave_out(metadata: Any, fields: Collection[str]) -> Any:
    if not fields or not isinstance(metadata, Mapping):
        return metadata
    return {name: value for name, value in metadata.items() if name not in fields}
