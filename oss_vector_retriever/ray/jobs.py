"""`run_fetch` and `run_upsert`: whole jobs, from Parquet to Parquet, that survive their own end.

The input is cut into parts, and each part is one run of a Ray Dataset, whose progress Ray shows. A
part that is done is recorded (`checkpoints`); the same call later begins with the next.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..client.errors import ConfigurationError, OSSVectorError
from ..client.operations.checks import check_choice, check_whole
from ..client.settings import ClientSettings
from ..client.writes import OnError
from .checkpoints import Checkpoints, Digest, Place, Slice, cut, look_of, parquet_files, read_slice
from .columns import keys_of
from .transforms import TravellingCredentials, make_spec, map_rows
from .workers import NAMESPACE, WorkerSpec, fetch_batch, load_ray, upsert_batch

if TYPE_CHECKING:
    import pyarrow.fs as pafs
    from ray.data import Dataset

PathLike = str | os.PathLike[str]
_MOST_ROWS = 1 << 40
_FOOTERS_AT_ONCE = 16
_DIGESTS_AT_ONCE = 16
_UPSERT_ROWS = 5_000  # of a batch within a task


@dataclass(frozen=True)
class JobReport:
    """The outcome of a job, over all of its runs.

    Attributes:
        rows: rows of the input, each of which has a row in the output.
        flagged: of these the keys that do not exist (`found` is false), or the vectors that were
            refused (`error` says why).
        parts: parts of the input.
        parts_before: those of them that earlier runs had done.
    """

    rows: int
    flagged: int
    parts: int
    parts_before: int


def run_fetch(
    keys: PathLike | Iterable[PathLike] | Dataset,
    output: PathLike,
    settings: ClientSettings,
    *,
    key_field: str = "key",
    index: str | None = None,
    return_data: bool = True,
    return_metadata: bool = True,
    rate_limit: float | None = None,
    keys_per_second: float | None = None,
    credentials: TravellingCredentials | None = None,
    concurrency: int | None = None,
    num_cpus: float = 1.0,
    part_rows: int = 1_000_000,
    task_rows: int = 10_000,
    restart: bool = False,
    filesystem: pafs.FileSystem | None = None,
) -> JobReport:
    """Fetch what is stored under keys into a folder of Parquet, a row for each row of the input.

    The columns are the key's, and `found`, `data` and `metadata` as of `fetch`. Every part of the
    output is compared with the input before it counts: no row is lost, and none is there twice.
    Run again after it failed, or was killed, it goes on with the first part that is not done.

    Args:
        keys: Parquet files or folders, or a dataset, whose keys are then written to Parquet first.
        output: a folder that all workers reach, or an address such as `s3://bucket/folder`.
        settings: as of `fetch`, as are all arguments not named here.
        key_field: the column of keys, which is text.
        index: as of `fetch`.
        return_data: as of `fetch`.
        return_metadata: as of `fetch`.
        rate_limit: as of `fetch`.
        keys_per_second: as of `fetch`.
        credentials: as of `fetch`.
        concurrency: as of `fetch`.
        num_cpus: as of `fetch`.
        part_rows: rows between two records of what is done; several times what all workers take at
            once.
        task_rows: rows of one task, and of one file; what a worker that dies had done of these is
            done again.
        restart: begin anew: forget what is recorded, and remove the files of it.
        filesystem: what `keys` and `output` are paths of, by default what they say.

    Raises:
        ConfigurationError: `output` is in use, belongs to another job or holds other files; or the
            input has changed in what is done; or as of `fetch`.
        InvalidRequestError: an option is impossible, or a key is no legal key.
        OSSVectorError: the service failed for good; what is recorded stays done.
    """
    spec = make_spec(
        settings,
        index,
        credentials,
        rate_limit=rate_limit,
        keys_per_second=keys_per_second,
        keys_per_call="keys_per_get",
    )
    options: dict[str, Any] = {"spec": spec, "key_field": key_field, "columns": [key_field]}
    asked = {"return_data": bool(return_data), "return_metadata": bool(return_metadata)}
    work = Work(fetch_slices, options | asked, "found", concurrency, num_cpus)
    sizes: dict[str, Any] = {"part_rows": part_rows, "task_rows": task_rows}
    task = {"job": "fetch", "key_field": key_field, **asked}
    return _run(keys, output, work, task, **sizes, restart=restart, filesystem=filesystem)


def run_upsert(
    vectors: PathLike | Iterable[PathLike],
    output: PathLike,
    settings: ClientSettings,
    *,
    key_field: str = "key",
    data_field: str = "data",
    metadata_field: str = "metadata",
    index: str | None = None,
    on_error: OnError = "report",
    rate_limit: float | None = None,
    keys_per_second: float | None = None,
    credentials: TravellingCredentials | None = None,
    concurrency: int | None = None,
    num_cpus: float = 1.0,
    part_rows: int = 1_000_000,
    task_rows: int = 10_000,
    restart: bool = False,
    filesystem: pafs.FileSystem | None = None,
) -> JobReport:
    """Write the vectors of Parquet into an index, and what became of each into a folder of Parquet.

    The output has a row for each row of the input, with `key` and `error` as of `upsert`. Run again
    after it failed, or was killed, it goes on with the first part that is not done; what was
    written of that part is written again, which changes nothing. Keys that stand twice may be
    written in any order. A file that was written anew since its part was done has changed, whatever
    its keys.

    The arguments are those of `upsert` and `run_fetch`.

    Args:
        vectors: Parquet files or folders.
        output: a folder that all workers reach, or an address such as `s3://bucket/folder`.
        settings: as of `fetch`.
        key_field: as of `upsert`.
        data_field: as of `upsert`.
        metadata_field: as of `upsert`.
        index: as of `fetch`.
        on_error: as of `upsert`.
        rate_limit: as of `fetch`.
        keys_per_second: as of `upsert`.
        credentials: as of `fetch`.
        concurrency: as of `fetch`.
        num_cpus: as of `fetch`.
        part_rows: as of `run_fetch`.
        task_rows: as of `run_fetch`.
        restart: as of `run_fetch`.
        filesystem: as of `run_fetch`.

    Raises:
        ConfigurationError: as of `run_fetch`.
        InvalidRequestError: an option is impossible; with `"raise"`, a row is refused.
        OSSVectorError: the service failed for good; what is recorded stays done.
    """
    spec = make_spec(
        settings,
        index,
        credentials,
        rate_limit=rate_limit,
        keys_per_second=keys_per_second,
        keys_per_call="vectors_per_put",
    )
    fields = {"key_field": key_field, "data_field": data_field, "metadata_field": metadata_field}
    check_choice("on_error", on_error, ("raise", "report"))
    options = {"spec": spec, **fields, "columns": list(fields.values()), "on_error": on_error}
    work = Work(upsert_slices, options, "error", concurrency, num_cpus)
    sizes: dict[str, Any] = {"part_rows": part_rows, "task_rows": task_rows}
    task = {"job": "upsert", **fields}
    return _run(vectors, output, work, task, **sizes, restart=restart, filesystem=filesystem)


@dataclass(frozen=True)
class Work:
    """What a job does with each slice of its input.

    Attributes:
        function: what a task runs, on a row that describes a slice.
        options: its keywords.
        flag: the column of the output that flags a row: by false, or by a text.
        concurrency: workers, at most.
        num_cpus: CPUs of each.
    """

    function: Callable[..., Iterator[pa.Table]]
    options: dict[str, Any]
    flag: str
    concurrency: int | None
    num_cpus: float


def fetch_slices(rows: pa.Table, *, columns: list[str], **options: Any) -> Iterator[pa.Table]:
    """Fetch the keys of slices of Parquet."""
    filesystem = options.pop("filesystem")
    for piece in rows.to_pylist():
        for keys in read_slice(Slice(**piece), filesystem, columns):
            yield from fetch_batch(keys, **options)


def upsert_slices(rows: pa.Table, *, columns: list[str], **options: Any) -> Iterator[pa.Table]:
    """Write the vectors of slices of Parquet."""
    filesystem = options.pop("filesystem")
    for piece in rows.to_pylist():
        for table in read_slice(Slice(**piece), filesystem, columns):
            for start in range(0, table.num_rows, _UPSERT_ROWS):
                yield upsert_batch(table.slice(start, _UPSERT_ROWS), **options)


def _run(
    source: Any,
    output: PathLike,
    work: Work,
    task: dict[str, Any],
    *,
    part_rows: int,
    task_rows: int,
    restart: bool,
    filesystem: Any,
) -> JobReport:
    check_whole("part_rows", part_rows, 1, _MOST_ROWS)
    check_whole("task_rows", task_rows, 1, part_rows)
    load_ray("ray.data")
    place = Place.of(output, filesystem)
    spec: WorkerSpec = work.options["spec"]
    task |= {"index": spec.index, "into": _identity(spec.settings)}
    task |= {"part_rows": part_rows, "task_rows": task_rows}
    with _hold(place):
        checkpoints = Checkpoints(place, task, restart=restart)
        job = _Job(checkpoints, work)
        if hasattr(source, "map_batches"):
            return job.run_dataset(source, work.options["key_field"])
        paths = [source] if isinstance(source, str | os.PathLike) else list(source)
        return job.run(parquet_files(paths, filesystem, place))


def _identity(settings: ClientSettings) -> str:
    # not the address: a bucket has one inside the region and one outside
    return f"{settings.bucket} of {settings.account_id} in {settings.region}"


@contextmanager
def _hold(output: Place) -> Iterator[None]:
    """Keep other jobs of the cluster from an output."""
    ray = load_ray()
    name = f"job-{hashlib.sha256(output.path.encode()).hexdigest()[:16]}"
    holder = ray.remote(_Holder).options(name=name, namespace=NAMESPACE, num_cpus=0)
    try:
        # an actor, and no file: it goes when its job does, however that ends
        held = holder.remote()
    except ValueError:
        raise ConfigurationError(
            "another job writes to {output}, or did until a moment ago",
            argument="output",
            remedy="wait until it is over",
        ) from None
    try:
        yield
    finally:
        ray.kill(held)


class _Holder:
    """The holder of a name."""


class _Job:
    """The parts of an input, done one after the other."""

    def __init__(self, checkpoints: Checkpoints, work: Work) -> None:
        self._checkpoints = checkpoints
        self._work = work
        self._filesystem: Any = None

    def run_dataset(self, dataset: Any, key_field: str) -> JobReport:
        """Do the job on a dataset, whose keys are written down first."""
        # a dataset need not have the same order when it is run again; files have
        checkpoints, state = self._checkpoints, self._checkpoints.state
        output, known = checkpoints.output, state.get("keys")
        if known is None:
            folder = f"keys-{uuid.uuid4().hex}"
            path = output.inner("_checkpoint", folder)
            chosen = dataset.select_columns([key_field])
            chosen.write_parquet(path, filesystem=output.filesystem)
            files = [f"{path}/{name}" for name in output.names("_checkpoint", folder)]
            digest = self._digest_files(files, key_field)
            state["keys"] = known = {"folder": folder, "digest": digest.to_text()}
            checkpoints.save()
        elif _digest_dataset(dataset, key_field).to_text() != known["digest"]:
            raise ConfigurationError(
                "the dataset has other keys than those that {output} was begun with",
                argument="output",
                remedy="run it with {restart=True}, which begins it anew",
            )
        if state.get("done"):
            return self._report(len(checkpoints.records), len(checkpoints.records))
        folder = output.inner("_checkpoint", known["folder"])
        rows = Digest.from_text(known["digest"]).rows
        report = self.run(parquet_files([folder], output.filesystem) if rows else [])
        state["done"] = True
        checkpoints.save()
        output.remove("_checkpoint", known["folder"])
        return report

    def run(self, files: list[Place]) -> JobReport:
        """Do what is left of the job on Parquet files."""
        checkpoints, task = self._checkpoints, self._checkpoints.task
        self._filesystem = files[0].filesystem if files else None
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            counts = list(pool.map(_count_rows, files))
        paths = [file.path for file in files]
        parts = cut(zip(paths, counts, strict=True), task["part_rows"], task["task_rows"])
        checkpoints.check_count(len(parts))
        self._check_done(parts)
        before = len(checkpoints.records)
        with ThreadPoolExecutor(1) as settling:
            # while one part is compared and recorded the next is under way
            last = None
            for number, part in enumerate(parts):
                if number in checkpoints.records:
                    continue
                look = self._look_of(part)  # before it is read: what changes then counts as changed
                staged = self._write(number, part, len(parts))
                if last is not None:
                    last.result()
                last = settling.submit(self._settle, number, part, staged, look)
            if last is not None:
                last.result()
        checkpoints.output.remove("_staging")
        return self._report(len(parts), before)

    def _report(self, parts: int, before: int) -> JobReport:
        records = self._checkpoints.records.values()
        rows = sum(Digest.from_text(record.digest).rows for record in records)
        return JobReport(rows, sum(record.flagged for record in records), parts, before)

    def _check_done(self, parts: list[list[Slice]]) -> None:
        done = sorted(self._checkpoints.records)
        for start in range(0, len(done), _DIGESTS_AT_ONCE):
            some = done[start : start + _DIGESTS_AT_ONCE]
            digests = self._digests_of([parts[number] for number in some])
            for number, digest in zip(some, digests, strict=True):
                self._checkpoints.check(number, digest, self._look_of(parts[number]))

    def _look_of(self, part: list[Slice]) -> str:
        # other vectors under the same keys are to be written; the keys to fetch are all that counts
        return look_of(part, self._filesystem) if self._work.flag == "error" else ""

    def _digests_of(self, parts: list[list[Slice]]) -> list[Digest]:
        ray, field = load_ray(), self._work.options["key_field"]
        digest = ray.remote(_digest_slices).options(num_cpus=0)
        found = [digest.remote(_join(part), self._filesystem, field) for part in parts]
        return list(ray.get(found))

    def _digest_files(self, paths: list[str], field: str) -> Digest:
        ray, filesystem = load_ray(), self._checkpoints.output.filesystem
        digest = ray.remote(_digest_file).options(num_cpus=0)
        found = ray.get([digest.remote(path, filesystem, field, None) for path in paths])
        return sum((one for one, _ in found), Digest())

    def _write(self, number: int, part: list[Slice], parts: int) -> str:
        """Run one part, and return the name of the folder that it is in."""
        ray_data, work = load_ray("ray.data"), self._work
        staged, path = self._checkpoints.stage(number)
        pieces = [{"path": one.path, "start": one.start, "rows": one.rows} for one in part]
        dataset = ray_data.from_items(pieces, override_num_blocks=len(pieces))
        options = {**work.options, "filesystem": self._filesystem}
        # Ray warns of more workers than there is work for
        workers = None if work.concurrency is None else min(work.concurrency, len(pieces))
        size: dict[str, Any] = {"concurrency": workers, "num_cpus": work.num_cpus}
        dataset = map_rows(dataset, work.function, options, **size, batch_size=1)
        dataset.set_name(f"{self._checkpoints.task['job']}_part_{number + 1}_of_{parts}")
        try:
            # with the same bounds as the work, so that Ray makes one task of both: a file of a
            # task that is run again takes the place of the first
            dataset.write_parquet(
                path,
                filesystem=self._checkpoints.output.filesystem,
                concurrency=workers,
                ray_remote_args={"num_cpus": work.num_cpus},
            )
        except Exception as error:
            if (own := _own_error(error)) is not None:
                raise own from error
            raise
        return staged

    def _settle(self, number: int, part: list[Slice], staged: str, look: str) -> None:
        """Compare the keys of a part with the input, and record it."""
        ray, output = load_ray(), self._checkpoints.output
        [expected] = self._digests_of([part])
        field = "key" if self._work.flag == "error" else self._work.options["key_field"]
        digest = ray.remote(_digest_file).options(num_cpus=0)
        paths = [
            output.inner("_staging", staged, name) for name in output.names("_staging", staged)
        ]
        found = ray.get(
            [digest.remote(path, output.filesystem, field, self._work.flag) for path in paths]
        )
        written = sum((one for one, _ in found), Digest())
        if written != expected:
            raise OSSVectorError(
                f"part {number} has {written.rows:,} rows in the output and {expected.rows:,} in "
                "the input, or other keys: it is not recorded; has the input changed meanwhile? "
                "The same call does it again."
            )
        flagged = sum(count for _, count in found)
        self._checkpoints.commit(number, staged, expected, flagged, look)


def _count_rows(file: Place) -> int:
    return int(pq.read_metadata(file.path, filesystem=file.filesystem).num_rows)


def _join(part: list[Slice]) -> list[Slice]:
    """Return slices with those that follow each other put together: they are read once."""
    joined: list[Slice] = []
    for one in part:
        if joined and joined[-1].path == one.path:
            start, rows = joined[-1].start, joined[-1].rows + one.rows
            joined[-1] = Slice(one.path, start, rows)
        else:
            joined.append(one)
    return joined


def _digest_slices(part: list[Slice], filesystem: Any, field: str) -> Digest:
    tables = (table for one in part for table in read_slice(one, filesystem, [field]))
    return sum((Digest.of(_known_keys(table, field)) for table in tables), Digest())


def _known_keys(table: pa.Table, field: str) -> Iterator[str]:
    # of vectors to write a key may be null: it is refused, and has its row
    return (key or "" for key in table.column(field).to_pylist())


def _digest_file(path: str, filesystem: Any, field: str, flag: str | None) -> tuple[Digest, int]:
    """Return the digest of a file's keys, and how many of its rows are flagged."""
    digest, flagged = Digest(), 0
    with pq.ParquetFile(path, filesystem=filesystem) as file:
        names = [field] if flag is None else [field, flag]
        for batch in file.iter_batches(columns=names):
            digest += Digest.of(_known_keys(batch, field))
            if flag is not None:
                column = batch.column(flag)
                is_text = column.type == pa.string()
                flagged += len(column) - column.null_count if is_text else column.false_count
    return digest, flagged


def _digest_dataset(dataset: Any, field: str) -> Digest:
    options = {"field": field}
    found = dataset.select_columns([field]).map_batches(
        _digest_batch, batch_format="pyarrow", fn_kwargs=options
    )
    return sum((Digest.from_text(row["digest"]) for row in found.iter_rows()), Digest())


def _digest_batch(rows: pa.Table, field: str) -> pa.Table:
    return pa.table({"digest": [Digest.of(keys_of(rows, field)).to_text()]})


def _own_error(error: BaseException | None) -> OSSVectorError | None:
    """Return the error of ours that Ray has wrapped, if it is one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSSVectorError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None
