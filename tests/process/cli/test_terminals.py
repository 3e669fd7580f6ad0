"""What stands in records, file names and a service's words commands no terminal."""

import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading

import pytest
from support.command_line import COMMAND, call, run

from oss_vector_retriever import OSSVectorClient

pty = pytest.importorskip("pty")

# a title, a cleared screen, colours as ESC and as C1, a hyperlink, marks of direction, line ends
HOSTILE = (
    "x\x1b]0;PWNED\x07\x1b[2J\x1b[31;7m\x9b31m\x9d0;y\x9c\x7f\x08\x85\x0b\x0c\u061c\u200f\u202e"
    "\u2066\u2028\u2029\ufeff\r\x1b]8;;http://x.test\x1b\\"
)
FILE = HOSTILE.replace("/", "").replace("\r", "")
OBEYED = re.compile(
    r"[\x00-\x08\x0b\x0c\r\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
COLOURED = {"TERM": "xterm", "NO_COLOR": ""}
PLAIN = {"TERM": "dumb", "NO_COLOR": "1"}
# what rich draws its bar and its tables with
RICH = re.compile(r"\x1b\[(?:\?25[lh]|[0-9;]*m|[0-9]*[AK])")


# by the application's own `run`, one after another: a process for each would take a minute
RUNNER = """
import os, sys
from oss_vector_retriever.cli.application import run
for words in sys.argv[1].split("\\2"):
    run(words.split("\\1"))
    print("-- end", flush=True)
"""


def on_terminal(*commands, **environment):
    """Run commands with a terminal for all three streams; return what it was sent by each."""
    joined = b"\2".join(b"\1".join(map(as_bytes, words)) for words in commands)
    sent = sent_to_terminal(sys.executable, "-c", RUNNER, joined, **environment)
    *parts, rest = sent.split("-- end\n")
    assert len(parts) == len(commands), sent
    assert rest == ""
    return parts


def sent_to_terminal(*words, **environment):
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [*map(as_bytes, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **PLAIN, **environment},
    )
    os.close(theirs)
    sent = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the other side open any more
        while part := os.read(ours, 65536):
            sent += part
    os.close(ours)
    started.wait(60)
    # the terminal's own line discipline makes \r\n of \n
    return sent.decode().replace("\r\n", "\n")


def as_bytes(word):
    return word if isinstance(word, bytes) else os.fsencode(str(word))


def assert_harmless(sent):
    found = OBEYED.search(sent)
    assert found is None, f"{found[0]!r} in {sent[max(found.start() - 60, 0) : found.end() + 9]!r}"


@pytest.fixture
def hostile(tmp_path):
    """Give the flags that lead to an index whose keys and metadata are hostile."""
    path = tmp_path / "vectors.db"
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2)
        metadata = {"title": HOSTILE, HOSTILE: "name", "tags": [HOSTILE, HOSTILE]}
        client.put_vectors([{"key": HOSTILE, "data": [1, 2], "metadata": metadata}])
    return ("--local", str(path), "--index-name", "notes")


READING = {
    "get": ("get-vectors", "--key", HOSTILE, "--key", f"{HOSTILE}gone", "--return-metadata"),
    "list": ("list-vectors", "--return-metadata", "--return-data", "--max-results", "1"),
    "list all": ("list-vectors", "--return-metadata", "--all"),
    "query": ("query-vectors", "--query-vector", "[1,2]", "--return-metadata", "--return-distance"),
    "picked": ("list-vectors", "--return-metadata", "--output-query", "vectors[].metadata"),
    "doctor": ("doctor", "--key", f"{HOSTILE}gone"),
    "doctor, found": ("doctor",),
}


def test_no_output_format_commands_a_terminal(hostile):
    commands = [
        [*words, *hostile, "--output-format", style]
        for style in ("json", "jsonl", "table")
        for words in READING.values()
    ]
    for sent in on_terminal(*commands):
        assert_harmless(sent)
        assert "PWNED" in sent
    for sent in on_terminal(*commands, **COLOURED):
        assert_harmless(RICH.sub("", sent))
        assert "PWNED" in sent


