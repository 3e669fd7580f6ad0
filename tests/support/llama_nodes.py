"""Nodes, queries and filters for tests of stores."""

from __future__ import annotations

import math

from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)


def text_node(key, embedding=(1.0, 0.0, 0.0, 0.0), *, of=None, **metadata):
    source = {} if of is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=of)}
    return TextNode(
        id_=key,
        text=f"text of {key}",
        embedding=list(embedding),
        metadata=metadata,
        relationships=source,
    )


def around(angle):
    """Return a unit vector at an angle, in steps of a hundredth, from the first axis."""
    return (math.cos(angle / 100), math.sin(angle / 100), 0.0, 0.0)


def query(embedding=(1.0, 0.0, 0.0, 0.0), k=10, **options):
    return VectorStoreQuery(query_embedding=list(embedding), similarity_top_k=k, **options)


def where(key, operator, value=None):
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def filters(*parts, condition="and"):
    return MetadataFilters(filters=list(parts), condition=condition)


def ids(nodes):
    return [node.node_id for node in nodes]


def every_class():
    """Return a node of each of core's classes."""
    common = {"embedding": [1.0, 0.5, 0.0, 0.0], "metadata": {"page": 7, "none": None}}
    return [
        TextNode(id_="text", text="a", **common),
        ImageNode(id_="image", text="b", image_url="http://x.test/a.png", **common),
        IndexNode(id_="index", text="c", index_id="i", **common),
        Node(id_="node", text_resource=MediaResource(text="d"), **common),
        Document(id_="document", text="e", **common),
    ]
