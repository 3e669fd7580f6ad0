"""Every example runs alone and offline, and so does the notebook that is made of it."""

import functools
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = runpy.run_path(str(ROOT / "examples" / "build_notebooks.py"))
NAMES = BUILD["NAMES"]
RUNNER = runpy.run_path(str(Path(__file__).with_name("offline.py")))
BY_HAND = {"embed_topics"}  # needs a model: it makes the corpus that the others use
FONT_CACHE = "Matplotlib is building the font cache; this may take a moment.\n"

EXPECTED = {
    "quick_start_langchain": [
        "documents written",
        'lambda   Lambdas\nwith     The "with" statement',
        "missing ['gone'], calls: 1",
        "384 floats",
        "context-managers",
        "of 'compound'",
    ],
    "rag_with_parents": [
        "while        in compound/1",
        r"compound/1 +[\d,]+ characters",
        r"compound/1      best 0\.\d+ from \['while', ",
        "2 messages",
    ],
    "agent_fetch_langchain": [
        "calls  search_documents({'query': 'with'})",
        'sees  Not found: "context-manager" (did you mean "context-managers"?)',
        "calls  fetch_documents({'ids': ['context-managers']})",
        "ai  A *context manager* is an object",
        "fetch_documents ['context-managers']",
    ],
    "rerank_with_stored_embeddings": [
        "0.764  break",
        "left out: ['if']",
        r"picked:  \['break', ",
        "embeddings.png",
    ],
    "quick_start_llama_index": [
        "nodes written",
        "384 floats  Lambdas",
        "missing: ('gone',)",
        "0.764  break",
        "repeated: {'if'}",
        r"picked:   \['while', ",
    ],
    "auto_merging": [
        "0.764  while             in compound/1",
        r"0\.\d+  compound/1 +chapter +[\d,]+ characters",
        r"0\.462  context-managers  section ",
        "['execmodel', 'naming', 'for']",
    ],
    "agent_fetch_llama_index": [
        "calls  search({'topic': 'with'})",
        'sees  Not found: "context_managers" (did you mean "context-managers"?)',
        "ai   A *context manager* is an object",
    ],
    "ingestion_reuse": [
        r"first run: (\d+) documents, \1 embedded",
        r"second run: \d+ documents, 0 embedded",
        r"third run: \d+ documents, 4 embedded",
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Give what runs an example's script and notebook, once, where nobody has been before.

    There is no account, no key and no tracing.
    """
    home = str(tmp_path_factory.mktemp("home"))
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    own = {"HOME": home, "TMPDIR": home, "MPLCONFIGDIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**kept, **own, "PYTHONIOENCODING": "utf-8"}

    @functools.cache
    def finished(example):
        files = [ROOT / "examples" / example / "main.py", ROOT / notebook_of(example)]
        return subprocess.run(
            [sys.executable, str(ROOT / "tests" / "docs" / "offline.py"), *map(str, files)],
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=100,
            env=environment,
            cwd=home,
        )

    return finished


def notebook_of(example):
    return Path("notebooks") / f"{NAMES[example]}.ipynb"


def test_every_example_is_known_here():
    found = {path.parent.name for path in ROOT.glob("examples/*/main.py")}
    assert found == set(NAMES) | BY_HAND
    assert set(EXPECTED) == set(NAMES)


@pytest.mark.parametrize("example", NAMES)
def test_an_example_and_its_notebook_run_offline_and_say_the_same(example, run):
    done = run(example)
    assert done.returncode == 0, done.stderr
    assert done.stderr.replace(FONT_CACHE, "") == ""
    script, notebook = (
        without_folders(text) for text in done.stdout.split(f"{RUNNER['BETWEEN']}\n")
    )
    assert notebook == script
    for words in EXPECTED[example]:
        assert words in script or re.search(words, script), f"{words!r} is not in:\n{script}"


def without_folders(text):
    return re.sub(r"\S*[\\/]", "", text) if "embeddings.png" in text else text


def test_the_picture_is_a_picture(run):
    pictures = re.findall(r"picture: (.*)", run("rerank_with_stored_embeddings").stdout)
    assert len(pictures) == 2
    for picture in pictures:
        drawn = Path(picture).read_bytes()
        assert drawn.startswith(b"\x89PNG")
        assert len(drawn) > 10_000


@pytest.mark.parametrize("example", NAMES)
def test_the_notebook_is_what_the_script_makes(example):
    script = (ROOT / "examples" / example / "main.py").read_text("utf-8")
    committed = (ROOT / notebook_of(example)).read_text("utf-8")
    assert committed == BUILD["notebook"](script), "run: python examples/build_notebooks.py"


def test_there_is_no_other_notebook():
    found = {path.relative_to(ROOT) for path in ROOT.glob("notebooks/**/*.ipynb")}
    assert found == {notebook_of(example) for example in NAMES}


@pytest.mark.parametrize("example", NAMES)
def test_a_notebook_is_clean_and_readable(example):
    content = json.loads((ROOT / notebook_of(example)).read_text("utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    cells = content["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert cells[0]["cell_type"] == "markdown"
    assert "pip install 'oss-vector-retriever[" in "".join(cells[0]["source"])
    for cell in cells:
        assert "".join(cell["source"]).strip()
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            assert "noqa" not in "".join(cell["source"])


@pytest.mark.parametrize("example", NAMES)
def test_requirements_name_packages_alone(example):
    lines = (ROOT / "examples" / example / "requirements.txt").read_text("utf-8").splitlines()
    framework = "llama-index" if "llama" in NAMES[example] else "langchain"
    assert lines[0] == f"oss-vector-retriever[{framework},emulator]"
    assert all(re.match(r"[a-z][a-z0-9-]*(\[[a-z,-]+\])?([<>=].*)?$", line) for line in lines)


@pytest.mark.parametrize("host", ["93.184.216.34", "example.com", "::ffff:8.8.8.8"])
def test_the_runner_refuses_other_machines(host):
    for event, arguments in {
        "socket.connect": (None, (host, 443)),
        "socket.getaddrinfo": (host, 443, 0, 0, 0),
    }.items():
        with pytest.raises(PermissionError, match="an example reached for"):
            RUNNER["refuse_other_machines"](event, arguments)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_runner_allows_this_machine(host):
    RUNNER["refuse_other_machines"]("socket.connect", (None, (host, 80)))
