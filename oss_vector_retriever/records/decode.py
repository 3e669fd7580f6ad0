"""From a stored vector to a `Record`, whoever wrote it: the ladder, record by record.

The first match wins:

    1. our own envelope                        `_record`, with `_record_text`
    2. LlamaIndex                              `_node_content`: JSON text or an object
    3. Alibaba's oss-vectors-embed             `OSSVECTORS-EMBED-SRC-CONTENT`
    4. LangChain                               `_page_content`, then `page_content`
    5. the field that the caller names         `text_key`
    6. anyone's                                `text`, then `content`
    7. else the text is empty, and all is metadata

Rungs 1 and 2 can be broken: what to do then is the caller's choice, and one broken record never
sinks a batch unless the caller wants it to. A field that holds None does not match.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Literal, get_args, overload

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records.envelope import ENVELOPE_FIELD, TEXT_FIELD, from_envelope
from oss_vector_retriever.records.errors import DecodeError
from oss_vector_retriever.records.fields import from_fields
from oss_vector_retriever.records.nodes import NODE_FIELD, from_node
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.values import fresh

DecodePolicy = Literal["raise", "skip", "raw"]
DECODE_POLICIES: Final[tuple[str, ...]] = get_args(DecodePolicy)

_log = logging.getLogger(__name__)


@overload
def decode(
    vector: Vector,
    *,
    text_key: str | None = ...,
    on_decode_error: Literal["raise", "raw"] = ...,
) -> Record: ...


@overload
def decode(
    vector: Vector, *, text_key: str | None = ..., on_decode_error: DecodePolicy
) -> Record | None: ...


def decode(
    vector: Vector, *, text_key: str | None = None, on_decode_error: DecodePolicy = "raise"
) -> Record | None:
    """Read one vector as a record; the vector is left as it is and shares nothing with the result.

    Args:
        vector: a stored vector, with or without data and metadata.
        text_key: a further metadata field to look for text in.
        on_decode_error: "raise"; "skip" (None, with a warning in the log); or "raw": all metadata
            as it is stored, and what text can be had from the plain fields.

    Raises:
        DecodeError: the record is broken, under "raise".
        InvalidRequestError: `on_decode_error` is none of the three.
    """
    if on_decode_error not in DECODE_POLICIES:
        raise InvalidRequestError(f"on_decode_error must be one of {', '.join(DECODE_POLICIES)}")
    try:
        return read(vector, text_key)
    except DecodeError as error:
        if on_decode_error == "raise":
            raise
        if on_decode_error == "raw":
            return _raw(vector, text_key)
        _log.warning("skipped: %s", error)
        return None


def decode_all(
    vectors: Iterable[Vector],
    *,
    text_key: str | None = None,
    on_decode_error: DecodePolicy = "raise",
) -> list[Record]:
    """Read vectors in order, each by itself; under "skip" the broken ones are left out.

    Raises:
        DecodeError: a record is broken, under "raise".
        InvalidRequestError: `on_decode_error` is none of the three.
    """
    decoded = (
        decode(vector, text_key=text_key, on_decode_error=on_decode_error) for vector in vectors
    )
    return [record for record in decoded if record is not None]


def read(vector: Vector, text_key: str | None = None) -> Record:
    """Read one vector as a record, as `decode` does under "raise".

    Raises:
        DecodeError: the record is broken.
    """
    stored = vector.metadata
    if not stored:
        return Record(vector.key, "", {}, vector.data)
    if stored.get(ENVELOPE_FIELD) is not None:
        return from_envelope(vector.key, stored, vector.data)
    if stored.get(NODE_FIELD) is not None:
        return from_node(vector.key, stored, vector.data, text_key)
    return from_fields(vector.key, stored, vector.data, text_key)


def _raw(vector: Vector, text_key: str | None) -> Record:
    stored = vector.metadata or {}
    text = stored.get(TEXT_FIELD)
    if not isinstance(text, str):
        text = from_fields(vector.key, stored, None, text_key).text
    return Record(vector.key, text, fresh(stored), vector.data, None, "raw")
