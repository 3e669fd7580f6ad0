"""The command line as a process: what it prints, how it ends, and what it loads."""

import json
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.command_line import COMMAND, call, run

from oss_vector_retriever.cli.catalogue import SECTIONS

NAMES = [entry.name for entries in SECTIONS.values() for entry in entries]
HEAVY = {"httpx", "httpx2", "numpy", "orjson", "pydantic", "pyarrow", "rich", "sqlite3", "uvicorn"}


def test_the_demo_shows_the_main_job_three_ways_on_real_data(tmp_path):
    path = tmp_path / "demo.db"
    done = run("demo", "--data", path)
    assert done.status == 0, done.errors
    for expected in (
        "Embedded OSS Vectors service on http://127.0.0.1:",
        "83 passages" if sys.version_info[:2] <= (3, 13) else "passages",
        "client.fetch(['with', 'lambda', 'no-such-topic', 'for'])",
        "missing (result.missing): 'no-such-topic'",
        "LangChain: OSSVectorRetriever",
        "missing (custom event oss_vectors_missing_keys): 'no-such-topic'",
        "LlamaIndex: OSSVectorRetriever",
        "missing (instrumentation MissingKeysEvent): 'no-such-topic'",
        "384 float32",
        "More like 'lambda', by its embedding",
    ):
        assert expected in done.output
    assert f"query-vectors --key lambda --as-document --output-format table --local {path}" in (
        done.output
    )
    # each next step is a line that can be pasted, and works as it stands
    shell, python = done.output.split("Next: ")[1].split("or in Python\n")
    for line in shell.splitlines()[1:]:
        assert call(*shlex.split(line)[1:]).status == 0, line
    namespace = {}
    exec(textwrap.dedent(python), namespace)
    namespace["client"].close()
    assert "joined again it is identical to the original" in " ".join(done.output.split())
    assert done.errors == ""
    assert run("demo", "--data", path).status == 0
    words = ("--local", path, "--index-name", "pythontopics", "--keys", "with,gone")
    assert call("get-vectors", *words).json == {"vectors": [{"key": "with"}], "missing": ["gone"]}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["get-vectors", "--keys", "a"], 2, "pass --bucket or set the environment variable OSS_"),
        (["get-vectors"], 2, "name the keys"),
        (["get-vectors", "--local", "x.db", "--region", "r", "--keys", "a"], 2, "--region"),
        (["get-vectors", "LOCAL", "--index-name", "no", "--keys", "a"], 1, "NoSuchVectorIndex"),
        (["get-vectors", "LOCAL", "--index-name", "n-o", "--keys", "a"], 2, "index name"),
        (["get-bucket-policy", "LOCAL"], 1, "NoSuchBucketPolicy"),
        (["nonsense"], 2, "No such command"),
        (["import", "nofile.jsonl"], 2, "does not exist"),
        (["export", "LOCAL", "out.txt"], 2, "--format"),
        (["get-vectors", "--local", "/nowhere/x.db", "--keys", "a"], 2, "cannot be opened"),
    ],
)
def test_errors_go_to_stderr_with_a_useful_status(stored, words, status, said):
    done = call(*[part for word in words for part in (stored[:2] if word == "LOCAL" else [word])])
    assert done.status == status
    assert said in done.errors
    assert done.output == ""


def test_as_a_module_it_is_the_same_command():
    words = [sys.executable, "-m", "oss_vector_retriever"]
    done = subprocess.run([*words, "get-vector"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: oss-vectors ")
    assert "did you mean get-vectors" in done.stderr


def test_an_error_is_a_sentence_and_no_traceback(stored):
    done = run("get-vectors", *stored[:2], "--index-name", "no", "--keys", "a")
    assert done.status == 1
    assert done.errors.startswith("oss-vectors: GetVectors")
    assert done.errors.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["nonsense"], 2),
        (["get-vectors"], 2),
        (["get-vectors", "--nonsense"], 2),
        (["put-bucket-policy", "--body", "no JSON"], 2),
        (["get-vectors", "--keys", "a", "--region", "no region"], 2),
        (["get-vectors", "LOCAL", "--index-name", "no", "--keys", "a"], 1),
        (["export", "LOCAL", "--index-name", "notes", "OUT"], 0),  # its summary goes nowhere
        (["get-vectors", "LOCAL", "--index-name", "notes", "--keys", "a"], 0),
    ],
)
def test_a_full_error_stream_changes_no_status(stored, tmp_path, words, status):
    places = {"LOCAL": stored[:2], "OUT": [str(tmp_path / "out.jsonl")]}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [COMMAND, *[part for word in words for part in places.get(word, [word])]],
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=60,
            check=False,
        )
    assert done.returncode == status
    assert (tmp_path / "out.jsonl").exists() == ("OUT" in words)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["get-vectors", "--help"]])
