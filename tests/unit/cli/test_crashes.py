"""Crashes at the worst moments: the same command again does exactly what was left."""

import json
from collections import Counter
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.command_line import call, random_vectors

from oss_vector_retriever.cli.transfer import parquet
from oss_vector_retriever.cli.transfer.files import Part
from oss_vector_retriever.cli.transfer.job import Journal
from oss_vector_retriever.emulator import Service

SEED = 20261123


class CrashError(BaseException):
    """Be what nothing expects, and nothing cleans up after."""


@contextmanager
def crash_at(owner, name, number, *, after=False):
    """Let the n-th call of a function end everything, before or after it has done its work."""
    original, calls = getattr(owner, name), []

    def function(*args, **kwargs):
        calls.append(name)
        if len(calls) == number and not after:
            raise CrashError
        result = original(*args, **kwargs)
        if len(calls) == number:
            raise CrashError
        return result

    with mock.patch.object(owner, name, function), pytest.raises(CrashError):
        yield


@pytest.fixture
def put(monkeypatch):
    """Count how often each key is put."""
    counted, original = Counter(), Service.handle

    def handle(self, request):
        if "putVectors" in request.query:
            counted.update(vector["key"] for vector in json.loads(request.body)["vectors"])
        return original(self, request)

    monkeypatch.setattr(Service, "handle", handle)
    return counted


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("record", range(1, 9))
def test_an_import_that_crashes_at_its_journal_writes_nothing_twice(
    index, put, tmp_path, record, after
):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(50)))
    words = ("import", path, *index.flags, "--create-index", "--batch", 4, "--parallel", 2)
    with crash_at(Journal, "record", record, after=after):
        call(*words)
    assert call(*words).status == 0
    assert len(index.contents()) == 50
    assert set(put.values()) == {1}


def test_a_smaller_window_after_a_crash_still_looks_where_the_larger_one_was(index, put, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(50)))
    words = ("import", path, *index.flags, "--create-index", "--parallel", 1)
    with crash_at(Journal, "record", 3):
        call(*words, "--batch", 40)
    with crash_at(Journal, "record", 3):
        call(*words, "--batch", 5)
    assert call(*words, "--batch", 5).status == 0
    assert len(put) == 50
    assert set(put.values()) == {1}


def test_who_may_not_read_is_told_what_may_have_been_written_again(
    index, put, tmp_path, monkeypatch
):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(50)))
    words = ("import", path, *index.flags, "--create-index", "--batch", 5, "--parallel", 2)
    with crash_at(Journal, "record", 4):
        call(*words)
    counted = Service.handle

    def handle(self, request):
        if "getVectors" in request.query:
            return self.refuse_unread(request, "AccessDenied")
        return counted(self, request)

    monkeypatch.setattr(Service, "handle", handle)
    done = call(*words)
    again = sum(times - 1 for times in put.values())
    assert again == 10
    assert "50 lines (10 of them before), 40 vectors written to index 'x'" in done.errors
    assert "up to 10 of them again after an interruption" in done.errors


def test_a_torn_line_of_a_journal_is_as_if_it_had_not_been_written(index, put, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(50)))
    words = ("import", path, *index.flags, "--create-index", "--batch", 5, "--parallel", 1)
    assert call(*words).status == 0
    (journal,) = tmp_path.glob("x.jsonl.import-*")
    whole = journal.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, whole.index(b"\n") + 9):
        journal.write_bytes(whole[:length])
        assert call(*words).status == 0
    assert len(journal.read_bytes().splitlines()) >= 2
    # what a journal that was cut says is not known, is looked up: at most one window of it
    assert sum(put.values()) <= 50 + 3 * 50
    assert len(index.contents()) == 50


CRASHES = {
    "before a page is noted": (Journal, "record", 3, False),
    "after a page is noted": (Journal, "record", 3, True),
    "before the first file has its name": (Part, "take_name", 1, False),
    "after the first file has its name": (Part, "take_name", 1, True),
    "before the journal is removed": (Journal, "remove", 1, False),
    "after the journal is removed": (Journal, "remove", 1, True),
}


@pytest.mark.parametrize("moment", CRASHES)
@pytest.mark.parametrize("file", ["out.jsonl", "out.npy"])
def test_an_export_that_crashes_is_completed(index, tmp_path, file, moment):
    index.fill(random_vectors(40, 3, SEED), distance_metric="euclidean")
    words = ("export", tmp_path / file, *index.flags, "--batch", 7)
    with crash_at(*CRASHES[moment][:3], after=CRASHES[moment][3]):
        call(*words)
    assert call(*words).status == 0
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    items = [json.loads(line) for line in lines]
    rows = np.load(tmp_path / file) if file == "out.npy" else [i["data"] for i in items]
    found = [
        (item["key"], np.float32(row).tobytes(), item["metadata"])
        for item, row in zip(items, rows, strict=True)
    ]
    assert sorted(found) == index.contents()
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob("*.export"))


@pytest.mark.parametrize("after", [False, True])
def test_parquet_that_was_being_made_is_made_again(index, tmp_path, after):
    index.fill(random_vectors(40, 3, SEED), distance_metric="euclidean")
    words = ("export", tmp_path / "x.parquet", *index.flags)
    with crash_at(parquet, "_convert", 1, after=after):
        call(*words)
    assert not (tmp_path / "x.parquet").exists()
    assert call(*words).status == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 40


def test_an_export_whose_unfinished_file_is_gone_begins_again(index, tmp_path):
    index.fill(random_vectors(40, 3, SEED), distance_metric="euclidean")
    path = tmp_path / "x.jsonl"
    with crash_at(Journal, "record", 4):
        call("export", path, *index.flags, "--batch", 7)
    (tmp_path / "x.jsonl.partial").unlink()
    assert call("export", path, *index.flags, "--batch", 7).status == 0
    assert len(path.read_bytes().splitlines()) == 40


def test_an_export_whose_token_is_forgotten_begins_again(index, tmp_path):
    index.fill(random_vectors(40, 3, SEED), distance_metric="euclidean")
    path = tmp_path / "x.jsonl"
    words = ("export", path, *index.flags, "--batch", 7)
    with crash_at(Journal, "record", 4):
        call(*words)
    journal = tmp_path / "x.jsonl.export"
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    lines[-1]["tokens"] = ["Zm9yZ290dGVu"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = call(*words)
    assert done.status == 0
    assert "from the top" in done.errors
    assert len(path.read_bytes().splitlines()) == 40


def test_an_export_of_something_else_begins_anew(index, tmp_path):
    index.fill(random_vectors(40, 3, SEED), distance_metric="euclidean")
    path = tmp_path / "x.jsonl"
    with crash_at(Journal, "record", 4):
        call("export", path, *index.flags, "--batch", 7)
    done = call("export", path, *index.flags, "--filter", '{"n": {"$eq": "5"}}')
    assert done.errors.startswith("1 vector of index")
