"""Every example runs offline, and so does the notebook that is made of it.

What a notebook's cells print and draw is compared with what it keeps.
"""

import asyncio
import base64
import functools
import json
import os
import re
import runpy
import struct
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from support.pages import (
    names_from_inside,
    public_doors,
    python_module,
    python_of_notebook,
    read_pages,
)
from support.promises import sized

from oss_vector_retriever.corpus import load_corpus

ROOT = Path(__file__).parents[2]
BUILD = runpy.run_path(str(ROOT / "examples" / "build_notebooks.py"))
NAMES = BUILD["NAMES"]
PAGES = read_pages()
RUNNER = runpy.run_path(str(Path(__file__).with_name("offline.py")))
HOSTED = "https://github.com/oss-vector-retriever/oss-vector-retriever/blob/main/"
BY_HAND = {"embed_topics"}  # needs a model: it makes the corpus that the others use
# in one process what loads the same packages, which takes longer than to run
TOGETHER = [
    ["quick_start_langchain", "rag_with_parents", "agent_fetch_langchain", "stored_embeddings"],
    ["quick_start_llama_index", "auto_merging", "agent_fetch_llama_index", "ingestion_reuse"],
    ["quick_start", "operating"],
]
TOGETHER = sized(TOGETHER, [])  # at full size each runs alone
TOGETHER += [[example] for example in NAMES if example not in {*chain(*TOGETHER)}]
WITHOUT_TRACES = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
# how long a text of Python's documentation is, as examples and the tools of agents say it
SIZE = re.compile(r"[\d,]+(?= characters)|(?<=characters 0 to )\d+ of \d+")
FONT_CACHE = "Matplotlib is building the font cache; this may take a moment.\n"

