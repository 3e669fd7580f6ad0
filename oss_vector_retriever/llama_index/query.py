"""A query that says which records it wants."""

from __future__ import annotations

from dataclasses import dataclass

from llama_index.core.schema import QueryBundle


@dataclass
class KeyQueryBundle(QueryBundle):
    """Be a question together with the keys of the records that may answer it.

    `OSSVectorRetriever` fetches those keys, and a query engine puts the question to the nodes:
    `engine.query(KeyQueryBundle("What changed?", keys=["doc-1", "doc-7"]))`.

    Attributes:
        keys: the keys, in order; None where the bundle names none.
    """

    keys: list[str] | None = None
