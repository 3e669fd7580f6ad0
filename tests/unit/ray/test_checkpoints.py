"""What a job has done stays done, what it has not is not there, wherever it ends in between."""

import json
import os
import random

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from oss_vector_retriever import ConfigurationError, InvalidRequestError
from oss_vector_retriever.ray.checkpoints import (
    Checkpoints,
    Digest,
    Place,
    Slice,
    cut,
    look_of,
    parquet_files,
    read_slice,
)

TASK = {"job": "fetch", "key_field": "key"}
LOCAL = pafs.LocalFileSystem()


@pytest.fixture
def output(tmp_path):
    return Place.of(tmp_path / "output")


def stage(checkpoints, number, keys, files=2):
    """Write a part as its workers do, and return the name of its folder."""
    name, path = checkpoints.stage(number)
    os.makedirs(path)  # noqa: PTH103
    for at in range(files):
        table = pa.table({"key": keys[at::files]})
        pq.write_table(table, f"{path}/abc_{at:06}-0.parquet")
    return name


def stored_keys(output):
    shown = [name for name in output.names() if name[0] != "_"]
    return sorted(pq.read_table(output.path)["key"].to_pylist()) if shown else []


# Digests


def test_a_digest_does_not_depend_on_order_and_depends_on_all_else():
    keys = [f"key-{n}" for n in range(500)]
    mixed = random.Random(3).sample(keys, len(keys))
    whole = Digest.of(keys)
    assert Digest.of(mixed) == whole == Digest.of(keys[:200]) + Digest.of(keys[200:])
    assert sum((Digest.of([key]) for key in keys), Digest()) == whole
    others = [keys[1:], [*keys, keys[0]], [*keys[1:], keys[1]], [*keys[1:], "other"]]
    assert whole not in [Digest.of(one) for one in others]


def test_a_digest_is_read_as_it_is_written():
    digest = Digest.of(["ключ", "k", ""])
    assert Digest.from_text(digest.to_text()) == digest
    assert Digest.from_text(Digest().to_text()) == Digest()


# Parts


def test_parts_and_slices_cover_each_row_once_in_order():
    chance = random.Random(11)
    for _ in range(200):
        files = [(f"f{n}", chance.choice([0, 1, 7, 50, 1000])) for n in range(5)]
        part_rows, task_rows = chance.randint(1, 300), chance.randint(1, 60)
        parts = cut(files, part_rows, min(task_rows, part_rows))
        rows = [(s.path, s.start + n) for part in parts for s in part for n in range(s.rows)]
        assert rows == [(path, n) for path, count in files for n in range(count)]
        sizes = [sum(piece.rows for piece in part) for part in parts]
        assert all(size == part_rows for size in sizes[:-1])
        assert all(piece.rows <= task_rows for part in parts for piece in part)


def test_files_that_are_added_leave_the_parts_before_as_they_are():
    before = cut([("a", 100), ("b", 60)], 40, 10)
    after = cut([("a", 100), ("b", 60), ("c", 50)], 40, 10)
    assert after[: len(before)] == before


@pytest.mark.parametrize("group", [3, 10, 64, 1000])
def test_a_slice_is_read_whatever_the_row_groups(tmp_path, group, monkeypatch):
    monkeypatch.setattr("oss_vector_retriever.ray.checkpoints._BATCH_ROWS", 17)
    keys = [f"k{n}" for n in range(100)]
    pq.write_table(pa.table({"key": keys, "n": range(100)}), tmp_path / "f", row_group_size=group)
    for start, rows in [(0, 100), (0, 1), (99, 1), (13, 40), (60, 40), (10, 10)]:
        piece = Slice(str(tmp_path / "f"), start, rows)
        tables = list(read_slice(piece, LOCAL, ["key", "not there"]))
        assert [table.column_names for table in tables] == [["key"]] * len(tables)
        assert pa.concat_tables(tables)["key"].to_pylist() == keys[start : start + rows]


def test_files_are_found_in_order_without_those_that_are_hidden(tmp_path):
    for name in [
        "b/2.parquet",
        "b/1.parquet",
        "a.parquet",
        "_x/1.parquet",
        "b/.c.parquet",
        "t.txt",
    ]:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    found = parquet_files([tmp_path / "in", tmp_path / "in" / "t.txt"], None)
    names = [os.path.relpath(place.path, tmp_path / "in") for place in found]
    assert names == ["a.parquet", "b/1.parquet", "b/2.parquet", "t.txt"]
    # what a job of the same folder writes is not read by its next run
    within = Place.of(tmp_path / "in" / "b")
    assert parquet_files([tmp_path / "in"], None, within) == found[:1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequestError, match="there is no Parquet file in "):
        parquet_files([tmp_path / "empty"], None)


def test_a_file_has_another_look_once_it_is_written_anew(tmp_path):
    part = [Slice(str(tmp_path / name), start, 1) for name in ("a", "b") for start in (0, 1)]
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"rows")
        os.utime(tmp_path / name, ns=(1, 1))
    looks = [look_of(part, LOCAL)]
    assert look_of(part[1:], LOCAL) == looks[0]
    os.utime(tmp_path / "b", ns=(2, 2))
    looks.append(look_of(part, LOCAL))
    (tmp_path / "a").write_bytes(b"more rows")
    os.utime(tmp_path / "a", ns=(1, 1))
    looks.append(look_of(part, LOCAL))
    assert len({*looks}) == 3


