# %% [markdown]
# # Stored embeddings: duplicates, clusters, a map, and re-ranking
#
# What was embedded once is stored, and fetched by key, 100 a call. So nothing below embeds
# anything: there is no embedding model in this program at all.
#
#     pip install 'oss-vector-retriever[langchain,emulator]' matplotlib

# %%
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.embeddings import near_duplicates
from oss_vector_retriever.langchain import (
    OSSVectorStore,
    StoredEmbeddingsFilter,
    StoredEmbeddingsMMR,
    StoredEmbeddingsRedundantFilter,
)

# %% [markdown]
# ## All of them as a matrix
#
# Python's language reference, one document for each topic, with embeddings that a model made
# beforehand. `fetch(...).matrix()` is a numpy array with one row for each vector, in the order
# asked.

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
matrix = client.fetch([passage.key for passage in passages], return_metadata=False).matrix()
print(matrix.shape, matrix.dtype)

# %% [markdown]
# ## Near duplicates
#
# The reference has the same text under `if` and `else`, and more that is nearly the same. The
# first of each group stays.

# %%
keys = np.array([passage.key for passage in passages])
duplicates = near_duplicates(matrix, similarity_threshold=0.9)
for group in duplicates.groups:
    if len(group) > 1:
        print("alike:", ", ".join(keys[group]))

keys, matrix = keys[duplicates.kept], matrix[duplicates.kept]
print(f"{len(keys)} of {len(passages)} stay")

# %% [markdown]
# ## Clusters
#
# k-means, in numpy: each vector goes to the centre that it is most similar to, and each centre
# moves to the mean of its own. The first centres are documents far apart from one another; each
# document may be the first of them, and the tightest result is kept. What all texts of this
# reference have in common is taken off before, so that it does not hide what sets them apart.


# %%
def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(rows, lengths)


def move(rows: NDArray[np.float32], start: int, count: int) -> NDArray[np.intp]:
    centres = rows[[start]]
    while len(centres) < count:
        farthest = np.argmin((rows @ centres.T).max(axis=1))
        centres = np.vstack([centres, rows[farthest]])
    nearest: NDArray[np.intp] = np.argmax(rows @ centres.T, axis=1)
    for _ in range(20):
        means = [rows[nearest == number].mean(axis=0) for number in range(count)]
        nearest = np.argmax(rows @ unit(np.array(means)).T, axis=1)
    return nearest


def tightness(rows: NDArray[np.float32], clusters: NDArray[np.intp]) -> float:
    means = (rows[clusters == number].sum(axis=0) for number in set(clusters))
    return float(sum(np.linalg.norm(mean) for mean in means))


COUNT = 6
mean = matrix.mean(axis=0)
rows = unit(matrix - mean)
tries = [move(rows, start, COUNT) for start in range(len(rows))]
clusters = max(tries, key=lambda one: tightness(rows, one))

members = []
for number in range(COUNT):
    own = np.flatnonzero(clusters == number)
    members.append(own[np.argsort(-(rows[own] @ rows[own].mean(axis=0)))])  # the most typical first
members.sort(key=len, reverse=True)
for own in members:
    print(f"{len(own):2}  {', '.join(keys[own[:6]])}, ...")

# %% [markdown]
# ## A map
#
# The two principal components of the matrix are the plane on which the documents lie farthest
# apart. The most typical documents of each cluster have their keys beside them, wherever there is
# room.

# %%
COLOURS = ["#4e79a7", "#e0954b", "#6a9f58", "#b07aa1", "#5fa8a8", "#c9626b"]
DARK = ["#2f5580", "#9a5a14", "#3f6f30", "#7c4a6e", "#2d7070", "#96353e"]  # the same, for letters
GREY = "#d3d6db"

components = np.linalg.svd(rows, full_matrices=False)[2][:2]
components *= np.sign(components.sum(axis=1, keepdims=True))  # a component has no sign of its own
places = rows @ components.T


def label(axes: Axes, colours: dict[int, str]) -> None:
    """Write keys beside their points, where no other point is nearer and no key is covered."""
    plt.gcf().draw_without_rendering()  # lays out, so that it is known where a point is
    points = axes.transData.transform(places)
    boxes: list[Bbox] = []
    for position, colour in colours.items():
        for x, y in ((8, 0), (-8, 0), (0, 8), (0, -8), (7, 7), (-7, 7), (7, -7), (-7, -7)):
            text = axes.annotate(
                keys[position],
                places[position],
                xytext=(x, y),
                textcoords="offset points",
                ha="left" if x > 0 else "right" if x < 0 else "center",
                va="bottom" if y > 0 else "top" if y < 0 else "center",
                fontsize=9,
                color=colour,
            )
            box = text.get_window_extent()
            gaps = np.maximum(np.maximum(box.min - points, points - box.max), 0)
            own = np.hypot(*gaps.T).argmin() == position and not box.count_overlaps(boxes)
            if own and axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1):
                boxes.append(box.padded(3))
                break
            text.remove()


