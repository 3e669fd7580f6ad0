"""`Record`: what one stored vector means to a framework, whoever wrote it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from ..client.models.vector import Float32Array, slot_setters

Source = Literal[
    "envelope",
    "llama_index",
    "embed_cli",
    "langchain",
    "text_key",
    "text",
    "content",
    "empty",
    "raw",
]

EMBED_LOCATION: Final = "OSSVECTORS-EMBED-SRC-LOCATION"
EMBED_CONTENT_TYPE: Final = "OSSVECTORS-EMBED-SRC-CONTENT-TYPE"

_TEXT_IN_REPR = 60
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Media:
    """The place where the source of a record of `oss-vectors-embed` lies.

    Attributes:
        locations: paths or URLs of the source; several where one vector stands for many images.
        content_type: such as `TEXT`, `IMAGE`, `VIDEO`, `MULTI-IMAGES`, or None.
        index: line of the source file, counted from 0, or None.
        start_seconds: where the clip begins in its video, or None.
        end_seconds: where the clip ends, or None.
        embedding_type: the model's own name of the kind of embedding, or None.
    """

    locations: tuple[str, ...] = ()
    content_type: str | None = None
    index: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    embedding_type: str | None = None

    @property
    def location(self) -> str | None:
        """Return the first location, or None."""
        return self.locations[0] if self.locations else None


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One decoded record; nothing in it is shared with the vector or another record.

    Attributes:
        key: the vector's key; always the id, whatever the record says of itself.
        text: the text, empty where the record holds none.
        metadata: the user's metadata, without text, bookkeeping and embedding.
        embedding: packed float32, shape (dimension,), read-only; None where it was not asked for.
        node: a framework's own serialised object with its class name and relationships. Of a
            `_node_content` it lacks `metadata` and `embedding`, which stand here; `key` and `text`
            here are the ones that count. None where the record holds no such object.
        source: the rung of the ladder that decoded the record.
    """

    key: str
    text: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    embedding: Float32Array | None = None
    node: dict[str, Any] | None = None
    source: Source = "empty"

    def __init__(  # noqa: PLR0917 - the fields, in their order
        self,
        key: str,
        text: str = "",
        metadata: dict[str, Any] | None = None,
        embedding: Float32Array | None = None,
        node: dict[str, Any] | None = None,
        source: Source = "empty",
    ) -> None:
        """Take the parts as they are; metadata that are not given are empty."""
        # Written out: the slots' own setters are faster than the object.__setattr__ of a frozen
        # dataclass, and there is a record for each key that is fetched.
        _set_key(self, key)
        _set_text(self, text)
        _set_metadata(self, {} if metadata is None else metadata)
        _set_embedding(self, embedding)
        _set_node(self, node)
        _set_source(self, source)

    @property
    def media(self) -> Media | None:
        """Return where the source lies, of a record that `oss-vectors-embed` wrote; else None.

        It is read from the metadata, where the tool's fields stay under their own names.
        """
        # read when asked for: few records have it, and few programs look
        if EMBED_LOCATION not in self.metadata and EMBED_CONTENT_TYPE not in self.metadata:
            return None
        value = self.metadata.get
        where = value(EMBED_LOCATION)
        # a list where one vector stands for many images
        locations = where if isinstance(where, list) else [where]
        return Media(
            locations=tuple(item for item in locations if isinstance(item, str) and item),
            content_type=_string(value(EMBED_CONTENT_TYPE)),
            index=_number(int, value("OSSVECTORS-EMBED-SRC-INDEX")),
            start_seconds=_number(float, value("OSSVECTORS-EMBED-START-SEC")),
            end_seconds=_number(float, value("OSSVECTORS-EMBED-END-SEC")),
            embedding_type=_string(value("OSSVECTORS-EMBED-TYPE")),
        )

    def __repr__(self) -> str:
        text = repr(self.text[:_TEXT_IN_REPR])
        more = f"... {len(self.text)} characters" if len(self.text) > _TEXT_IN_REPR else ""
        parts = [repr(self.key), f"text={text}{more}", f"metadata={sorted(self.metadata)}"]
        if self.embedding is not None:
            parts.append(f"embedding={self.embedding!r}")
        if self.node is not None:
            parts.append(f"node={self.node.get('class_name', 'dict')}")
        return f"Record({', '.join(parts)}, source={self.source!r})"


_set_key, _set_text, _set_metadata, _set_embedding, _set_node, _set_source = slot_setters(Record)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(kind: Callable[[Any], _Number], value: object) -> _Number | None:
    try:  # the tool writes numbers and strings
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        return None
