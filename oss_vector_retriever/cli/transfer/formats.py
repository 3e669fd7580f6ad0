"""Which format a file is in, by its name or by `--format`, and what reads and writes it."""

from __future__ import annotations

from pathlib import Path

from oss_vector_retriever.cli.errors import USAGE, Failure
from oss_vector_retriever.cli.transfer.files import Sink, Source
from oss_vector_retriever.cli.transfer.json_lines import JsonLines, JsonLinesSink, PipedLines
from oss_vector_retriever.client.models.limits import Limits

PIPE = "-"
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npy": "npy",
    ".parquet": "parquet",
}


def open_source(name: str, kind: str | None, lines: Path | None, limits: Limits) -> Source:
    """Return what reads a file, or standard input.

    Raises:
        Failure: the format is not known, or the file is not in it.
    """
    kind, path = _kind(name, kind, lines), Path(name)
    if kind == "npy":
        from oss_vector_retriever.cli.transfer.matrix import Matrix  # noqa: PLC0415 - needs numpy

        return Matrix(path, lines or path.with_suffix(".jsonl"), limits)
    if kind == "parquet":
        from oss_vector_retriever.cli.transfer.parquet import Parquet  # noqa: PLC0415 - an extra

        return Parquet(path, limits)
    return JsonLines(None if name == PIPE else path, limits)


def open_sink(name: str, kind: str | None, lines: Path | None) -> Sink:
    """Return what writes a file, or standard output.

    Raises:
        Failure: the format is not known.
    """
    kind, path = _kind(name, kind, lines), Path(name)
    if kind == "npy":
        from oss_vector_retriever.cli.transfer.matrix import MatrixSink  # noqa: PLC0415 - numpy

        return MatrixSink(path, lines or path.with_suffix(".jsonl"))
    if kind == "parquet":
        from oss_vector_retriever.cli.transfer.parquet import ParquetSink  # noqa: PLC0415 - extra

        return ParquetSink(path)
    return PipedLines() if name == PIPE else JsonLinesSink(path)


def _kind(name: str, kind: str | None, lines: Path | None) -> str:
    kind = kind or ("jsonl" if name == PIPE else _SUFFIXES.get(Path(name).suffix.lower()))
    if kind is None:
        known = ", ".join(_SUFFIXES)
        raise Failure(f"the format of {name!r} is not known by its name ({known}): --format", USAGE)
    if name == PIPE and kind != "jsonl":
        raise Failure(f"{kind} cannot be piped; name a file", USAGE)
    if lines is not None and kind != "npy":
        raise Failure("--lines goes with a .npy file", USAGE)
    return kind
