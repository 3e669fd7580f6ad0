"""What a store is about to write: checked whole before any embedding or call is paid for."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from langchain_core.documents import Document
from pydantic import BaseModel

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, with_article
from ..client.models.vector import Float32Array, Vector
from ..client.operations.checks import refuse_repeated
from ..records import BadRecordPolicy, WrittenIds
from ..records.bad_records import make_each
from ..records.decode import ENVELOPE_FIELD, TEXT_FIELD
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
        ids: of the records that can be stored; its `report` says which cannot.

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
        *,
        on_bad_record: BadRecordPolicy | None = None,
    ) -> None:
        self._store = store
        all_texts = _as_list("texts", texts)
        parts = _one_for_each("metadatas", metadatas, len(all_texts))
        given = _one_for_each("ids", ids, len(all_texts))
        keys = [str(uuid.uuid4()) if key is None else key for key in given]
        self.fresh = all(key is None for key in given)  # nobody has used such ids before
        # without data yet: what is too large is refused before its embedding is paid for
        made, report = make_each(
            on_bad_record or store.settings.on_bad_record,
            keys,
            lambda at: store.encode(
                keys[at], None, text=all_texts[at], metadata=_leave_out(parts[at], filled_fields)
            ),
        )
        refuse_repeated(keys)
        self._positions, self._bare = list(made), list(made.values())
        self._texts = [all_texts[at] for at in made]
        self.ids = WrittenIds((keys[at] for at in made), report)
        self._given_ids = [given[at] for at in made if given[at] is not None]
        self._stored: dict[str, Embedding] = {}  # of what need not be embedded again
        self._unchanged: set[str] = set()

    @classmethod
    def of_documents(
        cls,
        store: RecordStore,
        documents: Iterable[Document],
        ids: Iterable[str | None] | None = None,
        filled_fields: Collection[str] = (),
        *,
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
        return cls(store, texts, parts, keys, filled_fields, on_bad_record=on_bad_record)

    def choose(self, embeddings: Iterable[Embedding]) -> Iterable[Embedding]:
        """Return those of the embeddings of all that was given which are of what can be stored."""
        if self.ids.report.ok:
            return embeddings
        items, count = _as_list("embeddings", embeddings), self.ids.report.total
        if len(items) != count:
            raise _count_error(len(items), count)
        return [items[at] for at in self._positions]

    @property
    def texts(self) -> list[str]:
        """Return the texts to embed: all, but for what is taken over."""
        pairs = zip(self._bare, self._texts, strict=True)
        return [text for bare, text in pairs if not self._is_taken(bare.key)]

    def take_stored(self, context: Context) -> Flow[None]:
        """Take over the embeddings of texts that are stored under their ids already.

        What is stored just as it would be written is not written again. Of the others whose text is
        the same the embeddings are fetched: two gets for each 100 of them.
        """
        found = (yield from self._store.fetch(context, self._given_ids)).by_key
        changed = []
        for bare in self._bare:
            if (stored := found.get(bare.key)) is None or not _has_same_text(stored, bare):
                continue
            if _is_same(stored, bare):
                self._unchanged.add(bare.key)
            else:
                changed.append(bare.key)
        result = yield from self._store.fetch(
            context, changed, return_data=True, return_metadata=False
        )
        data = {key: one.data for key, one in result.by_key.items()}
        self._stored = {key: one for key, one in data.items() if one is not None}

    def vectors(self, embeddings: Iterable[Embedding]) -> list[Vector]:
        """Return the vectors to write, with one embedding for each of `texts`.

        Raises:
            InvalidRequestError: there are more or fewer embeddings, or one is not of numbers.
        """
        items, count = _as_list("embeddings", embeddings), len(self.texts)
        if len(items) != count:
            raise _count_error(len(items), count)
        made = iter(items)
        return [
            _with_data(bare, self._stored[bare.key] if bare.key in self._stored else next(made))
            for bare in self._bare
            if bare.key not in self._unchanged
        ]

    def _is_taken(self, key: str) -> bool:
        return key in self._stored or key in self._unchanged


def _count_error(found: int, wanted: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"{found} embeddings for {wanted} texts; one for each is needed. Nothing was written."
    )


def _has_same_text(stored: Vector, bare: Vector) -> bool:
    texts: list[object] = [(one.metadata or {}).get(TEXT_FIELD) for one in (stored, bare)]
    return texts[0] == texts[1]


def _is_same(stored: Vector, bare: Vector) -> bool:
    there, here = stored.metadata or {}, bare.metadata or {}
    # of the copies the names alone: an account may keep numbers as strings
    has_same_fields = there.keys() == here.keys()
    return has_same_fields and there.get(ENVELOPE_FIELD, "") == here[ENVELOPE_FIELD]


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