@pytest.mark.parametrize("style", ["json", "jsonl"])
def test_json_holds_the_same_values_on_a_terminal_and_in_a_pipe(hostile, style):
    words = ("list-vectors", "--return-metadata", *hostile, "--output-format", style)
    sent, piped = sent_to_terminal(COMMAND, *words), run(*words).output
    assert json.loads(sent) == json.loads(piped)
    # a person reads the one, a program the other
    assert piped.count("\n") == 1
    assert sent.count("\n") == 1 if style == "jsonl" else sent.startswith('{\n  "vectors": [\n')
    found = json.loads(sent)
    [vector] = found["vectors"] if style == "json" else [found]
    assert vector["key"] == HOSTILE
    assert vector["metadata"]["title"] == HOSTILE
    assert vector["metadata"][HOSTILE] == "name"


def test_a_terminal_shows_the_beginning_of_data_unless_all_is_asked_for(tmp_path):
    path = tmp_path / "vectors.db"
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=300, distance_metric="euclidean")
        client.put_vectors([{"key": "a", "data": [0.5] * 300, "metadata": {"n": ["1"] * 9}}])
    words = ("list-vectors", "--return-data", "--return-metadata", "--local", path)
    words = (*words, "--index-name", "notes")
    shown, asked, invoked = on_terminal(
        words,
        [*words, "--output-format", "json"],
        ["invoke-operation", "--op-name", "X", "--method", "POST", "--parameters", "listVectors",
         "--body", '{"indexName": "notes", "returnData": true}', "--local", path],
    )  # fmt: skip
    assert '      "data": {\n        "float32": [0.5, 0.5, 0.5, ... 297 more]\n' in shown
    assert "data are shown in part; --output-format json shows them whole\n" in shown
    assert shown.count('"1"') == 9
    with pytest.raises(json.JSONDecodeError):
        json.loads(shown)  # a part that could be taken for a whole vector would be
    assert json.loads(asked) == call(*words).json
    assert "[0.5, 0.5, 0.5, ... 297 more]" in invoked


def test_ctrl_c_during_a_transfer_ends_the_bar_before_the_message(tmp_path):
    """The last thing on the screen is what to do, and not a bar that looks as if it went on."""
    sent = sent_to_terminal(sys.executable, "-c", INTERRUPTED, tmp_path, **COLOURED)
    *_, last = RICH.sub("", sent).rstrip("\n").split("\n")
    assert last.strip("\r") == "interrupted: 2 lines are imported; the same command goes on"
    bar, message = sent.index("import x.jsonl"), sent.index("interrupted:")
    assert bar < message
    assert "import x.jsonl" not in RICH.sub("", sent[message:])


INTERRUPTED = """
import time
from oss_vector_retriever.cli.transfer.job import Meter

meter = Meter("import x.jsonl", 100, in_bytes=True)
try:
    with meter.follow_job(lambda: "2 lines are imported; the same command goes on"):
        meter.advance(50)
        time.sleep(0.3)  # the bar is drawn meanwhile
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
"""


def test_a_bar_without_an_end_says_that_it_is_unknown():
    program = INTERRUPTED.replace("100", "None").replace("in_bytes=True", "shown=True")
    program = program.replace("advance(50)", "advance(20_000)")
    assert "20,000 of unknown" in RICH.sub("", sent_to_terminal(sys.executable, "-c", program))


def test_an_export_to_the_terminal_does_not_command_it(hostile):
    [sent] = on_terminal(["export", "-", *hostile])
    assert_harmless(sent)
    assert json.loads(sent.splitlines()[0])["metadata"]["title"] == HOSTILE


