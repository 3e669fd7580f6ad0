"""Files of vectors: rows that are read, files that grow beside their final names, and JSON lines.

JSON lines, `{"key": ..., "data": [...], "metadata": {...}}`, are the format that the others build
on: a matrix has them beside it, and Parquet is written by way of them.
"""

import errno
import gzip
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

from ...client.errors import InvalidRequestError, escape_controls, quote
from ...client.models import Limits, Vector
from ...client.operations.checks import as_vector, check_total
from ...client.wire import dump_json, parse_json
from ...records.decode import ENVELOPE_FIELD
from ...records.parts import LARGEST_VALUE
from ..errors import USAGE, Failure

_LONGEST_LINE = 64 * 1024 * 1024  # longer than any vector; a binary file may have no line at all
# what Windows lacks, and what others lack
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One line or row of a file.

    Attributes:
        number: which it is, from 1.
        raw: its bytes, which tell it from any other.
        content: what the source makes a vector of.
        weight: how much of the source's total it is.
    """

    number: int
    raw: bytes
    content: Any = None
    weight: int = 1


class Source(Protocol):
    """A file that is read row by row.

    Attributes:
        name: the file's.
        unit: what a row is called.
        total: how much there is to read, as the rows' weights count it; None if that is not known.
        in_bytes: whether the weights count bytes, not rows.
    """

    name: str
    unit: str
    total: int | None
    in_bytes: bool

    def rows(self) -> Iterator[Row]:
        """Return the rows from the first on; asked again, from the first again."""

    def vector(self, row: Row) -> Vector | None:
        """Return the vector that a row holds; None for a blank line.

        Raises:
            InvalidRequestError: it holds none, with the reason.
        """


class Part:
    """A file under construction, `<target>.partial`; it takes its name when it is whole.

    What has that name by then is replaced: of a link the link, and never what it leads to.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.partial")
        self._file: IO[bytes] | None = None

    def open(self, size: int) -> None:
        """Open it with its first `size` bytes, and nothing behind them."""
        # what is there is gone on with only where some of it is to be kept
        self._file = open_private(self.path, anew=size == 0)
        self._file.truncate(size)
        self._file.seek(size)

    def holds(self, size: int) -> bool:
        """Tell whether as many bytes are there."""
        return self.path.exists() and self.path.stat().st_size >= size

    @property
    def file(self) -> IO[bytes]:
        """Return the open file."""
        if self._file is None:
            raise ValueError(f"{self.path} is not open")
        return self._file

    def settle(self) -> int:
        """Return the size, once all of it is on the disk."""
        self.file.flush()
        # a journal that is on the disk before its data would skip them after a power failure
        os.fsync(self.file.fileno())
        return self.file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def take_name(self) -> None:
        """Give the file its final name, in place of a file that has it."""
        self.close()
        self.path.replace(self.target)


