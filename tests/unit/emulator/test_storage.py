import contextlib
import os
import sqlite3
import sys
import threading
from pathlib import Path

import orjson
import pytest

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator import Service
from oss_vector_retriever.emulator.storage import database
from oss_vector_retriever.emulator.storage.database import Database

INSERT = "INSERT INTO buckets (account, region, name, created) VALUES (1, 2, 3, 4)"


def test_data_outlives_the_service(make_caller, tmp_path):
    path = tmp_path / "vectors.db"
    first = make_caller(path, index=True)
    first.put(("a", [1, 2, 3], {"title": "A"}))
    first.service.close()
    second = make_caller(str(path))
    assert second.get(["a"]) == [
        {"key": "a", "data": {"float32": [1.0, 2.0, 3.0]}, "metadata": {"title": "A"}}
    ]
    assert [v["key"] for v in second.query([1, 2, 3])] == ["a"]


def test_a_closed_file_leaves_nothing_but_itself_and_its_lock(make_caller, tmp_path):
    caller = make_caller(tmp_path / "vectors.db", index=True)
    caller.put(("a", [1, 2, 3]))
    caller.service.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["vectors.db", "vectors.db.lock"]


def test_a_file_from_before_deleted_names_were_kept_is_opened(make_caller, tmp_path):
    path = tmp_path / "vectors.db"
    first = make_caller(path, index=True)
    first.put(("a", [1, 2, 3]))
    first.service.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE deleted_buckets")
    second = make_caller(path)
    assert len(second.get(["a"])) == 1
    assert second.post("deleteVectorIndex", {"indexName": "index1"})[0] == 204
    assert second.send("DELETE").status == 204


def test_the_same_process_cannot_open_a_file_twice(make_caller, tmp_path):
    make_caller(tmp_path / "vectors.db")
    with pytest.raises(ConfigurationError, match="is open in another process"):
        Service.open(tmp_path / "vectors.db")


def link_to(path, name):
    name.symlink_to(path)
    return name


def link_to_folder(path, name):
    name.symlink_to(path.parent, target_is_directory=True)
    return name / path.name


def relative(path, _):
    os.chdir(path.parent.parent)
    return Path(path.parent.name) / "." / ".." / path.parent.name / path.name


def chain(path, name):
    return link_to(link_to(path, name.with_suffix(".two")), name)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("rename", [link_to, link_to_folder, relative, chain])
def test_a_file_has_one_lock_whatever_it_is_called(tmp_path, monkeypatch, rename):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "vectors.db"
    path.parent.mkdir()
    with Service.open(path):
        other = rename(path, tmp_path / "other.db")
        assert other.samefile(path)
        with pytest.raises(ConfigurationError, match="is open in another process"):
            Service.open(other)
    with Service.open(other), pytest.raises(ConfigurationError, match="is open in another"):
        Service.open(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["vectors.db", "vectors.db.lock"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_to_nothing_makes_the_file_that_it_names(tmp_path):
    link = link_to(tmp_path / "real.db", tmp_path / "link.db")
    with Service.open(link):
        assert (tmp_path / "real.db.lock").exists()
        with pytest.raises(ConfigurationError, match="is open in another process"):
            Service.open(tmp_path / "real.db")
    loop = tmp_path / "loop.db"
    loop.symlink_to(loop)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Service.open(loop)


def test_a_file_with_two_names_of_its_own_is_refused(tmp_path):
    path, link = tmp_path / "vectors.db", tmp_path / "link.db"
    with Service.open(path):
        link.hardlink_to(path)
        with pytest.raises(ConfigurationError, match="one of 2 names of one file"):
            Service.open(link)
    for name in (path, link):
        with pytest.raises(ConfigurationError, match="make each link a copy"):
            Service.open(name)
    link.unlink()
    Service.open(path).close()


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_files_are_private_and_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "vectors.db.lock").symlink_to(victim)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Service.open(tmp_path / "vectors.db")
    assert victim.read_text() == "kept"
    (tmp_path / "vectors.db.lock").unlink()
    with Service.open(tmp_path / "vectors.db") as service:
        service.create_bucket("1", "bucket")
        made = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.glob("vectors.db*")}
    assert made == dict.fromkeys(made, 0o600)
    assert {"vectors.db", "vectors.db-wal", "vectors.db.lock"} <= made.keys()


