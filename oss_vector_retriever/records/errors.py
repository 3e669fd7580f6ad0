"""`DecodeError`: a stored record that cannot be read."""

from __future__ import annotations

from oss_vector_retriever.client.errors import OSSVectorError, shown


class DecodeError(OSSVectorError, ValueError):
    """A stored record claims a format and does not keep it.

    Attributes:
        key: the key of the record.
        field: the metadata field that cannot be read, such as `_node_content`.
        reason: what is wrong with it.
    """

    def __init__(self, key: str, field: str, reason: str) -> None:
        self.key = key
        self.field = field
        self.reason = reason
        super().__init__(
            f"record {shown(key)}: {field} cannot be read: {reason}. "
            'Write the record again, or pass on_decode_error="skip" or "raw".'
        )