EXPECTED = {
    "quick_start": [
        "83 vectors written",
        "missing: gone",
        'The "with" statement is used to wrap the execution of a block',
        'The expression "lambda parameters: expression" yields a function object.',
        "source: lambda",
    ],
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
    "stored_embeddings": [
        "alike: else, if\n",
        "80 of 83 stay",
        r"\n\d+  with, .*while",
        "0.764  break",
        "left out: ['if']",
        r"picked:  \['break', ",
    ],
    "operating": [
        r"signature +ok\n",
        "index failed: topic is not there; there are topics",
        r"decoded as +text, by text",
        "keys_per_get       100\n",
        "calls: 0\ntop_k must be a whole number from 1 to 50, not 60",
        r"fetch 1,000 keys +10 GetVectors\n",
        r"fetch one key, named 1,000 times +1 GetVectors\n",
        "fetched: ['with']\n2 refusals, 2 retries, 0 failed\nQpsLimitExceeded: ",
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


def notebook_of(example):
    return Path("notebooks") / f"{NAMES[example]}.ipynb"


def read_notebook(example):
    return json.loads((ROOT / notebook_of(example)).read_text("utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_every_example_is_known_here():
    found = {path.parent.name for path in ROOT.glob("examples/*/main.py")}
    assert found == set(NAMES) | BY_HAND
    assert set(EXPECTED) == set(NAMES)


@pytest.mark.parametrize("examples", TOGETHER, ids=" and ".join)
def test_examples_run_offline_and_their_notebooks_keep_the_same(examples, tmp_path):
    done = run(examples, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.replace(FONT_CACHE, "") == ""
    for example, said in zip(examples, json.loads(done.stdout), strict=True):
        check_outputs(example, said["notebook"])
        outputs = [output for cell in code_cells(said["notebook"]) for output in cell["outputs"]]
        printed = said["printed"]
        assert "".join("".join(output.get("text", ())) for output in outputs) == printed
        for words in EXPECTED[example]:
            assert words in printed or re.search(words, printed), f"no {words!r} in:\n{printed}"


def run(examples, home):
    """Run scripts and notebooks where nobody has been before: no account, no key, no tracing."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    own = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), str(home))
    files = [
        str(ROOT / path)
        for example in examples
        for path in (Path("examples") / example / "main.py", notebook_of(example))
    ]
    return subprocess.run(
        [sys.executable, RUNNER["__file__"], *files],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
        env={**kept, **own, "MPLBACKEND": "agg", **WITHOUT_TRACES},
        cwd=home,
    )


def check_outputs(example, executed):
    """Compare what the cells have printed and drawn with what the notebook keeps, cell by cell."""
    kept = read_notebook(example)
    for number, (cell, now) in enumerate(
        zip(code_cells(kept), code_cells(executed), strict=True), 1
    ):
        assert cell["execution_count"] == number
        assert list(map(shape, cell["outputs"])) == list(map(shape, now["outputs"])), (
            f"cell {number}; if that is meant: python examples/build_notebooks.py {example}"
        )


def shape(output):
    """Return what must stay of an output: of a text all of it, of a picture its kind and size."""
    data = {kind: value for kind, value in output.get("data", {}).items() if kind != "image/png"}
    picture = output.get("data", {}).get("image/png")
    text = output.get("text", [])
    if not has_the_text_of_the_outputs():
        text = [SIZE.sub("many", line) for line in text]
    return output["output_type"], text, data, picture and size_of_picture(picture)


@functools.cache
def has_the_text_of_the_outputs():
    """Whether this Python's documentation is that of the notebooks, or shorter or longer."""
    corpus = load_corpus()
    changed = [one.key for one in corpus.passages if one.metadata["text_changed"] == "true"]
    return not changed and not corpus.without_vector


def size_of_picture(encoded):
    drawn = base64.b64decode(encoded)
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert 10_000 < len(drawn) < 150_000
    return struct.unpack(">II", drawn[16:24])  # width and height, which the first chunk begins with


def test_the_notebooks_show_pictures():
    assert [len(BUILD["pictures"](read_notebook(example))) for example in NAMES] == [
        3 if example == "stored_embeddings" else 0 for example in NAMES
    ]


def test_from_nothing_to_both_answers_takes_at_most_five_steps():
    notebook = read_notebook("quick_start")
    commands = re.findall(
        r"^ {4}pip install .*", "".join(notebook["cells"][0]["source"]), re.MULTILINE
    )
    assert len(commands) == 1
    assert len(commands) + len(code_cells(notebook)) <= 5
    # what the cells keep is what they print, or the test above fails
    (first_answer,), (second_answer,) = (cell["outputs"] for cell in code_cells(notebook)[-2:])
    (langchain,), (llama_index, source) = first_answer["text"], second_answer["text"]
    assert langchain.startswith('The "with" statement is used to wrap the execution of a block')
    assert llama_index.endswith('"lambda parameters: expression" yields a function object.\n')
    assert source == "source: lambda\n"


def test_the_page_of_notebooks_lists_each_of_them():
    page = PAGES["docs/notebooks.md"]
    linked = re.findall(rf"\({re.escape(HOSTED)}([\w/]+\.ipynb)\)", page)
    assert sorted(linked) == sorted(str(notebook_of(example)) for example in NAMES)
    shown = {name for pictures in BUILD["PICTURES"].values() for name in pictures}
    assert set(re.findall(r"!\[[^]]+\]\(images/([\w-]+\.png)\)", page)) == shown


@pytest.mark.parametrize("example", BUILD["PICTURES"])
def test_the_pictures_of_the_pages_are_those_of_the_notebook(example):
    drawn = BUILD["pictures"](read_notebook(example))
    for name, position in BUILD["PICTURES"][example].items():
        assert (ROOT / "docs" / "images" / name).read_bytes() == drawn[position]


@pytest.mark.parametrize("example", NAMES)
def test_the_notebook_is_what_the_script_makes(example):
    script = (ROOT / "examples" / example / "main.py").read_text("utf-8")
    kept = read_notebook(example)
    assert (ROOT / notebook_of(example)).read_text("utf-8") == BUILD["text_of"](kept)
    for cell in code_cells(kept):
        cell |= {"outputs": [], "execution_count": None}
    assert kept == BUILD["notebook"](script), "run: python examples/build_notebooks.py"


def test_there_is_no_other_notebook():
    found = {path.relative_to(ROOT) for path in ROOT.glob("notebooks/**/*.ipynb")}
    assert found == {notebook_of(example) for example in NAMES}


MEMBERS = {
    "markdown": {"cell_type", "id", "metadata", "source"},
    "code": {"cell_type", "id", "metadata", "source", "execution_count", "outputs"},
    "stream": {"output_type", "name", "text"},
    "display_data": {"output_type", "data", "metadata"},
    "execute_result": {"output_type", "data", "metadata", "execution_count"},
}


def check_format(notebook):
    """Check what the schema of nbformat 4.5 asks for."""
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"].keys() >= {"display_name", "name"}
    assert notebook["metadata"]["language_info"].keys() >= {"name"}
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        assert set(cell) == MEMBERS[cell["cell_type"]]
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert cell["metadata"] == {}
        assert is_multiline(cell["source"])
        for output in cell.get("outputs", ()):
            assert set(output) == MEMBERS[output["output_type"]]
            assert output.get("name", "stdout") == "stdout"
            assert is_multiline(output.get("text", ["-"]))
            assert output.get("execution_count", cell["execution_count"]) is not None
            for kind, value in output.get("data", {}).items():
                assert re.fullmatch(r"[a-z]+/[a-z+-]+", kind)
                assert isinstance(value, str) or is_multiline(value)


def is_multiline(text):
    lines = "".join(text).splitlines(keepends=True)
    return isinstance(text, list) and lines == text


@pytest.mark.parametrize("example", NAMES)
def test_a_notebook_is_valid_and_readable(example):
    notebook = read_notebook(example)
    check_format(notebook)
    cells = notebook["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert "pip install 'oss-vector-retriever[" in "".join(cells[0]["source"])
    for cell in cells:
        assert "".join(cell["source"]).strip()
        assert "noqa" not in "".join(cell["source"])
    assert sum(bool(cell["outputs"]) for cell in code_cells(notebook)) >= 3


def test_a_cell_keeps_what_it_prints_draws_and_ends_with():
    script = """
# %%
class Table:
    def __repr__(self): return "plain\\ntext"
    def _repr_html_(self): return "<b>rich</b>"
async def table():
    print("one")
    return Table()

# %%
await table()

# %%
print("two"); None
"""
    made = BUILD["notebook"](script)
    main = sys.modules["__main__"]
    try:
        asyncio.run(BUILD["execute"](made, "a notebook"))
    finally:
        sys.modules["__main__"] = main
    check_format(made)
    first, second, third = code_cells(made)
    assert first["outputs"] == []
    stream, result = second["outputs"]
    assert stream == {"output_type": "stream", "name": "stdout", "text": ["one\n"]}
    assert result["data"] == {"text/plain": ["plain\n", "text"], "text/html": ["<b>rich</b>"]}
    assert result["execution_count"] == second["execution_count"] == 2
    assert [output["text"] for output in third["outputs"]] == [["two\n"]]


@pytest.mark.parametrize("example", [*NAMES, *BY_HAND])
def test_examples_and_notebooks_use_public_names_only(example):
    script = (ROOT / "examples" / example / "main.py").read_text("utf-8")
    assert names_from_inside(script) == []
    if example in NAMES:
        assert names_from_inside(python_of_notebook(read_notebook(example))) == []


@pytest.mark.parametrize("page", PAGES)
def test_pages_use_public_names_only(page):
    assert names_from_inside(python_module(PAGES[page])) == []


@pytest.mark.parametrize(
    ("code", "found"),
    {
        "import oss_vector_retriever.cli.main": "oss_vector_retriever.cli.main",
        "from oss_vector_retriever import cli": "oss_vector_retriever.cli",
        "from oss_vector_retriever.client import fetch": "oss_vector_retriever.client.fetch",
        "from oss_vector_retriever.records import np": "oss_vector_retriever.records.np",
        "import oss_vector_retriever.emulator as e\ne.clock": "oss_vector_retriever.emulator.clock",
        "import oss_vector_retriever as o\no.client": "oss_vector_retriever.client",
        "from oss_vector_retriever import *": "oss_vector_retriever.*",
        "client._context": "_context",
    }.items(),
)
def test_a_name_from_inside_is_found(code, found):
    assert names_from_inside(code) == [found]


def test_the_doors_are_those_that_the_page_names():
    assert {f"oss_vector_retriever.{name}" for name in ("langchain", "emulator.faults")} < (
        public_doors()
    )


REQUIREMENTS = {
    "quick_start": "langchain,llama-index,emulator",
    "operating": "langchain,llama-index,emulator,cli",
}


@pytest.mark.parametrize("example", NAMES)
def test_requirements_name_packages_alone(example):
    lines = (ROOT / "examples" / example / "requirements.txt").read_text("utf-8").splitlines()
    framework = "llama-index" if "llama" in NAMES[example] else "langchain"
    extras = REQUIREMENTS.get(example, f"{framework},emulator")
    assert lines[0] == f"oss-vector-retriever[{extras}]"
    assert all(re.match(r"[a-z][a-z0-9-]*(\[[a-z,-]+\])?([<>=].*)?$", line) for line in lines)
    first = "".join(read_notebook(example)["cells"][0]["source"])
    assert f"pip install '{lines[0]}'" in first


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
