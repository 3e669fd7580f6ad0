"""What pyproject.toml allows is what the oldest environment installs, and the newest ones do."""

import itertools
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
APART = {
    "oss-vector-retriever",  # extras of extras
    "oss-vector-scan",  # built from this repository
    "ray",  # runs in an environment of its own (make ray)
}


def requirements():
    lines = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
    found = [Requirement(line) for line in lines]
    return {str(one): one for one in found if one.name not in APART}.values()


def oldest():
    lines = (ROOT / "tests" / "oldest.txt").read_text("utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one.specifier for one in found}


def floor(specifier):
    return Version(next(one.version for one in specifier if one.operator == ">="))


def next_patch(version):
    major, minor, micro = (*version.release, 0, 0)[:3]
    return Version(f"{major}.{minor}.{micro + 10}")


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_floor_is_what_the_oldest_environment_installs(requirement):
    pinned = oldest()[requirement.name]
    assert floor(pinned) == floor(requirement.specifier)
    assert next_patch(floor(pinned)) not in pinned, "nothing newer than the floor's first releases"


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_what_is_at_home_in_semantic_versions_has_an_end(requirement):
    """A next major version may break what is imported; a bound says which were tried."""
    bounded = any(one.operator == "<" for one in requirement.specifier)
    assert bounded or requirement.name in {"numpy", "orjson", "pyarrow", "pytest", "rich"}
