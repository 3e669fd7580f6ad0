# %% [markdown]
# # LangChain: re-rank with the embeddings that are stored already
#
# A search of OSS Vectors returns no embeddings, and LangChain's own compressors embed every hit
# again to compare them. The ones below fetch the stored embeddings by `Document.id`, 100 a call.
# There is no embedding model in this program at all: the query is a stored vector too.
#
#     pip install 'oss-vector-retriever[langchain,emulator]' matplotlib

# %%
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.langchain import (
    OSSVectorStore,
    StoredEmbeddingsFilter,
    StoredEmbeddingsMMR,
    StoredEmbeddingsRedundantFilter,
)

QUERY = "while"

# %% [markdown]
# ## Documents and candidates
#
# Python's language reference, one document for each topic, with embeddings that a model made
# beforehand. The candidates are the 20 documents closest to one of them.

# %%
passages = load_passages()
client = OSSVectorClient.local()
store = OSSVectorStore(client=client)
store.add_texts(
    [passage.text for passage in passages],
    [{"title": passage.metadata["title"]} for passage in passages],
    ids=[passage.key for passage in passages],
    embeddings=[Float32Array.from_bytes(passage.data) for passage in passages],
)
candidates = store.similarity_search_by_id(QUERY, k=20)
print(", ".join(str(document.id) for document in candidates))

# %% [markdown]
# ## Keep what is similar enough
#
# `query_key` names the stored vector that is the query; `embedding=model` would take a text.

# %%
similar = StoredEmbeddingsFilter(
    client=client, query_key=QUERY, similarity_threshold=0.45, score_key="similarity"
)
kept = similar.compress_documents(candidates, QUERY)
for document in kept:
    print(f"{document.metadata['similarity']:.3f}  {document.id:20} {document.metadata['title']}")

# %% [markdown]
# ## Leave out repetitions
#
# The reference has the same text under `if` and `else`: one of them is enough.

# %%
repeats = StoredEmbeddingsRedundantFilter(client=client, similarity_threshold=0.95)
distinct = repeats.compress_documents(kept, QUERY)
left_out = {document.id for document in kept} - {document.id for document in distinct}
print(f"{len(kept)} became {len(distinct)}; left out: {sorted(left_out, key=str)}")

# %% [markdown]
# ## Pick what is near the query and unlike the rest
#
# Maximal marginal relevance: `lambda_mult` goes from 0, all diversity, to 1, all similarity.

# %%
diverse = StoredEmbeddingsMMR(client=client, query_key=QUERY, k=5, lambda_mult=0.4)
picked = diverse.compress_documents(distinct, QUERY)
print("closest:", [document.id for document in distinct[:5]])
print("picked: ", [document.id for document in picked])

# %% [markdown]
# ## A picture of the embeddings
#
# `fetch(...).matrix()` is a numpy array with one row for each vector. Its two principal components
# make a map: grey are all documents, blue the candidates, orange those picked.

# %%
keys = [passage.key for passage in passages]
matrix = client.fetch(keys, return_metadata=False).matrix()
centred = matrix - matrix.mean(axis=0)
axes_of_most_variance = np.linalg.svd(centred, full_matrices=False)[2][:2]
places = dict(zip(keys, centred @ axes_of_most_variance.T, strict=True))

figure, axes = plt.subplots(figsize=(9, 6))
for label, names, colour in (
    ("all documents", keys, "lightgrey"),
    ("candidates", [document.id for document in candidates], "tab:blue"),
    ("picked", [document.id for document in picked], "tab:orange"),
    ("query", [QUERY], "tab:red"),
):
    points = np.array([places[str(name)] for name in names])
    axes.scatter(points[:, 0], points[:, 1], color=colour, label=label)
for name in [QUERY, *(str(document.id) for document in picked)]:
    axes.annotate(name, places[name], textcoords="offset points", xytext=(6, 4))
axes.set_title(f"Stored embeddings around {QUERY!r}, two principal components")
axes.set_xlabel("first component")
axes.set_ylabel("second component")
axes.legend()

picture = Path(tempfile.mkdtemp()) / "embeddings.png"
figure.savefig(picture, dpi=120)
print(f"picture: {picture}")

# %%
client.close()
