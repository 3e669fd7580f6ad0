"""How many files and functions one key crosses on its way; `make house PATHS=1` shows the way."""

import pytest
from support.walks import measure_walks

MOST_FILES = 20
MOST_FUNCTIONS = 110
MOST_FILES_WITH_A_FRAMEWORK = 28


@pytest.fixture(scope="module")
def walks():
    return measure_walks()


def shown(walk):
    """Return the walk as one text, so that a failure shows the way."""
    counts = f"{len(walk.files)} files, {len(walk.functions)} functions"
    return "\n".join([counts, *walk.lines()])


def test_a_fetch_by_key_crosses_few_files_and_functions(walks):
    walk = walks['client.fetch(["a"])']
    assert len(walk.files) <= MOST_FILES, shown(walk)
    assert len(walk.functions) <= MOST_FUNCTIONS, shown(walk)


@pytest.mark.parametrize(
    "title", ['OSSVectorDocumentStore.get_nodes(["a"])', 'OSSVectorStore.get_by_ids(["a"])']
)
def test_a_frameworks_getter_crosses_few_files(title, walks):
    assert len(walks[title].files) <= MOST_FILES_WITH_A_FRAMEWORK, shown(walks[title])


def test_the_walk_is_of_the_package_and_ends_where_it_began(walks):
    for walk in walks.values():
        assert walk.steps[0].depth == 0
        assert all(step.depth >= 0 for step in walk.steps)
        assert not any(step.file.startswith("emulator/") for step in walk.steps)
