"""An index in a file, as the command serves it, and what it is not to see of the environment."""

import pytest
from support.command_fixtures import no_settings, socket_that_never_answers  # noqa: F401 - fixtures

from oss_vector_retriever import OSSVectorClient


@pytest.fixture
def guide(tmp_path):
    """Give the flags that lead to a file with some documents."""
    path = tmp_path / "guide.db"
    with OSSVectorClient.local(path, index="guide") as client:
        client.put_vector_index(dimension=2, distance_metric="cosine")
        client.upsert(
            {"key": key, "data": data, "metadata": {"text": f"Go {key}.", "title": key.title()}}
            for key, data in {"north": [1, 0], "east": [0, 1], "north-east": [1, 1]}.items()
        )
    return ("--local", str(path), "--index-name", "guide")