def garbage(path):
    path.write_bytes(b"not a database at all" * 100)


def folder(path):
    path.mkdir()


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()


def newer(path):
    Service.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (garbage, "not a database"),
        (folder, "cannot be opened"),
        (foreign, "not a database of this emulator"),
        (newer, "has version 99"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path, make, reason):
    path = tmp_path / "vectors.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=reason):
            Service.open(path)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        Service.open(tmp_path / "missing" / "vectors.db")


def test_a_file_says_what_it_is(tmp_path):
    Service.open(tmp_path / "vectors.db").close()
    connection = sqlite3.connect(tmp_path / "vectors.db")
    assert connection.execute("PRAGMA application_id").fetchone() == (database.APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_failed_transaction_leaves_nothing(tmp_path):
    for path in (None, tmp_path / "vectors.db"):
        database = Database(path)
        with pytest.raises(sqlite3.IntegrityError), database.write() as db:
            db.executemany(INSERT, [(), ()])
        with database.read() as db:
            assert db.execute("SELECT count(*) FROM buckets").fetchone() == (0,)
        database.close()


def test_a_reader_keeps_its_snapshot_while_others_write(tmp_path):
    database = Database(tmp_path / "vectors.db")
    count = "SELECT count(*) FROM buckets"
    with database.read() as reader:
        assert reader.execute(count).fetchone() == (0,)
        with database.write() as writer:
            writer.execute(
                "INSERT INTO buckets (account, region, name, created) VALUES (1, 2, 3, 4)"
            )
        assert reader.execute(count).fetchone() == (0,)
    with database.read() as reader:
        assert reader.execute(count).fetchone() == (1,)
    database.close()


def test_a_connection_lent_out_at_closing_is_closed_when_it_comes_back(tmp_path):
    database = Database(tmp_path / "vectors.db")
    with database.read() as reader:
        database.close()
        reader.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError):
        reader.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError), database.read():
        pass


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_threads_write_and_read_at_once_and_nothing_is_lost(make_caller, tmp_path, in_file):
    caller = make_caller(tmp_path / "vectors.db" if in_file else None, index=True)
    problems = []

    def write(worker):
        for batch in range(10):
            caller.put(*((f"w{worker}-{batch}-{i}", [worker, batch, i + 1]) for i in range(20)))
            keys = [f"w{worker}-{batch}-{i}" for i in range(20)]
            found = {v["key"]: v["data"]["float32"] for v in caller.get(keys)}
            expected = {key: [worker, batch, i + 1] for i, key in enumerate(keys)}
            if found != expected:
                problems.append((worker, batch, found))
            if len(caller.query([worker, batch, 1], 20)) != 20:
                problems.append((worker, batch, "query"))

    def run(worker):
        try:
            write(worker)
        except Exception as error:  # noqa: BLE001 - reported below
            problems.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    status, parsed = caller.post("listVectors", {"indexName": "index1", "maxResults": 1000})
    assert (status, len(parsed["vectors"]), "nextToken" in parsed) == (200, 1000, True)


def test_a_reply_without_numpy_is_read_the_same(caller, monkeypatch):
    caller.put(("a", [0.1, 0.2, 0.3]))
    monkeypatch.setattr("oss_vector_retriever.emulator.rules.parameters._numpy", lambda: None)
    (vector,) = caller.get(["a"])
    assert orjson.dumps(vector["data"]["float32"]) == (
        b"[0.10000000149011612,0.20000000298023224,0.30000001192092896]"
    )
