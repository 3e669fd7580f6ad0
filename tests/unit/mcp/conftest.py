"""An index of some documents, and servers over it that a client in this process talks to."""

import pytest

from oss_vector_retriever import OSSVectorClient

DOCUMENTS = {
    "guide/north": ([1.0, 0, 0, 0], "Go north.", {"title": "North", "page": "https://e.org/n"}),
    "guide/east": ([0, 1.0, 0, 0], "Go east.", {"title": "East", "page": "https://e.org/e"}),
    "guide/north-east": ([0.7, 0.7, 0, 0], "Go both ways.", {"title": "Both", "year": 2024}),
    "secret/plan": ([1.0, 0.1, 0, 0], "The plan.", {"title": "Plan", "year": 2025}),
}


@pytest.fixture
def client():
    with OSSVectorClient.local(index="guide") as client:
        client.put_vector_index(
            dimension=4, distance_metric="cosine", non_filterable_metadata_keys=["text"]
        )
        client.put_vectors(
            [
                {"key": key, "data": data, "metadata": {"text": text, **metadata}}
                for key, (data, text, metadata) in DOCUMENTS.items()
            ]
        )
        yield client