@pytest.mark.parametrize("look", [{}, COLOURED])
def test_file_names_and_bad_lines_do_not_command_it(tmp_path, look):
    index = ("--local", tmp_path / "x.db\udcff", "--index-name", "notes")
    source = tmp_path / f"{FILE}\udcff\udc9b.jsonl"
    lines = [
        json.dumps({"key": "a", "data": [1, 2], "metadata": {"t": HOSTILE}}),
        json.dumps({"key": HOSTILE, "data": [1, 2, 3]}),
        json.dumps({HOSTILE: HOSTILE}),
        HOSTILE,
    ]
    source.write_text("\n".join(lines), "utf-8")
    importing = ["import", source, *index, "--create-index"]
    done = on_terminal(
        importing,
        [*importing, "--on-error", "skip", "--restart"],
        [*importing, "--progress"],
        ["export", tmp_path / f"{FILE}\udcff.jsonl", *index],
        ["export", tmp_path / f"{FILE}\udcff.parquet", *index],
        ["export", tmp_path / f"{FILE}\udcff.npy", *index],
        ["import", tmp_path / f"{FILE}\udcff.npy", *index],
        ["import", tmp_path / f"{FILE}\udcff.parquet", *index],
        ["import", source, *index, "--format", "npy", "--lines", source],
        ["import", source, *index, "--format", "parquet"],
        **look,
    )
    for sent in done:
        assert "Traceback" not in sent
        assert_harmless(RICH.sub("", sent).replace("\r", "") if look else sent)
        assert "PWNED" in sent


REFUSED = [
    [HOSTILE],
    [f"--{HOSTILE}"],
    ["get-vectors", f"--{HOSTILE}", "x"],
    ["get-vectors", HOSTILE],
    ["list-vectors", "--output-format", HOSTILE],
    ["list-vectors", "--max-results", HOSTILE],
    ["list-vectors", "--output-query", HOSTILE],
    ["list-vectors", "--index-name", HOSTILE],
    ["list-vectors", "--endpoint", HOSTILE],
    ["list-vectors", "--region", HOSTILE],
    ["list-vectors", "--local", HOSTILE],
    ["list-vectors", "--filter", HOSTILE],
    ["list-vectors", "--filter", f"file://{HOSTILE}"],
    ["import", HOSTILE],
    ["export", HOSTILE],
    ["doctor", "--region", HOSTILE],
    ["put-vectors", "--vectors", json.dumps([{"key": HOSTILE, "data": [1]}])],
    [
        *("put-vectors", "--vectors"),
        json.dumps([{"key": HOSTILE, "data": [1, 2], "metadata": {HOSTILE: HOSTILE * 99}}]),
    ],
    ["serve", "--bucket", HOSTILE],
    ["serve", "--behaviour", HOSTILE],
]


def test_refusals_do_not_command_it(hostile):
    commands = [[*words, *(hostile if words[0] == "put-vectors" else ())] for words in REFUSED]
    for words, sent in zip(commands, on_terminal(*commands), strict=True):
        assert_harmless(sent)
        assert sent, words
        assert "Traceback" not in sent, words


class Hostile(http.server.BaseHTTPRequestHandler):
    """A service that refuses everything in hostile words."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"] or 0))
        body = json.dumps({"Error": {"Code": f"Code{HOSTILE}", "Message": HOSTILE}}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.do_POST()

    def log_message(self, *_):
        pass


def test_a_services_own_words_do_not_command_it():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = (
            *("--endpoint", f"http://127.0.0.1:{server.server_port}", "--bucket", "bkt"),
            *("--account-id", "1", "--region", "cn-hangzhou", "--index-name", "notes"),
        )
        done = on_terminal(
            ["list-vectors", *where],
            ["doctor", *where],
            ["doctor", *where, "--output-format", "json"],
            OSS_ACCESS_KEY_ID="id",
            OSS_ACCESS_KEY_SECRET="secret",
        )
        server.shutdown()
    for sent in done:
        assert_harmless(sent)
        assert "PWNED" in sent


def test_what_is_no_command_stays_as_it_is(tmp_path):
    path = tmp_path / "vectors.db"
    text = "Größe 漢字 \U0001f469\u200d\U0001f680 [red]x[/red]"
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2)
        client.put_vectors([{"key": text, "data": [1, 2]}])
    assert text in call("list-vectors", "--local", path, "--index-name", "notes").output