def open_private(path: Path, *, anew: bool = False, append: bool = False) -> IO[bytes]:
    """Open a file for reading and writing; one that is made is for this user alone.

    The names of these files can be foreseen, so whoever else may write to their directory could put
    a link there, or a file that stays theirs to read. Neither is opened.

    Args:
        path: the file.
        anew: make it, in place of what has its name; else what is there is gone on with.
        append: write at the end, whatever was sought.

    Raises:
        Failure: the name leads to a link, or to what is no plain file of this user.
    """
    flags = os.O_RDWR | os.O_CREAT | _FLAGS | (os.O_EXCL if anew else 0)
    if anew:
        path.unlink(missing_ok=True)  # of a link the link itself
    try:
        descriptor = os.open(path, flags | (os.O_APPEND if append else 0), 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Failure(f"{path} is a link, which is not written through; remove it", USAGE) from None
    found = os.fstat(descriptor)
    # a second name of a file (a hard link) may be in anybody's directory
    ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    if not ours or found.st_uid != getattr(os, "geteuid", lambda: found.st_uid)():
        os.close(descriptor)
        raise Failure(f"{path} is no plain file of this user; remove it, or name another", USAGE)
    if found.st_mode & _OTHERS and hasattr(os, "fchmod"):
        os.fchmod(descriptor, 0o600)  # an earlier release made it for everybody to read
    return os.fdopen(descriptor, "a+b" if append else "r+b")


class Sink:
    """Files that vectors are written into.

    Attributes:
        parts: the files under construction; none for standard output.
    """

    def __init__(self, *targets: Path) -> None:
        self.parts = tuple(map(Part, targets))

    def write(self, vectors: Iterable[Vector]) -> None:
        """Append vectors."""
        raise NotImplementedError

    def finish(self, dimension: int) -> None:  # noqa: ARG002 - for a format with a header
        """Complete the files under their final names; done again, do what is left of it."""
        for part in self.parts:
            if part.path.exists():
                part.take_name()


class Fields(NamedTuple):
    """What the members of a line are called that make a vector.

    A name with dots leads into an object, where no member has the whole of it for its name.
    """

    key: str = "key"
    data: str = "data"
    metadata: str = "metadata"

    def pick(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the members under the names that a vector has them by.

        Raises:
            InvalidRequestError: key or data have other names, with the flags that say which.
        """
        if self == _USUAL and "key" in item and "data" in item:
            return item
        picked = {name: _member(item, field) for name, field in self._asdict().items()}
        missing = [name for name in ("key", "data") if picked[name] is None]
        others = item.keys() - set(self)
        if missing and others:
            raise InvalidRequestError(self._describe_lack(item, missing))
        # ids of other stores are numbers; who names the field means them
        if self.key != "key" and type(picked["key"]) is int:
            picked["key"] = str(picked["key"])
        return {name: value for name, value in picked.items() if value is not None}

    def _describe_lack(self, item: dict[str, Any], missing: list[str]) -> str:
        lack = " and ".join(f"no {quote(getattr(self, name))}" for name in missing)
        has = ", ".join(quote(name) for name in islice(item, _SHOWN_MEMBERS))
        guesses = {name: _guess(name, item) for name in missing}
        if "metadata" not in item and self.metadata == "metadata":
            guesses["metadata"] = _guess("metadata", item)
        flags = [f"--{name}-field {guess}" for name, guess in guesses.items() if guess]
        advice = f": {' '.join(flags)}" if flags else "; --key-field and --data-field name them"
        return f"it has {lack}; it has {has}{advice}"


_USUAL = Fields()
_SHOWN_MEMBERS = 8
# how Pinecone, Qdrant, Milvus, Weaviate, Chroma and people call them
_OTHER_NAMES = {
    "key": ("id", "_id", "pk", "uuid", "key", "doc_id", "document_id", "chunk_id"),
    "data": ("values", "vector", "embedding", "embeddings", "data", "dense_vector", "float32"),
    "metadata": ("metadata", "payload", "properties", "meta"),
}


def _member(item: dict[str, Any], field: str) -> Any:
    if field in item or "." not in field:
        return item.get(field)
    found: Any = item
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _guess(name: str, item: dict[str, Any]) -> str | None:
    """Return the member that is probably meant, by its name and by what it holds."""
    for other in _OTHER_NAMES[name]:
        value = item.get(other)
        if name == "key" and isinstance(value, str | int):
            return other
        if name == "data" and isinstance(value, list):
            return other
        if name == "data" and isinstance(value, dict):  # Qdrant's named vectors, sparse ones too
            dense = [one for one, numbers in value.items() if isinstance(numbers, list)]
            if dense:
                return " or ".join(f"{other}.{one}" for one in dense)
        if name == "metadata" and isinstance(value, dict):
            return other
    return None


class JsonLines:
    """Vectors read from JSON lines, or from pages of a listing; None is standard input.

    Gzip is told by how a file begins. A page is an object with the list `vectors`, on a line, or
    over many as a terminal shows it; then it is the vectors that are counted.
    """

    in_bytes = True

    def __init__(self, path: Path | None, limits: Limits, fields: Fields = _USUAL) -> None:
        self.path = path
        self.name = "standard input" if path is None else path.name
        self.total: int | None = None if path is None else path.stat().st_size
        self.unit = "line"
        self._limits = limits
        self._fields = fields

    def rows(self) -> Iterator[Row]:
        """Return the lines, or what stands in their place in pages.

        Raises:
            Failure: the file is no gzip to its end, or no JSON.
        """
        # standard input stays open: it is not ours to close
        with self.path.open("rb") if self.path else nullcontext(sys.stdin.buffer) as file:
            # what is no buffered file, as in a test, has no way to look ahead
            if getattr(file, "peek", bytes)(len(_GZIP))[: len(_GZIP)] != _GZIP:
                yield from self._rows_of(read_lines(file))
                return
            try:
                with gzip.open(file) as unpacked:
                    lines = read_lines(cast("IO[bytes]", unpacked))
                    # nobody knows how much of a pipe is still to come
                    yield from self._rows_of(_weigh(lines, file) if self.path else lines)
            except (EOFError, gzip.BadGzipFile, zlib.error):
                text = f"{self.name} is damaged, or cut off: it is no whole gzip"
                raise Failure(text, USAGE) from None

    def _rows_of(self, lines: Iterator[Row]) -> Iterator[Row]:
        first = next(lines, None)
        if first is None:
            return
        lines = chain([first], lines)
        if first.raw in _OPENED:
            yield from self._vectors_in(_whole(lines, self.name))
        elif _page_of(first.raw) is not None:
            yield from self._vectors_in((line, _page_of(line.raw)) for line in lines)
        else:
            yield from lines

    def _vectors_in(self, pages: Iterable[tuple[Row, list[Any] | None]]) -> Iterator[Row]:
        self.unit = "vector"
        number = 0
        for line, page in pages:
            weight = line.weight
            # what is no page is a row as well, and refused as one
            for raw in [line.raw] if page is None else map(dump_json, page):
                number += 1
                yield Row(number, raw, weight=weight)
                weight = 0

    def vector(self, row: Row) -> Vector | None:
        """Return the vector on a line; None for a blank one."""
        if not row.raw:
            return None
        return vector_of(self._fields.pick(object_of(row.raw)), self._limits)


_GZIP = b"\x1f\x8b"
_OPENED = (b"{", b"[")  # the first line of JSON that is written over many
_PAGE = b'"vectors"'


def _page_of(raw: bytes) -> list[Any] | None:
    """Return the vectors of a page, as ListVectors answers it here and in S3; else None."""
    if _PAGE not in raw:  # nearly every line, and none of those is read twice
        return None
    try:
        page = parse_json(raw)
    except ValueError:
        return None
    vectors = page.get("vectors") if isinstance(page, dict) else None
    return vectors if isinstance(vectors, list) else None


def _whole(lines: Iterable[Row], name: str) -> Iterator[tuple[Row, list[Any]]]:
    """Yield the vectors of a file that is one value of JSON, with its size."""
    parts, weight = [], 0
    for line in lines:
        parts.append(line.raw)
        weight += line.weight
        if weight > _LONGEST_LINE:
            text = f"{name} is one value of JSON of more than {_LONGEST_LINE:,} bytes"
            raise Failure(f"{text}; write a vector a line", USAGE)
    try:
        value = parse_json(b"\n".join(parts))
    except ValueError as error:
        raise Failure(f"{name} is not JSON, neither whole nor by lines: {error}", USAGE) from None
    vectors = value if isinstance(value, list) else value.get("vectors")
    if not isinstance(vectors, list):
        raise Failure(f"{name} is one value of JSON, without a list of vectors", USAGE)
    yield Row(1, b"", weight=weight), vectors


def _weigh(lines: Iterable[Row], packed: IO[bytes]) -> Iterator[Row]:
    """Yield lines by how much of the packed file they are, which is all that is known before."""
    before = 0
    for line in lines:
        now = packed.tell()
        yield line._replace(weight=now - before)
        before = now


class JsonLinesSink(Sink):
    """Vectors written as JSON lines."""

    def write(self, vectors: Iterable[Vector]) -> None:
        """Append vectors."""
        self.parts[0].file.writelines(map(line_of, vectors))


class PipedLines(Sink):
    """Vectors written as JSON lines to standard output."""

    def write(self, vectors: Iterable[Vector]) -> None:
        """Write vectors."""
        # standard output may be a terminal, which obeys what is in metadata; the values stay
        for vector in vectors:
            sys.stdout.buffer.write(escape_controls(line_of(vector).decode()).encode())
        sys.stdout.buffer.flush()  # page by page, so that a reader that has left is noticed


def read_lines(file: IO[bytes]) -> Iterator[Row]:
    """Yield the lines of a file, without what ends them.

    Raises:
        Failure: a line is so long that the file holds no lines.
    """
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
        if len(line) == _LONGEST_LINE:
            raise Failure(f"line {number} is longer than {_LONGEST_LINE:,} bytes", USAGE)
        # an editor's mark before the first line is no part of its JSON
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        yield Row(number, text.strip(), weight=len(line))


def object_of(raw: bytes) -> dict[str, Any]:
    """Return the JSON object on a line.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        item = parse_json(raw)
    except ValueError as error:
        raise InvalidRequestError(f"it is not JSON: {error}") from None
    if not isinstance(item, dict):
        raise InvalidRequestError("it is no JSON object with key, data and metadata")
    return item


def vector_of(item: dict[str, Any], limits: Limits) -> Vector:
    """Return the vector that an object describes, as far as that can be told without an index."""
    vector = as_vector(item, limits)
    if ENVELOPE_FIELD in (vector.metadata or {}):  # one of a store, whose values may be of any size
        limits = replace(limits, metadata_bytes=LARGEST_VALUE)
    check_total(vector, limits)
    return vector


def line_of(vector: Vector, *, with_data: bool = True) -> bytes:
    """Return the line of a vector."""
    item: dict[str, Any] = {"key": vector.key}
    if with_data:
        item["data"] = vector.data
    if vector.metadata:
        item["metadata"] = vector.metadata
    return dump_json(item) + b"\n"
