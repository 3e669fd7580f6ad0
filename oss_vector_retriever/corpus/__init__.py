"""A corpus for demonstrations and tests: Python's language reference, already embedded.

    for passage in load_passages():
        vector = Float32Array.from_bytes(passage.data)
        client.put_vectors([{"key": passage.key, "data": vector, "metadata": passage.metadata}])

Each passage has a key, a text, metadata and a vector of 384 float32 of length 1, made by
all-MiniLM-L6-v2, so no model and no network is needed. The text comes from ``pydoc_data.topics``
of the running Python, and none of it is copied here. Two files of this package hold what was
computed from it:

- ``topics.f32``: one row of little-endian float32 a passage, nothing else;
- ``topics.json``: model, dimension, the Python whose text was embedded, and for each row
  the passage's key and the sha256 of its UTF-8 text.

``examples/embed_topics`` made both. Other Python versions carry slightly different text: a passage
says so in its metadata, ``text_changed``, and one that has no vector is named in
``Corpus.without_vector``.
"""

import hashlib
import json
import platform
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

__all__ = ["PART_LIMIT", "SOURCE", "Corpus", "CorpusUnavailableError", "Passage", "ShippedVectors"]
__all__ += ["TopicPart", "load_corpus", "load_passages", "load_shipped_vectors", "running_topics"]
__all__ += ["split_text", "split_topics", "text_digest"]

SOURCE = "pydoc_data.topics"
# The service takes 40 KB of metadata a vector: this leaves room for JSON escapes and other fields.
PART_LIMIT = 30_000

_PACKAGE = "oss_vector_retriever.corpus"
_LONGEST_CHARACTER = 4
_FLOAT32_BYTES = 4
_BOUNDARIES = ("\n\n", "\n")
_EMPHASIS = re.compile(r"(?<![*`])(\*{1,2}|`{1,2})(?![\s*`])(.*?\S)\1(?![*`])")