def make_map(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, pad=12)
    axes.set_xlabel("first component", color="#777777")
    axes.set_ylabel("second component", color="#777777")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GREY)
    axes.margins(0.08)


figure, axes = plt.subplots(figsize=(9.6, 6), layout="constrained")
make_map(axes, "Topics of Python's language reference, by their stored embeddings")
for own, colour in zip(members, COLOURS, strict=True):
    x, y = places[own].T
    typical = ", ".join(keys[own[:2]])
    axes.scatter(x, y, s=48, color=colour, edgecolor="white", label=typical)
axes.legend(
    title="Clusters, by their most typical",
    alignment="left",
    loc="center left",
    bbox_to_anchor=(1, 0.5),
    frameon=False,
    labelspacing=0.8,
)
label(
    axes,
    {own[rank]: colour for rank in range(6) for own, colour in zip(members, DARK, strict=True)},
)
plt.show()

# %% [markdown]
# The same clusters as a table of similarities, each row and column a document: what is dark along
# the diagonal belongs together, and what is dark beside it says which clusters are near.

# %%
order = np.concatenate(members)
ends = np.cumsum([len(own) for own in members])

figure, axes = plt.subplots(figsize=(8.4, 5.4), layout="constrained")
axes.set_title("Cosine similarity of the stored embeddings, by cluster", loc="left", fontsize=12)
picture = axes.imshow(matrix[order] @ matrix[order].T, cmap="GnBu", vmin=0, vmax=1)
for end in ends[:-1]:
    axes.axhline(end - 0.5, color="white", linewidth=2)
    axes.axvline(end - 0.5, color="white", linewidth=2)
axes.set_xticks([])
axes.set_yticks(
    [end - len(own) / 2 - 0.5 for own, end in zip(members, ends, strict=True)],
    [", ".join(keys[own[:2]]) for own in members],
)
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
figure.colorbar(picture, shrink=0.6, ticks=[0, 0.5, 1]).outline.set_visible(False)
plt.show()

# %% [markdown]
# ## Re-rank what a search found
#
# A search of OSS Vectors returns no embeddings, and LangChain's own compressors embed every hit
# again to compare them. These fetch the stored embeddings by `Document.id`. The candidates are the
# 20 documents closest to one of them, whose vector is the query (`query_key`); `embedding=model`
# would take a text. First, keep what is similar enough:

# %%
QUERY = "while"
candidates = store.similarity_search_by_id(QUERY, k=20)
similar = StoredEmbeddingsFilter(
    client=client, query_key=QUERY, similarity_threshold=0.45, score_key="similarity"
)
kept = similar.compress_documents(candidates, QUERY)
for document in kept:
    print(f"{document.metadata['similarity']:.3f}  {document.id:12} {document.metadata['title']}")

# %% [markdown]
# Then leave out repetitions, and pick what is near the query and unlike the rest: of maximal
# marginal relevance, `lambda_mult` goes from 0, all diversity, to 1, all similarity.

# %%
repeats = StoredEmbeddingsRedundantFilter(client=client, similarity_threshold=0.95)
distinct = repeats.compress_documents(kept, QUERY)
left_out = {document.id for document in kept} - {document.id for document in distinct}
print(f"{len(kept)} became {len(distinct)}; left out: {sorted(left_out, key=str)}")

diverse = StoredEmbeddingsMMR(client=client, query_key=QUERY, k=5, lambda_mult=0.4)
picked = diverse.compress_documents(distinct, QUERY)
print("closest:", [document.id for document in distinct[:5]])
print("picked: ", [document.id for document in picked])

# %% [markdown]
# On the map, the closest five are one spot, and those picked reach out.

# %%
position_of = {key: position for position, key in enumerate(keys)}
query = position_of[QUERY]
figure, both = plt.subplots(1, 2, figsize=(11, 5), layout="constrained", sharex=True, sharey=True)
for axes, title, documents, colour, dark in (
    (both[0], "The closest five to 'while'", distinct[:5], COLOURS[0], DARK[0]),
    (both[1], "Five picked by maximal marginal relevance", picked, COLOURS[1], DARK[1]),
):
    make_map(axes, title)
    shown = [position_of[str(document.id)] for document in documents]
    axes.scatter(*places.T, s=28, color=GREY)
    axes.scatter(*places[shown].T, s=60, color=colour, edgecolor="white")
    axes.scatter(*places[query], s=170, marker="*", color=COLOURS[5], edgecolor="white")
    label(axes, {query: DARK[5]} | dict.fromkeys(shown, dark))
plt.show()

# %%
client.close()
