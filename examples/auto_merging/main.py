# %% [markdown]
# # LlamaIndex: auto-merging with no second store
#
# Auto-merging searches small nodes; where most children of one parent were hit, the parent takes
# their place. LlamaIndex's own retriever reads parents one by one from a document store that must
# be kept beside the vectors. This one reads them from the vector index itself, one fetch a level.
#
#     pip install 'oss-vector-retriever[llama-index,emulator]'

# %%
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import NodeRelationship, QueryBundle, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.llama_index import (
    OSSVectorAutoMergingRetriever,
    OSSVectorDocumentStore,
    OSSVectorStore,
)

# %% [markdown]
# ## A tree
#
# The nodes are chapters of Python's language reference and the sections in them, with embeddings
# that a model made beforehand. A `HierarchicalNodeParser` makes such trees of your own documents;
# nodes written to the index keep their relationships.

# %%
CHAPTERS = {
    "compound/1": ["if", "while", "for", "try", "with"],
    "compound/2": ["function", "class", "async"],
    "specialnames/3": ["callable-types", "sequence-types", "numeric-types", "context-managers"],
    "execmodel": ["naming", "exceptions"],
}
passages = {passage.key: passage for passage in load_passages()}


def node(key: str, kind: str) -> TextNode:
    passage = passages[key]
    embedding = Float32Array.from_bytes(passage.data).tolist()
    return TextNode(id_=key, text=passage.text, metadata={"kind": kind}, embedding=embedding)


def related(names: list[str]) -> list[RelatedNodeInfo]:
    return [RelatedNodeInfo(node_id=name) for name in names]


nodes = []
for name, sections in CHAPTERS.items():
    chapter = node(name, "chapter")
    chapter.relationships[NodeRelationship.CHILD] = related(sections)
    nodes.append(chapter)
    for section in (node(section, "section") for section in sections):
        section.relationships[NodeRelationship.PARENT] = RelatedNodeInfo(node_id=name)
        nodes.append(section)

client = OSSVectorClient.local()
store = OSSVectorStore(client, filterable=["kind"])
store.add(nodes)
print(f"{len(nodes)} nodes in one index")

# %% [markdown]
# ## Search the sections
#
# No embedding model is installed here, so the question carries an embedding, that of the topic
# `break`, and the mock model is never asked; in a real program your embedding model is in its
# place. The filter keeps chapters out of the search.

# %%
index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=384))
only_sections = MetadataFilters(filters=[MetadataFilter(key="kind", value="section")])
base = index.as_retriever(similarity_top_k=6, filters=only_sections)
question = QueryBundle(
    "Where does break lead?", embedding=Float32Array.from_bytes(passages["break"].data).tolist()
)
for hit in base.retrieve(question):
    parent = hit.node.parent_node
    print(f"{hit.score:.3f}  {hit.node_id:17} in {parent.node_id if parent else None}")

# %% [markdown]
# ## Merge
#
# More than half of the children of one chapter were hit, so the chapter takes their place, with
# the mean of their scores. What remains alone stays a section.

# %%
merging = OSSVectorAutoMergingRetriever(base, client, simple_ratio_thresh=0.5)
for hit in merging.retrieve(question):
    size = len(hit.node.get_content())
    print(f"{hit.score:.3f}  {hit.node_id:17} {hit.node.metadata['kind']:8} {size:6,} characters")

# %% [markdown]
# ## For parts that ask for a document store
#
# LlamaIndex's own components get one that is the same index: `get_nodes` is one batched fetch.

# %%
document_store = OSSVectorDocumentStore(client)
print([found.node_id for found in document_store.get_nodes(["execmodel", "naming", "for"])])

# %%
client.close()
