"""What the page offers to copy is run as it stands, over HTTP and of a file."""

import contextlib
import io
import json
import re
import shlex
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest
from support.command_line import call
from support.promises import sized
from support.studio_page import OWN, ROOT, opened

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.records import encode

pytestmark = pytest.mark.usefixtures("access_keys")

TITLES = ["Python", "LangChain", "LlamaIndex", "Command line"]
ODD_KEYS = [
    "it's",
    'a "b"',
    "a,b",
    "-x",
    "日本",
    "[draft]",
    "$(exit 1)",
    "a\\nb",
    "two\nlines",
    "\x01",
]


class Codes(HTMLParser):
    """The code of each tab."""

    def __init__(self, text):
        super().__init__()
        self.codes = {}
        self._into = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        name = dict(attributes).get("id") or ""
        if tag == "code" and name.startswith("code-text-"):
            self._into = TITLES[int(name.rpartition("-")[2]) - 1]
            self.codes[self._into] = ""

    def handle_endtag(self, tag):
        self._into = None if tag == "code" else self._into

    def handle_data(self, data):
        if self._into:
            self.codes[self._into] += data


def run_code(title, code):
    """Run what was copied, and return what it prints."""
    if title != "Command line":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, title, "exec"), {})
        return printed.getvalue()
    (line,) = [line for line in code.splitlines() if not line.startswith("#")]
    program, *words = shlex.split(line)
    assert program == "oss-vectors"
    done = call(*words)
    assert done.status == 0, done.errors
    return done.output


@pytest.fixture(scope="module")
def filled(served):
    endpoint, client = served
    notes = client.with_options(index="notes")
    notes.put_vector_index(dimension=2, non_filterable_metadata_keys=["_record", "_record_text"])
    notes.upsert(
        encode(f"k{n}", [1, n / 100], text=f"text {n}", metadata={"odd": n % 2 == 1},
               filterable=None, scalars="native")
        for n in range(6)
    )  # fmt: skip
    notes.upsert(encode(key, [9, 1], text=f"of {key}") for key in ODD_KEYS)
    return endpoint


def codes_of(endpoint, path):
    with httpx.Client(base_url=endpoint, headers=OWN) as http:
        codes = Codes(http.get(f"{ROOT}/b/development-bucket/notes{path}").text).codes
    assert list(codes) == TITLES
    for code in codes.values():
        assert "development-access-key" not in code
    return codes


def words_of(output):
    return set(re.findall(r"\bk\d\b", output))


@pytest.mark.parametrize("title", TITLES)
def test_keys_that_are_looked_up_are_fetched(filled, title):
    output = run_code(title, codes_of(filled, "/keys?keys=k1%0Agone%0Ak3")[title])
    assert words_of(output) == {"k1", "k3"}
    assert "text 3" in output or title == "Python"


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("narrow", [None, {"odd": {"$eq": True}}])
def test_neighbours_are_found(filled, title, narrow):
    path = f"/near?key=k0&k=2&filter={quote(json.dumps(narrow) if narrow else '')}"
    output = run_code(title, codes_of(filled, path)[title])
    assert words_of(output) == ({"k1", "k3"} if narrow else {"k1", "k2"})


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("narrow", [None, {"odd": {"$eq": True}}])
def test_an_index_is_listed(filled, title, narrow):
    path = f"?filter={quote(json.dumps(narrow) if narrow else '')}"
    output = run_code(title, codes_of(filled, path)[title])
    assert words_of(output) == {f"k{n}" for n in range(6) if not narrow or n % 2}


@pytest.mark.parametrize("title", TITLES)
def test_no_key_breaks_out_of_the_code(filled, title):
    codes = codes_of(filled, f"/keys?keys={quote(json.dumps(ODD_KEYS))}")
    assert all(part.isprintable() for part in codes[title].split("\n"))
    output = run_code(title, codes[title])
    for key in ODD_KEYS:
        shown = json.dumps(key, ensure_ascii=False) if title == "Command line" else key
        assert shown in output
    for key in sized(ODD_KEYS[::3], ODD_KEYS):
        near = codes_of(filled, f"/near?k=1&key={quote(json.dumps([key]))}")[title]
        if not (title == "Command line" and not key.isprintable()):
            assert run_code(title, near)


async def test_of_a_file_the_code_names_it(tmp_path):
    path = str(tmp_path / "it's.db")
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2)
        client.upsert([{"key": f"k{n}", "data": [1, n], "metadata": {"text": "t"}} for n in (1, 2)])
        shown = client.to_async()
    http, _ = opened(shown)
    async with http:
        page = f"{ROOT}/b/development-bucket/notes"
        found = [Codes((await http.get(page + view)).text).codes for view in ("", "/keys?keys=k1")]
    await shown.close()
    for codes in found:
        for title, code in codes.items():
            assert "k1" in run_code(title, code)
