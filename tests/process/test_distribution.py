"""What is published: a wheel and a source distribution that work away from this checkout."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import sys
from pathlib import Path

import oss_vector_retriever as package
assert Path(package.__file__).is_relative_to(sys.argv[1]), package.__file__
with package.OSSVectorClient.local() as client:
    client.put_vector_index(dimension=2)
    client.upsert([{"key": "a", "data": [1, 2], "metadata": {"text": "one"}}])
    assert client.fetch(["a", "b"]).missing == ("b",)
    from oss_vector_retriever.langchain import OSSVectorRetriever
    assert OSSVectorRetriever(client=client).invoke("a")[0].page_content == "one"
from oss_vector_retriever.corpus import load_passages
assert load_passages()
"""


def python(*arguments, **options):
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the source distribution from the checkout, and the wheel from that."""
    folder = tmp_path_factory.mktemp("built")
    python("-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return source, unpacked, wheel


def test_the_wheel_works_where_the_checkout_is_not(built, tmp_path):
    _, _, wheel = built
    target = tmp_path / "installed"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(target)}
    python("-c", USE, str(target), cwd=tmp_path, env=environment)
    shown = python(str(target / "bin" / "oss-vectors"), "--version", cwd=tmp_path, env=environment)
    assert re.search(r"\d+\.\d+", shown)


def test_the_wheel_has_every_file_of_the_package_and_no_other(built):
    _, _, wheel = built
    listed = python(
        "-c",
        "import subprocess; print(subprocess.run(['git', 'ls-files', "
        "'oss_vector_retriever'], capture_output=True, text=True).stdout)",
        cwd=ROOT,
    )
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == set(listed.split())


def test_the_source_distribution_can_be_tested_and_holds_what_the_pages_need(built):
    _, unpacked, _ = built
    for name in (
        "tests/conftest.py",
        "docs/tutorial.md",
        "mkdocs.yml",
        "Makefile",
        "LICENSE",
        "CHANGELOG.md",
        "packages/oss-vector-scan/src/scan.c",
        "notebooks",
        "examples",
    ):
        assert (unpacked / name).exists(), name


def test_the_description_that_pypi_shows_has_no_link_that_is_dead_there(built):
    _, _, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    text = metadata.get_payload(decode=True).decode()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    shown = {one.partition(",")[0] for one in metadata.get_all("Project-URL")}
    assert shown >= {"Homepage", "Documentation", "Repository", "Issues", "Changelog"}
    assert metadata["Author"]
    assert metadata["License-Expression"] == "Apache-2.0"