def test_a_full_output_is_a_sentence(words):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [COMMAND, *words], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"oss-vectors: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device without an end")
@pytest.mark.parametrize(
    "words",
    [
        ["put-bucket-policy", "--body", "file:///dev/zero"],
        ["get-vectors", "--keys", "file:///dev/zero"],
        ["put-vectors", "--vectors", "-"],
    ],
)
def test_a_value_without_an_end_is_refused_and_does_not_fill_the_memory(stored, words):
    resource = pytest.importorskip("resource")

    def bound():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [COMMAND, *words, *stored[:2]],
            stdin=endless,
            capture_output=True,
            timeout=60,
            check=False,
            preexec_fn=bound,
        )
    assert done.returncode == 2, done.stderr
    assert b"has more than 134,217,728 characters" in done.stderr


def test_an_unreachable_service_is_named_and_no_secret_is():
    done = run(
        *("get-vectors", "--index-name", "i", "--keys", "a", "--endpoint", "http://127.0.0.1:9"),
        *("--bucket", "bucket", "--account-id", "1", "--region", "cn-hangzhou", "--timeout", "1"),
        OSS_ACCESS_KEY_ID="canary-id",
        OSS_ACCESS_KEY_SECRET="canary-secret",
    )
    assert done.status == 1
    assert "could not connect to http://127.0.0.1:9" in done.errors
    assert "canary" not in done.output + done.errors


def test_certificates_that_are_not_there_are_named():
    done = run(
        *("get-vectors", "--index-name", "i", "--keys", "a"),
        *("--bucket", "bucket", "--account-id", "1", "--region", "cn-hangzhou"),
        OSS_ACCESS_KEY_ID="id",
        OSS_ACCESS_KEY_SECRET="secret",
        SSL_CERT_FILE="/nowhere/ca.pem",
    )
    assert done.status == 2
    assert done.errors.startswith("oss-vectors: SSL_CERT_FILE '/nowhere/ca.pem' cannot be read")


def test_a_missing_extra_is_named(stored, tmp_path):
    (tmp_path / "jmespath.py").write_text("raise ModuleNotFoundError(name='jmespath')")
    done = run("list-vectors", *stored, "--output-query", "x", PYTHONPATH=str(tmp_path))
    assert done.status == 2
    assert 'this needs jmespath: pip install "oss-vector-retriever[cli]"' in done.errors


def loaded_by(*words):
    script = (
        "import sys\n"
        "from oss_vector_retriever.cli import main\n"
        f"sys.argv = ['oss-vectors', *{words!r}]\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout, {name.split(".")[0] for name in done.stderr.split()}


def test_help_loads_neither_client_nor_server():
    output, loaded = loaded_by("--help")
    assert all(name in output for name in NAMES)
    assert loaded & HEAVY == set()


def test_the_help_of_an_operation_loads_neither_client_nor_server():
    output, loaded = loaded_by("query-vectors", "--help")
    assert "--query-vector" in output
    assert loaded & HEAVY == set()


def test_json_output_needs_no_rich(stored):
    output, loaded = loaded_by("get-vectors", *stored, "--keys", "c")
    assert json.loads(output)["vectors"] == [{"key": "c"}]
    assert "rich" not in loaded


@pytest.mark.parametrize("name", NAMES)
def test_each_command_explains_itself(name):
    done = call(name, "--help")
    assert done.status == 0
    assert done.output.startswith(f"Usage: commands {name}")


def test_nobody_reading_any_more_is_no_error(stored, tmp_path):
    lines = tmp_path / "many.jsonl"
    lines.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(3000)))
    assert subprocess.run([COMMAND, "import", lines, *stored], check=False).returncode == 0
    for words in (
        ["list-vectors", *stored, "--all", "--output-format", "jsonl", "--return-data"],
        ["export", "-", *stored],
    ):
        with subprocess.Popen(
            [COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline().startswith('{"key"')
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 141


def settings_of(server):
    words = ["--bucket", "bucket", "--account-id", "1", "--region", "cn-hangzhou"]
    return [*words, "--endpoint", server.endpoint, "--index-name", "i"]


def test_ctrl_c_is_clean(socket_that_never_answers):
    keys = ",".join(map(str, range(300)))
    with subprocess.Popen(
        [COMMAND, "get-vectors", "--keys", keys, *settings_of(socket_that_never_answers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"OSS_ACCESS_KEY_ID": "a", "OSS_ACCESS_KEY_SECRET": "b"},
    ) as process:
        socket_that_never_answers.wait_for_somebody()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=5)  # not the 30 seconds of the call
    assert (process.returncode, output, errors) == (130, "", "")


INTERRUPTED = """
import signal, sys
from oss_vector_retriever.cli.main import main

class Ending:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def interrupt(event, _):
    if event == "socket.connect":
        Ending()

sys.addaudithook(interrupt)
main()
"""


def test_ctrl_c_that_is_lost_before_a_request_ends_the_command(socket_that_never_answers):
    words = ["get-vectors", "--keys", "a", *settings_of(socket_that_never_answers)]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"OSS_ACCESS_KEY_ID": "a", "OSS_ACCESS_KEY_SECRET": "b"},
    ) as process:
        socket_that_never_answers.wait_for_somebody()
        output, errors = process.communicate(timeout=5)
    assert (process.returncode, output, errors) == (130, "", "")
