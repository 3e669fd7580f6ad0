"""Type checkers, run once over all that users read and write: pages, examples and mistakes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.pages import python_module, read_pages

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Problem:
    """What a checker says against one line of a file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.text}"


@pytest.fixture(scope="session")
def user_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files to check into one folder, each under a module name of its own."""
    folder = tmp_path_factory.mktemp("typing")
    for page, text in read_pages().items():
        if module := python_module(text):
            name = "page_" + re.sub(r"\W+", "_", page.removesuffix(".md").lower())
            (folder / f"{name}.py").write_text(module, "utf-8")
    for example in ROOT.glob("examples/*/main.py"):
        shutil.copy(example, folder / f"example_{example.parent.name}.py")
    for name in ("api.py", "mistakes.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    return folder


@pytest.fixture(scope="session")
def mypy_problems(user_files: Path) -> list[Problem]:
    """Run mypy --strict as a user has it: no configuration, no plugin."""
    cache = ROOT / ".mypy_cache" / "as_a_user"
    command = ["mypy", "--strict", "--config-file=", "--output=json", f"--cache-dir={cache}"]
    output = run([*command, *sorted(map(str, user_files.glob("*.py")))])
    found = [json.loads(line) for line in output.splitlines()]
    # By name: what comes from the cache still has the folder of the run that made it.
    names = {path.name for path in user_files.glob("*.py")}
    return [
        Problem(Path(one["file"]).name, one["line"], f"{one['message']} [{one['code']}]")
        for one in found
        if one["severity"] == "error" and Path(one["file"]).name in names
    ]


@pytest.fixture(scope="session")
def pyright_problems(user_files: Path) -> list[Problem]:
    """Run pyright's standard checks, with the settings of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    settings = {
        **project["tool"]["basedpyright"],
        "include": [str(user_files)],
        "extraPaths": [str(ROOT)],
    }
    configuration = user_files / "pyrightconfig.json"
    configuration.write_text(json.dumps(settings), "utf-8")
    command = ["basedpyright", "--outputjson", f"--project={configuration}"]
    report = json.loads(run([*command, f"--pythonpath={sys.executable}"]))
    assert report["summary"]["filesAnalyzed"] == len(list(user_files.glob("*.py")))
    return [
        Problem(
            Path(one["file"]).name,
            one["range"]["start"]["line"] + 1,
            f"{one['message'].splitlines()[0]} [{one.get('rule', 'syntax')}]",
        )
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def run(command: list[str]) -> str:
    """Run a checker of this environment; 1 means that it found something."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=500,
    )
    assert done.returncode in {0, 1}, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(params=["mypy", "pyright"])
def problems(request: pytest.FixtureRequest) -> list[Problem]:
    """Give what one of the checkers said."""
    found: list[Problem] = request.getfixturevalue(f"{request.param}_problems")
    return found
