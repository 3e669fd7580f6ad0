"""`OSSVectorByteStore`: bytes by key."""

from __future__ import annotations

import base64
import binascii
import logging
from typing import Final

from oss_vector_retriever.client.both import Client
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.langchain.key_value import KeyValueStore
from oss_vector_retriever.records import DecodeError, DecodePolicy
from oss_vector_retriever.records.envelope import TEXT_FIELD
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.settings import ROW_FIELD, DistanceMetric

_KIND: Final = "bytes"

_log = logging.getLogger(__name__)


class OSSVectorByteStore(KeyValueStore[bytes]):
    """Keep bytes under keys: a ByteStore, for whatever LangChain caches or serialises.

    The service's metadata hold strings, so bytes are kept as base64: about 30 KB a value, at most.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        on_decode_error: for records that hold no bytes of this store: "raise", or "skip" (None
            comes back, with a warning in the log).
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        prefix: str = "",
        dimension: int = 1,
        distance_metric: DistanceMetric | None = None,
        create_index: bool = True,
        on_decode_error: DecodePolicy = "raise",
    ) -> None:
        if on_decode_error == "raw":
            raise InvalidRequestError('on_decode_error is "raise" or "skip" for bytes.')
        super().__init__(
            client,
            index=index,
            prefix=prefix,
            dimension=dimension,
            distance_metric=distance_metric,
            create_index=create_index,
            on_decode_error=on_decode_error,
        )

    def _row(self, key: str, value: bytes, placeholder: list[float]) -> Vector:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"a value must be bytes, not {type(value).__name__}.")
        text = base64.b64encode(value).decode("ascii")
        return self._encoded(key, placeholder, _KIND, text)

    def _value(self, vector: Vector) -> bytes | None:
        record = self._records.decoded(vector)
        if record is None:
            return None
        try:
            return _bytes_of(record)
        except DecodeError as error:
            if self._records.settings.on_decode_error == "raise":
                raise
            _log.warning("skipped: %s", error)
            return None


def _bytes_of(record: Record) -> bytes:
    if record.metadata.get(ROW_FIELD) != _KIND:
        raise DecodeError(record.key, ROW_FIELD, "it is no row of a store of bytes")
    try:
        return base64.b64decode(record.text, validate=True)
    except binascii.Error as error:
        raise DecodeError(record.key, TEXT_FIELD, f"it is not base64 ({error})") from error
