"""Files that commands write: through no link, and for nobody else to read."""

import os
import stat

import pytest
from support.command_line import call, random_vectors

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and modes as POSIX has them")
KINDS = ["jsonl", "npy", "parquet"]
VICTIM = b"not to be touched\n"


@pytest.fixture
def filled(index):
    return index.fill(random_vectors(30, 2, seed=1))


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim.txt"
    path.write_bytes(VICTIM)
    path.chmod(0o644)
    return path


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def written(folder):
    """Return the mode of each file by its name."""
    return {each.name: stat.S_IMODE(each.lstat().st_mode) for each in folder.iterdir()}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_exported_is_for_its_user_alone(filled, tmp_path, kind):
    folder = tmp_path / "out"
    folder.mkdir(0o755)
    assert call("export", folder / f"x.{kind}", *filled.flags).status == 0
    files = written(folder)
    assert set(files) == {f"x.{kind}", *(["x.jsonl"] if kind == "npy" else [])}
    assert set(files.values()) == {0o600}
    assert call("import", folder / f"x.{kind}", *filled.flags).status == 0
    journals = {name: mode for name, mode in written(folder).items() if ".import-" in name}
    assert [*journals.values()] == [0o600]


def test_what_an_interrupted_export_leaves_is_private_too(filled, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("oss_vector_retriever.cli.transfer.files.Sink.finish", fail)
    assert call("export", tmp_path / "x.jsonl", *filled.flags).status == 1
    left = {name: mode for name, mode in written(tmp_path).items() if name.startswith("x.jsonl")}
    assert left == {"x.jsonl.partial": 0o600, "x.jsonl.export": 0o600}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".partial", ".converting", ""])
def test_a_link_in_the_way_of_an_export_is_replaced_and_not_followed(
    filled, tmp_path, victim, kind, suffix
):
    for target in ("x.npy", "x.jsonl") if kind == "npy" else (f"x.{kind}",):
        (tmp_path / f"{target}{suffix}").symlink_to(victim)
    done = call("export", tmp_path / f"x.{kind}", *filled.flags)
    assert done.status == 0, done.errors
    assert victim.read_bytes() == VICTIM
    assert not (tmp_path / f"x.{kind}").is_symlink()
    assert call("import", tmp_path / f"x.{kind}", *filled.flags).status == 0


def link(path, victim):
    path.symlink_to(victim)


def hard_link(path, victim):
    path.hardlink_to(victim)


def fifo(path, _):
    os.mkfifo(path)


def foreign(path, _):
    path.write_bytes(b"")
    os.chown(path, 12345, 12345)


OTHERS_FILES = [
    link,
    hard_link,
    fifo,
    pytest.param(foreign, marks=pytest.mark.skipif(os.geteuid() != 0, reason="takes root")),
]


@pytest.mark.parametrize("plant", OTHERS_FILES)
@pytest.mark.parametrize("command", ["import", "export"])
def test_a_journal_that_leads_elsewhere_is_refused(filled, tmp_path, victim, plant, command):
    assert call("export", tmp_path / "x.jsonl", *filled.flags).status == 0
    plant(tmp_path / "journal", victim)
    done = call(command, tmp_path / "x.jsonl", *filled.flags, "--journal", tmp_path / "journal")
    assert done.status == 2
    assert "remove it" in done.errors
    assert victim.read_bytes() == VICTIM


@pytest.mark.parametrize("plant", OTHERS_FILES)
def test_an_export_does_not_go_on_in_a_file_that_was_put_in_its_place(
    filled, tmp_path, victim, monkeypatch, plant
):
    def fail(*_):
        raise OSError(28, "No space left on device")

    victim.write_bytes(VICTIM * 10_000)
    with monkeypatch.context() as patch:
        patch.setattr("oss_vector_retriever.cli.transfer.files.Sink.finish", fail)
        assert call("export", tmp_path / "x.npy", *filled.flags).status == 1
    for name in ("x.npy.partial", "x.jsonl.partial"):
        size = (tmp_path / name).stat().st_size
        (tmp_path / name).unlink()
        plant(tmp_path / name, victim)
        if plant is foreign:
            os.truncate(tmp_path / name, size)
    done = call("export", tmp_path / "x.npy", *filled.flags)
    if plant is fifo:  # which holds nothing to go on with: begun anew
        assert done.status == 0, done.errors
    else:
        assert done.status == 2, done.errors
        assert "remove it" in done.errors
    assert victim.read_bytes() == VICTIM * 10_000


def test_a_file_of_an_earlier_release_becomes_private(filled, tmp_path):
    path = tmp_path / "x.jsonl.export"
    path.write_bytes(b"")
    path.chmod(0o644)
    (tmp_path / "x.jsonl").write_bytes(b"")
    done = call("import", tmp_path / "x.jsonl", *filled.flags, "--journal", path)
    assert done.status == 0
    assert written(tmp_path)["x.jsonl.export"] == 0o600
