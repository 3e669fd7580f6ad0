"""`DocumentRow`: what a row of the side index keeps of one document, and of whose nodes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..client.errors import InvalidRequestError
from ..client.models.vector import Vector
from ..records import decode
from ..records.conditions import document_id
from ..records.settings import is_row
from ..records.side import Row

KIND: Final = "document"
NODE_KIND: Final = "node"
_SMALL: Final = 20_000  # bytes of a row that surely has no parts


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One document.

    Attributes:
        id: its id, of any form.
        hash: of the document, as who ingested it has set it.
        nodes: the ids of its nodes in the index.
        kept: the ids of its nodes that are kept without a vector, in the side index.
        is_kept: whether the document itself is kept so, as a node of its own.
        metadata: of the document.
        has_large: whether a node that is kept is so large that it may have parts.
        is_whole: whether `nodes` are all that it has in the index.
        index_made: when the index was made that they stand in; "" where that is not known.
    """

    id: str
    hash: str | None = None
    nodes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    is_kept: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    has_large: bool = False
    is_whole: bool = False
    index_made: str = ""

    @classmethod
    def from_row(cls, row: Row) -> "DocumentRow":
        """Return the document in a row; a member of another form counts as absent."""
        value = row.value
        return cls(
            row.key,
            _of_type(value.get("hash"), str, None),
            tuple(_of_type(value.get("nodes"), list, [])),
            tuple(_of_type(value.get("kept"), list, [])),
            value.get("is_kept") is True,
            _of_type(value.get("metadata"), dict, {}),
            value.get("has_large") is True,
            value.get("is_whole") is True,
            _of_type(value.get("index_made"), str, ""),
        )

    def to_row(self) -> Row:
        """Return the row; what is empty is left out."""
        members: dict[str, Any] = {
            "hash": self.hash,
            "nodes": list(self.nodes),
            "kept": list(self.kept),
            "is_kept": self.is_kept,
            "metadata": dict(self.metadata),
            "has_large": self.has_large,
            "is_whole": self.is_whole,
            "index_made": self.index_made,
        }
        return Row(KIND, self.id, {name: value for name, value in members.items() if value})

    @property
    def is_small(self) -> bool:
        """Tell whether the row surely has no parts, which would have to be looked for."""
        return len(json.dumps(self.to_row().value, default=str)) < _SMALL

    @property
    def is_of_index(self) -> bool:
        """Tell whether it says anything of what stands in the index."""
        return bool(self.nodes) or not self.is_whole

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to keep of the document."""
        return not (self.hash or self.nodes or self.kept or self.is_kept)


def _of_type(value: Any, kind: type, otherwise: Any) -> Any:
    return value if isinstance(value, kind) else otherwise


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row keeps of a node: its id, the document it is of (None: none), and metadata.

    One that `is_large` may have parts.
    """

    node: str
    document: str | None
    metadata: Mapping[str, Any]
    is_large: bool = False


def is_of(vector: Vector, document: str) -> bool:
    """Tell whether a stored vector is a node of a document, whoever wrote it."""
    # a damaged record is none of the document's, or still says so beside its envelope
    return not is_row(vector.metadata) and (
        document_id(decode(vector, on_decode_error="raw")) == document
    )


def check_document(doc_id: object) -> None:
    """Refuse what is no id of a document."""
    if not isinstance(doc_id, str) or not doc_id:
        raise InvalidRequestError(
            "{argument} is the id of a document, not {value}.", argument="ref_doc_id", value=doc_id
        )
