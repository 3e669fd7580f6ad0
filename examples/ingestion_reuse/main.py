# %% [markdown]
# # LlamaIndex: ingestion that embeds only what changed
#
# Embedding is what ingestion costs. `ReuseStoredEmbeddings` stands in the pipeline in the place of
# the embedding model: it looks up each node by id, and where the text is what is stored already,
# takes the stored embedding. The model sees the rest.
#
#     pip install 'oss-vector-retriever[llama-index,emulator]'

# %%
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import Document

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.llama_index import OSSVectorStore, ReuseStoredEmbeddings

# %% [markdown]
# ## Documents and a model that counts
#
# The documents are Python's language reference, one for each topic that is not in parts, with
# embeddings that a model made beforehand. No model is installed here, so this class looks up the
# embedding by a text's first line, its title, and counts how many texts it was given; in a real
# program it is your embedding model.

# %%
passages = [passage for passage in load_passages() if passage.metadata["part"] == "1 of 1"]


class CountingEmbedding(BaseEmbedding):
    vectors: dict[str, list[float]]
    embedded: int = 0

    def _get_text_embedding(self, text: str) -> list[float]:
        self.embedded += 1
        return self.vectors[text.partition("\n")[0]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


model = CountingEmbedding(
    model_name="all-MiniLM-L6-v2",
    vectors={
        passage.text.partition("\n")[0]: Float32Array.from_bytes(passage.data).tolist()
        for passage in passages
    },
)

# %% [markdown]
# ## The pipeline
#
# Ids must be the same from run to run. Here each document is one node under its own id; with a node
# parser, give it an `id_func`.

# %%
client = OSSVectorClient.local()
store = OSSVectorStore(client)
reuse = ReuseStoredEmbeddings(client=client, embed_model=model)


def ingest(what: str, texts: dict[str, str]) -> None:
    """Run a new pipeline, with no cache, as the next night's job would."""
    before = model.embedded
    pipeline = IngestionPipeline(
        transformations=[reuse], vector_store=store, disable_cache=True, docstore=None
    )
    pipeline.run(documents=[Document(id_=key, text=text) for key, text in texts.items()])
    print(f"{what}: {len(texts)} documents, {model.embedded - before} embedded")


texts = {passage.key: passage.text for passage in passages}
ingest("first run", texts)

# %% [markdown]
# ## Again
#
# Nothing changed, so nothing is embedded. The pipeline is a new one and keeps no cache: what is
# known is known from the index alone.

# %%
ingest("second run", texts)

# %% [markdown]
# Three documents changed, and one is new:

# %%
for key in ("with", "lambda", "for"):
    texts[key] += "\nA remark was added.\n"
texts["with-2"] = texts["with"]
ingest("third run", texts)

# %%
stored = store.get_nodes(["with", "with-2"])
print([(node.node_id, node.get_content()[-20:].strip()) for node in stored])

# %%
client.close()
