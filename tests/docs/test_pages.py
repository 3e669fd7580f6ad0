"""Every block of README and of the pages in docs/ runs, and every link in them leads somewhere.

Python runs as it stands, from the top of a page to its end, and commands run against a service of
their own. `make` targets run dry here (CI runs them for real, in a clone), and `pip install` is
resolved against this checkout, since a test must not reach for the network. What belongs to
another library is marked `before`: it is compiled and not run.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from support.command_line import call
from support.pages import BLOCK, ROOT, blocks, read_pages
from support.promises import PROMISES, sized

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.commands.mcp import command as mcp_command

PAGES = read_pages()
LINK = re.compile(r"(?<!`)\[[^\]\n]+\]\(([^)\s]+)\)")
READERS = {"json": json.loads, "toml": tomllib.loads, "text": str}
KEY = emulator.AccessKey("readme-id", "readme-secret", "123456")


def commands(page):
    lines = "".join(blocks(PAGES[page], "console")).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.fixture
def service_of_the_pages(monkeypatch, tmp_path):
    """Serve the bucket and index that the pages name, found by the environment."""
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
            "OSS_VECTORS_INDEX": "vectorindex1",
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


@pytest.mark.usefixtures("service_of_the_pages")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(PAGES[page], "python")])
def test_python_blocks_run_one_after_the_other(page):
    namespace = {"__name__": "__page__"}
    for code in blocks(PAGES[page], "python"):
        exec(compile(code, page, "exec"), namespace)


@pytest.mark.usefixtures("service_of_the_pages")
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_commands_run_one_after_the_other(page):
    for command in commands(page):
        done = carried_out(shlex.split(command), alone=sized(page == "README.md", True))
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.parametrize("page", PAGES)
def test_other_blocks_are_what_they_are_marked_as(page):
    for code in blocks(PAGES[page], "python", before=True):
        compile(code, page, "exec")
    for language, _, code in BLOCK.findall(PAGES[page]):
        if language not in {"python", "console"}:
            READERS[language](code)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings_that_are_there(page):
    for link in LINK.findall(PAGES[page]):
        if re.match(r"https?://", link):
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists() or is_generated(target), (page, link)
        if heading:
            assert heading in headings(target.read_text(encoding="utf-8")), (page, link)


# Made by docs/generate.py when the pages are built.
GENERATED = {"index.md", "how-one-key-travels.md", "reference/"}


def pages_in_navigation(nav):
    """Yield the paths that a part of the navigation names, however deep."""
    match nav:
        case str():
            yield nav
        case dict():
            yield from pages_in_navigation([*nav.values()])
        case list():
            for part in nav:
                yield from pages_in_navigation(part)


def test_every_page_stands_in_the_navigation_once_and_no_other():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = sorted(pages_in_navigation(site["nav"]))
    there = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert named == sorted(there | GENERATED)


def is_generated(target):
    return target.parent.name == "reference" or target.name == "how-one-key-travels.md"


def headings(text):
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = re.findall(r'<a id="([^"]+)">', text)
    return {
        *anchors,
        *(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles),
    }


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


def carried_out(words, *, alone):
    if words[0] == "oss-vectors":
        return carried_out_by_us(words, alone=alone)
    if words[0] == "make":
        return run(["make", "--dry-run", *words[1:]], cwd=ROOT)
    if words[0] == "pip":
        return resolved(words[1:])
    if words[0] == "python":
        return run([sys.executable, *words[1:]], cwd=ROOT)
    return run(words)


def carried_out_by_us(words, *, alone):
    """Carry out one of our commands: alone in a process, or in this one, which is quicker."""
    if words[1:2] in (["serve"], ["studio"]):
        return serve_for_a_moment([*words, "--port", "0"])
    if words[1:2] == ["mcp"]:
        return serve_agents_for_a_moment(words)
    if alone:
        return run(words)
    done = call(*words[1:])
    return subprocess.CompletedProcess(words, done.status, done.output, done.errors)


def resolved(words):
    assert words[0] == "install"
    if words[1] == "--group":
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
        return subprocess.CompletedProcess(words, int(words[2] not in groups), "", "no such group")
    options = ["--dry-run", "--no-deps", "--no-build-isolation", "--quiet"]
    requirement = words[-1].replace("oss-vector-retriever", str(ROOT))
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
    assert first.startswith(("# OSS Vectors, embedded, on http://127", "# The page is at"))
    return subprocess.CompletedProcess(words, process.returncode, first + output, errors)


def serve_agents_for_a_moment(words):
    if not sized(False, True):
        # its flags are looked at all the same; tests/process/mcp begin such processes
        with mcp_command.make_context("mcp", words[2:]):
            return subprocess.CompletedProcess(words, 0, "", "")
    if "http" not in words:
        return run(words, stdin=subprocess.DEVNULL)  # a client that leaves at once
    command = [str(Path(sys.executable).parent / words[0]), *words[1:], "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = ""
    while "listening on" not in said:
        said += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    status = 0 if process.returncode == 130 else 1
    return subprocess.CompletedProcess(words, status, "", said + errors)


def test_the_tutorial_goes_from_nothing_to_both_answers_in_at_most_five_steps():
    walk, _, rest = PAGES["docs/tutorial.md"].partition("\n## 6. ")
    steps = [code for language, _, code in BLOCK.findall(walk) if language in {"console", "python"}]
    assert len(steps) <= 5
    # one step is one command; what the blocks assert of the answers holds, or they would not run
    assert [step.count("$ ") for step in steps] == [1, *(0 for _ in steps[1:])]
    assert steps[0].startswith("$ pip install ")
    assert 'assert answer.content == "At 80 degrees."' in steps[-2]
    assert 'assert "80 degrees" in str(response)' in steps[-1]
    assert rest


def test_the_table_of_promises_is_that_of_make_trust():
    lines = PAGES["docs/promises.md"].partition("\n## ")[0].splitlines()
    told = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert told[1:] == list(PROMISES.values())