# Records


def test_what_is_recorded_is_there_and_what_is_not_is_not(output):
    checkpoints = Checkpoints(output, TASK)
    staged = stage(checkpoints, 0, ["a", "b", "c"])
    stage(checkpoints, 1, ["d"])
    checkpoints.commit(0, staged, Digest.of("abc"), 1)
    again = Checkpoints(output, TASK)
    assert {number: record.flagged for number, record in again.records.items()} == {0: 1}
    assert stored_keys(output) == ["a", "b", "c"]
    assert [name for name in output.names() if name[0] != "_"] == [
        "part-000000-0000.parquet",
        "part-000000-0001.parquet",
    ]
    assert not output.exists("_staging")


class EndedError(BaseException):
    """What ends a job, as a signal would."""


class LocalHandler(pafs.FileSystemHandler):
    """The local file system, until so many changes are made."""

    def __init__(self, left):
        self._left = left

    def _change(self):
        if self._left[0] == 0:
            raise EndedError
        self._left[0] -= 1

    def __eq__(self, other):
        return self is other

    __hash__ = None

    def get_type_name(self):
        return "fragile"

    def normalize_path(self, path):
        return path

    def get_file_info(self, paths):
        return LOCAL.get_file_info(paths)

    def get_file_info_selector(self, selector):
        return LOCAL.get_file_info(selector)

    def open_input_stream(self, path):
        return LOCAL.open_input_stream(path)

    def open_input_file(self, path):
        return LOCAL.open_input_file(path)

    def open_output_stream(self, path, metadata):
        self._change()
        return LOCAL.open_output_stream(path, metadata=metadata)

    def create_dir(self, path, recursive):
        self._change()
        LOCAL.create_dir(path, recursive=recursive)

    def delete_dir(self, path):
        self._change()
        LOCAL.delete_dir(path)

    def delete_file(self, path):
        self._change()
        LOCAL.delete_file(path)

    def move(self, source, target):
        self._change()
        LOCAL.move(source, target)

    def _refuse(self, *_):
        raise NotImplementedError

    copy_file = delete_dir_contents = delete_root_dir_contents = open_append_stream = _refuse


def do_job(output, parts):
    """Do what is left of a job."""
    checkpoints = Checkpoints(output, TASK)
    for number, keys in enumerate(parts):
        if number not in checkpoints.records:
            staged = stage(checkpoints, number, keys)
            checkpoints.commit(number, staged, Digest.of(keys), 0)
    return checkpoints


def test_a_job_that_ends_at_any_change_of_its_files_goes_on_without_loss_or_doubles(tmp_path):
    parts = [["a", "b", "c"], ["d", "e"], ["f"]]
    ends = 0
    for changes in range(100):
        path = str(tmp_path / str(changes))
        try:
            do_job(Place(path, pafs.PyFileSystem(LocalHandler([changes]))), parts)
        except EndedError:
            ends += 1
        else:
            break
        # as far as it got, what counts is whole, and nothing else is there
        whole = Place(path, LOCAL)
        found = Checkpoints(whole, TASK)
        assert stored_keys(whole) == sorted(key for n in found.records for key in parts[n])
        do_job(whole, parts)
        assert stored_keys(whole) == list("abcdef")
        assert whole.names("_staging") == []
    assert ends > 10


def test_another_job_does_not_go_on_with_its_records(output):
    Checkpoints(output, {**TASK, "index": "a"})
    with pytest.raises(ConfigurationError, match="another job, which differs in index"):
        Checkpoints(output, {**TASK, "index": "b"})


def test_files_of_nobodys_are_not_mixed_with_a_jobs(output):
    LOCAL.create_dir(output.path)
    pq.write_table(pa.table({"key": ["x"]}), output.inner("other.parquet"))
    with pytest.raises(ConfigurationError, match=r"no job has recorded, such as other\.parquet"):
        Checkpoints(output, TASK)


def test_an_input_that_has_changed_in_what_is_done_is_refused(output):
    checkpoints = do_job(output, [["a", "b"], ["c"]])
    checkpoints.check(0, Digest.of("ba"))
    with pytest.raises(ConfigurationError, match="part 0 of the input has changed"):
        checkpoints.check(0, Digest.of("ac"))
    with pytest.raises(ConfigurationError, match="part 0 of the input has changed"):
        checkpoints.check(0, Digest.of("ba"), "another look")
    checkpoints.check_count(2)
    with pytest.raises(ConfigurationError, match="part 1 is done already: it has shrunk"):
        checkpoints.check_count(1)


def test_a_file_of_a_part_that_is_gone_is_told(output):
    do_job(output, [["a", "b"]])
    LOCAL.delete_file(output.inner("part-000000-0001.parquet"))
    with pytest.raises(ConfigurationError, match=r"part-000000-0001\.parquet, of part 0, is done"):
        Checkpoints(output, TASK)


def test_a_job_that_begins_anew_removes_what_it_wrote_and_nothing_else(output):
    do_job(output, [["a", "b"], ["c"]])
    LOCAL.create_dir(output.inner("_mine"))
    checkpoints = Checkpoints(output, TASK, restart=True)
    assert checkpoints.records == {}
    assert output.names() == ["_checkpoint", "_mine"]
    assert json.loads(
        (LOCAL.open_input_stream(output.inner("_checkpoint", "job.json"))).read()
    ) == {"task": {**TASK, "version": 1}}
