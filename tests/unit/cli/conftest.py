"""An index in a file, and the command line to work on it."""

import pytest
from support import command_line
from support.command_fixtures import no_settings, stored  # noqa: F401 - fixtures

from oss_vector_retriever import OSSVectorClient


class Index:
    """Name an index `x` in a file; each look opens and closes it."""

    def __init__(self, path):
        self.path = path
        self.flags = ("--local", str(path), "--index-name", "x")

    def opened(self):
        return OSSVectorClient.local(self.path, index="x")

    def fill(self, vectors, **options):
        with self.opened() as client:
            client.put_vector_index(dimension=len(vectors[0].data), **options)
            client.upsert(vectors)
        return self

    def contents(self):
        with self.opened() as client:
            found = client.iter_vectors(return_data=True, return_metadata=True)
            return command_line.as_sorted(found)


@pytest.fixture
def index(tmp_path):
    """Give an index in a file, not made yet."""
    return Index(tmp_path / "index.db")
