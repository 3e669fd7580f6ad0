"""What a job has done for good: parts of its input, each with its files and a digest of its keys.

A part is written beside the output, under a name that no other attempt has. When it is whole, and
its keys are those of the input, a record of it is put in place in one step; from then on it counts,
and its files are moved to the output, again if need be. So a job that dies leaves nothing half, and
what workers of a dead job write yet is in nobody's way.

    output/part-000000-0000.parquet      the files of parts that are recorded, and no others
    output/_checkpoint/job.json          what the job is to do
    output/_checkpoint/part-000000.json  the record of a part
    output/_staging/                     parts that are being written

Readers of Parquet leave out what begins with an underscore.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Self

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from ..client.errors import ConfigurationError, InvalidRequestError

_VERSION = 1
_DIGEST_BYTES = 16
_BATCH_ROWS = 50_000
_AGAIN = "run it with {restart=True}, which begins it anew, or with another {output}"


@dataclass(frozen=True)
class Digest:
    """A digest of keys in whatever order: their count, and the sum of the digests of each.

    A key that is left out, or stands twice, or is another, changes it.
    """

    rows: int = 0
    total: int = 0

    @classmethod
    def of(cls, keys: Iterable[str]) -> Self:
        """Return the digest of some keys."""
        digests = [blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest() for key in keys]
        return cls(len(digests), _wrap(sum(int.from_bytes(each) for each in digests)))

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, _wrap(self.total + other.total))

    def to_text(self) -> str:
        """Return it as text, which `from_text` reads."""
        return f"{self.rows}:{self.total:032x}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what `to_text` has written."""
        rows, total = text.split(":")
        return cls(int(rows), int(total, 16))


def _wrap(total: int) -> int:
    return total % (1 << 8 * _DIGEST_BYTES)


@dataclass(frozen=True)
class Slice:
    """Rows of one Parquet file: the work of one task."""

    path: str
    start: int
    rows: int


