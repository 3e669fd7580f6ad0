"""The command line, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oss_vector_retriever import OSSVectorClient

COMMAND = str(Path(sys.executable).parent / "oss-vectors")


def run(*words, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OSS_")}
    return subprocess.run(
        [COMMAND, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**clean, "COLUMNS": "100", **environment},
    )


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "vectors.db"
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2)
        client.put_vectors(
            [
                {"key": "a,b", "data": [1, 2], "metadata": {"title": "[red]markup[/red]"}},
                {"key": "c", "data": [3, 4]},
            ]
        )
    return str(path)


def test_the_demo_shows_the_main_job_three_ways_on_real_data():
    done = run("demo")
    assert done.returncode == 0, done.stderr
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
        assert expected in done.stdout
    flat = " ".join(done.stdout.split())
    assert "joined again it is identical to the original" in flat
    assert done.stderr == ""


def test_the_demo_can_keep_its_data(tmp_path):
    path = str(tmp_path / "demo.db")
    assert run("demo", "--data", path).returncode == 0
    again = run("demo", "--data", path)
    assert again.returncode == 0, again.stderr
    found = run(
        "get-vectors", "--local", path, "--index-name", "pythontopics", "--keys", "with,gone"
    )
    assert json.loads(found.stdout) == {"vectors": [{"key": "with"}], "missing": ["gone"]}


def test_get_vectors_prints_what_the_api_would(stored):
    done = run(
        "get-vectors",
        *("--local", stored, "--index-name", "notes", "--keys", "c,gone", "--key", "a,b"),
        *("--return-data", "--return-metadata"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "vectors": [
            {"key": "c", "data": {"float32": [3.0, 4.0]}, "metadata": {}},
            {
                "key": "a,b",
                "data": {"float32": [1.0, 2.0]},
                "metadata": {"title": "[red]markup[/red]"},
            },
        ],
        "missing": ["gone"],
    }


def test_get_vectors_prints_a_table_in_which_nothing_is_markup(stored):
    done = run(
        "get-vectors",
        *("--local", stored, "--index-name", "notes", "--key", "a,b", "--keys", "gone"),
        *("--return-metadata", "--output-format", "table"),
    )
    assert "title: [red]markup[/red]" in done.stdout
    assert "1 of 2 keys found, in 1 calls" in done.stdout
    assert "missing: gone" in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["get-vectors", "--keys", "a"], 2, "OSS_VECTORS_BUCKET"),
        (["get-vectors"], 2, "name the keys"),
        (["get-vectors", "--local", "x.db", "--bucket", "b", "--keys", "a"], 2, "--bucket"),
        (
            ["get-vectors", "--local", "FILE", "--index-name", "no", "--keys", "a"],
            1,
            "NoSuchVector",
        ),
        (["get-vectors", "--local", "FILE", "--index-name", "n-o", "--keys", "a"], 2, "index name"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_errors_go_to_stderr_with_a_useful_status(words, status, said, stored):
    done = run(*[stored if word == "FILE" else word for word in words])
    assert done.returncode == status
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_an_unreachable_service_is_named_and_no_secret_is():
    done = run(
        *("get-vectors", "--index-name", "i", "--keys", "a", "--endpoint", "http://127.0.0.1:9"),
        *("--bucket", "bucket", "--account-id", "1", "--region", "cn-hangzhou"),
        OSS_ACCESS_KEY_ID="canary-id",
        OSS_ACCESS_KEY_SECRET="canary-secret",
    )
    assert done.returncode == 1
    assert "could not connect to http://127.0.0.1:9" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_serve_tells_clients_what_they_need_and_ends_cleanly(tmp_path):
    with subprocess.Popen(
        [COMMAND, "serve", "--port", "0", "--data", str(tmp_path / "served.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = [process.stdout.readline() for _ in range(7)]
        settings = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[1:])
        found = run("get-vectors", "--index-name", "none", "--keys", "a", **settings)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert "NoSuchVectorIndex" in found.stderr
    assert process.returncode == 0
    assert errors == ""


def test_help_loads_neither_client_nor_server():
    script = (
        "import sys\n"
        "from oss_vector_retriever.cli import main\n"
        "sys.argv = ['oss-vectors', '--help']\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "loaded = {'httpx', 'httpx2', 'numpy', 'uvicorn', 'rich', 'pydantic'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "get-vectors" in done.stdout
