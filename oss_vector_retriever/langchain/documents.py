"""Records as LangChain Documents, and what people hand over in place of whole Documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from pydantic import BaseModel

from ..client.errors import InvalidRequestError, with_article
from ..client.models.results import FusedVector, ScoredVector
from ..records import Record
from ..records.settings import ROW_FIELD, ROW_ID_FIELD


def document_from(record: Record, embedding_key: str | None = None) -> Document:
    """Return a record as a Document: the key as its id, the text as its page content.

    A Document has no place for an embedding; `embedding_key` names a metadata field that receives
    it, as a list of floats. Without it the embedding is left out. What a key-value store notes for
    itself in a row is left out too.
    """
    metadata = record.metadata
    if ROW_FIELD in metadata and metadata.pop(ROW_FIELD) is not None:
        metadata.pop(ROW_ID_FIELD, None)
    if embedding_key is not None and record.embedding is not None:
        metadata[embedding_key] = record.embedding.tolist()  # what tracers and JSON can show
    return _make(record.key, record.text, metadata)


def embedding_of(record: Record) -> list[float]:
    """Return the stored embedding of a record; empty where it has none."""
    return [] if record.embedding is None else record.embedding.tolist()


def validate_document(key: str, text: str, metadata: dict[str, Any]) -> Document:
    """Return a Document as its class makes one."""
    return Document(id=key, page_content=text, metadata=metadata)


def fill_document(key: str, text: str, metadata: dict[str, Any]) -> Document:
    """Return the same Document, filled as pydantic's `model_construct` does it."""
    # A record's values are of the right types; to look at each again takes longer than all the
    # rest: 1,000 Documents take 3.3 ms validated and 0.8 ms filled.
    document = _new(Document)
    values = {"id": key, "metadata": metadata, "page_content": text, "type": "Document"}
    _set_values(document, values)
    _set_given(document, {"id", "metadata", "page_content"})
    _set_extra(document, None)
    _set_private(document, None)
    return document


_new = Document.__new__
# The slots' own setters: Document's `__setattr__` is pydantic's, which looks at every value.
_SLOTS = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_set_values, _set_given, _set_extra, _set_private = (vars(BaseModel)[n].__set__ for n in _SLOTS)


def _is_plain() -> bool:
    """Tell whether Document is what `fill_document` knows: four fields, nothing done to them."""
    known = set(Document.model_fields) == {"id", "metadata", "page_content", "type"}
    return known and not (Document.__pydantic_post_init__ or Document.__private_attributes__)


# Another release of langchain-core may give Document a field or a validator: then it makes its own.
_make = fill_document if _is_plain() else validate_document

_PAIR = 2


@dataclass(frozen=True, slots=True)
class Hit:
    """What is known of a document before it is fetched.

    Attributes:
        id: the key, or None where it has none.
        score: the score that came with it, unchanged, or None.
        document: the Document that came, if it was one.
    """

    id: str | None
    score: float | None = None
    document: Document | None = None


def hits_of(items: Any) -> list[Hit]:
    """Return what each of many items says.

    Raises:
        InvalidRequestError: one says nothing, or there is no list.
    """
    if isinstance(items, str | bytes | Mapping | Document) or not hasattr(items, "__iter__"):
        raise InvalidRequestError(
            f"hits must be a list, not {with_article(type(items).__name__)}; "
            "put a single one into a list."
        )
    return [hit_of(item, position) for position, item in enumerate(items)]


def hit_of(item: Any, position: int) -> Hit:
    """Return what an item says: an id, a Document, `(either, score)`, a hit of a query, a dict.

    A dict has `id` or `key`, and may have `score` or `distance`.

    Raises:
        InvalidRequestError: it is none of these.
    """
    if isinstance(item, tuple | list) and len(item) == _PAIR:  # JSON makes lists of tuples
        inner = hit_of(item[0], position)
        return Hit(inner.id, _score(item[1], position), inner.document)
    if isinstance(item, Document):
        return Hit(item.id, None, item)
    if isinstance(item, str):
        return Hit(item)
    if isinstance(item, ScoredVector):
        return Hit(item.key, item.distance)  # smaller is closer, as it came: nothing is turned
    if isinstance(item, FusedVector):
        return Hit(item.key, item.score)
    if isinstance(item, Mapping) and isinstance(key := item.get("id", item.get("key")), str):
        return Hit(key, _score(item.get("score", item.get("distance")), position))
    raise InvalidRequestError(
        f"the hit at position {position} (counted from 0) is of type {type(item).__name__}; a hit "
        "is an id, a Document, a pair of either and a score, a hit of query_vectors, or a dict "
        "with id and score."
    )


def _score(value: Any, position: int) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"the score of the hit at position {position} (counted from 0) is of type "
            f"{type(value).__name__}, not a number."
        ) from error