class CorpusUnavailableError(RuntimeError):
    """The corpus cannot be read; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class TopicPart:
    """One topic, or one part of a topic too long for a single record."""

    key: str
    topic: str
    title: str
    part: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A part's text, its metadata and its packed float32 vector in native byte order."""

    key: str
    text: str
    metadata: dict[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class Corpus:
    """The passages in key order, and the keys of those that have text but no vector."""

    passages: tuple[Passage, ...]
    without_vector: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShippedVectors:
    """The shipped rows: key -> (sha256 of the embedded text, packed float32)."""

    model: str
    dimension: int
    python: str
    rows: dict[str, tuple[str, bytes]]


def load_passages() -> list[Passage]:
    """Load every passage of the running Python that has a vector, in key order."""
    return list(load_corpus().passages)


def load_corpus(topics: Mapping[str, str] | None = None) -> Corpus:
    """Pair the topics (by default the running Python's) with the shipped vectors."""
    shipped = load_shipped_vectors()
    parts = list(split_topics(running_topics() if topics is None else topics))
    return Corpus(
        passages=tuple(_passage(part, shipped) for part in parts if part.key in shipped.rows),
        without_vector=tuple(part.key for part in parts if part.key not in shipped.rows),
    )


def running_topics() -> dict[str, str]:
    """Return the running Python's topics, name -> text."""
    try:
        from pydoc_data.topics import topics  # noqa: PLC0415 - some Pythons lack it
    except ImportError as error:
        raise CorpusUnavailableError(
            f"this Python ({platform.python_version()}, {sys.executable}) has no module {SOURCE}: "
            "its standard library is stripped down. Run the demo with a complete Python, "
            "for example one from python.org"
        ) from error
    return topics


def split_topics(topics: Mapping[str, str], limit: int = PART_LIMIT) -> Iterator[TopicPart]:
    """Yield the parts of every topic, sorted by topic name, each within the limit."""
    for topic in sorted(topics):
        texts = split_text(topics[topic], limit)
        title = _title(topics[topic]) or topic
        for number, text in enumerate(texts, 1):
            key = topic if len(texts) == 1 else f"{topic}/{number}"
            yield TopicPart(key, topic, title, f"{number} of {len(texts)}", text)


def split_text(text: str, limit: int = PART_LIMIT) -> list[str]:
    """Split text into even parts of at most limit bytes of UTF-8; joined they equal the text."""
    if limit < _LONGEST_CHARACTER:
        raise ValueError(f"limit must be at least {_LONGEST_CHARACTER} bytes, got {limit}")
    parts = []
    while len(text.encode()) > limit:
        cut = _cut(text, limit)
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def text_digest(text: str) -> str:
    """Return the sha256 of the text's UTF-8 as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def load_shipped_vectors(folder: Traversable | None = None) -> ShippedVectors:
    """Read the shipped vectors, by default those in this package, and check their shape."""
    folder = files(_PACKAGE) if folder is None else folder
    try:
        description = json.loads(folder.joinpath("topics.json").read_text("utf-8"))
        packed = folder.joinpath("topics.f32").read_bytes()
        return _shipped_vectors(description, packed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusUnavailableError(
            f"the demo's stored vectors (topics.json, topics.f32) cannot be read: {error!r}. "
            "Install oss-vector-retriever again"
        ) from error


def _passage(part: TopicPart, shipped: ShippedVectors) -> Passage:
    digest, data = shipped.rows[part.key]
    metadata = {
        "topic": part.topic,
        "title": part.title,
        "part": part.part,
        "source": SOURCE,
        "python": platform.python_version(),
        "embedded_from": shipped.python,
        "text_changed": "false" if digest == text_digest(part.text) else "true",
    }
    return Passage(part.key, part.text, metadata, data)


def _shipped_vectors(description: dict[str, Any], packed: bytes) -> ShippedVectors:
    entries, dimension = description["passages"], description["dimension"]
    width = dimension * _FLOAT32_BYTES
    if len(packed) != len(entries) * width:
        raise ValueError(f"{len(entries)} rows of {dimension} float32 in {len(packed)} bytes")
    if sys.byteorder != "little":  # hardly anywhere
        values = array("f", packed)
        values.byteswap()
        packed = values.tobytes()
    rows = (packed[start : start + width] for start in range(0, len(packed), width))
    pairs = zip(entries, rows, strict=True)
    keyed = {entry["key"]: (entry["sha256"], row) for entry, row in pairs}
    return ShippedVectors(description["model"], dimension, description["python"], keyed)


def _cut(text: str, limit: int) -> int:
    # As many parts as there must be, of equal size: a short last part would be found too easily.
    size = len(text.encode())
    count = -(-size // limit)
    head = _prefix(text, limit)
    share = len(_prefix(text, -(-size // count)))
    cuts = [_boundary(head, share, boundary) for boundary in _BOUNDARIES]
    # A line break is better than a paragraph's if only the line break avoids one part more.
    lean = [cut for cut in cuts if len(text[cut:].encode()) <= (count - 1) * limit]
    # A part of nothing but blank lines would be a record with nothing to retrieve.
    full = (cut for cut in [*lean, *cuts] if head[:cut].strip())
    return next(full, 0) or share or len(head)


def _boundary(head: str, share: int, boundary: str) -> int:
    # The first one after an even share keeps the parts balanced.
    found = head.find(boundary, max(share - len(boundary), 0))
    found = head.rfind(boundary) if found < 0 else found
    return found + len(boundary) if found >= 0 else 0


def _prefix(text: str, limit: int) -> str:
    # A code point cut in half at the end is dropped whole.
    return text.encode()[:limit].decode(errors="ignore")


def _title(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    heading = next((line for line in lines if any(map(str.isalnum, line))), "")
    return _EMPHASIS.sub(r"\2", heading)