@dataclass(frozen=True)
class Place:
    """A folder of whatever file system pyarrow knows."""

    path: str
    filesystem: pafs.FileSystem = field(repr=False)

    @classmethod
    def of(cls, path: str | os.PathLike[str], filesystem: pafs.FileSystem | None = None) -> Self:
        """Return the place that a path, or an address such as `s3://bucket/folder`, names."""
        text = os.fspath(path)
        if filesystem is not None:
            return cls(text.rstrip("/"), filesystem)
        if "://" in text:
            found, inner = pafs.FileSystem.from_uri(text)
            return cls(inner.rstrip("/"), found)
        return cls(os.path.abspath(text), pafs.LocalFileSystem())  # noqa: PTH100 - links stay links

    def inner(self, *names: str) -> str:
        """Return the path of something within."""
        return "/".join((self.path, *names))

    def names(self, *within: str) -> list[str]:
        """Return the names of what is in a folder, sorted; of one that is not there, none."""
        selector = pafs.FileSelector(self.inner(*within), allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def exists(self, *names: str) -> bool:
        """Tell whether there is something of that name."""
        found = self.filesystem.get_file_info(self.inner(*names)).type
        return bool(found != pafs.FileType.NotFound)

    def read_json(self, *names: str) -> dict[str, Any] | None:
        """Return what a file holds, or None where there is none."""
        if not self.exists(*names):
            return None
        with self.filesystem.open_input_stream(self.inner(*names)) as file:
            members: dict[str, Any] = json.loads(file.read())
        return members

    def write_json(self, members: dict[str, Any], *names: str) -> None:
        """Write a file in one step: it is there whole, or not at all."""
        self.filesystem.create_dir(self.inner(*names[:-1]), recursive=True)
        path = self.inner(*names)
        unnamed = f"{path}.{uuid.uuid4().hex}"
        with self.filesystem.open_output_stream(unnamed) as file:
            file.write(json.dumps(members, indent=1, sort_keys=True).encode())
        self.filesystem.move(unnamed, path)

    def remove(self, *names: str) -> None:
        """Remove a file or a folder, if it is there."""
        path = self.inner(*names)
        kind = self.filesystem.get_file_info(path).type
        if kind == pafs.FileType.Directory:
            self.filesystem.delete_dir(path)
        elif kind != pafs.FileType.NotFound:
            self.filesystem.delete_file(path)


def parquet_files(
    paths: Iterable[str | os.PathLike[str]],
    filesystem: pafs.FileSystem | None,
    output: Place | None = None,
) -> list[Place]:
    """Return the Parquet files that paths name, folders with all within, in the order of paths.

    An output that lies in such a folder is no part of it.

    Raises:
        InvalidRequestError: there is none.
    """
    found: list[Place] = []
    for path in paths:
        place = Place.of(path, filesystem)
        info = place.filesystem.get_file_info(place.path)
        if info.type != pafs.FileType.Directory:
            found.append(place)
            continue
        selector = pafs.FileSelector(place.path, recursive=True)
        names = sorted(one.path for one in place.filesystem.get_file_info(selector) if one.is_file)
        inner = [name for name in names if not _is_hidden(name.removeprefix(place.path))]
        if output is not None:
            inner = [name for name in inner if not name.startswith(output.inner(""))]
        found += [Place(name, place.filesystem) for name in inner if name.endswith(".parquet")]
    if not found:
        asked = ", ".join(os.fspath(path) for path in paths)
        text = "there is no Parquet file in {value}."
        raise InvalidRequestError(text, argument="keys", value=asked)
    return found


def _is_hidden(path: str) -> bool:
    return any(name.startswith(("_", ".")) for name in path.split("/"))


def cut(files: Iterable[tuple[str, int]], part_rows: int, task_rows: int) -> list[list[Slice]]:
    """Return the parts of an input, each with its slices: of the same files always the same.

    `files` are paths and counts of rows. A slice lies within one file; every part but the last has
    `part_rows`.
    """
    parts: list[list[Slice]] = [[]]
    room = part_rows
    for path, rows in files:
        start = 0
        while start < rows:
            if not room:
                parts.append([])
                room = part_rows
            size = min(task_rows, rows - start, room)
            parts[-1].append(Slice(path, start, size))
            start, room = start + size, room - size
    return [part for part in parts if part]


def look_of(part: Iterable[Slice], filesystem: pafs.FileSystem) -> str:
    """Return a digest of the sizes and times of the files that a part is made of."""
    paths = list(dict.fromkeys(piece.path for piece in part))
    looks = [(info.size, info.mtime_ns) for info in filesystem.get_file_info(paths)]
    return blake2b(repr(looks).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def read_slice(piece: Slice, filesystem: pafs.FileSystem, columns: list[str]) -> Iterator[Any]:
    """Yield a slice as tables of some columns; those that the file lacks are left out.

    Rows of a group before it are decoded and dropped, so that a file of one huge group is work for
    many tasks all the same.
    """
    with pq.ParquetFile(piece.path, filesystem=filesystem) as file:
        names = [name for name in columns if name in file.schema_arrow.names]
        groups, first = _groups_of(file.metadata, piece)
        skip, left = piece.start - first, piece.rows
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=names):
            part = batch.slice(skip, left)
            skip = max(skip - batch.num_rows, 0)
            left -= part.num_rows
            if part.num_rows:
                yield pa.Table.from_batches([part])
            if not left:
                return


def _groups_of(metadata: Any, piece: Slice) -> tuple[list[int], int]:
    """Return the row groups that hold a slice, and the row that the first begins with."""
    groups: list[int] = []
    first = row = 0
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        if row < piece.start + piece.rows and row + rows > piece.start:
            first = first if groups else row
            groups.append(number)
        row += rows
    return groups, first


@dataclass(frozen=True)
class PartRecord:
    """What is known of a part that is done.

    Attributes:
        number: which part.
        digest: of its keys, as text.
        flagged: rows whose key does not exist, or that were refused.
        staged: the folder that it was written in.
        files: from their names there to those in the output.
        look: of the files that it was made of, where more of them counts than the keys.
    """

    number: int
    digest: str
    flagged: int
    staged: str
    files: dict[str, str]
    look: str = ""


class Checkpoints:
    """The records of one job in its output.

    Args:
        output: where it writes.
        task: what it does, in JSON values: what two runs must have in common to be one job.

    Raises:
        ConfigurationError: the output holds another job's records, or files of nobody's.
    """

    def __init__(self, output: Place, task: dict[str, Any], *, restart: bool = False) -> None:
        self.output = output
        self.task = json.loads(json.dumps({**task, "version": _VERSION}))
        if restart:
            self._clear()
        found = output.read_json("_checkpoint", "job.json")
        self.state: dict[str, Any] = found or {"task": self.task}
        if found is None:
            self._refuse_foreign_files()
            self.save()
        elif found["task"] != self.task:
            raise self._other_job_error(found["task"])
        self.records = {record.number: record for record in self._read()}
        for record in self.records.values():
            self._move(record)
        # of attempts that did not end
        output.remove("_staging")

    def save(self) -> None:
        """Write what is known of the job as a whole."""
        self.output.write_json(self.state, "_checkpoint", "job.json")

    def _read(self) -> Iterator[PartRecord]:
        for name in self.output.names("_checkpoint"):
            if name.startswith("part-") and name.endswith(".json"):
                yield PartRecord(**(self.output.read_json("_checkpoint", name) or {}))

    def _clear(self) -> None:
        for record in self._read():
            for name in record.files.values():
                self.output.remove(name)
        self.output.remove("_staging")
        self.output.remove("_checkpoint")

    def _refuse_foreign_files(self) -> None:
        if names := [name for name in self.output.names() if not _is_hidden(name)]:
            raise ConfigurationError(
                "{output} holds files that no job has recorded, such as {name}",
                argument="output",
                remedy="write to an empty folder",
                fields={"name": names[0]},
            )

    def _other_job_error(self, theirs: dict[str, Any]) -> ConfigurationError:
        ours = self.task
        names = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
        return ConfigurationError(
            "{output} belongs to another job, which differs in {names}",
            argument="output",
            remedy=_AGAIN,
            fields={"names": ", ".join(names)},
        )

    def check(self, number: int, digest: Digest, look: str = "") -> None:
        """Check that a part that is done has the keys yet that it was done with, and its look.

        Raises:
            ConfigurationError: it has not.
        """
        record = self.records[number]
        if (record.digest, record.look) != (digest.to_text(), look):
            raise ConfigurationError(
                "part {number} of the input has changed since it was done",
                argument="output",
                remedy=_AGAIN,
                fields={"number": number},
            )

    def check_count(self, parts: int) -> None:
        """Check that no part is done that the input does not have any more."""
        if beyond := [number for number in self.records if number >= parts]:
            raise ConfigurationError(
                "the input has {parts} parts, and part {number} is done already: it has shrunk",
                argument="output",
                remedy=_AGAIN,
                fields={"parts": parts, "number": max(beyond)},
            )

    def stage(self, number: int) -> tuple[str, str]:
        """Return the folder for an attempt at a part: its name, and its path."""
        name = f"part-{number:06}-{uuid.uuid4().hex}"
        return name, self.output.inner("_staging", name)

    def commit(
        self, number: int, staged: str, digest: Digest, flagged: int, look: str = ""
    ) -> None:
        """Record a part that is whole, and move its files to the output."""
        inside = self.output.names("_staging", staged)
        files = {name: f"part-{number:06}-{at:04}.parquet" for at, name in enumerate(inside)}
        record = PartRecord(number, digest.to_text(), flagged, staged, files, look)
        self.output.write_json(asdict(record), "_checkpoint", f"part-{number:06}.json")
        self.records[number] = record
        self._move(record)
        self.output.remove("_staging", staged)

    def _move(self, record: PartRecord) -> None:
        for inside, name in record.files.items():
            if self.output.exists("_staging", record.staged, inside):
                source = self.output.inner("_staging", record.staged, inside)
                self.output.filesystem.move(source, self.output.inner(name))
            elif not self.output.exists(name):
                raise ConfigurationError(
                    "{name}, of part {number}, is done and is not in {output} any more",
                    argument="output",
                    remedy=_AGAIN,
                    fields={"name": name, "number": record.number},
                )
