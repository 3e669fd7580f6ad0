"""`OSSVectorEmbeddingStore`: embeddings by key, kept as what they are."""

from __future__ import annotations

import hashlib
from typing import Final

from oss_vector_retriever.client.both import Client
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.langchain.key_value import KeyValueStore
from oss_vector_retriever.records.settings import DistanceMetric

_KIND: Final = "embedding"


class OSSVectorEmbeddingStore(KeyValueStore[list[float]]):
    """Keep embeddings under keys: the cache of a CacheBackedEmbeddings, without serialising.

    The vector is the value, float32 as the service stores it: numbers come back rounded to that.
    An index holds embeddings of one dimension, so of one model; give each model an index.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index.
        hash_keys: keep each value under the SHA-256 of its key: CacheBackedEmbeddings uses whole
            texts as keys, and the service takes 1,024 characters. `yield_keys` yields the hashes.
        distance_metric: of the index that a first write makes; euclidean takes zeros, cosine not.
            None takes any that is there, and makes cosine.
        create_index: make the index on the first write, and read one that is not there as empty.
    """

    return_data = True
    return_metadata = False

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        prefix: str = "",
        hash_keys: bool = False,
        distance_metric: DistanceMetric | None = "euclidean",
        create_index: bool = True,
    ) -> None:
        super().__init__(
            client,
            index=index,
            prefix=prefix,
            distance_metric=distance_metric,
            create_index=create_index,
        )
        self.hash_keys = hash_keys

    def _key(self, key: str) -> str:
        if not self.hash_keys or not isinstance(key, str):
            return self._short(super()._key(key))
        return super()._key(hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest())

    def _short(self, key: str) -> str:
        most = self._records.settings.limits.key_characters
        if len(key) > most:
            raise InvalidRequestError(
                f"the key {shown(key)} has {len(key):,} characters, and the service takes "
                f"{most:,}; with hash_keys=True each value is kept under the SHA-256 of its key."
            )
        return key

    def _row(self, key: str, value: list[float], placeholder: list[float]) -> Vector:  # noqa: ARG002 - a value is its own vector
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            raise InvalidRequestError(
                f"a value must be a list of numbers, not {type(value).__name__}."
            )
        return self._encoded(key, value, _KIND)

    def _value(self, vector: Vector) -> list[float] | None:
        return None if vector.data is None else vector.data.tolist()
