"""`OSSVectorDocStore`: whole Documents by key, such as the parents of searchable chunks."""

from __future__ import annotations

from typing import Final

from langchain_core.documents import Document

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.key_value import KeyValueStore
from oss_vector_retriever.records.settings import ROW_FIELD, ROW_ID_FIELD

_KIND: Final = "document"


class OSSVectorDocStore(KeyValueStore[Document]):
    """Keep Documents under keys: the docstore of a MultiVectorRetriever or ParentDocumentRetriever.

    A Document comes back as it was given, its own id included, which need not be the key. A record
    that others wrote comes as a Document whose id is the key. Any number of parents up to 100 is
    one call.

    Parents lie in an index of their own, or beside their children. For the latter give a `prefix`,
    make the children's store with `skip_rows=True`, so that searches pass over parents, and, where
    parents are written first, say the `dimension` of the children's embeddings.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        on_decode_error: for records that cannot be read: "raise", "skip" (None comes back, with a
            warning in the log) or "raw" (their metadata as they are stored).
    """

    def _row(self, key: str, value: Document, placeholder: list[float]) -> Vector:
        if not isinstance(value, Document):
            raise InvalidRequestError(f"a value must be a Document, not {type(value).__name__}.")
        if taken := {ROW_FIELD, ROW_ID_FIELD} & value.metadata.keys():
            raise InvalidRequestError(
                f"record {key!r}: metadata[{min(taken)!r}] has a name that the store needs itself; "
                "give it another."
            )
        own = {} if value.id is None else {ROW_ID_FIELD: value.id}
        return self._encoded(key, placeholder, _KIND, value.page_content, {**value.metadata, **own})

    def _value(self, vector: Vector) -> Document | None:
        record = self._records.decoded(vector)
        if record is None:
            return None
        a_row, own_id = ROW_FIELD in record.metadata, record.metadata.get(ROW_ID_FIELD)
        document = document_from(record)
        document.id = own_id if a_row else vector.key.removeprefix(self.prefix)
        return document
