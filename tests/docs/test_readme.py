"""Every block of the README runs: Python as it stands, commands against a service of their own.

`make` targets run dry here (CI runs them for real, in a clone), and `pip install` is resolved
against this checkout, since a test must not reach for the network.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.promises import PROMISES

from oss_vector_retriever import OSSVectorClient, emulator

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text())
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line.removeprefix("$ ")
    for language, code in BLOCKS
    if language == "console"
    for line in code.splitlines()
]
KEY = emulator.AccessKey("readme-id", "readme-secret", "123456")


@pytest.fixture
def service_of_the_readme(monkeypatch, tmp_path):
    """Serve the bucket and index that the README's examples name, found by the environment."""
    with (
        emulator.Service.in_memory(access_keys=[KEY]) as service,
        emulator.Server(service) as server,
    ):
        service.create_bucket("123456", "examplebucket")
        settings = {
            "OSS_ENDPOINT": server.endpoint,
            "OSS_ACCESS_KEY_ID": KEY.id,
            "OSS_ACCESS_KEY_SECRET": KEY.secret,
            "OSS_REGION": "cn-hangzhou",
            "OSS_ACCOUNT_ID": "123456",
            "OSS_VECTORS_BUCKET": "examplebucket",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        with OSSVectorClient() as client:
            for index in ("vectorindex1", "pythontopics"):
                client.put_vector_index(index=index, dimension=2)
            client.put_vectors(
                [{"key": "doc-001", "data": [0.1, 0.2], "metadata": {"title": "Introduction"}}],
                index="vectorindex1",
            )
            client.put_vectors([{"key": "with", "data": [1, 2]}], index="pythontopics")
        yield


def test_the_readme_has_the_blocks_that_this_test_knows():
    assert {language for language, _ in BLOCKS} == {"python", "console"}
    assert len(PYTHON) >= 8
    assert len(COMMANDS) >= 7


@pytest.mark.usefixtures("service_of_the_readme")
def test_python_blocks_run_one_after_the_other(capsys):
    namespace = {"__name__": "__readme__"}
    for code in PYTHON:
        exec(compile(code, "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "Vector('doc-002'" in printed
    assert "doc-001 Float32Array([0.1, 0.2])" in printed
    assert "'gone')" in printed
    assert "NoSuchVectorIndex" in printed


def test_the_example_of_the_known_differences_runs(capsys):
    page = (ROOT / "docs" / "known-differences.md").read_text(encoding="utf-8")
    ((language, code),) = BLOCK.findall(page)
    assert language == "python"
    exec(compile(code, "known-differences.md", "exec"), {})
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def run(command, **options):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=environment,
        **options,
    )


@pytest.mark.usefixtures("service_of_the_readme")
def test_commands_run_one_after_the_other():
    for command in COMMANDS:
        done = carried_out(shlex.split(command))
        assert done.returncode == 0, (command, done.stderr)


def carried_out(words):
    if words[0] == "make":
        return run(["make", "--dry-run", *words[1:]], cwd=ROOT)
    if words[0] == "pip":
        return resolved(words[-1].replace("oss-vector-retriever", str(ROOT)))
    if words[0] == "python":
        return run([sys.executable, *words[1:]], cwd=ROOT)
    if words[1] == "serve":
        return serve_for_a_moment([*words, "--port", "0"])
    return run(words)


def resolved(requirement):
    options = ["--dry-run", "--no-deps", "--no-build-isolation", "--quiet"]
    done = run([sys.executable, "-m", "pip", "install", *options, requirement])
    assert "does not provide the extra" not in done.stderr
    return done


def serve_for_a_moment(words):
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / words[0]), *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert "OSS Vectors, embedded, on http://127.0.0.1:" in first
    return subprocess.CompletedProcess(words, process.returncode, first + output, errors)


def test_the_table_of_promises_is_that_of_make_trust():
    text = (ROOT / "README.md").read_text()
    section = text.partition("## What you can rely on")[2].partition("\n## ")[0]
    told = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]
    assert told[1:] == list(PROMISES.values())
