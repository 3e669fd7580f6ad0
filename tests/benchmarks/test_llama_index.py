"""Building nodes from fetched records, against a bare `TextNode(...)` of the same content.

    make bench

Each side is run in turns; the figure is the ratio of the medians. A record is what the client gives
for a key: reading its envelope is part of the building.
"""

import statistics
import time

import numpy as np
import pytest
from llama_index.core.schema import NodeRelationship, ObjectType, RelatedNodeInfo, TextNode

from oss_vector_retriever import Vector
from oss_vector_retriever.llama_index.nodes import node_fields, node_from
from oss_vector_retriever.records import decode, encode

NODES = 1000
ROUNDS = 30
DIMENSION = 1536
MOST = 3.0
TEXT = "word " * 200
METADATA = {"title": "A title", "page": 7, "tags": ["a", "b"]}
EMBEDDING = np.random.default_rng(7).standard_normal(DIMENSION, dtype=np.float32).tolist()
CHAIN = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="document", node_type=ObjectType.DOCUMENT, metadata=METADATA, hash="0" * 64
    ),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(
        node_id="before", node_type=ObjectType.TEXT, hash="1" * 64
    ),
    NodeRelationship.NEXT: RelatedNodeInfo(
        node_id="after", node_type=ObjectType.TEXT, hash="2" * 64
    ),
}

pytestmark = pytest.mark.benchmark


def microseconds(build):
    started = time.perf_counter()
    for _ in range(NODES):
        build()
    return (time.perf_counter() - started) / NODES * 1e6


@pytest.mark.parametrize("relationships", [{}, CHAIN], ids=["alone", "related"])
@pytest.mark.parametrize("embedding", [None, EMBEDDING], ids=["bare", "embedded"])
def test_a_node_from_a_record_against_a_bare_text_node(embedding, relationships):
    node = TextNode(id_="n", text=TEXT, metadata=METADATA, relationships=relationships)
    text, metadata, payload = node_fields(node)
    stored = encode("n", EMBEDDING, text=text, metadata=metadata, node=payload).metadata
    vector = Vector("n", embedding, stored)
    fields = {"id_": "n", "text": TEXT, "metadata": METADATA}
    if embedding:
        fields["embedding"] = embedding
    related = {"relationships": payload["relationships"]} if relationships else {}

    def ours():
        return node_from(decode(vector))

    def bare():
        return TextNode(**fields, **related)

    rounds = [(microseconds(ours), microseconds(bare)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(one) for one in zip(*rounds, strict=True))
    what = f"{len(relationships)} relationships, {'with' if embedding else 'no'} embedding"
    print(f"\nnode from a record, {what}: {mine:.1f} us, bare TextNode {other:.1f} us, ", end="")
    print(f"ratio {mine / other:.2f}")
    assert ours().relationships == node.relationships
    assert mine / other <= MOST
