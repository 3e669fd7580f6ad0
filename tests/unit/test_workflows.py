"""GitHub's workflows run what a developer runs, and nothing that is not there."""

import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def commands(workflow):
    return [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]


def test_the_whole_of_ci_is_the_script_of_this_repository():
    assert ".ci/run" in commands(WORKFLOWS["ci"])
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_targets_and_folders_that_a_workflow_names_are_there(name):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in commands(WORKFLOWS[name]):
        for target in re.findall(r"make (\w+)", command):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    folders = re.findall(
        r"package-dir: ([\w/-]+)", (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    )
    assert all((ROOT / folder / "pyproject.toml").exists() for folder in folders)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
